//! Small pieces of a body, gathered into larger pieces.
//!
//! A guest that writes a body byte by byte would cost the connection a frame, a write and a packet for each byte.
//! Therefore, once [`STREAK`] pieces in a row were shorter than [`SMALL`], further pieces are kept as long as more
//! arrive: until [`FULL`] bytes are there, or the guest has had its turn and written nothing. This adds no wait: a
//! piece after which the guest waits goes out at once, and a body in pieces of a usual size is never touched.

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use wasmtime_wasi_http::{Error, WasiBody};

/// Bytes below which a piece is small.
const SMALL: usize = 1024;

/// Small pieces in a row that are sent as they come.
const STREAK: u32 = 4;

/// Gathered bytes that are sent without waiting for more.
const FULL: usize = 8 * 1024;

/// Turns that a guest gets to write the next piece: one in which it learns that the last one was taken, and one more.
const TURNS: u32 = 2;

type Piece = Option<Result<Frame<Bytes>, Error>>;

/// A body whose small pieces come together.
pub struct Gather {
    inner: WasiBody,
    /// Small pieces in a row, counted up to [`STREAK`].
    streak: u32,
    gathered: BytesMut,
    /// What comes after the gathered bytes.
    after: Option<Piece>,
    /// Turns that the guest had since the last piece.
    turns: u32,
}

impl Gather {
    pub fn new(inner: WasiBody) -> Self {
        Self { inner, streak: 0, gathered: BytesMut::new(), after: None, turns: 0 }
    }

    /// The body itself, of which nothing was read yet.
    pub fn into_inner(self) -> WasiBody {
        self.inner
    }

    /// All that is gathered.
    fn take(&mut self) -> Poll<Piece> {
        self.turns = 0;
        Poll::Ready(Some(Ok(Frame::data(self.gathered.split().freeze()))))
    }
}

impl Body for Gather {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Piece> {
        let this = &mut *self;
        if let Some(after) = this.after.take() {
            return Poll::Ready(after);
        }
        loop {
            let data = match Pin::new(&mut this.inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) if frame.is_data() => frame.into_data().unwrap_or_default(),
                Poll::Ready(other) if this.gathered.is_empty() => return Poll::Ready(other),
                Poll::Ready(other) => {
                    this.after = Some(other);
                    return this.take();
                }
                Poll::Pending if this.gathered.is_empty() => return Poll::Pending,
                Poll::Pending if this.turns == TURNS => return this.take(),
                Poll::Pending => {
                    // Whoever writes was woken by the piece that was just taken, and runs before this is polled again.
                    this.turns += 1;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            };
            let small = data.len() < SMALL;
            let many = this.streak == STREAK;
            this.streak = if small { STREAK.min(this.streak + 1) } else { 0 };
            // A piece of no bytes can grow HTTP/2's buffers (GHSA-f8mm-ggr3-89wh).
            if data.is_empty() {
                continue;
            }
            if this.gathered.is_empty() && !(small && many) {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            this.turns = 0;
            this.gathered.extend_from_slice(&data);
            if !small || this.gathered.len() >= FULL {
                return this.take();
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.gathered.is_empty() && self.after.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, gathered) = (self.inner.size_hint(), self.gathered.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + gathered);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + gathered);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use http_body_util::{BodyExt as _, StreamBody};
    use std::collections::VecDeque;

    /// Pieces of these lengths, `0` for more turns than a guest gets with nothing there; and how the body ends.
    fn body(lengths: &[usize], end: Result<Frame<Bytes>, Error>) -> Gather {
        let mut lengths = VecDeque::from(lengths.to_vec());
        let mut end = Some(end);
        let mut turns = 0;
        let stream = futures::stream::poll_fn(move |cx| match lengths.front() {
            Some(0) => {
                turns += 1;
                if turns > TURNS {
                    turns = 0;
                    lengths.pop_front();
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(length) => {
                let piece = Bytes::from(vec![b'x'; *length]);
                lengths.pop_front();
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            None => Poll::Ready(end.take()),
        });
        Gather::new(WasiBody::new(StreamBody::new(stream)))
    }

    /// The lengths of what comes, and the end.
    fn read(mut body: Gather) -> (Vec<usize>, Piece) {
        let mut lengths = Vec::new();
        block_on(async {
            loop {
                match body.frame().await {
                    Some(Ok(frame)) if frame.is_data() => {
                        lengths.push(frame.into_data().unwrap_or_default().len());
                    }
                    end => return (lengths, end),
                }
            }
        })
    }

    fn trailers() -> Result<Frame<Bytes>, Error> {
        Ok(Frame::trailers(http::HeaderMap::new()))
    }

    #[test]
    fn pieces_come_together_while_they_come() {
        for (given, expected) in [
            (&[1; 100][..], &[1, 1, 1, 1, 96][..]),
            (&[1, 2, 3, 4, 5, 0, 6, 7], &[1, 2, 3, 4, 5, 13]),
            (&[1, 1, 1, 1, 10, 5000, 1, 1], &[1, 1, 1, 1, 5010, 1, 1]),
            (&[5000, 5000, 1, 5000], &[5000, 5000, 1, 5000]),
            (&[1000; 15], &[1000, 1000, 1000, 1000, 9000, 2000]),
        ] {
            let (lengths, end) = read(body(given, trailers()));
            assert_eq!(lengths, expected, "{given:?}");
            assert!(end.is_some_and(|end| end.is_ok_and(|frame| frame.is_trailers())));
        }
    }

    #[test]
    fn an_error_comes_after_what_came_before_it() {
        let (lengths, end) = read(body(&[1; 10], Err(Error::ConnectionTerminated)));
        assert_eq!(lengths.iter().sum::<usize>(), 10);
        assert!(matches!(end, Some(Err(Error::ConnectionTerminated))));
    }
}
