//! The documents say what is true: their commands run, their configurations are valid, their links lead somewhere.
//!
//! Every fenced block says what it is, and is checked for that:
//!
//! | Language | Check |
//! |---|---|
//! | `sh` | the block runs as a script, in a folder with prepared telemetry (`shell.rs`, `commands`) |
//! | `console` | so do its lines after `$ `, and what they print has the block's lines in order, but for digits |
//! | `yaml` | it is a configuration, laid over the document's earlier ones, a catalog, or a file of waivers |
//! | `json` | it is JSON |
//! | `text` | nothing: a picture or a form |
//!
//! Links inside of the checkout lead somewhere, indexes are whole, and commands inside of sentences exist. What cannot be checked here says so after the language: `sh not-run: why`. Any other block fails.

mod inline;
mod links;
mod markdown;
mod shell;
mod yaml;

use markdown::{Block, blocks, documents};

/// Languages that are checked, each by a test of this name.
const CHECKED: [&str; 5] = ["sh", "console", "yaml", "json", "text"];

/// All blocks of a language that do not say why they are not checked.
fn checked(language: &str) -> impl Iterator<Item = Block> {
    documents().into_iter().flat_map(|document| blocks(&document)).filter(move |block| {
        let Block { language: of, not_run, .. } = block;
        of == language && not_run.is_none()
    })
}

#[test]
fn every_block_says_what_it_is_and_none_escapes_its_check_without_a_reason() {
    let all: Vec<Block> = documents().iter().flat_map(|document| blocks(document)).collect();
    assert!(all.len() > 30, "the documents are read: {}", all.len());
    let escaped: Vec<String> = all
        .iter()
        .filter(|block| block.not_run.is_none() && !CHECKED.contains(&&*block.language))
        .map(|block| format!("{}: {:?}", block.place(), block.language))
        .collect();
    assert!(
        escaped.is_empty(),
        "name one of {CHECKED:?} after the fence, or say why not: `toml not-run: why`\n{escaped:#?}"
    );
    let idle: Vec<_> = all.iter().filter(|block| block.not_run.as_deref() == Some("")).collect();
    assert!(idle.is_empty(), "not-run needs a reason: {idle:?}");
}

#[test]
fn every_json_block_is_json() {
    for block in checked("json") {
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(&block.text);
        assert!(parsed.is_ok(), "{}: {parsed:?}", block.place());
    }
}
