//! gzip and zstd, both ways, with a bound on what comes out.
//!
//! Decompression is fed piece by piece as the body arrives and stops at the first byte over the limit, so that a small
//! body that would expand without end never holds more than the limit.

use std::{
    io::{self, Write},
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use flate2::write::{GzEncoder, MultiGzDecoder};
use zstd::zstd_safe::{self, DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

use crate::config::Compression;

/// Fast levels: on the way out the time of level 6 costs more than all else isotel does with a span.
const GZIP_LEVEL: u32 = 1;
const ZSTD_LEVEL: i32 = 1;
/// The largest back-reference window accepted, 8 MiB as RFC 9659 says for the `zstd` content coding.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Why a compressed body was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// More than `limit` bytes, compressed or not.
    #[error("the request is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Not a whole stream of its coding.
    #[error("the {coding} body is damaged: {cause}")]
    Corrupt {
        /// `gzip` or `zstd`.
        coding: &'static str,
        /// The decoder's words.
        cause: String,
    },
}

/// Compresses a whole request.
///
/// # Errors
/// Only what the zstd library reports, such as memory running out.
pub(crate) fn deflate(compression: Compression, plain: &Bytes) -> io::Result<Bytes> {
    match compression {
        Compression::None => Ok(plain.clone()),
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(
                Vec::with_capacity(plain.len() / 3 + 64),
                flate2::Compression::new(GZIP_LEVEL),
            );
            encoder.write_all(plain)?;
            Ok(encoder.finish()?.into())
        }
        Compression::Zstd => Ok(zstd::bulk::compress(plain, ZSTD_LEVEL)?.into()),
    }
}

/// A decompressor that is fed with pieces and holds at most `limit` bytes of result.
pub(crate) struct Inflater {
    coder: Coder,
    limit: usize,
    fed: usize,
}

enum Coder {
    Gzip(Box<MultiGzDecoder<Bounded>>),
    Zstd(Zstd),
}

impl Inflater {
    /// A gzip reader (any number of members).
    pub(crate) fn gzip(limit: usize) -> Self {
        Inflater { coder: Coder::Gzip(Box::new(MultiGzDecoder::new(Bounded::new(limit)))), limit, fed: 0 }
    }

    /// A zstd reader (any number of frames).
    pub(crate) fn zstd(limit: usize) -> io::Result<Self> {
        Ok(Inflater { coder: Coder::Zstd(Zstd::new(limit)?), limit, fed: 0 })
    }

    /// Takes the next piece of the compressed body.
    pub(crate) fn feed(&mut self, piece: &[u8]) -> Result<(), InflateError> {
        self.fed = self.fed.saturating_add(piece.len());
        if self.fed > self.limit {
            return Err(InflateError::TooLarge { limit: self.limit });
        }
        let written = match &mut self.coder {
            Coder::Gzip(decoder) => decoder.write_all(piece),
            Coder::Zstd(decoder) => decoder.feed(piece),
        };
        written.map_err(|cause| self.blame(&cause))
    }

    /// The whole plain body, once every piece was fed.
    pub(crate) fn finish(mut self) -> Result<Bytes, InflateError> {
        let finished = match &mut self.coder {
            Coder::Gzip(decoder) => decoder.try_finish(),
            Coder::Zstd(decoder) => decoder.finish(),
        };
        finished.map_err(|cause| self.blame(&cause))?;
        let sink = match &mut self.coder {
            Coder::Gzip(decoder) => decoder.get_mut(),
            Coder::Zstd(decoder) => &mut decoder.sink,
        };
        Ok(std::mem::take(&mut sink.plain).into())
    }

    fn blame(&self, cause: &io::Error) -> InflateError {
        let (coding, sink) = match &self.coder {
            Coder::Gzip(decoder) => ("gzip", decoder.get_ref()),
            Coder::Zstd(decoder) => ("zstd", &decoder.sink),
        };
        if sink.overflowed {
            InflateError::TooLarge { limit: self.limit }
        } else {
            InflateError::Corrupt { coding, cause: cause.to_string() }
        }
    }
}

/// Contexts that wait for the next request: to make one costs as much as a request's decompression.
static CONTEXTS: Mutex<Vec<DCtx<'static>>> = Mutex::new(Vec::new());
/// How many wait at most, and how large those may be that do: one that was asked for a large window is not kept.
const CONTEXTS_MOST: usize = 16;
const CONTEXT_BYTES_MOST: usize = 1 << 20;

fn contexts() -> std::sync::MutexGuard<'static, Vec<DCtx<'static>>> {
    CONTEXTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A zstd stream on its way to plain bytes.
struct Zstd {
    /// There until the end.
    context: Option<DCtx<'static>>,
    sink: Bounded,
    /// Whether the stream stands between two frames.
    whole: bool,
}

impl Zstd {
    fn new(limit: usize) -> io::Result<Zstd> {
        let waiting = contexts().pop();
        let context = match waiting {
            Some(context) => context,
            None => {
                let mut context = DCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
                context.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX)).map_err(zstd_error)?;
                context
            }
        };
        Ok(Zstd { context: Some(context), sink: Bounded::new(limit), whole: false })
    }

    fn feed(&mut self, piece: &[u8]) -> io::Result<()> {
        let Some(context) = &mut self.context else { return Ok(()) };
        let mut input = InBuffer::around(piece);
        loop {
            let before = self.sink.plain.len();
            // One byte beyond the limit shows that there is more, and is never kept.
            let mut beyond = [0u8; 1];
            let (left, full) = if before == self.sink.limit {
                let mut output = OutBuffer::around(&mut beyond[..]);
                let left = context.decompress_stream(&mut output, &mut input).map_err(zstd_error)?;
                if output.pos() > 0 {
                    self.sink.overflowed = true;
                    return Err(io::ErrorKind::FileTooLarge.into());
                }
                (left, false)
            } else {
                self.sink.make_room(piece.len().saturating_mul(8).max(1));
                let mut output = OutBuffer::around_pos(&mut self.sink.plain, before);
                let left = context.decompress_stream(&mut output, &mut input).map_err(zstd_error)?;
                (left, output.pos() == output.capacity())
            };
            self.whole = left == 0;
            // While there was no more room, more may wait inside, unless the frame has ended.
            if input.pos() == piece.len() && (self.whole || !full) {
                return Ok(());
            }
        }
    }

    fn finish(&self) -> io::Result<()> {
        if self.whole { Ok(()) } else { Err(io::Error::other("incomplete frame")) }
    }
}

impl Drop for Zstd {
    fn drop(&mut self) {
        let Some(mut context) = self.context.take() else { return };
        if context.sizeof() <= CONTEXT_BYTES_MOST && context.reset(ResetDirective::SessionOnly).is_ok() {
            let mut contexts = contexts();
            if contexts.len() < CONTEXTS_MOST {
                contexts.push(context);
            }
        }
    }
}

fn zstd_error(code: usize) -> io::Error {
    io::Error::other(zstd_safe::get_error_name(code))
}

/// Collects at most `limit` bytes.
struct Bounded {
    plain: Vec<u8>,
    limit: usize,
    overflowed: bool,
}

impl Bounded {
    fn new(limit: usize) -> Self {
        Bounded { plain: Vec::new(), limit, overflowed: false }
    }

    /// Room for one byte at least, and for `wanted` at first: doubling, but never past the limit, which holds for memory as
    /// well as for bytes.
    fn make_room(&mut self, wanted: usize) {
        if self.plain.capacity() == self.plain.len() {
            let capacity = (self.plain.capacity() * 2).max(self.plain.len() + wanted).min(self.limit);
            self.plain.reserve_exact(capacity - self.plain.len());
        }
    }
}

impl Write for Bounded {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if piece.len() > self.limit - self.plain.len() {
            self.overflowed = true;
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        if self.plain.capacity() - self.plain.len() < piece.len() {
            // As above.
            let wanted = (self.plain.capacity() * 2).max(self.plain.len() + piece.len()).min(self.limit);
            self.plain.reserve_exact(wanted - self.plain.len());
        }
        self.plain.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 20;

    fn inflater(compression: Compression) -> Inflater {
        match compression {
            Compression::Zstd => Inflater::zstd(LIMIT).unwrap(),
            _ => Inflater::gzip(LIMIT),
        }
    }

    fn inflate(compression: Compression, body: &[u8], piece: usize) -> Result<Bytes, InflateError> {
        let mut inflater = inflater(compression);
        for piece in body.chunks(piece) {
            inflater.feed(piece)?;
        }
        inflater.finish()
    }

    fn text(bytes: usize) -> Bytes {
        (0..bytes).map(|i| (i * i / 7 % 251) as u8).collect::<Vec<_>>().into()
    }

    #[test]
    fn what_was_compressed_comes_back_however_it_is_cut() {
        for compression in [Compression::Gzip, Compression::Zstd] {
            for bytes in [0, 1, 70_000, LIMIT] {
                let plain = text(bytes);
                let body = deflate(compression, &plain).unwrap();
                for piece in [1_000, usize::MAX] {
                    assert_eq!(
                        inflate(compression, &body, piece).as_ref(),
                        Ok(&plain),
                        "{compression:?} {bytes}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        for compression in [Compression::Gzip, Compression::Zstd] {
            let body = deflate(compression, &vec![0; 64 * LIMIT].into()).unwrap();
            assert!(body.len() < LIMIT);
            assert_eq!(inflate(compression, &body, 512), Err(InflateError::TooLarge { limit: LIMIT }));
        }
    }

    #[test]
    fn a_compressed_body_over_the_limit_is_refused_even_if_it_holds_nothing() {
        let empty = deflate(Compression::Gzip, &Bytes::new()).unwrap();
        let members = empty.repeat(LIMIT / empty.len() + 1);
        assert_eq!(inflate(Compression::Gzip, &members, 4_096), Err(InflateError::TooLarge { limit: LIMIT }));
    }

    #[test]
    fn truncated_and_damaged_bodies_are_corrupt() {
        for compression in [Compression::Gzip, Compression::Zstd] {
            let body = deflate(compression, &text(10_000)).unwrap();
            for bad in
                [&body[..body.len() - 1], &body[..body.len() / 2], &body[1..], b"plain text".as_slice()]
            {
                let answer = inflate(compression, bad, 100);
                assert!(matches!(answer, Err(InflateError::Corrupt { .. })), "{compression:?} {answer:?}");
            }
        }
    }
}
