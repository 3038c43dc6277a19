//! A baseline that is a snapshot: what it is, and which of its values mean nothing beside the candidate's.

use super::compare::Context;
use super::findings::{Draft, Findings};
use super::verdict::{Aspect, Level};
use crate::model::redaction::{has_hidden, shown};
use crate::model::{EnvironmentId, Instrument};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// What a judgement knows of a baseline that is a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotSide<'a> {
    /// What it is of, for people.
    pub description: &'a str,
    /// Whether its hashes of hidden values are keyed as the candidate's are.
    pub same_values_key: bool,
    /// The same of its hashes of texts that are only compared.
    pub same_texts_key: bool,
}

impl Context<'_> {
    /// Whether hidden values that are equal have equal hashes on both sides.
    pub(super) fn compares_hidden(&self) -> bool {
        self.snapshot.is_none_or(|snapshot| snapshot.same_values_key)
    }

    /// Whether equal texts have equal hashes on both sides.
    pub(super) fn compares_texts(&self) -> bool {
        self.snapshot.is_none_or(|snapshot| snapshot.same_texts_key)
    }
}

/// Whether a kept value has a hash in the place of what it hides.
pub(super) fn is_hashed(kept: &str) -> bool {
    matches!(shown(kept), Cow::Owned(_))
}

/// Tells of what is not compared: hashes of other keys always differ, which is no difference.
pub(super) fn of_hidden(context: &Context<'_>, baseline: EnvironmentId, findings: &mut Findings) {
    let mut left_out: BTreeSet<String> = BTreeSet::new();
    let names = context.names;
    for window in &context.baseline {
        let facts = window.facts.iter().filter(|((of, ..), _)| *of == baseline && !context.compares_hidden());
        for ((_, service, _), statements) in facts {
            let said = statements.iter().flat_map(|(_, statement, _)| &statement.facts);
            let hashed = said.filter(|(_, value)| is_hashed(value));
            left_out.extend(hashed.map(|(key, _)| format!("{} {key}", names.service_key(*service))));
        }
        for id in window.values.keys().filter(|(of, _)| *of == baseline).map(|(_, id)| *id) {
            let key = names.value_key(id);
            let split = !context.compares_hidden() && has_hidden(&key.split);
            let text = !context.compares_texts() && key.instrument == Instrument::Text;
            if split || text {
                left_out.insert(format!("{} {}", key.service, key.metric));
            }
        }
    }
    let Some(first) = left_out.first() else { return };
    let n = left_out.len();
    findings.add(Draft {
        level: Level::Info,
        aspect: Aspect::Facts,
        service: None,
        operation: None,
        subject: "hidden values",
        title: "hidden values not compared".to_owned(),
        message: format!(
            "{n} value(s) of the snapshot are hashes of other keys than this agent's and are not compared, {first} first."
        ),
        action: "Set parity.redaction.key to one text where snapshots are saved and where they are used, and save this one again.",
        evidence: BTreeMap::from([("values".to_owned(), n.into())]),
        traffic: 0,
    });
}
