//! Metric data points → presence; from duration histograms latency, from all others values.

use super::open::Seen;
use super::shard::{Home, Resource, Shard};
use super::spans::{Slots, text};
use super::streams::{Buckets, StreamKey, StreamPoint, Target};
use crate::model::form::{self, Field};
use crate::model::{EnvironmentId, ItemKind, Limit, SpanKind, outcome};
use crate::sketch::Bounds;
use crate::sketch::metric::TimeUnit;
use crate::stats::exponential::ExponentialBuckets;
use crate::wire::any_value::AnyValue;
use crate::wire::semconv::Slot;
use crate::wire::{
    Malformed, MetricBatch, MetricKind, MetricRecord, PointRecord, PointValue, Refusals, Temporality,
    decode_metrics, point_attributes,
};
use std::hash::BuildHasher;
use xxhash_rust::xxh3::xxh3_64;

/// The greatest sum of durations that one point can state, nanoseconds: 4·10¹³ years. Sums of 2²⁷ such points fit,
/// so that adding them is the same in any order.
const SUM_NS_MAX: i128 = 1 << 100;

impl Shard {
    pub(super) fn observe_metrics(
        &mut self,
        now_ns: u64,
        forced: Option<EnvironmentId>,
        request: &[u8],
    ) -> Result<Refusals, Malformed> {
        let mut batch = std::mem::take(&mut self.metrics);
        batch.clear();
        let decoded = decode_metrics(request, &mut batch);
        if decoded.is_ok() {
            self.resolve(request, &batch.resources, &batch.scopes, forced);
            for metric in 0..batch.metrics.len() {
                let says = self.rules.facts.keep_of(text(request, batch.metrics[metric].name));
                for point in batch.metrics[metric].points.range() {
                    self.record_point(now_ns, request, &mut batch, (metric, says), point);
                }
            }
            self.see_senders(request, &batch.resources, &batch.scopes);
        }
        let refusals = std::mem::take(&mut batch.refusals);
        self.metrics = batch;
        decoded.map(|()| refusals)
    }

    fn record_point(
        &mut self,
        now_ns: u64,
        request: &[u8],
        batch: &mut MetricBatch,
        (metric, says): (usize, bool),
        at: usize,
    ) {
        let (metric, point) = (batch.metrics[metric], batch.points[at]);
        if let Some(refusal) = self.refuse_time(now_ns, point.time_ns) {
            return batch.refusals.add(refusal, 1);
        }
        self.tally.metric_points += 1;
        let resource = self.refine(self.resolved[metric.resource as usize].of, &metric, &point, request);
        let Some(home) = self.home(resource, (metric.resource, metric.scope)) else { return };
        let Some(window) = self.window(now_ns, home.environment, point.time_ns) else { return };
        self.note_facts(home, window);
        if self.resolved[metric.resource as usize].of.environment.is_some() {
            self.note_sender(metric.scope, window, Seen::once(point.time_ns, home.instance));
        }
        self.see_metric(home, window, request, batch, &metric, &point);
        if says {
            let attributes = point_attributes(point.message.of(request), metric.kind);
            self.note_attributes(home, window, text(request, metric.name), attributes);
        }
        if !self.rules.values.texts.is_empty() {
            let attributes = point_attributes(point.message.of(request), metric.kind);
            self.see_texts(home, window, Some(text(request, metric.name)), attributes);
        }
        if point.no_recorded_value {
            self.tally.unrecorded += 1;
        } else if !self.record_durations(home, window, request, batch, &metric, &point) {
            self.record_value(home, window, request, batch, &metric, &point);
        }
    }

    /// Span-metrics can carry environment and service on the data point instead of the resource.
    fn refine(
        &mut self,
        resource: Resource,
        metric: &MetricRecord,
        point: &PointRecord,
        request: &[u8],
    ) -> Resource {
        if resource.environment.is_some() {
            return resource;
        }
        let mut environment = None;
        let (mut namespace, mut name) = (None, None);
        for (key, value) in point_attributes(point.message.of(request), metric.kind) {
            let AnyValue::Str(value) = value else { continue };
            if value.is_empty() {
                continue;
            }
            match key {
                "deployment.environment.name" => environment = Some(value),
                "deployment.environment" => environment = environment.or(Some(value)),
                "service.name" => name = Some(value),
                "service.namespace" => namespace = Some(value),
                _ => {}
            }
        }
        let Some(environment) = environment else { return resource };
        let mut names = self.shared.names();
        let service = match name {
            Some(name) => names.service(namespace.unwrap_or(""), name),
            None => resource.service,
        };
        Resource { environment: names.environment(environment), service, ..resource }
    }

    fn see_metric(
        &mut self,
        home: Home,
        window: usize,
        request: &[u8],
        batch: &MetricBatch,
        metric: &MetricRecord,
        point: &PointRecord,
    ) {
        let (name, unit) = (text(request, metric.name), text(request, metric.unit));
        let recorded = Recorded::of(batch, metric, point, unit);
        let hash = self.shared.hasher.hash_one((name, &recorded));
        let item = self.item(home, ItemKind::Metric, hash, || (name.to_owned(), recorded.form()));
        if let Some(item) = item {
            self.windows[window].1.see(home.environment, item, Seen::once(point.time_ns, home.instance));
        }
        let shape = self.shared.hasher.hash_one((name, point.shape));
        let attributes = point_attributes(point.message.of(request), metric.kind);
        let keys = self.shape(home, ItemKind::MetricAttribute, shape, name, attributes);
        for key in keys.iter() {
            self.windows[window].1.see(home.environment, *key, Seen::once(point.time_ns, home.instance));
        }
        let stream = shape ^ point.attributes_hash;
        let attributes = point_attributes(point.message.of(request), metric.kind);
        self.look_at_point(home, window, (name, stream), attributes);
    }

    /// Records a histogram of requests' durations; `false` when the metric is none.
    fn record_durations(
        &mut self,
        home: Home,
        window: usize,
        request: &[u8],
        batch: &MetricBatch,
        metric: &MetricRecord,
        point: &PointRecord,
    ) -> bool {
        let (name, unit) = (text(request, metric.name), text(request, metric.unit));
        let slots = Slots { request, slots: &batch.slots[point.slots.range()] };
        let Some(kind) = duration_of(name, &slots) else { return false };
        let Some(unit) = TimeUnit::parse(unit) else { return false };
        let Some((count, buckets)) = buckets_of(batch, &point.value, unit) else { return false };
        let sum = match point.value {
            PointValue::Histogram { sum, .. } | PointValue::Exponential { sum, .. } => sum.unwrap_or(0.0),
            _ => 0.0,
        };
        let series =
            self.series(home, kind, &slots, slots.text_bytes(Slot::SpanName).unwrap_or(name.as_bytes()));
        let identity = batch.resources[metric.resource as usize].hash;
        let scope = batch.scopes[metric.scope as usize].hash;
        let key = StreamKey::new(identity, scope, (name, unit), point.attributes_hash, home.environment);
        let cumulative = metric.temporality == Temporality::Cumulative;
        let point = StreamPoint {
            environment: home.environment,
            target: Target::Requests { series, failed: point_failed(kind, &slots) },
            origin: home.origin(),
            cumulative,
            start_ns: point.start_ns,
            time_ns: point.time_ns,
            count,
            sum_ns: ((unit.seconds(sum) * 1e9) as i128).clamp(-SUM_NS_MAX, SUM_NS_MAX),
            unit,
            buckets,
        };
        self.stream(window, key, point);
        true
    }

    /// Keeps a histogram's point: the latest of a cumulative stream, the sum of a delta one.
    pub(super) fn stream(&mut self, window: usize, key: StreamKey, point: StreamPoint) {
        let key = if point.cumulative { key.since(point.start_ns) } else { key.in_form(&point.buckets) };
        let streams = &mut self.windows[window].1.streams;
        if let Some(known) = streams.get_mut(&key) {
            known.merge(point);
        } else if streams.len() < self.shared.limits.metric_streams {
            streams.insert(key, point);
        } else {
            self.tally.hits.count(Limit::MetricStreams);
        }
    }
}

/// How a data point was recorded: what must be alike for two environments' metrics to be one.
#[derive(Hash)]
struct Recorded<'a> {
    kind: MetricKind,
    temporality: Temporality,
    monotonic: bool,
    value: Value<'a>,
    unit: &'a str,
}

#[derive(Hash)]
enum Value<'a> {
    Int,
    Double,
    Bounds(Bits<'a>),
    Scale(i32),
    /// A summary, or a point that says that it has no value.
    None,
}

/// Numbers that are told apart by their bits.
struct Bits<'a>(&'a [f64]);

impl std::hash::Hash for Bits<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.iter().for_each(|number| state.write_u64(number.to_bits()));
    }
}

impl<'a> Recorded<'a> {
    fn of(batch: &'a MetricBatch, metric: &MetricRecord, point: &PointRecord, unit: &'a str) -> Recorded<'a> {
        let value = match &point.value {
            _ if point.no_recorded_value => Value::None,
            PointValue::Int(_) => Value::Int,
            PointValue::Double(_) => Value::Double,
            PointValue::Histogram { bounds, .. } => Value::Bounds(Bits(&batch.floats[bounds.range()])),
            PointValue::Exponential { scale, .. } => Value::Scale(*scale),
            PointValue::None | PointValue::Summary { .. } => Value::None,
        };
        let MetricRecord { kind, temporality, monotonic, .. } = *metric;
        Recorded { kind, temporality, monotonic, value, unit }
    }

    fn form(&self) -> String {
        let instrument = match self.kind {
            MetricKind::Gauge => "gauge",
            MetricKind::Sum => "sum",
            MetricKind::Histogram => "histogram",
            MetricKind::ExponentialHistogram => "exponential histogram",
            MetricKind::Summary => "summary",
            MetricKind::Empty => "empty",
        };
        let mut fields = vec![(Field::Instrument, instrument)];
        if !matches!(self.kind, MetricKind::Gauge | MetricKind::Summary | MetricKind::Empty) {
            let temporality = match self.temporality {
                Temporality::Delta => "delta",
                Temporality::Cumulative => "cumulative",
                Temporality::Unspecified => "unspecified temporality",
            };
            fields.push((Field::Temporality, temporality));
        }
        if self.kind == MetricKind::Sum {
            let rises = if self.monotonic { form::MONOTONIC } else { "not monotonic" };
            fields.push((Field::Monotonicity, rises));
        }
        let value = match &self.value {
            Value::Int => Some((Field::ValueType, "int".to_owned())),
            Value::Double => Some((Field::ValueType, "double".to_owned())),
            Value::Bounds(bounds) => Some((Field::Bounds, bounds_text(bounds.0))),
            Value::Scale(scale) => Some((Field::Scale, scale.to_string())),
            Value::None => None,
        };
        fields.extend(value.as_ref().map(|(field, text)| (*field, text.as_str())));
        fields.push((Field::Unit, self.unit));
        form::write(&fields)
    }
}

/// The longest list of boundaries that is written out, bytes.
const BOUNDS_BYTES: usize = 96;

/// Boundaries in words; a long list is what tells it apart.
fn bounds_text(bounds: &[f64]) -> String {
    let list = bounds.iter().map(f64::to_string).collect::<Vec<_>>().join(" ");
    match bounds {
        [first, .., last] if list.len() > BOUNDS_BYTES => {
            let hash = xxh3_64(list.as_bytes()) >> 32;
            format!("{} from {first} to {last} ({hash:08x})", bounds.len())
        }
        _ => list,
    }
}

/// Histograms that hold requests' durations: the semantic conventions' current and previous names, and those of
/// collectors' span-metrics. Returns the part that the requests' spans would play.
fn duration_of(name: &str, slots: &Slots<'_>) -> Option<SpanKind> {
    match name {
        "http.server.request.duration" | "http.server.duration" => Some(SpanKind::Server),
        "http.client.request.duration" | "http.client.duration" => Some(SpanKind::Client),
        "rpc.server.call.duration" | "rpc.server.duration" => Some(SpanKind::Server),
        "rpc.client.call.duration" | "rpc.client.duration" => Some(SpanKind::Client),
        "db.client.operation.duration" => Some(SpanKind::Client),
        "messaging.client.operation.duration" | "messaging.publish.duration" => Some(SpanKind::Producer),
        "messaging.process.duration" | "messaging.receive.duration" => Some(SpanKind::Consumer),
        "faas.invoke_duration" => Some(SpanKind::Server),
        "traces.span.metrics.duration" | "traces_span_metrics_duration" => span_metrics_kind(slots),
        "duration" if slots.has(Slot::SpanName) => span_metrics_kind(slots),
        _ => None,
    }
}

fn span_metrics_kind(slots: &Slots<'_>) -> Option<SpanKind> {
    Some(slots.text(Slot::SpanKind).and_then(SpanKind::from_text).unwrap_or(SpanKind::Internal))
}

fn point_failed(kind: SpanKind, slots: &Slots<'_>) -> bool {
    if let Some(status) = slots.text(Slot::StatusCode) {
        return matches!(status, "STATUS_CODE_ERROR" | "Error" | "ERROR");
    }
    outcome::code_failed(kind, slots.int(Slot::HttpStatusCode), slots.int(Slot::GrpcStatusCode))
        .unwrap_or_else(|| slots.has(Slot::ErrorType))
}

/// Count and buckets of a histogram, explicit bounds in seconds; `None` of other points.
pub(super) fn buckets_of(batch: &MetricBatch, value: &PointValue, unit: TimeUnit) -> Option<(u64, Buckets)> {
    match value {
        PointValue::Histogram { count, bounds, buckets, .. } => {
            let bounds: Vec<f64> = batch.floats[bounds.range()].iter().map(|b| unit.seconds(*b)).collect();
            let counts = match batch.counts[buckets.range()].to_vec() {
                // Without buckets a histogram still says how many there were.
                counts if counts.is_empty() => vec![*count],
                counts => counts,
            };
            Some((*count, Buckets::Explicit(Bounds(bounds), counts)))
        }
        PointValue::Exponential {
            count,
            scale,
            zero_count,
            zero_threshold,
            positive_offset,
            positive,
            negative,
            ..
        } => {
            let buckets = ExponentialBuckets {
                scale: *scale,
                offset: *positive_offset,
                counts: batch.counts[positive.range()].to_vec(),
                // Durations have no negative values; of others they are counted as zeros.
                zero_count: batch.counts[negative.range()]
                    .iter()
                    .fold(*zero_count, |n, count| n.saturating_add(*count)),
                zero_threshold: *zero_threshold,
            };
            Some((*count, Buckets::Exponential(buckets)))
        }
        _ => None,
    }
}
