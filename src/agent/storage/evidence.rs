//! The checkpoints of an engine as files: the two newest, and each sealed window that one of them names.
//!
//! `checkpoint-<number>.isotel` holds what an engine is but for its sealed windows, where in the log it stands, and which
//! sealed windows belong to it, with their checksums. `window-<index>.isotel` is a sealed window; it is written once, since it never
//! changes. What cannot be used is not mixed in: a damaged file gets `.damaged` after its name, and what is of another
//! window width or an older format goes into `set-aside-<seconds>`. Both go when their time on disk is over.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    Recovered, StorageError,
    file::{self, ReadError},
};
use crate::engine::{
    Engine, Plan,
    checkpoint::{Checkpoint, FORMAT, RestoreError},
};

pub(super) const CHECKPOINT: &str = "checkpoint-";
const WINDOW: &str = "window-";
const DAMAGED: &str = ".damaged";
const SET_ASIDE: &str = "set-aside-";
/// How many checkpoints are kept: the newest, and one to fall back to.
const KEPT: usize = 2;

/// A sealed window on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Window {
    index: u64,
    /// Of the content.
    sum: u64,
    /// When it was written, nanoseconds since the epoch.
    stored_ns: u64,
}

/// What stands before the engine's state in a checkpoint.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    position: u64,
    windows: Vec<Window>,
}

/// A checkpoint on disk.
#[derive(Debug, Clone)]
struct Kept {
    name: String,
    position: u64,
    windows: BTreeSet<u64>,
}

/// The files of a directory that are not the log.
#[derive(Debug)]
pub(super) struct Evidence {
    directory: PathBuf,
    /// Oldest first.
    kept: Vec<Kept>,
    /// The number of the next checkpoint, greater than any that is there.
    next: u64,
    windows: BTreeMap<u64, Window>,
    /// Windows whose time on disk was over before that in memory.
    expired: BTreeSet<u64>,
    /// Bytes of all files.
    bytes: u64,
}

/// What a directory holds.
pub(super) enum Found {
    /// An engine, at this position of the log.
    Engine(Box<Engine>, u64),
    /// Nothing that can be used; all of the log counts.
    Nothing,
}

impl Evidence {
    /// Reads the newest checkpoint that can be read.
    ///
    /// # Errors
    /// [`StorageError`]; nothing has been changed then.
    pub(super) fn open(
        directory: &Path,
        (plan, shards): (&Plan, usize),
        now_ns: u64,
        recovered: &mut Recovered,
    ) -> Result<(Evidence, Found), StorageError> {
        let mut evidence = Evidence {
            directory: directory.to_owned(),
            kept: Vec::new(),
            next: 0,
            windows: BTreeMap::new(),
            expired: BTreeSet::new(),
            bytes: 0,
        };
        let names = evidence.checkpoints()?;
        // Before anything is moved: a later isotel's files are not for this one to touch.
        let mut read = Vec::new();
        for name in names.into_iter().rev() {
            let path = directory.join(&name);
            match file::read(&path, FORMAT) {
                Err(ReadError::OtherFormat { found }) if found > FORMAT => {
                    return Err(StorageError::Future { path, found, known: FORMAT });
                }
                result => read.push((name, result)),
            }
        }
        for (name, result) in read {
            let cause = match result {
                Ok(content) => match evidence.restore(&name, &content, plan, shards, recovered) {
                    Ok((engine, position)) => {
                        return Ok((evidence, Found::Engine(Box::new(engine), position)));
                    }
                    Err(RestoreError::Unreadable(cause)) => cause,
                    Err(other) => {
                        evidence.set_aside(&other.to_string(), now_ns)?;
                        break;
                    }
                },
                Err(ReadError::OtherFormat { found }) => {
                    let cause = format!("{name} is of format {found}, and this isotel reads {FORMAT}");
                    evidence.set_aside(&cause, now_ns)?;
                    break;
                }
                Err(other) => other.to_string(),
            };
            recovered.damaged_files += 1;
            tracing::error!(
                file = %directory.join(&name).display(), cause,
                "a checkpoint cannot be read; going on from the one before it and the log"
            );
            evidence.put_off(&name)?;
        }
        Ok((evidence, Found::Nothing))
    }

    fn restore(
        &mut self,
        name: &str,
        content: &[u8],
        plan: &Plan,
        shards: usize,
        recovered: &mut Recovered,
    ) -> Result<(Engine, u64), RestoreError> {
        let (manifest, state): (Manifest, &[u8]) = postcard::take_from_bytes(content)?;
        let (mut windows, mut damaged) = (BTreeMap::new(), Vec::new());
        let good = manifest.windows.iter().filter_map(|window| {
            let name = window_name(window.index);
            match file::read(&self.directory.join(&name), FORMAT) {
                Ok(content) if xxh3_64(&content) == window.sum => {
                    windows.insert(window.index, *window);
                    Some(content)
                }
                result => {
                    let cause =
                        result.err().map_or("is another than the checkpoint's".to_owned(), |e| e.to_string());
                    damaged.push((name, cause));
                    None
                }
            }
        });
        let engine = Engine::restore(plan.clone(), shards, state, good)?;
        for (name, cause) in damaged {
            recovered.damaged_files += 1;
            let file = self.directory.join(&name);
            tracing::error!(file = %file.display(), cause, "a sealed window is lost; its requests count nowhere");
            // One that is not there cannot be put off.
            let _ = self.put_off(&name);
        }
        recovered.windows = windows.len() as u64;
        let position = manifest.position;
        let indices = windows.keys().copied().collect();
        self.kept = vec![Kept { name: name.to_owned(), position, windows: indices }];
        self.windows = windows;
        Ok((engine, position))
    }

    /// Writes a checkpoint that stands at `position`, and removes what the two newest do not need. Returns the position from
    /// which on the log is needed.
    ///
    /// # Errors
    /// The file and the system's words; what was there before is still good then.
    pub(super) fn save(
        &mut self,
        engine: &Engine,
        checkpoint: &Checkpoint,
        position: u64,
        now_ns: u64,
    ) -> Result<u64, StorageError> {
        let kept_ns = engine.look_back_ns();
        let is_over = |window: &Window| window.stored_ns.saturating_add(kept_ns) < now_ns;
        self.expired
            .extend(self.windows.values().filter(|window| is_over(window)).map(|window| window.index));
        self.expired.retain(|index| checkpoint.windows.contains(index));
        let wanted: BTreeSet<u64> = checkpoint.windows.iter().copied().collect();
        let wanted: BTreeSet<u64> = wanted.difference(&self.expired).copied().collect();
        self.windows.retain(|index, _| wanted.contains(index));
        for index in &wanted {
            if self.windows.contains_key(index) {
                continue;
            }
            let Some(content) = engine.sealed_bytes(*index) else { continue };
            self.write(&window_name(*index), &content)?;
            let window = Window { index: *index, sum: xxh3_64(&content), stored_ns: now_ns };
            self.windows.insert(*index, window);
        }
        let manifest = Manifest { position, windows: self.windows.values().copied().collect() };
        let name = format!("{CHECKPOINT}{:020}.isotel", self.next);
        let mut content = postcard::to_stdvec(&manifest).map_err(RestoreError::from)?;
        content.extend_from_slice(&checkpoint.state);
        self.write(&name, &content)?;
        self.next += 1;
        self.kept.push(Kept { name, position, windows: self.windows.keys().copied().collect() });
        let older = self.kept.len().saturating_sub(KEPT);
        self.kept.drain(..older);
        self.clean(kept_ns, now_ns)?;
        Ok(self.kept.first().map_or(0, |oldest| oldest.position))
    }

    /// Whether there are windows that further checkpoints would not keep: their time is over, or only the one before the newest
    /// names them.
    pub(super) fn has_leftovers(&self, kept_ns: u64, now_ns: u64) -> bool {
        self.windows.values().any(|window| window.stored_ns.saturating_add(kept_ns) < now_ns)
            || self.kept.iter().flat_map(|kept| &kept.windows).any(|index| !self.windows.contains_key(index))
    }

    /// Bytes of all files but the log's.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Removes every file that no checkpoint needs, and counts the others.
    fn clean(&mut self, kept_ns: u64, now_ns: u64) -> Result<(), StorageError> {
        let windows: BTreeSet<u64> = self.kept.iter().flat_map(|kept| &kept.windows).copied().collect();
        let mut needed: BTreeSet<String> = windows.into_iter().map(window_name).collect();
        needed.extend(self.kept.iter().map(|kept| kept.name.clone()));
        let mut bytes = 0;
        for entry in fs::read_dir(&self.directory).map_err(self.io(&self.directory))? {
            let entry = entry.map_err(self.io(&self.directory))?;
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let aged = || age_ns(&entry, now_ns).is_none_or(|age_ns| age_ns > kept_ns);
            let is_ours = name.starts_with(CHECKPOINT) || name.starts_with(WINDOW);
            let removed = match () {
                () if name.starts_with(SET_ASIDE) && aged() => fs::remove_dir_all(&path),
                () if name.ends_with(DAMAGED) && aged() => fs::remove_file(&path),
                // A write that the end of a process has cut short.
                () if name.ends_with(".tmp") => fs::remove_file(&path),
                () if name.starts_with(SET_ASIDE) || name.ends_with(DAMAGED) => {
                    bytes += size(&path);
                    continue;
                }
                () if is_ours && !needed.contains(&name) => fs::remove_file(&path),
                () if is_ours => {
                    bytes += size(&path);
                    continue;
                }
                () => continue,
            };
            removed.map_err(self.io(&path))?;
        }
        self.bytes = bytes;
        Ok(())
    }

    /// The names of the checkpoints, rising by number.
    fn checkpoints(&mut self) -> Result<Vec<String>, StorageError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(self.io(&self.directory))? {
            let name = entry.map_err(self.io(&self.directory))?.file_name().to_string_lossy().into_owned();
            let Some(rest) = name.strip_prefix(CHECKPOINT) else { continue };
            let number = rest.split('.').next().and_then(|number| number.parse::<u64>().ok());
            self.next = self.next.max(number.map_or(0, |number| number.saturating_add(1)));
            if name.ends_with(".isotel") {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Gives a file that cannot be read another name, so that it is neither read again nor overwritten.
    fn put_off(&self, name: &str) -> Result<(), StorageError> {
        let path = self.directory.join(name);
        fs::rename(&path, self.directory.join(format!("{name}{DAMAGED}"))).map_err(self.io(&path))
    }

    /// Moves all that is there out of the way.
    fn set_aside(&self, cause: &str, now_ns: u64) -> Result<(), StorageError> {
        let aside = self.directory.join(format!("{SET_ASIDE}{}", now_ns / 1_000_000_000));
        fs::create_dir_all(&aside).map_err(self.io(&aside))?;
        for entry in fs::read_dir(&self.directory).map_err(self.io(&self.directory))? {
            let entry = entry.map_err(self.io(&self.directory))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".isotel") || name.ends_with(".log") {
                fs::rename(entry.path(), aside.join(&name)).map_err(self.io(&entry.path()))?;
            }
        }
        tracing::error!(
            cause, directory = %aside.display(),
            "the evidence on disk cannot be used and is set aside; to use it, start with the configuration it was made with \
             and these files in their place"
        );
        Ok(())
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<(), StorageError> {
        file::write(&self.directory, name, FORMAT, content).map_err(self.io(&self.directory.join(name)))?;
        Ok(())
    }

    fn io(&self, path: &Path) -> impl FnOnce(io::Error) -> StorageError + use<> {
        let path = path.to_owned();
        move |cause| StorageError::Io { path, cause }
    }
}

/// The newest checkpoint of a directory that can be read, with its sealed windows; nothing is changed, and an agent may be at
/// work there.
///
/// # Errors
/// [`StorageError`]: there is none, or it is of a later isotel.
pub fn newest_checkpoint(directory: &Path) -> Result<(Vec<u8>, Vec<Vec<u8>>), StorageError> {
    let io = |cause| StorageError::Io { path: directory.to_owned(), cause };
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(io)? {
        let name = entry.map_err(io)?.file_name().to_string_lossy().into_owned();
        if name.starts_with(CHECKPOINT) && name.ends_with(".isotel") {
            names.push(name);
        }
    }
    names.sort();
    for name in names.into_iter().rev() {
        let path = directory.join(&name);
        let content = match file::read(&path, FORMAT) {
            Ok(content) => content,
            Err(ReadError::OtherFormat { found }) if found > FORMAT => {
                return Err(StorageError::Future { path, found, known: FORMAT });
            }
            // Damaged, or replaced by a newer one meanwhile: the one before is there as well.
            Err(_) => continue,
        };
        let (manifest, state): (Manifest, &[u8]) =
            postcard::take_from_bytes(&content).map_err(RestoreError::from)?;
        let window = |window: &Window| {
            let content = file::read(&directory.join(window_name(window.index)), FORMAT).ok()?;
            (xxh3_64(&content) == window.sum).then_some(content)
        };
        let windows: Option<Vec<Vec<u8>>> = manifest.windows.iter().map(window).collect();
        if let Some(windows) = windows {
            return Ok((state.to_vec(), windows));
        }
    }
    Err(io(io::Error::new(
        io::ErrorKind::NotFound,
        "there is no checkpoint of an agent that can be read whole",
    )))
}

fn window_name(index: u64) -> String {
    format!("{WINDOW}{index:020}.isotel")
}

/// How long ago a file was written, by its own time; `None` where the system does not say.
fn age_ns(entry: &fs::DirEntry, now_ns: u64) -> Option<u64> {
    let written = entry.metadata().ok()?.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(now_ns.saturating_sub(u64::try_from(written.as_nanos()).ok()?))
}

/// Bytes of a file, or of the files in a directory.
fn size(path: &Path) -> u64 {
    let of_file = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    match fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| of_file(&entry.path())).sum(),
        Err(_) => of_file(path),
    }
}
