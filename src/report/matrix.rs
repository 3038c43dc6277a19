//! The presence matrix: which telemetry exists in which environment, at a glance.
//!
//! A [`Matrix`] flows in, a table, Markdown or JSON flows out. Rows that differ between environments come first.

use crate::report::format;
use crate::report::json::pretty;
use crate::report::markdown::escape;
use crate::report::table::TableOptions;
use crate::report::text::{Paint, clean, clip, columns};
use crate::sketch::Cardinality;
use comfy_table::{ContentArrangement, Table, presets};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// Rows shown unless everything is asked for; Markdown is cut there too.
const ROWS_MOST: usize = 40;
const MARKDOWN_ROWS_MOST: usize = 300;
/// The widest that an environment's name is in a heading.
const HEADING_MOST: usize = 16;
/// The least room for an item's name.
const ITEM_LEAST: usize = 16;

/// Which telemetry exists where.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Matrix {
    /// The environments' names: the columns.
    pub environments: Vec<String>,
    /// The items, in any order.
    pub rows: Vec<MatrixRow>,
}

/// One item of telemetry of one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MatrixRow {
    /// The service as reports name it.
    pub service: String,
    /// What sort of thing it is, as [`crate::model::ItemKind`] writes it.
    pub kind: String,
    /// The item's name.
    pub item: String,
    /// One per environment, in their order; `None` where the item is absent. A cell that is missing at the end
    /// counts as absent.
    pub cells: Vec<Option<MatrixCell>>,
}

/// An item in an environment that has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MatrixCell {
    /// How often it was seen.
    pub count: u64,
    /// When first, nanoseconds since 1970.
    pub first_ns: u64,
    /// When last, nanoseconds since 1970.
    pub last_ns: u64,
    /// How often in a second, over the windows in which the environment sent anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_s: Option<f64>,
    /// Which share of the service's instances sends it; `None` when there are too many to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<f64>,
    /// Of an attribute: how many different values it has, as far as they were looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cardinality: Option<Cardinality>,
}

impl Matrix {
    pub(super) fn cell(&self, row: &MatrixRow, environment: usize) -> Option<MatrixCell> {
        row.cells.get(environment).copied().flatten()
    }

    pub(super) fn differs(&self, row: &MatrixRow) -> bool {
        (0..self.environments.len()).any(|environment| self.cell(row, environment).is_none())
    }

    /// What the table shows of an item in an environment: of its values when there are not as many everywhere.
    pub(super) fn cell_text(&self, row: &MatrixRow, environment: usize) -> String {
        let cardinality = |at| self.cell(row, at).and_then(|cell| cell.cardinality);
        let mut all = (0..self.environments.len()).filter_map(cardinality);
        let first = all.next();
        let text = cell_text(self.cell(row, environment));
        match cardinality(environment).filter(|_| all.any(|other| Some(other) != first)) {
            Some(cardinality) => format!("{text}, {}", cardinality.as_str()),
            None => text,
        }
    }

    /// Services with rows that differ first; in a service what differs first; then by kind and name.
    pub(super) fn ordered(&self) -> Vec<&MatrixRow> {
        let mut rows: Vec<&MatrixRow> = self.rows.iter().collect();
        rows.sort_by_key(|row| (!self.differs(row), &row.service, &row.kind, &row.item));
        rows
    }

    /// How many items an environment has.
    fn present(&self, environment: usize) -> usize {
        self.rows.iter().filter(|row| self.cell(row, environment).is_some()).count()
    }

    /// `prod has 62 of 62 items (100 %)` for each environment.
    pub(super) fn coverage(&self) -> Vec<String> {
        let of = |(at, name): (usize, &String)| {
            let (present, all) = (self.present(at), self.rows.len());
            let share = if all == 0 { 1.0 } else { present as f64 / all as f64 };
            format!(
                "{name} has {present} of {} ({})",
                format::counted(all as u64, "item"),
                format::share(share)
            )
        };
        self.environments.iter().enumerate().map(of).collect()
    }

    /// How many items some environment lacks, in a sentence.
    pub(super) fn summary(&self) -> String {
        let differing = self.rows.iter().filter(|row| self.differs(row)).count();
        match (self.rows.len(), differing) {
            (0, _) => "No telemetry was seen in any environment.".to_owned(),
            (all, 0) => format!("All {all} items exist in every environment."),
            (all, n) => format!("{n} of {all} items do not exist in every environment."),
        }
    }
}

/// The matrix for a terminal: `●` with the count where an item is present, `·` where it is absent. Of attributes that have not
/// as many different values everywhere the class of how many follows.
pub fn to_table(matrix: &Matrix, options: &TableOptions) -> String {
    let paint = Paint { colour: options.colour };
    let mut text = format!("{}\n", paint.bold(&matrix.summary()));
    for line in matrix.coverage() {
        let _ = writeln!(text, "  {}", clip(&clean(&line), options.width.max(40)));
    }
    let rows = matrix.ordered();
    let shown = if options.verbose { rows.len() } else { rows.len().min(ROWS_MOST) };
    let (shown, hidden) = rows.split_at(shown);
    if !shown.is_empty() {
        text.push('\n');
        text.push_str(&table(matrix, shown, options));
    }
    if !hidden.is_empty() {
        let differing = hidden.iter().filter(|row| matrix.differs(row)).count();
        let words = match (differing, hidden.len() - differing) {
            (0, same) => format!("and {same} more that every environment has"),
            (n, 0) => format!("and {n} more that differ"),
            (n, same) => format!("and {n} more that differ, {same} more that every environment has"),
        };
        let _ = writeln!(text, "{words} (--verbose shows all)");
    }
    text
}

fn table(matrix: &Matrix, rows: &[&MatrixRow], options: &TableOptions) -> String {
    let headings: Vec<String> =
        matrix.environments.iter().map(|name| clip(&clean(name), HEADING_MOST)).collect();
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| (0..headings.len()).map(|at| matrix.cell_text(row, at)).collect()).collect();
    let widest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
    let numbers: usize = headings
        .iter()
        .enumerate()
        .map(|(at, heading)| {
            widest(
                &mut cells
                    .iter()
                    .filter_map(|row| row.get(at))
                    .map(|cell| columns(cell))
                    .chain([columns(heading)]),
            )
        })
        .sum();
    let kinds = widest(&mut rows.iter().map(|row| columns(&row.kind)).chain([4]));
    let borders = (headings.len() + 2) * 3 + 1;
    let room = options.width.saturating_sub(borders + numbers + kinds).max(ITEM_LEAST);
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    let head = ["kind".to_owned(), "item".to_owned()].into_iter().chain(headings);
    table.set_header(head.collect::<Vec<_>>());
    let mut group: Option<(bool, &str)> = None;
    for (row, numbers) in rows.iter().zip(cells) {
        let here = (matrix.differs(row), row.service.as_str());
        if group != Some(here) {
            let words = if here.0 { " (differs)" } else { " (in all)" };
            let name = clip(&clean(&row.service), room.saturating_sub(columns(words)));
            table.add_row(vec![String::new(), format!("{name}{words}")]);
            group = Some(here);
        }
        let names = [clean(&row.kind), format!("  {}", clip(&clean(&row.item), room.saturating_sub(2)))];
        table.add_row(names.into_iter().chain(numbers).collect::<Vec<_>>());
    }
    format!("{table}\n")
}

fn cell_text(cell: Option<MatrixCell>) -> String {
    match cell {
        Some(cell) => {
            // That all instances send it goes without saying.
            let share = cell.instances.filter(|share| *share < 0.995);
            let share =
                share.map_or(String::new(), |share| format!(" ({} of instances)", format::share(share)));
            format!("● {}{share}", format::short(cell.count))
        }
        None => "·".to_owned(),
    }
}

/// The matrix as Markdown: the summary, coverage, and one table, cut at 300 rows with a sentence that says so.
pub fn to_markdown(matrix: &Matrix) -> String {
    let mut text = format!("### Telemetry: {}\n\n", matrix.summary());
    for line in matrix.coverage() {
        let _ = writeln!(text, "- {}", escape(&line));
    }
    if matrix.rows.is_empty() {
        return text;
    }
    let heads: Vec<String> = matrix.environments.iter().map(|name| escape(name)).collect();
    let _ = writeln!(text, "\n| service | kind | item | {} |", heads.join(" | "));
    let _ = writeln!(text, "|---|---|---|{}", "---|".repeat(heads.len()));
    for row in matrix.ordered().into_iter().take(MARKDOWN_ROWS_MOST) {
        let cells: Vec<String> = (0..heads.len()).map(|at| matrix.cell_text(row, at)).collect();
        let _ = writeln!(
            text,
            "| {} | {} | <code>{}</code> | {} |",
            escape(&row.service),
            escape(&row.kind),
            escape(&row.item),
            cells.join(" | ")
        );
    }
    if matrix.rows.len() > MARKDOWN_ROWS_MOST {
        let _ = writeln!(text, "\n{} more rows were left out.", matrix.rows.len() - MARKDOWN_ROWS_MOST);
    }
    text
}

/// The matrix as JSON, rows in the order of the table.
pub fn to_json(matrix: &Matrix) -> String {
    let rows = matrix.ordered().into_iter().cloned().collect();
    pretty(&Matrix { environments: matrix.environments.clone(), rows })
}
