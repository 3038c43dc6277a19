//! Single differences between two environments that are alike but for chance: each is found, and nothing else is.

use super::build::{T0, failed, text};
use super::shop::*;
use isotel::judge::verdict::Finding;
use isotel::judge::{Aspect, Level, Report, Verdict};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint, Sum, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;

use Aspect::*;
use Level::*;

/// One planted difference.
struct Mutation {
    /// In words.
    what: &'static str,
    /// Whose exports it changes, in the canary.
    service: &'static str,
    change: fn(&mut Export),
    /// The finding of it: level, aspect, what of the service it is about (an operation or an item), title.
    finds: (Level, Aspect, &'static str, &'static str),
    /// What else follows from it: as [`told`] writes it.
    with: &'static [&'static str],
}

const fn case(
    what: &'static str,
    service: &'static str,
    change: fn(&mut Export),
    finds: (Level, Aspect, &'static str, &'static str),
) -> Mutation {
    Mutation { what, service, change, finds, with: &[] }
}

/// A finding in a line: `warning shape pay metric pay.queue.depth: metric of another unit`.
fn told(finding: &Finding, candidate: &str) -> String {
    let Finding { level, aspect, title, .. } = finding;
    let about = finding.operation.as_ref().or(finding.item.as_ref()).map_or("", String::as_str);
    let about = about.replace(candidate, "CANARY");
    line(*level, *aspect, finding.service.as_deref().unwrap_or("all"), &about, title)
}

fn line(level: Level, aspect: Aspect, service: &str, about: &str, title: &str) -> String {
    let about = if about.is_empty() { String::new() } else { format!(" {about}") };
    format!("{} {aspect} {service}{about}: {title}", level.as_str())
}

fn metric<'e>(export: &'e mut Export, name: &str) -> &'e mut Metric {
    export.metrics.iter_mut().find(|metric| metric.name == name).expect("the metric")
}

fn sum<'e>(export: &'e mut Export, name: &str) -> &'e mut Sum {
    let Some(Data::Sum(sum)) = &mut metric(export, name).data else { panic!("a sum") };
    sum
}

/// The points of a sum or a gauge.
fn points<'e>(export: &'e mut Export, name: &str) -> &'e mut Vec<NumberDataPoint> {
    match &mut metric(export, name).data {
        Some(Data::Sum(sum)) => &mut sum.data_points,
        Some(Data::Gauge(gauge)) => &mut gauge.data_points,
        _ => panic!("a sum or a gauge"),
    }
}

fn scale(export: &mut Export, name: &str, factor: f64) {
    for point in points(export, name) {
        point.value = match point.value {
            Some(number_data_point::Value::AsInt(value)) => {
                Some(number_data_point::Value::AsInt((value as f64 * factor) as i64))
            }
            Some(number_data_point::Value::AsDouble(value)) => {
                Some(number_data_point::Value::AsDouble(value * factor))
            }
            None => None,
        };
    }
}

fn rename(attributes: &mut [KeyValue], from: &str, to: &str) {
    attributes.iter_mut().find(|attribute| attribute.key == from).expect("the key").key = to.to_owned();
}

fn string(value: &str) -> Value {
    Value::StringValue(value.to_owned())
}

fn of_route<'e>(export: &'e mut Export, kind: i32, route: &str) -> impl Iterator<Item = &'e mut Span> {
    let is = move |span: &&mut Span| is_of(span, kind, route);
    export.spans.iter_mut().filter(is)
}

fn is_of(span: &Span, kind: i32, route: &str) -> bool {
    let wanted = Some(string(route));
    let is_route = |attribute: &KeyValue| {
        ["http.route", "db.operation.name"].contains(&&*attribute.key)
            && attribute.value.as_ref().and_then(|value| value.value.clone()) == wanted
    };
    span.kind == kind && span.attributes.iter().any(is_route)
}

/// The span takes so many times as long, and begins earlier.
fn slow(span: &mut Span, factor: f64) {
    span.start_time_unix_nano = span.end_time_unix_nano - (took(span) as f64 * factor) as u64;
}

fn took(span: &Span) -> u64 {
    span.end_time_unix_nano - span.start_time_unix_nano
}

fn id(span: &Span) -> u64 {
    u64::from_be_bytes(span.span_id[..].try_into().expect("eight bytes"))
}

/// A number that differs from span to span, below `n`.
fn lot(span: &Span, n: u64) -> u64 {
    id(span) / 2 % n
}

fn fail(span: &mut Span, error_type: &str) {
    *span = failed(span.clone());
    if !error_type.is_empty() {
        span.attributes.push(text("error.type", error_type));
    }
}

/// Each span of a kind and route that many more times.
fn repeat(export: &mut Export, kind: i32, route: &str, more: u64) {
    let again: Vec<Span> = export.spans.iter().filter(|span| is_of(span, kind, route)).cloned().collect();
    for copy in 1..=more {
        let another = |span: &Span| (id(span) ^ (copy << 40)).to_be_bytes().to_vec();
        export.spans.extend(again.iter().map(|span| Span { span_id: another(span), ..span.clone() }));
    }
}

fn resource_says(export: &mut Export, key: &str, value: &str) {
    set(&mut export.resource.attributes, key, string(value));
}

fn mutations() -> Vec<Mutation> {
    vec![
        // What is there.
        case(
            "a metric is gone",
            "pay",
            |e| e.metrics.retain(|m| m.name != "pay.queue.depth"),
            (Warning, Presence, "metric pay.queue.depth", "missing metric"),
        ),
        case(
            "a metric with an attribute is gone",
            "cart",
            |e| e.metrics.retain(|m| m.name != "cart.size"),
            (Warning, Presence, "metric cart.size", "missing metric"),
        ),
        Mutation {
            // What is left of the requests is another mix.
            with: &["info mix web POST /checkout: another mix of requests"],
            ..case(
                "an operation is gone",
                "web",
                |e| e.spans.retain(|span| !is_of(span, 2, "/")),
                (Warning, Presence, "span GET / (server)", "missing span"),
            )
        },
        case(
            "a span event is gone",
            "cart",
            |e| e.spans.iter_mut().for_each(|span| span.events.clear()),
            (Warning, Presence, "span event cache.miss", "missing span event"),
        ),
        case(
            "a log severity is gone",
            "pay",
            |e| e.logs.retain(|record| record.severity_number != 13),
            (Warning, Presence, "log severity WARN", "missing log"),
        ),
        case(
            "a log event is gone",
            "cart",
            |e| e.logs.iter_mut().for_each(|record| record.event_name.clear()),
            (Warning, Presence, "log event order.placed", "missing log"),
        ),
        case(
            "a span attribute is gone",
            "pay",
            |e| e.spans.iter_mut().for_each(|span| span.attributes.retain(|a| a.key != "user.tier")),
            (Warning, Presence, "span attribute user.tier", "missing span attribute"),
        ),
        case(
            "a span attribute has another name",
            "cart",
            |e| e.spans.iter_mut().for_each(|span| rename(&mut span.attributes, "user.tier", "user.level")),
            (Warning, Presence, "span attribute user.tier", "missing span attribute"),
        ),
        case(
            "a metric attribute has another name",
            "cart",
            |e| points(e, "cart.size").iter_mut().for_each(|p| rename(&mut p.attributes, "tier", "level")),
            (Warning, Presence, "metric attribute cart.size[tier]", "missing metric attribute"),
        ),
        case(
            "a log attribute has another name",
            "web",
            |e| e.logs.iter_mut().for_each(|record| rename(&mut record.attributes, "logger", "log.name")),
            (Warning, Presence, "log attribute logger", "missing log attribute"),
        ),
        case(
            "a resource attribute has another name",
            "web",
            |e| rename(&mut e.resource.attributes, "k8s.pod.name", "pod"),
            (Warning, Presence, "resource attribute k8s.pod.name", "missing resource attribute"),
        ),
        case(
            "a metric has another name",
            "cart",
            |e| metric(e, "cart.open").name = "carts.open".to_owned(),
            (Warning, Presence, "metric cart.open", "missing metric"),
        ),
        case(
            "all metrics are gone",
            "pay",
            |e| e.metrics.clear(),
            (Critical, Presence, "", "no metrics at all"),
        ),
        case("all logs are gone", "web", |e| e.logs.clear(), (Critical, Presence, "", "no logs at all")),
        case("all spans are gone", "pay", |e| e.spans.clear(), (Critical, Presence, "", "no traces at all")),
        case(
            "a service is gone",
            "cart",
            |e| {
                e.spans.clear();
                e.metrics.clear();
                e.logs.clear();
            },
            (Critical, Presence, "service", "service missing"),
        ),
        case(
            "a metric stops after three minutes",
            "pay",
            |e| {
                if e.step >= 9 {
                    e.metrics.retain(|m| m.name != "pay.queue.depth");
                }
            },
            (Warning, Presence, "metric pay.queue.depth", "metric has stopped"),
        ),
        case(
            "the instrumentation library is another one",
            "pay",
            |e| e.scope.name = "handmade".to_owned(),
            (Warning, Presence, "scope lib-pay", "lib-pay is missing"),
        ),
        Mutation {
            // Both sides must state it.
            with: &["info facts pay service.version: service.version not stated by one side"],
            ..case(
                "the version is not stated",
                "pay",
                |e| e.resource.attributes.retain(|attribute| attribute.key != "service.version"),
                (Warning, Presence, "resource attribute service.version", "missing resource attribute"),
            )
        },
        // In which form it is there.
        case(
            "another unit",
            "pay",
            |e| metric(e, "pay.queue.depth").unit = "{task}".to_owned(),
            (Warning, Shape, "metric pay.queue.depth", "metric of another unit"),
        ),
        case(
            "another instrument",
            "pay",
            |e| {
                let data_points = points(e, "pay.queue.depth").clone();
                let data = Sum { data_points, aggregation_temporality: 2, is_monotonic: false };
                metric(e, "pay.queue.depth").data = Some(Data::Sum(data));
            },
            (Warning, Shape, "metric pay.queue.depth", "metric of another instrument"),
        ),
        case(
            "another temporality of the same growth",
            "cart",
            |e| {
                let sum = sum(e, "cart.items.added");
                sum.aggregation_temporality = 2;
                for point in &mut sum.data_points {
                    let grown = 40 * ((point.time_unix_nano - T0) / (20 * SECOND) + 1);
                    point.start_time_unix_nano = T0;
                    point.value = Some(number_data_point::Value::AsInt(grown as i64));
                }
            },
            (Warning, Shape, "metric cart.items.added", "metric of another temporality"),
        ),
        case(
            "another monotonicity",
            "cart",
            |e| sum(e, "cart.open").is_monotonic = true,
            (Warning, Shape, "metric cart.open", "metric of another monotonicity"),
        ),
        case(
            "another value type",
            "cart",
            |e| {
                for point in points(e, "cart.open") {
                    let Some(number_data_point::Value::AsInt(value)) = point.value else { unreachable!() };
                    point.value = Some(number_data_point::Value::AsDouble(value as f64));
                }
            },
            (Warning, Shape, "metric cart.open", "metric of another value type"),
        ),
        case(
            "other bucket bounds",
            "cart",
            |e| {
                let Some(Data::Histogram(data)) = &mut metric(e, "cart.weight").data else { unreachable!() };
                data.data_points[0].explicit_bounds = vec![1.0, 2.0, 5.0, 20.0];
            },
            (Warning, Shape, "metric cart.weight", "metric of another bounds"),
        ),
        case(
            "another exponential scale",
            "cart",
            |e| {
                let Some(Data::ExponentialHistogram(data)) = &mut metric(e, "cart.value").data else {
                    unreachable!()
                };
                let point = &mut data.data_points[0];
                let buckets = point.positive.as_mut().expect("positive");
                // Two buckets become one.
                let mut halved = Vec::new();
                for (at, count) in buckets.bucket_counts.iter().enumerate() {
                    let index = (buckets.offset + at as i32) >> 1;
                    let at = (index - (buckets.offset >> 1)) as usize;
                    halved.resize(halved.len().max(at + 1), 0);
                    halved[at] += count;
                }
                (point.scale, buckets.offset, buckets.bucket_counts) = (2, buckets.offset >> 1, halved);
            },
            (Info, Shape, "metric cart.value", "metric of another scale"),
        ),
        case(
            "another type of a metric attribute's values",
            "cart",
            |e| {
                points(e, "cart.size")
                    .iter_mut()
                    .for_each(|p| set(&mut p.attributes, "tier", Value::IntValue(1)))
            },
            (Warning, Shape, "metric attribute cart.size[tier]", "metric attribute of another type"),
        ),
        case(
            "another type of a span attribute's values",
            "web",
            |e| e.spans.iter_mut().for_each(|s| set(&mut s.attributes, "items", string("3"))),
            (Warning, Shape, "span attribute items", "span attribute of another type"),
        ),
        case(
            "a span attribute of bytes instead of a text",
            "web",
            |e| {
                let bytes = Value::BytesValue(b"gold".to_vec());
                e.spans.iter_mut().for_each(|s| set(&mut s.attributes, "user.tier", bytes.clone()));
            },
            (Warning, Shape, "span attribute user.tier", "span attribute of another type"),
        ),
        case(
            "a span attribute of numbers instead of texts in an array",
            "pay",
            |e| {
                let one = AnyValue { value: Some(Value::IntValue(3)) };
                let items = Value::ArrayValue(ArrayValue { values: vec![one] });
                e.spans.iter_mut().for_each(|s| set(&mut s.attributes, "items", items.clone()));
            },
            (Warning, Shape, "span attribute items", "span attribute of another type"),
        ),
        case(
            "another type of a log attribute's values",
            "cart",
            |e| e.logs.iter_mut().for_each(|record| set(&mut record.attributes, "line", string("3"))),
            (Warning, Shape, "log attribute line", "log attribute of another type"),
        ),
        case(
            "another type of a resource attribute's values",
            "pay",
            |e| set(&mut e.resource.attributes, "k8s.pod.name", Value::IntValue(1)),
            (Warning, Shape, "resource attribute k8s.pod.name", "resource attribute of another type"),
        ),
        case(
            "another schema of the scope",
            "web",
            |e| e.scope_schema = "https://opentelemetry.io/schemas/1.37.0".to_owned(),
            (Info, Shape, "scope lib-web", "scope of another schema_url"),
        ),
        case(
            "no schema of the resource",
            "web",
            |e| e.resource_schema.clear(),
            (Info, Shape, "resource", "resource of another schema_url"),
        ),
        // What it says of artifact, runtime, place and configuration.
        case(
            "another version of a library",
            "cart",
            |e| e.scope.version = "2.2.0".to_owned(),
            (Info, Facts, "otel.scope[lib-cart]", "otel.scope differs"),
        ),
        case(
            "another version of the SDK",
            "pay",
            |e| resource_says(e, "telemetry.sdk.version", "1.41.0"),
            (Warning, Facts, "telemetry.sdk.version", "telemetry.sdk.version differs"),
        ),
        case(
            "another version of the runtime",
            "cart",
            |e| resource_says(e, "process.runtime.version", "21.0.4"),
            (Warning, Facts, "process.runtime.version", "process.runtime.version differs"),
        ),
        case(
            "another architecture",
            "web",
            |e| resource_says(e, "host.arch", "arm64"),
            (Warning, Facts, "host.arch", "host.arch differs"),
        ),
        case(
            "the release that production has",
            "cart",
            |e| resource_says(e, "service.version", "1.4.2"),
            (Warning, Facts, "service.version", "service.version not different"),
        ),
        case(
            "one pod of another release",
            "cart",
            |e| {
                if e.pod == 1 {
                    resource_says(e, "service.version", "1.5.1");
                }
            },
            (Warning, Facts, "mixed CANARY", "more than one release in one environment"),
        ),
        case(
            "another image",
            "pay",
            |e| resource_says(e, "container.image.repo_digests", "registry.example.com/pay@sha256:ffff"),
            (Warning, Facts, "container.image.repo_digests", "container.image.repo_digests differs"),
        ),
        case(
            "another revision",
            "pay",
            |e| resource_says(e, "vcs.ref.head.revision", "0000beef"),
            (Warning, Facts, "vcs.ref.head.revision", "vcs.ref.head.revision differs"),
        ),
        case(
            "another region",
            "web",
            |e| resource_says(e, "cloud.region", "us-east-1"),
            (Warning, Facts, "cloud.region", "cloud.region differs"),
        ),
        case(
            "another namespace",
            "pay",
            |e| resource_says(e, "k8s.namespace.name", "shop-two"),
            (Warning, Facts, "k8s.namespace.name", "k8s.namespace.name differs"),
        ),
        case(
            "another setting of what must be equal",
            "cart",
            |e| resource_says(e, "app.mode", "lax"),
            (Warning, Facts, "app.mode", "app.mode differs"),
        ),
        case(
            "the same setting of what must differ",
            "cart",
            |e| resource_says(e, "app.shard", "prod"),
            (Warning, Facts, "app.shard", "app.shard not different"),
        ),
        case(
            "another branch in an info metric",
            "web",
            |e| {
                let points = points(e, "web_build_info");
                points.iter_mut().for_each(|point| set(&mut point.attributes, "branch", string("fix")));
            },
            (Warning, Facts, "web_build_info[branch]", "web_build_info[branch] differs"),
        ),
        case(
            "a feature flag that is always on",
            "web",
            |e| {
                for event in e.spans.iter_mut().flat_map(|span| &mut span.events) {
                    set(&mut event.attributes, "feature_flag.result.variant", string("on"));
                }
            },
            (Warning, Facts, "feature_flag.new-cart", "feature_flag.new-cart differs"),
        ),
        // How requests come and what they lead to.
        case(
            "half of the spans are kept, and say so",
            "cart",
            |e| {
                e.spans.retain(|span| lot(span, 2) == 0);
                e.spans.iter_mut().for_each(|span| span.trace_state = "ot=th:8".to_owned());
            },
            (Warning, Sampling, "", "sampled differently"),
        ),
        case(
            "trace context is lost",
            "cart",
            |e| {
                let entries = e.spans.iter_mut().filter(|span| span.kind == 2);
                entries.filter(|span| lot(span, 3) == 0).for_each(|span| span.parent_span_id.clear());
            },
            (Warning, Structure, "", "trace context is lost"),
        ),
        case(
            "a new dependency",
            "cart",
            |e| {
                let of = |span: &&Span| is_of(span, 3, "SELECT") && lot(span, 2) == 0;
                let calls: Vec<Span> = e.spans.iter().filter(of).cloned().collect();
                for mut call in calls {
                    let at = e.spans.iter().position(|span| span.span_id == call.span_id).expect("it");
                    set(&mut call.attributes, "server.address", string("stock-db"));
                    e.spans[at] = call;
                }
            },
            (Warning, Structure, "", "new dependency"),
        ),
        case(
            "a dependency that is not called",
            "web",
            |e| e.spans.retain(|span| !is_of(span, 3, "/charge")),
            (Warning, Presence, "span POST /charge (client)", "missing span"),
        ),
        case(
            "a slower dependency",
            "web",
            |e| of_route(e, 3, "/charge").for_each(|span| slow(span, 1.5)),
            (Critical, Latency, "POST /charge", "slower"),
        ),
        case(
            "a failing dependency",
            "web",
            |e| {
                if e.is_turn(2) {
                    of_route(e, 3, "/cart").take(1).for_each(|span| fail(span, ""));
                }
            },
            (Critical, Errors, "GET /cart", "fails more often"),
        ),
        case(
            "another mix of requests",
            "web",
            |e| {
                let turned = of_route(e, 2, "/checkout").filter(|span| lot(span, 2) == 0);
                for span in turned {
                    set(&mut span.attributes, "http.route", string("/"));
                    set(&mut span.attributes, "http.request.method", string("GET"));
                    slow(span, 0.25);
                }
            },
            (Info, Mix, "POST /checkout", "another mix of requests"),
        ),
        case(
            "three times as many requests",
            "pay",
            |e| {
                repeat(e, 2, "/charge", 2);
                repeat(e, 3, "/gateway", 2);
            },
            (Warning, Volume, "POST /charge", "more requests"),
        ),
        case(
            "the same requests in bursts",
            "web",
            |e| {
                if e.step % 2 == 0 {
                    e.spans.iter_mut().for_each(|span| {
                        span.start_time_unix_nano += 20 * SECOND;
                        span.end_time_unix_nano += 20 * SECOND;
                    });
                }
            },
            (Info, Volume, "", "other bursts"),
        ),
        case(
            "three times as many calls for each request",
            "cart",
            |e| repeat(e, 3, "SELECT", 2),
            (Critical, Structure, "SELECT items", "called more often"),
        ),
        case(
            "a call that most requests skip",
            "cart",
            |e| e.spans.retain(|span| !is_of(span, 3, "UPDATE") || lot(span, 5) == 0),
            (Critical, Structure, "UPDATE items", "called less often"),
        ),
        // How long requests take, and whether they fail.
        case(
            "all requests take half as long again",
            "cart",
            |e| of_route(e, 2, "/cart").for_each(|span| slow(span, 1.5)),
            (Critical, Latency, "GET /cart", "slower"),
        ),
        case(
            "p95 is half as long again, the median is the same",
            "pay",
            |e| {
                let slowest = of_route(e, 2, "/charge").max_by_key(|span| took(span));
                slow(slowest.expect("a request"), 1.5);
            },
            (Critical, Latency, "POST /charge", "slower"),
        ),
        case(
            "one request in forty takes five times as long",
            "cart",
            |e| {
                if e.is_turn(2) {
                    of_route(e, 2, "/cart").take(1).for_each(|span| slow(span, 5.0));
                }
            },
            (Critical, Latency, "GET /cart", "slower"),
        ),
        case(
            "requests that take half as long",
            "web",
            |e| of_route(e, 2, "/checkout").for_each(|span| slow(span, 0.5)),
            (Warning, Latency, "POST /checkout", "faster"),
        ),
        case(
            "5 % of the requests fail",
            "web",
            |e| {
                if e.is_turn(5) {
                    of_route(e, 2, "/checkout").take(1).for_each(|span| fail(span, ""));
                }
            },
            (Critical, Errors, "POST /checkout", "fails more often"),
        ),
        case(
            "a new kind of failure, within the tolerance of the rate",
            "cart",
            |e| {
                if e.is_turn(6) {
                    of_route(e, 2, "/cart").take(1).for_each(|span| fail(span, "timeout"));
                }
            },
            (Warning, Errors, "", "new error type"),
        ),
        // What metrics say.
        case(
            "a counter grows twice as fast",
            "cart",
            |e| scale(e, "cart.items.added", 2.0),
            (Critical, Value, "metric cart.items.added", "higher value"),
        ),
        case(
            "a counter that nobody asked about grows twice as fast",
            "cart",
            |e| scale(e, "cart.lookups", 2.0),
            (Info, Value, "metric cart.lookups", "higher value"),
        ),
        case(
            "a gauge that decides is a third higher",
            "cart",
            |e| scale(e, "cart.size", 1.33),
            (Critical, Value, "metric cart.size", "higher value"),
        ),
        case(
            "a gauge that nobody asked about is half as high",
            "pay",
            |e| scale(e, "pay.queue.depth", 0.5),
            (Warning, Value, "metric pay.queue.depth", "lower value"),
        ),
        case(
            "a histogram's values are greater",
            "cart",
            |e| {
                let Some(Data::Histogram(data)) = &mut metric(e, "cart.weight").data else { unreachable!() };
                let point = &mut data.data_points[0];
                let heavier = point.bucket_counts[1] / 2;
                point.bucket_counts[1] -= heavier;
                point.bucket_counts[3] += heavier;
                point.sum = point.sum.map(|sum| sum + 5.0 * heavier as f64);
            },
            (Critical, Value, "metric cart.weight", "higher value"),
        ),
        case(
            "an exponential histogram's values are twice as great",
            "cart",
            |e| {
                let Some(Data::ExponentialHistogram(data)) = &mut metric(e, "cart.value").data else {
                    unreachable!()
                };
                let point = &mut data.data_points[0];
                point.positive.as_mut().expect("positive").offset += 8;
                point.sum = point.sum.map(|sum| 2.0 * sum);
            },
            (Warning, Value, "metric cart.value", "higher value"),
        ),
        case(
            "a summary's upper quantile is twice as great",
            "pay",
            |e| {
                let Some(Data::Summary(data)) = &mut metric(e, "pay.settlement").data else { unreachable!() };
                data.data_points[0].quantile_values[1].value *= 2.0;
            },
            (Warning, Value, "metric pay.settlement", "higher value"),
        ),
        case(
            "an availability that falls from the top",
            "pay",
            |e| scale(e, "pay.availability", if e.step % 4 == 0 { 0.8 } else { 0.98 }),
            (Critical, Value, "metric pay.availability", "no longer at the top"),
        ),
        case(
            "a report that is older",
            "pay",
            |e| scale(e, "pay.report.age", 3.0),
            (Critical, Value, "metric pay.report.age", "higher value"),
        ),
        case(
            "another checksum",
            "pay",
            |e| {
                let points = points(e, "pay.report.rows");
                points
                    .iter_mut()
                    .for_each(|point| set(&mut point.attributes, "report.checksum", string("beef")));
            },
            (Critical, Value, "attribute report.checksum", "other values"),
        ),
    ]
}

/// What each of them changes.
pub fn changes() -> Vec<Change> {
    mutations().iter().map(|of| (of.service, of.change)).collect()
}

/// Whether the report is what the mutation asks for, and a row that says what it found.
fn held(mutation: &Mutation, report: &Report) -> (bool, String) {
    let (level, aspect, about, title) = mutation.finds;
    let mut found: Vec<String> =
        report.findings.iter().map(|finding| told(finding, &report.candidate.environment)).collect();
    let mut wanted: Vec<String> = mutation.with.iter().map(|told| (*told).to_owned()).collect();
    wanted.push(line(level, aspect, mutation.service, about, title));
    found.sort();
    wanted.sort();
    let shapes = report.services.iter().flat_map(|service| &service.coverage.shapes);
    let shapes: Vec<&str> = shapes.map(|shape| shape.item.as_str()).collect();
    let is_held = found == wanted && (aspect != Shape || shapes == [about]);
    let row = format!("{} → {}", mutation.what, found.join("; "));
    (is_held, if is_held { row } else { format!("{row}\n    wanted {}", wanted.join("; ")) })
}

#[test]
fn two_sides_that_are_alike_but_for_chance_have_no_finding() {
    let [report] = &judged(&[("", |_| {})])[..] else { panic!("one") };
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    // Some operations are open: three pods differ by chance more than a few hundred requests can tell.
    assert_ne!(report.verdict, Verdict::Divergent, "{}", report.summary);
    let decided = report.services.iter().flat_map(|service| &service.values).filter(|value| value.decides);
    assert!(decided.map(|value| value.verdict).all(|verdict| verdict == Verdict::Parity));
}

#[test]
fn a_metric_more_and_a_pod_less_are_no_finding_and_are_seen_in_the_evidence() {
    let more: Change = ("cart", |e| {
        let again = metric(e, "cart.size").clone();
        e.metrics.push(Metric { name: "cart.age".to_owned(), ..again });
    });
    let less: Change = ("web", |e| {
        if e.pod == 2 {
            e.spans.clear();
            e.metrics.clear();
            e.logs.clear();
        }
    });
    let reports = judged(&[more, less]);
    let [more, less] = &reports[..] else { panic!("two") };
    let service = |report: &Report, name: &str| {
        report.services.iter().find(|service| service.service == name).expect("the service").clone()
    };
    assert!(more.findings.is_empty() && less.findings.is_empty(), "{:?} {:?}", more.findings, less.findings);
    assert_eq!(service(more, "cart").coverage.extra, ["metric cart.age", "metric attribute cart.age[tier]"]);
    let clusters = service(less, "web").operations[0].latency.clusters.expect("instances");
    assert_eq!((clusters.baseline, clusters.candidate), (3, 2));
}

#[test]
fn each_planted_difference_is_one_finding_that_names_it_and_nothing_else_is() {
    let mutations = mutations();
    let rows_of = |mutations: &[Mutation]| -> Vec<(bool, String)> {
        let changes: Vec<Change> = mutations.iter().map(|of| (of.service, of.change)).collect();
        mutations.iter().zip(&judged(&changes)).map(|(mutation, report)| held(mutation, report)).collect()
    };
    let rows: Vec<(bool, String)> = std::thread::scope(|scope| {
        let parts = mutations.chunks(18).map(|part| scope.spawn(|| rows_of(part)));
        let parts: Vec<_> = parts.collect();
        parts.into_iter().flat_map(|part| part.join().expect("no panic")).collect()
    });
    let table = |(is_held, row): &(bool, String)| format!("{} {row}\n", if *is_held { "✓" } else { "✗" });
    assert!(rows.iter().all(|(is_held, _)| *is_held), "\n{}", rows.iter().map(table).collect::<String>());
}
