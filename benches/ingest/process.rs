//! A child process: what it uses, and its end.

use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// No wait for a child is longer.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Of `/proc/PID/stat`, fixed for user space on Linux.
const TICKS_PER_SECOND: f64 = 100.0;
const MIB_IN_KIB: f64 = 1_024.0;

/// A command on certain processors only; on all without them.
pub fn command(program: &str, processors: Option<&str>) -> Command {
    match processors {
        None => Command::new(program),
        Some(list) => {
            let mut command = Command::new("taskset");
            command.args(["--cpu-list", list, program]);
            command
        }
    }
}

/// A process that lives no longer than the benchmark.
pub struct Process(Child);

impl Process {
    pub fn start(command: &mut Command) -> Process {
        Process(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// User and system time of all its threads up to now, seconds.
    pub fn cpu_s(&self) -> f64 {
        let stat = self.file("stat");
        let after_name = &stat[stat.rfind(')').unwrap() + 1..];
        let ticks: f64 =
            after_name.split_whitespace().skip(11).take(2).map(|n| n.parse::<f64>().unwrap()).sum();
        ticks / TICKS_PER_SECOND
    }

    /// Physical memory now.
    pub fn rss_mib(&self) -> f64 {
        self.status("VmRSS:")
    }

    /// The most physical memory it ever had.
    pub fn peak_rss_mib(&self) -> f64 {
        self.status("VmHWM:")
    }

    fn status(&self, key: &str) -> f64 {
        let status = self.file("status");
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap() / MIB_IN_KIB
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.0.id())).expect("the process has ended early")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing is left to do about one that has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
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
        std::thread::sleep(Duration::from_millis(10));
    }
}
