//! Log records → presence, and texts that are compared.

use super::cardinality::in_sample;
use super::open::Seen;
use super::shard::Shard;
use super::spans::text;
use crate::model::{EnvironmentId, ItemKind};
use crate::wire::{AnyValue, LogBatch, Malformed, Refusals, decode_logs, log_attributes};
use std::hash::BuildHasher;

impl Shard {
    pub(super) fn observe_logs(
        &mut self,
        now_ns: u64,
        forced: Option<EnvironmentId>,
        request: &[u8],
    ) -> Result<Refusals, Malformed> {
        let mut batch = std::mem::take(&mut self.logs);
        batch.clear();
        let decoded = decode_logs(request, &mut batch);
        if decoded.is_ok() {
            // Who hands over windows is no service that is compared.
            let parts_alone =
                !batch.records.is_empty() && batch.records.iter().all(|record| record.part.len > 0);
            if !parts_alone {
                self.resolve(request, &batch.resources, &batch.scopes, forced);
            }
            for at in 0..batch.records.len() {
                self.record_log(now_ns, request, &mut batch, at);
            }
            self.see_senders(request, &batch.resources, &batch.scopes);
        }
        let refusals = std::mem::take(&mut batch.refusals);
        self.logs = batch;
        decoded.map(|()| refusals)
    }

    fn record_log(&mut self, now_ns: u64, request: &[u8], batch: &mut LogBatch, at: usize) {
        let record = batch.records[at];
        if record.part.len > 0 {
            if let AnyValue::Bytes(part) = AnyValue::parse(record.part.of(request))
                && let Err(refusal) = self.take_part(now_ns, part)
            {
                batch.refusals.add(refusal, 1);
            }
            return;
        }
        // Both times are optional in OTLP; a record with neither is dated by its arrival.
        let stated = if record.time_ns != 0 { record.time_ns } else { record.observed_time_ns };
        let time_ns = if stated != 0 { stated } else { now_ns };
        if let Some(refusal) = self.refuse_time(now_ns, time_ns) {
            return batch.refusals.add(refusal, 1);
        }
        self.tally.log_records += 1;
        let resource = self.resolved[record.resource as usize].of;
        let Some(home) = self.home(resource, (record.resource, record.scope)) else { return };
        let Some(window) = self.window(now_ns, home.environment, time_ns) else { return };
        self.note_facts(home, window);
        self.note_sender(record.scope, window, Seen::once(time_ns, home.instance));
        let event = text(request, record.event_name);
        let severity = severity_text(record.severity_number);
        let hash = self.shared.hasher.hash_one((event, severity));
        let item = self.item(home, ItemKind::Log, hash, || match event {
            "" => (format!("severity {severity}"), String::new()),
            event => (format!("event {event}"), String::new()),
        });
        if let Some(item) = item {
            self.windows[window].1.see(home.environment, item, Seen::once(time_ns, home.instance));
        }
        if !event.is_empty() {
            self.note_event(home, window, event, log_attributes(record.message.of(request)));
        }
        if !self.rules.values.texts.is_empty() {
            self.see_texts(home, window, None, log_attributes(record.message.of(request)));
        }
        let attributes = log_attributes(record.message.of(request));
        let keys = self.shape(home, ItemKind::LogAttribute, record.shape, "", attributes);
        for key in keys.iter() {
            self.windows[window].1.see(home.environment, *key, Seen::once(time_ns, home.instance));
        }
        let message = record.message.of(request);
        if in_sample(message) {
            let of = (home.environment, home.service);
            self.look_at(of, window, (ItemKind::LogAttribute, ""), log_attributes(message));
        }
    }
}

/// The severity's range (OpenTelemetry logs data model, "Severity Fields").
fn severity_text(number: i32) -> &'static str {
    match number {
        1..=4 => "TRACE",
        5..=8 => "DEBUG",
        9..=12 => "INFO",
        13..=16 => "WARN",
        17..=20 => "ERROR",
        21..=24 => "FATAL",
        _ => "unspecified",
    }
}
