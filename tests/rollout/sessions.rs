//! Sessions over isotel's own API.

use crate::agent::{Agent, Canary};
use crate::served::{http, until};
use serde_json::{Value, json};

#[test]
fn a_session_passes_when_parity_is_shown_and_fails_when_divergence_is() {
    for (canary, decision, verdict) in
        [(Canary::Alike, "pass", "parity"), (Canary::Slower, "fail", "divergent")]
    {
        let mut agent = Agent::start();
        let session = agent.begin(json!({"release": "7f9c", "comparison": "release", "timeout": "20m"}));
        assert_eq!((&session["state"], &session["answer"]), (&json!("running"), &json!("inconclusive")));
        assert!(session["reason"].as_str().unwrap().starts_with("No window has been judged since"));
        agent.rounds(12, canary);
        let ended = agent.session(&session["id"], "a decision", |session| session["state"] == "decided");
        assert_eq!((&ended["decision"], &ended["answer"]), (&json!(decision), &json!(decision)), "{ended}");
        assert!(ended["ended_at"].is_string());
        let judged = agent.get(ended["report"].as_str().unwrap()).json();
        assert_eq!((&judged["schema"], &judged["verdict"]), (&json!("isotel.verdict/v1"), &json!(verdict)));
        // What comes later changes nothing, and the page shows it.
        let looked = ended["windows"].clone();
        agent.rounds(3, if canary == Canary::Alike { Canary::Slower } else { Canary::Alike });
        until("the live comparison goes on", || {
            let live = agent.get("/api/v1/comparisons/release/verdict").json();
            (live["period"]["windows"].as_u64() > looked.as_u64()).then_some(())
        });
        let after = agent.session(&session["id"], "the same", |_| true);
        assert_eq!(after, ended);
        for path in ["/", ended["page"].as_str().unwrap()] {
            let page = agent.get(path);
            assert_eq!(page.status, 200);
            assert!(page.body.contains("7f9c") && page.body.contains(decision), "{}", page.body);
        }
    }
}

#[test]
fn too_few_requests_are_inconclusive_and_say_what_is_missing() {
    let mut agent = Agent::start();
    let session = agent.begin(json!({"comparison": "release"}));
    agent.rounds(7, Canary::Quiet);
    let open = agent.session(&session["id"], "judgements", |session| session["windows"].as_u64() > Some(4));
    assert_eq!((&open["state"], &open["decision"]), (&json!("running"), &json!("inconclusive")));
    assert!(open["needs"]["n"].as_u64().unwrap() > 0, "{open}");
    let reason = open["reason"].as_str().unwrap();
    assert!(reason.contains("shop/web POST /checkout") && reason.contains("requests a side"), "{reason}");
}

#[test]
fn a_selector_that_matches_nothing_is_an_error_and_its_neighbours_are_named() {
    let mut agent = Agent::start();
    let session = agent.begin(json!({"comparison": "release", "candidate": "85d557f47b"}));
    agent.rounds(3, Canary::Alike);
    let open = agent.session(&session["id"], "a judgement", |session| session["decision"] == "error");
    let reason = open["reason"].as_str().unwrap();
    assert!(
        reason.contains("\"85d557f47b\" matches no telemetry") && reason.contains("canary, stable"),
        "{reason}"
    );
    for (body, said) in [
        (json!({"comparison": "release", "candidate": ""}), "candidate is empty"),
        (json!({"baseline": "stable", "candidate": "stable"}), "not compared with itself"),
        (json!({"comparison": "relaese"}), "there is release"),
        (json!({"comparison": "release", "services": []}), "services is empty"),
        (json!({"comparison": "release", "timeout": "2h"}), "parity.period"),
        (json!({"comparison": "release", "start": "2020-01-01T00:00:00Z"}), "parity.period"),
        (json!({"comparison": "release", "release": "x".repeat(257)}), "257 bytes"),
        (json!({"comparision": "release"}), "unknown field"),
    ] {
        let answer = agent.ask("POST", "/api/v1/sessions", &body.to_string());
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.json()["error"].as_str().unwrap().contains(said), "{body}: {}", answer.body);
    }
}

#[test]
fn whoever_may_not_write_is_refused_and_told_what_to_configure() {
    let paths = [
        ("POST", "/api/v1/sessions"),
        ("DELETE", "/api/v1/sessions/x"),
        ("POST", "/api/v1/sessions/x/cancel"),
        ("POST", "/api/v1/sessions/x/override"),
        ("POST", "/api/v1/argo"),
        ("POST", "/api/v1/flagger/rollout"),
        ("POST", "/canary/release?application=web"),
        ("PUT", "/pipelines/x/cancel"),
    ];
    let guarded = Agent::start();
    for (method, path) in paths {
        assert_eq!(http(guarded.page, method, path, &[], "{}").status, 401, "{path}");
        let from_a_browser = [("authorization", crate::agent::CREDENTIAL), ("origin", "http://evil.test")];
        assert_eq!(http(guarded.page, method, path, &from_a_browser, "{}").status, 403, "{path}");
        assert_eq!(guarded.ask("PATCH", path, "").status, 405, "{path}");
    }
    let huge = guarded.ask("POST", "/api/v1/sessions", &" ".repeat(70_000));
    assert_eq!(huge.status, 413);
    assert_eq!(guarded.get("/api/v1/sessions").json(), json!([]));
    let open = Agent::unguarded();
    for (method, path) in paths {
        let answer = http(open.page, method, path, &[], "{}");
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.body.contains("extensions.page.auth.authenticator"), "{}", answer.body);
    }
    assert_eq!(http(open.page, "GET", "/api/v1/sessions", &[], "").status, 200, "everybody may read");
}

#[test]
fn a_person_decides_beside_the_judge_and_a_dry_run_passes_beside_it() {
    let mut agent = Agent::start();
    let by_person = agent.begin(json!({"release": "a", "comparison": "release"}));
    let dry = agent.begin(json!({"release": "b", "comparison": "release", "dry_run": true}));
    assert_eq!((&dry["answer"], &dry["decision"]), (&json!("pass"), &json!("inconclusive")));
    let path = |what: &str| format!("/api/v1/sessions/{}/{what}", by_person["id"].as_str().unwrap());
    for (body, said) in [
        (json!({"verdict": "pass", "reason": "", "name": "ada"}), "reason is empty"),
        (json!({"verdict": "inconclusive", "reason": "r", "name": "ada"}), "pass or fail"),
        (json!({"verdict": "pass", "name": "ada"}), "reason"),
    ] {
        let answer = agent.ask("POST", &path("override"), &body.to_string());
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.body.contains(said), "{}", answer.body);
    }
    let body = json!({"verdict": "pass", "reason": "known slow query, ships behind a flag", "name": "ada"});
    assert_eq!(agent.ask("POST", &path("override"), &body.to_string()).json()["answer"], "pass");
    agent.rounds(12, Canary::Slower);
    for (session, words) in
        [(&by_person, "ada says pass: known slow query"), (&dry, "Dry run; the judge says fail")]
    {
        let ended = agent.session(&session["id"], "a decision", |session| session["state"] == "decided");
        assert_eq!((&ended["decision"], &ended["answer"]), (&json!("fail"), &json!("pass")), "{ended}");
        assert!(ended["reason"].as_str().unwrap().starts_with(words), "{ended}");
    }
    let shown = agent.session(&by_person["id"], "the override", |_| true);
    assert_eq!((&shown["override"]["name"], &shown["override"]["verdict"]), (&json!("ada"), &json!("pass")));
    let page = agent.get(shown["page"].as_str().unwrap()).body;
    assert!(page.contains("Decided by a person") && page.contains("ships behind a flag"), "{page}");
}

#[test]
fn a_release_has_one_session_until_it_is_cancelled_and_time_ends_it() {
    let agent = Agent::start();
    let body = json!({"release": "7f9c", "comparison": "release"});
    let first = agent.begin(body.clone());
    assert_eq!(agent.begin(body.clone())["id"], first["id"]);
    assert_ne!(agent.begin(json!({"release": "8aaa", "comparison": "release"}))["id"], first["id"]);
    let path = format!("/api/v1/sessions/{}", first["id"].as_str().unwrap());
    assert_eq!(agent.ask("DELETE", &path, "").json()["state"], "cancelled");
    assert_eq!(
        agent.ask("POST", &format!("{path}/cancel"), "").json()["state"],
        "cancelled",
        "again is no error"
    );
    assert_ne!(agent.begin(body)["id"], first["id"]);
    assert_eq!(agent.ask("DELETE", "/api/v1/sessions/none", "").status, 404);
    let short = agent.begin(json!({"comparison": "release", "timeout": "10ms"}));
    let ended = agent.session(&short["id"], "its time is up", |session| session["state"] == "timed_out");
    assert_eq!(ended["decision"], "inconclusive");
    assert!(ended["reason"].as_str().unwrap().starts_with("Time is up."), "{ended}");
}

#[test]
fn sessions_are_bounded_and_what_has_ended_gives_way() {
    let mut agent = Agent::with("parity: {limits: {sessions: 3}}");
    let body = |release: &str| json!({"release": release, "comparison": "release"});
    let first = agent.begin(body("a"));
    agent.begin(body("b"));
    agent.begin(body("c"));
    let full = agent.ask("POST", "/api/v1/sessions", &body("d").to_string());
    assert_eq!(full.status, 409);
    assert!(full.body.contains("parity.limits.sessions"), "{}", full.body);
    let path = format!("/api/v1/sessions/{}", first["id"].as_str().unwrap());
    agent.ask("DELETE", &path, "");
    agent.begin(body("d"));
    let known: Vec<Value> = agent.get("/api/v1/sessions").json().as_array().unwrap().clone();
    let releases: Vec<&Value> = known.iter().map(|session| &session["release"]).collect();
    assert_eq!(releases, ["d", "c", "b"]);
    agent.rounds(2, Canary::Alike);
    until("the bound is told in reports", || {
        let judged = agent.get("/api/v1/comparisons/release/verdict");
        (judged.status == 200).then(|| assert_eq!(judged.json()["limits_hit"], json!(["sessions: 1"])))
    });
    assert_eq!(agent.get(&path).status, 404);
}

#[test]
fn sessions_survive_kill_9_where_there_is_a_storage_and_go_on_to_their_decision() {
    let mut agent = Agent::with_storage();
    let session = agent.begin(json!({"release": "7f9c", "comparison": "release"}));
    let over = json!({"verdict": "fail", "reason": "no", "name": "ada"}).to_string();
    let other = agent.begin(json!({"release": "x", "comparison": "release"}));
    agent.ask("POST", &format!("/api/v1/sessions/{}/override", other["id"].as_str().unwrap()), &over);
    agent.rounds(3, Canary::Alike);
    agent.session(&session["id"], "two windows are judged", |session| session["windows"] == 2);
    agent.crash();
    let kept = agent.session(&session["id"], "it is there", |_| true);
    assert_eq!(
        (&kept["state"], &kept["windows"], &kept["traffic"]),
        (&json!("running"), &json!(2), &json!(true))
    );
    assert_eq!(agent.session(&other["id"], "it is there", |_| true)["override"]["name"], "ada");
    agent.rounds(10, Canary::Alike);
    let ended = agent.session(&session["id"], "a decision", |session| session["state"] == "decided");
    assert_eq!(ended["decision"], "pass");
}
