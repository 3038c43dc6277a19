//! Aspects presence and shape: has the candidate the telemetry that the baseline has, in the same form?
//!
//! An item of the baseline is *expected* of the candidate only if the candidate could have shown it: with the traffic
//! that it has, at least ln(m/α) sightings would be expected, where m is the number of the baseline's items: then the
//! chance that any of them is missing by chance is under α = 5 % (P(none) = e^(−expected), Bonferroni). What is rarer is
//! left out of the ratio, because its absence says nothing yet; how much longer to watch follows from the same rule. Sightings
//! come in bursts: one trace has many spans. So expected sightings are divided by the dispersion of the baseline's counts over
//! its windows, variance over mean, which is 1 for sightings that come one by one (quasi-Poisson: McCullagh & Nelder 1989,
//! 6.2.3).
//!
//! An item that the candidate has shown is present, however rarely: amounts are judged elsewhere. It is *stale* when it stops:
//! by what the candidate sent of it and sends since, ln(m/α) sightings would be expected after the last one, over three windows
//! at least.
//!
//! Forms are compared field by field. Where the two sides have no value of a field in common they differ. Where they have, a
//! value that only one side shows is a difference if the other side would have shown it, by the same rule. How many different
//! values an attribute has is compared in [`cardinality`].

use super::cardinality;
use super::presence::{Presence, Sighting, ratio, total};
use super::verdict::{Coverage, ShapeDifference};
use crate::catalog::Traffic;
use crate::model::form::Field;
use crate::model::{EnvironmentId, ItemKind, ItemName, ServiceKey};
use crate::sketch::Cardinality;
use std::collections::BTreeMap;

/// Windows without an item that are nothing yet: reports can be late, and intervals are not exact.
const STALE_WINDOWS: usize = 3;

/// An item that only the baseline has shown, too rarely for its absence to mean something yet.
#[derive(Clone, Debug, PartialEq)]
pub struct TooRare {
    /// Which.
    pub item: ItemName,
    /// How often the baseline showed it.
    pub count: u64,
    /// Sightings to be expected of the candidate.
    pub expected: f64,
    /// Sightings that would have to be expected.
    pub needed: f64,
    /// For how much longer to watch a candidate that goes on as before, seconds; `None` when that cannot be told.
    pub watch_s: Option<f64>,
}

/// An item that the candidate has stopped sending.
#[derive(Clone, Debug, PartialEq)]
pub struct Stale {
    /// Which.
    pub item: ItemName,
    /// How often the candidate showed it.
    pub count: u64,
    /// Sightings to be expected since.
    pub expected: f64,
    /// From the last sighting to the end of the candidate's last window, seconds.
    pub age_s: f64,
}

/// The coverage of one service, and what it rests on.
#[derive(Clone, Debug, Default)]
pub struct ServiceCoverage {
    /// For the report.
    pub coverage: Coverage,
    /// Items that are missing, with how often the baseline showed them.
    pub missing: Vec<(ItemName, u64)>,
    /// Fields in which items that both have differ.
    pub reshaped: Vec<Reshaped>,
    /// Items whose absence means nothing yet.
    pub too_rare: Vec<TooRare>,
    /// Items that have stopped.
    pub stale: Vec<Stale>,
    /// The service sends nothing in one of the environments.
    pub absent: bool,
}

/// One field of an item's form in which the sides differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reshaped {
    /// Which item.
    pub item: ItemName,
    /// Which field.
    pub field: Field,
    /// The baseline's values.
    pub baseline: String,
    /// The candidate's values.
    pub candidate: String,
    /// Of a cardinality: how many different values on each side; one more than are counted where they are more.
    pub values: Option<[usize; 2]>,
}

/// One environment beside another: what it sends of a service and of all.
#[derive(Clone, Copy)]
struct Side {
    own: Traffic,
    all: Traffic,
    windows: u64,
}

impl Side {
    /// Of `count` sightings of an item here, those that the other side's traffic lets expect there: by the service's own
    /// traffic, or where there is none by the environment's.
    fn expects(self, there: Side, kind: ItemKind, count: u64, dispersion: f64) -> f64 {
        let own = (self.own.of(kind), there.own.of(kind));
        let share = if own.1 > 0 { ratio(own) } else { there.all.share(self.all, kind) };
        share * count as f64 / dispersion
    }
}

/// Two environments of a presence matrix: what all services together say of what can be expected of one.
pub struct Expectation<'a> {
    presence: &'a Presence,
    baseline: EnvironmentId,
    candidate: EnvironmentId,
    enough: f64,
    all: [Traffic; 2],
}

impl<'a> Expectation<'a> {
    /// Adds up what the environments send.
    pub fn of(presence: &'a Presence, baseline: EnvironmentId, candidate: EnvironmentId) -> Expectation<'a> {
        Expectation {
            presence,
            baseline,
            candidate,
            enough: presence.enough_sightings(baseline),
            all: [baseline, candidate].map(|env| presence.all_traffic(env)),
        }
    }

    fn side(&self, service: &ServiceKey, environment: EnvironmentId, all: Traffic) -> Side {
        let windows = self.presence.windows(environment);
        Side { own: self.presence.traffic(service, environment), all, windows }
    }

    /// For how much longer to watch the candidate until an item would be expected, seconds.
    fn watch_s(&self, expected: f64) -> Option<f64> {
        let watched = self.presence.watched.get(&self.candidate)?.nanoseconds as f64 / 1e9;
        let more = watched * (self.enough / expected - 1.0);
        more.is_finite().then_some(more)
    }

    /// Whether an environment has stopped sending an item; with the sightings to be expected since.
    fn stopped(&self, windows: &[(u64, Traffic)], kind: ItemKind, sighting: &Sighting) -> Option<f64> {
        let (before, after) =
            windows.split_at(windows.partition_point(|(start_ns, _)| *start_ns <= sighting.seen.last_ns));
        if after.len() < STALE_WINDOWS {
            return None;
        }
        let share = total(after).share(total(before), kind);
        let expected = share * sighting.seen.count as f64 / sighting.dispersion(before.len() as u64);
        (expected >= self.enough).then_some(expected)
    }
}

/// Holds the candidate's telemetry of a service against the baseline's.
pub fn cover(expectation: &Expectation<'_>, service: &ServiceKey) -> ServiceCoverage {
    let Expectation { presence, baseline, candidate, enough, all } = *expectation;
    let sides =
        [(baseline, all[0]), (candidate, all[1])].map(|(env, all)| expectation.side(service, env, all));
    let by_window = [baseline, candidate].map(|env| presence.by_window(service, env));
    let end_ns = presence.watched.get(&candidate).map_or(0, |watched| watched.end_ns);
    let mut found =
        ServiceCoverage { absent: sides.iter().any(|side| side.own.is_none()), ..ServiceCoverage::default() };
    for (name, sightings) in presence.services.get(service).into_iter().flatten() {
        match (sightings.get(&baseline), sightings.get(&candidate)) {
            (Some(there), Some(here)) => {
                found.coverage.expected += 1;
                found.coverage.present += 1;
                let of_field = |(field, baseline, candidate)| Reshaped {
                    item: name.clone(),
                    field,
                    baseline,
                    candidate,
                    values: None,
                };
                found.reshaped.extend(differences(name.kind, [there, here], sides, enough).map(of_field));
                let sides = [baseline, candidate];
                let values = cardinality::difference(presence, (service, name), sightings, sides, enough);
                found.reshaped.extend(values.map(|values| Reshaped::of_cardinality(name, values)));
                let stopped = |at: usize, sighting| expectation.stopped(by_window[at], name.kind, sighting);
                // What both stopped sending belongs to the time and not to the candidate.
                if let (None, Some(expected)) = (stopped(0, there), stopped(1, here)) {
                    let age_s = end_ns.saturating_sub(here.seen.last_ns) as f64 / 1e9;
                    found.stale.push(Stale { item: name.clone(), count: here.seen.count, expected, age_s });
                }
            }
            (Some(there), None) => {
                let count = there.seen.count;
                let dispersion = there.dispersion(sides[0].windows);
                let expected = sides[0].expects(sides[1], name.kind, count, dispersion);
                if expected < enough {
                    let (item, watch_s) = (name.clone(), expectation.watch_s(expected));
                    found.too_rare.push(TooRare { item, count, expected, needed: enough, watch_s });
                    continue;
                }
                found.coverage.expected += 1;
                found.missing.push((name.clone(), count));
            }
            (None, Some(_)) => found.coverage.extra.push(name.to_string()),
            (None, None) => {}
        }
    }
    let coverage = &mut found.coverage;
    coverage.missing = found.missing.iter().map(|(item, _)| item.to_string()).collect();
    coverage.stale = found.stale.iter().map(|stale| stale.item.to_string()).collect();
    coverage.shapes = found.reshaped.iter().map(Reshaped::told).collect();
    coverage.shape = coverage.shapes.iter().map(ShapeDifference::to_string).collect();
    coverage.ratio = match coverage.expected {
        0 => 1.0,
        expected => coverage.present as f64 / expected as f64,
    };
    found
}

impl Reshaped {
    fn of_cardinality(item: &ItemName, values: [usize; 2]) -> Reshaped {
        let [baseline, candidate] = values.map(|n| Cardinality::of(n).as_str().to_owned());
        Reshaped { item: item.clone(), field: Field::Cardinality, baseline, candidate, values: Some(values) }
    }

    /// Whether it costs: a metric's streams multiply with the values of its attributes.
    pub fn multiplies_streams(&self) -> bool {
        self.item.kind == ItemKind::MetricAttribute && self.values.is_some_and(|[base, cand]| cand > base)
    }

    fn told(&self) -> ShapeDifference {
        ShapeDifference {
            item: self.item.to_string(),
            field: self.field.as_str().to_owned(),
            baseline: self.baseline.clone(),
            candidate: self.candidate.clone(),
        }
    }
}

/// The fields in which two forms of one item differ, with both sides' values.
fn differences(
    kind: ItemKind,
    sightings: [&Sighting; 2],
    sides: [Side; 2],
    enough: f64,
) -> impl Iterator<Item = (Field, String, String)> {
    let [there, here] = sightings.map(Sighting::fields);
    let dispersion = [0, 1].map(|at: usize| sightings[at].dispersion(sides[at].windows));
    let mut found: Vec<(Field, String, String)> = Vec::new();
    for (field, theirs) in &there {
        // A library's version is a fact, and compared as one.
        let Some(ours) = here.get(field).filter(|_| *field != Field::Version) else { continue };
        let common = theirs.keys().any(|value| ours.contains_key(value));
        let lacks = |from: usize, has: &BTreeMap<&str, u64>, other: &BTreeMap<&str, u64>| {
            has.iter().filter(|(value, _)| !other.contains_key(*value)).any(|(_, count)| {
                sides[from].expects(sides[1 - from], kind, *count, dispersion[from]) >= enough
            })
        };
        let differs = match common {
            false => true,
            // Senders fit the scale to the values.
            true if *field == Field::Scale => false,
            true => lacks(0, theirs, ours) || lacks(1, ours, theirs),
        };
        if differs {
            let words =
                |values: &BTreeMap<&str, u64>| values.keys().copied().collect::<Vec<_>>().join(" and ");
            found.push((*field, words(theirs), words(ours)));
        }
    }
    // Boundaries are written in the unit.
    let other_unit = found.iter().any(|(field, ..)| *field == Field::Unit);
    found.into_iter().filter(move |(field, ..)| !other_unit || !matches!(field, Field::Bounds | Field::Scale))
}
