package dev.isotel.peers;

import io.opentelemetry.exporter.otlp.http.metrics.OtlpHttpMetricExporter;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.exporter.otlp.metrics.OtlpGrpcMetricExporter;
import io.opentelemetry.exporter.otlp.trace.OtlpGrpcSpanExporter;
import io.opentelemetry.sdk.common.CompletableResultCode;
import io.opentelemetry.sdk.metrics.Aggregation;
import io.opentelemetry.sdk.metrics.InstrumentType;
import io.opentelemetry.sdk.metrics.data.AggregationTemporality;
import io.opentelemetry.sdk.metrics.data.MetricData;
import io.opentelemetry.sdk.metrics.export.AggregationTemporalitySelector;
import io.opentelemetry.sdk.metrics.export.DefaultAggregationSelector;
import io.opentelemetry.sdk.metrics.export.MetricExporter;
import io.opentelemetry.sdk.trace.data.SpanData;
import io.opentelemetry.sdk.trace.export.SpanExporter;
import java.util.Collection;
import java.util.concurrent.atomic.AtomicInteger;

/** The SDK's own OTLP exporters, with their outcomes counted. */
final class Exporters {
  private Exporters() {}

  /** What the exporters were told by the receiver. */
  static final class Tally {
    final AtomicInteger spans = new AtomicInteger();
    final AtomicInteger failed = new AtomicInteger();
  }

  static SpanExporter spans(Options options, Tally tally) {
    SpanExporter exporter =
        options.is("protocol", "grpc")
            ? OtlpGrpcSpanExporter.builder()
                .setEndpoint("http://" + options.get("endpoint-grpc"))
                .setCompression(options.get("compression"))
                .build()
            : OtlpHttpSpanExporter.builder()
                .setEndpoint(options.get("endpoint-http") + "/v1/traces")
                .setCompression(options.get("compression"))
                .build();
    return new CountedSpans(exporter, tally);
  }

  static MetricExporter metrics(Options options, Tally tally) {
    AggregationTemporalitySelector temporality =
        options.is("temporality", "delta")
            ? AggregationTemporalitySelector.deltaPreferred()
            : AggregationTemporalitySelector.alwaysCumulative();
    DefaultAggregationSelector aggregation =
        options.is("histogram", "exponential")
            ? DefaultAggregationSelector.getDefault()
                .with(InstrumentType.HISTOGRAM, Aggregation.base2ExponentialBucketHistogram())
            : DefaultAggregationSelector.getDefault();
    MetricExporter exporter =
        options.is("protocol", "grpc")
            ? OtlpGrpcMetricExporter.builder()
                .setEndpoint("http://" + options.get("endpoint-grpc"))
                .setCompression(options.get("compression"))
                .setAggregationTemporalitySelector(temporality)
                .setDefaultAggregationSelector(aggregation)
                .build()
            : OtlpHttpMetricExporter.builder()
                .setEndpoint(options.get("endpoint-http") + "/v1/metrics")
                .setCompression(options.get("compression"))
                .setAggregationTemporalitySelector(temporality)
                .setDefaultAggregationSelector(aggregation)
                .build();
    return new CountedMetrics(exporter, tally);
  }

  private record CountedSpans(SpanExporter inner, Tally tally) implements SpanExporter {
    @Override
    public CompletableResultCode export(Collection<SpanData> spans) {
      // The collection is the processor's own buffer and is emptied afterwards.
      int size = spans.size();
      CompletableResultCode result = inner.export(spans);
      result.whenComplete(
          () -> {
            if (result.isSuccess()) {
              tally.spans.addAndGet(size);
            } else {
              tally.failed.incrementAndGet();
            }
          });
      return result;
    }

    @Override
    public CompletableResultCode flush() {
      return inner.flush();
    }

    @Override
    public CompletableResultCode shutdown() {
      return inner.shutdown();
    }
  }

  private record CountedMetrics(MetricExporter inner, Tally tally) implements MetricExporter {
    @Override
    public CompletableResultCode export(Collection<MetricData> metrics) {
      CompletableResultCode result = inner.export(metrics);
      result.whenComplete(
          () -> {
            if (!result.isSuccess()) {
              tally.failed.incrementAndGet();
            }
          });
      return result;
    }

    @Override
    public CompletableResultCode flush() {
      return inner.flush();
    }

    @Override
    public CompletableResultCode shutdown() {
      return inner.shutdown();
    }

    @Override
    public AggregationTemporality getAggregationTemporality(InstrumentType type) {
      return inner.getAggregationTemporality(type);
    }

    @Override
    public Aggregation getDefaultAggregation(InstrumentType type) {
      return inner.getDefaultAggregation(type);
    }
  }
}
