//! What ordinary metrics are called, and which of their attributes tell values apart.

use super::environment::glob;
use super::{SeriesKey, ServiceKey, operation};
use crate::wire::semconv::Slot;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A value in this process: one metric of one service, or one part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ValueId(pub u32);

/// What a metric's numbers mean. Temporality is no part of it: a counter is the same counter however it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Instrument {
    /// Monotonic sums: how much was added.
    Counter,
    /// Non-monotonic sums that are sent as changes: how much was added or taken away.
    Change,
    /// Gauges and non-monotonic sums: how much there is.
    Level,
    /// Histograms, explicit or exponential: how single values are distributed.
    Histogram,
    /// Quantiles computed by the sender, with count and sum.
    Summary,
    /// Sizes of bodies, as spans of one operation state them.
    Size,
    /// Text of an attribute, compared for equality.
    Text,
}

impl Instrument {
    /// The word used in JSON and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Instrument::Counter => "counter",
            Instrument::Change => "change",
            Instrument::Level => "gauge",
            Instrument::Histogram => "histogram",
            Instrument::Summary => "summary",
            Instrument::Size => "size",
            Instrument::Text => "text",
        }
    }
}

/// What is compared across environments as one value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ValueKey {
    /// The service that sends it.
    pub service: ServiceKey,
    /// The metric's name; of a text or size the attribute's key.
    pub metric: Arc<str>,
    /// `key=value` of the attributes that tell it apart, joined by commas; empty without. Of a size the operation with its kind.
    pub split: Arc<str>,
    /// UCUM.
    pub unit: Arc<str>,
    /// What its numbers mean.
    pub instrument: Instrument,
}

impl ValueKey {
    /// Of a size: the operation whose spans state it.
    pub fn operation(&self) -> Option<&str> {
        let of_size = (self.instrument == Instrument::Size).then_some(&*self.split);
        of_size.map(|split| split.rsplit_once(" (").map_or(split, |(operation, _)| operation))
    }

    /// Metric and split as people write them: `queue.depth{queue=orders}`.
    pub fn name(&self) -> String {
        match self.split.is_empty() {
            true => self.metric.to_string(),
            false => format!("{}{{{}}}", self.metric, self.split),
        }
    }
}

/// The attribute that states the size of a body, by its current name; `None` for all others.
pub fn size_name(slot: Slot) -> Option<&'static str> {
    match slot {
        Slot::HttpRequestBodySize => Some("http.request.body.size"),
        Slot::HttpResponseBodySize => Some("http.response.body.size"),
        Slot::MessagingBodySize => Some("messaging.message.body.size"),
        _ => None,
    }
}

/// How the sizes of an operation's bodies are told apart from those of others.
pub(super) fn size_split(series: &SeriesKey) -> String {
    format!("{} ({})", operation::warm(&series.operation), series.kind.as_str())
}

/// What has to be known of the configuration where data points arrive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValueRules {
    /// The first that matches a metric tells its points apart.
    pub splits: Vec<SplitRule>,
    /// Attributes whose values are kept, hashed.
    pub texts: Vec<TextRule>,
}

/// A metric whose points are told apart by attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitRule {
    /// Which metrics, `*` for any run of characters.
    pub metric: String,
    /// Which services; `None` for all.
    pub service: Option<String>,
    /// The attributes, in the order in which they are named.
    pub by: Arc<[String]>,
}

/// An attribute whose values are compared for equality.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextRule {
    /// The attribute's key.
    pub attribute: String,
    /// Only on points of these metrics; `None` for all telemetry.
    pub metric: Option<String>,
    /// Which services; `None` for all.
    pub service: Option<String>,
}

/// Whether a pattern names a service, with or without its namespace; no pattern names all.
pub fn names_service(pattern: Option<&str>, service: &ServiceKey) -> bool {
    pattern.is_none_or(|pattern| glob(pattern, &service.name) || glob(pattern, &service.to_string()))
}

impl ValueRules {
    /// The attributes by which a service's metric is split.
    pub fn split(&self, service: &ServiceKey, metric: &str) -> Option<Arc<[String]>> {
        let mut matching = self.splits.iter();
        let rule = matching
            .find(|rule| glob(&rule.metric, metric) && names_service(rule.service.as_deref(), service))?;
        (!rule.by.is_empty()).then(|| rule.by.clone())
    }

    /// Whether an attribute's values are kept. `metric` is that of the point which carries it; `None` elsewhere.
    pub fn keeps(&self, service: &ServiceKey, metric: Option<&str>, key: &str) -> bool {
        self.texts.iter().any(|rule| {
            rule.attribute == key
                && names_service(rule.service.as_deref(), service)
                && rule.metric.as_deref().is_none_or(|pattern| metric.is_some_and(|name| glob(pattern, name)))
        })
    }
}
