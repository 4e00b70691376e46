//! What is inside an instance, in the form of its segment.
//!
//! There is one way of a request through the engine: hop, pool, instance, exchange. What guests are made of, how they are
//! called and whose event loop runs them is behind [`Inside`], and differs by form. An instance needs of it:
//!
//! - **to be made**, with a [`Pulse`] through which the instance learns, without asking the inside, what the guests keep
//!   (`Pulse::most_kept`), whether they compute, wait or are worn, and what they did beyond their store;
//! - **to live** ([`Inside::live`]): it makes the guests and runs their event loop around [`Instance::serve`], which takes
//!   requests in turn;
//! - **calls** ([`Calls`](super::calls::Calls)): one request in, its response out, or a trap; and whether guests have
//!   anything left to do;
//! - **to end**: it is dropped, after the instance has told everybody.
//!
//! A form is a variant here, with a file beside this one; hops, pools and exchanges do not know which it is. The choice is
//! made once for an instance, by its segment: calls are generic, so that a request pays nothing for there being several.

use super::component::Component;
use super::direct::Direct;
use super::{End, Instance};
use crate::chain::Segment;
use crate::host::Pulse;
use std::rc::Rc;
use std::sync::Arc;

/// The inside of an instance.
pub(super) enum Inside {
    /// A component instance in a store of its own.
    Component(Component),
    /// Core modules, in a store of their own.
    Direct(Direct),
}

impl Inside {
    /// The inside of an instance of `segment`, without guests yet, which tells `pulse` how it is.
    pub fn new(segment: &Segment, pulse: Arc<Pulse>) -> Self {
        match segment.form.direct() {
            Some(chain) => Self::Direct(Direct::new(segment, chain, pulse)),
            None => Self::Component(Component::new(segment, pulse)),
        }
    }

    /// Makes the guests, and has `instance` serve until there is nothing left to do.
    pub async fn live(&mut self, instance: &Rc<Instance>) -> End {
        match self {
            Self::Component(component) => component.live(instance).await,
            Self::Direct(direct) => direct.live(instance).await,
        }
    }
}
