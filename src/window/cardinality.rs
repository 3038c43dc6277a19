//! Attribute values → how many different ones there are. Hot plane.
//!
//! Looking at every value of every span would cost more than all the rest, so of spans and log records a sample is looked at.
//! What is in it is chosen by the content of each, and not by counting, so that it is the same however input is split over
//! shards and windows, and it has nothing to do with what a sampler kept. Of metrics and resources all values are looked at,
//! for they repeat: once for each stream or resource, window and shard.
//!
//! Values can be personal. Only their hashes are kept, keyed by the engine, and those leave it for its checkpoints at most: what
//! is read is how many there are, which does not depend on the key.

use super::shard::{Home, Shard, attribute_name, type_form};
use crate::model::{EnvironmentId, ItemId, ItemKind, Limit, Limits, LimitsHit, ServiceId};
use crate::sketch::Distinct;
use crate::sketch::latency::COUNT_MOST;
use crate::wire::any_value::{Attributes, RawAttribute};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::hash::BuildHasher;
use xxhash_rust::xxh3::xxh3_64;

/// One of so many spans and log records is looked at, as a power of two.
const SAMPLE_BITS: u32 = 4;

/// Whether what these bytes tell apart is in the sample: ids, which somebody may count up, or a message.
#[inline]
pub(super) fn in_sample(bytes: &[u8]) -> bool {
    xxh3_64(bytes) >> (64 - SAMPLE_BITS) == 0
}

/// The values of one attribute in one environment and window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looked {
    /// Sightings that were looked at; 0 where all are, as of metrics and resources.
    pub at: u64,
    /// The different values.
    pub values: Distinct,
}

/// The values of all attributes in one window.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Cardinalities {
    attributes: HashMap<(EnvironmentId, ItemId), Looked>,
    lists: usize,
}

impl Cardinalities {
    /// Takes in a value, or the values that another shard has of the same attribute.
    pub(super) fn add(
        &mut self,
        key: (EnvironmentId, ItemId),
        looked: Looked,
        limits: &Limits,
        hits: &mut LimitsHit,
    ) {
        let room = self.lists < limits.counted_attributes;
        let Some(known) = self.attributes.get_mut(&key) else {
            let values = match looked.values.is_list() && !room {
                true => {
                    hits.count(Limit::CountedAttributes);
                    Distinct::Uncounted
                }
                false => looked.values,
            };
            self.lists += usize::from(values.is_list());
            self.attributes.insert(key, Looked { values, ..looked });
            return;
        };
        known.at += looked.at;
        let had = known.values.is_list();
        if !known.values.merge(&looked.values, room) {
            hits.count(Limit::CountedAttributes);
        }
        self.lists = self.lists - usize::from(had) + usize::from(known.values.is_list());
    }

    /// Adds what another shard has of the same window.
    pub fn merge(&mut self, other: Cardinalities, limits: &Limits, hits: &mut LimitsHit) {
        other.attributes.into_iter().for_each(|(key, looked)| self.add(key, looked, limits, hits));
    }

    /// Whether all numbers can be what they say; bytes from outside may say anything.
    pub(super) fn are_sound(&self) -> bool {
        self.attributes.values().all(|looked| looked.at <= COUNT_MOST && looked.values.is_sound())
    }

    /// The attributes with their values.
    pub fn into_attributes(self) -> impl Iterator<Item = ((EnvironmentId, ItemId), Looked)> {
        self.attributes.into_iter()
    }
}

impl Shard {
    /// Looks at the values of attributes whose keys are items already. Of lists and maps no values are counted. `metric` is that
    /// of the point that has them, else empty.
    pub(super) fn look_at<'a>(
        &mut self,
        (environment, service): (EnvironmentId, ServiceId),
        window: usize,
        (kind, metric): (ItemKind, &str),
        attributes: Attributes<'a>,
    ) {
        let sampled = matches!(kind, ItemKind::SpanAttribute | ItemKind::LogAttribute);
        for attribute in attributes.raw().filter(RawAttribute::is_single) {
            let Some(item) = self.attribute(service, kind, metric, attribute) else { continue };
            let value = self.shared.hasher.hash_one(attribute.value);
            let looked = Looked { at: u64::from(sampled), values: Distinct::One(value) };
            let Shard { windows, shared, tally, .. } = self;
            let cardinalities = &mut windows[window].1.cardinalities;
            cardinalities.add((environment, item), looked, &shared.limits, &mut tally.hits);
        }
    }

    /// Looks at the attributes of a data point whose stream is new to the window, as far as the shard remembers; `stream` is
    /// the hash of what tells it apart.
    pub(super) fn look_at_point<'a>(
        &mut self,
        home: Home,
        window: usize,
        (metric, stream): (&str, u64),
        attributes: Attributes<'a>,
    ) {
        let key = (home.environment, home.service, self.windows[window].0, stream);
        let stream = self.shared.hasher.hash_one(key);
        if self.streams.get(&stream).is_none() {
            self.streams.insert(stream, ());
            let of = (home.environment, home.service);
            self.look_at(of, window, (ItemKind::MetricAttribute, metric), attributes);
        }
    }

    /// The item of an attribute, from memory or from the shared table; `None` when there are too many items.
    fn attribute(
        &mut self,
        service: ServiceId,
        kind: ItemKind,
        metric: &str,
        attribute: RawAttribute<'_>,
    ) -> Option<ItemId> {
        let told_apart = (metric, attribute.key, attribute.type_tag());
        let known = (service, kind, self.shared.hasher.hash_one(told_apart));
        if let Some(item) = self.items.get(&known) {
            return item;
        }
        let (key, value) = attribute.parse();
        let (name, form) = (attribute_name(metric, key), type_form(&value));
        let item = self.shared.names().find_item(service, kind, &name, &form);
        self.items.insert(known, item);
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: (EnvironmentId, ItemId) = (EnvironmentId(0), ItemId(1));
    const OTHER: (EnvironmentId, ItemId) = (EnvironmentId(0), ItemId(2));

    /// What one shard has of some attributes, each with so many values.
    fn shard(attributes: &[((EnvironmentId, ItemId), u64)], limits: &Limits) -> (Cardinalities, LimitsHit) {
        let (mut all, mut hits) = (Cardinalities::default(), LimitsHit::default());
        for (key, values) in attributes {
            for hash in 0..*values {
                all.add(*key, Looked { at: 1, values: Distinct::One(hash) }, limits, &mut hits);
            }
        }
        (all, hits)
    }

    #[test]
    fn lists_that_shards_bring_find_room_or_are_counted_once_and_those_beyond_a_hundred_give_theirs_back() {
        let limits = Limits { counted_attributes: 1, ..Limits::default() };
        let (mut all, mut hits) = shard(&[(ONE, 5)], &limits);
        let (other, _) = shard(&[(OTHER, 3)], &limits);
        all.merge(other, &limits, &mut hits);
        let (again, told) = shard(&[(ONE, 101), (OTHER, 3)], &limits);
        assert_eq!((again.lists, told.iter().count()), (1, 0), "the identifier's list is gone");
        all.merge(again, &limits, &mut hits);
        assert_eq!((hits.iter().collect::<Vec<_>>(), all.lists), (vec![(Limit::CountedAttributes, 1)], 0));
        let found: HashMap<_, _> = all.into_attributes().collect();
        assert_eq!((found[&ONE].at, found[&ONE].values.count()), (106, Some(101)));
        assert_eq!((found[&OTHER].at, found[&OTHER].values.count()), (6, None));
    }

    #[test]
    fn one_in_sixteen_is_in_the_sample_also_of_ids_that_count_up() {
        for step in [1, 8, 1_000, 1_000_000_000] {
            let looked_at = (0..16_000_u64).filter(|n| in_sample(&(n * step).to_be_bytes())).count();
            assert!((900..=1_100).contains(&looked_at), "{looked_at} of steps of {step}");
        }
    }
}
