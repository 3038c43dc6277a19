// Sends one plan through the OpenTelemetry JavaScript SDK and its OTLP exporters.
//
// The plan and the command line are those of tests/peers/README.md. One JSON line
// with what was exported goes to stdout, everything else to stderr.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { OTLPMetricExporter as GrpcMetricExporter } from '@opentelemetry/exporter-metrics-otlp-grpc';
import { OTLPMetricExporter as JsonMetricExporter } from '@opentelemetry/exporter-metrics-otlp-http';
import { OTLPMetricExporter as ProtoMetricExporter } from '@opentelemetry/exporter-metrics-otlp-proto';
import { OTLPTraceExporter as GrpcTraceExporter } from '@opentelemetry/exporter-trace-otlp-grpc';
import { OTLPTraceExporter as JsonTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtoTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { CompressionAlgorithm } from '@opentelemetry/otlp-exporter-base';
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import {
  AggregationTemporality,
  AggregationType,
  InstrumentType,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';

const SCOPE = 'isotel.peers.node';
// The boundaries that the HTTP semantic conventions advise, in seconds. The
// SDK's own defaults are meant for milliseconds and would put every record into
// the first bucket.
const DEFAULT_BOUNDARIES = [
  0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
];
// Longer than any run: metrics are exported once, at shutdown.
const EXPORT_INTERVAL_MS = 3_600_000;
const NANOS_PER_SECOND = 1_000_000_000n;

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}

function choose(name, value, allowed) {
  if (!allowed.includes(value)) fail(`--${name} must be one of ${allowed.join(', ')}`);
  return value;
}

function parseCommandLine() {
  const string = { type: 'string' };
  const { values } = parseArgs({
    options: {
      'endpoint-grpc': { ...string, default: '127.0.0.1:4317' },
      'endpoint-http': { ...string, default: 'http://127.0.0.1:4318' },
      protocol: string,
      environment: string,
      service: string,
      instance: string,
      plan: string,
      compression: { ...string, default: 'none' },
      temporality: { ...string, default: 'cumulative' },
      histogram: { ...string, default: 'explicit' },
    },
  });
  for (const name of ['protocol', 'environment', 'service', 'instance', 'plan']) {
    if (values[name] === undefined) fail(`--${name} is required`);
  }
  choose('protocol', values.protocol, ['grpc', 'http/protobuf', 'http/json']);
  choose('compression', values.compression, ['none', 'gzip']);
  choose('temporality', values.temporality, ['cumulative', 'delta']);
  choose('histogram', values.histogram, ['explicit', 'exponential']);
  return values;
}

// [seconds, nanoseconds]: the one form of time that the SDK keeps exactly.
function hrTime(nanos) {
  return [Number(nanos / NANOS_PER_SECOND), Number(nanos % NANOS_PER_SECOND)];
}

// Counts the outcomes of a real exporter without standing in for it.
function counted(exporter, tally, onSuccess) {
  const send = exporter.export.bind(exporter);
  exporter.export = (items, done) =>
    send(items, (result) => {
      // 0 is ExportResultCode.SUCCESS.
      if (result.code === 0) onSuccess(items);
      else {
        tally.failed += 1;
        process.stderr.write(`export failed: ${result.error}\n`);
      }
      done(result);
    });
  return exporter;
}

function exporterOptions(args, path) {
  return {
    url: args.protocol === 'grpc' ? `http://${args['endpoint-grpc']}` : `${args['endpoint-http']}${path}`,
    compression: args.compression === 'gzip' ? CompressionAlgorithm.GZIP : CompressionAlgorithm.NONE,
  };
}

function traceExporter(args) {
  const options = exporterOptions(args, '/v1/traces');
  if (args.protocol === 'grpc') return new GrpcTraceExporter(options);
  if (args.protocol === 'http/json') return new JsonTraceExporter(options);
  return new ProtoTraceExporter(options);
}

function metricExporter(args) {
  const options = {
    ...exporterOptions(args, '/v1/metrics'),
    temporalityPreference:
      args.temporality === 'delta' ? AggregationTemporality.DELTA : AggregationTemporality.CUMULATIVE,
    aggregationPreference: (instrument) =>
      args.histogram === 'exponential' && instrument === InstrumentType.HISTOGRAM
        ? { type: AggregationType.EXPONENTIAL_HISTOGRAM }
        : { type: AggregationType.DEFAULT },
  };
  if (args.protocol === 'grpc') return new GrpcMetricExporter(options);
  if (args.protocol === 'http/json') return new JsonMetricExporter(options);
  return new ProtoMetricExporter(options);
}

async function sendSpans(plan, resource, args, tally) {
  const spans = plan.spans ?? [];
  const exporter = counted(traceExporter(args), tally, (sent) => {
    tally.spans += sent.length;
  });
  const provider = new NodeTracerProvider({
    resource,
    // Room for all: a full queue drops spans without a word.
    spanProcessors: [new BatchSpanProcessor(exporter, { maxQueueSize: Math.max(2048, spans.length + 1) })],
  });
  const tracer = provider.getTracer(SCOPE);
  const base = BigInt(plan.base_unix_nano);
  for (const planned of spans) {
    const start = base + BigInt(planned.start_offset_ns);
    const span = tracer.startSpan(planned.name, {
      kind: SpanKind[(planned.kind ?? 'internal').toUpperCase()],
      attributes: planned.attributes,
      startTime: hrTime(start),
      root: true,
    });
    const status = planned.status ?? 'unset';
    if (status !== 'unset') span.setStatus({ code: SpanStatusCode[status.toUpperCase()] });
    span.end(hrTime(start + BigInt(planned.duration_ns)));
  }
  await provider.forceFlush();
  await provider.shutdown();
}

async function sendMetrics(plan, resource, args, tally) {
  const exporter = counted(metricExporter(args), tally, () => {});
  const provider = new MeterProvider({
    resource,
    readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: EXPORT_INTERVAL_MS })],
  });
  const meter = provider.getMeter(SCOPE);
  let records = 0;
  if (plan.histogram) {
    const { name, unit, boundaries, records: values } = plan.histogram;
    const histogram = meter.createHistogram(name, {
      unit,
      advice: { explicitBucketBoundaries: boundaries ?? DEFAULT_BOUNDARIES },
    });
    for (const { value, attributes } of values) {
      histogram.record(value, attributes);
      records += 1;
    }
  }
  if (plan.counter) {
    const counter = meter.createCounter(plan.counter.name, { unit: plan.counter.unit });
    for (const { value, attributes } of plan.counter.adds) counter.add(value, attributes);
  }
  // Shutdown collects and exports once; a flush before it would export every
  // cumulative point twice.
  await provider.shutdown();
  return records;
}

const args = parseCommandLine();
// base_unix_nano is a string, hence exact; all other numbers are small.
const plan = JSON.parse(readFileSync(args.plan, 'utf8'));
const resource = defaultResource().merge(
  resourceFromAttributes({
    'service.name': args.service,
    'service.namespace': 'shop',
    'service.instance.id': args.instance,
    'deployment.environment.name': args.environment,
  }),
);
const tally = { spans: 0, failed: 0 };
try {
  await sendSpans(plan, resource, args, tally);
} catch (error) {
  tally.failed += tally.failed === 0 ? 1 : 0;
  process.stderr.write(`${error}\n`);
}
let records = 0;
try {
  records = await sendMetrics(plan, resource, args, tally);
} catch (error) {
  tally.failed += tally.failed === 0 ? 1 : 0;
  process.stderr.write(`${error}\n`);
}
process.stdout.write(
  `${JSON.stringify({ spans: tally.spans, records, exports_failed: tally.failed })}\n`,
);
process.exitCode = tally.failed === 0 ? 0 : 1;
