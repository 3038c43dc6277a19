//! What one instance (pod) did in one series: enough to see that the requests of one pod are alike.
//!
//! Counts at or under any threshold are needed for the design effect, and the threshold is known only when the
//! whole baseline is. So each instance keeps a coarse log-linear histogram: eight bins an octave, 6 to 12 % wide,
//! only over the octaves seen; some 200 bytes for a usual spread, and none beside the numbers while requests are few.
//! Thresholds are moved to a bin's edge first.

use super::bins::Bins;
use super::latency::COUNT_MOST;
use serde::{Deserialize, Serialize};

/// Bins in an octave: 2³.
const SUB_BITS: u32 = 3;
/// Durations under 2¹⁰ ns share the first bin.
const FIRST_OCTAVE: u32 = 10;

/// As many requests take no more room in a list than an empty histogram does.
const FEW: usize = 12;

/// Requests, failures and coarse durations of one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceCounts {
    /// Requests.
    pub n: u64,
    /// Requests that failed.
    pub errors: u64,
    durations: Coarse,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Coarse {
    /// The bin of each request, rising; behind the last one zeroes.
    Few([u16; FEW]),
    Many(Bins),
}

impl Default for Coarse {
    fn default() -> Self {
        Coarse::Few([0; FEW])
    }
}

impl InstanceCounts {
    /// Adds one request.
    pub fn record(&mut self, duration_ns: u64, failed: bool) {
        self.errors += u64::from(failed);
        self.add(bin_of(duration_ns));
    }

    /// Reads the bin of a duration, where there are bins.
    #[inline]
    pub(crate) fn read_bin(&self, duration_ns: u64) -> u64 {
        match &self.durations {
            Coarse::Few(_) => 0,
            Coarse::Many(bins) => bins.at(bin_of(duration_ns)).into(),
        }
    }

    fn add(&mut self, bin: u16) {
        let n = self.n as usize;
        self.n += 1;
        match &mut self.durations {
            Coarse::Few(list) if n < FEW => {
                let at = list[..n].partition_point(|other| *other <= bin);
                list.copy_within(at..n, at + 1);
                list[at] = bin;
            }
            Coarse::Few(_) => self.many(n).add(bin, 1),
            Coarse::Many(bins) => bins.add(bin, 1),
        }
    }

    /// The histogram, of the first `n` requests of the list.
    fn many(&mut self, n: usize) -> &mut Bins {
        if let Coarse::Few(list) = &self.durations {
            let mut bins = Bins::default();
            list[..n].iter().for_each(|bin| bins.add(*bin, 1));
            self.durations = Coarse::Many(bins);
        }
        match &mut self.durations {
            Coarse::Many(bins) => bins,
            Coarse::Few(_) => unreachable!("the list was made bins above"),
        }
    }

    /// Bins with their requests, rising.
    pub(crate) fn bins(&self) -> impl Iterator<Item = (u16, u32)> + '_ {
        let (few, many) = match &self.durations {
            Coarse::Few(list) => (Some(list[..self.n as usize].iter().map(|bin| (*bin, 1))), None),
            Coarse::Many(bins) => (None, Some(bins.range().filter(|(_, count)| *count > 0))),
        };
        few.into_iter().flatten().chain(many.into_iter().flatten())
    }

    /// The tally of so many requests and failures whose bins these are, rising.
    pub(crate) fn of_bins(n: u64, errors: u64, bins: impl Iterator<Item = (u16, u32)>) -> InstanceCounts {
        if n > FEW as u64 {
            let mut many = Bins::default();
            bins.filter(|(_, count)| *count > 0).for_each(|(bin, count)| many.add(bin, count));
            return InstanceCounts { n, errors, durations: Coarse::Many(many) };
        }
        let mut few = InstanceCounts { errors, ..InstanceCounts::default() };
        let each = bins.flat_map(|(bin, count)| std::iter::repeat_n(bin, count.min(FEW as u32) as usize));
        each.take(FEW).for_each(|bin| few.add(bin));
        few
    }

    /// Whether the numbers can be those of recorded requests; bytes from outside may say anything.
    pub fn is_sound(&self) -> bool {
        let last = bin_of(u64::MAX);
        self.errors <= self.n
            && self.n <= COUNT_MOST
            && match &self.durations {
                Coarse::Few(list) => {
                    let n = self.n as usize;
                    n <= FEW && list[..n].is_sorted() && list.iter().all(|bin| *bin <= last)
                }
                Coarse::Many(bins) => bins.are_sound(last),
            }
    }

    /// Gives back the room that is kept for more.
    pub fn shrink(&mut self) {
        if let Coarse::Many(bins) = &mut self.durations {
            bins.shrink();
        }
    }

    /// Adds what another tally of the same instance holds.
    pub fn merge(&mut self, other: &InstanceCounts) {
        self.errors += other.errors;
        match &other.durations {
            Coarse::Few(list) => list[..other.n as usize].iter().for_each(|bin| self.add(*bin)),
            Coarse::Many(bins) => {
                self.many(self.n as usize).merge(bins);
                self.n += other.n;
            }
        }
    }

    /// Requests of at most `edge`, which must come from [`nearest_edge`].
    pub fn at_or_under(&self, edge: Edge) -> u64 {
        match &self.durations {
            Coarse::Few(list) => list[..self.n as usize].partition_point(|bin| *bin < edge.0) as u64,
            Coarse::Many(bins) => bins.before_each(std::iter::once(edge.0)).sum(),
        }
    }
}

/// An edge between two coarse bins: the number of bins below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge(u16);

/// The coarse edge nearest to a threshold in seconds.
pub fn nearest_edge(threshold_s: f64) -> Edge {
    let ns = (threshold_s * 1e9).clamp(0.0, 2f64.powi(62)) as u64;
    let bin = bin_of(ns);
    let (lower, upper) = (edge_ns(bin), edge_ns(bin + 1));
    Edge(if ns - lower.min(ns) < upper - ns.min(upper) { bin } else { bin + 1 })
}

fn bin_of(ns: u64) -> u16 {
    if ns < 1 << FIRST_OCTAVE {
        return 0;
    }
    let octave = ns.ilog2();
    let sub = (ns >> (octave - SUB_BITS)) & ((1 << SUB_BITS) - 1);
    (((octave - FIRST_OCTAVE) << SUB_BITS) as u64 + sub + 1) as u16
}

/// The least duration of a bin.
fn edge_ns(bin: u16) -> u64 {
    if bin == 0 {
        return 0;
    }
    let (octave, sub) = (u32::from(bin - 1) >> SUB_BITS, u64::from(bin - 1) & ((1 << SUB_BITS) - 1));
    let shift = (octave + FIRST_OCTAVE - SUB_BITS).min(60);
    ((1 << SUB_BITS) + sub) << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bin_holds_the_durations_between_its_edges() {
        for ns in (0..60).flat_map(|shift| [1u64 << shift, (1 << shift) + (1 << shift) / 3, (2 << shift) - 1])
        {
            let bin = bin_of(ns);
            assert!(edge_ns(bin) <= ns && ns < edge_ns(bin + 1), "{ns} in bin {bin}");
        }
    }

    #[test]
    fn any_split_of_few_and_many_requests_gives_equal_tallies() {
        let durations: Vec<u64> = (1..40u64).map(|i| (i * 7_919_317) % 900_000_000).collect();
        let tally = |values: &[u64]| {
            let mut counts = InstanceCounts::default();
            values.iter().for_each(|ns| counts.record(*ns, ns % 7 == 0));
            counts
        };
        for n in 0..durations.len() {
            let whole = tally(&durations[..n]);
            for cut in 0..=n {
                let (mut left, mut right) = (tally(&durations[..cut]), tally(&durations[cut..n]));
                let first = left.clone();
                left.merge(&right);
                right.merge(&first);
                assert_eq!((&left, &right), (&whole, &whole), "{n} requests cut at {cut}");
            }
        }
    }

    #[test]
    fn counts_under_an_edge_do_not_depend_on_the_order_of_recording_or_merging() {
        let durations: Vec<u64> = (1..500u64).map(|i| (i * 7_919_317) % 900_000_000).collect();
        let tally = |values: &mut dyn Iterator<Item = &u64>| {
            let mut counts = InstanceCounts::default();
            values.for_each(|ns| counts.record(*ns, ns % 7 == 0));
            counts
        };
        let forward = tally(&mut durations.iter());
        let mut halves = tally(&mut durations[250..].iter());
        halves.merge(&tally(&mut durations[..250].iter().rev()));
        for threshold in [0.0, 1e-6, 0.05, 0.4, 10.0] {
            let edge = nearest_edge(threshold);
            let expected = durations.iter().filter(|ns| **ns < edge_ns(edge.0)).count() as u64;
            assert_eq!(forward.at_or_under(edge), expected, "{threshold}");
            assert_eq!(halves.at_or_under(edge), expected, "{threshold}");
        }
        assert_eq!((forward.n, forward.errors), (halves.n, halves.errors));
    }
}
