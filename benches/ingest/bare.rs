//! The bare server: tokio, hyper and tonic as isotel uses them, and behind them the floor or nothing.
//!
//! It runs in a child process of the benchmark's own binary (`--serve walk`), prints its address, and speaks both
//! transports on it. No admission, no limits but the request's size, no telemetry, no end.

use crate::common::floor::Floor;
use crate::payloads::Coding;
use bytes::{Buf, BufMut, Bytes};
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Ready, ready};
use tokio::net::{TcpListener, TcpStream};
use tonic::body::Body;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, UnaryService};

const REQUEST_BYTES: usize = 64 << 20;

thread_local! {
    /// A table for each thread, so that nobody waits.
    static FLOOR: RefCell<Floor> = RefCell::default();
}

/// What is done with a request.
#[derive(Clone, Copy)]
enum Work {
    Walk,
    Drop,
}

impl Work {
    fn on(self, request: &[u8]) {
        if let Work::Walk = self {
            FLOOR.with_borrow_mut(|floor| floor.observe(request));
        }
    }
}

/// Serves until it is killed.
pub fn serve(work: &str) -> ! {
    let work = if work == "walk" { Work::Walk } else { Work::Drop };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(connection(stream, work));
        }
    })
}

async fn connection(stream: TcpStream, work: Work) {
    stream.set_nodelay(true).unwrap();
    let service = service_fn(move |request| async move { Ok::<_, Infallible>(answer(work, request).await) });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http2()
        .initial_stream_window_size(2 << 20)
        .initial_connection_window_size(8 << 20)
        .max_frame_size(256 << 10);
    // A connection that breaks is the client's to report.
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(work: Work, request: Request<Incoming>) -> Response<Body> {
    let is = |name, value: &str| {
        request.headers().get(name).is_some_and(|found| found.as_bytes().starts_with(value.as_bytes()))
    };
    if is(header::CONTENT_TYPE, "application/grpc") {
        let mut grpc = Grpc::new(RawCodec)
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd)
            .max_decoding_message_size(REQUEST_BYTES);
        return grpc.unary(Export(work), request).await;
    }
    let coding = [Coding::Gzip, Coding::Zstd].into_iter().find(|c| is(header::CONTENT_ENCODING, c.name()));
    let body = request.into_body().collect().await.unwrap().to_bytes();
    match coding {
        Some(coding) => work.on(&coding.decode(&body)),
        None => work.on(&body),
    }
    let mut response = Response::new(Body::new(Full::<Bytes>::default()));
    let protobuf = header::HeaderValue::from_static("application/x-protobuf");
    response.headers_mut().insert(header::CONTENT_TYPE, protobuf);
    response
}

struct Export(Work);

impl UnaryService<Bytes> for Export {
    type Response = Bytes;
    type Future = Ready<Result<tonic::Response<Bytes>, tonic::Status>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        self.0.on(request.get_ref());
        ready(Ok(tonic::Response::new(Bytes::new())))
    }
}

#[derive(Clone, Copy, Default)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = RawCodec;
    type Decoder = RawCodec;

    fn encoder(&mut self) -> RawCodec {
        RawCodec
    }

    fn decoder(&mut self) -> RawCodec {
        RawCodec
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = tonic::Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = tonic::Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, tonic::Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
