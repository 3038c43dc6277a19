//! gzip and zstd, both ways, with a bound on what comes out.
//!
//! Decompression is fed piece by piece as the body arrives and stops at the first byte over the limit, so that a small
//! body that would expand without end never holds more than the limit. What it holds it has taken room for before
//! ([`Place::hold`]).

use std::{
    io::{self, Write},
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use flate2::write::{GzEncoder, MultiGzDecoder};
use zstd::zstd_safe::{self, DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

use super::admission::{Place, Shed};
use crate::config::Compression;

/// Fast levels: on the way out the time of level 6 costs more than all else isotel does with a span.
const GZIP_LEVEL: u32 = 1;
const ZSTD_LEVEL: i32 = 1;
/// The largest back-reference window accepted, 8 MiB as RFC 9659 says for the `zstd` content coding.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// What a decoder holds beside its window and the result: tables, and a piece of input and output.
const GZIP_DECODER_BYTES: usize = 64 << 10;
const ZSTD_DECODER_BYTES: usize = 256 << 10;

/// Why a compressed body was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InflateError {
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
    /// There is no room for the result now.
    #[error(transparent)]
    Shed(Shed),
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
pub(crate) struct Inflater<'p> {
    coder: Coder<'p>,
    limit: usize,
    fed: usize,
}

enum Coder<'p> {
    Gzip(Box<MultiGzDecoder<Bounded<'p>>>),
    Zstd(Zstd<'p>),
}

impl<'p> Inflater<'p> {
    /// A gzip reader (any number of members).
    pub(crate) fn gzip(limit: usize, place: &'p mut Place) -> Result<Self, InflateError> {
        place.hold(GZIP_DECODER_BYTES).map_err(InflateError::Shed)?;
        let sink = Bounded::new(limit, 0, place);
        Ok(Inflater { coder: Coder::Gzip(Box::new(MultiGzDecoder::new(sink))), limit, fed: 0 })
    }

    /// A zstd reader (any number of frames).
    pub(crate) fn zstd(limit: usize, place: &'p mut Place) -> Result<Self, InflateError> {
        place.hold(ZSTD_DECODER_BYTES).map_err(InflateError::Shed)?;
        let sink = Bounded::new(limit, 1 << ZSTD_WINDOW_LOG_MAX, place);
        // The library makes a context unless the system has no memory.
        let decoder = Zstd::new(sink).map_err(|_| InflateError::Shed(Shed::Memory))?;
        Ok(Inflater { coder: Coder::Zstd(decoder), limit, fed: 0 })
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
        Ok(sink.finish())
    }

    fn blame(&self, cause: &io::Error) -> InflateError {
        let (coding, sink) = match &self.coder {
            Coder::Gzip(decoder) => ("gzip", decoder.get_ref()),
            Coder::Zstd(decoder) => ("zstd", &decoder.sink),
        };
        match &sink.stopped {
            Some(stopped) => stopped.clone(),
            None => InflateError::Corrupt { coding, cause: cause.to_string() },
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
struct Zstd<'p> {
    /// There until the end.
    context: Option<DCtx<'static>>,
    sink: Bounded<'p>,
    /// Whether the stream stands between two frames.
    whole: bool,
}

impl<'p> Zstd<'p> {
    fn new(sink: Bounded<'p>) -> io::Result<Zstd<'p>> {
        let waiting = contexts().pop();
        let context = match waiting {
            Some(context) => context,
            None => {
                let mut context = DCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
                context.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX)).map_err(zstd_error)?;
                context
            }
        };
        Ok(Zstd { context: Some(context), sink, whole: false })
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
                    let limit = self.sink.limit;
                    return Err(self.sink.stop(InflateError::TooLarge { limit }));
                }
                (left, false)
            } else {
                if self.sink.plain.capacity() == before {
                    let wanted = piece.len().saturating_mul(8).max(1);
                    self.sink.make_room(wanted).map_err(|why| self.sink.stop(why))?;
                }
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

impl Drop for Zstd<'_> {
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

/// Collects at most `limit` bytes, and takes room for them.
pub(crate) struct Bounded<'p> {
    plain: Vec<u8>,
    limit: usize,
    /// A decoder remembers so much of the result once more.
    window: usize,
    place: &'p mut Place,
    stopped: Option<InflateError>,
}

impl<'p> Bounded<'p> {
    pub(crate) fn new(limit: usize, window: usize, place: &'p mut Place) -> Self {
        Bounded { plain: Vec::new(), limit, window, place, stopped: None }
    }

    /// Adds a piece.
    pub(crate) fn take(&mut self, piece: &[u8]) -> Result<(), InflateError> {
        if piece.len() > self.limit - self.plain.len() {
            return Err(InflateError::TooLarge { limit: self.limit });
        }
        if self.plain.capacity() - self.plain.len() < piece.len() {
            self.make_room(piece.len())?;
        }
        self.plain.extend_from_slice(piece);
        Ok(())
    }

    /// Room for `wanted` bytes more, as far as the limit allows: doubling, but never past the limit, which holds for memory as
    /// well as for bytes.
    fn make_room(&mut self, wanted: usize) -> Result<(), InflateError> {
        let before = self.plain.capacity();
        let capacity = (before * 2).max(self.plain.len() + wanted).min(self.limit);
        let held = |capacity: usize| capacity + capacity.min(self.window);
        self.place.hold(held(capacity) - held(before)).map_err(InflateError::Shed)?;
        self.plain.reserve_exact(capacity - self.plain.len());
        Ok(())
    }

    /// Remembers why nothing more is taken; the coders know errors of input and output only.
    fn stop(&mut self, why: InflateError) -> io::Error {
        self.stopped = Some(why);
        io::ErrorKind::FileTooLarge.into()
    }

    /// All of it.
    pub(crate) fn finish(&mut self) -> Bytes {
        std::mem::take(&mut self.plain).into()
    }
}

impl Write for Bounded<'_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.take(piece).map_err(|why| self.stop(why))?;
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

    fn inflate(compression: Compression, body: &[u8], piece: usize) -> Result<Bytes, InflateError> {
        inflate_in(4 * LIMIT, compression, body, piece)
    }

    /// The same where there is so much room.
    fn inflate_in(
        room: usize,
        compression: Compression,
        body: &[u8],
        piece: usize,
    ) -> Result<Bytes, InflateError> {
        let mut place = Place::alone(room);
        let mut inflater = match compression {
            Compression::Zstd => Inflater::zstd(LIMIT, &mut place)?,
            _ => Inflater::gzip(LIMIT, &mut place)?,
        };
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
    fn a_bomb_stops_where_the_room_ends() {
        for compression in [Compression::Gzip, Compression::Zstd] {
            let body = deflate(compression, &vec![0; LIMIT].into()).unwrap();
            for room in [0, LIMIT / 2, LIMIT] {
                let answer = inflate_in(room, compression, &body, 512);
                assert_eq!(answer, Err(InflateError::Shed(Shed::Bytes)), "{compression:?} {room}");
            }
            assert!(inflate(compression, &body, 512).is_ok());
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
