//! The calls from outside that guests work on, and the numbers of what is a part of them.

use crate::host::{Behalf, CallContext, HostCall};
use std::sync::Arc;

/// The number of a call; 0 is none.
pub type OriginId = u64;

/// The number of a stage's task, which is a part of one.
pub type TaskId = u64;

/// The number of a call that a task makes and does not wait for.
pub type SubtaskId = u32;

/// A call that has no answer yet.
struct Origin {
    number: OriginId,
    /// For whom.
    behalf: Behalf,
    /// What the host knows of it.
    context: Option<Arc<CallContext>>,
}

/// The calls of a store that have no answer yet. What guests still do for one that has is nobody's.
#[derive(Default)]
pub struct Origins {
    calls: Vec<Origin>,
    named: OriginId,
    /// The one that is worked on.
    pub current: OriginId,
}

impl Origins {
    /// A call begins, on `behalf` of a request, and is worked on.
    pub fn begin(&mut self, behalf: Behalf, context: Option<Arc<CallContext>>) {
        self.named += 1;
        self.current = self.named;
        self.calls.push(Origin { number: self.named, behalf, context });
    }

    /// A call has its answer.
    pub fn end(&mut self, number: OriginId) {
        self.calls.retain(|call| call.number != number);
    }

    fn current(&self) -> Option<&Origin> {
        self.calls.iter().find(|call| call.number == self.current)
    }

    /// The request that is worked on.
    pub fn behalf(&self) -> Option<&Behalf> {
        self.current().map(|call| &call.behalf)
    }

    /// Counts a call of the host by the stage that works, if somebody looks at it.
    pub fn count(&self, call: HostCall) {
        if let Some(context) = self.current().and_then(|call| call.context.as_ref()) {
            context.count(call);
        }
    }

    /// What the host knows of the call that is worked on.
    pub fn context(&self) -> Option<Arc<CallContext>> {
        self.current().and_then(|call| call.context.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::RequestOrigin;

    #[test]
    fn a_call_is_worked_on_until_it_has_its_answer() {
        let mut origins = Origins::default();
        let request = |id| Behalf { origin: RequestOrigin::new(id, http::Extensions::default()), span: None };
        let number = |origins: &Origins| origins.behalf().map(|behalf| behalf.origin.id);
        assert_eq!(number(&origins), None);
        origins.begin(request(7), None);
        let first = origins.current;
        origins.begin(request(8), None);
        assert_eq!(number(&origins), Some(8));
        origins.current = first;
        assert_eq!(number(&origins), Some(7));
        origins.end(first);
        assert_eq!(number(&origins), None);
    }
}
