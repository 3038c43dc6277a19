//! Which period of a history an address asks for: `?from=…&to=…`, or `?last=…`.

use crate::{
    config::value::{duration_ns, time_ns},
    report::{history::History, html::history::Span},
};
use percent_encoding::percent_decode_str;

/// What is shown when nothing is asked for.
const DEFAULT: &str = "24h";

/// The period of a query, the last one ending with the latest look. Keys that mean nothing here are for the page's script.
///
/// # Errors
/// What is wrong with which key, and what to write.
pub(super) fn span(query: &str, history: &History) -> Result<Span, String> {
    let (mut from, mut to, mut last) = (None, None, None);
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let place = match key {
            "from" => &mut from,
            "to" => &mut to,
            "last" => &mut last,
            _ => continue,
        };
        // A plus in a query may be a space or the sign of a time's zone; only the sign has a meaning here.
        *place = Some(percent_decode_str(value).decode_utf8_lossy().into_owned());
    }
    let time = |key: &str, text: &str| {
        let clipped = crate::report::text::clip(text, 60);
        time_ns(text).ok_or_else(|| {
            format!("{key}={clipped} is no time: write a day such as 2026-11-21, or 2026-11-21T08:30:00Z")
        })
    };
    let latest_ns = history.looks().next_back().map_or(0, |look| look.at_ns.saturating_add(1));
    if from.is_none() && to.is_none() {
        let text = last.unwrap_or_else(|| DEFAULT.to_owned());
        let clipped = crate::report::text::clip(&text, 60);
        let length_ns = duration_ns(&text).filter(|length| *length > 0);
        let length_ns = length_ns.ok_or_else(|| format!("last={clipped} is no duration: write 6h or 7d"))?;
        let from_ns = latest_ns.saturating_sub(length_ns);
        return Ok(Span { from_ns, to_ns: latest_ns.max(1), last: Some(text) });
    }
    let to_ns = to.as_deref().map_or(Ok(latest_ns), |text| time("to", text))?;
    let begins_ns = history.begins_ns().unwrap_or(0).min(to_ns.saturating_sub(1));
    let from_ns = from.as_deref().map_or(Ok(begins_ns), |text| time("from", text))?;
    if from_ns >= to_ns {
        return Err("the period ends before it begins: `from` must be earlier than `to`".to_owned());
    }
    Ok(Span { from_ns, to_ns, last: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_period_or_says_what_is_wrong_with_it() {
        let history = History::new(1);
        let of = |query: &str| span(query, &history);
        let pinned = of("from=2026-11-21&to=2026-11-22T00%3A00%3A00%2B01:00&deploys=x").unwrap();
        assert_eq!((pinned.to_ns - pinned.from_ns) / 1_000_000_000, 23 * 3600);
        assert_eq!(pinned.last, None);
        assert_eq!(of("").unwrap().last.as_deref(), Some("24h"));
        for (query, said) in [
            ("from=soon", "from=soon is no time"),
            ("from=2026-11-21&to=", "to= is no time"),
            ("from=2026-11-22&to=2026-11-21", "ends before it begins"),
            ("last=0", "last=0 is no duration"),
            ("last=%ff", "is no duration"),
        ] {
            assert!(of(query).unwrap_err().contains(said), "{query}");
        }
    }
}
