//! Durations of one series: exact while they are few, binned when that is smaller.
//!
//! Up to [`EXACT_MAX`] durations are kept as they are, because binning hurts a test most on small samples. Beyond,
//! they are counted in the bins of an HDR histogram (Tene 2012) of two significant digits from 1 µs to 1 h, 0.8 % wide at
//! most, with 32-bit counts over the range that was seen: 512 bytes an octave, 13 KiB at most. Which of the two holds
//! depends only on how many durations there are, so sketches merged in any order are equal.

use super::bins::Bins;
use crate::stats::distribution::{Bin, Distribution};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// The most durations that are kept exactly: where 8 bytes each come to what the histogram costs, within a factor
/// of two.
pub const EXACT_MAX: usize = 1_024;

/// The most that a count from outside may be: as many of them as anybody sends add up in 64 bits.
pub const COUNT_MOST: u64 = 1 << 44;

const HIGHEST_NS: u64 = 3_600_000_000_000;

/// Bins in an octave: 2⁷, so that a bin is under 1 % wide.
const OCTAVE_BITS: u32 = 7;
/// Bins are 2⁹ ns wide at least, the greatest power of two under 1 µs.
const UNIT_BITS: u32 = 9;

/// The longest duration that is told apart, 78 h: 48 bits of nanoseconds.
const DURATION_BITS: u32 = 48;
const DURATION_MAX: u64 = (1 << DURATION_BITS) - 1;

/// Durations with their adjusted counts.
///
/// Most series are small, so that an exact sketch is its values and nothing else: what they come to is added up when it is
/// asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LatencySketch {
    body: Body,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Body {
    /// `duration << 16 | weight`, so that sorting by the number sorts by the duration.
    Exact(Vec<u64>),
    Binned(Box<(Bins, Totals)>),
}

/// What durations come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Totals {
    n: u64,
    weight: u64,
    weight_squared: u128,
    sum_ns: u128,
    min_ns: u64,
    max_ns: u64,
}

impl Totals {
    const NONE: Totals =
        Totals { n: 0, weight: 0, weight_squared: 0, sum_ns: 0, min_ns: u64::MAX, max_ns: 0 };

    fn of(value: u64) -> Totals {
        let (duration_ns, weight) = (value >> 16, value & 0xffff);
        Totals {
            n: 1,
            weight,
            weight_squared: u128::from(weight) * u128::from(weight),
            sum_ns: u128::from(duration_ns) * u128::from(weight),
            min_ns: duration_ns,
            max_ns: duration_ns,
        }
    }

    fn and(self, other: Totals) -> Totals {
        Totals {
            n: self.n + other.n,
            weight: self.weight + other.weight,
            weight_squared: self.weight_squared + other.weight_squared,
            sum_ns: self.sum_ns + other.sum_ns,
            min_ns: self.min_ns.min(other.min_ns),
            max_ns: self.max_ns.max(other.max_ns),
        }
    }
}

impl Default for LatencySketch {
    fn default() -> Self {
        LatencySketch { body: Body::Exact(Vec::new()) }
    }
}

impl LatencySketch {
    /// Adds one duration in nanoseconds that stands for `weight` requests, and returns for how many it was taken (1 without
    /// sampling, 65,535 at most).
    pub fn record(&mut self, duration_ns: u64, weight: u32) -> u64 {
        let weight = u64::from(weight.clamp(1, u32::from(u16::MAX)));
        let value = duration_ns.min(DURATION_MAX) << 16 | weight;
        match &mut self.body {
            Body::Exact(values) if values.len() < EXACT_MAX => values.push(value),
            _ => add_value(self.binned(), value),
        }
        weight
    }

    /// Reads where [`LatencySketch::record`] looks first.
    #[inline]
    pub(crate) fn read_list(&self) -> u64 {
        match &self.body {
            Body::Exact(values) => values.last().copied().unwrap_or(0),
            Body::Binned(binned) => binned.1.n,
        }
    }

    /// Reads the bin of a duration, where there are bins.
    #[inline]
    pub(crate) fn read_bin(&self, duration_ns: u64) -> u64 {
        match &self.body {
            Body::Exact(_) => 0,
            Body::Binned(binned) => binned.0.at(bin_of(duration_ns.min(DURATION_MAX))).into(),
        }
    }

    /// Adds what another sketch holds.
    pub fn merge(&mut self, other: &LatencySketch) {
        match &other.body {
            Body::Exact(theirs) => match &mut self.body {
                Body::Exact(ours) if ours.len() + theirs.len() <= EXACT_MAX => ours.extend_from_slice(theirs),
                _ => {
                    let ours = self.binned();
                    theirs.iter().for_each(|value| add_value(ours, *value));
                }
            },
            Body::Binned(theirs) => {
                let (bins, totals) = self.binned();
                bins.merge(&theirs.0);
                *totals = totals.and(theirs.1);
            }
        }
    }

    /// Durations recorded.
    pub fn n(&self) -> u64 {
        match &self.body {
            Body::Exact(values) => values.len() as u64,
            Body::Binned(binned) => binned.1.n,
        }
    }

    /// Requests that they stand for: the sum of adjusted counts.
    pub fn weight(&self) -> u64 {
        match &self.body {
            Body::Exact(values) => values.iter().map(|value| value & 0xffff).sum(),
            Body::Binned(binned) => binned.1.weight,
        }
    }

    fn totals(&self) -> Totals {
        match &self.body {
            Body::Exact(values) => values.iter().fold(Totals::NONE, |all, value| all.and(Totals::of(*value))),
            Body::Binned(binned) => binned.1,
        }
    }

    /// Kish's effective size of some sketches together, (Σw)²/Σw² (Kish 1965): what a weighted sample is worth in
    /// equally weighted requests. Equals the sum of [`LatencySketch::n`] when all weights are alike.
    pub fn effective_n<'a>(sketches: impl Iterator<Item = &'a LatencySketch>) -> f64 {
        let Totals { weight, weight_squared, .. } =
            sketches.fold(Totals::NONE, |all, sketch| all.and(sketch.totals()));
        match weight_squared {
            0 => 0.0,
            squares => weight as f64 * weight as f64 / squares as f64,
        }
    }

    /// Sum of durations, weighted, nanoseconds.
    pub fn sum_ns(&self) -> u128 {
        self.totals().sum_ns
    }

    /// Shortest and longest duration, nanoseconds; `None` when empty.
    pub fn range_ns(&self) -> Option<(u64, u64)> {
        let Totals { n, min_ns, max_ns, .. } = self.totals();
        (n > 0).then_some((min_ns, max_ns))
    }

    /// Whether every duration is still known exactly.
    pub fn is_exact(&self) -> bool {
        matches!(self.body, Body::Exact(_))
    }

    /// The durations in rising order as bins of `(lower ns, upper ns, weight)`; exact ones have equal ends, others
    /// are `(lower, upper]`.
    pub fn bins_ns(&self) -> Vec<(u64, u64, u64)> {
        match &self.body {
            Body::Exact(values) => {
                let mut values = values.clone();
                values.sort_unstable();
                let mut bins: Vec<(u64, u64, u64)> = Vec::with_capacity(values.len());
                for value in values {
                    let (duration, weight) = (value >> 16, value & 0xffff);
                    match bins.last_mut() {
                        Some(last) if last.0 == duration => last.2 += weight,
                        _ => bins.push((duration, duration, weight)),
                    }
                }
                bins
            }
            Body::Binned(binned) => binned.0.range().filter(|(_, count)| *count > 0).map(bounds_ns).collect(),
        }
    }

    /// Weight of durations of at most each of some thresholds in nanoseconds; in a binned sketch, of the bins up to the
    /// one that holds it.
    pub fn at_or_under(&self, thresholds_ns: &[u64]) -> Vec<u64> {
        match &self.body {
            Body::Exact(values) => {
                let under = |ns: u64| values.iter().filter(move |value| **value >> 16 <= ns);
                thresholds_ns.iter().map(|ns| under(*ns).map(|value| value & 0xffff).sum()).collect()
            }
            Body::Binned(binned) => {
                binned.0.before_each(thresholds_ns.iter().map(|ns| bin_of(*ns) + 1)).collect()
            }
        }
    }

    /// [`Distribution::cdf_bounds`] of [`LatencySketch::distribution`], without making it.
    pub fn cdf_bounds(&self, threshold_s: f64) -> (f64, f64) {
        let total = self.weight().max(1) as f64;
        match &self.body {
            Body::Exact(values) => {
                let under = values.iter().filter(|value| seconds(**value >> 16) <= threshold_s);
                let share = under.map(|value| value & 0xffff).sum::<u64>() as f64 / total;
                (share, share)
            }
            Body::Binned(binned) => {
                let upper_s = |bin: u16| seconds(least_ns(bin + 1) - 1);
                let near = bin_of((threshold_s * 1e9) as u64);
                // The first bin that ends beyond the threshold: rounding can move it by one.
                let bin = match () {
                    () if near > 0 && upper_s(near - 1) > threshold_s => near - 1,
                    () if upper_s(near) <= threshold_s => near + 1,
                    () => near,
                };
                let reaches_under = seconds(least_ns(bin).saturating_sub(1)) < threshold_s;
                let upto = if reaches_under { bin + 1 } else { bin };
                let mut under =
                    binned.0.before_each([bin, upto].into_iter()).map(|weight| weight as f64 / total);
                (under.next().unwrap_or(0.0), under.next().unwrap_or(0.0))
            }
        }
    }

    /// The durations as a distribution in seconds.
    pub fn distribution(&self) -> Distribution {
        match &self.body {
            Body::Exact(_) => {
                let bin = |(lower, upper, count)| Bin {
                    lower: seconds(lower),
                    upper: seconds(upper),
                    count: count as f64,
                };
                Distribution::from_ordered(self.bins_ns().into_iter().map(bin))
            }
            Body::Binned(binned) => {
                let edges = &*EDGES_S;
                Distribution::from_ordered(binned.0.range().map(|(bin, count)| {
                    let bin = usize::from(bin);
                    Bin { lower: edges[bin], upper: edges[bin + 1], count: f64::from(count) }
                }))
            }
        }
    }

    /// The durations that are known exactly, each as `nanoseconds << 16 | weight`, in no order.
    pub(crate) fn exact(&self) -> &[u64] {
        match &self.body {
            Body::Exact(values) => values,
            Body::Binned(_) => &[],
        }
    }

    /// The sketch of as many durations as are kept exactly.
    pub(crate) fn of_exact(mut values: Vec<u64>) -> LatencySketch {
        values.truncate(EXACT_MAX);
        LatencySketch { body: Body::Exact(values) }
    }

    /// Whether the numbers can be those of recorded durations; bytes from outside may say anything.
    pub fn is_sound(&self) -> bool {
        match &self.body {
            Body::Exact(values) => values.len() <= EXACT_MAX && values.iter().all(|value| value & 0xffff > 0),
            Body::Binned(binned) => {
                let Totals { n, weight, weight_squared, sum_ns, min_ns, max_ns } = binned.1;
                let weight_most = u64::from(u16::MAX);
                binned.0.are_sound(bin_of(HIGHEST_NS))
                    && (1..=COUNT_MOST).contains(&n)
                    && (n..=n * weight_most).contains(&weight)
                    && weight_squared >= u128::from(weight)
                    && weight_squared <= u128::from(weight) * u128::from(weight_most)
                    && sum_ns <= u128::from(weight) * u128::from(DURATION_MAX)
                    && min_ns <= max_ns
                    && max_ns <= DURATION_MAX
            }
        }
    }

    /// Gives back the room that is kept for more.
    pub fn shrink(&mut self) {
        match &mut self.body {
            Body::Exact(values) => values.shrink_to_fit(),
            Body::Binned(binned) => binned.0.shrink(),
        }
    }

    fn binned(&mut self) -> &mut (Bins, Totals) {
        if let Body::Exact(values) = &self.body {
            let mut binned = Box::new((Bins::default(), Totals::NONE));
            values.iter().for_each(|value| add_value(&mut binned, *value));
            self.body = Body::Binned(binned);
        }
        match &mut self.body {
            Body::Binned(binned) => binned,
            Body::Exact(_) => unreachable!("the body was made bins above"),
        }
    }
}

/// Where each bin begins and the one before ends, seconds.
static EDGES_S: LazyLock<Vec<f64>> = LazyLock::new(|| {
    (0..=bin_of(HIGHEST_NS) + 1).map(|bin| seconds(least_ns(bin).saturating_sub(1))).collect()
});

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

fn add_value((bins, totals): &mut (Bins, Totals), value: u64) {
    bins.add(bin_of(value >> 16), (value & 0xffff) as u32);
    *totals = totals.and(Totals::of(value));
}

/// The bin of a duration; those over an hour share the last one.
fn bin_of(ns: u64) -> u16 {
    let units = ns.min(HIGHEST_NS) >> UNIT_BITS;
    // Two octaves' worth of bins of one unit, then each octave has bins of twice the width.
    let octave = units.checked_ilog2().unwrap_or(0).saturating_sub(OCTAVE_BITS);
    ((u64::from(octave) << OCTAVE_BITS) + (units >> octave)) as u16
}

/// A bin with its count as `(lower ns, upper ns, weight)`: nanoseconds are whole, so a bin of [low, high] is the half-open
/// (low − 1, high].
fn bounds_ns((bin, count): (u16, u32)) -> (u64, u64, u64) {
    (least_ns(bin).saturating_sub(1), least_ns(bin + 1) - 1, u64::from(count))
}

/// The least duration of a bin.
fn least_ns(bin: u16) -> u64 {
    let (octave, rest) = ((bin >> OCTAVE_BITS).saturating_sub(1), u64::from(bin));
    (rest - (u64::from(octave) << OCTAVE_BITS)) << (u32::from(octave) + UNIT_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sketch(values: &[(u64, u32)]) -> LatencySketch {
        let mut sketch = LatencySketch::default();
        for (ns, weight) in values {
            sketch.record(*ns, *weight);
        }
        sketch
    }

    #[test]
    fn few_durations_are_exact_and_many_are_within_a_hundredth() {
        let few: Vec<_> = (0..EXACT_MAX as u64).map(|i| (i * 1_000_003, 1)).collect();
        assert!(sketch(&few).is_exact());
        let many: Vec<_> = (1..5_000u64).map(|i| (i * 1_000_003, 1)).collect();
        let binned = sketch(&many);
        assert!(!binned.is_exact());
        for (lower, upper, _) in binned.bins_ns() {
            assert!((upper - lower) as f64 <= (upper as f64 * 0.01).max(1_024.0), "{lower} {upper}");
        }
        assert_eq!(binned.bins_ns().iter().map(|b| b.2).sum::<u64>(), 4_999);
    }

    #[test]
    fn extreme_durations_are_kept_in_the_outermost_bins() {
        let mut extremes = sketch(&vec![(0, 1); EXACT_MAX]);
        extremes.record(u64::MAX, u32::MAX);
        assert_eq!(extremes.n(), EXACT_MAX as u64 + 1);
        assert_eq!(extremes.range_ns(), Some((0, DURATION_MAX)));
        assert_eq!(extremes.bins_ns().len(), 2);
    }

    proptest! {
        #[test]
        fn bins_are_those_of_an_hdr_histogram(ns in prop_oneof![0u64..200_000, 0u64..DURATION_MAX]) {
            let theirs = hdrhistogram::Histogram::<u32>::new_with_bounds(1_000, HIGHEST_NS, 2).unwrap();
            let (bin, recorded) = (bin_of(ns), ns.min(HIGHEST_NS));
            let bounds = (least_ns(bin), least_ns(bin + 1) - 1);
            prop_assert_eq!(
                bounds,
                (theirs.lowest_equivalent(recorded), theirs.highest_equivalent(recorded))
            );
        }
    }

    #[test]
    fn an_effective_size_is_the_count_when_weights_are_alike() {
        let of = |sketches: &[LatencySketch]| LatencySketch::effective_n(sketches.iter());
        assert_eq!(of(&[sketch(&[(1, 3), (2, 3)])]), 2.0);
        assert_eq!(of(&[sketch(&[(1, 1)]), sketch(&[(2, 3)])]), 16.0 / 10.0);
        assert_eq!(of(&[LatencySketch::default()]), 0.0);
    }

    proptest! {
        #[test]
        fn shares_under_a_threshold_are_those_of_the_distribution(
            values in prop::collection::vec((0u64..5_000_000_000, 1u32..4), 1..2_000), at in 0usize..2_000, off in -1i64..2,
        ) {
            let sketch = sketch(&values);
            let bins = sketch.bins_ns();
            let (lower, upper, _) = bins[at % bins.len()];
            for ns in [lower, upper, (lower + upper) / 2] {
                let threshold_s = seconds(ns.saturating_add_signed(off));
                prop_assert_eq!(sketch.cdf_bounds(threshold_s), sketch.distribution().cdf_bounds(threshold_s));
            }
        }

        #[test]
        fn any_split_and_order_of_merging_gives_the_same_bins(
            values in prop::collection::vec((1u64..10_000_000_000, 1u32..4), 0..3_000), cut in 0usize..3_000,
        ) {
            let cut = cut.min(values.len());
            let whole = sketch(&values);
            let (mut left, right) = (sketch(&values[..cut]), sketch(&values[cut..]));
            let mut reversed = right.clone();
            reversed.merge(&left);
            left.merge(&right);
            for merged in [left, reversed] {
                prop_assert_eq!(merged.bins_ns(), whole.bins_ns());
                prop_assert_eq!(
                    (merged.n(), merged.weight(), merged.sum_ns(), merged.range_ns()),
                    (whole.n(), whole.weight(), whole.sum_ns(), whole.range_ns())
                );
            }
        }
    }
}
