//! The error budgets of live comparisons: each look counts in them. Cold plane.

use super::Engine;
use crate::judge::Report;
use crate::judge::slo::{Budgets, LookTime};
use std::collections::BTreeMap;

impl Engine {
    /// Counts a look in the error budgets, and tells in the report what is left of them.
    pub(super) fn spend(&mut self, report: &mut Report) {
        let grid = self.ingest.shared.grid;
        let Some(newest) = self.ring.back().map(|window| window.index) else { return };
        let look = LookTime { at_ns: grid.end_ns(newest), every_ns: grid.width_ns() };
        let policy = &self.plan.policy;
        let budgets = self.budgets.entry(report.comparison.clone()).or_default();
        let (results, cut) = budgets.look(&policy.slos, &policy.maintenance, report, look);
        report.slos = results;
        if cut > 0 {
            report.limits_hit.push(format!("slos: {cut}"));
        }
    }

    /// The error budgets by comparison: what [`Engine::resume_budgets`] goes on with.
    pub fn budgets(&self) -> &BTreeMap<String, Budgets> {
        &self.budgets
    }

    /// Goes on with the error budgets that an engine before this one had.
    pub fn resume_budgets(&mut self, budgets: BTreeMap<String, Budgets>) {
        self.budgets = budgets;
        self.forget_comparisons();
    }
}
