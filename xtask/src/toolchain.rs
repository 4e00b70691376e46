//! A compiler for `wasm32-unknown-unknown`.
//!
//! In this order: the target's standard library where it is installed; what `rustup target add` can fetch, within
//! [`RUSTUP_PATIENCE`]; on a Debian machine, the distribution's own rustc with the source of its standard library,
//! unpacked below cargo's target folder, nothing being installed. Else an error that says what to install.
//!
//! Debian ships no standard library for this target that fits its newest rustc, but its rustc builds one:
//! `-Zbuild-std`, with `RUSTC_BOOTSTRAP` as the key that its release build needs. Only the linker is missing from it;
//! the one of the installed toolchain serves.

use crate::command::{cargo, step};
use crate::project::Project;
use anyhow::{Context, Result, bail, ensure};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub const TARGET: &str = "wasm32-unknown-unknown";

/// The target of guests with a libc; only rustup has it.
pub const LIBC_TARGET: &str = "wasm32-wasip2";

/// How long rustup may try to reach its server.
const RUSTUP_PATIENCE: Duration = Duration::from_secs(90);

/// The oldest rustc that the guests build with, as in `components/Cargo.toml`.
const OLDEST: (u32, u32) = (1, 95);

pub enum Toolchain {
    /// The toolchain that runs this task.
    Installed,
    /// Debian's toolchain, unpacked.
    Debian { usr: PathBuf, linker: PathBuf },
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Installed => "the installed toolchain",
            Self::Debian { .. } => "Debian's rustc, and a standard library built by it",
        })
    }
}

impl Toolchain {
    /// Find one, or make one.
    pub fn find(project: &Project) -> Result<Self> {
        let sysroot = sysroot()?;
        if has_target(&sysroot, TARGET) {
            return Ok(Self::Installed);
        }
        let cache = project.target.join("guests/debian");
        if !cache.join(COMPLETE).is_file() {
            step(&format!("{TARGET} is not installed: trying `rustup target add {TARGET}`"));
            match rustup_target_add(TARGET) {
                Ok(()) if has_target(&sysroot, TARGET) => return Ok(Self::Installed),
                Ok(()) => eprintln!("    rustup added it to another toolchain"),
                Err(error) => eprintln!("    {error:#}"),
            }
            step("taking rustc and its library source from Debian's packages (136 MB)");
            unpack_debian(&cache).context(format!(
                "no compiler for {TARGET}. Install its standard library, with `rustup target \
                 add {TARGET}` or your distribution's package for it, and run this again"
            ))?;
        }
        let linker = rust_lld(&sysroot)?;
        Ok(Self::Debian { usr: cache.join("root/usr"), linker })
    }

    /// The folder for its output: two compilers don't share one.
    pub fn folder(&self) -> &'static str {
        match self {
            Self::Installed => "build",
            Self::Debian { .. } => "debian-build",
        }
    }

    /// A cargo that builds for the target with it.
    pub fn cargo(&self) -> Command {
        let mut command = cargo();
        // Flags for the host's code are not for the guests'.
        command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        if let Self::Debian { usr, linker } = self {
            command
                .arg("-Zbuild-std=std,panic_abort")
                .env("RUSTC", usr.join("bin/rustc"))
                .env("LD_LIBRARY_PATH", libraries(usr))
                .env("RUSTC_BOOTSTRAP", "1")
                .env_remove("RUSTC_WRAPPER")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        command.env("CARGO_BUILD_TARGET", TARGET);
        command
    }
}

/// A cargo that builds for [`LIBC_TARGET`], if it is installed or can be fetched.
pub fn libc_cargo() -> Result<Command> {
    let sysroot = sysroot()?;
    if !has_target(&sysroot, LIBC_TARGET) {
        step(&format!("{LIBC_TARGET} is not installed: trying `rustup target add {LIBC_TARGET}`"));
        rustup_target_add(LIBC_TARGET)?;
        ensure!(has_target(&sysroot, LIBC_TARGET), "rustup added it to another toolchain");
    }
    let mut command = cargo();
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    command.env("CARGO_BUILD_TARGET", LIBC_TARGET);
    Ok(command)
}

fn sysroot() -> Result<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot = stdout(Command::new(rustc).args(["--print", "sysroot"]))?;
    Ok(PathBuf::from(sysroot))
}

fn has_target(sysroot: &Path, target: &str) -> bool {
    sysroot.join("lib/rustlib").join(target).join("lib").is_dir()
}

fn rust_lld(sysroot: &Path) -> Result<PathBuf> {
    let rustlib = sysroot.join("lib/rustlib");
    let entries = fs::read_dir(&rustlib).with_context(|| format!("can't read {}", rustlib.display()))?;
    for entry in entries {
        let linker = entry?.path().join("bin/rust-lld");
        if linker.is_file() {
            return Ok(linker);
        }
    }
    bail!("{} has no rust-lld, which links WebAssembly; rustup's toolchains have it", rustlib.display())
}

fn rustup_target_add(target: &str) -> Result<()> {
    let mut child = Command::new("rustup")
        .args(["target", "add", target])
        .env("RUSTUP_MAX_RETRIES", "0")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("there is no rustup")?;
    let deadline = Instant::now() + RUSTUP_PATIENCE;
    loop {
        if let Some(status) = child.try_wait()? {
            ensure!(status.success(), "rustup could not fetch it");
            return Ok(());
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            bail!("rustup did not fetch it within {} s", RUSTUP_PATIENCE.as_secs());
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Written last, when everything is unpacked and rustc has run.
const COMPLETE: &str = "complete";

fn unpack_debian(cache: &Path) -> Result<()> {
    for tool in ["apt-get", "apt-cache", "dpkg-deb"] {
        stdout(Command::new(tool).arg("--version"))
            .with_context(|| format!("this is no Debian machine: {tool} is missing"))?;
    }
    if newest().is_none_or(|version| version < OLDEST) {
        eprintln!("    reading Debian's package lists");
        // For users other than root this fails, and the check below reports it.
        let mut update = Command::new("apt-get");
        update.arg("update").stdout(Stdio::null()).status()?;
    }
    let (major, minor) = newest().context("Debian's package lists have no rustc-web")?;
    ensure!(
        (major, minor) >= OLDEST,
        "Debian's rustc-web is {major}.{minor}, and {}.{} is needed; try `apt-get update`",
        OLDEST.0,
        OLDEST.1
    );
    let packages = packages(major, minor)?;
    if cache.exists() {
        // Remains of an earlier, interrupted run.
        fs::remove_dir_all(cache)?;
    }
    let (archives, root) = (cache.join("archives"), cache.join("root"));
    fs::create_dir_all(&archives)?;
    eprintln!("    downloading {}", packages.join(", "));
    let mut download = Command::new("apt-get");
    download
        // apt's own user may not be able to write here.
        .args(["-o", "APT::Sandbox::User=root", "-qq", "download"])
        .args(&packages)
        .current_dir(&archives);
    crate::execute(&mut download)?;
    for archive in fs::read_dir(&archives)? {
        let archive = archive?.path();
        let name = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
        eprintln!("    unpacking {}", name.split('_').next().unwrap_or(&name));
        crate::execute(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&root))?;
    }
    fs::remove_dir_all(&archives)?;
    let usr = root.join("usr");
    let mut rustc = Command::new(usr.join("bin/rustc"));
    let version = stdout(rustc.arg("--version").env("LD_LIBRARY_PATH", libraries(&usr)))
        .context("Debian's rustc does not run; `apt-get install rustc-web` names what it lacks")?;
    fs::write(cache.join(COMPLETE), version)?;
    Ok(())
}

/// The version of rustc in Debian's package lists.
fn newest() -> Option<(u32, u32)> {
    let mut command = Command::new("apt-cache");
    let shown = stdout(command.args(["show", "--no-all-versions", "rustc-web"])).ok()?;
    let version = shown.lines().find_map(|line| line.strip_prefix("Version: "))?;
    let mut numbers = version.split('.').map_while(|number| number.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

/// The compiler, its libraries, the source of the standard library, and the LLVM that it was linked with.
fn packages(major: u32, minor: u32) -> Result<Vec<String>> {
    let std = format!("libstd-rust-web-{major}.{minor}");
    let depends = stdout(Command::new("apt-cache").args(["depends", &std]))?;
    let llvm = depends
        .split_whitespace()
        .find(|word| word.starts_with("libllvm"))
        .with_context(|| format!("{std} depends on no libllvm"))?
        .to_string();
    let fixed = ["rustc-web", "libstd-rust-web-dev", "rust-web-src"].map(String::from);
    Ok(fixed.into_iter().chain([std, llvm]).collect())
}

/// The place of a library in Debian depends on the machine's architecture.
fn libraries(usr: &Path) -> PathBuf {
    let lib = usr.join("lib");
    let multiarch = fs::read_dir(&lib).ok().and_then(|entries| {
        let mut folders = entries.filter_map(|entry| Some(entry.ok()?.path()));
        folders.find(|path| path.to_string_lossy().ends_with("-linux-gnu"))
    });
    multiarch.unwrap_or(lib)
}

/// The output of a command, without the end of the line.
fn stdout(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("can't run {name}"))?;
    ensure!(output.status.success(), "{name} failed: {}", output.status);
    let text = String::from_utf8(output.stdout).with_context(|| format!("{name}'s output"))?;
    Ok(text.trim_end().into())
}
