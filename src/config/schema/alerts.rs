//! The keys of error budgets, maintenance and alerts.

use super::{AUTH_CLIENT, DAY, HOUR, Kind, SECOND, TLS_CLIENT, key};
use Kind::*;

/// An Alertmanager.
pub(super) const ALERTMANAGER: Kind = Section(&[
    key("endpoint", Url, "", "The base URL, such as http://alertmanager:9093; /api/v2/alerts is appended."),
    key("headers", Map(&Secret), "", "Headers to send along."),
    key("tls", TLS_CLIENT, "", "How to connect."),
    key("auth", AUTH_CLIENT, "", "Who isotel says it is."),
    key("timeout", Duration(1_000_000, HOUR), "10s", "How long one attempt may take."),
    key("retry_on_failure", ALERT_RETRY, "", "When to try again."),
]);

/// A receiver of alerts that speaks no other language than JSON.
pub(super) const WEBHOOK: Kind = Section(&[
    key("endpoint", Url, "", "The URL that is posted to, as it is."),
    key("headers", Map(&Secret), "", "Headers to send along, such as a token."),
    key("tls", TLS_CLIENT, "", "How to connect."),
    key("auth", AUTH_CLIENT, "", "Who isotel says it is."),
    key("timeout", Duration(1_000_000, HOUR), "10s", "How long one attempt may take."),
    key("retry_on_failure", ALERT_RETRY, "", "When to try again."),
]);

const ALERT_RETRY: Kind = Section(&[
    key("enabled", Bool, "true", "Whether to retry at all."),
    key("initial_interval", Duration(1_000_000, HOUR), "1s", "The first wait."),
    key("randomization_factor", Number(0.0, 1.0), "0.5", "How much a wait may be off, as a share."),
    key("multiplier", Number(1.0, 100.0), "1.5", "How much longer the next wait is."),
    key("max_interval", Duration(1_000_000, DAY), "10s", "The longest wait."),
    key(
        "max_elapsed_time",
        Duration(0, DAY),
        "1m",
        "After which time a message is given up, 0 for never; the next one says all that it said.",
    ),
]);

/// The aspects by their words.
pub(in crate::config) const ASPECTS: &[&str] =
    &["latency", "errors", "volume", "mix", "presence", "shape", "value", "facts", "sampling", "structure"];

const SEVERITY: Kind = Word(&["page", "ticket"]);

pub(super) const SLO: Kind = Section(&[
    key("name", Text, "", "Its name; without it, made of the aspect and the services."),
    key("comparison", Text, "", "In which comparisons; * for any run of characters; in all without it."),
    key(
        "service",
        Text,
        "",
        "Which services, each with a budget of its own; without it, the comparison as a whole.",
    ),
    key("aspect", Word(ASPECTS), "", "Which aspect; without it, the verdict of all."),
    key("target", Number(0.5, 0.99999), "0.99", "The share of judged looks that must not be divergent."),
    key("period", Duration(HOUR, 90 * DAY), "30d", "What the budget is for."),
    key(
        "burn",
        List(&Section(&[
            key("long", Duration(SECOND, 90 * DAY), "1h", "The window that shows that it matters."),
            key(
                "short",
                Duration(SECOND, 90 * DAY),
                "5m",
                "The window that shows that it is still going on.",
            ),
            key("rate", Number(0.1, 1e5), "3", "How many times as fast as the budget allows."),
            key("severity", SEVERITY, "page", "How soon somebody should look."),
        ])),
        "",
        "When spending it is an alert; without it, beyond 3 over 1h and 5m a page, beyond 1 over 6h and 30m a ticket.",
    ),
]);

pub(super) const MAINTENANCE: Kind = Section(&[
    key("comparison", Text, "", "In which comparisons; * for any run of characters; in all without it."),
    key("service", Text, "", "Of which services; of all without it."),
    key("start", Time, "", "When it begins, of one that is once."),
    key("end", Time, "", "When it ends, of one that is once."),
    key(
        "days",
        List(&Word(&["mon", "tue", "wed", "thu", "fri", "sat", "sun"])),
        "",
        "On which days of the week it begins, of one that is weekly.",
    ),
    key("from", Text, "", "At what time of these days it begins, e.g. 22:00."),
    key("to", Text, "", "At what time it ends; on the next day where that is not later."),
    key("timezone", Text, "UTC", "Whose clock that is, e.g. Europe/Berlin."),
]);

pub(super) const ALERTS: Kind = Section(&[
    key("exporters", List(&Text), "[]", "Where alerts go: alertmanager and webhook exporters."),
    key(
        "open_after",
        Count(1, 1_000),
        "2",
        "At how many looks in a row something is there before its alert opens.",
    ),
    key("close_after", Count(1, 1_000), "3", "From how many looks in a row it is absent before it closes."),
    key(
        "resolve_timeout",
        Duration(10 * SECOND, DAY),
        "5m",
        "After how long without a word an alert is over; open ones are sent again after a third of it.",
    ),
    key("max_open", Count(1, 10_000), "200", "Alerts that are open at a time."),
    key(
        "severities",
        List(&Section(&[
            key("service", Text, "", "Of which services; * for any run of characters; of all without it."),
            key("aspect", Word(ASPECTS), "", "Of which aspect; of all without it."),
            key("level", Word(&["info", "warning", "critical"]), "", "Of which level; of all without it."),
            key("severity", Word(&["page", "ticket", "none"]), "", "How soon somebody should look."),
        ])),
        "[]",
        "How urgent findings are, later ones win; else critical is a page, warning a ticket, and info no alert.",
    ),
    key("runbooks", Text, "docs/runbooks", "Where the runbooks are; /latency.md and so on are appended."),
    key(
        "page",
        Url,
        "",
        "Where people reach the page of results, e.g. http://isotel:4319; alerts link to it.",
    ),
]);
