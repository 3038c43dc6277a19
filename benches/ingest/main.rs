//! What a span costs from the socket on: isotel as a process under load, beside the least that could be done, nothing,
//! and a collector.
//!
//! Every target is a child process that is loaded over loopback by the client in here, on the same machine: what the
//! client takes, the target lacks. So CPU time for a million spans is what counts, and its ratio to the floor's in the
//! same run; spans a second are a lower limit. Requests are made from a seed and dated near now, so that windows open,
//! end and are judged meanwhile. Every span that was acknowledged must have been counted, to the last; if not, the exit
//! code is 1.
//!
//! `cargo bench --bench ingest [-- CASE... [--seconds N]]`

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "prints tables")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]
#![allow(clippy::disallowed_methods, reason = "measures time")]

mod attack;
mod bare;
mod cases;
#[path = "../common/mod.rs"]
mod common;
mod exact;
mod load;
mod memory;
mod payloads;
mod process;
mod soak;
mod table;
mod targets;

use cases::Times;
use std::process::ExitCode;
use std::time::Duration;
use table::Bench;

/// That of isotel's binary, for the bare server too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut times = Times { warm_up: Duration::from_secs(2), measure: Duration::from_secs(5) };
    let mut chosen = Vec::new();
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--serve" => bare::serve(&args.next().unwrap_or_default()),
            "--seconds" => {
                let seconds = args.next().and_then(|n| n.parse().ok()).expect("--seconds N");
                times.measure = Duration::from_secs(seconds);
            }
            name => match cases::ALL.iter().find(|(known, _)| *known == name) {
                Some((_, case)) => chosen.push(*case),
                None => {
                    eprintln!("no such case: {name}; there are {:?}", cases::ALL.map(|(known, _)| known));
                    return ExitCode::from(2);
                }
            },
        }
    }
    if chosen.is_empty() {
        chosen.extend(cases::ALL.map(|(_, case)| case));
    }
    let mut bench = Bench::default();
    chosen.into_iter().for_each(|case| case(&mut bench, times));
    if bench.end() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
