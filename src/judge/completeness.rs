//! Completeness: does a service send all three signals, and do its traces hang together?
//!
//! A signal that the baseline sends and the candidate does not send at all is one finding, and not one for each of its items.
//! *Context.* A request that comes in without a parent begins a trace. Where another share of them does so, whoever calls the
//! service does not pass its context on there, or sends no spans. *Statistic.* The difference of the shares, with windows as
//! clusters (Miettinen & Nurminen 1985 on effective counts), beyond five percentage points. Looks are not counted, so the
//! p-value has to be far below 5 %. It decides nothing.

use super::compare::Context;
use super::coverage::Presence;
use super::findings::{Draft, Findings, numbers};
use super::verdict::{Aspect, CompletenessResult, Level, SideCompleteness};
use crate::catalog::Traffic;
use crate::model::{EnvironmentId, ItemKind, ServiceKey, SpanKind};
use crate::stats::design_effect::{self, ClusterCount};
use crate::stats::normal;
use crate::stats::proportions::{Rate, score};
use crate::window::SealedWindow;
use std::collections::BTreeMap;

/// Another share of roots than that is another structure.
const MARGIN: f64 = 0.05;
/// The p-value at which it is no chance.
const SURE: f64 = 1e-6;
/// Requests a side below which nothing is told.
const REQUESTS_MIN: f64 = 50.0;

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

/// Spans without a parent, by service.
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
        for ((_, series), cell) in window.cells.iter().filter(|((env, _), _)| *env == environment) {
            let series = context.names.series_key(*series);
            let parts = || [Some(cell), cell.warming.as_deref()].into_iter().flatten();
            let (spans, roots) = parts().fold((0, 0), |(n, roots), c| (n + c.latency.n(), roots + c.roots));
            let rooted = &mut self.0.entry(series.service.clone()).or_default()[side];
            rooted.spans += spans;
            rooted.roots += roots;
            rooted.weight += parts().map(|cell| cell.latency.weight()).sum::<u64>();
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
        }
        let side = |at: usize, environment: EnvironmentId| {
            let traffic = presence.traffic(service, environment);
            let (spans, roots, weight) =
                sides.map_or((0, 0, 0), |sides| (sides[at].spans, sides[at].roots, sides[at].weight));
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
                kept_share: (spans > 0).then(|| spans as f64 / weight.max(1) as f64),
            })
        };
        CompletenessResult { baseline: side(0, baseline), candidate: side(1, candidate) }
    }
}

fn tell_roots(service: &str, sides: &[Rooted; 2], findings: &mut Findings) {
    let rate = |side: &Rooted| {
        let (n, roots) = side.incoming.iter().fold((0.0, 0.0), |(n, x), c| (n + c.n, x + c.at_or_under));
        let effect = design_effect::estimate(&side.incoming);
        let deff = effect.map_or(1.0, |effect| effect.deff);
        (n, Rate { errors: roots / deff, n: n / deff }, effect.map(|effect| effect.dof))
    };
    let ((n, base, base_dof), (m, cand, cand_dof)) = (rate(&sides[0]), rate(&sides[1]));
    if n.min(m) < REQUESTS_MIN {
        return;
    }
    let dof = design_effect::satterthwaite([(1.0 / base.n, base_dof), (1.0 / cand.n, cand_dof)]);
    let p = normal::upper_tail(score(base, cand, MARGIN), dof);
    if p > SURE {
        return;
    }
    findings.add(Draft {
        level: Level::Warning,
        aspect: Aspect::Structure,
        service: Some(service),
        operation: None,
        subject: "roots",
        title: "trace context is lost".to_owned(),
        message: format!(
            "{:.1} % of the requests that come into {service} have no parent in the candidate, {:.1} % in the baseline.",
            cand.share() * 100.0,
            base.share() * 100.0
        ),
        action: "Check that whoever calls it there passes its context on, and is instrumented.",
        evidence: numbers([
            ("baseline_share", Some(base.share())),
            ("candidate_share", Some(cand.share())),
            ("p_value", Some(p)),
        ]),
        traffic: m as u64,
    });
}
