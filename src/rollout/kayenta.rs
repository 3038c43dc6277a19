//! Kayenta's API as far as Spinnaker's canary stage and Argo's `kayenta` provider use it: isotel in Kayenta's place.
//!
//! A canary configuration is a comparison, its scopes are environments, and an execution is a look at a session: the executions
//! of one stage share one. Both tools read a score against the thresholds that they sent: pass is 100, fail 0, and what is not
//! decided lies strictly between, also after the fraction is cut off, since at `marginal` itself Spinnaker fails.

use super::Standing;
use super::request::{self, BadRequest};
use crate::judge::release::{Begin, Decision, State};
use crate::judge::{Comparison, Release, Verdict};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How long a request may take on its way to the engine, whose oldest telemetry ages meanwhile.
const LEEWAY_NS: u64 = 60_000_000_000;
/// Operations that are told of one execution.
const RESULTS_MOST: usize = 200;

/// The comparisons, as `GET /canaryConfig` tells them.
pub fn configurations<'c>(comparisons: impl Iterator<Item = &'c str>, application: Option<&str>) -> Value {
    let one = |name: &str| {
        json!({"id": id_of(name), "name": name, "updatedTimestamp": 0, "updatedTimestampIso": "1970-01-01T00:00:00Z",
            "applications": [application.unwrap_or("*")]})
    };
    comparisons.map(one).collect()
}

/// Clients put the id into a path as it is.
fn id_of(comparison: &str) -> String {
    percent_encoding::utf8_percent_encode(comparison, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// The accounts, as `GET /credentials` tells them.
pub fn credentials() -> Value {
    json!([{
        "name": "isotel", "type": "isotel", "locations": [], "recommendedLocations": [],
        "supportedTypes": ["METRICS_STORE", "CONFIGURATION_STORE", "OBJECT_STORE"],
    }])
}

#[derive(Deserialize)]
struct Body {
    scopes: BTreeMap<String, Pair>,
    thresholds: Thresholds,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pair {
    control_scope: Scope,
    experiment_scope: Scope,
}

#[derive(Deserialize)]
struct Scope {
    scope: String,
    start: String,
    end: String,
}

#[derive(Clone, Copy, Deserialize)]
struct Thresholds {
    pass: f64,
    marginal: f64,
}

impl Thresholds {
    /// What is told while nothing is decided: a whole number strictly between both.
    fn middle(self) -> Result<u32, BadRequest> {
        let Thresholds { pass, marginal } = self;
        let middle = ((pass + marginal) / 2.0).floor();
        match (0.0..=100.0).contains(&marginal) && pass <= 100.0 && marginal < middle && middle < pass {
            true => Ok(middle as u32),
            false => Err(BadRequest(format!(
                "thresholds: there must be a whole number between marginal ({marginal}) and pass ({pass}), both from 0 to 100: it \
                 is what \"not decided\" is told as"
            ))),
        }
    }
}

/// What `POST /canary/ID` asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The session.
    pub begin: Begin,
    /// Until when telemetry is asked for, nanoseconds since the epoch.
    end_ns: u64,
    middle: u32,
}

/// Reads what `POST /canary/ID?application=…` asks for of a comparison. Telemetry before `now_ns` less `period_ns` is gone.
///
/// # Errors
/// [`BadRequest`]
pub fn asked(
    comparison: &Comparison,
    application: &str,
    body: &[u8],
    (now_ns, period_ns): (u64, u64),
) -> Result<Asked, BadRequest> {
    let Body { scopes, thresholds } = request::json(body)?;
    let mut scopes = scopes.into_values();
    let (Some(Pair { control_scope, experiment_scope }), None) = (scopes.next(), scopes.next()) else {
        return Err(BadRequest("scopes: one is compared at a time; begin a canary for each".to_owned()));
    };
    let start_ns = request::time_ns("experimentScope.start", &experiment_scope.start)?;
    let end_ns = request::time_ns("experimentScope.end", &experiment_scope.end)?;
    request::time_ns("controlScope.start", &control_scope.start)?;
    request::time_ns("controlScope.end", &control_scope.end)?;
    // An environment that the configuration names may be silent; one that is chosen here must exist.
    let chosen = |scope: String, known: &str| (scope != known).then_some(scope);
    let begin = Begin {
        release: Some(format!("kayenta/{}/{application}", experiment_scope.start)),
        comparison: Some(comparison.name.clone()),
        baseline: chosen(control_scope.scope, &comparison.baseline),
        candidate: chosen(experiment_scope.scope, &comparison.candidate),
        start_ns: Some(
            start_ns.clamp(now_ns.saturating_sub(period_ns - LEEWAY_NS.min(period_ns / 2)), now_ns),
        ),
        ..Begin::default()
    };
    Ok(Asked { begin, end_ns, middle: thresholds.middle()? })
}

/// A look at a session: which, from when on its answer is final, and what "not decided" is told as. All of it is in its id, so
/// that nothing has to be remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// The session's id.
    pub session: String,
    /// The event time up to which windows must have been judged, seconds since the epoch.
    end_s: u64,
    /// When it is over at the latest, seconds since the epoch.
    until_s: u64,
    middle: u32,
}

impl Execution {
    /// The one that was asked for at `now_ns`, of this session. What happens is judged so long after it.
    pub fn of(asked: &Asked, session: &Release, now_ns: u64, settles_after_ns: u64) -> Execution {
        let until_ns = asked.end_ns.max(now_ns).saturating_add(settles_after_ns);
        Execution {
            session: session.id.clone(),
            end_s: asked.end_ns / 1_000_000_000,
            until_s: until_ns.div_ceil(1_000_000_000),
            middle: asked.middle,
        }
    }

    /// The one of an id.
    pub fn parse(id: &str) -> Option<Execution> {
        let mut parts = id.split('.');
        let session = parts.next()?.to_owned();
        let mut number = || parts.next()?.parse::<u64>().ok();
        let (end_s, until_s, middle) = (number()?, number()?, u32::try_from(number()?).ok()?);
        (parts.next().is_none() && middle <= 100).then_some(Execution { session, end_s, until_s, middle })
    }

    /// Its id.
    pub fn id(&self) -> String {
        format!("{}.{}.{}.{}", self.session, self.end_s, self.until_s, self.middle)
    }

    /// What `GET /canary/ID` tells at `now_ns`.
    pub fn status(&self, session: &Release, now_ns: u64) -> Value {
        let standing = Standing::of(session, "");
        let decided =
            session.state != State::Running || matches!(standing.decision, Decision::Pass | Decision::Fail);
        let complete = decided || self.is_judged(session) || now_ns / 1_000_000_000 >= self.until_s;
        let status = match (complete, session.state, standing.decision) {
            (false, ..) => "running",
            (true, State::Cancelled, Decision::Inconclusive) => "canceled",
            (true, _, Decision::Error) => "terminal",
            (true, ..) => "succeeded",
        };
        let application =
            session.release.as_deref().and_then(|release| release.splitn(3, '/').nth(2)).unwrap_or("");
        let mut told = json!({
            "pipelineId": self.id(), "application": application, "complete": complete, "status": status,
        });
        match status {
            "succeeded" => told["result"] = self.result(session, &standing, application),
            "terminal" => told["exception"] = json!({"details": {"error": standing.reason}}),
            _ => {}
        }
        told
    }

    /// What is told where the session is not known any more: after a restart without a storage, or a day.
    pub fn forgotten(&self) -> Value {
        let reason = "isotel has restarted, or a day has passed, and it knows nothing of this session; begin another one";
        json!({
            "pipelineId": self.id(), "application": "", "complete": true, "status": "succeeded",
            "result": {
                "application": "", "canaryDuration": "PT0S",
                "judgeResult": {
                    "judgeName": "isotel", "results": [], "groupScores": [],
                    "score": score(self.middle, "Marginal", reason),
                },
            },
        })
    }

    /// Whether windows have been judged up to what was asked for.
    fn is_judged(&self, session: &Release) -> bool {
        let end = session.report.as_ref().and_then(|report| report.period.end.as_ref());
        let end = end.and_then(|end| end.parse::<jiff::Timestamp>().ok());
        end.is_some_and(|end| end.as_second() >= i64::try_from(self.end_s).unwrap_or(i64::MAX))
    }

    fn result(&self, session: &Release, standing: &Standing, application: &str) -> Value {
        let (points, classification) = match standing.decision {
            Decision::Pass => (100, "Pass"),
            Decision::Fail => (0, "Fail"),
            Decision::Inconclusive | Decision::Error => (self.middle, "Marginal"),
        };
        let score = score(points, classification, &standing.reason);
        let seconds = session.ended_ns.unwrap_or(self.until_s.saturating_mul(1_000_000_000)) / 1_000_000_000;
        json!({
            "application": application,
            "canaryDuration": format!("PT{}S", seconds.saturating_sub(session.start_ns / 1_000_000_000)),
            "judgeResult": {"judgeName": "isotel", "results": results(session), "groupScores": [], "score": score},
        })
    }
}

fn score(points: u32, classification: &str, reason: &str) -> Value {
    json!({"score": points, "classification": classification, "classificationReason": reason})
}

/// Each operation with the requests that there really are.
fn results(session: &Release) -> Value {
    let services = session.report.iter().flat_map(|report| &report.services);
    let operations = services.flat_map(|s| s.operations.iter().map(move |operation| (&s.service, operation)));
    let one = |(service, operation): (&String, &crate::judge::verdict::OperationResult)| {
        let latency = &operation.latency;
        let classification = match operation.verdict {
            Verdict::Parity => "Pass",
            Verdict::Divergent => "High",
            Verdict::Inconclusive | Verdict::NoData => "Nodata",
        };
        let name = format!("{service} {} ({})", operation.operation, operation.kind);
        let stats = |n: u64| json!({"stats": {"count": n}});
        json!({
            "id": name, "name": name, "classification": classification, "classificationReason": latency.reason,
            "controlMetadata": stats(latency.n_baseline), "experimentMetadata": stats(latency.n_candidate),
            "groups": [service], "tags": {}, "resultMetadata": {},
        })
    };
    operations.take(RESULTS_MOST).map(one).collect()
}

/// The comparison that a configuration's id means, by its name or its id.
pub fn is_named(comparison: &Comparison, id: &str) -> bool {
    comparison.name == id || id_of(&comparison.name) == id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_decided_lies_strictly_between_marginal_and_pass_as_a_whole_number() {
        let middle = |marginal, pass| Thresholds { marginal, pass }.middle();
        for marginal in 0..100 {
            for pass in marginal + 2..=100 {
                let middle = middle(f64::from(marginal), f64::from(pass)).unwrap();
                assert!(marginal < middle && middle < pass, "{marginal} {middle} {pass}");
            }
            assert!(middle(f64::from(marginal), f64::from(marginal + 1)).is_err(), "there is none");
        }
        assert_eq!(middle(74.5, 76.5).unwrap(), 75);
        for (marginal, pass) in [(75.0, 75.0), (95.0, 75.0), (-5.0, 50.0), (75.0, 120.0), (f64::NAN, 95.0)] {
            assert!(middle(marginal, pass).is_err(), "{marginal} {pass}");
        }
    }

    #[test]
    fn an_execution_is_its_id() {
        let execution = Execution {
            session: "6b022783-1".to_owned(),
            end_s: 1_795_000_000,
            until_s: 1_795_000_060,
            middle: 85,
        };
        assert_eq!(Execution::parse(&execution.id()), Some(execution));
        for id in ["", "6b022783-1", "a.b.c.d", "a.1.2.3.4", "a.1", "a.1.2.101", "a.1.2.-3"] {
            assert_eq!(Execution::parse(id), None, "{id}");
        }
    }
}
