//! Flagger's Prometheus provider (pkg/metrics/providers/prometheus.go) and Argo's, with no Prometheus.

use crate::agent::{Agent, Canary};
use crate::example;
use crate::served::Answer;
use serde_json::{Value, json};

fn get(agent: &Agent, query: &str) -> Answer {
    let escaped = percent_encoding::utf8_percent_encode(query, percent_encoding::NON_ALPHANUMERIC);
    agent.get(&format!("/api/v1/query?query={escaped}"))
}

/// The last value of the answer, as Flagger reads it; `None` is "no values found", a failed check.
fn value(answer: &Answer) -> Option<f64> {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer = answer.json();
    assert_eq!((&answer["status"], &answer["data"]["resultType"]), (&json!("success"), &json!("vector")));
    let found: Vec<Value> = answer["data"]["result"].as_array().unwrap().clone();
    let value: f64 = found.last()?["value"][1].as_str().unwrap().parse().unwrap();
    (!value.is_nan()).then_some(value)
}

#[test]
fn the_metric_of_the_example_fails_a_check_on_a_divergence_and_on_nothing_else() {
    let template = example::read("flagger/metric.yaml");
    assert_eq!(template["kind"], "MetricTemplate");
    let address = template["spec"]["provider"]["address"].as_str().unwrap();
    assert_eq!(example::path_of(address), "");
    // Flagger makes one line of it.
    let query = template["spec"]["query"].as_str().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    for (canary, expected) in [(Canary::Alike, 0.0), (Canary::Slower, 1.0), (Canary::Quiet, 0.0)] {
        let mut agent = Agent::start();
        assert_eq!(value(&get(&agent, "vector(1)")), Some(1.0), "it is online");
        assert_eq!(value(&get(&agent, &query)), None, "before anything is judged");
        agent.round(canary);
        for _ in 0..11 {
            agent.judged_round(canary);
        }
        let answer = get(&agent, &query);
        assert_eq!(
            answer.json()["data"]["result"].as_array().unwrap().len(),
            1,
            "one series: {}",
            answer.body
        );
        assert_eq!(value(&answer), Some(expected), "{canary:?}");
    }
}

#[test]
fn a_form_is_read_as_an_address_and_the_rest_of_promql_is_refused() {
    let mut agent = Agent::start();
    agent.round(Canary::Slower);
    for _ in 0..6 {
        agent.judged_round(Canary::Slower);
    }
    let form = "query=parity_verdict%7Bservice_name%3D%22web%22%2C+operation%3D%22POST+%2Fcheckout%22%2Cstate%21%3D%22parity%22%7D&time=1";
    let answer = agent.ask("POST", "/api/v1/query", form);
    let found = answer.json();
    let series = found["data"]["result"].as_array().unwrap();
    assert_eq!(series.len(), 3, "{found}");
    assert!(
        series
            .iter()
            .all(|one| one["metric"]["__name__"] == "parity_verdict" && one["metric"]["state"] != "parity")
    );
    for (query, said) in
        [("sum(parity_score)", "more PromQL"), ("up", "there is no up here"), ("", "more PromQL")]
    {
        let refused = get(&agent, query);
        let told = refused.json();
        assert_eq!(
            (refused.status, &told["status"], &told["errorType"]),
            (400, &json!("error"), &json!("bad_data"))
        );
        assert!(told["error"].as_str().unwrap().contains(said), "{told}");
    }
}
