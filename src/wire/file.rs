//! A file's bytes → requests.
//!
//! Read by content: OTLP/JSON (one request a line, as a collector's file exporter writes, or a single document
//! over many lines), requests with 4-byte big-endian lengths before each (the same exporter's `proto` format, and both
//! of its formats under `compression: zstd`, where every request is a zstd frame of its own), or a single protobuf
//! request. A file that is compressed as a whole comes decompressed; [`Compression::sniff`] says how.

use super::{LogBatch, MetricBatch, Signal, TraceBatch, decode_logs, decode_metrics, decode_traces, json};
use std::borrow::Cow;
use std::io::Read as _;

/// Bytes of one request that is compressed by itself: what a collector batches is far below, and a small frame can hold gigabytes.
const REQUEST_MAX: u64 = 64 << 20;

/// How a file's bytes are compressed, by their first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Compression {
    /// From a file's first bytes.
    pub fn sniff(start: &[u8]) -> Compression {
        match start {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            _ => Compression::None,
        }
    }
}

/// Why a file's content cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A line is neither of the signals' requests.
    #[error("line {line}: {reason}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A request with a length prefix cannot be read.
    #[error("byte {offset}: {reason}")]
    Frame {
        /// Where the request begins.
        offset: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A length prefix reaches beyond the end of the file.
    #[error("byte {offset}: the file ends inside of a request of {length} bytes")]
    CutOff {
        /// Where the prefix is.
        offset: usize,
        /// What it says.
        length: usize,
    },
    /// Neither JSON nor protobuf.
    #[error(
        "byte {offset}: neither OTLP/JSON nor OTLP protobuf; expected lines of JSON with resourceSpans, \
         resourceMetrics or resourceLogs, or protobuf requests with 4-byte lengths, as the collector's file exporter \
         writes them"
    )]
    Unknown {
        /// Where the unreadable request begins.
        offset: usize,
    },
}

/// The form of a file, by its content.
enum Form {
    JsonLines,
    JsonDocument,
    Framed,
    Single,
}

/// Calls `request` with each request of a file as protobuf, and how many bytes of the file have been read.
///
/// # Errors
/// [`FileError`] at the first request that cannot be read; those before it have been handed out.
pub fn read_requests(bytes: &[u8], mut request: impl FnMut(Signal, &[u8], usize)) -> Result<(), FileError> {
    match form(bytes) {
        Form::JsonLines => read_lines(bytes, &mut request),
        Form::JsonDocument => {
            let (signal, message) = read_json(bytes).map_err(|reason| FileError::Line { line: 1, reason })?;
            request(signal, &message, bytes.len());
            Ok(())
        }
        Form::Framed => read_frames(bytes, &mut request),
        Form::Single => {
            if let Some(signal) = signal_of(bytes) {
                request(signal, bytes, bytes.len());
                return Ok(());
            }
            Err(FileError::Unknown { offset: 0 })
        }
    }
}

fn form(bytes: &[u8]) -> Form {
    let first = bytes.iter().find(|b| !b.is_ascii_whitespace());
    if first == Some(&b'{') {
        let line = bytes.split(|b| *b == b'\n').find(|line| !line.trim_ascii().is_empty()).unwrap_or(bytes);
        let whole = serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok();
        return if whole { Form::JsonLines } else { Form::JsonDocument };
    }
    // A protobuf request begins with 0x0a (field 1, length-delimited); as a big-endian length that would be one of
    // at least 167 MiB.
    match bytes.first_chunk::<4>() {
        Some(prefix) if bytes[0] != 0x0a && u32::from_be_bytes(*prefix) as usize <= bytes.len() => {
            Form::Framed
        }
        None if bytes.trim_ascii().is_empty() => Form::JsonLines,
        _ => Form::Single,
    }
}

fn read_lines(bytes: &[u8], request: &mut impl FnMut(Signal, &[u8], usize)) -> Result<(), FileError> {
    let mut read = 0;
    for (at, line) in bytes.split(|b| *b == b'\n').enumerate() {
        read += line.len() + 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let (signal, message) = read_json(line).map_err(|reason| FileError::Line { line: at + 1, reason })?;
        request(signal, &message, read);
    }
    Ok(())
}

/// The signal that a JSON request's first known member names.
fn read_json(text: &[u8]) -> Result<(Signal, Vec<u8>), String> {
    let place = |member: &str| text.windows(member.len()).position(|window| window == member.as_bytes());
    let members = [
        (Signal::Traces, "\"resourceSpans\""),
        (Signal::Metrics, "\"resourceMetrics\""),
        (Signal::Logs, "\"resourceLogs\""),
    ];
    let found = members
        .iter()
        .filter_map(|(signal, member)| place(member).map(|at| (at, *signal)))
        .min_by_key(|f| f.0);
    let Some((_, signal)) = found else {
        serde_json::from_slice::<serde::de::IgnoredAny>(text).map_err(|e| format!("not JSON: {e}"))?;
        return Err("has none of resourceSpans, resourceMetrics and resourceLogs".to_owned());
    };
    let mut message = Vec::with_capacity(text.len() / 2);
    json::transcode(signal, text, &mut message).map_err(|e| e.to_string())?;
    Ok((signal, message))
}

fn read_frames(bytes: &[u8], request: &mut impl FnMut(Signal, &[u8], usize)) -> Result<(), FileError> {
    let mut offset = 0;
    let mut known = None;
    while let Some(prefix) = bytes[offset..].first_chunk::<4>() {
        let length = u32::from_be_bytes(*prefix) as usize;
        let start = offset + 4;
        let Some(message) = start.checked_add(length).and_then(|end| bytes.get(start..end)) else {
            return Err(FileError::CutOff { offset, length });
        };
        let broken = |reason: String| FileError::Frame { offset: start, reason };
        let plain = match Compression::sniff(message) {
            Compression::None => Cow::Borrowed(message),
            Compression::Gzip => return Err(broken("a gzip member; gzip is for whole files".to_owned())),
            Compression::Zstd => Cow::Owned(decompressed(message).map_err(broken)?),
        };
        offset = start + length;
        if plain.first() == Some(&b'{') {
            let (signal, message) = read_json(&plain).map_err(broken)?;
            request(signal, &message, offset);
            continue;
        }
        // A file holds few signals, so an ambiguous request is taken as the one before it.
        let signal = signal_of(&plain).or(known).ok_or(FileError::Unknown { offset: start })?;
        known = Some(signal);
        request(signal, &plain, offset);
    }
    match bytes.len() - offset {
        0 => Ok(()),
        left => Err(FileError::CutOff { offset, length: left }),
    }
}

/// What one zstd frame holds, at most [`REQUEST_MAX`] bytes.
fn decompressed(frame: &[u8]) -> Result<Vec<u8>, String> {
    let reason = |error: std::io::Error| format!("zstd: {error}");
    let mut plain = Vec::new();
    let decoder = zstd::stream::read::Decoder::with_buffer(frame).map_err(reason)?;
    decoder.take(REQUEST_MAX + 1).read_to_end(&mut plain).map_err(reason)?;
    match plain.len() as u64 <= REQUEST_MAX {
        true => Ok(plain),
        false => Err(format!(
            "a request of more than {REQUEST_MAX} bytes once it is decompressed; split the file's requests"
        )),
    }
}

/// Which signal a protobuf request holds. All three begin alike, so each decoder is asked: the one that finds items
/// which break no rule has it. Without items there is nothing to take in, and any signal will do.
fn signal_of(message: &[u8]) -> Option<Signal> {
    let mut traces = TraceBatch::default();
    let mut metrics = MetricBatch::default();
    let mut logs = LogBatch::default();
    let ok = [
        decode_traces(message, &mut traces).is_ok(),
        decode_metrics(message, &mut metrics).is_ok(),
        decode_logs(message, &mut logs).is_ok(),
    ];
    let items = [traces.spans.len(), metrics.points.len(), logs.records.len()];
    // A log record needs nothing that a span or metric lacks, so logs come last.
    Signal::ALL
        .into_iter()
        .zip(ok.into_iter().zip(items))
        .find(|(_, (ok, items))| *ok && *items > 0)
        .map(|(signal, _)| signal)
        .or_else(|| ok.iter().any(|ok| *ok).then_some(Signal::Traces))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_frame_that_holds_more_than_a_request_may_is_refused() {
        let frame = zstd::bulk::compress(&vec![0; REQUEST_MAX as usize + 1], 1).unwrap();
        assert!(frame.len() < 64 << 10);
        let file = [&(frame.len() as u32).to_be_bytes(), &*frame].concat();
        let refused = read_requests(&file, |_, _, _| {}).unwrap_err().to_string();
        assert!(refused.starts_with("byte 4: a request of more than 67108864 bytes"), "{refused}");
    }
}
