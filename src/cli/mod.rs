//! The command line: arguments in, exit code out. Data on standard output, everything else on standard error.

mod agent;
mod alerts;
mod catalog;
mod demo;
mod init;
mod input;
mod judge;
mod manual;
mod next;
mod report;
mod run;
mod snapshot;

use crate::config::{self, Loaded, Source};
use clap::{Args, Parser, Subcommand, ValueEnum};
use next::{Typed, instead_of, next, paths};
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// What every caller must know, at the end of the help.
const AFTER: &str = "Exit codes: 0 parity, 1 divergent, 2 usage or configuration, 3 inconclusive or no data (with --fail-on \
                     inconclusive), 4 input or output failed, 5 internal.\n\nFirst `isotel demo`, which shows what it does; \
                     then `isotel init`, which proposes a configuration of your telemetry.";

/// Is this environment the same as that one? Telemetry parity for OpenTelemetry.
#[derive(Parser)]
#[command(name = "isotel", version, max_term_width = 100, after_help = AFTER)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the agent: OTLP in, verdicts out, telemetry forwarded unchanged
    Run(ConfigArgs),
    /// Run a real agent on two simulated environments with a planted regression
    Demo(demo::DemoArgs),
    /// Propose a configuration of the telemetry that arrives, or of files
    Init(init::InitArgs),
    /// Judge recorded telemetry: two sets of files, or files with tagged environments
    Judge(judge::JudgeArgs),
    /// Show which telemetry exists in which environment, and which is missing
    Coverage(judge::CoverageArgs),
    /// Write or check a catalog: the telemetry that is expected
    #[command(subcommand)]
    Catalog(catalog::CatalogCommand),
    /// Keep what a baseline did in a file, to judge against for good
    #[command(subcommand)]
    Snapshot(snapshot::SnapshotCommand),
    /// Tell what changed over a week or any other period, from an agent's history
    Report(report::ReportArgs),
    /// Explain a verdict, or one finding of it: numbers, formulas, and the sentence
    Explain(ExplainArgs),
    /// Check a configuration: all problems at once, each with its line
    Validate(ConfigArgs),
    /// Show the configuration that holds, its schema, or its limits
    Config(ShowArgs),
    /// Write a script that completes commands and options in a shell
    Completions(manual::CompletionsArgs),
    /// Write the pages for `man`, one for each command
    Man(manual::ManArgs),
}

/// Which configuration.
#[derive(Args, Clone, Default)]
pub struct ConfigArgs {
    /// A configuration file; may be repeated, later ones win
    #[arg(long = "config", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Set one key, for example parity.window=30s; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
}

#[derive(Args)]
struct ExplainArgs {
    /// What `isotel judge --format json` wrote; - for standard input
    verdict: PathBuf,
    /// Which finding; without it the whole verdict
    finding: Option<String>,
}

#[derive(Args)]
struct ShowArgs {
    /// What to show
    what: Show,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum Show {
    /// The configuration that holds, as YAML, secrets masked
    Print,
    /// A JSON schema for editors
    Schema,
    /// Every key with its values, its default and its meaning, as Markdown
    Reference,
    /// Every limit with the memory that it implies
    Limits,
}

/// Why a command ended otherwise than it should.
#[derive(Debug)]
pub enum Failure {
    /// Usage or configuration: 2.
    Usage(String),
    /// Input or output: 4.
    Io(String),
    /// A fault of ours: 5.
    Internal(String),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Failure::Usage(_) => 2,
            Failure::Io(_) => 4,
            Failure::Internal(_) => 5,
        }
    }

    fn message(&self) -> &str {
        match self {
            Failure::Usage(message) | Failure::Io(message) | Failure::Internal(message) => message,
        }
    }
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| {
        let meant = next::of_misuse(&error);
        // Nothing is left to tell when standard error is gone.
        let _ = error.print();
        meant.iter().for_each(|meant| complain(meant));
        std::process::exit(error.exit_code())
    });
    let result = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Demo(args) => demo::demo(&args),
        Command::Init(args) => init::init(&args),
        Command::Judge(args) => judge::judge(&args),
        Command::Coverage(args) => judge::coverage(&args),
        Command::Catalog(command) => catalog::run(&command),
        Command::Snapshot(command) => snapshot::run(&command),
        Command::Report(args) => report::report(&args),
        Command::Explain(args) => explain(&args),
        Command::Validate(args) => validate(&args),
        Command::Config(args) => show(&args),
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::man(&args),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            complain(failure.message());
            ExitCode::from(failure.code())
        }
    }
}

/// Says something to the person, not to the pipe.
fn complain(message: &str) {
    // Nothing is left to tell when standard error is gone.
    let _ = writeln!(std::io::stderr(), "{message}");
}

/// Reads the configuration that the arguments name, and the catalog that it names.
#[expect(clippy::disallowed_methods, reason = "the command line is where the environment is read")]
fn load(args: &ConfigArgs) -> Result<Loaded, Failure> {
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let (name, instead) = (path.display(), instead_of(path, &error));
            Failure::Usage(format!("error: cannot read the configuration {name}: {error}{instead}"))
        })?;
        Ok(Source { name: path.display().to_string(), text })
    };
    let sources: Vec<Source> = args.files.iter().map(read).collect::<Result<_, Failure>>()?;
    let file = |path: &Path| std::fs::read_to_string(path).map_err(|error| error.to_string());
    let mut loaded = config::load_with(&sources, &args.sets, &|name| std::env::var(name).ok(), &file)
        .map_err(|problems| Failure::Usage(problems.to_string()))?;
    if !loaded.config.catalogs.is_empty() {
        let paths: Vec<PathBuf> = loaded.config.catalogs.iter().map(PathBuf::from).collect();
        loaded.config.policy.catalog = Some(Arc::new(catalog::read(&paths)?));
    }
    Ok(loaded)
}

/// Says what is unwise in a configuration.
fn warn(loaded: &Loaded) {
    loaded.warnings(now().0).iter().for_each(|warning| complain(&warning.as_warning()));
}

fn validate(args: &ConfigArgs) -> Result<u8, Failure> {
    let loaded = load(args)?;
    warn(&loaded);
    warn_not_named(args);
    snapshot::baselines(&loaded.config)?;
    complain(if args.files.is_empty() { "the defaults are valid" } else { "the configuration is valid" });
    Ok(0)
}

/// Says that the configuration which `isotel init` wrote here is not read.
fn warn_not_named(args: &ConfigArgs) {
    if args.files.is_empty() && Path::new(init::OUTPUT).is_file() {
        let named = Typed::now().with("--config", init::OUTPUT).line();
        complain(&format!(
            "warning: {} is here and not read, since no --config names it{named}",
            init::OUTPUT
        ));
    }
}

fn show(args: &ShowArgs) -> Result<u8, Failure> {
    let text = match args.what {
        Show::Schema => format!("{:#}\n", config::print::json_schema()),
        Show::Reference => config::reference::reference(),
        Show::Print => config::print::print(&load(&args.config)?),
        Show::Limits => config::print::limits_table(&load(&args.config)?),
    };
    write_out(None, &text)?;
    Ok(0)
}

fn explain(args: &ExplainArgs) -> Result<u8, Failure> {
    let name = args.verdict.display();
    let bytes = read(&args.verdict).map_err(|error| {
        let instead = match next::is_finding(&args.verdict) {
            true => format!(
                "\n  hint: a finding's id comes after the verdict's file{}",
                next(&format!("isotel explain verdict.json {name}"))
            ),
            false => instead_of(&args.verdict, &error),
        };
        Failure::Io(format!("error: cannot read {name}: {error}{instead}"))
    })?;
    let report = crate::report::from_json(&String::from_utf8_lossy(&bytes)).map_err(|error| {
        // Telemetry is what a verdict is made of.
        let telemetry = crate::wire::file::read_requests(&bytes, |_, _, _| {}).is_ok() && !bytes.is_empty();
        let made = match telemetry {
            true => format!("isotel judge --input {} --format json -o verdict.json", paths(&[&args.verdict])),
            false => "isotel judge --baseline FILE --candidate FILE --format json -o verdict.json".to_owned(),
        };
        Failure::Io(format!("error: {name}: {error}{}", next(&made)))
    })?;
    let explained = crate::report::explain(&report, args.finding.as_deref()).map_err(|error| {
        let all = next(&format!("isotel explain {}", paths(&[&args.verdict])));
        Failure::Usage(format!("error: {error}{all}"))
    });
    write_out(None, &explained?)?;
    Ok(0)
}

/// A whole file, or standard input where it is `-`.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match path.as_os_str() == "-" {
        true => std::io::stdin().lock().read_to_end(&mut bytes)?,
        false => std::fs::File::open(path)?.read_to_end(&mut bytes)?,
    };
    Ok(bytes)
}

/// Writes data to a file, or to standard output.
fn write_out(file: Option<&PathBuf>, text: &str) -> Result<(), Failure> {
    let (written, name) = match file {
        Some(path) => (std::fs::write(path, text), path.display().to_string()),
        None => {
            let mut out = std::io::stdout().lock();
            (out.write_all(text.as_bytes()).and_then(|()| out.flush()), "standard output".to_owned())
        }
    };
    match written {
        // Whoever reads may stop reading, as `head` does.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| Failure::Io(format!("error: cannot write {name}: {error}"))),
    }
}

/// Now, as nanoseconds since the epoch and as RFC 3339.
#[expect(clippy::disallowed_methods, reason = "the command line is where time comes from")]
fn now() -> (u64, String) {
    let now = jiff::Timestamp::now();
    (u64::try_from(now.as_nanosecond()).unwrap_or(0), now.to_string())
}

/// Whether colour is wanted: by a terminal, and not refused by `NO_COLOR` (no-color.org).
#[expect(clippy::disallowed_methods, reason = "the command line is where the environment is read")]
fn colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var("NO_COLOR").map_or(true, |value| value.is_empty())
}

/// How wide the terminal says that it is.
#[expect(clippy::disallowed_methods, reason = "the command line is where the environment is read")]
fn width() -> usize {
    std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(110)
}
