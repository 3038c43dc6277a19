//! What an alert comes from, and what it says: labels, annotations, links.

use super::AlertPolicy;
use crate::judge::Report;
use crate::judge::slo::{Severity, SloResult};
use crate::judge::verdict::{Aspect, Finding};
use crate::report::html::route;
use std::collections::BTreeMap;

/// The longest value of a label, in bytes.
const LABEL_BYTES_MOST: usize = 256;
/// The longest text of an annotation, in bytes.
const TEXT_BYTES_MOST: usize = 2_048;
/// The runbook of error budgets that are spent too fast.
pub const BUDGET_RUNBOOK: &str = "budget";

/// Something that somebody should be told while it is there.
pub struct Cause<'r> {
    /// What tells it from the others of its comparison.
    pub id: String,
    /// How soon somebody should look.
    pub severity: Severity,
    /// Whose it is.
    pub service: Option<&'r str>,
    what: What<'r>,
}

enum What<'r> {
    Finding(&'r Finding),
    Budget(&'r SloResult),
}

/// The causes of a look, the most important first, and the ids of findings that a waiver keeps from being one.
pub fn of<'r>(policy: &AlertPolicy, report: &'r Report) -> (Vec<Cause<'r>>, Vec<String>) {
    let told = report.findings.iter().filter_map(|finding| Some((finding, policy.severity(finding)?)));
    let (waived, open): (Vec<_>, Vec<_>) = told.partition(|(finding, _)| finding.waived_by.is_some());
    let budgets = report.slos.iter().filter_map(|slo| {
        let service = slo.service.as_deref();
        let id = format!("slo {} {}", slo.slo, service.unwrap_or_default());
        Some(Cause { id, severity: slo.burning?, service, what: What::Budget(slo) })
    });
    let findings = open.into_iter().map(|(finding, severity)| Cause {
        id: finding.id.clone(),
        severity,
        service: finding.service.as_deref(),
        what: What::Finding(finding),
    });
    (budgets.chain(findings).collect(), waived.into_iter().map(|(finding, _)| finding.id.clone()).collect())
}

/// The name of the runbook of findings of an aspect.
pub fn runbook(aspect: Aspect) -> &'static str {
    aspect.as_str()
}

impl Cause<'_> {
    fn aspect(&self) -> Option<Aspect> {
        match self.what {
            What::Finding(finding) => Some(finding.aspect),
            What::Budget(slo) => slo.aspect,
        }
    }

    /// Who and what it is about; all that there is of it stays the same as long as the cause is there. The names are those of
    /// the metrics.
    pub fn labels(&self, policy: &AlertPolicy, report: &Report) -> BTreeMap<String, String> {
        let (namespace, service) = match self.service.map(|service| service.split_once('/')) {
            Some(Some((namespace, name))) => (Some(namespace), Some(name)),
            _ => (None, self.service),
        };
        let (name, operation, finding, slo, owner) = match self.what {
            What::Finding(f) => (
                "ParityFinding",
                f.operation.as_deref(),
                Some(&*f.id),
                None,
                f.owner.as_deref().or(report.owner.as_deref()),
            ),
            What::Budget(slo) => ("ParityBudgetBurn", None, None, Some(&*slo.slo), report.owner.as_deref()),
        };
        let all = [
            ("alertname", Some(name)),
            ("severity", Some(self.severity.as_str())),
            ("comparison", Some(&report.comparison)),
            ("baseline", Some(&report.baseline.environment)),
            ("candidate", Some(&report.candidate.environment)),
            ("aspect", self.aspect().map(Aspect::as_str)),
            ("service_name", service),
            ("service_namespace", namespace),
            ("operation", operation),
            ("finding", finding),
            ("slo", slo),
            ("owner", owner),
            ("tenant", policy.tenant.as_deref()),
        ];
        named(all, LABEL_BYTES_MOST)
    }

    /// What it says now.
    pub fn annotations(&self, policy: &AlertPolicy, report: &Report) -> BTreeMap<String, String> {
        let place = match self.service {
            Some(service) => format!("{service} in {}", report.comparison),
            None => report.comparison.clone(),
        };
        let (summary, description, action, runbook) = match self.what {
            What::Finding(f) => {
                (format!("{place}: {}", f.title), f.message.clone(), &*f.action, runbook(f.aspect))
            }
            What::Budget(slo) => (
                format!("{place}: the error budget of {} is spent too fast", slo.slo),
                of_budget(slo),
                "Look at the findings of this service, or hold the release.",
                BUDGET_RUNBOOK,
            ),
        };
        let runbook = format!("{}/{runbook}.md", policy.runbooks.trim_end_matches('/'));
        let all = [
            ("summary", Some(&*summary)),
            ("description", Some(&description)),
            ("action", Some(action)),
            ("runbook_url", Some(&runbook)),
            ("environment_runbook_url", report.candidate.runbook.as_deref()),
        ];
        named(all, TEXT_BYTES_MOST)
    }

    /// Where it is shown.
    pub fn link(&self, policy: &AlertPolicy, report: &Report) -> Option<String> {
        let page = policy.page.as_ref()?.trim_end_matches('/');
        let path = match self.what {
            What::Finding(finding) => route::of_finding(&finding.id),
            What::Budget(_) => route::of_comparison(&report.comparison),
        };
        Some(format!("{page}{path}"))
    }
}

fn of_budget(slo: &SloResult) -> String {
    let rates = slo.burn.iter().filter_map(|burn| {
        Some(format!("{:.1} times as fast as it may be over {}", burn.rate?, minutes(burn.window_s)))
    });
    let remaining = match slo.remaining {
        Some(remaining) => format!("{:.0} % of it is left", remaining * 100.0),
        None => "too few looks are judged to say what is left of it".to_owned(),
    };
    format!(
        "{} of {} judged looks were divergent, and {:.4} % may be. The budget is spent {}; {remaining}.",
        slo.bad,
        slo.bad + slo.good,
        (1.0 - slo.target) * 100.0,
        rates.collect::<Vec<_>>().join(", ")
    )
}

fn minutes(seconds: f64) -> String {
    format!("{:.0} min", seconds / 60.0)
}

/// What there is, each text cut at a character.
fn named<const N: usize>(all: [(&str, Option<&str>); N], bytes_most: usize) -> BTreeMap<String, String> {
    let there =
        all.into_iter().filter_map(|(name, text)| Some((name, text.filter(|text| !text.is_empty())?)));
    there.map(|(name, text)| (name.to_owned(), cut(text, bytes_most))).collect()
}

fn cut(text: &str, bytes_most: usize) -> String {
    let end = (0..=bytes_most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
}
