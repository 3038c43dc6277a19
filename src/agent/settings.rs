//! What the servers and exporters are told: plain values, already checked and resolved, without YAML or environment.
//!
//! They are compared with `==` on a reload, so that what did not change is left running.

use std::{path::PathBuf, time::Duration};

use super::retry::RetryPolicy;

/// Which of OTLP's two transports a listener or an exporter speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// OTLP/gRPC, unary `Export` calls over HTTP/2.
    Grpc,
    /// OTLP/HTTP, `POST /v1/<signal>`.
    Http,
}

impl Transport {
    /// The name used in metrics and logs: `grpc` or `http`.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Grpc => "grpc",
            Transport::Http => "http",
        }
    }
}

/// How bytes are compressed on their way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Sent as they are.
    #[default]
    None,
    /// RFC 1952, at a fast level.
    Gzip,
    /// RFC 8878, at a fast level.
    Zstd,
}

/// Certificates of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// PEM file with the certificate chain, leaf first.
    pub cert_file: PathBuf,
    /// PEM file with the leaf's private key.
    pub key_file: PathBuf,
    /// PEM file with the authorities a client's certificate must come from; `None` asks for no certificate.
    pub client_ca_file: Option<PathBuf>,
    /// Refuse TLS 1.2.
    pub tls13_only: bool,
}

/// Trust and identity of an exporter's connection. The default trusts the system's roots and presents nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientTls {
    /// Speak plain text where the endpoint names no scheme.
    pub insecure: bool,
    /// Accept any server certificate. For tests and closed networks.
    pub insecure_skip_verify: bool,
    /// PEM file with the only authorities to trust; `None` trusts the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file with the client's certificate chain.
    pub cert_file: Option<PathBuf>,
    /// PEM file with the client's private key.
    pub key_file: Option<PathBuf>,
    /// The name to verify in the server's certificate, where it differs from the endpoint's host.
    pub server_name: Option<String>,
}

/// One OTLP listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerSettings {
    /// The configuration key it comes from, named in errors: `receivers.otlp.protocols.grpc`.
    pub key: String,
    /// What it speaks.
    pub transport: Transport,
    /// `host:port`; port 0 lets the system choose.
    pub endpoint: String,
    /// TLS, or plain text.
    pub tls: Option<ServerTls>,
    /// The largest request accepted, before and after decompression, in bytes.
    pub request_bytes_max: usize,
    /// Open connections; further ones are closed at once.
    pub connections_max: usize,
}

/// One exporter.
#[derive(Debug, Clone, PartialEq)]
pub struct ExporterSettings {
    /// The component id, used in metrics and logs: `otlp_grpc/next`.
    pub id: String,
    /// What it speaks.
    pub transport: Transport,
    /// `host:port` or a URL. For HTTP, `/v1/<signal>` is appended unless `endpoints` names the signal's own URL.
    pub endpoint: String,
    /// Full URLs that replace the base for a signal, in the order traces, metrics, logs. HTTP only.
    pub signal_endpoints: [Option<String>; 3],
    /// Sent with every request.
    pub headers: Vec<(String, String)>,
    /// Compression of requests.
    pub compression: Compression,
    /// Trust and identity.
    pub tls: ClientTls,
    /// Limit of one attempt.
    pub timeout: Duration,
    /// What happens after a failed attempt.
    pub retry: RetryPolicy,
    /// Requests that may wait.
    pub queue_requests_max: usize,
    /// Bytes that may wait.
    pub queue_bytes_max: usize,
    /// Requests sent at the same time.
    pub consumers: usize,
}

/// The push of isotel's own telemetry over OTLP/gRPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetryPush {
    /// `http://host:port` of an OTLP/gRPC receiver.
    pub endpoint: String,
    /// Time between two pushes.
    pub interval: Duration,
}

/// Which exporters receive a signal's requests, by index of the signal (traces, metrics, logs).
pub type Pipelines = [Vec<String>; 3];

/// Everything the agent runs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AgentSettings {
    /// OTLP listeners.
    pub listeners: Vec<ListenerSettings>,
    /// Requests worked on at the same time, over all listeners.
    pub requests_in_flight_max: usize,
    /// Exporters, each used by at least one pipeline or by the results.
    pub exporters: Vec<ExporterSettings>,
    /// Exporter ids by signal, for forwarding what was received.
    pub forward: Pipelines,
    /// Exporter ids by signal, for isotel's own results.
    pub results: Pipelines,
    /// `host:port` of the health endpoint.
    pub health_endpoint: Option<String>,
    /// `host:port` of the Prometheus endpoint.
    pub metrics_endpoint: Option<String>,
    /// Push of own telemetry.
    pub telemetry_push: Option<TelemetryPush>,
}
