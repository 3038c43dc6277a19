//! Reports → families of gauges: every number of a verdict that is worth a time series, named and labelled once.
//!
//! A [`Report`] flows in, the points of each of the [`FAMILIES`] flow out in a fixed order, one at a time. Values are
//! finite: what is unbounded or unknown has no point. Names, units and attributes are a contract.

use crate::judge::slo::SloResult;
use crate::judge::verdict::{AspectResult, Figure, OperationResult, ServiceResult};
use crate::judge::{Aspect, Level, Report, Verdict};
use crate::report::span;
use std::borrow::Cow;

/// The longest attribute value that is emitted, in bytes; names beyond it are cut.
const ATTRIBUTE_BYTES_MOST: usize = 1024;

/// One gauge metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    which: Which,
    /// The metric's name, e.g. `parity.score`.
    pub name: &'static str,
    /// UCUM.
    pub unit: &'static str,
    /// One sentence.
    pub description: &'static str,
}

/// The value of a point: finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A count, or a state as 0 and 1.
    Int(i64),
    /// A measure.
    Double(f64),
}

/// Attribute keys with their values, in the order in which they are emitted.
pub type Attributes<'r> = Vec<(&'static str, Cow<'r, str>)>;

/// `parity.comparison`, `parity.baseline` and `parity.candidate`: on everything that isotel emits of a comparison.
pub fn comparison_attributes<'r>(
    comparison: &'r str,
    baseline: &'r str,
    candidate: &'r str,
) -> Attributes<'r> {
    let mut attributes = Attributes::new();
    push(&mut attributes, "parity.comparison", comparison);
    push(&mut attributes, "parity.baseline", baseline);
    push(&mut attributes, "parity.candidate", candidate);
    attributes
}

/// `service.name` and, where the report's service carries one in front of a slash, `service.namespace`.
pub fn push_service<'r>(attributes: &mut Attributes<'r>, service: &'r str) {
    let (namespace, name) = service.split_once('/').unwrap_or(("", service));
    push(attributes, "service.name", name);
    if !namespace.is_empty() {
        push(attributes, "service.namespace", namespace);
    }
}

/// Adds an attribute, cut at a character where it is too long.
pub fn push<'r>(attributes: &mut Attributes<'r>, key: &'static str, value: impl Into<Cow<'r, str>>) {
    let value = match value.into() {
        short if short.len() <= ATTRIBUTE_BYTES_MOST => short,
        Cow::Borrowed(long) => Cow::Borrowed(cut(long)),
        Cow::Owned(long) => Cow::Owned(cut(&long).to_owned()),
    };
    attributes.push((key, value));
}

fn cut(long: &str) -> &str {
    let end = (0..=ATTRIBUTE_BYTES_MOST).rev().find(|end| long.is_char_boundary(*end));
    long.get(..end.unwrap_or(0)).unwrap_or_default()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Score,
    Verdict,
    KsStatistic,
    KsPValue,
    QuantileRatio,
    ErrorsDelta,
    CoverageRatio,
    CoverageMissing,
    FactsMismatches,
    Findings,
    SloTarget,
    SloLooks,
    SloRemaining,
    SloBurn,
}

const fn family(which: Which, name: &'static str, unit: &'static str, description: &'static str) -> Family {
    Family { which, name, unit, description }
}

/// Every family, in the order in which they are emitted.
pub const FAMILIES: [Family; 14] = [
    family(Which::Score, "parity.score", "1", "How alike baseline and candidate are, from 0 to 1."),
    family(Which::Verdict, "parity.verdict", "1", "1 for the state that holds, 0 for the others."),
    family(
        Which::KsStatistic,
        "parity.latency.ks.statistic",
        "1",
        "Two-sample Kolmogorov-Smirnov statistic of the durations.",
    ),
    family(
        Which::KsPValue,
        "parity.latency.ks.p_value",
        "1",
        "P-value of the Kolmogorov-Smirnov test on effective sizes.",
    ),
    family(
        Which::QuantileRatio,
        "parity.latency.quantile.ratio",
        "1",
        "Candidate's quantile over the baseline's, with its interval.",
    ),
    family(
        Which::ErrorsDelta,
        "parity.errors.rate.delta",
        "1",
        "Candidate's error rate less the baseline's, with its interval.",
    ),
    family(
        Which::CoverageRatio,
        "parity.coverage.ratio",
        "1",
        "Share of the baseline's telemetry that the candidate has.",
    ),
    family(
        Which::CoverageMissing,
        "parity.coverage.missing",
        "{signal}",
        "Telemetry of the baseline that the candidate lacks, what waivers accept aside.",
    ),
    family(
        Which::FactsMismatches,
        "parity.facts.mismatches",
        "{fact}",
        "Facts whose rule is broken, those that waivers accept aside.",
    ),
    family(Which::Findings, "parity.findings", "{finding}", "Findings that are not waived, by level."),
    family(
        Which::SloTarget,
        "parity.slo.target",
        "1",
        "The share of judged looks that must not be divergent.",
    ),
    family(
        Which::SloLooks,
        "parity.slo.looks",
        "{look}",
        "Judged looks in the objective's period, by what they came to.",
    ),
    family(
        Which::SloRemaining,
        "parity.slo.budget.remaining",
        "1",
        "The share of the error budget that is left, below 0 when it is overspent.",
    ),
    family(
        Which::SloBurn,
        "parity.slo.burn_rate",
        "1",
        "How many times as fast as it may be the error budget is spent, by window.",
    ),
];

impl Family {
    /// Tells every point of this family in a report, in a fixed order. One point exists at a time: those of ten thousand
    /// operations take more memory than the evidence.
    pub fn points<'r>(&self, report: &'r Report, tell: &mut dyn FnMut(&Attributes<'r>, Number)) {
        self.of_comparison(report, tell);
        report.services.iter().for_each(|service| self.of_service(report, service, tell));
    }

    /// The points of the comparison as a whole.
    pub fn of_comparison<'r>(&self, report: &'r Report, tell: &mut dyn FnMut(&Attributes<'r>, Number)) {
        self.walk(report, tell).comparison(report);
    }

    /// The points of one service of the report.
    pub fn of_service<'r>(
        &self,
        report: &'r Report,
        service: &'r ServiceResult,
        tell: &mut dyn FnMut(&Attributes<'r>, Number),
    ) {
        let mut walk = self.walk(report, tell);
        push_service(&mut walk.attributes, &service.service);
        walk.service(service);
    }

    fn walk<'r, 't>(
        &self,
        report: &'r Report,
        tell: &'t mut dyn FnMut(&Attributes<'r>, Number),
    ) -> Walk<'r, 't> {
        let sides = (&report.baseline.environment, &report.candidate.environment);
        let attributes = comparison_attributes(&report.comparison, sides.0, sides.1);
        Walk { wanted: self.which, attributes, tell }
    }
}

/// A report on the way to the points of one family. The attributes are a stack.
struct Walk<'r, 't> {
    wanted: Which,
    attributes: Attributes<'r>,
    tell: &'t mut dyn FnMut(&Attributes<'r>, Number),
}

impl<'r> Walk<'r, '_> {
    /// Goes on with one attribute more.
    fn with(&mut self, key: &'static str, value: impl Into<Cow<'r, str>>, go_on: impl FnOnce(&mut Self)) {
        let before = self.attributes.len();
        push(&mut self.attributes, key, value);
        go_on(self);
        self.attributes.truncate(before);
    }

    fn aspect(&mut self, aspect: Aspect, go_on: impl FnOnce(&mut Self)) {
        self.with("parity.aspect", aspect.as_str(), go_on);
    }

    fn comparison(&mut self, report: &'r Report) {
        self.judged(AspectResult { verdict: report.verdict, score: report.score });
        for (aspect, result) in &report.aspects {
            self.aspect(*aspect, |walk| walk.judged(*result));
        }
        for level in [Level::Info, Level::Warning, Level::Critical] {
            let n = report.findings.iter().filter(|f| f.level == level && f.waived_by.is_none()).count();
            self.with("parity.finding.level", level.as_str(), |walk| walk.count(Which::Findings, n as u64));
        }
        report.slos.iter().for_each(|slo| self.slo(slo));
    }

    fn slo(&mut self, slo: &'r SloResult) {
        let before = self.attributes.len();
        push(&mut self.attributes, "parity.slo", &slo.slo);
        if let Some(service) = &slo.service {
            push_service(&mut self.attributes, service);
        }
        if let Some(aspect) = slo.aspect {
            push(&mut self.attributes, "parity.aspect", aspect.as_str());
        }
        self.double(Which::SloTarget, Some(slo.target));
        for (look, n) in [("good", slo.good), ("bad", slo.bad)] {
            self.with("parity.look", look, |walk| walk.count(Which::SloLooks, n));
        }
        self.double(Which::SloRemaining, slo.remaining);
        for burn in &slo.burn {
            self.with("parity.window", span(burn.window_s), |walk| walk.double(Which::SloBurn, burn.rate));
        }
        self.attributes.truncate(before);
    }

    fn service(&mut self, service: &'r ServiceResult) {
        self.judged(AspectResult { verdict: service.verdict, score: service.score });
        let there = service.coverage.present + service.coverage.accepted;
        let missing = service.coverage.expected.saturating_sub(there);
        self.aspect(Aspect::Presence, |walk| {
            if service.coverage.expected > 0 {
                walk.double(Which::CoverageRatio, Some(service.coverage.counted()));
            }
            walk.count(Which::CoverageMissing, missing);
        });
        let mismatches = service.facts.iter().filter(|fact| fact.broken && !fact.accepted).count();
        self.aspect(Aspect::Facts, |walk| walk.count(Which::FactsMismatches, mismatches as u64));
        for value in service.values.iter().filter(|value| value.decides) {
            let before = self.attributes.len();
            push(&mut self.attributes, "parity.aspect", Aspect::Value.as_str());
            push(&mut self.attributes, "parity.metric", &value.metric);
            push(&mut self.attributes, "parity.statistic", &value.statistic);
            if let Some(per) = &value.per {
                push(&mut self.attributes, "parity.per", per);
            }
            self.judged(AspectResult { verdict: value.counted(), score: score_of(value.counted()) });
            self.attributes.truncate(before);
        }
        for operation in &service.operations {
            self.with("parity.operation", &*operation.operation, |walk| {
                walk.with("span.kind", &*operation.kind, |walk| walk.operation(operation));
            });
        }
    }

    fn operation(&mut self, op: &'r OperationResult) {
        self.judged(AspectResult { verdict: op.verdict, score: op.score });
        self.aspect(Aspect::Latency, |walk| {
            if let Some(ks) = op.latency.ks {
                walk.double(Which::KsStatistic, Some(ks.d));
                walk.double(Which::KsPValue, Some(ks.p_value));
            }
            for quantile in op.latency.quantiles.iter().filter(|quantile| quantile.ratio.get().is_some()) {
                let ends = [quantile.ratio, quantile.ratio_low, quantile.ratio_high];
                walk.with("quantile", quantile.q.to_string(), |walk| {
                    walk.bounds(Which::QuantileRatio, ends);
                });
            }
        });
        if op.errors.delta.get().is_some() {
            let ends = [op.errors.delta, op.errors.delta_low, op.errors.delta_high];
            self.aspect(Aspect::Errors, |walk| walk.bounds(Which::ErrorsDelta, ends));
        }
    }

    /// Score and state of anything that is judged. Without data there is a state and no score: a number would be
    /// read as a judgement.
    fn judged(&mut self, result: AspectResult) {
        if result.verdict != Verdict::NoData {
            self.double(Which::Score, Some((result.score / 100.0).clamp(0.0, 1.0)));
        }
        for state in Verdict::ALL {
            self.with("parity.verdict.state", state.as_str(), |walk| {
                walk.count(Which::Verdict, u64::from(state == result.verdict));
            });
        }
    }

    fn bounds(&mut self, which: Which, ends: [Figure; 3]) {
        for (bound, value) in ["estimate", "low", "high"].into_iter().zip(ends) {
            self.with("bound", bound, |walk| walk.double(which, value.get()));
        }
    }

    fn double(&mut self, which: Which, value: Option<f64>) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            self.number(which, Number::Double(value));
        }
    }

    fn count(&mut self, which: Which, n: u64) {
        self.number(which, Number::Int(i64::try_from(n).unwrap_or(i64::MAX)));
    }

    fn number(&mut self, which: Which, value: Number) {
        if which == self.wanted {
            (self.tell)(&self.attributes, value);
        }
    }
}

/// 0 to 100, as an operation's score.
fn score_of(verdict: Verdict) -> f64 {
    match verdict {
        Verdict::Parity => 100.0,
        Verdict::Inconclusive | Verdict::NoData => 50.0,
        Verdict::Divergent => 0.0,
    }
}

/// The value that a point of OTLP or of Prometheus carries, as text without an exponent where that is short.
impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Number::Int(n) => write!(f, "{n}"),
            Number::Double(x) if *x != 0.0 && x.abs() < 1e-5 => write!(f, "{x:e}"),
            Number::Double(x) => write!(f, "{x}"),
        }
    }
}
