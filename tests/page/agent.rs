//! A real agent with a page, and what two environments of a shop send it.

use crate::served::{Answer, Served, http, until};
use isotel::agent::storage::history::Archive;
use isotel::config::HistoryConfig;
use isotel::judge::{Report, verdict::Fact};
use isotel::report::history::entry::rfc3339;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// An operation whose name would like to be markup.
pub const HOSTILE: &str = "GET /<img src=x onerror=alert(1)>";
const DAY: Duration = Duration::from_secs(86_400);
const WINDOW_NS: u64 = 10_000_000_000;

/// An environment is as far as its latest span; nothing is judged while it could be late.
const CONFIG: &str = "
receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}
extensions: {page: {endpoint: '127.0.0.1:0'}, file_storage: {directory: DIRECTORY}}
service:
  extensions: [page]
  pipelines: {traces: {receivers: [otlp]}, metrics: {receivers: [otlp]}}
  telemetry: {logs: {encoding: json}, metrics: {address: '127.0.0.1:0'}}
parity:
  window: 10s
  lateness: 0
  idle_timeout: 1h
  period: 1h
  comparisons: [{name: release/1, baseline: prod, candidate: canary}]
  storage: file_storage
";

/// An agent that lives no longer than the test.
pub struct Agent {
    served: Served,
    otlp: SocketAddr,
    /// Where the page is.
    pub page: SocketAddr,
    /// Where Prometheus asks.
    pub metrics: SocketAddr,
    /// What its senders say beside what they send.
    pub says: Vec<(&'static str, &'static str)>,
    begin_ns: u64,
    round: u64,
    folder: tempfile::TempDir,
}

impl Agent {
    pub fn start() -> Agent {
        Agent::start_with("")
    }

    /// With another file over its configuration.
    pub fn start_with(over: &str) -> Agent {
        Agent::on(tempfile::tempdir().unwrap(), 0, over)
    }

    /// With files that its configuration names, beside it.
    pub fn with_files(files: &[(&str, &[u8])], over: &str) -> Agent {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        Agent::on(folder, 0, over)
    }

    /// An agent on whose storage the one before it ended; `round` is how many have been sent.
    fn on(folder: tempfile::TempDir, round: u64, over: &str) -> Agent {
        let directory = directory(folder.path());
        let own = CONFIG.replace("DIRECTORY", directory.to_str().unwrap());
        for (name, text) in [("isotel.yaml", own.as_str()), ("over.yaml", over)] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let served = Served::run(folder.path(), &["isotel.yaml", "over.yaml"]);
        let begin_ns = (now_ns() - 40 * 60_000_000_000) / WINDOW_NS * WINDOW_NS;
        let nowhere: SocketAddr = ([127, 0, 0, 1], 0).into();
        let mut agent = Agent {
            served,
            otlp: nowhere,
            page: nowhere,
            metrics: nowhere,
            says: Vec::new(),
            begin_ns,
            round,
            folder,
        };
        agent.otlp = agent.served.listening("receivers.otlp");
        agent.page = agent.served.listening("extensions.page");
        agent.metrics = agent.served.listening("service.telemetry.metrics");
        agent
    }

    /// An agent whose storage knows what was judged in the two weeks before: a release each third day, and on the last two of
    /// them a finding that came and went.
    pub fn with_history() -> Agent {
        let folder = tempfile::tempdir().unwrap();
        let directory = directory(folder.path());
        std::fs::create_dir_all(&directory).unwrap();
        let config = HistoryConfig { retention: 30 * DAY, max_bytes: 1 << 28 };
        let now_ns = now_ns();
        let mut archive = Archive::open(Some(&directory), &config, now_ns).unwrap();
        let text = include_str!("../snapshots/report__json_all_parity.snap");
        let parity: Report = isotel::report::from_json(text.splitn(3, "---").last().unwrap()).unwrap();
        let text = include_str!("../snapshots/report__json_regression.snap");
        let regression: Report = isotel::report::from_json(text.splitn(3, "---").last().unwrap()).unwrap();
        for minute in (0..14 * 1_440).step_by(10) {
            // Half of each release's first day is divergent, and nobody judges at the beginning of the eighth day.
            let (day, of_day) = (minute / 1_440, minute % 1_440);
            if day == 7 && of_day < 300 {
                continue;
            }
            let slow = day % 3 == 2 && of_day < 720;
            let mut report = if slow { regression.clone() } else { parity.clone() };
            report.comparison = "release/1".to_owned();
            report.score -= (minute * 7 % 13) as f64 / 4.0;
            report.generated_at = rfc3339(now_ns - (14 * 1_440 - minute) * 60_000_000_000);
            let version = |candidate: bool| Some(format!("1.{}", (day + u64::from(candidate)) / 3));
            for service in &mut report.services {
                service.facts = vec![Fact {
                    key: "service.version".to_owned(),
                    baseline: version(false),
                    candidate: version(true),
                    equal: false,
                    rule: None,
                    severity: None,
                    group: None,
                    broken: false,
                    accepted: false,
                }];
            }
            archive.note(&report);
        }
        drop(archive);
        Agent::on(folder, 0, "")
    }

    /// Kills it as nothing else does, and starts another one on its storage.
    pub fn killed_and_started_again(mut self) -> Agent {
        self.served.kill();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        let (begin_ns, round) = (self.begin_ns, self.round);
        let mut again = Agent::on(folder, round, "");
        again.begin_ns = begin_ns;
        again
    }

    /// Sends one more window of both environments, which completes the windows before it. The canary's checkout takes
    /// longer by half, and it lacks a metric.
    pub fn round(&mut self) {
        for environment in ["prod", "canary"] {
            let from_ns = self.begin_ns + self.round * WINDOW_NS;
            let spans = |name: &str, ms: u64| -> Vec<Value> {
                (0..30).map(|n| span(name, from_ns + n * WINDOW_NS / 30, (ms + n % 7) * 1_000_000)).collect()
            };
            let slower = if environment == "canary" { 60 } else { 40 };
            let spans =
                [spans("POST /checkout", slower), spans(HOSTILE, 10), spans("GET /cart", 20)].concat();
            let resource = json!({"attributes": [
                text("service.namespace", "shop"), text("service.name", "web"), text("service.instance.id", "a"),
                text("service.version", if environment == "canary" { "2.0" } else { "1.9" }),
                text("deployment.environment.name", environment),
            ]});
            let traces = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]});
            self.send("traces", &traces);
            if environment == "prod" && self.round == 0 {
                self.send("metrics", &many_metrics(&resource, from_ns));
            }
        }
        self.round += 1;
    }

    fn send(&self, signal: &str, request: &Value) {
        let path = format!("/v1/{signal}");
        let headers = [&[("content-type", "application/json")], &self.says[..]].concat();
        let answer = http(self.otlp, "POST", &path, &headers, &request.to_string());
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    /// Rounds until a verdict is divergent and the page tells so.
    pub fn until_divergent(&mut self) {
        for _ in 0..8 {
            self.round();
        }
        until("the page shows a divergence", || {
            let answer = self.get("/api/v1/comparisons");
            let shown: Value = serde_json::from_str(&answer.body).unwrap();
            (shown[0]["verdict"] == "divergent").then_some(())
        });
    }

    pub fn get(&self, path: &str) -> Answer {
        http(self.page, "GET", path, &[], "")
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.page)
    }

    /// Has it read its configuration again; what its log says of that.
    pub fn reloaded(&self) -> String {
        let id = self.served.child.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
        let said = self.served.logged("a reload", |fields| {
            fields["message"].as_str().is_some_and(|message| message.contains("configuration"))
        });
        said["message"].as_str().unwrap().to_owned()
    }

    /// A file beside its configuration.
    pub fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Where it keeps what must survive it.
    pub fn storage(&self) -> String {
        directory(self.folder.path()).to_str().unwrap().to_owned()
    }

    /// What it has logged since it listens; to be asked when it has ended.
    pub fn log(&self) -> String {
        self.served.log.iter().map(|record| format!("{record}\n")).collect()
    }

    /// Tells it to end, and waits until it has.
    pub fn end(&mut self) -> ExitStatus {
        let told =
            Command::new("kill").args(["-TERM", &self.served.child.id().to_string()]).status().unwrap();
        assert!(told.success());
        until("the agent ends", || self.served.child.try_wait().unwrap())
    }
}

/// Where an agent keeps what must survive it.
fn directory(folder: &Path) -> PathBuf {
    folder.join("storage")
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

fn span(name: &str, end_ns: u64, duration_ns: u64) -> Value {
    let (method, route) = name.split_once(' ').unwrap();
    json!({
        "traceId": format!("{end_ns:032x}"), "spanId": format!("{end_ns:016x}"), "name": name, "kind": 2,
        "startTimeUnixNano": (end_ns - duration_ns).to_string(), "endTimeUnixNano": end_ns.to_string(),
        "attributes": [text("http.request.method", method), text("http.route", route)],
    })
}

/// More items of telemetry than anybody looks through row by row.
fn many_metrics(resource: &Value, at_ns: u64) -> Value {
    let metric = |n: u64| {
        let point = json!({"timeUnixNano": at_ns.to_string(), "asInt": "1"});
        json!({"name": format!("queue.{n}.depth"), "unit": "1", "gauge": {"dataPoints": [point]}})
    };
    let metrics: Vec<Value> = (0..5_000).map(metric).collect();
    json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": metrics}]}]})
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}
