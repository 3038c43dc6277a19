//! `ExportMetricsServiceRequest` → metrics and their data points.

use super::any_value::read_attribute;
use super::field::{Field, Reader, repeated_fixed64, repeated_varint};
use super::request::{Envelope, walk};
use super::semconv::Slot;
use super::traces::add_to_shape;
use super::{Malformed, Range32, Refusal, Refusals, ResourceRecord, ScopeRecord, Slice};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Which of OTLP's metric types a metric is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MetricKind {
    /// No data.
    #[default]
    Empty,
    /// Last values.
    Gauge,
    /// Sums.
    Sum,
    /// Explicit-bucket histograms.
    Histogram,
    /// Base-2 exponential histograms.
    ExponentialHistogram,
    /// Quantiles computed by the sender.
    Summary,
}

impl MetricKind {
    /// The field of its data points' messages that holds attributes.
    pub fn attributes_field(self) -> u32 {
        match self {
            MetricKind::Histogram => 9,
            MetricKind::ExponentialHistogram => 1,
            _ => 7,
        }
    }
}

/// What a data point's value counts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Temporality {
    /// The sender does not say.
    #[default]
    Unspecified,
    /// Since the last point.
    Delta,
    /// Since the start time.
    Cumulative,
}

/// One metric, as ranges into the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetricRecord {
    /// Index of its scope in the batch.
    pub scope: u32,
    /// Index of its resource in the batch.
    pub resource: u32,
    /// Never empty when there are points.
    pub name: Slice,
    /// UCUM.
    pub unit: Slice,
    /// Its type.
    pub kind: MetricKind,
    /// Of sums and histograms.
    pub temporality: Temporality,
    /// Of sums.
    pub monotonic: bool,
    /// Into [`MetricBatch::points`].
    pub points: Range32,
}

/// One data point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PointRecord {
    /// Nanoseconds since the epoch; 0 when unknown.
    pub start_ns: u64,
    /// Nanoseconds since the epoch.
    pub time_ns: u64,
    /// The sender says that there is no value.
    pub no_recorded_value: bool,
    /// Into [`MetricBatch::slots`].
    pub slots: Range32,
    /// Hash of attribute keys and value types, whatever their order.
    pub shape: u64,
    /// Hash of attribute keys and values, whatever their order: the stream inside its metric.
    pub attributes_hash: u64,
    /// The data point's message.
    pub message: Slice,
    /// Its value.
    pub value: PointValue,
}

/// A data point's value; lists are ranges into the batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PointValue {
    /// No value.
    None,
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// An explicit-bucket histogram.
    Histogram {
        /// Values counted.
        count: u64,
        /// Their sum.
        sum: Option<f64>,
        /// The least.
        min: Option<f64>,
        /// The greatest.
        max: Option<f64>,
        /// Upper bounds, into [`MetricBatch::floats`].
        bounds: Range32,
        /// Into [`MetricBatch::counts`], one more than bounds, or none.
        buckets: Range32,
    },
    /// A base-2 exponential histogram.
    Exponential {
        /// Values counted.
        count: u64,
        /// Their sum.
        sum: Option<f64>,
        /// The least.
        min: Option<f64>,
        /// The greatest.
        max: Option<f64>,
        /// Buckets in an octave, as a power of two.
        scale: i32,
        /// Values counted as zero.
        zero_count: u64,
        /// The greatest magnitude that counts as zero.
        zero_threshold: f64,
        /// Index of the first positive bucket.
        positive_offset: i32,
        /// Into [`MetricBatch::counts`].
        positive: Range32,
        /// Index of the first negative bucket.
        negative_offset: i32,
        /// Into [`MetricBatch::counts`].
        negative: Range32,
    },
    /// Quantiles computed by the sender.
    Summary {
        /// Values counted.
        count: u64,
        /// Their sum.
        sum: f64,
        /// Pairs of quantile and value, into [`MetricBatch::floats`].
        quantiles: Range32,
    },
}

/// The metrics of one request. Reused from request to request.
#[derive(Debug, Default)]
pub struct MetricBatch {
    /// Resources, in order.
    pub resources: Vec<ResourceRecord>,
    /// Scopes, in order.
    pub scopes: Vec<ScopeRecord>,
    /// Metrics, in order.
    pub metrics: Vec<MetricRecord>,
    /// Data points that break no rule, in order.
    pub points: Vec<PointRecord>,
    /// Attributes that the model reads: where each `AnyValue` message is.
    pub slots: Vec<(Slot, Slice)>,
    /// Bounds and quantiles.
    pub floats: Vec<f64>,
    /// Bucket counts.
    pub counts: Vec<u64>,
    /// Data points that were left out.
    pub refusals: Refusals,
}

impl MetricBatch {
    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.resources.clear();
        self.scopes.clear();
        self.metrics.clear();
        self.points.clear();
        self.slots.clear();
        self.floats.clear();
        self.counts.clear();
        self.refusals = Refusals::default();
    }
}

/// Decodes a request into an empty batch.
///
/// # Errors
/// [`Malformed`] when the bytes are not such a request; the batch then holds nothing of use.
pub fn decode_metrics(request: &[u8], batch: &mut MetricBatch) -> Result<(), Malformed> {
    let mut envelope = Envelope {
        resources: std::mem::take(&mut batch.resources),
        scopes: std::mem::take(&mut batch.scopes),
    };
    let walked = walk(request, &mut envelope, |bytes, at, resource, scope| {
        let metric = read_metric(bytes, at, batch)?;
        batch.metrics.push(MetricRecord { resource, scope, ..metric });
        Ok(())
    });
    batch.resources = envelope.resources;
    batch.scopes = envelope.scopes;
    walked
}

fn read_metric(bytes: &[u8], base: usize, batch: &mut MetricBatch) -> Result<MetricRecord, Malformed> {
    let mut metric = MetricRecord::default();
    let mut data = None;
    let mut reader = Reader::new(bytes, base);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 | 3 => {
                let (text, at) = field.text()?;
                let slice = Slice::new(at, text.as_bytes());
                if field.number == 1 { metric.name = slice } else { metric.unit = slice }
            }
            2 => drop(field.text_bytes()?),
            5 | 7 | 9 | 10 | 11 => {
                metric.kind = match field.number {
                    5 => MetricKind::Gauge,
                    7 => MetricKind::Sum,
                    9 => MetricKind::Histogram,
                    10 => MetricKind::ExponentialHistogram,
                    _ => MetricKind::Summary,
                };
                data = Some(field.bytes()?);
            }
            12 => {
                let (attribute, at) = field.bytes()?;
                read_attribute(attribute, at)?;
            }
            _ => {}
        }
    }
    let first = batch.points.len();
    if let Some((data, at)) = data {
        read_points(data, at, &mut metric, batch)?;
    }
    metric.points = Range32::new(first, batch.points.len());
    Ok(metric)
}

fn read_points(
    bytes: &[u8],
    base: usize,
    metric: &mut MetricRecord,
    batch: &mut MetricBatch,
) -> Result<(), Malformed> {
    let mut reader = Reader::new(bytes, base);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => {
                let (point, at) = field.bytes()?;
                let before = (batch.slots.len(), batch.floats.len(), batch.counts.len());
                match read_point(point, at, metric, batch)? {
                    Ok(point) => batch.points.push(point),
                    Err(refusal) => {
                        batch.slots.truncate(before.0);
                        batch.floats.truncate(before.1);
                        batch.counts.truncate(before.2);
                        batch.refusals.add(refusal, 1);
                    }
                }
            }
            2 if metric.kind != MetricKind::Gauge && metric.kind != MetricKind::Summary => {
                metric.temporality = match field.varint()? {
                    1 => Temporality::Delta,
                    2 => Temporality::Cumulative,
                    _ => Temporality::Unspecified,
                };
            }
            3 if metric.kind == MetricKind::Sum => metric.monotonic = field.varint()? != 0,
            _ => {}
        }
    }
    Ok(())
}

/// What a data point's message holds before it is judged whole.
#[derive(Default)]
struct Draft {
    start_ns: u64,
    time_ns: u64,
    flags: u64,
    shape: u64,
    attributes_hash: u64,
    number: Option<PointValue>,
    count: u64,
    sum: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    scale: i64,
    zero_count: u64,
    zero_threshold: f64,
    floats: Range32,
    counts: Range32,
    positive: (i64, Range32),
    negative: (i64, Range32),
    refusal: Option<Refusal>,
}

fn read_point(
    bytes: &[u8],
    base: usize,
    metric: &MetricRecord,
    batch: &mut MetricBatch,
) -> Result<Result<PointRecord, Refusal>, Malformed> {
    let slots_before = batch.slots.len();
    let mut draft = Draft::default();
    let floats_before = batch.floats.len();
    let counts_before = batch.counts.len();
    let mut reader = Reader::new(bytes, base);
    while let Some(field) = reader.next_field()? {
        if field.number == metric.kind.attributes_field() {
            read_point_attribute(&field, &mut draft, batch)?;
            continue;
        }
        match (field.number, metric.kind) {
            (2, _) => draft.start_ns = field.fixed64()?,
            (3, _) => draft.time_ns = field.fixed64()?,
            (_, MetricKind::Histogram) => read_histogram_field(&field, &mut draft, batch)?,
            (_, MetricKind::ExponentialHistogram) => read_exponential_field(&field, &mut draft, batch)?,
            (_, MetricKind::Summary) => read_summary_field(&field, &mut draft, batch)?,
            (_, _) => read_number_field(&field, &mut draft)?,
        }
    }
    draft.floats = Range32::new(floats_before, batch.floats.len());
    if metric.kind == MetricKind::Histogram {
        draft.counts = Range32::new(counts_before, batch.counts.len());
    }
    if let Some(refusal) = refuse(&draft, metric, batch) {
        return Ok(Err(refusal));
    }
    Ok(Ok(PointRecord {
        start_ns: draft.start_ns,
        time_ns: draft.time_ns,
        no_recorded_value: draft.flags & 1 != 0,
        slots: Range32::new(slots_before, batch.slots.len()),
        shape: draft.shape,
        attributes_hash: draft.attributes_hash,
        message: Slice::new(base, bytes),
        value: value_of(&draft, metric.kind),
    }))
}

fn read_point_attribute(
    field: &Field<'_>,
    draft: &mut Draft,
    batch: &mut MetricBatch,
) -> Result<(), Malformed> {
    let (bytes, at) = field.bytes()?;
    let attribute = read_attribute(bytes, at)?;
    if attribute.too_deep {
        draft.refusal = Some(Refusal::NestingTooDeep);
    }
    draft.shape = add_to_shape(draft.shape, attribute.key, attribute.type_tag);
    draft.attributes_hash = draft.attributes_hash.wrapping_add(xxh3_64_with_seed(bytes, 0));
    if let Some(slot) = Slot::of(attribute.key) {
        batch.slots.push((slot, attribute.value));
    }
    Ok(())
}

fn read_number_field(field: &Field<'_>, draft: &mut Draft) -> Result<(), Malformed> {
    match field.number {
        4 => draft.number = Some(PointValue::Double(field.double()?)),
        6 => draft.number = Some(PointValue::Int(field.fixed64()? as i64)),
        5 => check_exemplar(field)?,
        8 => draft.flags = field.varint()?,
        _ => {}
    }
    Ok(())
}

fn read_histogram_field(
    field: &Field<'_>,
    draft: &mut Draft,
    batch: &mut MetricBatch,
) -> Result<(), Malformed> {
    match field.number {
        4 => draft.count = field.fixed64()?,
        5 => draft.sum = Some(field.double()?),
        6 => repeated_fixed64(field, |count| batch.counts.push(count))?,
        7 => repeated_fixed64(field, |bits| batch.floats.push(f64::from_bits(bits)))?,
        8 => check_exemplar(field)?,
        10 => draft.flags = field.varint()?,
        11 => draft.min = Some(field.double()?),
        12 => draft.max = Some(field.double()?),
        _ => {}
    }
    Ok(())
}

fn read_exponential_field(
    field: &Field<'_>,
    draft: &mut Draft,
    batch: &mut MetricBatch,
) -> Result<(), Malformed> {
    match field.number {
        4 => draft.count = field.fixed64()?,
        5 => draft.sum = Some(field.double()?),
        6 => draft.scale = zigzag32(field.varint()?),
        7 => draft.zero_count = field.fixed64()?,
        8 => draft.positive = read_buckets(field, batch)?,
        9 => draft.negative = read_buckets(field, batch)?,
        10 => draft.flags = field.varint()?,
        11 => check_exemplar(field)?,
        12 => draft.min = Some(field.double()?),
        13 => draft.max = Some(field.double()?),
        14 => draft.zero_threshold = field.double()?,
        _ => {}
    }
    Ok(())
}

fn read_buckets(field: &Field<'_>, batch: &mut MetricBatch) -> Result<(i64, Range32), Malformed> {
    let (bytes, at) = field.bytes()?;
    let mut offset = 0;
    let before = batch.counts.len();
    let mut reader = Reader::new(bytes, at);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => offset = zigzag32(field.varint()?),
            2 => repeated_varint(&field, |count| batch.counts.push(count))?,
            _ => {}
        }
    }
    Ok((offset, Range32::new(before, batch.counts.len())))
}

fn read_summary_field(
    field: &Field<'_>,
    draft: &mut Draft,
    batch: &mut MetricBatch,
) -> Result<(), Malformed> {
    match field.number {
        4 => draft.count = field.fixed64()?,
        5 => draft.sum = Some(field.double()?),
        6 => {
            let (bytes, at) = field.bytes()?;
            let (mut quantile, mut value) = (0.0, 0.0);
            let mut reader = Reader::new(bytes, at);
            while let Some(field) = reader.next_field()? {
                match field.number {
                    1 => quantile = field.double()?,
                    2 => value = field.double()?,
                    _ => {}
                }
            }
            batch.floats.extend([quantile, value]);
        }
        8 => draft.flags = field.varint()?,
        _ => {}
    }
    Ok(())
}

fn check_exemplar(field: &Field<'_>) -> Result<(), Malformed> {
    let (bytes, at) = field.bytes()?;
    let mut reader = Reader::new(bytes, at);
    while let Some(field) = reader.next_field()? {
        match field.number {
            2 | 3 | 6 => drop(field.fixed64()?),
            4 | 5 => drop(field.bytes()?),
            7 => {
                let (attribute, at) = field.bytes()?;
                read_attribute(attribute, at)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// `sint32` as protobuf writes it.
fn zigzag32(value: u64) -> i64 {
    let value = value as u32;
    i64::from((value >> 1) as i32 ^ -((value & 1) as i32))
}

/// Scales that OTLP's own libraries produce lie in −10..=20; wider ones have no meaning for an `f64`.
const SCALES: std::ops::RangeInclusive<i64> = -11..=30;
/// Indices whose bucket an `f64` can hold at the finest scale.
const INDEX_MAX: i64 = 1 << 40;

fn refuse(draft: &Draft, metric: &MetricRecord, batch: &MetricBatch) -> Option<Refusal> {
    if metric.name.len == 0 {
        return Some(Refusal::EmptyMetricName);
    }
    if draft.time_ns == 0 {
        return Some(Refusal::TimeUnset);
    }
    if draft.refusal.is_some() {
        return draft.refusal;
    }
    // Without a recorded value there is nothing more to hold against the rules.
    if draft.flags & 1 != 0 {
        return None;
    }
    let finite = |value: Option<f64>| value.is_none_or(f64::is_finite);
    if !finite(draft.sum) || !finite(draft.min) || !finite(draft.max) {
        return Some(Refusal::NotFinite);
    }
    match metric.kind {
        MetricKind::Histogram => refuse_histogram(draft, batch),
        MetricKind::ExponentialHistogram => refuse_exponential(draft, batch),
        MetricKind::Summary => {
            batch.floats[draft.floats.range()].iter().any(|v| !v.is_finite()).then_some(Refusal::NotFinite)
        }
        _ => match draft.number {
            Some(PointValue::Double(value)) if !value.is_finite() => Some(Refusal::NotFinite),
            _ => None,
        },
    }
}

fn refuse_histogram(draft: &Draft, batch: &MetricBatch) -> Option<Refusal> {
    let bounds = &batch.floats[draft.floats.range()];
    let counts = &batch.counts[draft.counts.range()];
    if !(counts.is_empty() && bounds.is_empty()) && counts.len() != bounds.len() + 1 {
        return Some(Refusal::BucketCountMismatch);
    }
    if bounds.iter().any(|bound| !bound.is_finite()) || bounds.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Some(Refusal::BoundsNotAscending);
    }
    let total = counts.iter().try_fold(0u64, |sum, count| sum.checked_add(*count));
    (!counts.is_empty() && total != Some(draft.count)).then_some(Refusal::CountMismatch)
}

fn refuse_exponential(draft: &Draft, batch: &MetricBatch) -> Option<Refusal> {
    let buckets = |(offset, range): (i64, Range32)| offset.abs() + range.range().len() as i64;
    if !SCALES.contains(&draft.scale)
        || buckets(draft.positive).max(buckets(draft.negative)) > INDEX_MAX
        || !draft.zero_threshold.is_finite()
    {
        return Some(Refusal::ScaleOutOfRange);
    }
    let all = [draft.positive.1, draft.negative.1].into_iter().flat_map(|range| &batch.counts[range.range()]);
    let total = all.chain([&draft.zero_count]).try_fold(0u64, |sum, count| sum.checked_add(*count));
    (total != Some(draft.count)).then_some(Refusal::CountMismatch)
}

fn value_of(draft: &Draft, kind: MetricKind) -> PointValue {
    match kind {
        MetricKind::Histogram => PointValue::Histogram {
            count: draft.count,
            sum: draft.sum,
            min: draft.min,
            max: draft.max,
            bounds: draft.floats,
            buckets: draft.counts,
        },
        MetricKind::ExponentialHistogram => PointValue::Exponential {
            count: draft.count,
            sum: draft.sum,
            min: draft.min,
            max: draft.max,
            scale: draft.scale as i32,
            zero_count: draft.zero_count,
            zero_threshold: draft.zero_threshold,
            positive_offset: draft.positive.0 as i32,
            positive: draft.positive.1,
            negative_offset: draft.negative.0 as i32,
            negative: draft.negative.1,
        },
        MetricKind::Summary => {
            PointValue::Summary { count: draft.count, sum: draft.sum.unwrap_or(0.0), quantiles: draft.floats }
        }
        _ => draft.number.unwrap_or(PointValue::None),
    }
}
