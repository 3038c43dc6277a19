//! What missing telemetry comes from: an SDK or an instrumentation library that is gone takes its items with it, other
//! conventions give them other names, and what is missing everywhere is missing once.

use super::completeness::{self, Signal};
use super::coverage::Reshaped;
use super::facts::FactEvidence;
use super::findings::Root;
use super::presence::Presence;
use crate::model::ItemName;
use crate::model::{EnvironmentId, ItemKind, KnownNames, ServiceKey, renamed};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What is known of one service's missing telemetry.
pub struct Roots<'a> {
    names: &'a KnownNames,
    presence: &'a Presence,
    baseline: EnvironmentId,
    candidate: EnvironmentId,
    stated: &'a FactEvidence,
    service: &'a ServiceKey,
    /// Scopes that only the baseline has.
    scopes: BTreeSet<Arc<str>>,
    /// Whether only the baseline has an SDK.
    sdk: bool,
    /// Signals that only the baseline has.
    silent: Vec<Signal>,
}

impl<'a> Roots<'a> {
    /// Of a service.
    pub fn of(
        names: &'a KnownNames,
        (presence, baseline, candidate): (&'a Presence, EnvironmentId, EnvironmentId),
        stated: &'a FactEvidence,
        service: &'a ServiceKey,
    ) -> Roots<'a> {
        let (scopes, sdk) =
            names.find_service(service).map(|id| stated.missing_scopes(id)).unwrap_or_default();
        let silent = completeness::silent(presence, service, (baseline, candidate));
        Roots { names, presence, baseline, candidate, stated, service, scopes, sdk, silent }
    }

    /// Whether an item is of a signal that only the baseline has.
    pub fn is_silent(&self, item: &ItemName) -> bool {
        self.silent_signal(item).is_some()
    }

    /// What an item's absence comes from, the nearest first.
    pub fn of_item(&self, item: &ItemName) -> Vec<Root> {
        if self.sdk {
            return self.of_source("telemetry.sdk", "the OpenTelemetry SDK", 2);
        }
        if let Some(signal) = self.silent_signal(item) {
            return vec![self.of_signal(signal)];
        }
        match self.missing_scope(item) {
            Some(scope) => {
                let services = self.stated.services_with_scope(&scope);
                self.of_source(&format!("otel.scope[{scope}]"), &format!("{scope}"), services.max(2))
            }
            None => vec![self.of_name(item)],
        }
    }

    fn has(&self, environment: EnvironmentId, item: &ItemName) -> bool {
        let items = self.presence.services.get(self.service);
        items.and_then(|items| items.get(item)).is_some_and(|sightings| sightings.contains_key(&environment))
    }

    /// An item that the candidate sends under another name, or not at all.
    fn of_name(&self, item: &ItemName) -> Root {
        let Some(renamed) = self.renamed(item) else { return self.of_item_everywhere(item) };
        Root {
            service: Some(self.service.to_string()),
            subject: "semantic conventions".to_owned(),
            title: "other version of the semantic conventions".to_owned(),
            message: format!(
                "{} follows another version of the semantic conventions in the candidate, and sends under other names",
                self.service
            ),
            action: "Bring dashboards, alerts and queries to the candidate's names first, or let it send both for a while.",
            least: 2,
            member: Some(renamed),
        }
    }

    /// The item's name and the one that the candidate has for it by another version of the conventions.
    fn renamed(&self, item: &ItemName) -> Option<String> {
        let (before, name, after) = match item.kind {
            ItemKind::MetricAttribute => {
                let (metric, key) = item.name.strip_suffix(']')?.split_once('[')?;
                (format!("{metric}["), key, "]")
            }
            _ => (String::new(), &*item.name, ""),
        };
        let sent = |other: &&str| {
            let name = format!("{before}{other}{after}").into();
            self.has(self.candidate, &ItemName { kind: item.kind, name })
        };
        renamed::other_names(name).find(sent).map(|other| format!("{name} → {other}"))
    }

    /// The scope without which nothing sends an item.
    fn missing_scope(&self, item: &ItemName) -> Option<Arc<str>> {
        let sighting = self.presence.services.get(self.service)?.get(item)?.get(&self.baseline)?;
        let mut scopes =
            sighting.sources.iter().filter_map(|source| self.names.carriers(source.carried)).flatten();
        let first = scopes.next()?;
        let all_gone = self.scopes.contains(first) && scopes.all(|scope| self.scopes.contains(scope));
        all_gone.then(|| first.clone())
    }

    fn of_source(&self, subject: &str, source: &str, services: usize) -> Vec<Root> {
        let of_service = Root {
            service: Some(self.service.to_string()),
            subject: subject.to_owned(),
            title: format!("{source} is missing"),
            message: format!(
                "{} sends nothing through {source} in the candidate, and lacks with it",
                self.service
            ),
            action: "Check that the candidate is built and started with this instrumentation.",
            least: 1,
            member: None,
        };
        let of_all = Root {
            service: None,
            message: format!("Nothing comes through {source} in the candidate"),
            least: services,
            ..of_service.clone()
        };
        vec![of_service, of_all]
    }

    /// The signal that the item belongs to, where all of it is gone.
    fn silent_signal(&self, item: &ItemName) -> Option<Signal> {
        Signal::of(item.kind).filter(|signal| self.silent.contains(signal))
    }

    fn of_signal(&self, signal: Signal) -> Root {
        let name = signal.as_str();
        Root {
            service: Some(self.service.to_string()),
            subject: format!("signal {name}"),
            title: format!("no {name} at all"),
            message: format!("{} has no {name} in the candidate, and lacks with them", self.service),
            action: "Check the candidate's exporter for this signal, and the pipeline behind it.",
            least: 1,
            member: None,
        }
    }

    /// What a difference in form comes from, the nearest first.
    pub fn of_form(&self, reshaped: &Reshaped) -> Vec<Root> {
        match reshaped.values.is_some() && !reshaped.multiplies_streams() {
            true => vec![self.of_cardinalities()],
            false => vec![self.of_form_everywhere(reshaped)],
        }
    }

    /// Other users, jobs or tests change several attributes at once.
    fn of_cardinalities(&self) -> Root {
        Root {
            service: Some(self.service.to_string()),
            subject: "cardinality".to_owned(),
            title: "attributes of another cardinality".to_owned(),
            message: format!(
                "{} sends attributes with another number of different values in the candidate",
                self.service
            ),
            action: "Look at what sets them, and whether the same users, jobs and tests are at work on both sides.",
            least: 3,
            member: None,
        }
    }

    /// The same difference in all services.
    fn of_form_everywhere(&self, reshaped: &Reshaped) -> Root {
        let Reshaped { item, field, baseline, candidate, .. } = reshaped;
        let word = field.as_str();
        Root {
            service: None,
            subject: format!("{item} {word} {baseline} {candidate}"),
            title: format!("{} of another {word} everywhere", item.kind.as_str()),
            message: format!(
                "The candidate sends {item} with {word} {candidate}, and the baseline with {word} {baseline}"
            ),
            action: "Look for what all services share: the SDK's version and settings.",
            least: self.presence.services_with(self.baseline, item).max(2),
            member: None,
        }
    }

    fn of_item_everywhere(&self, item: &ItemName) -> Root {
        Root {
            service: None,
            subject: item.to_string(),
            title: format!("missing {} everywhere", item.kind.as_str()),
            message: format!("The candidate does not send {item}"),
            action: "Look for what all services share: the SDK's version and settings, or a pipeline that drops it.",
            least: self.presence.services_with(self.baseline, item).max(2),
            member: None,
        }
    }
}
