//! The presence matrix as a grid: which telemetry exists in which environment.

use super::operations::number;
use super::rows::{Rows, Sort, table};
use super::{name, section};
use crate::report::format;
use crate::report::{Matrix, MatrixCell, MatrixRow};
use maud::{Markup, html};

const BYTES_MOST: usize = 4 << 20;

/// The whole matrix, what differs first.
pub(super) fn grid(matrix: &Matrix) -> Markup {
    let rows = matrix.ordered();
    let shown = Rows::within(BYTES_MOST, rows.iter().map(|row| grid_row(matrix, row)));
    let environments: Vec<String> = matrix.environments.iter().map(|environment| name(environment)).collect();
    let mut columns = vec![("state", Sort::Text), ("kind", Sort::Text), ("item", Sort::Text)];
    columns.extend(environments.iter().map(|environment| (environment.as_str(), Sort::Number)));
    let body = html! {
        ul.plain { @for line in matrix.coverage() { li { (name(&line)) } } }
        @if !rows.is_empty() {
            (table("matrix", "Which telemetry exists in which environment", "state kind service", &columns, &shown.shown))
            (shown.note("items"))
        }
    };
    section("telemetry", "Telemetry", &matrix.summary(), &body)
}

fn grid_row(matrix: &Matrix, row: &MatrixRow) -> Markup {
    let differs = matrix.differs(row);
    let (state, class) = if differs { ("differs", "divergent") } else { ("in all", "parity") };
    html! {
        tr data-state=(state) data-kind=(name(&row.kind)) data-service=(name(&row.service)) {
            td { span class={ "word " (class) } { (state) } }
            td { (name(&row.kind)) }
            th.name scope="row" {
                @if row.item.is_empty() { (name(&row.kind)) } @else { (name(&row.item)) }
                span.under { (name(&row.service)) }
            }
            @for environment in 0..matrix.environments.len() {
                (cell(matrix.cell(row, environment), &matrix.cell_text(row, environment)))
            }
        }
    }
}

fn cell(cell: Option<MatrixCell>, text: &str) -> Markup {
    html! {
        @match cell {
            None => td.number.absent data-v="-1" { span aria-hidden="true" { "·" } span.unseen { "absent" } },
            Some(cell) => td.number data-v=(cell.count) title=(told(&cell)) { (text) },
        }
    }
}

/// What does not fit into the cell.
fn told(cell: &MatrixCell) -> String {
    let rate = cell.per_s.map_or(String::new(), |rate| format!(", {} in a second", number(rate)));
    format!("{}{rate}", format::count(cell.count))
}
