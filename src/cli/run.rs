//! `isotel run`: the agent, until it is told to stop.
//!
//! SIGHUP reads the configuration again and goes over to it only if it is good. SIGTERM and SIGINT end the agent in
//! order, within [`DRAIN_TIME`]. With a storage the agent goes on where the last one on its directory ended, however that
//! ended.

use super::alerts::Alerting;
use super::judge::presence_matrix;
use super::next::Typed;
use super::snapshot::baselines;
use super::{ConfigArgs, Failure, load, now};
use crate::agent::serve::BindError;
use crate::agent::storage::history::Archive;
use crate::agent::storage::{Durable, Storage, StorageError};
use crate::agent::telemetry::{Families, PageText, of_engine, of_tenants};
use crate::agent::{
    Act, Agent, Hosted, Intake, Question, ResultRoutes, Results, RunningAgent, Sources, StartError, logging,
};
use crate::config::{Config, HistoryConfig, HttpOrGrpc};
use crate::engine::releases::ReleaseError;
use crate::engine::snapshot::Snapshot;
use crate::engine::{Engine, Event, Plan, Tier};
use crate::export::{Publisher, Sender, Work, part_request, prometheus};
use crate::judge::curves::OperationName;
use crate::judge::{Release, Report};
use crate::model::HashKey;
use crate::report::history::entry::rfc3339;
use crate::report::html::site::Shown;
use crate::wire::Signal;
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
    super::warn_not_named(args);
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

/// How to start beside whoever has the address.
fn elsewhere(error: &StartError) -> String {
    let StartError::Bind(BindError::Listen { key, endpoint, cause }) = error else { return String::new() };
    let taken = cause.kind() == std::io::ErrorKind::AddrInUse;
    let Some((host, port)) = endpoint.rsplit_once(':').filter(|_| taken) else { return String::new() };
    let key = if key.starts_with("receivers.") { format!("{key}.endpoint") } else { key.clone() };
    let port = port.parse::<u16>().ok().and_then(|port| port.checked_add(10_000)).unwrap_or(0);
    let other = Typed::now().and(&["--set", &format!("{key}={host}:{port}")]);
    format!("\n  hint: `ss -ltnp` tells who listens there; end that, or listen elsewhere{}", other.line())
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
    alerting: Alerting,
    shown: Arc<Results>,
    archive: Archive,
    history: HistoryConfig,
    /// Whether what has been sealed is in no checkpoint yet, because one has failed.
    unsaved: bool,
    /// Parts that were given up, as far as it has been told.
    lost_parts: u64,
    /// Those of the start.
    tier: Tier,
    key: Option<HashKey>,
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
    archive: Archive,
    alerting: Alerting,
    shown: Arc<Results>,
    asked: mpsc::Receiver<Question>,
}

impl Opened {
    fn new(
        config: &Config,
        snapshots: &[(String, Snapshot)],
        tenant: Option<String>,
        now_ns: u64,
    ) -> Result<Opened, Failure> {
        let shards = std::thread::available_parallelism().map_or(1, usize::from);
        let (storage, mut engine, mut archive) = open(config, tenant.as_deref(), now_ns, shards)?;
        engine.set_baselines(snapshots).map_err(|error| Failure::Usage(format!("error: {error}")))?;
        let alerting = Alerting::resume(config, tenant.as_deref(), storage.as_deref(), &mut engine);
        let (mut shown, asked) = Results::new();
        shown.judged_elsewhere = config.tier == Tier::First;
        // What the last agent on this storage came to is there before anybody can ask.
        show(&shown, &engine, &mut archive, &[]);
        Ok(Opened { tenant, engine, storage, archive, alerting, shown: Arc::new(shown), asked })
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
        Some((one.tenant.clone(), Arc::new(move || storage.families()) as Families))
    });
    sources.families.push(of_tenants(storages.collect()));
    let histories = opened.iter().filter_map(|one| {
        let counters = one.archive.counters()?;
        Some((one.tenant.clone(), Arc::new(move || counters.families()) as Families))
    });
    sources.families.push(of_tenants(histories.collect()));
    let alerts = opened.iter().map(|one| (one.tenant.clone(), one.alerting.families()));
    sources.families.push(of_tenants(alerts.collect()));
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
        let snapshots = baselines(&config)?;
        tell(&snapshots);
        let opened = names.into_iter().map(|name| Opened::new(&config, &snapshots, name, now_ns));
        let opened: Vec<Opened> = opened.collect::<Result<_, _>>()?;
        opened.iter().filter_map(|one| one.storage.as_ref()).for_each(Storage::look_after);
        let hosted = opened.iter().map(Opened::hosted).collect();
        let agent = Agent::start_for(&config, hosted, sources(&opened))
            .await
            .map_err(|error| Failure::Usage(format!("error: {error}{}", elsewhere(&error))))?;
        let mut questions = Questions { asked: Vec::new(), turn: 0 };
        let mut tenants = Vec::new();
        let routes = agent.exporters_for_results().into_iter().zip(agent.exporters_for_alerts());
        for (one, (routes, of_alerts)) in opened.into_iter().zip(routes) {
            let Opened { tenant, engine, storage, archive, mut alerting, shown, asked } = one;
            alerting.send_to(of_alerts);
            let sender = Sender {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                instance_id: format!("{}-{now_ns:x}", std::process::id()),
                tenant: tenant.clone(),
            };
            let publisher = Publisher::new(sender, config.reports_bytes);
            let history = config.history.clone();
            let lost_parts = engine.ingest().parts().lost;
            questions.asked.push(asked);
            tenants.push(ResultsOf {
                tenant,
                engine,
                storage,
                publisher,
                routes,
                alerting,
                shown,
                archive,
                history,
                unsaved: false,
                lost_parts,
                tier: config.tier,
                key: config.policy.redaction.key.clone(),
            });
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

    fn answer(&mut self, tenant: usize, question: Question) {
        let results = &mut self.tenants[tenant];
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
            Question::Offer { answer } => {
                let _ = answer.send(results.engine.offer());
            }
            Question::Snapshot { environment, note, answer } => {
                let _ = answer.send(results.engine.snapshot(&environment, &note, now().0));
            }
            Question::Baseline { begin, answer } => {
                let (now_ns, generated_at) = now();
                let _ = answer.send(results.engine.baseline_health(&begin, now_ns, &generated_at));
            }
        });
    }

    /// Reads the configuration again; goes over to it if it is good, and stays with the old one if not.
    async fn reload(&mut self, args: &ConfigArgs) {
        let read = || -> Result<_, Failure> {
            let config = load(args)?.config;
            let snapshots = baselines(&config)?;
            let takes = |tenant: &ResultsOf| tenant.engine.takes(&snapshots);
            self.tenants.iter().try_for_each(takes).map_err(|error| Failure::Usage(error.to_string()))?;
            Ok((config, snapshots))
        };
        let (config, snapshots) = match tokio::task::block_in_place(read) {
            Ok(read) => read,
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
                tell(&snapshots);
                self.tenants.iter_mut().for_each(|tenant| tenant.replan(&config, &snapshots, now_ns));
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
            self.send_parts(began_ns);
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
    fn replan(&mut self, config: &Config, snapshots: &[(String, Snapshot)], now_ns: u64) {
        self.engine.replan(config.plan(now_ns));
        if let Err(error) = tokio::task::block_in_place(|| self.engine.set_baselines(snapshots)) {
            tracing::error!(%error, "the snapshots stay what they were");
        }
        self.alerting.replan(config);
        // What was recorded by the old rules is not recorded again by the new ones.
        tokio::task::block_in_place(|| self.save(now_ns));
        let wanted = config.storage.as_ref().map(|storage| storage.of_tenant(self.tenant.as_deref()));
        if self.storage.as_ref().map(|storage| storage.config()) != wanted.as_ref() {
            tracing::warn!("parity.storage and its extension stay what they are until the next start");
        }
        if self.tier != config.tier {
            tracing::warn!("parity.tier stays what it is until the next start");
        }
        if self.key != config.policy.redaction.key {
            tracing::warn!(
                "parity.redaction.key stays what it is for windows of first tiers until the next start"
            );
        }
        if self.history != config.history {
            tracing::warn!("parity.history stays what it is until the next start");
        }
    }

    /// Makes a checkpoint, if there is a storage; after a failure the one before goes on with the log.
    fn save(&mut self, now_ns: u64) {
        let Some(storage) = &self.storage else { return };
        let saved = storage.checkpoint(&mut self.engine, now_ns);
        self.unsaved = saved.is_err();
        if let Err(error) = saved {
            tracing::error!(%error, "no checkpoint; the log keeps what it would have held");
        }
        if let Err(cause) = self.archive.sync() {
            tracing::warn!(%cause, "the history cannot be synced; the end of power may lose looks");
        }
    }

    /// Queues what a first tier hands over. What is in no checkpoint would be made again otherwise, under the same numbers.
    fn send_parts(&mut self, now_ns: u64) {
        if self.unsaved {
            return;
        }
        let (routes, sender) = (&self.routes, self.publisher.sender());
        let lost = self.engine.ingest().parts().lost;
        self.engine.send_parts(&mut |part| {
            routes.offer(Signal::Logs, Bytes::from(part_request(part, sender, now_ns))) > 0
        });
        if lost > self.lost_parts {
            let parts = lost - std::mem::replace(&mut self.lost_parts, lost);
            tracing::error!(
                parts,
                "windows are lost: the exporters of parity.exporters take no more; their queues are full"
            );
        }
    }

    fn show(&mut self, events: &[Event]) {
        show(&self.shown, &self.engine, &mut self.archive, events);
    }

    fn publish(&mut self, events: &[Event], began_ns: u64) {
        if events.is_empty() {
            return;
        }
        self.show(events);
        self.alerting.look(events, &self.engine, self.storage.as_deref(), began_ns);
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

/// Tells which snapshots are baselines.
fn tell(snapshots: &[(String, Snapshot)]) {
    for (name, Snapshot { about, .. }) in snapshots {
        let (environment, note) = (&about.environment, &about.note);
        let saved = rfc3339(about.saved_ns);
        tracing::info!(baseline = %name, %environment, %note, %saved, "a snapshot is a baseline");
    }
}

/// What the pages show after these events: what was judged anew is one more look, and what is compared no more is gone.
fn show(page: &Results, engine: &Engine, archive: &mut Archive, events: &[Event]) {
    for event in events {
        if let Event::Judged(judgement) = event {
            archive.note(&judgement.report);
        }
    }
    let before = page.shown();
    let judged = |report: &Arc<Report>| {
        events.iter().find_map(|event| match event {
            Event::Judged(judgement) if Arc::ptr_eq(&judgement.report, report) => Some(judgement),
            _ => None,
        })
    };
    let shown = engine.reports().map(|report| {
        let known = before.iter().find(|one| one.report.comparison == report.comparison);
        match (judged(report), known) {
            (None, Some(known)) => Arc::clone(known),
            (judged, _) => {
                let worst = judged.and_then(|judgement| judgement.worst.clone()).map(Arc::new);
                let history = archive.of(&report.comparison);
                Arc::new(Shown { report: report.clone(), worst, history })
            }
        }
    });
    page.show(shown.collect(), engine.releases().cloned().collect());
}

/// The engine that the last agent on the storage's directory had, or a new one, and what was judged before.
fn open(
    config: &Config,
    tenant: Option<&str>,
    now_ns: u64,
    shards: usize,
) -> Result<(Option<Arc<Storage>>, Engine, Archive), Failure> {
    let plan = Plan { tier: config.tier, ..config.plan(now_ns) };
    let id = config.storage.as_ref().map_or("", |settings| &settings.id);
    let failed = |error: StorageError| Failure::Usage(format!("error: extensions.{id}.directory: {error}"));
    let settings = config.storage.as_ref().map(|settings| settings.of_tenant(tenant));
    let (storage, engine) = match &settings {
        Some(settings) => {
            let (storage, engine) = Storage::open(settings, plan, shards, now_ns).map_err(failed)?;
            (Some(storage), engine)
        }
        None => (None, Engine::new(plan, shards)),
    };
    let directory = settings.as_ref().map(|settings| settings.directory.as_path());
    let archive = Archive::open(directory, &config.history, now_ns).map_err(failed)?;
    Ok((storage, engine, archive))
}
