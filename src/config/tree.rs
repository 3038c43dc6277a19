//! YAML as a tree that knows where everything stands. The only file that knows the parser.

use super::Source;
use super::problem::{Problem, Problems};
use granit_parser::{Event, Parser, ScalarStyle, Span};
use std::rc::Rc;

/// Bytes of one file.
const TEXT_MAX: usize = 4 << 20;
/// Nodes of one file.
const NODES_MAX: usize = 100_000;
/// Levels of one file.
const DEPTH_MAX: usize = 32;

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    source: Rc<str>,
    line: usize,
    column: usize,
}

impl Place {
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

/// Reads one source.
pub fn parse(source: &Source) -> Result<Node, Problem> {
    let name: Rc<str> = source.name.as_str().into();
    let at =
        |span: &Span| Place { source: name.clone(), line: span.start.line(), column: span.start.col() + 1 };
    let start = Place { source: name.clone(), line: 1, column: 1 };
    if source.text.len() > TEXT_MAX {
        return Err(start.problem(
            format!("the file has {} bytes, and {TEXT_MAX} are read at most", source.text.len()),
            None,
        ));
    }
    let mut builder = Builder { stack: Vec::new(), root: None, nodes: 0 };
    for event in Parser::new_from_str(&source.text) {
        let (event, span) = event.map_err(|error| {
            let place =
                Place { source: name.clone(), line: error.marker().line(), column: error.marker().col() + 1 };
            let tab = source
                .text
                .lines()
                .nth(error.marker().line().saturating_sub(1))
                .is_some_and(|l| l.contains('\t'));
            place.problem(
                format!("not YAML: {}", error.info()),
                tab.then(|| "YAML is indented with spaces, and this line has a tab".to_owned()),
            )
        })?;
        let place = at(&span);
        match event {
            Event::Scalar(text, style, _, _) => {
                let quoted = style != ScalarStyle::Plain;
                let value = match &*text {
                    "" | "~" | "null" if !quoted => Value::Null,
                    text => Value::Scalar(text.to_owned(), quoted),
                };
                builder.add(Node { place, value })?;
            }
            Event::SequenceStart(..) => builder.open(Node { place, value: Value::List(Vec::new()) })?,
            Event::MappingStart(..) => builder.open(Node { place, value: Value::Map(Vec::new()) })?,
            Event::SequenceEnd | Event::MappingEnd => builder.close()?,
            Event::Alias(..) => {
                return Err(place.problem(
                    "aliases are not read",
                    Some("write the value out, or use ${env:NAME} for what differs".to_owned()),
                ));
            }
            Event::DocumentStart(..) if builder.root.is_some() => {
                return Err(place.problem(
                    "a second YAML document in one file",
                    Some("pass it as a second --config".to_owned()),
                ));
            }
            _ => {}
        }
    }
    let root = builder.root.unwrap_or(Node { place: start, value: Value::Map(Vec::new()) });
    match root.value {
        Value::Map(_) => Ok(root),
        Value::Null => Ok(Node { value: Value::Map(Vec::new()), ..root }),
        _ => Err(root.place.problem(
            "the file is not a map of sections",
            Some("begin with `receivers:` or `parity:`".to_owned()),
        )),
    }
}

struct Builder {
    /// Open lists and maps, each map with the key that waits for its value.
    stack: Vec<(Node, Option<(String, Place)>)>,
    root: Option<Node>,
    nodes: usize,
}

impl Builder {
    fn open(&mut self, node: Node) -> Result<(), Problem> {
        if self.stack.len() >= DEPTH_MAX {
            return Err(node.place.problem(format!("nested deeper than {DEPTH_MAX} levels"), None));
        }
        self.stack.push((node, None));
        Ok(())
    }

    fn close(&mut self) -> Result<(), Problem> {
        match self.stack.pop() {
            Some((node, _)) => self.add(node),
            None => Ok(()),
        }
    }

    fn add(&mut self, node: Node) -> Result<(), Problem> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(node.place.problem(format!("more than {NODES_MAX} values"), None));
        }
        let Some((parent, waiting)) = self.stack.last_mut() else {
            self.root.get_or_insert(node);
            return Ok(());
        };
        match &mut parent.value {
            Value::List(items) => items.push(node),
            Value::Map(entries) => match waiting.take() {
                Some((key, place)) => entries.push((key, place, node)),
                None => {
                    let Value::Scalar(key, _) = node.value else {
                        return Err(node.place.problem("a key must be text", None));
                    };
                    if entries.iter().any(|(known, _, _)| *known == key) {
                        return Err(node.place.problem(
                            format!("the key `{key}` stands here twice"),
                            Some("remove one of them; the later would silently win".to_owned()),
                        ));
                    }
                    *waiting = Some((key, node.place));
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
        let place = Place { source: "(nothing)".into(), line: 1, column: 1 };
        Node { place, value: Value::Map(Vec::new()) }
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

    /// The value under a key; `None` when absent or null.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let (_, _, node) = self.entries().iter().find(|(known, _, _)| known == key)?;
        (node.value != Value::Null).then_some(node)
    }

    /// Lays another tree over this one: maps merge, all else is replaced.
    pub fn merge(&mut self, over: Node) {
        match (&mut self.value, over.value) {
            (Value::Map(ours), Value::Map(theirs)) => {
                for (key, place, node) in theirs {
                    match ours.iter_mut().find(|(known, _, _)| *known == key) {
                        Some((_, at, known)) => {
                            *at = place;
                            known.merge(node);
                        }
                        None => ours.push((key, place, node)),
                    }
                }
            }
            (value, theirs) => {
                *value = theirs;
                self.place = over.place;
            }
        }
    }

    /// Sets `a.b.c=value`; the value is read as YAML.
    pub fn set(&mut self, assignment: &str) -> Result<(), Problem> {
        let place = Place { source: format!("--set {assignment}").into(), line: 1, column: 1 };
        let Some((path, text)) = assignment.split_once('=').filter(|(path, _)| !path.is_empty()) else {
            return Err(place.problem(
                "not of the form key=value",
                Some("for example --set parity.window=30s".to_owned()),
            ));
        };
        let wrapped = Source { name: format!("--set {assignment}"), text: format!("value: {text}") };
        let value = parse(&wrapped)?.get("value").cloned();
        let mut node = Node { place: place.clone(), value: value.map_or(Value::Null, |node| node.value) };
        for key in path.rsplit('.') {
            let entry = (key.to_owned(), place.clone(), node);
            node = Node { place: place.clone(), value: Value::Map(vec![entry]) };
        }
        self.merge(node);
        Ok(())
    }

    /// Replaces `${env:NAME}`, `${env:NAME:-default}` and `$$` in every scalar.
    pub fn expand(&mut self, environment: &dyn Fn(&str) -> Option<String>, problems: &mut Problems) {
        match &mut self.value {
            Value::Null => {}
            Value::Scalar(text, _) => match expand_text(text, environment) {
                Ok(expanded) => *text = expanded,
                Err((message, hint)) => problems.push(self.place.problem(message, Some(hint))),
            },
            Value::List(items) => items.iter_mut().for_each(|item| item.expand(environment, problems)),
            Value::Map(entries) => {
                entries.iter_mut().for_each(|(_, _, node)| node.expand(environment, problems))
            }
        }
    }
}

fn expand_text(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, (String, String)> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let Some(inner) = rest.strip_prefix('{') else {
            out.push('$');
            continue;
        };
        let Some(end) = inner.find('}') else {
            return Err((format!("`${{` without `}}` in {text:?}"), "write $$ for a dollar sign".to_owned()));
        };
        out.push_str(&variable(&inner[..end], environment)?);
        rest = &inner[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

fn variable(
    reference: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<String, (String, String)> {
    let Some(name) = reference.strip_prefix("env:") else {
        let message = format!("`${{{reference}}}` is not known");
        return Err((
            message,
            format!("write ${{env:{reference}}} for an environment variable, $$ for a dollar sign"),
        ));
    };
    let (name, default) = match name.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (name, None),
    };
    let mut bytes = name.bytes();
    let valid = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !valid {
        return Err((
            format!("{name:?} is no name of an environment variable"),
            "letters, digits and _".to_owned(),
        ));
    }
    environment(name).or_else(|| default.map(str::to_owned)).ok_or_else(|| {
        (
            format!("the environment variable {name} is not set"),
            format!("set it, or write ${{env:{name}:-default}}"),
        )
    })
}
