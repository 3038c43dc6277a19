//! Open windows to one sealed window: shards merged, presence unfolded.
//!
//! The engine has no comparison, so nothing is judged. Each iteration seals a window that was recorded for it, which is
//! not timed.
//!
//! `cargo bench --bench seal`

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a benchmark ends by panicking")]

mod common;

use common::{NOW, NOW_NS, Traffic};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use isotel::engine::{Engine, Event};
use isotel::wire::Signal;
use prost::Message;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Series, and spans of each in the window.
const CASES: [(usize, usize); 3] = [(10, 40), (1_000, 40), (10, 4_800)];
/// Each request has spans of every series, so that every shard has every series.
const REQUESTS: usize = 8;

fn seal(c: &mut Criterion) {
    let mut group = c.benchmark_group("seal");
    group.sample_size(20).measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
    for (series, spans) in CASES {
        let mut traffic = Traffic::new(series, 1);
        let requests: Vec<Vec<u8>> =
            (0..REQUESTS).map(|_| traffic.even(0, spans / REQUESTS).encode_to_vec()).collect();
        group.throughput(Throughput::Elements(series as u64));
        for shards in [1, 4] {
            let recorded = || {
                let engine = common::engine(shards);
                common::observe(&engine, Signal::Traces, &requests);
                engine
            };
            assert_eq!(sealed(&mut recorded()), (series, series * spans));
            group.bench_function(
                BenchmarkId::new(format!("{series} series of {spans} spans"), shards),
                |b| {
                    b.iter_batched(
                        recorded,
                        |mut engine| (engine.finish(NOW_NS, NOW), engine),
                        BatchSize::PerIteration,
                    );
                },
            );
        }
    }
}

/// Series and spans that come out of the engine.
fn sealed(engine: &mut Engine) -> (usize, usize) {
    let sealed = engine.finish(NOW_NS, NOW).into_iter().find_map(|event| match event {
        Event::Sealed(windows) => Some(windows),
        _ => None,
    });
    let mut found = (0, 0);
    for window in sealed.unwrap() {
        engine.endpoints(window, &mut |endpoint| {
            found = (found.0 + 1, found.1 + endpoint.latency.n() as usize);
        });
    }
    found
}

criterion_group!(benches, seal);
criterion_main!(benches);
