//! What the three signals' requests have in common: resources, scopes, ranges.

use super::Malformed;
use super::field::Reader;
use xxhash_rust::xxh3::xxh3_64;

/// Which of OTLP's signals a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Metric data points.
    Metrics,
    /// Log records.
    Logs,
}

impl Signal {
    /// All signals.
    pub const ALL: [Signal; 3] = [Signal::Traces, Signal::Metrics, Signal::Logs];

    /// The word in paths and attributes.
    pub fn as_str(self) -> &'static str {
        match self {
            Signal::Traces => "traces",
            Signal::Metrics => "metrics",
            Signal::Logs => "logs",
        }
    }
}

/// A range of bytes in a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// First byte.
    pub start: u32,
    /// Bytes.
    pub len: u32,
}

impl Slice {
    /// Of bytes that begin at `start`.
    pub fn new(start: usize, bytes: &[u8]) -> Slice {
        Slice { start: start as u32, len: bytes.len() as u32 }
    }

    /// The bytes themselves; empty when the range is of another request.
    #[inline]
    pub fn of(self, request: &[u8]) -> &[u8] {
        let start = self.start as usize;
        request.get(start..start + self.len as usize).unwrap_or(&[])
    }
}

/// A range of entries in one of a batch's lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range32 {
    /// First entry.
    pub start: u32,
    /// One past the last entry.
    pub end: u32,
}

impl Range32 {
    /// From list lengths before and after.
    pub fn new(start: usize, end: usize) -> Range32 {
        Range32 { start: start as u32, end: end as u32 }
    }

    /// As a range to index with.
    #[inline]
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// One `ResourceSpans`, `ResourceMetrics` or `ResourceLogs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceRecord {
    /// The `Resource` message.
    pub bytes: Slice,
    /// `schema_url`.
    pub schema_url: Slice,
    /// Of the message's bytes; SDKs repeat the same bytes in every batch.
    pub hash: u64,
}

/// One `ScopeSpans`, `ScopeMetrics` or `ScopeLogs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScopeRecord {
    /// Index of its resource in the batch.
    pub resource: u32,
    /// The `InstrumentationScope` message.
    pub bytes: Slice,
    /// `schema_url`.
    pub schema_url: Slice,
    /// Of the message's bytes.
    pub hash: u64,
}

/// The lists of resources and scopes that every batch has.
#[derive(Debug, Default)]
pub struct Envelope {
    /// Resources, in order.
    pub resources: Vec<ResourceRecord>,
    /// Scopes, in order.
    pub scopes: Vec<ScopeRecord>,
}

/// The largest request that ranges of 32 bits can address.
const REQUEST_MAX: usize = u32::MAX as usize;

/// Walks a request's resources and scopes, which have the same field numbers in all three signals, and calls
/// `item` with each span, metric or log record: its bytes, where they start, and its resource and scope.
pub(super) fn walk(
    request: &[u8],
    envelope: &mut Envelope,
    mut item: impl FnMut(&[u8], usize, u32, u32) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    if request.len() > REQUEST_MAX {
        return Err(Malformed { offset: REQUEST_MAX, what: "request of more than 4 GiB" });
    }
    let mut reader = Reader::new(request, 0);
    while let Some(field) = reader.next_field()? {
        if field.number == 1 {
            let (bytes, at) = field.bytes()?;
            walk_resource(bytes, at, envelope, &mut item)?;
        }
    }
    Ok(())
}

fn walk_resource(
    bytes: &[u8],
    base: usize,
    envelope: &mut Envelope,
    item: &mut impl FnMut(&[u8], usize, u32, u32) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    // Fields may come in any order, so the resource is found first and its scopes are walked after it.
    let mut record = ResourceRecord { hash: xxh3_64(&[]), ..ResourceRecord::default() };
    let mut reader = Reader::new(bytes, base);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => {
                let (resource, at) = field.bytes()?;
                super::any_value::check_resource(resource, at)?;
                record.bytes = Slice::new(at, resource);
                record.hash = xxh3_64(resource);
            }
            3 => {
                let (url, at) = field.text()?;
                record.schema_url = Slice::new(at, url.as_bytes());
            }
            _ => {}
        }
    }
    let resource = envelope.resources.len() as u32;
    envelope.resources.push(record);
    let mut reader = Reader::new(bytes, base);
    while let Some(field) = reader.next_field()? {
        if field.number == 2 {
            let (scope, at) = field.bytes()?;
            walk_scope(scope, at, resource, envelope, item)?;
        }
    }
    Ok(())
}

fn walk_scope(
    bytes: &[u8],
    base: usize,
    resource: u32,
    envelope: &mut Envelope,
    item: &mut impl FnMut(&[u8], usize, u32, u32) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let scope = envelope.scopes.len() as u32;
    envelope.scopes.push(ScopeRecord { resource, hash: xxh3_64(&[]), ..ScopeRecord::default() });
    let mut reader = Reader::new(bytes, base);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => {
                let (message, at) = field.bytes()?;
                super::any_value::check_scope(message, at)?;
                let record = &mut envelope.scopes[scope as usize];
                record.bytes = Slice::new(at, message);
                record.hash = xxh3_64(message);
            }
            2 => {
                let (message, at) = field.bytes()?;
                item(message, at, resource, scope)?;
            }
            3 => {
                let (url, at) = field.text()?;
                envelope.scopes[scope as usize].schema_url = Slice::new(at, url.as_bytes());
            }
            _ => {}
        }
    }
    Ok(())
}
