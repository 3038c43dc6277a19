//! The documents and their fenced blocks.

use std::path::{Path, PathBuf};

/// One fenced block.
#[derive(Debug)]
pub struct Block {
    /// The document, from the root of the checkout.
    pub document: PathBuf,
    /// Of the fence, from 1.
    pub line: usize,
    /// The first word after the fence.
    pub language: String,
    /// What follows `not-run:` after it.
    pub not_run: Option<String>,
    /// What is between the fences, without their indentation.
    pub text: String,
}

impl Block {
    /// For messages.
    pub fn place(&self) -> String {
        format!("{}:{}", self.document.display(), self.line)
    }
}

/// The root of the checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Markdown file of the checkout, from its root, in order.
pub fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    find(root(), &mut found);
    found.sort();
    found
}

fn find(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !matches!(name, "target" | "node_modules" | ".git") {
            find(&path, found);
        } else if name.ends_with(".md") {
            found.push(path.strip_prefix(root()).unwrap().to_owned());
        }
    }
}

/// The text of a document.
pub fn text(document: &Path) -> String {
    std::fs::read_to_string(root().join(document)).unwrap()
}

/// The blocks of a document.
pub fn blocks(document: &Path) -> Vec<Block> {
    let (blocks, _) = split(document);
    blocks
}

/// The lines of a document outside of its blocks, each with its number.
pub fn prose(document: &Path) -> Vec<(usize, String)> {
    let (_, prose) = split(document);
    prose
}

fn split(document: &Path) -> (Vec<Block>, Vec<(usize, String)>) {
    let (mut blocks, mut prose) = (Vec::new(), Vec::new());
    let mut open: Option<(Block, usize, &str)> = None;
    let text = text(document);
    for (at, line) in text.lines().enumerate() {
        let bare = line.trim_start();
        match open.take() {
            Some((block, _, fence)) if bare.trim_end() == fence => blocks.push(block),
            Some((mut block, indent, fence)) => {
                block.text.push_str(line.get(indent..).unwrap_or(bare));
                block.text.push('\n');
                open = Some((block, indent, fence));
            }
            None if bare.starts_with("```") || bare.starts_with("~~~") => {
                let info = bare.trim_start_matches(['`', '~']);
                let fence = &bare[..bare.len() - info.len()];
                let (language, rest) = info.split_once(' ').unwrap_or((info, ""));
                let not_run = rest.strip_prefix("not-run:").map(|why| why.trim().to_owned());
                assert!(
                    rest.is_empty() || not_run.is_some(),
                    "{}:{}: what is {rest:?}?",
                    document.display(),
                    at + 1
                );
                let block = Block {
                    document: document.to_owned(),
                    line: at + 1,
                    language: language.to_owned(),
                    not_run,
                    text: String::new(),
                };
                open = Some((block, line.len() - bare.len(), fence));
            }
            None => prose.push((at + 1, line.to_owned())),
        }
    }
    assert!(open.is_none(), "{}: a block has no end", document.display());
    (blocks, prose)
}
