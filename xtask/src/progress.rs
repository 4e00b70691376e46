//! The progress of cargo's builds.
//!
//! The first build takes minutes. On a terminal, cargo shows a bar; into a file, it lists crates and never says how
//! many there are. Whatever the output is, a line every few seconds therefore counts those that are done.

use crate::command::{cargo, step};
use anyhow::{Context, Result, bail};
use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The time between lines.
const BETWEEN: Duration = Duration::from_secs(10);

/// Run a command of cargo that builds and runs nothing, with lines on what it builds and how far it is. Crates that are
/// already built are not mentioned.
pub fn build(what: &str, root: &Path, arguments: &[String]) -> Result<()> {
    let mut command = cargo();
    command.args(arguments).arg("--message-format=json-render-diagnostics").current_dir(root);
    let mut child = command.stdout(Stdio::piped()).spawn().context("can't run cargo")?;
    let messages = BufReader::new(child.stdout.take().context("no messages of cargo")?);
    let (start, mut total, mut told) = (Instant::now(), None, Instant::now());
    let mut done = HashSet::new();
    for message in messages.lines() {
        let message = message.context("can't read what cargo says")?;
        let Some(package) = built(&message) else { continue };
        done.insert(package.to_owned());
        if told.elapsed() >= BETWEEN {
            let total = *total.get_or_insert_with(|| crates(root));
            let of = if total > done.len() {
                format!("{} of about {total}", done.len())
            } else {
                "almost all".to_owned()
            };
            step(&format!(
                "{what}: {of} crates after {} s, the last was {package}",
                start.elapsed().as_secs()
            ));
            told = Instant::now();
        }
    }
    let status = child.wait().context("can't wait for cargo")?;
    if !status.success() {
        bail!("cargo failed: {status}");
    }
    Ok(())
}

/// The crate that a message of cargo reports as ready, whether it was just built or not.
fn built(message: &str) -> Option<&str> {
    let rest = message.strip_prefix(r#"{"reason":"compiler-artifact","package_id":""#)?;
    let id = &rest[..rest.find('"')?];
    // `registry+https://…#name@1.2.3`, or `path+file:///…/name#1.2.3`.
    let (place, name) = id.rsplit_once('#')?;
    Some(name.split_once('@').map_or_else(|| place.rsplit('/').next().unwrap_or(name), |(name, _)| name))
}

/// The crates from which the workspace is built on this machine; none if cargo does not say.
fn crates(root: &Path) -> usize {
    let mut tree: Command = cargo();
    tree.args(["tree", "--workspace", "--edges", "all", "--prefix", "none", "--format", "{p}"]);
    let listed = tree.current_dir(root).stderr(Stdio::null()).output().map(|output| output.stdout);
    let listed = String::from_utf8(listed.unwrap_or_default()).unwrap_or_default();
    let names = listed.lines().filter_map(|line| line.split_whitespace().next());
    names.collect::<HashSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::built;

    #[test]
    fn messages_name_crates() {
        let message =
            |id: &str| format!(r#"{{"reason":"compiler-artifact","package_id":"{id}","fresh":false}}"#);
        let of_registry = message("registry+https://github.com/rust-lang/crates.io-index#wasmtime@48.0.8");
        assert_eq!(built(&of_registry), Some("wasmtime"));
        assert_eq!(built(&message("path+file:///a/linkspan#0.1.0")), Some("linkspan"));
        assert_eq!(built(&message("path+file:///a/b#linkspan@0.1.0")), Some("linkspan"));
        assert_eq!(built(r#"{"reason":"build-script-executed","package_id":"a#b@1"}"#), None);
    }
}
