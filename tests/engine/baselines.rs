//! A snapshot as the baseline of a comparison in an engine that has names, keys and windows of its own.

use crate::build::*;
use crate::{mutations, shop};
use isotel::engine::snapshot::{Snapshot, SnapshotError};
use isotel::engine::{Comparisons, Engine, Event, Plan};
use isotel::judge::facts::policy::{FactPolicy, KeyRule};
use isotel::judge::policy::{Comparison, Policy, ValueRule};
use isotel::judge::release::{Begin, Decision};
use isotel::judge::verdict::{FactRule, Level};
use isotel::judge::{Report, Verdict};
use isotel::model::{HashKey, Limits, Redaction};
use isotel::report::to_json;
use isotel::wire::Signal;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;

const GOLDEN: &str = "snapshot golden.isotel";

/// What an engine gives out of an environment, as somebody else reads it.
fn given_out(engine: &mut Engine, environment: &str) -> Snapshot {
    let bytes = engine.snapshot(environment, "release 1.0", NOW).expect("a snapshot");
    Snapshot::from_bytes(&bytes).expect("as it was written")
}

/// A report as JSON, but for what says that its baseline is a snapshot.
fn told(report: &Report) -> String {
    let mut report = report.clone();
    report.baseline.description = None;
    to_json(&report)
}

#[test]
fn every_planted_difference_is_told_of_a_snapshot_as_it_is_of_its_environment() {
    let changes: Vec<shop::Change> = mutations::changes().into_iter().step_by(4).collect();
    let mut one = Engine::new(shop::plan_of(&changes), 1);
    shop::take_production(&one);
    let production = {
        let mut alone = Engine::new(shop::plan_of(&changes), 2);
        shop::take_production(&alone);
        alone.finish(NOW, GENERATED_AT);
        alone.snapshot("production", "", NOW).expect("a snapshot")
    };
    shop::take_canaries(&one, &changes);
    let expected = shop::reports(&mut one, &changes);
    let read = || Snapshot::from_bytes(&production).expect("a snapshot");
    // An engine with the keys of the snapshot, in which other names came first.
    let mut limits = shop::plan_of(&changes);
    limits.limits.environments += 2;
    let mut other = read().engine(limits, 1, "elsewhere").expect("the same windows");
    observe(&other.ingest(), Signal::Traces, &traces(CANARY, vec![span_of("/first", T0)]));
    other.set_baselines(&[("production".to_owned(), read())]).expect("the same windows");
    shop::take_canaries(&other, &changes);
    let found = shop::reports(&mut other, &changes);
    let comparable = |report: &Report| {
        let mut report = report.clone();
        // What each has taken in is its own.
        report.input = expected[0].input.clone();
        told(&report)
    };
    assert!(expected.iter().filter(|report| !report.findings.is_empty()).count() > 15);
    for (expected, found) in expected.iter().zip(&found) {
        assert_eq!(comparable(found), comparable(expected));
        let description = found.baseline.description.as_deref();
        assert_eq!(description, Some("production, saved 2023-11-14T22:33:00Z"));
    }
}

/// Deployments that take longer by 4 % each; a window has a few hundred requests of three pods.
fn release(engine: &Engine, environment: &str, number: i32, window: u64) {
    for pod in ["a", "b", "c"] {
        let sender = Sender { environment, service: "cart", instance: pod };
        let mut resource = sender.resource();
        resource.attributes.push(text("service.version", &format!("1.{number}")));
        let spans = (0..100u64).map(|n| {
            // The same spread of durations in every window, and no two windows alike.
            let spread = 1.0 + ((n * 37 + window * 11) % 100) as f64 / 100.0;
            let duration_ns = 20.0 * MS as f64 * spread * 1.04_f64.powi(number);
            span(T0 + window * MINUTE + n * MINUTE / 100, duration_ns as u64)
        });
        let request = traces_of(resource, spans.collect());
        engine
            .ingest()
            .observe(T0 + (window + 1) * MINUTE, None, Signal::Traces, &request)
            .expect("a request");
    }
}

fn compared(name: &str, baseline: &str) -> Comparison {
    Comparison {
        name: name.to_owned(),
        baseline: baseline.to_owned(),
        candidate: "canary".to_owned(),
        ..Comparison::default()
    }
}

fn live() -> Plan {
    let named = vec![compared("last", "stable"), compared("golden", GOLDEN)];
    Plan { comparisons: Comparisons::Named(named), period_windows: 12, observed_from_ns: T0, ..plan() }
}

fn verdict(engine: &Engine, name: &str) -> Verdict {
    engine.reports().find(|report| report.comparison == name).expect("judged").verdict
}

/// The windows of a release, one after another.
fn deploy(engine: &mut Engine, number: i32, windows: std::ops::Range<u64>) -> Vec<Event> {
    let mut events = Vec::new();
    for window in windows {
        release(engine, "stable", number - 1, window);
        release(engine, "canary", number, window);
        events.extend(engine.advance(T0 + (window + 1) * MINUTE + 30_000 * MS, GENERATED_AT));
    }
    events
}

/// What the first release did, as another agent saw it.
fn golden() -> Snapshot {
    let mut engine = Engine::new(live(), 2);
    (0..12).for_each(|window| release(&engine, "prod", 0, window));
    engine.finish(T0 + 13 * MINUTE, GENERATED_AT);
    given_out(&mut engine, "prod")
}

#[test]
fn twelve_releases_each_pass_against_the_one_before_and_the_snapshot_says_how_far_they_went() {
    let mut engine = Engine::new(live(), 2);
    engine.set_baselines(&[(GOLDEN.to_owned(), golden())]).expect("the same windows");
    let mut against_golden = Vec::new();
    for number in 1..=12 {
        let first = 1_000 * number as u64;
        deploy(&mut engine, number, first..first + 15);
        assert_eq!(verdict(&engine, "last"), Verdict::Parity, "release {number}");
        against_golden.push(verdict(&engine, "golden"));
    }
    assert_eq!(against_golden[..2], [Verdict::Parity; 2], "8 % is within the tolerance of 15 %");
    assert_eq!(against_golden[5..], [Verdict::Divergent; 7], "26 % and more is not, whatever was before");
}

#[test]
fn the_windows_of_a_snapshot_are_those_of_no_environment_and_outlive_what_arrives() {
    let mut engine =
        Engine::new(Plan { limits: Limits { environments: 2, ..Limits::default() }, ..live() }, 2);
    engine.set_baselines(&[(GOLDEN.to_owned(), golden())]).expect("the same windows");
    assert!(engine.names().environments().is_empty() && engine.windows().next().is_none());
    // A year later, and far more windows than the period has.
    let events = deploy(&mut engine, 8, 525_600..525_630);
    assert_eq!(engine.names().environments().len(), 2, "it takes no place");
    assert_eq!(verdict(&engine, "golden"), Verdict::Divergent);
    let mut endpoints = 0;
    for event in &events {
        let Event::Sealed(windows) = event else { continue };
        for window in windows {
            engine.endpoints(*window, &mut |endpoint| {
                endpoints += 1;
                assert!(["stable", "canary"].contains(&endpoint.environment), "{}", endpoint.environment);
            });
        }
    }
    assert!(endpoints > 0 && engine.windows().all(|window| window.index > 525_000));
    // A checkpoint has none of it; what it was compared with is there again when it is read again.
    let cut = engine.cut();
    let kept = engine.checkpoint(cut).expect("bytes");
    let windows: Vec<Vec<u8>> = kept.windows.iter().map(|at| engine.sealed_bytes(*at).unwrap()).collect();
    assert!(windows.len() <= 13, "{}", windows.len());
    let mut again = Engine::restore(live(), 1, &kept.state, windows).expect("an engine");
    again.set_baselines(&[(GOLDEN.to_owned(), golden())]).expect("the same windows");
    for engine in [&mut engine, &mut again] {
        deploy(engine, 8, 525_630..525_633);
    }
    let report = |engine: &Engine| to_json(engine.reports().find(|one| one.comparison == "golden").unwrap());
    assert_eq!(report(&again), report(&engine), "its looks go on where they were");
}

#[test]
fn another_snapshot_begins_looks_anew_and_one_with_other_windows_changes_nothing() {
    let mut engine = Engine::new(live(), 1);
    engine.set_baselines(&[(GOLDEN.to_owned(), golden())]).expect("the same windows");
    deploy(&mut engine, 8, 100..115);
    assert_eq!(verdict(&engine, "golden"), Verdict::Divergent);
    let other = Plan { window_ns: MINUTE / 2, ..live() };
    let mut of_other = Engine::new(other, 1);
    release(&of_other, "prod", 0, 0);
    of_other.finish(NOW, GENERATED_AT);
    let refused = engine.set_baselines(&[(GOLDEN.to_owned(), given_out(&mut of_other, "prod"))]);
    assert!(matches!(refused, Err(SnapshotError::OtherWindow { .. })), "{refused:?}");
    deploy(&mut engine, 8, 115..117);
    assert_eq!(verdict(&engine, "golden"), Verdict::Divergent);
    // What the candidate does now is pinned as what is wanted.
    let pinned = given_out(&mut engine, "canary");
    engine.set_baselines(&[(GOLDEN.to_owned(), pinned)]).expect("the same windows");
    deploy(&mut engine, 8, 117..140);
    assert_eq!(verdict(&engine, "golden"), Verdict::Parity);
}

#[test]
fn a_comparison_that_is_another_one_under_the_same_name_begins_its_looks_anew() {
    let mut engine = Engine::new(live(), 1);
    engine.set_baselines(&[(GOLDEN.to_owned(), golden())]).expect("the same windows");
    deploy(&mut engine, 8, 100..115);
    assert_eq!(verdict(&engine, "golden"), Verdict::Divergent);
    engine.replan(live());
    deploy(&mut engine, 8, 115..116);
    assert_eq!(verdict(&engine, "golden"), Verdict::Divergent, "the same one goes on");
    let named = vec![compared("golden", "stable")];
    engine.replan(Plan { comparisons: Comparisons::Named(named), ..live() });
    deploy(&mut engine, 8, 116..122);
    assert_eq!(verdict(&engine, "golden"), Verdict::Parity);
}

#[test]
fn a_release_is_decided_against_a_snapshot() {
    let mut engine = Engine::new(live(), 1);
    engine.set_baselines(&[(GOLDEN.to_owned(), golden())]).expect("the same windows");
    deploy(&mut engine, 9, 100..102);
    let begin =
        Begin { release: Some("1.9".to_owned()), comparison: Some("golden".to_owned()), ..Begin::default() };
    let now_ns = T0 + 102 * MINUTE;
    let health = engine.baseline_health(&begin, now_ns, GENERATED_AT).expect("a baseline");
    assert!(health.present && health.environment == GOLDEN, "{health:?}");
    engine.begin(&begin, now_ns, GENERATED_AT).expect("begun");
    deploy(&mut engine, 9, 102..112);
    let release = engine.releases().next().expect("one");
    assert_eq!((release.decision(), &release.missing), (Decision::Fail, &None), "{}", release.reason());
}

/// An engine's snapshot of what says these things, and another engine's report against it.
fn hidden(keys: [Option<&str>; 2], owners: [&str; 2]) -> Report {
    let plan = |key: Option<&str>| {
        let rule = KeyRule {
            key: "app.owner".to_owned(),
            service: None,
            rule: FactRule::MustEqual,
            severity: Level::Critical,
            required: false,
        };
        let value = ValueRule {
            metric: None,
            service: None,
            tolerance: 0.1,
            floor: 0.0,
            per_request: false,
            statistic: None,
            by: Vec::new(),
            severity: Level::Critical,
            equal: Some("checksum".to_owned()),
        };
        let split = ValueRule {
            metric: Some("queue.depth".to_owned()),
            by: vec!["customer".to_owned()],
            severity: Level::Info,
            equal: None,
            ..value.clone()
        };
        let redaction = Redaction { key: key.map(HashKey::of), ..Redaction::default() };
        let facts = FactPolicy { rules: vec![rule] };
        let named = Comparisons::Named(vec![compared("golden", GOLDEN)]);
        Plan {
            policy: Policy { facts, values: vec![value, split], redaction, ..Policy::default() },
            comparisons: named,
            ..plan()
        }
    };
    let say = |engine: &Engine, sender: Sender<'_>, owner: &str| {
        let mut resource = sender.resource();
        resource.attributes.push(text("app.owner", owner));
        let mut one = span(T0, MS);
        one.attributes.push(text("checksum", "beef"));
        let mut depth = gauge("queue.depth", T0, 3.0);
        if let Some(Data::Gauge(gauge)) = &mut depth.data {
            gauge.data_points[0].attributes.push(text("customer", "jane@example.com"));
        }
        observe(&engine.ingest(), Signal::Traces, &traces_of(resource.clone(), vec![one]));
        observe(&engine.ingest(), Signal::Metrics, &metrics_of(resource, vec![depth]));
    };
    let mut first = Engine::new(plan(keys[0]), 1);
    say(&first, PROD, owners[0]);
    first.finish(NOW, GENERATED_AT);
    let mut second = Engine::new(plan(keys[1]), 1);
    second.set_baselines(&[(GOLDEN.to_owned(), given_out(&mut first, "prod"))]).expect("the same windows");
    say(&second, CANARY, owners[1]);
    finish(&mut second)
}

#[test]
fn what_is_hidden_by_other_keys_is_not_compared_and_that_is_told() {
    let same = ["jane@example.com"; 2];
    let (one, other) = (Some("the key of one agent"), Some("the key of another"));
    for keys in [[None, None], [one, other], [None, one]] {
        let report = hidden(keys, same);
        assert_ne!(report.verdict, Verdict::Divergent, "{}", report.summary);
        assert!(report.services[0].facts.iter().all(|fact| fact.key != "app.owner"));
        let told = report.findings.iter().find(|finding| finding.title == "hidden values not compared");
        let message = &told.expect("it is told").message;
        assert!(message.starts_with("3 value(s) of the snapshot are hashes of other keys"), "{message}");
    }
    // With one key they are compared, and what differs is found.
    for (owners, equal) in [(same, true), (["jane@example.com", "joe@example.com"], false)] {
        let report = hidden([one, one], owners);
        let fact = report.services[0].facts.iter().find(|fact| fact.key == "app.owner").expect("the fact");
        assert_eq!((fact.equal, fact.broken), (equal, !equal));
        let texts = report.services[0].values.iter().find(|value| value.statistic == "equal");
        assert_eq!(texts.expect("the checksum").verdict, Verdict::Parity);
        assert!(report.findings.iter().all(|finding| finding.title != "hidden values not compared"));
    }
}
