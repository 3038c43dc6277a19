//! What a shard remembers of names: as long as they go on being met. Hot plane.

use hashbrown::HashMap;
use std::hash::Hash;

/// How many entries met since the last time it aged a cache holds. Beyond them it begins anew: costs a look at the shared
/// tables for each, and only under a flood of new names.
const ENTRIES: usize = 65_536;

/// A map of two ages. What was not met for two windows is forgotten, so that instances that come and go leave nothing.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Cache { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    /// What is known of a key.
    #[inline]
    pub fn get(&mut self, key: &K) -> Option<V> {
        match self.young.get(key) {
            Some(known) => Some(known.clone()),
            None => self.meet_again(key),
        }
    }

    #[cold]
    fn meet_again(&mut self, key: &K) -> Option<V> {
        let (key, known) = self.old.remove_entry(key)?;
        self.insert(key, known.clone());
        Some(known)
    }

    /// Remembers something.
    pub fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= ENTRIES {
            self.young.clear();
        }
        self.young.insert(key, value);
    }

    /// Forgets what was not met since the last time.
    pub fn age(&mut self) {
        std::mem::swap(&mut self.young, &mut self.old);
        self.young.clear();
        // A flood leaves no more room than is needed.
        self.young.shrink_to(2 * self.old.len());
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_met_stays_and_what_is_not_is_gone_after_two_ages() {
        let mut cache = Cache::default();
        (0..1_000).for_each(|key| cache.insert(key, key));
        for _ in 0..5 {
            cache.age();
            assert_eq!(cache.get(&7), Some(7));
        }
        assert_eq!((cache.get(&8), cache.young.len() + cache.old.len()), (None, 1));
    }

    #[test]
    fn instances_that_come_and_go_leave_nothing_however_many_they_are() {
        let mut cache = Cache::default();
        for window in 0..100u32 {
            (0..1_000).for_each(|one| cache.insert(window * 1_000 + one, ()));
            cache.age();
        }
        assert_eq!(cache.young.len() + cache.old.len(), 1_000);
        assert!(cache.young.capacity() + cache.old.capacity() < 8_000);
        (0..3 * ENTRIES as u32).for_each(|flood| cache.insert(flood, ()));
        assert!(cache.young.len() <= ENTRIES);
    }
}
