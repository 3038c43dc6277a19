//! A catalog as YAML that people review and keep: ordered by name, one thing a line, the same catalog the same bytes.
//!
//! Only what was said is written, so that reading it again gives the same catalog. Registries are not written.

use super::form::temporality;
use super::own::SECTIONS;
use super::{Catalog, Item, LAYOUT, Service, Traffic};
use crate::model::{ItemKind, ItemName};
use crate::yaml::quoted;
use std::fmt::Write as _;

/// The catalog's services as YAML.
pub fn to_yaml(catalog: &Catalog) -> String {
    let mut out = format!(
        "# Which telemetry is expected: docs/catalog.md says what each key means.\n\
         # Check it with `isotel catalog check FILE`; hold telemetry to it with `isotel coverage --catalog FILE`.\n\
         \n\
         catalog: {LAYOUT}\nservices:\n"
    );
    for (name, service) in &catalog.services {
        let _ = writeln!(out, "  {}:", scalar(name));
        write_service(service, &mut out);
    }
    out
}

fn write_service(service: &Service, out: &mut String) {
    let pad = "    ";
    common(&service.note, &service.environments, service.required, pad, out);
    if let Some(Traffic { spans, points, logs }) = service.traffic {
        let _ = writeln!(out, "{pad}traffic: {{spans: {spans}, points: {points}, logs: {logs}}}");
    }
    for (section, kind) in SECTIONS {
        let mut items =
            service.items.range(first(kind)..).take_while(|(name, _)| name.kind == kind).peekable();
        if items.peek().is_some() {
            let _ = writeln!(out, "{pad}{section}:");
        }
        items.for_each(|(name, item)| write_item(&name.name, item, 6, out));
    }
}

/// The least name of a sort.
fn first(kind: ItemKind) -> ItemName {
    ItemName { kind, name: "".into() }
}

fn write_item(name: &str, item: &Item, indent: usize, out: &mut String) {
    let (head, pad) = (" ".repeat(indent), " ".repeat(indent + 2));
    let comment = item.comment.as_ref().map_or(String::new(), |text| format!("  # {}", one_line(text)));
    let only_type =
        Item { form: super::Form { value: item.form.value, ..Default::default() }, ..blank(item) };
    match item.form.value {
        Some(value) if *item == only_type => {
            let _ = writeln!(out, "{head}{}: {}{comment}", scalar(name), value.as_str());
            return;
        }
        _ => {
            let _ = writeln!(out, "{head}{}:{comment}", scalar(name));
        }
    }
    common(&item.note, &item.environments, item.required, &pad, out);
    if let Some(share) = item.share {
        let _ = writeln!(out, "{pad}share: {share}");
    }
    if let Some(value) = item.form.value {
        let _ = writeln!(out, "{pad}type: {}", value.as_str());
    }
    if let Some(instrument) = item.form.instrument {
        let _ = writeln!(out, "{pad}instrument: {}", instrument.as_str());
    }
    if let Some(unit) = &item.form.unit {
        let _ =
            writeln!(out, "{pad}unit: {}", if unit.is_empty() { "none".to_owned() } else { scalar(unit) });
    }
    if let Some(delta) = item.form.delta {
        let _ = writeln!(out, "{pad}temporality: {}", temporality(delta));
    }
    if !item.attributes.is_empty() {
        let _ = writeln!(out, "{pad}attributes:");
        item.attributes.iter().for_each(|(key, attribute)| write_item(key, attribute, indent + 4, out));
    }
}

/// An item of which nothing was said, at the same place and with the same comment.
fn blank(item: &Item) -> Item {
    Item { place: item.place.clone(), comment: item.comment.clone(), ..Item::default() }
}

fn common(
    note: &Option<String>,
    environments: &[String],
    required: Option<bool>,
    pad: &str,
    out: &mut String,
) {
    if let Some(note) = note {
        let _ = writeln!(out, "{pad}note: {}", scalar(note));
    }
    if !environments.is_empty() {
        let words: Vec<String> = environments.iter().map(|name| flow_scalar(name)).collect();
        let _ = writeln!(out, "{pad}environments: [{}]", words.join(", "));
    }
    if let Some(required) = required {
        let _ = writeln!(out, "{pad}required: {required}");
    }
}

/// Text as YAML: plain where every reader of YAML takes it for the same text, else in double quotes as in JSON.
fn scalar(text: &str) -> String {
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '/');
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./()-{}*[]+ ".contains(c);
    let last = text.chars().next_back().is_some_and(|c| c != ' ');
    let words = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "none"];
    let word = words.iter().any(|word| text.eq_ignore_ascii_case(word));
    match first && last && !word && text.chars().all(plain) {
        true => text.to_owned(),
        false => quoted(text),
    }
}

/// The same inside of brackets, where brackets and braces mean something.
fn flow_scalar(text: &str) -> String {
    if text.contains(['[', ']', '{', '}']) { quoted(text) } else { scalar(text) }
}

fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}
