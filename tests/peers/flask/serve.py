"""Starts app.py under `opentelemetry-instrument` of one of two versions.

The command line is that of tests/peers/README.md; it becomes the variables that
the distribution is configured by.
"""

import argparse
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
# What the command `opentelemetry-instrument` does. The command itself names the
# directory that it was installed in, and a built peer has been moved.
INSTRUMENT = "from opentelemetry.instrumentation.auto_instrumentation import run; run()"


def arguments():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("version", choices=["older", "newer"])
    parser.add_argument("--endpoint-http", default="http://127.0.0.1:4318")
    parser.add_argument("--environment", required=True)
    parser.add_argument("--service", required=True)
    parser.add_argument("--instance", required=True)
    parser.add_argument("--conventions", choices=["default", "http", "http/dup"], default="default")
    parser.add_argument("--metric-interval-ms", type=int, default=60_000)
    return parser.parse_args()


def variables(args):
    resource = {
        "service.name": args.service,
        "service.namespace": "shop",
        "service.instance.id": args.instance,
        "deployment.environment.name": args.environment,
    }
    out = {
        "OTEL_RESOURCE_ATTRIBUTES": ",".join(f"{key}={value}" for key, value in resource.items()),
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_ENDPOINT": args.endpoint_http,
        "OTEL_METRIC_EXPORT_INTERVAL": str(args.metric_interval_ms),
    }
    if args.conventions != "default":
        out["OTEL_SEMCONV_STABILITY_OPT_IN"] = args.conventions
    return out


def main():
    args = arguments()
    os.environ.update(variables(args))
    python = str(HERE / args.version / "venv" / "bin" / "python")
    os.execv(python, [python, "-c", INSTRUMENT, python, str(HERE / "app.py")])


if __name__ == "__main__":
    sys.exit(main())
