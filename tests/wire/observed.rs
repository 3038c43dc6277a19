//! What a request says, read twice: from the decoders' batches and from prost's structs. Both give the same types, so
//! that the two readings are compared with `==`.
//!
//! Hashes (attribute shapes, streams) are not compared as numbers: what counts is which items share one. So each hash
//! is replaced by its rank of first appearance, and in the oracle so is what the hash stands for.

use isotel::wire::semconv::Slot;
use isotel::wire::{
    AnyValue, LogBatch, Malformed, MetricBatch, MetricKind, PointValue, Range32, Refusal, ResourceRecord,
    ScopeRecord, Slice, Temporality, TraceBatch, decode_logs, decode_metrics, decode_traces, log_attributes,
    point_attributes, resource_attributes, scope_name_version, span_attributes,
};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as NumberValue;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, SummaryDataPoint,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

/// Keys and values, values as prost's `Debug` writes them.
type Attributes = Vec<(String, String)>;

/// Everything that one request says.
#[derive(Debug, PartialEq)]
pub struct Observed<I> {
    /// How many resources and scopes there are, with or without items.
    pub envelope: (usize, usize),
    /// The items, in order.
    pub items: Vec<I>,
    /// How many items were refused for which reason.
    pub refused: BTreeMap<Refusal, u64>,
}

/// Where an item comes from.
#[derive(Debug, PartialEq)]
pub struct Origin {
    resource: Attributes,
    resource_schema: String,
    scope: (String, String),
    scope_schema: String,
}

/// What is read of a span.
#[derive(Debug, PartialEq)]
pub struct SpanSeen {
    origin: Origin,
    trace_id: Vec<u8>,
    ids: [u64; 2],
    name: String,
    kind: u8,
    times: [u64; 2],
    status: u8,
    sampling: (u32, u64),
    attributes: Attributes,
    slots: Vec<(Slot, String)>,
    shape: usize,
    events: Vec<String>,
}

/// What is read of a data point.
#[derive(Debug, PartialEq)]
pub struct PointSeen {
    origin: Origin,
    metric: (String, String, MetricKind, Temporality, bool),
    times: [u64; 2],
    no_recorded_value: bool,
    attributes: Attributes,
    slots: Vec<(Slot, String)>,
    shape: usize,
    stream: usize,
    value: ValueSeen,
}

/// A data point's value with its lists in it.
#[derive(Debug, PartialEq)]
pub enum ValueSeen {
    None,
    Int(i64),
    Double(f64),
    Histogram {
        count: u64,
        extremes: [Option<f64>; 3],
        bounds: Vec<f64>,
        counts: Vec<u64>,
    },
    Exponential {
        count: u64,
        extremes: [Option<f64>; 3],
        scale: i32,
        zero: (u64, f64),
        buckets: [(i32, Vec<u64>); 2],
    },
    Summary {
        count: u64,
        sum: f64,
        quantiles: Vec<f64>,
    },
}

/// What is read of a log record.
#[derive(Debug, PartialEq)]
pub struct LogSeen {
    origin: Origin,
    times: [u64; 2],
    severity: i32,
    event_name: String,
    body_type: u8,
    attributes: Attributes,
    shape: usize,
}

/// Ranks of first appearance.
struct Ranks<T>(Vec<T>);

impl<T: PartialEq> Ranks<T> {
    fn of(&mut self, thing: T) -> usize {
        self.0.iter().position(|known| *known == thing).unwrap_or_else(|| {
            self.0.push(thing);
            self.0.len() - 1
        })
    }
}

/// One of the three requests, read by the decoder and from prost's structs.
pub trait Request: Message + Default + Clone + std::fmt::Debug {
    /// What one item says.
    type Item: std::fmt::Debug + PartialEq;
    /// Which signal it carries.
    const SIGNAL: isotel::wire::Signal;

    /// Through the decoder under test.
    ///
    /// # Errors
    /// When the decoder refuses the bytes as a whole.
    fn decoded(bytes: &[u8]) -> Result<Observed<Self::Item>, Malformed>;

    /// Through prost: of requests in which no item breaks a rule.
    fn walked(&self) -> Observed<Self::Item>;
}

impl Request for ExportTraceServiceRequest {
    type Item = SpanSeen;
    const SIGNAL: isotel::wire::Signal = isotel::wire::Signal::Traces;

    fn decoded(bytes: &[u8]) -> Result<Observed<SpanSeen>, Malformed> {
        let mut batch = TraceBatch::default();
        decode_traces(bytes, &mut batch)?;
        let mut shapes = Ranks(Vec::new());
        let spans = batch.spans.iter().map(|span| SpanSeen {
            origin: origin(bytes, &batch.resources, &batch.scopes, span.resource, span.scope),
            trace_id: span.trace_id.of(bytes).to_vec(),
            ids: [span.span_id, span.parent_span_id],
            name: text(bytes, span.name),
            kind: span.kind,
            times: [span.start_ns, span.end_ns],
            status: span.status,
            sampling: (span.adjusted_count, span.sampling_threshold),
            attributes: borrowed(span_attributes(span.message.of(bytes))),
            slots: slots(bytes, &batch.slots, span.slots),
            shape: shapes.of(span.shape),
            events: batch.events[span.events.range()].iter().map(|event| text(bytes, event.name)).collect(),
        });
        Ok(Observed {
            envelope: (batch.resources.len(), batch.scopes.len()),
            items: spans.collect(),
            refused: batch.refusals.iter().collect(),
        })
    }

    fn walked(&self) -> Observed<SpanSeen> {
        let mut shapes = Ranks(Vec::new());
        let mut items = Vec::new();
        for resource in &self.resource_spans {
            for scope in &resource.scope_spans {
                for span in &scope.spans {
                    items.push(SpanSeen {
                        origin: origin_of(
                            &resource.resource,
                            &resource.schema_url,
                            &scope.scope,
                            &scope.schema_url,
                        ),
                        trace_id: span.trace_id.clone(),
                        ids: [number(&span.span_id), number(&span.parent_span_id)],
                        name: span.name.clone(),
                        kind: u8::try_from(span.kind).unwrap_or(0),
                        times: [span.start_time_unix_nano, span.end_time_unix_nano],
                        status: span.status.as_ref().map_or(0, |s| u8::try_from(s.code).unwrap_or(0)),
                        sampling: sampling(&span.trace_state),
                        attributes: owned(&span.attributes),
                        slots: slots_of(&span.attributes),
                        shape: shapes.of(shape_of(&span.attributes)),
                        events: span.events.iter().map(|event| event.name.clone()).collect(),
                    });
                }
            }
        }
        let scopes = self.resource_spans.iter().map(|r| r.scope_spans.len()).sum();
        Observed { envelope: (self.resource_spans.len(), scopes), items, refused: BTreeMap::new() }
    }
}

impl Request for ExportMetricsServiceRequest {
    type Item = PointSeen;
    const SIGNAL: isotel::wire::Signal = isotel::wire::Signal::Metrics;

    fn decoded(bytes: &[u8]) -> Result<Observed<PointSeen>, Malformed> {
        let mut batch = MetricBatch::default();
        decode_metrics(bytes, &mut batch)?;
        let (mut shapes, mut streams) = (Ranks(Vec::new()), Ranks(Vec::new()));
        let mut items = Vec::new();
        for metric in &batch.metrics {
            for point in &batch.points[metric.points.range()] {
                items.push(PointSeen {
                    origin: origin(bytes, &batch.resources, &batch.scopes, metric.resource, metric.scope),
                    metric: (
                        text(bytes, metric.name),
                        text(bytes, metric.unit),
                        metric.kind,
                        metric.temporality,
                        metric.monotonic,
                    ),
                    times: [point.start_ns, point.time_ns],
                    no_recorded_value: point.no_recorded_value,
                    attributes: borrowed(point_attributes(point.message.of(bytes), metric.kind)),
                    slots: slots(bytes, &batch.slots, point.slots),
                    shape: shapes.of(point.shape),
                    stream: streams.of(point.attributes_hash),
                    value: value_seen(&batch, &point.value),
                });
            }
        }
        assert_eq!(items.len(), batch.points.len(), "every point belongs to a metric");
        Ok(Observed {
            envelope: (batch.resources.len(), batch.scopes.len()),
            items,
            refused: batch.refusals.iter().collect(),
        })
    }

    fn walked(&self) -> Observed<PointSeen> {
        let (mut shapes, mut streams) = (Ranks(Vec::new()), Ranks(Vec::new()));
        let mut items = Vec::new();
        for resource in &self.resource_metrics {
            for scope in &resource.scope_metrics {
                for metric in &scope.metrics {
                    for point in points_of(metric) {
                        items.push(PointSeen {
                            origin: origin_of(
                                &resource.resource,
                                &resource.schema_url,
                                &scope.scope,
                                &scope.schema_url,
                            ),
                            metric: metric_of(metric),
                            times: point.times,
                            no_recorded_value: point.flags & 1 == 1,
                            attributes: owned(point.attributes),
                            slots: slots_of(point.attributes),
                            shape: shapes.of(shape_of(point.attributes)),
                            stream: streams.of(stream_of(point.attributes)),
                            value: point.value,
                        });
                    }
                }
            }
        }
        let scopes = self.resource_metrics.iter().map(|r| r.scope_metrics.len()).sum();
        Observed { envelope: (self.resource_metrics.len(), scopes), items, refused: BTreeMap::new() }
    }
}

impl Request for ExportLogsServiceRequest {
    type Item = LogSeen;
    const SIGNAL: isotel::wire::Signal = isotel::wire::Signal::Logs;

    fn decoded(bytes: &[u8]) -> Result<Observed<LogSeen>, Malformed> {
        let mut batch = LogBatch::default();
        decode_logs(bytes, &mut batch)?;
        let mut shapes = Ranks(Vec::new());
        let records = batch.records.iter().map(|record| LogSeen {
            origin: origin(bytes, &batch.resources, &batch.scopes, record.resource, record.scope),
            times: [record.time_ns, record.observed_time_ns],
            severity: record.severity_number,
            event_name: text(bytes, record.event_name),
            body_type: record.body_type,
            attributes: borrowed(log_attributes(record.message.of(bytes))),
            shape: shapes.of(record.shape),
        });
        Ok(Observed {
            envelope: (batch.resources.len(), batch.scopes.len()),
            items: records.collect(),
            refused: batch.refusals.iter().collect(),
        })
    }

    fn walked(&self) -> Observed<LogSeen> {
        let mut shapes = Ranks(Vec::new());
        let mut items = Vec::new();
        for resource in &self.resource_logs {
            for scope in &resource.scope_logs {
                for record in &scope.log_records {
                    items.push(LogSeen {
                        origin: origin_of(
                            &resource.resource,
                            &resource.schema_url,
                            &scope.scope,
                            &scope.schema_url,
                        ),
                        times: [record.time_unix_nano, record.observed_time_unix_nano],
                        severity: record.severity_number,
                        event_name: record.event_name.clone(),
                        body_type: type_of(record.body.as_ref()),
                        attributes: owned(&record.attributes),
                        shape: shapes.of(shape_of(&record.attributes)),
                    });
                }
            }
        }
        let scopes = self.resource_logs.iter().map(|r| r.scope_logs.len()).sum();
        Observed { envelope: (self.resource_logs.len(), scopes), items, refused: BTreeMap::new() }
    }
}

fn text(request: &[u8], at: Slice) -> String {
    std::str::from_utf8(at.of(request)).expect("the decoder has checked it").to_owned()
}

fn origin(
    request: &[u8],
    resources: &[ResourceRecord],
    scopes: &[ScopeRecord],
    resource: u32,
    scope: u32,
) -> Origin {
    let (resource_at, scope) = (resource, scopes[scope as usize]);
    assert_eq!(scope.resource, resource_at, "a scope belongs to its items' resource");
    let resource = resources[resource_at as usize];
    let (name, version) = scope_name_version(scope.bytes.of(request));
    Origin {
        resource: borrowed(resource_attributes(resource.bytes.of(request))),
        resource_schema: text(request, resource.schema_url),
        scope: (name.to_owned(), version.to_owned()),
        scope_schema: text(request, scope.schema_url),
    }
}

fn origin_of(
    resource: &Option<Resource>,
    resource_schema: &str,
    scope: &Option<InstrumentationScope>,
    scope_schema: &str,
) -> Origin {
    let scope = scope.clone().unwrap_or_default();
    Origin {
        resource: owned(resource.as_ref().map_or(&[], |resource| &resource.attributes)),
        resource_schema: resource_schema.to_owned(),
        scope: (scope.name, scope.version),
        scope_schema: scope_schema.to_owned(),
    }
}

fn slots(request: &[u8], all: &[(Slot, Slice)], range: Range32) -> Vec<(Slot, String)> {
    all[range.range()].iter().map(|(slot, at)| (*slot, words(AnyValue::parse(at.of(request))))).collect()
}

fn slots_of(attributes: &[KeyValue]) -> Vec<(Slot, String)> {
    attributes
        .iter()
        .filter_map(|a| Slot::of(a.key.as_bytes()).map(|slot| (slot, words_of(a.value.as_ref()))))
        .collect()
}

fn borrowed<'a>(attributes: impl Iterator<Item = (&'a str, AnyValue<'a>)>) -> Attributes {
    attributes.map(|(key, value)| (key.to_owned(), words(value))).collect()
}

fn owned(attributes: &[KeyValue]) -> Attributes {
    attributes.iter().map(|a| (a.key.clone(), words_of(a.value.as_ref()))).collect()
}

/// A value through prost's eyes, whose `Debug` tells NaN, −0.0 and all types apart.
fn words(value: AnyValue<'_>) -> String {
    let value = match value {
        AnyValue::Empty => None,
        AnyValue::Str(text) => Some(Value::StringValue(text.to_owned())),
        AnyValue::Bool(truth) => Some(Value::BoolValue(truth)),
        AnyValue::Int(number) => Some(Value::IntValue(number)),
        AnyValue::Double(number) => Some(Value::DoubleValue(number)),
        AnyValue::Bytes(bytes) => Some(Value::BytesValue(bytes.to_vec())),
        AnyValue::Array(message) => return words_of_message(message, Value::ArrayValue),
        AnyValue::KvList(message) => return words_of_message(message, Value::KvlistValue),
    };
    format!("{value:?}")
}

/// Of damaged bytes prost refuses some that hold no fault in what OTLP's three signals use, such as the string
/// indices of profiles.
fn words_of_message<M: Message + Default>(message: &[u8], wrap: impl FnOnce(M) -> Value) -> String {
    M::decode(message).map_or_else(|error| error.to_string(), |decoded| format!("{:?}", Some(wrap(decoded))))
}

fn words_of(value: Option<&common::AnyValue>) -> String {
    let value = value.and_then(|value| value.value.clone());
    format!("{:?}", value.filter(|value| !matches!(value, Value::StringValueStrindex(_))))
}

fn type_of(value: Option<&common::AnyValue>) -> u8 {
    match value.and_then(|value| value.value.as_ref()) {
        None | Some(Value::StringValueStrindex(_)) => 0,
        Some(Value::StringValue(_)) => 1,
        Some(Value::BoolValue(_)) => 2,
        Some(Value::IntValue(_)) => 3,
        Some(Value::DoubleValue(_)) => 4,
        Some(Value::ArrayValue(_)) => 5,
        Some(Value::KvlistValue(_)) => 6,
        Some(Value::BytesValue(_)) => 7,
    }
}

/// The type that an array's elements have in common.
fn elements_of(value: Option<&common::AnyValue>) -> Option<u8> {
    let Some(Value::ArrayValue(array)) = value.and_then(|value| value.value.as_ref()) else { return None };
    let types: BTreeSet<u8> = array.values.iter().map(|value| type_of(Some(value))).collect();
    if types.len() == 1 { types.first().copied().filter(|tag| *tag > 0) } else { None }
}

/// What a shape stands for: keys and types, in any order.
fn shape_of(attributes: &[KeyValue]) -> Vec<(String, u8, Option<u8>)> {
    let of = |a: &KeyValue| (a.key.clone(), type_of(a.value.as_ref()), elements_of(a.value.as_ref()));
    let mut shape: Vec<_> = attributes.iter().map(of).collect();
    shape.sort();
    shape
}

/// What a stream stands for: keys and values, in any order.
fn stream_of(attributes: &[KeyValue]) -> Vec<String> {
    let mut stream: Vec<_> = attributes.iter().map(|attribute| format!("{attribute:?}")).collect();
    stream.sort();
    stream
}

fn number(id: &[u8]) -> u64 {
    id.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Adjusted count and threshold by the specification: `th` is a fraction in hexadecimal, trailing zeros left out.
fn sampling(tracestate: &str) -> (u32, u64) {
    let members = tracestate.split(',').filter_map(|entry| entry.trim().strip_prefix("ot="));
    let threshold = members.flat_map(|value| value.split(';')).find_map(|member| member.strip_prefix("th:"));
    let digits =
        threshold.filter(|digits| digits.len() <= 14 && digits.bytes().all(|b| b.is_ascii_hexdigit()));
    let threshold = digits.map_or(0, |digits| u64::from_str_radix(&format!("{digits:0<14}"), 16).unwrap());
    let (all, kept) = (1u64 << 56, (1u64 << 56) - threshold);
    (u32::try_from((all + kept / 2) / kept).unwrap_or(u32::MAX), threshold)
}

fn metric_of(metric: &Metric) -> (String, String, MetricKind, Temporality, bool) {
    let temporality = |number: i32| match number {
        1 => Temporality::Delta,
        2 => Temporality::Cumulative,
        _ => Temporality::Unspecified,
    };
    let (kind, of_kind, monotonic) = match &metric.data {
        None => (MetricKind::Empty, Temporality::Unspecified, false),
        Some(Data::Gauge(_)) => (MetricKind::Gauge, Temporality::Unspecified, false),
        Some(Data::Sum(sum)) => (MetricKind::Sum, temporality(sum.aggregation_temporality), sum.is_monotonic),
        Some(Data::Histogram(h)) => (MetricKind::Histogram, temporality(h.aggregation_temporality), false),
        Some(Data::ExponentialHistogram(h)) => {
            (MetricKind::ExponentialHistogram, temporality(h.aggregation_temporality), false)
        }
        Some(Data::Summary(_)) => (MetricKind::Summary, Temporality::Unspecified, false),
    };
    (metric.name.clone(), metric.unit.clone(), kind, of_kind, monotonic)
}

fn value_seen(batch: &MetricBatch, value: &PointValue) -> ValueSeen {
    match *value {
        PointValue::None => ValueSeen::None,
        PointValue::Int(number) => ValueSeen::Int(number),
        PointValue::Double(number) => ValueSeen::Double(number),
        PointValue::Histogram { count, sum, min, max, bounds, buckets } => ValueSeen::Histogram {
            count,
            extremes: [sum, min, max],
            bounds: batch.floats[bounds.range()].to_vec(),
            counts: batch.counts[buckets.range()].to_vec(),
        },
        PointValue::Exponential {
            count,
            sum,
            min,
            max,
            scale,
            zero_count,
            zero_threshold,
            positive_offset,
            positive,
            negative_offset,
            negative,
        } => ValueSeen::Exponential {
            count,
            extremes: [sum, min, max],
            scale,
            zero: (zero_count, zero_threshold),
            buckets: [(positive_offset, positive), (negative_offset, negative)]
                .map(|(offset, counts)| (offset, batch.counts[counts.range()].to_vec())),
        },
        PointValue::Summary { count, sum, quantiles } => {
            ValueSeen::Summary { count, sum, quantiles: batch.floats[quantiles.range()].to_vec() }
        }
    }
}

/// What all kinds of data points have.
struct Point<'a> {
    times: [u64; 2],
    flags: u32,
    attributes: &'a [KeyValue],
    value: ValueSeen,
}

fn points_of(metric: &Metric) -> Vec<Point<'_>> {
    match &metric.data {
        None => Vec::new(),
        Some(Data::Gauge(gauge)) => gauge.data_points.iter().map(number_of).collect(),
        Some(Data::Sum(sum)) => sum.data_points.iter().map(number_of).collect(),
        Some(Data::Histogram(histogram)) => histogram.data_points.iter().map(histogram_of).collect(),
        Some(Data::ExponentialHistogram(h)) => h.data_points.iter().map(exponential_of).collect(),
        Some(Data::Summary(summary)) => summary.data_points.iter().map(summary_of).collect(),
    }
}

fn number_of(point: &NumberDataPoint) -> Point<'_> {
    Point {
        times: [point.start_time_unix_nano, point.time_unix_nano],
        flags: point.flags,
        attributes: &point.attributes,
        value: match point.value {
            None => ValueSeen::None,
            Some(NumberValue::AsInt(number)) => ValueSeen::Int(number),
            Some(NumberValue::AsDouble(number)) => ValueSeen::Double(number),
        },
    }
}

fn histogram_of(point: &HistogramDataPoint) -> Point<'_> {
    Point {
        times: [point.start_time_unix_nano, point.time_unix_nano],
        flags: point.flags,
        attributes: &point.attributes,
        value: ValueSeen::Histogram {
            count: point.count,
            extremes: [point.sum, point.min, point.max],
            bounds: point.explicit_bounds.clone(),
            counts: point.bucket_counts.clone(),
        },
    }
}

fn exponential_of(point: &ExponentialHistogramDataPoint) -> Point<'_> {
    let buckets = [&point.positive, &point.negative].map(|buckets| buckets.clone().unwrap_or_default());
    Point {
        times: [point.start_time_unix_nano, point.time_unix_nano],
        flags: point.flags,
        attributes: &point.attributes,
        value: ValueSeen::Exponential {
            count: point.count,
            extremes: [point.sum, point.min, point.max],
            scale: point.scale,
            zero: (point.zero_count, point.zero_threshold),
            buckets: buckets.map(|buckets| (buckets.offset, buckets.bucket_counts)),
        },
    }
}

fn summary_of(point: &SummaryDataPoint) -> Point<'_> {
    Point {
        times: [point.start_time_unix_nano, point.time_unix_nano],
        flags: point.flags,
        attributes: &point.attributes,
        value: ValueSeen::Summary {
            count: point.count,
            sum: point.sum,
            quantiles: point.quantile_values.iter().flat_map(|pair| [pair.quantile, pair.value]).collect(),
        },
    }
}
