//! Aspect value: do ordinary metrics say the same on both sides?
//!
//! *Question.* Does a metric's statistic (a rate, a mean, a quantile by window) differ by no more than is accepted?
//! *Statistic.* The ratio of both sides' means over windows, or their difference where the absolute floor is the wider
//! tolerance or a mean is not positive. Requests do not take part: a window is one observation, adjacent ones are taken
//! together in blocks, and the variance is the greatest of those between blocks, episodes and instances
//! ([`ratio_of_sums`](crate::stats::ratio_of_sums), the ratio's by the delta method on the logarithm). Student's t with
//! Satterthwaite's degrees of freedom (Welch 1947). Where nothing varies on either side, the exact test of exceedances
//! (Rosenbaum 1954) takes its place. *Parity* when the 100(1−2α) % interval lies inside the tolerance; *divergence* when
//! a difference beyond it survives Benjamini-Hochberg; else inconclusive. Below three windows a side nothing is decided.
//!
//! Metrics that the configuration names decide, and are tested in one family with latency and errors. Others are evidence
//! with a wide tolerance and a family of their own. Between them are *success ratios*: gauges in `%` or `1` that the
//! baseline has at 100 % most of the time. Nobody needs to say how much of an availability may be lost, so they decide
//! too, with the tolerance of error rates, by the test of exceedances.

use super::compare::Context;
use super::errors::ERRORS_FLOOR;
use super::evidence::LENDING_MIN;
use super::facts::FactEvidence;
use super::findings::{self, Draft, Findings, PART, numbers};
use super::latency::probability;
use super::policy::{Statistic, ValueRule};
use super::session::{Look, Session};
use super::value_evidence::{Estimate, Requests, Sides, ValueSide, gather, requests};
use super::verdict::*;
use crate::model::redaction::has_hidden;
use crate::model::{EnvironmentId, Instrument, ServiceKey, ValueId, ValueKey};
use crate::stats::design_effect::satterthwaite;
use crate::stats::equivalence::{Decision, Margin, decide, n_needed};
use crate::stats::multiplicity::benjamini_hochberg;
use crate::stats::{exceedance, normal};
use crate::window::SealedWindow;
use std::collections::BTreeMap;

/// Accepted relative difference of a metric that nobody configured: wide, for between fault-free recordings of the same
/// services a third of the means are more than 10 % apart, and a sixth more than 25 % (docs/judging.md).
const TOLERANCE_UNASKED: f64 = 0.25;
/// Windows, or blocks of them, below which nothing is decided: fewer cannot tell their variance.
const WINDOWS_MIN: usize = LENDING_MIN;
/// The p-value, not corrected, at which a success ratio that fell is worth a warning.
const SUSPICIOUS: f64 = 0.05;
/// The p-value, not corrected, at which any other metric is worth a mention.
const NOTABLE: f64 = 0.01;

/// What is asked about one metric.
struct Question<'a> {
    id: ValueId,
    key: &'a ValueKey,
    statistic: Statistic,
    rule: Option<&'a ValueRule>,
}

/// In which family of tests a metric's p-value is corrected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Configured,
    Success,
    Unasked,
}

/// A difference on the scale on which it is judged.
#[derive(Clone, Copy, Debug)]
struct Contrast {
    theta: f64,
    error: f64,
    dof: Option<f64>,
    /// The accepted difference on the same scale.
    delta: f64,
    relative: bool,
}

/// What the first pass finds about one question; the verdict waits for the correction.
struct Evidence {
    service: ServiceKey,
    /// Of a size.
    operation: Option<String>,
    result: ValueResult,
    family: Family,
    severity: Level,
    decision: Decision,
    contrast: Option<Contrast>,
    p: Option<f64>,
    /// The p-value before any correction for other metrics.
    p_alone: f64,
    /// Of a success ratio: the candidate's windows that lie below all of the baseline's by more than is accepted.
    below: usize,
}

/// All questions of a comparison between the two passes.
#[derive(Default)]
pub(super) struct Values(Vec<Evidence>);

impl Values {
    /// First pass over all metrics.
    pub fn examine(
        context: &Context<'_>,
        environments: (EnvironmentId, EnvironmentId),
        stated: &FactEvidence,
        mut polled: Option<(&mut Session, Look)>,
        findings: &mut Findings,
    ) -> Values {
        let found = gather(context, environments);
        // Only who asks for them needs them.
        let asked = context.policy.values.iter().any(|rule| rule.per_request);
        let of_side = |environment, windows: &[&SealedWindow]| match asked {
            true => requests(context, environment, windows),
            false => BTreeMap::new(),
        };
        let all_requests =
            (of_side(environments.0, &context.baseline), of_side(environments.1, &context.candidate));
        let mut seen = vec![false; context.policy.values.len()];
        let mut evidence = Vec::new();
        let ordered: BTreeMap<&ValueKey, (ValueId, &Sides<'_>)> =
            found.iter().map(|(id, sides)| (context.names.value_key(*id), (*id, sides))).collect();
        for (key, (id, sides)) in ordered {
            for (rule, seen) in context.policy.values.iter().zip(&mut seen) {
                *seen |= rule.matches(key);
            }
            let hidden = !context.compares_hidden() && has_hidden(&key.split);
            if hidden || !context.comparison.includes(&key.service) {
                continue;
            }
            if let Some((session, _)) = &mut polled {
                // Of a service without requests nobody else notes the version.
                let service = context.names.find_service(&key.service);
                let versions = service.and_then(|id| stated.candidate_values(id, "service.version"));
                session.is_new_release(&key.service, versions);
            }
            let alpha = context.policy.of(&key.service.to_string(), "").tolerances.alpha;
            let of_service = (all_requests.0.get(&key.service), all_requests.1.get(&key.service));
            for question in questions(id, key, &context.policy.values) {
                let mut one = match key.instrument {
                    Instrument::Text => texts(&question, sides, context.compares_texts()),
                    _ => examine(&question, sides, of_service, alpha),
                };
                if let Some((session, look)) = &mut polled {
                    one.poll(session, *look, &question, alpha);
                }
                evidence.push(one);
            }
        }
        for (rule, _) in context.policy.values.iter().zip(seen).filter(|(_, seen)| !seen) {
            unseen(rule, findings);
        }
        Values(evidence)
    }

    /// The p-values that are corrected together with those of latency and errors.
    pub fn configured(&self) -> impl Iterator<Item = Option<f64>> + '_ {
        self.0.iter().filter(|one| one.family == Family::Configured).map(|one| one.p)
    }

    /// Second pass: verdicts and findings by service. `adjusted` are the corrected p-values of [`Values::configured`].
    pub fn conclude(
        mut self,
        context: &Context<'_>,
        adjusted: impl Iterator<Item = Option<f64>>,
        findings: &mut Findings,
    ) -> BTreeMap<ServiceKey, Vec<ValueResult>> {
        let of = |family: Family, all: &mut Vec<Evidence>| {
            all.extract_if(.., |one| one.family == family).collect::<Vec<_>>()
        };
        let configured = of(Family::Configured, &mut self.0);
        let (success, unasked) = (of(Family::Success, &mut self.0), self.0);
        let mut results: BTreeMap<ServiceKey, Vec<ValueResult>> = BTreeMap::new();
        let with_p = configured.into_iter().zip(adjusted).chain(corrected(success)).chain(corrected(unasked));
        for (one, adjusted) in with_p {
            let service = one.service.clone();
            let alpha = context.policy.of(&service.to_string(), "").tolerances.alpha;
            let result = one.conclude(adjusted, alpha, findings);
            results.entry(service).or_default().push(result);
        }
        for values in results.values_mut() {
            let order = |v: &ValueResult| {
                (v.metric.clone(), v.unit.clone(), v.instrument.clone(), v.statistic.clone())
            };
            values.sort_by_cached_key(|value| (order(value), value.per.clone()));
            fold_tails(values, findings);
        }
        results
    }
}

/// Where nobody asked, the tail of a metric whose mean has left its tolerance the same way is told with the mean, which
/// stands before it.
fn fold_tails(values: &mut [ValueResult], findings: &mut Findings) {
    for at in 1..values.len() {
        let (means, tails) = values.split_at_mut(at);
        let ([.., mean], [tail, ..]) = (means, tails) else { continue };
        let of = |value: &ValueResult| (value.metric.clone(), value.unit.clone(), value.instrument.clone());
        let is_higher = |value: &ValueResult| value.candidate > value.baseline;
        let same = !mean.configured && of(mean) == of(tail) && is_higher(mean) == is_higher(tail);
        let (Some(id), Some(told)) = (&mean.finding, &tail.finding) else { continue };
        if !same || mean.verdict != Verdict::Divergent {
            continue;
        }
        let sides = (quantity(tail.candidate, tail), quantity(tail.baseline, tail));
        let words = format!(" Its {} is at {} instead of {}.", tail.statistic, sides.0, sides.1);
        findings.withdraw(told);
        findings.amend(id, &words, ("tail_ratio", tail.ratio.into()));
        tail.finding = Some(id.clone());
    }
}

fn corrected(family: Vec<Evidence>) -> Vec<(Evidence, Option<f64>)> {
    let present: Vec<f64> = family.iter().filter_map(|one| one.p).collect();
    let mut adjusted = benjamini_hochberg(&present).into_iter();
    let with_p = |one: Evidence| {
        let p = one.p.and_then(|_| adjusted.next());
        (one, p)
    };
    family.into_iter().map(with_p).collect()
}

/// What is asked about a metric: what the configuration asks, or else what suits its instrument.
fn questions<'a>(id: ValueId, key: &'a ValueKey, rules: &'a [ValueRule]) -> Vec<Question<'a>> {
    let usual = match key.instrument {
        Instrument::Counter | Instrument::Change => Statistic::Rate,
        Instrument::Size => Statistic::P50,
        _ => Statistic::Mean,
    };
    let mut asked: Vec<Question<'a>> = Vec::new();
    for rule in rules.iter().filter(|rule| rule.matches(key)) {
        let statistic = rule.statistic.unwrap_or(usual);
        let same = |known: &Question<'_>| {
            known.statistic == statistic
                && known.rule.is_some_and(|known| known.per_request == rule.per_request)
        };
        if !asked.iter().any(same) {
            asked.push(Question { id, key, statistic, rule: Some(rule) });
        }
    }
    if asked.is_empty() && key.instrument != Instrument::Text {
        let further = match key.instrument {
            Instrument::Histogram | Instrument::Summary => Some(Statistic::P95),
            // Where bodies are of two sorts, the median is one of them.
            Instrument::Size => Some(Statistic::Mean),
            _ => None,
        };
        let unasked = [Some(usual), further];
        asked.extend(unasked.into_iter().flatten().map(|statistic| Question {
            id,
            key,
            statistic,
            rule: None,
        }));
    }
    asked
}

fn blank(question: &Question<'_>) -> Evidence {
    let (key, rule) = (question.key, question.rule);
    let result = ValueResult {
        metric: key.name(),
        unit: key.unit.to_string(),
        instrument: key.instrument.as_str().to_owned(),
        statistic: question.statistic.as_str().to_owned(),
        per: rule.filter(|rule| rule.per_request).map(|_| "request".to_owned()),
        configured: rule.is_some(),
        decides: rule.is_some_and(|rule| rule.severity > Level::Info),
        verdict: Verdict::NoData,
        baseline: None,
        candidate: None,
        windows_baseline: 0,
        windows_candidate: 0,
        ratio: None,
        ratio_low: None,
        ratio_high: None,
        difference: None,
        difference_low: None,
        difference_high: None,
        tolerance: rule.map_or(TOLERANCE_UNASKED, |rule| rule.tolerance),
        floor: rule.map_or(0.0, |rule| rule.floor),
        p_value: None,
        reason: String::new(),
        needs: None,
        finding: None,
        accepted: false,
    };
    Evidence {
        service: key.service.clone(),
        operation: key.operation().map(str::to_owned),
        result,
        family: if rule.is_some() { Family::Configured } else { Family::Unasked },
        severity: rule.map_or(Level::Warning, |rule| rule.severity),
        decision: Decision::Inconclusive,
        contrast: None,
        p: None,
        p_alone: 1.0,
        below: 0,
    }
}

/// First pass over one question about numbers.
fn examine(
    question: &Question<'_>,
    (baseline, candidate): &Sides<'_>,
    requests: (Option<&Requests>, Option<&Requests>),
    alpha: f64,
) -> Evidence {
    let mut evidence = blank(question);
    let per_request = evidence.result.per.is_some();
    let none = Requests::new();
    let ask = |side: &ValueSide<'_>, requests: Option<&Requests>| {
        let per_request = per_request.then(|| requests.unwrap_or(&none));
        side.estimate(question.key.instrument, question.statistic, per_request)
    };
    let sides = (ask(baseline, requests.0), ask(candidate, requests.1));
    let (Some(base), Some(cand)) = &sides else {
        let side =
            |empty: bool, name: &str| empty.then(|| format!("the {name} has no points of this metric"));
        let mean = |side: &Option<Estimate>| side.as_ref().map(|estimate| estimate.mean);
        (evidence.result.baseline, evidence.result.candidate) = (mean(&sides.0), mean(&sides.1));
        let lacking = side(candidate.is_empty(), "candidate").or(side(baseline.is_empty(), "baseline"));
        evidence.result.reason = lacking.unwrap_or_else(|| match per_request {
            true => "the service has no incoming requests to divide by".to_owned(),
            false => format!("a {} has no {}", question.key.instrument.as_str(), question.statistic.as_str()),
        });
        return evidence;
    };
    let cand = &cand.clone().borrowing(base);
    let result = &mut evidence.result;
    result.verdict = Verdict::Inconclusive;
    (result.baseline, result.candidate) = (Some(base.mean), Some(cand.mean));
    (result.windows_baseline, result.windows_candidate) =
        (base.blocks.len() as u64, cand.blocks.len() as u64);
    if let Some(top) = success_top(question, base, cand) {
        evidence.family = Family::Success;
        result.tolerance = 0.0;
        result.floor = (ERRORS_FLOOR * top).max(0.1 * (top - base.mean));
    }
    let contrast = contrast(base, cand, result.tolerance, result.floor);
    evidence.contrast = Some(contrast);
    show_interval(result, &contrast, base, cand, alpha);
    if base.blocks.len().min(cand.blocks.len()) < WINDOWS_MIN {
        result.reason = format!(
            "{} windows on the baseline and {} on the candidate; nothing is decided below {WINDOWS_MIN} a side",
            base.blocks.len(),
            cand.blocks.len()
        );
        result.needs = Some(ValueNeeds { windows: WINDOWS_MIN as u64 });
        return evidence;
    }
    let p = match evidence.family {
        Family::Success => {
            evidence.below = beyond(base, cand, &contrast, false);
            exceedance::p_value(base.blocks.len(), cand.blocks.len(), evidence.below)
        }
        _ => p_of(base, cand, &contrast),
    };
    (evidence.p, evidence.p_alone) = (Some(p), p);
    evidence.decision = contrast.decide(alpha);
    let fewest = base.blocks.len().min(cand.blocks.len()) as f64;
    let half = contrast.half_width(alpha);
    result.needs =
        n_needed(fewest, contrast.theta, half, contrast.delta).map(|windows| ValueNeeds { windows });
    evidence
}

/// The highest that a success ratio can be, if this is one: a gauge in percent or one that lies at the top in most of
/// the baseline's windows and never beyond it.
fn success_top(question: &Question<'_>, base: &Estimate, cand: &Estimate) -> Option<f64> {
    let top = match &*question.key.unit {
        "%" => 100.0,
        "1" => 1.0,
        _ => return None,
    };
    let fits = question.rule.is_none()
        && question.key.instrument == Instrument::Level
        && base.blocks.iter().chain(&cand.blocks).all(|level| (0.0..=top * (1.0 + 1e-9)).contains(level));
    let full = base.blocks.iter().filter(|level| **level >= top * (1.0 - 1e-9)).count();
    (fits && 2 * full > base.blocks.len()).then_some(top)
}

fn contrast(base: &Estimate, cand: &Estimate, tolerance: f64, floor: f64) -> Contrast {
    let relative = base.mean > 0.0 && cand.mean > 0.0 && tolerance > 0.0 && tolerance * base.mean >= floor;
    let scale = |mean: f64| if relative { mean.powi(2) } else { 1.0 };
    let variances = (base.variance / scale(base.mean), cand.variance / scale(cand.mean));
    let error = (variances.0 + variances.1).sqrt();
    // What is no more than rounding is nothing.
    let least = if relative { 1e-9 } else { 1e-9 * base.mean.abs().max(cand.mean.abs()) };
    Contrast {
        theta: if relative { cand.mean.ln() - base.mean.ln() } else { cand.mean - base.mean },
        error: if error.is_finite() && error > least { error } else { 0.0 },
        dof: satterthwaite([(variances.0, Some(base.dof)), (variances.1, Some(cand.dof))]),
        delta: if relative { tolerance.ln_1p() } else { (tolerance * base.mean.abs()).max(floor) },
        relative,
    }
}

impl Contrast {
    fn half_width(&self, alpha: f64) -> f64 {
        if self.error == 0.0 { 0.0 } else { normal::critical(1.0 - alpha, self.dof) * self.error }
    }

    fn decide(&self, alpha: f64) -> Decision {
        if self.error == 0.0 && self.theta.abs() <= self.delta {
            return Decision::Parity;
        }
        let half = self.half_width(alpha);
        decide(Some(self.theta - half), Some(self.theta + half), Margin::symmetric(self.delta))
    }

    fn is_beyond(&self) -> bool {
        self.theta.abs() > self.delta
    }
}

/// The p-value of a difference beyond the tolerance, either way.
fn p_of(base: &Estimate, cand: &Estimate, contrast: &Contrast) -> f64 {
    if contrast.error == 0.0 {
        let windows = beyond(base, cand, contrast, contrast.theta > 0.0);
        let one_way = exceedance::p_value(base.blocks.len(), cand.blocks.len(), windows);
        return if contrast.is_beyond() { (2.0 * one_way).min(1.0) } else { 1.0 };
    }
    let beyond = (contrast.theta.abs() - contrast.delta) / contrast.error;
    (2.0 * normal::upper_tail(beyond, contrast.dof)).min(1.0)
}

/// How many of the candidate's windows lie beyond all of the baseline's by more than the tolerance.
fn beyond(base: &Estimate, cand: &Estimate, contrast: &Contrast, above: bool) -> usize {
    let way = if above { 1.0 } else { -1.0 };
    let most = base.blocks.iter().map(|level| way * level).fold(f64::NEG_INFINITY, f64::max);
    let edge = match contrast.relative {
        true => most * (way * contrast.delta).exp(),
        false => most + contrast.delta,
    };
    cand.blocks.iter().filter(|level| way * **level > edge).count()
}

fn show_interval(
    result: &mut ValueResult,
    contrast: &Contrast,
    base: &Estimate,
    cand: &Estimate,
    alpha: f64,
) {
    result.ratio =
        (base.mean > 0.0 && cand.mean > 0.0).then(|| cand.mean / base.mean).filter(|r| r.is_finite());
    result.difference = Some(cand.mean - base.mean);
    // A single window has no variance, and so no interval.
    if base.blocks.len().min(cand.blocks.len()) < 2 {
        return;
    }
    let half = contrast.half_width(alpha);
    let ends = (contrast.theta - half, contrast.theta + half);
    let finite = |end: f64| Some(end).filter(|end| end.is_finite());
    if contrast.relative {
        (result.ratio_low, result.ratio_high) = (finite(ends.0.exp()), finite(ends.1.exp()));
    } else {
        (result.difference_low, result.difference_high) = (finite(ends.0), finite(ends.1));
    }
}

/// Texts are equal or not: no chance takes part, so nothing is corrected.
fn texts(question: &Question<'_>, (baseline, candidate): &Sides<'_>, comparable: bool) -> Evidence {
    let mut evidence = blank(question);
    let ((ours, more_ours), (theirs, more_theirs)) = (baseline.texts(), candidate.texts());
    let differing = ours.symmetric_difference(&theirs).count();
    let result = &mut evidence.result;
    "equal".clone_into(&mut result.statistic);
    (result.tolerance, result.floor) = (0.0, 0.0);
    (result.baseline, result.candidate) = (Some(ours.len() as f64), Some(theirs.len() as f64));
    (result.verdict, result.reason) = match () {
        () if ours.is_empty() || theirs.is_empty() => {
            (Verdict::NoData, "one side has no values of this attribute".to_owned())
        }
        () if !comparable => (
            Verdict::Inconclusive,
            "the snapshot's values are hashes of another key; set parity.redaction.key where it is saved and here"
                .to_owned(),
        ),
        () if more_ours || more_theirs => (
            Verdict::Inconclusive,
            "there are more values than are kept; raise parity.limits.texts_per_value".to_owned(),
        ),
        () if differing == 0 => (Verdict::Parity, format!("all {} value(s) are the same", ours.len())),
        () => {
            let (lost, new) = (ours.difference(&theirs).count(), theirs.difference(&ours).count());
            let reason = format!(
                "{lost} of the baseline's {} value(s) are not in the candidate, and {new} of the candidate's {} not in \
                 the baseline",
                ours.len(),
                theirs.len()
            );
            (Verdict::Divergent, reason)
        }
    };
    evidence
}

impl Evidence {
    /// Puts what a session's looks have shown in place of what this one shows alone.
    fn poll(&mut self, session: &mut Session, look: Look, question: &Question<'_>, alpha: f64) {
        let Some(contrast) = self.contrast.filter(|_| self.p.is_some()) else { return };
        let key = (question.id, question.statistic, self.result.per.is_some());
        let looks = session.value(&self.service, key);
        if let Some(share) = look.share {
            looks.p = looks.p.min(self.p.unwrap_or(1.0) / share);
            looks.parity = contrast.decide(alpha * share) == Decision::Parity;
        }
        (self.p, self.p_alone) = (Some(looks.p), looks.p);
        self.decision = if looks.parity { Decision::Parity } else { Decision::Inconclusive };
    }

    fn conclude(mut self, adjusted: Option<f64>, alpha: f64, findings: &mut Findings) -> ValueResult {
        let suspicious = self.family == Family::Success && self.p_alone <= SUSPICIOUS;
        if let Some((adjusted, contrast)) = adjusted.zip(self.contrast) {
            self.result.p_value = Some(adjusted);
            (self.result.verdict, self.result.reason) = self.verdict(adjusted, alpha, &contrast);
            // A success ratio that is open for want of evidence is evidence only, unless it looks lost.
            let decided = self.result.verdict != Verdict::Inconclusive;
            self.result.decides |= self.family == Family::Success && (decided || suspicious);
            if decided {
                self.result.needs = None;
            }
        }
        if let Some((level, title)) = self.worth_telling(suspicious) {
            let id = self.tell(level, title, findings);
            self.result.finding = Some(id);
        }
        self.result
    }

    fn verdict(&self, adjusted: f64, alpha: f64, contrast: &Contrast) -> (Verdict, String) {
        let tolerance = tolerance(&self.result, contrast.relative, contrast.delta);
        if self.family == Family::Success && self.below > 0 {
            let fallen = format!(
                "{} of its {} windows lie more than {} below all {} of the baseline's (adjusted p {})",
                self.below,
                self.result.windows_candidate,
                points(contrast.delta, &self.result.unit),
                self.result.windows_baseline,
                probability(adjusted)
            );
            let sure = adjusted <= alpha && contrast.is_beyond();
            return (if sure { Verdict::Divergent } else { Verdict::Inconclusive }, fallen);
        }
        match self.decision {
            _ if adjusted <= alpha && contrast.is_beyond() => {
                let way = if contrast.theta > 0.0 { "higher" } else { "lower" };
                let p = probability(adjusted);
                (Verdict::Divergent, format!("it is {way} than {tolerance} allows (adjusted p {p})"))
            }
            Decision::Parity => (Verdict::Parity, format!("it is shown to be within {tolerance}")),
            _ if contrast.is_beyond() => (
                Verdict::Inconclusive,
                format!("it lies outside of {tolerance}, and that is not sure (p {})", probability(adjusted)),
            ),
            _ => (Verdict::Inconclusive, format!("its interval reaches over {tolerance}")),
        }
    }

    fn worth_telling(&self, suspicious: bool) -> Option<(Level, &'static str)> {
        let rate = self.result.statistic == Statistic::Rate.as_str();
        let up = self.contrast.is_some_and(|contrast| contrast.theta > 0.0);
        let beyond = self.contrast.is_some_and(|contrast| contrast.is_beyond());
        match (self.result.verdict, self.family) {
            (Verdict::Divergent, Family::Configured) if self.contrast.is_none() => {
                Some((self.severity, "other values"))
            }
            (Verdict::Divergent, Family::Configured) => {
                Some((self.severity, if up { "higher value" } else { "lower value" }))
            }
            (Verdict::Divergent, Family::Success) => Some((Level::Critical, "no longer at the top")),
            (Verdict::Inconclusive, Family::Success) if suspicious && beyond => {
                Some((Level::Warning, "looks no longer at the top"))
            }
            // How much traffic a side gets is decided by people, and rates follow it.
            (Verdict::Divergent, Family::Unasked) => {
                let level = if rate { Level::Info } else { Level::Warning };
                Some((level, if up { "higher value" } else { "lower value" }))
            }
            (Verdict::Inconclusive, Family::Unasked) if self.p_alone <= NOTABLE && !rate => {
                Some((Level::Info, if up { "looks higher" } else { "looks lower" }))
            }
            _ => None,
        }
    }

    /// Adds the finding; returns its id.
    fn tell(&self, level: Level, title: &str, findings: &mut Findings) -> String {
        let (result, service) = (&self.result, self.service.to_string());
        let per = result.per.as_deref().unwrap_or("");
        let operation = self.operation.as_deref();
        let sort = match () {
            () if result.instrument == Instrument::Text.as_str() => "attribute",
            () if operation.is_some() => "span attribute",
            () => "metric",
        };
        let item = format!("{sort} {}", result.metric);
        let subject = [&*item, &*result.unit, &*result.statistic, per].join(&PART.to_string());
        let message = match self.contrast {
            None => format!(
                "{service} has other values of {} in the candidate: {}.",
                result.metric, result.reason
            ),
            Some(_) if self.family == Family::Success => format!(
                "{service} has {} of {} at {} instead of {}: {}.",
                result.statistic,
                result.metric,
                quantity(result.candidate, result),
                quantity(result.baseline, result),
                result.reason
            ),
            Some(_) => format!(
                "{service} has {} of {} at {} instead of {}: {}, from {} and {} windows. Told because {}.",
                result.statistic,
                result.metric,
                quantity(result.candidate, result),
                quantity(result.baseline, result),
                interval(result),
                result.windows_baseline,
                result.windows_candidate,
                result.reason
            ),
        };
        let far = self
            .contrast
            .map_or(1e6, |contrast| contrast.theta.abs() / contrast.delta.max(f64::MIN_POSITIVE));
        let mut evidence = numbers([
            ("baseline", result.baseline),
            ("candidate", result.candidate),
            ("ratio", result.ratio),
            ("ratio_low", result.ratio_low),
            ("ratio_high", result.ratio_high),
            ("difference", result.difference),
            ("difference_low", result.difference_low),
            ("difference_high", result.difference_high),
            ("tolerance", Some(result.tolerance).filter(|_| self.contrast.is_some_and(|c| c.relative))),
            ("floor", Some(result.floor).filter(|floor| *floor > 0.0)),
            ("p_value", result.p_value),
        ]);
        evidence.insert("metric".to_owned(), result.metric.as_str().into());
        evidence.insert("statistic".to_owned(), result.statistic.as_str().into());
        findings.add(Draft {
            level,
            aspect: Aspect::Value,
            service: Some(&service),
            operation,
            subject: &subject,
            title: title.to_owned(),
            message,
            action: self.action(),
            evidence,
            // What lies furthest outside comes first; a number of requests is not known here.
            traffic: (100.0 * far).min(1e9) as u64,
        });
        findings::id_of(Aspect::Value, Some(&service), operation, &subject)
    }

    fn action(&self) -> &'static str {
        match self.family {
            Family::Configured if self.contrast.is_none() => {
                "Compare what both sides computed; the values themselves are not kept."
            }
            Family::Configured => {
                "Find out what moves this metric in the candidate, or widen its tolerance in parity.values."
            }
            Family::Success => {
                "Look at what fails in the candidate, here and in what this service depends on."
            }
            Family::Unasked if self.operation.is_some() => {
                "Compare what both sides send here, or say in parity.values how much this size may differ."
            }
            Family::Unasked => {
                "Nobody said how much this metric may differ: say so in parity.values, or ignore it."
            }
        }
    }
}

/// A rule that names nothing.
fn unseen(rule: &ValueRule, findings: &mut Findings) {
    let service = rule.service.as_deref();
    findings.add(Draft {
        level: Level::Warning,
        aspect: Aspect::Value,
        service: None,
        operation: None,
        subject: &[rule.name(), service.unwrap_or("")].join("\u{1f}"),
        title: "configured metric not seen".to_owned(),
        message: format!(
            "parity.values names {}{}, and no telemetry that has arrived matches.",
            rule.name(),
            service.map(|service| format!(" of {service}")).unwrap_or_default()
        ),
        action: "Check the spelling, and that the metric is exported on both sides.",
        evidence: BTreeMap::from([("metric".to_owned(), rule.name().into())]),
        traffic: 0,
    });
}

/// The accepted difference in words: `±10 %`, `±5 {job}`.
fn tolerance(result: &ValueResult, relative: bool, delta: f64) -> String {
    match relative {
        true => format!("±{:.0} %", result.tolerance * 100.0),
        false => format!("±{}", quantity(Some(delta), result)),
    }
}

/// A difference of shares in words.
fn points(delta: f64, unit: &str) -> String {
    let percent = if unit == "%" { delta } else { 100.0 * delta };
    format!("{} percentage points", figure(percent))
}

/// The change from baseline to candidate with its interval, in words.
pub fn interval(result: &ValueResult) -> String {
    match (result.ratio_low, result.ratio_high) {
        (Some(low), Some(high)) => {
            let ratio = result.ratio.unwrap_or(1.0);
            format!("{} [{}, {}]", findings::change(ratio), findings::change(low), findings::change(high))
        }
        _ => {
            let signed = |end: Option<f64>| match end {
                Some(end) => format!("{}{}", if end >= 0.0 { "+" } else { "" }, figure(end)),
                None => "unbounded".to_owned(),
            };
            let ends = (signed(result.difference_low), signed(result.difference_high));
            format!("{} [{}, {}]", signed(result.difference), ends.0, ends.1)
        }
    }
}

/// A value with its unit, in words: `92.5 %`, `3.1 {job}/s`.
pub fn quantity(value: Option<f64>, result: &ValueResult) -> String {
    let Some(value) = value else { return "–".to_owned() };
    let rate = result.statistic == Statistic::Rate.as_str();
    let per = match (&result.per, rate) {
        (Some(_), _) => "/request",
        (None, true) => "/s",
        (None, false) => "",
    };
    // A histogram's rate counts its values, whatever their unit is.
    let counts = rate && matches!(&*result.instrument, "histogram" | "summary");
    match &*result.unit {
        _ if counts => format!("{}{per}", figure(value)),
        "s" if per.is_empty() && value > 0.0 => findings::duration(value),
        "" | "1" => format!("{}{per}", figure(value)),
        unit => format!("{} {unit}{per}", figure(value)),
    }
}

/// A number with four digits that count.
pub fn figure(value: f64) -> String {
    let magnitude = value.abs();
    match () {
        () if !value.is_finite() => "?".to_owned(),
        () if value == 0.0 => "0".to_owned(),
        () if !(1e-3..1e7).contains(&magnitude) => format!("{value:.3e}"),
        () => {
            let digits = (3 - magnitude.log10().floor() as i32).max(0) as usize;
            let text = format!("{value:.digits$}");
            match text.contains('.') {
                true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
                false => text,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::ratio_of_sums::{self, Cluster};

    fn estimate(blocks: &[f64], variance: f64) -> Estimate {
        let mean = blocks.iter().sum::<f64>() / blocks.len() as f64;
        Estimate::known(mean, variance, blocks)
    }

    #[test]
    fn exchanging_the_sides_turns_a_ratio_over_and_keeps_its_p_value() {
        let (one, other) = (estimate(&[9.0, 10.0, 11.0], 0.3), estimate(&[14.0, 15.0, 16.0], 0.4));
        let (there, back) = (contrast(&one, &other, 0.1, 0.0), contrast(&other, &one, 0.1, 0.0));
        assert!(there.relative && back.relative);
        assert!((there.theta + back.theta).abs() < 1e-12 && (there.error - back.error).abs() < 1e-12);
        assert!((p_of(&one, &other, &there) - p_of(&other, &one, &back)).abs() < 1e-12);
    }

    #[test]
    fn the_wider_of_tolerance_and_floor_holds_and_zero_has_no_ratio() {
        let (one, other) = (estimate(&[10.0; 3], 0.0), estimate(&[10.5; 3], 0.0));
        assert!(contrast(&one, &other, 0.1, 1.0).relative);
        let floor = contrast(&one, &other, 0.1, 2.0);
        assert_eq!((floor.relative, floor.delta, floor.decide(0.05)), (false, 2.0, Decision::Parity));
        let zero = contrast(&estimate(&[0.0; 3], 0.0), &other, 0.1, 2.0);
        assert_eq!((zero.relative, zero.theta, zero.delta), (false, 10.5, 2.0));
    }

    #[test]
    fn where_nothing_varies_windows_beyond_the_tolerance_are_counted() {
        let base = estimate(&[10.0; 12], 0.0);
        for (candidate, expected) in [(13.0, 2.0 / 455.0), (7.0, 2.0 / 455.0), (10.5, 1.0), (9.5, 1.0)] {
            let cand = estimate(&[candidate; 3], 0.0);
            let found = p_of(&base, &cand, &contrast(&base, &cand, 0.1, 0.0));
            assert!((found - expected).abs() < 1e-12, "{candidate}: {found}");
        }
    }

    /// Uniform numbers in (0, 1), from a seed.
    fn uniform(seed: &mut u64) -> f64 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((*seed >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// A gauge in so many windows: mean, a spread of a tenth, drifting with autocorrelation `phi`.
    fn gauge(mean: f64, windows: usize, phi: f64, seed: &mut u64) -> Estimate {
        let mut drift = 0.0;
        let levels: Vec<f64> = (0..windows + 50)
            .map(|_| {
                let normal =
                    (-2.0 * uniform(seed).ln()).sqrt() * (std::f64::consts::TAU * uniform(seed)).cos();
                drift = phi * drift + (1.0 - phi * phi).sqrt() * normal;
                mean * (1.0 + 0.1 * drift)
            })
            .skip(50)
            .collect();
        let width = levels.len().div_ceil(crate::judge::evidence::BLOCKS_MAX);
        let blocks: Vec<Cluster> =
            levels.chunks(width).map(|of| Cluster { y: of.iter().sum(), m: of.len() as f64 }).collect();
        let found = ratio_of_sums::in_time(&blocks).expect("two blocks");
        let means: Vec<f64> = blocks.iter().map(|block| block.y / block.m).collect();
        let mut known = Estimate::known(found.mean, found.variance, &means);
        known.dof = found.dof;
        known
    }

    /// The shares that are called parity and divergent, in percent.
    fn called(factor: f64, windows: (usize, usize), phi: f64) -> (f64, f64) {
        const RUNS: usize = 1_000;
        let mut seed = 7;
        let (mut parity, mut divergent) = (0, 0);
        for _ in 0..RUNS {
            let base = gauge(100.0, windows.0, phi, &mut seed);
            let cand = gauge(100.0 * factor, windows.1, phi, &mut seed);
            let found = contrast(&base, &cand, 0.10, 0.0);
            divergent += usize::from(p_of(&base, &cand, &found) <= 0.05 && found.is_beyond());
            parity += usize::from(found.decide(0.05) == Decision::Parity);
        }
        (100.0 * parity as f64 / RUNS as f64, 100.0 * divergent as f64 / RUNS as f64)
    }

    #[test]
    fn at_the_tolerance_at_most_one_in_twenty_is_called_either_way_and_far_from_it_most_are() {
        for windows in [(12, 3), (12, 12), (30, 30)] {
            let (parity, divergent) = called(1.10, windows, 0.0);
            // The deviation of such a share is 0.7 points.
            assert!(parity <= 7.0 && divergent <= 7.0, "{windows:?}: {parity} {divergent}");
        }
        assert!(called(1.0, (30, 30), 0.0).0 > 75.0);
        assert!(called(1.4, (12, 12), 0.0).1 > 95.0);
        // Windows that are like their neighbours are worth fewer.
        let (parity, divergent) = called(1.10, (60, 60), 0.5);
        assert!(parity <= 7.0 && divergent <= 7.0, "{parity} {divergent}");
    }

    #[test]
    fn figures_have_four_digits_that_count() {
        for (value, words) in [
            (0.0, "0"),
            (92.5344, "92.53"),
            (1_234_567.0, "1234567"),
            (-0.012_345, "-0.01235"),
            (100.0, "100"),
            (12_345_678.9, "1.235e7"),
            (f64::NAN, "?"),
        ] {
            assert_eq!(figure(value), words);
        }
    }
}
