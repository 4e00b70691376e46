//! The standard components, which the binary brings: a stage has one by `component = "std:NAME"`, without a file.
//!
//! Each is there in two builds of one source: the portable one, which any host of `wasi:http/middleware` runs, and the one that
//! edits heads in place, which costs less and which linkspan alone runs. Stages have the latter; what leaves linkspan
//! (`compose --portable`, `std export`) is the former.
//!
//! `std:NAME@1` names the major version of keys and behaviour. A later linkspan keeps what it names; without a version, it is
//! the latest. Bounds: none are needed, since the bytes are the binary's own.

use flate2::read::ZlibDecoder;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::{Arc, Mutex, PoisonError};

/// By name, in alphabetical order: the portable build, and the one in place, compressed. Those are missing which had not been
/// made when the binary was built.
const CARRIED: &[(&str, &[u8], &[u8])] = include!(concat!(env!("OUT_DIR"), "/standard.rs"));

/// Components that were unpacked.
type Unpacked = BTreeMap<(&'static str, Build), Arc<[u8]>>;

/// What the names of standard components begin with.
pub const PREFIX: &str = "std:";

/// The major version of all of them.
pub const MAJOR: u32 = 1;

/// A build of a standard component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Build {
    /// For any host.
    Portable,
    /// For linkspan.
    InPlace,
}

/// A standard component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standard {
    /// Its name, without `std:`.
    pub name: &'static str,
}

/// Why there is no such component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// None has this name.
    Name,
    /// There is one, and not in this version.
    Version,
}

/// All of them, in alphabetical order.
pub fn all() -> impl Iterator<Item = Standard> {
    CARRIED.iter().map(|(name, ..)| Standard { name })
}

/// The component that `text` names, as it stands after `std:`.
///
/// # Errors
/// Why there is none.
pub fn find(text: &str) -> Result<Standard, Unknown> {
    let (name, version) = match text.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (text, None),
    };
    let found = all().find(|standard| standard.name == name).ok_or(Unknown::Name)?;
    match version {
        Some(version) if version != MAJOR.to_string() => Err(Unknown::Version),
        _ => Ok(found),
    }
}

impl Standard {
    /// Its bytes.
    pub fn bytes(self, build: Build) -> Arc<[u8]> {
        /// Each is unpacked once.
        static UNPACKED: Mutex<Unpacked> = Mutex::new(BTreeMap::new());
        let mut unpacked = UNPACKED.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(unpacked.entry((self.name, build)).or_insert_with(|| self.unpack(build)))
    }

    fn unpack(self, build: Build) -> Arc<[u8]> {
        let carried = CARRIED.iter().find(|(name, ..)| *name == self.name);
        let compressed = carried.map_or(&[][..], |(_, portable, in_place)| match build {
            Build::Portable => portable,
            Build::InPlace => in_place,
        });
        let mut bytes = Vec::new();
        // The build script wrote it: what could not be read would be no component, which is reported.
        let _ = ZlibDecoder::new(compressed).read_to_end(&mut bytes);
        bytes.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_found_by_name_and_version() {
        let cors = Standard { name: "cors" };
        for (text, found) in [
            ("cors", Ok(cors)),
            ("cors@1", Ok(cors)),
            ("cors@2", Err(Unknown::Version)),
            ("cors@01", Err(Unknown::Version)),
            ("cors@", Err(Unknown::Version)),
            ("cor", Err(Unknown::Name)),
            ("", Err(Unknown::Name)),
            ("@1", Err(Unknown::Name)),
        ] {
            assert_eq!(find(text), found, "{text}");
        }
        let names: Vec<_> = all().map(|standard| standard.name).collect();
        assert!(names.is_sorted() && names.len() >= 5, "{names:?}");
        for standard in all() {
            let (portable, own) = (standard.bytes(Build::Portable), standard.bytes(Build::InPlace));
            assert!(portable.starts_with(b"\0asm") && own.starts_with(b"\0asm") && portable != own);
            assert!(Arc::ptr_eq(&portable, &standard.bytes(Build::Portable)));
        }
    }
}
