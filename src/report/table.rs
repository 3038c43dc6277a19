//! What a person sees in the terminal after `isotel judge`.
//!
//! A report flows in, text of a given width flows out: the headline, the findings, the operations by service, then
//! coverage, facts and what was read. Everything can be read without colour; colour only repeats what words say.

use crate::judge::verdict::{
    DependencyCalls, DependencyResult, Fact, FactRule, OperationResult, ServiceResult,
};
use crate::judge::{Finding, Level, Report, Verdict};
use crate::report::format;
use crate::report::order::{self, Row};
use crate::report::text::{Paint, clean, clip, columns, wrap};
use crate::report::values;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use std::fmt::Write as _;

/// Operations shown unless everything is asked for.
const OPERATION_ROWS: usize = 20;
/// Of these, operations at parity: the busiest few stand for the rest.
const PARITY_ROWS: usize = 6;
/// Findings, items of one coverage list, and facts shown unless everything is asked for.
const LIST_ROWS: usize = 10;
/// The least width that the tables are laid out for; a narrower terminal breaks their lines.
const WIDTH_LEAST: usize = 76;
/// From this width on the verdict and the counts have columns of their own.
const WIDTH_WIDE: usize = 110;
/// The least room for the name of an operation.
const NAME_LEAST: usize = 12;
/// Sentences are easier to read when they are not longer than this.
const PROSE_MOST: usize = 100;

/// How a table is rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableOptions {
    /// Columns of the terminal.
    pub width: usize,
    /// Whether ANSI colours are wanted.
    pub colour: bool,
    /// Show every row of everything.
    pub verbose: bool,
    /// A picture of the worst operation's two distributions ([`crate::report::Plot`]), shown under the operations.
    pub plot: Option<String>,
}

impl Default for TableOptions {
    /// Eighty columns without colour.
    fn default() -> Self {
        TableOptions { width: 80, colour: false, verbose: false, plot: None }
    }
}

/// The report as a person reads it in a terminal; ends with a newline.
pub fn to_table(report: &Report, options: &TableOptions) -> String {
    let page = Page::new(options);
    let sections = [
        page.headline(report),
        page.findings(report),
        page.operations(report),
        page.plot(),
        page.values(report),
        page.dependencies(report),
        page.traces(report),
        page.coverage(report),
        page.facts(report),
        page.input(report),
    ];
    let mut text = sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n");
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// The widths and the paint that every section needs.
struct Page<'a> {
    options: &'a TableOptions,
    width: usize,
    prose: usize,
    paint: Paint,
}

impl Page<'_> {
    fn new(options: &TableOptions) -> Page<'_> {
        let width = options.width.max(WIDTH_LEAST);
        Page { options, width, prose: width.min(PROSE_MOST), paint: Paint { colour: options.colour } }
    }

    /// How many rows of a list are shown.
    fn limit(&self, rows: usize) -> usize {
        if self.options.verbose { usize::MAX } else { rows }
    }

    fn headline(&self, report: &Report) -> String {
        let verdict = format::verdict(report.verdict).to_uppercase();
        let mut text = self.paint.verdict(report.verdict, &self.paint.bold(&verdict));
        let score = match report.verdict {
            Verdict::NoData => String::new(),
            _ => format!("  score {} of 100", format::score(report.score)),
        };
        let _ = writeln!(
            text,
            "{score}  {}",
            self.paint.faint(&clip(&clean(&report.comparison), self.width / 2))
        );
        let period = format::period(report.period.start.as_deref(), report.period.end.as_deref());
        let scene = format!(
            "{} → {} · {} · {}",
            report.baseline.environment,
            report.candidate.environment,
            period,
            format::counted(report.period.windows, "window")
        );
        push_lines(&mut text, wrap(&clean(&scene), self.prose, "", "  "));
        push_lines(&mut text, wrap(&clean(&report.summary), self.prose, "", ""));
        if !report.aspects.is_empty() {
            push_lines(&mut text, self.aspects(report));
        }
        text
    }

    /// `✗ latency 41 · ✓ errors 100`, worst first.
    fn aspects(&self, report: &Report) -> Vec<String> {
        let mut aspects: Vec<_> = report.aspects.iter().collect();
        aspects.sort_by_key(|(aspect, result)| (order::rank(result.verdict), **aspect));
        let words: Vec<String> = aspects
            .into_iter()
            .map(|(aspect, result)| match result.verdict {
                Verdict::NoData => format!("{}\u{a0}{aspect}", format::symbol(result.verdict)),
                verdict => {
                    format!("{}\u{a0}{aspect}\u{a0}{}", format::symbol(verdict), format::score(result.score))
                }
            })
            .collect();
        // No-break spaces hold an aspect together while lines are broken.
        let joined = words.join("  ");
        wrap_keeping(&joined, self.prose).into_iter().map(|line| line.replace('\u{a0}', " ")).collect()
    }

    fn findings(&self, report: &Report) -> String {
        if report.findings.is_empty() {
            return String::new();
        }
        let mut text = self.title("Findings", &finding_counts(&report.findings));
        let shown = self.limit(LIST_ROWS).min(report.findings.len());
        for finding in report.findings.iter().take(shown) {
            self.finding(&mut text, finding);
        }
        if shown < report.findings.len() {
            let _ = writeln!(
                text,
                "  and {} more; `isotel explain VERDICT.json` lists all of them",
                report.findings.len() - shown
            );
        }
        text
    }

    fn finding(&self, text: &mut String, finding: &Finding) {
        let level = match &finding.waived_by {
            Some(_) => self.paint.faint("waived"),
            None => self.paint.level(finding.level, finding.level.as_str()),
        };
        let (title, id) = (clean(&finding.title), clip(&clean(&finding.id), self.width / 3));
        // Sign, the longest level and the gaps between take fourteen columns.
        let title = clip(&title, self.width.saturating_sub(columns(&id) + 14));
        let _ = writeln!(
            text,
            "{} {level}  {}  {}",
            self.paint.level(finding.level, level_sign(finding.level)),
            self.paint.bold(&title),
            self.paint.faint(&id),
        );
        push_lines(text, wrap(&clean(&finding.message), self.prose, "  ", "  "));
        if let Some(waiver) = &finding.waived_by {
            push_lines(text, wrap(&clean(&format!("accepted by {waiver}")), self.prose, "  ", "  "));
        } else if !finding.action.is_empty() {
            push_lines(text, wrap(&clean(&finding.action), self.prose, "  → ", "    "));
        }
    }

    fn operations(&self, report: &Report) -> String {
        let rows = order::operations(report);
        if rows.is_empty() {
            return String::new();
        }
        // Parity comes last in this order, so that both bounds cut the same end.
        let notable = rows.iter().filter(|row| row.operation.verdict != Verdict::Parity).count();
        let shown = self.limit(OPERATION_ROWS.min(notable + PARITY_ROWS)).min(rows.len());
        let (shown, hidden) = rows.split_at(shown);
        let scene = format!("{} → {}", report.baseline.environment, report.candidate.environment);
        let mut text = self.title("Operations", &scene);
        let mut services: Vec<&ServiceResult> = Vec::new();
        for row in shown {
            if !services.iter().any(|service| std::ptr::eq(*service, row.service)) {
                services.push(row.service);
            }
        }
        let columns = Columns::of(self.width, shown);
        for service in services {
            let own: Vec<&OperationResult> = shown
                .iter()
                .filter(|row| std::ptr::eq(row.service, service))
                .map(|row: &Row<'_>| row.operation)
                .collect();
            self.service_line(&mut text, service);
            text.push_str(&self.operation_table(&own, &columns));
            self.needs(&mut text, &own);
        }
        if let Some(words) = order::left_out(hidden) {
            push_lines(&mut text, wrap(&format!("{words} (--verbose shows all)"), self.prose, "", ""));
        }
        text
    }

    fn service_line(&self, text: &mut String, service: &ServiceResult) {
        let verdict = self.paint.verdict(service.verdict, &format::verdict(service.verdict));
        let name = self.paint.bold(&clip(&clean(&service.service), self.width.saturating_sub(30)));
        let score = match service.verdict {
            Verdict::NoData => String::new(),
            _ => format!(", score {}", format::score(service.score)),
        };
        let _ = writeln!(text, "{name}  {verdict}{score}");
    }

    fn operation_table(&self, operations: &[&OperationResult], columns: &Columns) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(columns.layout.headers().to_vec());
        table.set_constraints(columns.widths.iter().map(|width| {
            let padded = u16::try_from(width + 2).unwrap_or(u16::MAX);
            ColumnConstraint::Absolute(Width::Fixed(padded))
        }));
        for op in operations {
            table.add_row(columns.layout.cells(op, columns.room));
        }
        self.paint_table(&table.to_string())
    }

    /// What it would take to decide the operations that are not decided.
    fn needs(&self, text: &mut String, operations: &[&OperationResult]) {
        for op in operations {
            if let (Verdict::Inconclusive, Some(needs)) = (op.latency.verdict, op.latency.needs) {
                let sentence = format!(
                    "{} would be decided by about {} requests a side{}; there are {} and {}.",
                    op.operation,
                    format::count(needs.n),
                    needs.minutes.get().map_or(String::new(), |m| format!(", in {}", format::minutes(m))),
                    format::count(op.latency.n_baseline),
                    format::count(op.latency.n_candidate)
                );
                push_lines(text, wrap(&clean(&sentence), self.prose, "? ", "  "));
            }
        }
    }

    /// Colours the first cell of every line that starts with a verdict's sign. Done on the finished table, since
    /// escape sequences inside cells would count as columns.
    fn paint_table(&self, table: &str) -> String {
        let mut text = String::with_capacity(table.len() + 64);
        for line in table.lines() {
            match (self.options.colour, verdict_of_line(line)) {
                (true, Some((verdict, cell, rest))) => {
                    let _ = writeln!(text, "│ {}{rest}", self.paint.verdict(verdict, cell));
                }
                _ => {
                    let _ = writeln!(text, "{line}");
                }
            }
        }
        text
    }

    fn plot(&self) -> String {
        match &self.options.plot {
            Some(plot) if plot.ends_with('\n') => plot.clone(),
            Some(plot) => format!("{plot}\n"),
            None => String::new(),
        }
    }

    /// The metrics that are not at parity, and how many there are.
    fn values(&self, report: &Report) -> String {
        let Some(counts) = values::counts(report) else { return String::new() };
        let rows = values::notable(report);
        let mut text = self.title("Metrics", &counts);
        let shown = self.limit(LIST_ROWS).min(rows.len());
        for (service, value) in rows.iter().take(shown) {
            let sign = self.paint.verdict(value.verdict, format::symbol(value.verdict));
            let weight = if value.decides { "" } else { ", evidence" };
            let name = format!("{}  {} ({}{weight})", service.service, value.metric, value.statistic);
            let _ = writeln!(text, "{sign} {}", clip(&clean(&name), self.width.saturating_sub(4)));
            let said = format!("{}; {}", values::numbers(value), value.reason);
            push_lines(&mut text, wrap(&clean(&said), self.prose, "  ", "  "));
        }
        if shown < rows.len() {
            let _ = writeln!(text, "  and {} more", rows.len() - shown);
        }
        text
    }

    /// Dependencies that are not at parity.
    fn dependencies(&self, report: &Report) -> String {
        let notable: Vec<_> = dependencies_not_at_parity(report).collect();
        if notable.is_empty() {
            return String::new();
        }
        let all: usize = report.services.iter().map(|service| service.dependencies.len()).sum();
        let mut text =
            self.title("Dependencies", &format!("{} of {all} not shown to be at parity", notable.len()));
        let shown = self.limit(LIST_ROWS).min(notable.len());
        for (service, dependency) in notable.iter().take(shown) {
            let verdict = self.paint.verdict(dependency.verdict, format::symbol(dependency.verdict));
            let line = clean(&dependency_line(&service.service, dependency));
            push_lines(&mut text, wrap(&line, self.width, &format!("{verdict} "), "    "));
        }
        if shown < notable.len() {
            let _ = writeln!(text, "  and {} more", notable.len() - shown);
        }
        text
    }

    /// Services with spans whose parent never came.
    fn traces(&self, report: &Report) -> String {
        let broken = broken_traces(report);
        if broken.is_empty() {
            return String::new();
        }
        let mut text = self.title("Traces", "spans whose parent never came");
        let shown = self.limit(LIST_ROWS).min(broken.len());
        for line in broken.iter().take(shown) {
            push_lines(&mut text, wrap(&clean(line), self.width, "  ", "      "));
        }
        if shown < broken.len() {
            let _ = writeln!(text, "  and {} more", broken.len() - shown);
        }
        text
    }

    fn coverage(&self, report: &Report) -> String {
        let (present, expected) = coverage_totals(report);
        if expected == 0 && report.services.iter().all(|service| service.coverage.extra.is_empty()) {
            return String::new();
        }
        let total = format!("{present} of {expected} expected items in {}", report.candidate.environment);
        let mut text = self.title("Coverage", &total);
        for service in &report.services {
            let coverage = &service.coverage;
            if coverage.missing.is_empty() && coverage.extra.is_empty() && coverage.shape.is_empty() {
                continue;
            }
            let name = self.paint.bold(&clip(&clean(&service.service), self.width / 2));
            let _ = writeln!(
                text,
                "  {name}  {} ({} of {})",
                format::share(coverage.ratio),
                coverage.present,
                coverage.expected
            );
            self.list(&mut text, "- missing: ", &coverage.missing);
            self.list(&mut text, "+ only there: ", &coverage.extra);
            self.list(&mut text, "≠ ", &coverage.shape);
        }
        text
    }

    fn list(&self, text: &mut String, sign: &str, items: &[String]) {
        let shown = self.limit(LIST_ROWS).min(items.len());
        for item in items.iter().take(shown) {
            push_lines(text, wrap(&clean(item), self.width, &format!("    {sign}"), "      "));
        }
        if shown < items.len() {
            let _ = writeln!(text, "    {sign}and {} more", items.len() - shown);
        }
    }

    fn facts(&self, report: &Report) -> String {
        let differing: Vec<_> = report
            .services
            .iter()
            .flat_map(|service| {
                service
                    .facts
                    .iter()
                    .filter(|fact| fact.broken || !fact.equal)
                    .map(move |fact| (service, fact))
            })
            .collect();
        if differing.is_empty() {
            return String::new();
        }
        let mut differing = differing;
        differing.sort_by_key(|(_, fact)| !fact.broken);
        let mut text = self.title("Facts that differ", &differing.len().to_string());
        let shown = self.limit(LIST_ROWS).min(differing.len());
        for (service, fact) in differing.iter().take(shown) {
            let value = |side: &Option<String>| side.clone().unwrap_or_else(|| "absent".to_owned());
            let line = format!(
                "{}  {}: {} → {}{}",
                service.service,
                fact.key,
                value(&fact.baseline),
                value(&fact.candidate),
                fact_rule(fact)
            );
            push_lines(&mut text, wrap(&clean(&line), self.width, "  ", "      "));
        }
        if shown < differing.len() {
            let _ = writeln!(text, "  and {} more", differing.len() - shown);
        }
        text
    }

    fn input(&self, report: &Report) -> String {
        let mut text = String::new();
        for line in input_sentences(report) {
            push_lines(&mut text, wrap(&clean(&line), self.prose, "", "  "));
        }
        text
    }

    /// `── Title  detail ─────`.
    fn title(&self, title: &str, detail: &str) -> String {
        let detail = clip(&clean(detail), self.width.saturating_sub(columns(title) + 8));
        let used = columns(title) + columns(&detail) + 6;
        let rule = "─".repeat(self.width.saturating_sub(used));
        format!("── {}  {} {}\n", self.paint.bold(title), self.paint.faint(&detail), self.paint.faint(&rule))
    }
}

/// Which columns a table of operations has. One column, the operation's name, takes the room that the numbers leave.
#[derive(Clone, Copy)]
enum Layout {
    /// The verdict's sign, kind and counts stand in the operation's cell; changes in whole percent.
    Narrow,
    /// Verdict and counts have columns of their own; changes with a digit after the point.
    Wide,
}

impl Layout {
    fn headers(self) -> &'static [&'static str] {
        match self {
            Layout::Narrow => &["operation", "p50", "p95", "errors"],
            Layout::Wide => &["verdict", "operation", "requests", "p50", "p95", "errors"],
        }
    }

    fn name_column(self) -> usize {
        match self {
            Layout::Narrow => 0,
            Layout::Wide => 1,
        }
    }

    fn cells(self, op: &OperationResult, room: usize) -> Vec<String> {
        let mut cells = self.numbers(op);
        cells.insert(self.name_column(), self.name(op, room));
        cells
    }

    /// Every cell but the operation's name.
    fn numbers(self, op: &OperationResult) -> Vec<String> {
        let mut cells = match self {
            Layout::Narrow => Vec::with_capacity(4),
            Layout::Wide => {
                let (baseline, candidate) = (op.latency.n_baseline, op.latency.n_candidate);
                let requests = format!("{}\n→ {}", format::count(baseline), format::count(candidate));
                vec![format::verdict(op.verdict), requests]
            }
        };
        cells.extend([self.quantile(op, 0.5), self.quantile(op, 0.95), self.errors(op)]);
        cells
    }

    fn quantile(self, op: &OperationResult, q: f64) -> String {
        let Some(found) = op.latency.quantiles.iter().find(|quantile| (quantile.q - q).abs() < 1e-9) else {
            return format::MISSING.to_owned();
        };
        let durations = format::durations(found.baseline_s.get(), found.candidate_s.get());
        let Some(ratio) = found.ratio.get() else { return durations };
        let change = match self {
            Layout::Narrow => {
                format::whole_change_with_interval(ratio, found.ratio_low.get(), found.ratio_high.get())
            }
            Layout::Wide => {
                format::change_with_interval(Some(ratio), found.ratio_low.get(), found.ratio_high.get())
            }
        };
        format!("{durations}\n{change}")
    }

    fn errors(self, op: &OperationResult) -> String {
        let errors = &op.errors;
        let rates = format::shares(errors.baseline.rate.get(), errors.candidate.rate.get());
        if errors.delta.is_none() {
            return rates;
        }
        let interval = match self {
            Layout::Narrow => format::rough_points_interval(errors.delta_low.get(), errors.delta_high.get()),
            Layout::Wide => format::points_interval(errors.delta_low.get(), errors.delta_high.get()),
        };
        format!("{rates}\n{interval} pp")
    }

    /// The operation's own cell, broken at `room` columns.
    fn name(self, op: &OperationResult, room: usize) -> String {
        let (name, kind) = (clean(&op.operation), clean(&op.kind));
        let mut lines;
        match self {
            Layout::Wide => {
                lines = wrap(&name, room, "", "  ");
                lines.extend(wrap(&kind, room, "  ", "  "));
            }
            Layout::Narrow => {
                lines = wrap(&name, room, &format!("{} ", format::symbol(op.verdict)), "  ");
                let (baseline, candidate) = (op.latency.n_baseline, op.latency.n_candidate);
                let exact = format!("  {kind} {} → {}", format::count(baseline), format::count(candidate));
                if columns(&exact) <= room {
                    lines.push(exact);
                } else {
                    let short = format!("{kind} {}/{}", format::short(baseline), format::short(candidate));
                    lines.extend(wrap(&short, room, "  ", "  "));
                }
            }
        }
        lines.join("\n")
    }
}

/// Widths that all tables of one report share, so that numbers stand under each other from service to service.
struct Columns {
    layout: Layout,
    /// Content widths, without padding.
    widths: Vec<usize>,
    /// The width of the operation's name.
    room: usize,
}

impl Columns {
    /// All other columns take what they need, and the name gets what is left, but no more than it can use.
    fn of(width: usize, rows: &[Row<'_>]) -> Columns {
        let layout = if width >= WIDTH_WIDE { Layout::Wide } else { Layout::Narrow };
        let widest = |room: usize| {
            let mut widths: Vec<usize> = layout.headers().iter().map(|header| columns(header)).collect();
            for row in rows {
                for (at, cell) in layout.cells(row.operation, room).iter().enumerate() {
                    if let Some(width) = widths.get_mut(at) {
                        *width = cell.lines().map(columns).chain([*width]).max().unwrap_or(0);
                    }
                }
            }
            widths
        };
        let at_ease = widest(width);
        let others: usize = at_ease
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != layout.name_column())
            .map(|(_, width)| width)
            .sum();
        // A border and two columns of padding for each column, and the closing border.
        let borders = at_ease.len() * 3 + 1;
        let room = width.saturating_sub(borders + others).max(NAME_LEAST);
        Columns { layout, widths: widest(room), room }
    }
}

/// The verdict whose sign opens a line of a table, the first cell's text, and the rest of the line.
fn verdict_of_line(line: &str) -> Option<(Verdict, &str, &str)> {
    let body = line.strip_prefix("│ ")?;
    let verdict = Verdict::ALL.into_iter().find(|verdict| {
        body.strip_prefix(format::symbol(*verdict)).is_some_and(|rest| rest.starts_with(' '))
    })?;
    let end = body.find('┆').or_else(|| body.find('│'))?;
    Some((verdict, body.get(..end)?, body.get(end..)?))
}

/// Breaks at ordinary spaces only, so that no-break spaces hold.
fn wrap_keeping(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split("  ") {
        match lines.last_mut() {
            Some(line) if columns(line) + 3 + columns(word) <= width => {
                line.push_str(" · ");
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Dependencies that are not at parity, the clearest first.
pub(super) fn dependencies_not_at_parity(
    report: &Report,
) -> impl Iterator<Item = (&ServiceResult, &DependencyResult)> {
    let of = |wanted: Verdict| {
        let all = report.services.iter().flat_map(|s| s.dependencies.iter().map(move |d| (s, d)));
        all.filter(move |(_, dependency)| dependency.verdict == wanted)
    };
    [Verdict::Divergent, Verdict::Inconclusive, Verdict::NoData].into_iter().flat_map(of)
}

/// `shop/cart → orders-db (postgresql)  calls 900 → 880  p95 21 ms → 32 ms +52 %  errors 0.0 % → 1.0 %`
pub(super) fn dependency_line(service: &str, dependency: &DependencyResult) -> String {
    let mut line = format!("{service} → {}", dependency.peer);
    if let Some(system) = dependency.system.as_deref().filter(|system| *system != dependency.peer) {
        let _ = write!(line, " ({system})");
    }
    let calls = |side: Option<DependencyCalls>| side.map_or(0, |side| side.calls);
    let (base, cand) = (dependency.baseline, dependency.candidate);
    let _ = write!(line, "  calls {} → {}", format::count(calls(base)), format::count(calls(cand)));
    let (Some(base), Some(cand)) = (base, cand) else { return line };
    let _ = write!(line, "  p95 {}", format::durations(base.p95_s, cand.p95_s).replace('\n', " "));
    if let Some(ratio) = dependency.ratio {
        let (low, high) = (dependency.ratio_low, dependency.ratio_high);
        let _ = write!(line, " {}", format::whole_change_with_interval(ratio, low, high));
    }
    let rate = |side: DependencyCalls| (side.calls > 0).then(|| side.errors as f64 / side.calls as f64);
    let _ = write!(line, "  errors {}", format::shares(rate(base), rate(cand)));
    line
}

/// `shop/cart  0 → 12.5 % of 4,021 → 3,988 spans with a parent`, for each service with spans whose parent never came; the greatest share first.
pub(super) fn broken_traces(report: &Report) -> Vec<String> {
    let mut broken: Vec<(f64, String)> = Vec::new();
    for service in &report.services {
        let Some(told) = &service.completeness else { continue };
        let [base, cand] = [&told.baseline, &told.candidate].map(|side| {
            side.as_ref().map_or((None, 0), |side| (side.broken_parent_share, side.parents_sought))
        });
        let most = base.0.unwrap_or(0.0).max(cand.0.unwrap_or(0.0));
        if most > 0.0 {
            let (shares, counts) = (format::shares(base.0, cand.0), [base.1, cand.1].map(format::count));
            let of = format!("{} → {} spans with a parent", counts[0], counts[1]);
            broken.push((most, format!("{}  {shares} of {of}", service.service)));
        }
    }
    broken.sort_by(|a, b| b.0.total_cmp(&a.0));
    broken.into_iter().map(|(_, line)| line).collect()
}

/// Items present and expected over all services.
pub(super) fn coverage_totals(report: &Report) -> (u64, u64) {
    report.services.iter().fold((0, 0), |(present, expected), service| {
        (present + service.coverage.present, expected + service.coverage.expected)
    })
}

/// What is wrong with a fact, to stand behind it.
pub(super) fn fact_rule(fact: &Fact) -> &'static str {
    match (fact.broken, fact.accepted, fact.rule) {
        (false, ..) => "",
        (true, true, _) => " (accepted by a waiver)",
        (true, false, Some(FactRule::MustDiffer)) => " (must differ)",
        (true, false, Some(FactRule::MayDiffer)) => " (must be stated)",
        (true, false, _) => " (must be equal)",
    }
}

/// `1 critical, 2 warnings, 1 info, 1 waived`.
pub(super) fn finding_counts(findings: &[Finding]) -> String {
    let of = |level: Level| findings.iter().filter(|f| f.level == level && f.waived_by.is_none()).count();
    let waived = findings.iter().filter(|finding| finding.waived_by.is_some()).count();
    let warnings = if of(Level::Warning) == 1 { "warning" } else { "warnings" };
    [
        (of(Level::Critical), "critical"),
        (of(Level::Warning), warnings),
        (of(Level::Info), "info"),
        (waived, "waived"),
    ]
    .iter()
    .filter(|(n, _)| *n > 0)
    .map(|(n, word)| format!("{n} {word}"))
    .collect::<Vec<_>>()
    .join(", ")
}

/// What was read, what was refused, and which limits were hit: one sentence each.
pub(super) fn input_sentences(report: &Report) -> Vec<String> {
    let input = &report.input;
    let mut sentences = vec![format!(
        "Read {}, {} and {}.",
        format::counted(input.spans, "span"),
        format::counted(input.metric_points, "metric point"),
        format::counted(input.log_records, "log record")
    )];
    let refused: u64 = input.rejected.values().sum();
    if refused > 0 {
        let reasons: Vec<String> = input
            .rejected
            .iter()
            .filter(|(_, n)| **n > 0)
            .map(|(why, n)| format!("{why} {}", format::count(*n)))
            .collect();
        sentences.push(format!(
            "Refused or set aside {}: {}.",
            format::counted(refused, "item"),
            reasons.join(", ")
        ));
    }
    if let Some(calibration) = report.calibration {
        sentences.push(format!(
            "Calibration: of {} ways to halve the baseline, in which nothing differs, {} ({:.0} %) were called divergent.",
            calibration.splits,
            calibration.divergent,
            100.0 * calibration.divergent as f64 / calibration.splits.max(1) as f64
        ));
    }
    if !report.limits_hit.is_empty() {
        sentences.push(format!(
            "Limits were reached, so the evidence is not complete: {}. `isotel config limits` lists them.",
            report.limits_hit.join("; ")
        ));
    }
    sentences
}

/// The sign that stands for a level.
pub(super) fn level_sign(level: Level) -> &'static str {
    match level {
        Level::Critical => "✗",
        Level::Warning => "!",
        Level::Info => "i",
    }
}

fn push_lines(text: &mut String, lines: Vec<String>) {
    for line in lines {
        text.push_str(line.trim_end());
        text.push('\n');
    }
}
