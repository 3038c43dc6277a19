"""Sends one plan through the OpenTelemetry Python SDK and its OTLP exporters.

The plan and the command line are those of tests/peers/README.md. One JSON line
with what was exported goes to stdout, everything else to stderr.
"""

import argparse
import json
import sys

from grpc import Compression as GrpcCompression
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (
    OTLPMetricExporter as GrpcMetricExporter,
)
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
    OTLPSpanExporter as GrpcSpanExporter,
)
from opentelemetry.exporter.otlp.proto.http import Compression as HttpCompression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import (
    OTLPMetricExporter as HttpMetricExporter,
)
from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
    OTLPSpanExporter as HttpSpanExporter,
)
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExporter,
    MetricExportResult,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.view import (
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.trace import SpanKind, Status, StatusCode

SCOPE = "isotel.peers.python"
# The boundaries that the HTTP semantic conventions advise, in seconds. The
# SDK's own defaults are meant for milliseconds and would put every record into
# the first bucket.
DEFAULT_BOUNDARIES = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
]  # fmt: skip
# Longer than any run: metrics are exported once, at shutdown.
EXPORT_INTERVAL_MS = 3_600_000


class Tally:
    """What the exporters were told by the receiver."""

    def __init__(self):
        self.spans = 0
        self.failed = 0


class CountingSpanExporter(SpanExporter):
    """The real exporter, with its outcomes counted."""

    def __init__(self, inner, tally):
        self._inner = inner
        self._tally = tally

    def export(self, spans):
        result = self._inner.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._tally.spans += len(spans)
        else:
            self._tally.failed += 1
        return result

    def shutdown(self):
        self._inner.shutdown()

    def force_flush(self, timeout_millis=30_000):
        return self._inner.force_flush(timeout_millis)


class CountingMetricExporter(MetricExporter):
    """The real exporter, with its outcomes counted."""

    def __init__(self, inner, tally, temporality, aggregation):
        super().__init__(temporality, aggregation)
        self._inner = inner
        self._tally = tally

    def export(self, metrics_data, timeout_millis=10_000, **kwargs):
        result = self._inner.export(metrics_data, timeout_millis, **kwargs)
        if result is not MetricExportResult.SUCCESS:
            self._tally.failed += 1
        return result

    def shutdown(self, timeout_millis=30_000, **kwargs):
        self._inner.shutdown(timeout_millis, **kwargs)

    def force_flush(self, timeout_millis=10_000):
        return self._inner.force_flush(timeout_millis)


def arguments():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--endpoint-grpc", default="127.0.0.1:4317")
    parser.add_argument("--endpoint-http", default="http://127.0.0.1:4318")
    parser.add_argument("--protocol", choices=["grpc", "http/protobuf"], required=True)
    parser.add_argument("--environment", required=True)
    parser.add_argument("--service", required=True)
    parser.add_argument("--instance", required=True)
    parser.add_argument("--plan", required=True)
    parser.add_argument("--compression", choices=["none", "gzip"], default="none")
    parser.add_argument(
        "--temporality", choices=["cumulative", "delta"], default="cumulative"
    )
    parser.add_argument(
        "--histogram", choices=["explicit", "exponential"], default="explicit"
    )
    return parser.parse_args()


def exporters(args):
    if args.protocol == "grpc":
        gzip = args.compression == "gzip"
        options = {
            "endpoint": args.endpoint_grpc,
            "insecure": True,
            "compression": GrpcCompression.Gzip if gzip else GrpcCompression.NoCompression,
        }
        return GrpcSpanExporter(**options), GrpcMetricExporter(**options)
    compression = HttpCompression(args.compression)
    return (
        HttpSpanExporter(
            endpoint=f"{args.endpoint_http}/v1/traces", compression=compression
        ),
        HttpMetricExporter(
            endpoint=f"{args.endpoint_http}/v1/metrics", compression=compression
        ),
    )


def send_spans(plan, resource, exporter, tally):
    spans = plan.get("spans", [])
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(
        BatchSpanProcessor(
            CountingSpanExporter(exporter, tally),
            # Room for all: a full queue drops spans without a word.
            max_queue_size=max(2048, len(spans) + 1),
        )
    )
    tracer = provider.get_tracer(SCOPE)
    base = int(plan["base_unix_nano"])
    for planned in spans:
        start = base + int(planned["start_offset_ns"])
        span = tracer.start_span(
            planned["name"],
            kind=SpanKind[planned.get("kind", "internal").upper()],
            attributes=planned.get("attributes"),
            start_time=start,
        )
        status = planned.get("status", "unset")
        if status != "unset":
            span.set_status(Status(StatusCode[status.upper()]))
        span.end(end_time=start + int(planned["duration_ns"]))
    flushed = provider.force_flush()
    provider.shutdown()
    if not flushed:
        tally.failed += 1


def send_metrics(plan, resource, exporter, tally, args):
    temporality = (
        AggregationTemporality.DELTA
        if args.temporality == "delta"
        else AggregationTemporality.CUMULATIVE
    )
    aggregation = (
        ExponentialBucketHistogramAggregation()
        if args.histogram == "exponential"
        else ExplicitBucketHistogramAggregation()
    )
    reader = PeriodicExportingMetricReader(
        CountingMetricExporter(
            exporter,
            tally,
            {Counter: temporality, Histogram: temporality},
            {Histogram: aggregation} if args.histogram == "exponential" else None,
        ),
        export_interval_millis=EXPORT_INTERVAL_MS,
    )
    provider = MeterProvider(metric_readers=[reader], resource=resource)
    meter = provider.get_meter(SCOPE)
    records = 0
    if planned := plan.get("histogram"):
        histogram = meter.create_histogram(
            planned["name"],
            unit=planned["unit"],
            explicit_bucket_boundaries_advisory=planned.get(
                "boundaries", DEFAULT_BOUNDARIES
            ),
        )
        for record in planned["records"]:
            histogram.record(record["value"], record.get("attributes"))
            records += 1
    if planned := plan.get("counter"):
        counter = meter.create_counter(planned["name"], unit=planned["unit"])
        for add in planned["adds"]:
            counter.add(add["value"], add.get("attributes"))
    # Shutdown collects and exports once; a flush before it would export every
    # cumulative point twice.
    provider.shutdown()
    return records


def main():
    args = arguments()
    with open(args.plan, encoding="utf-8") as file:
        plan = json.load(file)
    resource = Resource.create(
        {
            "service.name": args.service,
            "service.namespace": "shop",
            "service.instance.id": args.instance,
            "deployment.environment.name": args.environment,
        }
    )
    tally = Tally()
    span_exporter, metric_exporter = exporters(args)
    send_spans(plan, resource, span_exporter, tally)
    records = send_metrics(plan, resource, metric_exporter, tally, args)
    print(
        json.dumps(
            {"spans": tally.spans, "records": records, "exports_failed": tally.failed}
        )
    )
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
