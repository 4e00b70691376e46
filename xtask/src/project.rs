//! The project's folders, and the gateway that is built there.

use crate::command::step;
use crate::progress;
use anyhow::{Context, Result};
use std::env;
use std::path::{Path, PathBuf};

/// The project's folders.
pub struct Project {
    pub root: PathBuf,
    /// Cargo's target folder for this checkout, absolute.
    pub target: PathBuf,
}

impl Project {
    pub fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask has no parent folder")?
            .to_path_buf();
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => env::current_dir()?.join(dir),
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// Build the gateway in a profile; the path of its binary.
    pub fn build_gateway(&self, profile: &str) -> Result<PathBuf> {
        // With the features that the whole workspace asks of its dependencies: tests then find these built.
        let arguments = ["build", "--profile", profile, "--workspace", "--bin", "linkspan"].map(String::from);
        step("building the gateway (about 10 minutes on two cores, the first time)");
        progress::build("building the gateway", &self.root, &arguments)?;
        Ok(self.target.join(profile).join("linkspan"))
    }
}
