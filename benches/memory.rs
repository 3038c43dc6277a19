//! What is kept, in bytes as they are asked of the allocator: a series, a window, a report, and what passes while it is judged and
//! told.
//!
//! `cargo bench --bench memory [-- SERIES SPANS]`

#![allow(missing_docs, reason = "a benchmark has no interface")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark ends by panicking, and tells")]

mod common;

use allocation_counter::AllocationInfo;
use common::{ENVIRONMENTS, NOW, START_NS, Traffic, WINDOW_NS};
use isotel::engine::{Comparisons, Engine, Event, Plan};
use isotel::export::{Publisher, Sender, Work, prometheus};
use isotel::judge::{Comparison, Policy, Report};
use isotel::model::{EnvironmentRules, Limits};
use isotel::window::Patience;
use isotel::wire::Signal;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

const WINDOWS: usize = 6;

fn plan() -> Plan {
    let unlimited = 1_000_000;
    Plan {
        environments: EnvironmentRules::default(),
        window_ns: WINDOW_NS,
        patience: Patience { lateness_ns: 0, idle_ns: 1 },
        warmup_ns: 0,
        period_windows: WINDOWS,
        comparisons: Comparisons::Named(vec![Comparison {
            name: "release".to_owned(),
            baseline: ENVIRONMENTS[0].to_owned(),
            candidate: ENVIRONMENTS[1].to_owned(),
            services: Vec::new(),
            offset_ns: 0,
            traffic: None,
        }]),
        policy: Policy::default(),
        limits: Limits {
            series: unlimited,
            operations_per_service: unlimited,
            items: unlimited,
            ..Limits::default()
        },
        observed_from_ns: START_NS,
    }
}

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

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let (series, spans) = (arguments.next().unwrap_or(1_000), arguments.next().unwrap_or(5));
    let cells = (series * 2) as f64;
    println!("{series} series in two environments, {spans} spans of each in a window\n");
    println!("{:<44}{:>24}{:>24}", "", "kept, B a series and env.", "most meanwhile, B");
    let row = |name: &str, info: AllocationInfo| {
        let each = |bytes: f64| format!("{:.0}", bytes / cells);
        println!("{name:<44}{:>24}{:>24}", each(info.bytes_current as f64), each(info.bytes_max as f64));
    };
    let mut traffic = Traffic::new(series, 2);
    let mut engine = Engine::new(plan(), 2);
    let mut publisher =
        Publisher::new(Sender { version: String::new(), instance_id: String::new() }, 4 << 20);
    for window in 0..=WINDOWS {
        let requests = requests(&mut traffic, window, spans);
        let open = allocation_counter::measure(|| {
            requests.iter().for_each(|request| {
                let now_ns = START_NS + window as u64 * WINDOW_NS;
                engine.ingest().observe(now_ns, None, Signal::Traces, request).unwrap();
            });
        });
        row(&format!("window {window}: open on two shards"), open);
        let now_ns = START_NS + (window + 1) as u64 * WINDOW_NS + 2;
        let mut events = Vec::new();
        row("  sealed, judged", allocation_counter::measure(|| events = engine.advance(now_ns, NOW)));
        if window == WINDOWS {
            row(
                "Prometheus page",
                allocation_counter::measure(|| {
                    prometheus::render(engine.reports().cloned().collect()).for_each(drop);
                }),
            );
            row(
                "told by OTLP",
                allocation_counter::measure(|| {
                    let work = Work { began_ns: now_ns, ended_ns: now_ns };
                    publisher.encode(&engine, &events, work, &mut |_, request| drop(request));
                }),
            );
        }
        let judged = events.iter().any(|event| matches!(event, Event::Judged(_)));
        assert!(judged);
        row("  without its events", allocation_counter::measure(|| drop(events)));
    }
    let comparison = engine.comparisons().remove(0);
    row(
        "a judgement",
        allocation_counter::measure(|| {
            drop(engine.judge(&comparison, START_NS + 7 * WINDOW_NS, NOW));
        }),
    );
    let report = engine.reports().next().unwrap();
    row("a report", allocation_counter::measure(|| std::mem::forget(Report::clone(report))));
    let window = engine.windows().last().unwrap();
    row("a sealed window", allocation_counter::measure(|| std::mem::forget(window.clone())));
    row("  its cells", allocation_counter::measure(|| std::mem::forget(window.cells.clone())));
    row("  dependencies", allocation_counter::measure(|| std::mem::forget(window.dependencies.clone())));
    row("  presence", allocation_counter::measure(|| std::mem::forget(window.presence.clone())));
    row("  cardinalities", allocation_counter::measure(|| std::mem::forget(window.cardinalities.clone())));
    row("  values", allocation_counter::measure(|| std::mem::forget(window.values.clone())));
    row("  facts", allocation_counter::measure(|| std::mem::forget(window.facts.clone())));
    row("names", allocation_counter::measure(|| std::mem::forget(engine.names())));
    println!(
        "struct sizes: SealedCell {}, Cell {}",
        size_of::<isotel::window::SealedCell>(),
        size_of::<isotel::window::open::Cell>()
    );
}
