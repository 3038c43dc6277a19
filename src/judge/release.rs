//! A release's session: one comparison, looked at from a beginning until the judge decides, time is up, or somebody ends it.
//!
//! A live comparison is judged for ever and its verdict comes and goes; a release wants one answer. So it gets looks of its
//! own ([`super::Session`]) that begin with it and share one level: pass is parity shown, fail is divergence shown, and both
//! hold however often somebody asks. What people decide ([`Override`]) stands beside what the judge says and changes nothing
//! in it.

use super::policy::Comparison;
use super::verdict::{Needs, OperationResult, Report, Verdict};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The name and version of the JSON of a session.
pub const SCHEMA: &str = "isotel.session/v1";

/// What is asked for when a session begins. What is not said is the configuration's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Begin {
    /// Which release; who begins the same one again gets the session that there is.
    pub release: Option<String>,
    /// The name of a comparison.
    pub comparison: Option<String>,
    /// The environment that is the reference.
    pub baseline: Option<String>,
    /// The environment that is judged.
    pub candidate: Option<String>,
    /// Services to compare, `*` for any run of characters.
    pub services: Option<Vec<String>>,
    /// From which event time on telemetry counts, nanoseconds since the epoch; now without it.
    pub start_ns: Option<u64>,
    /// How long to wait for a decision, nanoseconds; the period without it, and at the most.
    pub timeout_ns: Option<u64>,
    /// Decide and show, and answer pass to every tool.
    pub dry_run: bool,
}

/// What a release comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Parity is shown.
    Pass,
    /// Divergence is shown.
    Fail,
    /// Neither is.
    Inconclusive,
    /// What was asked for does not exist, so that no evidence can come.
    Error,
}

impl Decision {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Decision::Pass => "pass",
            Decision::Fail => "fail",
            Decision::Inconclusive => "inconclusive",
            Decision::Error => "error",
        }
    }
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Looks go on.
    Running,
    /// Parity or divergence was shown.
    Decided,
    /// Neither was, in time.
    TimedOut,
    /// Somebody ended it.
    Cancelled,
}

impl State {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Decided => "decided",
            State::TimedOut => "timed_out",
            State::Cancelled => "cancelled",
        }
    }
}

/// What a person decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// What tools are told from then on: pass or fail.
    pub verdict: Decision,
    /// Why.
    pub reason: String,
    /// Who.
    pub name: String,
    /// When, RFC 3339.
    #[serde(default)]
    pub at: String,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// Its id.
    pub id: String,
    /// Which release, as whoever began it calls it.
    pub release: Option<String>,
    /// What is compared.
    pub comparison: Comparison,
    /// Whether who began it chose environments or services, which must then exist.
    pub selects: bool,
    /// Whether tools are told pass whatever is decided.
    pub dry_run: bool,
    /// When it began by the agent's clock, nanoseconds since the epoch.
    pub began_ns: u64,
    /// The first window that counts.
    pub first_window: u64,
    /// The event time at which that begins, nanoseconds since the epoch.
    pub start_ns: u64,
    /// When it ends at the latest by the agent's clock, nanoseconds since the epoch.
    pub deadline_ns: u64,
    /// How far it is.
    pub state: State,
    /// When it ended, nanoseconds since the epoch.
    pub ended_ns: Option<u64>,
    /// Whether the candidate has had requests since the start.
    pub traffic: bool,
    /// What was asked for and does not exist.
    pub missing: Option<String>,
    /// What a person decided.
    pub overridden: Option<Override>,
    /// The latest judgement; that of the decision when it has been decided.
    #[serde(with = "as_json")]
    pub report: Option<Arc<Report>>,
}

/// A report is kept as JSON, which leaves out what is empty.
mod as_json {
    use super::{Arc, Report};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

    pub(super) fn serialize<S: Serializer>(report: &Option<Arc<Report>>, to: S) -> Result<S::Ok, S::Error> {
        let text = report.as_deref().map(serde_json::to_string).transpose();
        text.map_err(ser::Error::custom)?.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Arc<Report>>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        let report = text.map(|text| serde_json::from_str(&text)).transpose();
        Ok(report.map_err(de::Error::custom)?.map(Arc::new))
    }
}

/// A session as JSON (`isotel.session/v1`).
#[derive(Serialize)]
struct Shown<'a> {
    schema: &'static str,
    id: &'a str,
    release: Option<&'a str>,
    comparison: &'a str,
    baseline: &'a str,
    candidate: &'a str,
    services: &'a [String],
    state: State,
    decision: Decision,
    answer: Decision,
    dry_run: bool,
    reason: String,
    needs: Option<Needs>,
    score: Option<f64>,
    windows: u64,
    traffic: bool,
    began_at: String,
    start: String,
    deadline: String,
    ended_at: Option<String>,
    #[serde(rename = "override")]
    overridden: Option<&'a Override>,
    page: String,
    report: String,
}

impl Release {
    /// What the judge says.
    pub fn decision(&self) -> Decision {
        match self.report.as_ref().map(|report| report.verdict) {
            _ if self.missing.is_some() => Decision::Error,
            Some(Verdict::Parity) if self.state == State::Decided => Decision::Pass,
            Some(Verdict::Divergent) if self.state == State::Decided => Decision::Fail,
            _ => Decision::Inconclusive,
        }
    }

    /// What tools are told: a person's word before a dry run's, and that before the judge's.
    pub fn answer(&self) -> Decision {
        match &self.overridden {
            Some(by) => by.verdict,
            None if self.dry_run => Decision::Pass,
            None => self.decision(),
        }
    }

    /// 0 to 100; `None` while there is nothing to score.
    pub fn score(&self) -> Option<f64> {
        let report = self.report.as_ref().filter(|report| report.verdict != Verdict::NoData)?;
        Some(report.score).filter(|score| score.is_finite())
    }

    /// Why tools are told what they are told, in a sentence or two.
    pub fn reason(&self) -> String {
        let judged = self.judged();
        match &self.overridden {
            Some(by) => {
                let (verdict, decision) = (by.verdict.as_str(), self.decision().as_str());
                format!(
                    "{} says {verdict}: {} The judge says {decision}: {judged}",
                    by.name,
                    full_stop(&by.reason)
                )
            }
            None if self.dry_run => format!("Dry run; the judge says {}: {judged}", self.decision().as_str()),
            None => judged,
        }
    }

    fn judged(&self) -> String {
        let ended = match self.state {
            State::TimedOut => "Time is up. ",
            State::Cancelled => "Cancelled. ",
            State::Running | State::Decided => "",
        };
        let found = match (&self.missing, &self.report) {
            (Some(missing), _) => missing.clone(),
            (None, None) => format!("No window has been judged since {}.", instant(self.start_ns)),
            (None, Some(report)) => match (report.verdict, open_operation(report)) {
                (Verdict::Inconclusive, Some((service, open))) => open_in_words(report, service, open),
                _ => report.summary.clone(),
            },
        };
        format!("{ended}{found}")
    }

    /// How much more evidence the largest open operation needs.
    pub fn needs(&self) -> Option<Needs> {
        open_operation(self.report.as_ref()?)?.1.latency.needs
    }

    /// Requests of either side that the latest judgement rests on.
    pub fn requests(&self) -> (u64, u64) {
        let operations = self.report.iter().flat_map(|report| &report.services).flat_map(|s| &s.operations);
        operations.fold((0, 0), |(b, c), operation| {
            (b.saturating_add(operation.latency.n_baseline), c.saturating_add(operation.latency.n_candidate))
        })
    }

    /// Where its page is; `root` stands before the paths of its tenant's pages.
    pub fn page(&self, root: &str) -> String {
        format!("{root}/sessions/{}", self.id)
    }

    /// It as JSON; `root` as in [`Release::page`].
    pub fn to_json(&self, root: &str) -> serde_json::Value {
        let Comparison { name, baseline, candidate, services, .. } = &self.comparison;
        serde_json::json!(Shown {
            schema: SCHEMA,
            id: &self.id,
            release: self.release.as_deref(),
            comparison: name,
            baseline,
            candidate,
            services,
            state: self.state,
            decision: self.decision(),
            answer: self.answer(),
            dry_run: self.dry_run,
            reason: self.reason(),
            needs: self.needs(),
            score: self.score(),
            windows: self.report.as_ref().map_or(0, |report| report.period.windows),
            traffic: self.traffic,
            began_at: instant(self.began_ns),
            start: instant(self.start_ns),
            deadline: instant(self.deadline_ns),
            ended_at: self.ended_ns.map(instant),
            overridden: self.overridden.as_ref(),
            page: self.page(root),
            report: format!("{root}/api/v1/sessions/{}/verdict", self.id),
        })
    }
}

/// The undecided operation with the most requests of the baseline, with its service.
fn open_operation(report: &Report) -> Option<(&str, &OperationResult)> {
    let all = report.services.iter().flat_map(|s| s.operations.iter().map(|o| (s.service.as_str(), o)));
    all.filter(|(_, operation)| operation.verdict == Verdict::Inconclusive)
        .max_by_key(|(_, operation)| operation.latency.n_baseline)
}

fn open_in_words(report: &Report, service: &str, open: &OperationResult) -> String {
    let operations = || report.services.iter().flat_map(|service| &service.operations);
    let count = |verdict: Verdict| operations().filter(|operation| operation.verdict == verdict).count();
    let (parity, waiting) = (count(Verdict::Parity), count(Verdict::Inconclusive));
    let latency = &open.latency;
    let reason = match latency.verdict {
        Verdict::Inconclusive => &latency.reason,
        _ => &open.errors.reason,
    };
    let needs = latency.needs.map_or(String::new(), |needs| match needs.minutes.get() {
        Some(minutes) => format!(" It needs {} requests a side, about {minutes:.0} min more.", needs.n),
        None => format!(" It needs {} requests a side.", needs.n),
    });
    let (b, c, operation) = (latency.n_baseline, latency.n_candidate, &open.operation);
    format!(
        "{parity} operation(s) at parity, {waiting} open; {service} {operation} ({b} and {c} requests): {}{needs}",
        full_stop(reason)
    )
}

fn full_stop(text: &str) -> String {
    match text.ends_with(['.', '!', '?']) {
        true => text.to_owned(),
        false => format!("{text}."),
    }
}

/// RFC 3339.
fn instant(ns: u64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(ns)).map(|time| time.to_string()).unwrap_or_default()
}
