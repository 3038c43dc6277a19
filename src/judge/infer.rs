//! Telemetry that was observed → the catalog that expects it.
//!
//! An item is *required* if it was seen so often that another look of the same length would show it again: by the rule of
//! [`super::expected`], or because a metric was in at least three exports and in all of them, which is how metrics come. What
//! is rarer is written as not required, with a comment that says how often it was seen. An item that some environments lack
//! in spite of enough traffic is expected in the others only.

use super::presence::{Presence, Sighting, enough_sightings};
use crate::catalog::{Catalog, Form, Item, MetricForm, Service, Traffic, ValueType, attribute_kind};
use crate::model::{EnvironmentId, ItemKind, ItemName, KnownNames, ServiceKey, operation};
use crate::window::SealedWindow;
use std::collections::{BTreeMap, BTreeSet};

/// Windows that must have shown a metric for it to be one that is always there.
const EXPORTS_MIN: u64 = 3;
/// A share from which on it is not worth writing.
const SHARE_ALL: f64 = 0.95;

/// One environment.
struct Seen<'n> {
    name: &'n str,
    id: EnvironmentId,
    presence: Presence,
}

/// Writes down what is in the windows.
pub fn infer(names: &KnownNames, windows: &[&SealedWindow]) -> Catalog {
    let environments: Vec<Seen<'_>> = names
        .environments()
        .iter()
        .enumerate()
        .map(|(at, name)| {
            let id = EnvironmentId(at as u16);
            Seen { name, id, presence: Presence::in_detail(names, id, windows.iter().copied()) }
        })
        .filter(|seen| !seen.presence.services.is_empty())
        .collect();
    let services: BTreeSet<&ServiceKey> =
        environments.iter().flat_map(|seen| seen.presence.services.keys()).collect();
    let items = environments.iter().flat_map(|seen| seen.presence.services.values());
    let enough = enough_sightings(items.map(BTreeMap::len).max().unwrap_or(0));
    let service = |key: &&ServiceKey| (key.to_string(), Observed::new(key, &environments, enough).service());
    Catalog { services: services.iter().map(service).collect(), registry: None }
}

/// One service in the environments that have it.
struct Observed<'a> {
    rows: Vec<Rows<'a>>,
    everywhere: bool,
    enough: f64,
    /// In how many windows the metric was that was in most of them.
    exports: u64,
}

struct Rows<'a> {
    environment: &'a str,
    items: BTreeMap<&'a ItemName, &'a Sighting>,
    traffic: Traffic,
    windows: u64,
}

impl<'a> Observed<'a> {
    fn new(key: &ServiceKey, environments: &'a [Seen<'_>], enough: f64) -> Observed<'a> {
        let rows: Vec<Rows<'_>> = environments
            .iter()
            .filter(|seen| !seen.presence.traffic(key, seen.id).is_none())
            .map(|seen| Rows {
                environment: seen.name,
                items: seen
                    .presence
                    .services
                    .get(key)
                    .into_iter()
                    .flatten()
                    .filter_map(|(name, sightings)| Some((name, sightings.get(&seen.id)?)))
                    .collect(),
                traffic: seen.presence.traffic(key, seen.id),
                windows: seen.presence.windows(seen.id),
            })
            .collect();
        let metrics =
            rows.iter().flat_map(|rows| &rows.items).filter(|(name, _)| name.kind == ItemKind::Metric);
        let exports = metrics.map(|(_, seen)| seen.windows).max().unwrap_or(0);
        Observed { everywhere: rows.len() == environments.len(), rows, enough, exports }
    }

    fn service(&self) -> Service {
        let names: BTreeSet<&ItemName> =
            self.rows.iter().flat_map(|rows| rows.items.keys().copied()).collect();
        let mut items: BTreeMap<ItemName, Item> = BTreeMap::new();
        let whole = |name: &&&ItemName| {
            !matches!(
                name.kind,
                ItemKind::SpanAttribute | ItemKind::OperationAttribute | ItemKind::MetricAttribute
            ) && !name.name.starts_with(operation::OVERFLOW)
        };
        for name in names.iter().filter(whole) {
            let mut item = self.item(name, None);
            if let Some(kind) = attribute_kind(name.kind) {
                let first = ItemName { kind, name: format!("{}[", name.name).into() };
                let of_item = names.range::<&ItemName, _>(&first..);
                let of_item =
                    of_item.take_while(|row| row.kind == kind && row.name.starts_with(&*first.name));
                for row in of_item {
                    let key = row.name[first.name.len()..].trim_end_matches(']');
                    item.attributes.insert(key.to_owned(), self.item(row, Some(name)));
                }
            }
            items.insert((**name).clone(), item);
        }
        Service {
            environments: self.names_of(!self.everywhere, |_| true),
            traffic: Some(self.traffic()),
            items,
            ..Service::default()
        }
    }

    fn names_of(&self, restricted: bool, has: impl Fn(&Rows<'_>) -> bool) -> Vec<String> {
        let mut names: Vec<String> = self
            .rows
            .iter()
            .filter(|rows| restricted && has(rows))
            .map(|rows| rows.environment.to_owned())
            .collect();
        names.sort();
        names
    }

    /// All that it sent, in two digits: one that are not there to be compared with.
    fn traffic(&self) -> Traffic {
        let sum =
            |part: fn(&Traffic) -> u64| two_digits(self.rows.iter().map(|rows| part(&rows.traffic)).sum());
        Traffic { spans: sum(|t| t.spans), points: sum(|t| t.points), logs: sum(|t| t.logs) }
    }

    /// An item, or an attribute of `parent`.
    fn item(&self, name: &ItemName, parent: Option<&ItemName>) -> Item {
        let of = |rows: &Rows<'_>| match parent {
            Some(parent) => rows.items.get(parent).map_or(0, |seen| seen.seen.count),
            None => rows.traffic.of(name.kind),
        };
        let seen_in = |rows: &Rows<'_>| rows.items.contains_key(name);
        let (mut count, mut whole, mut worth, mut windows, mut share) = (0, 0, 0.0_f64, 0, 1.0_f64);
        for rows in &self.rows {
            let Some(seen) = rows.items.get(name) else { continue };
            let here = seen.seen.count as f64 / seen.dispersion(rows.windows);
            count += seen.seen.count;
            whole += of(rows);
            worth = worth.max(here);
            windows = windows.max(seen.windows);
            share = share.min(here / of(rows).max(1) as f64);
        }
        let all = count as f64 >= SHARE_ALL * whole as f64;
        let by_export = matches!(name.kind, ItemKind::Metric | ItemKind::MetricAttribute)
            && windows >= EXPORTS_MIN
            && windows == self.exports;
        let always = name.kind == ItemKind::ResourceAttribute || by_export || (all && parent.is_some());
        let required = always || worth >= self.enough;
        let written = required && !always && !all;
        // Where an environment lacks it though it would have shown, it is not expected there.
        let lacking = |rows: &&Rows<'_>| !seen_in(rows) && share * of(rows) as f64 >= self.enough;
        let resource = |rows: &&Rows<'_>| !seen_in(rows) && name.kind == ItemKind::ResourceAttribute;
        let restricted = self.rows.iter().any(|rows| lacking(&rows) || resource(&rows));
        let comment = (!required).then(|| rarely(count, whole, name.kind, parent));
        Item {
            environments: self.names_of(restricted, seen_in),
            required: (!required).then_some(false),
            share: (written && share > 0.0).then(|| one_digit(share)),
            form: self.form(name),
            comment,
            ..Item::default()
        }
    }

    /// What all sightings have in common.
    fn form(&self, name: &ItemName) -> Form {
        let seen = self.rows.iter().filter_map(|rows| rows.items.get(name));
        let forms: BTreeSet<String> = seen.flat_map(|seen| seen.forms()).collect();
        let forms = forms.iter().map(String::as_str);
        if name.kind == ItemKind::Metric {
            let forms: Vec<MetricForm<'_>> = forms.map(MetricForm::parse).collect();
            return Form {
                instrument: common(forms.iter().map(|form| form.instrument)),
                unit: common(forms.iter().map(|form| form.unit)).map(str::to_owned),
                delta: common(forms.iter().map(|form| form.delta)),
                value: None,
            };
        }
        Form { value: common(forms.map(ValueType::parse)), ..Form::default() }
    }
}

/// The value that all have.
fn common<T: PartialEq>(mut values: impl Iterator<Item = Option<T>>) -> Option<T> {
    let first = values.next()??;
    values.all(|value| value.as_ref() == Some(&first)).then_some(first)
}

fn rarely(count: u64, whole: u64, kind: ItemKind, parent: Option<&ItemName>) -> String {
    let of = match (kind, parent) {
        (_, Some(_)) => "of these",
        (ItemKind::Span | ItemKind::SpanEvent, _) => "spans",
        (ItemKind::Metric, _) => "data points",
        _ => "log records",
    };
    let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
    format!("seen {times} in {whole} {of}")
}

/// Rounded down to one digit that counts: what stands in a file that people review should not change every day.
fn one_digit(share: f64) -> f64 {
    let digits = (-share.log10()).ceil().clamp(0.0, 15.0) as i32;
    let scale = 10f64.powi(digits);
    // The nearest number with so few digits, as it is written.
    format!("{:.*}", digits as usize, (share * scale).floor().max(1.0) / scale).parse().unwrap_or(share)
}

fn two_digits(count: u64) -> u64 {
    let mut unit = 1;
    while count / unit >= 100 {
        unit *= 10;
    }
    count / unit * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_one_digit_and_counts_two() {
        for (share, written) in
            [(0.94, 0.9), (0.5, 0.5), (0.123, 0.1), (0.0199, 0.01), (0.07, 0.07), (1e-9, 1e-9)]
        {
            assert_eq!(one_digit(share), written, "{share}");
        }
        for (count, written) in
            [(0, 0), (9, 9), (99, 99), (100, 100), (1_299, 1_200), (u64::MAX, 18 * 10u64.pow(18))]
        {
            assert_eq!(two_digits(count), written, "{count}");
        }
    }
}
