//! The agent and its engine in this process, so that what arrived can be counted exactly.

use crate::plan::Sum;
use isotel::agent::{Agent, RunningAgent, Sources};
use isotel::config::{self, HttpOrGrpc, Source};
use isotel::engine::{Engine, Event};
use isotel::judge::Report;
use isotel::sketch::MetricSketch;
use isotel::window::sealed::SealedCell;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::runtime::Runtime;

const CONFIG: &str = "
receivers:
  otlp:
    protocols:
      grpc: {endpoint: '127.0.0.1:0'}
      http: {endpoint: '127.0.0.1:0'}
service:
  pipelines: {traces: {receivers: [otlp]}, metrics: {receivers: [otlp]}}
  telemetry: {metrics: {address: '127.0.0.1:0'}}
parity: {window: 10s}
";

/// The wall clock, nanoseconds since the epoch.
pub fn now_ns() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

pub struct Rig {
    engine: Engine,
    agent: RunningAgent,
    // Holds the agent's threads; dropped last.
    _runtime: Runtime,
}

impl Rig {
    pub fn start() -> Rig {
        let source = Source { name: "interop.yaml".to_owned(), text: CONFIG.to_owned() };
        let config = config::load(&[source], &[], &|_| None).unwrap().config;
        let engine = Engine::new(config.plan(now_ns()), 2);
        let runtime = Runtime::new().unwrap();
        let agent = runtime.block_on(Agent::start(&config, engine.ingest(), Sources::default())).unwrap();
        Rig { engine, agent, _runtime: runtime }
    }

    pub fn address(&self, transport: HttpOrGrpc) -> SocketAddr {
        self.agent.addresses().first(transport).unwrap()
    }

    /// Seals all that arrived, and judges.
    pub fn finish(&mut self) -> Report {
        let events = self.engine.finish(now_ns(), "2026-01-01T00:00:00Z");
        let reports = events.into_iter().filter_map(|event| match event {
            Event::Judged(judgement) => Some(judgement.report),
            _ => None,
        });
        Report::clone(&reports.last().expect("two environments are compared"))
    }

    /// What arrived as spans, by environment and operation.
    pub fn spans(&self) -> BTreeMap<(String, String), Sum> {
        self.sums(|cell| Sum { n: cell.latency.n(), errors: cell.errors, duration_ns: cell.latency.sum_ns() })
    }

    /// What arrived as histograms of durations, by environment and operation.
    pub fn records(&self) -> BTreeMap<(String, String), Sum> {
        let one = |metric: &MetricSketch| Sum {
            n: metric.n,
            errors: metric.errors,
            duration_ns: u128::try_from(metric.sum_ns).unwrap(),
        };
        self.sums(|cell| cell.metrics.values().map(one).fold(Sum::default(), add))
    }

    fn sums(&self, of: impl Fn(&SealedCell) -> Sum) -> BTreeMap<(String, String), Sum> {
        let names = self.engine.names();
        let mut sums = BTreeMap::<_, Sum>::new();
        for ((environment, series), cell) in self.engine.windows().flat_map(|window| window.cells.iter()) {
            let environment = names.environments()[usize::from(environment.0)].to_string();
            let key = (environment, names.series_key(series).operation.to_string());
            let sum = sums.entry(key).or_default();
            *sum = add(*sum, of(&cell.cell()));
        }
        sums.retain(|_, sum| sum.n > 0);
        sums
    }
}

fn add(one: Sum, other: Sum) -> Sum {
    Sum {
        n: one.n + other.n,
        errors: one.errors + other.errors,
        duration_ns: one.duration_ns + other.duration_ns,
    }
}
