//! Kayenta's clients: Argo's provider (metricproviders/kayenta) and Spinnaker's canary stage (orca-kayenta).

use crate::agent::{Agent, CREDENTIAL, Canary, WINDOW_NS};
use crate::example;
use crate::served::{Answer, http, until};
use serde_json::{Value, json};

/// What a client knows of one canary: what its example says.
struct Client {
    application: String,
    configuration: String,
    scopes: Value,
    pass: i64,
    marginal: i64,
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Successful,
    Inconclusive,
    Failed,
    Error,
}

fn scope(scope: &str, agent: &Agent, end: &str) -> Value {
    json!({"scope": scope, "location": "all", "step": 60, "start": agent.start, "end": end})
}

/// The end of so many windows.
fn end(agent: &Agent, windows: u64) -> String {
    let start: jiff::Timestamp = agent.start.parse().unwrap();
    (start + std::time::Duration::from_nanos(windows * WINDOW_NS)).to_string()
}

impl Client {
    fn argo(agent: &Agent, end: &str) -> Client {
        let template = example::read("argo-rollouts/kayenta.yaml");
        let provider = &template["spec"]["metrics"][0]["provider"]["kayenta"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let url = format!("{}/", text(&provider["address"]));
        assert_eq!(example::path_of(&url), "/", "the credential is in the address");
        let of = |side: &str| {
            let said = &provider["scopes"][0][side];
            for (key, arg) in [("start", "{{args.start-time}}"), ("end", "{{args.end-time}}")] {
                assert_eq!(said[key], arg);
            }
            scope(said["scope"].as_str().unwrap(), agent, end)
        };
        let name = text(&provider["scopes"][0]["name"]);
        Client {
            application: text(&provider["application"]),
            configuration: text(&provider["canaryConfigName"]),
            scopes: json!({name: {"controlScope": of("controlScope"), "experimentScope": of("experimentScope")}}),
            pass: text(&provider["threshold"]["pass"]).parse().unwrap(),
            marginal: text(&provider["threshold"]["marginal"]).parse().unwrap(),
        }
    }

    fn spinnaker(agent: &Agent, end: &str) -> Client {
        let stage = std::fs::read_to_string(example::path("spinnaker/stage.json")).unwrap();
        let stage: Value = serde_json::from_str(&stage).unwrap();
        let config = &stage["canaryConfig"];
        let said = &config["scopes"][0];
        let of = |key: &str| scope(said[key].as_str().unwrap(), agent, end);
        let number = |key: &str| config["scoreThresholds"][key].as_str().unwrap().parse().unwrap();
        Client {
            application: "web".to_owned(),
            configuration: config["canaryConfigId"].as_str().unwrap().to_owned(),
            scopes: json!({said["scopeName"].as_str().unwrap(): {
                "controlScope": of("controlScope"), "experimentScope": of("experimentScope"),
            }}),
            pass: number("pass"),
            marginal: number("marginal"),
        }
    }

    /// Looks up the configuration's id by its name, and begins.
    fn begin(&self, agent: &Agent) -> Answer {
        let path = format!("/canaryConfig?application={}&configurationAccountName=isotel", self.application);
        let known = ask(agent, "GET", &path, "").json();
        let named = known.as_array().unwrap().iter().find(|one| one["name"] == *self.configuration);
        let id = named.unwrap_or_else(|| panic!("{known}"))["id"].as_str().unwrap().to_owned();
        let path = format!(
            "/canary/{id}?application={}&metricsAccountName=isotel&configurationAccountName=isotel&storageAccountName=isotel",
            self.application
        );
        let body =
            json!({"scopes": self.scopes, "thresholds": {"pass": self.pass, "marginal": self.marginal}});
        ask(agent, "POST", &path, &body.to_string())
    }

    fn execution(&self, agent: &Agent) -> String {
        let begun = self.begin(agent);
        assert_eq!(begun.status, 200, "{}", begun.body);
        begun.json()["canaryExecutionId"].as_str().unwrap().to_owned()
    }

    /// What Argo makes of an execution, once it is complete; with the score.
    fn outcome(&self, agent: &Agent, execution: &str) -> (Outcome, Value) {
        let told = until("the execution is complete", || {
            let told =
                ask(agent, "GET", &format!("/canary/{execution}?storageAccountName=isotel"), "").json();
            // Orca reads these into types that must be there.
            assert!(told["application"].is_string() && told["status"].is_string(), "{told}");
            (told["complete"] == true).then_some(told)
        });
        let outcome = match told["result"]["judgeResult"]["score"]["score"].as_f64().map(|score| score as i64)
        {
            None => Outcome::Error,
            Some(score) if score >= self.pass => Outcome::Successful,
            Some(score) if score >= self.marginal => Outcome::Inconclusive,
            Some(_) => Outcome::Failed,
        };
        (outcome, told)
    }
}

fn ask(agent: &Agent, method: &str, path: &str, body: &str) -> Answer {
    let headers = [("authorization", CREDENTIAL), ("content-type", "application/json")];
    http(agent.page, method, path, &headers, body)
}

#[test]
fn argo_reads_a_pass_a_fail_and_between_them_what_is_not_decided() {
    for (canary, expected) in [
        (Canary::Alike, Outcome::Successful),
        (Canary::Slower, Outcome::Failed),
        (Canary::Quiet, Outcome::Inconclusive),
        (Canary::Silent, Outcome::Inconclusive),
    ] {
        let mut agent = Agent::start();
        let client = Client::argo(&agent, &end(&agent, 6));
        let execution = client.execution(&agent);
        let path = format!("/canary/{execution}?storageAccountName=isotel");
        let early = ask(&agent, "GET", &path, "").json();
        assert_eq!((&early["complete"], &early["status"]), (&json!(false), &json!("running")));
        agent.rounds(12, canary);
        let (outcome, told) = client.outcome(&agent, &execution);
        assert_eq!((&outcome, &told["status"]), (&expected, &json!("succeeded")), "{canary:?}: {told}");
        let judged = &told["result"]["judgeResult"];
        assert!(!judged["score"]["classificationReason"].as_str().unwrap().is_empty());
        for result in judged["results"].as_array().unwrap() {
            let count = result["experimentMetadata"]["stats"]["count"].as_u64().unwrap();
            assert_eq!(
                count >= 50,
                matches!(canary, Canary::Alike | Canary::Slower),
                "as many as there are: {result}"
            );
        }
        assert_eq!(told["result"]["canaryDuration"].as_str().unwrap().get(..2), Some("PT"));
    }
}

#[test]
fn spinnaker_goes_on_while_nothing_is_decided_and_ends_by_the_score() {
    for (canary, expected) in
        [(Canary::Alike, "succeeded"), (Canary::Slower, "failed"), (Canary::Quiet, "not passed at the end")]
    {
        let mut agent = Agent::start();
        let mut ended = "not passed at the end";
        // Judgements at intervals over a growing window.
        for judgement in 1..=4 {
            agent.rounds(6, canary);
            let client = Client::spinnaker(&agent, &end(&agent, 6 * judgement - 2));
            let execution = client.execution(&agent);
            let (_, told) = client.outcome(&agent, &execution);
            let score = told["result"]["judgeResult"]["score"]["score"].as_f64().unwrap();
            // MonitorKayentaCanaryTask fails at `marginal` itself.
            if score <= client.marginal as f64 {
                ended = "failed";
                break;
            }
            if judgement == 4 && score >= client.pass as f64 {
                ended = "succeeded";
            }
        }
        assert_eq!(ended, expected, "{canary:?}");
        let sessions = agent.get("/api/v1/sessions").json();
        assert_eq!(sessions.as_array().unwrap().len(), 1, "the judgements of a stage share one");
    }
}

#[test]
fn scopes_that_nothing_has_sent_are_terminal_and_what_cannot_be_meant_is_refused() {
    let mut agent = Agent::start();
    let mut client = Client::argo(&agent, &end(&agent, 2));
    client.scopes["default"]["experimentScope"]["scope"] = "85d557f47b".into();
    let execution = client.execution(&agent);
    agent.rounds(4, Canary::Alike);
    let (outcome, told) = client.outcome(&agent, &execution);
    assert_eq!((outcome, &told["status"]), (Outcome::Error, &json!("terminal")));
    assert!(told["exception"].to_string().contains("85d557f47b"), "{told}");
    let refused = |change: &dyn Fn(&mut Client), said: &str| {
        let mut client = Client::argo(&agent, &end(&agent, 2));
        change(&mut client);
        let answer = client.begin(&agent);
        assert_eq!(answer.status, 400, "{said}");
        assert!(answer.body.contains(said), "{said}: {}", answer.body);
    };
    refused(&|client| client.marginal = client.pass - 1, "thresholds");
    refused(&|client| client.scopes["default"]["experimentScope"]["scope"] = "".into(), "candidate is empty");
    refused(
        &|client| client.scopes["default"]["experimentScope"]["start"] = "soon".into(),
        "experimentScope.start",
    );
    refused(&|client| client.scopes["other"] = client.scopes["default"].clone(), "one is compared at a time");
    // Telemetry from before the period is gone, which is no fault of who asks for it.
    let mut client = Client::argo(&agent, &end(&agent, 2));
    client.scopes["default"]["experimentScope"]["start"] = "2020-01-01T00:00:00Z".into();
    assert_eq!(client.begin(&agent).status, 200);
    assert_eq!(ask(&agent, "POST", "/canary/other?application=web", "{}").status, 404);
    assert_eq!(ask(&agent, "GET", "/canary/other", "").status, 404);
    let accounts = ask(&agent, "GET", "/credentials", "").json();
    assert_eq!((&accounts[0]["name"], &accounts[0]["type"]), (&json!("isotel"), &json!("isotel")));
}

#[test]
fn a_canary_is_cancelled_and_a_restart_is_no_verdict() {
    let mut agent = Agent::start();
    let client = Client::argo(&agent, &end(&agent, 100));
    let execution = client.execution(&agent);
    assert_eq!(ask(&agent, "PUT", &format!("/pipelines/{execution}/cancel"), "").status, 202);
    assert_eq!(client.outcome(&agent, &execution).1["status"], "canceled");
    assert_eq!(http(agent.page, "PUT", &format!("/pipelines/{execution}/cancel"), &[], "").status, 401);
    let execution = client.execution(&agent);
    agent.crash();
    let (outcome, told) = client.outcome(&agent, &execution);
    assert_eq!(outcome, Outcome::Inconclusive, "{told}");
    assert!(told.to_string().contains("restarted"), "{told}");
    // With a storage the execution goes on.
    let mut agent = Agent::with_storage();
    let client = Client::argo(&agent, &end(&agent, 6));
    let execution = client.execution(&agent);
    agent.rounds(4, Canary::Slower);
    agent.crash();
    agent.rounds(8, Canary::Slower);
    assert_eq!(client.outcome(&agent, &execution).0, Outcome::Failed);
}
