//! The frame of every page: head, ways to jump, landmarks, and what a browser may do with it.

use super::route::Asset;
use super::{SCRIPT, STYLE};
use crate::report::text::is_harmful;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use ring::digest::{SHA256, digest};

/// A page that is one file: script and style stand in it, and their hashes are all that its policy lets run.
pub(super) fn one_file(title: &str, sections: &[(&str, &str)], main: &Markup) -> String {
    let policy = format!(
        "default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content="isotel";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#main" { "Skip to the verdict" }
                header.bar {
                    span.brand { "isotel" }
                    nav aria-label="On this page" {
                        @for (id, words) in sections { a href={ "#" (id) } { (words) } }
                    }
                }
                main id="main" { (main) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    readable(page)
}

/// A page that the agent serves; its style and script are files beside it, and it is drawn anew when something was judged.
/// `links` are the address and the words of the pages around it.
pub(super) fn served(title: &str, links: &[(&str, &str)], main: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · isotel" }
                link rel="icon" href=(Asset::Icon.path()) type="image/svg+xml";
                link rel="stylesheet" href=(Asset::Style.path());
                script src=(Asset::Script.path()) defer {}
            }
            body data-events="/events" {
                a.skip href="#main" { "Skip to the content" }
                header.bar {
                    a.brand href="/" { "isotel" }
                    nav aria-label="Pages" {
                        @for (address, words) in links { a href=(address) { (words) } }
                    }
                    span.live role="status" {}
                }
                main id="main" { (main) }
            }
        }
    };
    readable(page)
}

/// The text of a page without what would reverse its reading order or hide in it: names in telemetry are chosen by
/// whoever sends it. Line breaks stay: HTML takes them for spaces.
fn readable(page: Markup) -> String {
    let harmful = |c: char| c != '\n' && is_harmful(c);
    match page.0.contains(harmful) {
        true => page.0.replace(harmful, "\u{fffd}"),
        false => page.0,
    }
}

/// A source of a content security policy: this text and no other.
fn hash(text: &str) -> String {
    format!("'sha256-{}'", BASE64_STANDARD.encode(digest(&SHA256, text.as_bytes())))
}
