//! A first tier: windows are not judged here, their parts go to the agent that judges them. Cold plane.
//!
//! A window is handed over when it is complete here, before all that needs what other agents have: warm-up, cumulative streams,
//! parents. Its parts are numbered, and wait in the engine until somebody has taken them. With a storage they wait in the
//! checkpoint that forgets the window's requests, and leave after it: whatever is made again after a crash either never left,
//! or is the same part under the same number, which the second tier knows.

use super::{Engine, Event};
use crate::model::KnownNames;
use crate::window::open::OpenWindow;
use crate::window::parts::{self, Part};
use crate::window::shard::Tally;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

/// Bytes of parts that wait at the most. Beyond, the oldest is given up and counted.
const WAITING_BYTES: usize = 64 << 20;

/// A part that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Who made it.
    pub source: u128,
    /// How many it made before.
    pub sequence: u64,
    /// First nanosecond of its window.
    pub start_ns: u64,
    /// First nanosecond after its window.
    pub end_ns: u64,
    /// The part.
    pub bytes: Vec<u8>,
}

/// What has been made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Made {
    source: u128,
    /// The number of the next part.
    next: u64,
    /// What earlier parts have told of what was counted.
    told: Tally,
    waiting: VecDeque<Waiting>,
}

impl Made {
    /// Nothing, by a source that nobody else is.
    pub(super) fn new() -> Made {
        let half = || u128::from(RandomState::new().hash_one("isotel: a source of parts"));
        Made { source: half() << 64 | half(), next: 0, told: Tally::default(), waiting: VecDeque::new() }
    }

    /// Has a part wait; how many are given up for it.
    fn wait(&mut self, part: Waiting) -> u64 {
        self.waiting.push_back(part);
        let mut lost = 0;
        while self.waiting.iter().map(|part| part.bytes.len()).sum::<usize>() > WAITING_BYTES {
            self.waiting.pop_front();
            lost += 1;
        }
        lost
    }
}

impl Engine {
    /// Makes parts of the windows that end at or before `through_ns`.
    pub(super) fn hand_over(&mut self, through_ns: u64) -> Vec<Event> {
        let (open, closed_ns) = self.close(through_ns);
        let shared = self.ingest.shared.clone();
        let mut tally = self.ingest.tally();
        tally.hits = self.ingest.limits_hit();
        tally.hits.merge(&self.hits);
        let since = tally.since(&self.made.told);
        // At the end what was counted is told though no window may go with it.
        let is_end = through_ns == u64::MAX && since != Tally::default();
        if open.is_empty() && !is_end {
            return Vec::new();
        }
        let names = shared.known_names();
        let handed: Vec<u64> = open.keys().copied().collect();
        let parts = open.into_iter().flat_map(|(index, window)| {
            parts::divide(window, &names).into_iter().map(move |part| (index, part))
        });
        let mut parts: Vec<_> = parts.collect();
        if parts.is_empty() {
            parts.push((0, (OpenWindow::default(), KnownNames::default())));
        }
        let last = parts.len() - 1;
        let mut since = Some(since);
        self.made.told = tally;
        for (at, (index, (window, own))) in parts.into_iter().enumerate() {
            let watermark_ns =
                if at == last { closed_ns.saturating_add(self.plan.patience.lateness_ns) } else { 0 };
            let part = Part {
                source: self.made.source,
                sequence: self.made.next,
                watermark_ns,
                window_ns: self.plan.window_ns,
                index,
                tally: Tally::default(),
                names: own,
                window,
            };
            let part = match since.take() {
                // The first tells what was counted, in numbers of the names that go with it.
                Some(tally) => part.with_tally(tally, &names),
                None => part,
            };
            self.made.next += 1;
            let mut sources = shared.sources();
            let Ok(bytes) = part.to_bytes(&shared.keys.values) else {
                sources.counts_mut().lost += 1;
                continue;
            };
            sources.counts_mut().made += 1;
            let (start_ns, end_ns) = (shared.grid.start_ns(index), shared.grid.end_ns(index));
            let Part { source, sequence, .. } = part;
            let waiting = Waiting { source, sequence, start_ns, end_ns, bytes };
            sources.counts_mut().lost += self.made.wait(waiting);
        }
        vec![Event::Sealed(handed)]
    }

    /// Offers the parts that wait, oldest first, until one is not taken. With a storage this comes after the checkpoint that
    /// has them.
    pub fn send_parts(&mut self, take: &mut dyn FnMut(&Waiting) -> bool) {
        while self.made.waiting.front().is_some_and(&mut *take) {
            self.made.waiting.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_parts_that_nobody_takes_the_oldest_are_given_up_beyond_the_bound_and_counted() {
        let mut made = Made::new();
        let part = |sequence| Waiting {
            source: 1,
            sequence,
            start_ns: 0,
            end_ns: 1,
            bytes: vec![0; WAITING_BYTES / 4],
        };
        let lost: Vec<u64> = (0..6).map(|sequence| made.wait(part(sequence))).collect();
        assert_eq!(lost, [0, 0, 0, 0, 1, 1]);
        assert_eq!(made.waiting.iter().map(|part| part.sequence).collect::<Vec<_>>(), [2, 3, 4, 5]);
    }
}
