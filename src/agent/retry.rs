//! What an answer from downstream means, and how long to wait before the next attempt. Pure: no clock, no tokio.
//!
//! The lists of retryable codes are OTLP's (specification 1.11.0, "Failures"): nothing else is ever sent twice.

use std::time::Duration;

use jiff::{Timestamp, fmt::rfc2822};

use crate::config::RetryConfig;

/// A server may ask for a pause; one longer than this is taken as this.
const SERVER_DELAY_MAX: Duration = Duration::from_secs(3_600);

/// What one attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Downstream has it. `rejected` items of it were refused for good; `message` is downstream's explanation or warning.
    Delivered {
        /// Items refused, by `partial_success`.
        rejected: u64,
        /// Downstream's words; empty for full success.
        message: String,
    },
    /// Worth another attempt, not before `after` if the server named a pause.
    Retryable {
        /// What went wrong, for the log.
        reason: String,
        /// The pause asked for by `RetryInfo` or `Retry-After`.
        after: Option<Duration>,
    },
    /// Never to be sent again.
    Permanent {
        /// What went wrong, for the log.
        reason: String,
    },
}

/// Reads a gRPC status. `retry_info` is the delay of a `google.rpc.RetryInfo` detail, when there was one.
pub fn grpc_reply(code: i32, message: &str, retry_info: Option<Duration>) -> Reply {
    let reason = format!("{} ({code}): {message}", grpc_code_name(code));
    match code {
        0 => Reply::Delivered { rejected: 0, message: String::new() },
        // CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS
        1 | 4 | 10 | 11 | 14 | 15 => Reply::Retryable { reason, after: retry_info },
        // RESOURCE_EXHAUSTED: recoverable only if the server says when.
        8 if retry_info.is_some() => Reply::Retryable { reason, after: retry_info },
        _ => Reply::Permanent { reason },
    }
}

/// Reads an HTTP status. `retry_after` is the header's value, `now` the wall clock (for its date form).
pub fn http_reply(status: u16, message: &str, retry_after: Option<&str>, now: Timestamp) -> Reply {
    let reason =
        if message.is_empty() { format!("HTTP {status}") } else { format!("HTTP {status}: {message}") };
    match status {
        200..=299 => Reply::Delivered { rejected: 0, message: String::new() },
        429 | 502..=504 => {
            Reply::Retryable { reason, after: retry_after.and_then(|value| parse_retry_after(value, now)) }
        }
        _ => Reply::Permanent { reason },
    }
}

/// `Retry-After` in either form of RFC 9110: seconds, or a date in any of its three spellings. `None` if it is neither.
pub fn parse_retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = rfc2822::DateTimeParser::new()
        .parse_timestamp(value)
        .ok()
        .or_else(|| obsolete_date("%A, %d-%b-%y %H:%M:%S GMT", value))
        .or_else(|| obsolete_date("%a %b %e %H:%M:%S %Y", value))?;
    Some(Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO))
}

fn obsolete_date(format: &str, value: &str) -> Option<Timestamp> {
    let civil = jiff::fmt::strtime::parse(format, value).ok()?.to_datetime().ok()?;
    civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// The wait before attempt `failures + 1`, or `None` to give up.
///
/// `failures` counts attempts so far (1 after the first); `elapsed` is the time since the first began; `after` is the
/// server's wish, which is a lower bound; `chance` is uniform in `[0, 1)`.
pub fn next_delay(
    policy: &RetryConfig,
    failures: u32,
    elapsed: Duration,
    after: Option<Duration>,
    chance: f64,
) -> Option<Duration> {
    if !policy.enabled {
        return None;
    }
    let growth =
        policy.multiplier.max(1.0).powi(i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX));
    let interval = (policy.initial_interval.as_secs_f64() * growth).min(policy.max_interval.as_secs_f64());
    let spread = policy.randomization_factor.clamp(0.0, 1.0);
    let own = Duration::try_from_secs_f64(interval * (1.0 - spread + 2.0 * spread * chance));
    let asked = after.unwrap_or(Duration::ZERO).min(SERVER_DELAY_MAX);
    let delay = own.unwrap_or(policy.max_interval).max(asked);
    let too_late = policy.max_elapsed_time.is_some_and(|most| elapsed.saturating_add(delay) > most);
    (!too_late).then_some(delay)
}

/// The name gRPC gives a code, for logs.
pub fn grpc_code_name(code: i32) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    usize::try_from(code).ok().and_then(|index| NAMES.get(index)).copied().unwrap_or("UNKNOWN")
}

/// A small generator of jitter (Steele, Lea and Flood 2014, SplitMix64). Seeded, so that a test can repeat it.
#[derive(Debug, Clone)]
pub struct Jitter(u64);

impl Jitter {
    /// Starts the sequence that belongs to `seed`.
    pub fn seeded(seed: u64) -> Self {
        Jitter(seed)
    }

    /// The next value, uniform in `[0, 1)`.
    pub fn draw(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(max_elapsed_time: Option<Duration>) -> RetryConfig {
        RetryConfig {
            enabled: true,
            initial_interval: Duration::from_secs(5),
            randomization_factor: 0.5,
            multiplier: 1.5,
            max_interval: Duration::from_secs(30),
            max_elapsed_time,
        }
    }

    fn now() -> Timestamp {
        "1994-11-06T08:49:00Z".parse().unwrap()
    }

    fn seconds(reply: &Reply) -> Option<u64> {
        match reply {
            Reply::Retryable { after, .. } => after.map(|after| after.as_secs()),
            _ => None,
        }
    }

    #[test]
    fn grpc_codes_are_retried_exactly_where_otlp_says() {
        let minute = Some(Duration::from_secs(60));
        for code in 0..=17 {
            let retryable = [1, 4, 10, 11, 14, 15].contains(&code);
            let plain = grpc_reply(code, "m", None);
            assert_eq!(matches!(plain, Reply::Retryable { .. }), retryable, "code {code}");
            assert_eq!(matches!(plain, Reply::Delivered { .. }), code == 0, "code {code}");
            let hinted = grpc_reply(code, "m", minute);
            assert_eq!(
                matches!(hinted, Reply::Retryable { .. }),
                retryable || code == 8,
                "code {code} with RetryInfo"
            );
        }
        assert_eq!(seconds(&grpc_reply(14, "", minute)), Some(60));
    }

    #[test]
    fn http_statuses_are_retried_exactly_where_otlp_says() {
        for status in 100..600 {
            let reply = http_reply(status, "", None, now());
            assert_eq!(
                matches!(reply, Reply::Retryable { .. }),
                [429, 502, 503, 504].contains(&status),
                "{status}"
            );
            assert_eq!(matches!(reply, Reply::Delivered { .. }), (200..300).contains(&status), "{status}");
        }
    }

    #[test]
    fn retry_after_is_read_in_every_form() {
        let table = [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(37)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(37)),
            ("Sun Nov  6 08:49:37 1994", Some(37)),
            ("Sun, 06 Nov 1994 08:48:00 GMT", Some(0)),
            ("-5", None),
            ("soon", None),
            ("", None),
        ];
        for (value, expected) in table {
            assert_eq!(parse_retry_after(value, now()).map(|after| after.as_secs()), expected, "{value:?}");
        }
        assert_eq!(seconds(&http_reply(503, "", Some("7"), now())), Some(7));
    }

    #[test]
    fn the_wait_grows_to_its_cap_and_is_jittered_about_its_middle() {
        let policy = policy(None);
        let wait = |failures, chance| {
            next_delay(&policy, failures, Duration::ZERO, None, chance).unwrap().as_secs_f64()
        };
        for (failures, middle) in [(1, 5.0), (2, 7.5), (3, 11.25), (6, 30.0), (4_000_000_000, 30.0)] {
            assert!((wait(failures, 0.5) - middle).abs() < 1e-9, "after {failures}");
            assert!((wait(failures, 0.0) - middle * 0.5).abs() < 1e-9, "after {failures}");
            assert!(wait(failures, 0.999) < middle * 1.5, "after {failures}");
        }
    }

    #[test]
    fn the_servers_pause_is_a_lower_bound_and_is_capped() {
        let policy = policy(None);
        let wait = |after| next_delay(&policy, 1, Duration::ZERO, Some(Duration::from_secs(after)), 0.5);
        assert_eq!(wait(90), Some(Duration::from_secs(90)));
        assert_eq!(wait(1), Some(Duration::from_secs(5)));
        assert_eq!(wait(u64::MAX), Some(SERVER_DELAY_MAX));
    }

    #[test]
    fn it_gives_up_when_the_next_attempt_would_be_too_late() {
        let policy = policy(Some(Duration::from_secs(300)));
        let at = |elapsed| next_delay(&policy, 9, Duration::from_secs(elapsed), None, 0.5);
        assert!(at(270).is_some());
        assert!(at(271).is_none());
        let disabled = RetryConfig { enabled: false, ..policy };
        assert_eq!(next_delay(&disabled, 1, Duration::ZERO, None, 0.5), None);
    }

    #[test]
    fn the_same_seed_draws_the_same_jitter_within_the_unit_interval() {
        let draws = |seed| {
            let mut jitter = Jitter::seeded(seed);
            std::array::from_fn::<f64, 64, _>(|_| jitter.draw())
        };
        assert_eq!(draws(7), draws(7));
        assert_ne!(draws(7), draws(8));
        assert!(draws(7).iter().all(|draw| (0.0..1.0).contains(draw)));
    }
}
