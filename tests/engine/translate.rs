//! Windows that are said again with the numbers of another table of names, in which others came first, are judged alike.

use crate::build::*;
use crate::determinism::{Sent, WINDOWS, eager, sent, warmup};
use isotel::engine::{Comparisons, Engine, Plan};
use isotel::judge::{Context, compare};
use isotel::model::{HashKey, Instrument, ItemKind, KnownNames, Limits, LimitsHit, Names, SpanKind};
use isotel::report::to_json;
use isotel::window::shard::{Keys, Rules, Tally};
use isotel::window::streams::StreamHistory;
use isotel::window::{Grid, Instances, SealedWindow, Shard, Shared, Translation};
use isotel::wire::Signal;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

fn judged(plan: &Plan, names: &KnownNames, windows: &[SealedWindow], tally: &Tally) -> String {
    let Comparisons::Named(comparisons) = &plan.comparisons else { panic!("named") };
    let report = compare(
        &Context {
            comparison: &comparisons[0],
            policy: &plan.policy,
            names,
            baseline: windows.iter().collect(),
            candidate: windows.iter().collect(),
            tally,
            now_ns: NOW,
            generated_at: GENERATED_AT.to_owned(),
            live: false,
            snapshot: None,
            shift_windows: 0,
            session_windows: 100,
            calibration: None,
        },
        None,
    );
    to_json(&report.report)
}

/// Environments that are known from the start, so that no table has met more of them than another.
const ENVIRONMENTS: [&str; 3] = ["prod", "canary", "staging"];

/// An engine that has taken in all of these.
fn engine_of(plan: Plan, sent: &[Sent], shards: usize) -> Engine {
    let mut engine = Engine::new(plan, shards);
    let ingest = engine.ingest();
    for name in ENVIRONMENTS {
        ingest.environment(name);
    }
    sent.iter().for_each(|sent| drop(observe(&ingest, sent.signal, &sent.request)));
    engine.finish(NOW, GENERATED_AT);
    engine
}

/// A table in which others came first, and then these, last first.
fn table(plan: &Plan, before: &[Sent]) -> Mutex<Names> {
    let before: Vec<Sent> = before.iter().rev().cloned().collect();
    let mut names = Names::new(plan.limits.clone());
    for name in ENVIRONMENTS.iter().rev() {
        names.environment(name);
    }
    for name in ["other", "checkout", "another"] {
        let service = names.service("", name).unwrap();
        let series = names.series(service, "GET /other", SpanKind::Client);
        names.dependency(series, "http", name, true);
        names.item(service, ItemKind::SpanAttribute, name, "");
        names.value(service, (name, ""), "", Instrument::Counter);
    }
    let names = Mutex::new(names);
    let engine = engine_of(plan.clone(), &before, 1);
    let (known, windows) = (engine.names(), engine.windows().cloned());
    let mut translation = Translation::new(&known, &names);
    windows.for_each(|window| drop(translation.sealed(window)));
    names
}

/// Open windows of one shard with the names behind their numbers.
fn open_windows(plan: &Plan, sent: &[Sent]) -> (Vec<(u64, isotel::window::open::OpenWindow)>, KnownNames) {
    let keys = Keys { names: 7, values: HashKey::of("of this test, and of this test alone") };
    let rules = Rules {
        environments: plan.environments.clone(),
        facts: plan.policy.facts.keys(),
        values: plan.policy.value_rules(),
        redaction: plan.policy.redaction.clone(),
    };
    let (names, instances) = (Names::new(plan.limits.clone()), Instances::new(plan.warmup_ns, 0, 1_000));
    let shared = Arc::new(Shared::new(rules, names, instances, Grid::new(plan.window_ns), keys));
    let mut shard = Shard::new(shared.clone());
    for name in ENVIRONMENTS {
        shared.names().environment(name);
    }
    for sent in sent {
        shard.observe(NOW, None, sent.signal, &sent.request).unwrap();
    }
    (shard.take_open(), shared.known_names())
}

/// Open windows as an engine seals recorded input.
fn sealed(plan: &Plan, open: BTreeMap<u64, isotel::window::open::OpenWindow>) -> Vec<SealedWindow> {
    let grid = Grid::new(plan.window_ns);
    let (mut history, mut hits) = (StreamHistory::new(1_000), LimitsHit::default());
    let mut instances = Instances::new(plan.warmup_ns, 0, 1_000);
    let from = open.keys().next().map_or(0, |first| grid.start_ns(*first));
    let mut windows: Vec<SealedWindow> = Vec::new();
    for (index, window) in open {
        instances.meet(&window, &mut hits);
        let known = (grid, &plan.limits);
        windows.push(SealedWindow::seal(index, known, window, &mut history, &instances, from, &mut hits));
    }
    history.finish(&mut windows);
    windows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn sealed_windows_are_judged_alike_by_the_names_of_another_engine(
        sent in vec(sent(), 1..40), warmup_ns in warmup(),
    ) {
        let plan = eager(warmup_ns);
        let engine = engine_of(plan.clone(), &sent, 2);
        let (names, tally) = (engine.names(), engine.ingest().tally());
        let windows: Vec<SealedWindow> = engine.windows().cloned().collect();
        let expected = judged(&plan, &names, &windows, &tally);
        for before in [&[][..], &sent] {
            let table = table(&plan, before);
            let mut translation = Translation::new(&names, &table);
            let there: Vec<_> = windows.iter().map(|window| translation.sealed(window.clone())).collect();
            let tally = translation.tally(tally.clone());
            let known = KnownNames::clone(&table.lock().unwrap());
            prop_assert_eq!(&judged(&plan, &known, &there, &tally), &expected);
        }
    }

    #[test]
    fn open_windows_come_to_the_same_by_the_names_of_another_engine(
        sent in vec(sent(), 1..40), warmup_ns in warmup(),
    ) {
        let plan = eager(warmup_ns);
        let (windows, names) = open_windows(&plan, &sent);
        let tally = Tally::default();
        let expected = judged(&plan, &names, &sealed(&plan, windows.iter().cloned().collect()), &tally);
        for before in [&[][..], &sent] {
            let (table, mut hits) = (table(&plan, before), LimitsHit::default());
            let mut translation = Translation::new(&names, &table);
            let there = windows.iter().map(|(index, window)| {
                (*index, translation.open(window.clone(), &mut hits))
            });
            let there = sealed(&plan, there.collect());
            let known = KnownNames::clone(&table.lock().unwrap());
            prop_assert_eq!(&judged(&plan, &known, &there, &tally), &expected);
        }
    }
}

#[test]
fn what_finds_no_place_is_counted_and_operations_that_become_one_are_merged() {
    let spans = |route: &str| {
        let request = traces(PROD, (0..7).map(|n| span_of(route, T0 + n)).collect());
        Sent { window: 0, signal: Signal::Traces, request }
    };
    let sent = [
        spans("/a"),
        spans("/b"),
        spans("/c"),
        Sent { request: traces(CANARY, vec![span(T0, MS)]), ..spans("") },
    ];
    assert!(sent.iter().all(|sent| sent.window < WINDOWS));
    let engine = engine_of(plan(), &sent, 1);
    let limits = Limits { operations_per_service: 1, environments: 1, ..Limits::default() };
    let (windows, names) = open_windows(&plan(), &sent);
    let small = || Mutex::new(Names::new(limits.clone()));
    let counted = |window: &SealedWindow| {
        let mut n: Vec<u64> = window.cells.iter().map(|(_, cell)| cell.all_counts().n).collect();
        n.sort_unstable();
        n
    };

    let (table, known) = (small(), engine.names());
    // The environment that comes first has the place.
    table.lock().unwrap().environment("prod");
    let mut translation = Translation::new(&known, &table);
    let window = translation.sealed(engine.windows().next().unwrap().clone());
    assert_eq!((counted(&window), translation.left_out()), (vec![7, 14], 1));

    let (table, mut hits) = (small(), LimitsHit::default());
    table.lock().unwrap().environment("prod");
    let mut translation = Translation::new(&names, &table);
    let open = translation.open(windows[0].1.clone(), &mut hits);
    let left_out = translation.left_out();
    let window = sealed(&plan(), [(windows[0].0, open)].into()).remove(0);
    assert_eq!((counted(&window), left_out), (vec![7, 14], 1));
}

#[test]
fn numbers_that_stand_for_nothing_are_left_out() {
    let (windows, _) = open_windows(
        &plan(),
        &[Sent { window: 0, signal: Signal::Traces, request: traces(PROD, vec![span(T0, MS)]) }],
    );
    let (nothing, table, mut hits) =
        (KnownNames::default(), Mutex::new(Names::new(Limits::default())), LimitsHit::default());
    let mut translation = Translation::new(&nothing, &table);
    let open = translation.open(windows[0].1.clone(), &mut hits);
    assert_eq!(
        (translation.left_out(), open.cells.len(), open.presence.len(), open.traces.len()),
        (1, 0, 0, 0)
    );
    assert_eq!(table.lock().unwrap().environments().len(), 0);
}
