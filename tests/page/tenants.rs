//! Two tenants at one agent: what is judged for one is on no page of the other.

use crate::agent::Agent;
use crate::served::{Answer, http, until};

const TENANTS: &str = "
extensions:
  bearertokenauth/shop: {token: for-shop}
  bearertokenauth/bank: {token: for-bank}
parity:
  tenants:
    known:
      shop: {auth: {authenticator: bearertokenauth/shop}}
      bank: {auth: {authenticator: bearertokenauth/bank}}
";
const SHOP: (&str, &str) = ("authorization", "Bearer for-shop");
const BANK: (&str, &str) = ("authorization", "Bearer for-bank");

/// An agent that has judged the shop, and knows the bank.
fn agent() -> Agent {
    let mut agent = Agent::start_with(TENANTS);
    agent.says = vec![SHOP, ("x-scope-orgid", "shop")];
    for _ in 0..8 {
        agent.round();
    }
    until("the shop is judged", || {
        let comparisons = read(&agent, "/tenants/shop/api/v1/comparisons", &[SHOP]);
        comparisons.body.contains("\"divergent\"").then_some(())
    });
    agent
}

fn read(agent: &Agent, path: &str, headers: &[(&str, &str)]) -> Answer {
    http(agent.page, "GET", path, headers, "")
}

#[test]
fn a_tenants_pages_are_under_its_name_link_to_each_other_and_show_nothing_of_another() {
    let agent = agent();
    let page = read(&agent, "/tenants/shop/c/release%2F1", &[SHOP]);
    assert_eq!(page.status, 200);
    let links: Vec<&str> =
        page.body.split(" href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let led: Vec<_> = links.iter().filter(|link| link.starts_with('/')).collect();
    assert!(led.len() > 5, "{links:?}");
    for link in led {
        assert!(link.starts_with("/tenants/shop/"), "{link}");
        assert_eq!(read(&agent, link, &[SHOP]).status, 200, "{link}");
    }
    assert!(page.body.contains("data-events=\"/tenants/shop/events\""));
    assert_eq!(read(&agent, "/tenants/shop/assets/page.js", &[SHOP]).status, 200);

    for path in ["/tenants/bank", "/tenants/bank/"] {
        let empty = read(&agent, path, &[BANK]);
        assert_eq!(empty.status, 200);
        assert!(empty.body.contains("Nothing has been judged yet."), "{}", empty.body);
    }
    assert_eq!(read(&agent, "/tenants/bank/api/v1/comparisons", &[BANK]).body.trim(), "[]");
    for path in [
        "/c/release%2F1",
        "/api/v1/comparisons/release%2F1/verdict",
        "/api/v1/comparisons/release%2F1/matrix",
    ] {
        assert_eq!(read(&agent, &format!("/tenants/shop{path}"), &[SHOP]).status, 200, "{path}");
        assert_eq!(read(&agent, &format!("/tenants/bank{path}"), &[BANK]).status, 404, "{path}");
    }
    // Who can set headers needs no other address.
    let by_header = read(&agent, "/api/v1/comparisons", &[SHOP, ("X-Scope-OrgID", "shop")]);
    assert!(by_header.body.contains("release/1"), "{}", by_header.body);
}

#[test]
fn a_name_alone_opens_no_page_and_neither_does_anothers_credential() {
    let agent = agent();
    for (path, headers, status) in [
        ("/tenants/shop/", &[][..], 401),
        ("/tenants/shop/", &[BANK], 401),
        ("/tenants/shop/events", &[BANK], 401),
        ("/tenants/bank/", &[SHOP], 401),
        ("/api/v1/comparisons", &[BANK, ("x-scope-orgid", "shop")], 401),
        ("/tenants/shop/", &[BANK, ("x-scope-orgid", "bank")], 401),
        ("/", &[], 404),
        ("/", &[SHOP], 404),
        ("/tenants/nobody/", &[SHOP], 404),
        ("/tenants/", &[SHOP], 404),
        ("/tenants/shop/../bank/", &[SHOP], 404),
        ("/", &[SHOP, ("x-scope-orgid", "shop"), ("x-scope-orgid", "bank")], 404),
    ] {
        let answer = read(&agent, path, headers);
        assert_eq!(answer.status, status, "{path} {headers:?}");
        assert!(!answer.body.contains("release"), "{}", answer.body);
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    }
    let misnamed = read(&agent, "/tenants/shop/", &[SHOP, ("host", "evil.test")]);
    assert_eq!(misnamed.status, 421);
}

#[test]
fn a_session_is_begun_with_the_tenants_credential_and_seen_by_that_tenant_only() {
    let agent = agent();
    let begin = |tenant: &str, headers: &[(&str, &str)]| {
        let path = format!("/tenants/{tenant}/api/v1/sessions");
        let headers = [&[("content-type", "application/json")], headers].concat();
        http(agent.page, "POST", &path, &headers, "{\"comparison\":\"release/1\",\"release\":\"r-1\"}")
    };
    assert_eq!(begin("shop", &[]).status, 401);
    assert_eq!(begin("shop", &[BANK]).status, 401);
    let begun = begin("shop", &[SHOP]);
    assert_eq!(begun.status, 201, "{}", begun.body);
    let session: serde_json::Value = serde_json::from_str(&begun.body).unwrap();
    for link in ["page", "report"] {
        let path = session[link].as_str().unwrap();
        assert!(path.starts_with("/tenants/shop/"), "{path}");
    }
    assert_eq!(read(&agent, session["page"].as_str().unwrap(), &[SHOP]).status, 200);
    assert!(read(&agent, "/tenants/shop/api/v1/sessions", &[SHOP]).body.contains("r-1"));
    assert!(!read(&agent, "/tenants/bank/api/v1/sessions", &[BANK]).body.contains("r-1"));
    assert_eq!(read(&agent, "/api/v1/sessions", &[SHOP]).status, 404);
}

#[test]
fn a_snapshot_is_of_the_tenant_whose_credential_is_shown() {
    let agent = agent();
    let folder = tempfile::tempdir().unwrap();
    let golden = folder.path().join("golden.isotel");
    let save = |tenant: &str, credential: (&str, &str)| {
        let token = folder.path().join("token");
        std::fs::write(&token, credential.1.strip_prefix("Bearer ").unwrap()).unwrap();
        let url = agent.url(&format!("/tenants/{tenant}"));
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_isotel"));
        command.args(["snapshot", "save", "--environment", "prod", "--agent", &url, "--token-file"]);
        let output = command.arg(&token).arg("-o").arg(&golden).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = save("shop", BANK);
    assert_eq!((code, said.contains("401")), (2, true), "{said}");
    let (code, said) = save("bank", BANK);
    assert_eq!((code, said.contains("there is of: none")), (2, true), "{said}");
    assert_eq!(save("shop", SHOP).0, 0);
    assert!(golden.exists());
}

#[test]
fn prometheus_has_the_agents_own_counters_and_the_results_of_each_tenant_on_pages_of_their_own() {
    let agent = agent();
    let get = |path: &str, headers: &[(&str, &str)]| http(agent.metrics, "GET", path, headers, "");
    let own = get("/metrics", &[]).body;
    assert!(own.contains("isotel_receiver_accepted_metric_points{tenant=\"shop\"} 5000\n"), "{own}");
    assert!(own.contains("isotel_receiver_accepted_metric_points{tenant=\"bank\"} 0\n"), "{own}");
    assert_eq!(own.matches("# TYPE isotel_receiver_accepted_spans ").count(), 1, "{own}");
    assert!(!own.contains("parity_") && !own.contains("release/1"), "{own}");
    let shop = get("/tenants/shop/metrics", &[SHOP]).body;
    let samples = shop.lines().filter(|line| line.starts_with("parity_"));
    assert!(shop.contains("parity_score{") && !shop.contains("isotel_"), "{shop}");
    assert!(
        samples.clone().count() > 20 && samples.clone().all(|line| line.contains(",tenant=\"shop\"}")),
        "{shop}"
    );
    assert_eq!(get("/metrics", &[SHOP, ("x-scope-orgid", "shop")]).body, shop);
    assert_eq!(get("/tenants/shop/metrics", &[BANK]).status, 401);
    let bank = get("/tenants/bank/metrics", &[BANK]);
    assert_eq!((bank.status, bank.body.contains("parity_")), (200, false));
}
