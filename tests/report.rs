//! What people see of a verdict: every rendering of three reports made by hand.
//!
//! Scenario: reports as the judge makes them. Guarantees: the renderings stay as reviewed, keep to their width and
//! size, never fail, and let nothing through that would act on a terminal or a web page.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends by panicking")]

#[path = "report/fixtures.rs"]
mod fixtures;

#[path = "report/export.rs"]
mod export;

#[path = "report/html.rs"]
mod html;

#[path = "report/junit.rs"]
mod junit;

#[path = "report/openmetrics.rs"]
mod openmetrics;

#[path = "report/review.rs"]
mod review;

use fixtures::{all_parity, empty, regression, reports, service, steady, without_data};
use isotel::export::prometheus;
use isotel::judge::verdict::*;
use isotel::report::{
    ExplainError, Matrix, MatrixCell, MatrixRow, Plot, PlotSide, TableOptions, explain, from_json, matrix,
    to_json, to_markdown, to_table,
};
use isotel::sketch::Cardinality;
use proptest::prelude::*;

#[test]
fn the_table_reads_well_at_80_and_120_columns() {
    for (name, report) in reports() {
        for width in [80, 120] {
            let text = to_table(&report, &TableOptions { width, ..TableOptions::default() });
            assert!(text.lines().all(|line| line.chars().count() <= width), "{name} at {width}:\n{text}");
            insta::assert_snapshot!(format!("table_{name}_{width}"), text);
        }
    }
}

#[test]
fn without_colour_there_is_no_escape_sequence_and_with_it_the_words_stay() {
    let plain = to_table(&regression(), &TableOptions::default());
    let coloured = to_table(&regression(), &TableOptions { colour: true, ..TableOptions::default() });
    assert!(!plain.contains('\u{1b}'));
    assert!(coloured.contains('\u{1b}'));
    assert_eq!(plain, without_ansi(&coloured));
}

/// Numbers may differ in the last bit: that is how serde_json reads them unless it is told to take its time.
fn same_but_for_the_last_bit(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Number, Object};
    match (a, b) {
        (Array(a), Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_but_for_the_last_bit(a, b))
        }
        (Object(a), Object(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|((ka, a), (kb, b))| ka == kb && same_but_for_the_last_bit(a, b))
        }
        (Number(a), Number(b)) => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() <= f64::EPSILON * a.abs(),
            _ => a == b,
        },
        _ => a == b,
    }
}

fn without_ansi(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    plain + rest
}

#[test]
fn a_verdict_is_read_back_as_it_was_written() {
    for (name, report) in reports() {
        let text = to_json(&report);
        assert!(text.ends_with("}\n"));
        let read = from_json(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let values = [&report, &read].map(|report| serde_json::to_value(report).expect("JSON"));
        assert!(same_but_for_the_last_bit(&values[0], &values[1]), "{name}");
        insta::assert_snapshot!(format!("json_{name}"), text);
    }
}

#[test]
fn markdown_holds_the_findings_and_a_table() {
    for (name, report) in reports() {
        insta::assert_snapshot!(format!("markdown_{name}"), to_markdown(&report));
    }
}

#[test]
fn the_release_is_held_once_and_metrics_that_decide_nothing_are_told_so() {
    let mut report = regression();
    report.findings[0].action = "Compare traces of this operation; hold the release.".to_owned();
    assert!(
        to_markdown(&report).contains("**What to do.** Compare traces of this operation; hold the release.")
    );
    let mut report = fixtures::metrics();
    for service in &mut report.services {
        service.values.iter_mut().for_each(|value| {
            (value.decides, value.configured, value.verdict) = (false, false, Verdict::Inconclusive);
        });
    }
    let table = to_table(&report, &TableOptions::default());
    assert!(table.contains("Metrics  0 of 5 shown to be at parity, none decides"), "{table}");
    let page = isotel::report::html::of_report(&report, isotel::report::html::Pictures::default());
    assert!(page.contains("None is shown to differ."));
}

#[test]
fn markdown_stays_under_the_size_of_a_comment_and_says_what_it_left_out() {
    let mut report = regression();
    let finding = report.findings[0].clone();
    report.findings = (0..3_000).map(|n| Finding { id: format!("latency-{n}"), ..finding.clone() }).collect();
    report.findings[7].message = "|<&".repeat(30_000);
    report.summary = "*".repeat(100_000);
    report.limits_hit = vec!["_".repeat(100_000)];
    report.services[0].operations =
        (0..5_000).map(|n| steady(&format!("GET /{}/{n}", "|".repeat(400)), "server", n, 0.1)).collect();
    report.services[0].coverage.missing = (0..5_000).map(|n| format!("metric m{n}")).collect();
    let text = to_markdown(&report);
    assert!(text.chars().count() < 60_000, "{}", text.chars().count());
    let told = text.matches("left out to stay within").count();
    assert_eq!(told, 3, "findings, operations and coverage each say so");
    assert_eq!(text.matches("<details").count(), text.matches("</details>").count());
}

#[test]
fn names_from_telemetry_cannot_act_on_the_page_or_the_terminal() {
    let mut report = regression();
    let hostile = "x|y <img src=x> @all `code` \u{1b}[2J\n# [a](b)";
    report.comparison = hostile.into();
    report.summary = hostile.into();
    report.findings[0].message = hostile.into();
    report.services[0].service = hostile.into();
    report.services[0].operations[0].operation = hostile.into();
    report.services[0].coverage.missing[0] = hostile.into();
    let markdown = to_markdown(&report);
    assert!(!markdown.contains("<img") && !markdown.contains("@all") && !markdown.contains("[a]"));
    for line in markdown.lines().filter(|line| line.starts_with('|')) {
        assert_eq!(line.matches('|').count(), 9, "{line}");
    }
    let texts = [
        markdown,
        to_table(&report, &TableOptions { verbose: true, ..TableOptions::default() }),
        explain(&report, None).unwrap_or_default(),
        explain(&report, Some("latency-5f1c09a2")).unwrap_or_default(),
        html::everything(&report, hostile),
    ];
    assert!(texts.iter().all(|text| !text.is_empty() && !text.contains('\u{1b}')));
    assert!(!texts[4].contains("<img") && texts[4].contains("x|y &lt;img src=x&gt;"));
}

#[test]
fn the_verdict_is_explained_with_the_formula_of_its_score() {
    for (name, report) in reports() {
        insta::assert_snapshot!(
            format!("explain_{name}"),
            explain(&report, None).expect("no id is never unknown")
        );
    }
}

#[test]
fn every_finding_is_explained() {
    for (name, report) in reports() {
        for finding in &report.findings {
            let text = explain(&report, Some(&finding.id)).expect("the id is in the report");
            insta::assert_snapshot!(format!("explain_{name}_{}", finding.id), text);
        }
    }
}

#[test]
fn a_finding_about_how_traces_hang_together_is_not_explained_by_calls() {
    let mut report = regression();
    let evidence = ["baseline_share", "candidate_share"].map(|name| (name.to_owned(), 0.25.into())).into();
    let parents =
        Finding { aspect: Aspect::Structure, evidence, operation: None, ..report.findings[0].clone() };
    report.findings = vec![parents];
    let text = explain(&report, Some(&report.findings[0].id)).expect("it is there");
    for words in
        ["Do the traces of shop/checkout hang together", "Five percentage points more", "candidate_share"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("Twice as many calls"), "{text}");
}

#[test]
fn an_unknown_finding_is_refused_with_the_nearest_id() {
    let error = explain(&regression(), Some("latency-5f1c")).expect_err("there is no such id");
    let nearest = "latency-5f1c09a2".to_owned();
    assert_eq!(error, ExplainError::UnknownFinding { id: "latency-5f1c".into(), nearest });
    insta::assert_snapshot!("explain_unknown", error.to_string());
    let none = explain(&all_parity(), Some("x")).expect_err("there are no findings");
    assert_eq!(none, ExplainError::NoFindings { id: "x".into() });
    insta::assert_snapshot!("explain_none", none.to_string());
}

#[test]
fn the_plot_shows_two_distributions_the_tolerance_and_the_gap() {
    let [baseline, candidate] = two_curves();
    let plot = Plot {
        title: "POST /checkout",
        baseline: PlotSide { name: "prod", points: &baseline },
        candidate: PlotSide { name: "canary", points: &candidate },
        tolerance: Some(0.15),
        d: None,
    };
    insta::assert_snapshot!("plot_72", plot.render(72));
    insta::assert_snapshot!("plot_110", plot.render(110));
    let options = TableOptions { plot: Some(plot.render(80)), ..TableOptions::default() };
    assert!(to_table(&regression(), &options).contains("widest gap"));
}

/// A fast path for 60 % of requests on both sides; the slow path of the candidate takes 40 % longer.
fn two_curves() -> [Vec<(f64, f64)>; 2] {
    let logistic = |s: f64, middle: f64, width: f64| 1.0 / (1.0 + (-(s / middle).ln() / width).exp());
    let curve = |slow: f64| {
        (0..400)
            .map(|n| 0.02 * 1.015_f64.powi(n))
            .map(|s| (s, 0.6 * logistic(s, 0.1, 0.08) + 0.4 * logistic(s, slow, 0.1)))
            .collect()
    };
    [curve(0.2), curve(0.28)]
}

fn presence() -> Matrix {
    let cell = |count| Some(MatrixCell { count, first_ns: 1_000, last_ns: 2_000, ..MatrixCell::default() });
    let row = |service: &str, kind: &str, item: &str, cells| MatrixRow {
        service: service.into(),
        kind: kind.into(),
        item: item.into(),
        cells,
    };
    Matrix {
        environments: vec!["prod".into(), "staging".into(), "canary-eu-central-1-b".into()],
        rows: vec![
            row("cart", "metric", "http.server.request.duration", vec![cell(120), cell(118), cell(9)]),
            row("cart", "span", "GET /cart/{id}", vec![cell(12_034), cell(11_988), cell(0)]),
            row("checkout", "span", "POST /checkout", vec![cell(4_006), cell(3_966), cell(391)]),
            row("checkout", "metric", "checkout.queue.depth", vec![cell(60), cell(60), None]),
            row("checkout", "event", "checkout.retry", vec![None, cell(4)]),
            row("checkout", "attribute", "http.route of POST /checkout", vec![cell(4_006), None, cell(391)]),
        ],
    }
}

#[test]
fn the_matrix_tells_of_how_many_values_an_attribute_has_where_that_differs() {
    let cell =
        |cardinality| Some(MatrixCell { count: 7, cardinality: Some(cardinality), ..MatrixCell::default() });
    let mut matrix = presence();
    matrix.rows[0].cells = vec![cell(Cardinality::One), cell(Cardinality::One), cell(Cardinality::Unbounded)];
    matrix.rows[1].cells = vec![cell(Cardinality::Few), cell(Cardinality::Few), None];
    let (table, markdown) =
        (matrix::to_table(&matrix, &TableOptions::default()), matrix::to_markdown(&matrix));
    assert!(markdown.contains("| ● 7, one | ● 7, one | ● 7, unbounded |"), "{markdown}");
    assert!(table.contains("● 7, unbounded") && !table.contains("few"), "{table}");
    let json = matrix::to_json(&matrix);
    assert!(json.contains(r#""cardinality": "few""#), "{json}");
    let read: Matrix = serde_json::from_str(&json).expect("JSON of a matrix");
    assert!(read.rows.iter().any(|row| row.cells == matrix.rows[0].cells));
}

#[test]
fn the_matrix_shows_what_differs_first() {
    let matrix = presence();
    insta::assert_snapshot!("matrix_80", matrix::to_table(&matrix, &TableOptions::default()));
    insta::assert_snapshot!("matrix_markdown", matrix::to_markdown(&matrix));
    let json = matrix::to_json(&matrix);
    let read: Matrix = serde_json::from_str(&json).expect("JSON of a matrix");
    assert_eq!(read.rows.len(), matrix.rows.len());
    assert_eq!(read.rows[0].service, "checkout");
    assert_eq!(
        matrix::to_table(&Matrix::default(), &TableOptions::default()),
        "No telemetry was seen in any environment.\n"
    );
}

#[test]
fn a_long_matrix_says_how_much_it_does_not_show() {
    let mut matrix = presence();
    let row = matrix.rows[0].clone();
    matrix.rows.extend((0..500).map(|n| MatrixRow { item: format!("m{n}"), ..row.clone() }));
    let text = matrix::to_table(&matrix, &TableOptions::default());
    assert!(text.contains("and 466 more that every environment has (--verbose shows all)"), "{text}");
    assert!(matrix::to_markdown(&matrix).contains("206 more rows were left out."));
    let all = matrix::to_table(&matrix, &TableOptions { verbose: true, ..TableOptions::default() });
    assert!(all.contains("m499"));
}

/// Any aspect, level, place and evidence; also such as no judge would make.
fn any_finding() -> impl Strategy<Value = Finding> {
    let aspects = [
        Aspect::Latency,
        Aspect::Errors,
        Aspect::Volume,
        Aspect::Mix,
        Aspect::Presence,
        Aspect::Shape,
        Aspect::Value,
        Aspect::Facts,
        Aspect::Sampling,
        Aspect::Structure,
    ];
    let levels = [Level::Info, Level::Warning, Level::Critical];
    let place = prop_oneof![Just(None), Just(Some("shop/checkout".to_owned())), any::<Option<String>>()];
    let operation = prop_oneof![Just(None), Just(Some("POST /checkout".to_owned())), any::<Option<String>>()];
    let tolerance = proptest::option::of(any::<f64>());
    (
        (any::<String>(), any::<String>(), any::<String>(), any::<Option<String>>()),
        (proptest::sample::select(aspects.to_vec()), proptest::sample::select(levels.to_vec())),
        (place, operation, tolerance),
    )
        .prop_map(
            |((id, message, action, waived_by), (aspect, level), (service, operation, tolerance))| Finding {
                id,
                level,
                aspect,
                service,
                operation,
                title: message.clone(),
                message,
                action,
                evidence: tolerance
                    .map(|t| ("tolerance".to_owned(), serde_json::json!(t)))
                    .into_iter()
                    .collect(),
                waived_by,
                item: None,
                owner: None,
            },
        )
}

/// Numbers that a report should not hold are in it nonetheless: renderers must not fail on them.
fn spoiled(mut report: Report, values: &[f64]) -> Report {
    let mut values = values.iter().copied().cycle();
    let mut next = || values.next().unwrap_or(f64::NAN);
    report.score = next();
    for service in &mut report.services {
        service.score = next();
        service.coverage.ratio = next();
        for op in &mut service.operations {
            for quantile in &mut op.latency.quantiles {
                quantile.q = next();
                quantile.baseline_s = next().into();
                quantile.ratio = next().into();
                quantile.ratio_low = next().into();
            }
            op.errors.baseline.rate = next().into();
            op.errors.delta_low = next().into();
            op.latency.n_baseline = next() as u64;
        }
        for value in &mut service.values {
            (value.baseline, value.candidate, value.ratio) = (Some(next()), Some(next()), Some(next()));
            (value.ratio_low, value.difference_low, value.tolerance) = (Some(next()), Some(next()), next());
        }
    }
    report
}

proptest! {
    #[test]
    fn neither_explaining_nor_junit_fails_on_a_finding_of_the_report(findings in prop::collection::vec(any_finding(), 1..5)) {
        let report = Report { findings, ..regression() };
        for finding in &report.findings {
            let text = explain(&report, Some(&finding.id)).expect("the id is in the report");
            let safe = !text.contains('\u{1b}');
            prop_assert!(safe && text.contains("What to do"));
        }
        prop_assert!(explain(&report, None).is_ok());
        let xml = isotel::report::junit::of_report(&report);
        prop_assert!(roxmltree::Document::parse(&xml).is_ok(), "{}", xml);
    }

    #[test]
    fn no_rendering_fails_on_any_numbers(
        values in prop::collection::vec(any::<f64>(), 1..9), width in 0_usize..200, verbose: bool,
    ) {
        for (_, report) in reports() {
            let report = spoiled(report, &values);
            let text = to_table(&report, &TableOptions { width, verbose, ..TableOptions::default() });
            prop_assert!(!text.contains("NaN"), "{}", text);
            prop_assert!(!to_markdown(&report).contains("NaN"));
            prop_assert!(explain(&report, None).is_ok());
            to_json(&report);
        }
    }
}

#[test]
fn no_line_of_the_table_is_wider_than_asked_whatever_the_names() {
    let long = "a-name/that.goes_on ".repeat(20);
    let mut report = regression();
    report.comparison = long.clone();
    report.candidate.environment = long.clone();
    report.findings[0].title = long.clone();
    report.findings[1].id = long.clone();
    report.services[0].service = long.clone();
    report.services[0].operations[0].operation = long.clone().into();
    report.services[0].operations[0].kind = long.clone().into();
    report.services[0].coverage.missing[0] = long.replace(' ', "");
    report.services[0].facts[0].key = long;
    for width in 76..160 {
        let text = to_table(&report, &TableOptions { width, ..TableOptions::default() });
        let widest = text.lines().max_by_key(|line| line.chars().count()).unwrap_or_default();
        assert!(widest.chars().count() <= width, "{width}: {widest}");
    }
}

#[test]
fn a_verdict_from_before_rules_and_owners_is_still_read() {
    let mut value: serde_json::Value = serde_json::from_str(&to_json(&regression())).unwrap();
    for service in value["services"].as_array_mut().unwrap() {
        for fact in service["facts"].as_array_mut().unwrap() {
            let keep = ["key", "baseline", "candidate", "equal"];
            fact.as_object_mut().unwrap().retain(|key, _| keep.contains(&key.as_str()));
        }
    }
    let report = from_json(&value.to_string()).unwrap();
    let fact = &report.services[0].facts[2];
    assert_eq!((fact.equal, fact.rule, fact.broken), (false, None, false));
    assert!(to_table(&report, &TableOptions::default()).contains("k8s.node.architecture: amd64 → absent"));
}

#[test]
fn an_empty_report_still_reads_as_one() {
    let mut report = empty("nothing", "prod", "canary");
    assert!(to_table(&report, &TableOptions::default()).starts_with("– NO DATA  nothing\n"));
    report.services = vec![service("cart", Verdict::NoData, 0.0)];
    assert!(to_markdown(&report).starts_with("### – no data"));
    assert!(explain(&report, None).is_ok_and(|text| text.contains("Findings: none")));
    assert_eq!(without_data().findings.len(), 1);
}

#[test]
fn prometheus_text_is_as_reviewed() {
    let (regression, without_data) = (regression(), without_data());
    let page = |reports: Vec<&Report>| prometheus::render(reports, None).collect::<String>();
    insta::assert_snapshot!("prometheus", page(vec![&regression, &without_data]));
    assert_eq!(page(Vec::new()), "");
}
