//! Results → OTLP metrics, in requests of a bounded size.
//!
//! Reports, endpoints and timings flow in, `ExportMetricsServiceRequest`s flow out one by one, ready for prost. Gauges
//! are stamped with the end of the window that was judged, never with the time of sending: the same result sent twice
//! is the same point. What is summed has delta temporality, since a restart then loses nothing and invents nothing.

use crate::engine::Endpoint;
use crate::export::gauges::{self, Attributes, FAMILIES, Number};
use crate::export::histogram::ExponentialHistogram;
use crate::judge::Report;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, ExponentialHistogramDataPoint, Gauge, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

/// Who sends: the resource of everything that isotel emits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// `service.version`.
    pub version: String,
    /// `service.instance.id`, unique per running agent.
    pub instance_id: String,
    /// `parity.tenant` on every point and record: of whom the results are, where there are tenants.
    pub tenant: Option<String>,
}

/// What is to be sent.
pub struct Results<'a> {
    /// One entry per comparison that was judged.
    pub judged: Vec<Judged<'a>>,
    /// Tells what was measured per environment and operation, the same each time it is asked.
    pub endpoints: &'a Endpoints<'a>,
    /// What judging cost.
    pub timings: Vec<Timing>,
}

/// Tells one endpoint after the other.
pub type Endpoints<'a> = dyn Fn(&mut dyn FnMut(&Endpoint<'_>)) + 'a;

/// A report with the window that it stands for.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// The report.
    pub report: &'a Report,
    /// End of the last window judged, nanoseconds since 1970: the time of its gauges.
    pub end_ns: u64,
}

/// What judging one comparison cost since the last time it was told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timing {
    /// `parity.comparison`.
    pub comparison: String,
    /// `parity.baseline`.
    pub baseline: String,
    /// `parity.candidate`.
    pub candidate: String,
    /// Start of the time told of, nanoseconds since 1970.
    pub start_ns: u64,
    /// End of the time told of, nanoseconds since 1970.
    pub end_ns: u64,
    /// How long each judgement took, seconds.
    pub durations_s: Vec<f64>,
    /// From each window's end to its verdict, seconds.
    pub delays_s: Vec<f64>,
}

/// Sends everything as OTLP, in requests of at most `bytes_most` encoded bytes each; none when there is nothing to say.
/// One request exists at a time: those of thousands of operations take more memory than their evidence.
///
/// A point that alone is larger than that (names are bounded, so it takes a very small limit) travels alone: the
/// receiver may refuse it, and its refusal is counted where requests are sent.
pub fn metrics_requests(
    results: &Results<'_>,
    sender: &Sender,
    bytes_most: usize,
    send: &mut dyn FnMut(ExportMetricsServiceRequest),
) {
    let mut packer = Packer::new(sender, bytes_most, send);
    gauge_metrics(&results.judged, &mut packer);
    endpoint_metrics(results.endpoints, &mut packer);
    timing_metrics(&results.timings, &mut packer);
    packer.close_request();
}

fn gauge_metrics(judged: &[Judged<'_>], packer: &mut Packer<'_>) {
    for family in FAMILIES {
        let (name, unit, description) = (family.name, family.unit, family.description);
        let head = Head { name, unit, description, shape: Shape::Gauge };
        for Judged { report, end_ns } in judged {
            family.points(report, &mut |attributes, value| {
                let value = match value {
                    Number::Int(n) => number_data_point::Value::AsInt(n),
                    Number::Double(x) => number_data_point::Value::AsDouble(x),
                };
                packer.number(head, number_point(key_values(attributes), 0, *end_ns, value));
            });
        }
    }
}

fn endpoint_metrics(endpoints: &Endpoints<'_>, packer: &mut Packer<'_>) {
    let duration = Head {
        name: "parity.endpoint.duration",
        unit: "s",
        description: "Durations of calls per environment and operation.",
        shape: Shape::Histogram,
    };
    endpoints(&mut |endpoint| {
        let attributes = key_values(&endpoint_attributes(endpoint));
        let histogram = ExponentialHistogram::from_sketch(&endpoint.latency);
        packer.histogram(duration, histogram.to_point(attributes, endpoint.start_ns, endpoint.end_ns));
    });
    let calls = Head {
        name: "parity.endpoint.calls",
        unit: "{call}",
        description: "Calls per environment and operation, by outcome.",
        shape: Shape::Sum,
    };
    endpoints(&mut |endpoint| {
        for (status, n) in [("OK", endpoint.calls_ok), ("ERROR", endpoint.calls_error)] {
            // A delta of nothing says nothing.
            if n > 0 {
                let mut attributes = endpoint_attributes(endpoint);
                gauges::push(&mut attributes, "status.code", status);
                let value = number_data_point::Value::AsInt(i64::try_from(n).unwrap_or(i64::MAX));
                packer.number(
                    calls,
                    number_point(key_values(&attributes), endpoint.start_ns, endpoint.end_ns, value),
                );
            }
        }
    });
}

fn endpoint_attributes<'a>(endpoint: &'a Endpoint<'_>) -> Attributes<'a> {
    let (series, mut attributes) = (endpoint.series, Attributes::new());
    gauges::push(&mut attributes, "deployment.environment.name", endpoint.environment);
    gauges::push(&mut attributes, "service.name", &*series.service.name);
    if !series.service.namespace.is_empty() {
        gauges::push(&mut attributes, "service.namespace", &*series.service.namespace);
    }
    gauges::push(&mut attributes, "parity.operation", &*series.operation);
    gauges::push(&mut attributes, "span.kind", series.kind.as_str());
    attributes
}

fn timing_metrics(timings: &[Timing], packer: &mut Packer<'_>) {
    type Samples = fn(&Timing) -> &[f64];
    let metrics: [(&str, &str, Samples); 2] = [
        ("parity.comparison.duration", "How long a judgement took.", |timing| &timing.durations_s),
        ("parity.detection.delay", "From the end of a window to its verdict.", |timing| &timing.delays_s),
    ];
    for (name, description, samples) in metrics {
        let head = Head { name, unit: "s", description, shape: Shape::Histogram };
        for timing in timings {
            let histogram = ExponentialHistogram::from_samples(samples(timing));
            if histogram.count > 0 {
                let attributes =
                    gauges::comparison_attributes(&timing.comparison, &timing.baseline, &timing.candidate);
                let point = histogram.to_point(key_values(&attributes), timing.start_ns, timing.end_ns);
                packer.histogram(head, point);
            }
        }
    }
}

fn number_point(
    attributes: Vec<KeyValue>,
    start_ns: u64,
    end_ns: u64,
    value: number_data_point::Value,
) -> NumberDataPoint {
    NumberDataPoint {
        attributes,
        start_time_unix_nano: start_ns,
        time_unix_nano: end_ns,
        exemplars: Vec::new(),
        flags: 0,
        value: Some(value),
    }
}

/// Attributes as OTLP has them.
pub(super) fn key_values(attributes: &Attributes<'_>) -> Vec<KeyValue> {
    let text = |value: &str| any_value::Value::StringValue(value.to_owned());
    attributes.iter().map(|(key, value)| key_value(*key, text(value))).collect()
}

impl Sender {
    /// Attributes with the tenant's.
    pub(super) fn mark(&self, attributes: &mut Vec<KeyValue>) {
        let of_name = |name: &String| key_value("parity.tenant", any_value::Value::StringValue(name.clone()));
        attributes.extend(self.tenant.as_ref().map(of_name));
    }
}

/// One attribute.
pub(super) fn key_value(key: impl Into<String>, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// `service.name=isotel` with version and instance.
pub(super) fn resource(sender: &Sender) -> Resource {
    let mut attributes = Attributes::new();
    gauges::push(&mut attributes, "service.name", "isotel");
    gauges::push(&mut attributes, "service.version", &sender.version);
    gauges::push(&mut attributes, "service.instance.id", &sender.instance_id);
    Resource { attributes: key_values(&attributes), ..Resource::default() }
}

/// The scope of everything that isotel emits.
pub(super) fn scope(sender: &Sender) -> InstrumentationScope {
    InstrumentationScope {
        name: "isotel".to_owned(),
        version: sender.version.clone(),
        ..InstrumentationScope::default()
    }
}

/// The most bytes that protobuf puts in front of an embedded message here: a tag of one byte and a length that is
/// under 2^35.
pub(super) const FRAME: usize = 6;

/// What a metric is, before it has points.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Head {
    name: &'static str,
    unit: &'static str,
    description: &'static str,
    shape: Shape,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Gauge,
    /// Delta, monotonic.
    Sum,
    /// Delta, exponential.
    Histogram,
}

impl Head {
    fn empty(self) -> Metric {
        let delta = AggregationTemporality::Delta as i32;
        let data = match self.shape {
            Shape::Gauge => metric::Data::Gauge(Gauge::default()),
            Shape::Sum => metric::Data::Sum(Sum {
                data_points: Vec::new(),
                aggregation_temporality: delta,
                is_monotonic: true,
            }),
            Shape::Histogram => metric::Data::ExponentialHistogram(
                opentelemetry_proto::tonic::metrics::v1::ExponentialHistogram {
                    data_points: Vec::new(),
                    aggregation_temporality: delta,
                },
            ),
        };
        Metric {
            name: self.name.to_owned(),
            description: self.description.to_owned(),
            unit: self.unit.to_owned(),
            metadata: Vec::new(),
            data: Some(data),
        }
    }
}

/// Fills requests point by point and starts a new one before the limit. Sizes are upper bounds: every length prefix
/// counts as the longest that it could be.
struct Packer<'a> {
    sender: &'a Sender,
    send: &'a mut dyn FnMut(ExportMetricsServiceRequest),
    bytes_most: usize,
    bytes_empty: usize,
    bytes: usize,
    /// The metric that takes points.
    open: Option<(Head, Metric)>,
    metrics: Vec<Metric>,
}

impl<'a> Packer<'a> {
    fn new(
        sender: &'a Sender,
        bytes_most: usize,
        send: &'a mut dyn FnMut(ExportMetricsServiceRequest),
    ) -> Packer<'a> {
        let bytes_empty = resource(sender).encoded_len() + scope(sender).encoded_len() + 4 * FRAME;
        Packer { sender, send, bytes_most, bytes_empty, bytes: bytes_empty, open: None, metrics: Vec::new() }
    }

    fn number(&mut self, head: Head, mut point: NumberDataPoint) {
        self.sender.mark(&mut point.attributes);
        let metric = self.room_for(head, point.encoded_len());
        match &mut metric.data {
            Some(metric::Data::Gauge(gauge)) => gauge.data_points.push(point),
            Some(metric::Data::Sum(sum)) => sum.data_points.push(point),
            _ => debug_assert!(false, "{} holds no numbers", head.name),
        }
    }

    fn histogram(&mut self, head: Head, mut point: ExponentialHistogramDataPoint) {
        self.sender.mark(&mut point.attributes);
        let metric = self.room_for(head, point.encoded_len());
        match &mut metric.data {
            Some(metric::Data::ExponentialHistogram(histogram)) => histogram.data_points.push(point),
            _ => debug_assert!(false, "{} holds no histograms", head.name),
        }
    }

    /// The metric that takes the next point of `bytes` bytes, in a request that has room for it.
    fn room_for(&mut self, head: Head, bytes: usize) -> &mut Metric {
        let opening = head.empty().encoded_len() + 2 * FRAME;
        let point = bytes + FRAME;
        let continues = self.open.as_ref().is_some_and(|(open, _)| *open == head);
        if self.bytes + point + if continues { 0 } else { opening } > self.bytes_most {
            self.close_request();
        } else if !continues {
            self.close_metric();
        }
        if self.open.is_none() {
            self.bytes += opening;
        }
        self.bytes += point;
        &mut self.open.get_or_insert_with(|| (head, head.empty())).1
    }

    fn close_metric(&mut self) {
        self.metrics.extend(self.open.take().map(|(_, metric)| metric));
    }

    fn close_request(&mut self) {
        self.close_metric();
        let metrics = std::mem::take(&mut self.metrics);
        self.bytes = self.bytes_empty;
        if metrics.is_empty() {
            return;
        }
        let scope_metrics =
            ScopeMetrics { scope: Some(scope(self.sender)), metrics, schema_url: String::new() };
        let resource_metrics = ResourceMetrics {
            resource: Some(resource(self.sender)),
            scope_metrics: vec![scope_metrics],
            schema_url: String::new(),
        };
        (self.send)(ExportMetricsServiceRequest { resource_metrics: vec![resource_metrics] });
    }
}
