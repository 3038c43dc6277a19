//! Parity is shown, divergence is shown, or neither is.

/// Which way a quantity differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The candidate is below the baseline: faster, fewer.
    Below,
    /// The candidate is above the baseline: slower, more.
    Above,
}

/// What an interval shows about a tolerance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The interval lies inside the tolerance.
    Parity,
    /// The interval lies outside of it, on one side.
    Divergent(Direction),
    /// Neither.
    Inconclusive,
}

/// The differences that are accepted: `low ≤ θ ≤ high`. A side that is not judged is infinite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Margin {
    /// Zero or less.
    pub low: f64,
    /// Zero or more.
    pub high: f64,
}

impl Margin {
    /// The same on both sides.
    pub fn symmetric(delta: f64) -> Margin {
        Margin { low: -delta, high: delta }
    }

    /// Only more than the baseline counts.
    pub fn above_only(delta: f64) -> Margin {
        Margin { low: f64::NEG_INFINITY, high: delta }
    }
}

/// Does the interval show that θ is within the margin, or outside of it?
///
/// Two one-sided tests at level α: parity iff the 100(1−2α) % interval lies inside the margin, divergent iff wholly
/// outside on one side. `low`, `high`: the interval's ends, `None` where unbounded. Reference: Schuirmann 1987, J.
/// Pharmacokinetics and Biopharmaceutics 15; Berger & Hsu 1996, Statistical Science 11.
pub fn decide(low: Option<f64>, high: Option<f64>, margin: Margin) -> Decision {
    let above_floor = margin.low == f64::NEG_INFINITY || low.is_some_and(|low| low > margin.low);
    let under_ceiling = margin.high == f64::INFINITY || high.is_some_and(|high| high < margin.high);
    match () {
        () if low.is_some_and(|low| low > margin.high) => Decision::Divergent(Direction::Above),
        () if high.is_some_and(|high| high < margin.low) => Decision::Divergent(Direction::Below),
        () if above_floor && under_ceiling => Decision::Parity,
        () => Decision::Inconclusive,
    }
}

/// With how many requests would the interval be decisive, if the estimate stays?
///
/// n·(h/|δ − |θ̂||)², h the interval's half-width: an interval shrinks with √n. `None` when the estimate lies on the
/// boundary (within a hundredth of δ), where no number is enough. stats: Chow, Shao & Wang 2008, 3.2.
pub fn n_needed(n: f64, estimate: f64, half_width: f64, delta: f64) -> Option<u64> {
    let room = (delta - estimate.abs()).abs();
    if room < delta * 0.01 || !half_width.is_finite() || n <= 0.0 {
        return None;
    }
    let needed = n * (half_width / room).powi(2);
    (needed < 1e15).then(|| needed.ceil().max(n) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_shows_parity_divergence_or_nothing() {
        use Decision::*;
        let margin = Margin::symmetric(0.1);
        for (low, high, expected) in [
            (Some(-0.05), Some(0.09), Parity),
            (Some(-0.05), Some(0.11), Inconclusive),
            (Some(0.11), Some(0.5), Divergent(Direction::Above)),
            (Some(0.11), None, Divergent(Direction::Above)),
            (Some(-0.5), Some(-0.11), Divergent(Direction::Below)),
            (None, Some(0.0), Inconclusive),
            (None, None, Inconclusive),
        ] {
            assert_eq!(decide(low, high, margin), expected, "{low:?} {high:?}");
        }
        assert_eq!(decide(None, Some(0.0), Margin::above_only(0.1)), Parity);
        assert_eq!(decide(Some(-0.9), Some(-0.5), Margin::above_only(0.1)), Parity);
    }

    #[test]
    fn twice_the_half_width_that_there_is_room_for_needs_four_times_the_requests() {
        assert_eq!(n_needed(100.0, 0.05, 0.19, 0.15), Some(362));
        assert_eq!(n_needed(100.0, 0.15, 0.2, 0.15), None);
    }
}
