//! Traces that an operator asks for: of the next request that matches, whatever the sample says.
//!
//! A [`Watch`] is prepared, then armed, and taken by the first request that it wants; when that is over, its trace waits to be
//! fetched. Such a trace has what others don't: the heads that each stage got and gave, and the stages' log lines.
//!
//! Bounds: [`MOST`] at once, each for at most [`LONGEST`], its trace included. While none is armed, a request pays one load of a
//! number that never changes.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::Method;

use super::id::{SpanId, TraceId};
use super::recent::KeptTrace;

/// The most watches at once.
pub const MOST: usize = 8;

/// The longest time of a watch.
pub const LONGEST: Duration = Duration::from_secs(300);

/// Which request is meant: all that is given holds for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The trace that it came with.
    pub trace: Option<TraceId>,
    /// Its method.
    pub method: Option<Method>,
    /// Its host, without the port, in lower case.
    pub host: Option<String>,
    /// The beginning of its path.
    pub path: Option<String>,
}

/// What is known of a request when its trace begins.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its host, without the port.
    pub host: &'a str,
    /// Its path.
    pub path: &'a str,
}

impl fmt::Display for Wanted {
    /// All that is given, as `name=value`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace, method, host, path } = self;
        let given = [
            ("trace-id", trace.as_ref().map(ToString::to_string)),
            ("method", method.as_ref().map(ToString::to_string)),
            ("host", host.clone()),
            ("path", path.clone()),
        ];
        let mut separator = "";
        for (name, value) in given {
            if let Some(value) = value {
                write!(f, "{separator}{name}={value}")?;
                separator = " ";
            }
        }
        Ok(())
    }
}

impl Wanted {
    fn wants(&self, asked: &Asked<'_>, trace: Option<TraceId>) -> bool {
        self.trace.is_none_or(|wanted| trace == Some(wanted))
            && self.method.as_ref().is_none_or(|wanted| wanted == asked.method)
            && self.host.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(asked.host))
            && self.path.as_deref().is_none_or(|wanted| asked.path.starts_with(wanted))
    }
}

/// What a trace shows that others do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Show {
    /// Secrets in heads.
    pub secrets: bool,
    /// Bodies, in which there may be secrets.
    pub bodies: bool,
}

/// How the trace of a watched request is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forced {
    /// The watch that took the request.
    pub(super) watch: SpanId,
    /// What is shown of it.
    pub(super) show: Show,
}

/// What became of a watch.
#[derive(Clone, Debug)]
pub enum WatchState {
    /// No request is taken yet: the ways of observed requests are being made.
    Preparing,
    /// The next request that matches is taken.
    Armed,
    /// A request was taken, and is not over.
    Taken,
    /// The trace of the request.
    Done(Arc<KeptTrace>),
}

/// Traces that somebody asked for.
#[derive(Default)]
pub struct Watches {
    armed: AtomicUsize,
    watches: Mutex<Vec<Watch>>,
}

struct Watch {
    /// Its name: random, so that nobody else finds it.
    id: SpanId,
    wanted: Wanted,
    show: Show,
    until: Instant,
    state: WatchState,
}

impl Watches {
    /// Adds a watch for one request, which is [prepared](WatchState::Preparing) until it is armed. `None` if there are
    /// [`MOST`].
    pub fn add(&self, wanted: Wanted, show: Show, time: Duration) -> Option<SpanId> {
        let mut watches = self.lock();
        if watches.len() >= MOST {
            return None;
        }
        let id = SpanId::random();
        let until = Instant::now() + time.min(LONGEST);
        watches.push(Watch { id, wanted, show, until, state: WatchState::Preparing });
        Some(id)
    }

    /// What is wanted by those that are not armed yet.
    pub fn preparing(&self) -> Vec<(SpanId, Wanted)> {
        let watches = self.lock();
        let preparing = watches.iter().filter(|watch| matches!(watch.state, WatchState::Preparing));
        preparing.map(|watch| (watch.id, watch.wanted.clone())).collect()
    }

    /// Has the watch take the next request that matches.
    pub fn arm(&self, id: SpanId) {
        let mut watches = self.lock();
        let found = watches.iter_mut().find(|watch| watch.id == id);
        if let Some(watch) = found.filter(|watch| matches!(watch.state, WatchState::Preparing)) {
            watch.state = WatchState::Armed;
        }
        self.count(&watches);
    }

    /// What became of the watch with these digits, if it is not over; a trace is given out once.
    pub fn look(&self, id: &str) -> Option<WatchState> {
        let id = SpanId::parse(id.as_bytes())?;
        let mut watches = self.lock();
        let at = watches.iter().position(|watch| watch.id == id)?;
        match &watches[at].state {
            WatchState::Done(_) => Some(watches.swap_remove(at).state),
            other => Some(other.clone()),
        }
    }

    /// How a request is recorded that came with `trace`, if a watch takes it.
    pub(super) fn take(&self, asked: &Asked<'_>, trace: Option<TraceId>) -> Option<Forced> {
        if self.armed.load(Relaxed) == 0 {
            return None;
        }
        let mut watches = self.lock();
        let is_armed = |watch: &&mut Watch| matches!(watch.state, WatchState::Armed);
        let taken = watches.iter_mut().filter(is_armed).find(|watch| watch.wanted.wants(asked, trace));
        let taken = taken.map(|watch| {
            watch.state = WatchState::Taken;
            Forced { watch: watch.id, show: watch.show }
        });
        self.count(&watches);
        taken
    }

    /// The request of a watch is over.
    pub(super) fn done(&self, id: SpanId, trace: Arc<KeptTrace>) {
        if let Some(watch) = self.lock().iter_mut().find(|watch| watch.id == id) {
            watch.state = WatchState::Done(trace);
        }
    }

    fn count(&self, watches: &[Watch]) {
        let armed = watches.iter().filter(|watch| matches!(watch.state, WatchState::Armed)).count();
        self.armed.store(armed, Relaxed);
    }

    /// Those whose time is not over.
    fn lock(&self) -> MutexGuard<'_, Vec<Watch>> {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        watches.retain(|watch| watch.until > now);
        watches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: Asked<'static> = Asked { method: &Method::GET, host: "a.example", path: "/api/x" };

    const SECRETS: Show = Show { secrets: true, bodies: false };

    fn armed(wanted: Wanted) -> (Watches, SpanId) {
        let watches = Watches::default();
        let id = watches.add(wanted, SECRETS, LONGEST).unwrap();
        assert!(watches.take(&GET, None).is_none(), "it is not armed");
        assert_eq!(watches.preparing().len(), 1);
        watches.arm(id);
        assert!(watches.preparing().is_empty());
        (watches, id)
    }

    #[test]
    fn all_that_is_given_must_hold() {
        let trace = TraceId::random();
        let text = |text: &str| Some(text.to_owned());
        for (wanted, with, takes) in [
            (Wanted::default(), None, true),
            (Wanted { method: Some(Method::GET), ..Wanted::default() }, None, true),
            (Wanted { method: Some(Method::POST), ..Wanted::default() }, None, false),
            (Wanted { host: text("A.example"), path: text("/api/"), ..Wanted::default() }, None, true),
            (Wanted { host: text("b.example"), path: text("/api/"), ..Wanted::default() }, None, false),
            (Wanted { path: text("/apis"), ..Wanted::default() }, None, false),
            (Wanted { trace: Some(trace), ..Wanted::default() }, Some(trace), true),
            (Wanted { trace: Some(trace), ..Wanted::default() }, Some(TraceId::random()), false),
            (Wanted { trace: Some(trace), ..Wanted::default() }, None, false),
        ] {
            let (watches, id) = armed(wanted.clone());
            let taken = watches.take(&GET, with);
            assert_eq!(taken, takes.then_some(Forced { watch: id, show: SECRETS }), "{wanted:?}");
            assert!(watches.take(&GET, with).is_none(), "one request");
        }
    }

    #[test]
    fn what_is_wanted_can_be_read() {
        let wanted = Wanted { method: Some(Method::GET), path: Some("/a".to_owned()), ..Wanted::default() };
        assert_eq!(
            (wanted.to_string().as_str(), Wanted::default().to_string().as_str()),
            ("method=GET path=/a", "")
        );
    }

    #[test]
    fn watches_are_bounded_and_come_to_an_end() {
        let watches = Watches::default();
        let short = watches.add(Wanted::default(), Show::default(), Duration::from_millis(20)).unwrap();
        watches.arm(short);
        let others: Vec<_> =
            (1..MOST).filter_map(|_| watches.add(Wanted::default(), Show::default(), LONGEST)).collect();
        assert_eq!(others.len(), MOST - 1);
        assert!(watches.add(Wanted::default(), Show::default(), LONGEST).is_none());
        std::thread::sleep(Duration::from_millis(30));
        assert!(watches.take(&GET, None).is_none() && watches.look(&short.to_string()).is_none());
        assert_eq!(watches.armed.load(Relaxed), 0);
        assert!(watches.add(Wanted::default(), Show::default(), LONGEST).is_some());
        for wrong in ["", "zz", "0000000000000000", "ffffffffffffffff"] {
            assert!(watches.look(wrong).is_none(), "{wrong}");
        }
    }
}
