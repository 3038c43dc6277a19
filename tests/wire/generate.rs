//! Arbitrary OTLP requests of traces and logs, valid but for defects that are planted one to an item and remembered.

use isotel::wire::Refusal;
use isotel::wire::any_value::NESTING_MAX;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A request with planted defects.
#[derive(Clone, Debug)]
pub struct Planted<R> {
    /// As it is sent.
    pub request: R,
    /// The same without the items that break a rule.
    pub kept: R,
    /// How many break which rule.
    pub refused: BTreeMap<Refusal, u64>,
}

/// One item and the rule that it breaks.
pub type Item<T> = (T, Option<Refusal>);
/// A scope's items, and a resource's scopes.
pub type Scoped<T> = (Option<InstrumentationScope>, String, Vec<Item<T>>);
pub type Sent<T> = (Option<Resource>, String, Vec<Scoped<T>>);

/// Attribute keys that the model reads, and others.
fn key() -> impl Strategy<Value = String> {
    let read = [
        "http.request.method",
        "http.method",
        "http.route",
        "url.path",
        "http.response.status_code",
        "rpc.method",
        "messaging.destination.name",
        "db.operation",
        "error.type",
        "span.kind",
        "status.code",
    ];
    prop_oneof![
        3 => proptest::sample::select(read.to_vec()).prop_map(str::to_owned),
        3 => "[a-z]{1,3}",
        1 => any::<String>(),
    ]
}

/// Any double, with one NaN only: equal values then have equal bytes.
pub fn double() -> impl Strategy<Value = f64> {
    any::<f64>().prop_map(|value| if value.is_nan() { f64::NAN } else { value })
}

pub fn finite() -> impl Strategy<Value = f64> {
    any::<f64>().prop_filter("finite", |value| value.is_finite())
}

fn value() -> impl Strategy<Value = Option<AnyValue>> {
    let leaf = prop_oneof![
        any::<String>().prop_map(Value::StringValue),
        any::<bool>().prop_map(Value::BoolValue),
        any::<i64>().prop_map(Value::IntValue),
        double().prop_map(Value::DoubleValue),
        vec(any::<u8>(), 0..9).prop_map(Value::BytesValue),
    ];
    let nested = leaf.prop_recursive(3, 12, 4, |inner| {
        let element = option::weighted(0.9, inner).prop_map(|value| AnyValue { value }).boxed();
        let pair = (key(), option::weighted(0.9, element.clone())).prop_map(|(key, value)| KeyValue {
            key,
            value,
            ..KeyValue::default()
        });
        prop_oneof![
            vec(element, 0..4).prop_map(|values| Value::ArrayValue(ArrayValue { values })),
            vec(pair, 0..4).prop_map(|values| Value::KvlistValue(KeyValueList { values })),
        ]
    });
    option::weighted(0.95, option::weighted(0.95, nested).prop_map(|value| AnyValue { value }))
}

pub fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let pair = (key(), value()).prop_map(|(key, value)| KeyValue { key, value, ..KeyValue::default() });
    vec(pair, 0..5)
}

/// An attribute of arrays inside of each other.
pub fn nested(levels: usize) -> KeyValue {
    let mut value = AnyValue::default();
    for _ in 0..levels {
        value = AnyValue { value: Some(Value::ArrayValue(ArrayValue { values: vec![value] })) };
    }
    KeyValue { key: "nested".to_owned(), value: Some(value), ..KeyValue::default() }
}

fn resource() -> impl Strategy<Value = Resource> {
    let entity = (any::<String>(), vec(any::<String>(), 0..2)).prop_map(|(schema_url, id_keys)| EntityRef {
        schema_url,
        id_keys,
        r#type: "service".to_owned(),
        ..EntityRef::default()
    });
    (attributes(), any::<u32>(), vec(entity, 0..2)).prop_map(
        |(attributes, dropped_attributes_count, entity_refs)| Resource {
            attributes,
            dropped_attributes_count,
            entity_refs,
        },
    )
}

fn scope() -> impl Strategy<Value = InstrumentationScope> {
    (any::<String>(), "[0-9.]{0,5}", attributes(), any::<u32>()).prop_map(
        |(name, version, attributes, dropped_attributes_count)| InstrumentationScope {
            name,
            version,
            attributes,
            dropped_attributes_count,
        },
    )
}

/// Items in scopes in resources.
pub fn sent<T: Clone + std::fmt::Debug>(
    item: impl Strategy<Value = Item<T>>,
) -> impl Strategy<Value = Vec<Sent<T>>> {
    let scoped = (option::of(scope()), "[a-z/.]{0,4}", vec(item, 0..4));
    vec((option::weighted(0.9, resource()), "[a-z/.]{0,4}", vec(scoped, 0..3)), 0..3)
}

pub fn tally<T>(sent: &[Sent<T>], weight: impl Fn(&T) -> u64) -> BTreeMap<Refusal, u64> {
    let mut refused = BTreeMap::new();
    let items = sent.iter().flat_map(|(_, _, scopes)| scopes).flat_map(|(_, _, items)| items);
    for (item, broken) in items {
        if let Some(broken) = broken
            && weight(item) > 0
        {
            *refused.entry(*broken).or_default() += weight(item);
        }
    }
    refused
}

fn traces_of(sent: &[Sent<Span>], with_broken: bool) -> ExportTraceServiceRequest {
    let spans = |items: &[Item<Span>]| {
        items
            .iter()
            .filter(|(_, broken)| with_broken || broken.is_none())
            .map(|(span, _)| span.clone())
            .collect()
    };
    let scopes = |scopes: &[Scoped<Span>]| {
        scopes
            .iter()
            .map(|(scope, url, items)| ScopeSpans {
                scope: scope.clone(),
                schema_url: url.clone(),
                spans: spans(items),
            })
            .collect()
    };
    let resources = sent.iter().map(|(resource, url, inner)| ResourceSpans {
        resource: resource.clone(),
        schema_url: url.clone(),
        scope_spans: scopes(inner),
    });
    ExportTraceServiceRequest { resource_spans: resources.collect() }
}

fn logs_of(sent: &[Sent<LogRecord>], with_broken: bool) -> ExportLogsServiceRequest {
    let records = |items: &[Item<LogRecord>]| {
        items
            .iter()
            .filter(|(_, broken)| with_broken || broken.is_none())
            .map(|(item, _)| item.clone())
            .collect()
    };
    let scopes = |scopes: &[Scoped<LogRecord>]| {
        scopes
            .iter()
            .map(|(scope, url, items)| ScopeLogs {
                scope: scope.clone(),
                schema_url: url.clone(),
                log_records: records(items),
            })
            .collect()
    };
    let resources = sent.iter().map(|(resource, url, inner)| ResourceLogs {
        resource: resource.clone(),
        schema_url: url.clone(),
        scope_logs: scopes(inner),
    });
    ExportLogsServiceRequest { resource_logs: resources.collect() }
}

/// Trace requests.
pub fn traces() -> impl Strategy<Value = Planted<ExportTraceServiceRequest>> {
    sent(
        (span(), option::weighted(0.15, 0..SPAN_DEFECTS)).prop_map(|(span, defect)| spoil_span(span, defect)),
    )
    .prop_map(|sent| Planted {
        request: traces_of(&sent, true),
        kept: traces_of(&sent, false),
        refused: tally(&sent, |_| 1),
    })
}

fn id<const N: usize>() -> impl Strategy<Value = Vec<u8>> {
    any::<[u8; N]>().prop_map(|mut id| {
        id[N - 1] |= 1;
        id.to_vec()
    })
}

fn tracestate() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just(String::new()),
        2 => "[0-9a-f]{1,14}".prop_map(|digits| format!("vendor=1,ot=rv:7;th:{digits}")),
        1 => any::<String>(),
    ]
}

fn span() -> impl Strategy<Value = Span> {
    let event =
        (any::<u64>(), any::<String>(), attributes()).prop_map(|(time_unix_nano, name, attributes)| Event {
            time_unix_nano,
            name,
            attributes,
            dropped_attributes_count: 1,
        });
    let link = (id::<16>(), id::<8>(), any::<String>(), attributes()).prop_map(
        |(trace_id, span_id, trace_state, attributes)| Link {
            trace_id,
            span_id,
            trace_state,
            attributes,
            dropped_attributes_count: 2,
            flags: 3,
        },
    );
    let ids = (id::<16>(), id::<8>(), option::of(id::<8>()), tracestate());
    let times = (1u64..u64::MAX, any::<u64>());
    let inner = (attributes(), vec(event, 0..3), vec(link, 0..2));
    let status = option::of((any::<String>(), 0..4i32).prop_map(|(message, code)| Status { message, code }));
    (ids, any::<String>(), -1..400i32, times, inner, status, any::<u32>()).prop_map(
        |((trace_id, span_id, parent, trace_state), name, kind, (one, other), inner, status, flags)| Span {
            trace_id,
            span_id,
            parent_span_id: parent.unwrap_or_default(),
            trace_state,
            name,
            kind,
            start_time_unix_nano: one.min(other).max(1),
            end_time_unix_nano: one.max(other),
            attributes: inner.0,
            dropped_attributes_count: 9,
            events: inner.1,
            dropped_events_count: 0,
            links: inner.2,
            dropped_links_count: u32::MAX,
            status,
            flags,
        },
    )
}

const SPAN_DEFECTS: usize = 9;

fn spoil_span(mut span: Span, defect: Option<usize>) -> Item<Span> {
    let Some(defect) = defect else { return (span, None) };
    let refusal = match defect {
        0 => {
            span.trace_id.pop();
            Refusal::TraceIdLength
        }
        1 => {
            span.trace_id = vec![0; 16];
            Refusal::TraceIdZero
        }
        2 => {
            span.span_id.push(1);
            Refusal::SpanIdLength
        }
        3 => {
            span.span_id.clear();
            Refusal::SpanIdLength
        }
        4 => {
            span.span_id = vec![0; 8];
            Refusal::SpanIdZero
        }
        5 => {
            span.parent_span_id = vec![1; 16];
            Refusal::ParentSpanIdLength
        }
        6 => {
            (span.start_time_unix_nano, span.end_time_unix_nano) = (2, 1);
            Refusal::EndBeforeStart
        }
        7 => {
            span.end_time_unix_nano = 0;
            Refusal::TimeUnset
        }
        _ => {
            span.attributes.insert(0, nested(NESTING_MAX + 1));
            Refusal::NestingTooDeep
        }
    };
    (span, Some(refusal))
}

/// Log requests.
pub fn logs() -> impl Strategy<Value = Planted<ExportLogsServiceRequest>> {
    sent(
        (record(), option::weighted(0.15, 0..4usize))
            .prop_map(|(record, defect)| spoil_record(record, defect)),
    )
    .prop_map(|sent| Planted {
        request: logs_of(&sent, true),
        kept: logs_of(&sent, false),
        refused: tally(&sent, |_| 1),
    })
}

fn record() -> impl Strategy<Value = LogRecord> {
    let ids = (option::of(id::<16>()), option::of(id::<8>()));
    let texts = (any::<String>(), any::<String>());
    (any::<[u64; 2]>(), -1..30i32, texts, value(), attributes(), ids, any::<u32>()).prop_map(
        |([time, observed], severity_number, (severity_text, event_name), body, attributes, ids, flags)| {
            LogRecord {
                time_unix_nano: time,
                observed_time_unix_nano: observed,
                severity_number,
                severity_text,
                body,
                attributes,
                dropped_attributes_count: 1,
                flags,
                trace_id: ids.0.unwrap_or_default(),
                span_id: ids.1.unwrap_or_default(),
                event_name,
            }
        },
    )
}

fn spoil_record(mut record: LogRecord, defect: Option<usize>) -> Item<LogRecord> {
    let Some(defect) = defect else { return (record, None) };
    let refusal = match defect {
        0 => {
            record.trace_id = vec![1; 15];
            Refusal::TraceIdLength
        }
        1 => {
            record.span_id = vec![1];
            Refusal::SpanIdLength
        }
        2 => {
            record.body = nested(NESTING_MAX + 1).value;
            Refusal::NestingTooDeep
        }
        _ => {
            record.attributes.push(nested(NESTING_MAX + 1));
            Refusal::NestingTooDeep
        }
    };
    (record, Some(refusal))
}
