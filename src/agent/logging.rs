//! Logs to stderr through `tracing`.

use std::{
    io::IsTerminal,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;
use tracing_subscriber::{EnvFilter, fmt, util::SubscriberInitExt};

use crate::config::LogEncoding;

/// Starts logging. The console form is coloured when stderr is a terminal and `NO_COLOR` is not set. `level` is a `tracing`
/// filter: `info`, or `warn,isotel::agent=debug`.
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

/// Lets one through per interval, with the number of times that it stands for.
pub(crate) struct Throttle {
    interval: Duration,
    last: Mutex<Option<Instant>>,
    times: AtomicU64,
}

impl Throttle {
    pub(crate) fn every(interval: Duration) -> Self {
        Throttle { interval, last: Mutex::default(), times: AtomicU64::new(0) }
    }

    pub(crate) fn admit(&self) -> Option<u64> {
        let times = self.times.fetch_add(1, Relaxed) + 1;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|at| at.elapsed() < self.interval) {
            return None;
        }
        *last = Some(Instant::now());
        self.times.store(0, Relaxed);
        Some(times)
    }
}
