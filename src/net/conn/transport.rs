//! The bytes below HTTP: a TCP stream, with or without TLS, that reports to the connection's [`Activity`] and has three
//! kinds of end.
//!
//! A good end: a close follows the written bytes. If the client may still be sending, its bytes are read and dropped
//! for [`LINGER`] after that, because a close with unread input would make the kernel send a reset, which can overtake
//! the response. A cut: a connection that is dropped in the middle of a response is reset, so that not even an HTTP/1.0
//! client, to which the end of the connection is the end of the body, takes a part for the whole. An idle connection is
//! just closed. A client that closes only its own side, after a whole request, still gets its response.
//!
//! Bytes of HTTP/1 are read through [`Wire`], so that hyper sees only bytes with one meaning.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;

use super::activity::Activity;
use super::http1::wire::Wire;
use super::info::Protocol;
use crate::config::keys::GatewayLimits;

/// How long unwanted input is read after the last response of a connection.
const LINGER: Duration = Duration::from_secs(2);

/// Input dropped per read while lingering.
const SCRATCH: usize = 8 * 1024;

/// The largest response whose pieces are joined: `send` of one piece takes less time than `writev` of two.
const SMALL: usize = 1024;

#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    /// Boxed, because a TLS session has over a kilobyte of state.
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
    /// The client has closed its side.
    at_end: bool,
    /// Until when that is not reported, while a request that arrived whole is served.
    held: Option<Pin<Box<tokio::time::Sleep>>>,
    half_close_timeout: Duration,
    /// For HTTP/1.
    wire: Option<Wire>,
}

impl Transport {
    pub(super) fn new(stream: Stream, activity: Arc<Activity>, limits: &GatewayLimits) -> Self {
        let wire = (activity.protocol() == Protocol::Http1).then(|| Wire::new(limits.chunk_extensions));
        let half_close_timeout = limits.half_close_timeout;
        Self { stream, activity, closing: Closing::Open, at_end: false, held: None, half_close_timeout, wire }
    }

    /// Holds back bytes after the first `before` that are not HTTP/1. A connection that was upgraded is not HTTP any
    /// more.
    fn admit(&mut self, buf: &mut ReadBuf<'_>, before: usize) {
        let Some(wire) = self.wire.as_mut().filter(|_| !self.activity.is_upgraded()) else { return };
        let count = wire.admit(&buf.filled()[before..]);
        let Some(fault) = wire.fault() else { return };
        self.activity.note_fault(fault.reason());
        buf.set_filled(before + count);
        buf.put_slice(wire.refusal(buf.remaining()));
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Closing::Lingering(until) = &mut self.closing else { return Poll::Ready(()) };
        if until.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut scratch = [MaybeUninit::uninit(); SCRATCH];
        loop {
            let mut dropped = ReadBuf::uninit(&mut scratch);
            // The runtime's cooperative budget ends this loop even if the client sends faster than the bytes are
            // dropped.
            match ready!(self.stream.poll_read(cx, &mut dropped)) {
                Ok(()) if !dropped.filled().is_empty() => {}
                _ => return Poll::Ready(()),
            }
        }
    }

    fn note_write<T>(&mut self, result: Poll<T>) -> Poll<T> {
        match result {
            Poll::Pending => self.activity.write_blocked(),
            Poll::Ready(_) => {
                self.activity.write_progress();
                if let Some(held) = &mut self.held {
                    held.as_mut().reset(Instant::now() + self.half_close_timeout);
                }
            }
        }
        result
    }

    /// The client has closed its side of an HTTP/1 connection: it has nothing more to say, or it is gone. Nobody can
    /// distinguish these before something is written to the client. hyper assumes that the client is gone, and would
    /// drop the request that it works on. hyper therefore learns of the close when that request has its response, or
    /// when nothing was written for a while.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let whole = self.wire.as_ref().is_some_and(Wire::is_between_messages);
        if !whole || !self.activity.is_serving() {
            return Poll::Ready(());
        }
        let timeout = self.half_close_timeout;
        self.held.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout))).as_mut().poll(cx)
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
        if let Some(wire) = self.wire.as_mut().filter(|wire| wire.fault().is_some()) {
            buf.put_slice(wire.refusal(buf.remaining()));
            // Nothing more is read: the connection ends as soon as earlier requests have their responses.
            return if buf.filled().len() > before { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        if !self.at_end {
            ready!(self.stream.poll_read(cx, buf))?;
            if buf.filled().len() > before {
                self.activity.bytes_read();
                self.admit(buf, before);
                return Poll::Ready(Ok(()));
            }
            self.at_end = true;
        }
        self.poll_end(cx).map(Ok)
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
        let mut scratch = [MaybeUninit::uninit(); SMALL];
        let mut whole = ReadBuf::uninit(&mut scratch);
        let result = match &mut self.stream {
            Stream::Plain(tcp) => match bufs {
                [one] => Pin::new(tcp).poll_write(cx, one),
                _ if bufs.iter().map(|buf| buf.len()).sum::<usize>() <= SMALL => {
                    bufs.iter().for_each(|buf| whole.put_slice(buf));
                    Pin::new(tcp).poll_write(cx, whole.filled())
                }
                _ => Pin::new(tcp).poll_write_vectored(cx, bufs),
            },
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
            // There was nothing to flush, which says nothing about a write that waits.
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
            // Fails only on a socket that is already gone.
            let _ = tcp.set_zero_linger();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// Takes bytes from `sent`, the refusal that replaces bytes that are not HTTP/1, and says whether more would come.
    async fn read(sent: &[u8], upgraded: bool) -> (Vec<u8>, bool) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (tcp, _) = listener.accept().await.unwrap();
        let limits = GatewayLimits::default();
        let activity = Activity::new(Protocol::Http1, &limits);
        if upgraded {
            activity.upgrade();
        }
        let mut transport = Transport::new(Stream::Plain(tcp), activity, &limits);
        client.write_all(sent).await.unwrap();
        drop(client);
        let mut bytes = Vec::new();
        // The end of the input is reported, unless nothing is read any more.
        let mut end = std::pin::pin!(transport.read_to_end(&mut bytes));
        let ended = tokio::select! {
            biased;
            ended = &mut end => ended.is_ok(),
            () = tokio::time::sleep(Duration::from_millis(200)) => false,
        };
        (bytes, ended)
    }

    #[tokio::test]
    async fn what_is_not_http_is_held_back_until_the_connection_speaks_something_else() {
        let frame = b"\x81\x05hello\r\n\0";
        assert_eq!(read(frame, true).await, (frame.to_vec(), true));
        assert_eq!(read(frame, false).await, (b"\0\r\n\r\n".to_vec(), false));
        let good = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        let (bytes, ended) = read(&[&good[..], frame].concat(), false).await;
        assert_eq!((bytes, ended), ([&good[..], b"\0\r\n\r\n"].concat(), false));
    }

    #[tokio::test]
    async fn answers_arrive_whole_whether_put_together_or_not() {
        for (first, second) in [(100, 0), (100, 24), (1000, 24), (1000, 25), (70_000, 70_000)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (tcp, _) = listener.accept().await.unwrap();
            let limits = GatewayLimits::default();
            let mut transport =
                Transport::new(Stream::Plain(tcp), Activity::new(Protocol::Http1, &limits), &limits);
            let bytes: Vec<u8> = (0..first + second).map(|at| (at % 251) as u8).collect();
            let write = async {
                let mut done = 0;
                while done < bytes.len() {
                    let (left, right) = (&bytes[done.min(first)..first], &bytes[done.max(first)..]);
                    let bufs = [io::IoSlice::new(left), io::IoSlice::new(right)];
                    done += transport.write_vectored(&bufs[..1 + usize::from(second > 0)]).await.unwrap();
                }
                transport.shutdown().await.unwrap();
            };
            let mut found = Vec::new();
            let (read, ()) = tokio::join!(client.read_to_end(&mut found), write);
            assert_eq!(read.unwrap(), bytes.len());
            assert_eq!(found, bytes);
        }
    }
}
