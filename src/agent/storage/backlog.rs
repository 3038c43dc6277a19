//! What waits for one next hop, on disk: a log of requests, and a log of which of them are done.
//!
//! A request is unfinished from [`Backlog::append`] to [`Backlog::finish`]. Each end is a record of forty bytes that names the
//! request and the oldest one that is unfinished, so that the next start repeats what was being sent when the process was
//! killed, one request for each consumer, and nothing else. Segments before the oldest unfinished request are removed.

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    fs::{DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::{
    StorageError, byte_of,
    log::{AppendError, FetchError, Log, RECORD_BYTES},
    signal_of, take_lock, tell,
};
use crate::{
    config::{Fsync, StorageConfig},
    wire::Signal,
};

const REQUESTS: &str = "requests";
const DONE: &str = "done";
/// Ends in a segment of their log.
const DONE_IN_SEGMENT: u32 = 4096;
/// The part of the bound that a segment may have, so that what is delivered gives room.
const SEGMENT_SHARE: u64 = 8;

/// A request on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Where its record begins.
    pub(crate) position: u64,
    pub(crate) signal: Signal,
    /// Bytes of the request.
    pub(crate) bytes: usize,
}

/// What a start found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Unfinished requests, oldest first.
    pub(crate) requests: Vec<Stored>,
    /// Parts that no request could be read from.
    pub(crate) damaged: u64,
}

/// The files of one exporter's queue.
#[derive(Debug)]
pub(crate) struct Backlog {
    folder: PathBuf,
    requests: Log,
    done: Log,
    fsync: Fsync,
    /// Bytes of all files beyond which nothing is let in.
    bound: AtomicU64,
    books: Mutex<Books>,
    /// Requests before this position survive the end of power.
    synced: AtomicU64,
    syncing: tokio::sync::Mutex<()>,
    _lock: File,
}

#[derive(Debug, Default)]
struct Books {
    unfinished: BTreeSet<u64>,
    /// Where a segment of `done` ended, and the position that all requests named in it lie before.
    ends: VecDeque<(u64, u64)>,
    in_segment: u32,
    /// Where the newest segment of `requests` begins.
    segment: u64,
}

/// The folder of an exporter's queue in a storage.
pub(crate) fn folder(storage: &StorageConfig, id: &str) -> PathBuf {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let name: String = id
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") })
        .collect();
    storage.directory.join(format!("queue-{name}"))
}

impl Backlog {
    /// Takes the folder for this process, and finds what waits in it.
    ///
    /// # Errors
    /// [`StorageError`]; damage is none: it is told, counted and left out.
    pub(crate) fn open(
        folder: &Path,
        storage: &StorageConfig,
    ) -> Result<(Arc<Backlog>, Found), StorageError> {
        let unusable = |cause| StorageError::Directory { path: folder.to_owned(), cause };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unusable)?;
        let lock = take_lock(folder)?;
        let done = Log::open(folder, DONE, u64::MAX, 0)?;
        let (mut low, mut next, mut ended) = (0, 0, HashSet::new());
        let ends = done.read(0, |_, label, _| {
            let [position, oldest] = [&label[..8], &label[8..]].map(number);
            low = low.max(oldest);
            next = next.max(position.saturating_add(1));
            ended.insert(position);
        })?;
        // No new request gets the position of one that is done, though the log may have lost its end with the power.
        let requests = Log::open(folder, REQUESTS, u64::MAX, low.max(next))?;
        let mut found = Found::default();
        let read = requests.read(low, |position, label, body| {
            if let Some(signal) = signal_of(label[0])
                && !ended.contains(&position)
            {
                found.requests.push(Stored { position, signal, bytes: body.len() });
            }
        })?;
        tell(&ends.damaged);
        tell(&read.damaged);
        found.damaged = (ends.damaged.len() + read.damaged.len()) as u64;
        let books = Books {
            unfinished: found.requests.iter().map(|stored| stored.position).collect(),
            ends: [(done.position(), requests.position())].into(),
            in_segment: 0,
            segment: requests.position(),
        };
        let backlog = Arc::new(Backlog {
            folder: folder.to_owned(),
            requests,
            done,
            fsync: storage.fsync,
            bound: AtomicU64::new(storage.max_bytes),
            books: Mutex::new(books),
            synced: AtomicU64::new(0),
            syncing: tokio::sync::Mutex::new(()),
            _lock: lock,
        });
        backlog.trim(backlog.oldest(&backlog.books()));
        let (waiting, damaged) = (found.requests.len(), found.damaged);
        tracing::info!(folder = %folder.display(), waiting, damaged, "queue on disk opened");
        Ok((backlog, found))
    }

    /// Another bound on the bytes of all files.
    pub(crate) fn set_bound(&self, bound: u64) {
        self.bound.store(bound, Relaxed);
    }

    /// Whether another request may be let in. Those that were let in before find a place beyond the bound.
    pub(crate) fn has_room(&self) -> bool {
        self.requests.bytes() + self.done.bytes() < self.bound.load(Relaxed)
    }

    /// Appends a request, which is unfinished from now on.
    ///
    /// # Errors
    /// [`AppendError`]; then it is not there.
    pub(crate) fn append(&self, signal: Signal, request: &[u8]) -> Result<Stored, AppendError> {
        let mut label = [0; 16];
        label[0] = byte_of(signal);
        // Within the lock, so that nobody takes a later request for the oldest.
        let mut books = self.books();
        let end = self.requests.append(&label, request)?;
        let position = end - RECORD_BYTES - request.len() as u64;
        books.unfinished.insert(position);
        if end - books.segment >= self.bound.load(Relaxed) / SEGMENT_SHARE {
            books.segment = self.requests.roll();
        }
        Ok(Stored { position, signal, bytes: request.len() })
    }

    /// The request as it was appended; a blocking read.
    ///
    /// # Errors
    /// [`FetchError`]
    pub(crate) fn fetch(&self, stored: Stored) -> Result<Vec<u8>, FetchError> {
        self.requests.fetch(stored.position, stored.bytes)
    }

    /// A request is done: it is not sent again, and its segment may go.
    pub(crate) fn finish(&self, stored: Stored) {
        let mut books = self.books();
        books.unfinished.remove(&stored.position);
        let oldest = self.oldest(&books);
        if books.in_segment >= DONE_IN_SEGMENT {
            books.ends.push_back((self.done.roll(), self.requests.position()));
            books.in_segment = 0;
        }
        let mut label = [0; 16];
        label[..8].copy_from_slice(&stored.position.to_le_bytes());
        label[8..].copy_from_slice(&oldest.to_le_bytes());
        match self.done.append(&label, &[]) {
            Ok(_) => books.in_segment += 1,
            Err(cause) => {
                let folder = self.folder.display();
                tracing::warn!(%folder, %cause, "a delivered request may be sent again after a restart");
                return self.trim(oldest);
            }
        }
        // The newest end says which request is the oldest; older ends are needed for what comes after it only.
        while let Some((end, _)) = books.ends.front().copied().filter(|(_, before)| *before <= oldest) {
            self.told(self.done.trim(end));
            books.ends.pop_front();
        }
        self.trim(oldest);
    }

    fn oldest(&self, books: &Books) -> u64 {
        books.unfinished.first().copied().unwrap_or_else(|| self.requests.position())
    }

    fn trim(&self, before: u64) {
        self.told(self.requests.trim(before));
    }

    fn told(&self, trimmed: io::Result<usize>) {
        if let Err(cause) = trimmed {
            let folder = self.folder.display();
            tracing::warn!(%folder, %cause, "what was delivered cannot be removed; it will be tried again");
        }
    }

    /// Whether what has been appended so far survives what the configuration says it survives before it is acknowledged.
    pub(crate) fn is_durable(&self) -> bool {
        self.fsync != Fsync::Always || self.synced.load(Relaxed) >= self.requests.position()
    }

    /// Waits until what has been appended so far may be acknowledged. Requests that wait at the same time share one sync.
    ///
    /// # Errors
    /// The system's words.
    pub(crate) async fn durable(self: Arc<Backlog>) -> io::Result<()> {
        let wanted = self.requests.position();
        let _turn = self.syncing.lock().await;
        if self.synced.load(Relaxed) >= wanted {
            return Ok(());
        }
        let backlog = Arc::clone(&self);
        tokio::task::spawn_blocking(move || backlog.sync()).await.map_err(io::Error::other)?
    }

    /// Has all of it survive the end of power, but where the configuration leaves that to the system.
    ///
    /// # Errors
    /// The system's words.
    pub(crate) fn sync(&self) -> io::Result<()> {
        if self.fsync != Fsync::Never && self.synced.load(Relaxed) < self.requests.position() {
            self.synced.fetch_max(self.requests.sync()?, Relaxed);
            self.done.sync()?;
        }
        Ok(())
    }

    /// Syncs in time until the queue is gone. Call inside a tokio runtime.
    pub(crate) fn look_after(self: &Arc<Backlog>) {
        let Fsync::Interval(interval) = self.fsync else { return };
        let backlog = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(interval).await;
                let Some(backlog) = backlog.upgrade() else { return };
                if let Ok(Err(cause)) = tokio::task::spawn_blocking(move || backlog.sync()).await {
                    tracing::error!(%cause, "a queue cannot be synced; the end of power may lose requests");
                }
            }
        });
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
#[path = "backlog_tests.rs"]
mod tests;
