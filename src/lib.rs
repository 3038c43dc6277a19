//! isotel answers one question: *is this environment the same as that one?*
//!
//! Data goes one way, and the modules are named after the stations it passes:
//!
//! ```text
//! bytes ─wire→ Observation ─window→ SealedWindow ─stats→ Evidence ─judge→ Verdict, Finding ─report→ table, JSON
//!                                                                                      ├─alert→ Alertmanager, webhook
//!                                                                                      └─export→ OTLP, Prometheus
//! └──────────── pure: no tokio, no clock, no files, no environment ─────────────┘        agent/ and cli/ do all the I/O
//! ```
//!
//! Dependencies point left only. `docs/architecture.md` has the code map and the invariants.

pub mod yaml;
pub mod wire;
pub mod model;
pub mod catalog;
pub mod survey;
pub mod sketch;
pub mod window;
pub mod stats;
pub mod judge;
pub mod engine;
pub mod report;
pub mod alert;
pub mod export;
pub mod config;
pub mod rollout;
pub mod agent;
pub mod cli;
