//! Socket activation: listening sockets that were opened by the program that started this process, usually systemd
//! (`sd_listen_fds(3)`).
//!
//! `LISTEN_PID` says for which process the sockets are, `LISTEN_FDS` how many there are, from descriptor 3 on, and
//! `LISTEN_FDNAMES` their names. The environment is only read. Each must be a listening TCP socket, in any number up to
//! [`MAX_SOCKETS`]. Any other descriptor is an error, since it says that the unit file and the configuration disagree.
//!
//! The program that passed a socket may hold it as well, and the next process will get the same one: the socket
//! outlives this process, and connections in its queue wait there during a restart.

use std::ffi::OsString;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

use super::shared::listening;

/// The most sockets that are taken. systemd passes no more than its own limit of descriptors.
pub const MAX_SOCKETS: usize = 256;

/// The first descriptor that is passed (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;

/// Listening sockets that were open when the process started.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<Socket>,
    /// The sockets taken for a configuration that may still be refused.
    lent: Vec<Socket>,
}

#[derive(Debug)]
struct Socket {
    name: String,
    address: SocketAddr,
    listener: TcpListener,
}

/// Takes the sockets that were passed to this process; later calls find none. The call must come before any socket is
/// opened.
///
/// # Errors
/// If the variables are for this process and make no sense, or a descriptor is not a listening TCP socket.
pub fn inherited() -> io::Result<Inherited> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let Some(names) = passed(|name| std::env::var_os(name), std::process::id())? else {
        return Ok(Inherited::default());
    };
    if TAKEN.swap(true, SeqCst) {
        return Ok(Inherited::default());
    }
    let mut sockets = Vec::with_capacity(names.len());
    for (number, name) in (FIRST..).zip(names) {
        let bad = |error: io::Error| {
            let text = format!("descriptor {number} ({name}) of LISTEN_FDS is {error}");
            io::Error::new(error.kind(), text)
        };
        let (address, listener) = take(number).and_then(listening).map_err(bad)?;
        sockets.push(Socket { name, address, listener });
    }
    Ok(Inherited { sockets, lent: Vec::new() })
}

impl Inherited {
    #[cfg(test)]
    pub(super) fn from_sockets(sockets: Vec<TcpListener>) -> io::Result<Self> {
        let named = |listener: TcpListener| {
            let name = "test".to_owned();
            listener.local_addr().map(|address| Socket { name, address, listener })
        };
        let sockets = sockets.into_iter().map(named).collect::<io::Result<_>>()?;
        Ok(Self { sockets, lent: Vec::new() })
    }

    /// The sockets that listen on exactly this address: none, or one, or what systemd's `ReusePort=` made. Their use is
    /// [kept](Self::keep) or [given back](Self::give_back).
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn take(&mut self, address: SocketAddr) -> io::Result<Vec<TcpListener>> {
        let before = self.lent.len();
        self.lent.extend(self.sockets.extract_if(.., |one| one.address == address));
        self.lent[before..].iter().map(|one| one.listener.try_clone()).collect()
    }

    /// The sockets that were taken serve.
    pub fn keep(&mut self) {
        self.lent.clear();
    }

    /// The sockets that were taken do not serve after all, and can be taken again.
    pub fn give_back(&mut self) {
        self.sockets.append(&mut self.lent);
    }

    /// Names and addresses of sockets that nobody has taken, for a warning: clients connect to them and get no answer.
    pub fn left(&self) -> impl Iterator<Item = (&str, SocketAddr)> {
        self.sockets.iter().map(|one| (one.name.as_str(), one.address))
    }
}

/// The names of the descriptors that are for the process `pid`; `None` if there are none.
fn passed(variable: impl Fn(&str) -> Option<OsString>, pid: u32) -> io::Result<Option<Vec<String>>> {
    let bad = |what: &str, value: &OsString| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{what}={} is not valid", value.display()))
    };
    let number = |what: &str| {
        let Some(value) = variable(what) else { return Ok(None) };
        let parsed = value.to_str().and_then(|text| text.parse::<u32>().ok());
        parsed.map(Some).ok_or_else(|| bad(what, &value))
    };
    // The variables are for another process: the parent was activated and has left them in place.
    if number("LISTEN_PID")? != Some(pid) {
        return Ok(None);
    }
    let Some(count) = number("LISTEN_FDS")? else { return Ok(None) };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count > MAX_SOCKETS {
        let text = format!("LISTEN_FDS={count}: at most {MAX_SOCKETS} sockets are taken");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    let names = names.to_string_lossy();
    let names = names.split(':').filter(|name| !name.is_empty()).chain(std::iter::repeat("unknown"));
    Ok(Some(names.take(count).map(str::to_owned).collect()))
}

/// Makes an inherited descriptor this process's own, and keeps it from programs that this process might start.
#[expect(
    unsafe_code,
    reason = "a descriptor that is known by its number only has no owner in the type system"
)]
fn take(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the number goes to fcntl(F_GETFD) and nowhere else; if no such descriptor is open, that is its answer.
    let flags = fcntl_getfd(unsafe { BorrowedFd::borrow_raw(number) }).map_err(|_| {
        let text = "not open";
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })?;
    // A descriptor that came through `exec` lacks the flag that would have closed it there. A descriptor that this
    // process opened has the flag, as Rust's library always sets it. A wrong LISTEN_FDS therefore can't take a
    // descriptor that has an owner.
    if flags.contains(FdFlags::CLOEXEC) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not inherited"));
    }
    // SAFETY: it is open, was not opened by this process, and is taken once: `inherited` sees to that.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl_setfd(descriptor.as_fd(), flags | FdFlags::CLOEXEC)?;
    Ok(descriptor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(variables: &[(&str, &str)]) -> Result<Option<Vec<String>>, String> {
        let find = |name: &str| {
            variables.iter().find(|(other, _)| *other == name).map(|(_, value)| OsString::from(value))
        };
        passed(find, 7).map_err(|error| error.to_string())
    }

    #[test]
    fn sockets_for_others_are_not_taken() {
        assert_eq!(check(&[]), Ok(None));
        assert_eq!(check(&[("LISTEN_FDS", "2")]), Ok(None));
        assert_eq!(check(&[("LISTEN_PID", "8"), ("LISTEN_FDS", "2")]), Ok(None));
        assert_eq!(check(&[("LISTEN_PID", "8"), ("LISTEN_FDS", "rubbish")]), Ok(None));
    }

    #[test]
    fn each_has_a_name() {
        let names = |names: &[&str]| Ok(Some(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()));
        let count = [("LISTEN_PID", "7"), ("LISTEN_FDS", "2")];
        assert_eq!(check(&count), names(&["unknown", "unknown"]));
        let with_names = [count[0], count[1], ("LISTEN_FDNAMES", "web:admin:more")];
        assert_eq!(check(&with_names), names(&["web", "admin"]));
    }

    #[test]
    fn nonsense_is_an_error() {
        for (pid, count) in [("x", "1"), ("7", "-1"), ("7", "4000000000"), ("7", "257")] {
            check(&[("LISTEN_PID", pid), ("LISTEN_FDS", count)]).unwrap_err();
        }
    }
}
