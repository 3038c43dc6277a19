//! Names to small numbers, within limits.
//!
//! One table of names serves all shards. The hot plane asks it only about a name that its own cache has not met, so its
//! lock is taken per unseen name and never per span. Numbers are handed out in order of arrival and mean nothing
//! outside this process; whatever leaves it is ordered by name.

use super::limits::{Limit, Limits, LimitsHit};
use super::listed::{Listed, Numbers};
use super::values::{Instrument, ValueId, ValueKey, size_split};
use super::{SpanKind, form, operation};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// An environment in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EnvironmentId(pub u16);

impl EnvironmentId {
    /// That of a snapshot. Telemetry never has it: so many names of environments are not remembered.
    pub const OF_SNAPSHOT: EnvironmentId = EnvironmentId(u16::MAX);
}

/// A service in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceId(pub u32);

/// A series in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SeriesId(pub u32);

/// A dependency in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DependencyId(pub u32);

/// A telemetry item in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ItemId(pub u32);

/// An instance of a service: the hash of `service.instance.id`, else `k8s.pod.uid`. Zero: the resource names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceId(pub u64);

impl InstanceId {
    /// The instance of a resource that names none.
    pub const UNNAMED: InstanceId = InstanceId(0);
    /// The instances beyond the limit, counted as one.
    pub const OVERFLOW: InstanceId = InstanceId(u64::MAX);
}

/// A service's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceKey {
    /// `service.namespace`, or empty.
    pub namespace: Arc<str>,
    /// `service.name`.
    pub name: Arc<str>,
}

impl std::fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.namespace.is_empty() {
            true => write!(f, "{}", self.name),
            false => write!(f, "{}/{}", self.namespace, self.name),
        }
    }
}

/// What is compared across environments.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SeriesKey {
    /// The service.
    pub service: ServiceKey,
    /// The operation's name.
    pub operation: Arc<str>,
    /// The part that its spans play.
    pub kind: SpanKind,
}

/// Somebody whom a service calls.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DependencyKey {
    /// The service that calls.
    pub service: ServiceKey,
    /// Whom, by [`super::peer`].
    pub peer: Arc<str>,
    /// Database, broker or protocol; empty where nothing says it.
    pub system: Arc<str>,
    /// Whether the name is a host's, which may be called otherwise in another environment.
    pub host: bool,
}

/// What sort of telemetry an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ItemKind {
    /// Spans of an operation.
    Span,
    /// An attribute key on spans of a service.
    SpanAttribute,
    /// An event name on spans of a service.
    SpanEvent,
    /// A metric.
    Metric,
    /// An attribute key on data points of a metric.
    MetricAttribute,
    /// Log records of a severity or event name.
    Log,
    /// An attribute key on log records of a service.
    LogAttribute,
    /// A class of failure on failed spans of a service: seen, and not expected.
    ErrorType,
    /// An attribute key on spans of an operation.
    OperationAttribute,
    /// An attribute key of a service's resources.
    ResourceAttribute,
    /// A service's resources as such.
    Resource,
    /// An instrumentation scope: the library that sends.
    Scope,
}

impl ItemKind {
    /// The words used in tables and in [`crate::judge::verdict::Coverage`].
    pub fn as_str(self) -> &'static str {
        match self {
            ItemKind::Span => "span",
            ItemKind::SpanAttribute => "span attribute",
            ItemKind::SpanEvent => "span event",
            ItemKind::Metric => "metric",
            ItemKind::MetricAttribute => "metric attribute",
            ItemKind::Log => "log",
            ItemKind::LogAttribute => "log attribute",
            ItemKind::ErrorType => "error type",
            ItemKind::OperationAttribute => "span attribute",
            ItemKind::ResourceAttribute => "resource attribute",
            ItemKind::Resource => "resource",
            ItemKind::Scope => "scope",
        }
    }
}

/// One item of a service: its sort and name, in tables `metric http.server.request.duration`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemName {
    /// What sort of thing it is.
    pub kind: ItemKind,
    /// Its name.
    pub name: Arc<str>,
}

impl ItemName {
    /// The metric whose points have this attribute; `None` of all that is no such attribute.
    pub fn metric(&self) -> Option<&str> {
        let (metric, _) = self.name.split_once('[').filter(|_| self.kind == ItemKind::MetricAttribute)?;
        Some(metric)
    }
}

impl std::fmt::Display for ItemName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name.is_empty() {
            true => write!(f, "{}", self.kind.as_str()),
            false => write!(f, "{} {}", self.kind.as_str(), self.name),
        }
    }
}

/// One thing that telemetry can hold: the row of the presence matrix, and the form in which it was seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Item {
    /// The service that sends it.
    pub service: ServiceKey,
    /// What sort of thing it is.
    pub kind: ItemKind,
    /// Its name.
    pub name: Arc<str>,
    /// Its form, as [`super::form`] writes it; empty where there is none.
    pub form: Arc<str>,
}

/// What an instrumentation scope sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Carried {
    /// A telemetry item.
    Item(ItemId),
    /// Spans of a series.
    Series(SeriesId),
}

/// All names met so far, and the numbers that they have. As far as it is read it is [`KnownNames`].
#[derive(Debug, Default)]
pub struct Names {
    known: KnownNames,
    /// Environments that are in no window that is looked back at, when the windows were last asked.
    gone: usize,
    series: Numbers,
    dependencies: Numbers,
    dependencies_of: HashMap<ServiceKey, usize>,
    items: Numbers,
    values: Numbers,
    /// Of metrics, and of sizes.
    values_of: HashMap<(ServiceKey, bool), usize>,
    operations: HashMap<ServiceKey, usize>,
    /// Items of a service of which it has a bound of its own.
    own: HashMap<(ServiceKey, ItemKind), usize>,
}

/// The names met up to some moment, by number, and what was seen of them.
///
/// A clone shares the names and takes microseconds however many there are, so that a judgement has its own and the table
/// can grow meanwhile.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct KnownNames {
    #[serde(skip)]
    limits: Limits,
    environments: Vec<Arc<str>>,
    /// What [`EnvironmentId::OF_SNAPSHOT`] is called.
    #[serde(skip)]
    snapshot: Option<Arc<str>>,
    services: Listed<ServiceKey>,
    #[serde(skip)]
    service_numbers: Arc<Numbers>,
    series: Listed<SeriesKey>,
    dependencies: Listed<DependencyKey>,
    /// The operations by which a service calls a dependency, by its number.
    callers: Listed<BTreeSet<SeriesId>>,
    items: Listed<Item>,
    values: Listed<ValueKey>,
    /// The scopes that send a series or an item, by its number.
    series_scopes: Listed<Scopes>,
    item_scopes: Listed<Scopes>,
    hits: LimitsHit,
}

impl std::ops::Deref for Names {
    type Target = KnownNames;

    fn deref(&self) -> &KnownNames {
        &self.known
    }
}

/// Names of environments that one process remembers, those that have gone too: releases that are told apart by a hash are new
/// ones each time.
const ENVIRONMENTS_MET: usize = 4_096;
/// Names of environments in a sentence.
const ENVIRONMENTS_SAID: usize = 16;

/// How many scopes of one item are kept: the first by name, whichever came first.
const CARRIERS: usize = 4;

/// Names of scopes, rising: a list that is no longer than it must be, since a tree has room for eleven where one is usual.
type Scopes = Box<[Arc<str>]>;

impl Names {
    /// An empty table with these bounds.
    pub fn new(limits: Limits) -> Names {
        Names { known: KnownNames { limits, ..KnownNames::default() }, ..Names::default() }
    }

    /// The table that `known` was taken from, with these bounds from now on: numbers stay what they were.
    pub fn again(known: KnownNames, limits: Limits) -> Names {
        let mut names = Names { known: KnownNames { limits, ..known }, ..Names::default() };
        let known = &mut names.known;
        known.service_numbers = Arc::new(Numbers::of(&known.services));
        names.series = Numbers::of(&known.series);
        names.dependencies = Numbers::of(&known.dependencies);
        names.items = Numbers::of(&known.items);
        names.values = Numbers::of(&known.values);
        // What lies beyond a bound is not counted against it.
        for key in known.series.iter().filter(|key| &*key.operation != operation::OVERFLOW) {
            *names.operations.entry(key.service.clone()).or_default() += 1;
        }
        for key in known.dependencies.iter().filter(|key| &*key.peer != operation::OVERFLOW) {
            *names.dependencies_of.entry(key.service.clone()).or_default() += 1;
        }
        for key in known.values.iter() {
            let sort = (key.service.clone(), key.instrument == Instrument::Size);
            *names.values_of.entry(sort).or_default() += 1;
        }
        for item in known.items.iter().filter(|item| has_own_bound(item.kind)) {
            *names.own.entry((item.service.clone(), item.kind)).or_default() += 1;
        }
        names
    }

    /// The environment's number; `None` when there are too many. Numbers are never given again: what a shard remembers of a
    /// name stays true when its environment has gone.
    pub fn environment(&mut self, name: &str) -> Option<EnvironmentId> {
        if let Some(known) = self.find_environment(name) {
            return Some(known);
        }
        if self.is_full_of_environments() || self.environments.len() >= ENVIRONMENTS_MET {
            self.known.hits.count(Limit::Environments);
            return None;
        }
        let kept = self.bounded(name);
        self.known.environments.push(kept);
        self.count_cut([name]);
        Some(EnvironmentId((self.environments.len() - 1) as u16))
    }

    /// Whether there is no place for another environment.
    fn is_full_of_environments(&self) -> bool {
        self.environments.len() - self.gone >= self.limits.environments
    }

    /// Takes note of which environments are `there`, in some window; the others leave their places. Returns whether there
    /// is place now and was none before.
    pub fn environments_there(&mut self, there: impl Fn(EnvironmentId) -> bool) -> bool {
        if self.environments.len() < self.limits.environments {
            return false;
        }
        let was_full = self.is_full_of_environments();
        let numbers = (0..self.environments.len()).map(|at| EnvironmentId(at as u16));
        self.gone = numbers.filter(|id| !there(*id)).count();
        was_full && !self.is_full_of_environments()
    }

    /// The service's number; `None` when there are too many.
    pub fn service(&mut self, namespace: &str, name: &str) -> Option<ServiceId> {
        let key = ServiceKey { namespace: self.bounded(namespace), name: self.bounded(name) };
        if let Some(id) = self.find_service(&key) {
            return Some(id);
        }
        if self.known.services.len() >= self.limits.services {
            self.known.hits.count(Limit::Services);
            return None;
        }
        self.count_cut([namespace, name]);
        let KnownNames { services, service_numbers, .. } = &mut self.known;
        Some(ServiceId(Arc::make_mut(service_numbers).give(services, key)))
    }

    /// The series' number; beyond the limits, that of the service's overflow operation. An operation's name may come
    /// a little longer than [`Limits::name_bytes`], so that it is seen here that it is cut.
    pub fn series(&mut self, service: ServiceId, operation: &str, kind: SpanKind) -> SeriesId {
        let service = self.service_key(service).clone();
        let key = SeriesKey { service, operation: self.bounded(operation), kind };
        if let Some(id) = self.series.find(&self.known.series, &key) {
            return SeriesId(id);
        }
        if &*key.operation == operation::OVERFLOW {
            // What another engine had no place for.
            return SeriesId(self.series.give(&mut self.known.series, key));
        }
        let count = self.operations.entry(key.service.clone()).or_default();
        let limit = match () {
            () if *count >= self.known.limits.operations_per_service => Some(Limit::OperationsPerService),
            () if self.known.series.len() >= self.known.limits.series => Some(Limit::Series),
            () => None,
        };
        match limit {
            None => {
                *count += 1;
                self.count_cut([operation]);
            }
            Some(limit) => self.known.hits.count(limit),
        }
        let operation = if limit.is_some() { operation::OVERFLOW.into() } else { key.operation };
        // Overflow operations lie beyond the bound: at most one for each service and kind.
        SeriesId(self.series.give(&mut self.known.series, SeriesKey { operation, ..key }))
    }

    /// The number of whom a service calls by one of its operations; beyond the limits, that of all further ones of the
    /// service. A peer's name may come a little longer than [`Limits::name_bytes`].
    pub fn dependency(&mut self, caller: SeriesId, system: &str, peer: &str, host: bool) -> DependencyId {
        let service = self.series_key(caller).service.clone();
        let key = DependencyKey { service, peer: self.bounded(peer), system: self.bounded(system), host };
        let id = match self.dependencies.find(&self.known.dependencies, &key) {
            Some(known) => known,
            None => self.new_dependency(key, [system, peer]),
        };
        if !self.known.callers.find(id).is_some_and(|callers| callers.contains(&caller)) {
            self.known.callers.get_mut(id).insert(caller);
        }
        DependencyId(id)
    }

    fn new_dependency(&mut self, key: DependencyKey, names: [&str; 2]) -> u32 {
        let count = self.dependencies_of.entry(key.service.clone()).or_default();
        let Limits { dependencies_per_service, series, .. } = self.known.limits;
        let fits = *count < dependencies_per_service && self.known.dependencies.len() < series;
        let told = &*key.peer == operation::OVERFLOW;
        let key = if fits && !told {
            *count += 1;
            self.count_cut(names);
            key
        } else {
            if !told {
                self.known.hits.count(Limit::DependenciesPerService);
            }
            DependencyKey { peer: operation::OVERFLOW.into(), system: "".into(), host: false, ..key }
        };
        self.dependencies.give(&mut self.known.dependencies, key)
    }

    /// The item's number; `None` when there are too many.
    pub fn item(&mut self, service: ServiceId, kind: ItemKind, name: &str, form: &str) -> Option<ItemId> {
        let (item, values_cut) = self.item_of(service, kind, name, form);
        if let Some(id) = self.items.find(&self.known.items, &item) {
            return Some(ItemId(id));
        }
        if has_own_bound(kind) {
            let (most, limit) = match kind {
                ItemKind::ErrorType => (self.limits.error_types_per_service, Limit::ErrorTypesPerService),
                _ => (self.limits.resource_attributes, Limit::ResourceAttributes),
            };
            let count = self.own.entry((item.service.clone(), kind)).or_default();
            if *count >= most {
                self.known.hits.count(limit);
                return None;
            }
            *count += 1;
        }
        if self.known.items.len() >= self.limits.items {
            self.known.hits.count(Limit::Items);
            return None;
        }
        self.count_cut([name]);
        (0..values_cut).for_each(|_| self.known.hits.count(Limit::NameBytes));
        Some(ItemId(self.items.give(&mut self.known.items, item)))
    }

    /// The number of an item that has been met.
    pub fn find_item(&self, service: ServiceId, kind: ItemKind, name: &str, form: &str) -> Option<ItemId> {
        self.items.find(&self.known.items, &self.item_of(service, kind, name, form).0).map(ItemId)
    }

    /// An item as it is kept, and how many values of its form are cut.
    fn item_of(&self, service: ServiceId, kind: ItemKind, name: &str, form: &str) -> (Item, usize) {
        let (form, values_cut) = form::bounded(form, &self.limits);
        let service = self.service_key(service).clone();
        (Item { service, kind, name: self.bounded(name), form: form.into() }, values_cut)
    }

    /// The number of a metric, or of one part of it; `None` when there are too many.
    pub fn value(
        &mut self,
        service: ServiceId,
        (metric, split): (&str, &str),
        unit: &str,
        instrument: Instrument,
    ) -> Option<ValueId> {
        let service = self.service_key(service).clone();
        let (metric, split, unit) = (self.bounded(metric), self.bounded(split), self.bounded(unit));
        let key = ValueKey { service, metric, split, unit, instrument };
        if let Some(id) = self.values.find(&self.known.values, &key) {
            return Some(ValueId(id));
        }
        // A service with many operations must not use up what its metrics have.
        let sort = (key.service.clone(), instrument == Instrument::Size);
        let count = self.values_of.entry(sort).or_default();
        if *count >= self.known.limits.values_per_service {
            self.known.hits.count(Limit::ValuesPerService);
            return None;
        }
        if self.known.values.len() >= self.known.limits.values {
            self.known.hits.count(Limit::Values);
            return None;
        }
        *count += 1;
        Some(ValueId(self.values.give(&mut self.known.values, key)))
    }

    /// The number of the size that spans of a series state in an attribute; `None` when there are too many.
    pub fn size(&mut self, service: ServiceId, series: SeriesId, attribute: &str) -> Option<ValueId> {
        let split = size_split(self.series_key(series));
        self.value(service, (attribute, &split), "By", Instrument::Size)
    }

    /// Notes that an instrumentation scope sends an item or a series.
    pub fn carry(&mut self, carried: Carried, scope: &Arc<str>) {
        let place = self.carriers(carried).unwrap_or_default().binary_search(scope);
        let Some(at) = place.err().filter(|at| *at < CARRIERS) else { return };
        let scopes = match carried {
            Carried::Item(id) => self.known.item_scopes.get_mut(id.0),
            Carried::Series(id) => self.known.series_scopes.get_mut(id.0),
        };
        let before = scopes[..at].iter().chain([scope]);
        *scopes = before.chain(&scopes[at..]).take(CARRIERS).cloned().collect();
    }

    /// Counts the names that do not fit. Asked once for each name that is kept, so that the count does not depend on
    /// how often, in which order or in which shard a name comes.
    fn count_cut<const N: usize>(&mut self, names: [&str; N]) {
        let longest = self.limits.name_bytes;
        names
            .iter()
            .filter(|name| name.len() > longest)
            .for_each(|_| self.known.hits.count(Limit::NameBytes));
    }
}

impl KnownNames {
    /// The same names with one environment alone, which has the first number.
    #[must_use]
    pub fn with_environment(&self, name: &str) -> KnownNames {
        KnownNames { environments: vec![Arc::from(name)], hits: LimitsHit::default(), ..self.clone() }
    }

    /// The same names where an environment of this name is a snapshot's.
    #[must_use]
    pub fn with_snapshot(self, name: &str) -> KnownNames {
        KnownNames { snapshot: Some(Arc::from(name)), ..self }
    }

    /// The instrumentation scopes that were seen to send an item or a series; those without a name have the empty one.
    pub fn carriers(&self, carried: Carried) -> Option<&[Arc<str>]> {
        let scopes = match carried {
            Carried::Item(id) => self.item_scopes.find(id.0),
            Carried::Series(id) => self.series_scopes.find(id.0),
        };
        scopes.map(|scopes| &**scopes).filter(|scopes| !scopes.is_empty())
    }

    /// The environments, in order of arrival.
    pub fn environments(&self) -> &[Arc<str>] {
        &self.environments
    }

    /// The environments that were met last, for a sentence.
    pub fn environments_in_words(&self) -> String {
        let before = self.environments.len().saturating_sub(ENVIRONMENTS_SAID);
        let mut last: Vec<&str> = self.environments[before..].iter().map(|name| &**name).collect();
        last.sort_unstable();
        match (last.is_empty(), before) {
            (true, _) => "none at all".to_owned(),
            (false, 0) => last.join(", "),
            (false, before) => format!("{}, and {before} before them", last.join(", ")),
        }
    }

    /// The number of an environment that has been met. A name beyond the bound is what its beginning names.
    pub fn find_environment(&self, name: &str) -> Option<EnvironmentId> {
        if self.snapshot.as_deref() == Some(name) {
            return Some(EnvironmentId::OF_SNAPSHOT);
        }
        let name = self.limits.cut(name);
        self.environments.iter().position(|known| &**known == name).map(|at| EnvironmentId(at as u16))
    }

    /// The number of a service that has been met.
    pub fn find_service(&self, key: &ServiceKey) -> Option<ServiceId> {
        self.service_numbers.find(&self.services, key).map(ServiceId)
    }

    /// The series behind a number.
    pub fn series_key(&self, id: SeriesId) -> &SeriesKey {
        self.series.get(id.0)
    }

    /// The dependency behind a number.
    pub fn dependency_key(&self, id: DependencyId) -> &DependencyKey {
        self.dependencies.get(id.0)
    }

    /// The numbers of the operations by which a service calls a dependency.
    pub fn calling_series(&self, id: DependencyId) -> impl Iterator<Item = SeriesId> + '_ {
        self.callers.find(id.0).into_iter().flatten().copied()
    }

    /// The operations by which a service calls a dependency.
    pub fn callers(&self, id: DependencyId) -> impl Iterator<Item = &SeriesKey> + '_ {
        self.callers.find(id.0).into_iter().flatten().map(|series| self.series_key(*series))
    }

    /// The item behind a number.
    pub fn item_key(&self, id: ItemId) -> &Item {
        self.items.get(id.0)
    }

    /// The metric behind a number.
    pub fn value_key(&self, id: ValueId) -> &ValueKey {
        self.values.get(id.0)
    }

    /// The service behind a number.
    pub fn service_key(&self, id: ServiceId) -> &ServiceKey {
        self.services.get(id.0)
    }

    /// Whether there is a name behind the number, which only bytes from outside can leave open.
    pub fn has_series(&self, id: SeriesId) -> bool {
        self.series.find(id.0).is_some()
    }

    /// The same of a dependency, with the operations that call it.
    pub fn has_dependency(&self, id: DependencyId) -> bool {
        let callers = self.callers.find(id.0).into_iter().flatten();
        self.dependencies.find(id.0).is_some() && callers.copied().all(|series| self.has_series(series))
    }

    /// The same of an item.
    pub fn has_item(&self, id: ItemId) -> bool {
        self.items.find(id.0).is_some()
    }

    /// The same of a metric.
    pub fn has_value(&self, id: ValueId) -> bool {
        self.values.find(id.0).is_some()
    }

    /// The same of a service.
    pub fn has_service(&self, id: ServiceId) -> bool {
        self.services.find(id.0).is_some()
    }

    /// How often the bounds were reached.
    pub fn limits_hit(&self) -> &LimitsHit {
        &self.hits
    }

    /// The bounds.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    fn bounded(&self, text: &str) -> Arc<str> {
        Arc::from(self.limits.cut(text))
    }
}

/// Some put messages or identifiers into items of these kinds: they must not use up what the presence matrix has.
fn has_own_bound(kind: ItemKind) -> bool {
    matches!(kind, ItemKind::ErrorType | ItemKind::ResourceAttribute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Names {
        Names::new(Limits {
            environments: 2,
            services: 2,
            operations_per_service: 2,
            items: 1,
            ..Limits::default()
        })
    }

    #[test]
    fn a_clone_keeps_the_names_of_its_moment_and_shares_them() {
        let mut names = Names::new(Limits { services: 10_000, ..Limits::default() });
        let name = |at: usize| format!("service-{at}");
        let ids: Vec<_> = (0..3_000).map(|at| names.service("", &name(at)).unwrap()).collect();
        let known = KnownNames::clone(&names);
        let later: Vec<_> = (3_000..6_000).map(|at| names.service("", &name(at)).unwrap()).collect();
        names.carry(Carried::Item(ItemId(2_000)), &"scope".into());
        for (at, id) in ids.iter().chain(&later).enumerate() {
            assert_eq!(&*names.service_key(*id).name, name(at));
        }
        assert_eq!(&*known.service_key(ids[2_999]).name, name(2_999));
        assert_eq!((known.services.len(), names.known.services.len()), (3_000, 6_000));
        // Full pieces are the same memory, so that no number of names makes a clone long.
        let shared = known.services.pieces.iter().zip(&names.known.services.pieces);
        assert_eq!(shared.filter(|(ours, theirs)| Arc::ptr_eq(ours, theirs)).count(), 2);
        assert_eq!(known.find_service(names.service_key(later[0])), None);
        let carriers = |names: &KnownNames| names.carriers(Carried::Item(ItemId(2_000))).is_some();
        assert_eq!((carriers(&known), carriers(&names)), (false, true));
    }

    #[test]
    fn operations_beyond_the_limit_go_to_an_overflow_series_that_keeps_its_service() {
        let mut names = small();
        let service = names.service("shop", "cart").unwrap();
        let first = names.series(service, "a", SpanKind::Server);
        names.series(service, "b", SpanKind::Server);
        let beyond = names.series(service, "c", SpanKind::Server);
        assert_eq!(beyond, names.series(service, "d", SpanKind::Server));
        assert_eq!(&*names.series_key(beyond).operation, operation::OVERFLOW);
        assert_eq!(&*names.series_key(beyond).service.name, "cart");
        assert_eq!(first, names.series(service, "a", SpanKind::Server));
        assert_eq!(names.limits_hit().iter().collect::<Vec<_>>(), [(Limit::OperationsPerService, 2)]);
    }

    #[test]
    fn resource_attributes_and_error_types_beyond_their_bounds_take_no_place_of_other_items() {
        let limits =
            Limits { resource_attributes: 2, error_types_per_service: 1, items: 4, ..Limits::default() };
        let mut names = Names::new(limits);
        let service = names.service("", "a").unwrap();
        for key in ["a", "b", "c", "a"] {
            names.item(service, ItemKind::ResourceAttribute, key, "");
            names.item(service, ItemKind::ErrorType, key, "");
        }
        assert!(names.item(service, ItemKind::Metric, "m", "").is_some());
        let hits: Vec<_> = names.limits_hit().iter().collect();
        assert_eq!(hits, [(Limit::ErrorTypesPerService, 2), (Limit::ResourceAttributes, 1)]);
    }

    #[test]
    fn environments_services_and_items_beyond_the_limit_are_refused_and_counted() {
        let mut names = small();
        for name in ["a", "b"] {
            assert!(names.environment(name).is_some() && names.service("", name).is_some());
        }
        assert!(names.environment("c").is_none() && names.service("", "c").is_none());
        let service = names.service("", "a").unwrap();
        assert!(names.item(service, ItemKind::Metric, "x", "").is_some());
        assert!(names.item(service, ItemKind::Metric, "y", "").is_none());
        assert!(names.environment("a").is_some());
        let hits: Vec<_> = names.limits_hit().iter().collect();
        assert_eq!(hits, [(Limit::Environments, 1), (Limit::Services, 1), (Limit::Items, 1)]);
    }
}
