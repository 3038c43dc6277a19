//! `isotel snapshot`: evidence of a baseline that stays what it is, in a file.

use super::agent::AgentArgs;
use super::judge::{observed_files, table_options};
use super::next::{Typed, instead_of};
use super::{ConfigArgs, Failure, load, now, write_out};
use crate::agent::storage::newest_checkpoint;
use crate::config::{Config, Problem, Problems, SnapshotFile};
use crate::engine::Engine;
use crate::engine::snapshot::{About, Snapshot, SnapshotError, engine_of_checkpoint};
use crate::report::format;
use crate::report::history::entry::rfc3339;
use crate::report::html::route;
use crate::report::snapshots::{self, Listed};
use crate::report::text::clean;
use clap::{Args, Subcommand};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Bytes of what an agent gives out; its own bound is parity.limits.snapshot_bytes.
const SNAPSHOT_BYTES_MOST: usize = 4 << 30;

#[derive(Subcommand)]
pub enum SnapshotCommand {
    /// Save what one environment did: of files, of an agent, or of its storage
    Save(Box<SaveArgs>),
    /// Show what snapshots are of
    List(ListArgs),
    /// Make a checked snapshot the one that a name stands for
    Pin(PinArgs),
}

#[derive(Args)]
pub struct SaveArgs {
    /// Files of one environment, whatever their resources say
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with_all = ["input", "storage", "agent"])]
    baseline: Vec<PathBuf>,
    /// Files whose resources name their environment
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with_all = ["storage", "agent"])]
    input: Vec<PathBuf>,
    /// The directory of an agent's file_storage; the agent may run
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "agent")]
    storage: Option<PathBuf>,
    /// Which environment
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// What it is of, such as a release
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    /// Where to write it
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Write over a file that is there
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    config: ConfigArgs,
    /// Nothing on standard error but errors
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    agent: AgentArgs,
}

#[derive(Args)]
pub struct ListArgs {
    /// Snapshots, and folders of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct PinArgs {
    /// The snapshot
    snapshot: PathBuf,
    /// The name that pipelines judge against; what it stood for before is replaced
    name: PathBuf,
}

pub fn run(command: &SnapshotCommand) -> Result<u8, Failure> {
    match command {
        SnapshotCommand::Save(args) => save(args),
        SnapshotCommand::List(args) => list(args),
        SnapshotCommand::Pin(args) => pin(args),
    }
}

fn save(args: &SaveArgs) -> Result<u8, Failure> {
    if !args.replace && args.output.exists() {
        return Err(Failure::Usage(format!(
            "error: {} is there already\n  hint: --replace writes over it; a golden snapshot should not change{}",
            args.output.display(),
            Typed::now().and(&["--replace"]).line()
        )));
    }
    let (about, bytes) = match &args.agent.agent {
        Some(url) => of_agent(args, url)?,
        None => of_engine(args)?,
    };
    write_whole(&args.output, &bytes)?;
    if !args.quiet {
        super::complain(&format!(
            "saved {} of {}: {} in {}, {}",
            format::counted(about.requests, "request"),
            clean(&about.environment),
            format::counted(about.series, "series").replace("seriess", "series"),
            format::counted(about.windows, "window"),
            args.output.display()
        ));
    }
    Ok(0)
}

/// The snapshot that an agent gives out.
fn of_agent(args: &SaveArgs, url: &str) -> Result<(About, Vec<u8>), Failure> {
    let Some(environment) = &args.environment else {
        let hint = "--environment NAME, as the agent's comparisons call it";
        return Err(Failure::Usage(format!("error: which environment of the agent?\n  hint: {hint}")));
    };
    let path = format!("{}?note={}", route::of_snapshot(environment), route::escaped(&args.note));
    let bytes = args.agent.reader(url)?.read(&path, SNAPSHOT_BYTES_MOST)?;
    let about = About::of(&bytes).map_err(|error| Failure::Io(format!("error: {url}: {error}")))?;
    Ok((about, bytes.into()))
}

/// The snapshot of what files or a storage have.
fn of_engine(args: &SaveArgs) -> Result<(About, Vec<u8>), Failure> {
    let config = load(&args.config)?.config;
    let engine = match (&args.storage, args.baseline.is_empty(), args.input.is_empty()) {
        (Some(directory), ..) => {
            let (state, windows) =
                newest_checkpoint(directory).map_err(|error| Failure::Io(format!("error: {error}")))?;
            engine_of_checkpoint(config.plan(now().0), &state, windows)
                .map_err(|error| Failure::Io(format!("error: {}: {error}", directory.display())))?
        }
        (None, false, _) => {
            let name = args.environment.as_deref().unwrap_or("baseline");
            observed_files(&config, &[(Some(name), &args.baseline)], args.quiet)?
        }
        (None, true, false) => observed_files(&config, &[(None, &args.input)], args.quiet)?,
        (None, true, true) => {
            return Err(Failure::Usage(format!(
                "error: nothing to save\n  hint: --baseline PATH…, --input PATH…, --agent URL, or --storage DIRECTORY{}",
                Typed::now().with("--baseline", "FILE").line()
            )));
        }
    };
    let environment = environment(args, &engine)?;
    let taken = Snapshot::of(&engine, &environment, &args.note, now().0).map_err(|error| match error {
        SnapshotError::NoEvidence { .. } => Failure::Usage(format!("error: {error}")),
        other => Failure::Internal(format!("error: {other}")),
    })?;
    let bytes = taken.to_bytes(usize::MAX).map_err(|error| Failure::Internal(format!("error: {error}")))?;
    Ok((taken.about, bytes))
}

/// The environment that is asked for, or the only one.
fn environment(args: &SaveArgs, engine: &Engine) -> Result<String, Failure> {
    let names = engine.names();
    match (&args.environment, names.environments()) {
        (Some(name), _) => Ok(name.clone()),
        (None, [only]) => Ok(only.to_string()),
        (None, known) => {
            let typed = Typed::now();
            let meant = match (known.first(), args.input.first()) {
                (Some(name), _) => typed.with("--environment", name),
                (None, Some(file)) => {
                    typed.without("--input").with("--baseline", &file.display().to_string())
                }
                (None, None) => typed.with("--environment", "NAME"),
            };
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Err(Failure::Usage(format!(
                "error: which environment? there are: {known}\n  hint: --environment NAME, or --baseline for files that \
                 name none{}",
                meant.line()
            )))
        }
    }
}

fn list(args: &ListArgs) -> Result<u8, Failure> {
    let mut files = Vec::new();
    for path in &args.paths {
        match std::fs::read_dir(path) {
            Ok(entries) => {
                let of_folder = entries.flatten().map(|entry| entry.path());
                let mut of_folder: Vec<PathBuf> = of_folder.filter(|path| path.is_file()).collect();
                of_folder.sort();
                files.extend(of_folder.into_iter().map(|path| (path, false)));
            }
            Err(_) => files.push((path.clone(), true)),
        }
    }
    let (mut listed, mut unreadable) = (Vec::new(), 0);
    for (path, named) in files {
        let bytes = read(&path)?;
        // Other files may be in a folder; one that is named is meant.
        if !named && !crate::engine::snapshot::is_snapshot(&bytes) {
            continue;
        }
        match About::of(&bytes) {
            Ok(about) => {
                listed.push(Listed { file: path.display().to_string(), bytes: bytes.len() as u64, about })
            }
            Err(error) => {
                unreadable += 1;
                super::complain(&format!("error: {}: {error}", path.display()));
            }
        }
    }
    let text =
        if args.json { snapshots::to_json(&listed) } else { snapshots::to_table(&listed, &table_options()) };
    write_out(None, &text)?;
    Ok(if unreadable > 0 { 4 } else { 0 })
}

fn pin(args: &PinArgs) -> Result<u8, Failure> {
    let bytes = read(&args.snapshot)?;
    let about = About::of(&bytes)
        .map_err(|error| Failure::Io(format!("error: {}: {error}", args.snapshot.display())))?;
    write_whole(&args.name, &bytes)?;
    super::complain(&format!(
        "{} is now {} of {}",
        args.name.display(),
        about.environment,
        format::instant(&rfc3339(about.saved_ns))
    ));
    Ok(0)
}

/// The snapshots that a configuration's comparisons have as their baseline; or all that is wrong with them, each where it is
/// named.
pub fn baselines(config: &Config) -> Result<Vec<(String, Snapshot)>, Failure> {
    baselines_of(&config.snapshots, config, Some(config.plan(0).window_ns))
}

/// Some of them, whose windows are so long, if that is said.
pub fn baselines_of(
    files: &[SnapshotFile],
    config: &Config,
    window_ns: Option<u64>,
) -> Result<Vec<(String, Snapshot)>, Failure> {
    let mut problems = Problems::default();
    let mut read = Vec::new();
    for file in files {
        match baseline(file, config, window_ns) {
            Ok(snapshot) => read.push((file.name.clone(), snapshot)),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(read) } else { Err(Failure::Usage(problems.to_string())) }
}

fn baseline(file: &SnapshotFile, config: &Config, window_ns: Option<u64>) -> Result<Snapshot, Problem> {
    let (most, mut bytes) = (config.limits.snapshot_bytes, Vec::new());
    std::fs::File::open(&file.path)
        .and_then(|content| content.take(most as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| {
            file.problem(
                error,
                "save one with `isotel snapshot save`, and put it there with `isotel snapshot pin`",
            )
        })?;
    if bytes.len() > most {
        let what = format!("the snapshot has more than {most} bytes");
        return Err(file.problem(what, "raise parity.limits.snapshot_bytes"));
    }
    let another = "save it anew with `isotel snapshot save`, or pin another one";
    let snapshot = Snapshot::from_bytes(&bytes).map_err(|error| file.problem(error, another))?;
    window_ns
        .map_or(Ok(()), |window_ns| snapshot.about.fits(window_ns))
        .map_err(|error| file.problem(error, another))?;
    Ok(snapshot)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| {
        Failure::Io(format!("error: cannot read {}: {error}{}", path.display(), instead_of(path, &error)))
    })
}

/// The file is there as a whole once this returns, or what was there before.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error| Failure::Io(format!("error: cannot write {}: {error}", path.display()));
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let beside = path.with_file_name(format!("{name}.{}.tmp", std::process::id()));
    let mut file = std::fs::File::create(&beside).map_err(failed)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(error) = written.and_then(|()| std::fs::rename(&beside, path)) {
        // Room is what is missing as a rule.
        let _ = std::fs::remove_file(&beside);
        return Err(failed(error));
    }
    Ok(())
}
