//! The presence matrix: service × telemetry item × environment, seen at a glance.

use super::markdown::escape;
use crate::judge::coverage::Presence;
use crate::model::{Catalog, EnvironmentId};
use comfy_table::{ContentArrangement, LineStyle, Table, presets};
use serde::Serialize;

/// The matrix, in order: services by name, rows that differ first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Matrix {
    /// The columns.
    pub environments: Vec<String>,
    /// The rows.
    pub rows: Vec<MatrixRow>,
}

/// One item of one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MatrixRow {
    /// The service.
    pub service: String,
    /// What sort of telemetry.
    pub kind: &'static str,
    /// Its name.
    pub item: String,
    /// One cell for each environment; `None` is absent.
    pub cells: Vec<Option<Cell>>,
}

/// Where an item is present.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// How often.
    pub count: u64,
    /// Event time of the first, nanoseconds since the epoch.
    pub first_ns: u64,
    /// Event time of the last, nanoseconds since the epoch.
    pub last_ns: u64,
    /// In which forms.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub forms: Vec<String>,
}

/// Rows that a table shows at the most.
const ROWS_MAX: usize = 200;

impl Matrix {
    /// From what was seen in some environments.
    pub fn new(presence: &Presence, catalog: &Catalog, environments: &[EnvironmentId]) -> Matrix {
        let names = catalog.environments();
        let mut rows = Vec::new();
        for (service, items) in &presence.services {
            for (name, sightings) in items {
                let cell = |env: &EnvironmentId| {
                    sightings.get(env).map(|sighting| Cell {
                        count: sighting.seen.count,
                        first_ns: sighting.seen.first_ns,
                        last_ns: sighting.seen.last_ns,
                        forms: sighting.forms.iter().cloned().collect(),
                    })
                };
                rows.push(MatrixRow {
                    service: service.to_string(),
                    kind: name.kind.as_str(),
                    item: name.name.clone(),
                    cells: environments.iter().map(cell).collect(),
                });
            }
        }
        rows.sort_by(|a, b| {
            let alike = a.is_alike().cmp(&b.is_alike());
            a.service.cmp(&b.service).then(alike).then_with(|| (a.kind, &a.item).cmp(&(b.kind, &b.item)))
        });
        let environments = environments.iter().map(|env| names[usize::from(env.0)].to_string()).collect();
        Matrix { environments, rows }
    }

    /// In the terminal: `●` present with its count, `◐` present in another form, `·` absent.
    pub fn to_table(&self, width: usize) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width.min(400) as u16);
        let header =
            ["service", "item"].into_iter().map(str::to_owned).chain(self.environments.iter().cloned());
        table.set_header(header);
        let mut service = "";
        for row in self.rows.iter().take(ROWS_MAX) {
            let name = if row.service == service { String::new() } else { row.service.clone() };
            service = &row.service;
            let cells = row.cells.iter().map(|cell| row.mark(cell.as_ref()));
            table.add_row([name, format!("{} {}", row.kind, row.item)].into_iter().chain(cells));
        }
        let mut text = format!("{table}\n");
        if self.rows.len() > ROWS_MAX {
            text.push_str(&format!("and {} more rows; --format json has all\n", self.rows.len() - ROWS_MAX));
        }
        text.push_str(&self.totals());
        text
    }

    /// The same for comments.
    pub fn to_markdown(&self) -> String {
        let mut text = format!(
            "| service | item | {} |\n",
            self.environments.iter().map(|e| escape(e)).collect::<Vec<_>>().join(" | ")
        );
        text.push_str(&format!("|---|---|{}\n", "---|".repeat(self.environments.len())));
        for row in self.rows.iter().take(ROWS_MAX) {
            let cells: Vec<String> = row.cells.iter().map(|cell| row.mark(cell.as_ref())).collect();
            text.push_str(&format!(
                "| {} | {} {} | {} |\n",
                escape(&row.service),
                row.kind,
                escape(&row.item),
                cells.join(" | ")
            ));
        }
        text.push('\n');
        text.push_str(&self.totals());
        text
    }

    /// Items present in each environment, of all that any has.
    fn totals(&self) -> String {
        let mut text = String::new();
        for (at, environment) in self.environments.iter().enumerate() {
            let present = self.rows.iter().filter(|row| row.cells[at].is_some()).count();
            text.push_str(&format!("{environment}: {present} of {} items\n", self.rows.len()));
        }
        text
    }
}

impl MatrixRow {
    fn is_alike(&self) -> bool {
        let forms = |cell: &Option<Cell>| cell.as_ref().map(|cell| cell.forms.clone());
        self.cells.windows(2).all(|pair| forms(&pair[0]) == forms(&pair[1]))
    }

    fn mark(&self, cell: Option<&Cell>) -> String {
        let Some(cell) = cell else { return "·".to_owned() };
        let first = self.cells.iter().flatten().next();
        let sign = if first.is_some_and(|first| first.forms != cell.forms) { "◐" } else { "●" };
        format!("{sign} {}", cell.count)
    }
}
