//! What one shard knows of one window that is still open. Hot plane.

use super::cardinality::Cardinalities;
use super::parents::TraceSample;
use super::parts::bound_instances;
use super::statements::{Statements, Told};
use super::streams::{NumberPoint, StreamKey, StreamPoint};
use super::warmup::Origin;
use crate::model::{
    DependencyId, EnvironmentId, InstanceId, ItemId, ItemKind, Limit, Limits, LimitsHit, SeriesId, ServiceId,
    ValueId,
};
use crate::sketch::latency::COUNT_MOST;
use crate::sketch::{InstanceCounts, LatencySketch, ValueSketch};
use hashbrown::{HashMap, HashSet};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How often and when something was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Times seen.
    pub count: u64,
    /// Event time of the first, nanoseconds since the epoch.
    pub first_ns: u64,
    /// Event time of the last, nanoseconds since the epoch.
    pub last_ns: u64,
    /// By whom.
    pub instances: Members,
}

/// Which instances of a service, as bits: enough to count them up to a hundred or so, and the same whatever the order in
/// which they come (linear counting: Whang, Vander-Zanden & Taylor 1990).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members(u64);

impl Members {
    /// One instance.
    pub fn one(instance: InstanceId) -> Members {
        // Fibonacci hashing: ids are hashes, but for tests and those that nobody names.
        Members(1 << (instance.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58))
    }

    /// As they are kept.
    pub(super) fn bits(self) -> u64 {
        self.0
    }

    /// As they were kept.
    pub(super) fn of_bits(bits: u64) -> Members {
        Members(bits)
    }

    /// These and others.
    #[must_use]
    pub fn and(self, other: Members) -> Members {
        Members(self.0 | other.0)
    }

    /// About how many there are; `None` when there are too many to tell.
    pub fn about(self) -> Option<f64> {
        let free = f64::from(self.0.count_zeros());
        (free >= 4.0).then(|| -64.0 * (free / 64.0).ln())
    }

    /// Which share of `all` these are, which are some of them; `None` when that cannot be told.
    pub fn share_of(self, all: Members) -> Option<f64> {
        match (self.about()?, all.about()?) {
            (_, 0.0) => None,
            (some, all) => Some((some / all).min(1.0)),
        }
    }
}

impl Seen {
    /// Seen once, then, of an instance.
    pub fn once(time_ns: u64, instance: InstanceId) -> Seen {
        Seen { count: 1, first_ns: time_ns, last_ns: time_ns, instances: Members::one(instance) }
    }

    /// Whether it can be of a window between these times; bytes from outside may say anything.
    pub(super) fn is_sound(&self, (start_ns, end_ns): (u64, u64)) -> bool {
        self.count <= COUNT_MOST
            && start_ns <= self.first_ns
            && self.first_ns <= self.last_ns
            && self.last_ns < end_ns
    }

    /// Adds another sighting or several.
    pub fn merge(&mut self, other: Seen) {
        self.count += other.count;
        self.first_ns = self.first_ns.min(other.first_ns);
        self.last_ns = self.last_ns.max(other.last_ns);
        self.instances = self.instances.and(other.instances);
    }
}

/// The spans of one series in one environment and window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cell {
    /// Durations.
    pub latency: LatencySketch,
    /// Requests that failed.
    pub errors: u64,
    /// Requests that failed, by adjusted counts.
    pub error_weight: u64,
    /// Spans kept by a sampler that says so.
    pub sampled: u64,
    /// Spans without a parent.
    pub roots: u64,
    /// By instance.
    pub instances: Vec<(InstanceId, InstanceCounts)>,
    /// By attribute shape.
    pub shapes: Vec<Shape>,
    /// When its spans were.
    pub seen: Seen,
    /// What may be no evidence, by instance; nothing of it is in the fields above.
    pub young: Vec<Young>,
}

/// The requests of an instance that may be warming up, which the seal decides.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Young {
    /// Who answered.
    pub origin: Origin,
    /// A cell of its own, without shapes and without others.
    #[serde(with = "apart")]
    pub requests: Cell,
}

/// A cell that keeps nobody apart: so that no bytes nest one in the other without end.
mod apart {
    use super::{Cell, InstanceCounts, InstanceId, LatencySketch, Seen};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(cell: &Cell, to: S) -> Result<S::Ok, S::Error> {
        let Cell { latency, errors, error_weight, sampled, roots, instances, shapes: _, seen, young: _ } =
            cell;
        (latency, (errors, error_weight, sampled, roots), instances, seen).serialize(to)
    }

    type Plain = (LatencySketch, (u64, u64, u64, u64), Vec<(InstanceId, InstanceCounts)>, Seen);

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Cell, D::Error> {
        let (latency, (errors, error_weight, sampled, roots), instances, seen) = Plain::deserialize(from)?;
        let (shapes, young) = (Vec::new(), Vec::new());
        Ok(Cell { latency, errors, error_weight, sampled, roots, instances, shapes, seen, young })
    }
}

/// Spans of a series that have the same attribute keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Shape {
    /// Of the keys with their types, and of the scope.
    pub(super) hash: u64,
    /// The attribute keys as items.
    pub items: Arc<[ItemId]>,
    /// Spans of this shape.
    pub count: u64,
    /// Whose they are.
    pub instances: Members,
}

/// One finished request, as the cell takes it.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Nanoseconds.
    pub duration_ns: u64,
    /// Adjusted count, at least one.
    pub weight: u32,
    /// Whether it failed.
    pub failed: bool,
    /// Whether a sampler kept it with a probability under one.
    pub sampled: bool,
    /// Whether it has no parent.
    pub root: bool,
    /// Who answered it.
    pub instance: InstanceId,
    /// When it ended.
    pub end_ns: u64,
    /// Its instance's origin, where the instance may be warming up.
    pub young: Option<Origin>,
}

impl Cell {
    fn new(time_ns: u64) -> Cell {
        Cell {
            latency: LatencySketch::default(),
            errors: 0,
            error_weight: 0,
            sampled: 0,
            roots: 0,
            instances: Vec::new(),
            shapes: Vec::new(),
            seen: Seen { count: 0, first_ns: time_ns, last_ns: time_ns, instances: Members::default() },
            young: Vec::new(),
        }
    }

    /// Records one request.
    pub fn record(&mut self, request: &Request, limits: &Limits, hits: &mut LimitsHit) {
        match request.young.and_then(|origin| self.young(origin, request.end_ns, limits, hits)) {
            Some(apart) => apart.record_here(request, limits, hits),
            None => self.record_here(request, limits, hits),
        }
    }

    fn record_here(&mut self, request: &Request, limits: &Limits, hits: &mut LimitsHit) {
        // What the sketch took, which bounds a single weight: failures are never more than requests.
        let weight = self.latency.record(request.duration_ns, request.weight);
        if request.failed {
            self.errors += 1;
            self.error_weight += weight;
        }
        self.sampled += u64::from(request.sampled);
        self.roots += u64::from(request.root);
        self.seen.merge(Seen::once(request.end_ns, request.instance));
        self.instance(request.instance, limits, hits).record(request.duration_ns, request.failed);
    }

    /// Reads where the lists are that [`Cell::record`] writes to.
    #[inline]
    pub(super) fn read_lists(&self) -> u64 {
        let instance = self.instances.first().map_or(0, |(id, _)| id.0);
        let shape = self.shapes.first().map_or(0, |shape| shape.hash);
        self.latency.read_list() ^ instance ^ shape
    }

    /// Reads where the bins are that it counts in.
    #[inline]
    pub(super) fn read_bins(&self, id: InstanceId, duration_ns: u64) -> u64 {
        let instance = self.instances.iter().find(|(known, _)| *known == id);
        self.latency.read_bin(duration_ns) ^ instance.map_or(0, |(_, counts)| counts.read_bin(duration_ns))
    }

    fn instance(&mut self, id: InstanceId, limits: &Limits, hits: &mut LimitsHit) -> &mut InstanceCounts {
        let mut wanted = id;
        let mut at = self.instances.iter().position(|(known, _)| *known == wanted);
        if at.is_none() && self.instances.len() >= limits.instances_per_series {
            hits.count(Limit::InstancesPerSeries);
            wanted = InstanceId::OVERFLOW;
            at = self.instances.iter().position(|(known, _)| *known == wanted);
        }
        let at = at.unwrap_or_else(|| {
            push(&mut self.instances, (wanted, InstanceCounts::default()));
            self.instances.len() - 1
        });
        &mut self.instances[at].1
    }

    /// The cell that keeps a young instance's requests apart; `None` when there are too many.
    fn young(
        &mut self,
        origin: Origin,
        time_ns: u64,
        limits: &Limits,
        hits: &mut LimitsHit,
    ) -> Option<&mut Cell> {
        let at = match self.young.iter().position(|young| young.origin == origin) {
            Some(at) => at,
            None if self.young.len() >= limits.instances_per_series => {
                hits.count(Limit::InstancesPerSeries);
                return None;
            }
            None => {
                self.young.push(Young { origin, requests: Cell::new(time_ns) });
                self.young.len() - 1
            }
        };
        self.young.get_mut(at).map(|young| &mut young.requests)
    }

    /// Takes in what was kept apart of instances that are not warming up, and returns what the others did. All of it
    /// was seen.
    pub fn settle(&mut self, is_warming: impl Fn(Origin) -> bool) -> Option<Cell> {
        let mut warming: Option<Cell> = None;
        for Young { origin, requests } in std::mem::take(&mut self.young) {
            if !is_warming(origin) {
                self.merge(requests);
                continue;
            }
            self.seen.merge(requests.seen);
            match &mut warming {
                Some(all) => all.merge(requests),
                None => warming = Some(requests),
            }
        }
        warming
    }

    /// Takes in what was kept apart of instances that are warm.
    pub(super) fn take_in(&mut self, is_warm: impl Fn(Origin) -> bool) {
        for Young { origin, requests } in std::mem::take(&mut self.young) {
            match is_warm(origin) {
                true => self.merge(requests),
                false => self.young.push(Young { origin, requests }),
            }
        }
    }

    /// Brings what other agents had within the limits, whatever the order in which it came.
    pub(super) fn bound(&mut self, limits: &Limits, hits: &mut LimitsHit) {
        let most = limits.instances_per_series;
        if self.young.len() > most {
            let by = |young: &Young| (young.origin.instance, young.origin.service, young.origin.created_ns);
            self.young.sort_unstable_by_key(by);
            for Young { requests, .. } in self.young.split_off(most) {
                hits.count(Limit::InstancesPerSeries);
                self.merge(requests);
            }
        }
        bound_instances(&mut self.instances, most, hits, |all, other| all.merge(&other));
        if self.shapes.len() > limits.shapes_per_series {
            self.shapes.sort_unstable_by_key(|shape| shape.hash);
            let beyond = self.shapes.split_off(limits.shapes_per_series);
            beyond.iter().for_each(|_| hits.count(Limit::ShapesPerSeries));
        }
    }

    /// Spans, those that are kept apart among them.
    pub(super) fn all_n(&self) -> u64 {
        let young = self.young.iter().map(|young| young.requests.latency.n());
        young.fold(self.latency.n(), u64::saturating_add)
    }

    /// Whether all numbers can be those of a window between these times, but for what is kept apart; bytes from outside may say
    /// anything.
    pub(super) fn is_sound(&self, window: (u64, u64)) -> bool {
        let n = self.latency.n();
        let counted = self.instances.iter().try_fold(0u64, |sum, (_, counts)| sum.checked_add(counts.n));
        self.latency.is_sound()
            && self.error_weight <= self.latency.weight()
            && [self.errors, self.sampled, self.roots].iter().all(|part| *part <= n)
            && self.instances.iter().all(|(_, counts)| counts.is_sound())
            && counted == Some(n)
            && self.shapes.iter().all(|shape| shape.count <= COUNT_MOST)
            && self.seen.is_sound(window)
    }

    /// Counts one more span of a shape that this cell knows; `false` when it does not know it.
    pub fn count_shape(&mut self, hash: u64, instance: InstanceId) -> bool {
        let Some(shape) = self.shapes.iter_mut().find(|shape| shape.hash == hash) else { return false };
        shape.count += 1;
        shape.instances = shape.instances.and(Members::one(instance));
        true
    }

    /// Adds a shape with one span of it.
    pub fn add_shape(
        &mut self,
        hash: u64,
        items: Arc<[ItemId]>,
        instance: InstanceId,
        limits: &Limits,
        hits: &mut LimitsHit,
    ) {
        match self.shapes.len() < limits.shapes_per_series {
            true => {
                push(&mut self.shapes, Shape { hash, items, count: 1, instances: Members::one(instance) });
            }
            false => hits.count(Limit::ShapesPerSeries),
        }
    }

    /// Adds what another shard has of the same cell.
    pub fn merge(&mut self, other: Cell) {
        self.latency.merge(&other.latency);
        self.errors += other.errors;
        self.error_weight += other.error_weight;
        self.sampled += other.sampled;
        self.roots += other.roots;
        self.seen.merge(other.seen);
        for (id, counts) in other.instances {
            match self.instances.iter_mut().find(|(known, _)| *known == id) {
                Some((_, ours)) => ours.merge(&counts),
                None => self.instances.push((id, counts)),
            }
        }
        for shape in other.shapes {
            match self.shapes.iter_mut().find(|known| known.hash == shape.hash) {
                Some(ours) => {
                    ours.count += shape.count;
                    ours.instances = ours.instances.and(shape.instances);
                }
                None => self.shapes.push(shape),
            }
        }
        for young in other.young {
            match self.young.iter_mut().find(|known| known.origin == young.origin) {
                Some(ours) => ours.requests.merge(young.requests),
                None => self.young.push(young),
            }
        }
    }
}

/// Adds to a list that has room for one when it is new, and for twice as many each time it is full: most cells have one or
/// two of each, and the usual four would be most of a cell.
fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() == list.capacity() {
        list.reserve_exact(list.len().max(1));
    }
    list.push(item);
}

/// The points of one metric in one environment and window.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ValueCell {
    /// By instance.
    pub instances: Vec<(InstanceId, ValueSketch)>,
    /// Hashes of texts, keyed by the engine.
    pub texts: HashSet<u64>,
    /// Whether there were more texts than are kept.
    pub overflown: bool,
}

impl ValueCell {
    /// The sketch of an instance; beyond the limit that of all further ones.
    pub fn instance(&mut self, id: InstanceId, limits: &Limits, hits: &mut LimitsHit) -> &mut ValueSketch {
        let find = |cell: &ValueCell, id| cell.instances.iter().position(|(known, _)| *known == id);
        let (mut wanted, mut at) = (id, find(self, id));
        if at.is_none() && self.instances.len() >= limits.instances_per_series {
            hits.count(Limit::InstancesPerSeries);
            wanted = InstanceId::OVERFLOW;
            at = find(self, wanted);
        }
        let at = at.unwrap_or_else(|| {
            self.instances.push((wanted, ValueSketch::default()));
            self.instances.len() - 1
        });
        &mut self.instances[at].1
    }

    /// Keeps a text's hash.
    pub fn text(&mut self, hash: u64, limits: &Limits, hits: &mut LimitsHit) {
        if self.texts.len() < limits.texts_per_value || self.texts.contains(&hash) {
            self.texts.insert(hash);
        } else {
            self.overflown = true;
            hits.count(Limit::TextsPerValue);
        }
    }

    /// Brings what other agents had within the limits.
    pub(super) fn bound(&mut self, limits: &Limits, hits: &mut LimitsHit) {
        let most = limits.instances_per_series;
        bound_instances(&mut self.instances, most, hits, |all, other| all.merge(&other));
        if self.texts.len() > limits.texts_per_value {
            let mut texts: Vec<u64> = self.texts.drain().collect();
            texts.sort_unstable();
            self.overflown = true;
            texts.iter().skip(limits.texts_per_value).for_each(|_| hits.count(Limit::TextsPerValue));
            self.texts.extend(texts.into_iter().take(limits.texts_per_value));
        }
    }

    /// Adds what another shard has of the same cell.
    pub fn merge(&mut self, other: ValueCell) {
        for (id, sketch) in other.instances {
            match self.instances.iter_mut().find(|(known, _)| *known == id) {
                Some((_, ours)) => ours.merge(&sketch),
                None => self.instances.push((id, sketch)),
            }
        }
        self.texts.extend(other.texts);
        self.overflown |= other.overflown;
    }
}

/// Where a resource or scope sends, for which service, and what it is.
pub type SenderKey = (EnvironmentId, ServiceId, ItemKind, u64);

/// A resource or scope as telemetry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sender {
    /// What it is, in items.
    pub items: Arc<[ItemId]>,
    /// What it sent.
    pub seen: Seen,
}

/// How many resources and scopes a window keeps apart. More are noted item by item, which loses nothing and takes longer.
const SENDERS: usize = 16_384;

/// A window of one shard.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct OpenWindow {
    /// Spans by environment and series.
    pub cells: HashMap<(EnvironmentId, SeriesId), Cell>,
    /// Calls by environment and whom they go to; they are in the cells of their operations too.
    pub dependencies: HashMap<(EnvironmentId, DependencyId), Cell>,
    /// Telemetry items by environment; span attributes are in the cells' shapes, resources and scopes in `senders`.
    pub presence: HashMap<(EnvironmentId, ItemId), Seen>,
    /// Resources and scopes that sent something, by the hash of what they say of themselves.
    pub senders: HashMap<SenderKey, Sender>,
    /// Values of attributes.
    pub cardinalities: Cardinalities,
    /// Points of histograms, by stream.
    pub streams: HashMap<StreamKey, StreamPoint>,
    /// Points of cumulative sums and of summaries, by stream.
    pub numbers: HashMap<StreamKey, NumberPoint>,
    /// Points of other metrics.
    pub values: HashMap<(EnvironmentId, ValueId), ValueCell>,
    /// Least arrival time less event time by environment, nanoseconds.
    pub delays: HashMap<EnvironmentId, i64>,
    /// Spans of a sample of traces by environment.
    pub traces: HashMap<EnvironmentId, TraceSample>,
    /// What was said of each service.
    pub facts: HashMap<Subject, Statements>,
}

/// Of which service in which environment something is said, and by what.
pub type Subject = (EnvironmentId, ServiceId, Told);

impl OpenWindow {
    /// The cell of a series in an environment.
    pub fn cell(&mut self, environment: EnvironmentId, series: SeriesId, time_ns: u64) -> &mut Cell {
        self.cells.entry((environment, series)).or_insert_with(|| Cell::new(time_ns))
    }

    /// The calls to a dependency in an environment.
    pub fn calls(&mut self, environment: EnvironmentId, to: DependencyId, time_ns: u64) -> &mut Cell {
        self.dependencies.entry((environment, to)).or_insert_with(|| Cell::new(time_ns))
    }

    /// Notes that an item was seen.
    pub fn see(&mut self, environment: EnvironmentId, item: ItemId, seen: Seen) {
        self.presence.entry((environment, item)).and_modify(|known| known.merge(seen)).or_insert(seen);
    }

    /// Notes that a resource or scope sent something.
    pub fn see_sender(&mut self, key: SenderKey, items: Arc<[ItemId]>, seen: Seen) {
        if let Some(known) = self.senders.get_mut(&key) {
            known.seen.merge(seen);
        } else if self.senders.len() < SENDERS {
            self.senders.insert(key, Sender { items, seen });
        } else {
            items.iter().for_each(|item| self.see(key.0, *item, seen));
        }
    }

    /// Notes the items of the resources and scopes, when all have been merged.
    pub fn settle_senders(&mut self) {
        for ((environment, ..), sender) in std::mem::take(&mut self.senders) {
            sender.items.iter().for_each(|item| self.see(environment, *item, sender.seen));
        }
    }

    /// Notes how long after its event something arrived.
    pub fn delay(&mut self, environment: EnvironmentId, delay_ns: i64) {
        self.delays.entry(environment).and_modify(|least| *least = delay_ns.min(*least)).or_insert(delay_ns);
    }

    /// Adds what another shard has of a histogram's stream.
    pub(super) fn add_stream(&mut self, key: StreamKey, point: StreamPoint) {
        match self.streams.get_mut(&key) {
            Some(ours) => ours.merge(point),
            None => drop(self.streams.insert(key, point)),
        }
    }

    /// The same of another cumulative stream.
    pub(super) fn add_number(&mut self, key: StreamKey, point: NumberPoint) {
        match self.numbers.get_mut(&key) {
            Some(ours) => ours.merge(point),
            None => drop(self.numbers.insert(key, point)),
        }
    }

    /// Adds what another shard has of the same window.
    pub fn merge(&mut self, other: OpenWindow, limits: &Limits, hits: &mut LimitsHit) {
        other.cells.into_iter().for_each(|(key, cell)| merge_cell(&mut self.cells, key, cell));
        other.dependencies.into_iter().for_each(|(key, cell)| merge_cell(&mut self.dependencies, key, cell));
        for ((environment, item), seen) in other.presence {
            self.see(environment, item, seen);
        }
        for (key, sender) in other.senders {
            self.see_sender(key, sender.items, sender.seen);
        }
        self.cardinalities.merge(other.cardinalities, limits, hits);
        for (key, point) in other.streams {
            self.add_stream(key, point);
        }
        for (key, point) in other.numbers {
            self.add_number(key, point);
        }
        for (key, cell) in other.values {
            self.values.entry(key).or_default().merge(cell);
        }
        for (environment, delay) in other.delays {
            self.delay(environment, delay);
        }
        for (environment, sample) in other.traces {
            self.traces.entry(environment).or_default().merge(sample, limits.sampled_spans);
        }
        for (subject, statements) in other.facts {
            self.facts.entry(subject).or_default().merge(statements, limits.facts_per_service);
        }
    }
}

/// Adds what another shard has of a cell.
pub(super) fn merge_cell<K: Eq + std::hash::Hash>(ours: &mut HashMap<K, Cell>, key: K, cell: Cell) {
    match ours.get_mut(&key) {
        Some(known) => known.merge(cell),
        None => drop(ours.insert(key, cell)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(instance: u64) -> Request {
        Request {
            duration_ns: 5,
            weight: 1,
            failed: instance == 2,
            sampled: false,
            root: false,
            instance: InstanceId(instance),
            end_ns: 7,
            young: None,
        }
    }

    #[test]
    fn instances_are_counted_by_bits_and_a_share_that_is_all_is_one() {
        let of = |ids: std::ops::Range<u64>| {
            let id = |n: u64| InstanceId(xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes()));
            ids.fold(Members::default(), |all, n| all.and(Members::one(id(n))))
        };
        let (few, all) = (of(0..10), of(0..40));
        // The standard deviations are 1 and 4.
        assert!((few.about().unwrap() - 10.0).abs() < 3.0 && (all.about().unwrap() - 40.0).abs() < 12.0);
        assert_eq!(all.share_of(all), Some(1.0));
        assert!((few.share_of(all).unwrap() - 0.25).abs() < 0.15);
        assert_eq!((of(0..5_000).about(), few.share_of(of(0..5_000))), (None, None));
        assert_eq!(few.share_of(Members::default()), None);
    }

    #[test]
    fn instances_and_shapes_beyond_the_limit_are_counted_and_lose_no_request() {
        let limits = Limits { instances_per_series: 2, shapes_per_series: 1, ..Limits::default() };
        let (mut cell, mut hits) = (Cell::new(7), LimitsHit::default());
        for instance in [1, 2, 3, 4, 1] {
            cell.record(&request(instance), &limits, &mut hits);
        }
        for hash in [1, 2] {
            cell.add_shape(hash, Arc::from([]), InstanceId(1), &limits, &mut hits);
        }
        assert_eq!((cell.latency.n(), cell.errors, cell.shapes.len()), (5, 1, 1));
        let by_instance: Vec<_> = cell.instances.iter().map(|(id, counts)| (*id, counts.n)).collect();
        assert_eq!(by_instance, [(InstanceId(1), 2), (InstanceId(2), 1), (InstanceId::OVERFLOW, 2)]);
        let hits: Vec<_> = hits.iter().collect();
        assert_eq!(hits, [(Limit::InstancesPerSeries, 2), (Limit::ShapesPerSeries, 1)]);
    }
}
