//! isotel's own layout, read: a tree in, services out, and what two texts say otherwise of one item.

use super::form::{Instrument, ValueType};
use super::{Item, LAYOUT, Service, Traffic, attribute_kind};
use crate::model::nearest::nearest;
use crate::model::{ItemKind, ItemName, SpanKind};
use crate::yaml::{Node, Place, Problems, Value};
use std::collections::BTreeMap;

/// The sections of a service, in the order in which they are written.
pub const SECTIONS: [(&str, ItemKind); 6] = [
    ("resource", ItemKind::ResourceAttribute),
    ("spans", ItemKind::Span),
    ("span_events", ItemKind::SpanEvent),
    ("metrics", ItemKind::Metric),
    ("logs", ItemKind::Log),
    ("log_attributes", ItemKind::LogAttribute),
];

const SERVICE_KEYS: [&str; 10] = [
    "note",
    "environments",
    "required",
    "traffic",
    "resource",
    "spans",
    "span_events",
    "metrics",
    "logs",
    "log_attributes",
];
const COMMON: [&str; 4] = ["note", "environments", "required", "share"];

/// Adds what a tree says to the services.
pub fn read(root: &Node, services: &mut BTreeMap<String, Service>, problems: &mut Problems) {
    known(root, "", &["catalog", "services"], problems);
    match root.get("catalog") {
        Some(node) if node.text() == Some(LAYOUT) => {}
        Some(node) => {
            let message =
                format!("catalog: the layout {:?} is not known", node.text().unwrap_or("(not text)"));
            problems.push(node.place.problem(message, Some(format!("this version reads {LAYOUT}"))));
        }
        None => {
            let hint = Some(format!("begin with `catalog: {LAYOUT}`"));
            problems.push(root.place.problem("the catalog does not say its layout", hint));
        }
    }
    for (name, place, node) in map(root.get("services"), "services", problems) {
        let service = read_service(name, place, node, problems);
        match services.get_mut(name) {
            Some(known) => join_service(name, known, service, problems),
            None => drop(services.insert(name.clone(), service)),
        }
    }
}

fn read_service(name: &str, place: &Place, node: &Node, problems: &mut Problems) -> Service {
    known(node, name, &SERVICE_KEYS, problems);
    let mut items = BTreeMap::new();
    for (section, kind) in SECTIONS {
        for (item, place, node) in map(node.get(section), &format!("{name}.{section}"), problems) {
            check_name(kind, item, place, problems);
            let path = format!("{name}: {} {item}", kind.as_str());
            items.insert(
                ItemName { kind, name: item.as_str().into() },
                read_item(kind, &path, place, node, problems),
            );
        }
    }
    Service {
        place: Some(place.clone()),
        note: text(node, "note", name, problems),
        environments: words(node, "environments", name, problems),
        required: truth(node, "required", name, problems),
        traffic: traffic(node.get("traffic"), name, problems),
        items,
    }
}

/// Names of spans and logs are those of reports, and a slip in them would expect what can never come.
fn check_name(kind: ItemKind, name: &str, place: &Place, problems: &mut Problems) {
    let (fits, form) = match kind {
        ItemKind::Span => (
            name.strip_suffix(')').and_then(|name| name.rsplit_once(" (")).is_some_and(|(_, kind)| {
                SpanKind::from_text(kind).is_some_and(|known| known.as_str() == kind)
            }),
            "OPERATION (KIND)` with a kind of server, client, producer, consumer or internal, such as `GET /cart (server)",
        ),
        ItemKind::Log => (
            name.starts_with("severity ") || name.starts_with("event "),
            "severity INFO` or `event order.placed",
        ),
        _ => (true, ""),
    };
    if !fits {
        let hint = Some(format!("write `{form}`"));
        problems.push(place.problem(format!("{name:?} is no name of a {}", kind.as_str()), hint));
    }
}

fn read_item(kind: ItemKind, path: &str, place: &Place, node: &Node, problems: &mut Problems) -> Item {
    let mut item = Item { place: Some(place.clone()), ..Item::default() };
    let is_attribute = matches!(
        kind,
        ItemKind::ResourceAttribute
            | ItemKind::LogAttribute
            | ItemKind::OperationAttribute
            | ItemKind::MetricAttribute
    );
    match &node.value {
        Value::Null => return item,
        Value::Scalar(..) if is_attribute => {
            item.form.value = value_type(node, path, problems);
            return item;
        }
        Value::Map(_) => {}
        _ => {
            problems.push(node.place.problem(format!("{path}: not a map of keys"), None));
            return item;
        }
    }
    let own: &[&str] = match kind {
        ItemKind::Span => &["attributes"],
        ItemKind::Metric => &["instrument", "unit", "temporality", "attributes"],
        _ if is_attribute => &["type"],
        _ => &[],
    };
    known(node, path, &[&COMMON[..], own].concat(), problems);
    item.note = text(node, "note", path, problems);
    item.environments = words(node, "environments", path, problems);
    item.required = truth(node, "required", path, problems);
    item.share = share(node, path, problems);
    item.form.value = node.get("type").and_then(|node| value_type(node, path, problems));
    item.form.instrument = node.get("instrument").and_then(|node| {
        let words = Instrument::ALL.map(Instrument::as_str);
        one_of(node, &format!("{path}: instrument"), &words, problems).and_then(Instrument::parse)
    });
    item.form.unit = match node.get("unit").map(|unit| unit.text()) {
        Some(Some("none")) => Some(String::new()),
        _ => text(node, "unit", path, problems),
    };
    item.form.delta = node.get("temporality").and_then(|node| {
        let word = one_of(node, &format!("{path}: temporality"), &["delta", "cumulative"], problems);
        word.map(|word| word == "delta")
    });
    if let Some(kind) = attribute_kind(kind) {
        for (key, place, node) in map(node.get("attributes"), &format!("{path}: attributes"), problems) {
            let attribute = read_item(kind, &format!("{path}: {key}"), place, node, problems);
            item.attributes.insert(key.clone(), attribute);
        }
    }
    item
}

fn value_type(node: &Node, path: &str, problems: &mut Problems) -> Option<ValueType> {
    let words = ValueType::ALL.map(|(_, word)| word);
    one_of(node, &format!("{path}: type"), &words, problems).and_then(ValueType::parse)
}

fn one_of<'n>(node: &'n Node, path: &str, words: &[&str], problems: &mut Problems) -> Option<&'n str> {
    let text = node.text().filter(|text| words.contains(text));
    if text.is_none() {
        let said = node.text().unwrap_or("(not text)");
        let message = format!("{path}: {said:?} is not one of {}", words.join(", "));
        problems.push(node.place.problem(message, None));
    }
    text
}

fn share(node: &Node, path: &str, problems: &mut Problems) -> Option<f64> {
    let node = node.get("share")?;
    let share = node.text().and_then(|text| text.parse().ok()).filter(|share| *share > 0.0 && *share <= 1.0);
    if share.is_none() {
        let message = format!("{path}: share: not a number above 0 and up to 1");
        problems.push(node.place.problem(message, None));
    }
    share
}

fn traffic(node: Option<&Node>, path: &str, problems: &mut Problems) -> Option<Traffic> {
    let node = node?;
    known(node, &format!("{path}: traffic"), &["spans", "points", "logs"], problems);
    let mut count = |key: &str| {
        let Some(node) = node.get(key) else { return 0 };
        let count = node.text().and_then(|text| text.parse().ok());
        if count.is_none() {
            let message = format!("{path}: traffic: {key}: not a whole number");
            problems.push(node.place.problem(message, None));
        }
        count.unwrap_or(0)
    };
    Some(Traffic { spans: count("spans"), points: count("points"), logs: count("logs") })
}

fn text(node: &Node, key: &str, path: &str, problems: &mut Problems) -> Option<String> {
    let node = node.get(key)?;
    if node.text().is_none() {
        problems.push(node.place.problem(format!("{path}: {key}: not text"), None));
    }
    node.text().map(str::to_owned)
}

fn truth(node: &Node, key: &str, path: &str, problems: &mut Problems) -> Option<bool> {
    let node = node.get(key)?;
    one_of(node, &format!("{path}: {key}"), &["true", "false"], problems).map(|word| word == "true")
}

fn words(node: &Node, key: &str, path: &str, problems: &mut Problems) -> Vec<String> {
    let Some(node) = node.get(key) else { return Vec::new() };
    let words: Vec<String> = node.items().iter().filter_map(Node::text).map(str::to_owned).collect();
    if words.is_empty() || words.len() < node.items().len() {
        let hint = Some("for example [prod, staging]".to_owned());
        problems.push(node.place.problem(format!("{path}: {key}: not a list of names"), hint));
    }
    words
}

/// The entries of a map, which may be absent or empty.
fn map<'n>(node: Option<&'n Node>, path: &str, problems: &mut Problems) -> &'n [(String, Place, Node)] {
    let Some(node) = node else { return &[] };
    if !matches!(node.value, Value::Map(_)) {
        problems.push(node.place.problem(format!("{path}: not a map of names"), None));
    }
    node.entries()
}

/// Says which keys are not known.
fn known(node: &Node, path: &str, keys: &[&str], problems: &mut Problems) {
    if !matches!(node.value, Value::Map(_) | Value::Null) {
        problems.push(node.place.problem(format!("{path}: not a map of keys"), None));
    }
    for (key, place, _) in node.entries().iter().filter(|(key, _, _)| !keys.contains(&&**key)) {
        let hint = match nearest(key, keys.iter().copied(), 2) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known here: {}", keys.join(", ")),
        };
        let at = if path.is_empty() { String::new() } else { format!("{path}: ") };
        problems.push(place.problem(format!("{at}unknown key `{key}`"), Some(hint)));
    }
}

/// What another text says of a service that is known already.
fn join_service(name: &str, ours: &mut Service, theirs: Service, problems: &mut Problems) {
    let places = (ours.place.clone(), theirs.place);
    let mut joint = Joint { path: name, places: &places, problems };
    joint.field("note", &mut ours.note, theirs.note);
    joint.field("required", &mut ours.required, theirs.required);
    joint.field("traffic", &mut ours.traffic, theirs.traffic);
    joint.list("environments", &mut ours.environments, theirs.environments);
    for (item, theirs) in theirs.items {
        let path = format!("{name}: {item}");
        match ours.items.get_mut(&item) {
            Some(ours) => join_item(&path, ours, theirs, problems),
            None => drop(ours.items.insert(item, theirs)),
        }
    }
}

fn join_item(path: &str, ours: &mut Item, theirs: Item, problems: &mut Problems) {
    let places = (ours.place.clone(), theirs.place);
    let mut joint = Joint { path, places: &places, problems };
    joint.field("note", &mut ours.note, theirs.note);
    joint.field("required", &mut ours.required, theirs.required);
    joint.field("share", &mut ours.share, theirs.share);
    joint.field("instrument", &mut ours.form.instrument, theirs.form.instrument);
    joint.field("unit", &mut ours.form.unit, theirs.form.unit);
    joint.field("temporality", &mut ours.form.delta, theirs.form.delta);
    joint.field("type", &mut ours.form.value, theirs.form.value);
    joint.list("environments", &mut ours.environments, theirs.environments);
    for (key, theirs) in theirs.attributes {
        match ours.attributes.get_mut(&key) {
            Some(ours) => join_item(&format!("{path}: {key}"), ours, theirs, problems),
            None => drop(ours.attributes.insert(key, theirs)),
        }
    }
}

/// Two texts about one thing.
struct Joint<'a> {
    path: &'a str,
    places: &'a (Option<Place>, Option<Place>),
    problems: &'a mut Problems,
}

impl Joint<'_> {
    fn field<T: PartialEq>(&mut self, key: &str, ours: &mut Option<T>, theirs: Option<T>) {
        match (&ours, theirs) {
            (Some(ours), Some(theirs)) if *ours != theirs => self.disagree(key),
            (None, Some(theirs)) => *ours = Some(theirs),
            _ => {}
        }
    }

    fn list(&mut self, key: &str, ours: &mut Vec<String>, theirs: Vec<String>) {
        match (ours.is_empty(), theirs.is_empty()) {
            (true, false) => *ours = theirs,
            (false, false) if *ours != theirs => self.disagree(key),
            _ => {}
        }
    }

    fn disagree(&mut self, key: &str) {
        let (Some(ours), Some(theirs)) = self.places else { return };
        let message = format!("{}: another `{key}` than at {ours}", self.path);
        let hint = Some("say it once, or twice the same".to_owned());
        self.problems.push(theirs.problem(message, hint));
    }
}
