//! `isotel demo`: a real agent on this machine, and two simulated environments that send it real OTLP.
//!
//! The canary is like production but for three planted differences (see [`world::World`]), which the verdict must name.

mod world;

use super::judge::{plot, table_options};
use super::run::{Live, runtime, told_to_end};
use super::{Failure, complain, now, write_out};
use crate::config::{self, Source};
use crate::engine::Event;
use crate::judge::Judgement;
use crate::report::{TableOptions, to_table};
use crate::wire::Signal;
use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use world::World;

#[derive(clap::Args)]
pub struct DemoArgs {
    /// End after the first verdict
    #[arg(long)]
    once: bool,
    /// Another simulated world
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Also keep what is sent, as FOLDER/production.proto and FOLDER/canary.proto: input for `isotel judge`
    #[arg(long, value_name = "FOLDER")]
    record: Option<PathBuf>,
}

/// The agent of the demo: any free ports, short windows, and tolerances as they come.
const CONFIG: &str = "
receivers: {otlp: {protocols: {grpc: {endpoint: localhost:0}, http: {endpoint: localhost:0}}}}
extensions: {health_check: {endpoint: localhost:0}, page: {endpoint: localhost:0}}
service:
  extensions: [health_check, page]
  pipelines: {traces: {receivers: [otlp]}, metrics: {receivers: [otlp]}, logs: {receivers: [otlp]}}
  telemetry: {metrics: {address: localhost:0}}
parity:
  window: 30s
  lateness: 0
  period: 15m
  comparisons: [{name: release, baseline: production, candidate: canary}]
";

/// Rounds of the simulation: half a minute of event time each.
const ROUNDS: u64 = 24;

pub fn demo(args: &DemoArgs) -> Result<u8, Failure> {
    let source = Source { name: "(demo)".to_owned(), text: CONFIG.to_owned() };
    let loaded = config::load(&[source], &[], &|_| None).map_err(|p| Failure::Internal(p.to_string()))?;
    runtime()?.block_on(async {
        let mut live = Live::start(loaded.config).await?;
        let address = live
            .http_address()
            .ok_or_else(|| Failure::Internal("error: the demo's agent has no OTLP/HTTP listener".to_owned()))?;
        complain(&format!(
            "An agent takes in OTLP on {address}, and shows what it finds on {}.\nTwo environments of a small shop send it \
             spans, metrics and logs of the last {} minutes;\nthe canary has a slower checkout, failing payments and one \
             metric less.\n",
            url(live.agent().addresses().page),
            ROUNDS / 2
        ));
        let sender = Sender { http: Client::builder(TokioExecutor::new()).build_http(), address };
        let (now_ns, _) = now();
        let mut world = World::new(args.seed, now_ns - ROUNDS * world::ROUND_NS);
        let mut requests = 0;
        let mut recordings = Recordings::default();
        for _ in 0..ROUNDS {
            for (environment, signal, request) in world.next_round() {
                if args.record.is_some() {
                    recordings.add(environment, &request);
                }
                sender.send(signal, request).await?;
                requests += 1;
            }
            live.advance();
        }
        let judgement = live.finish().into_iter().find_map(judged);
        let judgement = judgement.ok_or_else(|| Failure::Internal("error: nothing was judged".to_owned()))?;
        complain(&format!("{requests} requests sent and taken in.\n"));
        let options = TableOptions { plot: judgement.worst.as_ref().map(|c| plot(c, &judgement.report)), ..table_options() };
        write_out(None, &to_table(&judgement.report, &options))?;
        if let Some(folder) = &args.record {
            recordings.write(folder)?;
        }
        if !args.once {
            let end = told_to_end()?;
            next_steps(&live);
            live.answer_until(end).await;
        }
        live.drain().await;
        Ok(0)
    })
}

fn judged(event: Event) -> Option<Judgement> {
    match event {
        Event::Judged(judgement) => Some(*judgement),
        _ => None,
    }
}

fn next_steps(live: &Live) {
    let addresses = live.agent().addresses();
    complain(&format!(
        "\nThe agent is still there: open {} for the verdict with its pictures; {}metrics is for Prometheus.\n\
         Ctrl-C ends it. Next, on telemetry of yours: `isotel init`, which proposes a configuration of what it sees arrive.",
        url(addresses.page),
        url(addresses.metrics)
    ));
}

/// The root of a page.
fn url(address: Option<SocketAddr>) -> String {
    address.map_or("–".to_owned(), |address| format!("http://{address}/"))
}

/// What each environment sent, as a collector's file exporter writes `format: proto`.
#[derive(Default)]
struct Recordings(BTreeMap<&'static str, Vec<u8>>);

impl Recordings {
    fn add(&mut self, environment: &'static str, request: &[u8]) {
        let file = self.0.entry(environment).or_default();
        file.extend((request.len() as u32).to_be_bytes());
        file.extend(request);
    }

    fn write(&self, folder: &Path) -> Result<(), Failure> {
        let failed =
            |path: &Path, error| Failure::Io(format!("error: cannot write {}: {error}", path.display()));
        std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
        let mut paths = Vec::new();
        for (environment, bytes) in &self.0 {
            let path = folder.join(format!("{environment}.proto"));
            std::fs::write(&path, bytes).map_err(|error| failed(&path, error))?;
            paths.push(path);
        }
        if let [candidate, baseline] = &paths[..] {
            complain(&format!(
                "\nThe same from files: isotel judge --baseline {} --candidate {}",
                baseline.display(),
                candidate.display()
            ));
        }
        Ok(())
    }
}

/// Sends as an SDK does, over OTLP/HTTP.
struct Sender {
    http: Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
}

impl Sender {
    async fn send(&self, signal: Signal, request: Vec<u8>) -> Result<(), Failure> {
        let failed =
            |error: &dyn std::fmt::Display| Failure::Io(format!("error: the demo cannot send: {error}"));
        let request = http::Request::post(format!("http://{}/v1/{}", self.address, signal.as_str()))
            .header("content-type", "application/x-protobuf")
            .body(Full::new(Bytes::from(request)))
            .map_err(|error| failed(&error))?;
        let response = self.http.request(request).await.map_err(|error| failed(&error))?;
        match response.status().is_success() {
            true => Ok(()),
            false => Err(failed(&response.status())),
        }
    }
}
