//! Takeover without loss: a new process gets the listening sockets of the old one, and serves before the old one stops.
//!
//! The sockets are passed over a Unix socket, as descriptors. They remain the same sockets in the kernel, with the same
//! queues, so that connections in the queues are accepted at every moment: no connection is refused or reset, whatever
//! the load.
//!
//! 1. The old process offers: [`offer`] listens on a path.
//! 2. The new one builds everything that it needs, then asks: [`receive`].
//! 3. It starts its workers with the sockets that it got (all of them, see [`super::sockets::Sources`]), while the old
//!    process still accepts as well.
//! 4. It says so: [`Received::serving`]. The old one removes its path, begins its stop, and answers.
//! 5. The new one offers, on the same path.
//!
//! If the new process ends or fails before step 4, the old one has noticed nothing and continues to offer. If the old
//! process ends before that, the new one continues with the sockets that it has.
//!
//! Bounds: one takeover at a time, [`MAX_SOCKETS`] sockets, [`STEP_TIMEOUT`] for each step of the protocol, and
//! [`SERVING_TIMEOUT`] for the new process to serve. Only processes of the same user may take part: the path has mode
//! 0600, and both sides ask the kernel who the other is.
//!
//! The protocol: the old side sends [`MAGIC`], one byte of version, two bytes (big-endian) for the number of sockets;
//! then for each [`CHUNK`] of them one byte with their number, and with it their descriptors, and a byte for each that
//! is 1 if whoever started the old process holds that socket too ([`Shared::always`]). The new side sends one byte when
//! it serves; the old side answers with one byte.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use socket2::{Domain, SockAddr, Socket, Type};

use super::shared::{Duplicate, Shared, listening};

/// The most sockets in one takeover.
pub const MAX_SOCKETS: usize = 1024;

/// How long the other side may take for a message that it can send at once.
pub const STEP_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the new process may take from receiving the sockets to serving.
pub const SERVING_TIMEOUT: Duration = Duration::from_mins(5);

const MAGIC: &[u8; 8] = b"linkspan";
const VERSION: u8 = 1;
const HEADER: usize = MAGIC.len() + 3;

/// Descriptors in one message; Linux allows 253.
const CHUNK: usize = 64;

const SERVING: u8 = b's';
const TAKEN: u8 = b't';

/// New processes that may wait for the offer.
const BACKLOG: i32 = 4;

// ---- The new process ----------------------------------------------------------------------------------------------------

/// The old process's listening sockets, and the connection to it. Dropped before [`Received::serving`], it leaves the
/// old process serving.
#[derive(Debug)]
pub struct Received {
    old: UnixStream,
    sockets: Vec<OldSocket>,
    /// Of all sockets that nobody else holds: true until the old process has let go.
    shared: Shared,
}

#[derive(Debug)]
struct OldSocket {
    address: SocketAddr,
    listener: TcpListener,
    /// The program that started the old process holds this socket as well.
    always_shared: bool,
}

/// Asks the process that offers at `path` for its sockets; `None` if there is none.
///
/// # Errors
/// If there is one, and it belongs to another user, speaks another version, takes longer than [`STEP_TIMEOUT`], or
/// sends anything but listening TCP sockets.
pub fn receive(path: &Path) -> io::Result<Option<Received>> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // The time also bounds `connect`, which waits while other processes wait for the offer.
    socket.set_write_timeout(Some(STEP_TIMEOUT))?;
    socket.set_read_timeout(Some(STEP_TIMEOUT))?;
    match socket.connect(&SockAddr::unix(path)?) {
        Ok(()) => {}
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    }
    let old = UnixStream::from(OwnedFd::from(socket));
    check_peer(&old)?;
    let sockets = read_offer(&old)?;
    let shared = Shared::default();
    shared.set(true);
    Ok(Some(Received { old, sockets, shared }))
}

/// Reads what the old process says first: its sockets.
fn read_offer(mut old: &UnixStream) -> io::Result<Vec<OldSocket>> {
    let mut header = [0; HEADER];
    old.read_exact(&mut header)?;
    let (magic, [version, high, low]) = (&header[..MAGIC.len()], [header[8], header[9], header[10]]);
    if magic != MAGIC || version != VERSION {
        return Err(invalid("the process that offers its sockets speaks another version"));
    }
    let count = usize::from(u16::from_be_bytes([high, low]));
    if count > MAX_SOCKETS {
        return Err(invalid("more sockets are offered than can be taken over"));
    }
    let mut sockets = Vec::with_capacity(count);
    while sockets.len() < count {
        let descriptors = receive_chunk(old)?;
        let mut always_shared = [0; CHUNK];
        let always_shared = &mut always_shared[..descriptors.len()];
        old.read_exact(always_shared)?;
        for (descriptor, flag) in descriptors.into_iter().zip(always_shared) {
            let (address, listener) = listening(descriptor)?;
            sockets.push(OldSocket { address, listener, always_shared: *flag != 0 });
        }
    }
    Ok(sockets)
}

fn receive_chunk(old: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    let mut number = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(CHUNK))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(old, &mut [IoSliceMut::new(&mut number)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(some) = message {
            descriptors.extend(some);
        }
    }
    // The kernel leaves out descriptors if this process may not open so many.
    let complete = !got.flags.contains(ReturnFlags::CTRUNC) && descriptors.len() == usize::from(number[0]);
    if got.bytes == 1 && complete && (1..=CHUNK).contains(&descriptors.len()) {
        Ok(descriptors)
    } else {
        Err(invalid("the old process's sockets did not all come through"))
    }
}

impl Received {
    /// The sockets that listen on exactly this address, and what their endpoints say of them.
    pub fn take(&mut self, address: SocketAddr) -> (Vec<TcpListener>, Shared) {
        let taken: Vec<_> = self.sockets.extract_if(.., |one| one.address == address).collect();
        let always = taken.iter().any(|one| one.always_shared);
        let shared = if always { Shared::always() } else { self.shared.clone() };
        (taken.into_iter().map(|one| one.listener).collect(), shared)
    }

    /// The addresses that nobody has taken, which are therefore no longer served.
    pub fn left(&self) -> impl Iterator<Item = SocketAddr> {
        self.sockets.iter().map(|one| one.address)
    }

    /// Says that this process accepts from all sockets that were taken. After that, the old process drains, and its
    /// path is free.
    ///
    /// # Errors
    /// If the old process does not confirm. It may be gone, or may have given up waiting; this process serves in any
    /// case.
    pub fn serving(mut self) -> io::Result<()> {
        self.old.write_all(&[SERVING])?;
        let mut answer = [0];
        self.old.read_exact(&mut answer)?;
        if answer != [TAKEN] {
            return Err(invalid("the old process did not confirm that it stops"));
        }
        self.shared.set(false);
        Ok(())
    }
}

// ---- The old process ----------------------------------------------------------------------------------------------------

/// The standing offer. Ends when it is dropped, or when it has been taken.
#[derive(Debug)]
pub struct Offer {
    /// The thread ends when this does.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

/// Offers at `path` the sockets that `sockets` returns at the moment of a takeover: the answers of all workers to
/// [`super::EndpointChange::Sockets`]. `sockets` may block. `on_taken` is called once the new process serves, and
/// begins the stop. Both run on a thread of the offer.
///
/// An existing socket at `path` is replaced: the earlier process has released it, or is gone.
///
/// # Errors
/// If the path can't be listened on, or no thread can be started.
pub fn offer(
    path: &Path,
    sockets: impl Fn() -> io::Result<Vec<Duplicate>> + Send + 'static,
    on_taken: impl FnOnce() + Send + 'static,
) -> io::Result<Offer> {
    let place = Place::bind(path)?;
    let (stop, stopped) = UnixStream::pair()?;
    let serve = move || {
        let offering = Offering { place, stopped, sockets };
        match offering.until_taken() {
            Ok(Some(mut new)) => {
                drop(offering);
                tracing::info!("a new process serves on our sockets: stopping");
                on_taken();
                // The other process continues whether or not it receives this.
                let _ = new.write_all(&[TAKEN]);
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "no takeover is possible any more"),
        }
    };
    let thread = std::thread::Builder::new().name("linkspan-handover".to_owned()).spawn(serve)?;
    Ok(Offer { stop: Some(stop), thread: Some(thread) })
}

impl Drop for Offer {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic in that thread was reported there.
            let _ = thread.join();
        }
    }
}

struct Offering<S> {
    place: Place,
    stopped: UnixStream,
    sockets: S,
}

impl<S: Fn() -> io::Result<Vec<Duplicate>>> Offering<S> {
    /// The connection to the process that has taken over; `None` if there is to be none any more.
    fn until_taken(&self) -> io::Result<Option<UnixStream>> {
        while self.wait_for(&self.place.socket, None)? == Event::Input {
            let new = match self.place.socket.accept() {
                Ok((new, _)) => new,
                Err(error) => {
                    tracing::warn!(%error, "a process could not ask to take over");
                    // Most likely, there are no descriptors left: without a pause, this would spin.
                    std::thread::sleep(Duration::from_millis(100));
                    continue;
                }
            };
            match self.hand_to(&new) {
                Ok(Event::Input) => return Ok(Some(new)),
                Ok(Event::Stopped) => return Ok(None),
                Ok(Event::Timeout) => {
                    tracing::warn!(limit = ?SERVING_TIMEOUT, "a new process took too long to serve: this process continues");
                }
                Err(error) => {
                    tracing::warn!(%error, "a new process did not take over: this process continues")
                }
            }
        }
        Ok(None)
    }

    /// Gives the sockets away and waits until they are served.
    fn hand_to(&self, new: &UnixStream) -> io::Result<Event> {
        new.set_write_timeout(Some(STEP_TIMEOUT))?;
        new.set_read_timeout(Some(STEP_TIMEOUT))?;
        check_peer(new)?;
        let sockets = (self.sockets)().unwrap_or_else(|error| {
            // Most likely, a stop has begun. The new process then binds the addresses beside this one.
            tracing::warn!(%error, "no socket can be handed over");
            Vec::new()
        });
        let shared: Vec<_> = sockets.iter().map(|one| one.shared.clone()).collect();
        let outcome = self.hand_over(sockets, new);
        if outcome.is_err() {
            // The other process is gone, or has received nothing that it can use. A process that is only late may still
            // have the sockets.
            for one in &shared {
                one.set(false);
            }
        }
        outcome
    }

    fn hand_over(&self, sockets: Vec<Duplicate>, new: &UnixStream) -> io::Result<Event> {
        tracing::info!(sockets = sockets.len(), "a new process takes over");
        send(new, &sockets)?;
        // These are duplicates: if they were kept, sockets would stay open that are to close.
        drop(sockets);
        let event = self.wait_for(new, Some(SERVING_TIMEOUT))?;
        if event == Event::Input {
            let mut said = [0];
            (&*new).read_exact(&mut said)?;
            if said != [SERVING] {
                return Err(invalid("it did not confirm that it serves"));
            }
        }
        Ok(event)
    }

    fn wait_for(&self, input: &impl AsFd, timeout: Option<Duration>) -> io::Result<Event> {
        let timeout = timeout
            .map(|time| Timespec { tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: 0 });
        let mut wanted = [PollFd::new(&self.stopped, PollFlags::IN), PollFd::new(input, PollFlags::IN)];
        loop {
            match poll(&mut wanted, timeout.as_ref()) {
                Ok(0) => return Ok(Event::Timeout),
                Ok(_) if wanted[0].revents().is_empty() => return Ok(Event::Input),
                Ok(_) => return Ok(Event::Stopped),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// The other side has sent something, or is gone.
    Input,
    /// The offer has been withdrawn.
    Stopped,
    Timeout,
}

fn send(mut new: &UnixStream, sockets: &[Duplicate]) -> io::Result<()> {
    let count = u16::try_from(sockets.len()).ok().filter(|count| usize::from(*count) <= MAX_SOCKETS);
    let Some(count) = count else { return Err(invalid("there are more sockets than can be taken over")) };
    let [high, low] = count.to_be_bytes();
    let mut header = MAGIC.to_vec();
    header.extend([VERSION, high, low]);
    new.write_all(&header)?;
    for chunk in sockets.chunks(CHUNK) {
        let descriptors: Vec<_> = chunk.iter().map(|one| one.socket.as_fd()).collect();
        let number = [u8::try_from(chunk.len()).unwrap_or(u8::MAX)];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(CHUNK))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(invalid("descriptors do not fit into a message"));
        }
        // `NOSIGNAL`: if the other side has closed, that is an error here and does not end the process.
        sendmsg(new, &[IoSlice::new(&number)], &mut control, SendFlags::NOSIGNAL)?;
        let always_shared: Vec<_> = chunk.iter().map(|one| u8::from(one.shared.is_always())).collect();
        new.write_all(&always_shared)?;
    }
    Ok(())
}

/// The Unix socket, and its name for as long as this process has it.
struct Place {
    socket: UnixListener,
    path: PathBuf,
    /// Device and inode of the socket at the path.
    identity: (u64, u64),
}

impl Place {
    /// The socket is complete before it has its name: a process that finds the path finds a listening socket with the
    /// right mode.
    fn bind(path: &Path) -> io::Result<Self> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{}", std::process::id()));
        let temporary = PathBuf::from(temporary);
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // Linux gives the name that `bind` makes the mode of the socket itself: there is no moment with a wider one.
        rustix::fs::fchmod(&socket, rustix::fs::Mode::from_raw_mode(0o600))?;
        socket.bind(&SockAddr::unix(&temporary)?)?;
        let named = socket.listen(BACKLOG).and_then(|()| identity(&temporary)).and_then(|identity| {
            fs::rename(&temporary, path)?;
            Ok(identity)
        });
        match named {
            Ok(identity) => Ok(Self { socket: OwnedFd::from(socket).into(), path: path.into(), identity }),
            Err(error) => {
                // The first error says what is wrong.
                let _ = fs::remove_file(&temporary);
                Err(error)
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // If another process has put its own socket there, that one stays.
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

fn check_peer(peer: &UnixStream) -> io::Result<()> {
    let (theirs, ours) = (rustix::net::sockopt::socket_peercred(peer)?.uid, rustix::process::geteuid());
    if theirs == ours {
        return Ok(());
    }
    let text = format!("the other process runs as user {}, not {}", theirs.as_raw(), ours.as_raw());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(any(test, fuzzing))]
pub mod fuzzing;
#[cfg(test)]
mod tests;
