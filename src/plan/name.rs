//! Names of components, pipelines and stages.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::config::Fault;
use crate::standard::{PREFIX, Standard};

/// The name of a component or a pipeline: kebab case, `[a-z0-9]` words joined by single `-`, 1 to 64 bytes.
///
/// Cheap to clone. Logs, metrics and generated import names contain it unchanged, which is why so few characters are
/// allowed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// The longest name, in bytes.
    pub const MAX_LENGTH: usize = 64;

    /// Checks a name.
    pub fn parse(text: &str) -> Result<Name, Fault> {
        let words_are_good = text.split('-').all(|word| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        });
        if words_are_good && text.len() <= Name::MAX_LENGTH {
            return Ok(Name(text.into()));
        }
        let (label, help) = if words_are_good {
            ("longer than 64 characters", "choose a shorter name".to_owned())
        } else {
            let proposal = kebab(text);
            let rule = "names are lower-case letters and digits, in words joined by single `-`";
            let proposal = if proposal.is_empty() { "edge-1".to_owned() } else { proposal };
            ("not in kebab case", format!("{rule}: `{proposal}`"))
        };
        Err(Fault::new(format!("invalid name `{text}`"), label, help))
    }

    /// That of a standard component: `std:` and its name, which none that is configured has.
    pub(super) fn standard(component: Standard) -> Name {
        Name(format!("{PREFIX}{}", component.name).into())
    }

    /// Replaces a name that was refused, so that the rest of the file can still be checked. No plan contains it,
    /// because the refusal is an error.
    pub(super) fn refused(text: &str) -> Name {
        Name(text.into())
    }
}

/// `text` in kebab case, as far as possible.
fn kebab(text: &str) -> String {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join("-")
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// A stage's place, as logs, metrics and errors name it. Displayed as `edge/2:key-auth`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StageId {
    /// The pipeline.
    pub pipeline: Name,
    /// The place in it, from 0; the service is last.
    pub index: usize,
    /// The component.
    pub component: Name,
}

impl StageId {
    /// Its name within the pipeline: `0:key-auth`.
    pub fn label(&self) -> String {
        format!("{}:{}", self.index, self.component)
    }
}

impl fmt::Display for StageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pipeline, self.label())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "edge", "key-auth", "v2-2024", "1", &"x".repeat(64)] {
            assert_eq!(&*Name::parse(good).unwrap(), good);
        }
        for bad in ["", "-", "a-", "-a", "a--b", "Edge", "a_b", "a.b", "ä", "a b", &"x".repeat(65)] {
            assert!(Name::parse(bad).is_err(), "{bad}");
        }
        assert!(Name::parse("Key_Auth").unwrap_err().help.ends_with("`key-auth`"));
    }

    #[test]
    fn stage_id_text() {
        let name = |text| Name::parse(text).unwrap();
        let id = StageId { pipeline: name("edge"), index: 2, component: name("key-auth") };
        assert_eq!(id.to_string(), "edge/2:key-auth");
    }
}
