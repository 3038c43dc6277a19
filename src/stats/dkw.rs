//! The Dvoretzky-Kiefer-Wolfowitz band: how far an empirical distribution function may lie from the true one.

/// Half-width of the uniform confidence band of one distribution function.
///
/// Question: within which distance of F̂, everywhere at once, does the true F lie?
/// Formula: ε = √(ln(2/α) / (2n)).
/// Arguments: `n_eff`, effective sample size; `alpha`, 1 − confidence, in (0, 1).
/// Returns: in \[0, 1\]; 1 (nothing is known) when `n_eff` is not positive or `alpha` is outside (0, 1).
/// Errors: none.
/// Assumptions: independent observations once `n_eff` is used; holds for every F and every n.
/// Accuracy: exact bound, conservative for discrete data.
/// Reference: Massart (1990), Annals of Probability 18(3), corollary 1.
pub fn epsilon(n_eff: f64, alpha: f64) -> f64 {
    if !(n_eff > 0.0 && alpha > 0.0 && alpha < 1.0) {
        return 1.0;
    }
    ((2.0 / alpha).ln() / (2.0 * n_eff)).sqrt().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::epsilon;

    #[test]
    fn a_band_of_a_thousand_requests_is_about_four_points_wide_on_each_side() {
        assert!((epsilon(1000.0, 0.05) - 0.042_947).abs() < 1e-6);
    }

    #[test]
    fn without_data_nothing_is_known() {
        assert_eq!(epsilon(0.0, 0.05), 1.0);
        assert_eq!(epsilon(f64::NAN, 0.05), 1.0);
        assert_eq!(epsilon(10.0, 0.0), 1.0);
    }
}
