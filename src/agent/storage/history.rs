//! What comparisons came to, on disk: a log of entries ([`crate::report::history::entry`]) in a folder of its own.
//!
//! A segment holds the looks of a thirtieth of the retention. One whose looks are all older than the retention is removed;
//! beyond the bound on bytes the oldest one is. A look that cannot be written is told and not tried again: it is in memory.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::{
    StorageError,
    log::{AppendError, Label, Log, Read},
    metrics::family,
    tell,
};
use crate::{
    agent::prometheus::{Family, Kind, Value},
    config::HistoryConfig,
    judge::Report,
    report::history::{
        Histories, History,
        entry::{Entry, FORMAT},
    },
};

/// The folder in a storage's directory.
const FOLDER: &str = "history";
const LOG: &str = "looks";
/// Segments that a retention is spread over.
const SEGMENTS: u64 = 30;
/// How often it is looked for what is too old.
const EXPIRE_EVERY_NS: u64 = 60_000_000_000;

/// What a history says of itself.
#[derive(Debug, Default)]
pub struct HistoryCounters {
    bytes: AtomicU64,
    looks: AtomicU64,
    failures: AtomicU64,
    dropped: AtomicU64,
    unread: AtomicU64,
}

/// The looks on disk.
#[derive(Debug)]
pub struct HistoryLog {
    log: Log,
    config: HistoryConfig,
    /// Where a segment's first look is, and when that was; rising.
    begins: VecDeque<(u64, u64)>,
    newest_ns: u64,
    /// The scene that the newest segment has of each comparison.
    scenes: BTreeMap<String, u64>,
    failing: bool,
    counters: Arc<HistoryCounters>,
}

impl HistoryLog {
    /// Opens the history in a storage's directory, which the storage has taken for this process, and reads what is there.
    ///
    /// # Errors
    /// [`StorageError`]; damage is none: it is told, counted and left out.
    pub fn open(
        directory: &Path,
        config: &HistoryConfig,
        now_ns: u64,
    ) -> Result<(HistoryLog, Histories), StorageError> {
        let folder = directory.join(FOLDER);
        let unusable = |cause| StorageError::Directory { path: folder.clone(), cause };
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(unusable)?;
        let log = Log::open(&folder, LOG, config.max_bytes, 0)?;
        let mut histories = Histories::new(config.retention_ns());
        let (mut begins, mut unread, mut newest_ns) = (VecDeque::new(), Unread::default(), 0);
        let span_ns = config.retention_ns() / SEGMENTS;
        let read = log.read(0, |position, label, body| {
            let Some((at_ns, entry)) = unread.entry(label, body) else { return };
            newest_ns = newest_ns.max(at_ns);
            if begins.back().is_none_or(|(_, begun_ns)| at_ns >= begun_ns + span_ns) {
                begins.push_back((position, at_ns));
            }
            histories.note(&entry);
        })?;
        if let Some(found) = unread.later {
            return Err(StorageError::Future { path: folder, found, known: FORMAT });
        }
        tell(&read.damaged);
        histories.expire(now_ns);
        let counters = Arc::new(HistoryCounters::default());
        counters.unread.store(unread.entries + read.damaged.len() as u64, Relaxed);
        let scenes = BTreeMap::new();
        let config = config.clone();
        let mut history = HistoryLog { log, config, begins, newest_ns, scenes, failing: false, counters };
        history.expire(now_ns);
        tracing::info!(folder = %folder.display(), looks = read.records, "history opened");
        Ok((history, histories))
    }

    /// Keeps a look.
    pub fn keep(&mut self, entry: &Entry) {
        let span_ns = self.config.retention_ns() / SEGMENTS;
        // A segment is read without those before it, so that it describes each scene itself.
        if self.scenes.is_empty()
            || self.begins.back().is_none_or(|(_, begun_ns)| entry.at_ns >= begun_ns.saturating_add(span_ns))
        {
            let position = self.log.roll();
            if self.begins.back().is_none_or(|(known, _)| *known != position) {
                self.begins.push_back((position, entry.at_ns));
            }
            self.scenes.clear();
        }
        let body = entry.to_bytes(self.scenes.get(&entry.comparison).copied());
        let mut label: Label = [0; 16];
        label[..8].copy_from_slice(&entry.at_ns.to_le_bytes());
        label[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        let mut appended = self.log.append(&label, &body);
        while matches!(appended, Err(AppendError::Full { .. })) && self.drop_oldest() {
            appended = self.log.append(&label, &body);
        }
        match appended {
            Ok(_) => {
                self.newest_ns = self.newest_ns.max(entry.at_ns);
                self.scenes.insert(entry.comparison.clone(), entry.scene);
                self.counters.looks.fetch_add(1, Relaxed);
                self.failing = false;
            }
            Err(cause) => {
                self.counters.failures.fetch_add(1, Relaxed);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%cause, "the history on disk takes no looks; a restart will miss them");
                }
            }
        }
        self.expire(entry.at_ns);
    }

    /// Removes what is older than the retention: whole segments, a thirtieth of it later at the latest.
    pub fn expire(&mut self, now_ns: u64) {
        let oldest_ns = now_ns.saturating_sub(self.config.retention_ns());
        let mut before = None;
        while let Some((position, begun_ns)) = self.begins.get(1).copied().filter(|(_, at)| *at <= oldest_ns)
        {
            before = Some((position, begun_ns));
            self.begins.pop_front();
        }
        if self.begins.len() == 1 && self.newest_ns < oldest_ns {
            before = Some((self.log.roll(), 0));
            self.begins.clear();
            self.scenes.clear();
        }
        if let Some((position, _)) = before {
            self.trim(position);
        }
        self.counters.bytes.store(self.log.bytes(), Relaxed);
    }

    /// Gives way to a new look at the bound on bytes; whether anything went.
    fn drop_oldest(&mut self) -> bool {
        let Some((position, _)) = self.begins.get(1).copied() else { return false };
        self.begins.pop_front();
        self.counters.dropped.fetch_add(1, Relaxed);
        tracing::warn!(
            max_bytes = self.config.max_bytes,
            "the history is at parity.history.max_bytes; its oldest part is gone before its time"
        );
        self.trim(position)
    }

    fn trim(&self, before: u64) -> bool {
        match self.log.trim(before) {
            Ok(gone) => gone > 0,
            Err(cause) => {
                tracing::warn!(%cause, "a part of the history cannot be removed; it will be tried again");
                false
            }
        }
    }
}

/// The histories of an agent, and their place on disk where there is one.
#[derive(Debug)]
pub struct Archive {
    histories: Histories,
    log: Option<HistoryLog>,
    /// When what is too old was looked for last.
    expired_ns: u64,
}

impl Archive {
    /// Of an agent whose storage has this directory, or none.
    ///
    /// # Errors
    /// [`StorageError`]
    pub fn open(
        directory: Option<&Path>,
        config: &HistoryConfig,
        now_ns: u64,
    ) -> Result<Archive, StorageError> {
        let (log, histories) = match directory {
            Some(directory) => {
                let (log, histories) = HistoryLog::open(directory, config, now_ns)?;
                (Some(log), histories)
            }
            None => (None, Histories::new(config.retention_ns())),
        };
        Ok(Archive { histories, log, expired_ns: now_ns })
    }

    /// Keeps what a comparison came to.
    pub fn note(&mut self, report: &Report) {
        let Some(entry) = Entry::of(report) else { return };
        self.histories.note(&entry);
        if let Some(log) = &mut self.log {
            log.keep(&entry);
        }
    }

    /// A comparison's history so far.
    pub fn of(&self, comparison: &str) -> Arc<History> {
        let known = self.histories.of(comparison).cloned();
        Arc::new(known.unwrap_or_else(|| History::new(0)))
    }

    /// Forgets what is too old, though nothing is judged; looks once a minute at the most.
    pub fn expire(&mut self, now_ns: u64) {
        if now_ns.saturating_sub(self.expired_ns) < EXPIRE_EVERY_NS {
            return;
        }
        self.expired_ns = now_ns;
        self.histories.expire(now_ns);
        if let Some(log) = &mut self.log {
            log.expire(now_ns);
        }
    }

    /// Has what was kept survive the end of power.
    ///
    /// # Errors
    /// The system's words.
    pub fn sync(&self) -> std::io::Result<()> {
        self.log.as_ref().map_or(Ok(()), |log| log.log.sync().map(drop))
    }

    /// What the part on disk says of itself, if there is one.
    pub fn counters(&self) -> Option<Arc<HistoryCounters>> {
        self.log.as_ref().map(|log| Arc::clone(&log.counters))
    }
}

/// Reads a history without changing anything, though an agent may be writing it.
///
/// # Errors
/// [`StorageError`]: it is not there, or of a later isotel.
pub fn read(directory: &Path, retention_ns: u64) -> Result<(Histories, Read), StorageError> {
    let mut histories = Histories::new(retention_ns);
    let mut unread = Unread::default();
    let folder = directory.join(FOLDER);
    let read = Log::look(&folder, LOG, |label, body| {
        if let Some((_, entry)) = unread.entry(label, body) {
            histories.note(&entry);
        }
    })?;
    match unread.later {
        Some(found) => Err(StorageError::Future { path: folder, found, known: FORMAT }),
        None => Ok((histories, read)),
    }
}

/// Records that are no entry of this isotel.
#[derive(Default)]
struct Unread {
    entries: u64,
    /// The format of a later isotel.
    later: Option<u32>,
}

impl Unread {
    fn entry(&mut self, label: &Label, body: &[u8]) -> Option<(u64, Entry)> {
        let at_ns = u64::from_le_bytes(label[..8].try_into().ok()?);
        let format = u32::from_le_bytes(label[8..12].try_into().ok()?);
        if format > FORMAT {
            self.later = Some(format);
            return None;
        }
        let entry = Entry::from_bytes(body).filter(|entry| format == FORMAT && entry.at_ns == at_ns);
        self.entries += u64::from(entry.is_none());
        Some((at_ns, entry?))
    }
}

impl HistoryCounters {
    /// Families for [`crate::agent::Sources`].
    pub fn families(&self) -> Vec<Family> {
        let counter = |name, unit, help, value: &AtomicU64| {
            family(Kind::Counter, (name, unit, help), Value::Count(value.load(Relaxed)))
        };
        vec![
            counter("isotel_history_looks", "{look}", "Looks written to the history on disk.", &self.looks),
            counter(
                "isotel_history_failures",
                "{look}",
                "Looks that could not be written to the history.",
                &self.failures,
            ),
            counter(
                "isotel_history_dropped_segments",
                "{segment}",
                "Parts of the history that went before their time because of parity.history.max_bytes.",
                &self.dropped,
            ),
            counter(
                "isotel_history_unread_records",
                "{record}",
                "Records of the history that could not be read at the start.",
                &self.unread,
            ),
            family(
                Kind::Gauge,
                ("isotel_history_bytes", "By", "Bytes of the history on disk."),
                Value::Level(self.bytes.load(Relaxed) as f64),
            ),
        ]
    }
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
