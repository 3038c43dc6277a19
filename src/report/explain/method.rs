//! The question, the method and the tolerance behind each aspect's findings, in sentences.

use super::operations;
use crate::judge::{Aspect, Finding, Report};
use crate::report::format;

/// The question that the finding answers.
pub(super) fn question(report: &Report, finding: &Finding) -> String {
    let what = match (&finding.operation, &finding.service) {
        (Some(operation), Some(service)) => format!("{operation} of {service}"),
        (Some(operation), None) => operation.clone(),
        (None, Some(service)) => service.clone(),
        (None, None) => "every service".to_owned(),
    };
    let (baseline, candidate) = (&report.baseline.environment, &report.candidate.environment);
    match finding.aspect {
        Aspect::Latency => {
            format!("Does {what} take as long in {candidate} as in {baseline}, within the tolerance?")
        }
        Aspect::Errors => {
            format!("Does {what} fail as often in {candidate} as in {baseline}, within the tolerance?")
        }
        Aspect::Volume => {
            format!(
                "Are there as many requests to {what} in {candidate} as in {baseline}, within the tolerance?"
            )
        }
        Aspect::Mix => {
            format!(
                "Do the operations of {what} occur in the same proportions in {candidate} as in {baseline}?"
            )
        }
        Aspect::Presence => {
            format!("Does {what} send in {candidate} every kind of telemetry that it sends in {baseline}?")
        }
        Aspect::Shape => format!(
            "Does the telemetry of {what} have the same form in {candidate} as in {baseline}: type, unit, \
             temporality, bounds, attribute keys?"
        ),
        Aspect::Value => {
            format!(
                "Do the metrics of {what} say the same in {candidate} as in {baseline}, within the tolerance?"
            )
        }
        Aspect::Facts => {
            format!(
                "Do the resources of {what} name the same artifact, runtime and place in {candidate} as in {baseline}?"
            )
        }
        Aspect::Sampling => {
            format!("Are the spans of {what} kept with the same probability in {candidate} as in {baseline}?")
        }
        Aspect::Structure => {
            if is_share(finding) {
                return format!("Do the traces of {what} hang together in {candidate} as in {baseline}?");
            }
            format!("Does one request to {what} lead to as many calls in {candidate} as in {baseline}?")
        }
    }
}

/// Whether a finding of structure is about a share and not about calls.
fn is_share(finding: &Finding) -> bool {
    finding.evidence.contains_key("baseline_share")
}

/// The method by which an aspect is judged, with its source.
pub(super) fn formulas(aspect: Aspect) -> &'static [&'static str] {
    match aspect {
        Aspect::Latency => &[
            "For each quantile q, θ = ln(candidate / baseline). Its 90 % interval [l, u] joins the order-statistic \
             intervals of both sides (MOVER, Zou & Donner 2008); requests of one instance are not independent, so \
             the intervals rest on n divided by the design effect.",
            "Two one-sided tests (Schuirmann 1987): parity if -ln(1 + tol) < l and u < ln(1 + tol); divergent if \
             l > ln(1 + tol) or u < -ln(1 + tol), after correction for how many operations were looked at; else \
             inconclusive.",
            "Guard of the whole shape: divergent too if a one-sided Kolmogorov-Smirnov test, one side scaled by \
             1 + tol, rejects at the corrected level and D ≥ 0.10. It never makes parity.",
        ],
        Aspect::Errors => &[
            "θ = candidate's error rate - baseline's. Its 90 % score interval [l, u] is that of Miettinen & \
             Nurminen (1985), on counts divided by the design effect.",
            "Parity if -tol < l and u < tol; divergent if l > tol or u < -tol, after correction for how many \
             operations were looked at; else inconclusive. tol is the greater of a share of the baseline's rate \
             and a floor in percentage points.",
        ],
        Aspect::Volume => &[
            "The ratio of requests per second, candidate over baseline, is held against the tolerance around what is \
             expected; its variance over stretches of time is that of the linearised ratio estimator (Cochran 1977), at \
             least Poisson's. Traffic is steered by people, so volume is only judged where the configuration asks for it.",
        ],
        Aspect::Mix => &[
            "Each operation's share of its service's requests on both sides; their distance is that of Jensen and \
             Shannon (base 2, from 0 for the same proportions to 1 for none in common).",
        ],
        Aspect::Presence => &[
            "Every metric, span, log record and attribute that the baseline has, or that the catalog names, is \
             looked for on the candidate's side. Coverage is what is present over what is expected.",
        ],
        Aspect::Shape => &[
            "For telemetry that both sides have, type, unit, temporality, bucket bounds, attribute keys and how many \
             different values these have are compared; any difference is named.",
        ],
        Aspect::Value => &[
            "Each window is one observation of the statistic; adjacent windows are taken together where there are more than \
             12. θ = ln(candidate / baseline) of the means over windows, or their difference where an absolute floor is \
             the wider tolerance or a mean is not positive. Its variance is the greatest of those between windows, \
             episodes and instances (Cochran 1977), with Student's t (Welch 1947).",
            "Parity if the 90 % interval lies inside of the tolerance; divergent if a difference beyond it is shown, after \
             correction; else inconclusive. Where nothing varies, and for ratios that the baseline has at the top, the \
             windows beyond all of the other side's are counted instead (exceedances, Rosenbaum 1954).",
        ],
        Aspect::Facts => &[
            "Facts are what resources, instrumentation scopes, info metrics and feature flags said in the windows that \
             are judged. The values of a key are compared as sets, by the key's rule in parity.facts; a flag's variants \
             by how often each was the answer. A broken rule of severity critical makes the comparison divergent, one \
             of severity warning the aspect.",
        ],
        Aspect::Sampling => {
            &["Each span stands for 1/p spans, p being the probability in its tracestate (W3C, `ot=th:…`). \
             Environments that keep spans with different p see different parts of the same traffic."]
        }
        Aspect::Structure => &[
            "r = calls over requests that come in, on each side; its variance over stretches of time is that of the \
             linearised ratio estimator (Cochran 1977), at least Poisson's. θ = ln(candidate's r / baseline's r).",
            "Divergent if θ lies beyond ±ln 2 with a p-value (Student's t, Satterthwaite's degrees of freedom) that \
             survives the correction for how many operations were looked at; parity if its interval lies between. The \
             number of calls follows the mix of requests, so that smaller differences are no defect.",
            "A dependency (all calls to one peer) is missing or new if the other side's requests let expect ln(m/0.05) \
             calls to it or more, m being the number of dependencies, and there is none; calls in bursts count for less.",
            "The shares of incoming requests without a parent, and of spans whose parent never came, are compared with windows \
             as clusters (Miettinen & Nurminen 1985 on effective counts); parents are looked for in a sample of traces, a \
             minute or a window around the span. They decide nothing.",
        ],
    }
}

/// The tolerance of a finding, with the interval held against it where the aspect has one.
pub(super) fn tolerance(report: &Report, finding: &Finding) -> Vec<String> {
    let number = |name: &str| finding.evidence.get(name).and_then(serde_json::Value::as_f64);
    let value = number("tolerance");
    if let (Aspect::Value, None, Some(floor)) = (finding.aspect, value, number("floor")) {
        return vec![format!(
            "±{} on the difference, in the metric's unit.",
            crate::judge::value::figure(floor)
        )];
    }
    let Some(tolerance) = value.filter(|value| value.is_finite() && *value >= 0.0) else {
        return vec![match finding.aspect {
            Aspect::Structure if is_share(finding) => {
                "Five percentage points more than the baseline.".to_owned()
            }
            Aspect::Structure => "Twice as many calls, or half as many.".to_owned(),
            Aspect::Presence | Aspect::Shape | Aspect::Facts | Aspect::Sampling => {
                "Whatever is not waived counts; coverage has its own tolerance in the configuration."
                    .to_owned()
            }
            _ => {
                "The report does not name it; `isotel config print` shows the tolerances in force.".to_owned()
            }
        }];
    };
    match finding.aspect {
        Aspect::Latency => latency_tolerance(report, finding, tolerance),
        Aspect::Errors => vec![errors_tolerance(report, finding, tolerance)],
        Aspect::Value => vec![format!("{} on the ratio.", format::tolerance(tolerance))],
        _ => vec![format!("{}.", format::tolerance(tolerance))],
    }
}

fn latency_tolerance(report: &Report, finding: &Finding, tolerance: f64) -> Vec<String> {
    let bound = tolerance.ln_1p();
    let mut lines =
        vec![format!("{} on the ratio: ±ln(1 + {tolerance}) = ±{bound:.3}.", format::tolerance(tolerance))];
    for op in operations(report, finding) {
        for quantile in &op.latency.quantiles {
            let (Some(low), Some(high)) = (quantile.ratio_low.get(), quantile.ratio_high.get()) else {
                continue;
            };
            if low > 0.0 && high > 0.0 {
                let (low, high) = (low.ln(), high.ln());
                lines.push(format!(
                    "{}: [{low:+.3}, {high:+.3}] {} [{:+.3}, {bound:+.3}].",
                    format::quantile(quantile.q),
                    against(low, high, bound),
                    -bound
                ));
            }
        }
    }
    lines
}

fn errors_tolerance(report: &Report, finding: &Finding, tolerance: f64) -> String {
    let bound = format!("±{:.2} percentage points", tolerance * 100.0);
    let found = operations(report, finding)
        .find_map(|op| Some((op.errors.delta_low.get()?, op.errors.delta_high.get()?)));
    match found {
        None => format!("{bound}."),
        Some((low, high)) => format!(
            "{bound}: the interval {} {} it.",
            format::points_interval(Some(low), Some(high)),
            against(low, high, tolerance)
        ),
    }
}

/// How an interval lies to a symmetric tolerance.
fn against(low: f64, high: f64, bound: f64) -> &'static str {
    if low > -bound && high < bound {
        "lies inside of"
    } else if low > bound || high < -bound {
        "lies wholly outside of"
    } else {
        "reaches across an end of"
    }
}
