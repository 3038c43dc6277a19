//! Services, operations and findings → one verdict, one score, one sentence.

use super::calibration::Calibration;
use super::compare::Context;
use super::findings::Findings;
use super::verdict::*;
use crate::window::shard::Tally;
use std::collections::BTreeMap;

/// The share of the baseline's traffic that must be at parity for the comparison to be.
const PARITY_TRAFFIC: f64 = 0.95;
/// The score that a comparison with a critical divergence cannot exceed.
const CRITICAL_CAP: f64 = 49.0;

pub(super) fn sum_up(context: &Context<'_>, services: Vec<ServiceResult>, findings: Findings) -> Report {
    let limits = context.names.limits();
    let waivers = &context.policy.waivers;
    let (findings, cut) = findings.finish(waivers, context.now_ns, limits.findings);
    let mut hits = context.tally.hits.clone();
    hits.merge(context.names.limits_hit());
    let mut limits_hit: Vec<String> =
        hits.iter().map(|(limit, n)| format!("{}: {n}", limit.as_str())).collect();
    if cut > 0 {
        limits_hit.push(format!("findings: {cut}"));
    }
    let (verdict, score) = composite(context, &services, &findings);
    let mut report = Report {
        schema: SCHEMA.to_owned(),
        generated_at: context.generated_at.clone(),
        comparison: context.comparison.name.clone(),
        baseline: Side { environment: context.comparison.baseline.clone() },
        candidate: Side { environment: context.comparison.candidate.clone() },
        period: period(context),
        verdict,
        score: rounded(score),
        summary: String::new(),
        aspects: aspects(&services),
        services,
        findings,
        limits_hit,
        input: InputCounts {
            spans: context.tally.spans,
            metric_points: context.tally.metric_points,
            log_records: context.tally.log_records,
            rejected: rejected(context.tally),
        },
        calibration: context.calibration.map(Calibration::result),
    };
    report.summary = summary(&report);
    report
}

fn period(context: &Context<'_>) -> Period {
    let windows = || context.candidate.iter().chain(&context.baseline);
    let time = |ns: u64| {
        let timestamp =
            jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        timestamp.to_string()
    };
    let mut indices: Vec<u64> = windows().map(|window| window.index).collect();
    indices.sort_unstable();
    indices.dedup();
    Period {
        start: windows().map(|window| window.start_ns).min().map(time),
        end: windows().map(|window| window.end_ns).max().map(time),
        windows: indices.len() as u64,
    }
}

/// What was refused, and what was taken in and could be no evidence.
fn rejected(tally: &Tally) -> BTreeMap<String, u64> {
    let set_aside = [
        ("late", tally.late.values().sum()),
        ("no_environment", tally.unassigned.values().sum()),
        ("too_many_services", tally.unnamed),
    ];
    let refused = tally.refused.iter().map(|(reason, n)| (*reason, *n));
    let all = refused.chain(set_aside).filter(|(_, n)| *n > 0);
    all.map(|(reason, n)| (reason.to_owned(), n)).collect()
}

/// Whether a waiver takes an aspect of a service (or of one operation) out of the verdict.
fn waived(findings: &[Finding], aspect: Aspect, service: &str, operation: Option<&str>) -> bool {
    let mut of_it = findings
        .iter()
        .filter(|f| {
            f.aspect == aspect && f.service.as_deref() == Some(service) && f.operation.as_deref() == operation
        })
        .peekable();
    of_it.peek().is_some() && of_it.all(|f| f.waived_by.is_some())
}

/// Divergent if any series or service is, waived ones aside; parity if series at parity carry 95 % of the baseline's
/// traffic and no critical one is open; no data if nothing could be compared; else inconclusive.
fn composite(context: &Context<'_>, services: &[ServiceResult], findings: &[Finding]) -> (Verdict, f64) {
    let (mut divergent, mut critical_open, mut critical_divergent, mut compared) =
        (false, false, false, false);
    let (mut all, mut at_parity, mut sum, mut weights) = (0u64, 0u64, 0.0, 0.0);
    let (mut expected, mut present) = (0, 0);
    for service in services {
        let covered_by_waiver = waived(findings, Aspect::Presence, &service.service, None);
        let tolerance = context.policy.of(&service.service, "").tolerances.coverage;
        divergent |= service.coverage.ratio < tolerance && !covered_by_waiver;
        expected += service.coverage.expected;
        present += if covered_by_waiver { service.coverage.expected } else { service.coverage.present };
        for operation in &service.operations {
            let policy = context.policy.of(&service.service, &operation.operation);
            let structure = operation.structure.map(|calls| calls.verdict);
            let judged = [
                Some((Aspect::Latency, operation.latency.verdict)),
                Some((Aspect::Errors, operation.errors.verdict)),
                structure.filter(|v| *v == Verdict::Divergent).map(|v| (Aspect::Structure, v)),
            ];
            let counted = judged.into_iter().flatten().map(|(aspect, verdict)| {
                let name = Some(operation.operation.as_str());
                match verdict == Verdict::Divergent && waived(findings, aspect, &service.service, name) {
                    true => Verdict::Parity,
                    false => verdict,
                }
            });
            let verdict = overall(counted);
            let n = operation.latency.n_baseline;
            all = all.saturating_add(n);
            if verdict == Verdict::NoData {
                continue;
            }
            compared = true;
            at_parity = at_parity.saturating_add(if verdict == Verdict::Parity { n } else { 0 });
            divergent |= verdict == Verdict::Divergent;
            critical_divergent |= policy.critical && verdict == Verdict::Divergent;
            critical_open |= policy.critical && verdict != Verdict::Parity;
            let weight = policy.weight * (n.max(operation.latency.n_candidate) as f64).sqrt();
            sum += value(verdict) * weight;
            weights += weight;
        }
    }
    compared |= present > 0;
    let verdict = match () {
        () if divergent && (compared || expected > 0) => Verdict::Divergent,
        () if !compared => Verdict::NoData,
        () if !critical_open && at_parity as f64 >= PARITY_TRAFFIC * all as f64 => Verdict::Parity,
        () => Verdict::Inconclusive,
    };
    let coverage = if expected > 0 { present as f64 / expected as f64 } else { 1.0 };
    let latency = if weights > 0.0 { 100.0 * sum / weights } else { 100.0 };
    let score = if verdict == Verdict::NoData { 0.0 } else { latency * coverage };
    (verdict, if critical_divergent { score.min(CRITICAL_CAP) } else { score })
}

fn aspects(services: &[ServiceResult]) -> BTreeMap<Aspect, AspectResult> {
    let operations = || services.iter().flat_map(|service| &service.operations);
    let of = |verdicts: Vec<Verdict>| {
        let with_data: Vec<f64> =
            verdicts.iter().filter(|v| **v != Verdict::NoData).map(|v| value(*v)).collect();
        let score = match with_data.len() {
            0 => 0.0,
            n => 100.0 * with_data.iter().sum::<f64>() / n as f64,
        };
        AspectResult { verdict: overall(verdicts), score: rounded(score) }
    };
    let (expected, present) = services.iter().fold((0, 0), |(expected, present), s| {
        (expected + s.coverage.expected, present + s.coverage.present)
    });
    let missing = services.iter().any(|service| !service.coverage.missing.is_empty());
    let reshaped = services.iter().any(|service| !service.coverage.shape.is_empty());
    let presence = match (expected, missing) {
        (0, _) => Verdict::NoData,
        (_, true) => Verdict::Divergent,
        (_, false) => Verdict::Parity,
    };
    let shape = match (expected, reshaped) {
        (0, _) => Verdict::NoData,
        (_, true) => Verdict::Divergent,
        (_, false) => Verdict::Parity,
    };
    let ratio = if expected > 0 { present as f64 / expected as f64 } else { 0.0 };
    let structure = operations().filter_map(|o| Some(o.structure?.verdict)).collect::<Vec<_>>();
    let restructured = (!structure.is_empty()).then(|| (Aspect::Structure, of(structure)));
    let always = [
        (Aspect::Latency, of(operations().map(|o| o.latency.verdict).collect())),
        (Aspect::Errors, of(operations().map(|o| o.errors.verdict).collect())),
        (Aspect::Presence, AspectResult { verdict: presence, score: rounded(100.0 * ratio) }),
        (Aspect::Shape, AspectResult { verdict: shape, score: 100.0 * value(shape) }),
    ];
    always.into_iter().chain(restructured).collect()
}

fn summary(report: &Report) -> String {
    let (baseline, candidate) = (&report.baseline.environment, &report.candidate.environment);
    let operations = || report.services.iter().flat_map(|service| &service.operations);
    let count = |verdict: Verdict| operations().filter(|o| o.verdict == verdict).count();
    let total = operations().filter(|o| o.verdict != Verdict::NoData).count();
    let first = report
        .findings
        .iter()
        .find(|f| f.waived_by.is_none())
        .map_or(String::new(), |f| format!(" First: {}", f.message));
    match report.verdict {
        Verdict::Parity => format!(
            "{candidate} is shown to be like {baseline}: {} of {total} operations are within tolerance.",
            count(Verdict::Parity)
        ),
        Verdict::Divergent => format!(
            "{candidate} differs from {baseline}: {} of {total} operations are outside tolerance.{first}",
            count(Verdict::Divergent)
        ),
        Verdict::Inconclusive => format!(
            "Not enough evidence to say whether {candidate} is like {baseline}: {} of {total} operations are shown to \
             be within tolerance and {} are open.",
            count(Verdict::Parity),
            count(Verdict::Inconclusive)
        ),
        Verdict::NoData => format!("There is nothing to compare between {baseline} and {candidate}.{first}"),
    }
}

/// 100 · Σ v·c·√n / Σ c·√n over series that have data; 100 when there is none to weigh.
pub(super) fn score<'a>(operations: impl Iterator<Item = (f64, &'a OperationResult)>) -> f64 {
    let (mut sum, mut weights) = (0.0, 0.0);
    for (criticality, operation) in operations.filter(|(_, o)| o.verdict != Verdict::NoData) {
        let n = operation.latency.n_baseline.max(operation.latency.n_candidate);
        let weight = criticality * (n as f64).sqrt();
        sum += value(operation.verdict) * weight;
        weights += weight;
    }
    if weights > 0.0 { 100.0 * sum / weights } else { 100.0 }
}

/// To a tenth: more digits would claim more than a score can say.
pub(super) fn rounded(score: f64) -> f64 {
    (score * 10.0).round() / 10.0
}

pub(super) fn value(verdict: Verdict) -> f64 {
    match verdict {
        Verdict::Parity => 1.0,
        Verdict::Divergent => 0.0,
        Verdict::Inconclusive | Verdict::NoData => 0.5,
    }
}

/// Divergent if any is; inconclusive if any is; parity if all that have data are.
pub(super) fn overall(verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
    verdicts.into_iter().max().unwrap_or(Verdict::NoData)
}
