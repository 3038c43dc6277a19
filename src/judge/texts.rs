//! Texts that many operations of a report have, each kept once: in most reports all operations share a few reasons.

use hashbrown::HashSet;
use std::sync::Arc;

/// Texts that are told apart; those beyond are kept as often as they come.
const TEXTS_MOST: usize = 4_096;

/// Texts that came before.
#[derive(Debug, Default)]
pub struct Texts(HashSet<Arc<str>>);

impl Texts {
    /// Puts the text that came before in place of an equal one.
    pub fn share(&mut self, text: &mut Arc<str>) {
        match self.0.get(text) {
            Some(known) => *text = Arc::clone(known),
            None if self.0.len() < TEXTS_MOST => drop(self.0.insert(Arc::clone(text))),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_and_the_table_of_them_ends_at_its_bound() {
        let mut texts = Texts::default();
        let mut shared = |text: &str| {
            let mut text = Arc::from(text);
            texts.share(&mut text);
            text
        };
        assert!(Arc::ptr_eq(&shared("one"), &shared("one")));
        (0..2 * TEXTS_MOST).for_each(|n| drop(shared(&n.to_string())));
        assert!(Arc::ptr_eq(&shared("one"), &shared("one")));
        assert!(!Arc::ptr_eq(&shared("late"), &shared("late")));
        assert_eq!((&*shared("late"), texts.0.len()), ("late", TEXTS_MOST));
    }
}
