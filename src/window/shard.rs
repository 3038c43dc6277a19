//! A shard: requests in, open windows. Hot plane.
//!
//! A shard owns its windows and caches (`&mut`, no locks) and asks the shared [`Names`] only about names that it
//! has not met. In the steady state recording a span allocates nothing, takes no lock and reads no clock.

use super::open::OpenWindow;
use super::warmup::{Instances, Origin};
use super::{Grid, Progress};
use crate::model::{
    EnvironmentId, EnvironmentRules, InstanceId, ItemId, ItemKind, Limit, Limits, LimitsHit, Names, SeriesId,
    ServiceId,
};
use crate::wire::any_value::AnyValue;
use crate::wire::{LogBatch, Malformed, MetricBatch, Refusal, Refusals, ResourceRecord, Signal, TraceBatch};
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many entries a shard's caches hold; a full cache is emptied and fills again from the names.
const CACHE_ENTRIES: usize = 65_536;

/// What a resource without `service.name` is called (OpenTelemetry semantic conventions, "Service").
pub const UNKNOWN_SERVICE: &str = "unknown_service";

/// What all shards share.
#[derive(Debug)]
pub struct Shared {
    /// Names and numbers.
    names: Mutex<Names>,
    /// How environments are read.
    rules: Mutex<Arc<EnvironmentRules>>,
    /// Since when instances are warm. Never locked together with the names.
    instances: Mutex<Instances>,
    /// Rises when what was decided about resources may be decided otherwise.
    edition: AtomicU64,
    /// The bounds.
    pub limits: Limits,
    /// The windows' boundaries.
    pub grid: Grid,
    /// Hashes names for the shards' caches; seeded by the process, so that nobody outside can aim at a collision.
    pub(super) hasher: foldhash::fast::RandomState,
    /// Event time up to which windows are sealed: what is older is late.
    pub sealed_through_ns: AtomicU64,
}

impl Shared {
    /// Nothing met, nothing sealed.
    pub fn new(rules: EnvironmentRules, instances: Instances, limits: Limits, grid: Grid) -> Shared {
        Shared {
            names: Mutex::new(Names::new(limits.clone())),
            rules: Mutex::new(Arc::new(rules)),
            instances: Mutex::new(instances),
            edition: AtomicU64::new(0),
            limits,
            grid,
            hasher: foldhash::fast::RandomState::default(),
            sealed_through_ns: AtomicU64::new(0),
        }
    }

    /// The names. Held for a look-up or two, never across I/O.
    pub fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Other rules from now on; what was recorded stays where it is.
    pub fn set_rules(&self, rules: EnvironmentRules) {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
        self.decide_again();
    }

    /// The instances that have been met.
    pub fn instances(&self) -> MutexGuard<'_, Instances> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has shards decide about resources anew.
    pub fn decide_again(&self) {
        self.edition.fetch_add(1, Ordering::Release);
    }

    fn rules(&self) -> Arc<EnvironmentRules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What was taken in and what was set aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Spans accepted.
    pub spans: u64,
    /// Metric data points accepted.
    pub metric_points: u64,
    /// Log records accepted.
    pub log_records: u64,
    /// Items refused, by reason.
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

impl Tally {
    /// Adds another shard's tally.
    pub fn merge(&mut self, other: &Tally) {
        self.spans += other.spans;
        self.metric_points += other.metric_points;
        self.log_records += other.log_records;
        self.unnamed += other.unnamed;
        self.hits.merge(&other.hits);
        other.refused.iter().for_each(|(reason, n)| *self.refused.entry(reason).or_default() += n);
        other.late.iter().for_each(|(env, n)| *self.late.entry(*env).or_default() += n);
        other.unassigned.iter().for_each(|(service, n)| *self.unassigned.entry(*service).or_default() += n);
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
}

impl Home {
    pub fn origin(self) -> Origin {
        Origin { service: self.service, instance: self.instance, created_ns: self.created_ns }
    }
}

/// One lane of the hot plane.
#[derive(Debug)]
pub struct Shard {
    pub(super) shared: Arc<Shared>,
    edition: u64,
    pub(super) traces: TraceBatch,
    pub(super) metrics: MetricBatch,
    pub(super) logs: LogBatch,
    resources: HashMap<(u64, Option<EnvironmentId>), Resource>,
    pub(super) resolved: Vec<Resource>,
    pub(super) operations: HashMap<(ServiceId, u64), SeriesId>,
    pub(super) shapes: HashMap<(ServiceId, ItemKind, u64), Arc<[ItemId]>>,
    pub(super) items: HashMap<(ServiceId, ItemKind, u64), Option<ItemId>>,
    pub(super) windows: Vec<(u64, OpenWindow)>,
    progress: Vec<Option<Progress>>,
    pub(super) tally: Tally,
    pub(super) name: String,
}

impl Shard {
    /// An empty shard.
    pub fn new(shared: Arc<Shared>) -> Shard {
        Shard {
            shared,
            edition: 0,
            traces: TraceBatch::default(),
            metrics: MetricBatch::default(),
            logs: LogBatch::default(),
            resources: HashMap::new(),
            resolved: Vec::new(),
            operations: HashMap::new(),
            shapes: HashMap::new(),
            items: HashMap::new(),
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

    /// Takes out the windows that end at or before `through_ns`.
    pub fn take_through(&mut self, through_ns: u64) -> Vec<(u64, OpenWindow)> {
        let grid = self.shared.grid;
        self.windows.extract_if(.., |(index, _)| grid.end_ns(*index) <= through_ns).collect()
    }

    /// The open windows' indices.
    pub fn open_windows(&self) -> impl Iterator<Item = u64> + '_ {
        self.windows.iter().map(|(index, _)| *index)
    }

    fn follow_rules(&mut self) {
        let edition = self.shared.edition.load(Ordering::Acquire);
        if edition != self.edition {
            self.edition = edition;
            self.resources.clear();
        }
    }

    /// Decides about the resources of a request, mostly from memory: SDKs repeat the same bytes in every batch.
    pub(super) fn resolve(
        &mut self,
        request: &[u8],
        records: impl Iterator<Item = ResourceRecord>,
        forced: Option<EnvironmentId>,
    ) {
        self.resolved.clear();
        for record in records {
            let key = (record.hash, forced);
            let resource = match self.resources.get(&key) {
                Some(known) => *known,
                None => {
                    let resource = read_resource(&self.shared, record.bytes.of(request), forced);
                    make_room(&mut self.resources);
                    self.resources.insert(key, resource);
                    resource
                }
            };
            self.resolved.push(resource);
        }
    }

    /// Where an item goes: `None` when its resource names no environment or too many services are known, which is
    /// counted here.
    pub(super) fn home(&mut self, resource: Resource, items: u64) -> Option<Home> {
        match (resource.environment, resource.service) {
            (Some(environment), Some(service)) => {
                let Resource { instance, created_ns, warm_from_ns, .. } = resource;
                Some(Home { environment, service, instance, created_ns, warm_from_ns })
            }
            (None, Some(service)) => {
                *self.tally.unassigned.entry(service).or_default() += items;
                None
            }
            (_, None) => {
                self.tally.unnamed += items;
                None
            }
        }
    }

    /// The open window for an event, or `None` when it is late, which is counted here.
    pub(super) fn window(&mut self, now_ns: u64, environment: EnvironmentId, time_ns: u64) -> Option<usize> {
        self.note_progress(environment, now_ns, time_ns);
        let index = self.shared.grid.index(time_ns);
        if let Some(at) = self.windows.iter().rposition(|(known, _)| *known == index) {
            return Some(at);
        }
        let late = self.shared.grid.end_ns(index) <= self.shared.sealed_through_ns.load(Ordering::Relaxed);
        if late || !self.make_window_room(index) {
            *self.tally.late.entry(environment).or_default() += 1;
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
        service: ServiceId,
        kind: ItemKind,
        hash: u64,
        name: impl FnOnce() -> (String, String),
    ) -> Option<ItemId> {
        let key = (service, kind, hash);
        if let Some(known) = self.items.get(&key) {
            return *known;
        }
        let (name, form) = name();
        let id = self.shared.names().item(service, kind, &name, &form);
        make_room(&mut self.items);
        self.items.insert(key, id);
        id
    }

    /// The items of a shape's attribute keys, from memory or from the shared table.
    pub(super) fn shape<'a>(
        &mut self,
        service: ServiceId,
        kind: ItemKind,
        hash: u64,
        prefix: &str,
        attributes: impl Iterator<Item = (&'a str, AnyValue<'a>)>,
    ) -> Arc<[ItemId]> {
        let key = (service, kind, hash);
        if let Some(known) = self.shapes.get(&key) {
            return known.clone();
        }
        let mut names = self.shared.names();
        let mut items: Vec<ItemId> = attributes
            .filter_map(|(key, _)| match prefix {
                "" => names.item(service, kind, key, ""),
                _ => names.item(service, kind, &format!("{prefix}[{key}]"), ""),
            })
            .collect();
        drop(names);
        items.sort_unstable();
        items.dedup();
        let items: Arc<[ItemId]> = items.into();
        make_room(&mut self.shapes);
        self.shapes.insert(key, items.clone());
        items
    }
}

/// Empties a cache that is full. Costs a refill from the shared table, and only under a flood of new names.
pub(super) fn make_room<K, V>(cache: &mut HashMap<K, V>) {
    if cache.len() >= CACHE_ENTRIES {
        cache.clear();
    }
}

/// Resource attributes that say what a service is made of and where it runs; their values are compared.
const FACTS: [&str; 26] = [
    "service.version",
    "container.image.name",
    "container.image.tags",
    "container.image.repo_digests",
    "vcs.ref.head.name",
    "vcs.ref.head.revision",
    "vcs.repository.url.full",
    "telemetry.sdk.name",
    "telemetry.sdk.language",
    "telemetry.sdk.version",
    "telemetry.distro.name",
    "telemetry.distro.version",
    "process.runtime.name",
    "process.runtime.version",
    "os.type",
    "os.version",
    "host.arch",
    "host.type",
    "cloud.provider",
    "cloud.region",
    "cloud.platform",
    "k8s.cluster.name",
    "k8s.namespace.name",
    "k8s.deployment.name",
    "faas.name",
    "faas.version",
];

fn read_resource(shared: &Shared, bytes: &[u8], forced: Option<EnvironmentId>) -> Resource {
    let attributes: Vec<(&str, AnyValue<'_>)> = crate::wire::resource_attributes(bytes).collect();
    let text = |key: &str| {
        attributes.iter().find(|(known, _)| *known == key).and_then(|(_, value)| match value {
            AnyValue::Str(text) => Some(*text),
            _ => None,
        })
    };
    let named = if forced.is_none() { shared.rules().resolve(text) } else { None };
    let mut names = shared.names();
    let environment = forced.or_else(|| named.and_then(|name| names.environment(&name)));
    let name = text("service.name").filter(|name| !name.is_empty()).unwrap_or(UNKNOWN_SERVICE);
    let service = names.service(text("service.namespace").unwrap_or(""), name);
    if let (Some(service), Some(environment)) = (service, environment) {
        for (key, value) in attributes.iter().filter(|(key, _)| FACTS.contains(key)) {
            names.fact(service, environment, key, &value.to_text());
        }
    }
    drop(names);
    let instance = text("service.instance.id").or_else(|| text("k8s.pod.uid")).filter(|id| !id.is_empty());
    let instance = instance.map_or(InstanceId::UNNAMED, instance_id);
    let created_ns = text("process.creation.time").and_then(time_ns);
    let origin = service.map(|service| Origin { service, instance, created_ns });
    let warm_from_ns = environment.zip(origin).map(|(environment, origin)| {
        shared.instances().warm_from_ns(environment, origin).unwrap_or(u64::MAX)
    });
    Resource { environment, service, instance, created_ns, warm_from_ns: warm_from_ns.unwrap_or(0) }
}

/// RFC 3339 → nanoseconds since the epoch.
fn time_ns(text: &str) -> Option<u64> {
    u64::try_from(text.parse::<jiff::Timestamp>().ok()?.as_nanosecond()).ok()
}

/// The same instance has the same number on every machine and run.
fn instance_id(text: &str) -> InstanceId {
    InstanceId(xxhash_rust::xxh3::xxh3_64(text.as_bytes()).clamp(1, u64::MAX - 1))
}
