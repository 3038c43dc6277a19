//! A tree against the table of keys: unknown keys, wrong forms, values out of bounds.

use super::problem::Problems;
use super::schema::{Key, Kind};
use super::tree::{Node, Place, Value};
use super::value;
use crate::model::nearest::nearest;

/// Checks a value against what it must be. `path` is its key, dotted.
pub fn check(node: &Node, kind: &Kind, path: &str, problems: &mut Problems) {
    if node.value == Value::Null {
        return;
    }
    match kind {
        Kind::Section(_) | Kind::Components(_) | Kind::Pipelines(_) | Kind::Map(_)
            if !matches!(node.value, Value::Map(_)) =>
        {
            wrong(node, kind, path, "a map", problems);
        }
        Kind::Section(keys) => check_section(node, keys, path, problems),
        Kind::Components(types) => check_components(node, types, path, problems),
        Kind::Pipelines(pipeline) => {
            let types = [("traces", *pipeline), ("metrics", *pipeline), ("logs", *pipeline)];
            check_components(node, &types, path, problems);
        }
        Kind::Map(inner) => {
            node.entries().iter().for_each(|(key, _, node)| check(node, inner, &join(path, key), problems));
        }
        Kind::Quantiles => {
            if !matches!(node.value, Value::Map(_)) {
                return wrong(node, kind, path, "a map of quantiles, e.g. {p95: 0.15}", problems);
            }
            for (key, place, node) in node.entries() {
                if quantile(key).is_none() {
                    problems.push(
                        place.problem(
                            format!("{}: not a quantile such as p50 or p99.9", join(path, key)),
                            None,
                        ),
                    );
                }
                check(node, &Kind::Number(0.0001, 100.0), &join(path, key), problems);
            }
        }
        Kind::TextOr(_) if node.text().is_some() => {}
        Kind::TextOr(inner) => check(node, inner, path, problems),
        Kind::OneOrMore(inner) if node.text().is_some() => check(node, inner, path, problems),
        Kind::ListOr(_, word) if node.text() == Some(word) => {}
        Kind::List(inner) | Kind::OneOrMore(inner) | Kind::ListOr(inner, _) => match &node.value {
            Value::List(items) => items
                .iter()
                .enumerate()
                .for_each(|(at, item)| check(item, inner, &format!("{path}[{at}]"), problems)),
            _ => wrong(node, kind, path, "a list", problems),
        },
        scalar => check_scalar(node, scalar, path, problems),
    }
}

/// The order of a quantile's name: `p95` is 0.95.
pub fn quantile(name: &str) -> Option<f64> {
    let percent: f64 = name.strip_prefix('p')?.parse().ok()?;
    (percent > 0.0 && percent < 100.0).then(|| (percent * 1e7).round() / 1e9)
}

fn check_section(node: &Node, keys: &[Key], path: &str, problems: &mut Problems) {
    for (name, place, value) in node.entries() {
        match keys.iter().find(|key| key.name == name) {
            Some(key) => check(value, &key.kind, &join(path, name), problems),
            None => unknown(name, place, path, keys.iter().map(|key| key.name), problems),
        }
    }
}

fn check_components(node: &Node, types: &[(&'static str, &Kind)], path: &str, problems: &mut Problems) {
    for (id, place, value) in node.entries() {
        let kind = id.split('/').next().unwrap_or(id);
        match types.iter().find(|(name, _)| *name == kind) {
            Some((_, section)) => check(value, section, &join(path, id), problems),
            None => unknown(id, place, path, types.iter().map(|(name, _)| *name), problems),
        }
    }
}

fn unknown(
    name: &str,
    place: &Place,
    path: &str,
    known: impl Iterator<Item = &'static str>,
    problems: &mut Problems,
) {
    let known: Vec<&str> = known.collect();
    let near = nearest(name, known.iter().copied(), 2.max(name.len() / 3));
    let hint = match (near, known.is_empty()) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, true) => "this section has no keys".to_owned(),
        (None, false) => format!("known here: {}", known.join(", ")),
    };
    problems.push(place.problem(format!("unknown key `{}`", join(path, name)), Some(hint)));
}

fn check_scalar(node: &Node, kind: &Kind, path: &str, problems: &mut Problems) {
    let Some(text) = node.text() else { return wrong(node, kind, path, &expected(kind), problems) };
    if matches!(kind, Kind::Url) && user_in(text) {
        let hint = "write credentials under auth or headers, where they are not shown again".to_owned();
        return problems.push(node.place.problem(format!("{path}: a URL with a user in it"), Some(hint)));
    }
    let fits = match kind {
        Kind::Bool => matches!(text, "true" | "false"),
        Kind::Text | Kind::Secret => true,
        Kind::Duration(min, max) => value::duration_ns(text).is_some_and(|ns| (*min..=*max).contains(&ns)),
        Kind::Bytes(min, max) => value::bytes(text).is_some_and(|bytes| (*min..=*max).contains(&bytes)),
        Kind::Count(min, max) => text.parse().is_ok_and(|count| (*min..=*max).contains(&count)),
        Kind::Number(min, max) => text.parse().is_ok_and(|number| (*min..=*max).contains(&number)),
        Kind::Endpoint => value::host_and_port(text).is_some(),
        Kind::Url => url(text),
        Kind::Time => value::time_ns(text).is_some(),
        Kind::Word(words) => words.contains(&text),
        _ => true,
    };
    if !fits {
        wrong(node, kind, path, &expected(kind), problems);
    }
}

/// Whether a URL names a user: it would be shown wherever the endpoint is named.
fn user_in(text: &str) -> bool {
    let authority = text.split_once("://").map_or(text, |(_, rest)| rest);
    authority.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}

fn url(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match rest {
        Some(rest) => !rest.is_empty() && !rest.contains(' '),
        None => value::host_and_port(text).is_some(),
    }
}

/// What a scalar must be, in words.
pub fn expected(kind: &Kind) -> String {
    let duration = |ns: &u64| match *ns {
        0 => "0".to_owned(),
        ns if ns % 86_400_000_000_000 == 0 => format!("{}d", ns / 86_400_000_000_000),
        ns if ns % 3_600_000_000_000 == 0 => format!("{}h", ns / 3_600_000_000_000),
        ns if ns % 1_000_000_000 == 0 => format!("{}s", ns / 1_000_000_000),
        ns => format!("{}ms", ns / 1_000_000),
    };
    match kind {
        Kind::Bool => "true or false".to_owned(),
        Kind::Duration(min, max) => {
            format!("a duration between {} and {}, such as 30s or 1m30s", duration(min), duration(max))
        }
        Kind::Bytes(min, max) => format!("a size between {min} and {max} bytes, such as 64MiB"),
        Kind::Count(min, max) => format!("a whole number between {min} and {max}"),
        Kind::Number(min, max) => format!("a number between {min} and {max}"),
        Kind::Endpoint => "host:port, such as localhost:4317".to_owned(),
        Kind::Url => "a URL or host:port, such as http://localhost:4318".to_owned(),
        Kind::Time => "a time such as 2027-01-31T00:00:00Z or 2027-01-31".to_owned(),
        Kind::Word(words) => format!("one of {}", words.join(", ")),
        _ => "text".to_owned(),
    }
}

/// `kind` is what was wanted: text in the place of something that holds secrets may be one, and is not repeated.
fn wrong(node: &Node, kind: &Kind, path: &str, expected: &str, problems: &mut Problems) {
    let found = match &node.value {
        Value::Null => "nothing".to_owned(),
        Value::Scalar(..) if kind.holds_secrets() => "a text".to_owned(),
        Value::Scalar(text, _) => format!("{text:?}"),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a map".to_owned(),
    };
    problems.push(node.place.problem(format!("{path}: {found} is not {expected}"), None));
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
