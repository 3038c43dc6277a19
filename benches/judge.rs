//! Sealed windows to a report: evidence gathered, every series tested, a verdict.
//!
//! Two environments that are alike. Exact series keep all their durations; binned ones had more in every window than
//! are kept, so that histograms are merged and compared.
//!
//! `cargo bench --bench judge`

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a benchmark ends by panicking")]

mod common;

use common::{ENVIRONMENTS, NOW, NOW_NS, START_NS, Traffic, WINDOW_NS};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use isotel::judge::{Comparison, Context, Judgement, Policy, compare};
use isotel::model::{InstanceId, ItemKind, Limits, Names, SpanKind};
use isotel::sketch::InstanceCounts;
use isotel::window::open::Seen;
use isotel::window::shard::Tally;
use isotel::window::{Grid, SealedCell, SealedWindow};
use std::hint::black_box;
use std::time::Duration;

const WINDOWS: u64 = 5;
const SERVICES: usize = 20;
const PODS: u64 = 3;
const ATTRIBUTES: usize = 12;

/// What a judgement is made from.
struct World {
    names: Names,
    windows: Vec<SealedWindow>,
    comparison: Comparison,
}

impl World {
    /// So many series, with so many requests of each in every window of both environments.
    fn new(series: usize, requests_per_window: usize) -> World {
        let mut traffic = Traffic::new(series, 2);
        let mut names = Names::new(Limits::default());
        let grid = Grid::new(WINDOW_NS);
        let first = grid.index(START_NS) - (WINDOWS - 1);
        let mut windows: Vec<_> =
            (first..first + WINDOWS).map(|index| SealedWindow::empty(index, grid)).collect();
        for name in &ENVIRONMENTS[..2] {
            let environment = names.environment(name).unwrap();
            for at in 0..series {
                let service = names.service("shop", &format!("service-{}", at % SERVICES)).unwrap();
                let id = names.series(service, &format!("GET /route/{}", at / SERVICES), SpanKind::Server);
                for window in &mut windows {
                    let median_ns = 1e6 * (1 + at % 97) as f64;
                    let cell = cell(&mut traffic, median_ns, requests_per_window, window.start_ns);
                    for attribute in 0..ATTRIBUTES {
                        let key = format!("attribute.{attribute}");
                        let item = names.item(service, ItemKind::SpanAttribute, &key, "").unwrap();
                        window.presence.entry((environment, item)).or_insert(cell.seen.unwrap());
                    }
                    window.cells.insert((environment, id), cell);
                }
            }
        }
        let comparison = Comparison {
            name: "release".to_owned(),
            baseline: ENVIRONMENTS[0].to_owned(),
            candidate: ENVIRONMENTS[1].to_owned(),
            services: Vec::new(),
            offset_ns: 0,
        };
        World { names, windows, comparison }
    }

    fn judge(&self) -> Judgement {
        let context = Context {
            comparison: &self.comparison,
            policy: &Policy::default(),
            names: &self.names,
            baseline: self.windows.iter().collect(),
            candidate: self.windows.iter().collect(),
            tally: &Tally::default(),
            now_ns: NOW_NS,
            generated_at: NOW.to_owned(),
            live: true,
            shift_windows: 0,
            session_windows: 30,
            calibration: None,
        };
        compare(&context, None)
    }
}

fn cell(traffic: &mut Traffic, median_ns: f64, requests: usize, time_ns: u64) -> SealedCell {
    let mut cell = SealedCell::default();
    for request in 0..requests {
        let duration_ns = traffic.duration_ns(median_ns);
        let failed = request % 200 == 199;
        cell.latency.record(duration_ns, 1);
        cell.errors += u64::from(failed);
        cell.error_weight += u64::from(failed);
        let pod = InstanceId(1 + request as u64 % PODS);
        cell.instances.entry(pod).or_insert_with(InstanceCounts::default).record(duration_ns, failed);
    }
    cell.seen = Some(Seen { count: requests as u64, first_ns: time_ns, last_ns: time_ns + WINDOW_NS - 1 });
    cell
}

fn judge(c: &mut Criterion) {
    let mut group = c.benchmark_group("judge");
    group.sample_size(10).measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
    for (name, requests_per_window) in [("exact", 40), ("binned", 2_000)] {
        for series in [10, 1_000] {
            let world = World::new(series, requests_per_window);
            let exact = world.windows[0].cells.values().all(|cell| cell.latency.is_exact());
            assert_eq!(exact, name == "exact");
            let judged: usize = world.judge().report.services.iter().map(|s| s.operations.len()).sum();
            assert_eq!(judged, series);
            group.throughput(Throughput::Elements(series as u64));
            group.bench_with_input(BenchmarkId::new(name, series), &world, |b, world| {
                b.iter(|| black_box(world.judge()));
            });
        }
    }
}

criterion_group!(benches, judge);
criterion_main!(benches);
