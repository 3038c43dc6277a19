//! Error budgets, maintenance and alerts: what is told to whom, and when not.

use super::build::View;
use super::problem::Problems;
use super::schema::Kind;
use super::tree::Node;
use super::value;
use crate::alert::{AlertPolicy, SeverityRule};
use crate::judge::Level;
use crate::judge::maintenance::{Maintenance, When};
use crate::judge::slo::{BURN_RULES, BurnRule, Severity, Slo};
use crate::judge::verdict::Aspect;
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;

/// Objectives that a file may have.
const SLOS_MOST: usize = 64;
/// Rules of one objective.
const RULES_MOST: usize = 8;
/// Maintenances that a file may have.
const MAINTENANCES_MOST: usize = 100;

/// The sections in a list under `name`, each with the table of its keys; what is beyond `most` is a problem.
fn sections<'a>(
    parent: &View<'a>,
    key: &str,
    name: &str,
    most: usize,
    problems: &mut Problems,
) -> Vec<View<'a>> {
    let keys = match parent.key(name).map(|key| key.kind) {
        Some(Kind::List(Kind::Section(keys))) => *keys,
        _ => &[],
    };
    let items = parent.child(name).map_or(&[][..], Node::items);
    if let Some(first) = items.get(most) {
        let message = format!("{key}.{name}: has {} entries, and {most} is the most", items.len());
        problems.push(first.place.problem(message, Some("join some with *".to_owned())));
    }
    items.iter().take(most).map(|node| View { node: Some(node), keys }).collect()
}

pub(super) fn slos(parity: &View<'_>, problems: &mut Problems) -> Vec<Slo> {
    let mut slos: Vec<Slo> = Vec::new();
    for view in sections(parity, "parity", "slos", SLOS_MOST, problems) {
        let (service, aspect) = (view.said("service"), view.said("aspect"));
        let usual = match (&aspect, &service) {
            (Some(aspect), Some(service)) => format!("{aspect} of {service}"),
            (Some(one), None) | (None, Some(one)) => one.clone(),
            (None, None) => "parity".to_owned(),
        };
        let name = view.said("name").unwrap_or(usual);
        if let Some(node) = view.node.filter(|_| slos.iter().any(|known| known.name == name)) {
            let hint = Some("give each a name of its own".to_owned());
            problems.push(node.place.problem(format!("parity.slos: the name {name:?} is there twice"), hint));
        }
        let rules = sections(&view, "parity.slos", "burn", RULES_MOST, problems);
        let rules: Vec<BurnRule> = rules.iter().map(|rule| burn(rule, problems)).collect();
        slos.push(Slo {
            name,
            comparison: view.said("comparison"),
            service,
            aspect: aspect.as_deref().and_then(aspect_of),
            target: view.number("target"),
            period_ns: nanoseconds(&view, "period"),
            burn: if view.says("burn") { rules } else { BURN_RULES.to_vec() },
        });
    }
    slos
}

fn burn(view: &View<'_>, problems: &mut Problems) -> BurnRule {
    let (long_ns, short_ns) = (nanoseconds(view, "long"), nanoseconds(view, "short"));
    if let Some(node) = view.node.filter(|_| short_ns > long_ns) {
        let hint = Some("a twelfth of `long` is usual".to_owned());
        problems.push(node.place.problem("parity.slos.burn: `short` is longer than `long`", hint));
    }
    let severity = severity_of(&view.text("severity")).unwrap_or(Severity::Page);
    BurnRule { long_ns, short_ns, rate: view.number("rate"), severity }
}

pub(super) fn maintenance(parity: &View<'_>, problems: &mut Problems) -> Vec<Maintenance> {
    let mut all = Vec::new();
    for view in sections(parity, "parity", "maintenance", MAINTENANCES_MOST, problems) {
        match when(&view) {
            Ok(when) => all.push(Maintenance {
                comparison: view.said("comparison"),
                service: view.said("service"),
                when,
            }),
            Err((key, message)) => {
                let place = view.child(key).or(view.node).map(|node| &node.place);
                let hint = "for example {days: [sun], from: '02:00', to: '04:00', timezone: Europe/Berlin}, or \
                            {start: 2027-01-31T22:00:00Z, end: 2027-02-01T04:00:00Z}";
                let problem = |place: &super::tree::Place| {
                    place.problem(format!("parity.maintenance: {message}"), Some(hint.to_owned()))
                };
                place.map(problem).into_iter().for_each(|problem| problems.push(problem));
            }
        }
    }
    all
}

fn when(view: &View<'_>) -> Result<When, (&'static str, String)> {
    let once = view.says("start") || view.says("end");
    let weekly = ["days", "from", "to", "timezone"].into_iter().find(|key| view.says(key));
    match (once, weekly) {
        (true, Some(key)) => Err((key, format!("`{key}` is of a weekly one, and this one is once"))),
        (true, None) => {
            let time = |key| view.said(key).as_deref().and_then(value::time_ns);
            match time("start").zip(time("end")) {
                Some((start, end)) if start < end => Ok(When::Once(start, end)),
                Some(_) => Err(("end", "it ends before it begins".to_owned())),
                None => Err(("start", "one that is once needs `start` and `end`".to_owned())),
            }
        }
        (false, _) => {
            let (from, to) = (clock(view, "from")?, clock(view, "to")?);
            let zone = view.text("timezone");
            let zone = TimeZone::get(&zone)
                .map_err(|_| ("timezone", format!("{zone:?} is no time zone that is known")))?;
            let days: Vec<Weekday> = view.list("days").iter().filter_map(|name| weekday(name)).collect();
            match days.is_empty() {
                true => Err(("days", "a weekly one needs `days`".to_owned())),
                false => Ok(When::Weekly { days, from, to, zone }),
            }
        }
    }
}

fn clock(view: &View<'_>, key: &'static str) -> Result<Time, (&'static str, String)> {
    let text = view.said(key).ok_or_else(|| (key, format!("a weekly one needs `{key}`")))?;
    // YAML reads 22:00 without quotes as text too.
    Time::strptime("%H:%M", &text).map_err(|_| (key, format!("{text:?} is no time of day such as 22:00")))
}

fn weekday(name: &str) -> Option<Weekday> {
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let at = days.iter().position(|day| *day == name)?;
    Weekday::from_monday_zero_offset(i8::try_from(at).ok()?).ok()
}

/// Whom alerts are told, and how.
pub(super) fn alerts(parity: &View<'_>, problems: &mut Problems) -> AlertPolicy {
    let view = parity.section("alerts");
    let rules = sections(&view, "parity.alerts", "severities", RULES_MOST * RULES_MOST, problems);
    let rule = |rule: &View<'_>| SeverityRule {
        service: rule.said("service"),
        aspect: rule.said("aspect").as_deref().and_then(aspect_of),
        level: rule.said("level").and_then(|level| match level.as_str() {
            "info" => Some(Level::Info),
            "warning" => Some(Level::Warning),
            "critical" => Some(Level::Critical),
            _ => None,
        }),
        severity: severity_of(&rule.text("severity")),
    };
    for node in rules.iter().filter(|rule| !rule.says("severity")).filter_map(|rule| rule.node) {
        let hint = Some("write severity: page, ticket or none".to_owned());
        problems.push(node.place.problem("parity.alerts.severities: one says no severity", hint));
    }
    AlertPolicy {
        open_after: view.count("open_after") as u64,
        close_after: view.count("close_after") as u64,
        resolve_timeout_ns: nanoseconds(&view, "resolve_timeout"),
        max_open: view.count("max_open"),
        severities: rules.iter().map(rule).collect(),
        runbooks: view.text("runbooks"),
        page: view.said("page"),
        tenant: None,
    }
}

fn nanoseconds(view: &View<'_>, name: &str) -> u64 {
    view.duration(name).as_nanos() as u64
}

fn severity_of(word: &str) -> Option<Severity> {
    [Severity::Ticket, Severity::Page].into_iter().find(|severity| severity.as_str() == word)
}

fn aspect_of(word: &str) -> Option<Aspect> {
    Aspect::ALL.into_iter().find(|aspect| aspect.as_str() == word)
}

/// Whether an exporter is one for alerts, by its id.
pub(super) fn takes_alerts(id: &str) -> bool {
    matches!(id.split('/').next(), Some("alertmanager" | "webhook"))
}

/// Alerts go to exporters for alerts, and everything else to others: tells of an exporter that is named in the wrong place.
pub(super) fn misplaced(view: &View<'_>, name: &str, key: &str, alerts: bool, problems: &mut Problems) {
    for item in view.child(name).map_or(&[][..], Node::items) {
        let Some(id) = item.text().filter(|id| takes_alerts(id) != alerts) else { continue };
        let (what, hint) = match alerts {
            true => ("takes no alerts", "name an alertmanager or webhook exporter"),
            false => ("takes alerts only", "name it under parity.alerts.exporters"),
        };
        problems.push(item.place.problem(format!("{key}: `{id}` {what}"), Some(hint.to_owned())));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Content, Loaded, Problems, Source, load};
    use super::*;

    fn read(text: &str) -> Result<Loaded, Problems> {
        load(&[Source { name: "a.yaml".to_owned(), text: text.to_owned() }], &[], &|_| None)
    }

    #[track_caller]
    fn problem(text: &str) -> String {
        read(text).expect_err("this text has problems").to_string()
    }

    #[test]
    fn the_table_of_keys_has_every_aspect() {
        let words: Vec<&str> = Aspect::ALL.into_iter().map(Aspect::as_str).collect();
        assert_eq!(words, super::super::schema::alerts::ASPECTS);
    }

    #[test]
    fn objectives_have_names_defaults_and_rules_of_their_own() {
        let config = read(
            "parity:\n  slos:\n    - {}\n    - {service: 'shop/*', aspect: latency, target: 0.95, period: 7d}\n    \
             - {name: x, burn: [{long: 2h, short: 10m, rate: 6, severity: ticket}, {}]}\n",
        );
        let slos = config.unwrap().config.policy.slos;
        let names: Vec<&str> = slos.iter().map(|slo| &*slo.name).collect();
        assert_eq!(names, ["parity", "latency of shop/*", "x"]);
        assert_eq!((slos[0].target, slos[0].period_ns), (0.99, 30 * 86_400_000_000_000));
        assert_eq!((&slos[0].burn[..], slos[1].aspect), (&BURN_RULES[..], Some(Aspect::Latency)));
        let minutes = |n: u64| n * 60_000_000_000;
        let own =
            BurnRule { long_ns: minutes(120), short_ns: minutes(10), rate: 6.0, severity: Severity::Ticket };
        assert_eq!(slos[2].burn, [own, BURN_RULES[0]]);
    }

    #[test]
    fn alerts_are_read_with_defaults_and_go_to_receivers_of_alerts() {
        let config = read(
            "exporters:\n  alertmanager: {endpoint: 'http://am:9093/'}\n  webhook/a: {endpoint: 'https://h/x/'}\n\
             parity:\n  alerts:\n    exporters: [alertmanager, webhook/a]\n    severities: [{aspect: facts, severity: none}]\n",
        );
        let config = config.unwrap().config;
        assert_eq!(config.alert_exporters, ["alertmanager", "webhook/a"]);
        let exporters = &config.exporters;
        assert_eq!(
            (&*exporters["alertmanager"].url, &*exporters["webhook/a"].url),
            ("http://am:9093", "https://h/x/")
        );
        assert_eq!(exporters["webhook/a"].content, Content::Webhook);
        assert_eq!(exporters["alertmanager"].queue.consumers, 1);
        let alerts = config.alerts;
        assert_eq!((alerts.open_after, alerts.close_after, alerts.max_open), (2, 3, 200));
        assert_eq!((alerts.resolve_timeout_ns, &*alerts.runbooks), (300_000_000_000, "docs/runbooks"));
        let rule = SeverityRule { service: None, aspect: Some(Aspect::Facts), level: None, severity: None };
        assert_eq!(alerts.severities, [rule]);
    }

    #[test]
    fn what_alerts_cannot_be_is_told_where_it_stands() {
        let exporters = "exporters: {otlp: {endpoint: a:1}, webhook: {endpoint: 'http://a'}}\n";
        for (text, expected) in [
            ("parity: {alerts: {exporters: [otlp]}}", "parity.alerts.exporters: `otlp` takes no alerts"),
            ("parity: {exporters: [webhook]}", "parity.exporters: `webhook` takes alerts only"),
            (
                "receivers: {otlp: {protocols: {grpc: }}}\nservice: {pipelines: {logs: {receivers: [otlp], exporters: [webhook]}}}",
                "service.pipelines.logs: `webhook` takes alerts only",
            ),
            ("parity: {alerts: {exporters: [webhok]}}", "`webhok` is not defined under exporters"),
            ("parity: {alerts: {severities: [{level: info}]}}", "one says no severity"),
            ("parity: {slos: [{}, {}]}", "the name \"parity\" is there twice"),
            ("parity: {slos: [{burn: [{long: 5m, short: 1h}]}]}", "`short` is longer than `long`"),
            (
                "parity: {slos: [{target: 1}]}",
                "parity.slos[0].target: \"1\" is not a number between 0.5 and 0.99999",
            ),
        ] {
            let found = problem(&format!("{exporters}{text}\n"));
            assert!(found.contains(expected), "{text}: {found}");
        }
        let many = format!("parity: {{slos: [{}]}}\n", "{}, ".repeat(SLOS_MOST + 1));
        assert!(problem(&many).contains("parity.slos: has 65 entries, and 64 is the most"));
    }

    #[test]
    fn a_maintenance_is_once_or_weekly_and_whole() {
        let of = |text: &str| read(&format!("parity: {{maintenance: [{text}]}}\n"));
        let weekly =
            of("{days: [sat, sun], from: 22:00, to: '04:30', timezone: Europe/Berlin, service: web}");
        let weekly = weekly.unwrap().config.policy.maintenance;
        let When::Weekly { days, from, to, zone } = &weekly[0].when else { panic!("{weekly:?}") };
        assert_eq!((days.len(), from.hour(), to.minute()), (2, 22, 30));
        assert_eq!((zone.iana_name(), weekly[0].service.as_deref()), (Some("Europe/Berlin"), Some("web")));
        let once = of("{start: 2027-01-31, end: 2027-02-01}").unwrap().config.policy.maintenance;
        assert!(matches!(once[0].when, When::Once(start, end) if end - start == 86_400_000_000_000));
        for (text, expected) in [
            ("{}", "a weekly one needs `from`"),
            ("{from: 22:00, to: 23:00}", "a weekly one needs `days`"),
            ("{days: [sun], from: 25:00, to: 23:00}", "is no time of day such as 22:00"),
            ("{days: [sun], from: 1:00, to: 2:00, timezone: Mars/Base}", "\"Mars/Base\" is no time zone"),
            ("{start: 2027-01-31}", "needs `start` and `end`"),
            ("{start: 2027-01-31, end: 2027-01-30}", "it ends before it begins"),
            ("{start: 2027-01-31, end: 2027-02-01, days: [sun]}", "`days` is of a weekly one"),
            ("{days: [sunday], from: 1:00, to: 2:00}", "is not one of mon, tue"),
        ] {
            let found = of(text).expect_err("a problem").to_string();
            assert!(found.contains(expected), "{text}: {found}");
        }
    }
}
