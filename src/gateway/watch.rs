//! Notices that a file of the configuration changed.
//!
//! The watch looks at each file from time to time, and does not ask the kernel for events: that also works for files
//! behind symbolic links that are swapped, as in Kubernetes, on every file system. A change counts once the files look
//! the same twice in a row, so that a file that is still being written is not read.
//!
//! What the files looked like is noted before they are read: a file that changes while a generation is built from it is
//! loaded again. The files of a configuration that was refused are watched beside those of the live one: one of them may
//! be what was missing.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

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

/// The states now of the files of `known`.
pub fn look_again(known: &Looks) -> Looks {
    looks(known.iter().map(|(file, _)| file.as_path()))
}

/// Finds changes of files.
#[derive(Debug, Default)]
pub struct Watch {
    /// At the last call of [`has_settled_change`](Self::has_settled_change).
    last: Looks,
}

impl Watch {
    /// Whether the files of `read` changed since they were read, and have the same state as at the last call.
    pub fn has_settled_change(&mut self, read: &Looks) -> bool {
        let now = look_again(read);
        let settled = now == self.last;
        self.last = now;
        settled && self.last != *read
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
        let read = || looks(files.iter().map(PathBuf::as_path));
        let first = read();
        let mut watch = Watch::default();
        assert!(!watch.has_settled_change(&first));
        std::fs::write(&files[0], "longer").expect("written");
        assert!(!watch.has_settled_change(&first));
        assert!(watch.has_settled_change(&first));
        let second = read();
        assert!(!watch.has_settled_change(&second));
        // A swapped symbolic link.
        std::os::unix::fs::symlink("v2", folder.join("next")).expect("a link");
        std::fs::rename(folder.join("next"), &files[1]).expect("renamed");
        assert!(!watch.has_settled_change(&second));
        assert!(watch.has_settled_change(&second));
        // A file that changes after it was read, and before the generation made of it is live.
        let third = read();
        std::fs::write(&files[0], "still longer").expect("written");
        assert!(!watch.has_settled_change(&third));
        assert!(watch.has_settled_change(&third));
        // A file that was missing.
        let fourth = looks([folder.join("missing").as_path()]);
        assert!(!watch.has_settled_change(&fourth) && !watch.has_settled_change(&fourth));
        std::fs::write(folder.join("missing"), "").expect("written");
        assert!(!watch.has_settled_change(&fourth));
        assert!(watch.has_settled_change(&fourth));
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
