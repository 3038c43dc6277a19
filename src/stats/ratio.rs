//! The ratio of two quantiles with its interval.

use super::quantile::QuantileInterval;

/// Candidate over baseline. `None` is unbounded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RatioInterval {
    /// The estimate.
    pub ratio: f64,
    /// The lower end.
    pub lower: Option<f64>,
    /// The upper end.
    pub upper: Option<f64>,
}

/// By which factor does the candidate's quantile differ?
///
/// MOVER on the logarithm, θ̂ = Q̂_C − Q̂_B: lower = θ̂ − √((Q̂_C − l_C)² + (u_B − Q̂_B)²),
/// upper = θ̂ + √((u_C − Q̂_C)² + (Q̂_B − l_B)²), where [l, u] are the sides' intervals in logarithms.
///
/// Both sides in seconds. `None` when either estimate is not positive (a ratio to nothing). Assumes independent sides.
/// Reference: Zou & Donner 2008, Statistics in Medicine 27.
pub fn mover_log_ratio(baseline: &QuantileInterval, candidate: &QuantileInterval) -> Option<RatioInterval> {
    let positive = |value: f64| value > 0.0 && value.is_finite();
    if !positive(baseline.estimate) || !positive(candidate.estimate) {
        return None;
    }
    let distance =
        |from: f64, to: Option<f64>| to.filter(|to| positive(*to)).map(|to| (from.ln() - to.ln()).abs());
    let theta = candidate.estimate.ln() - baseline.estimate.ln();
    let hypot = |one: Option<f64>, other: Option<f64>| Some(one?.hypot(other?));
    let below =
        hypot(distance(candidate.estimate, candidate.lower), distance(baseline.estimate, baseline.upper));
    let above =
        hypot(distance(candidate.estimate, candidate.upper), distance(baseline.estimate, baseline.lower));
    Some(RatioInterval {
        ratio: theta.exp(),
        lower: below.map(|below| (theta - below).exp()),
        upper: above.map(|above| (theta + above).exp()).filter(|upper| upper.is_finite()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(estimate: f64, lower: f64, upper: f64) -> QuantileInterval {
        QuantileInterval { estimate, lower: Some(lower), upper: Some(upper) }
    }

    #[test]
    fn swapping_the_sides_inverts_the_ratio_and_its_interval() {
        let (one, other) = (interval(1.0, 0.9, 1.2), interval(2.0, 1.7, 2.1));
        let (there, back) = (mover_log_ratio(&one, &other).unwrap(), mover_log_ratio(&other, &one).unwrap());
        assert!((there.ratio * back.ratio - 1.0).abs() < 1e-12);
        assert!((there.lower.unwrap() * back.upper.unwrap() - 1.0).abs() < 1e-12);
        assert!(there.lower.unwrap() < there.ratio && there.ratio < there.upper.unwrap());
    }

    #[test]
    fn an_unbounded_side_leaves_the_ratio_unbounded_and_zero_has_none() {
        let open = QuantileInterval { estimate: 1.0, lower: Some(0.5), upper: None };
        let ratio = mover_log_ratio(&interval(1.0, 0.9, 1.1), &open).unwrap();
        assert!(ratio.lower.is_some() && ratio.upper.is_none());
        assert_eq!(mover_log_ratio(&interval(0.0, 0.0, 0.0), &open), None);
    }
}
