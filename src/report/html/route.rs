//! The addresses of the agent's pages: a path is read here and nowhere else, and links are written here.

use crate::judge::curves::OperationName;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Everything but what RFC 3986 calls unreserved, so that a name is always one segment of a path.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What is asked for. Names are those of telemetry and of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// All comparisons: `/`.
    Index,
    /// Part of a comparison: `/c/NAME…`.
    Comparison(String, Part),
    /// A finding wherever it is: `/findings/ID`.
    Finding(String),
    /// The style, the script, the icon.
    Asset(Asset),
    /// A stream of what was judged: `/events`.
    Events,
    /// All comparisons as JSON: `/api/v1/comparisons`.
    ApiComparisons,
    /// Part of a comparison as JSON: `/api/v1/comparisons/NAME/…`.
    Api(String, ApiPart),
    /// A snapshot of an environment: `/api/v1/environments/NAME/snapshot`.
    Snapshot(String),
    /// A session of a release: `/sessions/ID`.
    Session(String),
    /// What programs ask of sessions.
    Tool(Tool),
}

/// All comparisons as JSON.
pub const COMPARISONS: &str = "/api/v1/comparisons";

/// What programs ask, some of it to change something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tool {
    /// All sessions, and where they begin: `/api/v1/sessions`.
    Sessions,
    /// One session: `/api/v1/sessions/ID`.
    Session(String),
    /// Its judgement: `/api/v1/sessions/ID/verdict`.
    Verdict(String),
    /// Its end: `/api/v1/sessions/ID/cancel`.
    Cancel(String),
    /// A person's decision: `/api/v1/sessions/ID/override`.
    Override(String),
    /// Argo Rollouts' web provider: `/api/v1/argo`.
    Argo,
    /// Flagger's webhooks: `/api/v1/flagger/HOOK`.
    Flagger(String),
    /// Prometheus' instant query: `/api/v1/query`.
    Query,
    /// Kayenta's configurations: `/canaryConfig`.
    CanaryConfigs,
    /// Where Kayenta's canary of a configuration begins, or an execution of it: `/canary/ID`.
    Canary(String),
    /// Kayenta's accounts: `/credentials`.
    Credentials,
    /// The end of an execution: `/pipelines/ID/cancel`.
    CancelCanary(String),
}

/// Part of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The verdict with all that leads to it.
    Whole,
    /// One service: `/s/SERVICE`.
    Service(String),
    /// One operation: `/s/SERVICE/o/KIND/OPERATION`.
    Operation {
        /// The service.
        service: String,
        /// The span kind.
        kind: String,
        /// The operation's name.
        operation: String,
    },
    /// The presence matrix: `/matrix`.
    Matrix,
    /// What resources say: `/facts`.
    Facts,
    /// What it came to over a period: `/history`.
    History,
}

/// Part of a comparison as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiPart {
    /// `verdict`: isotel.verdict/v1.
    Verdict,
    /// `matrix`.
    Matrix,
    /// `history`: isotel.history/v1 of a period.
    History,
    /// `operations/SERVICE/KIND/OPERATION`.
    Operation {
        /// The service.
        service: String,
        /// The span kind.
        kind: String,
        /// The operation's name.
        operation: String,
    },
}

/// A file of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asset {
    /// What it looks like.
    Style,
    /// What makes it live.
    Script,
    /// Its sign in a tab.
    Icon,
}

impl Asset {
    pub(super) fn path(self) -> &'static str {
        match self {
            Asset::Style => "/assets/page.css",
            Asset::Script => "/assets/page.js",
            Asset::Icon => "/assets/icon.svg",
        }
    }
}

impl Route {
    /// What a path asks for; `None` for what is not there or not UTF-8.
    pub fn of(path: &str) -> Option<Route> {
        for asset in [Asset::Style, Asset::Script, Asset::Icon] {
            if path == asset.path() {
                return Some(Route::Asset(asset));
            }
        }
        let segments = path
            .strip_prefix('/')?
            .split('/')
            .map(|segment| percent_decode_str(segment).decode_utf8().ok().map(|text| text.into_owned()));
        let segments: Vec<String> = segments.collect::<Option<_>>()?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let own = |text: &str| text.to_owned();
        let of = |name: &str, part| Some(Route::Comparison(own(name), part));
        match segments[..] {
            [""] => Some(Route::Index),
            ["events"] => Some(Route::Events),
            ["sessions", id] => Some(Route::Session(own(id))),
            ["findings", id] => Some(Route::Finding(own(id))),
            ["c", name] => of(name, Part::Whole),
            ["c", name, "matrix"] => of(name, Part::Matrix),
            ["c", name, "facts"] => of(name, Part::Facts),
            ["c", name, "history"] => of(name, Part::History),
            ["c", name, "s", service] => of(name, Part::Service(own(service))),
            ["c", name, "s", service, "o", kind, operation] => of(
                name,
                Part::Operation { service: own(service), kind: own(kind), operation: own(operation) },
            ),
            ["api", "v1", "comparisons"] => Some(Route::ApiComparisons),
            ["api", "v1", "comparisons", name, "verdict"] => Some(Route::Api(own(name), ApiPart::Verdict)),
            ["api", "v1", "comparisons", name, "matrix"] => Some(Route::Api(own(name), ApiPart::Matrix)),
            ["api", "v1", "comparisons", name, "history"] => Some(Route::Api(own(name), ApiPart::History)),
            ["api", "v1", "comparisons", name, "operations", service, kind, operation] => Some(Route::Api(
                own(name),
                ApiPart::Operation { service: own(service), kind: own(kind), operation: own(operation) },
            )),
            ["api", "v1", "environments", name, "snapshot"] => Some(Route::Snapshot(own(name))),
            ["api", "v1", ref tool @ ..] => Tool::of(tool).map(Route::Tool),
            // Kayenta's clients know no address but these.
            ["canaryConfig"] => Some(Route::Tool(Tool::CanaryConfigs)),
            ["canary", id] => Some(Route::Tool(Tool::Canary(own(id)))),
            ["credentials"] => Some(Route::Tool(Tool::Credentials)),
            ["pipelines", id, "cancel"] => Some(Route::Tool(Tool::CancelCanary(own(id)))),
            _ => None,
        }
    }
}

impl Tool {
    fn of(segments: &[&str]) -> Option<Tool> {
        match *segments {
            ["sessions"] => Some(Tool::Sessions),
            ["sessions", id] => Some(Tool::Session(id.to_owned())),
            ["sessions", id, "verdict"] => Some(Tool::Verdict(id.to_owned())),
            ["sessions", id, "cancel"] => Some(Tool::Cancel(id.to_owned())),
            ["sessions", id, "override"] => Some(Tool::Override(id.to_owned())),
            ["argo"] => Some(Tool::Argo),
            ["flagger", hook] => Some(Tool::Flagger(hook.to_owned())),
            ["query"] => Some(Tool::Query),
            _ => None,
        }
    }
}

/// Where links lead: to places in the same file, or to pages of the agent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Links<'a> {
    /// Everything is in one file.
    File,
    /// Each thing of this comparison has a page of its own.
    Site(&'a str),
}

impl Links<'_> {
    /// The page of a service.
    pub(super) fn service(self, service: &str) -> Option<String> {
        match self {
            Links::File => None,
            Links::Site(comparison) => Some(format!("{}/s/{}", of_comparison(comparison), escaped(service))),
        }
    }

    /// The page of an operation.
    pub(super) fn operation(self, name: OperationName<'_>) -> Option<String> {
        let service = self.service(name.service)?;
        Some(format!("{service}/o/{}/{}", escaped(name.kind), escaped(name.operation)))
    }
}

/// The page of a comparison.
pub fn of_comparison(name: &str) -> String {
    format!("/c/{}", escaped(name))
}

/// The page of a comparison's history.
pub(super) fn of_history(name: &str) -> String {
    format!("{}/history", of_comparison(name))
}

/// The page of a finding.
pub fn of_finding(id: &str) -> String {
    format!("/findings/{}", escaped(id))
}

/// The page of a session.
pub(super) fn of_session(id: &str) -> String {
    format!("/sessions/{}", escaped(id))
}

/// A session's verdict as JSON.
pub(super) fn of_session_verdict(id: &str) -> String {
    format!("/api/v1/sessions/{}/verdict", escaped(id))
}

/// A comparison as JSON.
pub fn of_api(name: &str, part: &str) -> String {
    format!("/api/v1/comparisons/{}/{part}", escaped(name))
}

/// A snapshot of an environment.
pub fn of_snapshot(environment: &str) -> String {
    format!("/api/v1/environments/{}/snapshot", escaped(environment))
}

/// A served page whose links lead to pages under `root`, such as `/tenants/shop`.
pub fn under(root: &str, page: String) -> String {
    // No text of a page has a quote that is not escaped, so that these are its own attributes.
    let link =
        |page: String, name: &str| page.replace(&format!(" {name}=\"/"), &format!(" {name}=\"{root}/"));
    if root.is_empty() { page } else { ["href", "src", "data-events"].into_iter().fold(page, link) }
}

/// A text as one segment of a path, or as a value in a query.
pub fn escaped(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_link_says_is_what_its_path_asks_for() {
        for name in ["release", "shop/checkout", "GET /a?b#c/{id}", "ü%2F\"<>&'", "..", " "] {
            let links = Links::Site(name);
            assert_eq!(Route::of(&of_comparison(name)), Some(Route::Comparison(name.into(), Part::Whole)));
            assert_eq!(Route::of(&of_finding(name)), Some(Route::Finding(name.into())));
            assert_eq!(Route::of(&of_history(name)), Some(Route::Comparison(name.into(), Part::History)));
            assert_eq!(Route::of(&of_snapshot(name)), Some(Route::Snapshot(name.into())));
            let service = links.service(name).unwrap_or_default();
            assert_eq!(Route::of(&service), Some(Route::Comparison(name.into(), Part::Service(name.into()))));
            let operation = OperationName { service: name, operation: name, kind: "server" };
            let part =
                Part::Operation { service: name.into(), kind: "server".into(), operation: name.into() };
            let path = links.operation(operation).unwrap_or_default();
            assert_eq!(Route::of(&path), Some(Route::Comparison(name.into(), part)));
            assert!(path.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~/%".contains(&b)), "{path}");
        }
        assert_eq!(
            under("/t", r#"<a href="/c"> href=&quot;/c <a title="/c" href="https://x/">"#.to_owned()),
            r#"<a href="/t/c"> href=&quot;/c <a title="/c" href="https://x/">"#
        );
        for path in ["", "c", "/c", "/c/a/b", "/c/%FF", "//", "/assets/../page.css", "/api/v1/comparisons/a"]
        {
            assert_eq!(Route::of(path), None, "{path}");
        }
    }
}
