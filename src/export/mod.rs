//! Verdicts and evidence → OTLP messages and Prometheus text. Pure encoders.
//!
//! [`gauges`] walks reports for the points of metric families; [`otlp`] and [`prometheus`] only write them down, so that both
//! say the same. [`logs`] has the events, [`histogram`] the distributions. Sending is `agent/`'s.

pub mod gauges;
pub mod histogram;
pub mod logs;
pub mod otlp;
mod parts;
pub mod prometheus;
pub mod query;
pub mod publisher;

pub use histogram::ExponentialHistogram;
pub use logs::{FindingEvent, VerdictChange, logs_requests};
pub use otlp::{Endpoints, Judged, Results, Sender, Timing, metrics_requests};
pub use parts::{EVENT, part_request};
pub use publisher::{Publisher, Work};
