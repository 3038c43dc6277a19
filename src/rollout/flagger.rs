//! Flagger's webhooks: each hook has its own question, and its own answer that is safe when nothing is known.
//!
//! Flagger takes a status of 200 to 202 for yes. 204 is no. 5xx and 429 are asked again and their words are lost, so a refusal
//! is a 409 with its reason, which Flagger shows in the canary's events. What waits must not count as failed: `rollout` says no
//! to a divergence only, and the `confirm` hooks hold.

use super::Standing;
use super::request::{self, BadRequest};
use crate::engine::releases::BaselineHealth;
use crate::judge::release::{Begin, Decision};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What Flagger asks, by the last part of the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// May the analysis begin?
    ConfirmRollout,
    /// Is everything ready for the first traffic?
    PreRollout,
    /// Is it still good? A no counts as a failed check.
    Rollout,
    /// May the canary get more traffic?
    ConfirmTrafficIncrease,
    /// May it be promoted?
    ConfirmPromotion,
    /// Is it to be rolled back now? A yes does so.
    Rollback,
    /// It is over.
    PostRollout,
    /// Something happened.
    Event,
}

/// Every hook with its name in Flagger.
pub const HOOKS: [(&str, Hook); 8] = [
    ("confirm-rollout", Hook::ConfirmRollout),
    ("pre-rollout", Hook::PreRollout),
    ("rollout", Hook::Rollout),
    ("confirm-traffic-increase", Hook::ConfirmTrafficIncrease),
    ("confirm-promotion", Hook::ConfirmPromotion),
    ("rollback", Hook::Rollback),
    ("post-rollout", Hook::PostRollout),
    ("event", Hook::Event),
];

impl Hook {
    /// The hook of a name.
    pub fn of(name: &str) -> Option<Hook> {
        HOOKS.iter().find(|(known, _)| *known == name).map(|(_, hook)| *hook)
    }
}

/// What Flagger sends; further fields are none of our business.
#[derive(Deserialize)]
struct Payload {
    name: String,
    namespace: String,
    #[serde(default)]
    checksum: String,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
}

const KEYS: [&str; 8] =
    ["release", "comparison", "baseline", "candidate", "services", "start", "timeout", "dry_run"];

/// The session that a hook speaks of: that of the canary's revision.
///
/// # Errors
/// [`BadRequest`]
pub fn begin(body: &[u8]) -> Result<Begin, BadRequest> {
    let Payload { name, namespace, checksum, metadata } = request::json(body)?;
    let mut said = metadata.unwrap_or_default();
    if let Some(unknown) = said.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(BadRequest(format!(
            "metadata.{unknown} means nothing here; there is {}",
            KEYS.join(", ")
        )));
    }
    let release = match (said.remove("release"), checksum.is_empty()) {
        (Some(release), _) => release,
        (None, false) => format!("{namespace}/{name}@{checksum}"),
        (None, true) => {
            let what = "the payload has no checksum that would tell this revision from the last one";
            return Err(BadRequest(format!("{what}; set metadata.release")));
        }
    };
    let dry_run = match said.remove("dry_run").as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => {
            return Err(BadRequest(format!("metadata.dry_run: {other:?} is neither true nor false")));
        }
    };
    let services = said.remove("services");
    let (start, timeout) = (said.remove("start"), said.remove("timeout"));
    Ok(Begin {
        release: Some(release),
        comparison: said.remove("comparison"),
        baseline: said.remove("baseline"),
        candidate: said.remove("candidate"),
        services: services.map(|all| all.split(',').map(|one| one.trim().to_owned()).collect()),
        start_ns: start.map(|start| request::time_ns("metadata.start", &start)).transpose()?,
        timeout_ns: timeout.map(|timeout| request::duration_ns("metadata.timeout", &timeout)).transpose()?,
        dry_run,
    })
}

/// Whether a hook that is asked about a session is told yes. Hooks that ask about something else say yes.
pub fn is_yes(hook: Hook, standing: &Standing) -> bool {
    let decision = standing.decision;
    match hook {
        Hook::Rollout => decision != Decision::Fail,
        // Without its first requests there is nothing to decide, and nothing would ever be.
        Hook::ConfirmTrafficIncrease => {
            decision == Decision::Pass || (decision != Decision::Fail && !standing.traffic)
        }
        Hook::ConfirmPromotion => decision == Decision::Pass,
        Hook::Rollback => decision == Decision::Fail,
        Hook::ConfirmRollout | Hook::PreRollout | Hook::PostRollout | Hook::Event => true,
    }
}

/// The most halvings of a sound baseline, as a share, in which the judge finds a difference.
const ALARMS_MOST: f64 = 0.1;

/// Whether a release can be compared with this baseline, and why: `confirm-rollout` asks for its telemetry, and `pre-rollout`
/// also for it to be like itself, as far as it has been watched for long enough to say so.
pub fn is_ready(hook: Hook, health: &BaselineHealth) -> (bool, String) {
    let environment = &health.environment;
    if !health.present {
        return (
            false,
            format!(
                "the baseline {environment} has sent nothing in the newest window; nothing can be compared with it"
            ),
        );
    }
    match health.against_itself {
        Some(found)
            if hook == Hook::PreRollout && found.divergent as f64 > ALARMS_MOST * found.splits as f64 =>
        {
            let (divergent, splits) = (found.divergent, found.splits);
            let how = format!("{divergent} of {splits} halvings of it differ from each other");
            (false, format!("the baseline {environment} is not like itself: {how}; wait until it is"))
        }
        Some(_) => (true, format!("the baseline {environment} is there and is like itself")),
        None => (true, format!("the baseline {environment} is there")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::verdict::CalibrationResult;

    #[test]
    fn each_hook_has_its_own_answer_to_each_state() {
        use Decision::*;
        let yes = |hook: &str, decision, traffic| {
            let standing = Standing { decision, traffic, ..Standing::unknown("") };
            is_yes(Hook::of(hook).unwrap(), &standing)
        };
        for (hook, expected) in [
            ("rollout", [true, false, true, true]),
            ("confirm-traffic-increase", [true, false, false, false]),
            ("confirm-promotion", [true, false, false, false]),
            ("rollback", [false, true, false, false]),
        ] {
            let found = [Pass, Fail, Inconclusive, Error].map(|decision| yes(hook, decision, true));
            assert_eq!(found, expected, "{hook}");
        }
        assert!(yes("confirm-traffic-increase", Inconclusive, false), "else there is never any traffic");
        assert!(!yes("confirm-traffic-increase", Fail, false));
        assert_eq!(Hook::of("load-test"), None);
    }

    #[test]
    fn a_baseline_that_is_silent_or_not_like_itself_is_not_compared_with() {
        let health = |present, against_itself: Option<(u64, u64)>| BaselineHealth {
            environment: "stable".to_owned(),
            present,
            against_itself: against_itself.map(|(divergent, splits)| CalibrationResult { splits, divergent }),
        };
        for (health, confirmed, ready) in [
            (health(false, None), false, false),
            (health(true, None), true, true),
            (health(true, Some((3, 35))), true, true),
            (health(true, Some((4, 35))), true, false),
        ] {
            let found = [Hook::ConfirmRollout, Hook::PreRollout].map(|hook| is_ready(hook, &health).0);
            assert_eq!(found, [confirmed, ready], "{health:?}");
        }
    }

    #[test]
    fn a_payload_names_its_revision_and_what_it_misspells_is_told() {
        let with = |checksum: &str, metadata: &str| {
            let body = format!(
                r#"{{"name":"cart","namespace":"shop","phase":"Progressing","checksum":"{checksum}","metadata":{metadata}}}"#
            );
            begin(body.as_bytes())
        };
        let found =
            with("85d557f47b", r#"{"comparison":"release","services":"cart, shop/*","dry_run":"true"}"#)
                .unwrap();
        assert_eq!(found.release.as_deref(), Some("shop/cart@85d557f47b"));
        assert_eq!((found.services.unwrap().len(), found.dry_run), (2, true));
        assert_eq!(with("1", "null").unwrap().services, None);
        assert_eq!(with("", r#"{"release":"v2"}"#).unwrap().release.as_deref(), Some("v2"));
        for (found, said) in [
            (with("", "{}"), "metadata.release"),
            (with("1", r#"{"comparision":"a"}"#), "comparison"),
            (with("1", r#"{"dry_run":"yes"}"#), "dry_run"),
            (with("1", r#"{"timeout":"long"}"#), "timeout"),
            (begin(b"{}"), "name"),
        ] {
            let told = found.unwrap_err().to_string();
            assert!(told.contains(said), "{told}");
        }
    }
}
