//! What telemetry says of the artifact, the runtime, the place and the configuration that it comes from.
//!
//! A *fact* has a key and a value. Its key is a resource attribute's (`service.version`), or names where else it was said:
//! `NAME[ATTRIBUTE]` on a metric or event of that name (`app_build_info[revision]`), `otel.scope[NAME]` for the version of
//! an instrumentation library, `feature_flag.NAME` for the variant that a flag evaluated to. Which keys are kept is
//! decided by patterns, once for each resource and metric and never for each span.

use super::environment::glob;
use super::{InstanceId, Limits};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// The event that tells of a feature flag's evaluation, under its current and previous name (OpenTelemetry semantic
/// conventions, "Feature flags").
pub const FLAG_EVENTS: [&str; 2] = ["feature_flag.evaluation", "feature_flag"];

/// Attributes that say who speaks and not what it is: each instance has its own. A pattern with `*` does not reach them.
const IDENTITY: [&str; 24] = [
    "service.name",
    "service.namespace",
    "service.instance.id",
    "deployment.environment*",
    "host.name",
    "host.id",
    "host.ip",
    "host.mac",
    "container.id",
    "container.name",
    "process.pid",
    "process.parent_pid",
    "process.owner",
    "process.creation.time",
    "process.vpid",
    "process.command*",
    "process.environment_variable.*",
    "k8s.pod.*",
    "k8s.node.*",
    "k8s.replicaset.*",
    "k8s.*.uid",
    "k8s.container.restart_count",
    "faas.instance",
    "aws.ecs.task.*",
];

/// Which facts are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FactKeys {
    patterns: Vec<String>,
    /// The part before the bracket of patterns for metrics and events.
    names: Vec<String>,
}

impl FactKeys {
    /// Keys that one of these patterns matches, `*` standing for any run of characters.
    pub fn new<'p>(patterns: impl IntoIterator<Item = &'p str>) -> FactKeys {
        let mut keys = FactKeys::default();
        for pattern in patterns {
            if let Some((name, _)) = pattern.split_once('[') {
                keys.names.push(name.to_owned());
            }
            keys.patterns.push(pattern.to_owned());
        }
        keys
    }

    /// Whether facts of this key are kept.
    pub fn keep(&self, key: &str) -> bool {
        let identity = is_identity(key);
        self.patterns.iter().any(|pattern| pattern == key || (!identity && glob(pattern, key)))
    }

    /// Whether attributes of a metric or event of this name may be facts.
    pub fn keep_of(&self, name: &str) -> bool {
        self.names.iter().any(|pattern| glob(pattern, name))
    }
}

/// Whether a key says who speaks, written as on resources or, in brackets, as Prometheus writes it.
fn is_identity(key: &str) -> bool {
    let inner = key.split_once('[').and_then(|(_, rest)| rest.strip_suffix(']'));
    let Some(inner) = inner else { return IDENTITY.iter().any(|pattern| glob(pattern, key)) };
    matches!(inner, "job" | "instance" | "pod" | "node" | "namespace")
        || IDENTITY.iter().any(|pattern| glob(pattern, inner) || glob(&pattern.replace('.', "_"), inner))
}

/// What one resource, scope, metric point or evaluation said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Who said it.
    pub instance: InstanceId,
    /// Keys and values, in order of key.
    pub facts: Box<[(Arc<str>, Arc<str>)]>,
}

impl Statement {
    /// From what was said; `kept` says what is kept of a key's value. Names beyond the bound are cut, and end in a hash so
    /// that they stay apart.
    pub fn new<'t>(
        instance: InstanceId,
        said: impl IntoIterator<Item = (&'t str, String)>,
        kept: impl Fn(&str, String) -> String,
        limits: &Limits,
    ) -> Statement {
        let mut facts: Vec<(Arc<str>, Arc<str>)> = said
            .into_iter()
            .map(|(key, value)| (bounded(key, limits), bounded(&kept(key, value), limits)))
            .collect();
        facts.sort();
        facts.dedup();
        Statement { instance, facts: facts.into() }
    }

    /// The same on every machine and run.
    pub fn hash(&self) -> u64 {
        let mut hash = Xxh3::new();
        hash.update(&self.instance.0.to_le_bytes());
        for (key, value) in &self.facts {
            for text in [key, value] {
                hash.update(&(text.len() as u64).to_le_bytes());
                hash.update(text.as_bytes());
            }
        }
        hash.digest()
    }
}

fn bounded(text: &str, limits: &Limits) -> Arc<str> {
    match text.len() <= limits.name_bytes {
        true => Arc::from(text),
        false => format!("{}…{:08x}", limits.cut(text), xxh3_64(text.as_bytes()) >> 32).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{HashKey, Redaction};

    #[test]
    fn a_pattern_reaches_what_a_service_is_and_only_its_whole_name_reaches_who_it_is() {
        let keys = FactKeys::new(["k8s.*", "host.name", "target_info[*]", "*_build_info[version]"]);
        for (key, kept) in [
            ("k8s.cluster.name", true),
            ("k8s.pod.name", false),
            ("k8s.deployment.uid", false),
            ("host.name", true),
            ("host.id", false),
            ("target_info[os_type]", true),
            ("target_info[instance]", false),
            ("target_info[k8s_pod_name]", false),
            ("app_build_info[version]", true),
            ("app_build_info[revision]", false),
        ] {
            assert_eq!(keys.keep(key), kept, "{key}");
        }
        assert!(keys.keep_of("app_build_info") && !keys.keep_of("app_info"));
    }

    #[test]
    fn values_that_are_too_long_or_secret_stay_apart_without_being_kept() {
        let limits = Limits { name_bytes: 16, ..Limits::default() };
        let said = |key: &'static str, value: &str| {
            let (policy, process) = (Redaction::default(), HashKey::random());
            let kept = |key: &str, value| policy.kept(&process, key, value);
            Statement::new(InstanceId::UNNAMED, [(key, value.to_owned())], kept, &limits)
        };
        let long = "x".repeat(20);
        let (one, other) = (said("a", &format!("{long}1")), said("a", &format!("{long}2")));
        assert!(one != other && one.hash() != other.hash());
        assert!(one.facts[0].1.len() <= 16 + 11, "{:?}", one.facts);
        let secret = said("process.command_args", "pw");
        assert!(secret.facts[0].1.starts_with("[REDACTED") && !secret.facts[0].1.contains("pw"));
    }
}
