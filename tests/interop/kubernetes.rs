//! The manifests of `deploy/kubernetes`: what kustomize makes of them is what Kubernetes' own types say, and its parts
//! agree with each other and with the configurations in them. It does not show that a cluster runs them.

use crate::peer;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

const KUSTOMIZATIONS: [&str; 6] = [
    "gateway",
    "overlays/forward",
    "overlays/storage",
    "overlays/second-tier",
    "nodes",
    "overlays/first-tier",
];

/// The objects of a kustomization; `None` without the peer.
fn objects(kustomization: &str) -> Option<Vec<Value>> {
    if !peer::have(&["kubernetes"]) {
        return None;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes").join(kustomization);
    let output = peer::run(peer::command("kubernetes").arg(folder));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

/// The one Deployment or DaemonSet of a kustomization.
fn workload(objects: &[Value]) -> &Value {
    let found = [of_kind(objects, "Deployment"), of_kind(objects, "DaemonSet")].concat();
    assert_eq!(found.len(), 1);
    found[0]
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn names(value: &Value, key: &str) -> BTreeSet<String> {
    list(value).iter().map(|one| one[key].as_str().unwrap().to_owned()).collect()
}

/// Whether labels have all that a selector asks for, and it asks for something.
fn selects(selector: &Value, labels: &Value) -> bool {
    let selector = selector.as_object().expect("a selector");
    !selector.is_empty() && selector.iter().all(|(key, value)| labels[key] == *value)
}

#[test]
fn every_kustomization_is_built_and_decoded_and_all_is_in_one_namespace() {
    for kustomization in KUSTOMIZATIONS {
        let Some(objects) = objects(kustomization) else { return };
        for object in objects.iter().filter(|object| object["kind"] != "Namespace") {
            assert_eq!(object["metadata"]["namespace"], "isotel", "{kustomization}: {object}");
        }
        for kind in ["ServiceAccount", "Service", "NetworkPolicy", "ConfigMap"] {
            assert_eq!(of_kind(&objects, kind).len(), 1, "{kustomization}: {kind}");
        }
    }
}

#[test]
fn selectors_select_the_agent_and_ports_are_those_that_it_has() {
    for kustomization in KUSTOMIZATIONS {
        let Some(objects) = objects(kustomization) else { return };
        let workload = workload(&objects);
        let pod = &workload["spec"]["template"];
        let labels = &pod["metadata"]["labels"];
        assert!(selects(&workload["spec"]["selector"]["matchLabels"], labels), "{kustomization}");
        for service in of_kind(&objects, "Service") {
            assert!(selects(&service["spec"]["selector"], labels), "{kustomization}");
        }
        for budget in of_kind(&objects, "PodDisruptionBudget") {
            assert!(selects(&budget["spec"]["selector"]["matchLabels"], labels), "{kustomization}");
        }
        let policy = of_kind(&objects, "NetworkPolicy")[0];
        assert!(selects(&policy["spec"]["podSelector"]["matchLabels"], labels), "{kustomization}");

        let container = &pod["spec"]["containers"][0];
        let has = names(&container["ports"], "name");
        let mut wanted = BTreeSet::new();
        wanted.extend(
            of_kind(&objects, "Service").iter().flat_map(|s| names(&s["spec"]["ports"], "targetPort")),
        );
        wanted.extend(list(&policy["spec"]["ingress"]).iter().flat_map(|rule| names(&rule["ports"], "port")));
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            wanted.insert(container[probe]["httpGet"]["port"].as_str().unwrap().to_owned());
        }
        assert!(wanted.is_subset(&has), "{kustomization}: {wanted:?} of {has:?}");
    }
}

#[test]
fn the_agent_has_no_rights_that_it_does_not_need_and_a_bound_on_memory() {
    for kustomization in KUSTOMIZATIONS {
        let Some(objects) = objects(kustomization) else { return };
        let pod = &workload(&objects)["spec"]["template"]["spec"];
        let account = of_kind(&objects, "ServiceAccount")[0];
        assert_eq!(pod["serviceAccountName"], account["metadata"]["name"]);
        assert_eq!(account["automountServiceAccountToken"], false);
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        for container in list(&pod["containers"]) {
            let context = &container["securityContext"];
            assert_eq!(context["readOnlyRootFilesystem"], true);
            assert_eq!(context["allowPrivilegeEscalation"], false);
            assert_eq!(context["capabilities"]["drop"], serde_json::json!(["ALL"]));
            let resources = &container["resources"];
            for bound in ["/requests/cpu", "/requests/memory", "/limits/memory"] {
                assert!(resources.pointer(bound).is_some(), "{kustomization}: {bound}");
            }
        }
        for key in ["hostNetwork", "hostPID", "hostIPC"] {
            assert!(pod[key].is_null(), "{kustomization}: {key}");
        }
        assert!(list(&pod["volumes"]).iter().all(|volume| volume["hostPath"].is_null()), "{kustomization}");
    }
}

#[test]
fn what_is_mounted_is_there_and_the_configuration_is_valid_and_listens_where_the_ports_are() {
    for kustomization in KUSTOMIZATIONS {
        let Some(objects) = objects(kustomization) else { return };
        let pod = &workload(&objects)["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        assert!(
            names(&container["volumeMounts"], "name").is_subset(&names(&pod["volumes"], "name")),
            "{kustomization}"
        );
        for volume in list(&pod["volumes"]) {
            let claim = &volume["persistentVolumeClaim"]["claimName"];
            let claims = of_kind(&objects, "PersistentVolumeClaim");
            assert!(claim.is_null() || claims.iter().any(|known| known["metadata"]["name"] == *claim));
        }
        // The files as the container sees them.
        let files = of_kind(&objects, "ConfigMap")[0];
        assert_eq!(list(&pod["volumes"])[0]["configMap"]["name"], files["metadata"]["name"]);
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files["data"].as_object().unwrap() {
            std::fs::write(folder.path().join(name), text.as_str().unwrap()).unwrap();
        }
        let args: Vec<PathBuf> = list(&container["args"])
            .iter()
            .skip(1)
            .map(|arg| match arg.as_str().unwrap().strip_prefix("/etc/isotel/") {
                Some(name) => folder.path().join(name),
                None => PathBuf::from(arg.as_str().unwrap()),
            })
            .collect();
        assert_eq!(container["args"][0], "run");
        let isotel = |command: &[&str]| {
            let output = Command::new(env!("CARGO_BIN_EXE_isotel"))
                .args(command)
                .args(&args)
                .env("ISOTEL_KEY", "of the secret that the pods have")
                .output()
                .unwrap();
            assert!(output.status.success(), "{kustomization}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        isotel(&["validate"]);
        let printed = isotel(&["config", "print"]);
        for port in list(&container["ports"]) {
            let endpoint = format!("0.0.0.0:{}", port["containerPort"]);
            assert!(printed.contains(&endpoint), "{kustomization}: {endpoint}\n{printed}");
        }
        // Every directory that it writes to is a mount that may be written to.
        for directory in printed.lines().filter_map(|line| line.trim().strip_prefix("directory: ")) {
            let mounted = list(&container["volumeMounts"]).iter().any(|mount| {
                let path = mount["mountPath"].as_str().unwrap();
                directory.starts_with(path) && mount["readOnly"] != true
            });
            assert!(mounted, "{kustomization}: {directory}");
        }
    }
}

#[test]
fn a_key_that_kubernetes_does_not_know_is_refused() {
    if !peer::have(&["kubernetes"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let service =
        "apiVersion: v1\nkind: Service\nmetadata: {name: isotel}\nspec: {ports: [{port: 1, targtPort: 2}]}\n";
    std::fs::write(folder.path().join("service.yaml"), service).unwrap();
    std::fs::write(folder.path().join("kustomization.yaml"), "resources: [service.yaml]\n").unwrap();
    let output = peer::command("kubernetes").arg(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("targtPort"), "{said}");
}
