//! Exporters: what was received, and isotel's own results, on their way downstream.
//!
//! An exporter is a bounded queue, a few consumers and a client. Each destination has its own, over shared bytes, so that
//! a slow one holds back neither ingest nor its neighbours.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    client::{Client, ClientError, Sendable},
    intake::Unkept,
    logging::Throttle,
    queue::{Item, Kept, Queue, Taken},
    retry::{self, Jitter, Reply},
    storage::log::FetchError,
    telemetry::{ExporterCounters, Telemetry, signal_index},
};
use crate::{
    config::{Content, ExporterConfig, PUSH_KEY, RetryConfig},
    wire::Signal,
};

/// How long until what cannot be read from the disk is tried again.
const UNREADABLE_PAUSE: Duration = Duration::from_secs(1);
/// A log line about the same trouble comes at most this often.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// Where each signal goes.
#[derive(Default)]
pub(crate) struct Routes([Vec<Arc<Exporter>>; 3]);

impl Routes {
    /// Exporters in the order traces, metrics, logs.
    pub(crate) fn new(exporters: [Vec<Arc<Exporter>>; 3]) -> Self {
        Routes(exporters)
    }

    /// Whether every exporter of a signal has room for another request.
    pub(crate) fn has_room(&self, signal: Signal) -> bool {
        self.0[signal_index(signal)].iter().all(|exporter| exporter.line.queue.has_room())
    }

    /// Has a request that was let in survive the process in every exporter of its signal whose queue is on disk.
    ///
    /// # Errors
    /// A disk does not take it; then no exporter has it.
    pub(crate) fn keep(&self, signal: Signal, request: &Bytes) -> Result<Passage<'_>, Unkept> {
        let mut passage = Passage { signal, request: request.clone(), kept: Vec::new() };
        for exporter in &self.0[signal_index(signal)] {
            match exporter.line.queue.keep(&Item { signal, request: request.clone() }) {
                Ok(kept) => passage.kept.push((exporter, kept)),
                Err(cause) => {
                    exporter.not_kept(signal, &cause);
                    passage.forget();
                    return Err("a queue on disk cannot be written");
                }
            }
        }
        Ok(passage)
    }

    /// Waits until what was kept for the exporters of a signal may be acknowledged.
    ///
    /// # Errors
    /// A disk does not take it; then it must not be acknowledged.
    pub(crate) async fn durable(&self, signal: Signal) -> Result<(), Unkept> {
        for exporter in &self.0[signal_index(signal)] {
            if let Some(disk) = exporter.line.queue.disk().filter(|disk| !disk.is_durable())
                && let Err(cause) = Arc::clone(disk).durable().await
            {
                exporter.not_kept(signal, &cause);
                return Err("a queue on disk cannot be synced");
            }
        }
        Ok(())
    }

    /// Whether there is an exporter.
    pub(crate) fn any(&self) -> bool {
        self.0.iter().any(|exporters| !exporters.is_empty())
    }

    /// Offers a request to every exporter of its signal. Returns how many took it.
    pub(crate) fn offer(&self, signal: Signal, request: Bytes) -> usize {
        let exporters = &self.0[signal_index(signal)];
        exporters.iter().filter(|exporter| exporter.offer(signal, request.clone())).count()
    }
}

/// A request that has its place with every exporter of its signal, and is not sent yet.
#[must_use]
pub(crate) struct Passage<'a> {
    signal: Signal,
    request: Bytes,
    kept: Vec<(&'a Exporter, Kept)>,
}

impl Passage<'_> {
    /// It may be sent.
    pub(crate) fn pass_on(self) {
        for (exporter, kept) in self.kept {
            exporter.pass_on(Item { signal: self.signal, request: self.request.clone() }, kept);
        }
    }

    /// It is not sent.
    pub(crate) fn forget(self) {
        self.kept.into_iter().for_each(|(exporter, kept)| exporter.line.queue.forget(kept));
    }
}

/// One destination.
pub struct Exporter {
    id: String,
    config: ExporterConfig,
    line: Arc<Line>,
    consumers: TaskTracker,
    /// What is in flight is cut off.
    now: CancellationToken,
    /// What waits is somebody else's from now on.
    handed_over: CancellationToken,
    full: Throttle,
}

/// What the consumers share.
struct Line {
    client: Client,
    queue: Arc<Queue>,
    retry: RetryConfig,
    counters: Arc<ExporterCounters>,
    /// Waits end, and every item gets one last try.
    draining: CancellationToken,
    trouble: Throttle,
}

impl Exporter {
    /// Starts the consumers. Nothing is connected before the first item. Its queue, if that is on disk, may be one
    /// that another exporter had before.
    ///
    /// # Errors
    /// [`ClientError`] for settings that can never work.
    pub(crate) fn start(
        id: &str,
        config: &ExporterConfig,
        telemetry: &Telemetry,
        on_disk: Option<Arc<Queue>>,
    ) -> Result<Arc<Self>, ClientError> {
        let client = Client::new(&key(id), config)?;
        warn_of(&key(id), config);
        let counters = telemetry.exporter(id, config.queue.requests);
        let queue = on_disk.unwrap_or_else(|| Arc::new(Queue::new(config.queue, Arc::clone(&counters))));
        let bytes_on_disk = config.storage.as_ref().map_or(0, |storage| storage.max_bytes);
        queue.hand_over(config.queue, bytes_on_disk, Arc::clone(&counters));
        let line = Arc::new(Line {
            client,
            queue,
            retry: config.retry,
            counters,
            draining: CancellationToken::new(),
            trouble: Throttle::every(WARNING_INTERVAL),
        });
        let (consumers, now) = (TaskTracker::new(), CancellationToken::new());
        let handed_over = CancellationToken::new();
        for index in 0..config.queue.consumers.max(1) {
            let (line, now, handed_over) = (Arc::clone(&line), now.clone(), handed_over.clone());
            let jitter = Jitter::seeded(RandomState::new().hash_one(index));
            consumers.spawn(async move { now.run_until_cancelled(line.consume(&handed_over, jitter)).await });
        }
        consumers.close();
        Ok(Arc::new(Exporter {
            id: id.to_owned(),
            config: config.clone(),
            line,
            consumers,
            now,
            handed_over,
            full: Throttle::every(WARNING_INTERVAL),
        }))
    }

    /// Whether these settings can work at all.
    ///
    /// # Errors
    /// [`ClientError`], as [`Exporter::start`] would return it.
    pub(crate) fn check(id: &str, config: &ExporterConfig) -> Result<(), ClientError> {
        Client::new(&key(id), config).map(|_| ())
    }

    /// Reads certificates and credentials again where they changed. What cannot be used is logged, and what was goes on.
    pub(crate) fn renew(&self) {
        if let Err(cause) = self.line.client.renew() {
            tracing::error!(exporter = self.id, %cause, "the changed files cannot be used");
        }
    }

    /// What it sends.
    pub(crate) fn content(&self) -> Content {
        self.config.content
    }

    /// Its component id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Whether it is what `config` asks for.
    pub(crate) fn is(&self, id: &str, config: &ExporterConfig) -> bool {
        self.id == id && self.config == *config
    }

    pub(crate) fn counters(&self) -> &Arc<ExporterCounters> {
        &self.line.counters
    }

    /// Queues a request that was let in while there was room.
    fn pass_on(&self, item: Item, kept: Kept) {
        let signal = item.signal;
        if !self.line.queue.add(item, kept) {
            self.not_queued(signal, "the exporter has ended: a request was not passed on");
        }
    }

    fn not_queued(&self, signal: Signal, what: &'static str) {
        self.line.counters.enqueue_failed.fetch_add(1, Relaxed);
        if let Some(times) = self.full.admit() {
            let (exporter, signal) = (&self.id, signal.as_str());
            tracing::error!(exporter, signal, times, "{what}");
        }
    }

    fn not_kept(&self, signal: Signal, cause: &dyn std::fmt::Display) {
        self.line.counters.enqueue_failed.fetch_add(1, Relaxed);
        if let Some(times) = self.full.admit() {
            let (exporter, signal) = (&self.id, signal.as_str());
            tracing::error!(exporter, signal, %cause, times, "the disk takes no requests; senders are told to come again");
        }
    }

    /// Queues protobuf bytes of an export request; `false` when there was no room, which is counted and logged.
    pub fn offer(&self, signal: Signal, request: Bytes) -> bool {
        let taken = self.line.queue.offer(Item { signal, request });
        if !taken {
            self.not_queued(signal, "the queue is full: requests were dropped");
        }
        taken
    }

    /// Ends. What waits in memory gets one last try until `deadline`; what waits on disk is left to the next exporter of this
    /// queue, and what is being sent has until then.
    pub(crate) async fn retire(&self, deadline: Instant) {
        if self.line.queue.disk().is_none() {
            return self.drain(deadline).await;
        }
        self.handed_over.cancel();
        self.line.draining.cancel();
        if tokio::time::timeout_at(deadline, self.consumers.wait()).await.is_err() {
            self.now.cancel();
            self.consumers.wait().await;
        }
    }

    /// Takes nothing more, gives each waiting item one last try until `deadline`, and stops. What is on disk stays there from
    /// the first try on that fails.
    pub(crate) async fn drain(&self, deadline: Instant) {
        self.line.queue.close();
        self.line.draining.cancel();
        let Some(disk) = self.line.queue.disk() else { return self.drain_memory(deadline).await };
        if tokio::time::timeout_at(deadline, self.consumers.wait()).await.is_err() {
            self.now.cancel();
            self.consumers.wait().await;
        }
        let (exporter, waiting) = (&self.id, self.line.queue.len());
        if let Err(cause) = disk.sync() {
            tracing::error!(exporter, %cause, "the queue cannot be synced; the end of power may lose requests");
        }
        if waiting > 0 {
            tracing::info!(exporter, waiting, "requests wait on disk for the next start");
        }
    }

    async fn drain_memory(&self, deadline: Instant) {
        if tokio::time::timeout_at(deadline, self.consumers.wait()).await.is_err() {
            let in_flight = self.line.counters.in_flight.load(Relaxed);
            let (exporter, waiting) = (&self.id, self.line.queue.len());
            tracing::error!(exporter, waiting, in_flight, "requests were not delivered before the deadline");
            self.now.cancel();
            self.consumers.wait().await;
        }
    }
}

/// The key of an exporter, for messages; the id of the push of own telemetry is one.
fn key(id: &str) -> String {
    if id == PUSH_KEY { id.to_owned() } else { format!("exporters.{id}") }
}

/// Warns of what anybody on the way could read or be.
fn warn_of(key: &str, config: &ExporterConfig) {
    if config.tls.insecure_skip_verify {
        tracing::warn!(key, "insecure_skip_verify: whoever answers gets the telemetry; set ca_file instead");
    }
    if config.auth.is_some() && config.in_the_open() {
        tracing::warn!(key, "the credential goes over the network as it is; use https://");
    }
}

impl Line {
    async fn consume(&self, handed_over: &CancellationToken, mut jitter: Jitter) {
        while let Some(Some(taken)) = handed_over.run_until_cancelled(self.queue.take()).await {
            let _sending = InFlight::enter(&self.counters);
            if !self.send(&taken, &mut jitter).await {
                if self.draining.is_cancelled() {
                    return;
                }
                continue;
            }
            taken.done();
        }
    }

    /// Whether an item is done with: delivered, given up, or not to be read. Otherwise it waits again.
    async fn send(&self, taken: &Taken<'_>, jitter: &mut Jitter) -> bool {
        let item = match taken.item().await {
            Ok(item) => item,
            Err(cause @ FetchError::Damaged(_)) => {
                self.counters.damaged.fetch_add(1, Relaxed);
                let exporter = &self.counters.id;
                tracing::error!(exporter, %cause, "a request in the queue is damaged and left out");
                return true;
            }
            Err(cause) => {
                if let Some(times) = self.trouble.admit() {
                    let exporter = &self.counters.id;
                    tracing::error!(exporter, %cause, times, "the queue on disk cannot be read and will be again");
                }
                let _ = tokio::time::timeout(UNREADABLE_PAUSE, self.draining.cancelled()).await;
                return false;
            }
        };
        match self.client.prepare(&item) {
            Ok(sendable) => self.deliver(&item, &sendable, jitter).await,
            Err(cause) => self.given_up(&item, &format!("cannot compress: {cause}")),
        }
    }

    /// Sends until there is an answer that stands, or patience ends. `false`: the end came first, and the item stays on disk.
    async fn deliver(&self, item: &Item, sendable: &Sendable, jitter: &mut Jitter) -> bool {
        let first = Instant::now();
        let mut failures = 0;
        loop {
            let last = self.draining.is_cancelled();
            let (reason, after) = match self.client.send(sendable).await {
                Reply::Delivered { rejected, message } => return self.delivered(item, rejected, &message),
                Reply::Permanent { reason } => return self.given_up(item, &reason),
                Reply::Retryable { .. } if last && self.queue.disk().is_some() => return false,
                Reply::Retryable { reason, .. } if last => return self.given_up(item, &reason),
                Reply::Retryable { reason, after } => (reason, after),
            };
            failures += 1;
            let Some(delay) = retry::next_delay(&self.retry, failures, first.elapsed(), after, jitter.draw())
            else {
                return self.given_up(item, &reason);
            };
            if let Some(times) = self.trouble.admit() {
                let exporter = &self.counters.id;
                tracing::warn!(exporter, ?delay, reason, times, "sending failed and will be repeated");
            }
            self.counters.retries.fetch_add(1, Relaxed);
            // A drain ends the wait: what follows is the last try.
            let _ = tokio::time::timeout(delay, self.draining.cancelled()).await;
        }
    }

    fn delivered(&self, item: &Item, rejected: u64, message: &str) -> bool {
        self.counters.sent.fetch_add(1, Relaxed);
        self.counters.sent_bytes.fetch_add(item.request.len() as u64, Relaxed);
        self.counters.rejected_items.fetch_add(rejected, Relaxed);
        if (rejected > 0 || !message.is_empty())
            && let Some(times) = self.trouble.admit()
        {
            let (exporter, signal) = (&self.counters.id, item.signal.as_str());
            tracing::warn!(exporter, signal, rejected, message, times, "downstream refused some items");
        }
        true
    }

    fn given_up(&self, item: &Item, reason: &str) -> bool {
        self.counters.send_failed.fetch_add(1, Relaxed);
        if let Some(times) = self.trouble.admit() {
            let (exporter, signal) = (&self.counters.id, item.signal.as_str());
            tracing::error!(exporter, signal, reason, times, "a request was given up");
        }
        true
    }
}

/// Counts a request for as long as it is being sent.
struct InFlight<'a>(&'a ExporterCounters);

impl<'a> InFlight<'a> {
    fn enter(counters: &'a ExporterCounters) -> Self {
        counters.in_flight.fetch_add(1, Relaxed);
        InFlight(counters)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}
