//! From the Python of `examples/` to components of `components/dist`, with componentize-py.
//!
//! componentize-py comes from PyPI in the version and with the digests of an example's `requirements.txt`, into a
//! folder below cargo's target folder: nothing is installed. Without Python or a connection to PyPI, a line says so,
//! and so do the tests that need such a component.

use crate::command::{execute, step};
use crate::project::Project;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The examples in Python, each with `app.py`, `requirements.txt`, and its world in `wit/`.
pub const EXAMPLES: [&str; 1] = ["locale-python"];

/// Makes a component of an example, unless it exists and none of its sources has changed. Returns whether it was made:
/// two builds of the same Python are not the same bytes.
pub fn build(project: &Project, name: &str, dist: &Path) -> Result<bool> {
    let source = project.root.join("examples").join(name);
    let cache = project.target.join("guests/python").join(name);
    let inputs = inputs(&source, &project.root.join("wit"))?;
    let stamp = cache.join("made-from");
    let component = dist.join(name).with_extension("wasm");
    if component.is_file() && fs::read(&stamp).is_ok_and(|made_from| made_from == inputs) {
        return Ok(false);
    }
    let tool = componentize_py(&source.join("requirements.txt"), &cache)?;
    let partial = dist.join(format!(".{name}.partial"));
    let mut command = Command::new(tool.join("bin/componentize-py"));
    command.env("PYTHONPATH", &tool).env("PYTHONDONTWRITEBYTECODE", "1").current_dir(&project.root);
    command.args(["--quiet", "--wit-path", "wit", "--wit-path"]).arg(source.join("wit"));
    command.args(["--world", "linkspan:locale/locale", "componentize", "app", "--python-path"]);
    execute(command.arg(&source).arg("--output").arg(&partial))?;
    fs::rename(&partial, &component).with_context(|| format!("can't write {}", component.display()))?;
    fs::write(&stamp, inputs)?;
    Ok(true)
}

/// The folder of componentize-py, which is fetched if this version is not there.
fn componentize_py(requirements: &Path, cache: &Path) -> Result<PathBuf> {
    let tool = cache.join("tool");
    let (wanted, had) = (fs::read(requirements)?, cache.join("requirements.txt"));
    if fs::read(&had).is_ok_and(|had| had == wanted) {
        return Ok(tool);
    }
    step("fetching componentize-py from PyPI (12 MB)");
    if tool.exists() {
        fs::remove_dir_all(&tool)?;
    }
    fs::create_dir_all(cache)?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
    pip.args(["--root-user-action", "ignore", "--timeout", "30", "--retries", "1"]);
    // Nothing is compiled, and nothing is installed that the digests don't name.
    pip.args(["--require-hashes", "--only-binary", ":all:", "--no-deps", "--requirement"]).arg(requirements);
    execute(pip.arg("--target").arg(&tool))?;
    fs::write(had, wanted)?;
    Ok(tool)
}

/// All sources of a component, one file after the other.
fn inputs(source: &Path, wit: &Path) -> Result<Vec<u8>> {
    let mut inputs = Vec::new();
    let mut folders = vec![source.to_owned(), wit.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("can't read {}", folder.display()))?;
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        paths.sort();
        for path in paths {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension != "md") {
                inputs.extend(fs::read(&path)?);
            }
        }
    }
    Ok(inputs)
}
