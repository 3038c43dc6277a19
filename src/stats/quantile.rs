//! A quantile's distribution-free interval.

use super::distribution::Distribution;
use super::normal::critical;
use statrs::distribution::{Binomial, DiscreteCDF};

/// Below this many effective requests ranks come from the exact binomial distribution.
const EXACT_BELOW: f64 = 200.0;

/// A quantile with its interval, seconds. `None` is unbounded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantileInterval {
    /// The estimate.
    pub estimate: f64,
    /// The lower end.
    pub lower: Option<f64>,
    /// The upper end.
    pub upper: Option<f64>,
}

/// Between which order statistics does the q-quantile lie?
///
/// Lower rank: the a/2 quantile of Binomial(n, q); upper rank: the 1 − a/2 quantile plus one, where a is
/// 1 − `confidence`. Ranks are 1-based; `None` is beyond the sample. `n` ≥ 1, `q` and `confidence` in (0, 1).
/// Assumes independent values. Coverage is at least `confidence`. Reference: David & Nagaraja 2003, "Order
/// Statistics", 7.1.
pub fn order_statistic_ranks(n: u64, q: f64, confidence: f64) -> (Option<u64>, Option<u64>) {
    let Ok(binomial) = Binomial::new(q.clamp(0.0, 1.0), n) else { return (None, None) };
    let tail = (1.0 - confidence) / 2.0;
    // The least k with P(X ≤ k) ≥ p; a rounding error in the distribution function must not add a step. The search begins
    // where a normal distribution with the binomial's skewness has it (Cornish & Fisher 1938), hardly ever further off
    // than one.
    let quantile = |p: f64| {
        let reaches = |k: u64| binomial.cdf(k) >= p * (1.0 - 1e-12);
        let (mean, z) = (n as f64 * q, critical(p, None));
        let near = mean + z * (mean * (1.0 - q)).sqrt() + (z * z - 1.0) * (1.0 - 2.0 * q) / 6.0 - 0.5;
        let mut k = near.ceil().clamp(0.0, n as f64) as u64;
        while k > 0 && reaches(k - 1) {
            k -= 1;
        }
        while k < n && !reaches(k) {
            k += 1;
        }
        k
    };
    let (lower, upper) = (quantile(tail), quantile(1.0 - tail) + 1);
    ((lower >= 1).then_some(lower), (upper <= n).then_some(upper))
}

/// Between which durations does the q-quantile lie?
///
/// An interval for F at the quantile, taken through the inverse of F (Woodruff 1952, J. Am. Stat. Assoc. 47;
/// Francisco & Fuller 1991, Ann. Stat. 19): exact binomial ranks under 200 effective requests, beyond them
/// q ± c·√(q(1−q)/n_eff) with c from Student's t with `dof` degrees of freedom, or the normal distribution without.
/// With few clusters the wider of the two is used below 200 as well.
///
/// `distribution`: seconds; `n_eff`: effective size, at most the total; `q`, `confidence` in (0, 1). `None` when
/// empty. Accuracy: never narrower than the bin that holds an end.
pub fn interval(
    distribution: &Distribution,
    q: f64,
    n_eff: f64,
    confidence: f64,
    dof: Option<f64>,
) -> Option<QuantileInterval> {
    interval_at(distribution, q, n_eff, &Level::new(confidence, dof))
}

/// A confidence with what it takes to compute: the critical value is the same for all that share it.
#[derive(Clone, Copy, Debug)]
pub struct Level {
    confidence: f64,
    critical: f64,
    few_clusters: bool,
}

impl Level {
    /// `confidence` in (0, 1); `dof`: Student's degrees of freedom, or none for the normal distribution.
    pub fn new(confidence: f64, dof: Option<f64>) -> Level {
        Level { confidence, critical: critical(0.5 + confidence / 2.0, dof), few_clusters: dof.is_some() }
    }

    /// The value that a standard variable exceeds with half of what the confidence leaves.
    pub fn critical(&self) -> f64 {
        self.critical
    }
}

/// [`interval`] at a level that others share.
pub fn interval_at(
    distribution: &Distribution,
    q: f64,
    n_eff: f64,
    level: &Level,
) -> Option<QuantileInterval> {
    let quantile = distribution.quantile(q)?;
    let total = distribution.total();
    let n_eff = n_eff.clamp(1.0, total.max(1.0));
    let margin = level.critical * (q * (1.0 - q) / n_eff).sqrt();
    let (mut low, mut high) = (q - margin, q + margin);
    if n_eff < EXACT_BELOW {
        let size = n_eff.floor().max(1.0);
        let (lower, upper) = order_statistic_ranks(size as u64, q, level.confidence);
        let exact = (
            lower.map_or(f64::NEG_INFINITY, |rank| rank as f64 / size),
            upper.map_or(f64::INFINITY, |rank| rank as f64 / size),
        );
        (low, high) = if level.few_clusters { (low.min(exact.0), high.max(exact.1)) } else { exact };
    }
    let lower = (low > 0.0).then(|| distribution.at_rank((low * total).max(1.0))).flatten();
    let upper = (high <= 1.0 + 1e-12).then(|| distribution.at_rank((high * total).min(total))).flatten();
    Some(QuantileInterval {
        estimate: quantile.value,
        lower: lower.map(|bin| bin.lower.min(quantile.lower)),
        upper: upper.map(|bin| bin.upper.max(quantile.upper)).filter(|upper| upper.is_finite()),
    })
}
