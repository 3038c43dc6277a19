//! Which facts must be alike: rules by key, later ones over earlier ones, over built-in ones.

use crate::judge::verdict::{FactGroup, FactRule, Level};
use crate::model::ServiceKey;
use crate::model::environment::glob;
use crate::model::facts::FactKeys;

/// What must hold of the facts of some keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRule {
    /// Which keys, `*` for any run of characters.
    pub key: String,
    /// Of which services; `None` for all.
    pub service: Option<String>,
    /// What must hold.
    pub rule: FactRule,
    /// How much it matters when it does not.
    pub severity: Level,
    /// Whether both sides must state it.
    pub required: bool,
}

/// All rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FactPolicy {
    /// Those that people wrote, in order.
    pub rules: Vec<KeyRule>,
}

/// A rule that holds unless people wrote another one.
struct BuiltIn(&'static str, FactRule, Level);

use FactRule::{MayDiffer, MustEqual};
use Level::{Info, Warning};

/// The runtime, the SDK and the processor's kind change what the same code does; a release changes the artifact; where
/// something runs is what makes two environments two.
const BUILT_IN: [BuiltIn; 25] = [
    BuiltIn(VERSION, MayDiffer, Info),
    BuiltIn("container.image.*", MayDiffer, Info),
    BuiltIn("oci.manifest.digest", MayDiffer, Info),
    BuiltIn("vcs.*", MayDiffer, Info),
    BuiltIn("artifact.*", MayDiffer, Info),
    BuiltIn("app.build_id", MayDiffer, Info),
    BuiltIn("process.executable.build_id.*", MayDiffer, Info),
    BuiltIn("*build_info[*]", MayDiffer, Info),
    BuiltIn("target_info[*]", MayDiffer, Info),
    BuiltIn("telemetry.sdk.*", MustEqual, Warning),
    BuiltIn("telemetry.distro.*", MustEqual, Warning),
    BuiltIn("process.runtime.name", MustEqual, Warning),
    BuiltIn("process.runtime.version", MustEqual, Warning),
    BuiltIn("webengine.*", MustEqual, Warning),
    BuiltIn("otel.scope[*]", MustEqual, Info),
    BuiltIn("feature_flag.*", MustEqual, Warning),
    BuiltIn("os.type", MustEqual, Warning),
    BuiltIn("os.name", MayDiffer, Info),
    BuiltIn("os.version", MayDiffer, Info),
    BuiltIn("host.arch", MustEqual, Warning),
    BuiltIn("host.type", MayDiffer, Info),
    BuiltIn("host.image.*", MayDiffer, Info),
    BuiltIn("cloud.*", MayDiffer, Info),
    BuiltIn("k8s.*.name", MayDiffer, Info),
    BuiltIn("faas.*", MayDiffer, Info),
];

/// The fact that tells releases apart; without it nobody can say what is compared.
const VERSION: &str = "service.version";

impl FactPolicy {
    /// The rule for a key of a service: the last one that people wrote for it, else the built-in one.
    pub fn of(&self, service: &ServiceKey, key: &str) -> Option<KeyRule> {
        let full = service.to_string();
        let written = self.rules.iter().rev().find(|rule| {
            let of_service = |pattern: &String| glob(pattern, &service.name) || glob(pattern, &full);
            glob(&rule.key, key) && rule.service.as_ref().is_none_or(of_service)
        });
        written.cloned().or_else(|| {
            let BuiltIn(pattern, rule, severity) = BUILT_IN.iter().find(|rule| glob(rule.0, key))?;
            Some(KeyRule {
                key: (*pattern).to_owned(),
                service: None,
                rule: *rule,
                severity: *severity,
                required: *pattern == VERSION,
            })
        })
    }

    /// The keys that must be stated in both environments by a service, without a pattern.
    pub fn required(&self, service: &ServiceKey) -> impl Iterator<Item = &str> {
        let named = self.rules.iter().map(|rule| rule.key.as_str()).filter(|key| !key.contains('*'));
        let keys = std::iter::once(VERSION).chain(named);
        keys.filter(move |key| self.of(service, key).is_some_and(|rule| rule.required))
    }

    /// The keys whose facts are kept: those that there is a rule for.
    pub fn keys(&self) -> FactKeys {
        let written = self.rules.iter().map(|rule| rule.key.as_str());
        FactKeys::new(BUILT_IN.iter().map(|rule| rule.0).chain(written))
    }
}

/// What a key tells of.
pub fn group(key: &str) -> FactGroup {
    let of = |patterns: &[&str]| patterns.iter().any(|pattern| glob(pattern, key));
    match () {
        () if of(&["feature_flag.*"]) => FactGroup::Flag,
        () if of(&ARTIFACT) => FactGroup::Artifact,
        () if of(&["process.runtime.*", "telemetry.*", "otel.scope[*", "webengine.*"]) => FactGroup::Runtime,
        () if of(&["host.*", "os.*", "cloud.*", "k8s.*", "faas.*", "container.*"]) => FactGroup::Platform,
        () => FactGroup::Configuration,
    }
}

const ARTIFACT: [&str; 9] = [
    VERSION,
    "container.image.*",
    "oci.manifest.digest",
    "vcs.*",
    "artifact.*",
    "app.build_id",
    "process.executable.build_id.*",
    "*build_info[*",
    "faas.version",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str) -> ServiceKey {
        ServiceKey { namespace: "shop".into(), name: name.into() }
    }

    #[test]
    fn the_last_rule_that_people_wrote_wins_over_earlier_and_built_in_ones() {
        let rule = |key: &str, service: Option<&str>, rule, severity| KeyRule {
            key: key.to_owned(),
            service: service.map(str::to_owned),
            rule,
            severity,
            required: false,
        };
        let policy = FactPolicy {
            rules: vec![
                rule("process.runtime.*", None, MayDiffer, Info),
                rule("process.runtime.version", Some("shop/cart"), MustEqual, Level::Critical),
                rule("k8s.pod.name", None, FactRule::MustDiffer, Warning),
            ],
        };
        let found = |name: &str, key: &str| policy.of(&service(name), key).map(|r| (r.rule, r.severity));
        assert_eq!(found("cart", "process.runtime.version"), Some((MustEqual, Level::Critical)));
        assert_eq!(found("pay", "process.runtime.version"), Some((MayDiffer, Info)));
        assert_eq!(found("pay", "host.arch"), Some((MustEqual, Warning)));
        assert_eq!(found("pay", "thread.name"), None);
        let keys = policy.keys();
        assert!(keys.keep("k8s.pod.name") && keys.keep("k8s.cluster.name") && !keys.keep("k8s.pod.uid"));
        assert_eq!(policy.required(&service("cart")).collect::<Vec<_>>(), [VERSION]);
    }

    #[test]
    fn every_fact_belongs_to_one_group() {
        for (key, expected) in [
            ("service.version", FactGroup::Artifact),
            ("app_build_info[revision]", FactGroup::Artifact),
            ("otel.scope[io.opentelemetry.tomcat]", FactGroup::Runtime),
            ("telemetry.sdk.version", FactGroup::Runtime),
            ("k8s.cluster.name", FactGroup::Platform),
            ("feature_flag.new-cart", FactGroup::Flag),
            ("config.hash", FactGroup::Configuration),
        ] {
            assert_eq!(group(key), expected, "{key}");
        }
    }
}
