//! `run`: start, reload, and the end.

use crate::input::Recording;
use crate::served::{Served, until};
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Command, ExitStatus},
};

/// All that is sent lies in one window, which nothing closes while an environment that has sent is not idle.
const CONFIG: &str = "
receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}
extensions: {health_check: {endpoint: '127.0.0.1:0'}}
service:
  extensions: [health_check]
  pipelines: {traces: {receivers: [otlp]}}
  telemetry: {logs: {encoding: json}, metrics: {address: '127.0.0.1:0'}}
parity:
  window: 1m
  idle_timeout: 1h
  period: 1h
";

struct Running {
    served: Served,
    config: PathBuf,
    _folder: tempfile::TempDir,
}

impl Running {
    fn start(text: &str) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("isotel.yaml");
        std::fs::write(&config, text).unwrap();
        Running { served: Served::run(folder.path(), &["isotel.yaml"]), config, _folder: folder }
    }

    /// Waits for a log record with this message.
    fn logged(&self, message: &str) -> Value {
        self.served.logged(message, |fields| says(fields, message))
    }

    /// The same, with the text of the records before it.
    fn logged_after(&self, message: &str) -> (String, Value) {
        let before = std::cell::RefCell::new(String::new());
        let found = self.served.logged(message, |fields| {
            let found = says(fields, message);
            before.borrow_mut().push_str(&if found { String::new() } else { format!("{fields}\n") });
            found
        });
        (before.into_inner(), found)
    }

    /// OTLP/HTTP, health, metrics.
    fn addresses(&self) -> [SocketAddr; 3] {
        ["receivers.otlp", "extensions.health", "service.telemetry.metrics"]
            .map(|key| self.served.listening(key))
    }

    fn signal(&self, name: &str) {
        let told = Command::new("kill").args([name, &self.served.child.id().to_string()]).status().unwrap();
        assert!(told.success());
    }

    fn ended(&mut self) -> ExitStatus {
        until("the agent ends", || self.served.child.try_wait().unwrap())
    }
}

fn says(fields: &Value, message: &str) -> bool {
    fields["message"].as_str().is_some_and(|said| said.contains(message))
}

/// Status and body of an answer over HTTP/1.0; `None` when nobody listens.
pub fn http(to: SocketAddr, request: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(to).ok()?;
    let length = body.len();
    let head =
        format!("{request} HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer))
}

fn send(to: SocketAddr, environment: &str) {
    for line in (Recording { environment, n: 60, factor: 1.0, seed: 1 }).lines().lines() {
        assert_eq!(http(to, "POST /v1/traces", line).unwrap().0, 200);
    }
}

#[test]
fn the_agent_is_healthy_takes_in_reloads_only_good_configurations_keeps_its_state_and_drains() {
    let mut running = Running::start(CONFIG);
    let [otlp, health, metrics] = running.addresses();
    // It listens a moment before it says that it is ready.
    until("healthy", || (http(health, "GET /", "").unwrap().0 == 200).then_some(()));
    send(otlp, "prod");

    std::fs::write(&running.config, format!("{CONFIG}  widnow: 3s\n")).unwrap();
    running.signal("-HUP");
    let refused = running.logged("the old one goes on");
    assert!(refused["message"].as_str().unwrap().contains("window"), "the hint names the key: {refused}");
    assert_eq!(http(health, "GET /", "").unwrap().0, 200);

    let comparisons = "  comparisons: [{name: release, baseline: prod, candidate: canary}]\n";
    let good = format!("{CONFIG}{comparisons}");
    std::fs::write(&running.config, &good).unwrap();
    running.signal("-HUP");
    running.logged("configuration reloaded");
    send(otlp, "canary");

    // Both are there, so that the window may close: now an environment is idle after a second.
    std::fs::write(&running.config, good.replace("idle_timeout: 1h", "idle_timeout: 1s")).unwrap();
    running.signal("-HUP");

    // What came before the reloads is in the verdict after them: otherwise the baseline would have nothing.
    let changed = running.logged("verdict changed");
    assert_eq!(changed["comparison"], "release");
    assert!(["parity", "inconclusive"].contains(&changed["verdict"].as_str().unwrap()), "{changed}");
    let (_, page) = http(metrics, "GET /metrics", "").unwrap();
    let judged = |line: &str| line.starts_with("parity_score{") && line.contains("release");
    assert!(page.lines().any(judged), "{page}");
    assert!(page.contains("isotel_receiver_accepted_spans"), "{page}");

    running.signal("-TERM");
    running.logged("stopped");
    assert_eq!(running.ended().code(), Some(0));
    assert!(http(otlp, "POST /v1/traces", "{}").is_none(), "nobody listens any more");
}

/// Sends with a token; the status.
fn send_with(token: &str, to: SocketAddr) -> u16 {
    let request = format!("POST /v1/logs HTTP/1.0\r\nauthorization: Bearer {token}\r\nx-rest:");
    http(to, &request, "{}").unwrap().0
}

#[test]
fn a_reload_takes_new_tokens_and_the_log_tells_of_refusals_once_and_of_listeners_that_are_open_to_anybody() {
    const EXPOSED: &str = "anybody who reaches this address may send";
    const RELOADED: &str = "configuration reloaded";
    let open = CONFIG.replace("127.0.0.1:0'}}}}\next", "0.0.0.0:0'}}}}\next");
    let guarded = |token: &str| {
        let auth = open.replace("0.0.0.0:0'", "0.0.0.0:0', auth: {authenticator: bearertokenauth}");
        auth.replace("extensions: {", &format!("extensions: {{bearertokenauth: {{token: {token}}}, "))
    };
    let running = Running::start(&guarded("first"));
    let [otlp, _, metrics] = running.addresses();
    let otlp = SocketAddr::from(([127, 0, 0, 1], otlp.port()));
    assert_eq!(
        [send_with("first", otlp), send_with("hunter2", otlp), send_with("hunter2", otlp)],
        [200, 401, 401]
    );
    let (_, page) = http(metrics, "GET /metrics", "").unwrap();
    assert!(page.contains("signal=\"logs\",outcome=\"unauthenticated\"} 2"), "{page}");

    let reload = |text: &str| {
        std::fs::write(&running.config, text).unwrap();
        running.signal("-HUP");
    };
    reload(&guarded("second"));
    let (log, _) = running.logged_after(RELOADED);
    assert_eq!(log.matches("requests without a known credential are refused").count(), 1, "{log}");
    assert!(!log.contains("hunter2") && !log.contains(EXPOSED), "{log}");
    assert_eq!([send_with("first", otlp), send_with("second", otlp)], [401, 200]);

    reload(&guarded("'third is spaced'"));
    let refused = running.logged("the old one goes on");
    assert!(!refused.to_string().contains("third"), "{refused}");
    assert_eq!(send_with("second", otlp), 200);

    reload(&open);
    let exposed = running.logged(EXPOSED);
    assert_eq!(exposed["key"], "receivers.otlp.protocols.http");
    assert!(exposed["address"].as_str().unwrap().starts_with("0.0.0.0:"), "{exposed}");
    running.logged(RELOADED);
    assert_eq!(send_with("nobody", otlp), 200);
    let started = Running::start(&open);
    assert_eq!(started.logged(EXPOSED)["key"], "receivers.otlp.protocols.http");
    let (log, _) = {
        started.signal("-TERM");
        started.logged_after("stopped")
    };
    assert!(!log.contains(EXPOSED), "it is said once: {log}");
}

#[test]
fn a_port_that_is_taken_is_named_and_is_exit_code_2() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let set = format!("receivers.otlp.protocols.grpc.endpoint={address}");
    let ended = crate::end(&mut crate::isotel(&["run", "--set", &set]));
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains(&format!("cannot listen on {address}")), "{}", ended.stderr);
    let elsewhere = "--set 'receivers.otlp.protocols.grpc.endpoint=…' --set receivers.otlp.protocols.grpc.endpoint=127.0.0.1:";
    assert!(ended.stderr.contains(elsewhere), "{}", ended.stderr);
}

#[test]
fn pages_that_anybody_reaches_and_that_ask_for_nothing_are_told_at_the_start() {
    let text = CONFIG.replace("127.0.0.1:0", "0.0.0.0:0");
    let running = Running::start(&text);
    let told = ["http", "health", "metrics"].map(|part| {
        let exposed = running.logged("anybody who reaches this address may");
        let key = exposed["key"].as_str().unwrap().to_owned();
        assert!(key.contains(part), "{exposed}");
        exposed["message"].as_str().unwrap().contains("may read")
    });
    assert_eq!(told, [false, true, true]);
}
