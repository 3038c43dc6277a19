//! Flagger's webhooks (pkg/controller/webhook.go over hashicorp/go-retryablehttp), with the examples' own hooks.

use crate::agent::{Agent, CREDENTIAL, Canary};
use crate::example;
use crate::served::http;
use serde_json::{Value, json};

/// The canary of the examples, in a revision.
struct Flagger {
    canary: Value,
    checksum: &'static str,
}

impl Flagger {
    fn of(checksum: &'static str) -> Flagger {
        let canary = example::read("flagger/canary.yaml");
        assert_eq!(
            (&canary["apiVersion"], &canary["kind"]),
            (&"flagger.app/v1beta1".into(), &"Canary".into())
        );
        Flagger { canary, checksum }
    }

    /// Calls the hook of a type as Flagger does. What it makes of the answer: whether it is a yes, and the words that it shows.
    fn call(&self, agent: &Agent, kind: &str) -> (bool, String) {
        let hooks = self.canary["spec"]["analysis"]["webhooks"].as_array().unwrap();
        let hook = hooks.iter().find(|hook| hook["type"] == kind).unwrap_or_else(|| panic!("no hook {kind}"));
        let path = example::path_of(hook["url"].as_str().unwrap());
        assert!(path.ends_with(kind), "each hook has its own address");
        let metadata = &self.canary["metadata"];
        let mut said = hook["metadata"].clone();
        said["start"] = agent.start.clone().into();
        let body = json!({
            "name": metadata["name"], "namespace": metadata["namespace"], "phase": "Progressing",
            "checksum": self.checksum, "metadata": said,
        });
        call(agent, path, &body)
    }

    fn says(&self, agent: &Agent, kind: &str) -> bool {
        self.call(agent, kind).0
    }
}

fn call(agent: &Agent, path: &str, body: &Value) -> (bool, String) {
    let headers = [("authorization", CREDENTIAL), ("content-type", "application/json")];
    let answer = http(agent.page, "POST", path, &headers, &body.to_string());
    // What is asked again loses its words.
    assert!(answer.status < 500 && answer.status != 429, "{} {}", answer.status, answer.body);
    assert_ne!(answer.status, 204, "it is a no to Flagger");
    assert!(!answer.body.trim().is_empty());
    (answer.status <= 202, answer.body)
}

const JUDGING: [&str; 4] = ["rollout", "confirm-traffic-increase", "confirm-promotion", "rollback"];

#[test]
fn each_state_of_a_release_gets_the_answers_that_are_safe_in_it() {
    for (canary, expected) in [
        (Canary::Alike, [true, true, true, false]),
        (Canary::Slower, [false, false, false, true]),
        (Canary::Quiet, [true, false, false, false]),
        // Nothing has come in yet: the first step must be taken, and no more is known.
        (Canary::Silent, [true, true, false, false]),
    ] {
        let mut agent = Agent::start();
        let flagger = Flagger::of("85d557f47b");
        assert!(!flagger.says(&agent, "confirm-rollout"), "the baseline has sent nothing");
        let (yes, why) = flagger.call(&agent, "pre-rollout");
        assert!(!yes && why.contains("stable has sent nothing"), "{why}");
        agent.round(canary);
        agent.judged_round(canary);
        assert!(flagger.says(&agent, "confirm-rollout"));
        assert!(!flagger.says(&agent, "rollback"), "without a session nothing is rolled back");
        assert!(flagger.says(&agent, "pre-rollout"));
        for _ in 0..11 {
            agent.judged_round(canary);
        }
        let found = JUDGING.map(|kind| flagger.call(&agent, kind));
        assert_eq!(found.clone().map(|(yes, _)| yes), expected, "{canary:?}: {found:#?}");
        if canary == Canary::Slower {
            assert!(found[0].1.contains("POST /checkout"), "a refusal says why: {}", found[0].1);
        }
        assert!(flagger.says(&agent, "post-rollout") && flagger.says(&agent, "event"));
        let session = &agent.get("/api/v1/sessions").json()[0];
        assert_ne!(session["state"], "running", "it is over: {session}");
        assert_eq!(session["release"], "shop/web@85d557f47b");
    }
}

#[test]
fn a_restart_holds_and_neither_fails_nor_rolls_back() {
    let mut agent = Agent::start();
    let flagger = Flagger::of("1");
    agent.round(Canary::Slower);
    agent.judged_round(Canary::Slower);
    assert!(flagger.says(&agent, "pre-rollout"));
    agent.crash();
    assert_eq!(JUDGING.map(|kind| flagger.says(&agent, kind)), [true, true, false, false]);
}

#[test]
fn another_revision_is_another_release() {
    let mut agent = Agent::start();
    let (first, second) = (Flagger::of("1"), Flagger::of("2"));
    assert!(first.says(&agent, "rollout"));
    agent.round(Canary::Slower);
    for _ in 0..11 {
        agent.judged_round(Canary::Slower);
    }
    assert!(!first.says(&agent, "rollout"));
    assert!(
        first.says(&agent, "rollback") && !second.says(&agent, "rollback"),
        "nothing is known of the second"
    );
    assert!(!second.says(&agent, "rollout"), "the same telemetry says the same of it, once it has a session");
}

#[test]
fn a_payload_that_cannot_be_meant_is_refused_with_its_reason() {
    let agent = Agent::start();
    for (path, metadata, said) in [
        ("/api/v1/flagger/rollout", json!({"comparison": "relaese"}), "there is release"),
        ("/api/v1/flagger/confirm-promotion", json!({"comparision": "release"}), "metadata.comparision"),
        ("/api/v1/flagger/confirm-promotion", json!({"candidate": ""}), "candidate is empty"),
        ("/api/v1/flagger/load-test", json!({}), "confirm-traffic-increase"),
    ] {
        let body = json!({"name": "web", "namespace": "shop", "checksum": "1", "metadata": metadata});
        let (yes, why) = call(&agent, path, &body);
        assert!(why.contains(said), "{path}: {why}");
        // A rollout hook that says no would use up failures for what is no failure of the release.
        assert_eq!(yes, path.ends_with("/rollout"), "{path}");
    }
}
