//! `kill -9` at any moment, again and again on one directory.

use crate::agent::{Running, config};
use crate::load::{Load, World};
use crate::oracle;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Kills on one directory.
const KILLS: u64 = 10;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Now, nanoseconds since the epoch.
pub fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

/// An event time that no load reaches the end of.
pub fn start_ns() -> u64 {
    now_ns() - 3_600_000_000_000
}

/// What one directory went through.
#[derive(Debug, Default)]
struct Went {
    acknowledged: u64,
    unanswered: u64,
    counted: u64,
    replayed: u64,
    windows: u64,
    spans: u64,
}

/// Kills the agent on one directory again and again, and holds what is there against what was acknowledged after each.
async fn survive(seed: u64, kills: u64, fsync: &str) -> Went {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("storage");
    let text = config(&directory).replace("fsync_interval", &format!("fsync: {fsync}, fsync_interval"));
    let mut random = SmallRng::seed_from_u64(seed);
    let world = Arc::new(Mutex::new(World::new(seed, start_ns())));
    let mut went = Went::default();
    for kill in 0..kills {
        let mut agent = Running::start(&text, &[]);
        // Some end while they read what the one before has left.
        if kill > 0 && random.random_bool(0.2) {
            tokio::time::sleep(Duration::from_micros(random.random_range(0..40_000))).await;
            agent.kill();
            continue;
        }
        let load = Load::start(&world, agent.addresses());
        let requests = world.lock().unwrap().ended[0] + random.random_range(0..400);
        Load::until("requests are acknowledged", || world.lock().unwrap().ended[0] >= requests).await;
        tokio::time::sleep(Duration::from_micros(random.random_range(0..3_000))).await;
        agent.kill();
        load.end().await;
        let (found, recovered) = oracle::counts(&directory, oracle::plan(&text, now_ns()));
        let mut world = world.lock().unwrap();
        let counted = world.oracle.check(&found);
        let counted = counted.unwrap_or_else(|what| panic!("seed {seed}, kill {kill}: {what}"));
        assert_eq!(recovered.damaged_files, 0, "seed {seed}, kill {kill}: {recovered:?}");
        went.counted += counted as u64;
        went.replayed += recovered.requests;
        went.windows = recovered.windows;
    }
    // The binary's own word: one that ends in order leaves all in its checkpoint.
    let mut agent = Running::start(&text, &[]);
    agent.addresses();
    agent.stop();
    let (found, recovered) = oracle::counts(&directory, oracle::plan(&text, now_ns()));
    let mut world = world.lock().unwrap();
    world.oracle.check(&found).unwrap_or_else(|what| panic!("seed {seed}, at the end: {what}"));
    assert_eq!((recovered.requests, recovered.damaged_records), (0, 0), "seed {seed}: {recovered:?}");
    [went.acknowledged, _, went.unanswered] = world.ended;
    went.spans = found.values().map(|count| count.n).sum();
    went
}

#[test]
fn what_was_acknowledged_is_there_after_kill_9_and_nothing_else_but_whole_unanswered_requests() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (runs, seed) = (number("ISOTEL_CRASH_RUNS", 20), number("ISOTEL_CRASH_SEED", 1));
    let mut left = runs;
    for at in 0.. {
        let kills = left.min(KILLS);
        let fsync = ["interval", "never", "always"][at as usize % 3];
        let went = runtime.block_on(survive(seed + at, kills, fsync));
        println!("seed {}, {kills} kills, fsync {fsync}: {went:?}", seed + at);
        assert!(went.acknowledged > 0);
        left -= kills;
        if left == 0 {
            break;
        }
    }
}
