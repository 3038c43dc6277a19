// Command client sends one plan through the OpenTelemetry Go SDK and its OTLP
// exporters.
//
// The plan and the command line are those of tests/peers/README.md. One JSON
// line with what was exported goes to stdout, everything else to stderr.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const (
	scope = "isotel.peers.go"
	// Longer than any run: metrics are exported once, at shutdown.
	exportInterval = time.Hour
)

// The boundaries that the HTTP semantic conventions advise, in seconds. The
// SDK's own defaults are meant for milliseconds and would put every record into
// the first bucket.
var defaultBoundaries = []float64{
	0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
}

type options struct {
	endpointGRPC, endpointHTTP     string
	protocol, compression          string
	temporality, histogram         string
	environment, service, instance string
	plan                           string
}

func main() {
	opts, err := parseOptions()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	failed, err := run(context.Background(), opts)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err != nil || failed > 0 {
		os.Exit(1)
	}
}

func parseOptions() (options, error) {
	var o options
	flag.StringVar(&o.endpointGRPC, "endpoint-grpc", "127.0.0.1:4317", "HOST:PORT")
	flag.StringVar(&o.endpointHTTP, "endpoint-http", "http://127.0.0.1:4318", "URL without a path")
	flag.StringVar(&o.protocol, "protocol", "", "grpc or http/protobuf")
	flag.StringVar(&o.environment, "environment", "", "deployment.environment.name")
	flag.StringVar(&o.service, "service", "", "service.name")
	flag.StringVar(&o.instance, "instance", "", "service.instance.id")
	flag.StringVar(&o.plan, "plan", "", "JSON file")
	flag.StringVar(&o.compression, "compression", "none", "none or gzip")
	flag.StringVar(&o.temporality, "temporality", "cumulative", "cumulative or delta")
	flag.StringVar(&o.histogram, "histogram", "explicit", "explicit or exponential")
	flag.Parse()
	for _, choice := range []struct{ name, value, first, second string }{
		{"protocol", o.protocol, "grpc", "http/protobuf"},
		{"compression", o.compression, "none", "gzip"},
		{"temporality", o.temporality, "cumulative", "delta"},
		{"histogram", o.histogram, "explicit", "exponential"},
	} {
		if choice.value != choice.first && choice.value != choice.second {
			return o, fmt.Errorf("--%s must be %s or %s", choice.name, choice.first, choice.second)
		}
	}
	if o.environment == "" || o.service == "" || o.instance == "" || o.plan == "" {
		return o, fmt.Errorf("--environment, --service, --instance and --plan are required")
	}
	return o, nil
}

// run sends the plan and prints the outcome; it returns how many exports failed.
func run(ctx context.Context, opts options) (int, error) {
	p, base, err := readPlan(opts.plan)
	if err != nil {
		return 0, err
	}
	res, err := resource.Merge(resource.Default(), resource.NewSchemaless(
		attribute.String("service.name", opts.service),
		attribute.String("service.namespace", "shop"),
		attribute.String("service.instance.id", opts.instance),
		attribute.String("deployment.environment.name", opts.environment),
	))
	if err != nil {
		return 0, err
	}
	var counts tally
	var unreported int
	// A partial success is no error to the exporter; this is where it shows.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		unreported++
		fmt.Fprintln(os.Stderr, err)
	}))
	if err := sendSpans(ctx, p, base, res, opts, &counts); err != nil {
		return counts.failed, err
	}
	records, err := sendMetrics(ctx, p, res, opts, &counts)
	if err != nil && counts.failed == 0 {
		return counts.failed, err
	}
	failed := max(counts.failed, unreported)
	return failed, json.NewEncoder(os.Stdout).Encode(struct {
		Spans         int `json:"spans"`
		Records       int `json:"records"`
		ExportsFailed int `json:"exports_failed"`
	}{counts.spans, records, failed})
}

func sendSpans(ctx context.Context, p plan, base time.Time, res *resource.Resource, opts options, counts *tally) error {
	exporter, err := spanExporter(ctx, opts)
	if err != nil {
		return err
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithResource(res),
		// Room for all: a full queue drops spans without a word.
		sdktrace.WithBatcher(countedSpans{exporter, counts}, sdktrace.WithMaxQueueSize(max(2048, len(p.Spans)+1))),
	)
	tracer := provider.Tracer(scope)
	for _, planned := range p.Spans {
		if err := makeSpan(ctx, tracer, planned, base); err != nil {
			return err
		}
	}
	// A failed export is in the tally already, and the metrics are still sent.
	_ = provider.ForceFlush(ctx)
	_ = provider.Shutdown(ctx)
	return nil
}

func makeSpan(ctx context.Context, tracer trace.Tracer, planned plannedSpan, base time.Time) error {
	kind, err := spanKind(planned.Kind)
	if err != nil {
		return err
	}
	status, err := statusCode(planned.Status)
	if err != nil {
		return err
	}
	attrs, err := planned.Attributes.keyValues()
	if err != nil {
		return err
	}
	start := base.Add(time.Duration(planned.StartOffsetNS))
	_, span := tracer.Start(ctx, planned.Name,
		trace.WithSpanKind(kind), trace.WithTimestamp(start), trace.WithAttributes(attrs...))
	span.SetStatus(status, "")
	span.End(trace.WithTimestamp(start.Add(time.Duration(planned.DurationNS))))
	return nil
}

// sendMetrics returns how many values the histogram was given.
func sendMetrics(ctx context.Context, p plan, res *resource.Resource, opts options, counts *tally) (int, error) {
	exporter, err := metricExporter(ctx, opts)
	if err != nil {
		return 0, err
	}
	provider := sdkmetric.NewMeterProvider(
		sdkmetric.WithResource(res),
		sdkmetric.WithReader(sdkmetric.NewPeriodicReader(
			countedMetrics{exporter, counts}, sdkmetric.WithInterval(exportInterval))),
	)
	meter := provider.Meter(scope)
	records, err := recordHistogram(ctx, meter, p.Histogram)
	if err != nil {
		return records, err
	}
	if err := addToCounter(ctx, meter, p.Counter); err != nil {
		return records, err
	}
	// Shutdown collects and exports once; a flush before it would export every
	// cumulative point twice.
	return records, provider.Shutdown(ctx)
}

func recordHistogram(ctx context.Context, meter metric.Meter, p *histogramPlan) (int, error) {
	if p == nil {
		return 0, nil
	}
	boundaries := p.Boundaries
	if boundaries == nil {
		boundaries = defaultBoundaries
	}
	histogram, err := meter.Float64Histogram(p.Name,
		metric.WithUnit(p.Unit), metric.WithExplicitBucketBoundaries(boundaries...))
	if err != nil {
		return 0, err
	}
	for n, record := range p.Records {
		attrs, err := record.Attributes.keyValues()
		if err != nil {
			return n, err
		}
		histogram.Record(ctx, record.Value, metric.WithAttributes(attrs...))
	}
	return len(p.Records), nil
}

func addToCounter(ctx context.Context, meter metric.Meter, p *counterPlan) error {
	if p == nil {
		return nil
	}
	counter, err := meter.Int64Counter(p.Name, metric.WithUnit(p.Unit))
	if err != nil {
		return err
	}
	for _, add := range p.Adds {
		attrs, err := add.Attributes.keyValues()
		if err != nil {
			return err
		}
		counter.Add(ctx, int64(add.Value), metric.WithAttributes(attrs...))
	}
	return nil
}
