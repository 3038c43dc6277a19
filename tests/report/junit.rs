//! JUnit XML, read back by a parser that takes nothing but well-formed XML 1.0.

use crate::fixtures::{regression, reports, steady, without_data};
use isotel::judge::catalog_report::{CatalogReport, EnvironmentCoverage, ServiceHeld, Share};
use isotel::judge::verdict::*;
use isotel::report::{Matrix, MatrixCell, MatrixRow, junit};
use roxmltree::{Document, Node};
use std::collections::BTreeMap;

fn elements<'a, 'd>(node: Node<'a, 'd>, name: &'static str) -> impl Iterator<Item = Node<'a, 'd>> {
    node.descendants().filter(move |found| found.has_tag_name(name))
}

/// Every count in an attribute is that of the elements under it, and every case is in the suite that its class names.
#[track_caller]
fn parsed(text: &str) -> Document<'_> {
    let document = Document::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let root = document.root_element();
    assert_eq!(root.tag_name().name(), "testsuites");
    for node in root.descendants().filter(|node| node.attribute("tests").is_some()) {
        for (attribute, element) in
            [("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")]
        {
            let Some(told) = node.attribute(attribute) else { continue };
            assert_eq!(told, elements(node, element).count().to_string(), "{attribute} in {text}");
        }
    }
    for case in elements(root, "testcase") {
        let suite = case.parent().expect("a suite");
        assert_eq!(case.attribute("classname"), suite.attribute("name"));
    }
    document
}

/// Class, name, outcome and message of each case.
fn cases<'d>(document: &'d Document<'d>) -> Vec<(&'d str, &'d str, &'d str, &'d str)> {
    let of = |case: Node<'d, 'd>| {
        let told = case.first_element_child();
        let outcome = told.map_or("passed", |node| node.tag_name().name());
        let message = told.and_then(|node| node.attribute("message")).unwrap_or_default();
        let attribute = |name| case.attribute(name).expect("an attribute");
        (attribute("classname"), attribute("name"), outcome, message)
    };
    elements(document.root_element(), "testcase").map(of).collect()
}

#[test]
fn every_judged_aspect_is_a_case_and_only_what_is_divergent_fails() {
    for (name, report) in reports() {
        let text = junit::of_report(&report);
        let document = parsed(&text);
        let failed = elements(document.root_element(), "failure").count() > 0;
        assert_eq!(failed, report.verdict == Verdict::Divergent, "{name}");
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn a_comparison_that_could_not_be_made_is_an_error() {
    let text = junit::of_report(&without_data());
    let document = parsed(&text);
    let (_, name, outcome, _) = cases(&document)[0];
    assert_eq!((name, outcome), ("verdict", "error"));
}

#[test]
fn what_a_waiver_accepts_is_skipped_and_says_which() {
    let mut report = regression();
    let slower = report.findings.iter_mut().find(|f| f.aspect == Aspect::Latency).expect("slower");
    slower.waived_by = Some("tail-ticket".to_owned());
    let text = junit::of_report(&report);
    let document = parsed(&text);
    let found =
        cases(&document).into_iter().find(|(_, name, ..)| name.ends_with("POST /checkout (server): latency"));
    let (_, _, outcome, message) = found.expect("the case");
    assert!(outcome == "skipped" && message.starts_with("accepted by tail-ticket: "), "{outcome} {message}");
}

#[test]
fn names_from_telemetry_stay_text_and_what_xml_has_no_place_for_is_replaced() {
    let hostile = "\"/><failure>]]>&amp;<!-- \u{0}\u{1b}[2J\u{7}\u{fffe}\u{ffff}\u{85}\u{202e}\r\n\t'é😀";
    let mut report = regression();
    report.comparison = hostile.into();
    report.summary = hostile.into();
    report.services[0].service = hostile.into();
    report.services[0].operations[0].operation = hostile.into();
    report.services[0].operations[1].latency.verdict = Verdict::Inconclusive;
    report.services[0].operations[1].latency.reason = hostile.into();
    for finding in &mut report.findings {
        finding.service = Some(hostile.into());
        (finding.message, finding.title, finding.id) = (hostile.into(), hostile.into(), hostile.into());
    }
    report.services[0].coverage.missing[0] = hostile.into();
    let verdicts = BTreeMap::from([(hostile.to_owned(), Verdict::Divergent)]);
    for text in [junit::of_report(&report), junit::of_coverage(&report, &Matrix::default(), &verdicts)] {
        let document = parsed(&text);
        let shown = "\"/><failure>]]>&amp;<!-- \u{fffd}\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}'é😀";
        assert!(cases(&document).iter().any(|(class, ..)| *class == shown), "{text}");
    }
}

#[test]
fn a_file_stays_within_its_bound_and_keeps_what_failed() {
    let mut report = regression();
    let operation = |n| steady(&format!("GET /{n}/{}", "\"".repeat(400)), "server", 100, 0.1);
    report.services[1].operations = (0..10_000).map(operation).collect();
    let failed = cases(&parsed(&junit::of_report(&regression())))
        .iter()
        .filter(|(.., outcome, _)| *outcome == "failure")
        .count();
    let text = junit::of_report(&report);
    assert!(text.len() < junit::BYTES_MOST + 100_000, "{}", text.len());
    let document = parsed(&text);
    let cases = cases(&document);
    assert_eq!(cases.iter().filter(|(.., outcome, _)| *outcome == "failure").count(), failed);
    let (_, _, outcome, message) = cases.iter().find(|(_, name, ..)| *name == "left out").expect("said");
    assert!(
        *outcome == "skipped" && message.ends_with("more cases are left out to bound this file."),
        "{message}"
    );
    assert!(
        cases.iter().all(|(class, name, _, message)| class.len().max(name.len()).max(message.len()) <= 2_000)
    );
}

fn share(present: u64, expected: u64) -> Share {
    Share { expected, present, ratio: present as f64 / expected as f64, ..Share::default() }
}

#[test]
fn coverage_is_a_case_for_each_service_signal_and_item() {
    let mut report = regression();
    report.findings.push(Finding {
        item: Some("metric checkout.queue.depth".to_owned()),
        service: Some("shop/checkout".to_owned()),
        waived_by: Some("queue-moves".to_owned()),
        ..report.findings[0].clone()
    });
    let row = |kind: &str, cells: [bool; 2]| MatrixRow {
        service: "shop/checkout".to_owned(),
        kind: kind.to_owned(),
        item: "x".to_owned(),
        cells: cells.map(|there| there.then(MatrixCell::default)).to_vec(),
    };
    let rows = vec![
        row("span", [true, true]),
        row("span attribute", [true, false]),
        row("metric", [true, true]),
        row("log", [false, true]),
    ];
    let matrix = Matrix { environments: vec!["prod".to_owned(), "canary".to_owned()], rows };
    let of = |verdict| {
        let verdicts = report.services.iter().map(|service| (service.service.clone(), verdict)).collect();
        junit::of_coverage(&report, &matrix, &verdicts)
    };
    let short = of(Verdict::Divergent);
    parsed(&short);
    insta::assert_snapshot!("coverage", short);
    let within = of(Verdict::Parity);
    assert_eq!(elements(parsed(&within).root_element(), "failure").count(), 0);
}

#[test]
fn a_catalog_has_a_suite_for_each_service_in_each_environment() {
    let held = |verdict| ServiceHeld {
        service: "cart".to_owned(),
        verdict,
        total: share(3, 4),
        signals: BTreeMap::from([("metrics".to_owned(), share(1, 2)), ("spans".to_owned(), share(2, 2))]),
        missing: vec!["metric cart.size".to_owned()],
        too_rare: vec!["log ERROR".to_owned()],
        extra: vec!["metric cart.age".to_owned()],
        shape: vec!["metric cart.total: unit ms instead of s".to_owned()],
        conventions: Some(share(7, 8)),
    };
    let of_environment = |environment: &str, verdict| EnvironmentCoverage {
        environment: environment.to_owned(),
        verdict,
        total: share(3, 4),
        services: vec![held(verdict)],
    };
    let report = CatalogReport {
        schema: String::new(),
        generated_at: String::new(),
        verdict: Verdict::Divergent,
        summary: "cart in canary has less of the expected telemetry than the tolerance asks for.".to_owned(),
        environments: vec![
            of_environment("canary", Verdict::Divergent),
            of_environment("prod", Verdict::Parity),
        ],
        findings: Vec::new(),
        limits_hit: Vec::new(),
    };
    let text = junit::of_catalog(&report);
    parsed(&text);
    insta::assert_snapshot!("catalog", text);
}
