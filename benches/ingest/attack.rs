//! Names without end: somebody puts identifiers where names belong. Others' telemetry is judged all the same.

use crate::cases::Times;
use crate::common::Traffic;
use crate::load::{self, Load};
use crate::payloads::{Batch, Coding, ENVIRONMENTS, Fresh, OPERATIONS, Pool, Supply, Wire, date, now_ns};
use crate::process::until;
use crate::table::{Bench, digits};
use crate::targets::{Kind, Settings, Target};
use isotel::model::operation::OVERFLOW;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use prost::Message;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How every name of the attack begins; no honest one has it anywhere.
const FLOOD: &str = "flood";
/// Stands for what follows, of the same length.
const PLACE: &[u8; 16] = b"XXXXXXXXXXXXXXXX";
const SPANS: usize = 100;
/// One request in so many is honest.
const HONEST: usize = 10;
const NAMES: u64 = 10_000_000;
/// Names after which memory is looked at first.
const NAMES_BEFORE: u64 = 1_000_000;
const RSS_MOST_MIB: f64 = 512.0;

/// Ten million different span names, routes and services, beside 200 honest operations in two environments.
pub fn attack(bench: &mut Bench, times: Times) {
    let Some(target) = Target::start(Kind::Isotel, &Settings::default()) else { return };
    let load = Load {
        wire: Wire::Grpc,
        coding: Coding::Identity,
        rate: None,
        warm_up: Duration::ZERO,
        measure: times.warm_up,
    };
    bench.head("Ten million names", &["names", "peak RSS, MiB", "RSS, MiB", "limits that were hit"]);
    // Who was there first has a name.
    let honest = load::run(load, &target, honest());
    let mut acknowledged = honest.acknowledged;
    let (mut peak, mut from) = (0.0, 0);
    for names in [0, NAMES_BEFORE, NAMES] {
        let load = Load { measure: Duration::from_secs(3_600), ..load };
        let measured = load::run(load, &target, names_between(from, names));
        from = names;
        acknowledged += measured.acknowledged;
        bench.exact(&format!("{names} names"), &target, acknowledged, &measured.failures);
        peak = target.process.peak_rss_mib();
        let page = target.page();
        let hit = page.lines().filter_map(|line| line.strip_prefix("isotel_engine_limit_hits{limit=\""));
        let hit: Vec<_> = hit.map(|rest| rest.replace("\"} ", " ")).collect();
        bench.row(&[names.to_string(), digits(peak), digits(target.process.rss_mib()), hit.join(", ")]);
    }
    for limit in ["operations_per_service", "services"] {
        let counted = target.metric("engine_limit_hits", &format!("\"{limit}\"")) > 0.0;
        bench.must(&format!("the limit {limit} is counted by name"), counted);
    }
    until("honest operations are judged", || (honest_judged(&target) == OPERATIONS).then_some(()));
    bench.targets();
    bench.target("peak RSS with ten million names", peak, RSS_MOST_MIB, "MiB");
}

/// Every operation in every environment.
fn honest() -> Arc<Pool> {
    let mut traffic = Traffic::new(OPERATIONS, ENVIRONMENTS);
    let requests = (0..ENVIRONMENTS).map(|environment| traffic.even(environment, 1)).collect();
    Pool::new(requests, Wire::Grpc, Coding::Identity)
}

/// Honest operations with a verdict on latency.
fn honest_judged(target: &Target) -> usize {
    let page = target.page();
    let lines = page.lines().filter(|line| line.starts_with("parity_latency_ks_statistic{"));
    let honest = lines.filter(|line| !line.contains(FLOOD) && !line.contains(OVERFLOW));
    honest.map(|line| line.rsplit_once(' ').map_or(line, |(labels, _)| labels)).collect::<BTreeSet<_>>().len()
}

/// Requests with so many new names, and honest ones between them.
fn names_between(from: u64, to: u64) -> Arc<dyn Supply> {
    let honest = honest();
    let mut templates = Template::all();
    let (mut turn, mut name) = (0, from);
    Fresh::new(move || {
        if name >= to {
            return None;
        }
        turn += 1;
        if turn % HONEST == 0 {
            return honest.next();
        }
        let kind = turn % templates.len();
        let request = templates[kind].request(&mut name);
        Some(Batch::framed(&request, SPANS as u64, Wire::Grpc, Coding::Identity))
    })
}

/// An encoded request with places for names.
struct Template {
    request: ExportTraceServiceRequest,
    dated: Instant,
    bytes: Vec<u8>,
    places: Vec<usize>,
}

impl Template {
    /// Names of spans, of routes, and of services.
    fn all() -> [Template; 3] {
        let place = format!("{FLOOD}{}", String::from_utf8_lossy(PLACE));
        let mut names = Traffic::new(OPERATIONS, ENVIRONMENTS).batch_of(1, SPANS);
        let mut routes = names.clone();
        for span in &mut names.resource_spans[0].scope_spans[0].spans {
            span.name.clone_from(&place);
            span.kind = 1;
            span.attributes.clear();
        }
        for span in &mut routes.resource_spans[0].scope_spans[0].spans {
            span.kind = 2;
            span.attributes =
                vec![text("http.request.method", "GET"), text("http.route", &format!("/{place}"))];
        }
        let mut services = Traffic::new(OPERATIONS, ENVIRONMENTS).batch_of(SPANS, SPANS);
        for resource in services.resource_spans.iter_mut().filter_map(|of| of.resource.as_mut()) {
            resource.attributes[0] = text("service.name", &place);
        }
        [names, routes, services].map(Template::new)
    }

    fn new(mut request: ExportTraceServiceRequest) -> Template {
        date(&mut request, now_ns());
        let bytes = request.encode_to_vec();
        let places: Vec<_> =
            (0..bytes.len() - PLACE.len()).filter(|&at| bytes[at..].starts_with(PLACE)).collect();
        assert_eq!(places.len(), SPANS);
        Template { request, dated: Instant::now(), bytes, places }
    }

    fn request(&mut self, name: &mut u64) -> Vec<u8> {
        if self.dated.elapsed() > Duration::from_secs(1) {
            *self = Template::new(std::mem::take(&mut self.request));
        }
        let mut bytes = self.bytes.clone();
        for &place in &self.places {
            // Letters alone, and no word of hexadecimal digits: isotel takes these for names.
            for (digit, byte) in bytes[place..place + PLACE.len()].iter_mut().enumerate() {
                *byte = b'g' + (*name >> (4 * digit) & 0xf) as u8;
            }
            *name += 1;
        }
        bytes
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}
