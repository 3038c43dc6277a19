//! What rollout tools ask, and what they are answered: one decision in the words of each.
//!
//! ```text
//! bytes of a request ─request, flagger, kayenta→ Begin ─engine→ Release ─argo, flagger, kayenta→ bytes of an answer
//! ```
//!
//! Pure: a request's bytes and a session flow in, an answer's status and text flow out. Each tool has its own idea of what a
//! missing answer means, and the worst ones are that silence is success and that waiting is failure; each file opens with how
//! its tool reads what it is told.

pub mod argo;
pub mod flagger;
pub mod kayenta;
pub mod request;

use crate::engine::releases::ReleaseError;
use crate::judge::Release;
use crate::judge::release::Decision;

/// What a tool is told, whatever its words for it are.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Pass, fail, or neither.
    pub decision: Decision,
    /// Whether the candidate has had requests; taken to be so where nothing is known.
    pub traffic: bool,
    /// Why, in a sentence.
    pub reason: String,
    /// 0 to 100.
    pub score: Option<f64>,
    /// Where a person reads more.
    pub page: Option<String>,
}

impl Standing {
    /// That of a session; `root` as in [`Release::page`].
    pub fn of(release: &Release, root: &str) -> Standing {
        Standing {
            decision: release.answer(),
            traffic: release.traffic,
            reason: release.reason(),
            score: release.score(),
            page: Some(release.page(root)),
        }
    }

    /// There is no session. That nothing has been seen yet, as after a restart, is no fault of who asks.
    pub fn without(error: &ReleaseError) -> Standing {
        let decision = match error {
            ReleaseError::NothingSeen => Decision::Inconclusive,
            _ => Decision::Error,
        };
        Standing { decision, ..Standing::unknown(&error.to_string()) }
    }

    /// What is asked for makes no sense.
    pub fn refused(why: &str) -> Standing {
        Standing { decision: Decision::Error, ..Standing::unknown(why) }
    }

    /// Nothing can be said now.
    pub fn unknown(why: &str) -> Standing {
        Standing {
            decision: Decision::Inconclusive,
            traffic: true,
            reason: why.to_owned(),
            score: None,
            page: None,
        }
    }
}
