//! The zero-copy reader and the JSON transcoder against prost.
//!
//! What it proves: whatever request prost can encode is read as prost's structs say, in protobuf and in every style of
//! OTLP/JSON; items that break a rule are refused by name and their neighbours kept; and bytes that are no request are
//! refused without a panic. What it does not: that real senders write such requests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test's folders are named by the environment")]

#[path = "wire/generate.rs"]
mod generate;
#[path = "wire/generate_metrics.rs"]
mod generate_metrics;
#[path = "wire/json.rs"]
mod json;
#[path = "wire/observed.rs"]
mod observed;

use generate::Planted;
use isotel::wire::any_value::NESTING_MAX;
use isotel::wire::file::read_requests;
use isotel::wire::{Refusal, Signal, json::transcode};
use json::{Defaults, Style, ToJson};
use observed::{Observed, Request};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use prost::Message as _;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a planted request must be observed as.
fn expected<R: Request>(planted: &Planted<R>) -> Observed<R::Item> {
    Observed { refused: planted.refused.clone(), ..planted.kept.walked() }
}

fn protobuf_is_read_as_prost_reads_it<R: Request>(planted: &Planted<R>) -> TestCaseResult {
    let bytes = planted.request.encode_to_vec();
    prop_assert_eq!(R::decoded(&bytes), Ok(expected(planted)));
    Ok(())
}

fn json_says_the_same<R: Request + ToJson>(planted: &Planted<R>, style: Style) -> TestCaseResult {
    let value = planted.request.to_json(style);
    for text in [value.to_string(), format!("\n{value:#}\r\n")] {
        let mut bytes = Vec::new();
        transcode(R::SIGNAL, text.as_bytes(), &mut bytes)
            .map_err(|e| TestCaseError::fail(format!("{e}: {text}")))?;
        prop_assert_eq!(R::decoded(&bytes), Ok(expected(planted)), "{}", text);
    }
    Ok(())
}

/// Every proper prefix is refused or read exactly when prost does so, and is then read alike.
fn prefixes_are_taken_as_prost_takes_them<R: Request>(planted: &Planted<R>) -> TestCaseResult {
    let bytes = planted.kept.encode_to_vec();
    for end in 0..bytes.len() {
        let (ours, theirs) = (R::decoded(&bytes[..end]), R::decode(&bytes[..end]));
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{} of {} bytes", end, bytes.len());
        if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
            prop_assert_eq!(ours, theirs.walked());
        }
    }
    Ok(())
}

/// Bit flips: no panic; and where prost still sees the only encoding of a request, so do we.
fn flipped_bits_are_refused_or_read<R: Request>(
    planted: &Planted<R>,
    flips: &[prop::sample::Index],
) -> TestCaseResult {
    let mut bytes = planted.request.encode_to_vec();
    if bytes.is_empty() {
        return Ok(());
    }
    for flip in flips {
        let bit = flip.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let ours = R::decoded(&bytes);
        let theirs = R::decode(&*bytes).ok().filter(|theirs| theirs.encode_to_vec() == bytes);
        if let Some(theirs) = theirs {
            prop_assert!(ours.is_ok(), "prost reads what we refuse with {:?}", ours);
            let ours = ours.ok().filter(|ours| ours.refused.is_empty());
            // Compared as text, in which a NaN equals itself.
            let same = ours.is_none_or(|ours| format!("{ours:?}") == format!("{:?}", theirs.walked()));
            prop_assert!(same, "{:?} is read otherwise", theirs);
        }
        each_signal_without_panic(&bytes);
    }
    Ok(())
}

/// Reads bytes as any of the signals, down to every value in them.
fn each_signal_without_panic(bytes: &[u8]) {
    let _ = ExportTraceServiceRequest::decoded(bytes);
    let _ = ExportMetricsServiceRequest::decoded(bytes);
    let _ = ExportLogsServiceRequest::decoded(bytes);
    let _ = read_requests(bytes, |_, _, _| {});
}

fn style() -> impl Strategy<Value = Style> {
    let defaults = prop_oneof![Just(Defaults::Omitted), Just(Defaults::Written), Just(Defaults::Null)];
    (any::<[bool; 3]>(), defaults).prop_map(|([quoted, upper, unknown], defaults)| Style {
        quoted,
        upper,
        defaults,
        unknown,
    })
}

fn flips() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 1..12)
}

/// Bytes that look enough like a message to be walked into: keys of small fields, short lengths, and noise.
fn almost_protobuf() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        (1u8..16, 0u8..8).prop_map(|(field, wire_type)| vec![field << 3 | wire_type]),
        (1u8..16, 0u8..12).prop_map(|(field, length)| vec![field << 3 | 2, length]),
        prop::collection::vec(any::<u8>(), 0..12),
        any::<u64>().prop_map(|value| value.to_le_bytes().to_vec()),
        Just(vec![0xff; 10]),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// JSON of the right words in the wrong places.
fn almost_json() -> impl Strategy<Value = String> {
    let words = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "null",
        "true",
        "0",
        "-1",
        "1e400",
        "\"\"",
        "\"x\"",
        "\"resourceSpans\"",
        "\"scopeSpans\"",
        "\"spans\"",
        "\"resourceMetrics\"",
        "\"resourceLogs\"",
        "\"attributes\"",
        "\"value\"",
        "\"arrayValue\"",
        "\"values\"",
        "\"intValue\"",
        "\"\\ud800\"",
        "\u{0}",
        "\"NaN\"",
        " ",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..30).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn traces_in_protobuf_are_read_as_prost_reads_them(planted in generate::traces()) {
        protobuf_is_read_as_prost_reads_it(&planted)?;
    }

    #[test]
    fn metrics_in_protobuf_are_read_as_prost_reads_them(planted in generate_metrics::metrics()) {
        protobuf_is_read_as_prost_reads_it(&planted)?;
    }

    #[test]
    fn logs_in_protobuf_are_read_as_prost_reads_them(planted in generate::logs()) {
        protobuf_is_read_as_prost_reads_it(&planted)?;
    }

    #[test]
    fn traces_in_json_say_the_same(planted in generate::traces(), style in style()) {
        json_says_the_same(&planted, style)?;
    }

    #[test]
    fn metrics_in_json_say_the_same(planted in generate_metrics::metrics(), style in style()) {
        json_says_the_same(&planted, style)?;
    }

    #[test]
    fn logs_in_json_say_the_same(planted in generate::logs(), style in style()) {
        json_says_the_same(&planted, style)?;
    }

    #[test]
    fn flipped_bits_in_traces_are_refused_or_read(planted in generate::traces(), flips in flips()) {
        flipped_bits_are_refused_or_read(&planted, &flips)?;
    }

    #[test]
    fn flipped_bits_in_metrics_are_refused_or_read(planted in generate_metrics::metrics(), flips in flips()) {
        flipped_bits_are_refused_or_read(&planted, &flips)?;
    }

    #[test]
    fn flipped_bits_in_logs_are_refused_or_read(planted in generate::logs(), flips in flips()) {
        flipped_bits_are_refused_or_read(&planted, &flips)?;
    }

    #[test]
    fn bytes_without_meaning_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        each_signal_without_panic(&bytes);
    }

    #[test]
    fn bytes_that_look_like_protobuf_are_refused_or_read(bytes in almost_protobuf()) {
        each_signal_without_panic(&bytes);
    }

    #[test]
    fn text_that_looks_like_json_is_refused_or_read(text in almost_json()) {
        for signal in Signal::ALL {
            let mut bytes = Vec::new();
            if transcode(signal, text.as_bytes(), &mut bytes).is_ok() {
                each_signal_without_panic(&bytes);
            }
        }
        each_signal_without_panic(text.as_bytes());
    }

    #[test]
    fn json_cut_off_or_with_a_flipped_bit_is_refused_or_read(
        planted in generate_metrics::metrics(), style in style(), flip: prop::sample::Index, cut: prop::sample::Index,
    ) {
        let mut text = planted.request.to_json(style).to_string().into_bytes();
        let end = cut.index(text.len());
        prop_assert!(transcode(Signal::Metrics, &text[..end], &mut Vec::new()).is_err(), "cut off at {}", end);
        let bit = flip.index(text.len() * 8);
        text[bit / 8] ^= 1 << (bit % 8);
        let mut bytes = Vec::new();
        if transcode(Signal::Metrics, &text, &mut bytes).is_ok() {
            prop_assert!(ExportMetricsServiceRequest::decode(&*bytes).is_ok(), "what is transcoded is protobuf");
            each_signal_without_panic(&bytes);
        }
    }
}

proptest! {
    // Each case tries every prefix.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn prefixes_of_traces_are_taken_as_prost_takes_them(planted in generate::traces()) {
        prefixes_are_taken_as_prost_takes_them(&planted)?;
    }

    #[test]
    fn prefixes_of_metrics_are_taken_as_prost_takes_them(planted in generate_metrics::metrics()) {
        prefixes_are_taken_as_prost_takes_them(&planted)?;
    }

    #[test]
    fn prefixes_of_logs_are_taken_as_prost_takes_them(planted in generate::logs()) {
        prefixes_are_taken_as_prost_takes_them(&planted)?;
    }
}

fn span_with_nesting(levels: usize) -> ExportTraceServiceRequest {
    let span = Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_000_250_000_000,
        attributes: vec![generate::nested(levels)],
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }],
    }
}

#[test]
fn nesting_is_read_to_the_limit_and_refused_beyond_it_however_deep() {
    for (levels, refused) in [(NESTING_MAX, 0), (NESTING_MAX + 1, 1), (1_000, 1)] {
        let observed =
            ExportTraceServiceRequest::decoded(&span_with_nesting(levels).encode_to_vec()).unwrap();
        assert_eq!(observed.items.len(), 1 - refused, "{levels} levels");
        assert_eq!(observed.refused.get(&Refusal::NestingTooDeep), (refused > 0).then_some(&1));
    }
    let hostile = [b"{\"resourceSpans\":".to_vec(), vec![b'['; 1_000_000]].concat();
    assert!(transcode(Signal::Traces, &hostile, &mut Vec::new()).is_err());
}

/// The folder that a variable names; `None`, told on standard error, when it is unset.
#[expect(clippy::print_stderr, reason = "a test that does not run says so")]
fn examples(variable: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os(variable).map(PathBuf::from) else {
        eprintln!("skipped: {variable} is not set; it names the folder of the published OTLP/JSON examples");
        return None;
    };
    let present = folder.is_dir();
    let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(present || !in_ci, "{variable} names {}, which is no folder", folder.display());
    if !present {
        eprintln!("skipped: {variable} names {}, which is no folder", folder.display());
    }
    present.then_some(folder)
}

fn read_example(path: &Path) -> BTreeMap<Signal, (usize, BTreeMap<Refusal, u64>)> {
    let bytes = std::fs::read(path).unwrap();
    let mut read = BTreeMap::new();
    read_requests(&bytes, |signal, request, _| {
        let (items, refused) = match signal {
            Signal::Traces => counted(ExportTraceServiceRequest::decoded(request).unwrap()),
            Signal::Metrics => counted(ExportMetricsServiceRequest::decoded(request).unwrap()),
            Signal::Logs => counted(ExportLogsServiceRequest::decoded(request).unwrap()),
        };
        read.insert(signal, (items, refused));
    })
    .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    read
}

fn counted<I>(observed: Observed<I>) -> (usize, BTreeMap<Refusal, u64>) {
    (observed.items.len(), observed.refused)
}

#[test]
fn the_published_examples_are_read_with_nothing_refused() {
    let Some(folder) = examples("ISOTEL_OTLP_EXAMPLES_DIR") else { return };
    for (file, signal, items) in [
        ("trace.json", Signal::Traces, 1),
        ("metrics.json", Signal::Metrics, 4),
        ("logs.json", Signal::Logs, 1),
        ("events.json", Signal::Logs, 1),
    ] {
        assert_eq!(
            read_example(&folder.join(file)),
            BTreeMap::from([(signal, (items, BTreeMap::new()))]),
            "{file}"
        );
    }
}
