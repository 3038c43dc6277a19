//! Three reports made by hand: a planted regression, parity everywhere, and nothing to compare.

use isotel::judge::verdict::*;
use serde_json::json;
use std::collections::BTreeMap;

/// A canary whose checkout became slower at the tail and whose cart fails more; one series lacks requests.
pub fn regression() -> Report {
    let mut checkout = service("shop/checkout", Verdict::Divergent, 38.0);
    checkout.operations = vec![
        slower_tail(),
        steady("GET /cart/{id}", "server", 8_410, 0.0121),
        failing("POST /cart/{id}/items"),
        too_few("GET /orders/{id}"),
    ];
    checkout.coverage = Coverage {
        expected: 50,
        present: 48,
        ratio: 0.96,
        missing: vec![
            "metric checkout.queue.depth".into(),
            "attribute http.route of span GET /cart/{id}".into(),
        ],
        extra: vec!["log event checkout.retry".into()],
        shape: vec!["metric http.server.request.duration: unit `s` in prod, `ms` in canary".into()],
        ..Coverage::default()
    };
    checkout.facts = vec![
        fact("service.version", Some("1.14.2"), Some("1.15.0-rc.1")),
        fact("process.runtime.version", Some("21.0.3"), Some("21.0.3")),
        fact("k8s.node.architecture", Some("amd64"), None),
    ];
    let traces = |parents_sought, broken_parent_share| SideCompleteness {
        signals: vec!["traces".into()],
        spans: 30_000,
        root_share: Some(0.01),
        parents_sought,
        broken_parent_share,
        kept_share: Some(1.0),
        ..SideCompleteness::default()
    };
    checkout.completeness = Some(CompletenessResult {
        baseline: Some(traces(4_021, Some(0.0))),
        candidate: Some(traces(3_988, Some(0.0123))),
    });
    let mut payment = service("shop/payment", Verdict::Parity, 100.0);
    payment.operations = vec![steady("payment.Charge/Authorise", "server", 2_205, 0.182)];
    payment.coverage = Coverage { expected: 12, present: 12, ratio: 1.0, ..Coverage::default() };
    let aspects = [
        (Aspect::Latency, Verdict::Divergent, 52.0),
        (Aspect::Errors, Verdict::Divergent, 74.0),
        (Aspect::Volume, Verdict::NoData, 0.0),
        (Aspect::Presence, Verdict::Parity, 96.8),
    ];
    Report {
        verdict: Verdict::Divergent,
        score: 43.2,
        summary: "canary is not prod: POST /checkout of shop/checkout is 25 % slower at p95, and \
                  POST /cart/{id}/items fails 3.2 % of the time instead of 0.1 %."
            .into(),
        aspects: aspects
            .into_iter()
            .map(|(a, verdict, score)| (a, AspectResult { verdict, score }))
            .collect(),
        services: vec![checkout, payment],
        findings: regression_findings(),
        limits_hit: vec!["operations per service: 14".into()],
        input: InputCounts {
            spans: 48_213,
            metric_points: 1_204,
            log_records: 1,
            rejected: [("bad_span_id".into(), 12), ("late".into(), 2_003)].into(),
        },
        ..empty("release-1.15", "prod", "canary")
    }
}

fn regression_findings() -> Vec<Finding> {
    vec![
        Finding {
            id: "latency-5f1c09a2".into(),
            level: Level::Critical,
            aspect: Aspect::Latency,
            service: Some("shop/checkout".into()),
            operation: Some("POST /checkout".into()),
            title: "POST /checkout is slower".into(),
            message:
                "p95 went from 210 ms to 263 ms, +25 % with an interval of +21 % to +30 %; the tolerance is \
                      ±15 %."
                    .into(),
            action:
                "Compare slow traces of POST /checkout in both environments; p50 did not move, so look for a \
                     part of the requests that takes another path."
                    .into(),
            evidence: numbers(json!({"q": 0.95, "ratio": 1.25, "tolerance": 0.15, "n_baseline": 12034})),
            waived_by: None,
            item: None,
            owner: None,
        },
        Finding {
            id: "errors-77aa01de".into(),
            level: Level::Critical,
            aspect: Aspect::Errors,
            service: Some("shop/checkout".into()),
            operation: Some("POST /cart/{id}/items".into()),
            title: "POST /cart/{id}/items fails more often".into(),
            message: "3.20 % of requests fail instead of 0.10 %: +3.10 percentage points [+2.55, +3.74]."
                .into(),
            action: "Read the error spans of canary; most carry the same status message.".into(),
            evidence: numbers(json!({"delta": 0.031, "tolerance": 0.01, "codes": {"500": 119, "503": 8}})),
            waived_by: None,
            item: None,
            owner: None,
        },
        Finding {
            id: "presence-0b9e11c4".into(),
            level: Level::Warning,
            aspect: Aspect::Presence,
            service: Some("shop/checkout".into()),
            operation: None,
            title: "metric checkout.queue.depth is missing".into(),
            message: "prod sends metric checkout.queue.depth, canary never did.".into(),
            action: "Check whether 1.15.0-rc.1 still registers it.".into(),
            evidence: BTreeMap::new(),
            waived_by: None,
            item: None,
            owner: None,
        },
        Finding {
            id: "facts-3d2f8810".into(),
            level: Level::Info,
            aspect: Aspect::Facts,
            service: Some("shop/checkout".into()),
            operation: None,
            title: "service.version differs".into(),
            message: "service.version is 1.14.2 in prod and 1.15.0-rc.1 in canary.".into(),
            action: "Nothing, if this is the release that is judged.".into(),
            evidence: numbers(json!({"baseline": "1.14.2", "candidate": "1.15.0-rc.1"})),
            waived_by: Some("release-versions-differ (owner: shop, until 2026-12-31)".into()),
            item: None,
            owner: None,
        },
    ]
}

/// Two services, 30 operations, and nothing to say about any of them.
pub fn all_parity() -> Report {
    let mut services =
        vec![service("cart", Verdict::Parity, 100.0), service("search", Verdict::Parity, 100.0)];
    for (at, one) in services.iter_mut().enumerate() {
        one.operations = (0..15)
            .map(|n| {
                steady(
                    &format!("GET /resource-{n}/{{id}}"),
                    "server",
                    9_000 - 500 * n as u64,
                    0.004 * (at + 1) as f64,
                )
            })
            .collect();
        one.coverage = Coverage { expected: 31, present: 31, ratio: 1.0, ..Coverage::default() };
        one.facts = vec![fact("service.version", Some("2.0.0"), Some("2.0.0"))];
    }
    let parity = AspectResult { verdict: Verdict::Parity, score: 100.0 };
    Report {
        verdict: Verdict::Parity,
        score: 100.0,
        summary: "staging is the same as prod within the tolerances in all 30 operations.".into(),
        aspects: [Aspect::Latency, Aspect::Errors, Aspect::Presence].map(|aspect| (aspect, parity)).into(),
        services,
        input: InputCounts { spans: 330_000, ..InputCounts::default() },
        ..empty("nightly", "prod", "staging")
    }
}

/// A candidate that never sent anything, beside one operation with too few requests.
pub fn without_data() -> Report {
    let mut search = service("search", Verdict::NoData, 0.0);
    search.operations = vec![only_baseline("GET /search"), too_few("GET /suggest")];
    search.coverage = Coverage { expected: 9, present: 0, ratio: 0.0, ..Coverage::default() };
    search.coverage.missing = (1..=9).map(|n| format!("metric search.index.{n}")).collect();
    Report {
        verdict: Verdict::NoData,
        score: 0.0,
        summary: "dr sent nothing, so there is nothing to compare.".into(),
        aspects: [(Aspect::Latency, AspectResult { verdict: Verdict::NoData, score: 0.0 })].into(),
        services: vec![search],
        findings: vec![Finding {
            id: "presence-none".into(),
            level: Level::Critical,
            aspect: Aspect::Presence,
            service: None,
            operation: None,
            title: "dr sends no telemetry".into(),
            message: "No span, metric or log record names environment dr.".into(),
            action: "Check deployment.environment.name of its resources; seen were: prod, prd.".into(),
            evidence: numbers(json!({"seen": ["prod", "prd"]})),
            waived_by: None,
            item: None,
            owner: None,
        }],
        input: InputCounts { spans: 4_100, ..InputCounts::default() },
        period: Period { start: None, end: None, windows: 0 },
        ..empty("disaster-recovery", "prod", "dr")
    }
}

pub fn empty(comparison: &str, baseline: &str, candidate: &str) -> Report {
    Report {
        schema: SCHEMA.into(),
        generated_at: "2026-07-01T10:31:02Z".into(),
        comparison: comparison.into(),
        baseline: Side { environment: baseline.into(), ..Side::default() },
        candidate: Side { environment: candidate.into(), ..Side::default() },
        period: Period {
            start: Some("2026-07-01T10:00:00Z".into()),
            end: Some("2026-07-01T10:30:00Z".into()),
            windows: 30,
        },
        verdict: Verdict::NoData,
        score: 0.0,
        summary: String::new(),
        aspects: BTreeMap::new(),
        services: Vec::new(),
        findings: Vec::new(),
        limits_hit: Vec::new(),
        input: InputCounts::default(),
        calibration: None,
        facts: None,
        arrival: None,
        owner: None,
        slos: Vec::new(),
    }
}

/// A canary whose queue is longer and whose report has another checksum; a third metric is open, two are evidence.
pub fn metrics() -> Report {
    let mut etl = service("shop/etl", Verdict::Divergent, 33.0);
    let value = |metric: &str, unit: &str, statistic: &str, verdict: Verdict| ValueResult {
        metric: metric.into(),
        unit: unit.into(),
        instrument: if statistic == "rate" { "counter" } else { "gauge" }.into(),
        statistic: statistic.into(),
        per: None,
        configured: true,
        decides: true,
        verdict,
        baseline: Some(41.2),
        candidate: Some(83.7),
        windows_baseline: 12,
        windows_candidate: 9,
        ratio: Some(83.7 / 41.2),
        ratio_low: Some(1.81),
        ratio_high: Some(2.27),
        difference: Some(42.5),
        difference_low: None,
        difference_high: None,
        tolerance: 0.1,
        floor: 0.0,
        p_value: Some(0.0004),
        reason: "it is higher than ±10 % allows (adjusted p = 0.0004)".into(),
        needs: None,
        finding: None,
        accepted: false,
    };
    let depth = value("queue.depth{queue=orders}", "{job}", "mean", Verdict::Divergent);
    let checksum = value("report.checksum", "", "equal", Verdict::Divergent);
    let rows = value("rows.written", "{row}", "rate", Verdict::Inconclusive);
    let memory = value("process.memory.usage", "By", "mean", Verdict::Divergent);
    etl.values = vec![
        ValueResult { decides: false, configured: false, ..memory },
        ValueResult { finding: Some("value-4d2c66f0".into()), ..depth },
        ValueResult {
            instrument: "text".into(),
            baseline: Some(2.0),
            candidate: Some(3.0),
            ratio: None,
            ratio_low: None,
            ratio_high: None,
            difference: None,
            p_value: None,
            reason: "1 of the baseline's 2 value(s) are not in the candidate, and 2 of the candidate's 3 not in the \
                     baseline"
                .into(),
            ..checksum
        },
        ValueResult {
            per: Some("request".into()),
            ratio_low: None,
            ratio_high: None,
            difference_low: Some(-3.0),
            difference_high: Some(88.0),
            floor: 5.0,
            needs: Some(ValueNeeds { windows: 40 }),
            reason: "its interval reaches over ±5 {row}/request".into(),
            ..rows
        },
        ValueResult {
            decides: false,
            configured: false,
            ..value("process.threads", "{thread}", "mean", Verdict::Parity)
        },
    ];
    let told = Finding {
        id: "value-4d2c66f0".into(),
        level: Level::Critical,
        aspect: Aspect::Value,
        service: Some("shop/etl".into()),
        operation: None,
        title: "higher value".into(),
        message: "shop/etl has mean of queue.depth{queue=orders} at 83.7 {job} instead of 41.2 {job}.".into(),
        action: "Find out what moves this metric in the candidate.".into(),
        evidence: numbers(json!({"tolerance": 0.1, "ratio": 2.03})),
        waived_by: None,
        item: Some("metric queue.depth{queue=orders}".into()),
        owner: None,
    };
    Report {
        verdict: Verdict::Divergent,
        score: 16.7,
        summary: "canary differs from prod: 0 of 0 operations and 2 of 3 metrics are outside tolerance."
            .into(),
        aspects: [(Aspect::Value, AspectResult { verdict: Verdict::Divergent, score: 16.7 })].into(),
        services: vec![etl],
        findings: vec![told],
        ..empty("release-1.15", "prod", "canary")
    }
}

pub fn service(name: &str, verdict: Verdict, score: f64) -> ServiceResult {
    ServiceResult {
        service: name.into(),
        verdict,
        score,
        operations: Vec::new(),
        coverage: Coverage::default(),
        facts: Vec::new(),
        values: Vec::new(),
        total: None,
        dependencies: Vec::new(),
        completeness: None,
        volume: None,
    }
}

fn fact(key: &str, baseline: Option<&str>, candidate: Option<&str>) -> Fact {
    Fact {
        key: key.into(),
        baseline: baseline.map(Into::into),
        candidate: candidate.map(Into::into),
        equal: baseline == candidate,
        rule: Some(if key == "service.version" { FactRule::MayDiffer } else { FactRule::MustEqual }),
        severity: Some(if key == "service.version" { Level::Info } else { Level::Warning }),
        group: Some(if key == "service.version" { FactGroup::Artifact } else { FactGroup::Runtime }),
        broken: key != "service.version" && baseline != candidate,
        accepted: false,
    }
}

fn numbers(value: serde_json::Value) -> BTreeMap<String, serde_json::Value> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn quantile(q: f64, baseline: f64, ratio: f64, half_width: f64) -> QuantileResult {
    QuantileResult {
        q,
        baseline_s: baseline.into(),
        candidate_s: (baseline * ratio).into(),
        ratio: ratio.into(),
        ratio_low: (ratio - half_width).into(),
        ratio_high: (ratio + half_width).into(),
    }
}

/// An operation at parity in everything.
pub fn steady(name: &str, kind: &str, n: u64, median: f64) -> OperationResult {
    OperationResult {
        operation: name.into(),
        kind: kind.into(),
        verdict: Verdict::Parity,
        score: 100.0,
        latency: LatencyResult {
            verdict: Verdict::Parity,
            n_baseline: n,
            n_candidate: n - n / 100,
            source: Source::Spans,
            ks: Some(KsResult { d: 0.012, d_low: 0.012, d_high: 0.012, p_value: 0.71, p_adjusted: 1.0 }),
            quantiles: [
                quantile(0.5, median, 1.004, 0.011),
                quantile(0.9, median * 1.8, 0.996, 0.018),
                quantile(0.95, median * 2.1, 0.991, 0.024),
                QuantileResult { ratio_high: Figure::NONE, ..quantile(0.99, median * 3.4, 1.02, 0.08) },
            ]
            .into(),
            sequential: None,
            reason: "every quantile's interval lies inside of ±15 %".into(),
            needs: None,
            clusters: None,
            suspicion: None,
            distances: None,
            resolution: None,
        },
        errors: errors(Verdict::Parity, (n, n / 1000), (n, n / 1000), Some((0.0, -0.0009, 0.0011))),
        volume: VolumeResult {
            verdict: Verdict::NoData,
            baseline_per_s: (n as f64 / 1800.0).into(),
            candidate_per_s: (n as f64 / 1800.0).into(),
            ratio: 1.0.into(),
            reason: "volume is not judged".into(),
            ..VolumeResult::unjudged()
        },
        structure: None,
        warmup: None,
    }
}

fn errors(
    verdict: Verdict,
    baseline: (u64, u64),
    candidate: (u64, u64),
    delta: Option<(f64, f64, f64)>,
) -> ErrorsResult {
    let counts = |(n, errors): (u64, u64)| ErrorCounts {
        n,
        errors,
        rate: (n > 0).then(|| errors as f64 / n as f64).into(),
    };
    ErrorsResult {
        verdict,
        baseline: counts(baseline),
        candidate: counts(candidate),
        delta: delta.map(|d| d.0).into(),
        delta_low: delta.map(|d| d.1).into(),
        delta_high: delta.map(|d| d.2).into(),
        p_value: delta.map(|d| if d.1 > 0.0 { 1e-9 } else { 0.8 }).into(),
        reason: "the interval against ±1 percentage point".into(),
    }
}

fn slower_tail() -> OperationResult {
    let mut op = steady("POST /checkout", "server", 12_034, 0.102);
    op.verdict = Verdict::Divergent;
    op.score = 0.0;
    op.latency.verdict = Verdict::Divergent;
    op.latency.ks =
        Some(KsResult { d: 0.118, d_low: 0.116, d_high: 0.121, p_value: 1e-12, p_adjusted: 4e-12 });
    op.latency.quantiles = [
        quantile(0.5, 0.102, 1.018, 0.013),
        quantile(0.9, 0.171, 1.19, 0.03),
        quantile(0.95, 0.210, 1.254, 0.045),
        quantile(0.99, 0.355, 1.61, 0.21),
    ]
    .into();
    op.latency.reason = "p95 is outside of ±15 %: +25 % [+21 %, +30 %]".into();
    op.latency.clusters =
        Some(Clusters { baseline: 9, candidate: 1, deff_baseline: 1.8, deff_candidate: 1.8, borrowed: true });
    op
}

fn failing(name: &str) -> OperationResult {
    let mut op = steady(name, "server", 4_006, 0.034);
    op.verdict = Verdict::Divergent;
    op.score = 50.0;
    op.errors = errors(Verdict::Divergent, (4_006, 4), (3_966, 127), Some((0.031, 0.0255, 0.0374)));
    op
}

fn too_few(name: &str) -> OperationResult {
    let mut op = steady(name, "server", 61, 0.048);
    op.verdict = Verdict::Inconclusive;
    op.score = 50.0;
    op.latency.verdict = Verdict::Inconclusive;
    op.latency.quantiles = [
        quantile(0.5, 0.048, 1.09, 0.22),
        QuantileResult {
            ratio_low: Figure::NONE,
            ratio_high: Figure::NONE,
            ..quantile(0.95, 0.11, 1.3, 0.0)
        },
    ]
    .into();
    op.latency.reason = "the interval of p50, -13 % to +31 %, reaches beyond ±15 %".into();
    op.latency.needs = Some(Needs { n: 740, minutes: 12.5.into() });
    op.latency.resolution = Some("shifts under 10 % do not show in these buckets".into());
    op.errors = errors(Verdict::Inconclusive, (61, 0), (61, 1), Some((0.0164, -0.043, 0.087)));
    op
}

fn only_baseline(name: &str) -> OperationResult {
    let mut op = steady(name, "server", 4_039, 0.02);
    op.verdict = Verdict::NoData;
    op.score = 0.0;
    op.latency.verdict = Verdict::NoData;
    op.latency.n_candidate = 0;
    op.latency.ks = None;
    op.latency.quantiles = vec![0.5, 0.95]
        .into_iter()
        .map(|q| QuantileResult {
            candidate_s: Figure::NONE,
            ratio: Figure::NONE,
            ratio_low: Figure::NONE,
            ratio_high: Figure::NONE,
            ..quantile(q, 0.02, 1.0, 0.0)
        })
        .collect();
    op.latency.reason = "no requests in dr".into();
    op.errors = errors(Verdict::NoData, (4_039, 3), (0, 0), None);
    op
}

/// Every report with a name for its snapshots.
pub fn reports() -> [(&'static str, Report); 4] {
    [
        ("regression", regression()),
        ("all_parity", all_parity()),
        ("without_data", without_data()),
        ("metrics", metrics()),
    ]
}
