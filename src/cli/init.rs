//! `isotel init`: a configuration proposed of what arrives, or of files.

use super::next::{Typed, next, paths, shell};
use super::run::{runtime, told_to_end};
use super::{Failure, complain, input, write_out};
use crate::agent::{Agent, Intake, NotRecorded, Sources};
use crate::config::{self, HttpOrGrpc, Source, value};
use crate::survey::{Endpoints, Pair, Proposal, Survey, to_yaml};
use crate::wire::{Refusals, Signal};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Where the configuration goes where nothing is said.
pub const OUTPUT: &str = "isotel.yaml";

#[derive(clap::Args)]
pub struct InitArgs {
    /// Files of telemetry to look at instead of listening; - for standard input
    #[arg(long, value_name = "PATH", num_args = 1..)]
    input: Vec<PathBuf>,
    /// How long to listen, such as 30s or 5m; Ctrl-C ends it sooner
    #[arg(long, value_name = "DURATION", default_value = "60s", conflicts_with = "input")]
    listen: String,
    /// Where to listen for OTLP/gRPC
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:4317")]
    grpc: String,
    /// Where to listen for OTLP/HTTP
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:4318")]
    http: String,
    /// Where to write the configuration, which must not be there yet; - for standard output
    #[arg(short, long, value_name = "FILE", default_value = OUTPUT)]
    output: PathBuf,
}

pub fn init(args: &InitArgs) -> Result<u8, Failure> {
    let to_stdout = args.output.as_os_str() == "-";
    if !to_stdout && args.output.exists() {
        return Err(Failure::Usage(format!(
            "error: {} is already there\n  hint: name another file with -o, or print the proposal with -o -{}",
            args.output.display(),
            next(&format!("isotel validate --config {}", paths(&[&args.output])))
        )));
    }
    let survey = if args.input.is_empty() { listen(args)? } else { of_files(&args.input)? };
    if survey.is_empty() {
        return Err(Failure::Io(nothing(args)));
    }
    let proposal = survey.propose();
    let seen = seen(&survey, &proposal);
    let endpoints = Endpoints { grpc: args.grpc.clone(), http: args.http.clone() };
    let text = to_yaml(&proposal, &endpoints, &seen);
    let source = Source { name: args.output.display().to_string(), text };
    config::load(std::slice::from_ref(&source), &[], &|_| None)
        .map_err(|problems| Failure::Usage(format!("error: the proposal would not be valid\n{problems}")))?;
    write_out((!to_stdout).then_some(&args.output), &source.text)?;
    complain(&seen);
    conclude(&proposal, args);
    Ok(0)
}

fn of_files(paths: &[PathBuf]) -> Result<Survey, Failure> {
    let mut survey = Survey::default();
    for recorded in input::read(paths, false)? {
        survey
            .add(recorded.signal, &recorded.request)
            .map_err(|error| Failure::Io(format!("error: {error}")))?;
    }
    Ok(survey)
}

/// Takes in what is sent, and counts it.
struct Listening(Mutex<Survey>);

impl Intake for Listening {
    fn record(&self, _now_ns: u64, signal: Signal, request: &[u8]) -> Result<Refusals, NotRecorded> {
        let mut survey = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        survey.add(signal, request)?;
        Ok(Refusals::default())
    }
}

fn listen(args: &InitArgs) -> Result<Survey, Failure> {
    let time = value::duration_ns(&args.listen).filter(|ns| *ns > 0).map(Duration::from_nanos);
    let time = time.ok_or_else(|| {
        Failure::Usage(format!("error: --listen: {:?} is not a duration such as 30s or 5m", args.listen))
    })?;
    let sets = [
        format!("receivers.otlp.protocols.grpc.endpoint={}", args.grpc),
        format!("receivers.otlp.protocols.http.endpoint={}", args.http),
        "service.extensions=[]".to_owned(),
        "service.telemetry.metrics.address=localhost:0".to_owned(),
    ];
    let loaded =
        config::load(&[], &sets, &|_| None).map_err(|problems| Failure::Usage(problems.to_string()))?;
    let listening = Arc::new(Listening(Mutex::default()));
    runtime()?.block_on(async {
        let end = told_to_end()?;
        let intake = Arc::clone(&listening);
        let agent = Agent::start(&loaded.config, intake, Sources::default()).await.map_err(|error| {
            let hint = "whoever listens there gets the telemetry now: choose others with --grpc and --http, and send there";
            let other = Typed::now().with("--grpc", "localhost:14317").with("--http", "localhost:14318");
            Failure::Usage(format!("error: {error}\n  hint: {hint}{}", other.line()))
        })?;
        let at = |transport| agent.addresses().first(transport).map_or_else(String::new, |at| at.to_string());
        complain(&format!(
            "Listening for {}: OTLP/gRPC on {}, OTLP/HTTP on {}. Ctrl-C ends it sooner.",
            args.listen,
            at(HttpOrGrpc::Grpc),
            at(HttpOrGrpc::Http)
        ));
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = end => {}
        }
        agent.drain(Duration::from_secs(2), async {}).await;
        Ok::<(), Failure>(())
    })?;
    let mut survey = listening.0.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut *survey))
}

fn nothing(args: &InitArgs) -> String {
    if !args.input.is_empty() {
        return "error: the input has no spans, data points or log records".to_owned();
    }
    format!(
        "error: nothing arrived\n  hint: point an SDK or a collector at it, for example with \
         OTEL_EXPORTER_OTLP_ENDPOINT=http://{} and OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf, and try again; or give it \
         files with --input",
        args.http
    )
}

/// What was seen, in a sentence.
fn seen(survey: &Survey, proposal: &Proposal) -> String {
    let [spans, points, records] = survey.items;
    let services = proposal.services.len();
    let mut text = format!(
        "Seen: {spans} span(s), {points} data point(s) and {records} log record(s) of {services} service(s)."
    );
    if survey.beyond > 0 {
        text.push_str(&format!(" {} more were of too many resources to look at.", survey.beyond));
    }
    text
}

/// What is proposed, and what to do next.
fn conclude(proposal: &Proposal, args: &InitArgs) {
    let first = proposal.split.as_ref().and_then(|split| Some((split, split.pairs.first()?)));
    match first {
        Some((split, Pair { baseline, candidate, shared })) => complain(&format!(
            "{} tells {} environments apart. Proposed: compare {baseline:?} (baseline) with {candidate:?}; {} service(s) \
             are in both.",
            split.attribute,
            split.environments.len(),
            shared.len()
        )),
        None => complain(
            "Nothing tells two environments of the same service apart yet; the file says what to do about it.",
        ),
    }
    if args.output.as_os_str() == "-" {
        return;
    }
    let file = args.output.display();
    complain(&format!("Wrote {file}; read it through."));
    match (&args.input[..], first) {
        ([], _) | (_, None) => complain(&format!("Next: isotel run --config {file}")),
        (files, Some((_, Pair { baseline, candidate, .. }))) => complain(&format!(
            "Next: isotel judge --config {file} --comparison {} --input {}",
            shell(&format!("{baseline}-vs-{candidate}")),
            paths(files)
        )),
    }
}
