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
use tonic::{Code, Status, body::Body};

use super::{
    body::{BodyError, Coding, next_piece},
    compress::{InflateError, Inflater},
};

/// Bytes in front of a message.
const PREFIX: usize = 5;
/// What a message is given room for before it is there.
const ROOM_FIRST: usize = 1 << 20;

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
/// RESOURCE_EXHAUSTED beyond the limit, INVALID_ARGUMENT for a damaged stream, INTERNAL for what is not one whole message,
/// CANCELLED when the connection ended first.
pub(crate) async fn read<B>(body: &mut B, coding: Coding, limit: usize) -> Result<Bytes, Status>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let mut piece = next(body).await?.ok_or_else(|| Status::internal("the call has no message"))?;
    while piece.len() < PREFIX {
        let more = next(body).await?.ok_or_else(cut_short)?;
        piece = [piece, more].concat().into();
    }
    let (flag, length) = (piece.get_u8(), piece.get_u32() as usize);
    if length > limit {
        return Err(refuse(InflateError::TooLarge { limit }.into()));
    }
    let inflater = match (flag, coding) {
        (0, _) => None,
        (1, Coding::Gzip) => Some(Inflater::gzip(limit)),
        (1, Coding::Zstd) => {
            Some(Inflater::zstd(limit).map_err(|cause| refuse(BodyError::Decompressor(cause)))?)
        }
        (1, Coding::Identity) => {
            return Err(Status::internal("the message is compressed, and no grpc-encoding says how"));
        }
        _ => return Err(Status::internal(format!("{flag} says neither compressed (1) nor not (0)"))),
    };
    let (message, rest) = match inflater {
        None => plain(body, piece, length).await?,
        Some(inflater) => inflate(body, piece, length, inflater).await?,
    };
    if !rest.is_empty() || next(body).await?.is_some() {
        return Err(Status::internal("the call has more than one message"));
    }
    Ok(message)
}

/// A message of `length` bytes that begins with `piece`, and what follows it.
async fn plain<B>(body: &mut B, mut piece: Bytes, length: usize) -> Result<(Bytes, Bytes), Status>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    if piece.len() >= length {
        let message = piece.split_to(length);
        return Ok((message, piece));
    }
    // A length is only a claim.
    let mut message = BytesMut::with_capacity(length.min(ROOM_FIRST.max(piece.len())));
    loop {
        let ours = piece.split_to(piece.len().min(length - message.len()));
        message.extend_from_slice(&ours);
        if message.len() == length {
            return Ok((message.freeze(), piece));
        }
        piece = next(body).await?.ok_or_else(cut_short)?;
    }
}

/// The same of a compressed message.
async fn inflate<B>(
    body: &mut B,
    mut piece: Bytes,
    mut left: usize,
    mut inflater: Inflater,
) -> Result<(Bytes, Bytes), Status>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    if left == 0 {
        return Ok((Bytes::new(), piece));
    }
    loop {
        let ours = piece.split_to(piece.len().min(left));
        left -= ours.len();
        inflater.feed(&ours).map_err(|cause| refuse(cause.into()))?;
        if left == 0 {
            return Ok((inflater.finish().map_err(|cause| refuse(cause.into()))?, piece));
        }
        piece = next(body).await?.ok_or_else(cut_short)?;
    }
}

async fn next<B>(body: &mut B) -> Result<Option<Bytes>, Status>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    loop {
        match next_piece(body).await.map_err(refuse)? {
            Some(piece) if piece.is_empty() => {}
            found => return Ok(found),
        }
    }
}

fn cut_short() -> Status {
    Status::internal("the call ended inside its message")
}

fn refuse(cause: BodyError) -> Status {
    let code = match &cause {
        BodyError::Inflate(InflateError::TooLarge { .. }) => Code::ResourceExhausted,
        BodyError::Inflate(InflateError::Corrupt { .. }) => Code::InvalidArgument,
        BodyError::Broken(_) => Code::Cancelled,
        BodyError::Decompressor(_) => Code::Internal,
    };
    Status::new(code, cause.to_string())
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
    use http_body_util::Full;

    const LIMIT: usize = 1_000;

    fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
        let mut frame = vec![flag];
        frame.put_u32(message.len() as u32);
        frame.extend_from_slice(message);
        frame
    }

    /// A body that comes in pieces of so many bytes.
    struct Pieces(Bytes, usize);

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let piece = self.1.min(self.0.len());
            let piece = self.0.split_to(piece);
            Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
        }
    }

    #[tokio::test]
    async fn a_message_is_read_however_it_is_cut_and_what_is_not_one_message_is_refused() {
        let message: Vec<u8> = (0..LIMIT).map(|at| at as u8).collect();
        let zstd = zstd::bulk::compress(&message, 1).unwrap();
        for cut in [1, 2, 4, 5, 6, 7, 500, LIMIT + PREFIX, usize::MAX] {
            let mut body = Pieces(framed(0, &message).into(), cut);
            assert_eq!(read(&mut body, Coding::Identity, LIMIT).await.unwrap(), message, "{cut}");
            let mut body = Pieces(framed(1, &zstd).into(), cut);
            assert_eq!(read(&mut body, Coding::Zstd, LIMIT + 50).await.unwrap(), message, "{cut}");
            let mut short = Pieces(framed(0, &message)[..LIMIT].to_vec().into(), cut);
            assert_eq!(read(&mut short, Coding::Identity, LIMIT).await.unwrap_err().code(), Code::Internal);
            let two = [framed(0, b"one"), framed(0, b"two")].concat();
            let refused = read(&mut Pieces(two.into(), cut), Coding::Identity, LIMIT).await;
            assert_eq!(refused.unwrap_err().message(), "the call has more than one message", "{cut}");
        }
        let mut one_more = Full::<Bytes>::from(framed(0, &[0; LIMIT + 1]));
        let refused = read(&mut one_more, Coding::Identity, LIMIT).await;
        assert_eq!(refused.unwrap_err().code(), Code::ResourceExhausted);
        let claimed = read(&mut Full::<Bytes>::from(framed(2, b"?")), Coding::Identity, LIMIT).await;
        assert_eq!(claimed.unwrap_err().code(), Code::Internal);
    }

    #[tokio::test]
    async fn a_message_in_one_piece_is_not_copied() {
        let body: Bytes = framed(0, b"message").into();
        let place = body.as_ptr().wrapping_add(PREFIX);
        let message = read(&mut Full::new(body), Coding::Identity, LIMIT).await.unwrap();
        assert_eq!((message.as_ptr(), &*message), (place, b"message".as_slice()));
    }
}
