//! What holds of the judge whatever the traffic is: symmetry, units, bins, more data, and the cases that other judges are
//! known to have passed.
//!
//! What it proves: invariances, and that too little evidence is never called parity. What it does not: how often the judge
//! is wrong (benches/calibration.rs).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends by panicking")]

use isotel::judge::evidence::SideEvidence;
use isotel::judge::latency::examine;
use isotel::judge::verdict::LatencyResult;
use isotel::judge::{Tolerances, Verdict, errors};
use isotel::model::InstanceId;
use isotel::sketch::InstanceCounts;
use isotel::stats::{Bin, Distribution, ks};
use isotel::window::SealedCell;
use proptest::collection::vec;
use proptest::prelude::*;
use std::borrow::Cow;

/// One window of requests: durations in nanoseconds, and how many of them failed.
fn cell(durations_ns: &[u64], errors: u64) -> SealedCell {
    let mut cell = SealedCell { errors, ..SealedCell::default() };
    let mut pod = InstanceCounts::default();
    for (at, duration) in durations_ns.iter().enumerate() {
        cell.latency.record(*duration, 1);
        pod.record(*duration, (at as u64) < errors);
    }
    cell.instances.push((InstanceId(1), pod));
    cell
}

fn latency(baseline: &[u64], candidate: &[u64]) -> LatencyResult {
    let cells = (cell(baseline, 0), cell(candidate, 0));
    let (mut b, mut c) = (SideEvidence::default(), SideEvidence::default());
    b.add(0, 0, Cow::Borrowed(&cells.0));
    c.add(0, 0, Cow::Borrowed(&cells.1));
    let evidence = examine(&b, &c, &Tolerances::default());
    let p = evidence.p;
    evidence.conclude(p, Tolerances::default().alpha)
}

fn error_verdict(baseline: (u64, u64), candidate: (u64, u64)) -> Verdict {
    let side = |(n, errors): (u64, u64)| cell(&vec![1_000_000; n as usize], errors);
    let cells = (side(baseline), side(candidate));
    let (mut b, mut c) = (SideEvidence::default(), SideEvidence::default());
    b.add(0, 0, Cow::Borrowed(&cells.0));
    c.add(0, 0, Cow::Borrowed(&cells.1));
    let evidence = errors::examine(&b, &c, &Tolerances::default());
    let p = evidence.p;
    evidence.conclude(p, Tolerances::default().alpha).verdict
}

const MS: u64 = 1_000_000;

#[test]
fn what_other_judges_are_known_to_have_passed_is_never_parity() {
    // spinnaker/kayenta#633: four points a side, +650 %.
    let few = latency(&[10 * MS, 11 * MS, 10 * MS, 12 * MS], &[75 * MS, 80 * MS, 74 * MS, 79 * MS]);
    // spinnaker/spinnaker#6278: seven of ten points a hundred times as large.
    let mut spiked = vec![10 * MS; 10];
    spiked[3..].fill(1_000 * MS);
    let spikes = latency(&[10 * MS; 10], &spiked);
    // spinnaker/kayenta#733: twice as much, on thirty points.
    let steady: Vec<u64> = (0..30).map(|n| (20 + n % 5) * MS).collect();
    let doubled: Vec<u64> = steady.iter().map(|ns| ns * 2057 / 1000).collect();
    let double = latency(&steady, &doubled);
    // spinnaker/kayenta#780: the median stays and the variance grows.
    let narrow: Vec<u64> = (0..400).map(|n| (95 + n % 11) * MS).collect();
    let wide: Vec<u64> = (0..400).map(|n| (20 + n % 161) * MS).collect();
    let variance = latency(&narrow, &wide);
    for (case, result) in [("#633", few), ("#6278", spikes), ("#733", double)] {
        assert_eq!(result.verdict, Verdict::Inconclusive, "{case}");
        assert!(!result.reason.is_empty() && result.needs.is_some(), "{case}: {result:?}");
    }
    assert_eq!(variance.verdict, Verdict::Divergent, "#780: {variance:?}");
    // spinnaker/kayenta#426 and #799: errors only on the canary, and few of them.
    assert_eq!(error_verdict((60, 0), (60, 4)), Verdict::Inconclusive);
    assert_eq!(error_verdict((2_000, 0), (2_000, 120)), Verdict::Divergent);
}

#[test]
fn below_the_floor_only_what_everybody_can_see_is_divergent() {
    let around = |ms: u64, n: u64| (0..n).map(|i| (ms * 10 + i) * MS / 10).collect::<Vec<_>>();
    let verdict = |factor: u64, n: u64| latency(&around(20, 19), &around(20 * factor, n)).verdict;
    assert_eq!(verdict(30, 9), Verdict::Divergent);
    assert_eq!(verdict(30, 7), Verdict::Inconclusive, "seven requests can be one burst");
    assert_eq!(verdict(2, 9), Verdict::Inconclusive, "twice is too little for so few");
    let mut half = around(600, 20);
    half[..10].fill(20 * MS);
    assert_eq!(latency(&around(20, 19), &half).verdict, Verdict::Inconclusive, "half of them is too few");
    assert_eq!(latency(&around(600, 19), &around(20, 9)).verdict, Verdict::Divergent, "faster as well");
}

#[test]
fn parity_of_whole_distributions_is_asked_for_where_the_tolerance_says_so() {
    let side = |n: u64| (0..n).map(|i| (100 + i % 97) * MS / 10).collect::<Vec<_>>();
    let verdict = |n: u64, require_distribution: bool| {
        let cells = (cell(&side(n), 0), cell(&side(n), 0));
        let (mut b, mut c) = (SideEvidence::default(), SideEvidence::default());
        b.add(0, 0, Cow::Borrowed(&cells.0));
        c.add(0, 0, Cow::Borrowed(&cells.1));
        let tolerances = Tolerances { require_distribution, ..Tolerances::default() };
        let evidence = examine(&b, &c, &tolerances);
        let p = evidence.p;
        evidence.conclude(p, tolerances.alpha)
    };
    assert_eq!(verdict(500, false).verdict, Verdict::Parity);
    let few = verdict(500, true);
    assert_eq!(few.verdict, Verdict::Inconclusive);
    assert!(few.reason.contains("within 0.12 of each other, where 0.10 is asked for"), "{}", few.reason);
    assert_eq!(verdict(2_000, true).verdict, Verdict::Parity);
}

#[test]
fn degenerate_input_has_a_verdict_a_reason_and_no_number_that_is_none() {
    for (baseline, candidate) in [
        (vec![], vec![MS; 60]),
        (vec![MS], vec![MS]),
        (vec![0; 100], vec![0; 100]),
        (vec![MS; 500], vec![MS; 500]),
        (vec![MS; 500], vec![2 * MS; 500]),
        (vec![1; 100], vec![u64::MAX; 100]),
    ] {
        let result = latency(&baseline, &candidate);
        assert!(!result.reason.is_empty(), "{result:?}");
        // Figures are finite or absent.
        let mut ks = result.ks.iter().flat_map(|ks| [ks.d, ks.p_value, ks.p_adjusted]);
        assert!(ks.all(f64::is_finite), "{result:?}");
    }
    assert_eq!(latency(&[MS; 500], &[MS; 500]).verdict, Verdict::Parity);
    assert_eq!(latency(&[10 * MS; 500], &[20 * MS; 500]).verdict, Verdict::Divergent);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn exchanging_the_sides_turns_every_ratio_over_and_keeps_the_verdict(
        baseline in vec(5 * MS..60 * MS, 60..300),
        candidate in vec(5 * MS..60 * MS, 60..300),
        factor in 1..4_u64,
    ) {
        let candidate: Vec<u64> = candidate.iter().map(|ns| ns * factor).collect();
        // A floor is a difference and not a ratio; here it is below the relative tolerance on both sides.
        let (there, back) = (latency(&baseline, &candidate), latency(&candidate, &baseline));
        prop_assert_eq!(there.verdict, back.verdict);
        prop_assert_eq!(there.ks.map(|ks| ks.d), back.ks.map(|ks| ks.d));
        for (there, back) in there.quantiles.iter().zip(&back.quantiles) {
            let near = |a: Option<f64>, b: Option<f64>| match (a, b) {
                (Some(a), Some(b)) => (a * b - 1.0).abs() < 1e-9,
                (a, b) => a.is_none() && b.is_none(),
            };
            prop_assert!(near(there.ratio.get(), back.ratio.get()), "{there:?} {back:?}");
            prop_assert!(near(there.ratio_low.get(), back.ratio_high.get()), "{there:?} {back:?}");
        }
    }

    #[test]
    fn the_order_of_requests_does_not_matter(
        mut baseline in vec(MS..60 * MS, 60..200),
        mut candidate in vec(MS..60 * MS, 60..200),
    ) {
        let first = latency(&baseline, &candidate);
        baseline.reverse();
        candidate.sort_unstable();
        prop_assert_eq!(latency(&baseline, &candidate), first);
    }

    #[test]
    fn finer_bins_never_lower_what_is_known_of_d(
        counts in vec((0..50_u32, 0..50_u32), 8..40),
    ) {
        prop_assume!(counts.iter().map(|(b, _)| b).sum::<u32>() > 0);
        prop_assume!(counts.iter().map(|(_, c)| c).sum::<u32>() > 0);
        let sides = |step: usize| {
            let side = |of: fn(&(u32, u32)) -> u32| {
                let bins = counts.chunks(step).enumerate().map(|(at, chunk)| Bin {
                    lower: (at * step) as f64,
                    upper: (at * step + chunk.len()) as f64,
                    count: f64::from(chunk.iter().map(of).sum::<u32>()),
                });
                Distribution::new(bins.collect()).unwrap()
            };
            ks::two_sample(&side(|(b, _)| *b), &side(|(_, c)| *c)).unwrap()
        };
        let (fine, coarse) = (sides(1), sides(4));
        prop_assert!(fine.d_low >= coarse.d_low - 1e-12, "{fine:?} {coarse:?}");
        prop_assert!(fine.d_high <= coarse.d_high + 1e-12, "{fine:?} {coarse:?}");
    }

    #[test]
    fn more_of_the_same_never_widens_an_interval(
        baseline in vec(5 * MS..60 * MS, 220..400),
        candidate in vec(5 * MS..60 * MS, 220..400),
    ) {
        let twice = |values: &[u64]| [values, values].concat();
        let once = latency(&baseline, &candidate);
        let more = latency(&twice(&baseline), &twice(&candidate));
        for (once, more) in once.quantiles.iter().zip(&more.quantiles).filter(|(once, _)| once.q <= 0.95) {
            if let (Some(low), Some(high)) = (once.ratio_low.get(), once.ratio_high.get()) {
                // An interval ends at a value that was seen, so it may move by one value's step.
                prop_assert!(more.ratio_low.get().unwrap() >= low * 0.97, "{once:?} {more:?}");
                prop_assert!(more.ratio_high.get().unwrap() <= high * 1.03, "{once:?} {more:?}");
            }
        }
    }
}
