//! Where what was acknowledged is kept: the storages among the extensions, and which of them `parity.storage` and
//! sending queues name.
//!
//! A checked tree flows in, a [`StorageConfig`] flows out if one is named, or what is wrong. No file is touched here.

use super::build::View;
use super::problem::Problems;
use super::schema;
use super::tree::Node;
use crate::model::nearest::nearest;
use std::path::PathBuf;
use std::time::Duration;

/// A directory for what must survive the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageConfig {
    /// Its component id.
    pub id: String,
    /// Where; of one agent alone.
    pub directory: PathBuf,
    /// Bytes on disk at the most, beyond which requests are refused.
    pub max_bytes: u64,
    /// What survives the end of power.
    pub fsync: Fsync,
}

impl StorageConfig {
    /// The same for one tenant: a folder of its own, with bounds of its own. A tenant's name is a file's name.
    pub fn of_tenant(&self, name: Option<&str>) -> StorageConfig {
        let mut config = self.clone();
        if let Some(name) = name {
            config.directory.push(format!("tenant-{name}"));
        }
        config
    }
}

/// How long what comparisons came to is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryConfig {
    /// How far back.
    pub retention: Duration,
    /// Bytes on disk at the most, where there is a storage.
    pub max_bytes: u64,
}

impl HistoryConfig {
    pub(super) fn of(parity: &View<'_>) -> HistoryConfig {
        let view = parity.section("history");
        HistoryConfig { retention: view.duration("retention"), max_bytes: view.bytes("max_bytes") as u64 }
    }

    /// How far back, nanoseconds.
    pub fn retention_ns(&self) -> u64 {
        u64::try_from(self.retention.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// When the disk, and not only the system, has what was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// When the system sees fit.
    Never,
    /// So long after the acknowledgement at the latest.
    Interval(Duration),
    /// Before the acknowledgement.
    Always,
}

/// The directories of all storages among the extensions.
pub(super) fn directories(root: &View<'_>) -> Vec<PathBuf> {
    let extensions = root.child("extensions").map_or(&[][..], Node::entries);
    let storages = extensions.iter().filter(|(id, ..)| id.split('/').next() == Some("file_storage"));
    storages
        .map(|(_, _, section)| View::of(Some(section), &schema::FILE_STORAGE).text("directory").into())
        .collect()
}

/// The storage that the `storage` of a section at `key` names.
pub(super) fn storage(
    root: &View<'_>,
    key: &str,
    section: &View<'_>,
    problems: &mut Problems,
) -> Option<StorageConfig> {
    let node = section.child("storage")?;
    let named = node.text()?;
    let extensions = root.child("extensions").map_or(&[][..], Node::entries);
    let is_storage = |id: &str| id.split('/').next() == Some("file_storage");
    let known: Vec<&str> = extensions.iter().map(|(id, ..)| &**id).filter(|id| is_storage(id)).collect();
    let Some((id, place, section)) = extensions.iter().find(|(id, ..)| id == named && is_storage(id)) else {
        let hint = match nearest(named, known.iter().copied(), 2.max(named.len() / 3)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => "define file_storage under extensions".to_owned(),
            None => format!("defined storages: {}", known.join(", ")),
        };
        let message = format!("{key}.storage: `{named}` is not a storage under extensions");
        problems.push(node.place.problem(message, Some(hint)));
        return None;
    };
    let view = View::of(Some(section), &schema::FILE_STORAGE);
    let directory = view.text("directory");
    if directory.is_empty() {
        let hint = Some("write the path of a directory that isotel alone uses".to_owned());
        let place = view.child("directory").map_or(place, |node| &node.place);
        problems.push(place.problem(format!("extensions.{id}.directory: names no directory"), hint));
        return None;
    }
    let fsync = match view.text("fsync").as_str() {
        "never" => Fsync::Never,
        "always" => Fsync::Always,
        _ => Fsync::Interval(view.duration("fsync_interval")),
    };
    let max_bytes = view.bytes("max_bytes") as u64;
    Some(StorageConfig { id: id.clone(), directory: directory.into(), max_bytes, fsync })
}
