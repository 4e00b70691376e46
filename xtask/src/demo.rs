//! To come.
use crate::Project;
pub fn run(_: &Project) -> anyhow::Result<()> { anyhow::bail!("to come") }
