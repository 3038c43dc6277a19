//! What a request leads to.

use super::build::*;
use isotel::engine::Engine;
use isotel::judge::verdict::{Finding, StructureResult};
use isotel::judge::{Aspect, Report, Verdict};
use isotel::wire::Signal;

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
