//! Attacks, a row each: what is sent, what comes back, what it costs, and that honest requests beside it are taken.

use super::agent::Agent;
use super::client::{Answer, Sender, compressed, frame, honest, spans};
use super::http1::{self, drip, exchange, half_closed, head};
use super::http2::{self, CONTINUATION, END_HEADERS, HEADERS, RST_STREAM, Raw};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const CONNECTIONS: usize = 200;
const REQUESTS: usize = 64;
const LIMIT_MIB: f64 = 512.0;
const MIB: usize = 1 << 20;
/// The largest request of the default configuration.
const REQUEST_MAX: usize = 64 * MIB;

#[derive(Clone, Copy)]
struct To {
    grpc: SocketAddr,
    http: SocketAddr,
}

/// The answers to an attack, each with how often it came.
#[derive(Default)]
struct Answers(BTreeMap<String, usize>);

impl Answers {
    fn add(&mut self, answer: impl Into<String>) {
        *self.0.entry(answer.into()).or_default() += 1;
    }

    fn text(&self) -> String {
        let one = |(answer, times): (&String, &usize)| match times {
            1 => answer.clone(),
            times => format!("{times} × {answer}"),
        };
        self.0.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// Whether every answer is one of these.
    fn among(&self, expected: &[&str]) -> bool {
        !self.0.is_empty() && self.0.keys().all(|answer| expected.contains(&answer.as_str()))
    }
}

/// An agent and the table of what was done to it.
struct Table {
    agent: Agent,
    to: To,
    acknowledged: u64,
}

impl Table {
    fn start() -> Table {
        let agent = Agent::start(
            "{limit_mib: 512, spike_limit_mib: 256}",
            &format!("{{connections: {CONNECTIONS}, concurrent_requests: {REQUESTS}}}"),
        );
        let to = To { grpc: agent.grpc, http: agent.http };
        println!(
            "\n| attack | answers | honest beside it | RSS before → most → after, MiB |\n|---|---|---|---|"
        );
        Table { agent, to, acknowledged: 0 }
    }

    /// Does it, while honest requests are sent; all answers must be among the expected ones.
    async fn row<F>(&mut self, attack: &str, doing: F, expected: &[&str])
    where
        F: Future<Output = Answers> + Send + 'static,
    {
        self.taken(attack, doing, expected, 0).await;
    }

    /// The same where the attack's own requests have so many spans that are acknowledged.
    async fn taken<F>(&mut self, attack: &str, doing: F, expected: &[&str], spans: u64)
    where
        F: Future<Output = Answers> + Send + 'static,
    {
        self.agent.forget_peak();
        let before = self.agent.rss_mib();
        let attacking = tokio::spawn(doing);
        let mut rounds = 0;
        loop {
            self.acknowledged += honest(self.to.grpc, self.to.http).await;
            rounds += 1;
            if attacking.is_finished() {
                break;
            }
        }
        let answers = attacking.await.unwrap();
        self.acknowledged += spans;
        let (most, after) = (self.agent.peak_mib(), self.agent.rss_mib());
        let text = answers.text();
        println!(
            "| {attack} | {text} | {} of {} | {before:.0} → {most:.0} → {after:.0} |",
            2 * rounds,
            2 * rounds
        );
        assert!(answers.among(expected), "{attack}: {text}");
        assert!(most <= LIMIT_MIB, "{attack}: {most} MiB");
        assert_eq!(
            self.agent.counted(),
            self.acknowledged,
            "{attack}: what was acknowledged is counted once"
        );
    }
}

/// The same from so many connections at a time.
async fn many<F>(times: usize, one: impl Fn(usize) -> F) -> Answers
where
    F: Future<Output = String> + Send + 'static,
{
    some(times, times, one).await
}

/// The same; ends when so many of them are answered or closed.
async fn some<F>(enough: usize, times: usize, one: impl Fn(usize) -> F) -> Answers
where
    F: Future<Output = String> + Send + 'static,
{
    let mut all = JoinSet::new();
    (0..times).for_each(|at| drop(all.spawn(one(at))));
    let mut answers = Answers::default();
    for _ in 0..enough {
        answers.add(all.join_next().await.unwrap().unwrap());
    }
    (enough..times).for_each(|_| answers.add(OPEN));
    answers
}

/// The outcome of an attack that the agent lets go on, since it does no harm.
const OPEN: &str = "still open";

async fn each(answers: impl IntoIterator<Item = impl Future<Output = String>>) -> Answers {
    let mut all = Answers::default();
    for answer in answers {
        all.add(answer.await);
    }
    all
}

async fn over_http(to: To, coding: Option<&str>, body: Vec<u8>) -> String {
    match Sender::http(to.http).await.unwrap().send(coding, body.into()).await {
        Answer::Taken => "200".to_owned(),
        Answer::Later => "503".to_owned(),
        Answer::Other(what) => what,
        Answer::Broken(_) => "closed".to_owned(),
    }
}

async fn over_grpc(to: To, coding: Option<&str>, framed: bytes::Bytes) -> String {
    match Sender::grpc(to.grpc).await.unwrap().send(coding, framed).await {
        Answer::Taken => "OK".to_owned(),
        Answer::Later => "UNAVAILABLE".to_owned(),
        Answer::Other(what) => what,
        Answer::Broken(_) => "closed".to_owned(),
    }
}

/// A request of exactly so many bytes without any span: an unknown field of many.
fn filler(bytes: usize) -> Vec<u8> {
    let mut request = vec![0xE2, 0x76];
    let mut length = bytes - 2 - 4;
    (0..3).for_each(|_| {
        request.push((length % 0x80) as u8 | 0x80);
        length /= 0x80;
    });
    request.push(length as u8);
    request.resize(bytes, 0);
    request
}

/// A span with an attribute whose value lies in so many lists of one.
fn nested(depth: usize) -> Vec<u8> {
    let field = |tag: u8, inner: &[u8]| {
        let mut outer = vec![tag << 3 | 2];
        let mut length = inner.len();
        while length >= 0x80 {
            outer.push((length % 0x80) as u8 | 0x80);
            length /= 0x80;
        }
        outer.push(length as u8);
        outer.extend_from_slice(inner);
        outer
    };
    // AnyValue.array_value is 5, ArrayValue.values 1.
    let value = (0..depth).fold(Vec::new(), |inner, _| field(5, &field(1, &inner)));
    let attribute = [field(1, b"deep"), field(2, &value)].concat();
    let span = [field(1, &[1; 16]), field(2, &[1; 8]), field(5, b"GET /"), field(9, &attribute)].concat();
    field(1, &field(2, &field(2, &span)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_slow_idle_or_too_many_keep_nobody_out() {
    let mut table = Table::start();
    let to = table.to;
    let slow_heads =
        many(CONNECTIONS * 2, move |_| drip(to.http, b"POST /v1/traces HTTP/1.1\r\nx: ".to_vec(), b"x"));
    table.row("400 heads of HTTP/1.1 that drip", slow_heads, &["408", "closed"]).await;
    let slow_bodies = some(CONNECTIONS / 2 - REQUESTS + 1, CONNECTIONS / 2, move |_| {
        drip(to.http, head("content-length: 1000000\r\n"), b"x")
    });
    table.row("100 bodies of HTTP/1.1 that drip", slow_bodies, &["408", "503", "closed", OPEN]).await;
    let slow_calls = async move {
        let mut raw = Raw::connect(to.grpc).await;
        for stream in 0..100 {
            let id = 2 * stream + 1;
            raw.write(&http2::frame(HEADERS, END_HEADERS, id, &http2::call())).await;
            raw.write(&http2::frame(0, 0, id, &[0, 0, 0, 255, 255, 7])).await;
        }
        each([raw.outcome(100 - REQUESTS)]).await
    };
    table.row("100 calls that stop in the middle", slow_calls, &["36 streams answered, 0 refused"]).await;
    let idle = some(CONNECTIONS / 2, CONNECTIONS * 2, move |_| async move {
        let mut stream = TcpStream::connect(to.http).await.unwrap();
        http1::status(&mut stream).await
    });
    table.row("400 connections that say nothing", idle, &["408", "closed", OPEN]).await;
    let idle =
        some(
            CONNECTIONS,
            CONNECTIONS * 2,
            move |_| async move { Raw::connect(to.grpc).await.outcome(1).await },
        );
    let ended = ["GOAWAY no error", "closed", OPEN];
    table.row("400 connections of HTTP/2 that say nothing more", idle, &ended).await;
    let flood = many(CONNECTIONS * 5, move |_| exchange(to.http, b"GET / HTTP/1.1\r\nhost: test\r\n\r\n"));
    table.row("1,000 connections that ask for nothing here", flood, &["404", "closed"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_heads_and_lengths_that_lie_are_refused() {
    let mut table = Table::start();
    let to = table.to;
    let reset = async move {
        let mut raw = Raw::connect(to.grpc).await;
        for stream in 0..100_000 {
            let id = 2 * stream + 1;
            let both = [
                http2::frame(HEADERS, END_HEADERS, id, &http2::call()),
                http2::frame(RST_STREAM, 0, id, &[0, 0, 0, 8]),
            ];
            if !raw.write(&both.concat()).await {
                break;
            }
        }
        each([raw.outcome(usize::MAX)]).await
    };
    table.row("100,000 streams opened and reset", reset, &["GOAWAY ENHANCE_YOUR_CALM", "closed"]).await;
    let streams = async move {
        let mut raw = Raw::connect(to.grpc).await;
        for stream in 0..2_000 {
            raw.write(&http2::frame(HEADERS, END_HEADERS, 2 * stream + 1, &http2::call())).await;
        }
        each([raw.outcome(usize::MAX)]).await
    };
    table
        .row(
            "2,000 streams at a time",
            streams,
            &["GOAWAY ENHANCE_YOUR_CALM", "GOAWAY PROTOCOL_ERROR", "closed"],
        )
        .await;
    let headers = async move {
        let mut raw = Raw::connect(to.grpc).await;
        let block = [http2::call(), http2::header("x-long", MIB)].concat();
        raw.write(&http2::frame(HEADERS, 0, 1, &block[..16_000])).await;
        for piece in block[16_000..].chunks(16_000) {
            raw.write(&http2::frame(CONTINUATION, 0, 1, piece)).await;
        }
        each([raw.outcome(1)]).await
    };
    let refused =
        ["GOAWAY ENHANCE_YOUR_CALM", "GOAWAY PROTOCOL_ERROR", "closed", "1 streams answered, 0 refused"];
    table.row("a header of 1 MiB", headers, &refused).await;
    let continuations = async move {
        let mut raw = Raw::connect(to.grpc).await;
        raw.write(&http2::frame(HEADERS, 0, 1, &http2::call())).await;
        for _ in 0..100_000 {
            if !raw.write(&http2::frame(CONTINUATION, 0, 1, &[])).await {
                break;
            }
        }
        each([raw.outcome(1)]).await
    };
    table.row("100,000 CONTINUATION frames", continuations, &refused).await;
    let long_head = head(&format!("x-long: {}\r\n", "x".repeat(MIB)));
    let many_heads = head(&"x: y\r\n".repeat(10_000));
    let heads = async move { each([exchange(to.http, &long_head), exchange(to.http, &many_heads)]).await };
    table.row("heads of HTTP/1.1 of 1 MiB and of 10,000 lines", heads, &["431", "closed"]).await;
    let lies = async move {
        let cases = [
            [head("content-length: 2\r\n"), b"\xff\xffGARBAGE\r\n\r\n".to_vec()].concat(),
            [head("content-length: -1\r\n"), b"x".to_vec()].concat(),
            [head("content-length: 1\r\ncontent-length: 2\r\n"), b"xx".to_vec()].concat(),
            [head("transfer-encoding: chunked\r\n"), b"FFFFFFFFFFFFFFFFF\r\nx".to_vec()].concat(),
            [head("transfer-encoding: chunked\r\n"), b"zz\r\n".to_vec()].concat(),
            head("content-length: 99999999999\r\n"),
        ];
        each(cases.map(|case| exchange(to.http, case))).await
    };
    table.row("lengths of HTTP/1.1 that lie", lies, &["400", "413", "closed"]).await;
    let halves = async move {
        let cases = [
            head("content-length: 10\r\n"),
            [head("transfer-encoding: chunked\r\n"), b"5\r\nab".to_vec()].concat(),
            b"POST /v1/tra".to_vec(),
        ];
        each(cases.map(|case| half_closed(to.http, case))).await
    };
    table.row("half a request, then half-closed", halves, &["400", "closed"]).await;
    let frames = async move {
        let cases: [&'static [u8]; 4] = [
            &[0, 255, 255, 255, 255, 1],
            &[9, 0, 0, 0, 1, 1],
            &[0, 0, 0, 0, 9, 1],
            &[0, 0, 0, 0, 1, 1, 2, 3],
        ];
        each(cases.map(|case| over_grpc(to, None, case.into()))).await
    };
    table.row("gRPC frames that lie", frames, &["ResourceExhausted", "Internal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_and_giants_stay_in_their_room() {
    let mut table = Table::start();
    let to = table.to;
    for coding in ["gzip", "zstd"] {
        let bomb: &'static [u8] = compressed(coding, &vec![0; 2 * REQUEST_MAX]).leak();
        let bombs = many(40, move |at| async move {
            match at % 2 {
                0 => over_http(to, Some(coding), bomb.to_vec()).await,
                _ => over_grpc(to, Some(coding), frame(true, bomb)).await,
            }
        });
        let refused = ["413", "ResourceExhausted", "503", "UNAVAILABLE"];
        table
            .row(&format!("40 {coding} bombs of {} KiB to 128 MiB", bomb.len() >> 10), bombs, &refused)
            .await;
    }
    let exact = async move {
        let body = filler(REQUEST_MAX);
        let answers =
            [over_http(to, None, body.clone()).await, over_grpc(to, None, frame(false, &body)).await];
        each(answers.map(std::future::ready)).await
    };
    table.row("requests of 64 MiB", exact, &["200", "OK", "503", "UNAVAILABLE"]).await;
    let over = async move {
        let body = filler(REQUEST_MAX + 1);
        let answers =
            [over_http(to, None, body.clone()).await, over_grpc(to, None, frame(false, &body)).await];
        each(answers.map(std::future::ready)).await
    };
    table.row("requests of 64 MiB and a byte", over, &["413", "ResourceExhausted"]).await;
    let giants = many(20, move |_| over_http(to, None, vec![0; REQUEST_MAX / 2]));
    // Who has not written all of it when the agent has read enough sees the end before the answer.
    let refused = ["400", "503", "closed"];
    table.row("20 requests of 32 MiB of nonsense at a time", giants, &refused).await;
    let deep = async move {
        let body = nested(20_000);
        let answers =
            [over_http(to, None, body.clone()).await, over_grpc(to, None, frame(false, &body)).await];
        each(answers.map(std::future::ready)).await
    };
    table.row("an attribute in 20,000 lists", deep, &["200", "OK", "400", "InvalidArgument"]).await;
    let json = async move {
        let open = [&b"[".repeat(MIB)[..], &b"{\"a\":".repeat(MIB)[..]];
        let deep = open.map(|body| {
            let head = format!(
                "POST /v1/traces HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            [head.as_bytes(), body].concat()
        });
        each(deep.map(|request| exchange(to.http, request))).await
    };
    table.row("JSON a million deep", json, &["400"]).await;
    let many_spans = async move {
        let body = spans("prod", 100_000, 0);
        each([over_http(to, Some("gzip"), compressed("gzip", &body))]).await
    };
    table.taken("a request of 100,000 spans", many_spans, &["200"], 100_000).await;
}
