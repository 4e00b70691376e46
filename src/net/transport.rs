//! The bytes under HTTP: a TCP stream, with TLS or without, that reports to the connection's [`Activity`] and knows how to
//! end.
//!
//! It ends in one of three ways. Well: what is written is followed by a close, after which, if the client may still be
//! sending what nobody will read, that is read and dropped for [`LINGER`]; a close with unread input would make the kernel
//! send a reset, which can overtake the answer. Cut short: dropped in the middle of an answer, it resets the connection, so
//! that not even an HTTP/1.0 client, to whom the end of the connection is the end of the body, takes a part for the whole.
//! Idle: just closed.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::activity::Activity;

/// How long input that nobody wants is read after the last answer of a connection.
const LINGER: Duration = Duration::from_secs(2);

/// Input dropped per read while lingering.
const SCRATCH: usize = 8 * 1024;

#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    /// Boxed: a TLS session is over a kilobyte of state.
    Tls(Box<TlsStream<TcpStream>>),
}

#[derive(Debug)]
enum Closing {
    Open,
    Lingering(Pin<Box<tokio::time::Sleep>>),
    Closed,
}

#[derive(Debug)]
pub(super) struct Transport {
    stream: Stream,
    activity: Arc<Activity>,
    closing: Closing,
    /// The client has ended its side.
    at_end: bool,
}

impl Transport {
    pub(super) fn new(stream: Stream, activity: Arc<Activity>) -> Self {
        Self { stream, activity, closing: Closing::Open, at_end: false }
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Closing::Lingering(until) = &mut self.closing else { return Poll::Ready(()) };
        if until.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut scratch = [MaybeUninit::uninit(); SCRATCH];
        loop {
            let mut dropped = ReadBuf::uninit(&mut scratch);
            // The runtime's cooperative budget ends this loop even if the client sends faster than we drop.
            match ready!(self.stream.poll_read(cx, &mut dropped)) {
                Ok(()) if !dropped.filled().is_empty() => {}
                _ => return Poll::Ready(()),
            }
        }
    }

    fn note_write<T>(&self, result: Poll<T>) -> Poll<T> {
        match result {
            Poll::Pending => self.activity.write_blocked(),
            Poll::Ready(_) => self.activity.write_progress(),
        }
        result
    }
}

impl Stream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = self.stream.poll_read(cx, buf);
        if let Poll::Ready(Ok(())) = &result {
            if buf.filled().len() > before {
                self.activity.bytes_read();
            } else {
                self.at_end = true;
            }
        }
        result
    }
}

impl AsyncWrite for Transport {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        };
        self.note_write(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Stream::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        };
        self.note_write(result)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(tcp) => tcp.is_write_vectored(),
            Stream::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            // Nothing to flush: that says nothing about a write that waits.
            Stream::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Stream::Tls(tls) => {
                let result = Pin::new(tls).poll_flush(cx);
                self.note_write(result)
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Closing::Open = self.closing {
            let result = self.stream.poll_shutdown(cx);
            ready!(self.note_write(result))?;
            self.closing = if self.activity.owes_reading() && !self.at_end {
                Closing::Lingering(Box::pin(tokio::time::sleep(LINGER)))
            } else {
                Closing::Closed
            };
        }
        ready!(self.poll_linger(cx));
        self.closing = Closing::Closed;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        if self.activity.cut_short() {
            let tcp = match &self.stream {
                Stream::Plain(tcp) => tcp,
                Stream::Tls(tls) => tls.get_ref().0,
            };
            // Fails only on a socket that is gone already.
            let _ = tcp.set_zero_linger();
        }
    }
}
