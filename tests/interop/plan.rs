//! What a client is told to send, and what must arrive.

use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::PathBuf};
use tempfile::TempDir;

/// Requests of each operation.
pub const REQUESTS: u64 = 1_000;
/// The first span begins so long before the plan is made.
const AGO_NS: u64 = 100_000_000_000;
/// Spans begin within so long.
const SPREAD_NS: u64 = 90_000_000_000;

/// What one operation did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub n: u64,
    pub errors: u64,
    pub duration_ns: u128,
}

/// One environment's plan.
pub struct Plan {
    folder: TempDir,
    /// Of spans, by operation.
    pub spans: BTreeMap<&'static str, Sum>,
    /// Of histogram records, by operation.
    pub records: BTreeMap<&'static str, Sum>,
}

impl Plan {
    /// `factor` is how much longer the planted operations take. In spans those are `POST /checkout/{id}` and in the
    /// histogram `GET /search`; `GET /cart` in spans and `GET /ping` in the histogram take the same everywhere.
    pub fn new(now_ns: u64, seed: u64, factor: f64) -> Plan {
        let mut random = Random(seed);
        let (mut spans, mut planned) = (Vec::new(), BTreeMap::new());
        for (operation, route, factor, fails_every) in
            [("POST /checkout/{id}", "/checkout/{id}", factor, 20), ("GET /cart", "/cart", 1.0, u64::MAX)]
        {
            let sum: &mut Sum = planned.entry(operation).or_default();
            for n in 1..=REQUESTS {
                let duration_ns = random.duration_ns(factor);
                let failed = n % fails_every == 0;
                sum.n += 1;
                sum.errors += u64::from(failed);
                sum.duration_ns += u128::from(duration_ns);
                spans.push(json!({
                    "name": operation,
                    "kind": "server",
                    "start_offset_ns": n * (SPREAD_NS / REQUESTS),
                    "duration_ns": duration_ns,
                    "status": if failed { "error" } else { "unset" },
                    "attributes": {
                        "http.request.method": operation.split(' ').next(),
                        "http.route": route,
                        "http.response.status_code": if failed { 503 } else { 200 },
                    },
                }));
            }
        }
        let (mut recorded, mut values) = (BTreeMap::new(), Vec::new());
        for (operation, route, factor) in [("GET /search", "/search", factor), ("GET /ping", "/ping", 1.0)] {
            let sum: &mut Sum = recorded.entry(operation).or_default();
            for _ in 0..REQUESTS {
                let duration_ns = random.duration_ns(factor);
                sum.n += 1;
                sum.duration_ns += u128::from(duration_ns);
                let attributes = json!({"http.request.method": "GET", "http.route": route, "http.response.status_code": 200});
                values.push(json!({"value": duration_ns as f64 / 1e9, "attributes": attributes}));
            }
        }
        // Finer than the SDKs' own, which would hide the difference.
        let boundaries: Vec<f64> = (32..100).map(|quarter| f64::from(quarter) / 4_000.0).collect();
        let plan = json!({
            "base_unix_nano": (now_ns - AGO_NS).to_string(),
            "spans": spans,
            "histogram": {
                "name": "http.server.request.duration", "unit": "s", "boundaries": boundaries, "records": values,
            },
            "counter": {"name": "orders.placed", "unit": "{order}", "adds": [{"value": 3, "attributes": {}}]},
        });
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("plan.json"), plan.to_string()).unwrap();
        Plan { folder, spans: planned, records: recorded }
    }

    /// The file that the clients read.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("plan.json")
    }
}

/// What the clients say at their end when all went well.
pub fn all_sent() -> Value {
    json!({"spans": 2 * REQUESTS, "records": 2 * REQUESTS, "exports_failed": 0})
}

/// Steele's and Vigna's SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 12 ms give or take a tenth, times `factor`.
    fn duration_ns(&mut self, factor: f64) -> u64 {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        (12e6 * (0.9 + 0.2 * unit) * factor) as u64
    }
}
