package dev.isotel.peers;

import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.metrics.DoubleHistogram;
import io.opentelemetry.api.metrics.LongCounter;
import io.opentelemetry.api.metrics.Meter;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import io.opentelemetry.sdk.common.CompletableResultCode;
import io.opentelemetry.sdk.metrics.SdkMeterProvider;
import io.opentelemetry.sdk.metrics.export.PeriodicMetricReader;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.export.BatchSpanProcessor;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.TimeUnit;

/**
 * Sends one plan through the OpenTelemetry Java SDK and its OTLP exporters.
 *
 * <p>The plan and the command line are those of tests/peers/README.md. One JSON line with what was
 * exported goes to stdout, everything else to stderr.
 */
public final class Client {
  private static final String SCOPE = "isotel.peers.java";
  // The boundaries that the HTTP semantic conventions advise, in seconds. The SDK's own defaults
  // are meant for milliseconds and would put every record into the first bucket.
  private static final List<Double> DEFAULT_BOUNDARIES =
      List.of(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0);
  // Longer than any run: metrics are exported once, at shutdown.
  private static final Duration EXPORT_INTERVAL = Duration.ofHours(1);
  private static final long PATIENCE_SECONDS = 60;

  private Client() {}

  /** Exits 0 when every export succeeded, 1 when one failed, 2 on a wrong command line. */
  public static void main(String[] arguments) throws IOException {
    Options options;
    try {
      options = new Options(arguments);
    } catch (IllegalArgumentException e) {
      System.err.println(e.getMessage());
      System.exit(2);
      return;
    }
    Plan plan = Plan.read(Path.of(options.get("plan")));
    Resource resource = resource(options);
    Exporters.Tally tally = new Exporters.Tally();
    sendSpans(plan, resource, options, tally);
    int records = sendMetrics(plan, resource, options, tally);
    System.out.printf(
        Locale.ROOT,
        "{\"spans\":%d,\"records\":%d,\"exports_failed\":%d}%n",
        tally.spans.get(),
        records,
        tally.failed.get());
    // The HTTP client keeps threads alive for a minute after its shutdown.
    System.exit(tally.failed.get() == 0 ? 0 : 1);
  }

  private static Resource resource(Options options) {
    return Resource.getDefault()
        .merge(
            Resource.create(
                Attributes.builder()
                    .put(AttributeKey.stringKey("service.name"), options.get("service"))
                    .put(AttributeKey.stringKey("service.namespace"), "shop")
                    .put(AttributeKey.stringKey("service.instance.id"), options.get("instance"))
                    .put(
                        AttributeKey.stringKey("deployment.environment.name"),
                        options.get("environment"))
                    .build()));
  }

  private static void sendSpans(
      Plan plan, Resource resource, Options options, Exporters.Tally tally) {
    List<Plan.PlannedSpan> spans = plan.spans() == null ? List.of() : plan.spans();
    SdkTracerProvider provider =
        SdkTracerProvider.builder()
            .setResource(resource)
            .addSpanProcessor(
                BatchSpanProcessor.builder(Exporters.spans(options, tally))
                    // Room for all: a full queue drops spans without a word.
                    .setMaxQueueSize(Math.max(2048, spans.size() + 1))
                    .build())
            .build();
    Tracer tracer = provider.get(SCOPE);
    for (Plan.PlannedSpan planned : spans) {
      makeSpan(tracer, planned, plan.baseUnixNano());
    }
    await(provider.forceFlush(), tally);
    await(provider.shutdown(), tally);
  }

  private static void makeSpan(Tracer tracer, Plan.PlannedSpan planned, long baseUnixNano) {
    String kind = planned.kind() == null ? "internal" : planned.kind();
    long start = baseUnixNano + planned.startOffsetNanos();
    Span span =
        tracer
            .spanBuilder(planned.name())
            .setParent(Context.root())
            .setSpanKind(SpanKind.valueOf(kind.toUpperCase(Locale.ROOT)))
            .setStartTimestamp(start, TimeUnit.NANOSECONDS)
            .setAllAttributes(Plan.attributes(planned.attributes()))
            .startSpan();
    if (planned.status() != null) {
      span.setStatus(StatusCode.valueOf(planned.status().toUpperCase(Locale.ROOT)));
    }
    span.end(start + planned.durationNanos(), TimeUnit.NANOSECONDS);
  }

  /** Returns how many values the histogram was given. */
  private static int sendMetrics(
      Plan plan, Resource resource, Options options, Exporters.Tally tally) {
    SdkMeterProvider provider =
        SdkMeterProvider.builder()
            .setResource(resource)
            .registerMetricReader(
                PeriodicMetricReader.builder(Exporters.metrics(options, tally))
                    .setInterval(EXPORT_INTERVAL)
                    .build())
            .build();
    Meter meter = provider.get(SCOPE);
    int records = recordHistogram(meter, plan.histogram());
    addToCounter(meter, plan.counter());
    // Shutdown collects and exports once; a flush before it would export every cumulative point
    // twice.
    await(provider.shutdown(), tally);
    return records;
  }

  private static int recordHistogram(Meter meter, Plan.HistogramPlan planned) {
    if (planned == null) {
      return 0;
    }
    List<Double> boundaries =
        planned.boundaries() == null ? DEFAULT_BOUNDARIES : planned.boundaries();
    DoubleHistogram histogram =
        meter
            .histogramBuilder(planned.name())
            .setUnit(planned.unit())
            .setExplicitBucketBoundariesAdvice(boundaries)
            .build();
    for (Plan.Measurement record : planned.records()) {
      histogram.record(record.value(), Plan.attributes(record.attributes()));
    }
    return planned.records().size();
  }

  private static void addToCounter(Meter meter, Plan.CounterPlan planned) {
    if (planned == null) {
      return;
    }
    LongCounter counter = meter.counterBuilder(planned.name()).setUnit(planned.unit()).build();
    for (Plan.Measurement add : planned.adds()) {
      counter.add((long) add.value(), Plan.attributes(add.attributes()));
    }
  }

  /** A step that never finished counts as one failed export, unless its export did already. */
  private static void await(CompletableResultCode step, Exporters.Tally tally) {
    step.join(PATIENCE_SECONDS, TimeUnit.SECONDS);
    if (!step.isSuccess()) {
      tally.failed.compareAndSet(0, 1);
    }
  }
}
