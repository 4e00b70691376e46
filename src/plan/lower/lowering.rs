//! The part of lowering that all others share: names that are looked up, files that must exist, and the list of
//! mistakes.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::keys::File;
use crate::config::{self, Decoded, Diagnostics, KeyOf, Named, SourceFile, Span, Text, suggest};
use crate::files;
use crate::plan::{StorePlan, Surroundings};
use crate::standard::{self, PREFIX, Standard};

/// The input of every part: the file, its surroundings, and the list of mistakes.
pub(super) struct Lowering<'a> {
    pub source: Arc<SourceFile>,
    pub around: &'a Surroundings<'a>,
    pub diagnostics: Diagnostics,
    /// The standard components that stages have, each once.
    pub standards: Vec<(Standard, Span)>,
    pub stores: KnownStores,
}

/// What is under `[stores]`.
#[derive(Default)]
pub(super) struct KnownStores {
    pub known: Vec<KnownStore>,
    /// All names, also of those that were refused.
    pub names: Vec<String>,
}

/// A store.
pub(super) struct KnownStore {
    pub plan: Arc<StorePlan>,
    /// Whether a stage has it.
    pub used: bool,
}

/// The names under `[components]`, `[upstreams]` or `[pipelines]`, in the order of the file, and which of them are
/// used.
pub(super) struct Names<'a> {
    pub names: Vec<&'a str>,
    pub places: HashMap<&'a str, usize>,
    pub used: Vec<bool>,
    pub table: &'static str,
    /// The whole table was refused, so no name is known.
    pub refused: bool,
}

impl<'a> Names<'a> {
    pub fn of<T>(root: &Decoded<File>, key: KeyOf<File>, tables: &'a [Named<T>]) -> Names<'a> {
        let names: Vec<&str> = tables.iter().map(|named| named.name.as_str()).collect();
        let places = names.iter().enumerate().map(|(index, name)| (*name, index)).collect();
        Names {
            used: vec![false; names.len()],
            names,
            places,
            table: key.name,
            refused: root.is_refused(key),
        }
    }
}

impl Lowering<'_> {
    /// Reports that the file lacks a list or table without which there is nothing to serve.
    ///
    /// A list or table that exists and is wrong has its own error already.
    pub fn require_some(&mut self, root: &Decoded<File>, key: KeyOf<File>, noun: &str, example: &str) {
        // A program listens, and finds the pipeline, by itself.
        if root.is_refused(key) || (self.around.program.is_some() && key.name != File::pipelines.name) {
            return;
        }
        let span = root.has(key).then(|| root.span_of(key));
        let error = self.diagnostics.error(span, format!("there is no {noun}")).help(example);
        if span.is_some() {
            error.label("empty");
        }
    }

    /// The place of `text` among `names`. An unknown name is an error, with the nearest name as help.
    pub fn resolve(&mut self, text: Text<'_>, noun: &str, names: &mut Names<'_>) -> Option<usize> {
        if let Some(index) = names.places.get(text.text).copied() {
            names.used[index] = true;
            return Some(index);
        }
        if names.refused {
            return None;
        }
        let none = format!("define it with `[{}.{}]`", names.table, text.text);
        let help = match noun == "component" && standard::find(text.text).is_ok() {
            true => format!("linkspan brings one: `{PREFIX}{}`", text.text),
            false => suggest(text.text, &names.names, "defined are", &none),
        };
        self.diagnostics
            .error(text.span, format!("unknown {noun} `{}`", text.text))
            .label(format!("not defined under [{}]", names.table))
            .help(help);
        None
    }

    /// The path of a file that must exist; a missing file is an error.
    ///
    /// Only regular files count, since opening a pipe could wait for ever.
    pub fn existing_file(&mut self, text: Text<'_>, noun: &str) -> Option<PathBuf> {
        let path = self.source.folder().join(text.text);
        let label = match std::fs::metadata(&path) {
            Ok(metadata) => match files::not_regular(metadata.file_type()) {
                None => return Some(path),
                Some(what) => what.to_owned(),
            },
            Err(error) => describe(&error),
        };
        self.missing_file(text, noun, &path, label);
        None
    }

    pub fn missing_file(&mut self, text: Text<'_>, noun: &str, path: &Path, label: String) {
        let is_missing = label == NO_SUCH_FILE;
        let help = match neighbour(path) {
            Some(name) if is_missing => {
                let meant = Path::new(text.text).with_file_name(name);
                format!("did you mean `{}`? There is no {}", meant.display(), path.display())
            }
            _ => format!(
                "looked for {}; paths are relative to the configuration file's folder",
                path.display()
            ),
        };
        let finding = self.diagnostics.error(text.span, format!("cannot read the {noun} `{}`", text.text));
        finding.label(label).help(help);
        if is_missing {
            finding.missing(path);
        }
    }
}

const NO_SUCH_FILE: &str = "no such file";

/// The most entries of a folder that are compared for a similar name.
const MAX_NEIGHBOURS: usize = 1_000;

/// The file beside `path` with the most similar name.
fn neighbour(path: &Path) -> Option<String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(folder).ok()?.take(MAX_NEIGHBOURS).flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.file_type().is_ok_and(|ty| !ty.is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    let wanted = path.file_name()?.to_str()?;
    config::nearest(wanted, names.iter().map(String::as_str)).map(str::to_owned)
}

/// An I/O error in words that are the same on every system, for the errors that matter.
pub(super) fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => NO_SUCH_FILE.to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}
