//! Reports → alerts: what somebody should be told, when it begins and when it ends.
//!
//! A finding that no waiver accepts and an error budget that is spent too fast are *causes*. Findings of one root are one
//! finding already, so that one cause is one alert. A cause opens its alert when it was there at `open_after` looks in a row,
//! and closes it when it was absent from `close_after`; a look without data says nothing of either. What is waived closes at
//! once. No alert opens on evidence that touches a maintenance; one that is open goes on.
//!
//! The labels of an alert are those of its beginning, since they are its identity for whoever receives it. An alert that
//! becomes more urgent is therefore another one: the old one is resolved and the new one opens at the same time. None becomes
//! less urgent while it is open.
//!
//! Pure: reports and `now` come in, alerts and counts go out ([`message`] writes them). Who sends them is [`crate::agent`].

pub mod cause;
pub mod message;
pub mod policy;

use crate::judge::maintenance::Quiet;
use crate::judge::slo::Severity;
use crate::judge::{Report, Verdict};
use cause::Cause;
pub use policy::{AlertPolicy, SeverityRule};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What is kept of alerts. It outlives the process where there is a storage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Alerts {
    /// By comparison and cause.
    watched: BTreeMap<(String, String), Watched>,
    /// Those that ended, the oldest first, until everybody has been told often enough.
    ended: VecDeque<Alert>,
    /// Whether something began or ended since the last message.
    news: bool,
    /// When the last message was made, nanoseconds since the epoch.
    told_ns: u64,
    /// What has happened so far.
    pub counts: Counts,
}

/// A cause that was there at the last look that said anything of it, or not long before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Watched {
    /// Looks in a row at which it was there.
    seen: u64,
    /// Looks in a row at which it was not.
    missed: u64,
    alert: Option<Alert>,
}

/// Something that somebody should be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// How soon somebody should look.
    pub severity: Severity,
    /// What it is about: its identity.
    pub labels: BTreeMap<String, String>,
    /// What it says, by the latest look.
    pub annotations: BTreeMap<String, String>,
    /// Where it is shown.
    pub link: Option<String>,
    /// When it began, nanoseconds since the epoch.
    pub began_ns: u64,
    /// When it ended.
    pub ended_ns: Option<u64>,
    /// Whether it began or ended after the last message.
    pub is_news: bool,
}

/// What has happened to alerts, since the first start on this storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Alerts that opened.
    pub opened: u64,
    /// Alerts that ended.
    pub resolved: u64,
    /// Looks at which a waiver kept a finding from being told.
    pub waived: u64,
    /// Looks at which a maintenance kept a cause from opening an alert.
    pub in_maintenance: u64,
    /// Looks at which there was no room for another alert.
    pub no_room: u64,
}

impl Alerts {
    /// Takes a look into account.
    pub fn look(&mut self, policy: &AlertPolicy, quiet: Quiet<'_>, report: &Report, now_ns: u64) {
        let (causes, waived) = cause::of(policy, report);
        self.counts.waived += waived.len() as u64;
        for id in &waived {
            self.end((report.comparison.clone(), id.clone()), now_ns);
        }
        let there: BTreeSet<String> = causes.iter().map(|cause| cause.id.clone()).collect();
        for cause in causes {
            self.saw(policy, quiet, report, cause, now_ns);
        }
        self.missed(policy, report, &there, now_ns);
    }

    /// A cause is there.
    fn saw(
        &mut self,
        policy: &AlertPolicy,
        quiet: Quiet<'_>,
        report: &Report,
        cause: Cause<'_>,
        now_ns: u64,
    ) {
        let open = self.open().count();
        let key = (report.comparison.clone(), cause.id.clone());
        let watched = self.watched.entry(key.clone()).or_default();
        watched.missed = 0;
        if watched.alert.is_none() && quiet.holds(&report.comparison, cause.service) {
            watched.seen = 0;
            self.counts.in_maintenance += 1;
            return;
        }
        watched.seen = watched.seen.saturating_add(1);
        let began_ns = match &mut watched.alert {
            Some(alert) if cause.severity <= alert.severity => {
                alert.annotations = cause.annotations(policy, report);
                return;
            }
            Some(alert) => alert.began_ns,
            None if watched.seen < policy.open_after => return,
            None if open >= policy.max_open => {
                self.counts.no_room += 1;
                return;
            }
            None => now_ns,
        };
        self.end(key.clone(), now_ns);
        let alert = Alert {
            severity: cause.severity,
            labels: cause.labels(policy, report),
            annotations: cause.annotations(policy, report),
            link: cause.link(policy, report),
            began_ns,
            ended_ns: None,
            is_news: true,
        };
        let seen = policy.open_after;
        self.watched.insert(key, Watched { seen, missed: 0, alert: Some(alert) });
        self.counts.opened += 1;
        self.news = true;
    }

    /// Whatever else is known of a comparison is not there. A look without data closes nothing.
    fn missed(&mut self, policy: &AlertPolicy, report: &Report, there: &BTreeSet<String>, now_ns: u64) {
        let mut gone = Vec::new();
        for (key, watched) in self.watched.iter_mut() {
            if key.0 != report.comparison || there.contains(&key.1) {
                continue;
            }
            if report.verdict != Verdict::NoData {
                (watched.seen, watched.missed) = (0, watched.missed.saturating_add(1));
            }
            if watched.alert.is_none() || watched.missed >= policy.close_after {
                gone.push(key.clone());
            }
        }
        gone.into_iter().for_each(|key| self.end(key, now_ns));
    }

    /// Forgets a cause; its alert, if it has one, has ended.
    fn end(&mut self, key: (String, String), now_ns: u64) {
        let Some(alert) = self.watched.remove(&key).and_then(|watched| watched.alert) else { return };
        self.ended.push_back(Alert { ended_ns: Some(now_ns), is_news: true, ..alert });
        self.counts.resolved += 1;
        self.news = true;
    }

    /// Ends what belongs to comparisons that are not made any more, or to nobody.
    pub fn keep_only(&mut self, comparisons: &[&str], now_ns: u64) {
        let gone = self.watched.keys().filter(|(name, _)| !comparisons.contains(&name.as_str()));
        let gone: Vec<_> = gone.cloned().collect();
        gone.into_iter().for_each(|key| self.end(key, now_ns));
    }

    /// Forgets everything but the counts, without a word to anybody.
    pub fn forget(&mut self) {
        *self = Alerts { counts: self.counts, ..Alerts::default() };
    }

    /// Those that are open.
    pub fn open(&self) -> impl Iterator<Item = &Alert> + '_ {
        self.watched.values().filter_map(|watched| watched.alert.as_ref())
    }

    /// Whether a message is due: something began or ended, or receivers would soon think that it had ended.
    pub fn is_due(&self, policy: &AlertPolicy, now_ns: u64) -> bool {
        let anything = self.open().next().is_some() || !self.ended.is_empty();
        let again_ns = self.told_ns.saturating_add(policy.resolve_timeout_ns / RESENT);
        self.news || (anything && (now_ns >= again_ns || now_ns < self.told_ns))
    }

    /// All that there is to tell: the open ones, then those that ended within the last `resolve_timeout`. From here on nothing
    /// of it is news.
    pub fn tell(&mut self, policy: &AlertPolicy, now_ns: u64) -> Vec<Alert> {
        let is_old = |alert: &Alert| {
            let ended_ns = alert.ended_ns.unwrap_or(now_ns);
            !alert.is_news && ended_ns.saturating_add(policy.resolve_timeout_ns) <= now_ns
        };
        while self.ended.front().is_some_and(is_old) || self.ended.len() > policy.max_open {
            self.ended.pop_front();
        }
        // One that began again has the labels of the one that ended, and the later word counts.
        let open: BTreeSet<&BTreeMap<String, String>> = self.open().map(|alert| &alert.labels).collect();
        let ended = self.ended.iter().filter(|alert| !open.contains(&alert.labels));
        let all = self.open().chain(ended).cloned().collect();
        let known = self.watched.values_mut().filter_map(|watched| watched.alert.as_mut());
        known.chain(&mut self.ended).for_each(|alert| alert.is_news = false);
        (self.news, self.told_ns) = (false, now_ns);
        all
    }
}

/// How often an open alert is told before it would expire.
const RESENT: u64 = 3;

#[cfg(test)]
mod tests;
