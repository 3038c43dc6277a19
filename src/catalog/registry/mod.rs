//! A semantic-convention registry: which attributes, metrics, events and spans the conventions know, and in which form.
//!
//! Read from the files of OpenTelemetry's registry format, as Weaver reads them
//! (<https://github.com/open-telemetry/weaver/blob/main/schemas/semconv-syntax.md>): lists of `groups`, and
//! `definition/2`. Files are collected in [`Drafts`]; references between them are followed once all are there.

mod draft;
mod resolve;

pub use draft::Drafts;

use super::form::{Instrument, ValueType};
use crate::model::SpanKind;
use crate::model::nearest::nearest;
use crate::yaml::Place;
use std::collections::{BTreeMap, BTreeSet};

/// What conventions say, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registry {
    /// Attributes.
    pub attributes: BTreeMap<String, Attribute>,
    /// Attributes whose name goes on after these beginnings and a dot: `http.request.header`.
    pub templates: BTreeMap<String, Attribute>,
    /// Metrics.
    pub metrics: BTreeMap<String, Metric>,
    /// Events, by the event name of log records.
    pub events: BTreeMap<String, Signal>,
    /// Spans, by the name of their definition.
    pub spans: BTreeMap<String, Signal>,
    attribute_namespaces: BTreeSet<String>,
    metric_namespaces: BTreeSet<String>,
}

/// One attribute.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attribute {
    /// Where it is defined.
    pub place: Option<Place>,
    /// The type of its values; `None` for any.
    pub value: Option<ValueType>,
    /// Why it should not be sent any more.
    pub deprecated: Option<Deprecated>,
}

/// One metric.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metric {
    /// Where it is defined.
    pub place: Option<Place>,
    /// Its instrument.
    pub instrument: Option<Instrument>,
    /// Its unit.
    pub unit: Option<String>,
    /// Attributes that each of its points must have.
    pub required: BTreeSet<String>,
    /// Why it should not be sent any more.
    pub deprecated: Option<Deprecated>,
}

/// One sort of span or event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signal {
    /// The kind of a span.
    pub kind: Option<SpanKind>,
    /// Attributes that each must have.
    pub required: BTreeSet<String>,
    /// Why it should not be sent any more.
    pub deprecated: Option<Deprecated>,
}

/// Why something should not be sent any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deprecated {
    /// What replaces it.
    pub renamed_to: Option<String>,
    /// What its authors say.
    pub note: String,
}

/// What the conventions make of a name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Known<'r, T> {
    /// They define it.
    Defined(&'r T),
    /// They do not, and the name belongs to one of their namespaces, or nearly so; with the name that was probably meant.
    Unknown(Option<&'r str>),
    /// It belongs to somebody else.
    Foreign,
}

/// How many edits may lie between a name and the one that was meant.
const EDITS_MAX: usize = 2;

impl Registry {
    /// What is known of an attribute.
    pub fn attribute(&self, name: &str) -> Known<'_, Attribute> {
        let beginnings = name.rmatch_indices('.').map(|(at, _)| &name[..at]);
        let template = || beginnings.into_iter().find_map(|beginning| self.templates.get(beginning));
        match self.attributes.get(name).or_else(template) {
            Some(attribute) => Known::Defined(attribute),
            // The beginning of a template is owned too: `http.request.header` alone is no attribute.
            None => unknown(name, &self.attribute_namespaces, self.attributes.keys()),
        }
    }

    /// What is known of a metric.
    pub fn metric(&self, name: &str) -> Known<'_, Metric> {
        match self.metrics.get(name) {
            Some(metric) => Known::Defined(metric),
            None => unknown(name, &self.metric_namespaces, self.metrics.keys()),
        }
    }

    /// What is known of an event. Event names have no namespaces that anybody owns.
    pub fn event(&self, name: &str) -> Known<'_, Signal> {
        self.events.get(name).map_or(Known::Foreign, Known::Defined)
    }

    /// Attributes that were replaced by this one, in order of name.
    pub fn attributes_renamed_to(&self, name: &str) -> Vec<&str> {
        renamed_to(name, self.attributes.iter().map(|(old, attribute)| (old, &attribute.deprecated)))
    }

    /// Metrics that were replaced by this one, in order of name.
    pub fn metrics_renamed_to(&self, name: &str) -> Vec<&str> {
        renamed_to(name, self.metrics.iter().map(|(old, metric)| (old, &metric.deprecated)))
    }

    /// Which required attributes spans of a kind lack that have these attributes, in order of name.
    ///
    /// A span does not say of which definition it is. Those of its kind count that require an attribute of their own
    /// namespace (`span.http.server`: `http`) that the span has; and of those only what all of them require and the span
    /// has not is missing. `None` where no definition counts.
    pub fn missing_of_span(&self, kind: SpanKind, has: &BTreeSet<&str>) -> Option<Vec<&str>> {
        let of_kind =
            self.spans.iter().filter(|(_, span)| span.kind == Some(kind) && span.deprecated.is_none());
        let fits = |(name, span): &(&String, &Signal)| {
            let own = namespace(name.strip_prefix("span.").unwrap_or(name)).unwrap_or("");
            span.required.iter().any(|key| namespace(key) == Some(own) && has.contains(&**key))
        };
        let lacks = |span: &Signal, key: &str| span.required.contains(key) && !has.contains(key);
        let fitting: Vec<&Signal> = of_kind.filter(fits).map(|(_, span)| span).collect();
        let (first, others) = fitting.split_first()?;
        let missing = first.required.iter().filter(|key| lacks(first, key));
        Some(missing.filter(|key| others.iter().all(|span| lacks(span, key))).map(|key| &**key).collect())
    }

    /// Notes which namespaces the names belong to.
    fn own_namespaces(&mut self) {
        let attributes = self.attributes.keys().chain(self.templates.keys());
        self.attribute_namespaces =
            attributes.filter_map(|name| namespace(name)).map(str::to_owned).collect();
        let metrics = self.metrics.keys();
        self.metric_namespaces = metrics.filter_map(|name| namespace(name)).map(str::to_owned).collect();
    }
}

fn renamed_to<'r>(
    name: &str,
    all: impl Iterator<Item = (&'r String, &'r Option<Deprecated>)>,
) -> Vec<&'r str> {
    let replaced = |deprecated: &Option<Deprecated>| {
        deprecated.as_ref().is_some_and(|deprecated| deprecated.renamed_to.as_deref() == Some(name))
    };
    all.filter(|(_, deprecated)| replaced(deprecated)).map(|(old, _)| &**old).collect()
}

fn namespace(name: &str) -> Option<&str> {
    name.split_once('.').map(|(first, _)| first)
}

fn unknown<'r, T>(
    name: &str,
    namespaces: &'r BTreeSet<String>,
    names: impl Iterator<Item = &'r String>,
) -> Known<'r, T> {
    let Some(own) = namespace(name) else { return Known::Foreign };
    let owned = namespaces.contains(own);
    // A slip in the namespace itself; short ones are too near to each other.
    let near = || own.len() > 3 && nearest(own, namespaces.iter().map(String::as_str), 1).is_some();
    if !owned && !near() {
        return Known::Foreign;
    }
    match nearest(name, names.map(String::as_str), EDITS_MAX) {
        None if !owned => Known::Foreign,
        meant => Known::Unknown(meant),
    }
}
