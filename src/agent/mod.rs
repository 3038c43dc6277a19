//! The only tokio: servers, forwarding, push, own telemetry.
//!
//! ```text
//! socket ─serve→ grpc, http ─receive→ Intake (the engine's door)
//!                                └──→ forward: queue → client → downstream
//! results ──────────────────────────→ forward
//! ```
//!
//! A request stays on one thread from its last byte to its record. The engine is behind [`intake::Intake`]; nothing here but
//! [`storage`], which keeps it as bytes, knows what it does. [`RunningAgent`] owns every task, and [`RunningAgent::drain`] is the one place where the order of
//! the end is written down.

pub mod forward;
pub mod health;
pub mod intake;
pub mod logging;
pub mod prometheus;
pub mod retry;
pub mod serve;
pub mod storage;
pub mod telemetry;
pub mod tls;

mod admission;
mod asked;
mod auth;
mod body;
mod compress;
mod connections;
pub mod client;
mod cors;
mod grpc;
mod http;
mod memory;
mod metrics_endpoint;
mod page;
mod push;
mod queue;
mod receive;
pub mod results;
mod renewed;
mod rollout;
mod running;
mod snapshot;
mod tenants;
mod unary;
pub mod visitor;

pub use auth::AuthError;
pub use intake::{Intake, NotRecorded};
pub use results::{Act, Question, Results};
pub use running::{Addresses, Agent, AlertRoutes, ResultRoutes, RunningAgent, StartError};
pub use telemetry::Sources;
pub use tenants::Hosted;
