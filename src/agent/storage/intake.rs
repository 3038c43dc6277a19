//! The engine's door with a log before it.

use std::sync::Arc;

use super::Storage;
use crate::{
    agent::intake::{Durability, Intake, NotRecorded, Unkept},
    engine::Ingest,
    wire::{Refusals, Signal},
};

/// Records what is in the log, and nothing else.
pub struct Durable {
    ingest: Arc<Ingest>,
    storage: Arc<Storage>,
}

impl Durable {
    /// The door of an engine that was restored from this storage.
    pub fn new(ingest: Arc<Ingest>, storage: Arc<Storage>) -> Durable {
        Durable { ingest, storage }
    }
}

impl Intake for Durable {
    fn record(&self, now_ns: u64, signal: Signal, request: &[u8]) -> Result<Refusals, NotRecorded> {
        let record = || self.ingest.observe(now_ns, None, signal, request);
        Ok(self.storage.keep(now_ns, signal, request, record)??)
    }

    fn room(&self) -> Result<(), Unkept> {
        self.storage.room()
    }

    fn durability(&self) -> Option<Durability> {
        (!self.storage.is_durable()).then(|| Box::pin(Arc::clone(&self.storage).durable()) as Durability)
    }
}
