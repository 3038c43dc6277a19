//! What is fuzzed: for each reader of bytes from outside, a function that panics if the reader does, or if what it read is
//! not what it must be. Each takes bytes and nothing else, so that any driver can call it.

#[path = "../engine/build.rs"]
#[allow(dead_code, reason = "the engine's tests use all of it")]
mod build;
#[path = "../wire/observed.rs"]
mod observed;
#[path = "operations.rs"]
mod operations;

use build::{GENERATED_AT, MINUTE, NOW, T0, plan};
use isotel::agent::storage::log::{Log, OpenError};
use isotel::config::{self, Problems, Source};
use isotel::engine::snapshot::Snapshot;
use isotel::engine::{Engine, Plan};
use isotel::judge::policy::Policy;
use isotel::model::{HashKey, Redaction};
use isotel::report::to_json;
use isotel::window::parts::{self, Part};
use isotel::wire::field::GROUP;
use isotel::wire::json::transcode;
use isotel::wire::{Signal, file::read_requests};
use observed::Request;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;

/// One reader.
pub struct Target {
    /// Its name, and that of its folder in `corpus/`.
    pub name: &'static str,
    /// Panics where something is wrong.
    pub run: fn(&[u8]),
    /// Reads and does nothing else: what must not need more memory than [`Target::bytes_max`].
    pub read: fn(&[u8]),
    /// Bytes that reading may hold at a time for each byte of the input.
    pub held_per_byte: u64,
    /// Bytes that it may hold whatever the input.
    pub held_always: u64,
}

impl Target {
    /// One input, within its memory.
    pub fn check(&self, input: &[u8]) {
        (self.run)(input);
        let held = allocation_counter::measure(|| (self.read)(input)).bytes_max;
        let most = self.bytes_max(input);
        assert!(
            held <= most,
            "an input of {} bytes has {held} bytes held at a time, and {most} may be",
            input.len()
        );
    }

    /// Bytes that reading this input may hold at a time.
    fn bytes_max(&self, input: &[u8]) -> u64 {
        self.held_always + self.held_per_byte * input.len() as u64
    }
}

const fn target(name: &'static str, run: fn(&[u8]), read: fn(&[u8]), held: (u64, u64)) -> Target {
    let (held_per_byte, held_always) = held;
    Target { name, run, read, held_per_byte, held_always }
}

/// All. The factors of memory are for the worst input: the smallest items that OTLP can write, YAML of one-letter values. A
/// compressed request of a file may hold 64 MiB; serde makes room for 1 MiB of each list before it has read its items.
pub const TARGETS: [Target; 13] = [
    target(
        "traces",
        like_prost::<ExportTraceServiceRequest>,
        decode::<ExportTraceServiceRequest>,
        (128, 16 << 10),
    ),
    target(
        "metrics",
        like_prost::<ExportMetricsServiceRequest>,
        decode::<ExportMetricsServiceRequest>,
        (128, 16 << 10),
    ),
    target(
        "logs",
        like_prost::<ExportLogsServiceRequest>,
        decode::<ExportLogsServiceRequest>,
        (128, 16 << 10),
    ),
    target("ingest", ingest, ingest, (4 << 10, 64 << 20)),
    target("json", json, transcode_all, (32, 16 << 10)),
    target("file", file, read_file, (256, 192 << 20)),
    target("config", configuration, configuration, (4 << 10, 4 << 20)),
    target("catalog", catalog, catalog, (4 << 10, 4 << 20)),
    target("log", log, log, (8, 64 << 10)),
    target("checkpoint", checkpoint, restore, (256, 16 << 20)),
    target("snapshot", snapshot, read_snapshot, (256, 16 << 20)),
    target("part", part, read_part, (512, 64 << 20)),
    target("operations", operations::run, operations::run, (64 << 10, 64 << 20)),
];

/// The target of a name.
pub fn named(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).expect("a target has the name of its binary")
}

/// Whatever prost reads is read, but for groups, with as many items; what it would write is read as it reads it.
fn like_prost<R: Request>(bytes: &[u8]) {
    let ours = R::decoded(bytes);
    let Ok(theirs) = R::decode(bytes) else { return };
    let ours = match ours {
        Ok(ours) => ours,
        // Unknown fields may be groups to prost.
        Err(error) if error.what == GROUP => return,
        Err(error) => panic!("prost reads what we refuse with {error}: {theirs:?}"),
    };
    if theirs.encode_to_vec() != bytes {
        return;
    }
    let seen = theirs.walked();
    let refused: u64 = ours.refused.values().sum();
    assert_eq!(ours.items.len() as u64 + refused, seen.items.len() as u64, "items of {theirs:?}");
    if refused == 0 {
        // Compared as text, in which a NaN equals itself.
        assert_eq!(format!("{ours:?}"), format!("{seen:?}"), "{theirs:?} is read otherwise");
    }
}

fn decode<R: Request>(bytes: &[u8]) {
    let mut traces = isotel::wire::TraceBatch::default();
    let mut metrics = isotel::wire::MetricBatch::default();
    let mut logs = isotel::wire::LogBatch::default();
    let _ = match R::SIGNAL {
        Signal::Traces => isotel::wire::decode_traces(bytes, &mut traces),
        Signal::Metrics => isotel::wire::decode_metrics(bytes, &mut metrics),
        Signal::Logs => isotel::wire::decode_logs(bytes, &mut logs),
    };
}

/// Items as prost counts them, of bytes that it would write itself.
fn counted<R: Request>(bytes: &[u8]) -> Option<u64> {
    let theirs = R::decode(bytes).ok().filter(|theirs| theirs.encode_to_vec() == bytes)?;
    Some(theirs.walked().items.len() as u64)
}

/// Every item is accepted or refused, a refused request leaves nothing, and what came of it can be sealed, judged and told.
fn ingest(bytes: &[u8]) {
    let engine = &mut Engine::new(plan(), 1);
    let door = engine.ingest();
    for signal in Signal::ALL {
        let before = items(&door.tally());
        let answer = door.observe(NOW, None, signal, bytes);
        let taken = items(&door.tally()) - before;
        let counted = match signal {
            Signal::Traces => counted::<ExportTraceServiceRequest>(bytes),
            Signal::Metrics => counted::<ExportMetricsServiceRequest>(bytes),
            Signal::Logs => counted::<ExportLogsServiceRequest>(bytes),
        };
        match answer {
            Ok(_) => {
                assert!(counted.is_none_or(|counted| counted == taken), "{taken} of {counted:?} {signal:?}")
            }
            Err(error) => assert_eq!((taken, counted), (0, None), "{signal:?}: {error}"),
        }
    }
    engine.finish(NOW, GENERATED_AT);
    tell(engine);
}

/// Items that were accepted or refused.
fn items(tally: &isotel::window::shard::Tally) -> u64 {
    tally.spans + tally.metric_points + tally.log_records + tally.refused.values().sum::<u64>()
}

/// Writes all reports; no number in them is none.
fn tell(engine: &Engine) -> Vec<String> {
    let reports: Vec<String> = engine.reports().map(|report| to_json(report)).collect();
    for report in &reports {
        serde_json::from_str::<serde_json::Value>(report).expect("a report is JSON");
    }
    reports
}

/// What is transcoded is protobuf, for prost and for us.
fn json(text: &[u8]) {
    for signal in Signal::ALL {
        let mut bytes = Vec::new();
        if transcode(signal, text, &mut bytes).is_err() {
            continue;
        }
        match signal {
            Signal::Traces => both_read::<ExportTraceServiceRequest>(&bytes),
            Signal::Metrics => both_read::<ExportMetricsServiceRequest>(&bytes),
            Signal::Logs => both_read::<ExportLogsServiceRequest>(&bytes),
        }
    }
}

fn both_read<R: Request>(bytes: &[u8]) {
    R::decoded(bytes).expect("what is transcoded is a request");
    // prost reads a hundred messages in one another, and JSON has half as many for each.
    if let Err(error) = R::decode(bytes) {
        assert!(error.to_string().contains("recursion limit"), "what is transcoded is protobuf: {error}");
    }
}

fn transcode_all(text: &[u8]) {
    for signal in Signal::ALL {
        let _ = transcode(signal, text, &mut Vec::new());
    }
}

/// Every request that is handed out is one, and progress rises to the end of the file.
fn file(bytes: &[u8]) {
    let mut before = 0;
    let read = read_requests(bytes, |signal, request, read| {
        assert!(read >= before && read <= bytes.len() + 1, "{before}, then {read} of {} bytes", bytes.len());
        before = read;
        let _ = match signal {
            Signal::Traces => ExportTraceServiceRequest::decoded(request).map(drop),
            Signal::Metrics => ExportMetricsServiceRequest::decoded(request).map(drop),
            Signal::Logs => ExportLogsServiceRequest::decoded(request).map(drop),
        };
    });
    if let Err(error) = read {
        assert!(!error.to_string().is_empty());
    }
}

fn read_file(bytes: &[u8]) {
    let _ = read_requests(bytes, |_, _, _| {});
}

/// Parts of an input that is several texts, which a zero byte parts.
fn texts(bytes: &[u8]) -> impl Iterator<Item = String> + '_ {
    bytes.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned())
}

/// Lines of a text as YAML counts them, at the most.
fn lines(text: &[u8]) -> usize {
    text.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() + 1
}

/// A configuration, a file of waivers, and what `--set` says: it is used, or every problem has a place.
fn configuration(bytes: &[u8]) {
    let mut texts = texts(bytes);
    let source = Source { name: "isotel.yaml".to_owned(), text: texts.next().unwrap_or_default() };
    let waivers = texts.next();
    let sets: Vec<String> = texts.take(4).collect();
    let lines = lines(bytes);
    let file = |_: &std::path::Path| waivers.clone().ok_or_else(|| "there is none".to_owned());
    match config::load_with(&[source], &sets, &|name| Some(format!("value of {name}")), &file) {
        Ok(loaded) => {
            loaded.warnings(NOW);
            config::print::print(&loaded);
            config::print::limits_table(&loaded);
            Engine::new(loaded.config.plan(T0), 1).finish(NOW, GENERATED_AT);
        }
        Err(problems) => have_places(&problems, lines),
    }
}

/// The texts of a catalog.
fn catalog(bytes: &[u8]) {
    let sources: Vec<Source> =
        texts(bytes).enumerate().map(|(at, text)| Source { name: format!("{at}.yaml"), text }).collect();
    let lines = sources.iter().map(|source| lines(source.text.as_bytes())).max().unwrap_or(0);
    match isotel::catalog::read(&sources) {
        Ok(catalog) => {
            let engine = Engine::new(plan(), 1);
            engine.hold(&catalog, Vec::new(), NOW, GENERATED_AT);
        }
        Err(problems) => have_places(&problems, lines),
    }
}

fn have_places(problems: &Problems, lines: usize) {
    assert!(!problems.is_empty());
    for problem in problems.iter() {
        let known =
            !problem.message.is_empty() && problem.column > 0 && (1..=lines + 1).contains(&problem.line);
        assert!(known, "{problem:?} of {lines} lines");
    }
}

/// A segment of a storage's log: every byte is a header's, a record's, or named as damage, and what is read twice is the same.
fn log(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let base = bytes.get(16..24).and_then(|base| base.try_into().ok()).map_or(0, u64::from_le_bytes);
    let name = format!("fuzz-{base:020}.log");
    std::fs::write(folder.path().join(&name), bytes).expect("a file");
    let open = || match Log::open(folder.path(), "fuzz", 1 << 30, 0) {
        Ok(log) => Some(log),
        Err(OpenError::Future { .. }) => None,
        Err(error) => panic!("{error}"),
    };
    let Some(log) = open() else { return };
    let mut bodies = Vec::new();
    let read = log.read(0, |_, _, body| bodies.push(body.to_vec())).expect("it is read");
    let damaged: u64 = read.damaged.iter().map(|damage| damage.bytes).sum();
    let known = log.bytes() > 0;
    let header = if read.damaged.iter().any(|damage| damage.offset == 0) { 0 } else { 80 };
    let told = header + read.records * 40 + read.bytes + damaged;
    assert!(!known || told == bytes.len() as u64, "{read:?} of {} bytes", bytes.len());
    if let Err(refused) = log.append(&[7; 16], b"more") {
        // Near the end of positions, which a damaged name can state.
        return assert!(base > u64::MAX >> 2, "{refused}");
    }
    let mut again = Vec::new();
    let log = open().expect("a known format");
    log.read(0, |_, _, body| again.push(body.to_vec())).expect("it is read again");
    bodies.push(b"more".to_vec());
    assert_eq!(again, bodies, "what is read again");
}

/// The live plan that the checkpoints in the corpus are of.
fn live() -> Plan {
    Plan { observed_from_ns: T0, window_ns: MINUTE / 4, warmup_ns: MINUTE, ..plan() }
}

/// A checkpoint as `corpus/checkpoint/` has it: its state and its sealed windows.
fn parts(bytes: &[u8]) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    postcard::from_bytes(bytes).ok()
}

fn restore(bytes: &[u8]) {
    if let Some((state, windows)) = parts(bytes) {
        let _ = Engine::restore(live(), 1, &state, windows);
    }
}

/// An engine from bytes that may be damaged is refused, or it goes on.
fn checkpoint(bytes: &[u8]) {
    let Some((state, windows)) = parts(bytes) else { return };
    let Ok(mut engine) = Engine::restore(live(), 1, &state, windows) else { return };
    tell(&engine);
    let cut = engine.cut();
    let _ = engine.checkpoint(cut);
}

fn key() -> HashKey {
    HashKey::of("the key of all parts that are fuzzed")
}

fn read_part(content: &[u8]) {
    let _ = Part::from_bytes(&parts::sign(content, &key()), &key());
}

/// A part that is signed and may say anything is refused, or it can be merged, twice even, sealed, judged and told.
fn part(content: &[u8]) {
    let redaction = Redaction { key: Some(key()), ..Redaction::default() };
    let plan = Plan { policy: Policy { redaction, ..Policy::default() }, ..plan() };
    let engine = &mut Engine::new(plan, 1);
    let door = engine.ingest();
    let body = AnyValue { value: Some(Value::BytesValue(parts::sign(content, &key()))) };
    let record = LogRecord { body: Some(body), ..LogRecord::default() };
    let request = build::logs(build::PROD, vec![record]);
    for _ in 0..2 {
        door.observe(NOW, None, Signal::Logs, &request).expect("a request");
    }
    let refused: u64 = door.tally().refused.values().sum();
    let counts = door.parts();
    assert!(refused > 0 || counts.merged + counts.repeated + counts.late == 2, "{counts:?}");
    engine.finish(NOW, GENERATED_AT);
    tell(engine);
}

fn read_snapshot(content: &[u8]) {
    let _ = Snapshot::from_content(content);
}

/// A snapshot whose checksum is right and whose content may be anything is refused, or it is one that can be judged against and
/// taken again.
fn snapshot(content: &[u8]) {
    let Ok(read) = Snapshot::from_content(content) else { return };
    let wanted = Plan { window_ns: read.about.window_ns, ..plan() };
    // As a baseline of an engine with names of its own, which is called as one of its plan's environments is.
    let mut other = Engine::new(wanted.clone(), 1);
    if other.set_baselines(&[("prod".to_owned(), read)]).is_ok() {
        other.ingest().environment("canary");
        other.finish(NOW, GENERATED_AT);
        tell(&other);
    }
    let Ok(read) = Snapshot::from_content(content) else { return };
    let Ok(engine) = read.engine(wanted, 1, "golden") else { return };
    if let Ok(again) = Snapshot::of(&engine, "golden", "", NOW) {
        let bytes = again.to_bytes(usize::MAX).expect("a snapshot has bytes");
        Snapshot::from_bytes(&bytes).expect("what is taken is read");
    }
}
