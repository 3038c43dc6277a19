//! Data points of ordinary metrics, and sizes that spans state → values. Hot plane.
//!
//! Sizes of bodies come from spans and are told apart by operation. A counter is what it grew by, a gauge how high it stood,
//! a histogram its buckets, a summary the quantiles that its sender computed. All points of one metric of one service are
//! one value, unless the configuration splits it by attributes. In the steady state a point costs a look-up or two, and only
//! a histogram's allocates: its buckets.

use super::shard::{Home, Shard};
use super::spans::{Slots, text};
use super::streams::{NumberPoint, StreamKey, StreamPoint, Target};
use crate::model::values::size_name;
use crate::model::{Instrument, SeriesId, ValueId};
use crate::sketch::metric::TimeUnit;
use crate::sketch::value::{nano, nano_of_int};
use crate::wire::any_value::AnyValue;
use crate::wire::semconv::Slot;
use crate::wire::{
    MetricBatch, MetricKind, MetricRecord, PointRecord, PointValue, Temporality, point_attributes,
};
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// What a shard remembers of a metric.
#[derive(Clone, Debug)]
pub(super) enum KnownValue {
    /// All its points are one value; `None` beyond the limits.
    Whole(Option<ValueId>),
    /// These attributes tell its points apart.
    Split(Arc<[String]>),
}

impl Shard {
    /// Records what a point says beside the durations of requests.
    pub(super) fn record_value(
        &mut self,
        home: Home,
        window: usize,
        request: &[u8],
        batch: &MetricBatch,
        metric: &MetricRecord,
        point: &PointRecord,
    ) {
        let Some(instrument) = instrument(metric) else { return };
        let Some(value) = self.value(home, request, metric, point, instrument) else { return };
        let identity =
            (batch.resources[metric.resource as usize].hash, batch.scopes[metric.scope as usize].hash);
        let unit = xxh3_64(text(request, metric.unit).as_bytes());
        let key = || {
            let stream = point.attributes_hash.wrapping_add(unit);
            let name = (text(request, metric.name), TimeUnit::Seconds);
            StreamKey::new(identity.0, identity.1, name, stream, home.environment)
        };
        match (point.value, instrument) {
            (PointValue::Histogram { sum, .. } | PointValue::Exponential { sum, .. }, _) => {
                let Some((count, buckets)) =
                    super::metrics::buckets_of(batch, &point.value, TimeUnit::Seconds)
                else {
                    return;
                };
                let cumulative = metric.temporality == Temporality::Cumulative;
                let point = StreamPoint {
                    environment: home.environment,
                    target: Target::Value(value),
                    origin: home.origin(),
                    cumulative,
                    start_ns: point.start_ns,
                    time_ns: point.time_ns,
                    count,
                    sum_ns: nano(sum.unwrap_or(0.0)),
                    unit: TimeUnit::Seconds,
                    buckets,
                };
                self.stream(window, key(), point);
            }
            (PointValue::Summary { count, sum, quantiles }, _) => {
                self.number(window, key(), home, value, point, (count, nano(sum)));
                let Shard { windows, shared, tally, .. } = self;
                let cell = windows[window].1.values.entry((home.environment, value)).or_default();
                let sketch = cell.instance(home.instance, &shared.limits, &mut tally.hits);
                for pair in batch.floats[quantiles.range()].chunks_exact(2) {
                    sketch.record_quantile(pair[0], pair[1]);
                }
            }
            (PointValue::Int(_) | PointValue::Double(_), Instrument::Counter)
                if metric.temporality == Temporality::Cumulative =>
            {
                let (_, sum) = number_of(&point.value);
                self.number(window, key(), home, value, point, (0, sum));
            }
            (PointValue::Int(_) | PointValue::Double(_), _) => {
                let (level, sum_nano) = number_of(&point.value);
                let Shard { windows, shared, tally, .. } = self;
                let cell = windows[window].1.values.entry((home.environment, value)).or_default();
                let sketch = cell.instance(home.instance, &shared.limits, &mut tally.hits);
                match instrument {
                    Instrument::Level => sketch.record_level(point.time_ns, level, sum_nano),
                    _ => sketch.record_growth((point.start_ns, point.time_ns), 0, sum_nano),
                }
            }
            (PointValue::None, _) => {}
        }
    }

    /// Keeps the latest point of a cumulative stream.
    fn number(
        &mut self,
        window: usize,
        key: StreamKey,
        home: Home,
        value: ValueId,
        point: &PointRecord,
        (count, sum_nano): (u64, i128),
    ) {
        let point = NumberPoint {
            environment: home.environment,
            value,
            instance: home.instance,
            start_ns: point.start_ns,
            time_ns: point.time_ns,
            count,
            sum_nano,
        };
        let key = key.since(point.start_ns);
        let numbers = &mut self.windows[window].1.numbers;
        if let Some(known) = numbers.get_mut(&key) {
            known.merge(point);
        } else if numbers.len() < self.shared.limits.metric_streams {
            numbers.insert(key, point);
        } else {
            self.tally.hits.count(crate::model::Limit::MetricStreams);
        }
    }

    /// The number of the value that a point belongs to, from memory or from the shared table.
    fn value(
        &mut self,
        home: Home,
        request: &[u8],
        metric: &MetricRecord,
        point: &PointRecord,
        instrument: Instrument,
    ) -> Option<ValueId> {
        let (name, unit) = (text(request, metric.name), text(request, metric.unit));
        let key = (home.service, self.shared.hasher.hash_one((name, unit, instrument)));
        let known = match self.values.get(&key) {
            Some(known) => known,
            None => {
                let mut names = self.shared.names();
                let by = self.rules.values.split(names.service_key(home.service), name);
                let known = match by {
                    Some(by) => KnownValue::Split(by),
                    None => KnownValue::Whole(names.value(home.service, (name, ""), unit, instrument)),
                };
                drop(names);
                self.values.insert(key, known.clone());
                known
            }
        };
        let by = match known {
            KnownValue::Whole(id) => return id,
            KnownValue::Split(by) => by,
        };
        let attributes = || point_attributes(point.message.of(request), metric.kind);
        let mut hasher = self.shared.hasher.build_hasher();
        key.1.hash(&mut hasher);
        for wanted in by.iter() {
            hash_value(attributes().find(|(key, _)| key == wanted).map(|(_, value)| value), &mut hasher);
        }
        let part = (home.service, hasher.finish());
        if let Some(KnownValue::Whole(id)) = self.values.get(&part) {
            return id;
        }
        let words = |wanted: &String| {
            let value = attributes().find(|(key, _)| key == wanted).map(|(_, value)| value.to_text());
            let kept = self.rules.redaction.kept(&self.shared.keys.values, wanted, value.unwrap_or_default());
            format!("{wanted}={kept}")
        };
        let split = by.iter().map(words).collect::<Vec<_>>().join(",");
        let id = self.shared.names().value(home.service, (name, &split), unit, instrument);
        self.values.insert(part, KnownValue::Whole(id));
        id
    }

    /// Records the sizes of bodies that a span states. Spans without them cost a look at their slots.
    pub(super) fn record_sizes(
        &mut self,
        home: Home,
        window: usize,
        series: SeriesId,
        slots: &Slots<'_>,
        time_ns: u64,
    ) {
        // Some senders state a size by its previous name too, and a hostile one a million times.
        let mut told = 0u64;
        for (slot, _) in slots.slots {
            let Some(attribute) = size_name(*slot) else { continue };
            let bit = 1 << *slot as u32;
            if told & bit != 0 {
                continue;
            }
            told |= bit;
            let Some(size) = slots.int(*slot).filter(|size| *size >= 0) else { continue };
            let Some(value) = self.size(home, (series, *slot), attribute) else { continue };
            let Shard { windows, shared, tally, .. } = self;
            let cell = windows[window].1.values.entry((home.environment, value)).or_default();
            let sketch = cell.instance(home.instance, &shared.limits, &mut tally.hits);
            sketch.record_level(time_ns, size as f64, nano_of_int(size));
        }
    }

    /// The number of a size, from memory or from the shared table.
    fn size(&mut self, home: Home, key: (SeriesId, Slot), attribute: &str) -> Option<ValueId> {
        if let Some(known) = self.sizes.get(&key) {
            return known;
        }
        let id = self.shared.names().size(home.service, key.0, attribute);
        self.sizes.insert(key, id);
        id
    }

    /// Keeps the hashes of the texts that are compared for equality. `metric` is that of the point that carries the
    /// attributes; `None` elsewhere.
    pub(super) fn see_texts<'a>(
        &mut self,
        home: Home,
        window: usize,
        metric: Option<&str>,
        attributes: impl Iterator<Item = (&'a str, AnyValue<'a>)>,
    ) {
        for (key, value) in attributes {
            if !self.rules.values.texts.iter().any(|rule| rule.attribute == key) {
                continue;
            }
            let Some(id) = self.text_value(home, metric, key) else { continue };
            let mut hasher = self.shared.hasher.build_hasher();
            hash_value(Some(value), &mut hasher);
            let Shard { windows, shared, tally, .. } = self;
            let cell = windows[window].1.values.entry((home.environment, id)).or_default();
            cell.text(hasher.finish(), &shared.limits, &mut tally.hits);
        }
    }

    /// The number of an attribute whose texts are kept, from memory or from the shared table; `None` where they are not.
    fn text_value(&mut self, home: Home, metric: Option<&str>, attribute: &str) -> Option<ValueId> {
        let key = (home.service, self.shared.hasher.hash_one((metric, attribute, Instrument::Text)));
        if let Some(KnownValue::Whole(known)) = self.values.get(&key) {
            return known;
        }
        let mut names = self.shared.names();
        let id = match self.rules.values.keeps(names.service_key(home.service), metric, attribute) {
            true => names.value(home.service, (attribute, ""), "", Instrument::Text),
            false => None,
        };
        drop(names);
        self.values.insert(key, KnownValue::Whole(id));
        id
    }
}

/// A value as part of an identity. Numbers of different types are different values, as they are on the wire.
pub(super) fn hash_value(value: Option<AnyValue<'_>>, hasher: &mut impl Hasher) {
    let Some(value) = value else { return u8::MAX.hash(hasher) };
    value.type_tag().hash(hasher);
    match value {
        AnyValue::Empty => {}
        AnyValue::Str(text) => text.hash(hasher),
        AnyValue::Bool(truth) => truth.hash(hasher),
        AnyValue::Int(number) => number.hash(hasher),
        AnyValue::Double(number) => number.to_bits().hash(hasher),
        AnyValue::Bytes(bytes) | AnyValue::Array(bytes) | AnyValue::KvList(bytes) => bytes.hash(hasher),
    }
}

/// What the numbers of a metric mean; `None` when it has none.
fn instrument(metric: &MetricRecord) -> Option<Instrument> {
    Some(match metric.kind {
        MetricKind::Gauge => Instrument::Level,
        MetricKind::Sum if metric.monotonic => Instrument::Counter,
        MetricKind::Sum if metric.temporality == Temporality::Delta => Instrument::Change,
        MetricKind::Sum => Instrument::Level,
        MetricKind::Histogram | MetricKind::ExponentialHistogram => Instrument::Histogram,
        MetricKind::Summary => Instrument::Summary,
        MetricKind::Empty => return None,
    })
}

/// A point's number, and the same in billionths.
fn number_of(value: &PointValue) -> (f64, i128) {
    match value {
        PointValue::Int(number) => (*number as f64, nano_of_int(*number)),
        PointValue::Double(number) => (*number, nano(*number)),
        _ => (0.0, 0),
    }
}
