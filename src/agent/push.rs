//! The push of own telemetry: the OpenTelemetry SDK collects, and an exporter like any other sends, with its TLS, credential,
//! queue and retries.

use std::{sync::Arc, time::Duration};

use opentelemetry::{KeyValue, metrics::MeterProvider as _};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    metrics::{
        PeriodicReader, SdkMeterProvider, Temporality, data::ResourceMetrics, exporter::PushMetricExporter,
    },
};
use prost::Message;
use tokio::time::Instant;

use super::{
    client::ClientError,
    forward::Exporter,
    prometheus::{Kind, Point},
    telemetry::{ExporterCounters, Telemetry},
};
use crate::{
    config::{PUSH_KEY, TelemetryOtlp},
    wire::Signal,
};

/// Longest wait for the last push when the agent stops.
const LAST_PUSH: Duration = Duration::from_secs(2);

/// The SDK at work: pushes the families over OTLP until it is stopped.
pub(crate) struct Push {
    provider: SdkMeterProvider,
    exporter: Arc<Exporter>,
}

/// Hands what the SDK collected to the exporter's queue.
struct ToQueue(Arc<Exporter>);

impl PushMetricExporter for ToQueue {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let request = ExportMetricsServiceRequest::from(metrics).encode_to_vec();
        match self.0.offer(Signal::Metrics, request.into()) {
            true => Ok(()),
            false => Err(OTelSdkError::InternalFailure("the queue is full".to_owned())),
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

impl Push {
    /// Starts pushing. Call inside a tokio runtime.
    ///
    /// # Errors
    /// [`ClientError`] for settings that can never work.
    pub(crate) fn start(telemetry: &Arc<Telemetry>, settings: &TelemetryOtlp) -> Result<Self, ClientError> {
        let exporter = Exporter::start(PUSH_KEY, &settings.exporter, telemetry)?;
        let reader =
            PeriodicReader::builder(ToQueue(Arc::clone(&exporter))).with_interval(settings.interval).build();
        let resource = Resource::builder_empty()
            .with_attributes([
                KeyValue::new("service.name", "isotel"),
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            ])
            .build();
        let provider = SdkMeterProvider::builder().with_reader(reader).with_resource(resource).build();
        register(&provider, telemetry);
        Ok(Push { provider, exporter })
    }

    /// Whether these settings can work at all.
    ///
    /// # Errors
    /// [`ClientError`], as [`Push::start`] would return it.
    pub(crate) fn check(settings: &TelemetryOtlp) -> Result<(), ClientError> {
        Exporter::check(PUSH_KEY, &settings.exporter)
    }

    /// Reads certificates and credentials again where they changed.
    pub(crate) fn renew(&self) {
        self.exporter.renew();
    }

    /// What its exporter did.
    pub(crate) fn counters(&self) -> &Arc<ExporterCounters> {
        self.exporter.counters()
    }

    /// Pushes a last time, within a bound, and stops.
    pub(crate) async fn stop(self) {
        let Push { provider, exporter } = self;
        let deadline = Instant::now() + LAST_PUSH;
        let collected = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST_PUSH)).await;
        if let Ok(Err(cause)) = collected {
            tracing::warn!(%cause, "own telemetry was not collected a last time");
        }
        exporter.drain(deadline).await;
    }
}

/// One observable instrument per family.
fn register(provider: &SdkMeterProvider, telemetry: &Arc<Telemetry>) {
    let meter = provider.meter("isotel");
    for family in telemetry.families() {
        let telemetry = Arc::clone(telemetry);
        let name = family.name;
        let points = move || {
            let families = telemetry.families();
            families
                .into_iter()
                .find(|family| family.name == name)
                .map(|family| family.points)
                .unwrap_or_default()
        };
        match family.kind {
            Kind::Counter => {
                meter
                    .f64_observable_counter(name)
                    .with_unit(family.unit)
                    .with_description(family.help)
                    .with_callback(move |observer| {
                        points()
                            .iter()
                            .for_each(|point| observer.observe(point.value.number(), &attributes(point)));
                    })
                    .build();
            }
            Kind::Gauge => {
                meter
                    .f64_observable_gauge(name)
                    .with_unit(family.unit)
                    .with_description(family.help)
                    .with_callback(move |observer| {
                        points()
                            .iter()
                            .for_each(|point| observer.observe(point.value.number(), &attributes(point)));
                    })
                    .build();
            }
        }
    }
}

fn attributes(point: &Point) -> Vec<KeyValue> {
    point.labels.iter().map(|(key, value)| KeyValue::new(*key, value.clone())).collect()
}
