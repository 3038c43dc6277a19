//! What holds, as YAML; what may be written, as a JSON schema; what is kept, as a table.

use super::Loaded;
use super::check::expected;
use super::schema::{self, Key, Kind};
use super::secret::MASK;
use super::tree::{Node, Value};
use crate::model::Limits;
use crate::window::parents;
use serde_json::{Map, Value as Json, json};

/// The configuration that holds, as YAML: what the files say, and defaults for the rest of `service.telemetry` and
/// `parity`. Secrets are masked.
pub fn print(loaded: &Loaded) -> String {
    let mut out = String::new();
    section(Some(&loaded.tree), &schema::ROOT, 0, &mut out);
    out
}

fn section(node: Option<&Node>, kind: &Kind, indent: usize, out: &mut String) {
    let Kind::Section(keys) = kind else { return };
    for key in *keys {
        let child = node.and_then(|node| node.get(key.name));
        // A protocol runs when it is named, even without settings.
        let protocol = matches!(key.name, "grpc" | "http") && node.is_some_and(|node| node.has(key.name));
        if child.is_none() && !protocol && !shown(key) {
            continue;
        }
        entry(key.name, child, &key.kind, key.default, indent, out);
    }
}

/// Whether a key that the file does not name has something to show.
fn shown(key: &Key) -> bool {
    match key.kind {
        // That there is a section on TLS, a protocol or tenants is itself a setting.
        Kind::Section(keys) => {
            !matches!(key.name, "tls" | "grpc" | "http" | "tenants") && keys.iter().any(shown)
        }
        _ => !key.default.is_empty(),
    }
}

fn entry(name: &str, node: Option<&Node>, kind: &Kind, default: &str, indent: usize, out: &mut String) {
    let pad = "  ".repeat(indent);
    match (kind, node) {
        (Kind::Section(_), node) => {
            out.push_str(&format!("{pad}{name}:\n"));
            section(node, kind, indent + 1, out);
        }
        (Kind::Components(types), Some(node)) => {
            out.push_str(&format!("{pad}{name}:\n"));
            for (id, _, child) in node.entries() {
                let section = types.iter().find(|(t, _)| id.split('/').next() == Some(t)).map(|(_, s)| *s);
                entry(id, Some(child), section.unwrap_or(&Kind::Text), "", indent + 1, out);
            }
        }
        (Kind::Pipelines(pipeline), Some(node)) => {
            out.push_str(&format!("{pad}{name}:\n"));
            node.entries()
                .iter()
                .for_each(|(id, _, child)| entry(id, Some(child), pipeline, "", indent + 1, out));
        }
        (_, None) => out.push_str(&format!("{pad}{name}: {default}\n")),
        (kind, Some(node)) => out.push_str(&format!("{pad}{name}: {}\n", inline(node, kind))),
    }
}

/// A value on one line.
fn inline(node: &Node, kind: &Kind) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Scalar(..) if matches!(kind, Kind::Secret) => Json::from(MASK).to_string(),
        Value::Scalar(text, quoted) => {
            let plain =
                !quoted && !text.contains([':', '#', '{', '}', '[', ']', ',', '&', '*', '"', '\'', '%', '@']);
            if plain { text.clone() } else { Json::String(text.clone()).to_string() }
        }
        Value::List(items) => {
            let inner = match kind {
                Kind::List(inner) | Kind::OneOrMore(inner) | Kind::ListOr(inner, _) => inner,
                _ => &Kind::Text,
            };
            format!("[{}]", items.iter().map(|item| inline(item, inner)).collect::<Vec<_>>().join(", "))
        }
        Value::Map(entries) => {
            let parts = entries.iter().map(|(name, _, node)| {
                let inner = match kind {
                    Kind::Map(inner) => Some(*inner),
                    Kind::TextOr(Kind::Section(keys)) | Kind::Section(keys) => {
                        keys.iter().find(|key| key.name == name).map(|key| &key.kind)
                    }
                    _ => None,
                };
                format!("{}: {}", Json::String(name.clone()), inline(node, inner.unwrap_or(&Kind::Text)))
            });
            format!("{{{}}}", parts.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A JSON schema (draft 2020-12) for editors.
pub fn json_schema() -> Json {
    let mut root = of_kind(&schema::ROOT);
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("isotel configuration");
    root
}

fn of_kind(kind: &Kind) -> Json {
    match kind {
        Kind::Section(keys) => {
            let properties: Map<String, Json> = keys
                .iter()
                .map(|key| {
                    let mut property = of_kind(&key.kind);
                    property["description"] = json!(key.help);
                    if !key.default.is_empty() {
                        property["default"] = json!(key.default);
                    }
                    (key.name.to_owned(), property)
                })
                .collect();
            json!({ "type": ["object", "null"], "properties": properties, "additionalProperties": false })
        }
        Kind::Components(types) => {
            let patterns: Map<String, Json> =
                types.iter().map(|(name, kind)| (format!("^{name}(/.+)?$"), of_kind(kind))).collect();
            json!({ "type": ["object", "null"], "patternProperties": patterns, "additionalProperties": false })
        }
        Kind::Pipelines(kind) => json!({
            "type": ["object", "null"],
            "patternProperties": { "^(traces|metrics|logs)(/.+)?$": of_kind(kind) },
            "additionalProperties": false
        }),
        Kind::Map(kind) => json!({ "type": ["object", "null"], "additionalProperties": of_kind(kind) }),
        Kind::Quantiles => json!({
            "type": ["object", "null"],
            "patternProperties": { "^p[0-9.]+$": { "type": "number" } },
            "additionalProperties": false
        }),
        Kind::List(kind) => json!({ "type": ["array", "null"], "items": of_kind(kind) }),
        Kind::OneOrMore(kind) => {
            json!({ "anyOf": [{ "type": "array", "items": of_kind(kind) }, of_kind(kind)] })
        }
        Kind::ListOr(kind, word) => {
            json!({ "anyOf": [{ "type": "array", "items": of_kind(kind) }, { "const": word }] })
        }
        Kind::TextOr(kind) => json!({ "anyOf": [{ "type": "string" }, of_kind(kind)] }),
        Kind::Bool => json!({ "type": ["boolean", "string"] }),
        Kind::Word(words) => json!({ "enum": words }),
        Kind::Count(min, max) => json!({ "type": ["integer", "string"], "minimum": min, "maximum": max }),
        Kind::Number(min, max) => json!({ "type": ["number", "string"], "minimum": min, "maximum": max }),
        Kind::Bytes(..) => json!({ "type": ["integer", "string"] }),
        _ => json!({ "type": "string" }),
    }
}

/// The bounds with what they mean and the memory that the greatest of them imply.
pub fn limits_table(loaded: &Loaded) -> String {
    let Kind::Section(keys) = schema::LIMITS else { return String::new() };
    let said = loaded.tree.get("parity").and_then(|parity| parity.get("limits"));
    let mut out = format!("{:<24} {:>12}  {}\n", "limit", "value", "meaning (accepted values)");
    for key in keys {
        let value = said.and_then(|limits| limits.get(key.name)).and_then(Node::text).unwrap_or(key.default);
        out.push_str(&format!("{:<24} {:>12}  {} ({})\n", key.name, value, key.help, expected(&key.kind)));
    }
    let config = &loaded.config;
    let windows = (config.period.as_nanos().div_ceil(config.window.0.as_nanos().max(1))) as u64;
    let sampled = parents::windows_held(config.window.0.as_nanos() as u64);
    let (open, sealed) = memory(&config.limits, windows, sampled);
    let mib = |bytes: u64| bytes / (1 << 20);
    out.push_str(&format!(
        "\nMemory if every limit is reached at once: {} MiB for open windows and {} MiB for {windows} sealed ones.\n\
         A series with five requests takes {CELL_BYTES} bytes of a window that is open, on each shard in use, and \
         {SEALED_BYTES} of one that is sealed; a request more takes 8 and 3, up to 1,024, beyond which all of them take \
         up to {BINNED_BYTES}. An instance takes up to {INSTANCE_BYTES} and {SEALED_INSTANCE_BYTES}, a telemetry item \
         {ITEM_BYTES}.\n\
         Less is let in as memory comes near {}, and nothing beyond it (extensions.memory_limiter).\n",
        mib(open),
        mib(sealed),
        config.memory.limit
    ));
    if let Some(storage) = &config.storage {
        let directory = storage.directory.display();
        out.push_str(&format!(
            "Disk: {} MiB at the most in {directory} ({}).\n",
            mib(storage.max_bytes),
            storage.id
        ));
    }
    for (id, exporter) in &config.exporters {
        if let Some(storage) = &exporter.storage {
            let (directory, storage, most) =
                (storage.directory.display(), &storage.id, mib(storage.max_bytes));
            out.push_str(&format!(
                "Disk: {most} MiB at the most for what waits for {id}, in {directory} ({storage}).\n"
            ));
        }
    }
    if let Some(tenants) = &config.tenants {
        out.push_str(&format!("Each of the {} tenants has all of this for itself.\n", tenants.known.len()));
    }
    out
}

/// A cell with five exact durations on one shard (`cargo bench --bench memory`).
const CELL_BYTES: u64 = 340;
/// The same when it is sealed and packed.
const SEALED_BYTES: u64 = 100;
/// An HDR histogram of two digits with 32-bit counts whose durations reach from 1 µs to 1 h.
const BINNED_BYTES: u64 = 13_700;
/// An instance's coarse histogram over five octaves.
const INSTANCE_BYTES: u64 = 260;
/// An instance with a dozen requests, packed.
const SEALED_INSTANCE_BYTES: u64 = 30;
/// A statement's hash, count and share of its tree; what it says is shared by all windows.
const STATEMENT_BYTES: u64 = 48;

/// Attribute keys that spans had together: where they are kept, and how many spans.
const SHAPE_BYTES: u64 = 24;

/// When and by whom an item was seen, and where it is an attribute one value.
const ITEM_BYTES: u64 = 90;
/// The list of an attribute's values as hashes, full.
const COUNTED_BYTES: u64 = 800;

/// One instance's values of a metric with a few dozen exact levels.
const VALUE_BYTES: u64 = 800;
/// A span of a sampled trace: its ids and its service, and its place in the search for parents.
const SAMPLED_BYTES: u64 = 64;
/// The hash of a text.
const TEXT_BYTES: u64 = 8;

/// Bytes of open and of sealed windows when every limit is reached in every environment of a pair; sampled spans are kept of
/// fewer sealed windows.
fn memory(limits: &Limits, windows: u64, sampled_windows: u64) -> (u64, u64) {
    let cell = CELL_BYTES
        + BINNED_BYTES
        + limits.instances_per_series as u64 * INSTANCE_BYTES
        + limits.shapes_per_series as u64 * SHAPE_BYTES;
    let statements = limits.services as u64 * limits.facts_per_service as u64 * 4;
    let value = (limits.instances_per_series as u64 * VALUE_BYTES)
        .saturating_add(limits.texts_per_value as u64 * TEXT_BYTES);
    let side =
        (limits.series as u64 * cell + limits.items as u64 * ITEM_BYTES + statements * STATEMENT_BYTES)
            .saturating_add((limits.values as u64).saturating_mul(value));
    let window = (2 * side).saturating_add(limits.counted_attributes as u64 * COUNTED_BYTES);
    let sampled = 2 * limits.sampled_spans as u64 * SAMPLED_BYTES;
    let open = window.saturating_add(sampled).saturating_mul(limits.open_windows as u64);
    (open, window.saturating_mul(windows).saturating_add(sampled.saturating_mul(sampled_windows)))
}
