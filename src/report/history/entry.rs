//! One look at a comparison as it is kept: small, and complete enough for trends, deployments and findings.
//!
//! A report flows in, an [`Entry`] flows out, and bytes of it (postcard). Names change seldom and scores at every look, so
//! that names ([`Scene`]) are written only when they are others than in the entry before; the other entries name the scene by
//! its hash, and one whose scene is lost counts without services and findings.

use crate::judge::verdict::Fact;
use crate::judge::{Aspect, Level, Report, Verdict};
use crate::report::{order, text::clip};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// The form of an entry; another one is not read.
pub const FORMAT: u32 = 1;
/// Services of an entry; those that matter most stay.
pub const SERVICES_MOST: usize = 200;
/// Findings of an entry; the most important ones stay.
pub const FINDINGS_MOST: usize = 200;
/// Characters of a name.
const NAME_MOST: usize = 200;

/// A score as a history has it: its rounding to six digits is far below what is shown.
pub type Score = f32;

/// One look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was judged, nanoseconds since the epoch.
    pub at_ns: u64,
    /// The comparison's name.
    pub comparison: String,
    /// What it came to.
    pub verdict: Verdict,
    /// 0 to 100.
    pub score: Score,
    /// What each aspect came to.
    pub aspects: Vec<(Aspect, Verdict, Score)>,
    /// What each service came to, in the order of the scene's names.
    pub services: Vec<(Verdict, Score)>,
    /// What was taken in so far: spans, metric points, log records, and what was refused.
    pub input: [u64; 4],
    /// The hash of the scene.
    pub scene: u64,
    /// The scene, where it is another one than before.
    pub described: Option<Scene>,
}

/// What changes seldom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scene {
    /// The baseline environment.
    pub baseline: String,
    /// The candidate environment.
    pub candidate: String,
    /// Who owns the comparison.
    pub owner: Option<String>,
    /// Services.
    pub services: Vec<ServiceScene>,
    /// What should be known.
    pub findings: Vec<FindingScene>,
}

/// A service and the versions that are seen of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceScene {
    /// Its name.
    pub service: String,
    /// `service.version` on the baseline side.
    pub baseline: Vec<String>,
    /// `service.version` on the candidate side.
    pub candidate: Vec<String>,
}

/// A finding without its numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingScene {
    /// Its id.
    pub id: String,
    /// How much it matters.
    pub level: Level,
    /// What it is about.
    pub aspect: Aspect,
    /// The service, when it is about one.
    pub service: Option<String>,
    /// The operation, when it is about one.
    pub operation: Option<String>,
    /// The item, when it is about one.
    pub item: Option<String>,
    /// A few words.
    pub title: String,
    /// Who should know.
    pub owner: Option<String>,
    /// The waiver that accepts it.
    pub waived_by: Option<String>,
}

impl Entry {
    /// What is kept of a report; `None` of one without a time.
    pub fn of(report: &Report) -> Option<Entry> {
        let at_ns = time_ns(&report.generated_at)?;
        let mut services: Vec<_> = report.services.iter().collect();
        if services.len() > SERVICES_MOST {
            services.sort_by_key(|service| order::rank(service.verdict));
            services.truncate(SERVICES_MOST);
        }
        let own = |text: &Option<String>| text.as_deref().map(name);
        let finding = |finding: &crate::judge::Finding| FindingScene {
            id: name(&finding.id),
            level: finding.level,
            aspect: finding.aspect,
            service: own(&finding.service),
            operation: own(&finding.operation),
            item: own(&finding.item),
            title: name(&finding.title),
            owner: own(&finding.owner),
            waived_by: own(&finding.waived_by),
        };
        let scene = Scene {
            baseline: name(&report.baseline.environment),
            candidate: name(&report.candidate.environment),
            owner: own(&report.owner),
            services: services.iter().map(|service| versions(&service.service, &service.facts)).collect(),
            findings: report.findings.iter().take(FINDINGS_MOST).map(finding).collect(),
        };
        let rejected = report.input.rejected.values().fold(0, |sum: u64, n| sum.saturating_add(*n));
        Some(Entry {
            at_ns,
            comparison: name(&report.comparison),
            verdict: report.verdict,
            score: report.score as Score,
            aspects: report.aspects.iter().map(|(a, r)| (*a, r.verdict, r.score as Score)).collect(),
            services: services.iter().map(|service| (service.verdict, service.score as Score)).collect(),
            input: [report.input.spans, report.input.metric_points, report.input.log_records, rejected],
            scene: scene.hash(),
            described: Some(scene),
        })
    }

    /// As bytes, without the scene where it is the one of this hash.
    pub fn to_bytes(&self, known: Option<u64>) -> Vec<u8> {
        let brief = known == Some(self.scene) && self.described.is_some();
        let written = match brief {
            true => postcard::to_stdvec(&Entry { described: None, ..self.clone() }),
            false => postcard::to_stdvec(self),
        };
        // These types have a form in postcard, whatever they hold.
        written.unwrap_or_default()
    }

    /// From bytes; `None` when they are none of an entry.
    pub fn from_bytes(bytes: &[u8]) -> Option<Entry> {
        let (entry, rest): (Entry, &[u8]) = postcard::take_from_bytes(bytes).ok()?;
        let is_whole = rest.is_empty() && entry.described.as_ref().is_none_or(|s| s.hash() == entry.scene);
        is_whole.then_some(entry)
    }
}

impl Scene {
    pub(super) fn hash(&self) -> u64 {
        xxh3_64(&postcard::to_stdvec(self).unwrap_or_default())
    }
}

/// A service with what its facts say of its version.
fn versions(service: &str, facts: &[Fact]) -> ServiceScene {
    let fact = facts.iter().find(|fact| fact.key == "service.version");
    let listed = |side: fn(&Fact) -> Option<&String>| -> Vec<String> {
        let joined = fact.and_then(side).map_or("", String::as_str);
        joined.split(", ").filter(|version| !version.is_empty()).map(name).collect()
    };
    ServiceScene {
        service: name(service),
        baseline: listed(|fact| fact.baseline.as_ref()),
        candidate: listed(|fact| fact.candidate.as_ref()),
    }
}

fn name(text: &str) -> String {
    clip(text, NAME_MOST)
}

/// RFC 3339 as nanoseconds since the epoch.
pub fn time_ns(text: &str) -> Option<u64> {
    u64::try_from(text.parse::<jiff::Timestamp>().ok()?.as_nanosecond()).ok()
}

/// Nanoseconds since the epoch as RFC 3339.
pub fn rfc3339(at_ns: u64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(at_ns)).unwrap_or(jiff::Timestamp::MAX).to_string()
}
