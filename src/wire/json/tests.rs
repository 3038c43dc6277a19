//! The rules of OTLP/JSON, one by one, seen through the protobuf decoder.

use super::*;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

fn span(json: &str) -> Result<Span, String> {
    let request = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{json}]}}]}}]}}"#);
    let mut out = Vec::new();
    transcode(Signal::Traces, request.as_bytes(), &mut out).map_err(|e| e.to_string())?;
    let decoded = ExportTraceServiceRequest::decode(&*out).unwrap();
    Ok(decoded.resource_spans[0].scope_spans[0].spans[0].clone())
}

#[test]
fn ids_are_hexadecimal_of_any_case() {
    let span = span(r#"{"traceId":"5B8EFFF798038103D269b633813fc60c","spanId":"EEE19b7ec3c1b174"}"#).unwrap();
    assert_eq!(span.trace_id[..3], [0x5b, 0x8e, 0xff]);
    assert_eq!(span.span_id, [0xee, 0xe1, 0x9b, 0x7e, 0xc3, 0xc1, 0xb1, 0x74]);
}

#[test]
fn an_id_that_is_no_hexadecimal_becomes_one_of_the_wrong_length() {
    for id in ["zz", "abc", "5b8efff798038103d269b633813fc60"] {
        assert_eq!(span(&format!(r#"{{"traceId":"{id}"}}"#)).unwrap().trace_id.len(), 1, "{id}");
    }
}

#[test]
fn integers_of_64_bits_are_strings_or_numbers() {
    for written in ["\"1544712660000000001\"", "1544712660000000001"] {
        let span = span(&format!(r#"{{"startTimeUnixNano":{written}}}"#)).unwrap();
        assert_eq!(span.start_time_unix_nano, 1_544_712_660_000_000_001);
    }
    assert_eq!(span(r#"{"startTimeUnixNano":1e3}"#).unwrap().start_time_unix_nano, 1_000);
}

#[test]
fn null_and_omitted_fields_are_defaults_and_unknown_fields_are_ignored() {
    let span = span(r#"{"name":null,"attributes":null,"status":{},"future":{"a":[1,{"b":null}]},"kind":2}"#)
        .unwrap();
    assert_eq!((span.name.as_str(), span.attributes.len(), span.kind), ("", 0, 2));
}

#[test]
fn enum_names_are_refused_with_the_field_and_the_remedy() {
    let error = span(r#"{"kind":"SPAN_KIND_SERVER"}"#).unwrap_err();
    assert!(error.contains("kind: expected an integer (OTLP/JSON does not allow enum names)"), "{error}");
    assert!(error.contains("line 1 column"), "{error}");
}

#[test]
fn wrong_types_out_of_range_numbers_and_trailing_text_are_malformed() {
    for wrong in [
        r#"{"startTimeUnixNano":-1}"#,
        r#"{"startTimeUnixNano":1.5}"#,
        r#"{"startTimeUnixNano":"abc"}"#,
        r#"{"startTimeUnixNano":18446744073709551616}"#,
        r#"{"attributes":{}}"#,
        r#"{"name":3}"#,
        r#"{"status":7}"#,
    ] {
        assert!(span(wrong).is_err(), "{wrong}");
    }
    let mut out = Vec::new();
    assert!(transcode(Signal::Traces, b"{} x", &mut out).is_err());
    assert!(transcode(Signal::Traces, b"[]", &mut out).is_err());
    assert!(transcode(Signal::Traces, b"{}", &mut out).is_ok());
}

#[test]
fn every_kind_of_attribute_value_arrives() {
    let span = span(
        r#"{"attributes":[
            {"key":"s","value":{"stringValue":"text"}},
            {"key":"i","value":{"intValue":"-5"}},
            {"key":"z","value":{"intValue":0}},
            {"key":"d","value":{"doubleValue":"NaN"}},
            {"key":"b","value":{"boolValue":false}},
            {"key":"y","value":{"bytesValue":"_-8"}},
            {"key":"e","value":{}},
            {"key":"n","value":null},
            {"key":"a","value":{"arrayValue":{"values":[{"intValue":1},{},{"kvlistValue":{"values":[{"key":"k"}]}}]}}}
        ]}"#,
    )
    .unwrap();
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let value = |at: usize| span.attributes[at].value.clone().and_then(|v| v.value);
    assert_eq!(value(0), Some(Value::StringValue("text".into())));
    assert_eq!(value(1), Some(Value::IntValue(-5)));
    assert_eq!(value(2), Some(Value::IntValue(0)));
    assert!(matches!(value(3), Some(Value::DoubleValue(d)) if d.is_nan()));
    assert_eq!(value(4), Some(Value::BoolValue(false)));
    assert_eq!(value(5), Some(Value::BytesValue(vec![0xff, 0xef])));
    assert_eq!((value(6), value(7)), (None, None));
    assert!(matches!(value(8), Some(Value::ArrayValue(array)) if array.values.len() == 3));
}

#[test]
fn metrics_keep_their_data_and_their_64_bit_values() {
    let json = br#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[
        {"name":"a","sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[{"timeUnixNano":"1","asInt":"9007199254740993"}]}},
        {"name":"b","exponentialHistogram":{"dataPoints":[{"scale":-2,"positive":{"offset":-7,"bucketCounts":["1",2]}}]}}
    ]}]}]}"#;
    let mut out = Vec::new();
    transcode(Signal::Metrics, json, &mut out).unwrap();
    let decoded = ExportMetricsServiceRequest::decode(&*out).unwrap();
    let metrics = &decoded.resource_metrics[0].scope_metrics[0].metrics;
    let Some(Data::Sum(sum)) = &metrics[0].data else { panic!("no sum") };
    assert_eq!(sum.data_points[0].value, Some(number_data_point::Value::AsInt(9_007_199_254_740_993)));
    let Some(Data::ExponentialHistogram(histogram)) = &metrics[1].data else { panic!("no histogram") };
    let point = &histogram.data_points[0];
    assert_eq!((point.scale, point.positive.clone().unwrap().offset), (-2, -7));
    assert_eq!(point.positive.clone().unwrap().bucket_counts, [1, 2]);
}
