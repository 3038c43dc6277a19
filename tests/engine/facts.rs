//! What telemetry says of artifact, runtime and configuration: kept by window, compared by rule, told once.

use crate::build::*;
use isotel::engine::{Engine, Plan};
use isotel::judge::facts::policy::{FactPolicy, KeyRule};
use isotel::judge::policy::Policy;
use isotel::judge::verdict::{Fact, FactRule, Level};
use isotel::judge::{Aspect, Finding, Report, Verdict};
use isotel::model::Limits;
use isotel::wire::Signal;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::span::Event;

/// A request of a service that states these facts.
fn stating(sender: Sender<'_>, facts: &[(&str, &str)], time_ns: u64) -> Vec<u8> {
    let mut resource = sender.resource();
    resource.attributes.extend(facts.iter().map(|(key, value)| text(key, value)));
    traces_of(resource, vec![span(time_ns, MS)])
}

fn with_rules(rules: Vec<KeyRule>) -> Plan {
    Plan { policy: Policy { facts: FactPolicy { rules }, ..Policy::default() }, ..plan() }
}

fn rule(key: &str, rule: FactRule, severity: Level) -> KeyRule {
    KeyRule { key: key.to_owned(), service: None, rule, severity, required: false }
}

fn judged(plan: Plan, requests: &[Vec<u8>]) -> Report {
    let mut engine = Engine::new(plan, 2);
    let ingest = engine.ingest();
    requests.iter().for_each(|request| drop(observe(&ingest, Signal::Traces, request)));
    finish(&mut engine)
}

/// The fact of a key in the first service.
#[track_caller]
fn fact(report: &Report, key: &str) -> Fact {
    let found = report.services[0].facts.iter().find(|fact| fact.key == key);
    found.unwrap_or_else(|| panic!("no {key} in {:?}", report.services[0].facts)).clone()
}

fn findings(report: &Report, aspect: Aspect) -> Vec<&Finding> {
    report.findings.iter().filter(|finding| finding.aspect == aspect).collect()
}

#[test]
fn a_value_counts_while_its_windows_are_judged_and_no_longer() {
    let mut engine = Engine::new(Plan { period_windows: 3, observed_from_ns: T0, ..plan() }, 1);
    let ingest = engine.ingest();
    let mut stated = Vec::new();
    for window in 0..7 {
        let version = if window < 2 { "1.0" } else { "1.1" };
        let now_ns = T0 + (window + 1) * MINUTE;
        for (sender, version) in [(PROD, "1.0"), (CANARY, version)] {
            let request =
                stating(sender, &[("service.version", version)], T0 + window * MINUTE + 20_000 * MS);
            ingest.observe(now_ns, None, Signal::Traces, &request).expect("a request");
        }
        // What lies in a window seals the one before.
        engine.advance(now_ns, GENERATED_AT);
        let report = engine.reports().next().cloned();
        stated.extend(report.and_then(|report| fact(&report, "service.version").candidate));
    }
    assert_eq!(stated, ["1.0", "1.0", "1.0, 1.1", "1.0, 1.1", "1.1", "1.1"]);
}

#[test]
fn a_broken_rule_is_one_finding_for_all_services_that_break_it_alike() {
    let runtime = |version| [("service.version", "1"), ("process.runtime.version", version)];
    let mut requests = Vec::new();
    for service in ["cart", "pay", "ship"] {
        let candidate = if service == "ship" { "11" } else { "21" };
        requests.push(stating(Sender { service, ..PROD }, &runtime("17"), T0));
        requests.push(stating(Sender { service, ..CANARY }, &runtime(candidate), T0));
    }
    let report = judged(plan(), &requests);
    let found = findings(&report, Aspect::Facts);
    let told: Vec<_> = found.iter().map(|finding| (finding.level, finding.message.as_str())).collect();
    assert_eq!(
        told.iter().map(|(level, _)| *level).collect::<Vec<_>>(),
        [Level::Warning, Level::Warning],
        "{told:?}"
    );
    let many = found.iter().find(|finding| finding.service.is_none()).expect("one for two services");
    assert_eq!(
        many.message,
        "process.runtime.version is 17 in prod and 21 in canary in 2 services: cart, pay."
    );
    assert_eq!(many.evidence["folded"], serde_json::json!(["cart", "pay"]));
    assert_eq!(many.evidence["folded_total"], 2);
    assert_eq!(many.item.as_deref(), Some("process.runtime.version"));
    assert_eq!(report.aspects[&Aspect::Facts].verdict, Verdict::Divergent);
    assert_ne!(report.verdict, Verdict::Divergent, "a warning does not stop a release");
    let summary = report.facts.expect("facts are stated");
    assert_eq!((summary.rules, summary.broken, summary.dependencies.equal), (3, 3, 0));
    assert_eq!((summary.artifact.compared, summary.artifact.equal), (3, 3));
}

#[test]
fn a_rule_of_severity_critical_makes_the_comparison_divergent() {
    let requests =
        [stating(PROD, &[("app.tier", "gold")], T0), stating(CANARY, &[("app.tier", "silver")], T0)];
    let verdict = |severity| {
        let report = judged(with_rules(vec![rule("app.*", FactRule::MustEqual, severity)]), &requests);
        (report.verdict == Verdict::Divergent, report.aspects[&Aspect::Facts].verdict, report.score <= 49.0)
    };
    assert_eq!(verdict(Level::Critical), (true, Verdict::Divergent, true));
    assert!(!verdict(Level::Warning).0);
    assert_eq!(verdict(Level::Info).1, Verdict::Parity);
    let report = judged(plan(), &requests);
    assert!(report.services[0].facts.iter().all(|fact| fact.key != "app.tier"), "no rule, no fact");
}

#[test]
fn what_must_differ_has_no_value_in_common() {
    let differs = rule("service.version", FactRule::MustDiffer, Level::Critical);
    let broken = |candidates: &[&str]| {
        let mut requests = vec![stating(PROD, &[("service.version", "1")], T0)];
        requests
            .extend(candidates.iter().map(|version| stating(CANARY, &[("service.version", version)], T0)));
        fact(&judged(with_rules(vec![differs.clone()]), &requests), "service.version").broken
    };
    assert_eq!([broken(&["2"]), broken(&["1"]), broken(&["1", "2"])], [false, true, true]);
}

#[test]
fn a_version_that_nobody_states_is_told_and_decides_nothing() {
    let report = judged(plan(), &[stating(PROD, &[], T0), stating(CANARY, &[], T0)]);
    let found = findings(&report, Aspect::Facts);
    assert_eq!((found.len(), found[0].level), (1, Level::Info));
    assert!(found[0].message.contains("service.version is stated in neither environment"), "{found:?}");
    assert_eq!(report.aspects[&Aspect::Facts].verdict, Verdict::Parity);
}

#[test]
fn instances_of_one_environment_that_run_different_releases_are_counted() {
    let mut requests = vec![stating(PROD, &[("service.version", "1.4.1")], T0)];
    for (instance, version) in
        [("a", "1.4.1"), ("b", "1.4.1"), ("c", "1.4.2"), ("d", "1.4.2"), ("e", "1.4.1")]
    {
        requests.push(stating(Sender { instance, ..CANARY }, &[("service.version", version)], T0 + MINUTE));
    }
    // What an instance said in an earlier window is over.
    requests.push(stating(Sender { instance: "old", ..CANARY }, &[("service.version", "1.4.0")], T0));
    let report = judged(plan(), &requests);
    let found = findings(&report, Aspect::Facts);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].message.contains("3 of 5 instances 1.4.1, 2 of 5 instances 1.4.2"),
        "{}",
        found[0].message
    );
    assert_eq!(found[0].evidence["environment"], "canary");
}

#[test]
fn the_digest_tells_the_artifact_and_the_registry_does_not() {
    let image = |registry: &str, digest: &str| format!("{registry}/shop/cart@sha256:{digest}");
    let equal = |registry: &str, digest: &str| {
        let (base, cand) = (image("eu.gcr.io", "ab"), image(registry, digest));
        let requests = [
            stating(PROD, &[("container.image.repo_digests", &base), ("service.version", "1")], T0),
            stating(CANARY, &[("container.image.repo_digests", &cand), ("service.version", "1")], T0),
        ];
        judged(plan(), &requests).facts.expect("facts").artifact.equal
    };
    assert_eq!([equal("us.gcr.io", "ab"), equal("eu.gcr.io", "cd")], [1, 0]);
}

#[test]
fn who_speaks_is_no_fact_even_under_a_wide_pattern() {
    let wide = with_rules(vec![rule("*", FactRule::MustEqual, Level::Warning)]);
    let requests = [(PROD, "p"), (CANARY, "c")].map(|(sender, pod)| {
        stating(sender, &[("k8s.pod.name", pod), ("host.name", pod), ("team", "shop")], T0)
    });
    let report = judged(wide, &requests);
    let keys: Vec<&str> = report.services[0].facts.iter().map(|fact| fact.key.as_str()).collect();
    assert_eq!(keys, ["team"]);
}

/// A span that evaluated a flag.
fn evaluating(variant: &str, time_ns: u64) -> opentelemetry_proto::tonic::trace::v1::Span {
    let attributes = vec![text("feature_flag.key", "new-cart"), text("feature_flag.result.variant", variant)];
    let event = Event { name: "feature_flag.evaluation".to_owned(), attributes, ..Event::default() };
    opentelemetry_proto::tonic::trace::v1::Span { events: vec![event], ..span(time_ns, MS) }
}

#[test]
fn a_flag_is_compared_by_how_often_each_variant_was_the_answer() {
    let side = |sender, on: u64| {
        let spans = (0..200).map(|at| evaluating(if at < on { "on" } else { "off" }, T0 + at));
        traces(sender, spans.collect())
    };
    let broken = |on: u64| {
        let report = judged(plan(), &[side(PROD, 100), side(CANARY, on)]);
        let fact = fact(&report, "feature_flag.new-cart");
        assert_eq!(fact.candidate.as_deref(), Some("off, on"));
        (fact.broken, report)
    };
    assert!(!broken(104).0, "the same rollout");
    let (is_broken, report) = broken(20);
    assert!(is_broken);
    let flag = findings(&report, Aspect::Facts)
        .into_iter()
        .find(|finding| finding.item.as_deref() == Some("feature_flag.new-cart"));
    assert!(flag.expect("a finding").message.contains("off (50 %), on (50 %)"), "{flag:?}");
}

#[test]
fn a_flag_that_is_hardly_evaluated_is_not_missed() {
    let side = |sender, evaluations: u64| {
        let spans = (0..60).map(|at| match at < evaluations {
            true => evaluating("on", T0 + at),
            false => span(T0 + at, MS),
        });
        traces(sender, spans.collect())
    };
    let broken = |evaluations| {
        let report = judged(plan(), &[side(PROD, evaluations), side(CANARY, 0)]);
        fact(&report, "feature_flag.new-cart").broken
    };
    assert_eq!([broken(5), broken(50)], [false, true]);
}

#[test]
fn info_metrics_events_and_flags_in_logs_state_facts() {
    let rules = vec![rule("config.loaded[hash]", FactRule::MustEqual, Level::Critical)];
    let mut engine = Engine::new(with_rules(rules), 1);
    let ingest = engine.ingest();
    for (sender, revision) in [(PROD, "aa"), (CANARY, "bb")] {
        let mut info = gauge("shop_build_info", T0, 1.0);
        if let Some(Data::Gauge(gauge)) = &mut info.data {
            gauge.data_points[0].attributes = vec![text("revision", revision), text("instance", revision)];
        }
        observe(&ingest, Signal::Metrics, &metrics(sender, vec![info]));
        let event = |name: &str, attributes| LogRecord {
            time_unix_nano: T0,
            event_name: name.to_owned(),
            attributes,
            ..LogRecord::default()
        };
        let flag = vec![text("feature_flag.key", "f"), text("feature_flag.variant", "on")];
        let records = vec![
            event("feature_flag.evaluation", flag),
            event("config.loaded", vec![text("hash", revision), text("at", revision)]),
        ];
        observe(&ingest, Signal::Logs, &logs(sender, records));
    }
    let report = finish(&mut engine);
    let keys: Vec<(&str, bool)> =
        report.services[0].facts.iter().map(|fact| (fact.key.as_str(), fact.equal)).collect();
    assert_eq!(
        keys,
        [
            ("config.loaded[hash]", false),
            ("feature_flag.f", true),
            ("service.version", true),
            ("shop_build_info[revision]", false)
        ]
    );
    assert_eq!(report.verdict, Verdict::Divergent, "{}", report.summary);
}

#[test]
fn statements_beyond_the_bound_are_counted_and_the_same_ones_stay_in_any_order() {
    let limits = Limits { facts_per_service: 4, ..Limits::default() };
    let requests: Vec<Vec<u8>> = (0..20)
        .map(|at| {
            let (instance, version) = (format!("pod-{at}"), format!("1.{at}"));
            stating(Sender { instance: &instance, ..CANARY }, &[("service.version", &version)], T0)
        })
        .collect();
    let verdict = |requests: Vec<&Vec<u8>>, shards| {
        let mut engine = Engine::new(limited(limits.clone()), shards);
        let ingest = engine.ingest();
        observe(&ingest, Signal::Traces, &stating(PROD, &[("service.version", "1.0")], T0));
        requests.into_iter().for_each(|request| drop(observe(&ingest, Signal::Traces, request)));
        finish(&mut engine)
    };
    let rising = verdict(requests.iter().collect(), 1);
    let falling = verdict(requests.iter().rev().collect(), 3);
    assert_eq!(isotel::report::to_json(&rising), isotel::report::to_json(&falling));
    assert_eq!(hits(&rising, "facts_per_service"), 1);
    let values = fact(&rising, "service.version").candidate.unwrap();
    assert_eq!(values.split(", ").count(), 4, "{values}");
}

/// Requests of a service through two libraries, each with an operation and an attribute of its own.
fn through(sender: Sender<'_>, scopes: &[(&str, &str, &str)]) -> Vec<u8> {
    let mut resource = sender.resource();
    resource.attributes.push(text("service.version", "1"));
    let of_scope = |(scope, version, route): &(&str, &str, &str)| {
        let spans = (0..40).map(|at| {
            let mut span = span_of(route, T0 + at);
            span.attributes.push(text(&format!("of{route}"), "x"));
            span
        });
        (scope.to_string(), version.to_string(), spans.collect())
    };
    traces_through(resource, scopes.iter().map(of_scope).collect())
}

#[test]
fn a_library_that_is_gone_is_one_finding_that_lists_what_went_with_it() {
    let both = [("io.tomcat", "1.0", "/cart"), ("io.jdbc", "1.0", "/rows")];
    let report = judged(plan(), &[through(PROD, &both), through(CANARY, &both[..1])]);
    let found = findings(&report, Aspect::Presence);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].title, "io.jdbc is missing");
    assert_eq!(found[0].service.as_deref(), Some("cart"));
    assert_eq!(
        found[0].evidence["folded"],
        serde_json::json!(["scope io.jdbc", "span GET /rows (server)", "span attribute of/rows"])
    );
    assert_eq!(found[0].level, Level::Critical);
    // In every service it is one finding altogether.
    let all: Vec<Vec<u8>> = ["cart", "pay"]
        .into_iter()
        .flat_map(|service| {
            [through(Sender { service, ..PROD }, &both), through(Sender { service, ..CANARY }, &both[..1])]
        })
        .collect();
    let report = judged(plan(), &all);
    let found = findings(&report, Aspect::Presence);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].service.as_deref(), &found[0].evidence["folded_total"]), (None, &2.into()));
}

#[test]
fn libraries_of_other_versions_are_one_finding_and_an_item_of_two_libraries_is_of_neither() {
    let side = |sender, version: &str| {
        through(sender, &[("io.tomcat", version, "/cart"), ("io.jdbc", version, "/rows")])
    };
    let report = judged(plan(), &[side(PROD, "1.0"), side(CANARY, "1.1")]);
    let found = findings(&report, Aspect::Facts);
    assert_eq!((found.len(), found[0].level), (1, Level::Info), "{found:#?}");
    assert_eq!(
        found[0].message,
        "otel.scope is 1.0 in prod and 1.1 in canary in cart: otel.scope[io.jdbc], otel.scope[io.tomcat]."
    );
    let shared = [("io.tomcat", "1.0", "/cart"), ("io.jdbc", "1.0", "/cart"), ("io.tomcat", "1.0", "/rows")];
    let report = judged(plan(), &[through(PROD, &shared), through(CANARY, &[("io.tomcat", "1.0", "/cart")])]);
    let found = findings(&report, Aspect::Presence);
    let of_jdbc: Vec<_> = found.iter().filter(|finding| finding.title.contains("io.jdbc")).collect();
    assert_eq!(of_jdbc.len(), 1, "{found:#?}");
    assert_eq!(of_jdbc[0].evidence["folded"], serde_json::json!(["scope io.jdbc"]), "and no span of both");
}

#[test]
fn an_attribute_that_is_missing_in_every_service_is_one_finding() {
    let side = |sender: Sender<'_>, attribute: bool| {
        let spans = (0..60).map(|at| {
            let mut span = span(T0 + at, MS);
            span.attributes.extend(attribute.then(|| text("tenant", "a")));
            span
        });
        traces(sender, spans.collect())
    };
    let judged = |with: &[bool]| {
        let services = ["cart", "pay", "ship"].into_iter().zip(with);
        let requests = services.flat_map(|(service, with)| {
            [side(Sender { service, ..PROD }, true), side(Sender { service, ..CANARY }, *with)]
        });
        let report = judged(plan(), &requests.collect::<Vec<_>>());
        findings(&report, Aspect::Presence).into_iter().cloned().collect::<Vec<_>>()
    };
    let everywhere = judged(&[false, false, false]);
    assert_eq!(everywhere.len(), 1, "{everywhere:#?}");
    assert_eq!(everywhere[0].item.as_deref(), Some("span attribute tenant"));
    assert_eq!(everywhere[0].evidence["folded"], serde_json::json!(["cart", "pay", "ship"]));
    let in_two = judged(&[false, false, true]);
    assert_eq!(in_two.len(), 2, "{in_two:#?}");
}

#[test]
fn an_sdk_that_is_gone_takes_all_with_it() {
    let side = |sender: Sender<'_>, sdk: bool| {
        let mut resource = sender.resource();
        resource.attributes.push(text("service.version", "1"));
        resource.attributes.extend(sdk.then(|| text("telemetry.sdk.name", "opentelemetry")));
        let spans = (0..60).map(|at| span_of(if sdk { "/a" } else { "/b" }, T0 + at));
        traces_of(resource, spans.collect())
    };
    let report = judged(plan(), &[side(PROD, true), side(PROD, false), side(CANARY, false)]);
    let found = findings(&report, Aspect::Presence);
    assert_eq!((found.len(), found[0].title.as_str()), (1, "the OpenTelemetry SDK is missing"), "{found:#?}");
}
