//! A real agent that sends alerts, and two environments that send it telemetry.

use crate::served::{Served, http, until};
use serde_json::{Value, json};
use std::{
    fs,
    net::SocketAddr,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;

const WINDOW_NS: u64 = 10_000_000_000;
/// Of the configuration, each over the one before.
const FILES: [&str; 2] = ["isotel.yaml", "rest.yaml"];

/// An environment is as far as its latest span; nothing is judged while it could be late.
const CONFIG: &str = "
receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}
extensions:
  page: {endpoint: '127.0.0.1:0'}
  file_storage: {directory: {folder}/storage}
service:
  extensions: [page]
  pipelines: {traces: {receivers: [otlp]}}
  telemetry: {logs: {encoding: json}, metrics: {address: '127.0.0.1:0'}}
parity:
  window: 10s
  lateness: 0
  idle_timeout: 1h
  period: 1h
  storage: file_storage
  waivers_file: waivers.yaml
  comparisons: [{name: release, baseline: prod, candidate: canary}]
  slos:
    - name: release
      target: 0.9
      period: 1h
      burn: [{long: 60s, short: 30s, rate: 3, severity: page}]
    - {service: 'shop/*', aspect: latency, target: 0.9, period: 1h}
";

/// An agent that lives no longer than the test.
pub struct Agent {
    served: Served,
    folder: TempDir,
    otlp: SocketAddr,
    pub page: SocketAddr,
    pub metrics: SocketAddr,
    begin_ns: u64,
    round: u64,
    /// Whether the next round completes a window that this agent knows of.
    completes: bool,
}

impl Agent {
    /// `rest` is a configuration that is laid over the usual one.
    pub fn start(rest: &str) -> Agent {
        Agent::configured(CONFIG, rest)
    }

    /// The same without a storage: it knows nothing any more after a crash.
    pub fn start_forgetful(rest: &str) -> Agent {
        Agent::configured(&CONFIG.replace("  storage: file_storage\n", ""), rest)
    }

    fn configured(usual: &str, rest: &str) -> Agent {
        let folder = tempfile::tempdir().unwrap();
        let usual = usual.replace("{folder}", folder.path().to_str().unwrap());
        fs::write(folder.path().join("isotel.yaml"), usual).unwrap();
        fs::write(folder.path().join("rest.yaml"), rest).unwrap();
        fs::write(folder.path().join("waivers.yaml"), "waivers: []\n").unwrap();
        let served = Served::run(folder.path(), &FILES);
        let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let begin_ns = (now_ns - 40 * 60_000_000_000) / WINDOW_NS * WINDOW_NS;
        let nowhere: SocketAddr = ([127, 0, 0, 1], 0).into();
        let (otlp, page, metrics) = (nowhere, nowhere, nowhere);
        let mut agent = Agent { served, folder, otlp, page, metrics, begin_ns, round: 0, completes: false };
        agent.find_listeners();
        agent
    }

    fn find_listeners(&mut self) {
        self.otlp = self.served.listening("receivers.otlp");
        self.page = self.served.listening("extensions.page");
        self.metrics = self.served.listening("service.telemetry.metrics");
    }

    /// Ends at once, without a chance to save anything, and starts again.
    pub fn crash(&mut self) {
        self.served.kill();
        self.served = Served::run(self.folder.path(), &FILES);
        self.find_listeners();
        self.completes = self.judged_ns() > 0;
    }

    /// Accepts whatever there is from the next look on.
    pub fn waive(&self) {
        let waiver = "waivers: [{comparison: release, reason: known, owner: me, expires: 2200-01-01}]\n";
        fs::write(self.folder.path().join("waivers.yaml"), waiver).unwrap();
        let told = Command::new("kill").args(["-HUP", &self.served.child.id().to_string()]).status().unwrap();
        assert!(told.success());
        self.served.logged("the agent's next record", |fields| fields["message"] == "configuration reloaded");
    }

    /// Sends one more window of both environments, which completes the windows before it. The canary's checkout takes
    /// longer by half, and some of it fails.
    pub fn round(&mut self) {
        for environment in ["prod", "canary"] {
            let from_ns = self.begin_ns + self.round * WINDOW_NS;
            let is_canary = environment == "canary";
            let spans = |name: &str, ms: u64| -> Vec<Value> {
                (0..30)
                    .map(|n| {
                        let fails = n % 10 == 0 && is_canary && name == "POST /checkout";
                        span(name, from_ns + n * WINDOW_NS / 30, (ms + n % 7) * 1_000_000, fails)
                    })
                    .collect()
            };
            let slower = if is_canary { 60 } else { 40 };
            let mut spans = [spans("POST /checkout", slower), spans("GET /cart", 20)].concat();
            // One that has no id, and is refused.
            spans[0]["spanId"] = "".into();
            let resource = json!({"attributes": [
                text("service.namespace", "shop"), text("service.name", "web"), text("service.instance.id", "a"),
                text("service.version", if is_canary { "2.0" } else { "1.9" }),
                text("deployment.environment.name", environment),
            ]});
            let traces = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]});
            let json = [("content-type", "application/json")];
            let answer = http(self.otlp, "POST", "/v1/traces", &json, &traces.to_string());
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
        self.round += 1;
        // One after the other: windows that are complete together are one look.
        let complete_ns = self.begin_ns + (self.round - 1) * WINDOW_NS;
        if self.completes {
            until("the round is judged", || (self.judged_ns() >= complete_ns).then_some(()));
        }
        self.completes = true;
    }

    /// The end of what was judged.
    fn judged_ns(&self) -> u64 {
        let verdict = http(self.page, "GET", "/api/v1/comparisons/release/verdict", &[], "").body;
        let verdict: Value = serde_json::from_str(&verdict).unwrap_or_default();
        let end = verdict["period"]["end"].as_str().and_then(|end| end.parse::<jiff::Timestamp>().ok());
        end.map_or(0, |end| end.as_nanosecond() as u64)
    }

    /// Rounds until an alert is open.
    pub fn until_alert(&mut self) {
        for _ in 0..40 {
            self.round();
            if self.metric("isotel_alerts_open") > 0.0 {
                return;
            }
        }
        panic!("no alert opens");
    }

    /// The sum of a family of the metrics page.
    pub fn metric(&self, name: &str) -> f64 {
        let page = http(self.metrics, "GET", "/metrics", &[], "");
        let of_family =
            |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let values = page.body.lines().filter(of_family);
        values.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }
}

fn span(name: &str, end_ns: u64, duration_ns: u64, fails: bool) -> Value {
    let (method, route) = name.split_once(' ').unwrap();
    json!({
        "traceId": format!("{end_ns:032x}"), "spanId": format!("{end_ns:016x}"), "name": name, "kind": 2,
        "startTimeUnixNano": (end_ns - duration_ns).to_string(), "endTimeUnixNano": end_ns.to_string(),
        "attributes": [text("http.request.method", method), text("http.route", route)],
        "status": {"code": if fails { 2 } else { 0 }},
    })
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}
