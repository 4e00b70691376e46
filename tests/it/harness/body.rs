//! Request bodies.

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Empty, Full};
use sha2::{Digest as _, Sha256};
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// What the clients send.
pub type TestBody = http_body_util::combinators::UnsyncBoxBody<Bytes, io::Error>;

fn never(never: Infallible) -> io::Error {
    match never {}
}

/// No body.
pub fn empty() -> TestBody {
    Empty::new().map_err(never).boxed_unsync()
}

/// A body of known length.
pub fn whole(bytes: impl Into<Bytes>) -> TestBody {
    Full::new(bytes.into()).map_err(never).boxed_unsync()
}

/// A body of known length, and trailers. Its length is not announced, so that HTTP/1.1 has room for trailers.
pub fn with_trailers(bytes: impl Into<Bytes>, trailers: &[(&'static str, &'static str)]) -> TestBody {
    let trailers: HeaderMap =
        trailers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    let (feeder, body) = channel();
    let bytes = bytes.into();
    if !bytes.is_empty() {
        feeder.try_send(Frame::data(bytes)).unwrap();
    }
    feeder.try_send(Frame::trailers(trailers)).unwrap();
    body
}

/// A body of unknown length that ends when its feeder is dropped.
pub fn channel() -> (mpsc::Sender<Frame<Bytes>>, TestBody) {
    let (feeder, frames) = mpsc::channel(16);
    (feeder, Channel(frames).boxed_unsync())
}

/// The same, that its feeder can break off with an error.
pub fn fallible() -> (mpsc::Sender<io::Result<Frame<Bytes>>>, TestBody) {
    let (feeder, frames) = mpsc::channel(16);
    (feeder, Fallible(frames).boxed_unsync())
}

struct Fallible(mpsc::Receiver<io::Result<Frame<Bytes>>>);

impl Body for Fallible {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(cx)
    }
}

struct Channel(mpsc::Receiver<Frame<Bytes>>);

impl Body for Channel {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

/// Bytes that don't repeat at any power of two, so that a chunk that is lost, doubled or swapped changes the digest.
static PATTERN: LazyLock<Bytes> = LazyLock::new(|| {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..1_048_573).map(|_| next()).collect()
});

const CHUNK: usize = 64 * 1024;

/// The bytes from `at` on, at most a chunk of them.
fn pattern(at: u64, left: u64) -> Bytes {
    let from = (at % PATTERN.len() as u64) as usize;
    let length = CHUNK.min(PATTERN.len() - from).min(usize::try_from(left).unwrap_or(CHUNK));
    PATTERN.slice(from..from + length)
}

/// The SHA-256 of a body of [`stream`].
pub fn digest(size: u64) -> [u8; 32] {
    let (mut hash, mut at) = (Sha256::new(), 0);
    while at < size {
        let bytes = pattern(at, size - at);
        at += bytes.len() as u64;
        hash.update(&bytes);
    }
    hash.finalize().into()
}

/// The SHA-256 of some bytes.
pub fn digest_of(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// A body of `size` bytes that is made while it is sent; the counter says how much was taken.
pub fn stream(size: u64) -> (Arc<AtomicU64>, TestBody) {
    let taken = Arc::new(AtomicU64::new(0));
    let body = Pattern { size, at: 0, taken: Arc::clone(&taken) };
    (taken, body.boxed_unsync())
}

struct Pattern {
    size: u64,
    at: u64,
    taken: Arc<AtomicU64>,
}

impl Body for Pattern {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.at == self.size {
            return Poll::Ready(None);
        }
        let bytes = pattern(self.at, self.size - self.at);
        self.at += bytes.len() as u64;
        self.taken.store(self.at, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.at == self.size
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.size - self.at)
    }
}
