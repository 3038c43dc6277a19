//! Do requests come evenly, or in bursts?

/// How much more do counts vary from window to window than requests that come one by one?
///
/// Variance over mean, the index of dispersion (Cox & Lewis 1966, "The Statistical Analysis of Series of Events", 4.2): 1 for
/// a Poisson process whatever its rate, 0 for a clock, more for bursts and for load that drifts. `counts`: requests in each
/// of at least two windows of one length, with the empty ones; `None` for fewer, or where there are no requests at all.
pub fn index(counts: &[f64]) -> Option<f64> {
    let (n, mean) = (counts.len() as f64, mean(counts)?);
    if counts.len() < 2 {
        return None;
    }
    let squares: f64 = counts.iter().map(|count| (count - mean).powi(2)).sum();
    Some(squares / (n - 1.0) / mean)
}

/// How much more than on average comes in the busiest window? At least 1; `None` without requests.
pub fn peak_to_mean(counts: &[f64]) -> Option<f64> {
    Some(counts.iter().copied().fold(0.0, f64::max) / mean(counts)?)
}

fn mean(counts: &[f64]) -> Option<f64> {
    let sum: f64 = counts.iter().sum();
    (sum > 0.0).then(|| sum / counts.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NumPy: x.var(ddof=1)/x.mean(); x.max()/x.mean().
    #[test]
    fn bursts_have_a_greater_index_and_a_higher_peak_than_an_even_stream() {
        assert_eq!((index(&[10.0; 6]), peak_to_mean(&[10.0; 6])), (Some(0.0), Some(1.0)));
        let bursts = [0.0, 60.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!((index(&bursts), peak_to_mean(&bursts)), (Some(60.0), Some(6.0)));
        assert!((index(&[3.0, 5.0, 4.0, 8.0]).unwrap() - 14.0 / 15.0).abs() < 1e-12);
        assert_eq!((index(&[7.0]), index(&[0.0, 0.0]), peak_to_mean(&[])), (None, None, None));
    }
}
