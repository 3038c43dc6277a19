//! Spans that name a parent, and whether it came.

use crate::build::*;
use isotel::engine::{Engine, Plan};
use isotel::judge::verdict::SideCompleteness;
use isotel::judge::{Aspect, Level, Report};
use isotel::wire::Signal;
use opentelemetry_proto::tonic::trace::v1::Span;

const REQUESTS: u64 = 600;

/// A request's call in the gateway, which is the root of a trace of its own.
fn call(request: u64, end_ns: u64) -> Span {
    Span { trace_id: trace_id(request), span_id: vec![1; 8], kind: 3, ..span(end_ns, 3 * MS) }
}

/// The same request in the cart.
fn served(request: u64, end_ns: u64) -> Span {
    Span { trace_id: trace_id(request), span_id: vec![2; 8], parent_span_id: vec![1; 8], ..span(end_ns, MS) }
}

fn trace_id(request: u64) -> Vec<u8> {
    (u128::from(request) + 1).to_be_bytes().to_vec()
}

fn gateway(side: Sender<'static>) -> Sender<'static> {
    Sender { service: "gateway", ..side }
}

/// Ten minutes of requests to the cart through the gateway, whose call comes where `comes` says so.
fn judged(comes: impl Fn(Sender<'_>, u64) -> bool) -> Report {
    let mut engine = Engine::new(plan(), 2);
    let ingest = engine.ingest();
    for side in [PROD, CANARY] {
        for request in 0..REQUESTS {
            let at = T0 + request * 1_000 * MS;
            observe(&ingest, Signal::Traces, &traces(side, vec![served(request, at)]));
            if comes(side, request) {
                // What ends in the last milliseconds of a minute has a parent that ends in the next one.
                observe(
                    &ingest,
                    Signal::Traces,
                    &traces(gateway(side), vec![call(request, at + MINUTE / 60)]),
                );
            }
        }
    }
    finish(&mut engine)
}

fn side_of(report: &Report, service: &str, side: &str) -> SideCompleteness {
    let service = report.services.iter().find(|known| known.service == service).expect("judged");
    let told = service.completeness.clone().expect("told");
    if side == "prod" { told.baseline } else { told.candidate }.expect("sends")
}

fn share(report: &Report, side: &str) -> (u64, Option<f64>) {
    let side = side_of(report, "cart", side);
    (side.parents_sought, side.broken_parent_share)
}

#[test]
fn parents_that_another_service_sends_are_found_and_roots_look_for_none() {
    let report = judged(|_, _| true);
    assert_eq!([share(&report, "prod"), share(&report, "canary")], [(REQUESTS, Some(0.0)); 2]);
    let root = side_of(&report, "gateway", "canary");
    assert_eq!((root.root_share, root.parents_sought, root.broken_parent_share), (Some(1.0), 0, None));
    assert!(report.findings.iter().all(|finding| finding.level == Level::Info), "{:#?}", report.findings);
}

#[test]
fn parents_that_never_come_more_often_are_one_finding_about_the_spans_that_name_them() {
    let report = judged(|side, request| side == PROD || request % 3 > 0);
    assert_eq!(
        [share(&report, "prod"), share(&report, "canary")],
        [(REQUESTS, Some(0.0)), (REQUESTS, Some(1.0 / 3.0))]
    );
    let told: Vec<_> = report.findings.iter().filter(|finding| finding.level > Level::Info).collect();
    let [finding] = told[..] else { panic!("{told:#?}") };
    assert_eq!((finding.level, finding.aspect), (Level::Warning, Aspect::Structure));
    assert_eq!((finding.service.as_deref(), finding.title.as_str()), (Some("cart"), "parents are missing"));
    assert!(finding.message.contains("33.3 %") && finding.message.contains("0.0 %"), "{}", finding.message);
    assert_eq!(finding.evidence["candidate_share"], 1.0 / 3.0);
}

#[test]
fn parents_that_never_come_as_often_on_both_sides_are_numbers_and_no_finding() {
    let report = judged(|side, request| request % 3 > 0 || (side == PROD && request % 60 == 0));
    assert_eq!(share(&report, "canary").1, Some(1.0 / 3.0));
    assert!(report.findings.iter().all(|finding| finding.level == Level::Info), "{:#?}", report.findings);
}

#[test]
fn a_parent_that_only_the_other_environment_sent_never_came() {
    let report = judged(|side, _| side == PROD);
    assert_eq!([share(&report, "prod").1, share(&report, "canary").1], [Some(0.0), Some(1.0)]);
}

#[test]
fn a_live_agent_waits_for_parents_that_end_in_the_next_window() {
    let mut engine = Engine::new(Plan { observed_from_ns: T0, ..plan() }, 2);
    let ingest = engine.ingest();
    let mut sought = Vec::new();
    for minute in 0..6 {
        let now_ns = T0 + minute * MINUTE + MINUTE / 2;
        for side in [PROD, CANARY] {
            // The request of a minute ends with its parent in the next one.
            for request in 60 * minute..60 * (minute + 1) {
                let mut sent = vec![(side, served(request, now_ns))];
                sent.extend(request.checked_sub(60).map(|request| (gateway(side), call(request, now_ns))));
                for (sender, span) in sent {
                    ingest
                        .observe(now_ns, None, Signal::Traces, &traces(sender, vec![span]))
                        .expect("a request");
                }
            }
        }
        engine.advance(now_ns, GENERATED_AT);
        if let Some(report) = engine.reports().next() {
            let (n, broken) = share(report, "canary");
            assert_eq!(broken.unwrap_or(0.0), 0.0, "minute {minute}");
            sought.push(n);
        }
    }
    // What was there before the agent is not known in the first window, and nothing lies behind the newest one.
    assert_eq!(sought, [0, 0, 60, 120, 180]);
    engine.finish(T0 + 6 * MINUTE, GENERATED_AT);
    assert_eq!(share(engine.reports().next().expect("judged"), "canary"), (240, Some(0.0)));
}
