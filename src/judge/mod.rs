//! Evidence → verdicts and findings; one rule per aspect.

pub mod verdict;

pub use verdict::{Aspect, Finding, Level, Report, Verdict};
