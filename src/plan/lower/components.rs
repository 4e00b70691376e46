//! Components: names, paths and digests.

use super::lowering::Lowering;
use crate::config::keys::Component;
use crate::config::{Decoded, Fault, Named, Text, suggest};
use crate::plan::{ComponentRef, Name};
use crate::standard::{self, MAJOR, PREFIX, Unknown};

impl Lowering<'_> {
    pub(super) fn components(&mut self, named: &[Named<Decoded<Component>>]) -> Vec<ComponentRef> {
        named.iter().filter_map(|named| self.component(named)).collect()
    }

    fn component(&mut self, named: &Named<Decoded<Component>>) -> Option<ComponentRef> {
        let name = self.name(named);
        let Component { path, sha256: digest } = &*named.table;
        let sha256 = digest.as_ref().and_then(|digest| self.digest(digest.text()));
        let path = path.as_ref()?.text();
        let given = self.around.program.and_then(|program| program.components.get(&named.name)).cloned();
        let file = match given {
            Some(_) => path.text.into(),
            None => self.existing_file(path, "component")?,
        };
        Some(ComponentRef {
            name,
            path: file,
            given,
            standard: None,
            sha256,
            path_span: path.span,
            sha256_span: digest.as_ref().map(|digest| digest.span),
        })
    }

    /// The place of the standard component that `text` names, after so many others.
    pub(super) fn standard(&mut self, text: Text<'_>, others: usize) -> Option<(Name, usize)> {
        let asked = text.text.strip_prefix(PREFIX).unwrap_or(text.text);
        let found = standard::find(asked).map_err(|why| self.no_standard(text, asked, why)).ok()?;
        let known = self.standards.iter().position(|(standard, _)| *standard == found);
        let place = known.unwrap_or_else(|| {
            self.standards.push((found, text.span));
            self.standards.len() - 1
        });
        Some((Name::standard(found), others + place))
    }

    /// The standard components that stages have, in the order of their places.
    pub(super) fn standards(&self) -> impl Iterator<Item = ComponentRef> {
        self.standards.iter().map(|(standard, span)| ComponentRef {
            name: Name::standard(*standard),
            path: format!("{PREFIX}{}", standard.name).into(),
            given: None,
            standard: Some(*standard),
            sha256: None,
            path_span: *span,
            sha256_span: None,
        })
    }

    fn no_standard(&mut self, text: Text<'_>, asked: &str, why: Unknown) {
        let names: Vec<String> = standard::all().map(|it| format!("{PREFIX}{}", it.name)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (label, help) = match why {
            Unknown::Name => {
                let none = "this linkspan was built without them: `cargo xtask components` makes them first";
                let word = format!("{PREFIX}{}", asked.split('@').next().unwrap_or_default());
                ("not one that linkspan brings".to_owned(), suggest(&word, &names, "there are", none))
            }
            Unknown::Version => {
                let name = asked.split('@').next().unwrap_or_default();
                (format!("this linkspan has version {MAJOR}"), format!("write `{PREFIX}{name}@{MAJOR}`"))
            }
        };
        let message = format!("unknown standard component `{}`", text.text);
        self.diagnostics.error(text.span, message).label(label).help(help);
    }

    /// The name of a component or pipeline. A bad name is an error, and is kept for later steps, so that places that
    /// refer to it are not reported as well.
    pub(super) fn name<T>(&mut self, named: &Named<T>) -> Name {
        Name::parse(&named.name).unwrap_or_else(|fault| {
            self.diagnostics.fault(named.name_span, fault);
            Name::refused(&named.name)
        })
    }

    fn digest(&mut self, text: Text<'_>) -> Option<[u8; 32]> {
        parse_digest(text.text).map_err(|fault| self.diagnostics.fault(text.span, fault)).ok()
    }
}

fn parse_digest(text: &str) -> Result<[u8; 32], Fault> {
    let fault = |label: String| {
        let help = "write the 64 hexadecimal digits that `sha256sum FILE` prints";
        Err(Fault::new("invalid SHA-256 digest", label, help))
    };
    if let Some(other) = text.chars().find(|c| !c.is_ascii_hexdigit()) {
        return fault(format!("`{}` is no hexadecimal digit", other.escape_debug()));
    }
    if text.len() != 64 {
        return fault(format!("{} digits instead of 64", text.len()));
    }
    let mut digest = [0; 32];
    for (byte, start) in digest.iter_mut().zip((0..).step_by(2)) {
        // Every digit was checked above.
        *byte = text.get(start..start + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()).unwrap_or(0);
    }
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests() {
        let digest = parse_digest(&format!("00ff{}", "aB".repeat(30))).unwrap();
        assert_eq!(&digest[..3], [0x00, 0xff, 0xab]);
        for bad in ["", "ab", &"g".repeat(64), &"a".repeat(63), &"a".repeat(65), &"ä".repeat(32)] {
            assert!(parse_digest(bad).is_err(), "{bad}");
        }
    }
}
