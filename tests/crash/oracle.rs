//! What must be there: counts that anybody can add up, against those of a directory.

use isotel::agent::storage::{Recovered, Storage};
use isotel::config::{self, Fsync, Source, StorageConfig};
use isotel::engine::{Comparisons, Plan};
use std::collections::BTreeMap;
use std::path::Path;

/// Environment, service, operation, and the window's first second.
pub type Key = (String, String, String, u64);

/// What a series did in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub n: u64,
    pub errors: u64,
    pub sum_ns: u128,
}

/// Counts of some requests.
pub type Counts = BTreeMap<Key, Count>;

pub fn add(to: &mut Counts, more: &Counts) {
    for (key, count) in more {
        let known = to.entry(key.clone()).or_default();
        *known = Count {
            n: known.n + count.n,
            errors: known.errors + count.errors,
            sum_ns: known.sum_ns + count.sum_ns,
        };
    }
}

/// What is known of all requests that were sent.
#[derive(Debug, Default)]
pub struct Oracle {
    /// Of those that count.
    pub certain: Counts,
    /// Those that were acknowledged, one by one.
    pub one_by_one: Vec<Counts>,
    /// Sent, and never answered: each counts whole or not at all.
    pub unanswered: Vec<Counts>,
}

impl Oracle {
    pub fn acknowledged(&mut self, counts: &Counts) {
        add(&mut self.certain, counts);
        self.one_by_one.push(counts.clone());
    }

    /// Holds what is there against what must be; unanswered requests that count do so from then on. How many these are.
    pub fn check(&mut self, found: &Counts) -> Result<usize, String> {
        let unanswered = std::mem::take(&mut self.unanswered);
        assert!(unanswered.len() <= 12, "too many to try: {}", unanswered.len());
        for chosen in 0..1_u32 << unanswered.len() {
            let mut expected = self.certain.clone();
            let counted = unanswered.iter().enumerate().filter(|(at, _)| chosen >> at & 1 == 1);
            counted.for_each(|(_, counts)| add(&mut expected, counts));
            if expected == *found {
                self.certain = expected;
                return Ok(chosen.count_ones() as usize);
            }
        }
        Err(difference(&self.certain, found, &unanswered))
    }
}

/// What is left of counts when others are taken away that are part of them.
pub fn without(counts: &Counts, less: &Counts) -> Option<Counts> {
    let mut left = counts.clone();
    for (key, count) in less {
        let known = left.get_mut(key)?;
        *known = Count {
            n: known.n.checked_sub(count.n)?,
            errors: known.errors.checked_sub(count.errors)?,
            sum_ns: known.sum_ns.checked_sub(count.sum_ns)?,
        };
        if known.n == 0 {
            left.remove(key);
        }
    }
    Some(left)
}

/// The cells in which two counts differ.
pub fn difference(expected: &Counts, found: &Counts, unanswered: &[Counts]) -> String {
    let keys: std::collections::BTreeSet<&Key> = expected.keys().chain(found.keys()).collect();
    let of = |counts: &Counts, key: &Key| counts.get(key).copied().unwrap_or_default();
    let differing = keys.into_iter().filter(|key| of(expected, key) != of(found, key));
    let lines: Vec<String> = differing
        .map(|key| format!("{key:?}: acknowledged {:?}, found {:?}", of(expected, key), of(found, key)))
        .collect();
    format!("{}\nunanswered: {unanswered:#?}", lines.join("\n"))
}

/// The plan of a configuration, which judges nothing.
pub fn plan(text: &str, now_ns: u64) -> Plan {
    let source = Source { name: "crash.yaml".to_owned(), text: text.to_owned() };
    let config = config::load(&[source], &[], &|_| None).unwrap().config;
    Plan { comparisons: Comparisons::Named(Vec::new()), ..config.plan(now_ns) }
}

/// What an agent would find in a directory, which stays as it is.
pub fn counts(directory: &Path, plan: Plan) -> (Counts, Recovered) {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    let config = StorageConfig {
        id: "file_storage".to_owned(),
        directory: copy.path().to_owned(),
        max_bytes: 1 << 30,
        fsync: Fsync::Never,
    };
    let now_ns = plan.observed_from_ns;
    let (storage, mut engine) = Storage::open(&config, plan, 1, now_ns).unwrap();
    assert_eq!(engine.ingest().tally().late.values().sum::<u64>(), 0, "the load sends nothing late");
    engine.finish(now_ns, "");
    let names = engine.names();
    let mut counts = Counts::new();
    for window in engine.windows() {
        for ((environment, series), cell) in window.cells.iter() {
            let (key, cell) = (names.series_key(series), cell.cell());
            let environment = names.environments()[usize::from(environment.0)].to_string();
            let second = window.start_ns / 1_000_000_000;
            let key = (environment, key.service.name.to_string(), key.operation.to_string(), second);
            let count = Count { n: cell.latency.n(), errors: cell.errors, sum_ns: cell.latency.sum_ns() };
            assert!(counts.insert(key, count).is_none(), "a window is there once");
        }
    }
    (counts, storage.recovered().clone())
}
