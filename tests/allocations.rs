//! The hot plane allocates nothing per span: once its names are known and its sketches exist, a request of traces costs no
//! allocation at all.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

#[path = "../benches/common/mod.rs"]
mod common;

use common::Traffic;
use isotel::wire::Signal;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;

/// Rounds until nothing is new: the busy series leave their exact buffers.
const WARM_ROUNDS: usize = 40;

/// Allocations of one more round of all requests.
fn in_steady_state(signal: Signal, requests: &[Vec<u8>]) -> u64 {
    let engine = common::engine(1);
    (0..WARM_ROUNDS).for_each(|_| common::observe(&engine, signal, requests));
    allocation_counter::measure(|| common::observe(&engine, signal, requests)).count_total
}

#[test]
fn spans_of_known_series_allocate_nothing() {
    let mut traffic = Traffic::new(50, 2);
    let requests: Vec<Vec<u8>> = (0..64).map(|_| traffic.batch(100).encode_to_vec()).collect();
    assert_eq!(in_steady_state(Signal::Traces, &requests), 0);
}

/// What makes one request of so many points.
type Points = fn(&mut Traffic, usize) -> ExportMetricsServiceRequest;

#[test]
fn a_point_of_a_known_stream_allocates_its_buckets_and_nothing_else() {
    let sorts: [(&str, Points, u64); 4] = [
        ("explicit histograms: bounds and counts", Traffic::explicit, 2),
        ("exponential histograms: counts", Traffic::exponential, 1),
        ("counters", |traffic, n| traffic.numbers(n, true), 0),
        ("gauges", |traffic, n| traffic.numbers(n, false), 0),
    ];
    for (sort, points, each) in sorts {
        let mut traffic = Traffic::new(50, 2);
        let requests: Vec<Vec<u8>> = (0..16).map(|_| points(&mut traffic, 100).encode_to_vec()).collect();
        assert_eq!(in_steady_state(Signal::Metrics, &requests), 16 * 100 * each, "{sort}");
    }
}
