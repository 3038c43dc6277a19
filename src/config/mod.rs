//! YAML → a validated [`Config`], or all its problems at once.
//!
//! text (`tree`) → merged tree → `--set` and `${env:…}` → checked against one table of keys ([`schema`]) → values
//! ([`build`]). The table is the only place that knows a key: unknown keys, `config schema`, `config print` and
//! `config limits` all come from it. Pure: texts and an environment look-up are arguments.

pub mod build;
mod check;
mod parity;
pub mod print;
pub mod problem;
pub mod schema;
mod tree;
pub mod value;

pub use build::{
    Compression, Config, ExporterConfig, HttpOrGrpc, Listener, LogEncoding, QueueConfig, RetryConfig,
    ServerTls, Signals, TelemetryOtlp,
};
pub use problem::{Problem, Problems};

/// The configuration that is used without a file.
pub const DEFAULT: &str = include_str!("../../config/isotel.yaml");

/// One text of configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file's name, for messages.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// A configuration, and the tree that it was made from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    tree: tree::Node,
}

/// Reads sources, later ones over earlier ones, then `sets` (`a.b=c`), then environment variables. Without sources the
/// embedded default is read.
///
/// # Errors
/// All [`Problems`], each with file, line and hint.
pub fn load(
    sources: &[Source],
    sets: &[String],
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, Problems> {
    let embedded = [Source { name: "(embedded default)".to_owned(), text: DEFAULT.to_owned() }];
    let sources = if sources.is_empty() { &embedded[..] } else { sources };
    let mut problems = Problems::default();
    let mut root = tree::Node::empty_map();
    for source in sources {
        match tree::parse(source) {
            Ok(node) => root.merge(node),
            Err(problem) => problems.push(problem),
        }
    }
    for set in sets {
        if let Err(problem) = root.set(set) {
            problems.push(problem);
        }
    }
    root.expand(environment, &mut problems);
    check::check(&root, &schema::ROOT, "", &mut problems);
    let mut of_values = Problems::default();
    let config = build::build(&root, &mut of_values);
    // What is out of form has been said already, where it stands.
    problems.add_from_other_lines(of_values);
    if problems.is_empty() { Ok(Loaded { config, tree: root }) } else { Err(problems) }
}

#[cfg(test)]
mod tests;
