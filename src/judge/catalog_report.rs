//! All environments held to a catalog: the types behind the JSON of `isotel coverage --catalog`
//! (`schema: "isotel.coverage/v1"`), and how they are filled.

use super::conventions::{self, Conformity};
use super::expected::{self, Held, Watched};
use super::findings::{Findings, Told};
use super::input::unassigned;
use super::policy::{Comparison, Policy};
use super::presence::Presence;
use super::verdict::{Finding, Verdict};
use super::waivers::Waivers;
use crate::catalog::Catalog;
use crate::model::{EnvironmentId, KnownNames, ServiceKey};
use crate::stats::proportions::{Rate, wilson};
use crate::window::SealedWindow;
use crate::window::shard::Tally;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The name and version of the layout.
pub const SCHEMA: &str = "isotel.coverage/v1";

/// The confidence of the intervals.
const CONFIDENCE: f64 = 0.90;

/// Every environment beside the catalog.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CatalogReport {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// When the report was made, RFC 3339.
    pub generated_at: String,
    /// The worst verdict of all environments.
    pub verdict: Verdict,
    /// One sentence.
    pub summary: String,
    /// By name.
    pub environments: Vec<EnvironmentCoverage>,
    /// What a person should know, most important first.
    pub findings: Vec<Finding>,
    /// Limits that were reached while the telemetry was collected, `name: count` in words.
    pub limits_hit: Vec<String>,
}

/// One environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentCoverage {
    /// Its name.
    pub environment: String,
    /// The worst verdict of its services.
    pub verdict: Verdict,
    /// Over all its services.
    pub total: Share,
    /// Services that are expected here or were seen, by name.
    pub services: Vec<ServiceHeld>,
}

/// One service in one environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceHeld {
    /// `service.name`, with `service.namespace` and a slash in front where there is one.
    pub service: String,
    /// Divergent if coverage or conformity is below the tolerance; no data if the catalog has no say in the service.
    pub verdict: Verdict,
    /// Items that are expected and items that are there.
    pub total: Share,
    /// The same by signal: `resource`, `spans`, `metrics`, `logs`.
    pub signals: BTreeMap<String, Share>,
    /// Items that are missing.
    pub missing: Vec<String>,
    /// Items whose absence means nothing yet.
    pub too_rare: Vec<String>,
    /// Items that the catalog does not name.
    pub extra: Vec<String>,
    /// Differences in form, one sentence each.
    pub shape: Vec<String>,
    /// Names that follow the conventions, where there is a registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conventions: Option<Share>,
}

/// A part of a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// The whole.
    pub expected: u64,
    /// The part.
    pub present: u64,
    /// `present / expected`, 1 when nothing is expected.
    pub ratio: f64,
    /// Wilson's interval for it, 90 %: how little a few items say.
    pub ratio_low: f64,
    /// The interval's upper end.
    pub ratio_high: f64,
}

impl Share {
    fn of(expected: u64, present: u64) -> Share {
        let rate = Rate { errors: present as f64, n: expected as f64 };
        let (ratio_low, ratio_high) = wilson(rate, CONFIDENCE);
        let ratio = if expected == 0 { 1.0 } else { rate.share() };
        Share { expected, present, ratio, ratio_low, ratio_high }
    }
}

/// What is held to the catalog.
pub struct Holding<'a> {
    /// What is expected.
    pub catalog: &'a Catalog,
    /// Tolerances and waivers.
    pub policy: &'a Policy,
    /// Names.
    pub names: &'a KnownNames,
    /// What was taken in and set aside.
    pub tally: &'a Tally,
    /// The windows, rising.
    pub windows: Vec<&'a SealedWindow>,
    /// Which environments.
    pub environments: Vec<EnvironmentId>,
    /// Now, nanoseconds since the epoch.
    pub now_ns: u64,
    /// Now, RFC 3339.
    pub generated_at: String,
}

/// Holds each environment to the catalog.
pub fn hold(holding: &Holding<'_>) -> CatalogReport {
    let mut findings = Findings::default();
    let each = holding.environments.iter().map(|id| hold_environment(holding, *id, &mut findings));
    let mut environments: Vec<EnvironmentCoverage> = each.collect();
    environments.sort_by(|a, b| a.environment.cmp(&b.environment));
    let verdict = worst(environments.iter().map(|environment| environment.verdict));
    unassigned(holding.names, holding.tally, &mut findings);
    // Waivers that name a comparison are not for catalogs.
    let comparison = Comparison::default();
    let mut waivers = Waivers::new(holding.policy, &comparison, holding.now_ns);
    let Told { findings, cut, .. } = findings.finish(&mut waivers, holding.names.limits().findings);
    let mut hits = holding.tally.hits.clone();
    hits.merge(holding.names.limits_hit());
    let hits = hits.iter().map(|(limit, n)| format!("{}: {n}", limit.as_str())).collect::<Vec<_>>();
    let cut = (cut > 0).then(|| format!("findings: {cut}"));
    CatalogReport {
        schema: SCHEMA.to_owned(),
        generated_at: holding.generated_at.clone(),
        verdict,
        summary: summary(verdict, &environments),
        environments,
        findings,
        limits_hit: hits.into_iter().chain(cut).collect(),
    }
}

fn hold_environment(
    holding: &Holding<'_>,
    id: EnvironmentId,
    findings: &mut Findings,
) -> EnvironmentCoverage {
    let name = holding.names.environments()[usize::from(id.0)].to_string();
    let presence = Presence::in_detail(holding.names, id, holding.windows.iter().copied());
    let watched = Watched::new(holding.catalog, &presence, (id, &name));
    let expected = watched.services().map(|(service, _)| service);
    let services: BTreeSet<ServiceKey> = expected.chain(presence.services.keys().cloned()).collect();
    let services: Vec<ServiceHeld> =
        services.iter().map(|service| hold_service(holding, &watched, service, findings)).collect();
    let sum = |part: fn(&Share) -> u64| services.iter().map(|service| part(&service.total)).sum();
    EnvironmentCoverage {
        environment: name,
        verdict: worst(services.iter().map(|service| service.verdict)),
        total: Share::of(sum(|share| share.expected), sum(|share| share.present)),
        services,
    }
}

fn hold_service(
    holding: &Holding<'_>,
    watched: &Watched<'_>,
    service: &ServiceKey,
    findings: &mut Findings,
) -> ServiceHeld {
    let name = service.to_string();
    let tolerance = holding.policy.of(&name, "").tolerances.coverage;
    let traffic = watched.presence.traffic(service, watched.id);
    let traffic = traffic.spans.saturating_add(traffic.points).saturating_add(traffic.logs);
    let held = watched.hold(service);
    let conformity = holding.catalog.registry.as_ref().map(|registry| {
        let found = conventions::check(registry, watched.presence, service, watched.id);
        conventions::of_conformity(&name, watched.environment, &found, findings, traffic);
        found
    });
    match &held {
        Some(held) => expected::of_held(&name, watched.environment, held, tolerance, findings, traffic),
        None if !holding.catalog.services.is_empty() => {
            expected::unexpected_service(&name, watched.environment, findings, traffic);
        }
        None => {}
    }
    let verdict = verdict_of(held.as_ref(), conformity.as_ref(), tolerance);
    let held = held.unwrap_or_default();
    let signals =
        held.signals.iter().map(|(signal, (all, part))| ((*signal).to_owned(), Share::of(*all, *part)));
    ServiceHeld {
        verdict,
        total: Share::of(held.coverage.expected, held.coverage.present),
        signals: signals.collect(),
        missing: held.coverage.missing,
        too_rare: held.too_rare.iter().map(ToString::to_string).collect(),
        extra: held.coverage.extra,
        shape: held.coverage.shape,
        conventions: conformity.map(|found| Share::of(found.checked, found.right)),
        service: name,
    }
}

/// Of one service: its coverage and its conformity, each if there is any, against the tolerance.
fn verdict_of(held: Option<&Held>, conformity: Option<&Conformity>, tolerance: f64) -> Verdict {
    let covered = held.filter(|held| held.coverage.expected > 0).map(|held| held.coverage.ratio);
    let conforms = conformity.filter(|found| found.checked > 0).map(Conformity::ratio);
    let ratios = [covered, conforms].into_iter().flatten();
    worst(ratios.map(|ratio| if ratio < tolerance { Verdict::Divergent } else { Verdict::Parity }))
}

fn worst(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    verdicts.max().unwrap_or(Verdict::NoData)
}

fn summary(verdict: Verdict, environments: &[EnvironmentCoverage]) -> String {
    let falling: Vec<String> = environments
        .iter()
        .flat_map(|environment| environment.services.iter().map(move |service| (environment, service)))
        .filter(|(_, service)| service.verdict == Verdict::Divergent)
        .map(|(environment, service)| format!("{} in {}", service.service, environment.environment))
        .collect();
    match (verdict, falling.split_first()) {
        (Verdict::NoData, _) => "The catalog has no say in any of the telemetry that was seen.".to_owned(),
        (_, Some((first, []))) => {
            format!("{first} has less of the expected telemetry than the tolerance asks for.")
        }
        (_, Some((first, more))) => {
            format!(
                "{first} and {} more have less of the expected telemetry than the tolerance asks for.",
                more.len()
            )
        }
        (_, None) => "All expected telemetry is there, within the tolerance.".to_owned(),
    }
}
