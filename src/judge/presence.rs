//! What was seen of telemetry in each environment: the presence matrix, gathered from sealed windows.
//!
//! Names are long and windows many, so one environment's windows are gathered by number first, and by name once.

use super::cardinality::Values;
use crate::catalog::Traffic;
use crate::model::form::{self, Field};
use crate::model::names::Carried;
use crate::model::{EnvironmentId, ItemId, ItemKind, ItemName, KnownNames, SeriesId, ServiceKey, operation};
use crate::window::SealedWindow;
use crate::window::cardinality::Looked;
use crate::window::cells::StoredCell;
use crate::window::open::{Members, Seen};
use hashbrown::HashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The chance that is accepted that some item is called missing and has only not been seen.
const ALPHA: f64 = 0.05;

/// As what an item was seen: one of its forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// By which the scopes that sent it are known.
    pub carried: Carried,
    /// As [`form`] writes it; empty where there is none.
    pub form: Arc<str>,
    /// How often.
    pub count: u64,
}

/// What is known of one item in one environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// How often and when.
    pub seen: Seen,
    /// As what it was seen.
    pub sources: Vec<Source>,
    /// Windows with any.
    pub windows: u64,
    /// Sum of the squares of the windows' counts.
    squares: u64,
    /// Of an attribute: its values.
    pub values: Option<Box<Values>>,
}

impl Sighting {
    /// The forms in which it was seen, in words, each once.
    pub fn forms(&self) -> BTreeSet<String> {
        let forms = self.sources.iter().filter(|source| !source.form.is_empty());
        forms.map(|source| form::words(&source.form)).collect()
    }

    /// How often it was seen with each value of each field of its form.
    pub(super) fn fields(&self) -> BTreeMap<Field, BTreeMap<&str, u64>> {
        let mut fields: BTreeMap<Field, BTreeMap<&str, u64>> = BTreeMap::new();
        for source in &self.sources {
            for (field, value) in form::read(&source.form) {
                *fields.entry(field).or_default().entry(value).or_default() += source.count;
            }
        }
        fields
    }

    /// Variance over mean of its counts in `windows` windows, at least 1.
    pub(super) fn dispersion(&self, windows: u64) -> f64 {
        if windows < 2 || self.seen.count == 0 {
            return 1.0;
        }
        let (n, windows) = (self.seen.count as f64, windows as f64);
        ((self.squares as f64 - n * n / windows) / (windows - 1.0) / (n / windows)).max(1.0)
    }

    fn merge(&mut self, other: Sighting) {
        self.seen.merge(other.seen);
        self.windows += other.windows;
        self.squares = self.squares.saturating_add(other.squares);
        match (&mut self.values, other.values) {
            (Some(known), Some(values)) => known.merge(&values),
            (none @ None, values) => *none = values,
            (Some(_), None) => {}
        }
        for source in other.sources {
            match self.sources.iter_mut().find(|known| known.carried == source.carried) {
                Some(known) => known.count += source.count,
                None => self.sources.push(source),
            }
        }
    }
}

/// One item in each environment that has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sightings(Vec<(EnvironmentId, Sighting)>);

impl Sightings {
    /// What is known of it in an environment.
    pub fn get(&self, environment: &EnvironmentId) -> Option<&Sighting> {
        self.0.iter().find(|(known, _)| known == environment).map(|(_, sighting)| sighting)
    }

    /// Whether an environment has it.
    pub fn contains_key(&self, environment: &EnvironmentId) -> bool {
        self.get(environment).is_some()
    }

    fn add(&mut self, environment: EnvironmentId, sighting: Sighting) {
        match self.0.iter_mut().find(|(known, _)| *known == environment) {
            Some((_, known)) => known.merge(sighting),
            None => {
                self.0.reserve_exact(1);
                self.0.push((environment, sighting));
            }
        }
    }
}

/// Windows in which an environment sent anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Watched {
    pub(super) windows: u64,
    /// Their length together.
    pub(super) nanoseconds: u64,
    /// First nanosecond after the last one.
    pub(super) end_ns: u64,
}

/// What a service sent in an environment, by the window's first nanosecond.
type ByWindow = Vec<(u64, Traffic)>;

/// The presence matrix: service × item × environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// Items by service, then environments.
    pub services: BTreeMap<ServiceKey, BTreeMap<ItemName, Sightings>>,
    pub(super) watched: BTreeMap<EnvironmentId, Watched>,
    traffic: BTreeMap<ServiceKey, BTreeMap<EnvironmentId, ByWindow>>,
    instances: BTreeMap<ServiceKey, Vec<(EnvironmentId, Members)>>,
}

impl Presence {
    /// Adds what some windows, rising and not added before, hold of one environment.
    pub fn add<'w>(
        &mut self,
        names: &KnownNames,
        environment: EnvironmentId,
        windows: impl Iterator<Item = &'w SealedWindow>,
    ) {
        self.gather(Gathered::of(names), environment, windows);
    }

    /// What one environment has, with the attributes of each operation: what a catalog is held to.
    pub fn in_detail<'w>(
        names: &KnownNames,
        environment: EnvironmentId,
        windows: impl Iterator<Item = &'w SealedWindow>,
    ) -> Presence {
        let mut presence = Presence::default();
        presence.gather(Gathered { detailed: true, ..Gathered::of(names) }, environment, windows);
        presence
    }

    fn gather<'w>(
        &mut self,
        mut gathered: Gathered<'_>,
        environment: EnvironmentId,
        windows: impl Iterator<Item = &'w SealedWindow>,
    ) {
        let watched = self.watched.entry(environment).or_default();
        for window in windows {
            let items = (environment, ItemId(0))..=(environment, ItemId(u32::MAX));
            let items = window.presence.range(items);
            if items.clone().next().is_some() || window.cells.has(environment) {
                watched.windows += 1;
                watched.nanoseconds += window.end_ns - window.start_ns;
                watched.end_ns = window.end_ns;
            }
            items.for_each(|((_, id), seen)| gathered.see(Carried::Item(*id), *seen));
            let looked =
                window.cardinalities.range((environment, ItemId(0))..=(environment, ItemId(u32::MAX)));
            looked.for_each(|((_, id), looked)| gathered.look(*id, looked));
            window.cells.of(environment).for_each(|(series, cell)| gathered.see_cell(series, cell));
            gathered.end_window(window.start_ns);
        }
        let mut members = vec![Members::default(); gathered.services.len()];
        for Row { service, name, sighting, .. } in gathered.rows {
            members[service] = members[service].and(sighting.seen.instances);
            let items = self.services.entry(gathered.services[service].0.clone()).or_default();
            items.entry(name).or_default().add(environment, sighting);
        }
        for ((service, _, traffic), members) in gathered.services.into_iter().zip(members) {
            self.meet(service, environment, members);
            if !traffic.is_empty() {
                let of_service = self.traffic.entry(service.clone()).or_default();
                of_service.entry(environment).or_default().extend(traffic);
            }
        }
    }

    fn meet(&mut self, service: &ServiceKey, environment: EnvironmentId, instances: Members) {
        let known = self.instances.entry(service.clone()).or_default();
        match known.iter_mut().find(|(env, _)| *env == environment) {
            Some((_, all)) => *all = all.and(instances),
            None => known.push((environment, instances)),
        }
    }

    /// Which share of a service's instances in an environment sends an item; `None` when that cannot be told.
    pub fn share_of_instances(
        &self,
        service: &ServiceKey,
        env: EnvironmentId,
        sighting: &Sighting,
    ) -> Option<f64> {
        let all = self.instances.get(service)?.iter().find(|(known, _)| *known == env)?.1;
        sighting.seen.instances.share_of(all)
    }

    /// How much of one environment's requests of a service another has: by spans and log records, the lesser of both; else by
    /// instances and the time for which they were watched. `None` when that cannot be told.
    pub(super) fn share_of_requests(
        &self,
        service: &ServiceKey,
        part: EnvironmentId,
        whole: EnvironmentId,
    ) -> Option<f64> {
        let [ours, theirs] = [part, whole].map(|env| self.traffic(service, env));
        let both = [(theirs.spans, ours.spans), (theirs.logs, ours.logs)];
        let by_traffic = both.into_iter().filter(|(of, part)| *of > 0 && *part > 0).map(ratio);
        if let Some(least) = by_traffic.reduce(f64::min) {
            return Some(least);
        }
        let time = |env: EnvironmentId| {
            let sides = self.instances.get(service)?;
            let instances = sides.iter().find(|(known, _)| *known == env)?.1.about()?;
            Some(instances * self.watched.get(&env)?.nanoseconds as f64)
        };
        time(part).zip(time(whole)).map(|(part, whole)| part / whole)
    }

    /// How often an item was seen in a second of the windows in which its environment sent anything.
    pub fn rate_per_s(&self, env: EnvironmentId, sighting: &Sighting) -> Option<f64> {
        let nanoseconds = self.watched.get(&env)?.nanoseconds;
        (nanoseconds > 0).then(|| sighting.seen.count as f64 / (nanoseconds as f64 / 1e9))
    }

    /// Windows in which an environment sent anything.
    pub(super) fn windows(&self, environment: EnvironmentId) -> u64 {
        self.watched.get(&environment).map_or(0, |watched| watched.windows)
    }

    /// In how many services an environment has an item.
    pub fn services_with(&self, env: EnvironmentId, item: &ItemName) -> usize {
        let has = |items: &&BTreeMap<ItemName, Sightings>| {
            items.get(item).is_some_and(|sightings| sightings.contains_key(&env))
        };
        self.services.values().filter(has).count()
    }

    /// Expected sightings from which an absence means something.
    pub(super) fn enough_sightings(&self, env: EnvironmentId) -> f64 {
        let items = self.services.values().flat_map(BTreeMap::values);
        enough_sightings(items.filter(|sightings| sightings.contains_key(&env)).count())
    }

    /// How much of each sort of telemetry an environment sends.
    pub(super) fn all_traffic(&self, env: EnvironmentId) -> Traffic {
        self.services.keys().map(|service| self.traffic(service, env)).fold(Traffic::default(), Traffic::plus)
    }

    /// How much of each sort of telemetry a service sends in an environment.
    pub(super) fn traffic(&self, service: &ServiceKey, env: EnvironmentId) -> Traffic {
        total(self.by_window(service, env))
    }

    pub(super) fn by_window(&self, service: &ServiceKey, env: EnvironmentId) -> &[(u64, Traffic)] {
        self.traffic.get(service).and_then(|sides| sides.get(&env)).map_or(&[], Vec::as_slice)
    }
}

/// Expected sightings from which the absence of one of `items` means something.
pub(super) fn enough_sightings(items: usize) -> f64 {
    (items.max(1) as f64 / ALPHA).ln()
}

/// What the windows of one environment hold, by number: names are long and windows many.
struct Gathered<'n> {
    names: &'n KnownNames,
    services: Vec<(&'n ServiceKey, Traffic, ByWindow)>,
    service_numbers: HashMap<&'n ServiceKey, usize>,
    rows: Vec<Row>,
    row_numbers: HashMap<(usize, ItemName), usize>,
    /// Row and place among its sources; `None` for what is not expected telemetry.
    known: HashMap<Carried, Option<Place>>,
    /// Attributes of operations.
    attributes: HashMap<(SeriesId, ItemId), Place>,
    /// Whether attributes of operations are wanted.
    detailed: bool,
    touched: Vec<usize>,
}

/// A row, and a place among its sources.
type Place = (usize, usize);

struct Row {
    service: usize,
    name: ItemName,
    sighting: Sighting,
    in_window: u64,
}

impl<'n> Gathered<'n> {
    fn of(names: &'n KnownNames) -> Gathered<'n> {
        Gathered {
            names,
            services: Vec::new(),
            service_numbers: HashMap::new(),
            rows: Vec::new(),
            row_numbers: HashMap::new(),
            known: HashMap::new(),
            attributes: HashMap::new(),
            detailed: false,
            touched: Vec::new(),
        }
    }

    fn see(&mut self, carried: Carried, seen: Seen) {
        let place = match self.known.get(&carried) {
            Some(place) => *place,
            None => {
                let place = self.meet(carried, seen);
                self.known.insert(carried, place);
                place
            }
        };
        if let Some(place) = place {
            self.count(place, seen);
        }
    }

    fn look(&mut self, id: ItemId, looked: &Looked) {
        let Some(Some((at, _))) = self.known.get(&Carried::Item(id)) else { return };
        match &mut self.rows[*at].sighting.values {
            Some(known) => known.add(looked),
            none => *none = Some(Box::new(Values::of(looked))),
        }
    }

    fn see_cell(&mut self, id: SeriesId, cell: StoredCell<'_>) {
        let Some(seen) = cell.seen() else { return };
        self.see(Carried::Series(id), seen);
        if !self.detailed {
            return;
        }
        for (items, count) in &cell.cell().shapes {
            for item in items.iter() {
                let seen = Seen { count: *count, ..seen };
                let place = match self.attributes.get(&(id, *item)) {
                    Some(place) => *place,
                    None => {
                        let place = self.meet_attribute(id, *item, seen);
                        self.attributes.insert((id, *item), place);
                        place
                    }
                };
                self.count(place, seen);
            }
        }
    }

    fn count(&mut self, (at, source): Place, seen: Seen) {
        let row = &mut self.rows[at];
        row.sighting.seen.merge(seen);
        row.sighting.sources[source].count += seen.count;
        if row.in_window == 0 {
            self.touched.push(at);
        }
        row.in_window += seen.count;
        let traffic = &mut self.services[row.service].1;
        match row.name.kind {
            ItemKind::Span => traffic.spans += seen.count,
            ItemKind::Metric => traffic.points += seen.count,
            ItemKind::Log => traffic.logs += seen.count,
            _ => {}
        }
    }

    fn meet_attribute(&mut self, id: SeriesId, item: ItemId, seen: Seen) -> Place {
        let names = self.names;
        let (series, carried) = (names.series_key(id), Carried::Item(item));
        let item = names.item_key(item);
        let operation = operation::warm(&series.operation);
        let name = format!("{operation} ({})[{}]", series.kind.as_str(), item.name);
        let name = ItemName { kind: ItemKind::OperationAttribute, name: name.into() };
        self.place(&series.service, name, (carried, item.form.clone()), seen)
    }

    fn meet(&mut self, carried: Carried, seen: Seen) -> Option<Place> {
        let names = self.names;
        let (service, kind, name, form) = match carried {
            Carried::Item(id) => {
                let item = names.item_key(id);
                (&item.service, item.kind, item.name.clone(), item.form.clone())
            }
            Carried::Series(id) => {
                let series = names.series_key(id);
                // More or fewer cold starts are no other telemetry.
                let name = format!("{} ({})", operation::warm(&series.operation), series.kind.as_str());
                (&series.service, ItemKind::Span, name.into(), Arc::default())
            }
        };
        if kind == ItemKind::ErrorType {
            return None;
        }
        Some(self.place(service, ItemName { kind, name }, (carried, form), seen))
    }

    /// Another source of a row, which may be new.
    fn place(
        &mut self,
        service: &'n ServiceKey,
        name: ItemName,
        (carried, form): (Carried, Arc<str>),
        seen: Seen,
    ) -> Place {
        let service = *self.service_numbers.entry(service).or_insert_with(|| {
            self.services.push((service, Traffic::default(), Vec::new()));
            self.services.len() - 1
        });
        let at = *self.row_numbers.entry((service, name)).or_insert_with_key(|(_, name)| {
            let sighting = Sighting {
                seen: Seen { count: 0, ..seen },
                sources: Vec::with_capacity(1),
                windows: 0,
                squares: 0,
                values: None,
            };
            self.rows.push(Row { service, name: name.clone(), sighting, in_window: 0 });
            self.rows.len() - 1
        });
        let sources = &mut self.rows[at].sighting.sources;
        sources.push(Source { carried, form, count: 0 });
        (at, sources.len() - 1)
    }

    fn end_window(&mut self, start_ns: u64) {
        for at in self.touched.drain(..) {
            let row = &mut self.rows[at];
            let count = std::mem::take(&mut row.in_window);
            row.sighting.windows += 1;
            row.sighting.squares = row.sighting.squares.saturating_add(count.saturating_mul(count));
        }
        for (_, in_window, by_window) in &mut self.services {
            let traffic = std::mem::take(in_window);
            if !traffic.is_none() {
                by_window.push((start_ns, traffic));
            }
        }
    }
}

/// The traffic of all windows.
pub(super) fn total(windows: &[(u64, Traffic)]) -> Traffic {
    windows.iter().map(|(_, traffic)| *traffic).fold(Traffic::default(), Traffic::plus)
}

impl Traffic {
    pub(super) fn of(self, kind: ItemKind) -> u64 {
        match kind {
            ItemKind::Span
            | ItemKind::SpanAttribute
            | ItemKind::SpanEvent
            | ItemKind::ErrorType
            | ItemKind::OperationAttribute => self.spans,
            ItemKind::Metric | ItemKind::MetricAttribute => self.points,
            ItemKind::Log | ItemKind::LogAttribute => self.logs,
            // All that is sent has a resource and a scope.
            ItemKind::ResourceAttribute | ItemKind::Resource | ItemKind::Scope => self.all(),
        }
    }

    fn all(self) -> u64 {
        self.spans.saturating_add(self.points).saturating_add(self.logs)
    }

    fn plus(self, other: Traffic) -> Traffic {
        Traffic {
            spans: self.spans + other.spans,
            points: self.points + other.points,
            logs: self.logs + other.logs,
        }
    }

    pub(super) fn is_none(self) -> bool {
        self.all() == 0
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
pub(super) fn ratio((of, part): (u64, u64)) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}
