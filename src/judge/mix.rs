//! Aspect mix: do both sides ask a service for the same things in the same proportions?
//!
//! Operations are compared one by one, so a shifted mix makes no operation slower. It does make a service's total look
//! slower or faster, and it says that the two sides do not get the same traffic; so it is a finding of its own, and decides
//! nothing. The total is also given as it would be with the baseline's mix (direct standardisation).

use super::evidence::SideEvidence;
use super::findings::{Draft, Findings, duration, numbers};
use super::verdict::{Aspect, Level, OperationResult, TotalResult};
use crate::model::SpanKind;
use crate::sketch::LatencySketch;
use crate::stats::mix::{ChiSquare, MixCount, Stratum, chi_square, jensen_shannon_distance, standardised};

/// The least distance (Jensen-Shannon, base 2) that is worth telling: two operations that go from 50:50 to 40:60.
const DISTANCE_MIN: f64 = 0.085;
/// The p-value at which a shift is no chance; requests come in bursts, so it is far below 5 %.
const SURE: f64 = 1e-6;

/// Tells of a service whose mix of operations is another one. Only requests that come in are its traffic: `server` and
/// `consumer` spans.
pub fn of_service(
    service: &str,
    operations: &[&OperationResult],
    total: Option<&[TotalResult]>,
    findings: &mut Findings,
) {
    let incoming: Vec<_> =
        operations.iter().filter(|operation| matches!(&*operation.kind, "server" | "consumer")).collect();
    let counts: Vec<MixCount> = incoming
        .iter()
        .map(|operation| MixCount {
            baseline: operation.latency.n_baseline as f64,
            candidate: operation.latency.n_candidate as f64,
        })
        .collect();
    let Some((distance, test)) = shifted(&counts) else { return };
    let totals =
        counts.iter().fold((0.0, 0.0), |sum, count| (sum.0 + count.baseline, sum.1 + count.candidate));
    let shares = |count: &MixCount| (count.baseline / totals.0, count.candidate / totals.1);
    let moved = incoming.iter().zip(&counts).max_by(|(_, a), (_, b)| {
        let by = |count: &MixCount| (shares(count).0 - shares(count).1).abs();
        by(a).total_cmp(&by(b))
    });
    let Some((most, count)) = moved else { return };
    let (base, cand) = shares(count);
    findings.add(Draft {
        level: Level::Info,
        aspect: Aspect::Mix,
        service: Some(service),
        operation: Some(&most.operation),
        subject: "mix",
        title: "another mix of requests".to_owned(),
        message: format!(
            "{service} is asked for other things in the candidate: {} is {:.0} % of its requests instead of {:.0} %. \
             Operations are compared one by one, so this makes none of them slower.{}",
            most.operation,
            cand * 100.0,
            base * 100.0,
            total.and_then(<[_]>::last).map_or(String::new(), in_total)
        ),
        action: "Route the same kinds of requests to both sides, or compare operations and not totals.",
        evidence: numbers([
            ("jensen_shannon_distance", Some(distance)),
            ("chi_square", Some(test.statistic)),
            ("p_value", Some(test.p_value)),
        ]),
        traffic: (totals.0 + totals.1) as u64,
    });
}

/// Another mix: its distance and how sure it is; `None` where it is the same as far as one can tell.
pub(super) fn shifted(counts: &[MixCount]) -> Option<(f64, ChiSquare)> {
    let (distance, test) = (jensen_shannon_distance(counts)?, chi_square(counts)?);
    (distance >= DISTANCE_MIN && test.p_value <= SURE).then_some((distance, test))
}

fn in_total(total: &TotalResult) -> String {
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    format!(
        " In total {} of its requests take longer than the baseline's p{:.0} of {}; with the baseline's mix {} would, and \
         {} do there.",
        percent(total.candidate_share),
        total.q * 100.0,
        duration(total.threshold_s),
        percent(total.standardised_share),
        percent(total.baseline_share)
    )
}

/// All requests that come into a service, by spans, at some quantiles of the baseline's total; `None` where it has fewer
/// than two operations that both sides have.
pub fn total<'a, 'w: 'a>(
    series: impl Iterator<Item = (SpanKind, [&'a SideEvidence<'w>; 2])>,
    quantiles: &[f64],
) -> Option<Vec<TotalResult>> {
    let incoming = series.filter(|(kind, _)| matches!(kind, SpanKind::Server | SpanKind::Consumer));
    let operations: Vec<[&SideEvidence<'_>; 2]> = incoming.map(|(_, sides)| sides).collect();
    let both = operations.iter().filter(|sides| sides.iter().all(|side| side.spans() > 0)).count();
    if both < 2 {
        return None;
    }
    let all = |side: usize| {
        let mut sum = LatencySketch::default();
        operations.iter().for_each(|sides| sum.merge(sides[side].all_spans()));
        sum
    };
    let (baseline, candidate) = (all(0), all(1));
    let durations = baseline.distribution();
    let at = |q: &f64| {
        let threshold_s = durations.quantile(*q)?.value;
        let strata: Vec<Stratum> = operations
            .iter()
            .map(|[b, c]| {
                let (n, c) = (b.all_spans().weight() as f64, c.all_spans());
                let candidate_n = c.weight() as f64;
                let candidate_exceeding = over(c, threshold_s) * candidate_n;
                Stratum { baseline_n: n, candidate_n, candidate_exceeding }
            })
            .collect();
        let found = standardised(&strata)?;
        Some(TotalResult {
            q: *q,
            threshold_s,
            baseline_share: over(&baseline, threshold_s),
            candidate_share: over(&candidate, threshold_s),
            standardised_share: found.share,
            covered: found.covered,
        })
    };
    quantiles.iter().map(at).collect()
}

/// The share of requests that take longer.
fn over(durations: &LatencySketch, threshold_s: f64) -> f64 {
    let (low, high) = durations.cdf_bounds(threshold_s);
    if durations.n() == 0 { 0.0 } else { 1.0 - (low + high) / 2.0 }
}
