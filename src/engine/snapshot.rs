//! What one environment did, as one file: a baseline that stays what it is. Cold plane.
//!
//! A *snapshot* is the sealed evidence of one environment (sketches, presence, facts, and the names behind their numbers) with
//! what it was taken from. A candidate is judged against it as against files of the same telemetry: its sketches merge, its
//! windows keep their width, and what is hidden stays hidden by the same keys.
//!
//! ```text
//! "isotelsn" | format u32 | 0 u32 | length u64 | xxh3 of the content u128        40 bytes, then the content
//! content  about (postcard) | names, keys and windows (postcard)
//! ```
//!
//! As with [checkpoints](super::checkpoint), postcard has no names of fields in it: whoever changes a type that is kept raises
//! the checkpoint's format, and with it this one's.

use super::checkpoint::{self, RestoreError};
use super::{Comparisons, Engine, Plan};
use crate::model::{EnvironmentId, ItemId, KnownNames, Limit, Names};
use crate::window::cells::ShapePlaces;
use crate::window::parents::Found;
use crate::window::shard::Keys;
use crate::window::{Grid, Instances, SealedCell, SealedWindow};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use xxhash_rust::xxh3::xxh3_128;

/// The form of a snapshot; another one is not read.
pub const FORMAT: u32 = checkpoint::FORMAT;
const MAGIC: &[u8; 8] = b"isotelsn";
const HEADER: usize = 40;

/// Why bytes are no snapshot, or there is none to take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Cut short, or changed.
    #[error("the snapshot is damaged: its checksum is not that of its content")]
    Damaged,
    /// Another isotel's.
    #[error("the snapshot is of format {found}, and this isotel reads {FORMAT}; save it again with this one")]
    OtherFormat {
        /// Its format.
        found: u32,
    },
    /// Its checksum holds, and still it cannot be used.
    #[error(transparent)]
    Unusable(#[from] RestoreError),
    /// Windows of another width cannot be compared.
    #[error(
        "the snapshot's windows are {} long, and parity.window is {}: set parity.window to the snapshot's, or leave it out",
        seconds(*.found_ns), seconds(*.wanted_ns)
    )]
    OtherWindow {
        /// Nanoseconds.
        found_ns: u64,
        /// Nanoseconds.
        wanted_ns: u64,
    },
    /// Nothing was seen of the environment.
    #[error("there is no sealed telemetry of the environment {name:?}; there is of: {known}")]
    NoEvidence {
        /// The environment.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// There is more than may be given out.
    #[error(
        "a snapshot of the environment would take more than {most} bytes; raise parity.limits.snapshot_bytes, or shorten \
         parity.period"
    )]
    TooLarge {
        /// The bound.
        most: usize,
    },
}

fn seconds(ns: u64) -> String {
    format!("{}s", ns as f64 / 1e9)
}

/// What a snapshot is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The environment.
    pub environment: String,
    /// When it was saved, nanoseconds since the epoch.
    pub saved_ns: u64,
    /// What somebody wrote about it, such as a release.
    pub note: String,
    /// Nanoseconds of a window.
    pub window_ns: u64,
    /// The first nanosecond of its evidence.
    pub start_ns: u64,
    /// The first nanosecond after its evidence.
    pub end_ns: u64,
    /// Windows with telemetry.
    pub windows: u64,
    /// Services.
    pub services: u64,
    /// Series.
    pub series: u64,
    /// Requests, by adjusted counts.
    pub requests: u64,
    /// `service.version` of each service.
    pub versions: Vec<(String, String)>,
}

/// Evidence of one environment.
#[derive(Debug)]
pub struct Snapshot {
    /// What it is of.
    pub about: About,
    pub(super) evidence: Evidence,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Evidence {
    pub(super) keys: Keys,
    /// What they make of a known text.
    probe: u64,
    pub(super) names: KnownNames,
    pub(super) windows: Vec<(SealedWindow, Found)>,
}

impl Evidence {
    /// Whether every number stands for something: a file's checksum says that nothing was lost, and not who wrote it.
    fn is_sound(&self, window_ns: u64) -> bool {
        let names = &self.names;
        let window = |(window, children): &(SealedWindow, Found)| {
            let item = |id: &ItemId| names.has_item(*id);
            let shapes = |cell: &SealedCell| {
                cell.parts().all(|part| part.shapes.iter().all(|(items, _)| items.iter().all(item)))
            };
            let begins = window.index.checked_mul(window_ns);
            window_ns > 0
                && begins == Some(window.start_ns)
                && window.start_ns.checked_add(window_ns) == Some(window.end_ns)
                && window.cells.are_sound()
                && window.cells.iter().all(|((environment, series), cell)| {
                    environment == ONLY && names.has_series(series) && shapes(&cell.cell())
                })
                && window.values.keys().all(|(of, id)| *of == ONLY && names.has_value(*id))
                && window
                    .dependencies
                    .iter()
                    .all(|((of, id), cell)| *of == ONLY && names.has_dependency(*id) && shapes(cell))
                && window
                    .presence
                    .keys()
                    .chain(window.cardinalities.keys())
                    .all(|(of, id)| *of == ONLY && item(id))
                && window.facts.keys().all(|(of, id, _)| *of == ONLY && names.has_service(*id))
                && children.keys().all(|(of, id)| *of == ONLY && names.has_service(*id))
                && window.delays.keys().all(|of| *of == ONLY)
        };
        self.windows.iter().all(window)
    }
}

/// In a snapshot its environment is the only one.
pub(super) const ONLY: EnvironmentId = EnvironmentId(0);

/// Whether bytes say that they are a snapshot.
pub fn is_snapshot(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

impl Snapshot {
    /// What an engine has sealed of an environment.
    ///
    /// # Errors
    /// [`SnapshotError::NoEvidence`]
    pub fn of(
        engine: &Engine,
        environment: &str,
        note: &str,
        now_ns: u64,
    ) -> Result<Snapshot, SnapshotError> {
        let names = engine.names();
        let sealed = |id: EnvironmentId| engine.windows().filter_map(move |window| window.only(id, ONLY));
        let windows: Vec<SealedWindow> =
            names.find_environment(environment).into_iter().flat_map(sealed).collect();
        let (Some(first), Some(last)) = (windows.first(), windows.last()) else {
            let known = names.environments().join(", ");
            let name = environment.to_owned();
            return Err(SnapshotError::NoEvidence {
                name,
                known: if known.is_empty() { "none".to_owned() } else { known },
            });
        };
        let mut series = BTreeSet::new();
        let mut services = BTreeSet::new();
        let mut versions = BTreeSet::new();
        let mut requests = 0u64;
        for window in &windows {
            for (id, cell) in window.cells.of(ONLY) {
                series.insert(id);
                services.insert(names.series_key(id).service.to_string());
                requests = requests.saturating_add(cell.all_counts().requests());
            }
            for ((_, service, _), statements) in &window.facts {
                let service = names.service_key(*service).to_string();
                let facts = statements.iter().flat_map(|(_, statement, _)| statement.facts.iter());
                let of_version = facts.filter(|(key, _)| &**key == "service.version");
                versions.extend(of_version.map(|(_, value)| (service.clone(), value.to_string())));
            }
        }
        let about = About {
            environment: environment.to_owned(),
            saved_ns: now_ns,
            note: note.to_owned(),
            window_ns: engine.plan.window_ns,
            start_ns: first.start_ns,
            end_ns: last.end_ns,
            windows: windows.len() as u64,
            services: services.len() as u64,
            series: series.len() as u64,
            requests,
            versions: versions.into_iter().collect(),
        };
        let keys = engine.keys();
        let windows = windows.into_iter().map(|mut window| {
            let found = std::mem::take(&mut window.children);
            (window, found)
        });
        let evidence = Evidence {
            probe: checkpoint::probe(&keys),
            keys,
            names: names.with_environment(environment),
            windows: windows.collect(),
        };
        Ok(Snapshot { about, evidence })
    }

    /// As the bytes of a file, which are at most so many.
    ///
    /// # Errors
    /// [`SnapshotError::TooLarge`]; another one only when a part has no bytes, which would be a mistake in its type.
    pub fn to_bytes(&self, most: usize) -> Result<Vec<u8>, SnapshotError> {
        let written = (&self.about, &self.evidence);
        let written = postcard::serialize_with_flavor(&written, Within { bytes: vec![0; HEADER], most });
        let mut bytes = written.map_err(|error| match error {
            postcard::Error::SerializeBufferFull => SnapshotError::TooLarge { most },
            other => RestoreError::from(other).into(),
        })?;
        let (header, content) = bytes.split_at_mut(HEADER);
        header[..8].copy_from_slice(MAGIC);
        header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        header[16..24].copy_from_slice(&(content.len() as u64).to_le_bytes());
        header[24..].copy_from_slice(&xxh3_128(content).to_le_bytes());
        Ok(bytes)
    }

    /// From the bytes of a file.
    ///
    /// # Errors
    /// [`SnapshotError`]
    pub fn from_bytes(bytes: &[u8]) -> Result<Snapshot, SnapshotError> {
        Snapshot::from_content(content(bytes)?)
    }

    /// From the content of a file, whose checksum says nothing of who wrote it.
    ///
    /// # Errors
    /// [`SnapshotError`]
    pub fn from_content(content: &[u8]) -> Result<Snapshot, SnapshotError> {
        let (about, rest): (About, &[u8]) = postcard::take_from_bytes(content).map_err(RestoreError::from)?;
        let evidence: Evidence = postcard::from_bytes(rest).map_err(RestoreError::from)?;
        if checkpoint::probe(&evidence.keys) != evidence.probe {
            return Err(RestoreError::OtherHash.into());
        }
        match evidence.is_sound(about.window_ns) {
            true => Ok(Snapshot { about, evidence }),
            false => Err(RestoreError::Unreadable("it names what it does not have".to_owned()).into()),
        }
    }

    /// An engine that has sealed this and nothing else, of an environment with this name.
    ///
    /// # Errors
    /// [`SnapshotError::OtherWindow`]
    pub fn engine(self, mut plan: Plan, shards: usize, environment: &str) -> Result<Engine, SnapshotError> {
        self.about.fits(plan.window_ns)?;
        // What is hidden from now on compares with what the snapshot hides.
        plan.policy.redaction.key = None;
        let Evidence { keys, names, windows, .. } = self.evidence;
        let names = Names::again(names.with_environment(environment), plan.limits.clone());
        let instances = Instances::new(plan.new_for_ns(), plan.observed_from_ns, plan.limits.instances);
        let mut engine = Engine::with(plan, shards, names, instances, keys);
        let windows = windows.into_iter().map(|(window, children)| SealedWindow { children, ..window });
        engine.has_snapshot = true;
        engine.ring = windows.collect();
        engine.ring.make_contiguous().sort_unstable_by_key(|window| window.index);
        Ok(engine)
    }
}

/// Bytes that grow up to a bound.
struct Within {
    bytes: Vec<u8>,
    most: usize,
}

impl postcard::ser_flavors::Flavor for Within {
    type Output = Vec<u8>;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, more: &[u8]) -> postcard::Result<()> {
        if self.bytes.len() + more.len() > self.most {
            return Err(postcard::Error::SerializeBufferFull);
        }
        self.bytes.extend_from_slice(more);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.bytes)
    }
}

/// What stands after the header, which says that nothing of it is lost.
fn content(bytes: &[u8]) -> Result<&[u8], SnapshotError> {
    let header =
        bytes.get(..HEADER).filter(|header| header.starts_with(MAGIC)).ok_or(SnapshotError::Damaged)?;
    let content = &bytes[HEADER..];
    let found = header[8..12].try_into().map_or(0, u32::from_le_bytes);
    let length = header[16..24].try_into().map_or(0, u64::from_le_bytes);
    let sum = header[24..].try_into().map_or(0, u128::from_le_bytes);
    match () {
        () if found != FORMAT => Err(SnapshotError::OtherFormat { found }),
        () if content.len() as u64 != length || xxh3_128(content) != sum => Err(SnapshotError::Damaged),
        () => Ok(content),
    }
}

impl About {
    /// Whether its windows are so long.
    ///
    /// # Errors
    /// [`SnapshotError::OtherWindow`]
    pub fn fits(&self, wanted_ns: u64) -> Result<(), SnapshotError> {
        match self.window_ns {
            found_ns if found_ns == wanted_ns => Ok(()),
            found_ns => Err(SnapshotError::OtherWindow { found_ns, wanted_ns }),
        }
    }

    /// Of a snapshot's bytes; the whole is checked.
    ///
    /// # Errors
    /// [`SnapshotError`]
    pub fn of(bytes: &[u8]) -> Result<About, SnapshotError> {
        let (about, _): (About, &[u8]) =
            postcard::take_from_bytes(content(bytes)?).map_err(RestoreError::from)?;
        Ok(about)
    }
}

impl Engine {
    /// The bytes of a snapshot of what is sealed of an environment, within [`Limits::snapshot_bytes`].
    ///
    /// # Errors
    /// [`SnapshotError`]
    ///
    /// [`Limits::snapshot_bytes`]: crate::model::Limits::snapshot_bytes
    pub fn snapshot(&mut self, environment: &str, note: &str, now_ns: u64) -> Result<Vec<u8>, SnapshotError> {
        let made = Snapshot::of(self, environment, note, now_ns)?.to_bytes(self.plan.limits.snapshot_bytes);
        if let Err(SnapshotError::TooLarge { .. }) = made {
            self.hits.count(Limit::SnapshotBytes);
        }
        made
    }
}

/// The engine of a checkpoint, to take a snapshot of; its windows keep their width.
///
/// # Errors
/// [`RestoreError`]
pub fn engine_of_checkpoint(
    plan: Plan,
    state: &[u8],
    windows: impl IntoIterator<Item = Vec<u8>>,
) -> Result<Engine, RestoreError> {
    // The first field of a state.
    let (window_ns, _): (u64, &[u8]) = postcard::take_from_bytes(state)?;
    Engine::restore(Plan { window_ns, comparisons: Comparisons::Auto, ..plan }, 1, state, windows)
}

impl SealedWindow {
    /// What one environment did, under another number; `None` where it did nothing.
    fn only(&self, environment: EnvironmentId, number: EnvironmentId) -> Option<SealedWindow> {
        let mut only = SealedWindow::empty(self.index, Grid::new(self.end_ns - self.start_ns));
        let mut places = ShapePlaces::default();
        for (series, cell) in self.cells.of(environment) {
            only.cells.push((number, series), cell.cell().into_owned(), &mut places);
        }
        only.cells.shrink();
        only.values = part(&self.values, |k| *k, |id| (number, id), environment);
        only.dependencies = part(&self.dependencies, |k| *k, |id| (number, id), environment);
        only.presence = part(&self.presence, |k| *k, |id| (number, id), environment);
        only.cardinalities = part(&self.cardinalities, |k| *k, |id| (number, id), environment);
        only.children = part(&self.children, |k| *k, |id| (number, id), environment);
        only.facts = part(&self.facts, |k| (k.0, (k.1, k.2)), |(s, t)| (number, s, t), environment);
        only.delays = part(&self.delays, |k| (*k, ()), |()| number, environment);
        let something = only.cells.has(number) || !only.presence.is_empty() || !only.values.is_empty();
        something.then_some(only)
    }

    /// Adds what another environment did in the same window.
    pub(super) fn join(&mut self, other: SealedWindow) {
        for (key, cell) in other.cells.iter() {
            self.cells.insert(key, cell.cell().into_owned());
        }
        self.values.extend(other.values);
        self.dependencies.extend(other.dependencies);
        self.presence.extend(other.presence);
        self.cardinalities.extend(other.cardinalities);
        self.delays.extend(other.delays);
        self.children.extend(other.children);
        self.facts.extend(other.facts);
    }
}

/// The entries of one environment, under another number.
fn part<K: Ord, R, V: Clone>(
    all: &BTreeMap<K, V>,
    split: impl Fn(&K) -> (EnvironmentId, R),
    join: impl Fn(R) -> K,
    environment: EnvironmentId,
) -> BTreeMap<K, V> {
    let mine = all.iter().map(|(key, value)| (split(key), value));
    let mine = mine.filter(|((of, _), _)| *of == environment);
    mine.map(|((_, rest), value)| (join(rest), value.clone())).collect()
}
