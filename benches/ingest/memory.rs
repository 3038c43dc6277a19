//! Many series: what sealing and judging them does to who sends meanwhile, and the memory that they take.

use crate::cases::Times;
use crate::load::{self, Load};
use crate::payloads::{Coding, ENVIRONMENTS, Fresh, Wire};
use crate::process::until;
use crate::table::{Bench, digits, ratio};
use crate::targets::{Kind, Settings, Target};
use std::time::Duration;

const SEALED_SERIES: usize = 10_000;

fn load(rate: f64, warm_up: Duration, measure: Duration) -> Load {
    Load { wire: Wire::Grpc, coding: Coding::Identity, rate: Some(rate), warm_up, measure }
}

/// 20,000 spans a second over 10,000 series of two environments, with windows that end every ten seconds and with one
/// that does not.
pub fn seal(bench: &mut Bench, times: Times) {
    let columns = ["windows", "ack p99 ÷ without", "ack p50, ms", "ack p99, ms", "ack p99.9, ms", "CPU-s/M"];
    bench.head("20,000 spans/s of 10,000 series in two environments", &columns);
    let (mut without, mut with) = (None, f64::NAN);
    for (name, window) in [("none ends", "1h"), ("of 10 s", "10s")] {
        let settings = Settings { window, ..Settings::default() };
        let Some(target) = Target::start(Kind::Isotel, &settings) else { return };
        // All series are known by then.
        let load = load(20_000.0, times.warm_up + Duration::from_secs(10), times.measure * 8);
        let measured = load::run(load, &target, Fresh::traffic(SEALED_SERIES));
        bench.exact(name, &target, measured.acknowledged, &measured.failures);
        let judged = target.page().contains("parity_verdict");
        bench.must(&format!("windows {name}, judged: {judged}"), judged == (window == "10s"));
        with = measured.ack_ms(0.99);
        without = without.or(Some(with));
        bench.row(&[
            name.to_owned(),
            ratio(with, without),
            digits(measured.ack_ms(0.5)),
            digits(with),
            digits(measured.ack_ms(0.999)),
            digits(measured.cpu_s_per_million()),
        ]);
    }
    bench.targets();
    bench.target("ack p99 with windows that end ÷ without", with / without.unwrap_or(f64::NAN), 2.0, "×");
}

/// Memory idle, and with many series: a span in two seconds of each, six windows of ten seconds remembered.
pub fn memory(bench: &mut Bench, times: Times) {
    bench.head(
        "Memory",
        &["series × environments", "peak RSS, MiB", "RSS at the end, MiB", "KiB a series and environment"],
    );
    let mut found = Vec::new();
    for (series, most) in [(0, 20.0), (10_000, 150.0), (100_000, 1_024.0)] {
        let settings = Settings {
            parity: "
  period: 60s
  limits: {series: 1000000, operations_per_service: 100000, items: 1000000}"
                .to_owned(),
            ..Settings::default()
        };
        let Some(target) = Target::start(Kind::Isotel, &settings) else { return };
        let cells = (series * ENVIRONMENTS) as f64;
        if series > 0 {
            let rate = cells / 2.0;
            let load = load(rate, Duration::ZERO, times.measure * 18);
            let measured = load::run(load, &target, Fresh::traffic(series));
            // With fewer spans less memory is taken.
            let came = measured.spans as f64 / measured.seconds / rate;
            bench.must(&format!("{came:.2} of the spans of {series} series came in time"), came > 0.95);
            bench.exact(&format!("{series} series"), &target, measured.acknowledged, &measured.failures);
            until("the windows are judged", || target.page().contains("parity_verdict").then_some(()));
            let hits = target.metric("engine_limit_hits", "");
            bench.must(&format!("{hits} limits were hit with {series} series"), hits == 0.0);
        } else {
            std::thread::sleep(times.warm_up);
        }
        let peak = target.process.peak_rss_mib();
        bench.row(&[
            format!("{series} × {ENVIRONMENTS}"),
            digits(peak),
            digits(target.process.rss_mib()),
            if series > 0 { digits(peak * 1_024.0 / cells) } else { "–".to_owned() },
        ]);
        found.push((series, peak, most));
    }
    bench.targets();
    for (series, peak, most) in found {
        bench.target(&format!("peak RSS with {series} series in two environments"), peak, most, "MiB");
    }
}
