//! New kinds of failure: does the candidate fail in a way that the baseline never did?
//!
//! A rate within tolerance can hide another failure in place of the old one. *Question.* Could an error type that only the
//! candidate shows be as frequent in the baseline? *Statistic.* With x failures of that type on the candidate and none on the
//! baseline, given x each lay on the candidate's side with the chance n_C/(n_B + n_C): p = (n_C/(n_B + n_C))^x, times the
//! number of types (Bonferroni). Failures come in bursts, so p has to be far below 5 %, and x at least five. It is a warning
//! and decides nothing: the rate decides.

use super::findings::{Draft, Findings, numbers};
use super::verdict::{Aspect, Level};
use crate::model::{EnvironmentId, ItemKind, KnownNames, ServiceKey};
use crate::window::SealedWindow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The p-value at which a new type is no chance.
const SURE: f64 = 0.001;
/// Fewer failures are worth no finding.
const COUNT_MIN: u64 = 5;

/// Failures by service and error type: the baseline's and the candidate's.
#[derive(Debug, Default)]
pub struct ErrorTypes(BTreeMap<ServiceKey, BTreeMap<Arc<str>, [u64; 2]>>);

impl ErrorTypes {
    /// Counts the failures in both sides' windows.
    pub fn of(names: &KnownNames, sides: [(EnvironmentId, &[&SealedWindow]); 2]) -> ErrorTypes {
        let mut types = ErrorTypes::default();
        for (side, (environment, windows)) in sides.into_iter().enumerate() {
            let seen = windows.iter().flat_map(|window| &window.presence);
            for ((_, item), seen) in seen.filter(|((env, _), _)| *env == environment) {
                let item = names.item_key(*item);
                if item.kind == ItemKind::ErrorType {
                    let of_service = types.0.entry(item.service.clone()).or_default();
                    of_service.entry(item.name.clone()).or_default()[side] += seen.count;
                }
            }
        }
        types
    }

    /// Tells of the types of one service that are new; `n` are its spans on both sides.
    pub fn of_service(&self, service: &ServiceKey, n: [u64; 2], findings: &mut Findings) {
        let Some(types) = self.0.get(service) else { return };
        if n.contains(&0) {
            return;
        }
        let [baseline, candidate] = n.map(|n| n as f64);
        let chance = candidate / (baseline + candidate);
        for (name, [_, count]) in types.iter().filter(|(_, [there, here])| *there == 0 && *here >= COUNT_MIN)
        {
            let p = (chance.powf(*count as f64) * types.len() as f64).min(1.0);
            if p <= SURE {
                findings.add(new_type(&service.to_string(), name, *count, p));
            }
        }
    }
}

fn new_type<'a>(service: &'a str, name: &'a str, count: u64, p: f64) -> Draft<'a> {
    let mut evidence = numbers([("p_corrected", Some(p))]);
    evidence.insert("count".to_owned(), count.into());
    evidence.insert("error_type".to_owned(), name.into());
    Draft {
        level: Level::Warning,
        aspect: Aspect::Errors,
        service: Some(service),
        operation: None,
        subject: name,
        title: "new error type".to_owned(),
        message: format!(
            "{service} fails with {name} in the candidate, {count} time(s); the baseline never did."
        ),
        action: "Look at the candidate's failed spans of this type.",
        evidence,
        traffic: count,
    }
}
