//! Durations and sizes as people write them.

/// `90s`, `1m30s`, `500ms`, `24h` in nanoseconds: numbers with the units of Go's durations, and `d` for days.
pub fn duration_ns(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut total = 0f64;
    if rest.is_empty() {
        return None;
    }
    if rest == "0" {
        return Some(0);
    }
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value: f64 = rest[..number].parse().ok()?;
        let unit_end = rest[number..]
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .map_or(rest.len(), |at| number + at);
        let unit = match &rest[number..unit_end] {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3_600e9,
            "d" => 86_400e9,
            _ => return None,
        };
        total += value * unit;
        rest = &rest[unit_end..];
    }
    (total < 9.2e18).then_some(total.round() as u64)
}

/// A point in time, RFC 3339 or a day, which begins at midnight UTC; in nanoseconds since the epoch.
pub fn time_ns(text: &str) -> Option<u64> {
    let day = || text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    let time = text.parse::<jiff::Timestamp>().ok().or_else(|| Some(day()?.timestamp()))?;
    // Beyond the year 2554 all times are one.
    Some(u64::try_from(time.as_nanosecond().max(0)).unwrap_or(u64::MAX))
}

/// `64MiB`, `512KiB`, `1GiB`, `10MB`, or plain bytes.
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let number = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let value: f64 = text[..number].parse().ok()?;
    let unit: f64 = match text[number..].trim() {
        "" | "B" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        "KB" | "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        _ => return None,
    };
    let bytes = value * unit;
    (bytes < 1e18).then_some(bytes.round() as u64)
}

/// A place to listen on or connect to: host and port. IPv6 in brackets; an empty host is every address.
pub fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.strip_prefix('[').map_or(Some(host), |inner| inner.strip_suffix(']'))?;
    if host.contains(['/', ' ', '@']) || (host.contains(':') && !text.starts_with('[')) {
        return None;
    }
    Some((if host.is_empty() { "0.0.0.0".to_owned() } else { host.to_owned() }, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_as_collectors_write_them() {
        for (text, expected) in [
            ("1m30s", Some(90_000_000_000)),
            ("500ms", Some(500_000_000)),
            ("1.5h", Some(5_400_000_000_000)),
            ("0", Some(0)),
            ("10", None),
            ("s", None),
            ("", None),
            ("1y", None),
        ] {
            assert_eq!(duration_ns(text), expected, "{text}");
        }
        for (text, expected) in
            [("64MiB", Some(67_108_864)), ("4", Some(4)), ("1 MB", Some(1_000_000)), ("x", None)]
        {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }

    #[test]
    fn a_time_is_a_point_or_a_day() {
        let noon = time_ns("2027-01-31T12:00:00Z").unwrap();
        assert_eq!(time_ns("2027-01-31"), Some(noon - 43_200_000_000_000));
        assert_eq!((time_ns("1969-01-01"), time_ns("2999-01-01")), (Some(0), Some(u64::MAX)));
        assert_eq!((time_ns("2027-02-31"), time_ns("soon"), time_ns("")), (None, None, None));
    }

    #[test]
    fn an_endpoint_needs_a_port_and_takes_no_scheme() {
        assert_eq!(host_and_port("localhost:4317"), Some(("localhost".into(), 4317)));
        assert_eq!(host_and_port("[::1]:1"), Some(("::1".into(), 1)));
        assert_eq!(host_and_port(":4317"), Some(("0.0.0.0".into(), 4317)));
        for wrong in ["localhost", "http://localhost:4317", "::1:4317", "localhost:99999"] {
            assert_eq!(host_and_port(wrong), None, "{wrong}");
        }
    }
}
