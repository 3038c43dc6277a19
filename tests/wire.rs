//! The field reader against prost, and against bytes that are no request.
//!
//! What it proves: that what prost encodes is read alike, item by item and value by value, and that no bytes make the
//! readers panic. What it does not: OTLP's answers over a socket (tests/conformance).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends by panicking")]
#![allow(clippy::disallowed_methods, reason = "where the published examples lie is told by the environment")]
#![allow(clippy::print_stderr, reason = "what a test could not show is said by name")]

use isotel::wire::metrics::PointValue;
use isotel::wire::{
    LogBatch, MetricBatch, Signal, TraceBatch, decode_logs, decode_metrics, decode_traces, json,
};
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, exponential_histogram_data_point::Buckets,
    metric::Data, number_data_point::Value as Number,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::Event};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message;

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> + Clone {
    let leaf = prop_oneof![
        "[a-zé]{0,12}".prop_map(Any::StringValue),
        any::<i64>().prop_map(Any::IntValue),
        any::<f64>().prop_map(Any::DoubleValue),
        any::<bool>().prop_map(Any::BoolValue),
        vec(any::<u8>(), 0..5).prop_map(Any::BytesValue),
    ];
    let value = leaf.prop_recursive(3, 12, 3, |inner| {
        let wrap = |value| AnyValue { value: Some(value) };
        vec(inner.prop_map(wrap), 0..3).prop_map(|values| Any::ArrayValue(ArrayValue { values }))
    });
    let pair = ("[a-z.]{1,20}", option::weighted(0.9, value)).prop_map(|(key, value)| KeyValue {
        key,
        value: Some(AnyValue { value }),
        ..KeyValue::default()
    });
    vec(pair, 0..6)
}

fn id(good: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => vec(any::<u8>(), good..=good),
        1 => Just(vec![0; good]),
        1 => vec(any::<u8>(), 0..20),
    ]
}

fn spans() -> impl Strategy<Value = Span> {
    let parent = prop_oneof![3 => Just(Vec::new()), 2 => id(8)];
    let times = (1_u64..u64::MAX / 2, -5_i64..i64::MAX / 2);
    (
        id(16),
        id(8),
        parent,
        ".{0,30}",
        0..6_i32,
        times,
        attributes(),
        option::of(0..3_i32),
        vec(".{0,8}", 0..3),
    )
        .prop_map(
            |(trace_id, span_id, parent_span_id, name, kind, (start, took), attributes, code, events)| Span {
                trace_id,
                span_id,
                parent_span_id,
                name,
                kind,
                start_time_unix_nano: start,
                end_time_unix_nano: start.saturating_add_signed(took),
                attributes,
                status: code.map(|code| Status { code, message: "why".to_owned() }),
                events: events.into_iter().map(|name| Event { name, ..Event::default() }).collect(),
                ..Span::default()
            },
        )
}

fn traces() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let scope_spans = vec(spans(), 0..5).prop_map(|spans| ScopeSpans { spans, ..ScopeSpans::default() });
    let resource_spans =
        (option::of(attributes()), vec(scope_spans, 0..3)).prop_map(|(attributes, scope_spans)| {
            let resource = attributes.map(|attributes| Resource { attributes, ..Resource::default() });
            ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }
        });
    vec(resource_spans, 0..3).prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

/// OTLP's rules for one span.
fn is_good(span: &Span) -> bool {
    let id = |bytes: &[u8], length| bytes.len() == length && bytes.iter().any(|byte| *byte != 0);
    id(&span.trace_id, 16)
        && id(&span.span_id, 8)
        && (span.parent_span_id.is_empty() || span.parent_span_id.len() == 8)
        && span.end_time_unix_nano >= span.start_time_unix_nano
}

proptest! {
    #[test]
    fn spans_that_prost_encodes_are_read_alike(request in traces()) {
        let bytes = request.encode_to_vec();
        let mut batch = TraceBatch::default();
        decode_traces(&bytes, &mut batch).unwrap();
        let all: Vec<&Span> = request
            .resource_spans
            .iter()
            .flat_map(|resource| &resource.scope_spans)
            .flat_map(|scope| &scope.spans)
            .collect();
        let good: Vec<&Span> = all.iter().copied().filter(|span| is_good(span)).collect();
        prop_assert_eq!(batch.refusals.total(), (all.len() - good.len()) as u64);
        prop_assert_eq!(batch.spans.len(), good.len());
        for (ours, theirs) in batch.spans.iter().zip(good) {
            prop_assert_eq!(ours.trace_id.of(&bytes), &theirs.trace_id[..]);
            prop_assert_eq!(ours.name.of(&bytes), theirs.name.as_bytes());
            prop_assert_eq!(i32::from(ours.kind), theirs.kind);
            prop_assert_eq!(ours.start_ns, theirs.start_time_unix_nano);
            prop_assert_eq!(ours.end_ns, theirs.end_time_unix_nano);
            prop_assert_eq!(i32::from(ours.status), theirs.status.as_ref().map_or(0, |status| status.code));
            let events: Vec<&[u8]> =
                batch.names[ours.events.range()].iter().map(|name| name.of(&bytes)).collect();
            let their_events: Vec<&[u8]> = theirs.events.iter().map(|event| event.name.as_bytes()).collect();
            prop_assert_eq!(events, their_events);
            prop_assert_eq!(ours.message.of(&bytes), &theirs.encode_to_vec()[..]);
        }
    }

    #[test]
    fn points_that_prost_encodes_are_read_alike(metrics in vec(metric(), 0..6)) {
        let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
        let resource = ResourceMetrics { scope_metrics, ..ResourceMetrics::default() };
        let request = ExportMetricsServiceRequest { resource_metrics: vec![resource] };
        let bytes = request.encode_to_vec();
        let mut batch = MetricBatch::default();
        decode_metrics(&bytes, &mut batch).unwrap();
        prop_assert_eq!(batch.refusals.total(), 0);
        let theirs = &request.resource_metrics[0].scope_metrics[0].metrics;
        let with_points: Vec<&Metric> = theirs.iter().filter(|metric| !read_points(metric).is_empty()).collect();
        let ours: Vec<_> = batch.metrics.iter().filter(|metric| !metric.points.range().is_empty()).collect();
        prop_assert_eq!(ours.len(), with_points.len());
        for (ours, theirs) in ours.into_iter().zip(with_points) {
            prop_assert_eq!(ours.name.of(&bytes), theirs.name.as_bytes());
            prop_assert_eq!(ours.unit.of(&bytes), theirs.unit.as_bytes());
            let points = read_points(theirs);
            prop_assert_eq!(ours.points.range().len(), points.len());
            for (ours, (time_ns, sum, counts)) in batch.points[ours.points.range()].iter().zip(points) {
                prop_assert_eq!(ours.time_ns, time_ns);
                let (our_sum, our_counts) = value_of(&ours.value, &batch);
                prop_assert_eq!(our_sum, sum);
                prop_assert_eq!(our_counts, counts);
            }
        }
    }

    #[test]
    fn damaged_requests_are_read_or_refused_and_never_panic(
        request in traces(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = request.encode_to_vec();
        prop_assume!(!bytes.is_empty());
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        decode_all(&bytes);
        decode_all(&bytes[..cut.index(bytes.len())]);
    }

    #[test]
    fn any_bytes_are_read_or_refused_and_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        decode_all(&bytes);
        let _ = isotel::wire::file::read_requests(&bytes, |_, _, _| ());
    }

    #[test]
    fn any_text_is_read_or_refused_as_json_and_never_panics(
        text in "[\\[\\]{}:,\"a-zA-Z0-9 .\\-]{0,200}",
        signal in prop::sample::select(Signal::ALL.to_vec()),
    ) {
        let _ = json::transcode(signal, text.as_bytes(), &mut Vec::new());
    }
}

/// Whether the readers agree with prost that these bytes are a request does not matter here; that they return does.
fn decode_all(bytes: &[u8]) {
    let _ = decode_traces(bytes, &mut TraceBatch::default());
    let _ = decode_metrics(bytes, &mut MetricBatch::default());
    let _ = decode_logs(bytes, &mut LogBatch::default());
}

fn metric() -> impl Strategy<Value = Metric> {
    let number = (1..u64::MAX, any::<i64>(), -1e9..1e9_f64, any::<bool>(), attributes()).prop_map(
        |(time_unix_nano, int, double, whole, attributes)| NumberDataPoint {
            time_unix_nano,
            value: Some(if whole { Number::AsInt(int) } else { Number::AsDouble(double) }),
            attributes,
            ..NumberDataPoint::default()
        },
    );
    let histogram = (1..u64::MAX, vec(0..1_000_u64, 1..6), 0.0..1e6_f64, attributes()).prop_map(
        |(time, counts, sum, attributes)| HistogramDataPoint {
            time_unix_nano: time,
            count: counts.iter().sum(),
            sum: Some(sum),
            explicit_bounds: (1..counts.len()).map(|at| at as f64).collect(),
            bucket_counts: counts,
            attributes,
            ..HistogramDataPoint::default()
        },
    );
    let exponential = (1..u64::MAX, vec(0..1_000_u64, 1..6), 0.0..1e6_f64, -5..10_i32, -50..50_i32, 0..9_u64)
        .prop_map(|(time, counts, sum, scale, offset, zero_count)| ExponentialHistogramDataPoint {
            time_unix_nano: time,
            count: counts.iter().sum::<u64>() + zero_count,
            sum: Some(sum),
            scale,
            zero_count,
            positive: Some(Buckets { offset, bucket_counts: counts }),
            ..ExponentialHistogramDataPoint::default()
        });
    let data = prop_oneof![
        vec(number.clone(), 0..4).prop_map(|data_points| Data::Gauge(Gauge { data_points })),
        (vec(number, 0..4), 1..3_i32, any::<bool>()).prop_map(|(data_points, temporality, is_monotonic)| {
            Data::Sum(Sum { data_points, aggregation_temporality: temporality, is_monotonic })
        }),
        (vec(histogram, 0..4), 1..3_i32).prop_map(|(data_points, temporality)| Data::Histogram(Histogram {
            data_points,
            aggregation_temporality: temporality,
        })),
        (vec(exponential, 0..4), 1..3_i32).prop_map(|(data_points, temporality)| {
            Data::ExponentialHistogram(ExponentialHistogram {
                data_points,
                aggregation_temporality: temporality,
            })
        }),
    ];
    ("[a-z.]{1,20}", "[a-z{}]{0,5}", data).prop_map(|(name, unit, data)| Metric {
        name,
        unit,
        data: Some(data),
        ..Metric::default()
    })
}

/// Time, value or sum, and counts of a point.
type ReadPoint = (u64, f64, Vec<u64>);

fn read_points(metric: &Metric) -> Vec<ReadPoint> {
    let number = |point: &NumberDataPoint| {
        let value = match point.value.unwrap() {
            Number::AsInt(int) => int as f64,
            Number::AsDouble(double) => double,
        };
        (point.time_unix_nano, value, Vec::new())
    };
    match metric.data.as_ref().unwrap() {
        Data::Gauge(gauge) => gauge.data_points.iter().map(number).collect(),
        Data::Sum(sum) => sum.data_points.iter().map(number).collect(),
        Data::Histogram(histogram) => histogram
            .data_points
            .iter()
            .map(|point| (point.time_unix_nano, point.sum.unwrap(), point.bucket_counts.clone()))
            .collect(),
        Data::ExponentialHistogram(histogram) => histogram
            .data_points
            .iter()
            .map(|point| {
                let counts = point.positive.clone().unwrap().bucket_counts;
                (point.time_unix_nano, point.sum.unwrap(), counts)
            })
            .collect(),
        Data::Summary(_) => Vec::new(),
    }
}

fn value_of(value: &PointValue, batch: &MetricBatch) -> (f64, Vec<u64>) {
    match value {
        PointValue::Int(int) => (*int as f64, Vec::new()),
        PointValue::Double(double) => (*double, Vec::new()),
        PointValue::Histogram { sum, buckets, .. } => (sum.unwrap(), batch.counts[buckets.range()].to_vec()),
        PointValue::Exponential { sum, positive, .. } => {
            (sum.unwrap(), batch.counts[positive.range()].to_vec())
        }
        PointValue::None | PointValue::Summary { .. } => panic!("{value:?}"),
    }
}

#[test]
fn the_published_examples_are_read_whole() {
    const FOLDER: &str = "ISOTEL_OTLP_EXAMPLES_DIR";
    let Some(folder) = std::env::var_os(FOLDER) else {
        eprintln!("skipped, and nothing shown: {FOLDER} does not say where OTLP's published examples are");
        return;
    };
    for (file, signal) in [
        ("trace.json", Signal::Traces),
        ("metrics.json", Signal::Metrics),
        ("logs.json", Signal::Logs),
        ("events.json", Signal::Logs),
    ] {
        let text = std::fs::read(std::path::Path::new(&folder).join(file)).expect(file);
        let mut bytes = Vec::new();
        json::transcode(signal, &text, &mut bytes).expect(file);
        let (read, theirs) = match signal {
            Signal::Traces => {
                let mut batch = TraceBatch::default();
                decode_traces(&bytes, &mut batch).expect(file);
                let request = ExportTraceServiceRequest::decode(&bytes[..]).expect(file);
                let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
                (batch.spans.len(), scopes.map(|scope| scope.spans.len()).sum::<usize>())
            }
            Signal::Metrics => {
                let mut batch = MetricBatch::default();
                decode_metrics(&bytes, &mut batch).expect(file);
                let request = ExportMetricsServiceRequest::decode(&bytes[..]).expect(file);
                let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
                (batch.metrics.len(), scopes.map(|scope| scope.metrics.len()).sum())
            }
            Signal::Logs => {
                let mut batch = LogBatch::default();
                decode_logs(&bytes, &mut batch).expect(file);
                let request = ExportLogsServiceRequest::decode(&bytes[..]).expect(file);
                let scopes = request.resource_logs.iter().flat_map(|resource| &resource.scope_logs);
                (batch.records.len(), scopes.map(|scope| scope.log_records.len()).sum())
            }
        };
        assert!(read > 0 && read == theirs, "{file}: {read} of {theirs}");
    }
}
