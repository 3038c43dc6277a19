//! Aspects presence and shape: has the candidate the telemetry that the baseline has, in the same form?
//!
//! An item of the baseline is *expected* of the candidate only if the candidate could have shown it: with the traffic
//! that it has, at least [`EXPECTED_SIGHTINGS`] sightings would be expected. What is rarer is left out of the ratio,
//! because its absence says nothing yet (the chance to see none of five expected ones is e⁻⁵ = 0.7 %).

use super::verdict::Coverage;
use crate::model::{Catalog, EnvironmentId, ItemKind, ServiceKey};
use crate::window::SealedWindow;
use crate::window::open::Seen;
use std::collections::{BTreeMap, BTreeSet};

/// Expected sightings from which an absence means something.
pub const EXPECTED_SIGHTINGS: f64 = 5.0;

/// One item of a service: its sort and name, in tables `metric http.server.request.duration`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ItemName {
    /// What sort of thing it is.
    pub kind: ItemKind,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for ItemName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}

/// What is known of one item in one environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// How often and when.
    pub seen: Seen,
    /// The forms in which it was seen.
    pub forms: BTreeSet<String>,
}

/// The presence matrix: service × item × environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// Items by service, then environments.
    pub services: BTreeMap<ServiceKey, BTreeMap<ItemName, BTreeMap<EnvironmentId, Sighting>>>,
}

impl Presence {
    /// Adds what some windows hold of one environment.
    pub fn add<'w>(
        &mut self,
        catalog: &Catalog,
        environment: EnvironmentId,
        windows: impl Iterator<Item = &'w SealedWindow>,
    ) {
        for window in windows {
            for ((_, item), seen) in window.presence.iter().filter(|((env, _), _)| *env == environment) {
                let item = catalog.item_key(*item);
                let name = ItemName { kind: item.kind, name: item.name.to_string() };
                self.see(&item.service, name, environment, *seen, &item.form);
            }
            let cells = window.cells.iter().filter(|((env, _), _)| *env == environment);
            for ((_, series), cell) in cells {
                let Some(seen) = cell.seen else { continue };
                let series = catalog.series_key(*series);
                let name = format!("{} ({})", series.operation, series.kind.as_str());
                let name = ItemName { kind: ItemKind::Span, name };
                self.see(&series.service, name, environment, seen, "");
            }
        }
    }

    fn see(&mut self, service: &ServiceKey, name: ItemName, env: EnvironmentId, seen: Seen, form: &str) {
        let items = self.services.entry(service.clone()).or_default();
        let sighting = items.entry(name).or_default().entry(env);
        let sighting = sighting
            .and_modify(|known| known.seen.merge(seen))
            .or_insert_with(|| Sighting { seen, forms: BTreeSet::new() });
        if !form.is_empty() {
            sighting.forms.insert(form.to_owned());
        }
    }

    /// How much of each sort of telemetry a service sends in an environment.
    fn traffic(&self, service: &ServiceKey, env: EnvironmentId) -> Traffic {
        let mut traffic = Traffic::default();
        for (name, sightings) in self.services.get(service).into_iter().flatten() {
            let Some(sighting) = sightings.get(&env) else { continue };
            match name.kind {
                ItemKind::Span => traffic.spans += sighting.seen.count,
                ItemKind::Metric => traffic.points += sighting.seen.count,
                ItemKind::Log => traffic.logs += sighting.seen.count,
                _ => {}
            }
        }
        traffic
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Traffic {
    spans: u64,
    points: u64,
    logs: u64,
}

impl Traffic {
    fn of(self, kind: ItemKind) -> u64 {
        match kind {
            ItemKind::Span | ItemKind::SpanAttribute | ItemKind::SpanEvent => self.spans,
            ItemKind::Metric | ItemKind::MetricAttribute => self.points,
            ItemKind::Log | ItemKind::LogAttribute => self.logs,
        }
    }

    fn is_none(self) -> bool {
        self.spans + self.points + self.logs == 0
    }
}

/// The coverage of one service, and what it rests on.
#[derive(Clone, Debug, Default)]
pub struct ServiceCoverage {
    /// For the report.
    pub coverage: Coverage,
    /// Items that are missing, with how often the baseline showed them.
    pub missing: Vec<(ItemName, u64)>,
    /// Items that both have in different forms: item, baseline's forms, candidate's forms.
    pub reshaped: Vec<(ItemName, String, String)>,
    /// Items that only the baseline has shown, too rarely for their absence to mean something yet.
    pub too_rare: Vec<(ItemName, u64)>,
    /// The service sends nothing in one of the environments.
    pub absent: bool,
}

/// Holds the candidate's telemetry of a service against the baseline's.
pub fn cover(
    presence: &Presence,
    service: &ServiceKey,
    baseline: EnvironmentId,
    candidate: EnvironmentId,
) -> ServiceCoverage {
    let (base, cand) = (presence.traffic(service, baseline), presence.traffic(service, candidate));
    let mut found =
        ServiceCoverage { absent: base.is_none() || cand.is_none(), ..ServiceCoverage::default() };
    let share = |kind: ItemKind| match base.of(kind) {
        0 => 0.0,
        n => cand.of(kind) as f64 / n as f64,
    };
    for (name, sightings) in presence.services.get(service).into_iter().flatten() {
        match (sightings.get(&baseline), sightings.get(&candidate)) {
            (Some(there), Some(here)) => {
                found.coverage.expected += 1;
                found.coverage.present += 1;
                if there.forms != here.forms {
                    let words =
                        |forms: &BTreeSet<String>| forms.iter().cloned().collect::<Vec<_>>().join(" and ");
                    let (theirs, ours) = (words(&there.forms), words(&here.forms));
                    found
                        .coverage
                        .shape
                        .push(format!("{name}: {theirs} in the baseline, {ours} in the candidate"));
                    found.reshaped.push((name.clone(), theirs, ours));
                }
            }
            (Some(there), None) => {
                // A signal that the candidate does not send at all is missing however little there was of it.
                let silent = cand.of(name.kind) == 0;
                if !silent && there.seen.count as f64 * share(name.kind) < EXPECTED_SIGHTINGS {
                    found.too_rare.push((name.clone(), there.seen.count));
                    continue;
                }
                found.coverage.expected += 1;
                found.coverage.missing.push(name.to_string());
                found.missing.push((name.clone(), there.seen.count));
            }
            (None, Some(_)) => found.coverage.extra.push(name.to_string()),
            (None, None) => {}
        }
    }
    found.coverage.ratio = match found.coverage.expected {
        0 => 1.0,
        expected => found.coverage.present as f64 / expected as f64,
    };
    found
}
