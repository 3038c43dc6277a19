//! HTTP/1.1 byte by byte.

use crate::served::PATIENCE;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Between two bytes of a peer that is slow on purpose.
const DRIP: Duration = Duration::from_millis(100);

/// The head of a request for spans with these header lines.
pub fn head(lines: &str) -> Vec<u8> {
    format!("POST /v1/traces HTTP/1.1\r\nhost: test\r\ncontent-type: application/x-protobuf\r\n{lines}\r\n")
        .into_bytes()
}

/// Writes, and reads the status of the answer: `closed` when there is none.
pub async fn exchange(to: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    // An agent that has had enough closes before all is written.
    let _ = stream.write_all(bytes.as_ref()).await;
    status(&mut stream).await
}

/// The same by a peer that says that it writes no more.
pub async fn half_closed(to: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(bytes.as_ref()).await.unwrap();
    stream.shutdown().await.unwrap();
    status(&mut stream).await
}

/// The status of the next answer: `closed` when there is none.
pub async fn status(stream: &mut TcpStream) -> String {
    let mut answer = [0; 12];
    let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await;
    match read.expect("answered or closed in time") {
        Ok(_) => String::from_utf8_lossy(&answer[9..]).into_owned(),
        Err(_) => "closed".to_owned(),
    }
}

/// Writes `start`, then `drop` again and again, until there is an answer or an end: what it was.
pub async fn drip(to: SocketAddr, start: Vec<u8>, drop: &'static [u8]) -> String {
    let Ok(mut stream) = TcpStream::connect(to).await else { return "closed".to_owned() };
    let _ = stream.write_all(&start).await;
    let (mut reading, mut writing) = stream.split();
    let dripping = async {
        while writing.write_all(drop).await.is_ok() {
            tokio::time::sleep(DRIP).await;
        }
        std::future::pending::<()>().await;
    };
    let mut answer = [0; 12];
    tokio::select! {
        read = reading.read_exact(&mut answer) => match read {
            Ok(_) => String::from_utf8_lossy(&answer[9..]).into_owned(),
            Err(_) => "closed".to_owned(),
        },
        () = dripping => unreachable!("it never ends by itself"),
    }
}
