//! The one door between the sockets and the engine.

use std::{future::Future, pin::Pin};

use crate::{
    engine::Ingest,
    wire::{Malformed, Refusals, Signal},
};

/// Why a request cannot be kept now, so that its sender may come again.
pub type Unkept = &'static str;

/// Why nothing of a request was recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRecorded {
    /// The bytes are no such request.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It could not be kept.
    #[error("{0}")]
    Unkept(Unkept),
}

impl From<Unkept> for NotRecorded {
    fn from(why: Unkept) -> Self {
        NotRecorded::Unkept(why)
    }
}

/// Ends when what was recorded may be acknowledged, or says why it must not be.
pub type Durability = Pin<Box<dyn Future<Output = Result<(), Unkept>> + Send>>;

/// Takes what the servers received. Implemented by the engine's shell, and by fakes in tests.
pub trait Intake: Send + Sync + 'static {
    /// Records one request, given as protobuf bytes of `Export<Signal>ServiceRequest`.
    ///
    /// `now_ns` is the arrival in nanoseconds since the Unix epoch. The call is synchronous work of tens of microseconds
    /// on the thread that read the request, and waits for nothing but, with a storage, a write to the page cache. Items
    /// that cannot be used are refused one by one and tallied.
    ///
    /// # Errors
    /// [`NotRecorded`]; then nothing was recorded.
    fn record(&self, now_ns: u64, signal: Signal, request: &[u8]) -> Result<Refusals, NotRecorded>;

    /// Whether there is room for another request, as far as that can be told before it is there.
    ///
    /// # Errors
    /// Why there is none.
    fn room(&self) -> Result<(), Unkept> {
        Ok(())
    }

    /// What to wait for before the last request of this thread is acknowledged; `None`: nothing.
    fn durability(&self) -> Option<Durability> {
        None
    }
}

/// The engine's own door; the resources say which environment they belong to.
impl Intake for Ingest {
    fn record(&self, now_ns: u64, signal: Signal, request: &[u8]) -> Result<Refusals, NotRecorded> {
        Ok(self.observe(now_ns, None, signal, request)?)
    }
}
