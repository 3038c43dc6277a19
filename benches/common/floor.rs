//! The floor: the least work that still times every span of its series.
//!
//! One walk over the bytes, written by hand, which keeps slices and skips what it does not need; one look-up by service,
//! environment, operation and kind; one count in an `hdrhistogram`. Nothing is checked, nothing has a limit, no window
//! ends, nothing is compared: what isotel costs beyond this is what it does beyond this.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hdrhistogram::Histogram;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use std::hash::BuildHasher;

/// A minute in microseconds, the longest duration that is told apart.
const LONGEST_US: u64 = 60_000_000;
const STATUS_ERROR: u64 = 2;

/// What tells series apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Key<'r> {
    service: &'r [u8],
    environment: &'r [u8],
    name: &'r [u8],
    route: &'r [u8],
    method: &'r [u8],
    kind: u64,
}

struct Series {
    service: Box<[u8]>,
    environment: Box<[u8]>,
    name: Box<[u8]>,
    route: Box<[u8]>,
    method: Box<[u8]>,
    kind: u64,
    durations_us: Histogram<u32>,
    failures: u64,
}

impl Series {
    fn new(key: &Key<'_>) -> Series {
        Series {
            service: key.service.into(),
            environment: key.environment.into(),
            name: key.name.into(),
            route: key.route.into(),
            method: key.method.into(),
            kind: key.kind,
            durations_us: Histogram::new_with_bounds(1, LONGEST_US, 2).unwrap(),
            failures: 0,
        }
    }

    fn key(&self) -> Key<'_> {
        Key {
            service: &self.service,
            environment: &self.environment,
            name: &self.name,
            route: &self.route,
            method: &self.method,
            kind: self.kind,
        }
    }
}

/// A table of series.
#[derive(Default)]
pub struct Floor {
    series: HashTable<Series>,
    hasher: FixedState,
}

impl Floor {
    /// Times every span of a request of traces, and says how many there were.
    pub fn observe(&mut self, request: &[u8]) -> u64 {
        let mut spans = 0;
        for resource_spans in messages(request, 1) {
            let mut key = Key::default();
            for resource in messages(resource_spans, 1) {
                for attribute in messages(resource, 1) {
                    match pair(attribute) {
                        (b"service.name", value) => key.service = value,
                        (b"deployment.environment.name", value) => key.environment = value,
                        _ => {}
                    }
                }
            }
            for scope_spans in messages(resource_spans, 2) {
                for span in messages(scope_spans, 2) {
                    self.span(key, span);
                    spans += 1;
                }
            }
        }
        spans
    }

    /// Series, and spans counted in them.
    pub fn counts(&self) -> (usize, u64) {
        (self.series.len(), self.series.iter().map(|series| series.durations_us.len()).sum())
    }

    /// The same of a request that prost has decoded.
    pub fn observe_decoded(&mut self, request: &ExportTraceServiceRequest) {
        for resource_spans in &request.resource_spans {
            let attributes = resource_spans.resource.iter().flat_map(|resource| &resource.attributes);
            let mut of_resource = Key::default();
            for (key, value) in attributes.filter_map(decoded_pair) {
                match key {
                    "service.name" => of_resource.service = value,
                    "deployment.environment.name" => of_resource.environment = value,
                    _ => {}
                }
            }
            for span in resource_spans.scope_spans.iter().flat_map(|scope_spans| &scope_spans.spans) {
                let mut key = Key { name: span.name.as_bytes(), kind: span.kind as u64, ..of_resource };
                for (name, value) in span.attributes.iter().filter_map(decoded_pair) {
                    match name {
                        "http.route" => key.route = value,
                        "http.request.method" => key.method = value,
                        _ => {}
                    }
                }
                let status = span.status.as_ref().map_or(0, |status| status.code as u64);
                self.record(key, (span.start_time_unix_nano, span.end_time_unix_nano), status);
            }
        }
    }

    fn span<'r>(&mut self, mut key: Key<'r>, span: &'r [u8]) {
        let (mut start_ns, mut end_ns, mut status) = (0, 0, 0);
        for (number, field) in Fields(span) {
            match (number, field) {
                (5, Field::Bytes(name)) => key.name = name,
                (6, Field::Number(kind)) => key.kind = kind,
                (7, Field::Number(at)) => start_ns = at,
                (8, Field::Number(at)) => end_ns = at,
                (9, Field::Bytes(attribute)) => match pair(attribute) {
                    (b"http.route", value) => key.route = value,
                    (b"http.request.method", value) => key.method = value,
                    _ => {}
                },
                (15, Field::Bytes(message)) => {
                    status = Fields(message)
                        .find_map(
                            |field| if let (3, Field::Number(code)) = field { Some(code) } else { None },
                        )
                        .unwrap_or(0);
                }
                _ => {}
            }
        }
        self.record(key, (start_ns, end_ns), status);
    }

    #[inline]
    fn record(&mut self, key: Key<'_>, (start_ns, end_ns): (u64, u64), status: u64) {
        let hash = self.hasher.hash_one(key);
        let hasher = |series: &Series| self.hasher.hash_one(series.key());
        let entry = self.series.entry(hash, |series| series.key() == key, hasher);
        let mut found = entry.or_insert_with(|| Series::new(&key));
        let series = found.get_mut();
        let duration_us = u64::wrapping_sub(end_ns, start_ns) / 1_000;
        series.durations_us.saturating_record(duration_us.clamp(1, LONGEST_US));
        series.failures += u64::from(status == STATUS_ERROR);
    }
}

/// Key and text of a decoded attribute; `None` where it has no text.
fn decoded_pair(attribute: &KeyValue) -> Option<(&str, &[u8])> {
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some((&attribute.key, text.as_bytes())),
        _ => None,
    }
}

/// Key and text of an attribute; empty where there is none.
fn pair(attribute: &[u8]) -> (&[u8], &[u8]) {
    let (mut key, mut value) = (&[][..], &[][..]);
    for (number, field) in Fields(attribute) {
        match (number, field) {
            (1, Field::Bytes(bytes)) => key = bytes,
            (2, Field::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    (key, messages(value, 1).next().unwrap_or_default())
}

/// The embedded messages of one field number.
fn messages(bytes: &[u8], of: u64) -> impl Iterator<Item = &[u8]> {
    Fields(bytes).filter_map(move |(number, field)| match field {
        Field::Bytes(bytes) if number == of => Some(bytes),
        _ => None,
    })
}

enum Field<'r> {
    Number(u64),
    Bytes(&'r [u8]),
}

/// The fields of a message; ends at the first that is none.
struct Fields<'r>(&'r [u8]);

impl<'r> Iterator for Fields<'r> {
    type Item = (u64, Field<'r>);

    #[inline]
    fn next(&mut self) -> Option<(u64, Field<'r>)> {
        let tag = self.varint()?;
        let field = match tag & 7 {
            0 => Field::Number(self.varint()?),
            1 => Field::Number(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Field::Bytes(self.take(length)?)
            }
            5 => Field::Number(u32::from_le_bytes(self.take(4)?.try_into().ok()?).into()),
            _ => return None,
        };
        Some((tag >> 3, field))
    }
}

impl<'r> Fields<'r> {
    #[inline]
    fn take(&mut self, length: usize) -> Option<&'r [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    #[inline]
    fn varint(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first()?;
        if *first < 0x80 {
            self.0 = rest;
            return Some((*first).into());
        }
        let mut number = 0;
        for (at, byte) in self.0.iter().enumerate().take(10) {
            number |= u64::from(byte & 0x7f) << (7 * at);
            if *byte < 0x80 {
                self.0 = &self.0[at + 1..];
                return Some(number);
            }
        }
        None
    }
}
