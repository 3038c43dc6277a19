//! stub
use super::Failure;
#[derive(clap::Args)]
pub struct DemoArgs {}
pub fn demo(_: &DemoArgs) -> Result<u8, Failure> {
    Ok(0)
}
