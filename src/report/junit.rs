//! Verdicts as JUnit XML, for the test pages of GitHub, GitLab and Jenkins.
//!
//! A report flows in, one `testsuites` flows out: a `testsuite` for the comparison and one for each service, a `testcase`
//! for what was judged. A failure is what makes the verdict divergent, and nothing else is one: what people only should
//! look at, what is not decided yet and what a waiver accepts is skipped, with its sentence. An error is a comparison that
//! could not be made. There are no times: a verdict has none.

use crate::judge::catalog_report::{CatalogReport, ServiceHeld};
use crate::judge::verdict::{Coverage, Fact, FactRule, OperationResult, ServiceResult, ValueResult};
use crate::judge::{Aspect, Finding, Level, Report, Verdict};
use crate::report::text::{clean, clip};
use crate::report::{Matrix, format};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// The most bytes of all test cases together; GitLab reads 30 MB and 500,000 cases, and a case has 100 bytes.
pub const BYTES_MOST: usize = 16 << 20;
/// The longest name, message and text, in characters before escaping.
const NAME_MOST: usize = 250;
const MESSAGE_MOST: usize = 500;
const TEXT_MOST: usize = 2_000;

/// What a test case came to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    /// With a sentence.
    Skipped(String),
    /// Of which type, with a sentence and what else there is to say.
    Failed(&'static str, String, String),
    /// With a sentence.
    Error(String),
}

/// The cases of one suite.
struct Suite {
    name: String,
    cases: Vec<(String, Outcome)>,
}

impl Suite {
    fn new(name: &str) -> Suite {
        Suite { name: name.to_owned(), cases: Vec::new() }
    }

    fn add(&mut self, name: impl Into<String>, outcome: Outcome) {
        self.cases.push((name.into(), outcome));
    }
}

/// A comparison: its verdict, every operation and aspect, the metrics that decide, facts with a rule, and what else was
/// found.
pub fn of_report(report: &Report) -> String {
    let mut open = Open::new(&report.findings);
    let of_service = |service| suite_of_service(service, &mut open);
    let mut suites: Vec<Suite> = report.services.iter().map(of_service).collect();
    let mut whole = Suite::new(&report.comparison);
    whole.add("verdict", of_verdict(report.verdict, &report.summary));
    for finding in open.rest() {
        let own = finding.service.as_ref().and_then(|name| suites.iter_mut().find(|s| s.name == *name));
        own.unwrap_or(&mut whole).add(name_of(finding), of_finding(finding, report.verdict));
    }
    suites.insert(0, whole);
    written(&suites)
}

/// Two environments beside each other: for each service its coverage, the same by signal, and each item that is missing,
/// unexpected or of another form. `verdicts` says of each service whether it is covered.
pub fn of_coverage(report: &Report, matrix: &Matrix, verdicts: &BTreeMap<String, Verdict>) -> String {
    let verdict = verdicts.values().max().copied().unwrap_or(Verdict::NoData);
    let mut whole = Suite::new(&report.comparison);
    let (present, expected) = super::table::coverage_totals(report);
    whole.add("coverage", of_verdict(verdict, &shares(present, expected)));
    let mut suites = vec![whole];
    for service in &report.services {
        let mut suite = Suite::new(&service.service);
        let short = verdicts.get(&service.service) == Some(&Verdict::Divergent);
        let found = &service.coverage;
        if found.expected > 0 {
            let part = (found.present + found.accepted, found.expected);
            suite.add("coverage", of_share(part, short));
        }
        for (signal, part) in by_signal(matrix, &service.service) {
            suite.add(format!("coverage of {signal}"), of_share(part, short));
        }
        let accepted = |item: &str| {
            let of_it = |f: &&Finding| {
                f.service.as_deref() == Some(&service.service) && f.item.as_deref() == Some(item)
            };
            report.findings.iter().filter(of_it).find_map(|finding| finding.waived_by.as_deref())
        };
        items(&mut suite, found, short, accepted);
        suites.push(suite);
    }
    written(&suites)
}

/// Each environment beside a catalog: a suite for each service in each environment.
pub fn of_catalog(report: &CatalogReport) -> String {
    let mut whole = Suite::new("catalog");
    whole.add("coverage", of_verdict(report.verdict, &report.summary));
    for finding in report.findings.iter().filter(|finding| finding.service.is_none()) {
        whole.add(name_of(finding), of_finding(finding, report.verdict));
    }
    let mut suites = vec![whole];
    for environment in &report.environments {
        for service in &environment.services {
            suites.push(suite_of_held(&environment.environment, service));
        }
    }
    written(&suites)
}

fn suite_of_held(environment: &str, service: &ServiceHeld) -> Suite {
    let mut suite = Suite::new(&format!("{} in {environment}", service.service));
    let short = service.verdict == Verdict::Divergent;
    let all = [("coverage".to_owned(), &service.total)].into_iter();
    let signals = service.signals.iter().map(|(signal, share)| (format!("coverage of {signal}"), share));
    let names = service.conventions.iter().map(|share| ("conventions".to_owned(), share));
    for (name, share) in all.chain(signals).chain(names).filter(|(_, share)| share.expected > 0) {
        suite.add(name, of_share((share.present, share.expected), short));
    }
    let found = Coverage {
        missing: service.missing.clone(),
        extra: service.extra.clone(),
        shape: service.shape.clone(),
        ..Coverage::default()
    };
    items(&mut suite, &found, short, |_| None);
    for item in &service.too_rare {
        let reason = format!("{item} is too rare for its absence to mean anything yet.");
        suite.add(format!("too rare: {item}"), Outcome::Skipped(reason));
    }
    suite
}

fn suite_of_service<'r>(service: &'r ServiceResult, open: &mut Open<'r>) -> Suite {
    let mut suite = Suite::new(&service.service);
    for operation in &service.operations {
        for (aspect, verdict, reason) in judged(operation) {
            let explained = (verdict == Verdict::Divergent).then(|| {
                open.take(|f| {
                    is_of(f, service, aspect) && f.operation.as_deref() == Some(&*operation.operation)
                })
            });
            let outcome = match explained.flatten() {
                Some(finding) => as_divergent(aspect, finding),
                // What is divergent in one aspect and at parity as a whole is accepted.
                None if verdict == Verdict::Divergent && operation.verdict == Verdict::Parity => {
                    Outcome::Skipped(format!("accepted: {reason}"))
                }
                None => of_aspect(aspect, verdict, reason),
            };
            suite.add(format!("{} ({}): {aspect}", operation.operation, operation.kind), outcome);
        }
    }
    for value in service.values.iter().filter(|value| value.decides) {
        let finding = value.finding.as_deref().and_then(|id| open.take(|f| f.id == id));
        suite.add(format!("{}: {}", value.metric, value.statistic), of_value(value, finding));
    }
    for fact in &service.facts {
        let Some(rule) = fact.rule.filter(|rule| fact.broken || *rule != FactRule::MayDiffer) else {
            continue;
        };
        let told = |f: &Finding| is_of(f, service, Aspect::Facts) && f.item.as_ref() == Some(&fact.key);
        let finding = if fact.broken { open.take(told) } else { None };
        let words = rule.as_str().replace('_', " ");
        suite.add(format!("fact {}: {words}", fact.key), of_fact(fact, &words, finding));
    }
    suite
}

/// The aspects in which an operation was judged, or would have been.
fn judged(operation: &OperationResult) -> impl Iterator<Item = (Aspect, Verdict, &str)> {
    let OperationResult { latency, errors, volume, structure, .. } = operation;
    let volume = (volume.verdict != Verdict::NoData).then_some(volume);
    let structure = structure.filter(|found| found.verdict != Verdict::NoData);
    let reason = |verdict: Verdict| match verdict {
        Verdict::Divergent => "calls for each request have doubled or halved",
        _ => "too few calls to say how many each request leads to",
    };
    [(Aspect::Latency, latency.verdict, &*latency.reason), (Aspect::Errors, errors.verdict, &*errors.reason)]
        .into_iter()
        .chain(volume.map(|found| (Aspect::Volume, found.verdict, &*found.reason)))
        .chain(structure.map(|found| (Aspect::Structure, found.verdict, reason(found.verdict))))
}

fn is_of(finding: &Finding, service: &ServiceResult, aspect: Aspect) -> bool {
    finding.aspect == aspect && finding.service.as_ref() == Some(&service.service)
}

/// Findings that no case tells of yet.
struct Open<'r> {
    findings: &'r [Finding],
    told: BTreeSet<usize>,
}

impl<'r> Open<'r> {
    fn new(findings: &'r [Finding]) -> Open<'r> {
        Open { findings, told: BTreeSet::new() }
    }

    /// The most important finding of this kind, which is told then.
    fn take(&mut self, wanted: impl Fn(&Finding) -> bool) -> Option<&'r Finding> {
        let mut left = self.findings.iter().enumerate().filter(|(at, _)| !self.told.contains(at));
        let (at, finding) = left.find(|(_, finding)| wanted(finding))?;
        self.told.insert(at);
        Some(finding)
    }

    fn rest(&self) -> impl Iterator<Item = &'r Finding> {
        let told = &self.told;
        self.findings.iter().enumerate().filter(|(at, _)| !told.contains(at)).map(|(_, finding)| finding)
    }
}

fn name_of(finding: &Finding) -> String {
    let about = finding.operation.as_ref().or(finding.item.as_ref());
    let about = about.map_or(String::new(), |name| format!("{name}: "));
    format!("{about}{} ({})", finding.title, finding.id)
}

/// A finding that no judged aspect tells of: critical ones are among what makes the comparison's verdict what it is, others
/// are to be looked at.
fn of_finding(finding: &Finding, verdict: Verdict) -> Outcome {
    match (&finding.waived_by, finding.level, verdict) {
        (Some(_), ..) | (None, Level::Critical, Verdict::Divergent) => as_divergent(finding.aspect, finding),
        (None, Level::Critical, Verdict::NoData) => Outcome::Error(finding.message.clone()),
        (None, level, _) => Outcome::Skipped(format!("{}: {}", level.as_str(), finding.message)),
    }
}

/// What is divergent, in its finding's words, unless a waiver accepts it.
fn as_divergent(aspect: Aspect, finding: &Finding) -> Outcome {
    match &finding.waived_by {
        Some(waiver) => Outcome::Skipped(format!("accepted by {waiver}: {}", finding.message)),
        None => {
            let owner = finding.owner.as_ref().map_or(String::new(), |owner| format!("owner: {owner}\n"));
            let more = format!("{}\n{owner}{}", finding.action, finding.id);
            Outcome::Failed(aspect.as_str(), finding.message.clone(), more)
        }
    }
}

fn of_aspect(aspect: Aspect, verdict: Verdict, reason: &str) -> Outcome {
    match verdict {
        Verdict::Parity => Outcome::Passed,
        Verdict::Divergent => Outcome::Failed(aspect.as_str(), reason.to_owned(), String::new()),
        Verdict::Inconclusive | Verdict::NoData => {
            Outcome::Skipped(format!("{}: {reason}", format::word(verdict)))
        }
    }
}

/// Of a whole comparison: without data it could not be made.
fn of_verdict(verdict: Verdict, summary: &str) -> Outcome {
    match verdict {
        Verdict::Parity => Outcome::Passed,
        Verdict::Divergent => Outcome::Failed(verdict.as_str(), summary.to_owned(), String::new()),
        Verdict::Inconclusive => Outcome::Skipped(summary.to_owned()),
        Verdict::NoData => Outcome::Error(summary.to_owned()),
    }
}

fn of_value(value: &ValueResult, finding: Option<&Finding>) -> Outcome {
    match finding.filter(|_| value.verdict == Verdict::Divergent) {
        Some(finding) => as_divergent(Aspect::Value, finding),
        None => of_aspect(Aspect::Value, value.counted(), &value.reason),
    }
}

/// Only a broken rule of severity critical makes the verdict divergent.
fn of_fact(fact: &Fact, rule: &str, finding: Option<&Finding>) -> Outcome {
    if !fact.broken {
        return Outcome::Passed;
    }
    let value = |side: &Option<String>| side.clone().unwrap_or_else(|| "absent".to_owned());
    let sides = format!("{rule}: {} → {}", value(&fact.baseline), value(&fact.candidate));
    match (finding, fact.accepted, fact.severity) {
        (Some(finding), ..) => of_finding(finding, Verdict::Divergent),
        (None, true, _) => Outcome::Skipped(format!("accepted: {sides}")),
        (None, false, Some(Level::Critical)) => Outcome::Failed(Aspect::Facts.as_str(), sides, String::new()),
        (None, false, level) => Outcome::Skipped(format!("{}: {sides}", level.map_or("info", Level::as_str))),
    }
}

/// A part of a whole, in a sentence: what is not whole is a failure only where the service is not covered.
fn of_share((present, expected): (u64, u64), short: bool) -> Outcome {
    match (present >= expected, short) {
        (true, _) => Outcome::Passed,
        (false, true) => Outcome::Failed(Aspect::Presence.as_str(), shares(present, expected), String::new()),
        (false, false) => Outcome::Skipped(format!("{}, within the tolerance", shares(present, expected))),
    }
}

fn shares(present: u64, expected: u64) -> String {
    let share = if expected == 0 { 1.0 } else { present as f64 / expected as f64 };
    format!("{} of {} ({})", format::count(present), format::counted(expected, "item"), format::share(share))
}

/// Each item that is missing, has stopped, is unexpected or has another form.
fn items<'a>(suite: &mut Suite, found: &Coverage, short: bool, accepted: impl Fn(&str) -> Option<&'a str>) {
    for item in &found.missing {
        let message = format!("{item} is expected and missing.");
        let outcome = match (accepted(item), short) {
            (Some(waiver), _) => Outcome::Skipped(format!("accepted by {waiver}: {message}")),
            (None, true) => Outcome::Failed(Aspect::Presence.as_str(), message, String::new()),
            (None, false) => Outcome::Skipped(message),
        };
        suite.add(format!("missing: {item}"), outcome);
    }
    for item in &found.stale {
        suite.add(format!("stopped: {item}"), Outcome::Skipped(format!("{item} has stopped.")));
    }
    for item in &found.extra {
        suite.add(format!("unexpected: {item}"), Outcome::Skipped(format!("{item} is not expected.")));
    }
    for sentence in &found.shape {
        suite.add(format!("form: {sentence}"), Outcome::Skipped(sentence.clone()));
    }
}

/// By signal: items of the baseline that the candidate has, and all that the baseline has.
fn by_signal(matrix: &Matrix, service: &str) -> BTreeMap<&'static str, (u64, u64)> {
    let mut signals: BTreeMap<&'static str, (u64, u64)> = BTreeMap::new();
    for row in matrix.rows.iter().filter(|row| row.service == service) {
        let [Some(_), candidate, ..] = row.cells[..] else { continue };
        let signal = match row.kind.split(' ').next() {
            Some("span") => "spans",
            Some("metric") => "metrics",
            Some("log") => "logs",
            Some("resource" | "scope") => "resource",
            _ => continue,
        };
        let (present, all) = signals.entry(signal).or_default();
        *present += u64::from(candidate.is_some());
        *all += 1;
    }
    signals
}

/// How many cases came to what.
#[derive(Clone, Copy, Default)]
struct Counts {
    tests: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
}

impl Counts {
    fn add(&mut self, outcome: &Outcome) {
        self.tests += 1;
        match outcome {
            Outcome::Passed => {}
            Outcome::Skipped(_) => self.skipped += 1,
            Outcome::Failed(..) => self.failures += 1,
            Outcome::Error(_) => self.errors += 1,
        }
    }
}

/// The document. What does not fit is left out, first what passed, then what was skipped, and the first suite says so.
fn written(suites: &[Suite]) -> String {
    let cases = suites.iter().enumerate().flat_map(|(at, suite)| {
        suite.cases.iter().map(move |(name, outcome)| (at, outcome, test_case(&suite.name, name, outcome)))
    });
    let cases: Vec<(usize, &Outcome, String)> = cases.collect();
    let mut order: Vec<usize> = (0..cases.len()).collect();
    order.sort_by_key(|at| match cases[*at].1 {
        Outcome::Failed(..) | Outcome::Error(_) => 0,
        Outcome::Skipped(_) => 1,
        Outcome::Passed => 2,
    });
    let mut bytes = 0;
    let fits = order.iter().take_while(|at| {
        bytes += cases[**at].2.len();
        bytes <= BYTES_MOST
    });
    let mut kept: Vec<usize> = fits.copied().collect();
    kept.sort_unstable();
    let mut of_suite: Vec<(Counts, String)> = vec![(Counts::default(), String::new()); suites.len()];
    let mut all = Counts::default();
    for (at, outcome, text) in kept.iter().map(|at| &cases[*at]) {
        let (counts, body) = &mut of_suite[*at];
        counts.add(outcome);
        all.add(outcome);
        body.push_str(text);
    }
    let left_out = cases.len() - kept.len();
    if let (1.., Some((counts, body))) = (left_out, of_suite.first_mut()) {
        let sentence =
            format!("{} more cases are left out to bound this file.", format::count(left_out as u64));
        let outcome = Outcome::Skipped(sentence);
        counts.add(&outcome);
        all.add(&outcome);
        body.push_str(&test_case(&suites[0].name, "left out", &outcome));
    }
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let Counts { tests, failures, errors, .. } = all;
    let _ = writeln!(
        text,
        "<testsuites name=\"isotel\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\">"
    );
    for (suite, (counts, body)) in suites.iter().zip(&of_suite).filter(|(_, (counts, _))| counts.tests > 0) {
        let Counts { tests, failures, errors, skipped } = counts;
        let _ = writeln!(
            text,
            "  <testsuite name=\"{}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" \
             skipped=\"{skipped}\">",
            escaped(&suite.name, NAME_MOST)
        );
        text.push_str(body);
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

fn test_case(class: &str, name: &str, outcome: &Outcome) -> String {
    let head = format!(
        "    <testcase classname=\"{}\" name=\"{}\"",
        escaped(class, NAME_MOST),
        escaped(name, NAME_MOST)
    );
    let message = |text: &str| escaped(text, MESSAGE_MOST);
    let told = match outcome {
        Outcome::Passed => return format!("{head}/>\n"),
        Outcome::Skipped(reason) => format!("<skipped message=\"{}\"/>", message(reason)),
        // Some readers show the attribute, and some the text.
        Outcome::Failed(kind, sentence, more) => {
            let lines: Vec<String> =
                more.lines().map(|line| format!("\n{}", escaped(line, TEXT_MOST))).collect();
            format!(
                "<failure message=\"{}\" type=\"{kind}\">{}{}</failure>",
                message(sentence),
                escaped(sentence, TEXT_MOST),
                lines.concat()
            )
        }
        Outcome::Error(sentence) => {
            let sentence = message(sentence);
            format!("<error message=\"{sentence}\" type=\"no_data\">{sentence}</error>")
        }
    };
    format!("{head}>{told}</testcase>\n")
}

/// A text from outside for an attribute or an element: what XML 1.0 has no place for is replaced, what it would act upon
/// is escaped.
fn escaped(text: &str, most: usize) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in clean(&clip(text, most)).chars() {
        match c {
            '&' => plain.push_str("&amp;"),
            '<' => plain.push_str("&lt;"),
            '>' => plain.push_str("&gt;"),
            '"' => plain.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => plain.push('\u{fffd}'),
            c => plain.push(c),
        }
    }
    plain
}
