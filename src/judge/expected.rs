//! Aspects presence and shape against a catalog: has an environment the telemetry that is expected of it, in its form?
//!
//! A required item is *expected* if it would have shown with the telemetry that the service has sent: its share of the
//! service's spans (points, records) times their number is at least ln(m/0.05), m being the number of required items, by
//! the reasoning of [`super::coverage`]. Where the service has sent nothing of a signal, the traffic that the catalog states
//! says how much of it would go with what was sent. An attribute is expected by the sightings of what it belongs to, and
//! not at all while that is absent; a resource attribute as soon as the service sends anything. Coverage is present over
//! expected.

use super::findings::{Draft, Findings};
use super::presence::{Presence, Sighting, enough_sightings};
use super::verdict::{Aspect, Coverage, Level};
use crate::catalog::{Catalog, Item, Service, Traffic, attribute_kind};
use crate::model::{EnvironmentId, ItemKind, ItemName, ServiceKey};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The signals that items belong to.
pub const SIGNALS: [&str; 4] = ["resource", "spans", "metrics", "logs"];

/// The signal of a sort of item.
pub fn signal(kind: ItemKind) -> &'static str {
    match kind {
        ItemKind::ResourceAttribute | ItemKind::Resource | ItemKind::Scope => "resource",
        ItemKind::Span
        | ItemKind::SpanAttribute
        | ItemKind::SpanEvent
        | ItemKind::OperationAttribute
        | ItemKind::ErrorType => "spans",
        ItemKind::Metric | ItemKind::MetricAttribute => "metrics",
        ItemKind::Log | ItemKind::LogAttribute => "logs",
    }
}

/// What one environment shows of one service beside what is expected of it.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// For the report.
    pub coverage: Coverage,
    /// Expected and present by signal.
    pub signals: BTreeMap<&'static str, (u64, u64)>,
    /// Required items that would have shown and did not.
    pub missing: Vec<ItemName>,
    /// Required items that are too rare to have shown yet.
    pub too_rare: Vec<ItemName>,
    /// Items in another form than expected, with what is otherwise.
    pub reshaped: Vec<(ItemName, String)>,
    /// Items that are there under a previous name.
    pub renamed: Vec<(ItemName, String)>,
    /// Items that the catalog does not name, in sections that it has, with how often they were seen.
    pub extra: Vec<(ItemName, u64)>,
    /// The service sends nothing here.
    pub absent: bool,
}

/// One environment, as a catalog is held to it.
pub struct Watched<'a> {
    /// What is expected.
    pub catalog: &'a Catalog,
    /// What the environment showed, in detail.
    pub presence: &'a Presence,
    /// Its number.
    pub id: EnvironmentId,
    /// Its name.
    pub environment: &'a str,
    enough: f64,
    all: Traffic,
    catalog_all: Traffic,
}

impl<'a> Watched<'a> {
    /// What `presence` shows of the environment beside the catalog.
    pub fn new(
        catalog: &'a Catalog,
        presence: &'a Presence,
        (id, environment): (EnvironmentId, &'a str),
    ) -> Watched<'a> {
        let here = catalog.services.values().filter(|service| service.is_expected_in(environment));
        let required = |item: &&Item| item.is_required() && item.is_expected_in(environment);
        let items = here.clone().flat_map(|service| service.items.values()).filter(required);
        let items: usize = items.map(|item| 1 + item.attributes.values().filter(required).count()).sum();
        let stated = here.filter_map(|service| service.traffic);
        let catalog_all = stated.fold(Traffic::default(), |a, b| Traffic {
            spans: a.spans.saturating_add(b.spans),
            points: a.points.saturating_add(b.points),
            logs: a.logs.saturating_add(b.logs),
        });
        let all = presence.all_traffic(id);
        Watched { catalog, presence, id, environment, enough: enough_sightings(items), all, catalog_all }
    }

    /// The services that are expected here.
    pub fn services(&self) -> impl Iterator<Item = (ServiceKey, &'a Service)> + '_ {
        let here =
            self.catalog.services.iter().filter(|(_, service)| service.is_expected_in(self.environment));
        here.map(|(name, service)| (service_key(name), service))
    }

    /// Holds a service to what the catalog expects of it here; `None` when it expects nothing.
    pub fn hold(&self, key: &ServiceKey) -> Option<Held> {
        let service = self.catalog.services.get(&key.to_string())?;
        if !service.is_expected_in(self.environment) {
            return None;
        }
        let own = self.presence.traffic(key, self.id);
        let mut held = Held { absent: own.is_none(), ..Held::default() };
        match held.absent {
            true => self.hold_absent(service, &mut held),
            false => {
                let rows = self.presence.services.get(key);
                let rows = rows.into_iter().flatten();
                let rows = rows.filter_map(|(name, seen)| Some((name, seen.get(&self.id)?))).collect();
                self.hold_present(service, own, &rows, &mut held);
            }
        }
        held.coverage.missing = held.missing.iter().map(ItemName::to_string).collect();
        held.coverage.extra = held.extra.iter().map(|(item, _)| item.to_string()).collect();
        let reshaped = held.reshaped.iter().map(|(item, otherwise)| format!("{item}: {otherwise}"));
        let renamed = held.renamed.iter().map(|(item, old)| format!("{item}: sent as {old}"));
        held.coverage.shape = reshaped.chain(renamed).collect();
        held.coverage.ratio = match held.coverage.expected {
            0 => 1.0,
            expected => held.coverage.present as f64 / expected as f64,
        };
        Some(held)
    }

    fn required<'s>(&self, service: &'s Service) -> impl Iterator<Item = (&'s ItemName, &'s Item)> {
        let required =
            |(_, item): &(&ItemName, &Item)| item.is_required() && item.is_expected_in(self.environment);
        service.items.iter().filter(required)
    }

    /// A service of which nothing was seen: missing as a whole, or too quiet to have been seen.
    fn hold_absent(&self, service: &Service, held: &mut Held) {
        let of = |kind: ItemKind| match service.traffic {
            Some(stated) => self.all.share(self.catalog_all, kind) * stated.of(kind) as f64,
            None => self.all.of(kind).max(self.all.spans).max(self.all.points).max(self.all.logs) as f64,
        };
        let most = [ItemKind::Span, ItemKind::Metric, ItemKind::Log].map(of).into_iter().fold(0.0, f64::max);
        let names = self.required(service).map(|(name, _)| name.clone()).collect();
        match service.is_required() && most >= self.enough {
            true => {
                held.missing = names;
                held.missing
                    .iter()
                    .for_each(|name| count(&mut held.coverage, &mut held.signals, name.kind, false));
            }
            false if service.is_required() => held.too_rare = names,
            false => {}
        }
    }

    fn hold_present(
        &self,
        service: &Service,
        own: Traffic,
        rows: &BTreeMap<&ItemName, &Sighting>,
        held: &mut Held,
    ) {
        for (name, item) in &service.items {
            if !item.is_expected_in(self.environment) {
                continue;
            }
            let expected = match name.kind {
                ItemKind::ResourceAttribute => f64::INFINITY,
                kind => item.share() * self.of_signal(service, own, kind),
            };
            let Some(seen) = self.look(name, item, expected, rows, held) else { continue };
            let Some(kind) = attribute_kind(name.kind) else { continue };
            for (key, attribute) in item.attributes.iter().filter(|(_, a)| a.is_expected_in(self.environment))
            {
                let name = ItemName { kind, name: format!("{}[{key}]", name.name).into() };
                self.look(&name, attribute, attribute.share() * seen as f64, rows, held);
            }
        }
        held.extra = self.extra(service, rows);
    }

    /// Spans (points, records) of the service, or as many as would go with what it has sent.
    fn of_signal(&self, service: &Service, own: Traffic, kind: ItemKind) -> f64 {
        match (own.of(kind), service.traffic) {
            (0, Some(stated)) => own.share(stated, kind) * stated.of(kind) as f64,
            (0, None) => own.spans.max(own.points).max(own.logs) as f64,
            (sent, _) => sent as f64,
        }
    }

    /// Looks for one item, of which `expected` sightings would be expected. Returns how often it was seen.
    fn look(
        &self,
        name: &ItemName,
        item: &Item,
        expected: f64,
        rows: &BTreeMap<&ItemName, &Sighting>,
        held: &mut Held,
    ) -> Option<u64> {
        let mut counts = |present| {
            if item.is_required() {
                count(&mut held.coverage, &mut held.signals, name.kind, present);
            }
        };
        if let Some(seen) = rows.get(name) {
            counts(true);
            let otherwise: BTreeSet<String> =
                seen.forms().iter().flat_map(|form| item.form.differences(form)).collect();
            if !otherwise.is_empty() {
                let words = otherwise.into_iter().collect::<Vec<_>>().join(", ");
                held.reshaped.push((name.clone(), words));
            }
            return Some(seen.seen.count);
        }
        if let Some(old) = self.previous_name(name, rows) {
            counts(true);
            held.renamed.push((name.clone(), old));
        } else if item.is_required() && expected < self.enough {
            held.too_rare.push(name.clone());
        } else if item.is_required() {
            counts(false);
            held.missing.push(name.clone());
        }
        None
    }

    /// The name under which an item that is not there was sent before, if the conventions know one and it is there.
    fn previous_name(&self, name: &ItemName, rows: &BTreeMap<&ItemName, &Sighting>) -> Option<String> {
        let registry = self.catalog.registry.as_ref()?;
        let (before, key, after) = match name.name.rsplit_once('[') {
            Some((parent, key)) if attribute_of(name.kind) => {
                (format!("{parent}["), key.trim_end_matches(']'), "]")
            }
            _ => (String::new(), &*name.name, ""),
        };
        let olds = match name.kind {
            ItemKind::Metric => registry.metrics_renamed_to(key),
            ItemKind::Span | ItemKind::SpanEvent | ItemKind::Log => Vec::new(),
            _ => registry.attributes_renamed_to(key),
        };
        let there = |old: &&str| {
            rows.contains_key(&ItemName { kind: name.kind, name: format!("{before}{old}{after}").into() })
        };
        olds.into_iter().find(there).map(str::to_owned)
    }

    /// What the catalog does not name, where it names such things at all: a section that is not written is not checked.
    fn extra(&self, service: &Service, rows: &BTreeMap<&ItemName, &Sighting>) -> Vec<(ItemName, u64)> {
        let here = |item: &Item| item.is_expected_in(self.environment);
        let sections: BTreeSet<ItemKind> = service.items.keys().map(|name| name.kind).collect();
        let mut attributes: BTreeSet<(ItemKind, Arc<str>)> = BTreeSet::new();
        let mut with_attributes = BTreeSet::new();
        for (name, item) in service.items.iter().filter(|(_, item)| here(item) && !item.attributes.is_empty())
        {
            let Some(kind) = attribute_kind(name.kind) else { continue };
            with_attributes.insert((kind, &*name.name));
            let known = item.attributes.keys().map(|key| (kind, format!("{}[{key}]", name.name).into()));
            attributes.extend(known);
        }
        let unnamed = |name: &ItemName| match attribute_of(name.kind) {
            true => {
                let parent = name.name.rsplit_once('[').map_or("", |(parent, _)| parent);
                with_attributes.contains(&(name.kind, parent))
                    && !attributes.contains(&(name.kind, name.name.clone()))
            }
            false => sections.contains(&name.kind) && !service.items.get(name).is_some_and(here),
        };
        let unnamed = rows.iter().filter(|(name, _)| unnamed(name));
        unnamed.map(|(name, seen)| ((*name).clone(), seen.seen.count)).collect()
    }
}

/// Whether items of this sort are attributes of another item.
fn attribute_of(kind: ItemKind) -> bool {
    matches!(kind, ItemKind::OperationAttribute | ItemKind::MetricAttribute)
}

fn count(
    coverage: &mut Coverage,
    signals: &mut BTreeMap<&'static str, (u64, u64)>,
    kind: ItemKind,
    present: bool,
) {
    let of_signal = signals.entry(signal(kind)).or_default();
    for (expected, there) in
        [(&mut coverage.expected, &mut coverage.present), (&mut of_signal.0, &mut of_signal.1)]
    {
        *expected += 1;
        *there += u64::from(present);
    }
}

/// The service behind a catalog's name for it.
pub fn service_key(name: &str) -> ServiceKey {
    let (namespace, name) = name.split_once('/').unwrap_or(("", name));
    ServiceKey { namespace: namespace.into(), name: name.into() }
}

/// A service that the catalog does not name.
pub fn unexpected_service(service: &str, environment: &str, findings: &mut Findings, traffic: u64) {
    findings.add(Draft {
        level: Level::Info,
        aspect: Aspect::Presence,
        service: Some(service),
        operation: None,
        subject: &format!("catalog {environment} unexpected"),
        title: "unexpected service".to_owned(),
        message: format!("{service} sends telemetry in {environment}, where the catalog does not expect it."),
        action: "Add it to the catalog if it is meant to be there.",
        evidence: BTreeMap::from([("environment".to_owned(), environment.into())]),
        traffic,
    });
}

/// What people should know of one service in one environment.
pub fn of_held(
    service: &str,
    environment: &str,
    held: &Held,
    tolerance: f64,
    findings: &mut Findings,
    traffic: u64,
) {
    let short = held.coverage.ratio < tolerance;
    let missing_level = if short { Level::Critical } else { Level::Warning };
    let mut add = |level, aspect, what: &str, title: String, message: String, action: &str| {
        findings.add(Draft {
            level,
            aspect,
            service: Some(service),
            operation: None,
            subject: &format!("catalog {environment} {what}"),
            title,
            message,
            action,
            evidence: BTreeMap::from([("environment".to_owned(), environment.into())]),
            traffic,
        });
    };
    if held.absent {
        if !held.missing.is_empty() {
            add(
                missing_level,
                Aspect::Presence,
                "service",
                "service missing".to_owned(),
                format!(
                    "{service} sends nothing in {environment}; the catalog expects {} item(s).",
                    held.missing.len()
                ),
                "Check that the service is deployed there and that its exporter reaches the pipeline.",
            );
        } else if !held.too_rare.is_empty() {
            add(
                Level::Info,
                Aspect::Presence,
                "service",
                "service not seen yet".to_owned(),
                format!(
                    "{service} has sent nothing in {environment}, where too little of it would be expected yet."
                ),
                "Watch for longer.",
            );
        }
        return;
    }
    for item in &held.missing {
        add(
            missing_level,
            Aspect::Presence,
            &item.to_string(),
            format!("missing {}", item.kind.as_str()),
            format!("{service} does not send {item} in {environment}; the catalog expects it."),
            "Check the instrumentation and its exporters, or mark the item as not required in the catalog.",
        );
    }
    for item in &held.too_rare {
        add(
            Level::Info,
            Aspect::Presence,
            &item.to_string(),
            format!("{} not seen yet", item.kind.as_str()),
            format!(
                "{service} has not sent {item} in {environment}, too little traffic for its absence to count."
            ),
            "Watch for longer, or state its share in the catalog.",
        );
    }
    for (item, otherwise) in &held.reshaped {
        add(
            Level::Warning,
            Aspect::Shape,
            &item.to_string(),
            format!("{} of another form", item.kind.as_str()),
            format!("{service} sends {item} in {environment} with {otherwise}."),
            "Bring instrumentation and catalog together: dashboards and alerts rely on the form.",
        );
    }
    for (item, old) in &held.renamed {
        add(
            Level::Warning,
            Aspect::Shape,
            &format!("{item} as {old}"),
            format!("{} under its previous name", item.kind.as_str()),
            format!("{service} sends {item} in {environment} under its previous name {old}."),
            "Update the instrumentation, or expect the previous name in the catalog.",
        );
    }
    for (item, count) in &held.extra {
        add(
            Level::Info,
            Aspect::Presence,
            &item.to_string(),
            format!("unexpected {}", item.kind.as_str()),
            format!(
                "{service} sends {item} in {environment}, {count} time(s); the catalog does not name it."
            ),
            "Add it to the catalog if it is meant to be there.",
        );
    }
}
