//! Mathematics only, one method per file.
//!
//! Every function's documentation gives the question that it answers, the formula, arguments with units and shape,
//! what it returns, its assumptions, and its source. `tests/oracle.rs` holds them against numbers from SciPy and
//! statsmodels.

pub mod anderson_darling;
pub mod design_effect;
pub mod dispersion;
pub mod distribution;
pub mod e_process;
pub mod equivalence;
pub mod exceedance;
pub mod explicit;
pub mod exponential;
pub mod ks;
pub mod mann_whitney;
pub mod mix;
pub mod multiplicity;
pub mod normal;
pub mod proportions;
pub mod quantile;
pub mod rate_ratio;
pub mod ratio;
pub mod ratio_of_sums;
pub mod resolution;
pub mod wasserstein;

pub use distribution::{Bin, Distribution};
