//! The push of own telemetry: the OpenTelemetry SDK collects, and an exporter like any other sends, with its TLS, credential,
//! queue and retries.

use std::{fmt, future::ready, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::{KeyValue, metrics::MeterProvider as _};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    metrics::{PeriodicReader, SdkMeterProvider},
};
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

/// The SDK's way out: what it would post goes to the exporter's queue instead.
#[derive(Clone)]
struct ToQueue(Arc<Exporter>);

impl fmt::Debug for ToQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ToQueue")
    }
}

impl HttpClient for ToQueue {
    fn send_bytes<'a, 'r>(&'a self, request: Request<Bytes>) -> Answer<'r>
    where
        'a: 'r,
        Self: 'r,
    {
        let taken = self.0.offer(Signal::Metrics, request.into_body());
        Box::pin(ready(match taken {
            true => Ok(Response::new(Bytes::new())),
            false => Err("the queue is full".into()),
        }))
    }
}

type Answer<'r> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'r>>;

impl Push {
    /// Starts pushing. Call inside a tokio runtime.
    ///
    /// # Errors
    /// [`ClientError`] for settings that can never work.
    pub(crate) fn start(telemetry: &Arc<Telemetry>, settings: &TelemetryOtlp) -> Result<Self, ClientError> {
        let exporter = Exporter::start(PUSH_KEY, &settings.exporter, telemetry, None)?;
        let sdk = opentelemetry_otlp::MetricExporter::builder()
            .with_http()
            .with_http_client(ToQueue(Arc::clone(&exporter)))
            .with_protocol(Protocol::HttpBinary)
            .build()
            .map_err(|cause| ClientError::Sdk(cause.to_string()))?;
        let reader = PeriodicReader::builder(sdk).with_interval(settings.interval).build();
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
