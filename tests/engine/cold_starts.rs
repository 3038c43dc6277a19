//! A function that was started for the call: a series of its own.

use crate::build::*;
use isotel::engine::Engine;
use isotel::judge::Verdict;
use isotel::wire::Signal;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::AggregationTemporality::Delta;
use opentelemetry_proto::tonic::trace::v1::Span;

fn call(at: u64, cold_start: bool, duration_ns: u64) -> Span {
    let mut span = span(T0 + at * 100 * MS, duration_ns);
    span.attributes.push(attribute("faas.coldstart", Value::BoolValue(cold_start)));
    span
}

/// Warm calls of ten milliseconds, and cold ones of a second that all fail.
fn calls(warm: u64, cold: u64) -> Vec<Span> {
    let warm = (0..warm).map(|at| call(at, false, 10 * MS + at));
    warm.chain((0..cold).map(|at| failed(call(at, true, 1_000 * MS + at)))).collect()
}

#[test]
fn cold_starts_neither_slow_the_warm_operation_nor_get_lost() {
    let mut engine = Engine::new(plan(), 1);
    let ingest = engine.ingest();
    observe(&ingest, Signal::Traces, &traces(PROD, calls(1_000, 100)));
    observe(&ingest, Signal::Traces, &traces(CANARY, calls(1_000, 300)));
    let report = finish(&mut engine);
    let operations = &report.services[0].operations;
    let told: Vec<_> = operations
        .iter()
        .map(|o| (&*o.operation, o.latency.n_baseline, o.latency.n_candidate, o.errors.candidate.errors))
        .collect();
    assert_eq!(told, [("GET /cart", 1_000, 1_000, 0), ("GET /cart (cold start)", 100, 300, 300)]);
    assert_eq!(operations[0].verdict, Verdict::Parity);
    let durations = |at: usize| operations[at].latency.quantiles[0].candidate_s.get().expect("a median");
    assert!(durations(0) < 0.02 && durations(1) > 0.9);
    // That there are three times as many of them is told.
    let mix = report.findings.iter().find(|finding| finding.message.contains("(cold start)"));
    assert!(mix.is_some(), "{:?}", report.findings);
}

#[test]
fn an_environment_without_cold_starts_lacks_no_telemetry() {
    let mut engine = Engine::new(plan(), 1);
    let ingest = engine.ingest();
    observe(&ingest, Signal::Traces, &traces(PROD, calls(1_000, 30)));
    observe(&ingest, Signal::Traces, &traces(CANARY, calls(1_000, 0)));
    let report = finish(&mut engine);
    let coverage = &report.services[0].coverage;
    assert_eq!((coverage.missing.len(), coverage.ratio), (0, 1.0));
    assert_eq!(report.verdict, Verdict::Parity, "{}", report.summary);
}

#[test]
fn only_a_true_value_of_the_right_type_is_a_cold_start() {
    let mut engine = Engine::new(plan(), 1);
    let ingest = engine.ingest();
    for value in [Value::BoolValue(false), Value::StringValue("no".to_owned()), Value::IntValue(1)] {
        let mut span = span(T0, MS);
        span.attributes.push(attribute("faas.coldstart", value));
        observe(&ingest, Signal::Traces, &traces(PROD, vec![span]));
    }
    engine.finish(NOW, GENERATED_AT);
    assert_eq!(spans_by_operation(&engine), [(("prod".to_owned(), "GET /cart".to_owned()), 3)].into());
}

#[test]
fn duration_metrics_of_cold_starts_are_apart_too() {
    let mut engine = Engine::new(plan(), 1);
    let ingest = engine.ingest();
    for cold_start in [false, true] {
        let mut points = durations(T0, T0 + 1, [60, 0]);
        points.attributes.push(attribute("faas.coldstart", Value::BoolValue(cold_start)));
        for sender in [PROD, CANARY] {
            observe(&ingest, Signal::Metrics, &metrics(sender, vec![histogram(Delta, vec![points.clone()])]));
        }
    }
    let report = finish(&mut engine);
    let operations = report.services[0].operations.iter();
    let told: Vec<_> = operations.map(|o| (&*o.operation, o.latency.n_baseline)).collect();
    assert_eq!(told, [("GET /cart", 60), ("GET /cart (cold start)", 60)]);
}
