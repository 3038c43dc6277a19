//! Evidence that may be looked at after every window: the e-process of a two-by-two table per window.

use serde::{Deserialize, Serialize};

/// The running product of one threshold and one direction ("the candidate exceeds more often").
///
/// Question: how strong is the evidence, valid at any moment of looking, that the candidate exceeds the threshold
/// more often than the baseline?
///
/// Formula: in window w, with n and x of both sides and predictions p̂ = (x + ½)/(n + 1) from *earlier* windows only,
/// E_w = \[p̂_B^x_B·(1 − p̂_B)^(n_B − x_B)·p̂_C^x_C·(1 − p̂_C)^(n_C − x_C)\] / \[p̂_0^(x_B + x_C)·(1 − p̂_0)^(n_B + n_C − x_B − x_C)\],
/// p̂_0 = (n_B·p̂_B + n_C·p̂_C)/(n_B + n_C); E_w = 1 unless p̂_C > p̂_B. The process is ΠE_w, kept as its natural log.
///
/// Assumptions: thresholds are frozen before the first window; requests are independent, or counts are divided by
/// the design effect first (a quasi-likelihood: approximate, to be calibrated). The opposite direction is a second
/// process with the sides exchanged.
///
/// Accuracy: exact up to rounding; counts need not be whole.
///
/// Reference: Turner, Ly & Grünwald (2024), "Generic E-variables for exact sequential k-sample tests".
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct EProcess {
    log_e: f64,
    log_e_max: f64,
    baseline: Seen,
    candidate: Seen,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Seen {
    n: f64,
    x: f64,
}

impl Seen {
    /// The prediction, strictly inside (0, 1), so that its logarithms are finite.
    fn prediction(&self) -> f64 {
        ((self.x + 0.5) / (self.n + 1.0)).clamp(f64::MIN_POSITIVE, 1.0 - f64::EPSILON)
    }

    fn add(&mut self, n: f64, x: f64) {
        self.n = (self.n + n).min(f64::MAX);
        self.x = (self.x + x).min(self.n);
    }
}

impl EProcess {
    /// A process that has seen nothing: E = 1.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one sealed window into account: requests `n` and exceedances `x` of both sides, (effective) counts.
    ///
    /// A side without requests adds nothing to E. Counts that are not finite and positive count as 0; `x` is held
    /// in \[0, n\].
    pub fn update(&mut self, n_baseline: f64, x_baseline: f64, n_candidate: f64, x_candidate: f64) {
        let count = |value: f64| if value.is_finite() { value.max(0.0) } else { 0.0 };
        let (n_b, n_c) = (count(n_baseline), count(n_candidate));
        let (x_b, x_c) = (count(x_baseline).min(n_b), count(x_candidate).min(n_c));
        let (p_b, p_c) = (self.baseline.prediction(), self.candidate.prediction());
        if p_c > p_b && n_b + n_c > 0.0 {
            let weight = n_b / (n_b + n_c);
            let p_0 = weight * p_b + (1.0 - weight) * p_c;
            let gain = log_gain(n_b, x_b, p_b, p_0) + log_gain(n_c, x_c, p_c, p_0);
            // Held inside the floats; a product this far out has decided long ago.
            self.log_e = (self.log_e + gain).clamp(f64::MIN, f64::MAX);
            self.log_e_max = self.log_e_max.max(self.log_e);
        }
        self.baseline.add(n_b, x_b);
        self.candidate.add(n_c, x_c);
    }

    /// The natural log of the e-value now. Finite; 0 at the start.
    pub fn log_e(&self) -> f64 {
        self.log_e
    }

    /// The natural log of the largest e-value so far, ≥ 0.
    pub fn log_e_max(&self) -> f64 {
        self.log_e_max
    }

    /// The sequential p-value min(1, 1/max E), valid at any stopping time (Ville's inequality). In \[0, 1\].
    pub fn p_value(&self) -> f64 {
        sequential_p(self.log_e_max)
    }
}

fn log_gain(n: f64, x: f64, p: f64, p_0: f64) -> f64 {
    let gain = x * (p / p_0).ln() + (n - x) * ((1.0 - p) / (1.0 - p_0)).ln();
    if gain.is_finite() { gain } else { 0.0 }
}

/// The natural log of the mean of e-values: again an e-value, over thresholds and directions.
///
/// Argument: natural logs; NaN counts as e = 0. Returns: finite if any is, `None` for no e-values or none above 0.
/// Reference: Vovk & Wang (2021), Annals of Statistics 49(3), proposition 3.1.
pub fn log_mean(log_e: &[f64]) -> Option<f64> {
    let largest = log_e.iter().copied().filter(|log| !log.is_nan()).fold(f64::NEG_INFINITY, f64::max);
    if !largest.is_finite() {
        return None;
    }
    let sum: f64 = log_e.iter().filter(|log| !log.is_nan()).map(|log| (log - largest).exp()).sum();
    Some(largest + (sum / log_e.len() as f64).ln())
}

/// min(1, 1/max E) from the natural log of the largest e-value that was seen. In \[0, 1\]; 1 for NaN.
pub fn sequential_p(log_e_max: f64) -> f64 {
    (-log_e_max.max(0.0)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_window_never_counts_as_evidence() {
        let mut process = EProcess::new();
        process.update(100.0, 0.0, 100.0, 100.0);
        assert_eq!((process.log_e(), process.p_value()), (0.0, 1.0));
    }

    #[test]
    fn a_steady_difference_adds_up_and_its_absence_does_not() {
        let (mut worse, mut better) = (EProcess::new(), EProcess::new());
        for _ in 0..20 {
            worse.update(200.0, 10.0, 200.0, 20.0);
            better.update(200.0, 20.0, 200.0, 10.0);
        }
        assert!(worse.p_value() < 1e-6, "{worse:?}");
        assert_eq!(better.log_e(), 0.0);
    }

    #[test]
    fn the_p_value_never_rises() {
        let mut process = EProcess::new();
        let mut last = 1.0;
        for window in 0..200_u32 {
            process.update(50.0, f64::from(window * 7 % 11), 40.0, f64::from(window * 5 % 13));
            assert!(process.p_value() <= last);
            last = process.p_value();
        }
    }

    #[test]
    fn counts_without_meaning_change_nothing() {
        let mut process = EProcess::new();
        process.update(f64::NAN, 1.0, f64::INFINITY, -3.0);
        process.update(0.0, 0.0, 0.0, 0.0);
        assert_eq!(process, EProcess::new());
        process.update(10.0, 90.0, 10.0, 90.0);
        process.update(1e300, 1e300, 1e300, 0.0);
        process.update(1e300, 0.0, 1e300, 1e300);
        assert!(process.log_e().is_finite() && (0.0..=1.0).contains(&process.p_value()));
    }

    #[test]
    fn a_restarted_agent_goes_on_where_it_was() {
        let mut process = EProcess::new();
        process.update(120.0, 6.0, 100.0, 11.0);
        let stored = serde_json::to_string(&process).unwrap_or_default();
        assert_eq!(serde_json::from_str::<EProcess>(&stored).ok(), Some(process));
    }

    #[test]
    fn the_mean_of_e_values_is_taken_in_the_log() {
        let mean = log_mean(&[0.0, 3.0_f64.ln()]);
        assert!(mean.is_some_and(|log| (log - 2.0_f64.ln()).abs() < 1e-15));
        assert!(log_mean(&[2000.0, 0.0]).is_some_and(|log| (log - (2000.0 - 2.0_f64.ln())).abs() < 1e-9));
        assert_eq!(log_mean(&[]), None);
        assert_eq!(log_mean(&[f64::NAN]), None);
        assert_eq!(sequential_p(f64::NAN), 1.0);
    }
}
