//! What a metric said of one instance in one window: sums that are exact in any order, and a distribution of levels.
//!
//! Numbers are added up in billionths of the metric's unit, as whole numbers. Levels are kept one by one while there
//! are few; then they are counted in bins that are at most 3 % wide, positive and negative alike, and wider by a factor
//! of two whenever there would be too many. Which bins there are follows from the values alone, not from their order.

use super::latency::COUNT_MOST;
use super::metric::MetricSketch;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Levels that are kept one by one.
const EXACT_MAX: usize = 64;
/// Bins of one distribution at the most.
const BINS_MAX: usize = 512;
/// Bits of a number that make its bin: exponent, and five of the fraction.
const DROPPED_BITS: u32 = 47;
/// The bin after that of the greatest finite number.
const BIN_END: i32 = 0x7ff << 5;
/// The greatest number that is added up, in billionths: 4·10²¹ of the unit. 2²⁷ of them fit.
const NANO_MAX: i128 = 1 << 100;

/// A number in billionths.
pub fn nano(value: f64) -> i128 {
    ((value * 1e9).round() as i128).clamp(-NANO_MAX, NANO_MAX)
}

/// A whole number in billionths.
pub fn nano_of_int(value: i64) -> i128 {
    i128::from(value) * 1_000_000_000
}

/// Levels over a window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Levels {
    n: u64,
    exact: Vec<f64>,
    bins: BTreeMap<i32, u64>,
    shift: u32,
    range: Option<(f64, f64)>,
}

impl Levels {
    /// Adds a finite number.
    pub fn record(&mut self, value: f64) {
        // There is one zero.
        let value = value + 0.0;
        self.n += 1;
        self.range = Some(self.range.map_or((value, value), |(low, high)| (low.min(value), high.max(value))));
        if self.bins.is_empty() && self.exact.len() < EXACT_MAX {
            self.exact.push(value);
            return;
        }
        self.bin_exact();
        self.count(bin_of(value) >> self.shift, 1);
    }

    /// Adds what another sketch holds.
    pub fn merge(&mut self, other: &Levels) {
        let total = self.n + other.n;
        if total <= EXACT_MAX as u64 {
            self.exact.extend(&other.exact);
        } else {
            self.bin_exact();
            while self.shift < other.shift {
                self.widen();
            }
            other.exact.iter().for_each(|value| self.count(bin_of(*value) >> self.shift, 1));
            for (bin, count) in &other.bins {
                self.count(bin >> (self.shift - other.shift), *count);
            }
        }
        self.n = total;
        let both = [self.range, other.range].into_iter().flatten();
        self.range = both.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    }

    fn bin_exact(&mut self) {
        for value in std::mem::take(&mut self.exact) {
            self.count(bin_of(value) >> self.shift, 1);
        }
    }

    fn count(&mut self, bin: i32, count: u64) {
        *self.bins.entry(bin).or_default() += count;
        // A bin that was made at this width may have to be found again at the next.
        while self.bins.len() > BINS_MAX {
            self.widen();
        }
    }

    fn widen(&mut self) {
        self.shift += 1;
        let narrow = std::mem::take(&mut self.bins);
        narrow.into_iter().for_each(|(bin, count)| *self.bins.entry(bin >> 1).or_default() += count);
    }

    /// Whether the numbers can be those of recorded levels; bytes from outside may say anything.
    fn is_sound(&self) -> bool {
        let finite = self.exact.iter().chain(self.range.iter().flat_map(|(low, high)| [low, high]));
        let counted = self.bins.values().try_fold(0u64, |sum, count| sum.checked_add(*count));
        let whole = match self.bins.is_empty() {
            true => self.exact.len() <= EXACT_MAX && self.n == self.exact.len() as u64,
            false => self.exact.is_empty() && self.n > EXACT_MAX as u64 && counted == Some(self.n),
        };
        whole
            && self.n <= COUNT_MOST
            && self.bins.len() <= BINS_MAX
            && self.shift < 16
            && self.bins.keys().all(|bin| (-1 - BIN_END..=BIN_END).contains(bin))
            && self.range.is_some() == (self.n > 0)
            && self.range.is_none_or(|(low, high)| low <= high)
            && finite.into_iter().all(|value| value.is_finite())
    }

    /// How many.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// The greatest.
    pub fn max(&self) -> Option<f64> {
        self.range.map(|(_, high)| high)
    }

    /// The q-quantile (Hyndman & Fan 1996, type 1), `q` in (0, 1]; in a bin its middle. `None` when empty.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let (low, high) = self.range?;
        let rank = ((q * self.n as f64).ceil() as u64).clamp(1, self.n);
        if self.bins.is_empty() {
            let mut sorted = self.exact.clone();
            sorted.sort_by(f64::total_cmp);
            return sorted.get(rank as usize - 1).copied();
        }
        let mut counted = 0;
        for (bin, count) in &self.bins {
            counted += count;
            if counted >= rank {
                let (lower, upper) = (edge(bin << self.shift), edge((bin + 1) << self.shift));
                return Some((lower / 2.0 + upper / 2.0).clamp(low, high));
            }
        }
        Some(high)
    }
}

/// Bins rise with their numbers: those of negative numbers are negative.
fn bin_of(value: f64) -> i32 {
    let magnitude = (value.abs().to_bits() >> DROPPED_BITS) as i32;
    if value < 0.0 { -1 - magnitude } else { magnitude }
}

/// The lower edge of a bin.
fn edge(bin: i32) -> f64 {
    let magnitude = |bin: i32| f64::from_bits((bin.min(BIN_END) as u64) << DROPPED_BITS);
    if bin < 0 { -magnitude(bin.saturating_neg()) } else { magnitude(bin) }
}

/// What one instance's points of a metric say in one window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ValueSketch {
    /// Numbers that `sum` is of: points of a gauge, values in a histogram or summary; 0 of a counter.
    pub count: u64,
    /// Their sum, or by how much a counter grew, in billionths of the unit.
    pub sum_nano: i128,
    /// Event time that the points speak of: the least start and the greatest end, nanoseconds; `None` when no point
    /// names its start.
    pub span_ns: Option<(u64, u64)>,
    /// The latest level, with its time; of several at one time the greatest.
    pub last: Option<(u64, f64)>,
    /// Levels.
    pub levels: Levels,
    /// A summary's quantiles by order, in millionths.
    pub quantiles: BTreeMap<u32, Levels>,
    /// A histogram's buckets, in the metric's unit as if it were seconds.
    pub buckets: MetricSketch,
}

impl ValueSketch {
    /// Adds a level.
    pub fn record_level(&mut self, time_ns: u64, value: f64, value_nano: i128) {
        self.count = self.count.saturating_add(1);
        self.sum_nano = self.sum_nano.saturating_add(value_nano);
        self.levels.record(value);
        self.latest((time_ns, value + 0.0));
    }

    /// Adds what a counter grew by, or the values of a summary, from `start_ns` (0 when unknown) to `time_ns`.
    pub fn record_growth(&mut self, (start_ns, time_ns): (u64, u64), count: u64, sum_nano: i128) {
        self.count = self.count.saturating_add(count);
        self.sum_nano = self.sum_nano.saturating_add(sum_nano);
        if start_ns > 0 && start_ns < time_ns {
            self.cover((start_ns, time_ns));
        }
    }

    /// Adds a summary's quantile of order `q`.
    pub fn record_quantile(&mut self, q: f64, value: f64) {
        let order = (q.clamp(0.0, 1.0) * 1e6).round() as u32;
        // A sender computes a handful of quantiles; one that names ever new ones must not fill the memory.
        if self.quantiles.len() < QUANTILES_MAX || self.quantiles.contains_key(&order) {
            self.quantiles.entry(order).or_default().record(value);
        }
    }

    fn latest(&mut self, point: (u64, f64)) {
        let later = |known: &(u64, f64)| point.0.cmp(&known.0).then(point.1.total_cmp(&known.1)).is_gt();
        if self.last.as_ref().is_none_or(later) {
            self.last = Some(point);
        }
    }

    fn cover(&mut self, (start, end): (u64, u64)) {
        let known = self.span_ns.unwrap_or((start, end));
        self.span_ns = Some((known.0.min(start), known.1.max(end)));
    }

    /// Adds what another sketch holds.
    pub fn merge(&mut self, other: &ValueSketch) {
        self.count = self.count.saturating_add(other.count);
        self.sum_nano = self.sum_nano.saturating_add(other.sum_nano);
        other.span_ns.iter().for_each(|span| self.cover(*span));
        other.last.iter().for_each(|point| self.latest(*point));
        self.levels.merge(&other.levels);
        for (order, levels) in &other.quantiles {
            self.quantiles.entry(*order).or_default().merge(levels);
        }
        self.buckets.merge(&other.buckets);
    }

    /// Whether the numbers can be those of recorded points; bytes from outside may say anything.
    pub fn is_sound(&self) -> bool {
        self.span_ns.is_none_or(|(start, end)| start < end)
            && self.last.is_none_or(|(_, level)| level.is_finite())
            && self.levels.is_sound()
            && self.quantiles.len() <= QUANTILES_MAX
            && self.quantiles.iter().all(|(order, levels)| *order <= 1_000_000 && levels.is_sound())
            && self.buckets.is_sound()
    }

    /// The q-quantile of what the points hold: single levels, buckets, or the sender's own.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if self.levels.n() > 0 {
            return self.levels.quantile(q);
        }
        if let Some(stated) = self.quantiles.get(&((q * 1e6).round() as u32)) {
            return stated.quantile(0.5);
        }
        let found = self.buckets.distribution().quantile(q)?;
        [found.value, found.lower].into_iter().find(|value| value.is_finite())
    }
}

/// Quantiles of one summary.
const QUANTILES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(values: &[f64]) -> Levels {
        let mut levels = Levels::default();
        values.iter().for_each(|value| levels.record(*value));
        levels
    }

    /// Numbers over many octaves, of both signs, that look random.
    fn numbers(n: u64) -> Vec<f64> {
        let number = |i: u64| {
            let bits = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let magnitude = ((bits >> 40) as f64 + 1.0) * 2f64.powi((bits % 60) as i32 - 30);
            if bits & 64 == 0 { magnitude } else { -magnitude }
        };
        (1..=n).map(number).collect()
    }

    #[test]
    fn a_bin_holds_the_numbers_between_its_edges() {
        for value in
            numbers(2_000).into_iter().chain([0.0, f64::MAX, -f64::MAX, f64::MIN_POSITIVE, -1.0, 1.0])
        {
            let bin = bin_of(value);
            assert!(edge(bin) <= value && value <= edge(bin + 1), "{value} in {bin}");
        }
    }

    #[test]
    fn levels_are_the_same_in_any_order_and_however_they_were_merged() {
        for n in [3, 64, 65, 130, 3_000] {
            let values = numbers(n);
            let whole = levels(&values);
            let reversed = levels(&values.iter().rev().copied().collect::<Vec<_>>());
            let (one, other) = values.split_at(values.len() / 3);
            let mut merged = levels(other);
            merged.merge(&levels(one));
            for q in [0.01, 0.5, 0.95, 1.0] {
                let expected = whole.quantile(q);
                assert_eq!((reversed.quantile(q), merged.quantile(q)), (expected, expected), "{n} {q}");
            }
            assert!(whole.bins.len() <= BINS_MAX && merged.bins == whole.bins && reversed.bins == whole.bins);
            assert_eq!((merged.n(), merged.max()), (whole.n(), whole.max()));
        }
    }

    #[test]
    fn quantiles_are_exact_while_there_are_few_and_within_a_bin_beyond() {
        assert_eq!(levels(&[3.0, -1.0, 2.0]).quantile(0.5), Some(2.0));
        assert_eq!(levels(&[]).quantile(0.5), None);
        let many: Vec<f64> = (1..=1_000).map(f64::from).collect();
        let p95 = levels(&many).quantile(0.95).unwrap();
        assert!((p95 / 950.0 - 1.0).abs() < 0.02, "{p95}");
        let below: Vec<f64> = many.iter().map(|value| -value).collect();
        let p5 = levels(&below).quantile(0.05).unwrap();
        assert!((p5 / -950.0 - 1.0).abs() < 0.02, "{p5}");
    }

    #[test]
    fn sums_are_the_same_in_any_order_and_have_no_end_to_go_round() {
        let sum = |values: &mut dyn Iterator<Item = &f64>| {
            let mut sketch = ValueSketch::default();
            values.for_each(|value| sketch.record_level(1, *value, nano(*value)));
            sketch.sum_nano
        };
        let values = [0.1, 1e15, -1e15, 0.2, 3e-9];
        assert_eq!(sum(&mut values.iter()), sum(&mut values.iter().rev()));
        assert_eq!(sum(&mut values.iter()), 300_000_003);
        assert_eq!(nano(f64::MAX), NANO_MAX);
        assert_eq!(nano_of_int(-2), -2_000_000_000);
    }

    #[test]
    fn the_latest_level_is_the_latest_whichever_came_first() {
        for points in [[(5, 1.0), (9, 2.0), (9, 3.0)], [(9, 3.0), (9, 2.0), (5, 1.0)]] {
            let mut sketch = ValueSketch::default();
            points.iter().for_each(|(time, value)| sketch.record_level(*time, *value, 0));
            assert_eq!(sketch.last, Some((9, 3.0)));
        }
    }
}
