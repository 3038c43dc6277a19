//! The distributions of one operation on both sides, for pictures: nothing of a verdict is computed from them.

use super::compare::{Context, Timeline};
use super::evidence::SideEvidence;
use super::latency;
use super::policy::Tolerances;
use crate::model::{SeriesId, SeriesKey};

/// Points of a cumulative distribution: seconds and share.
pub type Curve = Vec<(f64, f64)>;

/// Two cumulative distributions to draw over each other.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Curves {
    /// The service.
    pub service: String,
    /// The operation's name.
    pub operation: String,
    /// Its span kind.
    pub kind: String,
    /// The baseline.
    pub baseline: Curve,
    /// The candidate.
    pub candidate: Curve,
    /// Quantiles, each with the relative difference that is accepted there.
    pub tolerances: Vec<(f64, f64)>,
    /// Kolmogorov and Smirnov's D.
    pub d: Option<f64>,
}

impl Curves {
    /// Of a series whose evidence is this; the tolerances' floor is made relative.
    pub(super) fn of(
        key: &SeriesKey,
        [baseline, candidate]: [SideEvidence<'_>; 2],
        tolerances: &Tolerances,
        d: Option<f64>,
    ) -> Curves {
        let beside = latency::common_source(&baseline, &candidate)
            .map(|source| tolerances.beside(&baseline.distribution(source)).quantiles);
        let (baseline, candidate) = latency::curves(&baseline, &candidate);
        Curves {
            service: key.service.to_string(),
            operation: key.operation.to_string(),
            kind: key.kind.as_str().to_owned(),
            baseline,
            candidate,
            tolerances: beside.unwrap_or_else(|| tolerances.quantiles.clone()),
            d,
        }
    }

    /// Which operation they are of.
    pub fn name(&self) -> OperationName<'_> {
        OperationName { service: &self.service, operation: &self.operation, kind: &self.kind }
    }

    /// Service and operation, to stand over a picture.
    pub fn title(&self) -> String {
        format!("{} {}", self.service, self.operation)
    }

    /// The one tolerance that a picture shows: that of the tail.
    pub fn tolerance(&self) -> Option<f64> {
        self.tolerances.iter().find(|(q, _)| *q == 0.95).map(|(_, tolerance)| *tolerance)
    }
}

/// An operation as reports name it.
#[derive(Clone, Copy, Debug)]
pub struct OperationName<'a> {
    /// The service, with its namespace.
    pub service: &'a str,
    /// The operation's name.
    pub operation: &'a str,
    /// Its span kind.
    pub kind: &'a str,
}

/// The curves of any operation that a comparison has seen; `None` of one that it has not. `d` is not known here.
pub fn of_operation(context: &Context<'_>, name: OperationName<'_>) -> Option<Curves> {
    let baseline = context.names.find_environment(&context.comparison.baseline)?;
    let candidate = context.names.find_environment(&context.comparison.candidate)?;
    let timelines = Timeline::both(context, (baseline, candidate), |window, side| window.cells.has(side));
    let is_it = |id: &SeriesId| {
        let key = context.names.series_key(*id);
        *key.operation == *name.operation
            && key.kind.as_str() == name.kind
            && key.service.to_string() == name.service
            && context.comparison.includes(&key.service)
    };
    let id = timelines.iter().flat_map(Timeline::series).find(is_it)?;
    let sides = [0, 1].map(|side: usize| timelines[side].of_series(id));
    let policy = context.policy.of(name.service, name.operation);
    Some(Curves::of(context.names.series_key(id), sides, &policy.tolerances, None))
}
