//! What must survive the process: a log.

pub mod log;
