//! The real binary as a process, its log, and requests to its pages.

use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

/// No wait in these tests is longer.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// An agent as a process that lives no longer than this.
pub struct Served {
    pub child: Child,
    pub log: Receiver<Value>,
}

impl Served {
    /// `isotel run` with these files of a folder as its configuration, each over the one before.
    pub fn run(folder: &Path, files: &[&str]) -> Served {
        let mut command = Command::new(env!("CARGO_BIN_EXE_isotel"));
        command.arg("run").stdout(Stdio::null()).stderr(Stdio::piped());
        for file in files {
            command.arg("--config").arg(folder.join(file));
        }
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (tell, log) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // Nobody listens any more at the end of a test.
                let _ = tell.send(serde_json::from_str(&line).unwrap_or_default());
            }
        });
        Served { child, log }
    }

    /// The fields of the next record of its log that is wanted.
    pub fn logged(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let record = self.log.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("not in the log: {what}"));
            if wanted(&record["fields"]) {
                return record["fields"].clone();
            }
        }
    }

    /// The address of the next listener whose key begins so.
    pub fn listening(&self, key: &str) -> SocketAddr {
        let fields = self.logged(&format!("{key} listens"), |fields| {
            fields["message"] == "listening" && fields["key"].as_str().unwrap().starts_with(key)
        });
        fields["address"].as_str().unwrap().parse().unwrap()
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        // Nothing is left to do about one that has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.kill();
    }
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
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }
}

/// One request on a connection of its own.
pub fn http(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut stream = connect(to);
    let own = if headers.iter().any(|(name, _)| *name == "host") {
        String::new()
    } else {
        format!("host: {to}\r\n")
    };
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\n{own}{headers}connection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    // A body that is refused unread is not always taken.
    let _ = stream.write_all(body.as_bytes());
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

pub fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}
