//! The answer of a call that enters, if it is out before the call is over.

use super::message::Reply;
use std::sync::{Mutex, PoisonError};

/// Where it lies until whoever called takes it, who has not the store meanwhile.
#[derive(Default)]
pub struct Early(Mutex<Option<Reply>>);

impl Early {
    pub fn put(&self, reply: Reply) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reply);
    }

    pub fn take(&self) -> Option<Reply> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
