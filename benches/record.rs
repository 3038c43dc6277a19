//! Requests into an open window: decode, resolve, find the series, record. One thread, so spans a second are a core's.
//!
//! All names are known and all sketches exist when the timing starts: the steady state of an agent.
//!
//! `cargo bench --bench record`

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a benchmark ends by panicking")]

mod common;

use common::{ENVIRONMENTS, NOW_NS, Traffic};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use isotel::wire::Signal;
use prost::Message;
use std::hint::black_box;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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

criterion_group!(benches, spans, histograms, numbers);
criterion_main!(benches);
