//! What arrives → what a configuration for it would say. The cold plane of `isotel init`.
//!
//! OTLP requests flow in ([`Survey::add`]); which resource attribute tells environments apart and which of them to compare
//! flow out ([`Survey::propose`]), and that as a commented configuration ([`yaml::to_yaml`]). Of telemetry only its resources
//! are kept, each once. It does not judge, and what it proposes is for a person to read.

mod propose;
mod yaml;

pub use propose::{Pair, Proposal, Split};
pub use yaml::{Endpoints, to_yaml};

use crate::model::ServiceKey;
use crate::wire::{
    AnyValue, LogBatch, Malformed, MetricBatch, ResourceRecord, Signal, TraceBatch, decode_logs,
    decode_metrics, decode_traces, resource_attributes,
};
use std::collections::{BTreeMap, HashMap};

/// Resources that are told apart; pods of a large fleet over some minutes.
const RESOURCES_MAX: usize = 20_000;
/// Attributes of one resource that are looked at.
const ATTRIBUTES_MAX: usize = 128;
/// The longest value that may name an environment.
const VALUE_BYTES_MAX: usize = 256;

/// What arrived so far.
#[derive(Debug, Default)]
pub struct Survey {
    /// Spans, data points and log records, as in [`Signal::ALL`].
    pub items: [u64; 3],
    /// Items of more resources than are told apart, which are counted here and not looked at.
    pub beyond: u64,
    /// Requests that are none.
    pub malformed: u64,
    resources: Vec<Resource>,
    known: HashMap<u64, usize>,
}

/// A distinct resource.
#[derive(Debug)]
struct Resource {
    service: ServiceKey,
    attributes: BTreeMap<String, String>,
    items: u64,
}

impl Survey {
    /// Takes one request in.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes are no such request; then only that is counted.
    pub fn add(&mut self, signal: Signal, request: &[u8]) -> Result<(), Malformed> {
        let read = match signal {
            Signal::Traces => {
                let mut batch = TraceBatch::default();
                decode_traces(request, &mut batch)
                    .map(|()| (batch.resources, batch.spans.iter().map(|span| span.resource).collect()))
            }
            Signal::Metrics => {
                let mut batch = MetricBatch::default();
                let of = |metric: &crate::wire::MetricRecord| {
                    let points = metric.points.range().len();
                    std::iter::repeat_n(metric.resource, points)
                };
                decode_metrics(request, &mut batch)
                    .map(|()| (batch.resources, batch.metrics.iter().flat_map(of).collect()))
            }
            Signal::Logs => {
                let mut batch = LogBatch::default();
                decode_logs(request, &mut batch)
                    .map(|()| (batch.resources, batch.records.iter().map(|record| record.resource).collect()))
            }
        };
        let (resources, items): (Vec<ResourceRecord>, Vec<u32>) =
            read.inspect_err(|_| self.malformed += 1)?;
        self.items[signal as usize] += items.len() as u64;
        for (at, resource) in resources.iter().enumerate() {
            let n = items.iter().filter(|of| **of as usize == at).count() as u64;
            if n > 0 {
                self.note(resource, request, n);
            }
        }
        Ok(())
    }

    fn note(&mut self, record: &ResourceRecord, request: &[u8], items: u64) {
        let at = match self.known.get(&record.hash) {
            Some(at) => *at,
            None if self.resources.len() == RESOURCES_MAX => {
                self.beyond += items;
                return;
            }
            None => {
                let at = self.resources.len();
                self.known.insert(record.hash, at);
                self.resources.push(Resource::read(record.bytes.of(request)));
                at
            }
        };
        self.resources[at].items += items;
    }

    /// Whether anything arrived.
    pub fn is_empty(&self) -> bool {
        self.items.iter().all(|n| *n == 0)
    }

    /// The services seen, in order, with how many items each sent.
    pub fn services(&self) -> BTreeMap<&ServiceKey, u64> {
        let mut services = BTreeMap::new();
        for resource in &self.resources {
            *services.entry(&resource.service).or_default() += resource.items;
        }
        services
    }
}

impl Resource {
    fn read(message: &[u8]) -> Resource {
        let mut attributes = BTreeMap::new();
        for (key, value) in resource_attributes(message).take(ATTRIBUTES_MAX) {
            if let AnyValue::Str(value) = value
                && (1..=VALUE_BYTES_MAX).contains(&value.len())
                && key.len() <= VALUE_BYTES_MAX
            {
                attributes.entry(key.to_owned()).or_insert_with(|| value.to_owned());
            }
        }
        let text = |key: &str| attributes.get(key).map_or("", String::as_str).into();
        let service = ServiceKey { namespace: text("service.namespace"), name: text("service.name") };
        Resource { service, attributes, items: 0 }
    }
}

#[cfg(test)]
mod tests;
