//! A real agent whose page takes writes, and telemetry of a stable and a canary environment.

use crate::served::{Answer, Served, http, until};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    time::{SystemTime, UNIX_EPOCH},
};

/// Of the configuration, each over the one before.
const FILES: [&str; 2] = ["isotel.yaml", "over.yaml"];
pub const WINDOW_NS: u64 = 10_000_000_000;
/// `rollouts:s3cret`, as every client here shows it.
pub const CREDENTIAL: &str = "Basic cm9sbG91dHM6czNjcmV0";

const CONFIG: &str = "
receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}
extensions:
  page: {endpoint: '127.0.0.1:0', auth: {authenticator: basicauth}}
  basicauth: {htpasswd: {inline: 'rollouts:s3cret'}}
service:
  extensions: [page, basicauth]
  pipelines: {traces: {receivers: [otlp]}}
  telemetry: {logs: {encoding: json}, metrics: {address: '127.0.0.1:0'}}
parity:
  window: 10s
  lateness: 0
  idle_timeout: 1h
  period: 1h
  comparisons: [{name: release, baseline: stable, candidate: canary}]
";

/// What the canary does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canary {
    /// The same as the stable environment.
    Alike,
    /// Its requests take longer by half.
    Slower,
    /// Some requests a window, too few to tell.
    Quiet,
    /// It is not there.
    Silent,
}

/// An agent that lives no longer than the test.
pub struct Agent {
    served: Served,
    otlp: SocketAddr,
    /// Where the page is.
    pub page: SocketAddr,
    /// When its releases begin. An environment is as far as its latest span, and that is not in the future: what would be
    /// telemetry of the next minutes is of the last hour here.
    pub start: String,
    /// The next window.
    next_ns: u64,
    /// When what is shown was judged.
    judged_at: Value,
    folder: tempfile::TempDir,
}

impl Agent {
    pub fn start() -> Agent {
        Agent::with("")
    }

    /// With another configuration over the usual one.
    pub fn with(over: &str) -> Agent {
        Agent::of(CONFIG, over)
    }

    fn of(config: &str, over: &str) -> Agent {
        let folder = tempfile::tempdir().unwrap();
        let kept = format!("directory: '{}'", folder.path().join("kept").display());
        std::fs::write(folder.path().join("isotel.yaml"), config).unwrap();
        // A file that says nothing changes nothing.
        let over = if over.is_empty() { "parity: {}" } else { over };
        std::fs::write(folder.path().join("over.yaml"), over.replace("directory: kept", &kept)).unwrap();
        let served = Served::run(folder.path(), &FILES);
        let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let nowhere: SocketAddr = ([127, 0, 0, 1], 0).into();
        let next_ns = (now_ns - 50 * 60_000_000_000) / WINDOW_NS * WINDOW_NS;
        let start = jiff::Timestamp::from_nanosecond(i128::from(next_ns)).unwrap().to_string();
        let mut agent =
            Agent { served, otlp: nowhere, page: nowhere, start, next_ns, judged_at: Value::Null, folder };
        agent.listen();
        agent
    }

    /// One whose page everybody reads.
    pub fn unguarded() -> Agent {
        Agent::of(&CONFIG.replace(", auth: {authenticator: basicauth}", ""), "")
    }

    /// One whose evidence survives it.
    pub fn with_storage() -> Agent {
        Agent::with(
            "extensions: {file_storage: {directory: kept}}\n\
             service: {extensions: [page, basicauth, file_storage]}\n\
             parity: {storage: file_storage}\n",
        )
    }

    /// Ends it as `kill -9` does, and starts another one in its place.
    pub fn crash(&mut self) {
        self.served.kill();
        self.served = Served::run(self.folder.path(), &FILES);
        self.listen();
    }

    fn listen(&mut self) {
        self.otlp = self.served.listening("receivers.otlp");
        self.page = self.served.listening("extensions.page");
    }

    /// Sends one more window of both environments, which completes the windows before it.
    pub fn round(&mut self, canary: Canary) {
        self.send("stable", 150, 40);
        match canary {
            Canary::Alike => self.send("canary", 150, 40),
            Canary::Slower => self.send("canary", 150, 60),
            Canary::Quiet => self.send("canary", 3, 40),
            Canary::Silent => {}
        }
        self.next_ns += WINDOW_NS;
    }

    /// The same, and waits until what it completes has been judged.
    pub fn judged_round(&mut self, canary: Canary) {
        self.round(canary);
        let path = "/api/v1/comparisons";
        let judged_at = until("a judgement", || {
            let judged_at = self.get(path).json()[0]["generated_at"].clone();
            (judged_at.is_string() && judged_at != self.judged_at).then_some(judged_at)
        });
        self.judged_at = judged_at;
    }

    pub fn rounds(&mut self, rounds: usize, canary: Canary) {
        (0..rounds).for_each(|_| self.round(canary));
    }

    fn send(&self, environment: &str, requests: u64, ms: u64) {
        let span = |n: u64| {
            let end_ns = self.next_ns + n * WINDOW_NS / requests;
            let start_ns = end_ns - (ms + n % 7) * 1_000_000;
            json!({
                "traceId": format!("{end_ns:032x}"), "spanId": format!("{end_ns:016x}"), "name": "POST /checkout",
                "kind": 2, "startTimeUnixNano": start_ns.to_string(), "endTimeUnixNano": end_ns.to_string(),
                "attributes": [text("http.request.method", "POST"), text("http.route", "/checkout")],
            })
        };
        let resource = json!({"attributes": [
            text("service.namespace", "shop"), text("service.name", "web"), text("service.instance.id", "a"),
            text("deployment.environment.name", environment),
        ]});
        let spans: Vec<Value> = (0..requests).map(span).collect();
        let request = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]});
        let headers = [("content-type", "application/json")];
        let answer = http(self.otlp, "POST", "/v1/traces", &headers, &request.to_string());
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    /// A request with the credential.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let headers = [("authorization", CREDENTIAL), ("content-type", "application/json")];
        http(self.page, method, path, &headers, body)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }

    /// Begins a session.
    pub fn begin(&self, mut body: Value) -> Value {
        body["start"] = self.start.clone().into();
        let answer = self.ask("POST", "/api/v1/sessions", &body.to_string());
        assert!(matches!(answer.status, 200 | 201), "{} {}", answer.status, answer.body);
        answer.json()
    }

    /// A session, once it satisfies.
    pub fn session(&self, id: &Value, what: &str, satisfies: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/api/v1/sessions/{}", id.as_str().unwrap());
        until(what, || {
            let found = self.get(&path).json();
            satisfies(&found).then_some(found)
        })
    }
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}
