//! `ExportLogsServiceRequest` → log records.

use super::any_value::{AnyValue, NESTING_MAX, check_value, read_attribute};
use super::field::Reader;
use super::request::{Envelope, walk};
use super::traces::add_to_shape;
use super::{Malformed, Refusal, Refusals, ResourceRecord, ScopeRecord, Slice};

/// What the body of a record begins with that is a part of a window.
pub const PART_MAGIC: &[u8; 8] = b"isotelpt";

/// The type of a body that is bytes.
const BYTES: u8 = 7;

/// Whether the bytes of a body are a part. Texts, which nearly all bodies are, are not looked at twice.
fn is_part(body: &[u8]) -> bool {
    matches!(AnyValue::parse(body), AnyValue::Bytes(part) if part.starts_with(PART_MAGIC))
}

/// One log record, as ranges into the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogRecord {
    /// Index of its scope in the batch.
    pub scope: u32,
    /// Index of its resource in the batch.
    pub resource: u32,
    /// Nanoseconds since the epoch; 0 when unknown.
    pub time_ns: u64,
    /// Nanoseconds since the epoch; 0 when unknown.
    pub observed_time_ns: u64,
    /// 1 to 24; 0 when unspecified.
    pub severity_number: i32,
    /// The event's name; empty for a plain record.
    pub event_name: Slice,
    /// The body's type, as [`super::AnyValue::type_tag`] numbers them.
    pub body_type: u8,
    /// Hash of attribute keys and value types, whatever their order.
    pub shape: u64,
    /// The body as an `AnyValue`, where it is a part of a window that another isotel sends; else empty.
    pub part: Slice,
    /// The `LogRecord` message.
    pub message: Slice,
}

/// The log records of one request. Reused from request to request.
#[derive(Debug, Default)]
pub struct LogBatch {
    /// Resources, in order.
    pub resources: Vec<ResourceRecord>,
    /// Scopes, in order.
    pub scopes: Vec<ScopeRecord>,
    /// Records that break no rule, in order.
    pub records: Vec<LogRecord>,
    /// Records that were left out.
    pub refusals: Refusals,
}

impl LogBatch {
    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.resources.clear();
        self.scopes.clear();
        self.records.clear();
        self.refusals = Refusals::default();
    }
}

/// Decodes a request into an empty batch.
///
/// # Errors
/// [`Malformed`] when the bytes are not such a request; the batch then holds nothing of use.
pub fn decode_logs(request: &[u8], batch: &mut LogBatch) -> Result<(), Malformed> {
    let LogBatch { resources, scopes, records, refusals } = batch;
    let mut envelope = Envelope { resources: std::mem::take(resources), scopes: std::mem::take(scopes) };
    let walked = walk(request, &mut envelope, |bytes, at, resource, scope| {
        match read_record(bytes, at)? {
            Ok(record) => records.push(LogRecord { resource, scope, ..record }),
            Err(refusal) => refusals.add(refusal, 1),
        }
        Ok(())
    });
    batch.resources = envelope.resources;
    batch.scopes = envelope.scopes;
    walked
}

fn read_record(bytes: &[u8], base: usize) -> Result<Result<LogRecord, Refusal>, Malformed> {
    let mut record = LogRecord { message: Slice::new(base, bytes), ..LogRecord::default() };
    let mut refusal = None;
    let mut reader = Reader::new(bytes, base);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => record.time_ns = field.fixed64()?,
            11 => record.observed_time_ns = field.fixed64()?,
            2 => record.severity_number = field.varint()? as i32,
            3 => drop(field.text_bytes()?),
            5 => {
                let (body, at) = field.bytes()?;
                let checked = check_value(body, at, NESTING_MAX)?;
                record.body_type = checked.type_tag;
                if checked.too_deep {
                    refusal = Some(Refusal::NestingTooDeep);
                }
                record.part = match checked.type_tag {
                    BYTES if is_part(body) => Slice::new(at, body),
                    _ => Slice::default(),
                };
            }
            6 => {
                let (attribute, at) = field.bytes()?;
                let attribute = read_attribute(attribute, at)?;
                if attribute.too_deep {
                    refusal = Some(Refusal::NestingTooDeep);
                }
                record.shape = add_to_shape(record.shape, attribute.key, attribute.type_tag);
            }
            7 => drop(field.varint()?),
            8 => drop(field.fixed32()?),
            9 if !matches!(field.bytes()?.0.len(), 0 | 16) => refusal = Some(Refusal::TraceIdLength),
            10 if !matches!(field.bytes()?.0.len(), 0 | 8) => refusal = Some(Refusal::SpanIdLength),
            12 => {
                let (name, at) = field.text()?;
                record.event_name = Slice::new(at, name.as_bytes());
            }
            _ => {}
        }
    }
    Ok(refusal.map_or(Ok(record), Err))
}
