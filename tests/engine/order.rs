//! Arrival order, sharding and repetition change nothing.

use crate::build::{NOW, Request, SECOND, START, finish, int, logs, metrics, plan, resource, span, traces};
use isotel::engine::Engine;
use isotel::report::to_json;
use opentelemetry_proto::tonic::metrics::v1::{
    Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum, metric::Data, number_data_point::Value,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// One pod's batch, as a few numbers that proptest can shrink.
#[derive(Clone, Debug)]
struct Batch {
    canary: bool,
    pod: u8,
    route: u8,
    second: u64,
    durations_us: Vec<u32>,
    signal: u8,
}

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    let batch = (any::<bool>(), 0..4_u8, 0..3_u8, 0..120_u64, vec(1..3_000_000_u32, 1..60), 0..4_u8)
        .prop_map(|(canary, pod, route, second, durations_us, signal)| Batch {
            canary,
            pod,
            route,
            second,
            durations_us,
            signal,
        });
    vec(batch, 1..60)
}

/// Requests of some batches. A pod's cumulative histogram grows with the event times of its batches.
fn requests(batches: &[Batch]) -> Vec<Request> {
    let mut requests = Vec::new();
    for (at, batch) in batches.iter().enumerate() {
        let environment = if batch.canary { "canary" } else { "prod" };
        let of = resource(environment, "shop", &format!("{environment}-{}", batch.pod));
        // Points of one stream at one time would contradict each other.
        let time = START + batch.second * SECOND + at as u64;
        requests.push(match batch.signal {
            0 | 1 => {
                let spans = batch.durations_us.iter().enumerate().map(|(n, duration)| {
                    let mut span = span(
                        &format!("/{}", batch.route),
                        time + n as u64 * 1_000_003,
                        u64::from(*duration) * 1_000,
                        *duration % 17 == 0,
                    );
                    if n % 3 == 0 {
                        span.attributes.push(int("retry", n as i64));
                    }
                    span
                });
                traces(of, spans.collect())
            }
            2 => metrics(of, vec![histogram(batch, time), counter(time)]),
            _ => logs(of, &[time, time + 1]),
        });
    }
    requests
}

fn histogram(batch: &Batch, time: u64) -> Metric {
    // Only what has gone on since the start can have been counted.
    let n = batch.second + 1;
    let point = HistogramDataPoint {
        attributes: span("/metered", time, 1, false).attributes,
        start_time_unix_nano: START - SECOND,
        time_unix_nano: time,
        count: 3 * n,
        sum: Some(0.1 * n as f64),
        bucket_counts: vec![n, n, n],
        explicit_bounds: vec![0.01, 0.1],
        ..HistogramDataPoint::default()
    };
    let data = Histogram { data_points: vec![point], aggregation_temporality: 2 };
    Metric {
        name: "http.server.request.duration".to_owned(),
        unit: "s".to_owned(),
        data: Some(Data::Histogram(data)),
        ..Metric::default()
    }
}

fn counter(time: u64) -> Metric {
    let point =
        NumberDataPoint { time_unix_nano: time, value: Some(Value::AsInt(1)), ..NumberDataPoint::default() };
    let data = Sum { data_points: vec![point], aggregation_temporality: 2, is_monotonic: true };
    Metric { name: "orders".to_owned(), data: Some(Data::Sum(data)), ..Metric::default() }
}

fn verdict(requests: &[Request], order: &[usize], shards: usize) -> String {
    let mut engine = Engine::new(plan(), shards);
    let ingest = engine.ingest();
    for at in order {
        let (signal, bytes) = &requests[*at];
        assert_eq!(ingest.observe(NOW, None, *signal, bytes).unwrap().total(), 0);
    }
    to_json(&finish(&mut engine))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_same_input_gives_the_same_bytes_in_any_order_and_number_of_shards(
        batches in batches(),
        seed in any::<u64>(),
    ) {
        let requests = requests(&batches);
        let straight: Vec<usize> = (0..requests.len()).collect();
        let mut shuffled = straight.clone();
        // Fisher and Yates, with a linear congruential generator.
        let mut state = seed;
        for at in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.swap(at, (state >> 33) as usize % (at + 1));
        }
        let first = verdict(&requests, &straight, 1);
        for shards in [1, 2, 7] {
            prop_assert_eq!(&verdict(&requests, &shuffled, shards), &first, "{} shards", shards);
        }
        prop_assert_eq!(&verdict(&requests, &straight, 1), &first, "a second run");
    }
}
