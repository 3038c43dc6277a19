//! Sealed windows to the presence matrix: 100,000 items of 1,000 services in four environments, all of them attributes with values.
//!
//! Prints too how much memory the matrix takes, from the process's resident pages (Linux).
//!
//! `cargo bench --bench matrix`

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark ends by panicking, and tells")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use isotel::judge::presence::Presence;
use isotel::model::form::{self, Field};
use isotel::model::{EnvironmentId, InstanceId, ItemKind, Limits, Names};
use isotel::sketch::Distinct;
use isotel::window::cardinality::Looked;
use isotel::window::open::Seen;
use isotel::window::{Grid, SealedWindow};
use std::hint::black_box;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WINDOW_NS: u64 = 60_000_000_000;
const SERVICES: usize = 1_000;
const ITEMS_EACH: usize = 100;
const ENVIRONMENTS: [&str; 4] = ["production", "canary", "staging", "preview"];

fn world() -> (Names, Vec<EnvironmentId>, SealedWindow) {
    let mut names = Names::new(Limits { items: SERVICES * ITEMS_EACH, ..Limits::default() });
    let environments: Vec<_> = ENVIRONMENTS.iter().map(|name| names.environment(name).unwrap()).collect();
    let mut window = SealedWindow::empty(7, Grid::new(WINDOW_NS));
    let form =
        form::write(&[(Field::Instrument, "histogram"), (Field::Temporality, "delta"), (Field::Unit, "s")]);
    for service in 0..SERVICES {
        let service = names.service("shop", &format!("service-{service}")).unwrap();
        for item in 0..ITEMS_EACH {
            let name = format!("app.component-{item}.requests.duration");
            let id = names.item(service, ItemKind::MetricAttribute, &name, &form).unwrap();
            for environment in &environments {
                window.presence.insert((*environment, id), Seen::once(7 * WINDOW_NS, InstanceId(1)));
                // An attribute of one value, and every tenth of twenty.
                let mut values = Distinct::One(item as u64);
                (0..if item % 10 == 0 { 20 } else { 0 }).for_each(|hash| assert!(values.add(hash, true)));
                window.cardinalities.insert((*environment, id), Looked { at: 1, values });
            }
        }
    }
    (names, environments, window)
}

fn matrix(names: &Names, environments: &[EnvironmentId], window: &SealedWindow) -> Presence {
    let mut presence = Presence::default();
    environments.iter().for_each(|env| presence.add(names, *env, std::iter::once(window)));
    presence
}

/// Resident memory, MiB; 0 where it cannot be told.
fn resident_mib() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok()).unwrap_or(0.0) * 4_096.0 / 1_048_576.0
}

fn presence(c: &mut Criterion) {
    let (names, environments, window) = world();
    let before = resident_mib();
    let built = matrix(&names, &environments, &window);
    println!(
        "matrix of 100,000 items: {:.0} MiB beside names and window of {before:.0} MiB",
        resident_mib() - before
    );
    assert_eq!(built.services.len(), SERVICES);
    drop(built);
    let mut group = c.benchmark_group("matrix");
    group.sample_size(10);
    group.throughput(Throughput::Elements((SERVICES * ITEMS_EACH) as u64));
    group.bench_function("100,000 items in 4 environments", |b| {
        b.iter(|| black_box(matrix(&names, &environments, &window)));
    });
}

criterion_group!(benches, presence);
criterion_main!(benches);
