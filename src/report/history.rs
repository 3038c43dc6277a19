//! What a comparison came to, look after look, in a bounded memory.

use crate::judge::{Report, Verdict};
use serde::Serialize;
use std::collections::VecDeque;

/// Looks that are kept: six hours at two a minute. Older ones are forgotten.
pub const LOOKS_MOST: usize = 720;

/// One look at a comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Look {
    /// When it was judged, RFC 3339.
    pub at: String,
    /// What it came to.
    pub verdict: Verdict,
    /// 0 to 100.
    pub score: f64,
}

/// The looks so far, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    looks: VecDeque<Look>,
    since: Option<String>,
}

impl History {
    /// One more look.
    pub fn note(&mut self, report: &Report) {
        let look = Look { at: report.generated_at.clone(), verdict: report.verdict, score: report.score };
        if self.looks.back().is_none_or(|last| last.verdict != look.verdict) {
            self.since = Some(look.at.clone());
        }
        if self.looks.len() == LOOKS_MOST {
            self.looks.pop_front();
        }
        self.looks.push_back(look);
    }

    /// The looks, oldest first.
    pub fn looks(&self) -> impl ExactSizeIterator<Item = &Look> {
        self.looks.iter()
    }

    /// Since when the verdict is what it is, RFC 3339; `None` before the first look.
    pub fn since(&self) -> Option<&str> {
        self.since.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(verdict: Verdict, minute: usize) -> Report {
        let text = include_str!("../../tests/snapshots/report__json_all_parity.snap");
        let json = text.splitn(3, "---").last().unwrap_or_default();
        let generated_at = format!("2026-07-01T10:{minute:02}:00Z");
        Report { verdict, generated_at, ..crate::report::from_json(json).unwrap() }
    }

    #[test]
    fn a_verdict_holds_since_the_first_look_that_had_it_and_old_looks_are_forgotten() {
        let mut history = History::default();
        assert_eq!((history.since(), history.looks().len()), (None, 0));
        for (minute, verdict) in
            [Verdict::Parity, Verdict::Divergent, Verdict::Divergent].into_iter().enumerate()
        {
            history.note(&report(verdict, minute));
        }
        assert_eq!(history.since(), Some("2026-07-01T10:01:00Z"));
        let same = report(Verdict::Divergent, 3);
        (0..LOOKS_MOST).for_each(|_| history.note(&same));
        assert_eq!((history.since(), history.looks().len()), (Some("2026-07-01T10:01:00Z"), LOOKS_MOST));
    }
}
