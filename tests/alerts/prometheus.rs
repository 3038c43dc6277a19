//! A real Prometheus.

use crate::agent::Agent;
use crate::alertmanager::{deploy, free_addresses, json};
use crate::peer::{self, Running, until};
use crate::served::http;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use tempfile::TempDir;

/// A Prometheus with the configuration and the rules of `deploy/`, in a hurry.
struct Prometheus {
    _process: Running,
    address: SocketAddr,
    _folder: TempDir,
}

impl Prometheus {
    fn scraping(agent: &Agent) -> Prometheus {
        let folder = tempfile::tempdir().unwrap();
        let config = fs::read_to_string(deploy("prometheus/prometheus.yaml")).unwrap();
        let config = config
            .replace("localhost:8888", &agent.metrics.to_string())
            .replace("interval: 15s", "interval: 1s");
        fs::write(folder.path().join("prometheus.yaml"), config).unwrap();
        fs::copy(deploy("prometheus/rules.yaml"), folder.path().join("rules.yaml")).unwrap();
        let [address] = free_addresses();
        let mut command = peer::command("prometheus");
        command
            .arg(format!("--config.file={}", folder.path().join("prometheus.yaml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=error");
        let process = Running::start(&mut command);
        until("Prometheus listens", || TcpStream::connect(address).ok());
        until("Prometheus is ready", || {
            (http(address, "GET", "/-/ready", &[], "").status == 200).then_some(())
        });
        Prometheus { _process: process, address, _folder: folder }
    }

    /// The result of a query, with how many points it has.
    fn query(&self, expression: &str) -> Vec<Value> {
        let query = utf8_percent_encode(expression, NON_ALPHANUMERIC);
        let answer = http(self.address, "GET", &format!("/api/v1/query?query={query}"), &[], "");
        let body = json(&answer);
        assert_eq!(body["status"], "success", "{expression}: {}", answer.body);
        body["data"]["result"].as_array().unwrap().clone()
    }
}

/// An agent with something of everything to show.
fn agent() -> Agent {
    let mut agent = Agent::start(EVERYTHING);
    agent.until_alert();
    // As many looks as it takes to say what is left of a budget.
    (0..12).for_each(|_| agent.round());
    agent
}

/// Every query of a dashboard, its variables among them, with what Grafana would put in.
fn queries(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let of_panel = |panel: &Value| {
        let targets = panel["targets"].as_array().unwrap().clone();
        targets.into_iter().map(|target| target["expr"].as_str().unwrap().to_owned())
    };
    let of_variable = |variable: &Value| {
        let (series, _) = variable["definition"].as_str()?.strip_prefix("label_values(")?.rsplit_once(',')?;
        Some(series.to_owned())
    };
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter().filter_map(of_variable);
    let all = panels.flat_map(of_panel).chain(variables);
    let filled = |query: String| {
        let query = query.replace("$__rate_interval", "1m").replace("[1h]", "[5s]");
        ["comparison", "service", "instance"]
            .iter()
            .fold(query, |query, name| query.replace(&format!("${name}"), ".*"))
    };
    all.map(filled).collect()
}

fn dashboards() -> Vec<(String, Value)> {
    let files = fs::read_dir(deploy("grafana")).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path.display().to_string(), serde_json::from_str(&text).unwrap())
        })
        .collect()
}

/// An agent with everything that the dashboards show.
const EVERYTHING: &str = "
exporters:
  otlp_http: {endpoint: 'http://127.0.0.1:1', timeout: 1s}
  webhook: {endpoint: 'http://127.0.0.1:1'}
service: {pipelines: {traces: {exporters: [otlp_http]}}}
parity:
  alerts: {exporters: [webhook]}
  limits: {operations_per_service: 1}
";

#[test]
fn every_query_of_every_dashboard_has_data_in_prometheus() {
    if !peer::have(&["prometheus"]) {
        return;
    }
    let agent = agent();
    let prometheus = Prometheus::scraping(&agent);
    until("two scrapes and an evaluation", || {
        let scraped = prometheus.query("count_over_time(up{job=\"isotel\"}[1m]) >= 3");
        let recorded = prometheus.query("comparison:parity_decided:max");
        (!scraped.is_empty() && !recorded.is_empty()).then_some(())
    });
    let files = dashboards();
    assert_eq!(files.len(), 3);
    for (file, dashboard) in &files {
        let mut ids = BTreeSet::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            assert!(ids.insert(panel["id"].as_u64()) && panel["description"].is_string(), "{file}: {panel}");
        }
        for query in queries(dashboard) {
            // What nothing has happened of yet, such as refusals by reason, may come a scrape later.
            let points = until(&format!("{file}: {query} has data"), || {
                Some(prometheus.query(&query)).filter(|points| !points.is_empty())
            });
            assert!(points.iter().all(|point| point["value"][1].is_string()), "{query}");
        }
    }
}

#[test]
fn the_metrics_that_rules_and_dashboards_name_are_on_the_page() {
    let agent = agent();
    let shown = http(agent.page, "GET", "/c/release", &[], "").body;
    assert!(
        shown.contains("id=\"budgets\"") && shown.contains("latency of shop/*"),
        "budgets are on the page"
    );
    let page = http(agent.metrics, "GET", "/metrics", &[], "").body;
    let known: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let rules = fs::read_to_string(deploy("prometheus/rules.yaml")).unwrap();
    let expressions = rules.lines().filter(|line| !line.trim().starts_with(['#', '-']));
    let rules = expressions.filter(|line| !line.contains("summary:")).map(str::to_owned);
    let all: Vec<String> = rules.chain(dashboards().iter().flat_map(|(_, one)| queries(one))).collect();
    let text = all.join("\n");
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    let names = words.filter(|word| word.starts_with("parity_") || word.starts_with("isotel_"));
    let names: BTreeSet<&str> = names.collect();
    let missing: Vec<_> = names.difference(&known).collect();
    assert!(names.len() > 30 && missing.is_empty(), "not on the page: {missing:?}");
}

#[test]
fn promtool_and_amtool_accept_what_is_deployed() {
    if !peer::have(&["prometheus", "alertmanager"]) {
        return;
    }
    let promtool = |arguments: &[&str], file: &str| {
        let mut command = peer::command("prometheus");
        peer::run(command.env("PEER_TOOL", "promtool").args(arguments).arg(deploy(file)));
    };
    promtool(&["check", "rules"], "prometheus/rules.yaml");
    promtool(&["test", "rules"], "prometheus/rules.test.yaml");
    promtool(&["check", "config"], "prometheus/prometheus.yaml");
    let mut command = peer::command("alertmanager");
    command.env("PEER_TOOL", "amtool").arg("check-config");
    peer::run(command.arg(deploy("alertmanager/alertmanager.yaml")));
}
