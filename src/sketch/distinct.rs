//! How many different values something has: none, one, few, or too many to count.
//!
//! Values come as hashes and are never kept themselves. Up to [`COUNTED_MOST`] different ones are kept, so that numbers up
//! to there are exact whatever the hash and the order; from there on the hashes are dropped and only that they were more is
//! known. Most attributes have one value, which takes no memory of its own.

use serde::{Deserialize, Serialize};

/// So many different values are told apart.
pub const COUNTED_MOST: usize = 100;

/// How many different values something has, in classes that differ in what can be done with it: a constant says nothing, a
/// few can be shown side by side, many can be looked through, and beyond that they are identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cardinality {
    /// One.
    One,
    /// 2 to 10.
    Few,
    /// 11 to 100.
    Many,
    /// Over 100.
    Unbounded,
}

impl Cardinality {
    /// The class of a number of values, at least one.
    pub fn of(values: usize) -> Cardinality {
        match values {
            ..=1 => Cardinality::One,
            2..=10 => Cardinality::Few,
            11..=COUNTED_MOST => Cardinality::Many,
            _ => Cardinality::Unbounded,
        }
    }

    /// The word in reports and in the JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Cardinality::One => "one",
            Cardinality::Few => "few",
            Cardinality::Many => "many",
            Cardinality::Unbounded => "unbounded",
        }
    }
}

/// The different values of something that has at least one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Distinct {
    /// One, with its hash.
    One(u64),
    /// The hashes of at least two and at most [`COUNTED_MOST`], rising.
    Several(Vec<u64>),
    /// At least two, which there was no room to count.
    Uncounted,
    /// More than [`COUNTED_MOST`].
    Over,
}

impl Distinct {
    /// Adds a value; `false` when it is the second one, and there is no room for a list.
    pub fn add(&mut self, hash: u64, room: bool) -> bool {
        match self {
            Distinct::One(known) if *known == hash => {}
            Distinct::One(_) if !room => {
                *self = Distinct::Uncounted;
                return false;
            }
            Distinct::One(known) => *self = Distinct::Several(vec![hash.min(*known), hash.max(*known)]),
            Distinct::Several(hashes) => {
                if let Err(at) = hashes.binary_search(&hash) {
                    match hashes.len() < COUNTED_MOST {
                        true => hashes.insert(at, hash),
                        false => *self = Distinct::Over,
                    }
                }
            }
            Distinct::Uncounted | Distinct::Over => {}
        }
        true
    }

    /// Adds the values of another; `false` when they do not all find room.
    pub fn merge(&mut self, other: &Distinct, room: bool) -> bool {
        match (&*self, other) {
            (Distinct::Over, _) => true,
            (_, Distinct::One(hash)) => self.add(*hash, room),
            (_, Distinct::Several(hashes)) => hashes.iter().all(|hash| self.add(*hash, room)),
            (_, Distinct::Over) => {
                *self = Distinct::Over;
                true
            }
            (_, Distinct::Uncounted) => {
                *self = Distinct::Uncounted;
                true
            }
        }
    }

    /// Whether a list is what it must be; bytes from outside may say anything.
    pub fn is_sound(&self) -> bool {
        match self {
            Distinct::Several(hashes) => {
                (2..=COUNTED_MOST).contains(&hashes.len()) && hashes.is_sorted_by(|one, next| one < next)
            }
            Distinct::One(_) | Distinct::Uncounted | Distinct::Over => true,
        }
    }

    /// Whether it keeps a list.
    pub fn is_list(&self) -> bool {
        matches!(self, Distinct::Several(_))
    }

    /// How many there are; one more than [`COUNTED_MOST`] where they are more than that, and `None` where they were not
    /// counted.
    pub fn count(&self) -> Option<usize> {
        match self {
            Distinct::One(_) => Some(1),
            Distinct::Several(hashes) => Some(hashes.len()),
            Distinct::Uncounted => None,
            Distinct::Over => Some(COUNTED_MOST + 1),
        }
    }

    /// Gives back memory that growing left over.
    pub fn shrink(&mut self) {
        if let Distinct::Several(hashes) = self {
            hashes.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(hashes: impl IntoIterator<Item = u64>) -> Distinct {
        let mut hashes = hashes.into_iter();
        let mut all = Distinct::One(hashes.next().unwrap());
        assert!(hashes.all(|hash| all.add(hash, true)));
        all
    }

    #[test]
    fn values_are_counted_once_up_to_a_hundred() {
        let class = |n: u64| Cardinality::of(of((0..n).chain(0..n)).count().unwrap()).as_str();
        let told = [1, 2, 10, 11, 100, 101, 5_000].map(class);
        assert_eq!(told, ["one", "few", "few", "many", "many", "unbounded", "unbounded"]);
        assert!(!of(0..101).is_list() && of(0..100).is_list());
    }

    #[test]
    fn merging_in_any_order_counts_the_union() {
        let parts = [of(0..1), of(0..60), of(40..90), of(90..110), of(0..300), Distinct::Uncounted];
        for (at, one) in parts.iter().enumerate() {
            for other in &parts[at..] {
                let (mut there, mut back) = (one.clone(), other.clone());
                assert!(there.merge(other, true) && back.merge(one, true));
                assert_eq!(there, back, "{one:?} and {other:?}");
            }
        }
        let union = |ours: &Distinct, theirs: &Distinct| {
            let mut all = ours.clone();
            all.merge(theirs, true);
            all.count()
        };
        assert_eq!((union(&parts[1], &parts[2]), union(&parts[1], &parts[3])), (Some(90), Some(80)));
        assert_eq!(union(&of(0..60), &of(60..101)), Some(101));
    }

    #[test]
    fn a_second_value_without_room_is_not_counted_and_more_than_a_hundred_are_still_known() {
        let mut one = of(0..1);
        assert!(one.add(0, false) && !one.add(1, false));
        assert_eq!((&one, one.count()), (&Distinct::Uncounted, None));
        assert!(one.merge(&of(0..200), false));
        assert_eq!(one.count(), Some(101));
    }
}
