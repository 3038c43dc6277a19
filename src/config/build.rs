//! A checked tree → values. Forms are right by now; what is left are references between sections.

use super::alerts;
use super::auth;
use super::exporters::{ExporterConfig, TelemetryOtlp, exporters, push};
use super::listeners::{Listener, METRICS_KEY, Page, extension, health, listeners, page};
use super::memory::{MemoryLimit, memory};
use super::parity::{
    SnapshotFile, comparison_owners, comparisons, environments, facts, known_environments, limits_of,
    overrides, redaction, tolerances, values, waivers,
};
use super::problem::Problems;
use super::schema::{self, Key, Kind};
use super::storage::{self, HistoryConfig, StorageConfig};
use super::tenants::{Tenants, tenants};
use super::tree::Node;
use super::value;
use crate::alert::AlertPolicy;
use crate::engine::{Comparisons, Plan, Tier};
use crate::judge::Policy;
use crate::model::{EnvironmentRules, Limits};
use crate::window::Patience;
use std::collections::BTreeMap;
use std::time::Duration;

/// Everything that a file can say.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Listeners that are part of a pipeline.
    pub listeners: Vec<Listener>,
    /// Exporters that are part of a pipeline or take results, by id.
    pub exporters: BTreeMap<String, ExporterConfig>,
    /// Where each signal goes on to.
    pub forward: Signals<Vec<String>>,
    /// Where results go.
    pub results: Vec<String>,
    /// Whether an agent judges its windows or hands them over.
    pub tier: Tier,
    /// Where alerts go.
    pub alert_exporters: Vec<String>,
    /// When there is an alert.
    pub alerts: AlertPolicy,
    /// The health page and its path; `None` when it does not run.
    pub health: Option<(Page, String)>,
    /// The page of results; `None` when it does not run.
    pub page: Option<Page>,
    /// The page of isotel's own metrics.
    pub metrics: Page,
    /// Where isotel's own metrics are pushed to.
    pub metrics_otlp: Option<TelemetryOtlp>,
    /// `error` to `trace`.
    pub log_level: String,
    /// How logs are written.
    pub log_encoding: LogEncoding,
    /// How environments are read.
    pub environments: EnvironmentRules,
    /// Length of a window, and whether the file says so.
    pub window: (Duration, bool),
    /// How long a window waits for late telemetry.
    pub lateness: Duration,
    /// After how long an environment is idle.
    pub idle_timeout: Duration,
    /// How far back live evidence reaches.
    pub period: Duration,
    /// How long what a new instance does is no evidence.
    pub warmup: Duration,
    /// Which environments are compared.
    pub comparisons: Comparisons,
    /// Snapshots that comparisons have as their baseline; whoever reads files reads them.
    pub snapshots: Vec<SnapshotFile>,
    /// Tolerances and waivers; the catalog is read by whoever reads files.
    pub policy: Policy,
    /// Files and folders of the catalog.
    pub catalogs: Vec<String>,
    /// Bounds on what is kept.
    pub limits: Limits,
    /// How much memory the process may use.
    pub memory: MemoryLimit,
    /// Where what was acknowledged is kept; `None`: nowhere but in memory.
    pub storage: Option<StorageConfig>,
    /// The directories of all storages that are defined, in use or not.
    pub storages: Vec<std::path::PathBuf>,
    /// Who is kept apart; `None`: nobody.
    pub tenants: Option<Tenants>,
    /// How long what comparisons came to is kept.
    pub history: HistoryConfig,
    /// Requests that are handled at a time.
    pub concurrent_requests: usize,
    /// Connections to one listener.
    pub connections: usize,
    /// The largest request of results, bytes.
    pub reports_bytes: usize,
}

/// Something for each signal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signals<T> {
    /// Of traces.
    pub traces: T,
    /// Of metrics.
    pub metrics: T,
    /// Of logs.
    pub logs: T,
}

impl<T> Signals<T> {
    /// Of one signal.
    pub fn of(&self, signal: crate::wire::Signal) -> &T {
        match signal {
            crate::wire::Signal::Traces => &self.traces,
            crate::wire::Signal::Metrics => &self.metrics,
            crate::wire::Signal::Logs => &self.logs,
        }
    }
}

/// Which of OTLP's transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpOrGrpc {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP.
    Http,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogEncoding {
    /// For people.
    Console,
    /// One JSON object a line.
    Json,
}

/// A section with the table of its keys: what the file says, else the default.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) node: Option<&'a Node>,
    pub(super) keys: &'static [Key],
}

impl<'a> View<'a> {
    pub(super) fn of(node: Option<&'a Node>, kind: &'static Kind) -> View<'a> {
        let keys = if let Kind::Section(keys) = kind { *keys } else { &[] };
        View { node, keys }
    }

    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        let found = self.keys.iter().find(|key| key.name == name);
        debug_assert!(found.is_some(), "the table has no key {name}");
        found
    }

    pub(super) fn section(&self, name: &str) -> View<'a> {
        let keys = match self.key(name).map(|key| key.kind) {
            Some(Kind::Section(keys)) => keys,
            _ => &[],
        };
        View { node: self.child(name), keys }
    }

    pub(super) fn child(&self, name: &str) -> Option<&'a Node> {
        self.node.and_then(|node| node.get(name))
    }

    pub(super) fn says(&self, name: &str) -> bool {
        self.child(name).is_some()
    }

    /// Whether the key is there, with or without a value.
    pub(super) fn has(&self, name: &str) -> bool {
        self.node.is_some_and(|node| node.has(name))
    }

    /// What the file says, else the default.
    pub(super) fn text(&self, name: &str) -> String {
        let said = self.child(name).and_then(Node::text).map(str::to_owned);
        said.or_else(|| self.key(name).map(|key| key.default.to_owned())).unwrap_or_default()
    }

    pub(super) fn said(&self, name: &str) -> Option<String> {
        self.child(name).and_then(Node::text).map(str::to_owned)
    }

    pub(super) fn duration(&self, name: &str) -> Duration {
        Duration::from_nanos(value::duration_ns(&self.text(name)).unwrap_or(0))
    }

    pub(super) fn bytes(&self, name: &str) -> usize {
        value::bytes(&self.text(name)).and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX)
    }

    pub(super) fn count(&self, name: &str) -> usize {
        self.text(name).parse().unwrap_or(0)
    }

    pub(super) fn number(&self, name: &str) -> f64 {
        self.text(name).parse().unwrap_or(0.0)
    }

    pub(super) fn bool(&self, name: &str) -> bool {
        self.text(name) == "true"
    }

    pub(super) fn endpoint(&self, name: &str) -> (String, u16) {
        value::host_and_port(&self.text(name)).unwrap_or_default()
    }

    /// A text alone, or each of a list.
    pub(super) fn one_or_more(&self, name: &str) -> Vec<String> {
        match self.child(name) {
            Some(node) => node
                .text()
                .into_iter()
                .chain(node.items().iter().filter_map(Node::text))
                .map(str::to_owned)
                .collect(),
            None => Vec::new(),
        }
    }

    pub(super) fn list(&self, name: &str) -> Vec<String> {
        match self.child(name) {
            Some(node) => node.items().iter().filter_map(Node::text).map(str::to_owned).collect(),
            None => {
                let default = self.key(name).map_or("", |key| key.default);
                let inner = default.trim_start_matches('[').trim_end_matches(']');
                inner.split(", ").filter(|item| !item.is_empty()).map(str::to_owned).collect()
            }
        }
    }
}

/// Makes the values; problems are references that lead nowhere and values that exclude each other.
/// `waivers_file` is the content of the file that `parity.waivers_file` names.
pub fn build(root: &Node, waivers_file: Option<&Node>, problems: &mut Problems) -> Config {
    let root = View::of(Some(root), &schema::ROOT);
    let service = root.section("service");
    let parity = root.section("parity");
    let telemetry = service.section("telemetry");
    let metrics = telemetry.section("metrics");
    let limits = View::of(parity.child("limits"), &schema::LIMITS);
    let (comparisons, snapshots) = comparisons(&parity, problems);
    let authenticators = auth::authenticators(&root, problems);
    let exporters = exporters(&root, &authenticators, problems);
    let (used, forward) = pipelines(&root, &service, problems);
    let extensions = ids(&root, "extensions");
    let running = references(&service, "extensions", &extensions, "extensions", problems);
    let results = references(
        &parity,
        "exporters",
        &exporters.keys().cloned().collect::<Vec<_>>(),
        "exporters",
        problems,
    );
    alerts::misplaced(&parity, "exporters", "parity.exporters", false, problems);
    let alerting = parity.section("alerts");
    alerts::misplaced(&alerting, "exporters", "parity.alerts.exporters", true, problems);
    let known: Vec<String> = exporters.keys().cloned().collect();
    let alert_exporters = references(&alerting, "exporters", &known, "exporters", problems);
    Config {
        alert_exporters,
        alerts: alerts::alerts(&parity, problems),
        listeners: listeners(&root, &used, &authenticators, problems),
        exporters,
        forward,
        tier: tier(&parity, &results, problems),
        results,
        page: extension(&root, &running, "page", &schema::PAGE, &authenticators, problems)
            .map(|(page, _)| page),
        health: health(&root, &running, &authenticators, problems),
        metrics: page(&metrics, METRICS_KEY, "address", &authenticators, problems),
        metrics_otlp: push(&metrics.section("otlp"), &authenticators, problems),
        log_level: telemetry.section("logs").text("level"),
        log_encoding: match telemetry.section("logs").text("encoding").as_str() {
            "json" => LogEncoding::Json,
            _ => LogEncoding::Console,
        },
        environments: environments(&parity, problems),
        window: (parity.duration("window"), parity.says("window")),
        lateness: parity.duration("lateness"),
        idle_timeout: parity.duration("idle_timeout"),
        period: parity.duration("period"),
        warmup: parity.duration("warmup"),
        comparisons,
        snapshots,
        policy: Policy {
            tolerances: tolerances(&parity.section("tolerances")).into(),
            overrides: overrides(&parity.section("tolerances")),
            waivers: [waivers(root.child("parity"), problems), waivers(waivers_file, problems)].concat(),
            slos: alerts::slos(&parity, problems),
            maintenance: alerts::maintenance(&parity, problems),
            values: values(&parity, problems),
            facts: facts(&parity, problems),
            redaction: redaction(&parity, problems),
            environments: known_environments(&parity),
            comparison_owners: comparison_owners(&parity),
            catalog: None,
        },
        catalogs: parity.one_or_more("catalog"),
        limits: limits_of(&limits),
        memory: memory(&root, problems),
        storage: storage::storage(&root, "parity", &parity, problems),
        storages: storage::directories(&root),
        tenants: tenants(&parity, &authenticators, problems),
        history: HistoryConfig::of(&parity),
        concurrent_requests: limits.count("concurrent_requests"),
        connections: limits.count("connections"),
        reports_bytes: limits.bytes("reports_bytes"),
    }
}

impl Config {
    /// What an engine that judges does with this configuration, live since `started_ns` (nanoseconds since the epoch).
    pub fn plan(&self, started_ns: u64) -> Plan {
        let window_ns = self.window.0.as_nanos() as u64;
        Plan {
            environments: self.environments.clone(),
            window_ns,
            patience: Patience {
                lateness_ns: self.lateness.as_nanos() as u64,
                idle_ns: self.idle_timeout.as_nanos() as u64,
            },
            warmup_ns: self.warmup.as_nanos() as u64,
            period_windows: (self.period.as_nanos() as u64).div_ceil(window_ns.max(1)).max(1) as usize,
            comparisons: self.comparisons.clone(),
            policy: self.policy.clone(),
            limits: self.limits.clone(),
            observed_from_ns: started_ns,
            tier: Tier::Judging,
        }
    }
}

/// Whether an agent judges its windows. Who hands them over needs somebody to take them, and a key that both have.
fn tier(parity: &View<'_>, results: &[String], problems: &mut Problems) -> Tier {
    let Some(node) = parity.child("tier").filter(|node| node.text() == Some("first")) else {
        return Tier::Judging;
    };
    if results.is_empty() {
        let hint = "name the exporter that leads to the second tier under parity.exporters".to_owned();
        problems
            .push(node.place.problem("parity.tier: nobody takes the windows of this first tier", Some(hint)));
    }
    if !parity.section("redaction").says("key") {
        let hint =
            "set parity.redaction.key in both tiers to one text, for example ${env:ISOTEL_KEY}".to_owned();
        problems
            .push(node.place.problem("parity.tier: a first tier needs the key of the second", Some(hint)));
    }
    Tier::First
}

/// The ids of the components in a section.
fn ids(root: &View<'_>, section: &str) -> Vec<String> {
    root.child(section).map_or(&[][..], Node::entries).iter().map(|(id, _, _)| id.clone()).collect()
}

fn pipelines(
    root: &View<'_>,
    service: &View<'_>,
    problems: &mut Problems,
) -> (Vec<String>, Signals<Vec<String>>) {
    let (known_receivers, known_exporters) = (ids(root, "receivers"), ids(root, "exporters"));
    let mut used = Vec::new();
    let mut forward = Signals::default();
    let Some(pipelines) = service.child("pipelines") else { return (used, forward) };
    for (id, _, node) in pipelines.entries() {
        let view = View { node: Some(node), keys: pipeline_keys() };
        used.extend(references(&view, "receivers", &known_receivers, "receivers", problems));
        let exporters = references(&view, "exporters", &known_exporters, "exporters", problems);
        alerts::misplaced(&view, "exporters", &format!("service.pipelines.{id}"), false, problems);
        if let Some(first) = view.child("processors").and_then(|node| node.items().first()) {
            let limiter = first.text().is_some_and(|id| id.split('/').next() == Some("memory_limiter"));
            let hint = match limiter {
                true => {
                    "memory_limiter is an extension here: one for all pipelines, before requests are read"
                }
                false => "run processors in a collector before or behind isotel",
            };
            let hint = hint.to_owned();
            problems.push(
                first.place.problem(format!("service.pipelines.{id}: isotel has no processors"), Some(hint)),
            );
        }
        let list = match id.split('/').next() {
            Some("traces") => &mut forward.traces,
            Some("metrics") => &mut forward.metrics,
            _ => &mut forward.logs,
        };
        for exporter in exporters {
            if !list.contains(&exporter) {
                list.push(exporter);
            }
        }
    }
    (used, forward)
}

fn pipeline_keys() -> &'static [Key] {
    let Kind::Section(root) = &schema::ROOT else { return &[] };
    let Some(Kind::Section(service)) = root.iter().find(|key| key.name == "service").map(|key| key.kind)
    else {
        return &[];
    };
    match service.iter().find(|key| key.name == "pipelines").map(|key| key.kind) {
        Some(Kind::Pipelines(Kind::Section(keys))) => keys,
        _ => &[],
    }
}

/// A list of ids that must all be defined.
pub(super) fn references(
    view: &View<'_>,
    name: &str,
    known: &[String],
    section: &str,
    problems: &mut Problems,
) -> Vec<String> {
    let mut ids = Vec::new();
    for item in view.child(name).map_or(&[][..], Node::items) {
        let Some(id) = item.text() else { continue };
        match known.iter().any(|known| known == id) {
            true => ids.push(id.to_owned()),
            false => {
                let hint = match known {
                    [] => format!("there are no {section}"),
                    known => format!("defined {section}: {}", known.join(", ")),
                };
                problems
                    .push(item.place.problem(format!("`{id}` is not defined under {section}"), Some(hint)));
            }
        }
    }
    ids
}
