//! References between groups followed: which attributes a metric, event or span requires.

use super::draft::{Drafts, Group, Sort};
use super::{Metric, Registry, Signal};
use crate::model::nearest::nearest;
use crate::yaml::{Place, Problems};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

/// How many groups may stand over each other.
const DEPTH_MAX: usize = 64;
/// How many attributes all groups may have together, once their references are followed.
const ATTRIBUTES_MAX: usize = 4_000_000;

/// Attributes of a group with those of the groups that it refers to: whether each is required.
type Attributes<'d> = Rc<BTreeMap<&'d str, bool>>;

struct Resolver<'d> {
    drafts: &'d Drafts,
    done: HashMap<&'d str, Attributes<'d>>,
    /// Groups that are being looked at, outermost first.
    path: Vec<&'d str>,
    /// Attributes of the groups that are done.
    attributes: usize,
}

impl Drafts {
    /// The registry that the files make; `None` when there were no such files.
    pub fn resolve(self, problems: &mut Problems) -> Option<Registry> {
        if !self.any() {
            return None;
        }
        let mut registry = Registry::default();
        let mut resolver = Resolver { drafts: &self, done: HashMap::new(), path: Vec::new(), attributes: 0 };
        for (id, group) in &self.groups {
            self.check_references(id, group, problems);
            let attributes = resolver.attributes(id, &group.place, problems);
            let required = attributes.iter().filter(|(_, required)| **required);
            let required = required.map(|(name, _)| (*name).to_owned()).collect();
            registry.add(id, group, required, problems);
        }
        for (sort, base, id, place) in &self.refinements {
            let mut bases = self.groups.iter().filter(|(_, group)| group.sort == *sort);
            if !bases.any(|(known, group)| group.name == *base || known == base) {
                problems
                    .push(place.problem(format!("group {id}: refers to {base}, which is not there"), None));
            }
        }
        for (name, (is_template, attribute)) in self.attributes {
            let table = if is_template { &mut registry.templates } else { &mut registry.attributes };
            table.insert(name, attribute);
        }
        registry.own_namespaces();
        Some(registry)
    }

    fn check_references(&self, id: &str, group: &Group, problems: &mut Problems) {
        for (name, _, place) in
            group.attributes.iter().filter(|(name, ..)| !self.attributes.contains_key(name))
        {
            let hint = nearest(name, self.attributes.keys().map(String::as_str), 2);
            let hint = hint.map(|near| format!("did you mean `{near}`?"));
            let message = format!("group {id}: refers to the attribute {name}, which is not there");
            problems.push(place.problem(message, hint));
        }
    }
}

impl<'d> Resolver<'d> {
    fn attributes(&mut self, id: &'d str, from: &Place, problems: &mut Problems) -> Attributes<'d> {
        if let Some(known) = self.done.get(id) {
            return known.clone();
        }
        let Some(group) = self.drafts.groups.get(id) else { return Attributes::default() };
        if let Some(at) = self.path.iter().position(|open| *open == id) {
            let circle = [&self.path[at..], &[id]].concat().join(", ");
            problems.push(from.problem(format!("group {id}: refers to itself, by way of {circle}"), None));
            return Attributes::default();
        }
        if self.path.len() >= DEPTH_MAX || self.attributes > ATTRIBUTES_MAX {
            let message = match self.attributes > ATTRIBUTES_MAX {
                true => format!("the groups have more than {ATTRIBUTES_MAX} attributes together"),
                false => format!("group {id}: more than {DEPTH_MAX} groups stand over each other"),
            };
            problems.push(from.problem(message, None));
            return Attributes::default();
        }
        self.path.push(id);
        let mut all = BTreeMap::new();
        for (parent, place) in &group.groups {
            if !self.drafts.groups.contains_key(parent) {
                let message = format!("group {id}: refers to the group {parent}, which is not there");
                problems.push(place.problem(message, None));
            }
            all.extend(
                self.attributes(parent, place, problems).iter().map(|(name, required)| (*name, *required)),
            );
        }
        for (name, required, _) in &group.attributes {
            // Where a reference says nothing, what was inherited stays.
            let inherited = all.get(&**name).copied().unwrap_or(false);
            all.insert(name, required.unwrap_or(inherited));
        }
        self.path.pop();
        self.attributes += all.len();
        let all = Rc::new(all);
        self.done.insert(id, all.clone());
        all
    }
}

impl Registry {
    fn add(&mut self, id: &str, group: &Group, required: BTreeSet<String>, problems: &mut Problems) {
        let deprecated = group.deprecated.clone();
        match group.sort {
            Sort::Attributes => {}
            Sort::Event => {
                self.events.insert(group.name.clone(), Signal { kind: None, required, deprecated });
            }
            Sort::Span => {
                self.spans.insert(id.to_owned(), Signal { kind: group.kind, required, deprecated });
            }
            Sort::Metric => {
                let place = Some(group.place.clone());
                let (instrument, unit) = (group.instrument, group.unit.clone());
                self.add_metric(
                    id,
                    &group.name,
                    Metric { place, instrument, unit, required, deprecated },
                    problems,
                );
            }
        }
    }

    /// A metric that is defined twice is the one that is not deprecated; two of those may not disagree.
    fn add_metric(&mut self, id: &str, name: &str, metric: Metric, problems: &mut Problems) {
        let Some(known) = self.metrics.get_mut(name) else {
            self.metrics.insert(name.to_owned(), metric);
            return;
        };
        if known.deprecated.is_some() {
            *known = metric;
        } else if metric.deprecated.is_none()
            && (known.instrument, &known.unit) != (metric.instrument, &metric.unit)
            && let (Some(here), Some(there)) = (&metric.place, &known.place)
        {
            let message =
                format!("group {id}: the metric {name} has another instrument or unit than at {there}");
            problems.push(here.problem(message, None));
        }
    }
}
