//! Event-time windows on shared boundaries.
//!
//! [`Shard`] is the hot plane: it decodes a request and records it into its open windows, owning all that it
//! touches. [`SealedWindow`] is where the shards meet: open windows of one index, merged, that nothing is added to
//! any more.

mod cache;
pub mod cardinality;
pub mod cells;
mod facts;
pub mod grid;
mod logs;
mod metrics;
pub mod open;
pub mod parents;
pub mod parts;
pub mod sealed;
mod senders;
pub mod shard;
pub mod sources;
mod spans;
pub mod statements;
pub mod streams;
pub mod translate;
mod values;
pub mod warmup;
pub mod watermark;

pub use cells::Cells;
pub use grid::Grid;
pub use sealed::{SealedCell, SealedValue, SealedWindow};
pub use shard::{Shard, Shared};
pub use translate::Translation;
pub use warmup::Instances;
pub use watermark::{Patience, Progress};
