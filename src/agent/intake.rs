//! The one door between the sockets and the engine.

use crate::{
    engine::Ingest,
    wire::{Malformed, Refusals, Signal},
};

/// Takes what the servers received. Implemented by the engine's shell, and by fakes in tests.
pub trait Intake: Send + Sync + 'static {
    /// Records one request, given as protobuf bytes of `Export<Signal>ServiceRequest`.
    ///
    /// `now_ns` is the arrival in nanoseconds since the Unix epoch. The call is synchronous work of tens of microseconds
    /// on the thread that read the request, and never waits for input or output. Items that cannot be used are refused
    /// one by one and tallied; only bytes that are no such message at all are [`Malformed`], and then nothing was
    /// recorded.
    fn record(&self, now_ns: u64, signal: Signal, request: &[u8]) -> Result<Refusals, Malformed>;
}

/// The engine's own door; the resources say which environment they belong to.
impl Intake for Ingest {
    fn record(&self, now_ns: u64, signal: Signal, request: &[u8]) -> Result<Refusals, Malformed> {
        self.observe(now_ns, None, signal, request)
    }
}
