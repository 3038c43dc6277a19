//! Error budgets: how much of the time a comparison may be divergent, and how fast that is used up.
//!
//! The event is a *look*: one judgement of a live comparison. A look at parity is good, a divergent one is bad. One that is
//! inconclusive or without data is neither: as a bad one it would have every quiet night spend the budget, and as a good one
//! it would thin out what is known to be bad. So with `f` the share of bad looks among the judged ones of a window,
//!
//! - burn rate = f / (1 − target): 1 spends the budget in exactly its period;
//! - budget that remains = 1 − burn rate over the whole period; below 0 it is overspent.
//!
//! A rule holds while the rate of a long window and that of a short one are both beyond it: the long one shows that it
//! matters, the short one that it is still going on (Beyer et al., The Site Reliability Workbook, 2018, chapter 5).
//!
//! Time is that of events: looks are placed at the end of the newest window that they judged.

use super::findings::id_of;
use super::maintenance::Quiet;
use super::policy::names_service;
use super::total::overall;
use super::verdict::{Aspect, Finding, OperationResult, Report, ServiceResult, ValueResult, Verdict};
use crate::model::environment::glob;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Error budgets of one comparison that are kept; more are counted in the report's `limits_hit`.
pub const BUDGETS_MOST: usize = 1_000;
/// Parts that a window of looks is counted in: its beginning is known to a sixtieth of it.
const SLOTS: u64 = 60;
/// Judged looks below which a burn window says nothing.
const LOOKS_MIN: u64 = 3;

/// How soon somebody should look. The order is that of urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// In working hours.
    Ticket,
    /// Now.
    Page,
}

impl Severity {
    /// The word in the configuration, in labels and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Ticket => "ticket",
            Severity::Page => "page",
        }
    }
}

/// How much of the time something may be divergent.
#[derive(Clone, Debug, PartialEq)]
pub struct Slo {
    /// Its name.
    pub name: String,
    /// In which comparisons, `*` for any run of characters; `None` in all.
    pub comparison: Option<String>,
    /// Which services, each with a budget of its own; `None`: the comparison as a whole.
    pub service: Option<String>,
    /// Which aspect; `None`: the verdict of all.
    pub aspect: Option<Aspect>,
    /// The share of judged looks that must not be divergent, in (0, 1).
    pub target: f64,
    /// What the budget is for, nanoseconds.
    pub period_ns: u64,
    /// When spending it is an alert.
    pub burn: Vec<BurnRule>,
}

/// When spending a budget is an alert: both windows' burn rates are beyond `rate`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BurnRule {
    /// Nanoseconds.
    pub long_ns: u64,
    /// Nanoseconds.
    pub short_ns: u64,
    /// How many times as fast as the budget allows.
    pub rate: f64,
    /// How soon somebody should look.
    pub severity: Severity,
}

const MINUTE_NS: u64 = 60_000_000_000;

/// What holds where a file says nothing: spending is a ticket, and a page beyond three times what the budget allows.
pub const BURN_RULES: [BurnRule; 2] = [
    BurnRule { long_ns: 60 * MINUTE_NS, short_ns: 5 * MINUTE_NS, rate: 3.0, severity: Severity::Page },
    BurnRule { long_ns: 360 * MINUTE_NS, short_ns: 30 * MINUTE_NS, rate: 1.0, severity: Severity::Ticket },
];

/// What is left of one error budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SloResult {
    /// The objective's name.
    pub slo: String,
    /// The service, when it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The aspect, when it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aspect: Option<Aspect>,
    /// The share of judged looks that must not be divergent.
    pub target: f64,
    /// What the budget is for, seconds.
    pub period_s: f64,
    /// Looks of the period that showed parity.
    pub good: u64,
    /// Looks of the period that showed divergence.
    pub bad: u64,
    /// The share of the budget that is left, below 0 when it is overspent; absent while one bad look would spend it all.
    pub remaining: Option<f64>,
    /// How fast it is spent, the shortest window first.
    pub burn: Vec<BurnResult>,
    /// How soon somebody should look, when it is spent too fast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burning: Option<Severity>,
}

/// How fast a budget is spent in one window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BurnResult {
    /// The window's length, seconds.
    pub window_s: f64,
    /// How many times as fast as the budget allows; absent where too few looks were judged.
    pub rate: Option<f64>,
}

/// The budgets of one comparison.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Budgets(BTreeMap<Subject, Budget>);

/// The objective's name and the service, empty for the comparison.
type Subject = (String, String);

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Budget {
    /// The newest look, nanoseconds since the epoch.
    last_ns: u64,
    /// Looks by the length of the window that they are counted over, nanoseconds.
    windows: BTreeMap<u64, Looks>,
}

/// Looks of one sliding window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Looks(VecDeque<Slot>);

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Slot {
    index: u64,
    good: u64,
    bad: u64,
}

impl Looks {
    /// Counts a look over a window of `length_ns`; what that has left behind is forgotten.
    fn add(&mut self, look: LookTime, length_ns: u64, is_bad: Option<bool>) {
        let width_ns = (length_ns / SLOTS).max(look.every_ns).max(1);
        let (index, slots) = (look.at_ns / width_ns, length_ns.div_ceil(width_ns));
        while self.0.front().is_some_and(|slot| slot.index + slots <= index) {
            self.0.pop_front();
        }
        let Some(is_bad) = is_bad else { return };
        if self.0.back().is_none_or(|slot| slot.index < index) {
            self.0.push_back(Slot { index, good: 0, bad: 0 });
        }
        if let Some(slot) = self.0.back_mut() {
            *if is_bad { &mut slot.bad } else { &mut slot.good } += 1;
        }
    }

    fn sum(&self) -> (u64, u64) {
        self.0.iter().fold((0, 0), |(good, bad), slot| (good + slot.good, bad + slot.bad))
    }

    fn share_bad(&self) -> Option<f64> {
        let (good, bad) = self.sum();
        (good + bad > 0).then(|| bad as f64 / (good + bad) as f64)
    }
}

impl Slo {
    /// The lengths of the windows that a rule looks at, no shorter than the looks that it needs.
    fn windows_of(rule: &BurnRule, look_ns: u64) -> [u64; 2] {
        [rule.short_ns, rule.long_ns].map(|ns| ns.max(LOOKS_MIN.saturating_mul(look_ns)))
    }

    /// All lengths that looks are counted over, rising.
    fn lengths(&self, look_ns: u64) -> Vec<u64> {
        let burn = self.burn.iter().flat_map(|rule| Slo::windows_of(rule, look_ns));
        let mut lengths: Vec<u64> = burn.chain([self.period_ns]).collect();
        lengths.sort_unstable();
        lengths.dedup();
        lengths
    }

    fn result(&self, budget: &Budget, service: &str, look_ns: u64) -> SloResult {
        let looks = |length: u64| budget.windows.get(&length);
        let allowed = 1.0 - self.target;
        let (good, bad) = looks(self.period_ns).map_or((0, 0), Looks::sum);
        let rate = |length: u64| {
            let looks = looks(length)?;
            let (good, bad) = looks.sum();
            (good + bad >= LOOKS_MIN).then_some(looks.share_bad()? / allowed)
        };
        let holds = |rule: &&BurnRule| {
            // Rounding must not make of exactly what is allowed more than that.
            let beyond = |length| rate(length).is_some_and(|found| found > rule.rate * (1.0 + 1e-9));
            Slo::windows_of(rule, look_ns).into_iter().all(beyond)
        };
        let mut lengths: Vec<u64> =
            self.burn.iter().flat_map(|rule| Slo::windows_of(rule, look_ns)).collect();
        lengths.sort_unstable();
        lengths.dedup();
        let burn = lengths
            .into_iter()
            .map(|length| BurnResult { window_s: length as f64 / 1e9, rate: rate(length) });
        let judged = (good + bad) as f64;
        SloResult {
            slo: self.name.clone(),
            service: (!service.is_empty()).then(|| service.to_owned()),
            aspect: self.aspect,
            target: self.target,
            period_s: self.period_ns as f64 / 1e9,
            good,
            bad,
            // The rounding of 1 − 0.9 must not cost a look.
            remaining: (judged * allowed >= 1.0 - 1e-9).then(|| 1.0 - bad as f64 / judged / allowed),
            burn: burn.collect(),
            burning: self.burn.iter().filter(holds).map(|rule| rule.severity).max(),
        }
    }
}

/// When a look was made.
#[derive(Clone, Copy, Debug)]
pub struct LookTime {
    /// The end of the newest window that was judged, nanoseconds since the epoch.
    pub at_ns: u64,
    /// How far looks are apart, nanoseconds.
    pub every_ns: u64,
}

impl Budgets {
    /// Takes a look into account, and tells what is left of each budget; with how many there was no room for. A look at the
    /// same time as one before it, or an earlier one, was counted then. A look whose evidence touches a maintenance is neither
    /// good nor bad.
    pub fn look(
        &mut self,
        slos: &[Slo],
        quiet: Quiet<'_>,
        report: &Report,
        look: LookTime,
    ) -> (Vec<SloResult>, usize) {
        let (mut results, mut cut) = (Vec::new(), 0);
        let known = |name: &str| slos.iter().find(|slo| slo.name == name);
        self.0.retain(|(name, _), budget| {
            known(name).is_some_and(|slo| look.at_ns.saturating_sub(budget.last_ns) < slo.period_ns)
        });
        let of_comparison =
            |slo: &&Slo| slo.comparison.as_ref().is_none_or(|pattern| glob(pattern, &report.comparison));
        for slo in slos.iter().filter(of_comparison) {
            for (service, verdict) in subjects(slo, report) {
                let subject = (slo.name.clone(), service.to_owned());
                if !self.0.contains_key(&subject) && self.0.len() >= BUDGETS_MOST {
                    cut += 1;
                    continue;
                }
                let is_quiet = quiet.holds(&report.comparison, Some(service).filter(|s| !s.is_empty()));
                let is_bad = match verdict {
                    Verdict::Parity if !is_quiet => Some(false),
                    Verdict::Divergent if !is_quiet => Some(true),
                    _ => None,
                };
                let budget = self.0.entry(subject).or_default();
                budget.add(slo, look, is_bad);
                results.push(slo.result(budget, service, look.every_ns));
            }
        }
        (results, cut)
    }
}

impl Budget {
    fn add(&mut self, slo: &Slo, look: LookTime, is_bad: Option<bool>) {
        let lengths = slo.lengths(look.every_ns);
        self.windows.retain(|length, _| lengths.contains(length));
        if look.at_ns <= self.last_ns {
            return;
        }
        self.last_ns = look.at_ns;
        for length in lengths {
            self.windows.entry(length).or_default().add(look, length, is_bad);
        }
    }
}

/// What an objective is about, with what the look came to; the comparison itself has no name.
fn subjects<'r>(slo: &Slo, report: &'r Report) -> Vec<(&'r str, Verdict)> {
    match (&slo.service, slo.aspect) {
        (None, None) => vec![("", report.verdict)],
        (None, Some(aspect)) => {
            vec![("", report.aspects.get(&aspect).map_or(Verdict::NoData, |result| result.verdict))]
        }
        (Some(pattern), aspect) => {
            let matching = report.services.iter().filter(|service| names_service(pattern, &service.service));
            let verdict = |service: &ServiceResult| match aspect {
                None => service.verdict,
                Some(aspect) => of_aspect(report, service, aspect),
            };
            matching.map(|service| (&*service.service, verdict(service))).collect()
        }
    }
}

/// What one aspect of a service came to; what a waiver accepts is parity.
fn of_aspect(report: &Report, service: &ServiceResult, aspect: Aspect) -> Verdict {
    let name = service.service.as_str();
    let waived = |operation: &OperationResult| {
        let id = id_of(aspect, Some(name), Some(&operation.operation), &operation.kind);
        report.findings.iter().any(|finding| finding.id == id && finding.waived_by.is_some())
    };
    let of_operations = |verdict: fn(&OperationResult) -> Option<Verdict>| {
        overall(service.operations.iter().filter_map(|operation| match verdict(operation)? {
            Verdict::Divergent if waived(operation) => Some(Verdict::Parity),
            verdict => Some(verdict),
        }))
    };
    match aspect {
        Aspect::Latency => of_operations(|operation| Some(operation.latency.verdict)),
        Aspect::Errors => of_operations(|operation| Some(operation.errors.verdict)),
        Aspect::Volume => of_operations(|operation| Some(operation.volume.verdict)),
        Aspect::Structure => of_operations(|operation| Some(operation.structure?.verdict)),
        Aspect::Presence if service.coverage.expected == 0 => Verdict::NoData,
        Aspect::Presence => {
            held(service.coverage.present + service.coverage.accepted >= service.coverage.expected)
        }
        Aspect::Value => {
            overall(service.values.iter().filter(|value| value.decides).map(ValueResult::counted))
        }
        Aspect::Facts if service.facts.is_empty() => Verdict::NoData,
        Aspect::Facts => held(!service.facts.iter().any(|fact| fact.broken && !fact.accepted)),
        _ if service.verdict == Verdict::NoData => Verdict::NoData,
        Aspect::Shape | Aspect::Mix | Aspect::Sampling => {
            let open = |f: &Finding| f.aspect == aspect && f.waived_by.is_none();
            let of_service = |f: &Finding| f.service.as_deref() == Some(name);
            held(!report.findings.iter().any(|finding| of_service(finding) && open(finding)))
        }
    }
}

fn held(holds: bool) -> Verdict {
    if holds { Verdict::Parity } else { Verdict::Divergent }
}

#[cfg(test)]
mod tests;
