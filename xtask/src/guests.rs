//! From the crates of `components/` to the components of `components/dist`.
//!
//! Each crate becomes a core module for `wasm32-unknown-unknown`, which wit-component turns into a component that
//! imports only what the module calls. A file in `dist` is written only if its content changed, so that its time and
//! digest change only then.

use crate::command::{execute, step};
use crate::project::Project;
use crate::python;
use crate::toolchain::{LIBC_TARGET, Toolchain, libc_cargo};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::process::Command;
use wit_component::{ComponentEncoder, DecodedWasm};
use wit_parser::WorldItem;

/// The folders of `components/` whose crates are guests.
const KINDS: [&str; 3] = ["middleware", "service", "test"];

/// Guests in other folders, as users would write them.
const EXAMPLES: [&str; 4] = ["hello-header", "hello-rc", "greeter-0-2", "page"];

/// Guests with a libc, in a workspace of their own: rustc's linker makes them components. Their tests are skipped if
/// there is no compiler for them.
const WITH_LIBC: [&str; 3] = ["async-0-3", "libc-0-3", "notices"];

/// Guests with bindings from before WASI 0.3.0, in a workspace of their own.
const BEFORE_RELEASE: [&str; 4] = ["edit-p3", "hello-p3-0-54", "hello-p3-0-57", "pass-p3"];

/// Guests that are also built with features, from the same source: the features, the suffix of that component's name,
/// and the guests.
const VARIANTS: [(&str, &str, &[&str]); 4] = [
    (
        "in-place",
        "-in-place",
        &[
            "basic-auth",
            "body-limit",
            "compress",
            "cors",
            "csrf",
            "forward-auth",
            "headers",
            "ip",
            "jwt",
            "key-auth",
            "maintenance",
            "measured",
            "mixed-async",
            "rate-limit",
            "redirect",
            "request-id",
            "respond",
            "rewrite",
            "security-headers",
        ],
    ),
    ("async", "-async", &["measured", "otel"]),
    ("remote", "-remote", &["jwt"]),
    ("remote,in-place", "-remote-in-place", &["jwt"]),
];

/// Build all guests.
pub fn build(project: &Project) -> Result<()> {
    let workspace = project.root.join("components");
    let dist = workspace.join("dist");
    let toolchain = Toolchain::find(project)?;
    step(&format!("building the guests with {toolchain}"));
    let target = project.target.join("guests").join(toolchain.folder());
    let mut cargo = toolchain.cargo();
    cargo.args(["build", "--release", "--workspace", "--exclude", "linkspan-sdk"]);
    cargo.current_dir(&workspace).env("CARGO_TARGET_DIR", &target);
    execute(&mut cargo)?;

    let mut names = names(&workspace)?;
    fs::create_dir_all(&dist).with_context(|| format!("can't create {}", dist.display()))?;
    let modules = target.join("wasm32-unknown-unknown/release");
    let mut changed = 0;
    for name in &names {
        changed += usize::from(encode(name, name, &modules, &dist)?);
    }
    for (feature, suffix, guests) in VARIANTS {
        let mut cargo = toolchain.cargo();
        cargo.args(["build", "--release", "--features", feature]);
        cargo.args(guests.iter().flat_map(|name| ["--package", name]));
        cargo.current_dir(&workspace).env("CARGO_TARGET_DIR", &target);
        execute(&mut cargo)?;
        for name in guests {
            let component = format!("{name}{suffix}");
            changed += usize::from(encode(name, &component, &modules, &dist)?);
            names.push(component);
        }
    }
    changed += build_before_release(toolchain.cargo(), &workspace, &target, &dist)?;
    names.extend(BEFORE_RELEASE.map(String::from));
    match libc_cargo() {
        Ok(cargo) => {
            changed += build_with_libc(cargo, &workspace, &target, &dist)?;
            names.extend(WITH_LIBC.map(String::from));
        }
        Err(error) => {
            step(&format!("SKIPPED: {}, for want of {LIBC_TARGET}: {error:#}", WITH_LIBC.join(", ")))
        }
    }
    for name in python::EXAMPLES {
        match python::build(project, name, &dist) {
            Ok(made) => {
                changed += usize::from(made);
                names.push(name.into());
            }
            Err(error) => step(&format!("SKIPPED: {name}, for want of componentize-py: {error:#}")),
        }
    }
    remove_others(&names, &dist)?;
    step(&format!("{} components in components/dist, {changed} of them new", names.len()));
    Ok(())
}

/// Builds [`BEFORE_RELEASE`], and returns the number of files that were written.
fn build_before_release(mut cargo: Command, workspace: &Path, target: &Path, dist: &Path) -> Result<usize> {
    cargo.args(["build", "--release", "--workspace"]);
    cargo.current_dir(workspace.join("p3")).env("CARGO_TARGET_DIR", target);
    execute(&mut cargo)?;
    let modules = target.join("wasm32-unknown-unknown/release");
    let mut changed = 0;
    for name in BEFORE_RELEASE {
        changed += usize::from(encode(name, name, &modules, dist)?);
    }
    Ok(changed)
}

/// Builds [`WITH_LIBC`], and returns the number of files that were written.
fn build_with_libc(mut cargo: Command, workspace: &Path, target: &Path, dist: &Path) -> Result<usize> {
    cargo.args(["build", "--release", "--workspace"]);
    cargo.current_dir(workspace.join("wasip2")).env("CARGO_TARGET_DIR", target);
    execute(&mut cargo)?;
    let mut changed = 0;
    for name in WITH_LIBC {
        let file =
            target.join(LIBC_TARGET).join("release").join(name.replace('-', "_")).with_extension("wasm");
        let component = fs::read(&file).with_context(|| format!("{name} left no {}", file.display()))?;
        changed += usize::from(write(name, &component, dist)?);
    }
    Ok(changed)
}

/// The guests' names, sorted: those of their folders.
fn names(workspace: &Path) -> Result<Vec<String>> {
    let mut names = Vec::from(EXAMPLES.map(String::from));
    for kind in KINDS {
        let folder = workspace.join(kind);
        let entries = fs::read_dir(&folder).with_context(|| format!("can't read {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            if entry.path().join("Cargo.toml").is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
    }
    names.sort();
    Ok(names)
}

/// Turn the module of the crate `name` into a component. Returns whether its file was written.
fn encode(name: &str, component: &str, modules: &Path, dist: &Path) -> Result<bool> {
    let module = modules.join(name.replace('-', "_")).with_extension("wasm");
    let bytes =
        fs::read(&module).with_context(|| format!("{name} left no module at {}", module.display()))?;
    let encoded = ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(|encoder| encoder.encode())
        .with_context(|| format!("{component} can't be made a component"))?;
    write(component, &encoded, dist)
}

/// Writes a component's file if its content changed. Returns whether it did.
fn write(name: &str, component: &[u8], dist: &Path) -> Result<bool> {
    let file = dist.join(name).with_extension("wasm");
    if fs::read(&file).is_ok_and(|old| old == component) {
        return Ok(false);
    }
    let kib = component.len().div_ceil(1024);
    eprintln!("    {name}: {kib} KiB; imports {}", imports(component)?);
    // Renamed into place: a reader sees the old file or the new one, never half of it.
    let partial = dist.join(format!(".{name}.partial"));
    fs::write(&partial, component)
        .and_then(|()| fs::rename(&partial, &file))
        .with_context(|| format!("can't write {}", file.display()))?;
    Ok(true)
}

/// The interfaces from which a component imports functions.
fn imports(component: &[u8]) -> Result<String> {
    let DecodedWasm::Component(resolve, world) = wit_component::decode(component)? else {
        bail!("not a component");
    };
    let mut names = Vec::new();
    for (key, item) in &resolve.worlds[world].imports {
        let types_only = match item {
            WorldItem::Interface { id, .. } => resolve.interfaces[*id].functions.is_empty(),
            _ => false,
        };
        if !types_only {
            names.push(resolve.name_world_key(key));
        }
    }
    // The linker determines their order.
    names.sort();
    Ok(names.join(", "))
}

/// Remove components whose crates are gone.
fn remove_others(names: &[String], dist: &Path) -> Result<()> {
    for entry in fs::read_dir(dist)? {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let component = path.extension().is_some_and(|extension| extension == "wasm");
        if component && !names.iter().any(|name| *name == stem) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
