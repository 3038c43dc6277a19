//! `isotel run` as a process, and what it says and takes.

use crate::served::{PATIENCE, Served};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A process that lives no longer than the test.
pub struct Agent {
    served: Served,
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    health: SocketAddr,
    metrics: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Agent {
    /// Starts an agent with this memory limiter and these `parity.limits`.
    pub fn start(limiter: &str, limits: &str) -> Agent {
        let text = format!(
            "
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:0'}}, http: {{endpoint: '127.0.0.1:0'}}}}}}
extensions: {{health_check: {{endpoint: '127.0.0.1:0'}}, memory_limiter: {limiter}}}
service:
  extensions: [health_check, memory_limiter]
  pipelines: {{traces: {{receivers: [otlp]}}}}
  telemetry: {{logs: {{encoding: json}}, metrics: {{address: '127.0.0.1:0'}}}}
parity: {{window: 10s, period: 1m, limits: {limits}}}
"
        );
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("isotel.yaml"), text).unwrap();
        let served = Served::run(folder.path(), &["isotel.yaml"]);
        let [grpc, http, health, metrics] = [
            "receivers.otlp.protocols.grpc",
            "receivers.otlp.protocols.http",
            "extensions.health",
            "service.telemetry",
        ]
        .map(|key| served.listening(key));
        Agent { served, grpc, http, health, metrics, _folder: folder }
    }

    /// The sum of a family's lines on the Prometheus page, of those with this text only.
    pub fn metric(&self, family: &str, with: &str) -> f64 {
        let page = get(self.metrics, "/metrics");
        let of_family = page.lines().filter(|line| {
            line.strip_prefix(family).is_some_and(|rest| rest.starts_with([' ', '{'])) && line.contains(with)
        });
        of_family.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// Spans that the engine has counted.
    pub fn counted(&self) -> u64 {
        self.metric("isotel_receiver_accepted_spans", "") as u64
    }

    pub fn health(&self) -> String {
        get(self.health, "/")
    }

    /// What was logged since the last call.
    pub fn log(&self) -> Vec<String> {
        self.served.log.try_iter().map(|record| record.to_string()).collect()
    }

    /// Physical memory now, MiB.
    pub fn rss_mib(&self) -> f64 {
        self.status("VmRSS:")
    }

    /// The most physical memory that it ever had, MiB.
    pub fn peak_mib(&self) -> f64 {
        self.status("VmHWM:")
    }

    /// Begins to look for the most anew.
    pub fn forget_peak(&self) {
        // Where the kernel does not let us, the peak is that of the whole life, and the tests are stricter.
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.served.child.id()), "5");
    }

    fn status(&self, key: &str) -> f64 {
        let path = format!("/proc/{}/status", self.served.child.id());
        let status = std::fs::read_to_string(path).expect("the agent has not ended");
        let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("the agent has not ended");
        line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap() / 1_024.0
    }
}

fn get(from: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(from).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}
