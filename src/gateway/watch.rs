//! Notices that a file of the configuration changed.
//!
//! The watch looks at each file from time to time, and does not ask the kernel for events: that also works for files
//! behind symbolic links that are swapped, as in Kubernetes, on every file system. A change counts once the files look
//! the same twice in a row, so that a file that is still being written is not read.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The state of a file as seen from outside; `None` if there is no file.
type Look = Option<(u64, u64, i64, i64, i64, i64, u64)>;

fn look(path: &Path) -> Look {
    // Follows symbolic links.
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

/// The states of some files.
#[derive(Debug, Default)]
pub struct Watch {
    /// When the files were last loaded.
    loaded: Vec<(PathBuf, Look)>,
    /// At the last call.
    last: Vec<(PathBuf, Look)>,
}

impl Watch {
    /// Remembers the state of `files`, which were just loaded.
    pub fn loaded(&mut self, files: &[PathBuf]) {
        self.loaded = looks(files);
        self.last.clone_from(&self.loaded);
    }

    /// Replaces the list of files; files that were in it keep their state.
    pub fn loaded_others(&mut self, files: &[PathBuf]) {
        let known = |file: &PathBuf| self.loaded.iter().find(|(path, _)| path == file).map(|(_, look)| *look);
        let looks = files.iter().map(|file| (file.clone(), known(file).unwrap_or_else(|| look(file))));
        self.loaded = looks.collect();
        self.last.clone_from(&self.loaded);
    }

    /// Whether `files` changed since they were loaded, and have the same state as at the last call.
    pub fn has_settled_change(&mut self, files: &[PathBuf]) -> bool {
        let now = looks(files);
        let settled = now == self.last;
        self.last = now;
        settled && self.last != self.loaded
    }
}

fn looks(files: &[PathBuf]) -> Vec<(PathBuf, Look)> {
    files.iter().map(|file| (file.clone(), look(file))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_when_it_has_settled() {
        let folder = std::env::temp_dir().join(format!("linkspan-watch-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let files = vec![folder.join("a"), folder.join("link")];
        std::fs::write(&files[0], "1").expect("written");
        std::fs::write(folder.join("v1"), "1").expect("written");
        std::fs::write(folder.join("v2"), "2").expect("written");
        let _ = std::fs::remove_file(&files[1]);
        std::os::unix::fs::symlink("v1", &files[1]).expect("a link");
        let mut watch = Watch::default();
        watch.loaded(&files);
        assert!(!watch.has_settled_change(&files));
        std::fs::write(&files[0], "longer").expect("written");
        assert!(!watch.has_settled_change(&files));
        assert!(watch.has_settled_change(&files));
        watch.loaded(&files);
        assert!(!watch.has_settled_change(&files));
        // A swapped symbolic link.
        std::os::unix::fs::symlink("v2", folder.join("next")).expect("a link");
        std::fs::rename(folder.join("next"), &files[1]).expect("renamed");
        assert!(!watch.has_settled_change(&files));
        assert!(watch.has_settled_change(&files));
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
