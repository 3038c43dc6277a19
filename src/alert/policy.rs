//! What people decide about alerts.

use crate::judge::policy::names_service;
use crate::judge::slo::Severity;
use crate::judge::verdict::{Aspect, Finding, Level};

/// When there is an alert, and what it links to.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertPolicy {
    /// Looks in a row at which a cause is there before its alert opens.
    pub open_after: u64,
    /// Looks in a row from which it is absent before its alert closes.
    pub close_after: u64,
    /// After how long without a word a receiver takes an alert for resolved, nanoseconds.
    pub resolve_timeout_ns: u64,
    /// Alerts that are open at a time.
    pub max_open: usize,
    /// How urgent findings are; later rules win over earlier ones and over the usual.
    pub severities: Vec<SeverityRule>,
    /// What stands in front of a runbook's name.
    pub runbooks: String,
    /// Where people reach the page of results.
    pub page: Option<String>,
    /// The label `tenant`, where there are tenants: who receives an alert tells it by its labels.
    pub tenant: Option<String>,
}

/// How urgent some findings are.
#[derive(Clone, Debug, PartialEq)]
pub struct SeverityRule {
    /// Of which services; `None` of all.
    pub service: Option<String>,
    /// Of which aspect; `None` of all.
    pub aspect: Option<Aspect>,
    /// Of which level; `None` of all.
    pub level: Option<Level>,
    /// How soon somebody should look; `None`: they are no alert.
    pub severity: Option<Severity>,
}

impl AlertPolicy {
    /// How soon somebody should look at a finding; `None`: it is no alert. Where no rule says, one that is critical is a page,
    /// a warning a ticket, and what is only worth knowing is nothing.
    pub fn severity(&self, finding: &Finding) -> Option<Severity> {
        let usual = match finding.level {
            Level::Critical => Some(Severity::Page),
            Level::Warning => Some(Severity::Ticket),
            Level::Info => None,
        };
        let rule = self.severities.iter().rev().find(|rule| rule.matches(finding));
        rule.map_or(usual, |rule| rule.severity)
    }
}

impl SeverityRule {
    fn matches(&self, finding: &Finding) -> bool {
        let service = finding.service.as_deref().unwrap_or("");
        self.service.as_ref().is_none_or(|pattern| names_service(pattern, service))
            && self.aspect.is_none_or(|aspect| aspect == finding.aspect)
            && self.level.is_none_or(|level| level == finding.level)
    }
}
