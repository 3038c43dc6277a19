//! Findings about what was taken in: environments that were not seen, telemetry that belongs nowhere or came late, clocks,
//! sampling.

use super::compare::Context;
use super::findings::{self, Draft, Findings};
use super::verdict::*;
use crate::model::{EnvironmentId, KnownNames};
use crate::window::SealedWindow;
use crate::window::shard::Tally;
use std::collections::BTreeMap;

/// A difference between two environments' clocks that is worth a finding, seconds.
const CLOCK_OFFSET_S: f64 = 2.0;

pub(super) fn unseen(environment: &str, context: &Context<'_>, findings: &mut Findings) {
    let mut seen: Vec<&str> = context.names.environments().iter().map(|name| &**name).collect();
    seen.sort_unstable();
    let seen = if seen.is_empty() { "none at all".to_owned() } else { seen.join(", ") };
    findings.add(Draft {
        level: Level::Critical,
        aspect: Aspect::Presence,
        service: None,
        operation: None,
        subject: environment,
        title: "environment not seen".to_owned(),
        message: format!("Nothing has arrived from the environment {environment}; seen: {seen}."),
        action: "Check the spelling in parity.comparisons and deployment.environment.name of the senders.",
        evidence: BTreeMap::new(),
        traffic: u64::MAX,
    });
}

/// What the input itself says: items without environment, late items, clocks, sampling, limits.
pub(super) fn of_input(
    context: &Context<'_>,
    sides: (Option<EnvironmentId>, Option<EnvironmentId>),
    findings: &mut Findings,
) {
    unassigned(context.names, context.tally, findings);
    let (Some(baseline), Some(candidate)) = sides else { return };
    for (env, name) in [(baseline, &context.comparison.baseline), (candidate, &context.comparison.candidate)]
    {
        let Some(late) = context.tally.late.get(&env) else { continue };
        findings.add(Draft {
            level: Level::Warning,
            aspect: Aspect::Volume,
            service: None,
            operation: None,
            subject: &format!("late {name}"),
            title: "late telemetry".to_owned(),
            message: format!(
                "{late} item(s) of {name} came after their window was sealed and are in no verdict."
            ),
            action: "Raise parity.lateness, or shorten the senders' batch time.",
            evidence: BTreeMap::from([("late".to_owned(), (*late).into())]),
            traffic: *late,
        });
    }
    if context.live {
        clocks(context, baseline, candidate, findings);
    }
    sampling(context, baseline, candidate, findings);
}

/// How many requests the warm-up keeps out of the evidence: nothing is left out in silence.
pub(super) fn left_out(services: &[ServiceResult], findings: &mut Findings) {
    let warmups = services.iter().flat_map(|service| &service.operations).filter_map(|o| o.warmup);
    let total = warmups.fold(Warmup::default(), |a, b| Warmup {
        baseline: a.baseline.saturating_add(b.baseline),
        candidate: a.candidate.saturating_add(b.candidate),
    });
    if total == Warmup::default() {
        return;
    }
    findings.add(Draft {
        level: Level::Info,
        aspect: Aspect::Volume,
        service: None,
        operation: None,
        subject: "warm-up",
        title: "warm-up left out".to_owned(),
        message: format!(
            "{} request(s) of the baseline and {} of the candidate came while their instances were warming up, and are \
             no evidence of latency or errors.",
            total.baseline, total.candidate
        ),
        action: "Nothing, if that is what parity.warmup is meant to do; 0s counts them again.",
        evidence: BTreeMap::from([
            ("baseline".to_owned(), total.baseline.into()),
            ("candidate".to_owned(), total.candidate.into()),
        ]),
        traffic: total.baseline.saturating_add(total.candidate),
    });
}

/// Telemetry that names no environment.
pub(super) fn unassigned(names: &KnownNames, tally: &Tally, findings: &mut Findings) {
    for (service, items) in &tally.unassigned {
        let service = names.service_key(*service).to_string();
        findings.add(Draft {
            level: Level::Warning,
            aspect: Aspect::Presence,
            service: Some(&service),
            operation: None,
            subject: "no environment",
            title: "no environment".to_owned(),
            message: format!("{items} item(s) of {service} name no environment and belong to neither side."),
            action: "Set deployment.environment.name on the service's resource, or add a rule under \
                     parity.environment.",
            evidence: BTreeMap::from([("items".to_owned(), (*items).into())]),
            traffic: *items,
        });
    }
}

fn clocks(context: &Context<'_>, baseline: EnvironmentId, candidate: EnvironmentId, findings: &mut Findings) {
    let least = |env: EnvironmentId, windows: &[&SealedWindow]| {
        windows.iter().filter_map(|window| window.delays.get(&env)).min().map(|ns| *ns as f64 / 1e9)
    };
    let delays = least(baseline, &context.baseline).zip(least(candidate, &context.candidate));
    let Some((base, cand)) = delays.filter(|(b, c)| (b - c).abs() > CLOCK_OFFSET_S) else { return };
    findings.add(Draft {
        level: Level::Warning,
        aspect: Aspect::Volume,
        service: None,
        operation: None,
        subject: "clock",
        title: "clocks disagree".to_owned(),
        message: format!(
            "Telemetry arrives at least {base:.1} s after its event in the baseline and {cand:.1} s in the candidate: \
             their clocks or their pipelines differ by {:.1} s.",
            (base - cand).abs()
        ),
        action: "Check time synchronisation and batching on both sides.",
        evidence: findings::numbers([("baseline_delay_s", Some(base)), ("candidate_delay_s", Some(cand))]),
        traffic: 0,
    });
}

fn sampling(
    context: &Context<'_>,
    baseline: EnvironmentId,
    candidate: EnvironmentId,
    findings: &mut Findings,
) {
    let kept = |env: EnvironmentId, windows: &[&SealedWindow]| {
        let cells = windows.iter().flat_map(|w| &w.cells).filter(|((e, _), _)| *e == env);
        let (n, weight) =
            cells.fold((0, 0), |(n, w), (_, cell)| (n + cell.latency.n(), w + cell.latency.weight()));
        (weight > 0).then(|| n as f64 / weight as f64)
    };
    let shares = kept(baseline, &context.baseline).zip(kept(candidate, &context.candidate));
    // Adjusted counts are whole numbers, so that the share has an error of some percent.
    let Some((base, cand)) = shares.filter(|(b, c)| (b / c).ln().abs() > 0.1) else { return };
    findings.add(Draft {
        level: Level::Warning,
        aspect: Aspect::Sampling,
        service: None,
        operation: None,
        subject: "share",
        title: "sampled differently".to_owned(),
        message: format!(
            "The baseline keeps {:.0} % of its spans and the candidate {:.0} %, by their tracestate.",
            base * 100.0,
            cand * 100.0
        ),
        action: "Sample both environments alike; counts are weighted, but rare requests are seen less often.",
        evidence: findings::numbers([("baseline_share", Some(base)), ("candidate_share", Some(cand))]),
        traffic: 0,
    });
}
