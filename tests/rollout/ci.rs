//! The examples for CI, and the Job: their own command lines, through the real binary.

use crate::example;
use serde_json::Value;
use std::{
    path::Path,
    process::{Command, Output},
};

/// A folder in which both sides' telemetry is where the examples read it: the demo's, which diverges.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made = isotel(folder.path(), &["demo", "--once", "--record", "telemetry"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for (from, to) in [("production.proto", "stable.json"), ("canary.proto", "canary.json")] {
        let telemetry = folder.path().join("telemetry");
        std::fs::rename(telemetry.join(from), telemetry.join(to)).unwrap();
    }
    folder
}

fn isotel(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_isotel")).args(args).current_dir(folder).output().unwrap()
}

/// Every text of an example.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(fields) => fields.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

/// The lines of an example that run isotel, in order of their addresses in it.
fn commands(example: &Value) -> Vec<Vec<&str>> {
    let lines = texts(example).into_iter().flat_map(str::lines);
    lines
        .filter_map(|line| line.trim().strip_prefix("isotel "))
        .map(|line| line.split_whitespace().collect())
        .collect()
}

/// Runs them all. Only the gate fails, and it fails on this telemetry.
fn run(example: &Value, folder: &Path) {
    let all = commands(example);
    assert!(all.len() >= 5, "{all:?}");
    for args in &all {
        let ended = isotel(folder, args);
        let expected = if args.contains(&"never") { 0 } else { 1 };
        assert_eq!(
            ended.status.code(),
            Some(expected),
            "{args:?}: {}",
            String::from_utf8_lossy(&ended.stderr)
        );
    }
    assert_eq!(all.iter().filter(|args| !args.contains(&"never")).count(), 1, "one gate");
}

fn read(folder: &Path, file: &str) -> String {
    std::fs::read_to_string(folder.join(file)).unwrap()
}

#[test]
fn github_gets_a_summary_a_comment_and_a_result_that_it_takes() {
    let folder = folder();
    let workflow = example::read("github/parity.yml");
    run(&workflow, folder.path());
    let steps = workflow["jobs"]["parity"]["steps"].as_array().unwrap();
    assert!(
        texts(steps.last().unwrap()).iter().any(|text| text.contains("--fail-on inconclusive")),
        "the gate is last"
    );
    assert!(
        texts(&steps[0]).iter().any(|text| text.contains("GITHUB_PATH")),
        "isotel is there before it is used"
    );
    let (parity, coverage) = (read(folder.path(), "parity.md"), read(folder.path(), "coverage.md"));
    assert!(parity.chars().count() <= 65_536, "a comment");
    assert!(parity.len() + coverage.len() <= 1 << 20, "a step's summary");
    assert!(parity.contains("checkout") && coverage.contains("cart.items"));
    for file in ["parity.html", "parity.xml"] {
        assert!(texts(&workflow).iter().any(|text| text.contains(file)) && folder.path().join(file).exists());
    }
}

#[test]
fn gitlab_gets_reports_a_note_and_a_result_that_it_takes() {
    let folder = folder();
    let pipeline = example::read("gitlab/parity.yml");
    run(&pipeline, folder.path());
    let (_, stage) = pipeline["parity"]["image"].as_str().unwrap().split_once(':').unwrap();
    let dockerfile = include_str!("../../deploy/docker/Dockerfile");
    let from = dockerfile.lines().find(|line| line.ends_with(&format!(" AS {stage}"))).unwrap();
    assert!(from.starts_with("FROM debian:"), "its runner needs a shell: {from}");
    let artifacts = &pipeline["parity"]["artifacts"];
    assert_eq!(artifacts["when"], "always", "a job that fails keeps what says why");
    for file in texts(artifacts).into_iter().filter(|file| file.contains('.')) {
        assert!(folder.path().join(file).exists(), "{file}");
    }
    let text = read(folder.path(), artifacts["reports"]["junit"].as_str().unwrap());
    let xml = roxmltree::Document::parse(&text).unwrap();
    let cases = |name: &str| xml.descendants().filter(|node| node.has_tag_name(name)).count();
    assert!(
        cases("failure") >= 3 && cases("testcase") > cases("failure"),
        "what diverges fails, and nothing else"
    );
    assert!(read(folder.path(), artifacts["reports"]["metrics"].as_str().unwrap()).ends_with("# EOF\n"));
    assert!(read(folder.path(), "parity.md").chars().count() <= 1_000_000, "a note");
    let note = texts(&pipeline["parity note"]["script"]).concat();
    assert!(note.contains("body@parity.md"));
}

#[test]
fn the_job_of_argo_fails_on_a_divergence_and_is_not_run_again() {
    let folder = folder();
    let template = example::read("argo-rollouts/job.yaml");
    let spec = &template["spec"]["metrics"][0]["provider"]["job"]["spec"];
    assert_eq!(
        (&spec["backoffLimit"], &spec["template"]["spec"]["restartPolicy"]),
        (&"0".into(), &"Never".into())
    );
    let container = &spec["template"]["spec"]["containers"][0];
    assert_eq!(container["command"], serde_json::json!(["isotel"]));
    let here = format!("{}/telemetry/", folder.path().display());
    let args: Vec<String> =
        texts(&container["args"]).into_iter().map(|arg| arg.replace("/telemetry/", &here)).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let ended = isotel(folder.path(), &args);
    assert_eq!(ended.status.code(), Some(1), "{}", String::from_utf8_lossy(&ended.stderr));
}
