//! Alerts as their receivers get them, and what Prometheus makes of the metrics page.
//!
//! Scenario: the real binary with real OTLP of two environments, of which one is slower; a real Alertmanager, a real
//! Prometheus with the configuration, rules and dashboards of `deploy/`, and a webhook that fails at first. Guarantees: an
//! alert arrives with its labels, is grouped, lives on over a crash of the agent, and is resolved when it ends; every query of
//! every dashboard and rule has data; every link to a runbook leads somewhere.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends by panicking")]
#![allow(clippy::disallowed_methods, reason = "other processes live in real time")]
#![allow(clippy::print_stderr, reason = "what a test could not show is said by name")]

mod agent;
mod alertmanager;
#[path = "../interop/peer.rs"]
#[allow(dead_code, reason = "peers are only killed here")]
mod peer;
mod prometheus;
mod runbooks;
#[path = "../served/mod.rs"]
#[allow(dead_code, reason = "other tests ask for more")]
mod served;
mod webhook;
