//! What a judgement is made of: the types behind the verdict JSON (`schema: "isotel.verdict/v1"`).
//!
//! These are plain values with serde on them and nothing else: the judge fills them, the renderers in
//! [`crate::report`] and the encoders in [`crate::export`] read them, and `isotel explain` reads them back from a
//! file. Field order is the order in the JSON. Durations are seconds, rates and ratios are fractions, and no field
//! ever holds NaN or an infinity: what is unbounded is `null`.

mod figure;
mod operation;

pub use figure::Figure;
pub use operation::*;

use super::curves::OperationName;
use super::slo::SloResult;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The name and version of the verdict JSON's layout.
pub const SCHEMA: &str = "isotel.verdict/v1";

/// What a comparison came to. The order is that of rising concern, so `max` is "the worse of".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing to judge on one side or on both.
    NoData,
    /// Shown to be within the tolerance.
    Parity,
    /// Neither shown; the reason says what is missing.
    Inconclusive,
    /// Shown to be outside the tolerance.
    Divergent,
}

impl Verdict {
    /// Every verdict, in the order in which states are exported.
    pub const ALL: [Verdict; 4] =
        [Verdict::Parity, Verdict::Divergent, Verdict::Inconclusive, Verdict::NoData];

    /// The word used in JSON, tables and OTLP attributes.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Parity => "parity",
            Verdict::Divergent => "divergent",
            Verdict::Inconclusive => "inconclusive",
            Verdict::NoData => "no_data",
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// One dimension of parity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// How long operations take.
    Latency,
    /// How often operations fail.
    Errors,
    /// How many operations there are.
    Volume,
    /// In which proportions operations occur.
    Mix,
    /// Which telemetry exists.
    Presence,
    /// In which form telemetry exists: type, unit, temporality, bounds, keys.
    Shape,
    /// What ordinary metrics say.
    Value,
    /// What resources say of artifact, runtime and place.
    Facts,
    /// With which probability spans were kept.
    Sampling,
    /// Which calls a request leads to.
    Structure,
}

impl Aspect {
    /// Every aspect.
    pub const ALL: [Aspect; 10] = [
        Aspect::Latency,
        Aspect::Errors,
        Aspect::Volume,
        Aspect::Mix,
        Aspect::Presence,
        Aspect::Shape,
        Aspect::Value,
        Aspect::Facts,
        Aspect::Sampling,
        Aspect::Structure,
    ];

    /// The word used in JSON, tables and OTLP attributes.
    pub fn as_str(self) -> &'static str {
        match self {
            Aspect::Latency => "latency",
            Aspect::Errors => "errors",
            Aspect::Volume => "volume",
            Aspect::Mix => "mix",
            Aspect::Presence => "presence",
            Aspect::Shape => "shape",
            Aspect::Value => "value",
            Aspect::Facts => "facts",
            Aspect::Sampling => "sampling",
            Aspect::Structure => "structure",
        }
    }
}

impl std::fmt::Display for Aspect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Worth knowing; nothing to do.
    Info,
    /// Should be looked at.
    Warning,
    /// The release or environment is not what it should be.
    Critical,
}

impl Level {
    /// The word used in JSON, tables and OTLP attributes.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Critical => "critical",
        }
    }
}

/// The whole result of one comparison: the root of the verdict JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// When the report was made, RFC 3339; the only field that differs between two runs on the same input.
    pub generated_at: String,
    /// The comparison's name.
    pub comparison: String,
    /// The side that is the reference.
    pub baseline: Side,
    /// The side that is judged.
    pub candidate: Side,
    /// The event time that the evidence covers.
    pub period: Period,
    /// The composite verdict.
    pub verdict: Verdict,
    /// 0 to 100.
    pub score: f64,
    /// One sentence.
    pub summary: String,
    /// Verdict and score per aspect that was judged.
    pub aspects: BTreeMap<Aspect, AspectResult>,
    /// Every service seen on either side, ordered by namespace and name.
    pub services: Vec<ServiceResult>,
    /// What a person should know, most important first.
    pub findings: Vec<Finding>,
    /// Limits that were reached while the evidence was collected, `name: count` in words.
    pub limits_hit: Vec<String>,
    /// What was taken in and what was refused.
    pub input: InputCounts,
    /// The judge's false-alarm rate on the baseline's own traffic, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<CalibrationResult>,
    /// What was stated of artifacts, dependencies and configuration, in a few numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<FactsSummary>,
    /// How long after their events spans arrive, on both sides; absent on recorded input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrival: Option<ArrivalResult>,
    /// Who owns the comparison.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What is left of error budgets; of a live comparison only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slos: Vec<SloResult>,
}

impl Report {
    /// A service by its name.
    pub fn service(&self, name: &str) -> Option<&ServiceResult> {
        self.services.iter().find(|service| service.service == name)
    }

    /// An operation by its name, with its service.
    pub fn operation(&self, name: OperationName<'_>) -> Option<(&ServiceResult, &OperationResult)> {
        let service = self.service(name.service)?;
        let is_it = |o: &&OperationResult| *o.operation == *name.operation && *o.kind == *name.kind;
        Some((service, service.operations.iter().find(is_it)?))
    }
}

/// The least time from a span's end to its arrival, seconds: what the sender's clock is behind the agent's and the pipeline
/// takes at the least. Below zero only a clock that is ahead can be; absent where a side sends no spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ArrivalResult {
    /// On the baseline side.
    pub baseline_delay_s: Option<f64>,
    /// On the candidate side.
    pub candidate_delay_s: Option<f64>,
}

/// The baseline against itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalibrationResult {
    /// Ways in which the baseline was halved.
    pub splits: u64,
    /// Those in which an operation was called divergent though nothing differs.
    pub divergent: u64,
}

/// One side of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// The environment's name.
    pub environment: String,
    /// Who owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Where it is written what to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// The event time that the evidence covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// RFC 3339, inclusive; `null` when there was no data.
    pub start: Option<String>,
    /// RFC 3339, exclusive; `null` when there was no data.
    pub end: Option<String>,
    /// How many windows held data.
    pub windows: u64,
}

/// Verdict and score of one aspect over the whole comparison.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AspectResult {
    /// The aspect's verdict.
    pub verdict: Verdict,
    /// 0 to 100.
    pub score: f64,
}

/// What was found for one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceResult {
    /// `service.name`, with `service.namespace` and a slash in front where there is one.
    pub service: String,
    /// The service's verdict, from its operations and its coverage.
    pub verdict: Verdict,
    /// 0 to 100.
    pub score: f64,
    /// Every operation seen on either side, ordered by baseline traffic, most first.
    pub operations: Vec<OperationResult>,
    /// Presence and shape of its telemetry.
    pub coverage: Coverage,
    /// What resources say of it on each side.
    pub facts: Vec<Fact>,
    /// All its requests together, freed from their mix; only where it has several operations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<Vec<TotalResult>>,
    /// What its ordinary metrics say, ordered by metric, unit and statistic.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<ValueResult>,
    /// Whom it calls, most calls first; evidence, decides nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<DependencyResult>,
    /// Requests per second of all that comes in; absent where nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeResult>,
    /// Its signals and how its traces hang together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completeness: Option<CompletenessResult>,
}

/// What a service sends on each side; absent where it sends nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CompletenessResult {
    /// On the baseline side.
    pub baseline: Option<SideCompleteness>,
    /// On the candidate side.
    pub candidate: Option<SideCompleteness>,
}

/// What a service sends on one side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SideCompleteness {
    /// Of `traces`, `metrics` and `logs`, those that there are.
    pub signals: Vec<String>,
    /// Spans.
    pub spans: u64,
    /// Metric data points.
    pub metric_points: u64,
    /// Log records.
    pub log_records: u64,
    /// Spans without a parent over all spans; absent without spans.
    pub root_share: Option<f64>,
    /// Spans with a parent that was looked for: those of a sample of traces.
    #[serde(default)]
    pub parents_sought: u64,
    /// The share of them whose parent never came; absent where none was looked for.
    #[serde(default)]
    pub broken_parent_share: Option<f64>,
    /// The share of its spans that was kept, by their tracestate: 1 where nothing says that it samples; absent without spans.
    pub kept_share: Option<f64>,
}

/// Somebody whom a service calls: a database, a broker, another service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DependencyResult {
    /// Its name, e.g. `orders-db` or `shop.Cart`.
    pub peer: String,
    /// Its name on the candidate side, where the same calls go to another host there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate_peer: Option<String>,
    /// Database, broker or protocol; absent where nothing says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Whether it is there on both sides, as fast, and succeeds as often.
    pub verdict: Verdict,
    /// What latency comes to.
    pub latency: Verdict,
    /// What the share of calls that succeed comes to.
    pub success: Verdict,
    /// Calls on the baseline side; absent where it is not called.
    pub baseline: Option<DependencyCalls>,
    /// Calls on the candidate side; absent where it is not called.
    pub candidate: Option<DependencyCalls>,
    /// Candidate's p95 over the baseline's.
    pub ratio: Option<f64>,
    /// The interval's lower end; `null` is unbounded.
    pub ratio_low: Option<f64>,
    /// The interval's upper end; `null` is unbounded.
    pub ratio_high: Option<f64>,
    /// Candidate's share of failed calls less the baseline's.
    pub errors_delta: Option<f64>,
    /// The interval's lower end.
    pub errors_delta_low: Option<f64>,
    /// The interval's upper end.
    pub errors_delta_high: Option<f64>,
    /// The operations that call it.
    pub operations: Vec<String>,
    /// A sentence: why this verdict.
    pub reason: String,
}

/// Calls to a dependency on one side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DependencyCalls {
    /// Calls.
    pub calls: u64,
    /// Calls that failed.
    pub errors: u64,
    /// Median, seconds.
    pub p50_s: Option<f64>,
    /// 95th percentile, seconds.
    pub p95_s: Option<f64>,
}

/// All requests of one service together: how many take longer than a quantile of the baseline's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TotalResult {
    /// The quantile's order, e.g. 0.95.
    pub q: f64,
    /// The baseline's quantile over all its requests, seconds.
    pub threshold_s: f64,
    /// The share of the baseline's requests that take longer.
    pub baseline_share: f64,
    /// The share of the candidate's requests that take longer, as they came.
    pub candidate_share: f64,
    /// The same had the candidate the baseline's mix of operations.
    pub standardised_share: f64,
    /// The share of the baseline's requests in operations that the candidate has too.
    pub covered: f64,
}

/// Presence and shape of one service's telemetry: the candidate held against the catalog where that names the service,
/// and against the baseline where not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// Items that the catalog requires, or that the baseline has.
    pub expected: u64,
    /// Of these, items that the candidate has.
    pub present: u64,
    /// `present / expected`, 1 when nothing is expected.
    pub ratio: f64,
    /// Expected items that the candidate lacks, e.g. `metric http.server.request.duration`.
    pub missing: Vec<String>,
    /// Items that the candidate has and that are not expected.
    pub extra: Vec<String>,
    /// Differences in form from what is expected, one sentence each.
    pub shape: Vec<String>,
    /// The same by item and field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shapes: Vec<ShapeDifference>,
    /// Items that both have and the candidate has stopped sending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stale: Vec<String>,
    /// Missing items that waivers accept, so that they count as present.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub accepted: u64,
}

/// One field in which an item that both environments have differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShapeDifference {
    /// The item, e.g. `metric http.server.request.duration`.
    pub item: String,
    /// What of it: `instrument`, `temporality`, `monotonicity`, `value type`, `bounds`, `scale`, `type`, `schema_url`,
    /// `unit`, or `cardinality` with the values `one`, `few`, `many` and `unbounded`.
    pub field: String,
    /// The baseline's values, joined by ` and `.
    pub baseline: String,
    /// The candidate's values, joined by ` and `.
    pub candidate: String,
}

impl std::fmt::Display for ShapeDifference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ShapeDifference { item, field, baseline, candidate } = self;
        write!(f, "{item}: {field} {baseline} in the baseline, {candidate} in the candidate")
    }
}

impl Coverage {
    /// The share of expected items that are there or whose absence is accepted; 1 when nothing is expected.
    pub fn counted(&self) -> f64 {
        match self.expected {
            0 => 1.0,
            expected => (self.present + self.accepted) as f64 / expected as f64,
        }
    }
}

fn is_zero<N: Default + PartialEq>(number: &N) -> bool {
    *number == N::default()
}

/// Aspect value of one metric, or of one part of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValueResult {
    /// The metric's name, with the attributes that tell its parts apart: `queue.depth{queue=orders}`. Of texts the
    /// attribute's key, of sizes the key with the operation.
    pub metric: String,
    /// UCUM.
    pub unit: String,
    /// `counter`, `change`, `gauge`, `histogram`, `summary`, `size` or `text`.
    pub instrument: String,
    /// `mean`, `p50`, `p95`, `rate`, `last` or `max`; of texts `equal`.
    pub statistic: String,
    /// `request` when the numbers are divided by the service's incoming requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<String>,
    /// Whether the configuration names it.
    pub configured: bool,
    /// Whether it counts in the comparison's verdict and score; evidence only otherwise.
    pub decides: bool,
    /// The verdict.
    pub verdict: Verdict,
    /// The baseline's statistic, in the metric's unit (a rate: per second); of texts how many there are.
    pub baseline: Option<f64>,
    /// The candidate's.
    pub candidate: Option<f64>,
    /// Windows, or blocks of them, that the baseline's statistic rests on.
    pub windows_baseline: u64,
    /// The candidate's.
    pub windows_candidate: u64,
    /// Candidate over baseline; `null` where either is not positive.
    pub ratio: Option<f64>,
    /// The interval's lower end; `null` where the difference was judged.
    pub ratio_low: Option<f64>,
    /// The interval's upper end.
    pub ratio_high: Option<f64>,
    /// Candidate less baseline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<f64>,
    /// The interval's lower end; absent where the ratio was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference_low: Option<f64>,
    /// The interval's upper end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference_high: Option<f64>,
    /// Accepted relative difference.
    pub tolerance: f64,
    /// Accepted difference at least, in the unit of the statistic.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub floor: f64,
    /// Of a difference beyond the tolerance, corrected for all that are tested with it.
    pub p_value: Option<f64>,
    /// A sentence: why this verdict.
    pub reason: String,
    /// What it would take to reach a verdict, when there is none.
    pub needs: Option<ValueNeeds>,
    /// The finding that tells of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<String>,
    /// Whether a waiver accepts that finding.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accepted: bool,
}

impl ValueResult {
    /// The verdict as it counts: a divergence that a waiver accepts counts as parity.
    pub fn counted(&self) -> Verdict {
        if self.accepted && self.verdict == Verdict::Divergent { Verdict::Parity } else { self.verdict }
    }
}

/// How much more evidence a value needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueNeeds {
    /// Windows per side.
    pub windows: u64,
}

/// What resources of one service say under one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// The resource attribute's key.
    pub key: String,
    /// Its values on the baseline side, joined by `, `.
    pub baseline: Option<String>,
    /// Its values on the candidate side, joined by `, `.
    pub candidate: Option<String>,
    /// Whether they are the same.
    pub equal: bool,
    /// What must hold of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<FactRule>,
    /// How much it matters when that does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Level>,
    /// What the fact tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<FactGroup>,
    /// Whether the rule is broken.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub broken: bool,
    /// Whether a waiver accepts that, so that it does not count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accepted: bool,
}

/// What must hold of the values of a fact on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactRule {
    /// Both sides state the same values.
    MustEqual,
    /// Anything.
    MayDiffer,
    /// Both sides state it, and have no value in common.
    MustDiffer,
}

impl FactRule {
    /// The word used in JSON and in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            FactRule::MustEqual => "must_equal",
            FactRule::MayDiffer => "may_differ",
            FactRule::MustDiffer => "must_differ",
        }
    }
}

/// What a fact tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactGroup {
    /// What was built: versions, images, revisions.
    Artifact,
    /// How it is set up: whatever people named that is none of the others.
    Configuration,
    /// What it runs on inside of the process: runtime, SDK, instrumentation libraries.
    Runtime,
    /// Where it runs: machine, operating system, cloud, cluster.
    Platform,
    /// What feature flags evaluated to.
    Flag,
}

impl FactGroup {
    /// The word used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            FactGroup::Artifact => "artifact",
            FactGroup::Configuration => "configuration",
            FactGroup::Runtime => "runtime",
            FactGroup::Platform => "platform",
            FactGroup::Flag => "flag",
        }
    }
}

/// The facts of all services in a few numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FactsSummary {
    /// Services that run the same artifact on both sides, by the surest fact that both state: a digest before a revision
    /// before a version.
    pub artifact: Agreement,
    /// Facts of runtime, SDK and instrumentation libraries that both sides state.
    pub dependencies: Agreement,
    /// Broken rules on configuration, platform and feature flags that no waiver accepts.
    pub configuration_drift: Drift,
    /// Facts that must be equal or must differ.
    pub rules: u64,
    /// Broken rules that no waiver accepts.
    pub broken: u64,
    /// Broken rules that a waiver accepts.
    pub accepted: u64,
}

/// How many of what was compared is the same.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// What both sides state.
    pub compared: u64,
    /// Of these, what is the same.
    pub equal: u64,
    /// `equal / compared`; `null` when nothing is compared.
    pub ratio: Option<f64>,
}

/// Broken rules by severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// Of severity critical.
    pub critical: u64,
    /// Of severity warning.
    pub warning: u64,
    /// Of severity info.
    pub info: u64,
}

/// One thing that a person should know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable from run to run: the same problem has the same id.
    pub id: String,
    /// How much it matters.
    pub level: Level,
    /// The dimension of parity that it is about.
    pub aspect: Aspect,
    /// The service, when it is about one.
    pub service: Option<String>,
    /// The operation, when it is about one.
    pub operation: Option<String>,
    /// A few words.
    pub title: String,
    /// A sentence with the numbers.
    pub message: String,
    /// What to do.
    pub action: String,
    /// The numbers, by name.
    pub evidence: BTreeMap<String, serde_json::Value>,
    /// The waiver that accepts it.
    pub waived_by: Option<String>,
    /// The metric, attribute, fact or other item that it is about: what a waiver's `item` matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// Who should know: the service's owner, else the environment's, else the comparison's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// What was taken in and what was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputCounts {
    /// Spans accepted.
    pub spans: u64,
    /// Metric data points accepted.
    pub metric_points: u64,
    /// Log records accepted.
    pub log_records: u64,
    /// Items refused or set aside, by reason.
    pub rejected: BTreeMap<String, u64>,
}
