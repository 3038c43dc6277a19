//! Aspect shape: has an attribute as many different values as on the other side?
//!
//! Question: an attribute has d different values on one side and D > d on the other. Would the side with fewer have shown more, if
//! it drew its values from where the other does?
//!
//! Let s ≤ 1 be the share of what shows values that the side with fewer has, of that in which the other showed D. Taking a
//! share s of sightings at random keeps each value at least with probability s, so at least λ = s·D different ones are expected
//! (rarefaction: Hurlbert 1971, Ecology 52, 577). Whether values are kept are negatively associated indicators, for which
//! Chernoff's bound holds (Dubhashi & Ranjan 1998): the chance of d or fewer is at most exp(−λ)·(e·λ/d)^d. With r = λ/d it is
//! under α/m when d·(r − 1 − ln r) ≥ ln(m/α), the same bound that an absence is held to.
//!
//! It is a difference when that holds, r is 4 or more, and the classes ([`Cardinality`]) differ: ten values beside twelve are
//! nothing. From one value it takes some twelve to be one. Numbers over a hundred count as a hundred and one, which makes λ
//! smaller and the rule more careful.
//!
//! What shows values:
//! - of attributes on spans and log records the sightings that were looked at (`window/cardinality.rs`); where some window alone has
//!   over a hundred values, those of the window with fewest;
//! - of those on data points the service's spans and log records, by the lesser share, else its instances and the time for which
//!   they were watched. Points do not: a cumulative stream repeats its attributes for ever, so that more values are more points;
//! - of those on resources the instances that the resources name. Where they name none, or too many to count on the side with
//!   more values, and for the attributes that name them, nothing is said.
//!
//! Assumes that sightings are exchangeable. They are not where one user, test or job makes most of them; then the difference is
//! one of traffic, which is why only growing numbers of a metric's attributes, which cost, are of level warning.

use super::presence::{Presence, Sightings};
use crate::model::{EnvironmentId, ItemKind, ItemName, ServiceKey};
use crate::sketch::{Cardinality, Distinct};
use crate::window::cardinality::Looked;

/// How many times as many different values are a difference.
const TIMES_LEAST: f64 = 4.0;

/// Resource attributes that tell instances apart.
const INSTANCE_KEYS: [&str; 7] = [
    "container.id",
    "host.id",
    "host.name",
    "k8s.pod.name",
    "k8s.pod.uid",
    "process.pid",
    "service.instance.id",
];

/// The values of one attribute in one environment, over some windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Values {
    distinct: Distinct,
    /// Sightings that were looked at.
    looked_at: u64,
    /// The fewest in one window that has too many values by itself.
    too_many_in: Option<u64>,
}

impl Values {
    /// Those of one window.
    pub(super) fn of(looked: &Looked) -> Values {
        let too_many_in = (looked.values == Distinct::Over).then_some(looked.at);
        Values { distinct: looked.values.clone(), looked_at: looked.at, too_many_in }
    }

    /// Adds those of one more window.
    pub(super) fn add(&mut self, looked: &Looked) {
        let too_many_in = (looked.values == Distinct::Over).then_some(looked.at);
        self.take_in(&looked.values, looked.at, too_many_in);
    }

    /// Adds those of other windows.
    pub(super) fn merge(&mut self, other: &Values) {
        self.take_in(&other.distinct, other.looked_at, other.too_many_in);
    }

    fn take_in(&mut self, distinct: &Distinct, looked_at: u64, too_many_in: Option<u64>) {
        self.distinct.merge(distinct, true);
        self.looked_at += looked_at;
        self.too_many_in = self.too_many_in.into_iter().chain(too_many_in).min();
    }

    /// Their class; `None` where they were not counted.
    pub fn cardinality(&self) -> Option<Cardinality> {
        self.distinct.count().map(Cardinality::of)
    }

    /// Among how many sightings these many different ones were.
    fn seen_in(&self) -> u64 {
        self.too_many_in.unwrap_or(self.looked_at)
    }
}

/// How many different values an attribute has in the baseline and in the candidate, where that is a difference; `enough` is
/// ln(m/α).
pub(super) fn difference(
    presence: &Presence,
    (service, item): (&ServiceKey, &ItemName),
    sightings: &Sightings,
    sides: [EnvironmentId; 2],
    enough: f64,
) -> Option<[usize; 2]> {
    let values = |env: EnvironmentId| sightings.get(&env)?.values.as_deref();
    let [base, cand] = [values(sides[0])?, values(sides[1])?];
    let counts = [base.distinct.count()?, cand.distinct.count()?];
    if Cardinality::of(counts[0]) == Cardinality::of(counts[1]) {
        return None;
    }
    let (less, more) = if counts[0] < counts[1] { (0, 1) } else { (1, 0) };
    let share = match item.kind {
        ItemKind::MetricAttribute => presence.share_of_requests(service, sides[less], sides[more]),
        ItemKind::ResourceAttribute if INSTANCE_KEYS.contains(&&*item.name) => None,
        ItemKind::ResourceAttribute => {
            let named = [sides[less], sides[more]].map(|env| instances(presence, service, env));
            let countable = named[1].filter(|more| Cardinality::of(*more) < Cardinality::Unbounded);
            named[0].zip(countable).map(|(less, more)| less as f64 / more as f64)
        }
        _ => {
            let looked = [base, cand];
            Some(looked[less].looked_at as f64 / looked[more].seen_in() as f64)
        }
    };
    is_shown(counts[less], counts[more], share?, enough).then_some(counts)
}

/// Whether `less` values are too few for a side with this share of what shows values, `more` being those of the other.
fn is_shown(less: usize, more: usize, share: f64, enough: f64) -> bool {
    let times = share.min(1.0) * more as f64 / less as f64;
    times >= TIMES_LEAST && less as f64 * (times - 1.0 - times.ln()) >= enough
}

/// How many instances the resources of a service name.
fn instances(presence: &Presence, service: &ServiceKey, env: EnvironmentId) -> Option<usize> {
    let items = presence.services.get(service)?;
    let named = |key: &str| {
        let item = ItemName { kind: ItemKind::ResourceAttribute, name: key.into() };
        items.get(&item)?.get(&env)?.values.as_deref()?.distinct.count()
    };
    INSTANCE_KEYS.into_iter().filter_map(named).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_with_little_traffic_is_not_expected_to_show_every_value() {
        let enough = (100.0_f64 / 0.05).ln();
        let cases = [
            (1, 101, 1.0, true),
            (1, 101, 0.05, false),
            (1, 12, 1.0, true),
            (1, 10, 1.0, false),
            (10, 40, 1.0, true),
            (10, 39, 1.0, false),
            (9, 11, 1.0, false),
            (3, 101, 7.0, true),
            (30, 101, 1.0, false),
            (1, 101, 0.0, false),
        ];
        for (less, more, share, shown) in cases {
            assert_eq!(is_shown(less, more, share, enough), shown, "{less} and {more} of {share}");
        }
    }

    #[test]
    fn values_of_windows_add_up_in_any_order() {
        let looked = |at, values: std::ops::Range<u64>| {
            let mut all = Distinct::One(values.start);
            values.for_each(|hash| assert!(all.add(hash, true)));
            Values::of(&Looked { at, values: all })
        };
        let windows = [looked(50, 0..40), looked(500, 0..300), looked(70, 30..90), looked(400, 0..200)];
        let sum = |order: [usize; 4]| {
            let mut all = windows[order[0]].clone();
            order[1..].iter().for_each(|at| all.merge(&windows[*at]));
            all
        };
        let all = sum([0, 1, 2, 3]);
        assert_eq!((all.looked_at, all.seen_in()), (1_020, 400));
        assert!(sum([3, 2, 1, 0]) == all && sum([2, 0, 3, 1]) == all);
        let mut few = windows[0].clone();
        few.merge(&windows[2]);
        assert_eq!((few.seen_in(), few.cardinality()), (120, Some(Cardinality::Many)));
    }
}
