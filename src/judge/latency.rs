//! Aspect latency: is the candidate as fast as the baseline?
//!
//! *Question.* At the primary quantiles, does the ratio candidate/baseline lie within 1/(1+tol) and 1+tol?
//! *Statistic.* The ratio's interval ([`ratio::mover_log_ratio`]) from distribution-free intervals on effective sizes.
//! *Parity* when the 100(1−2α) % interval lies inside at every primary quantile. *Divergence* when, at some primary
//! quantile (or p99 where it has enough requests), the ratio is beyond the tolerance with a p-value that survives
//! Bonferroni inside the series and Benjamini-Hochberg over the series; or when the one-sided Kolmogorov-Smirnov test
//! rejects on the side that is scaled by the tolerance, and D is at least `d_min`. *Otherwise* inconclusive, with what
//! is missing. Below `min_requests` a side nothing is decided, but an overwhelming difference: D of at least 0.75
//! where one side is scaled by three, tested at a tenth of the level.

use super::compare::Curve;
use super::evidence::{Precision, SideEvidence, joint_dof};
use super::policy::Tolerances;
use super::verdict::{
    Clusters, Distances, KsResult, LatencyResult, Needs, QuantileResult, SequentialResult, Source, Suspicion,
    Verdict,
};
use crate::stats::equivalence::{Decision, Direction, Margin, decide, n_needed};
use crate::stats::{
    Distribution, anderson_darling, ks, mann_whitney, normal, quantile, ratio, resolution, wasserstein,
};

/// Effective requests that must lie beyond a quantile for it to take part.
const TAIL_FLOOR: f64 = 10.0;
/// The corrected p-value at which a difference that cannot be decided is worth a warning.
const SUSPICIOUS: f64 = 0.01;
/// What decides in spite of too few requests: three quarters of one side lie beyond three times the durations of the other.
const OVERWHELMING_FACTOR: f64 = 3.0;
const OVERWHELMING_D: f64 = 0.75;
/// Requests a side below which not even that decides: so few can be one burst.
const OVERWHELMING_MIN: u64 = 8;
/// Such a difference is tested at this part of the level, since few requests hide how they are clustered.
const OVERWHELMING_LEVEL: f64 = 0.1;

/// What is apart where no single quantile is.
const WHOLE: &str = "the whole distribution";

/// n·m up to which p-values of exact samples are exact.
const EXACT_PRODUCT: u64 = 10_000;

/// What the first pass finds about a series; the verdict waits for the correction over all series.
#[derive(Debug)]
pub struct LatencyEvidence {
    result: LatencyResult,
    decision: Decision,
    /// The smallest p-value of divergence inside the series, Bonferroni-corrected; `None` when not testable.
    pub p: Option<f64>,
    direction: Direction,
    /// The quantile, or the whole shape, that is most clearly apart.
    apart: String,
    /// What the guard says where there are too few requests to decide.
    below_floor: Option<Guard>,
    /// Points of both cumulative distributions, to draw.
    pub curves: (Curve, Curve),
}

/// Which source both sides can be compared on: spans first.
pub fn common_source(baseline: &SideEvidence<'_>, candidate: &SideEvidence<'_>) -> Option<Source> {
    [Source::Spans, Source::Metrics]
        .into_iter()
        .find(|source| baseline.n(*source) > 0 && candidate.n(*source) > 0)
}

/// First pass over one series.
pub fn examine(
    baseline: &SideEvidence<'_>,
    candidate: &SideEvidence<'_>,
    tolerances: &Tolerances,
) -> LatencyEvidence {
    let Some(source) = common_source(baseline, candidate) else { return absent(baseline, candidate) };
    let sides = Sides {
        source,
        baseline,
        candidate,
        distributions: (baseline.distribution(source), candidate.distribution(source)),
    };
    let tolerances = &tolerances.beside(&sides.distributions.0);
    let pairs: Vec<Pair> = tolerances.quantiles.iter().map(|(q, _)| sides.precision(*q)).collect();
    let each = tolerances.quantiles.iter().zip(&pairs);
    let quantiles: Vec<_> =
        each.map(|((q, tolerance), pair)| sides.at(*q, *tolerance, pair, tolerances)).collect();
    let middle = sides.precision(0.5);
    let widest = 1.0 + tolerances.quantiles.iter().map(|(_, tol)| *tol).fold(0.0, f64::max);
    // D may lie anywhere, so the worst quantile's effective sizes count.
    let worst = |p_at: fn(&Pair, f64) -> f64| {
        let pairs = &pairs;
        move |d: f64| pairs.iter().map(|pair| p_at(pair, d)).fold(0.0, f64::max)
    };
    let guard = sides.guard(widest, tolerances.d_min, tolerances.worse_only, worst(Pair::p_of_few_clusters));
    let overwhelming = || {
        let factor = widest.max(OVERWHELMING_FACTOR);
        sides.guard(factor, OVERWHELMING_D, tolerances.worse_only, worst(Pair::p_one_sided))
    };
    let mut evidence = LatencyEvidence {
        result: sides.result(&quantiles, &middle),
        decision: Decision::Inconclusive,
        p: None,
        direction: Direction::Above,
        apart: String::new(),
        below_floor: None,
        curves: (sides.distributions.0.cdf_points(), sides.distributions.1.cdf_points()),
    };
    decide_all(&mut evidence, &quantiles, guard, overwhelming, tolerances);
    evidence
}

/// One side has nothing to compare with.
fn absent(baseline: &SideEvidence<'_>, candidate: &SideEvidence<'_>) -> LatencyEvidence {
    let n = |side: &SideEvidence<'_>| side.spans().max(side.metric_requests());
    let reason = match (n(baseline), n(candidate)) {
        (_, 0) if candidate.warming(None) > 0 => all_warming("candidate", candidate.warming(None)),
        (0, _) if baseline.warming(None) > 0 => all_warming("baseline", baseline.warming(None)),
        (0, 0) => "neither side has durations".to_owned(),
        (_, 0) => "the candidate has no requests of this operation".to_owned(),
        (0, _) => "the baseline has no requests of this operation".to_owned(),
        _ => "one side has spans only and the other has metrics only: they are not compared with each other"
            .to_owned(),
    };
    let result = LatencyResult {
        verdict: Verdict::NoData,
        n_baseline: n(baseline),
        n_candidate: n(candidate),
        source: if baseline.spans() + candidate.spans() > 0 { Source::Spans } else { Source::Metrics },
        ks: None,
        quantiles: Vec::new(),
        sequential: None,
        reason,
        needs: None,
        clusters: None,
        suspicion: None,
        distances: None,
        resolution: None,
    };
    LatencyEvidence {
        result,
        decision: Decision::Inconclusive,
        p: None,
        direction: Direction::Above,
        apart: String::new(),
        below_floor: None,
        curves: (Vec::new(), Vec::new()),
    }
}

fn all_warming(side: &str, requests: u64) -> String {
    format!(
        "all {requests} requests of the {side} came while their instances were warming up (parity.warmup)"
    )
}

/// What the Kolmogorov-Smirnov guard says.
#[derive(Clone, Copy, Debug)]
struct Guard {
    p: f64,
    direction: Direction,
}

struct Sides<'a, 'w> {
    source: Source,
    baseline: &'a SideEvidence<'w>,
    candidate: &'a SideEvidence<'w>,
    distributions: (Distribution, Distribution),
}

/// Both sides' precision at one quantile.
struct Pair {
    baseline: Precision,
    candidate: Precision,
}

impl Pair {
    /// The p-value of a one-sided D on both sides' effective sizes.
    fn p_one_sided(&self, d: f64) -> f64 {
        ks::p_one_sided(self.baseline.n_eff, self.candidate.n_eff, d)
    }

    /// The same where few clusters leave the effective sizes uncertain themselves: Student's t takes that in, at the normal
    /// quantile of the p-value.
    fn p_of_few_clusters(&self, d: f64) -> f64 {
        let z = -normal::critical(self.p_one_sided(d).max(f64::MIN_POSITIVE), None);
        normal::upper_tail(z, joint_dof(&self.baseline, &self.candidate))
    }
}

/// One quantile's comparison.
struct AtQuantile {
    shown: QuantileResult,
    tolerance: f64,
    decision: Decision,
    enough: bool,
    primary: bool,
    half_width: f64,
    n_eff: f64,
    p: Option<(f64, Direction)>,
}

impl Sides<'_, '_> {
    fn precision(&self, q: f64) -> Pair {
        let at = |side: &SideEvidence<'_>, distribution: &Distribution| {
            let threshold = distribution.quantile(q).map_or(0.0, |quantile| quantile.value);
            side.precision_at(self.source, threshold)
        };
        let baseline = at(self.baseline, &self.distributions.0);
        let candidate = at(self.candidate, &self.distributions.1);
        Pair { baseline, candidate: candidate.borrowing(&baseline) }
    }

    fn at(&self, q: f64, tolerance: f64, pair: &Pair, tolerances: &Tolerances) -> AtQuantile {
        let confidence = 1.0 - 2.0 * tolerances.alpha;
        let dof = joint_dof(&pair.baseline, &pair.candidate);
        let side = |distribution: &Distribution, precision: &Precision| {
            quantile::interval(distribution, q, precision.n_eff, confidence, dof)
        };
        let baseline = side(&self.distributions.0, &pair.baseline);
        let candidate = side(&self.distributions.1, &pair.candidate);
        let ratio = baseline.zip(candidate).and_then(|(b, c)| ratio::mover_log_ratio(&b, &c));
        let (low, high) = (ratio.and_then(|r| r.lower), ratio.and_then(|r| r.upper));
        let delta = (1.0 + tolerance).ln();
        let n_eff = pair.baseline.n_eff.min(pair.candidate.n_eff);
        let enough = n_eff * (1.0 - q) >= TAIL_FLOOR;
        let margin = if tolerances.worse_only { Margin::above_only(delta) } else { Margin::symmetric(delta) };
        let theta = ratio.map(|r| r.ratio.ln());
        let critical = normal::critical(1.0 - tolerances.alpha, dof);
        let p = theta.filter(|_| enough).and_then(|theta| {
            let above = low.map(|low| (theta - margin.high) * critical / (theta - low.ln()).max(1e-12));
            let below = high.map(|high| (margin.low - theta) * critical / (high.ln() - theta).max(1e-12));
            let sides = [(above, Direction::Above), (below, Direction::Below)];
            let tails = sides.into_iter().filter_map(|(z, d)| z.map(|z| (normal::upper_tail(z, dof), d)));
            tails.min_by(|a, b| a.0.total_cmp(&b.0))
        });
        AtQuantile {
            shown: QuantileResult {
                q,
                baseline_s: baseline.map(|b| b.estimate),
                candidate_s: candidate.map(|c| c.estimate),
                ratio: ratio.map(|r| r.ratio),
                ratio_low: low,
                ratio_high: high,
            },
            tolerance,
            decision: decide(low.map(f64::ln), high.map(f64::ln), margin),
            enough,
            primary: tolerances.primary.contains(&q),
            half_width: match (low, high) {
                (Some(low), Some(high)) => (high.ln() - low.ln()) / 2.0,
                _ => f64::INFINITY,
            },
            n_eff,
            p,
        }
    }

    /// The Kolmogorov-Smirnov guard with one side scaled by `factor`, where D is at least `d_min`.
    fn guard(&self, factor: f64, d_min: f64, worse_only: bool, p_at: impl Fn(f64) -> f64) -> Option<Guard> {
        let (baseline, candidate) = &self.distributions;
        let slower =
            ks::two_sample(&baseline.scaled(factor), candidate).map(|s| (s.d_greater, Direction::Above));
        let faster =
            ks::two_sample(baseline, &candidate.scaled(factor)).map(|s| (s.d_less, Direction::Below));
        let faster = faster.filter(|_| !worse_only);
        let tests = [slower, faster].into_iter().flatten().filter(|(d, _)| *d >= d_min);
        let tests = tests.map(|(d, direction)| Guard { p: p_at(d), direction });
        tests.min_by(|a, b| a.p.total_cmp(&b.p))
    }

    fn result(&self, quantiles: &[AtQuantile], middle: &Pair) -> LatencyResult {
        let (baseline, candidate) = &self.distributions;
        let (n, m) = (self.baseline.n(self.source), self.candidate.n(self.source));
        let exact = baseline.is_exact() && candidate.is_exact();
        let ks = ks::two_sample(baseline, candidate).map(|found| {
            let small = n.saturating_mul(m) <= EXACT_PRODUCT;
            let independent = middle.baseline.deff == 1.0 && middle.candidate.deff == 1.0;
            let p_value = if small && exact && independent {
                ks::p_exact(n, m, found.d_low)
            } else {
                ks::p_asymptotic(middle.baseline.n_eff, middle.candidate.n_eff, found.d_low)
            };
            KsResult { d: found.d, d_low: found.d_low, d_high: found.d_high, p_value, p_adjusted: 1.0 }
        });
        let counts = (self.baseline.instances(self.source), self.candidate.instances(self.source));
        let clusters = Clusters {
            baseline: counts.0,
            candidate: counts.1,
            deff_baseline: middle.baseline.deff,
            deff_candidate: middle.candidate.deff,
            borrowed: middle.candidate.borrowed.instances || middle.candidate.borrowed.episodes,
        };
        LatencyResult {
            verdict: Verdict::Inconclusive,
            n_baseline: n,
            n_candidate: m,
            source: self.source,
            ks,
            quantiles: quantiles.iter().map(|at| at.shown).collect(),
            sequential: None,
            reason: String::new(),
            needs: None,
            clusters: Some(clusters),
            suspicion: None,
            distances: Some(self.distances()),
            resolution: self.resolution(middle),
        }
    }

    fn distances(&self) -> Distances {
        let (baseline, candidate) = &self.distributions;
        let ranks = mann_whitney::two_sample(baseline, candidate);
        Distances {
            wasserstein_s: wasserstein::distance(baseline, candidate),
            effect: ranks.map(|ranks| ranks.vargha_delaney_a),
            mann_whitney_p: ranks.map(|ranks| ranks.p_value),
            anderson_darling: anderson_darling::two_sample(baseline, candidate).map(|ad| ad.a2_normalised),
        }
    }

    /// Said only of bins that were chosen elsewhere: ours are finer than any tolerance.
    fn resolution(&self, middle: &Pair) -> Option<String> {
        if self.source == Source::Spans {
            return None;
        }
        let n_eff = middle.baseline.n_eff.min(middle.candidate.n_eff);
        Some(match resolution::smallest_visible_shift(&self.distributions.0, n_eff) {
            Some(shift) => format!("these buckets cannot see shifts below {:.0} %", shift * 100.0),
            None => "these buckets cannot see shifts below 50 %".to_owned(),
        })
    }
}

fn decide_all(
    evidence: &mut LatencyEvidence,
    quantiles: &[AtQuantile],
    guard: Option<Guard>,
    overwhelming: impl FnOnce() -> Option<Guard>,
    tolerances: &Tolerances,
) {
    let result = &mut evidence.result;
    let fewest = result.n_baseline.min(result.n_candidate);
    if fewest < tolerances.min_requests {
        result.reason = format!(
            "{} requests on the baseline and {} on the candidate; nothing is decided below {} a side",
            result.n_baseline, result.n_candidate, tolerances.min_requests
        );
        result.needs = Some(Needs::requests(tolerances.min_requests));
        evidence.below_floor = guard;
        if let Some(guard) = overwhelming().filter(|_| fewest >= OVERWHELMING_MIN) {
            evidence.p = Some((guard.p / OVERWHELMING_LEVEL).min(1.0));
            (evidence.direction, evidence.apart) = (guard.direction, WHOLE.to_owned());
        }
        return;
    }
    // p99 can show a divergence where it has enough requests, and is never needed for parity: otherwise one more
    // request could take parity away.
    let testing: Vec<_> =
        quantiles.iter().filter(|at| at.enough && (at.primary || at.shown.q > 0.95)).collect();
    let named =
        testing.iter().filter_map(|at| at.p.map(|(p, way)| (p, way, format!("p{:.0}", at.shown.q * 100.0))));
    let all = named.chain(guard.map(|guard| (guard.p, guard.direction, WHOLE.to_owned())));
    let tests = testing.len().max(1) + 1;
    if let Some((p, way, apart)) = all.min_by(|a, b| a.0.total_cmp(&b.0)) {
        evidence.p = Some((p * tests as f64).min(1.0));
        (evidence.direction, evidence.apart) = (way, apart);
    }
    let primary = || quantiles.iter().filter(|at| at.primary);
    if primary().all(|at| at.enough && at.decision == Decision::Parity) {
        evidence.decision = Decision::Parity;
        let least =
            quantiles.iter().filter(|at| at.primary).map(|at| at.tolerance).fold(f64::INFINITY, f64::min);
        result.reason = format!("every primary quantile is shown to be within ±{:.0} %", least * 100.0);
        return;
    }
    let (reason, needs) = missing(primary(), fewest, tolerances);
    result.reason = reason;
    result.needs = needs;
}

/// What keeps a series from parity, and how many requests would decide.
fn missing<'q>(
    primary: impl Iterator<Item = &'q AtQuantile>,
    fewest: u64,
    tolerances: &Tolerances,
) -> (String, Option<Needs>) {
    let open: Vec<_> = primary.filter(|at| !at.enough || at.decision != Decision::Parity).collect();
    let n = fewest as f64;
    let mut parts = Vec::new();
    let mut needs: Option<u64> = None;
    for at in open {
        let name = format!("p{:.0}", at.shown.q * 100.0);
        if !at.enough {
            let wanted = TAIL_FLOOR / (1.0 - at.shown.q) * (n / at.n_eff.max(1.0)).max(1.0);
            needs = needs.max(Some(wanted.ceil() as u64));
            parts.push(format!("{name} has too few requests beyond it"));
            continue;
        }
        let delta = (1.0 + at.tolerance).ln();
        let (Some(ratio), true) = (at.shown.ratio, at.half_width.is_finite()) else {
            parts.push(format!("{name}'s interval is unbounded"));
            needs = needs.max(Some(fewest.saturating_mul(4).max(tolerances.min_requests)));
            continue;
        };
        let smallest = (at.half_width + delta).exp() - 1.0;
        let side = if at.decision == Decision::Inconclusive { "reaches over" } else { "lies outside" };
        parts.push(format!(
            "{name}'s interval {side} ±{:.0} %, and only a difference above {:.0} % could be shown",
            at.tolerance * 100.0,
            smallest * 100.0
        ));
        match n_needed(n, ratio.ln(), at.half_width, delta) {
            Some(more) => needs = needs.max(Some(more)),
            None => parts.push("the estimate lies on the boundary".to_owned()),
        }
    }
    (parts.join("; "), needs.map(Needs::requests))
}

impl LatencyEvidence {
    /// Whether every primary quantile is shown to be within tolerance.
    pub fn shows_parity(&self) -> bool {
        self.decision == Decision::Parity
    }

    /// Says so where the guard would reject in spite of too few requests, corrected for `series` series.
    pub fn suspect(&mut self, series: usize) {
        let Some(guard) = self.below_floor else { return };
        let p_value = (guard.p * series as f64).min(1.0);
        if p_value <= SUSPICIOUS {
            let slower = guard.direction == Direction::Above;
            self.result.suspicion = Some(Suspicion { slower, p_value });
        }
    }

    /// Gives up on showing a divergence: the baseline against itself is called divergent in this share of cases.
    pub fn abstain(&mut self, share: f64) {
        if self.p.take().is_some() && self.decision != Decision::Parity {
            self.result.reason = abstained(share);
            self.result.needs = None;
        }
    }

    /// Puts what a session has shown in place of what this look shows alone. A series too small to be tested stays so.
    pub fn poll(&mut self, sequential: SequentialResult, parity: bool) {
        let fewest = self.result.n_baseline.min(self.result.n_candidate);
        self.result.sequential = Some(sequential);
        self.p = self.p.map(|_| sequential.p_value);
        if self.decision == Decision::Parity && !parity {
            self.decision = Decision::Inconclusive;
            self.result.reason =
                "parity is shown by this look alone, and not yet at the level that repeated looks share"
                    .to_owned();
            // The next look comes when there is twice as much.
            self.result.needs = Some(Needs::requests(fewest.saturating_mul(2)));
        } else if self.decision != Decision::Parity && parity {
            self.decision = Decision::Parity;
            self.result.reason =
                "every primary quantile was shown to be within tolerance at the last look".to_owned();
            self.result.needs = None;
        }
    }

    /// Second pass: the verdict, with the p-value corrected over all series.
    pub fn conclude(mut self, p_adjusted: Option<f64>, alpha: f64) -> LatencyResult {
        let adjusted = p_adjusted.unwrap_or(1.0);
        if let Some(ks) = &mut self.result.ks {
            ks.p_adjusted = adjusted;
        }
        if self.result.verdict == Verdict::NoData {
            return self.result;
        }
        self.result.verdict = match self.decision {
            _ if adjusted <= alpha && self.p.is_some() => {
                let way = if self.direction == Direction::Above { "slower" } else { "faster" };
                self.result.reason = format!(
                    "{} is {way} than the tolerance allows (adjusted p {})",
                    self.apart,
                    probability(adjusted)
                );
                (self.result.needs, self.result.suspicion) = (None, None);
                Verdict::Divergent
            }
            Decision::Parity => Verdict::Parity,
            _ => Verdict::Inconclusive,
        };
        let clusters = self.result.clusters;
        if let Some(clusters) = clusters.filter(|_| self.result.verdict != Verdict::NoData) {
            self.result.reason.push_str(&independence(&clusters));
        }
        self.result
    }
}

fn independence(clusters: &Clusters) -> String {
    if clusters.borrowed {
        return format!(
            "; the candidate has {} instance(s), so the variance between instances is the baseline's",
            clusters.candidate
        );
    }
    match clusters.deff_baseline.max(clusters.deff_candidate) > 1.0
        || clusters.baseline.min(clusters.candidate) > 1
    {
        true => String::new(),
        false => "; requests were taken to be independent".to_owned(),
    }
}

/// Why nothing is called divergent.
pub fn abstained(share: f64) -> String {
    format!("the baseline against itself is called divergent in {:.0} % of its halvings", share * 100.0)
}

/// A probability for people, with its relation: `= 0.0162`.
pub fn probability(p: f64) -> String {
    if p < 1e-4 { "< 0.0001".to_owned() } else { format!("= {p:.4}") }
}
