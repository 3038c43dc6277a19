//! Aspect errors: does the candidate fail as often as the baseline?
//!
//! *Question.* Is the difference of error rates within max(relative · baseline's rate, floor)? *Statistic.* The
//! difference with Miettinen & Nurminen's score interval on effective counts, right at zero and at rare failures.
//! *Parity* when the 100(1−2α) % interval lies inside; *divergence* when the score test beyond the tolerance survives
//! Benjamini-Hochberg over the series; else inconclusive.

use super::evidence::{SideEvidence, joint_dof};
use super::latency::{UNSHARED, abstained, common_source, probability, too_early};
use super::policy::Tolerances;
use super::session::Look;
use super::verdict::{ErrorCounts, ErrorsResult, Figure, Source, Verdict};
use crate::stats::equivalence::{Decision, Margin, decide};
use crate::stats::normal;
use crate::stats::proportions::{Rate, miettinen_nurminen, score};
use std::sync::Arc;

/// The difference of error rates that nobody minds, absolute.
pub const ERRORS_FLOOR: f64 = 0.01;

/// What the first pass finds about a series.
#[derive(Debug)]
pub struct ErrorEvidence {
    result: ErrorsResult,
    decision: Decision,
    /// The p-value of a difference beyond the tolerance; `None` when not testable.
    pub p: Option<f64>,
    margin: f64,
    /// Nothing failed on either side.
    none_failed: bool,
    /// Failures and requests of both sides as independent ones, with the degrees of freedom; `None` when not testable.
    rates: Option<([Rate; 2], Option<f64>)>,
    /// Why the looks so far do not decide, where this one alone might.
    open: Option<Arc<str>>,
}

/// First pass over one series.
pub fn examine(
    baseline: &SideEvidence<'_>,
    candidate: &SideEvidence<'_>,
    tolerances: &Tolerances,
) -> ErrorEvidence {
    let source = common_source(baseline, candidate).unwrap_or(Source::Spans);
    let counts = |side: &SideEvidence<'_>| {
        let (n, errors) = (side.n(source), side.errors(source));
        ErrorCounts { n, errors, rate: (n > 0).then(|| errors as f64 / n as f64).into() }
    };
    let mut result = ErrorsResult {
        verdict: Verdict::NoData,
        baseline: counts(baseline),
        candidate: counts(candidate),
        delta: Figure::NONE,
        delta_low: Figure::NONE,
        delta_high: Figure::NONE,
        p_value: Figure::NONE,
        reason: Arc::default(),
    };
    let (Some(base_rate), Some(cand_rate)) = (result.baseline.rate.get(), result.candidate.rate.get()) else {
        result.reason = "one side has no requests of this operation".into();
        return ErrorEvidence {
            result,
            decision: Decision::Inconclusive,
            p: None,
            margin: 0.0,
            none_failed: true,
            rates: None,
            open: None,
        };
    };
    let none_failed = result.baseline.errors == 0 && result.candidate.errors == 0;
    let margin = tolerances.errors(base_rate);
    let base_precision = baseline.error_precision(source);
    let cand_precision = candidate.error_precision(source).borrowing(&base_precision);
    let rate = |share: f64, n_eff: f64| Rate { errors: share * n_eff, n: n_eff };
    let sides = (rate(base_rate, base_precision.n_eff), rate(cand_rate, cand_precision.n_eff));
    // Student's t only where clustering was seen: a floor of one says that errors come as single requests do.
    let clustered = base_precision.deff > 1.0 || cand_precision.deff > 1.0;
    let dof = joint_dof(&base_precision, &cand_precision).filter(|_| clustered);
    let (low, high) = miettinen_nurminen(sides.0, sides.1, 1.0 - 2.0 * tolerances.alpha, dof);
    result.delta = (cand_rate - base_rate).into();
    (result.delta_low, result.delta_high) = (low.into(), high.into());
    result.verdict = Verdict::Inconclusive;
    let fewest = result.baseline.n.min(result.candidate.n);
    if fewest < tolerances.min_requests {
        result.reason =
            format!("nothing is decided below {} requests a side", tolerances.min_requests).into();
        let decision = Decision::Inconclusive;
        return ErrorEvidence { result, decision, p: None, margin, none_failed, rates: None, open: None };
    }
    let above = normal::upper_tail(score(sides.0, sides.1, margin), dof);
    let below = normal::upper_tail(-score(sides.0, sides.1, -margin), dof);
    let decision = decide(Some(low), Some(high), Margin::symmetric(margin));
    let p = (2.0 * above.min(below)).min(1.0);
    result.p_value = p.into();
    let rates = Some(([sides.0, sides.1], dof));
    ErrorEvidence { result, decision, p: Some(p), margin, none_failed, rates, open: None }
}

impl ErrorEvidence {
    /// Texts that other operations may have too.
    pub fn texts(&mut self) -> impl Iterator<Item = &mut Arc<str>> {
        std::iter::once(&mut self.result.reason).chain(&mut self.open)
    }

    /// The p-value for the correction over all series. Where nothing failed on either side the test could not have rejected,
    /// whatever the true rates are, and does not count (Tarone 1990).
    pub fn p_in_family(&self) -> Option<f64> {
        self.p.filter(|_| !self.none_failed)
    }

    /// Whether the difference is shown to be within tolerance.
    pub fn shows_parity(&self) -> bool {
        self.p.is_some() && self.decision == Decision::Parity
    }

    /// Whether that would be shown at another level too.
    pub fn shows_parity_at(&self, alpha: f64) -> bool {
        self.rates.is_some_and(|([baseline, candidate], dof)| {
            let (low, high) = miettinen_nurminen(baseline, candidate, 1.0 - 2.0 * alpha, dof);
            decide(Some(low), Some(high), Margin::symmetric(self.margin)) == Decision::Parity
        })
    }

    /// Gives up on showing a divergence: the baseline against itself is called divergent in this share of cases.
    pub fn abstain(&mut self, share: f64) {
        if self.p.take().is_some() && self.decision != Decision::Parity {
            self.result.reason = abstained(share).into();
        }
    }

    /// Puts what a session has shown in place of what this look shows alone.
    pub fn poll(&mut self, p: f64, parity: bool, look: Look) {
        self.p = self.p.map(|_| p);
        self.open = match (self.decision, parity) {
            _ if look.lacking > 0 => Some(too_early(look).into()),
            (Decision::Parity, false) => Some(UNSHARED.into()),
            _ => None,
        };
        self.decision = if parity { Decision::Parity } else { Decision::Inconclusive };
    }

    /// Second pass: the verdict, with the p-value corrected over all series.
    pub fn conclude(mut self, p_adjusted: Option<f64>, alpha: f64) -> ErrorsResult {
        if self.result.verdict == Verdict::NoData || self.p.is_none() {
            return self.result;
        }
        let adjusted = p_adjusted.unwrap_or(1.0);
        self.result.p_value = adjusted.into();
        let points = format!("±{:.1} percentage points", self.margin * 100.0);
        let (verdict, reason) = match self.decision {
            // A session's e-process shows that the rates differ; that they differ by more than is accepted, the rates show.
            _ if adjusted <= alpha && self.result.delta.get().unwrap_or(0.0).abs() > self.margin => {
                let way = if self.result.delta.get().unwrap_or(0.0) > 0.0 { "higher" } else { "lower" };
                let p = probability(adjusted);
                (Verdict::Divergent, format!("the error rate is {way} than {points} allow (adjusted p {p})"))
            }
            Decision::Parity => {
                (Verdict::Parity, format!("the difference of error rates is shown to be within {points}"))
            }
            _ => {
                let reaches = || format!("the interval of the difference reaches over {points}");
                (Verdict::Inconclusive, self.open.map_or_else(reaches, |open| open.to_string()))
            }
        };
        (self.result.verdict, self.result.reason) = (verdict, reason.into());
        self.result
    }
}
