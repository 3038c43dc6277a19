//! Parts of windows as bytes: what one agent has of a window, for another that merges it with what others have. Cold plane.
//!
//! ```text
//! "isotelpt" | format u32 | 0 u32 | key u64 | HMAC-SHA256 of the content, 32 bytes      56 bytes, then the content (postcard)
//! ```
//!
//! The content is the open window before all that needs the whole fleet, with the names behind its numbers, and what was counted
//! meanwhile. A window of many bytes is several parts, divided by service and then by what of a service it is. `key` is what the
//! configured key makes of a known text: agents hash texts with that key, so that parts of agents with another one cannot be merged.
//! The signature says that somebody with the key wrote it. What it says is checked all the same.

use super::open::{Cell, OpenWindow, ValueCell};
use super::shard::{Shard, Tally};
use super::sources::{Arrival, Came};
use super::streams::Target;
use super::translate::Translation;
use crate::model::{HashKey, InstanceId, KnownNames, Limit, Limits, LimitsHit, Names, ServiceKey};
use crate::sketch::latency::COUNT_MOST;
use crate::wire::{PART_MAGIC, Refusal};
use serde::{Deserialize, Serialize};
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The form of windows that leave the process; another one is not read.
pub const FORMAT: u32 = 3;
/// A part is divided while it has more bytes.
pub const BYTES_MOST: usize = 768 << 10;
/// A part that cannot be divided may have so many; the messages that hops take are of 4 MiB at the most.
const BYTES_TAKEN: usize = 3 << 20;
const HEADER: usize = 56;

/// What one agent has of a window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Part {
    /// Who made it: a number of its process, or of its storage.
    pub source: u128,
    /// How many it made before.
    pub sequence: u64,
    /// How far its maker has come with it, by event time; 0 where a further part of the same moment tells it.
    pub watermark_ns: u64,
    /// Width of its maker's windows.
    pub window_ns: u64,
    /// Which window.
    pub index: u64,
    /// What its maker counted since the part before.
    pub tally: Tally,
    /// The names behind the window's numbers.
    pub names: KnownNames,
    /// What is in the window.
    pub window: OpenWindow,
}

impl Part {
    /// As bytes that the holders of a key read.
    ///
    /// # Errors
    /// Only when a part of it has no bytes, which would be a mistake in its type.
    pub fn to_bytes(&self, key: &HashKey) -> Result<Vec<u8>, postcard::Error> {
        Ok(sign(&postcard::to_stdvec(self)?, key))
    }

    /// From such bytes.
    ///
    /// # Errors
    /// Why not.
    pub fn from_bytes(bytes: &[u8], key: &HashKey) -> Result<Part, Refusal> {
        let header = bytes.get(..HEADER).ok_or(Refusal::PartDamaged)?;
        let content = &bytes[HEADER..];
        let format = header[8..12].try_into().map_or(0, u32::from_le_bytes);
        let of_key = header[16..24].try_into().map_or(0, u64::from_le_bytes);
        match () {
            () if format != FORMAT => return Err(Refusal::PartFormat),
            () if of_key != probe(key) => return Err(Refusal::PartKey),
            () if content.len() > BYTES_TAKEN || !key.signed(content, &header[24..]) => {
                return Err(Refusal::PartDamaged);
            }
            () => {}
        }
        let part: Part = postcard::from_bytes(content).map_err(|_| Refusal::PartDamaged)?;
        if part.is_sound() { Ok(part) } else { Err(Refusal::PartDamaged) }
    }

    /// The same with what was counted, in numbers of `names`, and with all environments that are known there.
    #[must_use]
    pub fn with_tally(mut self, tally: Tally, names: &KnownNames) -> Part {
        let own = std::mem::take(&mut self.names);
        let limits = names.limits().without_counts();
        let table = Mutex::new(Names::again(own, limits));
        let mut translation = Translation::new(names, &table);
        translation.environments();
        self.tally = translation.tally(tally);
        self.names =
            KnownNames::clone(&table.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner));
        self
    }

    /// Whether all numbers can be what they say. Those of names are looked up one by one when they are said again.
    fn is_sound(&self) -> bool {
        let begins = self.index.checked_mul(self.window_ns);
        let ends = begins.and_then(|start| start.checked_add(self.window_ns));
        let (Some(start), Some(end)) = (begins, ends) else { return false };
        self.window_ns > 0 && self.tally.is_sound() && self.window.is_sound((start, end))
    }
}

/// The content of a part, or what claims to be one, signed with a key.
pub fn sign(content: &[u8], key: &HashKey) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + content.len());
    bytes.extend(PART_MAGIC);
    bytes.extend(FORMAT.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(probe(key).to_le_bytes());
    bytes.extend(key.sign(content));
    bytes.extend(content);
    bytes
}

/// What a key makes of a known text.
fn probe(key: &HashKey) -> u64 {
    key.hash("isotel: of parts of windows")
}

/// A window as parts that are not much larger than [`BYTES_MOST`], each with the names behind its numbers alone.
pub fn divide(window: OpenWindow, names: &KnownNames) -> Vec<(OpenWindow, KnownNames)> {
    let mut parts = Vec::new();
    divide_from(0, window, names, &mut parts);
    parts
}

fn divide_from(bit: u32, window: OpenWindow, names: &KnownNames, parts: &mut Vec<(OpenWindow, KnownNames)>) {
    let own = Mutex::new(Names::new(names.limits().without_counts()));
    let window = Translation::new(names, &own).open(window, &mut LimitsHit::default());
    let own = own.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let names = KnownNames::clone(&own);
    let bytes = postcard::experimental::serialized_size(&(&window, &names)).unwrap_or(0);
    if bytes <= BYTES_MOST || bit >= u64::BITS {
        return parts.push((window, names));
    }
    let place = |service: &ServiceKey, number: u64| {
        let service = xxh3_64_with_seed(service.name.as_bytes(), xxh3_64(service.namespace.as_bytes()));
        // By service first, and then by what of it it is.
        (service << 32) | (xxh3_64(&number.to_le_bytes()) & 0xffff_ffff)
    };
    let is_right = |service: &ServiceKey, number: u64| place(service, number).rotate_left(bit) >> 63 == 1;
    for half in window.split(&names, is_right) {
        divide_from(bit + 1, half, &names, parts);
    }
}

impl Limits {
    /// The same with room for any number of names: for what has found its place already.
    fn without_counts(&self) -> Limits {
        let most = usize::MAX;
        Limits {
            environments: most,
            services: most,
            operations_per_service: most,
            series: most,
            items: most,
            error_types_per_service: most,
            dependencies_per_service: most,
            counted_attributes: most,
            resource_attributes: most,
            name_bytes: most,
            sampled_spans: most,
            values: most,
            values_per_service: most,
            ..self.clone()
        }
    }
}

impl OpenWindow {
    /// In two: what is to the right, and what is not. What belongs to no service is in the second.
    fn split(self, names: &KnownNames, is_right: impl Fn(&ServiceKey, u64) -> bool) -> [OpenWindow; 2] {
        let limits = names.limits().without_counts();
        let [mut right, mut left] = [OpenWindow::default(), OpenWindow::default()];
        let OpenWindow {
            cells,
            dependencies,
            presence,
            senders,
            cardinalities,
            streams,
            numbers,
            values,
            delays,
            traces,
            facts,
        } = self;
        macro_rules! side {
            ($service:expr, $number:expr) => {
                if is_right($service, u64::from($number)) { &mut right } else { &mut left }
            };
        }
        for (key, cell) in cells {
            side!(&names.series_key(key.1).service, key.1.0).cells.insert(key, cell);
        }
        for (key, cell) in dependencies {
            side!(&names.dependency_key(key.1).service, key.1.0).dependencies.insert(key, cell);
        }
        for (key, seen) in presence {
            side!(&names.item_key(key.1).service, key.1.0).presence.insert(key, seen);
        }
        for (key, sender) in senders {
            side!(names.service_key(key.1), key.3).senders.insert(key, sender);
        }
        for (key, looked) in cardinalities.into_attributes() {
            let side = side!(&names.item_key(key.1).service, key.1.0);
            side.cardinalities.add(key, looked, &limits, &mut LimitsHit::default());
        }
        for (key, point) in streams {
            let (service, number) = match point.target {
                Target::Requests { series, .. } => (&names.series_key(series).service, series.0),
                Target::Value(value) => (&names.value_key(value).service, value.0),
            };
            side!(service, number).streams.insert(key, point);
        }
        for (key, point) in numbers {
            side!(&names.value_key(point.value).service, point.value.0).numbers.insert(key, point);
        }
        for (key, cell) in values {
            side!(&names.value_key(key.1).service, key.1.0).values.insert(key, cell);
        }
        left.delays = delays;
        for (environment, sample) in traces {
            let number = u64::from(environment.0);
            let [theirs, others] = sample.split(|service| is_right(names.service_key(service), number));
            right.traces.insert(environment, theirs);
            left.traces.insert(environment, others);
        }
        for (key, statements) in facts {
            side!(names.service_key(key.1), key.2 as u32).facts.insert(key, statements);
        }
        [right, left]
    }

    /// Whether there is nothing in it.
    fn is_empty(&self) -> bool {
        let OpenWindow {
            cells,
            dependencies,
            presence,
            senders,
            cardinalities: _,
            streams,
            numbers,
            values,
            delays,
            traces,
            facts,
        } = self;
        cells.is_empty()
            && dependencies.is_empty()
            && presence.is_empty()
            && senders.is_empty()
            && streams.is_empty()
            && numbers.is_empty()
            && values.is_empty()
            && delays.is_empty()
            && traces.is_empty()
            && facts.is_empty()
    }

    /// Whether all numbers can be those of a window between these times; bytes from outside may say anything.
    fn is_sound(&self, window: (u64, u64)) -> bool {
        let cell = |cell: &Cell| {
            cell.is_sound(window) && cell.young.iter().all(|young| young.requests.is_sound(window))
        };
        let value = |cell: &ValueCell| cell.instances.iter().all(|(_, sketch)| sketch.is_sound());
        self.cells.values().all(cell)
            && self.dependencies.values().all(cell)
            && self.presence.values().all(|seen| seen.is_sound(window))
            && self.senders.values().all(|sender| sender.seen.is_sound(window))
            && self.cardinalities.are_sound()
            && self.streams.values().all(super::streams::StreamPoint::is_sound)
            && self.values.values().all(value)
            // Two of them can be subtracted.
            && self.delays.values().all(|delay| delay.unsigned_abs() <= COUNT_MOST << 16)
            && self.facts.values().all(super::statements::Statements::are_sound)
    }
}

impl Shard {
    /// Takes in a part of a window, as what one more shard has of it.
    ///
    /// # Errors
    /// Why it is not taken.
    pub(super) fn take_part(&mut self, now_ns: u64, bytes: &[u8]) -> Result<(), Refusal> {
        let shared = self.shared.clone();
        let part = Part::from_bytes(bytes, &shared.keys.values)?;
        if part.window_ns != shared.grid.width_ns() {
            return Err(Refusal::PartWindow);
        }
        let (start_ns, end_ns) = (shared.grid.start_ns(part.index), shared.grid.end_ns(part.index));
        let is_empty = part.window.is_empty();
        if let Some(refusal) = self.refuse_time(now_ns, start_ns).filter(|_| !is_empty) {
            return Err(refusal);
        }
        let Part { source, sequence, watermark_ns, index, tally, names, window, .. } = part;
        let arrival = Arrival { source, sequence, watermark_ns, end_ns };
        let sealed_through_ns = shared.sealed_through_ns.load(Ordering::Acquire);
        let mut sources = shared.sources();
        match sources.take(arrival, now_ns, shared.limits.sources, sealed_through_ns) {
            Came::First => {}
            Came::Again => {
                sources.counts.repeated += 1;
                return Ok(());
            }
            Came::Strange => {
                self.tally.hits.count(Limit::Sources);
                return Err(Refusal::PartSource);
            }
        }
        drop(sources);
        let mut translation = shared.translation(&names);
        translation.environments();
        let mut window = translation.open(window, &mut self.tally.hits);
        self.tally.merge(&translation.tally(tally));
        self.tally.unnamed = self.tally.unnamed.saturating_add(translation.left_out());
        if is_empty {
            shared.sources().counts.merged += 1;
            return Ok(());
        }
        let Some(at) = self.window_of(index) else {
            for ((environment, _), cell) in &window.cells {
                *self.tally.late.entry(*environment).or_default() += cell.all_n();
            }
            shared.sources().counts.late += 1;
            return Ok(());
        };
        let instances = shared.instances();
        let is_warm = |environment, origin| {
            instances.warm_from_ns(environment, origin).is_some_and(|from_ns| start_ns >= from_ns)
        };
        let cells = window.cells.iter_mut().map(|((environment, _), cell)| (*environment, cell));
        let calls = window.dependencies.iter_mut().map(|((environment, _), cell)| (*environment, cell));
        cells
            .chain(calls)
            .for_each(|(environment, cell)| cell.take_in(|origin| is_warm(environment, origin)));
        drop(instances);
        let Shard { windows, tally, .. } = self;
        let known = &mut windows[at].1;
        let cells: Vec<_> = window.cells.keys().copied().collect();
        let calls: Vec<_> = window.dependencies.keys().copied().collect();
        let values: Vec<_> = window.values.keys().copied().collect();
        for (key, point) in std::mem::take(&mut window.streams) {
            match known.streams.len() < shared.limits.metric_streams || known.streams.contains_key(&key) {
                true => known.add_stream(key, point),
                false => tally.hits.count(Limit::MetricStreams),
            }
        }
        for (key, point) in std::mem::take(&mut window.numbers) {
            match known.numbers.len() < shared.limits.metric_streams || known.numbers.contains_key(&key) {
                true => known.add_number(key, point),
                false => tally.hits.count(Limit::MetricStreams),
            }
        }
        known.merge(window, &shared.limits, &mut tally.hits);
        let bound = |cell: Option<&mut Cell>, hits: &mut LimitsHit| {
            if let Some(cell) = cell {
                cell.bound(&shared.limits, hits);
            }
        };
        cells.iter().for_each(|key| bound(known.cells.get_mut(key), &mut tally.hits));
        calls.iter().for_each(|key| bound(known.dependencies.get_mut(key), &mut tally.hits));
        for key in values {
            if let Some(cell) = known.values.get_mut(&key) {
                cell.bound(&shared.limits, &mut tally.hits);
            }
        }
        shared.sources().counts.merged += 1;
        Ok(())
    }
}

/// Of more instances than are told apart the least by number stay, whatever the order in which they come, and the others become
/// one.
pub(super) fn bound_instances<T>(
    list: &mut Vec<(InstanceId, T)>,
    most: usize,
    hits: &mut LimitsHit,
    merge: impl Fn(&mut T, T),
) {
    let others = |list: &[(InstanceId, T)]| list.iter().filter(|(id, _)| *id != InstanceId::OVERFLOW).count();
    if others(list) <= most {
        return;
    }
    list.sort_unstable_by_key(|(id, _)| *id);
    let beyond = list.split_off(most);
    let mut beyond = beyond.into_iter().map(|(_, what)| what);
    if let Some(mut all) = beyond.next() {
        beyond.for_each(|what| {
            hits.count(Limit::InstancesPerSeries);
            merge(&mut all, what);
        });
        list.push((InstanceId::OVERFLOW, all));
    }
}
