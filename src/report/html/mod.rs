//! Reports as pages that people look at: one file that needs nothing else, and the parts that the agent serves.
//!
//! Reports, curves and matrices flow in, HTML flows out. Every text goes through the escaping of `maud`, and what would
//! reverse the reading order is replaced in the whole document at once (`document.rs`). Pages have a bounded size: each
//! list has its bytes, its rows are written most important first, and a sentence says how many are left out. Script and
//! style are two files ([`SCRIPT`], [`STYLE`]) without which everything can still be read.

mod budgets;
mod chart;
mod document;
mod facts;
mod file;
mod findings;
pub mod history;
mod matrix;
mod operations;
mod review;
pub mod route;
mod rows;
mod score;
pub mod sessions;
pub mod site;
mod summary;
mod telemetry;
mod timeline;

pub use file::{Pictures, of_catalog, of_coverage, of_report};
pub use review::of_review;

use super::format;
use crate::judge::{Level, Verdict};
use crate::report::text::clip;
use maud::{Markup, html};

/// What pages look like.
pub const STYLE: &str = include_str!("page.css");
/// What makes tables searchable and pages live.
pub const SCRIPT: &str = include_str!("page.js");

/// The sign of the pages in a tab: two curves.
pub const ICON: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 16 16\"><rect width=\"16\" height=\"16\" rx=\"3\" \
    fill=\"#0a58ca\"/><path d=\"M2 13C7 13 5 4 9 4h5M2 13c7 0 6-6 12-6\" fill=\"none\" stroke=\"#fff\" stroke-width=\"1.5\"/></svg>";

/// The longest name and the longest sentence that are shown, in characters.
const NAME_MOST: usize = 300;
const SENTENCE_MOST: usize = 2_000;

/// A name from telemetry.
fn name(text: &str) -> String {
    clip(text, NAME_MOST)
}

fn sentence(text: &str) -> String {
    clip(text, SENTENCE_MOST)
}

/// A verdict by colour, shape, sign and word.
fn verdict(value: Verdict) -> Markup {
    html! {
        span class={ "verdict " (class(value)) } {
            span.sign aria-hidden="true" { (format::symbol(value)) }
            (format::word(value))
        }
    }
}

/// The style's class of a verdict.
fn class(value: Verdict) -> &'static str {
    match value {
        Verdict::Parity => "parity",
        Verdict::Divergent => "divergent",
        Verdict::Inconclusive => "inconclusive",
        Verdict::NoData => "no-data",
    }
}

/// The style's class of a level.
fn level_class(level: Level) -> &'static str {
    match level {
        Level::Critical => "divergent",
        Level::Warning => "inconclusive",
        Level::Info => "no-data",
    }
}

/// A score with a bar as long as it; nothing where there is no data.
fn score(value: f64, of: Verdict) -> Markup {
    if of == Verdict::NoData || !value.is_finite() {
        return html! { span.muted { (format::MISSING) } };
    }
    let width = value.clamp(0.0, 100.0);
    html! {
        span.score {
            (format::score(value))
            svg.bar viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" {
                rect.track width="100" height="6" {}
                rect class=(class(of)) width=(format!("{width:.0}")) height="6" {}
            }
        }
    }
}

/// A section with its heading, a detail behind it, and an anchor.
fn section(id: &str, title: &str, detail: &str, body: &Markup) -> Markup {
    html! {
        section id=(id) aria-labelledby={ (id) "-title" } {
            h2 id={ (id) "-title" } {
                (title)
                @if !detail.is_empty() { " " span.detail { (detail) } }
            }
            (body)
        }
    }
}
