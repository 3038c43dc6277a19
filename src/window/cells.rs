//! The cells of a sealed window, most of them packed. Cold plane.
//!
//! Most series do little in a window, and a cell of five requests takes 500 bytes of lists and numbers that are nearly all
//! small. Packed it takes under a hundred: its numbers as varints (seven bits a byte, least first), its durations in rising
//! order as differences, its attribute keys by their place in the window's table. Cells with histograms stay as they are.
//! A packed cell is unpacked by who looks at it, one at a time; what most ask for, its counts, stands in front.

use super::open::{Members, Seen};
use super::sealed::SealedCell;
use crate::model::{EnvironmentId, InstanceId, ItemId, SeriesId};
use crate::sketch::{InstanceCounts, LatencySketch};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::iter::Peekable;
use std::sync::Arc;

/// Of which series in which environment a cell is.
pub type Key = (EnvironmentId, SeriesId);

/// Attribute keys that spans have together, to their place in a window's table.
pub type ShapePlaces = HashMap<Arc<[ItemId]>, u64>;

/// Cells by environment and series.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Cells {
    /// Those that are not packed. One that is packed too has been unpacked to be changed.
    whole: BTreeMap<Key, SealedCell>,
    /// Packed ones, rising, with where each ends in `bytes`.
    packed: Vec<(Key, u32)>,
    bytes: Vec<u8>,
    shapes: Vec<Arc<[ItemId]>>,
    /// Packed times are counted from here.
    start_ns: u64,
}

/// A cell where it is kept.
#[derive(Clone, Copy, Debug)]
pub enum StoredCell<'a> {
    /// As it is.
    Whole(&'a SealedCell),
    /// To be unpacked.
    Packed(Packed<'a>),
}

/// The bytes of a cell, and what they refer to.
#[derive(Clone, Copy, Debug)]
pub struct Packed<'a> {
    bytes: &'a [u8],
    of: &'a Cells,
}

/// How much is in a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Spans.
    pub n: u64,
    /// Requests that they stand for.
    pub weight: u64,
    /// Spans kept by a sampler that says so.
    pub sampled: u64,
    /// Spans without a parent.
    pub roots: u64,
    /// Requests in duration metrics.
    pub metric_n: u64,
}

impl Counts {
    fn of(cell: &SealedCell) -> Counts {
        Counts {
            n: cell.latency.n(),
            weight: cell.latency.weight(),
            sampled: cell.sampled,
            roots: cell.roots,
            metric_n: cell.metrics.values().fold(0, |n, sketch| n.saturating_add(sketch.n)),
        }
    }

    /// These and others.
    #[must_use]
    pub fn and(self, other: Counts) -> Counts {
        Counts {
            n: self.n + other.n,
            weight: self.weight + other.weight,
            sampled: self.sampled + other.sampled,
            roots: self.roots + other.roots,
            metric_n: self.metric_n.saturating_add(other.metric_n),
        }
    }

    /// Requests: spans by adjusted counts, else those in duration metrics.
    pub fn requests(self) -> u64 {
        if self.n > 0 { self.weight } else { self.metric_n }
    }
}

impl Cells {
    /// None yet, of a window that begins then.
    pub fn new(start_ns: u64) -> Cells {
        Cells { start_ns, ..Cells::default() }
    }

    /// Keeps a cell as it is.
    pub fn insert(&mut self, key: Key, cell: SealedCell) {
        self.whole.insert(key, cell);
    }

    /// Keeps a cell, packed where it is small. Keys rise from call to call.
    pub fn push(&mut self, key: Key, cell: SealedCell, places: &mut ShapePlaces) {
        let whole = cell.parts().any(|part| !part.latency.is_exact() || !part.metrics.is_empty());
        if whole || self.packed.last().is_some_and(|(last, _)| *last >= key) {
            self.insert(key, cell);
            return;
        }
        let began = self.bytes.len();
        self.pack(&cell, places);
        match u32::try_from(self.bytes.len()) {
            Ok(end) => self.packed.push((key, end)),
            Err(_) => {
                self.bytes.truncate(began);
                self.insert(key, cell);
            }
        }
    }

    /// Nothing is pushed any more.
    pub fn shrink(&mut self) {
        self.packed.shrink_to_fit();
        self.bytes.shrink_to_fit();
        self.shapes.shrink_to_fit();
    }

    /// Has each list of attribute keys kept where an equal one is kept.
    pub fn share(&mut self, mut kept: impl FnMut(&Arc<[ItemId]>) -> Arc<[ItemId]>) {
        self.shapes.iter_mut().for_each(|items| *items = kept(items));
        let whole = self.whole.values_mut().flat_map(|cell| &mut cell.shapes);
        whole.for_each(|(items, _)| *items = kept(items));
    }

    /// Whether every cell is where its place says; bytes from outside may say anything.
    pub fn are_sound(&self) -> bool {
        let mut ends = 0;
        let rising = self.packed.windows(2).all(|pair| pair[0].0 < pair[1].0);
        rising
            && self.packed.iter().all(|(_, end)| {
                let fits = *end >= ends && *end as usize <= self.bytes.len();
                ends = *end;
                fits
            })
    }

    /// The cell of a key, to be changed; an empty one if there is none.
    pub fn entry(&mut self, key: Key) -> &mut SealedCell {
        if !self.whole.contains_key(&key) {
            let cell = self.find(key).map(|packed| packed.cell()).unwrap_or_default();
            self.whole.insert(key, cell);
        }
        self.whole.entry(key).or_default()
    }

    /// The cell of a key.
    pub fn get(&self, key: Key) -> Option<StoredCell<'_>> {
        match self.whole.get(&key) {
            Some(cell) => Some(StoredCell::Whole(cell)),
            None => self.find(key).map(StoredCell::Packed),
        }
    }

    fn find(&self, key: Key) -> Option<Packed<'_>> {
        self.packed.binary_search_by_key(&key, |(known, _)| *known).ok().map(|at| self.packed_at(at))
    }

    fn packed_at(&self, at: usize) -> Packed<'_> {
        let begin = at.checked_sub(1).map_or(0, |before| self.packed[before].1 as usize);
        Packed { bytes: &self.bytes[begin..self.packed[at].1 as usize], of: self }
    }

    /// All cells, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Key, StoredCell<'_>)> {
        self.between((EnvironmentId(0), SeriesId(0)), (EnvironmentId(u16::MAX), SeriesId(u32::MAX)))
    }

    /// The cells of an environment, in order of their series.
    pub fn of(&self, environment: EnvironmentId) -> impl Iterator<Item = (SeriesId, StoredCell<'_>)> {
        let cells = self.between((environment, SeriesId(0)), (environment, SeriesId(u32::MAX)));
        cells.map(|((_, series), cell)| (series, cell))
    }

    /// Whether an environment has cells.
    pub fn has(&self, environment: EnvironmentId) -> bool {
        self.of(environment).next().is_some()
    }

    fn between(&self, first: Key, last: Key) -> impl Iterator<Item = (Key, StoredCell<'_>)> {
        let packed = self.packed.partition_point(|(key, _)| *key < first)
            ..self.packed.partition_point(|(key, _)| *key <= last);
        let packed = packed.map(|at| (self.packed[at].0, StoredCell::Packed(self.packed_at(at))));
        let whole = self.whole.range(first..=last).map(|(key, cell)| (*key, StoredCell::Whole(cell)));
        Merged { whole: whole.peekable(), packed: packed.peekable() }
    }

    fn pack(&mut self, cell: &SealedCell, places: &mut ShapePlaces) {
        let start_ns = self.start_ns;
        let bytes = &mut self.bytes;
        cell.parts().for_each(|part| pack_head(bytes, part, start_ns));
        for part in cell.parts() {
            pack_body(bytes, part);
            put(bytes, part.shapes.len() as u64);
            for (items, count) in &part.shapes {
                let place = *places.entry(items.clone()).or_insert_with(|| {
                    self.shapes.push(items.clone());
                    self.shapes.len() as u64 - 1
                });
                put(bytes, place);
                put(bytes, *count);
            }
        }
    }
}

/// Two runs in order as one; of a key that both have, the whole cell.
struct Merged<W: Iterator, P: Iterator> {
    whole: Peekable<W>,
    packed: Peekable<P>,
}

impl<'a, W, P> Iterator for Merged<W, P>
where
    W: Iterator<Item = (Key, StoredCell<'a>)>,
    P: Iterator<Item = (Key, StoredCell<'a>)>,
{
    type Item = (Key, StoredCell<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let Some((whole, _)) = self.whole.peek() else { return self.packed.next() };
        match self.packed.peek() {
            Some((packed, _)) if packed < whole => self.packed.next(),
            Some((packed, _)) if packed == whole => {
                self.packed.next();
                self.whole.next()
            }
            _ => self.whole.next(),
        }
    }
}

impl<'a> StoredCell<'a> {
    /// The cell.
    pub fn cell(self) -> Cow<'a, SealedCell> {
        match self {
            StoredCell::Whole(cell) => Cow::Borrowed(cell),
            StoredCell::Packed(packed) => Cow::Owned(packed.cell()),
        }
    }

    /// How much is in it: of warm instances, and of those that were warming up.
    pub fn counts(self) -> [Counts; 2] {
        match self {
            StoredCell::Whole(cell) => {
                [Counts::of(cell), cell.warming.as_deref().map(Counts::of).unwrap_or_default()]
            }
            StoredCell::Packed(packed) => {
                let mut reader = Reader(packed.bytes);
                let own = reader.head(0);
                [own.counts, if own.warming { reader.head(0).counts } else { Counts::default() }]
            }
        }
    }

    /// The same of both.
    pub fn all_counts(self) -> Counts {
        let [warm, warming] = self.counts();
        warm.and(warming)
    }

    /// When its spans were.
    pub fn seen(self) -> Option<Seen> {
        match self {
            StoredCell::Whole(cell) => cell.seen,
            StoredCell::Packed(packed) => Reader(packed.bytes).head(packed.of.start_ns).seen,
        }
    }

    /// Whether it holds requests of instances that are warm.
    pub fn has_evidence(self) -> bool {
        let [warm, _] = self.counts();
        warm.n > 0 || warm.metric_n > 0
    }
}

impl Packed<'_> {
    fn cell(self) -> SealedCell {
        let (mut reader, start_ns) = (Reader(self.bytes), self.of.start_ns);
        let own = reader.head(start_ns);
        let warming = own.warming.then(|| reader.head(start_ns));
        let cell = reader.body(own, &self.of.shapes);
        let warming = warming.map(|head| Box::new(reader.body(head, &self.of.shapes)));
        SealedCell { warming, ..cell }
    }
}

const SEEN: u8 = 1;
const WARMING: u8 = 2;
/// Durations do not all stand for one request.
const WEIGHTED: u8 = 4;

struct Head {
    counts: Counts,
    errors: u64,
    error_weight: u64,
    seen: Option<Seen>,
    warming: bool,
    weighted: bool,
}

fn pack_head(bytes: &mut Vec<u8>, cell: &SealedCell, start_ns: u64) {
    let counts = Counts::of(cell);
    let flag = |condition: bool, flag: u8| if condition { flag } else { 0 };
    bytes.push(
        flag(cell.seen.is_some(), SEEN)
            | flag(cell.warming.is_some(), WARMING)
            | flag(counts.weight != counts.n, WEIGHTED),
    );
    let Counts { n, weight, sampled, roots, .. } = counts;
    for number in [n, weight - n, sampled, roots, cell.errors, cell.error_weight] {
        put(bytes, number);
    }
    if let Some(seen) = cell.seen {
        put(bytes, seen.count);
        put(bytes, seen.first_ns.wrapping_sub(start_ns));
        put(bytes, seen.last_ns.wrapping_sub(seen.first_ns));
        bytes.extend(seen.instances.bits().to_le_bytes());
    }
}

fn pack_body(bytes: &mut Vec<u8>, cell: &SealedCell) {
    let mut values = cell.latency.exact().to_vec();
    values.sort_unstable();
    let weighted = cell.latency.weight() != cell.latency.n();
    let mut before = 0;
    for value in values {
        let (duration_ns, weight) = (value >> 16, value & 0xffff);
        put(bytes, duration_ns - before);
        before = duration_ns;
        if weighted {
            put(bytes, weight);
        }
    }
    put(bytes, cell.instances.len() as u64);
    for (id, counts) in &cell.instances {
        bytes.extend(id.0.to_le_bytes());
        put(bytes, counts.n);
        put(bytes, counts.errors);
        put(bytes, counts.bins().count() as u64);
        let mut before = 0;
        for (bin, count) in counts.bins() {
            put(bytes, u64::from(bin - before));
            put(bytes, u64::from(count));
            before = bin;
        }
    }
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Reads what was packed. Bytes that end early read as zeroes: a number of things is never more than the bytes left.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> u64 {
        let (mut number, mut shift) = (0u64, 0);
        while let Some((byte, rest)) = self.0.split_first() {
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 || shift > 63 {
                break;
            }
        }
        number
    }

    fn bits(&mut self) -> u64 {
        let Some((bits, rest)) = self.0.split_first_chunk() else { return 0 };
        self.0 = rest;
        u64::from_le_bytes(*bits)
    }

    fn many(&mut self) -> usize {
        usize::try_from(self.number()).unwrap_or(usize::MAX).min(self.0.len())
    }

    fn head(&mut self, start_ns: u64) -> Head {
        let Some((flags, rest)) = self.0.split_first() else { return Head::NONE };
        self.0 = rest;
        let [n, more, sampled, roots, errors, error_weight] = [(); 6].map(|()| self.number());
        let seen = (flags & SEEN != 0).then(|| {
            let (count, first, length) = (self.number(), self.number(), self.number());
            let first_ns = start_ns.wrapping_add(first);
            let instances = Members::of_bits(self.bits());
            Seen { count, first_ns, last_ns: first_ns.wrapping_add(length), instances }
        });
        let weight = n.saturating_add(more);
        Head {
            counts: Counts { n, weight, sampled, roots, metric_n: 0 },
            errors,
            error_weight,
            seen,
            warming: flags & WARMING != 0,
            weighted: flags & WEIGHTED != 0,
        }
    }

    fn body(&mut self, head: Head, shapes: &[Arc<[ItemId]>]) -> SealedCell {
        let n = usize::try_from(head.counts.n).unwrap_or(usize::MAX).min(self.0.len());
        let mut duration_ns = 0u64;
        let values = (0..n).map(|_| {
            duration_ns = duration_ns.wrapping_add(self.number());
            duration_ns << 16 | if head.weighted { self.number() & 0xffff } else { 1 }
        });
        let latency = LatencySketch::of_exact(values.collect());
        let instances = (0..self.many()).map(|_| {
            let (id, n, errors, bins) = (InstanceId(self.bits()), self.number(), self.number(), self.many());
            let mut bin = 0u16;
            let bins = (0..bins).map(|_| {
                bin = bin.wrapping_add(self.number() as u16);
                (bin, self.number() as u32)
            });
            (id, InstanceCounts::of_bins(n, errors, bins))
        });
        let instances = instances.collect();
        let found = (0..self.many()).filter_map(|_| {
            let (place, count) = (self.number(), self.number());
            Some((shapes.get(usize::try_from(place).ok()?)?.clone(), count))
        });
        SealedCell {
            latency,
            errors: head.errors,
            error_weight: head.error_weight,
            sampled: head.counts.sampled,
            roots: head.counts.roots,
            instances,
            metrics: BTreeMap::new(),
            seen: head.seen,
            warming: None,
            shapes: found.collect(),
        }
    }
}

impl Head {
    const NONE: Head = Head {
        counts: Counts { n: 0, weight: 0, sampled: 0, roots: 0, metric_n: 0 },
        errors: 0,
        error_weight: 0,
        seen: None,
        warming: false,
        weighted: false,
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START_NS: u64 = 1_782_901_800_000_000_000;

    fn key(series: u32) -> Key {
        (EnvironmentId((series % 2) as u16), SeriesId(series / 2))
    }

    /// Durations with their weight and instance, and the times of the first and last.
    type Spans = (Vec<(u64, u32, u64)>, Option<(u64, u64)>);

    fn cell((spans, seen): &Spans, warming: Option<&Spans>) -> SealedCell {
        let mut cell =
            SealedCell { warming: warming.map(|spans| Box::new(cell(spans, None))), ..Default::default() };
        for (at, (duration_ns, weight, instance)) in spans.iter().enumerate() {
            let weight = cell.latency.record(*duration_ns, *weight);
            let failed = duration_ns % 5 == 0;
            cell.errors += u64::from(failed);
            cell.error_weight += if failed { weight } else { 0 };
            cell.roots += u64::from(at % 3 == 0);
            cell.sampled += u64::from(weight > 1);
            cell.instance(InstanceId(*instance)).record(*duration_ns, failed);
            let items: Arc<[ItemId]> = [ItemId(at as u32 % 3), ItemId(9)].into();
            match cell.shapes.iter_mut().find(|(known, _)| *known == items) {
                Some((_, count)) => *count += 1,
                None => cell.shapes.push((items, 1)),
            }
        }
        cell.seen = seen.map(|(first, length)| Seen {
            count: spans.len() as u64,
            first_ns: START_NS + first,
            last_ns: START_NS + first + length,
            instances: Members::one(InstanceId(7)),
        });
        cell
    }

    /// All that can be told of a cell.
    fn told(cell: &SealedCell) -> String {
        let bins = cell.parts().map(|part| {
            let SealedCell { latency, warming: _, .. } = part;
            let rest = SealedCell { latency: LatencySketch::default(), warming: None, ..part.clone() };
            format!("{:?} {} {rest:?}", latency.bins_ns(), latency.is_exact())
        });
        bins.collect::<Vec<_>>().join("\n")
    }

    fn spans(most: usize) -> impl Strategy<Value = Spans> {
        let weight = prop_oneof![3 => Just(1u32), 1 => 1u32..70_000];
        let span = (prop_oneof![0u64..2_000_000_000, any::<u64>()], weight, 0u64..4);
        (prop::collection::vec(span, 0..most), prop::option::of((0u64..60_000_000_000, 0u64..60_000_000_000)))
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_as_it_went_in(
            all in prop::collection::vec((spans(60), prop::option::of(spans(20))), 1..12),
            large in spans(1_500),
        ) {
            let mut cells: Vec<SealedCell> = all.iter().map(|(own, warming)| cell(own, warming.as_ref())).collect();
            cells.push(cell(&large, None));
            let (mut kept, mut places) = (Cells::new(START_NS), ShapePlaces::default());
            let mut keys: Vec<Key> = (0..cells.len() as u32).map(key).collect();
            keys.sort_unstable();
            for (key, cell) in keys.iter().zip(&cells) {
                kept.push(*key, cell.clone(), &mut places);
            }
            kept.shrink();
            prop_assert_eq!(kept.packed.len(), cells.iter().filter(|cell| cell.latency.is_exact()).count());
            for ((key, cell), found) in keys.iter().zip(&cells).zip(kept.iter()) {
                prop_assert_eq!(found.0, *key);
                for found in [found.1, kept.get(*key).unwrap()] {
                    prop_assert_eq!(told(&found.cell()), told(cell));
                    let warming = cell.warming.as_deref().map(Counts::of).unwrap_or_default();
                    prop_assert_eq!(found.counts(), [Counts::of(cell), warming]);
                    prop_assert_eq!(found.seen(), cell.seen);
                }
            }
            prop_assert_eq!(kept.iter().count(), cells.len());
            let one = EnvironmentId(1);
            prop_assert_eq!(kept.of(one).count(), keys.iter().filter(|(env, _)| *env == one).count());
        }

        #[test]
        fn no_bytes_unpack_to_more_than_they_are(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut reader = Reader(&bytes);
            let head = reader.head(START_NS);
            let cell = reader.body(head, &[Arc::from([ItemId(1)])]);
            prop_assert!(cell.latency.n() <= bytes.len() as u64);
            prop_assert!(cell.instances.len() + cell.shapes.len() <= bytes.len());
        }
    }

    #[test]
    fn a_cell_that_is_changed_is_there_once_and_the_others_stay_packed() {
        let (mut cells, mut places) = (Cells::new(START_NS), ShapePlaces::default());
        let one = (vec![(1_000, 1, 1)], None);
        (0..6)
            .map(|n| (EnvironmentId(0), SeriesId(n)))
            .for_each(|key| cells.push(key, cell(&one, None), &mut places));
        for series in [2, 9] {
            cells.entry((EnvironmentId(0), SeriesId(series))).latency.record(5, 1);
        }
        let n: Vec<(u32, u64)> = cells.iter().map(|((_, id), cell)| (id.0, cell.all_counts().n)).collect();
        assert_eq!(n, [(0, 1), (1, 1), (2, 2), (3, 1), (4, 1), (5, 1), (9, 1)]);
        assert_eq!(cells.get((EnvironmentId(0), SeriesId(7))).map(StoredCell::all_counts), None);
        assert!(!cells.has(EnvironmentId(1)));
    }
}
