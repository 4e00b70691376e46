//! From the text of a configuration file to checked tables in which everything knows its place.
//!
//! `plan` calls this room. Guarantees: one run finds all mistakes of a file, each with its line and a next step; text
//! that is not TOML gives exactly one error; a table that comes out has only existing keys, with values of the right
//! type inside their bounds; the decoder, the JSON Schema and the defaults agree, because all three are made from
//! [`keys`]. A file is at most [`MAX_FILE_SIZE`] long.
//!
//! This room never reads another file or an environment variable, does not know what the values are for, and never
//! imports wasmtime. `plan` resolves names.

mod declare;
mod decode;
mod diagnostic;
mod fields;
pub mod keys;
mod kinds;
mod nearest;
#[cfg(test)]
mod page;
mod ratio;
mod render;
mod restart;
mod schema;
mod source;
mod syntax;
mod typed;
mod units;

use std::io;
use std::path::Path;
use std::sync::Arc;

pub use self::diagnostic::{Diagnostic, Diagnostics, Fault, Severity};
pub use self::fields::Named;
pub use self::nearest::nearest;
pub(crate) use self::nearest::suggest;
pub use self::ratio::Ratio;
pub use self::restart::Fixed;
pub use self::schema::schema;
pub use self::source::{MAX_FILE_SIZE, Position, SourceFile, Span};
pub use self::syntax::{Entry, Node, Value};
pub use self::typed::{At, Choice, Decoded, KeyOf, Keys, Text};
pub use self::units::{format_duration, format_size, parse_duration, parse_size};
use crate::files;

/// Reads the text of the file at `path`.
///
/// A file that cannot be read, is longer than [`MAX_FILE_SIZE`] or is not UTF-8 gives one error.
pub fn read(path: &Path) -> Result<Arc<SourceFile>, Diagnostics> {
    let refuse = |text: String, message: String, help: &str| {
        let mut diagnostics = Diagnostics::new(Arc::new(SourceFile::new(path, text)));
        diagnostics.error(None, message).help(help);
        diagnostics
    };
    let bytes = match files::read(path, MAX_FILE_SIZE as u64) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            let message = format!("the file is larger than {}", format_size(MAX_FILE_SIZE as u64));
            return Err(refuse(String::new(), message, "give the path of a TOML file"));
        }
        Err(error) => {
            let message = format!("cannot read the configuration file: {error}");
            let help = match error.kind() {
                // Paths in it start from its folder, and a reload reads it again.
                io::ErrorKind::InvalidInput => "write the configuration to a regular file, and give its path",
                _ => "give the path of a TOML file",
            };
            return Err(refuse(String::new(), message, help));
        }
    };
    String::from_utf8(bytes).map(|text| Arc::new(SourceFile::new(path, text))).map_err(|error| {
        // Up to the first bad byte, the text is that of the file, so the place is right.
        let at = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
        let mut diagnostics = Diagnostics::new(Arc::new(SourceFile::new(path, text)));
        diagnostics
            .error(Span::new(at..at + 1), "the file is not UTF-8")
            .label("an invalid byte")
            .help("save the file as UTF-8");
        diagnostics
    })
}

/// Decodes the file that `diagnostics` is about, adding every mistake to it; `None` if the text is no TOML at all.
///
/// Wrong parts are left out of the result or replaced by their defaults, so that the caller can continue to check. The
/// result may be used only if no error was added.
pub fn decode(diagnostics: &mut Diagnostics) -> Option<Decoded<keys::File>> {
    let root = syntax::parse(diagnostics)?;
    decode::table(&root, keys::File::TABLE, diagnostics).map(Decoded::new)
}

/// Decodes `text` as one table of the given kind. Any error except for a missing key fails the test.
#[cfg(test)]
pub(crate) fn check_example(kind: &'static keys::Table, text: &str) {
    let mut diagnostics = Diagnostics::new(Arc::new(SourceFile::new("example.toml", text)));
    let node = syntax::parse(&mut diagnostics).unwrap();
    decode::table(&node, kind, &mut diagnostics);
    let wrong: Vec<&str> = diagnostics
        .sorted()
        .iter()
        .map(|item| item.message())
        .filter(|text| !text.contains("is missing"))
        .collect();
    assert!(wrong.is_empty(), "{text}: {wrong:?}");
}
