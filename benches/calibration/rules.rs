//! Two rules that are in use elsewhere, to stand beside the judge. They are written here from their descriptions, and are
//! no part of the product.

/// The interval's two-sided confidence is 98 %: the standard normal's 99th percentile.
const Z_98: f64 = 2.326_35;
/// The share of the estimated shift that the interval must be away from nothing.
const BAND: f64 = 0.25;
/// Kolmogorov's distribution is beyond these with 5 % and 1 % probability (Smirnov 1948).
pub const KS_5: f64 = 1.358_10;
pub const KS_1: f64 = 1.627_62;

/// Does a Kayenta-like rule fail this metric?
///
/// Mann-Whitney's test, inverted to a 98 % interval of the shift between two series of per-minute values (normal
/// approximation, continuity correction); the metric fails if the interval lies wholly beyond ±0.25·|Hodges and Lehmann's
/// estimate of the shift|, in either direction. The default effect size threshold is no difference and so asks nothing more.
/// Too few values for an interval pass. Source: spinnaker/kayenta at a69573be (2025-04-08),
/// kayenta-judge `MannWhitneyClassifier` and kayenta-mannwhitney `MannWhitney`; Hollander & Wolfe 1999, 4.2 and 4.3.
pub fn kayenta_like(baseline: &[f64], candidate: &[f64]) -> bool {
    let (n, m) = (baseline.len() as f64, candidate.len() as f64);
    let below = n * m / 2.0 - 0.5 - Z_98 * (n * m * (n + m + 1.0) / 12.0).sqrt();
    if below.is_nan() || below < 0.0 {
        return false;
    }
    let mut shifts: Vec<f64> = candidate.iter().flat_map(|c| baseline.iter().map(move |b| c - b)).collect();
    let mut at = |rank: usize| *shifts.select_nth_unstable_by(rank, f64::total_cmp).1;
    let (rank, pairs) = (below as usize, baseline.len() * candidate.len());
    let (low, high) = (at(rank), at(pairs - 1 - rank));
    let shift = f64::midpoint(at((pairs - 1) / 2), at(pairs / 2));
    low > BAND * shift.abs() || high < -BAND * shift.abs()
}

/// Kolmogorov and Smirnov's test of all requests so far, whichever pod they are of, repeated at every look.
#[derive(Default)]
pub struct RepeatedKs {
    baseline: Vec<f64>,
    candidate: Vec<f64>,
}

impl RepeatedKs {
    /// Takes in more requests.
    pub fn add(&mut self, baseline: Vec<f64>, candidate: Vec<f64>) {
        self.baseline = merged(&self.baseline, baseline);
        self.candidate = merged(&self.candidate, candidate);
    }

    /// Does the test reject? D·√(nm/(n + m)) against a critical value. Source: Conover 1999, 6.3.
    pub fn rejects(&self, critical: f64) -> bool {
        let (n, m) = (self.baseline.len() as f64, self.candidate.len() as f64);
        distance(&self.baseline, &self.candidate) * (n * m / (n + m)).sqrt() > critical
    }
}

fn merged(known: &[f64], mut fresh: Vec<f64>) -> Vec<f64> {
    fresh.sort_unstable_by(f64::total_cmp);
    let (mut left, mut right) = (known.iter().peekable(), fresh.iter().peekable());
    let next = || match (left.peek(), right.peek()) {
        (Some(a), Some(b)) if a <= b => left.next(),
        (_, Some(_)) => right.next(),
        _ => left.next(),
    };
    std::iter::from_fn(next).copied().collect()
}

/// D of two sorted samples without ties.
fn distance(baseline: &[f64], candidate: &[f64]) -> f64 {
    let (n, m) = (baseline.len() as f64, candidate.len() as f64);
    let (mut i, mut j, mut most) = (0, 0, 0.0f64);
    while let (Some(b), Some(c)) = (baseline.get(i), candidate.get(j)) {
        if b <= c {
            i += 1
        } else {
            j += 1
        }
        most = most.max((i as f64 / n - j as f64 / m).abs());
    }
    most
}
