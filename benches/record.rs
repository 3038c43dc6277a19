//! Requests into an open window: decode, resolve, find the series, record. One thread, so spans a second are a core's.
//!
//! All names are known and all sketches exist when the timing starts: the steady state of an agent.
//!
//! Ends with what a span costs beside the floor and beside prost. The allocator is the system's, as it is for most programs
//! that decode with prost: what is measured of isotel allocates nothing.
//!
//! `cargo bench --bench record`

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark ends by panicking, and tells")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod common;

use common::floor::Floor;
use common::{ENVIRONMENTS, NOW_NS, Traffic};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use isotel::wire::Signal;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use std::hint::black_box;
use std::time::Instant;

const SERIES: usize = 200;
/// Requests that take turns: more bytes than a core's own cache holds, as in an agent.
const TURNS: usize = 64;
/// Rounds before the timing starts: the busy series leave their exact buffers.
const WARM_ROUNDS: usize = 32;

fn spans(c: &mut Criterion) {
    let mut group = c.benchmark_group("record spans");
    for (environments, spans) in
        [(1, 100), (1, 1_000), (ENVIRONMENTS.len(), 100), (ENVIRONMENTS.len(), 1_000)]
    {
        let mut traffic = Traffic::new(SERIES, environments);
        let turns = TURNS * 100 / spans;
        let requests: Vec<Vec<u8>> = (0..turns).map(|_| traffic.batch(spans).encode_to_vec()).collect();
        let name = match environments {
            1 => "one environment".to_owned(),
            n => format!("{n} environments"),
        };
        measure(&mut group, BenchmarkId::new(name, spans), Signal::Traces, &requests, spans);
    }
}

fn histograms(c: &mut Criterion) {
    const POINTS: usize = 100;
    let mut group = c.benchmark_group("record histograms");
    let mut traffic = Traffic::new(SERIES, 2);
    let explicit: Vec<Vec<u8>> = (0..TURNS).map(|_| traffic.explicit(POINTS).encode_to_vec()).collect();
    let exponential: Vec<Vec<u8>> = (0..TURNS).map(|_| traffic.exponential(POINTS).encode_to_vec()).collect();
    for (kind, requests) in [("explicit", explicit), ("exponential", exponential)] {
        measure(&mut group, BenchmarkId::new(kind, POINTS), Signal::Metrics, &requests, POINTS);
    }
}

fn numbers(c: &mut Criterion) {
    const POINTS: usize = 100;
    let mut group = c.benchmark_group("record numbers");
    let mut traffic = Traffic::new(SERIES, 2);
    for (kind, counter) in [("counter", true), ("gauge", false)] {
        let requests: Vec<Vec<u8>> =
            (0..TURNS).map(|_| traffic.numbers(POINTS, counter).encode_to_vec()).collect();
        measure(&mut group, BenchmarkId::new(kind, POINTS), Signal::Metrics, &requests, POINTS);
    }
}

type Group<'a> = criterion::BenchmarkGroup<'a, criterion::measurement::WallTime>;

/// Times one round of all requests into one shard.
fn measure(group: &mut Group<'_>, id: BenchmarkId, signal: Signal, requests: &[Vec<u8>], items: usize) {
    let engine = common::engine(1);
    (0..WARM_ROUNDS).for_each(|_| common::observe(&engine, signal, requests));
    let ingest = engine.ingest();
    let bytes = requests.iter().map(|request| request.len() as u64).sum();
    group.throughput(Throughput::ElementsAndBytes { elements: (requests.len() * items) as u64, bytes });
    group.bench_function(id, |b| {
        b.iter(|| {
            for request in requests {
                ingest.observe(NOW_NS, None, signal, black_box(request)).unwrap();
            }
        });
    });
}

/// What a span costs in ratios, in alternating rounds of one run: beside the floor, the least work that times every span, and
/// beside prost's decoding into full types with the same work after it.
fn ratios(_: &mut Criterion) {
    const ROUNDS: usize = 41;
    println!(
        "\n| a request | isotel, ns a span | floor | prost and the floor's record | isotel ÷ floor | isotel ÷ prost |"
    );
    println!("|---|---:|---:|---:|---:|---:|");
    for spans in [100, 1_000] {
        let mut traffic = Traffic::new(SERIES, 2);
        let turns = TURNS * 100 / spans;
        let requests: Vec<Vec<u8>> = (0..turns).map(|_| traffic.batch(spans).encode_to_vec()).collect();
        let engine = common::engine(1);
        (0..WARM_ROUNDS).for_each(|_| common::observe(&engine, Signal::Traces, &requests));
        let ingest = engine.ingest();
        let (mut floor, mut decoded) = (Floor::default(), Floor::default());
        let mut rounds: Vec<[f64; 3]> = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let isotel = ns_a_span(&requests, spans, |request| {
                ingest.observe(NOW_NS, None, Signal::Traces, request).unwrap();
            });
            let walked = ns_a_span(&requests, spans, |request| {
                black_box(floor.observe(request));
            });
            let prost = ns_a_span(&requests, spans, |request| {
                decoded.observe_decoded(&ExportTraceServiceRequest::decode(request).unwrap());
            });
            rounds.push([isotel, walked, prost]);
        }
        assert_eq!(floor.counts(), decoded.counts(), "both fill the same series");
        let median = |of: fn(&[f64; 3]) -> f64| {
            let mut values: Vec<f64> = rounds.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values[ROUNDS / 2]
        };
        println!(
            "| {spans} spans | {:.0} | {:.0} | {:.0} | {:.2} | {:.2} |",
            median(|r| r[0]),
            median(|r| r[1]),
            median(|r| r[2]),
            median(|r| r[0] / r[1]),
            median(|r| r[0] / r[2])
        );
    }
}

/// One round of all requests.
fn ns_a_span(requests: &[Vec<u8>], spans: usize, mut each: impl FnMut(&[u8])) -> f64 {
    let start = Instant::now();
    requests.iter().for_each(|request| each(black_box(request)));
    start.elapsed().as_nanos() as f64 / (requests.len() * spans) as f64
}

criterion_group!(benches, spans, histograms, numbers, ratios);
criterion_main!(benches);
