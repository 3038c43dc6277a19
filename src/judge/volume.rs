//! Aspect volume: does the candidate get the requests that it is meant to get?
//!
//! *Question.* Is the ratio of requests per second within the tolerance of what is expected: 1, or t/(1−t) where the candidate
//! is meant to get the share t of all requests (`comparisons[].traffic`)? *Statistic.* The ratio of the rates with stretches of
//! time as clusters ([`rate_ratio`], seconds in place of requests), so that load which comes in bursts or drifts has a wide
//! interval. *Parity* when the 100(1−2α) % interval lies inside; *divergence* when the p-value of a ratio outside survives
//! Benjamini-Hochberg over all operations; else inconclusive. Judged only where `tolerances.volume` is set, since people steer
//! traffic. What came while instances were warming up counts.
//!
//! An environment is exposed from the first to the last window in which it sent anything, gaps of more than twelve windows
//! apart; first and last window of a long stretch may be cut off and are left out.

use super::compare::{Context, Operations};
use super::evidence::episodes;
use super::findings::{Draft, Findings, numbers};
use super::latency::probability;
use super::session::{Look, Session};
use super::total::overall;
use super::verdict::*;
use super::{compare, policy::SeriesPolicy};
use crate::model::{EnvironmentId, SeriesId, SeriesKey, ServiceKey};
use crate::stats::dispersion;
use crate::stats::rate_ratio::{self, CallCount, CallRate, RateRatio};
use crate::window::SealedWindow;
use crate::window::cells::StoredCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Adjacent windows are taken together into at most this many clusters.
const CLUSTERS_MAX: usize = 12;
/// Fewer say nothing about the variance.
const CLUSTERS_MIN: usize = 5;
/// A stretch of as many windows loses its first and last one.
const TRIMMED_FROM: u64 = 7;
/// Windows a side below which bursts are not compared, and requests in each on average.
const BURST_WINDOWS: usize = 20;
const BURST_MEAN: f64 = 5.0;
/// From which factor on the size of bursts is another one, and how large they have to be, relative to the mean.
const BURST_FACTOR: f64 = 2.0;
const BURST_LEAST: f64 = 0.5;

/// Requests in each window in which an environment was exposed, on both sides.
type Counts = [Vec<f64>; 2];

/// What the first pass finds about an operation.
struct Evidence {
    rates: [CallRate; 2],
    /// Relative to what is expected.
    found: RateRatio,
    p: Option<f64>,
}

/// Judges the volume of every operation, and returns each service's.
pub(super) fn judge(
    context: &Context<'_>,
    environments: (EnvironmentId, EnvironmentId),
    operations: &mut Operations,
    mut polled: Option<(&mut Session, Look)>,
    findings: &mut Findings,
) -> BTreeMap<ServiceKey, VolumeResult> {
    let volumes = Volumes::of(context, environments);
    let expected = expected_ratio(context.comparison.traffic);
    let (mut examined, mut asked_for) = (Vec::new(), Vec::with_capacity(operations.len()));
    for (service, of_service) in operations.iter_mut() {
        let mut incoming: Counts = [0, 1].map(|side| vec![0.0; volumes.at[side].1.len()]);
        for (policy, operation) in of_service {
            let found = volumes.find(service, operation).map(|id| {
                let counts = volumes.counts(id, operation.latency.source);
                report(&mut operation.volume, &counts, expected);
                if is_incoming(operation) {
                    for (sum, counts) in incoming.iter_mut().zip(&counts) {
                        sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
                    }
                }
                let mut evidence = volumes.examine(&counts, expected, policy, operation).map(Box::new);
                if let (Some(evidence), Some((session, look))) = (&mut evidence, &mut polled) {
                    evidence.p = session.series(id).volume(look.share, evidence.p);
                }
                evidence
            });
            examined.push(found);
        }
        asked_for.push(incoming);
    }
    let p = examined.iter().map(|evidence| evidence.as_ref()?.as_ref()?.p);
    let mut adjusted = compare::adjust(p).into_iter();
    let mut examined = examined.into_iter();
    let mut services = BTreeMap::new();
    for ((service, of_service), incoming) in operations.iter_mut().zip(asked_for) {
        let (mut verdicts, mut per_s) = (Vec::new(), [0.0; 2]);
        for (policy, operation) in of_service.iter_mut() {
            let p_adjusted = adjusted.next().flatten();
            let Some(Some(evidence)) = examined.next() else { continue };
            conclude(&mut operation.volume, evidence, p_adjusted, policy, expected);
            if is_incoming(operation) {
                verdicts.push(operation.volume.verdict);
                per_s[0] += operation.volume.baseline_per_s.get().unwrap_or(0.0);
                per_s[1] += operation.volume.candidate_per_s.get().unwrap_or(0.0);
            }
        }
        // What a service does follows what it is asked for; how often for each request is a matter of structure.
        let moved = of_service.iter().map(|(_, operation)| operation);
        let moved = moved.filter(|operation| operation.volume.verdict == Verdict::Divergent);
        let (asked, done): (Vec<_>, Vec<_>) = moved.partition(|operation| is_incoming(operation));
        let follows = |operation: &OperationResult| {
            asked.iter().any(|asked| is_fewer(&asked.volume) == is_fewer(&operation.volume))
        };
        for operation in asked.iter().chain(done.iter().filter(|operation| !follows(operation))) {
            tell(&service.to_string(), operation, findings);
        }
        if verdicts.is_empty() {
            continue;
        }
        let reason = "of all requests that come in; judged by operation".to_owned();
        let mut volume = VolumeResult {
            verdict: overall(verdicts),
            reason: reason.into(),
            baseline_per_s: per_s[0].into(),
            candidate_per_s: per_s[1].into(),
            ratio: (per_s[1] / per_s[0]).into(),
            ..VolumeResult::unjudged()
        };
        report(&mut volume, &incoming, expected);
        tell_bursts(&service.to_string(), &incoming, findings);
        services.insert(service.clone(), volume);
    }
    services
}

/// Candidate's requests over the baseline's, where the candidate is meant to get a share of both.
fn expected_ratio(traffic: Option<f64>) -> f64 {
    traffic.map_or(1.0, |share| share / (1.0 - share))
}

/// Windows, rising; `None` where nothing at all came.
type Exposed<'a> = Vec<Option<&'a SealedWindow>>;

/// All series by the windows in which their environment was exposed.
struct Volumes<'a> {
    /// Their environment and these windows, on both sides.
    at: [(EnvironmentId, Exposed<'a>); 2],
    window_s: f64,
    ids: BTreeMap<&'a SeriesKey, SeriesId>,
}

impl<'a> Volumes<'a> {
    fn of(context: &Context<'a>, (baseline, candidate): (EnvironmentId, EnvironmentId)) -> Volumes<'a> {
        let sides = [(baseline, &context.baseline), (candidate, &context.candidate)];
        let at = sides.map(|(environment, windows)| (environment, exposed(environment, windows)));
        let mut ids = BTreeMap::new();
        for (environment, windows) in &at {
            let found = windows.iter().flatten().flat_map(|window| window.cells.of(*environment));
            ids.extend(found.map(|(id, _)| (context.names.series_key(id), id)));
        }
        let mut windows = context.baseline.iter().chain(&context.candidate);
        let window_s = windows.next().map_or(0.0, |window| (window.end_ns - window.start_ns) as f64 / 1e9);
        Volumes { at, window_s, ids }
    }

    fn find(&self, service: &ServiceKey, operation: &OperationResult) -> Option<SeriesId> {
        let kind = crate::model::SpanKind::from_text(&operation.kind)?;
        let key = SeriesKey { service: service.clone(), operation: Arc::clone(&operation.operation), kind };
        self.ids.get(&key).copied()
    }

    fn counts(&self, id: SeriesId, source: Source) -> Counts {
        [0, 1].map(|side| {
            let (environment, windows) = &self.at[side];
            let of_cell = |cell: StoredCell<'_>| match source {
                Source::Spans => cell.all_counts().weight as f64,
                Source::Metrics => cell.all_counts().metric_n as f64,
            };
            let cell =
                |window: &Option<&'a SealedWindow>| window.and_then(|w| w.cells.get((*environment, id)));
            windows.iter().map(|window| cell(window).map_or(0.0, of_cell)).collect()
        })
    }

    fn examine(
        &self,
        counts: &Counts,
        expected: f64,
        policy: &SeriesPolicy,
        operation: &OperationResult,
    ) -> Option<Evidence> {
        let tolerances = &policy.tolerances;
        let tolerance = tolerances.volume?;
        let side = |at: usize| {
            let width = counts[at].len().div_ceil(CLUSTERS_MAX).max(1);
            let cluster =
                |of: &[f64]| CallCount { requests: of.len() as f64 * self.window_s, calls: of.iter().sum() };
            let clusters: Vec<CallCount> = counts[at].chunks(width).map(cluster).collect();
            if clusters.len() < CLUSTERS_MIN { None } else { rate_ratio::estimate(&clusters) }
        };
        let (baseline, candidate) = (side(0)?, side(1)?);
        let scaled = CallRate {
            rate: candidate.rate / expected,
            variance: candidate.variance / expected.powi(2),
            ..candidate
        };
        let found = rate_ratio::compare(&baseline, &scaled, 1.0 + tolerance, 1.0 - 2.0 * tolerances.alpha);
        let enough =
            operation.latency.n_baseline.min(operation.latency.n_candidate) >= tolerances.min_requests;
        Some(Evidence { rates: [baseline, candidate], found, p: Some(found.p).filter(|_| enough) })
    }
}

/// Whether fewer requests came than are expected.
fn is_fewer(volume: &VolumeResult) -> bool {
    volume.ratio.get().unwrap_or(1.0) < volume.expected.get().unwrap_or(1.0)
}

fn is_incoming(operation: &OperationResult) -> bool {
    matches!(&*operation.kind, "server" | "consumer")
}

/// What is told whether it is judged or not.
fn report(volume: &mut VolumeResult, counts: &Counts, expected: f64) {
    let bursts = |counts: &[f64]| {
        let (peak_to_mean, dispersion) = (dispersion::peak_to_mean(counts)?, dispersion::index(counts));
        Some(Bursts { peak_to_mean, dispersion: dispersion.into() })
    };
    volume.expected = Some(expected).filter(|expected| *expected != 1.0).into();
    (volume.baseline_bursts, volume.candidate_bursts) = (bursts(&counts[0]), bursts(&counts[1]));
}

/// The windows in which an environment was exposed, in order.
fn exposed<'a>(environment: EnvironmentId, windows: &[&'a SealedWindow]) -> Exposed<'a> {
    let sent = |window: &&&SealedWindow| window.cells.has(environment);
    let active: Vec<u64> = windows.iter().filter(sent).map(|window| window.index).collect();
    let mut stretches: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for (window, episode) in episodes(active.into_iter()) {
        stretches.entry(episode).and_modify(|(_, last)| *last = window).or_insert((window, window));
    }
    let whole = stretches.into_values().map(|(first, last)| match last - first + 1 {
        TRIMMED_FROM.. => first + 1..=last - 1,
        _ => first..=last,
    });
    let by_index: BTreeMap<u64, &SealedWindow> =
        windows.iter().map(|window| (window.index, *window)).collect();
    whole.flatten().map(|index| by_index.get(&index).copied()).collect()
}

fn conclude(
    volume: &mut VolumeResult,
    evidence: Option<Box<Evidence>>,
    p_adjusted: Option<f64>,
    policy: &SeriesPolicy,
    expected: f64,
) {
    let Some(tolerance) = policy.tolerances.volume else { return };
    let Some(Evidence { rates: [baseline, candidate], found, .. }) = evidence.as_deref() else {
        volume.reason = format!("fewer than {CLUSTERS_MIN} windows, or no requests, on one side").into();
        return;
    };
    // What is judged are the rates while the environments were exposed.
    (volume.baseline_per_s, volume.candidate_per_s) = (baseline.rate.into(), candidate.rate.into());
    volume.ratio = (candidate.rate / baseline.rate).into();
    (volume.ratio_low, volume.ratio_high) = ((found.low * expected).into(), (found.high * expected).into());
    volume.p_adjusted = p_adjusted.into();
    let factor = 1.0 + tolerance;
    let words = format!("±{:.0} % of what is expected", tolerance * 100.0);
    let (verdict, reason) = match p_adjusted {
        None => {
            let least = policy.tolerances.min_requests;
            (Verdict::Inconclusive, format!("nothing is decided below {least} requests a side"))
        }
        Some(p) if p <= policy.tolerances.alpha => (
            Verdict::Divergent,
            format!("requests per second lie outside of {words} (adjusted p {})", probability(p)),
        ),
        Some(_) if found.low > 1.0 / factor && found.high < factor => {
            (Verdict::Parity, format!("requests per second are shown to be within {words}"))
        }
        Some(_) => (Verdict::Inconclusive, format!("the interval of the ratio reaches over {words}")),
    };
    (volume.verdict, volume.reason) = (verdict, reason.into());
}

fn tell(service: &str, operation: &OperationResult, findings: &mut Findings) {
    let volume = &operation.volume;
    let (ratio, expected) = (volume.ratio.get().unwrap_or(1.0), volume.expected.get().unwrap_or(1.0));
    findings.add(Draft {
        level: Level::Warning,
        aspect: Aspect::Volume,
        service: Some(service),
        operation: Some(&operation.operation),
        subject: &operation.kind,
        title: if is_fewer(volume) { "fewer requests" } else { "more requests" }.to_owned(),
        message: format!(
            "{service} {} has {:.2} requests per second in the candidate and {:.2} in the baseline: {ratio:.2} times as many \
             [{:.2}, {:.2}], where {expected:.2} is expected.",
            operation.operation,
            volume.candidate_per_s.get().unwrap_or(0.0),
            volume.baseline_per_s.get().unwrap_or(0.0),
            volume.ratio_low.get().unwrap_or(0.0),
            volume.ratio_high.get().unwrap_or(0.0),
        ),
        action: "Check how traffic is split, and whether requests are lost or sent twice before they arrive.",
        evidence: numbers([
            ("baseline_per_s", volume.baseline_per_s.get()),
            ("candidate_per_s", volume.candidate_per_s.get()),
            ("ratio", volume.ratio.get()),
            ("ratio_low", volume.ratio_low.get()),
            ("ratio_high", volume.ratio_high.get()),
            ("expected", Some(expected)),
            ("p_adjusted", volume.p_adjusted.get()),
        ]),
        traffic: operation.latency.n_baseline.max(operation.latency.n_candidate),
    });
}

/// How large bursts are relative to the mean, chance aside: √((D − 1)/mean), which does not depend on which share of the
/// traffic a side gets.
fn burst_size(counts: &[f64]) -> Option<f64> {
    let mean = counts.iter().sum::<f64>() / counts.len().max(1) as f64;
    let enough = counts.len() >= BURST_WINDOWS && mean >= BURST_MEAN;
    Some(((dispersion::index(counts).filter(|_| enough)? - 1.0).max(0.0) / mean).sqrt())
}

fn tell_bursts(service: &str, counts: &Counts, findings: &mut Findings) {
    let Some((base, cand)) = burst_size(&counts[0]).zip(burst_size(&counts[1])) else { return };
    let (less, more) = (base.min(cand), base.max(cand));
    if more < BURST_LEAST || more < BURST_FACTOR * less {
        return;
    }
    findings.add(Draft {
        level: Level::Info,
        aspect: Aspect::Volume,
        service: Some(service),
        operation: None,
        subject: "bursts",
        title: "other bursts".to_owned(),
        message: format!(
            "Requests to {service} vary from window to window by ±{:.0} % in the candidate and by ±{:.0} % in the baseline.",
            cand * 100.0,
            base * 100.0
        ),
        action: "Send both sides the same traffic at the same time, or expect load to show in latency.",
        evidence: numbers([("baseline_burst", Some(base)), ("candidate_burst", Some(cand))]),
        traffic: counts.iter().flatten().sum::<f64>() as u64,
    });
}
