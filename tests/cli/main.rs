//! The command line through the real binary: exit codes, streams, formats, signals.
//!
//! What it proves: the contract that scripts rely on. What it does not: that real SDKs and collectors agree
//! (tests/interop).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends by panicking")]
#![allow(clippy::disallowed_methods, reason = "another process lives in real time")]

mod catalog;
mod config;
mod demo;
mod docs;
mod facts;
mod golden;
mod init;
mod input;
mod judge;
mod manual;
mod next;
mod report;
mod run;
mod secrets;
#[path = "../served/mod.rs"]
#[allow(dead_code, reason = "other tests ask for more")]
mod served;
mod snapshot;
mod supply;
mod values;

/// A command of the real binary, away from what the caller's terminal and environment say.
fn isotel(args: &[&str]) -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_isotel"));
    command
        .args(args)
        .env_remove("COLUMNS")
        .env_remove("NO_COLOR")
        .timeout(std::time::Duration::from_secs(60));
    command
}

/// What a command wrote and how it ended.
struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

fn end(command: &mut assert_cmd::Command) -> Ended {
    let output = command.output().unwrap();
    Ended {
        code: output.status.code().expect("not ended by a signal"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
