//! Every bound on what is kept, and the tally of bounds that were reached.

use crate::wire::Refusal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The bounds of the observation side. Each is a number of things, unless its name says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Environments kept apart; further ones count as spans without an environment.
    pub environments: usize,
    /// Services over all environments; further ones are refused by name.
    pub services: usize,
    /// Operations of one service; further ones go to its operation [`crate::model::operation::OVERFLOW`].
    pub operations_per_service: usize,
    /// Series over all services; further ones go to their service's overflow operation.
    pub series: usize,
    /// Instances told apart inside one series and window; further ones are counted as one.
    pub instances_per_series: usize,
    /// Instances whose beginning is remembered for the warm-up; further ones count as warm.
    pub instances: usize,
    /// Telemetry items (metrics, logs, attribute keys) in the presence matrix.
    pub items: usize,
    /// Classes of failure of one service; further ones count as failures without a class.
    pub error_types_per_service: usize,
    /// Peers that one service calls; further ones are counted as one, [`crate::model::operation::OVERFLOW`].
    pub dependencies_per_service: usize,
    /// Attribute shapes told apart inside one series and window.
    pub shapes_per_series: usize,
    /// Attributes with several values of which these are counted, in one window; further ones have no cardinality.
    pub counted_attributes: usize,
    /// Attribute keys of the resources of one service, by type; further ones are not kept.
    pub resource_attributes: usize,
    /// Bytes of one name; longer ones are cut.
    pub name_bytes: usize,
    /// Windows open at a time; the oldest is sealed early when there are more.
    pub open_windows: usize,
    /// Spans of one environment and window that are kept to look for their parents; where there are more, fewer traces are in
    /// the sample, and nothing else is lost.
    pub sampled_spans: usize,
    /// Metric streams followed at a time: so many of histograms, and so many of other metrics.
    pub metric_streams: usize,
    /// Statements about one service kept in a window: of resources, scopes, info metrics and flags, each.
    pub facts_per_service: usize,
    /// Metrics whose values are compared, over all services; each part of a split one counts.
    pub values: usize,
    /// Of these, metrics of one service, and as many sizes of bodies.
    pub values_per_service: usize,
    /// Different texts of one attribute in one service and window.
    pub texts_per_value: usize,
    /// How far ahead of the agent's clock an event may lie, nanoseconds.
    pub future_skew_ns: u64,
    /// Findings in one report.
    pub findings: usize,
    /// Sessions of releases, those that have ended among them.
    pub sessions: usize,
    /// First tiers that are told apart, those that have ended among them.
    pub sources: usize,
    /// Bytes of one snapshot that is given out.
    pub snapshot_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            environments: 16,
            services: 1_000,
            operations_per_service: 500,
            series: 20_000,
            instances_per_series: 64,
            instances: 100_000,
            items: 20_000,
            error_types_per_service: 100,
            dependencies_per_service: 50,
            shapes_per_series: 32,
            counted_attributes: 5_000,
            resource_attributes: 128,
            name_bytes: 256,
            open_windows: 16,
            sampled_spans: 4_096,
            metric_streams: 100_000,
            facts_per_service: 128,
            values: 20_000,
            values_per_service: 500,
            texts_per_value: 1_000,
            future_skew_ns: 300_000_000_000,
            findings: 1_000,
            sessions: 32,
            sources: 1_000,
            snapshot_bytes: 256 << 20,
        }
    }
}

/// The year 2000, nanoseconds since the epoch. OpenTelemetry is younger, so what claims to be older comes from a clock
/// that was never set and counts from 1970, or from no clock at all.
const CLOCKS_SET_FROM_NS: u64 = 946_684_800_000_000_000;

impl Limits {
    /// The beginning of a name that fits.
    pub fn cut<'t>(&self, text: &'t str) -> &'t str {
        let end = (0..=self.name_bytes.min(text.len())).rev().find(|&at| text.is_char_boundary(at));
        &text[..end.unwrap_or(0)]
    }

    /// Why an event cannot have been at `time_ns` when it arrives at `now_ns`, both nanoseconds since the epoch; `None`
    /// when it can. A receiver whose own clock is older than the year 2000, as a simulation's is, takes any past.
    pub fn refuse_time(&self, now_ns: u64, time_ns: u64) -> Option<Refusal> {
        if time_ns > now_ns.saturating_add(self.future_skew_ns) {
            return Some(Refusal::TimeInFuture);
        }
        (time_ns < CLOCKS_SET_FROM_NS && now_ns >= CLOCKS_SET_FROM_NS).then_some(Refusal::TimeUnset)
    }
}

/// A bound that can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Limit {
    /// [`Limits::environments`]
    Environments,
    /// [`Limits::services`]
    Services,
    /// [`Limits::operations_per_service`]
    OperationsPerService,
    /// [`Limits::series`]
    Series,
    /// [`Limits::instances_per_series`]
    InstancesPerSeries,
    /// [`Limits::instances`]
    Instances,
    /// [`Limits::items`]
    Items,
    /// [`Limits::error_types_per_service`]
    ErrorTypesPerService,
    /// [`Limits::dependencies_per_service`]
    DependenciesPerService,
    /// [`Limits::shapes_per_series`]
    ShapesPerSeries,
    /// [`Limits::counted_attributes`]
    CountedAttributes,
    /// [`Limits::resource_attributes`]
    ResourceAttributes,
    /// [`Limits::name_bytes`]
    NameBytes,
    /// [`Limits::open_windows`]
    OpenWindows,
    /// [`Limits::metric_streams`]
    MetricStreams,
    /// [`Limits::facts_per_service`]
    FactsPerService,
    /// [`Limits::values`]
    Values,
    /// [`Limits::values_per_service`]
    ValuesPerService,
    /// [`Limits::texts_per_value`]
    TextsPerValue,
    /// [`Limits::sessions`]
    Sessions,
    /// [`Limits::snapshot_bytes`]
    SnapshotBytes,
    /// [`Limits::sources`]
    Sources,
}

impl Limit {
    /// The key in the configuration's `parity.limits`.
    pub fn as_str(self) -> &'static str {
        match self {
            Limit::Environments => "environments",
            Limit::Services => "services",
            Limit::OperationsPerService => "operations_per_service",
            Limit::Series => "series",
            Limit::InstancesPerSeries => "instances_per_series",
            Limit::Instances => "instances",
            Limit::Items => "items",
            Limit::ErrorTypesPerService => "error_types_per_service",
            Limit::DependenciesPerService => "dependencies_per_service",
            Limit::ShapesPerSeries => "shapes_per_series",
            Limit::CountedAttributes => "counted_attributes",
            Limit::ResourceAttributes => "resource_attributes",
            Limit::NameBytes => "name_bytes",
            Limit::OpenWindows => "open_windows",
            Limit::MetricStreams => "metric_streams",
            Limit::FactsPerService => "facts_per_service",
            Limit::Values => "values",
            Limit::ValuesPerService => "values_per_service",
            Limit::TextsPerValue => "texts_per_value",
            Limit::Sessions => "sessions",
            Limit::Sources => "sources",
            Limit::SnapshotBytes => "snapshot_bytes",
        }
    }
}

/// How often each bound was reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsHit(BTreeMap<Limit, u64>);

impl LimitsHit {
    /// Counts one more item that met the bound.
    pub fn count(&mut self, limit: Limit) {
        *self.0.entry(limit).or_default() += 1;
    }

    /// Adds another tally.
    pub fn merge(&mut self, other: &LimitsHit) {
        for (limit, n) in &other.0 {
            *self.0.entry(*limit).or_default() += n;
        }
    }

    /// How often since an earlier tally.
    #[must_use]
    pub fn since(&self, earlier: &LimitsHit) -> LimitsHit {
        let before = |limit: &Limit| earlier.0.get(limit).copied().unwrap_or(0);
        let more = self.0.iter().map(|(limit, n)| (*limit, n.saturating_sub(before(limit))));
        LimitsHit(more.filter(|(_, n)| *n > 0).collect())
    }

    /// The bounds that were reached, with how often.
    pub fn iter(&self) -> impl Iterator<Item = (Limit, u64)> + '_ {
        self.0.iter().map(|(limit, n)| (*limit, *n))
    }
}
