//! Is the mix of operations the same, and what would the total be if it were?

use statrs::distribution::{ChiSquared, ContinuousCDF};

/// One operation's count on both sides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MixCount {
    /// Requests in the baseline, ≥ 0.
    pub baseline: f64,
    /// Requests in the candidate, ≥ 0.
    pub candidate: f64,
}

impl MixCount {
    fn is_counted(&self) -> bool {
        let valid = |count: f64| count >= 0.0 && count.is_finite();
        valid(self.baseline) && valid(self.candidate) && self.baseline + self.candidate > 0.0
    }
}

/// Both totals, if both are positive and finite.
fn totals(mix: &[MixCount]) -> Option<(f64, f64)> {
    let counted = || mix.iter().filter(|count| count.is_counted());
    let baseline: f64 = counted().map(|count| count.baseline).sum();
    let candidate: f64 = counted().map(|count| count.candidate).sum();
    let valid = baseline > 0.0 && candidate > 0.0 && (baseline + candidate).is_finite();
    valid.then_some((baseline, candidate))
}

/// The Jensen-Shannon distance of the two mixes, base 2.
///
/// Question: how different are the shares of the operations, as one number?
/// Formula: √(½·Σp·log₂(p/m) + ½·Σq·log₂(q/m)), m = (p + q)/2, p and q the shares.
/// Arguments: counts per operation; those that are empty, negative or not finite are left out.
/// Returns: in \[0, 1\], 0 for equal and 1 for disjoint mixes; `None` if a side has no requests.
/// Errors: none.
/// Assumptions: none; small counts push it up (about √(operations/n)).
/// Accuracy: relative 1e-8 at distances above 1e-4.
/// Reference: Endres & Schindelin (2003), IEEE Trans. Information Theory 49(7).
pub fn jensen_shannon_distance(mix: &[MixCount]) -> Option<f64> {
    let (n_b, n_c) = totals(mix)?;
    let part = |share: f64, middle: f64| if share > 0.0 { share * (share / middle).log2() } else { 0.0 };
    let divergence: f64 = mix
        .iter()
        .filter(|count| count.is_counted())
        .map(|count| {
            let (p, q) = (count.baseline / n_b, count.candidate / n_c);
            let middle = (p + q) / 2.0;
            (part(p, middle) + part(q, middle)) / 2.0
        })
        .sum();
    Some(divergence.clamp(0.0, 1.0).sqrt())
}

/// Pearson's chi-square test of homogeneity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChiSquare {
    /// The statistic, ≥ 0.
    pub statistic: f64,
    /// Degrees of freedom: operations − 1, ≥ 1.
    pub dof: f64,
    /// p-value, in \[0, 1\].
    pub p_value: f64,
}

/// Pearson's chi-square test that both sides have the same mix.
///
/// Question: how often would one mix give two samples as different as these?
/// Formula: Σ(observed − expected)²/expected over operations and sides, expected from the margins; dof = operations − 1.
/// Arguments: counts per operation (effective counts if requests are clustered); empty operations are left out.
/// Returns: see [`ChiSquare`]; `None` if a side has no requests or fewer than two operations are left.
/// Errors: none.
/// Assumptions: independent requests; expected counts of about 5 and more.
/// Accuracy: p relative 1e-9, 0 below 1e-308. No continuity correction.
/// Reference: Pearson (1900); as SciPy's `chi2_contingency(correction=False)`.
pub fn chi_square(mix: &[MixCount]) -> Option<ChiSquare> {
    let (n_b, n_c) = totals(mix)?;
    let n = n_b + n_c;
    let counted = || mix.iter().filter(|count| count.is_counted());
    let dof = counted().count().checked_sub(1).filter(|dof| *dof > 0)? as f64;
    // Both sides' terms together: (b·n_C − c·n_B)²/(n_B·n_C·(b + c)), written without products of totals.
    let statistic: f64 = counted()
        .map(|count| {
            let row = count.baseline + count.candidate;
            let gap = count.baseline - row * (n_b / n);
            gap * (gap / row) * (n / n_b) * (n / n_c)
        })
        .sum();
    if !statistic.is_finite() {
        return None;
    }
    let p_value = match ChiSquared::new(dof) {
        Ok(reference) if statistic > 0.0 => reference.sf(statistic).clamp(0.0, 1.0),
        _ => 1.0,
    };
    Some(ChiSquare { statistic, dof, p_value })
}

/// The population stability index, natural log.
///
/// Question: as [`jensen_shannon_distance`], in the unit that many dashboards use (0.1 small, 0.25 large).
/// Formula: Σ(q − p)·ln(q/p), p the baseline's and q the candidate's shares.
/// Arguments: counts per operation; empty operations are left out. An operation that is missing on one side counts
/// there as half a request, for the index is infinite otherwise.
/// Returns: ≥ 0, finite; `None` if a side has no requests.
/// Errors: none.
/// Assumptions: none.
/// Accuracy: exact up to rounding.
/// Reference: Kullback & Leibler (1951), the symmetric J-divergence; Siddiqi (2006) for the bands.
pub fn psi(mix: &[MixCount]) -> Option<f64> {
    let (n_b, n_c) = totals(mix)?;
    let or_half = |count: f64| if count > 0.0 { count } else { 0.5 };
    let index: f64 = mix
        .iter()
        .filter(|count| count.is_counted())
        .map(|count| {
            let (p, q) = (or_half(count.baseline) / n_b, or_half(count.candidate) / n_c);
            (q - p) * (q / p).ln()
        })
        .sum();
    Some(index.max(0.0)).filter(|index| index.is_finite())
}

/// One operation in a standardised total.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stratum {
    /// The baseline's requests of this operation, ≥ 0: its weight.
    pub baseline_n: f64,
    /// The candidate's requests of this operation, ≥ 0.
    pub candidate_n: f64,
    /// Of these, the ones that exceed the operation's threshold (or fail), in \[0, `candidate_n`\].
    pub candidate_exceeding: f64,
}

/// A total with the baseline's mix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standardised {
    /// The candidate's share of exceeding requests, had it the baseline's mix. In \[0, 1\].
    pub share: f64,
    /// The share of the baseline's traffic in operations that the candidate has too. In (0, 1\].
    pub covered: f64,
}

/// Direct standardisation: the candidate's exceedance share under the baseline's mix.
///
/// Question: what would the candidate's total be if only the operations' behaviour, and not their mix, had changed?
/// Formula: Σ w_o·(x_o/n_o)/Σ w_o over operations that both sides have, w the baseline's requests.
/// Arguments: one [`Stratum`] per operation.
/// Returns: see [`Standardised`]; `None` if no operation has requests on both sides.
/// Errors: none; strata with counts that are not finite are left out.
/// Assumptions: an operation that the candidate lacks would have behaved like the others; `covered` says how much
/// rests on that.
/// Accuracy: exact up to rounding.
/// Reference: Neison (1844); Fleiss, Levin & Paik (2003), *Statistical Methods for Rates and Proportions*, 19.
pub fn standardised(strata: &[Stratum]) -> Option<Standardised> {
    let (mut all, mut weight, mut sum) = (0.0, 0.0, 0.0);
    for stratum in strata {
        if !(stratum.baseline_n > 0.0 && stratum.baseline_n.is_finite()) {
            continue;
        }
        all += stratum.baseline_n;
        let share = stratum.candidate_exceeding / stratum.candidate_n;
        if stratum.candidate_n > 0.0 && stratum.candidate_n.is_finite() && share.is_finite() {
            weight += stratum.baseline_n;
            sum += stratum.baseline_n * share.clamp(0.0, 1.0);
        }
    }
    let valid = weight > 0.0 && all.is_finite();
    valid.then(|| Standardised { share: (sum / weight).clamp(0.0, 1.0), covered: (weight / all).min(1.0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(counts: &[(f64, f64)]) -> Vec<MixCount> {
        counts
            .iter()
            .map(|(baseline, candidate)| MixCount { baseline: *baseline, candidate: *candidate })
            .collect()
    }

    #[test]
    fn equal_mixes_do_not_differ_whatever_their_size() {
        let mix = of(&[(10.0, 100.0), (30.0, 300.0)]);
        assert_eq!(jensen_shannon_distance(&mix), Some(0.0));
        assert_eq!(psi(&mix), Some(0.0));
        assert_eq!(chi_square(&mix).map(|c| (c.statistic, c.p_value, c.dof)), Some((0.0, 1.0, 1.0)));
    }

    #[test]
    fn disjoint_mixes_differ_as_much_as_possible_and_finitely() {
        let mix = of(&[(10.0, 0.0), (0.0, 20.0)]);
        assert_eq!(jensen_shannon_distance(&mix), Some(1.0));
        assert!(psi(&mix).is_some_and(|psi| psi > 3.0 && psi.is_finite()));
        assert!(chi_square(&mix).is_some_and(|c| (c.statistic - 30.0).abs() < 1e-9 && c.p_value < 1e-7));
    }

    #[test]
    fn an_empty_side_or_a_single_operation_is_said_to_be_undefined() {
        assert_eq!(jensen_shannon_distance(&of(&[(1.0, 0.0)])), None);
        assert_eq!(psi(&[]), None);
        assert_eq!(chi_square(&of(&[(3.0, 4.0), (0.0, 0.0), (f64::NAN, 1.0)])), None);
    }

    #[test]
    fn a_changed_mix_alone_does_not_change_the_standardised_total() {
        let stratum = |baseline_n, candidate_n, share: f64| Stratum {
            baseline_n,
            candidate_n,
            candidate_exceeding: candidate_n * share,
        };
        let found = standardised(&[stratum(900.0, 100.0, 0.01), stratum(100.0, 900.0, 0.5)]);
        assert!(found.is_some_and(|s| (s.share - 0.059).abs() < 1e-12 && s.covered == 1.0));
        let partly = standardised(&[stratum(75.0, 10.0, 0.2), stratum(25.0, 0.0, 0.0)]);
        assert!(partly.is_some_and(|s| (s.share - 0.2).abs() < 1e-12 && s.covered == 0.75));
        assert_eq!(standardised(&[stratum(75.0, 0.0, 0.0)]), None);
    }
}
