//! Bytes to records: the wire reader beside prost on the same requests, and JSON to protobuf bytes.
//!
//! Prost decodes into the whole of opentelemetry-proto's types and frees them, which is what a receiver that decodes
//! each request pays. Requests take turns, so that no branch predictor learns one by heart. Before anything is timed,
//! both readers are shown to have read the same.
//!
//! `cargo bench --bench decode`

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a benchmark ends by panicking")]

mod common;

use common::Traffic;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use isotel::wire::{MetricBatch, PointValue, Signal, TraceBatch, decode_metrics, decode_traces, json};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use std::hint::black_box;

/// Requests that take turns.
const TURNS: usize = 16;

fn traces(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode traces");
    for spans in [100, 1_000] {
        let mut traffic = Traffic::new(200, 2);
        let requests: Vec<Vec<u8>> = (0..TURNS).map(|_| traffic.batch(spans).encode_to_vec()).collect();
        requests.iter().for_each(|request| same_spans(request));
        group.throughput(throughput(&requests, spans));
        group.bench_with_input(BenchmarkId::new("isotel", spans), &requests, |b, requests| {
            let mut batch = TraceBatch::default();
            b.iter(|| {
                for request in requests {
                    batch.clear();
                    decode_traces(black_box(request), &mut batch).unwrap();
                    black_box(&batch);
                }
            });
        });
        group.bench_with_input(BenchmarkId::new("prost", spans), &requests, |b, requests| {
            b.iter(|| {
                for request in requests {
                    black_box(ExportTraceServiceRequest::decode(black_box(&request[..])).unwrap());
                }
            });
        });
    }
}

fn same_spans(request: &[u8]) {
    let mut batch = TraceBatch::default();
    decode_traces(request, &mut batch).unwrap();
    let decoded = ExportTraceServiceRequest::decode(request).unwrap();
    let ours = batch.spans.iter().map(|s| (s.name.of(request), s.start_ns, s.end_ns));
    let theirs =
        common::spans(&decoded).map(|s| (s.name.as_bytes(), s.start_time_unix_nano, s.end_time_unix_nano));
    assert!(ours.eq(theirs));
}

fn metrics(c: &mut Criterion) {
    const POINTS: usize = 100;
    let mut group = c.benchmark_group("decode metrics");
    let mut traffic = Traffic::new(200, 2);
    let explicit: Vec<Vec<u8>> = (0..TURNS).map(|_| traffic.explicit(POINTS).encode_to_vec()).collect();
    let exponential: Vec<Vec<u8>> = (0..TURNS).map(|_| traffic.exponential(POINTS).encode_to_vec()).collect();
    for (kind, requests) in [("explicit", explicit), ("exponential", exponential)] {
        requests.iter().for_each(|request| all_points(request, POINTS));
        group.throughput(throughput(&requests, POINTS));
        group.bench_with_input(BenchmarkId::new("isotel", kind), &requests, |b, requests| {
            let mut batch = MetricBatch::default();
            b.iter(|| {
                for request in requests {
                    batch.clear();
                    decode_metrics(black_box(request), &mut batch).unwrap();
                    black_box(&batch);
                }
            });
        });
        group.bench_with_input(BenchmarkId::new("prost", kind), &requests, |b, requests| {
            b.iter(|| {
                for request in requests {
                    black_box(ExportMetricsServiceRequest::decode(black_box(&request[..])).unwrap());
                }
            });
        });
    }
}

fn all_points(request: &[u8], points: usize) {
    let mut batch = MetricBatch::default();
    decode_metrics(request, &mut batch).unwrap();
    let counted = |point: &PointValue| match point {
        PointValue::Histogram { count, buckets, .. } => (*count, *buckets),
        PointValue::Exponential { count, positive, .. } => (*count, *positive),
        _ => (0, Default::default()),
    };
    assert_eq!(batch.points.len(), points);
    for (count, buckets) in batch.points.iter().map(|point| counted(&point.value)) {
        assert!(count > 0 && batch.counts[buckets.range()].iter().sum::<u64>() == count);
    }
}

fn transcode(c: &mut Criterion) {
    let mut group = c.benchmark_group("transcode JSON");
    for spans in [100, 1_000] {
        let mut traffic = Traffic::new(200, 2);
        let requests: Vec<_> = (0..TURNS).map(|_| traffic.batch(spans)).collect();
        let texts: Vec<Vec<u8>> = requests.iter().map(common::json::of).collect();
        for (request, text) in requests.iter().zip(&texts) {
            let mut bytes = Vec::new();
            json::transcode(Signal::Traces, text, &mut bytes).unwrap();
            assert_eq!(&ExportTraceServiceRequest::decode(&bytes[..]).unwrap(), request);
        }
        group.throughput(throughput(&texts, spans));
        group.bench_with_input(BenchmarkId::new("isotel", spans), &texts, |b, texts| {
            let mut bytes = Vec::new();
            b.iter(|| {
                for text in texts {
                    bytes.clear();
                    json::transcode(Signal::Traces, black_box(text), &mut bytes).unwrap();
                    black_box(&bytes);
                }
            });
        });
        // What reading the text costs anybody: a tree of values, of which nothing is understood yet.
        group.bench_with_input(BenchmarkId::new("serde_json value", spans), &texts, |b, texts| {
            b.iter(|| {
                for text in texts {
                    black_box(serde_json::from_slice::<serde_json::Value>(black_box(text)).unwrap());
                }
            });
        });
    }
}

/// Of one iteration, which takes every request once.
fn throughput(requests: &[Vec<u8>], items_per_request: usize) -> Throughput {
    let bytes = requests.iter().map(|request| request.len() as u64).sum();
    Throughput::ElementsAndBytes { elements: (requests.len() * items_per_request) as u64, bytes }
}

criterion_group!(benches, traces, metrics, transcode);
criterion_main!(benches);
