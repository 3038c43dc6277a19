//! The vocabulary: environments, series, operation naming, span kinds, limits.
//!
//! Everything here is a value or a pure function. The one table with state is [`Names`], which turns names into
//! small numbers, within limits.

use serde::{Deserialize, Serialize};

pub mod names;
pub mod environment;
pub mod facts;
pub mod form;
pub mod limits;
mod listed;
pub mod nearest;
pub mod operation;
pub mod outcome;
pub mod peer;
pub mod redaction;
pub mod renamed;
pub mod template;
pub mod values;

pub use environment::EnvironmentRules;
pub use limits::{Limit, Limits, LimitsHit};
pub use names::{
    DependencyId, DependencyKey, EnvironmentId, InstanceId, Item, ItemId, ItemKind, ItemName, KnownNames,
    Names, SeriesId, SeriesKey, ServiceId, ServiceKey,
};
pub use redaction::{HashKey, Redaction};
pub use values::{Instrument, SplitRule, TextRule, ValueId, ValueKey, ValueRules};

/// What part a span plays in a request (OpenTelemetry's `SpanKind`; unspecified counts as internal).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SpanKind {
    /// Work inside a service.
    Internal,
    /// The receiving side of a request.
    Server,
    /// The sending side of a request.
    Client,
    /// The sending side of a message.
    Producer,
    /// The receiving side of a message.
    Consumer,
}

impl SpanKind {
    /// From the number on the wire; unknown numbers are internal, as the specification's default says.
    pub fn from_wire(kind: u8) -> SpanKind {
        match kind {
            2 => SpanKind::Server,
            3 => SpanKind::Client,
            4 => SpanKind::Producer,
            5 => SpanKind::Consumer,
            _ => SpanKind::Internal,
        }
    }

    /// From the text that span-metrics carry, `SPAN_KIND_SERVER`, or the plain word.
    pub fn from_text(text: &str) -> Option<SpanKind> {
        let word = text.strip_prefix("SPAN_KIND_").unwrap_or(text);
        [SpanKind::Internal, SpanKind::Server, SpanKind::Client, SpanKind::Producer, SpanKind::Consumer]
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(word))
            .or_else(|| word.eq_ignore_ascii_case("unspecified").then_some(SpanKind::Internal))
    }

    /// The word used in JSON, tables and OTLP attributes.
    pub fn as_str(self) -> &'static str {
        match self {
            SpanKind::Internal => "internal",
            SpanKind::Server => "server",
            SpanKind::Client => "client",
            SpanKind::Producer => "producer",
            SpanKind::Consumer => "consumer",
        }
    }
}
