//! Which parts of windows have come from whom, and how far each first tier has come. Cold plane.
//!
//! A first tier numbers its parts from zero on, one after the other, so that what has come is a few ranges of numbers, and a part
//! that comes again is known. Parts overtake each other on their way: how far a first tier has come counts when all parts before
//! have come too, or when they have been waited for as long as an environment is that has gone quiet.

use super::watermark::{Patience, Progress};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Ranges of numbers that are told apart of one source: so many gaps may be open. Of more the oldest counts as come.
const RANGES: usize = 256;

/// What became of parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartCounts {
    /// Merged into a window.
    pub merged: u64,
    /// Had come before.
    pub repeated: u64,
    /// Of a window that was sealed already.
    pub late: u64,
    /// Made for the second tier.
    pub made: u64,
    /// Made, and given up because too many waited.
    pub lost: u64,
}

/// What a part says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub source: u128,
    pub sequence: u64,
    /// How far its sender has come with it; 0: not told.
    pub watermark_ns: u64,
    /// The end of its window.
    pub end_ns: u64,
}

/// All first tiers that parts came from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sources {
    known: BTreeMap<u128, Source>,
    pub(super) counts: PartCounts,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Source {
    /// First and last of the numbers that have come, rising; none touch.
    seen: BTreeMap<u64, u64>,
    /// All before this have come or are not waited for any more.
    settled: u64,
    /// How far it has come with numbers that are not settled yet.
    ahead: BTreeMap<u64, u64>,
    /// Since when the next number is waited for, nanoseconds since the epoch.
    waiting_since_ns: Option<u64>,
    watermark_ns: u64,
    arrived_ns: u64,
    /// The end of its newest window.
    end_ns: u64,
}

/// What a part is that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// For the first time.
    First,
    /// Again.
    Again,
    /// Of one source too many.
    Strange,
}

impl Sources {
    /// Takes note of a part. At the bound a source gives its place to another whose windows are all sealed.
    pub(super) fn take(&mut self, part: Arrival, now_ns: u64, most: usize, sealed_through_ns: u64) -> Came {
        if !self.known.contains_key(&part.source) && self.known.len() >= most {
            let over = self.known.iter().filter(|(_, source)| source.end_ns <= sealed_through_ns);
            let longest_silent = over.min_by_key(|(_, source)| source.arrived_ns).map(|(id, _)| *id);
            let Some(gone) = longest_silent else { return Came::Strange };
            self.known.remove(&gone);
        }
        let source = self.known.entry(part.source).or_default();
        source.arrived_ns = source.arrived_ns.max(now_ns);
        if !source.see(part.sequence) {
            return Came::Again;
        }
        source.end_ns = source.end_ns.max(part.end_ns);
        if part.watermark_ns > 0 {
            source.ahead.insert(part.sequence, part.watermark_ns);
            while source.ahead.len() > RANGES {
                source.ahead.pop_first();
            }
        }
        source.settle();
        Came::First
    }

    /// How far each source has come at `now_ns`. What was waited for longer than a source that is silent is waited for no more;
    /// and parts have the lateness once more to come, for those of a source that nobody knows yet.
    pub fn progress(&mut self, now_ns: u64, patience: Patience) -> Vec<Progress> {
        let newest_ns = now_ns.saturating_sub(patience.lateness_ns);
        let of_source = |source: &mut Source| {
            source.give_up(now_ns, patience.idle_ns);
            // One that has ended holds back nobody.
            let ended = source.watermark_ns == u64::MAX;
            Progress {
                watermark_ns: source.watermark_ns.min(newest_ns),
                arrived_ns: if ended { 0 } else { source.arrived_ns },
            }
        };
        self.known.values_mut().map(of_source).collect()
    }

    /// Takes parts again from `now_ns` on: no source is idle because nobody listened.
    pub fn resume(&mut self, now_ns: u64) {
        self.known.values_mut().for_each(|source| source.arrived_ns = source.arrived_ns.max(now_ns));
    }

    /// What became of parts.
    pub fn counts(&self) -> PartCounts {
        self.counts
    }

    /// The same, to count more.
    pub fn counts_mut(&mut self) -> &mut PartCounts {
        &mut self.counts
    }

    /// How many sources are known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

impl Source {
    /// Takes note of a number; `false` when it has come before.
    fn see(&mut self, number: u64) -> bool {
        let before = self.seen.range(..=number).next_back().map(|(first, last)| (*first, *last));
        if before.is_some_and(|(_, last)| last >= number) {
            return false;
        }
        let first = match before {
            Some((first, last)) if last.checked_add(1) == Some(number) => first,
            _ => number,
        };
        let after = number.checked_add(1).and_then(|next| self.seen.remove(&next));
        self.seen.insert(first, after.unwrap_or(number));
        if self.seen.len() > RANGES
            && let (Some((first, _)), Some((_, last))) = (self.seen.pop_first(), self.seen.pop_first())
        {
            self.seen.insert(first, last);
        }
        true
    }

    /// Goes as far as nothing is missing.
    fn settle(&mut self) {
        let reaches = self.seen.range(..=self.settled).next_back().map(|(_, last)| *last);
        if let Some(last) = reaches.filter(|last| *last >= self.settled) {
            self.settled = last.saturating_add(1);
            self.waiting_since_ns = None;
        }
        let ahead = self.ahead.split_off(&self.settled);
        let come = std::mem::replace(&mut self.ahead, ahead);
        self.watermark_ns = come.into_values().fold(self.watermark_ns, u64::max);
    }

    fn give_up(&mut self, now_ns: u64, patience_ns: u64) {
        let Some(next) = self.seen.range(self.settled..).next().map(|(first, _)| *first) else { return };
        let since_ns = *self.waiting_since_ns.get_or_insert(now_ns);
        if since_ns.saturating_add(patience_ns) <= now_ns {
            self.settled = next;
            self.settle();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PATIENCE: Patience = Patience { lateness_ns: 10, idle_ns: 50 };

    fn part(source: u128, sequence: u64) -> Arrival {
        Arrival {
            source,
            sequence,
            watermark_ns: sequence.saturating_add(100),
            end_ns: sequence.saturating_add(50),
        }
    }

    fn take(sources: &mut Sources, sequence: u64) -> Came {
        sources.take(part(7, sequence), 1_000, 2, 0)
    }

    fn watermark(sources: &mut Sources, now_ns: u64) -> u64 {
        sources.progress(now_ns, PATIENCE)[0].watermark_ns
    }

    #[test]
    fn a_part_that_overtook_others_counts_when_they_have_come_or_were_waited_for_long_enough() {
        let mut sources = Sources::default();
        assert_eq!((take(&mut sources, 0), take(&mut sources, 2)), (Came::First, Came::First));
        assert_eq!((watermark(&mut sources, 1_000), watermark(&mut sources, 1_049)), (100, 100));
        take(&mut sources, 1);
        assert_eq!(watermark(&mut sources, 1_049), 102);
        take(&mut sources, 5);
        assert_eq!((watermark(&mut sources, 2_000), watermark(&mut sources, 2_050)), (102, 105));
        assert_eq!((take(&mut sources, 4), take(&mut sources, 4)), (Came::First, Came::Again));
    }

    #[test]
    fn at_the_bound_only_a_source_whose_windows_are_sealed_gives_its_place() {
        let mut sources = Sources::default();
        sources.take(part(1, 0), 10, 2, 0);
        sources.take(part(2, 0), 11, 2, 0);
        assert_eq!(sources.take(part(3, 0), 12, 2, 49), Came::Strange);
        assert_eq!(sources.take(part(3, 0), 12, 2, 50), Came::First);
        assert_eq!((sources.len(), sources.take(part(2, 0), 13, 2, 50)), (2, Came::Again));
    }

    #[test]
    fn one_that_has_ended_holds_back_nobody() {
        let mut sources = Sources::default();
        sources.take(Arrival { watermark_ns: u64::MAX, ..part(1, 0) }, 500, 2, 0);
        assert_eq!(sources.progress(600, PATIENCE), [Progress { watermark_ns: 590, arrived_ns: 0 }]);
    }

    #[test]
    fn so_many_gaps_are_open_and_no_more() {
        let mut sources = Sources::default();
        for n in 0..10_000 {
            take(&mut sources, 3 * n);
        }
        let source = &sources.known[&7];
        assert!(source.seen.len() <= RANGES && source.ahead.len() <= RANGES);
        assert_eq!(take(&mut sources, 1), Came::Again, "of the oldest gaps it is not known any more");
        assert_eq!(take(&mut sources, 3 * 9_999 - 1), Came::First);
        assert_eq!(take(&mut sources, u64::MAX), Came::First);
    }

    proptest! {
        #[test]
        fn each_number_is_new_once_and_all_that_have_come_settle(
            numbers in prop::collection::vec(0..40u64, 0..120),
        ) {
            let (mut sources, mut known) = (Sources::default(), std::collections::BTreeSet::new());
            for number in numbers {
                let came = sources.take(part(7, number), 1, 1, 0);
                prop_assert_eq!(came == Came::First, known.insert(number));
                let whole = (0..).take_while(|n| known.contains(n)).count() as u64;
                prop_assert_eq!(sources.known[&7].settled, whole);
                prop_assert_eq!(sources.known[&7].watermark_ns, if whole > 0 { 99 + whole } else { 0 });
            }
        }
    }
}
