//! What a request leads to.

use super::build::*;
use isotel::engine::Engine;
use isotel::judge::verdict::{Finding, StructureResult};
use isotel::judge::{Aspect, Report, Verdict};
use isotel::wire::Signal;
use opentelemetry_proto::tonic::common::v1::any_value::Value;

const REQUESTS: u64 = 600;

/// Ten minutes of requests; each makes this many calls in prod and in canary.
fn report(calls: [u64; 2]) -> Report {
    let mut engine = Engine::new(plan(), 1);
    let ingest = engine.ingest();
    for (sender, calls) in [PROD, CANARY].into_iter().zip(calls) {
        for request in 0..REQUESTS {
            let end_ns = T0 + request * 1_000 * MS;
            let mut spans = vec![span_of("/cart", end_ns)];
            // One call more and one less in turn, so that there is a variance.
            let varied = (calls + request % 2).saturating_sub((request + 1) % 2);
            spans.extend((0..varied).map(|_| call(end_ns)));
            observe(&ingest, Signal::Traces, &traces(sender, spans));
        }
    }
    finish(&mut engine)
}

fn call(end_ns: u64) -> opentelemetry_proto::tonic::trace::v1::Span {
    opentelemetry_proto::tonic::trace::v1::Span {
        kind: 3,
        attributes: vec![
            text("rpc.service", "Catalog"),
            text("rpc.method", "GetProduct"),
            text("rpc.system", "grpc"),
        ],
        ..span(end_ns, MS)
    }
}

fn of_calls(report: &Report) -> StructureResult {
    let operations = report.services.iter().flat_map(|service| &service.operations);
    operations.filter_map(|operation| operation.structure).next().expect("calls are judged")
}

fn findings(report: &Report) -> Vec<&Finding> {
    report.findings.iter().filter(|finding| finding.aspect == Aspect::Structure).collect()
}

#[test]
fn a_request_that_leads_to_a_fifth_of_the_calls_is_divergent_though_it_is_as_fast() {
    let report = report([10, 2]);
    let calls = of_calls(&report);
    assert_eq!((calls.verdict, report.verdict), (Verdict::Divergent, Verdict::Divergent));
    assert!((calls.ratio - 0.2).abs() < 0.02 && calls.ratio_high < 0.5, "{calls:?}");
    let [finding] = findings(&report)[..] else { panic!("{:?}", report.findings) };
    assert_eq!(finding.operation.as_deref(), Some("Catalog/GetProduct"));
    assert!(finding.message.contains("2.00 times per request instead of 10.00"), "{}", finding.message);
    assert_eq!(report.aspects[&Aspect::Structure].verdict, Verdict::Divergent);
}

#[test]
fn a_third_more_calls_are_within_what_a_mix_of_requests_can_do() {
    let report = report([6, 8]);
    assert_eq!(of_calls(&report).verdict, Verdict::Parity);
    assert!(findings(&report).is_empty() && report.verdict == Verdict::Parity, "{:?}", report.findings);
}

fn failed_with(error_type: &str, end_ns: u64) -> opentelemetry_proto::tonic::trace::v1::Span {
    let mut span = failed(span(end_ns, MS));
    span.attributes.push(text("error.type", error_type));
    span
}

/// Both sides' spans, one a second.
fn judged(side: impl Fn(Sender<'static>, u64) -> Vec<opentelemetry_proto::tonic::trace::v1::Span>) -> Report {
    let mut engine = Engine::new(plan(), 2);
    let ingest = engine.ingest();
    for sender in [PROD, CANARY] {
        for second in 0..REQUESTS {
            let spans = side(sender, T0 + second * 1_000 * MS);
            observe(&ingest, Signal::Traces, &traces(sender, spans));
        }
    }
    finish(&mut engine)
}

#[test]
fn an_error_type_that_only_the_candidate_shows_is_a_warning_though_the_rate_is_the_same() {
    let report = judged(|sender, at| {
        let error_type = if sender == CANARY { "java.net.SocketTimeoutException" } else { "timeout" };
        let seventh = (at / (1_000 * MS)).is_multiple_of(40);
        vec![if seventh { failed_with(error_type, at) } else { span(at, MS) }]
    });
    let new: Vec<_> = report.findings.iter().filter(|f| f.title == "new error type").collect();
    let [finding] = new[..] else { panic!("{:?}", report.findings) };
    assert_eq!(finding.evidence["error_type"], "java.net.SocketTimeoutException");
    assert_eq!(finding.evidence["count"].as_u64(), Some(15));
    assert_ne!(report.verdict, Verdict::Divergent);
    assert!(report.services[0].coverage.missing.is_empty(), "a failure is not expected telemetry");
}

#[test]
fn a_slower_operation_is_told_with_the_tolerance_that_it_was_held_to_and_a_floor_never_makes_it_wider_than_tenfold()
 {
    for (durations_ns, tolerance) in
        [([2_000, 3 * MS], 10.0), ([MS, 3 * MS], 0.5), ([100 * MS, 300 * MS], 0.15)]
    {
        let report = judged(|sender, at| vec![span(at, durations_ns[usize::from(sender == CANARY)])]);
        let slower = report.findings.iter().find(|finding| finding.title == "slower").unwrap();
        let told = slower.evidence["tolerance"].as_f64().unwrap();
        assert!((told / tolerance - 1.0).abs() < 0.02, "{told} for {durations_ns:?}");
    }
}

#[test]
fn a_code_is_the_same_error_type_with_and_without_the_attribute_that_repeats_it() {
    let report = judged(|sender, at| {
        let mut failing = failed(span(at, MS));
        let previous = sender == PROD;
        let key = if previous { "http.status_code" } else { "http.response.status_code" };
        failing.attributes.push(attribute(key, Value::IntValue(503)));
        failing.attributes.extend((!previous).then(|| text("error.type", "503")));
        vec![failing]
    });
    assert!(report.findings.iter().all(|f| f.title != "new error type"), "{:?}", report.findings);
}

#[test]
fn error_types_beyond_the_limit_are_counted_and_take_no_place_of_telemetry() {
    let limits = isotel::model::Limits { error_types_per_service: 3, ..Default::default() };
    let mut engine = Engine::new(limited(limits), 1);
    let ingest = engine.ingest();
    let spans = (0..10).map(|n| failed_with(&format!("message {n}"), T0 + n)).collect();
    observe(&ingest, Signal::Traces, &traces(PROD, spans));
    let report = finish(&mut engine);
    assert_eq!((hits(&report, "error_types_per_service"), hits(&report, "items")), (7, 0));
}

#[test]
fn a_shifted_mix_moves_the_total_and_not_the_standardised_one() {
    // Slow requests are 10 % in prod and 50 % in canary; both operations are as fast as before.
    let report = judged(|sender, at| {
        let every = if sender == CANARY { 2 } else { 10 };
        let slow = (at / (1_000 * MS)).is_multiple_of(every);
        let mut request = span_of(if slow { "/report" } else { "/cart" }, at);
        request.start_time_unix_nano = at - if slow { 100 } else { 2 } * MS;
        vec![request]
    });
    let total = report.services[0].total.as_ref().expect("two operations");
    let middle = total.iter().find(|at| at.q == 0.5).unwrap();
    assert!((middle.baseline_share - 0.1).abs() < 0.01, "{middle:?}");
    assert!((middle.candidate_share - 0.5).abs() < 0.01, "{middle:?}");
    assert!((middle.standardised_share - 0.1).abs() < 0.01 && middle.covered == 1.0, "{middle:?}");
    let mix =
        report.findings.iter().find(|finding| finding.aspect == Aspect::Mix).expect("the mix is another");
    assert!(mix.message.contains("with the baseline's mix"), "{}", mix.message);
    assert_ne!(report.verdict, Verdict::Divergent);
}

#[test]
fn what_is_open_says_how_many_minutes_it_needs_at_the_rate_of_the_period() {
    let report = judged(|sender, at| {
        if sender == CANARY && !(at / (1_000 * MS)).is_multiple_of(10) {
            vec![]
        } else {
            vec![span(at, MS + at / MS % 97 * MS)]
        }
    });
    let latency = &report.services[0].operations[0].latency;
    let needs = latency.needs.expect("60 requests are not enough");
    let rate_per_minute = latency.n_candidate as f64 / 10.0;
    let expected = (needs.n - latency.n_candidate) as f64 / rate_per_minute;
    assert!((needs.minutes.get().unwrap() - expected).abs() <= 0.1 + expected * 0.01, "{needs:?} {expected}");
}
