//! The examples that we ship, as trees.

use isotel::yaml::{Bounds, Node, Problems, Source, Value, parse};
use std::path::PathBuf;

pub fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)
}

/// An example as JSON: texts, lists and maps.
pub fn read(file: &str) -> serde_json::Value {
    let text = std::fs::read_to_string(path(file)).unwrap();
    let mut problems = Problems::default();
    let tree = parse(&Source { name: file.to_owned(), text }, &Bounds::FILE, &mut problems);
    assert!(problems.is_empty(), "{file}: {:?}", problems.iter().collect::<Vec<_>>());
    json(&tree.unwrap())
}

fn json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(_) => node.entries().iter().map(|(key, _, value)| (key.clone(), json(value))).collect(),
        _ => node.text().unwrap_or_default().into(),
    }
}

/// The path of an address on isotel's page, as the examples name it.
pub fn path_of(url: &str) -> &str {
    let authority = "isotel.isotel.svc.cluster.local:4319";
    let (before, path) = url.split_once(authority).unwrap_or_else(|| panic!("{url} is not isotel's"));
    assert!(before == "http://" || before.ends_with('@'), "{url}");
    path
}
