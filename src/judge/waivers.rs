//! Waivers and owners: who accepts a finding, and who should know of it.
//!
//! A waiver that has expired is a finding, because its difference counts again. One that accepts nothing is named too: it
//! may be misspelt, or what it was for is gone.

use super::findings::{Draft, Findings};
use super::policy::{Comparison, Policy, Waiver};
use super::verdict::{Aspect, Finding, Level};
use crate::model::environment::glob;
use std::collections::BTreeMap;

/// Waivers that are written out in one finding.
const SHOWN: usize = 10;

/// The waivers of one comparison, and what they were good for.
pub struct Waivers<'a> {
    policy: &'a Policy,
    comparison: &'a Comparison,
    now_ns: u64,
    /// Findings that each waiver matched, live or expired.
    matched: Vec<u64>,
}

impl<'a> Waivers<'a> {
    /// Nothing has been accepted yet. `now_ns` is in nanoseconds since the epoch.
    pub fn new(policy: &'a Policy, comparison: &'a Comparison, now_ns: u64) -> Waivers<'a> {
        Waivers { policy, comparison, now_ns, matched: vec![0; policy.waivers.len()] }
    }

    /// Notes in each finding who owns it, and who accepts it.
    pub fn apply<'f>(&mut self, findings: impl Iterator<Item = &'f mut Finding>) {
        for finding in findings {
            if finding.owner.is_none() {
                finding.owner = self.policy.owner(finding, self.comparison);
            }
            for (waiver, matched) in self.policy.waivers.iter().zip(&mut self.matched) {
                if !waiver.matches(finding, &self.comparison.name) {
                    continue;
                }
                *matched += 1;
                if finding.waived_by.is_none() && self.now_ns < waiver.expires_ns {
                    finding.waived_by = Some(format!("{} ({})", waiver.reason, waiver.owner));
                }
            }
        }
    }

    /// What there is to say of the waivers themselves.
    pub fn findings(&self) -> Findings {
        let mut findings = Findings::default();
        let of_comparison = |waiver: &Waiver| {
            waiver.comparison.as_ref().is_none_or(|pattern| glob(pattern, &self.comparison.name))
        };
        let all = self.policy.waivers.iter().zip(&self.matched).filter(|(waiver, _)| of_comparison(waiver));
        let (live, expired): (Vec<_>, Vec<_>) = all.partition(|(waiver, _)| self.now_ns < waiver.expires_ns);
        for (waiver, matched) in expired {
            findings.add(self.expired(waiver, &waiver.to_string(), *matched));
        }
        let unused: Vec<String> =
            live.iter().filter(|(_, n)| **n == 0).map(|(waiver, _)| waiver.to_string()).collect();
        if !unused.is_empty() {
            findings.add(unused_waivers(&unused));
        }
        findings
    }

    fn expired<'w>(&self, waiver: &'w Waiver, words: &'w str, matched: u64) -> Draft<'w> {
        let counts = match matched {
            0 => "no finding matches it any more".to_owned(),
            n => format!("{n} finding(s) match it, and it accepts them no more"),
        };
        Draft {
            level: Level::Warning,
            aspect: Aspect::Presence,
            service: None,
            operation: None,
            subject: words,
            title: "waiver expired".to_owned(),
            message: format!(
                "The waiver of {} for {words} expired on {}: {counts}. It was granted because: {}.",
                waiver.owner,
                waiver.expiry_day(),
                waiver.reason
            ),
            action: "Ask its owner: remove the waiver, or grant it anew with a later day.",
            evidence: BTreeMap::from([
                ("owner".to_owned(), waiver.owner.as_str().into()),
                ("expired".to_owned(), waiver.expiry_day().into()),
                ("matches".to_owned(), matched.into()),
            ]),
            traffic: 0,
        }
    }
}

fn unused_waivers(unused: &[String]) -> Draft<'static> {
    let shown: Vec<&str> = unused.iter().take(SHOWN).map(String::as_str).collect();
    let more = match unused.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    Draft {
        level: Level::Info,
        aspect: Aspect::Presence,
        service: None,
        operation: None,
        subject: "unused waivers",
        title: "waivers that match nothing".to_owned(),
        message: format!("{} waiver(s) match no finding: {}{more}.", unused.len(), shown.join("; ")),
        action: "Remove what is no longer needed, and check the spelling of the rest.",
        evidence: BTreeMap::from([
            ("waivers".to_owned(), shown.into()),
            ("total".to_owned(), unused.len().into()),
        ]),
        traffic: 0,
    }
}
