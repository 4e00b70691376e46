//! A Python with packages, for tests that stand on libraries of that world.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// A Python that has `module`: the system's, or one in a folder of its own, into which `packages` come from PyPI. Where
/// neither can be had, a line says so, with `advice`, and the test is none.
pub fn python(module: &str, packages: &[&str], advice: &str) -> Option<PathBuf> {
    // Tests that need the same one would make it at the same time.
    static MAKES: Mutex<()> = Mutex::new(());
    let _turn = MAKES.lock().unwrap_or_else(PoisonError::into_inner);
    let quiet = |command: &mut Command| {
        let ended = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        ended.is_ok_and(|status| status.success())
    };
    let has = |python: &Path| {
        quiet(Command::new(python).args(["-c", &format!("import {}", module.replace(' ', ", "))]))
    };
    let system = PathBuf::from("python3");
    if has(&system) {
        return Some(system);
    }
    let name = format!("python-{}", module.replace(' ', "-"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let own = folder.join("bin/python");
    let made = has(&own)
        || quiet(Command::new(&system).args(["-m", "venv"]).arg(&folder))
            && quiet(Command::new(&own).args(["-m", "pip", "install", "--quiet"]).args(packages))
            && has(&own);
    if !made {
        eprintln!("SKIPPED: there is no python3 with {module} ({advice})");
    }
    made.then_some(own)
}
