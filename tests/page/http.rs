//! The page over HTTP.

use crate::agent::{Agent, HOSTILE};
use crate::served::{connect, http};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};

#[test]
fn every_page_and_all_json_are_there_and_only_to_be_read() {
    let mut agent = Agent::start();
    let empty = agent.get("/");
    assert!(empty.body.contains("Nothing has been judged yet."), "{}", empty.body);
    agent.until_divergent();

    let verdict: Value =
        serde_json::from_str(&agent.get("/api/v1/comparisons/release%2F1/verdict").body).unwrap();
    assert_eq!(verdict["schema"], "isotel.verdict/v1");
    let finding =
        verdict["findings"].as_array().unwrap().iter().find(|finding| finding["aspect"] == "latency");
    let finding = finding.unwrap()["id"].as_str().unwrap();
    for (path, part) in [
        ("/", "href=\"/c/release%2F1\""),
        ("/c/release%2F1", "id=\"operations-table\""),
        ("/c/release%2F1/s/shop%2Fweb", "<h1>shop/web</h1>"),
        ("/c/release%2F1/s/shop%2Fweb/o/server/POST%20%2Fcheckout", "class=\"distributions\""),
        // At parity or undecided as well: the engine is asked for its curves.
        ("/c/release%2F1/s/shop%2Fweb/o/server/GET%20%2Fcart", "class=\"distributions\""),
        ("/c/release%2F1/matrix", "queue.4999.depth"),
        ("/c/release%2F1/facts", "service.version"),
        (&format!("/findings/{finding}"), "How it came about"),
    ] {
        let answer = agent.get(path);
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, "text/html; charset=utf-8"),
            "{path}"
        );
        assert!(answer.body.contains(part), "{path}: {part}\n{}", answer.body);
        let policy = answer.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(answer.header(name), value, "{path}");
        }
        assert!(!answer.body.contains("<img"), "{path}");
        assert!(!answer.body.contains("style=") && !answer.body.contains("<style"), "{path}");
        let head = http(agent.page, "HEAD", path, &[], "");
        assert_eq!((head.status, &*head.body), (200, ""), "{path}");
        assert_eq!(http(agent.page, "POST", path, &[], "").status, 405, "{path}");
        assert_eq!(http(agent.page, "GET", path, &[("host", "evil.test")], "").status, 421, "{path}");
    }
    assert!(agent.get("/c/release%2F1").body.contains("GET /&lt;img src=x onerror=alert(1)&gt;"));
    for (path, kind) in [
        ("/assets/page.css", "text/css; charset=utf-8"),
        ("/assets/page.js", "text/javascript; charset=utf-8"),
        ("/assets/icon.svg", "image/svg+xml"),
    ] {
        let answer = agent.get(path);
        assert_eq!((answer.status, answer.header("content-type")), (200, kind), "{path}");
    }
    for path in [
        "/c/other",
        "/c/release%2F1/s/nobody",
        "/c/release%2F1/s/shop%2Fweb/o/client/GET%20%2Fcart",
        "/findings/none",
        "/assets/page.rs",
        "/api/v1/comparisons/other/verdict",
        "/api/v1/comparisons/release%2F1/operations/a/b/c",
        "/%ff",
    ] {
        assert_eq!(agent.get(path).status, 404, "{path}");
    }

    let lines: Value = serde_json::from_str(&agent.get("/api/v1/comparisons").body).unwrap();
    assert_eq!(lines[0]["comparison"], "release/1");
    assert_eq!(lines[0]["looks"].as_array().unwrap().last().unwrap()["verdict"], "divergent");
    assert!(lines[0]["since"].is_string());
    let matrix: Value =
        serde_json::from_str(&agent.get("/api/v1/comparisons/release%2F1/matrix").body).unwrap();
    assert_eq!(matrix["environments"], serde_json::json!(["prod", "canary"]));
    let operation = agent.get("/api/v1/comparisons/release%2F1/operations/shop%2Fweb/server/GET%20%2F%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E");
    let operation: Value = serde_json::from_str(&operation.body).unwrap();
    assert_eq!(operation["result"]["operation"], HOSTILE);
    assert!(operation["curves"]["baseline"].as_array().unwrap().len() > 1);
}

#[test]
fn listeners_hear_of_each_judgement_are_bounded_and_do_not_hold_up_the_end() {
    let mut agent = Agent::start();
    let listen = |agent: &Agent| {
        let mut stream = connect(agent.page);
        write!(stream, "GET /events HTTP/1.1\r\nhost: {}\r\n\r\n", agent.page).unwrap();
        let mut lines = BufReader::new(stream).lines().map(|line| line.unwrap());
        (lines.next().unwrap(), lines)
    };
    let mut listeners: Vec<_> = (0..32).map(|_| listen(&agent)).collect();
    for (status, lines) in &mut listeners {
        assert_eq!(status, "HTTP/1.1 200 OK");
        assert!(lines.any(|line| line == "retry: 5000"), "a stream says at once when to come back");
    }
    let (status, mut lines) = listen(&agent);
    assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
    assert!(lines.any(|line| line == "retry-after: 5"));
    drop(lines);
    agent.round();
    agent.round();
    for (_, lines) in &mut listeners {
        assert!(lines.any(|line| line == "event: judged"), "every listener hears of it");
        let told = lines.next().unwrap();
        let told: Value = serde_json::from_str(told.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(told[0]["comparison"], "release/1");
    }
    // Who goes away makes room, which is found when something is said.
    listeners.truncate(31);
    crate::served::until("there is room again", || {
        agent.round();
        (listen(&agent).0 == "HTTP/1.1 200 OK").then_some(())
    });
    assert!(agent.end().success());
    let log = agent.log();
    assert!(log.contains("\"stopped\"") && !log.contains("cut off"), "streams do not hold up the end: {log}");
    for (_, lines) in listeners {
        assert!(lines.count() > 0, "and they end as HTTP says");
    }
}

#[test]
fn a_history_survives_kill_9_and_its_addresses_pin_a_period() {
    let mut agent = Agent::with_history();
    agent.until_divergent();
    let api = "/api/v1/comparisons/release%2F1/history";
    let read = |agent: &Agent, query: &str| -> Value {
        let answer = agent.get(&format!("{api}{query}"));
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    };
    let all = read(&agent, "?last=30d");
    assert_eq!(all["schema"], "isotel.history/v1");
    assert_eq!((&all["baseline"], &all["candidate"]), (&"prod".into(), &"canary".into()));
    assert!(all["points"].as_array().unwrap().len() > 100, "two weeks by two hours");
    let to = all["to"].as_str().unwrap();
    let day = read(&agent, &format!("?from={}&to={}", &all["begins"].as_str().unwrap()[..10], &to[..10]));
    assert!(day["deploys"].as_array().unwrap().iter().any(|one| one["to"] == "1.3"), "{}", day["deploys"]);
    let agent = agent.killed_and_started_again();
    let again = read(&agent, &format!("?from={}&to={}", &all["begins"].as_str().unwrap()[..10], &to[..10]));
    assert_eq!(again, day, "the address shows the same after a restart");
    let shown: Value = serde_json::from_str(&agent.get("/api/v1/comparisons").body).unwrap();
    assert_eq!(shown[0]["verdict"], "divergent");
    assert!(shown[0]["looks"].as_array().unwrap().len() > 700, "the page goes on where it was");

    let refused = agent.get("/c/release%2F1/history?from=soon");
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("from=soon is no time: write a day"), "{}", refused.body);
    let refused = agent.get(&format!("{api}?from=2026-11-22&to=2026-11-21"));
    assert_eq!((refused.status, refused.header("content-type")), (400, "application/json"));
    assert!(refused.body.contains("`from` must be earlier"), "{}", refused.body);
    assert_eq!(agent.get("/c/other/history").status, 404);
}
