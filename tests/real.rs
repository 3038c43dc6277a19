//! Real telemetry with labels: fault-free pairs are never divergent, and strong faults are, with the faulty service among
//! the first findings.
//!
//! The folder comes from `ISOTEL_REAL_DIR`: one case a directory, with `baseline*.jsonl.gz`, `canary*.jsonl.gz` and a
//! `case.json` that says what is expected. Without it the test says so and proves nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends by panicking")]
#![allow(clippy::print_stderr, reason = "says what is missing")]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Findings that a person reads first.
const FIRST: usize = 3;

#[test]
fn normal_pairs_are_not_divergent_and_strong_faults_are_and_name_their_service() {
    let Some(folder) = std::env::var_os("ISOTEL_REAL_DIR") else {
        eprintln!("ISOTEL_REAL_DIR is not set: labelled real telemetry is not judged");
        return;
    };
    let entries = std::fs::read_dir(&folder).expect("ISOTEL_REAL_DIR is a folder");
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(|p| p.is_dir()).collect();
    cases.sort();
    let wrong: Vec<String> = cases.iter().filter_map(|case| wrong(case)).collect();
    assert!(!cases.is_empty() && wrong.is_empty(), "of {} cases:\n{}", cases.len(), wrong.join("\n"));
}

/// What is wrong about the judgement of a case, if anything is.
fn wrong(case: &Path) -> Option<String> {
    let name = case.file_name().unwrap().to_string_lossy().into_owned();
    let labels: Value = serde_json::from_slice(&std::fs::read(case.join("case.json")).unwrap()).unwrap();
    let expected = &labels["expected"];
    let normal = expected["verdict"] == "parity";
    // What a fault left in the telemetry: the others are not expected to be found.
    let found = expected["observable"] == "strong" || labels["class"].as_str()?.contains("mutated");
    if !normal && !found {
        return None;
    }
    let report = judge(case);
    let divergent = report["verdict"] == "divergent";
    let findings: Vec<String> =
        report["findings"].as_array()?.iter().take(FIRST).map(|f| f.to_string().to_lowercase()).collect();
    if normal {
        return divergent.then(|| format!("{name}: divergent without a fault: {findings:#?}"));
    }
    let service = expected["service"].as_str()?.to_lowercase();
    let named = findings.iter().any(|finding| finding.contains(&service));
    (!divergent || !named).then(|| format!("{name}: {} and first {findings:#?}", report["verdict"]))
}

fn judge(case: &Path) -> Value {
    let files = |side: &str| {
        let entries = std::fs::read_dir(case).unwrap().map(|entry| entry.unwrap().path());
        let of_side = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(side);
        let mut files: Vec<PathBuf> = entries.filter(of_side).collect();
        files.sort();
        files
    };
    let output = Command::new(env!("CARGO_BIN_EXE_isotel"))
        .args(["judge", "--quiet", "--format", "json", "--fail-on", "never", "--baseline"])
        .args(files("baseline"))
        .arg("--candidate")
        .args(files("canary"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}: {}", case.display(), String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
