//! Tables whose size is bounded and that the script can search, filter and sort.

use crate::report::format;
use maud::{Markup, PreEscaped, html};

/// Rows of a list as far as they fit.
pub(super) struct Rows {
    /// The rows that fit.
    pub(super) shown: Markup,
    /// How many did not.
    pub(super) left_out: usize,
}

impl Rows {
    /// Takes rows while they fit into so many bytes; none is taken after one was left out.
    pub(super) fn within(bytes_most: usize, rows: impl Iterator<Item = Markup>) -> Rows {
        let (mut shown, mut left_out) = (String::new(), 0);
        for PreEscaped(row) in rows {
            if left_out > 0 || shown.len() + row.len() > bytes_most {
                left_out += 1;
            } else {
                shown.push_str(&row);
            }
        }
        Rows { shown: PreEscaped(shown), left_out }
    }

    /// A sentence about those that were left out.
    pub(super) fn note(&self, what: &str) -> Markup {
        html! {
            @if self.left_out > 0 {
                p.note {
                    (format::count(self.left_out as u64)) " more " (what)
                    " left out to keep the page small; the JSON report has all."
                }
            }
        }
    }
}

/// How the script sorts a column.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Sort {
    Text,
    /// By the cell's `data-v`.
    Number,
    /// Not at all.
    No,
    /// Not at all, and the column holds numbers.
    NoNumber,
}

/// A table in a frame that scrolls sideways; `facets` are data attributes of rows to filter by.
pub(super) fn table(
    id: &str,
    caption: &str,
    facets: &str,
    columns: &[(&str, Sort)],
    body: &Markup,
) -> Markup {
    html! {
        div.scroll role="region" aria-label=(caption) tabindex="0" {
            table.data id=(id) data-facets=(facets) {
                caption.unseen { (caption) }
                thead { tr {
                    @for (title, sort) in columns {
                        @match sort {
                            Sort::Text => th scope="col" data-sort="text" { (title) },
                            Sort::Number => th.number scope="col" data-sort="number" { (title) },
                            Sort::No => th scope="col" { (title) },
                            Sort::NoNumber => th.number scope="col" { (title) },
                        }
                    }
                } }
                tbody { (body) }
            }
        }
    }
}
