//! `isotel run`: the agent, until it is told to stop.
//!
//! SIGHUP reads the configuration again and goes over to it only if it is good. SIGTERM and SIGINT end the agent in
//! order, within [`DRAIN_TIME`]. With a storage the agent goes on where the last one on its directory ended, however that
//! ended.

use super::alerts::Alerting;
use super::judge::presence_matrix;
use super::{ConfigArgs, Failure, load, now};
use crate::agent::storage::history::Archive;
use crate::agent::storage::{Durable, Storage, StorageError};
use crate::agent::{Act, Agent, Intake, Question, ResultRoutes, Results, RunningAgent, Sources, logging};
use crate::config::{Config, HistoryConfig, HttpOrGrpc, Listener};
use crate::engine::releases::ReleaseError;
use crate::engine::{Engine, Event};
use crate::export::{Publisher, Sender, Work, prometheus};
use crate::judge::curves::OperationName;
use crate::judge::{Release, Report};
use crate::report::html::site::Shown;
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// How long the end may take.
const DRAIN_TIME: Duration = Duration::from_secs(10);
/// The longest time between two looks at the watermarks.
const LOOK: Duration = Duration::from_millis(500);

pub fn run(args: &ConfigArgs) -> Result<u8, Failure> {
    let loaded = load(args)?;
    super::warn(&loaded);
    let config = loaded.config;
    logging::start(config.log_encoding, &config.log_level).map_err(Failure::Internal)?;
    runtime()?.block_on(async {
        let mut hangup = signal(SignalKind::hangup()).map_err(no_signals)?;
        let mut end = std::pin::pin!(told_to_end()?);
        let anybody = open_to_anybody(&config);
        let mut live = Live::start(config).await?;
        live.warn_of_exposure(&anybody);
        loop {
            tokio::select! {
                () = tokio::time::sleep(live.pause()) => drop(live.advance()),
                Some(question) = live.questions.recv() => live.answer(question),
                _ = hangup.recv() => live.reload(args).await,
                () = &mut end => break,
            }
        }
        tracing::info!("stopping");
        live.drain().await;
        tracing::info!("stopped");
        Ok(0)
    })
}

/// Ends when the process is told to: SIGTERM, or SIGINT as Ctrl-C sends it. From the call on, neither ends it by itself.
pub fn told_to_end() -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn no_signals(error: std::io::Error) -> Failure {
    Failure::Internal(format!("error: signals: {error}"))
}

/// The runtime of every command that serves: as many threads as there are processors.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Internal(format!("error: cannot start threads: {error}")))
}

/// The keys of listeners that ask for neither a credential nor a certificate.
fn open_to_anybody(config: &Config) -> Vec<String> {
    let asks = |listener: &Listener| {
        listener.auth.is_some() || listener.tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some())
    };
    config.listeners.iter().filter(|listener| !asks(listener)).map(|listener| listener.key.clone()).collect()
}

/// A running agent with its engine.
pub struct Live {
    agent: RunningAgent,
    results: ResultsOf,
    questions: mpsc::Receiver<Question>,
}

/// An engine whose results are shown and sent.
struct ResultsOf {
    engine: Engine,
    storage: Option<Arc<Storage>>,
    publisher: Publisher,
    routes: ResultRoutes,
    alerting: Alerting,
    shown: Arc<Results>,
    archive: Archive,
    history: HistoryConfig,
}

impl Live {
    /// Starts an agent and its engine.
    pub async fn start(config: Config) -> Result<Live, Failure> {
        let (now_ns, _) = now();
        let shards = std::thread::available_parallelism().map_or(1, usize::from);
        let (storage, mut engine, archive) = open(&config, now_ns, shards)?;
        let (shown, questions) = Results::new();
        let shown = Arc::new(shown);
        let page = Arc::clone(&shown);
        let reports =
            move || -> Vec<Arc<Report>> { page.shown().iter().map(|one| one.report.clone()).collect() };
        let mut sources = Sources {
            page: Some(Arc::new(move || Box::new(prometheus::render(reports())))),
            results: Arc::clone(&shown),
            ..Sources::of_engine(engine.ingest())
        };
        let mut alerting = Alerting::resume(&config, storage.as_deref(), &mut engine, &mut sources);
        let mut intake: Arc<dyn Intake> = engine.ingest();
        if let Some(storage) = &storage {
            intake = Arc::new(Durable::new(engine.ingest(), Arc::clone(storage)));
            storage.look_after();
            let storage = Arc::clone(storage);
            sources.families.push(Arc::new(move || storage.families()));
        }
        if let Some(counters) = archive.counters() {
            sources.families.push(Arc::new(move || counters.families()));
        }
        let agent = Agent::start(&config, intake, sources)
            .await
            .map_err(|error| Failure::Usage(format!("error: {error}")))?;
        let sender = Sender {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instance_id: format!("{}-{now_ns:x}", std::process::id()),
        };
        let routes = agent.exporters_for_results();
        alerting.send_to(agent.exporters_for_alerts());
        let publisher = Publisher::new(sender, config.reports_bytes);
        let mut results = ResultsOf {
            engine,
            storage,
            publisher,
            routes,
            alerting,
            shown,
            archive,
            history: config.history,
        };
        // Of the last agent on this storage.
        results.show(&[]);
        Ok(Live { agent, results, questions })
    }

    /// Where the agent listens.
    pub fn agent(&self) -> &RunningAgent {
        &self.agent
    }

    /// Where the agent takes OTLP/HTTP.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.agent.addresses().first(HttpOrGrpc::Http)
    }

    /// Warns of the listeners among these that other machines reach.
    fn warn_of_exposure(&self, anybody: &[String]) {
        for (key, _, address) in &self.agent.addresses().otlp {
            if anybody.contains(key) && !address.ip().is_loopback() {
                tracing::warn!(
                    %key, %address,
                    "anybody who reaches this address may send; set auth or tls.client_ca_file, or listen on localhost"
                );
            }
        }
    }

    /// How long nothing has to be done.
    pub fn pause(&self) -> Duration {
        let (now_ns, _) = now();
        let deadline = self.results.engine.next_deadline(now_ns);
        let wait = deadline.map_or(LOOK, |at| Duration::from_nanos(at.saturating_sub(now_ns)));
        wait.clamp(Duration::from_millis(20), LOOK)
    }

    /// Seals and judges what is complete, and queues the results.
    pub fn advance(&mut self) -> Vec<Event> {
        let (now_ns, generated_at) = now();
        self.results.of(now_ns, |engine| engine.advance(now_ns, &generated_at))
    }

    /// Seals and judges everything, complete or not, and queues the results.
    pub fn finish(&mut self) -> Vec<Event> {
        let (now_ns, generated_at) = now();
        self.results.of(now_ns, |engine| engine.finish(now_ns, &generated_at))
    }

    /// Answers what the page asks until this ends.
    pub async fn answer_until(&mut self, end: impl Future<Output = ()>) {
        let mut end = std::pin::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return,
                Some(question) = self.questions.recv() => self.answer(question),
            }
        }
    }

    fn answer(&mut self, question: Question) {
        let results = &mut self.results;
        tokio::task::block_in_place(|| match question {
            Question::Curves { comparison, service, operation, kind, answer } => {
                let (now_ns, generated_at) = now();
                let name = OperationName { service: &service, operation: &operation, kind: &kind };
                // Whoever asked may have gone.
                let _ = answer.send(results.engine.curves(&comparison, name, now_ns, &generated_at));
            }
            Question::Matrix { comparison, answer } => {
                let engine = &results.engine;
                let found = engine.comparisons().into_iter().find(|known| known.name == comparison);
                let _ = answer.send(found.map(|comparison| Arc::new(presence_matrix(engine, &comparison))));
            }
            Question::Session { act, answer } => {
                let _ = answer.send(results.act(act));
            }
            Question::Baseline { begin, answer } => {
                let (now_ns, generated_at) = now();
                let _ = answer.send(results.engine.baseline_health(&begin, now_ns, &generated_at));
            }
        });
    }

    /// Reads the configuration again; goes over to it if it is good, and stays with the old one if not.
    async fn reload(&mut self, args: &ConfigArgs) {
        let config = match load(args) {
            Ok(loaded) => loaded.config,
            Err(failure) => {
                tracing::error!(
                    "the new configuration has problems; the old one goes on\n{}",
                    failure.message()
                );
                return;
            }
        };
        let (now_ns, _) = now();
        match self.agent.reload(&config).await {
            Ok(()) => {
                self.results.replan(&config, now_ns);
                self.warn_of_exposure(&open_to_anybody(&config));
                tracing::info!("configuration reloaded");
            }
            Err(error) => tracing::error!(%error, "the new configuration cannot run; the old one goes on"),
        }
    }

    /// Ends everything in order, within [`DRAIN_TIME`]. Windows that are open are sealed early; with a storage they stay open
    /// in it, and the next start goes on with them.
    pub async fn drain(self) {
        let Live { agent, mut results, .. } = self;
        let seal = async move {
            let (now_ns, generated_at) = now();
            match results.storage {
                None => results.of(now_ns, |engine| engine.finish(now_ns, &generated_at)),
                Some(_) => results.of(now_ns, |engine| engine.advance(now_ns, &generated_at)),
            };
            results.save(now_ns);
        };
        agent.drain(DRAIN_TIME, seal).await;
    }
}

impl ResultsOf {
    /// Judging thousands of series and telling of them takes a while; other tasks move to other threads meanwhile.
    fn of(&mut self, began_ns: u64, work: impl FnOnce(&mut Engine) -> Vec<Event>) -> Vec<Event> {
        tokio::task::block_in_place(|| {
            let events = work(&mut self.engine);
            let expired = self.engine.expire_releases(began_ns);
            let due = expired
                || self.storage.as_ref().is_some_and(|storage| storage.is_due(&self.engine, began_ns));
            if due || !events.is_empty() {
                // Before the results leave, so that they are never made again from other requests.
                self.save(began_ns);
            }
            if expired && events.is_empty() {
                self.show(&[]);
            }
            self.publish(&events, began_ns);
            self.archive.expire(began_ns);
            // Without a look too: who hears nothing for long takes an alert for resolved.
            self.alerting.send(began_ns);
            events
        })
    }

    /// Does something with a session. What has changed is on disk before it is told, and shown.
    fn act(&mut self, act: Act) -> Result<(Arc<Release>, bool), ReleaseError> {
        let (now_ns, generated_at) = now();
        let (release, changed) = match act {
            Act::Begin(begin) => self.engine.begin(&begin, now_ns, &generated_at)?,
            Act::Cancel(id) => (self.engine.cancel(&id, now_ns)?, true),
            Act::Override(id, by) => (self.engine.override_release(&id, by)?, true),
        };
        if changed {
            tracing::info!(
                session = %release.id, comparison = %release.comparison.name, state = release.state.as_str(),
                decision = release.decision().as_str(), answer = release.answer().as_str(), "a session has changed"
            );
            self.save(now_ns);
            self.show(&[]);
        }
        Ok((release, changed))
    }

    /// Goes over to another configuration; the storage is that of the start.
    fn replan(&mut self, config: &Config, now_ns: u64) {
        self.engine.replan(config.plan(now_ns));
        self.alerting.replan(config);
        // What was recorded by the old rules is not recorded again by the new ones.
        tokio::task::block_in_place(|| self.save(now_ns));
        if self.storage.as_ref().map(|storage| storage.config()) != config.storage.as_ref() {
            tracing::warn!("parity.storage and its extension stay what they are until the next start");
        }
        if self.history != config.history {
            tracing::warn!("parity.history stays what it is until the next start");
        }
    }

    /// Makes a checkpoint, if there is a storage; after a failure the one before goes on with the log.
    fn save(&mut self, now_ns: u64) {
        let Some(storage) = &self.storage else { return };
        if let Err(error) = storage.checkpoint(&mut self.engine, now_ns) {
            tracing::error!(%error, "no checkpoint; the log keeps what it would have held");
        }
        if let Err(cause) = self.archive.sync() {
            tracing::warn!(%cause, "the history cannot be synced; the end of power may lose looks");
        }
    }

    /// What the pages show after these events: what was judged anew is one more look, and what is compared no more is gone.
    fn show(&mut self, events: &[Event]) {
        for event in events {
            if let Event::Judged(judgement) = event {
                self.archive.note(&judgement.report);
            }
        }
        let before = self.shown.shown();
        let judged = |report: &Arc<Report>| {
            events.iter().find_map(|event| match event {
                Event::Judged(judgement) if Arc::ptr_eq(&judgement.report, report) => Some(judgement),
                _ => None,
            })
        };
        let shown = self.engine.reports().map(|report| {
            let known = before.iter().find(|one| one.report.comparison == report.comparison);
            match (judged(report), known) {
                (None, Some(known)) => Arc::clone(known),
                (judged, _) => {
                    let worst = judged.and_then(|judgement| judgement.worst.clone()).map(Arc::new);
                    let history = self.archive.of(&report.comparison);
                    Arc::new(Shown { report: report.clone(), worst, history })
                }
            }
        });
        self.shown.show(shown.collect(), self.engine.releases().cloned().collect());
    }

    fn publish(&mut self, events: &[Event], began_ns: u64) {
        if events.is_empty() {
            return;
        }
        self.show(events);
        self.alerting.look(events, &self.engine, self.storage.as_deref(), began_ns);
        for event in events {
            if let Event::Changed { comparison, to, summary, .. } = event {
                tracing::info!(%comparison, verdict = %to, %summary, "verdict changed");
            }
        }
        let (ended_ns, _) = now();
        if self.routes.any() {
            let routes = &self.routes;
            self.publisher.encode(
                &self.engine,
                events,
                Work { began_ns, ended_ns },
                &mut |signal, request| {
                    routes.offer(signal, Bytes::from(request));
                },
            );
        }
    }
}

/// The engine that the last agent on the storage's directory had, or a new one, and what was judged before.
fn open(
    config: &Config,
    now_ns: u64,
    shards: usize,
) -> Result<(Option<Arc<Storage>>, Engine, Archive), Failure> {
    let plan = config.plan(now_ns);
    let id = config.storage.as_ref().map_or("", |settings| &settings.id);
    let failed = |error: StorageError| Failure::Usage(format!("error: extensions.{id}.directory: {error}"));
    let (storage, engine) = match &config.storage {
        Some(settings) => {
            let (storage, engine) = Storage::open(settings, plan, shards, now_ns).map_err(failed)?;
            (Some(storage), engine)
        }
        None => (None, Engine::new(plan, shards)),
    };
    let directory = config.storage.as_ref().map(|settings| settings.directory.as_path());
    let archive = Archive::open(directory, &config.history, now_ns).map_err(failed)?;
    Ok((storage, engine, archive))
}
