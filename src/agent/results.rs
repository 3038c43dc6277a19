//! The page of results: what was judged, for people and as JSON, and a stream that tells of each judgement.
//!
//! ```text
//! the engine's task ──show→ Results ──page, JSON, events→ browsers
//!                  ←─Question─┘  (curves, the matrix: only the engine has the windows)
//! ```
//!
//! Pages are made by the pure renderers of [`crate::report::html`]; what they need beside the latest reports is asked of
//! the engine's task over a bounded channel, and whoever finds it full or waits too long is told to come again.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::Full;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

use super::{asked, health::not_allowed};
use crate::{
    engine::{
        releases::{BaselineHealth, Offer, ReleaseError},
        snapshot::SnapshotError,
    },
    judge::{
        Release, Report,
        curves::{Curves, OperationName},
        release::{Begin, Override},
    },
    report::{
        Matrix,
        html::{
            self,
            route::{self, ApiPart, Asset, Part, Route},
            sessions,
            site::{self, Shown},
        },
        json, matrix,
    },
};

/// Questions that wait for the engine's task.
const QUESTIONS_MOST: usize = 8;
/// How long a page waits for an answer of the engine's task, which may be judging.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Listeners to what is judged; fewer than connections to a page, so that pages can still be read.
const LISTENERS_MOST: usize = 32;
/// Pages that are drawn at a time.
const DRAWN_MOST: usize = 2;
/// Snapshots that are in memory at a time, from their making to their last byte on the wire.
const SNAPSHOTS_MOST: usize = 1;
/// How often a silent stream says that it is there, so that a listener that went away is found.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What a browser may do with the pages: their own script, style and stream, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const HTML: &str = "text/html; charset=utf-8";
pub(super) const JSON: &str = "application/json";

/// What only the engine's task can answer; the answer is `None` when there is no such thing.
#[derive(Debug)]
pub enum Question {
    /// The distributions of an operation.
    Curves {
        /// The comparison's name.
        comparison: String,
        /// The service.
        service: String,
        /// The operation's name.
        operation: String,
        /// The span kind.
        kind: String,
        /// Where the answer goes.
        answer: oneshot::Sender<Option<Curves>>,
    },
    /// Which telemetry exists in the two environments of a comparison.
    Matrix {
        /// The comparison's name.
        comparison: String,
        /// Where the answer goes.
        answer: oneshot::Sender<Option<Arc<Matrix>>>,
    },
    /// Something to be done with a session.
    Session {
        /// What.
        act: Act,
        /// Where the session goes, and whether it is new.
        answer: oneshot::Sender<Result<(Arc<Release>, bool), ReleaseError>>,
    },
    /// What can be asked for.
    Offer {
        /// Where the answer goes.
        answer: oneshot::Sender<Offer>,
    },
    /// What one environment did, to be kept as a file.
    Snapshot {
        /// The environment's name.
        environment: String,
        /// What somebody writes about it.
        note: String,
        /// Where the file's bytes go.
        answer: oneshot::Sender<Result<Vec<u8>, SnapshotError>>,
    },
    /// How the baseline is with which a release would be compared.
    Baseline {
        /// The release.
        begin: Begin,
        /// Where the answer goes.
        answer: oneshot::Sender<Result<BaselineHealth, ReleaseError>>,
    },
}

/// What is done with a session.
#[derive(Clone, Debug)]
pub enum Act {
    /// It begins, or is found.
    Begin(Begin),
    /// It ends.
    Cancel(String),
    /// A person decides.
    Override(String, Override),
}

/// What the page shows. Shared between the engine's task, which fills it, and the page's connections.
pub struct Results {
    shown: ArcSwap<Vec<Arc<Shown>>>,
    sessions: ArcSwap<Vec<Arc<Release>>>,
    questions: mpsc::Sender<Question>,
    /// The latest judgements in one line, for listeners; who is slow misses those between.
    judged: watch::Sender<Arc<str>>,
    listeners: Arc<Semaphore>,
    drawing: Semaphore,
    /// Snapshots that are being given out.
    pub(super) snapshots: Arc<Semaphore>,
    closed: CancellationToken,
    /// Whether another agent judges what this one receives.
    pub judged_elsewhere: bool,
}

impl Default for Results {
    /// Results that nobody fills: the page of an agent without an engine.
    fn default() -> Self {
        Results::new().0
    }
}

impl Results {
    /// Results without any yet, and what is asked about them.
    pub fn new() -> (Results, mpsc::Receiver<Question>) {
        let (questions, asked) = mpsc::channel(QUESTIONS_MOST);
        let results = Results {
            shown: ArcSwap::default(),
            sessions: ArcSwap::default(),
            questions,
            judged: watch::Sender::new(Arc::from("[]")),
            listeners: Arc::new(Semaphore::new(LISTENERS_MOST)),
            drawing: Semaphore::new(DRAWN_MOST),
            snapshots: Arc::new(Semaphore::new(SNAPSHOTS_MOST)),
            closed: CancellationToken::new(),
            judged_elsewhere: false,
        };
        (results, asked)
    }

    /// What is shown now.
    pub fn shown(&self) -> Arc<Vec<Arc<Shown>>> {
        self.shown.load_full()
    }

    /// The sessions that are shown now, oldest first.
    pub fn sessions(&self) -> Arc<Vec<Arc<Release>>> {
        self.sessions.load_full()
    }

    /// Shows these from now on, and tells listeners.
    pub fn show(&self, shown: Vec<Arc<Shown>>, sessions: Vec<Arc<Release>>) {
        let event = site::event(&shown);
        self.sessions.store(Arc::new(sessions));
        self.shown.store(Arc::new(shown));
        self.judged.send_replace(event.into());
    }

    /// Ends the streams, which would otherwise hold up the end of the agent.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    /// Answers `GET` and `HEAD` of what people look at; `root` is what stands before the paths of these pages.
    pub(crate) async fn answer<B>(
        &self,
        route: Option<Route>,
        root: &str,
        request: &Request<B>,
    ) -> Response<Body> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return not_allowed();
        }
        let html = Form { kind: HTML, root };
        let Some(route) = route else { return found(html, None) };
        let asset =
            |kind, text: &'static str| of_bytes(StatusCode::OK, kind, Bytes::from_static(text.as_bytes()));
        let shown = self.shown();
        match route {
            Route::Index => {
                let sessions = self.sessions();
                let elsewhere = self.judged_elsewhere;
                self.drawn(html, move || Some(site::index(&shown, &sessions, elsewhere))).await
            }
            Route::Session(id) => {
                let session = self.session(&id);
                self.drawn(html, move || session.map(|session| sessions::page(&session))).await
            }
            // Answered in rooms of their own.
            Route::Tool(_) | Route::Snapshot(_) => found(JSON, None),
            Route::Asset(Asset::Style) => asset("text/css; charset=utf-8", html::STYLE),
            Route::Asset(Asset::Script) => asset("text/javascript; charset=utf-8", html::SCRIPT),
            Route::Asset(Asset::Icon) => asset("image/svg+xml", html::ICON),
            Route::Events => self.events(*request.method() == Method::HEAD),
            Route::Finding(id) => self.drawn(html, move || site::finding(&shown, &id)).await,
            Route::ApiComparisons => self.drawn(JSON, move || Some(site::comparisons_json(&shown))).await,
            Route::Comparison(name, part) => match of_name(&shown, &name) {
                Some(one) if part == Part::History => self.history(one, request.uri().query(), html).await,
                Some(one) => self.part(html, one, part).await.unwrap_or_else(|Busy| busy(html)),
                None => found(html, None),
            },
            Route::Api(name, part) => match of_name(&shown, &name) {
                Some(one) if part == ApiPart::History => self.history(one, request.uri().query(), JSON).await,
                Some(one) => self.api(one, part).await.unwrap_or_else(|Busy| busy(JSON)),
                None => found(JSON, None),
            },
        }
    }

    async fn part(&self, html: Form<'_>, shown: Arc<Shown>, part: Part) -> Result<Response<Body>, Busy> {
        let report = Arc::clone(&shown.report);
        Ok(match part {
            Part::Whole => self.drawn(html, move || Some(site::comparison(&shown))).await,
            Part::History => found(html, None),
            Part::Facts => self.drawn(html, move || Some(site::facts(&report))).await,
            Part::Service(service) => self.drawn(html, move || site::service(&report, &service)).await,
            Part::Matrix => {
                let matrix = self.matrix(&report).await?;
                self.drawn(html, move || Some(site::matrix(&report, &*matrix?))).await
            }
            Part::Operation { service, kind, operation } => {
                let curves = self
                    .curves(&report, OperationName { service: &service, operation: &operation, kind: &kind })
                    .await?;
                let draw = move || {
                    let name = OperationName { service: &service, operation: &operation, kind: &kind };
                    site::operation(&report, name, curves.as_ref())
                };
                self.drawn(html, draw).await
            }
        })
    }

    async fn api(&self, shown: Arc<Shown>, part: ApiPart) -> Result<Response<Body>, Busy> {
        let report = Arc::clone(&shown.report);
        Ok(match part {
            ApiPart::Verdict => self.drawn(JSON, move || Some(json::to_json(&report))).await,
            ApiPart::History => found(JSON, None),
            ApiPart::Matrix => {
                let found = self.matrix(&report).await?;
                self.drawn(JSON, move || Some(matrix::to_json(&*found?))).await
            }
            ApiPart::Operation { service, kind, operation } => {
                let curves = self
                    .curves(&report, OperationName { service: &service, operation: &operation, kind: &kind })
                    .await?;
                let write = move || {
                    let name = OperationName { service: &service, operation: &operation, kind: &kind };
                    site::operation_json(&report, name, curves.as_ref())
                };
                self.drawn(JSON, write).await
            }
        })
    }

    /// The period that the query asks for, as a page or as JSON.
    async fn history<'a>(
        &self,
        shown: Arc<Shown>,
        query: Option<&str>,
        form: impl Into<Form<'a>>,
    ) -> Response<Body> {
        let form = form.into();
        let kind = form.kind;
        let span = match asked::span(query.unwrap_or(""), &shown.history) {
            Ok(span) => span,
            Err(why) if kind == HTML => return page(StatusCode::BAD_REQUEST, form, site::unclear(&why)),
            Err(why) => {
                let text = serde_json::json!({ "error": why }).to_string() + "\n";
                return page(StatusCode::BAD_REQUEST, JSON, text);
            }
        };
        let draw = move || match kind {
            HTML => html::history::page(&shown, &span),
            _ => {
                let name = &shown.report.comparison;
                site::history_json(&shown.history.period(name, span.from_ns, span.to_ns))
            }
        };
        self.drawn(form, move || Some(draw())).await
    }

    /// What takes its time is done off the threads that take requests in, a few at a time.
    pub(super) async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let Ok(Ok(_place)) = timeout(ANSWER_TIMEOUT, self.drawing.acquire()).await else { return Err(Busy) };
        // It fails where the runtime is ending.
        tokio::task::spawn_blocking(work).await.map_err(|_| Busy)
    }

    /// What is drawn aside, as an answer.
    pub(super) async fn drawn<'a>(
        &self,
        form: impl Into<Form<'a>>,
        draw: impl FnOnce() -> Option<String> + Send + 'static,
    ) -> Response<Body> {
        let form = form.into();
        match self.aside(draw).await {
            Ok(text) => found(form, text),
            Err(Busy) => busy(form),
        }
    }

    async fn curves(&self, report: &Report, name: OperationName<'_>) -> Result<Option<Curves>, Busy> {
        if report.operation(name).is_none() {
            return Ok(None);
        }
        let own = str::to_owned;
        self.ask(|answer| Question::Curves {
            comparison: report.comparison.clone(),
            service: own(name.service),
            operation: own(name.operation),
            kind: own(name.kind),
            answer,
        })
        .await
    }

    async fn matrix(&self, report: &Report) -> Result<Option<Arc<Matrix>>, Busy> {
        self.ask(|answer| Question::Matrix { comparison: report.comparison.clone(), answer }).await
    }

    /// A session by its id.
    pub(super) fn session(&self, id: &str) -> Option<Arc<Release>> {
        self.sessions().iter().find(|session| session.id == id).cloned()
    }

    pub(super) async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> Question,
    ) -> Result<T, Busy> {
        let (answer, answered) = oneshot::channel();
        self.questions.try_send(question(answer)).map_err(|_| Busy)?;
        match timeout(ANSWER_TIMEOUT, answered).await {
            Ok(Ok(found)) => Ok(found),
            _ => Err(Busy),
        }
    }

    /// A stream of server-sent events (WHATWG HTML, section 9.2): `judged` after each judgement.
    fn events(&self, head: bool) -> Response<Body> {
        let Ok(place) = Arc::clone(&self.listeners).try_acquire_owned() else { return busy(JSON) };
        let body = if head { Body::empty() } else { Body::new(Events::start(self, place)) };
        let mut response = Response::new(body);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        response
    }
}

fn of_name(shown: &[Arc<Shown>], name: &str) -> Option<Arc<Shown>> {
    shown.iter().find(|one| one.report.comparison == name).cloned()
}

/// The engine's task has too much to do.
pub(super) struct Busy;

/// What an answer is, and where the pages that it links to begin.
#[derive(Clone, Copy)]
pub(super) struct Form<'a> {
    kind: &'static str,
    root: &'a str,
}

/// Of what has no links.
impl From<&'static str> for Form<'_> {
    fn from(kind: &'static str) -> Self {
        Form { kind, root: "" }
    }
}

pub(super) fn page<'a>(status: StatusCode, form: impl Into<Form<'a>>, text: String) -> Response<Body> {
    let Form { kind, root } = form.into();
    let text = if kind == HTML { route::under(root, text) } else { text };
    of_bytes(status, kind, text.into())
}

fn of_bytes(status: StatusCode, kind: &'static str, bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(bytes)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

/// A page, or that there is none.
fn found<'a>(form: impl Into<Form<'a>>, text: Option<String>) -> Response<Body> {
    let form = form.into();
    let absent = || if form.kind == HTML { site::absent() } else { "{\"error\":\"not found\"}\n".to_owned() };
    match text {
        Some(text) => page(StatusCode::OK, form, text),
        None => page(StatusCode::NOT_FOUND, form, absent()),
    }
}

pub(super) fn busy<'a>(form: impl Into<Form<'a>>) -> Response<Body> {
    let form = form.into();
    let text = if form.kind == HTML { site::busy() } else { "{\"error\":\"busy, try again\"}\n".to_owned() };
    let mut response = page(StatusCode::SERVICE_UNAVAILABLE, form, text);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

/// A stream to one listener. It keeps one line at the most.
struct Events {
    lines: mpsc::Receiver<Bytes>,
    _place: OwnedSemaphorePermit,
}

impl Events {
    fn start(results: &Results, place: OwnedSemaphorePermit) -> Events {
        let (sender, lines) = mpsc::channel(1);
        let (mut judged, closed) = (results.judged.subscribe(), results.closed.clone());
        // The beginning is no news: the page has just been read.
        judged.mark_unchanged();
        tokio::spawn(async move {
            let mut line = Bytes::from_static(b"retry: 5000\n\n");
            while sender.send(line).await.is_ok() {
                line = tokio::select! {
                    () = closed.cancelled() => return,
                    () = sender.closed() => return,
                    changed = timeout(HEARTBEAT, judged.changed()) => match changed {
                        Ok(Err(_)) => return,
                        Ok(Ok(())) => format!("event: judged\ndata: {}\n\n", *judged.borrow_and_update()).into(),
                        Err(_) => Bytes::from_static(b": here\n\n"),
                    },
                };
            }
        });
        Events { lines, _place: place }
    }
}

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.lines.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}
