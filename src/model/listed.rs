//! Names by number, and the number of a name.

use hashbrown::{DefaultHashBuilder, HashTable};
use serde::{Deserialize, Serialize};
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

/// A list that only grows, in pieces that its clones share: a push copies one piece at most.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Listed<T> {
    pub(super) pieces: Vec<Arc<Vec<T>>>,
}

/// Names in a piece.
const PIECE: usize = 1_024;

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Listed { pieces: Vec::new() }
    }
}

impl<T: Clone> Listed<T> {
    pub(super) fn len(&self) -> usize {
        self.pieces.last().map_or(0, |last| (self.pieces.len() - 1) * PIECE + last.len())
    }

    pub(super) fn get(&self, at: u32) -> &T {
        &self.pieces[at as usize / PIECE][at as usize % PIECE]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pieces.iter().flat_map(|piece| piece.iter())
    }

    pub(super) fn find(&self, at: u32) -> Option<&T> {
        self.pieces.get(at as usize / PIECE)?.get(at as usize % PIECE)
    }

    /// To change; what is not there yet is made, and everything before it.
    pub(super) fn get_mut(&mut self, at: u32) -> &mut T
    where
        T: Default,
    {
        while self.len() <= at as usize {
            self.push(T::default());
        }
        &mut Arc::make_mut(&mut self.pieces[at as usize / PIECE])[at as usize % PIECE]
    }

    /// Adds one and returns its place.
    pub(super) fn push(&mut self, name: T) -> u32 {
        let at = self.len() as u32;
        match self.pieces.last_mut().filter(|last| last.len() < PIECE) {
            Some(last) => Arc::make_mut(last).push(name),
            None => self.pieces.push(Arc::new(vec![name])),
        }
        at
    }
}

/// The numbers of the names in a list. Of each it keeps the number alone: its name is in the list.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    table: HashTable<u32>,
    state: DefaultHashBuilder,
}

impl Numbers {
    /// Of all that is in a list.
    pub(super) fn of<T: Clone + Eq + Hash>(listed: &Listed<T>) -> Numbers {
        let mut numbers = Numbers::default();
        listed.iter().zip(0..).for_each(|(name, number)| numbers.note(listed, name, number));
        numbers
    }

    /// The number of a name.
    pub(super) fn find<T: Clone + Eq + Hash>(&self, listed: &Listed<T>, name: &T) -> Option<u32> {
        self.table.find(self.state.hash_one(name), |number| listed.get(*number) == name).copied()
    }

    /// The number of a name, a new one if it has none.
    pub(super) fn give<T: Clone + Eq + Hash>(&mut self, listed: &mut Listed<T>, name: T) -> u32 {
        if let Some(known) = self.find(listed, &name) {
            return known;
        }
        let number = listed.push(name);
        self.note(listed, listed.get(number), number);
        number
    }

    fn note<T: Clone + Eq + Hash>(&mut self, listed: &Listed<T>, name: &T, number: u32) {
        let state = &self.state;
        let hash = |number: &u32| state.hash_one(listed.get(*number));
        self.table.insert_unique(state.hash_one(name), number, hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_the_number_of_its_place_and_keeps_it() {
        let (mut listed, mut numbers) = (Listed::default(), Numbers::default());
        let name = |at: u32| format!("name {at}");
        for _ in 0..2 {
            (0..3_000).for_each(|at| assert_eq!(numbers.give(&mut listed, name(at)), at));
        }
        assert_eq!((listed.len(), numbers.find(&listed, &name(3_000))), (3_000, None));
        let again = Numbers::of(&listed);
        (0..3_000).for_each(|at| assert_eq!(again.find(&listed, &name(at)), Some(at)));
    }
}
