//! How a verdict came about: the question, the numbers, the formula, the tolerance, the sentence.

use super::words;
use crate::judge::verdict::{Aspect, Finding, OperationResult, Report, Verdict};

/// No finding has this id.
#[derive(Debug, thiserror::Error)]
#[error("no finding {id:?} in this verdict{hint}; `isotel explain VERDICT.json` lists them")]
pub struct UnknownFinding {
    id: String,
    hint: String,
}

/// Explains the whole verdict, or one finding of it.
///
/// # Errors
/// [`UnknownFinding`] when no finding has that id.
pub fn explain(report: &Report, id: Option<&str>) -> Result<String, UnknownFinding> {
    let Some(id) = id else { return Ok(whole(report)) };
    match report.findings.iter().find(|finding| finding.id == id) {
        Some(finding) => Ok(one(report, finding)),
        None => {
            let common = |known: &str| known.chars().zip(id.chars()).take_while(|(a, b)| a == b).count();
            let nearest = report.findings.iter().max_by_key(|f| common(&f.id)).filter(|f| common(&f.id) > 3);
            let hint = nearest.map_or(String::new(), |f| format!("; did you mean {}?", f.id));
            Err(UnknownFinding { id: id.to_owned(), hint })
        }
    }
}

fn whole(report: &Report) -> String {
    let mut text = format!(
        "{}\n\n{}\n\nVerdict. A comparison is divergent if any operation is, or a service lacks more telemetry than the \
         tolerance allows (waived differences aside). It is at parity if operations at parity carry 95 % of the \
         baseline's requests and no critical operation is open. Otherwise it is inconclusive.\n\n",
        words::verdict(report.verdict),
        report.summary
    );
    let (mut sum, mut weights) = (0.0, 0.0);
    for operation in report.services.iter().flat_map(|service| &service.operations) {
        let v = match operation.verdict {
            Verdict::Parity => 1.0,
            Verdict::Divergent => 0.0,
            Verdict::Inconclusive => 0.5,
            Verdict::NoData => continue,
        };
        let root = (operation.latency.n_baseline.max(operation.latency.n_candidate) as f64).sqrt();
        sum += v * root;
        weights += root;
    }
    let (expected, present) =
        report.services.iter().fold((0, 0), |(e, p), s| (e + s.coverage.expected, p + s.coverage.present));
    text.push_str(&format!(
        "Score. 100 · Σ v·c·√n / Σ c·√n over operations (v = 1 parity, ½ inconclusive, 0 divergent; c the weight from \
         the configuration, 1 unless set; n requests), times the coverage. A critical operation that diverges caps it \
         at 49. Here, with c = 1: 100 · {sum:.1} / {weights:.1} · {present}/{expected} → {:.1}\n\nAspects\n",
        report.score
    ));
    for (aspect, result) in &report.aspects {
        text.push_str(&format!(
            "  {aspect:<10} {:<15} {:.1}\n",
            words::verdict(result.verdict),
            result.score
        ));
    }
    text.push_str("\nFindings\n");
    if report.findings.is_empty() {
        text.push_str("  none\n");
    }
    for finding in &report.findings {
        text.push_str(&format!(
            "  {:<20} {:<11} {}\n",
            finding.id,
            words::level(finding.level),
            finding.message
        ));
    }
    text
}

fn one(report: &Report, finding: &Finding) -> String {
    let mut text = format!(
        "{}  {}  {}\n\n{}\n\n",
        words::level(finding.level),
        finding.id,
        finding.title,
        finding.message
    );
    text.push_str(&format!("Question. {}\n\n", question(finding.aspect)));
    text.push_str(&format!("Formula. {}\n\n", formula(finding.aspect)));
    if let Some(operation) = operation_of(report, finding) {
        text.push_str(&numbers(operation, finding.aspect));
    }
    text.push_str("Evidence\n");
    for (name, value) in &finding.evidence {
        text.push_str(&format!("  {name}: {value}\n"));
    }
    text.push_str(&format!("\nWhat to do. {}\n", finding.action));
    if let Some(waiver) = &finding.waived_by {
        text.push_str(&format!("Waived. {waiver}\n"));
    }
    text
}

fn operation_of<'a>(report: &'a Report, finding: &Finding) -> Option<&'a OperationResult> {
    let service =
        report.services.iter().find(|service| Some(&service.service) == finding.service.as_ref())?;
    let mut candidates =
        service.operations.iter().filter(|o| Some(&o.operation) == finding.operation.as_ref());
    let first = candidates.clone().next();
    candidates.find(|operation| operation.verdict == Verdict::Divergent).or(first)
}

fn question(aspect: Aspect) -> &'static str {
    match aspect {
        Aspect::Latency => {
            "At the primary quantiles, is the candidate's duration within the tolerance of the baseline's?"
        }
        Aspect::Errors => "Is the difference of error rates within max(relative · baseline's rate, floor)?",
        Aspect::Presence => {
            "Does the candidate send what the baseline sends, as far as its traffic could have shown it?"
        }
        Aspect::Shape => {
            "Is telemetry of one name of one form (instrument, temporality, unit) on both sides?"
        }
        Aspect::Sampling => "Are both sides' spans kept with the same probability?",
        Aspect::Volume | Aspect::Mix => {
            "Is the telemetry itself comparable: complete, on time, by the same clock?"
        }
        Aspect::Value => "Do ordinary metrics have the same values?",
        Aspect::Facts => "Do resources say the same of artifact, runtime and place?",
    }
}

fn formula(aspect: Aspect) -> &'static str {
    match aspect {
        Aspect::Latency => {
            "Two one-sided tests: parity iff the 90 % interval of ln(candidate/baseline) lies inside ±ln(1 + tolerance) \
             at every primary quantile. Intervals are distribution-free (order statistics; Woodruff), joined by MOVER, on \
             effective sizes n / DEFF. Divergent iff the p-value of a ratio beyond the tolerance, or of one-sided \
             Kolmogorov-Smirnov on the side scaled by the tolerance with D ≥ 0.10, stays at or under 0.05 after Bonferroni \
             in the series and Benjamini-Hochberg over the series."
        }
        Aspect::Errors => {
            "Miettinen & Nurminen's score interval of the difference, 90 %, on effective counts. Parity iff it lies inside \
             the tolerance; divergent iff the score test beyond the tolerance stays at or under 0.05 after \
             Benjamini-Hochberg over the series."
        }
        Aspect::Presence => {
            "An item is expected if at least 5 sightings are, at the candidate's share of traffic. Coverage = present / \
             expected, to be at least the tolerance."
        }
        _ => "Equality of what both sides send.",
    }
}

fn numbers(operation: &OperationResult, aspect: Aspect) -> String {
    let mut text = String::new();
    if aspect == Aspect::Latency {
        let latency = &operation.latency;
        text.push_str(&format!(
            "Numbers. {} and {} requests, from {}\n",
            latency.n_baseline,
            latency.n_candidate,
            latency.source.as_str()
        ));
        for at in &latency.quantiles {
            text.push_str(&format!("  p{:<4} {}\n", at.q * 100.0, words::quantile(at)));
        }
        if let Some(ks) = &latency.ks {
            text.push_str(&format!(
                "  D = {:.4} (between {:.4} and {:.4}), p = {:.2e}, divergence p adjusted = {:.2e}\n",
                ks.d, ks.d_low, ks.d_high, ks.p_value, ks.p_adjusted
            ));
        }
        if let Some(clusters) = &latency.clusters {
            text.push_str(&format!(
                "  instances {} and {}, design effect {:.2} and {:.2}\n",
                clusters.baseline, clusters.candidate, clusters.deff_baseline, clusters.deff_candidate
            ));
        }
        text.push_str(&format!("  {}\n\n", latency.reason));
    }
    if aspect == Aspect::Errors {
        text.push_str(&format!("Numbers. {}\n  {}\n\n", words::errors(operation), operation.errors.reason));
    }
    text
}
