//! YAML → a validated [`Config`], or all its problems at once.
//!
//! text (`tree`) → merged tree → `--set` and `${env:…}` → checked against one table of keys ([`schema`]) → values
//! ([`build`]). The table is the only place that knows a key: unknown keys, `config schema`, `config reference`,
//! `config print` and `config limits` all come from it. Pure: texts and an environment look-up are arguments.

mod alerts;
pub mod auth;
pub mod build;
mod check;
mod exporters;
mod listeners;
mod networks;
mod memory;
mod parity;
pub mod print;
pub mod reference;
pub mod schema;
pub mod secret;
mod tls;
pub mod storage;
pub mod tenants;
mod tree;
pub mod value;

use crate::engine::Tier;
pub use crate::yaml::problem;
pub use crate::yaml::{Problem, Problems, Source};
pub use auth::{Authenticator, ClientAuth};
pub use build::{Config, HttpOrGrpc, LogEncoding, Signals};
pub use exporters::{
    Compression, Content, ExporterConfig, PUSH_KEY, QueueConfig, RetryConfig, TelemetryOtlp, in_the_open,
};
pub use listeners::{Cors, Listener, METRICS_KEY, Page};
pub use memory::{Amount, MemoryLimit};
pub use networks::Network;
pub use parity::SnapshotFile;
pub use secret::Secret;
use std::path::Path;
pub use storage::{Fsync, HistoryConfig, StorageConfig};
pub use tenants::{Tenant, Tenants};
pub use tls::{ClientTls, Identity, ServerTls};

/// The configuration that is used without a file.
pub const DEFAULT: &str = include_str!("../../config/isotel.yaml");

/// A configuration, and the tree that it was made from.
#[derive(Clone)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    tree: tree::Node,
    waivers_file: Option<tree::Node>,
}

/// The tree holds secrets as they were written and is not shown.
impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Loaded {
    /// What is allowed and still unwise at `now_ns` (nanoseconds since the epoch), each with its place.
    pub fn warnings(&self, now_ns: u64) -> Vec<Problem> {
        let inline = parity::long_waivers(self.tree.get("parity"), now_ns);
        let of_file = parity::long_waivers(self.waivers_file.as_ref(), now_ns);
        let hint = "grant it for less, and look at it again".to_owned();
        let warn = |node: &tree::Node| {
            node.place.problem("waivers: one expires more than a year from now", Some(hint.clone()))
        };
        let waivers = inline.into_iter().chain(of_file).map(warn);
        waivers.chain(self.lost_windows()).chain(self.counted_twice()).collect()
    }

    /// A first tier whose windows and whose telemetry go the same way.
    fn counted_twice(&self) -> Option<Problem> {
        let Config { tier, forward, results, .. } = &self.config;
        let both = |id: &&String| forward.traces.contains(id) || forward.metrics.contains(id);
        let id = results.iter().find(both).filter(|_| *tier == Tier::First)?;
        let node = self.tree.get("parity").and_then(|parity| parity.get("tier"))?;
        let hint = "forward telemetry to somebody else, or to nobody".to_owned();
        let message =
            format!("parity.tier: {id} gets telemetry and the windows made of it; who judges counts both");
        Some(node.place.problem(message, Some(hint)))
    }

    /// A first tier whose windows are safe until they wait for the second.
    fn lost_windows(&self) -> Option<Problem> {
        let Config { tier, storage, results, exporters, .. } = &self.config;
        let in_memory = |id: &&String| exporters.get(*id).is_some_and(|exporter| exporter.storage.is_none());
        let id = results.iter().find(in_memory).filter(|_| *tier == Tier::First && storage.is_some())?;
        let node = self.tree.get("parity").and_then(|parity| parity.get("tier"))?;
        let hint = format!("name a storage under exporters.{id}.sending_queue.storage");
        Some(node.place.problem("parity.tier: a crash loses the windows that wait to be sent", Some(hint)))
    }
}

/// Reads sources, later ones over earlier ones, then `sets` (`a.b=c`), then environment variables. Without sources the
/// embedded default is read. Files that a configuration names are not read.
///
/// # Errors
/// All [`Problems`], each with file, line and hint.
pub fn load(
    sources: &[Source],
    sets: &[String],
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, Problems> {
    load_with(sources, sets, environment, &|path| Err(format!("{} is not read here", path.display())))
}

/// The same; `file` reads the file of a path, or says why it cannot.
///
/// # Errors
/// All [`Problems`], those of the files among them.
pub fn load_with(
    sources: &[Source],
    sets: &[String],
    environment: &dyn Fn(&str) -> Option<String>,
    file: &dyn Fn(&Path) -> Result<String, String>,
) -> Result<Loaded, Problems> {
    let embedded = [Source { name: "(embedded default)".to_owned(), text: DEFAULT.to_owned() }];
    let sources = if sources.is_empty() { &embedded[..] } else { sources };
    let mut problems = Problems::default();
    let mut root = tree::Node::empty_map();
    for source in sources {
        if let Some(node) = tree::parse(source, &mut problems) {
            root.merge(node);
        }
    }
    for set in sets {
        if let Err(problem) = root.set(set) {
            problems.push(problem);
        }
    }
    root.expand(environment, &mut problems);
    check::check(&root, &schema::ROOT, "", &mut problems);
    let waivers_file = waivers_file(&root, file, &mut problems);
    let mut of_values = Problems::default();
    let config = build::build(&root, waivers_file.as_ref(), &mut of_values);
    // What is out of form has been said already, where it stands.
    problems.add_from_other_lines(of_values);
    if problems.is_empty() { Ok(Loaded { config, tree: root, waivers_file }) } else { Err(problems) }
}

/// The checked content of the file that `parity.waivers_file` names.
fn waivers_file(
    root: &tree::Node,
    file: &dyn Fn(&Path) -> Result<String, String>,
    problems: &mut Problems,
) -> Option<tree::Node> {
    let node = root.get("parity")?.get("waivers_file")?;
    let path = node.place.beside(node.text()?);
    let text = match file(&path) {
        Ok(text) => text,
        Err(error) => {
            let message = format!("parity.waivers_file: cannot read {}: {error}", path.display());
            problems.push(node.place.problem(message, None));
            return None;
        }
    };
    let content = tree::parse(&Source { name: path.display().to_string(), text }, problems)?;
    check::check(&content, &schema::WAIVERS_FILE, "", problems);
    Some(content)
}

#[cfg(test)]
mod tests;
