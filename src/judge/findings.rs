//! What a person should know, in sentences, most important first.

use super::completeness::Signal;
use super::coverage::{Reshaped, ServiceCoverage, Stale, TooRare};
use super::policy::Tolerances;
use super::roots::Roots;
use super::verdict::{Aspect, Finding, Level, OperationResult, QuantileResult, Suspicion, Verdict};
use super::waivers::Waivers;
use crate::model::ItemKind;
use crate::model::ItemName;
use crate::model::form::Field;
use crate::sketch::distinct::COUNTED_MOST;
use std::collections::{BTreeMap, BTreeSet};
use xxhash_rust::xxh3::xxh3_64;

/// Findings with what else is known of them, until they are put in order.
#[derive(Debug, Default)]
pub struct Findings(Vec<Noted>);

/// A finding that has not been put in order.
#[derive(Clone, Debug)]
struct Noted {
    traffic: u64,
    finding: Finding,
    /// What it may come from, the nearest first.
    roots: Vec<Root>,
    /// Ids of the findings that it stands for.
    folded: Vec<String>,
}

/// What several findings come from: then they are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The service, when all of them are about one.
    pub service: Option<String>,
    /// What else tells it from other roots of the same aspect.
    pub subject: String,
    /// A few words.
    pub title: String,
    /// A sentence without its end, which names what it touches.
    pub message: String,
    /// What to do.
    pub action: &'static str,
    /// How many findings it takes.
    pub least: usize,
    /// What the finding is called among them; its item or service without it.
    pub member: Option<String>,
}

/// Findings in order, and what waivers did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// Most important first.
    pub findings: Vec<Finding>,
    /// How many did not fit.
    pub cut: usize,
    /// Ids of what waivers accept, of findings that became part of another one too.
    pub accepted: BTreeSet<String>,
    /// Findings of level warning and critical that no waiver accepts, each for itself, by aspect.
    pub open: BTreeMap<Aspect, usize>,
}

/// What a finding is made of.
pub struct Draft<'a> {
    /// How much it matters.
    pub level: Level,
    /// Which dimension of parity.
    pub aspect: Aspect,
    /// Which service.
    pub service: Option<&'a str>,
    /// Which operation.
    pub operation: Option<&'a str>,
    /// What else tells it from other findings of the same place.
    pub subject: &'a str,
    /// A few words.
    pub title: String,
    /// A sentence.
    pub message: String,
    /// What to do.
    pub action: &'a str,
    /// The numbers.
    pub evidence: BTreeMap<String, serde_json::Value>,
    /// Requests that it touches.
    pub traffic: u64,
}

/// What lies between an item and what else a subject says of it.
pub const PART: char = '\u{1f}';

/// The id of a finding is made of what it is about, not of its numbers, so that it is the same from run to run.
pub fn id_of(aspect: Aspect, service: Option<&str>, operation: Option<&str>, subject: &str) -> String {
    let parts = [aspect.as_str(), service.unwrap_or(""), operation.unwrap_or(""), subject];
    format!("{}-{:08x}", aspect.as_str(), xxh3_64(parts.join("\u{1f}").as_bytes()) >> 32)
}

/// Aspects whose findings are about an item, which their subject names first.
const OF_ITEMS: [Aspect; 4] = [Aspect::Presence, Aspect::Shape, Aspect::Value, Aspect::Facts];
/// Findings, services or items that are written out where one finding stands for many.
const FOLDED_SHOWN: usize = 10;
/// Those that its evidence has.
const FOLDED_KEPT: usize = 100;

impl Findings {
    /// Adds one that comes from nothing else.
    pub fn add(&mut self, draft: Draft<'_>) {
        self.add_from(draft, Vec::new());
    }

    /// Adds one that may come from a root, which may itself come from another.
    pub fn add_from(&mut self, draft: Draft<'_>, roots: Vec<Root>) {
        let about_item = OF_ITEMS.contains(&draft.aspect) && draft.service.is_some();
        let finding = Finding {
            id: id_of(draft.aspect, draft.service, draft.operation, draft.subject),
            level: draft.level,
            aspect: draft.aspect,
            service: draft.service.map(str::to_owned),
            operation: draft.operation.map(str::to_owned),
            title: draft.title,
            message: draft.message,
            action: draft.action.to_owned(),
            evidence: draft.evidence,
            waived_by: None,
            item: about_item.then(|| draft.subject.split(PART).next().unwrap_or_default().to_owned()),
            owner: None,
        };
        self.0.push(Noted { traffic: draft.traffic, finding, roots, folded: Vec::new() });
    }

    /// Adds a sentence and a value to the finding of that id; `false` when there is none.
    pub fn amend(&mut self, id: &str, sentence: &str, (name, value): (&str, serde_json::Value)) -> bool {
        let Some(Noted { finding, .. }) = self.0.iter_mut().find(|noted| noted.finding.id == id) else {
            return false;
        };
        finding.message.push_str(sentence);
        finding.evidence.insert(name.to_owned(), value);
        true
    }

    /// Takes the finding of that id back.
    pub fn withdraw(&mut self, id: &str) {
        self.0.retain(|noted| noted.finding.id != id);
    }

    /// In order: level, then traffic, then id; at most `limit`. Waived ones come last. Findings of one root become one,
    /// those that a waiver accepts aside: it may accept the difference in one service only.
    pub fn finish(mut self, waivers: &mut Waivers<'_>, limit: usize) -> Told {
        let gravest = |a: &Noted, b: &Noted| b.finding.level.cmp(&a.finding.level);
        self.0.sort_by(|a, b| a.finding.id.cmp(&b.finding.id).then(gravest(a, b)));
        self.0.dedup_by(|a, b| a.finding.id == b.finding.id);
        let mut told = Told::default();
        waivers.apply(self.0.iter_mut().map(|noted| &mut noted.finding));
        let counting: Vec<(String, Aspect)> = self
            .0
            .iter()
            .filter(|noted| noted.finding.level > Level::Info)
            .map(|noted| (noted.finding.id.clone(), noted.finding.aspect))
            .collect();
        // The nearest roots of those that have another behind it first, so that all of a root meet.
        let mut all = fold(fold(self.0, 2), 1);
        let folded = all.iter_mut().filter(|noted| !noted.folded.is_empty());
        waivers.apply(folded.map(|noted| &mut noted.finding));
        for noted in all.iter().filter(|noted| noted.finding.waived_by.is_some()) {
            told.accepted.extend(noted.folded.iter().chain([&noted.finding.id]).cloned());
        }
        for (_, aspect) in counting.iter().filter(|(id, _)| !told.accepted.contains(id)) {
            *told.open.entry(*aspect).or_default() += 1;
        }
        all.extend(waivers.findings().0);
        all.sort_by(|a, b| {
            let waived = a.finding.waived_by.is_some().cmp(&b.finding.waived_by.is_some());
            let level = b.finding.level.cmp(&a.finding.level);
            waived.then(level).then(b.traffic.cmp(&a.traffic)).then(a.finding.id.cmp(&b.finding.id))
        });
        told.cut = all.len().saturating_sub(limit);
        all.truncate(limit);
        told.findings = all.into_iter().map(|noted| noted.finding).collect();
        told
    }
}

/// Findings with so many roots, of whose nearest there are enough, become one each, which has their next root; the others lose
/// that root.
fn fold(all: Vec<Noted>, roots: usize) -> Vec<Noted> {
    let mut alone = Vec::new();
    let mut of_root: BTreeMap<(Aspect, Option<String>, String), Vec<Noted>> = BTreeMap::new();
    for noted in all {
        let nearest = noted.roots.first().filter(|_| noted.roots.len() == roots);
        match nearest.filter(|_| noted.finding.waived_by.is_none()) {
            Some(root) => {
                let key = (noted.finding.aspect, root.service.clone(), root.subject.clone());
                of_root.entry(key).or_default().push(noted);
            }
            None => alone.push(noted),
        }
    }
    for members in of_root.into_values() {
        match members.first().map_or(usize::MAX, |noted| noted.roots[0].least) {
            least if members.len() >= least => alone.extend(one_of(members)),
            _ => alone.extend(members.into_iter().map(|mut noted| {
                noted.roots.remove(0);
                noted
            })),
        }
    }
    alone
}

/// The finding that stands for others of the same root.
fn one_of(mut members: Vec<Noted>) -> Option<Noted> {
    members.sort_by(|a, b| b.traffic.cmp(&a.traffic).then(a.finding.id.cmp(&b.finding.id)));
    let first = members.first()?.clone();
    let root = first.roots.first()?.clone();
    let same = |of: &dyn Fn(&Finding) -> Option<String>| {
        let value = of(&first.finding);
        value.filter(|value| members.iter().all(|noted| of(&noted.finding).as_ref() == Some(value)))
    };
    // In one service the items differ; over services the services do.
    let service = same(&|finding| finding.service.clone());
    let name = |noted: &Noted| match (&noted.roots[0].member, &service) {
        (Some(member), _) => Some(member.clone()),
        (None, Some(_)) => noted.finding.item.clone(),
        (None, None) => noted.finding.service.clone(),
    };
    let names: BTreeSet<String> = members.iter().filter_map(name).collect();
    let kept: Vec<&str> = names.iter().take(FOLDED_KEPT).map(String::as_str).collect();
    let more = match names.len().saturating_sub(FOLDED_SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let list = kept[..kept.len().min(FOLDED_SHOWN)].join(", ") + &more;
    let message = match (&root.service, &service) {
        (Some(_), _) => format!("{}: {list}.", root.message),
        (None, Some(service)) => format!("{} in {service}: {list}.", root.message),
        (None, None) => format!("{} in {} services: {list}.", root.message, names.len()),
    };
    let mut evidence = first.finding.evidence.clone();
    evidence.retain(|key, value| members.iter().all(|noted| noted.finding.evidence.get(key) == Some(value)));
    evidence.insert("folded".to_owned(), kept.into());
    evidence.insert("folded_total".to_owned(), names.len().into());
    let finding = Finding {
        id: id_of(first.finding.aspect, root.service.as_deref(), None, &root.subject),
        level: members.iter().map(|noted| noted.finding.level).max()?,
        item: same(&|finding| finding.item.clone()),
        owner: same(&|finding| finding.owner.clone()),
        service,
        operation: None,
        title: root.title,
        message,
        action: root.action.to_owned(),
        evidence,
        ..first.finding
    };
    let traffic = members.iter().fold(0, |sum: u64, noted| sum.saturating_add(noted.traffic));
    let folded = members.into_iter().flat_map(|noted| [noted.folded, vec![noted.finding.id]].concat());
    Some(Noted { traffic, finding, roots: first.roots[1..].to_vec(), folded: folded.collect() })
}

/// What tells the suspicion of an operation of that kind from its verdict.
pub fn suspicion_of(kind: &str) -> String {
    format!("{kind} suspicion")
}

/// A relative change in words: `+23 %`.
pub fn change(ratio: f64) -> String {
    let percent = (ratio - 1.0) * 100.0;
    if percent.is_finite() { format!("{percent:+.0} %") } else { "?".to_owned() }
}

/// A duration in words.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 1e-3 => format!("{:.1} ms", s * 1e3),
        s => format!("{:.0} µs", s * 1e6),
    }
}

/// The findings of one operation.
pub fn of_operation(
    service: &str,
    result: &OperationResult,
    tolerances: &Tolerances,
    findings: &mut Findings,
) {
    let traffic = result.latency.n_baseline.max(result.latency.n_candidate);
    if result.latency.verdict == Verdict::Divergent {
        findings.add(slower_or_faster(service, result, tolerances, traffic));
    }
    if let Some(suspicion) = result.latency.suspicion {
        looks_slower_or_faster(service, result, suspicion, traffic, findings);
    }
    if result.errors.verdict == Verdict::Divergent {
        let (base, cand) = (result.errors.baseline, result.errors.candidate);
        let worse = result.errors.delta.get().unwrap_or(0.0) > 0.0;
        let percent =
            |rate: Option<f64>| rate.map_or("–".to_owned(), |rate| format!("{:.2} %", rate * 100.0));
        let (low, high) =
            (result.errors.delta_low.get().unwrap_or(0.0), result.errors.delta_high.get().unwrap_or(0.0));
        findings.add(Draft {
            level: if worse { Level::Critical } else { Level::Warning },
            aspect: Aspect::Errors,
            service: Some(service),
            operation: Some(&result.operation),
            subject: &result.kind,
            title: format!("{} more often", if worse { "fails" } else { "succeeds" }),
            message: format!(
                "{} {} fails for {} of {} requests, {} in the baseline: a difference between {:+.2} and {:+.2} \
                 percentage points.",
                service,
                result.operation,
                percent(cand.rate.get()),
                cand.n,
                percent(base.rate.get()),
                low * 100.0,
                high * 100.0
            ),
            action: "Look at the candidate's failed spans of this operation and at what it depends on.",
            evidence: numbers([
                ("baseline_rate", base.rate.get()),
                ("candidate_rate", cand.rate.get()),
                ("delta", result.errors.delta.get()),
                ("delta_low", result.errors.delta_low.get()),
                ("delta_high", result.errors.delta_high.get()),
                ("p_value", result.errors.p_value.get()),
                ("tolerance", Some(tolerances.errors(base.rate.get().unwrap_or(0.0)))),
            ]),
            traffic,
        });
    }
}

fn slower_or_faster<'a>(
    service: &'a str,
    result: &'a OperationResult,
    tolerances: &Tolerances,
    traffic: u64,
) -> Draft<'a> {
    // The quantile that is most surely off says it best: that whose interval lies furthest from equality.
    let furthest = result.latency.quantiles.iter().filter(|at| at.ratio.get().is_some()).max_by(|a, b| {
        let sure = |at: &&QuantileResult| {
            let above = at.ratio_low.get().map_or(f64::NEG_INFINITY, f64::ln);
            let below = at.ratio_high.get().map_or(f64::NEG_INFINITY, |high| -high.ln());
            above.max(below)
        };
        sure(a).total_cmp(&sure(b))
    });
    let slower = furthest.and_then(|at| at.ratio.get()).unwrap_or(1.0) >= 1.0;
    let d = result.latency.ks.map_or(0.0, |ks| ks.d);
    let message = match furthest {
        Some(at) => {
            let side = |value: Option<f64>| value.map_or("unbounded".to_owned(), change);
            format!(
                "{} {} has p{:.0} at {} instead of {}: {} [{}, {}], from {} and {} requests; D = {:.2}. Shown \
                 because {}.",
                service,
                result.operation,
                at.q * 100.0,
                duration(at.candidate_s.get().unwrap_or(0.0)),
                duration(at.baseline_s.get().unwrap_or(0.0)),
                change(at.ratio.get().unwrap_or(1.0)),
                side(at.ratio_low.get()),
                side(at.ratio_high.get()),
                result.latency.n_baseline,
                result.latency.n_candidate,
                d,
                result.latency.reason
            )
        }
        None => {
            format!(
                "{} {} has another distribution of durations: D = {d:.2}. Shown because {}.",
                service, result.operation, result.latency.reason
            )
        }
    };
    let mut evidence = numbers([
        ("q", furthest.map(|at| at.q)),
        (
            "tolerance",
            furthest.and_then(|at| Some(tolerances.or_floor(tolerances.at(at.q)?, at.baseline_s.get()?))),
        ),
        ("baseline_s", furthest.and_then(|at| at.baseline_s.get())),
        ("candidate_s", furthest.and_then(|at| at.candidate_s.get())),
        ("ratio", furthest.and_then(|at| at.ratio.get())),
        ("ratio_low", furthest.and_then(|at| at.ratio_low.get())),
        ("ratio_high", furthest.and_then(|at| at.ratio_high.get())),
        ("ks_d", result.latency.ks.map(|ks| ks.d)),
        ("p_adjusted", result.latency.ks.map(|ks| ks.p_adjusted)),
    ]);
    evidence.insert("n_baseline".to_owned(), result.latency.n_baseline.into());
    evidence.insert("n_candidate".to_owned(), result.latency.n_candidate.into());
    Draft {
        level: if slower { Level::Critical } else { Level::Warning },
        aspect: Aspect::Latency,
        service: Some(service),
        operation: Some(&result.operation),
        subject: &result.kind,
        title: if slower { "slower".to_owned() } else { "faster".to_owned() },
        message,
        action: match slower {
            true => "Compare traces of this operation in both environments; hold the release.",
            false => {
                "Make sure that the candidate still does the work: much faster can mean that some is skipped."
            }
        },
        evidence,
        traffic,
    }
}

fn looks_slower_or_faster(
    service: &str,
    result: &OperationResult,
    suspicion: Suspicion,
    traffic: u64,
    findings: &mut Findings,
) {
    let latency = &result.latency;
    let median = latency.quantiles.iter().find(|at| at.q == 0.5);
    let (base, cand) =
        median.and_then(|at| at.baseline_s.get().zip(at.candidate_s.get())).unwrap_or_default();
    findings.add(Draft {
        level: Level::Warning,
        aspect: Aspect::Latency,
        service: Some(service),
        operation: Some(&result.operation),
        subject: &suspicion_of(&result.kind),
        title: if suspicion.slower { "looks slower" } else { "looks faster" }.to_owned(),
        message: format!(
            "{service} {} looks outside of the tolerance: p50 is {} instead of {}. {} and {} requests are too few to \
             decide.",
            result.operation,
            duration(cand),
            duration(base),
            latency.n_baseline,
            latency.n_candidate
        ),
        action: "Send more requests to this operation, or look at its traces.",
        evidence: numbers([
            ("baseline_s", median.and_then(|at| at.baseline_s.get())),
            ("candidate_s", median.and_then(|at| at.candidate_s.get())),
            ("ks_d", latency.ks.map(|ks| ks.d)),
            ("p_corrected", Some(suspicion.p_value)),
        ]),
        traffic,
    });
}

/// Metrics that are told of, so that the attributes of their points need not be.
struct Metrics<'a>(BTreeSet<&'a str>);

impl<'a> Metrics<'a> {
    fn of(items: impl Iterator<Item = &'a ItemName>) -> Metrics<'a> {
        Metrics(items.filter(|item| item.kind == ItemKind::Metric).map(|item| &*item.name).collect())
    }

    /// Whether the item is an attribute of one of them.
    fn have(&self, item: &ItemName) -> bool {
        item.metric().is_some_and(|metric| self.0.contains(metric))
    }
}

/// What the candidate lacks of one service's telemetry.
pub fn of_coverage(
    service: &str,
    found: &ServiceCoverage,
    tolerance: f64,
    findings: &mut Findings,
    roots: &Roots<'_>,
) {
    let short = found.coverage.ratio < tolerance;
    let gone = Metrics::of(found.missing.iter().map(|(item, _)| item));
    for (item, count) in found.missing.iter().filter(|(item, _)| !gone.have(item)) {
        let draft = Draft {
            level: if short { Level::Critical } else { Level::Warning },
            aspect: Aspect::Presence,
            service: Some(service),
            operation: None,
            subject: &item.to_string(),
            title: format!("missing {}", item.kind.as_str()),
            message: format!(
                "{service} does not send {item} in the candidate; the baseline sent it {count} time(s)."
            ),
            action: "Check the candidate's instrumentation and its exporters, or waive the difference.",
            evidence: BTreeMap::from([("baseline_count".to_owned(), (*count).into())]),
            traffic: *count,
        };
        findings.add_from(draft, roots.of_item(item));
    }
    // That a whole signal is missing is told once.
    let is_told = |item: &ItemName| {
        let same = |(missing, _): &(ItemName, u64)| Signal::of(missing.kind) == Signal::of(item.kind);
        roots.is_silent(item) && found.missing.iter().any(same)
    };
    let rare = Metrics::of(found.too_rare.iter().map(|rare| &rare.item));
    let follows = |item: &ItemName| is_told(item) || gone.have(item) || rare.have(item);
    for rare in found.too_rare.iter().filter(|rare| !follows(&rare.item)) {
        findings.add(not_seen_yet(service, rare, &rare.item.to_string()));
    }
}

/// What both environments have: in different forms, or no more.
pub fn of_shape(
    service: &str,
    found: &ServiceCoverage,
    findings: &mut Findings,
    (traffic, roots): (u64, &Roots<'_>),
) {
    let stopped_metrics = Metrics::of(found.stale.iter().map(|stale| &stale.item));
    for stale in found.stale.iter().filter(|stale| !stopped_metrics.have(&stale.item)) {
        findings.add(stopped(service, stale, &stale.item.to_string()));
    }
    for reshaped in &found.reshaped {
        let subject = format!("{}{PART}{}", reshaped.item, reshaped.field.as_str());
        let draft = match reshaped.values {
            Some(values) => of_another_cardinality(service, (reshaped, values), &subject, traffic),
            None => of_another_form(service, reshaped, &subject, traffic),
        };
        findings.add_from(draft, roots.of_form(reshaped));
    }
}

fn not_seen_yet<'a>(service: &'a str, rare: &TooRare, subject: &'a str) -> Draft<'a> {
    let TooRare { item, count, expected, needed, watch_s } = rare;
    let longer = watch_s.map_or(String::new(), |s| format!(" Watch for another {}.", span_of_time(s)));
    let mut evidence = numbers([
        ("expected", Some(*expected)),
        ("needed", Some(*needed)),
        ("watch_minutes", watch_s.map(|s| (s / 60.0).ceil())),
    ]);
    evidence.insert("baseline_count".to_owned(), (*count).into());
    Draft {
        level: Level::Info,
        aspect: Aspect::Presence,
        service: Some(service),
        operation: None,
        subject,
        title: format!("{} not seen yet", item.kind.as_str()),
        message: format!(
            "{service} has not sent {item} in the candidate; the baseline sent it {count} time(s), too rarely for its \
             absence to count.{longer}"
        ),
        action: "Watch for longer, or declare the item in a catalog.",
        evidence,
        traffic: *count,
    }
}

fn stopped<'a>(service: &'a str, stale: &Stale, subject: &'a str) -> Draft<'a> {
    let Stale { item, count, expected, age_s } = stale;
    let mut evidence = numbers([("age_s", Some(*age_s)), ("expected", Some(*expected))]);
    evidence.insert("count".to_owned(), (*count).into());
    Draft {
        level: Level::Warning,
        aspect: Aspect::Presence,
        service: Some(service),
        operation: None,
        subject,
        title: format!("{} has stopped", item.kind.as_str()),
        message: format!(
            "{service} sent {item} {count} time(s) in the candidate and has stopped: nothing for {}, where {expected:.0} \
             sightings would be expected.",
            span_of_time(*age_s)
        ),
        action: "Look for what changed then: a worker that died, a feature that was turned off, an exporter that fails.",
        evidence,
        traffic: *count,
    }
}

fn of_another_form<'a>(service: &'a str, reshaped: &Reshaped, subject: &'a str, traffic: u64) -> Draft<'a> {
    let Reshaped { item, field, baseline, candidate, .. } = reshaped;
    let word = field.as_str();
    let minor = matches!(field, Field::Scale | Field::SchemaUrl);
    let compared = match field {
        Field::Temporality => " What was counted is compared all the same.",
        Field::Scale => " Senders fit it to the range of the values; its setting may be the same.",
        _ => "",
    };
    Draft {
        level: if minor { Level::Info } else { Level::Warning },
        aspect: Aspect::Shape,
        service: Some(service),
        operation: None,
        subject,
        title: format!("{} of another {word}", item.kind.as_str()),
        message: format!(
            "{service} sends {item} with {word} {candidate} in the candidate, and with {word} {baseline} in the \
             baseline.{compared}"
        ),
        action: "Bring the SDK and its views to the same version and settings on both sides.",
        evidence: BTreeMap::from([
            ("baseline".to_owned(), baseline.as_str().into()),
            ("candidate".to_owned(), candidate.as_str().into()),
            ("field".to_owned(), word.into()),
        ]),
        traffic,
    }
}

fn of_another_cardinality<'a>(
    service: &'a str,
    (reshaped, values): (&Reshaped, [usize; 2]),
    subject: &'a str,
    traffic: u64,
) -> Draft<'a> {
    let (item, costs) = (&reshaped.item, reshaped.multiplies_streams());
    let [base, cand] = values.map(|n| match n {
        1 => "one value".to_owned(),
        n if n > COUNTED_MOST => format!("over {COUNTED_MOST} different values"),
        n => format!("{n} different values"),
    });
    let mut evidence = BTreeMap::from([
        ("baseline".to_owned(), reshaped.baseline.as_str().into()),
        ("candidate".to_owned(), reshaped.candidate.as_str().into()),
        ("field".to_owned(), reshaped.field.as_str().into()),
    ]);
    let counts = ["baseline_values", "candidate_values"].into_iter().zip(values);
    let counted = counts.filter(|(_, n)| *n <= COUNTED_MOST);
    evidence.extend(counted.map(|(name, n)| (name.to_owned(), n.into())));
    Draft {
        level: if costs { Level::Warning } else { Level::Info },
        aspect: Aspect::Shape,
        service: Some(service),
        operation: None,
        subject,
        title: format!("{} of another cardinality", item.kind.as_str()),
        message: format!(
            "{service} sends {item} with {cand} in the candidate, and with {base} in the baseline.{}",
            if costs { " Each value is a time series of its own." } else { "" }
        ),
        action: match costs {
            true => "Look for an identifier among the values, and leave the attribute out by a view.",
            false => {
                "Look at what sets the attribute: an identifier in place of a constant, or the other way round."
            }
        },
        evidence,
        traffic,
    }
}

/// A length of time in words: `25 minutes`.
fn span_of_time(seconds: f64) -> String {
    let (n, unit) = match seconds {
        s if s < 60.0 => (s.ceil(), "second"),
        s if s < 2.0 * 3600.0 => ((s / 60.0).ceil(), "minute"),
        s if s < 48.0 * 3600.0 => ((s / 3600.0).ceil(), "hour"),
        s => ((s / 86_400.0).ceil(), "day"),
    };
    format!("{n} {unit}{}", if n == 1.0 { "" } else { "s" })
}

/// Named numbers; those that are not there are left out.
pub fn numbers<const N: usize>(pairs: [(&str, Option<f64>); N]) -> BTreeMap<String, serde_json::Value> {
    let present = pairs.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
    present.collect()
}
