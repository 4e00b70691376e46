//! A copy of a request for a second pipeline, whose response is dropped.
//!
//! The copy must change nothing for the client. Its body follows the original's frame by frame through a queue of
//! [`QUEUE`] frames; a mirror that falls behind gets an error in place of the rest, and does not slow down the
//! original. At most [`MIRRORS`] copies run at once on a worker; further requests are not copied.

use crate::engine::{ChainRequest, Onward, RequestBody, Worker};
use crate::host::RequestOrigin;
use crate::plan::Name;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc;
use wasmtime_wasi_http::Error;

/// The most frames of a body that a mirror may be behind.
const QUEUE: usize = 16;

/// The most mirrored requests at once on one worker.
const MIRRORS: usize = 256;

/// Sends a copy of `request` to the pipeline `name`, which begins at `first`, in the background. The original's body
/// feeds the copy's.
pub fn mirror(worker: &Rc<Worker>, name: &Name, first: &Onward, request: &mut ChainRequest) {
    let Some(slot) = Slot::take() else { return };
    let (body, copied) = tee(std::mem::replace(&mut request.body, RequestBody::empty()));
    request.body = body;
    let mut copy = request.with_body(copied);
    // The result of the copy does not concern the original, nor does its trace.
    copy.origin = RequestOrigin::new(request.origin.id, request.origin.extensions.clone());
    copy.span = None;
    let (worker, name, first) = (Rc::clone(worker), name.clone(), first.clone());
    tokio::task::spawn_local(async move {
        let _slot = slot;
        match first.handle(&worker, copy).await {
            // The body is read to its end, as a client would.
            Ok(response) => {
                let mut body = response.into_body();
                while let Some(Ok(_)) = body.frame().await {}
            }
            Err(failure) => {
                tracing::debug!(pipeline = %name, reason = %failure, "a mirrored request failed");
            }
        }
    });
}

thread_local! {
    static RUNNING: Cell<usize> = const { Cell::new(0) };
}

/// One of [`MIRRORS`], given back however the copy ends.
struct Slot;

impl Slot {
    fn take() -> Option<Self> {
        let running = RUNNING.get();
        (running < MIRRORS).then(|| {
            RUNNING.set(running + 1);
            Self
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Not with `get`: at the thread's end, the counter may be gone.
        let _ = RUNNING.try_with(|running| running.set(running.get() - 1));
    }
}

/// A body and its copy.
fn tee(body: RequestBody) -> (RequestBody, RequestBody) {
    if body.is_end_stream() {
        return (body, RequestBody::empty());
    }
    let (copy, copied) = mpsc::channel(QUEUE);
    let original = Original { body, copy: Some(copy) };
    let copied = Copied { frames: copied, complete: false };
    (RequestBody::passed_on(original.boxed_unsync()), RequestBody::passed_on(copied.boxed_unsync()))
}

/// What the copy gets from the original.
enum Event {
    Data(Bytes),
    Trailers(http::HeaderMap),
    End,
}

struct Original {
    body: RequestBody,
    copy: Option<mpsc::Sender<Event>>,
}

impl Original {
    fn tell(&mut self, event: Event) {
        if self.copy.as_ref().is_some_and(|copy| copy.try_send(event).is_err()) {
            self.copy = None;
        }
    }
}

impl Body for Original {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.tell(Event::Data(data.clone()));
                } else if let Some(trailers) = frame.trailers_ref() {
                    self.tell(Event::Trailers(trailers.clone()));
                }
                if self.body.is_end_stream() {
                    self.tell(Event::End);
                }
            }
            Some(Err(_)) => self.copy = None,
            None => self.tell(Event::End),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

struct Copied {
    frames: mpsc::Receiver<Event>,
    complete: bool,
}

impl Body for Copied {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.complete {
            return Poll::Ready(None);
        }
        let event = ready!(self.frames.poll_recv(cx));
        self.complete = !matches!(event, Some(Event::Data(_)));
        Poll::Ready(match event {
            Some(Event::Data(data)) => Some(Ok(Frame::data(data))),
            Some(Event::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Some(Event::End) => None,
            // The original broke off, or the copy fell behind.
            None => Some(Err(Error::ConnectionTerminated)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;

    fn body(text: &'static str) -> RequestBody {
        let body = Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {});
        RequestBody::passed_on(body.boxed_unsync())
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_copy_is_the_same() {
        let (original, copy) = tee(body("hello"));
        assert_eq!(original.collect().await.expect("a body").to_bytes(), "hello");
        assert_eq!(copy.collect().await.expect("a body").to_bytes(), "hello");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_slot_is_given_back_by_a_task_that_panics() {
        let local = tokio::task::LocalSet::new();
        let before = RUNNING.get();
        let task = local.spawn_local(async {
            let _slot = Slot::take().expect("a slot");
            panic!("as asked");
        });
        assert!(local.run_until(task).await.is_err());
        assert_eq!(RUNNING.get(), before);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_copy_of_what_broke_off_is_no_whole() {
        let (original, copy) = tee(body("hello"));
        drop(original);
        assert!(copy.collect().await.is_err());
    }
}
