//! The engine from the outside: bytes and times in, windows and verdicts out. No sockets, no clock.
//!
//! What it proves: that order, sharding and hostile input do not change what is counted. What it does not: that the
//! rule is wise (benches/calibration.rs), or that a socket delivers the bytes (tests/conformance, tests/interop).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends by panicking")]

mod build;
mod cumulative;
mod hostile;
mod limits;
mod order;
mod windows;
