//! YAML as a tree that knows where everything stands, and what people are told when something in it is wrong.
//!
//! Text flows in, a [`Node`] or [`Problems`] flow out. What a key means is its reader's business: the configuration's
//! ([`crate::config`]) and the catalog's ([`crate::catalog`]).

pub mod problem;
mod tree;
mod write;

pub use problem::{Problem, Problems};
pub use tree::{Bounds, Node, Place, Source, Value, parse};
pub use write::quoted;
