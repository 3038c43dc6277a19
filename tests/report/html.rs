//! Reports as pages.
//!
//! Scenario: the reports made by hand, with curves and a matrix. Guarantees: each page is one file of which only its own
//! script and style can run; every element is closed; nothing from telemetry becomes markup; the size is bounded and what
//! is left out is told; numbers that should not be there are never shown.

use crate::fixtures::{regression, reports, steady};
use crate::{presence, spoiled, two_curves};
use base64::Engine as _;
use isotel::judge::Verdict;
use isotel::judge::curves::Curves;
use isotel::judge::verdict::{Finding, Report};
use isotel::report::html::{Pictures, SCRIPT, STYLE, of_coverage, of_report};
use isotel::report::{Matrix, MatrixRow};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// The curves of the operation that is slower in the fixture.
fn curves() -> Curves {
    let [baseline, candidate] = two_curves();
    Curves {
        service: "shop/checkout".into(),
        operation: "POST /checkout".into(),
        kind: "server".into(),
        baseline,
        candidate,
        tolerances: [0.5, 0.9, 0.95, 0.99].map(|q| (q, 0.15)).to_vec(),
        d: Some(0.118),
    }
}

/// A page with all that it can show, with `name` wherever a name from telemetry stands in pictures and the matrix.
pub fn everything(report: &Report, name: &str) -> String {
    let service = &report.services[0];
    let operation = service.operations.first().map_or(name, |operation| &operation.operation);
    let curves = Curves { service: service.service.clone(), operation: operation.into(), ..curves() };
    let mut matrix = presence();
    matrix.environments[2] = name.into();
    (matrix.rows[0].service, matrix.rows[1].item) = (name.into(), name.into());
    matrix.rows[2].kind = name.into();
    let page = of_report(report, Pictures { worst: Some(&curves), matrix: Some(&matrix) });
    let verdicts = BTreeMap::from([(name.to_owned(), Verdict::Parity)]);
    page + &of_coverage(report, &matrix, &verdicts)
}

/// What a page says, without its script and style.
pub fn main(page: &str) -> &str {
    let from = page.find("<main").expect("a page has a main landmark");
    let to = page.find("</main>").expect("which ends");
    &page[from..to]
}

/// One element a line, to be reviewed.
fn in_lines(markup: &str) -> String {
    let starts = [
        "section", "h1", "h2", "h3", "p", "li", "tr", "th", "td", "div", "dt", "dd", "path", "text", "header",
    ];
    starts.iter().fold(markup.to_owned(), |text, name| {
        let text = text.replace(&format!("<{name} "), &format!("\n<{name} "));
        text.replace(&format!("<{name}>"), &format!("\n<{name}>"))
    })
}

#[test]
fn the_page_reads_as_reviewed() {
    let curves = curves();
    for (name, report) in reports() {
        let matrix = presence();
        let slower = name == "regression";
        let pictures = Pictures { worst: slower.then_some(&curves), matrix: slower.then_some(&matrix) };
        insta::assert_snapshot!(format!("html_{name}"), in_lines(main(&of_report(&report, pictures))));
    }
}

#[test]
fn only_its_own_script_and_style_run_and_nothing_is_fetched() {
    let page = of_report(&regression(), Pictures::default());
    let hash = |text: &str| {
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        format!("'sha256-{}'", base64::prelude::BASE64_STANDARD.encode(digest))
    };
    let policy = format!(
        "default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    assert!(page.contains(&format!("content=\"{policy}\"")), "{}", &page[..1_000]);
    assert!(
        page.contains(&format!("<style>{STYLE}</style>"))
            && page.contains(&format!("<script>{SCRIPT}</script>"))
    );
    for part in ["http:", "https:", " style=", "onclick", "src="] {
        assert!(!page.contains(part), "{part}");
    }
    assert_eq!(page.matches("<script").count(), 1);
}

/// Elements that have no end.
const VOID: [&str; 2] = ["meta", "!DOCTYPE"];

#[test]
fn every_element_is_closed_in_its_order_and_every_id_is_there_once() {
    for (_, report) in reports() {
        let page = everything(&report, "name");
        for page in page.split_inclusive("</html>") {
            let (mut open, mut rest, mut ids) = (Vec::new(), page, Vec::new());
            let without = page.replace(STYLE, "").replace(SCRIPT, "");
            rest = if rest.is_empty() { rest } else { &without };
            while let Some((_, after)) = rest.split_once('<') {
                let (tag, after) = after.split_once('>').expect("a tag ends");
                let name = tag.split(' ').next().unwrap_or_default();
                match name.strip_prefix('/') {
                    Some(name) => assert_eq!(open.pop(), Some(name), "{tag}"),
                    None if VOID.contains(&name) => {}
                    None => open.push(name),
                }
                let id = tag.split_once(" id=\"").and_then(|(_, id)| id.split('"').next());
                ids.extend(id.map(str::to_owned));
                rest = after;
            }
            assert_eq!(open, Vec::<&str>::new());
            let all = ids.len();
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), all, "{ids:?}");
        }
    }
}

#[test]
fn a_page_of_any_report_has_a_bounded_size_and_says_what_it_left_out() {
    let mut report = regression();
    let finding = report.findings[0].clone();
    report.findings = (0..9_000).map(|n| Finding { id: format!("latency-{n}"), ..finding.clone() }).collect();
    report.findings[7].message = "<&".repeat(300_000);
    let long = "<".repeat(400);
    report.services[0].operations =
        (0..20_000).map(|n| steady(&format!("GET /{long}/{n}"), "server", n, 0.1)).collect();
    report.services[0].coverage.missing = (0..50_000).map(|n| format!("metric m{n}")).collect();
    let fact = report.services[0].facts[0].clone();
    report.services[0].facts = vec![fact; 50_000];
    let mut matrix = presence();
    let row = matrix.rows[0].clone();
    matrix.rows.extend((0..100_000).map(|n| MatrixRow { item: format!("m{n}"), ..row.clone() }));
    let page = of_report(&report, Pictures { worst: None, matrix: Some(&matrix) });
    assert!(page.len() < 12 << 20, "{}", page.len());
    let told = ["findings", "operations", "items", "facts"];
    for what in told {
        assert!(page.contains(&format!(" more {what} left out to keep the page small")), "{what}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_page_fails_on_any_numbers_or_shows_what_is_none(values in prop::collection::vec(any::<f64>(), 1..9)) {
        for (_, report) in reports() {
            let page = everything(&spoiled(report, &values), "name");
            for none in ["NaN", "inf %", "inf,", ">inf", "\"inf", "inf]"] {
                prop_assert!(!page.contains(none), "{}: {}", none, main(&page));
            }
        }
    }
}

#[test]
fn thousands_of_operations_and_items_are_all_there() {
    let mut report = regression();
    report.services[0].operations =
        (0..3_000).map(|n| steady(&format!("GET /resource-{n}"), "server", n, 0.1)).collect();
    let rows =
        (0..6_000).map(|n| MatrixRow { item: format!("m{n}"), ..presence().rows[0].clone() }).collect();
    let matrix = Matrix { rows, ..presence() };
    let page = of_report(&report, Pictures { worst: None, matrix: Some(&matrix) });
    assert!(!page.contains("left out to keep"), "{}", page.len());
    assert!(page.contains("GET /resource-2999") && page.contains(">m5999<"));
}
