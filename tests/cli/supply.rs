//! What isotel is built of: licences that may be passed on, one source, and no crate twice without a reason.
//!
//! Asked of `cargo metadata`, which every machine has that builds isotel, so that the gate needs no other tool.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Licences of which one must be enough for each crate: permissive, and compatible with Apache-2.0.
const LICENCES: [&str; 8] =
    ["Apache-2.0", "BSD-3-Clause", "BSL-1.0", "ISC", "MIT", "Unicode-3.0", "Unlicense", "Zlib"];

/// Crates that are there in more than one version, and why that is accepted.
const TWICE: [(&str, &str); 8] = [
    ("base64", "rcgen's PEM, in tests only, is ahead of tonic"),
    ("embedded-io", "features of postcard that nobody uses; it is resolved and not built"),
    ("getrandom", "ring, rand 0.9 and rand 0.10 are a version apart each; it only calls the system"),
    ("glam", "features of nalgebra that nobody uses; it is resolved and not built"),
    ("itertools", "criterion, in benchmarks only, is behind prost-derive"),
    ("rand", "the OpenTelemetry SDK is behind statrs and proptest"),
    ("rand_core", "follows rand"),
    ("syn", "macros are changing over from 2 to 3; nothing of it is in the binary"),
];

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform"])
        .args(["x86_64-unknown-linux-gnu", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().unwrap().iter().filter(|package| package["name"] != "isotel")
}

/// Whether an SPDX expression can be met with licences that are allowed. `/` is how `OR` used to be written.
fn allowed(expression: &str) -> bool {
    let plain = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = plain.split_whitespace().collect();
    let (met, rest) = either(&words);
    assert!(rest.is_empty(), "{expression} is no expression that this test reads");
    met
}

/// `a OR b`, of which `AND` binds closer.
fn either<'a, 'w>(words: &'a [&'w str]) -> (bool, &'a [&'w str]) {
    let (mut met, mut rest) = both(words);
    while let ["OR", more @ ..] = rest {
        let (other, after) = both(more);
        (met, rest) = (met || other, after);
    }
    (met, rest)
}

fn both<'a, 'w>(words: &'a [&'w str]) -> (bool, &'a [&'w str]) {
    let (mut met, mut rest) = one(words);
    while let ["AND", more @ ..] = rest {
        let (other, after) = one(more);
        (met, rest) = (met && other, after);
    }
    (met, rest)
}

fn one<'a, 'w>(words: &'a [&'w str]) -> (bool, &'a [&'w str]) {
    match words {
        ["(", inner @ ..] => match either(inner) {
            (met, [")", rest @ ..]) => (met, rest),
            (_, rest) => (false, rest),
        },
        // An exception gives more than the licence.
        [name, "WITH", _, rest @ ..] | [name, rest @ ..] => (LICENCES.contains(name), rest),
        [] => (false, words),
    }
}

#[test]
fn an_expression_is_met_by_one_of_its_alternatives_and_all_of_its_parts() {
    for (expression, expected) in [
        ("MIT", true),
        ("MIT/Apache-2.0", true),
        ("MIT OR GPL-3.0-only", true),
        ("GPL-3.0-only", false),
        ("MIT AND GPL-3.0-only", false),
        ("(MIT OR GPL-2.0) AND Unicode-3.0", true),
        ("(MIT OR Apache-2.0) AND LGPL-2.1", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("", false),
    ] {
        assert_eq!(allowed(expression), expected, "{expression}");
    }
}

#[test]
fn every_dependency_has_a_licence_that_isotel_may_be_passed_on_with() {
    let metadata = metadata();
    let text = |package: &Value, key: &str| package[key].as_str().unwrap_or_default().to_owned();
    let refused: Vec<String> = packages(&metadata)
        .filter(|package| !allowed(&text(package, "license")))
        .map(|package| {
            format!("{} {}: {:?}", text(package, "name"), text(package, "version"), text(package, "license"))
        })
        .collect();
    assert!(packages(&metadata).count() > 100 && refused.is_empty(), "{refused:#?}");
}

#[test]
fn every_dependency_comes_from_crates_io() {
    let metadata = metadata();
    let elsewhere: Vec<_> = packages(&metadata)
        .filter(|package| package["source"] != "registry+https://github.com/rust-lang/crates.io-index")
        .map(|package| &package["id"])
        .collect();
    assert!(elsewhere.is_empty(), "{elsewhere:#?}");
}

#[test]
fn no_dependency_is_there_twice_without_a_reason_and_no_reason_outlives_it() {
    let metadata = metadata();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages(&metadata) {
        let version = package["version"].as_str().unwrap();
        versions.entry(package["name"].as_str().unwrap()).or_default().insert(version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    let argued: BTreeSet<&str> = TWICE.iter().map(|(name, _)| *name).collect();
    let new: Vec<_> = versions.iter().filter(|(name, _)| !argued.contains(*name)).collect();
    assert!(new.is_empty(), "take one version, or say in TWICE why not: {new:?}");
    let gone: Vec<_> = argued.iter().filter(|name| !versions.contains_key(*name)).collect();
    assert!(gone.is_empty(), "no longer there twice, and still argued for in TWICE: {gone:?}");
}

#[test]
fn unsafe_code_is_forbidden() {
    let manifest = include_str!("../../Cargo.toml");
    assert!(manifest.contains("\nunsafe_code = \"forbid\"\n"));
}
