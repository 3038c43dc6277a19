//! Completeness: does a service send all three signals, and do its traces hang together?
//!
//! A signal that the baseline sends and the candidate does not send at all is one finding, and not one for each of its items.
//! *Context.* A request that comes in without a parent begins a trace. Where another share of them does so, whoever calls the
//! service does not pass its context on there, or sends no spans. *Parents.* A span names its parent, which may never come: it
//! was lost or not sampled, its sender is not exported, or something on the way names a parent of its own. *Statistic.* The
//! difference of the shares, with windows as clusters (Miettinen & Nurminen 1985 on effective counts), beyond five percentage
//! points. Looks are not counted, so the p-value has to be far below 5 %. It decides nothing.

use super::compare::Context;
use super::findings::{Draft, Findings, numbers};
use super::presence::Presence;
use super::verdict::{Aspect, CompletenessResult, Level, SideCompleteness};
use crate::catalog::Traffic;
use crate::model::{EnvironmentId, ItemKind, ServiceKey, SpanKind};
use crate::stats::design_effect::{self, ClusterCount};
use crate::stats::normal;
use crate::stats::proportions::{Rate, score};
use crate::window::SealedWindow;
use crate::window::cells::Counts;
use std::collections::BTreeMap;

/// Shares that differ by more than that are another structure.
const MARGIN: f64 = 0.05;
/// The p-value at which it is no chance.
const SURE: f64 = 1e-6;
/// Spans a side below which nothing is told.
const SPANS_MIN: f64 = 50.0;

/// One of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Traces,
    Metrics,
    Logs,
}

impl Signal {
    const ALL: [Signal; 3] = [Signal::Traces, Signal::Metrics, Signal::Logs];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Signal::Traces => "traces",
            Signal::Metrics => "metrics",
            Signal::Logs => "logs",
        }
    }

    /// The signal that an item belongs to; what resources and scopes say comes with all of them.
    pub(super) fn of(kind: ItemKind) -> Option<Signal> {
        Some(match kind {
            ItemKind::Span
            | ItemKind::SpanAttribute
            | ItemKind::SpanEvent
            | ItemKind::ErrorType
            | ItemKind::OperationAttribute => Signal::Traces,
            ItemKind::Metric | ItemKind::MetricAttribute => Signal::Metrics,
            ItemKind::Log | ItemKind::LogAttribute => Signal::Logs,
            ItemKind::Resource | ItemKind::ResourceAttribute | ItemKind::Scope => return None,
        })
    }

    fn is_in(self, traffic: Traffic) -> bool {
        let n = match self {
            Signal::Traces => traffic.spans,
            Signal::Metrics => traffic.points,
            Signal::Logs => traffic.logs,
        };
        n > 0
    }
}

/// Signals that a service sends in the baseline and not in the candidate, which sends something else.
pub(super) fn silent(
    presence: &Presence,
    service: &ServiceKey,
    (baseline, candidate): (EnvironmentId, EnvironmentId),
) -> Vec<Signal> {
    let (there, here) = (presence.traffic(service, baseline), presence.traffic(service, candidate));
    let silent = |signal: &Signal| signal.is_in(there) && !signal.is_in(here);
    Signal::ALL.into_iter().filter(silent).filter(|_| !here.is_none()).collect()
}

/// How traces hang together, by service.
#[derive(Debug, Default)]
pub(super) struct Traces(BTreeMap<ServiceKey, [Rooted; 2]>);

#[derive(Debug, Default)]
struct Rooted {
    spans: u64,
    roots: u64,
    /// What the spans stand for, by their sampling.
    weight: u64,
    /// Requests that come in, and those of them that begin a trace, by window.
    incoming: Vec<ClusterCount>,
    /// Spans whose parent was looked for, and those of them whose parent never came, by window.
    children: Vec<ClusterCount>,
}

impl Traces {
    /// Of both sides' windows.
    pub(super) fn of(context: &Context<'_>, (baseline, candidate): (EnvironmentId, EnvironmentId)) -> Traces {
        let mut traces = Traces::default();
        for (side, environment, windows) in
            [(0, baseline, &context.baseline), (1, candidate, &context.candidate)]
        {
            windows.iter().for_each(|window| traces.add(context, side, environment, window));
        }
        traces
    }

    fn add(&mut self, context: &Context<'_>, side: usize, environment: EnvironmentId, window: &SealedWindow) {
        let mut incoming: BTreeMap<&ServiceKey, ClusterCount> = BTreeMap::new();
        for (series, cell) in window.cells.of(environment) {
            let series = context.names.series_key(series);
            let Counts { n: spans, roots, weight, .. } = cell.all_counts();
            let rooted = &mut self.0.entry(series.service.clone()).or_default()[side];
            rooted.spans += spans;
            rooted.roots += roots;
            rooted.weight += weight;
            if matches!(series.kind, SpanKind::Server | SpanKind::Consumer) {
                let none = ClusterCount { n: 0.0, at_or_under: 0.0 };
                let count = incoming.entry(&series.service).or_insert(none);
                count.n += spans as f64;
                count.at_or_under += roots as f64;
            }
        }
        for (service, count) in incoming {
            if let Some(sides) = self.0.get_mut(service) {
                sides[side].incoming.push(count);
            }
        }
        for ((_, service), children) in window.children.iter().filter(|((env, _), _)| *env == environment) {
            let rooted = &mut self.0.entry(context.names.service_key(*service).clone()).or_default()[side];
            rooted.children.push(ClusterCount { n: children.n as f64, at_or_under: children.broken as f64 });
        }
    }

    /// What is told of one service: for the report, and as a finding.
    pub(super) fn of_service(
        &self,
        service: &ServiceKey,
        presence: &Presence,
        (baseline, candidate): (EnvironmentId, EnvironmentId),
        findings: &mut Findings,
    ) -> CompletenessResult {
        let sides = self.0.get(service);
        if let Some(sides) = sides {
            tell_roots(&service.to_string(), sides, findings);
            tell_parents(&service.to_string(), sides, findings);
        }
        let side = |at: usize, environment: EnvironmentId| {
            let traffic = presence.traffic(service, environment);
            let (spans, roots, weight) =
                sides.map_or((0, 0, 0), |sides| (sides[at].spans, sides[at].roots, sides[at].weight));
            let (sought, broken) = sides.map_or((0.0, 0.0), |sides| total(&sides[at].children));
            (!traffic.is_none()).then(|| SideCompleteness {
                signals: Signal::ALL
                    .into_iter()
                    .filter(|signal| signal.is_in(traffic))
                    .map(|signal| signal.as_str().to_owned())
                    .collect(),
                spans: traffic.spans,
                metric_points: traffic.points,
                log_records: traffic.logs,
                root_share: (spans > 0).then(|| roots as f64 / spans as f64),
                parents_sought: sought as u64,
                broken_parent_share: (sought > 0.0).then(|| broken / sought),
                kept_share: (spans > 0).then(|| spans as f64 / weight.max(1) as f64),
            })
        };
        CompletenessResult { baseline: side(0, baseline), candidate: side(1, candidate) }
    }
}

fn total(clusters: &[ClusterCount]) -> (f64, f64) {
    clusters.iter().fold((0.0, 0.0), |(n, x), c| (n + c.n, x + c.at_or_under))
}

/// Shares of which the candidate's is shown to be greater.
struct Greater {
    baseline: f64,
    candidate: f64,
    p: f64,
    /// The candidate's count.
    n: f64,
}

/// Whether the candidate's share is greater by more than chance and the margin, both counted by window.
fn greater([baseline, candidate]: [&[ClusterCount]; 2]) -> Option<Greater> {
    let rate = |windows: &[ClusterCount]| {
        let (n, x) = total(windows);
        let effect = design_effect::estimate(windows);
        let deff = effect.map_or(1.0, |effect| effect.deff);
        (n, Rate { errors: x / deff, n: n / deff }, effect.map(|effect| effect.dof))
    };
    let ((n, base, base_dof), (m, cand, cand_dof)) = (rate(baseline), rate(candidate));
    if n.min(m) < SPANS_MIN {
        return None;
    }
    let dof = design_effect::satterthwaite([(1.0 / base.n, base_dof), (1.0 / cand.n, cand_dof)]);
    let p = normal::upper_tail(score(base, cand, MARGIN), dof);
    (p <= SURE).then(|| Greater { baseline: base.share(), candidate: cand.share(), p, n: m })
}

impl Greater {
    fn tell(
        &self,
        service: &str,
        subject: &str,
        title: &str,
        message: String,
        action: &str,
        findings: &mut Findings,
    ) {
        findings.add(Draft {
            level: Level::Warning,
            aspect: Aspect::Structure,
            service: Some(service),
            operation: None,
            subject,
            title: title.to_owned(),
            message,
            action,
            evidence: numbers([
                ("baseline_share", Some(self.baseline)),
                ("candidate_share", Some(self.candidate)),
                ("p_value", Some(self.p)),
            ]),
            traffic: self.n as u64,
        });
    }
}

fn tell_roots(service: &str, [baseline, candidate]: &[Rooted; 2], findings: &mut Findings) {
    let Some(found) = greater([&baseline.incoming, &candidate.incoming]) else { return };
    let message = format!(
        "{:.1} % of the requests that come into {service} have no parent in the candidate, {:.1} % in the baseline.",
        found.candidate * 100.0,
        found.baseline * 100.0
    );
    let action = "Check that whoever calls it there passes its context on, and is instrumented.";
    found.tell(service, "roots", "trace context is lost", message, action, findings);
}

fn tell_parents(service: &str, [baseline, candidate]: &[Rooted; 2], findings: &mut Findings) {
    // Spans of one trace lose their parents together, and one window does not show how much.
    if baseline.children.len().min(candidate.children.len()) < 2 {
        return;
    }
    let Some(found) = greater([&baseline.children, &candidate.children]) else { return };
    let message = format!(
        "Of the spans of {service} that name a parent, {:.1} % name one that never came in the candidate, {:.1} % in the \
         baseline.",
        found.candidate * 100.0,
        found.baseline * 100.0
    );
    let action = "Look there for lost or late spans, sampling that splits traces, a proxy or queue that replaces their context, \
                  and a caller that is not exported.";
    found.tell(service, "parents", "parents are missing", message, action, findings);
}
