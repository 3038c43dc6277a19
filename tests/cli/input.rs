//! Recordings as a collector's file exporter writes them, from a seed.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// 2026-01-01T00:00:00Z, nanoseconds.
const START_NS: u64 = 1_767_225_600_000_000_000;

/// A minute of one environment: `n` requests of each of two operations.
pub struct Recording<'a> {
    pub environment: &'a str,
    pub n: u64,
    /// How much longer `POST /checkout` takes.
    pub factor: f64,
    pub seed: u64,
}

impl Recording<'_> {
    /// One request a line.
    pub fn lines(&self) -> String {
        let mut random = self.seed;
        let mut lines = String::new();
        for at in 0..self.n {
            let spans: Vec<Value> = [("POST", "/checkout", self.factor), ("GET", "/cart", 1.0)]
                .map(|(method, route, factor)| {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let unit = (random >> 11) as f64 / (1_u64 << 53) as f64;
                    let start = START_NS + at * 60_000_000_000 / self.n;
                    let end = start + (20e6 * (0.9 + 0.2 * unit) * factor) as u64;
                    json!({
                        "traceId": format!("{:032x}", at + 1),
                        "spanId": format!("{:016x}", at + 1),
                        "name": format!("{method} {route}"),
                        "kind": 2,
                        "startTimeUnixNano": start.to_string(),
                        "endTimeUnixNano": end.to_string(),
                        "attributes": [text("http.request.method", method), text("http.route", route)],
                    })
                })
                .into();
            let attributes = [
                text("service.name", "shop"),
                text("service.version", "1.4.2"),
                text("deployment.environment.name", self.environment),
            ];
            let request = json!({"resourceSpans": [
                {"resource": {"attributes": attributes}, "scopeSpans": [{"scope": {}, "spans": spans}]}
            ]});
            lines.push_str(&request.to_string());
            lines.push('\n');
        }
        lines
    }

    /// The same in a file of a folder.
    pub fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join(format!("{}.json", self.environment));
        std::fs::write(&path, self.lines()).unwrap();
        path
    }
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// `prod` and `canary` in a folder: 600 requests an operation, the canary's checkout longer by `factor`.
pub fn pair(folder: &Path, factor: f64) -> (String, String) {
    let write = |environment, factor, seed| {
        let path = Recording { environment, n: 600, factor, seed }.write(folder);
        path.to_str().unwrap().to_owned()
    };
    (write("prod", 1.0, 1), write("canary", factor, 2))
}
