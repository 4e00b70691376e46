//! Bodies that leave a worker's thread.
//!
//! The parts of a body may belong to the worker's thread. [`pump`] therefore reads the body there, and its frames go
//! through a queue of [`QUEUE`] to the [`Body`], which any thread can read. The queue gives backpressure: no frame is
//! taken before there is room for it. Dropping a [`Body`] ends the pump, and with it the original body.

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc;

/// Frames between the two threads.
const QUEUE: usize = 4;

/// A body that streams out of a pipeline: of a response, or of a request for a native service.
///
/// A body that was cut short ends with an error, never with an end that only looks complete.
pub struct Body {
    frames: Option<mpsc::Receiver<Piece>>,
    hint: SizeHint,
}

/// Why a body broke off.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the body broke off: {0}")]
pub struct BodyError(String);

struct Piece {
    frame: Result<Frame<Bytes>, BodyError>,
    /// The last frame.
    last: bool,
}

impl Body {
    /// A body without bytes.
    pub fn empty() -> Self {
        Self { frames: None, hint: SizeHint::with_exact(0) }
    }

    /// A body of exactly `bytes`.
    pub(super) fn whole(bytes: Bytes) -> Self {
        let hint = SizeHint::with_exact(bytes.len() as u64);
        let (sender, frames) = mpsc::channel(1);
        // The queue has room for a frame.
        drop(sender.try_send(Piece { frame: Ok(Frame::data(bytes)), last: true }));
        Self { frames: Some(frames), hint }
    }
}

/// The future that reads `body` on this thread, and the body for other threads.
pub(super) fn bridge<B>(body: B) -> (Body, impl Future<Output = ()>)
where
    B: HttpBody<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let hint = body.size_hint();
    let (sender, frames) = mpsc::channel(QUEUE);
    let frames = (!body.is_end_stream()).then_some(frames);
    (Body { frames, hint }, pump(body, sender))
}

async fn pump<B>(body: B, frames: mpsc::Sender<Piece>)
where
    B: HttpBody<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let mut body = pin!(body);
    // The room first, then a frame.
    while let Ok(place) = frames.reserve().await {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = frames.closed() => return,
        };
        let frame = match frame {
            None => return place.send(Piece { frame: Ok(Frame::data(Bytes::new())), last: true }),
            Some(frame) => frame.map_err(|error| BodyError(error.to_string())),
        };
        let last = frame.is_err() || body.is_end_stream();
        place.send(Piece { frame, last });
        if last {
            return;
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some(frames) = &mut this.frames else { return Poll::Ready(None) };
        let Some(Piece { frame, last }) = ready!(frames.poll_recv(cx)) else {
            this.frames = None;
            return Poll::Ready(Some(Err(BodyError("its worker is gone".to_owned()))));
        };
        if last {
            this.frames = None;
        }
        let taken = frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len) as u64;
        if let Some(left) = this.hint.exact() {
            this.hint.set_exact(left.saturating_sub(taken));
        }
        // An end without a frame is an empty frame with nothing after it.
        let is_end = last && matches!(&frame, Ok(frame) if frame.data_ref().is_some_and(Bytes::is_empty));
        Poll::Ready((!is_end).then_some(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{Full, StreamBody};

    fn frames(
        items: Vec<Result<Frame<Bytes>, &'static str>>,
    ) -> impl HttpBody<Data = Bytes, Error = &'static str> {
        StreamBody::new(futures::stream::iter(items))
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_is_read_here_comes_out_there() {
        let trailers = http::HeaderMap::from_iter([(http::header::AGE, "1".parse().expect("a value"))]);
        let items =
            vec![Ok(Frame::data("one".into())), Ok(Frame::data("two".into())), Ok(Frame::trailers(trailers))];
        let (body, pump) = bridge(frames(items));
        let (collected, ()) = tokio::join!(body.collect(), pump);
        let collected = collected.expect("a body");
        assert_eq!(collected.trailers().map(http::HeaderMap::len), Some(1));
        assert_eq!(collected.to_bytes(), "onetwo");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_length_is_known_and_counts_down() {
        let (mut body, pump) = bridge(Full::new(Bytes::from_static(b"hello")));
        assert_eq!(body.size_hint().exact(), Some(5));
        let (frame, ()) = tokio::join!(body.frame(), pump);
        assert_eq!(frame.expect("a frame").expect("data").into_data().expect("data"), "hello");
        assert!(body.is_end_stream() && body.size_hint().exact() == Some(0));
        assert!(Body::whole("x".into()).collect().await.expect("a body").to_bytes() == "x");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_breaks_off_has_no_end() {
        let (body, pump) = bridge(frames(vec![Ok(Frame::data("one".into())), Err("gone")]));
        let (collected, ()) = tokio::join!(body.collect(), pump);
        assert_eq!(collected.expect_err("an error").to_string(), "the body broke off: gone");
        let (body, pump) = bridge(frames(vec![Ok(Frame::data("one".into()))]));
        drop(pump);
        assert!(body.collect().await.is_err(), "whoever read it is gone");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn nothing_is_read_ahead_of_a_place_nor_for_nobody() {
        let taken = std::cell::Cell::new(0);
        let endless = futures::stream::repeat_with(|| {
            taken.set(taken.get() + 1);
            Ok::<_, &str>(Frame::data(Bytes::from_static(b"x")))
        });
        let (body, pump) = bridge(StreamBody::new(endless));
        let mut pump = Box::pin(pump);
        assert!(futures::poll!(&mut pump).is_pending());
        assert_eq!(taken.get(), QUEUE);
        drop(body);
        pump.await;
        assert_eq!(taken.get(), QUEUE);
    }
}
