//! Listeners: bind, accept, serve connections, and let them finish within a bound.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use http::{Request, Response, header};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::body::Body;

use super::{
    admission::Admission,
    auth::{AuthError, Guard},
    connections::{Connections, Seat},
    cors::CorsRules,
    grpc, health,
    health::Readiness,
    http as otlp_http, metrics_endpoint,
    page::{self, Door},
    renewed::Renewed,
    results::Results,
    rollout::{self, Desk},
    telemetry::{self, PageText, Telemetry},
    tenants::{Entrance, Reading, Tenant, Tenants},
    tls::{self, TlsError},
};
use crate::config::{Config, HttpOrGrpc as Transport, Listener, Network, Page, ServerTls};

/// A sender's share of a connection's buffers. 64 KiB, the protocol's default, costs a fifth of the throughput.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
const STREAMS_MAX: u32 = 256;
const FRAME_MAX: u32 = 256 << 10;
/// What a connection may send before anybody has read it: a request's head, or a frame.
const UNREAD_MAX: usize = 256 << 10;
/// The names and values of a request's headers. h2 bounds the frames that they come in by it.
const HEADERS_MAX: u32 = 16 << 10;
/// Streams that a peer opened and took back before they were looked at, and streams that we took back for an error of the
/// peer's, before the connection is closed.
const RESETS_MAX: usize = 20;
const ERRORS_MAX: usize = 256;
/// A silent peer is asked after this long, and given up after as long again.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(10);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection without any request for this long after it opened is closed politely.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// The pause after an `accept` that failed, which is mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections to the health and metrics pages.
const PAGE_CONNECTIONS_MAX: usize = 64;

/// Why a listener could not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is taken, not ours, or no address.
    #[error("{key}: cannot listen on {endpoint}: {cause}")]
    Listen {
        /// The configuration key.
        key: String,
        /// The address as configured.
        endpoint: String,
        /// The system's words.
        cause: io::Error,
    },
    /// The certificates are unusable.
    #[error("{key}: {cause}")]
    Tls {
        /// The configuration key.
        key: String,
        /// Which file, and what is wrong with it.
        cause: TlsError,
    },
    /// The credentials are unusable.
    #[error("{key}: {cause}")]
    Auth {
        /// The configuration key.
        key: String,
        /// Which file, and what is wrong with it.
        cause: AuthError,
    },
}

/// What a listener serves.
pub(crate) enum Site {
    /// OTLP, by the transport, of whom the entrance lets in.
    Otlp { entrance: Entrance, transport: Transport, cors: Option<CorsRules> },
    /// A page, behind its door.
    Page { door: Door, shows: Shows },
}

/// What a page shows.
pub(crate) enum Shows {
    /// Whether the agent takes requests, at `path`.
    Health { readiness: Arc<Readiness>, admission: Arc<Admission>, path: String },
    /// Own counters and results, for Prometheus; with tenants the results of each on a page of their own.
    Metrics(Arc<Telemetry>, Tenants<Option<PageText>>),
    /// What was judged, for people.
    Results(Tenants<Arc<Results>>),
}

impl Site {
    /// One of [`telemetry::LISTENERS`].
    fn name(&self) -> &'static str {
        match self {
            Site::Otlp { transport, .. } => telemetry::transport_name(*transport),
            Site::Page { shows: Shows::Health { .. }, .. } => "health",
            Site::Page { shows: Shows::Metrics(..), .. } => "metrics",
            Site::Page { shows: Shows::Results(_), .. } => "page",
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        match self {
            Site::Otlp { entrance, transport: Transport::Grpc, .. } => grpc::answer(entrance, request).await,
            Site::Otlp { entrance, transport: Transport::Http, cors: None } => {
                otlp_http::answer(entrance, request).await
            }
            Site::Otlp { entrance, transport: Transport::Http, cors: Some(cors) } => {
                if let Some(response) = cors.preflight(&request) {
                    return response;
                }
                let origin = request.headers().get(header::ORIGIN).cloned();
                let mut response = otlp_http::answer(entrance, request).await;
                cors.allow(origin.as_ref(), response.headers_mut());
                response
            }
            Site::Page { door, shows: Shows::Health { readiness, admission, path } } => {
                door.answer(&request, |request| health::answer(readiness, admission.level(), path, request))
            }
            Site::Page { door, shows: Shows::Metrics(telemetry, tenants) } => {
                page::dressed(match door.reader(tenants, &request) {
                    Ok(Reading { own, path, .. }) => {
                        let page = || match own {
                            Some(Some(results)) => results(),
                            _ => telemetry.page(),
                        };
                        metrics_endpoint::answer(request.method(), path, page)
                    }
                    Err(refusal) => *refusal,
                })
            }
            Site::Page { door, shows: Shows::Results(tenants) } => {
                let (results, desk, path) = match door.reader(tenants, &request) {
                    Ok(Reading { own: Some(results), root, path, guarded }) => {
                        (results, Desk { key: door.key(), guarded, root: root.to_owned() }, path.to_owned())
                    }
                    Ok(Reading { own: None, .. }) => return page::dressed(page::whose()),
                    Err(refusal) => return page::dressed(*refusal),
                };
                page::dressed(rollout::answer(results, &desk, &path, request).await)
            }
        }
    }
}

/// How requests to a listener are treated; a reload replaces it while the socket and its connections stay open, so that a
/// credential that is taken back is good for no further request. TLS and the bound are those of a connection's beginning.
pub(crate) struct Terms {
    site: Site,
    tls: Option<ListenerTls>,
    /// From where connections are taken; none for everywhere.
    allow_from: Vec<Network>,
    /// Whether it does not matter who comes, and from where.
    pub(crate) open: bool,
    connections_max: usize,
}

impl Terms {
    /// The terms of an OTLP listener.
    pub(crate) fn otlp(
        listener: &Listener,
        config: &Config,
        tenants: &[Tenant],
        telemetry: &Arc<Telemetry>,
    ) -> Result<Self, BindError> {
        let key = &listener.key;
        let guard = Guard::of(key, listener.auth.as_ref()).transpose();
        let tenants = Tenants::new(key, config.tenants.as_ref(), tenants, |one| Arc::clone(&one.receiver));
        let entrance = Entrance {
            guard: guard.map_err(|cause| of_auth(key, cause))?,
            tenants: tenants.map_err(|(key, cause)| of_auth(&key, cause))?,
            limit: listener.request_bytes,
            telemetry: Arc::clone(telemetry),
        };
        let cors = listener.cors.as_ref().map(CorsRules::of);
        Ok(Terms {
            open: entrance.guard.is_none()
                && !entrance.tenants.are_guarded()
                && listener.allow_from.is_empty()
                && asks_nothing(listener.tls.as_ref()),
            site: Site::Otlp { entrance, transport: listener.transport, cors },
            allow_from: listener.allow_from.clone(),
            tls: server_tls(key, listener.tls.as_ref())?,
            connections_max: config.connections.max(1),
        })
    }

    /// The terms of a page.
    pub(crate) fn page(page: &Page, shows: Shows) -> Result<Self, BindError> {
        let door = Door::of(page).map_err(|cause| of_auth(&page.key, cause))?;
        let guarded =
            page.auth.is_some() || matches!(&shows, Shows::Results(tenants) if tenants.are_guarded());
        Ok(Terms {
            open: !guarded && page.allow_from.is_empty() && asks_nothing(page.tls.as_ref()),
            site: Site::Page { door, shows },
            allow_from: page.allow_from.clone(),
            tls: server_tls(&page.key, page.tls.as_ref())?,
            connections_max: PAGE_CONNECTIONS_MAX,
        })
    }
}

impl Terms {
    fn allow(&self, peer: IpAddr) -> bool {
        self.allow_from.is_empty() || self.allow_from.iter().any(|network| network.contains(peer))
    }
}

/// Whether TLS, if any, lets in whoever comes.
fn asks_nothing(tls: Option<&ServerTls>) -> bool {
    tls.is_none_or(|tls| tls.client_ca_file.is_none())
}

fn of_auth(key: &str, cause: AuthError) -> BindError {
    BindError::Auth { key: format!("{key}.auth"), cause }
}

type ListenerTls = Renewed<ServerConfig, TlsError>;

fn server_tls(key: &str, tls: Option<&ServerTls>) -> Result<Option<ListenerTls>, BindError> {
    let tls = tls.map(|tls| tls::server(key, tls)).transpose();
    tls.map_err(|cause| BindError::Tls { key: key.to_owned(), cause })
}

/// A socket that is bound and not yet accepting.
pub(crate) struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Binds `endpoint`; `key` is the configuration key to blame.
    pub(crate) async fn new(key: &str, (host, port): (&str, u16)) -> Result<Self, BindError> {
        let failed =
            |cause| BindError::Listen { key: key.to_owned(), endpoint: format!("{host}:{port}"), cause };
        let listener = TcpListener::bind((host, port)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Bound { listener, address })
    }

    /// The address that was bound, with the port that the system chose for port 0.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts and serves until told to stop. Connections are tasks of `stop`'s tracker.
    pub(crate) async fn serve(self, terms: Arc<ArcSwap<Terms>>, telemetry: Arc<Telemetry>, stop: Stop) {
        let connections = Arc::<Connections>::default();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.accepting.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(cause) => {
                    tracing::warn!(%cause, address = %self.address, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let now = terms.load();
            if !now.allow(peer.ip()) {
                telemetry.not_allowed(now.site.name());
                tracing::debug!(%peer, address = %self.address, "a connection from elsewhere than allow_from is closed");
                continue;
            }
            let otlp = if let Site::Otlp { transport, .. } = now.site { Some(transport) } else { None };
            let reported = otlp.map(|transport| (&telemetry, transport));
            let Some(seat) = connections.enter(now.connections_max, reported) else { continue };
            let (terms, stop, telemetry) = (Arc::clone(&terms), stop.clone(), Arc::clone(&telemetry));
            stop.connections.clone().spawn(async move {
                let ended = tokio::select! {
                    ended = connection(stream, &terms, &stop, (&seat, &telemetry)) => ended,
                    () = seat.lost() => Ok(()),
                };
                if let Err(cause) = ended {
                    tracing::debug!(cause, "a connection ended with an error");
                }
            });
        }
    }
}

/// How a listener and its connections are brought to an end.
#[derive(Clone, Default)]
pub(crate) struct Stop {
    /// No new connection, and no new request on an open one.
    accepting: CancellationToken,
    /// What is still in flight is cut off.
    now: CancellationToken,
    connections: TaskTracker,
}

impl Stop {
    /// Stops accepting, waits for requests in flight until `deadline`, then cuts off the rest.
    pub(crate) async fn drain(&self, deadline: Instant) {
        self.accepting.cancel();
        self.connections.close();
        if tokio::time::timeout_at(deadline, self.connections.wait()).await.is_err() {
            tracing::warn!(
                connections = self.connections.len(),
                "requests in flight were cut off at the deadline"
            );
            self.now.cancel();
            self.connections.wait().await;
        }
    }
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

async fn connection(
    stream: TcpStream,
    terms: &Arc<ArcSwap<Terms>>,
    stop: &Stop,
    (seat, telemetry): (&Seat, &Telemetry),
) -> Result<(), Cause> {
    // Without it small answers wait for the peer's delayed acknowledgement, 40 ms.
    stream.set_nodelay(true)?;
    let acceptor = terms.load().tls.as_ref().map(|tls| TlsAcceptor::from(tls.load()));
    match acceptor {
        None => exchange(stream, terms, stop, seat).await,
        Some(acceptor) => {
            let handshake = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream));
            let stream = tokio::select! {
                () = stop.accepting.cancelled() => return Ok(()),
                stream = handshake => stream.map_err(Cause::from).and_then(|stream| Ok(stream?)),
            };
            if stream.is_err() {
                telemetry.handshake_failed(terms.load().site.name());
            }
            exchange(stream?, terms, stop, seat).await
        }
    }
}

/// Serves one connection, HTTP/1.1 or HTTP/2 as the peer speaks.
async fn exchange<S>(stream: S, terms: &Arc<ArcSwap<Terms>>, stop: &Stop, seat: &Seat) -> Result<(), Cause>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        seat.speak();
        let terms = terms.load_full();
        async move { Ok::<_, Infallible>(terms.site.answer(request).await) }
    });
    let builder = builder();
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let first_request = Instant::now() + FIRST_REQUEST_TIMEOUT;
    let (mut closing, mut watching) = (false, true);
    loop {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = stop.now.cancelled() => return Ok(()),
            () = stop.accepting.cancelled(), if !closing => {
                connection.as_mut().graceful_shutdown();
                closing = true;
            }
            () = sleep_until(first_request), if watching => {
                watching = false;
                if !seat.spoken() {
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_buf_size(UNREAD_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS_MAX)
        .max_frame_size(FRAME_MAX)
        .max_header_list_size(HEADERS_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(ERRORS_MAX)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE);
    builder
}
