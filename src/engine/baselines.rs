//! Baselines that are snapshots: evidence that an engine did not gather itself, in its own numbers. Cold plane.
//!
//! The windows of a snapshot stand beside the ring. They grow no older; nobody seals, exports or checkpoints them; their
//! environment has a number that no telemetry has, and takes no place among `limits.environments`. Their other names take
//! places as those of telemetry do.

use super::Engine;
use super::snapshot::{About, ONLY, Snapshot, SnapshotError};
use crate::judge::{Comparison, SnapshotSide};
use crate::model::{EnvironmentId, KnownNames};
use crate::window::SealedWindow;
use crate::window::shard::Keys;

/// A snapshot in the numbers of an engine.
#[derive(Debug)]
pub(super) struct Baseline {
    description: String,
    keys: Keys,
    windows: Vec<SealedWindow>,
}

/// One side of a comparison with all that is known of it.
#[derive(Debug)]
pub struct EvidenceOf<'a> {
    /// The environment's name.
    pub name: &'a str,
    /// Its number in the windows.
    pub environment: EnvironmentId,
    /// Windows that may have something of it, rising.
    pub windows: Vec<&'a SealedWindow>,
}

impl Engine {
    /// From now on comparisons whose baseline has one of these names look at the snapshot with that name, and other ones at
    /// telemetry.
    ///
    /// # Errors
    /// [`SnapshotError::OtherWindow`]; then nothing has changed.
    pub fn set_baselines(&mut self, snapshots: &[(String, Snapshot)]) -> Result<(), SnapshotError> {
        self.takes(snapshots)?;
        let made = snapshots.iter().map(|(name, snapshot)| (name.clone(), self.translated(snapshot)));
        self.baselines = made.collect();
        for comparison in self.comparisons() {
            let Some(baseline) = self.baselines.get(&comparison.baseline) else { continue };
            let known = self.reports.get(&comparison.name).map(|report| &report.baseline.description);
            if known.is_some_and(|known| known.as_ref() != Some(&baseline.description)) {
                // What was shown about another baseline says nothing about this one.
                self.sessions.remove(&comparison.name);
            }
        }
        Ok(())
    }

    /// Whether these can be its baselines.
    ///
    /// # Errors
    /// [`SnapshotError::OtherWindow`]
    pub fn takes(&self, snapshots: &[(String, Snapshot)]) -> Result<(), SnapshotError> {
        snapshots.iter().try_for_each(|(_, snapshot)| snapshot.about.fits(self.plan.window_ns))
    }

    fn translated(&self, snapshot: &Snapshot) -> Baseline {
        let translation = self.ingest.shared.translation(&snapshot.evidence.names);
        let mut translation = translation.with_environment(ONLY, EnvironmentId::OF_SNAPSHOT);
        let windows = snapshot.evidence.windows.iter().map(|(window, children)| {
            translation.sealed(SealedWindow { children: children.clone(), ..window.clone() })
        });
        let mut windows: Vec<SealedWindow> = windows.collect();
        windows.sort_unstable_by_key(|window| window.index);
        Baseline { description: described(&snapshot.about), keys: snapshot.evidence.keys.clone(), windows }
    }

    /// The names behind the numbers of what a comparison looks at.
    pub(super) fn names_of(&self, comparison: &Comparison) -> KnownNames {
        match self.baselines.contains_key(&comparison.baseline) {
            true => self.names().with_snapshot(&comparison.baseline),
            false => self.names(),
        }
    }

    /// The windows of a comparison's baseline, where that is a snapshot.
    pub(super) fn windows_of_snapshot(&self, comparison: &Comparison) -> Option<Vec<&SealedWindow>> {
        self.baselines.get(&comparison.baseline).map(|baseline| baseline.windows.iter().collect())
    }

    /// What is told of a comparison's baseline, where that is a snapshot.
    pub(super) fn snapshot_side(&self, comparison: &Comparison) -> Option<SnapshotSide<'_>> {
        let baseline = self.baselines.get(&comparison.baseline)?;
        let own = self.keys();
        Some(SnapshotSide {
            description: &baseline.description,
            same_values_key: baseline.keys.values == own.values,
            same_texts_key: baseline.keys.names == own.names,
        })
    }

    /// What hashes are keyed with now.
    pub(super) fn keys(&self) -> Keys {
        let Keys { names, values } = self.ingest.shared.keys.clone();
        Keys { names, values: self.plan.policy.redaction.key.clone().unwrap_or(values) }
    }

    /// Both sides of a comparison, those of which nothing is known left out.
    pub fn evidence_of<'a>(&'a self, comparison: &'a Comparison) -> Vec<EvidenceOf<'a>> {
        let names = self.names_of(comparison);
        let of_snapshot = self.windows_of_snapshot(comparison);
        let baseline = of_snapshot.unwrap_or_else(|| self.windows().collect());
        let sides = [(&*comparison.baseline, baseline), (&*comparison.candidate, self.windows().collect())];
        let known = sides.into_iter().filter_map(|(name, windows)| {
            Some(EvidenceOf { name, environment: names.find_environment(name)?, windows })
        });
        known.collect()
    }
}

/// What a snapshot is of, for people.
fn described(about: &About) -> String {
    let saved = i64::try_from(about.saved_ns / 1_000_000_000).ok();
    let saved = saved.and_then(|second| jiff::Timestamp::from_second(second).ok()).unwrap_or_default();
    let note: String = about.note.chars().take(NOTE_SHOWN).collect();
    let note = if note.is_empty() { note } else { format!(", {note}") };
    format!("{}{note}, saved {saved}", about.environment)
}

/// Characters of a note that are told.
const NOTE_SHOWN: usize = 200;
