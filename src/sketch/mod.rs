//! Mergeable summaries of observations. Merging is commutative and associative to the last bit: every sum is of
//! integers, so no order of arrival and no number of shards changes a result.

pub mod bins;
pub mod distinct;
pub mod instance;
pub mod latency;
pub mod metric;
pub mod value;

pub use distinct::{Cardinality, Distinct};
pub use instance::InstanceCounts;
pub use latency::LatencySketch;
pub use metric::{Bounds, MetricSketch};
pub use value::ValueSketch;
