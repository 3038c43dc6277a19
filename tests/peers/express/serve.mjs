// Starts app.mjs under the HTTP and Express instrumentations of one of two
// versions. The command line is that of tests/peers/README.md.

import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { listen } from './app.mjs';

function parseCommandLine() {
  const { values, positionals } = parseArgs({
    options: {
      'endpoint-http': { type: 'string', default: 'http://127.0.0.1:4318' },
      environment: { type: 'string' },
      service: { type: 'string' },
      instance: { type: 'string' },
      'metric-interval-ms': { type: 'string', default: '60000' },
    },
    allowPositionals: true,
  });
  const complete = values.environment && values.service && values.instance;
  if (!complete || !['older', 'newer'].includes(positionals[0])) {
    process.stderr.write('usage: serve.mjs older|newer --environment NAME --service NAME --instance ID\n');
    process.exit(2);
  }
  return { ...values, version: positionals[0] };
}

const args = parseCommandLine();
// All packages come from the version's own folder. Instrumentations see what
// is loaded after them, through require.
const require = createRequire(new URL(`./${args.version}/package.json`, import.meta.url));
const { registerInstrumentations } = require('@opentelemetry/instrumentation');
const { HttpInstrumentation } = require('@opentelemetry/instrumentation-http');
const { ExpressInstrumentation } = require('@opentelemetry/instrumentation-express');
const { OTLPTraceExporter } = require('@opentelemetry/exporter-trace-otlp-proto');
const { OTLPMetricExporter } = require('@opentelemetry/exporter-metrics-otlp-proto');
const resources = require('@opentelemetry/resources');
const { MeterProvider, PeriodicExportingMetricReader } = require('@opentelemetry/sdk-metrics');
const { BatchSpanProcessor, NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');

function resource() {
  const stated = {
    'service.name': args.service,
    'service.namespace': 'shop',
    'service.instance.id': args.instance,
    'deployment.environment.name': args.environment,
  };
  // The first major version has a class where the second has functions.
  return resources.Resource
    ? resources.Resource.default().merge(new resources.Resource(stated))
    : resources.defaultResource().merge(resources.resourceFromAttributes(stated));
}

const endpoint = args['endpoint-http'];
const tracerProvider = new NodeTracerProvider({
  resource: resource(),
  spanProcessors: [
    // Room for all: a full queue drops spans without a word.
    new BatchSpanProcessor(new OTLPTraceExporter({ url: `${endpoint}/v1/traces` }), { maxQueueSize: 100_000 }),
  ],
});
const meterProvider = new MeterProvider({
  resource: resource(),
  readers: [
    new PeriodicExportingMetricReader({
      exporter: new OTLPMetricExporter({ url: `${endpoint}/v1/metrics` }),
      exportIntervalMillis: Number(args['metric-interval-ms']),
      exportTimeoutMillis: Number(args['metric-interval-ms']),
    }),
  ],
});
tracerProvider.register();
registerInstrumentations({
  tracerProvider,
  meterProvider,
  instrumentations: [new HttpInstrumentation(), new ExpressInstrumentation()],
});

const server = listen(require('express'));
server.on('listening', () => process.stdout.write(`${JSON.stringify({ port: server.address().port })}\n`));
process.on('SIGTERM', () => {
  server.close(async () => {
    await tracerProvider.shutdown();
    await meterProvider.shutdown();
  });
  server.closeAllConnections();
});
