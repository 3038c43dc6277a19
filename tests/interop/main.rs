//! isotel among programs that others wrote: SDKs, instrumented applications, a collector, a load generator.
//!
//! Every peer is a real one from a package registry, built by `tests/peers/setup`. A peer that is not built is said by
//! name and its tests pass without having shown anything; with `CI=true` they fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends by panicking")]
#![allow(clippy::disallowed_methods, reason = "other processes live in real time")]
#![allow(clippy::print_stderr, reason = "what a test could not show is said by name")]

#[path = "../conformance/authority.rs"]
mod authority;
mod collector;
mod compose;
mod cross_check;
mod files;
mod guarded;
mod instrumented;
mod kubernetes;
mod peer;
mod plan;
mod process;
mod rig;
mod sdks;
mod tiers;
