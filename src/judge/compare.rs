//! One comparison: sealed windows in, a [`Report`] out.

use super::calibration::Calibration;
use super::completeness::Traces;
use super::coverage::{Expectation, ServiceCoverage, cover};
use super::curves::Curves;
use super::dependencies::Dependency;
use super::error_types::ErrorTypes;
use super::errors::ErrorEvidence;
use super::evidence::{SideEvidence, episodes};
use super::expected::Watched;
use super::facts::{FactEvidence, OfService};
use super::findings::{self, Draft, Findings};
use super::input::{arrival, left_out, of_input, unseen};
use super::latency::{LatencyEvidence, Sides};
use super::policy::{Comparison, Policy, SeriesPolicy, Tolerances};
use super::presence::Presence;
use super::roots::Roots;
use super::session::{Look, Parity, SeriesSession, Session};
use super::snapshot::SnapshotSide;
use super::structure::{CallEvidence, Incoming};
use super::texts::Texts;
use super::total::sum_up;
use super::value::Values;
use super::verdict::*;
use super::{conventions, dependencies, errors, expected, facts, latency, mix, structure, volume};
use crate::model::{EnvironmentId, KnownNames, SeriesId, ServiceKey};
use crate::stats::multiplicity::benjamini_hochberg;
use crate::window::shard::Tally;
use crate::window::{SealedCell, SealedWindow};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a comparison is made from.
pub struct Context<'a> {
    /// Which environments.
    pub comparison: &'a Comparison,
    /// What people decided.
    pub policy: &'a Policy,
    /// Names.
    pub names: &'a KnownNames,
    /// The baseline's windows, rising.
    pub baseline: Vec<&'a SealedWindow>,
    /// The candidate's windows, rising.
    pub candidate: Vec<&'a SealedWindow>,
    /// What was taken in and set aside.
    pub tally: &'a Tally,
    /// Now, nanoseconds since the epoch.
    pub now_ns: u64,
    /// Now, RFC 3339.
    pub generated_at: String,
    /// Whether arrival times mean anything: not on recorded input.
    pub live: bool,
    /// What is known of the baseline where it is a snapshot.
    pub snapshot: Option<SnapshotSide<'a>>,
    /// How many windows back the baseline is looked at.
    pub shift_windows: u64,
    /// Windows after which a session ends.
    pub session_windows: u64,
    /// How often the judge is wrong on the baseline's own traffic, where that is known.
    pub calibration: Option<&'a Calibration>,
}

/// A report, and what only pictures need.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// The result.
    pub report: Arc<Report>,
    /// The distributions of the worst operation.
    pub worst: Option<Curves>,
}

/// A series with what it did.
struct Series<'p, 'a> {
    id: SeriesId,
    policy: &'p SeriesPolicy,
    baseline: SideEvidence<'a>,
    candidate: SideEvidence<'a>,
}

/// Judges one comparison.
///
/// With a `session` the comparison is looked at again and again, and the looks share one level; without, this is the only
/// look.
pub fn compare(context: &Context<'_>, session: Option<&mut Session>) -> Judgement {
    let sides = (
        context.names.find_environment(&context.comparison.baseline),
        context.names.find_environment(&context.comparison.candidate),
    );
    let mut findings = Findings::default();
    let (services, worst) = match sides {
        (Some(baseline), Some(candidate)) => {
            judge_services(context, (baseline, candidate), session, &mut findings)
        }
        _ => (Vec::new(), None),
    };
    for (side, name) in [(sides.0, &context.comparison.baseline), (sides.1, &context.comparison.candidate)] {
        if side.is_none() {
            unseen(name, context, &mut findings);
        }
    }
    of_input(context, sides, &mut findings);
    let report = Report { arrival: arrival(context, sides), ..sum_up(context, services, findings) };
    Judgement { report: Arc::new(report), worst }
}

fn judge_services(
    context: &Context<'_>,
    (baseline, candidate): (EnvironmentId, EnvironmentId),
    mut session: Option<&mut Session>,
    findings: &mut Findings,
) -> (Vec<ServiceResult>, Option<Curves>) {
    let mut presence = Presence::default();
    presence.add(context.names, baseline, context.baseline.iter().copied());
    presence.add(context.names, candidate, context.candidate.iter().copied());
    presence.services.retain(|service, _| context.comparison.includes(service));
    let detail = context
        .policy
        .catalog
        .is_some()
        .then(|| Presence::in_detail(context.names, candidate, context.candidate.iter().copied()));
    let watched = context.policy.catalog.as_deref().zip(detail.as_ref());
    let watched = watched.map(|(catalog, presence)| {
        Watched::new(catalog, presence, (candidate, &context.comparison.candidate))
    });
    let timelines = Timeline::both(context, (baseline, candidate), |window, side| window.cells.has(side));
    let planned = plan(context, &timelines);
    let stated = FactEvidence::of(context, baseline, candidate);
    let look = session.as_deref_mut().map(|session| {
        let look = next_look(context, session, candidate);
        begin_releases(context, session, &planned, &stated);
        look
    });
    let traces = Traces::of(context, (baseline, candidate));
    let mut dependencies =
        dependencies::judge(context, (baseline, candidate), session.as_deref_mut().zip(look));
    let looked = session.as_deref_mut().zip(look);
    let asked = Values::examine(context, (baseline, candidate), &stated, looked, findings);
    let judged =
        judge_series(context, (&timelines, planned), session.as_deref_mut().zip(look), asked.configured());
    let JudgedSeries { mut operations, mut totals, worst, adjusted } = judged;
    let mut values = asked.conclude(context, adjusted.into_iter(), findings);
    let mut volumes =
        volume::judge(context, (baseline, candidate), &mut operations, session.zip(look), findings);
    let sides = [(baseline, &context.baseline[..]), (candidate, &context.candidate[..])];
    let error_types = ErrorTypes::of(context.names, sides);
    let expected = watched.iter().flat_map(Watched::services).map(|(service, _)| service);
    let expected = expected.filter(|service| context.comparison.includes(service));
    let named = presence.services.keys().chain(operations.keys()).chain(values.keys()).cloned();
    let mut services: Vec<ServiceKey> = named.chain(expected).collect();
    services.sort();
    services.dedup();
    let expectation = Expectation::of(&presence, baseline, candidate);
    let results = services.into_iter().map(|service| {
        let operations = operations.remove(&service).unwrap_or_default();
        let values = values.remove(&service).unwrap_or_default();
        let found = cover(&expectation, &service);
        let n = |of: fn(&OperationResult) -> u64| {
            operations.iter().map(|(_, o)| of(o)).fold(0, u64::saturating_add)
        };
        error_types.of_service(
            &service,
            [n(|o| o.latency.n_baseline), n(|o| o.latency.n_candidate)],
            findings,
        );
        let judged = Judged {
            operations,
            values,
            coverage: found,
            total: totals.remove(&service),
            dependencies: dependencies.remove(&service).unwrap_or_default(),
        };
        let roots = Roots::of(context.names, (&presence, baseline, candidate), &stated, &service);
        let completeness = traces.of_service(&service, &presence, (baseline, candidate), findings);
        ServiceResult {
            completeness: Some(completeness),
            volume: volumes.remove(&service),
            ..judge_service(context, &service, judged, watched.as_ref(), (&stated, &roots), findings)
        }
    });
    let results: Vec<ServiceResult> = results.collect();
    left_out(&results, findings);
    (results, worst)
}

/// The standardised total of a service that has more than one operation.
fn total(context: &Context<'_>, of_service: &[Series<'_, '_>]) -> Option<Vec<TotalResult>> {
    let incoming =
        of_service.iter().map(|s| (context.names.series_key(s.id).kind, [&s.baseline, &s.candidate]));
    mix::total(incoming, &of_service[0].policy.tolerances.primary)
}

/// The windows of one environment in a comparison, with their places in time.
pub(super) struct Timeline<'a> {
    environment: EnvironmentId,
    /// Number, episode and window, rising.
    windows: Vec<(u64, u64, &'a SealedWindow)>,
}

impl<'a> Timeline<'a> {
    /// Of both sides; `active` tells in which windows an environment was observed.
    pub(super) fn both(
        context: &Context<'a>,
        (baseline, candidate): (EnvironmentId, EnvironmentId),
        active: impl Fn(&'a SealedWindow, EnvironmentId) -> bool,
    ) -> [Timeline<'a>; 2] {
        // Windows that are compared have one number, however far back the baseline is looked at.
        let sides =
            [(baseline, &context.baseline, context.shift_windows), (candidate, &context.candidate, 0)];
        sides.map(|(environment, windows, shift)| {
            let observed = windows.iter().filter(|window| active(window, environment));
            let episodes = episodes(observed.map(|window| window.index));
            let place = |window: &&'a SealedWindow| {
                let episode = episodes.get(&window.index).copied().unwrap_or(0);
                (window.index + shift, episode, *window)
            };
            Timeline { environment, windows: windows.iter().map(place).collect() }
        })
    }

    /// The series that the environment has, window by window.
    pub(super) fn series(&self) -> impl Iterator<Item = SeriesId> + '_ {
        self.windows.iter().flat_map(|(.., window)| window.cells.of(self.environment)).map(|(id, _)| id)
    }

    /// What one series did.
    pub(super) fn of_series(&self, id: SeriesId) -> SideEvidence<'a> {
        self.evidence(|window, environment| Some(window.cells.get((environment, id))?.cell()))
    }

    /// What one thing did: its cell in each window, where it has one.
    pub(super) fn evidence(
        &self,
        cell: impl Fn(&'a SealedWindow, EnvironmentId) -> Option<Cow<'a, SealedCell>>,
    ) -> SideEvidence<'a> {
        let mut evidence = SideEvidence::default();
        for (index, episode, window) in &self.windows {
            if let Some(cell) = cell(window, self.environment) {
                evidence.add(*index, *episode, cell);
            }
        }
        evidence
    }
}

/// A series that either side has.
struct Planned {
    id: SeriesId,
    policy: SeriesPolicy,
    /// Whether both sides have requests of one source.
    comparable: bool,
}

/// Every series that either side has, service by service, in order of name.
fn plan(context: &Context<'_>, sides: &[Timeline<'_>; 2]) -> Vec<(ServiceKey, Vec<Planned>)> {
    let mut found: BTreeMap<SeriesId, [[bool; 2]; 2]> = BTreeMap::new();
    for (side, timeline) in sides.iter().enumerate() {
        let cells = timeline.windows.iter().flat_map(|(.., window)| window.cells.of(timeline.environment));
        for (id, cell) in cells {
            let [warm, _] = cell.counts();
            let sources = &mut found.entry(id).or_default()[side];
            *sources = [sources[0] || warm.n > 0, sources[1] || warm.metric_n > 0];
        }
    }
    let names = context.names;
    let mut found: Vec<_> = found.into_iter().collect();
    found.retain(|(id, _)| context.comparison.includes(&names.series_key(*id).service));
    found.sort_by_key(|(id, _)| names.series_key(*id));
    let of_service =
        found.chunk_by(|(a, _), (b, _)| names.series_key(*a).service == names.series_key(*b).service);
    let planned = of_service.map(|series| {
        let service = names.series_key(series[0].0).service.clone();
        let name = service.to_string();
        let planned = series.iter().map(|(id, [baseline, candidate])| Planned {
            id: *id,
            policy: context.policy.of(&name, &names.series_key(*id).operation),
            comparable: baseline.iter().zip(candidate).any(|(b, c)| *b && *c),
        });
        (service, planned.collect())
    });
    planned.collect()
}

pub(super) type Operations = BTreeMap<ServiceKey, Vec<(SeriesPolicy, OperationResult)>>;
type Totals = BTreeMap<ServiceKey, Vec<TotalResult>>;

/// The session takes note of the windows that are new.
fn next_look(context: &Context<'_>, session: &mut Session, candidate: EnvironmentId) -> Look {
    let newest = context.candidate.last().map_or(0, |window| window.index);
    // Windows in which the candidate only warmed up must not use up the level that looks share.
    let sent = |window: &&&SealedWindow| {
        let requests = window.cells.of(candidate).any(|(_, cell)| cell.has_evidence());
        requests || window.values.keys().any(|(env, _)| *env == candidate)
    };
    let fresh = |after: Option<u64>| {
        context.candidate.iter().filter(|window| Some(window.index) > after).filter(sent).count() as u64
    };
    let look = session.look(newest, fresh, context.session_windows);
    Look { alone: context.snapshot.is_some(), ..look }
}

/// A service whose candidate is another version than before is judged anew.
fn begin_releases(
    context: &Context<'_>,
    session: &mut Session,
    planned: &[(ServiceKey, Vec<Planned>)],
    stated: &FactEvidence,
) {
    for (service, series) in planned {
        let id = context.names.find_service(service);
        let versions = id.and_then(|id| stated.candidate_values(id, "service.version"));
        if session.is_new_release(service, versions) {
            series.iter().for_each(|series| session.restart(series.id));
        }
    }
}

/// One series under polling: what its looks so far have shown takes the place of what this one shows alone.
pub(super) fn under_polling(
    (state, look): (&mut SeriesSession, Look),
    [baseline, candidate]: [&SideEvidence<'_>; 2],
    tolerances: &Tolerances,
    sides: Option<&Sides<'_, '_>>,
    latency: &mut LatencyEvidence,
    errors: &mut ErrorEvidence,
) {
    state.advance(baseline, candidate, tolerances, look);
    if let Some(share) = look.share {
        let alpha = tolerances.alpha * share;
        let parity = Parity {
            latency: sides.is_some_and(|sides| sides.shows_parity(alpha)),
            errors: errors.shows_parity_at(alpha),
        };
        state.look(share, latency.p, errors.p, parity);
    }
    latency.poll(state.latency(look), state.parity().latency, look);
    errors.poll(state.errors_p(look), state.parity().errors, look);
}

fn structural<'s, 'w>(context: &Context<'_>, s: &'s Series<'_, 'w>) -> structure::Series<'s, 'w> {
    structure::Series { kind: context.names.series_key(s.id).kind, sides: [&s.baseline, &s.candidate] }
}

/// What the first pass over one series leaves.
struct Examined {
    latency: LatencyEvidence,
    errors: ErrorEvidence,
    calls: Option<CallEvidence>,
    /// Valid at all looks so far.
    calls_p: Option<f64>,
    warmup: Warmup,
}

/// First pass over one series: `comparable` ones are there in all.
fn examine(
    context: &Context<'_>,
    s: &Series<'_, '_>,
    (comparable, incoming): (usize, &Incoming),
    polled: &mut Option<(&mut Session, Look)>,
) -> Examined {
    let tolerances = &s.policy.tolerances;
    let sides = Sides::of(&s.baseline, &s.candidate, tolerances);
    let mut latency = match &sides {
        Some(sides) => sides.examine(),
        None => latency::absent(&s.baseline, &s.candidate),
    };
    latency.suspect(comparable);
    let mut errors = errors::examine(&s.baseline, &s.candidate, tolerances);
    if let Some((session, look)) = polled {
        let (state, both) = ((session.series(s.id), *look), [&s.baseline, &s.candidate]);
        under_polling(state, both, tolerances, sides.as_ref(), &mut latency, &mut errors);
    }
    let key = context.names.series_key(s.id);
    if let Some(share) = context.calibration.and_then(|known| known.dishonest(key, tolerances.alpha)) {
        latency.abstain(share);
        errors.abstain(share);
    }
    let calls = structure::examine(&structural(context, s), incoming, tolerances.alpha);
    let calls_p = calls.map(|calls| calls.p());
    let calls_p =
        polled.as_mut().map_or(calls_p, |(session, look)| session.series(s.id).calls(look.share, calls_p));
    let source = latency::common_source(&s.baseline, &s.candidate);
    let warmup = Warmup { baseline: s.baseline.warming(source), candidate: s.candidate.warming(source) };
    Examined { latency, errors, calls, calls_p, warmup }
}

/// What both passes over all series come to.
struct JudgedSeries {
    operations: Operations,
    totals: Totals,
    worst: Option<Curves>,
    /// What the p-values of metrics became.
    adjusted: Vec<Option<f64>>,
}

/// Both passes over all series: evidence, correction, verdicts. `values` are the p-values of metrics that are corrected
/// with those of the series.
fn judge_series(
    context: &Context<'_>,
    (timelines, planned): (&[Timeline<'_>; 2], Vec<(ServiceKey, Vec<Planned>)>),
    mut polled: Option<(&mut Session, Look)>,
    values: impl Iterator<Item = Option<f64>>,
) -> JudgedSeries {
    let sides_of = |id: SeriesId| [0, 1].map(|side: usize| timelines[side].of_series(id));
    let comparable = planned.iter().flat_map(|(_, series)| series).filter(|series| series.comparable).count();
    let (mut totals, mut texts) = (Totals::new(), Texts::default());
    // The evidence of one service exists at a time.
    let examine_service = |(service, planned): &(ServiceKey, Vec<Planned>)| {
        let with_evidence = planned.iter().map(|Planned { id, policy, .. }| {
            let [baseline, candidate] = sides_of(*id);
            Series { id: *id, policy, baseline, candidate }
        });
        let of_service: Vec<Series<'_, '_>> = with_evidence.collect();
        let incoming = Incoming::of(of_service.iter().map(|s| structural(context, s)));
        totals.extend(total(context, &of_service).map(|total| (service.clone(), total)));
        let examined = of_service.into_iter().map(|s| {
            let mut one = examine(context, &s, (comparable, &incoming), &mut polled);
            one.latency.texts().chain(one.errors.texts()).for_each(|text| texts.share(text));
            one
        });
        examined.collect()
    };
    let examined: Vec<Vec<Examined>> = planned.iter().map(examine_service).collect();
    // One family of tests: otherwise a comparison could be wrong in twice as many ways as its level says. Calls per request
    // are their own: where nothing differs they are so far from double that they spend none of the level.
    let of_series = examined.iter().flatten().flat_map(|one| [one.latency.p, one.errors.p_in_family()]);
    let mut adjusted = adjust(of_series.chain(values)).into_iter();
    let mut adjusted_calls = adjust(examined.iter().flatten().map(|one| one.calls_p)).into_iter();
    let mut operations = Operations::new();
    let mut worst: Option<Worst> = None;
    let mut conclude = |(s, examined): (Planned, Examined)| {
        let Examined { latency, errors, calls, warmup, .. } = examined;
        let key = context.names.series_key(s.id);
        let alpha = s.policy.tolerances.alpha;
        let mut latency = latency.conclude(adjusted.next().flatten(), alpha);
        let mut errors = errors.conclude(adjusted.next().flatten(), alpha);
        let calls_p = adjusted_calls.next().flatten();
        let structure = calls.zip(calls_p).map(|(calls, p)| calls.conclude(p, alpha));
        if latency.verdict == Verdict::Divergent {
            let weight = latency.ks.map_or(0.0, |ks| ks.d) * (latency.n_baseline as f64).sqrt();
            if worst.as_ref().is_none_or(|known| weight > known.weight) {
                let tolerances = Arc::clone(&s.policy.tolerances);
                worst = Some(Worst { weight, id: s.id, tolerances, d: latency.ks.map(|ks| ks.d) });
            }
        }
        let mut volume = rates(context, &latency, warmup);
        let mut kind = key.kind.as_str().into();
        for text in [&mut kind, &mut latency.reason, &mut errors.reason, &mut volume.reason] {
            texts.share(text);
        }
        let latency = LatencyResult {
            needs: latency.needs.map(|needs| in_minutes(needs, &latency, &volume)),
            ..latency
        };
        let result = OperationResult {
            operation: Arc::clone(&key.operation),
            kind,
            // What counts of these is known when all findings are, and waivers have been asked.
            verdict: Verdict::NoData,
            score: 0.0,
            latency,
            errors,
            volume,
            structure,
            warmup: (warmup != Warmup::default()).then_some(warmup),
        };
        (s.policy, result)
    };
    // What was examined of a service goes when its results are there.
    for ((service, planned), examined) in planned.into_iter().zip(examined) {
        operations.insert(service, planned.into_iter().zip(examined).map(&mut conclude).collect());
    }
    let worst = worst.map(|Worst { id, tolerances, d, .. }| {
        Curves::of(context.names.series_key(id), sides_of(id), &tolerances, d)
    });
    JudgedSeries { operations, totals, worst, adjusted: adjusted.collect() }
}

/// The series that diverges most clearly.
struct Worst {
    weight: f64,
    id: SeriesId,
    tolerances: Arc<Tolerances>,
    d: Option<f64>,
}

/// p-values corrected over the series that have one.
pub(super) fn adjust(p: impl Iterator<Item = Option<f64>>) -> Vec<Option<f64>> {
    let p: Vec<Option<f64>> = p.collect();
    let present: Vec<f64> = p.iter().flatten().copied().collect();
    let mut adjusted = benjamini_hochberg(&present).into_iter();
    p.into_iter().map(|p| p.and_then(|_| adjusted.next())).collect()
}

/// What is known of one service.
struct Judged {
    operations: Vec<(SeriesPolicy, OperationResult)>,
    values: Vec<ValueResult>,
    coverage: ServiceCoverage,
    total: Option<Vec<TotalResult>>,
    dependencies: Vec<Dependency>,
}

fn judge_service(
    context: &Context<'_>,
    service: &ServiceKey,
    Judged { mut operations, values, coverage: found, total, dependencies }: Judged,
    watched: Option<&Watched<'_>>,
    (stated, roots): (&FactEvidence, &Roots<'_>),
    findings: &mut Findings,
) -> ServiceResult {
    let name = service.to_string();
    let traffic = operations.iter().map(|(_, o)| o.latency.n_baseline.max(o.latency.n_candidate));
    let traffic = traffic.fold(0, u64::saturating_add);
    operations.sort_by(|(_, a), (_, b)| {
        let order = b.latency.n_baseline.cmp(&a.latency.n_baseline);
        order.then_with(|| (&a.operation, &a.kind).cmp(&(&b.operation, &b.kind)))
    });
    for (policy, operation) in &operations {
        findings::of_operation(&name, operation, &policy.tolerances, findings);
        structure::of_operation(&name, operation, findings);
    }
    let all: Vec<&OperationResult> = operations.iter().map(|(_, operation)| operation).collect();
    mix::of_service(&name, &all, total.as_deref(), findings);
    let tolerance = context.policy.of(&name, "").tolerances.coverage;
    let sent =
        |of: fn(&LatencyResult) -> u64| all.iter().map(|o| of(&o.latency)).fold(0, u64::saturating_add);
    let (asked, answered) = (sent(|latency| latency.n_baseline), sent(|latency| latency.n_candidate));
    let of_service = OfService {
        id: context.names.find_service(service),
        key: service,
        share: if asked > 0 { answered as f64 / asked as f64 } else { 1.0 },
        traffic,
        absent: found.absent,
    };
    let facts = facts::of_service(context, stated, &of_service, findings);
    let coverage = match watched.and_then(|watched| Some((watched, watched.hold(service)?))) {
        Some((watched, held)) => {
            expected::of_held(&name, watched.environment, &held, tolerance, findings, traffic);
            findings::of_shape(&name, &found, findings, (traffic, roots));
            Coverage { shapes: found.coverage.shapes, stale: found.coverage.stale, ..held.coverage }
        }
        None => {
            if found.absent {
                absent_service(&name, &found, traffic, findings);
            } else {
                findings::of_coverage(&name, &found, tolerance, findings, roots);
                findings::of_shape(&name, &found, findings, (traffic, roots));
            }
            found.coverage
        }
    };
    if let Some((watched, registry)) =
        watched.and_then(|watched| Some((watched, watched.catalog.registry.as_ref()?)))
    {
        let departures = conventions::check(registry, watched.presence, service, watched.id);
        conventions::of_conformity(&name, watched.environment, &departures, findings, traffic);
    }
    let dependencies = match found.absent {
        true => dependencies::unjudged(dependencies),
        false => dependencies::of_service(&name, dependencies, &found.missing, &all, findings),
    };
    ServiceResult {
        service: name,
        verdict: Verdict::NoData,
        score: 0.0,
        operations: operations.into_iter().map(|(_, operation)| operation).collect(),
        coverage,
        facts,
        total,
        values,
        dependencies,
        completeness: None,
        volume: None,
    }
}

/// A service that only one side has is one finding, and not one for each of its items.
fn absent_service(name: &str, found: &ServiceCoverage, traffic: u64, findings: &mut Findings) {
    let only_candidate = found.missing.is_empty() && found.too_rare.is_empty();
    let (level, title, message) = match () {
        () if only_candidate => (
            Level::Warning,
            "service only in the candidate",
            format!("{name} sends telemetry in the candidate and none in the baseline."),
        ),
        () if found.missing.is_empty() => (
            Level::Info,
            "service not seen yet",
            format!(
                "{name} sends telemetry in the baseline and none in the candidate, where too little of it would be \
                 expected for its absence to count."
            ),
        ),
        () => (
            Level::Critical,
            "service missing",
            format!("{name} sends telemetry in the baseline and none in the candidate."),
        ),
    };
    findings.add(Draft {
        level,
        aspect: Aspect::Presence,
        service: Some(name),
        operation: None,
        subject: "service",
        title: title.to_owned(),
        message,
        action: "Check that the service is deployed there and that its exporter reaches the pipeline.",
        evidence: BTreeMap::from([("items".to_owned(), found.coverage.expected.into())]),
        traffic,
    });
}

/// How long the slower side takes at its rate for the requests that it lacks.
fn in_minutes(needs: Needs, latency: &LatencyResult, volume: &VolumeResult) -> Needs {
    let lacking = |n: u64, per_s: Option<f64>| {
        let per_s = per_s.filter(|per_s| *per_s > 0.0)?;
        Some(needs.n.saturating_sub(n) as f64 / per_s / 60.0)
    };
    let baseline = lacking(latency.n_baseline, volume.baseline_per_s.get());
    let candidate = lacking(latency.n_candidate, volume.candidate_per_s.get());
    let minutes = baseline.zip(candidate).map(|(b, c)| (b.max(c) * 10.0).ceil() / 10.0);
    Needs { minutes: minutes.into(), ..needs }
}

/// Requests per second over the whole period on both sides.
fn rates(context: &Context<'_>, latency: &LatencyResult, warmup: Warmup) -> VolumeResult {
    let seconds = |windows: &[&SealedWindow]| {
        let (first, last) = (windows.first()?, windows.last()?);
        Some((last.end_ns - first.start_ns) as f64 / 1e9)
    };
    let rate = |n: u64, windows: &[&SealedWindow]| seconds(windows).map(|s| n as f64 / s);
    let baseline_per_s = rate(latency.n_baseline.saturating_add(warmup.baseline), &context.baseline);
    let candidate_per_s = rate(latency.n_candidate.saturating_add(warmup.candidate), &context.candidate);
    let ratio = baseline_per_s.zip(candidate_per_s).filter(|(b, _)| *b > 0.0).map(|(b, c)| c / b);
    VolumeResult {
        verdict: Verdict::NoData,
        baseline_per_s: baseline_per_s.into(),
        candidate_per_s: candidate_per_s.into(),
        ratio: ratio.into(),
        reason: "volume is reported and not judged".into(),
        ..VolumeResult::unjudged()
    }
}
