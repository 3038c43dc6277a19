//! What was acknowledged survives the end of the process: a log of requests, and checkpoints of the engine.
//!
//! ```text
//! request ─append→ log ─record→ engine ─→ acknowledged
//!                   └ trimmed up to ─ checkpoint ←─ seal
//! ```
//!
//! A request is appended and recorded behind one gate that requests share ([`Storage::keep`]). A checkpoint shuts the gate
//! for the moment in which it takes the open windows out of the shards and has the log begin a new segment: what lies before
//! that position is in the checkpoint, and nothing that lies after it ([`Storage::checkpoint`]). So an engine that is restored
//! and observes again what the log holds from there on is the engine that there was. A seal is followed by its checkpoint
//! before its results leave, so that no window leaves twice with two contents.
//!
//! The engine gives and takes bytes; the files are in [`log`] and `evidence`. What waits for a next hop is in `backlog`, and what
//! comparisons came to in [`history`].

pub(crate) mod backlog;
mod evidence;
mod file;
pub mod history;
mod intake;
pub(crate) mod leftovers;
pub mod log;
mod metrics;

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

pub use evidence::newest_checkpoint;
pub use intake::Durable;

use self::{
    evidence::{Evidence, Found},
    file::ReadError,
    log::{AppendError, Label, Log, OpenError},
    metrics::Counters,
};
use super::intake::Unkept;
use crate::{
    config::{Fsync, StorageConfig},
    engine::{Engine, Plan, checkpoint::RestoreError},
    wire::{Malformed, Refusals, Signal},
};

const UNWRITABLE: Unkept = "the storage cannot be written";
const FULL: Unkept = "the storage is full";
const LOG: &str = "requests";
const LOCK: &str = "lock";
const ALERTS: &str = "alerts";
/// The form of what is kept of alerts; another one is not read.
const ALERTS_FORMAT: u32 = 1;
/// How long requests stay in the log at the most while nothing is sealed.
const CHECKPOINT_EVERY_NS: u64 = 300_000_000_000;
/// How long until a checkpoint that failed is tried again.
const AGAIN_NS: u64 = 5_000_000_000;
/// The part of the disk's bound that the log may have before a checkpoint is made: a crash replays that much, or twice that
/// where the newest checkpoint is damaged.
const LOG_SHARE: u64 = 8;
/// How long requests are refused unread after the disk has refused one.
const PAUSE: Duration = Duration::from_secs(1);

/// Why there is no storage, or no checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The directory cannot be used.
    #[error(
        "cannot use {} ({cause}); give the user that runs isotel the right to write there, or name another directory",
        path.display()
    )]
    Directory {
        /// The directory, or the file in it.
        path: PathBuf,
        /// The system's words.
        cause: io::Error,
    },
    /// Somebody else uses it.
    #[error(
        "{} is in use by another agent{}; stop that one, or name another directory",
        path.display(), if holder.is_empty() { String::new() } else { format!(" (process {holder})") }
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The other's process id, as it says.
        holder: String,
    },
    /// A later isotel wrote here.
    #[error(
        "{} is of format {found}, and this isotel reads up to {known}; start the isotel that wrote it, or name another \
         directory. Nothing was changed",
        path.display()
    )]
    Future {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The latest that is known here.
        known: u32,
    },
    /// A file cannot be read or written.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        cause: io::Error,
    },
    /// The engine's state has no bytes.
    #[error("the engine's state: {0}")]
    State(#[from] RestoreError),
}

impl From<OpenError> for StorageError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Future { path, found } => StorageError::Future { path, found, known: log::FORMAT },
            OpenError::Io { path, cause } => StorageError::Io { path, cause },
        }
    }
}

/// What was there at the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Requests of the log that were recorded again.
    pub requests: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Sealed windows.
    pub windows: u64,
    /// Parts of the log that no request could be read from.
    pub damaged_records: u64,
    /// Checkpoints and sealed windows that could not be read.
    pub damaged_files: u64,
}

/// A directory at work.
#[derive(Debug)]
pub struct Storage {
    config: StorageConfig,
    log: Log,
    /// Requests share it; the moment of a checkpoint has it alone.
    gate: RwLock<()>,
    cold: Mutex<Cold>,
    /// Set when the disk refused a request, and taken back after [`PAUSE`].
    paused: AtomicBool,
    /// Whether the last request was refused, so that it is told once.
    refusing: AtomicBool,
    /// What lies before this position survives the end of power.
    synced: AtomicU64,
    syncing: tokio::sync::Mutex<()>,
    counters: Counters,
    recovered: Recovered,
    /// Held as long as the directory is used.
    _lock: File,
}

/// What only checkpoints touch.
#[derive(Debug)]
struct Cold {
    evidence: Evidence,
    /// Where the newest checkpoint stands.
    position: u64,
    /// When the next one is due at the latest, nanoseconds since the epoch, if there is anything to save or remove.
    due_ns: u64,
    /// Before which none is made, because one has failed.
    not_before_ns: u64,
}

impl Storage {
    /// Takes the directory, and gives the engine that the agent had that used it last, or a new one.
    ///
    /// # Errors
    /// [`StorageError`]: the directory cannot be written, is in use, or was written by a later isotel. What cannot be read
    /// for other reasons is told in the log, counted, and left out.
    pub fn open(
        config: &StorageConfig,
        plan: Plan,
        shards: usize,
        now_ns: u64,
    ) -> Result<(Arc<Storage>, Engine), StorageError> {
        let directory = &config.directory;
        let unusable = |cause| StorageError::Directory { path: directory.clone(), cause };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(unusable)?;
        let lock = take_lock(directory)?;
        // Formats first: nothing is changed where a later isotel wrote.
        Log::open(directory, LOG, config.max_bytes, 0)?;
        let mut recovered = Recovered::default();
        let (evidence, found) = Evidence::open(directory, (&plan, shards), now_ns, &mut recovered)?;
        let (mut engine, position) = match found {
            Found::Engine(engine, position) => (*engine, position),
            Found::Nothing => (Engine::new(plan, shards), 0),
        };
        let log = Log::open(directory, LOG, config.max_bytes, position)?;
        replay(&log, position, &engine, &mut recovered)?;
        engine.resume(now_ns);
        let storage = Arc::new(Storage {
            config: config.clone(),
            synced: AtomicU64::new(0),
            log,
            gate: RwLock::new(()),
            cold: Mutex::new(Cold { evidence, position, due_ns: now_ns, not_before_ns: 0 }),
            paused: AtomicBool::new(false),
            refusing: AtomicBool::new(false),
            syncing: tokio::sync::Mutex::new(()),
            counters: Counters::default(),
            recovered: recovered.clone(),
            _lock: lock,
        });
        // Since when is observed is known from now on, and what was read need not be read again.
        storage.checkpoint(&mut engine, now_ns)?;
        tracing::info!(
            directory = %directory.display(),
            requests = recovered.requests, bytes = recovered.bytes, windows = recovered.windows,
            damaged_records = recovered.damaged_records, damaged_files = recovered.damaged_files,
            "storage opened"
        );
        Ok((storage, engine))
    }

    /// What was there at the start.
    pub fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// The settings that it was opened with.
    pub fn config(&self) -> &StorageConfig {
        &self.config
    }

    /// Whether a request would be kept, as far as can be told before it is there. One that would not be is counted as refused.
    ///
    /// # Errors
    /// Why not.
    pub fn room(&self) -> Result<(), Unkept> {
        match () {
            () if self.paused.load(Relaxed) => Err(self.refuse(UNWRITABLE, &UNWRITABLE)),
            () if !self.log.has_room() => Err(self.refuse(FULL, &FULL)),
            () => Ok(()),
        }
    }

    /// Appends a request and records it, or neither.
    ///
    /// # Errors
    /// Why it is not kept; then `record` was not called.
    pub fn keep(
        &self,
        now_ns: u64,
        signal: Signal,
        request: &[u8],
        record: impl FnOnce() -> Result<Refusals, Malformed>,
    ) -> Result<Result<Refusals, Malformed>, Unkept> {
        let _gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        match self.log.append(&label(now_ns, signal), request) {
            Ok(_) => {
                self.counters.kept(request.len());
                if self.refusing.load(Relaxed) && self.refusing.swap(false, Relaxed) {
                    tracing::info!("the storage takes requests again");
                }
                Ok(record())
            }
            Err(error) => {
                let why = match error {
                    AppendError::Io(_) => UNWRITABLE,
                    AppendError::Full { .. } => FULL,
                    AppendError::TooLong { .. } => "the request is too long for the storage",
                };
                if matches!(error, AppendError::Io(_)) {
                    self.paused.store(true, Relaxed);
                }
                Err(self.refuse(why, &error))
            }
        }
    }

    /// Counts a request that is not kept; the first of a run is told.
    #[cold]
    fn refuse(&self, why: Unkept, cause: &dyn std::fmt::Display) -> Unkept {
        self.counters.refused.fetch_add(1, Relaxed);
        if !self.refusing.swap(true, Relaxed) {
            let directory = self.config.directory.display();
            tracing::error!(%directory, %cause, "the storage takes no requests; senders are told to come again");
        }
        why
    }

    /// Whether what has been kept so far survives what the configuration says it survives before it is acknowledged.
    pub fn is_durable(&self) -> bool {
        self.config.fsync != Fsync::Always || self.synced.load(Relaxed) >= self.log.position()
    }

    /// Waits until what has been kept so far may be acknowledged. Requests that wait at the same time share one sync.
    ///
    /// # Errors
    /// The disk does not take it; then it must not be acknowledged.
    pub async fn durable(self: Arc<Storage>) -> Result<(), Unkept> {
        let wanted = self.log.position();
        let _turn = self.syncing.lock().await;
        if self.synced.load(Relaxed) >= wanted {
            return Ok(());
        }
        let storage = Arc::clone(&self);
        match tokio::task::spawn_blocking(move || storage.sync()).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(UNWRITABLE),
        }
    }

    /// Has what was kept so far survive the end of power.
    ///
    /// # Errors
    /// The system's words.
    pub fn sync(&self) -> io::Result<()> {
        match self.log.sync() {
            Ok(position) => {
                self.synced.fetch_max(position, Relaxed);
                Ok(())
            }
            Err(cause) => {
                self.counters.sync_failures.fetch_add(1, Relaxed);
                Err(cause)
            }
        }
    }

    /// Whether a checkpoint should be made though nothing was sealed.
    pub fn is_due(&self, engine: &Engine, now_ns: u64) -> bool {
        let cold = self.cold();
        let is_long = self.log.position().saturating_sub(cold.position) > self.config.max_bytes / LOG_SHARE;
        let leftovers = cold.evidence.has_leftovers(engine.look_back_ns(), now_ns);
        let waits = self.log.bytes() > 0 || leftovers;
        now_ns >= cold.not_before_ns && (is_long || (waits && now_ns >= cold.due_ns))
    }

    /// Makes a checkpoint and removes what it makes needless. Requests wait for microseconds.
    ///
    /// # Errors
    /// [`StorageError`]; then the checkpoint before and the log since then are still good.
    pub fn checkpoint(&self, engine: &mut Engine, now_ns: u64) -> Result<(), StorageError> {
        let mut cold = self.cold();
        let (position, cut) = {
            let _gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
            (self.log.roll(), engine.cut())
        };
        let result = engine
            .checkpoint(cut)
            .map_err(StorageError::from)
            .and_then(|checkpoint| cold.evidence.save(engine, &checkpoint, position, now_ns));
        let needed_from = match result {
            Ok(needed_from) => needed_from,
            Err(error) => {
                self.counters.checkpoint_failures.fetch_add(1, Relaxed);
                cold.not_before_ns = now_ns.saturating_add(AGAIN_NS);
                return Err(error);
            }
        };
        cold.position = position;
        cold.due_ns = now_ns.saturating_add(CHECKPOINT_EVERY_NS);
        let io = |cause| StorageError::Io { path: self.config.directory.clone(), cause };
        self.log.trim(needed_from).map_err(io)?;
        let bytes = cold.evidence.bytes();
        self.counters.checkpoint(bytes);
        self.log.set_bound(self.config.max_bytes.saturating_sub(bytes));
        if bytes >= self.config.max_bytes {
            tracing::error!(
                bytes,
                max_bytes = self.config.max_bytes,
                "the evidence alone fills extensions.{}.max_bytes, so that no request is taken; raise it, or shorten \
                 parity.period",
                self.config.id
            );
        }
        Ok(())
    }

    /// Replaces what is kept of alerts.
    ///
    /// # Errors
    /// [`StorageError`]; what was before stays.
    pub fn keep_alerts(&self, content: &[u8]) -> Result<(), StorageError> {
        let directory = &self.config.directory;
        let io = |cause| StorageError::Io { path: directory.join(ALERTS), cause };
        file::write(directory, ALERTS, ALERTS_FORMAT, content).map(|_| ()).map_err(io)
    }

    /// What was kept of alerts. What cannot be read is told, and left until it is replaced.
    pub fn alerts(&self) -> Option<Vec<u8>> {
        let path = self.config.directory.join(ALERTS);
        match file::read(&path, ALERTS_FORMAT) {
            Ok(content) => Some(content),
            Err(ReadError::Io(cause)) if cause.kind() == io::ErrorKind::NotFound => None,
            Err(cause) => {
                tracing::warn!(path = %path.display(), %cause, "what was kept of alerts is not read; error budgets begin anew");
                None
            }
        }
    }

    /// Syncs in time and lets requests try again after a pause, until the storage is gone. Call inside a tokio runtime.
    pub fn look_after(self: &Arc<Storage>) {
        let storage = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(PAUSE).await;
                let Some(storage) = storage.upgrade() else { return };
                storage.paused.store(false, Relaxed);
            }
        });
        let Fsync::Interval(interval) = self.config.fsync else { return };
        let storage = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(interval).await;
                let Some(storage) = storage.upgrade() else { return };
                if storage.synced.load(Relaxed) >= storage.log.position() {
                    continue;
                }
                let result = tokio::task::spawn_blocking(move || storage.sync()).await;
                if let Ok(Err(cause)) = result {
                    tracing::error!(%cause, "the storage cannot be synced; the end of power may lose requests");
                }
            }
        });
    }

    fn cold(&self) -> MutexGuard<'_, Cold> {
        self.cold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the directory for this process.
pub(super) fn take_lock(directory: &Path) -> Result<File, StorageError> {
    let path = directory.join(LOCK);
    let unusable = |cause| StorageError::Directory { path: path.clone(), cause };
    let mut options = OpenOptions::new();
    let mut lock = options
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // It is only for the message.
            let _ = lock.read_to_string(&mut holder);
            return Err(StorageError::Locked {
                path: directory.to_owned(),
                holder: holder.trim().to_owned(),
            });
        }
        Err(TryLockError::Error(cause)) => return Err(unusable(cause)),
    }
    lock.set_len(0).map_err(unusable)?;
    writeln!(lock, "{}", std::process::id()).map_err(unusable)?;
    Ok(lock)
}

/// Tells of damage, each part by name.
pub(super) fn tell(damaged: &[log::Damage]) {
    for damage in damaged {
        let file = damage.path.display();
        let (offset, bytes, what) = (damage.offset, damage.bytes, damage.what.as_str());
        match damage.what {
            log::Fault::Tail => {
                tracing::warn!(%file, offset, bytes, what, "the log ends in a write that was cut short");
            }
            _ => tracing::error!(%file, offset, bytes, what, "a part of the log is damaged and left out"),
        }
    }
}

/// Has the engine observe again what the log holds from a position on.
fn replay(log: &Log, from: u64, engine: &Engine, recovered: &mut Recovered) -> Result<(), StorageError> {
    let ingest = engine.ingest();
    let read = log.read(from, |_, label, request| {
        if let Some((now_ns, signal)) = of_label(label) {
            // What was malformed then is malformed now, and was refused.
            let _ = ingest.observe(now_ns, None, signal, request);
        }
    })?;
    tell(&read.damaged);
    recovered.requests = read.records;
    recovered.bytes = read.bytes;
    recovered.damaged_records = read.damaged.len() as u64;
    Ok(())
}

/// What the log says of a request: when it arrived, and what it carries.
fn label(now_ns: u64, signal: Signal) -> Label {
    let mut label = [0; 16];
    label[..8].copy_from_slice(&now_ns.to_le_bytes());
    label[8] = byte_of(signal);
    label
}

/// A signal as a log has it.
pub(super) fn byte_of(signal: Signal) -> u8 {
    match signal {
        Signal::Traces => 1,
        Signal::Metrics => 2,
        Signal::Logs => 3,
    }
}

/// The signal of [`byte_of`].
pub(super) fn signal_of(byte: u8) -> Option<Signal> {
    Signal::ALL.into_iter().find(|signal| byte_of(*signal) == byte)
}

fn of_label(label: &Label) -> Option<(u64, Signal)> {
    let now_ns = u64::from_le_bytes(label[..8].try_into().ok()?);
    Some((now_ns, signal_of(label[8])?))
}
