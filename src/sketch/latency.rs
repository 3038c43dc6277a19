//! Durations of one series: exact while they are few, binned when that is smaller.
//!
//! Up to [`EXACT_MAX`] durations are kept as they are, because binning hurts a test most on small samples. Beyond,
//! they live in an HDR histogram (Tene 2012) of two significant digits from 1 µs to 1 h with fixed bounds and
//! 32-bit counts: 13 KiB whatever arrives, bins 0.8 % wide at most. Which of the two holds depends only on how many
//! durations there are, so sketches merged in any order are equal.

use crate::stats::distribution::{Bin, Distribution};
use hdrhistogram::Histogram;

/// The most durations that are kept exactly: where 8 bytes each come to what the histogram costs, within a factor
/// of two.
pub const EXACT_MAX: usize = 1_024;

const LOWEST_NS: u64 = 1_000;
const HIGHEST_NS: u64 = 3_600_000_000_000;
const SIGNIFICANT_DIGITS: u8 = 2;

/// The longest duration that is told apart, 78 h: 48 bits of nanoseconds.
const DURATION_BITS: u32 = 48;
const DURATION_MAX: u64 = (1 << DURATION_BITS) - 1;

/// Durations with their adjusted counts.
#[derive(Clone, Debug)]
pub struct LatencySketch {
    body: Body,
    n: u64,
    weight: u64,
    weight_squared: u128,
    sum_ns: u128,
    min_ns: u64,
    max_ns: u64,
}

#[derive(Clone, Debug)]
enum Body {
    /// `duration << 16 | weight`, so that sorting by the number sorts by the duration.
    Exact(Vec<u64>),
    Binned(Box<Histogram<u32>>),
}

impl Default for LatencySketch {
    fn default() -> Self {
        LatencySketch {
            body: Body::Exact(Vec::new()),
            n: 0,
            weight: 0,
            weight_squared: 0,
            sum_ns: 0,
            min_ns: u64::MAX,
            max_ns: 0,
        }
    }
}

impl LatencySketch {
    /// Adds one duration in nanoseconds that stands for `weight` requests (1 without sampling, 65,535 at most).
    pub fn record(&mut self, duration_ns: u64, weight: u32) {
        let duration_ns = duration_ns.min(DURATION_MAX);
        let weight = weight.clamp(1, u32::from(u16::MAX));
        self.n += 1;
        self.weight += u64::from(weight);
        self.weight_squared += u128::from(weight) * u128::from(weight);
        self.sum_ns += u128::from(duration_ns) * u128::from(weight);
        self.min_ns = self.min_ns.min(duration_ns);
        self.max_ns = self.max_ns.max(duration_ns);
        match &mut self.body {
            Body::Exact(values) if values.len() < EXACT_MAX => {
                values.push(duration_ns << 16 | u64::from(weight));
            }
            Body::Exact(_) => record_binned(self.binned(), duration_ns, weight),
            Body::Binned(histogram) => record_binned(histogram, duration_ns, weight),
        }
    }

    /// Adds what another sketch holds.
    pub fn merge(&mut self, other: &LatencySketch) {
        self.n += other.n;
        self.weight += other.weight;
        self.weight_squared += other.weight_squared;
        self.sum_ns += other.sum_ns;
        self.min_ns = self.min_ns.min(other.min_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
        match &other.body {
            Body::Exact(theirs) => match &mut self.body {
                Body::Exact(ours) if ours.len() + theirs.len() <= EXACT_MAX => ours.extend_from_slice(theirs),
                _ => {
                    let histogram = self.binned();
                    for value in theirs {
                        record_binned(histogram, value >> 16, (value & 0xffff) as u32);
                    }
                }
            },
            Body::Binned(theirs) => {
                // The bounds are the same constants on both sides, so that adding cannot fail.
                let added = self.binned().add(&**theirs);
                debug_assert!(added.is_ok());
            }
        }
    }

    /// Durations recorded.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// Requests that they stand for: the sum of adjusted counts.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// Kish's effective size (Σw)²/Σw² (Kish 1965): what a weighted sample is worth in equally weighted requests.
    /// Equals [`LatencySketch::n`] when all weights are alike.
    pub fn effective_n(&self) -> f64 {
        match self.weight_squared {
            0 => 0.0,
            squares => self.weight as f64 * self.weight as f64 / squares as f64,
        }
    }

    /// Sum of durations, weighted, nanoseconds.
    pub fn sum_ns(&self) -> u128 {
        self.sum_ns
    }

    /// Shortest and longest duration, nanoseconds; `None` when empty.
    pub fn range_ns(&self) -> Option<(u64, u64)> {
        (self.n > 0).then_some((self.min_ns, self.max_ns))
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
            Body::Binned(histogram) => histogram
                .iter_recorded()
                .map(|step| {
                    let value = step.value_iterated_to();
                    // Nanoseconds are whole, so a bin of [low, high] is the half-open (low − 1, high].
                    let lower = histogram.lowest_equivalent(value).saturating_sub(1);
                    (lower, histogram.highest_equivalent(value), u64::from(step.count_at_value()))
                })
                .collect(),
        }
    }

    /// Weight of durations of at most `threshold_ns`; in a binned sketch, of the bins up to the one that holds it.
    pub fn at_or_under(&self, threshold_ns: u64) -> u64 {
        match &self.body {
            Body::Exact(values) => {
                values.iter().filter(|value| **value >> 16 <= threshold_ns).map(|value| value & 0xffff).sum()
            }
            Body::Binned(histogram) => histogram.count_between(0, threshold_ns.min(HIGHEST_NS)),
        }
    }

    /// The durations as a distribution in seconds.
    pub fn distribution(&self) -> Distribution {
        let bins = self
            .bins_ns()
            .into_iter()
            .map(|(lower, upper, count)| Bin {
                lower: seconds(lower),
                upper: seconds(upper),
                count: count as f64,
            })
            .collect();
        Distribution::new(bins).unwrap_or_default()
    }

    fn binned(&mut self) -> &mut Histogram<u32> {
        if let Body::Exact(values) = &mut self.body {
            let mut histogram = empty_histogram();
            for value in values.drain(..) {
                record_binned(&mut histogram, value >> 16, (value & 0xffff) as u32);
            }
            self.body = Body::Binned(Box::new(histogram));
        }
        match &mut self.body {
            Body::Binned(histogram) => histogram,
            Body::Exact(_) => unreachable!("the body was made a histogram above"),
        }
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

fn empty_histogram() -> Histogram<u32> {
    #[expect(
        clippy::expect_used,
        reason = "three constants that the constructor accepts; covered by every test here"
    )]
    Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, SIGNIFICANT_DIGITS).expect("constant bounds are valid")
}

fn record_binned(histogram: &mut Histogram<u32>, duration_ns: u64, weight: u32) {
    // Clamped to the histogram's range, where recording cannot fail.
    let recorded = histogram.record_n(duration_ns.min(HIGHEST_NS), weight);
    debug_assert!(recorded.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sketch(values: &[(u64, u32)]) -> LatencySketch {
        let mut sketch = LatencySketch::default();
        values.iter().for_each(|(ns, weight)| sketch.record(*ns, *weight));
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

    #[test]
    fn an_effective_size_is_the_count_when_weights_are_alike() {
        assert_eq!(sketch(&[(1, 3), (2, 3)]).effective_n(), 2.0);
        assert_eq!(sketch(&[(1, 1), (2, 3)]).effective_n(), 16.0 / 10.0);
        assert_eq!(LatencySketch::default().effective_n(), 0.0);
    }

    proptest! {
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
