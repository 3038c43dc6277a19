//! Ordinary metrics become values: the engine against a slow and obvious count of the same points.

use crate::build::*;
use isotel::engine::{Engine, Plan};
use isotel::judge::policy::{Policy, Statistic, ValueRule, Waiver};
use isotel::judge::verdict::ValueResult;
use isotel::judge::{Aspect, Finding, Level, Report, Verdict};
use isotel::model::{Instrument, Limits};
use isotel::report::to_json;
use isotel::wire::Signal;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::AggregationTemporality::{Cumulative, Delta};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, HistogramDataPoint, Metric, NumberDataPoint, Sum, Summary,
    SummaryDataPoint, number_data_point,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::{BTreeMap, BTreeSet};

fn number(start_ns: u64, time_ns: u64, value: f64, attributes: Vec<KeyValue>) -> NumberDataPoint {
    NumberDataPoint {
        attributes,
        start_time_unix_nano: start_ns,
        time_unix_nano: time_ns,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

fn named(name: &str, unit: &str, data: Data) -> Metric {
    Metric { name: name.to_owned(), unit: unit.to_owned(), data: Some(data), ..Metric::default() }
}

fn sum(
    name: &str,
    temporality: AggregationTemporality,
    is_monotonic: bool,
    data_points: Vec<NumberDataPoint>,
) -> Metric {
    let data = Sum { data_points, aggregation_temporality: temporality as i32, is_monotonic };
    named(name, "{row}", Data::Sum(data))
}

fn gauges(name: &str, unit: &str, data_points: Vec<NumberDataPoint>) -> Metric {
    named(name, unit, Data::Gauge(Gauge { data_points }))
}

fn rule(metric: &str) -> ValueRule {
    ValueRule {
        metric: Some(metric.to_owned()),
        service: None,
        tolerance: 0.10,
        floor: 0.0,
        per_request: false,
        statistic: None,
        by: Vec::new(),
        severity: Level::Critical,
        equal: None,
    }
}

fn asking(values: Vec<ValueRule>) -> Plan {
    Plan { policy: Policy { values, ..Policy::default() }, ..plan() }
}

fn judged(plan: Plan, requests: &[(Signal, Vec<u8>)]) -> Report {
    let mut engine = Engine::new(plan, 1);
    for (signal, request) in requests {
        assert_eq!(observe(&engine.ingest(), *signal, request), BTreeMap::new());
    }
    finish(&mut engine)
}

fn values(report: &Report) -> Vec<&ValueResult> {
    report.services.iter().flat_map(|service| &service.values).collect()
}

fn value<'r>(report: &'r Report, metric: &str, statistic: &str) -> &'r ValueResult {
    let found = values(report).into_iter().find(|v| v.metric == metric && v.statistic == statistic);
    found.unwrap_or_else(|| panic!("no {statistic} of {metric} in {:?}", values(report)))
}

fn about_values(report: &Report) -> Vec<&Finding> {
    report.findings.iter().filter(|finding| finding.aspect == Aspect::Value).collect()
}

/// One gauge point a window on both sides.
fn levels(metric: &str, unit: &str, baseline: &[f64], candidate: &[f64]) -> Vec<(Signal, Vec<u8>)> {
    let sides = [(PROD, baseline), (CANARY, candidate)];
    let requests = sides.iter().flat_map(|(sender, levels)| {
        levels.iter().enumerate().map(|(window, level)| {
            let time = T0 + window as u64 * MINUTE + 1;
            let points = vec![number(0, time, *level, Vec::new())];
            (Signal::Metrics, metrics(*sender, vec![gauges(metric, unit, points)]))
        })
    });
    requests.collect()
}

/// A point of a stream, in the terms that a naive count needs.
#[derive(Clone, Debug)]
struct Point {
    sender: Sender<'static>,
    stream: &'static str,
    metric: &'static str,
    window: u64,
    offset: u64,
    /// What happened since the last export, or how high the level is; thousandths.
    amount: i64,
    restart: bool,
}

fn point() -> impl Strategy<Value = Point> {
    let sender = (select(vec!["prod", "canary"]), select(vec!["a", "b", ""]))
        .prop_map(|(environment, instance)| Sender { environment, service: "cart", instance });
    let stream = select(vec!["x", "y"]);
    let metric = select(vec!["total", "delta", "level", "change"]);
    (sender, stream, metric, 0..5u64, 1..MINUTE, 0..100_000i64, prop::bool::weighted(0.1)).prop_map(
        |(sender, stream, metric, window, offset, amount, restart)| Point {
            sender,
            stream,
            metric,
            window,
            offset,
            amount,
            restart,
        },
    )
}

/// What a naive reader counts: by environment, metric, instance and window the sum in thousandths, and levels.
type Counted = BTreeMap<(String, String, String, u64), (i128, Vec<i64>)>;

/// The requests of some points in order of their time, and what they come to.
fn naive(mut points: Vec<Point>) -> (Vec<Vec<u8>>, Counted) {
    points.sort_by_key(|p| (p.window, p.offset));
    // Two exports of one stream at one time contradict each other.
    let mut taken = BTreeSet::new();
    points.retain(|p| taken.insert((p.sender, p.stream, p.metric, p.window, p.offset)));
    let (mut requests, mut counted) = (Vec::new(), Counted::new());
    let mut totals: BTreeMap<_, (u64, i64)> = BTreeMap::new();
    for p in &points {
        let time = T0 + p.window * MINUTE + p.offset;
        let attributes = vec![text("stream", p.stream)];
        let signed = if p.metric == "level" || p.metric == "change" { p.amount - 50_000 } else { p.amount };
        let thousandths = |n: i64| n as f64 / 1_000.0;
        let metric = match p.metric {
            "total" => {
                // Of a stream that began before all that is observed the first point would be a mark only.
                let state = totals.entry((p.sender, p.stream)).or_insert((time - 1, 0));
                if p.restart {
                    *state = (time - 1, 0);
                }
                state.1 += p.amount;
                let point = number(state.0, time, thousandths(state.1), attributes);
                sum("total", Cumulative, true, vec![point])
            }
            "delta" => {
                sum("delta", Delta, true, vec![number(time - 1, time, thousandths(signed), attributes)])
            }
            "change" => {
                sum("change", Delta, false, vec![number(time - 1, time, thousandths(signed), attributes)])
            }
            _ => gauges("level", "", vec![number(0, time, thousandths(signed), attributes)]),
        };
        requests.push(metrics(p.sender, vec![metric]));
        let key =
            (p.sender.environment.to_owned(), p.metric.to_owned(), p.sender.instance.to_owned(), p.window);
        let cell = counted.entry(key).or_default();
        cell.0 += i128::from(signed);
        cell.1.push(signed);
    }
    (requests, counted)
}

/// The same from the engine's windows.
fn counted(engine: &Engine, instances: &[&'static str]) -> Counted {
    let names = engine.names();
    let mut all = Counted::new();
    for window in engine.windows() {
        for ((environment, id), cell) in &window.values {
            for (instance, sketch) in &cell.instances {
                let named = instances.iter().find(|name| {
                    let hash = match name.is_empty() {
                        true => 0,
                        false => xxhash_rust::xxh3::xxh3_64(name.as_bytes()),
                    };
                    instance.0 == hash
                });
                let key = names.value_key(*id);
                let levels = match key.instrument {
                    Instrument::Level => (1..=sketch.count)
                        .map(|rank| sketch.quantile(rank as f64 / sketch.count as f64).expect("a level"))
                        .map(|level| (level * 1_000.0).round() as i64)
                        .collect(),
                    _ => Vec::new(),
                };
                let place = (
                    names.environments()[usize::from(environment.0)].to_string(),
                    key.metric.to_string(),
                    (*named.expect("a known instance")).to_owned(),
                    window.index - T0 / MINUTE,
                );
                assert_eq!(sketch.sum_nano % 1_000, 0, "thousandths are exact but for rounding");
                all.insert(place, (sketch.sum_nano / 1_000_000, levels));
            }
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn values_are_what_a_naive_count_finds_in_any_order_and_over_any_shards(
        points in vec(point(), 1..120),
        shards in 1..5usize,
        seed in any::<u64>(),
    ) {
        let (requests, mut expected) = naive(points);
        for (key, (_, levels)) in &mut expected {
            levels.sort_unstable();
            if key.1 != "level" {
                levels.clear();
            }
        }
        let mut engine = Engine::new(Plan { observed_from_ns: 0, ..plan() }, shards);
        let mut shuffled = requests.clone();
        shuffled.sort_by_key(|request| xxhash_rust::xxh3::xxh3_64_with_seed(request, seed));
        for request in &shuffled {
            observe(&engine.ingest(), Signal::Metrics, request);
        }
        engine.finish(NOW, GENERATED_AT);
        let found = counted(&engine, &["a", "b", ""]);
        // A counter that did not grow in a window where it was exported is a zero; a naive count may not have it.
        let grown = |all: Counted| -> Counted {
            all.into_iter().filter(|(_, (sum, levels))| *sum != 0 || !levels.is_empty()).collect()
        };
        prop_assert_eq!(grown(found), grown(expected));
    }

    #[test]
    fn the_report_of_values_is_the_same_bytes_in_any_order_and_over_any_shards(
        points in vec(point(), 1..80),
        shards in 2..5usize,
        seed in any::<u64>(),
    ) {
        let (requests, _) = naive(points);
        let report = |requests: &[Vec<u8>], shards: usize| {
            let mut rules = vec![rule("level"), rule("t*")];
            rules[1].statistic = Some(Statistic::Rate);
            rules[0].by = vec!["stream".to_owned()];
            let mut engine = Engine::new(asking(rules), shards);
            requests.iter().for_each(|request| drop(observe(&engine.ingest(), Signal::Metrics, request)));
            engine.finish(NOW, GENERATED_AT);
            engine.reports().next().map(|report| to_json(report))
        };
        let mut shuffled = requests.clone();
        shuffled.sort_by_key(|request| xxhash_rust::xxh3::xxh3_64_with_seed(request, seed));
        prop_assert_eq!(report(&requests, 1), report(&shuffled, shards));
    }
}

#[test]
fn a_configured_gauge_decides_and_one_that_nobody_asked_about_does_not() {
    let wobble = |centre: f64| (0..12).map(|i| centre + f64::from(i % 3)).collect::<Vec<_>>();
    for (candidate, verdict) in [(101.0, Verdict::Parity), (200.0, Verdict::Divergent)] {
        let sent = levels("queue.depth", "{job}", &wobble(100.0), &wobble(candidate));
        let report = judged(asking(vec![rule("queue.*")]), &sent);
        let found = value(&report, "queue.depth", "mean");
        assert!(found.configured && found.decides);
        assert_eq!((found.verdict, report.verdict), (verdict, verdict), "{}", report.summary);
        assert_eq!(report.aspects[&Aspect::Value].verdict, verdict);
        assert_eq!(report.score, if verdict == Verdict::Parity { 100.0 } else { 0.0 });
        let findings = report.findings.iter().filter(|finding| finding.level == Level::Critical).count();
        assert_eq!(findings, usize::from(verdict == Verdict::Divergent));
    }
    let sent = levels("queue.depth", "{job}", &wobble(100.0), &wobble(200.0));
    let report = judged(plan(), &sent);
    let found = value(&report, "queue.depth", "mean");
    assert_eq!((found.decides, found.verdict), (false, Verdict::Divergent));
    assert_eq!(report.verdict, Verdict::Inconclusive, "nothing was asked about, and something differs");
    let told: Vec<_> = about_values(&report).iter().map(|f| (f.level, f.item.as_deref())).collect();
    assert_eq!(told, [(Level::Warning, Some("metric queue.depth"))]);
    assert!(!report.aspects.contains_key(&Aspect::Value));
}

#[test]
fn a_waived_metric_takes_nothing_from_parity_aspect_service_or_score() {
    let sent = levels("queue.depth", "{job}", &[5.0, 6.0, 5.0, 6.0], &[50.0, 60.0, 50.0, 60.0]);
    let waived = |item: &str| {
        let mut plan = asking(vec![rule("queue.depth")]);
        plan.policy.waivers = vec![Waiver {
            aspect: Some("value".to_owned()),
            item: Some(item.to_owned()),
            reason: "bigger batches".to_owned(),
            owner: "queue".to_owned(),
            expires_ns: u64::MAX,
            ..Waiver::default()
        }];
        judged(plan, &sent)
    };
    let report = waived("metric queue.depth");
    let found = value(&report, "queue.depth", "mean");
    assert_eq!(
        (found.verdict, found.accepted),
        (Verdict::Divergent, true),
        "what was measured stays as it is"
    );
    let counted = [report.verdict, report.services[0].verdict, report.aspects[&Aspect::Value].verdict];
    assert_eq!(counted, [Verdict::Parity; 3], "{}", report.summary);
    assert_eq!((report.score, report.services[0].score), (100.0, 100.0));
    assert_eq!(about_values(&report)[0].waived_by.as_deref(), Some("bigger batches (queue)"));
    let other = waived("metric queue.age");
    assert_eq!((other.verdict, other.services[0].verdict), (Verdict::Divergent, Verdict::Divergent));
}

#[test]
fn at_severity_info_a_metric_is_told_of_and_decides_nothing() {
    let sent = levels("queue.depth", "{job}", &[5.0, 6.0, 5.0, 6.0], &[50.0, 60.0, 50.0, 60.0]);
    let mut asked = rule("queue.depth");
    asked.severity = Level::Info;
    let report = judged(asking(vec![asked]), &sent);
    let found = value(&report, "queue.depth", "mean");
    assert_eq!((found.verdict, found.decides, report.verdict), (Verdict::Divergent, false, Verdict::Parity));
    assert_eq!(report.findings[0].level, Level::Info);
}

#[test]
fn an_availability_that_falls_from_the_top_is_divergent_though_nobody_asked() {
    let full = [100.0; 12];
    let report = judged(plan(), &levels("up", "%", &full, &[91.0, 88.0, 98.0]));
    let found = value(&report, "up", "mean");
    assert_eq!((found.verdict, found.decides), (Verdict::Divergent, true), "{}", found.reason);
    assert_eq!(report.verdict, Verdict::Divergent);
    assert_eq!((report.findings[0].level, report.findings[0].aspect), (Level::Critical, Aspect::Value));

    // Two windows of three are no proof once there are more such metrics, and no parity either.
    let mut sent = levels("up", "%", &full, &[91.0, 88.0, 100.0]);
    sent.extend(levels("ready", "1", &[1.0; 12], &[1.0; 3]));
    let open = judged(plan(), &sent);
    assert_eq!(
        (value(&open, "up", "mean").verdict, open.verdict),
        (Verdict::Inconclusive, Verdict::Inconclusive)
    );
    let told: Vec<_> = about_values(&open).iter().map(|finding| finding.level).collect();
    assert_eq!(told, [Level::Warning]);
    assert!(value(&open, "ready", "mean").decides);

    // One window that is a little lower, and a unit that is no share, say nothing.
    let blip = judged(plan(), &levels("up", "%", &full, &[100.0, 99.5, 100.0]));
    assert_eq!((blip.verdict, about_values(&blip).len()), (Verdict::Parity, 0));
    let other = judged(plan(), &levels("up", "By", &full, &[91.0, 88.0, 98.0]));
    assert!(!value(&other, "up", "mean").decides);
}

#[test]
fn two_windows_decide_nothing_and_the_report_says_how_many_would() {
    let report = judged(asking(vec![rule("depth")]), &levels("depth", "", &[1.0; 9], &[7.0, 7.0]));
    let found = value(&report, "depth", "mean");
    assert_eq!((found.verdict, report.verdict), (Verdict::Inconclusive, Verdict::Inconclusive));
    assert_eq!(found.needs.map(|needs| needs.windows), Some(3));
}

#[test]
fn values_of_both_signs_and_zero_are_compared_by_their_difference() {
    let mut asked = rule("balance");
    (asked.tolerance, asked.floor) = (0.1, 2.0);
    for (candidate, verdict) in
        [([-1.0, 0.5, 0.5], Verdict::Parity), ([-9.0, -9.5, -8.5], Verdict::Divergent)]
    {
        let sent = levels("balance", "EUR", &[0.5, -0.5, 0.0, 0.0, 0.2, -0.2], &candidate);
        let report = judged(asking(vec![asked.clone()]), &sent);
        let found = value(&report, "balance", "mean");
        assert_eq!((found.verdict, found.ratio), (verdict, None), "{}", found.reason);
        assert!(found.difference_low <= found.difference && found.difference <= found.difference_high);
    }
}

#[test]
fn a_counter_is_a_rate_over_the_time_that_its_points_speak_of() {
    // 60 rows in each minute; on one side as delta points of ten seconds, on the other as one cumulative stream.
    let ten = 10_000 * MS;
    let delta: Vec<_> =
        (0..24).map(|i| number(T0 + i * ten, T0 + (i + 1) * ten - 1, 10.0, Vec::new())).collect();
    let total: Vec<_> =
        (0..4).map(|i| number(T0, T0 + (i + 1) * MINUTE - 1, 60.0 * (i + 1) as f64, Vec::new())).collect();
    let sent = [
        (Signal::Metrics, metrics(PROD, vec![sum("rows", Delta, true, delta)])),
        (Signal::Metrics, metrics(CANARY, vec![sum("rows", Cumulative, true, total)])),
    ];
    let report = judged(plan(), &sent);
    let found = value(&report, "rows", "rate");
    assert_eq!((found.baseline, found.candidate, found.verdict), (Some(1.0), Some(1.0), Verdict::Parity));
}

#[test]
fn per_request_a_canary_with_a_tenth_of_the_traffic_is_at_parity() {
    let mut sent = Vec::new();
    for window in 0..6 {
        for (sender, requests) in [(PROD, 100), (CANARY, 10)] {
            let time = T0 + window * MINUTE;
            let spans = (0..requests).map(|i| span(time + i * MS + 2_000 * MS, MS)).collect();
            let rows = number(time, time + MINUTE - 1, 3.0 * requests as f64, Vec::new());
            sent.push((Signal::Traces, traces(sender, spans)));
            sent.push((Signal::Metrics, metrics(sender, vec![sum("rows", Delta, true, vec![rows])])));
        }
    }
    let mut asked = rule("rows");
    asked.per_request = true;
    let report = judged(asking(vec![asked.clone()]), &sent);
    let found = value(&report, "rows", "rate");
    assert_eq!((found.baseline, found.candidate, found.verdict), (Some(3.0), Some(3.0), Verdict::Parity));
    assert_eq!(found.per.as_deref(), Some("request"));
    asked.per_request = false;
    let whole = judged(asking(vec![asked]), &sent);
    assert_eq!(value(&whole, "rows", "rate").verdict, Verdict::Divergent);
}

#[test]
fn a_histogram_that_is_no_duration_has_a_mean_and_quantiles() {
    let point = |window: u64, counts: [u64; 3], sum: f64| HistogramDataPoint {
        start_time_unix_nano: T0 + window * MINUTE,
        time_unix_nano: T0 + (window + 1) * MINUTE - 1,
        count: counts.iter().sum(),
        sum: Some(sum),
        bucket_counts: counts.to_vec(),
        explicit_bounds: vec![10.0, 20.0],
        ..HistogramDataPoint::default()
    };
    let sent = [(PROD, [8, 2, 0], 60.0), (CANARY, [2, 8, 0], 140.0)].map(|(sender, counts, sum)| {
        let points = (0..5).map(|window| point(window, counts, sum)).collect();
        let Metric { data, .. } = histogram(Delta, points);
        (Signal::Metrics, metrics(sender, vec![named("basket.size", "{item}", data.expect("data"))]))
    });
    let report = judged(plan(), &sent);
    let mean = value(&report, "basket.size", "mean");
    assert_eq!((mean.baseline, mean.candidate, mean.verdict), (Some(6.0), Some(14.0), Verdict::Divergent));
    let p95 = value(&report, "basket.size", "p95");
    assert!(p95.candidate > p95.baseline && p95.candidate < Some(20.0), "{p95:?}");
}

#[test]
fn a_summary_is_its_senders_quantiles_and_its_mean() {
    let point = |window: u64, p95: f64| SummaryDataPoint {
        start_time_unix_nano: T0,
        time_unix_nano: T0 + (window + 1) * MINUTE - 1,
        count: 10 * (window + 1),
        sum: 50.0 * (window + 1) as f64,
        quantile_values: vec![ValueAtQuantile { quantile: 0.95, value: p95 }],
        ..SummaryDataPoint::default()
    };
    let sent = [(PROD, 9.0), (CANARY, 30.0)].map(|(sender, p95)| {
        let data_points = (0..5).map(|window| point(window, p95)).collect();
        (Signal::Metrics, metrics(sender, vec![named("batch", "", Data::Summary(Summary { data_points }))]))
    });
    let report = judged(asking(vec![ValueRule { statistic: Some(Statistic::Rate), ..rule("other") }]), &sent);
    let mean = value(&report, "batch", "mean");
    assert_eq!((mean.baseline, mean.candidate, mean.verdict), (Some(5.0), Some(5.0), Verdict::Parity));
    let p95 = value(&report, "batch", "p95");
    assert_eq!((p95.baseline, p95.candidate), (Some(9.0), Some(30.0)));
    let titles: Vec<_> = report.findings.iter().map(|finding| &*finding.title).collect();
    assert!(titles.contains(&"configured metric not seen"), "{titles:?}");
    assert_ne!(report.verdict, Verdict::Parity, "what was asked about has not been seen");
}

#[test]
fn a_metric_is_split_by_the_attributes_that_are_asked_for() {
    let sent = [(PROD, [10.0, 90.0]), (CANARY, [90.0, 10.0])].map(|(sender, [orders, mail])| {
        let points = |window: u64| {
            let time = T0 + window * MINUTE + 5;
            vec![
                number(0, time, orders, vec![text("queue", "orders"), text("host", "1")]),
                number(0, time, mail, vec![text("host", "2"), text("queue", "mail")]),
            ]
        };
        let points = (0..4).flat_map(points).collect();
        (Signal::Metrics, metrics(sender, vec![gauges("depth", "", points)]))
    });
    let together = judged(asking(vec![rule("depth")]), &sent);
    assert_eq!(value(&together, "depth", "mean").verdict, Verdict::Parity);
    let mut asked = rule("depth");
    asked.by = vec!["queue".to_owned()];
    let apart = judged(asking(vec![asked.clone()]), &sent);
    for (name, baseline) in [("depth{queue=orders}", 10.0), ("depth{queue=mail}", 90.0)] {
        let found = value(&apart, name, "mean");
        assert_eq!((found.baseline, found.verdict), (Some(baseline), Verdict::Divergent));
    }

    // Parts beyond the limit are counted, and the others stay.
    let limits = Limits { values_per_service: 1, ..Limits::default() };
    let cut = judged(Plan { limits, ..asking(vec![asked]) }, &sent);
    assert_eq!((values(&cut).len(), hits(&cut, "values_per_service") > 0), (1, true));
}

#[test]
fn texts_are_equal_or_not_and_never_in_the_report() {
    let record = |checksum: &str| LogRecord {
        time_unix_nano: T0 + 1,
        event_name: "report.done".to_owned(),
        attributes: vec![text("report.checksum", checksum)],
        ..LogRecord::default()
    };
    let mut asked = rule("");
    (asked.metric, asked.equal) = (None, Some("report.checksum".to_owned()));
    let report = |theirs: &[&str], limits: Limits| {
        let records = |sums: &[&str]| sums.iter().map(|sum| record(sum)).collect::<Vec<_>>();
        let sent = [
            (Signal::Logs, logs(PROD, records(&["aa11", "bb22"]))),
            (Signal::Logs, logs(CANARY, records(theirs))),
        ];
        judged(Plan { limits, ..asking(vec![asked.clone()]) }, &sent)
    };
    let same = report(&["bb22", "aa11", "aa11"], Limits::default());
    assert_eq!(
        (value(&same, "report.checksum", "equal").verdict, same.verdict),
        (Verdict::Parity, Verdict::Parity)
    );
    let other = report(&["aa11", "cc33"], Limits::default());
    let found = value(&other, "report.checksum", "equal");
    assert_eq!((found.verdict, other.verdict), (Verdict::Divergent, Verdict::Divergent));
    assert!(found.reason.starts_with("1 of the baseline's 2 value(s)"), "{}", found.reason);
    let json = to_json(&other);
    assert!(!json.contains("cc33") && !json.contains("bb22"), "{json}");
    let cut = report(&["aa11", "cc33"], Limits { texts_per_value: 1, ..Limits::default() });
    assert_eq!(value(&cut, "report.checksum", "equal").verdict, Verdict::Inconclusive);
    assert!(hits(&cut, "texts_per_value") > 0);
}

#[test]
fn points_without_a_value_are_counted_and_nothing_else() {
    let mut empty = number(0, T0 + 1, 0.0, Vec::new());
    (empty.flags, empty.value) = (1, None);
    let mut endless = number(0, T0 + 1, f64::INFINITY, Vec::new());
    endless.flags = 0;
    let mut engine = Engine::new(plan(), 1);
    let request =
        metrics(PROD, vec![gauges("depth", "", vec![empty, endless, number(0, T0 + 2, 3.0, Vec::new())])]);
    assert_eq!(observe(&engine.ingest(), Signal::Metrics, &request), [("not_finite", 1)].into());
    let report = finish(&mut engine);
    assert_eq!(report.input.rejected["no_recorded_value"], 1);
    let points: u64 = engine
        .windows()
        .flat_map(|w| w.values.values())
        .flat_map(|v| v.instances.values())
        .map(|s| s.count)
        .sum();
    assert_eq!(points, 1);
}

#[test]
fn looks_after_every_window_find_a_metric_that_left_its_tolerance() {
    let mut asked = asking(vec![rule("depth")]);
    (asked.observed_from_ns, asked.period_windows) = (T0 - 1, 60);
    let mut engine = Engine::new(asked, 1);
    let mut first = None;
    for window in 0..16u64 {
        let time = T0 + window * MINUTE + MINUTE / 2;
        for (sender, level) in [(PROD, 10.0), (CANARY, 20.0)] {
            let level = level + (window % 2) as f64 / 10.0;
            let request =
                metrics(sender, vec![gauges("depth", "", vec![number(0, time, level, Vec::new())])]);
            let taken = engine.ingest().observe(time, None, Signal::Metrics, &request);
            assert!(taken.is_ok());
        }
        engine.advance(time + 11_000 * MS, GENERATED_AT);
        let divergent = engine.reports().next().is_some_and(|report| report.verdict == Verdict::Divergent);
        if divergent && first.is_none() {
            first = Some(window);
        }
    }
    assert!(first.is_some_and(|window| (3..12).contains(&window)), "{first:?}");
}
