//! What a storage costs: a request with and without it, in turns; a checkpoint of 10,000 series, how long requests wait for it, and
//! a start from it.
//!
//! `cargo bench --bench storage [DIRECTORY]`, on the disk that the storage will be on; without one in the system's temporary folder.

#![allow(missing_docs, reason = "a benchmark")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark ends by panicking, and tells")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod common;

use common::{NOW_NS, START_NS, Traffic, WINDOW_NS};
use isotel::agent::storage::Storage;
use isotel::config::{Fsync, StorageConfig};
use isotel::engine::{Engine, Ingest};
use isotel::wire::Signal;
use prost::Message;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Operations, each in two environments.
const OPERATIONS: usize = 10_000;
/// Windows that are filled.
const WINDOWS: u64 = 5;

fn main() {
    let directory = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let within = directory.map_or_else(std::env::temp_dir, Into::into);
    requests(&within);
    checkpoint(&within);
}

fn open(directory: &Path, fsync: Fsync) -> (Arc<Storage>, Engine) {
    let directory = directory.to_owned();
    let config = StorageConfig { id: "file_storage".to_owned(), directory, max_bytes: 1 << 34, fsync };
    Storage::open(&config, common::plan(), 2, START_NS).unwrap()
}

fn keep(storage: &Storage, engine: &Engine, request: &[u8]) {
    let ingest = engine.ingest();
    let record = || ingest.observe(NOW_NS, None, Signal::Traces, request);
    storage.keep(NOW_NS, Signal::Traces, request, record).unwrap().unwrap();
}

/// Rounds of the same requests, with and without a storage in turns: the median of each, and of their differences.
fn requests(within: &Path) {
    const ROUNDS: usize = 101;
    println!("a request, without and with a storage (median of {ROUNDS} rounds in turns, one thread)");
    for spans in [100, 1_000] {
        let folder = tempfile::tempdir_in(within).unwrap();
        let (storage, kept) = open(folder.path(), Fsync::Never);
        let plain = common::engine(2);
        let mut traffic = Traffic::new(200, 2);
        let requests: Vec<Vec<u8>> = (0..20).map(|_| traffic.batch(spans).encode_to_vec()).collect();
        let bytes = requests.iter().map(Vec::len).sum::<usize>() / requests.len();
        let per_request = |work: &mut dyn FnMut(&[u8])| {
            let start = Instant::now();
            requests.iter().for_each(|request| work(request));
            start.elapsed().as_secs_f64() * 1e6 / requests.len() as f64
        };
        let mut pairs = Vec::new();
        for round in 0..ROUNDS + 10 {
            let without = per_request(&mut |request| {
                drop(plain.ingest().observe(NOW_NS, None, Signal::Traces, request))
            });
            let with = per_request(&mut |request| keep(&storage, &kept, request));
            if round >= 10 {
                pairs.push((without, with));
            }
        }
        let median = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        println!(
            "  {spans} spans, {bytes} bytes: {:.1} us, {:.1} us; difference {:.1} us",
            median(pairs.iter().map(|pair| pair.0).collect()),
            median(pairs.iter().map(|pair| pair.1).collect()),
            median(pairs.iter().map(|(without, with)| with - without).collect()),
        );
    }
}

/// Checkpoints of an engine with 10,000 operations in two environments, four windows sealed and one open, under requests.
fn checkpoint(within: &Path) {
    let folder = tempfile::tempdir_in(within).unwrap();
    let (storage, mut engine) = open(folder.path(), Fsync::Never);
    let mut traffic = Traffic::new(OPERATIONS, 2);
    for window in 0..WINDOWS {
        let later = window * WINDOW_NS;
        for environment in 0..2 {
            let mut request = traffic.even(environment, 5);
            let scopes =
                request.resource_spans.iter_mut().flat_map(|of_resource| &mut of_resource.scope_spans);
            for span in scopes.flat_map(|scope| &mut scope.spans) {
                span.start_time_unix_nano += later;
                span.end_time_unix_nano += later;
            }
            let now_ns = NOW_NS + later;
            let (ingest, request) = (engine.ingest(), request.encode_to_vec());
            let record = || ingest.observe(now_ns, None, Signal::Traces, &request);
            storage.keep(now_ns, Signal::Traces, &request, record).unwrap().unwrap();
        }
        engine.advance(NOW_NS + later, "");
    }
    let sealed = engine.windows().count();
    assert!(sealed + 1 >= WINDOWS as usize, "{sealed} windows");
    let mut times = Vec::new();
    let waits = longest_waits(&storage, &engine.ingest(), &traffic.batch(100).encode_to_vec(), || {
        for _ in 0..5 {
            let start = Instant::now();
            storage.checkpoint(&mut engine, NOW_NS + WINDOWS * WINDOW_NS).unwrap();
            times.push(start.elapsed());
        }
    });
    println!("10,000 operations in two environments, {sealed} windows sealed, one open");
    println!("  checkpoint with the sealed windows {:.0?}, without {:.0?}", times[0], times[4]);
    println!(
        "  longest wait of a request of 100 spans: {:.1?} without a checkpoint, {:.1?} with",
        waits[0], waits[1]
    );
    let sizes = |prefix: &str| {
        let entries = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap());
        let named = entries.filter(|entry| entry.file_name().to_str().unwrap().starts_with(prefix));
        named.map(|entry| entry.metadata().unwrap().len()).max().unwrap_or(0) as f64 / f64::from(1 << 20)
    };
    println!(
        "  a checkpoint has {:.1} MiB, a sealed window {:.1} MiB",
        sizes("checkpoint-"),
        sizes("window-")
    );
    drop((storage, engine));
    let start = Instant::now();
    let (storage, _engine) = open(folder.path(), Fsync::Never);
    println!("  start {:.0?}: {:?}", start.elapsed(), storage.recovered());
}

/// The longest time that a request takes while nothing happens, and while `work` is done, among requests one after the other.
fn longest_waits(storage: &Storage, ingest: &Ingest, request: &[u8], work: impl FnOnce()) -> [Duration; 2] {
    let (busy, ended) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut longest = [Duration::ZERO; 2];
            while !ended.load(Ordering::Relaxed) {
                let (start, was_busy) = (Instant::now(), busy.load(Ordering::Relaxed));
                let record = || ingest.observe(NOW_NS, None, Signal::Traces, request);
                storage.keep(NOW_NS, Signal::Traces, request, record).unwrap().unwrap();
                let of = &mut longest[usize::from(was_busy)];
                *of = start.elapsed().max(*of);
                std::thread::sleep(Duration::from_micros(200));
            }
            longest
        });
        std::thread::sleep(Duration::from_secs(2));
        busy.store(true, Ordering::Relaxed);
        work();
        ended.store(true, Ordering::Relaxed);
        sender.join().unwrap()
    })
}
