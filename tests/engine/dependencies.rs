//! Whom a service calls.

use super::build::*;
use isotel::engine::Engine;
use isotel::judge::verdict::{DependencyResult, Finding};
use isotel::judge::{Aspect, Report, Verdict};
use isotel::model::Limits;
use isotel::model::operation::OVERFLOW;
use isotel::wire::Signal;
use opentelemetry_proto::tonic::trace::v1::Span;

const REQUESTS: u64 = 900;

/// A query of one of these tables.
fn query(host: &str, table: &str, end_ns: u64, duration_ns: u64) -> Span {
    Span {
        kind: 3,
        attributes: vec![
            text("db.system.name", "postgresql"),
            text("db.operation.name", "SELECT"),
            text("db.collection.name", table),
            text("server.address", host),
        ],
        ..span(end_ns, duration_ns)
    }
}

/// Fifteen minutes of requests, each with what it calls: `calls` gets the side and the number of the request.
fn judged(calls: impl Fn(bool, u64, u64) -> Vec<Span>) -> Report {
    let mut engine = Engine::new(plan(), 2);
    let ingest = engine.ingest();
    for (is_candidate, sender) in [(false, PROD), (true, CANARY)] {
        for request in 0..REQUESTS {
            let end_ns = T0 + request * 1_000 * MS;
            let mut spans = vec![span_of("/cart", end_ns)];
            spans.extend(calls(is_candidate, request, end_ns));
            let mut resource = sender.resource();
            resource.attributes.push(text("service.version", "1"));
            observe(&ingest, Signal::Traces, &traces_of(resource, spans));
        }
    }
    finish(&mut engine)
}

/// A duration that varies from request to request, and in the same way on both sides.
fn around(ms: u64, request: u64) -> u64 {
    ms * MS + request * 7 % 13 * ms * MS / 100
}

fn dependency<'r>(report: &'r Report, peer: &str) -> &'r DependencyResult {
    let all = report.services.iter().flat_map(|service| &service.dependencies);
    all.into_iter().find(|dependency| dependency.peer == peer).expect("it is called")
}

fn only(report: &Report) -> &Finding {
    let [finding] = &report.findings[..] else { panic!("{:#?}", report.findings) };
    finding
}

#[test]
fn the_same_calls_are_at_parity_and_worth_no_finding() {
    let report = judged(|_, request, at| {
        vec![
            query("orders-db", "orders", at, around(20, request)),
            query("stock-db", "items", at, around(5, request)),
        ]
    });
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    let orders = dependency(&report, "orders-db");
    assert_eq!((orders.verdict, orders.system.as_deref()), (Verdict::Parity, Some("postgresql")));
    let (base, cand) = (orders.baseline.unwrap(), orders.candidate.unwrap());
    assert_eq!((base.calls, base.errors, cand), (REQUESTS, 0, base));
    assert!(
        (base.p50_s.unwrap() - 0.0212).abs() < 0.001 && orders.operations == ["SELECT orders"],
        "{orders:?}"
    );
}

#[test]
fn a_peer_that_the_candidate_does_not_call_any_more_is_one_finding() {
    // One operation calls both, so that no operation is missing.
    let report = judged(|is_candidate, request, at| {
        let host = if is_candidate || request % 2 == 0 { "primary-db" } else { "replica-db" };
        vec![query(host, "orders", at, around(20, request))]
    });
    let finding = only(&report);
    assert_eq!((finding.aspect, finding.title.as_str()), (Aspect::Structure, "missing dependency"));
    assert!(finding.message.contains("does not call replica-db (postgresql)"), "{}", finding.message);
    assert_eq!(dependency(&report, "replica-db").verdict, Verdict::Divergent);
    assert_eq!(dependency(&report, "replica-db").candidate, None);
}

#[test]
fn a_peer_that_only_the_candidate_calls_is_one_finding() {
    let report = judged(|is_candidate, request, at| {
        let host = if is_candidate && request % 2 == 0 { "replica-db" } else { "primary-db" };
        vec![query(host, "orders", at, around(20, request))]
    });
    assert_eq!(only(&report).title, "new dependency");
    assert_eq!(dependency(&report, "replica-db").baseline, None);
}

#[test]
fn a_peer_that_is_called_too_rarely_is_not_missed() {
    let report = judged(|is_candidate, request, at| {
        let host = if !is_candidate && request == 5 { "replica-db" } else { "primary-db" };
        vec![query(host, "orders", at, around(20, request))]
    });
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!(dependency(&report, "replica-db").verdict, Verdict::Inconclusive);
}

#[test]
fn an_operation_that_is_missing_with_its_peer_is_told_once_and_names_it() {
    let report = judged(|is_candidate, request, at| {
        let mut calls = vec![query("orders-db", "orders", at, around(20, request))];
        calls.extend((!is_candidate).then(|| query("stock-db", "items", at, around(5, request))));
        calls
    });
    let finding = only(&report);
    assert_eq!((finding.aspect, finding.title.as_str()), (Aspect::Presence, "missing span"));
    assert!(finding.message.ends_with("Nothing else called stock-db (postgresql)."), "{}", finding.message);
    assert_eq!(finding.evidence["dependency"], "stock-db");
}

#[test]
fn a_slow_peer_that_each_operation_calls_too_rarely_is_one_finding() {
    // Thirty tables, each with too few queries to be judged alone.
    let report = judged(|is_candidate, request, at| {
        let ms = if is_candidate { 30 } else { 20 };
        vec![query(
            "orders-db",
            &format!("orders_t{}x", (b'a' + (request % 30) as u8) as char),
            at,
            around(ms, request),
        )]
    });
    let told: Vec<_> = report.findings.iter().filter(|finding| finding.aspect == Aspect::Latency).collect();
    let [finding] = told[..] else { panic!("{:#?}", report.findings) };
    assert_eq!((finding.title.as_str(), finding.operation.as_deref()), ("slower dependency", None));
    let orders = dependency(&report, "orders-db");
    assert_eq!((orders.latency, orders.success), (Verdict::Divergent, Verdict::Parity));
    assert!((orders.ratio.unwrap() - 1.5).abs() < 0.05, "{orders:?}");
}

#[test]
fn a_slow_peer_whose_operation_says_so_already_is_told_there() {
    let report = judged(|is_candidate, request, at| {
        vec![query("orders-db", "orders", at, around(if is_candidate { 30 } else { 20 }, request))]
    });
    let finding = only(&report);
    assert_eq!((finding.title.as_str(), finding.operation.as_deref()), ("slower", Some("SELECT orders")));
    assert!(finding.message.ends_with("It calls orders-db (postgresql)."), "{}", finding.message);
}

#[test]
fn calls_that_fail_more_often_than_success_may_differ_are_one_finding() {
    // One failure in ten: two percent of each table's few queries would decide nothing.
    let report = judged(|is_candidate, request, at| {
        let table = format!("orders_t{}x", (b'a' + (request % 30) as u8) as char);
        let call = query("orders-db", &table, at, around(20, request));
        vec![if is_candidate && request % 7 == 0 { failed(call) } else { call }]
    });
    let told: Vec<_> = report.findings.iter().filter(|finding| finding.aspect == Aspect::Errors).collect();
    let [finding] = told[..] else { panic!("{:#?}", report.findings) };
    assert_eq!(finding.title, "dependency fails more often");
    assert_eq!(dependency(&report, "orders-db").success, Verdict::Divergent);
}

#[test]
fn another_mix_of_queries_makes_their_database_no_slower() {
    let report = judged(|is_candidate, request, at| {
        let slow = request % if is_candidate { 2 } else { 10 } == 0;
        let (table, ms) = if slow { ("archive", 200) } else { ("orders", 20) };
        vec![query("orders-db", table, at, around(ms, request))]
    });
    let orders = dependency(&report, "orders-db");
    assert_eq!(orders.verdict, Verdict::Inconclusive, "{orders:?}");
    assert!(orders.reason.contains("another mix"), "{}", orders.reason);
    assert!(report.findings.iter().all(|finding| finding.aspect != Aspect::Latency), "{:?}", report.findings);
}

#[test]
fn a_host_that_has_another_name_in_the_other_environment_is_the_same_dependency() {
    for (theirs, ours, findings) in [
        ("orders.prod.example.com", "orders.canary.example.com", 0),
        ("prod-orders.example.com", "canary-orders.example.com", 1),
    ] {
        let report = judged(|is_candidate, request, at| {
            vec![query(if is_candidate { ours } else { theirs }, "orders", at, around(20, request))]
        });
        let orders = dependency(&report, theirs);
        assert_eq!((orders.verdict, orders.candidate_peer.as_deref()), (Verdict::Parity, Some(ours)));
        let titles: Vec<_> = report.findings.iter().map(|finding| finding.title.as_str()).collect();
        assert_eq!(titles, vec!["calls other hosts"; findings]);
    }
}

#[test]
fn peers_beyond_the_bound_are_counted_and_called_together() {
    let mut engine = Engine::new(limited(Limits { dependencies_per_service: 2, ..Limits::default() }), 1);
    let ingest = engine.ingest();
    let spans = ["a-db", "b-db", "c-db", "d-db", "a-db"].map(|host| query(host, "orders", T0, MS)).to_vec();
    observe(&ingest, Signal::Traces, &traces(PROD, spans.clone()));
    observe(&ingest, Signal::Traces, &traces(CANARY, spans));
    let report = finish(&mut engine);
    let calls = |peer: &str| dependency(&report, peer).baseline.unwrap().calls;
    assert_eq!((calls("a-db"), calls("b-db"), calls(OVERFLOW)), (2, 1, 2));
    assert_eq!(hits(&report, "dependencies_per_service"), 2, "c-db and d-db");
}
