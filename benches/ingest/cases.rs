//! Speed: what a span costs over each transport and coding, at fixed rates, on one core and two, and when it goes on.

use crate::load::{self, Load, Measured};
use crate::payloads::{Coding, Pool, Shape, Wire};
use crate::table::{Bench, digits, ratio};
use crate::targets::{Kind, Settings, Target};
use crate::{attack, exact, memory, process::until, soak};
use std::time::{Duration, Instant};

/// How long to load.
#[derive(Clone, Copy)]
pub struct Times {
    pub warm_up: Duration,
    pub measure: Duration,
}

pub type Case = fn(&mut Bench, Times);

/// By name, in the order in which they run.
pub const ALL: [(&str, Case); 11] = [
    ("exact", exact::exact),
    ("grpc", grpc),
    ("coding", coding),
    ("ack", ack),
    ("quiet", quiet),
    ("cores", cores),
    ("forward", forward),
    ("seal", memory::seal),
    ("memory", memory::memory),
    ("attack", attack::attack),
    ("soak", soak::soak),
];

const COLUMNS: [&str; 8] = [
    "target, requests",
    "CPU-s/M ÷ walk",
    "CPU-s/M",
    "thousand spans/s",
    "MB/s",
    "ack p50, ms",
    "ack p99, ms",
    "peak RSS, MiB",
];

/// A load and what it came to, of a target with these settings.
pub fn load_on(
    bench: &mut Bench,
    kind: Kind,
    settings: &Settings,
    load: Load,
    pool: &std::sync::Arc<Pool>,
) -> Option<(Measured, Target)> {
    let target = Target::start(kind, settings)?;
    let measured = load::run(load, &target, pool.clone());
    bench.exact(kind.name(), &target, measured.acknowledged, &measured.failures);
    Some((measured, target))
}

/// gRPC, 4 connections of 2 streams, closed loop, every target and every shape.
fn grpc(bench: &mut Bench, times: Times) {
    bench.head("gRPC, no compression", &COLUMNS);
    for shape in Shape::ALL {
        let targets = [Kind::Walk, Kind::Isotel, Kind::Drop, Kind::Collector];
        closed_loop(bench, times, shape, (Wire::Grpc, Coding::Identity), &targets);
    }
}

/// Both transports with and without compression, and what is left when decompression is taken off.
fn coding(bench: &mut Bench, times: Times) {
    bench.head("Transports and codings", &COLUMNS);
    let mut shares = Vec::new();
    for wire in [Wire::Grpc, Wire::Http] {
        let mut plain = None;
        for coding in [Coding::Identity, Coding::Gzip, Coding::Zstd] {
            let targets = [Kind::Walk, Kind::Isotel, Kind::Collector];
            let isotel = closed_loop(bench, times, Shape::Sdk, (wire, coding), &targets);
            let plain = *plain.get_or_insert(isotel);
            if coding != Coding::Identity {
                shares.push((wire, coding, isotel, plain, inflating(coding)));
            }
        }
    }
    bench.targets();
    for (wire, coding, isotel, plain, inflating) in shares {
        let measure = format!(
            "{} {}: isotel {} against {} without and {} for decompression alone",
            wire.name(),
            coding.name(),
            digits(isotel),
            digits(plain),
            digits(inflating)
        );
        bench.target(&measure, isotel / (plain + inflating), 1.2, "×");
    }
}

/// CPU seconds for decompressing a million spans in this process, and nothing else.
fn inflating(coding: Coding) -> f64 {
    let pool = Pool::of(Shape::Sdk, Wire::Http, coding);
    let (batches, began) = (pool.batches(), Instant::now());
    let (cpu_before, mut spans) = (thread_cpu_s(), 0);
    while began.elapsed() < Duration::from_secs(1) {
        for batch in batches.iter() {
            spans += batch.spans;
            std::hint::black_box(coding.decode(&batch.body));
        }
    }
    (thread_cpu_s() - cpu_before) / spans as f64 * 1e6
}

fn thread_cpu_s() -> f64 {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    schedstat.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// 20,000 spans a second: how long an answer takes when there is no queue.
fn ack(bench: &mut Bench, times: Times) {
    bench.head(
        "20,000 spans/s",
        &["target", "ack p99 ÷ walk", "ack p50, ms", "ack p99, ms", "ack p99.9, ms", "CPU-s/M"],
    );
    let mut found = Vec::new();
    for wire in [Wire::Grpc, Wire::Http] {
        let pool = Pool::of(Shape::Sdk, wire, Coding::Identity);
        let load = at_rate(20_000.0, wire, Times { measure: times.measure * 4, ..times });
        let mut floor = None;
        for kind in [Kind::Walk, Kind::Isotel, Kind::Collector] {
            let Some((measured, _)) = load_on(bench, kind, &Settings::default(), load, &pool) else {
                continue;
            };
            let p99 = measured.ack_ms(0.99);
            floor = floor.or(Some(p99));
            bench.row(&[
                format!("{}, {}", kind.name(), wire.name()),
                ratio(p99, floor),
                digits(measured.ack_ms(0.5)),
                digits(p99),
                digits(measured.ack_ms(0.999)),
                digits(measured.cpu_s_per_million()),
            ]);
            if kind == Kind::Isotel {
                found.push((wire, p99));
            }
        }
    }
    bench.targets();
    for (wire, p99) in found {
        bench.target(&format!("{}: ack p99 at 20,000 spans/s", wire.name()), p99, 5.0, "ms");
    }
}

/// 10,000 spans a second: what an agent takes from its host.
fn quiet(bench: &mut Bench, times: Times) {
    let columns = ["transport", "target", "CPU ÷ walk", "% of a core", "peak RSS, MiB"];
    bench.head("10,000 spans/s", &columns);
    let mut found = Vec::new();
    for wire in [Wire::Grpc, Wire::Http] {
        let pool = Pool::of(Shape::Sdk, wire, Coding::Identity);
        let load = at_rate(10_000.0, wire, Times { measure: times.measure * 6, ..times });
        let mut floor = None;
        for kind in [Kind::Walk, Kind::Isotel, Kind::Collector] {
            let Some((measured, target)) = load_on(bench, kind, &Settings::default(), load, &pool) else {
                continue;
            };
            let (core, rss) = (100.0 * measured.cpu_s / measured.seconds, target.process.peak_rss_mib());
            floor = floor.or(Some(core));
            let [wire_name, kind_name] = [wire.name(), kind.name()].map(str::to_owned);
            bench.row(&[wire_name, kind_name, ratio(core, floor), digits(core), digits(rss)]);
            if kind == Kind::Isotel {
                found.push((wire, core, rss));
            }
        }
    }
    bench.targets();
    for (wire, core, rss) in found {
        bench.target(&format!("{}: CPU at 10,000 spans/s", wire.name()), core, 3.0, "% of a core");
        bench.target(&format!("{}: peak RSS at 10,000 spans/s", wire.name()), rss, 40.0, "MiB");
    }
}

/// One processor against two, four connections. The client shares the machine.
fn cores(bench: &mut Bench, times: Times) {
    let pool = Pool::of(Shape::Sdk, Wire::Grpc, Coding::Identity);
    let load = closed(Wire::Grpc, Coding::Identity, times);
    let columns = ["target", "CPU-s/M, 2 ÷ 1", "CPU-s/M, 1", "CPU-s/M, 2", "spans/s, 2 ÷ 1"];
    bench.head("One core and two by gRPC", &columns);
    let mut found = None;
    for kind in [Kind::Walk, Kind::Isotel] {
        let [one, two] = ["0", "0,1"].map(|processors| {
            let settings = Settings { processors: Some(processors), ..Settings::default() };
            load_on(bench, kind, &settings, load, &pool).map(|(measured, _)| measured)
        });
        let (Some(one), Some(two)) = (one, two) else { continue };
        let cpu = [&one, &two].map(Measured::cpu_s_per_million);
        bench.row(&[
            kind.name().to_owned(),
            ratio(cpu[1], Some(cpu[0])),
            digits(cpu[0]),
            digits(cpu[1]),
            ratio(two.spans as f64 / two.seconds, Some(one.spans as f64 / one.seconds)),
        ]);
        found = Some(cpu[1] / cpu[0]);
    }
    bench.targets();
    bench.target("isotel: CPU of a span on two cores ÷ on one", found.unwrap_or(f64::NAN), 1.1, "×");
}

/// Every request goes on to a server that drops it.
fn forward(bench: &mut Bench, times: Times) {
    let pool = Pool::of(Shape::Sdk, Wire::Grpc, Coding::Identity);
    let load = at_rate(100_000.0, Wire::Grpc, Times { measure: times.measure * 2, ..times });
    bench
        .head("100,000 spans/s, forwarded", &["isotel", "CPU-s/M ÷ not forwarded", "CPU-s/M", "ack p99, ms"]);
    let sink = Target::start(Kind::Drop, &Settings::default()).unwrap();
    let (mut alone, mut found) = (None, Vec::new());
    for to in [None, Some(Wire::Grpc), Some(Wire::Http)] {
        let settings = Settings { forward: to.map(|wire| (wire, sink.grpc)), ..Settings::default() };
        let Some((measured, target)) = load_on(bench, Kind::Isotel, &settings, load, &pool) else { return };
        let cpu = measured.cpu_s_per_million();
        let alone = *alone.get_or_insert(cpu);
        let name =
            to.map_or_else(|| "not forwarded".to_owned(), |wire| format!("forwarded by {}", wire.name()));
        bench.row(&[name.clone(), ratio(cpu, Some(alone)), digits(cpu), digits(measured.ack_ms(0.99))]);
        if to.is_some() {
            let all = target.metric("receiver_requests", "success");
            until("all is forwarded", || (target.metric("exporter_sent_requests", "") == all).then_some(()));
            found.push((name, cpu - alone));
        }
    }
    bench.targets();
    for (name, more) in found {
        bench.target(&format!("{name}: CPU more than without"), more, 1.0, "CPU-s/M");
    }
}

fn closed(wire: Wire, coding: Coding, times: Times) -> Load {
    Load { wire, coding, rate: None, warm_up: times.warm_up, measure: times.measure }
}

fn at_rate(rate: f64, wire: Wire, times: Times) -> Load {
    Load { rate: Some(rate), ..closed(wire, Coding::Identity, times) }
}

/// One shape against targets; the floor comes first, since the others are divided by it. What isotel took, CPU-s/M.
fn closed_loop(
    bench: &mut Bench,
    times: Times,
    shape: Shape,
    (wire, coding): (Wire, Coding),
    targets: &[Kind],
) -> f64 {
    let pool = Pool::of(shape, wire, coding);
    let bytes: usize = pool.batches().iter().map(|batch| batch.body.len()).sum();
    let spans: u64 = pool.batches().iter().map(|batch| batch.spans).sum();
    let (mut floor, mut isotel) = (None, f64::NAN);
    for &kind in targets {
        let load = closed(wire, coding, times);
        let Some((measured, target)) = load_on(bench, kind, &Settings::default(), load, &pool) else {
            continue;
        };
        let cpu = measured.cpu_s_per_million();
        floor = floor.or(Some(cpu));
        if kind == Kind::Isotel {
            isotel = cpu;
        }
        let per_second = measured.spans as f64 / measured.seconds;
        bench.row(&[
            format!("{}, {} {}, `{}`", kind.name(), wire.name(), coding.name(), shape.name()),
            ratio(cpu, floor),
            digits(cpu),
            digits(per_second / 1e3),
            digits(per_second * bytes as f64 / spans as f64 / 1e6),
            digits(measured.ack_ms(0.5)),
            digits(measured.ack_ms(0.99)),
            digits(target.process.peak_rss_mib()),
        ]);
    }
    isotel
}
