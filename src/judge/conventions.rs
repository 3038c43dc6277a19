//! Aspects presence and shape against a registry: does a service's telemetry follow the conventions?
//!
//! Only names that the conventions define, or that stand in a namespace of theirs, are looked at; all else is the
//! service's own business. What is missing, misspelt or of another type, unit or instrument is a warning; what is
//! deprecated, or not known in a known namespace, is worth knowing.

use super::findings::{Draft, Findings};
use super::presence::{Presence, Sighting};
use super::verdict::{Aspect, Level};
use crate::catalog::registry::{Attribute, Deprecated, Known, Metric};
use crate::catalog::{Form, Registry};
use crate::model::{EnvironmentId, ItemKind, ItemName, ServiceKey, SpanKind};
use std::collections::{BTreeMap, BTreeSet};

/// Names for which the nearest known one is looked for, in one service: the search goes over all names there are.
const SEARCHES_MAX: usize = 200;

/// What the conventions say of one service in one environment.
#[derive(Clone, Debug, Default)]
pub struct Conformity {
    /// Names that the conventions have a say in.
    pub checked: u64,
    /// Of these, names without a warning.
    pub right: u64,
    /// What departs from them, in order of place and name.
    pub departures: Vec<Departure>,
}

/// One departure from the conventions.
#[derive(Clone, Debug, PartialEq)]
pub struct Departure {
    /// What it is about: `attribute http.metod`, `metric http.server.duration`.
    pub subject: String,
    /// How much it matters.
    pub level: Level,
    /// Presence or shape.
    pub aspect: Aspect,
    /// A few words.
    pub title: &'static str,
    /// A sentence, without the service.
    pub message: String,
}

impl Conformity {
    /// Right over checked; 1 when nothing was checked.
    pub fn ratio(&self) -> f64 {
        if self.checked == 0 { 1.0 } else { self.right as f64 / self.checked as f64 }
    }

    fn judge(&mut self, departures: Vec<Departure>) {
        self.checked += 1;
        self.right += u64::from(departures.iter().all(|departure| departure.level < Level::Warning));
        self.departures.extend(departures);
    }
}

/// The rows of one service in one environment.
type Rows<'p> = BTreeMap<&'p ItemName, &'p Sighting>;

/// Holds a service to the conventions; `presence` is in detail.
pub fn check(
    registry: &Registry,
    presence: &Presence,
    service: &ServiceKey,
    environment: EnvironmentId,
) -> Conformity {
    let rows = presence.services.get(service).into_iter().flatten();
    let rows: Rows<'_> = rows.filter_map(|(name, seen)| Some((name, seen.get(&environment)?))).collect();
    let mut found = Conformity::default();
    let mut searches = SEARCHES_MAX;
    for (key, used) in keys(&rows) {
        let known = within(&mut searches, registry.attributes.contains_key(key), || registry.attribute(key));
        of_attribute(key, &used, known, &mut found);
    }
    let of_kind = |kind: ItemKind| rows.iter().filter(move |(name, _)| name.kind == kind);
    for (name, seen) in of_kind(ItemKind::Metric) {
        let name = &*name.name;
        let known = within(&mut searches, registry.metrics.contains_key(name), || registry.metric(name));
        of_metric(name, seen, known, &rows, &mut found);
    }
    for (name, _) in of_kind(ItemKind::Log) {
        of_event(&name.name, registry, &rows, &mut found);
    }
    for (name, _) in of_kind(ItemKind::Span) {
        of_span(&name.name, registry, &rows, &mut found);
    }
    found
}

/// Asks about a name that is defined, or while searches are left; beyond that a name is taken for somebody else's.
fn within<'r, T>(searches: &mut usize, defined: bool, ask: impl FnOnce() -> Known<'r, T>) -> Known<'r, T> {
    if !defined && *searches == 0 {
        return Known::Foreign;
    }
    let known = ask();
    *searches -= usize::from(matches!(known, Known::Unknown(_)));
    known
}

/// An attribute key of a service: where it is used, and with which types.
#[derive(Default)]
struct Used {
    on: BTreeSet<&'static str>,
    forms: BTreeSet<String>,
}

fn keys<'p>(rows: &Rows<'p>) -> BTreeMap<&'p str, Used> {
    let mut keys: BTreeMap<&str, Used> = BTreeMap::new();
    for (name, seen) in rows {
        let (key, on) = match name.kind {
            ItemKind::SpanAttribute => (Some(&*name.name), "spans"),
            ItemKind::LogAttribute => (Some(&*name.name), "log records"),
            ItemKind::ResourceAttribute => (Some(&*name.name), "the resource"),
            ItemKind::MetricAttribute => (attribute_key(&name.name), "metrics"),
            _ => (None, ""),
        };
        let Some(key) = key else { continue };
        let used = keys.entry(key).or_default();
        used.on.insert(on);
        used.forms.extend(seen.forms());
    }
    keys
}

/// The key in `metric[key]`.
fn attribute_key(name: &str) -> Option<&str> {
    name.split_once('[').map(|(_, key)| key.strip_suffix(']').unwrap_or(key))
}

fn of_attribute(key: &str, used: &Used, known: Known<'_, Attribute>, found: &mut Conformity) {
    let on = used.on.iter().copied().collect::<Vec<_>>().join(", ");
    let subject = format!("attribute {key}");
    match known {
        Known::Foreign => {}
        Known::Unknown(meant) => found.judge(vec![unknown(subject, &format!(" on {on}"), meant)]),
        Known::Defined(attribute) => {
            let form = Form { value: attribute.value, ..Form::default() };
            let otherwise: BTreeSet<String> = used.forms.iter().flat_map(|is| form.differences(is)).collect();
            let mut departures = of_deprecated(&subject, &attribute.deprecated);
            departures.extend(of_form(&subject, otherwise));
            found.judge(departures);
        }
    }
}

fn of_metric(name: &str, seen: &Sighting, known: Known<'_, Metric>, rows: &Rows<'_>, found: &mut Conformity) {
    let subject = format!("metric {name}");
    let metric = match known {
        Known::Foreign => return,
        Known::Unknown(meant) => return found.judge(vec![unknown(subject, "", meant)]),
        Known::Defined(metric) => metric,
    };
    let form = Form { instrument: metric.instrument, unit: metric.unit.clone(), ..Form::default() };
    let otherwise: BTreeSet<String> = seen.forms().iter().flat_map(|is| form.differences(is)).collect();
    let mut departures = of_deprecated(&subject, &metric.deprecated);
    departures.extend(of_form(&subject, otherwise));
    let has = |key: &&String| {
        rows.contains_key(&ItemName {
            kind: ItemKind::MetricAttribute,
            name: format!("{name}[{key}]").into(),
        })
    };
    let missing: Vec<&str> = metric.required.iter().filter(|key| !has(key)).map(|key| &**key).collect();
    departures.extend(of_missing(&subject, &missing));
    found.judge(departures);
}

fn of_event(name: &str, registry: &Registry, rows: &Rows<'_>, found: &mut Conformity) {
    let Some(event) = name.strip_prefix("event ") else { return };
    let Known::Defined(known) = registry.event(event) else { return };
    let subject = format!("event {event}");
    // Attributes of log records are kept by service, so that only what none of them has is known to be missing.
    let has = |key: &&String| {
        rows.contains_key(&ItemName { kind: ItemKind::LogAttribute, name: key.as_str().into() })
    };
    let missing: Vec<&str> = known.required.iter().filter(|key| !has(key)).map(|key| &**key).collect();
    let mut departures = of_deprecated(&subject, &known.deprecated);
    departures.extend(of_missing(&subject, &missing));
    found.judge(departures);
}

fn of_span(name: &str, registry: &Registry, rows: &Rows<'_>, found: &mut Conformity) {
    let kind = name.rsplit_once(" (").and_then(|(_, kind)| SpanKind::from_text(kind.trim_end_matches(')')));
    let Some(kind) = kind else { return };
    let first = ItemName { kind: ItemKind::OperationAttribute, name: format!("{name}[").into() };
    let own = rows.range::<ItemName, _>(&first..).map(|(row, _)| &row.name);
    let keys =
        own.map_while(|row| row.strip_prefix(&*first.name)).map(|key| key.strip_suffix(']').unwrap_or(key));
    let has: BTreeSet<&str> = keys.collect();
    if let Some(missing) = registry.missing_of_span(kind, &has) {
        found.judge(of_missing(&format!("span {name}"), &missing).into_iter().collect());
    }
}

fn unknown(subject: String, on: &str, meant: Option<&str>) -> Departure {
    let aspect = Aspect::Presence;
    match meant {
        Some(meant) => Departure {
            level: Level::Warning,
            aspect,
            title: "misspelt",
            message: format!("{subject}{on} is not in the conventions; {meant} is"),
            subject,
        },
        None => Departure {
            level: Level::Info,
            aspect,
            title: "not in the conventions",
            message: format!("{subject}{on} stands in a namespace of the conventions, which do not know it"),
            subject,
        },
    }
}

fn of_deprecated(subject: &str, deprecated: &Option<Deprecated>) -> Vec<Departure> {
    let Some(deprecated) = deprecated else { return Vec::new() };
    let instead = match (&deprecated.renamed_to, deprecated.note.lines().next().unwrap_or("")) {
        (Some(name), _) => format!(": {name} replaces it"),
        (None, "") => String::new(),
        (None, note) => format!(": {}", note.trim_end_matches('.')),
    };
    vec![Departure {
        subject: subject.to_owned(),
        level: Level::Info,
        aspect: Aspect::Shape,
        title: "deprecated",
        message: format!("{subject} is deprecated{instead}"),
    }]
}

fn of_form(subject: &str, otherwise: BTreeSet<String>) -> Option<Departure> {
    let words = otherwise.into_iter().collect::<Vec<_>>().join(", ");
    (!words.is_empty()).then(|| Departure {
        subject: subject.to_owned(),
        level: Level::Warning,
        aspect: Aspect::Shape,
        title: "of another form than the conventions say",
        message: format!("{subject} has {words}"),
    })
}

fn of_missing(subject: &str, missing: &[&str]) -> Option<Departure> {
    (!missing.is_empty()).then(|| Departure {
        subject: subject.to_owned(),
        level: Level::Warning,
        aspect: Aspect::Presence,
        title: "without required attributes",
        message: format!("{subject} lacks {}, which the conventions require", missing.join(", ")),
    })
}

/// What people should know of one service in one environment.
pub fn of_conformity(
    service: &str,
    environment: &str,
    found: &Conformity,
    findings: &mut Findings,
    traffic: u64,
) {
    for departure in &found.departures {
        findings.add(Draft {
            level: departure.level,
            aspect: departure.aspect,
            service: Some(service),
            operation: None,
            subject: &format!("conventions {environment} {} {}", departure.subject, departure.title),
            title: departure.title.to_owned(),
            message: format!("{service}, in {environment}: {}.", departure.message),
            action: "Follow the conventions, or waive the departure.",
            evidence: BTreeMap::from([
                ("environment".to_owned(), environment.into()),
                ("subject".to_owned(), departure.subject.as_str().into()),
            ]),
            traffic,
        });
    }
}
