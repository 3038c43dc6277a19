//! A string of bytes → what happens to an engine: requests, time, checkpoints, crashes, new plans.
//!
//! Two engines live it: one never stops, and one is cut short and goes on from its checkpoint and the requests since. They
//! say the same; every item has one place; and a window is sealed once.

use super::build::*;
use super::{items, tell};
use isotel::engine::{Engine, Event, Plan};
use isotel::wire::Signal;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::AggregationTemporality;
use std::collections::BTreeSet;

const SECOND: u64 = 1_000 * MS;
/// What more steps find, fewer find too.
const STEPS_MAX: usize = 160;

/// Takes one byte after the other; zeros where there are no more.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u64 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        u64::from(*first)
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.next() as usize % choices.len()]
    }
}

/// What survives a crash: the last checkpoint and the requests after it.
#[derive(Default)]
struct Disk {
    state: Option<Vec<u8>>,
    windows: Vec<Vec<u8>>,
    log: Vec<(u64, Signal, Vec<u8>)>,
}

impl Disk {
    fn save(&mut self, engine: &mut Engine) {
        let cut = engine.cut();
        let checkpoint = engine.checkpoint(cut).expect("an engine has bytes");
        let sealed = |index: &u64| engine.sealed_bytes(*index).expect("a window of the checkpoint");
        self.windows = checkpoint.windows.iter().map(sealed).collect();
        self.state = Some(checkpoint.state);
        self.log.clear();
    }

    fn restored(&self, plan: &Plan) -> Engine {
        let engine = match &self.state {
            Some(state) => {
                Engine::restore(plan.clone(), 2, state, self.windows.clone()).expect("our own bytes")
            }
            None => Engine::new(plan.clone(), 2),
        };
        for (now_ns, signal, request) in &self.log {
            engine.ingest().observe(*now_ns, None, *signal, request).expect("a request");
        }
        engine
    }
}

/// The engine that never stops, the one that does, and what they have been through.
struct World {
    plan: Plan,
    steady: Engine,
    mortal: Engine,
    disk: Disk,
    now_ns: u64,
    /// Items that were sent.
    sent: u64,
    /// Requests that were counted when their windows were sealed.
    counted: u64,
    /// Nothing but spans were sent, and no instance is warming up.
    only_spans: bool,
    sealed: BTreeSet<u64>,
}

impl World {
    fn new(bytes: &mut Bytes<'_>) -> World {
        let warmup_ns = bytes.pick(&[0, 0, MINUTE]);
        let plan = Plan { observed_from_ns: T0, window_ns: MINUTE / 4, warmup_ns, ..plan() };
        let steady = Engine::new(plan.clone(), bytes.pick(&[1, 3]));
        let mortal = Engine::new(plan.clone(), 1);
        let only_spans = warmup_ns == 0;
        let (disk, sealed) = (Disk::default(), BTreeSet::new());
        World { plan, steady, mortal, disk, now_ns: T0, sent: 0, counted: 0, only_spans, sealed }
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.next() % 16 {
            0..=5 => self.send(Signal::Traces, bytes),
            6 => self.send(Signal::Metrics, bytes),
            7 => self.send(Signal::Logs, bytes),
            8..=9 => self.now_ns += (bytes.next() + 1) * SECOND,
            10 => self.now_ns = self.now_ns.saturating_sub(bytes.next() * SECOND / 4).max(T0),
            11..=12 => self.advance(bytes.next().is_multiple_of(2)),
            13 => self.disk.save(&mut self.mortal),
            14 => self.mortal = self.disk.restored(&self.plan),
            _ => self.replan(bytes),
        }
    }

    fn send(&mut self, signal: Signal, bytes: &mut Bytes<'_>) {
        let sender = Sender {
            environment: bytes.pick(&["prod", "canary", "prod", "canary", ""]),
            service: bytes.pick(&["cart", "checkout"]),
            instance: bytes.pick(&["", "a", "b"]),
        };
        let end_ns = self.now_ns.saturating_sub(bytes.next() * SECOND / 2);
        let n = bytes.next() % 8 + 1;
        let request = match signal {
            Signal::Traces => {
                let span = |at: u64| span(end_ns - at * MS, (n * at + 1) * MS);
                let spans = (0..n).map(|at| if at == 6 { failed(span(at)) } else { span(at) });
                traces(sender, spans.collect())
            }
            Signal::Metrics => {
                let point = durations(end_ns - 10 * SECOND, end_ns, [n, 1]);
                let points = vec![point; n as usize];
                let kind = bytes.pick(&[AggregationTemporality::Delta, AggregationTemporality::Cumulative]);
                metrics(sender, vec![histogram(kind, points)])
            }
            Signal::Logs => {
                let record = LogRecord { time_unix_nano: end_ns, severity_number: 9, ..LogRecord::default() };
                logs(sender, vec![record; n as usize])
            }
        };
        self.sent += n;
        self.only_spans &= signal == Signal::Traces;
        self.disk.log.push((self.now_ns, signal, request.clone()));
        for engine in [&self.steady, &self.mortal] {
            engine.ingest().observe(self.now_ns, None, signal, &request).expect("a request");
        }
    }

    /// A seal is followed by its checkpoint, and where that is lost, by the same seal.
    fn advance(&mut self, lost: bool) {
        let events = self.steady.advance(self.now_ns, GENERATED_AT);
        self.count(&events);
        self.mortal.advance(self.now_ns, GENERATED_AT);
        if lost {
            self.mortal = self.disk.restored(&self.plan);
            self.mortal.advance(self.now_ns, GENERATED_AT);
        }
        self.disk.save(&mut self.mortal);
        self.say_the_same();
    }

    fn count(&mut self, events: &[Event]) {
        for event in events {
            let Event::Sealed(windows) = event else { continue };
            for window in windows {
                assert!(self.sealed.insert(*window), "sealed twice: {window}");
                let counted = &mut self.counted;
                self.steady.endpoints(*window, &mut |cell| *counted += cell.calls_ok + cell.calls_error);
            }
        }
    }

    fn replan(&mut self, bytes: &mut Bytes<'_>) {
        self.plan.patience.lateness_ns = bytes.pick(&[0, 5, 10, 60]) * SECOND;
        self.plan.patience.idle_ns = bytes.pick(&[1, 5]) * MINUTE;
        self.steady.replan(self.plan.clone());
        self.mortal.replan(self.plan.clone());
    }

    fn say_the_same(&self) {
        assert_eq!(tell(&self.mortal), tell(&self.steady), "after restarts");
        let (steady, mortal) = (self.steady.ingest().tally(), self.mortal.ingest().tally());
        assert_eq!(items(&steady), self.sent, "every item is accepted or refused");
        let all = |tally: &isotel::window::shard::Tally| {
            (tally.spans, tally.metric_points, tally.log_records, tally.unnamed, tally.refused.clone())
        };
        assert_eq!(all(&mortal), all(&steady), "items after restarts");
        let aside = |tally: &isotel::window::shard::Tally| {
            tally.late.values().sum::<u64>() + tally.unassigned.values().sum::<u64>()
        };
        assert_eq!(aside(&mortal), aside(&steady), "late and unassigned after restarts");
    }

    fn end(mut self) {
        self.mortal = self.disk.restored(&self.plan);
        let events = self.steady.finish(self.now_ns, GENERATED_AT);
        self.count(&events);
        self.mortal.finish(self.now_ns, GENERATED_AT);
        self.say_the_same();
        let tally = self.steady.ingest().tally();
        let aside = tally.late.values().sum::<u64>() + tally.unassigned.values().sum::<u64>() + tally.unnamed;
        if self.only_spans {
            assert_eq!(self.counted + aside, tally.spans, "every accepted span has one place");
        }
    }
}

pub fn run(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let mut world = World::new(&mut bytes);
    for _ in 0..STEPS_MAX {
        if bytes.0.is_empty() {
            break;
        }
        world.step(&mut bytes);
    }
    world.end();
}
