//! What a storage says of itself.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Storage;
use crate::agent::prometheus::{Family, Kind, Point, Value};

/// Counters at work; those of recovery do not change.
#[derive(Debug, Default)]
pub(super) struct Counters {
    requests: AtomicU64,
    bytes: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) sync_failures: AtomicU64,
    checkpoints: AtomicU64,
    pub(super) checkpoint_failures: AtomicU64,
    evidence_bytes: AtomicU64,
}

impl Counters {
    pub(super) fn kept(&self, bytes: usize) {
        self.requests.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn checkpoint(&self, evidence_bytes: u64) {
        self.checkpoints.fetch_add(1, Relaxed);
        self.evidence_bytes.store(evidence_bytes, Relaxed);
    }
}

impl Storage {
    /// Its families, for [`crate::agent::Sources`].
    pub fn families(&self) -> Vec<Family> {
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        let (counters, recovered) = (&self.counters, &self.recovered);
        let counter =
            |name, unit, help, value| family(Kind::Counter, (name, unit, help), Value::Count(value));
        let gauge =
            |name, help, value: u64| family(Kind::Gauge, (name, "By", help), Value::Level(value as f64));
        vec![
            counter(
                "isotel_storage_appended_requests",
                "{request}",
                "Requests appended to the log.",
                count(&counters.requests),
            ),
            counter("isotel_storage_appended_bytes", "By", "Bytes of them.", count(&counters.bytes)),
            counter(
                "isotel_storage_refused_requests",
                "{request}",
                "Requests that the log did not take; their senders were told to come again.",
                count(&counters.refused),
            ),
            counter(
                "isotel_storage_sync_failures",
                "{sync}",
                "Times that the disk did not take what the log holds.",
                count(&counters.sync_failures),
            ),
            counter(
                "isotel_storage_checkpoints",
                "{checkpoint}",
                "Checkpoints written.",
                count(&counters.checkpoints),
            ),
            counter(
                "isotel_storage_checkpoint_failures",
                "{checkpoint}",
                "Checkpoints that could not be written.",
                count(&counters.checkpoint_failures),
            ),
            gauge("isotel_storage_log_bytes", "Bytes of the log on disk.", self.log.bytes()),
            gauge(
                "isotel_storage_evidence_bytes",
                "Bytes of checkpoints and sealed windows on disk.",
                count(&counters.evidence_bytes),
            ),
            gauge("isotel_storage_bytes_capacity", "Bytes on disk at the most.", self.config.max_bytes),
            counter(
                "isotel_storage_recovered_requests",
                "{request}",
                "Requests of the log that were recorded again at the start.",
                recovered.requests,
            ),
            counter(
                "isotel_storage_recovered_windows",
                "{window}",
                "Sealed windows that were there at the start.",
                recovered.windows,
            ),
            counter(
                "isotel_storage_damaged_records",
                "{record}",
                "Parts of the log that no request could be read from at the start.",
                recovered.damaged_records,
            ),
            counter(
                "isotel_storage_damaged_files",
                "{file}",
                "Checkpoints and sealed windows that could not be read at the start.",
                recovered.damaged_files,
            ),
        ]
    }
}

pub(super) fn family(
    kind: Kind,
    (name, unit, help): (&'static str, &'static str, &'static str),
    value: Value,
) -> Family {
    Family { name, unit, help, kind, points: vec![Point::new(&[], value)] }
}
