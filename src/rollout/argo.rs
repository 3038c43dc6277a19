//! Argo Rollouts' web provider: `{"argo": {verdict, score, reason, report}}`.
//!
//! Any status but 2xx is an Error of the measurement, and a few of them abort a healthy release; so what is not known is told
//! with 200. The object is stored with the AnalysisRun as it is, and is the only place where an explanation can live: it is
//! short and has no number that JSON has not.

use super::Standing;
use crate::report::text::{clean, clip};
use serde_json::{Value, json};

/// The object has fewer bytes than this.
pub const BYTES_MOST: usize = 500;

/// The answer's body.
pub fn answer(standing: &Standing) -> String {
    let object = |reason: &str| {
        json!({
            "verdict": standing.decision,
            "score": standing.score,
            "reason": reason,
            "report": standing.page,
        })
    };
    let reason = clean(&standing.reason);
    let mut columns = BYTES_MOST;
    loop {
        let found = object(&clip(&reason, columns));
        // One character is six bytes at the most in JSON, and the other fields are short by themselves.
        if found.to_string().len() < BYTES_MOST || columns == 0 {
            return Value::to_string(&json!({ "argo": found }));
        }
        columns = columns.saturating_sub(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::release::Decision;

    #[test]
    fn the_object_is_short_and_json_whatever_the_reason_is() {
        for reason in ["", "short", &"ü\"\\\u{1}\u{202e}".repeat(400), &"\u{1f980}".repeat(300)] {
            let standing = Standing {
                decision: Decision::Fail,
                traffic: true,
                reason: reason.to_owned(),
                score: Some(f64::NAN),
                page: Some("/sessions/6924a1b0-1".to_owned()),
            };
            let body = answer(&standing);
            let found: Value = serde_json::from_str(&body).unwrap();
            assert!(found["argo"].to_string().len() < BYTES_MOST);
            assert_eq!((&found["argo"]["verdict"], &found["argo"]["score"]), (&json!("fail"), &Value::Null));
            assert!(reason.is_empty() || !found["argo"]["reason"].as_str().unwrap().is_empty());
        }
    }
}
