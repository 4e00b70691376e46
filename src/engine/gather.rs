//! Small pieces of a body, gathered into larger pieces.
//!
//! A guest that writes a body byte by byte would cost the connection a frame, a write and a packet for each byte.
//! Therefore, once [`STREAK`] pieces in a row were shorter than [`SMALL`], further pieces are kept as long as more
//! arrive: until [`FULL`] bytes are there, or the guest has had its turn and written nothing. This adds no wait: a
//! piece after which the guest waits goes out at once, and a body in pieces of a usual size is never touched.
//!
//! What there is of a body before anybody asked can be read ahead: a piece and what comes next. If that is the end, the length is
//! known.

use crate::host::next::is_short;
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use wasmtime_wasi_http::{Error, WasiBody};

/// Bytes below which a piece is small.
const SMALL: usize = 1024;

/// Small pieces in a row that are sent as they come.
const STREAK: u32 = 4;

/// Gathered bytes that are sent without waiting for more.
const FULL: usize = 8 * 1024;

/// Turns that a guest gets to write the next piece: one in which it learns that the last one was taken, and one more.
const TURNS: u32 = 2;

/// A part of a body, or its end.
type Piece = Option<Result<Frame<Bytes>, Error>>;

/// A body whose small pieces come together.
pub struct Gather {
    inner: WasiBody,
    /// Small pieces in a row, counted up to [`STREAK`].
    streak: u32,
    /// Bytes that were read ahead.
    ahead: Bytes,
    /// The length was known before they were read.
    announces_length: bool,
    gathered: BytesMut,
    /// What comes after these bytes.
    after: Option<Piece>,
    /// Turns that the guest had since the last piece.
    turns: u32,
}

impl Gather {
    pub fn new(inner: WasiBody) -> Self {
        Self {
            inner,
            streak: 0,
            ahead: Bytes::new(),
            announces_length: false,
            gathered: BytesMut::new(),
            after: None,
            turns: 0,
        }
    }

    /// The body itself, of which nothing was read yet.
    pub fn into_inner(self) -> WasiBody {
        self.inner
    }

    /// Reads a piece ahead, and what comes next, as far as they are there. If no trailers are `announced`, nothing is asked for
    /// behind the announced length: whoever made the body may be gone by now.
    pub fn read_ahead(&mut self, announced: bool) {
        self.announces_length = self.inner.size_hint().exact().is_some();
        // Whoever reads asks again for what is not there yet, with a waker.
        let mut cx = Context::from_waker(Waker::noop());
        match self.poll_piece(&mut cx) {
            Poll::Ready(Some(Ok(frame))) if frame.is_data() => {
                self.ahead = frame.into_data().unwrap_or_default();
            }
            Poll::Ready(end) => self.after = Some(end),
            Poll::Pending => {}
        }
        let is_all = self.ahead.is_empty() || !announced && self.inner.size_hint().exact() == Some(0);
        if self.after.is_none()
            && !is_all
            && let Poll::Ready(next) = self.poll_piece(&mut cx)
        {
            self.after = Some(next);
        }
    }

    /// Whether the end was read ahead, and is where the body announced it.
    pub fn has_end(&self) -> bool {
        matches!(self.after, Some(None)) && !is_short(&self.inner)
    }

    /// The next piece that was not read ahead.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Piece> {
        if let Some(after) = self.after.take() {
            return Poll::Ready(after);
        }
        loop {
            let data = match Pin::new(&mut self.inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) if frame.is_data() => frame.into_data().unwrap_or_default(),
                Poll::Ready(other) if self.gathered.is_empty() => return Poll::Ready(other),
                Poll::Ready(other) => {
                    self.after = Some(other);
                    return self.take();
                }
                Poll::Pending if self.gathered.is_empty() => return Poll::Pending,
                Poll::Pending if self.turns == TURNS => return self.take(),
                Poll::Pending => {
                    // Whoever writes was woken by the piece that was just taken, and runs before this is polled again.
                    self.turns += 1;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            };
            let small = data.len() < SMALL;
            let many = self.streak == STREAK;
            self.streak = if small { STREAK.min(self.streak + 1) } else { 0 };
            // A piece of no bytes can grow HTTP/2's buffers (GHSA-f8mm-ggr3-89wh).
            if data.is_empty() {
                continue;
            }
            if self.gathered.is_empty() && !(small && many) {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            self.turns = 0;
            self.gathered.extend_from_slice(&data);
            if !small || self.gathered.len() >= FULL {
                return self.take();
            }
        }
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
        if !self.ahead.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(mem::take(&mut self.ahead)))));
        }
        self.poll_piece(cx)
    }

    fn is_end_stream(&self) -> bool {
        let is_over = self.has_end() || self.after.is_none() && self.inner.is_end_stream();
        is_over && self.ahead.is_empty() && self.gathered.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let after = match &self.after {
            Some(Some(Ok(frame))) => match frame.data_ref() {
                Some(data) => data.len(),
                // HTTP/1 sends a body of a known length without its trailers.
                None if !self.announces_length => return SizeHint::new(),
                None => 0,
            },
            // A reader who knows the length does not ask for the error behind it.
            Some(Some(Err(_))) => return SizeHint::new(),
            _ => 0,
        };
        let read = (self.ahead.len() + self.gathered.len() + after) as u64;
        if self.has_end() {
            return SizeHint::with_exact(read);
        }
        let inner = self.inner.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + read);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + read);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::next::tests::announced;
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

    #[test]
    fn what_is_there_is_read_ahead_and_comes_in_order() {
        // Of what is there at once: the length, whether the end was found, and what is read afterwards.
        for (given, length, ends, expected) in [
            (&[][..], Some(0), true, &[][..]),
            (&[5], Some(5), true, &[5]),
            (&[5, 6], None, false, &[5, 6]),
            (&[5, 0, 6], None, false, &[5, 6]),
            (&[0, 5], None, false, &[5]),
        ] {
            let stream = |lengths: &[usize]| {
                let mut pieces = VecDeque::from(lengths.to_vec());
                futures::stream::poll_fn(move |cx| match pieces.pop_front() {
                    Some(0) => {
                        cx.waker().wake_by_ref();
                        Poll::Pending
                    }
                    piece => {
                        Poll::Ready(piece.map(|length| Ok(Frame::data(Bytes::from(vec![b'x'; length])))))
                    }
                })
            };
            let mut body = Gather::new(WasiBody::new(StreamBody::new(stream(given))));
            body.read_ahead(false);
            assert_eq!((body.size_hint().exact(), body.has_end()), (length, ends), "{given:?}");
            assert_eq!(body.is_end_stream(), given.is_empty(), "{given:?}");
            let (lengths, end) = read(body);
            assert_eq!(lengths, expected, "{given:?}");
            assert!(end.is_none());
        }
    }

    /// Three bytes and an error. Nothing is left then, and that is what it says.
    struct Broken(u8);

    impl Body for Broken {
        type Data = Bytes;
        type Error = Error;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Piece> {
            self.0 += 1;
            Poll::Ready(match self.0 {
                1 => Some(Ok(Frame::data(Bytes::from_static(b"abc")))),
                2 => Some(Err(Error::ConnectionTerminated)),
                _ => None,
            })
        }

        fn size_hint(&self) -> SizeHint {
            if self.0 < 2 { SizeHint::new() } else { SizeHint::with_exact(0) }
        }
    }

    #[test]
    fn an_error_that_was_read_ahead_is_not_hidden_by_a_length() {
        let mut body = Gather::new(Broken(0).boxed_unsync());
        body.read_ahead(false);
        assert!(body.size_hint().exact().is_none() && !body.is_end_stream());
        let (lengths, end) = read(body);
        assert!(lengths == [3] && matches!(end, Some(Err(Error::ConnectionTerminated))));
    }

    #[test]
    fn nothing_is_read_ahead_behind_the_announced_length() {
        for (trailers_announced, read) in [(false, false), (true, true)] {
            let mut body = Gather::new(announced(3, "abc", true));
            body.read_ahead(trailers_announced);
            assert_eq!((body.after.is_some(), body.size_hint().exact()), (read, Some(3)));
        }
    }

    #[test]
    fn an_end_before_the_announced_length_is_not_announced() {
        let mut body = Gather::new(announced(4, "abc", false));
        body.read_ahead(false);
        assert!(!body.has_end() && !body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(4));
    }
}
