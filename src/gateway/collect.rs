//! Collects the parts of an identity.

use crate::component::Digest;
use sha2::{Digest as _, Sha256};
use std::fmt::Debug;
use std::hash::{Hash, Hasher};

/// Collects the parts of an identity. Every part has its length in front, so that no two different lists of parts look
/// the same.
pub struct Identity(Sha256);

impl Identity {
    /// Begins with the kind of thing that is identified.
    pub fn of(what: &str) -> Self {
        Self(Sha256::new()).text(what)
    }

    /// Adds bytes.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds a text.
    pub fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    /// Adds a value whose `Debug` form is complete: numbers, durations, enums.
    pub fn plain(self, value: &impl Debug) -> Self {
        self.text(&format!("{value:?}"))
    }

    /// Adds a value whose `Hash` covers all that counts.
    pub fn hashed(mut self, value: &impl Hash) -> Self {
        value.hash(&mut Collector(&mut self.0));
        self
    }

    /// The hash of all parts.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// Takes the output of `Hash`, which includes lengths and variants.
struct Collector<'h>(&'h mut Sha256);

impl Hasher for Collector<'_> {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        // The long form is `Identity::finish`.
        0
    }
}
