//! Bounds on everything that a client does to an HTTP/2 connection beside sending requests.
//!
//! The protocol lets a client send frames that cost an answer, or just work, and advance no request: PING, SETTINGS,
//! PRIORITY, WINDOW_UPDATE, CONTINUATION, empty DATA, frames of unknown types; and streams that are opened and reset at
//! once. h2 takes any number of them. The transport below h2 is therefore inspected: only the nine bytes before each
//! frame (RFC 9113 §4.1), in both directions, without a copy.
//!
//! Each bound is a budget, filled at an even rate up to the bound in [`WINDOW`], and by progress: answers that are
//! sent, bodies in both directions. A download may cost a WINDOW_UPDATE or two for each piece, an answer a PING, and an
//! answered stream one reset. When a budget is empty, the client gets ENHANCE_YOUR_CALM, if the socket takes that at
//! once, and the connection ends.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::streams::Streams;
use crate::config::keys::GatewayLimits;
use crate::net::conn::listener::ListenerState;

/// The time in which a budget fills.
pub const WINDOW: Duration = Duration::from_secs(10);

/// What a client sends before its first frame (RFC 9113 §3.4).
const PREFACE: usize = 24;

const HEADER: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;

/// Bytes of a RST_STREAM's payload, and of the part of GOAWAY's that is looked at: they end with the error code.
const RESET: usize = 4;
const GONE: usize = 8;

const END_STREAM: u8 = 1;
const PADDED: u8 = 8;

/// A padded frame with no more than this may be nothing but padding.
const MOST_PADDING: usize = 256;

const ENHANCE_YOUR_CALM: u8 = 0xb;

/// A stream of bytes, cut into frames.
#[derive(Debug, Default)]
struct Walk {
    /// Bytes until the next frame's header.
    skip: usize,
    /// The header, and the payload's first bytes where they are looked at.
    header: [u8; HEADER + GONE],
    have: usize,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    length: usize,
    stream: u32,
    /// Of RST_STREAM and GOAWAY.
    code: u32,
}

impl Walk {
    fn after(skip: usize) -> Self {
        Self { skip, ..Self::default() }
    }

    /// Whether the last byte was the last one of a frame.
    fn is_between_frames(&self) -> bool {
        self.skip == 0 && self.have == 0
    }

    /// Bytes of the frame that are looked at, as far as its header is known.
    fn wanted(&self) -> usize {
        let [a, b, c, kind, ..] = self.header;
        match (kind, length(a, b, c)) {
            _ if self.have < HEADER => HEADER,
            (RST_STREAM, RESET) => HEADER + RESET,
            (GOAWAY, GONE..) => HEADER + GONE,
            _ => HEADER,
        }
    }

    /// Says what frames begin in `bytes`, which follow those before.
    fn feed(&mut self, mut bytes: &[u8], mut saw: impl FnMut(Frame)) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let wanted = self.wanted();
            let taken = (wanted - self.have).min(bytes.len());
            self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == self.wanted() {
                let [a, b, c, kind, flags, s0, s1, s2, s3, ..] = self.header;
                let (payload, length) = (self.have - HEADER, length(a, b, c));
                // The first bit is reserved.
                let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
                let code =
                    self.header[HEADER..self.have].last_chunk().map_or(0, |code| u32::from_be_bytes(*code));
                (self.have, self.skip) = (0, length - payload);
                saw(Frame { kind, flags, length, stream, code });
            }
        }
    }
}

fn length(a: u8, b: u8, c: u8) -> usize {
    usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)
}

/// So many in [`WINDOW`].
#[derive(Debug)]
struct Budget {
    limit: u64,
    /// In parts of which [`PARTS`] are one: so that what a millisecond gives back is a whole number.
    used: u64,
    at: Instant,
}

const PARTS: u64 = WINDOW.as_millis() as u64;

impl Budget {
    fn new(limit: u32) -> Self {
        Self { limit: limit.into(), used: 0, at: Instant::now() }
    }

    /// Whether there is not one left.
    fn spend(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_millis();
        if passed > 0 {
            let passed = u64::try_from(passed).unwrap_or(u64::MAX);
            self.used = self.used.saturating_sub(passed.saturating_mul(self.limit));
            self.at = now;
        }
        self.used += PARTS;
        self.used > self.limit * PARTS
    }

    fn earn(&mut self, number: usize) {
        self.used = self.used.saturating_sub(number as u64 * PARTS);
    }
}

/// What is known of both directions.
#[derive(Debug)]
struct Ledger {
    control: Budget,
    resets: Budget,
    /// The last stream that the client has opened.
    last_stream: u32,
    flood: Option<&'static str>,
}

impl Ledger {
    fn received(&mut self, frame: Frame, now: Instant) {
        let Frame { kind, flags, length, stream, .. } = frame;
        let idle = match kind {
            DATA if flags & PADDED != 0 && length <= MOST_PADDING || length == 0 => flags & END_STREAM == 0,
            DATA => {
                self.control.earn(length / 1024);
                false
            }
            HEADERS => {
                self.last_stream = self.last_stream.max(stream);
                true
            }
            RST_STREAM => {
                if self.resets.spend(now) {
                    self.flood.get_or_insert("it resets its streams");
                }
                false
            }
            _ => true,
        };
        if idle && self.control.spend(now) {
            self.flood.get_or_insert("its frames advance no request");
        }
    }

    fn sent(&mut self, Frame { kind, flags, length, .. }: Frame) {
        if kind == DATA || kind == HEADERS {
            self.control.earn(2 + length / 1024);
            if flags & END_STREAM != 0 {
                self.resets.earn(1);
            }
        }
    }

    fn goaway(&self) -> [u8; HEADER + 8] {
        let [a, b, c, d] = self.last_stream.to_be_bytes();
        [0, 0, 8, GOAWAY, 0, 0, 0, 0, 0, a, b, c, d, 0, 0, 0, ENHANCE_YOUR_CALM]
    }
}

/// An HTTP/2 connection's transport that ends when its client floods it.
#[derive(Debug)]
pub(in crate::net::conn) struct Guarded<T> {
    inner: T,
    read: Walk,
    written: Walk,
    ledger: Ledger,
    streams: Rc<Streams>,
    listener: Rc<ListenerState>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Guarded<T> {
    pub(in crate::net::conn) fn new(
        inner: T,
        limits: &GatewayLimits,
        streams: Rc<Streams>,
        listener: Rc<ListenerState>,
    ) -> Self {
        let (control, resets) = (Budget::new(limits.control_frames), Budget::new(limits.stream_resets));
        let ledger = Ledger { control, resets, last_stream: 0, flood: None };
        Self { inner, read: Walk::after(PREFACE), written: Walk::default(), ledger, streams, listener }
    }

    fn note_written(&mut self, bytes: &[u8]) {
        let (ledger, streams) = (&mut self.ledger, &self.streams);
        self.written.feed(bytes, |frame| {
            ledger.sent(frame);
            match frame.kind {
                HEADERS => streams.answered(frame.stream),
                RST_STREAM => streams.reset(frame.stream, frame.code),
                GOAWAY => streams.gone(frame.code),
                _ => {}
            }
        });
    }

    /// The client learns why, if the socket has room for it now.
    fn say_goodbye(&mut self, cx: &mut Context<'_>) {
        if self.written.is_between_frames() {
            let goaway = self.ledger.goaway();
            let written = Pin::new(&mut self.inner).poll_write(cx, &goaway);
            if written.is_ready() {
                let _ = Pin::new(&mut self.inner).poll_flush(cx);
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let result = Pin::new(&mut this.inner).poll_read(cx, buf);
        let new = &buf.filled()[before..];
        if !new.is_empty() {
            let (ledger, streams, now) = (&mut this.ledger, &this.streams, Instant::now());
            this.read.feed(new, |frame| {
                if frame.kind == HEADERS && frame.stream > ledger.last_stream {
                    streams.opened(frame.stream);
                }
                ledger.received(frame, now);
            });
        }
        let Some(why) = this.ledger.flood else { return result };
        this.listener.flood_log.borrow_mut().note(&this.listener.name, "an HTTP/2 connection was cut", &why);
        this.say_goodbye(cx);
        Poll::Ready(Err(io::Error::other(why)))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        if let Poll::Ready(Ok(written)) = result {
            self.note_written(&buf[..written]);
        }
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        if let Poll::Ready(Ok(mut left)) = result {
            for buf in bufs {
                let of_this = left.min(buf.len());
                self.note_written(&buf[..of_this]);
                left -= of_this;
            }
        }
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(any(test, fuzzing))]
pub mod fuzzing;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        let mut bytes = vec![0, length[0], length[1], kind, flags, 0, 0, 0, stream];
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn frames_are_found_however_the_bytes_come() {
        let bytes = [
            vec![b'x'; PREFACE],
            frame(4, 0, 0, &[0; 6]),
            frame(HEADERS, 5, 1, &[0; 300]),
            frame(DATA, 1, 1, &[]),
            frame(RST_STREAM, 0, 1, &[0, 0, 0, 7]),
            frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 9, b'x', b'y']),
            frame(6, 0, 0, &[9; 8]),
        ]
        .concat();
        for size in [1, 2, 3, 8, 9, 10, 300, bytes.len()] {
            let (mut walk, mut seen) = (Walk::after(PREFACE), Vec::new());
            for piece in bytes.chunks(size) {
                walk.feed(piece, |frame| seen.push((frame.kind, frame.length, frame.stream, frame.code)));
            }
            assert_eq!(
                seen,
                [(4, 6, 0, 0), (1, 300, 1, 0), (0, 0, 1, 0), (3, 4, 1, 7), (7, 10, 0, 9), (6, 8, 0, 0)],
                "{size}"
            );
            assert!(walk.is_between_frames());
        }
    }

    #[test]
    fn a_budget_comes_back_with_time_and_with_what_moves() {
        let mut budget = Budget::new(100);
        let start = budget.at;
        let spent = |budget: &mut Budget, at| (0..).take_while(|_| !budget.spend(at)).count();
        assert_eq!(spent(&mut budget, start), 100);
        budget.earn(11);
        assert_eq!(spent(&mut budget, start), 10, "one was spent in vain");
        assert_eq!(spent(&mut budget, start + WINDOW / 2), 49);
        assert_eq!(spent(&mut budget, start + WINDOW * 100), 100);
    }

    #[test]
    fn what_moves_requests_is_free_and_what_does_not_is_counted() {
        let limits = GatewayLimits { control_frames: 20, stream_resets: 5, ..GatewayLimits::default() };
        let flood = |received: (u8, u8, usize), sent: Option<(u8, u8, usize)>| {
            let (control, resets) = (Budget::new(limits.control_frames), Budget::new(limits.stream_resets));
            let mut ledger = Ledger { control, resets, last_stream: 0, flood: None };
            let frame = |(kind, flags, length)| Frame { kind, flags, length, stream: 1, code: 0 };
            let now = Instant::now();
            for number in 0..100 {
                ledger.received(frame(received), now);
                if ledger.flood.is_some() {
                    return Some(number);
                }
                if let Some(sent) = sent {
                    ledger.sent(frame(sent));
                }
            }
            None
        };
        for kind in [2, 4, 6, 8, 9, 0x10, 0xff, HEADERS] {
            assert_eq!(flood((kind, 0, 8), None), Some(20), "type {kind}");
        }
        assert_eq!(flood((DATA, 0, 0), None), Some(20));
        assert_eq!(flood((DATA, PADDED, 100), None), Some(20));
        assert_eq!(flood((DATA, 0, 1), None), None);
        assert_eq!(flood((DATA, END_STREAM, 0), None), None);
        assert_eq!(flood((RST_STREAM, 0, 4), None), Some(5));
        // Requests that are answered, downloads whose windows are opened, streams that end and are reset late.
        assert_eq!(flood((HEADERS, 5, 50), Some((HEADERS, 5, 20))), None);
        assert_eq!(flood((8, 0, 4), Some((DATA, 0, 10))), None);
        assert_eq!(flood((RST_STREAM, 0, 4), Some((DATA, END_STREAM, 10))), None);
        // Our own answers to a PING or SETTINGS earn nothing.
        assert_eq!(flood((6, 0, 8), Some((6, 1, 8))), Some(20));
    }
}
