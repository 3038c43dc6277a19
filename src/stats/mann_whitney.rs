//! Mann-Whitney's rank test, Vargha and Delaney's A, and the Hodges-Lehmann shift.

use super::distribution::{Distribution, Ties};
use super::normal;

/// Mann-Whitney's test of candidate against baseline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MannWhitney {
    /// Pairs in which the candidate is larger, ties counting half. In \[0, n_B·n_C\].
    pub u_candidate: f64,
    /// Two-sided p-value, in \[0, 1\].
    pub p_value: f64,
    /// One-sided p-value that the candidate tends to be larger (slower), in \[0, 1\].
    pub p_slower: f64,
    /// Vargha and Delaney's A: the chance that a candidate's value is larger than a baseline's, ties half. In
    /// \[0, 1\], ½ for no tendency.
    pub vargha_delaney_a: f64,
}

/// Mann-Whitney's rank test with ties and continuity correction.
///
/// Question: does the candidate tend to larger values?
/// Formula: U = Σ pairs \[c > b\] + ½\[c = b\]; z = (U − n_B·n_C/2 ∓ ½)/σ,
/// σ² = n_B·n_C/12·((N + 1) − Σ(t³ − t)/(N(N − 1))), t the sizes of tied groups; A = U/(n_B·n_C).
/// Arguments: both sides in seconds; bins stand at their mid-points, so equal bins tie.
/// Returns: see [`MannWhitney`]; p is 1 if all values are equal. `None` if a side is empty.
/// Errors: none.
/// Assumptions: independent observations, counted as given; evidence, not decision.
/// Accuracy: normal approximation, good from 8 a side; on bins A is off by at most half the share of pairs that
/// share a bin.
/// Reference: Mann & Whitney (1947); Vargha & Delaney (2000), J. Educational and Behavioral Statistics 25(2); as
/// SciPy's `mannwhitneyu(candidate, baseline, method="asymptotic")`.
pub fn two_sample(baseline: &Distribution, candidate: &Distribution) -> Option<MannWhitney> {
    Ties::of(baseline, candidate).map(|ties| of_ties(&ties))
}

/// The same of two sides that are beside each other already.
pub fn of_ties(ties: &Ties) -> MannWhitney {
    let (n_b, n_c) = (ties.baseline, ties.candidate);
    let n = n_b + n_c;
    // Everything is kept relative to the totals, whose cubes may be past the largest float.
    let (mut passed_b, mut a, mut cubes) = (0.0, 0.0, 0.0);
    let (per_pair_b, per_pair_c, per_value) = (1.0 / n_b, 1.0 / n_c, 1.0 / n);
    for group in &ties.groups {
        a += group.candidate * per_pair_c * ((passed_b + group.baseline / 2.0) * per_pair_b);
        passed_b += group.baseline;
        let tied = group.baseline + group.candidate;
        let share = tied * per_value;
        cubes += (share * tied) * share - share * per_value;
    }
    let a = a.clamp(0.0, 1.0);
    let u_candidate = (a * n_c * n_b).min(f64::MAX);
    // Σ(t³ − t)/(N(N − 1)) = Σ(t³ − t)/N² · N/(N − 1).
    let correction = if n > 1.0 { cubes * (n / (n - 1.0)) } else { n + 1.0 };
    let spread = ((n + 1.0 - correction) / 12.0 / n_b / n_c).max(0.0).sqrt();
    let half_step = 0.5 / n_b / n_c;
    let tail = |excess: f64| {
        let z = (excess - half_step) / spread;
        if spread > 0.0 && z.is_finite() { normal::upper_tail(z, None) } else { 1.0 }
    };
    MannWhitney {
        u_candidate,
        p_value: (2.0 * tail((a - 0.5).abs())).min(1.0),
        p_slower: tail(a - 0.5),
        vargha_delaney_a: a,
    }
}

/// The Hodges-Lehmann shift of candidate against baseline.
///
/// Question: by how much would the baseline have to be moved to sit on the candidate?
/// Formula: the median of all differences c − b, weighted; the mean of the two middle ones if their number is even.
/// Arguments: both sides in seconds; bins stand at their mid-points.
/// Returns: seconds, positive if the candidate is slower; `None` if a side is empty.
/// Errors: none.
/// Assumptions: a pure shift, else it is the median difference.
/// Accuracy: exact for samples; for bins within half the widths of the two bins involved. Cost: O(bins·64): the
/// median is found by bisection on the floats themselves, never by listing pairs.
/// Reference: Hodges & Lehmann (1963), Annals of Mathematical Statistics 34(2).
pub fn hodges_lehmann(baseline: &Distribution, candidate: &Distribution) -> Option<f64> {
    let (first_b, last_b) = (baseline.bins().first()?.midpoint(), baseline.bins().last()?.midpoint());
    let (first_c, last_c) = (candidate.bins().first()?.midpoint(), candidate.bins().last()?.midpoint());
    let (smallest, largest) = (first_c - last_b, last_c - first_b);
    if !(smallest.is_finite() && largest.is_finite()) {
        return None;
    }
    let share = |x: f64| share_at_or_under(baseline, candidate, x);
    let middle = smallest_with(smallest, largest, |x| share(x) >= 0.5 - HALF_SLACK);
    if share(middle) > 0.5 + HALF_SLACK {
        return Some(middle);
    }
    let next = smallest_with(middle, largest, |x| share(x) > 0.5 + HALF_SLACK);
    Some(middle + (next - middle) / 2.0)
}

/// Shares of pairs are sums of products of shares; half is met within rounding.
const HALF_SLACK: f64 = 1e-12;

/// The share of pairs with c − b ≤ x. Both sides rise, so one walk along the candidate moves once along the baseline.
fn share_at_or_under(baseline: &Distribution, candidate: &Distribution, x: f64) -> f64 {
    let mut rest = baseline.bins().iter().peekable();
    let mut larger_b = baseline.total();
    let mut sum = 0.0;
    for bin in candidate.bins() {
        let c = bin.midpoint();
        while let Some(passed) = rest.next_if(|b| c - b.midpoint() > x) {
            larger_b -= passed.count;
        }
        if rest.peek().is_none() {
            break;
        }
        sum += bin.count / candidate.total() * (larger_b / baseline.total());
    }
    sum
}

/// The smallest float in \[low, high\] that holds, for a condition that holds from a point on; `high` if none does.
fn smallest_with(low: f64, high: f64, holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (ordered_bits(low), ordered_bits(high));
    while low < high {
        let middle = low + high.wrapping_sub(low) / 2;
        if holds(from_ordered_bits(middle)) { high = middle } else { low = middle + 1 }
    }
    from_ordered_bits(high)
}

/// Floats as unsigned integers in the same order.
fn ordered_bits(x: f64) -> u64 {
    let bits = x.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | (1 << 63) }
}

fn from_ordered_bits(bits: u64) -> f64 {
    f64::from_bits(if bits >> 63 == 1 { bits & !(1 << 63) } else { !bits })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Bin;

    fn of(values: &[f64]) -> Distribution {
        Distribution::from_values(values)
    }

    #[test]
    fn equal_values_everywhere_show_no_tendency() {
        let found = two_sample(&of(&[1.0; 5]), &of(&[1.0; 9]));
        assert_eq!(found.map(|m| (m.p_value, m.vargha_delaney_a)), Some((1.0, 0.5)));
        assert_eq!(hodges_lehmann(&of(&[1.0; 5]), &of(&[1.0; 9])), Some(0.0));
    }

    #[test]
    fn one_value_a_side_and_empty_sides_are_defined() {
        let one = two_sample(&of(&[1.0]), &of(&[2.0]));
        assert_eq!(one.map(|m| (m.p_value, m.vargha_delaney_a, m.u_candidate)), Some((1.0, 1.0, 1.0)));
        assert_eq!(hodges_lehmann(&of(&[1.0]), &of(&[2.5])), Some(1.5));
        assert_eq!(two_sample(&of(&[]), &of(&[2.0])), None);
        assert_eq!(hodges_lehmann(&of(&[2.0]), &of(&[])), None);
    }

    #[test]
    fn swapping_the_sides_flips_the_shift() {
        let (b, c) = (of(&[0.1, 0.2, 0.7, 0.9]), of(&[0.3, 0.35, 1.5]));
        let shift = hodges_lehmann(&b, &c).zip(hodges_lehmann(&c, &b));
        assert!(shift.is_some_and(|(there, back)| (there + back).abs() < 1e-15));
        let (there, back) = (two_sample(&b, &c), two_sample(&c, &b));
        assert!(there.zip(back).is_some_and(|(t, u)| (t.p_value - u.p_value).abs() < 1e-12
            && (t.vargha_delaney_a + u.vargha_delaney_a - 1.0).abs() < 1e-12));
    }

    #[test]
    fn huge_totals_stay_finite() {
        let heavy = |at: f64| {
            let bin = |value: f64| Bin { lower: value, upper: value, count: 1e200 };
            Distribution::new(vec![bin(at), bin(at + 1.0)]).unwrap()
        };
        let found = two_sample(&heavy(0.0), &heavy(0.5));
        assert!(found.is_some_and(|m| m.p_value.is_finite() && m.u_candidate.is_finite()));
    }

    #[test]
    fn floats_survive_their_ordered_bits() {
        for x in [-1e300, -1.0, -0.0, 0.0, 5e-324, 0.25, 1e300] {
            assert_eq!(from_ordered_bits(ordered_bits(x)), x);
        }
        assert!(ordered_bits(-1.0) < ordered_bits(-0.5) && ordered_bits(-0.5) < ordered_bits(0.5));
    }
}
