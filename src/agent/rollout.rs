//! What rollout tools ask of the page: sessions, and each tool's own way to them.
//!
//! Whoever can begin or end a session decides about releases, so that these requests need a credential: without an
//! authenticator on the page they are refused, and from a browser's page always. Answers come from [`crate::rollout`].

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;
use tonic::body::Body;

use super::results::{Act, Busy, JSON, Question, Results, busy, page};
use super::snapshot;
use crate::{
    engine::releases::ReleaseError,
    export::query as promql,
    judge::{Release, release::Begin},
    report::{
        html::{
            route::{Route, Tool},
            sessions,
        },
        json,
    },
    rollout::{
        Standing, argo,
        flagger::{self, Hook},
        kayenta::{self, Execution},
        request::{self, BODY_BYTES_MOST, BadRequest},
    },
};

/// How long a request's body may take to arrive.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
const TEXT: &str = "text/plain; charset=utf-8";
const JUDGING: &str = "The agent is judging and has no time to answer; ask again.";

/// A refusal of isotel's own API.
struct Refusal(StatusCode, String);

impl From<BadRequest> for Refusal {
    fn from(BadRequest(why): BadRequest) -> Self {
        Refusal(StatusCode::BAD_REQUEST, why)
    }
}

impl From<ReleaseError> for Refusal {
    fn from(error: ReleaseError) -> Self {
        let status = match error {
            ReleaseError::Unknown { .. } => StatusCode::NOT_FOUND,
            ReleaseError::NothingSeen | ReleaseError::FirstTier | ReleaseError::Full { .. } => {
                StatusCode::CONFLICT
            }
            _ => StatusCode::BAD_REQUEST,
        };
        Refusal(status, error.to_string())
    }
}

impl From<Busy> for Refusal {
    fn from(_: Busy) -> Self {
        Refusal(StatusCode::SERVICE_UNAVAILABLE, JUDGING.to_owned())
    }
}

impl Refusal {
    fn response(self) -> Response<Body> {
        let Refusal(status, why) = self;
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return busy(JSON);
        }
        page(status, JSON, json::pretty(&serde_json::json!({ "error": why })))
    }
}

/// Where a request stands that its page's door let through.
pub(crate) struct Desk<'a> {
    /// The key of the page in the configuration.
    pub(crate) key: &'a str,
    /// Whether it has shown a credential.
    pub(crate) guarded: bool,
    /// What stands before the paths of its tenant's pages.
    pub(crate) root: String,
}

/// Answers a request to the page of results, by its path there.
pub(crate) async fn answer(
    results: &Results,
    desk: &Desk<'_>,
    path: &str,
    request: Request<Incoming>,
) -> Response<Body> {
    match Route::of(path) {
        Some(Route::Tool(tool)) => {
            let answered = of_tool(results, desk, tool, request).await;
            answered.unwrap_or_else(Refusal::response)
        }
        Some(Route::Snapshot(environment)) => snapshot::answer(results, desk, environment, &request).await,
        route => results.answer(route, &desk.root, &request).await,
    }
}

async fn of_tool(
    results: &Results,
    desk: &Desk<'_>,
    tool: Tool,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let method = request.method().clone();
    let reads = matches!(method, Method::GET | Method::HEAD);
    match (tool, reads) {
        (Tool::Sessions, true) => {
            let all = results.sessions();
            let root = desk.root.clone();
            Ok(results.drawn(JSON, move || Some(sessions::all_json(&all, &root))).await)
        }
        (Tool::Session(id), true) => {
            let session = results.session(&id);
            let root = desk.root.clone();
            let drawn = move || session.map(|session| sessions::one_json(&session, &root));
            Ok(results.drawn(JSON, drawn).await)
        }
        (Tool::Verdict(id), true) => {
            let report = results.session(&id).and_then(|session| session.report.clone());
            Ok(results.drawn(JSON, move || report.map(|report| json::to_json(&report))).await)
        }
        (Tool::Sessions, _) if method == Method::POST => {
            let begin = request::begin(&written(desk, request).await?)?;
            let (release, new) = act(results, Act::Begin(begin)).await?;
            Ok(of_session(desk, if new { StatusCode::CREATED } else { StatusCode::OK }, &release))
        }
        (Tool::Session(id), _) if method == Method::DELETE => cancel(results, desk, request, id).await,
        (Tool::Cancel(id), _) if method == Method::POST => cancel(results, desk, request, id).await,
        (Tool::Override(id), _) if method == Method::POST => {
            let by = request::override_(&written(desk, request).await?, &now().1)?;
            let (release, _) = act(results, Act::Override(id, by)).await?;
            Ok(of_session(desk, StatusCode::OK, &release))
        }
        (Tool::Argo, _) if method == Method::POST => {
            let body = written(desk, request).await?;
            let standing = of_argo(results, desk, &body).await;
            Ok(page(StatusCode::OK, JSON, argo::answer(&standing)))
        }
        (Tool::Flagger(hook), _) if method == Method::POST => {
            let Some(hook) = Hook::of(&hook) else {
                let known: Vec<&str> = flagger::HOOKS.iter().map(|(name, _)| *name).collect();
                let why = format!("there is no hook {hook:?}; there is {}", known.join(", "));
                return Err(Refusal(StatusCode::NOT_FOUND, why));
            };
            let body = written(desk, request).await?;
            Ok(of_hook(results, desk, hook, &body).await)
        }
        (Tool::Query, _) if reads || method == Method::POST => query(results, request).await,
        (Tool::CanaryConfigs, true) => {
            let offer = results.ask(|answer| Question::Offer { answer }).await?;
            let names = offer.comparisons.iter().map(|comparison| comparison.name.as_str());
            let application = form(request.uri().query(), "application");
            Ok(page(StatusCode::OK, JSON, kayenta::configurations(names, application.as_deref()).to_string()))
        }
        (Tool::Credentials, true) => Ok(page(StatusCode::OK, JSON, kayenta::credentials().to_string())),
        (Tool::Canary(id), true) => {
            let Some(execution) = Execution::parse(&id) else { return Err(no_execution()) };
            let (now_ns, _) = now();
            let known = results.session(&execution.session);
            let told =
                known.map_or_else(|| execution.forgotten(), |session| execution.status(&session, now_ns));
            Ok(page(StatusCode::OK, JSON, told.to_string()))
        }
        (Tool::Canary(id), _) if method == Method::POST => {
            let application = form(request.uri().query(), "application").unwrap_or_default();
            let body = written(desk, request).await?;
            let offer = results.ask(|answer| Question::Offer { answer }).await?;
            let Some(comparison) = offer.comparisons.iter().find(|known| kayenta::is_named(known, &id))
            else {
                let why = "there is no such canary configuration; comparisons are".to_owned();
                let known: Vec<&str> = offer.comparisons.iter().map(|known| &*known.name).collect();
                return Err(Refusal(StatusCode::NOT_FOUND, format!("{why} {}", known.join(", "))));
            };
            let (now_ns, _) = now();
            let asked = kayenta::asked(comparison, &application, &body, (now_ns, offer.period_ns))?;
            let (session, _) = act(results, Act::Begin(asked.begin.clone())).await?;
            let execution = Execution::of(&asked, &session, now_ns, offer.settles_after_ns);
            let told = serde_json::json!({ "canaryExecutionId": execution.id() });
            Ok(page(StatusCode::OK, JSON, told.to_string()))
        }
        (Tool::CancelCanary(id), _) if method == Method::PUT => {
            written(desk, request).await?;
            let Some(execution) = Execution::parse(&id) else { return Err(no_execution()) };
            act(results, Act::Cancel(execution.session)).await?;
            Ok(page(StatusCode::ACCEPTED, JSON, "{}".to_owned()))
        }
        (tool, _) => Ok(not_allowed(&tool)),
    }
}

fn no_execution() -> Refusal {
    Refusal(StatusCode::NOT_FOUND, "there is no such execution".to_owned())
}

/// Prometheus' instant query, in the address or in a form. It changes nothing.
async fn query(results: &Results, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
    let in_address = form(request.uri().query(), "query");
    let body = read(request).await?;
    let in_form = std::str::from_utf8(&body).ok().and_then(|body| form(Some(body), "query"));
    let text = in_form.or(in_address).unwrap_or_default();
    let shown = results.shown();
    let (now_ns, _) = now();
    let answered = results.aside(move || {
        let reports: Vec<_> = shown.iter().map(|one| Arc::clone(&one.report)).collect();
        promql::query(&reports, &text, now_ns as f64 / 1e9)
    });
    Ok(match answered.await? {
        Ok(found) => page(StatusCode::OK, JSON, found),
        Err(error) => page(StatusCode::BAD_REQUEST, JSON, error.body()),
    })
}

/// A field of `application/x-www-form-urlencoded`.
pub(super) fn form(fields: Option<&str>, name: &str) -> Option<String> {
    let fields = fields?.split('&').filter_map(|field| field.split_once('='));
    let (_, value) = fields.into_iter().find(|(key, _)| *key == name)?;
    let spaced = value.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8().ok().map(|text| text.into_owned())
}

/// The body of a request that changes something, if who sends it may.
async fn written(desk: &Desk<'_>, request: Request<Incoming>) -> Result<Bytes, Refusal> {
    if !desk.guarded {
        let key = desk.key;
        let why = format!(
            "whoever can write here decides about releases, so that {key} needs an authenticator: set {key}.auth.authenticator \
             to a bearertokenauth or basicauth extension, and have the tool send its credential"
        );
        return Err(Refusal(StatusCode::FORBIDDEN, why));
    }
    // A browser that knows the password would send it along with what any site has it send.
    if request.headers().contains_key(header::ORIGIN) {
        let why = "pages in a browser may not change sessions; use a program".to_owned();
        return Err(Refusal(StatusCode::FORBIDDEN, why));
    }
    read(request).await
}

async fn read(request: Request<Incoming>) -> Result<Bytes, Refusal> {
    let body = Limited::new(request.into_body(), BODY_BYTES_MOST).collect();
    match timeout(READ_TIMEOUT, body).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(_)) => {
            let why = format!("the body is cut short or larger than {BODY_BYTES_MOST} bytes");
            Err(Refusal(StatusCode::PAYLOAD_TOO_LARGE, why))
        }
        Err(_) => Err(Refusal(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time".to_owned())),
    }
}

async fn act(results: &Results, act: Act) -> Result<(Arc<Release>, bool), Refusal> {
    Ok(results.ask(|answer| Question::Session { act, answer }).await??)
}

async fn cancel(
    results: &Results,
    desk: &Desk<'_>,
    request: Request<Incoming>,
    id: String,
) -> Result<Response<Body>, Refusal> {
    written(desk, request).await?;
    let (release, _) = act(results, Act::Cancel(id)).await?;
    Ok(of_session(desk, StatusCode::OK, &release))
}

/// How a release stands whose session is begun by who asks first.
async fn standing(results: &Results, desk: &Desk<'_>, begin: Begin) -> Standing {
    match results.ask(|answer| Question::Session { act: Act::Begin(begin), answer }).await {
        Ok(Ok((release, _))) => Standing::of(&release, &desk.root),
        Ok(Err(error)) => Standing::without(&error),
        Err(Busy) => Standing::unknown(JUDGING),
    }
}

async fn of_argo(results: &Results, desk: &Desk<'_>, body: &[u8]) -> Standing {
    match request::begin_of_release(body) {
        Ok(begin) => standing(results, desk, begin).await,
        Err(BadRequest(why)) => Standing::refused(&why),
    }
}

async fn of_hook(results: &Results, desk: &Desk<'_>, hook: Hook, body: &[u8]) -> Response<Body> {
    if hook == Hook::Event {
        return said(StatusCode::OK, "noted");
    }
    let begin = match flagger::begin(body) {
        Ok(begin) => begin,
        Err(BadRequest(why)) => return said(StatusCode::BAD_REQUEST, &why),
    };
    let (yes, why) = match hook {
        Hook::ConfirmRollout | Hook::PreRollout => {
            let asked = results.ask(|answer| Question::Baseline { begin: begin.clone(), answer }).await;
            let (ready, why) = match asked {
                Ok(Ok(health)) => flagger::is_ready(hook, &health),
                Ok(Err(error)) => (false, error.to_string()),
                Err(Busy) => (false, JUDGING.to_owned()),
            };
            match (ready, hook) {
                // From here on the release is looked at.
                (true, Hook::PreRollout) => (true, standing(results, desk, begin).await.reason),
                _ => (ready, why),
            }
        }
        Hook::PostRollout | Hook::Rollback => {
            let known = results.sessions().iter().rev().find(|one| one.release == begin.release).cloned();
            match (known, hook) {
                (None, _) => (hook == Hook::PostRollout, "this release has no session".to_owned()),
                (Some(session), Hook::PostRollout) => {
                    match act(results, Act::Cancel(session.id.clone())).await {
                        Ok((ended, _)) => (true, ended.reason()),
                        Err(Refusal(_, why)) => (true, why),
                    }
                }
                (Some(session), _) => {
                    let standing = Standing::of(&session, &desk.root);
                    (flagger::is_yes(hook, &standing), standing.reason)
                }
            }
        }
        _ => {
            let standing = standing(results, desk, begin).await;
            (flagger::is_yes(hook, &standing), standing.reason)
        }
    };
    said(if yes { StatusCode::OK } else { StatusCode::CONFLICT }, &why)
}

fn of_session(desk: &Desk<'_>, status: StatusCode, release: &Release) -> Response<Body> {
    page(status, JSON, sessions::one_json(release, &desk.root))
}

fn said(status: StatusCode, text: &str) -> Response<Body> {
    page(status, TEXT, format!("{text}\n"))
}

fn not_allowed(tool: &Tool) -> Response<Body> {
    let allowed = match tool {
        Tool::Sessions => "GET, HEAD, POST",
        Tool::Session(_) => "GET, HEAD, DELETE",
        Tool::Verdict(_) | Tool::CanaryConfigs | Tool::Credentials => "GET, HEAD",
        Tool::Query | Tool::Canary(_) => "GET, HEAD, POST",
        Tool::CancelCanary(_) => "PUT",
        Tool::Cancel(_) | Tool::Override(_) | Tool::Argo | Tool::Flagger(_) => "POST",
    };
    let mut response = Refusal(StatusCode::METHOD_NOT_ALLOWED, format!("allowed is {allowed}")).response();
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// Now, as nanoseconds since the epoch and as RFC 3339.
#[expect(clippy::disallowed_methods, reason = "the agent is where time comes from")]
fn now() -> (u64, String) {
    let now = jiff::Timestamp::now();
    (u64::try_from(now.as_nanosecond()).unwrap_or(0), now.to_string())
}
