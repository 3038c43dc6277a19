//! A queue bounded in requests and in bytes, that never makes the giver wait; its requests are in memory, or on disk.

use std::{
    collections::{HashMap, VecDeque, hash_map},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
};

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::{
    storage::{
        StorageError,
        backlog::{self, Backlog, Found, Stored},
        log::{AppendError, FetchError},
    },
    telemetry::ExporterCounters,
};
use crate::{
    config::{ExporterConfig, QueueConfig},
    wire::Signal,
};

/// One request on its way downstream: protobuf, not compressed.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) signal: Signal,
    pub(crate) request: Bytes,
}

/// The queues on disk that were ever opened: one stays open when its exporter goes, so that the next of that name goes on
/// with it.
#[derive(Default)]
pub(crate) struct Queues(HashMap<PathBuf, Arc<Queue>>);

impl Queues {
    /// Whether a folder is one of them.
    pub(crate) fn uses(&self, folder: &Path) -> bool {
        self.0.contains_key(folder)
    }

    /// The queue of an exporter, if that is on disk.
    ///
    /// # Errors
    /// [`StorageError`]: its folder cannot be used.
    pub(crate) fn of(
        &mut self,
        id: &str,
        config: &ExporterConfig,
    ) -> Result<Option<Arc<Queue>>, StorageError> {
        let Some(storage) = &config.storage else { return Ok(None) };
        Ok(Some(match self.0.entry(backlog::folder(storage, id)) {
            hash_map::Entry::Occupied(known) => Arc::clone(known.get()),
            hash_map::Entry::Vacant(free) => {
                let (disk, found) = Backlog::open(free.key(), storage)?;
                disk.look_after();
                let counters = Arc::new(ExporterCounters::new(id, 0));
                Arc::clone(free.insert(Arc::new(Queue::on_disk(disk, found, config.queue, counters))))
            }
        }))
    }
}

/// First in, first out; what does not fit is refused, so that the oldest data goes first.
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    /// One permit per waiting item.
    ready: Semaphore,
    /// Where the requests are; `None`: in memory.
    disk: Option<Arc<Backlog>>,
}

struct Waiting {
    entries: VecDeque<Entry>,
    bytes: usize,
    closed: bool,
    bounds: QueueConfig,
    counters: Arc<ExporterCounters>,
    /// Damage that is not counted yet.
    damaged: u64,
}

/// A request that waits. Of one on disk memory holds only the place.
#[derive(Debug)]
enum Entry {
    Memory(Item),
    Disk(Stored),
}

impl Entry {
    fn bytes(&self) -> usize {
        match self {
            Entry::Memory(item) => item.request.len(),
            Entry::Disk(stored) => stored.bytes,
        }
    }

    /// Whether it is on disk before a position.
    fn is_before(&self, position: u64) -> bool {
        matches!(self, Entry::Disk(stored) if stored.position < position)
    }
}

/// A request that has its place on disk, if the queue has one, and is not sent before [`Queue::add`].
#[must_use]
#[derive(Debug)]
pub(crate) struct Kept(Option<Stored>);

impl Queue {
    /// A queue in memory.
    pub(crate) fn new(bounds: QueueConfig, counters: Arc<ExporterCounters>) -> Self {
        let waiting =
            Waiting { entries: VecDeque::new(), bytes: 0, closed: false, bounds, counters, damaged: 0 };
        Queue { waiting: Mutex::new(waiting), ready: Semaphore::new(0), disk: None }
    }

    /// A queue on disk with what an earlier one has left there.
    pub(crate) fn on_disk(
        disk: Arc<Backlog>,
        found: Found,
        bounds: QueueConfig,
        counters: Arc<ExporterCounters>,
    ) -> Self {
        let ready = Semaphore::new(found.requests.len().min(Semaphore::MAX_PERMITS));
        let bytes = found.requests.iter().map(|stored| stored.bytes).sum();
        let entries = found.requests.into_iter().map(Entry::Disk).collect();
        let damaged = found.damaged;
        let waiting = Waiting { entries, bytes, closed: false, bounds, counters, damaged };
        Queue { waiting: Mutex::new(waiting), ready, disk: Some(disk) }
    }

    /// Goes on with other bounds and counters; what waits stays.
    pub(crate) fn hand_over(&self, bounds: QueueConfig, bytes_on_disk: u64, counters: Arc<ExporterCounters>) {
        if let Some(disk) = &self.disk {
            disk.set_bound(bytes_on_disk);
        }
        let mut waiting = self.lock();
        counters.damaged.fetch_add(std::mem::take(&mut waiting.damaged), Relaxed);
        (waiting.bounds, waiting.counters) = (bounds, counters);
        waiting.report();
    }

    /// Where the requests are, if not in memory.
    pub(crate) fn disk(&self) -> Option<&Arc<Backlog>> {
        self.disk.as_ref()
    }

    /// Adds an item, or returns `false` when the queue is full or closed, or the disk takes no more. An empty queue takes one
    /// item of any size, so that a request larger than its bound is not refused for ever.
    pub(crate) fn offer(&self, item: Item) -> bool {
        let full = {
            let waiting = self.lock();
            let bytes = waiting.bytes.saturating_add(item.request.len());
            waiting.closed
                || self.no_place(&waiting)
                || (bytes > waiting.bounds.bytes && !waiting.entries.is_empty())
        };
        !full && self.keep(&item).is_ok_and(|kept| self.add(item, kept))
    }

    /// Whether another request may be let in. Asked before a request is taken, so that its sender can be told to wait.
    pub(crate) fn has_room(&self) -> bool {
        let waiting = self.lock();
        !self.no_place(&waiting) && (waiting.bytes < waiting.bounds.bytes || waiting.entries.is_empty())
    }

    /// Has an item that was let in survive the process, if the queue is on disk.
    ///
    /// # Errors
    /// The disk's; then it is not there.
    pub(crate) fn keep(&self, item: &Item) -> Result<Kept, AppendError> {
        let stored = self.disk.as_ref().map(|disk| disk.append(item.signal, &item.request)).transpose()?;
        Ok(Kept(stored))
    }

    /// What was kept is not sent after all.
    pub(crate) fn forget(&self, kept: Kept) {
        if let (Some(disk), Kept(Some(stored))) = (&self.disk, kept) {
            disk.finish(stored);
        }
    }

    /// Adds an item that was let in when there was room: what was acknowledged is not dropped. So the bounds may be
    /// exceeded by the requests that are in flight, which are bounded themselves. `false` only once the queue is closed; one
    /// that is on disk is then sent after the next start.
    pub(crate) fn add(&self, item: Item, kept: Kept) -> bool {
        let mut waiting = self.lock();
        if waiting.closed {
            return kept.0.is_some();
        }
        waiting.bytes = waiting.bytes.saturating_add(item.request.len());
        waiting.entries.push_back(kept.0.map_or_else(|| Entry::Memory(item), Entry::Disk));
        waiting.report();
        drop(waiting);
        self.ready.add_permits(1);
        true
    }

    fn no_place(&self, waiting: &Waiting) -> bool {
        waiting.entries.len() >= waiting.bounds.requests.clamp(1, Semaphore::MAX_PERMITS >> 1)
            || self.disk.as_ref().is_some_and(|disk| !disk.has_room())
    }

    /// The oldest item; waits for one. `None` once the queue is closed and empty. Nothing is lost when the wait is given up.
    pub(crate) async fn take(&self) -> Option<Taken<'_>> {
        // After the close every permit is refused, and what is left is taken without.
        if let Ok(permit) = self.ready.acquire().await {
            permit.forget();
        }
        let mut waiting = self.lock();
        let entry = waiting.entries.pop_front()?;
        waiting.bytes -= entry.bytes();
        waiting.report();
        Some(Taken { queue: self, entry, done: false })
    }

    /// What is on disk and was not sent waits again, in its old place.
    fn put_back(&self, stored: Stored) {
        let mut waiting = self.lock();
        let place = waiting.entries.partition_point(|entry| entry.is_before(stored.position));
        waiting.entries.insert(place, Entry::Disk(stored));
        waiting.bytes = waiting.bytes.saturating_add(stored.bytes);
        waiting.report();
        drop(waiting);
        self.ready.add_permits(1);
    }

    /// Nothing more comes in; what is there can still be taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.ready.close();
    }

    /// Items waiting.
    pub(crate) fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// The state is whole between any two statements, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn report(&self) {
        self.counters.queue_size.store(self.entries.len() as u64, Relaxed);
        self.counters.queue_bytes.store(self.bytes as u64, Relaxed);
    }
}

/// An item that is being sent. One that is on disk waits again if this is dropped before it is done.
pub(crate) struct Taken<'a> {
    queue: &'a Queue,
    entry: Entry,
    done: bool,
}

impl Taken<'_> {
    /// The request itself.
    ///
    /// # Errors
    /// [`FetchError`] of one on disk.
    pub(crate) async fn item(&self) -> Result<Item, FetchError> {
        match (&self.entry, self.queue.disk.clone()) {
            (Entry::Memory(item), _) => Ok(item.clone()),
            (Entry::Disk(stored), Some(disk)) => {
                let stored = *stored;
                let read = tokio::task::spawn_blocking(move || disk.fetch(stored)).await;
                let request = read.map_err(io::Error::other)??.into();
                Ok(Item { signal: stored.signal, request })
            }
            (Entry::Disk(_), None) => Err(io::Error::other("the queue has no disk").into()),
        }
    }

    /// It was delivered or given up.
    pub(crate) fn done(mut self) {
        self.done = true;
        if let (Entry::Disk(stored), Some(disk)) = (&self.entry, &self.queue.disk) {
            disk.finish(*stored);
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let (Entry::Disk(stored), false) = (&self.entry, self.done) {
            self.queue.put_back(*stored);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::telemetry::{Sources, Telemetry};

    fn queue(requests: usize, bytes: usize) -> Queue {
        Queue::new(
            QueueConfig { consumers: 1, requests, bytes },
            Telemetry::new(Sources::default()).exporter("otlp_grpc", requests),
        )
    }

    fn item(bytes: usize) -> Item {
        Item { signal: Signal::Traces, request: vec![0; bytes].into() }
    }

    async fn taken(queue: &Queue) -> usize {
        queue.take().await.unwrap().entry.bytes()
    }

    #[tokio::test]
    async fn items_leave_in_the_order_they_came() {
        let queue = queue(10, 100);
        for bytes in 1..=3 {
            assert!(queue.offer(item(bytes)));
        }
        assert_eq!(queue.lock().counters.queue_bytes.load(Relaxed), 6);
        for bytes in 1..=3 {
            assert_eq!(taken(&queue).await, bytes);
        }
        assert_eq!(queue.lock().counters.queue_size.load(Relaxed), 0);
        assert_eq!(queue.lock().counters.queue_bytes.load(Relaxed), 0);
    }

    #[test]
    fn both_bounds_hold_and_an_empty_queue_takes_anything() {
        let by_requests = queue(2, 100);
        assert!(by_requests.offer(item(1)) && by_requests.offer(item(1)));
        assert!(!by_requests.offer(item(1)));
        let by_bytes = queue(10, 100);
        assert!(by_bytes.offer(item(500)));
        assert!(!by_bytes.offer(item(1)));
    }

    #[test]
    fn what_was_let_in_finds_a_place_and_the_next_is_not_let_in() {
        let queue = queue(2, 100);
        assert!(queue.offer(item(1)) && queue.has_room());
        assert!(queue.offer(item(1)) && !queue.has_room());
        let kept = queue.keep(&item(1)).unwrap();
        assert!(queue.add(item(1), kept));
        assert_eq!(queue.len(), 3);
    }

    #[tokio::test]
    async fn a_closed_queue_gives_what_it_has_and_then_nothing() {
        let queue = queue(10, 100);
        assert!(queue.offer(item(1)) && queue.offer(item(2)));
        queue.close();
        assert!(!queue.offer(item(3)));
        assert_eq!(taken(&queue).await, 1);
        assert_eq!(taken(&queue).await, 2);
        assert!(queue.take().await.is_none());
    }

    #[tokio::test]
    async fn every_waiting_consumer_is_woken_by_an_item_of_its_own() {
        let queue = Arc::new(queue(10, 100));
        let consumers: Vec<_> = (0..4)
            .map(|_| {
                tokio::spawn({
                    let queue = Arc::clone(&queue);
                    async move { queue.take().await.is_some() }
                })
            })
            .collect();
        for _ in 0..4 {
            assert!(queue.offer(item(1)));
        }
        for consumer in consumers {
            assert!(consumer.await.unwrap());
        }
    }
}
