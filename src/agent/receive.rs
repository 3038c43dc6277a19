//! What both transports do with a request once its bytes are there: record it, pass it on, count it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    forward::Routes,
    intake::Intake,
    telemetry::{RequestOutcome, Telemetry},
};
use crate::config::HttpOrGrpc as Transport;
use crate::wire::{Malformed, Refusals, Signal};
use arc_swap::ArcSwap;
use bytes::Bytes;

/// The pause that a sender is asked for when too many requests are in flight.
pub(crate) const OVERLOAD_PAUSE: Duration = Duration::from_secs(1);
/// The longest time a sender may take for one request; slower ones would hold their place for nothing.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Shared by every connection of every OTLP listener.
pub(crate) struct Receiver {
    intake: Arc<dyn Intake>,
    /// Swapped on a reload.
    forward: ArcSwap<Routes>,
    telemetry: Arc<Telemetry>,
    in_flight: AtomicUsize,
    in_flight_max: AtomicUsize,
}

/// A place among the requests in flight.
pub(crate) struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Receiver {
    pub(crate) fn new(
        intake: Arc<dyn Intake>,
        forward: Arc<Routes>,
        telemetry: Arc<Telemetry>,
        requests_in_flight_max: usize,
    ) -> Arc<Self> {
        Arc::new(Receiver {
            intake,
            forward: ArcSwap::new(forward),
            telemetry,
            in_flight: AtomicUsize::new(0),
            in_flight_max: AtomicUsize::new(requests_in_flight_max),
        })
    }

    /// From the next request on, forwarding goes this way and this many requests are worked on at a time.
    pub(crate) fn change(&self, forward: Arc<Routes>, requests_in_flight_max: usize) {
        self.forward.store(forward);
        self.in_flight_max.store(requests_in_flight_max, Relaxed);
    }

    /// A place among the requests in flight.
    ///
    /// # Errors
    /// Why there is none now: too many are in flight, or a next hop's queue is full. Nothing is taken that could not be
    /// passed on, so that what is acknowledged is neither lost nor, when the client tries again, recorded twice.
    pub(crate) fn admit(&self, signal: Signal) -> Result<Place<'_>, &'static str> {
        let before = self.in_flight.fetch_add(1, Relaxed);
        let place = Place(&self.in_flight);
        match before < self.in_flight_max.load(Relaxed).max(1) {
            false => Err("too many requests in flight"),
            true if !self.forward.load().has_room(signal) => Err("the queue to the next hop is full"),
            true => Ok(place),
        }
    }

    /// Records a request and passes its bytes on as they are. Bytes that are no request go no further.
    pub(crate) fn take(
        &self,
        transport: Transport,
        signal: Signal,
        request: Bytes,
    ) -> Result<Refusals, Malformed> {
        let recorded = self.intake.record(now_ns(), signal, &request);
        match &recorded {
            Ok(refusals) => {
                let refused = refusals.total();
                self.telemetry.recorded(transport, signal, request.len(), refused);
                let outcome = if refused == 0 { RequestOutcome::Success } else { RequestOutcome::Partial };
                self.telemetry.request(transport, signal, outcome);
                self.forward.load().pass_on(signal, &request);
            }
            Err(_) => self.telemetry.request(transport, signal, RequestOutcome::Refused),
        }
        recorded
    }

    /// Counts a request that did not get as far as [`Receiver::take`].
    pub(crate) fn turned_away(&self, transport: Transport, signal: Signal, outcome: RequestOutcome) {
        self.telemetry.request(transport, signal, outcome);
    }
}

/// Nanoseconds since the Unix epoch; 0 for a clock set before it.
#[expect(clippy::disallowed_methods, reason = "the arrival of a request is stamped here")]
fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
