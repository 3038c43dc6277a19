//! HTTP/2 frame by frame.

use crate::served::PATIENCE;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const CONTINUATION: u8 = 9;
pub const END_HEADERS: u8 = 4;
const GOAWAY: u8 = 7;

/// A connection after both prefaces.
pub struct Raw(pub TcpStream);

impl Raw {
    pub async fn connect(to: SocketAddr) -> Raw {
        let mut stream = TcpStream::connect(to).await.unwrap();
        // The agent may have given the seat to another already.
        let _ = stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        let _ = stream.write_all(&frame(4, 0, 0, &[])).await;
        Raw(stream)
    }

    /// Writes until it is done or the agent has had enough.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok()
    }

    /// Reads until the agent says or shows that it has had enough of the connection, or has answered `streams` streams.
    pub async fn outcome(&mut self, streams: usize) -> String {
        tokio::time::timeout(PATIENCE, self.read(streams)).await.expect("answered or closed in time")
    }

    async fn read(&mut self, streams: usize) -> String {
        let (mut refused, mut answered) = (BTreeSet::new(), BTreeSet::new());
        loop {
            let mut head = [0; 9];
            if self.0.read_exact(&mut head).await.is_err() {
                return "closed".to_owned();
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
            let mut payload = vec![0; length];
            if self.0.read_exact(&mut payload).await.is_err() {
                return "closed".to_owned();
            }
            match head[3] {
                GOAWAY => {
                    let code = u32::from_be_bytes(payload[4..8].try_into().unwrap());
                    let name = match code {
                        0 => "no error",
                        1 => "PROTOCOL_ERROR",
                        11 => "ENHANCE_YOUR_CALM",
                        _ => "another error",
                    };
                    return format!("GOAWAY {name}");
                }
                HEADERS => drop(answered.insert(stream)),
                // What is answered before all was sent is reset without an error.
                RST_STREAM if !answered.contains(&stream) => drop(refused.insert(stream)),
                _ => {}
            }
            if refused.len() + answered.len() >= streams {
                return format!("{} streams answered, {} refused", answered.len(), refused.len());
            }
        }
    }
}

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// The headers of a call, without compression beyond the static table.
pub fn call() -> Vec<u8> {
    let path = super::client::GRPC_PATH.as_bytes();
    let mut block = vec![0x83, 0x86, 0x04, path.len() as u8];
    block.extend_from_slice(path);
    block.extend_from_slice(b"\x01\x04test\x0f\x10\x10application/grpc");
    block
}

/// A header that is in no table.
pub fn header(name: &str, bytes: usize) -> Vec<u8> {
    let mut block = vec![0x00, name.len() as u8];
    block.extend_from_slice(name.as_bytes());
    // An integer of RFC 7541 5.1 with a prefix of seven bits.
    block.push(0x7f);
    let mut rest = bytes - 0x7f;
    while rest >= 0x80 {
        block.push((rest % 0x80) as u8 | 0x80);
        rest /= 0x80;
    }
    block.push(rest as u8);
    block.resize(block.len() + bytes, b'x');
    block
}
