//! How often is the judge wrong on this traffic? The baseline against itself.
//!
//! The baseline's windows are cut into eight stretches of equal length; every way to give half of them to one side
//! and half to the other is a comparison in which nothing differs. The share of those that are called divergent is the
//! judge's false-alarm rate here, whatever the traffic is like. An operation that is called divergent in more than twice
//! the level that was asked for is not judged honestly, and the judge abstains from calling it divergent.
//!
//! Neighbouring stretches on both sides hide drift that is slower than a stretch; what remains is a lower bound.

use super::compare::{Context, compare};
use super::policy::Comparison;
use super::verdict::{CalibrationResult, Verdict};
use crate::model::SeriesKey;
use crate::window::SealedWindow;
use std::collections::BTreeMap;

/// Stretches of the baseline: eight, so that there are 35 ways to halve them.
const SEGMENTS: usize = 8;
/// Windows in a stretch at least.
const WINDOWS_MIN: usize = 2;

/// What halving the baseline showed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calibration {
    splits: u64,
    divergent: u64,
    /// Service, operation and kind of what was called divergent, with how often.
    operations: BTreeMap<(String, String, String), u64>,
}

impl Calibration {
    /// Halves the context's baseline in every way; `None` when it has fewer than 16 windows with telemetry.
    pub fn of(context: &Context<'_>) -> Option<Calibration> {
        let environment = context.names.find_environment(&context.comparison.baseline)?;
        let active = |window: &&&SealedWindow| window.cells.has(environment);
        let windows: Vec<&SealedWindow> = context.baseline.iter().filter(active).copied().collect();
        if windows.len() < SEGMENTS * WINDOWS_MIN {
            return None;
        }
        let itself = Comparison {
            candidate: context.comparison.baseline.clone(),
            offset_ns: 0,
            ..context.comparison.clone()
        };
        let mut found = Calibration::default();
        for half in halves() {
            let (one, other) = split(&windows, half);
            let again = Context {
                comparison: &itself,
                baseline: one,
                candidate: other,
                generated_at: String::new(),
                live: false,
                snapshot: None,
                shift_windows: 0,
                calibration: None,
                ..*context
            };
            found.take(&again);
        }
        Some(found)
    }

    fn take(&mut self, context: &Context<'_>) {
        let report = compare(context, None).report;
        let divergent = report.services.iter().flat_map(|service| {
            let wrong = service.operations.iter().filter(|operation| {
                operation.latency.verdict == Verdict::Divergent
                    || operation.errors.verdict == Verdict::Divergent
            });
            wrong.map(|operation| {
                (service.service.clone(), operation.operation.to_string(), operation.kind.to_string())
            })
        });
        let divergent: Vec<_> = divergent.collect();
        self.splits += 1;
        self.divergent += u64::from(!divergent.is_empty());
        divergent.into_iter().for_each(|operation| *self.operations.entry(operation).or_default() += 1);
    }

    /// In which share of the halvings an operation was called divergent, if that is more than twice `alpha`.
    pub fn dishonest(&self, series: &SeriesKey, alpha: f64) -> Option<f64> {
        let key = (series.service.to_string(), series.operation.to_string(), series.kind.as_str().to_owned());
        let share = *self.operations.get(&key)? as f64 / self.splits as f64;
        (share > 2.0 * alpha).then_some(share)
    }

    /// For the report.
    pub fn result(&self) -> CalibrationResult {
        CalibrationResult { splits: self.splits, divergent: self.divergent }
    }
}

/// Every choice of half of the segments that has the first one, as bits: the others are the same with sides exchanged.
fn halves() -> impl Iterator<Item = u32> {
    (0..1_u32 << SEGMENTS).filter(|half| half & 1 == 1 && half.count_ones() as usize == SEGMENTS / 2)
}

fn split<'w>(windows: &[&'w SealedWindow], half: u32) -> (Vec<&'w SealedWindow>, Vec<&'w SealedWindow>) {
    let numbered = windows.iter().enumerate().map(|(at, window)| (at * SEGMENTS / windows.len(), *window));
    let (one, other): (Vec<_>, Vec<_>) = numbered.partition(|(segment, _)| half >> segment & 1 == 1);
    let bare = |side: Vec<(usize, &'w SealedWindow)>| side.into_iter().map(|(_, window)| window).collect();
    (bare(one), bare(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_segments_are_halved_in_35_ways() {
        assert_eq!(halves().count(), 35);
        assert!(halves().all(|half| half.count_ones() == 4 && half & 1 == 1));
    }
}
