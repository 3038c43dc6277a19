//! The tree, and how text becomes one. The only file that knows the parser.

use super::problem::{Problem, Problems};
use granit_parser::{Event, Parser, ScalarStyle, ScanError};
use hashbrown::{HashMap, HashSet};
use std::sync::Arc;

/// One text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file's name, for messages.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// The most that is read of one text.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes.
    pub bytes: usize,
    /// Values.
    pub values: usize,
    /// What else to do with a second document in the text.
    pub second_document: &'static str,
    /// What else to do with an alias, where none is read. Where they are, what they repeat counts as values again.
    pub no_alias: Option<&'static str>,
    /// What the text begins with.
    pub begin: &'static str,
}

impl Bounds {
    /// A file that people write by hand.
    pub const FILE: Bounds = Bounds {
        bytes: 4 << 20,
        values: 100_000,
        second_document: "pass it as a second --config",
        no_alias: Some("write the value out, or use ${env:NAME} for what differs"),
        begin: "begin with `receivers:` or `parity:`",
    };
}

/// Levels of one text.
const DEPTH_MAX: usize = 32;

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    source: Arc<str>,
    line: usize,
    column: usize,
}

impl Place {
    /// The beginning of a source.
    pub fn start(source: &str) -> Place {
        Place { source: source.into(), line: 1, column: 1 }
    }

    /// A path that is written here, beside the file that it is written in; as it is on the command line.
    pub fn beside(&self, path: &str) -> std::path::PathBuf {
        let folder =
            std::path::Path::new(&*self.source).parent().filter(|_| !self.source.starts_with("--set "));
        folder.map_or_else(|| path.into(), |folder| folder.join(path))
    }

    /// A problem at this place.
    pub fn problem(&self, message: impl Into<String>, hint: Option<String>) -> Problem {
        Problem {
            source: self.source.to_string(),
            line: self.line,
            column: self.column,
            message: message.into(),
            hint,
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.source, self.line)
    }
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where.
    pub place: Place,
    /// What.
    pub value: Value,
}

/// A YAML value. Scalars stay text: what they mean depends on the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// Text, and whether it was quoted.
    Scalar(String, bool),
    /// A list.
    List(Vec<Node>),
    /// Keys in order, each with its place.
    Map(Vec<(String, Place, Node)>),
}

/// Reads one text. What is wrong is said in `problems`; `None` if so much is wrong that there is no tree.
pub fn parse(source: &Source, bounds: &Bounds, problems: &mut Problems) -> Option<Node> {
    let start = Place::start(&source.name);
    let root = match read(source, bounds, &start, problems) {
        Ok(root) => root.unwrap_or(Node { place: start, value: Value::Null }),
        Err(problem) => {
            problems.push(problem);
            return None;
        }
    };
    match root.value {
        Value::Map(_) => Some(root),
        Value::Null => Some(Node { value: Value::Map(Vec::new()), ..root }),
        _ => {
            let hint = Some(bounds.begin.to_owned());
            problems.push(root.place.problem("the file is not a map of sections", hint));
            None
        }
    }
}

fn read(
    source: &Source,
    bounds: &Bounds,
    start: &Place,
    problems: &mut Problems,
) -> Result<Option<Node>, Problem> {
    if source.text.len() > bounds.bytes {
        let (has, most) = (source.text.len(), bounds.bytes);
        return Err(start.problem(format!("the file has {has} bytes, and {most} are read at most"), None));
    }
    let mut builder = Builder {
        stack: Vec::new(),
        root: None,
        anchors: HashMap::new(),
        values: 0,
        values_max: bounds.values,
    };
    for event in Parser::new_from_str(&source.text) {
        let (event, span) = event.map_err(|error| not_yaml(source, start, &error))?;
        let place = Place { line: span.start.line(), column: span.start.col() + 1, ..start.clone() };
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let quoted = style != ScalarStyle::Plain;
                let value = match &*text {
                    "" | "~" | "null" if !quoted => Value::Null,
                    text => Value::Scalar(text.to_owned(), quoted),
                };
                let node = Node { place, value };
                builder.keep(anchor, &node, 1)?;
                builder.add(node, 1, problems)?;
            }
            Event::SequenceStart(_, anchor, _) => {
                builder.open(Node { place, value: Value::List(Vec::new()) }, anchor)?
            }
            Event::MappingStart(_, anchor, _) => {
                builder.open(Node { place, value: Value::Map(Vec::new()) }, anchor)?
            }
            Event::SequenceEnd | Event::MappingEnd => builder.close(problems)?,
            Event::Alias(anchor) => match bounds.no_alias {
                Some(hint) => return Err(place.problem("aliases are not read", Some(hint.to_owned()))),
                None => builder.repeat(anchor, place, problems)?,
            },
            Event::DocumentStart(..) if builder.root.is_some() => {
                let hint = Some(bounds.second_document.to_owned());
                return Err(place.problem("a second YAML document in one file", hint));
            }
            _ => {}
        }
    }
    Ok(builder.root)
}

fn not_yaml(source: &Source, start: &Place, error: &ScanError) -> Problem {
    let (line, column) = (error.marker().line(), error.marker().col() + 1);
    let place = Place { line, column, ..start.clone() };
    let tab = source.text.lines().nth(line.saturating_sub(1)).is_some_and(|text| text.contains('\t'));
    let hint = tab.then(|| "YAML is indented with spaces, and this line has a tab".to_owned());
    place.problem(format!("not YAML: {}", error.info()), hint)
}

/// A list or map that is not complete yet.
struct Open {
    node: Node,
    /// Its anchor, 0 for none, and how many values there were before it.
    anchor: usize,
    before: usize,
    /// Of a map: the keys so far, and the one that waits for its value.
    keys: HashSet<String>,
    waiting: Option<Waiting>,
}

struct Waiting {
    key: String,
    place: Place,
    /// The key was there before: its value is read and dropped.
    again: bool,
}

struct Builder {
    stack: Vec<Open>,
    root: Option<Node>,
    /// What aliases can repeat, with the number of its values.
    anchors: HashMap<usize, (Node, usize)>,
    values: usize,
    values_max: usize,
}

impl Builder {
    fn open(&mut self, node: Node, anchor: usize) -> Result<(), Problem> {
        if self.stack.len() >= DEPTH_MAX {
            return Err(node.place.problem(format!("nested deeper than {DEPTH_MAX} levels"), None));
        }
        self.stack.push(Open { node, anchor, before: self.values, keys: HashSet::new(), waiting: None });
        Ok(())
    }

    fn close(&mut self, problems: &mut Problems) -> Result<(), Problem> {
        let Some(open) = self.stack.pop() else { return Ok(()) };
        self.keep(open.anchor, &open.node, self.values - open.before + 1)?;
        self.add(open.node, 1, problems)
    }

    fn keep(&mut self, anchor: usize, node: &Node, values: usize) -> Result<(), Problem> {
        if anchor != 0 {
            self.count(values, &node.place)?;
            self.anchors.insert(anchor, (node.clone(), values));
        }
        Ok(())
    }

    fn repeat(&mut self, anchor: usize, place: Place, problems: &mut Problems) -> Result<(), Problem> {
        let Some((node, values)) = self.anchors.get(&anchor) else {
            return Err(place.problem("the alias stands inside of what it repeats", None));
        };
        let (node, values) = (node.value.clone(), *values);
        self.add(Node { place, value: node }, values, problems)
    }

    fn count(&mut self, values: usize, place: &Place) -> Result<(), Problem> {
        self.values += values;
        match self.values > self.values_max {
            true => Err(place.problem(format!("more than {} values", self.values_max), None)),
            false => Ok(()),
        }
    }

    fn add(&mut self, node: Node, values: usize, problems: &mut Problems) -> Result<(), Problem> {
        self.count(values, &node.place)?;
        let Some(parent) = self.stack.last_mut() else {
            self.root.get_or_insert(node);
            return Ok(());
        };
        match &mut parent.node.value {
            Value::List(items) => items.push(node),
            Value::Map(entries) => match parent.waiting.take() {
                Some(Waiting { again: true, .. }) => {}
                Some(Waiting { key, place, .. }) => entries.push((key, place, node)),
                None => {
                    let Value::Scalar(key, _) = node.value else {
                        return Err(node.place.problem("a key must be text", None));
                    };
                    let again = !parent.keys.insert(key.clone());
                    if again {
                        problems.push(node.place.problem(
                            format!("the key `{key}` stands here twice"),
                            Some("remove one of them; the later would silently win".to_owned()),
                        ));
                    }
                    parent.waiting = Some(Waiting { key, place: node.place, again });
                }
            },
            Value::Null | Value::Scalar(..) => {}
        }
        Ok(())
    }
}

impl Node {
    /// A map without entries, from nowhere.
    pub fn empty_map() -> Node {
        Node { place: Place::start("(nothing)"), value: Value::Map(Vec::new()) }
    }

    /// The entries of a map.
    pub fn entries(&self) -> &[(String, Place, Node)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text, _) => Some(text),
            _ => None,
        }
    }

    /// Whether a key is there, with or without a value.
    pub fn has(&self, key: &str) -> bool {
        self.entries().iter().any(|(known, _, _)| known == key)
    }

    /// The value under a key; `None` when absent or null.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let (_, _, node) = self.entries().iter().find(|(known, _, _)| known == key)?;
        (node.value != Value::Null).then_some(node)
    }
}
