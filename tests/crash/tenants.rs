//! Tenants on one disk: each has its own after `kill -9`, and what nobody uses any more is named at the start.

use crate::agent::{Running, config, holds};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

/// The status of a request with one span of this name.
fn send(to: SocketAddr, tenant: &str, name: &str) -> u16 {
    let span = format!(
        "{{\"traceId\":\"{:032x}\",\"spanId\":\"{:016x}\",\"name\":\"{name}\",\"kind\":2,\
         \"startTimeUnixNano\":\"1700000000000000000\",\"endTimeUnixNano\":\"1700000000100000000\"}}",
        1, 1
    );
    let attribute =
        |key: &str, value: &str| format!("{{\"key\":\"{key}\",\"value\":{{\"stringValue\":\"{value}\"}}}}");
    let resource =
        [attribute("service.name", "web"), attribute("deployment.environment.name", "prod")].join(",");
    let body = format!(
        "{{\"resourceSpans\":[{{\"resource\":{{\"attributes\":[{resource}]}},\"scopeSpans\":[{{\"spans\":[{span}]}}]}}]}}"
    );
    let mut stream = TcpStream::connect(to).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST /v1/traces HTTP/1.0\r\nx-scope-orgid: {tenant}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

const TENANTS: &str = "  tenants: {known: {shop: , bank: }}\n";

#[test]
fn each_tenant_has_its_own_requests_again_after_a_kill_and_none_of_anothers() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("data");
    let text = config(&directory) + TENANTS;
    let mut running = Running::start(&text, &[]);
    let to = running.addresses().http;
    for (tenant, n) in [("shop", 3), ("bank", 2)] {
        (0..n).for_each(|_| assert_eq!(send(to, tenant, &format!("GET /{tenant}-only")), 200));
    }
    assert_eq!(send(to, "..", "GET /nobody"), 400);
    running.kill();
    let of = |tenant: &str| directory.join(format!("tenant-{tenant}"));
    for (tenant, other) in [("shop", "bank"), ("bank", "shop")] {
        assert!(holds(&of(tenant), &format!("GET /{tenant}-only")));
        assert!(!holds(&of(tenant), &format!("GET /{other}-only")));
    }
    assert!(!holds(&directory, "GET /nobody"));

    let mut running = Running::start(&text, &[]);
    let page = running.addresses().page();
    for (tenant, n) in [("shop", 3), ("bank", 2)] {
        for name in ["isotel_storage_recovered_requests", "isotel_receiver_accepted_spans"] {
            let line = format!("{name}{{tenant=\"{tenant}\"}} {n}\n");
            assert!(page.contains(&line), "{line}: {page}");
        }
    }
    running.stop();
}

const UNUSED: &str = "nothing uses this any more";

#[test]
fn what_no_exporter_and_no_tenant_uses_any_more_is_named_at_the_start_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("data");
    let plain = config(&directory);
    let with_exporter = format!(
        "{plain}  exporters: [otlp_http/next]\nexporters:\n  otlp_http/next: {{endpoint: 'http://127.0.0.1:9', sending_queue: {{storage: file_storage}}}}\n"
    );
    let unused = |text: &str| -> Vec<String> {
        let mut running = Running::start(text, &[]);
        running.addresses();
        running.signal("-TERM");
        assert!(running.ended().success());
        let fields = running.logged.iter().map(|record| &record["fields"]);
        let told =
            fields.filter(|fields| fields["message"].as_str().is_some_and(|said| said.starts_with(UNUSED)));
        told.map(|fields| fields["path"].as_str().unwrap().to_owned()).collect()
    };
    let path = |name: &str| directory.join(name).display().to_string();
    assert!(unused(&with_exporter).is_empty());
    assert_eq!(unused(&plain), [path("queue-otlp_http%2fnext")]);
    assert!(unused(&with_exporter).is_empty(), "it is there again");
    let found = unused(&format!("{plain}{TENANTS}"));
    assert!(found.iter().all(|path| path.contains("/checkpoint-") || path.contains("/queue-")), "{found:?}");
    assert!(found.iter().any(|path| path.contains("/checkpoint-")), "{found:?}");
    let fewer = unused(&format!("{plain}  tenants: {{known: {{shop: }}}}\n"));
    assert!(fewer.contains(&path("tenant-bank")) && !fewer.contains(&path("tenant-shop")), "{fewer:?}");
    for name in ["tenant-bank", "tenant-shop", "queue-otlp_http%2fnext"] {
        assert!(directory.join(name).is_dir(), "{name}");
    }
}
