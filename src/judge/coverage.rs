//! Aspects presence and shape: has the candidate the telemetry that the baseline has, in the same form?
//!
//! An item of the baseline is *expected* of the candidate only if the candidate could have shown it: with the traffic
//! that it has, at least ln(m/α) sightings would be expected, where m is the number of the baseline's items: then the
//! chance that any of them is missing by chance is under α = 5 % (P(none) = e^(−expected), Bonferroni). What is rarer is
//! left out of the ratio, because its absence says nothing yet. Sightings come in
//! bursts: one trace has many spans. So expected sightings are divided by the dispersion of the baseline's counts over its
//! windows, variance over mean, which is 1 for sightings that come one by one (quasi-Poisson: McCullagh & Nelder 1989,
//! 6.2.3).

use super::verdict::Coverage;
use crate::catalog::Traffic;
pub use crate::model::ItemName;
use crate::model::names::Carried;
use crate::model::{EnvironmentId, ItemId, ItemKind, KnownNames, SeriesId, ServiceKey, operation};
use crate::window::SealedWindow;
use crate::window::open::Seen;
use hashbrown::HashMap;
use std::collections::{BTreeMap, BTreeSet};

/// The chance that is accepted that some item is called missing and has only not been seen.
const ALPHA: f64 = 0.05;

/// What is known of one item in one environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// How often and when.
    pub seen: Seen,
    /// The forms in which it was seen.
    pub forms: BTreeSet<String>,
    /// By which the scopes that sent it are known.
    pub carried: Vec<Carried>,
    pub(super) counts: Counts,
}

impl Sighting {
    /// Windows come in rising order.
    fn add(&mut self, window: u64, seen: Seen) {
        self.seen.merge(seen);
        self.counts.add(window, seen.count);
    }

    fn note(&mut self, (form, carried): (&str, Option<Carried>)) {
        if let Some(carried) = carried.filter(|carried| !self.carried.contains(carried)) {
            self.carried.push(carried);
        }
        if !form.is_empty() && !self.forms.contains(form) {
            self.forms.insert(form.to_owned());
        }
    }

    /// Windows with any.
    pub(super) fn windows(&self) -> u64 {
        self.counts.windows
    }
}

/// Windows with what was seen in them.
type Sightings = Vec<(u64, Seen)>;

/// One row of the matrix and one environment, while it is gathered.
#[derive(Default)]
struct Row<'n> {
    seen: Sightings,
    sent_as: Vec<(&'n str, Option<Carried>)>,
}

/// The row that something belongs to, and its form.
fn row_of(names: &KnownNames, carried: Carried) -> Option<(&ServiceKey, ItemName, &str)> {
    match carried {
        Carried::Item(id) => {
            let item = names.item_key(id);
            let name = ItemName { kind: item.kind, name: item.name.to_string() };
            (item.kind != ItemKind::ErrorType).then_some((&item.service, name, &*item.form))
        }
        Carried::Series(id) => {
            let series = names.series_key(id);
            // More or fewer cold starts are no other telemetry.
            let name = format!("{} ({})", operation::warm(&series.operation), series.kind.as_str());
            Some((&series.service, ItemName { kind: ItemKind::Span, name }, ""))
        }
    }
}

/// Counts by window, as far as their variance needs them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    window: u64,
    in_window: u64,
    squares: u128,
    /// Windows with any.
    windows: u64,
}

impl Counts {
    /// Windows come in rising order.
    fn add(&mut self, window: u64, count: u64) {
        if window != self.window {
            self.squares += u128::from(self.in_window).pow(2);
            (self.window, self.in_window) = (window, 0);
        }
        self.windows += u64::from(self.in_window == 0 && count > 0);
        self.in_window += count;
    }

    /// Variance over mean of the counts in `windows` windows with `total` sightings, at least 1.
    pub(super) fn dispersion(&self, total: u64, windows: u64) -> f64 {
        if windows < 2 || total == 0 {
            return 1.0;
        }
        let (n, windows) = (total as f64, windows as f64);
        let squares = (self.squares + u128::from(self.in_window).pow(2)) as f64;
        ((squares - n * n / windows) / (windows - 1.0) / (n / windows)).max(1.0)
    }
}

/// Expected sightings from which the absence of one of `items` means something.
pub(super) fn enough_sightings(items: usize) -> f64 {
    (items.max(1) as f64 / ALPHA).ln()
}

/// The presence matrix: service × item × environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// Items by service, then environments.
    pub services: BTreeMap<ServiceKey, BTreeMap<ItemName, BTreeMap<EnvironmentId, Sighting>>>,
    /// Windows in which an environment sent anything.
    pub(super) windows: BTreeMap<EnvironmentId, u64>,
}

impl Presence {
    /// Adds what some windows, rising, hold of one environment.
    pub fn add<'w>(
        &mut self,
        names: &KnownNames,
        environment: EnvironmentId,
        windows: impl Iterator<Item = &'w SealedWindow>,
    ) {
        // Names are long and windows many, so sightings are gathered by number first.
        let mut by_number: BTreeMap<Carried, Sightings> = BTreeMap::new();
        for window in windows {
            let of_items = (environment, ItemId(0))..=(environment, ItemId(u32::MAX));
            let of_series = (environment, SeriesId(0))..=(environment, SeriesId(u32::MAX));
            let (presence, cells) = (window.presence.range(of_items), window.cells.range(of_series));
            let active = presence.clone().next().is_some() || cells.clone().next().is_some();
            *self.windows.entry(environment).or_default() += u64::from(active);
            for ((_, item), seen) in presence {
                by_number.entry(Carried::Item(*item)).or_default().push((window.index, *seen));
            }
            for ((_, series), cell) in cells {
                let Some(seen) = cell.seen else { continue };
                by_number.entry(Carried::Series(*series)).or_default().push((window.index, seen));
            }
        }
        // An item that comes in several forms is one row, and so is a series with its cold starts.
        let mut rows: HashMap<(&ServiceKey, ItemName), Row<'_>> = HashMap::new();
        for (carried, seen) in by_number {
            let Some((service, name, form)) = row_of(names, carried) else { continue };
            let row = rows.entry((service, name)).or_default();
            row.seen.extend(seen);
            row.sent_as.push((form, Some(carried)));
        }
        for ((service, name), mut row) in rows {
            row.seen.sort_by_key(|(window, _)| *window);
            let Some((_, first)) = row.seen.first() else { continue };
            let sighting = self.sighting(service, name, environment, *first);
            row.seen.into_iter().for_each(|(window, seen)| sighting.add(window, seen));
            row.sent_as.into_iter().for_each(|sent_as| sighting.note(sent_as));
        }
    }

    /// What one environment has, with the attributes of each operation and of resources: what a catalog is held to.
    pub fn in_detail<'w>(
        names: &KnownNames,
        environment: EnvironmentId,
        windows: impl Iterator<Item = &'w SealedWindow> + Clone,
    ) -> Presence {
        let mut presence = Presence::default();
        presence.add(names, environment, windows.clone());
        for window in windows {
            let cells = window.cells.range((environment, SeriesId(0))..=(environment, SeriesId(u32::MAX)));
            for ((_, series), cell) in cells {
                let Some(seen) = cell.seen else { continue };
                let series = names.series_key(*series);
                let operation = operation::warm(&series.operation);
                for (items, count) in &cell.shapes {
                    for id in items.iter() {
                        let item = names.item_key(*id);
                        let name = format!("{operation} ({})[{}]", series.kind.as_str(), item.name);
                        let name = ItemName { kind: ItemKind::OperationAttribute, name };
                        let seen = Seen { count: *count, ..seen };
                        let carried = Some(Carried::Item(*id));
                        presence.see(
                            &series.service,
                            name,
                            (environment, window.index),
                            seen,
                            (&item.form, carried),
                        );
                    }
                }
            }
        }
        // Resources are not counted: whoever sends anything sends its resource along.
        let of_environment = |(_, env, _): &(&ServiceKey, EnvironmentId, &_)| *env == environment;
        for (service, _, attributes) in names.resources().filter(of_environment) {
            if presence.traffic(service, environment).is_none() {
                continue;
            }
            for (key, types) in attributes {
                let name = ItemName { kind: ItemKind::ResourceAttribute, name: key.to_string() };
                let seen = Seen { count: 1, first_ns: 0, last_ns: 0 };
                presence.see(service, name.clone(), (environment, 0), seen, ("", None));
                for word in types {
                    presence.see(
                        service,
                        name.clone(),
                        (environment, 0),
                        Seen { count: 0, ..seen },
                        (word, None),
                    );
                }
            }
        }
        presence
    }

    fn see(
        &mut self,
        service: &ServiceKey,
        name: ItemName,
        (env, window): (EnvironmentId, u64),
        seen: Seen,
        (form, carried): (&str, Option<Carried>),
    ) {
        let sighting = self.sighting(service, name, env, seen);
        sighting.add(window, seen);
        sighting.note((form, carried));
    }

    /// What is known of an item, to which something is added that was `first` seen.
    fn sighting(
        &mut self,
        service: &ServiceKey,
        name: ItemName,
        env: EnvironmentId,
        first: Seen,
    ) -> &mut Sighting {
        let items = self.services.entry(service.clone()).or_default();
        items.entry(name).or_default().entry(env).or_insert_with(|| Sighting {
            seen: Seen { count: 0, ..first },
            forms: BTreeSet::new(),
            carried: Vec::new(),
            counts: Counts::default(),
        })
    }

    /// Expected sightings from which an absence means something.
    fn enough_sightings(&self, env: EnvironmentId) -> f64 {
        let items = self.services.values().flat_map(BTreeMap::values);
        enough_sightings(items.filter(|sightings| sightings.contains_key(&env)).count())
    }

    /// In how many services an environment has an item.
    pub fn services_with(&self, env: EnvironmentId, item: &ItemName) -> usize {
        let has = |items: &&BTreeMap<ItemName, BTreeMap<EnvironmentId, Sighting>>| {
            items.get(item).is_some_and(|sightings| sightings.contains_key(&env))
        };
        self.services.values().filter(has).count()
    }

    /// How much of each sort of telemetry an environment sends.
    pub(super) fn all_traffic(&self, env: EnvironmentId) -> Traffic {
        let each = self.services.keys().map(|service| self.traffic(service, env));
        each.fold(Traffic::default(), |a, b| Traffic {
            spans: a.spans + b.spans,
            points: a.points + b.points,
            logs: a.logs + b.logs,
        })
    }

    /// How much of each sort of telemetry a service sends in an environment.
    pub(super) fn traffic(&self, service: &ServiceKey, env: EnvironmentId) -> Traffic {
        let mut traffic = Traffic::default();
        for (name, sightings) in self.services.get(service).into_iter().flatten() {
            let Some(sighting) = sightings.get(&env) else { continue };
            match name.kind {
                ItemKind::Span => traffic.spans += sighting.seen.count,
                ItemKind::Metric => traffic.points += sighting.seen.count,
                ItemKind::Log => traffic.logs += sighting.seen.count,
                _ => {}
            }
        }
        traffic
    }
}

impl Traffic {
    pub(super) fn of(self, kind: ItemKind) -> u64 {
        match kind {
            ItemKind::Span
            | ItemKind::SpanAttribute
            | ItemKind::SpanEvent
            | ItemKind::ErrorType
            | ItemKind::OperationAttribute
            | ItemKind::ResourceAttribute => self.spans,
            ItemKind::Metric | ItemKind::MetricAttribute => self.points,
            ItemKind::Log | ItemKind::LogAttribute => self.logs,
        }
    }

    pub(super) fn is_none(self) -> bool {
        self.spans + self.points + self.logs == 0
    }

    /// How much of `other` this is, by one sort of telemetry, or where there is none of it by any.
    pub(super) fn share(self, other: Traffic, kind: ItemKind) -> f64 {
        match self.of(kind) {
            0 => [(other.spans, self.spans), (other.points, self.points), (other.logs, self.logs)]
                .into_iter()
                .map(ratio)
                .fold(0.0, f64::max),
            here => ratio((other.of(kind), here)),
        }
    }
}

/// The second over the first; 0 where there is nothing to compare with.
fn ratio((of, part): (u64, u64)) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

/// The coverage of one service, and what it rests on.
#[derive(Clone, Debug, Default)]
pub struct ServiceCoverage {
    /// For the report.
    pub coverage: Coverage,
    /// Items that are missing, with how often the baseline showed them.
    pub missing: Vec<(ItemName, u64)>,
    /// Items that both have in different forms: item, baseline's forms, candidate's forms.
    pub reshaped: Vec<(ItemName, String, String)>,
    /// Items that only the baseline has shown, too rarely for their absence to mean something yet.
    pub too_rare: Vec<(ItemName, u64)>,
    /// The service sends nothing in one of the environments.
    pub absent: bool,
}

/// Two environments of a presence matrix: what all services together say of what can be expected of one.
pub struct Expectation<'a> {
    presence: &'a Presence,
    baseline: EnvironmentId,
    candidate: EnvironmentId,
    enough_sightings: f64,
    windows: u64,
    traffic: (Traffic, Traffic),
}

impl<'a> Expectation<'a> {
    /// Adds up what the environments send.
    pub fn of(presence: &'a Presence, baseline: EnvironmentId, candidate: EnvironmentId) -> Expectation<'a> {
        Expectation {
            presence,
            baseline,
            candidate,
            enough_sightings: presence.enough_sightings(baseline),
            windows: presence.windows.get(&baseline).copied().unwrap_or(0),
            traffic: (presence.all_traffic(baseline), presence.all_traffic(candidate)),
        }
    }
}

/// Holds the candidate's telemetry of a service against the baseline's.
pub fn cover(expectation: &Expectation<'_>, service: &ServiceKey) -> ServiceCoverage {
    let Expectation { presence, baseline, candidate, windows, .. } = *expectation;
    let (all_traffic, enough) = (expectation.traffic, expectation.enough_sightings);
    let service_traffic = (presence.traffic(service, baseline), presence.traffic(service, candidate));
    let mut found = ServiceCoverage {
        absent: service_traffic.0.is_none() || service_traffic.1.is_none(),
        ..ServiceCoverage::default()
    };
    // Sightings that the candidate's traffic lets expect: by the service's own traffic, or where there is none by the
    // environment's.
    let expected = |kind: ItemKind, there: &Sighting| {
        let own = (service_traffic.0.of(kind), service_traffic.1.of(kind));
        let share = if own.1 > 0 { ratio(own) } else { all_traffic.1.share(all_traffic.0, kind) };
        share * there.seen.count as f64 / there.counts.dispersion(there.seen.count, windows)
    };
    for (name, sightings) in presence.services.get(service).into_iter().flatten() {
        match (sightings.get(&baseline), sightings.get(&candidate)) {
            (Some(there), Some(here)) => {
                found.coverage.expected += 1;
                found.coverage.present += 1;
                if there.forms != here.forms {
                    let words =
                        |forms: &BTreeSet<String>| forms.iter().cloned().collect::<Vec<_>>().join(" and ");
                    let (theirs, ours) = (words(&there.forms), words(&here.forms));
                    found
                        .coverage
                        .shape
                        .push(format!("{name}: {theirs} in the baseline, {ours} in the candidate"));
                    found.reshaped.push((name.clone(), theirs, ours));
                }
            }
            (Some(there), None) => {
                if expected(name.kind, there) < enough {
                    found.too_rare.push((name.clone(), there.seen.count));
                    continue;
                }
                found.coverage.expected += 1;
                found.coverage.missing.push(name.to_string());
                found.missing.push((name.clone(), there.seen.count));
            }
            (None, Some(_)) => found.coverage.extra.push(name.to_string()),
            (None, None) => {}
        }
    }
    found.coverage.ratio = match found.coverage.expected {
        0 => 1.0,
        expected => found.coverage.present as f64 / expected as f64,
    };
    found
}
