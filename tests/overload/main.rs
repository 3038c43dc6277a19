//! The real binary under attack and under more load than it can take, over real sockets.
//!
//! What it proves: every attack is answered or cut off, memory stays in its bounds, honest requests beside it are answered,
//! and every span that was acknowledged was counted once. What it does not: how fast it goes (benches/ingest), and what a
//! kernel does that is out of sockets or memory itself.
//!
//! `cargo test --test overload -- --nocapture` prints the tables of docs/overload.md; `ISOTEL_OVERLOAD_SECONDS=120` loads for
//! two minutes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends by panicking")]
#![allow(clippy::disallowed_methods, reason = "another process lives in real time")]
#![allow(clippy::print_stdout, reason = "prints the table of attacks")]

mod agent;
mod attacks;
mod client;
mod http1;
mod http2;
mod load;
#[path = "../served/mod.rs"]
#[allow(dead_code, reason = "other tests ask for more")]
mod served;
