//! `validate` and `config`.

use crate::{end, isotel};
use std::path::PathBuf;

fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn validate_reports_every_problem_at_once_with_its_line_and_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(
        &folder,
        "bad.yaml",
        "receivers:
  otlp:
    protocols:
      grcp: {endpoint: localhost:4317}
service:
  pipelines:
    traces: {receivers: [otlp], exporters: [otlp_grpc/missing]}
parity:
  window: -3s
  tolerances:
    alpha: 7
",
    );
    let ended = end(isotel(&["validate", "--config"]).arg(&path));
    assert_eq!(ended.code, 2);
    for said in ["bad.yaml:4", "grpc", "bad.yaml:7", "otlp_grpc/missing", "bad.yaml:9", "bad.yaml:11"] {
        assert!(ended.stderr.contains(said), "{said}:\n{}", ended.stderr);
    }
    assert_eq!(ended.stdout, "");
}

#[test]
fn the_configurations_that_we_ship_are_valid() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    for path in [
        "config/isotel.yaml",
        "config/canary.yaml",
        "config/staging-vs-production.yaml",
        "deploy/collector/isotel.yaml",
        "deploy/compose/isotel.yaml",
    ] {
        let ended = end(isotel(&["validate", "--config"]).arg(root.join(path)));
        assert_eq!(ended.code, 0, "{path}: {}", ended.stderr);
    }
}

#[test]
fn later_files_win_then_set_and_the_environment_fills_in() {
    let folder = tempfile::tempdir().unwrap();
    let first = file(&folder, "first.yaml", "parity: {window: 30s, lateness: 5s, period: 1h}");
    let second =
        file(&folder, "second.yaml", "parity:\n  window: ${env:ISOTEL_TEST_WINDOW:-20s}\n  lateness: 7s\n");
    let print = |window: Option<&str>| {
        let mut command = isotel(&["config", "print", "--set", "parity.lateness=9s", "--config"]);
        command.arg(&first).arg("--config").arg(&second);
        if let Some(window) = window {
            command.env("ISOTEL_TEST_WINDOW", window);
        }
        end(&mut command).stdout
    };
    let printed = print(None);
    for line in ["window: 20s", "lateness: 9s", "period: 1h"] {
        assert!(printed.lines().any(|printed| printed.trim() == line), "{line}:\n{printed}");
    }
    assert!(print(Some("40s")).contains("window: 40s"));
}

#[test]
fn what_config_print_prints_is_a_configuration_and_masks_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = isotel(&["config", "print"]);
    command.args(["--set", "exporters.otlp_http.endpoint=http://localhost:1"]);
    command.args(["--set", "exporters.otlp_http.headers.authorization=hunter2"]);
    let printed = end(&mut command).stdout;
    assert!(printed.contains("authorization") && !printed.contains("hunter2"), "{printed}");
    let path = file(&folder, "printed.yaml", &printed);
    let again = end(isotel(&["validate", "--config"]).arg(path));
    assert_eq!(again.code, 0, "{}", again.stderr);
}

#[test]
fn the_schema_is_json_and_the_limits_are_a_table() {
    let schema = end(&mut isotel(&["config", "schema"])).stdout;
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    assert!(schema["properties"]["parity"]["properties"]["tolerances"].is_object());
    let limits = end(&mut isotel(&["config", "limits"])).stdout;
    for limit in ["environments", "series", "MiB"] {
        assert!(limits.contains(limit), "{limits}");
    }
}

#[test]
fn the_page_of_all_keys_is_what_the_program_writes() {
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let written = end(&mut isotel(&["config", "reference"])).stdout;
    assert!(
        std::fs::read_to_string(page).unwrap_or_default() == written,
        "docs/configuration.md is behind; write it anew: cargo run -- config reference > docs/configuration.md"
    );
}
