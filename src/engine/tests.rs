use super::*;

#[test]
fn requests_with_new_names_are_taken_in_while_a_judgement_is_under_way() {
    let plan = Plan {
        environments: EnvironmentRules::default(),
        window_ns: 1_000,
        patience: Patience { lateness_ns: 0, idle_ns: 1_000 },
        warmup_ns: 0,
        period_windows: 4,
        comparisons: Comparisons::Auto,
        policy: Policy::default(),
        limits: Limits::default(),
        observed_from_ns: 1,
    };
    let engine = Engine::new(plan, 1);
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
    let span = Span { name: name.to_owned(), kind: 2, end_time_unix_nano: 1, ..Span::default() };
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
