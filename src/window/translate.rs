//! Windows with the numbers of one table of names → the same windows with those of another. Cold plane.
//!
//! Numbers mean nothing outside the engine that gave them, so evidence that goes from one engine to another is said again by
//! name. A name gets its number in the other table when something of it is met, within that table's limits; what finds no
//! place there is left out, and numbers that stand for nothing, which only bytes from outside can hold, are too. Two names
//! may become one, as operations beyond a limit do; then what they did is merged.
//!
//! Every field is taken apart by name here, so that none that holds a number is forgotten.

use super::cardinality::Looked;
use super::cells::{Cells, ShapePlaces};
use super::open::{Cell, OpenWindow, Sender, Shape, Young};
use super::parents::Children;
use super::sealed::{SealedCell, SealedValue, SealedWindow};
use super::shard::Tally;
use super::streams::{NumberPoint, StreamPoint, Target};
use super::warmup::Origin;
use crate::model::names::Carried;
use crate::model::{
    DependencyId, EnvironmentId, ItemId, KnownNames, LimitsHit, Names, SeriesId, ServiceId, ServiceKey,
    ValueId,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is known of numbers that were met: their new ones, unless there was no place for their names.
type Told<Id> = HashMap<Id, Option<Id>>;

/// From the numbers of one table of names to those of another.
#[derive(Debug)]
pub struct Translation<'a> {
    from: &'a KnownNames,
    into: &'a Mutex<Names>,
    environments: Told<EnvironmentId>,
    services: Told<ServiceId>,
    series: Told<SeriesId>,
    dependencies: Told<DependencyId>,
    items: Told<ItemId>,
    values: Told<ValueId>,
    lists: HashMap<Arc<[ItemId]>, Arc<[ItemId]>>,
    left_out: u64,
}

/// The new number of an old one, found once.
macro_rules! told {
    ($self:ident.$known:ident[$id:ident] = $find:expr) => {{
        if let Some(known) = $self.$known.get(&$id) {
            return *known;
        }
        let found = $find;
        $self.$known.insert($id, found);
        found
    }};
}

impl<'a> Translation<'a> {
    /// Of what has numbers of `from`, into those of `into`.
    pub fn new(from: &'a KnownNames, into: &'a Mutex<Names>) -> Translation<'a> {
        Translation {
            from,
            into,
            environments: Told::new(),
            services: Told::new(),
            series: Told::new(),
            dependencies: Told::new(),
            items: Told::new(),
            values: Told::new(),
            lists: HashMap::new(),
            left_out: 0,
        }
    }

    /// Where one environment has this number in the other table, whatever it is called.
    #[must_use]
    pub fn with_environment(mut self, from: EnvironmentId, into: EnvironmentId) -> Translation<'a> {
        self.environments.insert(from, Some(into));
        self
    }

    /// Has the other table meet every environment, those of which nothing was kept among them.
    pub fn environments(&mut self) {
        for at in 0..self.from.environments().len() {
            self.environment(EnvironmentId(at as u16));
        }
    }

    /// Spans that were left out, because their environment or service found no place.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Held for a look-up or two.
    fn names(&self) -> MutexGuard<'a, Names> {
        self.into.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn service_of(&self, key: &ServiceKey) -> Option<ServiceId> {
        self.names().service(&key.namespace, &key.name)
    }

    fn environment(&mut self, id: EnvironmentId) -> Option<EnvironmentId> {
        told!(
            self.environments[id] = {
                let name = self.from.environments().get(usize::from(id.0));
                name.and_then(|name| self.names().environment(name))
            }
        )
    }

    fn service(&mut self, id: ServiceId) -> Option<ServiceId> {
        told!(
            self.services[id] = self
                .from
                .has_service(id)
                .then(|| self.from.service_key(id))
                .and_then(|key| { self.service_of(key) })
        )
    }

    fn series(&mut self, id: SeriesId) -> Option<SeriesId> {
        told!(self.series[id] = self.new_series(id))
    }

    fn new_series(&self, id: SeriesId) -> Option<SeriesId> {
        let key = self.from.has_series(id).then(|| self.from.series_key(id))?;
        let service = self.service_of(&key.service)?;
        let mut names = self.names();
        let series = names.series(service, &key.operation, key.kind);
        for scope in self.from.carriers(Carried::Series(id)).into_iter().flatten() {
            names.carry(Carried::Series(series), scope);
        }
        Some(series)
    }

    fn dependency(&mut self, id: DependencyId) -> Option<DependencyId> {
        told!(self.dependencies[id] = self.new_dependency(id))
    }

    fn new_dependency(&mut self, id: DependencyId) -> Option<DependencyId> {
        let from = self.from;
        let key = from.has_dependency(id).then(|| from.dependency_key(id))?;
        let mut known = None;
        for caller in from.calling_series(id) {
            let caller = self.series(caller)?;
            known = Some(self.names().dependency(caller, &key.system, &key.peer, key.host));
        }
        known
    }

    fn item(&mut self, id: ItemId) -> Option<ItemId> {
        told!(self.items[id] = self.new_item(id))
    }

    fn new_item(&self, id: ItemId) -> Option<ItemId> {
        let key = self.from.has_item(id).then(|| self.from.item_key(id))?;
        let service = self.service_of(&key.service)?;
        let mut names = self.names();
        let item = names.item(service, key.kind, &key.name, &key.form)?;
        for scope in self.from.carriers(Carried::Item(id)).into_iter().flatten() {
            names.carry(Carried::Item(item), scope);
        }
        Some(item)
    }

    fn value(&mut self, id: ValueId) -> Option<ValueId> {
        told!(
            self.values[id] = {
                let key = self.from.has_value(id).then(|| self.from.value_key(id));
                let place = key.and_then(|key| Some((self.service_of(&key.service)?, key)));
                place.and_then(|(service, key)| {
                    self.names().value(service, (&key.metric, &key.split), &key.unit, key.instrument)
                })
            }
        )
    }

    /// An environment with something of it. What is of none gets no number.
    fn both<Id>(
        &mut self,
        (environment, id): (EnvironmentId, Id),
        new: impl Fn(&mut Self, Id) -> Option<Id>,
    ) -> Option<(EnvironmentId, Id)> {
        Some((self.environment(environment)?, new(self, id)?))
    }

    /// A list of items, each once and rising.
    fn list(&mut self, items: Arc<[ItemId]>) -> Arc<[ItemId]> {
        if let Some(known) = self.lists.get(&items) {
            return known.clone();
        }
        let mut new: Vec<ItemId> = items.iter().filter_map(|item| self.item(*item)).collect();
        new.sort_unstable();
        new.dedup();
        let new: Arc<[ItemId]> = new.into();
        self.lists.insert(items, new.clone());
        new
    }

    fn origin(&mut self, origin: Origin) -> Option<Origin> {
        let Origin { service, instance, created_ns } = origin;
        Some(Origin { service: self.service(service)?, instance, created_ns })
    }

    /// A window that is open.
    pub fn open(&mut self, window: OpenWindow, hits: &mut LimitsHit) -> OpenWindow {
        let OpenWindow {
            cells,
            dependencies,
            presence,
            senders,
            cardinalities,
            streams,
            numbers,
            values,
            delays,
            traces,
            facts,
        } = window;
        let limits = self.names().limits().clone();
        let mut new = OpenWindow::default();
        for ((environment, series), cell) in cells {
            match self.both((environment, series), Self::series) {
                Some(key) => {
                    let cell = self.cell(cell);
                    super::open::merge_cell(&mut new.cells, key, cell);
                }
                None => self.left_out = self.left_out.saturating_add(cell.all_n()),
            }
        }
        for ((environment, dependency), cell) in dependencies {
            if let Some(key) = self.both((environment, dependency), Self::dependency) {
                let cell = self.cell(cell);
                super::open::merge_cell(&mut new.dependencies, key, cell);
            }
        }
        for ((environment, item), seen) in presence {
            if let Some((environment, item)) = self.both((environment, item), Self::item) {
                new.see(environment, item, seen);
            }
        }
        for ((environment, service, kind, hash), Sender { items, seen }) in senders {
            if let Some((environment, service)) = self.both((environment, service), Self::service) {
                let items = self.list(items);
                new.see_sender((environment, service, kind, hash), items, seen);
            }
        }
        for ((environment, item), looked) in cardinalities.into_attributes() {
            if let Some(key) = self.both((environment, item), Self::item) {
                new.cardinalities.add(key, looked, &limits, hits);
            }
        }
        for (key, point) in streams {
            if let Some(point) = self.stream(point) {
                new.add_stream(key.in_environment(point.environment), point);
            }
        }
        for (key, point) in numbers {
            if let Some(point) = self.number(point) {
                new.add_number(key.in_environment(point.environment), point);
            }
        }
        for ((environment, value), cell) in values {
            if let Some(key) = self.both((environment, value), Self::value) {
                new.values.entry(key).or_default().merge(cell);
            }
        }
        for (environment, delay) in delays {
            if let Some(environment) = self.environment(environment) {
                new.delay(environment, delay);
            }
        }
        for (environment, sample) in traces {
            if let Some(environment) = self.environment(environment) {
                let sample = sample.with_services(|service| self.service(service));
                new.traces.entry(environment).or_default().merge(sample, limits.sampled_spans);
            }
        }
        for ((environment, service, told), statements) in facts {
            if let Some((environment, service)) = self.both((environment, service), Self::service) {
                let known = new.facts.entry((environment, service, told)).or_default();
                known.merge(statements, limits.facts_per_service);
            }
        }
        new
    }

    fn cell(&mut self, cell: Cell) -> Cell {
        let Cell { latency, errors, error_weight, sampled, roots, instances, shapes, seen, young } = cell;
        let shapes = shapes.into_iter().map(|Shape { hash, items, count, instances }| Shape {
            hash,
            items: self.list(items),
            count,
            instances,
        });
        let shapes = shapes.collect();
        let young = young.into_iter().filter_map(|Young { origin, requests }| {
            Some(Young { origin: self.origin(origin)?, requests: self.cell(requests) })
        });
        let young = young.collect();
        Cell { latency, errors, error_weight, sampled, roots, instances, shapes, seen, young }
    }

    fn stream(&mut self, point: StreamPoint) -> Option<StreamPoint> {
        let StreamPoint {
            environment,
            target,
            origin,
            cumulative,
            start_ns,
            time_ns,
            count,
            sum_ns,
            unit,
            buckets,
        } = point;
        let target = match target {
            Target::Requests { series, failed } => Target::Requests { series: self.series(series)?, failed },
            Target::Value(value) => Target::Value(self.value(value)?),
        };
        let (environment, origin) = (self.environment(environment)?, self.origin(origin)?);
        Some(StreamPoint {
            environment,
            target,
            origin,
            cumulative,
            start_ns,
            time_ns,
            count,
            sum_ns,
            unit,
            buckets,
        })
    }

    fn number(&mut self, point: NumberPoint) -> Option<NumberPoint> {
        let NumberPoint { environment, value, instance, start_ns, time_ns, count, sum_nano } = point;
        let (environment, value) = (self.environment(environment)?, self.value(value)?);
        Some(NumberPoint { environment, value, instance, start_ns, time_ns, count, sum_nano })
    }

    /// A window that is sealed, of the same grid.
    pub fn sealed(&mut self, window: SealedWindow) -> SealedWindow {
        let SealedWindow {
            index,
            start_ns,
            end_ns,
            cells,
            values,
            dependencies,
            presence,
            cardinalities,
            delays,
            children,
            facts,
        } = window;
        let facts_most = self.names().limits().facts_per_service;
        let mut new = SealedWindow {
            index,
            start_ns,
            end_ns,
            cells: self.cells(&cells, start_ns),
            values: BTreeMap::new(),
            dependencies: BTreeMap::new(),
            presence: BTreeMap::new(),
            cardinalities: BTreeMap::new(),
            delays: BTreeMap::new(),
            children: BTreeMap::new(),
            facts: BTreeMap::new(),
        };
        for ((environment, value), cell) in values {
            if let Some(key) = self.both((environment, value), Self::value) {
                let SealedValue { instances, texts, overflown } = cell;
                let known = new.values.entry(key).or_default();
                for (instance, sketch) in instances {
                    known.instances.entry(instance).or_default().merge(&sketch);
                }
                known.texts.extend(texts);
                known.overflown |= overflown;
            }
        }
        for ((environment, dependency), cell) in dependencies {
            if let Some(key) = self.both((environment, dependency), Self::dependency) {
                let cell = self.sealed_cell(cell);
                new.dependencies.entry(key).or_default().merge(cell);
            }
        }
        for ((environment, item), seen) in presence {
            if let Some(key) = self.both((environment, item), Self::item) {
                new.presence.entry(key).and_modify(|known| known.merge(seen)).or_insert(seen);
            }
        }
        for ((environment, item), looked) in cardinalities {
            if let Some(key) = self.both((environment, item), Self::item) {
                match new.cardinalities.get_mut(&key) {
                    Some(Looked { at, values }) => {
                        *at += looked.at;
                        values.merge(&looked.values, true);
                    }
                    None => drop(new.cardinalities.insert(key, looked)),
                }
            }
        }
        for (environment, delay) in delays {
            if let Some(environment) = self.environment(environment) {
                let known = new.delays.entry(environment).or_insert(delay);
                *known = delay.min(*known);
            }
        }
        for ((environment, service), Children { n, broken }) in children {
            if let Some(key) = self.both((environment, service), Self::service) {
                let known = new.children.entry(key).or_default();
                known.n += n;
                known.broken += broken;
            }
        }
        for ((environment, service, told), statements) in facts {
            if let Some((environment, service)) = self.both((environment, service), Self::service) {
                let known = new.facts.entry((environment, service, told)).or_default();
                known.merge(statements, facts_most);
            }
        }
        new
    }

    /// Cells are unpacked and packed again one at a time.
    fn cells(&mut self, cells: &Cells, start_ns: u64) -> Cells {
        let mut keys = Vec::new();
        for (old, cell) in cells.iter() {
            match self.both(old, Self::series) {
                Some(key) => keys.push((key, old)),
                None => self.left_out = self.left_out.saturating_add(cell.all_counts().n),
            }
        }
        keys.sort_unstable();
        let (mut new, mut places) = (Cells::new(start_ns), ShapePlaces::default());
        for of_key in keys.chunk_by(|one, other| one.0 == other.0) {
            let of_key = of_key.iter().filter_map(|(key, old)| Some((*key, cells.get(*old)?)));
            let cells = of_key.map(|(key, cell)| (key, self.sealed_cell(cell.cell().into_owned())));
            let merged = cells.reduce(|(key, mut all), (_, cell)| {
                all.merge(cell);
                (key, all)
            });
            if let Some((key, cell)) = merged {
                new.push(key, cell, &mut places);
            }
        }
        new.shrink();
        new
    }

    fn sealed_cell(&mut self, cell: SealedCell) -> SealedCell {
        let SealedCell {
            latency,
            errors,
            error_weight,
            sampled,
            roots,
            instances,
            metrics,
            seen,
            warming,
            shapes,
        } = cell;
        let warming = warming.map(|cell| Box::new(self.sealed_cell(*cell)));
        let shapes = shapes.into_iter().map(|(items, n)| (self.list(items), n)).collect();
        SealedCell {
            latency,
            errors,
            error_weight,
            sampled,
            roots,
            instances,
            metrics,
            seen,
            warming,
            shapes,
        }
    }

    /// What was taken in and set aside.
    pub fn tally(&mut self, tally: Tally) -> Tally {
        let Tally {
            spans,
            metric_points,
            log_records,
            unrecorded,
            refused,
            late,
            unassigned,
            mut unnamed,
            hits,
        } = tally;
        let mut new_late = BTreeMap::new();
        for (environment, n) in late {
            if let Some(environment) = self.environment(environment) {
                *new_late.entry(environment).or_default() += n;
            }
        }
        let mut new_unassigned = BTreeMap::new();
        for (service, n) in unassigned {
            match self.service(service) {
                Some(service) => *new_unassigned.entry(service).or_default() += n,
                None => unnamed += n,
            }
        }
        Tally {
            spans,
            metric_points,
            log_records,
            unrecorded,
            refused,
            late: new_late,
            unassigned: new_unassigned,
            unnamed,
            hits,
        }
    }
}
