//! What was acknowledged survives `kill -9`, and damage on disk loses no more than itself: the real binary under a real load.
//!
//! What it proves: after a kill at any moment, the counts per series, environment and window are those of the acknowledged
//! requests, and of each other request whole or not at all. What it does not: the end of power, for which nobody here has a
//! plug; and that the engine goes on as if nothing had been (tests/engine/checkpoint.rs).
//!
//! `ISOTEL_CRASH_RUNS` is how many kills there are; `ISOTEL_CRASH_SEED` the first seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends by panicking")]
#![allow(clippy::print_stdout, reason = "a long run says how far it is")]
#![allow(clippy::disallowed_methods, reason = "another process lives in real time")]

mod agent;
mod damage;
mod disk;
mod kills;
mod load;
mod oracle;
mod queue;
mod retention;
mod tenants;
