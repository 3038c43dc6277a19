//! Reports as one self-contained file.

use super::route::Links;
use super::rows::{Rows, Sort, table};
use super::{class, telemetry, verdict};
use super::{document, facts, findings, format, matrix, name, operations, score, section, sentence, summary};
use crate::judge::catalog_report::{CatalogReport, EnvironmentCoverage, ServiceHeld, Share};
use crate::judge::curves::Curves;
use crate::judge::verdict::SCHEMA;
use crate::judge::{Report, Verdict};
use crate::report::Matrix;
use maud::{Markup, html};
use std::collections::BTreeMap;

const BYTES_MOST: usize = 1 << 20;

/// What is shown of a comparison beside its report.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pictures<'a> {
    /// The distributions of the operation that diverges most clearly.
    pub worst: Option<&'a Curves>,
    /// Which telemetry exists where.
    pub matrix: Option<&'a Matrix>,
}

/// A comparison as one HTML file.
pub fn of_report(report: &Report, pictures: Pictures<'_>) -> String {
    let worst = pictures.worst.map(|curves| {
        let body = operations::closely(report, curves);
        section("worst", "Most divergent operation", &name(&curves.title()), &body)
    });
    let matrix = pictures.matrix.map(matrix::grid);
    let story = section("story", "In words", "", &summary::story(report));
    let parts = [
        ("aspects", "Aspects", summary::aspects(report)),
        ("story", "In words", story),
        ("findings", "Findings", findings::list(&report.findings, Links::File)),
        ("worst", "Distributions", worst.unwrap_or_default()),
        ("services", "Services", operations::services(report, Links::File)),
        ("operations", "Operations", operations::list(report, Links::File)),
        ("metrics", "Metrics", telemetry::metrics(report)),
        ("dependencies", "Dependencies", telemetry::dependencies(report)),
        ("traces", "Traces", telemetry::traces(report)),
        ("coverage", "Coverage", telemetry::coverage(report)),
        ("telemetry", "Telemetry", matrix.unwrap_or_default()),
        ("facts", "Facts", facts::table_of(report)),
        ("score", "Score", score::formula(report)),
    ];
    let foot = html! {
        footer { (summary::input(report)) (origin(&report.generated_at, SCHEMA)) }
    };
    page(&title(report), &summary::headline(report), &parts, &foot)
}

/// Telemetry of two environments as one HTML file; `verdicts` are those of the services.
pub fn of_coverage(report: &Report, matrix: &Matrix, verdicts: &BTreeMap<String, Verdict>) -> String {
    let worst = verdicts.values().copied().max().unwrap_or(Verdict::NoData);
    let head = html! {
        header class={ "headline " (class(worst)) } {
            h1 { "Telemetry of " (name(&report.candidate.environment)) " against " (name(&report.baseline.environment)) }
            p.outcome { (verdict(worst)) }
            p.lead { (sentence(&matrix.summary())) }
        }
    };
    let parts = [
        ("services", "Services", covered(report, verdicts)),
        ("coverage", "Coverage", telemetry::coverage(report)),
        ("telemetry", "Telemetry", matrix::grid(matrix)),
        ("facts", "Facts", facts::table_of(report)),
    ];
    let foot = html! { footer { (summary::input(report)) (origin(&report.generated_at, SCHEMA)) } };
    page(&format!("Coverage: {}", title(report)), &head, &parts, &foot)
}

/// Services by how much of the expected telemetry they send.
fn covered(report: &Report, verdicts: &BTreeMap<String, Verdict>) -> Markup {
    let rows = Rows::within(
        BYTES_MOST,
        report.services.iter().map(|service| {
            let of = verdicts.get(&service.service).copied().unwrap_or(Verdict::NoData);
            let coverage = &service.coverage;
            html! {
                tr data-verdict=(format::word(of)) {
                    td { (verdict(of)) }
                    th.name scope="row" { (name(&service.service)) }
                    td.number data-v=(operations::number(coverage.ratio)) {
                        (coverage.present) " of " (coverage.expected) span.under { (format::share(coverage.ratio)) }
                    }
                    td.number data-v=(coverage.missing.len()) { (coverage.missing.len()) }
                    td.number data-v=(coverage.extra.len()) { (coverage.extra.len()) }
                    td.number data-v=(coverage.shape.len()) { (coverage.shape.len()) }
                }
            }
        }),
    );
    let columns = [
        ("verdict", Sort::Text),
        ("service", Sort::Text),
        ("present", Sort::Number),
        ("missing", Sort::Number),
        ("additional", Sort::Number),
        ("other form", Sort::Number),
    ];
    let body = html! {
        (table("services-table", "Services by coverage", "verdict", &columns, &rows.shown))
        (rows.note("services"))
    };
    section("services", "Services", &format::count(report.services.len() as u64), &body)
}

/// Environments beside a catalog as one HTML file.
pub fn of_catalog(report: &CatalogReport) -> String {
    let head = html! {
        header class={ "headline " (class(report.verdict)) } {
            h1 { "Telemetry against the catalog" }
            p.outcome { (verdict(report.verdict)) }
            p.lead { (sentence(&report.summary)) }
        }
    };
    let mut services: Vec<(&EnvironmentCoverage, &ServiceHeld)> = report
        .environments
        .iter()
        .flat_map(|environment| environment.services.iter().map(move |service| (environment, service)))
        .collect();
    services.sort_by_key(|(_, service)| service.verdict != Verdict::Divergent);
    let parts = [
        ("findings", "Findings", findings::list(&report.findings, Links::File)),
        ("services", "Services", held(&services)),
        ("coverage", "Items", items(&services)),
    ];
    let limits = html! { @for limit in &report.limits_hit { p { "Limit reached: " (sentence(limit)) } } };
    let foot = html! { footer { (limits) (origin(&report.generated_at, &report.schema)) } };
    page("Telemetry against the catalog", &head, &parts, &foot)
}

fn held(services: &[(&EnvironmentCoverage, &ServiceHeld)]) -> Markup {
    if services.is_empty() {
        return html! {};
    }
    let share = |share: Option<&Share>| {
        html! {
            td.number data-v=(share.map_or_else(String::new, |share| operations::number(share.ratio))) {
                @match share {
                    Some(share) if share.expected > 0 => { (share.present) " of " (share.expected) },
                    _ => span.muted { (format::MISSING) },
                }
            }
        }
    };
    let row = |(environment, service): &(&EnvironmentCoverage, &ServiceHeld)| {
        html! {
            tr data-verdict=(format::word(service.verdict)) data-environment=(name(&environment.environment)) {
                td { (verdict(service.verdict)) }
                td { (name(&environment.environment)) }
                th.name scope="row" { (name(&service.service)) }
                (share(Some(&service.total)))
                @for signal in SIGNALS { (share(service.signals.get(signal))) }
            }
        }
    };
    let rows = Rows::within(BYTES_MOST, services.iter().map(row));
    let mut columns = vec![
        ("verdict", Sort::Text),
        ("environment", Sort::Text),
        ("service", Sort::Text),
        ("all", Sort::Number),
    ];
    columns.extend(SIGNALS.map(|signal| (signal, Sort::Number)));
    let body = html! {
        (table("services-table", "Services by coverage", "verdict environment", &columns, &rows.shown))
        (rows.note("services"))
    };
    section("services", "Services", &format::count(services.len() as u64), &body)
}

const SIGNALS: [&str; 4] = ["resource", "spans", "metrics", "logs"];

/// What is missing, too rare to tell, or not in the catalog.
fn items(services: &[(&EnvironmentCoverage, &ServiceHeld)]) -> Markup {
    let all = services.iter().flat_map(|(environment, service)| {
        let lists = [
            ("missing", "divergent", &service.missing),
            ("too rare to tell", "inconclusive", &service.too_rare),
            ("not in the catalog", "no-data", &service.extra),
        ];
        lists.into_iter().flat_map(move |(words, class, items)| {
            items.iter().map(move |item| (*environment, *service, words, class, item))
        })
    });
    let row = |(environment, service, words, class, item): (
        &EnvironmentCoverage,
        &ServiceHeld,
        &str,
        &str,
        &String,
    )| {
        html! {
            tr data-difference=(words) data-environment=(name(&environment.environment)) data-service=(name(&service.service)) {
                td { span class={ "word " (class) } { (words) } }
                td { (name(&environment.environment)) }
                td.name { (name(&service.service)) }
                td.name { (sentence(item)) }
            }
        }
    };
    let rows = Rows::within(BYTES_MOST, all.map(row));
    if rows.shown.0.is_empty() {
        return html! {};
    }
    let columns = [
        ("difference", Sort::Text),
        ("environment", Sort::Text),
        ("service", Sort::Text),
        ("item", Sort::Text),
    ];
    let body = html! {
        (table("coverage-table", "Differences from the catalog", "difference environment service", &columns, &rows.shown))
        (rows.note("items"))
    };
    section("coverage", "Items", "", &body)
}

fn title(report: &Report) -> String {
    let environments =
        format!("{} against {}", name(&report.candidate.environment), name(&report.baseline.environment));
    format!("{}: {environments} ({})", format::word(report.verdict), name(&report.comparison))
}

/// When and by what the page was made.
fn origin(generated_at: &str, schema: &str) -> Markup {
    html! {
        p { "Made by isotel " (env!("CARGO_PKG_VERSION")) " at " time { (name(generated_at)) } " from " code { (name(schema)) } "." }
    }
}

/// Sections that have something to say, under the headline.
fn page(title: &str, head: &Markup, parts: &[(&str, &str, Markup)], foot: &Markup) -> String {
    let parts = || parts.iter().filter(|(.., body)| !body.0.is_empty());
    let sections: Vec<(&str, &str)> = parts().map(|(id, words, _)| (*id, *words)).collect();
    let main = html! {
        (head)
        @for (.., body) in parts() { (body) }
        (foot)
    };
    document::one_file(title, &sections, &main)
}
