//! The command line at an agent's page: snapshots and reports over the API.

use crate::agent::Agent;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

const GUARDED: &str = "
extensions:
  page: {auth: {authenticator: bearertokenauth/page}}
  bearertokenauth/page: {token: for-the-page}
";

/// How a command ended: its exit code, standard output and standard error.
pub fn isotel(args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_isotel")).args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// What `snapshot list` tells of one, but for the file and the time.
fn about(path: &str) -> Value {
    let (code, listed, said) = isotel(&["snapshot", "list", "--json", path]);
    assert_eq!(code, 0, "{said}");
    let mut listed: Value = serde_json::from_str(&listed).unwrap();
    let fields = listed[0].as_object_mut().unwrap();
    assert!(fields.remove("file").is_some() && fields.remove("saved").is_some());
    listed[0].take()
}

#[test]
fn an_agent_gives_a_snapshot_of_an_environment_to_who_shows_a_credential() {
    let folder = tempfile::tempdir().unwrap();
    let token = file(folder.path(), "token", "for-the-page\n");
    let wrong = file(folder.path(), "wrong", "for-another\n");
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let mut agent = Agent::start_with(GUARDED);
    for _ in 0..4 {
        agent.round();
    }
    let url = agent.url("");
    let storage = agent.storage();
    let of_agent = |to: &str, more: &[&str]| {
        let args = ["snapshot", "save", "--agent", &url, "-o", to, "--note", "release 1 & more"];
        isotel(&[&args[..], more].concat())
    };
    let prod = ["--environment", "prod", "--token-file", &token];
    let golden = path("golden.isotel");
    let saved = crate::served::until("something is sealed", || {
        let saved = of_agent(&golden, &prod);
        assert!(saved.0 == 0 || saved.2.contains("there is no sealed telemetry"), "{}", saved.2);
        (saved.0 == 0 && about(&golden)["windows"] == 3).then_some(saved).or_else(|| {
            let _ = std::fs::remove_file(&golden);
            None
        })
    });
    assert!(saved.2.contains("requests of prod"), "{}", saved.2);
    // It is what the storage of the agent gives, and something to judge against.
    let of_storage = path("storage.isotel");
    let args = ["snapshot", "save", "--storage", &storage, "--environment", "prod", "-o", &of_storage];
    assert_eq!(isotel(&[&args[..], &["--note", "release 1 & more"]].concat()).0, 0);
    assert_eq!(about(&golden), about(&of_storage));
    assert_eq!(about(&golden)["note"], "release 1 & more");

    for (more, said) in [
        (&["--environment", "prod"][..], "--token-file FILE, or --user-file FILE"),
        (&["--environment", "prod", "--token-file", &wrong], "401 Unauthorized"),
        (&["--token-file", &token], "which environment of the agent?"),
        (&["--environment", "a/b ?", "--token-file", &token], "of the environment \"a/b ?\"; there is of: "),
        (&["--environment", "prod", "--token-file", &golden], "golden.isotel"),
        (&["--environment", "prod", "--user-file", &wrong], "is not of the form user:password"),
    ] {
        let (code, _, told) = of_agent(&path("none.isotel"), more);
        assert_eq!(code, 2, "{more:?}: {told}");
        assert!(told.contains(said) && !Path::new(&path("none.isotel")).exists(), "{more:?}: {told}");
    }
    let (to, note) = (path("none.isotel"), "n".repeat(1_025));
    let long = ["snapshot", "save", "--agent", &url, "-o", &to, "--note", &note];
    let (code, _, told) = isotel(&[&long[..], &prod].concat());
    assert_eq!((code, told.contains("note has 1025 bytes; 1024 are allowed")), (2, true), "{told}");
}

#[test]
fn a_page_without_an_authenticator_gives_no_snapshot_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let agent = Agent::start();
    let to = folder.path().join("none.isotel").to_str().unwrap().to_owned();
    let args = ["snapshot", "save", "--agent", &agent.url("/"), "--environment", "prod", "-o", &to];
    let (code, _, told) = isotel(&args);
    assert_eq!(code, 2, "{told}");
    assert!(told.contains("extensions.page.auth.authenticator") && told.contains("--storage"), "{told}");
    assert_eq!(agent.get("/api/v1/environments/prod/snapshot").status, 403);
    let posted = crate::served::http(agent.page, "POST", "/api/v1/environments/prod/snapshot", &[], "");
    assert_eq!((posted.status, posted.header("allow")), (405, "GET, HEAD"));
}

#[test]
fn a_report_over_the_api_is_the_report_of_the_agents_storage() {
    let mut agent = Agent::with_history();
    agent.until_divergent();
    let (url, storage) = (agent.url("/"), agent.storage());
    let compared = agent.get("/api/v1/comparisons/release%2F1/history?last=30d").json();
    let day = |key: &str| compared[key].as_str().unwrap()[..10].to_owned();
    let period = ["--from", &day("begins"), "--to", &day("to"), "--format", "json"];
    let [of_agent, of_storage] = [["--agent", &url], ["--storage", &storage]].map(|from| {
        let (code, report, said) = isotel(&[&["report"][..], &from, &period].concat());
        assert_eq!(code, 0, "{said}");
        let mut report: Value = serde_json::from_str(&report).unwrap();
        assert!(report.as_object_mut().unwrap().remove("generated_at").is_some());
        report
    });
    assert_eq!(of_agent, of_storage);
    assert_eq!(of_agent["comparisons"][0]["comparison"], "release/1");
    let (code, week, said) = isotel(&["report", "--agent", &url]);
    assert_eq!((code, week.starts_with("# Parity report, ")), (0, true), "{said}");
    let (code, _, said) = isotel(&["report", "--agent", &url, "--comparison", "other"]);
    assert_eq!((code, said.contains("there are: release/1")), (2, true), "{said}");

    for (url, code, said) in [
        ("localhost:4319", 2, "write http://HOST:4319"),
        ("http://127.0.0.1:1", 4, "cannot read http://127.0.0.1:1/api/v1/comparisons"),
        (&*agent.url("/api"), 2, "404 Not Found"),
    ] {
        let ended = isotel(&["report", "--agent", url]);
        assert_eq!(ended.0, code, "{url}: {}", ended.2);
        assert!(ended.2.contains(said) && ended.1.is_empty(), "{url}: {}", ended.2);
    }
}

#[test]
fn a_page_with_tls_is_read_with_its_authority_alone() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let cert = file(folder.path(), "cert.pem", &made.cert.pem());
    let key = file(folder.path(), "key.pem", &made.signing_key.serialize_pem());
    let user = file(folder.path(), "user", "ops:s3cret\n");
    let over = format!(
        "extensions:\n  page: {{tls: {{cert_file: '{cert}', key_file: '{key}'}}, auth: {{authenticator: basicauth}}}}\n  \
         basicauth: {{htpasswd: {{inline: 'ops:s3cret'}}}}\n"
    );
    let agent = Agent::start_with(&over);
    let url = format!("https://{}", agent.page);
    let args = ["report", "--agent", &url, "--user-file", &user];
    let (code, report, said) = isotel(&[&args[..], &["--ca-file", &cert]].concat());
    assert_eq!(code, 0, "{said}");
    assert!(report.contains("Nothing was judged in this period."), "{report}");
    let (code, _, said) = isotel(&args);
    assert_eq!((code, said.contains("cannot read https://")), (4, true), "{said}");
}
