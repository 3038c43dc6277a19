//! What to show first, and how much of it: the operations of a report by importance.
//!
//! A report flows in, references into it flow out. Divergent comes before inconclusive before no data before parity;
//! among equals more traffic comes first, then the name, so that the order never depends on chance.

use crate::judge::curves::OperationName;
use crate::judge::verdict::{OperationResult, ServiceResult};
use crate::judge::{Report, Verdict};

/// One operation with the service that it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The service.
    pub service: &'a ServiceResult,
    /// The operation.
    pub operation: &'a OperationResult,
}

impl<'a> Row<'a> {
    /// The operation's name, with all that belongs to it.
    pub fn name(&self) -> OperationName<'a> {
        let (service, operation) = (&self.service.service, self.operation);
        OperationName { service, operation: &operation.operation, kind: &operation.kind }
    }
}

/// Every operation of a report, most important first.
pub fn operations(report: &Report) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = report
        .services
        .iter()
        .flat_map(|service| service.operations.iter().map(move |operation| Row { service, operation }))
        .collect();
    rows.sort_by(|a, b| {
        let of = |row: &Row<'_>| (rank(row.operation.verdict), std::cmp::Reverse(traffic(row.operation)));
        of(a).cmp(&of(b)).then_with(|| name(a).cmp(&name(b)))
    });
    rows
}

/// Requests of an operation on both sides.
pub fn traffic(operation: &OperationResult) -> u64 {
    operation.latency.n_baseline.saturating_add(operation.latency.n_candidate)
}

fn name<'a>(row: &Row<'a>) -> (&'a str, &'a str, &'a str) {
    (&row.service.service, &row.operation.operation, &row.operation.kind)
}

/// 0 for what matters most.
pub fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Divergent => 0,
        Verdict::Inconclusive => 1,
        Verdict::NoData => 2,
        Verdict::Parity => 3,
    }
}

/// In words what was left out: `and 12 more at parity`, `and 3 more inconclusive, 12 more at parity`; `None` for
/// nothing.
pub fn left_out(rows: &[Row<'_>]) -> Option<String> {
    let mut parts = Vec::new();
    for (verdict, words) in [
        (Verdict::Divergent, "divergent"),
        (Verdict::Inconclusive, "inconclusive"),
        (Verdict::NoData, "without data"),
        (Verdict::Parity, "at parity"),
    ] {
        let n = rows.iter().filter(|row| row.operation.verdict == verdict).count();
        if n > 0 {
            parts.push(format!("{n} more {words}"));
        }
    }
    if parts.is_empty() { None } else { Some(format!("and {}", parts.join(", "))) }
}
