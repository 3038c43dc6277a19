//! `catalog infer`, `catalog check`, `coverage --catalog`, and catalogs of the configuration.

use crate::{Ended, end, isotel};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// 2026-01-01T00:00:00Z, nanoseconds.
const START_NS: u64 = 1_767_225_600_000_000_000;
const MINUTE_NS: u64 = 60_000_000_000;
const MINUTES: u64 = 30;

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn int(key: &str, value: i64) -> Value {
    json!({"key": key, "value": {"intValue": value.to_string()}})
}

fn span(name: &str, method: &str, route: &str, at_ns: u64) -> Value {
    json!({
        "traceId": format!("{at_ns:032x}"), "spanId": format!("{at_ns:016x}"), "name": name, "kind": 2,
        "startTimeUnixNano": at_ns.to_string(), "endTimeUnixNano": (at_ns + 1_000_000).to_string(),
        "attributes": [text("http.request.method", method), text("http.route", route), text("url.scheme", "http")],
    })
}

/// Half an hour of a shop: much of some things, and little of others.
struct Shop<'a> {
    environment: Option<&'a str>,
    minutes: u64,
}

impl Shop<'_> {
    fn resource(&self) -> Value {
        let mut attributes =
            vec![text("service.namespace", "shop"), text("service.name", "cart"), int("process.pid", 7)];
        attributes.extend(self.environment.map(|name| text("deployment.environment.name", name)));
        json!({"attributes": attributes})
    }

    fn spans(&self, minute: u64) -> Value {
        let at = |n: u64| START_NS + minute * MINUTE_NS + n * 1_000_000_000;
        let mut spans: Vec<Value> = (0..40).map(|n| span("GET /cart", "GET", "/cart", at(n))).collect();
        spans.extend((40..50).map(|n| span("POST /checkout", "POST", "/checkout", at(n))));
        if minute.is_multiple_of(10) {
            let mut rare = span("GET /admin", "GET", "/admin", at(51));
            rare["events"] = json!([{"timeUnixNano": at(51).to_string(), "name": "exception"}]);
            spans.push(rare);
        }
        json!({"resourceSpans": [{"resource": self.resource(), "scopeSpans": [{"scope": {}, "spans": spans}]}]})
    }

    fn metrics(&self, minute: u64) -> Value {
        let at = (START_NS + minute * MINUTE_NS + 55_000_000_000).to_string();
        let durations = json!({
            "attributes": [text("http.request.method", "GET")], "startTimeUnixNano": START_NS.to_string(),
            "timeUnixNano": at, "count": "4", "sum": 1.0, "explicitBounds": [0.1], "bucketCounts": ["2", "2"],
        });
        let size = json!({"timeUnixNano": at, "asInt": "3"});
        json!({"resourceMetrics": [{"resource": self.resource(), "scopeMetrics": [{"scope": {}, "metrics": [
            {"name": "http.server.request.duration", "unit": "s",
             "histogram": {"aggregationTemporality": 2, "dataPoints": [durations]}},
            {"name": "cart.size", "unit": "{item}", "gauge": {"dataPoints": [size]}},
        ]}]}]})
    }

    fn logs(&self, minute: u64) -> Value {
        let at = (START_NS + minute * MINUTE_NS + 30_000_000_000).to_string();
        let record = |severity: i64| json!({"timeUnixNano": at, "severityNumber": severity, "attributes": [int("thread.id", 1)]});
        let mut records = vec![record(9), record(9)];
        if minute == 3 {
            records.push(record(17));
        }
        json!({"resourceLogs": [{"resource": self.resource(), "scopeLogs": [{"scope": {}, "logRecords": records}]}]})
    }

    fn lines(&self) -> String {
        let minutes = (0..self.minutes).flat_map(|m| [self.spans(m), self.metrics(m), self.logs(m)]);
        minutes.map(|request| format!("{request}\n")).collect()
    }
}

fn shop(environment: Option<&str>) -> String {
    Shop { environment, minutes: MINUTES }.lines()
}

fn write(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn run(args: &[&str], paths: &[(&str, &Path)]) -> Ended {
    let mut command = isotel(args);
    for (flag, path) in paths {
        if !flag.is_empty() {
            command.arg(flag);
        }
        command.arg(path);
    }
    end(&mut command)
}

/// The catalog of the shop, in a folder.
fn inferred(folder: &Path) -> PathBuf {
    let path = write(folder, "observed.json", &shop(None));
    let catalog = folder.join("catalog.yaml");
    let ended = run(&["catalog", "infer"], &[("", &path), ("-o", &catalog)]);
    assert_eq!((ended.code, &*ended.stdout, &*ended.stderr), (0, "", ""));
    catalog
}

/// `coverage --catalog --format json` of one environment.
fn covered(catalog: &Path, telemetry: &Path) -> (i32, Value) {
    let args = ["coverage", "--format", "json", "--quiet"];
    let ended = run(&args, &[("--catalog", catalog), ("--candidate", telemetry)]);
    (ended.code, serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{}", ended.stderr)))
}

fn service(report: &Value) -> &Value {
    &report["environments"][0]["services"][0]
}

fn messages(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .map(|f| {
            format!(
                "{} {}: {}",
                f["level"].as_str().unwrap(),
                f["aspect"].as_str().unwrap(),
                f["message"].as_str().unwrap()
            )
        })
        .collect()
}

#[test]
fn what_was_observed_becomes_a_catalog_that_people_can_read() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = std::fs::read_to_string(inferred(folder.path())).unwrap();
    insta::assert_snapshot!("catalog_inferred", catalog);
}

#[test]
fn an_inferred_catalog_is_valid_and_covers_what_it_was_made_of() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = inferred(folder.path());
    let checked = run(&["catalog", "check"], &[("", &catalog)]);
    assert_eq!((checked.code, &*checked.stdout), (0, ""));
    assert!(
        checked.stderr.contains("the catalog is valid: 1 service(s) with 12 item(s)"),
        "{}",
        checked.stderr
    );
    let (code, report) = covered(&catalog, &folder.path().join("observed.json"));
    assert_eq!(code, 0, "{report:#}");
    let total = &service(&report)["total"];
    assert_eq!((&total["ratio"], &service(&report)["verdict"]), (&json!(1.0), &json!("parity")));
    assert_eq!(report["findings"], json!([]));
    assert_eq!(service(&report)["signals"]["metrics"]["expected"], 3);
}

#[test]
fn missing_unexpected_and_misshapen_telemetry_is_named_and_too_little_of_it_is_divergent() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = inferred(folder.path());
    let changed = shop(None)
        .replace("\"unit\":\"s\"", "\"unit\":\"ms\"")
        .replace("cart.size", "cart.length")
        .replace(
            "{\"key\":\"url.scheme\",\"value\":{\"stringValue\":\"http\"}}",
            "{\"key\":\"net.x\",\"value\":{}}",
        )
        .replace(
            "{\"key\":\"process.pid\",\"value\":{\"intValue\":\"7\"}}",
            "{\"key\":\"process.pid\",\"value\":{\"stringValue\":\"7\"}}",
        );
    let (code, report) = covered(&catalog, &write(folder.path(), "changed.json", &changed));
    assert_eq!((code, &report["verdict"]), (1, &json!("divergent")));
    let found = service(&report);
    assert_eq!(
        found["missing"],
        json!([
            "span attribute GET /cart (server)[url.scheme]",
            "span attribute POST /checkout (server)[url.scheme]",
            "metric cart.size"
        ])
    );
    assert_eq!(
        found["extra"],
        json!([
            "metric cart.length",
            "span attribute GET /admin (server)[net.x]",
            "span attribute GET /cart (server)[net.x]",
            "span attribute POST /checkout (server)[net.x]"
        ])
    );
    assert_eq!(
        found["shape"],
        json!([
            "metric http.server.request.duration: unit ms instead of s",
            "resource attribute process.pid: type string instead of int"
        ])
    );
    let messages = messages(&report);
    for said in [
        "critical presence: shop/cart does not send metric cart.size in candidate; the catalog expects it.",
        "warning shape: shop/cart sends metric http.server.request.duration in candidate with unit ms instead of s.",
        "info presence: shop/cart sends metric cart.length in candidate, 30 time(s); the catalog does not name it.",
    ] {
        assert!(messages.iter().any(|message| message == said), "{said} is not in {messages:#?}");
    }
}

#[test]
fn what_is_too_rare_to_have_shown_yet_is_not_missing() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = inferred(folder.path());
    // A minute without checkouts, metrics and logs: of checkouts a few would be expected, of exports one.
    let short = Shop { environment: None, minutes: 1 };
    let spans = short.spans(1).to_string().replace("/checkout", "/cart").replace("POST", "GET");
    let (code, report) = covered(&catalog, &write(folder.path(), "short.json", &spans));
    let found = service(&report);
    assert_eq!((code, &found["missing"]), (0, &json!([])), "{report:#}");
    let too_rare: Vec<&str> =
        found["too_rare"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
    assert_eq!(
        too_rare,
        [
            "span POST /checkout (server)",
            "metric cart.size",
            "metric http.server.request.duration",
            "log severity INFO",
            "log attribute thread.id"
        ]
    );
}

#[test]
fn environments_are_held_one_by_one_and_each_to_what_is_expected_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let only_prod = |text: &str| text.replace("\"name\":\"cart.size\"", "\"name\":\"prod.size\"");
    let prod = write(folder.path(), "prod.json", &only_prod(&shop(Some("prod"))));
    let staging = write(folder.path(), "staging.json", &shop(Some("staging")));
    let ended = run(&["catalog", "infer"], &[("", &prod), ("", &staging)]);
    assert!(ended.stdout.contains("      prod.size:\n        environments: [prod]\n"), "{}", ended.stdout);
    assert!(ended.stdout.contains("      cart.size:\n        environments: [staging]\n"), "{}", ended.stdout);
    let catalog = write(folder.path(), "catalog.yaml", &ended.stdout);
    let args = ["coverage", "--format", "json"];
    let both = run(&args, &[("--catalog", &catalog), ("--input", &prod), ("", &staging)]);
    let report: Value = serde_json::from_str(&both.stdout).unwrap();
    assert_eq!((both.code, report["environments"].as_array().unwrap().len()), (0, 2));
    // The same telemetry in the other environment lacks one and has another.
    let moved = write(folder.path(), "moved.json", &only_prod(&shop(Some("staging"))));
    let ended = run(&args, &[("--catalog", &catalog), ("--input", &moved)]);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(service(&report)["missing"], json!(["metric cart.size"]));
    assert_eq!(service(&report)["extra"], json!(["metric prod.size"]));
    let alone = report["environments"].as_array().unwrap();
    assert_eq!((alone.len(), &alone[0]["environment"]), (1, &json!("staging")));
}

#[test]
fn a_service_that_sends_nothing_is_one_finding() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = write(
        folder.path(),
        "catalog.yaml",
        "catalog: isotel/v1\nservices:\n  shop/cart: {spans: {'GET /cart (server)': }}\n  shop/mail: {spans: {'send (producer)': }, \
         metrics: {mails: }}\n  shop/night: {required: false, metrics: {jobs: }}\n",
    );
    let (code, report) = covered(&catalog, &write(folder.path(), "cart.json", &shop(None)));
    assert_eq!(code, 1);
    let mail = &report["environments"][0]["services"][1];
    assert_eq!(mail["missing"], json!(["span send (producer)", "metric mails"]));
    let critical: Vec<String> = messages(&report).into_iter().filter(|m| m.starts_with("critical")).collect();
    assert_eq!(
        critical,
        ["critical presence: shop/mail sends nothing in candidate; the catalog expects 2 item(s)."]
    );
}

#[test]
fn conventions_are_held_item_by_item() {
    let folder = tempfile::tempdir().unwrap();
    let attributes = |keys: &[Value]| {
        let mut all = keys.to_vec();
        all.push(text("com.acme.tenant", "t"));
        all
    };
    let mut lines = String::new();
    let at = START_NS.to_string();
    let end = (START_NS + 1).to_string();
    let resource = json!({"attributes": attributes(&[
        text("service.name", "shop"),
        text("process.pid", "7"),
        json!({"key": "process.command_args", "value": {"arrayValue": {"values": [{"stringValue": "a"}]}}}),
        text("process.environment_variable.HOME", "/"),
    ])});
    let span = |name: &str, keys: &[Value]| {
        json!({"traceId": "01".repeat(16), "spanId": "01".repeat(8), "name": name, "kind": 2, "startTimeUnixNano": at,
            "endTimeUnixNano": end, "attributes": attributes(keys)})
    };
    let spans = [
        span("right", &[text("http.request.method", "GET"), text("url.scheme", "http")]),
        span("lacks", &[text("http.request.method", "GET"), text("http.rout", "/")]),
        span("old", &[text("http.method", "GET"), text("http.tenant", "t")]),
    ];
    lines.push_str(
        &json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}).to_string(),
    );
    lines.push('\n');
    let points = |keys: &[Value]| json!([{"timeUnixNano": at, "asInt": "1", "attributes": attributes(keys)}]);
    let metrics = [
        json!({"name": "http.server.request.duration", "unit": "ms", "gauge": {"dataPoints": points(&[])}}),
        json!({"name": "http.server.active_requests", "unit": "{request}",
            "sum": {"aggregationTemporality": 2, "dataPoints": points(&[])}}),
        json!({"name": "http.server.duration", "unit": "ms",
            "histogram": {"aggregationTemporality": 2, "dataPoints": [{"timeUnixNano": at, "count": "1", "sum": 1.0}]}}),
        json!({"name": "http.server.active_request", "unit": "1", "gauge": {"dataPoints": points(&[])}}),
        json!({"name": "acme.tenants", "unit": "1", "gauge": {"dataPoints": points(&[])}}),
    ];
    lines.push_str(
        &json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": metrics}]}]})
            .to_string(),
    );
    lines.push('\n');
    let records = json!([{"timeUnixNano": at, "eventName": "session.start", "severityNumber": 9}]);
    lines.push_str(
        &json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]})
            .to_string(),
    );
    let telemetry = write(folder.path(), "shop.json", &lines);
    let registry = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conventions");
    let (code, report) = covered(&registry, &telemetry);
    let mut messages = messages(&report);
    messages.sort();
    assert_eq!(
        messages,
        [
            "info presence: shop, in candidate: attribute http.tenant on spans stands in a namespace of the conventions, \
             which do not know it.",
            "info shape: shop, in candidate: attribute http.method is deprecated: http.request.method replaces it.",
            "info shape: shop, in candidate: metric http.server.duration is deprecated: http.server.request.duration \
             replaces it.",
            "warning presence: shop, in candidate: attribute http.rout on spans is not in the conventions; http.route is.",
            "warning presence: shop, in candidate: event session.start lacks session.id, which the conventions require.",
            "warning presence: shop, in candidate: metric http.server.active_request is not in the conventions; \
             http.server.active_requests is.",
            "warning presence: shop, in candidate: metric http.server.request.duration lacks http.request.method, which \
             the conventions require.",
            "warning presence: shop, in candidate: span lacks (server) lacks url.scheme, which the conventions require.",
            "warning shape: shop, in candidate: attribute process.pid has type string instead of int.",
            "warning shape: shop, in candidate: metric http.server.request.duration has instrument gauge instead of \
             histogram, unit ms instead of s.",
        ]
    );
    assert_eq!((code, &report["verdict"]), (1, &json!("divergent")));
    let conventions = &service(&report)["conventions"];
    assert_eq!((&conventions["expected"], &conventions["present"]), (&json!(15), &json!(9)), "{conventions}");
}

#[test]
fn a_name_that_the_conventions_replaced_is_the_same_item_under_its_previous_name() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = inferred(folder.path());
    let old = shop(None)
        .replace("http.request.method", "http.method")
        .replace("http.server.request.duration", "http.server.duration");
    let telemetry = write(folder.path(), "old.json", &old);
    let registry = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conventions");
    let args = ["coverage", "--format", "json"];
    let ended = run(&args, &[("--catalog", &catalog), ("--catalog", &registry), ("--candidate", &telemetry)]);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(service(&report)["missing"], json!([]), "{report:#}");
    let shape = service(&report)["shape"].as_array().unwrap();
    assert!(
        shape.contains(&json!("metric http.server.request.duration: sent as http.server.duration")),
        "{shape:?}"
    );
    assert!(
        shape.contains(&json!("span attribute GET /cart (server)[http.request.method]: sent as http.method"))
    );
}

#[test]
fn what_is_wrong_with_catalogs_is_said_at_once_with_lines_and_is_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let one = write(
        folder.path(),
        "one.yaml",
        "catalog: isotel/v1\nservices:\n  a:\n    metrics:\n      m: {unit: s}\n",
    );
    let two = write(
        folder.path(),
        "two.yaml",
        "catalog: isotel/v1\nservices:\n  a:\n    metrics:\n      m: {unit: ms}\n",
    );
    let bad = write(
        folder.path(),
        "bad.yaml",
        "catalog: isotel/v1\nservices:\n  a: {sapns: {}}\n  a: {required: maybe}\n  b: {required: maybe}\n",
    );
    let empty = write(folder.path(), "empty.yaml", "");
    let large = write(folder.path(), "large.yaml", &"#".repeat(50 << 20));
    let nothing = folder.path().join("nothing");
    std::fs::create_dir(&nothing).unwrap();
    let circle = write(
        folder.path(),
        "circle.yaml",
        "groups:\n  - {id: a, type: attribute_group, extends: b}\n  - {id: b, type: attribute_group, extends: a}\n  - {id: c, \
         type: thing}\n",
    );
    for (paths, said) in [
        (
            vec![("", &*one), ("", &*two)],
            vec!["a: metric m: another `unit` than at", "one.yaml:5", "two.yaml:5:"],
        ),
        (
            vec![("", &*bad)],
            vec![
                "bad.yaml:3:7",
                "did you mean `spans`?",
                "bad.yaml:4:3",
                "stands here twice",
                "bad.yaml:5:17",
                "3 problem(s)",
            ],
        ),
        (vec![("", &*empty)], vec!["empty.yaml:1:1", "the file is empty"]),
        (vec![("", &*large)], vec!["large.yaml has more than 16777216 bytes"]),
        (vec![("", &*nothing)], vec!["no .yaml file in"]),
        (
            vec![("", &*circle)],
            vec![
                "group a: refers to itself",
                "circle.yaml:3",
                "the type \"thing\" is none of",
                "circle.yaml:4",
            ],
        ),
    ] {
        let ended = run(&["catalog", "check"], &paths);
        assert_eq!((ended.code, &*ended.stdout), (2, ""), "{paths:?}: {}", ended.stderr);
        for said in said {
            assert!(ended.stderr.contains(said), "{said:?} is not in {}", ended.stderr);
        }
    }
    let absent = folder.path().join("absent.yaml");
    let ended = run(&["catalog", "check"], &[("", &absent)]);
    assert_eq!(ended.code, 4, "{}", ended.stderr);
}

#[test]
fn the_catalog_of_the_configuration_is_what_the_candidate_is_judged_by() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = inferred(folder.path());
    let baseline = write(folder.path(), "baseline.json", &shop(None).replace("cart.size", "cart.length"));
    let candidate =
        write(folder.path(), "candidate.json", &shop(None).replace("\"unit\":\"s\"", "\"unit\":\"ms\""));
    let set = format!("parity.catalog={}", catalog.display());
    let args = ["judge", "--format", "json", "--fail-on", "never", "--quiet", "--set", &set];
    let ended = run(&args, &[("--baseline", &baseline), ("--candidate", &candidate)]);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{}", ended.stderr));
    let coverage = &report["services"][0]["coverage"];
    // The baseline's own metric is not missed, for the catalog does not expect it.
    assert_eq!((&coverage["missing"], &coverage["extra"]), (&json!([]), &json!([])));
    assert_eq!(coverage["shape"], json!(["metric http.server.request.duration: unit ms instead of s"]));
    let lacking = write(folder.path(), "lacking.json", &shop(None).replace("cart.size", "cart.length"));
    let ended = run(&args, &[("--baseline", &baseline), ("--candidate", &lacking)]);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["services"][0]["coverage"]["missing"], json!(["metric cart.size"]));
    let broken = write(folder.path(), "broken.yaml", "catalog: isotel/v9\n");
    let set = format!("parity.catalog=[{}, {}]", catalog.display(), broken.display());
    let ended = run(&["validate", "--set", &set], &[]);
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("broken.yaml:1:10"), "{}", ended.stderr);
}

#[test]
fn without_an_environment_or_a_baseline_it_is_said_what_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = inferred(folder.path());
    let untagged = folder.path().join("observed.json");
    let ended = run(&["coverage"], &[("--catalog", &catalog), ("--input", &untagged)]);
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("the input names no environment"), "{}", ended.stderr);
    for command in ["coverage", "judge"] {
        let ended = run(&[command], &[("--candidate", &untagged)]);
        assert_eq!(ended.code, 2);
        assert!(ended.stderr.contains("--candidate has nothing to be compared with"), "{}", ended.stderr);
    }
    let nothing = write(folder.path(), "nothing.json", "");
    let ended = run(&["catalog", "infer"], &[("", &nothing)]);
    assert_eq!(ended.code, 4, "{}", ended.stderr);
}

#[test]
fn a_person_sees_what_is_missing_in_a_table_and_in_markdown() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = inferred(folder.path());
    let telemetry = write(folder.path(), "lacking.json", &shop(None).replace("cart.size", "cart.length"));
    for (format, name) in [("table", "catalog_coverage"), ("markdown", "catalog_coverage_markdown")] {
        let args = ["coverage", "--format", format];
        let ended = run(&args, &[("--catalog", &catalog), ("--candidate", &telemetry)]);
        assert_eq!(ended.code, 1, "{}", ended.stderr);
        insta::assert_snapshot!(name, ended.stdout);
    }
}
