//! Looking at a future without waiting for it.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// What `future` gives at once; `None` if it has to wait, and then goes on waiting until it is awaited or dropped.
///
/// A stage that passes a body on learns by that when the body pauses.
pub async fn at_once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|context| {
        Poll::Ready(match future.as_mut().poll(context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use std::pin::pin;
    use std::task::{Context, Waker};

    #[test]
    fn it_never_waits() {
        let mut context = Context::from_waker(Waker::noop());
        let mut waiting = pin!(pending::<u8>());
        let mut look = pin!(at_once(waiting.as_mut()));
        assert_eq!(look.as_mut().poll(&mut context), Poll::Ready(None));
        let mut done = pin!(ready(1));
        let mut look = pin!(at_once(done.as_mut()));
        assert_eq!(look.as_mut().poll(&mut context), Poll::Ready(Some(1)));
    }
}
