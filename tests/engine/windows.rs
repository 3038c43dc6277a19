//! Windows hold exactly what a list of all spans says, and only while they are open.

use crate::build::{NOW, SECOND, START, counted, observe, plan, resource, span, traces};
use isotel::engine::{Engine, Event};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn counts_sums_errors_and_quantiles_are_those_of_a_plain_list(
        spans in vec((0..3_u8, any::<bool>(), 0..60_000_u64, 0..5_000_000_u64, any::<bool>()), 1..900),
    ) {
        let mut engine = Engine::new(plan(), 3);
        let mut lists = BTreeMap::<(String, String, u64), Vec<(u64, bool)>>::new();
        for (route, canary, at_ms, duration_us, failed) in spans {
            let environment = if canary { "canary" } else { "prod" };
            let end_ns = START + at_ms * 1_000_000;
            let route = format!("/{route}");
            let span = span(&route, end_ns, duration_us * 1_000, failed);
            observe(&engine, &traces(resource(environment, "shop", "pod"), vec![span])).unwrap();
            let key = (environment.to_owned(), format!("GET {route}"), end_ns / (10 * SECOND));
            lists.entry(key).or_default().push((duration_us * 1_000, failed));
        }
        engine.finish(NOW, "");
        let catalog = engine.catalog();
        let mut found = 0;
        for window in engine.windows() {
            for ((env, series), cell) in &window.cells {
                let environment = catalog.environments()[usize::from(env.0)].to_string();
                let operation = catalog.series_key(*series).operation.to_string();
                let mut list = lists[&(environment, operation, window.start_ns / (10 * SECOND))].clone();
                list.sort_unstable();
                found += 1;
                prop_assert_eq!(cell.latency.n(), list.len() as u64);
                prop_assert_eq!(cell.latency.sum_ns(), list.iter().map(|(ns, _)| u128::from(*ns)).sum::<u128>());
                prop_assert_eq!(cell.latency.range_ns(), Some((list[0].0, list[list.len() - 1].0)));
                prop_assert_eq!(cell.errors, list.iter().filter(|(_, failed)| *failed).count() as u64);
                for threshold in [list[0].0, list[list.len() / 2].0, list[list.len() - 1].0] {
                    let exact = list.iter().filter(|(ns, _)| *ns <= threshold).count() as u64;
                    prop_assert_eq!(cell.latency.at_or_under(threshold), exact);
                }
            }
        }
        prop_assert_eq!(found, lists.len());
    }
}

#[test]
fn a_window_is_sealed_when_every_active_environment_has_passed_it_and_what_comes_later_is_late() {
    let mut engine = Engine::new(plan(), 2);
    let ingest = engine.ingest();
    let send = |environment: &str, at_s: u64, now_s: u64| {
        let span = span("/", START + at_s * SECOND, 1_000, false);
        let (signal, bytes) = traces(resource(environment, "shop", "pod"), vec![span]);
        ingest.observe(START + now_s * SECOND, None, signal, &bytes).unwrap();
    };
    let sealed = |engine: &mut Engine, now_s: u64| {
        let events = engine.advance(START + now_s * SECOND, "");
        events.iter().any(|event| matches!(event, Event::Sealed(_)))
    };
    send("prod", 3, 3);
    send("canary", 4, 4);
    send("prod", 16, 16);
    assert!(!sealed(&mut engine, 16), "the canary may still send");
    send("canary", 15, 17);
    assert!(sealed(&mut engine, 17), "both have passed 10 s by the lateness");
    send("prod", 5, 18);
    assert_eq!(ingest.tally().late.values().sum::<u64>(), 1);
    // The canary falls silent; after the idle time it holds nobody back.
    send("prod", 50, 50);
    assert!(sealed(&mut engine, 50), "the canary has been idle for 33 s");
    engine.finish(NOW, "");
    assert_eq!(counted(&engine).values().map(|(n, _)| n).sum::<u64>(), 5, "late spans are in no window");
}

#[test]
fn one_clock_that_is_ahead_makes_nobody_else_late() {
    let mut engine = Engine::new(plan(), 1);
    let ingest = engine.ingest();
    for second in 0..60 {
        for (environment, ahead) in [("prod", 0), ("prod", 200), ("canary", 0)] {
            let span = span("/", START + (second + ahead) * SECOND, 1_000, false);
            let (signal, bytes) = traces(resource(environment, "shop", "pod"), vec![span]);
            ingest.observe(START + second * SECOND, None, signal, &bytes).unwrap();
        }
        engine.advance(START + second * SECOND, "");
    }
    assert_eq!(ingest.tally().late.values().sum::<u64>(), 0);
}
