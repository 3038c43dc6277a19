use super::*;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

/// `n` spans of a resource.
fn request(attributes: &[(&str, &str)], n: u64) -> Vec<u8> {
    let attribute = |(key, value): &(&str, &str)| KeyValue {
        key: (*key).to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue((*value).to_owned())) }),
        ..Default::default()
    };
    let span = |at: u64| Span {
        trace_id: vec![1; 16],
        span_id: (at + 1).to_be_bytes().to_vec(),
        start_time_unix_nano: 1,
        end_time_unix_nano: 2,
        ..Default::default()
    };
    let resource = Resource { attributes: attributes.iter().map(attribute).collect(), ..Default::default() };
    let scope_spans = ScopeSpans { spans: (0..n).map(span).collect(), ..Default::default() };
    let spans =
        ResourceSpans { resource: Some(resource), scope_spans: vec![scope_spans], ..Default::default() };
    ExportTraceServiceRequest { resource_spans: vec![spans] }.encode_to_vec()
}

fn survey(resources: &[(&[(&str, &str)], u64)]) -> Survey {
    let mut survey = Survey::default();
    for (attributes, n) in resources {
        survey.add(Signal::Traces, &request(attributes, *n)).unwrap();
    }
    survey
}

fn endpoints() -> Endpoints {
    Endpoints { grpc: "localhost:4317".to_owned(), http: "localhost:4318".to_owned() }
}

/// The configuration that is written, as the agent would read it.
fn written(proposal: &Proposal) -> crate::config::Config {
    let text = to_yaml(proposal, &endpoints(), "Seen: something.");
    let source = crate::yaml::Source { name: "proposed.yaml".to_owned(), text: text.clone() };
    let loaded = crate::config::load(&[source], &[], &|_| None);
    loaded.unwrap_or_else(|problems| panic!("{problems}\n{text}")).config
}

/// Baseline and candidate of each proposed comparison, and the attribute.
fn proposed(proposal: &Proposal) -> (String, Vec<(String, String)>) {
    let split = proposal.split.as_ref().expect("environments are told apart");
    let pair = |pair: &Pair| (pair.baseline.clone(), pair.candidate.clone());
    (split.attribute.clone(), split.pairs.iter().map(pair).collect())
}

const NAME: &str = "deployment.environment.name";

fn pair(baseline: &str, candidate: &str) -> Vec<(String, String)> {
    vec![(baseline.to_owned(), candidate.to_owned())]
}

#[test]
fn the_usual_attribute_is_taken_where_it_tells_environments_apart_and_names_say_which_is_the_baseline() {
    for (seen, expected) in [
        (["staging", "production"], pair("production", "staging")),
        (["canary", "stable"], pair("stable", "canary")),
        (["preprod", "prod"], pair("prod", "preprod")),
        (["eu", "us"], pair("us", "eu")),
    ] {
        // The second has more traffic, which decides where names do not.
        let survey = survey(&[
            (&[("service.name", "cart"), (NAME, seen[0]), ("service.version", "1")], 2),
            (&[("service.name", "cart"), (NAME, seen[1]), ("service.version", "2")], 5),
        ]);
        let proposal = survey.propose();
        assert_eq!(proposed(&proposal), (NAME.to_owned(), expected));
        let config = written(&proposal);
        assert_eq!(config.environments.attributes, [NAME]);
    }
}

#[test]
fn where_all_name_one_environment_the_version_tells_a_canary_from_what_it_replaces() {
    let of = |service: &'static str, version: &'static str, pod: &'static str| {
        [
            ("service.name", service),
            (NAME, "production"),
            ("service.version", version),
            ("service.instance.id", pod),
        ]
    };
    let survey = survey(&[
        (&of("cart", "1.4.2", "a"), 90),
        (&of("cart", "1.5.0", "b"), 10),
        (&of("pay", "1.4.2", "c"), 90),
        (&of("pay", "1.5.0", "d"), 10),
    ]);
    let proposal = survey.propose();
    assert_eq!(proposed(&proposal), ("service.version".to_owned(), pair("1.4.2", "1.5.0")));
    let rules = written(&proposal).environments;
    let resource = of("cart", "1.5.0", "b");
    let look = |key: &str| resource.iter().find(|(k, _)| *k == key).map(|(_, value)| *value);
    assert_eq!(rules.resolve(look).as_deref(), Some("1.5.0"), "the rules that are written read it so");
}

#[test]
fn an_attribute_of_one_service_gives_way_to_one_that_tells_all_apart() {
    let mut all: Vec<[(&str, &str); 3]> = Vec::new();
    for service in ["cart", "pay", "search", "mail"] {
        all.push([("service.name", service), ("acme.cell", "north"), ("k8s.namespace.name", service)]);
        all.push([("service.name", service), ("acme.cell", "south"), ("k8s.namespace.name", service)]);
    }
    all.push([("service.name", "cart"), ("acme.cell", "north"), ("service.version", "1")]);
    all.push([("service.name", "cart"), ("acme.cell", "north"), ("service.version", "2")]);
    let resources: Vec<(&[(&str, &str)], u64)> = all.iter().map(|attributes| (&attributes[..], 1)).collect();
    let (attribute, pairs) = proposed(&survey(&resources).propose());
    assert_eq!((&*attribute, pairs), ("acme.cell", pair("north", "south")));
}

#[test]
fn instances_and_environments_without_a_common_service_are_no_environments_to_compare() {
    let lone = survey(&[
        (
            &[
                ("service.name", "cart"),
                (NAME, "production"),
                ("host.name", "a"),
                ("telemetry.sdk.version", "1"),
            ],
            1,
        ),
        (
            &[
                ("service.name", "cart"),
                (NAME, "production"),
                ("host.name", "b"),
                ("telemetry.sdk.version", "2"),
            ],
            1,
        ),
        (&[("service.name", "pay"), (NAME, "staging")], 1),
    ]);
    let proposal = lone.propose();
    assert_eq!(proposal.split, None);
    assert_eq!(proposal.named.len(), 2);
    written(&proposal);
    let silent = survey(&[(&[("service.name", "cart")], 1)]);
    let text = to_yaml(&silent.propose(), &endpoints(), "Seen: something.");
    assert!(text.contains("OTEL_RESOURCE_ATTRIBUTES"), "{text}");
    written(&silent.propose());
}

#[test]
fn whatever_the_values_are_the_configuration_is_valid_and_names_them() {
    for value in [
        "a: b",
        "${env:HOME}",
        "$",
        "\"",
        "line\nparity: {widnow: 1}",
        "# no",
        "{value}",
        "*",
        "\u{2028}",
        "null",
        "1.10",
    ] {
        let baseline = "production";
        let survey = survey(&[
            (&[("service.name", value), (NAME, baseline)], 1),
            (&[("service.name", value), (NAME, value)], 1),
        ]);
        let proposal = survey.propose();
        assert_eq!(proposed(&proposal).1, pair(baseline, value));
        let crate::engine::Comparisons::Named(comparisons) = written(&proposal).comparisons else {
            panic!("comparisons are named");
        };
        assert_eq!((&*comparisons[0].baseline, &*comparisons[0].candidate), (baseline, value));
    }
}

#[test]
fn more_resources_than_are_told_apart_are_counted_and_no_more_is_kept() {
    let mut survey = Survey::default();
    for at in 0..RESOURCES_MAX + 5 {
        survey
            .add(Signal::Traces, &request(&[("service.name", "cart"), (NAME, &at.to_string())], 1))
            .unwrap();
    }
    assert_eq!((survey.resources.len(), survey.beyond), (RESOURCES_MAX, 5));
    assert_eq!(survey.propose().split, None, "so many values are no environments");
    let long = "x".repeat(VALUE_BYTES_MAX + 1);
    let mut survey = Survey::default();
    survey.add(Signal::Traces, &request(&[(&long, "v"), ("k", &long)], 1)).unwrap();
    assert!(survey.resources[0].attributes.is_empty());
    assert!(survey.add(Signal::Traces, b"\x0a\xff").is_err());
    assert_eq!((survey.items, survey.malformed), ([1, 0, 0], 1));
}
