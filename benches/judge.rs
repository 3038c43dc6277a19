//! Sealed windows to a report: evidence gathered, every series tested, a verdict.
//!
//! Two environments that are alike. Exact series keep all their durations; binned ones had more in every window than
//! are kept, so that histograms are merged and compared.
//!
//! Then, timed by hand because one run takes seconds: 10,000 series with 2,000 bins in every sketch, as the only look and
//! in a session; and what one series costs among 100 to 100,000, where one in ten is slower.
//!
//! `cargo bench --bench judge`, `cargo bench --bench judge -- ten` and `-- scale` for one of the two.

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a benchmark ends by panicking")]
#![allow(clippy::print_stdout, reason = "a benchmark's output is its purpose")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod common;

use common::{ENVIRONMENTS, NOW, NOW_NS, START_NS, Traffic, WINDOW_NS};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use isotel::judge::{Comparison, Context, Judgement, Policy, Session, compare};
use isotel::model::{InstanceId, ItemKind, Limits, Names, SpanKind};
use isotel::window::open::Seen;
use isotel::window::shard::Tally;
use isotel::window::{Grid, SealedCell, SealedWindow};
use std::hint::black_box;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WINDOWS: u64 = 5;
const WINDOWS_LIVE: usize = 6;
const SERVICES: usize = 20;
const PODS: u64 = 3;
const ATTRIBUTES: usize = 12;
/// Bins with something in them in every sketch of [`World::of_bins`].
const BINS: usize = 2_000;

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
        World::of(series, SERVICES, WINDOWS, |_, at, time_ns| {
            cell(&mut traffic, 1e6 * (1 + at % 97) as f64, requests_per_window, time_ns)
        })
    }

    /// So many series, ten to a service, few requests, every tenth slower in the candidate.
    fn with_slower(series: usize) -> World {
        let mut traffic = Traffic::new(100, 2);
        World::of(series, series.div_ceil(10), 2, |side, at, time_ns| {
            let slower = if side == 1 && at % 10 == 3 { 3.0 } else { 1.0 };
            cell(&mut traffic, slower * 1e6 * (1 + at % 97) as f64, 40, time_ns)
        })
    }

    /// So many series whose sketches have [`BINS`] bins each.
    fn of_bins(series: usize) -> World {
        let mut traffic = Traffic::new(100, 2);
        let patterns: Vec<SealedCell> = (0..40).map(|_| wide_cell(&mut traffic)).collect();
        let mut turn = 0;
        World::of(series, SERVICES * 10, WINDOWS_LIVE as u64, |_, _, time_ns| {
            turn += 1;
            let mut cell = patterns[turn % patterns.len()].clone();
            cell.seen = Some(seen(cell.latency.n(), time_ns));
            cell
        })
    }

    /// Series dealt to services, with a cell for each side, series and window's beginning.
    fn of(
        series: usize,
        services: usize,
        windows: u64,
        mut cell: impl FnMut(usize, usize, u64) -> SealedCell,
    ) -> World {
        let unlimited = Limits { services, series, items: services * ATTRIBUTES, ..Limits::default() };
        let mut names = Names::new(unlimited);
        let grid = Grid::new(WINDOW_NS);
        let first = grid.index(START_NS) - (windows - 1);
        let mut windows: Vec<_> =
            (first..first + windows).map(|index| SealedWindow::empty(index, grid)).collect();
        for (side, name) in ENVIRONMENTS[..2].iter().enumerate() {
            let environment = names.environment(name).unwrap();
            for at in 0..series {
                let service = names.service("shop", &format!("service-{}", at % services)).unwrap();
                let id = names.series(service, &format!("GET /route/{}", at / services), SpanKind::Server);
                for window in &mut windows {
                    let cell = cell(side, at, window.start_ns);
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
            traffic: None,
        };
        World { names, windows, comparison }
    }

    fn judge(&self) -> Judgement {
        self.look(self.windows.len(), None)
    }

    /// Judges the first so many windows.
    fn look(&self, windows: usize, session: Option<&mut Session>) -> Judgement {
        let context = Context {
            comparison: &self.comparison,
            policy: &Policy::default(),
            names: &self.names,
            baseline: self.windows[..windows].iter().collect(),
            candidate: self.windows[..windows].iter().collect(),
            tally: &Tally::default(),
            now_ns: NOW_NS,
            generated_at: NOW.to_owned(),
            live: true,
            snapshot: None,
            shift_windows: 0,
            session_windows: 30,
            calibration: None,
        };
        compare(&context, session)
    }

    /// The least time that a judgement of the first so many windows takes a core, seconds; in a session, what one more
    /// look takes.
    fn seconds(&self, windows: usize, session: Option<&Session>) -> f64 {
        let once = || {
            let mut session = session.cloned();
            let start = on_core();
            black_box(self.look(windows, session.as_mut()));
            (on_core() - start).as_secs_f64()
        };
        (0..RUNS).map(|_| once()).fold(f64::INFINITY, f64::min)
    }
}

/// How often what is timed by hand is run; the least time counts, because others only add to it.
const RUNS: usize = 3;

/// How long this thread has been on a core, on Linux; elsewhere what the clock says. What others do on the machine is left
/// out, as far as it does not slow the core down.
fn on_core() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let start = *START;
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = statistics.split(' ').next().and_then(|first| first.parse().ok());
    nanoseconds.map_or_else(|| start.elapsed(), Duration::from_nanos)
}

/// A cell with something in [`BINS`] neighbouring bins from 66 µs on, five requests in each on average.
fn wide_cell(traffic: &mut Traffic) -> SealedCell {
    let mut cell = SealedCell::default();
    for request in 0..5 * BINS {
        let bin = if request < BINS { request } else { (traffic.share() * BINS as f64) as usize };
        // An octave has 128 bins.
        record(&mut cell, (128 + bin as u64 % 128) << (9 + bin / 128), request);
    }
    assert_eq!(cell.latency.bins_ns().len(), BINS);
    cell
}

fn record(cell: &mut SealedCell, duration_ns: u64, request: usize) {
    let failed = request % 200 == 199;
    cell.latency.record(duration_ns, 1);
    cell.errors += u64::from(failed);
    cell.error_weight += u64::from(failed);
    let pod = InstanceId(1 + request as u64 % PODS);
    cell.instance(pod).record(duration_ns, failed);
}

fn seen(requests: u64, time_ns: u64) -> Seen {
    Seen { count: requests, last_ns: time_ns + WINDOW_NS - 1, ..Seen::once(time_ns, InstanceId(1)) }
}

fn cell(traffic: &mut Traffic, median_ns: f64, requests: usize, time_ns: u64) -> SealedCell {
    let mut cell = SealedCell::default();
    for request in 0..requests {
        record(&mut cell, traffic.duration_ns(median_ns), request);
    }
    cell.seen = Some(seen(requests as u64, time_ns));
    cell
}

fn judge(c: &mut Criterion) {
    let mut group = c.benchmark_group("judge");
    group.sample_size(10).measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
    for (name, requests_per_window) in [("exact", 40), ("binned", 2_000)] {
        for series in [10, 1_000] {
            let world = World::new(series, requests_per_window);
            let exact = world.windows[0].cells.iter().all(|(_, cell)| cell.cell().latency.is_exact());
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

/// The whole of a large comparison on one core.
fn ten_thousand(_: &mut Criterion) {
    if !asked_for("ten") {
        return;
    }
    const SERIES: usize = 10_000;
    let world = World::of_bins(SERIES);
    let judged: usize = world.judge().report.services.iter().map(|s| s.operations.len()).sum();
    assert_eq!(judged, SERIES);
    let mut session = Session::default();
    // Looks come after 5, 10, 20, … windows. The first one freezes the thresholds that later windows are held against.
    (1..WINDOWS_LIVE - 1).for_each(|windows| drop(world.look(windows, Some(&mut session))));
    let look = world.seconds(WINDOWS_LIVE - 1, Some(&session));
    drop(world.look(WINDOWS_LIVE - 1, Some(&mut session)));
    let between = world.seconds(WINDOWS_LIVE, Some(&session));
    for (what, seconds) in [
        ("as recordings, 5 windows", world.seconds(5, None)),
        ("as recordings, 1 window", world.seconds(1, None)),
        ("live at a look, 5 windows", look),
        ("live between looks, 6 windows", between),
    ] {
        println!("{what}, {BINS} bins: 10,000 series in {seconds:.2} s on one core (limit 1 s)");
    }
}

/// What a series costs among few and among many.
fn scale(_: &mut Criterion) {
    if !asked_for("scale") {
        return;
    }
    println!("{:>8} {:>9} {:>10} {:>12}", "series", "services", "seconds", "µs a series");
    for series in [100, 1_000, 10_000, 100_000] {
        let world = World::with_slower(series);
        let seconds = world.seconds(2, None);
        let each = seconds * 1e6 / series as f64;
        println!("{series:>8} {:>9} {seconds:>10.4} {each:>12.1}", series.div_ceil(10));
    }
}

/// Whether the command line names this part, or none.
fn asked_for(part: &str) -> bool {
    std::env::args().skip(1).find(|argument| !argument.starts_with('-')).is_none_or(|filter| filter == part)
}

criterion_group!(benches, judge, ten_thousand, scale);
criterion_main!(benches);
