//! What one instance (pod) did in one series: enough to see that the requests of one pod are alike.
//!
//! Counts at or under any threshold are needed for the design effect, and the threshold is known only when the
//! whole baseline is. So each instance keeps a coarse log-linear histogram: eight bins an octave, 6 to 12 % wide,
//! only over the octaves seen; some 200 bytes for a usual spread. Thresholds are moved to a bin's edge first.

use super::bins::Bins;

/// Bins in an octave: 2³.
const SUB_BITS: u32 = 3;
/// Durations under 2¹⁰ ns share the first bin.
const FIRST_OCTAVE: u32 = 10;

/// Requests, failures and coarse durations of one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceCounts {
    /// Requests.
    pub n: u64,
    /// Requests that failed.
    pub errors: u64,
    bins: Bins,
}

impl InstanceCounts {
    /// Adds one request.
    pub fn record(&mut self, duration_ns: u64, failed: bool) {
        self.n += 1;
        self.errors += u64::from(failed);
        self.bins.add(bin_of(duration_ns), 1);
    }

    /// Gives back the room that is kept for more.
    pub fn shrink(&mut self) {
        self.bins.shrink();
    }

    /// Adds what another tally of the same instance holds.
    pub fn merge(&mut self, other: &InstanceCounts) {
        self.n += other.n;
        self.errors += other.errors;
        self.bins.merge(&other.bins);
    }

    /// Requests of at most `edge`, which must come from [`nearest_edge`].
    pub fn at_or_under(&self, edge: Edge) -> u64 {
        self.bins.before_each(std::iter::once(edge.0)).sum()
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
