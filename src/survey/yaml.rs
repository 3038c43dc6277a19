//! A proposal as a configuration with comments that say what each part rests on.

use super::{Pair, Proposal, Split};
use crate::model::ServiceKey;
use crate::yaml::quoted;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Services that a comment names.
const NAMED_MAX: usize = 12;

/// Where the agent will listen.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// OTLP/gRPC.
    pub grpc: String,
    /// OTLP/HTTP.
    pub http: String,
}

/// The configuration; `seen` says in a sentence what it rests on.
pub fn to_yaml(proposal: &Proposal, endpoints: &Endpoints, seen: &str) -> String {
    let mut out = format!(
        "# Proposed by `isotel init`. {seen}\n\
         # docs/configuration.md has every key; after a change: `isotel validate --config FILE`.\n\
         \n\
         # Other machines reach other addresses than localhost; set tls and auth with those: docs/receiving.md.\n\
         receivers:\n  otlp:\n    protocols:\n      grpc:\n        endpoint: {}\n      http:\n        endpoint: {}\n\
         \n\
         # What arrives is judged and goes nowhere. To pass it on unchanged, name a next hop here, and in each pipeline\n\
         # `exporters: [otlp_grpc/next]`; under parity it gets scores, verdicts and findings.\n\
         # exporters:\n#   otlp_grpc/next:\n#     endpoint: https://collector.example:4317\n\
         \n\
         extensions:\n  # Whether it is ready.\n  health_check:\n    endpoint: localhost:13133\n  \
         # What it finds, for people.\n  page:\n    endpoint: localhost:4319\n\
         \n\
         service:\n  extensions: [health_check, page]\n  pipelines:\n",
        scalar(&endpoints.grpc),
        scalar(&endpoints.http),
    );
    for signal in crate::wire::Signal::ALL {
        let _ = writeln!(out, "    {}:\n      receivers: [otlp]", signal.as_str());
    }
    out.push_str("\nparity:\n");
    match &proposal.split {
        Some(split) => of_split(split, &proposal.services, &mut out),
        None => without_split(proposal, &mut out),
    }
    out.push_str(
        "\n  # How much difference is accepted; these are the defaults.\n  tolerances:\n    latency:\n      \
         quantiles: {p50: 0.15, p90: 0.15, p95: 0.15, p99: 0.15}\n      primary: [p50, p95]\n    errors:\n      \
         relative: 0.10\n      floor: 0.01\n",
    );
    out
}

fn of_split(split: &Split, services: &BTreeSet<ServiceKey>, out: &mut String) {
    let values: Vec<String> =
        split.environments.iter().map(|(name, n)| format!("{} ({n})", comment(name))).collect();
    let _ = writeln!(
        out,
        "  # {} tells environments apart. Its values, and how many items came with each:\n  # {}",
        comment(&split.attribute),
        values.join(", ")
    );
    out.push_str("  environment:\n");
    if split.is_default() {
        let _ = writeln!(out, "    attributes: [{}]", scalar(&split.attribute));
    } else {
        let _ = writeln!(
            out,
            "    attributes: []\n    rules:\n      # Narrow it with `value`, such as 1.4.*, and name the environment yourself.\n      \
             - attribute: {}\n        environment: \"{{value}}\"",
            scalar(&split.attribute)
        );
    }
    out.push_str("  comparisons:\n");
    for Pair { baseline, candidate, shared } in &split.pairs {
        let _ = writeln!(
            out,
            "    # Seen in both: {}.\n    - name: {}\n      baseline: {}\n      candidate: {}",
            names(shared),
            scalar(&format!("{baseline}-vs-{candidate}")),
            scalar(baseline),
            scalar(candidate)
        );
        let lacking: BTreeSet<ServiceKey> = services.difference(shared).cloned().collect();
        if !lacking.is_empty() {
            let _ = writeln!(out, "    # Not seen in both: {}.", names(&lacking));
        }
    }
}

fn without_split(proposal: &Proposal, out: &mut String) {
    let _ = writeln!(out, "  # Seen: {}.", names(&proposal.services));
    match proposal.named.first() {
        Some(only) if proposal.named.len() == 1 => {
            let _ = writeln!(out, "  # All of it is of the environment {}. A second one is compared with it as soon as it sends.", comment(only));
        }
        Some(_) => out.push_str("  # No service was seen in two environments. They are compared once two have the same services.\n"),
        None => out.push_str(
            "  # No resource names its environment. Let senders say it, for example with\n  \
             # OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=production, or write rules for what they do say:\n  \
             # environment:\n  #   rules:\n  #     - {attribute: k8s.cluster.name, environment: \"{value}\"}\n",
        ),
    }
    out.push_str("  comparisons: auto\n");
}

fn names(services: &BTreeSet<ServiceKey>) -> String {
    let mut named: Vec<String> =
        services.iter().take(NAMED_MAX).map(|service| comment(&service.to_string())).collect();
    if services.len() > NAMED_MAX {
        named.push(format!("and {} more", services.len() - NAMED_MAX));
    }
    named.join(", ")
}

/// Text that came from outside as a value; a dollar sign begins nothing.
fn scalar(text: &str) -> String {
    quoted(&text.replace('$', "$$"))
}

/// The same in a comment, which it must not end.
fn comment(text: &str) -> String {
    let one_line = |c: char| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c };
    if text.is_empty() { "(no name)".to_owned() } else { text.chars().map(one_line).collect() }
}
