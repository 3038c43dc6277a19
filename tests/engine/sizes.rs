//! Sizes of bodies that spans state are values of their operation.

use super::build::*;
use isotel::engine::{Engine, Plan};
use isotel::judge::policy::{Policy, ValueRule};
use isotel::judge::verdict::{Finding, ValueResult};
use isotel::judge::{Aspect, Level, Report, Verdict};
use isotel::model::Limits;
use isotel::report::to_json;
use isotel::wire::Signal;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;

const NEW: &str = "http.response.body.size";
const OLD: &str = "http.response_content_length";

fn bytes(key: &str, n: i64) -> KeyValue {
    attribute(key, Value::IntValue(n))
}

/// Sizes around `typical` that vary from request to request as they do.
fn varying(typical: i64, n: u64) -> i64 {
    typical * (90 + (n * 8 % 21) as i64) / 100
}

/// Ten minutes of a request a second to `/cart` and `/pay` on both sides; `state` says what the n-th one states.
fn judged(plan: &Plan, shards: usize, state: impl Fn(Sender<'_>, &str, u64) -> Vec<KeyValue>) -> Report {
    let mut engine = Engine::new(plan.clone(), shards);
    let ingest = engine.ingest();
    for n in 0..600 {
        for sender in [PROD, CANARY] {
            let with = |route: &str| {
                let mut span: Span = span_of(route, T0 + n * 1_000 * MS);
                span.attributes.extend(state(sender, route, n));
                span
            };
            observe(&ingest, Signal::Traces, &traces(sender, vec![with("/cart"), with("/pay")]));
        }
    }
    finish(&mut engine)
}

fn about_sizes(report: &Report) -> Vec<&Finding> {
    report.findings.iter().filter(|finding| finding.aspect == Aspect::Value).collect()
}

fn size<'r>(report: &'r Report, operation: &str, statistic: &str) -> &'r ValueResult {
    let name = format!("{NEW}{{{operation}}}");
    let found = report.services[0].values.iter().find(|v| v.metric == name && v.statistic == statistic);
    found.unwrap_or_else(|| panic!("no {name} in {:?}", report.services[0].values))
}

#[test]
fn responses_of_twice_the_size_are_a_warning_of_their_operation_that_decides_nothing() {
    let state = |sender: Sender<'_>, route: &str, n: u64| {
        let typical = if sender == CANARY && route == "/cart" { 4_000 } else { 2_000 };
        vec![bytes(NEW, varying(typical, n))]
    };
    let report = judged(&plan(), 1, state);
    let [finding] = about_sizes(&report)[..] else { panic!("{:#?}", report.findings) };
    assert_eq!((finding.level, finding.operation.as_deref()), (Level::Warning, Some("GET /cart")));
    assert!(finding.message.contains("mean of") && finding.message.contains("Its p50"), "{finding:?}");
    assert_eq!(finding.item.as_deref(), Some("span attribute http.response.body.size{GET /cart (server)}"));
    let median = size(&report, "GET /cart (server)", "p50");
    assert_eq!((&*median.instrument, &*median.unit, median.decides), ("size", "By", false));
    assert!(median.baseline.is_some_and(|size| (1_900.0..2_100.0).contains(&size)), "{median:?}");
    assert_eq!(median.ratio, Some(2.0));
    assert_eq!(size(&report, "GET /pay (server)", "p50").verdict, Verdict::Parity);
    assert_eq!(to_json(&report), to_json(&judged(&plan(), 3, state)), "the same in three shards");
}

#[test]
fn empty_responses_are_smaller_ones() {
    let report = judged(&plan(), 1, |sender, _, n| {
        vec![bytes(NEW, if sender == CANARY { 0 } else { varying(2_000, n) })]
    });
    let median = size(&report, "GET /cart (server)", "p50");
    assert_eq!((median.verdict, median.candidate), (Verdict::Divergent, Some(0.0)));
}

#[test]
fn previous_names_texts_and_both_names_at_once_are_one_size_and_nonsense_is_none() {
    let report = judged(&plan(), 1, |sender, _, n| match (sender == PROD, n % 3) {
        (true, _) => vec![bytes(OLD, 2_000)],
        (false, 0) => vec![text(NEW, "2000"), bytes(OLD, 9_999)],
        (false, 1) => vec![bytes(NEW, -1)],
        (false, _) => vec![text(NEW, "large")],
    });
    assert!(about_sizes(&report).is_empty(), "{:?}", report.findings);
    let mean = size(&report, "GET /cart (server)", "mean");
    assert_eq!((mean.baseline, mean.candidate), (Some(2_000.0), Some(2_000.0)));
    assert_eq!((mean.verdict, mean.windows_candidate), (Verdict::Parity, 10));
}

#[test]
fn a_configured_size_decides() {
    let rule = ValueRule {
        metric: Some(NEW.to_owned()),
        service: None,
        tolerance: 0.10,
        floor: 0.0,
        per_request: false,
        statistic: None,
        by: Vec::new(),
        severity: Level::Critical,
        equal: None,
    };
    let plan = Plan { policy: Policy { values: vec![rule], ..Policy::default() }, ..plan() };
    let report = judged(&plan, 1, |sender, _, n| {
        vec![bytes(NEW, varying(if sender == CANARY { 2_400 } else { 2_000 }, n))]
    });
    let median = size(&report, "GET /cart (server)", "p50");
    assert_eq!((median.decides, median.verdict), (true, Verdict::Divergent));
    assert!(about_sizes(&report).iter().all(|finding| finding.level == Level::Critical));
    assert_eq!(report.verdict, Verdict::Divergent);
}

#[test]
fn sizes_beyond_the_bound_are_counted_and_take_no_place_of_metrics() {
    let mut engine = Engine::new(limited(Limits { values_per_service: 1, ..Limits::default() }), 1);
    let ingest = engine.ingest();
    let with = |route: &str| {
        let mut span = span_of(route, T0);
        span.attributes.push(bytes(NEW, 5));
        span
    };
    for sender in [PROD, CANARY] {
        let spans = vec![with("/a"), with("/b"), with("/c"), with("/b")];
        observe(&ingest, Signal::Traces, &traces(sender, spans));
        observe(&ingest, Signal::Metrics, &metrics(sender, vec![gauge("depth", T0, 1.0)]));
    }
    let report = finish(&mut engine);
    assert_eq!(hits(&report, "values_per_service"), 2, "/b and /c");
    let mut names: Vec<&str> = report.services[0].values.iter().map(|value| &*value.metric).collect();
    names.dedup();
    assert_eq!(names, ["depth", "http.response.body.size{GET /a (server)}"]);
}
