//! What was said of a service in one window: a bounded set of statements with how often each was made.
//!
//! Of too many statements those with the least hashes are kept, so that the same ones stay whatever the order of arrival
//! and however they were spread over shards. The hash is of what is said, so this is a fair sample.

use crate::model::facts::Statement;
use crate::sketch::latency::COUNT_MOST;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a statement comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Told {
    /// A resource's attributes.
    Resource,
    /// Name and version of an instrumentation scope.
    Scope,
    /// A point of an info metric, or an event whose attributes are facts.
    Item,
    /// The evaluation of a feature flag.
    Flag,
}

/// Statements by hash, with how often they were made.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Statements(BTreeMap<u64, (Arc<Statement>, u64)>);

impl Statements {
    /// Adds a statement that was made `count` times. One more than `limit` is kept, by which the seal sees that there
    /// were too many.
    pub fn add(&mut self, hash: u64, count: u64, limit: usize, statement: impl FnOnce() -> Arc<Statement>) {
        if let Some((_, known)) = self.0.get_mut(&hash) {
            *known += count;
            return;
        }
        if self.0.len() > limit && self.0.last_key_value().is_some_and(|(last, _)| hash > *last) {
            return;
        }
        self.0.insert(hash, (statement(), count));
        if self.0.len() > limit + 1 {
            self.0.pop_last();
        }
    }

    /// Whether what was said is what its hash says, and each text fits; bytes from outside may say anything.
    pub fn are_sound(&self) -> bool {
        self.0.iter().all(|(hash, (statement, n))| statement.hash() == *hash && *n <= COUNT_MOST)
    }

    /// Adds what another shard has.
    pub fn merge(&mut self, other: Statements, limit: usize) {
        for (hash, (statement, count)) in other.0 {
            self.add(hash, count, limit, || statement);
        }
    }

    /// Keeps `limit` of them; whether there were more.
    pub fn seal(&mut self, limit: usize) -> bool {
        let more = self.0.len() > limit;
        while self.0.len() > limit {
            self.0.pop_last();
        }
        more
    }

    /// Has each statement kept where an equal one is kept, by its hash.
    pub fn share(&mut self, mut kept: impl FnMut(u64, &Arc<Statement>) -> Arc<Statement>) {
        self.0.iter_mut().for_each(|(hash, (statement, _))| *statement = kept(*hash, statement));
    }

    /// Hash, statement, how often.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Arc<Statement>, u64)> {
        self.0.iter().map(|(hash, (statement, count))| (*hash, statement, *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::InstanceId;

    fn of(hashes: impl Iterator<Item = u64>, limit: usize) -> Statements {
        let mut statements = Statements::default();
        for hash in hashes {
            statements
                .add(hash, 1, limit, || Arc::new(Statement { instance: InstanceId(hash), facts: [].into() }));
        }
        statements
    }

    #[test]
    fn the_same_statements_stay_with_their_whole_counts_in_any_order_and_merged() {
        let hashes = || (0..100_u64).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).flat_map(|h| [h, h]);
        let expected = |mut statements: Statements| {
            assert!(statements.seal(8));
            statements.iter().map(|(hash, _, count)| (hash, count)).collect::<Vec<_>>()
        };
        let rising = expected(of(hashes(), 8));
        let mut falling: Vec<u64> = hashes().collect();
        falling.reverse();
        let (one, other) = falling.split_at(70);
        let mut merged = of(one.iter().copied(), 8);
        merged.merge(of(other.iter().copied(), 8), 8);
        assert_eq!(rising, expected(of(falling.iter().copied(), 8)));
        assert_eq!(rising, expected(merged));
        assert!(rising.len() == 8 && rising.iter().all(|(_, count)| *count == 2));
        assert!(!of(0..8, 8).seal(8));
    }
}
