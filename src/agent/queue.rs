//! A queue bounded in requests and in bytes, that never makes the giver wait.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
};

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::telemetry::ExporterCounters;
use crate::{config::QueueConfig, wire::Signal};

/// One request on its way downstream: protobuf, not compressed.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) signal: Signal,
    pub(crate) request: Bytes,
}

/// First in, first out; what does not fit is refused, so that the oldest data goes first.
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    /// One permit per waiting item.
    ready: Semaphore,
    bounds: QueueConfig,
    counters: Arc<ExporterCounters>,
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<Item>,
    bytes: usize,
    closed: bool,
}

impl Queue {
    pub(crate) fn new(bounds: QueueConfig, counters: Arc<ExporterCounters>) -> Self {
        Queue { waiting: Mutex::default(), ready: Semaphore::new(0), bounds, counters }
    }

    /// Adds an item, or returns `false` when the queue is full or closed. An empty queue takes one item of any size, so
    /// that a request larger than its bound is not refused for ever.
    pub(crate) fn offer(&self, item: Item) -> bool {
        let waiting = self.lock();
        let bytes = waiting.bytes.saturating_add(item.request.len());
        let full = self.no_place(&waiting) || (bytes > self.bounds.bytes && !waiting.items.is_empty());
        !full && self.put(waiting, item)
    }

    /// Whether another request may be let in. Asked before a request is taken, so that its sender can be told to wait.
    pub(crate) fn has_room(&self) -> bool {
        let waiting = self.lock();
        !self.no_place(&waiting) && (waiting.bytes < self.bounds.bytes || waiting.items.is_empty())
    }

    /// Adds an item that was let in when there was room: what was acknowledged is not dropped. So the bounds may be
    /// exceeded by the requests that are in flight, which are bounded themselves. `false` only once the queue is closed.
    pub(crate) fn add(&self, item: Item) -> bool {
        let waiting = self.lock();
        self.put(waiting, item)
    }

    fn no_place(&self, waiting: &Waiting) -> bool {
        waiting.items.len() >= self.bounds.requests.clamp(1, Semaphore::MAX_PERMITS >> 1)
    }

    fn put(&self, mut waiting: MutexGuard<'_, Waiting>, item: Item) -> bool {
        if waiting.closed {
            return false;
        }
        waiting.bytes = waiting.bytes.saturating_add(item.request.len());
        waiting.items.push_back(item);
        self.report(&waiting);
        drop(waiting);
        self.ready.add_permits(1);
        true
    }

    /// The oldest item; waits for one. `None` once the queue is closed and empty.
    pub(crate) async fn take(&self) -> Option<Item> {
        // After the close every permit is refused, and what is left is taken without.
        if let Ok(permit) = self.ready.acquire().await {
            permit.forget();
        }
        let mut waiting = self.lock();
        let item = waiting.items.pop_front()?;
        waiting.bytes -= item.request.len();
        self.report(&waiting);
        Some(item)
    }

    /// Nothing more comes in; what is there can still be taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.ready.close();
    }

    /// Items waiting.
    pub(crate) fn len(&self) -> usize {
        self.lock().items.len()
    }

    /// The state is whole between any two statements, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, waiting: &Waiting) {
        self.counters.queue_size.store(waiting.items.len() as u64, Relaxed);
        self.counters.queue_bytes.store(waiting.bytes as u64, Relaxed);
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

    #[tokio::test]
    async fn items_leave_in_the_order_they_came() {
        let queue = queue(10, 100);
        for bytes in 1..=3 {
            assert!(queue.offer(item(bytes)));
        }
        assert_eq!(queue.counters.queue_bytes.load(Relaxed), 6);
        for bytes in 1..=3 {
            assert_eq!(queue.take().await.unwrap().request.len(), bytes);
        }
        assert_eq!(queue.counters.queue_size.load(Relaxed), 0);
        assert_eq!(queue.counters.queue_bytes.load(Relaxed), 0);
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
        assert!(queue.add(item(1)));
        assert_eq!(queue.len(), 3);
    }

    #[tokio::test]
    async fn a_closed_queue_gives_what_it_has_and_then_nothing() {
        let queue = queue(10, 100);
        assert!(queue.offer(item(1)) && queue.offer(item(2)));
        queue.close();
        assert!(!queue.offer(item(3)));
        assert_eq!(queue.take().await.unwrap().request.len(), 1);
        assert_eq!(queue.take().await.unwrap().request.len(), 2);
        assert!(queue.take().await.is_none());
    }

    #[tokio::test]
    async fn every_waiting_consumer_is_woken_by_an_item_of_its_own() {
        let queue = Arc::new(queue(10, 100));
        let consumers: Vec<_> = (0..4)
            .map(|_| {
                tokio::spawn({
                    let queue = Arc::clone(&queue);
                    async move { queue.take().await }
                })
            })
            .collect();
        for _ in 0..4 {
            assert!(queue.offer(item(1)));
        }
        for consumer in consumers {
            assert!(consumer.await.unwrap().is_some());
        }
    }
}
