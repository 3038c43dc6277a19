//! What a configuration does with a tree: later files over earlier ones, `--set`, environment variables.

use super::Source;
use super::problem::{Problem, Problems};
use crate::yaml;
pub use crate::yaml::{Node, Place, Value};

/// Reads one source.
pub fn parse(source: &Source, problems: &mut Problems) -> Option<Node> {
    yaml::parse(source, &yaml::Bounds::FILE, problems)
}

impl Node {
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
        // The value may be a secret, and places are shown.
        let name = format!("--set {}", assignment.split('=').next().unwrap_or_default());
        let place = Place::start(&name);
        let Some((path, text)) = assignment.split_once('=').filter(|(path, _)| !path.is_empty()) else {
            return Err(place.problem(
                "not of the form key=value",
                Some("for example --set parity.window=30s".to_owned()),
            ));
        };
        let wrapped = Source { name, text: format!("value: {text}") };
        let mut problems = Problems::default();
        let root = parse(&wrapped, &mut problems);
        if let Some(problem) = problems.iter().next() {
            return Err(problem.clone());
        }
        let value = root.and_then(|root| root.get("value").cloned());
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
            return Err(("`${` without `}`".to_owned(), "write $$ for a dollar sign".to_owned()));
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
