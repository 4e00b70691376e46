//! What becomes of a body: whoever made a message may ask for it.

use super::abi::Code;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use wasmtime_wasi_http::Error;

/// The sending of a body, whose end the host learns.
type Sending = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

enum State {
    /// Who asked is woken.
    Waits(Option<Waker>),
    Told(Result<(), Code>),
    Sending(Sending),
}

/// Who asks.
pub struct Receipt(Arc<Mutex<State>>);

/// Who tells. If it goes without a word, the body was received.
pub struct Teller(Arc<Mutex<State>>);

/// A receipt, and who tells it.
pub fn receipt() -> (Teller, Receipt) {
    let state = Arc::new(Mutex::new(State::Waits(None)));
    (Teller(Arc::clone(&state)), Receipt(state))
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Receipt {
    /// What was told, once. As long as that is open, `asker` is woken when it is not.
    pub fn take(&self, asker: &Waker) -> Option<Result<(), Code>> {
        let mut state = locked(&self.0);
        match mem::replace(&mut *state, State::Waits(None)) {
            State::Told(told) => return Some(told),
            State::Waits(_) => *state = State::Waits(Some(asker.clone())),
            State::Sending(mut sending) => match sending.as_mut().poll(&mut Context::from_waker(asker)) {
                Poll::Ready(result) => return Some(result.map_err(Code::from)),
                Poll::Pending => *state = State::Sending(sending),
            },
        }
        None
    }

    /// Bytes that it keeps.
    pub fn size(&self) -> usize {
        match &*locked(&self.0) {
            State::Told(Err(code)) => code.size(),
            _ => 0,
        }
    }
}

impl Teller {
    pub fn tell(self, told: Result<(), Code>) {
        self.change(State::Told(told));
    }

    /// What is known is another thing now, of which who asked learns.
    fn change(&self, to: State) {
        if let State::Waits(Some(asker)) = mem::replace(&mut *locked(&self.0), to) {
            asker.wake();
        }
    }

    /// The body is sent now, which tells unless this does first.
    pub fn on_sending(&self, sending: impl Future<Output = Result<(), Error>> + Send + 'static) {
        self.change(State::Sending(Box::pin(sending)));
    }

    /// Whether somebody may ask.
    pub fn is_heard(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        if matches!(*locked(&self.0), State::Waits(_)) {
            self.change(State::Told(Ok(())));
        }
    }
}
