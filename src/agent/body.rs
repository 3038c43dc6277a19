//! Reading a request within its bound and its room: the body of HTTP, or of the message in it ([`super::unary`]).

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;

use super::{
    admission::{Place, Shed, Turn},
    compress::{Bounded, InflateError, Inflater},
    receive::READ_TIMEOUT,
};

/// The content codings that are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    Zstd,
}

/// Why a request could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error(transparent)]
    Inflate(InflateError),
    #[error("the connection ended before the request did: {0}")]
    Broken(String),
    #[error("{0}")]
    Frame(&'static str),
    #[error("the request did not arrive within {READ_TIMEOUT:?}")]
    TooSlow,
    #[error(transparent)]
    Shed(Shed),
}

impl From<InflateError> for BodyError {
    fn from(error: InflateError) -> Self {
        match error {
            InflateError::Shed(shed) => BodyError::Shed(shed),
            error => BodyError::Inflate(error),
        }
    }
}

/// A request as it arrives.
pub(crate) trait Pieces {
    /// The next piece, `None` after the last.
    async fn next(&mut self) -> Result<Option<Bytes>, BodyError>;
    /// How many bytes are still to come at the least.
    fn expected(&self) -> u64;
}

impl<B> Pieces for B
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        while let Some(frame) = self.frame().await {
            let frame = frame.map_err(|cause| BodyError::Broken(cause.to_string()))?;
            if let Ok(piece) = frame.into_data() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    fn expected(&self) -> u64 {
        self.size_hint().lower()
    }
}

/// The whole request, decompressed; at most `limit` bytes before and after.
///
/// A request that arrives in one piece is handed on without a copy.
pub(crate) async fn read(
    pieces: &mut impl Pieces,
    coding: Coding,
    limit: usize,
    place: &mut Place,
) -> Result<Bytes, BodyError> {
    if pieces.expected() > limit as u64 {
        return Err(InflateError::TooLarge { limit }.into());
    }
    match coding {
        Coding::Identity => read_plain(pieces, limit, place).await,
        Coding::Gzip => read_compressed(pieces, Inflater::gzip(limit, place)?).await,
        Coding::Zstd => read_compressed(pieces, Inflater::zstd(limit, place)?).await,
    }
}

async fn read_plain(pieces: &mut impl Pieces, limit: usize, place: &mut Place) -> Result<Bytes, BodyError> {
    let Some(first) = pieces.next().await? else { return Ok(Bytes::new()) };
    if first.len() > limit {
        return Err(InflateError::TooLarge { limit }.into());
    }
    place.hold(first.len()).map_err(BodyError::Shed)?;
    let Some(mut piece) = pieces.next().await? else { return Ok(first) };
    // What is declared is no more than a promise: memory follows what has come.
    let mut whole = Bounded::new(limit, 0, place);
    whole.take(&first)?;
    drop(first);
    loop {
        whole.take(&piece)?;
        match pieces.next().await? {
            Some(next) => piece = next,
            None => return Ok(whole.finish()),
        }
    }
}

async fn read_compressed(pieces: &mut impl Pieces, mut inflater: Inflater<'_>) -> Result<Bytes, BodyError> {
    let mut empty = true;
    while let Some(piece) = pieces.next().await? {
        empty &= piece.is_empty();
        inflater.feed(&piece)?;
    }
    // An empty request may carry a coding and no stream at all.
    if empty { Ok(Bytes::new()) } else { Ok(inflater.finish()?) }
}

/// Ends `reading` after [`READ_TIMEOUT`], or when the request's turn is over.
pub(crate) async fn in_time<T>(
    turn: Turn,
    reading: impl Future<Output = Result<T, BodyError>>,
) -> Result<T, BodyError> {
    tokio::select! {
        biased;
        read = reading => read,
        () = turn.over() => Err(BodyError::Shed(Shed::Slow)),
        () = tokio::time::sleep(READ_TIMEOUT) => Err(BodyError::TooSlow),
    }
}

/// Reads and forgets up to `limit` bytes, so that a client that writes its whole request before it reads sees the answer.
pub(crate) async fn discard(body: &mut impl Pieces, limit: usize) {
    let mut left = limit;
    while let Ok(Some(piece)) = body.next().await {
        match left.checked_sub(piece.len()) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    struct Cut(VecDeque<Bytes>);

    impl Pieces for Cut {
        async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
            Ok(self.0.pop_front())
        }

        fn expected(&self) -> u64 {
            0
        }
    }

    #[tokio::test]
    async fn a_request_takes_room_as_it_arrives() {
        for (room, fits) in [(100, false), (1_000, true)] {
            let mut body = Cut([60, 60, 60].map(|bytes| Bytes::from(vec![0; bytes])).into());
            let read = read(&mut body, Coding::Identity, 200, &mut Place::alone(room)).await;
            match read {
                Ok(bytes) => assert!(fits && bytes.len() == 180),
                Err(error) => assert!(!fits && matches!(error, BodyError::Shed(Shed::Bytes)), "{error}"),
            }
        }
    }
}
