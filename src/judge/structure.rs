//! Aspect structure: does a request still lead to the same calls?
//!
//! *Question.* For each operation that a service calls (`client` and `producer` spans): is the number of calls per request
//! that comes in (`server` and `consumer` spans) less than double and more than half of the baseline's? A request that is
//! answered without its work is fast and free of errors, and only this shows it. *Statistic.* The ratio of the rates with
//! stretches of time as clusters ([`rate_ratio`]). *Divergence* when the p-value of a ratio beyond 2 or under ½ survives
//! Benjamini-Hochberg together with the other aspects' tests; *parity* when the 100(1−2α) % interval lies between. The
//! number of calls follows the mix of requests, so that smaller differences are no defect, and an operation's own verdict
//! asks for no parity here.

use super::evidence::SideEvidence;
use super::findings::{Draft, Findings, numbers};
use super::verdict::{Aspect, Level, OperationResult, StructureResult, Verdict};
use crate::model::SpanKind;
use crate::stats::rate_ratio::{self, CallCount, RateRatio};
use std::collections::BTreeMap;

/// From which factor on another number of calls is another structure.
const FACTOR: f64 = 2.0;
/// Requests a side, and calls that the baseline's rate lets expect on each side, below which nothing is decided.
const REQUESTS_MIN: f64 = 50.0;
const CALLS_MIN: f64 = 20.0;
/// Adjacent windows are taken together into at most this many clusters.
const CLUSTERS_MAX: usize = 24;
/// Fewer say nothing about the variance.
const CLUSTERS_MIN: usize = 5;

/// One series of a service, as far as its structure is concerned.
pub struct Series<'a, 'w> {
    /// Which part its spans play.
    pub kind: SpanKind,
    /// Both sides' evidence.
    pub sides: [&'a SideEvidence<'w>; 2],
}

/// Requests by window that come into a service, on both sides.
#[derive(Debug, Default)]
pub struct Incoming([BTreeMap<u64, f64>; 2]);

impl Incoming {
    /// Of all series of one service.
    pub fn of<'a, 'w: 'a>(series: impl Iterator<Item = Series<'a, 'w>>) -> Incoming {
        let mut incoming = Incoming::default();
        for series in series.filter(|s| matches!(s.kind, SpanKind::Server | SpanKind::Consumer)) {
            for (side, evidence) in incoming.0.iter_mut().zip(series.sides) {
                for (window, n) in by_window(evidence) {
                    *side.entry(window).or_default() += n;
                }
            }
        }
        incoming
    }
}

fn by_window(evidence: &SideEvidence<'_>) -> impl Iterator<Item = (u64, f64)> {
    evidence.since(None).map(|(window, cell)| (window, cell.latency.weight() as f64))
}

/// Calls per request on both sides.
#[derive(Clone, Copy, Debug)]
pub struct CallEvidence {
    rates: [f64; 2],
    found: RateRatio,
}

impl CallEvidence {
    /// The p-value of another structure.
    pub fn p(&self) -> f64 {
        self.found.p
    }

    /// For the report.
    pub fn conclude(&self, p_adjusted: f64, alpha: f64) -> StructureResult {
        let inside = self.found.low > 1.0 / FACTOR && self.found.high < FACTOR;
        let verdict = match () {
            () if p_adjusted <= alpha => Verdict::Divergent,
            () if inside => Verdict::Parity,
            () => Verdict::Inconclusive,
        };
        StructureResult {
            verdict,
            baseline_per_request: self.rates[0],
            candidate_per_request: self.rates[1],
            ratio: self.found.ratio,
            ratio_low: self.found.low,
            ratio_high: self.found.high,
            p_adjusted,
        }
    }
}

/// One operation that is called, beside all requests of its service; `None` where there is too little to say something.
pub fn examine(series: &Series<'_, '_>, incoming: &Incoming, alpha: f64) -> Option<CallEvidence> {
    if !matches!(series.kind, SpanKind::Client | SpanKind::Producer) {
        return None;
    }
    let side = |at: usize| {
        let clusters = clusters(&incoming.0[at], series.sides[at])?;
        let requests: f64 = clusters.iter().map(|cluster| cluster.requests).sum();
        Some((rate_ratio::estimate(&clusters)?, requests))
    };
    let ((baseline, b), (candidate, c)) = (side(0)?, side(1)?);
    if b.min(c) < REQUESTS_MIN || baseline.rate * b.min(c) < CALLS_MIN {
        return None;
    }
    let found = rate_ratio::compare(&baseline, &candidate, FACTOR, 1.0 - 2.0 * alpha);
    Some(CallEvidence { rates: [baseline.rate, candidate.rate], found })
}

fn clusters(incoming: &BTreeMap<u64, f64>, calls: &SideEvidence<'_>) -> Option<Vec<CallCount>> {
    let mut windows: BTreeMap<u64, CallCount> =
        incoming.iter().map(|(window, n)| (*window, CallCount { requests: *n, calls: 0.0 })).collect();
    by_window(calls).for_each(|(window, n)| windows.entry(window).or_default().calls += n);
    let windows: Vec<_> = windows.into_values().collect();
    let width = windows.len().div_ceil(CLUSTERS_MAX).max(1);
    let sum = |of: &[CallCount]| {
        of.iter().fold(CallCount::default(), |a, b| CallCount {
            requests: a.requests + b.requests,
            calls: a.calls + b.calls,
        })
    };
    let clusters: Vec<_> = windows.chunks(width).map(sum).collect();
    (clusters.len() >= CLUSTERS_MIN).then_some(clusters)
}

/// The finding of an operation that is called more or less often.
pub fn of_operation(service: &str, result: &OperationResult, findings: &mut Findings) {
    let Some(calls) = result.structure.filter(|calls| calls.verdict == Verdict::Divergent) else { return };
    let fewer = calls.ratio < 1.0;
    findings.add(Draft {
        level: Level::Critical,
        aspect: Aspect::Structure,
        service: Some(service),
        operation: Some(&result.operation),
        subject: &result.kind,
        title: if fewer { "called less often" } else { "called more often" }.to_owned(),
        message: format!(
            "{service} calls {} {:.2} times per request instead of {:.2}: {:.2} times as often [{:.2}, {:.2}].",
            result.operation,
            calls.candidate_per_request,
            calls.baseline_per_request,
            calls.ratio,
            calls.ratio_low,
            calls.ratio_high
        ),
        action: match fewer {
            true => "Make sure that requests still do their work: look at traces that lack this call.",
            false => "Look for retries, lost caches and loops in traces of this service.",
        },
        evidence: numbers([
            ("baseline_per_request", Some(calls.baseline_per_request)),
            ("candidate_per_request", Some(calls.candidate_per_request)),
            ("ratio", Some(calls.ratio)),
            ("ratio_low", Some(calls.ratio_low)),
            ("ratio_high", Some(calls.ratio_high)),
            ("p_adjusted", Some(calls.p_adjusted)),
            ("factor", Some(FACTOR)),
        ]),
        traffic: result.latency.n_baseline.max(result.latency.n_candidate),
    });
}
