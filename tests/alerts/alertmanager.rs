//! A real Alertmanager.

use crate::agent::Agent;
use crate::peer::{self, Running, until};
use crate::served::{Answer, http};
use serde_json::Value;
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use tempfile::TempDir;

/// An Alertmanager with the configuration of `deploy/`.
pub struct Alertmanager {
    _process: Running,
    pub address: SocketAddr,
    _folder: TempDir,
}

impl Alertmanager {
    pub fn start() -> Alertmanager {
        let folder = tempfile::tempdir().unwrap();
        let [address] = free_addresses();
        let mut command = peer::command("alertmanager");
        command
            .arg(format!("--config.file={}", deploy("alertmanager/alertmanager.yaml")))
            .arg(format!("--storage.path={}", folder.path().display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--cluster.listen-address=", "--log.level=warn"])
            .stdout(Stdio::null());
        let process = Running::start(&mut command);
        until("Alertmanager listens", || std::net::TcpStream::connect(address).ok());
        until("Alertmanager is ready", || {
            (http(address, "GET", "/-/ready", &[], "").status == 200).then_some(())
        });
        Alertmanager { _process: process, address, _folder: folder }
    }

    pub fn get(&self, path: &str) -> Value {
        let answer = http(self.address, "GET", path, &[("accept", "application/json")], "");
        assert_eq!(answer.status, 200, "{}", answer.body);
        json(&answer)
    }

    /// The alerts of a name that are active.
    pub fn active(&self, name: &str) -> Vec<Value> {
        let alerts = self.get(&format!("/api/v2/alerts?active=true&filter=alertname%3D{name}"));
        alerts.as_array().unwrap().clone()
    }
}

/// The JSON of an answer, which may have come in chunks (RFC 9112, section 7.1).
pub fn json(answer: &Answer) -> Value {
    if answer.header("transfer-encoding") != "chunked" {
        return serde_json::from_str(&answer.body).unwrap_or_default();
    }
    let (mut whole, mut rest) = (String::new(), answer.body.as_str());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        whole.push_str(&after[..size]);
        rest = after[size..].trim_start_matches("\r\n");
    }
    serde_json::from_str(&whole).unwrap_or_default()
}

/// A file under `deploy/`.
pub fn deploy(path: &str) -> String {
    format!("{}/deploy/{path}", env!("CARGO_MANIFEST_DIR"))
}

/// Addresses that nobody listens on now. All are held at once, so that they differ.
pub fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    let held = std::array::from_fn::<_, N, _>(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap())
}

#[test]
fn alertmanager_groups_alerts_that_live_over_a_crash_and_end_when_they_are_waived() {
    if !peer::have(&["alertmanager"]) {
        return;
    }
    let alertmanager = Alertmanager::start();
    let mut agent = Agent::start(&format!(
        "
exporters: {{alertmanager: {{endpoint: 'http://{}'}}}}
parity: {{alerts: {{exporters: [alertmanager], page: 'http://isotel.example:4319'}}}}
",
        alertmanager.address
    ));
    agent.until_alert();
    let found =
        || alertmanager.active("ParityFinding").into_iter().find(|a| a["labels"]["aspect"] == "latency");
    let alert = until("an alert about latency arrives", || {
        found().or_else(|| {
            agent.round();
            None
        })
    });
    let label = |name: &str| alert["labels"][name].as_str().unwrap_or_default();
    let of_place = ["comparison", "candidate", "service_name", "service_namespace", "operation"].map(label);
    assert_eq!(of_place, ["release", "canary", "web", "shop", "POST /checkout"]);
    assert_eq!(label("severity"), "page");
    let link = format!("http://isotel.example:4319/findings/{}", label("finding"));
    assert_eq!(alert["generatorURL"], *link);
    assert_eq!(alert["annotations"]["runbook_url"], "docs/runbooks/latency.md");

    // One group of what belongs together, by deploy/'s configuration, which sends pages to the pager.
    let groups = alertmanager.get("/api/v2/alerts/groups?filter=severity%3Dpage");
    let groups = groups.as_array().unwrap();
    let of_service = |group: &&Value| group["labels"]["service_name"] == "web";
    let group = groups.iter().find(of_service).unwrap();
    assert_eq!(group["receiver"]["name"], "pager");
    assert_eq!(group["labels"]["comparison"], "release");

    let burning = || alertmanager.active("ParityBudgetBurn").into_iter().next();
    until("the error budget is an alert", || {
        burning().or_else(|| {
            agent.round();
            None
        })
    });

    // As many as before, since the same time, and none of them opened twice.
    let opened = agent.metric("isotel_alerts_opened");
    agent.crash();
    assert_eq!(agent.metric("isotel_alerts_opened"), opened);
    let after = until("it is sent again", found);
    assert_eq!((&after["startsAt"], &after["fingerprint"]), (&alert["startsAt"], &alert["fingerprint"]));

    agent.waive();
    agent.round();
    agent.round();
    until("what is waived is resolved", || alertmanager.active("ParityFinding").is_empty().then_some(()));
    assert_eq!(agent.metric("isotel_exporter_send_failed_requests"), 0.0);
}

#[test]
fn alertmanager_takes_what_an_agent_without_a_storage_rebuilds_for_the_alert_that_it_knows() {
    if !peer::have(&["alertmanager"]) {
        return;
    }
    let alertmanager = Alertmanager::start();
    let mut agent = Agent::start_forgetful(&format!(
        "
exporters: {{alertmanager: {{endpoint: 'http://{}'}}}}
parity: {{alerts: {{exporters: [alertmanager]}}}}
",
        alertmanager.address
    ));
    let about_latency = || {
        let all = alertmanager.active("ParityFinding").into_iter();
        all.filter(|alert| alert["labels"]["aspect"] == "latency").collect::<Vec<Value>>()
    };
    let sent = |agent: &mut Agent, known: Option<&Value>| {
        until("an alert about latency arrives", || {
            let first = about_latency().into_iter().next();
            first.filter(|alert| known.is_none_or(|known| alert["updatedAt"] != known["updatedAt"])).or_else(
                || {
                    agent.round();
                    None
                },
            )
        })
    };
    let before = sent(&mut agent, None);
    agent.crash();
    assert_eq!(agent.metric("isotel_alerts_open"), 0.0);
    let after = sent(&mut agent, Some(&before));
    assert_eq!((&after["fingerprint"], &after["startsAt"]), (&before["fingerprint"], &before["startsAt"]));
    assert_eq!(about_latency().len(), 1, "there is one, as before");
}
