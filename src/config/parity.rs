//! The section `parity`: environments, comparisons, tolerances, waivers, limits.

use super::build::View;
use super::check::quantile;
use super::problem::{Problem, Problems};
use super::secret::MASK;
use super::tree::{Node, Place, Value};
use super::value;
use crate::engine::Comparisons;
use crate::judge::facts::policy::{FactPolicy, KeyRule};
use crate::judge::policy::{Comparison, Override, Statistic, Tolerances, ValueRule, Waiver};
use crate::judge::verdict::{FactRule, Level, Side};
use crate::model::environment::EnvironmentRule;
use crate::model::redaction::{Action, Kind};
use crate::model::{EnvironmentRules, HashKey, Limits, Redaction};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The shortest text that hashes are keyed with.
const KEY_BYTES_MIN: usize = 16;

pub(super) fn environments(parity: &View<'_>, problems: &mut Problems) -> EnvironmentRules {
    let view = parity.section("environment");
    let mut rules = Vec::new();
    for item in view.child("rules").map_or(&[][..], Node::items) {
        let text = |name: &str| item.get(name).and_then(Node::text).map(str::to_owned);
        match text("attribute") {
            Some(attribute) => rules.push(EnvironmentRule {
                attribute,
                value: text("value"),
                environment: text("environment").unwrap_or_else(|| "{value}".to_owned()),
            }),
            None => {
                problems.push(item.place.problem("parity.environment.rules: a rule needs an attribute", None))
            }
        }
    }
    EnvironmentRules { attributes: view.list("attributes"), rules, default: view.said("default") }
}

/// A file that comparisons have as their baseline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFile {
    /// What comparisons call it: `snapshot` and the file's name.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    place: Place,
}

impl SnapshotFile {
    /// Something that is wrong with it, where it is named.
    pub fn problem(&self, what: impl std::fmt::Display, hint: &str) -> Problem {
        let message = format!("parity.comparisons: {}: {what}", self.path.display());
        self.place.problem(message, Some(hint.to_owned()))
    }
}

/// What tells the name of a snapshot from that of an environment.
const SNAPSHOT: &str = "snapshot ";

/// What a comparison calls its baseline, and the file where that is a snapshot.
fn baseline_of(item: &Node) -> Option<(String, Option<SnapshotFile>)> {
    let node = item.get("baseline")?;
    if let Some(name) = node.text() {
        return Some((name.to_owned(), None));
    }
    let file = node.get("snapshot")?;
    let path = file.place.beside(file.text().filter(|path| !path.is_empty())?);
    let name = format!("{SNAPSHOT}{}", path.file_name()?.to_string_lossy());
    Some((name.clone(), Some(SnapshotFile { name, path, place: file.place.clone() })))
}

pub(super) fn comparisons(parity: &View<'_>, problems: &mut Problems) -> (Comparisons, Vec<SnapshotFile>) {
    let mut snapshots: Vec<SnapshotFile> = Vec::new();
    let auto = (Comparisons::Auto, Vec::new());
    let Some(node) = parity.child("comparisons") else { return auto };
    let Value::List(items) = &node.value else { return auto };
    let mut named: Vec<Comparison> = Vec::new();
    for item in items {
        let text = |name: &str| item.get(name).and_then(Node::text).map(str::to_owned);
        let (Some((baseline, file)), Some(candidate)) = (baseline_of(item), text("candidate")) else {
            problems.push(item.place.problem("parity.comparisons: needs a baseline and a candidate", None));
            continue;
        };
        let offset_ns = text("offset").and_then(|offset| value::duration_ns(&offset)).unwrap_or(0);
        if baseline == candidate && offset_ns == 0 {
            let hint = "name two environments, or set an offset such as 24h".to_owned();
            problems.push(
                item.place
                    .problem(format!("parity.comparisons: {baseline:?} is compared with itself"), Some(hint)),
            );
        }
        if let Some(file) = file {
            if offset_ns > 0 {
                let message =
                    "parity.comparisons: an offset has no meaning with a snapshot, which stays what it is";
                problems.push(item.place.problem(message, None));
            }
            match snapshots.iter().find(|known| known.name == file.name) {
                Some(known) if known.path != file.path => {
                    let other = format!("another snapshot has that name: {}", known.path.display());
                    let hint = "give the files different names: verdicts tell snapshots apart by them";
                    problems.push(file.problem(other, hint));
                }
                Some(_) => {}
                None => snapshots.push(file),
            }
        }
        let name = name_of(text("name").as_deref(), &baseline, &candidate);
        if named.iter().any(|known| known.name == name) {
            problems.push(
                item.place.problem(format!("parity.comparisons: the name {name:?} is there twice"), None),
            );
        }
        let services = item.get("services").map_or(&[][..], Node::items);
        let services = services.iter().filter_map(Node::text).map(str::to_owned).collect();
        let traffic = text("traffic").and_then(|share| share.parse().ok());
        named.push(Comparison { name, baseline, candidate, services, offset_ns, traffic });
    }
    (Comparisons::Named(named), snapshots)
}

pub(super) fn tolerances(view: &View<'_>) -> Tolerances {
    let latency = view.section("latency");
    let errors = view.section("errors");
    let defaults = Tolerances::default();
    let mut quantiles = defaults.quantiles.clone();
    for (q, tolerance) in quantiles_of(latency.child("quantiles")) {
        match quantiles.iter_mut().find(|(known, _)| *known == q) {
            Some((_, known)) => *known = tolerance,
            None => quantiles.push((q, tolerance)),
        }
    }
    quantiles.sort_by(|a, b| a.0.total_cmp(&b.0));
    let primary: Vec<f64> = latency.list("primary").iter().filter_map(|name| quantile(name)).collect();
    for q in &primary {
        if !quantiles.iter().any(|(known, _)| known == q) {
            quantiles.push((*q, 0.15));
        }
    }
    Tolerances {
        quantiles,
        floor_s: latency.duration("floor").as_secs_f64(),
        primary,
        worse_only: latency.bool("worse_only"),
        require_distribution: latency.bool("require_distribution"),
        errors_relative: errors.number("relative"),
        errors_floor: errors.number("floor"),
        coverage: view.number("coverage"),
        volume: view.said("volume").and_then(|text| text.parse().ok()),
        dependency_success: view.section("dependencies").number("success"),
        min_requests: view.count("min_requests") as u64,
        alpha: view.number("alpha"),
        ..defaults
    }
}

fn quantiles_of(node: Option<&Node>) -> Vec<(f64, f64)> {
    let entries = node.map_or(&[][..], Node::entries);
    entries.iter().filter_map(|(name, _, node)| Some((quantile(name)?, node.text()?.parse().ok()?))).collect()
}

pub(super) fn overrides(view: &View<'_>) -> Vec<Override> {
    let items = view.child("overrides").map_or(&[][..], Node::items);
    let one = |item: &Node| {
        let number = |section: &str, name: &str| item.get(section)?.get(name)?.text()?.parse().ok();
        let text = |name: &str| item.get(name).and_then(Node::text);
        Override {
            service: text("service").unwrap_or("*").to_owned(),
            operation: text("operation").map(str::to_owned),
            quantiles: quantiles_of(item.get("latency").and_then(|latency| latency.get("quantiles"))),
            floor_s: item
                .get("latency")
                .and_then(|latency| value::duration_ns(latency.get("floor")?.text()?))
                .map(|ns| ns as f64 / 1e9),
            worse_only: item.get("latency").and_then(|l| l.get("worse_only")?.text()?.parse().ok()),
            errors_relative: number("errors", "relative"),
            errors_floor: number("errors", "floor"),
            coverage: text("coverage").and_then(|text| text.parse().ok()),
            volume: text("volume").and_then(|text| text.parse().ok()),
            min_requests: text("min_requests").and_then(|text| text.parse().ok()),
            critical: text("critical").and_then(|text| text.parse().ok()),
            weight: text("weight").and_then(|text| text.parse().ok()),
            owner: text("owner").map(str::to_owned),
        }
    };
    items.iter().map(one).collect()
}

/// The waivers under `waivers`, of the section `parity` or of a file of their own.
pub(super) fn waivers(node: Option<&Node>, problems: &mut Problems) -> Vec<Waiver> {
    let mut waivers = Vec::new();
    for item in node.and_then(|node| node.get("waivers")).map_or(&[][..], Node::items) {
        let text = |name: &str| item.get(name).and_then(Node::text).map(str::to_owned);
        let lacks = |name: &&str| text(name).is_none_or(|text| text.trim().is_empty());
        let missing: Vec<&str> = ["reason", "owner", "expires"].into_iter().filter(lacks).collect();
        if !missing.is_empty() {
            let hint = "a difference is accepted by somebody, for a reason, until a day".to_owned();
            problems
                .push(item.place.problem(format!("waivers: one lacks {}", missing.join(", ")), Some(hint)));
            continue;
        }
        let waiver = Waiver {
            service: text("service"),
            operation: text("operation"),
            aspect: text("aspect"),
            finding: text("finding"),
            item: text("item"),
            comparison: text("comparison"),
            reason: text("reason").unwrap_or_default(),
            owner: text("owner").unwrap_or_default(),
            expires_ns: text("expires").and_then(|text| value::time_ns(&text)).unwrap_or(0),
        };
        if MATCHERS.iter().all(|name| text(name).is_none()) {
            let hint = format!("name at least one of {}", MATCHERS.join(", "));
            problems.push(item.place.problem("waivers: one accepts everything", Some(hint)));
        }
        waivers.push(waiver);
    }
    waivers
}

/// What tells the findings that a waiver accepts from others.
const MATCHERS: [&str; 6] = ["service", "operation", "aspect", "item", "finding", "comparison"];

/// The places of waivers that last longer than a year from `now_ns`, nanoseconds since the epoch.
pub(super) fn long_waivers(node: Option<&Node>, now_ns: u64) -> Vec<&Node> {
    let year_ns = 366 * 86_400_000_000_000;
    let items = node.and_then(|node| node.get("waivers")).map_or(&[][..], Node::items);
    let long = |item: &&Node| {
        let expires = item.get("expires").and_then(Node::text).and_then(value::time_ns);
        expires.is_some_and(|expires_ns| expires_ns > now_ns.saturating_add(year_ns))
    };
    items.iter().filter(long).collect()
}

pub(super) fn redaction(parity: &View<'_>, problems: &mut Problems) -> Redaction {
    let view = parity.section("redaction");
    let patterns = |name: &str| view.list(name).iter().map(|key| key.to_ascii_lowercase()).collect();
    let kinds = view.list("kinds");
    let key = view.said("key");
    if let (Some(text), Some(node)) = (&key, view.child("key"))
        && (text.len() < KEY_BYTES_MIN || text == MASK)
    {
        let hint = "write random text, for example of `openssl rand -hex 32`".to_owned();
        let message = format!("parity.redaction.key: has less than {KEY_BYTES_MIN} bytes, or was masked");
        problems.push(node.place.problem(message, Some(hint)));
    }
    Redaction {
        action: match view.text("action").as_str() {
            "mask" => Action::Mask,
            "keep" => Action::Keep,
            _ => Action::Hash,
        },
        keys: patterns("keys"),
        ignored_keys: patterns("ignored_keys"),
        kinds: Kind::ALL.into_iter().filter(|kind| kinds.iter().any(|name| name == kind.as_str())).collect(),
        key: key.map(|text| HashKey::of(&text)),
    }
}

pub(super) fn facts(parity: &View<'_>, problems: &mut Problems) -> FactPolicy {
    let mut rules = Vec::new();
    for item in parity.child("facts").map_or(&[][..], Node::items) {
        let text = |name: &str| item.get(name).and_then(Node::text);
        let Some(key) = text("key").filter(|key| !key.is_empty()) else {
            let hint = "for example {key: service.version, rule: must_equal}".to_owned();
            problems.push(item.place.problem("parity.facts: a rule needs a key", Some(hint)));
            continue;
        };
        rules.push(KeyRule {
            key: key.to_owned(),
            service: text("service").map(str::to_owned),
            rule: match text("rule") {
                Some("may_differ") => FactRule::MayDiffer,
                Some("must_differ") => FactRule::MustDiffer,
                _ => FactRule::MustEqual,
            },
            severity: match text("severity") {
                Some("info") => Level::Info,
                Some("critical") => Level::Critical,
                _ => Level::Warning,
            },
            required: text("required") == Some("true"),
        });
    }
    FactPolicy { rules }
}

/// What is known of environments, by name.
pub(super) fn known_environments(parity: &View<'_>) -> BTreeMap<String, Side> {
    let entries = parity.child("environments").map_or(&[][..], Node::entries);
    let one = |(name, _, node): &(String, _, Node)| {
        let text = |key: &str| node.get(key).and_then(Node::text).map(str::to_owned);
        let (owner, runbook, description) = (text("owner"), text("runbook"), text("description"));
        (name.clone(), Side { environment: name.clone(), owner, runbook, description })
    };
    entries.iter().map(one).collect()
}

/// Who owns comparisons, by the comparison's name.
pub(super) fn comparison_owners(parity: &View<'_>) -> BTreeMap<String, String> {
    let items = parity.child("comparisons").map_or(&[][..], Node::items);
    let one = |item: &Node| {
        let text = |key: &str| item.get(key).and_then(Node::text);
        let (baseline, _) = baseline_of(item)?;
        Some((name_of(text("name"), &baseline, text("candidate")?), text("owner")?.to_owned()))
    };
    items.iter().filter_map(one).collect()
}

fn name_of(name: Option<&str>, baseline: &str, candidate: &str) -> String {
    let baseline = baseline.strip_prefix(SNAPSHOT).unwrap_or(baseline);
    name.map_or_else(|| format!("{baseline}-vs-{candidate}"), str::to_owned)
}

/// Accepted difference of a metric where the rule does not say.
const VALUE_TOLERANCE: f64 = 0.10;

pub(super) fn values(parity: &View<'_>, problems: &mut Problems) -> Vec<ValueRule> {
    let mut rules = Vec::new();
    for item in parity.child("values").map_or(&[][..], Node::items) {
        let text = |name: &str| item.get(name).and_then(Node::text);
        let number = |name: &str| text(name).and_then(|text| text.parse().ok());
        let equal = text("equal") == Some("true");
        let lacking = match equal {
            true => text("attribute").is_none().then_some("`equal` needs the attribute that is compared"),
            false => text("metric").is_none().then_some("needs a metric, or an attribute and `equal: true`"),
        };
        if let Some(lacking) = lacking {
            problems.push(item.place.problem(format!("parity.values: {lacking}"), None));
            continue;
        }
        let numeric = ["tolerance", "floor", "per", "statistic", "by"];
        let out_of_place = match equal {
            true => numeric.into_iter().find(|name| item.get(name).is_some()),
            false => item.get("attribute").map(|_| "attribute"),
        };
        if let Some(name) = out_of_place {
            let hint =
                if equal { "texts are equal or not" } else { "set `equal: true` to compare its values" };
            let place = item.get(name).map_or(&item.place, |node| &node.place);
            problems.push(
                place.problem(format!("parity.values: `{name}` has no meaning here"), Some(hint.to_owned())),
            );
        }
        let by: Vec<String> = item
            .get("by")
            .map_or(&[][..], Node::items)
            .iter()
            .filter_map(Node::text)
            .map(str::to_owned)
            .collect();
        rules.push(ValueRule {
            metric: text("metric").map(str::to_owned),
            service: text("service").map(str::to_owned),
            tolerance: number("tolerance").unwrap_or(VALUE_TOLERANCE),
            floor: number("floor").unwrap_or(0.0),
            per_request: text("per") == Some("request"),
            statistic: Statistic::ALL
                .into_iter()
                .find(|statistic| text("statistic") == Some(statistic.as_str())),
            by,
            severity: match text("severity") {
                Some("info") => Level::Info,
                Some("warning") => Level::Warning,
                _ => Level::Critical,
            },
            equal: text("attribute").filter(|_| equal).map(str::to_owned),
        });
    }
    rules
}

pub(super) fn limits_of(view: &View<'_>) -> Limits {
    Limits {
        environments: view.count("environments"),
        services: view.count("services"),
        operations_per_service: view.count("operations_per_service"),
        series: view.count("series"),
        instances_per_series: view.count("instances_per_series"),
        instances: view.count("instances"),
        items: view.count("items"),
        error_types_per_service: view.count("error_types_per_service"),
        dependencies_per_service: view.count("dependencies_per_service"),
        shapes_per_series: view.count("shapes_per_series"),
        counted_attributes: view.count("counted_attributes"),
        resource_attributes: view.count("resource_attributes"),
        name_bytes: view.count("name_bytes"),
        open_windows: view.count("open_windows"),
        sampled_spans: view.count("sampled_spans"),
        metric_streams: view.count("metric_streams"),
        facts_per_service: view.count("facts_per_service"),
        values: view.count("values"),
        values_per_service: view.count("values_per_service"),
        texts_per_value: view.count("texts_per_value"),
        future_skew_ns: view.duration("future_skew").as_nanos() as u64,
        findings: view.count("findings"),
        sessions: view.count("sessions"),
        sources: view.count("sources"),
        snapshot_bytes: view.bytes("snapshot_bytes"),
    }
}
