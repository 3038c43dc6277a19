//! Findings about what was taken in: environments that were not seen, telemetry that belongs nowhere or came late, clocks,
//! sampling.

use super::compare::Context;
use super::findings::{self, Draft, Findings};
use super::snapshot;
use super::verdict::*;
use crate::model::{EnvironmentId, KnownNames, ServiceKey};
use crate::window::SealedWindow;
use crate::window::cells::Counts;
use crate::window::shard::Tally;
use std::collections::BTreeMap;

/// A difference between two environments' clocks that is worth a finding, seconds.
const CLOCK_OFFSET_S: f64 = 2.0;

pub(super) fn unseen(environment: &str, context: &Context<'_>, findings: &mut Findings) {
    let seen = context.names.environments_in_words();
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
    if let Some(arrival) = arrival(context, sides) {
        clocks(arrival, findings);
    }
    sampling(context, baseline, candidate, findings);
    snapshot::of_hidden(context, baseline, findings);
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

/// How long after their events spans arrive at the least; `None` where arrival times mean nothing.
pub(super) fn arrival(
    context: &Context<'_>,
    (baseline, candidate): (Option<EnvironmentId>, Option<EnvironmentId>),
) -> Option<ArrivalResult> {
    let least = |env: Option<EnvironmentId>, windows: &[&SealedWindow]| {
        let delays = windows.iter().filter_map(|window| window.delays.get(&env?));
        delays.min().map(|ns| *ns as f64 / 1e9)
    };
    let baseline_delay_s = least(baseline, &context.baseline);
    let candidate_delay_s = least(candidate, &context.candidate);
    // What a snapshot was saved from may have arrived at any time after its events.
    let told = context.live && context.snapshot.is_none();
    told.then_some(ArrivalResult { baseline_delay_s, candidate_delay_s })
}

fn clocks(arrival: ArrivalResult, findings: &mut Findings) {
    let delays = arrival.baseline_delay_s.zip(arrival.candidate_delay_s);
    let Some((base, cand)) = delays.filter(|(b, c)| (b - c).abs() > CLOCK_OFFSET_S) else { return };
    let when = |delay: f64| match delay < 0.0 {
        true => format!("up to {:.1} s before they end", -delay),
        false => format!("at least {delay:.1} s after they end"),
    };
    let offset = (base - cand).abs();
    let so = match base.min(cand) < 0.0 {
        true => format!("a clock is ahead of the agent's, and the sides are {offset:.1} s apart"),
        false => format!("their clocks or their pipelines differ by {offset:.1} s"),
    };
    findings.add(Draft {
        level: Level::Warning,
        aspect: Aspect::Volume,
        service: None,
        operation: None,
        subject: "clock",
        title: "clocks disagree".to_owned(),
        message: format!(
            "Spans arrive {} in the baseline and {} in the candidate: {so}.",
            when(base),
            when(cand)
        ),
        action: "Check time synchronisation and batching on both sides.",
        evidence: findings::numbers([("baseline_delay_s", Some(base)), ("candidate_delay_s", Some(cand))]),
        traffic: 0,
    });
}

/// Spans of one service on one side, and what they stand for.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    n: u64,
    weight: u64,
    sampled: u64,
}

impl Kept {
    fn add(&mut self, counts: Counts) {
        self.n += counts.n;
        self.weight += counts.weight;
        self.sampled += counts.sampled;
    }

    fn share(self) -> f64 {
        self.n as f64 / self.weight.max(1) as f64
    }

    /// Whether the other side keeps another share. Adjusted counts are whole numbers, so that the share has an error of some
    /// percent, and one near 1 is seen only by what says that it was sampled.
    fn differs(self, other: Kept) -> bool {
        let one_sided = |a: Kept, b: Kept| a.sampled == 0 && 2 * b.sampled > b.n;
        (self.share() / other.share()).ln().abs() > 0.1 || one_sided(self, other) || one_sided(other, self)
    }
}

/// Spans that are kept with another probability: in every service, which is one difference, or in some.
fn sampling(
    context: &Context<'_>,
    baseline: EnvironmentId,
    candidate: EnvironmentId,
    findings: &mut Findings,
) {
    let mut services: BTreeMap<&ServiceKey, [Kept; 2]> = BTreeMap::new();
    for (side, env, windows) in [(0, baseline, &context.baseline), (1, candidate, &context.candidate)] {
        for (series, cell) in windows.iter().flat_map(|w| w.cells.of(env)) {
            let kept = &mut services.entry(&context.names.series_key(series).service).or_default()[side];
            kept.add(cell.all_counts());
        }
    }
    services
        .retain(|service, sides| context.comparison.includes(service) && sides.iter().all(|kept| kept.n > 0));
    let differing = || services.iter().filter(|(_, [base, cand])| base.differs(*cand));
    if differing().count() < services.len() {
        return differing()
            .for_each(|(service, sides)| tell_sampling(Some(&service.to_string()), sides, findings));
    }
    let sum = services.values().copied().reduce(|a, b| {
        [0, 1].map(|side| Kept {
            n: a[side].n + b[side].n,
            weight: a[side].weight + b[side].weight,
            sampled: a[side].sampled + b[side].sampled,
        })
    });
    if let Some(sides) = sum {
        tell_sampling(None, &sides, findings);
    }
}

fn tell_sampling(service: Option<&str>, [base, cand]: &[Kept; 2], findings: &mut Findings) {
    let of = service.map_or(String::new(), |service| format!(" of {service}"));
    let only = match (base.sampled, cand.sampled) {
        (0, _) => " Only the candidate says that it samples.",
        (_, 0) => " Only the baseline says that it samples.",
        _ => "",
    };
    findings.add(Draft {
        level: Level::Warning,
        aspect: Aspect::Sampling,
        service,
        operation: None,
        subject: "share",
        title: "sampled differently".to_owned(),
        message: format!(
            "The baseline keeps {:.0} % of its spans{of} and the candidate {:.0} %, by their tracestate.{only}",
            base.share() * 100.0,
            cand.share() * 100.0
        ),
        action: "Sample both environments alike; counts are weighted, but rare requests are seen less often.",
        evidence: findings::numbers([
            ("baseline_share", Some(base.share())),
            ("candidate_share", Some(cand.share())),
            ("baseline_spans", Some(base.n as f64)),
            ("candidate_spans", Some(cand.n as f64)),
        ]),
        traffic: 0,
    });
}
