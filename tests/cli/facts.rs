//! Facts, waivers and owners, from files to exit codes.

use crate::input::Recording;
use crate::{end, isotel};
use serde_json::{Value, json};
use std::path::Path;

/// A recording of 600 requests an operation whose resource states more.
fn write(folder: &Path, environment: &str, runtime: &str, version: &str) -> String {
    let seed = if environment == "prod" { 1 } else { 2 };
    let lines = Recording { environment, n: 600, factor: 1.0, seed }.lines();
    let stating = |line: &str| {
        let mut request: Value = serde_json::from_str(line).unwrap();
        let attributes = request["resourceSpans"][0]["resource"]["attributes"].as_array_mut().unwrap();
        for attribute in attributes.iter_mut().filter(|attribute| attribute["key"] == "service.version") {
            attribute["value"]["stringValue"] = json!(version);
        }
        attributes.push(json!({"key": "process.runtime.version", "value": {"stringValue": runtime}}));
        format!("{request}\n")
    };
    let path = folder.join(format!("{environment}.json"));
    std::fs::write(&path, lines.lines().map(stating).collect::<String>()).unwrap();
    path.to_str().unwrap().to_owned()
}

struct Case {
    folder: tempfile::TempDir,
    files: [String; 2],
}

impl Case {
    fn new() -> Case {
        let folder = tempfile::tempdir().unwrap();
        let files = [
            write(folder.path(), "prod", "17.0.2", "1.4.2"),
            write(folder.path(), "canary", "21.0.1", "1.5.0"),
        ];
        Case { folder, files }
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Judges with a configuration: exit code, what was said, report.
    fn judge(&self, config: &str) -> (i32, String, Value) {
        let config = self.write("isotel.yaml", config);
        let mut command = isotel(&["judge", "--input", &self.files[0], &self.files[1]]);
        let ended = end(command.args(["--config", &config, "--format", "json"]));
        let report = serde_json::from_str(&ended.stdout).unwrap_or(Value::Null);
        (ended.code, ended.stderr, report)
    }
}

const CRITICAL: &str = "parity:
  waivers_file: waivers.yaml
  environments: {canary: {owner: sre, runbook: https://runbooks.example/canary}}
  facts: [{key: process.runtime.version, rule: must_equal, severity: critical}]
  comparisons: [{name: release, baseline: prod, candidate: canary, owner: release-team}]
";

#[test]
fn another_runtime_is_a_warning_and_divergent_where_a_rule_says_so() {
    let case = Case::new();
    let (code, said, report) = case.judge("parity: {}");
    assert_eq!((code, report["verdict"].as_str()), (0, Some("parity")), "{said}");
    assert_eq!(report["aspects"]["facts"]["verdict"], "divergent");
    assert_eq!(report["findings"][0]["item"], "process.runtime.version");
    assert_eq!(report["findings"].as_array().unwrap().len(), 1, "another version is no finding in a release");
    assert_eq!(report["facts"]["artifact"], json!({"compared": 1, "equal": 0, "ratio": 0.0}));
    assert_eq!(report["facts"]["dependencies"]["compared"], 1);
    case.write("waivers.yaml", "waivers: []\n");
    let (code, said, report) = case.judge(CRITICAL);
    assert_eq!((code, report["verdict"].as_str()), (1, Some("divergent")), "{said}");
    assert_eq!(report["findings"][0]["owner"], "sre");
    assert_eq!((report["owner"].as_str(), report["score"].as_f64()), (Some("release-team"), Some(49.0)));
    let same = "parity: {facts: [{key: service.version, rule: must_equal, severity: critical},
        {key: process.*, rule: may_differ}]}";
    assert_eq!(case.judge(same).2["findings"][0]["item"], "service.version");
}

#[test]
fn a_waiver_in_a_file_takes_a_finding_out_until_it_expires() {
    let case = Case::new();
    let until = |day: &str| {
        case.write(
            "waivers.yaml",
            &format!(
                "waivers:\n  - item: process.runtime.version\n    reason: we are moving to 21\n    \
                 owner: jvm-team\n    expires: {day}\n"
            ),
        );
        case.judge(CRITICAL)
    };
    let (code, said, report) = until("2999-01-01");
    assert_eq!((code, report["verdict"].as_str()), (0, Some("parity")), "{said}");
    assert_eq!(report["findings"][0]["waived_by"], "we are moving to 21 (jvm-team)");
    assert_eq!((&report["facts"]["broken"], &report["facts"]["accepted"]), (&json!(0), &json!(1)));
    assert_eq!(report["aspects"]["facts"]["verdict"], "parity");
    assert!(said.contains("warning: waivers: one expires more than a year from now"), "{said}");
    assert!(said.contains("waivers.yaml:2:5"), "{said}");
    let (code, said, report) = until("2020-01-01");
    assert_eq!((code, said.as_str()), (1, ""));
    let titles: Vec<&str> =
        report["findings"].as_array().unwrap().iter().filter_map(|f| f["title"].as_str()).collect();
    assert_eq!(titles, ["process.runtime.version differs", "waiver expired"]);
}

#[test]
fn a_file_of_waivers_without_expiry_or_that_is_not_there_is_exit_code_2() {
    let case = Case::new();
    let (code, said, _) = case.judge(CRITICAL);
    assert_eq!(code, 2);
    assert!(said.contains("parity.waivers_file: cannot read") && said.contains("isotel.yaml:2:17"), "{said}");
    case.write("waivers.yaml", "waivers:\n  - {item: x, reason: r, owner: o}\n");
    let (code, said, _) = case.judge(CRITICAL);
    assert_eq!(code, 2);
    assert!(said.contains("one lacks expires") && said.contains("waivers.yaml:2:5"), "{said}");
}

#[test]
fn coverage_counts_what_a_waiver_accepts_as_there() {
    let case = Case::new();
    let canary = std::fs::read_to_string(&case.files[1]).unwrap();
    let without_cart = canary.lines().map(|line| {
        let mut request: Value = serde_json::from_str(line).unwrap();
        let spans = request["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array_mut().unwrap();
        spans.retain(|span| span["name"] != "GET /cart");
        format!("{request}\n")
    });
    let without_cart: String = without_cart.collect();
    std::fs::write(&case.files[1], without_cart).unwrap();
    let code = |item: &str| {
        let config = case.write(
            "isotel.yaml",
            &format!(
                "parity: {{waivers: [{{item: \"{item}\", reason: gone, owner: o, expires: 2999-01-01}}]}}"
            ),
        );
        let mut command = isotel(&["coverage", "--input", &case.files[0], &case.files[1]]);
        end(command.args(["--config", &config])).code
    };
    assert_eq!([code("span GET /cart (server)"), code("span GET /other (server)")], [0, 1]);
}

#[test]
fn a_report_for_people_names_owner_runbook_and_rule() {
    let case = Case::new();
    case.write("waivers.yaml", "waivers: []\n");
    let config = case.write("isotel.yaml", CRITICAL);
    let judge = |format: &str| {
        let mut command = isotel(&["judge", "--input", &case.files[0], &case.files[1]]);
        end(command.args(["--config", &config, "--format", format])).stdout
    };
    let markdown = judge("markdown");
    for said in
        ["owner: <code>sre</code>", "owner release-team", "runbooks.example/canary", "(must be equal)"]
    {
        assert!(markdown.contains(said), "no {said} in {markdown}");
    }
    let verdict = case.write("verdict.json", &judge("json"));
    let whole = end(&mut isotel(&["explain", &verdict])).stdout;
    assert!(whole.contains("Comparison owned by release-team") && whole.contains("owner sre"), "{whole}");
    assert!(judge("table").contains("process.runtime.version: 17.0.2 → 21.0.1 (must be equal)"));
}
