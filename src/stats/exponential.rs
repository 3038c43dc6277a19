//! OpenTelemetry's base-2 exponential histogram.
//!
//! Bucket `i` at scale `s` is `(2^(i·2⁻ˢ), 2^((i+1)·2⁻ˢ)]`. One scale lower, buckets `2i` and `2i+1` are bucket `i`:
//! histograms of two scales merge exactly at the lower one (OpenTelemetry metrics data model, "Exponential Scale").

use super::distribution::{Bin, Distribution};
use serde::{Deserialize, Serialize};

/// Positive buckets and zeros. Durations have no negative ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExponentialBuckets {
    /// Buckets in an octave, as a power of two.
    pub scale: i32,
    /// Index of the first bucket.
    pub offset: i32,
    /// From the first bucket on.
    pub counts: Vec<u64>,
    /// Values counted as zero.
    pub zero_count: u64,
    /// The greatest value that counts as zero.
    pub zero_threshold: f64,
}

/// A merge makes no more buckets than this; beyond, the scale falls. OpenTelemetry SDKs use 160.
const BUCKETS_MAX: i64 = 4_096;

/// Scales that a receiver takes, and those to which merging may bring them.
const SCALES: std::ops::RangeInclusive<i32> = -64..=30;

impl ExponentialBuckets {
    /// Whether its buckets lie where they can be merged; bytes from outside may say anything.
    pub fn is_sound(&self) -> bool {
        SCALES.contains(&self.scale)
            && i64::from(self.offset).abs() + self.counts.len() as i64 <= i64::from(i32::MAX)
            && self.zero_threshold.is_finite()
    }

    /// The same values at a scale that is lower by `steps`.
    pub fn downscale(&self, steps: u32) -> ExponentialBuckets {
        if steps == 0 {
            return self.clone();
        }
        let shift = steps.min(31);
        let offset = self.offset >> shift;
        let mut counts: Vec<u64> = Vec::new();
        for (at, count) in self.counts.iter().enumerate() {
            let index = ((i64::from(self.offset) + at as i64) >> shift) - i64::from(offset);
            let index = usize::try_from(index).unwrap_or(0);
            if counts.len() <= index {
                counts.resize(index + 1, 0);
            }
            counts[index] = counts[index].saturating_add(*count);
        }
        ExponentialBuckets {
            scale: self.scale.saturating_sub_unsigned(steps),
            offset,
            counts,
            ..self.clone()
        }
    }

    /// Adds other buckets, at the lower of the two scales, or a lower one if the buckets would be too many.
    pub fn merge(&mut self, other: &ExponentialBuckets) {
        self.zero_count = self.zero_count.saturating_add(other.zero_count);
        self.zero_threshold = self.zero_threshold.max(other.zero_threshold);
        if other.counts.iter().all(|count| *count == 0) {
            return;
        }
        if self.counts.iter().all(|count| *count == 0) {
            let (zero_count, zero_threshold) = (self.zero_count, self.zero_threshold);
            *self = ExponentialBuckets { zero_count, zero_threshold, ..other.clone() };
            return;
        }
        let mut scale = self.scale.min(other.scale);
        let (mut ours, mut theirs) = (self.at_scale(scale), other.at_scale(scale));
        while span(&ours, &theirs) > BUCKETS_MAX {
            scale -= 1;
            (ours, theirs) = (self.at_scale(scale), other.at_scale(scale));
        }
        let offset = ours.offset.min(theirs.offset);
        let mut counts = vec![0u64; span(&ours, &theirs) as usize];
        for part in [&ours, &theirs] {
            let shift = (i64::from(part.offset) - i64::from(offset)) as usize;
            for (at, count) in part.counts.iter().enumerate() {
                counts[shift + at] = counts[shift + at].saturating_add(*count);
            }
        }
        *self = ExponentialBuckets { scale, offset, counts, ..self.clone() };
    }

    fn at_scale(&self, scale: i32) -> ExponentialBuckets {
        self.downscale(u32::try_from(i64::from(self.scale) - i64::from(scale)).unwrap_or(0))
    }

    /// The lower end of the bucket with this index, in the histogram's unit.
    pub fn edge(&self, index: i64) -> f64 {
        (index as f64 * 2f64.powi(-self.scale)).exp2()
    }

    /// As a distribution in the histogram's unit.
    pub fn to_distribution(&self) -> Distribution {
        let mut bins = Vec::with_capacity(self.counts.len() + 1);
        let threshold = self.zero_threshold.max(0.0);
        if self.zero_count > 0 {
            bins.push(Bin { lower: 0.0, upper: threshold, count: self.zero_count as f64 });
        }
        for (at, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let index = i64::from(self.offset) + at as i64;
            let lower = self.edge(index).min(f64::MAX);
            // A bucket that reaches under the zero threshold holds only what is above it.
            let lower = if self.zero_count > 0 { lower.max(threshold) } else { lower };
            bins.push(Bin { lower, upper: self.edge(index + 1).max(lower), count: *count as f64 });
        }
        Distribution::new(bins).unwrap_or_default()
    }
}

/// Buckets from the first of the two to the last.
fn span(a: &ExponentialBuckets, b: &ExponentialBuckets) -> i64 {
    let end = |part: &ExponentialBuckets| i64::from(part.offset) + part.counts.len() as i64;
    end(a).max(end(b)) - i64::from(a.offset.min(b.offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(scale: i32, offset: i32, counts: &[u64]) -> ExponentialBuckets {
        ExponentialBuckets { scale, offset, counts: counts.to_vec(), ..ExponentialBuckets::default() }
    }

    #[test]
    fn histograms_of_two_scales_merge_at_the_lower_one_in_any_order() {
        let (fine, coarse) = (buckets(1, -3, &[1, 2, 3, 4]), buckets(0, 2, &[5]));
        let (mut one, mut other) = (fine.clone(), coarse.clone());
        one.merge(&coarse);
        other.merge(&fine);
        assert_eq!(one, other);
        assert_eq!(one, buckets(0, -2, &[1, 5, 4, 0, 5]));
    }

    #[test]
    fn far_apart_buckets_lower_the_scale_instead_of_filling_the_memory() {
        let mut near = buckets(20, -1_000_000, &[1]);
        near.merge(&buckets(20, 1_000_000_000, &[2]));
        assert!(near.counts.len() as i64 <= BUCKETS_MAX);
        assert_eq!(near.counts.iter().sum::<u64>(), 3);
    }
}
