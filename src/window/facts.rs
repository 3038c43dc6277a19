//! What items themselves say: feature flags' variants, and attributes of info metrics and events that are facts.
//!
//! The steady state of a flag that is evaluated again allocates nothing. Info metrics and events whose attributes are
//! facts are few, and are read anew each time.

use super::shard::{Home, Said, Shard, said};
use super::statements::Told;
use crate::model::InstanceId;
use crate::model::facts::FLAG_EVENTS;
use crate::wire::any_value::AnyValue;
use std::hash::BuildHasher;

impl Shard {
    /// Notes what an event of this name says with its attributes.
    pub(super) fn note_event<'a>(
        &mut self,
        home: Home,
        window: usize,
        name: &str,
        attributes: impl Iterator<Item = (&'a str, AnyValue<'a>)>,
    ) {
        if FLAG_EVENTS.contains(&name) {
            self.note_flag(home, window, attributes);
        } else if self.rules.facts.keep_of(name) {
            self.note_attributes(home, window, name, attributes);
        }
    }

    /// Notes the attributes of a metric's point or an event that are facts.
    pub(super) fn note_attributes<'a>(
        &mut self,
        home: Home,
        window: usize,
        name: &str,
        attributes: impl Iterator<Item = (&'a str, AnyValue<'a>)>,
    ) {
        let facts: Vec<(String, String)> = attributes
            .map(|(key, value)| (format!("{name}[{key}]"), value))
            .filter(|(key, _)| self.rules.facts.keep(key))
            .map(|(key, value)| (key, value.to_text()))
            .collect();
        let facts = facts.iter().map(|(key, value)| (key.as_str(), value.clone()));
        let said = said(self.shared.statement(&self.rules, home.instance, facts));
        self.note(home, window, Told::Item, said.as_ref());
    }

    fn note_flag<'a>(
        &mut self,
        home: Home,
        window: usize,
        attributes: impl Iterator<Item = (&'a str, AnyValue<'a>)>,
    ) {
        let (mut flag, mut variant, mut value) = ("", None, None);
        for (key, said) in attributes {
            match (key, said) {
                ("feature_flag.key", AnyValue::Str(text)) => flag = text,
                ("feature_flag.result.variant" | "feature_flag.variant", AnyValue::Str(text)) => {
                    variant = Some(text);
                }
                // Providers that know no variants tell the value.
                ("feature_flag.result.value" | "feature_flag.value", said) => value = Some(said.to_text()),
                _ => {}
            }
        }
        let Some(variant) = variant.or(value.as_deref()) else { return };
        let key = self.shared.hasher.hash_one((flag, variant));
        let said = self.flags.get(&key).unwrap_or_else(|| {
            let name = format!("feature_flag.{flag}");
            let fact = self.rules.facts.keep(&name).then(|| (name.as_str(), variant.to_owned()));
            let said: Said = said(self.shared.statement(&self.rules, InstanceId::UNNAMED, fact));
            self.flags.insert(key, said.clone());
            said
        });
        self.note(home, window, Told::Flag, said.as_ref());
    }
}
