//! What bins cannot see.

use super::distribution::{Bin, Distribution};

/// The shifts that are tried.
pub const SHIFTS: [f64; 7] = [0.01, 0.02, 0.05, 0.10, 0.15, 0.25, 0.50];

/// What is the smallest slow-down that these bins would show?
///
/// The least s of [`SHIFTS`] for which multiplying every duration by 1 + s moves more than 2/√n_eff of the weight
/// across some edge, if weight is spread evenly in the logarithm inside its bin. `None` when not even the largest
/// does. Exact values see everything that their number allows.
pub fn smallest_visible_shift(distribution: &Distribution, n_eff: f64) -> Option<f64> {
    let enough = 2.0 / n_eff.max(1.0).sqrt();
    SHIFTS.into_iter().find(|shift| {
        let factor = 1.0 + shift;
        let total = distribution.total();
        distribution.bins().iter().filter(|bin| bin.upper.is_finite()).any(|edge| {
            // The share that lies at most a factor below this edge crosses it.
            let threshold = edge.upper / factor;
            let crossing: f64 = distribution
                .bins()
                .iter()
                .skip_while(|bin| bin.upper <= threshold)
                .take_while(|bin| bin.lower < edge.upper)
                .map(|bin| bin.count * share_between(bin, threshold, edge.upper))
                .sum();
            crossing / total > enough
        })
    })
}

fn share_between(bin: &Bin, from: f64, to: f64) -> f64 {
    if bin.lower == bin.upper {
        return f64::from(u8::from(bin.upper > from && bin.upper <= to));
    }
    if !bin.upper.is_finite() {
        return 0.0;
    }
    let lower = if bin.lower > 0.0 { bin.lower } else { bin.upper / 2.0 };
    let width = (bin.upper / lower).ln();
    ((to.min(bin.upper) / from.max(lower)).ln() / width).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarse_buckets_hide_what_fine_ones_show() {
        let bounds = [0.1, 0.25, 0.5];
        let coarse = super::super::explicit::to_distribution(&bounds, &[0, 1_000, 0, 0], None, None);
        assert_eq!(smallest_visible_shift(&coarse, 1_000.0), Some(0.10));
        let values: Vec<f64> = (0..1_000).map(|i| 0.1 * (1.0 + f64::from(i) / 1_000.0)).collect();
        assert!(smallest_visible_shift(&Distribution::from_values(&values), 1_000.0) <= Some(0.10));
    }
}
