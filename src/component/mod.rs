//! Component files: read once, hashed once, and understood without running them.
//!
//! `gateway::build`, which turns a plan into something that runs, and `linkspan inspect` call this room. It reads bytes
//! and describes them; it never compiles them and never decides whether a pipeline may use them (`chain::check` does).
//!
//! Bounds: a file of more than [`MAX_COMPONENT_BYTES`] is refused.

pub mod inspect;
pub mod schema;

pub use inspect::{EntryPoint, Lift, Role, Shape};
pub use linkspan_rewrite::candidate::is_older;
pub use linkspan_rewrite::flatten;
pub use linkspan_rewrite::relift::TRAP_PREFIX;
pub use linkspan_rewrite::{Interface, NotRewritable};
pub use schema::Schema;

use linkspan_rewrite::relift::Seam;
use linkspan_rewrite::{candidate, detach, relift};

use crate::files;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest component file that is read, in bytes. The largest that languages make today (Python) are about 20 MB.
pub const MAX_COMPONENT_BYTES: u64 = 256 * 1024 * 1024;

/// The interfaces around which a middleware is lifted: the next stage, and requests and responses with their bodies.
pub const SEAM: Seam = Seam {
    callee: ("wasi:http", "handler"),
    function: "handle",
    noun: "next stage",
    data: ("wasi:http", "types"),
    beside: ("linkspan:config", "check"),
};

/// The SHA-256 of a component's bytes: its identity everywhere in linkspan.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Hashes `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{self}")
    }
}

/// A component whose bytes are in memory and whose shape is known.
#[derive(Clone, Debug)]
pub struct Component {
    /// The path from which it was read.
    pub path: PathBuf,
    /// The bytes that are composed and compiled, whatever happens to the file afterwards: those that were hashed, or
    /// their form after [`linkspan_rewrite`].
    pub bytes: Arc<[u8]>,
    /// The hash of the file's bytes.
    pub digest: Digest,
    /// What the component imports, exports and needs.
    pub shape: Shape,
    /// Whether `bytes` are the rewritten form (see [`linkspan_rewrite::relift`]).
    pub relifted: bool,
}

/// Why a component could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file can't be read.
    #[error("cannot read `{path}`: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is larger than [`MAX_COMPONENT_BYTES`].
    #[error("`{path}` is larger than {MAX_COMPONENT_BYTES} bytes, the most that a component may have")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The bytes are no component.
    #[error("`{path}` is not a component: {source}")]
    Inspect {
        /// The file.
        path: PathBuf,
        /// Why.
        source: inspect::InspectError,
    },
}

impl LoadError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        use inspect::InspectError as Why;
        match self {
            Self::Inspect { source: Why::CoreModule, .. } => {
                "make it a component, with `wasm-tools component new` or wit-component"
            }
            Self::Inspect { source: Why::Text, .. } => "assemble it, with `wasm-tools parse`",
            Self::TooLarge { .. } => "strip its debug information",
            Self::Inspect { .. } | Self::Read { .. } => "rebuild the component, or correct the path",
        }
    }
}

impl Component {
    /// Reads, hashes and inspects the component at `path`.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        Self::load_with(path, |_| None)
    }

    /// Like [`Component::load`], but first asks `known` for the shape, which never changes for a digest.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load_with(path: &Path, known: impl FnOnce(&Digest) -> Option<Shape>) -> Result<Self, LoadError> {
        let read = |source| LoadError::Read { path: path.to_owned(), source };
        let bytes = files::read(path, MAX_COMPONENT_BYTES).map_err(read)?;
        let bytes = bytes.ok_or_else(|| LoadError::TooLarge { path: path.to_owned() })?;
        Self::from_bytes(path, bytes.into(), known)
    }

    /// A component whose bytes are in memory; `path` names them.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn from_bytes(
        path: &Path,
        bytes: Arc<[u8]>,
        known: impl FnOnce(&Digest) -> Option<Shape>,
    ) -> Result<Self, LoadError> {
        let digest = Digest::of(&bytes);
        let (bytes, shape) = Self::understand(bytes, known(&digest))
            .map_err(|source| LoadError::Inspect { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), bytes, digest, shape, relifted: false })
    }

    /// The component's rewritten form, under the same digest, and whether it is proven not to trap because of the
    /// rewriting.
    ///
    /// # Errors
    /// [`NotRewritable`], if the component must stay as it is.
    pub fn relift(&self) -> Result<(Self, bool), NotRewritable> {
        let rewritten = relift::relift(&self.bytes, &SEAM)?;
        let mut shape = inspect::inspect(&rewritten.bytes)
            .map_err(|error| NotRewritable::new(format!("it can't be rewritten: {error}")))?;
        shape.release_candidate.clone_from(&self.shape.release_candidate);
        let component = Self {
            path: self.path.clone(),
            bytes: rewritten.bytes.into(),
            digest: self.digest,
            shape,
            relifted: true,
        };
        Ok((component, rewritten.proven))
    }

    /// The bytes as they are used, and their shape, which may be known.
    fn understand(
        bytes: Arc<[u8]>,
        known: Option<Shape>,
    ) -> Result<(Arc<[u8]>, Shape), inspect::InspectError> {
        let is_known = known.is_some();
        let shape = match known {
            Some(shape) => shape,
            None => inspect::inspect(&bytes)?,
        };
        let mut adapted = bytes;
        if shape.release_candidate.is_some() {
            adapted = candidate::adapt(&adapted).map_err(inspect::InspectError::Adapt)?.into();
        }
        if shape.detached().is_some() {
            adapted = detach::detach(&adapted).map_err(inspect::InspectError::Adapt)?.into();
        } else if shape.release_candidate.is_none() {
            return Ok((adapted, shape));
        }
        if is_known {
            return Ok((adapted, shape));
        }
        let mut released = inspect::inspect(&adapted)?;
        released.release_candidate = shape.release_candidate;
        Ok((adapted, released))
    }
}
