//! Counts in numbered bins, of which only the range that has been seen takes room.

use serde::{Deserialize, Serialize};

/// Counts by number of bin. The first and the last that are kept are not empty, so that equal counts are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bins {
    first: u16,
    counts: Vec<u32>,
}

impl Bins {
    /// Counts `n` more, one at least, in a bin. A count that does not fit stays at the greatest.
    pub fn add(&mut self, bin: u16, n: u32) {
        self.make_room(bin, bin);
        let count = &mut self.counts[usize::from(bin - self.first)];
        *count = count.saturating_add(n);
    }

    /// The count of a bin.
    #[inline]
    pub fn at(&self, bin: u16) -> u32 {
        self.counts.get(usize::from(bin.wrapping_sub(self.first))).copied().unwrap_or(0)
    }

    /// Adds what another tally holds.
    pub fn merge(&mut self, other: &Bins) {
        let Some(more) = other.counts.len().checked_sub(1) else { return };
        self.make_room(other.first, other.first + more as u16);
        let ours = &mut self.counts[usize::from(other.first - self.first)..];
        ours.iter_mut().zip(&other.counts).for_each(|(ours, theirs)| *ours = ours.saturating_add(*theirs));
    }

    /// For each of some bins the sum of all before it; it takes least time when they rise.
    pub fn before_each(&self, bins: impl Iterator<Item = u16>) -> impl Iterator<Item = u64> {
        let mut passed = (0, 0);
        bins.map(move |bin| {
            let end = usize::from(bin.saturating_sub(self.first)).min(self.counts.len());
            if end < passed.0 {
                passed = (0, 0);
            }
            let more: u64 = self.counts[passed.0..end].iter().map(|count| u64::from(*count)).sum();
            passed = (end, passed.1 + more);
            passed.1
        })
    }

    /// The bins from the first to the last that are not empty, with their counts.
    pub fn range(&self) -> impl ExactSizeIterator<Item = (u16, u32)> + '_ {
        self.counts.iter().enumerate().map(|(at, count)| (self.first + at as u16, *count))
    }

    /// Whether some bin is counted, and none after `last`; bytes from outside may say anything.
    pub fn are_sound(&self, last: u16) -> bool {
        let end = usize::from(self.first) + self.counts.len();
        end <= usize::from(last) + 1 && self.counts.iter().any(|count| *count > 0)
    }

    /// Gives back the room that is kept for more.
    pub fn shrink(&mut self) {
        self.counts.shrink_to_fit();
    }

    fn make_room(&mut self, from: u16, to: u16) {
        if self.counts.is_empty() {
            self.first = from;
        }
        if from < self.first {
            let missing = usize::from(self.first - from);
            self.counts.splice(0..0, std::iter::repeat_n(0, missing));
            self.first = from;
        }
        let wanted = usize::from(to - self.first) + 1;
        if wanted > self.counts.len() {
            // In steps, so that a growing range is seldom moved and little room is left over.
            self.counts.reserve_exact(wanted.next_multiple_of(32) - self.counts.len());
            self.counts.resize(wanted, 0);
        }
    }
}
