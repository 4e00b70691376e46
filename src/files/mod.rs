//! Reading the files that a configuration names: regular files only, within a bound, and without waiting.
//!
//! Every room that reads such a file calls this room. Opening a named pipe waits until somebody writes to it, and
//! reading a pipe, a terminal or a device may never end; a reload that met one would delay all later reloads. Files
//! that are not regular are therefore refused, including `/dev/stdin` and the pipes of a shell's `<(…)`. This room
//! never writes, and does not know what a file is for.

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

/// The content of the regular file at `path`, symbolic links followed; `None` if there are more than `most` bytes.
///
/// # Errors
/// The file can't be opened or read, or is not a regular file.
pub fn read(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut content = Vec::new();
    open(path)?.take(most.saturating_add(1)).read_to_end(&mut content)?;
    Ok((content.len() as u64 <= most).then_some(content))
}

fn open(path: &Path) -> io::Result<File> {
    // The kind of file is checked first, because opening alone can have an effect on a device.
    expect_regular(std::fs::metadata(path)?.file_type())?;
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)?;
    // Another file may have taken its place since.
    expect_regular(file.metadata()?.file_type())?;
    Ok(file)
}

fn expect_regular(kind: FileType) -> io::Result<()> {
    match not_regular(kind) {
        Some(what) => Err(io::Error::new(io::ErrorKind::InvalidInput, what)),
        None => Ok(()),
    }
}

/// The kind of file in place of a regular file, in words; `None` for a regular one.
pub fn not_regular(kind: FileType) -> Option<&'static str> {
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some("a directory, not a file")
    } else if kind.is_fifo() {
        Some("a pipe, not a file")
    } else if kind.is_socket() {
        Some("a socket, not a file")
    } else {
        Some("a device, not a file")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType as NodeType, Mode, mknodat};
    use std::os::unix::net::UnixListener;

    #[test]
    fn regular_files_within_the_bound() {
        let folder = std::env::temp_dir().join(format!("linkspan-files-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("file");
        std::fs::write(&file, "12345").unwrap();
        let link = folder.join("link");
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink("file", &link).unwrap();
        assert_eq!(read(&link, 5).unwrap().as_deref(), Some(&b"12345"[..]));
        assert_eq!(read(&file, u64::MAX).unwrap().as_deref(), Some(&b"12345"[..]));
        assert_eq!(read(&file, 4).unwrap(), None);
        assert_eq!(read(&folder.join("none"), 5).unwrap_err().kind(), io::ErrorKind::NotFound);

        let (pipe, socket) = (folder.join("pipe"), folder.join("socket"));
        mknodat(CWD, &pipe, NodeType::Fifo, Mode::RUSR, 0).unwrap();
        let _listener = UnixListener::bind(&socket).unwrap();
        for (path, what) in [
            (pipe.as_path(), "a pipe, not a file"),
            (&socket, "a socket, not a file"),
            (&folder, "a directory, not a file"),
            (Path::new("/dev/zero"), "a device, not a file"),
        ] {
            let error = read(path, 5).unwrap_err();
            assert_eq!((error.kind(), error.to_string().as_str()), (io::ErrorKind::InvalidInput, what));
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
