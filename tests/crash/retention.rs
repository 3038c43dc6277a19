//! What is out of its time is gone from the disk (docs/storage.md, "How long data stays").

use crate::agent::{config, holds};
use crate::oracle;
use isotel::agent::storage::Storage;
use isotel::config::{Fsync, StorageConfig};
use isotel::wire::Signal;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

const SECOND: u64 = 1_000_000_000;
/// `parity.period` of the configuration.
const PERIOD: u64 = 3_600 * SECOND;
/// Somebody's, in an attribute whose values are not kept.
const PERSONAL: &str = "ada@example.org";

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(any_value::Value::StringValue(value.to_owned()));
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value }), ..KeyValue::default() }
}

fn request(end_ns: u64) -> Vec<u8> {
    let span = Span {
        trace_id: vec![1; 16],
        span_id: vec![1; 8],
        name: "GET /cart".to_owned(),
        kind: 2,
        start_time_unix_nano: end_ns - 1_000_000,
        end_time_unix_nano: end_ns,
        attributes: vec![text("enduser.id", PERSONAL)],
        ..Span::default()
    };
    let attributes = vec![text("service.name", "web"), text("deployment.environment.name", "prod")];
    let resource = Some(Resource { attributes, ..Resource::default() });
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }],
    }
    .encode_to_vec()
}

fn files(directory: &Path, prefix: &str) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix)).collect()
}

#[test]
fn requests_leave_the_disk_at_the_second_checkpoint_and_windows_and_damage_after_the_period() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("data");
    // Damaged files are as old as their files say.
    let now_ns = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap();
    let settings = StorageConfig {
        id: "file_storage".to_owned(),
        directory: directory.clone(),
        max_bytes: 64 << 20,
        fsync: Fsync::Never,
    };
    let plan = oracle::plan(&config(&directory), now_ns);
    let (storage, mut engine) = Storage::open(&settings, plan, 1, now_ns).unwrap();
    let request = request(now_ns);
    let ingest = engine.ingest();
    let record = || ingest.observe(now_ns, None, Signal::Traces, &request);
    storage.keep(now_ns, Signal::Traces, &request, record).unwrap().unwrap();
    assert!(holds(&directory, PERSONAL));
    engine.finish(now_ns, "2026-01-01T00:00:00Z");
    storage.checkpoint(&mut engine, now_ns + SECOND).unwrap();
    assert!(holds(&directory, PERSONAL), "the checkpoint before needs it");
    assert_eq!(files(&directory, "window-").len(), 1);
    storage.checkpoint(&mut engine, now_ns + 2 * SECOND).unwrap();
    assert!(!holds(&directory, PERSONAL), "and nobody does any more");

    std::fs::write(directory.join("window-7.isotel.damaged"), PERSONAL).unwrap();
    std::fs::create_dir(directory.join("set-aside-1")).unwrap();
    std::fs::write(directory.join("set-aside-1/requests-0.log"), PERSONAL).unwrap();
    let kept_ns = engine.look_back_ns();
    assert!(
        (PERIOD..PERIOD + 60 * SECOND).contains(&kept_ns),
        "the period and what a window may be late: {kept_ns}"
    );
    storage.checkpoint(&mut engine, now_ns + kept_ns - SECOND).unwrap();
    assert_eq!((files(&directory, "window-").len(), files(&directory, "set-aside-").len()), (2, 1));
    for _ in 0..2 {
        storage.checkpoint(&mut engine, now_ns + kept_ns + 60 * SECOND).unwrap();
    }
    assert_eq!((files(&directory, "window-"), files(&directory, "set-aside-")), (Vec::new(), Vec::new()));
    assert_eq!(files(&directory, "checkpoint-").len(), 2);
    assert!(!holds(&directory, PERSONAL));
}
