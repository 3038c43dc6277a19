//! What both transports do with a request once its bytes are there: record it, pass it on, count it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    admission::{Admission, Place, Shed},
    forward::Routes,
    intake::{Intake, NotRecorded},
    telemetry::{RequestOutcome, Telemetry},
};
use crate::config::HttpOrGrpc as Transport;
use crate::wire::{Refusals, Signal};
use arc_swap::ArcSwap;
use bytes::Bytes;

/// The pause that a sender is asked for whose request was shed.
pub(crate) const OVERLOAD_PAUSE: Duration = Duration::from_secs(1);
/// The longest time a sender may take for one request; slower ones would hold their place for nothing.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Shared by every connection of every OTLP listener.
pub(crate) struct Receiver {
    intake: Arc<dyn Intake>,
    /// Swapped on a reload.
    forward: ArcSwap<Routes>,
    telemetry: Arc<Telemetry>,
    admission: Arc<Admission>,
}

impl Receiver {
    pub(crate) fn new(
        intake: Arc<dyn Intake>,
        forward: Arc<Routes>,
        telemetry: Arc<Telemetry>,
        admission: Arc<Admission>,
    ) -> Arc<Self> {
        Arc::new(Receiver { intake, forward: ArcSwap::new(forward), telemetry, admission })
    }

    /// From the next request on, forwarding goes this way.
    pub(crate) fn change(&self, forward: Arc<Routes>) {
        self.forward.store(forward);
    }

    /// A place among the requests in flight. `declared` is how many bytes the request will have at the least.
    ///
    /// # Errors
    /// Why there is none now. Nothing is taken that could not be passed on and kept, so that what is acknowledged is neither lost
    /// nor, when the client tries again, recorded twice.
    pub(crate) fn admit(&self, signal: Signal, declared: u64) -> Result<Place, Shed> {
        let place = self.admission.admit(declared)?;
        match self.forward.load().has_room(signal) {
            true => self.intake.room().map(|()| place).map_err(|_| Shed::Storage),
            false => Err(Shed::Queue),
        }
    }

    /// The largest request that is read where a listener takes at the most `limit` bytes.
    pub(crate) fn request_max(&self, limit: usize) -> usize {
        limit.min(self.admission.request_max())
    }

    /// Records a request and passes its bytes on as they are; where a queue is on disk they are there before. Bytes that are
    /// no request go no further; one that could not be kept is counted by who sheds it. It may be acknowledged after
    /// [`Receiver::may_acknowledge`].
    pub(crate) fn take(
        &self,
        transport: Transport,
        signal: Signal,
        request: Bytes,
    ) -> Result<Refusals, NotRecorded> {
        let forward = self.forward.load();
        let passage = forward.keep(signal, &request)?;
        let recorded = self.intake.record(now_ns(), signal, &request);
        match &recorded {
            Ok(refusals) => {
                let refused = refusals.total();
                self.telemetry.recorded(transport, signal, request.len(), refused);
                let outcome = if refused == 0 { RequestOutcome::Success } else { RequestOutcome::Partial };
                self.telemetry.request(transport, signal, outcome);
                passage.pass_on();
                return recorded;
            }
            Err(NotRecorded::Malformed(_)) => {
                self.telemetry.request(transport, signal, RequestOutcome::Refused);
            }
            Err(NotRecorded::Unkept(_)) => {}
        }
        passage.forget();
        recorded
    }

    /// Waits until what was taken may be acknowledged.
    ///
    /// # Errors
    /// The storage could not make it durable: the sender is told to come again.
    pub(crate) async fn may_acknowledge(&self, signal: Signal) -> Result<(), Shed> {
        if let Some(durability) = self.intake.durability() {
            durability.await.map_err(|_| Shed::Storage)?;
        }
        let forward = self.forward.load_full();
        forward.durable(signal).await.map_err(|_| Shed::Storage)
    }

    /// Counts a request that did not get as far as [`Receiver::take`].
    pub(crate) fn turned_away(&self, transport: Transport, signal: Signal, outcome: RequestOutcome) {
        self.telemetry.request(transport, signal, outcome);
    }

    /// Counts a request that was shed.
    pub(crate) fn shed(&self, transport: Transport, signal: Signal, why: Shed) {
        self.admission.count(why);
        self.turned_away(transport, signal, RequestOutcome::Overload);
    }
}

/// Nanoseconds since the Unix epoch; 0 for a clock set before it.
#[expect(clippy::disallowed_methods, reason = "the arrival of a request is stamped here")]
fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
