//! A receiver with a script: it answers as told, in order, and keeps what it was sent.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::net::TcpListener;
use tonic::{Status, body::Body};

use super::harness::{frame, until};

/// One answer of the script.
pub enum Reply {
    /// HTTP, with headers.
    Http(u16, Vec<(&'static str, String)>, Bytes),
    /// gRPC failure.
    Grpc(Status),
    /// gRPC success with this message.
    GrpcOk(Bytes),
    /// The connection is dropped.
    Drop,
    /// No answer ever.
    Hang,
}

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Arrived {
    pub at: Instant,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

#[derive(Default)]
struct Book {
    script: Mutex<VecDeque<Reply>>,
    arrived: Mutex<Vec<Arrived>>,
}

/// Takes part until the test ends.
#[derive(Clone)]
pub struct Downstream {
    pub address: SocketAddr,
    book: Arc<Book>,
}

impl Downstream {
    /// Answers by the script; when it is used up, with success of the sender's protocol.
    pub async fn start(script: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let book = Arc::new(Book { script: Mutex::new(script.into()), ..Book::default() });
        let downstream = Downstream { address, book: Arc::clone(&book) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let book = Arc::clone(&book);
                tokio::spawn(async move {
                    let service = service_fn(|request| answer(Arc::clone(&book), request));
                    let builder = auto::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        downstream
    }

    /// Forgets the rest of the script: from now on every answer is success.
    pub fn keeps_up(&self) {
        self.book.script.lock().unwrap().clear();
    }

    pub fn arrived(&self) -> Vec<Arrived> {
        self.book.arrived.lock().unwrap().clone()
    }

    /// Waits for this many requests.
    pub async fn await_requests(&self, count: usize) -> Vec<Arrived> {
        until("requests downstream", || (self.arrived().len() >= count).then(|| self.arrived())).await
    }

    pub fn http(&self) -> String {
        format!("http://{}", self.address)
    }
}

#[derive(Debug)]
struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dropped by the script")
    }
}

impl std::error::Error for Dropped {}

async fn answer(book: Arc<Book>, request: Request<Incoming>) -> Result<Response<Body>, Dropped> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
    let grpc = head.headers.get("content-type").is_some_and(|value| value == "application/grpc");
    let path = head.uri.path().to_owned();
    book.arrived.lock().unwrap().push(Arrived { at: Instant::now(), path, headers: head.headers, body });
    let scripted = book.script.lock().unwrap().pop_front();
    let scripted = scripted.unwrap_or_else(|| {
        if grpc { Reply::GrpcOk(Bytes::new()) } else { Reply::Http(200, Vec::new(), Bytes::new()) }
    });
    match scripted {
        Reply::Drop => Err(Dropped),
        Reply::Hang => std::future::pending().await,
        Reply::Grpc(status) => Ok(status.into_http()),
        Reply::GrpcOk(message) => {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            let body =
                Full::new(frame(false, &message))
                    .with_trailers(std::future::ready(Some(Ok::<_, Infallible>(trailers))));
            let mut response = Response::new(Body::new(body));
            response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
            Ok(response)
        }
        Reply::Http(status, headers, body) => {
            let mut response =
                Response::builder().status(status).header("content-type", "application/x-protobuf");
            for (name, value) in headers {
                response = response.header(name, value);
            }
            Ok(response.body(Body::new(Full::new(body))).unwrap())
        }
    }
}
