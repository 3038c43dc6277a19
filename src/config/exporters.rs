//! Where to send: what was received, results, isotel's own metrics.

use super::auth::{self, Authenticators, ClientAuth};
use super::build::{HttpOrGrpc, View};
use super::problem::Problems;
use super::schema::{self, Key, Kind};
use super::secret::Secret;
use super::storage::{self, StorageConfig};
use super::tls::{self, ClientTls};
use super::tree::Node;
use std::collections::BTreeMap;
use std::time::Duration;

/// The key of the push of isotel's own metrics.
pub const PUSH_KEY: &str = "service.telemetry.metrics.otlp";

/// After which time a request that waits in memory is given up where the file does not say.
const PATIENCE: Duration = Duration::from_secs(300);

/// How requests are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// Not at all.
    None,
}

/// What is sent to a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// OTLP, in protobuf.
    Otlp,
    /// Alerts for Alertmanager's API.
    Alertmanager,
    /// Alerts for a webhook.
    Webhook,
}

/// One place to send to.
#[derive(Clone, Debug, PartialEq)]
pub struct ExporterConfig {
    /// What is sent.
    pub content: Content,
    /// Which transport.
    pub transport: HttpOrGrpc,
    /// Base URL with a scheme.
    pub url: String,
    /// Headers or metadata.
    pub headers: BTreeMap<String, Secret>,
    /// How requests are compressed.
    pub compression: Compression,
    /// TLS, where the URL says https.
    pub tls: ClientTls,
    /// What it shows to say who it is.
    pub auth: Option<ClientAuth>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// When to try again.
    pub retry: RetryConfig,
    /// What waits.
    pub queue: QueueConfig,
    /// Where what waits is kept; `None`: in memory.
    pub storage: Option<StorageConfig>,
}

impl ExporterConfig {
    /// Whether requests go to another machine without TLS.
    pub fn in_the_open(&self) -> bool {
        in_the_open(&self.url)
    }
}

/// Whether what is sent to a URL goes to another machine without TLS.
pub fn in_the_open(url: &str) -> bool {
    let host = url.strip_prefix("http://").and_then(|rest| rest.split('/').next());
    let host = host.map(|host| host.rsplit_once(':').map_or(host, |(host, _)| host));
    host.is_some_and(|host| host != "localhost" && host != "[::1]" && !host.starts_with("127."))
}

/// When to try again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryConfig {
    /// Whether at all.
    pub enabled: bool,
    /// The first wait.
    pub initial_interval: Duration,
    /// How much a wait may be off, as a share.
    pub randomization_factor: f64,
    /// How much longer the next wait is.
    pub multiplier: f64,
    /// The longest wait.
    pub max_interval: Duration,
    /// After which time a request is given up; `None` for never.
    pub max_elapsed_time: Option<Duration>,
}

/// What waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Requests under way at a time.
    pub consumers: usize,
    /// Requests that wait at the most.
    pub requests: usize,
    /// Bytes that wait at the most.
    pub bytes: usize,
}

/// Where isotel's own metrics are pushed to.
#[derive(Clone, Debug, PartialEq)]
pub struct TelemetryOtlp {
    /// The way there.
    pub exporter: ExporterConfig,
    /// How often.
    pub interval: Duration,
}

/// Every exporter that is defined.
pub(super) fn exporters(
    root: &View<'_>,
    authenticators: &Authenticators,
    problems: &mut Problems,
) -> BTreeMap<String, ExporterConfig> {
    let mut exporters = BTreeMap::new();
    let Some(node) = root.child("exporters") else { return exporters };
    for (id, place, node) in node.entries() {
        let kind = id.split('/').next().unwrap_or(id);
        let keys = exporter_keys(kind);
        // A type that is not known has been told, and there is no table to read it by.
        if keys.is_empty() {
            continue;
        }
        let (content, transport) = match kind {
            "otlp_grpc" | "otlp" => (Content::Otlp, HttpOrGrpc::Grpc),
            "alertmanager" => (Content::Alertmanager, HttpOrGrpc::Http),
            "webhook" => (Content::Webhook, HttpOrGrpc::Http),
            _ => (Content::Otlp, HttpOrGrpc::Http),
        };
        let view = View { node: Some(node), keys };
        let key = format!("exporters.{id}");
        if view.child("endpoint").is_none() {
            let hint = "for example endpoint: http://localhost:4318".to_owned();
            problems.push(place.problem(format!("{key}: has no endpoint"), Some(hint)));
        }
        let way = (&*key, transport, content);
        if let Some(mut exporter) = exporter(&view, way, authenticators, problems) {
            if content != Content::Otlp {
                exporters.insert(id.clone(), exporter);
                continue;
            }
            let queue = view.section("sending_queue");
            exporter.storage = storage::storage(root, &format!("{key}.sending_queue"), &queue, problems);
            if exporter.storage.is_some() && !view.section("retry_on_failure").says("max_elapsed_time") {
                exporter.retry.max_elapsed_time = None;
            }
            exporters.insert(id.clone(), exporter);
        }
    }
    exporters
}

/// Where isotel's own metrics are pushed to.
pub(super) fn push(
    view: &View<'_>,
    authenticators: &Authenticators,
    problems: &mut Problems,
) -> Option<TelemetryOtlp> {
    let way = (PUSH_KEY, HttpOrGrpc::Grpc, Content::Otlp);
    let exporter = exporter(view, way, authenticators, problems)?;
    Some(TelemetryOtlp { exporter, interval: view.duration("interval") })
}

/// Messages of alerts are sent one after the other, so that the latest word is the last. Few wait: each says all that there
/// is.
const ALERT_QUEUE: QueueConfig = QueueConfig { consumers: 1, requests: 16, bytes: 64 << 20 };

/// The exporter of a section with an endpoint.
fn exporter(
    view: &View<'_>,
    (key, transport, content): (&str, HttpOrGrpc, Content),
    authenticators: &Authenticators,
    problems: &mut Problems,
) -> Option<ExporterConfig> {
    let endpoint = view.child("endpoint")?;
    let tls = tls::client(view, key, problems);
    let url = match url(endpoint, view, key, transport, &tls, problems) {
        url if content == Content::Webhook => url,
        url => url.trim_end_matches('/').to_owned(),
    };
    let retry = view.section("retry_on_failure");
    let headers = view.child("headers").map_or(&[][..], Node::entries);
    let elapsed = match content == Content::Otlp && !retry.says("max_elapsed_time") {
        true => PATIENCE,
        false => retry.duration("max_elapsed_time"),
    };
    let (compression, queue) = match content {
        Content::Otlp => (compression(view), queue(&view.section("sending_queue"))),
        Content::Alertmanager | Content::Webhook => (Compression::None, ALERT_QUEUE),
    };
    Some(ExporterConfig {
        content,
        transport,
        url,
        headers: headers
            .iter()
            .map(|(key, _, n)| (key.to_ascii_lowercase(), Secret::new(n.text().unwrap_or(""))))
            .collect(),
        compression,
        tls,
        auth: view.node.and_then(|node| auth::of_exporter(node, key, authenticators, problems)),
        timeout: view.duration("timeout"),
        retry: RetryConfig {
            enabled: retry.bool("enabled"),
            initial_interval: retry.duration("initial_interval"),
            randomization_factor: retry.number("randomization_factor"),
            multiplier: retry.number("multiplier"),
            max_interval: retry.duration("max_interval"),
            max_elapsed_time: (!elapsed.is_zero()).then_some(elapsed),
        },
        queue,
        storage: None,
    })
}

fn compression(view: &View<'_>) -> Compression {
    match view.text("compression").as_str() {
        "gzip" => Compression::Gzip,
        "zstd" => Compression::Zstd,
        _ => Compression::None,
    }
}

fn queue(view: &View<'_>) -> QueueConfig {
    QueueConfig {
        consumers: view.count("num_consumers"),
        requests: view.count("queue_size"),
        bytes: view.bytes("queue_bytes"),
    }
}

/// The URL with a scheme. A scheme that is written decides; without one, gRPC is over TLS unless `tls.insecure` says not, as
/// in the collector, and HTTP where there are settings of TLS.
fn url(
    endpoint: &Node,
    view: &View<'_>,
    key: &str,
    transport: HttpOrGrpc,
    tls: &ClientTls,
    problems: &mut Problems,
) -> String {
    let text = endpoint.text().unwrap_or_default();
    let insecure = view.section("tls").bool("insecure");
    // Whether it takes TLS to do what is written.
    let secured = *tls
        != ClientTls {
            reload_interval: tls.reload_interval,
            only_tls13: tls.only_tls13,
            ..ClientTls::default()
        };
    if secured && (insecure || text.starts_with("http://")) {
        let hint = "take insecure and http:// away, or the other settings of tls".to_owned();
        let message = format!("{key}: would be sent without TLS, although tls has settings for it");
        problems.push(endpoint.place.problem(message, Some(hint)));
    }
    let scheme = if insecure || (transport == HttpOrGrpc::Http && !secured) { "http" } else { "https" };
    match text.contains("://") {
        true => text.to_owned(),
        false => format!("{scheme}://{text}"),
    }
}

fn exporter_keys(kind: &str) -> &'static [Key] {
    let Kind::Section(root) = &schema::ROOT else { return &[] };
    let Some(Kind::Components(types)) = root.iter().find(|key| key.name == "exporters").map(|key| key.kind)
    else {
        return &[];
    };
    match types.iter().find(|(name, _)| *name == kind) {
        Some((_, Kind::Section(keys))) => keys,
        _ => &[],
    }
}
