//! Files with telemetry → requests.

use super::Failure;
use super::next::{instead_of, next, paths as words};
use crate::engine::snapshot::{Snapshot, is_snapshot};
use crate::model::Limits;
use crate::wire::file::{Compression, read_requests};
use crate::wire::{LogBatch, MetricBatch, Signal, TraceBatch, decode_logs, decode_metrics, decode_traces};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeSet;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

/// One recorded request as protobuf.
pub struct Recorded {
    /// Its signal.
    pub signal: Signal,
    /// Its bytes.
    pub request: Vec<u8>,
}

/// Reads all requests of some files, in order; `-` is standard input.
pub fn read(paths: &[PathBuf], quiet: bool) -> Result<Vec<Recorded>, Failure> {
    let mut recorded = Vec::new();
    for path in paths {
        let before = recorded.len();
        let name =
            if path.as_os_str() == "-" { "standard input".to_owned() } else { path.display().to_string() };
        let bytes = content(path).map_err(|error| {
            Failure::Io(format!("error: cannot read {name}: {error}{}", instead_of(path, &error)))
        })?;
        let bar = progress(&name, bytes.len(), quiet);
        let read = read_requests(&bytes, |signal, request, position| {
            recorded.push(Recorded { signal, request: request.to_vec() });
            bar.set_position(position as u64);
        });
        bar.finish_and_clear();
        read.map_err(|error| Failure::Io(format!("error: {name}: {error}{}", what_it_is(path, &bytes))))?;
        if recorded.len() == before && !quiet {
            super::complain(&format!("warning: {name} has no telemetry"));
        }
    }
    Ok(recorded)
}

/// Which command reads a file that is no telemetry but something else of ours.
fn what_it_is(path: &PathBuf, bytes: &[u8]) -> String {
    let is_verdict = std::str::from_utf8(bytes).is_ok_and(|text| crate::report::from_json(text).is_ok());
    if is_verdict { next(&format!("isotel explain {}", words(&[path]))) } else { String::new() }
}

/// The snapshot among some files, if there is one; it must be alone.
pub fn snapshot(paths: &[PathBuf]) -> Result<Option<Snapshot>, Failure> {
    let mut found = None;
    for path in paths.iter().filter(|path| path.as_os_str() != "-") {
        let mut start = Vec::new();
        // A file that cannot be read is told by whoever reads all of it.
        let Ok(file) = std::fs::File::open(path) else { continue };
        if file.take(8).read_to_end(&mut start).is_ok() && is_snapshot(&start) {
            found = Some(path);
        }
    }
    let Some(path) = found else { return Ok(None) };
    let name = path.display();
    if paths.len() > 1 {
        return Err(Failure::Usage(format!(
            "error: {name} is a snapshot, and stands alone\n  hint: save one snapshot of all files with `isotel snapshot save`"
        )));
    }
    let failed = |error: &dyn std::fmt::Display| Failure::Io(format!("error: {name}: {error}"));
    let bytes = std::fs::read(path).map_err(|error| failed(&error))?;
    Snapshot::from_bytes(&bytes).map(Some).map_err(|error| failed(&error))
}

/// A file's bytes, decompressed.
fn content(path: &Path) -> std::io::Result<Vec<u8>> {
    let raw = super::read(path)?;
    let mut bytes = Vec::new();
    match Compression::sniff(&raw) {
        Compression::None => return Ok(raw),
        Compression::Gzip => flate2::read::MultiGzDecoder::new(&raw[..]).read_to_end(&mut bytes)?,
        Compression::Zstd => zstd::stream::read::Decoder::new(&raw[..])?.read_to_end(&mut bytes)?,
    };
    Ok(bytes)
}

/// A bar on long input, when somebody looks.
fn progress(name: &str, bytes: usize, quiet: bool) -> ProgressBar {
    const LONG: usize = 16 << 20;
    if quiet || bytes < LONG || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(bytes as u64).with_message(name.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {eta}") {
        bar.set_style(style);
    }
    bar
}

/// In how many different seconds of event time there is telemetry, without what will be refused for its time.
pub fn active_seconds<'a>(recorded: impl Iterator<Item = &'a Recorded>, limits: &Limits, now_ns: u64) -> u64 {
    let (mut traces, mut metrics, mut logs) =
        (TraceBatch::default(), MetricBatch::default(), LogBatch::default());
    let mut seconds = BTreeSet::new();
    let mut see = |time_ns: u64| {
        if limits.refuse_time(now_ns, time_ns).is_none() {
            seconds.insert(time_ns / 1_000_000_000);
        }
    };
    for Recorded { signal, request } in recorded {
        match signal {
            Signal::Traces => {
                traces.clear();
                if decode_traces(request, &mut traces).is_ok() {
                    traces.spans.iter().for_each(|span| see(span.end_ns));
                }
            }
            Signal::Metrics => {
                metrics.clear();
                if decode_metrics(request, &mut metrics).is_ok() {
                    metrics.points.iter().for_each(|point| see(point.time_ns));
                }
            }
            Signal::Logs => {
                logs.clear();
                if decode_logs(request, &mut logs).is_ok() {
                    logs.records.iter().for_each(|record| see(record.time_ns.max(record.observed_time_ns)));
                }
            }
        }
    }
    seconds.len() as u64
}

/// A window for recordings that nobody chose one for: the longest round one of which the shorter side has at least 24
/// with telemetry. Windows are the clusters in which load drifts, so some dozens are wanted on each side, and a long
/// recording must not become thousands.
pub fn window_for(active_seconds: u64) -> u64 {
    const SECONDS: [u64; 14] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 86_400];
    const WINDOWS: u64 = 24;
    let fits = SECONDS.into_iter().rev().find(|window| active_seconds / window >= WINDOWS);
    fits.unwrap_or(1) * 1_000_000_000
}
