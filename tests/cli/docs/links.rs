//! Links inside of the checkout lead to a file, and to a heading of it.

use super::markdown::{documents, prose, root, text};
use std::path::{Path, PathBuf};

/// The targets of the links of a line.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
}

/// The name by which a heading is linked to.
fn anchor(heading: &str) -> String {
    let plain = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = plain.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn leads_somewhere(document: &Path, target: &str) -> bool {
    let (path, heading) =
        target.split_once('#').map_or((target, None), |(path, heading)| (path, Some(heading)));
    let folder = document.parent().unwrap_or(Path::new(""));
    let path: PathBuf = if path.is_empty() { document.to_owned() } else { folder.join(path) };
    let Some(heading) = heading else { return root().join(path).exists() };
    root().join(&path).is_file()
        && text(&path).lines().any(|line| line.starts_with('#') && anchor(line) == heading)
}

#[test]
fn every_link_inside_of_the_checkout_leads_somewhere() {
    let mut seen = 0;
    let mut broken = Vec::new();
    for document in documents() {
        for (at, line) in prose(&document) {
            for target in
                targets(&line).filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
            {
                seen += 1;
                if !leads_somewhere(&document, target) {
                    broken.push(format!("{}:{at}: {target}", document.display()));
                }
            }
        }
    }
    assert!(seen > 40 && broken.is_empty(), "{seen} links, of which lead nowhere: {broken:#?}");
}

#[test]
fn every_document_is_in_the_index_of_its_folder() {
    for folder in ["docs", "docs/decisions", "docs/rollouts"] {
        let folder = Path::new(folder);
        let index = prose(&folder.join("README.md"));
        let linked = |name: &str| index.iter().any(|(_, line)| targets(line).any(|target| target == name));
        let inside = documents().into_iter().filter(|document| document.parent() == Some(folder));
        let names = inside.map(|document| document.file_name().unwrap().to_str().unwrap().to_owned());
        let missing: Vec<String> = names.filter(|name| name != "README.md" && !linked(name)).collect();
        assert!(missing.is_empty(), "{}/README.md has no link to {missing:?}", folder.display());
    }
}

#[test]
fn a_heading_is_linked_to_by_its_words() {
    assert_eq!(anchor("## Who may send, and who not"), "who-may-send-and-who-not");
    let readme = Path::new("README.md");
    assert!(leads_somewhere(readme, "#try-it") && leads_somewhere(readme, "docs/judging.md"));
    assert!(!leads_somewhere(readme, "#no-such-heading") && !leads_somewhere(readme, "docs/no-such.md"));
}
