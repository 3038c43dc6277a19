//! Three signals, and traces that hang together.

use super::build::*;
use isotel::engine::Engine;
use isotel::judge::verdict::{Finding, SideCompleteness};
use isotel::judge::{Aspect, Level, Report};
use isotel::wire::Signal;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::collections::BTreeMap;

const REQUESTS: u64 = 600;

/// Ten minutes of requests, with a metric point and two log records each where `sends` has the signal.
fn judged(sends: impl Fn(Sender<'_>, Signal) -> bool, parent: impl Fn(Sender<'_>, u64) -> bool) -> Report {
    let mut engine = Engine::new(plan(), 2);
    let ingest = engine.ingest();
    for sender in [PROD, CANARY] {
        for request in 0..REQUESTS {
            let at = T0 + request * 1_000 * MS;
            let parent_span_id = if parent(sender, request) { vec![9; 8] } else { Vec::new() };
            let mut resource = sender.resource();
            resource.attributes.push(text("service.version", "1"));
            if sends(sender, Signal::Traces) {
                let span = Span { parent_span_id, ..span(at, MS + request % 7 * MS / 100) };
                observe(&ingest, Signal::Traces, &traces_of(resource.clone(), vec![span]));
            }
            if sends(sender, Signal::Metrics) {
                observe(&ingest, Signal::Metrics, &metrics_of(resource, vec![gauge("queue", at, 1.0)]));
            }
            if sends(sender, Signal::Logs) {
                let record = |severity_number| LogRecord {
                    time_unix_nano: at,
                    severity_number,
                    attributes: vec![text("k", "v")],
                    ..LogRecord::default()
                };
                observe(&ingest, Signal::Logs, &logs(sender, vec![record(9), record(17)]));
            }
        }
    }
    finish(&mut engine)
}

fn candidate(report: &Report) -> SideCompleteness {
    report.services[0].completeness.clone().expect("told").candidate.expect("sends")
}

/// Findings that ask for something.
fn told(report: &Report) -> Vec<&Finding> {
    report.findings.iter().filter(|finding| finding.level > Level::Info).collect()
}

#[test]
fn a_service_with_all_signals_on_both_sides_is_worth_no_finding() {
    let report = judged(|_, _| true, |_, request| request % 4 > 0);
    assert!(told(&report).is_empty(), "{:?}", report.findings);
    let side = candidate(&report);
    assert_eq!(side.signals, ["traces", "metrics", "logs"]);
    assert_eq!((side.spans, side.metric_points, side.log_records), (REQUESTS, REQUESTS, 2 * REQUESTS));
    assert_eq!(side.root_share, Some(0.25));
    assert_eq!(report.services[0].completeness.as_ref().unwrap().baseline, Some(side));
}

#[test]
fn a_signal_that_is_gone_is_one_finding_and_not_one_for_each_of_its_items() {
    for (signal, title, items) in
        [(Signal::Logs, "no logs at all", 3), (Signal::Metrics, "no metrics at all", 1)]
    {
        let report = judged(|sender, of| sender == PROD || of != signal, |_, _| true);
        let [finding] = told(&report)[..] else { panic!("{:#?}", report.findings) };
        assert_eq!((finding.aspect, finding.title.as_str()), (Aspect::Presence, title));
        assert_eq!(report.services[0].coverage.missing.len(), items);
        assert_eq!(candidate(&report).signals.len(), 2);
    }
}

#[test]
fn requests_that_come_in_without_a_parent_more_often_are_one_finding() {
    let report = judged(|_, _| true, |sender, request| sender == PROD || request % 3 > 0);
    let [finding] = told(&report)[..] else { panic!("{:#?}", report.findings) };
    assert_eq!((finding.aspect, finding.title.as_str()), (Aspect::Structure, "trace context is lost"));
    assert!(finding.message.contains("33.3 %") && finding.message.contains("0.0 %"), "{}", finding.message);
}

#[test]
fn a_few_requests_more_without_a_parent_are_no_finding() {
    let report = judged(|_, _| true, |sender, request| sender == PROD || request % 25 > 0);
    assert!(told(&report).is_empty(), "{:?}", report.findings);
}

/// The findings on sampling where each of these services samples like this, in prod and in canary.
fn sampled(services: [(&'static str, [&'static str; 2]); 2]) -> Vec<(Option<String>, String)> {
    let mut engine = Engine::new(plan(), 1);
    let ingest = engine.ingest();
    for (service, tracestates) in services {
        for (sender, tracestate) in [PROD, CANARY].into_iter().zip(tracestates) {
            let spans = (0..100)
                .map(|n| Span { trace_state: tracestate.to_owned(), ..span(T0 + n * 1_000 * MS, MS) });
            observe(&ingest, Signal::Traces, &traces(Sender { service, ..sender }, spans.collect()));
        }
    }
    let report = finish(&mut engine);
    let kept: BTreeMap<&str, Option<f64>> = report
        .services
        .iter()
        .map(|s| (s.service.as_str(), s.completeness.clone().unwrap().candidate.unwrap().kept_share))
        .collect();
    assert!(kept.values().all(|share| share.is_some_and(|share| share > 0.0 && share <= 1.0)), "{kept:?}");
    let told = report.findings.into_iter().filter(|finding| finding.aspect == Aspect::Sampling);
    told.map(|finding| (finding.service, finding.message)).collect()
}

#[test]
fn sampling_that_differs_in_one_service_is_told_of_it_and_in_all_services_once() {
    let half = ["", "ot=th:8"];
    let [(service, message)] = &sampled([("cart", ["", ""]), ("pay", half)])[..] else { panic!("one") };
    assert_eq!(service.as_deref(), Some("pay"));
    assert_eq!(
        message,
        "The baseline keeps 100 % of its spans of pay and the candidate 50 %, by their tracestate. Only the candidate says \
         that it samples."
    );
    let [(service, _)] = &sampled([("cart", half), ("pay", half)])[..] else { panic!("one") };
    assert_eq!(*service, None);
    // Nine in ten: adjusted counts are whole, and only the threshold says it.
    let [(service, message)] = &sampled([("cart", ["ot=th:19", ""]), ("pay", ["", ""])])[..] else {
        panic!("one")
    };
    assert!(service.as_deref() == Some("cart") && message.contains("Only the baseline"), "{message}");
    assert!(sampled([("cart", ["ot=th:8"; 2]), ("pay", ["", ""])]).is_empty());
}
