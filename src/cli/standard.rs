//! `linkspan std`: the components that linkspan brings.

use super::failed::{Failed, print};
use super::inspect::{Asked, keys};
use crate::component::{Component, Schema};
use crate::standard::{self, Build, MAJOR, PREFIX, Standard, Unknown};
use clap::Subcommand;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What is wanted of them.
#[derive(Debug, Subcommand)]
pub(super) enum Wanted {
    /// List them, with what each is for
    List,
    /// Show what one does, its keys, the grants that it needs, and an example
    Show {
        /// Its name: `cors` or `std:cors`
        name: String,
    },
    /// Write one as a file, for other hosts
    Export {
        /// Its name: `cors` or `std:cors`
        name: String,
        /// Where to write it
        #[arg(short, long)]
        output: PathBuf,
        /// The build that linkspan alone runs
        #[arg(long)]
        in_place: bool,
    },
}

/// Runs the command.
pub(super) fn run(wanted: &Wanted) -> Result<(), Failed> {
    match wanted {
        Wanted::List => list(),
        Wanted::Show { name } => show(find(name)?),
        Wanted::Export { name, output, in_place } => {
            let build = if *in_place { Build::InPlace } else { Build::Portable };
            let bytes = find(name)?.bytes(build);
            let cannot = |error| Failed::system(format!("cannot write `{}`: {error}", output.display()));
            std::fs::write(output, &bytes).map_err(cannot)
        }
    }
}

fn find(name: &str) -> Result<Standard, Failed> {
    let name = name.strip_prefix(PREFIX).unwrap_or(name);
    standard::find(name).map_err(|why| match why {
        Unknown::Name => {
            Failed::wrong(format!("there is no standard component `{name}`: `linkspan std list` shows them"))
        }
        Unknown::Version => Failed::wrong(format!("this linkspan has version {MAJOR} of its components")),
    })
}

fn load(standard: Standard, build: Build) -> Result<Component, Failed> {
    let path = format!("{PREFIX}{}", standard.name);
    Component::from_bytes(Path::new(&path), standard.bytes(build), |_| None).map_err(Failed::wrong)
}

fn schema(component: &Component) -> Option<&Schema> {
    component.shape.schema.as_ref()?.as_ref().ok()
}

fn list() -> Result<(), Failed> {
    let all: Vec<_> = standard::all().collect();
    let width = all.iter().map(|standard| standard.name.len()).max().unwrap_or(0) + PREFIX.len();
    let mut text = String::new();
    for standard in all {
        let component = load(standard, Build::Portable)?;
        let about = schema(&component).map_or("", |schema| schema.doc.as_str());
        let _ = writeln!(text, "{:width$}  {about}", format!("{PREFIX}{}", standard.name));
    }
    print(&text)
}

fn show(standard: Standard) -> Result<(), Failed> {
    let (portable, own) = (load(standard, Build::Portable)?, load(standard, Build::InPlace)?);
    let name = format!("{PREFIX}{}", standard.name);
    let Asked { needed, .. } = Asked::by(&own.shape);
    let grants = match needed.is_empty() {
        true => "none".to_owned(),
        false => format!("grant = {{ {} }}", needed.join(", ")),
    };
    let schema = schema(&portable);
    let mut text = format!(
        "{name}@{MAJOR}\n\n{}\n\ngrants     {grants}\nportable   {} bytes, sha256 {}\nin place   {} bytes, sha256 {}\n",
        schema.map_or("", |schema| schema.doc.as_str()),
        portable.bytes.len(),
        portable.digest,
        own.bytes.len(),
        own.digest,
    );
    if let Some(schema) = schema {
        let _ = write!(text, "\nconfig\n{}", keys(schema, ""));
        let _ = write!(text, "\nexample\n  {}\n", example(&name, schema, &needed));
    }
    print(&text)
}

/// A stage with what it must have.
fn example(name: &str, schema: &Schema, grants: &[String]) -> String {
    let value = |key: &str| {
        let known = schema.keys.iter().find(|(name, _)| name == key);
        let example = known.and_then(|(_, value)| value.example.clone().or_else(|| value.default.clone()));
        example.unwrap_or_else(|| "\"…\"".to_owned())
    };
    let config: Vec<_> = schema.required.iter().map(|key| format!("{key} = {}", value(key))).collect();
    let mut parts = vec![format!("component = \"{name}\"")];
    if !config.is_empty() {
        parts.push(format!("config = {{ {} }}", config.join(", ")));
    }
    if !grants.is_empty() {
        parts.push(format!("grant = {{ {} }}", grants.join(", ")));
    }
    format!("{{ {} }}", parts.join(", "))
}
