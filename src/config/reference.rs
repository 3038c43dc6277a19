//! The table of keys as a page for people: `docs/configuration.md`.

use super::check::expected;
use super::schema::{self, Key, Kind};
use std::fmt::Write as _;

const HEAD: &str = "# Configuration

<!-- Written by the program: `cargo run -- config reference > docs/configuration.md`. A test holds the two together. -->

A file has the collector's layout, and isotel's own part is under `parity`. Without a file the
[embedded default](../config/isotel.yaml) holds.

- `--config FILE` may be repeated; what later files say wins, key by key. `--set parity.window=30s` wins over files.
- `${env:NAME}` and `${env:NAME:-default}` stand for environment variables, `$$` for a dollar sign.
- Durations are `500ms`, `30s`, `1m30s`, `24h`, `7d`; sizes are bytes, or `64MiB`, `10GiB`.
- In patterns `*` stands for any run of characters.
- `NAME[].key` is a key of each entry of a list, `NAME.*` any name.

`isotel validate --config FILE` reports all problems at once, each with its line; `isotel config print` shows what holds,
`isotel config schema` is a JSON schema for editors, `isotel config limits` tells what the limits cost.
";

/// One row of a table.
struct Row {
    key: String,
    value: String,
    default: &'static str,
    help: &'static str,
}

/// The page.
pub fn reference() -> String {
    let mut out = HEAD.to_owned();
    let Kind::Section(keys) = &schema::ROOT else { return out };
    for key in *keys {
        let _ = write!(out, "\n## {}\n\n{}\n", key.name, key.help);
        match &key.kind {
            Kind::Components(types) => components(key, types, &mut out),
            Kind::Section(keys) => section(key.name, keys, &mut out),
            _ => {}
        }
    }
    out
}

/// A table for each type of component; types that are one under two names have one.
fn components(key: &Key, types: &[(&'static str, &'static Kind)], out: &mut String) {
    for (at, (name, kind)) in types.iter().enumerate() {
        let same = |other: &&(&str, &'static Kind)| std::ptr::eq(other.1, *kind);
        if types[..at].iter().any(|other| same(&other)) {
            continue;
        }
        let _ = writeln!(out, "\n### {}.{name}\n", key.name);
        for (alias, _) in types[at + 1..].iter().filter(same) {
            let _ = writeln!(out, "Also `{alias}`.\n");
        }
        table(&rows("", kind), out);
    }
}

/// A table of the keys that stand alone, and one for each part.
fn section(name: &str, keys: &'static [Key], out: &mut String) {
    let is_part = |key: &&'static Key| parts(&key.kind).is_some();
    let alone: Vec<Row> = keys.iter().filter(|key| !is_part(key)).map(|key| row("", key)).collect();
    if !alone.is_empty() {
        out.push('\n');
        table(&alone, out);
    }
    for key in keys.iter().filter(is_part) {
        let _ = write!(out, "\n### {name}.{}\n\n{}", key.name, key.help);
        if !key.default.is_empty() {
            let _ = write!(out, " Without it `{}`.", key.default);
        }
        out.push_str("\n\n");
        table(&rows(prefix(&key.kind), parts(&key.kind).unwrap_or(&key.kind)), out);
    }
}

/// The section that a key's value, or each entry of it, is made of.
fn parts(kind: &'static Kind) -> Option<&'static Kind> {
    match kind {
        Kind::Section(_) => Some(kind),
        Kind::List(inner)
        | Kind::OneOrMore(inner)
        | Kind::ListOr(inner, _)
        | Kind::TextOr(inner)
        | Kind::Map(inner) => parts(inner),
        Kind::Pipelines(inner) => Some(inner),
        _ => None,
    }
}

/// How the entries of a key are written before theirs.
fn prefix(kind: &Kind) -> &'static str {
    match kind {
        Kind::List(_) | Kind::OneOrMore(_) | Kind::ListOr(..) => "[].",
        Kind::Map(_) | Kind::Pipelines(_) => "*.",
        _ => "",
    }
}

/// The keys below, each with its whole name.
fn rows(before: &str, kind: &'static Kind) -> Vec<Row> {
    let Kind::Section(keys) = kind else { return Vec::new() };
    let mut rows = Vec::new();
    for key in *keys {
        match parts(&key.kind) {
            Some(inner) => {
                let dot = if matches!(key.kind, Kind::List(_) | Kind::ListOr(..)) { "" } else { "." };
                rows.push(Row { value: form(&key.kind), ..row(before, key) });
                rows.extend(self::rows(&format!("{before}{}{dot}{}", key.name, prefix(&key.kind)), inner));
            }
            None => rows.push(row(before, key)),
        }
    }
    rows
}

fn row(before: &str, key: &'static Key) -> Row {
    Row { key: format!("{before}{}", key.name), value: form(&key.kind), default: key.default, help: key.help }
}

/// What a value must be, in words.
fn form(kind: &Kind) -> String {
    match kind {
        Kind::Section(_) => "keys".to_owned(),
        Kind::List(inner) => format!("a list of {}", many(inner)),
        Kind::OneOrMore(inner) => format!("{}, or a list of them", form(inner)),
        Kind::ListOr(inner, word) => format!("a list of {}, or `{word}`", many(inner)),
        Kind::TextOr(inner) => format!("text, or {}", form(inner)),
        Kind::Map(inner) => format!("names to {}", many(inner)),
        Kind::Quantiles => "quantiles such as p95 to a number between 0.0001 and 100".to_owned(),
        Kind::Secret => "text, masked when it is shown".to_owned(),
        other => expected(other),
    }
}

/// The same of each of several.
fn many(kind: &Kind) -> String {
    match kind {
        Kind::Text => "texts".to_owned(),
        Kind::Secret => "texts, masked when they are shown".to_owned(),
        Kind::Section(_) => "keys".to_owned(),
        Kind::Word(words) => words.join(", "),
        other => form(other),
    }
}

fn table(rows: &[Row], out: &mut String) {
    if rows.is_empty() {
        out.push_str("No keys.\n");
        return;
    }
    out.push_str("| Key | Value | Default | Meaning |\n|---|---|---|---|\n");
    for Row { key, value, default, help } in rows {
        let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
        let line = [format!("`{key}`"), value.clone(), default, (*help).to_owned()];
        let cells = line.map(|cell| cell.replace('|', "\\|").replace('<', "&lt;"));
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every key of a kind, at whatever depth.
    fn keys(kind: &'static Kind) -> Vec<&'static Key> {
        match kind {
            Kind::Section(section) => {
                section.iter().flat_map(|key| std::iter::once(key).chain(keys(&key.kind))).collect()
            }
            Kind::Components(types) => types.iter().flat_map(|(_, kind)| keys(kind)).collect(),
            other => parts(other).map(keys).unwrap_or_default(),
        }
    }

    #[test]
    fn every_key_of_the_table_is_on_the_page_with_its_default_and_meaning() {
        let page = reference();
        let all = keys(&schema::ROOT);
        assert!(all.len() > 200, "{}", all.len());
        for key in all {
            let help = key.help.replace('<', "&lt;");
            assert!(page.contains(&help), "{}: {help}", key.name);
            assert!(page.contains(key.name) && page.contains(key.default), "{}: {}", key.name, key.default);
        }
    }
}
