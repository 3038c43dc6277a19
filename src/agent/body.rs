//! Reading a request's body within its bound.

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;

use super::compress::{InflateError, Inflater};

/// The content codings that are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    Zstd,
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error(transparent)]
    Inflate(#[from] InflateError),
    #[error("the connection ended before the request did: {0}")]
    Broken(String),
    #[error("no decompressor: {0}")]
    Decompressor(std::io::Error),
}

/// The whole body, decompressed; at most `limit` bytes before and after.
///
/// A body that arrives in one piece is handed on without a copy.
pub(crate) async fn read<B>(body: &mut B, coding: Coding, limit: usize) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let declared = body.size_hint().lower();
    if declared > limit as u64 {
        return Err(InflateError::TooLarge { limit }.into());
    }
    match coding {
        Coding::Identity => read_plain(body, limit).await,
        Coding::Gzip => read_compressed(body, Inflater::gzip(limit)).await,
        Coding::Zstd => read_compressed(body, Inflater::zstd(limit).map_err(BodyError::Decompressor)?).await,
    }
}

async fn read_plain<B>(body: &mut B, limit: usize) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(piece) = next_piece(body).await? {
        if first.len().max(whole.len()) + piece.len() > limit {
            return Err(InflateError::TooLarge { limit }.into());
        }
        if whole.is_empty() && first.is_empty() {
            first = piece;
            continue;
        }
        if whole.is_empty() {
            // What is still to come is known for bodies with a declared length; it is within the limit by now.
            let rest = usize::try_from(body.size_hint().lower()).unwrap_or(0).min(limit);
            whole.reserve(first.len() + piece.len() + rest);
            whole.extend_from_slice(&first);
        }
        whole.extend_from_slice(&piece);
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

async fn read_compressed<B>(body: &mut B, mut inflater: Inflater) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let mut empty = true;
    while let Some(piece) = next_piece(body).await? {
        empty &= piece.is_empty();
        inflater.feed(&piece)?;
    }
    // An empty request may carry a coding and no stream at all.
    if empty { Ok(Bytes::new()) } else { Ok(inflater.finish()?) }
}

/// The next piece of a body; `None` at its end.
pub(crate) async fn next_piece<B>(body: &mut B) -> Result<Option<Bytes>, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|cause| BodyError::Broken(cause.to_string()))?;
        if let Ok(piece) = frame.into_data() {
            return Ok(Some(piece));
        }
    }
    Ok(None)
}

/// Reads and forgets up to `limit` bytes, so that a client that writes its whole request before it reads sees the answer.
pub(crate) async fn discard<B>(body: &mut B, limit: usize)
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let mut left = limit;
    while let Ok(Some(piece)) = next_piece(body).await {
        match left.checked_sub(piece.len()) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
