//! Services, operations and findings → one verdict, one score, one sentence.

use super::calibration::Calibration;
use super::compare::Context;
use super::facts;
use super::findings::{Findings, Told, id_of};
use super::verdict::*;
use super::waivers::Waivers;
use crate::model::ItemKind;
use crate::window::shard::Tally;
use crate::wire::Refusal;
use std::collections::BTreeMap;

/// The share of the baseline's traffic that must be at parity for the comparison to be.
const PARITY_TRAFFIC: f64 = 0.95;
/// The score that a comparison with a critical divergence cannot exceed.
const CRITICAL_CAP: f64 = 49.0;

pub(super) fn sum_up(context: &Context<'_>, mut services: Vec<ServiceResult>, findings: Findings) -> Report {
    let (limits, policy, comparison) = (context.names.limits(), context.policy, context.comparison);
    let told = findings.finish(&mut Waivers::new(policy, comparison, context.now_ns), limits.findings);
    services.iter_mut().for_each(|service| settle(context, service, &told));
    let mut hits = context.tally.hits.clone();
    hits.merge(context.names.limits_hit());
    let mut limits_hit: Vec<String> =
        hits.iter().map(|(limit, n)| format!("{}: {n}", limit.as_str())).collect();
    if told.cut > 0 {
        limits_hit.push(format!("findings: {}", told.cut));
    }
    let (verdict, score) = composite(context, &services, &told);
    let mut report = Report {
        schema: SCHEMA.to_owned(),
        generated_at: context.generated_at.clone(),
        comparison: context.comparison.name.clone(),
        baseline: baseline(context),
        candidate: policy.side(&comparison.candidate),
        period: period(context),
        verdict,
        score: rounded(score),
        summary: String::new(),
        aspects: aspects(&services, &told),
        facts: facts::summary(&services),
        arrival: None,
        owner: policy.comparison_owners.get(&comparison.name).cloned(),
        slos: Vec::new(),
        services,
        findings: told.findings,
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

fn baseline(context: &Context<'_>) -> Side {
    let known = context.policy.side(&context.comparison.baseline);
    let description = context.snapshot.map(|snapshot| snapshot.description.to_owned());
    Side { description: description.or(known.description), ..known }
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
        ("no_recorded_value", tally.unrecorded),
    ];
    let refused = tally.refused.iter().map(|(reason, n)| (*reason, *n));
    let all = refused.chain(set_aside).filter(|(_, n)| *n > 0);
    all.map(|(reason, n)| (reason.to_owned(), n)).collect()
}

/// The judged aspects of an operation, as they count: a divergence that a waiver accepts counts as parity.
fn counted<'o>(
    service: &'o str,
    operation: &'o OperationResult,
    told: &'o Told,
) -> impl Iterator<Item = (Aspect, Verdict)> + 'o {
    let judged = [
        Some((Aspect::Latency, operation.latency.verdict)),
        Some((Aspect::Errors, operation.errors.verdict)),
        operation.structure.map(|calls| (Aspect::Structure, calls.verdict)),
        Some((Aspect::Volume, operation.volume.verdict)).filter(|(_, verdict)| *verdict != Verdict::NoData),
    ];
    judged.into_iter().flatten().map(move |(aspect, verdict)| {
        let id = || id_of(aspect, Some(service), Some(&operation.operation), &operation.kind);
        let waived = verdict == Verdict::Divergent && told.accepted.contains(&id());
        (aspect, if waived { Verdict::Parity } else { verdict })
    })
}

/// What a service comes to when what waivers accept does not count.
fn settle(context: &Context<'_>, service: &mut ServiceResult, told: &Told) {
    let name = service.service.as_str();
    let accepted = |aspect, subject: &str| told.accepted.contains(&id_of(aspect, Some(name), None, subject));
    for operation in &mut service.operations {
        // Another structure counts where it is shown; that it is the same is not asked for.
        let verdicts = counted(name, operation, told)
            .filter(|(aspect, verdict)| *aspect != Aspect::Structure || *verdict == Verdict::Divergent)
            .map(|(_, verdict)| verdict);
        operation.verdict = overall(verdicts);
        operation.score = 100.0 * value(operation.verdict);
    }
    for fact in service.facts.iter_mut().filter(|fact| fact.broken) {
        fact.accepted = accepted(Aspect::Facts, &fact.key);
    }
    for result in &mut service.values {
        result.accepted = result.finding.as_ref().is_some_and(|id| told.accepted.contains(id));
    }
    // The finding of a metric tells of its attributes too.
    let metric_of = |item: &str| {
        let (metric, _) = item.strip_prefix(ItemKind::MetricAttribute.as_str())?.split_once('[')?;
        Some(format!("{}{metric}", ItemKind::Metric.as_str()))
    };
    let is_accepted = |item: &String| {
        let metric = metric_of(item);
        accepted(Aspect::Presence, item) || metric.is_some_and(|metric| accepted(Aspect::Presence, &metric))
    };
    let coverage = &mut service.coverage;
    coverage.accepted = match accepted(Aspect::Presence, "service") {
        true => coverage.expected - coverage.present,
        false => coverage.missing.iter().filter(|item| is_accepted(item)).count() as u64,
    };
    let tolerance = context.policy.of(name, "").tolerances.coverage;
    let presence = match () {
        () if coverage.expected == 0 && coverage.extra.is_empty() => Verdict::NoData,
        () if coverage.counted() < tolerance => Verdict::Divergent,
        () => Verdict::Parity,
    };
    let facts = if has_critical_fact(service) { Verdict::Divergent } else { Verdict::NoData };
    let operations = service.operations.iter().map(|operation| operation.verdict);
    let values = service.values.iter().filter(|result| result.decides).map(ValueResult::counted);
    service.verdict = overall(operations.chain(values).chain([presence, facts]));
    let weight = |operation: &str| context.policy.of(name, operation).weight;
    let weighted = service.operations.iter().map(|operation| (weight(&operation.operation), operation));
    service.score = rounded(score(weighted, &service.values) * service.coverage.counted());
}

/// Whether a rule of severity critical is broken, and no waiver accepts that.
fn has_critical_fact(service: &ServiceResult) -> bool {
    let critical = |fact: &Fact| fact.severity == Some(Level::Critical);
    service.facts.iter().any(|fact| fact.broken && !fact.accepted && critical(fact))
}

/// Divergent if any series, any service's coverage or a critical fact is; parity if series at parity carry 95 % of the
/// baseline's traffic and no critical one is open; no data if nothing could be compared; else inconclusive.
fn composite(context: &Context<'_>, services: &[ServiceResult], told: &Told) -> (Verdict, f64) {
    let (mut divergent, mut critical_open, mut critical_divergent, mut compared) =
        (false, false, false, false);
    let (mut all, mut at_parity, mut sum, mut weights) = (0u64, 0u64, 0.0, 0.0);
    let (mut expected, mut present) = (0, 0);
    let (mut series, mut unasked_differ, mut asked) = (0.0, false, false);
    for service in services {
        let tolerance = context.policy.of(&service.service, "").tolerances.coverage;
        let critical_fact = has_critical_fact(service);
        divergent |= service.coverage.counted() < tolerance || critical_fact;
        critical_divergent |= critical_fact;
        expected += service.coverage.expected;
        present += service.coverage.present + service.coverage.accepted;
        for operation in &service.operations {
            let policy = context.policy.of(&service.service, &operation.operation);
            let (verdict, n) = (operation.verdict, operation.latency.n_baseline);
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
            series += 1.0;
        }
    }
    asked |= compared;
    let each = if weights > 0.0 { weights / series } else { 1.0 };
    let mut open = context.policy.values.iter().any(|rule| rule.severity > Level::Info) && not_seen(told);
    for result in services.iter().flat_map(|service| &service.values) {
        unasked_differ |= differs_unasked(result);
        if !result.decides {
            continue;
        }
        asked |= result.configured;
        let verdict = result.counted();
        divergent |= verdict == Verdict::Divergent;
        open |= verdict != Verdict::Parity;
        if verdict != Verdict::NoData {
            compared = true;
            sum += value(verdict) * each;
            weights += each;
        }
    }
    // Where nobody asked for anything that could be judged, what differs is all that there is to go by.
    open |= unasked_differ && !asked;
    compared |= present > 0;
    let verdict = match () {
        () if divergent && (compared || expected > 0) => Verdict::Divergent,
        () if !compared => Verdict::NoData,
        () if !critical_open && !open && at_parity as f64 >= PARITY_TRAFFIC * all as f64 => Verdict::Parity,
        () => Verdict::Inconclusive,
    };
    let coverage = if expected > 0 { present as f64 / expected as f64 } else { 1.0 };
    let latency = if weights > 0.0 { 100.0 * sum / weights } else { 100.0 };
    let score = if verdict == Verdict::NoData { 0.0 } else { latency * coverage };
    (verdict, if critical_divergent { score.min(CRITICAL_CAP) } else { score })
}

/// Whether a metric that the configuration names has not been seen at all.
fn not_seen(told: &Told) -> bool {
    let about_all = |f: &&Finding| f.aspect == Aspect::Value && f.service.is_none() && f.waived_by.is_none();
    told.findings.iter().any(|finding| about_all(&finding))
}

/// Whether a metric that nobody asked about is shown to be another one, and not only to count more or less traffic.
fn differs_unasked(result: &ValueResult) -> bool {
    !result.decides
        && !result.configured
        && result.counted() == Verdict::Divergent
        && result.statistic != "rate"
}

fn aspects(services: &[ServiceResult], told: &Told) -> BTreeMap<Aspect, AspectResult> {
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
        (expected + s.coverage.expected, present + s.coverage.present + s.coverage.accepted)
    });
    let held = |open: bool| match (expected, open) {
        (0, _) => Verdict::NoData,
        (_, true) => Verdict::Divergent,
        (_, false) => Verdict::Parity,
    };
    let (presence, shape) = (held(present < expected), held(told.open.contains_key(&Aspect::Shape)));
    let ratio = if expected > 0 { present as f64 / expected as f64 } else { 0.0 };
    let of_shape = value(shape);
    let operations = |aspect: Aspect| -> Vec<Verdict> {
        let all = services.iter().flat_map(|service| service.operations.iter().map(move |o| (service, o)));
        let judged = all.flat_map(|(service, operation)| counted(&service.service, operation, told));
        judged.filter(|(of, _)| *of == aspect).map(|(_, verdict)| verdict).collect()
    };
    let structure = operations(Aspect::Structure);
    let volume = operations(Aspect::Volume);
    let sized = (!volume.is_empty()).then(|| (Aspect::Volume, of(volume)));
    let restructured = (!structure.is_empty()).then(|| (Aspect::Structure, of(structure)));
    let deciding = services.iter().flat_map(|service| &service.values).filter(|value| value.decides);
    let values: Vec<Verdict> = deciding.map(ValueResult::counted).collect();
    let values = (!values.is_empty()).then(|| (Aspect::Value, of(values)));
    let always = [
        (Aspect::Latency, of(operations(Aspect::Latency))),
        (Aspect::Errors, of(operations(Aspect::Errors))),
        (Aspect::Presence, AspectResult { verdict: presence, score: rounded(100.0 * ratio) }),
        (Aspect::Shape, AspectResult { verdict: shape, score: 100.0 * of_shape }),
        (Aspect::Facts, of_facts(services)),
    ];
    always.into_iter().chain(restructured).chain(sized).chain(values).collect()
}

/// Divergent if a rule of severity warning or critical is broken; scored by the share of rules that hold.
fn of_facts(services: &[ServiceResult]) -> AspectResult {
    let Some(summary) = facts::summary(services) else {
        return AspectResult { verdict: Verdict::NoData, score: 0.0 };
    };
    let all = || services.iter().flat_map(|service| &service.facts);
    let counts = |fact: &&Fact| fact.broken && !fact.accepted && fact.severity > Some(Level::Info);
    let verdict = if all().any(|fact| counts(&fact)) { Verdict::Divergent } else { Verdict::Parity };
    let rules = summary.rules.max(summary.broken);
    let share = if rules > 0 { (rules - summary.broken) as f64 / rules as f64 } else { 1.0 };
    AspectResult { verdict, score: rounded(100.0 * share) }
}

fn summary(report: &Report) -> String {
    let (baseline, candidate) = (&report.baseline.environment, &report.candidate.environment);
    let operations = || report.services.iter().flat_map(|service| &service.operations);
    let count = |verdict: Verdict| operations().filter(|o| o.verdict == verdict).count();
    let total = operations().filter(|o| o.verdict != Verdict::NoData).count();
    let deciding =
        || report.services.iter().flat_map(|service| &service.values).filter(|value| value.decides);
    let metrics = deciding().filter(|value| value.verdict != Verdict::NoData).count();
    // `3 of 8 operations`, and the metrics that decide where there are any.
    let of_all = |verdict: Verdict| {
        let operations = format!("{} of {total} operations", count(verdict));
        match metrics {
            0 => operations,
            _ => {
                let own = deciding().filter(|value| value.counted() == verdict).count();
                format!("{operations} and {own} of {metrics} metrics")
            }
        }
    };
    let first = report
        .findings
        .iter()
        .find(|f| f.waived_by.is_none())
        .map_or(String::new(), |f| format!(" First: {}", f.message));
    match report.verdict {
        Verdict::Parity => format!(
            "{candidate} is shown to be like {baseline}: {} are within tolerance.",
            of_all(Verdict::Parity)
        ),
        Verdict::Divergent => format!(
            "{candidate} differs from {baseline}: {} are outside tolerance.{first}",
            of_all(Verdict::Divergent)
        ),
        Verdict::Inconclusive => format!(
            "Not enough evidence to say whether {candidate} is like {baseline}: {} are shown to be within tolerance and \
             {} are open.",
            of_all(Verdict::Parity),
            count(Verdict::Inconclusive) + deciding().filter(|v| v.verdict == Verdict::Inconclusive).count()
        ),
        Verdict::NoData => {
            format!(
                "There is nothing to compare between {baseline} and {candidate}.{}{first}",
                refused(report)
            )
        }
    }
}

/// What was refused, where nothing is left to compare: mostly all for one reason.
fn refused(report: &Report) -> String {
    let rejected = &report.input.rejected;
    let Some((reason, _)) = rejected.iter().max_by_key(|(_, n)| **n).filter(|(_, n)| **n > 0) else {
        return String::new();
    };
    let known = Refusal::ALL.into_iter().find(|refusal| refusal.as_str() == reason);
    let why = known.map_or(reason.as_str(), |refusal| refusal.sentence());
    format!(
        " {} item(s) were refused or set aside, most of them because: {why}.",
        rejected.values().sum::<u64>()
    )
}

/// 100 · Σ v·w / Σ w over what has data; 100 when there is none to weigh. A series has w = c·√n, and a metric that decides
/// weighs as much as a series does on average, or 1 without any.
fn score<'a>(operations: impl Iterator<Item = (f64, &'a OperationResult)>, values: &[ValueResult]) -> f64 {
    let (mut sum, mut weights, mut series) = (0.0, 0.0, 0.0);
    for (criticality, operation) in operations.filter(|(_, o)| o.verdict != Verdict::NoData) {
        let n = operation.latency.n_baseline.max(operation.latency.n_candidate);
        let weight = criticality * (n as f64).sqrt();
        sum += value(operation.verdict) * weight;
        weights += weight;
        series += 1.0;
    }
    let each = if weights > 0.0 { weights / series } else { 1.0 };
    for decisive in values.iter().filter(|v| v.decides && v.verdict != Verdict::NoData) {
        sum += value(decisive.counted()) * each;
        weights += each;
    }
    if weights > 0.0 { 100.0 * sum / weights } else { 100.0 }
}

/// To a tenth: more digits would claim more than a score can say.
fn rounded(score: f64) -> f64 {
    (score * 10.0).round() / 10.0
}

fn value(verdict: Verdict) -> f64 {
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
