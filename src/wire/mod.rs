//! OTLP bytes → observations. Hot plane; retains nothing.
//!
//! One walk over the protobuf bytes visits the fields that are needed and leaves ranges into the request, so that
//! in the steady state nothing is allocated: batches are reused from request to request. OTLP/JSON is first
//! transcoded to the protobuf bytes of the same request, so that everything after it is one path.
//!
//! A request that cannot be decoded is [`Malformed`] as a whole. A single item that breaks a rule is left out and
//! counted in [`Refusals`]; its neighbours stay.

pub mod any_value;
pub mod field;
pub mod file;
pub mod json;
pub mod logs;
pub mod metrics;
pub mod refusal;
pub mod request;
pub mod response;
pub mod semconv;
pub mod traces;

pub use any_value::{
    AnyValue, event_attributes, log_attributes, point_attributes, resource_attributes, scope_name_version,
    span_attributes,
};
pub use logs::{LogBatch, LogRecord, PART_MAGIC, decode_logs};
pub use metrics::{
    MetricBatch, MetricKind, MetricRecord, PointRecord, PointValue, Temporality, decode_metrics,
};
pub use refusal::{Refusal, Refusals};
pub use request::{Range32, ResourceRecord, ScopeRecord, Signal, Slice};
pub use traces::{EventRecord, SpanRecord, TraceBatch, decode_traces};

/// A request that cannot be decoded: HTTP 400 or gRPC INVALID_ARGUMENT, never to be retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed OTLP request: {what} at byte {offset}")]
pub struct Malformed {
    /// Where in the request.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
}
