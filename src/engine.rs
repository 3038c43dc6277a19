//! The sans-I/O machine: `observe(now, …)`, `advance(now) → events`, `next_deadline()`.
//!
//! [`Ingest`] is the door: any thread records a request into one of its shards, each behind a lock that is taken once
//! a request. [`Engine`] is the cold side, owned by one task: it seals what is complete, judges, and says what changed.
//! Neither knows a clock, a socket or a file; time is an argument, so the same engine runs live, on files and in tests.

mod baselines;
mod budgets;
pub mod checkpoint;
pub mod releases;
pub mod snapshot;
pub mod tier;

use self::baselines::Baseline;
pub use self::baselines::EvidenceOf;
use self::releases::Releases;
use self::tier::Made;
use crate::catalog::Catalog;
use crate::judge::catalog_report::{self, CatalogReport, Holding};
use crate::judge::curves::{self, Curves, OperationName};
use crate::judge::infer::infer;
use crate::judge::slo::Budgets;
use crate::judge::{Calibration, Comparison, Context, Judgement, Policy, Report, Session, Verdict, compare};
use crate::model::{
    EnvironmentId, EnvironmentRules, InstanceId, ItemId, KnownNames, Limits, LimitsHit, Names, SeriesKey,
};
use crate::sketch::LatencySketch;
use crate::window::open::OpenWindow;
use crate::window::parents::ParentSearch;
use crate::window::shard::{Keys, Rules, Tally};
use crate::window::sources::PartCounts;
use crate::window::streams::StreamHistory;
use crate::window::watermark::complete_through;
use crate::window::{Grid, Instances, Patience, Progress, SealedWindow, Shard, Shared};
use crate::wire::{Malformed, Refusals, Signal};
use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

/// Which pairs of environments are compared.
#[derive(Clone, Debug, PartialEq)]
pub enum Comparisons {
    /// The two environments, once exactly two have been seen; the first by name is the baseline unless one is called
    /// like production.
    Auto,
    /// These.
    Named(Vec<Comparison>),
}

/// What an engine does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How environments are read.
    pub environments: EnvironmentRules,
    /// Nanoseconds from one window boundary to the next.
    pub window_ns: u64,
    /// How long to wait for late data.
    pub patience: Patience,
    /// How long what a new instance does is no evidence, nanoseconds; zero: it always is.
    pub warmup_ns: u64,
    /// How many sealed windows a judgement looks back.
    pub period_windows: usize,
    /// Which pairs.
    pub comparisons: Comparisons,
    /// Tolerances and waivers.
    pub policy: Policy,
    /// Bounds.
    pub limits: Limits,
    /// Streams that began before this time count from their second point; nanoseconds since the epoch.
    pub observed_from_ns: u64,
    /// Whether windows are judged here or by another agent.
    pub tier: Tier,
}

/// Where windows are judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tier {
    /// Here, with what first tiers send.
    #[default]
    Judging,
    /// By the agent that parts of them are sent to.
    First,
}

impl Plan {
    /// How long an instance is new here. A first tier sees only a part of it and leaves the decision to who judges.
    fn new_for_ns(&self) -> u64 {
        match self.tier {
            Tier::Judging => self.warmup_ns,
            Tier::First => u64::MAX,
        }
    }

    /// What hashes are keyed with: the configured key, or one of the process.
    fn keys(&self) -> Keys {
        self.policy.redaction.key.as_ref().map_or_else(Keys::random, Keys::of)
    }
}

/// The door: requests in, from any thread.
#[derive(Debug)]
pub struct Ingest {
    shared: Arc<Shared>,
    shards: Vec<Mutex<Shard>>,
    turn: AtomicUsize,
}

impl Ingest {
    /// Records one request of protobuf bytes that arrived at `now_ns`, whole or not at all. `forced` is the
    /// environment when the caller knows better than the resources.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes are not such a request.
    pub fn observe(
        &self,
        now_ns: u64,
        forced: Option<EnvironmentId>,
        signal: Signal,
        request: &[u8],
    ) -> Result<Refusals, Malformed> {
        self.free_shard().observe(now_ns, forced, signal, request)
    }

    /// The number of an environment, for `forced`; `None` when there are too many.
    pub fn environment(&self, name: &str) -> Option<EnvironmentId> {
        self.shared.names().environment(name)
    }

    /// A shard that nobody records into now, or the next in turn.
    fn free_shard(&self) -> MutexGuard<'_, Shard> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        for step in 0..self.shards.len() {
            match self.shards[(first + step) % self.shards.len()].try_lock() {
                Ok(shard) => return shard,
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        lock(&self.shards[first % self.shards.len()])
    }

    /// What was taken in and set aside, over all shards.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        self.shards.iter().for_each(|shard| tally.merge(lock(shard).tally()));
        tally
    }

    /// How often each bound was reached while recording, over all shards.
    pub fn limits_hit(&self) -> LimitsHit {
        let mut hits = self.tally().hits;
        hits.merge(self.shared.names().limits_hit());
        hits
    }

    /// What became of parts of windows, those that came and those that were made.
    pub fn parts(&self) -> PartCounts {
        self.shared.sources().counts()
    }

    fn progress(&self) -> BTreeMap<EnvironmentId, Progress> {
        let mut all: BTreeMap<EnvironmentId, Progress> = BTreeMap::new();
        for shard in &self.shards {
            for (env, progress) in lock(shard).progress() {
                all.entry(env).and_modify(|known| *known = known.merge(progress)).or_insert(progress);
            }
        }
        all
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What happened in [`Engine::advance`].
#[derive(Clone, Debug)]
pub enum Event {
    /// Windows were sealed, rising; what is in those that are still looked back at, [`Engine::endpoints`] tells.
    Sealed(Vec<u64>),
    /// A comparison was judged.
    Judged(Box<Judgement>),
    /// A comparison's verdict is another one than before.
    Changed {
        /// The comparison.
        comparison: String,
        /// What it was; `None` the first time.
        from: Option<Verdict>,
        /// What it is.
        to: Verdict,
        /// The report's summary.
        summary: String,
    },
}

/// What one series did in one environment and window.
#[derive(Clone, Debug)]
pub struct Endpoint<'a> {
    /// The environment.
    pub environment: &'a str,
    /// The series.
    pub series: &'a SeriesKey,
    /// The window's first nanosecond.
    pub start_ns: u64,
    /// The first nanosecond after the window.
    pub end_ns: u64,
    /// Requests that did not fail, by adjusted counts.
    pub calls_ok: u64,
    /// Requests that failed, by adjusted counts.
    pub calls_error: u64,
    /// Durations.
    pub latency: Cow<'a, LatencySketch>,
}

/// Seals, judges, remembers.
#[derive(Debug)]
pub struct Engine {
    plan: Plan,
    ingest: Arc<Ingest>,
    /// What checkpoints took out of windows that are open still, merged.
    taken: BTreeMap<u64, OpenWindow>,
    ring: VecDeque<SealedWindow>,
    history: StreamHistory,
    parents: ParentSearch,
    hits: LimitsHit,
    /// Spans of windows that were older than any judgement looks back when they were sealed, by environment.
    too_old: BTreeMap<EnvironmentId, u64>,
    /// The newest window when each environment was first noticed, by number.
    environments_met: Vec<u64>,
    reports: BTreeMap<String, Arc<Report>>,
    sessions: BTreeMap<String, Session>,
    budgets: BTreeMap<String, Budgets>,
    releases: Releases,
    /// Snapshots that comparisons have as their baseline, by its name.
    baselines: BTreeMap<String, Baseline>,
    /// Whether the ring began with a snapshot, whose windows others may fall into.
    has_snapshot: bool,
    /// What a first tier has made for the second.
    made: Made,
}

/// Which windows a judgement looks at, beside the period, and after how many a session of looks ends.
#[derive(Clone, Copy)]
struct Scope {
    first_window: u64,
    session_windows: u64,
}

impl Engine {
    /// An engine that spreads requests over this many shards, one at least.
    pub fn new(plan: Plan, shards: usize) -> Engine {
        let instances = Instances::new(plan.new_for_ns(), plan.observed_from_ns, plan.limits.instances);
        let (names, keys) = (Names::new(plan.limits.clone()), plan.keys());
        Engine::with(plan, shards, names, instances, keys)
    }

    fn with(plan: Plan, shards: usize, names: Names, instances: Instances, keys: Keys) -> Engine {
        let grid = Grid::new(plan.window_ns);
        let shared = Arc::new(Shared::new(rules_of(&plan), names, instances, grid, keys));
        let shards = (0..shards.max(1)).map(|_| Mutex::new(Shard::new(shared.clone()))).collect();
        let ingest = Arc::new(Ingest { shared, shards, turn: AtomicUsize::new(0) });
        let history = StreamHistory::new(plan.limits.metric_streams);
        let parents = ParentSearch::new(plan.window_ns, plan.observed_from_ns);
        let (reports, sessions, budgets) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Engine {
            plan,
            ingest,
            taken: BTreeMap::new(),
            ring: VecDeque::new(),
            history,
            parents,
            hits: LimitsHit::default(),
            too_old: BTreeMap::new(),
            environments_met: Vec::new(),
            reports,
            sessions,
            releases: Releases::default(),
            budgets,
            baselines: BTreeMap::new(),
            has_snapshot: false,
            made: Made::new(),
        }
    }

    /// The door to this engine.
    pub fn ingest(&self) -> Arc<Ingest> {
        self.ingest.clone()
    }

    /// Other rules from now on. Windows, streams and names stay; the grid, the limits and the tier are those of the start.
    pub fn replan(&mut self, plan: Plan) {
        let Plan { window_ns, limits, observed_from_ns, tier, .. } = self.plan.clone();
        let now_ns = plan.observed_from_ns;
        let before = self.comparisons();
        self.plan = Plan { window_ns, limits, observed_from_ns, tier, ..plan };
        self.ingest.shared.instances().change(self.plan.new_for_ns(), now_ns);
        self.ingest.shared.set_rules(rules_of(&self.plan));
        self.forget_comparisons();
        // What was shown about others says nothing about these.
        let now = self.comparisons();
        let of = |all: &'_ [Comparison], name: &str| all.iter().find(|one| one.name == name).cloned();
        self.sessions.retain(|name, _| of(&before, name) == of(&now, name));
    }

    /// Drops what is kept of comparisons that are not made any more.
    fn forget_comparisons(&mut self) {
        if self.plan.policy.slos.is_empty() {
            self.budgets.clear();
        }
        if let Comparisons::Named(named) = &self.plan.comparisons {
            let still = |name: &String| named.iter().any(|comparison| comparison.name == *name);
            self.sessions.retain(|name, _| still(name));
            self.reports.retain(|name, _| still(name));
            self.budgets.retain(|name, _| still(name));
        }
    }

    /// Seals what is complete at `now_ns`, judges if anything was sealed, and says what happened. `generated_at` is
    /// `now_ns` as RFC 3339.
    pub fn advance(&mut self, now_ns: u64, generated_at: &str) -> Vec<Event> {
        let mut progress: Vec<Progress> = self.ingest.progress().into_values().collect();
        progress.extend(self.ingest.shared.sources().progress(now_ns, self.plan.patience));
        match complete_through(now_ns, self.plan.patience, &progress) {
            Some(through_ns) => self.seal_and_judge(through_ns, now_ns, generated_at),
            None => Vec::new(),
        }
    }

    /// Seals everything that has arrived, complete or not, and judges: the end of recorded input, or of the agent.
    pub fn finish(&mut self, now_ns: u64, generated_at: &str) -> Vec<Event> {
        self.seal_and_judge(u64::MAX, now_ns, generated_at)
    }

    /// When [`Engine::advance`] has something to do at the latest, nanoseconds since the epoch; `None` while nothing
    /// is open.
    pub fn next_deadline(&self, now_ns: u64) -> Option<u64> {
        let open = self
            .ingest
            .shards
            .iter()
            .flat_map(|shard| lock(shard).open_windows().collect::<Vec<_>>())
            .min()?;
        let end_ns = self.ingest.shared.grid.end_ns(open);
        let patience = self.plan.patience;
        Some(
            end_ns
                .saturating_add(patience.lateness_ns)
                .clamp(now_ns, now_ns.saturating_add(patience.idle_ns)),
        )
    }

    /// The latest report of each comparison.
    pub fn reports(&self) -> impl Iterator<Item = &Arc<Report>> + '_ {
        self.reports.values()
    }

    /// The sealed windows that a judgement looks at, oldest first.
    pub fn windows(&self) -> impl Iterator<Item = &SealedWindow> + '_ {
        self.ring.iter()
    }

    /// The distributions of one operation in the comparison of this name, by the windows that are judged; `None` when there
    /// is no such comparison or operation. `now_ns` and `generated_at` are as in [`Engine::advance`].
    pub fn curves(
        &self,
        comparison: &str,
        name: OperationName<'_>,
        now_ns: u64,
        generated_at: &str,
    ) -> Option<Curves> {
        let comparison = self.comparisons().into_iter().find(|known| known.name == comparison)?;
        let found = self.in_context(&comparison, self.all(), (now_ns, generated_at), |context| {
            curves::of_operation(&context, name)
        });
        let judged = self.reports.get(&comparison.name).and_then(|report| report.operation(name));
        let d = judged.and_then(|(_, operation)| operation.latency.ks).map(|ks| ks.d);
        found.map(|curves| Curves { d, ..curves })
    }

    /// The share of expected telemetry that a service must have.
    pub fn coverage_tolerance(&self, service: &str) -> f64 {
        self.plan.policy.of(service, "").tolerances.coverage
    }

    /// Holds environments to a catalog, by all windows that are sealed.
    pub fn hold(
        &self,
        catalog: &Catalog,
        environments: Vec<EnvironmentId>,
        now_ns: u64,
        generated_at: &str,
    ) -> CatalogReport {
        let mut tally = self.ingest.tally();
        tally.hits.merge(&self.hits);
        catalog_report::hold(&Holding {
            catalog,
            policy: &self.plan.policy,
            names: &self.names(),
            tally: &tally,
            windows: self.windows().collect(),
            environments,
            now_ns,
            generated_at: generated_at.to_owned(),
        })
    }

    /// The catalog that expects what was seen.
    pub fn infer(&self) -> Catalog {
        infer(&self.names(), &self.windows().collect::<Vec<_>>())
    }

    /// The names behind the numbers in the windows.
    pub fn names(&self) -> KnownNames {
        self.ingest.shared.known_names()
    }

    fn seal_and_judge(&mut self, through_ns: u64, now_ns: u64, generated_at: &str) -> Vec<Event> {
        if self.plan.tier == Tier::First {
            return self.hand_over(through_ns);
        }
        let sealed = self.seal(through_ns);
        if sealed.is_empty() && through_ns != u64::MAX {
            return Vec::new();
        }
        let mut events = vec![Event::Sealed(sealed)];
        for comparison in self.comparisons() {
            let judgement = self.judge_again(&comparison, now_ns, generated_at);
            let to = judgement.report.verdict;
            let from = self.reports.get(&comparison.name).map(|report| report.verdict);
            if from != Some(to) {
                let summary = judgement.report.summary.clone();
                events.push(Event::Changed { comparison: comparison.name.clone(), from, to, summary });
            }
            self.reports.insert(comparison.name, judgement.report.clone());
            events.push(Event::Judged(Box::new(judgement)));
        }
        self.judge_releases(now_ns, generated_at);
        events
    }

    /// Judges one comparison of a live agent, which is looked at after every window.
    fn judge_again(&mut self, comparison: &Comparison, now_ns: u64, generated_at: &str) -> Judgement {
        if self.plan.observed_from_ns == 0 {
            return self.judge(comparison, now_ns, generated_at);
        }
        let mut session = self.sessions.remove(&comparison.name).unwrap_or_default();
        let mut judgement = self.judge_in(comparison, self.all(), (now_ns, generated_at), Some(&mut session));
        self.sessions.insert(comparison.name.clone(), session);
        if !self.plan.policy.slos.is_empty() {
            self.spend(comparison, Arc::make_mut(&mut judgement.report));
        }
        judgement
    }

    /// Judges one comparison on the windows sealed so far, as if nobody had looked before.
    pub fn judge(&self, comparison: &Comparison, now_ns: u64, generated_at: &str) -> Judgement {
        self.judge_in(comparison, self.all(), (now_ns, generated_at), None)
    }

    /// The same after the judge has judged the baseline against itself; `None` when the baseline is too short for that.
    pub fn judge_calibrated(
        &self,
        comparison: &Comparison,
        now_ns: u64,
        generated_at: &str,
    ) -> Option<Judgement> {
        self.in_context(comparison, self.all(), (now_ns, generated_at), |context| {
            let calibration = Calibration::of(&context)?;
            Some(compare(&Context { calibration: Some(&calibration), ..context }, None))
        })
    }

    fn judge_in(
        &self,
        comparison: &Comparison,
        scope: Scope,
        now: (u64, &str),
        session: Option<&mut Session>,
    ) -> Judgement {
        self.in_context(comparison, scope, now, |context| compare(&context, session))
    }

    /// All windows of the period.
    fn all(&self) -> Scope {
        Scope { first_window: 0, session_windows: self.plan.period_windows as u64 }
    }

    /// Asks something about one comparison's windows.
    fn in_context<T>(
        &self,
        comparison: &Comparison,
        scope: Scope,
        (now_ns, generated_at): (u64, &str),
        ask: impl FnOnce(Context<'_>) -> T,
    ) -> T {
        let grid = self.ingest.shared.grid;
        let shift = comparison.offset_ns / grid.width_ns();
        let newest = self.ring.back().map_or(0, |window| window.index);
        let within = |window: &&SealedWindow, back: u64| {
            window.index + back <= newest
                && window.index + back >= scope.first_window
                && (window.index + back).saturating_add(self.plan.period_windows as u64) > newest
        };
        let mut tally = self.ingest.tally();
        tally.hits.merge(&self.hits);
        self.too_old.iter().for_each(|(env, n)| *tally.late.entry(*env).or_default() += n);
        ask(Context {
            comparison,
            policy: &self.plan.policy,
            // A copy, so that requests with new names are taken in during a judgement.
            names: &self.names_of(comparison),
            baseline: self
                .windows_of_snapshot(comparison)
                .unwrap_or_else(|| self.ring.iter().filter(|window| within(window, shift)).collect()),
            candidate: self.ring.iter().filter(|window| within(window, 0)).collect(),
            tally: &tally,
            now_ns,
            generated_at: generated_at.to_owned(),
            live: self.plan.observed_from_ns > 0,
            snapshot: self.snapshot_side(comparison),
            shift_windows: shift,
            session_windows: scope.session_windows,
            calibration: None,
        })
    }

    /// The pairs that are compared now.
    pub fn comparisons(&self) -> Vec<Comparison> {
        match &self.plan.comparisons {
            Comparisons::Named(named) => named.clone(),
            Comparisons::Auto => {
                let names = self.ingest.shared.names();
                automatic(names.environments()).into_iter().collect()
            }
        }
    }

    /// Closes all windows that end at or before `through_ns` and takes them out, with the time through which all are closed.
    fn close(&mut self, through_ns: u64) -> (BTreeMap<u64, OpenWindow>, u64) {
        let shared = self.ingest.shared.clone();
        // First nothing older is let in, then what is there is taken out: a window is never sealed twice.
        let through_ns = shared.sealed_through_ns.fetch_max(through_ns, Ordering::AcqRel).max(through_ns);
        let later = self.taken.split_off(&shared.grid.first_open(through_ns));
        let mut open = std::mem::replace(&mut self.taken, later);
        for shard in &self.ingest.clone().shards {
            let taken = lock(shard).take_through(through_ns);
            taken.into_iter().for_each(|(index, window)| self.gather(&mut open, index, window));
        }
        (open, through_ns)
    }

    /// Seals all windows that end at or before `through_ns`, and returns them.
    fn seal(&mut self, through_ns: u64) -> Vec<u64> {
        let shared = self.ingest.shared.clone();
        let (open, through_ns) = self.close(through_ns);
        let observed_from_ns = match self.plan.observed_from_ns {
            // Recorded input is observed from its first window on.
            0 => open.keys().next().map_or(0, |first| shared.grid.start_ns(*first)),
            live => live,
        };
        let sealed: Vec<u64> = open.keys().copied().collect();
        let sealed_before = self.ring.back().map(|window| window.index);
        let mut met_new = false;
        self.make_instance_room();
        for (index, mut window) in open {
            let sampled = std::mem::take(&mut window.traces);
            let history = &mut self.history;
            let mut instances = shared.instances();
            met_new |= instances.meet(&window, &mut self.hits);
            let window = SealedWindow::seal(
                index,
                (shared.grid, &shared.limits),
                window,
                history,
                &instances,
                observed_from_ns,
                &mut self.hits,
            );
            drop(instances);
            let at = self.ring.partition_point(|known| known.index < index);
            match self.ring.get_mut(at).filter(|known| known.index == index) {
                Some(known) if self.has_snapshot => {
                    self.parents.add(index, sampled);
                    known.join(window);
                }
                // Only a shard that was recording while the door closed can bring a window twice.
                Some(_) => self.hits.count(crate::model::Limit::OpenWindows),
                None => {
                    self.parents.add(index, sampled);
                    self.ring.insert(at, window);
                }
            }
        }
        if met_new {
            shared.decide_again();
        }
        self.search_parents(through_ns);
        self.forget(sealed_before);
        self.make_environment_room();
        if through_ns == u64::MAX && self.plan.observed_from_ns == 0 {
            self.history.finish(self.ring.make_contiguous());
        }
        sealed
    }

    /// Adds what a shard has of a window to what the others have.
    fn gather(&mut self, windows: &mut BTreeMap<u64, OpenWindow>, index: u64, window: OpenWindow) {
        match windows.entry(index) {
            Entry::Occupied(known) => {
                known.into_mut().merge(window, &self.ingest.shared.limits, &mut self.hits);
            }
            Entry::Vacant(free) => drop(free.insert(window)),
        }
    }

    /// Looks for the parents of spans in windows around which all are sealed, which is up to `through_ns`. What ends a live
    /// agent ends no trace: there the newest window has nothing after it yet.
    fn search_parents(&mut self, through_ns: u64) {
        let sealed = match (through_ns, self.plan.observed_from_ns) {
            (u64::MAX, 0) => Some(u64::MAX),
            (u64::MAX, _) => self.ring.back().map(|window| window.index),
            _ => self.ingest.shared.grid.index(through_ns).checked_sub(1),
        };
        let Some(sealed) = sealed else { return };
        for (index, found) in self.parents.search(sealed) {
            let at = self.ring.partition_point(|known| known.index < index);
            if let Some(window) = self.ring.get_mut(at).filter(|window| window.index == index) {
                window.children.extend(found);
            }
        }
    }

    /// At the bound, environments that are in no window any more leave their places to others. One that was met lately may be
    /// in windows that are still open.
    fn make_environment_room(&mut self) {
        let shared = &self.ingest.shared;
        let Some(newest) = self.ring.back().map(|window| window.index) else { return };
        let mut names = shared.names();
        self.environments_met.resize(names.environments().len(), newest);
        let oldest = (newest + 1).saturating_sub(self.look_back());
        let there = |environment: EnvironmentId| {
            let items = (environment, ItemId(0))..=(environment, ItemId(u32::MAX));
            let is_in = |window: &SealedWindow| {
                window.cells.has(environment) || window.presence.range(items.clone()).next().is_some()
            };
            self.environments_met[usize::from(environment.0)] >= oldest || self.ring.iter().any(is_in)
        };
        let has_room_again = names.environments_there(there);
        drop(names);
        if has_room_again {
            shared.decide_again();
        }
    }

    /// At the bound, instances that are in no window any more are forgotten.
    fn make_instance_room(&self) {
        let mut instances = self.ingest.shared.instances();
        if !instances.is_full() {
            return;
        }
        let mut alive: BTreeSet<(EnvironmentId, InstanceId)> = BTreeSet::new();
        for ((env, _), cell) in self.ring.iter().flat_map(|window| window.cells.iter()) {
            alive.extend(cell.cell().who().map(|instance| (env, instance)));
        }
        instances.retain(|env, instance| alive.contains(&(env, instance)));
    }

    /// Tells what each series did in each environment in one of the windows that are looked back at, by environment and
    /// series in the order of their names.
    pub fn endpoints(&self, window: u64, tell: &mut dyn FnMut(&Endpoint<'_>)) {
        let Some(window) = self.ring.iter().find(|known| known.index == window) else { return };
        let names = self.names();
        let environment = |id: EnvironmentId| &*names.environments()[usize::from(id.0)];
        let mut cells: Vec<_> = window.cells.iter().collect();
        cells.sort_by_key(|((env, series), _)| (environment(*env), names.series_key(*series)));
        for ((env, series), cell) in cells {
            let cell = cell.cell();
            let (mut latency, mut calls_error) = (Cow::Borrowed(&cell.latency), cell.error_weight);
            if let Some(warming) = &cell.warming {
                latency.to_mut().merge(&warming.latency);
                calls_error += warming.error_weight;
            }
            if latency.n() > 0 {
                tell(&Endpoint {
                    environment: environment(env),
                    series: names.series_key(series),
                    start_ns: window.start_ns,
                    end_ns: window.end_ns,
                    calls_ok: latency.weight() - calls_error.min(latency.weight()),
                    calls_error,
                    latency,
                });
            }
        }
    }

    /// Windows that the longest look back needs, the newest among them.
    fn look_back(&self) -> u64 {
        let offsets = match &self.plan.comparisons {
            Comparisons::Auto => 0,
            Comparisons::Named(named) => {
                named.iter().map(|c| c.offset_ns / self.plan.window_ns.max(1)).max().unwrap_or(0)
            }
        };
        (self.plan.period_windows as u64).saturating_add(offsets)
    }

    /// Drops windows beyond what the longest look back needs. What was never judged, because its window came when it was
    /// too old already, counts as late.
    fn forget(&mut self, sealed_before: Option<u64>) {
        let Some(newest) = self.ring.back().map(|window| window.index) else { return };
        let oldest = (newest + 1).saturating_sub(self.look_back());
        let never_judged = |window: &&SealedWindow| {
            window.index < oldest && sealed_before.is_none_or(|newest| window.index > newest)
        };
        for ((env, _), cell) in self.ring.iter().filter(never_judged).flat_map(|window| window.cells.iter()) {
            *self.too_old.entry(env).or_default() += cell.all_counts().n;
        }
        self.ring.retain(|window| window.index >= oldest);
        self.history.expire(oldest);
    }
}

/// What the hot plane has to know of a plan.
fn rules_of(plan: &Plan) -> Rules {
    Rules {
        environments: plan.environments.clone(),
        facts: plan.policy.facts.keys(),
        values: plan.policy.value_rules(),
        redaction: plan.policy.redaction.clone(),
    }
}

/// Names that a reference environment usually has.
const BASELINE_NAMES: [&str; 6] = ["baseline", "production", "prod", "stable", "primary", "control"];

/// The comparison of exactly two environments.
pub fn automatic(environments: &[Arc<str>]) -> Option<Comparison> {
    let [one, other] = environments else { return None };
    let rank =
        |name: &str| BASELINE_NAMES.iter().position(|known| *known == name).unwrap_or(BASELINE_NAMES.len());
    let (baseline, candidate) = match (rank(one), &**one) <= (rank(other), &**other) {
        true => (one, other),
        false => (other, one),
    };
    Some(Comparison {
        name: format!("{baseline}-vs-{candidate}"),
        baseline: baseline.to_string(),
        candidate: candidate.to_string(),
        services: Vec::new(),
        offset_ns: 0,
        traffic: None,
    })
}

#[cfg(test)]
mod tests;
