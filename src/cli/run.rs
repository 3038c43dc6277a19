//! `isotel run`: the agent, until it is told to stop.
//!
//! SIGHUP reads the configuration again and goes over to it only if it is good. SIGTERM and SIGINT end the agent in
//! order, within [`DRAIN_TIME`]. With a storage the agent goes on where the last one on its directory ended, however that
//! ended.

use super::judge::presence_matrix;
use super::{ConfigArgs, Failure, load, now};
use crate::agent::storage::{Durable, Storage};
use crate::agent::telemetry::{PageText, of_engine, of_tenants};
use crate::agent::{Agent, Hosted, Intake, Question, ResultRoutes, Results, RunningAgent, Sources, logging};
use crate::config::{Config, HttpOrGrpc};
use crate::engine::{Engine, Event};
use crate::export::{Publisher, Sender, Work, prometheus};
use crate::judge::Report;
use crate::judge::curves::OperationName;
use crate::report::html::site::Shown;
use bytes::Bytes;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
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
        let mut live = Live::start(config).await?;
        loop {
            tokio::select! {
                () = tokio::time::sleep(live.pause()) => drop(live.advance()),
                (tenant, question) = live.questions.next() => live.answer(tenant, question),
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

/// A running agent with its engine, or with one for each tenant.
pub struct Live {
    agent: RunningAgent,
    /// In the agent's order.
    tenants: Vec<ResultsOf>,
    questions: Questions,
}

/// An engine whose results are shown and sent.
struct ResultsOf {
    tenant: Option<String>,
    engine: Engine,
    storage: Option<Arc<Storage>>,
    publisher: Publisher,
    routes: ResultRoutes,
    shown: Arc<Results>,
}

/// What the pages of each tenant ask.
struct Questions {
    asked: Vec<mpsc::Receiver<Question>>,
    turn: usize,
}

impl Questions {
    /// The next question, and whose. Tenants take turns, so that none keeps the others from being answered.
    async fn next(&mut self) -> (usize, Question) {
        poll_fn(|context| {
            for at in self.turn..self.turn + self.asked.len() {
                let tenant = at % self.asked.len();
                if let Poll::Ready(Some(question)) = self.asked[tenant].poll_recv(context) {
                    self.turn = tenant + 1;
                    return Poll::Ready((tenant, question));
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// What is made of one tenant before the agent runs.
struct Opened {
    tenant: Option<String>,
    engine: Engine,
    storage: Option<Arc<Storage>>,
    shown: Arc<Results>,
    asked: mpsc::Receiver<Question>,
}

impl Opened {
    fn new(config: &Config, tenant: Option<String>, now_ns: u64) -> Result<Opened, Failure> {
        let shards = std::thread::available_parallelism().map_or(1, usize::from);
        let (storage, engine) = open(config, tenant.as_deref(), now_ns, shards)?;
        let (shown, asked) = Results::new();
        Ok(Opened { tenant, engine, storage, shown: Arc::new(shown), asked })
    }

    /// Its results as Prometheus text.
    fn prometheus(&self) -> PageText {
        let (page, tenant) = (Arc::clone(&self.shown), self.tenant.clone());
        let reports =
            move || -> Vec<Arc<Report>> { page.shown().iter().map(|one| one.report.clone()).collect() };
        Arc::new(move || Box::new(prometheus::render(reports(), tenant.clone())))
    }

    fn hosted(&self) -> Hosted {
        let intake: Arc<dyn Intake> = match &self.storage {
            Some(storage) => Arc::new(Durable::new(self.engine.ingest(), Arc::clone(storage))),
            None => self.engine.ingest(),
        };
        let (name, results) = (self.tenant.clone(), Arc::clone(&self.shown));
        Hosted { prometheus: name.is_some().then(|| self.prometheus()), name, intake, results }
    }
}

/// What the agent tells of itself beside its own counters.
fn sources(opened: &[Opened]) -> Sources {
    let engines = opened.iter().map(|one| (one.tenant.clone(), of_engine(one.engine.ingest())));
    let mut sources = Sources { families: vec![of_tenants(engines.collect())], ..Sources::default() };
    let storages = opened.iter().filter_map(|one| {
        let storage = Arc::clone(one.storage.as_ref()?);
        Some((one.tenant.clone(), Arc::new(move || storage.families()) as _))
    });
    sources.families.push(of_tenants(storages.collect()));
    if let [Opened { tenant: None, .. }] = opened {
        sources.page = Some(opened[0].prometheus());
    }
    sources
}

impl Live {
    /// Starts an agent and its engines.
    pub async fn start(config: Config) -> Result<Live, Failure> {
        let (now_ns, _) = now();
        let names: Vec<Option<String>> = match &config.tenants {
            Some(tenants) => tenants.known.iter().map(|tenant| Some(tenant.name.clone())).collect(),
            None => vec![None],
        };
        let opened = names.into_iter().map(|name| Opened::new(&config, name, now_ns));
        let opened: Vec<Opened> = opened.collect::<Result<_, _>>()?;
        opened.iter().filter_map(|one| one.storage.as_ref()).for_each(Storage::look_after);
        let hosted = opened.iter().map(Opened::hosted).collect();
        let agent = Agent::start_for(&config, hosted, sources(&opened))
            .await
            .map_err(|error| Failure::Usage(format!("error: {error}")))?;
        let mut questions = Questions { asked: Vec::new(), turn: 0 };
        let mut tenants = Vec::new();
        for (one, routes) in opened.into_iter().zip(agent.exporters_for_results()) {
            let Opened { tenant, engine, storage, shown, asked } = one;
            let sender = Sender {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                instance_id: format!("{}-{now_ns:x}", std::process::id()),
                tenant: tenant.clone(),
            };
            let publisher = Publisher::new(sender, config.reports_bytes);
            let results = ResultsOf { tenant, engine, storage, publisher, routes, shown };
            // Of the last agent on this storage.
            results.show(&[]);
            questions.asked.push(asked);
            tenants.push(results);
        }
        Ok(Live { agent, tenants, questions })
    }

    /// Where the agent listens.
    pub fn agent(&self) -> &RunningAgent {
        &self.agent
    }

    /// Where the agent takes OTLP/HTTP.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.agent.addresses().first(HttpOrGrpc::Http)
    }

    /// How long nothing has to be done.
    pub fn pause(&self) -> Duration {
        let (now_ns, _) = now();
        let deadline = self.tenants.iter().filter_map(|tenant| tenant.engine.next_deadline(now_ns)).min();
        let wait = deadline.map_or(LOOK, |at| Duration::from_nanos(at.saturating_sub(now_ns)));
        wait.clamp(Duration::from_millis(20), LOOK)
    }

    /// Seals and judges what is complete, and queues the results.
    pub fn advance(&mut self) -> Vec<Event> {
        self.tenants.iter_mut().flat_map(ResultsOf::advance).collect()
    }

    /// Seals and judges everything, complete or not, and queues the results.
    pub fn finish(&mut self) -> Vec<Event> {
        self.tenants.iter_mut().flat_map(ResultsOf::finish).collect()
    }

    /// Answers what the page asks until this ends.
    pub async fn answer_until(&mut self, end: impl Future<Output = ()>) {
        let mut end = std::pin::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return,
                (tenant, question) = self.questions.next() => self.answer(tenant, question),
            }
        }
    }

    fn answer(&self, tenant: usize, question: Question) {
        let engine = &self.tenants[tenant].engine;
        tokio::task::block_in_place(|| match question {
            Question::Curves { comparison, service, operation, kind, answer } => {
                let (now_ns, generated_at) = now();
                let name = OperationName { service: &service, operation: &operation, kind: &kind };
                // Whoever asked may have gone.
                let _ = answer.send(engine.curves(&comparison, name, now_ns, &generated_at));
            }
            Question::Matrix { comparison, answer } => {
                let found = engine.comparisons().into_iter().find(|known| known.name == comparison);
                let _ = answer.send(found.map(|comparison| Arc::new(presence_matrix(engine, &comparison))));
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
                self.tenants.iter_mut().for_each(|tenant| tenant.replan(&config, now_ns));
                tracing::info!("configuration reloaded");
            }
            Err(error) => tracing::error!(%error, "the new configuration cannot run; the old one goes on"),
        }
    }

    /// Ends everything in order, within [`DRAIN_TIME`]. Windows that are open are sealed early; with a storage they stay open
    /// in it, and the next start goes on with them.
    pub async fn drain(self) {
        let Live { agent, mut tenants, .. } = self;
        let seal = async move {
            for tenant in &mut tenants {
                match tenant.storage {
                    None => tenant.finish(),
                    Some(_) => tenant.advance(),
                };
                tenant.save(now().0);
                // The next may take long; the deadline is looked at between two.
                tokio::task::yield_now().await;
            }
        };
        agent.drain(DRAIN_TIME, seal).await;
    }
}

impl ResultsOf {
    fn advance(&mut self) -> Vec<Event> {
        let (now_ns, generated_at) = now();
        self.of(now_ns, |engine| engine.advance(now_ns, &generated_at))
    }

    fn finish(&mut self) -> Vec<Event> {
        let (now_ns, generated_at) = now();
        self.of(now_ns, |engine| engine.finish(now_ns, &generated_at))
    }

    /// Judging thousands of series and telling of them takes a while; other tasks move to other threads meanwhile.
    fn of(&mut self, began_ns: u64, work: impl FnOnce(&mut Engine) -> Vec<Event>) -> Vec<Event> {
        tokio::task::block_in_place(|| {
            let events = work(&mut self.engine);
            let due = self.storage.as_ref().is_some_and(|storage| storage.is_due(&self.engine, began_ns));
            if due || !events.is_empty() {
                // Before the results leave, so that they are never made again from other requests.
                self.save(began_ns);
            }
            self.publish(&events, began_ns);
            events
        })
    }

    /// Goes over to another configuration; the storage is that of the start.
    fn replan(&mut self, config: &Config, now_ns: u64) {
        self.engine.replan(config.plan(now_ns));
        // What was recorded by the old rules is not recorded again by the new ones.
        tokio::task::block_in_place(|| self.save(now_ns));
        let wanted = config.storage.as_ref().map(|storage| storage.of_tenant(self.tenant.as_deref()));
        if self.storage.as_ref().map(|storage| storage.config()) != wanted.as_ref() {
            tracing::warn!("parity.storage and its extension stay what they are until the next start");
        }
    }

    /// Makes a checkpoint, if there is a storage; after a failure the one before goes on with the log.
    fn save(&mut self, now_ns: u64) {
        let Some(storage) = &self.storage else { return };
        if let Err(error) = storage.checkpoint(&mut self.engine, now_ns) {
            tracing::error!(%error, "no checkpoint; the log keeps what it would have held");
        }
    }

    /// What the pages show after these events: what was judged anew is one more look, and what is compared no more is gone.
    fn show(&self, events: &[Event]) {
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
                (judged, known) => {
                    let mut history = known.map(|one| one.history.clone()).unwrap_or_default();
                    history.note(report);
                    let worst = judged.and_then(|judgement| judgement.worst.clone()).map(Arc::new);
                    Arc::new(Shown { report: report.clone(), worst, history })
                }
            }
        });
        self.shown.show(shown.collect());
    }

    fn publish(&mut self, events: &[Event], began_ns: u64) {
        if events.is_empty() {
            return;
        }
        self.show(events);
        for event in events {
            if let Event::Changed { comparison, to, summary, .. } = event {
                let tenant = self.tenant.as_deref();
                tracing::info!(tenant, %comparison, verdict = %to, %summary, "verdict changed");
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

/// The engine that the last agent on the storage's directory had, or a new one.
fn open(
    config: &Config,
    tenant: Option<&str>,
    now_ns: u64,
    shards: usize,
) -> Result<(Option<Arc<Storage>>, Engine), Failure> {
    let plan = config.plan(now_ns);
    let Some(settings) = &config.storage else {
        return Ok((None, Engine::new(plan, shards)));
    };
    let (storage, engine) = Storage::open(&settings.of_tenant(tenant), plan, shards, now_ns)
        .map_err(|error| Failure::Usage(format!("error: extensions.{}.directory: {error}", settings.id)))?;
    Ok((Some(storage), engine))
}
