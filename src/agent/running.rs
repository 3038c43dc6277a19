//! An agent at work: start, reload, drain.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::task::TaskTracker;

use super::{
    client::ClientError,
    forward::{Exporter, Routes},
    health::{Phase, Readiness},
    intake::Intake,
    receive::Receiver,
    serve::{BindError, Bound, Site, Stop, Terms},
    settings::{AgentSettings, ExporterSettings, ListenerSettings, Pipelines, TelemetryPush, Transport},
    telemetry::{Push, Source, Telemetry},
};
use crate::wire::Signal;

const HEALTH_KEY: &str = "extensions.health_check.endpoint";
const METRICS_KEY: &str = "service.telemetry.metrics";
const PUSH_KEY: &str = "service.telemetry.metrics.otlp.endpoint";
/// How long an exporter or a listener that a reload removed may take to finish.
const RETIREMENT: Duration = Duration::from_secs(10);

/// Why the agent did not start, or a reload was refused. Nothing of a refused reload stays behind.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// An exporter.
    #[error("exporters.{id}: {cause}")]
    Exporter {
        /// Its component id.
        id: String,
        /// What is wrong with it.
        cause: ClientError,
    },
    /// A pipeline names an exporter that does not exist.
    #[error("a pipeline names the exporter {id}, which is not configured")]
    UnknownExporter {
        /// The name.
        id: String,
    },
    /// The push of own telemetry.
    #[error("{PUSH_KEY}: {cause}")]
    Telemetry {
        /// The exporter's words.
        cause: String,
    },
}

/// Where the listeners really are, with the ports that the system chose for port 0.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Addresses {
    /// Configuration key, transport and address of each OTLP listener.
    pub otlp: Vec<(String, Transport, SocketAddr)>,
    /// The health page.
    pub health: Option<SocketAddr>,
    /// The Prometheus page.
    pub metrics: Option<SocketAddr>,
}

impl Addresses {
    /// The first OTLP listener of a transport.
    pub fn first(&self, transport: Transport) -> Option<SocketAddr> {
        self.otlp.iter().find(|(_, of, _)| *of == transport).map(|(_, _, address)| *address)
    }
}

/// The way for isotel's own results. Stays good across reloads; cheap to clone.
#[derive(Clone)]
pub struct ResultRoutes(Arc<ArcSwap<Routes>>);

impl ResultRoutes {
    /// Queues the protobuf bytes of an export request at every exporter that results of this signal go to, and returns
    /// how many took it. Never waits.
    pub fn offer(&self, signal: Signal, request: Bytes) -> usize {
        self.0.load().offer(signal, request)
    }
}

/// The starter of agents.
pub struct Agent;

impl Agent {
    /// Binds every listener, starts every exporter, and takes requests. `sources` add families to own telemetry. Call
    /// inside a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`]; then nothing is left running.
    pub async fn start(
        settings: AgentSettings,
        intake: Arc<dyn Intake>,
        sources: Vec<Source>,
    ) -> Result<RunningAgent, StartError> {
        let telemetry = Telemetry::new(sources);
        let forward = Arc::new(Routes::default());
        let in_flight = settings.requests_in_flight_max;
        let mut agent = RunningAgent {
            receiver: Receiver::new(intake, forward, Arc::clone(&telemetry), in_flight),
            readiness: Arc::default(),
            results: ResultRoutes(Arc::default()),
            listeners: Vec::new(),
            exporters: Vec::new(),
            retiring: TaskTracker::new(),
            push: None,
            telemetry,
        };
        agent.reload(settings).await?;
        agent.readiness.enter(Phase::Ready);
        Ok(agent)
    }
}

/// What a listener is for; a listener whose role and endpoint stay is the same listener.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Role {
    Otlp(Transport),
    Health,
    Metrics,
}

struct Listener {
    key: String,
    role: Role,
    endpoint: String,
    address: SocketAddr,
    terms: Arc<ArcSwap<Terms>>,
    stop: Stop,
    accepting: JoinHandle<()>,
}

impl Listener {
    /// Closes the socket, lets requests in flight finish until `deadline`, and cuts off the rest.
    async fn end(self, deadline: Instant) {
        self.stop.drain(deadline).await;
        // It ends at the same signal; the only failure would be a panic, which tokio has reported.
        let _ = self.accepting.await;
    }
}

/// A listener as the settings want it: kept from before, or just bound.
enum Wanted {
    Kept { index: usize, key: String, terms: Terms },
    Fresh { key: String, role: Role, endpoint: String, bound: Bound, terms: Terms },
}

/// An agent at work. Dropping it leaves its tasks to the runtime; [`RunningAgent::drain`] ends them.
pub struct RunningAgent {
    receiver: Arc<Receiver>,
    telemetry: Arc<Telemetry>,
    readiness: Arc<Readiness>,
    results: ResultRoutes,
    listeners: Vec<Listener>,
    exporters: Vec<Arc<Exporter>>,
    /// What reloads removed and is still finishing.
    retiring: TaskTracker,
    push: Option<(TelemetryPush, Push)>,
}

impl RunningAgent {
    /// Where the listeners are.
    pub fn addresses(&self) -> Addresses {
        let mut addresses = Addresses::default();
        for listener in &self.listeners {
            match listener.role {
                Role::Otlp(transport) => {
                    addresses.otlp.push((listener.key.clone(), transport, listener.address));
                }
                Role::Health => addresses.health = Some(listener.address),
                Role::Metrics => addresses.metrics = Some(listener.address),
            }
        }
        addresses
    }

    /// Own counters.
    pub fn telemetry(&self) -> &Arc<Telemetry> {
        &self.telemetry
    }

    /// The phase that the health page shows.
    pub fn readiness(&self) -> &Arc<Readiness> {
        &self.readiness
    }

    /// The way for isotel's own results.
    pub fn exporters_for_results(&self) -> ResultRoutes {
        self.results.clone()
    }

    /// Goes over to new settings. Everything new is made ready first, so that an error changes nothing. Listeners on the
    /// same endpoint keep their socket and connections (new connections get the new terms); exporters whose settings
    /// did not change keep their queue; the intake stays.
    ///
    /// # Errors
    /// [`StartError`]; the old settings then go on.
    pub async fn reload(&mut self, settings: AgentSettings) -> Result<(), StartError> {
        let wanted = self.wanted_listeners(&settings).await?;
        known(&settings)?;
        let push = match &settings.telemetry_push {
            Some(new) if self.push.as_ref().is_none_or(|(old, _)| old != new) => {
                let push =
                    Push::start(&self.telemetry, new).map_err(|cause| StartError::Telemetry { cause })?;
                Some((new.clone(), push))
            }
            _ => None,
        };
        self.exchange_exporters(&settings.exporters)?;
        // From here on nothing can fail.
        let forward = Arc::new(self.routes(&settings.forward));
        self.receiver.change(forward, settings.requests_in_flight_max);
        self.results.0.store(Arc::new(self.routes(&settings.results)));
        self.exchange_listeners(wanted);
        if push.is_some() || settings.telemetry_push.is_none() {
            let old = std::mem::replace(&mut self.push, push);
            if let Some((_, old)) = old {
                self.retiring.spawn(old.stop());
            }
        }
        Ok(())
    }

    async fn wanted_listeners(&self, settings: &AgentSettings) -> Result<Vec<Wanted>, StartError> {
        let mut wanted = Vec::new();
        for listener in &settings.listeners {
            let ListenerSettings { key, endpoint, transport, .. } = listener;
            let terms = Terms::otlp(listener, Arc::clone(&self.receiver))?;
            wanted.push(self.wanted(key, Role::Otlp(*transport), endpoint, terms, &wanted).await?);
        }
        if let Some(endpoint) = &settings.health_endpoint {
            let terms = Terms::page(Site::Health(Arc::clone(&self.readiness)));
            wanted.push(self.wanted(HEALTH_KEY, Role::Health, endpoint, terms, &wanted).await?);
        }
        if let Some(endpoint) = &settings.metrics_endpoint {
            let terms = Terms::page(Site::Metrics(Arc::clone(&self.telemetry)));
            wanted.push(self.wanted(METRICS_KEY, Role::Metrics, endpoint, terms, &wanted).await?);
        }
        Ok(wanted)
    }

    async fn wanted(
        &self,
        key: &str,
        role: Role,
        endpoint: &str,
        terms: Terms,
        before: &[Wanted],
    ) -> Result<Wanted, BindError> {
        let taken =
            |index| before.iter().any(|other| matches!(other, Wanted::Kept { index: i, .. } if *i == index));
        let same = |old: &Listener| old.role == role && old.endpoint == endpoint;
        let kept = self.listeners.iter().enumerate().find(|(index, old)| same(old) && !taken(*index));
        let key = key.to_owned();
        Ok(match kept {
            Some((index, _)) => Wanted::Kept { index, key, terms },
            None => {
                let bound = Bound::new(&key, endpoint).await?;
                Wanted::Fresh { key, role, endpoint: endpoint.to_owned(), bound, terms }
            }
        })
    }

    fn exchange_listeners(&mut self, wanted: Vec<Wanted>) {
        let mut old: Vec<Option<Listener>> = self.listeners.drain(..).map(Some).collect();
        for wanted in wanted {
            match wanted {
                Wanted::Kept { index, key, terms } => {
                    if let Some(mut listener) = old.get_mut(index).and_then(Option::take) {
                        listener.terms.store(Arc::new(terms));
                        listener.key = key;
                        self.listeners.push(listener);
                    }
                }
                Wanted::Fresh { key, role, endpoint, bound, terms } => {
                    let (terms, stop) = (Arc::new(ArcSwap::from_pointee(terms)), Stop::default());
                    let address = bound.address();
                    tracing::info!(key, %address, "listening");
                    let serving = bound.serve(Arc::clone(&terms), Arc::clone(&self.telemetry), stop.clone());
                    let accepting = tokio::spawn(serving);
                    self.listeners.push(Listener { key, role, endpoint, address, terms, stop, accepting });
                }
            }
        }
        for gone in old.into_iter().flatten() {
            tracing::info!(key = gone.key, address = %gone.address, "no longer listening");
            self.retiring.spawn(gone.end(Instant::now() + RETIREMENT));
        }
    }

    /// Starts what is new or changed, and retires what is gone or changed.
    fn exchange_exporters(&mut self, wanted: &[ExporterSettings]) -> Result<(), StartError> {
        // Two passes, so that a bad one is found before a good one is started.
        let kept = |settings: &ExporterSettings| self.exporters.iter().find(|old| old.settings() == settings);
        for settings in wanted.iter().filter(|settings| kept(settings).is_none()) {
            Exporter::check(settings)
                .map_err(|cause| StartError::Exporter { id: settings.id.clone(), cause })?;
        }
        let mut exporters = Vec::new();
        for settings in wanted {
            exporters.push(match kept(settings) {
                Some(old) => Arc::clone(old),
                None => Exporter::start(settings.clone(), &self.telemetry)
                    .map_err(|cause| StartError::Exporter { id: settings.id.clone(), cause })?,
            });
        }
        let old = std::mem::replace(&mut self.exporters, exporters);
        for gone in old.into_iter().filter(|old| !self.exporters.iter().any(|new| Arc::ptr_eq(old, new))) {
            self.telemetry.forget_exporter(gone.counters());
            self.retiring.spawn(async move { gone.drain(Instant::now() + RETIREMENT).await });
        }
        Ok(())
    }

    fn routes(&self, pipelines: &Pipelines) -> Routes {
        let of = |ids: &Vec<String>| {
            self.exporters.iter().filter(|exporter| ids.contains(&exporter.settings().id)).cloned().collect()
        };
        Routes::new([of(&pipelines[0]), of(&pipelines[1]), of(&pipelines[2])])
    }

    /// Brings the agent to its end, within `bound` from now. The order:
    ///
    /// 1. readiness goes off, so that load balancers look elsewhere;
    /// 2. the OTLP listeners stop accepting, and requests in flight are finished;
    /// 3. `seal` runs: what the engine holds is sealed, judged and offered to [`RunningAgent::exporters_for_results`];
    /// 4. exporters give each waiting request one last try;
    /// 5. own telemetry is pushed a last time, and the pages close.
    ///
    /// Requests get half of the bound and exporters what is left of it; what does not fit is cut off, counted and logged.
    pub async fn drain<F: Future<Output = ()>>(self, bound: Duration, seal: F) {
        let RunningAgent { listeners, exporters, push, readiness, retiring, .. } = self;
        let start = Instant::now();
        let deadline = start + bound;
        readiness.enter(Phase::Stopping);
        let (otlp, pages): (Vec<_>, Vec<_>) =
            listeners.into_iter().partition(|listener| matches!(listener.role, Role::Otlp(_)));
        let ending = all(otlp.into_iter().map(|listener| listener.end(start + bound / 2)));
        ending.await;
        if tokio::time::timeout_at(deadline, seal).await.is_err() {
            tracing::error!("the last windows were not sealed before the deadline");
        }
        all(exporters.into_iter().map(|exporter| async move { exporter.drain(deadline).await })).await;
        retiring.close();
        if tokio::time::timeout_at(deadline, retiring.wait()).await.is_err() {
            tracing::warn!("parts that a reload removed had not finished at the deadline");
        }
        if let Some((_, push)) = push {
            push.stop().await;
        }
        all(pages.into_iter().map(|page| page.end(deadline))).await;
    }
}

/// Every exporter that a pipeline names exists.
fn known(settings: &AgentSettings) -> Result<(), StartError> {
    let named = settings.forward.iter().chain(&settings.results).flatten();
    for id in named {
        if !settings.exporters.iter().any(|exporter| exporter.id == *id) {
            return Err(StartError::UnknownExporter { id: id.clone() });
        }
    }
    Ok(())
}

/// Runs all at the same time, to their ends.
async fn all<F>(futures: impl Iterator<Item = F>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut tasks = tokio::task::JoinSet::new();
    futures.for_each(|future| {
        tasks.spawn(future);
    });
    while tasks.join_next().await.is_some() {}
}
