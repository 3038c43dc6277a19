//! The engine against lists of durations that anybody can count.

use crate::build::*;
use isotel::engine::Engine;
use isotel::model::{ItemKind, SpanKind};
use isotel::sketch::LatencySketch;
use isotel::wire::Signal;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeMap;

/// What one span is, in the terms that a naive count needs.
#[derive(Clone, Debug)]
struct Call {
    sender: Sender<'static>,
    route: &'static str,
    kind: i32,
    end_ns: u64,
    duration_ns: u64,
    status: i32,
    code: Option<i64>,
    /// Threshold in tracestate, and the requests that a span then stands for.
    sampled: (&'static str, u64),
    extra: Option<&'static str>,
}

impl Call {
    fn span(&self) -> Span {
        let mut span = span_of(self.route, self.end_ns);
        span.start_time_unix_nano = self.end_ns - self.duration_ns;
        span.kind = self.kind;
        span.trace_state = self.sampled.0.to_owned();
        span.status = Some(Status { code: self.status, ..Status::default() });
        let code = self.code.map(|code| attribute("http.response.status_code", Value::IntValue(code)));
        span.attributes.extend(code);
        span.attributes.extend(self.extra.map(|key| text(key, "x")));
        span
    }

    fn span_kind(&self) -> SpanKind {
        match self.kind {
            2 => SpanKind::Server,
            3 => SpanKind::Client,
            4 => SpanKind::Producer,
            5 => SpanKind::Consumer,
            _ => SpanKind::Internal,
        }
    }

    /// Semantic conventions: an unset or unknown status leaves it to the code, which a client counts from 400 and others from 500.
    fn failed(&self) -> bool {
        let from = if self.kind == 3 { 400 } else { 500 };
        self.status == 2 || (self.status != 1 && self.code.is_some_and(|code| code >= from))
    }
}

fn call() -> impl Strategy<Value = Call> {
    let sender =
        (select(vec!["prod", "canary", "dev"]), select(vec!["cart", "pay"]), select(vec!["", "a", "b"]))
            .prop_map(|(environment, service, instance)| Sender { environment, service, instance });
    let place = (select(vec!["/a", "/b"]), 0..7i32);
    let duration = prop_oneof![0..20u64, 0..10_000 * MS, 0..(u64::from(u32::MAX) << 20)];
    let outcome = (0..4i32, proptest::option::of(select(vec![200, 302, 399, 400, 404, 499, 500, 503])));
    let sampled =
        select(vec![("", 1), ("ot=th:0", 1), ("ot=th:8", 2), ("x=y,ot=rv:1;th:c", 4), ("ot=th:zz", 1)]);
    let extra = proptest::option::of(select(vec!["tenant", "region"]));
    let end = prop_oneof![
        0..5 * MINUTE,
        (0..5u64).prop_map(|k| k * MINUTE),
        (1..5u64).prop_map(|k| k * MINUTE - 1)
    ];
    (sender, place, end, duration, outcome, sampled, extra).prop_map(
        |(sender, (route, kind), end, duration_ns, (status, code), sampled, extra)| Call {
            sender,
            route,
            kind,
            end_ns: T0 + end,
            duration_ns,
            status,
            code,
            sampled,
            extra,
        },
    )
}

/// Everything about one cell that can be counted.
#[derive(Debug, Default, PartialEq)]
struct Counted {
    /// Sorted, each as often as the requests that it stands for.
    durations: Vec<u64>,
    n: u64,
    sum_ns: u128,
    errors: u64,
    error_weight: u64,
    sampled: u64,
    /// Requests and failures of each instance, sorted.
    instances: Vec<(u64, u64)>,
    first_ns: u64,
    last_ns: u64,
}

type Key = (i64, String, String, String, SpanKind);

fn count_naively(calls: &[Call]) -> BTreeMap<Key, Counted> {
    let mut all: BTreeMap<Key, Vec<&Call>> = BTreeMap::new();
    for call in calls {
        let window = ((call.end_ns - T0) / MINUTE) as i64;
        let operation = format!("GET {}", call.route);
        let Sender { environment, service, .. } = call.sender;
        let key = (window, environment.to_owned(), service.to_owned(), operation, call.span_kind());
        all.entry(key).or_default().push(call);
    }
    all.into_iter().map(|(key, calls)| (key, count_cell(&calls))).collect()
}

fn count_cell(calls: &[&Call]) -> Counted {
    let mut counted = Counted { first_ns: u64::MAX, ..Counted::default() };
    let mut instances: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for call in calls {
        let weight = call.sampled.1;
        // Sketches tell durations apart up to 48 bits of nanoseconds, 78 hours.
        let duration = call.duration_ns.min((1 << 48) - 1);
        counted.durations.extend((0..weight).map(|_| duration));
        counted.n += 1;
        counted.sum_ns += u128::from(duration) * u128::from(weight);
        counted.errors += u64::from(call.failed());
        counted.error_weight += if call.failed() { weight } else { 0 };
        counted.sampled += u64::from(weight > 1);
        counted.first_ns = counted.first_ns.min(call.end_ns);
        counted.last_ns = counted.last_ns.max(call.end_ns);
        let instance = instances.entry(call.sender.instance).or_default();
        *instance = (instance.0 + 1, instance.1 + u64::from(call.failed()));
    }
    counted.durations.sort_unstable();
    counted.instances = instances.into_values().collect();
    counted.instances.sort_unstable();
    counted
}

fn durations_of(latency: &LatencySketch) -> Vec<u64> {
    assert!(latency.is_exact());
    latency
        .bins_ns()
        .into_iter()
        .flat_map(|(low, high, weight)| {
            assert_eq!(low, high);
            (0..weight).map(move |_| low)
        })
        .collect()
}

fn count_by_engine(engine: &Engine) -> BTreeMap<Key, Counted> {
    let counted = cells(engine).into_iter().map(|(key, cell)| {
        let seen = cell.seen.expect("spans");
        let mut instances: Vec<_> =
            cell.instances.iter().map(|(_, counts)| (counts.n, counts.errors)).collect();
        instances.sort_unstable();
        assert_eq!(seen.count, cell.latency.n());
        let counted = Counted {
            durations: durations_of(&cell.latency),
            n: cell.latency.n(),
            sum_ns: cell.latency.sum_ns(),
            errors: cell.errors,
            error_weight: cell.error_weight,
            sampled: cell.sampled,
            instances,
            first_ns: seen.first_ns,
            last_ns: seen.last_ns,
        };
        (key, counted)
    });
    counted.collect()
}

/// Environment, service, sort and name of an item.
type ItemOf = (String, String, ItemKind, String);

/// How many spans of each service and environment show an item.
fn items_naively(calls: &[Call]) -> BTreeMap<ItemOf, u64> {
    let mut counts = BTreeMap::new();
    for call in calls {
        let Sender { environment, service, .. } = call.sender;
        let keys = |kind, attributes: Vec<KeyValue>| attributes.into_iter().map(move |a| (kind, a.key));
        let items = keys(ItemKind::SpanAttribute, call.span().attributes)
            .chain(keys(ItemKind::ResourceAttribute, call.sender.resource().attributes))
            .chain([(ItemKind::Resource, String::new()), (ItemKind::Scope, String::new())]);
        for (kind, name) in items {
            *counts.entry((environment.to_owned(), service.to_owned(), kind, name)).or_default() += 1;
        }
    }
    counts
}

fn items_by_engine(engine: &Engine) -> BTreeMap<ItemOf, u64> {
    let names = engine.names();
    let mut counts = BTreeMap::new();
    for ((environment, item), seen) in engine.windows().flat_map(|window| &window.presence) {
        let item = names.item_key(*item);
        if item.kind == ItemKind::ErrorType {
            continue;
        }
        let environment = names.environments()[usize::from(environment.0)].to_string();
        let item = (environment, item.service.to_string(), item.kind, item.name.to_string());
        *counts.entry(item).or_default() += seen.count;
    }
    counts
}

proptest! {
    #[test]
    fn windows_hold_what_a_naive_count_holds(calls in vec(call(), 0..150), shards in 1usize..4) {
        let mut engine = Engine::new(plan(), shards);
        let ingest = engine.ingest();
        for call in &calls {
            prop_assert!(observe(&ingest, Signal::Traces, &traces(call.sender, vec![call.span()])).is_empty());
        }
        engine.finish(NOW, GENERATED_AT);
        prop_assert_eq!(count_by_engine(&engine), count_naively(&calls));
        prop_assert_eq!(items_by_engine(&engine), items_naively(&calls));
        prop_assert_eq!(ingest.tally().spans, calls.len() as u64);
    }

    #[test]
    fn a_full_sketch_keeps_counts_exact_and_quantiles_within_a_hundredth(
        durations in vec(1_000u64..3_600_000 * MS, 1_100..2_000), shards in 1usize..4,
    ) {
        let mut engine = Engine::new(plan(), shards);
        let ingest = engine.ingest();
        for part in durations.chunks(100) {
            let spans = part.iter().map(|duration| span(T0 + 1, *duration)).collect();
            observe(&ingest, Signal::Traces, &traces(PROD, spans));
        }
        engine.finish(NOW, GENERATED_AT);
        let mut sorted = durations.clone();
        sorted.sort_unstable();
        let cells = cells(&engine);
        prop_assert_eq!(cells.len(), 1);
        let latency = &cells.values().next().expect("one").latency;
        prop_assert_eq!(latency.n(), sorted.len() as u64);
        prop_assert_eq!(latency.sum_ns(), sorted.iter().map(|d| u128::from(*d)).sum::<u128>());
        prop_assert_eq!(latency.range_ns(), Some((sorted[0], sorted[sorted.len() - 1])));
        let (mut rank, mut bins) = (0, latency.bins_ns());
        bins.retain(|bin| bin.2 > 0);
        for (low, high, count) in bins {
            let inside = &sorted[rank..rank + count as usize];
            prop_assert!(inside.iter().all(|d| low <= *d && *d <= high), "({low}, {high}] holds {inside:?}");
            prop_assert!((high - low) as f64 <= (high as f64 * 0.01).max(1_024.0), "({low}, {high}]");
            rank += count as usize;
        }
        prop_assert_eq!(rank, sorted.len());
    }
}
