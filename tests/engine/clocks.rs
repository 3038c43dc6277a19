//! Clocks of the two sides, by how long after its end a span arrives.

use crate::build::*;
use isotel::engine::{Engine, Plan};
use isotel::judge::{Aspect, Level, Report};
use isotel::wire::Signal;

/// The report on two minutes of spans that take half a second to arrive or a little more. The candidate's clock is
/// `ahead_ms` milliseconds ahead.
fn with_clocks(observed_from_ns: u64, ahead_ms: i64) -> Report {
    let mut engine = Engine::new(Plan { observed_from_ns, ..plan() }, 2);
    let ingest = engine.ingest();
    for second in 0..120 {
        let now_ns = T0 + second * 1_000 * MS;
        for (side, ahead_ms) in [(PROD, 0), (CANARY, ahead_ms)] {
            let end_ns = now_ns.saturating_add_signed((ahead_ms - 500 - (second % 3) as i64) * MS as i64);
            ingest
                .observe(now_ns, None, Signal::Traces, &traces(side, vec![span(end_ns, MS)]))
                .expect("a request");
        }
    }
    engine.finish(T0 + 2 * MINUTE, GENERATED_AT);
    Report::clone(engine.reports().next().expect("judged"))
}

#[test]
fn clocks_that_disagree_are_told_with_both_delays_and_one_that_is_ahead_by_name() {
    let behind = "at least 0.5 s after they end in the baseline and at least 5.5 s after they end in the candidate: their";
    let ahead = "up to 4.5 s before they end in the candidate: a clock is ahead of the agent's, and the sides are 5.0 s";
    for (ahead_ms, delay, words) in
        [(0, 0.5, None), (1_900, -1.4, None), (-5_000, 5.5, Some(behind)), (5_000, -4.5, Some(ahead))]
    {
        let report = with_clocks(T0 - MINUTE, ahead_ms);
        let arrival = report.arrival.expect("live");
        assert_eq!((arrival.baseline_delay_s, arrival.candidate_delay_s), (Some(0.5), Some(delay)));
        let finding = report.findings.iter().find(|finding| finding.title == "clocks disagree");
        assert_eq!(finding.is_some(), words.is_some(), "{ahead_ms} ms");
        if let Some((finding, words)) = finding.zip(words) {
            assert_eq!((finding.level, finding.aspect), (Level::Warning, Aspect::Volume));
            assert!(finding.message.contains(words), "{}", finding.message);
            assert_eq!(finding.evidence["candidate_delay_s"], delay);
        }
    }
}

#[test]
fn recordings_arrive_at_no_time_and_say_nothing_of_clocks() {
    let report = with_clocks(0, 5_000);
    assert_eq!(report.arrival, None);
    assert!(report.findings.iter().all(|finding| finding.title != "clocks disagree"));
}
