//! Everything that reads bytes from outside, given inputs near real ones from a seed.
//!
//! What it proves: no panic, what `targets.rs` says of each reader, and memory that follows the input, on some thousand inputs.
//! What it does not: that no input does worse. Inputs are not guided by coverage; `guided/run` gives the same readers to libFuzzer.
//!
//! A failure names its seed and writes its input to a file. `ISOTEL_FUZZ_SEED=7 cargo test --test fuzz traces` begins with that
//! seed, `ISOTEL_FUZZ_INPUTS=1000000` gives each target so many inputs, and `ISOTEL_FUZZ_MINUTES=10` as many as there is time
//! for. A file is run again by being put into `corpus/TARGET/`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends by panicking")]
#![allow(clippy::disallowed_methods, reason = "corpora are files, and a person says how long to look")]

mod mutate;
mod targets;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use targets::Target;

fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}: a number, not {text}")))
}

/// The files of a target's corpus, by name.
fn corpus(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target.name);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} has no files", folder.display());
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// Runs the corpus, then so many inputs near it.
#[expect(clippy::print_stderr, reason = "says which input failed")]
fn fuzz(name: &str, inputs: u64) {
    let target = targets::named(name);
    let corpus = corpus(target);
    for (path, input) in &corpus {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target.check(input))) {
            eprintln!("{name}: {} failed", path.display());
            resume_unwind(panic);
        }
    }
    let corpus: Vec<Vec<u8>> = corpus.into_iter().map(|(_, input)| input).collect();
    let first = number_of("ISOTEL_FUZZ_SEED").unwrap_or(0);
    let minutes = number_of("ISOTEL_FUZZ_MINUTES");
    let inputs = match minutes {
        Some(_) => u64::MAX,
        None => number_of("ISOTEL_FUZZ_INPUTS").unwrap_or(inputs),
    };
    let began = Instant::now();
    let is_over = || minutes.is_some_and(|minutes| began.elapsed() >= Duration::from_secs(60 * minutes));
    for seed in (first..u64::MAX).take(inputs as usize).take_while(|_| !is_over()) {
        let input = mutate::input(&corpus, &mut SmallRng::seed_from_u64(seed));
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target.check(&input))) {
            let path = std::env::temp_dir().join(format!("isotel-fuzz-{name}-{seed}"));
            std::fs::write(&path, &input).unwrap();
            eprintln!("{name}: seed {seed} failed; its input is {}", path.display());
            eprintln!(
                "ISOTEL_FUZZ_SEED={seed} ISOTEL_FUZZ_INPUTS=1 cargo test --test fuzz {name} is that input alone"
            );
            resume_unwind(panic);
        }
    }
}

/// Each target is a test of its name; the numbers of inputs are what takes a few seconds in a build for tests.
macro_rules! tests {
    ($($name:ident: $inputs:expr,)*) => {
        $(#[test] fn $name() { fuzz(stringify!($name), $inputs); })*

        #[test]
        fn every_target_is_fuzzed() {
            let here: Vec<&str> = vec![$(stringify!($name)),*];
            let all: Vec<&str> = targets::TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(here, all);
        }
    };
}

tests! {
    traces: 3_000,
    metrics: 3_000,
    logs: 3_000,
    ingest: 300,
    json: 2_000,
    file: 1_000,
    config: 500,
    catalog: 1_000,
    log: 1_000,
    checkpoint: 1_000,
    snapshot: 1_000,
    part: 600,
    operations: 60,
}
