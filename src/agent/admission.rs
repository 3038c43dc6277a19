//! Who is let in: places for requests, and room for their bytes.
//!
//! A request gets its place before its body is read, and takes room for each piece of the body, and for what a piece
//! becomes when it is decompressed, before it keeps it. What finds no place or no room is shed: its sender is told to come
//! again, nothing of it was recorded. How much room there is follows the process's memory ([`super::memory`]).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    logging::Throttle,
    memory::{self, Bounds},
    prometheus::{Family, Point, Value},
};

/// A request that has taken longer gives its place away when another one finds none.
const GRACE: Duration = Duration::from_secs(5);
/// A request is asked to give way no more often.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// A log line tells of requests that were shed no more often.
const TELL_AGAIN: Duration = Duration::from_secs(60);
/// An allocation that the allocator serves from a page of its own. Freeing one makes it look for pages that it has kept
/// long enough and give them back, which it otherwise does when there is work.
const OWN_PAGE: usize = 1 << 20;

/// Why a request was not taken now. Its sender may come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Shed {
    #[error("too many requests in flight")]
    Requests,
    #[error("the queue to the next hop is full")]
    Queue,
    #[error("too many bytes of requests in flight")]
    Bytes,
    #[error("the memory limit is near")]
    Memory,
    #[error("the request came slowly, and others waited for its place")]
    Slow,
    #[error("the storage takes no requests now")]
    Storage,
}

impl Shed {
    const ALL: [Shed; 6] =
        [Shed::Requests, Shed::Queue, Shed::Bytes, Shed::Memory, Shed::Slow, Shed::Storage];

    fn name(self) -> &'static str {
        match self {
            Shed::Requests => "requests",
            Shed::Queue => "queue",
            Shed::Bytes => "bytes",
            Shed::Memory => "memory",
            Shed::Slow => "slow",
            Shed::Storage => "storage",
        }
    }
}

/// How the process's memory stands to its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// Under the soft limit.
    Ok,
    /// Between the limits: the nearer the hard one, the less is let in.
    Soft,
    /// Beyond the hard limit: nothing is let in.
    Hard,
}

/// Every request in flight, and the bounds that they share.
pub(crate) struct Admission {
    requests: AtomicUsize,
    requests_max: AtomicUsize,
    /// Bytes that requests in flight hold.
    held: AtomicU64,
    /// Bytes that they may hold, by the last look at the process's memory.
    room: AtomicU64,
    /// Physical memory at the last look, bytes; 0 where the system does not tell.
    rss: AtomicU64,
    bounds: ArcSwap<Bounds>,
    crowded: Notify,
    asked: Throttle,
    shed: [AtomicU64; Shed::ALL.len()],
    told: Throttle,
    /// Whether requests were shed for memory since the log said that none are.
    shedding: AtomicBool,
}

impl Admission {
    pub(crate) fn new(requests_max: usize, bounds: Bounds) -> Arc<Self> {
        let admission = Admission {
            requests: AtomicUsize::new(0),
            requests_max: AtomicUsize::new(requests_max),
            held: AtomicU64::new(0),
            room: AtomicU64::new(0),
            rss: AtomicU64::new(0),
            bounds: ArcSwap::from_pointee(bounds),
            crowded: Notify::new(),
            asked: Throttle::every(ASK_AGAIN),
            shed: Default::default(),
            told: Throttle::every(TELL_AGAIN),
            shedding: AtomicBool::new(false),
        };
        admission.look(memory::resident_bytes());
        Arc::new(admission)
    }

    /// From now on these bounds hold. What is in flight stays.
    pub(crate) fn change(&self, requests_max: usize, bounds: Bounds) {
        self.requests_max.store(requests_max, Relaxed);
        self.bounds.store(Arc::new(bounds));
        self.look(memory::resident_bytes());
    }

    /// A place among the requests in flight.
    ///
    /// `declared` is how many bytes the request will have at the least, 0 if it does not say.
    ///
    /// # Errors
    /// Why there is none now.
    pub(crate) fn admit(self: &Arc<Self>, declared: u64) -> Result<Place, Shed> {
        let before = self.requests.fetch_add(1, Relaxed);
        let place = Place { admission: Arc::clone(self), held: 0, since: Instant::now() };
        if before >= self.requests_max.load(Relaxed).max(1) {
            return Err(Shed::Requests);
        }
        // One byte at the least: where there is no room, nothing is let in.
        let wanted = self.held.load(Relaxed).saturating_add(declared.max(1));
        if wanted > self.room.load(Relaxed) { Err(self.full()) } else { Ok(place) }
    }

    /// The largest request that ever finds room, bytes.
    pub(crate) fn request_max(&self) -> usize {
        usize::try_from(self.bounds.load().room_max()).unwrap_or(usize::MAX)
    }

    /// Counts a request that was shed, tells of it in the log once in a while, and asks a slow one to give way.
    pub(crate) fn count(&self, shed: Shed) {
        self.shed[shed as usize].fetch_add(1, Relaxed);
        if shed == Shed::Memory {
            self.shedding.store(true, Relaxed);
        }
        if matches!(shed, Shed::Requests | Shed::Bytes | Shed::Memory) && self.asked.admit().is_some() {
            // The one that has waited for longest.
            self.crowded.notify_one();
        }
        if let Some(times) = self.told.admit() {
            let (requests, held) = (self.requests.load(Relaxed), self.held.load(Relaxed));
            let (rss, hard) = (self.rss.load(Relaxed), self.bounds.load().hard);
            tracing::warn!(reason = %shed, times, requests, held, rss, hard, "requests are told to come again later");
        }
    }

    /// Why there is no room.
    fn full(&self) -> Shed {
        if self.room.load(Relaxed) < self.bounds.load().room_max() { Shed::Memory } else { Shed::Bytes }
    }

    /// How the process's memory stood at the last look.
    pub(crate) fn level(&self) -> Level {
        match self.room.load(Relaxed) {
            0 => Level::Hard,
            room if room < self.bounds.load().room_max() => Level::Soft,
            _ => Level::Ok,
        }
    }

    /// Takes over how much physical memory the process has, in bytes.
    fn look(&self, rss: Option<u64>) {
        let rss = rss.unwrap_or(0);
        self.rss.store(rss, Relaxed);
        self.room.store(self.bounds.load().room(rss, self.held.load(Relaxed)), Relaxed);
    }

    /// Looks at the process's memory again and again until `stop`.
    pub(crate) async fn watch(self: Arc<Self>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.look(memory::resident_bytes());
            if self.level() != Level::Ok {
                drop(std::hint::black_box(Vec::<u8>::with_capacity(OWN_PAGE)));
            } else if self.shedding.swap(false, Relaxed) {
                tracing::info!(rss = self.rss.load(Relaxed), "memory is under its soft limit again");
            }
            let interval = self.bounds.load().interval;
            let _ = tokio::time::timeout(interval, stop.cancelled()).await;
        }
    }

    /// What is shed and held, as metrics.
    pub(crate) fn families(&self) -> Vec<Family> {
        let help =
            "Requests whose senders were told to come again, by what there was too much or too little of.";
        let mut shed = Family::counter("isotel_receiver_shed_requests", "{request}", help);
        shed.points = Shed::ALL
            .iter()
            .map(|reason| {
                let count = self.shed[*reason as usize].load(Relaxed);
                Point::new(&[("reason", reason.name())], Value::Count(count))
            })
            .collect();
        let gauge = |name, unit, help, level: u64| {
            let mut family = Family::gauge(name, unit, help);
            family.points.push(Point::new(&[], Value::Level(level as f64)));
            family
        };
        let bounds = self.bounds.load();
        vec![
            shed,
            gauge(
                "isotel_receiver_in_flight_requests",
                "{request}",
                "Requests being read and recorded.",
                self.requests.load(Relaxed) as u64,
            ),
            gauge("isotel_receiver_in_flight_bytes", "By", "Bytes that they hold.", self.held.load(Relaxed)),
            gauge(
                "isotel_receiver_in_flight_bytes_limit",
                "By",
                "Bytes that they may hold now.",
                self.room.load(Relaxed),
            ),
            gauge("isotel_process_memory_soft_limit", "By", "From here on less is let in.", bounds.soft()),
            gauge("isotel_process_memory_limit", "By", "From here on nothing is let in.", bounds.hard),
        ]
    }
}

/// A place among the requests in flight, and the room that it has taken. Both are given back when it is dropped.
pub(crate) struct Place {
    admission: Arc<Admission>,
    held: u64,
    since: Instant,
}

impl Place {
    /// Takes room for so many bytes more.
    ///
    /// # Errors
    /// Why there is none; nothing more is held then.
    pub(crate) fn hold(&mut self, bytes: usize) -> Result<(), Shed> {
        let bytes = bytes as u64;
        let before = self.admission.held.fetch_add(bytes, Relaxed);
        if before.saturating_add(bytes) > self.admission.room.load(Relaxed) {
            self.admission.held.fetch_sub(bytes, Relaxed);
            return Err(self.admission.full());
        }
        self.held += bytes;
        Ok(())
    }

    /// A place where nothing else is and there is so much room.
    #[cfg(test)]
    pub(crate) fn alone(room: usize) -> Place {
        let bounds = Bounds { hard: u64::MAX, spike: 2 * room as u64, interval: Duration::from_secs(1) };
        Place { admission: Admission::new(1, bounds), held: 0, since: Instant::now() }
    }

    /// The request's right to its place.
    pub(crate) fn turn(&self) -> Turn {
        Turn { admission: Arc::clone(&self.admission), since: self.since }
    }
}

/// How long a request may keep its place.
pub(crate) struct Turn {
    admission: Arc<Admission>,
    since: Instant,
}

impl Turn {
    /// Ends when the request has to give its place to another: it has had [`GRACE`], and another one found none. Of several
    /// such requests one at a time gives way, the oldest first.
    pub(crate) async fn over(&self) {
        loop {
            self.admission.crowded.notified().await;
            if self.since.elapsed() >= GRACE {
                return;
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admission.held.fetch_sub(self.held, Relaxed);
        self.admission.requests.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn admission(requests: usize, hard: u64, spike: u64) -> Arc<Admission> {
        let bounds = Bounds { hard, spike, interval: Duration::from_secs(1) };
        let admission = Admission::new(requests, bounds);
        admission.look(Some(0));
        admission
    }

    fn shed(admission: &Arc<Admission>, declared: u64) -> Option<Shed> {
        admission.admit(declared).err()
    }

    #[test]
    fn places_and_room_are_bounded_and_come_back() {
        let admission = admission(2, 100 * MIB, 40 * MIB);
        let (mut first, second) = (admission.admit(0).unwrap(), admission.admit(0).unwrap());
        assert_eq!(shed(&admission, 0), Some(Shed::Requests));
        first.hold(15 << 20).unwrap();
        assert_eq!(first.hold(6 << 20), Err(Shed::Bytes));
        drop(second);
        assert_eq!(shed(&admission, 5 * MIB + 1), Some(Shed::Bytes));
        let mut third = admission.admit(5 * MIB).unwrap();
        third.hold(5 << 20).unwrap();
        drop((first, third));
        assert_eq!((admission.held.load(Relaxed), admission.requests.load(Relaxed)), (0, 0));
    }

    #[test]
    fn beyond_the_soft_limit_room_shrinks_and_beyond_the_hard_one_there_is_none() {
        let admission = admission(9, 100 * MIB, 40 * MIB);
        admission.look(Some(60 * MIB));
        assert_eq!((admission.level(), shed(&admission, 20 * MIB)), (Level::Ok, None));
        admission.look(Some(90 * MIB));
        assert_eq!((admission.level(), shed(&admission, 5 * MIB)), (Level::Soft, None));
        assert_eq!(shed(&admission, 6 * MIB), Some(Shed::Memory));
        admission.look(Some(100 * MIB));
        assert_eq!((admission.level(), shed(&admission, 0)), (Level::Hard, Some(Shed::Memory)));
        admission.look(Some(10 * MIB));
        assert_eq!((admission.level(), shed(&admission, 20 * MIB)), (Level::Ok, None));
    }

    #[test]
    fn what_requests_hold_is_not_counted_against_them_twice() {
        let admission = admission(9, 100 * MIB, 40 * MIB);
        let mut place = admission.admit(0).unwrap();
        place.hold(20 << 20).unwrap();
        admission.look(Some(80 * MIB));
        assert_eq!(admission.level(), Level::Ok);
    }

    #[tokio::test]
    async fn a_slow_request_gives_way_when_another_finds_no_place_and_a_young_one_does_not() {
        let admission = admission(2, 100 * MIB, 40 * MIB);
        let waiting = |age| {
            let mut place = admission.admit(0).unwrap();
            place.since = Instant::now().checked_sub(age).unwrap();
            tokio::spawn(async move { place.turn().over().await })
        };
        let (old, young) = (waiting(2 * GRACE), waiting(Duration::ZERO));
        tokio::task::yield_now().await;
        assert!(!old.is_finished());
        admission.count(shed(&admission, 0).unwrap());
        old.await.unwrap();
        assert!(!young.is_finished());
        assert_eq!(shed(&admission, 0), None);
    }

    #[test]
    fn what_was_shed_is_counted_by_reason() {
        let admission = admission(1, 100, 20);
        for (reason, times) in Shed::ALL.into_iter().zip(1..) {
            (0..times).for_each(|_| admission.count(reason));
        }
        let page = super::super::prometheus::render(&admission.families());
        for (reason, times) in Shed::ALL.into_iter().zip(1..) {
            let line = format!("isotel_receiver_shed_requests{{reason=\"{}\"}} {times}\n", reason.name());
            assert!(page.contains(&line), "{page}");
        }
    }
}
