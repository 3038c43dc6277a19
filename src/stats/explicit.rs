//! Explicit-bucket histograms: bounds chosen by the sender.

use super::distribution::{Bin, Distribution};

/// Buckets as a distribution. `bounds` are upper bounds in seconds, rising; `counts` has one entry more, the last
/// beyond all bounds. `min` and `max`, where known, close the outermost buckets.
pub fn to_distribution(bounds: &[f64], counts: &[u64], min: Option<f64>, max: Option<f64>) -> Distribution {
    let bins = counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(at, count)| {
        let lower = at.checked_sub(1).and_then(|at| bounds.get(at).copied());
        let upper = bounds.get(at).copied();
        let lower = lower.or(min).unwrap_or(0.0).min(upper.unwrap_or(f64::MAX));
        Bin { lower, upper: upper.or(max).unwrap_or(f64::INFINITY).max(lower), count: *count as f64 }
    });
    Distribution::new(bins.collect()).unwrap_or_default()
}

/// The bounds that both have, rising.
pub fn shared_bounds(one: &[f64], other: &[f64]) -> Vec<f64> {
    one.iter().copied().filter(|bound| other.contains(bound)).collect()
}

/// Counts on some of the bounds, which must all be among `bounds`.
pub fn rebin(bounds: &[f64], counts: &[u64], wanted: &[f64]) -> Vec<u64> {
    let mut rebinned = vec![0u64; wanted.len() + 1];
    for (at, count) in counts.iter().enumerate() {
        let upper = bounds.get(at).copied().unwrap_or(f64::INFINITY);
        let bucket = wanted.partition_point(|bound| *bound < upper);
        rebinned[bucket] = rebinned[bucket].saturating_add(*count);
    }
    rebinned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_on_fewer_bounds_keep_their_total() {
        assert_eq!(rebin(&[1.0, 2.0, 4.0], &[1, 2, 3, 4], &[2.0]), [3, 7]);
        assert_eq!(rebin(&[1.0, 2.0], &[1, 2, 3], &[]), [6]);
        assert_eq!(shared_bounds(&[1.0, 2.0, 4.0], &[0.5, 2.0, 4.0, 8.0]), [2.0, 4.0]);
    }
}
