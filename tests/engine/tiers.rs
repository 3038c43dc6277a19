//! Several first tiers and a second one say what one agent says that takes in everything: byte for byte, whatever was sent to
//! which of them, in whatever order their parts come, however often, and wherever one of them ends in between.

use crate::build::*;
use crate::determinism::{Sent, WINDOWS, eager, sent, warmup};
use isotel::engine::{Engine, Ingest, Plan, Tier};
use isotel::export::{Sender as Exporter, part_request};
use isotel::judge::policy::Policy;
use isotel::judge::release::Begin;
use isotel::model::{HashKey, Limits, Redaction};
use isotel::report::html::site;
use isotel::report::to_json;
use isotel::window::Patience;
use isotel::window::parts::{BYTES_MOST, FORMAT, Part};
use isotel::wire::Signal;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use prost::Message;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;

const KEY: &str = "a key that all tiers of this test have";

/// A plan with the key that tiers have in common.
fn keyed(plan: Plan) -> Plan {
    let redaction = Redaction { key: Some(HashKey::of(KEY)), ..plan.policy.redaction.clone() };
    Plan { policy: Policy { redaction, ..plan.policy }, ..plan }
}

fn first(plan: Plan) -> Plan {
    Plan { tier: Tier::First, ..plan }
}

fn exporter() -> Exporter {
    Exporter { version: "0".to_owned(), instance_id: "one".to_owned(), tenant: None }
}

/// The requests with the parts that wait in a first tier.
fn parts_of(engine: &mut Engine) -> Vec<Vec<u8>> {
    let mut requests = Vec::new();
    engine.send_parts(&mut |part| {
        requests.push(part_request(part, &exporter(), NOW));
        true
    });
    requests
}

/// Has parts overtake each other and come again.
fn on_their_way(mut parts: Vec<Vec<u8>>, random: &mut SmallRng) -> Vec<Vec<u8>> {
    for at in 0..parts.len() {
        if random.random_bool(0.2) {
            parts.push(parts[at].clone());
        }
    }
    parts.shuffle(random);
    parts
}

/// What each first tier receives in each window, so that each has something to hand over, and tells what it counted with it.
fn heartbeat(window: u64) -> Vec<u8> {
    traces(Sender { environment: "staging", ..PROD }, vec![span(T0 + window * MINUTE, MS)])
}

/// What one agent says after each window, and at the end.
fn alone(sent: &[Sent], plan: &Plan, tiers: usize) -> Vec<String> {
    let mut engine = Engine::new(plan.clone(), 2);
    let mut verdicts = Vec::new();
    for window in 0..WINDOWS {
        let now_ns = T0 + (window + 1) * MINUTE;
        for sent in sent.iter().filter(|sent| sent.window == window) {
            engine.ingest().observe(now_ns - 2, None, sent.signal, &sent.request).unwrap();
        }
        for _ in 0..tiers {
            engine.ingest().observe(now_ns - 2, None, Signal::Traces, &heartbeat(window)).unwrap();
        }
        engine.advance(now_ns, GENERATED_AT);
        verdicts.extend(engine.reports().map(|report| to_json(report)));
    }
    engine.finish(T0 + WINDOWS * MINUTE, GENERATED_AT);
    verdicts.extend(engine.reports().map(|report| to_json(report)));
    verdicts
}

/// Where an agent with a storage ends and begins again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Crash {
    Never,
    /// When its windows are closed.
    Closed,
    /// When the checkpoint is made that follows.
    Saved,
    /// When its parts have left.
    Sent,
}

/// An agent with what survives it.
struct Stored {
    plan: Plan,
    engine: Engine,
    state: Option<(Vec<u8>, Vec<Vec<u8>>)>,
    log: Vec<(u64, Signal, Vec<u8>)>,
}

impl Stored {
    fn new(plan: Plan) -> Stored {
        Stored { engine: Engine::new(plan.clone(), 2), plan, state: None, log: Vec::new() }
    }

    fn observe(&mut self, now_ns: u64, signal: Signal, request: &[u8]) {
        self.log.push((now_ns, signal, request.to_vec()));
        let refusals = self.engine.ingest().observe(now_ns, None, signal, request).unwrap();
        let parts = named(&refusals).into_iter().filter(|(reason, _)| reason.starts_with("part"));
        assert_eq!(parts.collect::<Vec<_>>(), []);
    }

    fn save(&mut self) {
        let cut = self.engine.cut();
        let checkpoint = self.engine.checkpoint(cut).unwrap();
        let windows = checkpoint.windows.iter().map(|index| self.engine.sealed_bytes(*index).unwrap());
        self.state = Some((checkpoint.state.clone(), windows.collect()));
        self.log.clear();
    }

    fn crash(&mut self, now_ns: u64) {
        self.engine = match &self.state {
            Some((state, windows)) => Engine::restore(self.plan.clone(), 1, state, windows.clone()).unwrap(),
            None => Engine::new(self.plan.clone(), 1),
        };
        for (now_ns, signal, request) in &self.log {
            self.engine.ingest().observe(*now_ns, None, *signal, request).unwrap();
        }
        self.engine.advance(now_ns, GENERATED_AT);
    }

    /// Closes what is complete and gives what leaves.
    fn advance(&mut self, now_ns: u64, crash: Crash) -> Vec<Vec<u8>> {
        self.engine.advance(now_ns, GENERATED_AT);
        if crash == Crash::Closed {
            self.crash(now_ns);
        }
        self.save();
        if crash == Crash::Saved {
            self.crash(now_ns);
        }
        let mut parts = parts_of(&mut self.engine);
        if crash == Crash::Sent {
            self.crash(now_ns);
            self.save();
            parts.extend(parts_of(&mut self.engine));
        }
        parts
    }
}

fn crashes() -> impl Strategy<Value = Vec<Crash>> {
    vec(select(vec![Crash::Never, Crash::Never, Crash::Closed, Crash::Saved, Crash::Sent]), 40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn recorded_input_that_was_split_over_first_tiers_is_judged_as_by_one_agent(
        sent in vec(sent(), 1..40), tiers in 1..4usize, warmup_ns in warmup(), seed: u64,
    ) {
        let (plan, mut random) = (keyed(eager(warmup_ns)), SmallRng::seed_from_u64(seed));
        let mut engine = Engine::new(plan.clone(), 2);
        sent.iter().for_each(|sent| drop(observe(&engine.ingest(), sent.signal, &sent.request)));
        let expected = to_json(&finish(&mut engine));

        let mut first: Vec<Engine> = (0..tiers).map(|_| Engine::new(first(plan.clone()), 2)).collect();
        for sent in &sent {
            let at = random.random_range(0..tiers);
            observe(&first[at].ingest(), sent.signal, &sent.request);
        }
        let mut parts = Vec::new();
        for engine in &mut first {
            engine.finish(NOW, GENERATED_AT);
            prop_assert_eq!(engine.reports().count() + engine.windows().count(), 0, "it judges nothing");
            parts.extend(parts_of(engine));
        }
        let mut second = Engine::new(plan, 3);
        for part in on_their_way(parts, &mut random) {
            prop_assert_eq!(observe(&second.ingest(), Signal::Logs, &part), BTreeMap::new());
        }
        prop_assert_eq!(to_json(&finish(&mut second)), expected);
    }

    #[test]
    fn live_verdicts_of_two_tiers_that_crash_are_those_of_one_agent_that_never_did(
        sent in vec(sent(), 1..40), tiers in 1..4usize, warmup_ns in warmup(), seed: u64, crashes in crashes(),
    ) {
        // All that has arrived is complete at once, in every tier.
        let patience = Patience { lateness_ns: 0, idle_ns: 1 };
        let plan = keyed(Plan { observed_from_ns: T0, patience, ..eager(warmup_ns) });
        let expected = alone(&sent, &plan, tiers);
        let mut random = SmallRng::seed_from_u64(seed);
        let mut crashes = crashes.into_iter();
        let mut crash = || crashes.next().unwrap_or(Crash::Never);
        let mut first: Vec<Stored> = (0..tiers).map(|_| Stored::new(first(plan.clone()))).collect();
        let mut second = Stored::new(plan);
        let mut verdicts = Vec::new();
        for window in 0..WINDOWS {
            let now_ns = T0 + (window + 1) * MINUTE;
            for sent in sent.iter().filter(|sent| sent.window == window) {
                let at = random.random_range(0..tiers);
                first[at].observe(now_ns - 2, sent.signal, &sent.request);
            }
            first.iter_mut().for_each(|tier| tier.observe(now_ns - 2, Signal::Traces, &heartbeat(window)));
            let parts: Vec<_> = first.iter_mut().flat_map(|tier| tier.advance(now_ns, crash())).collect();
            for part in on_their_way(parts, &mut random) {
                second.observe(now_ns - 2, Signal::Logs, &part);
            }
            second.advance(now_ns, crash());
            verdicts.extend(second.engine.reports().map(|report| to_json(report)));
        }
        second.engine.finish(T0 + WINDOWS * MINUTE, GENERATED_AT);
        verdicts.extend(second.engine.reports().map(|report| to_json(report)));
        prop_assert_eq!(verdicts, expected);
    }
}

/// A live plan that closes a window ten seconds after its end.
fn live() -> Plan {
    keyed(Plan { observed_from_ns: T0, ..plan() })
}

fn spans(sender: Sender<'_>, window: u64, n: u64) -> Vec<u8> {
    traces(sender, (0..n).map(|at| span(T0 + window * MINUTE + at * MS, 20 * MS)).collect())
}

/// What a first tier makes of requests, each taken in and closed before the next.
fn made_of(plan: Plan, requests: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut engine = Engine::new(first(plan), 1);
    for request in requests {
        observe(&engine.ingest(), Signal::Traces, request);
    }
    engine.finish(NOW, GENERATED_AT);
    parts_of(&mut engine)
}

/// The bytes of the part in a request.
fn body(request: &[u8]) -> Vec<u8> {
    let request = ExportLogsServiceRequest::decode(request).unwrap();
    let record = &request.resource_logs[0].scope_logs[0].log_records[0];
    match &record.body.as_ref().unwrap().value {
        Some(Value::BytesValue(bytes)) => bytes.clone(),
        other => panic!("{other:?}"),
    }
}

/// A request with records of these bodies.
fn request(bodies: Vec<Vec<u8>>) -> Vec<u8> {
    let record = |bytes| {
        let body = opentelemetry_proto::tonic::common::v1::AnyValue { value: Some(Value::BytesValue(bytes)) };
        LogRecord { body: Some(body), ..LogRecord::default() }
    };
    logs(PROD, bodies.into_iter().map(record).collect())
}

fn late(ingest: &Ingest) -> u64 {
    ingest.tally().late.values().sum()
}

#[test]
fn each_part_that_cannot_be_merged_is_refused_by_its_reason_and_its_neighbours_are_kept() {
    let good = body(&made_of(live(), &[spans(PROD, 0, 5)])[0]);
    let changed = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let other_key = Redaction { key: Some(HashKey::of("the key of somebody else")), ..Redaction::default() };
    let other_key = Plan { policy: Policy { redaction: other_key, ..Policy::default() }, ..live() };
    let others = body(&made_of(other_key, &[spans(PROD, 0, 5)])[0]);
    let wide = body(&made_of(Plan { window_ns: 2 * MINUTE, ..live() }, &[spans(PROD, 0, 5)])[0]);
    let ahead = body(&made_of(live(), &[spans(PROD, 10, 5)])[0]);

    let mut engine = Engine::new(live(), 1);
    let ingest = engine.ingest();
    let all = vec![
        changed(8),
        changed(20),
        changed(40),
        changed(good.len() - 1),
        good[..good.len() - 1].to_vec(),
        good[..30].to_vec(),
        others,
        wide,
        ahead,
        good.clone(),
        b"plain bytes".to_vec(),
    ];
    let refused = ingest.observe(T0 + 2 * MINUTE, None, Signal::Logs, &request(all)).unwrap();
    let told =
        [("part_damaged", 4), ("part_format", 1), ("part_key", 2), ("part_window", 1), ("time_in_future", 1)];
    assert_eq!(named(&refused), told.into());
    assert!(refused.message().unwrap().contains("parity.redaction.key"), "{:?}", refused.message());
    assert_eq!((ingest.parts().merged, ingest.tally().spans, ingest.tally().log_records), (1, 5, 1));
    engine.finish(NOW, GENERATED_AT);
    assert_eq!(spans_by_operation(&engine), [(("prod".to_owned(), "GET /cart".to_owned()), 5)].into());
}

#[test]
fn without_a_key_in_common_no_part_is_taken() {
    let parts = made_of(Plan { policy: Policy::default(), ..live() }, &[spans(PROD, 0, 5)]);
    let engine = Engine::new(Plan { policy: Policy::default(), ..live() }, 1);
    assert_eq!(observe(&engine.ingest(), Signal::Logs, &parts[0]), [("part_key", 1)].into());
}

#[test]
fn a_part_that_comes_again_and_one_of_a_sealed_window_are_counted_and_change_nothing() {
    let parts = made_of(live(), &[spans(PROD, 0, 5)]);
    let others = made_of(live(), &[spans(PROD, 0, 7)]);
    let mut engine = Engine::new(live(), 3);
    let ingest = engine.ingest();
    (0..3).for_each(|_| drop(observe(&ingest, Signal::Logs, &parts[0])));
    assert_eq!((ingest.parts().merged, ingest.parts().repeated, ingest.tally().spans), (1, 2, 5));
    engine.advance(NOW + 10 * MINUTE, GENERATED_AT);
    observe(&ingest, Signal::Logs, &others[0]);
    assert_eq!((ingest.parts().merged, ingest.parts().late, late(&ingest)), (1, 1, 7));
    engine.finish(NOW + 10 * MINUTE, GENERATED_AT);
    assert_eq!(spans_by_operation(&engine), [(("prod".to_owned(), "GET /cart".to_owned()), 5)].into());
}

#[test]
fn a_window_waits_for_the_parts_of_each_first_tier_that_is_not_silent() {
    let [mut one, mut two] = [(); 2].map(|()| Engine::new(first(live()), 1));
    let mut second = Engine::new(live(), 2);
    let at = |seconds: u64| T0 + seconds * 1_000 * MS;
    let step = |engine: &mut Engine, second: &Engine, window: u64, now_ns: u64| {
        // The second span lets the window before it be complete.
        engine.ingest().observe(now_ns, None, Signal::Traces, &spans(PROD, window, 1)).unwrap();
        let next = traces(PROD, vec![span(T0 + (window + 1) * MINUTE + 10_000 * MS, MS)]);
        engine.ingest().observe(now_ns, None, Signal::Traces, &next).unwrap();
        engine.advance(now_ns, GENERATED_AT);
        for part in parts_of(engine) {
            second.ingest().observe(now_ns, None, Signal::Logs, &part).unwrap();
        }
    };
    let sealed = |second: &mut Engine, now_ns| {
        second.advance(now_ns, GENERATED_AT);
        second.windows().count()
    };
    step(&mut one, &second, 0, at(71));
    assert_eq!(sealed(&mut second, at(79)), 0, "another one may come yet");
    assert_eq!(sealed(&mut second, at(80)), 1, "only one is known, and it says that it is through");
    step(&mut two, &second, 1, at(131));
    assert_eq!(sealed(&mut second, at(141)), 1, "the other one is behind");
    step(&mut one, &second, 1, at(142));
    assert_eq!(sealed(&mut second, at(143)), 2);
    step(&mut one, &second, 2, at(193));
    assert_eq!(sealed(&mut second, at(205)), 2);
    assert_eq!(sealed(&mut second, at(132 + 300)), 3, "one that is silent holds back nobody");
    assert_eq!(late(&second.ingest()), 0);
}

#[test]
fn a_window_of_many_bytes_is_several_parts_that_come_to_the_same() {
    let service = |n: u64| format!("service-{n}");
    let many = |services: u64, operations: u64| -> Vec<Vec<u8>> {
        let one = |n: u64| {
            let spans = (0..operations).flat_map(|at| {
                let route = format!("/{at}/of/a/name/that/takes/its/place/in/every/part");
                (0..40).map(move |n| span_of(&route, T0 + n * MS))
            });
            traces(Sender { service: &service(n), ..PROD }, spans.collect())
        };
        (0..services).map(one).collect()
    };
    for requests in [many(40, 100), many(1, 450)] {
        let limits = Limits { operations_per_service: 1_000, ..Limits::default() };
        let plan = Plan { limits, ..live() };
        let parts = made_of(plan.clone(), &requests);
        let most = parts.iter().map(Vec::len).max().unwrap();
        assert!(parts.len() > 1 || requests.len() == 1, "{} parts", parts.len());
        assert!(most < BYTES_MOST + 1_000, "{most} bytes in one of {}", parts.len());
        let (mut one, mut second) = (Engine::new(plan.clone(), 1), Engine::new(plan, 1));
        requests.iter().for_each(|request| drop(observe(&one.ingest(), Signal::Traces, request)));
        parts
            .iter()
            .for_each(|part| assert_eq!(observe(&second.ingest(), Signal::Logs, part), BTreeMap::new()));
        assert_eq!(to_json(&finish(&mut second)), to_json(&finish(&mut one)));
    }
}

/// Bytes of telemetry of one window, and of the parts made of it: `n` spans of each of ten operations of each of five services.
fn bytes_of(n: u64) -> (usize, usize) {
    let mut random = SmallRng::seed_from_u64(1);
    let mut requests = Vec::new();
    for environment in ["prod", "canary"] {
        for service in ["cart", "checkout", "payment", "stock", "search"] {
            let mut resource = Sender { environment, service, instance: "pod-7d9f" }.resource();
            for (key, value) in
                [("service.version", "1.4.2"), ("telemetry.sdk.language", "java"), ("k8s.node.name", "n1")]
            {
                resource.attributes.push(text(key, value));
            }
            let one = |at: u64| {
                let mut span =
                    span_of(&format!("/{service}/{}/items", at % 10), T0 + random.random_range(0..MINUTE));
                span.start_time_unix_nano = span.end_time_unix_nano - random.random_range(1..900 * MS);
                span.trace_id = random.random::<[u8; 16]>().to_vec();
                span.span_id = random.random::<[u8; 8]>().to_vec();
                span.parent_span_id = random.random::<[u8; 8]>().to_vec();
                for (key, value) in [
                    ("url.scheme", "https"),
                    ("network.protocol.version", "1.1"),
                    ("server.address", "shop.example"),
                    ("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0"),
                ] {
                    span.attributes.push(text(key, value));
                }
                span
            };
            let spans: Vec<_> = (0..10 * n).map(one).collect();
            requests.extend(spans.chunks(500).map(|spans| traces_of(resource.clone(), spans.to_vec())));
        }
    }
    let made = made_of(live(), &requests);
    (requests.iter().map(Vec::len).sum(), made.iter().map(Vec::len).sum())
}

#[test]
#[expect(clippy::print_stdout, reason = "says what was measured")]
fn a_window_takes_a_small_share_of_the_bytes_of_its_telemetry() {
    for (n, share_most) in [(10, 0.30), (100, 0.09), (1_000, 0.03)] {
        let (telemetry, parts) = bytes_of(n);
        println!("{n} spans an operation: {telemetry} bytes, {parts} of its parts");
        assert!((parts as f64) < share_most * telemetry as f64, "{parts} of {telemetry}");
    }
}

#[test]
fn what_first_tiers_have_together_is_held_to_the_limits_in_any_order() {
    let limits = Limits {
        instances_per_series: 3,
        shapes_per_series: 2,
        services: 2,
        sources: 4,
        ..Limits::default()
    };
    let plan = Plan { limits, warmup_ns: 0, ..live() };
    let of = |n: u64| {
        let instance = format!("pod-{n}");
        let sender = Sender { instance: &instance, service: ["a", "b", "c"][n as usize % 3], ..PROD };
        let mut with = span(T0 + n, MS);
        with.attributes.push(text(&format!("key-{n}"), "x"));
        traces(sender, vec![with])
    };
    let all: Vec<Vec<u8>> = (0..4)
        .map(|tier| made_of(live(), &(0..5).map(|n| of(tier + 4 * n)).collect::<Vec<_>>()).remove(0))
        .collect();
    let judged = |parts: &mut dyn Iterator<Item = &Vec<u8>>| {
        let mut engine = Engine::new(plan.clone(), 1);
        let ingest = engine.ingest();
        parts.for_each(|part| assert_eq!(observe(&ingest, Signal::Logs, part), BTreeMap::new()));
        let fifth = made_of(live(), &[of(0)]).remove(0);
        assert_eq!(observe(&ingest, Signal::Logs, &fifth), [("part_source", 1)].into());
        let report = finish(&mut engine);
        let instances: Vec<usize> = cells(&engine).values().map(|cell| cell.instances.len()).collect();
        assert!(instances.iter().all(|n| *n == 4) && instances.len() == 2, "{instances:?}");
        assert_eq!((hits(&report, "sources"), engine.ingest().tally().spans), (1, 20));
        assert!(hits(&report, "instances_per_series") > 0 && hits(&report, "shapes_per_series") > 0);
        assert!(engine.ingest().tally().unnamed > 0, "of the third service");
    };
    judged(&mut all.iter());
    judged(&mut all.iter().rev());
}

#[test]
fn parts_that_nobody_takes_wait_until_somebody_does() {
    let mut engine = Engine::new(first(live()), 1);
    observe(&engine.ingest(), Signal::Traces, &spans(PROD, 0, 5));
    engine.finish(NOW, GENERATED_AT);
    let mut offered = 0;
    engine.send_parts(&mut |_| {
        offered += 1;
        false
    });
    assert_eq!((offered, parts_of(&mut engine).len(), parts_of(&mut engine).len()), (1, 1, 0));
    assert_eq!((engine.ingest().parts().made, engine.ingest().parts().lost), (1, 0));
}

#[test]
fn a_first_tier_says_that_it_judges_nothing_when_it_is_asked_about_a_release() {
    let mut engine = Engine::new(first(live()), 1);
    let refused = engine.begin(&Begin::default(), NOW, GENERATED_AT).unwrap_err().to_string();
    assert!(refused.contains("parity.tier"), "{refused}");
    let page = site::index(&[], &[], true);
    assert!(page.contains("first tier") && !page.contains("Nothing has been judged yet"), "{page}");
}

#[test]
fn what_a_first_tier_could_not_use_is_told_where_it_is_judged() {
    let nobody = Resource { attributes: vec![text("service.name", "cart")], ..Resource::default() };
    let requests = [traces_of(nobody, vec![span(T0, MS); 3]), spans(PROD, 0, 2), spans(CANARY, 0, 2)];
    let (parts, mut one) = (made_of(live(), &requests), Engine::new(live(), 1));
    requests.iter().for_each(|request| drop(observe(&one.ingest(), Signal::Traces, request)));
    let mut second = Engine::new(live(), 1);
    parts.iter().for_each(|part| drop(observe(&second.ingest(), Signal::Logs, part)));
    let told = to_json(&finish(&mut second));
    assert!(told.contains("\"spans\": 7"), "{told}");
    assert_eq!(told, to_json(&finish(&mut one)));
}

#[test]
fn evidence_that_was_hashed_with_another_key_is_not_mixed_with_new_evidence() {
    let mut engine = Engine::new(Plan { policy: Policy::default(), ..live() }, 1);
    observe(&engine.ingest(), Signal::Traces, &spans(PROD, 0, 5));
    let cut = engine.cut();
    let state = engine.checkpoint(cut).unwrap().state;
    let refused = Engine::restore(live(), 1, &state, Vec::new()).unwrap_err().to_string();
    assert!(refused.contains("parity.redaction.key"), "{refused}");
    assert!(Engine::restore(Plan { policy: Policy::default(), ..live() }, 1, &state, Vec::new()).is_ok());
}

#[test]
fn a_part_is_signed_and_what_it_says_is_checked_all_the_same() {
    let key = HashKey::of(KEY);
    let good = Part::from_bytes(&body(&made_of(live(), &[spans(PROD, 0, 5)])[0]), &key).unwrap();
    let refused = |part: Part| Part::from_bytes(&part.to_bytes(&key).unwrap(), &key).err();
    assert_eq!((FORMAT, refused(good.clone())), (3, None));
    assert!(refused(Part { window_ns: 0, ..good.clone() }).is_some());
    assert!(refused(Part { index: u64::MAX, ..good.clone() }).is_some());
    assert!(
        refused(Part { index: good.index + 1, ..good.clone() }).is_some(),
        "its times are of another window"
    );
    let changed = |change: &dyn Fn(&mut isotel::window::open::Cell)| {
        let mut part = good.clone();
        part.window
            .cells
            .values_mut()
            .for_each(|cell| cell.young.iter_mut().for_each(|young| change(&mut young.requests)));
        refused(part)
    };
    assert_eq!(changed(&|_| {}), None);
    assert!(changed(&|cell| cell.errors = 6).is_some());
    assert!(changed(&|cell| cell.error_weight = u64::MAX).is_some());
    assert!(changed(&|cell| cell.seen.count = u64::MAX).is_some());
    assert!(changed(&|cell| cell.instances.clear()).is_some());
    let mut unknown = good;
    unknown.names = isotel::model::KnownNames::default();
    let engine = Engine::new(live(), 1);
    assert_eq!(
        observe(&engine.ingest(), Signal::Logs, &request(vec![unknown.to_bytes(&key).unwrap()])),
        BTreeMap::new()
    );
    assert_eq!((engine.ingest().tally().unnamed, engine.names().environments().len()), (5, 0));
}
