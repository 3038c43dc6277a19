//! Whom a service calls: the same on both sides, as fast, and succeeding as often?
//!
//! A dependency is all `client` and `producer` spans of a service that go to one peer ([`crate::model::peer`]), whatever their
//! operation; so it has an answer where its operations are too many or too rare to have one each. *Missing* is what the
//! baseline calls and the candidate does not although the requests that come in let expect ln(m/0.05) calls or more, m being
//! the number of the baseline's dependencies (the rule of [`super::coverage`], bursts included); *new* is the mirror image.
//! Latency and success are judged as an operation's are, success within its own tolerance, and corrected over all
//! dependencies. Where the mix of the operations that call is another one, their sum says nothing about the peer. All this
//! decides nothing, since each call counts in its operation already; what an operation's finding tells is told there.

use super::compare::{Context, Timeline, under_polling};
use super::errors::{self, ErrorEvidence};
use super::evidence::SideEvidence;
use super::findings::{self, Draft, Findings, duration, numbers};
use super::latency::{self, LatencyEvidence, Sides};
use super::policy::Tolerances;
use super::session::{Look, Session};
use super::total::overall;
use super::verdict::*;
use super::{compare, mix};
use crate::model::names::DependencyKey;
use crate::model::{DependencyId, EnvironmentId, ItemKind, ItemName, ServiceKey, operation};
use crate::stats::dispersion;
use crate::stats::mix::MixCount;
use crate::window::SealedWindow;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// The chance that is accepted that some dependency is called missing and has only not been called.
const ALPHA: f64 = 0.05;

type Callers = Vec<(String, String)>;

/// One dependency, judged as far as that goes without its service.
#[derive(Debug)]
pub(super) struct Dependency {
    result: DependencyResult,
    /// Operation and kind of the spans that call it.
    callers: Callers,
    /// Calls on each side, divided by how far they come in bursts.
    sightings: [f64; 2],
    /// Sightings from which an absence means something, on each side.
    enough: [f64; 2],
    latency_result: LatencyResult,
    errors_result: ErrorsResult,
}

/// Both sides' calls to one peer, which may have two names.
struct Pair<'a> {
    ids: [Option<DependencyId>; 2],
    key: DependencyKey,
    candidate_peer: Option<String>,
    callers: Callers,
    sides: [SideEvidence<'a>; 2],
}

/// All dependencies by service.
pub(super) fn judge(
    context: &Context<'_>,
    environments: (EnvironmentId, EnvironmentId),
    mut polled: Option<(&mut Session, Look)>,
) -> BTreeMap<ServiceKey, Vec<Dependency>> {
    let mut pairs = gather(context, environments);
    let enough = [0, 1].map(|side| {
        let known = pairs.iter().filter(|pair| called(&pair.sides[side])).count();
        (known.max(1) as f64 / ALPHA).ln()
    });
    let tolerances: Vec<Tolerances> =
        pairs.iter().map(|pair| tolerances(context, &pair.key.service)).collect();
    let mut examined: Vec<(LatencyEvidence, ErrorEvidence)> = Vec::with_capacity(pairs.len());
    for (pair, tolerances) in pairs.iter_mut().zip(&tolerances) {
        let [baseline, candidate] = &pair.sides;
        let sides = Sides::of(baseline, candidate, tolerances);
        let mut latency = match &sides {
            Some(sides) => sides.examine(),
            None => latency::absent(baseline, candidate),
        };
        let mut errors = errors::examine(baseline, candidate, tolerances);
        if let (Some((session, look)), Some(id)) = (&mut polled, pair.ids[0].or(pair.ids[1])) {
            let (state, both) = ((session.dependency(&pair.key.service, id), *look), [baseline, candidate]);
            under_polling(state, both, tolerances, sides.as_ref(), &mut latency, &mut errors);
        }
        examined.push((latency, errors));
        pair.sides.iter_mut().for_each(SideEvidence::forget);
    }
    let p = examined.iter().flat_map(|(latency, errors)| [latency.p, errors.p_in_family()]);
    let mut adjusted = compare::adjust(p).into_iter();
    let mut found: BTreeMap<ServiceKey, Vec<Dependency>> = BTreeMap::new();
    for ((pair, tolerances), (latency, errors)) in pairs.into_iter().zip(tolerances).zip(examined) {
        let latency = latency.conclude(adjusted.next().flatten(), tolerances.alpha);
        let errors = errors.conclude(adjusted.next().flatten(), tolerances.alpha);
        let windows = [context.baseline.len(), context.candidate.len()];
        let sightings = [0, 1].map(|side| sightings(&pair.sides[side], windows[side]));
        let result = result(&pair, &latency, &errors);
        found.entry(pair.key.service).or_default().push(Dependency {
            result,
            callers: pair.callers,
            sightings,
            enough,
            latency_result: latency,
            errors_result: errors,
        });
    }
    found
}

fn tolerances(context: &Context<'_>, service: &ServiceKey) -> Tolerances {
    let tolerances = Tolerances::clone(&context.policy.of(&service.to_string(), "").tolerances);
    Tolerances { errors_relative: 0.0, errors_floor: tolerances.dependency_success, ..tolerances }
}

fn called(side: &SideEvidence<'_>) -> bool {
    side.spans() + side.warming(Some(Source::Spans)) > 0
}

/// Calls, divided by their index of dispersion where that is more than one.
fn sightings(side: &SideEvidence<'_>, windows: usize) -> f64 {
    let mut counts: Vec<f64> = side.since(None).map(|(_, cell)| cell.latency.n() as f64).collect();
    counts.resize(windows.max(counts.len()), 0.0);
    side.spans() as f64 / dispersion::index(&counts).unwrap_or(1.0).max(1.0)
}

/// Both sides' calls by peer, in order of service and name. Hosts are often called otherwise in another environment: those
/// that only one side has are taken for each other where that is the one way to do it.
fn gather<'a>(context: &Context<'a>, environments: (EnvironmentId, EnvironmentId)) -> Vec<Pair<'a>> {
    let cells = |window: &'a SealedWindow, side| {
        window.dependencies.range((side, DependencyId(0))..=(side, DependencyId(u32::MAX)))
    };
    let timelines =
        Timeline::both(context, environments, |window, side| cells(window, side).next().is_some());
    let sides = [(environments.0, &context.baseline), (environments.1, &context.candidate)];
    let found =
        sides.into_iter().flat_map(|(side, windows)| windows.iter().flat_map(move |w| cells(w, side)));
    let ids: BTreeSet<DependencyId> = found.map(|((_, id), _)| *id).collect();
    let pair = |id: DependencyId| {
        let of = |window: &'a SealedWindow, side| window.dependencies.get(&(side, id)).map(Cow::Borrowed);
        let [baseline, candidate] = [0, 1].map(|side: usize| timelines[side].evidence(of));
        let mut callers: Callers = context
            .names
            .callers(id)
            .map(|series| (series.operation.to_string(), series.kind.as_str().to_owned()))
            .collect();
        callers.sort();
        Pair {
            ids: [Some(id).filter(|_| called(&baseline)), Some(id).filter(|_| called(&candidate))],
            key: context.names.dependency_key(id).clone(),
            candidate_peer: None,
            callers,
            sides: [baseline, candidate],
        }
    };
    let mut pairs: Vec<Pair<'a>> =
        ids.into_iter().map(pair).filter(|pair| context.comparison.includes(&pair.key.service)).collect();
    pairs.sort_by(|a, b| a.key.cmp(&b.key));
    join(&mut pairs, |pair| {
        let label = pair.key.peer.split(['.', ':']).next().unwrap_or("");
        (!label.contains('{')).then(|| label.to_owned())
    });
    join(&mut pairs, |pair| Some(pair.callers.clone()));
    pairs
}

/// Joins hosts of one service and system, each known to one side, that alone have this in common.
fn join<K: PartialEq>(pairs: &mut Vec<Pair<'_>>, common: impl Fn(&Pair<'_>) -> Option<K>) {
    let lone = |pair: &Pair<'_>, side: usize| {
        pair.key.host && pair.ids[side].is_some() && pair.ids[1 - side].is_none()
    };
    let alike = |a: &Pair<'_>, b: &Pair<'_>| {
        a.key.service == b.key.service
            && a.key.system == b.key.system
            && common(a).is_some()
            && common(a) == common(b)
    };
    let only = |pairs: &[Pair<'_>], of: &Pair<'_>, side: usize| {
        let mut found = (0..pairs.len()).filter(|at| lone(&pairs[*at], side) && alike(&pairs[*at], of));
        found.next().filter(|_| found.next().is_none())
    };
    let mut at = 0;
    while at < pairs.len() {
        let other = Some(at)
            .filter(|at| lone(&pairs[*at], 0) && only(pairs, &pairs[*at], 0) == Some(*at))
            .and_then(|at| only(pairs, &pairs[at], 1));
        let Some(other) = other else {
            at += 1;
            continue;
        };
        let theirs = pairs.remove(other);
        at -= usize::from(other < at);
        let [_, candidate] = theirs.sides;
        let ours = &mut pairs[at];
        (ours.sides[1], ours.ids[1]) = (candidate, theirs.ids[1]);
        ours.candidate_peer = Some(theirs.key.peer.to_string());
        ours.callers.extend(theirs.callers);
        ours.callers.sort();
        ours.callers.dedup();
        at += 1;
    }
}

fn result(pair: &Pair<'_>, latency: &LatencyResult, errors: &ErrorsResult) -> DependencyResult {
    let calls = |side: &SideEvidence<'_>| {
        let distribution = side.distribution(Source::Spans);
        let at = |q: f64| distribution.quantile(q).map(|quantile| quantile.value);
        let (calls, errors) = (side.spans(), side.errors(Source::Spans));
        called(side).then(|| DependencyCalls { calls, errors, p50_s: at(0.5), p95_s: at(0.95) })
    };
    let p95 = latency.quantiles.iter().find(|at| at.q == 0.95);
    let verdict = overall([latency.verdict, errors.verdict]);
    let decisive = if latency.verdict == verdict { &latency.reason } else { &errors.reason };
    let mut operations: Vec<String> = pair.callers.iter().map(|(operation, _)| operation.clone()).collect();
    operations.dedup();
    DependencyResult {
        peer: pair.key.peer.to_string(),
        candidate_peer: pair.candidate_peer.clone(),
        system: Some(pair.key.system.to_string()).filter(|system| !system.is_empty()),
        verdict,
        latency: latency.verdict,
        success: errors.verdict,
        baseline: calls(&pair.sides[0]),
        candidate: calls(&pair.sides[1]),
        ratio: p95.and_then(|at| at.ratio.get()),
        ratio_low: p95.and_then(|at| at.ratio_low.get()),
        ratio_high: p95.and_then(|at| at.ratio_high.get()),
        errors_delta: errors.delta.get(),
        errors_delta_low: errors.delta_low.get(),
        errors_delta_high: errors.delta_high.get(),
        operations,
        reason: decisive.to_string(),
    }
}

/// What is told of the dependencies of one service: for the report, most calls first, and as findings.
pub(super) fn of_service(
    service: &str,
    mut dependencies: Vec<Dependency>,
    missing: &[(ItemName, u64)],
    operations: &[&OperationResult],
    findings: &mut Findings,
) -> Vec<DependencyResult> {
    let requests = incoming(operations);
    for dependency in &mut dependencies {
        dependency.hold_against(requests, operations);
        dependency.tell(service, missing, operations, findings);
    }
    tell_other_hosts(service, &dependencies, findings);
    unjudged(dependencies)
}

/// For the report, most calls first: as they are, of a service that only one side has.
pub(super) fn unjudged(dependencies: Vec<Dependency>) -> Vec<DependencyResult> {
    let mut results: Vec<DependencyResult> = dependencies.into_iter().map(|d| d.result).collect();
    let calls = |result: &DependencyResult| result.baseline.or(result.candidate).map_or(0, |side| side.calls);
    results.sort_by(|a, b| {
        calls(b).cmp(&calls(a)).then_with(|| (&a.peer, &a.system).cmp(&(&b.peer, &b.system)))
    });
    results
}

/// Requests that come into a service on both sides; of a service that nobody calls, all that it does.
fn incoming(operations: &[&OperationResult]) -> [f64; 2] {
    let sum = |of: &dyn Fn(&OperationResult) -> bool| {
        let chosen =
            || operations.iter().filter(|operation| of(operation)).map(|operation| &operation.latency);
        [chosen().map(|l| l.n_baseline as f64).sum::<f64>(), chosen().map(|l| l.n_candidate as f64).sum()]
    };
    let incoming = sum(&|operation| matches!(&*operation.kind, "server" | "consumer"));
    if incoming == [0.0, 0.0] { sum(&|_| true) } else { incoming }
}

impl Dependency {
    /// Whether one side lacks it although it would be expected, and whether its calls are of another mix.
    fn hold_against(&mut self, requests: [f64; 2], operations: &[&OperationResult]) {
        let result = &mut self.result;
        let lacking = match (result.baseline, result.candidate) {
            (Some(_), None) => 1,
            (None, Some(_)) => 0,
            _ => {
                let calls = |(operation, kind): &(String, String)| {
                    let same = |o: &&&OperationResult| *o.operation == **operation && *o.kind == **kind;
                    operations.iter().find(same).map(|operation| MixCount {
                        baseline: operation.latency.n_baseline as f64,
                        candidate: operation.latency.n_candidate as f64,
                    })
                };
                let counts: Vec<MixCount> = self.callers.iter().filter_map(calls).collect();
                if result.verdict != Verdict::NoData && mix::shifted(&counts).is_some() {
                    (result.latency, result.success) = (Verdict::Inconclusive, Verdict::Inconclusive);
                    result.verdict = Verdict::Inconclusive;
                    result.reason =
                        "its calls are of another mix of operations, which are compared one by one"
                            .to_owned();
                }
                return;
            }
        };
        let there = 1 - lacking;
        let share = if requests[there] > 0.0 { requests[lacking] / requests[there] } else { 0.0 };
        let side = ["the baseline", "the candidate"][lacking];
        (result.verdict, result.reason) = match share * self.sightings[there] >= self.enough[there] {
            true => (Verdict::Divergent, format!("{side} does not call it")),
            false => (
                Verdict::Inconclusive,
                format!("{side} has too few requests for the absence to mean something"),
            ),
        };
    }

    fn tell(
        &self,
        service: &str,
        missing: &[(ItemName, u64)],
        operations: &[&OperationResult],
        findings: &mut Findings,
    ) {
        if self.result.verdict != Verdict::Divergent {
            return;
        }
        match (self.result.baseline, self.result.candidate) {
            (Some(there), None) => self.tell_missing(service, there, missing, findings),
            (None, Some(here)) => self.tell_new(service, here, findings),
            _ => {
                if self.result.latency == Verdict::Divergent {
                    let told = |operation: &OperationResult| operation.latency.verdict;
                    self.tell_or_fold(service, Aspect::Latency, operations, told, findings);
                }
                if self.result.success == Verdict::Divergent {
                    let told = |operation: &OperationResult| operation.errors.verdict;
                    self.tell_or_fold(service, Aspect::Errors, operations, told, findings);
                }
            }
        }
    }

    /// `orders-db (postgresql)`
    fn name(&self) -> String {
        let system = self.result.system.as_deref().filter(|system| *system != self.result.peer);
        system.map_or(self.result.peer.clone(), |system| format!("{} ({system})", self.result.peer))
    }

    fn subject(&self) -> String {
        format!("dependency {} {}", self.result.system.as_deref().unwrap_or(""), self.result.peer)
    }

    /// Where all operations that called it are missing too, their findings tell of it; else it is one of its own.
    fn tell_missing(
        &self,
        service: &str,
        there: DependencyCalls,
        missing: &[(ItemName, u64)],
        findings: &mut Findings,
    ) {
        let span = |(name, kind): &(String, String)| ItemName {
            kind: ItemKind::Span,
            name: format!("{} ({kind})", operation::warm(name)).into(),
        };
        let spans: Vec<ItemName> = self.callers.iter().map(span).collect();
        let mut folded = false;
        if spans.iter().all(|span| missing.iter().any(|(item, _)| item == span)) {
            for item in &spans {
                let id = findings::id_of(Aspect::Presence, Some(service), None, &item.to_string());
                let words = format!(" Nothing else called {}.", self.name());
                folded |= findings.amend(&id, &words, ("dependency", self.result.peer.as_str().into()));
            }
        }
        if folded {
            return;
        }
        findings.add(Draft {
            level: Level::Warning,
            aspect: Aspect::Structure,
            service: Some(service),
            operation: None,
            subject: &self.subject(),
            title: "missing dependency".to_owned(),
            message: format!(
                "{service} does not call {} in the candidate; the baseline called it {} time(s), by {}.",
                self.name(),
                there.calls,
                self.result.operations.join(", ")
            ),
            action: "Make sure that requests still do their work, and that the candidate is configured as the baseline is.",
            evidence: self.evidence(numbers([("baseline_calls", Some(there.calls as f64))])),
            traffic: there.calls,
        });
    }

    fn tell_new(&self, service: &str, here: DependencyCalls, findings: &mut Findings) {
        findings.add(Draft {
            level: Level::Warning,
            aspect: Aspect::Structure,
            service: Some(service),
            operation: None,
            subject: &self.subject(),
            title: "new dependency".to_owned(),
            message: format!(
                "{service} calls {} in the candidate, {} time(s) by {}; the baseline does not.",
                self.name(),
                here.calls,
                self.result.operations.join(", ")
            ),
            action: "Make sure that the release is meant to call it, and that it bears the baseline's traffic.",
            evidence: self.evidence(numbers([("candidate_calls", Some(here.calls as f64))])),
            traffic: here.calls,
        });
    }

    fn evidence(
        &self,
        mut numbers: BTreeMap<String, serde_json::Value>,
    ) -> BTreeMap<String, serde_json::Value> {
        numbers.insert("dependency".to_owned(), self.result.peer.as_str().into());
        numbers
    }

    /// What the operations that call it tell already is not told again, but names it.
    fn tell_or_fold(
        &self,
        service: &str,
        aspect: Aspect,
        operations: &[&OperationResult],
        verdict: impl Fn(&OperationResult) -> Verdict,
        findings: &mut Findings,
    ) {
        let mut folded = false;
        for (name, kind) in &self.callers {
            let same = |o: &&&OperationResult| *o.operation == **name && *o.kind == **kind;
            if operations.iter().find(same).is_some_and(|operation| verdict(operation) == Verdict::Divergent)
            {
                let id = findings::id_of(aspect, Some(service), Some(name), kind);
                let words = format!(" It calls {}.", self.name());
                folded |= findings.amend(&id, &words, ("dependency", self.result.peer.as_str().into()));
            }
        }
        if !folded {
            match aspect {
                Aspect::Latency => self.tell_latency(service, findings),
                _ => self.tell_errors(service, findings),
            }
        }
    }

    fn tell_latency(&self, service: &str, findings: &mut Findings) {
        for (name, kind) in &self.callers {
            // What could only be suspected of each is shown for all together.
            let subject = findings::suspicion_of(kind);
            findings.withdraw(&findings::id_of(Aspect::Latency, Some(service), Some(name), &subject));
        }
        let latency = &self.latency_result;
        let p95 = latency.quantiles.iter().find(|at| at.q == 0.95);
        let (base, cand) =
            p95.and_then(|at| at.baseline_s.get().zip(at.candidate_s.get())).unwrap_or_default();
        findings.add(Draft {
            level: Level::Warning,
            aspect: Aspect::Latency,
            service: Some(service),
            operation: None,
            subject: &self.subject(),
            title: if cand >= base { "slower dependency" } else { "faster dependency" }.to_owned(),
            message: format!(
                "{service}'s calls to {} have p95 at {} instead of {}, from {} and {} calls. Shown because {}.",
                self.name(),
                duration(cand),
                duration(base),
                latency.n_baseline,
                latency.n_candidate,
                latency.reason
            ),
            action: "Look at the peer, and at what lies between it and the candidate.",
            evidence: self.evidence(numbers([
                ("baseline_s", Some(base)),
                ("candidate_s", Some(cand)),
                ("ratio", self.result.ratio),
                ("ratio_low", self.result.ratio_low),
                ("ratio_high", self.result.ratio_high),
            ])),
            traffic: latency.n_baseline.max(latency.n_candidate),
        });
    }

    fn tell_errors(&self, service: &str, findings: &mut Findings) {
        let errors = &self.errors_result;
        let percent = |rate: Option<f64>| rate.unwrap_or(0.0) * 100.0;
        let worse = errors.delta.get().unwrap_or(0.0) > 0.0;
        findings.add(Draft {
            level: Level::Warning,
            aspect: Aspect::Errors,
            service: Some(service),
            operation: None,
            subject: &self.subject(),
            title: if worse { "dependency fails more often" } else { "dependency succeeds more often" }
                .to_owned(),
            message: format!(
                "{:.2} % of {service}'s {} calls to {} fail, {:.2} % in the baseline. Shown because {}.",
                percent(errors.candidate.rate.get()),
                errors.candidate.n,
                self.name(),
                percent(errors.baseline.rate.get()),
                errors.reason
            ),
            action: "Look at the candidate's failed calls to it.",
            evidence: self.evidence(numbers([
                ("baseline_rate", errors.baseline.rate.get()),
                ("candidate_rate", errors.candidate.rate.get()),
                ("delta", errors.delta.get()),
                ("delta_low", errors.delta_low.get()),
                ("delta_high", errors.delta_high.get()),
            ])),
            traffic: errors.baseline.n.max(errors.candidate.n),
        });
    }
}

/// Hosts that were taken for each other because the same operations call them, and whose names do not say so.
fn tell_other_hosts(service: &str, dependencies: &[Dependency], findings: &mut Findings) {
    let label = |name: &str| name.split(['.', ':']).next().unwrap_or("").to_owned();
    let others: Vec<(String, u64)> = dependencies
        .iter()
        .filter_map(|dependency| {
            let other = dependency.result.candidate_peer.as_deref()?;
            let peer = &dependency.result.peer;
            let tells = label(peer) != label(other) && !label(peer).contains('{');
            tells.then(|| (format!("{other} instead of {peer}"), dependency.latency_result.n_baseline))
        })
        .collect();
    if others.is_empty() {
        return;
    }
    findings.add(Draft {
        level: Level::Info,
        aspect: Aspect::Structure,
        service: Some(service),
        operation: None,
        subject: "other hosts",
        title: "calls other hosts".to_owned(),
        message: format!(
            "{service} calls {} in the candidate; by their operations they are compared as one.",
            others.iter().map(|(words, _)| words.as_str()).collect::<Vec<_>>().join(", ")
        ),
        action: "Nothing, if the environments' hosts have other names; else check the candidate's configuration.",
        evidence: BTreeMap::new(),
        traffic: others.iter().map(|(_, calls)| *calls).fold(0, u64::saturating_add),
    });
}
