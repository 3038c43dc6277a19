//! What an engine knows, as bytes, and an engine from them. Cold plane.
//!
//! A *checkpoint* is all that the requests up to one moment have done: names, open windows, streams, instances, sampled
//! traces, tallies, sessions and verdicts in [`Checkpoint::state`], and every sealed window as bytes of its own, since a
//! window that is sealed never changes. Whoever keeps the requests after that moment and has a restored engine observe
//! them again has the engine that there was.
//!
//! The moment is [`Engine::cut`]: while nobody records, what is in the open windows is taken out of the shards, in
//! microseconds. Putting it in order and into bytes happens in [`Engine::checkpoint`], beside the requests. Windows are
//! made of parts that merge in any order, so that a window which was cut is the window that it would have been.
//!
//! The form is postcard's, derived from the types. It has no names of fields in it: whoever changes a type that is kept
//! raises [`FORMAT`] (`tests/engine/checkpoint.rs` notices).

use super::releases::Releases;
use super::tier::Made;
use super::{Engine, Plan, Tier, lock};
use crate::judge::{Report, Session};
use crate::model::facts::Statement;
use crate::model::{EnvironmentId, ItemId, KnownNames, LimitsHit, Names};
use crate::window::open::OpenWindow;
use crate::window::parents::{Found, ParentSearch};
use crate::window::shard::{Keys, Tally};
use crate::window::sources::Sources;
use crate::window::streams::StreamHistory;
use crate::window::{Instances, Progress, SealedWindow};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The form of what is kept; another one is not read.
pub const FORMAT: u32 = crate::window::parts::FORMAT;

/// What was taken out of the shards at one moment.
#[derive(Debug)]
pub struct Cut {
    names: KnownNames,
    tally: Tally,
    progress: BTreeMap<EnvironmentId, Progress>,
    sealed_through_ns: u64,
    sources: Sources,
    windows: Vec<(u64, OpenWindow)>,
}

/// An engine as bytes.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// All but the sealed windows.
    pub state: Vec<u8>,
    /// The sealed windows that belong to it, rising; [`Engine::sealed_bytes`] has them.
    pub windows: Vec<u64>,
}

/// Why bytes are no engine of a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Windows of another width cannot be compared with those of the plan.
    #[error("its windows are {found_ns} ns wide, and parity.window is {wanted_ns} ns")]
    OtherWindow {
        /// Nanoseconds.
        found_ns: u64,
        /// Nanoseconds.
        wanted_ns: u64,
    },
    /// Texts are compared by hashes, which this build makes otherwise.
    #[error("it was written by a build that hashes texts otherwise")]
    OtherHash,
    /// Texts are compared by hashes, which were made with another key.
    #[error(
        "its texts are hashed with another key than parity.redaction.key: start with the key it was made with, or begin anew"
    )]
    OtherKey,
    /// Not what was written.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}

impl From<postcard::Error> for RestoreError {
    fn from(error: postcard::Error) -> Self {
        RestoreError::Unreadable(error.to_string())
    }
}

/// Everything but the sealed windows.
#[derive(Serialize, Deserialize)]
struct State<'a> {
    window_ns: u64,
    observed_from_ns: u64,
    keys: Keys,
    /// What they make of a known text.
    probe: u64,
    sealed_through_ns: u64,
    names: KnownNames,
    tally: Tally,
    progress: BTreeMap<EnvironmentId, Progress>,
    open: Cow<'a, BTreeMap<u64, OpenWindow>>,
    history: Cow<'a, StreamHistory>,
    parents: Cow<'a, ParentSearch>,
    instances: Instances,
    hits: LimitsHit,
    too_old: BTreeMap<EnvironmentId, u64>,
    sessions: Cow<'a, BTreeMap<String, Session>>,
    releases: Cow<'a, Releases>,
    /// As JSON, which leaves out what is empty.
    reports: BTreeMap<String, String>,
    /// What was found of parents after a window was sealed.
    children: BTreeMap<u64, Found>,
    sources: Sources,
    made: Cow<'a, Made>,
}

impl Engine {
    /// Takes out what is open. Nothing may be recorded meanwhile: what was before is in the checkpoint, and what comes
    /// after is not.
    pub fn cut(&mut self) -> Cut {
        let shared = &self.ingest.shared;
        Cut {
            names: shared.known_names(),
            tally: self.ingest.tally(),
            progress: self.ingest.progress(),
            sealed_through_ns: shared.sealed_through_ns.load(Ordering::Acquire),
            sources: shared.sources().clone(),
            windows: self.ingest.shards.iter().flat_map(|shard| lock(shard).take_open()).collect(),
        }
    }

    /// The engine at the moment of the cut, as bytes. Nothing may be sealed between the two.
    ///
    /// # Errors
    /// Only when a part cannot be written in this form, which would be a mistake in its type.
    pub fn checkpoint(&mut self, cut: Cut) -> Result<Checkpoint, RestoreError> {
        let mut taken = std::mem::take(&mut self.taken);
        cut.windows.into_iter().for_each(|(index, window)| self.gather(&mut taken, index, window));
        self.taken = taken;
        let shared = &self.ingest.shared;
        let unreadable = |error: serde_json::Error| RestoreError::Unreadable(error.to_string());
        let report = |(name, report): (&String, &Arc<Report>)| {
            Ok((name.clone(), serde_json::to_string(&**report).map_err(unreadable)?))
        };
        let state = State {
            window_ns: self.plan.window_ns,
            observed_from_ns: self.plan.observed_from_ns,
            keys: shared.keys.clone(),
            probe: probe(&shared.keys),
            sealed_through_ns: cut.sealed_through_ns,
            names: cut.names,
            tally: cut.tally,
            progress: cut.progress,
            open: Cow::Borrowed(&self.taken),
            history: Cow::Borrowed(&self.history),
            parents: Cow::Borrowed(&self.parents),
            instances: shared.instances().clone(),
            hits: self.hits.clone(),
            too_old: self.too_old.clone(),
            sessions: Cow::Borrowed(&self.sessions),
            releases: Cow::Borrowed(&self.releases),
            reports: self.reports.iter().map(report).collect::<Result<_, RestoreError>>()?,
            children: self.ring.iter().map(|window| (window.index, window.children.clone())).collect(),
            sources: cut.sources,
            made: Cow::Borrowed(&self.made),
        };
        let windows = self.ring.iter().map(|window| window.index).collect();
        Ok(Checkpoint { state: postcard::to_stdvec(&state)?, windows })
    }

    /// A sealed window as bytes; `None` when no judgement looks at it any more.
    pub fn sealed_bytes(&self, index: u64) -> Option<Vec<u8>> {
        let at = self.ring.partition_point(|known| known.index < index);
        let window = self.ring.get(at).filter(|window| window.index == index)?;
        postcard::to_stdvec(window).ok()
    }

    /// How long a sealed window is looked at, nanoseconds.
    pub fn look_back_ns(&self) -> u64 {
        self.look_back().saturating_add(1).saturating_mul(self.plan.window_ns)
    }

    /// The engine that a checkpoint is of, under this plan, with shards as needed. Limits, tolerances and environments are the plan's; what was
    /// observed since when is the checkpoint's. Sealed windows that are not given are missing as if they had been empty.
    ///
    /// # Errors
    /// [`RestoreError`]
    pub fn restore(
        plan: Plan,
        shards: usize,
        state: &[u8],
        windows: impl IntoIterator<Item = Vec<u8>>,
    ) -> Result<Engine, RestoreError> {
        let mut state: State<'_> = postcard::from_bytes(state)?;
        if state.window_ns != plan.window_ns {
            return Err(RestoreError::OtherWindow { found_ns: state.window_ns, wanted_ns: plan.window_ns });
        }
        if probe(&state.keys) != state.probe {
            return Err(RestoreError::OtherHash);
        }
        if plan.policy.redaction.key.is_some() && plan.keys() != state.keys {
            return Err(RestoreError::OtherKey);
        }
        let mut pool = Pool::default();
        let mut ring: Vec<SealedWindow> = Vec::new();
        for bytes in windows {
            let mut window: SealedWindow = postcard::from_bytes(&bytes)?;
            window.children = state.children.remove(&window.index).unwrap_or_default();
            pool.share(&mut window);
            ring.push(window);
        }
        ring.sort_unstable_by_key(|window| window.index);
        let mut reports = BTreeMap::new();
        for (name, report) in state.reports {
            let report: Report =
                serde_json::from_str(&report).map_err(|error| RestoreError::Unreadable(error.to_string()))?;
            reports.insert(name, Arc::new(report));
        }
        let (new_for_ns, now_ns) = (plan.new_for_ns(), plan.observed_from_ns);
        let plan = Plan { observed_from_ns: state.observed_from_ns, ..plan };
        let limits = plan.limits.clone();
        let mut instances = state.instances;
        instances.change(new_for_ns, now_ns);
        instances.bound(limits.instances);
        let mut history = state.history.into_owned();
        history.bound(limits.metric_streams);
        let names = Names::again(state.names, limits);
        let mut engine = Engine::with(plan, shards, names, instances, state.keys);
        engine.ingest.shared.sealed_through_ns.store(state.sealed_through_ns, Ordering::Release);
        engine.taken = state.open.into_owned();
        if let Some(first) = engine.ingest.shards.first() {
            lock(first).go_on(state.tally, &state.progress, engine.taken.keys().copied());
        }
        engine.ring = ring.into();
        engine.history = history;
        engine.parents = state.parents.into_owned();
        engine.hits = state.hits;
        engine.too_old = state.too_old;
        engine.sessions = state.sessions.into_owned();
        engine.releases = state.releases.into_owned();
        // A first tier has no verdicts.
        if engine.plan.tier == Tier::Judging {
            engine.reports = reports;
        }
        *engine.ingest.shared.sources() = state.sources;
        engine.made = state.made.into_owned();
        engine.forget_comparisons();
        Ok(engine)
    }

    /// Takes requests again from `now_ns` on: no environment is idle because nobody listened.
    pub fn resume(&mut self, now_ns: u64) {
        self.ingest.shards.iter().for_each(|shard| lock(shard).arrive(now_ns));
        self.ingest.shared.sources().resume(now_ns);
    }
}

/// What hashes with these keys make of a known text.
pub(super) fn probe(keys: &Keys) -> u64 {
    foldhash::fast::FixedState::with_seed(keys.names).hash_one("isotel keeps hashes of texts")
}

/// What sealed windows say alike is in memory once.
#[derive(Default)]
struct Pool {
    statements: HashMap<u64, Arc<Statement>>,
    items: BTreeSet<Arc<[ItemId]>>,
}

impl Pool {
    fn share(&mut self, window: &mut SealedWindow) {
        for statements in window.facts.values_mut() {
            statements.share(|hash, own| self.statements.entry(hash).or_insert_with(|| own.clone()).clone());
        }
        let items = &mut self.items;
        let mut kept = |own: &Arc<[ItemId]>| match items.get(own) {
            Some(known) => known.clone(),
            None => {
                items.insert(own.clone());
                own.clone()
            }
        };
        window.cells.share(&mut kept);
        let of_calls = window.dependencies.values_mut().flat_map(|cell| &mut cell.shapes);
        of_calls.for_each(|(items, _)| *items = kept(items));
    }
}
