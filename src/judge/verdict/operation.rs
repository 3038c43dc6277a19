//! What was found for one operation. There is one for every series, so these are kept small: numbers that may be absent take
//! eight bytes, and texts that many operations have are shared.

use super::{Figure, Verdict};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What was found for one series: one operation of one service, of one span kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationResult {
    /// The operation's name, e.g. `GET /checkout/{id}`.
    pub operation: Arc<str>,
    /// `server`, `client`, `producer`, `consumer` or `internal`.
    pub kind: Arc<str>,
    /// The operation's verdict.
    pub verdict: Verdict,
    /// 0 to 100.
    pub score: f64,
    /// Aspect latency.
    pub latency: LatencyResult,
    /// Aspect errors.
    pub errors: ErrorsResult,
    /// Aspect volume.
    pub volume: VolumeResult,
    /// Aspect structure, of operations that the service calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub structure: Option<StructureResult>,
    /// Requests that are no evidence, because their instance was within `parity.warmup` of its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup: Option<Warmup>,
}

/// Requests of one operation that came while their instances were warming up: seen, and left out of latency and errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warmup {
    /// On the baseline side.
    pub baseline: u64,
    /// On the candidate side.
    pub candidate: u64,
}

/// Where latency evidence came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Spans.
    Spans,
    /// Duration metrics.
    Metrics,
}

impl Source {
    /// The word used in JSON and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Spans => "spans",
            Source::Metrics => "metrics",
        }
    }
}

/// Aspect latency of one operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatencyResult {
    /// The verdict.
    pub verdict: Verdict,
    /// Requests on the baseline side.
    pub n_baseline: u64,
    /// Requests on the candidate side.
    pub n_candidate: u64,
    /// Where the durations came from.
    pub source: Source,
    /// The two-sample Kolmogorov-Smirnov test, absent without data on both sides.
    pub ks: Option<KsResult>,
    /// The quantiles compared, in rising order.
    pub quantiles: Box<[QuantileResult]>,
    /// The sequential test over windows, in live judgement.
    pub sequential: Option<SequentialResult>,
    /// A sentence: why this verdict.
    pub reason: Arc<str>,
    /// What it would take to reach a verdict, when there is none.
    pub needs: Option<Needs>,
    /// How many instances (pods) each side's requests came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clusters: Option<Clusters>,
    /// What there are too few requests to decide, and yet looks outside of the tolerance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspicion: Option<Suspicion>,
    /// Further measures of the difference; evidence, none decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distances: Option<Distances>,
    /// The smallest shift that the bins can show, in words, when they hide some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Arc<str>>,
}

/// A difference that is too thinly shown to be a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Suspicion {
    /// Whether the candidate looks slower; faster otherwise.
    pub slower: bool,
    /// The guard's p-value, corrected for all series.
    pub p_value: f64,
}

/// Measures of how two distributions of durations differ. Requests are taken to be independent in them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distances {
    /// Wasserstein-1: how far the average request is from its counterpart, seconds.
    pub wasserstein_s: Figure,
    /// Vargha and Delaney's A: the chance that a request of the candidate takes longer than one of the baseline.
    pub effect: Figure,
    /// Mann and Whitney's two-sided p-value.
    pub mann_whitney_p: Figure,
    /// Anderson and Darling's normalised statistic, which weighs the tails up.
    pub anderson_darling: Figure,
}

/// What clustering by instance did to the evidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clusters {
    /// Instances on the baseline side.
    pub baseline: u64,
    /// Instances on the candidate side.
    pub candidate: u64,
    /// Design effect at the median on the baseline side, ≥ 1.
    pub deff_baseline: f64,
    /// Design effect at the median on the candidate side, ≥ 1.
    pub deff_candidate: f64,
    /// Whether the candidate's variance between instances was borrowed from the baseline.
    pub borrowed: bool,
}

/// Two-sample Kolmogorov-Smirnov.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KsResult {
    /// The statistic as the bins show it.
    pub d: f64,
    /// The least that D can be, given the bins.
    pub d_low: f64,
    /// The most that D can be, given the bins.
    pub d_high: f64,
    /// The p-value at `d_low`, on effective sizes.
    pub p_value: f64,
    /// The p-value of the divergence test after correction over all series.
    pub p_adjusted: f64,
}

/// One quantile on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuantileResult {
    /// The quantile's order, e.g. 0.95.
    pub q: f64,
    /// The baseline's estimate, seconds.
    pub baseline_s: Figure,
    /// The candidate's estimate, seconds.
    pub candidate_s: Figure,
    /// Candidate over baseline.
    pub ratio: Figure,
    /// The interval's lower end; `null` is unbounded.
    pub ratio_low: Figure,
    /// The interval's upper end; `null` is unbounded.
    pub ratio_high: Figure,
}

/// The sequential test over windows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SequentialResult {
    /// Anytime-valid p-value.
    pub p_value: f64,
    /// Windows looked at.
    pub windows: u64,
}

/// How much more evidence is needed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Needs {
    /// Requests per side.
    pub n: u64,
    /// Minutes until both sides have them, at the rate of the period; absent where there is no rate.
    #[serde(default, skip_serializing_if = "Figure::is_none")]
    pub minutes: Figure,
}

impl Needs {
    /// So many requests per side.
    pub fn requests(n: u64) -> Needs {
        Needs { n, minutes: Figure::NONE }
    }
}

/// Aspect errors of one operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorsResult {
    /// The verdict.
    pub verdict: Verdict,
    /// The baseline's counts.
    pub baseline: ErrorCounts,
    /// The candidate's counts.
    pub candidate: ErrorCounts,
    /// Candidate's rate less baseline's.
    pub delta: Figure,
    /// The interval's lower end.
    pub delta_low: Figure,
    /// The interval's upper end.
    pub delta_high: Figure,
    /// Of the difference, after correction for clustering.
    pub p_value: Figure,
    /// A sentence: why this verdict.
    pub reason: Arc<str>,
}

/// Requests and failures of one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ErrorCounts {
    /// Requests.
    pub n: u64,
    /// Requests that failed.
    pub errors: u64,
    /// `errors / n`; `null` without requests.
    pub rate: Figure,
}

/// Aspect volume of one operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VolumeResult {
    /// The verdict; `no_data` when volume is not judged.
    pub verdict: Verdict,
    /// Requests per second on the baseline side.
    pub baseline_per_s: Figure,
    /// Requests per second on the candidate side.
    pub candidate_per_s: Figure,
    /// Candidate over baseline.
    pub ratio: Figure,
    /// A sentence: why this verdict.
    pub reason: Arc<str>,
    /// The interval's lower end, where volume is judged.
    #[serde(default, skip_serializing_if = "Figure::is_none")]
    pub ratio_low: Figure,
    /// The interval's upper end, where volume is judged.
    #[serde(default, skip_serializing_if = "Figure::is_none")]
    pub ratio_high: Figure,
    /// The ratio that is expected, where it is not 1.
    #[serde(default, skip_serializing_if = "Figure::is_none")]
    pub expected: Figure,
    /// The p-value of a ratio outside the tolerance, after correction over all operations.
    #[serde(default, skip_serializing_if = "Figure::is_none")]
    pub p_adjusted: Figure,
    /// How unevenly requests come on the baseline side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_bursts: Option<Bursts>,
    /// How unevenly requests come on the candidate side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate_bursts: Option<Bursts>,
}

impl VolumeResult {
    /// Nothing known yet.
    pub fn unjudged() -> VolumeResult {
        VolumeResult {
            verdict: Verdict::NoData,
            baseline_per_s: Figure::NONE,
            candidate_per_s: Figure::NONE,
            ratio: Figure::NONE,
            reason: Arc::default(),
            ratio_low: Figure::NONE,
            ratio_high: Figure::NONE,
            expected: Figure::NONE,
            p_adjusted: Figure::NONE,
            baseline_bursts: None,
            candidate_bursts: None,
        }
    }
}

/// How unevenly requests come, window by window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bursts {
    /// Requests in the busiest window over the mean.
    pub peak_to_mean: f64,
    /// Variance over mean, 1 for requests that come one by one; absent with one window.
    pub dispersion: Figure,
}

/// Aspect structure of one operation that a service calls: how often for each request that comes in.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StructureResult {
    /// Whether calls are shown to have doubled or halved, or shown not to have.
    pub verdict: Verdict,
    /// Calls for each request of the service on the baseline side.
    pub baseline_per_request: f64,
    /// Calls for each request of the service on the candidate side.
    pub candidate_per_request: f64,
    /// Candidate over baseline.
    pub ratio: f64,
    /// The interval's lower end.
    pub ratio_low: f64,
    /// The interval's upper end.
    pub ratio_high: f64,
    /// The p-value of twice as many or half as many, after correction over all series.
    pub p_adjusted: f64,
}
