//! The real binary on a directory.

use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

/// No wait in these tests is longer.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Windows of a second, in an event time of the test's own: nobody is idle, and nothing lies in the future.
const CONFIG: &str = "
receivers: {otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0'}}}}
extensions: {file_storage: {directory: DIRECTORY, fsync_interval: 50ms}}
service:
  pipelines: {traces: {receivers: [otlp]}}
  telemetry: {logs: {encoding: json}, metrics: {address: '127.0.0.1:0'}}
parity:
  window: 1s
  lateness: 1s
  idle_timeout: 1h
  period: 1h
  comparisons: [{name: release, baseline: prod, candidate: canary}]
  limits: {open_windows: 1000}
  storage: file_storage
";

/// The configuration of an agent on a directory.
pub fn config(directory: &Path) -> String {
    CONFIG.replace("DIRECTORY", directory.to_str().unwrap())
}

/// Whether a file under a folder holds a text.
pub fn holds(folder: &Path, text: &str) -> bool {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).any(|path| match path.is_dir() {
        true => holds(&path, text),
        false => std::fs::read(&path).unwrap().windows(text.len()).any(|part| part == text.as_bytes()),
    })
}

/// An agent at work.
pub struct Running {
    child: Child,
    log: Receiver<Value>,
    /// What it logged up to where somebody looked.
    pub logged: Vec<Value>,
    /// What SIGHUP reads.
    pub config: PathBuf,
    _folder: tempfile::TempDir,
}

/// Where it listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    pub metrics: SocketAddr,
}

impl Addresses {
    /// What it says of itself.
    pub fn page(self) -> String {
        let mut stream = TcpStream::connect(self.metrics).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        page
    }
}

impl Running {
    /// Starts the binary; `wrapper` is a command that starts it, if any.
    pub fn start(config: &str, wrapper: &[&str]) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("isotel.yaml");
        std::fs::write(&file, config).unwrap();
        let binary = env!("CARGO_BIN_EXE_isotel");
        let words: Vec<&str> =
            wrapper.iter().copied().chain([binary, "run", "--config", file.to_str().unwrap()]).collect();
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (tell, log) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // Nobody listens any more at the end of a test.
                let _ = tell.send(serde_json::from_str(&line).unwrap_or(Value::String(line)));
            }
        });
        Running { child, log, logged: Vec::new(), config: file, _folder: folder }
    }

    /// Waits for a log record with this message.
    pub fn wait(&mut self, message: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(record) = self.log.recv_timeout(left) else {
                panic!("no log record {message:?} after\n{:#?}", self.logged)
            };
            self.logged.push(record.clone());
            if record["fields"]["message"].as_str().is_some_and(|said| said.contains(message)) {
                return record["fields"].clone();
            }
        }
    }

    /// Whether it has logged this so far.
    pub fn has_logged(&mut self, message: &str) -> bool {
        self.logged.extend(self.log.try_iter());
        self.logged
            .iter()
            .any(|record| record["fields"]["message"].as_str().is_some_and(|said| said.contains(message)))
    }

    /// Waits until it listens.
    pub fn addresses(&mut self) -> Addresses {
        let [grpc, http, metrics] = ["grpc", "http", "metrics"].map(|part| {
            let listening = self.wait("listening");
            assert!(listening["key"].as_str().unwrap().contains(part), "{listening}");
            listening["address"].as_str().unwrap().parse().unwrap()
        });
        Addresses { grpc, http, metrics }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as nothing else does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn signal(&self, name: &str) {
        let told = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
    }

    /// Ends it in order.
    pub fn stop(mut self) {
        self.signal("-TERM");
        assert!(self.ended().success());
    }

    /// Waits for its end, with all that it logged.
    pub fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.logged.extend(self.log.iter());
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing is left to do about one that has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
