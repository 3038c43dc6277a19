//! Anderson and Darling's two-sample statistic: like Kolmogorov-Smirnov, with the tails weighted up.

use super::distribution::{Distribution, Ties};
use std::f64::consts::PI;

/// From this joint size on the constants of the variance are taken at their limits, which are within 1e-3 of them.
const SUMS_UP_TO: f64 = 10_000.0;

/// Critical points of the normalised statistic for two samples with their levels: the sums b0 + b1/√m + b2/m of Scholz
/// & Stephens (1987), table 2, at m = 1.
const CRITICAL: [(f64, f64); 7] = [
    (0.675 - 0.245 - 0.105, 0.25),
    (1.281 + 0.250 - 0.305, 0.10),
    (1.645 + 0.678 - 0.362, 0.05),
    (1.960 + 1.149 - 0.391, 0.025),
    (2.326 + 1.822 - 0.396, 0.01),
    (2.573 + 2.364 - 0.345, 0.005),
    (3.085 + 3.615 - 0.154, 0.001),
];

/// Anderson and Darling's two-sample test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AndersonDarling {
    /// The statistic minus its expectation, over its standard deviation under equality.
    pub a2_normalised: f64,
    /// Approximate p-value, held in \[0.001, 0.25\], the range of the published table.
    pub p_value: f64,
}

/// Anderson and Darling's two-sample statistic, mid-rank form.
///
/// Question: do the distributions differ anywhere, tails included?
/// Formula: A² = (N−1)/N·Σ_s 1/n_s·Σ_j l_j/N·(N·M_sj − B_j·n_s)²/(B_j(N − B_j) − N·l_j/4) over distinct values j, with l_j
/// the observations at the value, M and B those below plus half of those at it; normalised (A² − 1)/σ_N.
/// Arguments: both sides in seconds; bins stand at their mid-points.
/// Returns: see [`AndersonDarling`]; `None` if a side is empty, all values are equal, or there are fewer than 4.
/// Errors: none.
/// Assumptions: independent observations, counted as given; evidence, not decision.
/// Accuracy: exact for samples. The variance uses limits beyond 10,000 observations (relative 1e-3); p by linear
/// interpolation of ln p between the table's points.
/// Reference: Scholz & Stephens (1987), JASA 82(399), eq. 7 and section 4; as SciPy's `anderson_ksamp`.
pub fn two_sample(baseline: &Distribution, candidate: &Distribution) -> Option<AndersonDarling> {
    of_ties(&Ties::of(baseline, candidate)?)
}

/// The same of two sides that are beside each other already.
pub fn of_ties(ties: &Ties) -> Option<AndersonDarling> {
    let (n_b, n_c) = (ties.baseline, ties.candidate);
    let n = n_b + n_c;
    if n < 4.0 {
        return None;
    }
    // In shares of the totals, so that large counts neither overflow nor cancel.
    let (mut below_b, mut below_c, mut sum) = (0.0, 0.0, 0.0);
    let (per_b, per_c, per_value) = (1.0 / n_b, 1.0 / n_c, 1.0 / n);
    for group in &ties.groups {
        let (here_b, here_c) = (group.baseline, group.candidate);
        let at = (here_b + here_c) * per_value;
        let rank = (below_b + below_c + (here_b + here_c) / 2.0) * per_value;
        let spread = rank * (1.0 - rank) - at / 4.0;
        if spread > 0.0 {
            let gap_b = (below_b + here_b / 2.0) * per_b - rank;
            let gap_c = (below_c + here_c / 2.0) * per_c - rank;
            sum += at * (gap_b * gap_b * n_b + gap_c * gap_c * n_c) / spread;
        }
        below_b += here_b;
        below_c += here_c;
    }
    let a2 = (n - 1.0) / n * sum;
    let normalised = (a2 - 1.0) / standard_deviation(n_b, n_c)?;
    if ties.groups.len() < 2 || !normalised.is_finite() {
        return None;
    }
    Some(AndersonDarling { a2_normalised: normalised, p_value: interpolate_p(normalised) })
}

/// σ_N for two samples: Scholz & Stephens (1987), eq. 4, with k = 2.
fn standard_deviation(n_b: f64, n_c: f64) -> Option<f64> {
    const K: f64 = 2.0;
    let n = n_b + n_c;
    let big_h = 1.0 / n_b + 1.0 / n_c;
    let (h, g) = harmonic_sums(n);
    let a = (4.0 * g - 6.0) * (K - 1.0) + (10.0 - 6.0 * g) * big_h;
    let b =
        (2.0 * g - 4.0) * K * K + 8.0 * h * K + (2.0 * g - 14.0 * h - 4.0) * big_h - 8.0 * h + 4.0 * g - 6.0;
    let c =
        (6.0 * h + 2.0 * g - 2.0) * K * K + (4.0 * h - 4.0 * g + 6.0) * K + (2.0 * h - 6.0) * big_h + 4.0 * h;
    let d = (2.0 * h + 6.0) * K * K - 4.0 * h * K;
    // (aN³ + bN² + cN + d)/((N−1)(N−2)(N−3)), divided through by N³.
    let numerator = a + (b + (c + d / n) / n) / n;
    let denominator = (1.0 - 1.0 / n) * (1.0 - 2.0 / n) * (1.0 - 3.0 / n);
    let variance = numerator / denominator;
    (variance > 0.0 && variance.is_finite()).then(|| variance.sqrt())
}

/// h = Σ_{i<N} 1/i and g = Σ_{i=1}^{N−2} Σ_{j=i+1}^{N−1} 1/((N − i)·j).
fn harmonic_sums(n: f64) -> (f64, f64) {
    if n > SUMS_UP_TO {
        const EULER_GAMMA: f64 = 0.577_215_664_901_532_9;
        return ((n - 1.0).ln() + EULER_GAMMA + 0.5 / (n - 1.0), PI * PI / 6.0);
    }
    let n = n.round() as u32;
    let (mut tail, mut g) = (0.0, 0.0);
    for i in 2..n {
        // tail = Σ_{j=N−i+1}^{N−1} 1/j.
        tail += 1.0 / f64::from(n - i + 1);
        g += tail / f64::from(i);
    }
    (tail + 1.0, g)
}

fn interpolate_p(statistic: f64) -> f64 {
    let after = CRITICAL.iter().position(|(critical, _)| *critical >= statistic);
    let (low, high) = match after {
        Some(0) => return 0.25,
        None => return 0.001,
        Some(index) => (CRITICAL[index - 1], CRITICAL[index]),
    };
    let share = (statistic - low.0) / (high.0 - low.0);
    (low.1.ln() + share * (high.1.ln() - low.1.ln())).exp().clamp(0.001, 0.25)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> Distribution {
        Distribution::from_values(values)
    }

    #[test]
    fn what_has_no_spread_has_no_statistic() {
        assert_eq!(two_sample(&of(&[1.0; 9]), &of(&[1.0; 9])), None);
        assert_eq!(two_sample(&of(&[]), &of(&[1.0, 2.0, 3.0, 4.0])), None);
        assert_eq!(two_sample(&of(&[1.0]), &of(&[2.0])), None);
    }

    #[test]
    fn separated_samples_are_far_out_and_mixed_ones_are_not() {
        let low: Vec<f64> = (0..50).map(f64::from).collect();
        let high: Vec<f64> = (100..150).map(f64::from).collect();
        let apart = two_sample(&of(&low), &of(&high));
        assert!(apart.is_some_and(|a| a.a2_normalised > 20.0 && a.p_value == 0.001));
        let same = two_sample(&of(&low), &of(&low));
        assert!(same.is_some_and(|a| a.a2_normalised < 0.0 && a.p_value == 0.25));
    }

    #[test]
    fn the_limits_of_the_variance_meet_its_sums() {
        let (h_sum, g_sum) = harmonic_sums(SUMS_UP_TO);
        let (h_limit, g_limit) = harmonic_sums(SUMS_UP_TO + 1.0);
        assert!((h_sum / h_limit - 1.0).abs() < 1e-4 && (g_sum / g_limit - 1.0).abs() < 2e-3);
    }
}
