//! The two environments of `deploy/compose`: the file is what compose reads, and what its services run is what isotel's
//! configuration beside it compares. It does not show that the images can be built.

use crate::peer::{self, Running};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/compose")
}

/// The project as compose reads it; `None` without the peer.
fn project() -> Option<Value> {
    if !peer::have(&["compose"]) {
        return None;
    }
    let output = peer::run(peer::command("compose").arg(folder().join("compose.yaml")));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect()
}

/// The services that send, and their commands.
fn senders(project: &Value) -> Vec<(&str, Vec<&str>)> {
    let services = project["services"].as_object().unwrap();
    let senders = services.iter().filter(|(name, _)| *name != "isotel");
    senders.map(|(name, service)| (&**name, texts(&service["command"]))).collect()
}

#[test]
fn the_project_publishes_to_this_machine_only_and_no_container_has_more_rights_than_it_needs() {
    let Some(project) = project() else { return };
    for (name, service) in project["services"].as_object().unwrap() {
        assert_eq!(texts(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(texts(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
        for port in service["ports"].as_array().into_iter().flatten() {
            assert_eq!(port["host_ip"], "127.0.0.1", "{name}: {port}");
        }
    }
    let isotel = &project["services"]["isotel"];
    let dockerfile = Path::new(isotel["build"]["context"].as_str().unwrap())
        .join(isotel["build"]["dockerfile"].as_str().unwrap());
    assert!(dockerfile.is_file(), "{}", dockerfile.display());
    let mounted = &isotel["volumes"][0];
    assert_eq!(mounted["target"].as_str(), texts(&isotel["command"]).last().copied());
    assert_eq!(Path::new(mounted["source"].as_str().unwrap()), folder().join("isotel.yaml"));
    let valid = Command::new(env!("CARGO_BIN_EXE_isotel"))
        .args(["validate", "--config"])
        .arg(folder().join("isotel.yaml"))
        .status()
        .unwrap();
    assert!(valid.success());
}

#[test]
fn what_the_services_send_is_of_the_environments_that_the_configuration_compares() {
    let Some(project) = project() else { return };
    if !peer::have(&["telemetrygen"]) {
        return;
    }
    let output = tempfile::tempdir().unwrap();
    let output = output.path().join("isotel.yaml");
    // It listens, and says at its end what it saw.
    let mut init = Running::start(
        Command::new(env!("CARGO_BIN_EXE_isotel"))
            .args(["init", "--listen", "1h", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "-o"])
            .arg(&output)
            .stderr(Stdio::piped()),
    );
    let mut said = BufReader::new(init.child().stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    let address = line.split("OTLP/gRPC on ").nth(1).unwrap().split(',').next().unwrap();
    for (name, command) in senders(&project) {
        let args = command.iter().map(|arg| match *arg {
            "--duration=inf" => "--traces=3".to_owned(),
            arg => arg.replace("isotel:4317", address),
        });
        let sent = peer::run(peer::command("telemetrygen").args(args));
        assert!(command.contains(&"--duration=inf") && sent.status.success(), "{name}");
    }
    assert!(init.stop().success());
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("of 2 service(s)"), "{rest}");
    assert!(
        rest.contains("compare \"production\" (baseline) with \"canary\"; 2 service(s) are in both"),
        "{rest}"
    );
    let config = std::fs::read_to_string(folder().join("isotel.yaml")).unwrap();
    assert!(config.contains("baseline: production\n") && config.contains("candidate: canary\n"), "{config}");
}
