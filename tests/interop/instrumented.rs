//! Instrumented applications: two versions of a real auto-instrumentation serve the same requests, and what changed
//! between them is found by name.

use crate::peer::{self, Running};
use crate::process::{Collector, Isotel};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// How often every request is sent to every application.
const ROUNDS: usize = 60;
/// Requests of one round with their bodies and the status that answers them: one finds nothing, and one fails.
const ROUND: [(&str, &str, u16); 8] = [
    ("GET /products?q=1", "", 200),
    ("GET /products/3", "", 200),
    ("GET /products/77", "", 404),
    ("POST /orders", r#"{"product":3}"#, 201),
    ("GET /orders/5", "", 200),
    ("PUT /orders/5", r#"{"product":4}"#, 200),
    ("DELETE /orders/5", "", 204),
    ("GET /reports", "", 500),
];
const REQUESTS: u64 = (ROUNDS * ROUND.len()) as u64;
/// So often that even a metric of few streams is seen often enough for its absence to count.
const METRIC_INTERVAL_MS: &str = "200";
/// One window for all: bursts say nothing here. How long an answer takes is not the question either.
const CONFIG: &str = "
parity:
  window: 1d
  tolerances: {latency: {floor: 1s}}
  comparisons:
    - {name: upgrade, baseline: older, candidate: newer}
    - {name: same, baseline: older, candidate: again}
";
/// Attributes of spans: their previous names, and the current ones.
const RENAMED: [(&str, &str); 7] = [
    ("http.method", "http.request.method"),
    ("http.status_code", "http.response.status_code"),
    ("http.scheme", "url.scheme"),
    ("http.target", "url.path"),
    ("http.user_agent", "user_agent.original"),
    ("http.flavor", "network.protocol.version"),
    ("net.host.name", "server.address"),
];

/// The metric, in milliseconds and in seconds.
const DURATION: (&str, &str) = ("http.server.duration", "http.server.request.duration");

/// An application that listens.
struct App {
    process: Running,
    address: SocketAddr,
}

impl App {
    fn serve(peer: &str, version: &[&str], environment: &str, isotel: &Isotel) -> App {
        let mut command = peer::command(peer);
        command.args(version).args(["--metric-interval-ms", METRIC_INTERVAL_MS]);
        command.args(["--endpoint-http", &format!("http://{}", isotel.http)]);
        command.args(["--environment", environment, "--service", "shop-api", "--instance", environment]);
        let mut process = Running::start(command.stdout(Stdio::piped()));
        let mut said = String::new();
        BufReader::new(process.child().stdout.take().unwrap()).read_line(&mut said).unwrap();
        let said: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{peer} said {said:?}"));
        let port = u16::try_from(said["port"].as_u64().unwrap()).unwrap();
        App { process, address: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    /// Sends one request and returns the status of the answer.
    fn request(&self, request: &str, body: &str) -> u16 {
        let request = format!(
            "{request} HTTP/1.1\r\nhost: shop\r\nuser-agent: interop\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(peer::PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        // Not to the end of the connection, which Flask's server keeps for a while after its answer.
        let mut answer = BufReader::new(stream);
        let mut line = || {
            let mut line = String::new();
            answer.read_line(&mut line).unwrap();
            line.trim_end().to_lowercase()
        };
        let status = line().split(' ').nth(1).unwrap().parse().unwrap();
        let header = std::iter::from_fn(|| Some(line()).filter(|line| !line.is_empty()));
        let lengths = header.filter_map(|line| line.strip_prefix("content-length: ")?.parse::<u64>().ok());
        let length = lengths.sum();
        assert_eq!(std::io::copy(&mut answer.take(length), &mut std::io::sink()).unwrap(), length);
        status
    }

    /// Ends the application, which exports all it has.
    fn end(mut self) {
        let status = self.process.stop();
        assert!(status.success(), "{status}");
    }
}

/// What three applications sent: the older version twice, and the newer one.
struct Recording {
    folder: TempDir,
    telemetry: PathBuf,
}

impl Recording {
    /// Every request goes to all of them in turn, so that what disturbs one disturbs all.
    fn of(peer: &str, newer: &[&str]) -> Recording {
        let mut behind = Collector::run(
            "
exporters: {file: {path: '{file}', flush_interval: 50ms}}
service:
  pipelines:
    traces: {receivers: [otlp], exporters: [file]}
    metrics: {receivers: [otlp], exporters: [file]}
",
        );
        let isotel = Isotel::run(&format!(
            "
exporters: {{otlp_grpc: {{endpoint: '{}', tls: {{insecure: true}}}}}}
service:
  pipelines:
    traces: {{receivers: [otlp], exporters: [otlp_grpc]}}
    metrics: {{receivers: [otlp], exporters: [otlp_grpc]}}
",
            behind.grpc
        ));
        let versions = [("older", &["older"][..]), ("again", &["older"]), ("newer", newer)];
        let apps = versions.map(|(environment, version)| App::serve(peer, version, environment, &isotel));
        for (request, body, status) in (0..ROUNDS).flat_map(|_| ROUND) {
            for app in &apps {
                assert_eq!(app.request(request, body), status, "{request}");
            }
        }
        apps.into_iter().for_each(App::end);
        isotel.stop();
        behind.end();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("isotel.yaml"), CONFIG).unwrap();
        let telemetry = folder.path().join("received.json");
        std::fs::copy(&behind.received, &telemetry).unwrap();
        Recording { folder, telemetry }
    }

    fn isotel(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_isotel"));
        command.args(args).arg("--config").arg(self.folder.path().join("isotel.yaml"));
        command.arg("--input").arg(&self.telemetry).output().unwrap()
    }

    /// The report of a comparison and its exit code; `coverage` has the same code.
    fn judged(&self, comparison: &str) -> (Option<i32>, Value) {
        let judged = self.isotel(&["judge", "--format", "json", "--comparison", comparison]);
        let covered = self.isotel(&["coverage", "--comparison", comparison]);
        assert_eq!(judged.status.code(), covered.status.code(), "{covered:?}");
        (judged.status.code(), serde_json::from_slice(&judged.stdout).unwrap())
    }

    fn the_same_version_is_not_another(&self) {
        let (code, report) = self.judged("same");
        let telling: Vec<&Value> = findings(&report).filter(|finding| finding["level"] != "info").collect();
        assert_eq!(telling, Vec::<&Value>::new());
        assert_eq!(code, Some(0), "{}", report["summary"]);
        for aspect in ["presence", "shape", "facts"] {
            assert_eq!(report["aspects"][aspect]["verdict"], "parity", "{aspect}");
        }
        let coverage = &report["services"][0]["coverage"];
        assert_eq!((&coverage["missing"], &coverage["shape"]), (&json!([]), &json!([])));
    }

    /// The report of the upgrade, in which what both versions renamed is missing under the one name and there under the
    /// other.
    fn the_upgrade_is_divergent(&self) -> Value {
        let (code, report) = self.judged("upgrade");
        assert_eq!((code, &report["verdict"]), (Some(1), &json!("divergent")), "{}", report["summary"]);
        assert_eq!(report["input"]["rejected"], json!({}));
        let spans = |of: &Value| of["latency"]["n_baseline"].as_u64().filter(|_| of["kind"] == "server");
        let operations = report["services"][0]["operations"].as_array().unwrap();
        assert_eq!(operations.iter().filter_map(spans).sum::<u64>(), REQUESTS);
        let coverage = &report["services"][0]["coverage"];
        for (previous, current) in RENAMED {
            assert!(
                has(&coverage["missing"], &format!("span attribute {previous}")),
                "{previous}: {coverage}"
            );
            assert!(has(&coverage["extra"], &format!("span attribute {current}")), "{current}: {coverage}");
        }
        let (previous, current) = DURATION;
        assert!(has(&coverage["missing"], &format!("metric {previous}")), "{coverage}");
        assert!(has(&coverage["extra"], &format!("metric {current}")), "{coverage}");
        // To a person all of it is one finding.
        let title = "other version of the semantic conventions";
        let [conventions] = findings(&report).filter(|f| f["title"] == title).collect::<Vec<_>>()[..] else {
            panic!("{:#}", report["findings"])
        };
        assert_eq!(
            (&conventions["level"], &conventions["service"]),
            (&json!("critical"), &json!("shop/shop-api"))
        );
        for (previous, current) in RENAMED.into_iter().chain([DURATION]) {
            let renamed = format!("{previous} → {current}");
            assert!(has(&conventions["evidence"]["folded"], &renamed), "{renamed}: {conventions:#}");
        }
        assert!(
            findings(&report).all(|finding| finding["title"] != "new error type"),
            "{:#}",
            report["findings"]
        );
        report
    }
}

fn findings(report: &Value) -> impl Iterator<Item = &Value> {
    report["findings"].as_array().unwrap().iter()
}

fn has(list: &Value, item: &str) -> bool {
    list.as_array().unwrap().iter().any(|has| has == item)
}

/// What a finding about a fact says of both sides.
fn stated(report: &Value, key: &str) -> [Value; 2] {
    let of_key = |finding: &&Value| finding["aspect"] == "facts" && finding["item"] == key;
    let finding = findings(report).find(of_key).unwrap_or_else(|| panic!("no finding about {key}"));
    ["baseline", "candidate"].map(|side| finding["evidence"][side].clone())
}

#[test]
fn what_changed_between_two_versions_of_flask_instrumentation_is_found_by_name() {
    if !peer::have(&["flask", "collector"]) {
        return;
    }
    let recording = Recording::of("flask", &["newer", "--conventions", "http"]);
    recording.the_same_version_is_not_another();
    let report = recording.the_upgrade_is_divergent();
    for (fact, versions) in [
        ("otel.scope[opentelemetry.instrumentation.flask]", ["0.50b0", "0.66b1"]),
        ("telemetry.sdk.version", ["1.29.0", "1.45.1"]),
    ] {
        assert_eq!(stated(&report, fact), versions, "{fact}");
    }
    let unit = findings(&report).find(|finding| finding["title"] == "metric of another unit").unwrap();
    assert_eq!(unit["item"], "metric http.server.active_requests");
    assert_eq!([&unit["evidence"]["baseline"], &unit["evidence"]["candidate"]], ["requests", "{request}"]);
}

#[test]
fn what_changed_between_two_versions_of_express_instrumentation_is_found_by_name() {
    if !peer::have(&["express", "collector"]) {
        return;
    }
    let recording = Recording::of("express", &["newer"]);
    recording.the_same_version_is_not_another();
    let report = recording.the_upgrade_is_divergent();
    for (fact, versions) in [
        ("otel.scope[@opentelemetry/instrumentation-http]", ["0.57.2", "0.223.0"]),
        ("otel.scope[@opentelemetry/instrumentation-express]", ["0.47.1", "0.71.1"]),
        ("telemetry.sdk.version", ["1.30.1", "2.12.0"]),
    ] {
        assert_eq!(stated(&report, fact), versions, "{fact}");
    }
    // What the newer one does with a handler that throws.
    let fails = findings(&report).find(|finding| finding["title"] == "fails more often").unwrap();
    assert_eq!(fails["operation"], "request handler - /reports");
    assert!(has(&report["services"][0]["coverage"]["extra"], "span event exception"));
}
