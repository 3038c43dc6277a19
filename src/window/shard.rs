//! A shard: requests in, open windows. Hot plane.
//!
//! A shard owns its windows and caches (`&mut`, no locks) and asks the shared [`Names`] only about names that it
//! has not met. In the steady state recording a span allocates nothing, takes no lock and reads no clock.

use super::cache::Cache;
use super::open::OpenWindow;
use super::senders::Run;
use super::sources::Sources;
use super::statements::Told;
use super::translate::Translation;
use super::values::KnownValue;
use super::warmup::{Instances, Origin};
use super::{Grid, Progress};
use crate::model::facts::{FactKeys, Statement};
use crate::model::form::{self, Field};
use crate::model::names::Carried;
use crate::model::{
    DependencyId, EnvironmentId, EnvironmentRules, HashKey, InstanceId, ItemId, ItemKind, KnownNames, Limit,
    Limits, LimitsHit, Names, Redaction, SeriesId, ServiceId, ValueId, ValueRules,
};
use crate::sketch::latency::COUNT_MOST;
use crate::wire::any_value::AnyValue;
use crate::wire::semconv::Slot;
use crate::wire::{
    LogBatch, Malformed, MetricBatch, Refusal, Refusals, ResourceRecord, ScopeRecord, Signal, TraceBatch,
    scope_name_version,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a resource without `service.name` is called (OpenTelemetry semantic conventions, "Service").
pub const UNKNOWN_SERVICE: &str = "unknown_service";

/// How resources and what belongs to them are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Which environment a resource is of.
    pub environments: EnvironmentRules,
    /// Which facts are kept.
    pub facts: FactKeys,
    /// Which attributes tell values apart, and which texts are compared.
    pub values: ValueRules,
    /// Which values are not kept as they came.
    pub redaction: Redaction,
}

/// What an engine's hashes are keyed with; they last as long as what was hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// Of names and of texts that are only compared: nobody outside knows it, and can aim at a collision.
    pub names: u64,
    /// Of values that are not kept as they came.
    pub values: HashKey,
}

impl Keys {
    /// Keys that nobody knows.
    pub fn random() -> Keys {
        Keys { names: foldhash::fast::RandomState::default().hash_one(0), values: HashKey::random() }
    }

    /// The keys that belong to a configured one: the same in every process that has it.
    pub fn of(key: &HashKey) -> Keys {
        Keys { names: key.hash("isotel: of names"), values: key.clone() }
    }
}

/// What all shards share.
#[derive(Debug)]
pub struct Shared {
    /// Names and numbers.
    names: Mutex<Names>,
    /// How telemetry is read.
    rules: Mutex<Arc<Rules>>,
    /// Since when instances are warm. Never locked together with the names.
    instances: Mutex<Instances>,
    /// Which parts have come from other agents.
    sources: Mutex<Sources>,
    /// Rises when what was decided about resources may be decided otherwise.
    edition: AtomicU64,
    /// The bounds.
    pub limits: Limits,
    /// The windows' boundaries.
    pub grid: Grid,
    /// Hashes names for the shards' caches, and texts that are only compared.
    pub(super) hasher: foldhash::fast::FixedState,
    /// What hashes are keyed with, those of values unless the policy has a key.
    pub keys: Keys,
    /// Event time up to which windows are sealed: what is older is late.
    pub sealed_through_ns: AtomicU64,
}

impl Shared {
    /// Nothing sealed.
    pub fn new(rules: Rules, names: Names, instances: Instances, grid: Grid, keys: Keys) -> Shared {
        let limits = names.limits().clone();
        Shared {
            names: Mutex::new(names),
            rules: Mutex::new(Arc::new(rules)),
            instances: Mutex::new(instances),
            sources: Mutex::default(),
            edition: AtomicU64::new(0),
            limits,
            grid,
            hasher: foldhash::fast::FixedState::with_seed(keys.names),
            keys,
            sealed_through_ns: AtomicU64::new(0),
        }
    }

    /// The names met up to now, for who reads many of them.
    pub fn known_names(&self) -> KnownNames {
        KnownNames::clone(&self.names())
    }

    /// The names. Held for a look-up or two, never across I/O or a judgement.
    pub fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody holds the names now.
    #[cfg(test)]
    pub fn names_are_free(&self) -> bool {
        self.names.try_lock().is_ok()
    }

    /// Other rules from now on; what was recorded stays where it is.
    pub fn set_rules(&self, rules: Rules) {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
        self.decide_again();
    }

    /// The instances that have been met.
    pub fn instances(&self) -> MutexGuard<'_, Instances> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which parts have come from other agents, and what became of them.
    pub fn sources(&self) -> MutexGuard<'_, Sources> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From the numbers of another engine's names to those of this one's.
    pub fn translation<'a>(&'a self, from: &'a KnownNames) -> Translation<'a> {
        Translation::new(from, &self.names)
    }

    /// Has shards decide about resources anew.
    pub fn decide_again(&self) {
        self.edition.fetch_add(1, Ordering::Release);
    }

    fn rules(&self) -> Arc<Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What was taken in and what was set aside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Spans accepted.
    pub spans: u64,
    /// Metric data points accepted.
    pub metric_points: u64,
    /// Log records accepted.
    pub log_records: u64,
    /// Metric data points accepted that say themselves that they hold no value.
    pub unrecorded: u64,
    /// Items refused, by reason.
    #[serde(deserialize_with = "reasons")]
    pub refused: BTreeMap<&'static str, u64>,
    /// Items accepted whose window was sealed already, by environment.
    pub late: BTreeMap<EnvironmentId, u64>,
    /// Items of a resource that names no environment, by service.
    pub unassigned: BTreeMap<ServiceId, u64>,
    /// Items of services beyond the limit.
    pub unnamed: u64,
    /// Bounds reached in recording.
    pub hits: LimitsHit,
}

/// Reasons are words of [`Refusal`]; one that is not known any more is left out.
fn reasons<'de, D: serde::Deserializer<'de>>(from: D) -> Result<BTreeMap<&'static str, u64>, D::Error> {
    let counts: BTreeMap<String, u64> = Deserialize::deserialize(from)?;
    let known = |word: &str| Refusal::ALL.iter().map(|refusal| refusal.as_str()).find(|known| *known == word);
    Ok(counts.into_iter().filter_map(|(word, n)| Some((known(&word)?, n))).collect())
}

impl Tally {
    /// Adds another shard's tally.
    pub fn merge(&mut self, other: &Tally) {
        self.spans += other.spans;
        self.metric_points += other.metric_points;
        self.log_records += other.log_records;
        self.unrecorded += other.unrecorded;
        self.unnamed += other.unnamed;
        self.hits.merge(&other.hits);
        other.refused.iter().for_each(|(reason, n)| *self.refused.entry(reason).or_default() += n);
        other.late.iter().for_each(|(env, n)| *self.late.entry(*env).or_default() += n);
        other.unassigned.iter().for_each(|(service, n)| *self.unassigned.entry(*service).or_default() += n);
    }

    /// What has been added since an earlier one.
    #[must_use]
    pub fn since(&self, earlier: &Tally) -> Tally {
        fn rest<K: Ord + Copy>(now: &BTreeMap<K, u64>, then: &BTreeMap<K, u64>) -> BTreeMap<K, u64> {
            let more =
                now.iter().map(|(key, n)| (*key, n.saturating_sub(then.get(key).copied().unwrap_or(0))));
            more.filter(|(_, n)| *n > 0).collect()
        }
        Tally {
            spans: self.spans.saturating_sub(earlier.spans),
            metric_points: self.metric_points.saturating_sub(earlier.metric_points),
            log_records: self.log_records.saturating_sub(earlier.log_records),
            unrecorded: self.unrecorded.saturating_sub(earlier.unrecorded),
            refused: rest(&self.refused, &earlier.refused),
            late: rest(&self.late, &earlier.late),
            unassigned: rest(&self.unassigned, &earlier.unassigned),
            unnamed: self.unnamed.saturating_sub(earlier.unnamed),
            hits: self.hits.since(&earlier.hits),
        }
    }

    /// Whether its numbers add up with others; bytes from outside may say anything.
    pub fn is_sound(&self) -> bool {
        let Tally { spans, metric_points, log_records, unrecorded, refused, late, unassigned, unnamed, hits } =
            self;
        let mut counts = [*spans, *metric_points, *log_records, *unrecorded, *unnamed]
            .into_iter()
            .chain(refused.values().copied())
            .chain(late.values().copied())
            .chain(unassigned.values().copied())
            .chain(hits.iter().map(|(_, n)| n));
        counts.all(|n| n <= COUNT_MOST)
    }
}

/// What was decided about a resource.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resource {
    pub environment: Option<EnvironmentId>,
    pub service: Option<ServiceId>,
    pub instance: InstanceId,
    pub created_ns: Option<u64>,
    /// Since when it is warm; the greatest number while that is not known.
    pub warm_from_ns: u64,
}

/// Where an observation goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Home {
    pub environment: EnvironmentId,
    pub service: ServiceId,
    pub instance: InstanceId,
    pub created_ns: Option<u64>,
    pub warm_from_ns: u64,
    /// Index of its resource in the request.
    pub resource: u32,
    /// Index of its scope in the request.
    pub scope: u32,
}

impl Home {
    pub fn origin(self) -> Origin {
        Origin { service: self.service, instance: self.instance, created_ns: self.created_ns }
    }
}

/// What a resource or scope says; nothing when none of it is a fact.
pub(super) type Said = Option<(u64, Arc<Statement>)>;

/// What is known of a resource or scope of the request under way.
#[derive(Debug)]
pub(super) struct Known<T> {
    pub of: T,
    said: Said,
    /// The window in which it was noted last: most requests lie in one.
    noted_in: usize,
}

impl<T> Known<T> {
    fn new((of, said): (T, Said)) -> Known<T> {
        Known { of, said, noted_in: usize::MAX }
    }

    /// What it says, unless that was noted in this window.
    fn say_in(&mut self, window: usize) -> Said {
        let noted = std::mem::replace(&mut self.noted_in, window) == window;
        self.said.clone().filter(|_| !noted)
    }
}

/// A scope of the request under way.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    /// Of its message's bytes.
    pub hash: u64,
    pub name: Arc<str>,
}

/// One lane of the hot plane.
#[derive(Debug)]
pub struct Shard {
    pub(super) shared: Arc<Shared>,
    edition: u64,
    pub(super) rules: Arc<Rules>,
    pub(super) traces: TraceBatch,
    pub(super) metrics: MetricBatch,
    pub(super) logs: LogBatch,
    resources: Cache<(u64, Option<EnvironmentId>), (Resource, Said)>,
    pub(super) resolved: Vec<Known<Resource>>,
    known_scopes: Cache<u64, (Scope, Said)>,
    pub(super) scopes: Vec<Known<Scope>>,
    pub(super) operations: Cache<(ServiceId, u64), SeriesId>,
    pub(super) dependencies: Cache<(SeriesId, u64), DependencyId>,
    pub(super) shapes: Cache<(ServiceId, ItemKind, u64), Arc<[ItemId]>>,
    pub(super) items: Cache<(ServiceId, ItemKind, u64), Option<ItemId>>,
    pub(super) flags: Cache<u64, Said>,
    pub(super) values: Cache<(ServiceId, u64), KnownValue>,
    pub(super) sizes: Cache<(SeriesId, Slot), Option<ValueId>>,
    /// Streams of metrics whose attributes have been looked at, with the window.
    pub(super) streams: Cache<u64, ()>,
    pub(super) runs: Vec<Run>,
    pub(super) windows: Vec<(u64, OpenWindow)>,
    progress: Vec<Option<Progress>>,
    pub(super) tally: Tally,
    pub(super) name: String,
}

impl Shard {
    /// An empty shard.
    pub fn new(shared: Arc<Shared>) -> Shard {
        Shard {
            rules: shared.rules(),
            shared,
            edition: 0,
            traces: TraceBatch::default(),
            metrics: MetricBatch::default(),
            logs: LogBatch::default(),
            resources: Cache::default(),
            resolved: Vec::new(),
            known_scopes: Cache::default(),
            scopes: Vec::new(),
            operations: Cache::default(),
            dependencies: Cache::default(),
            shapes: Cache::default(),
            items: Cache::default(),
            flags: Cache::default(),
            values: Cache::default(),
            sizes: Cache::default(),
            streams: Cache::default(),
            runs: Vec::new(),
            windows: Vec::new(),
            progress: Vec::new(),
            tally: Tally::default(),
            name: String::new(),
        }
    }

    /// Records one request of protobuf bytes. `now_ns` is the arrival, nanoseconds since the epoch; `forced` is the
    /// environment when the caller knows better than the resource.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes are not such a request; nothing of it is recorded then. Items that are refused
    /// alone are in the result, and their neighbours are recorded.
    pub fn observe(
        &mut self,
        now_ns: u64,
        forced: Option<EnvironmentId>,
        signal: Signal,
        request: &[u8],
    ) -> Result<Refusals, Malformed> {
        self.follow_rules();
        let refusals = match signal {
            Signal::Traces => self.observe_traces(now_ns, forced, request)?,
            Signal::Metrics => self.observe_metrics(now_ns, forced, request)?,
            Signal::Logs => self.observe_logs(now_ns, forced, request)?,
        };
        for (reason, n) in refusals.iter() {
            *self.tally.refused.entry(reason.as_str()).or_default() += n;
        }
        Ok(refusals)
    }

    /// How far each environment has come in this shard.
    pub fn progress(&self) -> impl Iterator<Item = (EnvironmentId, Progress)> + '_ {
        self.progress.iter().enumerate().filter_map(|(at, p)| p.map(|p| (EnvironmentId(at as u16), p)))
    }

    /// What was taken in and set aside so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Takes out what is in the open windows, which stay open.
    pub fn take_open(&mut self) -> Vec<(u64, OpenWindow)> {
        self.windows.iter_mut().map(|(index, window)| (*index, std::mem::take(window))).collect()
    }

    /// Goes on where shards were that are no more: after what they counted, with these windows open.
    pub fn go_on(
        &mut self,
        tally: Tally,
        progress: &BTreeMap<EnvironmentId, Progress>,
        open: impl Iterator<Item = u64>,
    ) {
        self.tally = tally;
        for (env, progress) in progress {
            self.note_progress(*env, progress.arrived_ns, progress.watermark_ns);
        }
        self.windows.extend(open.map(|index| (index, OpenWindow::default())));
    }

    /// Has an environment arrive at `now_ns` that is known here.
    pub fn arrive(&mut self, now_ns: u64) {
        self.progress.iter_mut().flatten().for_each(|known| known.arrived_ns = known.arrived_ns.max(now_ns));
    }

    /// Takes out the windows that end at or before `through_ns`.
    pub fn take_through(&mut self, through_ns: u64) -> Vec<(u64, OpenWindow)> {
        let grid = self.shared.grid;
        let taken: Vec<_> =
            self.windows.extract_if(.., |(index, _)| grid.end_ns(*index) <= through_ns).collect();
        if !taken.is_empty() {
            self.age();
        }
        taken
    }

    /// Forgets what was not met for two windows.
    fn age(&mut self) {
        self.resources.age();
        self.known_scopes.age();
        self.operations.age();
        self.dependencies.age();
        self.shapes.age();
        self.items.age();
        self.flags.age();
        self.values.age();
        self.sizes.age();
        self.streams.age();
    }

    /// Whether an open window from `first` on has spans of one of these series.
    pub fn has_requests(&self, first: u64, is_one: impl Fn(EnvironmentId, SeriesId) -> bool) -> bool {
        let windows = self.windows.iter().filter(|(index, _)| *index >= first);
        windows.flat_map(|(_, window)| window.cells.keys()).any(|(env, series)| is_one(*env, *series))
    }

    /// The open windows' indices.
    pub fn open_windows(&self) -> impl Iterator<Item = u64> + '_ {
        self.windows.iter().map(|(index, _)| *index)
    }

    fn follow_rules(&mut self) {
        let edition = self.shared.edition.load(Ordering::Acquire);
        if edition != self.edition {
            self.edition = edition;
            self.rules = self.shared.rules();
            self.resources.clear();
            self.known_scopes.clear();
            self.flags.clear();
            self.values.clear();
        }
    }

    /// Decides about the resources and scopes of a request, mostly from memory: SDKs repeat the same bytes in every
    /// batch.
    pub(super) fn resolve(
        &mut self,
        request: &[u8],
        resources: &[ResourceRecord],
        scopes: &[ScopeRecord],
        forced: Option<EnvironmentId>,
    ) {
        self.resolved.clear();
        for record in resources {
            let key = (record.hash, forced);
            let known = self.resources.get(&key).unwrap_or_else(|| {
                let resource = read_resource(&self.shared, &self.rules, record.bytes.of(request), forced);
                self.resources.insert(key, resource.clone());
                resource
            });
            self.resolved.push(Known::new(known));
        }
        self.scopes.clear();
        for record in scopes {
            let known = self.known_scopes.get(&record.hash).unwrap_or_else(|| {
                let scope = read_scope(&self.shared, &self.rules, *record, request);
                self.known_scopes.insert(record.hash, scope.clone());
                scope
            });
            self.scopes.push(Known::new(known));
        }
    }

    /// Notes in a window what the resource and the scope of one of its items say.
    #[inline]
    pub(super) fn note_facts(&mut self, home: Home, window: usize) {
        let (resource, scope) = (home.resource as usize, home.scope as usize);
        if self.resolved[resource].noted_in != window || self.scopes[scope].noted_in != window {
            self.note_new_facts(home, window);
        }
    }

    #[cold]
    fn note_new_facts(&mut self, home: Home, window: usize) {
        let resource = &mut self.resolved[home.resource as usize];
        // Data points can name another service than their resource, which then says nothing of it.
        let is_own = resource.of.environment == Some(home.environment);
        let said = [
            resource.say_in(window).map(|said| (Told::Resource, said)),
            self.scopes[home.scope as usize].say_in(window).map(|said| (Told::Scope, said)),
        ];
        for (told, said) in said.into_iter().flatten().filter(|_| is_own) {
            self.note(home, window, told, Some(&said));
        }
    }

    /// Notes in a window what was said of a service.
    pub(super) fn note(
        &mut self,
        home: Home,
        window: usize,
        told: Told,
        said: Option<&(u64, Arc<Statement>)>,
    ) {
        let Some((hash, statement)) = said else { return };
        let subject = (home.environment, home.service, told);
        let statements = self.windows[window].1.facts.entry(subject).or_default();
        statements.add(*hash, 1, self.shared.limits.facts_per_service, || statement.clone());
    }

    /// Where an item goes: `None` when its resource names no environment or too many services are known, which is
    /// counted here.
    pub(super) fn home(&mut self, resource: Resource, (at, scope): (u32, u32)) -> Option<Home> {
        match (resource.environment, resource.service) {
            (Some(environment), Some(service)) => {
                let Resource { instance, created_ns, warm_from_ns, .. } = resource;
                Some(Home { environment, service, instance, created_ns, warm_from_ns, resource: at, scope })
            }
            (None, Some(service)) => {
                *self.tally.unassigned.entry(service).or_default() += 1;
                None
            }
            (_, None) => {
                self.tally.unnamed += 1;
                None
            }
        }
    }

    /// The open window for an event, or `None` when it is late, which is counted here.
    pub(super) fn window(&mut self, now_ns: u64, environment: EnvironmentId, time_ns: u64) -> Option<usize> {
        self.note_progress(environment, now_ns, time_ns);
        let at = self.window_of(self.shared.grid.index(time_ns));
        if at.is_none() {
            *self.tally.late.entry(environment).or_default() += 1;
        }
        at
    }

    /// The open window of an index, or `None` when it is sealed.
    #[inline]
    pub(super) fn window_of(&mut self, index: u64) -> Option<usize> {
        if let Some(at) = self.windows.iter().rposition(|(known, _)| *known == index) {
            return Some(at);
        }
        let late = self.shared.grid.end_ns(index) <= self.shared.sealed_through_ns.load(Ordering::Relaxed);
        if late || !self.make_window_room(index) {
            return None;
        }
        self.windows.push((index, OpenWindow::default()));
        Some(self.windows.len() - 1)
    }

    /// At the bound, a newer window closes the oldest one early and an older one is late.
    fn make_window_room(&mut self, index: u64) -> bool {
        if self.windows.len() < self.shared.limits.open_windows {
            return true;
        }
        self.tally.hits.count(Limit::OpenWindows);
        let oldest = self.windows.iter().map(|(known, _)| *known).min().unwrap_or(index);
        if index < oldest || self.windows.len() >= 2 * self.shared.limits.open_windows {
            return false;
        }
        self.shared.sealed_through_ns.fetch_max(self.shared.grid.end_ns(oldest), Ordering::Relaxed);
        true
    }

    fn note_progress(&mut self, environment: EnvironmentId, now_ns: u64, time_ns: u64) {
        let at = usize::from(environment.0);
        if at >= self.progress.len() {
            self.progress.resize(at + 1, None);
        }
        // A clock that is ahead must not make everybody else late.
        let seen = Progress { watermark_ns: time_ns.min(now_ns), arrived_ns: now_ns };
        let slot = &mut self.progress[at];
        *slot = Some(slot.map_or(seen, |known| known.merge(seen)));
    }

    /// Why an event cannot have been when it says, by the clock at its arrival.
    pub(super) fn refuse_time(&self, now_ns: u64, time_ns: u64) -> Option<Refusal> {
        self.shared.limits.refuse_time(now_ns, time_ns)
    }

    /// An item's number, from memory or from the shared table; `hash` is of `name` and `form`.
    pub(super) fn item(
        &mut self,
        home: Home,
        kind: ItemKind,
        hash: u64,
        name: impl FnOnce() -> (String, String),
    ) -> Option<ItemId> {
        let scope = &self.scopes[home.scope as usize].of;
        let key = (home.service, kind, hash ^ scope.hash);
        if let Some(known) = self.items.get(&key) {
            return known;
        }
        let (name, form) = name();
        let mut names = self.shared.names();
        let id = names.item(home.service, kind, &name, &form);
        if let Some(id) = id {
            names.carry(Carried::Item(id), &scope.name);
        }
        drop(names);
        self.items.insert(key, id);
        id
    }

    /// The items of a shape's attribute keys, from memory or from the shared table. `metric` is that of the points that have
    /// them, else empty.
    pub(super) fn shape<'a>(
        &mut self,
        home: Home,
        kind: ItemKind,
        hash: u64,
        metric: &str,
        attributes: impl Iterator<Item = (&'a str, AnyValue<'a>)>,
    ) -> Arc<[ItemId]> {
        let (service, scope) = (home.service, &self.scopes[home.scope as usize].of);
        let key = (service, kind, hash ^ scope.hash);
        if let Some(known) = self.shapes.get(&key) {
            return known;
        }
        let mut names = self.shared.names();
        let items: Vec<ItemId> = attributes
            .filter_map(|(key, value)| {
                names.item(service, kind, &attribute_name(metric, key), &type_form(&value))
            })
            .collect();
        items.iter().for_each(|item| names.carry(Carried::Item(*item), &scope.name));
        drop(names);
        self.remember(key, items)
    }

    /// Keeps the items of a shape, resource or scope, each once.
    pub(super) fn remember(
        &mut self,
        key: (ServiceId, ItemKind, u64),
        mut items: Vec<ItemId>,
    ) -> Arc<[ItemId]> {
        items.sort_unstable();
        items.dedup();
        let items: Arc<[ItemId]> = items.into();
        self.shapes.insert(key, items.clone());
        items
    }
}

/// What an attribute is called as an item.
pub(super) fn attribute_name<'a>(metric: &str, key: &'a str) -> Cow<'a, str> {
    match metric {
        "" => Cow::Borrowed(key),
        _ => Cow::Owned(format!("{metric}[{key}]")),
    }
}

/// The form of an attribute: its value's type, where that can be told.
pub(super) fn type_form(value: &AnyValue<'_>) -> String {
    match value.type_word() {
        "" => String::new(),
        word => form::write(&[(Field::Type, word)]),
    }
}

fn read_resource(
    shared: &Shared,
    rules: &Rules,
    bytes: &[u8],
    forced: Option<EnvironmentId>,
) -> (Resource, Said) {
    let attributes: Vec<(&str, AnyValue<'_>)> = crate::wire::resource_attributes(bytes).collect();
    let text = |key: &str| {
        attributes.iter().find(|(known, _)| *known == key).and_then(|(_, value)| match value {
            AnyValue::Str(text) => Some(*text),
            _ => None,
        })
    };
    let named = if forced.is_none() { rules.environments.resolve(text) } else { None };
    let mut names = shared.names();
    let environment = forced.or_else(|| named.and_then(|name| names.environment(&name)));
    let name = text("service.name").filter(|name| !name.is_empty()).unwrap_or(UNKNOWN_SERVICE);
    let service = names.service(text("service.namespace").unwrap_or(""), name);
    drop(names);
    let instance = text("service.instance.id").or_else(|| text("k8s.pod.uid")).filter(|id| !id.is_empty());
    let instance = instance.map_or(InstanceId::UNNAMED, instance_id);
    let created_ns = text("process.creation.time").and_then(time_ns);
    let origin = service.map(|service| Origin { service, instance, created_ns });
    let warm_from_ns = environment.zip(origin).map(|(environment, origin)| {
        shared.instances().warm_from_ns(environment, origin).unwrap_or(u64::MAX)
    });
    let facts = attributes.iter().filter(|(key, _)| rules.facts.keep(key));
    let facts = facts.map(|(key, value)| (*key, value.to_text()));
    let warm_from_ns = warm_from_ns.unwrap_or(0);
    let resource = Resource { environment, service, instance, created_ns, warm_from_ns };
    (resource, said(shared.statement(rules, instance, facts)))
}

fn read_scope(shared: &Shared, rules: &Rules, record: ScopeRecord, request: &[u8]) -> (Scope, Said) {
    let (name, version) = scope_name_version(record.bytes.of(request));
    let key = format!("otel.scope[{name}]");
    let fact = (!name.is_empty() && rules.facts.keep(&key)).then(|| (key.as_str(), version.to_owned()));
    let scope = Scope { hash: record.hash, name: shared.limits.cut(name).into() };
    (scope, said(shared.statement(rules, InstanceId::UNNAMED, fact)))
}

impl Shared {
    /// What was said, as it may be kept.
    pub(super) fn statement<'t>(
        &self,
        rules: &Rules,
        instance: InstanceId,
        said: impl IntoIterator<Item = (&'t str, String)>,
    ) -> Statement {
        let kept = |key: &str, value| rules.redaction.kept(&self.keys.values, key, value);
        Statement::new(instance, said, kept, &self.limits)
    }
}

/// A statement with its hash, unless it is empty.
pub(super) fn said(statement: Statement) -> Said {
    (!statement.facts.is_empty()).then(|| (statement.hash(), Arc::new(statement)))
}

/// RFC 3339 → nanoseconds since the epoch.
fn time_ns(text: &str) -> Option<u64> {
    u64::try_from(text.parse::<jiff::Timestamp>().ok()?.as_nanosecond()).ok()
}

/// The same instance has the same number on every machine and run.
fn instance_id(text: &str) -> InstanceId {
    InstanceId(xxhash_rust::xxh3::xxh3_64(text.as_bytes()).clamp(1, u64::MAX - 1))
}
