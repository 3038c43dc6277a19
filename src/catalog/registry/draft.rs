//! Files of a registry → groups as they are written, references not followed yet.

use super::super::form::{Instrument, ValueType};
use super::{Attribute, Deprecated};
use crate::model::SpanKind;
use crate::yaml::{Node, Place, Problem, Problems, Value};
use std::collections::BTreeMap;

/// What the files of a registry say so far.
#[derive(Debug, Default)]
pub struct Drafts {
    /// Attributes and templates, by name.
    pub(super) attributes: BTreeMap<String, (bool, Attribute)>,
    /// Groups, by id.
    pub(super) groups: BTreeMap<String, Group>,
    /// References of refinements: to what sort, by which name, from which group.
    pub(super) refinements: Vec<(Sort, String, String, Place)>,
    any: bool,
}

/// What a group describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Attributes,
    Metric,
    Event,
    Span,
}

/// A group as it is written.
#[derive(Debug)]
pub(super) struct Group {
    pub place: Place,
    pub sort: Sort,
    /// The metric's or event's name, the span's type.
    pub name: String,
    /// Groups whose attributes it has too: those that it extends first, then those that it names.
    pub groups: Vec<(String, Place)>,
    /// Attributes, with whether they are required where that is said.
    pub attributes: Vec<(String, Option<bool>, Place)>,
    pub kind: Option<SpanKind>,
    pub instrument: Option<Instrument>,
    pub unit: Option<String>,
    pub deprecated: Option<Deprecated>,
}

impl Drafts {
    /// Whether there was a file of a registry.
    pub(super) fn any(&self) -> bool {
        self.any
    }

    /// Adds a file that is a list of groups.
    pub fn read_groups(&mut self, root: &Node, problems: &mut Problems) {
        self.any = true;
        for node in list(root, "groups", problems) {
            let Some(id) = name_of(node, "id", "a group", problems) else { continue };
            let sort = match said(node, "type") {
                None | Some("attribute_group" | "entity" | "resource" | "scope" | "undefined") => {
                    Sort::Attributes
                }
                Some("metric") => Sort::Metric,
                // An old form: what belongs to several metrics.
                Some("metric_group") => Sort::Attributes,
                Some("event") => Sort::Event,
                Some("span") => Sort::Span,
                Some(other) => {
                    let known = "attribute_group, span, event, metric, entity or resource";
                    problems.push(in_group(
                        node,
                        "type",
                        &id,
                        format!("the type {other:?} is none of {known}"),
                    ));
                    continue;
                }
            };
            let named = match sort {
                Sort::Metric => "metric_name",
                _ => "name",
            };
            let name = said(node, named).unwrap_or(&id).to_owned();
            if sort == Sort::Metric && !node.has("metric_name") {
                problems.push(in_group(node, "id", &id, "the metric has no metric_name".to_owned()));
            }
            self.add_group(&id, name, sort, node, "span_kind", problems);
        }
    }

    /// Adds a file of the layout `definition/2`.
    pub fn read_definitions(&mut self, root: &Node, problems: &mut Problems) {
        self.any = true;
        if let Some(format) = root.get("file_format").filter(|format| format.text() != Some("definition/2")) {
            let said = format.text().unwrap_or("(not text)");
            let hint = "this version reads definition/2, and files with groups".to_owned();
            problems.push(format.place.problem(format!("the file format {said:?} is not known"), Some(hint)));
            return;
        }
        for node in list(root, "attributes", problems) {
            self.define(node, "key", "", "attributes", problems);
        }
        for (section, sort, key, prefix) in [
            ("attribute_groups", Sort::Attributes, "id", ""),
            ("entities", Sort::Attributes, "type", "entity."),
            ("metrics", Sort::Metric, "name", "metric."),
            ("events", Sort::Event, "name", "event."),
            ("spans", Sort::Span, "type", "span."),
        ] {
            for node in list(root, section, problems) {
                let Some(name) = name_of(node, key, section, problems) else { continue };
                self.add_group(&format!("{prefix}{name}"), name, sort, node, "kind", problems);
            }
        }
        for (section, sort) in [
            ("metric_refinements", Sort::Metric),
            ("span_refinements", Sort::Span),
            ("event_refinements", Sort::Event),
        ] {
            for node in list(root, section, problems) {
                let Some(id) = name_of(node, "id", section, problems) else { continue };
                let Some(base) = name_of(node, "ref", &id, problems) else { continue };
                self.refinements.push((sort, base, id.clone(), node.place.clone()));
                // Checked for its references; what it refines stands for both.
                self.add_group(&id, id.clone(), Sort::Attributes, node, "kind", problems);
            }
        }
    }

    fn add_group(
        &mut self,
        id: &str,
        name: String,
        sort: Sort,
        node: &Node,
        kind_key: &str,
        problems: &mut Problems,
    ) {
        let mut group = Group {
            place: node.place.clone(),
            sort,
            name,
            groups: Vec::new(),
            attributes: Vec::new(),
            kind: None,
            instrument: None,
            unit: said(node, "unit").map(str::to_owned),
            deprecated: deprecated(node.get("deprecated")),
        };
        if let (Some(parent), Some(at)) = (said(node, "extends"), node.get("extends")) {
            group.groups.push((parent.to_owned(), at.place.clone()));
        }
        if sort == Sort::Span {
            group.kind = said(node, kind_key).and_then(SpanKind::from_text);
            if let (Some(kind), None) = (said(node, kind_key), group.kind) {
                problems.push(in_group(node, kind_key, id, format!("no kind of span is called {kind:?}")));
            }
        }
        if sort == Sort::Metric {
            group.instrument = said(node, "instrument").and_then(Instrument::parse);
            if let (Some(instrument), None) = (said(node, "instrument"), group.instrument) {
                let message = format!("no instrument is called {instrument:?}");
                problems.push(in_group(node, "instrument", id, message));
            }
        }
        let prefix = said(node, "prefix").map_or(String::new(), |prefix| format!("{prefix}."));
        for attribute in list(node, "attributes", problems) {
            self.add_attribute(attribute, &prefix, id, &mut group, problems);
        }
        if let Some(known) = self.groups.get(id) {
            let hint = Some(format!("the other one is at {}", known.place));
            problems.push(node.place.problem(format!("two groups with the id {id}"), hint));
            return;
        }
        self.groups.insert(id.to_owned(), group);
    }

    fn add_attribute(
        &mut self,
        node: &Node,
        prefix: &str,
        id: &str,
        group: &mut Group,
        problems: &mut Problems,
    ) {
        if let Some(referred) = said(node, "ref_group") {
            return group.groups.push((referred.to_owned(), node.place.clone()));
        }
        let name = match said(node, "ref") {
            Some(name) => Some(name.to_owned()),
            None => self.define(node, "id", prefix, id, problems),
        };
        let Some(name) = name else { return };
        let required = node.get("requirement_level").and_then(|level| {
            let word =
                level.text().or_else(|| level.entries().first().map(|(word, _, _)| &**word)).unwrap_or("");
            let known = ["required", "conditionally_required", "recommended", "opt_in"];
            if !known.contains(&word) {
                let message = format!("the requirement level {word:?} is none of {}", known.join(", "));
                problems.push(in_group(node, "requirement_level", id, message));
            }
            known.contains(&word).then_some(word == "required")
        });
        group.attributes.push((name, required, node.place.clone()));
    }

    /// Reads the definition of an attribute; returns its name.
    fn define(
        &mut self,
        node: &Node,
        key: &str,
        prefix: &str,
        group: &str,
        problems: &mut Problems,
    ) -> Option<String> {
        let name = format!("{prefix}{}", name_of(node, key, group, problems)?);
        let (is_template, value) = match value_type(node.get("type")) {
            Ok(read) => read,
            Err(message) => {
                problems.push(in_group(node, "type", group, format!("the attribute {name} {message}")));
                // The name is there; only its type is not known.
                (false, None)
            }
        };
        let attribute = Attribute {
            place: Some(node.place.clone()),
            value,
            deprecated: deprecated(node.get("deprecated")),
        };
        match self.attributes.get(&name) {
            Some((_, known)) if known.value != attribute.value => {
                let place = known.place.as_ref().map_or(String::new(), |place| format!(" at {place}"));
                let message = format!("the attribute {name} has another type than{place}");
                problems.push(in_group(node, "type", group, message));
            }
            Some(_) => {}
            None => drop(self.attributes.insert(name.clone(), (is_template, attribute))),
        }
        Some(name)
    }
}

/// Whether the type is a template, and of which type values are; `None` for any.
fn value_type(node: Option<&Node>) -> Result<(bool, Option<ValueType>), String> {
    let Some(node) = node else { return Err("has no type".to_owned()) };
    if let Value::Map(_) = node.value {
        let members = node.get("members").ok_or("has a type without members".to_owned())?.items();
        // Numbers are written plain and text is mostly quoted; text that looks like a number has quotes.
        let number = |member: &Node| match member.get("value").map(|value| &value.value) {
            Some(Value::Scalar(text, quoted)) => !quoted && text.parse::<i64>().is_ok(),
            _ => false,
        };
        let all_numbers = !members.is_empty() && members.iter().all(number);
        return Ok((false, Some(if all_numbers { ValueType::Int } else { ValueType::String })));
    }
    let text = node.text().unwrap_or("");
    let inner = text.strip_prefix("template[").and_then(|rest| rest.strip_suffix(']'));
    match inner.unwrap_or(text) {
        "any" | "undefined" | "enum" => Ok((inner.is_some(), None)),
        word => match ValueType::parse(word) {
            Some(value) => Ok((inner.is_some(), Some(value))),
            None => Err(format!("has the type {text:?}, which is not known")),
        },
    }
}

fn deprecated(node: Option<&Node>) -> Option<Deprecated> {
    let node = node?;
    match node.text() {
        // An old form: a sentence.
        Some(text) => {
            let name = text.split('`').nth(1).filter(|_| text.to_lowercase().starts_with("replaced by"));
            Some(Deprecated { renamed_to: name.map(str::to_owned), note: text.trim().to_owned() })
        }
        None => Some(Deprecated {
            renamed_to: said(node, "renamed_to").map(str::to_owned),
            note: said(node, "note").unwrap_or("").trim().to_owned(),
        }),
    }
}

fn said<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    node.get(key).and_then(Node::text)
}

fn name_of(node: &Node, key: &str, within: &str, problems: &mut Problems) -> Option<String> {
    let name = said(node, key);
    if name.is_none() {
        problems.push(node.place.problem(format!("{within}: an entry without `{key}`"), None));
    }
    name.map(str::to_owned)
}

fn list<'n>(node: &'n Node, key: &str, problems: &mut Problems) -> &'n [Node] {
    let Some(found) = node.get(key) else { return &[] };
    if !matches!(found.value, Value::List(_)) {
        problems.push(found.place.problem(format!("{key}: not a list"), None));
    }
    found.items()
}

/// A problem of a group, at one of its keys.
fn in_group(node: &Node, key: &str, id: &str, message: String) -> Problem {
    let place = node.get(key).map_or(&node.place, |node| &node.place);
    place.problem(format!("group {id}: {message}"), None)
}
