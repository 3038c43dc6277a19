//! What is personal or secret in telemetry is in nothing that outlives its request.

use crate::build::*;
use isotel::engine::{Engine, Plan};
use isotel::judge::facts::policy::{FactPolicy, KeyRule};
use isotel::judge::policy::{Policy, ValueRule};
use isotel::judge::verdict::{FactRule, Level};
use isotel::judge::{Report, Verdict};
use isotel::model::redaction::Action;
use isotel::model::{HashKey, Redaction};
use isotel::report::to_json;
use isotel::wire::Signal;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::span::Event;

/// Part of all that is planted.
const PLANTED: &str = "planted";
const JWT: &str = "eyJplantedplanted.eyJplantedplanted.plantedplanted";

fn policed(redaction: Redaction) -> Plan {
    let app = KeyRule {
        key: "app.*".to_owned(),
        service: None,
        rule: FactRule::MustEqual,
        severity: Level::Critical,
        required: false,
    };
    let by = ValueRule {
        metric: Some("queue.depth".to_owned()),
        service: None,
        tolerance: 0.10,
        floor: 0.0,
        per_request: false,
        statistic: None,
        by: vec!["customer".to_owned()],
        severity: Level::Info,
        equal: None,
    };
    let facts = FactPolicy { rules: vec![app] };
    Plan { policy: Policy { facts, values: vec![by], redaction, ..Policy::default() }, ..plan() }
}

/// One request of everything, with something planted wherever a value can stand.
fn observe_planted(engine: &Engine, sender: Sender<'_>, owner: &str) {
    let mut resource = sender.resource();
    resource.attributes.extend([
        text("app.owner", owner),
        text("app.key", "Bearer planted0123456789"),
        text("app.url", "https://planted:planted@db/x"),
        text("app.password", PLANTED),
        text("process.command_args", "--password=planted"),
        text("process.command_line", "run --password=planted"),
    ]);
    let mut one = span(T0, MS);
    one.name = format!("GET /users/planted@example.com/{JWT}/planted%40example.com?token=planted");
    one.attributes.retain(|attribute| attribute.key != "http.route");
    one.attributes.extend([
        text("http.request.header.authorization", "Bearer planted0123456789"),
        text("http.request.header.cookie", "session=planted"),
        text("url.full", "https://shop/?token=planted"),
        text("enduser.id", "planted@example.com"),
        text("db.query.text", "SELECT 'planted'"),
    ]);
    one.events.push(Event {
        name: "exception".to_owned(),
        attributes: vec![text("exception.message", "planted"), text("exception.stacktrace", "planted")],
        ..Event::default()
    });
    one.events.push(Event {
        name: "feature_flag.evaluation".to_owned(),
        attributes: vec![
            text("feature_flag.key", "beta"),
            text("feature_flag.result.variant", "planted@example.com"),
        ],
        ..Event::default()
    });
    let log = LogRecord {
        time_unix_nano: T0,
        body: Some(AnyValue { value: Some(any_value::Value::StringValue("planted".to_owned())) }),
        attributes: vec![text("user.email", "planted@example.com")],
        ..LogRecord::default()
    };
    let mut depth = gauge("queue.depth", T0, 3.0);
    if let Some(opentelemetry_proto::tonic::metrics::v1::metric::Data::Gauge(gauge)) = &mut depth.data {
        gauge.data_points[0].attributes.push(text("customer", "planted@example.com"));
    }
    let ingest = engine.ingest();
    observe(&ingest, Signal::Traces, &traces_of(resource, vec![one]));
    observe(&ingest, Signal::Logs, &logs(sender, vec![log]));
    observe(&ingest, Signal::Metrics, &metrics(sender, vec![depth]));
}

fn leaks(what: &str, text: &str) -> Vec<String> {
    let around = |at: usize| text.get(at.saturating_sub(120)..(at + 40).min(text.len())).unwrap_or_default();
    text.match_indices(PLANTED).map(|(at, _)| format!("{what}: …{}…", around(at))).collect()
}

fn judged(redaction: Redaction, owners: [&str; 2]) -> (Engine, Report) {
    let mut engine = Engine::new(policed(redaction), 2);
    for (sender, owner) in [PROD, CANARY].into_iter().zip(owners) {
        observe_planted(&engine, sender, owner);
    }
    let report = finish(&mut engine);
    (engine, report)
}

#[test]
fn what_is_planted_is_neither_in_what_the_engine_keeps_nor_in_what_it_says() {
    for action in [Action::Hash, Action::Mask] {
        let redaction = Redaction { action, ..Redaction::default() };
        let mut engine = Engine::new(policed(redaction.clone()), 2);
        observe_planted(&engine, PROD, "planted@example.com");
        // All that the engine holds, the windows that are open and the caches of its shards among it.
        let open = format!("{:?} {engine:?}", engine.ingest());
        assert!(open.contains("[REDACTED") && open.contains("app.owner"), "facts are kept");
        assert_eq!(leaks("open", &open), [""; 0]);
        observe_planted(&engine, CANARY, "planted2@example.com");
        let report = finish(&mut engine);
        let sealed = format!("{:?} {engine:?}", engine.ingest());
        assert_eq!(leaks("sealed", &sealed), [""; 0]);
        let said = format!("{report:?} {}", to_json(&report));
        assert!(said.contains("[REDACTED email]") && said.contains("GET /users/{id}/{id}/{id}"), "{said}");
        assert_eq!(leaks("report", &said), [""; 0]);
    }
}

#[test]
fn hidden_facts_are_compared_by_their_hashes_and_shown_without() {
    let same = ["planted@example.com"; 2];
    let different = ["planted@example.com", "planted2@example.com"];
    for (owners, equal) in [(same, true), (different, false)] {
        let (_, report) = judged(Redaction::default(), owners);
        let fact = report.services[0].facts.iter().find(|fact| fact.key == "app.owner").expect("the fact");
        assert_eq!((fact.equal, fact.broken), (equal, !equal));
        assert_eq!(fact.baseline.as_deref(), Some("[REDACTED email]"));
        assert_eq!(report.verdict == Verdict::Divergent, !equal);
    }
    let (_, report) = judged(Redaction { action: Action::Mask, ..Redaction::default() }, different);
    assert_ne!(report.verdict, Verdict::Divergent, "masked values are not told apart");
    let (_, report) = judged(Redaction { action: Action::Keep, ..Redaction::default() }, different);
    assert!(to_json(&report).contains("planted2@example.com"), "kept where people want it");
}

#[test]
fn the_report_is_the_same_in_every_process_and_with_any_key() {
    let of = |key: Option<&str>| {
        let redaction = Redaction { key: key.map(HashKey::of), ..Redaction::default() };
        let (_, report) = judged(redaction, ["planted@example.com", "planted2@example.com"]);
        let json = to_json(&report);
        // A metric that people split by a hidden attribute is named by the hash.
        let start = json.find("customer=[REDACTED email ").expect("the split metric") + 25;
        json.replace(&json[start..start + 16], "")
    };
    assert_eq!(of(None), of(None));
    assert_eq!(of(Some("one long key")), of(Some("another long key")));
}
