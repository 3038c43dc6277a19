//! Ordinary metrics in recorded files: what `judge` and `explain` say of them.

use crate::{end, isotel};
use serde_json::{Value, json};
use std::path::Path;

/// 2026-01-01T00:00:00Z, nanoseconds.
const START_NS: u64 = 1_767_225_600_000_000_000;

/// A gauge, a counter and a checksum every five minutes, one request a line.
fn write(folder: &Path, name: &str, points: u64, depth: f64, checksum: &str) -> String {
    let mut lines = String::new();
    for at in 0..points {
        let (start, time) = (START_NS + at * 300_000_000_000, START_NS + (at + 1) * 300_000_000_000);
        let point = |value: f64| json!({"startTimeUnixNano": start.to_string(), "timeUnixNano": time.to_string(), "asDouble": value});
        let wobble = depth * (1.0 + 0.02 * (at % 3) as f64);
        let metrics = json!([
            {"name": "queue.depth", "unit": "{job}", "gauge": {"dataPoints": [point(wobble)]}},
            {"name": "rows", "unit": "{row}",
             "sum": {"aggregationTemporality": 1, "isMonotonic": true, "dataPoints": [point(600.0)]}},
        ]);
        let attributes = json!([{"key": "service.name", "value": {"stringValue": "etl"}}]);
        let record = json!({"timeUnixNano": time.to_string(),
            "attributes": [{"key": "report.checksum", "value": {"stringValue": checksum}}]});
        for request in [
            json!({"resourceMetrics": [{"resource": {"attributes": attributes},
                "scopeMetrics": [{"metrics": metrics}]}]}),
            json!({"resourceLogs": [{"resource": {"attributes": attributes},
                "scopeLogs": [{"logRecords": [record]}]}]}),
        ] {
            lines.push_str(&request.to_string());
            lines.push('\n');
        }
    }
    let path = folder.join(name);
    std::fs::write(&path, lines).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn metrics_in_files_decide_where_they_are_configured() {
    let folder = tempfile::tempdir().unwrap();
    let baseline = write(folder.path(), "baseline.jsonl", 12, 40.0, "9f1c");
    let same = write(folder.path(), "same.jsonl", 12, 40.2, "9f1c");
    let other = write(folder.path(), "other.jsonl", 12, 80.0, "77aa");
    let config = folder.path().join("isotel.yaml");
    std::fs::write(
        &config,
        "parity:
  values:
    - {metric: queue.depth, tolerance: 0.1}
    - {metric: rows}
    - {attribute: report.checksum, equal: true}
",
    )
    .unwrap();
    let judge = |candidate: &str, args: &[&str]| {
        let mut command = isotel(&["judge", "--quiet", "--baseline", &baseline, "--candidate", candidate]);
        end(command.arg("--config").arg(&config).args(args))
    };
    let parity = judge(&same, &["--format", "json"]);
    assert_eq!(parity.code, 0, "{}", parity.stdout);
    let report: Value = serde_json::from_str(&parity.stdout).unwrap();
    assert_eq!((&report["verdict"], &report["score"]), (&json!("parity"), &json!(100.0)));
    let rows = report["services"][0]["values"].as_array().unwrap();
    let rate = rows.iter().find(|value| value["metric"] == "rows").unwrap();
    // A point speaks of five minutes, however short the windows are.
    assert_eq!((&rate["statistic"], &rate["baseline"]), (&json!("rate"), &json!(2.0)));

    let divergent = judge(&other, &["--format", "json"]);
    assert_eq!(divergent.code, 1);
    let report: Value = serde_json::from_str(&divergent.stdout).unwrap();
    assert_eq!(report["aspects"]["value"]["verdict"], "divergent");
    let verdict = |metric: &str| {
        let rows = report["services"][0]["values"].as_array().unwrap();
        rows.iter().find(|value| value["metric"] == metric).unwrap()["verdict"].clone()
    };
    assert_eq!(verdict("rows"), "parity");
    assert_eq!(
        (verdict("queue.depth"), verdict("report.checksum")),
        (json!("divergent"), json!("divergent"))
    );
    assert!(!divergent.stdout.contains("77aa"), "texts are never told");

    let table = judge(&other, &[]).stdout;
    assert!(table.contains("Metrics") && table.contains("queue.depth (mean)"), "{table}");
    let markdown = judge(&other, &["--format", "markdown"]).stdout;
    assert!(markdown.contains("<summary>Metrics: 1 of 3 that decide at parity"), "{markdown}");

    let saved = folder.path().join("verdict.json");
    std::fs::write(&saved, &divergent.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let depth = findings.iter().find(|finding| finding["evidence"]["metric"] == "queue.depth").unwrap();
    let mut explain = isotel(&["explain"]);
    let explained = end(explain.arg(&saved).arg(depth["id"].as_str().unwrap())).stdout;
    for said in
        ["queue.depth (gauge)", "windows", "±10 % on the ratio", "in verdict and score", "parity.values"]
    {
        assert!(explained.contains(said), "{said}:\n{explained}");
    }
    let whole = end(isotel(&["explain"]).arg(&saved)).stdout;
    assert!(
        whole.contains("metrics that decide   Σ v = 1 of 3") && whole.contains("score                 = 33"),
        "{whole}"
    );
}

#[test]
fn without_configuration_a_metric_that_differs_is_told_and_takes_parity_away() {
    let folder = tempfile::tempdir().unwrap();
    let baseline = write(folder.path(), "baseline.jsonl", 12, 40.0, "9f1c");
    let other = write(folder.path(), "other.jsonl", 12, 80.0, "77aa");
    let mut command = isotel(&["judge", "--baseline", &baseline, "--candidate", &other]);
    let ended = end(&mut command);
    assert_eq!(ended.code, 0);
    assert!(ended.stderr.contains("the verdict is inconclusive"), "{}", ended.stderr);
    assert!(ended.stdout.contains("higher value") && ended.stdout.contains("+100 %"), "{}", ended.stdout);
}
