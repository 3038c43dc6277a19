//! The open connections of a listener: at most so many, of which those that never asked for anything give way.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tokio_util::sync::CancellationToken;

use super::telemetry::Telemetry;
use crate::config::HttpOrGrpc as Transport;

/// Who sits where.
#[derive(Default)]
pub(crate) struct Connections(Mutex<Seats>);

#[derive(Default)]
struct Seats {
    taken: usize,
    next: u64,
    /// Connections that have not asked for anything yet, in the order in which they came.
    silent: BTreeMap<u64, CancellationToken>,
}

impl Connections {
    /// A seat for a connection. Where there are `most` already, the one that has been silent for longest loses its own.
    /// `None` where none is silent. Connections of OTLP listeners are reported.
    pub(crate) fn enter(
        self: &Arc<Self>,
        most: usize,
        reported: Option<(&Arc<Telemetry>, Transport)>,
    ) -> Option<Seat> {
        let mut seats = self.lock();
        if seats.taken >= most {
            if let Some((telemetry, transport)) = reported {
                telemetry.connection_refused(transport);
            }
            let (_, oldest) = seats.silent.pop_first()?;
            seats.taken -= 1;
            oldest.cancel();
        }
        let (number, lost) = (seats.next, CancellationToken::new());
        seats.taken += 1;
        seats.next += 1;
        seats.silent.insert(number, lost.clone());
        drop(seats);
        let reported = reported.map(|(telemetry, transport)| (Arc::clone(telemetry), transport));
        if let Some((telemetry, transport)) = &reported {
            telemetry.connection_opened(*transport);
        }
        Some(Seat { connections: Arc::clone(self), number, lost, spoken: AtomicBool::new(false), reported })
    }

    /// The state is whole between any two statements, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's seat, given back when it is dropped.
pub(crate) struct Seat {
    connections: Arc<Connections>,
    number: u64,
    lost: CancellationToken,
    spoken: AtomicBool,
    reported: Option<(Arc<Telemetry>, Transport)>,
}

impl Seat {
    /// The connection asks for something, and keeps its seat from now on.
    pub(crate) fn speak(&self) {
        if !self.spoken.load(Relaxed) && self.connections.lock().silent.remove(&self.number).is_some() {
            self.spoken.store(true, Relaxed);
        }
    }

    /// Whether the connection has ever asked for anything.
    pub(crate) fn spoken(&self) -> bool {
        self.spoken.load(Relaxed)
    }

    /// Ends when another connection has got the seat.
    pub(crate) async fn lost(&self) {
        self.lost.cancelled().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.connections.lock();
        if seats.silent.remove(&self.number).is_some() || self.spoken.load(Relaxed) {
            seats.taken -= 1;
        }
        drop(seats);
        if let Some((telemetry, transport)) = &self.reported {
            telemetry.connection_closed(*transport);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_that_was_silent_for_longest_gives_way() {
        let connections = Arc::<Connections>::default();
        let enter = || connections.enter(3, None);
        let seats = [enter().unwrap(), enter().unwrap(), enter().unwrap()];
        seats[0].speak();
        let fourth = enter().unwrap();
        assert_eq!(seats.each_ref().map(|seat| seat.lost.is_cancelled()), [false, true, false]);
        assert_eq!(connections.lock().taken, 3);
        // Too late: the seat is another's.
        seats[1].speak();
        assert!(!seats[1].spoken());
        seats[2].speak();
        fourth.speak();
        assert!(enter().is_none(), "all have asked for something");
        drop(seats);
        drop(fourth);
        let left = connections.lock();
        assert_eq!((left.taken, left.silent.len()), (0, 0));
    }
}
