//! What is loaded: isotel's binary, the bare server, a collector. Each a child process on ports of its own.

use crate::payloads::Wire;
use crate::process::{PATIENCE, Process, command, until};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use tempfile::TempDir;

/// Which target.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `isotel run` as it is built for release.
    Isotel,
    /// The bare server with the floor behind it.
    Walk,
    /// The bare server that forgets everything.
    Drop,
    /// A collector with its span-metrics connector.
    Collector,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Isotel => "isotel",
            Kind::Walk => "walk",
            Kind::Drop => "drop",
            Kind::Collector => "collector",
        }
    }
}

/// How isotel is configured beyond its listeners. Windows end and are judged while a load runs.
#[derive(Clone)]
pub struct Settings {
    pub window: &'static str,
    pub lateness: &'static str,
    /// More of `parity`.
    pub parity: String,
    /// Where traces go on to, uncompressed.
    pub forward: Option<(Wire, SocketAddr)>,
    /// The processors that it may use.
    pub processors: Option<&'static str>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            window: "10s",
            lateness: "3s",
            parity: "comparisons: auto".to_owned(),
            forward: None,
            processors: None,
        }
    }
}

/// A target at work.
pub struct Target {
    pub process: Process,
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    /// The Prometheus page, and how its families begin.
    pub metrics: Option<(SocketAddr, &'static str)>,
    _folder: TempDir,
}

impl Target {
    /// Starts a target; `None` when it is a peer that is not built.
    pub fn start(kind: Kind, settings: &Settings) -> Option<Target> {
        match kind {
            Kind::Isotel => Some(isotel(settings)),
            Kind::Walk | Kind::Drop => Some(bare(kind, settings)),
            Kind::Collector => collector(settings),
        }
    }

    /// The sum of a family's lines on the Prometheus page; of those with this text only.
    pub fn metric(&self, family: &str, with: &str) -> f64 {
        let Some((address, prefix)) = self.metrics else { return f64::NAN };
        let name = format!("{prefix}{family}");
        let page = page(address);
        let of_family = |line: &&str| {
            line.strip_prefix(&name)
                .is_some_and(|rest| rest.trim_start_matches("_total").starts_with(['{', ' ']))
                && line.contains(with)
        };
        page.lines()
            .filter(of_family)
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }

    /// The Prometheus page.
    pub fn page(&self) -> String {
        self.metrics.map_or_else(String::new, |(address, _)| page(address))
    }
}

fn page(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\nhost: localhost\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}

fn isotel(settings: &Settings) -> Target {
    let exporters = match settings.forward {
        None => String::new(),
        Some((Wire::Grpc, to)) => {
            format!("otlp_grpc: {{endpoint: '{to}', tls: {{insecure: true}}, compression: none}}")
        }
        Some((Wire::Http, to)) => format!("otlp_http: {{endpoint: 'http://{to}', compression: none}}"),
    };
    let to = exporters.split(':').next().unwrap_or_default();
    let config = format!(
        "
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:0'}}, http: {{endpoint: '127.0.0.1:0'}}}}}}
exporters: {{{exporters}}}
service:
  pipelines: {{traces: {{receivers: [otlp], exporters: [{to}]}}}}
  telemetry: {{logs: {{encoding: json}}, metrics: {{address: '127.0.0.1:0'}}}}
parity:
  window: {}
  lateness: {}
  idle_timeout: 3s
  {}
",
        settings.window, settings.lateness, settings.parity
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("isotel.yaml");
    fs::write(&path, config).unwrap();
    let mut command = command(env!("CARGO_BIN_EXE_isotel"), settings.processors);
    command.args(["run", "--config"]).arg(&path).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut process = Process::start(&mut command);
    let log = BufReader::new(process.child().stderr.take().unwrap());
    let (told, listening) = mpsc::channel();
    // Reads to the end, so that the agent never waits for someone to read its log.
    std::thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            let parsed: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            let field = |name: &str| parsed["fields"][name].as_str().unwrap_or_default().to_owned();
            match (parsed["level"].as_str(), field("message").as_str()) {
                // Nobody listens any more once all are found.
                (_, "listening") => drop(told.send((field("key"), field("address")))),
                (Some("INFO"), _) => {}
                _ => eprintln!("isotel: {line}"),
            }
        }
    });
    let address = |part: &str| {
        loop {
            let (key, address) = listening.recv_timeout(PATIENCE).expect("isotel did not start");
            if key.contains(part) {
                return address.parse().unwrap();
            }
        }
    };
    let (grpc, http) = (address("grpc"), address("http"));
    let metrics = Some((address("metrics"), "isotel_"));
    Target { process, grpc, http, metrics, _folder: folder }
}

fn bare(kind: Kind, settings: &Settings) -> Target {
    let own = std::env::current_exe().unwrap();
    let mut command = command(own.to_str().unwrap(), settings.processors);
    command.args(["--serve", kind.name()]).stdout(Stdio::piped());
    let mut process = Process::start(&mut command);
    let mut line = String::new();
    BufReader::new(process.child().stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().parse().expect("the bare server says where it listens");
    Target { process, grpc: address, http: address, metrics: None, _folder: tempfile::tempdir().unwrap() }
}

fn collector(settings: &Settings) -> Option<Target> {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/run");
    let which = Command::new(peers).args(["--which", "collector"]).output().unwrap();
    if !which.status.success() {
        eprintln!("left out, since it is not built: collector (tests/peers/setup collector)");
        return None;
    }
    let program = format!("{}/otelcol", String::from_utf8_lossy(&which.stdout).trim());
    let [grpc, http, metrics] = free_addresses();
    let config = format!(
        "
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: '{grpc}', max_recv_msg_size_mib: 64}}, http: {{endpoint: '{http}'}}}}}}
connectors:
  span_metrics:
    metrics_flush_interval: 10s
    dimensions: [{{name: deployment.environment.name}}, {{name: http.route}}, {{name: http.request.method}}]
    histogram: {{unit: s, exponential: {{}}}}
exporters: {{debug: {{}}}}
service:
  pipelines:
    traces: {{receivers: [otlp], exporters: [span_metrics]}}
    metrics: {{receivers: [span_metrics], exporters: [debug]}}
  telemetry:
    logs: {{level: warn}}
    metrics:
      readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: {}}}}}}}}}]
",
        metrics.port()
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("collector.yaml");
    fs::write(&path, config).unwrap();
    let mut command = command(&program, settings.processors);
    let process = Process::start(command.arg("--config").arg(&path));
    for address in [grpc, http, metrics] {
        until("the collector listens", || TcpStream::connect(address).ok());
    }
    Some(Target { process, grpc, http, metrics: Some((metrics, "otelcol_")), _folder: folder })
}

fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    // All are held at once, so that they differ.
    let held = std::array::from_fn::<_, N, _>(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap())
}
