//! The error budgets of live comparisons: each look counts in them. Cold plane.

use super::Engine;
use crate::judge::maintenance::Quiet;
use crate::judge::slo::{Budgets, LookTime};
use crate::judge::{Comparison, Report};
use std::collections::BTreeMap;

impl Engine {
    /// Counts a look in the error budgets, and tells in the report what is left of them.
    pub(super) fn spend(&mut self, comparison: &Comparison, report: &mut Report) {
        let mut budgets = self.budgets.remove(&comparison.name).unwrap_or_default();
        let quiet = self.quiet(comparison);
        let look = LookTime { at_ns: quiet.end_ns, every_ns: self.plan.window_ns };
        let (results, cut) = budgets.look(&self.plan.policy.slos, quiet, report, look);
        self.budgets.insert(comparison.name.clone(), budgets);
        report.slos = results;
        if cut > 0 {
            report.limits_hit.push(format!("slos: {cut}"));
        }
    }

    /// The maintenances, and what the latest look at a comparison rests on.
    pub fn quiet(&self, comparison: &Comparison) -> Quiet<'_> {
        Quiet {
            maintenances: &self.plan.policy.maintenance,
            end_ns: self.ring.back().map_or(0, |window| window.end_ns),
            period_ns: self.plan.window_ns.saturating_mul(self.plan.period_windows as u64),
            offset_ns: comparison.offset_ns,
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
