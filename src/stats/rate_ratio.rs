//! How many calls does one request make, and is that another number elsewhere?

use super::design_effect::satterthwaite;
use super::normal;

/// One cluster (a stretch of time): requests that came in, and calls that went out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CallCount {
    /// Requests that came in.
    pub requests: f64,
    /// Calls that went out.
    pub calls: f64,
}

/// Calls per request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CallRate {
    /// Calls per request, at least 0.
    pub rate: f64,
    /// Its variance, clusters taken into account.
    pub variance: f64,
    /// Clusters less one.
    pub dof: f64,
}

/// How many calls does one request make?
///
/// r̂ = Σx_i/Σn_i; V = k/(k−1) · Σ(x_i − n_i·r̂)²/(Σn_i)² (the linearised ratio estimator: Cochran 1977, "Sampling
/// Techniques", 6.3), at least Poisson's r̂/Σn_i. `None` with fewer than two clusters that have requests, or without calls.
/// Assumes independent clusters.
pub fn estimate(clusters: &[CallCount]) -> Option<CallRate> {
    let k = clusters.iter().filter(|cluster| cluster.requests > 0.0).count() as f64;
    let requests: f64 = clusters.iter().map(|cluster| cluster.requests).sum();
    let calls: f64 = clusters.iter().map(|cluster| cluster.calls).sum();
    if k < 2.0 || calls <= 0.0 {
        return None;
    }
    let rate = calls / requests;
    let squares: f64 = clusters.iter().map(|c| (c.calls - c.requests * rate).powi(2)).sum();
    let clustered = k / (k - 1.0) * squares / (requests * requests);
    Some(CallRate { rate, variance: clustered.max(rate / requests), dof: k - 1.0 })
}

/// The ratio of two rates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateRatio {
    /// Candidate over baseline.
    pub ratio: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
    /// The two-sided p-value of a ratio beyond `factor` or under 1/`factor`.
    pub p: f64,
}

/// Is the candidate's rate more than `factor` times the baseline's, or less than 1/`factor` of it?
///
/// θ = ln(r_C/r_B) with variance V_B/r_B² + V_C/r_C² (delta method), Student's t with Satterthwaite's degrees of freedom;
/// p = 2·P(T > (|θ| − ln factor)/√V). `factor` ≥ 1; `confidence` of the interval in (0, 1).
pub fn compare(baseline: &CallRate, candidate: &CallRate, factor: f64, confidence: f64) -> RateRatio {
    let relative = |side: &CallRate| side.variance / (side.rate * side.rate);
    let sides = [baseline, candidate].map(|side| (relative(side), Some(side.dof)));
    let dof = satterthwaite(sides);
    let (theta, se) = ((candidate.rate / baseline.rate).ln(), (sides[0].0 + sides[1].0).sqrt());
    let half = normal::critical(0.5 + confidence / 2.0, dof) * se;
    let p = (2.0 * normal::upper_tail((theta.abs() - factor.ln()) / se, dof)).min(1.0);
    RateRatio { ratio: theta.exp(), low: (theta - half).exp(), high: (theta + half).exp(), p }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clusters(calls: &[f64]) -> Vec<CallCount> {
        calls.iter().map(|&calls| CallCount { requests: 100.0, calls }).collect()
    }

    /// NumPy: r = x.sum()/n.sum(); k/(k-1)*((x-n*r)**2).sum()/n.sum()**2.
    #[test]
    fn a_rate_has_the_variance_of_its_clusters_or_poissons_where_that_is_more() {
        let spread = estimate(&clusters(&[400.0, 500.0, 300.0])).unwrap();
        assert_eq!((spread.rate, spread.dof), (4.0, 2.0));
        assert!((spread.variance - 1.0 / 3.0).abs() < 1e-12);
        let even = estimate(&clusters(&[400.0; 3])).unwrap();
        assert!((even.variance - 4.0 / 300.0).abs() < 1e-12);
        assert!(estimate(&clusters(&[400.0])).is_none() && estimate(&clusters(&[0.0, 0.0])).is_none());
    }

    #[test]
    fn a_fifth_of_the_calls_is_shown_to_be_less_than_half_and_a_third_less_is_not() {
        let side = |calls: f64| estimate(&clusters(&[calls * 0.95, calls, calls * 1.05, calls])).unwrap();
        let few = compare(&side(460.0), &side(83.0), 2.0, 0.9);
        assert!((few.ratio - 83.0 / 460.0).abs() < 1e-12 && few.p < 1e-4 && few.high < 0.25, "{few:?}");
        let fewer = compare(&side(460.0), &side(307.0), 2.0, 0.9);
        assert_eq!(fewer.p, 1.0);
        let swapped = compare(&side(83.0), &side(460.0), 2.0, 0.9);
        assert!((swapped.ratio * few.ratio - 1.0).abs() < 1e-12 && (swapped.p - few.p).abs() < 1e-15);
    }
}
