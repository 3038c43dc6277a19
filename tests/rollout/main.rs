//! What rollout tools do with the answers: each tool's own loop, over real sockets, against the real agent.
//!
//! Scenario: the real binary takes real OTLP of a stable and a canary environment that are alike, differ, are too quiet to
//! tell, or of which one is silent. The loops are those of the tools, with the numbers of the examples under `deploy/`: what
//! counts as a success, as a failure, as neither, and when a retry loses the words. Guarantees: parity promotes, divergence
//! stops, everything else waits and is never taken for either; a restart is no verdict; examples ask what is served.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends by panicking")]
#![allow(clippy::disallowed_methods, reason = "real processes have a clock and an environment")]

mod agent;
mod argo;
mod ci;
mod example;
mod flagger;
mod kayenta;
mod query;
#[path = "../served/mod.rs"]
#[allow(dead_code, reason = "other tests ask for more")]
mod served;
mod sessions;
