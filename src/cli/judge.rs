//! `isotel judge` and `isotel coverage`: the engine on recorded telemetry.

use super::input::{self, Recorded};
use super::next::{Typed, next, paths};
use super::snapshot::baselines_of;
use super::{ConfigArgs, Failure, load, now, width, write_out};
use crate::catalog::Catalog;
use crate::config::{Config, SnapshotFile};
use crate::engine::snapshot::Snapshot;
use crate::engine::{Comparisons, Engine, Plan};
use crate::judge::curves::Curves;
use crate::judge::policy::Comparison;
use crate::judge::presence::{Presence, Sighting, Sightings};
use crate::judge::verdict::ServiceResult;
use crate::judge::{Judgement, Report, Verdict};
use crate::model::nearest::nearest;
use crate::model::{EnvironmentId, ServiceKey};
use crate::report::{
    Matrix, MatrixCell, MatrixRow, Plot, PlotSide, TableOptions, catalog_report, html, junit, matrix,
    openmetrics, to_json, to_markdown, to_table,
};
use clap::{Args, ValueEnum};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Args)]
pub struct JudgeArgs {
    /// Files of the baseline; - for standard input
    #[arg(long, value_name = "PATH", num_args = 1.., requires = "candidate")]
    baseline: Vec<PathBuf>,
    /// Files of the candidate
    #[arg(long, value_name = "PATH", num_args = 1..)]
    candidate: Vec<PathBuf>,
    /// Files whose resources name their environment
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with_all = ["baseline", "candidate"])]
    input: Vec<PathBuf>,
    /// Which comparison of the configuration; without it the two environments that there are
    #[arg(long, value_name = "NAME", requires = "input")]
    comparison: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
    /// How to write the result
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Where to write the result; standard output without it
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Which verdict is a failure
    #[arg(long, value_enum, default_value = "divergent")]
    fail_on: FailOn,
    /// First judge the baseline against itself, and abstain where that is called divergent too often
    #[arg(long)]
    calibrate: bool,
    /// Every row of everything
    #[arg(long)]
    verbose: bool,
    /// Nothing on standard error but errors
    #[arg(long)]
    quiet: bool,
}

#[derive(Args)]
pub struct CoverageArgs {
    #[command(flatten)]
    inputs: JudgeArgs,
    /// What is expected: catalogs, and files or folders of a semantic-convention registry. With it one environment is
    /// enough, as --input or as --candidate
    #[arg(long, value_name = "FILE")]
    catalog: Vec<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// isotel.verdict/v1
    Json,
    /// For comments
    Markdown,
    /// JUnit XML, for the test pages of CI
    Junit,
    /// One page that needs nothing else, for browsers
    Html,
    /// A handful of gauges, for GitLab's metrics reports
    Openmetrics,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum FailOn {
    /// Exit 1 when divergent
    Divergent,
    /// Exit 1 when divergent, 3 when inconclusive or without data
    Inconclusive,
    /// Exit 0 whatever the verdict
    Never,
}

/// The engine after all input, and what is compared.
struct Judged {
    engine: Engine,
    comparison: Comparison,
    judgement: Judgement,
}

pub fn judge(args: &JudgeArgs) -> Result<u8, Failure> {
    let judged = judged(&configured(args)?, args)?;
    let report = &judged.judgement.report;
    let text = match args.format {
        Format::Json => to_json(report),
        Format::Markdown => to_markdown(report),
        Format::Junit => junit::of_report(report),
        Format::Openmetrics => openmetrics::of_report(report),
        Format::Html => {
            let matrix = presence_matrix(&judged.engine, &judged.comparison);
            let worst = judged.judgement.worst.as_ref();
            html::of_report(report, html::Pictures { worst, matrix: Some(&matrix) })
        }
        Format::Table => {
            let plot = judged.judgement.worst.as_ref().map(|curves| plot(curves, report));
            to_table(report, &TableOptions { plot, ..options(args) })
        }
    };
    write_out(args.output.as_ref(), &text)?;
    Ok(code(report.verdict, args))
}

/// The configuration; says what is unwise in it.
fn configured(args: &JudgeArgs) -> Result<Config, Failure> {
    let loaded = load(&args.config)?;
    if !args.quiet {
        super::warn(&loaded);
    }
    Ok(loaded.config)
}

pub fn coverage(args: &CoverageArgs) -> Result<u8, Failure> {
    let mut config = configured(&args.inputs)?;
    if !args.catalog.is_empty() {
        config.policy.catalog = Some(Arc::new(super::catalog::read(&args.catalog)?));
    }
    let args = &args.inputs;
    match config.policy.catalog.clone() {
        Some(catalog) => coverage_of_catalog(&catalog, &config, args),
        None => coverage_of_pair(&config, args),
    }
}

/// Each environment beside a catalog.
fn coverage_of_catalog(catalog: &Catalog, config: &Config, args: &JudgeArgs) -> Result<u8, Failure> {
    let (engine, now_ns, generated_at) = observed(config, args)?;
    let compared = match args.comparison {
        Some(_) => Some(chosen(&engine, args)?),
        None => None,
    };
    let wanted =
        |name: &str| compared.as_ref().is_none_or(|pair| pair.baseline == name || pair.candidate == name);
    let seen: Vec<String> = engine.names().environments().iter().map(|name| name.to_string()).collect();
    let ids =
        seen.iter().enumerate().filter(|(_, name)| wanted(name)).map(|(at, _)| EnvironmentId(at as u16));
    let ids: Vec<EnvironmentId> = ids.collect();
    if ids.is_empty() && args.baseline.is_empty() && args.candidate.is_empty() {
        return Err(Failure::Usage(format!(
            "error: the input names no environment\n  hint: name one under parity.environment in --config FILE, or pass \
             the files as --candidate{}",
            next(&format!("isotel init --input {}", paths(&args.input)))
        )));
    }
    let report = engine.hold(catalog, ids, now_ns, &generated_at);
    let text = match args.format {
        Format::Json => catalog_report::to_json(&report),
        Format::Markdown => catalog_report::to_markdown(&report),
        Format::Junit => junit::of_catalog(&report),
        Format::Openmetrics => openmetrics::of_catalog(&report),
        Format::Html => html::of_catalog(&report),
        Format::Table => catalog_report::to_table(&report, &options(args)),
    };
    write_out(args.output.as_ref(), &text)?;
    Ok(code(report.verdict, args))
}

/// Two environments beside each other.
fn coverage_of_pair(config: &Config, args: &JudgeArgs) -> Result<u8, Failure> {
    let judged = judged(config, args)?;
    let matrix = presence_matrix(&judged.engine, &judged.comparison);
    let report = &judged.judgement.report;
    let verdict_of = |service: &ServiceResult| match service.coverage.expected {
        0 => Verdict::NoData,
        _ if service.coverage.counted() < judged.engine.coverage_tolerance(&service.service) => {
            Verdict::Divergent
        }
        _ => Verdict::Parity,
    };
    let verdicts = report.services.iter().map(|service| (service.service.clone(), verdict_of(service)));
    let verdicts: BTreeMap<String, Verdict> = verdicts.collect();
    let text = match args.format {
        Format::Json => matrix::to_json(&matrix),
        Format::Markdown => matrix::to_markdown(&matrix),
        Format::Junit => junit::of_coverage(report, &matrix, &verdicts),
        Format::Openmetrics => openmetrics::of_coverage(report),
        Format::Html => html::of_coverage(report, &matrix, &verdicts),
        Format::Table => matrix::to_table(&matrix, &options(args)),
    };
    write_out(args.output.as_ref(), &text)?;
    Ok(code(verdicts.into_values().max().unwrap_or(Verdict::NoData), args))
}

/// How a table is drawn on this terminal.
pub fn table_options() -> TableOptions {
    TableOptions { width: width(), colour: super::colour(), ..TableOptions::default() }
}

fn options(args: &JudgeArgs) -> TableOptions {
    let options = table_options();
    TableOptions { colour: options.colour && args.output.is_none(), verbose: args.verbose, ..options }
}

/// The worst operation's two distributions over each other.
pub fn plot(curves: &Curves, report: &Report) -> String {
    Plot {
        title: &curves.title(),
        baseline: PlotSide { name: &report.baseline.environment, points: &curves.baseline },
        candidate: PlotSide { name: &report.candidate.environment, points: &curves.candidate },
        tolerance: curves.tolerance(),
        d: curves.d,
    }
    .render(width().min(100))
}

/// Which telemetry exists in the two environments of a comparison.
pub fn presence_matrix(engine: &Engine, comparison: &Comparison) -> Matrix {
    let names = engine.names();
    let sides = engine.evidence_of(comparison);
    let environments: Vec<EnvironmentId> = sides.iter().map(|side| side.environment).collect();
    let mut presence = Presence::default();
    for side in &sides {
        presence.add(&names, side.environment, side.windows.iter().copied());
    }
    presence.services.retain(|service, _| comparison.includes(service));
    let cell = |service: &ServiceKey, env: EnvironmentId, sighting: &Sighting| MatrixCell {
        count: sighting.seen.count,
        first_ns: sighting.seen.first_ns,
        last_ns: sighting.seen.last_ns,
        per_s: presence.rate_per_s(env, sighting).map(thousandths),
        instances: presence.share_of_instances(service, env, sighting).map(thousandths),
        cardinality: sighting.values.as_ref().and_then(|values| values.cardinality()),
    };
    let rows = presence.services.iter().flat_map(|(service, items)| {
        let (cell, environments) = (&cell, &environments);
        let cells = move |sightings: &Sightings| {
            let of = |env: &EnvironmentId| Some(cell(service, *env, sightings.get(env)?));
            environments.iter().map(of).collect()
        };
        items.iter().map(move |(name, sightings)| MatrixRow {
            service: service.to_string(),
            kind: name.kind.as_str().to_owned(),
            item: name.name.to_string(),
            cells: cells(sightings),
        })
    });
    let rows = rows.collect();
    Matrix { environments: sides.iter().map(|side| side.name.to_owned()).collect(), rows }
}

/// More digits than anybody reads.
fn thousandths(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

fn code(verdict: Verdict, args: &JudgeArgs) -> u8 {
    let code = match (verdict, args.fail_on) {
        (_, FailOn::Never) | (Verdict::Parity, _) => 0,
        (Verdict::Divergent, _) => 1,
        (Verdict::Inconclusive | Verdict::NoData, FailOn::Inconclusive) => 3,
        (Verdict::Inconclusive | Verdict::NoData, FailOn::Divergent) => 0,
    };
    if code == 0 && verdict != Verdict::Parity && !args.quiet {
        super::complain(&format!("the verdict is {verdict}; the exit code is 0 because of --fail-on"));
    }
    code
}

fn judged(config: &Config, args: &JudgeArgs) -> Result<Judged, Failure> {
    if args.baseline.is_empty() && !args.candidate.is_empty() {
        return Err(Failure::Usage(format!(
            "error: --candidate has nothing to be compared with\n  hint: --baseline PATH…, or --catalog FILE of \
             `isotel coverage`{}",
            Typed::now().with("--baseline", "FILE").line()
        )));
    }
    let (engine, now_ns, generated_at) = observed(config, args)?;
    let comparison = chosen(&engine, args)?;
    let judgement = match args.calibrate {
        true => engine.judge_calibrated(&comparison, now_ns, &generated_at).ok_or_else(|| {
            Failure::Usage(format!(
                "error: --calibrate needs a baseline of 16 windows with telemetry\n  hint: give it a longer recording, \
                 or set parity.window to a shorter one{}",
                Typed::now().without("--calibrate").line()
            ))
        })?,
        false => engine.judge(&comparison, now_ns, &generated_at),
    };
    Ok(Judged { engine, comparison, judgement })
}

/// The engine after all input, and now, in both forms.
fn observed(config: &Config, args: &JudgeArgs) -> Result<(Engine, u64, String), Failure> {
    let (now_ns, generated_at) = now();
    let mut files = vec![(Some("candidate"), &args.candidate), (None, &args.input)];
    let snapshot = input::snapshot(&args.baseline)?;
    if let Some(path) = args.candidate.iter().chain(&args.input).find(|path| is_a_snapshot(path)) {
        // Whoever gave a baseline too has taken one for the other.
        let typed = Typed::now()
            .without("--input")
            .without("--candidate")
            .with("--baseline", &path.display().to_string());
        let candidate = args.baseline.first().map_or("FILE".to_owned(), |path| path.display().to_string());
        return Err(Failure::Usage(format!(
            "error: {} is a snapshot, which is something to judge against\n  hint: pass it as --baseline{}",
            path.display(),
            typed.with("--candidate", &candidate).line()
        )));
    }
    if snapshot.is_none() {
        files.insert(0, (Some("baseline"), &args.baseline));
    }
    let twice = args.candidate.iter().find(|path| args.baseline.contains(path));
    if let Some(path) = twice.filter(|_| !args.quiet) {
        super::complain(&format!("warning: {} is on both sides, and like itself", path.display()));
    }
    let sets = read(&files, args.quiet)?;
    if sets.is_empty() {
        return Err(Failure::Usage(format!(
            "error: nothing to judge\n  hint: --baseline PATH… --candidate PATH…, or --input PATH…; the next command \
             records two files to try it on{}",
            next("isotel demo --once --record shop")
        )));
    }
    let mut plan = plan(config, &sets, now_ns);
    if args.input.is_empty() {
        plan.comparisons = Comparisons::Named(vec![Comparison {
            name: "baseline-vs-candidate".to_owned(),
            baseline: "baseline".to_owned(),
            candidate: "candidate".to_owned(),
            services: Vec::new(),
            offset_ns: 0,
            traffic: None,
        }]);
    }
    let baselines = baselines(config, args)?;
    if let (Some((_, snapshot)), false) = (baselines.first(), config.window.1) {
        plan.window_ns = snapshot.about.window_ns;
    }
    let mut engine = match snapshot {
        Some(snapshot) => {
            if !config.window.1 {
                plan.window_ns = snapshot.about.window_ns;
            }
            snapshot
                .engine(plan, 1, "baseline")
                .map_err(|error| Failure::Usage(format!("error: {}: {error}", args.baseline[0].display())))?
        }
        None => Engine::new(plan, 1),
    };
    engine.set_baselines(&baselines).map_err(|error| Failure::Usage(format!("error: {error}")))?;
    let engine = finished(engine, &sets, now_ns, &generated_at)?;
    Ok((engine, now_ns, generated_at))
}

/// The snapshots that the chosen comparison of the configuration has as its baseline.
fn baselines(config: &Config, args: &JudgeArgs) -> Result<Vec<(String, Snapshot)>, Failure> {
    let Comparisons::Named(named) = &config.comparisons else { return Ok(Vec::new()) };
    if args.input.is_empty() {
        return Ok(Vec::new());
    }
    let chosen =
        |comparison: &&Comparison| args.comparison.as_ref().is_none_or(|name| comparison.name == *name);
    let wanted = |file: &&SnapshotFile| named.iter().filter(chosen).any(|one| one.baseline == file.name);
    let files: Vec<SnapshotFile> = config.snapshots.iter().filter(wanted).cloned().collect();
    baselines_of(&files, config, config.window.1.then(|| config.plan(0).window_ns))
}

fn is_a_snapshot(path: &PathBuf) -> bool {
    matches!(input::snapshot(std::slice::from_ref(path)), Ok(Some(_)) | Err(_))
}

/// The engine after some files, each under the name of an environment or by what its resources say.
pub fn observed_files(
    config: &Config,
    files: &[(Option<&str>, &Vec<PathBuf>)],
    quiet: bool,
) -> Result<Engine, Failure> {
    let (now_ns, generated_at) = now();
    let sets = read(files, quiet)?;
    finished(Engine::new(plan(config, &sets, now_ns), 1), &sets, now_ns, &generated_at)
}

/// What was recorded, and under which environment's name.
type Sets<'a> = Vec<(Option<&'a str>, Vec<Recorded>)>;

fn read<'a>(files: &[(Option<&'a str>, &Vec<PathBuf>)], quiet: bool) -> Result<Sets<'a>, Failure> {
    let given = files.iter().filter(|(_, paths)| !paths.is_empty());
    given.map(|(side, paths)| Ok((*side, input::read(paths, quiet)?))).collect()
}

fn finished(mut engine: Engine, sets: &Sets<'_>, now_ns: u64, generated_at: &str) -> Result<Engine, Failure> {
    let ingest = engine.ingest();
    for (side, recorded) in sets {
        let forced = side.and_then(|name| ingest.environment(name));
        for Recorded { signal, request } in recorded {
            // A file has no sender to tell; what could not be decoded is in the counts of the report.
            ingest
                .observe(now_ns, forced, *signal, request)
                .map_err(|error| Failure::Io(format!("error: {error}")))?;
        }
    }
    engine.finish(now_ns, generated_at);
    Ok(engine)
}

/// The plan of the configuration, without what only a live agent needs: no data is late, and nothing is forgotten.
fn plan(config: &Config, sets: &Sets<'_>, now_ns: u64) -> Plan {
    let mut plan = config.plan(0);
    plan.limits.open_windows = usize::MAX;
    plan.period_windows = usize::MAX >> 1;
    if !config.window.1 {
        let seconds = |recorded: &[Recorded]| input::active_seconds(recorded.iter(), &plan.limits, now_ns);
        let shorter = sets.iter().map(|(_, recorded)| seconds(recorded)).min();
        plan.window_ns = input::window_for(shorter.unwrap_or(0));
    }
    plan
}

/// How to judge files that do not name two environments: one is a side each, or a configuration is proposed of them.
fn sides(args: &JudgeArgs) -> String {
    let file = |path: &PathBuf| path.display().to_string();
    match &args.input[..] {
        [baseline, candidate] => Typed::now()
            .without("--input")
            .without("--comparison")
            .with("--baseline", &file(baseline))
            .with("--candidate", &file(candidate))
            .line(),
        files => next(&format!("isotel init --input {}", paths(files))),
    }
}

fn chosen(engine: &Engine, args: &JudgeArgs) -> Result<Comparison, Failure> {
    let comparisons = engine.comparisons();
    let names = || comparisons.iter().map(|c| c.name.clone()).collect::<Vec<_>>().join(", ");
    let found = match &args.comparison {
        Some(name) => comparisons.iter().find(|comparison| comparison.name == *name),
        None if comparisons.len() == 1 => comparisons.first(),
        None => None,
    };
    let with = |name: &str| {
        let known = || comparisons.iter().map(|comparison| &*comparison.name);
        let meant = nearest(name, known(), 3).or_else(|| known().next());
        Typed::now().with("--comparison", meant.unwrap_or_default()).line()
    };
    found.cloned().ok_or_else(|| {
        let seen: Vec<String> = engine.names().environments().iter().map(|name| name.to_string()).collect();
        let seen = if seen.is_empty() { "none".to_owned() } else { seen.join(", ") };
        Failure::Usage(match (&args.comparison, comparisons.is_empty()) {
            (Some(name), false) => {
                format!("error: no comparison {name:?}\n  hint: there are {}{}", names(), with(name))
            }
            (_, true) => format!(
                "error: two environments are needed, and the input has: {seen}\n  hint: name them under \
                 parity.comparisons in --config FILE, or pass --baseline and --candidate{}",
                sides(args)
            ),
            (None, false) => {
                format!("error: which comparison?\n  hint: --comparison with one of {}{}", names(), with(""))
            }
        })
    })
}
