//! Next hops that do not keep up: what waits is bounded, senders are told so, and what was acknowledged arrives in the end.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use isotel::config::{ExporterConfig, HttpOrGrpc as Transport};
use prost::Message;
use tonic::{Code, Status};

use super::{
    downstream::{Downstream, Reply},
    harness::{Answer, Running, config, exporter, forwarding, grpc, metric, post, spans, start, until},
};

const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const PROTOBUF: &str = "application/x-protobuf";
const WAITING: usize = 4;
const SENDERS: usize = 2;
const TRIES: usize = 20;
/// More than is read of an answer, 4 MiB.
static FLOOD: [u8; 5 << 20] = [b'x'; 5 << 20];

/// How a next hop does not keep up.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stall {
    /// Nobody listens.
    Dead,
    /// It takes requests and never answers.
    Hangs,
    /// It drops every connection.
    Drops,
    /// It says that it is overloaded.
    Refuses,
    /// It answers with more than anybody reads.
    Floods,
}

impl Stall {
    fn reply(self, transport: Transport) -> Reply {
        match (self, transport) {
            (Stall::Dead | Stall::Hangs, _) => Reply::Hang,
            (Stall::Drops, _) => Reply::Drop,
            (Stall::Refuses, Transport::Grpc) => Reply::Grpc(Status::new(Code::Unavailable, "later")),
            (Stall::Refuses, Transport::Http) => Reply::Http(503, Vec::new(), Bytes::new()),
            (Stall::Floods, _) => Reply::Http(503, Vec::new(), Bytes::from_static(&FLOOD)),
        }
    }
}

/// A small queue, attempts that end soon, and patience without end.
fn small(transport: Transport, url: String) -> ExporterConfig {
    let mut small = exporter(transport, url);
    (small.queue.requests, small.queue.consumers) = (WAITING, SENDERS);
    small.timeout = Duration::from_millis(300);
    small.retry.max_elapsed_time = None;
    small
}

fn exported(running: &Running, name: &str) -> f64 {
    metric(&running.agent, &format!("isotel_exporter_{name}{{exporter=\"otlp\"}}"))
}

fn told_to_come_again(answer: &Answer) -> bool {
    answer.status == 503 && answer.header("retry-after") == "1"
}

#[tokio::test]
async fn whatever_a_next_hop_does_what_waits_is_bounded_and_what_was_acknowledged_arrives() {
    for transport in [Transport::Grpc, Transport::Http] {
        for stall in [Stall::Dead, Stall::Hangs, Stall::Drops, Stall::Refuses, Stall::Floods] {
            stalled(stall, transport).await;
        }
    }
}

async fn stalled(stall: Stall, transport: Transport) {
    let script = || (0..10_000).map(|_| stall.reply(transport)).collect();
    let downstream = Downstream::start(if stall == Stall::Dead { Vec::new() } else { script() }).await;
    // A port where nobody listens; the configuration then changes to the one where somebody does.
    let url = if stall == Stall::Dead { "http://127.0.0.1:1".to_owned() } else { downstream.http() };
    let mut running = start(forwarding(config(), vec![("otlp", small(transport, url.clone()))])).await;
    let mut acknowledged = BTreeSet::new();
    let mut shed = 0;
    for at in 0..TRIES {
        let body = spans(&[&format!("number {at}")]).encode_to_vec();
        let taken = if at % 2 == 0 {
            let answer = post(running.http, "/v1/traces", PROTOBUF, body.clone()).await;
            assert!(answer.status == 200 || told_to_come_again(&answer), "{stall:?}: {answer:?}");
            answer.status == 200
        } else {
            let status = grpc(running.grpc, TRACES, None, &body).await.status;
            let told = status.code() == Code::Unavailable && !status.details().is_empty();
            assert!(status.code() == Code::Ok || told, "{stall:?}: {status:?}");
            status.code() == Code::Ok
        };
        if taken {
            acknowledged.insert(body);
        } else {
            shed += 1;
        }
    }
    // Those that wait, and those that are being sent.
    assert!((1..=WAITING + SENDERS).contains(&acknowledged.len()), "{stall:?}: {}", acknowledged.len());
    assert!(exported(&running, "queue_size") <= WAITING as f64);
    assert!(exported(&running, "in_flight_requests") <= SENDERS as f64);
    let queue = metric(&running.agent, "isotel_receiver_shed_requests{reason=\"queue\"}");
    assert_eq!(queue, f64::from(shed), "{stall:?}");
    assert_eq!(
        running.intake.requests().len(),
        acknowledged.len(),
        "what was not acknowledged was not recorded"
    );

    if stall == Stall::Dead {
        // What a dead next hop was owed is given one last try and up; the next one gets what comes from now on.
        let next = forwarding(config(), vec![("otlp", small(transport, downstream.http()))]);
        running.agent.reload(&next).await.unwrap();
        acknowledged = BTreeSet::from([spans(&["after"]).encode_to_vec()]);
        let body = acknowledged.first().unwrap().clone();
        assert_eq!(post(running.http, "/v1/traces", PROTOBUF, body).await.status, 200);
    } else {
        downstream.keeps_up();
    }
    let sent = "isotel_exporter_sent_requests{exporter=\"otlp\"}";
    until(sent, || (metric(&running.agent, sent) == acknowledged.len() as f64).then_some(())).await;
    assert_eq!(exported(&running, "send_failed_requests"), 0.0, "{stall:?}");
    let frame = if transport == Transport::Grpc { 5 } else { 0 };
    let arrived: BTreeSet<Vec<u8>> =
        downstream.arrived().into_iter().map(|arrived| arrived.body[frame..].to_vec()).collect();
    assert_eq!(arrived, acknowledged, "{stall:?}: all of it, and nothing else");
    let body = spans(&["resumed"]).encode_to_vec();
    assert_eq!(post(running.http, "/v1/traces", PROTOBUF, body).await.status, 200, "{stall:?}");
}
