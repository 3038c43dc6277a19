//! Going on for long: memory stays where it is while series and instances come and go.

use crate::cases::Times;
use crate::common::Traffic;
use crate::load::{self, Load};
use crate::payloads::{Batch, Coding, ENVIRONMENTS, Fresh, OPERATIONS, Supply, Wire, date, now_ns};
use crate::table::{Bench, digits};
use crate::targets::{Kind, Settings, Target};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

const SPANS_PER_SECOND: f64 = 10_000.0;
/// One span in so many has a name that lives for a second.
const CHURNING: usize = 10;
/// Such names at a time.
const NAMES: u64 = 50;
/// How long an instance lives.
const INSTANCE_S: u64 = 10;
const SAMPLE: Duration = Duration::from_secs(1);
/// Windows open, are remembered and are forgotten again before this share of the run, and limits are reached.
const WARM_UP: f64 = 0.25;
const SLOPE_MOST_KIB_PER_MIN: f64 = 100.0;

/// 10,000 spans a second of 200 operations that stay, of names that live for a second, and of instances that live for ten.
pub fn soak(bench: &mut Bench, times: Times) {
    let settings = Settings {
        parity: "
  period: 60s
  limits: {operations_per_service: 100, instances: 1000}"
            .to_owned(),
        ..Settings::default()
    };
    let Some(target) = Target::start(Kind::Isotel, &settings) else { return };
    let load = Load {
        wire: Wire::Grpc,
        coding: Coding::Identity,
        rate: Some(SPANS_PER_SECOND),
        warm_up: times.measure.mul_f64(WARM_UP),
        measure: times.measure.mul_f64(1.0 - WARM_UP),
    };
    let (began, over) = (Instant::now(), AtomicBool::new(false));
    let (measured, samples) = std::thread::scope(|scope| {
        let sampling = scope.spawn(|| {
            let mut samples = Vec::new();
            while !over.load(Relaxed) {
                samples.push((began.elapsed().as_secs_f64() / 60.0, target.process.rss_mib() * 1_024.0));
                std::thread::sleep(SAMPLE);
            }
            samples
        });
        let measured = load::run(load, &target, churning());
        over.store(true, Relaxed);
        (measured, sampling.join().unwrap())
    });
    bench.exact("soak", &target, measured.acknowledged, &measured.failures);
    let after = load.warm_up.as_secs_f64() / 60.0;
    let flat: Vec<_> = samples.iter().copied().filter(|(minutes, _)| *minutes >= after).collect();
    bench.head(
        "10,000 spans/s of names and instances that come and go",
        &["minute", "RSS, MiB", "slope from here on, KiB/min"],
    );
    for tenth in 0..10 {
        let rest = &flat[flat.len() * tenth / 10..];
        let Some((minute, rss)) = rest.first() else { continue };
        bench.row(&[digits(*minute), digits(rss / 1_024.0), digits(slope(rest))]);
    }
    let hits = target.page();
    let hits = hits.lines().filter(|line| line.starts_with("isotel_engine_limit_hits"));
    println!("\nPeak {} MiB. {}", digits(target.process.peak_rss_mib()), hits.collect::<Vec<_>>().join(", "));
    bench.targets();
    bench.target("RSS after warm-up", slope(&flat), SLOPE_MOST_KIB_PER_MIN, "KiB/min");
}

/// Least squares: by how much the second grows with the first.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let covariance: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    covariance / points.iter().map(|point| (point.0 - x).powi(2)).sum::<f64>()
}

fn churning() -> Arc<dyn Supply> {
    let (mut traffic, began) = (Traffic::new(OPERATIONS, ENVIRONMENTS), Instant::now());
    Fresh::new(move || {
        let mut request = traffic.batch(100);
        date(&mut request, now_ns());
        churn(&mut request, began.elapsed().as_secs());
        Some(Batch::new(&request, Wire::Grpc, Coding::Identity))
    })
}

/// Gives a request the instances and names of a second.
fn churn(request: &mut ExportTraceServiceRequest, second: u64) {
    for resource in &mut request.resource_spans {
        let attributes = resource.resource.iter_mut().flat_map(|resource| &mut resource.attributes);
        for attribute in attributes.filter(|attribute| attribute.key == "service.instance.id") {
            if let Some(AnyValue { value: Some(Value::StringValue(id)) }) = &mut attribute.value {
                id.push_str(&letters(second / INSTANCE_S));
            }
        }
        let spans = resource.scope_spans.iter_mut().flat_map(|scope| &mut scope.spans);
        for span in spans.step_by(CHURNING) {
            span.attributes.clear();
            span.name = format!("churn {}", letters(second * NAMES + u64::from(span.span_id[0]) % NAMES));
        }
    }
}

/// Letters alone, and no word of hexadecimal digits: isotel takes these for names.
fn letters(number: u64) -> String {
    (0..16).rev().map(|digit| char::from(b'g' + (number >> (4 * digit) & 0xf) as u8)).collect()
}
