//! The framing that passes, compared with hyper's own view of it: hyper finds no request that the framing did not find,
//! and none with another body.

use super::{State, Wire};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const MOST_EXTENSIONS: usize = 64;

/// A request as one of the two sees it.
#[derive(Debug, Default)]
struct Seen {
    method: Vec<u8>,
    body: Vec<u8>,
    has_head: bool,
    is_whole: bool,
}

/// The first byte determines how the others are cut into reads.
pub fn run(data: &[u8]) {
    let Some((&size, bytes)) = data.split_first() else { return };
    let (ours, through) = by_wire(bytes);
    let mut cut = Wire::new(MOST_EXTENSIONS);
    let mut sum = 0;
    for piece in bytes.chunks(usize::from(size).max(1)) {
        let count = cut.admit(piece);
        sum += count;
        if count < piece.len() {
            break;
        }
    }
    assert!(sum <= through.len(), "more goes through when it comes in pieces of {size}");
    let theirs = by_hyper(&through);
    let heads = ours.iter().filter(|seen| seen.has_head).count();
    assert!(theirs.len() <= heads, "hyper found {theirs:?} where there is {ours:?}");
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours.method, theirs.method, "{ours:?}, {theirs:?}");
        let same = match theirs.is_whole {
            true => ours.is_whole && ours.body == theirs.body,
            false => ours.body.starts_with(&theirs.body),
        };
        assert!(same, "{ours:?}, {theirs:?}");
    }
}

/// The requests by the framing, and all bytes that hyper gets to read.
fn by_wire(bytes: &[u8]) -> (Vec<Seen>, Vec<u8>) {
    let mut wire = Wire::new(MOST_EXTENSIONS);
    let mut through = Vec::with_capacity(bytes.len());
    let mut seen: Vec<Seen> = Vec::new();
    for &byte in bytes {
        let (before, in_trailers) = (wire.state, wire.in_trailers);
        if wire.admit(&[byte]) == 0 {
            break;
        }
        through.push(byte);
        match before {
            State::Start { .. } if wire.state == State::Method => {
                seen.push(Seen { method: vec![byte], ..Seen::default() });
            }
            _ => {}
        }
        let Some(last) = seen.last_mut() else { continue };
        match before {
            State::Method if byte != b' ' => last.method.push(byte),
            State::EndLf if !in_trailers => last.has_head = true,
            State::Length(_) | State::Data(_) => last.body.push(byte),
            _ => {}
        }
        last.is_whole |= wire.state == State::Start { skipped: false };
    }
    if wire.fault().is_some() {
        through.extend(wire.refusal(usize::MAX));
    }
    (seen, through)
}

/// The requests that hyper finds in the same bytes.
fn by_hyper(bytes: &[u8]) -> Vec<Seen> {
    let seen = RefCell::new(Vec::<Seen>::new());
    let serve = |request: Request<Incoming>| {
        let method = request.method().as_str().into();
        seen.borrow_mut().push(Seen { method, has_head: true, ..Seen::default() });
        let place = seen.borrow().len() - 1;
        let seen = &seen;
        async move {
            let mut body = request.into_body();
            loop {
                match body.frame().await {
                    None => break seen.borrow_mut()[place].is_whole = true,
                    Some(Err(_)) => break,
                    Some(Ok(frame)) => {
                        let data = frame.into_data().unwrap_or_default();
                        seen.borrow_mut()[place].body.extend_from_slice(&data);
                    }
                }
            }
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    };
    let mut builder = Builder::new();
    builder.header_read_timeout(None).max_headers(100).half_close(true).pipeline_flush(false);
    let io = TokioIo::new(Tape { left: bytes });
    // hyper's answer to bytes that it refuses is not compared.
    let _ = futures::executor::block_on(builder.serve_connection(io, service_fn(serve)));
    seen.into_inner()
}

/// Bytes to read, and then the end. Written bytes are discarded.
struct Tape<'a> {
    left: &'a [u8],
}

impl AsyncRead for Tape<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (now, later) = self.left.split_at(self.left.len().min(buf.remaining()));
        buf.put_slice(now);
        self.left = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tape<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
