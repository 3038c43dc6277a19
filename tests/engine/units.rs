//! A metric's unit is how its numbers are written, and nothing else.
//!
//! The same requests in seconds and in milliseconds, through bytes, engine and judge. Explicit buckets have the same edges
//! in both, so that the whole verdict is the same but for rounding. The edges of exponential buckets are powers of two of
//! *the unit*: 1 s is an edge and 1,000 ms is none. So they are held against explicit buckets on the same edges, and the two
//! units against each other as closely as a bucket is wide.

use crate::build::*;
use isotel::engine::{Engine, Plan};
use isotel::judge::policy::{Policy, Tolerances};
use isotel::judge::{Report, Verdict};
use isotel::report::to_json;
use isotel::wire::Signal;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::AggregationTemporality::{self, Cumulative, Delta};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, HistogramDataPoint, Metric,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value as Json;

/// Bucket bounds in milliseconds (semantic conventions, "http.server.request.duration").
const BOUNDS_MS: [f64; 14] =
    [5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1e3, 2.5e3, 5e3, 7.5e3, 1e4];

/// The scale of exponential buckets: 2^(1/16), 4 % wide.
const SCALE: i32 = 4;
/// The first and last edge of the buckets on millisecond edges: 2⁻² ms and 2¹⁴ ms.
const EDGES: std::ops::RangeInclusive<i32> = -2 << SCALE..=14 << SCALE;

/// How a histogram is written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Explicit(&'static str),
    Exponential(&'static str),
    /// In seconds, on the edges of exponential buckets of milliseconds.
    ExplicitOnEdges,
}

/// The requests of one pod in one window.
#[derive(Clone, Debug)]
struct Part {
    environment: &'static str,
    instance: &'static str,
    window: u64,
    durations_ms: Vec<f64>,
    failed: bool,
}

impl Part {
    fn attributes(&self) -> Vec<KeyValue> {
        let code = Value::IntValue(if self.failed { 500 } else { 200 });
        let code = attribute("http.response.status_code", code);
        vec![text("http.request.method", "GET"), text("http.route", "/cart"), code]
    }
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    let durations = |of: std::ops::Range<f64>| vec(of.prop_map(|log| log.exp()), 20..120);
    let side = move |environment: &'static str, factor: f64| {
        let place = (select(vec!["a", "b", "c"]), 0..6u64, select(vec![false, false, false, true]));
        let part = (place, durations(2.0..5.0)).prop_map(move |((instance, window, failed), ms)| Part {
            environment,
            instance,
            window,
            durations_ms: ms.into_iter().map(|ms| ms * factor).collect(),
            failed,
        });
        vec(part, 4..12)
    };
    select(vec![1.0, 1.0, 1.2, 2.0]).prop_flat_map(move |factor| {
        (side("prod", 1.0), side("canary", factor)).prop_map(|(one, other)| [one, other].concat())
    })
}

/// Counts over `buckets` buckets.
fn counts(durations: impl Iterator<Item = f64>, buckets: usize, bucket: impl Fn(f64) -> usize) -> Vec<u64> {
    let mut counts = vec![0; buckets];
    durations.for_each(|duration| counts[bucket(duration)] += 1);
    counts
}

fn explicit_point(part: &Part, bounds_ms: &[f64], per_ms: impl Fn(f64) -> f64) -> HistogramDataPoint {
    let bucket = |ms: f64| bounds_ms.partition_point(|bound| *bound < ms);
    HistogramDataPoint {
        attributes: part.attributes(),
        count: part.durations_ms.len() as u64,
        sum: Some(per_ms(part.durations_ms.iter().sum())),
        bucket_counts: counts(part.durations_ms.iter().copied(), bounds_ms.len() + 1, bucket),
        explicit_bounds: bounds_ms.iter().map(|bound| per_ms(*bound)).collect(),
        ..HistogramDataPoint::default()
    }
}

fn exponential_point(part: &Part, per_ms: impl Fn(f64) -> f64) -> ExponentialHistogramDataPoint {
    let index = |value: f64| ((value.log2() * f64::from(1 << SCALE)).ceil() as i32) - 1;
    let values = || part.durations_ms.iter().map(|ms| per_ms(*ms));
    let (first, last) = (values().map(index).min().unwrap_or(0), values().map(index).max().unwrap_or(0));
    let buckets = (last - first + 1) as usize;
    ExponentialHistogramDataPoint {
        attributes: part.attributes(),
        count: part.durations_ms.len() as u64,
        sum: Some(values().sum()),
        scale: SCALE,
        positive: Some(Buckets {
            offset: first,
            bucket_counts: counts(values(), buckets, |value| (index(value) - first) as usize),
        }),
        ..ExponentialHistogramDataPoint::default()
    }
}

/// A part as a metric of its own stream.
fn metric(part: &Part, form: Form, temporality: AggregationTemporality) -> Metric {
    let unit = if let Form::Explicit(unit) | Form::Exponential(unit) = form { unit } else { "s" };
    let per_ms = |ms: f64| if unit == "s" { ms / 1e3 } else { ms };
    let (start_ns, time_ns) = (T0 + part.window * MINUTE, T0 + part.window * MINUTE + MINUTE / 2);
    let edges: Vec<f64> = EDGES.map(|edge| (f64::from(edge) / f64::from(1 << SCALE)).exp2()).collect();
    let written = |bounds_ms: &[f64]| {
        let point = explicit_point(part, bounds_ms, per_ms);
        let point = HistogramDataPoint { start_time_unix_nano: start_ns, time_unix_nano: time_ns, ..point };
        histogram(temporality, vec![point])
    };
    let metric = match form {
        Form::Explicit(_) => written(&BOUNDS_MS),
        Form::ExplicitOnEdges => written(&edges),
        Form::Exponential(_) => {
            let point = exponential_point(part, per_ms);
            let data_points = vec![ExponentialHistogramDataPoint {
                start_time_unix_nano: start_ns,
                time_unix_nano: time_ns,
                ..point
            }];
            let data = ExponentialHistogram { data_points, aggregation_temporality: temporality as i32 };
            Metric { data: Some(Data::ExponentialHistogram(data)), ..histogram(temporality, Vec::new()) }
        }
    };
    Metric { unit: unit.to_owned(), ..metric }
}

fn judged(parts: &[Part], form: Form, temporality: AggregationTemporality) -> Report {
    judged_in(parts, |_| form, temporality)
}

fn judged_in(parts: &[Part], form: impl Fn(&Part) -> Form, temporality: AggregationTemporality) -> Report {
    let tolerances = Tolerances { min_requests: 20, ..Tolerances::default() };
    let plan = Plan { policy: Policy { tolerances: tolerances.into(), ..Policy::default() }, ..plan() };
    let mut engine = Engine::new(plan, 1);
    let ingest = engine.ingest();
    for part in parts {
        let sender = Sender { environment: part.environment, service: "cart", instance: part.instance };
        let request = metrics(sender, vec![metric(part, form(part), temporality)]);
        assert!(observe(&ingest, Signal::Metrics, &request).is_empty());
    }
    finish(&mut engine)
}

/// Where two JSON texts differ by more than rounding. Of sentences only the words count: their numbers are fields too.
fn difference(one: &Json, other: &Json, at: &str) -> Option<String> {
    let words = |text: &str| text.chars().filter(|c| c.is_alphabetic()).collect::<String>();
    let same = match (one, other) {
        (Json::Object(ours), Json::Object(theirs)) => {
            let keys = ours.keys().eq(theirs.keys());
            let found = ours
                .iter()
                .zip(theirs)
                .find_map(|((key, a), (_, b))| difference(a, b, &format!("{at}.{key}")));
            return if keys { found } else { Some(format!("{at}: other fields")) };
        }
        (Json::Array(ours), Json::Array(theirs)) if ours.len() == theirs.len() => {
            let pairs = ours.iter().zip(theirs).enumerate();
            return pairs.into_iter().find_map(|(n, (a, b))| difference(a, b, &format!("{at}[{n}]")));
        }
        (Json::Number(a), Json::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
            (a - b).abs() <= 1e-12 + 1e-8 * a.abs()
        }
        (Json::String(a), Json::String(b)) => words(a) == words(b),
        (a, b) => a == b,
    };
    (!same).then(|| format!("{at}: {one} and {other}"))
}

fn json(report: &Report) -> Json {
    serde_json::from_str(&to_json(report)).expect("JSON")
}

fn same_verdict(one: &Report, other: &Report) -> Option<String> {
    difference(&json(one), &json(other), "")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn explicit_buckets_in_seconds_and_in_milliseconds_give_the_same_verdict(
        parts in parts(), temporality in select(vec![Delta, Cumulative]),
    ) {
        let seconds = judged(&parts, Form::Explicit("s"), temporality);
        let milliseconds = judged(&parts, Form::Explicit("ms"), temporality);
        prop_assert_eq!(same_verdict(&seconds, &milliseconds), None);
        prop_assert!(seconds.services[0].operations[0].latency.ks.is_some());
        // A candidate that has moved to seconds is as fast as before. That its metrics have another form is said elsewhere.
        let form = |part: &Part| Form::Explicit(if part.environment == "prod" { "ms" } else { "s" });
        let moved = json(&judged_in(&parts, form, temporality));
        let operations = |json: &Json| json["services"][0]["operations"].clone();
        prop_assert_eq!(difference(&operations(&json(&seconds)), &operations(&moved), ""), None);
    }

    #[test]
    fn exponential_buckets_are_what_explicit_ones_on_the_same_edges_are(parts in parts()) {
        let exponential = judged(&parts, Form::Exponential("ms"), Delta);
        let explicit = judged(&parts, Form::ExplicitOnEdges, Delta);
        prop_assert_eq!(same_verdict(&exponential, &explicit), None);
    }

    #[test]
    fn exponential_buckets_in_seconds_and_in_milliseconds_differ_by_a_bucket_at_most(
        parts in parts(), temporality in select(vec![Delta, Cumulative]),
    ) {
        let seconds = judged(&parts, Form::Exponential("s"), temporality);
        let milliseconds = judged(&parts, Form::Exponential("ms"), temporality);
        let of = |report: &Report| report.services[0].operations[0].clone();
        let (s, ms) = (of(&seconds), of(&milliseconds));
        prop_assert_eq!((s.errors.baseline, s.errors.candidate), (ms.errors.baseline, ms.errors.candidate));
        let counts = |of: &isotel::judge::verdict::LatencyResult| (of.n_baseline, of.n_candidate);
        prop_assert_eq!(counts(&s.latency), counts(&ms.latency));
        let apart = [s.latency.verdict, ms.latency.verdict];
        prop_assert!(!(apart.contains(&Verdict::Parity) && apart.contains(&Verdict::Divergent)));
        // The value at a rank is in the bucket that holds it, in both.
        let most = 2.0 * f64::from(SCALE).exp2().recip() * std::f64::consts::LN_2 + 1e-9;
        for (s, ms) in s.latency.quantiles.iter().zip(&ms.latency.quantiles) {
            for (s, ms) in [(s.baseline_s, ms.baseline_s), (s.candidate_s, ms.candidate_s)] {
                prop_assert_eq!(s.get().is_some(), ms.get().is_some());
                if let (Some(s), Some(ms)) = (s.get(), ms.get()) {
                    prop_assert!((s / ms).ln().abs() <= most, "{s} s and {ms} s");
                }
            }
        }
    }
}
