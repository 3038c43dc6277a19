//! A request as OTLP/JSON, as SDKs for browsers and Node write it.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value as Content};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use serde_json::{Value, json as object};

/// The JSON form of a request of this module's spans: text and whole numbers as attributes, no events, no links.
pub fn of(request: &ExportTraceServiceRequest) -> Vec<u8> {
    let resources: Vec<Value> = request.resource_spans.iter().map(resource_spans).collect();
    object!({ "resourceSpans": resources }).to_string().into_bytes()
}

fn resource_spans(resource: &ResourceSpans) -> Value {
    let scopes: Vec<Value> = resource.scope_spans.iter().map(scope_spans).collect();
    let of = resource.resource.clone().unwrap_or_default();
    object!({
        "resource": { "attributes": attributes(&of.attributes) },
        "scopeSpans": scopes,
        "schemaUrl": resource.schema_url,
    })
}

fn scope_spans(scope: &ScopeSpans) -> Value {
    let spans: Vec<Value> = scope.spans.iter().map(span).collect();
    let of = scope.scope.clone().unwrap_or_default();
    object!({ "scope": { "name": of.name, "version": of.version }, "spans": spans })
}

fn span(span: &Span) -> Value {
    let mut members = object!({
        "traceId": hex(&span.trace_id),
        "spanId": hex(&span.span_id),
        "parentSpanId": hex(&span.parent_span_id),
        "flags": span.flags,
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": span.start_time_unix_nano.to_string(),
        "endTimeUnixNano": span.end_time_unix_nano.to_string(),
        "attributes": attributes(&span.attributes),
    });
    if let Some(status) = &span.status {
        members["status"] = object!({ "code": status.code, "message": status.message });
    }
    members
}

fn attributes(attributes: &[KeyValue]) -> Vec<Value> {
    let pair = |attribute: &KeyValue| {
        let value = match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(Content::StringValue(text)) => object!({ "stringValue": text }),
            Some(Content::IntValue(number)) => object!({ "intValue": number.to_string() }),
            _ => object!({}),
        };
        object!({ "key": attribute.key, "value": value })
    };
    attributes.iter().map(pair).collect()
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
