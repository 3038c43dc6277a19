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

use super::curves::Curve;
use super::evidence::{Precision, SideEvidence, joint_dof};
use super::policy::Tolerances;
use super::session::Look;
use super::verdict::{
    Clusters, Distances, KsResult, LatencyResult, Needs, QuantileResult, SequentialResult, Source, Suspicion,
    Verdict,
};
use crate::stats::distribution::Ties;
use crate::stats::equivalence::{Decision, Direction, Margin, decide, n_needed};
use crate::stats::ks::KsStatistic;
use crate::stats::quantile::{Level, QuantileInterval};
use crate::stats::ratio::RatioInterval;
use crate::stats::{
    Distribution, anderson_darling, ks, mann_whitney, normal, quantile, ratio, resolution, wasserstein,
};
use std::sync::Arc;

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
    /// The quantile that is most clearly apart; where none is named, the whole shape is.
    apart: Option<f64>,
    /// What the guard says where there are too few requests to decide.
    below_floor: Option<Guard>,
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
    match Sides::of(baseline, candidate, tolerances) {
        Some(sides) => sides.examine(),
        None => absent(baseline, candidate),
    }
}

/// Points of both cumulative distributions, to draw.
pub fn curves(baseline: &SideEvidence<'_>, candidate: &SideEvidence<'_>) -> (Curve, Curve) {
    let Some(source) = common_source(baseline, candidate) else { return Default::default() };
    (baseline.distribution(source).cdf_points(), candidate.distribution(source).cdf_points())
}

/// One side has nothing to compare with.
pub fn absent(baseline: &SideEvidence<'_>, candidate: &SideEvidence<'_>) -> LatencyEvidence {
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
        quantiles: Vec::new().into(),
        sequential: None,
        reason: reason.into(),
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
        apart: None,
        below_floor: None,
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

/// Both sides of a series beside each other: what does not depend on the level that it is judged at.
pub struct Sides<'a, 'w> {
    source: Source,
    baseline: &'a SideEvidence<'w>,
    candidate: &'a SideEvidence<'w>,
    distributions: (Distribution, Distribution),
    ties: Option<Ties>,
    shape: Option<KsStatistic>,
    /// What holds beside these durations.
    tolerances: Tolerances,
    /// By quantile of the tolerances.
    pairs: Vec<Pair>,
    /// At the median.
    middle: Pair,
}

/// Both sides' precision at one quantile.
#[derive(Clone, Copy)]
struct Pair {
    q: f64,
    baseline: Precision,
    candidate: Precision,
}

/// Both sides' intervals at one quantile and level, and that of their ratio.
struct Intervals {
    level: Level,
    baseline: Option<QuantileInterval>,
    candidate: Option<QuantileInterval>,
    ratio: Option<RatioInterval>,
    decision: Decision,
}

impl Pair {
    fn dof(&self) -> Option<f64> {
        joint_dof(&self.baseline, &self.candidate)
    }

    fn n_eff(&self) -> f64 {
        self.baseline.n_eff.min(self.candidate.n_eff)
    }

    /// Whether enough requests lie beyond the quantile.
    fn is_enough(&self) -> bool {
        self.n_eff() * (1.0 - self.q) >= TAIL_FLOOR
    }

    /// The p-value of a one-sided D on both sides' effective sizes.
    fn p_one_sided(&self, d: f64) -> f64 {
        ks::p_one_sided(self.baseline.n_eff, self.candidate.n_eff, d)
    }

    /// The same where few clusters leave the effective sizes uncertain themselves: Student's t takes that in, at the normal
    /// quantile of the p-value.
    fn p_of_few_clusters(&self, d: f64) -> f64 {
        let z = -normal::critical(self.p_one_sided(d).max(f64::MIN_POSITIVE), None);
        normal::upper_tail(z, self.dof())
    }
}

/// One quantile's comparison.
struct AtQuantile {
    shown: QuantileResult,
    tolerance: f64,
    decision: Decision,
    enough: bool,
    primary: bool,
    tested: bool,
    half_width: f64,
    n_eff: f64,
    p: Option<(f64, Direction)>,
}

impl<'a, 'w> Sides<'a, 'w> {
    /// `None` when there is no source that both sides have.
    pub fn of(
        baseline: &'a SideEvidence<'w>,
        candidate: &'a SideEvidence<'w>,
        tolerances: &Tolerances,
    ) -> Option<Sides<'a, 'w>> {
        let source = common_source(baseline, candidate)?;
        let distributions = (baseline.distribution(source), candidate.distribution(source));
        let ties = Ties::of(&distributions.0, &distributions.1);
        let aligned = ties.as_ref().and_then(ks::of_ties);
        let shape = aligned.or_else(|| ks::two_sample(&distributions.0, &distributions.1));
        let tolerances = tolerances.beside(&distributions.0);
        let judged: Vec<f64> = tolerances.quantiles.iter().map(|(q, _)| *q).collect();
        let with_middle = if judged.contains(&0.5) { judged.clone() } else { [&judged[..], &[0.5]].concat() };
        let precisions = |side: &SideEvidence<'_>, durations: &Distribution| {
            let threshold = |q: &f64| durations.quantile(*q).map_or(0.0, |quantile| quantile.value);
            side.precisions(source, &with_middle.iter().map(threshold).collect::<Vec<_>>())
        };
        let (b, c) = (precisions(baseline, &distributions.0), precisions(candidate, &distributions.1));
        let both = with_middle.iter().zip(b.into_iter().zip(c));
        let mut pairs: Vec<Pair> = both
            .map(|(q, (baseline, candidate))| Pair {
                q: *q,
                baseline,
                candidate: candidate.borrowing(&baseline),
            })
            .collect();
        let middle = *pairs.iter().find(|pair| pair.q == 0.5)?;
        pairs.truncate(judged.len());
        Some(Sides { source, baseline, candidate, distributions, ties, shape, tolerances, pairs, middle })
    }

    /// First pass over the series, at the level that its tolerances name.
    pub fn examine(&self) -> LatencyEvidence {
        let tolerances = &self.tolerances;
        let quantiles: Vec<_> = self.judged().map(|(pair, tolerance)| self.at(pair, tolerance)).collect();
        let widest = 1.0 + tolerances.quantiles.iter().map(|(_, tol)| *tol).fold(0.0, f64::max);
        // D may lie anywhere, so the worst quantile's effective sizes count.
        let worst = |p_at: fn(&Pair, f64) -> f64| {
            move |d: f64| self.pairs.iter().map(|pair| p_at(pair, d)).fold(0.0, f64::max)
        };
        let guard = self.guard(widest, tolerances.d_min, worst(Pair::p_of_few_clusters));
        let overwhelming =
            || self.guard(widest.max(OVERWHELMING_FACTOR), OVERWHELMING_D, worst(Pair::p_one_sided));
        let mut evidence = LatencyEvidence {
            result: self.result(&quantiles),
            decision: Decision::Inconclusive,
            p: None,
            direction: Direction::Above,
            apart: None,
            below_floor: None,
        };
        decide_all(&mut evidence, &quantiles, guard, overwhelming, tolerances);
        if let Some(reach) = self.too_far(tolerances.alpha).filter(|_| evidence.shows_parity()) {
            evidence.decision = Decision::Inconclusive;
            evidence.result.reason = format!(
                "the primary quantiles are shown to be within tolerance, and the whole distributions are only shown to be \
                 within {reach:.2} of each other, where {:.2} is asked for",
                tolerances.d_min
            )
            .into();
        }
        evidence
    }

    /// How far apart the whole distributions may be, where that is more than is asked for: D and the half-width of both
    /// sides' confidence bands.
    fn too_far(&self, alpha: f64) -> Option<f64> {
        let d = self.shape.as_ref().filter(|_| self.tolerances.require_distribution)?.d_high;
        let band = |pair: &Pair| {
            let side = |precision: &Precision| ks::band_half_width(precision.n_eff, alpha);
            side(&pair.baseline) + side(&pair.candidate)
        };
        let reach = self.pairs.iter().map(|pair| d + band(pair)).fold(0.0, f64::max);
        (reach > self.tolerances.d_min).then_some(reach)
    }

    /// Whether every primary quantile is shown to be within tolerance, at another level than the tolerances name.
    pub fn shows_parity(&self, alpha: f64) -> bool {
        let fewest = self.baseline.n(self.source).min(self.candidate.n(self.source));
        let mut primary = self.judged().filter(|(pair, _)| self.tolerances.primary.contains(&pair.q));
        fewest >= self.tolerances.min_requests
            && self.too_far(alpha).is_none()
            && primary.all(|(pair, tolerance)| {
                pair.is_enough() && self.intervals(pair, tolerance, alpha).decision == Decision::Parity
            })
    }

    fn judged(&self) -> impl Iterator<Item = (&Pair, f64)> {
        self.pairs.iter().zip(self.tolerances.quantiles.iter().map(|(_, tolerance)| *tolerance))
    }

    fn margin(&self, tolerance: f64) -> Margin {
        let delta = (1.0 + tolerance).ln();
        if self.tolerances.worse_only { Margin::above_only(delta) } else { Margin::symmetric(delta) }
    }

    fn intervals(&self, pair: &Pair, tolerance: f64, alpha: f64) -> Intervals {
        let level = Level::new(1.0 - 2.0 * alpha, pair.dof());
        let side = |distribution: &Distribution, precision: &Precision| {
            quantile::interval_at(distribution, pair.q, precision.n_eff, &level)
        };
        let baseline = side(&self.distributions.0, &pair.baseline);
        let candidate = side(&self.distributions.1, &pair.candidate);
        let ratio = baseline.zip(candidate).and_then(|(b, c)| ratio::mover_log_ratio(&b, &c));
        let (low, high) = (ratio.and_then(|r| r.lower), ratio.and_then(|r| r.upper));
        let decision = decide(low.map(f64::ln), high.map(f64::ln), self.margin(tolerance));
        Intervals { level, baseline, candidate, ratio, decision }
    }

    fn at(&self, pair: &Pair, tolerance: f64) -> AtQuantile {
        let alpha = self.tolerances.alpha;
        let Intervals { level, baseline, candidate, ratio, decision } =
            self.intervals(pair, tolerance, alpha);
        let (low, high) = (ratio.and_then(|r| r.lower), ratio.and_then(|r| r.upper));
        let (margin, dof, enough) = (self.margin(tolerance), pair.dof(), pair.is_enough());
        let primary = self.tolerances.primary.contains(&pair.q);
        // p99 can show a divergence where it has enough requests, and is never needed for parity: otherwise one more
        // request could take parity away.
        let tested = enough && (primary || pair.q > 0.95);
        let p = ratio.map(|r| r.ratio.ln()).filter(|_| tested).and_then(|theta| {
            let critical = level.critical();
            let above = low.map(|low| (theta - margin.high) * critical / (theta - low.ln()).max(1e-12));
            let below = high.map(|high| (margin.low - theta) * critical / (high.ln() - theta).max(1e-12));
            let sides = [(above, Direction::Above), (below, Direction::Below)];
            let tails = sides.into_iter().filter_map(|(z, d)| z.map(|z| (normal::upper_tail(z, dof), d)));
            tails.min_by(|a, b| a.0.total_cmp(&b.0))
        });
        AtQuantile {
            shown: QuantileResult {
                q: pair.q,
                baseline_s: baseline.map(|b| b.estimate).into(),
                candidate_s: candidate.map(|c| c.estimate).into(),
                ratio: ratio.map(|r| r.ratio).into(),
                ratio_low: low.into(),
                ratio_high: high.into(),
            },
            tolerance,
            decision,
            enough,
            primary,
            tested,
            half_width: match (low, high) {
                (Some(low), Some(high)) => (high.ln() - low.ln()) / 2.0,
                _ => f64::INFINITY,
            },
            n_eff: pair.n_eff(),
            p,
        }
    }

    /// The Kolmogorov-Smirnov guard with one side scaled by `factor`, where D is at least `d_min`.
    fn guard(&self, factor: f64, d_min: f64, p_at: impl Fn(f64) -> f64) -> Option<Guard> {
        // To scale the faster side brings the two closer, so that D as it is bounds what can be found.
        if self.shape.is_none_or(|shape| shape.d_high < d_min - 1e-9) {
            return None;
        }
        let (baseline, candidate) = &self.distributions;
        let slower =
            ks::two_sample(&baseline.scaled(factor), candidate).map(|s| (s.d_greater, Direction::Above));
        let faster =
            ks::two_sample(baseline, &candidate.scaled(factor)).map(|s| (s.d_less, Direction::Below));
        let faster = faster.filter(|_| !self.tolerances.worse_only);
        let tests = [slower, faster].into_iter().flatten().filter(|(d, _)| *d >= d_min);
        let tests = tests.map(|(d, direction)| Guard { p: p_at(d), direction });
        tests.min_by(|a, b| a.p.total_cmp(&b.p))
    }

    fn result(&self, quantiles: &[AtQuantile]) -> LatencyResult {
        let middle = &self.middle;
        let (baseline, candidate) = &self.distributions;
        let (n, m) = (self.baseline.n(self.source), self.candidate.n(self.source));
        let exact = baseline.is_exact() && candidate.is_exact();
        let ks = self.shape.map(|found| {
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
            reason: Arc::default(),
            needs: None,
            clusters: Some(clusters),
            suspicion: None,
            distances: Some(self.distances()),
            resolution: self.resolution(),
        }
    }

    fn distances(&self) -> Distances {
        let ties = self.ties.as_ref();
        let ranks = ties.map(mann_whitney::of_ties);
        Distances {
            wasserstein_s: ties.and_then(wasserstein::of_ties).into(),
            effect: ranks.map(|ranks| ranks.vargha_delaney_a).into(),
            mann_whitney_p: ranks.map(|ranks| ranks.p_value).into(),
            anderson_darling: ties.and_then(anderson_darling::of_ties).map(|ad| ad.a2_normalised).into(),
        }
    }

    /// Said only of bins that were chosen elsewhere: ours are finer than any tolerance.
    fn resolution(&self) -> Option<Arc<str>> {
        if self.source == Source::Spans {
            return None;
        }
        let n_eff = self.middle.n_eff();
        Some(match resolution::smallest_visible_shift(&self.distributions.0, n_eff) {
            Some(shift) => format!("these buckets cannot see shifts below {:.0} %", shift * 100.0).into(),
            None => "these buckets cannot see shifts below 50 %".into(),
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
        )
        .into();
        result.needs = Some(Needs::requests(tolerances.min_requests));
        evidence.below_floor = guard;
        if let Some(guard) = overwhelming().filter(|_| fewest >= OVERWHELMING_MIN) {
            evidence.p = Some((guard.p / OVERWHELMING_LEVEL).min(1.0));
            (evidence.direction, evidence.apart) = (guard.direction, None);
        }
        return;
    }
    let testing: Vec<_> = quantiles.iter().filter(|at| at.tested).collect();
    let named = testing.iter().filter_map(|at| at.p.map(|(p, way)| (p, way, Some(at.shown.q))));
    let all = named.chain(guard.map(|guard| (guard.p, guard.direction, None)));
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
        result.reason =
            format!("every primary quantile is shown to be within ±{:.0} %", least * 100.0).into();
        return;
    }
    let (reason, needs) = missing(primary(), fewest, tolerances);
    result.reason = reason.into();
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
        let (Some(ratio), true) = (at.shown.ratio.get(), at.half_width.is_finite()) else {
            parts.push(format!("{name}'s interval is unbounded"));
            needs = needs.max(Some(fewest.saturating_mul(4).max(tolerances.min_requests)));
            continue;
        };
        let tolerance = at.tolerance * 100.0;
        if at.decision != Decision::Inconclusive {
            parts.push(format!(
                "{name}'s interval lies outside ±{tolerance:.0} %, and that is not sure over all operations and looks"
            ));
            needs = needs.max(Some(fewest.saturating_mul(2)));
            continue;
        }
        let smallest = (at.half_width + delta).exp() - 1.0;
        parts.push(format!(
            "{name}'s interval reaches over ±{tolerance:.0} %, and only a difference above {:.0} % could be shown",
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
    /// Texts that other operations may have too.
    pub fn texts(&mut self) -> impl Iterator<Item = &mut Arc<str>> {
        std::iter::once(&mut self.result.reason).chain(&mut self.result.resolution)
    }

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
            self.result.reason = abstained(share).into();
            self.result.needs = None;
        }
    }

    /// Puts what a session has shown in place of what this look shows alone. A series too small to be tested stays so.
    pub fn poll(&mut self, sequential: SequentialResult, parity: bool, look: Look) {
        let fewest = self.result.n_baseline.min(self.result.n_candidate);
        self.result.sequential = Some(sequential);
        if self.p.is_some() && look.lacking > 0 {
            let first = look.windows + look.lacking;
            self.decision = Decision::Inconclusive;
            self.result.reason = too_early(look).into();
            self.result.needs =
                Some(Needs::requests(fewest.saturating_mul(first).div_ceil(look.windows.max(1))));
        }
        self.p = self.p.map(|_| sequential.p_value);
        if self.decision == Decision::Parity && !parity {
            self.decision = Decision::Inconclusive;
            self.result.reason = UNSHARED.into();
            // The next look comes when there is twice as much.
            self.result.needs = Some(Needs::requests(fewest.saturating_mul(2)));
        } else if self.decision != Decision::Parity && parity {
            self.decision = Decision::Parity;
            self.result.reason =
                "every primary quantile was shown to be within tolerance at the last look".into();
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
                let apart =
                    self.apart.map_or("the whole distribution".to_owned(), |q| format!("p{:.0}", q * 100.0));
                let p = probability(adjusted);
                self.result.reason =
                    format!("{apart} is {way} than the tolerance allows (adjusted p {p})").into();
                (self.result.needs, self.result.suspicion) = (None, None);
                Verdict::Divergent
            }
            Decision::Parity => Verdict::Parity,
            _ => Verdict::Inconclusive,
        };
        let clusters = self.result.clusters;
        if let Some(clusters) = clusters.filter(|_| self.result.verdict != Verdict::NoData) {
            let more = independence(&clusters);
            if !more.is_empty() {
                self.result.reason = format!("{}{more}", self.result.reason).into();
            }
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

/// Why parity is not decided yet.
pub const UNSHARED: &str =
    "parity is shown by this look alone, and not yet at the level that repeated looks share";

/// Why nothing is decided yet.
pub fn too_early(look: Look) -> String {
    let first = look.windows + look.lacking;
    format!(
        "nothing is decided before {first} windows, which show how load drifts; there are {}",
        look.windows
    )
}

/// Why nothing is called divergent.
pub fn abstained(share: f64) -> String {
    format!("the baseline against itself is called divergent in {:.0} % of its halvings", share * 100.0)
}

/// A probability for people, with its relation: `= 0.0162`.
pub fn probability(p: f64) -> String {
    if p < 1e-4 { "< 0.0001".to_owned() } else { format!("= {p:.4}") }
}
