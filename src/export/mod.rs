//! Verdicts and evidence → OTLP messages and Prometheus text. Pure encoders.
