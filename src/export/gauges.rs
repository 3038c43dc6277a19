//! Reports → families of gauges: every number of a verdict that is worth a time series, named and labelled once.
//!
//! A [`Report`] flows in, [`Family`]s flow out in a fixed order, each with its name, unit and points. Values are
//! finite: what is unbounded or unknown has no point. Names, units and attributes are a contract.

use crate::judge::verdict::{AspectResult, OperationResult, ServiceResult};
use crate::judge::{Aspect, Level, Report, Verdict};

/// The longest attribute value that is emitted, in bytes; names beyond it are cut.
const ATTRIBUTE_BYTES_MOST: usize = 1024;

/// One gauge metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// The metric's name, e.g. `parity.score`.
    pub name: &'static str,
    /// UCUM.
    pub unit: &'static str,
    /// One sentence.
    pub description: &'static str,
    /// Its points, in the order of the reports.
    pub points: Vec<Point>,
}

/// One point of a gauge.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Which of the reports given it came from; that report's window dates it.
    pub report: usize,
    /// Attributes, in the order in which they are emitted.
    pub attributes: Attributes,
    /// The value.
    pub value: Number,
}

/// The value of a point: finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A count, or a state as 0 and 1.
    Int(i64),
    /// A measure.
    Double(f64),
}

/// Attribute keys with their values.
pub type Attributes = Vec<(&'static str, String)>;

/// Every family, in a fixed order; families without points are left out.
pub fn families(reports: &[&Report]) -> Vec<Family> {
    let mut all = Families::default();
    for (index, report) in reports.iter().enumerate() {
        all.report(index, report);
    }
    all.finish()
}

/// `parity.comparison`, `parity.baseline` and `parity.candidate`: on everything that isotel emits of a comparison.
pub fn comparison_attributes(comparison: &str, baseline: &str, candidate: &str) -> Attributes {
    let mut attributes = Attributes::new();
    push(&mut attributes, "parity.comparison", comparison);
    push(&mut attributes, "parity.baseline", baseline);
    push(&mut attributes, "parity.candidate", candidate);
    attributes
}

/// `service.name` and, where the report's service carries one in front of a slash, `service.namespace`.
pub fn push_service(attributes: &mut Attributes, service: &str) {
    let (namespace, name) = service.split_once('/').unwrap_or(("", service));
    push(attributes, "service.name", name);
    if !namespace.is_empty() {
        push(attributes, "service.namespace", namespace);
    }
}

/// Adds an attribute, cut at a character where it is too long.
pub fn push(attributes: &mut Attributes, key: &'static str, value: &str) {
    let mut end = value.len().min(ATTRIBUTE_BYTES_MOST);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    attributes.push((key, value.get(..end).unwrap_or_default().to_owned()));
}

/// The order of [`Families::all`].
#[derive(Clone, Copy)]
enum Name {
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
}

/// Name, unit, description, in the order of [`Name`].
const TABLE: [(&str, &str, &str); 10] = [
    ("parity.score", "1", "How alike baseline and candidate are, from 0 to 1."),
    ("parity.verdict", "1", "1 for the state that holds, 0 for the others."),
    ("parity.latency.ks.statistic", "1", "Two-sample Kolmogorov-Smirnov statistic of the durations."),
    ("parity.latency.ks.p_value", "1", "P-value of the Kolmogorov-Smirnov test on effective sizes."),
    ("parity.latency.quantile.ratio", "1", "Candidate's quantile over the baseline's, with its interval."),
    ("parity.errors.rate.delta", "1", "Candidate's error rate less the baseline's, with its interval."),
    ("parity.coverage.ratio", "1", "Share of the baseline's telemetry that the candidate has."),
    (
        "parity.coverage.missing",
        "{signal}",
        "Telemetry of the baseline that the candidate lacks, what waivers accept aside.",
    ),
    ("parity.facts.mismatches", "{fact}", "Facts whose rule is broken, those that waivers accept aside."),
    ("parity.findings", "{finding}", "Findings that are not waived, by level."),
];

struct Families {
    all: Vec<Family>,
    report: usize,
}

impl Default for Families {
    fn default() -> Self {
        let family = |(name, unit, description)| Family { name, unit, description, points: Vec::new() };
        Families { all: TABLE.into_iter().map(family).collect(), report: 0 }
    }
}

impl Families {
    fn finish(self) -> Vec<Family> {
        self.all.into_iter().filter(|family| !family.points.is_empty()).collect()
    }

    fn report(&mut self, index: usize, report: &Report) {
        self.report = index;
        let base = comparison_attributes(
            &report.comparison,
            &report.baseline.environment,
            &report.candidate.environment,
        );
        self.judged(&base, AspectResult { verdict: report.verdict, score: report.score });
        for (aspect, result) in &report.aspects {
            self.judged(&with(&base, "parity.aspect", aspect.as_str()), *result);
        }
        for level in [Level::Info, Level::Warning, Level::Critical] {
            let n = report.findings.iter().filter(|f| f.level == level && f.waived_by.is_none()).count();
            self.count(Name::Findings, with(&base, "parity.finding.level", level.as_str()), n as u64);
        }
        for service in &report.services {
            let mut attributes = base.clone();
            push_service(&mut attributes, &service.service);
            self.service(&attributes, service);
        }
    }

    fn service(&mut self, base: &Attributes, service: &ServiceResult) {
        self.judged(base, AspectResult { verdict: service.verdict, score: service.score });
        let presence = with(base, "parity.aspect", Aspect::Presence.as_str());
        if service.coverage.expected > 0 {
            self.double(Name::CoverageRatio, presence.clone(), Some(service.coverage.counted()));
        }
        let there = service.coverage.present + service.coverage.accepted;
        let missing = service.coverage.expected.saturating_sub(there);
        self.count(Name::CoverageMissing, presence, missing);
        let mismatches = service.facts.iter().filter(|fact| fact.broken && !fact.accepted).count();
        self.count(
            Name::FactsMismatches,
            with(base, "parity.aspect", Aspect::Facts.as_str()),
            mismatches as u64,
        );
        for value in service.values.iter().filter(|value| value.decides) {
            let mut attributes = with(base, "parity.aspect", Aspect::Value.as_str());
            push(&mut attributes, "parity.metric", &value.metric);
            push(&mut attributes, "parity.statistic", &value.statistic);
            if let Some(per) = &value.per {
                push(&mut attributes, "parity.per", per);
            }
            self.judged(
                &attributes,
                AspectResult { verdict: value.counted(), score: score_of(value.counted()) },
            );
        }
        for operation in &service.operations {
            let mut attributes = base.clone();
            push(&mut attributes, "parity.operation", &operation.operation);
            push(&mut attributes, "span.kind", &operation.kind);
            self.operation(&attributes, operation);
        }
    }

    fn operation(&mut self, base: &Attributes, op: &OperationResult) {
        self.judged(base, AspectResult { verdict: op.verdict, score: op.score });
        let latency = with(base, "parity.aspect", Aspect::Latency.as_str());
        if let Some(ks) = op.latency.ks {
            self.double(Name::KsStatistic, latency.clone(), Some(ks.d));
            self.double(Name::KsPValue, latency.clone(), Some(ks.p_value));
        }
        for quantile in &op.latency.quantiles {
            if quantile.ratio.is_some() {
                let attributes = with(&latency, "quantile", &quantile.q.to_string());
                let ends = [quantile.ratio, quantile.ratio_low, quantile.ratio_high];
                self.bounds(Name::QuantileRatio, &attributes, ends);
            }
        }
        if op.errors.delta.is_some() {
            let attributes = with(base, "parity.aspect", Aspect::Errors.as_str());
            let ends = [op.errors.delta, op.errors.delta_low, op.errors.delta_high];
            self.bounds(Name::ErrorsDelta, &attributes, ends);
        }
    }

    /// Score and state of anything that is judged. Without data there is a state and no score: a number would be
    /// read as a judgement.
    fn judged(&mut self, attributes: &Attributes, result: AspectResult) {
        if result.verdict != Verdict::NoData {
            self.double(Name::Score, attributes.clone(), Some((result.score / 100.0).clamp(0.0, 1.0)));
        }
        for state in Verdict::ALL {
            let point = with(attributes, "parity.verdict.state", state.as_str());
            self.count(Name::Verdict, point, u64::from(state == result.verdict));
        }
    }

    fn bounds(&mut self, name: Name, attributes: &Attributes, ends: [Option<f64>; 3]) {
        for (bound, value) in ["estimate", "low", "high"].into_iter().zip(ends) {
            self.double(name, with(attributes, "bound", bound), value);
        }
    }

    fn double(&mut self, name: Name, attributes: Attributes, value: Option<f64>) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            self.push(name, attributes, Number::Double(value));
        }
    }

    fn count(&mut self, name: Name, attributes: Attributes, n: u64) {
        self.push(name, attributes, Number::Int(i64::try_from(n).unwrap_or(i64::MAX)));
    }

    fn push(&mut self, name: Name, attributes: Attributes, value: Number) {
        let report = self.report;
        if let Some(family) = self.all.get_mut(name as usize) {
            family.points.push(Point { report, attributes, value });
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

/// A copy with one attribute more. Values are our own words or come through [`push`].
fn with(attributes: &Attributes, key: &'static str, value: &str) -> Attributes {
    let mut more = attributes.clone();
    push(&mut more, key, value);
    more
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
