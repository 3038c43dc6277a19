//! What is kept, in bytes as they are asked of the allocator: a series, a window, a report, and what passes while it is judged and
//! told.
//!
//! `cargo bench --bench memory [-- SERIES SPANS]`

#![allow(missing_docs, reason = "a benchmark has no interface")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark ends by panicking, and tells")]

mod common;

use allocation_counter::{AllocationInfo, measure};
use common::{NOW, START_NS, Traffic, WINDOW_NS};
use isotel::engine::{Engine, Event};
use isotel::export::{Publisher, Sender, Work, prometheus};
use isotel::model::{EnvironmentId, InstanceId, SeriesId};
use isotel::window::cells::ShapePlaces;
use isotel::window::{Cells, SealedCell};
use isotel::wire::Signal;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

const WINDOWS: usize = 6;

/// Requests of one window: so many spans of every operation in both environments, of several pods.
fn requests(traffic: &mut Traffic, window: usize, spans: usize) -> Vec<Vec<u8>> {
    let later = |mut request: ExportTraceServiceRequest| {
        let scopes = request.resource_spans.iter_mut().flat_map(|resource| &mut resource.scope_spans);
        for span in scopes.flat_map(|scope| &mut scope.spans) {
            span.start_time_unix_nano += window as u64 * WINDOW_NS;
            span.end_time_unix_nano += window as u64 * WINDOW_NS;
        }
        request.encode_to_vec()
    };
    (0..spans).flat_map(|_| [0, 1]).map(|environment| later(traffic.even(environment, 1))).collect()
}

/// Bytes that stay and the most that there were meanwhile, for each of so many things.
fn row(name: &str, things: f64, info: AllocationInfo) {
    let each = |bytes: f64| format!("{:.0}", bytes / things);
    println!("{name:<52}{:>12}{:>18}", each(info.bytes_current as f64), each(info.bytes_max as f64));
}

/// What a copy takes.
fn copy<T: Clone>(name: &str, things: f64, of: &T) {
    row(name, things, measure(|| std::mem::forget(of.clone())));
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let (series, spans) = (arguments.next().unwrap_or(5_000), arguments.next().unwrap_or(5));
    let cells = (series * 2) as f64;
    println!(
        "{series} series in two environments, {spans} spans of each in a window, {WINDOWS} windows looked back at."
    );
    println!("\n{:<52}{:>12}{:>18}", "bytes for each series and environment", "kept", "most meanwhile");
    let mut traffic = Traffic::new(series, 2);
    let mut engine = Engine::new(common::judging(1), 2);
    let sender = Sender { version: String::new(), instance_id: String::new(), tenant: None };
    let mut publisher = Publisher::new(sender, 1 << 20);
    let (mut events, mut work) = (Vec::new(), Work { began_ns: 0, ended_ns: 0 });
    for window in 0..=WINDOWS {
        let requests = requests(&mut traffic, window, spans);
        let open = measure(|| {
            for request in &requests {
                let now_ns = START_NS + window as u64 * WINDOW_NS;
                engine.ingest().observe(now_ns, None, Signal::Traces, request).unwrap();
            }
        });
        let now_ns = START_NS + (window + 1) as u64 * WINDOW_NS + 2;
        (work.began_ns, work.ended_ns) = (now_ns, now_ns);
        let judged = measure(|| events = engine.advance(now_ns, NOW));
        assert!(events.iter().any(|event| matches!(event, Event::Judged(_))));
        match window {
            0 => row("the first window, open on two shards, with names", cells, open),
            WINDOWS => {
                row("the last one, open on two shards", cells, open);
                row("  what sealing and judging it leaves of it", cells, judged);
            }
            _ => {}
        }
    }
    let comparison = engine.comparisons().remove(0);
    row("a judgement", cells, measure(|| drop(engine.judge(&comparison, work.began_ns, NOW))));
    copy("a report", cells, &**engine.reports().next().unwrap());
    row(
        "its Prometheus page",
        cells,
        measure(|| prometheus::render(engine.reports().cloned().collect(), None).for_each(drop)),
    );
    let told = measure(|| publisher.encode(&engine, &events, work, &mut |_, request| drop(request)));
    row("its OTLP requests of at most 1 MiB", cells, told);
    let window = engine.windows().last().unwrap();
    copy("a sealed window", cells, window);
    copy("  its cells", cells, &window.cells);
    copy("  its dependencies", cells, &window.dependencies);
    copy("  its telemetry items", cells, &window.presence);
    copy("  their values", cells, &window.cardinalities);
    let items = window.presence.len() as f64;
    println!("\n{:<52}{:>12}", format!("bytes for each of {items} items in a sealed window"), "kept");
    copy("an item", items, &window.presence);
    println!("\n{:<52}{:>12}", "bytes for a cell of 48 requests", "kept");
    for instances in [1, 2, 4, 8, 16] {
        let cell = cell_of(&mut traffic, instances);
        copy(&format!("unpacked, of {instances} instances"), 1.0, &cell);
        let (mut kept, mut places) = (Cells::new(START_NS), ShapePlaces::default());
        for id in 0..1_000 {
            kept.push((EnvironmentId(0), SeriesId(id)), cell.clone(), &mut places);
        }
        kept.shrink();
        copy("  packed", 1_000.0, &kept);
    }
}

/// A cell of 48 requests of so many instances.
fn cell_of(traffic: &mut Traffic, instances: u64) -> SealedCell {
    let mut cell = SealedCell::default();
    for request in 0..48 {
        let duration_ns = traffic.duration_ns(2e7);
        cell.latency.record(duration_ns, 1);
        cell.instance(InstanceId(u64::MAX / (1 + request % instances))).record(duration_ns, false);
    }
    cell
}
