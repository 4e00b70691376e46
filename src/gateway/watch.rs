//! Notices that a file of the configuration changed.
//!
//! The watch looks at each file from time to time, and does not ask the kernel for events: that also works for files
//! behind symbolic links that are swapped, as in Kubernetes, on every file system. A change counts once the files look
//! the same twice in a row, so that a file that is still being written is not read.
//!
//! What the files looked like when they were loaded is noted before they are read: a file that changes while a generation
//! is built from it is loaded again.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The state of a file as seen from outside; `None` if there is no file.
pub type Look = Option<(u64, u64, i64, i64, i64, i64, u64)>;

/// The states of some files at one time.
pub type Looks = Vec<(PathBuf, Look)>;

/// The state of the file at `path`, symbolic links followed.
pub fn look(path: &Path) -> Look {
    let metadata = std::fs::metadata(path).ok()?;
    Some((
        metadata.dev(),
        metadata.ino(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec(),
        metadata.size(),
    ))
}

/// The states of `files` now.
pub fn looks<'a>(files: impl IntoIterator<Item = &'a Path>) -> Looks {
    files.into_iter().map(|file| (file.to_owned(), look(file))).collect()
}

/// Finds changes of the files of the live configuration.
#[derive(Debug)]
pub struct Watch {
    /// The files of the live configuration, as they were loaded.
    loaded: Arc<Looks>,
    /// Before the last attempt to load them, if that did not make another configuration live.
    attempted: Looks,
    /// At the last call of [`has_settled_change`](Self::has_settled_change).
    last: Looks,
}

impl Watch {
    /// A watch of files that are as in `loaded`, unless they changed since.
    pub fn new(loaded: Arc<Looks>) -> Self {
        Self { loaded, attempted: Looks::new(), last: Looks::new() }
    }

    /// Notes that the files are about to be loaded.
    pub fn begin(&mut self) {
        self.attempted = self.now();
    }

    /// Whether the files changed since they were loaded, or since that was attempted, and have the same state as at the
    /// last call. `loaded` has the files of the configuration that is live now, as they were loaded.
    pub fn has_settled_change(&mut self, loaded: &Arc<Looks>) -> bool {
        if !Arc::ptr_eq(&self.loaded, loaded) {
            self.loaded = Arc::clone(loaded);
            self.attempted.clear();
        }
        let now = self.now();
        let settled = now == self.last;
        self.last = now;
        settled && self.last != *self.loaded && self.last != self.attempted
    }

    fn now(&self) -> Looks {
        looks(self.loaded.iter().map(|(file, _)| file.as_path()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_when_it_has_settled() {
        let folder = std::env::temp_dir().join(format!("linkspan-watch-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let files = [folder.join("a"), folder.join("link")];
        std::fs::write(&files[0], "1").expect("written");
        std::fs::write(folder.join("v1"), "1").expect("written");
        std::fs::write(folder.join("v2"), "2").expect("written");
        let _ = std::fs::remove_file(&files[1]);
        std::os::unix::fs::symlink("v1", &files[1]).expect("a link");
        let load = || Arc::new(looks(files.iter().map(PathBuf::as_path)));
        let first = load();
        let mut watch = Watch::new(Arc::clone(&first));
        assert!(!watch.has_settled_change(&first));
        std::fs::write(&files[0], "longer").expect("written");
        assert!(!watch.has_settled_change(&first));
        assert!(watch.has_settled_change(&first));
        // An attempt is made once, whatever comes of it.
        watch.begin();
        assert!(!watch.has_settled_change(&first));
        let second = load();
        assert!(!watch.has_settled_change(&second));
        // A swapped symbolic link.
        std::os::unix::fs::symlink("v2", folder.join("next")).expect("a link");
        std::fs::rename(folder.join("next"), &files[1]).expect("renamed");
        assert!(!watch.has_settled_change(&second));
        assert!(watch.has_settled_change(&second));
        // A file that changes after it was read, and before the generation made of it is live.
        watch.begin();
        let third = load();
        std::fs::write(&files[0], "still longer").expect("written");
        assert!(!watch.has_settled_change(&third));
        assert!(watch.has_settled_change(&third));
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
