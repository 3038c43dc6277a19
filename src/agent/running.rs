//! An agent at work: start, reload, drain.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    admission::Admission,
    client::ClientError,
    forward::{Exporter, Routes},
    health::{Phase, Readiness},
    intake::Intake,
    memory::Bounds,
    push::Push,
    queue::Queues,
    receive::Receiver,
    serve::{BindError, Bound, Shows, Stop, Terms},
    storage::{StorageError, leftovers::leftovers},
    telemetry::{Sources, Telemetry},
    tenants::{Hosted, Tenant, Tenants},
};
use crate::{
    config::{
        Config, Content, ExporterConfig, HttpOrGrpc as Transport, PUSH_KEY, Page, Secret, Signals,
        TelemetryOtlp,
    },
    wire::Signal,
};

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
    /// The directory of an exporter's queue.
    #[error("exporters.{id}.sending_queue.storage: {cause}")]
    Queue {
        /// The exporter's component id.
        id: String,
        /// What is wrong with it.
        cause: StorageError,
    },
    /// A pipeline names an exporter that does not exist.
    #[error("a pipeline names the exporter {id}, which is not configured")]
    UnknownExporter {
        /// The name.
        id: String,
    },
    /// Each tenant has an engine from the start on.
    #[error(
        "parity.tenants.known: {wanted} instead of {running}: tenants come and go at a start, and not at a reload; \
         restart isotel"
    )]
    Tenants {
        /// Whom the configuration names.
        wanted: String,
        /// Who has an engine.
        running: String,
    },
    /// The push of own telemetry.
    #[error("{PUSH_KEY}: {cause}")]
    Telemetry {
        /// What is wrong with it.
        cause: ClientError,
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
    /// The page of results.
    pub page: Option<SocketAddr>,
}

impl Addresses {
    /// The first OTLP listener of a transport.
    pub fn first(&self, transport: Transport) -> Option<SocketAddr> {
        self.otlp.iter().find(|(_, of, _)| *of == transport).map(|(_, _, address)| *address)
    }
}

/// The way for isotel's own results. Stays good across reloads; cheap to clone.
#[derive(Clone, Default)]
pub struct ResultRoutes(Arc<ArcSwap<Routes>>);

impl ResultRoutes {
    /// Whether results go anywhere.
    pub fn any(&self) -> bool {
        self.0.load().any()
    }

    /// Queues the protobuf bytes of an export request at every exporter that results of this signal go to, and returns
    /// how many took it. Never waits.
    pub fn offer(&self, signal: Signal, request: Bytes) -> usize {
        self.0.load().offer(signal, request)
    }
}

/// The way for alerts. Stays good across reloads; cheap to clone.
#[derive(Clone, Default)]
pub struct AlertRoutes(Arc<ArcSwap<Vec<Arc<Exporter>>>>);

impl AlertRoutes {
    /// Whether alerts go anywhere.
    pub fn any(&self) -> bool {
        !self.0.load().is_empty()
    }

    /// Queues a message at every receiver, each in the form that it reads. Never waits.
    pub fn offer(&self, write: impl Fn(Content) -> Vec<u8>) {
        for exporter in self.0.load().iter() {
            // An alert is an event, as a log record is.
            exporter.offer(Signal::Logs, write(exporter.content()).into());
        }
    }
}

/// The starter of agents.
pub struct Agent;

impl Agent {
    /// Binds every listener, starts every exporter, and takes requests for one engine. Call inside a
    /// tokio runtime.
    ///
    /// # Errors
    /// [`StartError`]; then nothing is left running.
    pub async fn start(
        config: &Config,
        intake: Arc<dyn Intake>,
        sources: Sources,
    ) -> Result<RunningAgent, StartError> {
        let one = Hosted { name: None, intake, results: Arc::default(), prometheus: None };
        Agent::start_for(config, vec![one], sources).await
    }

    /// The same for the engine of each tenant, in the configuration's order.
    ///
    /// # Errors
    /// [`StartError`]; then nothing is left running.
    pub async fn start_for(
        config: &Config,
        hosted: Vec<Hosted>,
        sources: Sources,
    ) -> Result<RunningAgent, StartError> {
        let admission = Admission::new(config.concurrent_requests, Bounds::of(&config.memory));
        let mut sources = sources;
        let of_admission = Arc::clone(&admission);
        sources.families.push(Arc::new(move || of_admission.families()));
        let telemetry = Telemetry::new(sources);
        let of_hosted = |hosted: Hosted| {
            let (forward, telemetry) = (Arc::new(Routes::default()), Arc::clone(&telemetry));
            Tenant {
                name: hosted.name,
                receiver: Receiver::new(hosted.intake, forward, telemetry, Arc::clone(&admission)),
                shown: hosted.results,
                prometheus: hosted.prometheus,
                results: ResultRoutes::default(),
                alerts: AlertRoutes::default(),
            }
        };
        let mut agent = RunningAgent {
            tenants: hosted.into_iter().map(of_hosted).collect(),
            readiness: Arc::default(),
            listeners: Vec::new(),
            exporters: Vec::new(),
            queues: Queues::default(),
            retiring: TaskTracker::new(),
            push: None,
            watch: CancellationToken::new(),
            admission,
            telemetry,
        };
        agent.reload(config).await?;
        for path in leftovers(config, |folder| agent.queues.uses(folder)) {
            tracing::warn!(
                path = %path.display(),
                "nothing uses this any more, and it is kept: name its exporter or tenant again, or remove it while isotel is \
                 stopped"
            );
        }
        tokio::spawn(Arc::clone(&agent.admission).watch(agent.watch.clone()));
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
    Page,
}

struct Listener {
    key: String,
    role: Role,
    endpoint: (String, u16),
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
    Fresh { key: String, role: Role, endpoint: (String, u16), bound: Bound, terms: Terms },
}

/// An agent at work. Dropping it leaves its tasks to the runtime; [`RunningAgent::drain`] ends them.
pub struct RunningAgent {
    /// By name; without `parity.tenants` one, which has none.
    tenants: Vec<Tenant>,
    admission: Arc<Admission>,
    /// Ends the watch over memory.
    watch: CancellationToken,
    telemetry: Arc<Telemetry>,
    readiness: Arc<Readiness>,
    listeners: Vec<Listener>,
    exporters: Vec<Arc<Exporter>>,
    queues: Queues,
    /// What reloads removed and is still finishing.
    retiring: TaskTracker,
    push: Option<(TelemetryOtlp, Push)>,
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
                Role::Page => addresses.page = Some(listener.address),
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

    /// The way for isotel's own results, of each tenant.
    pub fn exporters_for_results(&self) -> Vec<ResultRoutes> {
        self.tenants.iter().map(|tenant| tenant.results.clone()).collect()
    }

    /// The way for alerts, of each tenant.
    pub fn exporters_for_alerts(&self) -> Vec<AlertRoutes> {
        self.tenants.iter().map(|tenant| tenant.alerts.clone()).collect()
    }

    /// Goes over to new settings. Everything new is made ready first, so that an error changes nothing. Listeners on the
    /// same endpoint keep their socket and connections: the next request gets the new terms, and the next connection the
    /// new TLS. Exporters whose settings did not change keep their queue; the intake stays.
    ///
    /// # Errors
    /// [`StartError`]; the old settings then go on.
    pub async fn reload(&mut self, config: &Config) -> Result<(), StartError> {
        self.same_tenants(config)?;
        let wanted = self.wanted_listeners(config).await?;
        known(config)?;
        let broken = |cause| StartError::Telemetry { cause };
        if let Some(settings) = &config.metrics_otlp {
            Push::check(settings).map_err(broken)?;
        }
        self.exchange_exporters(config)?;
        // What was found good above: of a refused reload no push is left running.
        let push = match &config.metrics_otlp {
            Some(new) if self.push.as_ref().is_none_or(|(old, _)| old != new) => {
                Some((new.clone(), Push::start(&self.telemetry, new).map_err(broken)?))
            }
            _ => None,
        };
        // From here on nothing can fail.
        let results = || config.results.clone();
        let results = Signals { traces: results(), metrics: results(), logs: results() };
        for tenant in &self.tenants {
            tenant.receiver.change(Arc::new(self.routes(tenant, &config.forward)));
            tenant.results.0.store(Arc::new(self.routes(tenant, &results)));
            tenant.alerts.0.store(Arc::new(self.named(tenant, &config.alert_exporters)));
        }
        self.admission.change(config.concurrent_requests, Bounds::of(&config.memory));
        self.warn_of_large_requests(config);
        self.exchange_listeners(wanted);
        self.warn_of_exposure();
        if let (None, Some((_, kept))) = (&push, &self.push) {
            kept.renew();
        }
        if push.is_some() || config.metrics_otlp.is_none() {
            let old = std::mem::replace(&mut self.push, push);
            if let Some((_, old)) = old {
                self.telemetry.forget_exporter(old.counters());
                self.retiring.spawn(old.stop());
            }
        }
        Ok(())
    }

    /// Warns of listeners that other machines reach and that ask for nothing.
    fn warn_of_exposure(&self) {
        for Listener { key, role, address, terms, .. } in &self.listeners {
            if address.ip().is_loopback() || !terms.load().open {
                continue;
            }
            match role {
                Role::Otlp(_) => tracing::warn!(
                    %key, %address,
                    "anybody who reaches this address may send; set auth or tls.client_ca_file, or listen on localhost"
                ),
                _ => tracing::warn!(
                    %key, %address,
                    "anybody who reaches this address may read; set auth or tls.client_ca_file, or listen on localhost"
                ),
            }
        }
    }

    /// Whom the configuration names has an engine, and nobody else.
    fn same_tenants(&self, config: &Config) -> Result<(), StartError> {
        let known = config.tenants.iter().flat_map(|tenants| &tenants.known);
        let wanted: Vec<&str> = known.map(|tenant| tenant.name.as_str()).collect();
        let running: Vec<&str> = self.tenants.iter().filter_map(|tenant| tenant.name.as_deref()).collect();
        if wanted == running {
            return Ok(());
        }
        let named = |names: &[&str]| if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
        Err(StartError::Tenants { wanted: named(&wanted), running: named(&running) })
    }

    /// Warns of listeners whose largest requests never find room.
    fn warn_of_large_requests(&self, config: &Config) {
        let most = self.admission.request_max();
        for listener in config.listeners.iter().filter(|listener| listener.request_bytes > most) {
            let (key, configured) = (&listener.key, listener.request_bytes);
            tracing::warn!(
                key,
                configured,
                most,
                "the memory limit leaves no room for the largest requests: larger ones than `most` bytes are refused"
            );
        }
    }

    async fn wanted_listeners(&self, config: &Config) -> Result<Vec<Wanted>, StartError> {
        let mut wanted = Vec::new();
        for listener in &config.listeners {
            let terms = Terms::otlp(listener, config, &self.tenants, &self.telemetry)?;
            let role = Role::Otlp(listener.transport);
            wanted.push(self.wanted(&listener.key, role, &listener.endpoint, terms, &wanted).await?);
        }
        if let Some((page, path)) = &config.health {
            let readiness = Arc::clone(&self.readiness);
            let admission = Arc::clone(&self.admission);
            let terms = Terms::page(page, Shows::Health { readiness, admission, path: path.clone() })?;
            let key = format!("{}.endpoint", page.key);
            wanted.push(self.wanted(&key, Role::Health, &page.endpoint, terms, &wanted).await?);
        }
        if let Some(page) = &config.page {
            let tenants = self.tenants_of(page, config, |tenant| Arc::clone(&tenant.shown))?;
            let terms = Terms::page(page, Shows::Results(tenants))?;
            let key = format!("{}.endpoint", page.key);
            wanted.push(self.wanted(&key, Role::Page, &page.endpoint, terms, &wanted).await?);
        }
        let page = &config.metrics;
        // Without a name the page is that of whoever runs the agent.
        let tenants = self.tenants_of(page, config, |tenant| tenant.prometheus.clone())?.without_default();
        let terms = Terms::page(page, Shows::Metrics(Arc::clone(&self.telemetry), tenants))?;
        let key = format!("{}.address", page.key);
        wanted.push(self.wanted(&key, Role::Metrics, &page.endpoint, terms, &wanted).await?);
        Ok(wanted)
    }

    fn tenants_of<T>(
        &self,
        page: &Page,
        config: &Config,
        own: impl Fn(&Tenant) -> T,
    ) -> Result<Tenants<T>, BindError> {
        Tenants::new(&page.key, config.tenants.as_ref(), &self.tenants, own)
            .map_err(|(key, cause)| BindError::Auth { key: format!("{key}.auth"), cause })
    }

    async fn wanted(
        &self,
        key: &str,
        role: Role,
        endpoint: &(String, u16),
        terms: Terms,
        before: &[Wanted],
    ) -> Result<Wanted, BindError> {
        let taken =
            |index| before.iter().any(|other| matches!(other, Wanted::Kept { index: i, .. } if *i == index));
        let same = |old: &Listener| old.role == role && old.endpoint == *endpoint;
        let kept = self.listeners.iter().enumerate().find(|(index, old)| same(old) && !taken(*index));
        let key = key.to_owned();
        Ok(match kept {
            Some((index, _)) => Wanted::Kept { index, key, terms },
            None => {
                let bound = Bound::new(&key, (&endpoint.0, endpoint.1)).await?;
                Wanted::Fresh { key, role, endpoint: endpoint.clone(), bound, terms }
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

    /// Starts what is new or changed, and retires what is gone or changed. Exporters that nothing names do not run.
    fn exchange_exporters(&mut self, config: &Config) -> Result<(), StartError> {
        let named = self.used(config);
        let running = self.exporters.clone();
        let kept = |id: &str, config| running.iter().find(|old| old.is(id, config));
        let failed = |id: &str, cause| StartError::Exporter { id: id.to_owned(), cause };
        // Two passes, so that a bad one is found before a good one is started; the files of those that stay may have changed.
        for (id, exporter) in &named {
            Exporter::check(id, exporter).map_err(|cause| failed(id, cause))?;
        }
        for (id, exporter) in &named {
            self.queues.of(id, exporter).map_err(|cause| StartError::Queue { id: (*id).clone(), cause })?;
        }
        let mut exporters = Vec::new();
        for (id, exporter) in &named {
            exporters.push(match kept(id, exporter) {
                Some(old) => {
                    old.renew();
                    Arc::clone(old)
                }
                None => {
                    let queue = self.queues.of(id, exporter);
                    let queue = queue.map_err(|cause| StartError::Queue { id: id.clone(), cause })?;
                    Exporter::start(id, exporter, &self.telemetry, queue)
                        .map_err(|cause| failed(id, cause))?
                }
            });
        }
        let old = std::mem::replace(&mut self.exporters, exporters);
        for gone in old.into_iter().filter(|old| !self.exporters.iter().any(|new| Arc::ptr_eq(old, new))) {
            self.telemetry.forget_exporter(gone.counters());
            self.retiring.spawn(async move { gone.retire(Instant::now() + RETIREMENT).await });
        }
        Ok(())
    }

    /// The exporters that are used. Each tenant has its own, so that neither what waits nor whose it is is mixed, and a next
    /// hop learns the tenant as isotel did.
    fn used(&self, config: &Config) -> Vec<(String, ExporterConfig)> {
        let used: Vec<_> =
            config.exporters.iter().filter(|(id, _)| names(config).any(|name| name == *id)).collect();
        let of_tenant = |tenant: &Tenant, (id, exporter): &(&String, &ExporterConfig)| {
            let mut exporter = (*exporter).clone();
            if let (Some(name), Some(tenants)) = (&tenant.name, &config.tenants) {
                exporter.headers.retain(|header, _| !header.eq_ignore_ascii_case(&tenants.header));
                exporter.headers.insert(tenants.header.clone(), Secret::new(name.as_str()));
            }
            (id_of(id, tenant), exporter)
        };
        self.tenants.iter().flat_map(|tenant| used.iter().map(move |one| of_tenant(tenant, one))).collect()
    }

    fn routes(&self, tenant: &Tenant, ids: &Signals<Vec<String>>) -> Routes {
        Routes::new([&ids.traces, &ids.metrics, &ids.logs].map(|ids| self.named(tenant, ids)))
    }

    fn named(&self, tenant: &Tenant, ids: &[String]) -> Vec<Arc<Exporter>> {
        let is_named = |exporter: &&Arc<Exporter>| ids.iter().any(|id| id_of(id, tenant) == exporter.id());
        self.exporters.iter().filter(is_named).cloned().collect()
    }

    /// Brings the agent to its end, within `bound` from now. The order:
    ///
    /// 1. readiness goes off, so that load balancers look elsewhere;
    /// 2. the OTLP listeners stop accepting, and requests in flight are finished;
    /// 3. `seal` runs: what the engine holds is sealed, judged and offered to [`RunningAgent::exporters_for_results`];
    /// 4. exporters give each waiting request one last try;
    /// 5. own telemetry is pushed a last time, and the pages and their streams close.
    ///
    /// Requests get half of the bound and exporters what is left of it; what does not fit is cut off, counted and logged.
    pub async fn drain<F: Future<Output = ()>>(self, bound: Duration, seal: F) {
        let RunningAgent { listeners, exporters, push, readiness, retiring, watch, tenants, .. } = self;
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
        tenants.iter().for_each(|tenant| tenant.shown.close());
        all(pages.into_iter().map(|page| page.end(deadline))).await;
        watch.cancel();
    }
}

/// The id of an exporter, which each tenant has one of; no tenant's name has an `@`.
fn id_of(id: &str, tenant: &Tenant) -> String {
    tenant.name.as_ref().map_or_else(|| id.to_owned(), |name| format!("{id}@{name}"))
}

/// The ids of exporters that are used.
fn names(config: &Config) -> impl Iterator<Item = &String> {
    let Signals { traces, metrics, logs } = &config.forward;
    traces.iter().chain(metrics).chain(logs).chain(&config.results).chain(&config.alert_exporters)
}

/// Every exporter that is named exists.
fn known(config: &Config) -> Result<(), StartError> {
    match names(config).find(|id| !config.exporters.contains_key(*id)) {
        Some(id) => Err(StartError::UnknownExporter { id: id.clone() }),
        None => Ok(()),
    }
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
