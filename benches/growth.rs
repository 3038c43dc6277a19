//! What the whole way costs as work grows, bytes to verdict: ten and a hundred times the spans, ten to a thousand times the
//! series. One thread, two environments, one window; the names are new.
//!
//! `cargo bench --bench growth`

#![allow(missing_docs, reason = "a benchmark has no interface")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark ends by panicking, and tells")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod common;

use common::{NOW, NOW_NS, Traffic, WINDOW_NS};
use isotel::engine::{Engine, Event};
use isotel::wire::Signal;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs of each row, of which the fastest is told: others share the machine.
const RUNS: usize = 3;
const SPANS_A_REQUEST: usize = 100;

/// Nanoseconds of recording a span, microseconds of sealing and judging a series.
fn once(series: usize, requests: impl Iterator<Item = ExportTraceServiceRequest>) -> (f64, f64) {
    let mut engine = Engine::new(common::judging(WINDOW_NS), 1);
    let ingest = engine.ingest();
    let (mut spans, mut recording_ns) = (0, 0);
    for request in requests {
        spans += common::spans(&request).count();
        let bytes = request.encode_to_vec();
        let start = Instant::now();
        ingest.observe(NOW_NS, None, Signal::Traces, &bytes).unwrap();
        recording_ns += start.elapsed().as_nanos();
    }
    assert!(ingest.limits_hit().iter().next().is_none());
    let start = Instant::now();
    let events = engine.finish(NOW_NS, NOW);
    let judging_us = start.elapsed().as_nanos() as f64 / 1e3;
    let judged = events.iter().find_map(|event| match event {
        Event::Judged(judgement) => Some(judgement.report.services.iter().map(|s| s.operations.len()).sum()),
        _ => None,
    });
    assert_eq!(judged, Some(series));
    (recording_ns as f64 / spans as f64, judging_us / series as f64)
}

fn row(what: &str, series: usize, make: impl Fn() -> Box<dyn Iterator<Item = ExportTraceServiceRequest>>) {
    let runs = (0..RUNS).map(|_| once(series, make()));
    let (ns, us) = runs.fold((f64::INFINITY, f64::INFINITY), |a, b| (a.0.min(b.0), a.1.min(b.1)));
    println!("| {what} | {ns:.0} | {us:.1} |");
}

fn main() {
    println!("| | recording a span, ns | sealing and judging a series, µs |\n|---|---:|---:|");
    for spans in [20_000, 200_000, 2_000_000] {
        row(&format!("{spans} spans of 200 series"), 200, || {
            let mut traffic = Traffic::new(200, 2);
            // All series first, so that each run judges all.
            let all: Vec<_> = [0, 1].map(|environment| traffic.even(environment, 1)).into();
            let rest = (0..spans / SPANS_A_REQUEST).map(move |_| traffic.batch(SPANS_A_REQUEST));
            Box::new(all.into_iter().chain(rest))
        });
    }
    for series in [100, 1_000, 10_000, 100_000] {
        row(&format!("{series} series of 2 × 20 spans"), series, || {
            let mut traffic = Traffic::new(series, 2);
            let turns = (0..40).map(move |turn| traffic.even(turn % 2, 1));
            Box::new(turns)
        });
    }
}
