//! Values of one sample beyond all values of the other.

/// How likely are at least `beyond` values of a sample of `m` greater than all `n` values of the other, if both come from
/// one distribution?
///
/// P = ∏ (m − i)/(n + m − i) over i < `beyond`: that the greatest `beyond` of all n + m values are all in the one sample.
/// Exact whatever the distribution, ties taken as not greater; no less than 1/C(n + m, m). `beyond` ≤ `m`. Reference:
/// Rosenbaum 1954, "Tables for a nonparametric test of location", Annals of Mathematical Statistics 25. Assumes
/// independent values.
pub fn p_value(n: usize, m: usize, beyond: usize) -> f64 {
    (0..beyond.min(m)).map(|i| (m - i) as f64 / (n + m - i) as f64).product()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_share_of_the_arrangements_that_are_as_extreme() {
        // All three of three beyond twelve: one of C(15, 3) = 455 arrangements.
        assert!((p_value(12, 3, 3) - 1.0 / 455.0).abs() < 1e-15);
        // The two greatest of four both in the sample of two: one of six.
        assert!((p_value(2, 2, 2) - 1.0 / 6.0).abs() < 1e-15);
        assert_eq!(p_value(5, 3, 0), 1.0);
        assert_eq!(p_value(0, 3, 3), 1.0);
    }
}
