//! What people decide: comparisons, tolerances, waivers.

use super::errors::ERRORS_FLOOR;
use super::facts::policy::FactPolicy;
use super::maintenance::Maintenance;
use super::slo::Slo;
use super::verdict::{Aspect, Finding, Level, Side};
use crate::catalog::Catalog;
use crate::model::environment::glob;
use crate::model::values;
use crate::model::{Redaction, SplitRule, TextRule, ValueKey, ValueRules};
use crate::stats::Distribution;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A named pair of environments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Its name.
    pub name: String,
    /// The environment that is the reference.
    pub baseline: String,
    /// The environment that is judged.
    pub candidate: String,
    /// Services to compare, `*` for any run of characters; empty for all.
    pub services: Vec<String>,
    /// How far back in time the baseline is looked at, nanoseconds.
    pub offset_ns: u64,
    /// The share of both sides' requests that the candidate is meant to get, in (0, 1); `None`: as many as the baseline.
    pub traffic: Option<f64>,
}

impl Comparison {
    /// Whether a service belongs to the comparison; matched with and without its namespace.
    pub fn includes(&self, service: &crate::model::ServiceKey) -> bool {
        let full = service.to_string();
        self.services.is_empty()
            || self.services.iter().any(|pattern| glob(pattern, &service.name) || glob(pattern, &full))
    }
}

/// A floor never becomes a wider relative tolerance: a thousandfold is no parity, however short the calls.
const TOLERANCE_MOST: f64 = 10.0;

/// How much difference is accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Tolerances {
    /// Quantiles to compare, rising, each with its accepted relative difference (0.15 is ±15 %).
    pub quantiles: Vec<(f64, f64)>,
    /// Accepted difference at each quantile, seconds; the wider of the two holds.
    pub floor_s: f64,
    /// The quantiles that parity must be shown at.
    pub primary: Vec<f64>,
    /// Whether only a slower candidate is divergent.
    pub worse_only: bool,
    /// Whether parity also asks that the whole distributions are shown to lie within [`Tolerances::d_min`] of each other.
    pub require_distribution: bool,
    /// Accepted difference of error rates, relative to the baseline's.
    pub errors_relative: f64,
    /// Accepted difference of error rates, absolute; the greater of the two holds.
    pub errors_floor: f64,
    /// The share of expected telemetry that must be there.
    pub coverage: f64,
    /// Accepted difference of the share of calls to a dependency that succeed, absolute.
    pub dependency_success: f64,
    /// Accepted relative difference of requests per second; `None`: volume is not judged.
    pub volume: Option<f64>,
    /// Requests a side below which nothing is decided.
    pub min_requests: u64,
    /// The probability of a false divergence that is accepted.
    pub alpha: f64,
    /// The least D at which the Kolmogorov-Smirnov guard speaks, and the most that whole distributions may be apart.
    pub d_min: f64,
}

impl Default for Tolerances {
    fn default() -> Self {
        Tolerances {
            quantiles: [0.5, 0.9, 0.95, 0.99].map(|q| (q, 0.15)).to_vec(),
            // About what a scheduler and a network add: 15 % of a call of 100 µs is nothing that anybody can hold.
            floor_s: 0.000_5,
            primary: vec![0.5, 0.95],
            worse_only: false,
            require_distribution: false,
            errors_relative: 0.10,
            errors_floor: ERRORS_FLOOR,
            coverage: 0.95,
            dependency_success: 0.05,
            volume: None,
            min_requests: 50,
            alpha: 0.05,
            d_min: 0.10,
        }
    }
}

impl Tolerances {
    /// The accepted relative difference at a quantile.
    pub fn at(&self, q: f64) -> Option<f64> {
        self.quantiles.iter().find(|(known, _)| *known == q).map(|(_, tolerance)| *tolerance)
    }

    /// The same with the floor as a relative difference: what holds for a series whose baseline has these durations.
    pub fn beside(&self, baseline: &Distribution) -> Tolerances {
        let wider = |(q, tolerance): &(f64, f64)| {
            let seconds = baseline.quantile(*q).map_or(0.0, |quantile| quantile.value);
            (*q, self.or_floor(*tolerance, seconds))
        };
        Tolerances { quantiles: self.quantiles.iter().map(wider).collect(), ..self.clone() }
    }

    /// A relative tolerance or the floor, whichever is wider, where the baseline takes so many seconds.
    pub fn or_floor(&self, tolerance: f64, seconds: f64) -> f64 {
        let floor = if seconds > 0.0 { self.floor_s / seconds } else { 0.0 };
        tolerance.max(floor).min(TOLERANCE_MOST)
    }

    /// The accepted difference of error rates, absolute, beside the baseline's rate.
    pub fn errors(&self, baseline_rate: f64) -> f64 {
        (self.errors_relative * baseline_rate).max(self.errors_floor)
    }
}

/// Other tolerances for some series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Override {
    /// Which services, `*` for any run of characters.
    pub service: String,
    /// Which of their operations; `None` for all.
    pub operation: Option<String>,
    /// Replaces [`Tolerances::quantiles`]' tolerances.
    pub quantiles: Vec<(f64, f64)>,
    /// Replaces [`Tolerances::floor_s`].
    pub floor_s: Option<f64>,
    /// Replaces [`Tolerances::worse_only`].
    pub worse_only: Option<bool>,
    /// Replaces [`Tolerances::errors_relative`].
    pub errors_relative: Option<f64>,
    /// Replaces [`Tolerances::errors_floor`].
    pub errors_floor: Option<f64>,
    /// Replaces [`Tolerances::coverage`].
    pub coverage: Option<f64>,
    /// Replaces [`Tolerances::volume`].
    pub volume: Option<f64>,
    /// Replaces [`Tolerances::min_requests`].
    pub min_requests: Option<u64>,
    /// Whether the release must not go on unless these series are at parity.
    pub critical: Option<bool>,
    /// How much these series count in the score.
    pub weight: Option<f64>,
    /// Who owns these series.
    pub owner: Option<String>,
}

/// A known and accepted difference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiver {
    /// Which services, `*` for any run of characters; `None` for all.
    pub service: Option<String>,
    /// Which operations; `None` for all.
    pub operation: Option<String>,
    /// Which aspect; `None` for all.
    pub aspect: Option<String>,
    /// Which finding, by id; `None` for all.
    pub finding: Option<String>,
    /// Which metric, attribute, fact or other item; `None` for all.
    pub item: Option<String>,
    /// In which comparison; `None` in all.
    pub comparison: Option<String>,
    /// Why it is accepted.
    pub reason: String,
    /// Who accepts it.
    pub owner: String,
    /// Until when, nanoseconds since the epoch.
    pub expires_ns: u64,
}

impl Waiver {
    /// Whether it is about this finding of a comparison, expired or not.
    pub fn matches(&self, finding: &Finding, comparison: &str) -> bool {
        let matches = |pattern: &Option<String>, text: &str| pattern.as_deref().is_none_or(|p| glob(p, text));
        let service = finding.service.as_deref().unwrap_or("");
        let name = service.rsplit('/').next().unwrap_or(service);
        (matches(&self.service, service) || matches(&self.service, name))
            && matches(&self.operation, finding.operation.as_deref().unwrap_or(""))
            && matches(&self.aspect, finding.aspect.as_str())
            && matches(&self.finding, &finding.id)
            && matches(&self.item, finding.item.as_deref().unwrap_or(""))
            && matches(&self.comparison, comparison)
    }

    /// The day on which it ends, in UTC.
    pub fn expiry_day(&self) -> String {
        let time = jiff::Timestamp::from_nanosecond(i128::from(self.expires_ns));
        time.map_or_else(|_| "never".to_owned(), |time| time.strftime("%Y-%m-%d").to_string())
    }
}

/// What it matches, in words.
impl std::fmt::Display for Waiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            ("comparison", &self.comparison),
            ("service", &self.service),
            ("operation", &self.operation),
            ("aspect", &self.aspect),
            ("item", &self.item),
            ("finding", &self.finding),
        ];
        let words: Vec<String> = parts
            .into_iter()
            .filter_map(|(name, pattern)| Some(format!("{name} {}", pattern.as_ref()?)))
            .collect();
        f.write_str(if words.is_empty() { "everything" } else { "" })?;
        f.write_str(&words.join(", "))
    }
}

/// What is compared of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Statistic {
    /// The mean of its values.
    Mean,
    /// The median of its values in a window.
    P50,
    /// The 95 % quantile of its values in a window.
    P95,
    /// What it grows by, or how many values it counts, per second and over all instances.
    Rate,
    /// The last value in a window, mean over the instances.
    Last,
    /// The greatest value in a window.
    Max,
}

impl Statistic {
    /// Every one.
    pub const ALL: [Statistic; 6] =
        [Statistic::Mean, Statistic::P50, Statistic::P95, Statistic::Rate, Statistic::Last, Statistic::Max];

    /// The word in the configuration, JSON and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Statistic::Mean => "mean",
            Statistic::P50 => "p50",
            Statistic::P95 => "p95",
            Statistic::Rate => "rate",
            Statistic::Last => "last",
            Statistic::Max => "max",
        }
    }
}

/// How a metric's values are compared.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueRule {
    /// Which metrics, `*` for any run of characters; of an equality on which metrics' points, `None` for all telemetry.
    pub metric: Option<String>,
    /// Which services; `None` for all.
    pub service: Option<String>,
    /// Accepted relative difference.
    pub tolerance: f64,
    /// Accepted difference, in the metric's unit; the wider of the two holds.
    pub floor: f64,
    /// Whether the values are divided by the service's incoming requests.
    pub per_request: bool,
    /// What is compared; `None` for what suits the instrument.
    pub statistic: Option<Statistic>,
    /// Attributes that tell values apart.
    pub by: Vec<String>,
    /// The level of its findings. At level info it decides nothing.
    pub severity: Level,
    /// The attribute whose values must be the same on both sides; the rule is about them and no numbers.
    pub equal: Option<String>,
}

impl ValueRule {
    /// Whether it is about this value.
    pub fn matches(&self, key: &ValueKey) -> bool {
        values::names_service(self.service.as_deref(), &key.service)
            && match (&self.equal, key.instrument) {
                (Some(attribute), crate::model::Instrument::Text) => *attribute == *key.metric,
                (None, crate::model::Instrument::Text) | (Some(_), _) => false,
                (None, _) => self.metric.as_deref().is_none_or(|pattern| glob(pattern, &key.metric)),
            }
    }

    /// Its name in sentences.
    pub fn name(&self) -> &str {
        self.equal.as_deref().or(self.metric.as_deref()).unwrap_or("*")
    }
}

/// Everything that people decide about judging.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// For all series.
    pub tolerances: Arc<Tolerances>,
    /// For some; later ones win.
    pub overrides: Vec<Override>,
    /// Accepted differences.
    pub waivers: Vec<Waiver>,
    /// How much of the time may be divergent.
    pub slos: Vec<Slo>,
    /// When what is seen is meant to be so.
    pub maintenance: Vec<Maintenance>,
    /// Metrics that decide.
    pub values: Vec<ValueRule>,
    /// What must hold of facts.
    pub facts: FactPolicy,
    /// Which values are not kept as they came.
    pub redaction: Redaction,
    /// What is known of environments, by name.
    pub environments: BTreeMap<String, Side>,
    /// Who owns comparisons, by name.
    pub comparison_owners: BTreeMap<String, String>,
    /// The telemetry that is expected, where people have said so.
    pub catalog: Option<Arc<Catalog>>,
}

/// What holds for one series.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesPolicy {
    /// Its tolerances: those for all series are there once.
    pub tolerances: Arc<Tolerances>,
    /// Whether the release must not go on unless it is at parity.
    pub critical: bool,
    /// How much it counts in the score.
    pub weight: f64,
}

impl Policy {
    /// Who should know of a finding: the service's owner, else that of the candidate, else that of the comparison.
    pub fn owner(&self, finding: &Finding, comparison: &Comparison) -> Option<String> {
        let operation = finding.operation.as_deref().unwrap_or("");
        let of_service = finding.service.as_ref().and_then(|service| {
            let matching = self.overrides.iter().rev().filter(|over| over.matches(service, operation));
            matching.filter_map(|over| over.owner.clone()).next()
        });
        let of_environment = || self.environments.get(&comparison.candidate)?.owner.clone();
        of_service.or_else(of_environment).or_else(|| self.comparison_owners.get(&comparison.name).cloned())
    }

    /// An environment with what is known of it.
    pub fn side(&self, environment: &str) -> Side {
        let known = self.environments.get(environment).cloned().unwrap_or_default();
        Side { environment: environment.to_owned(), ..known }
    }

    /// What has to be known of the metrics that decide where their points arrive.
    pub fn value_rules(&self) -> ValueRules {
        let numbers = self.values.iter().filter(|rule| rule.equal.is_none());
        let split = |rule: &ValueRule| SplitRule {
            metric: rule.metric.clone().unwrap_or_else(|| "*".to_owned()),
            service: rule.service.clone(),
            by: rule.by.clone().into(),
        };
        let text = |rule: &ValueRule| {
            let attribute = rule.equal.clone()?;
            Some(TextRule { attribute, metric: rule.metric.clone(), service: rule.service.clone() })
        };
        ValueRules {
            splits: numbers.map(split).collect(),
            texts: self.values.iter().filter_map(text).collect(),
        }
    }

    /// What holds for an operation of a service (`namespace/name`).
    pub fn of(&self, service: &str, operation: &str) -> SeriesPolicy {
        let mut policy = SeriesPolicy { tolerances: self.tolerances.clone(), critical: false, weight: 1.0 };
        for over in self.overrides.iter().filter(|over| over.matches(service, operation)) {
            over.apply(&mut policy);
        }
        policy
    }
}

/// Whether a pattern names a service (`namespace/name`), with its namespace or without.
pub fn names_service(pattern: &str, service: &str) -> bool {
    let name = service.rsplit('/').next().unwrap_or(service);
    glob(pattern, service) || glob(pattern, name)
}

impl Override {
    fn matches(&self, service: &str, operation: &str) -> bool {
        names_service(&self.service, service)
            && self.operation.as_deref().is_none_or(|pattern| glob(pattern, operation))
    }

    fn apply(&self, policy: &mut SeriesPolicy) {
        let t = Arc::make_mut(&mut policy.tolerances);
        for (q, tolerance) in &self.quantiles {
            match t.quantiles.iter_mut().find(|(known, _)| known == q) {
                Some((_, known)) => *known = *tolerance,
                None => t.quantiles.push((*q, *tolerance)),
            }
        }
        t.quantiles.sort_by(|a, b| a.0.total_cmp(&b.0));
        t.floor_s = self.floor_s.unwrap_or(t.floor_s);
        t.worse_only = self.worse_only.unwrap_or(t.worse_only);
        t.errors_relative = self.errors_relative.unwrap_or(t.errors_relative);
        t.errors_floor = self.errors_floor.unwrap_or(t.errors_floor);
        t.coverage = self.coverage.unwrap_or(t.coverage);
        t.volume = self.volume.or(t.volume);
        t.min_requests = self.min_requests.unwrap_or(t.min_requests);
        policy.critical = self.critical.unwrap_or(policy.critical);
        policy.weight = self.weight.unwrap_or(policy.weight);
    }
}

/// Aspects that count in a verdict without being asked for.
pub const JUDGED: [Aspect; 3] = [Aspect::Latency, Aspect::Errors, Aspect::Presence];
