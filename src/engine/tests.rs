use super::*;

fn plan() -> Plan {
    Plan {
        environments: EnvironmentRules::default(),
        window_ns: 1_000,
        patience: Patience { lateness_ns: 0, idle_ns: 1_000 },
        warmup_ns: 0,
        period_windows: 4,
        comparisons: Comparisons::Auto,
        policy: Policy::default(),
        limits: Limits::default(),
        observed_from_ns: 1,
        tier: super::Tier::Judging,
    }
}

#[test]
fn a_snapshot_beyond_its_bound_is_not_made_and_is_counted() {
    let mut plan = plan();
    plan.limits.snapshot_bytes = 200;
    let mut engine = Engine::new(plan, 1);
    engine.ingest().observe(1, None, Signal::Traces, &request_of_service("prod")).unwrap();
    engine.finish(2, "");
    let refused = engine.snapshot("prod", "", 3).unwrap_err();
    assert_eq!(refused, snapshot::SnapshotError::TooLarge { most: 200 });
    assert_eq!(engine.hits.iter().collect::<Vec<_>>(), [(crate::model::Limit::SnapshotBytes, 1)]);
    engine.plan.limits.snapshot_bytes = 1 << 20;
    let bytes = engine.snapshot("prod", "", 3).unwrap();
    assert_eq!(snapshot::About::of(&bytes).unwrap().requests, 1);
    engine.plan.limits.snapshot_bytes = bytes.len();
    assert_eq!(engine.snapshot("prod", "", 3).unwrap().len(), bytes.len(), "the bound itself is allowed");
}

#[test]
fn requests_with_new_names_are_taken_in_while_a_judgement_is_under_way() {
    let engine = Engine::new(plan(), 1);
    let ingest = engine.ingest();
    for name in ["prod", "canary"] {
        ingest.environment(name).unwrap();
    }
    let comparison = engine.comparisons().remove(0);
    let report = engine.in_context(&comparison, engine.all(), (1, "now"), |context| {
        assert!(ingest.shared.names_are_free());
        let new = request_of_service("new");
        ingest.observe(1, None, Signal::Traces, &new).unwrap();
        let report = compare(&context, None).report;
        assert_eq!(context.names.environments().len(), 2);
        report
    });
    assert_eq!((report.verdict, engine.names().environments().len()), (Verdict::NoData, 3));
}

/// One span of an environment that nobody has met.
fn request_of_service(name: &str) -> Vec<u8> {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
    let attribute = |key: &str| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue(name.to_owned())) }),
        ..KeyValue::default()
    };
    let attributes = ["service.name", "deployment.environment.name"].map(attribute).to_vec();
    let span = Span {
        name: name.to_owned(),
        kind: 2,
        trace_id: vec![1; 16],
        span_id: vec![1; 8],
        end_time_unix_nano: 1,
        ..Span::default()
    };
    let spans = ResourceSpans {
        resource: Some(Resource { attributes, ..Resource::default() }),
        scope_spans: vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    };
    prost::Message::encode_to_vec(&ExportTraceServiceRequest { resource_spans: vec![spans] })
}

#[test]
fn of_two_environments_the_one_named_like_production_is_the_baseline() {
    let pair = |a: &str, b: &str| automatic(&[a.into(), b.into()]).unwrap();
    assert_eq!(pair("canary", "prod").baseline, "prod");
    assert_eq!(pair("prod", "canary").name, "prod-vs-canary");
    assert_eq!(pair("eu", "us").baseline, pair("us", "eu").baseline);
    assert_eq!(automatic(&["one".into()]), None);
}
