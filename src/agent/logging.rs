//! Logs to stderr through `tracing`.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt, util::SubscriberInitExt};

use crate::config::LogEncoding;

/// Starts logging. The console form is coloured when stderr is a terminal and `NO_COLOR` is not set. `level` is a `tracing` filter: `info`, or `warn,isotel::agent=debug`.
///
/// # Errors
/// A sentence when the filter does not parse, or when logging was already started in this process.
pub fn start(encoding: LogEncoding, level: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(level).map_err(|cause| format!("log level {level:?}: {cause}"))?;
    let builder = fmt().with_writer(std::io::stderr).with_env_filter(filter);
    let started = match encoding {
        LogEncoding::Json => builder.json().finish().try_init(),
        LogEncoding::Console => {
            let colour =
                std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
            builder.with_ansi(colour).finish().try_init()
        }
    };
    started.map_err(|cause| cause.to_string())
}
