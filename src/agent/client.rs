//! One attempt to hand a request downstream, over gRPC or HTTP.
//!
//! Both go through one hyper client with one TLS set-up. The message is framed and compressed once per request, however
//! often it is sent, and its bytes are never decoded or encoded again.

use std::time::Duration;

use bytes::{Buf, Bytes, buf::Chain};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version, header};
use http_body::Body;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as HyperClient, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use jiff::Timestamp;
use prost::Message;
use rustls_pki_types::ServerName;
use tonic::Status;

use super::{
    auth::{self, AuthError},
    compress, grpc,
    queue::Item,
    renewed::Renewed,
    retry::{self, Reply},
    telemetry::signal_index,
    tls::{self, TlsError},
};
use crate::{
    config::{
        ClientAuth, ClientTls, Compression, Content, ExporterConfig, HttpOrGrpc as Transport, Secret,
        secret::MASK,
    },
    wire::{Signal, response},
};

/// A client must not read more of an answer than this (OTLP 1.11.0).
const RESPONSE_BYTES_MAX: usize = 4 << 20;
/// What a log line shows of an answer that is only text.
const WORDS_BYTES_MAX: usize = 300;
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// A sent value of fewer bytes is not looked for in what downstream answers.
const SECRET_BYTES_MIN: usize = 4;
pub(super) const USER_AGENT: &str = concat!("isotel/", env!("CARGO_PKG_VERSION"));

/// Why an exporter could not be set up. Nothing of it depends on the network.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The endpoint is no URL that can be connected to.
    #[error("endpoint {endpoint:?}: {cause}")]
    Endpoint {
        /// As configured.
        endpoint: String,
        /// What is wrong.
        cause: String,
    },
    /// A header's name or value has a character that HTTP does not allow.
    #[error("headers: {name:?} or its value is not valid in HTTP")]
    Header {
        /// The name.
        name: String,
    },
    /// The certificates are unusable.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The credential is unusable.
    #[error("auth: {0}")]
    Auth(#[from] AuthError),
    /// The SDK's exporter could not be made, which its variables in the environment can cause.
    #[error("{0}; look at OTEL_EXPORTER_OTLP_* in the environment")]
    Sdk(String),
}

type Http = Connections<Full<Payload>>;

/// A pool of connections for requests with such bodies.
pub(super) type Connections<B> = HyperClient<HttpsConnector<HttpConnector>, B>;

/// A gRPC frame header (or nothing) and the message.
type Payload = Chain<Bytes, Bytes>;

/// A request as it goes over the wire, ready to be sent any number of times.
pub(crate) struct Sendable {
    signal: Signal,
    frame: Bytes,
    message: Bytes,
}

/// A connection pool to one downstream.
pub(crate) struct Client {
    content: Content,
    transport: Transport,
    /// Made anew when its certificates are; requests under way end on the connections that they began on.
    http: Renewed<Http, TlsError>,
    /// By signal.
    uris: [Uri; 3],
    /// Everything that is the same for every request.
    headers: HeaderMap,
    /// What `Authorization` says.
    credential: Option<Renewed<HeaderValue, AuthError>>,
    /// What downstream may not see repeated in our log beside the headers.
    password: Option<Secret>,
    compression: Compression,
    timeout: Duration,
}

impl Client {
    /// A client of the exporter at `key` that has not connected yet.
    ///
    /// # Errors
    /// [`ClientError`] for settings that can never work.
    pub(crate) fn new(key: &str, exporter: &ExporterConfig) -> Result<Self, ClientError> {
        let mut uris: [Uri; 3] = Default::default();
        for signal in Signal::ALL {
            uris[signal_index(signal)] = uri(exporter, signal)?;
        }
        let secured = uris[0].scheme_str() == Some("https");
        let (files, interval) = match secured {
            true => (tls::client_files(&exporter.tls), exporter.tls.reload_interval),
            false => (Vec::new(), None),
        };
        let settings = exporter.clone();
        let make = move || {
            let tls = secured.then_some(&settings.tls);
            connector(tls, settings.timeout, settings.transport == Transport::Grpc)
        };
        let password = match &exporter.auth {
            Some(ClientAuth::Basic { password, .. }) => Some(password.clone()),
            _ => None,
        };
        Ok(Client {
            content: exporter.content,
            transport: exporter.transport,
            http: Renewed::new(&format!("{key}.tls"), files, interval, make)?,
            uris,
            headers: headers(exporter)?,
            credential: exporter.auth.as_ref().map(|auth| auth::credential(key, auth)).transpose()?,
            password,
            compression: exporter.compression,
            timeout: exporter.timeout,
        })
    }

    /// Reads certificates and credentials again where they changed.
    ///
    /// # Errors
    /// [`ClientError`]; what was goes on.
    pub(crate) fn renew(&self) -> Result<(), ClientError> {
        self.http.renew()?;
        self.credential.as_ref().map_or(Ok(()), Renewed::renew)?;
        Ok(())
    }

    /// Frames and compresses an item.
    ///
    /// # Errors
    /// Only when the compressor itself fails.
    pub(crate) fn prepare(&self, item: &Item) -> std::io::Result<Sendable> {
        let message = compress::deflate(self.compression, &item.request)?;
        let frame = match self.transport {
            Transport::Http => Bytes::new(),
            Transport::Grpc => {
                let length = u32::try_from(message.len()).map_err(std::io::Error::other)?;
                let mut frame = Vec::with_capacity(5);
                frame.push(u8::from(self.compression != Compression::None));
                frame.extend_from_slice(&length.to_be_bytes());
                frame.into()
            }
        };
        Ok(Sendable { signal: item.signal, frame, message })
    }

    /// One attempt, at most as long as the exporter's timeout.
    pub(crate) async fn send(&self, sendable: &Sendable) -> Reply {
        let mut headers = self.headers.clone();
        if let Some(credential) = &self.credential {
            headers.insert(header::AUTHORIZATION, HeaderValue::clone(&credential.load()));
        }
        match tokio::time::timeout(self.timeout, self.attempt(sendable, headers.clone())).await {
            Ok(reply) => without_secrets(reply, &headers, self.password.as_ref()),
            Err(_) => {
                Reply::Retryable { reason: format!("no answer within {:?}", self.timeout), after: None }
            }
        }
    }

    async fn attempt(&self, sendable: &Sendable, headers: HeaderMap) -> Reply {
        let mut request = Request::new(Full::new(sendable.frame.clone().chain(sendable.message.clone())));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uris[signal_index(sendable.signal)].clone();
        *request.headers_mut() = headers;
        if self.transport == Transport::Grpc {
            *request.version_mut() = Version::HTTP_2;
        }
        let response = match self.http.load().request(request).await {
            Ok(response) => response,
            // A refused, dropped or broken connection: the request may or may not have arrived, and OTLP says to repeat.
            Err(cause) => return Reply::Retryable { reason: chain_of(&cause), after: None },
        };
        let (head, body) = response.into_parts();
        let collected = match Limited::new(body, RESPONSE_BYTES_MAX).collect().await {
            Ok(collected) => collected,
            Err(cause) if head.status.is_success() && cause.is::<http_body_util::LengthLimitError>() => {
                // It was taken; only downstream's explanation is too long to read.
                return Reply::Delivered { rejected: 0, message: String::new() };
            }
            Err(cause) => {
                return Reply::Retryable { reason: format!("the answer broke off: {cause}"), after: None };
            }
        };
        let trailers = collected.trailers().cloned();
        let body = collected.to_bytes();
        match self.transport {
            Transport::Grpc => grpc_reply(head.status, &head.headers, trailers.as_ref(), &body),
            Transport::Http => http_reply(self.content, head.status, &head.headers, &body),
        }
    }
}

/// A reply whose words, which are logged, do not repeat what was sent in secret: some servers say which token was wrong.
fn without_secrets(mut reply: Reply, sent: &HeaderMap, password: Option<&Secret>) -> Reply {
    let (Reply::Delivered { message: text, .. }
    | Reply::Permanent { reason: text }
    | Reply::Retryable { reason: text, .. }) = &mut reply;
    let sent = sent.values().filter(|value| value.is_sensitive()).filter_map(|value| value.to_str().ok());
    // `Bearer` may be repeated, what stands after it may not.
    let secrets = sent.map(|value| value.split_once(' ').map_or(value, |(_, credential)| credential.trim()));
    let secrets = secrets.chain(password.map(Secret::reveal));
    for part in secrets.filter(|part| part.len() >= SECRET_BYTES_MIN) {
        *text = text.replace(part, MASK);
    }
    reply
}

/// Connections that are made within this time, by TLS where there are settings of it; `grpc` speaks HTTP/2 alone.
pub(super) fn connector<B>(
    secured: Option<&ClientTls>,
    timeout: Duration,
    grpc: bool,
) -> Result<Connections<B>, TlsError>
where
    B: Body + Send,
    B::Data: Send,
{
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(timeout));
    let config = secured.map_or_else(tls::no_client_config, tls::client_config)?;
    let mut schemes = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http();
    if let Some(name) = secured.and_then(|tls| tls.server_name.as_ref()) {
        let name = ServerName::try_from(name.clone())
            .map_err(|cause| TlsError::Parts { key: "tls.server_name_override", cause: cause.to_string() })?;
        schemes = schemes.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    let connector = if grpc {
        schemes.enable_http2().wrap_connector(tcp)
    } else {
        schemes.enable_http1().enable_http2().wrap_connector(tcp)
    };
    Ok(HyperClient::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http2_only(grpc)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .http2_keep_alive_timeout(KEEP_ALIVE)
        .build(connector))
}

fn uri(exporter: &ExporterConfig, signal: Signal) -> Result<Uri, ClientError> {
    let bad = |cause: &dyn std::fmt::Display| ClientError::Endpoint {
        endpoint: exporter.url.clone(),
        cause: cause.to_string(),
    };
    let base: Uri = exporter.url.parse().map_err(|cause: http::uri::InvalidUri| bad(&cause))?;
    if !matches!(base.scheme_str(), Some("http" | "https")) {
        return Err(bad(&"the scheme must be http or https"));
    }
    let under = base.path().trim_end_matches('/');
    let path = match (exporter.content, exporter.transport) {
        (Content::Webhook, _) => return Ok(base),
        (Content::Alertmanager, _) => format!("{under}/api/v2/alerts"),
        (Content::Otlp, Transport::Grpc) => grpc::path_of(signal).to_owned(),
        (Content::Otlp, Transport::Http) => format!("{under}/v1/{}", signal.as_str()),
    };
    let mut parts = base.into_parts();
    parts.path_and_query = Some(path.parse().map_err(|cause: http::uri::InvalidUri| bad(&cause))?);
    Uri::from_parts(parts).map_err(|cause| bad(&cause))
}

fn headers(exporter: &ExporterConfig) -> Result<HeaderMap, ClientError> {
    let mut headers = HeaderMap::new();
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    for (name, value) in &exporter.headers {
        let bad = || ClientError::Header { name: name.clone() };
        let key = HeaderName::try_from(name.as_str()).map_err(|_| bad())?;
        let mut value = HeaderValue::try_from(value.reveal()).map_err(|_| bad())?;
        value.set_sensitive(true);
        headers.append(key, value);
    }
    // The protocol's own come last: they are not for a configuration to change.
    let coding = match exporter.compression {
        Compression::None => None,
        Compression::Gzip => Some(HeaderValue::from_static("gzip")),
        Compression::Zstd => Some(HeaderValue::from_static("zstd")),
    };
    match exporter.transport {
        Transport::Grpc => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
            let timeout = exporter.timeout.as_millis().min(99_999_999);
            let timeout = HeaderValue::try_from(format!("{timeout}m"))
                .map_err(|_| ClientError::Header { name: "grpc-timeout".to_owned() })?;
            headers.insert("grpc-timeout", timeout);
            coding.map(|coding| headers.insert("grpc-encoding", coding));
        }
        Transport::Http => {
            let kind = match exporter.content {
                Content::Otlp => "application/x-protobuf",
                Content::Alertmanager | Content::Webhook => "application/json",
            };
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            coding.map(|coding| headers.insert(header::CONTENT_ENCODING, coding));
        }
    }
    Ok(headers)
}

fn grpc_reply(http: StatusCode, headers: &HeaderMap, trailers: Option<&HeaderMap>, body: &[u8]) -> Reply {
    let status = trailers.and_then(Status::from_header_map).or_else(|| Status::from_header_map(headers));
    let Some(status) = status else {
        return without_grpc_status(http);
    };
    let code = status.code() as i32;
    if code == 0 {
        // Frame header, then the message; we asked for no compression.
        return delivered(body.get(5..).unwrap_or_default());
    }
    retry::grpc_reply(code, status.message(), response::retry_delay(status.details()))
}

/// A proxy answered in gRPC's place. The codes are those of gRPC's "HTTP to gRPC Status Code Mapping".
fn without_grpc_status(http: StatusCode) -> Reply {
    let code = match http.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    };
    retry::grpc_reply(code, &format!("an answer without grpc-status, HTTP {http}"), None)
}

#[expect(clippy::disallowed_methods, reason = "`Retry-After` may be a date")]
fn http_reply(content: Content, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Reply {
    if status.is_success() {
        return match content {
            Content::Otlp => delivered(body),
            Content::Alertmanager | Content::Webhook => {
                Reply::Delivered { rejected: 0, message: String::new() }
            }
        };
    }
    let protobuf = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/x-protobuf"));
    let status_body =
        if protobuf { RpcStatus::decode(body).unwrap_or_default() } else { RpcStatus::default() };
    let words = match content {
        Content::Otlp => status_body.message,
        Content::Alertmanager | Content::Webhook => words_of(body),
    };
    let retry_after = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    retry::http_reply(status.as_u16(), &words, retry_after, Timestamp::now())
}

/// The beginning of a text that an answer may have, for a log line.
pub(super) fn words_of(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body.get(..WORDS_BYTES_MAX.min(body.len())).unwrap_or_default());
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Reads `partial_success`. What cannot be read changes nothing: it was delivered.
fn delivered(body: &[u8]) -> Reply {
    let (rejected, message) = response::partial_success(body).unwrap_or_default();
    Reply::Delivered { rejected: u64::try_from(rejected).unwrap_or(0), message }
}

/// The part of `google.rpc.Status` that a log line shows.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(string, tag = "2")]
    message: String,
}

/// An error with its causes, which is where hyper says what happened.
pub(super) fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{QueueConfig, RetryConfig};
    use std::collections::BTreeMap;

    fn exporter(transport: Transport, url: &str) -> ExporterConfig {
        let timeout = Duration::from_secs(5);
        ExporterConfig {
            content: Content::Otlp,
            transport,
            url: url.to_owned(),
            headers: BTreeMap::new(),
            compression: Compression::None,
            tls: ClientTls::default(),
            auth: None,
            timeout,
            retry: RetryConfig {
                enabled: true,
                initial_interval: timeout,
                randomization_factor: 0.5,
                multiplier: 1.5,
                max_interval: timeout,
                max_elapsed_time: None,
            },
            queue: QueueConfig { consumers: 1, requests: 1, bytes: 1 },
            storage: None,
        }
    }

    #[test]
    fn every_signal_has_its_url() {
        let grpc = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
        let table = [
            (Transport::Grpc, "http://next:4317", format!("http://next:4317{grpc}")),
            (Transport::Grpc, "https://next/ignored", format!("https://next{grpc}")),
            (Transport::Http, "http://next:4318", "http://next:4318/v1/traces".to_owned()),
            (Transport::Http, "https://next/otlp/", "https://next/otlp/v1/traces".to_owned()),
        ];
        for (transport, url, expected) in table {
            assert_eq!(uri(&exporter(transport, url), Signal::Traces).unwrap().to_string(), expected);
        }
        for bad in ["ftp://next", "http://", "http://a b", "next:4317", ""] {
            assert!(uri(&exporter(Transport::Http, bad), Signal::Traces).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn headers_are_checked_and_cannot_break_the_protocol() {
        let mut exporter = exporter(Transport::Http, "http://next");
        exporter.headers = [("Content-Type", "text/plain"), ("x-key", "v")]
            .map(|(name, value)| (name.to_owned(), Secret::new(value)))
            .into();
        let map = headers(&exporter).unwrap();
        assert_eq!(map[header::CONTENT_TYPE], "application/x-protobuf");
        assert_eq!(map["x-key"], "v");
        exporter.headers = [("bad name".to_owned(), Secret::default())].into();
        let refused = headers(&exporter).unwrap_err();
        assert!(matches!(refused, ClientError::Header { name } if name == "bad name"));
    }

    #[test]
    fn what_was_sent_in_secret_is_not_in_what_downstream_is_said_to_have_said() {
        let mut sent = HeaderMap::new();
        for (name, value) in [("authorization", "Bearer hunter2"), ("x-key", "hunter3"), ("x-short", "abc")] {
            let mut value = HeaderValue::from_static(value);
            value.set_sensitive(true);
            sent.append(name, value);
        }
        sent.append(header::CONTENT_TYPE, HeaderValue::from_static("plain"));
        let password = Secret::new("hunter4");
        let said = "Bearer hunter2 and hunter3, hunter4: abc is plain";
        let replies = [
            Reply::Permanent { reason: said.to_owned() },
            Reply::Retryable { reason: said.to_owned(), after: None },
            Reply::Delivered { rejected: 1, message: said.to_owned() },
        ];
        for reply in replies {
            let shown = format!("{:?}", without_secrets(reply, &sent, Some(&password)));
            assert!(shown.contains("Bearer [REDACTED] and [REDACTED], [REDACTED]: abc is plain"), "{shown}");
        }
    }

    #[test]
    fn a_proxys_answer_is_read_by_grpcs_mapping() {
        for (http, retryable) in [(503, true), (429, true), (404, false), (401, false), (200, false)] {
            let reply = grpc_reply(StatusCode::from_u16(http).unwrap(), &HeaderMap::new(), None, &[]);
            assert_eq!(matches!(reply, Reply::Retryable { .. }), retryable, "{http} {reply:?}");
            assert!(!matches!(reply, Reply::Delivered { .. }), "{http}");
        }
    }
}
