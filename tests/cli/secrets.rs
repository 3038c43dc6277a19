//! Planted secrets are nowhere in what isotel writes: logs at their most talkative, pages, answers, what the configuration
//! commands print.

use crate::served::{PATIENCE, until};
use crate::{end, isotel};
use std::{
    fs::File,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command},
};

/// Part of every secret that is planted here, and of nothing else.
const PLANTED: &str = "hunter2";

/// `DOWNSTREAM` refuses what it is sent, and repeats the credential in its words.
const CONFIG: &str = "
receivers:
  otlp:
    protocols:
      http: {endpoint: '127.0.0.1:0', auth: {authenticator: bearertokenauth}}
  otlp/users:
    protocols:
      http: {endpoint: '127.0.0.1:0', auth: {authenticator: basicauth}}
exporters:
  otlp_http/echo:
    endpoint: http://DOWNSTREAM
    headers: {authorization: Bearer hunter2-of-the-exporter, x-api-key: hunter2-of-the-header}
    compression: none
  otlp_grpc/nobody:
    endpoint: 127.0.0.1:1
    headers: {x-api-key: hunter2-of-the-metadata}
    retry_on_failure: {initial_interval: 10ms}
extensions:
  health_check: {endpoint: '127.0.0.1:0'}
  bearertokenauth: {token: '${env:PLANTED_TOKEN}'}
  basicauth: {htpasswd: {inline: 'alice:hunter2-of-alice'}}
service:
  extensions: [health_check]
  pipelines:
    traces: {receivers: [otlp, otlp/users], exporters: [otlp_http/echo]}
    logs: {receivers: [otlp], exporters: [otlp_grpc/nobody]}
  telemetry: {logs: {level: LEVEL, encoding: json}, metrics: {address: '127.0.0.1:0'}}
";

struct Agent {
    child: Child,
    folder: tempfile::TempDir,
}

impl Agent {
    fn start(config: &str) -> Agent {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("isotel.yaml"), config).unwrap();
        let file = |name: &str| File::create(folder.path().join(name)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_isotel"))
            .args(["run", "--config"])
            .arg(folder.path().join("isotel.yaml"))
            .env("PLANTED_TOKEN", "hunter2-of-senders")
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .unwrap();
        Agent { child, folder }
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.path().join(name)).unwrap()).into_owned()
    }

    /// The address of the listener with this key.
    fn address(&self, key: &str) -> SocketAddr {
        until(key, || {
            let stderr = self.read("stderr");
            let mut records =
                stderr.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            let record = records.find(|record| {
                record["fields"]["message"] == "listening" && record["fields"]["key"] == key
            })?;
            record["fields"]["address"].as_str()?.parse().ok()
        })
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Nothing is left to do about one that has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The whole answer over HTTP/1.0.
fn ask(to: SocketAddr, request: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let head = "content-type: application/json\r\ncontent-length:";
    write!(stream, "{request} HTTP/1.0\r\n{headers}{head} {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A server that refuses every request and says which credentials it came with.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || refuse(stream));
        }
    });
    address
}

fn refuse(mut stream: TcpStream) {
    let mut head = vec![0; 16 << 10];
    let length = stream.read(&mut head).unwrap();
    let head = String::from_utf8_lossy(&head[..length]).into_owned();
    let secrets = head.lines().filter(|line| line.contains(PLANTED)).collect::<Vec<_>>().join("; ");
    assert!(secrets.contains("of-the-exporter") && secrets.contains("of-the-header"), "{head}");
    // `google.rpc.Status`, whose second field is the message.
    let message = format!("you sent {secrets}");
    let mut body = vec![0x12, u8::try_from(message.len()).unwrap()];
    // Beyond 127 bytes a length has two.
    if message.len() > 127 {
        body = vec![0x12, (message.len() % 128) as u8 | 0x80, (message.len() / 128) as u8];
    }
    body.extend_from_slice(message.as_bytes());
    let head =
        "HTTP/1.1 400 No\r\nconnection: close\r\ncontent-type: application/x-protobuf\r\ncontent-length:";
    // Whoever has hung up needs no answer.
    let _ = write!(stream, "{head} {}\r\n\r\n", body.len());
    let _ = stream.write_all(&body);
}

/// Every place where a secret stands, with what is around it.
fn leaks(name: &str, text: &str) -> Vec<String> {
    let around = |at: usize| text.get(at.saturating_sub(80)..(at + 40).min(text.len())).unwrap_or_default();
    text.match_indices(PLANTED).map(|(at, _)| format!("{name}: …{}…", around(at))).collect()
}

fn planted_secrets_stay_inside(level: &str) {
    let config = CONFIG.replace("DOWNSTREAM", &echo().to_string()).replace("LEVEL", level);
    let agent = Agent::start(&config);
    let [senders, users] =
        ["otlp", "otlp/users"].map(|id| agent.address(&format!("receivers.{id}.protocols.http")));
    let metrics = agent.address("service.telemetry.metrics.address");
    let health = agent.address("extensions.health_check.endpoint");
    let (good, other) =
        ("authorization: Bearer hunter2-of-senders\r\n", "authorization: Bearer hunter2-other\r\n");
    let alice = "authorization: Basic YWxpY2U6aHVudGVyMi1vZi1hbGljZQ==\r\n";
    let mut seen = Vec::new();
    for (to, request, headers, body, status) in [
        (senders, "POST /v1/traces", good, "{}", "200"),
        (senders, "POST /v1/logs", good, "{}", "200"),
        (senders, "POST /v1/traces", good, "{", "400"),
        (senders, "POST /v1/traces", other, "{}", "401"),
        (senders, "GET /v1/traces", good, "", "405"),
        (senders, "POST /elsewhere", good, "{}", "404"),
        (users, "POST /v1/traces", alice, "{}", "200"),
        (users, "POST /v1/traces", other, "{}", "401"),
        (metrics, "GET /metrics", good, "", "200"),
        (health, "GET /", other, "", "200"),
    ] {
        let answer = ask(to, request, headers, body);
        assert!(answer.contains(&format!(" {status} ")), "{request} {headers}: {answer}");
        seen.extend(leaks(request, &answer));
    }
    // Downstream's words are in the log by now, and nobody's silence as well.
    for said in ["a request was given up", "sending failed", "without a known credential"] {
        until(said, || agent.read("stderr").contains(said).then_some(()));
    }
    assert!(agent.read("stderr").contains("you sent"), "what downstream says is logged");
    let broken = config.replace("{health_check}", "").replace("headers: {x-api", "haeders: {x-api");
    std::fs::write(agent.folder.path().join("isotel.yaml"), broken).unwrap();
    let told = Command::new("kill").args(["-HUP", &agent.child.id().to_string()]).status().unwrap();
    assert!(told.success());
    until("the reload is refused", || agent.read("stderr").contains("the old one goes on").then_some(()));
    for name in ["stdout", "stderr"] {
        seen.extend(leaks(name, &agent.read(name)));
    }
    let metrics = ask(metrics, "GET /metrics", "", "");
    seen.extend(leaks("metrics", &metrics));
    assert!(seen.is_empty(), "{seen:#?}");
}

#[test]
fn planted_secrets_are_in_no_log_line_page_or_answer_at_debug_level() {
    planted_secrets_stay_inside("debug");
}

#[test]
fn planted_secrets_are_in_no_log_line_page_or_answer_at_trace_level() {
    planted_secrets_stay_inside("trace");
}

fn configured(folder: &Path, text: &str) -> String {
    let path = folder.join("isotel.yaml");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn what_is_printed_or_refused_of_a_configuration_repeats_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let good = CONFIG.replace("DOWNSTREAM", "127.0.0.1:1").replace("LEVEL", "info");
    let broken = [
        (
            "headers: {x-api-key: hunter2-of-the-metadata}",
            "headers: 'x-api-key: hunter2'",
            "headers: a text is not a map",
        ),
        (
            "headers: {x-api-key: hunter2-of-the-metadata}",
            "headers: {x-api-key: {a: hunter2}}",
            "a map is not text",
        ),
        ("endpoint: 127.0.0.1:1", "endpoint: http://alice:hunter2@127.0.0.1:1", "a URL with a user in it"),
        ("{token: '${env:PLANTED_TOKEN}'}", "hunter2", "a text is not a map"),
        ("{htpasswd: {inline: 'alice:hunter2-of-alice'}}", "{htpasswd: hunter2}", "a text is not a map"),
    ];
    for (was, is, said) in broken {
        let path = configured(folder.path(), &good.replacen(was, is, 1));
        for command in ["validate", "run"] {
            let ended = end(isotel(&[command, "--config", &path]).env("PLANTED_TOKEN", "hunter2"));
            assert_eq!(ended.code, 2, "{command} {is}: {}", ended.stderr);
            assert!(ended.stderr.contains(said), "{is}: {}", ended.stderr);
            assert_eq!(leaks(is, &format!("{}{}", ended.stdout, ended.stderr)), [""; 0]);
        }
    }
    let path = configured(folder.path(), &good);
    let ended = end(isotel(&["config", "print", "--config", &path]).env("PLANTED_TOKEN", "hunter2"));
    assert!(ended.code == 0 && ended.stdout.matches("[REDACTED]").count() == 5, "{}", ended.stdout);
    assert_eq!(leaks("config print", &format!("{}{}", ended.stdout, ended.stderr)), [""; 0]);
}
