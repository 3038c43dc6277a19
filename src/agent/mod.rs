//! The only tokio: servers, forwarding, push, own telemetry.
