//! A webhook that is not well at first.

use crate::agent::Agent;
use crate::served::PATIENCE;
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    sync::mpsc::{Receiver, channel},
};

/// What one request had: its path, its authorization, its body.
type Posted = (String, String, Value);

/// Answers the first request that it is told of a pause, and every other with success.
fn hook() -> (SocketAddr, Receiver<Posted>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, posted) = channel();
    std::thread::spawn(move || {
        for (at, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut first, mut length, mut authorization) = (String::new(), 0, String::new());
            reader.read_line(&mut first).unwrap();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                match line.trim().split_once(": ") {
                    Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                        length = value.parse().unwrap();
                    }
                    Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                        authorization = value.to_owned();
                    }
                    Some(_) => {}
                    None => break,
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let status = if at == 0 { "503 Service Unavailable\r\nretry-after: 0" } else { "204 No Content" };
            let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
            let path = first.split(' ').nth(1).unwrap().to_owned();
            let _ = tell.send((path, authorization, serde_json::from_slice(&body).unwrap()));
        }
    });
    (address, posted)
}

#[test]
fn a_webhook_is_told_again_what_it_could_not_take_and_shown_a_token() {
    let (address, posted) = hook();
    let mut agent = Agent::start(&format!(
        "
exporters:
  webhook/chat:
    endpoint: http://{address}/hooks/isotel?team=shop
    auth: {{authenticator: bearertokenauth}}
    retry_on_failure: {{initial_interval: 10ms}}
extensions: {{bearertokenauth: {{token: let-me-in}}}}
parity: {{alerts: {{exporters: [webhook/chat], runbooks: 'https://git.example/docs/runbooks'}}}}
"
    ));
    agent.until_alert();
    let refused = posted.recv_timeout(PATIENCE).unwrap();
    let taken = posted.recv_timeout(PATIENCE).unwrap();
    assert_eq!(refused, taken, "the same message is sent again");
    let (path, authorization, body) = taken;
    assert_eq!((&*path, &*authorization), ("/hooks/isotel?team=shop", "Bearer let-me-in"));
    assert_eq!(body["schema"], "isotel.alerts/v1");
    let alert = &body["alerts"][0];
    assert_eq!((&alert["status"], &alert["is_news"]), (&"firing".into(), &true.into()));
    let runbook = alert["annotations"]["runbook_url"].as_str().unwrap();
    assert!(runbook.starts_with("https://git.example/docs/runbooks/"), "{runbook}");
    assert_eq!(agent.metric("isotel_exporter_retries"), 1.0);

    agent.waive();
    agent.round();
    agent.round();
    let resolved = |(_, _, body): Posted| {
        let alerts = body["alerts"].as_array().unwrap().clone();
        alerts.iter().all(|alert| alert["status"] == "resolved" && alert["ends_at"].is_string())
    };
    while !resolved(posted.recv_timeout(PATIENCE).unwrap()) {}
    assert_eq!(agent.metric("isotel_alerts_open"), 0.0);
    assert!(agent.metric("isotel_alerts_suppressed") > 0.0);
}

#[test]
fn without_a_storage_the_same_alerts_come_from_the_next_looks_and_a_webhook_takes_them_for_news() {
    let (address, posted) = hook();
    let mut agent = Agent::start_forgetful(&format!(
        "
exporters: {{webhook: {{endpoint: 'http://{address}/', retry_on_failure: {{initial_interval: 10ms}}}}}}
parity: {{alerts: {{exporters: [webhook]}}}}
"
    ));
    // The next one about latency that is news and did not begin then: its fingerprint, its labels, and since when.
    let latency = |posted: &Receiver<Posted>, known: &Value| loop {
        let (_, _, body) = posted.recv_timeout(PATIENCE).unwrap();
        let alerts = body["alerts"].as_array().unwrap().clone();
        let about = |alert: &Value| {
            alert["labels"]["aspect"] == "latency" && alert["is_news"] == true && alert["starts_at"] != *known
        };
        if let Some(alert) = alerts.into_iter().find(about) {
            return [alert["fingerprint"].clone(), alert["labels"].clone(), alert["starts_at"].clone()];
        }
    };
    agent.until_alert();
    let before = latency(&posted, &Value::Null);
    let opened = agent.metric("isotel_alerts_opened");
    agent.crash();
    assert!(opened > 0.0 && agent.metric("isotel_alerts_opened") == 0.0, "nothing is known any more");
    agent.until_alert();
    let after = latency(&posted, &before[2]);
    assert_eq!(after[..2], before[..2], "it began anew, and is the same alert");
}
