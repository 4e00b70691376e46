//! The measured components: those in the binary, or those in a folder.

use super::Failure;
use clap::Args;
use flate2::read::ZlibDecoder;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// By name, compressed. Empty if the binary was built before the components were.
const CARRIED: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/guests.rs"));

/// Where the components are.
#[derive(Debug, Args)]
pub struct Source {
    /// Measure with the components in this folder, which `cargo xtask components` fills, instead of those that linkspan
    /// carries
    #[arg(long, value_name = "DIR")]
    components: Option<PathBuf>,
}

/// The components as files.
pub(super) struct Guests {
    folder: PathBuf,
    /// Whether the folder is removed at the end.
    is_ours: bool,
}

impl Source {
    /// The components, in the folder that is given or in one for this run.
    pub(super) fn open(&self) -> Result<Guests, Failure> {
        if let Some(folder) = &self.components {
            let cannot = |error| Failure::wrong(format!("cannot use `{}`: {error}", folder.display()));
            return Ok(Guests { folder: folder.canonicalize().map_err(cannot)?, is_ours: false });
        }
        if CARRIED.is_empty() {
            return Err(Failure::wrong(
                "this linkspan was built without the components of the benchmark\n\
                 `cargo xtask components` makes them: build linkspan after it, or name their folder with `--components`",
            ));
        }
        let guests = Guests { folder: own_folder()?, is_ours: true };
        for (name, compressed) in CARRIED {
            let mut file = File::create(guests.path(name)).map_err(Failure::system)?;
            std::io::copy(&mut ZlibDecoder::new(*compressed), &mut file).map_err(Failure::system)?;
        }
        Ok(guests)
    }
}

impl Guests {
    /// The file of a component.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name).with_extension("wasm")
    }

    /// The file of a component that must be there.
    pub(super) fn find(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.path(name);
        match path.is_file() {
            true => Ok(path),
            false => Err(Failure::wrong(format!(
                "there is no `{}`\n`cargo xtask components` makes the components of the benchmark",
                path.display()
            ))),
        }
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        if self.is_ours {
            // The folder is in the system's temporary folder.
            drop(std::fs::remove_dir_all(&self.folder));
        }
    }
}

/// A folder of this process that nobody else may look into.
pub(super) fn own_folder() -> Result<PathBuf, Failure> {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let name = format!("linkspan-bench-{}-{number}", std::process::id());
    let folder = Path::new(&std::env::temp_dir()).join(name);
    let made = DirBuilder::new().mode(0o700).create(&folder);
    made.map_err(|error| Failure::system(format!("cannot make `{}`: {error}", folder.display())))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_carried_can_be_read() {
        let guests = Source { components: None }.open().expect("components");
        let folder = guests.folder.clone();
        for (name, _) in CARRIED {
            let bytes = std::fs::read(guests.find(name).expect("a file")).expect("a file");
            assert_eq!(&bytes[..4], b"\0asm", "{name}");
        }
        assert!(guests.find("other").is_err());
        drop(guests);
        assert!(!folder.exists());
        let nowhere = Source { components: Some("no-such-folder".into()) };
        assert!(nowhere.open().err().expect("an error").to_string().contains("no-such-folder"));
    }
}
