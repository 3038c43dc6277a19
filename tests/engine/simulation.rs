//! Small worlds from a seed: senders that are late, repeat themselves, pause, restart and have wrong clocks, next hops that are
//! down, and an agent whose own clock jumps. Time is simulated, and nothing here waits for anything.
//!
//! Whatever happens, every span that was observed is in one of: its window, late, without an environment or a name, refused.
//! A window is sealed once, bounds hold, and the reports are the same bytes with other shards and with another order of what
//! arrives at the same moment.
//!
//! A failure names its seed; `ISOTEL_SIMULATION_SEED=7 cargo test --test engine simulation` is that world alone, and
//! `ISOTEL_SIMULATION_WORLDS=10000` is so many of them.

use crate::build::*;
use isotel::engine::{Engine, Event, Plan};
use isotel::model::Limits;
use isotel::report::to_json;
use isotel::wire::Signal;
use opentelemetry_proto::tonic::trace::v1::Span;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

const WORLDS: u64 = 40;
const SECOND: u64 = 1_000 * MS;
/// How long a world's senders live.
const LENGTH: u64 = 12 * MINUTE;
/// Everything arrives at such a moment.
const TICK: u64 = SECOND;

/// A request on its way.
struct Sent {
    environment: &'static str,
    request: Vec<u8>,
    /// Start and end of its spans.
    times: Vec<(u64, u64)>,
}

/// What arrives when, by the agent's clock, which may go back.
struct World {
    seed: u64,
    ticks: Vec<(u64, Vec<Sent>)>,
    /// Few names and windows, so that bounds are met.
    tight: bool,
    observed_from_ns: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut arriving: BTreeMap<u64, Vec<Sent>> = BTreeMap::new();
        let environments = ["prod", "canary", "staging", ""];
        for environment in &environments[..random.random_range(2..=4)] {
            for instance in 0..random.random_range(1..=3u32) {
                Peer::new(environment, instance, &mut random).live(&mut random, &mut arriving);
            }
        }
        let downtime = (random.random_range(0..LENGTH), random.random_range(0..2 * MINUTE));
        let jump = [0, 0, 0, 10 * MINUTE as i64, -(3 * MINUTE as i64)][random.random_range(0..5)];
        let jumps_at = random.random_range(0..LENGTH);
        let mut ticks: BTreeMap<u64, Vec<Sent>> = BTreeMap::new();
        for (at, sent) in arriving {
            // While the next hop is down senders are told to come again, which they do when it is back.
            let (from, length) = downtime;
            let at = if (from..from + length).contains(&at) { from + length } else { at };
            ticks.entry(at.next_multiple_of(TICK)).or_default().extend(sent);
        }
        let clock = |at: u64| T0.wrapping_add(at).wrapping_add_signed(if at < jumps_at { 0 } else { jump });
        World {
            seed,
            ticks: ticks.into_iter().map(|(at, sent)| (clock(at), sent)).collect(),
            tight: random.random_bool(0.3),
            observed_from_ns: if random.random_bool(0.5) { T0 } else { 0 },
        }
    }

    fn plan(&self) -> Plan {
        let tight = Limits {
            environments: 2,
            services: 2,
            operations_per_service: 3,
            series: 5,
            instances_per_series: 2,
            instances: 3,
            open_windows: 3,
            shapes_per_series: 1,
            sampled_spans: 5,
            ..Limits::default()
        };
        let limits = if self.tight { tight } else { Limits { open_windows: 64, ..Limits::default() } };
        Plan { limits, observed_from_ns: self.observed_from_ns, ..plan() }
    }
}

/// A process that sends.
struct Peer {
    environment: &'static str,
    instance: String,
    /// How far its clock is ahead.
    skew_ns: i64,
    lateness_ns: u64,
    repeats: f64,
}

impl Peer {
    fn new(environment: &'static str, instance: u32, random: &mut SmallRng) -> Peer {
        let skew_ns = match random.random_range(0..8) {
            0 => random.random_range(-120..120) * SECOND as i64,
            // Further ahead than anybody believes, and never set at all.
            1 if random.random_bool(0.3) => 3_600 * SECOND as i64,
            2 if random.random_bool(0.3) => -(T0 as i64),
            _ => random.random_range(-500..500) * MS as i64,
        };
        let lateness_ns = [SECOND, 5 * SECOND, 90 * SECOND][random.random_range(0..3)];
        let repeats = [0.0, 0.0, 0.1][random.random_range(0..3)];
        Peer { environment, instance: format!("{environment}-{instance}"), skew_ns, lateness_ns, repeats }
    }

    fn live(mut self, random: &mut SmallRng, arriving: &mut BTreeMap<u64, Vec<Sent>>) {
        let mut now = random.random_range(0..MINUTE);
        let mut began = 0;
        while now < LENGTH {
            let copies = if random.random_bool(self.repeats) { 2 } else { 1 };
            let request = self.request(now, random);
            for _ in 0..copies {
                let arrives = now + random.random_range(0..self.lateness_ns);
                let sent = Sent {
                    environment: self.environment,
                    request: request.request.clone(),
                    times: request.times.clone(),
                };
                arriving.entry(arrives).or_default().push(sent);
            }
            now += match random.random_range(0..100) {
                0 => random.random_range(MINUTE..7 * MINUTE),
                1 => {
                    began += 1;
                    self.instance = format!("{}-again-{began}", self.environment);
                    10 * SECOND
                }
                2 => {
                    self.skew_ns += random.random_range(-30..30) * SECOND as i64;
                    SECOND
                }
                _ => random.random_range(SECOND..10 * SECOND),
            };
        }
    }

    fn request(&self, now: u64, random: &mut SmallRng) -> Sent {
        let service = ["cart", "cart", "checkout", "payment"][random.random_range(0..4)];
        let sender = Sender { environment: self.environment, service, instance: &self.instance };
        let span = |random: &mut SmallRng| {
            let ago = random.random_range(0..10 * SECOND);
            let end_ns = (T0 + now).saturating_sub(ago).saturating_add_signed(self.skew_ns);
            let route = ["/a", "/b", "/c", "/d"][random.random_range(0..4)];
            let start_time_unix_nano = end_ns.saturating_sub(random.random_range(1..2_000) * MS);
            let span = Span { start_time_unix_nano, ..span_of(route, end_ns) };
            if random.random_bool(0.05) { failed(span) } else { span }
        };
        let spans: Vec<Span> = (0..random.random_range(1..6)).map(|_| span(random)).collect();
        let times = spans.iter().map(|span| (span.start_time_unix_nano, span.end_time_unix_nano)).collect();
        Sent { environment: self.environment, request: traces(sender, spans), times }
    }
}

/// What an engine made of a world.
struct Outcome {
    /// Spans in windows, by environment and the window's first nanosecond.
    counted: BTreeMap<(String, u64), u64>,
    late: u64,
    /// Without an environment or a name.
    nameless: u64,
    accepted: u64,
    refused: u64,
    reports: Vec<String>,
}

/// What came out of windows as they were sealed.
#[derive(Default)]
struct Sealed {
    windows: BTreeSet<u64>,
    counted: BTreeMap<(String, u64), u64>,
    series: BTreeSet<String>,
}

impl Sealed {
    fn take(&mut self, engine: &Engine, events: &[Event]) {
        for event in events {
            let Event::Sealed(windows) = event else { continue };
            for window in windows {
                assert!(self.windows.insert(*window), "sealed twice: {window}");
                engine.endpoints(*window, &mut |endpoint| {
                    let key = (endpoint.environment.to_owned(), endpoint.start_ns);
                    *self.counted.entry(key).or_default() += endpoint.calls_ok + endpoint.calls_error;
                    self.series.insert(format!("{:?}", endpoint.series));
                });
            }
        }
    }
}

/// Lives a world with so many shards; what arrives at the same moment is taken in the order of `order`.
fn live(world: &World, shards: usize, order: u64) -> Outcome {
    let plan = world.plan();
    let mut engine = Engine::new(plan.clone(), shards);
    let ingest = engine.ingest();
    let mut random = SmallRng::seed_from_u64(order);
    let (mut sealed, mut refused, mut last) = (Sealed::default(), 0, T0);
    for (now_ns, sent) in &world.ticks {
        let mut turns: Vec<&Sent> = sent.iter().collect();
        if order > 0 {
            turns.shuffle(&mut random);
        }
        for sent in turns {
            let answer = ingest.observe(*now_ns, None, Signal::Traces, &sent.request).expect("a request");
            let unbelievable = |time| plan.limits.refuse_time(*now_ns, time).is_some();
            let expected =
                sent.times.iter().filter(|(start, end)| unbelievable(*start) || unbelievable(*end));
            assert_eq!(answer.total(), expected.count() as u64, "only what has no possible time is refused");
            refused += answer.total();
        }
        let events = engine.advance(*now_ns, GENERATED_AT);
        sealed.take(&engine, &events);
        if world.tight {
            let names = engine.names();
            assert!(names.environments().len() <= plan.limits.environments);
        }
        last = *now_ns;
    }
    let events = engine.finish(last, GENERATED_AT);
    sealed.take(&engine, &events);
    if world.tight {
        // Each of two services has one for what is too much.
        assert!(sealed.series.len() <= plan.limits.series + 2, "{:?}", sealed.series);
    }
    let tally = ingest.tally();
    assert_eq!(tally.refused.values().sum::<u64>(), refused);
    Outcome {
        counted: sealed.counted,
        late: tally.late.values().sum(),
        nameless: tally.unassigned.values().sum::<u64>() + tally.unnamed,
        accepted: tally.spans,
        refused,
        reports: engine.reports().map(|report| to_json(report)).collect(),
    }
}

fn check(seed: u64) {
    let world = World::new(seed);
    let observed: u64 =
        world.ticks.iter().flat_map(|(_, sent)| sent).map(|sent| sent.times.len() as u64).sum();
    let first = live(&world, 1, 0);
    let others = [(1, 1), (3, 0), (4, 2)].map(|(shards, order)| live(&world, shards, order));
    for outcome in [&first].into_iter().chain(&others) {
        let counted: u64 = outcome.counted.values().sum();
        assert_eq!(outcome.accepted + outcome.refused, observed, "every span is accepted or refused");
        assert_eq!(
            counted + outcome.late + outcome.nameless,
            outcome.accepted,
            "every accepted span has one place"
        );
    }
    // Of each window no more than was sent for it.
    let mut sent_for: BTreeMap<(String, u64), u64> = BTreeMap::new();
    for sent in world.ticks.iter().flat_map(|(_, sent)| sent) {
        for (_, end_ns) in &sent.times {
            *sent_for.entry((sent.environment.to_owned(), end_ns / MINUTE * MINUTE)).or_default() += 1;
        }
    }
    for (window, counted) in &first.counted {
        assert!(sent_for.get(window).is_some_and(|sent| counted <= sent), "{window:?}: {counted}");
    }
    if !world.tight {
        for other in &others {
            assert_eq!(first.counted, other.counted);
            assert_eq!((first.late, first.nameless), (other.late, other.nameless));
            assert_eq!(first.reports, other.reports, "the same bytes");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a person replays a world")]
fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
#[expect(clippy::print_stderr, reason = "says which world failed")]
fn in_every_world_each_span_has_one_place_and_the_reports_do_not_depend_on_order_or_shards() {
    let seeds = match number_of("ISOTEL_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number_of("ISOTEL_SIMULATION_WORLDS").unwrap_or(WORLDS),
    };
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(seed))) {
            eprintln!("world {seed} failed; ISOTEL_SIMULATION_SEED={seed} is that world alone");
            resume_unwind(panic);
        }
    }
}

#[test]
fn the_worlds_have_everything_in_them_that_they_are_for() {
    let outcomes: Vec<(World, Outcome)> = (0..WORLDS)
        .map(World::new)
        .map(|world| {
            let outcome = live(&world, 1, 0);
            (world, outcome)
        })
        .collect();
    let some = |what: &str, has: fn(&World, &Outcome) -> bool| {
        let n = outcomes.iter().filter(|(world, outcome)| has(world, outcome)).count();
        assert!(n >= 3, "{n} worlds have {what}");
    };
    some("late spans", |_, outcome| outcome.late > 0);
    some("refused spans", |_, outcome| outcome.refused > 0);
    some("spans without a name", |_, outcome| outcome.nameless > 0);
    some("tight limits", |world, _| world.tight);
    some("a clock that goes back", |world, _| world.ticks.is_sorted_by_key(|(now, _)| *now).eq(&false));
    some("a clock that jumps ahead", |world, _| {
        world.ticks.windows(2).any(|pair| pair[1].0 > pair[0].0 + 10 * MINUTE)
    });
    some("several windows", |_, outcome| outcome.counted.len() > 10);
    assert_eq!(outcomes[7].0.seed, 7);
}
