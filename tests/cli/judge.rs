//! `judge`, `coverage` and `explain`.

use crate::input::{Recording, pair};
use crate::{end, isotel};
use serde_json::Value;
use std::io::Write;
use std::path::Path;

#[test]
fn the_exit_code_says_parity_divergent_or_not_enough_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let (prod, slow) = pair(folder.path(), 1.5);
    let few = Recording { environment: "few", n: 20, factor: 1.0, seed: 3 }.write(folder.path());
    let few = few.to_str().unwrap();
    let none = folder.path().join("none.json");
    std::fs::write(&none, "").unwrap();
    let none = none.to_str().unwrap();
    for (candidate, fail_on, code, said) in [
        (&*prod, None, 0, ""),
        (&slow, None, 1, ""),
        (&slow, Some("never"), 0, "the verdict is divergent"),
        (few, None, 0, "the verdict is inconclusive; the exit code is 0 because of --fail-on"),
        (few, Some("inconclusive"), 3, ""),
        (none, None, 0, "the verdict is no_data"),
        (none, Some("inconclusive"), 3, ""),
    ] {
        let mut command = isotel(&["judge", "--baseline", &prod, "--candidate", candidate]);
        let fail_on = fail_on.map_or(vec![], |when| vec!["--fail-on", when]);
        let ended = end(command.args(&fail_on));
        assert_eq!(ended.code, code, "{candidate} {fail_on:?}: {}", ended.stdout);
        assert!(ended.stderr.contains(said), "{candidate} {fail_on:?}: {}", ended.stderr);
    }
}

#[test]
fn what_cannot_be_read_is_named_and_is_exit_code_4() {
    let folder = tempfile::tempdir().unwrap();
    let (prod, _) = pair(folder.path(), 1.0);
    let garbage = folder.path().join("garbage.json");
    std::fs::write(&garbage, "{\"resourceSpans\": []}\nnot telemetry\n").unwrap();
    let cut = folder.path().join("cut.proto");
    std::fs::write(&cut, [0, 0, 0, 9, 1]).unwrap();
    for (candidate, said) in [
        (folder.path().join("absent.json"), "No such file"),
        (garbage.clone(), "line 2"),
        (cut.clone(), "byte 0"),
    ] {
        let candidate = candidate.to_str().unwrap();
        let ended = end(&mut isotel(&["judge", "--baseline", &prod, "--candidate", candidate]));
        assert_eq!(ended.code, 4, "{candidate}");
        assert!(ended.stderr.contains(candidate) && ended.stderr.contains(said), "{}", ended.stderr);
        assert_eq!(ended.stdout, "");
    }
}

#[test]
fn wrong_usage_is_exit_code_2_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (prod, _) = pair(folder.path(), 1.0);
    for (args, said) in [
        (vec!["judge"], "--baseline"),
        (vec!["judge", "--baseline", &prod], "--candidate"),
        (vec!["judge", "--input", &prod], "two environments are needed, and the input has: prod"),
        (vec!["judge", "--input", &prod, "--comparison", "release"], "two environments are needed"),
        (vec!["jugde"], "judge"),
    ] {
        let ended = end(&mut isotel(&args));
        assert_eq!(ended.code, 2, "{args:?}");
        assert!(ended.stderr.contains(said), "{args:?}: {}", ended.stderr);
    }
}

#[test]
fn tagged_files_are_compared_by_name_and_an_unknown_name_lists_the_known() {
    let folder = tempfile::tempdir().unwrap();
    let (prod, canary) = pair(folder.path(), 1.5);
    let config = folder.path().join("isotel.yaml");
    std::fs::write(
        &config,
        "parity: {comparisons: [{name: release, baseline: prod, candidate: canary},
          {name: nowhere, baseline: prod, candidate: moon}]}",
    )
    .unwrap();
    let judge = |comparison: &str| {
        let mut command = isotel(&["judge", "--input", &prod, &canary, "--comparison", comparison]);
        end(command.arg("--config").arg(&config))
    };
    let found = judge("release");
    assert_eq!(found.code, 1, "{}", found.stderr);
    assert!(found.stdout.contains("POST /checkout"));
    let unknown = judge("other");
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("release, nowhere"), "{}", unknown.stderr);
    let empty = judge("nowhere");
    assert!(empty.stdout.contains("moon") && empty.stdout.contains("NO DATA"), "{}", empty.stdout);
}

#[test]
fn data_goes_to_standard_output_and_all_else_to_standard_error() {
    let folder = tempfile::tempdir().unwrap();
    let (prod, canary) = pair(folder.path(), 1.5);
    let judge = |args: &[&str]| {
        let mut command = isotel(&["judge", "--baseline", &prod, "--candidate", &canary]);
        end(command.args(args).env("COLUMNS", "80"))
    };
    let table = judge(&[]);
    assert!(table.stdout.starts_with("✗ DIVERGENT"), "{}", table.stdout);
    assert!(!table.stdout.contains('\u{1b}'), "no escape codes in a pipe");
    let widest = table.stdout.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(80), "{widest:?}\n{}", table.stdout);
    assert_eq!(table.stderr, "");

    let json: Value = serde_json::from_str(&judge(&["--format", "json"]).stdout).unwrap();
    assert_eq!(
        (json["schema"].as_str(), json["verdict"].as_str()),
        (Some("isotel.verdict/v1"), Some("divergent"))
    );
    let markdown = judge(&["--format", "markdown"]).stdout;
    assert!(markdown.contains("| ") && markdown.contains("POST /checkout"), "{markdown}");

    let html = judge(&["--format", "html"]).stdout;
    for part in ["<!DOCTYPE html>", "POST /checkout", "id=\"worst\"", "class=\"wide\"", "id=\"matrix\""] {
        assert!(html.contains(part), "{part}");
    }

    let file = folder.path().join("out.json");
    let written = judge(&["--format", "json", "-o", file.to_str().unwrap()]);
    assert_eq!((written.code, written.stdout.as_str()), (1, ""));
    let from_file: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(from_file["findings"], json["findings"]);
    let nowhere = judge(&["-o", "/nonexistent/out.json"]);
    assert_eq!(nowhere.code, 4);
    assert!(nowhere.stderr.contains("/nonexistent/out.json"), "{}", nowhere.stderr);
}

#[test]
fn one_side_can_come_from_standard_input_and_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let (prod, canary) = pair(folder.path(), 1.5);
    let plain = std::fs::read(&canary).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    for bytes in [plain.clone(), gzip.finish().unwrap(), zstd::bulk::compress(&plain, 1).unwrap()] {
        let mut command = isotel(&["judge", "--baseline", &prod, "--candidate", "-", "--format", "json"]);
        let ended = end(command.write_stdin(bytes));
        assert_eq!(ended.code, 1, "{}", ended.stderr);
        let json: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(json["input"]["spans"], 2_400);
    }
}

#[test]
fn the_flag_decides_the_environment_and_not_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let (prod, _) = pair(folder.path(), 1.0);
    let ended = end(&mut isotel(&["judge", "--baseline", &prod, "--candidate", &prod, "--format", "json"]));
    let json: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(json["baseline"]["environment"], "baseline");
    assert_eq!((ended.code, json["verdict"].as_str()), (0, Some("parity")));
}

#[test]
fn coverage_is_a_matrix_and_fails_on_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let (prod, canary) = pair(folder.path(), 1.0);
    let without_cart: String = std::fs::read_to_string(&canary)
        .unwrap()
        .lines()
        .map(|line| {
            let mut request: Value = serde_json::from_str(line).unwrap();
            let spans = request["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array_mut().unwrap();
            spans.retain(|span| span["name"] != "GET /cart");
            format!("{request}\n")
        })
        .collect();
    std::fs::write(&canary, without_cart).unwrap();
    let ended = end(&mut isotel(&["coverage", "--baseline", &prod, "--candidate", &canary]));
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    let row = ended.stdout.lines().find(|line| line.contains("GET /cart")).unwrap();
    assert!(row.contains("● 600") && row.contains('·'), "{row}");
    let same = end(&mut isotel(&["coverage", "--baseline", &prod, "--candidate", &prod]));
    assert_eq!(same.code, 0, "{}", same.stdout);
}

/// Passes, failures, errors and skips of JUnit XML.
fn test_results(xml: &str) -> [usize; 4] {
    let document = roxmltree::Document::parse(xml).unwrap_or_else(|error| panic!("{error}\n{xml}"));
    let count = |name: &str| document.descendants().filter(|node| node.has_tag_name(name)).count();
    let [failures, errors, skipped] = ["failure", "error", "skipped"].map(count);
    [count("testcase") - failures - errors - skipped, failures, errors, skipped]
}

#[test]
fn ci_reads_verdicts_and_coverage_as_test_results_and_the_exit_code_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (prod, slow) = pair(folder.path(), 1.5);
    let none = folder.path().join("none.json");
    std::fs::write(&none, "").unwrap();
    let none = none.to_str().unwrap();
    let catalog = folder.path().join("catalog.yaml");
    let catalog = catalog.to_str().unwrap();
    end(&mut isotel(&["catalog", "infer", &prod, "-o", catalog]));
    for (args, code, results) in [
        // The verdict, and two operations in latency and errors.
        (vec!["judge", "--baseline", &prod, "--candidate", &prod], 0, [5, 0, 0, 0]),
        (vec!["judge", "--baseline", &prod, "--candidate", &slow], 1, [3, 2, 0, 0]),
        (vec!["judge", "--baseline", &prod, "--candidate", &slow, "--fail-on", "never"], 0, [3, 2, 0, 0]),
        (
            vec!["judge", "--baseline", &prod, "--candidate", none, "--fail-on", "inconclusive"],
            3,
            [0, 0, 1, 5],
        ),
        // The whole, the service, spans and resource.
        (vec!["coverage", "--baseline", &prod, "--candidate", &slow], 0, [4, 0, 0, 0]),
        (vec!["coverage", "--input", &prod, "--catalog", catalog], 0, [4, 0, 0, 0]),
    ] {
        let ended = end(isotel(&args).args(["--format", "junit"]));
        assert_eq!((ended.code, test_results(&ended.stdout)), (code, results), "{args:?}\n{}", ended.stdout);
    }
}

#[test]
fn coverage_is_a_page_too_beside_another_environment_and_beside_a_catalog() {
    let folder = tempfile::tempdir().unwrap();
    let (prod, slow) = pair(folder.path(), 1.5);
    let catalog = folder.path().join("catalog.yaml");
    let catalog = catalog.to_str().unwrap();
    assert_eq!(end(&mut isotel(&["catalog", "infer", &prod, "-o", catalog])).code, 0);
    for (args, parts) in [
        (vec!["--baseline", &*prod, "--candidate", &slow], ["Telemetry of candidate", "id=\"matrix\""]),
        (
            vec!["--input", &*prod, "--catalog", catalog],
            ["Telemetry against the catalog", "id=\"services-table\""],
        ),
    ] {
        let ended = end(isotel(&["coverage", "--format", "html"]).args(&args));
        assert_eq!((ended.code, &*ended.stderr), (0, ""), "{args:?}");
        for part in parts {
            assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
        }
    }
}

#[test]
fn explain_says_how_a_finding_came_about_and_which_findings_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let (prod, canary) = pair(folder.path(), 1.5);
    let verdict = folder.path().join("verdict.json");
    let verdict = verdict.to_str().unwrap();
    end(&mut isotel(&[
        "judge",
        "--baseline",
        &prod,
        "--candidate",
        &canary,
        "--format",
        "json",
        "-o",
        verdict,
    ]));
    let id = {
        let json: Value = serde_json::from_str(&std::fs::read_to_string(verdict).unwrap()).unwrap();
        json["findings"][0]["id"].as_str().unwrap().to_owned()
    };
    let whole = end(&mut isotel(&["explain", verdict]));
    assert_eq!(whole.code, 0, "{}", whole.stderr);
    assert!(whole.stdout.contains("How the score came about"), "{}", whole.stdout);
    let one = end(&mut isotel(&["explain", verdict, &id]));
    assert_eq!(one.code, 0);
    assert!(one.stdout.contains("POST /checkout") && one.stdout.contains("Kolmogorov"), "{}", one.stdout);
    let unknown = end(&mut isotel(&["explain", verdict, "latency-0"]));
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains(&id), "{}", unknown.stderr);
    let no_verdict = end(&mut isotel(&["explain", &prod]));
    assert_eq!(no_verdict.code, 4);
    assert!(no_verdict.stderr.contains(&prod), "{}", no_verdict.stderr);
}

#[test]
fn reading_may_stop_early() {
    let folder = tempfile::tempdir().unwrap();
    let (prod, canary) = pair(folder.path(), 1.5);
    let binary = Path::new(env!("CARGO_BIN_EXE_isotel")).display();
    let line = format!("{binary} judge --baseline {prod} --candidate {canary} --verbose | head -1");
    let output = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("✗ DIVERGENT"));
}

#[test]
fn the_judge_can_be_held_against_the_baseline_itself_first() {
    let folder = tempfile::tempdir().unwrap();
    let (prod, canary) = pair(folder.path(), 1.5);
    let mut command = isotel(&["judge", "--baseline", &prod, "--candidate", &canary, "--calibrate"]);
    let json = end(command.args(["--format", "json"]));
    assert_eq!(json.code, 1, "{}", json.stderr);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["calibration"]["splits"], 35);
    assert!(json["calibration"]["divergent"].as_u64() <= Some(2), "{}", json["calibration"]);
    let short = Recording { environment: "short", n: 3, factor: 1.0, seed: 3 }.write(folder.path());
    let mut command = isotel(&["judge", "--candidate", &canary, "--calibrate", "--baseline"]);
    let short = end(command.arg(&short));
    assert_eq!(short.code, 2);
    assert!(short.stderr.contains("16 windows"), "{}", short.stderr);
}

#[test]
fn where_the_baseline_differs_from_itself_the_judge_abstains() {
    let folder = tempfile::tempdir().unwrap();
    // One half of the baseline's minute is twice as slow as the other.
    let halves = [1.0, 2.0].map(|factor| Recording { environment: "prod", n: 600, factor, seed: 4 }.lines());
    let lines = halves[0].lines().take(300).chain(halves[1].lines().skip(300));
    let prod: String = lines.flat_map(|line| [line, "\n"]).collect();
    let path = folder.path().join("prod.json");
    std::fs::write(&path, prod).unwrap();
    let canary = Recording { environment: "canary", n: 600, factor: 3.0, seed: 5 }.write(folder.path());
    let mut command = isotel(&["judge", "--calibrate", "--format", "json", "--baseline"]);
    let ended = end(command.arg(&path).arg("--candidate").arg(&canary));
    let json: Value = serde_json::from_str(&ended.stdout).unwrap();
    let calibration = &json["calibration"];
    let operations = json["services"][0]["operations"].as_array().unwrap();
    let checkout = operations.iter().find(|operation| operation["operation"] == "POST /checkout").unwrap();
    assert!(calibration["divergent"].as_u64() > Some(3), "{calibration}");
    assert_eq!(checkout["latency"]["verdict"], "inconclusive");
    assert!(checkout["latency"]["reason"].as_str().unwrap().contains("itself"), "{checkout}");
}

#[test]
fn another_mix_of_requests_is_a_finding_and_no_divergence() {
    let folder = tempfile::tempdir().unwrap();
    let (prod, canary) = pair(folder.path(), 1.0);
    // Of the canary's requests to one operation two in three do not come.
    let lines = std::fs::read_to_string(&canary).unwrap();
    let fewer: String = lines
        .lines()
        .enumerate()
        .map(|(at, line)| {
            let mut request: Value = serde_json::from_str(line).unwrap();
            let spans = request["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array_mut().unwrap();
            spans.retain(|span| at % 3 == 0 || span["name"] != "GET /cart");
            format!("{request}\n")
        })
        .collect();
    std::fs::write(&canary, fewer).unwrap();
    let mut command = isotel(&["judge", "--baseline", &prod, "--candidate", &canary, "--format", "json"]);
    let ended = end(&mut command);
    let json: Value = serde_json::from_str(&ended.stdout).unwrap();
    let findings: Vec<&Value> = json["findings"].as_array().unwrap().iter().collect();
    assert_eq!((ended.code, findings.len()), (0, 1), "{findings:#?}");
    assert_eq!((findings[0]["aspect"].as_str(), findings[0]["level"].as_str()), (Some("mix"), Some("info")));
    assert!(
        findings[0]["message"].as_str().unwrap().contains("75 % of its requests instead of 50 %"),
        "{findings:#?}"
    );
}
