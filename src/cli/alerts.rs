//! Alerts at work: looks in, messages out, and what is kept of them over a restart.

use crate::agent::AlertRoutes;
use crate::agent::prometheus::{Family, Point, Value};
use crate::agent::storage::Storage;
use crate::agent::telemetry::Families;
use crate::alert::{AlertPolicy, Alerts, Counts, message};
use crate::config::{Config, Content};
use crate::engine::{Engine, Event};
use crate::judge::slo::{Budgets, Severity};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The alerts of a running agent.
pub struct Alerting {
    tenant: Option<String>,
    policy: AlertPolicy,
    alerts: Alerts,
    routes: AlertRoutes,
    shown: Arc<Mutex<Shown>>,
}

/// What own telemetry tells of alerts.
#[derive(Clone, Copy, Default)]
struct Shown {
    counts: Counts,
    pages: u64,
    tickets: u64,
}

/// What outlives the process, as postcard has it.
#[derive(Serialize, Deserialize)]
struct Kept {
    alerts: Alerts,
    budgets: BTreeMap<String, Budgets>,
}

impl Alerting {
    /// Goes on with what a storage has of alerts and budgets.
    pub fn resume(
        config: &Config,
        tenant: Option<&str>,
        storage: Option<&Storage>,
        engine: &mut Engine,
    ) -> Alerting {
        let kept = storage.and_then(Storage::alerts);
        let kept = kept.and_then(|bytes| match postcard::from_bytes::<Kept>(&bytes) {
            Ok(kept) => Some(kept),
            Err(cause) => {
                tracing::warn!(%cause, "what was kept of alerts cannot be read; error budgets begin anew");
                None
            }
        });
        let alerts = kept.map(|Kept { alerts, budgets }| {
            engine.resume_budgets(budgets);
            alerts
        });
        let alerting = Alerting {
            tenant: tenant.map(str::to_owned),
            policy: policy(config, tenant),
            alerts: alerts.unwrap_or_default(),
            routes: AlertRoutes::default(),
            shown: Arc::default(),
        };
        alerting.show();
        alerting
    }

    /// What own telemetry tells of them.
    pub fn families(&self) -> Families {
        let told = Arc::clone(&self.shown);
        Arc::new(move || families(*told.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Where messages go.
    pub fn send_to(&mut self, routes: AlertRoutes) {
        self.routes = routes;
    }

    /// Goes over to another configuration.
    pub fn replan(&mut self, config: &Config) {
        self.policy = policy(config, self.tenant.as_deref());
    }

    /// Takes looks into account, and keeps what outlives the process.
    pub fn look(&mut self, events: &[Event], engine: &Engine, storage: Option<&Storage>, now_ns: u64) {
        let comparisons = engine.comparisons();
        let judged = events.iter().filter_map(|event| match event {
            Event::Judged(judgement) => Some(&judgement.report),
            _ => None,
        });
        for report in judged.filter(|_| self.routes.any()) {
            if let Some(comparison) = comparisons.iter().find(|known| known.name == report.comparison) {
                self.alerts.look(&self.policy, engine.quiet(comparison), report, now_ns);
            }
        }
        if !self.routes.any() {
            // What nobody is told is not open when there is somebody again.
            self.alerts.forget();
        }
        let names: Vec<&str> = comparisons.iter().map(|comparison| &*comparison.name).collect();
        self.alerts.keep_only(&names, now_ns);
        self.show();
        if let Some(storage) = storage.filter(|_| self.routes.any() || !engine.budgets().is_empty()) {
            self.save(engine, storage);
        }
    }

    fn save(&self, engine: &Engine, storage: &Storage) {
        let kept = Kept { alerts: self.alerts.clone(), budgets: engine.budgets().clone() };
        let saved = postcard::to_stdvec(&kept).map_err(|cause| cause.to_string());
        let saved = saved.and_then(|bytes| storage.keep_alerts(&bytes).map_err(|cause| cause.to_string()));
        if let Err(cause) = saved {
            tracing::error!(%cause, "what is known of alerts was not kept; the next start goes on with what was before");
        }
    }

    /// Sends a message where one is due.
    pub fn send(&mut self, now_ns: u64) {
        let policy = &self.policy;
        if !self.routes.any() || !self.alerts.is_due(policy, now_ns) {
            return;
        }
        let told = self.alerts.tell(policy, now_ns);
        self.routes.offer(|content| match content {
            Content::Alertmanager => message::alertmanager(&told, policy, now_ns),
            Content::Webhook | Content::Otlp => message::webhook(&told, policy, now_ns),
        });
    }

    fn show(&self) {
        let of = |severity| self.alerts.open().filter(|alert| alert.severity == severity).count() as u64;
        let shown =
            Shown { counts: self.alerts.counts, pages: of(Severity::Page), tickets: of(Severity::Ticket) };
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = shown;
    }
}

/// What the configuration says of alerts, for one tenant.
fn policy(config: &Config, tenant: Option<&str>) -> AlertPolicy {
    let mut policy = config.alerts.clone();
    if let Some(name) = tenant {
        policy.page = policy.page.map(|page| format!("{}/tenants/{name}", page.trim_end_matches('/')));
        policy.tenant = Some(name.to_owned());
    }
    policy
}

fn families(shown: Shown) -> Vec<Family> {
    let Shown { counts, pages, tickets } = shown;
    let mut open = Family::gauge("isotel_alerts_open", "{alert}", "Alerts that are open, by severity.");
    open.points = [("page", pages), ("ticket", tickets)]
        .map(|(severity, n)| Point::new(&[("severity", severity)], Value::Level(n as f64)))
        .to_vec();
    let mut opened = Family::counter("isotel_alerts_opened", "{alert}", "Alerts that opened.");
    opened.points.push(Point::new(&[], Value::Count(counts.opened)));
    let mut resolved = Family::counter("isotel_alerts_resolved", "{alert}", "Alerts that ended.");
    resolved.points.push(Point::new(&[], Value::Count(counts.resolved)));
    let mut suppressed = Family::counter(
        "isotel_alerts_suppressed",
        "{look}",
        "Looks at which a cause would have been an alert and was not, by why.",
    );
    let why = [("waived", counts.waived), ("maintenance", counts.in_maintenance), ("limit", counts.no_room)];
    suppressed.points = why.map(|(reason, n)| Point::new(&[("reason", reason)], Value::Count(n))).to_vec();
    vec![open, opened, resolved, suppressed]
}
