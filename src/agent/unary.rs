//! gRPC's framing of a unary call: one message in, one out.
//!
//! A message is a byte that tells whether it is compressed, four bytes of length, and itself. A request that arrives in one
//! piece is handed on without a copy, since it is neither streamed nor decoded here.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, header};
use http_body::{Body as HttpBody, Frame};
use tonic::{Status, body::Body};

use super::{
    admission::Place,
    body::{self, BodyError, Coding, Pieces},
};

/// Bytes in front of a message.
const PREFIX: usize = 5;

/// The coding that a call's compressed messages have.
///
/// # Errors
/// UNIMPLEMENTED for one that is not known here, with those that are.
pub(crate) fn coding_of(headers: &HeaderMap) -> Result<Coding, Status> {
    match headers.get("grpc-encoding").map(HeaderValue::as_bytes) {
        None | Some(b"identity") => Ok(Coding::Identity),
        Some(b"gzip") => Ok(Coding::Gzip),
        Some(b"zstd") => Ok(Coding::Zstd),
        Some(other) => {
            let name = String::from_utf8_lossy(other);
            let mut status = Status::unimplemented(format!(
                "the grpc-encoding {name} is not known here; gzip, zstd and identity are"
            ));
            let known = tonic::metadata::MetadataValue::from_static("gzip,zstd,identity");
            status.metadata_mut().insert("grpc-accept-encoding", known);
            Err(status)
        }
    }
}

/// The one message of a call, decompressed; at most `limit` bytes before and after.
///
/// # Errors
/// [`BodyError`]; `Frame` for what is not one whole message.
pub(crate) async fn read(
    body: &mut impl Pieces,
    coding: Coding,
    limit: usize,
    place: &mut Place,
) -> Result<Bytes, BodyError> {
    let mut rest = body.next().await?.ok_or(BodyError::Frame("the call has no message"))?;
    while rest.len() < PREFIX {
        let piece = body.next().await?.ok_or(CUT_SHORT)?;
        rest = [rest, piece].concat().into();
    }
    let (flag, left) = (rest.get_u8(), rest.get_u32() as usize);
    let coding = match (flag, coding) {
        (0, _) => Coding::Identity,
        (1, Coding::Identity) => {
            return Err(BodyError::Frame("the message is compressed, and no grpc-encoding says how"));
        }
        (1, coding) => coding,
        _ => return Err(BodyError::Frame("the first byte says neither compressed (1) nor not (0)")),
    };
    body::read(&mut Message { body, rest, left }, coding, limit, place).await
}

const CUT_SHORT: BodyError = BodyError::Frame("the call ended inside its message");

/// A message behind its prefix.
struct Message<'b, B> {
    body: &'b mut B,
    /// What came with the prefix.
    rest: Bytes,
    left: usize,
}

impl<B: Pieces> Pieces for Message<'_, B> {
    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        let mut piece = std::mem::take(&mut self.rest);
        while piece.is_empty() {
            match self.body.next().await? {
                Some(next) => piece = next,
                None if self.left == 0 => return Ok(None),
                None => return Err(CUT_SHORT),
            }
        }
        if piece.len() > self.left {
            return Err(BodyError::Frame("the call has more than one message"));
        }
        self.left -= piece.len();
        Ok(Some(piece))
    }

    fn expected(&self) -> u64 {
        self.left as u64
    }
}

/// The answer of a call that succeeded.
pub(crate) fn success(message: &[u8]) -> Response<Body> {
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    // An answer has some hundred bytes.
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    let mut response = Response::new(Body::new(Answer { message: Some(framed.freeze()), trailers: true }));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// A message, then the status that all went well.
struct Answer {
    message: Option<Bytes>,
    trailers: bool,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(message) = self.message.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        let trailers = std::mem::take(&mut self.trailers).then(|| {
            let ok = (header::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"));
            Ok(Frame::trailers(HeaderMap::from_iter([ok])))
        });
        Poll::Ready(trailers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1_000;

    fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
        let mut frame = vec![flag];
        frame.put_u32(message.len() as u32);
        frame.extend_from_slice(message);
        frame
    }

    /// A body that comes in pieces of so many bytes.
    struct Cut(Bytes, usize);

    impl Pieces for Cut {
        async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
            let piece = self.1.min(self.0.len());
            let piece = self.0.split_to(piece);
            Ok((!piece.is_empty()).then_some(piece))
        }

        fn expected(&self) -> u64 {
            0
        }
    }

    async fn message(body: impl Into<Bytes>, cut: usize, coding: Coding) -> Result<Bytes, String> {
        let mut body = Cut(body.into(), cut);
        let read = read(&mut body, coding, LIMIT, &mut Place::alone(1 << 20)).await;
        read.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_message_is_read_however_it_is_cut_and_what_is_not_one_message_is_refused() {
        let whole: Vec<u8> = (0..LIMIT).map(|at| at as u8).collect();
        let zstd = zstd::bulk::compress(&whole[..LIMIT - 50], 1).unwrap();
        for cut in [1, 2, 4, 5, 6, 7, 500, LIMIT + PREFIX, usize::MAX] {
            assert_eq!(message(framed(0, &whole), cut, Coding::Zstd).await.unwrap(), whole, "{cut}");
            let plain = message(framed(1, &zstd), cut, Coding::Zstd).await.unwrap();
            assert_eq!(plain, whole[..LIMIT - 50], "{cut}");
            for (body, expected) in [
                (vec![], "the call has no message"),
                (vec![0, 0, 0], "the call ended inside its message"),
                (framed(0, &whole)[..LIMIT].to_vec(), "the call ended inside its message"),
                ([framed(0, b"one"), framed(0, b"two")].concat(), "the call has more than one message"),
                (framed(0, &[0; LIMIT + 1]), "the request is larger than 1000 bytes"),
                (vec![0, 255, 255, 255, 255], "the request is larger than 1000 bytes"),
                (framed(2, b"?"), "the first byte says neither compressed (1) nor not (0)"),
                (framed(1, b"?"), "the message is compressed, and no grpc-encoding says how"),
            ] {
                assert_eq!(message(body, cut, Coding::Identity).await, Err(expected.to_owned()), "{cut}");
            }
        }
    }

    #[tokio::test]
    async fn a_message_in_one_piece_is_not_copied() {
        let body: Bytes = framed(0, b"message").into();
        let place = body.as_ptr().wrapping_add(PREFIX);
        let message = message(body, usize::MAX, Coding::Identity).await.unwrap();
        assert_eq!((message.as_ptr(), &*message), (place, b"message".as_slice()));
    }
}
