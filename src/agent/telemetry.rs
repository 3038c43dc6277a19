//! What isotel says about itself: one set of counters, read by the Prometheus page and by the OpenTelemetry SDK.
//!
//! Counters are plain atomics that are touched per request, never per span. [`Telemetry::families`] is the one
//! vocabulary: the page renders it, and every family is also an observable instrument of the SDK, so that both say the
//! same at any moment. Names follow the collector's, with `isotel_` in front.

use std::{
    sync::{
        Arc, RwLock,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use super::{
    memory,
    prometheus::{self, Family, Kind, Point, Value},
};
use crate::{
    config::HttpOrGrpc as Transport, engine::Ingest, model::LimitsHit, window::shard::Tally,
    window::sources::PartCounts, wire::Signal,
};

const TRANSPORTS: [Transport; 2] = [Transport::Grpc, Transport::Http];
/// What listeners serve.
pub(crate) const LISTENERS: [&str; 5] = ["grpc", "http", "health", "metrics", "page"];

/// How a received request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestOutcome {
    /// Recorded whole.
    Success,
    /// Recorded, some items refused.
    Partial,
    /// Bytes that are no OTLP request, a wrong type, coding, method or path.
    Refused,
    /// Larger than the limit.
    Oversize,
    /// Shed: the sender may come again. Why is in `isotel_receiver_shed_requests`.
    Overload,
    /// The sender went away or was too slow.
    Broken,
    /// Without a credential that is known; not read.
    Unauthenticated,
    /// Of no known tenant; not read.
    NoTenant,
}

impl RequestOutcome {
    const ALL: [RequestOutcome; 8] = [
        RequestOutcome::Success,
        RequestOutcome::Partial,
        RequestOutcome::Refused,
        RequestOutcome::Oversize,
        RequestOutcome::Overload,
        RequestOutcome::Broken,
        RequestOutcome::Unauthenticated,
        RequestOutcome::NoTenant,
    ];

    fn name(self) -> &'static str {
        match self {
            RequestOutcome::Success => "success",
            RequestOutcome::Partial => "partial",
            RequestOutcome::Refused => "refused",
            RequestOutcome::Oversize => "oversize",
            RequestOutcome::Overload => "overload",
            RequestOutcome::Broken => "broken",
            RequestOutcome::Unauthenticated => "unauthenticated",
            RequestOutcome::NoTenant => "no_tenant",
        }
    }
}

/// What one transport received of one signal.
#[derive(Debug, Default)]
struct ReceiverCounters {
    outcomes: [AtomicU64; RequestOutcome::ALL.len()],
    refused_items: AtomicU64,
    bytes: AtomicU64,
}

/// What one exporter did. Kept across a reload as long as the exporter is.
#[derive(Debug)]
pub struct ExporterCounters {
    /// The component id.
    pub id: String,
    /// Requests acknowledged downstream, whole or in part.
    pub sent: AtomicU64,
    /// Bytes of them, before compression.
    pub sent_bytes: AtomicU64,
    /// Requests given up: refused for good, or out of time.
    pub send_failed: AtomicU64,
    /// Requests that found the queue full.
    pub enqueue_failed: AtomicU64,
    /// Items that downstream refused by `partial_success`.
    pub rejected_items: AtomicU64,
    /// Attempts after the first of a request.
    pub retries: AtomicU64,
    /// Requests waiting.
    pub queue_size: AtomicU64,
    /// Bytes waiting.
    pub queue_bytes: AtomicU64,
    /// Requests that waited on disk and could not be read back.
    pub damaged: AtomicU64,
    /// Requests that may wait.
    pub queue_capacity: u64,
    /// Requests being sent.
    pub in_flight: AtomicI64,
}

impl ExporterCounters {
    pub(super) fn new(id: &str, queue_capacity: u64) -> Self {
        ExporterCounters {
            id: id.to_owned(),
            sent: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            send_failed: AtomicU64::new(0),
            enqueue_failed: AtomicU64::new(0),
            rejected_items: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            queue_size: AtomicU64::new(0),
            queue_bytes: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            queue_capacity,
            in_flight: AtomicI64::new(0),
        }
    }
}

/// What other parts add to own telemetry.
#[derive(Clone, Default)]
pub struct Sources {
    /// Families from parts that keep their own numbers, such as the engine; served and pushed like the agent's own.
    pub families: Vec<Families>,
    /// Prometheus text that only the page shows, in pieces: results, which have a push of their own.
    pub page: Option<PageText>,
}

/// Reads numbers.
pub type Families = Arc<dyn Fn() -> Vec<Family> + Send + Sync>;

/// Writes a page.
pub type PageText = Arc<dyn Fn() -> PagePieces + Send + Sync>;

/// A page as it is written, piece by piece.
pub type PagePieces = Box<dyn Iterator<Item = String> + Send>;

/// The families of an engine's door.
pub fn of_engine(ingest: Arc<Ingest>) -> Families {
    Arc::new(move || {
        let mut families = tally_families(&ingest.tally());
        families.push(limits_family(&ingest.limits_hit()));
        families.push(parts_family(ingest.parts()));
        families
    })
}

/// The families of all tenants, each name once; points say whose they are.
pub fn of_tenants(parts: Vec<(Option<String>, Families)>) -> Families {
    Arc::new(move || {
        let mut all: Vec<Family> = Vec::new();
        for (tenant, families) in &parts {
            for mut family in families() {
                if let Some(tenant) = tenant {
                    let points = family.points.into_iter();
                    family.points = points.map(|point| point.and("tenant", tenant)).collect();
                }
                match all.iter_mut().find(|known| known.name == family.name) {
                    Some(known) => known.points.append(&mut family.points),
                    None => all.push(family),
                }
            }
        }
        all
    })
}

/// All own counters of one agent.
pub struct Telemetry {
    started: Instant,
    receivers: [[ReceiverCounters; Signal::ALL.len()]; TRANSPORTS.len()],
    connections: [AtomicI64; TRANSPORTS.len()],
    connections_refused: [AtomicU64; TRANSPORTS.len()],
    handshakes_failed: [AtomicU64; LISTENERS.len()],
    not_allowed: [AtomicU64; LISTENERS.len()],
    exporters: RwLock<Vec<Arc<ExporterCounters>>>,
    sources: Sources,
}

impl Telemetry {
    /// Counters at zero. `sources` add their families to every reading.
    #[expect(clippy::disallowed_methods, reason = "the uptime starts here")]
    pub fn new(sources: Sources) -> Arc<Self> {
        Arc::new(Telemetry {
            started: Instant::now(),
            receivers: Default::default(),
            connections: Default::default(),
            connections_refused: Default::default(),
            handshakes_failed: Default::default(),
            not_allowed: Default::default(),
            exporters: RwLock::default(),
            sources,
        })
    }

    pub(crate) fn request(&self, transport: Transport, signal: Signal, outcome: RequestOutcome) {
        self.receiver(transport, signal).outcomes[outcome as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn recorded(&self, transport: Transport, signal: Signal, bytes: usize, refused_items: u64) {
        let counters = self.receiver(transport, signal);
        counters.bytes.fetch_add(bytes as u64, Relaxed);
        counters.refused_items.fetch_add(refused_items, Relaxed);
    }

    pub(crate) fn connection_opened(&self, transport: Transport) {
        self.connections[transport as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn connection_closed(&self, transport: Transport) {
        self.connections[transport as usize].fetch_sub(1, Relaxed);
    }

    pub(crate) fn connection_refused(&self, transport: Transport) {
        self.connections_refused[transport as usize].fetch_add(1, Relaxed);
    }

    /// A connection to a listener, by its name, ended before TLS was agreed on.
    pub(crate) fn handshake_failed(&self, listener: &str) {
        count_at(&self.handshakes_failed, listener);
    }

    /// A connection to a listener, by its name, came from an address that is not allowed.
    pub(crate) fn not_allowed(&self, listener: &str) {
        count_at(&self.not_allowed, listener);
    }

    /// The counters of an exporter from now on; those of an earlier exporter with the same id are replaced.
    pub(crate) fn exporter(&self, id: &str, queue_capacity: usize) -> Arc<ExporterCounters> {
        let counters = Arc::new(ExporterCounters::new(id, queue_capacity as u64));
        let mut exporters = self.exporters.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        exporters.retain(|other| other.id != id);
        exporters.push(Arc::clone(&counters));
        exporters.sort_by(|left, right| left.id.cmp(&right.id));
        counters
    }

    /// Forgets an exporter that no longer runs.
    pub(crate) fn forget_exporter(&self, gone: &Arc<ExporterCounters>) {
        let mut exporters = self.exporters.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        exporters.retain(|other| !Arc::ptr_eq(other, gone));
    }

    fn receiver(&self, transport: Transport, signal: Signal) -> &ReceiverCounters {
        &self.receivers[transport as usize][signal_index(signal)]
    }

    /// Everything, as it stands now. Families and their points come in a fixed order.
    pub fn families(&self) -> Vec<Family> {
        let mut families = self.receiver_families();
        families.extend(self.exporter_families());
        families.extend(self.process_families());
        for source in &self.sources.families {
            families.extend(source());
        }
        families
    }

    /// The Prometheus page.
    pub fn page(&self) -> PagePieces {
        let own = std::iter::once(prometheus::render(&self.families()));
        match &self.sources.page {
            Some(results) => Box::new(own.chain(results())),
            None => Box::new(own),
        }
    }

    fn receiver_families(&self) -> Vec<Family> {
        let mut requests =
            Family::counter("isotel_receiver_requests", "{request}", "Requests received, by how they ended.");
        let mut bytes = Family::counter(
            "isotel_receiver_accepted_bytes",
            "By",
            "Bytes of requests that were recorded, after decompression.",
        );
        let mut refused = refused_families();
        for transport in TRANSPORTS {
            for signal in Signal::ALL {
                let counters = self.receiver(transport, signal);
                let labels = [("transport", transport_name(transport)), ("signal", signal.as_str())];
                for outcome in RequestOutcome::ALL {
                    let count = counters.outcomes[outcome as usize].load(Relaxed);
                    let point = Point::new(&labels, Value::Count(count)).and("outcome", outcome.name());
                    requests.points.push(point);
                }
                bytes.points.push(Point::new(&labels, Value::Count(counters.bytes.load(Relaxed))));
                let count = Value::Count(counters.refused_items.load(Relaxed));
                refused[signal_index(signal)].points.push(Point::new(&labels[..1], count));
            }
        }
        let mut open = Family::gauge("isotel_receiver_connections", "{connection}", "Connections open.");
        let mut turned_away = Family::counter(
            "isotel_receiver_connections_refused",
            "{connection}",
            "Connections closed because too many were open.",
        );
        for transport in TRANSPORTS {
            let labels = [("transport", transport_name(transport))];
            let count = self.connections[transport as usize].load(Relaxed);
            open.points.push(Point::new(&labels, Value::Level(count as f64)));
            let count = self.connections_refused[transport as usize].load(Relaxed);
            turned_away.points.push(Point::new(&labels, Value::Count(count)));
        }
        let mut handshakes = Family::counter(
            "isotel_listener_tls_handshakes_failed",
            "{connection}",
            "Connections that ended before TLS was agreed on: another protocol, no or a wrong certificate, too slow.",
        );
        let mut not_allowed = Family::counter(
            "isotel_listener_connections_not_allowed",
            "{connection}",
            "Connections closed because their address is not in allow_from.",
        );
        for (family, counts) in
            [(&mut handshakes, &self.handshakes_failed), (&mut not_allowed, &self.not_allowed)]
        {
            let points = LISTENERS.iter().zip(counts).map(|(listener, count)| {
                Point::new(&[("listener", listener)], Value::Count(count.load(Relaxed)))
            });
            family.points.extend(points);
        }
        let mut families = vec![requests, bytes];
        families.extend(refused);
        families.extend([open, turned_away, handshakes, not_allowed]);
        families
    }

    fn exporter_families(&self) -> Vec<Family> {
        type Read = fn(&ExporterCounters) -> Value;
        const TABLE: [(&str, &str, &str, Kind, Read); 11] = [
            (
                "isotel_exporter_sent_requests",
                "{request}",
                "Requests acknowledged downstream.",
                Kind::Counter,
                |c| Value::Count(c.sent.load(Relaxed)),
            ),
            ("isotel_exporter_sent_bytes", "By", "Bytes of them, before compression.", Kind::Counter, |c| {
                Value::Count(c.sent_bytes.load(Relaxed))
            }),
            ("isotel_exporter_send_failed_requests", "{request}", "Requests given up.", Kind::Counter, |c| {
                Value::Count(c.send_failed.load(Relaxed))
            }),
            (
                "isotel_exporter_enqueue_failed_requests",
                "{request}",
                "Requests that found the queue full.",
                Kind::Counter,
                |c| Value::Count(c.enqueue_failed.load(Relaxed)),
            ),
            ("isotel_exporter_rejected_items", "{item}", "Items refused downstream.", Kind::Counter, |c| {
                Value::Count(c.rejected_items.load(Relaxed))
            }),
            ("isotel_exporter_retries", "{attempt}", "Attempts after the first.", Kind::Counter, |c| {
                Value::Count(c.retries.load(Relaxed))
            }),
            ("isotel_exporter_queue_size", "{request}", "Requests waiting.", Kind::Gauge, |c| {
                Value::Level(c.queue_size.load(Relaxed) as f64)
            }),
            ("isotel_exporter_queue_bytes", "By", "Bytes waiting.", Kind::Gauge, |c| {
                Value::Level(c.queue_bytes.load(Relaxed) as f64)
            }),
            (
                "isotel_exporter_damaged_records",
                "{record}",
                "Parts of the queue on disk that no request could be read from.",
                Kind::Counter,
                |c| Value::Count(c.damaged.load(Relaxed)),
            ),
            ("isotel_exporter_queue_capacity", "{request}", "Requests that may wait.", Kind::Gauge, |c| {
                Value::Level(c.queue_capacity as f64)
            }),
            ("isotel_exporter_in_flight_requests", "{request}", "Requests being sent.", Kind::Gauge, |c| {
                Value::Level(c.in_flight.load(Relaxed) as f64)
            }),
        ];
        let exporters = self.exporters.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        TABLE
            .iter()
            .map(|(name, unit, help, kind, read)| Family {
                name,
                unit,
                help,
                kind: *kind,
                points: exporters.iter().map(|c| Point::new(&[("exporter", &c.id)], read(c))).collect(),
            })
            .collect()
    }

    fn process_families(&self) -> Vec<Family> {
        let mut uptime = Family::counter("isotel_process_uptime", "s", "Time since the start.");
        uptime.points.push(Point::new(&[], Value::Sum(self.started.elapsed().as_secs_f64())));
        let mut cpu = Family::counter("isotel_process_cpu_seconds", "s", "CPU time, user and system.");
        cpu.points.extend(process_cpu_seconds().map(|seconds| Point::new(&[], Value::Sum(seconds))));
        let mut rss = Family::gauge("isotel_process_memory_rss", "By", "Physical memory in use.");
        rss.points.extend(memory::resident_bytes().map(|bytes| Point::new(&[], Value::Level(bytes as f64))));
        vec![uptime, cpu, rss]
    }
}

/// What the engine's door counted, in the names that the collector's users know.
pub fn tally_families(tally: &Tally) -> Vec<Family> {
    let one = |mut family: Family, count: u64| {
        family.points.push(Point::new(&[], Value::Count(count)));
        family
    };
    let mut refused =
        Family::counter("isotel_engine_refused_items", "{item}", "Items that broke a rule, by which.");
    refused.points =
        tally.refused.iter().map(|(reason, n)| Point::new(&[("reason", reason)], Value::Count(*n))).collect();
    let late = "Items whose window was sealed already.";
    let unassigned = "Items of a resource that names no environment.";
    vec![
        one(Family::counter("isotel_receiver_accepted_spans", "{span}", "Spans recorded."), tally.spans),
        one(
            Family::counter(
                "isotel_receiver_accepted_metric_points",
                "{datapoint}",
                "Metric points recorded.",
            ),
            tally.metric_points,
        ),
        one(
            Family::counter("isotel_receiver_accepted_log_records", "{record}", "Log records recorded."),
            tally.log_records,
        ),
        refused,
        one(Family::counter("isotel_engine_late_items", "{item}", late), tally.late.values().sum()),
        one(
            Family::counter("isotel_engine_unassigned_items", "{item}", unassigned),
            tally.unassigned.values().sum(),
        ),
    ]
}

/// A point for each bound that was reached; operators see by its key which one to raise.
fn parts_family(parts: PartCounts) -> Family {
    let help = "Parts of windows by what became of them: those that came from first tiers, and those that were made for the second.";
    let mut family = Family::counter("isotel_engine_parts", "{part}", help);
    let PartCounts { merged, repeated, late, made, lost } = parts;
    let of = [("merged", merged), ("repeated", repeated), ("late", late), ("made", made), ("lost", lost)];
    family.points = of.map(|(outcome, n)| Point::new(&[("outcome", outcome)], Value::Count(n))).into();
    family
}

fn limits_family(hits: &LimitsHit) -> Family {
    let help = "Items that met a bound of parity.limits, by which.";
    let mut family = Family::counter("isotel_engine_limit_hits", "{item}", help);
    family.points =
        hits.iter().map(|(limit, n)| Point::new(&[("limit", limit.as_str())], Value::Count(n))).collect();
    family
}

fn refused_families() -> [Family; Signal::ALL.len()] {
    [
        Family::counter("isotel_receiver_refused_spans", "{span}", "Spans refused, one by one."),
        Family::counter(
            "isotel_receiver_refused_metric_points",
            "{datapoint}",
            "Metric points refused, one by one.",
        ),
        Family::counter(
            "isotel_receiver_refused_log_records",
            "{record}",
            "Log records refused, one by one.",
        ),
    ]
}

/// The place of a signal in arrays by signal: traces, metrics, logs.
pub(crate) fn signal_index(signal: Signal) -> usize {
    match signal {
        Signal::Traces => 0,
        Signal::Metrics => 1,
        Signal::Logs => 2,
    }
}

/// The name of a transport in metrics: `grpc` or `http`.
pub(crate) fn transport_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Grpc => "grpc",
        Transport::Http => "http",
    }
}

/// Fields 14 and 15 of `/proc/self/stat`, in ticks of 1/100 s (fixed for user space on Linux).
fn process_cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let after_name = &stat[stat.rfind(')')? + 1..];
    let mut ticks = after_name.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Some((ticks.next()?.ok()? + ticks.next()?.ok()?) / 100.0)
}
/// One more at a listener, by its name.
fn count_at(counts: &[AtomicU64; LISTENERS.len()], listener: &str) {
    let at = LISTENERS.iter().position(|known| *known == listener);
    if let Some(count) = at.and_then(|at| counts.get(at)) {
        count.fetch_add(1, Relaxed);
    }
}
