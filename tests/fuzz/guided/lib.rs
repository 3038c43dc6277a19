//! The readers of bytes from outside, as `tests/fuzz/` has them, for libFuzzer.

#[path = "../targets.rs"]
pub mod targets;
