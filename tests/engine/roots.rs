//! What missing telemetry comes from: a metric that is gone, and other versions of the semantic conventions.

use crate::build::*;
use isotel::engine::{Engine, Plan};
use isotel::judge::policy::{Policy, Waiver};
use isotel::judge::verdict::Level;
use isotel::judge::{Aspect, Finding, Report, Verdict};
use isotel::wire::Signal;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use serde_json::json;

/// A gauge whose points have these attributes.
fn sized(name: &str, keys: &[&str]) -> Metric {
    let mut metric = gauge(name, T0, 1.0);
    let Some(Data::Gauge(gauge)) = &mut metric.data else { panic!("a gauge") };
    gauge.data_points[0].attributes = keys.iter().map(|key| text(key, "a")).collect();
    metric
}

/// Sixty spans with the attributes, and points of the metrics.
fn send(engine: &Engine, sender: Sender<'_>, span_keys: &[&str], gauges: &[(&str, &[&str])]) {
    let ingest = engine.ingest();
    let spans = (0..60).map(|at| {
        let mut span = span(T0 + at * MS, MS);
        span.attributes.extend(span_keys.iter().map(|key| text(key, "a")));
        span
    });
    observe(&ingest, Signal::Traces, &traces(sender, spans.collect()));
    let points = (0..60).flat_map(|_| gauges.iter().map(|(name, keys)| sized(name, keys)));
    observe(&ingest, Signal::Metrics, &metrics(sender, points.collect()));
}

type Sent<'a> = (&'a [&'a str], &'a [(&'a str, &'a [&'a str])]);

fn judged(policy: Policy, [prod, canary]: [Sent<'_>; 2]) -> Report {
    let mut engine = Engine::new(Plan { policy, ..plan() }, 1);
    send(&engine, PROD, prod.0, prod.1);
    send(&engine, CANARY, canary.0, canary.1);
    finish(&mut engine)
}

fn missing(report: &Report) -> Vec<&Finding> {
    report.findings.iter().filter(|finding| finding.aspect == Aspect::Presence).collect()
}

const OTHER: (&str, &[&str]) = ("other", &[]);
const DEPTH: (&str, &[&str]) = ("queue.depth", &["queue", "tenant"]);

#[test]
fn a_metric_that_is_gone_is_one_finding_with_or_without_attributes() {
    let gone = |depth| judged(Policy::default(), [(&[], &[OTHER, depth]), (&[], &[OTHER])]);
    let (with, without) = (gone(DEPTH), gone(("queue.depth", &[])));
    let [finding] = missing(&with)[..] else { panic!("{:#?}", with.findings) };
    assert_eq!(finding.title, "missing metric");
    assert_eq!(finding.item.as_deref(), Some("metric queue.depth"));
    let [alone] = missing(&without)[..] else { panic!("{:#?}", without.findings) };
    assert_eq!((&finding.id, finding.level), (&alone.id, alone.level));
    let attribute = judged(Policy::default(), [(&[], &[DEPTH]), (&[], &[("queue.depth", &["queue"])])]);
    let [finding] = missing(&attribute)[..] else { panic!("{:#?}", attribute.findings) };
    assert_eq!(
        finding.item.as_deref(),
        Some("metric attribute queue.depth[tenant]"),
        "a metric that is there"
    );
}

#[test]
fn who_accepts_that_a_metric_is_gone_accepts_that_its_attributes_are() {
    for keys in [&["queue"][..], &["queue", "tenant"]] {
        let waiver = Waiver {
            item: Some("metric queue.depth".to_owned()),
            reason: "replaced".to_owned(),
            owner: "shop".to_owned(),
            expires_ns: NOW + MINUTE,
            ..Waiver::default()
        };
        let policy = Policy { waivers: vec![waiver], ..Policy::default() };
        let report = judged(policy, [(&[], &[OTHER, ("queue.depth", keys)]), (&[], &[OTHER])]);
        assert!(missing(&report).iter().all(|finding| finding.waived_by.is_some()), "{:#?}", report.findings);
        let coverage = &report.services[0].coverage;
        assert_eq!((coverage.accepted, coverage.counted()), (1 + keys.len() as u64, 1.0));
        assert_eq!(report.aspects[&Aspect::Presence].verdict, Verdict::Parity);
    }
}

#[test]
fn names_that_the_conventions_replaced_are_one_finding_with_both_names_whichever_side_has_the_previous() {
    let previous: Sent<'_> = (
        &["net.peer.ip", "http.user_agent", "http.status_text"],
        &[("http.server.duration", &["http.flavor"]), ("http.server.active_requests", &["http.scheme"])],
    );
    let current: Sent<'_> = (
        &["client.address", "user_agent.original", "url.query"],
        &[
            ("http.server.request.duration", &["network.protocol.version"]),
            ("http.server.active_requests", &["url.scheme"]),
        ],
    );
    let report = judged(Policy::default(), [previous, current]);
    let [renamed, gone] = missing(&report)[..] else { panic!("{:#?}", report.findings) };
    assert_eq!(
        renamed.evidence["folded"],
        json!([
            "http.scheme → url.scheme",
            "http.server.duration → http.server.request.duration",
            "http.user_agent → user_agent.original",
            "net.peer.ip → client.address"
        ])
    );
    assert_eq!((renamed.level, renamed.service.as_deref()), (Level::Critical, Some("cart")));
    assert_eq!(gone.item.as_deref(), Some("span attribute http.status_text"), "nothing stands in its place");
    let back = judged(Policy::default(), [current, previous]);
    let [renamed, _] = missing(&back)[..] else { panic!("{:#?}", back.findings) };
    assert_eq!(renamed.evidence["folded"][0], "client.address → net.peer.ip");
    // One alone is told as it is missing.
    let one = judged(Policy::default(), [(&["http.scheme"], &[]), (&["url.scheme"], &[])]);
    let [finding] = missing(&one)[..] else { panic!("{:#?}", one.findings) };
    assert_eq!(finding.title, "missing span attribute");
}
