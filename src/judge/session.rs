//! Looking after every window without crying wolf more often.
//!
//! A live comparison is judged again whenever windows are sealed, and a test at 5 % that is repeated is wrong far more often
//! than in 5 % of all cases. So the looks of one *session* share its level. A session lasts one period, or until the
//! candidate is another version; then the next one begins. Two tests have half of the level of divergence each:
//!
//! - the test that recordings get, at looks after 5, 10, 20, 40, … windows (1, 2, 4, 8, … in a session that follows another);
//!   the k-th look has the share 6/(π²k²) of the level, and these add up to 1 (union bound). Parity is shown at these looks
//!   only, with the same shares;
//! - after every window an e-process ([`EProcess`]) for each threshold and direction: the baseline's quantiles, frozen when
//!   the session knows them, the candidate's durations scaled by the tolerance, counts divided by the design effect. Their
//!   mean is an e-value, and 1 over its greatest value a p-value that is valid whenever one looks.
//!
//! Where the baseline is a snapshot there is the first test alone, with the whole level.
//!
//! Neither speaks of durations before the fifth window: fewer do not show how load drifts from one to the next, and a
//! drift that only one side has is no difference between releases.
//!
//! Sources: Turner, Ly & Grünwald (2024); Vovk & Wang (2021) for the mean; Berger & Hsu (1996) for the looks' test.

use super::evidence::{BLOCKS_MIN, Precision, SideEvidence, joint_dof};
use super::latency::common_source;
use super::policy::{Statistic, Tolerances};
use super::verdict::{Figure, SequentialResult, Source};
use crate::model::{DependencyId, SeriesId, ServiceKey, ValueId};
use crate::stats::design_effect::ClusterCount;
use crate::stats::e_process::{EProcess, log_mean, sequential_p};
use crate::stats::normal;
use crate::window::SealedCell;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::f64::consts::PI;
use std::sync::Arc;

/// The quantiles whose thresholds have an e-process.
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.95, 0.99];
/// Baseline requests that lie beyond a frozen threshold at least.
const BEYOND_MIN: f64 = 5.0;

/// What the looks at one comparison have in common.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Session {
    windows: u64,
    /// Windows of this session and of those before it.
    seen: u64,
    looks: u64,
    next_look: u64,
    /// The newest window that has been taken in.
    through: Option<u64>,
    /// Boxed, since a third of a tree's places are free.
    series: BTreeMap<SeriesId, Box<SeriesSession>>,
    /// What looks at ordinary metrics have shown.
    values: BTreeMap<ServiceKey, BTreeMap<ValueQuestion, ValueLooks>>,
    dependencies: BTreeMap<ServiceKey, BTreeMap<DependencyId, SeriesSession>>,
    /// The versions of each service that the candidate has shown.
    versions: BTreeMap<ServiceKey, BTreeSet<Arc<str>>>,
}

/// A metric, its statistic, and whether it is divided by requests.
pub type ValueQuestion = (ValueId, Statistic, bool);

/// What the looks at one metric have shown. It has no e-process, so the looks have its whole level.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ValueLooks {
    /// The least p-value of a look, its share of the level taken into account.
    pub p: f64,
    /// Whether the last look showed parity.
    pub parity: bool,
}

impl Default for ValueLooks {
    fn default() -> Self {
        ValueLooks { p: 1.0, parity: false }
    }
}

/// What one judgement may use of the session.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// Windows that have been taken in before, up to this one.
    pub after: Option<u64>,
    /// The share of the level that this look has; `None` between looks.
    pub share: Option<f64>,
    /// Windows since the session began.
    pub windows: u64,
    /// Windows that are missing to show how load drifts.
    pub lacking: u64,
    /// Whether the baseline is a snapshot: it has no new windows for a test after every window, so that looks have the whole
    /// level.
    pub alone: bool,
}

impl Session {
    /// A session goes on with windows up to `newest`, of which `fresh` tells how many are newer than any before. One that
    /// has had `windows_most` windows ends, and the next begins.
    pub fn look(&mut self, newest: u64, fresh: impl Fn(Option<u64>) -> u64, windows_most: u64) -> Look {
        if self.windows >= windows_most {
            let versions = std::mem::take(&mut self.versions);
            *self = Session { seen: self.seen, through: self.through, versions, ..Session::default() };
        }
        let after = self.through;
        let fresh = fresh(after);
        self.windows += fresh;
        self.seen += fresh;
        self.through = self.through.max(Some(newest));
        // A period that is shorter never knows more.
        let lacking = (BLOCKS_MIN as u64).min(windows_most).saturating_sub(self.seen);
        let share = (lacking == 0 && self.windows >= self.next_look.max(1)).then(|| {
            self.looks += 1;
            self.next_look = 2 * self.windows;
            6.0 / (PI * self.looks as f64).powi(2)
        });
        Look { after, share, windows: self.windows, lacking, alone: false }
    }

    /// Whether the candidate shows a version of a service that it did not show before: then its series begin anew.
    pub fn is_new_release(&mut self, service: &ServiceKey, versions: Option<BTreeSet<Arc<str>>>) -> bool {
        let Some(versions) = versions else { return false };
        // A version that is seen no more ends nothing: its successor was there before it left.
        let is_new = self.versions.get(service).is_some_and(|known| !versions.is_subset(known));
        if is_new {
            self.values.remove(service);
            self.dependencies.remove(service);
        }
        self.versions.insert(service.clone(), versions);
        is_new
    }

    /// Forgets what the looks at a series have shown.
    pub fn restart(&mut self, series: SeriesId) {
        self.series.remove(&series);
    }

    /// What the looks at a metric have shown.
    pub fn value(&mut self, service: &ServiceKey, question: ValueQuestion) -> &mut ValueLooks {
        self.values.entry(service.clone()).or_default().entry(question).or_default()
    }

    /// The state of whom a service calls.
    pub fn dependency(&mut self, service: &ServiceKey, id: DependencyId) -> &mut SeriesSession {
        self.dependencies.entry(service.clone()).or_default().entry(id).or_default()
    }

    /// The state of a series.
    pub fn series(&mut self, series: SeriesId) -> &mut SeriesSession {
        self.series.entry(series).or_default()
    }
}

/// What is known of one series since the session began.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SeriesSession {
    windows: u64,
    thresholds: Vec<Threshold>,
    more_errors: EProcess,
    fewer_errors: EProcess,
    latency: Evidence,
    errors: Evidence,
    /// The least p-value of a look that calls per request are others, its share of the level taken into account.
    calls_p: Figure,
    /// The same that the volume is another one.
    volume_p: Figure,
    /// What the last look showed.
    parity: Parity,
}

/// Which aspects of a series a look showed to be at parity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parity {
    /// Latency.
    pub latency: bool,
    /// Error rates.
    pub errors: bool,
}

/// One frozen threshold.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Threshold {
    seconds: f64,
    tolerance: f64,
    slower: EProcess,
    faster: EProcess,
}

/// The strongest evidence so far.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Evidence {
    /// Natural log of the greatest e-value.
    log_e_most: f64,
    /// The least p-value of a look, its share of the level taken into account.
    p_look: f64,
}

impl Default for SeriesSession {
    fn default() -> Self {
        let none = Evidence { log_e_most: 0.0, p_look: 1.0 };
        SeriesSession {
            windows: 0,
            thresholds: Vec::new(),
            more_errors: EProcess::new(),
            fewer_errors: EProcess::new(),
            latency: none,
            errors: none,
            calls_p: Figure::NONE,
            volume_p: Figure::NONE,
            parity: Parity::default(),
        }
    }
}

impl Evidence {
    fn e_value(&mut self, log_e: Option<f64>) {
        self.log_e_most = self.log_e_most.max(log_e.unwrap_or(0.0));
    }

    fn look(&mut self, p: Option<f64>, share: f64) {
        self.p_look = self.p_look.min(p.unwrap_or(1.0) / share);
    }

    /// Both tests have half of the level, where there are two.
    fn p(self, looks_alone: bool) -> f64 {
        if looks_alone {
            return self.p_look.min(1.0);
        }
        (2.0 * self.p_look.min(sequential_p(self.log_e_most))).min(1.0)
    }
}

impl SeriesSession {
    /// Takes in the windows that are new.
    pub fn advance(
        &mut self,
        baseline: &SideEvidence<'_>,
        candidate: &SideEvidence<'_>,
        tolerances: &Tolerances,
        look: Look,
    ) {
        let Some(source) = common_source(baseline, candidate) else { return };
        self.windows = look.windows;
        if look.alone {
            return;
        }
        let errors = (baseline.error_precision(source), candidate.error_precision(source));
        let discount = discounts(&errors.0, &errors.1.borrowing(&errors.0));
        let windows = by_window(baseline, candidate, look.after);
        for (ours, theirs) in &windows {
            let (b, c) = (errors_in(*ours, source, discount.0), errors_in(*theirs, source, discount.1));
            self.more_errors.update(b.n, b.at_or_under, c.n, c.at_or_under);
            self.fewer_errors.update(c.n, c.at_or_under, b.n, b.at_or_under);
        }
        self.errors.e_value(log_mean(&[self.more_errors.log_e(), self.fewer_errors.log_e()]));
        if self.thresholds.is_empty() {
            // The windows that say where the thresholds lie are no evidence about them.
            if look.lacking == 0 {
                self.freeze(baseline, source, tolerances);
            }
            return;
        }
        let seconds: Vec<f64> = self.thresholds.iter().map(|threshold| threshold.seconds).collect();
        let precisions = [baseline, candidate].map(|side| side.precisions(source, &seconds));
        let discounts = precisions[0].iter().zip(&precisions[1]).map(|(b, c)| discounts(b, &c.borrowing(b)));
        for (threshold, discount) in self.thresholds.iter_mut().zip(discounts) {
            threshold.advance(&windows, source, discount, tolerances.worse_only);
        }
        let all = self.thresholds.iter().flat_map(|t| [t.slower.log_e(), t.faster.log_e()]);
        self.latency.e_value(log_mean(&all.collect::<Vec<_>>()));
    }

    fn freeze(&mut self, baseline: &SideEvidence<'_>, source: Source, tolerances: &Tolerances) {
        let n = baseline.n(source);
        if n < tolerances.min_requests {
            return;
        }
        let distribution = baseline.distribution(source);
        let tolerances = tolerances.beside(&distribution);
        let threshold = |q: f64| {
            let seconds = distribution.quantile(q)?.value;
            let tolerance = tolerances.at(q).unwrap_or(0.15);
            let (slower, faster) = (EProcess::new(), EProcess::new());
            Some(Threshold { seconds, tolerance, slower, faster })
        };
        let known = QUANTILES.into_iter().filter(|q| n as f64 * (1.0 - q) >= BEYOND_MIN);
        self.thresholds = known.filter_map(threshold).collect();
    }

    /// Takes in what the fixed test says at a look.
    pub fn look(&mut self, share: f64, latency_p: Option<f64>, errors_p: Option<f64>, parity: Parity) {
        self.latency.look(latency_p, share);
        self.errors.look(errors_p, share);
        self.parity = parity;
    }

    /// The anytime-valid p-value that latency is outside its tolerance.
    pub fn latency(&self, look: Look) -> SequentialResult {
        SequentialResult { p_value: self.latency.p(look.alone), windows: self.windows }
    }

    /// The anytime-valid p-value that error rates differ.
    pub fn errors_p(&self, look: Look) -> f64 {
        self.errors.p(look.alone)
    }

    /// The p-value that calls per request are others, valid at all looks so far; `share` is this one's.
    pub fn calls(&mut self, share: Option<f64>, p: Option<f64>) -> Option<f64> {
        self.calls_p = least(self.calls_p, share, p);
        self.calls_p.get()
    }

    /// The p-value that the volume is another one, valid at all looks so far; `share` is this one's.
    pub fn volume(&mut self, share: Option<f64>, p: Option<f64>) -> Option<f64> {
        self.volume_p = least(self.volume_p, share, p);
        self.volume_p.get()
    }

    /// What the last look showed to be at parity.
    pub fn parity(&self) -> Parity {
        self.parity
    }
}

/// The least p-value so far with that of a look, whose share of the level is taken into account.
fn least(known: Figure, share: Option<f64>, p: Option<f64>) -> Figure {
    match p.zip(share) {
        Some((p, share)) => known.get().unwrap_or(1.0).min(p / share).into(),
        None => known,
    }
}

impl Threshold {
    fn advance(&mut self, windows: &[Cells<'_>], source: Source, discount: (f64, f64), worse_only: bool) {
        let slower_s = self.seconds * (1.0 + self.tolerance);
        let faster_s = self.seconds / (1.0 + self.tolerance);
        for (ours, theirs) in windows {
            let b = worth(over(*ours, source, [self.seconds])[0], discount.0);
            let [c_faster, c_slower] =
                over(*theirs, source, [faster_s, slower_s]).map(|count| worth(count, discount.1));
            self.slower.update(b.n, b.at_or_under, c_slower.n, c_slower.at_or_under);
            if !worse_only {
                self.faster.update(c_faster.n, c_faster.at_or_under, b.n, b.at_or_under);
            }
        }
    }
}

/// Requests, and those of them that take longer than each of some durations, in one window.
fn over<const N: usize>(cell: Option<&SealedCell>, source: Source, seconds: [f64; N]) -> [ClusterCount; N] {
    let mut counts = [NONE; N];
    let found = cell.map(|cell| SideEvidence::in_window(cell, source, &seconds)).unwrap_or_default();
    for (count, found) in counts.iter_mut().zip(found) {
        *count = ClusterCount { n: found.n, at_or_under: found.n - found.at_or_under };
    }
    counts
}

/// By how much both sides' counts are divided: the design effect, and more while few clusters leave it uncertain, by as
/// much as a t-interval would be wider than a normal one.
fn discounts(baseline: &Precision, candidate: &Precision) -> (f64, f64) {
    let wider = normal::critical(0.95, joint_dof(baseline, candidate)) / normal::critical(0.95, None);
    (baseline.deff * wider.powi(2), candidate.deff * wider.powi(2))
}

/// Counts that independent requests would have to be.
fn worth(count: ClusterCount, discount: f64) -> ClusterCount {
    ClusterCount { n: count.n / discount, at_or_under: count.at_or_under / discount }
}

/// Requests and failures of one window, as independent ones.
fn errors_in(cell: Option<&SealedCell>, source: Source, discount: f64) -> ClusterCount {
    let Some(cell) = cell else { return NONE };
    let (n, errors) = match source {
        Source::Spans => (cell.latency.n(), cell.errors),
        Source::Metrics => cell.metrics.values().fold((0, 0), |(n, errors), m| (n + m.n, errors + m.errors)),
    };
    worth(ClusterCount { n: n as f64, at_or_under: errors as f64 }, discount)
}

const NONE: ClusterCount = ClusterCount { n: 0.0, at_or_under: 0.0 };

/// What either side has in one window.
type Cells<'a> = (Option<&'a SealedCell>, Option<&'a SealedCell>);

/// Both sides' cells in each window after `after` that either has, rising.
fn by_window<'a>(
    baseline: &'a SideEvidence<'_>,
    candidate: &'a SideEvidence<'_>,
    after: Option<u64>,
) -> Vec<Cells<'a>> {
    let mut windows: BTreeMap<u64, Cells<'a>> = BTreeMap::new();
    for (window, cell) in baseline.since(after) {
        windows.entry(window).or_default().0 = Some(cell);
    }
    for (window, cell) in candidate.since(after) {
        windows.entry(window).or_default().1 = Some(cell);
    }
    windows.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_come_after_5_10_20_40_windows_and_their_shares_add_up_to_less_than_one() {
        let mut session = Session::default();
        let shares: Vec<(u64, f64)> = (1..=64)
            .filter_map(|window| {
                let look = session.look(window, |after| window - after.unwrap_or(0), 1_000);
                Some((look.windows, look.share?))
            })
            .collect();
        let at: Vec<u64> = shares.iter().map(|(window, _)| *window).collect();
        assert_eq!(at, [5, 10, 20, 40]);
        let sum: f64 = shares.iter().map(|(_, share)| share).sum();
        assert!(sum < 1.0 && shares[0].1 > 0.6, "{shares:?}");
    }

    #[test]
    fn another_version_is_a_new_release_and_the_first_one_is_not() {
        let mut session = Session::default();
        let service = ServiceKey { namespace: "shop".into(), name: "cart".into() };
        let versions = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect::<BTreeSet<_>>();
        let mut new = |names: &[&str]| session.is_new_release(&service, Some(versions(names)));
        assert_eq!(
            [new(&["1"]), new(&["1"]), new(&["1", "2"]), new(&["1", "2"])],
            [false, false, true, false]
        );
        // One that leaves ends nothing, and one that comes back is a release.
        assert_eq!([new(&["2"]), new(&["2"]), new(&["1", "2"])], [false, false, true]);
    }

    #[test]
    fn a_session_ends_after_its_period_and_the_next_one_looks_at_once() {
        let looks = |period: u64| {
            let mut session = Session::default();
            let share = |window| session.look(window, |_| 1, period).share.map(|_| window);
            (1..=16).filter_map(share).collect::<Vec<u64>>()
        };
        assert_eq!(looks(8), [5, 9, 10, 12, 16]);
        assert_eq!(looks(2), [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
    }
}
