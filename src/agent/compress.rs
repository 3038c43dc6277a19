//! gzip and zstd, both ways, with a bound on what comes out.
//!
//! Decompression is fed piece by piece as the body arrives and stops at the first byte over the limit, so that a small
//! body that would expand without end never holds more than the limit.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::{GzEncoder, MultiGzDecoder};
use zstd::stream::{raw, zio};

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
    Zstd(zio::Writer<Bounded, raw::Decoder<'static>>),
}

impl Inflater {
    /// A gzip reader (any number of members).
    pub(crate) fn gzip(limit: usize) -> Self {
        Inflater { coder: Coder::Gzip(Box::new(MultiGzDecoder::new(Bounded::new(limit)))), limit, fed: 0 }
    }

    /// A zstd reader (any number of frames).
    pub(crate) fn zstd(limit: usize) -> io::Result<Self> {
        let mut decoder = raw::Decoder::new()?;
        decoder.set_parameter(zstd::zstd_safe::DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))?;
        Ok(Inflater { coder: Coder::Zstd(zio::Writer::new(Bounded::new(limit), decoder)), limit, fed: 0 })
    }

    /// Takes the next piece of the compressed body.
    pub(crate) fn feed(&mut self, piece: &[u8]) -> Result<(), InflateError> {
        self.fed = self.fed.saturating_add(piece.len());
        if self.fed > self.limit {
            return Err(InflateError::TooLarge { limit: self.limit });
        }
        let written = match &mut self.coder {
            Coder::Gzip(decoder) => decoder.write_all(piece),
            Coder::Zstd(decoder) => decoder.write_all(piece),
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
            Coder::Zstd(decoder) => decoder.writer_mut(),
        };
        Ok(std::mem::take(&mut sink.plain).into())
    }

    fn blame(&self, cause: &io::Error) -> InflateError {
        let (coding, sink) = match &self.coder {
            Coder::Gzip(decoder) => ("gzip", decoder.get_ref()),
            Coder::Zstd(decoder) => ("zstd", decoder.writer()),
        };
        if sink.overflowed {
            InflateError::TooLarge { limit: self.limit }
        } else {
            InflateError::Corrupt { coding, cause: cause.to_string() }
        }
    }
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
}

impl Write for Bounded {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if piece.len() > self.limit - self.plain.len() {
            self.overflowed = true;
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        if self.plain.capacity() - self.plain.len() < piece.len() {
            // Doubling, but never past the limit: the bound holds for memory as well as for bytes.
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
