//! Requests per second.

use super::build::*;
use isotel::engine::{Comparisons, Engine, Plan};
use isotel::judge::policy::{Policy, Tolerances};
use isotel::judge::verdict::{Finding, VolumeResult};
use isotel::judge::{Aspect, Report, Verdict};
use isotel::wire::Signal;

/// Up to the skew ahead of [`NOW`].
const WINDOWS: u64 = 24;

/// Judges requests, so many in each window of prod and of canary.
fn judged(tolerance: Option<f64>, traffic: Option<f64>, per_window: [&dyn Fn(u64) -> u64; 2]) -> Report {
    let mut plan = plan();
    plan.policy = Policy {
        tolerances: Tolerances { volume: tolerance, ..Tolerances::default() }.into(),
        ..Policy::default()
    };
    if let Comparisons::Named(named) = &mut plan.comparisons {
        named[0].traffic = traffic;
    }
    run(plan, per_window)
}

fn run(plan: Plan, per_window: [&dyn Fn(u64) -> u64; 2]) -> Report {
    let mut engine = Engine::new(plan, 2);
    let ingest = engine.ingest();
    for (sender, count) in [PROD, CANARY].into_iter().zip(per_window) {
        for window in 0..WINDOWS {
            let n = count(window);
            let at = |request: u64| T0 + window * MINUTE + request * MINUTE / n.max(1);
            let spans = (0..n).map(|request| span(at(request), 5 * MS + request % 7 * MS / 20)).collect();
            let mut resource = sender.resource();
            resource.attributes.push(text("service.version", "1"));
            observe(&ingest, Signal::Traces, &traces_of(resource, spans));
        }
    }
    finish(&mut engine)
}

fn volume(report: &Report) -> &VolumeResult {
    &report.services[0].operations[0].volume
}

fn told(report: &Report) -> Vec<&Finding> {
    report.findings.iter().filter(|finding| finding.aspect == Aspect::Volume).collect()
}

#[test]
fn volume_is_told_and_not_judged_without_a_tolerance() {
    let report = judged(None, None, [&|_| 60, &|_| 30]);
    let found = volume(&report);
    assert_eq!((found.verdict, found.ratio.get(), found.ratio_low.get()), (Verdict::NoData, Some(0.5), None));
    assert_eq!((found.baseline_per_s.get(), found.candidate_per_s.get()), (Some(1.0), Some(0.5)));
    assert_eq!(found.baseline_bursts.map(|bursts| bursts.peak_to_mean), Some(1.0));
    assert!(told(&report).is_empty() && report.verdict == Verdict::Parity, "{:?}", report.findings);
    assert_eq!(report.services[0].volume.as_ref().and_then(|volume| volume.ratio.get()), Some(0.5));
    assert!(!report.aspects.contains_key(&Aspect::Volume));
}

#[test]
fn as_many_requests_are_at_parity_where_volume_is_judged() {
    let report = judged(Some(0.15), None, [&|w| 60 + w % 3, &|w| 60 + w % 2]);
    assert_eq!(
        (volume(&report).verdict, report.verdict),
        (Verdict::Parity, Verdict::Parity),
        "{:?}",
        volume(&report)
    );
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!(report.aspects[&Aspect::Volume].verdict, Verdict::Parity);
}

#[test]
fn half_as_many_requests_are_divergent_and_one_finding_where_volume_is_judged() {
    let report = judged(Some(0.15), None, [&|w| 60 + w % 3, &|w| 30 + w % 2]);
    assert_eq!((volume(&report).verdict, report.verdict), (Verdict::Divergent, Verdict::Divergent));
    let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
    assert_eq!((finding.aspect, finding.title.as_str()), (Aspect::Volume, "fewer requests"));
    assert_eq!(report.services[0].volume.as_ref().map(|volume| volume.verdict), Some(Verdict::Divergent));
}

#[test]
fn a_canary_is_held_against_the_share_that_it_is_meant_to_get() {
    let (prod, canary): (&dyn Fn(u64) -> u64, &dyn Fn(u64) -> u64) = (&|w| 270 + w % 3, &|w| 30 + w % 2);
    let found = judged(Some(0.25), Some(0.1), [prod, canary]);
    assert_eq!(volume(&found).verdict, Verdict::Parity, "{:?}", volume(&found));
    assert!((volume(&found).expected.get().unwrap() - 1.0 / 9.0).abs() < 1e-12);
    let without = judged(Some(0.25), None, [prod, canary]);
    assert_eq!(volume(&without).verdict, Verdict::Divergent);
}

#[test]
fn load_that_comes_in_bursts_decides_nothing_where_an_even_load_would() {
    let bursts = |w: u64| if w.is_multiple_of(6) { 300 } else { 12 };
    let report = judged(Some(0.15), None, [&bursts, &|_| 90]);
    assert_eq!(volume(&report).verdict, Verdict::Inconclusive, "{:?}", volume(&report));
    let even = judged(Some(0.15), None, [&|_| 60, &|_| 90]);
    assert_eq!(volume(&even).verdict, Verdict::Divergent);
}

#[test]
fn the_first_and_last_window_may_be_cut_off_and_are_left_out() {
    let cut = |w: u64| if w == 0 || w == WINDOWS - 1 { 5 } else { 60 };
    let report = judged(Some(0.15), None, [&cut, &|_| 60]);
    assert_eq!((volume(&report).verdict, volume(&report).ratio.get()), (Verdict::Parity, Some(1.0)));
}

#[test]
fn a_side_that_gets_the_same_requests_in_bursts_is_told_whatever_share_it_gets() {
    let bursts = |w: u64| if w.is_multiple_of(4) { 80u64 } else { 8 };
    for (canary, findings) in [(&bursts as &dyn Fn(u64) -> u64, 1), (&|w| 26 + w % 3, 0)] {
        let report = judged(None, Some(0.1), [&|w| 260 + w % 5 * 3, canary]);
        let titles: Vec<_> = told(&report).iter().map(|finding| finding.title.as_str()).collect();
        assert_eq!(titles, vec!["other bursts"; findings]);
    }
}
