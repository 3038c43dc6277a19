//! Starts the peers, and ends them.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// No wait in these tests is longer.
pub const PATIENCE: Duration = Duration::from_secs(60);

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers")
}

/// Whether these peers are built; says by name which are not.
///
/// # Panics
/// With `CI=true`, when one is not.
pub fn have(names: &[&str]) -> bool {
    let built = |name: &&str| {
        let which = Command::new(peers().join("run")).args(["--which", name]).output().unwrap();
        which.status.success()
    };
    let missing: Vec<_> = names.iter().filter(|name| !built(name)).copied().collect();
    if missing.is_empty() {
        return true;
    }
    let missing = missing.join(", ");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "missing peer: {missing}; run tests/peers/setup");
    eprintln!("skipped, and nothing shown: missing peer {missing}; run tests/peers/setup");
    false
}

/// A peer's command.
pub fn command(name: &str) -> Command {
    let mut command = Command::new(peers().join("run"));
    command.arg(name).stdin(Stdio::null());
    command
}

/// Runs a peer to its end.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?} ended with {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// A process that lives no longer than the test.
pub struct Running(Child);

impl Running {
    pub fn start(command: &mut Command) -> Running {
        Running(command.spawn().unwrap())
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Asks it to stop (SIGTERM) and waits for its end.
    pub fn stop(&mut self) -> std::process::ExitStatus {
        let told = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
        assert!(told.success());
        until("the process ends", || self.0.try_wait().unwrap())
    }
}

impl Drop for Running {
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
