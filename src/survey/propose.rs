//! Which attribute tells environments apart, and which of them to compare.
//!
//! An environment is a copy of the same system: an attribute tells environments apart if the same services are seen with
//! two of its values. Of several such attributes the most usual one is taken, unless another does it for twice as many
//! services; which of two values is the baseline, their names say, or else their traffic.

use super::Survey;
use crate::model::ServiceKey;
use std::collections::{BTreeMap, BTreeSet};

/// Attributes that tell environments apart, the most usual first.
const USUAL: [&str; 9] = [
    "deployment.environment.name",
    "deployment.environment",
    "k8s.cluster.name",
    "cloud.region",
    "k8s.namespace.name",
    "service.version",
    "cloud.account.id",
    "cloud.availability_zone",
    "k8s.replicaset.name",
];
/// Beginnings of attributes that tell instances, machines or SDKs apart, and no environments.
const NEVER: [&str; 10] = [
    "service.instance.",
    "service.name",
    "service.namespace",
    "telemetry.",
    "process.",
    "host.",
    "os.",
    "k8s.pod.",
    "k8s.node.",
    "container.",
];
/// An attribute with more values names something else than environments.
const VALUES_MAX: usize = 16;
/// Comparisons that are proposed.
const PAIRS_MAX: usize = 8;

/// Words in the names of what runs, the surest first.
const BASELINES: [&str; 8] = ["prod", "stable", "live", "primary", "baseline", "main", "current", "blue"];
/// Words in the names of what is tried.
const CANDIDATES: [&str; 12] = [
    "canary",
    "candidate",
    "stag",
    "preprod",
    "pre-prod",
    "preview",
    "next",
    "uat",
    "test",
    "qa",
    "dev",
    "green",
];

/// What a configuration would say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// How environments are told apart; without it nothing tells them apart.
    pub split: Option<Split>,
    /// The environments that the usual attributes name, where there is no split.
    pub named: BTreeSet<String>,
    /// All services seen.
    pub services: BTreeSet<ServiceKey>,
}

/// An attribute that tells environments apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Its key.
    pub attribute: String,
    /// Its values, and how many items came with each.
    pub environments: BTreeMap<String, u64>,
    /// What to compare; never empty.
    pub pairs: Vec<Pair>,
}

impl Split {
    /// Whether isotel reads this attribute without being told to.
    pub fn is_default(&self) -> bool {
        crate::model::EnvironmentRules::default().attributes.contains(&self.attribute)
    }
}

/// Two environments to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The reference.
    pub baseline: String,
    /// What is judged.
    pub candidate: String,
    /// Services seen in both.
    pub shared: BTreeSet<ServiceKey>,
}

/// What was seen with one value of an attribute.
#[derive(Default)]
struct Seen {
    services: BTreeSet<ServiceKey>,
    items: u64,
}

type Values = BTreeMap<String, Seen>;

impl Survey {
    /// What a configuration for what arrived would say.
    pub fn propose(&self) -> Proposal {
        let mut attributes: BTreeMap<&str, Values> = BTreeMap::new();
        for resource in &self.resources {
            for (key, value) in &resource.attributes {
                let seen = attributes.entry(key).or_default().entry(value.clone()).or_default();
                seen.services.insert(resource.service.clone());
                seen.items += resource.items;
            }
        }
        let named = crate::model::EnvironmentRules::default().attributes;
        let named = named.iter().find_map(|key| attributes.get(&**key));
        Proposal {
            split: split(&attributes),
            named: named.map(|values| values.keys().cloned().collect()).unwrap_or_default(),
            services: self.services().into_keys().cloned().collect(),
        }
    }
}

fn split(attributes: &BTreeMap<&str, Values>) -> Option<Split> {
    let possible = |(key, values): &(&&str, &Values)| {
        (2..=VALUES_MAX).contains(&values.len()) && !NEVER.iter().any(|never| key.starts_with(never))
    };
    let mut candidates: Vec<(&str, &Values, Vec<Pair>)> = attributes
        .iter()
        .filter(possible)
        .map(|(key, values)| (*key, values, pairs(values)))
        .filter(|(_, _, pairs)| !pairs.is_empty())
        .collect();
    let shared = |pairs: &[Pair]| pairs.iter().map(|pair| pair.shared.len()).max().unwrap_or(0);
    let most = candidates.iter().map(|(_, _, pairs)| shared(pairs)).max()?;
    candidates.retain(|(_, _, pairs)| 2 * shared(pairs) >= most);
    let rank = |key: &str| USUAL.iter().position(|usual| *usual == key).unwrap_or(USUAL.len());
    let (key, values, pairs) = candidates.into_iter().min_by_key(|(key, _, _)| (rank(key), *key))?;
    let environments = values.iter().map(|(value, seen)| (value.clone(), seen.items)).collect();
    Some(Split { attribute: key.to_owned(), environments, pairs })
}

/// The baseline with each other value that shares a service with it; those with the most first.
fn pairs(values: &Values) -> Vec<Pair> {
    let shares = |of: &str| {
        let services = &values[of].services;
        values.iter().any(|(value, seen)| value != of && !seen.services.is_disjoint(services))
    };
    let by_name = |value: &str| {
        let value = value.to_lowercase();
        let at = |words: &[&str]| words.iter().position(|word| value.contains(word));
        match (at(&CANDIDATES), at(&BASELINES)) {
            (Some(_), _) => BASELINES.len() + 1,
            (None, Some(rank)) => rank,
            (None, None) => BASELINES.len(),
        }
    };
    let comparable = values.iter().filter(|(value, _)| shares(value));
    let baseline = comparable.min_by_key(|(value, seen)| (by_name(value), std::cmp::Reverse(seen.items)));
    let Some((baseline, of_baseline)) = baseline else { return Vec::new() };
    let mut pairs: Vec<Pair> = values
        .iter()
        .filter(|(value, _)| *value != baseline)
        .map(|(value, seen)| Pair {
            baseline: baseline.clone(),
            candidate: value.clone(),
            shared: seen.services.intersection(&of_baseline.services).cloned().collect(),
        })
        .filter(|pair| !pair.shared.is_empty())
        .collect();
    pairs.sort_by_key(|pair| std::cmp::Reverse(pair.shared.len()));
    pairs.truncate(PAIRS_MAX);
    pairs
}
