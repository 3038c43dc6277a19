//! The published OTLP/JSON examples as files: read whole, like themselves, and the matrix that they make.
//!
//! The folder comes from `ISOTEL_OTLP_EXAMPLES_DIR`. Without it the tests say so and prove nothing.
#![allow(clippy::print_stderr, reason = "says what is missing")]

use crate::{Ended, end, isotel};
use serde_json::{Value, json};
use std::path::PathBuf;

/// The examples, in order; `None`, told on standard error, without the folder.
fn examples() -> Option<Vec<PathBuf>> {
    let Some(folder) = std::env::var_os("ISOTEL_OTLP_EXAMPLES_DIR") else {
        eprintln!(
            "ISOTEL_OTLP_EXAMPLES_DIR is not set: the published examples are not held against themselves"
        );
        return None;
    };
    let entries = std::fs::read_dir(&folder).expect("ISOTEL_OTLP_EXAMPLES_DIR is a folder");
    let mut examples: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    examples.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    examples.sort();
    assert!(!examples.is_empty(), "no example in {}", PathBuf::from(folder).display());
    Some(examples)
}

/// A command between two environments that both hold these files.
fn both(args: &[&str], files: &[PathBuf]) -> Ended {
    end(isotel(args).args(["--quiet", "--baseline"]).args(files).arg("--candidate").args(files))
}

fn report(files: &[PathBuf]) -> Value {
    let ended = both(&["judge", "--format", "json"], files);
    serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{files:?}: {}", ended.stderr))
}

#[test]
fn every_published_example_is_read_with_nothing_refused() {
    for example in examples().unwrap_or_default() {
        let input = &report(std::slice::from_ref(&example))["input"];
        let items = ["spans", "metric_points", "log_records"].map(|of| input[of].as_u64().unwrap());
        assert!(items.iter().sum::<u64>() > 0, "{}: {input}", example.display());
        assert_eq!(input["rejected"], json!({}), "{}", example.display());
    }
}

#[test]
fn every_published_example_is_like_itself_in_another_environment() {
    for example in examples().unwrap_or_default() {
        let files = std::slice::from_ref(&example);
        let ended = both(&["coverage", "--format", "table"], files);
        assert_eq!((ended.code, &*ended.stderr), (0, ""), "{}", example.display());
        assert!(
            ended.stdout.contains("items exist in every environment"),
            "{}: {}",
            example.display(),
            ended.stdout
        );
        let report = report(files);
        let found: Vec<&Value> =
            report["findings"].as_array().unwrap().iter().filter(|f| f["level"] != "info").collect();
        assert_eq!(found, Vec::<&Value>::new(), "{}", example.display());
        let coverage = &report["services"][0]["coverage"];
        assert_eq!(coverage["present"], coverage["expected"], "{}", example.display());
        for of in ["missing", "extra", "shape"] {
            assert_eq!(coverage[of], json!([]), "{}: {of}", example.display());
        }
    }
}

#[test]
fn all_published_examples_make_one_matrix() {
    let Some(examples) = examples() else { return };
    let ended = both(&["coverage", "--format", "table"], &examples);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    insta::assert_snapshot!("published_examples", ended.stdout);
}
