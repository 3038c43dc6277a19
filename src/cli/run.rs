//! stub
use super::{ConfigArgs, Failure};
pub fn run(_: &ConfigArgs) -> Result<u8, Failure> {
    Ok(0)
}
