//! `ExportTraceServiceRequest` → spans. Hot plane.

use super::any_value::read_attribute;
use super::field::Reader;
use super::request::{Envelope, walk};
use super::semconv::Slot;
use super::{Malformed, Range32, Refusal, Refusals, ResourceRecord, ScopeRecord, Slice};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// One span, as ranges into the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanRecord {
    /// Index of its scope in the batch.
    pub scope: u32,
    /// Index of its resource in the batch.
    pub resource: u32,
    /// 16 bytes.
    pub trace_id: Slice,
    /// Never zero.
    pub span_id: u64,
    /// Zero for a root.
    pub parent_span_id: u64,
    /// May be empty.
    pub name: Slice,
    /// `SpanKind` on the wire.
    pub kind: u8,
    /// Nanoseconds since the epoch.
    pub start_ns: u64,
    /// Nanoseconds since the epoch, not before the start.
    pub end_ns: u64,
    /// `StatusCode` on the wire.
    pub status: u8,
    /// How many requests it stands for: 1 without sampling.
    pub adjusted_count: u32,
    /// The rejection threshold of `ot=th:` in 2⁻⁵⁶; 0 when nothing was sampled away.
    pub sampling_threshold: u64,
    /// Into [`TraceBatch::slots`].
    pub slots: Range32,
    /// Hash of attribute keys and value types, whatever their order.
    pub shape: u64,
    /// The `Span` message.
    pub message: Slice,
    /// Into [`TraceBatch::events`].
    pub events: Range32,
}

/// One event of a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventRecord {
    /// May be empty.
    pub name: Slice,
    /// The `Event` message.
    pub message: Slice,
}

/// The spans of one request. Reused from request to request.
#[derive(Debug, Default)]
pub struct TraceBatch {
    /// Resources, in order.
    pub resources: Vec<ResourceRecord>,
    /// Scopes, in order.
    pub scopes: Vec<ScopeRecord>,
    /// Spans that break no rule, in order.
    pub spans: Vec<SpanRecord>,
    /// Attributes that the model reads: where each `AnyValue` message is.
    pub slots: Vec<(Slot, Slice)>,
    /// Events of the spans.
    pub events: Vec<EventRecord>,
    /// Spans that were left out.
    pub refusals: Refusals,
}

impl TraceBatch {
    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.resources.clear();
        self.scopes.clear();
        self.spans.clear();
        self.slots.clear();
        self.events.clear();
        self.refusals = Refusals::default();
    }
}

/// Decodes a request into an empty batch.
///
/// # Errors
/// [`Malformed`] when the bytes are not such a request; the batch then holds nothing of use.
pub fn decode_traces(request: &[u8], batch: &mut TraceBatch) -> Result<(), Malformed> {
    let TraceBatch { resources, scopes, spans, slots, events, refusals } = batch;
    let mut envelope = Envelope { resources: std::mem::take(resources), scopes: std::mem::take(scopes) };
    let walked = walk(request, &mut envelope, |bytes, at, resource, scope| {
        let (slots_before, events_before) = (slots.len(), events.len());
        match read_span(bytes, at, slots, events)? {
            Ok(span) => spans.push(SpanRecord {
                resource,
                scope,
                slots: Range32::new(slots_before, slots.len()),
                events: Range32::new(events_before, events.len()),
                ..span
            }),
            Err(refusal) => {
                slots.truncate(slots_before);
                events.truncate(events_before);
                refusals.add(refusal, 1);
            }
        }
        Ok(())
    });
    batch.resources = envelope.resources;
    batch.scopes = envelope.scopes;
    walked
}

fn read_span(
    bytes: &[u8],
    base: usize,
    slots: &mut Vec<(Slot, Slice)>,
    events: &mut Vec<EventRecord>,
) -> Result<Result<SpanRecord, Refusal>, Malformed> {
    let mut span =
        SpanRecord { message: Slice::new(base, bytes), adjusted_count: 1, ..SpanRecord::default() };
    let mut refusal = None;
    let (mut trace_id, mut span_id, mut parent_id): (&[u8], &[u8], &[u8]) = (&[], &[], &[]);
    let mut reader = Reader::new(bytes, base);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => {
                let (id, at) = field.bytes()?;
                trace_id = id;
                span.trace_id = Slice::new(at, id);
            }
            2 => span_id = field.bytes()?.0,
            3 => read_threshold(field.text()?.0, &mut span),
            4 => parent_id = field.bytes()?.0,
            5 => {
                let (name, at) = field.text_bytes()?;
                span.name = Slice::new(at, name);
            }
            6 => span.kind = u8::try_from(field.varint()?).unwrap_or(0),
            7 => span.start_ns = field.fixed64()?,
            8 => span.end_ns = field.fixed64()?,
            9 => {
                let (attribute, at) = field.bytes()?;
                let attribute = read_attribute(attribute, at)?;
                if attribute.too_deep {
                    refusal = Some(Refusal::NestingTooDeep);
                }
                span.shape = add_to_shape(span.shape, attribute.key, attribute.type_tag);
                if let Some(slot) = Slot::of(attribute.key) {
                    slots.push((slot, attribute.value));
                }
            }
            11 => {
                let (event, at) = field.bytes()?;
                events.push(EventRecord { name: read_event(event, at)?, message: Slice::new(at, event) });
            }
            13 => {
                let (link, at) = field.bytes()?;
                check_link(link, at)?;
            }
            15 => {
                let (status, at) = field.bytes()?;
                span.status = read_status(status, at)?;
            }
            10 | 12 | 14 => drop(field.varint()?),
            16 => drop(field.fixed32()?),
            _ => {}
        }
    }
    span.span_id = number(span_id);
    span.parent_span_id = number(parent_id);
    Ok(match refusal.or_else(|| refuse(&span, trace_id, span_id, parent_id)) {
        None => Ok(span),
        Some(refusal) => Err(refusal),
    })
}

fn refuse(span: &SpanRecord, trace_id: &[u8], span_id: &[u8], parent_id: &[u8]) -> Option<Refusal> {
    Some(match () {
        () if trace_id.len() != 16 => Refusal::TraceIdLength,
        () if trace_id == [0; 16] => Refusal::TraceIdZero,
        () if span_id.len() != 8 => Refusal::SpanIdLength,
        () if span.span_id == 0 => Refusal::SpanIdZero,
        () if !matches!(parent_id.len(), 0 | 8) => Refusal::ParentSpanIdLength,
        () if span.end_ns == 0 => Refusal::TimeUnset,
        () if span.end_ns < span.start_ns => Refusal::EndBeforeStart,
        () => return None,
    })
}

fn number(id: &[u8]) -> u64 {
    id.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Adds an attribute to a shape, in any order.
#[inline]
pub(super) fn add_to_shape(shape: u64, key: &[u8], type_tag: u8) -> u64 {
    shape.wrapping_add(xxh3_64_with_seed(key, u64::from(type_tag)))
}

/// Reads the probability with which a span was kept: `ot=th:` and up to 14 hexadecimal digits, the share of
/// randomness that is rejected in 2⁻⁵⁶ (OpenTelemetry, "TraceState: Probability Sampling").
fn read_threshold(tracestate: &str, span: &mut SpanRecord) {
    let Some(threshold) = tracestate
        .split(',')
        .filter_map(|entry| entry.trim().strip_prefix("ot="))
        .flat_map(|value| value.split(';'))
        .find_map(|member| member.strip_prefix("th:"))
    else {
        return;
    };
    let valid = (1..=14).contains(&threshold.len()) && threshold.bytes().all(|b| b.is_ascii_hexdigit());
    let Some(digits) = valid.then(|| u64::from_str_radix(threshold, 16).ok()).flatten() else { return };
    let rejected = digits << (4 * (14 - threshold.len()));
    let range = 1u64 << 56;
    span.sampling_threshold = rejected;
    span.adjusted_count = (range as f64 / (range - rejected) as f64).round().min(f64::from(u32::MAX)) as u32;
}

fn read_event(bytes: &[u8], base: usize) -> Result<Slice, Malformed> {
    let mut name = Slice::default();
    let mut reader = Reader::new(bytes, base);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => drop(field.fixed64()?),
            2 => {
                let (text, at) = field.text_bytes()?;
                name = Slice::new(at, text);
            }
            3 => {
                let (attribute, at) = field.bytes()?;
                read_attribute(attribute, at)?;
            }
            4 => drop(field.varint()?),
            _ => {}
        }
    }
    Ok(name)
}

fn check_link(bytes: &[u8], base: usize) -> Result<(), Malformed> {
    let mut reader = Reader::new(bytes, base);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 | 2 => drop(field.bytes()?),
            3 => drop(field.text_bytes()?),
            4 => {
                let (attribute, at) = field.bytes()?;
                read_attribute(attribute, at)?;
            }
            5 => drop(field.varint()?),
            6 => drop(field.fixed32()?),
            _ => {}
        }
    }
    Ok(())
}

fn read_status(bytes: &[u8], base: usize) -> Result<u8, Malformed> {
    let mut code = 0;
    let mut reader = Reader::new(bytes, base);
    while let Some(field) = reader.next_field()? {
        match field.number {
            2 => drop(field.text_bytes()?),
            3 => code = u8::try_from(field.varint()?).unwrap_or(0),
            _ => {}
        }
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_in_tracestate_gives_the_adjusted_count() {
        for (tracestate, count, threshold) in [
            ("", 1, 0),
            ("ot=th:8", 2, 0x80_0000_0000_0000),
            ("vendor=x, ot=rv:1;th:c", 4, 0xc0_0000_0000_0000),
            ("ot=th:0", 1, 0),
            ("ot=th:nonsense", 1, 0),
            ("ot=th:123456789012345", 1, 0),
            ("ot=th:ffffffffffffff", u32::MAX, 0xff_ffff_ffff_ffff),
        ] {
            let mut span = SpanRecord { adjusted_count: 1, ..SpanRecord::default() };
            read_threshold(tracestate, &mut span);
            assert_eq!((span.adjusted_count, span.sampling_threshold), (count, threshold), "{tracestate}");
        }
    }
}
