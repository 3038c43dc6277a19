//! What each stage of the line costs: decode, record, seal, judge. One thread, no network.
//!
//! `cargo bench --bench stages`; docs/performance.md has the numbers and what they mean.

#![allow(clippy::unwrap_used, reason = "a benchmark ends by panicking")]
#![allow(missing_docs, reason = "criterion's macros make public items")]

mod payload;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use isotel::engine::{Comparisons, Engine, Plan};
use isotel::judge::{Comparison, Policy};
use isotel::model::{EnvironmentRules, Limits};
use isotel::window::Patience;
use isotel::wire::{Signal, TraceBatch, decode_traces};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use std::hint::black_box;

const SECOND: u64 = 1_000_000_000;
const NOW_NS: u64 = payload::START_NS + 60 * SECOND;

fn plan() -> Plan {
    Plan {
        environments: EnvironmentRules::default(),
        window_ns: 60 * SECOND,
        patience: Patience { lateness_ns: 30 * SECOND, idle_ns: 120 * SECOND },
        period_windows: 30,
        comparisons: Comparisons::Named(vec![Comparison {
            name: "release".to_owned(),
            baseline: "production".to_owned(),
            candidate: "canary".to_owned(),
            services: Vec::new(),
            offset_ns: 0,
        }]),
        policy: Policy::default(),
        limits: Limits::default(),
        observed_from_ns: payload::START_NS,
    }
}

fn loaded(requests: &[Vec<u8>], shards: usize) -> Engine {
    let engine = Engine::new(plan(), shards);
    let ingest = engine.ingest();
    for request in requests {
        ingest.observe(NOW_NS, None, Signal::Traces, request).unwrap();
    }
    engine
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    for spans in [100, 1_000] {
        let requests = payload::traces(1, 16, spans);
        group.throughput(Throughput::Elements((16 * spans) as u64));
        group.bench_function(BenchmarkId::new("isotel", spans), |b| {
            let mut batch = TraceBatch::default();
            b.iter(|| {
                for request in &requests {
                    batch.clear();
                    decode_traces(black_box(request), &mut batch).unwrap();
                    black_box(batch.spans.len());
                }
            });
        });
        group.bench_function(BenchmarkId::new("prost", spans), |b| {
            b.iter(|| {
                for request in &requests {
                    black_box(ExportTraceServiceRequest::decode(black_box(&request[..])).unwrap());
                }
            });
        });
    }
}

fn record(c: &mut Criterion) {
    let mut group = c.benchmark_group("record");
    for spans in [100, 1_000] {
        let requests = payload::traces(1, 64, spans);
        let engine = loaded(&requests, 1);
        let ingest = engine.ingest();
        group.throughput(Throughput::Elements((64 * spans) as u64));
        group.bench_function(BenchmarkId::new("bytes to sketches", spans), |b| {
            b.iter(|| {
                for request in &requests {
                    ingest.observe(NOW_NS, None, Signal::Traces, black_box(request)).unwrap();
                }
            });
        });
    }
}

fn seal_and_judge(c: &mut Criterion) {
    let mut group = c.benchmark_group("seal and judge");
    group.sample_size(10);
    for (requests, shards) in [(16, 1), (256, 1), (256, 4)] {
        let requests = payload::traces(1, requests, 1_000);
        let name = format!("{} spans, {shards} shards", requests.len() * 1_000);
        group.bench_function(name, |b| {
            b.iter_batched(
                || loaded(&requests, shards),
                |mut engine| black_box(engine.finish(NOW_NS, "2026-01-01T00:01:00Z")),
                BatchSize::PerIteration,
            );
        });
    }
    // Everything is sealed: only the judgement is timed.
    let mut engine = loaded(&payload::traces(1, 256, 1_000), 1);
    engine.finish(NOW_NS, "2026-01-01T00:01:00Z");
    let comparison = engine.comparisons().remove(0);
    let series = engine.windows().map(|window| window.cells.len()).max().unwrap_or(0) / 2;
    group.throughput(Throughput::Elements(series as u64));
    group.bench_function(format!("judge, {series} series"), |b| {
        b.iter(|| black_box(engine.judge(&comparison, NOW_NS, "2026-01-01T00:01:00Z")));
    });
}

criterion_group!(stages, decode, record, seal_and_judge);
criterion_main!(stages);
