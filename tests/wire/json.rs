//! prost's structs → OTLP/JSON, by the specification's mapping and in every style that it allows.

use base64::Engine as _;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, EntityRef, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as NumberValue;
use opentelemetry_proto::tonic::metrics::v1::*;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use serde_json::{Map, Value, json};

/// What a writer may choose.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// 64-bit integers as strings, which is what most write, or as numbers.
    pub quoted: bool,
    /// Hexadecimal digits in upper case.
    pub upper: bool,
    /// What is done with fields that hold their default.
    pub defaults: Defaults,
    /// Objects get a member that no version of OTLP knows.
    pub unknown: bool,
}

/// What a writer does with fields that hold their default.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Defaults {
    Omitted,
    Written,
    Null,
}

/// A request that has a JSON form.
pub trait ToJson {
    /// The form, in a style.
    fn to_json(&self, style: Style) -> Value;
}

impl ToJson for ExportTraceServiceRequest {
    fn to_json(&self, style: Style) -> Value {
        let resources = self.resource_spans.iter().map(|sent| {
            let scopes = sent.scope_spans.iter().map(|sent| {
                let spans = sent.spans.iter().map(|span| style.span(span)).collect();
                style.group(
                    ("scope", sent.scope.as_ref().map(|s| style.scope(s))),
                    &sent.schema_url,
                    ("spans", spans),
                )
            });
            let resource = sent.resource.as_ref().map(|resource| style.resource(resource));
            style.group(("resource", resource), &sent.schema_url, ("scopeSpans", scopes.collect()))
        });
        style.object([("resourceSpans", list(resources))])
    }
}

impl ToJson for ExportMetricsServiceRequest {
    fn to_json(&self, style: Style) -> Value {
        let resources = self.resource_metrics.iter().map(|sent| {
            let scopes = sent.scope_metrics.iter().map(|sent| {
                let metrics = sent.metrics.iter().map(|metric| style.metric(metric)).collect();
                let scope = sent.scope.as_ref().map(|scope| style.scope(scope));
                style.group(("scope", scope), &sent.schema_url, ("metrics", metrics))
            });
            let resource = sent.resource.as_ref().map(|resource| style.resource(resource));
            style.group(("resource", resource), &sent.schema_url, ("scopeMetrics", scopes.collect()))
        });
        style.object([("resourceMetrics", list(resources))])
    }
}

impl ToJson for ExportLogsServiceRequest {
    fn to_json(&self, style: Style) -> Value {
        let resources = self.resource_logs.iter().map(|sent| {
            let scopes = sent.scope_logs.iter().map(|sent| {
                let records = sent.log_records.iter().map(|record| style.record(record)).collect();
                let scope = sent.scope.as_ref().map(|scope| style.scope(scope));
                style.group(("scope", scope), &sent.schema_url, ("logRecords", records))
            });
            let resource = sent.resource.as_ref().map(|resource| style.resource(resource));
            style.group(("resource", resource), &sent.schema_url, ("scopeLogs", scopes.collect()))
        });
        style.object([("resourceLogs", list(resources))])
    }
}

/// The singular fields of 64 bits, whose zero may be written as a string.
const QUOTED: [&str; 6] =
    ["timeUnixNano", "startTimeUnixNano", "endTimeUnixNano", "observedTimeUnixNano", "count", "zeroCount"];

fn list(values: impl Iterator<Item = Value>) -> Value {
    Value::Array(values.collect())
}

/// A double: JSON has no word for those that are not finite.
fn double(value: f64) -> Value {
    match value {
        _ if value.is_nan() => json!("NaN"),
        f64::INFINITY => json!("Infinity"),
        f64::NEG_INFINITY => json!("-Infinity"),
        value => json!(value),
    }
}

impl Style {
    /// An object whose members are proto3 fields: defaults are treated as the style wants it.
    fn object<const N: usize>(self, members: [(&str, Value); N]) -> Value {
        let mut object = Map::new();
        for (name, value) in members {
            let is_default = match &value {
                Value::Null => true,
                Value::Bool(truth) => !truth,
                Value::Number(number) => number.as_f64().is_some_and(|n| n == 0.0 && n.is_sign_positive()),
                Value::String(text) => text.is_empty() || (text == "0" && QUOTED.contains(&name)),
                Value::Array(values) => values.is_empty(),
                Value::Object(_) => false,
            };
            match (is_default, self.defaults) {
                (true, Defaults::Omitted) => {}
                (true, Defaults::Null) => drop(object.insert(name.to_owned(), Value::Null)),
                _ => drop(object.insert(name.to_owned(), value)),
            }
        }
        if self.unknown {
            object.insert("anotherField".to_owned(), json!({"deep": [1, {"er": null}], "text": "\u{1F980}"}));
        }
        Value::Object(object)
    }

    /// Adds a field with presence (`oneof`, `optional`): written whatever its value.
    fn with(object: Value, name: &str, value: Option<Value>) -> Value {
        let Value::Object(mut members) = object else { unreachable!("made by object()") };
        if let Some(value) = value {
            members.insert(name.to_owned(), value);
        }
        Value::Object(members)
    }

    fn group(self, own: (&str, Option<Value>), schema_url: &str, inner: (&str, Vec<Value>)) -> Value {
        let group = self.object([("schemaUrl", json!(schema_url)), (inner.0, Value::Array(inner.1))]);
        Style::with(group, own.0, own.1)
    }

    fn unsigned(self, value: u64) -> Value {
        if self.quoted { json!(value.to_string()) } else { json!(value) }
    }

    fn signed(self, value: i64) -> Value {
        if self.quoted { json!(value.to_string()) } else { json!(value) }
    }

    fn unsigned_list(self, values: &[u64]) -> Value {
        list(values.iter().map(|value| self.unsigned(*value)))
    }

    fn id(self, id: &[u8]) -> Value {
        let digits: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        Value::String(if self.upper { digits.to_uppercase() } else { digits })
    }

    fn any(self, value: &AnyValue) -> Value {
        let Some(value) = &value.value else { return json!({}) };
        match value {
            Any::StringValue(text) => json!({"stringValue": text}),
            Any::BoolValue(truth) => json!({"boolValue": truth}),
            Any::IntValue(number) => json!({"intValue": self.signed(*number)}),
            Any::DoubleValue(number) => json!({"doubleValue": double(*number)}),
            Any::BytesValue(bytes) => {
                json!({"bytesValue": base64::engine::general_purpose::STANDARD.encode(bytes)})
            }
            Any::ArrayValue(array) => {
                json!({"arrayValue": self.object([("values", list(array.values.iter().map(|v| self.any(v))))])})
            }
            Any::KvlistValue(pairs) => {
                json!({"kvlistValue": self.object([("values", self.attributes(&pairs.values))])})
            }
            Any::StringValueStrindex(_) => unreachable!("only in profiles"),
        }
    }

    fn attributes(self, attributes: &[KeyValue]) -> Value {
        list(attributes.iter().map(|attribute| {
            let pair = self.object([("key", json!(attribute.key))]);
            Style::with(pair, "value", attribute.value.as_ref().map(|value| self.any(value)))
        }))
    }

    fn resource(self, resource: &Resource) -> Value {
        self.object([
            ("attributes", self.attributes(&resource.attributes)),
            ("droppedAttributesCount", json!(resource.dropped_attributes_count)),
            ("entityRefs", list(resource.entity_refs.iter().map(|entity| self.entity(entity)))),
        ])
    }

    fn entity(self, entity: &EntityRef) -> Value {
        self.object([
            ("schemaUrl", json!(entity.schema_url)),
            ("type", json!(entity.r#type)),
            ("idKeys", json!(entity.id_keys)),
            ("descriptionKeys", json!(entity.description_keys)),
        ])
    }

    fn scope(self, scope: &InstrumentationScope) -> Value {
        self.object([
            ("name", json!(scope.name)),
            ("version", json!(scope.version)),
            ("attributes", self.attributes(&scope.attributes)),
            ("droppedAttributesCount", json!(scope.dropped_attributes_count)),
        ])
    }

    fn span(self, span: &Span) -> Value {
        let object = self.object([
            ("traceId", self.id(&span.trace_id)),
            ("spanId", self.id(&span.span_id)),
            ("traceState", json!(span.trace_state)),
            ("parentSpanId", self.id(&span.parent_span_id)),
            ("name", json!(span.name)),
            ("kind", json!(span.kind)),
            ("startTimeUnixNano", self.unsigned(span.start_time_unix_nano)),
            ("endTimeUnixNano", self.unsigned(span.end_time_unix_nano)),
            ("attributes", self.attributes(&span.attributes)),
            ("droppedAttributesCount", json!(span.dropped_attributes_count)),
            ("events", list(span.events.iter().map(|event| self.event(event)))),
            ("droppedEventsCount", json!(span.dropped_events_count)),
            ("links", list(span.links.iter().map(|link| self.link(link)))),
            ("droppedLinksCount", json!(span.dropped_links_count)),
            ("flags", json!(span.flags)),
        ]);
        let status = |status: &opentelemetry_proto::tonic::trace::v1::Status| {
            self.object([("message", json!(status.message)), ("code", json!(status.code))])
        };
        Style::with(object, "status", span.status.as_ref().map(status))
    }

    fn event(self, event: &Event) -> Value {
        self.object([
            ("timeUnixNano", self.unsigned(event.time_unix_nano)),
            ("name", json!(event.name)),
            ("attributes", self.attributes(&event.attributes)),
            ("droppedAttributesCount", json!(event.dropped_attributes_count)),
        ])
    }

    fn link(self, link: &Link) -> Value {
        self.object([
            ("traceId", self.id(&link.trace_id)),
            ("spanId", self.id(&link.span_id)),
            ("traceState", json!(link.trace_state)),
            ("attributes", self.attributes(&link.attributes)),
            ("droppedAttributesCount", json!(link.dropped_attributes_count)),
            ("flags", json!(link.flags)),
        ])
    }

    fn record(self, record: &LogRecord) -> Value {
        let object = self.object([
            ("timeUnixNano", self.unsigned(record.time_unix_nano)),
            ("observedTimeUnixNano", self.unsigned(record.observed_time_unix_nano)),
            ("severityNumber", json!(record.severity_number)),
            ("severityText", json!(record.severity_text)),
            ("attributes", self.attributes(&record.attributes)),
            ("droppedAttributesCount", json!(record.dropped_attributes_count)),
            ("flags", json!(record.flags)),
            ("traceId", self.id(&record.trace_id)),
            ("spanId", self.id(&record.span_id)),
            ("eventName", json!(record.event_name)),
        ]);
        Style::with(object, "body", record.body.as_ref().map(|body| self.any(body)))
    }

    fn metric(self, metric: &Metric) -> Value {
        let object = self.object([
            ("name", json!(metric.name)),
            ("description", json!(metric.description)),
            ("unit", json!(metric.unit)),
            ("metadata", self.attributes(&metric.metadata)),
        ]);
        match &metric.data {
            None => object,
            Some(Data::Gauge(gauge)) => {
                let points = list(gauge.data_points.iter().map(|point| self.number_point(point)));
                Style::with(object, "gauge", Some(self.object([("dataPoints", points)])))
            }
            Some(Data::Sum(sum)) => {
                let points = list(sum.data_points.iter().map(|point| self.number_point(point)));
                let data = self.object([
                    ("dataPoints", points),
                    ("aggregationTemporality", json!(sum.aggregation_temporality)),
                    ("isMonotonic", json!(sum.is_monotonic)),
                ]);
                Style::with(object, "sum", Some(data))
            }
            Some(Data::Histogram(histogram)) => {
                let points = list(histogram.data_points.iter().map(|point| self.histogram_point(point)));
                let data = self.aggregated(points, histogram.aggregation_temporality);
                Style::with(object, "histogram", Some(data))
            }
            Some(Data::ExponentialHistogram(histogram)) => {
                let points = list(histogram.data_points.iter().map(|point| self.exponential_point(point)));
                let data = self.aggregated(points, histogram.aggregation_temporality);
                Style::with(object, "exponentialHistogram", Some(data))
            }
            Some(Data::Summary(summary)) => {
                let points = list(summary.data_points.iter().map(|point| self.summary_point(point)));
                Style::with(object, "summary", Some(self.object([("dataPoints", points)])))
            }
        }
    }

    fn aggregated(self, points: Value, temporality: i32) -> Value {
        self.object([("dataPoints", points), ("aggregationTemporality", json!(temporality))])
    }

    fn exemplars(self, exemplars: &[Exemplar]) -> Value {
        list(exemplars.iter().map(|exemplar| {
            let object = self.object([
                ("filteredAttributes", self.attributes(&exemplar.filtered_attributes)),
                ("timeUnixNano", self.unsigned(exemplar.time_unix_nano)),
                ("spanId", self.id(&exemplar.span_id)),
                ("traceId", self.id(&exemplar.trace_id)),
            ]);
            match exemplar.value {
                None => object,
                Some(exemplar::Value::AsInt(number)) => {
                    Style::with(object, "asInt", Some(self.signed(number)))
                }
                Some(exemplar::Value::AsDouble(number)) => {
                    Style::with(object, "asDouble", Some(double(number)))
                }
            }
        }))
    }

    fn number_point(self, point: &NumberDataPoint) -> Value {
        let object = self.object([
            ("attributes", self.attributes(&point.attributes)),
            ("startTimeUnixNano", self.unsigned(point.start_time_unix_nano)),
            ("timeUnixNano", self.unsigned(point.time_unix_nano)),
            ("exemplars", self.exemplars(&point.exemplars)),
            ("flags", json!(point.flags)),
        ]);
        match point.value {
            None => object,
            Some(NumberValue::AsInt(number)) => Style::with(object, "asInt", Some(self.signed(number))),
            Some(NumberValue::AsDouble(number)) => Style::with(object, "asDouble", Some(double(number))),
        }
    }

    fn histogram_point(self, point: &HistogramDataPoint) -> Value {
        let object = self.object([
            ("attributes", self.attributes(&point.attributes)),
            ("startTimeUnixNano", self.unsigned(point.start_time_unix_nano)),
            ("timeUnixNano", self.unsigned(point.time_unix_nano)),
            ("count", self.unsigned(point.count)),
            ("bucketCounts", self.unsigned_list(&point.bucket_counts)),
            ("explicitBounds", list(point.explicit_bounds.iter().map(|bound| double(*bound)))),
            ("exemplars", self.exemplars(&point.exemplars)),
            ("flags", json!(point.flags)),
        ]);
        extremes(object, [point.sum, point.min, point.max])
    }

    fn exponential_point(self, point: &ExponentialHistogramDataPoint) -> Value {
        let buckets = |buckets: &Buckets| {
            let counts = self.unsigned_list(&buckets.bucket_counts);
            self.object([("offset", json!(buckets.offset)), ("bucketCounts", counts)])
        };
        let object = self.object([
            ("attributes", self.attributes(&point.attributes)),
            ("startTimeUnixNano", self.unsigned(point.start_time_unix_nano)),
            ("timeUnixNano", self.unsigned(point.time_unix_nano)),
            ("count", self.unsigned(point.count)),
            ("scale", json!(point.scale)),
            ("zeroCount", self.unsigned(point.zero_count)),
            ("flags", json!(point.flags)),
            ("exemplars", self.exemplars(&point.exemplars)),
            ("zeroThreshold", double(point.zero_threshold)),
        ]);
        let object = Style::with(object, "positive", point.positive.as_ref().map(buckets));
        let object = Style::with(object, "negative", point.negative.as_ref().map(buckets));
        extremes(object, [point.sum, point.min, point.max])
    }

    fn summary_point(self, point: &SummaryDataPoint) -> Value {
        let quantiles = point
            .quantile_values
            .iter()
            .map(|pair| self.object([("quantile", double(pair.quantile)), ("value", double(pair.value))]));
        self.object([
            ("attributes", self.attributes(&point.attributes)),
            ("startTimeUnixNano", self.unsigned(point.start_time_unix_nano)),
            ("timeUnixNano", self.unsigned(point.time_unix_nano)),
            ("count", self.unsigned(point.count)),
            ("sum", double(point.sum)),
            ("quantileValues", list(quantiles)),
            ("flags", json!(point.flags)),
        ])
    }
}

fn extremes(object: Value, [sum, min, max]: [Option<f64>; 3]) -> Value {
    let object = Style::with(object, "sum", sum.map(double));
    let object = Style::with(object, "min", min.map(double));
    Style::with(object, "max", max.map(double))
}
