//! To the last span: what was acknowledged is what was counted, also of requests that come twice or too late.

use crate::cases::Times;
use crate::load::{self, Load};
use crate::payloads::{Batch, Coding, Fresh, Pool, Shape, Supply, Wire, date, now_ns};
use crate::process::until;
use crate::table::Bench;
use crate::targets::{Kind, Settings, Target};
use std::sync::Arc;
use std::time::Duration;

/// Longer ago than any window waits.
const LATE_NS: u64 = 600_000_000_000;

/// Fresh requests until windows have been judged, then some twice, then some that are ten minutes late.
pub fn exact(bench: &mut Bench, times: Times) {
    let settings = Settings { window: "1s", lateness: "1s", ..Settings::default() };
    let Some(target) = Target::start(Kind::Isotel, &settings) else { return };
    let load = Load {
        wire: Wire::Grpc,
        coding: Coding::Identity,
        rate: None,
        warm_up: Duration::ZERO,
        measure: times.measure,
    };
    bench.head("To the last span", &["requests", "spans acknowledged", "counted", "of them late"]);
    let mut acknowledged = 0;
    let pool = Pool::of(Shape::Sdk, load.wire, load.coding);
    let bounded = |batches: Vec<Batch>| {
        let mut batches = batches.into_iter();
        Fresh::new(move || batches.next()) as Arc<dyn Supply>
    };
    for (what, late_share) in [("as they come", 0.0), ("each twice", 0.0), ("ten minutes late", 1.0)] {
        let late_before = target.metric("engine_late_items", "");
        let supply = match what {
            "as they come" => pool.clone(),
            "each twice" => {
                bounded(batches(0).into_iter().flat_map(|batch| [batch.clone(), batch]).collect())
            }
            _ => bounded(batches(LATE_NS)),
        };
        let measured = load::run(load, &target, supply);
        acknowledged += measured.acknowledged;
        bench.exact(what, &target, acknowledged, &measured.failures);
        let late = target.metric("engine_late_items", "") - late_before;
        bench.row(&[
            what.to_owned(),
            measured.acknowledged.to_string(),
            target.metric("receiver_accepted_spans", "").to_string(),
            late.to_string(),
        ]);
        let expected = measured.acknowledged as f64 * late_share;
        bench.must(&format!("{what}: {late} spans late instead of {expected}"), late == expected);
        until("a window is judged", || target.page().contains("parity_verdict").then_some(()));
    }
    for family in ["engine_unassigned_items", "engine_refused_items"] {
        bench.must(family, target.metric(family, "") == 0.0);
    }
}

/// Requests that ended so long ago.
fn batches(ago_ns: u64) -> Vec<Batch> {
    let mut requests = Shape::Sdk.requests();
    let dated = requests.iter_mut().map(|request| {
        date(request, now_ns() - ago_ns);
        Batch::new(request, Wire::Grpc, Coding::Identity)
    });
    dated.collect()
}
