//! What is said of ordinary metrics: those that are not at parity, and how many there are.

use super::format;
use super::order::rank;
use crate::judge::value::{interval, quantity};
use crate::judge::verdict::{ServiceResult, ValueResult};
use crate::judge::{Report, Verdict};

/// A metric with the service that it belongs to.
pub type ValueRow<'a> = (&'a ServiceResult, &'a ValueResult);

/// Every metric of a report, in order of service.
fn all(report: &Report) -> impl Iterator<Item = ValueRow<'_>> {
    report.services.iter().flat_map(|service| service.values.iter().map(move |value| (service, value)))
}

/// The metrics that are worth a line, most important first: those that decide and are not at parity, then those that
/// nobody asked about and differ. What waivers accept counts as parity.
pub fn notable(report: &Report) -> Vec<ValueRow<'_>> {
    let worth = |(_, value): &ValueRow<'_>| match value.decides || value.configured {
        true => value.counted() != Verdict::Parity,
        false => value.counted() == Verdict::Divergent,
    };
    let mut rows: Vec<ValueRow<'_>> = all(report).filter(worth).collect();
    rows.sort_by_key(|(_, value)| (!value.decides, rank(value.verdict)));
    rows
}

/// `19 of 21 that decide at parity, 140 as evidence`; `None` without any metric.
pub fn counts(report: &Report) -> Option<String> {
    let (deciding, evidence): (Vec<_>, Vec<_>) = all(report).partition(|(_, value)| value.decides);
    let at_parity = |rows: &[ValueRow<'_>]| {
        let n = rows.iter().filter(|(_, value)| value.counted() == Verdict::Parity).count();
        format!("{} of {}", format::count(n as u64), format::count(rows.len() as u64))
    };
    match (deciding.is_empty(), evidence.is_empty()) {
        (true, true) => None,
        (false, true) => Some(format!("{} that decide at parity", at_parity(&deciding))),
        (true, false) => Some(format!("{} shown to be at parity, none decides", at_parity(&evidence))),
        (false, false) => Some(format!(
            "{} that decide at parity, {} that are evidence",
            at_parity(&deciding),
            at_parity(&evidence)
        )),
    }
}

/// Both sides and the change, `100 % → 92.53 %, -7.465 [-16.9, +1.97]`; of texts how many there are.
pub fn numbers(value: &ValueResult) -> String {
    let sides = format!("{} → {}", quantity(value.baseline, value), quantity(value.candidate, value));
    if value.statistic == "equal" {
        return format!("{sides} value(s)");
    }
    match value.baseline.and(value.candidate) {
        Some(_) => format!("{sides}, {}", interval(value)),
        None => sides,
    }
}
