//! The engine from the outside: bytes and times in, windows and verdicts out. No sockets, no clock.
//!
//! What it proves: results do not depend on the order of arrival or the number of shards; windows hold what a naive
//! count holds; bad input is refused or told by name and costs no good neighbour; every bound is counted when it is
//! reached; a new instance's first minutes are seen and are no evidence; a single difference is found, and is one finding; an
//! engine that was cut short goes on from its checkpoint as if it had not been.
//! What it does not: that the rule is wise (benches/calibration.rs), or that a socket delivers the bytes
//! (tests/conformance, tests/interop).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends by panicking")]

mod aspects;
mod bad_input;
mod baselines;
mod build;
mod cardinality;
mod checkpoint;
mod clocks;
mod cold_starts;
mod completeness;
mod dependencies;
mod determinism;
mod early;
mod facts;
mod limits;
mod mutations;
mod naive;
mod parents;
mod presence;
mod redaction;
mod roots;
mod sizes;
mod shop;
mod simulation;
mod streams;
mod tiers;
mod translate;
mod units;
mod values;
mod volume;
mod waivers;
mod warmup;
