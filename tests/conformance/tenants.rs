//! Tenants: whose a request is, who may send as whom, and that neither what is taken nor what waits is mixed.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use http_body_util::Full;
use isotel::{
    agent::{Agent, Hosted, Intake, Sources},
    config::{Config, HttpOrGrpc as Transport},
    wire::Signal,
};
use prost::Message;
use tonic::Code;

use super::{
    downstream::{Downstream, Reply},
    harness::{
        CountingIntake, Running, config_with, exporter, forwarding, frame, grpc_body, http, metric, spans,
        until,
    },
    ingest::rpc_status,
};

const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const PROTOBUF: &str = "application/x-protobuf";
const TENANT: &str = "x-scope-orgid";

fn good() -> Vec<u8> {
    spans(&["GET /"]).encode_to_vec()
}

/// An agent with an intake for each tenant of its configuration, by name.
async fn start(config: &Config) -> (Running, Vec<Arc<CountingIntake>>) {
    let tenants = config.tenants.as_ref().unwrap();
    let intakes: Vec<Arc<CountingIntake>> = tenants.known.iter().map(|_| Arc::default()).collect();
    let hosted = tenants.known.iter().zip(&intakes).map(|(tenant, intake)| Hosted {
        name: Some(tenant.name.clone()),
        intake: Arc::clone(intake) as Arc<dyn Intake>,
        results: Arc::default(),
        prometheus: None,
    });
    let agent = Agent::start_for(config, hosted.collect(), Sources::default()).await.unwrap();
    let addresses = agent.addresses();
    let [grpc, http] = [Transport::Grpc, Transport::Http].map(|of| addresses.first(of).unwrap());
    (Running { agent, intake: Arc::default(), grpc, http }, intakes)
}

/// Sends the same over both transports; the HTTP status and the gRPC code.
async fn send(running: &Running, headers: &[(&str, &str)]) -> (u16, Code) {
    let of_http = [&[("content-type", PROTOBUF)], headers].concat();
    let over_http = http(running.http, Method::POST, "/v1/traces", &of_http, good().into()).await;
    let body = Full::new(frame(false, &good()));
    let over_grpc = grpc_body(running.grpc, TRACES, headers, body).await;
    (over_http.status, over_grpc.status.code())
}

const ACCEPTED: (u16, Code) = (200, Code::Ok);
const STRANGER: (u16, Code) = (401, Code::Unauthenticated);
/// Not to be sent again: OTLP retries neither.
const NOBODYS: (u16, Code) = (400, Code::InvalidArgument);

fn counts(intakes: &[Arc<CountingIntake>]) -> Vec<usize> {
    intakes.iter().map(|intake| intake.requests().len()).collect()
}

#[tokio::test]
async fn a_request_is_its_tenants_and_of_nobody_else_and_invented_names_are_refused_and_counted() {
    let config = config_with("parity: {tenants: {known: {bank: , shop: }}}\n");
    let (running, intakes) = start(&config).await;
    let table: &[(&[&str], (u16, Code))] = &[
        (&["shop"], ACCEPTED),
        (&["shop"], ACCEPTED),
        (&["bank"], ACCEPTED),
        (&[], NOBODYS),
        (&[""], NOBODYS),
        (&["Shop"], NOBODYS),
        (&["shop2"], NOBODYS),
        (&["shop,bank"], NOBODYS),
        (&["../shop"], NOBODYS),
        (&["shop", "bank"], NOBODYS),
        (&["shop", "shop"], NOBODYS),
    ];
    for (names, expected) in table {
        let headers: Vec<_> = names.iter().map(|name| (TENANT, *name)).collect();
        assert_eq!(send(&running, &headers).await, *expected, "{names:?}");
    }
    for n in 0..200 {
        assert_eq!(send(&running, &[(TENANT, &format!("invented-{n}"))]).await, NOBODYS);
    }
    assert_eq!(counts(&intakes), [2, 4], "bank and shop, over two transports");
    for transport in ["grpc", "http"] {
        let labels = format!("transport=\"{transport}\",signal=\"traces\",outcome=\"no_tenant\"");
        assert_eq!(metric(&running.agent, &format!("isotel_receiver_requests{{{labels}}}")), 208.0);
    }
    let page: String = running.agent.telemetry().page().collect();
    assert!(!page.contains("invented"), "no series is made of an invented name: {page}");
    let headers = [("content-type", PROTOBUF), (TENANT, "invented")];
    let answer = http(running.http, Method::POST, "/v1/traces", &headers, good().into()).await;
    let (code, message) = rpc_status(&answer);
    assert!(code == 3 && message.contains("parity.tenants.known"), "{message}");
    let headers = [("content-type", PROTOBUF)];
    let answer = http(running.http, Method::POST, "/v1/traces", &headers, good().into()).await;
    assert!(rpc_status(&answer).1.contains("set the header x-scope-orgid"));
}

#[tokio::test]
async fn without_the_header_a_request_is_the_default_tenants_where_there_is_one() {
    let config = config_with("parity: {tenants: {header: X-Team, default: shop, known: {bank: , shop: }}}\n");
    let (running, intakes) = start(&config).await;
    assert_eq!(send(&running, &[]).await, ACCEPTED);
    assert_eq!(send(&running, &[("x-team", "bank")]).await, ACCEPTED);
    assert_eq!(send(&running, &[("x-team", "else")]).await, NOBODYS);
    assert_eq!(send(&running, &[(TENANT, "bank")]).await, ACCEPTED, "another header says nothing");
    assert_eq!(counts(&intakes), [2, 4]);
}

#[tokio::test]
async fn who_sends_as_a_tenant_shows_the_tenants_credential_and_otherwise_the_listeners() {
    let auth = |id: &str| format!("{{auth: {{authenticator: bearertokenauth/{id}}}}}");
    let (shop, common) = (auth("shop"), auth("common"));
    let config = config_with(&format!(
        "extensions: {{bearertokenauth/shop: {{token: s}}, bearertokenauth/common: {{token: c}}}}
receivers: {{otlp: {{protocols: {{grpc: {common}, http: {common}}}}}}}
parity: {{tenants: {{known: {{shop: {shop}, bank: }}}}}}
"
    ));
    let (mut running, intakes) = start(&config).await;
    let says = |token: &'static str, tenant: &'static str| [("authorization", token), (TENANT, tenant)];
    for (token, tenant, expected) in [
        ("Bearer s", "shop", ACCEPTED),
        ("Bearer c", "shop", STRANGER),
        ("Bearer c", "bank", ACCEPTED),
        ("Bearer s", "bank", STRANGER),
        // Who is let in by nobody does not learn who is known.
        ("Bearer s", "invented", STRANGER),
        ("Bearer c", "invented", NOBODYS),
    ] {
        assert_eq!(send(&running, &says(token, tenant)).await, expected, "{token} {tenant}");
    }
    assert_eq!(counts(&intakes), [2, 2]);
    let other = config_with("parity: {tenants: {known: {shop: , bank: , third: }}}\n");
    let refused = running.agent.reload(&other).await.unwrap_err().to_string();
    assert!(refused.contains("bank, shop, third instead of bank, shop"), "{refused}");
    assert_eq!(send(&running, &says("Bearer c", "shop")).await, STRANGER, "the old goes on");
    let other = config_with("parity: {tenants: {known: {shop: , bank: }}}\n");
    running.agent.reload(&other).await.unwrap();
    assert_eq!(send(&running, &[(TENANT, "shop")]).await, ACCEPTED, "who may come changes at once");
}

#[tokio::test]
async fn what_goes_on_says_whose_it_is_and_a_tenant_whose_queue_is_full_holds_up_nobody_else() {
    let downstream = Downstream::start(vec![Reply::Hang]).await;
    let one = config_with(
        "exporters: {otlp_http: {headers: {X-SCOPE-ORGID: forged}, sending_queue: {num_consumers: 1, queue_size: 1}}}
parity: {tenants: {known: {shop: , bank: }}}\n",
    );
    let mut next = one.exporters["otlp_http"].clone();
    (next.transport, next.url) = (Transport::Http, downstream.http());
    next.timeout = exporter(Transport::Http, String::new()).timeout;
    let (running, intakes) = start(&forwarding(one, vec![("otlp", next)])).await;
    let post = async |tenant: &str| {
        let headers = [("content-type", PROTOBUF), (TENANT, tenant)];
        http(running.http, Method::POST, "/v1/traces", &headers, good().into()).await.status
    };
    assert_eq!(post("shop").await, 200);
    downstream.await_requests(1).await;
    // The first is being sent and never answered, the second waits, and for a third there is no room.
    assert_eq!([post("shop").await, post("shop").await], [200, 503]);
    assert_eq!([post("bank").await, post("bank").await], [200, 200]);
    let arrived = downstream.await_requests(3).await;
    let whose: Vec<_> = arrived.iter().map(|one| one.headers[TENANT].to_str().unwrap()).collect();
    assert_eq!(whose, ["shop", "bank", "bank"]);
    assert!(arrived.iter().all(|one| one.headers.get_all(TENANT).iter().count() == 1));
    assert_eq!(counts(&intakes), [2, 2]);
    let sent = "isotel_exporter_sent_requests{exporter=\"otlp@bank\"}";
    until("both are delivered", || (metric(&running.agent, sent) == 2.0).then_some(())).await;
    assert_eq!(metric(&running.agent, "isotel_exporter_sent_requests{exporter=\"otlp@shop\"}"), 0.0);
}

#[tokio::test]
async fn results_of_a_tenant_go_on_in_its_name() {
    let downstream = Downstream::start(Vec::new()).await;
    let mut config = config_with("parity: {tenants: {known: {shop: , bank: }}}\n");
    config.exporters = [("otlp".to_owned(), exporter(Transport::Grpc, downstream.http()))].into();
    config.results = vec!["otlp".to_owned()];
    let (running, _) = start(&config).await;
    let routes = running.agent.exporters_for_results();
    assert_eq!(routes.len(), 2);
    assert_eq!(routes[1].offer(Signal::Metrics, Bytes::from_static(b"\x0a\x00")), 1);
    let arrived = downstream.await_requests(1).await;
    assert_eq!((arrived.len(), &arrived[0].headers[TENANT]), (1, &"shop".parse().unwrap()));
}
