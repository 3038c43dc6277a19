//! Argo Rollouts' measurement loop (analysis/analysis.go) over the web provider, with the examples' own numbers.

use crate::agent::{Agent, Canary};
use crate::example;
use crate::served::http;
use serde_json::Value;
use std::collections::HashMap;

/// How one measurement, or a metric as a whole, came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Successful,
    Failed,
    Inconclusive,
    Error,
}

/// One metric of an AnalysisRun.
struct Metric {
    metric: Value,
    args: HashMap<&'static str, &'static str>,
    measured: Vec<(Phase, Value)>,
}

impl Metric {
    fn of(file: &str, args: &[(&'static str, &'static str)]) -> Metric {
        let template = example::read(file);
        assert_eq!(
            (&template["apiVersion"], &template["kind"]),
            (&"argoproj.io/v1alpha1".into(), &"AnalysisTemplate".into())
        );
        let metric = template["spec"]["metrics"][0].clone();
        let mut args: HashMap<_, _> = args.iter().copied().collect();
        args.insert("authorization", crate::agent::CREDENTIAL);
        for arg in template["spec"]["args"].as_array().unwrap() {
            assert!(args.contains_key(arg["name"].as_str().unwrap()), "{file}: {arg}");
        }
        let metric = Metric { metric, args, measured: Vec::new() };
        // What ValidateMetric asks of the limits.
        let (count, failures, inconclusive) =
            (metric.number("count"), metric.number("failureLimit"), metric.number("inconclusiveLimit"));
        assert!(count >= failures + metric.number("consecutiveSuccessLimit") && count >= inconclusive);
        metric
    }

    fn number(&self, key: &str) -> usize {
        self.metric[key].as_str().unwrap().parse().unwrap()
    }

    fn filled(&self, text: &str) -> String {
        self.args
            .iter()
            .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{{args.{name}}}}}"), value))
    }

    /// metricproviders/webmetric: any status but 2xx, and a path that leads nowhere, is an Error.
    fn measure(&mut self, agent: &Agent) -> Phase {
        let web = &self.metric["provider"]["web"];
        let text = |value: &Value| self.filled(value.as_str().unwrap());
        let headers: Vec<(String, String)> = web["headers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|header| (text(&header["key"]), text(&header["value"])))
            .collect();
        let mut headers: Vec<(&str, &str)> = headers.iter().map(|(key, value)| (&**key, &**value)).collect();
        headers.push(("content-type", "application/json"));
        let mut body = web["jsonBody"].clone();
        body["start"] = agent.start.clone().into();
        let body = self.filled(&body.to_string());
        let answer = http(
            agent.page,
            web["method"].as_str().unwrap(),
            example::path_of(web["url"].as_str().unwrap()),
            &headers,
            &body,
        );
        let field = web["jsonPath"]
            .as_str()
            .unwrap()
            .strip_prefix("{$.")
            .and_then(|path| path.strip_suffix('}'))
            .unwrap();
        let result = match answer.status {
            200..=299 => answer.json()[field].clone(),
            _ => Value::Null,
        };
        assert!(result.to_string().len() < 500, "it is stored with the run: {result}");
        let phase = match &result {
            Value::Null => Phase::Error,
            result => self.evaluated(result),
        };
        self.measured.push((phase, result));
        phase
    }

    /// utils/evaluate: with both conditions, neither is Inconclusive.
    fn evaluated(&self, result: &Value) -> Phase {
        let holds = |key: &str| {
            let condition = self.metric[key].as_str().unwrap();
            let (field, wanted) = condition.strip_prefix("result.").unwrap().split_once(" == ").unwrap();
            result[field] == serde_json::from_str::<Value>(wanted).unwrap()
        };
        match (holds("failureCondition"), holds("successCondition")) {
            (true, _) => Phase::Failed,
            (false, true) => Phase::Successful,
            (false, false) => Phase::Inconclusive,
        }
    }

    /// assessMetricStatus.
    fn assessed(&self) -> Phase {
        let count = |phase: Phase| self.measured.iter().filter(|(found, _)| *found == phase).count();
        let last = |phase: Phase| self.measured.iter().rev().take_while(|(found, _)| *found == phase).count();
        match () {
            () if count(Phase::Failed) > self.number("failureLimit") => Phase::Failed,
            () if count(Phase::Inconclusive) > self.number("inconclusiveLimit") => Phase::Inconclusive,
            () if last(Phase::Error) > self.number("consecutiveErrorLimit") => Phase::Error,
            () if last(Phase::Successful) >= self.number("consecutiveSuccessLimit") => Phase::Successful,
            () if self.measured.len() >= self.number("count") => Phase::Inconclusive,
            () => Phase::Running,
        }
    }

    /// Measures as a rollout does, with a window of telemetry in between, to the run's end.
    fn run(&mut self, agent: &mut Agent, canary: Canary) -> Phase {
        agent.round(canary);
        while self.assessed() == Phase::Running {
            agent.judged_round(canary);
            self.measure(agent);
        }
        self.assessed()
    }

    fn last(&self) -> &Value {
        &self.measured.last().unwrap().1
    }
}

fn release(hash: &'static str) -> Metric {
    Metric::of("argo-rollouts/web.yaml", &[("release", hash)])
}

#[test]
fn parity_promotes_divergence_aborts_and_too_little_evidence_pauses() {
    for (canary, expected, verdict) in [
        (Canary::Alike, Phase::Successful, "pass"),
        (Canary::Slower, Phase::Failed, "fail"),
        (Canary::Quiet, Phase::Inconclusive, "inconclusive"),
        (Canary::Silent, Phase::Inconclusive, "inconclusive"),
    ] {
        let mut agent = Agent::start();
        let mut metric = release("7f9c");
        assert_eq!(metric.run(&mut agent, canary), expected, "{canary:?}: {}", metric.last());
        assert_eq!(metric.last()["verdict"], verdict);
        assert!(metric.measured.iter().all(|(phase, _)| *phase != Phase::Error));
        let page = agent.get(metric.last()["report"].as_str().unwrap());
        assert!(page.status == 200 && page.body.contains("7f9c"), "{}", page.body);
        let early = metric.measured.len() < metric.number("count");
        assert_eq!(
            early,
            matches!(expected, Phase::Successful | Phase::Failed),
            "a decision ends the run early"
        );
    }
}

#[test]
fn hashes_select_the_sides_and_one_that_is_empty_or_unknown_is_told_as_an_error() {
    let with = |stable, canary| {
        let args = [("stable-hash", stable), ("canary-hash", canary), ("service", "shop/web")];
        Metric::of("argo-rollouts/hashes.yaml", &args)
    };
    let mut agent = Agent::start();
    let mut metric = with("stable", "canary");
    assert_eq!(metric.run(&mut agent, Canary::Alike), Phase::Successful, "{}", metric.last());
    for (stable, canary, said) in
        [("stable", "", "is empty"), ("stable", "85d557f47b", "matches no telemetry")]
    {
        let mut metric = with(stable, canary);
        assert_eq!(metric.run(&mut agent, Canary::Alike), Phase::Inconclusive, "{}", metric.last());
        assert_eq!(metric.last()["verdict"], "error");
        let reason = metric.last()["reason"].as_str().unwrap();
        assert!(reason.contains(said), "{reason}");
    }
}

#[test]
fn a_restart_is_no_verdict_and_the_run_goes_on_to_one() {
    // Without a storage nothing is known any more: neither a pass nor an abort.
    let mut agent = Agent::start();
    let mut metric = release("7f9c");
    agent.round(Canary::Alike);
    agent.judged_round(Canary::Alike);
    assert_eq!(metric.measure(&agent), Phase::Inconclusive);
    agent.crash();
    assert_eq!(metric.measure(&agent), Phase::Inconclusive, "{}", metric.last());
    assert_eq!(metric.run(&mut agent, Canary::Alike), Phase::Successful, "{}", metric.last());
    // A decision outlives the agent where it has a storage.
    let mut agent = Agent::with_storage();
    let mut metric = release("8aaa");
    assert_eq!(metric.run(&mut agent, Canary::Slower), Phase::Failed);
    agent.crash();
    assert_eq!(release("8aaa").measure(&agent), Phase::Failed);
}

#[test]
fn a_comparison_that_comes_by_itself_is_waited_for() {
    let mut agent = Agent::with("parity: {comparisons: auto}");
    let mut metric = Metric::of("argo-rollouts/web.yaml", &[("release", "7f9c")]);
    metric.metric["provider"]["web"]["jsonBody"]["comparison"] = "stable-vs-canary".into();
    assert_eq!(metric.measure(&agent), Phase::Inconclusive);
    assert!(metric.last()["reason"].as_str().unwrap().contains("no two environments"), "{}", metric.last());
    assert_eq!(metric.run(&mut agent, Canary::Alike), Phase::Successful);
}
