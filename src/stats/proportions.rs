//! Rates and their difference. Sizes may be effective ones, and so need not be whole.

use super::normal::critical;
use statrs::function::factorial::ln_binomial;

/// Failures among requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Failures, 0 to `n`.
    pub errors: f64,
    /// Requests, positive.
    pub n: f64,
}

impl Rate {
    /// Failures over requests, in [0, 1].
    pub fn share(&self) -> f64 {
        if self.n > 0.0 { (self.errors / self.n).clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// Between which rates does the true one lie?
///
/// Wilson's score interval: (p̂ + z²/2n ± z√(p̂(1−p̂)/n + z²/4n²))/(1 + z²/n). Returns an interval in [0, 1], right at
/// zero failures as well. Reference: Wilson 1927, J. Am. Stat. Assoc. 22.
pub fn wilson(rate: Rate, confidence: f64) -> (f64, f64) {
    if rate.n <= 0.0 {
        return (0.0, 1.0);
    }
    let (p, n, z) = (rate.share(), rate.n, critical(0.5 + confidence / 2.0, None));
    let centre = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt() / (1.0 + z * z / n);
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

/// Between which differences of rates, candidate less baseline, does the true one lie? From the two Wilson intervals.
///
/// lower = Δ − √((p_C − l_C)² + (u_B − p_B)²), upper = Δ + √((u_C − p_C)² + (p_B − l_B)²). Reference: Newcombe 1998,
/// Statistics in Medicine 17, method 10.
pub fn newcombe(baseline: Rate, candidate: Rate, confidence: f64) -> (f64, f64) {
    let (base, cand) = (wilson(baseline, confidence), wilson(candidate, confidence));
    let (p, q) = (baseline.share(), candidate.share());
    ((q - p) - (q - cand.0).hypot(base.1 - p), (q - p) + (cand.1 - q).hypot(p - base.0))
}

/// The same by inverting the score test: the interval that the judge uses.
///
/// The differences δ for which |Δ̂ − δ| ≤ z·√((p̃_C(1−p̃_C)/n_C + p̃_B(1−p̃_B)/n_B)·N/(N−1)), where p̃ are the rates that
/// are most likely if the difference is δ. Ends are found by false position to 1e-12. Right at zero and at rare failures.
/// Reference: Miettinen & Nurminen 1985, Statistics in Medicine 4.
pub fn miettinen_nurminen(baseline: Rate, candidate: Rate, confidence: f64, dof: Option<f64>) -> (f64, f64) {
    let estimate = candidate.share() - baseline.share();
    let z = critical(0.5 + confidence / 2.0, dof);
    // How far beyond the critical value, in (-1, 1], so that an infinite score does no harm.
    let excess = |delta: f64| {
        let score = score(baseline, candidate, delta).abs();
        (score - z) / (score + z)
    };
    let solve = |end: f64| {
        let outside = excess(end);
        if outside > 0.0 { crossing(excess, (estimate, -1.0), (end, outside)) } else { end }
    };
    (solve(-1.0), solve(1.0))
}

/// Where a rising function crosses zero between a point that is not above it and one that is: the last one that is not, to
/// 1e-12. The Illinois variant of false position (Dowell & Jarratt 1971, BIT 11), with a bisection at every third step, so that
/// no function is slow.
fn crossing(f: impl Fn(f64) -> f64, mut inside: (f64, f64), mut outside: (f64, f64)) -> f64 {
    let mut went_out = None;
    for step in 0..180 {
        let width = outside.0 - inside.0;
        if width.abs() < 1e-12 {
            break;
        }
        let share = if step % 3 == 2 { 0.5 } else { inside.1 / (inside.1 - outside.1) };
        let at = inside.0 + width * share;
        let value = f(at);
        let out = value > 0.0;
        // An end that stays for a second time counts for half.
        let stays = if went_out.replace(out) == Some(out) { 0.5 } else { 1.0 };
        if out {
            (outside, inside.1) = ((at, value), inside.1 * stays);
        } else {
            (inside, outside.1) = ((at, value), outside.1 * stays);
        }
    }
    inside.0
}

/// How far does the observed difference lie from `delta`, in standard errors? Positive above. Miettinen & Nurminen's
/// score statistic; 0 where nothing varies.
pub fn score(baseline: Rate, candidate: Rate, delta: f64) -> f64 {
    let total = baseline.n + candidate.n;
    let (p_base, p_cand) = constrained(baseline, candidate, delta);
    let variance = (p_cand * (1.0 - p_cand) / candidate.n + p_base * (1.0 - p_base) / baseline.n)
        * (total / (total - 1.0).max(1.0));
    let distance = candidate.share() - baseline.share() - delta;
    if variance > 0.0 {
        distance / variance.sqrt()
    } else if distance.abs() < 1e-12 {
        0.0
    } else {
        distance.signum() * f64::MAX.sqrt()
    }
}

/// The most likely rates whose difference is `delta`: the closed form of the cubic in Miettinen & Nurminen, appendix 1.
fn constrained(baseline: Rate, candidate: Rate, delta: f64) -> (f64, f64) {
    let (n0, x0, n1, x1) = (baseline.n, baseline.errors, candidate.n, candidate.errors);
    let n = n0 + n1;
    let l2 = (n1 + 2.0 * n0) * delta - n - (x0 + x1);
    let l1 = (n0 * delta - n - 2.0 * x0) * delta + (x0 + x1);
    let l0 = x0 * delta * (1.0 - delta);
    let third = l2 / (3.0 * n);
    let q = third.powi(3) - l1 * l2 / (6.0 * n * n) + l0 / (2.0 * n);
    let inner = (third * third - l1 / (3.0 * n)).max(0.0).sqrt();
    let p = if q < 0.0 { -inner } else { inner };
    let cosine = if p == 0.0 { 0.0 } else { (q / p.powi(3)).clamp(-1.0, 1.0) };
    let angle = (std::f64::consts::PI + cosine.acos()) / 3.0;
    let base = (2.0 * p * angle.cos() - third).clamp((-delta).max(0.0), (1.0 - delta).min(1.0));
    (base, (base + delta).clamp(0.0, 1.0))
}

/// How likely is a table at least as unlikely as this one, if the rates are equal?
///
/// The sum of hypergeometric probabilities not above the observed one (two-sided). Whole counts. Returns a p-value in
/// [0, 1]. Reference: Fisher 1922, J. R. Stat. Soc. 85.
pub fn fisher_exact(baseline: (u64, u64), candidate: (u64, u64)) -> f64 {
    let ((x0, n0), (x1, n1)) = (baseline, candidate);
    // In logarithms, because the binomial coefficients of a thousand requests overflow.
    let whole = ln_binomial(n0 + n1, x0 + x1);
    let probability = |x: u64| (ln_binomial(n1, x) + ln_binomial(n0, x0 + x1 - x) - whole).exp();
    let observed = probability(x1);
    let range = (x0 + x1).saturating_sub(n0)..=(x0 + x1).min(n1);
    let unlikely = range.map(probability).filter(|p| *p <= observed * (1.0 + 1e-7));
    unlikely.fold(0.0, |sum, p| sum + p).clamp(0.0, 1.0)
}
