//! `isotel run` and the collector as processes, on ports that the system chose.

use crate::peer::{self, Running, until};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
};
use tempfile::TempDir;

/// `isotel run` with what else a test wants of its configuration.
pub struct Isotel {
    process: Running,
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    pub metrics: SocketAddr,
    _folder: TempDir,
}

impl Isotel {
    pub fn run(rest: &str) -> Isotel {
        Isotel::guarded("", rest)
    }

    /// The same with further settings of both listeners, such as `auth: {…}`.
    pub fn guarded(settings: &str, rest: &str) -> Isotel {
        let listener = format!("{{endpoint: '127.0.0.1:0', {settings}}}");
        let listeners =
            format!("receivers: {{otlp: {{protocols: {{grpc: {listener}, http: {listener}}}}}}}\n");
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("isotel.yaml");
        fs::write(&config, format!("{listeners}{rest}")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_isotel"));
        command.args(["run", "--config"]).arg(&config).stderr(Stdio::piped()).stdout(Stdio::null());
        for set in ["service.telemetry.logs.encoding=json", "service.telemetry.metrics.address=127.0.0.1:0"] {
            command.args(["--set", set]);
        }
        let mut process = Running::start(&mut command);
        let (told, listening) = mpsc::channel();
        let log = BufReader::new(process.child().stderr.take().unwrap());
        // Reads to the end, so that the agent never waits for someone to read its log.
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                eprintln!("isotel: {line}");
                let line: Value = serde_json::from_str(&line).unwrap_or_default();
                if line["fields"]["message"] == "listening" {
                    let field = |name: &str| line["fields"][name].as_str().unwrap_or_default().to_owned();
                    // Nobody listens any more once all are found.
                    let _ = told.send((field("key"), field("address")));
                }
            }
        });
        let address = |part: &str| {
            loop {
                let (key, address) = listening.recv_timeout(peer::PATIENCE).unwrap();
                if key.contains(part) {
                    return address.parse().unwrap();
                }
            }
        };
        let (grpc, http, metrics) = (address("grpc"), address("http"), address("metrics"));
        Isotel { process, grpc, http, metrics, _folder: folder }
    }

    /// The value of a line of the Prometheus page; all lines of a family are added when no labels are given.
    pub fn metric(&self, name: &str) -> f64 {
        prometheus(self.metrics, name)
    }

    /// A page of the Prometheus listener, asked for with this header; its head too.
    pub fn page(&self, path: &str, header: &str) -> String {
        page(self.metrics, path, header)
    }

    /// SIGTERM, and exit code 0 after all has been delivered.
    pub fn stop(mut self) {
        let status = self.process.stop();
        assert!(status.success(), "{status}");
    }
}

/// A collector with a configuration, and the file that it writes.
pub struct Collector {
    process: Running,
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    metrics: SocketAddr,
    pub received: PathBuf,
    _folder: TempDir,
}

impl Collector {
    /// In `rest`, `{file}` stands for the file that an exporter shall write.
    pub fn run(rest: &str) -> Collector {
        let folder = tempfile::tempdir().unwrap();
        let [grpc, http, metrics] = free_addresses();
        let received = folder.path().join("received.json");
        let config = format!(
            "
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: '{grpc}'}}, http: {{endpoint: '{http}'}}}}}}
{}
  telemetry:
    logs: {{level: warn}}
    metrics:
      readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: {}}}}}}}}}]
",
            rest.trim().replace("{file}", received.to_str().unwrap()),
            metrics.port()
        );
        let path = folder.path().join("collector.yaml");
        fs::write(&path, config).unwrap();
        let process = Running::start(peer::command("collector").arg("--config").arg(&path));
        for address in [grpc, http, metrics] {
            until("the collector listens", || TcpStream::connect(address).ok());
        }
        Collector { process, grpc, http, metrics, received, _folder: folder }
    }

    /// The sum of a family of the collector's own metrics; 0 when there is none.
    pub fn metric(&self, name: &str) -> f64 {
        prometheus(self.metrics, name)
    }

    /// Ends the collector, which writes all it has, and returns its requests.
    pub fn stop(mut self) -> Vec<Value> {
        self.end();
        requests(&self.received)
    }

    /// Ends the collector, which writes all it has into its file.
    pub fn end(&mut self) {
        assert!(self.process.stop().success());
    }
}

/// The requests in a file of JSON lines; a last line that is not whole yet is left out.
pub fn requests(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    // All are held at once, so that they differ.
    let held = std::array::from_fn::<_, N, _>(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap())
}

fn page(address: SocketAddr, path: &str, header: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nhost: localhost\r\n{header}\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}

fn prometheus(address: SocketAddr, name: &str) -> f64 {
    let page = page(address, "/metrics", "accept: text/plain");
    let of_family = |line: &&str| {
        line.strip_prefix(name).is_some_and(|rest| rest.trim_start_matches("_total").starts_with(['{', ' ']))
    };
    let value = |line: &str| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
    page.lines().filter(of_family).map(value).sum()
}

/// A request's attributes by key, with numbers and booleans as text.
pub fn attributes(of: &Value) -> std::collections::BTreeMap<String, String> {
    let pairs = of["attributes"].as_array().into_iter().flatten();
    pairs
        .map(|pair| {
            let value = pair["value"].as_object().unwrap().values().next().unwrap();
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            (pair["key"].as_str().unwrap().to_owned(), text)
        })
        .collect()
}

/// Every span with its resource.
pub fn spans(requests: &[Value]) -> impl Iterator<Item = (&Value, &Value)> {
    items(requests, "resourceSpans", "scopeSpans", "spans")
}

/// Every metric with its resource.
pub fn metrics(requests: &[Value]) -> impl Iterator<Item = (&Value, &Value)> {
    items(requests, "resourceMetrics", "scopeMetrics", "metrics")
}

/// Every log record with its resource.
pub fn log_records(requests: &[Value]) -> impl Iterator<Item = (&Value, &Value)> {
    items(requests, "resourceLogs", "scopeLogs", "logRecords")
}

fn items<'v>(
    requests: &'v [Value],
    resources: &'static str,
    scopes: &'static str,
    items: &'static str,
) -> impl Iterator<Item = (&'v Value, &'v Value)> {
    let list = |of: &'v Value, name: &str| of[name].as_array().into_iter().flatten();
    requests.iter().flat_map(move |request| list(request, resources)).flat_map(move |resource| {
        list(resource, scopes)
            .flat_map(move |scope| list(scope, items))
            .map(move |item| (&resource["resource"], item))
    })
}
