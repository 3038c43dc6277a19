//! Prometheus' instant query over the published gauges: the little of it that a gate needs, and 400 for all else.
//!
//! A query is `NAME`, `NAME{LABEL="VALUE", LABEL!="VALUE"}` with a name of [`super::prometheus`]'s page, or `vector(NUMBER)`, which
//! clients ask to see whether anybody is there. A label that a series lacks is empty, as in PromQL, so that
//! `parity_verdict{service_name=""}` is that of comparisons as wholes. What this does not read is refused and never guessed.

use super::gauges::{FAMILIES, Number};
use super::prometheus::label_name;
use crate::judge::Report;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::Deref;

/// The longest query, bytes.
const QUERY_BYTES_MOST: usize = 4 << 10;
/// Series in one answer.
const SERIES_MOST: usize = 1_000;

/// What is wrong with a query, in Prometheus' form: always `bad_data`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadQuery(pub String);

impl BadQuery {
    /// The body that goes with status 400.
    pub fn body(&self) -> String {
        json!({"status": "error", "errorType": "bad_data", "error": self.0}).to_string()
    }
}

/// One label of a selector.
struct Matcher<'q> {
    label: &'q str,
    equal: bool,
    value: String,
}

/// Answers a query at a time, seconds since the epoch.
///
/// # Errors
/// [`BadQuery`]
pub fn query<R: Deref<Target = Report>>(reports: &[R], text: &str, at_s: f64) -> Result<String, BadQuery> {
    if text.len() > QUERY_BYTES_MOST {
        return Err(BadQuery(format!("the query has {} bytes; {QUERY_BYTES_MOST} are allowed", text.len())));
    }
    let text = text.trim();
    let found = match text.strip_prefix("vector(").and_then(|rest| rest.strip_suffix(')')) {
        Some(number) => {
            let number: f64 = number.trim().parse().map_err(|_| unknown(text))?;
            vec![json!({"metric": {}, "value": [at_s, number.to_string()]})]
        }
        None => select(reports, text, at_s)?,
    };
    Ok(json!({"status": "success", "data": {"resultType": "vector", "result": found}}).to_string())
}

fn select<R: Deref<Target = Report>>(reports: &[R], text: &str, at_s: f64) -> Result<Vec<Value>, BadQuery> {
    let (name, matchers) = match text.split_once('{') {
        Some((name, rest)) => (name.trim(), matchers(rest).ok_or_else(|| unknown(text))?),
        None => (text, Vec::new()),
    };
    let published = |known: &str| known.replace('.', "_");
    let Some(family) = FAMILIES.iter().find(|family| published(family.name) == name) else {
        let is_name =
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
        if !is_name {
            return Err(unknown(text));
        }
        let known: Vec<String> = FAMILIES.iter().map(|family| published(family.name)).collect();
        return Err(BadQuery(format!("there is no {name} here; there is {}", known.join(", "))));
    };
    let mut found = BTreeMap::new();
    let mut too_many = false;
    for report in reports {
        family.points(report, &mut |attributes, value: Number| {
            let mut labels: BTreeMap<String, &str> =
                attributes.iter().map(|(key, value)| (label_name(key), &**value)).collect();
            let of = |label: &str| labels.get(label).copied().unwrap_or("");
            if !matchers.iter().all(|m| (of(m.label) == m.value) == m.equal) {
                return;
            }
            if found.len() >= SERIES_MOST {
                too_many = true;
                return;
            }
            labels.insert("__name__".to_owned(), name);
            let series = json!(labels);
            found
                .entry(series.to_string())
                .or_insert_with(|| json!({"metric": series, "value": [at_s, value.to_string()]}));
        });
    }
    match too_many {
        true => Err(BadQuery(format!("more than {SERIES_MOST} series match; say more labels"))),
        false => Ok(found.into_values().collect()),
    }
}

fn unknown(text: &str) -> BadQuery {
    let text: String = text.chars().take(200).collect();
    BadQuery(format!(
        "{text:?} is more PromQL than is read here: one name with label=\"value\" and label!=\"value\", or vector(1)"
    ))
}

/// `label="value", …}` to its end.
fn matchers(text: &str) -> Option<Vec<Matcher<'_>>> {
    let mut rest = text.trim_start();
    let mut found = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return after.trim().is_empty().then_some(found);
        }
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
        let (label, after) = rest.split_at(end);
        let after = after.trim_start();
        let (equal, after) = match (after.strip_prefix("!="), after.strip_prefix('=')) {
            (Some(after), _) => (false, after),
            (None, Some(after)) => (true, after),
            (None, None) => return None,
        };
        let (value, after) = quoted(after.trim_start())?;
        if label.is_empty() {
            return None;
        }
        found.push(Matcher { label, equal, value });
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(after) => after.trim_start(),
            None if after.starts_with('}') => after,
            None => return None,
        };
    }
}

/// A text in quotes of either kind, with what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                escaped @ ('\\' | '"' | '\'') => value.push(escaped),
                _ => return None,
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const NONE: [Arc<Report>; 0] = [];

    #[test]
    fn a_vector_is_there_for_whoever_asks_whether_anybody_is() {
        let found: Value = serde_json::from_str(&query(&NONE, " vector(1) ", 1.5).unwrap()).unwrap();
        assert_eq!(found["data"]["result"], json!([{"metric": {}, "value": [1.5, "1"]}]));
    }

    #[test]
    fn what_is_not_read_is_refused_in_prometheus_form() {
        for (text, said) in [
            ("", "more PromQL"),
            ("up", "parity_verdict"),
            ("sum(parity_verdict)", "more PromQL"),
            ("parity_verdict{state=~\"p.*\"}", "more PromQL"),
            ("parity_verdict{state=\"parity\"", "more PromQL"),
            ("parity_verdict{state=\"par\\qity\"}", "more PromQL"),
            ("parity_verdict{=\"a\"}", "more PromQL"),
            ("parity_verdict{state=\"parity\"}[5m]", "more PromQL"),
            ("parity_verdict > 0", "more PromQL"),
            ("vector(time())", "more PromQL"),
            (&"x".repeat(5_000), "5000 bytes"),
        ] {
            let error = query(&NONE, text, 0.0).unwrap_err();
            let body: Value = serde_json::from_str(&error.body()).unwrap();
            assert_eq!((&body["status"], &body["errorType"]), (&json!("error"), &json!("bad_data")));
            assert!(body["error"].as_str().unwrap().contains(said), "{text}: {body}");
        }
        for text in
            ["parity_score", "parity_score{}", "parity_score{ comparison = 'a' , state!=\"\\\"\\n\", }"]
        {
            assert!(query(&NONE, text, 0.0).is_ok(), "{text}");
        }
    }
}
