//! The area between two distribution functions.

use super::distribution::{Distribution, Ties};

/// The Wasserstein-1 (earth mover's) distance.
///
/// Question: how many seconds does the average request have to be moved to turn one side into the other?
/// Formula: W = ∫|F_B(t) − F_C(t)| dt.
/// Arguments: both sides in seconds; bins stand at their mid-points.
/// Returns: seconds, ≥ 0; `None` if a side is empty.
/// Errors: none.
/// Assumptions: none. Unbounded bins count at their finite edge, so the distance is then a lower bound.
/// Accuracy: exact for samples; for bins within the mean half-width of the bins of either side.
/// Reference: Vallender (1974), Theory of Probability and its Applications 18(4); as SciPy's `wasserstein_distance`.
pub fn distance(baseline: &Distribution, candidate: &Distribution) -> Option<f64> {
    of_ties(&Ties::of(baseline, candidate)?)
}

/// The same of two sides that are beside each other already.
pub fn of_ties(ties: &Ties) -> Option<f64> {
    let (mut passed_b, mut passed_c, mut sum) = (0.0, 0.0, 0.0);
    let mut previous: Option<f64> = None;
    let per = (1.0 / ties.baseline, 1.0 / ties.candidate);
    for group in &ties.groups {
        if let Some(before) = previous {
            let gap: f64 = passed_b * per.0 - passed_c * per.1;
            sum += gap.abs() * (group.value - before);
        }
        previous = Some(group.value);
        passed_b += group.baseline;
        passed_c += group.candidate;
    }
    Some(sum).filter(|distance| distance.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_is_as_far_as_it_is() {
        let of = |values: &[f64]| Distribution::from_values(values);
        let found = distance(&of(&[1.0, 2.0, 4.0]), &of(&[1.5, 2.5, 4.5]));
        assert!(found.is_some_and(|w| (w - 0.5).abs() < 1e-15));
        assert_eq!(distance(&of(&[3.0]), &of(&[3.0, 3.0])), Some(0.0));
        assert_eq!(distance(&of(&[]), &of(&[3.0])), None);
    }
}
