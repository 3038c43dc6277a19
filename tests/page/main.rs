//! The page that the agent serves: over HTTP, and in a real browser.
//!
//! Scenario: the real binary with real OTLP of two environments, some of it hostile. Guarantees: every page and every
//! piece of JSON is there with its headers; judgements are told as they are made; nothing from telemetry becomes markup;
//! the stream ends with the agent; in a browser nothing is fetched from elsewhere, nothing fails, nothing scrolls
//! sideways on a phone, and axe finds no violation.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends by panicking")]
#![allow(clippy::disallowed_methods, reason = "real processes have a clock and an environment")]
#![allow(clippy::print_stderr, reason = "says what is missing")]

mod agent;
mod baselines;
mod browser;
mod http;
mod remote;
#[path = "../served/mod.rs"]
#[allow(dead_code, reason = "other tests ask for more")]
mod served;
mod tenants;
