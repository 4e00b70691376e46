//! The life of an instance: its task, from the making of its inside to the end of it.

use super::form::Inside;
use super::{End, Home, Instance};
use crate::chain::Segment;
use crate::engine::clock::Clock;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll};

/// The task of an instance.
struct Task(Rc<Instance>);

impl Future for Task {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.work.poll_in_task(cx)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.work.end();
    }
}

impl Instance {
    /// Starts the task of a new instance on this thread's `LocalSet`.
    pub fn spawn(segment: &Arc<Segment>, home: Weak<dyn Home>, clock: Clock) -> Rc<Self> {
        let instance = Self::new(segment, home, clock);
        instance.work.begin(Box::pin(Rc::clone(&instance).run()));
        tokio::task::spawn_local(Task(Rc::clone(&instance)));
        instance
    }

    async fn run(self: Rc<Self>) {
        let mut inside = Inside::new(&self.segment, Arc::clone(&self.pulse));
        let end = {
            let mut life = pin!(inside.live(&self));
            std::future::poll_fn(|cx| self.poll_life(life.as_mut(), cx)).await
        };
        // The order matters: see the documentation of `instance`.
        self.state.set(self.state.get().die());
        if !matches!(end, End::Done) {
            self.pulse.break_off();
        }
        let trapped = end.is_fault();
        self.on_death(end);
        drop(inside);
        if let Some(home) = self.home.upgrade() {
            home.on_death(&self, trapped);
        }
    }
}
