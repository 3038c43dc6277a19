//! Aspect facts: do both sides run the same artifact, on the same runtime, in the same configuration?
//!
//! Facts come from the windows that are judged and from no others, so that what an old release said is gone with its
//! windows. A key's rule ([`policy`]) says what must hold of its values, which are compared as sets. Feature flags are
//! compared by how often each variant was the answer: a rollout by percentage has the same variants on both sides.

pub mod policy;

use super::compare::Context;
use super::findings::{Draft, Findings, Root};
use super::snapshot::is_hashed;
use super::verdict::{
    Agreement, Aspect, Drift, Fact, FactGroup, FactRule, FactsSummary, Level, ServiceResult,
};
use crate::model::redaction::shown;
use crate::model::{EnvironmentId, InstanceId, ServiceId, ServiceKey};
use crate::stats::mix::{MixCount, chi_square, jensen_shannon_distance};
use crate::window::SealedWindow;
use crate::window::statements::Told;
use policy::{KeyRule, group};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Values of one fact that are written out; the rest is counted.
const VALUES_SHOWN: usize = 8;
/// Evaluations of a flag that must be expected before their absence means something.
const EVALUATIONS_MIN: f64 = 20.0;
/// The least distance (Jensen-Shannon, base 2) between variants' shares that is a difference: 50:50 against 40:60.
const DISTANCE_MIN: f64 = 0.085;
/// The p-value at which shifted shares are no chance; one request may evaluate a flag many times.
const SURE: f64 = 1e-6;
/// The facts that tell artifacts apart, the surest first.
const ARTIFACT: [&str; 7] = [
    "container.image.repo_digests",
    "oci.manifest.digest",
    "container.image.id",
    "vcs.ref.head.revision",
    "app.build_id",
    "container.image.tags",
    "service.version",
];

/// Who said a value.
#[derive(Clone, Debug, Default)]
struct Sayers {
    /// How often it was said.
    count: u64,
    /// Instances that said it in the newest window of their service.
    newest: BTreeSet<InstanceId>,
}

type Values = BTreeMap<Arc<str>, Sayers>;
type Facts = BTreeMap<Arc<str>, Values>;

/// What both sides say of each service.
#[derive(Debug, Default)]
pub struct FactEvidence {
    baseline: BTreeMap<ServiceId, Facts>,
    candidate: BTreeMap<ServiceId, Facts>,
}

impl FactEvidence {
    /// From the windows that are judged.
    pub fn of(context: &Context<'_>, baseline: EnvironmentId, candidate: EnvironmentId) -> FactEvidence {
        FactEvidence {
            baseline: facts_of(&context.baseline, baseline),
            candidate: facts_of(&context.candidate, candidate),
        }
    }

    /// The candidate's values of a key.
    pub fn candidate_values(&self, service: ServiceId, key: &str) -> Option<BTreeSet<Arc<str>>> {
        Some(self.candidate.get(&service)?.get(key)?.keys().cloned().collect())
    }

    /// The instrumentation scopes that the baseline has of a service and the candidate has not; and whether it is the SDK
    /// itself that is not there.
    pub fn missing_scopes(&self, service: ServiceId) -> (BTreeSet<Arc<str>>, bool) {
        let of = |side: &'_ BTreeMap<ServiceId, Facts>, key: &str| {
            side.get(&service).is_some_and(|facts| facts.contains_key(key))
        };
        let names = self.baseline.get(&service).into_iter().flat_map(Facts::keys);
        let gone = names.filter(|key| !of(&self.candidate, key)).filter_map(|key| scope_of(key)).collect();
        let sdk = |side| of(side, "telemetry.sdk.name") || of(side, "telemetry.sdk.language");
        (gone, sdk(&self.baseline) && !sdk(&self.candidate))
    }

    /// How many services have an instrumentation scope in the baseline.
    pub fn services_with_scope(&self, scope: &str) -> usize {
        let key = format!("otel.scope[{scope}]");
        self.baseline.values().filter(|facts| facts.contains_key(&*key)).count()
    }
}

/// The instrumentation scope that a key is about.
fn scope_of(key: &str) -> Option<Arc<str>> {
    Some(key.strip_prefix("otel.scope[")?.strip_suffix(']')?.into())
}

/// Facts by service. Statements are told apart by their hash first: each is made in window after window.
fn facts_of(windows: &[&SealedWindow], environment: EnvironmentId) -> BTreeMap<ServiceId, Facts> {
    let mut made = BTreeMap::new();
    let mut newest: BTreeMap<ServiceId, u64> = BTreeMap::new();
    for window in windows {
        let first = (environment, ServiceId(0), Told::Resource);
        let of_environment = window.facts.range(first..).take_while(|((env, _, _), _)| *env == environment);
        for ((_, service, told), statements) in of_environment {
            if *told == Told::Resource {
                newest.insert(*service, window.index);
            }
            for (hash, statement, count) in statements.iter() {
                let known = made.entry((*service, hash)).or_insert((statement, 0, 0));
                (known.1, known.2) = (known.1 + count, window.index);
            }
        }
    }
    let mut services: BTreeMap<ServiceId, Facts> = BTreeMap::new();
    for ((service, _), (statement, count, last)) in made {
        let facts = services.entry(service).or_default();
        for (key, value) in &statement.facts {
            let sayers = facts.entry(key.clone()).or_default().entry(value.clone()).or_default();
            sayers.count += count;
            if newest.get(&service) == Some(&last) {
                sayers.newest.insert(statement.instance);
            }
        }
    }
    services
}

/// One service of a comparison.
pub struct OfService<'a> {
    /// Its number.
    pub id: Option<ServiceId>,
    /// Its name.
    pub key: &'a ServiceKey,
    /// The candidate's requests over the baseline's.
    pub share: f64,
    /// Requests of the side that has more.
    pub traffic: u64,
    /// Whether one side has no telemetry of it.
    pub absent: bool,
}

/// The facts of a service, with a finding for each rule that is broken.
pub fn of_service(
    context: &Context<'_>,
    evidence: &FactEvidence,
    service: &OfService<'_>,
    findings: &mut Findings,
) -> Vec<Fact> {
    let nothing = Facts::new();
    let [baseline, candidate] = [&evidence.baseline, &evidence.candidate]
        .map(|side| service.id.and_then(|id| side.get(&id)).unwrap_or(&nothing));
    let policy = &context.policy.facts;
    let mut keys: BTreeSet<&str> = baseline.keys().chain(candidate.keys()).map(|key| &**key).collect();
    if !service.absent {
        keys.extend(policy.required(service.key));
    }
    let mut facts = Vec::new();
    for key in keys {
        let Some(rule) = policy.of(service.key, key) else { continue };
        let pair = Pair { key, baseline: baseline.get(key), candidate: candidate.get(key) };
        if !context.compares_hidden() && pair.is_hashed() {
            continue;
        }
        let broken = !service.absent && !pair.holds(&rule, service.share);
        if broken {
            pair.tell(context, service, &rule, findings);
        }
        if pair.baseline.is_some() || pair.candidate.is_some() || broken {
            facts.push(pair.fact(&rule, broken));
        }
    }
    let names = [&context.comparison.baseline, &context.comparison.candidate];
    for (environment, facts) in names.into_iter().zip([baseline, candidate]) {
        mixed(environment, service, facts, findings);
    }
    facts
}

/// The values of one key on both sides.
struct Pair<'a> {
    key: &'a str,
    baseline: Option<&'a Values>,
    candidate: Option<&'a Values>,
}

impl Pair<'_> {
    fn holds(&self, rule: &KeyRule, share: f64) -> bool {
        let (base, cand) = match (self.baseline, self.candidate) {
            (Some(base), Some(cand)) => (base, cand),
            (None, None) => return !rule.required,
            _ if rule.required => return false,
            // That a library sends nothing at all is judged as presence.
            _ if scope_of(self.key).is_some() => return true,
            (base, cand) if group(self.key) == FactGroup::Flag => {
                return rule.rule != FactRule::MustEqual || expected(base, cand, share) < EVALUATIONS_MIN;
            }
            _ => return rule.rule == FactRule::MayDiffer,
        };
        match rule.rule {
            FactRule::MayDiffer => true,
            FactRule::MustDiffer => distinct(base).is_disjoint(&distinct(cand)),
            FactRule::MustEqual if group(self.key) == FactGroup::Flag => !shifted(base, cand),
            FactRule::MustEqual => self.equal(),
        }
    }

    fn is_hashed(&self) -> bool {
        [self.baseline, self.candidate]
            .into_iter()
            .flatten()
            .flat_map(Values::keys)
            .any(|value| is_hashed(value))
    }

    fn equal(&self) -> bool {
        self.baseline.map(distinct) == self.candidate.map(distinct)
    }

    fn fact(&self, rule: &KeyRule, broken: bool) -> Fact {
        Fact {
            key: self.key.to_owned(),
            baseline: self.baseline.map(words),
            candidate: self.candidate.map(words),
            equal: self.equal(),
            rule: Some(rule.rule),
            severity: Some(rule.severity),
            group: Some(group(self.key)),
            broken,
            accepted: false,
        }
    }

    fn tell(&self, context: &Context<'_>, service: &OfService<'_>, rule: &KeyRule, findings: &mut Findings) {
        let (group, name) = (group(self.key), service.key.to_string());
        let said = |values: Option<&Values>| match values {
            Some(values) if group == FactGroup::Flag => shares(values),
            Some(values) => words(values),
            None => "nothing".to_owned(),
        };
        let (base, cand) = (said(self.baseline), said(self.candidate));
        let (title, what) = match (self.baseline, self.candidate, rule.rule) {
            (None, None, _) => ("not stated", "is stated in neither environment".to_owned()),
            (None, _, FactRule::MayDiffer) | (_, None, FactRule::MayDiffer) => {
                ("not stated by one side", self.sides(context, &base, &cand))
            }
            (Some(_), Some(_), FactRule::MustDiffer) => {
                ("not different", self.sides(context, &base, &cand) + ", and must differ")
            }
            _ => ("differs", self.sides(context, &base, &cand)),
        };
        // One upgrade moves many libraries of many services by the same step.
        let subject = match scope_of(self.key) {
            Some(_) => "otel.scope",
            None => self.key,
        };
        let title = format!("{subject} {title}");
        let root = Root {
            service: None,
            subject: [subject, &base, &cand].join("\u{1f}"),
            title: title.clone(),
            message: format!("{subject} {what}"),
            action: action(group),
            least: 2,
            member: None,
        };
        let draft = Draft {
            level: rule.severity,
            aspect: Aspect::Facts,
            service: Some(&name),
            operation: None,
            subject: self.key,
            title,
            message: format!("{name}: {} {what}.", self.key),
            action: action(group),
            evidence: BTreeMap::from([
                ("baseline".to_owned(), base.into()),
                ("candidate".to_owned(), cand.into()),
                ("group".to_owned(), group.as_str().into()),
                ("rule".to_owned(), rule.rule.as_str().into()),
            ]),
            traffic: service.traffic,
        };
        findings.add_from(draft, vec![root]);
    }

    fn sides(&self, context: &Context<'_>, base: &str, cand: &str) -> String {
        let (baseline, candidate) = (&context.comparison.baseline, &context.comparison.candidate);
        format!("is {base} in {baseline} and {cand} in {candidate}")
    }
}

fn action(group: FactGroup) -> &'static str {
    match group {
        FactGroup::Artifact => {
            "Check what was rolled out where; deploy the same artifact, or waive the difference."
        }
        FactGroup::Runtime => {
            "Bring runtime, SDK and libraries to the same version on both sides: they explain other differences first."
        }
        FactGroup::Platform => "Compare on alike machines, or allow the key to differ in parity.facts.",
        FactGroup::Flag => {
            "Set the flag alike on both sides, or compare knowing that the code takes another path."
        }
        FactGroup::Configuration => {
            "Bring the configuration of both sides together, or waive the difference."
        }
    }
}

/// Values as they are compared: of an image's digests the registry does not count.
fn distinct(values: &Values) -> BTreeSet<&str> {
    let parts = values.keys().flat_map(|value| match value.contains("@sha256:") {
        true => value.split(',').collect::<Vec<_>>(),
        false => vec![&**value],
    });
    parts.map(|value| value.split_once("@sha256:").map_or(value, |(_, digest)| digest)).collect()
}

fn words(values: &Values) -> String {
    let mut words: Vec<_> = values.keys().take(VALUES_SHOWN).map(|value| shown(value)).collect();
    if values.len() > VALUES_SHOWN {
        words.push(format!("and {} more", values.len() - VALUES_SHOWN).into());
    }
    match &words[..] {
        [nothing] if nothing.is_empty() => "empty".to_owned(),
        _ => words.join(", "),
    }
}

fn total(values: &Values) -> u64 {
    values.values().map(|sayers| sayers.count).sum()
}

fn shares(values: &Values) -> String {
    let all = total(values).max(1) as f64;
    let one = |(value, sayers): (&Arc<str>, &Sayers)| {
        format!("{} ({:.0} %)", shown(value), 100.0 * sayers.count as f64 / all)
    };
    values.iter().take(VALUES_SHOWN).map(one).collect::<Vec<_>>().join(", ")
}

/// Evaluations of a flag that the side that has none would have, by its share of the requests.
fn expected(baseline: Option<&Values>, candidate: Option<&Values>, share: f64) -> f64 {
    match (baseline, candidate) {
        (Some(base), _) => total(base) as f64 * share,
        (_, Some(cand)) if share > 0.0 => total(cand) as f64 / share,
        _ => 0.0,
    }
}

/// Whether a flag's variants have other shares.
fn shifted(baseline: &Values, candidate: &Values) -> bool {
    let variants: BTreeSet<&Arc<str>> = baseline.keys().chain(candidate.keys()).collect();
    let of = |values: &Values, variant| values.get(variant).map_or(0.0, |sayers| sayers.count as f64);
    let counts: Vec<MixCount> = variants
        .into_iter()
        .map(|variant| MixCount { baseline: of(baseline, variant), candidate: of(candidate, variant) })
        .collect();
    let far = jensen_shannon_distance(&counts).is_some_and(|distance| distance >= DISTANCE_MIN);
    far && chi_square(&counts).is_some_and(|test| test.p_value <= SURE)
}

/// A finding where the instances of one environment run more than one artifact at a time.
fn mixed(environment: &str, service: &OfService<'_>, facts: &Facts, findings: &mut Findings) {
    let now = |key: &&str| -> Vec<(&Arc<str>, &Sayers)> {
        let values = facts.get(*key).into_iter().flatten();
        values.filter(|(_, sayers)| !sayers.newest.is_empty()).collect()
    };
    let mixed: Vec<&str> = ARTIFACT.into_iter().rev().filter(|key| now(key).len() > 1).collect();
    let Some(key) = mixed.first() else { return };
    let values = now(key);
    let all: BTreeSet<&InstanceId> = values.iter().flat_map(|(_, sayers)| &sayers.newest).collect();
    let named = !all.contains(&InstanceId::UNNAMED);
    let one = |(value, sayers): &(&Arc<str>, &Sayers)| match named {
        true => format!("{} of {} instances {}", sayers.newest.len(), all.len(), shown(value)),
        false => shown(value).into_owned(),
    };
    let shown: Vec<String> = values.iter().take(VALUES_SHOWN).map(one).collect();
    let name = service.key.to_string();
    findings.add(Draft {
        level: Level::Warning,
        aspect: Aspect::Facts,
        service: Some(&name),
        operation: None,
        subject: &format!("mixed {environment}"),
        title: "more than one release in one environment".to_owned(),
        message: format!(
            "{name} runs {} values of {key} in {environment} at the same time: {}.",
            values.len(),
            shown.join(", ")
        ),
        action: "Let the rollout end before judging, or tell its releases apart by a rule under parity.environment.",
        evidence: BTreeMap::from([
            ("environment".to_owned(), environment.into()),
            ("instances".to_owned(), (if named { all.len() } else { 0 }).into()),
            ("keys".to_owned(), mixed.clone().into()),
            ("values".to_owned(), shown.into()),
        ]),
        traffic: service.traffic,
    });
}

/// Whether both sides of a service run the same artifact, by the surest fact that both state; `None` when there is none.
fn same_artifact(service: &ServiceResult) -> Option<bool> {
    let stated = |key: &&str| {
        let fact = service.facts.iter().find(|fact| fact.key == **key)?;
        (fact.baseline.is_some() && fact.candidate.is_some()).then_some(fact.equal)
    };
    ARTIFACT.iter().find_map(stated)
}

/// The facts of all services in a few numbers; `None` when nothing is stated.
pub fn summary(services: &[ServiceResult]) -> Option<FactsSummary> {
    let all = || services.iter().flat_map(|service| &service.facts);
    all().next()?;
    let agreement = |answers: Vec<bool>| {
        let (compared, equal) = (answers.len() as u64, answers.iter().filter(|equal| **equal).count() as u64);
        let ratio = (compared > 0).then(|| equal as f64 / compared as f64);
        Agreement { compared, equal, ratio }
    };
    let counted = |fact: &&Fact| fact.broken && !fact.accepted;
    let drift = |level: Level| {
        let drifted = all().filter(counted).filter(|fact| {
            let group = fact.group.unwrap_or(FactGroup::Configuration);
            matches!(group, FactGroup::Configuration | FactGroup::Platform | FactGroup::Flag)
                && fact.severity == Some(level)
        });
        drifted.count() as u64
    };
    let dependencies = all()
        .filter(|fact| fact.group == Some(FactGroup::Runtime))
        .filter(|fact| fact.baseline.is_some() && fact.candidate.is_some())
        .map(|fact| fact.equal);
    let must = |fact: &&Fact| fact.rule.is_some_and(|rule| rule != FactRule::MayDiffer);
    Some(FactsSummary {
        artifact: agreement(services.iter().filter_map(same_artifact).collect()),
        dependencies: agreement(dependencies.collect()),
        configuration_drift: Drift {
            critical: drift(Level::Critical),
            warning: drift(Level::Warning),
            info: drift(Level::Info),
        },
        rules: all().filter(must).count() as u64,
        broken: all().filter(counted).count() as u64,
        accepted: all().filter(|fact| fact.broken && fact.accepted).count() as u64,
    })
}
