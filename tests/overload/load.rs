//! More load than the agent can take.

use super::agent::Agent;
use super::client::{Answer, Sender, compressed, frame, spans};
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Loads for so many seconds; two minutes in a full run.
const SECONDS: &str = "ISOTEL_OVERLOAD_SECONDS";
const SECONDS_SHORT: u64 = 6;
const LIMIT_MIB: f64 = 192.0;
const SPANS: u64 = 200;
/// A request has 4 MiB, and comes in many pieces. One in four is compressed and comes in one.
const SPAN_BYTES: usize = 20 << 10;
/// Few enough that the agent has a place for all of them.
const FITTING: usize = 4;
const OVERLOADING: usize = 96;
const TIMES: f64 = 4.0;
/// Acknowledgements are back so long after a load has ended.
const BACK: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Outcome {
    taken: AtomicU64,
    later: AtomicU64,
    broken: AtomicU64,
    over: AtomicBool,
}

/// Sends for a while on so many connections, half of them gRPC; at this rate, or as fast as answers come. What was
/// taken, what was shed, and how many connections ended without an answer.
async fn load(agent: &Agent, connections: usize, rate: Option<f64>, time: Duration) -> [u64; 3] {
    let plain = spans("prod", SPANS as usize, SPAN_BYTES);
    let gzipped = compressed("gzip", &plain);
    let bodies = [
        (Some("gzip"), frame(true, &gzipped)),
        (None, Bytes::from(plain.clone())),
        (None, frame(false, &plain)),
        (None, Bytes::from(plain)),
    ];
    let outcome = Arc::new(Outcome::default());
    let mut workers = tokio::task::JoinSet::new();
    let start = Instant::now();
    for at in 0..connections {
        let to = (at % 2 == 0, agent.grpc, agent.http);
        let mut sender = connect(to).await;
        let (outcome, (coding, body)) = (Arc::clone(&outcome), bodies[at % bodies.len()].clone());
        workers.spawn(async move {
            let mut turn = at;
            while !outcome.over.load(Relaxed) {
                if let Some(rate) = rate {
                    let due = start + Duration::from_secs_f64(turn as f64 / rate);
                    tokio::time::sleep_until(due.into()).await;
                    turn += connections;
                }
                let count = match sender.send(coding, body.clone()).await {
                    Answer::Taken => &outcome.taken,
                    Answer::Later => &outcome.later,
                    // Who has not written a refused body when the agent has read enough sees the end before the answer.
                    Answer::Broken(_) => {
                        sender = connect(to).await;
                        &outcome.broken
                    }
                    Answer::Other(what) => panic!("{what}"),
                };
                count.fetch_add(1, Relaxed);
            }
        });
    }
    tokio::time::sleep(time).await;
    outcome.over.store(true, Relaxed);
    while let Some(ended) = workers.join_next().await {
        ended.unwrap();
    }
    [&outcome.taken, &outcome.later, &outcome.broken].map(|count| count.load(Relaxed))
}

async fn connect((over_grpc, grpc, http): (bool, SocketAddr, SocketAddr)) -> Sender {
    if over_grpc { Sender::grpc(grpc).await.unwrap() } else { Sender::http(http).await.unwrap() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_four_times_what_it_can_take_memory_holds_and_what_was_acknowledged_is_counted_once() {
    let seconds = std::env::var(SECONDS).ok().map_or(SECONDS_SHORT, |text| text.parse().unwrap());
    let limiter = format!("{{limit_mib: {LIMIT_MIB}, spike_limit_mib: 96}}");
    let agent = Agent::start(&limiter, "{concurrent_requests: 64}");
    let measured = Duration::from_secs(2);
    let [fitting, later, _] = load(&agent, FITTING, None, measured).await;
    assert_eq!(later, 0, "what fits is not shed");
    let capacity = fitting as f64 / measured.as_secs_f64();

    let time = Duration::from_secs(seconds);
    let [taken, later, broken] = load(&agent, OVERLOADING, Some(TIMES * capacity), time).await;
    let ended = Instant::now();
    let mut sender = Sender::grpc(agent.grpc).await.unwrap();
    let mut back = 0;
    while sender.send(None, frame(false, &spans("prod", 1, 10))).await != Answer::Taken {
        back += 1;
        assert!(ended.elapsed() < BACK, "no acknowledgement {BACK:?} after the load, {back} tries");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let back = ended.elapsed();

    let reasons = ["requests", "bytes", "memory", "slow"].map(|reason| {
        let count = agent.metric("isotel_receiver_shed_requests", &format!("\"{reason}\""));
        format!("{reason} {count}")
    });
    println!(
        "\n| load | requests/s | taken | shed | no answer | by reason | peak RSS | back after |\n|---|---|---|---|---|---|---|---|\n\
         | {FITTING} at a time, 2 s | {capacity:.0} | {fitting} | 0 | 0 | | | |\n\
         | {TIMES} times as much, {seconds} s | {:.0} | {taken} | {later} | {broken} | {} | {:.0} MiB of {LIMIT_MIB:.0} | {back:.1?} |\n",
        TIMES * capacity,
        reasons.join(", "),
        agent.peak_mib(),
    );
    assert!(later > 0, "more than it can take is shed");
    assert!(agent.peak_mib() <= LIMIT_MIB, "{} MiB", agent.peak_mib());
    assert_eq!(agent.counted(), (fitting + taken) * SPANS + 1);
    let shed = agent.metric("isotel_receiver_shed_requests", "") as u64;
    assert!((later..=later + broken).contains(&shed), "{shed} shed, {later} told so, {broken} not");
    assert_eq!(agent.metric("isotel_receiver_in_flight_bytes", ""), 0.0, "room is given back");
    let told = agent.log().iter().filter(|line| line.contains("told to come again later")).count() as u64;
    assert!((1..=1 + seconds / 60 + 1).contains(&told), "told {told} times in {seconds} s");
    assert!(agent.health().contains("200 OK"));
}

#[tokio::test]
async fn beyond_the_hard_limit_nothing_is_let_in_and_health_says_so() {
    let agent = Agent::start("{limit_mib: 2}", "{}");
    let mut grpc = Sender::grpc(agent.grpc).await.unwrap();
    let mut http = Sender::http(agent.http).await.unwrap();
    let plain = spans("prod", 1, 10);
    for _ in 0..10 {
        assert_eq!(grpc.send(None, frame(false, &plain)).await, Answer::Later);
        assert_eq!(http.send(None, plain.clone().into()).await, Answer::Later);
    }
    assert_eq!(agent.counted(), 0);
    assert_eq!(agent.metric("isotel_receiver_shed_requests", "\"memory\""), 20.0);
    assert_eq!(agent.metric("isotel_receiver_requests", "\"overload\""), 20.0);
    let health = agent.health();
    assert!(health.contains("200 OK") && health.contains(r#""memory":"hard limit""#), "{health}");
    let told = agent.log().iter().filter(|line| line.contains("the memory limit is near")).count();
    assert_eq!(told, 1);
}
