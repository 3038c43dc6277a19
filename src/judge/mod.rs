//! Evidence → verdicts and findings; one rule per aspect.
//!
//! [`compare()`] is where a comparison becomes a [`Report`]: it gathers each series' evidence from the sealed windows
//! ([`evidence`]), asks one file per aspect, corrects for the number of series, and sums up.

pub mod calibration;
pub mod cardinality;
pub mod catalog_report;
pub mod compare;
mod completeness;
pub mod conventions;
pub mod coverage;
pub mod curves;
pub mod error_types;
mod dependencies;
pub mod errors;
pub mod evidence;
pub mod expected;
pub mod facts;
pub mod findings;
pub mod infer;
mod input;
pub mod latency;
pub mod maintenance;
mod mix;
pub mod policy;
pub mod presence;
pub mod release;
mod roots;
pub mod session;
pub mod snapshot;
pub mod slo;
pub mod structure;
mod texts;
mod total;
pub mod value;
mod value_evidence;
pub mod verdict;
mod volume;
pub mod waivers;

pub use calibration::Calibration;
pub use catalog_report::CatalogReport;
pub use compare::{Context, Judgement, compare};
pub use policy::{Comparison, Policy, Tolerances};
pub use release::Release;
pub use session::Session;
pub use snapshot::SnapshotSide;
pub use verdict::{Aspect, Finding, Level, Report, Verdict};
