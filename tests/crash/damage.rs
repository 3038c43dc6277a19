//! What somebody or something did to the files between two starts: told by name, and no more lost than that.

use crate::agent::{Running, config};
use crate::kills::{now_ns, start_ns};
use crate::load::{Load, World};
use crate::oracle::{self, Counts, without};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

const UNREADABLE: &str = "a checkpoint cannot be read";

/// A directory on which an agent was killed after it had acknowledged all that was sent.
struct Left {
    folder: tempfile::TempDir,
    text: String,
    world: Arc<Mutex<World>>,
}

impl Left {
    /// `change` is what is otherwise in the configuration.
    fn new(seed: u64, change: impl Fn(String) -> String) -> Left {
        let folder = tempfile::tempdir().unwrap();
        let text = change(config(&folder.path().join("storage")));
        let world = Arc::new(Mutex::new(World::new(seed, start_ns())));
        let left = Left { folder, text, world };
        left.run(|_| ());
        left
    }

    fn directory(&self) -> PathBuf {
        self.folder.path().join("storage")
    }

    /// Starts, lets somebody look, takes in requests for a moment, and is killed.
    fn run(&self, look: impl FnOnce(&mut Running)) {
        let mut agent = Running::start(&self.text, &[]);
        let addresses = agent.addresses();
        look(&mut agent);
        runtime().block_on(async {
            let before = self.world.lock().unwrap().ended[0];
            let load = Load::start(&self.world, addresses);
            Load::until("500 requests", || self.world.lock().unwrap().ended[0] > before + 500).await;
            load.end().await;
            if self.text.contains("lateness: 1s") {
                // Two seconds before the last request is sealed at the latest half a second after it.
                Load::until("three windows", || self.files("window-").len() >= 3).await;
            }
        });
        agent.kill();
    }

    /// What the agent that starts on it logs, and what it keeps.
    fn restarted(&self) -> (Vec<Value>, Counts) {
        let (log, counts, _) = self.restarted_with_page();
        (log, counts)
    }

    /// The same, with its metrics.
    fn restarted_with_page(&self) -> (Vec<Value>, Counts, String) {
        let mut agent = Running::start(&self.text, &[]);
        let page = agent.addresses().page();
        agent.signal("-TERM");
        assert!(agent.ended().success(), "{:#?}", agent.logged);
        let (counts, recovered) = oracle::counts(&self.directory(), oracle::plan(&self.text, now_ns()));
        assert_eq!((recovered.requests, recovered.damaged_records, recovered.damaged_files), (0, 0, 0));
        (std::mem::take(&mut agent.logged), counts, page)
    }

    fn acknowledged(&self) -> Counts {
        let world = self.world.lock().unwrap();
        assert!(world.oracle.unanswered.is_empty());
        world.oracle.certain.clone()
    }

    /// The files of a name, by their order.
    fn files(&self, prefix: &str) -> Vec<PathBuf> {
        files(&self.directory(), prefix)
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn files(directory: &Path, prefix: &str) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    // A write that the kill has cut short is not there; the history has a folder of its own.
    let whole = |name: &str| name.starts_with(prefix) && !name.ends_with(".tmp");
    let named = |path: &PathBuf| path.is_file() && whole(path.file_name().unwrap().to_str().unwrap());
    let mut paths: Vec<_> = paths.filter(named).collect();
    paths.sort();
    paths
}

fn change(path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    how(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

fn told<'a>(log: &'a [Value], message: &str) -> &'a Value {
    let said =
        |record: &&Value| record["fields"]["message"].as_str().is_some_and(|said| said.contains(message));
    &log.iter().find(said).unwrap_or_else(|| panic!("no {message:?} in {log:#?}"))["fields"]
}

#[test]
fn a_flipped_bit_in_the_log_costs_one_request_at_most_and_is_named() {
    for seed in 1..=6 {
        // Nothing is sealed, so that all is in the log.
        let left = Left::new(seed, |text| text.replace("lateness: 1s", "lateness: 10m"));
        let log = left.files("requests-").pop().unwrap();
        let bit =
            SmallRng::seed_from_u64(seed).random_range(80 * 8..std::fs::metadata(&log).unwrap().len() * 8);
        change(&log, |bytes| bytes[bit as usize / 8] ^= 1 << (bit % 8));
        let (logged, found, page) = left.restarted_with_page();
        assert!(page.lines().any(|line| line == "isotel_storage_damaged_records 1"), "{page}");
        assert!(
            page.contains("isotel_storage_recovered_requests ") && page.contains("isotel_storage_log_bytes ")
        );
        let opened = told(&logged, "storage opened");
        assert_eq!(
            (&opened["damaged_records"], &opened["damaged_files"]),
            (&1.into(), &0.into()),
            "seed {seed}"
        );
        let damage = told(&logged, "the log ");
        assert_eq!(damage["file"], log.to_str().unwrap(), "seed {seed}");
        let (from, bytes) = (damage["offset"].as_u64().unwrap(), damage["bytes"].as_u64().unwrap());
        assert!((from..from + bytes).contains(&(bit / 8)), "seed {seed}, bit {bit}: {damage}");
        let (all, world) = (left.acknowledged(), left.world.lock().unwrap());
        let one = world.oracle.one_by_one.iter().find(|one| without(&all, one).as_ref() == Some(&found));
        assert!(one.is_some(), "seed {seed}, bit {bit}: {}", oracle::difference(&all, &found, &[]));
    }
}

#[test]
fn a_damaged_checkpoint_costs_nothing_for_the_one_before_and_the_log_hold_all_of_it() {
    for seed in 1..=3 {
        let left = Left::new(seed, |text| text);
        let checkpoints = left.files("checkpoint-");
        assert!(checkpoints.len() >= 2);
        let damaged = checkpoints.last().unwrap();
        // Behind the header, of which a part says a format.
        let bits = 40 * 8..std::fs::metadata(damaged).unwrap().len() * 8;
        let bit = SmallRng::seed_from_u64(seed).random_range(bits);
        change(damaged, |bytes| bytes[bit as usize / 8] ^= 1 << (bit % 8));
        let (logged, found) = left.restarted();
        assert_eq!(told(&logged, UNREADABLE)["file"], damaged.to_str().unwrap());
        assert_eq!(
            found,
            left.acknowledged(),
            "seed {seed}: {}",
            oracle::difference(&left.acknowledged(), &found, &[])
        );
        assert_eq!(
            left.files(damaged.file_name().unwrap().to_str().unwrap()).len(),
            1,
            "it is there for who looks"
        );
    }
}

#[test]
fn a_damaged_window_costs_that_window_and_is_named() {
    let left = Left::new(1, |text| text);
    let path = left.files("window-").remove(1);
    change(&path, |bytes| *bytes.last_mut().unwrap() ^= 1);
    let (logged, found) = left.restarted();
    assert_eq!(told(&logged, "a sealed window is lost")["file"], path.to_str().unwrap());
    let second: u64 = path.file_stem().unwrap().to_str().unwrap()["window-".len()..].parse().unwrap();
    let mut expected = left.acknowledged();
    expected.retain(|key, _| key.3 != second);
    assert!(expected.len() < left.acknowledged().len());
    assert_eq!(found, expected);
}

#[test]
fn what_a_later_isotel_wrote_is_refused_by_name_and_stays_as_it_is() {
    let left = Left::new(1, |text| text);
    for (prefix, format) in [("checkpoint-", 99u32), ("requests-", 99)] {
        let path = left.files(prefix).pop().unwrap();
        let before = std::fs::read(&path).unwrap();
        change(&path, |bytes| {
            bytes[8..12].copy_from_slice(&format.to_le_bytes());
            if prefix == "requests-" {
                let sum = xxhash_rust::xxh3::xxh3_64_with_seed(&bytes[..32], 0);
                bytes[32..40].copy_from_slice(&sum.to_le_bytes());
            }
        });
        let all = |directory: PathBuf| {
            let paths = files(&directory, "").into_iter().filter(|path| !path.ends_with("lock"));
            paths.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect::<Vec<_>>()
        };
        let there = all(left.directory());
        let mut agent = Running::start(&left.text, &[]);
        assert_eq!(agent.ended().code(), Some(2));
        let said = format!("{:?}", agent.logged);
        for part in
            ["extensions.file_storage.directory", path.to_str().unwrap(), "format 99", "Nothing was changed"]
        {
            assert!(said.contains(part), "{part} in {said}");
        }
        assert!(all(left.directory()) == there, "{prefix}");
        std::fs::write(&path, before).unwrap();
    }
    assert_eq!(left.restarted().1, left.acknowledged());
}

#[test]
fn evidence_of_another_window_is_set_aside_by_name_and_not_mixed_in() {
    let mut left = Left::new(1, |text| text);
    left.text = left.text.replace("window: 1s", "window: 2s");
    let checkpoints = left.files("checkpoint-").len();
    let (logged, found) = left.restarted();
    let aside = told(&logged, "set aside");
    assert!(aside["cause"].as_str().unwrap().contains("parity.window"), "{aside}");
    assert_eq!(found, Counts::new());
    let directory = PathBuf::from(aside["directory"].as_str().unwrap());
    assert_eq!(files(&directory, "checkpoint-").len(), checkpoints);
    assert!(!files(&directory, "requests-").is_empty() && !files(&directory, "window-").is_empty());
}

#[test]
fn two_agents_do_not_share_a_directory() {
    let left = Left::new(1, |text| text);
    left.run(|agent| {
        let mut other = Running::start(&left.text, &[]);
        assert_eq!(other.ended().code(), Some(2));
        let said = format!("{:?}", other.logged);
        assert!(said.contains(&format!("in use by another agent (process {})", agent.id())), "{said}");
    });
    assert_eq!(left.restarted().1, left.acknowledged());
}
