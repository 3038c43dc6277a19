//! `isotel judge` and `isotel coverage` on files that the collector's file exporter wrote.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/fixtures").join(name)
}

fn isotel(args: &[&str], file: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_isotel")).args(args).arg("--input").arg(fixture(file)).output().unwrap()
}

fn verdict(file: &str) -> Value {
    let output = isotel(&["judge", "--format", "json"], file);
    assert_eq!(output.status.code(), Some(1), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    let mut verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
    verdict.as_object_mut().unwrap().remove("generated_at");
    verdict
}

#[test]
fn both_formats_of_the_file_exporter_give_the_planted_verdict() {
    let json = verdict("shop.json");
    let findings = json["findings"].as_array().unwrap().iter();
    let telling: Vec<_> = findings.filter(|f| f["level"] != "info").map(|f| &f["title"]).collect();
    assert_eq!(telling, ["slower"]);
    assert_eq!(json["findings"][0]["operation"], "POST /checkout/{id}");
    assert_eq!(json["input"]["spans"], 360);
    for file in ["shop.proto", "shop.json.zstd", "shop.proto.zstd"] {
        assert_eq!(verdict(file), json, "{file}");
    }
}

#[test]
fn coverage_shows_what_only_one_environment_has() {
    for file in ["shop.json", "shop.proto"] {
        let output = isotel(&["coverage", "--format", "table"], file);
        let table = String::from_utf8(output.stdout).unwrap();
        let row = table.lines().find(|line| line.contains("orders.placed")).unwrap();
        assert!(row.contains("● 3") && row.contains('·'), "{row}");
        assert!(table.contains("canary has 18 of 19 items"), "{table}");
    }
}
