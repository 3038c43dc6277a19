//! Cumulative metric streams become what happened in each window.
//!
//! Inside a window only the latest point of a cumulative stream is kept, whatever order points arrive in; at the
//! seal it is held against the latest point of an earlier window. A stream is told apart by its start time too, so
//! that a restart begins a stream of its own. The first point of a stream says what happened since its start time:
//! it counts in full when the stream began within what is observed, and otherwise only as the mark from which
//! later points are measured (OpenTelemetry metrics data model, "Resets and Gaps").

use super::sealed::SealedWindow;
use super::warmup::{Instances, Origin};
use crate::model::{EnvironmentId, InstanceId, Limit, LimitsHit, SeriesId, ValueId};
use crate::sketch::metric::TimeUnit;
use crate::sketch::{Bounds, ValueSketch};
use crate::stats::exponential::ExponentialBuckets;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128, xxh3_128_with_seed};

/// A stream's identity: environment; and resource, scope, metric, unit and attributes by a hash that is the same in every
/// process, with the start time when cumulative, and the form of its buckets when delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamKey {
    environment: EnvironmentId,
    hash: u128,
}

impl StreamKey {
    /// From the hashes of the identifying parts.
    pub fn new(
        resource: u64,
        scope: u64,
        (metric, unit): (&str, TimeUnit),
        attributes: u64,
        environment: EnvironmentId,
    ) -> StreamKey {
        let mut parts = [0u8; 25];
        parts[..8].copy_from_slice(&resource.to_le_bytes());
        parts[8..16].copy_from_slice(&scope.to_le_bytes());
        parts[16..24].copy_from_slice(&attributes.to_le_bytes());
        parts[24] = unit as u8;
        let name = xxh3_128(metric.as_bytes());
        StreamKey { environment, hash: name ^ xxh3_128_with_seed(&parts, name as u64) }
    }

    /// The same stream where its environment has another number.
    pub fn in_environment(self, environment: EnvironmentId) -> StreamKey {
        StreamKey { environment, ..self }
    }

    /// The same stream since a start time.
    pub fn since(self, start_ns: u64) -> StreamKey {
        StreamKey { hash: xxh3_128_with_seed(&self.hash.to_le_bytes(), start_ns), ..self }
    }

    /// The same stream in buckets of this form. Delta points need no history, so a sender that changes its bounds
    /// goes on as another stream and loses nothing.
    pub fn in_form(self, buckets: &Buckets) -> StreamKey {
        let form = match buckets {
            Buckets::Exponential(_) => 0,
            Buckets::Explicit(bounds, _) => bounds
                .0
                .iter()
                .fold(1, |hash: u64, bound| xxh3_64_with_seed(&bound.to_bits().to_le_bytes(), hash)),
        };
        // A key over more bytes than `since` takes, so that no form is a start time.
        let mut parts = [0u8; 24];
        parts[..16].copy_from_slice(&self.hash.to_le_bytes());
        parts[16..].copy_from_slice(&form.to_le_bytes());
        StreamKey { hash: xxh3_128(&parts), ..self }
    }
}

/// Bucket counts of one data point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Buckets {
    /// Upper bounds in seconds, and one count more than bounds.
    Explicit(Bounds, Vec<u64>),
    /// Base-2 exponential, in the metric's unit.
    Exponential(ExponentialBuckets),
}

impl Buckets {
    /// An order without meaning, so that of two points that contradict each other the same one wins everywhere.
    fn cmp(&self, other: &Buckets) -> Ordering {
        match (self, other) {
            (Buckets::Explicit(one, ours), Buckets::Explicit(other, theirs)) => {
                one.cmp(other).then_with(|| ours.cmp(theirs))
            }
            (Buckets::Explicit(..), Buckets::Exponential(_)) => Ordering::Less,
            (Buckets::Exponential(_), Buckets::Explicit(..)) => Ordering::Greater,
            (Buckets::Exponential(ours), Buckets::Exponential(theirs)) => {
                let rank = |b: &ExponentialBuckets| (b.scale, b.offset, b.zero_count);
                rank(ours)
                    .cmp(&rank(theirs))
                    .then_with(|| ours.counts.cmp(&theirs.counts))
                    .then_with(|| ours.zero_threshold.total_cmp(&theirs.zero_threshold))
            }
        }
    }
}

/// What a histogram is evidence of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// Durations of requests, or of requests that failed.
    Requests {
        /// What was requested.
        series: SeriesId,
        /// Whether these failed.
        failed: bool,
    },
    /// Anything else.
    Value(ValueId),
}

/// The points of one histogram's stream in one window: the latest when cumulative, the sum when delta.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StreamPoint {
    /// Where its values were measured.
    pub environment: EnvironmentId,
    /// What they are of.
    pub target: Target,
    /// Who measured them.
    pub origin: Origin,
    /// Whether the counts are since `start_ns`, or since the last point.
    pub cumulative: bool,
    /// Nanoseconds since the epoch.
    pub start_ns: u64,
    /// Nanoseconds since the epoch.
    pub time_ns: u64,
    /// Values counted.
    pub count: u64,
    /// Their sum: nanoseconds, or billionths of the metric's unit.
    pub sum_ns: i128,
    /// Unit of exponential buckets.
    pub unit: TimeUnit,
    /// The values.
    pub buckets: Buckets,
}

impl StreamPoint {
    /// Takes in another point of the same stream and window.
    pub fn merge(&mut self, other: StreamPoint) {
        if self.cumulative {
            if self.is_before(&other) {
                *self = other;
            }
            return;
        }
        self.time_ns = self.time_ns.max(other.time_ns);
        self.start_ns = self.start_ns.min(other.start_ns);
        // Counts come from outside, where they may be anything: they end at the greatest instead of going round.
        self.count = self.count.saturating_add(other.count);
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
        match (&mut self.buckets, other.buckets) {
            (Buckets::Exponential(ours), Buckets::Exponential(theirs)) => ours.merge(&theirs),
            (Buckets::Explicit(bounds, ours), Buckets::Explicit(other, theirs)) if *bounds == other => {
                ours.iter_mut().zip(theirs).for_each(|(ours, count)| *ours = ours.saturating_add(count));
            }
            (_, _) => debug_assert!(false, "delta streams of two forms have two keys"),
        }
    }

    /// Whether its buckets are what a receiver takes; bytes from outside may say anything.
    pub fn is_sound(&self) -> bool {
        match &self.buckets {
            Buckets::Explicit(bounds, counts) => bounds.fit(counts),
            Buckets::Exponential(buckets) => buckets.is_sound(),
        }
    }

    /// The earliest time that it speaks of: its start, where it has one.
    pub fn since_ns(&self) -> u64 {
        if self.start_ns == 0 { self.time_ns } else { self.start_ns.min(self.time_ns) }
    }

    /// Whether another point of the same cumulative stream is the later one.
    fn is_before(&self, other: &StreamPoint) -> bool {
        let rank = |point: &StreamPoint| (point.time_ns, point.count, point.sum_ns);
        rank(self).cmp(&rank(other)).then_with(|| self.buckets.cmp(&other.buckets)).is_lt()
    }

    /// What happened between an earlier point of this stream and this one.
    fn since(&self, earlier: &StreamPoint) -> StreamPoint {
        let counts = match (&self.buckets, &earlier.buckets) {
            (Buckets::Explicit(bounds, now), Buckets::Explicit(before, then)) if bounds == before => {
                subtract(now, then).map(|counts| Buckets::Explicit(bounds.clone(), counts))
            }
            (Buckets::Exponential(now), Buckets::Exponential(then)) => {
                subtract_exponential(now, then).map(Buckets::Exponential)
            }
            _ => None,
        };
        match (counts, self.count.checked_sub(earlier.count)) {
            (Some(buckets), Some(count)) => {
                let sum_ns = self.sum_ns.saturating_sub(earlier.sum_ns);
                StreamPoint { start_ns: earlier.time_ns, count, sum_ns, buckets, ..self.clone() }
            }
            // Counts that fall without a new start time are a reset that the sender does not tell of.
            _ => self.clone(),
        }
    }
}

fn subtract(now: &[u64], then: &[u64]) -> Option<Vec<u64>> {
    if now.len() != then.len() {
        return None;
    }
    now.iter().zip(then).map(|(now, then)| now.checked_sub(*then)).collect()
}

fn subtract_exponential(now: &ExponentialBuckets, then: &ExponentialBuckets) -> Option<ExponentialBuckets> {
    // An SDK only ever lowers a stream's scale, to make room for a wider range.
    let steps = u32::try_from(i64::from(then.scale) - i64::from(now.scale)).ok()?;
    let then = then.downscale(steps);
    let mut counts = now.counts.clone();
    for (at, count) in then.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let index = i64::from(then.offset) + at as i64 - i64::from(now.offset);
        let ours = counts.get_mut(usize::try_from(index).ok()?)?;
        *ours = ours.checked_sub(*count)?;
    }
    let zero_count = now.zero_count.checked_sub(then.zero_count)?;
    Some(ExponentialBuckets { counts, zero_count, ..now.clone() })
}

/// The latest point of a cumulative sum in one window, or what a summary counted since its start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberPoint {
    /// Where it was measured.
    pub environment: EnvironmentId,
    /// What it is of.
    pub value: ValueId,
    /// Who measured it.
    pub instance: InstanceId,
    /// Nanoseconds since the epoch.
    pub start_ns: u64,
    /// Nanoseconds since the epoch.
    pub time_ns: u64,
    /// Values of a summary; 0 of a sum.
    pub count: u64,
    /// The sum, billionths of the metric's unit.
    pub sum_nano: i128,
}

impl NumberPoint {
    /// Takes in another point of the same stream and window.
    pub fn merge(&mut self, other: NumberPoint) {
        let rank = |point: &NumberPoint| (point.time_ns, point.count, point.sum_nano);
        if rank(self) < rank(&other) {
            *self = other;
        }
    }
}

/// A point of a cumulative stream, as its history needs it.
trait Cumulative: Sized {
    fn start_ns(&self) -> u64;
    /// What happened between an earlier point of this stream and this one.
    fn since(&self, earlier: &Self) -> Self;
    /// Adds it to a window; `warming` when its instance is.
    fn contribute(&self, window: &mut SealedWindow, warming: bool);
}

impl Cumulative for StreamPoint {
    fn start_ns(&self) -> u64 {
        self.start_ns
    }

    fn since(&self, earlier: &StreamPoint) -> StreamPoint {
        StreamPoint::since(self, earlier)
    }

    fn contribute(&self, window: &mut SealedWindow, warming: bool) {
        contribute(window, self, warming);
    }
}

impl Cumulative for NumberPoint {
    fn start_ns(&self) -> u64 {
        self.start_ns
    }

    fn since(&self, earlier: &NumberPoint) -> NumberPoint {
        match (self.count.checked_sub(earlier.count), self.sum_nano.saturating_sub(earlier.sum_nano)) {
            // A sum that falls without a new start time is a reset that the sender does not tell of; that of a summary
            // may fall, for its values may be negative.
            (Some(count), sum_nano) if sum_nano >= 0 || self.count > 0 => {
                NumberPoint { start_ns: earlier.time_ns, count, sum_nano, ..*self }
            }
            _ => *self,
        }
    }

    fn contribute(&self, window: &mut SealedWindow, _warming: bool) {
        let sketch = value_sketch(window, self.environment, self.value, self.instance);
        sketch.record_growth((self.start_ns, self.time_ns), self.count, self.sum_nano);
    }
}

/// The latest point of every cumulative stream, from window to window. Cold plane.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StreamHistory {
    histograms: History<StreamPoint>,
    numbers: History<NumberPoint>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct History<P> {
    latest: BTreeMap<StreamKey, Mark<P>>,
    limit: usize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Mark<P> {
    point: P,
    window: u64,
    /// Whether the point is the stream's first and stands for nothing yet.
    unmeasured: bool,
    /// Whether the point is of an instance that is warming up.
    warming: bool,
}

impl StreamHistory {
    /// Follows at most `limit` streams of histograms, and as many of other metrics.
    pub fn new(limit: usize) -> StreamHistory {
        StreamHistory { histograms: History::new(limit), numbers: History::new(limit) }
    }

    /// Follows this many streams from now on.
    pub fn bound(&mut self, limit: usize) {
        self.histograms.limit = limit;
        self.numbers.limit = limit;
    }

    /// Adds the streams of one window to it. Windows come in rising order. Streams that began at or after
    /// `observed_from_ns` count from their start.
    pub fn apply(
        &mut self,
        window: &mut SealedWindow,
        (histograms, numbers): (
            impl IntoIterator<Item = (StreamKey, StreamPoint)>,
            impl IntoIterator<Item = (StreamKey, NumberPoint)>,
        ),
        instances: &Instances,
        observed_from_ns: u64,
        hits: &mut LimitsHit,
    ) {
        for (key, point) in histograms {
            let warming = instances.is_warming(point.environment, point.origin, window.start_ns);
            match point.cumulative {
                true => self.histograms.apply(window, key, (point, warming), observed_from_ns, hits),
                false => point.contribute(window, warming),
            }
        }
        for (key, point) in numbers {
            self.numbers.apply(window, key, (point, false), observed_from_ns, hits);
        }
    }

    /// Forgets streams that have sent nothing since before window `oldest`.
    pub fn expire(&mut self, oldest: u64) {
        self.histograms.latest.retain(|_, mark| mark.window >= oldest);
        self.numbers.latest.retain(|_, mark| mark.window >= oldest);
    }

    /// At the end of recorded input: a stream with a single point can only mean that point.
    pub fn finish(&mut self, windows: &mut [SealedWindow]) {
        self.histograms.finish(windows);
        self.numbers.finish(windows);
    }
}

impl<P: Cumulative> History<P> {
    fn new(limit: usize) -> History<P> {
        History { latest: BTreeMap::new(), limit }
    }

    fn apply(
        &mut self,
        window: &mut SealedWindow,
        key: StreamKey,
        (point, warming): (P, bool),
        observed_from_ns: u64,
        hits: &mut LimitsHit,
    ) {
        let earlier = self.latest.get(&key).map(|mark| &mark.point);
        let unmeasured = earlier.is_none() && point.start_ns() < observed_from_ns;
        match earlier {
            Some(earlier) => point.since(earlier).contribute(window, warming),
            None if unmeasured => {}
            None => point.contribute(window, warming),
        }
        if earlier.is_none() && self.latest.len() >= self.limit {
            hits.count(Limit::MetricStreams);
        } else {
            self.latest.insert(key, Mark { point, window: window.index, unmeasured, warming });
        }
    }

    fn finish(&mut self, windows: &mut [SealedWindow]) {
        for mark in self.latest.values_mut().filter(|mark| mark.unmeasured) {
            mark.unmeasured = false;
            if let Some(window) = windows.iter_mut().find(|window| window.index == mark.window) {
                mark.point.contribute(window, mark.warming);
            }
        }
    }
}

fn contribute(window: &mut SealedWindow, point: &StreamPoint, warming: bool) {
    let (sketch, failed) = match point.target {
        Target::Value(value) => {
            let sketch = value_sketch(window, point.environment, value, point.origin.instance);
            sketch.record_growth((point.start_ns, point.time_ns), point.count, point.sum_ns);
            (&mut sketch.buckets, false)
        }
        Target::Requests { .. } if point.count == 0 => return,
        Target::Requests { series, failed } => {
            let cell = window.cells.entry((point.environment, series));
            let cell = if warming { &mut **cell.warming.get_or_insert_default() } else { cell };
            (cell.metrics.entry(point.origin.instance).or_default(), failed)
        }
    };
    sketch.add(point.count, if failed { point.count } else { 0 }, point.sum_ns);
    match &point.buckets {
        Buckets::Explicit(bounds, counts) => sketch.add_explicit(bounds, counts),
        Buckets::Exponential(buckets) => sketch.add_exponential(point.unit, buckets),
    }
}

fn value_sketch(
    window: &mut SealedWindow,
    environment: EnvironmentId,
    value: ValueId,
    instance: InstanceId,
) -> &mut ValueSketch {
    window.values.entry((environment, value)).or_default().instances.entry(instance).or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{InstanceId, ServiceId};
    use crate::window::Grid;

    fn point(start_ns: u64, time_ns: u64, counts: [u64; 2]) -> StreamPoint {
        StreamPoint {
            environment: EnvironmentId(0),
            target: Target::Requests { series: SeriesId(0), failed: false },
            origin: Origin { service: ServiceId(0), instance: InstanceId(1), created_ns: None },
            cumulative: true,
            start_ns,
            time_ns,
            count: counts.iter().sum(),
            sum_ns: 0,
            unit: TimeUnit::Seconds,
            buckets: Buckets::Explicit(Bounds(vec![0.1]), counts.to_vec()),
        }
    }

    /// Requests counted in each of the windows that hold the given points.
    fn counted(points: &[(u64, StreamPoint)], observed_from_ns: u64) -> Vec<u64> {
        let (mut history, mut hits) = (StreamHistory::new(10), LimitsHit::default());
        let key = StreamKey::new(1, 2, ("m", TimeUnit::Seconds), 3, EnvironmentId(0));
        let windows = points.iter().map(|(index, point)| {
            let mut window = SealedWindow::empty(*index, Grid::new(60));
            let stream = (key.since(point.start_ns), point.clone());
            history.apply(&mut window, ([stream], []), &Instances::new(0, 0, 0), observed_from_ns, &mut hits);
            window.cells.iter().map(|(_, cell)| cell.all_counts().metric_n).sum()
        });
        windows.collect()
    }

    #[test]
    fn a_cumulative_stream_counts_what_was_added_in_each_window() {
        let points = [(0, point(5, 50, [3, 1])), (1, point(5, 110, [3, 1])), (2, point(5, 170, [6, 2]))];
        assert_eq!(counted(&points, 0), [4, 0, 4]);
    }

    #[test]
    fn a_stream_older_than_the_observation_counts_from_its_second_point() {
        let points = [(0, point(5, 50, [30, 10])), (1, point(5, 110, [31, 10]))];
        assert_eq!(counted(&points, 6), [0, 1]);
    }

    #[test]
    fn a_new_start_time_and_falling_counts_are_resets() {
        let restarted = [(0, point(5, 50, [3, 1])), (1, point(100, 110, [2, 0]))];
        assert_eq!(counted(&restarted, 0), [4, 2]);
        let silent = [(0, point(5, 50, [3, 1])), (1, point(5, 110, [1, 1]))];
        assert_eq!(counted(&silent, 0), [4, 2]);
    }

    #[test]
    fn the_latest_point_of_a_window_wins_in_any_order() {
        let (early, late) = (point(5, 50, [3, 1]), point(5, 55, [4, 1]));
        for (mut first, second) in [(early.clone(), late.clone()), (late, early)] {
            first.merge(second);
            assert_eq!(first.count, 5);
        }
    }

    #[test]
    fn an_exponential_stream_may_lower_its_scale() {
        let buckets = |scale, counts: &[u64]| ExponentialBuckets {
            scale,
            offset: 0,
            counts: counts.to_vec(),
            zero_count: 0,
            zero_threshold: 0.0,
        };
        let difference = subtract_exponential(&buckets(0, &[5, 4]), &buckets(1, &[1, 2, 1])).unwrap();
        assert_eq!(difference.counts, [2, 3]);
        assert!(subtract_exponential(&buckets(0, &[1]), &buckets(0, &[2])).is_none());
    }
}
