//! One type for every form in which durations arrive: exact values, HDR bins, exponential and explicit buckets.

/// Some weight between two durations in seconds. Equal ends are an exact value; other bins are `(lower, upper]`,
/// where `upper` may be infinite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// Seconds.
    pub lower: f64,
    /// Seconds, not under `lower`.
    pub upper: f64,
    /// Weight, finite and positive.
    pub count: f64,
}

impl Bin {
    fn is_exact(&self) -> bool {
        self.lower == self.upper
    }

    /// The value that stands for the bin in rank statistics and distances, seconds: the value itself, the middle, or
    /// the lower edge of a bin without an upper one. Finite.
    pub fn midpoint(&self) -> f64 {
        if self.upper.is_finite() { self.lower + (self.upper - self.lower) / 2.0 } else { self.lower }
    }
}

/// Why bins are no distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DistributionError {
    /// An edge is NaN, a lower end is infinite, or a bin's upper end is under its lower one.
    #[error("a bin's edges are not ordered numbers")]
    Edges,
    /// A count is negative, NaN or infinite.
    #[error("a bin's count is not a finite number of zero or more")]
    Count,
    /// Two bins overlap or are out of order.
    #[error("bins overlap or are out of order")]
    Order,
}

/// A distribution of durations as ordered, disjoint bins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    bins: Vec<Bin>,
    /// Weight up to and including each bin.
    cumulative: Vec<f64>,
}

/// A quantile, as far as the bins show it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantile {
    /// Seconds; inside a bin interpolated in the logarithm, for display only.
    pub value: f64,
    /// The bin's lower end, seconds.
    pub lower: f64,
    /// The bin's upper end, seconds; may be infinite.
    pub upper: f64,
}

impl Distribution {
    /// From bins in rising order. Empty bins are dropped.
    ///
    /// # Errors
    /// [`DistributionError`] when edges or counts are not what [`Bin`] says.
    pub fn new(bins: Vec<Bin>) -> Result<Distribution, DistributionError> {
        let mut kept: Vec<Bin> = Vec::with_capacity(bins.len());
        let mut cumulative = Vec::with_capacity(bins.len());
        let mut total = 0.0;
        for bin in bins {
            if bin.lower.is_nan() || bin.upper.is_nan() || bin.lower > bin.upper || bin.lower == f64::INFINITY
            {
                return Err(DistributionError::Edges);
            }
            if !(bin.count >= 0.0 && bin.count.is_finite()) {
                return Err(DistributionError::Count);
            }
            if kept.last().is_some_and(|last| !last_is_before(last, &bin)) {
                return Err(DistributionError::Order);
            }
            if bin.count > 0.0 {
                total += bin.count;
                cumulative.push(total);
                kept.push(bin);
            }
        }
        Ok(Distribution { bins: kept, cumulative })
    }

    /// From bins that are known to be in order, with counts that are finite; empty ones are dropped.
    pub(crate) fn from_ordered(bins: impl ExactSizeIterator<Item = Bin>) -> Distribution {
        let mut kept = Vec::with_capacity(bins.len());
        let mut cumulative = Vec::with_capacity(bins.len());
        let mut total = 0.0;
        for bin in bins.filter(|bin| bin.count > 0.0) {
            total += bin.count;
            cumulative.push(total);
            kept.push(bin);
        }
        debug_assert!(kept.windows(2).all(|pair| last_is_before(&pair[0], &pair[1])));
        Distribution { bins: kept, cumulative }
    }

    /// From single values in seconds, in any order; NaN and infinite ones are left out.
    pub fn from_values(values: &[f64]) -> Distribution {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let mut bins: Vec<Bin> = Vec::with_capacity(sorted.len());
        for value in sorted {
            match bins.last_mut() {
                Some(last) if last.upper == value => last.count += 1.0,
                _ => bins.push(Bin { lower: value, upper: value, count: 1.0 }),
            }
        }
        Distribution::new(bins).unwrap_or_default()
    }

    /// The bins, in rising order, none empty.
    pub fn bins(&self) -> &[Bin] {
        &self.bins
    }

    /// Weight of all bins.
    pub fn total(&self) -> f64 {
        self.cumulative.last().copied().unwrap_or(0.0)
    }

    /// Whether there is no weight at all.
    pub fn is_empty(&self) -> bool {
        self.bins.is_empty()
    }

    /// Whether every bin is a single value.
    pub fn is_exact(&self) -> bool {
        self.bins.iter().all(Bin::is_exact)
    }

    /// The same with every edge multiplied by a positive factor: how the distribution would look if everything took
    /// `factor` times as long.
    pub fn scaled(&self, factor: f64) -> Distribution {
        let scale =
            |bin: &Bin| Bin { lower: bin.lower * factor, upper: bin.upper * factor, count: bin.count };
        Distribution { bins: self.bins.iter().map(scale).collect(), cumulative: self.cumulative.clone() }
    }

    /// Both together, where their bins can be ordered; where they overlap, the coarser bin takes in the finer ones.
    pub fn merge(&self, other: &Distribution) -> Distribution {
        let mut bins: Vec<Bin> = self.bins.iter().chain(&other.bins).copied().collect();
        bins.sort_by(|a, b| a.lower.total_cmp(&b.lower).then(a.upper.total_cmp(&b.upper)));
        let mut merged: Vec<Bin> = Vec::with_capacity(bins.len());
        for bin in bins {
            match merged.last_mut() {
                Some(last) if !last_is_before(last, &bin) => {
                    last.upper = last.upper.max(bin.upper);
                    last.count += bin.count;
                }
                _ => merged.push(bin),
            }
        }
        Distribution::new(merged).unwrap_or_default()
    }

    /// The share of weight that is certainly at or under `t` seconds, and the share that may be.
    pub fn cdf_bounds(&self, t: f64) -> (f64, f64) {
        let total = self.total();
        if total == 0.0 {
            return (0.0, 0.0);
        }
        let below = self.bins.partition_point(|bin| bin.upper <= t);
        let low = below.checked_sub(1).map_or(0.0, |at| self.cumulative[at]);
        let touching = self.bins.get(below).filter(|bin| bin.lower < t).map_or(0.0, |bin| bin.count);
        (low / total, (low + touching) / total)
    }

    /// The q-quantile: the inverse of the empirical distribution function (Hyndman & Fan 1996, type 1), that is the
    /// bin that holds rank ⌈q·n⌉. `None` when empty.
    pub fn quantile(&self, q: f64) -> Option<Quantile> {
        self.at_rank(q * self.total())
    }

    /// The bin that holds the weight's `rank` (0 to total), and where in it the rank lies.
    pub fn at_rank(&self, rank: f64) -> Option<Quantile> {
        // A rank that is an integer but for rounding is that integer.
        let rank = if (rank - rank.round()).abs() < 1e-9 * rank.abs().max(1.0) { rank.round() } else { rank };
        let at =
            self.cumulative.partition_point(|weight| *weight < rank).min(self.bins.len().checked_sub(1)?);
        let bin = self.bins[at];
        let before = at.checked_sub(1).map_or(0.0, |at| self.cumulative[at]);
        let value = interpolate(&bin, ((rank - before) / bin.count).clamp(0.0, 1.0));
        Some(Quantile { value, lower: bin.lower, upper: bin.upper })
    }

    /// Points of the cumulative distribution for drawing: seconds and share, at every finite upper edge.
    pub fn cdf_points(&self) -> Vec<(f64, f64)> {
        let total = self.total().max(f64::MIN_POSITIVE);
        let points = self.bins.iter().zip(&self.cumulative);
        points
            .filter(|(bin, _)| bin.upper.is_finite())
            .map(|(bin, weight)| (bin.upper, weight / total))
            .collect()
    }
}

/// Two sides beside each other: each distinct value with both sides' weight at it. What the rank statistics and distances
/// walk along.
#[derive(Clone, Debug, PartialEq)]
pub struct Ties {
    /// By rising value; bins stand at their mid-points.
    pub groups: Vec<Tied>,
    /// Weight of the whole baseline.
    pub baseline: f64,
    /// Weight of the whole candidate.
    pub candidate: f64,
    /// Whether bins of the two sides are the same or apart, so that both distribution functions are known at every edge.
    pub aligned: bool,
}

/// What both sides have at one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tied {
    /// Seconds; a bin's mid-point.
    pub value: f64,
    /// Seconds, where the bin ends; the value itself if it is exact.
    pub edge: f64,
    /// Weight of the baseline.
    pub baseline: f64,
    /// Weight of the candidate.
    pub candidate: f64,
}

impl Ties {
    /// `None` if a side is empty.
    pub fn of(baseline: &Distribution, candidate: &Distribution) -> Option<Ties> {
        if baseline.is_empty() || candidate.is_empty() {
            return None;
        }
        let mut groups = Vec::with_capacity(baseline.bins.len().max(candidate.bins.len()));
        let mut aligned = true;
        let (mut b, mut c) = (Front::of(&baseline.bins), Front::of(&candidate.bins));
        loop {
            let value = b.value.min(c.value);
            if value == f64::INFINITY {
                break;
            }
            let (here_b, here_c) = (b.take_through(value), c.take_through(value));
            let edge = here_b.1.max(here_c.1);
            aligned &= (here_b.1 == here_c.1 || here_b.0 == 0.0 || here_c.0 == 0.0)
                && begins_after(edge, &b.first)
                && begins_after(edge, &c.first);
            groups.push(Tied { value, edge, baseline: here_b.0, candidate: here_c.0 });
        }
        Some(Ties { groups, baseline: baseline.total(), candidate: candidate.total(), aligned })
    }
}

/// The bins that are still to come.
struct Front<'a> {
    first: Bin,
    /// The first one's mid-point; infinite at the end.
    value: f64,
    rest: std::slice::Iter<'a, Bin>,
}

impl<'a> Front<'a> {
    const END: Bin = Bin { lower: f64::INFINITY, upper: f64::INFINITY, count: 0.0 };

    fn of(bins: &'a [Bin]) -> Front<'a> {
        let mut front = Front { first: Front::END, value: f64::INFINITY, rest: bins.iter() };
        front.advance();
        front
    }

    fn advance(&mut self) {
        (self.first, self.value) =
            self.rest.next().map_or((Front::END, f64::INFINITY), |bin| (*bin, bin.midpoint()));
    }

    /// Takes the bins whose mid-points are at most `value`; returns their weight and where the last of them ends.
    fn take_through(&mut self, value: f64) -> (f64, f64) {
        let (mut weight, mut edge) = (0.0, f64::NEG_INFINITY);
        while self.value <= value {
            weight += self.first.count;
            edge = self.first.upper;
            self.advance();
        }
        (weight, edge)
    }
}

/// Bins may share an edge, unless both are the same single value.
fn last_is_before(last: &Bin, next: &Bin) -> bool {
    begins_after(last.upper, next)
}

/// Whether nothing of a bin lies at or under `edge`.
fn begins_after(edge: f64, bin: &Bin) -> bool {
    edge < bin.lower || (edge == bin.lower && !bin.is_exact())
}

/// Where the share `part` of a bin's weight lies, if it is spread evenly in the logarithm.
fn interpolate(bin: &Bin, part: f64) -> f64 {
    match (bin.lower, bin.upper) {
        (lower, upper) if lower == upper => lower,
        (lower, f64::INFINITY) => lower,
        // The edge itself, and not a neighbour of it that rounding makes: what is counted at it must be the whole bin.
        (_, upper) if part >= 1.0 => upper,
        (lower, upper) if lower <= 0.0 => lower + (upper - lower) * part,
        (lower, upper) => lower * (upper / lower).powf(part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bin(lower: f64, upper: f64, count: f64) -> Bin {
        Bin { lower, upper, count }
    }

    #[test]
    fn the_last_rank_of_a_bin_lies_on_its_edge_whatever_the_rounding() {
        for at in 0..2_000 {
            let edge = |at: i32| (f64::from(at) / 16.0).exp2() * 0.001;
            let distribution = Distribution::new(vec![
                bin(edge(at), edge(at + 1), 3.0),
                bin(edge(at + 1), edge(at + 2), 3.0),
            ]);
            let median = distribution.unwrap().quantile(0.5).unwrap();
            assert_eq!(median.value, edge(at + 1));
        }
    }

    #[test]
    fn bins_that_are_no_distribution_are_refused() {
        for bins in [
            vec![bin(2.0, 1.0, 1.0)],
            vec![bin(f64::NAN, 1.0, 1.0)],
            vec![bin(0.0, 1.0, -1.0)],
            vec![bin(0.0, 1.0, f64::INFINITY)],
            vec![bin(0.0, 2.0, 1.0), bin(1.0, 3.0, 1.0)],
            vec![bin(1.0, 1.0, 1.0), bin(1.0, 1.0, 1.0)],
        ] {
            assert!(Distribution::new(bins.clone()).is_err(), "{bins:?}");
        }
    }

    #[test]
    fn a_quantile_is_the_least_value_that_has_its_share_at_or_under_it() {
        let values = Distribution::from_values(&[3.0, 1.0, 2.0, 4.0, f64::NAN]);
        for (q, expected) in [(0.25, 1.0), (0.26, 2.0), (0.5, 2.0), (0.75, 3.0), (1.0, 4.0), (0.0, 1.0)] {
            assert_eq!(values.quantile(q).unwrap().value, expected, "{q}");
        }
        assert_eq!(Distribution::default().quantile(0.5), None);
    }

    #[test]
    fn a_threshold_inside_of_a_bin_gives_bounds() {
        let bins =
            Distribution::new(vec![bin(0.0, 1.0, 1.0), bin(1.0, 2.0, 2.0), bin(2.0, f64::INFINITY, 1.0)])
                .unwrap();
        assert_eq!(bins.cdf_bounds(1.0), (0.25, 0.25));
        assert_eq!(bins.cdf_bounds(1.5), (0.25, 0.75));
        assert_eq!(bins.cdf_bounds(9.0), (0.75, 1.0));
    }

    #[test]
    fn overlapping_bins_of_two_distributions_merge_into_the_coarser_ones() {
        let coarse = Distribution::new(vec![bin(0.0, 1.0, 1.0), bin(1.0, 2.0, 1.0)]).unwrap();
        let merged = coarse.merge(&Distribution::from_values(&[0.5, 1.0, 5.0]));
        assert_eq!(merged.bins(), [bin(0.0, 1.0, 3.0), bin(1.0, 2.0, 1.0), bin(5.0, 5.0, 1.0)]);
    }
}
