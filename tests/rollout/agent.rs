//! A real agent whose page takes writes, and telemetry of a stable and a canary environment.

use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// No wait in these tests is longer.
pub const PATIENCE: Duration = Duration::from_secs(60);
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
    child: Child,
    log: Receiver<Value>,
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
        let (child, log) = run(folder.path());
        let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let nowhere: SocketAddr = ([127, 0, 0, 1], 0).into();
        let next_ns = (now_ns - 50 * 60_000_000_000) / WINDOW_NS * WINDOW_NS;
        let start = jiff::Timestamp::from_nanosecond(i128::from(next_ns)).unwrap().to_string();
        let mut agent = Agent {
            child,
            log,
            otlp: nowhere,
            page: nowhere,
            start,
            next_ns,
            judged_at: Value::Null,
            folder,
        };
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
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        (self.child, self.log) = run(self.folder.path());
        self.listen();
    }

    fn listen(&mut self) {
        self.otlp = self.listening("receivers.otlp");
        self.page = self.listening("extensions.page");
    }

    fn listening(&self, key: &str) -> SocketAddr {
        loop {
            let record = self.log.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{key} does not listen"));
            let fields = &record["fields"];
            if fields["message"] == "listening" && fields["key"].as_str().unwrap().starts_with(key) {
                return fields["address"].as_str().unwrap().parse().unwrap();
            }
        }
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

fn run(folder: &Path) -> (Child, Receiver<Value>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isotel"));
    command.arg("run");
    for file in ["isotel.yaml", "over.yaml"] {
        command.arg("--config").arg(folder.join(file));
    }
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let (tell, log) = channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            // Nobody listens any more at the end of a test.
            let _ = tell.send(serde_json::from_str(&line).unwrap_or_default());
        }
    });
    (child, log)
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Nothing is left to do about one that has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// Looks again and again, for as long as [`PATIENCE`], until there is something.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An answer over HTTP.
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// One request on a connection of its own.
pub fn http(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {to}\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    // A body that is refused unread is not always taken.
    let _ = stream.write_all(body.as_bytes());
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, body: body.to_owned() }
}
