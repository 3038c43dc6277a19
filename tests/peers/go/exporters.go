package main

import (
	"context"
	"fmt"
	"os"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// The SDK's own limits for an exponential histogram.
const (
	exponentialMaxSize  = 160
	exponentialMaxScale = 20
)

// tally is what the exporters were told by the receiver. Each exporter is called
// by one goroutine that has ended when the tally is read.
type tally struct {
	spans  int
	failed int
}

func (t *tally) failure(what string, err error) {
	t.failed++
	fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
}

// countedSpans is the real exporter with its outcomes counted.
type countedSpans struct {
	sdktrace.SpanExporter
	tally *tally
}

func (c countedSpans) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := c.SpanExporter.ExportSpans(ctx, spans)
	if err != nil {
		c.tally.failure("export of spans", err)
	} else {
		c.tally.spans += len(spans)
	}
	return err
}

// countedMetrics is the real exporter with its outcomes counted.
type countedMetrics struct {
	sdkmetric.Exporter
	tally *tally
}

func (c countedMetrics) Export(ctx context.Context, metrics *metricdata.ResourceMetrics) error {
	err := c.Exporter.Export(ctx, metrics)
	if err != nil {
		c.tally.failure("export of metrics", err)
	}
	return err
}

func spanExporter(ctx context.Context, opts options) (sdktrace.SpanExporter, error) {
	if opts.protocol == "grpc" {
		grpc := []otlptracegrpc.Option{
			otlptracegrpc.WithEndpoint(opts.endpointGRPC),
			otlptracegrpc.WithInsecure(),
		}
		if opts.compression == "gzip" {
			grpc = append(grpc, otlptracegrpc.WithCompressor("gzip"))
		}
		return otlptracegrpc.New(ctx, grpc...)
	}
	http := []otlptracehttp.Option{otlptracehttp.WithEndpointURL(opts.endpointHTTP + "/v1/traces")}
	if opts.compression == "gzip" {
		http = append(http, otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	}
	return otlptracehttp.New(ctx, http...)
}

func metricExporter(ctx context.Context, opts options) (sdkmetric.Exporter, error) {
	if opts.protocol == "grpc" {
		grpc := []otlpmetricgrpc.Option{
			otlpmetricgrpc.WithEndpoint(opts.endpointGRPC),
			otlpmetricgrpc.WithInsecure(),
			otlpmetricgrpc.WithTemporalitySelector(opts.temporalityOf),
			otlpmetricgrpc.WithAggregationSelector(opts.aggregationOf),
		}
		if opts.compression == "gzip" {
			grpc = append(grpc, otlpmetricgrpc.WithCompressor("gzip"))
		}
		return otlpmetricgrpc.New(ctx, grpc...)
	}
	http := []otlpmetrichttp.Option{
		otlpmetrichttp.WithEndpointURL(opts.endpointHTTP + "/v1/metrics"),
		otlpmetrichttp.WithTemporalitySelector(opts.temporalityOf),
		otlpmetrichttp.WithAggregationSelector(opts.aggregationOf),
	}
	if opts.compression == "gzip" {
		http = append(http, otlpmetrichttp.WithCompression(otlpmetrichttp.GzipCompression))
	}
	return otlpmetrichttp.New(ctx, http...)
}

func (o options) temporalityOf(sdkmetric.InstrumentKind) metricdata.Temporality {
	if o.temporality == "delta" {
		return metricdata.DeltaTemporality
	}
	return metricdata.CumulativeTemporality
}

func (o options) aggregationOf(kind sdkmetric.InstrumentKind) sdkmetric.Aggregation {
	if o.histogram == "exponential" && kind == sdkmetric.InstrumentKindHistogram {
		return sdkmetric.AggregationBase2ExponentialHistogram{
			MaxSize:  exponentialMaxSize,
			MaxScale: exponentialMaxScale,
		}
	}
	return sdkmetric.DefaultAggregationSelector(kind)
}
