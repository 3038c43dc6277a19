//! The agent over real sockets: OTLP's rules row by row, forwarding, and the agent's life.
//!
//! What it proves: statuses, bodies, counts and bytes as a sender or a receiver sees them. What it does not: that real SDKs
//! agree, and what the engine does with a request.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends by panicking")]
#![allow(clippy::disallowed_methods, reason = "sockets answer in real time")]

mod auth;
mod authority;
mod downstream;
mod forwarding;
mod harness;
mod ingest;
mod life;
mod pages;
mod stalled;
mod tenants;
mod tls;
