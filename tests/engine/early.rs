//! What a live comparison says before it can decide.

use crate::build::*;
use isotel::engine::{Engine, Plan};
use isotel::judge::verdict::{OperationResult, Verdict};
use isotel::wire::Signal;
use opentelemetry_proto::tonic::trace::v1::Span;

/// Judged after so many whole windows in which the candidate's requests take so long, and the baseline's 5 ms.
fn after(windows: u64, candidate_ms: u64) -> OperationResult {
    let mut engine = Engine::new(Plan { observed_from_ns: T0, ..plan() }, 1);
    let ingest = engine.ingest();
    // One more has begun, which completes those before it.
    for window in 0..=windows {
        let now_ns = T0 + (window + 1) * MINUTE;
        for (environment, ms) in [("prod", 5), ("canary", candidate_ms)] {
            for instance in ["a", "b"] {
                let sender = Sender { environment, service: "cart", instance };
                // Sixty seconds of four requests each.
                let at = |i: u64| T0 + window * MINUTE + i * MINUTE / 240;
                let spans: Vec<Span> = (0..240).map(|i| span(at(i), ms * MS + i * MS / 300)).collect();
                ingest.observe(now_ns, None, Signal::Traces, &traces(sender, spans)).expect("a request");
            }
        }
        engine.advance(now_ns + 20_000 * MS, GENERATED_AT);
    }
    let report = engine.reports().next().expect("one comparison");
    report.services[0].operations[0].clone()
}

#[test]
fn before_the_fifth_window_the_windows_that_are_missing_are_told_and_how_long_they_take() {
    for candidate_ms in [5, 10] {
        let early = after(4, candidate_ms);
        let said = "nothing is decided before 5 windows, which show how load drifts; there are 4";
        assert_eq!(
            (early.verdict, &*early.latency.reason, &*early.errors.reason),
            (Verdict::Inconclusive, said, said)
        );
        let needs = early.latency.needs.expect("it is known");
        assert_eq!(
            (needs.n, needs.minutes.get()),
            (early.latency.n_baseline * 5 / 4, Some(1.0)),
            "{candidate_ms}"
        );
    }
}

#[test]
fn at_the_fifth_window_it_decides() {
    let (alike, other) = (after(5, 5), after(5, 10));
    assert_eq!(
        (alike.verdict, other.verdict),
        (Verdict::Parity, Verdict::Divergent),
        "{}",
        other.latency.reason
    );
}
