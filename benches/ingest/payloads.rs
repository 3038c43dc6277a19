//! Requests as they go on the wire: seeded, encoded, framed and compressed before they are sent, and dated near now.

use crate::common::{self, Traffic};
use bytes::{BufMut, Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use prost::Message;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Operations of the traffic, in two environments.
pub const OPERATIONS: usize = 200;
pub const ENVIRONMENTS: usize = 2;
/// Bytes of a shape's requests altogether: more than a core's own cache holds.
const POOL_BYTES: usize = 4 << 20;
/// How often a pool's requests are dated anew; spans lie within as long before.
const REFRESH: Duration = Duration::from_secs(1);
/// Requests that wait to be sent.
const AHEAD: usize = 64;
const SECOND_NS: u64 = 1_000_000_000;

/// The transport.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    Grpc,
    Http,
}

impl Wire {
    pub fn name(self) -> &'static str {
        match self {
            Wire::Grpc => "gRPC",
            Wire::Http => "HTTP",
        }
    }
}

/// The content coding, at the level that SDKs use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Identity,
    Gzip,
    Zstd,
}

impl Coding {
    pub fn name(self) -> &'static str {
        match self {
            Coding::Identity => "identity",
            Coding::Gzip => "gzip",
            Coding::Zstd => "zstd",
        }
    }

    fn encode(self, plain: &[u8]) -> Vec<u8> {
        match self {
            Coding::Identity => plain.to_vec(),
            Coding::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            Coding::Zstd => zstd::bulk::compress(plain, 3).unwrap(),
        }
    }

    /// The other way.
    pub fn decode(self, coded: &[u8]) -> Vec<u8> {
        match self {
            Coding::Identity => coded.to_vec(),
            Coding::Gzip => {
                let mut plain = Vec::new();
                MultiGzDecoder::new(coded).read_to_end(&mut plain).unwrap();
                plain
            }
            Coding::Zstd => zstd::decode_all(coded).unwrap(),
        }
    }
}

/// A body that is ready to send, and how many spans are in it.
#[derive(Clone)]
pub struct Batch {
    pub body: Bytes,
    pub spans: u64,
}

impl Batch {
    pub fn new(request: &ExportTraceServiceRequest, wire: Wire, coding: Coding) -> Batch {
        Batch::framed(&request.encode_to_vec(), common::spans(request).count() as u64, wire, coding)
    }

    /// Of protobuf bytes.
    pub fn framed(plain: &[u8], spans: u64, wire: Wire, coding: Coding) -> Batch {
        let coded = coding.encode(plain);
        let body = match wire {
            Wire::Http => coded.into(),
            Wire::Grpc => {
                let mut body = BytesMut::with_capacity(coded.len() + 5);
                body.put_u8(u8::from(coding != Coding::Identity));
                body.put_u32(coded.len() as u32);
                body.put_slice(&coded);
                body.freeze()
            }
        };
        Batch { body, spans }
    }
}

/// Where a load gets its requests; `None` ends it.
pub trait Supply: Send + Sync {
    fn next(&self) -> Option<Batch>;
}

/// What requests look like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One resource, 100 spans.
    Sdk,
    /// 20 resources, 1,000 spans.
    Collector,
    /// One resource, 20 spans with 6 KB of text each.
    Huge,
    /// One resource, 5 spans.
    Small,
}

impl Shape {
    pub const ALL: [Shape; 4] = [Shape::Sdk, Shape::Collector, Shape::Huge, Shape::Small];

    pub fn name(self) -> &'static str {
        match self {
            Shape::Sdk => "sdk",
            Shape::Collector => "collector",
            Shape::Huge => "huge",
            Shape::Small => "small",
        }
    }

    fn request(self, traffic: &mut Traffic) -> ExportTraceServiceRequest {
        match self {
            Shape::Sdk => traffic.batch_of(1, 100),
            Shape::Collector => traffic.batch_of(20, 1_000),
            Shape::Small => traffic.batch_of(1, 5),
            Shape::Huge => {
                let mut request = traffic.batch_of(1, 20);
                let spans = request.resource_spans.iter_mut().flat_map(|r| &mut r.scope_spans);
                for span in spans.flat_map(|scope| &mut scope.spans) {
                    span.attributes.extend([
                        long_text("http.request.header.cookie", 2_000),
                        long_text("code.stacktrace", 4_000),
                    ]);
                }
                request
            }
        }
    }

    /// [`POOL_BYTES`] of requests.
    pub fn requests(self) -> Vec<ExportTraceServiceRequest> {
        let mut traffic = Traffic::new(OPERATIONS, ENVIRONMENTS);
        let (mut requests, mut bytes) = (Vec::new(), 0);
        while bytes < POOL_BYTES {
            requests.push(self.request(&mut traffic));
            bytes += requests.last().map_or(0, Message::encoded_len);
        }
        requests
    }
}

fn long_text(key: &str, bytes: usize) -> KeyValue {
    let text = "at shop.orders.Handler.handle(Handler.java:117)\n".chars().cycle().take(bytes).collect();
    let value = Some(AnyValue { value: Some(Value::StringValue(text)) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

/// The wall clock, nanoseconds since the epoch.
pub fn now_ns() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

/// Ends every span within the second before `now_ns`, as long as it was.
pub fn date(request: &mut ExportTraceServiceRequest, now_ns: u64) {
    let scopes = request.resource_spans.iter_mut().flat_map(|resource| &mut resource.scope_spans);
    for (at, span) in scopes.flat_map(|scope| &mut scope.spans).enumerate() {
        let duration_ns = span.end_time_unix_nano - span.start_time_unix_nano;
        // Knuth's multiplicative hash: spread, and the same every time.
        span.end_time_unix_nano = now_ns - at as u64 * 2_654_435_761 % SECOND_NS;
        span.start_time_unix_nano = span.end_time_unix_nano - duration_ns;
    }
}

/// Requests that take turns and are dated anew every second, beside the load's thread.
pub struct Pool {
    batches: RwLock<Arc<[Batch]>>,
    turn: AtomicUsize,
}

impl Pool {
    pub fn new(mut requests: Vec<ExportTraceServiceRequest>, wire: Wire, coding: Coding) -> Arc<Pool> {
        let mut encode = move || -> Arc<[Batch]> {
            let dated = requests.iter_mut().map(|request| {
                date(request, now_ns());
                Batch::new(request, wire, coding)
            });
            dated.collect()
        };
        let pool = Arc::new(Pool { batches: RwLock::new(encode()), turn: AtomicUsize::new(0) });
        let weak = Arc::downgrade(&pool);
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(REFRESH);
                let batches = encode();
                let Some(pool) = weak.upgrade() else { return };
                *pool.batches.write().unwrap_or_else(PoisonError::into_inner) = batches;
            }
        });
        pool
    }

    pub fn of(shape: Shape, wire: Wire, coding: Coding) -> Arc<Pool> {
        Pool::new(shape.requests(), wire, coding)
    }

    /// All of them, as they are now.
    pub fn batches(&self) -> Arc<[Batch]> {
        self.batches.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Supply for Pool {
    fn next(&self) -> Option<Batch> {
        let batches = self.batches.read().unwrap_or_else(PoisonError::into_inner);
        Some(batches[self.turn.fetch_add(1, Relaxed) % batches.len()].clone())
    }
}

/// Requests that are made as they are needed, for what does not fit a pool.
pub struct Fresh(Mutex<mpsc::Receiver<Batch>>);

impl Fresh {
    /// Of what `make` makes, until it makes no more.
    pub fn new(mut make: impl FnMut() -> Option<Batch> + Send + 'static) -> Arc<Fresh> {
        let (ready, waiting) = mpsc::sync_channel(AHEAD);
        // Ends with `make`, or when nobody listens any more.
        std::thread::spawn(move || while make().is_some_and(|batch| ready.send(batch).is_ok()) {});
        Arc::new(Fresh(Mutex::new(waiting)))
    }

    /// 100 spans a request of so many operations in two environments, by gRPC.
    pub fn traffic(operations: usize) -> Arc<Fresh> {
        let mut traffic = Traffic::new(operations, ENVIRONMENTS);
        Fresh::new(move || {
            let mut request = traffic.batch(100);
            date(&mut request, now_ns());
            Some(Batch::new(&request, Wire::Grpc, Coding::Identity))
        })
    }
}

impl Supply for Fresh {
    fn next(&self) -> Option<Batch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
    }
}
