//! Which telemetry is expected: of each service its spans, metrics, logs and resource attributes, and in which form.
//!
//! Texts flow in ([`read`]), a [`Catalog`] or all its problems with their lines flow out; [`to_yaml`] is the way back. A
//! text is a catalog of isotel's own (`catalog: isotel/v1`) or a file of a semantic-convention registry (`groups:` or
//! `file_format: definition/2`); several texts make one catalog, and may not disagree. Nothing is compared here with
//! what was observed: that is the judge's part.

mod form;
mod own;
pub mod registry;
mod write;

pub use form::{Form, Instrument, MetricForm, ValueType};
pub use registry::Registry;
pub use write::to_yaml;

use crate::model::{ItemKind, ItemName};
use crate::yaml::{Bounds, Node, Place, Problems, Source, parse};
use std::collections::BTreeMap;

/// The name and version of the layout of isotel's own catalogs.
pub const LAYOUT: &str = "isotel/v1";

/// The most that is read of one file: a catalog of all the items that the default limits allow has about 3 MB.
pub const BOUNDS: Bounds = Bounds {
    bytes: 16 << 20,
    values: 1_000_000,
    second_document: "write it to a file of its own, and name both",
    no_alias: None,
    begin: "begin with `catalog: isotel/v1`",
};

/// Bytes of all files together.
pub const BYTES_MAX: usize = 64 << 20;

/// Which telemetry is expected.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    /// By `service.name`, with `service.namespace` and a slash in front where there is one.
    pub services: BTreeMap<String, Service>,
    /// The conventions that names and forms are held to.
    pub registry: Option<Registry>,
}

/// How much telemetry of each sort there was: spans, metric data points, log records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Spans.
    pub spans: u64,
    /// Metric data points.
    pub points: u64,
    /// Log records.
    pub logs: u64,
}

/// What is expected of one service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Service {
    /// Where it stands.
    pub place: Option<Place>,
    /// What people say of it.
    pub note: Option<String>,
    /// Where it is expected, `*` for any run of characters; everywhere without any.
    pub environments: Vec<String>,
    /// Whether its absence is a defect; it is unless said otherwise.
    pub required: Option<bool>,
    /// How much it sent when its items' shares were counted.
    pub traffic: Option<Traffic>,
    /// Its resource attributes, spans, span events, metrics, logs and log attributes.
    pub items: BTreeMap<ItemName, Item>,
}

/// What is expected of one item. What is not said is not held against it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Item {
    /// Where it stands.
    pub place: Option<Place>,
    /// What people say of it.
    pub note: Option<String>,
    /// Where it is expected, `*` for any run of characters; everywhere without any.
    pub environments: Vec<String>,
    /// Whether its absence is a defect; it is unless said otherwise.
    pub required: Option<bool>,
    /// Which share of the service's spans, data points or log records show it, in (0, 1]; of an attribute, which share of
    /// the spans or points that it belongs to. 1 unless said otherwise.
    pub share: Option<f64>,
    /// Its form.
    pub form: Form,
    /// Attributes on it: of spans and metrics.
    pub attributes: BTreeMap<String, Item>,
    /// A comment for whoever reviews it; written and not read.
    pub comment: Option<String>,
}

impl Service {
    /// Whether it is expected in an environment.
    pub fn is_expected_in(&self, environment: &str) -> bool {
        named(&self.environments, environment)
    }

    /// Whether its absence is a defect.
    pub fn is_required(&self) -> bool {
        self.required.unwrap_or(true)
    }
}

impl Item {
    /// Whether it is expected in an environment.
    pub fn is_expected_in(&self, environment: &str) -> bool {
        named(&self.environments, environment)
    }

    /// Whether its absence is a defect.
    pub fn is_required(&self) -> bool {
        self.required.unwrap_or(true)
    }

    /// The share of its service's telemetry, or of what it belongs to, that shows it.
    pub fn share(&self) -> f64 {
        self.share.unwrap_or(1.0)
    }
}

fn named(environments: &[String], environment: &str) -> bool {
    environments.is_empty()
        || environments.iter().any(|pattern| crate::model::environment::glob(pattern, environment))
}

/// The sort of attribute that an item of a sort has.
pub fn attribute_kind(kind: ItemKind) -> Option<ItemKind> {
    match kind {
        ItemKind::Span => Some(ItemKind::OperationAttribute),
        ItemKind::Metric => Some(ItemKind::MetricAttribute),
        _ => None,
    }
}

/// Reads texts and makes one catalog of them.
///
/// # Errors
/// All [`Problems`], each with file, line and hint: in the texts, between them, and a catalog that expects nothing.
pub fn read(sources: &[Source]) -> Result<Catalog, Problems> {
    let mut problems = Problems::default();
    let mut catalog = Catalog::default();
    let mut drafts = registry::Drafts::default();
    if let Some(problem) = too_many_bytes(sources) {
        problems.push(problem);
        return Err(problems);
    }
    for source in sources {
        let Some(root) = parse(source, &BOUNDS, &mut problems) else { continue };
        match layout(source, &root) {
            Some(Layout::Own) => own::read(&root, &mut catalog.services, &mut problems),
            Some(Layout::Groups) => drafts.read_groups(&root, &mut problems),
            Some(Layout::Definitions) => drafts.read_definitions(&root, &mut problems),
            Some(Layout::Manifest) => {}
            None => problems.push(unknown_layout(&root)),
        }
    }
    catalog.registry = drafts.resolve(&mut problems);
    if problems.is_empty() && catalog.services.is_empty() && catalog.registry.is_none() {
        let name = sources.first().map_or("(nothing)", |source| &source.name);
        let hint =
            "name services and what they send, or write a first one with `isotel catalog infer`".to_owned();
        problems.push(Place::start(name).problem("the catalog expects nothing", Some(hint)));
    }
    if problems.is_empty() { Ok(catalog) } else { Err(problems) }
}

fn too_many_bytes(sources: &[Source]) -> Option<crate::yaml::Problem> {
    let bytes: usize = sources.iter().map(|source| source.text.len()).sum();
    let hint = "give only the files that are about your services".to_owned();
    let message = || format!("the files have {bytes} bytes together, and {BYTES_MAX} are read at most");
    (bytes > BYTES_MAX).then(|| Place::start(&sources[0].name).problem(message(), Some(hint)))
}

enum Layout {
    /// isotel's own.
    Own,
    /// A registry's, as a list of groups.
    Groups,
    /// A registry's, by sort of definition.
    Definitions,
    /// What a registry says of itself.
    Manifest,
}

fn layout(source: &Source, root: &Node) -> Option<Layout> {
    let file = source.name.rsplit(['/', '\\']).next().unwrap_or("");
    match () {
        () if root.has("catalog") || root.has("services") => Some(Layout::Own),
        () if root.has("file_format") => Some(Layout::Definitions),
        () if root.has("groups") => Some(Layout::Groups),
        () if matches!(file, "manifest.yaml" | "registry_manifest.yaml") => Some(Layout::Manifest),
        () => None,
    }
}

fn unknown_layout(root: &Node) -> crate::yaml::Problem {
    let said: Vec<&str> = root.entries().iter().map(|(key, _, _)| &**key).take(3).collect();
    let message = match said.is_empty() {
        true => "the file is empty".to_owned(),
        false => format!("neither a catalog nor a registry: it says {}", said.join(", ")),
    };
    let hint = "a catalog begins with `catalog: isotel/v1`, a file of a registry has `groups:`".to_owned();
    root.place.problem(message, Some(hint))
}

#[cfg(test)]
mod tests;
