//! `isotel catalog`: writes a catalog of what was observed, and checks one. Also reads catalogs for other commands.

use super::input::{self, Recorded};
use super::next::{instead_of, next, paths as words};
use super::{ConfigArgs, Failure, complain, load, now, write_out};
use crate::catalog::{self, BOUNDS, BYTES_MAX, Catalog, to_yaml};
use crate::engine::{Comparisons, Engine, Plan};
use crate::wire::file::read_requests;
use crate::yaml::Source;
use clap::{Args, Subcommand};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Files in all folders.
const FILES_MAX: usize = 10_000;
/// Folders in folders.
const FOLDER_DEPTH_MAX: usize = 16;
/// What telemetry without an environment is taken to be of, where none has any.
const ENVIRONMENT: &str = "observed";

#[derive(Subcommand)]
pub enum CatalogCommand {
    /// Write a catalog that expects what recorded telemetry shows
    Infer(InferArgs),
    /// Check catalogs and registries: all problems at once, each with its line
    Check(CheckArgs),
}

#[derive(Args)]
pub struct InferArgs {
    /// Files of telemetry; - for standard input
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Where to write the catalog; standard output without it
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Nothing on standard error but errors
    #[arg(long)]
    quiet: bool,
}

#[derive(Args)]
pub struct CheckArgs {
    /// Catalogs, and files or folders of a semantic-convention registry
    #[arg(value_name = "FILE", required = true)]
    paths: Vec<PathBuf>,
}

pub fn run(command: &CatalogCommand) -> Result<u8, Failure> {
    match command {
        CatalogCommand::Infer(args) => infer(args),
        CatalogCommand::Check(args) => check(args),
    }
}

/// Reads files and folders of catalogs and registries as one catalog.
pub fn read(paths: &[PathBuf]) -> Result<Catalog, Failure> {
    let mut files = Vec::new();
    for path in paths {
        find(path, FOLDER_DEPTH_MAX, &mut files)?;
    }
    let mut sources = Vec::new();
    let mut bytes = 0;
    for file in &files {
        let source = content(file)?;
        bytes += source.text.len();
        sources.push(source);
        if bytes > BYTES_MAX {
            break;
        }
    }
    catalog::read(&sources).map_err(|problems| {
        let is_telemetry = |source: &&Source| read_requests(source.text.as_bytes(), |_, _, _| {}).is_ok();
        let infer = |source: &Source| {
            next(&format!("isotel catalog infer {} -o catalog.yaml", words(&[&source.name])))
        };
        let instead = sources.iter().find(is_telemetry).map_or_else(String::new, infer);
        Failure::Usage(format!("{problems}{instead}"))
    })
}

/// The files of a path: itself, or what is YAML in the folder, in order of name.
fn find(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let unreadable = |error: std::io::Error| {
        Failure::Io(format!("error: cannot read the catalog {}: {error}", path.display()))
    };
    let entries = std::fs::read_dir(path).map_err(unreadable)?;
    let mut paths =
        entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    paths.sort();
    let before = files.len();
    for inner in paths {
        let yaml = inner.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if inner.is_dir() && depth > 0 {
            find(&inner, depth - 1, files)?;
        } else if yaml && inner.is_file() {
            files.push(inner);
        }
        if files.len() > FILES_MAX {
            let message =
                format!("error: the catalog has more than {FILES_MAX} files, found in {}", path.display());
            return Err(Failure::Usage(message));
        }
    }
    if files.len() == before && depth == FOLDER_DEPTH_MAX {
        return Err(Failure::Usage(format!("error: no .yaml file in {}", path.display())));
    }
    Ok(())
}

/// The text of a file, of which no more is read than a catalog may have.
fn content(path: &Path) -> Result<Source, Failure> {
    let name = path.display().to_string();
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(BOUNDS.bytes as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| {
            Failure::Io(format!("error: cannot read the catalog {name}: {error}{}", instead_of(path, &error)))
        })?;
    if bytes.len() > BOUNDS.bytes {
        let hint = "hint: make several files of it, one for each team or service";
        let most = BOUNDS.bytes;
        let message =
            format!("error: the catalog {name} has more than {most} bytes, and no more are read\n  {hint}");
        return Err(Failure::Usage(message));
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| Failure::Usage(format!("error: the catalog {name} is not text: {error}")))?;
    Ok(Source { name, text })
}

fn check(args: &CheckArgs) -> Result<u8, Failure> {
    let catalog = read(&args.paths)?;
    let mut parts = Vec::new();
    if !catalog.services.is_empty() {
        let items = catalog.services.values().map(|service| service.items.len()).sum::<usize>();
        parts.push(format!("{} service(s) with {items} item(s)", catalog.services.len()));
    }
    if let Some(registry) = &catalog.registry {
        let attributes = registry.attributes.len() + registry.templates.len();
        parts.push(format!(
            "conventions on {attributes} attribute(s) and {} metric(s)",
            registry.metrics.len()
        ));
    }
    complain(&format!("the catalog is valid: {}", parts.join(", ")));
    Ok(0)
}

fn infer(args: &InferArgs) -> Result<u8, Failure> {
    let mut config = load(&args.config)?.config;
    config.policy.catalog = None;
    let recorded = input::read(&args.paths, args.quiet)?;
    let mut plan = config.plan(0);
    plan.limits.open_windows = usize::MAX;
    plan.period_windows = usize::MAX >> 1;
    // There is nothing to compare.
    plan.comparisons = Comparisons::Named(Vec::new());
    if !config.window.1 {
        let (now_ns, _) = now();
        plan.window_ns = input::window_for(input::active_seconds(recorded.iter(), &plan.limits, now_ns));
    }
    let mut engine = observe(plan.clone(), &recorded)?;
    if engine.names().environments().is_empty() {
        plan.environments.default = Some(ENVIRONMENT.to_owned());
        engine = observe(plan, &recorded)?;
    }
    let catalog = engine.infer();
    if !args.quiet {
        say_what_is_not_in(&engine);
    }
    if catalog.services.is_empty() {
        return Err(Failure::Io("error: there is no telemetry to make a catalog of".to_owned()));
    }
    write_out(args.output.as_ref(), &to_yaml(&catalog))?;
    Ok(0)
}

fn observe(plan: Plan, recorded: &[Recorded]) -> Result<Engine, Failure> {
    let (now_ns, generated_at) = now();
    let mut engine = Engine::new(plan, 1);
    let ingest = engine.ingest();
    for Recorded { signal, request } in recorded {
        ingest
            .observe(now_ns, None, *signal, request)
            .map_err(|error| Failure::Io(format!("error: {error}")))?;
    }
    engine.finish(now_ns, &generated_at);
    Ok(engine)
}

fn say_what_is_not_in(engine: &Engine) {
    let tally = engine.ingest().tally();
    let names = engine.names();
    for (service, items) in &tally.unassigned {
        let service = names.service_key(*service);
        complain(&format!("{items} item(s) of {service} name no environment and are not in the catalog"));
    }
    for (reason, items) in &tally.refused {
        complain(&format!("{items} item(s) were refused: {reason}"));
    }
    for (limit, n) in names.limits_hit().iter().chain(tally.hits.iter()) {
        complain(&format!("the limit parity.limits.{} was reached {n} time(s)", limit.as_str()));
    }
}
