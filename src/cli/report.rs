//! `isotel report`: what changed over a week, or any other period, from an agent's history in its storage or over its API.

use super::agent::AgentArgs;
use super::next::{Typed, instead_of, next, paths};
use super::{ConfigArgs, Failure, load, now, write_out};
use crate::agent::storage::history;
use crate::config::value::{duration_ns, time_ns};
use crate::report::history::Period;
use crate::report::history::entry::rfc3339;
use crate::report::history::period::SCHEMA;
use crate::report::html::route;
use crate::report::review::{self, Review};
use crate::report::{format, html};
use clap::{Args, ValueEnum};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// How to make a report of an agent on this machine.
const ASK: &str = "isotel report --agent http://localhost:4319";

/// The period where nothing is said.
const SINCE: &str = "7d";
/// Bytes of one answer of an agent.
const ANSWER_BYTES_MOST: usize = 64 << 20;

/// What is read of a line about a comparison.
#[derive(Deserialize)]
struct Shown {
    comparison: String,
}

#[derive(Args)]
pub struct ReportArgs {
    /// The directory of an agent's file_storage; the agent may run
    #[arg(long, value_name = "DIRECTORY", conflicts_with_all = ["history", "agent"])]
    storage: Option<PathBuf>,
    /// What the agent's API says of a period (/api/v1/comparisons/NAME/history); - for standard input
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with_all = ["since", "from", "to", "agent"])]
    history: Vec<PathBuf>,
    /// How far back from now; 7d without it
    #[arg(long, value_name = "DURATION", conflicts_with = "from")]
    since: Option<String>,
    /// The first moment: a day, or RFC 3339
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// The first moment after it; now without it
    #[arg(long, value_name = "TIME", requires = "from")]
    to: Option<String>,
    /// Which comparisons; all without it
    #[arg(long, value_name = "NAME", num_args = 1..)]
    comparison: Vec<String>,
    /// For the waivers that it has
    #[command(flatten)]
    config: ConfigArgs,
    /// How to write it
    #[arg(long, value_enum, default_value = "markdown")]
    format: ReportFormat,
    /// Where to write it; standard output without it
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    agent: AgentArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum ReportFormat {
    /// For a mail, a wiki or an issue
    Markdown,
    /// One page that needs nothing else, for browsers
    Html,
    /// isotel.report/v1
    Json,
}

pub fn report(args: &ReportArgs) -> Result<u8, Failure> {
    let waivers = load(&args.config)?.config.policy.waivers;
    let (now_ns, _) = now();
    let periods = match (&args.agent.agent, &args.storage) {
        (Some(url), _) => of_agent(url, args, now_ns)?,
        (None, Some(directory)) => of_storage(directory, args, now_ns)?,
        (None, None) if args.history.is_empty() => {
            return Err(Failure::Usage(format!(
                "error: nothing to report\n  hint: --agent URL of its page, --storage DIRECTORY of an agent, or --history \
                 PATH of what its API says{}",
                next(ASK)
            )));
        }
        (None, None) => args.history.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?,
    };
    let known: Vec<&str> = periods.iter().map(|period| period.comparison.as_str()).collect();
    if let Some(unknown) = args.comparison.iter().find(|name| !known.contains(&name.as_str())) {
        let meant =
            known.first().map_or_else(String::new, |name| Typed::now().with("--comparison", name).line());
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(Failure::Usage(format!(
            "error: no comparison {unknown:?}\n  hint: there are: {known}{meant}"
        )));
    }
    let wanted = |period: &Period| args.comparison.is_empty() || args.comparison.contains(&period.comparison);
    let review = Review::of(periods.into_iter().filter(wanted).collect(), &waivers, now_ns);
    let text = match args.format {
        ReportFormat::Markdown => review::to_markdown(&review),
        ReportFormat::Html => html::of_review(&review),
        ReportFormat::Json => review::to_json(&review),
    };
    write_out(args.output.as_ref(), &text)?;
    Ok(0)
}

/// Every comparison that an agent's storage knows.
fn of_storage(directory: &Path, args: &ReportArgs, now_ns: u64) -> Result<Vec<Period>, Failure> {
    let (from_ns, to_ns) = period(args, now_ns)?;
    // The time before is told too.
    let retention_ns = now_ns.saturating_sub(from_ns.saturating_sub(to_ns - from_ns));
    let (histories, read) = history::read(directory, retention_ns).map_err(|error| {
        let hint = "the directory of file_storage, of an agent with parity.storage";
        Failure::Io(format!("error: {error}\n  hint: name {hint}"))
    })?;
    // The end of what an agent is writing right now is no damage.
    let lost =
        read.damaged.iter().filter(|damage| damage.what != crate::agent::storage::log::Fault::Tail).count();
    if lost > 0 {
        let parts = format::counted(lost as u64, "part");
        super::complain(&format!("warning: {parts} of the history cannot be read and are left out"));
    }
    Ok(histories.iter().map(|(name, history)| history.period(name, from_ns, to_ns)).collect())
}

/// Every comparison that an agent shows.
fn of_agent(url: &str, args: &ReportArgs, now_ns: u64) -> Result<Vec<Period>, Failure> {
    let (from_ns, to_ns) = period(args, now_ns)?;
    let [from, to] = [from_ns, to_ns].map(|at_ns| route::escaped(&rfc3339(at_ns)));
    let reader = args.agent.reader(url)?;
    let shown = reader.read(route::COMPARISONS, ANSWER_BYTES_MOST)?;
    let shown: Vec<Shown> = serde_json::from_slice(&shown)
        .map_err(|error| Failure::Io(format!("error: {url} is no page of an agent: {error}")))?;
    let of_one = |Shown { comparison }: Shown| {
        let path = format!("{}?from={from}&to={to}", route::of_api(&comparison, "history"));
        parsed(&reader.read(&path, ANSWER_BYTES_MOST)?, url)
    };
    shown.into_iter().map(of_one).collect()
}

/// The period that is asked for.
fn period(args: &ReportArgs, now_ns: u64) -> Result<(u64, u64), Failure> {
    let time = |option: &str, text: &String| {
        time_ns(text).ok_or_else(|| {
            Failure::Usage(format!(
                "error: {option} {text:?} is no time\n  hint: 2026-11-21, or 2026-11-21T08:30:00Z"
            ))
        })
    };
    let Some(from) = &args.from else {
        let since = args.since.as_deref().unwrap_or(SINCE);
        let length = duration_ns(since).filter(|length| *length > 0);
        let length = length.ok_or_else(|| {
            Failure::Usage(format!("error: --since {since:?} is no duration\n  hint: 24h, 7d, 30d"))
        })?;
        return Ok((now_ns.saturating_sub(length), now_ns));
    };
    let from_ns = time("--from", from)?;
    let to_ns = args.to.as_ref().map_or(Ok(now_ns), |to| time("--to", to))?;
    if from_ns >= to_ns {
        return Err(Failure::Usage("error: --from is not earlier than --to".to_owned()));
    }
    Ok((from_ns, to_ns))
}

/// A period in a file, as the agent's API writes it.
fn read(path: &Path) -> Result<Period, Failure> {
    let name = path.display();
    let bytes = super::read(path).map_err(|error| {
        Failure::Io(format!("error: cannot read {name}: {error}{}", instead_of(path, &error)))
    })?;
    parsed(&bytes, &name.to_string())
}

fn parsed(text: &[u8], name: &str) -> Result<Period, Failure> {
    let period: Period = serde_json::from_slice(text).map_err(|error| {
        let is_verdict = crate::report::from_json(&String::from_utf8_lossy(text)).is_ok();
        let hint = if is_verdict { next(&format!("isotel explain {}", paths(&[name]))) } else { next(ASK) };
        Failure::Io(format!("error: {name} is no {SCHEMA}: {error}{hint}"))
    })?;
    match period.schema == SCHEMA {
        true => Ok(period),
        false => Err(Failure::Io(format!(
            "error: {name} is of schema {:?}; this isotel reads {SCHEMA}",
            period.schema
        ))),
    }
}
