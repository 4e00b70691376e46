//! A worker's listeners: those it starts with, and those that come and go while it serves.
//!
//! Promised: a change touches only the listeners that it names. A listener that is added accepts before its change is
//! answered; one that is removed ends as a stop does (`net::shutdown`), with its own `shutdown-timeout`, while the
//! others continue. A change that can't be made is answered with the reason, and has changed nothing. At most
//! [`CHANGES`] changes wait.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};

use super::accept::{self, Cut};
use super::shared::{Duplicate, Shared};
use crate::config::keys::GatewayLimits;
use crate::net::BoxError;
use crate::net::capacity::Capacity;
use crate::net::conn::proxy_protocol::ProxyProtocol;
use crate::net::conn::{ConnInfo, ListenerState, Rejected, ServeContext};
use crate::net::limit_log::LimitLog;
use crate::net::shutdown::{self, Shutdown, Trigger};
use crate::net::tls::TlsSource;

/// The most changes that may wait for one worker, which makes each as soon as it looks.
pub const CHANGES: usize = 16;

/// A listening socket of one worker, and the protocol on it.
#[derive(Debug)]
pub struct Endpoint {
    /// The listener's name, as [`ConnInfo`] and the log give it. Several endpoints of a worker may have the same.
    pub name: Arc<str>,
    /// One of the sockets that [`Sources`](super::sockets::Sources) or [`bind`](super::sockets::bind) gave.
    pub socket: TcpListener,
    /// TLS; plain HTTP/1.1 without.
    pub tls: Option<TlsSource>,
    /// The port of https to which its requests are redirected, as [`ConnInfo`] gives it.
    pub redirect: Option<u16>,
    /// The header with which each connection begins, if connections have one.
    pub proxy: Option<ProxyProtocol>,
    /// Whether another process holds this very socket as well.
    pub shared: Shared,
}

/// The answer to a change.
pub type Done = oneshot::Sender<Result<(), ChangeError>>;

/// What a worker can be asked while it serves.
#[derive(Debug)]
pub enum EndpointChange {
    /// Accepts from one more socket. The answer comes when the worker accepts from it.
    Add(Endpoint, Done),
    /// Stops accepting from the sockets of this name, and drains their connections. Answered when the sockets are
    /// closed, which takes [`accept::LAST_CALL`]; connections may go on until `shutdown-timeout`.
    Remove(Arc<str>, Done),
    /// Adds all of these endpoints, then removes earlier ones with one of their names: the address is accepted from at
    /// every moment. The answer comes when the worker accepts from the new ones.
    Replace(Vec<Endpoint>, Done),
    /// Duplicates of all sockets that are accepted from, for another process to take over: for
    /// [`super::handover::offer`].
    Sockets(oneshot::Sender<io::Result<Vec<Duplicate>>>),
}

/// Why a worker's listeners stay as they are.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each message says what its variant means")]
pub enum ChangeError {
    #[error("cannot serve listener {name}: {source}")]
    Socket { name: Arc<str>, source: io::Error },
    #[error("there is no listener {0}")]
    Unknown(Arc<str>),
    #[error("a stop has begun; no listener can be added")]
    Stopping,
}

/// The queue of one worker's changes.
pub fn changes() -> (mpsc::Sender<EndpointChange>, mpsc::Receiver<EndpointChange>) {
    mpsc::channel(CHANGES)
}

/// Serves this worker's endpoints, with the changes from `changes`, until `shutdown` says stop; then ends as
/// `net::shutdown` describes and returns what it cut, of removed listeners as well. A worker without endpoints waits
/// for one. If nobody holds the other end of `changes`, the endpoints stay as they are.
///
/// Must run inside a `LocalSet` on a `current_thread` runtime. `service` is called once per request, on this thread;
/// its future is dropped when the client goes away, and the response's body too. `rejected` is told of requests that
/// HTTP's own rules refuse before they reach the service.
///
/// # Errors
/// If one of `endpoints` can't be registered with the runtime. Nothing has been served then.
pub async fn serve_worker<F, Fut, B>(
    endpoints: Vec<Endpoint>,
    mut changes: mpsc::Receiver<EndpointChange>,
    limits: GatewayLimits,
    capacity: Capacity,
    service: F,
    rejected: Rejected,
    shutdown: Shutdown,
) -> io::Result<Cut>
where
    F: Fn(http::Request<Incoming>, &Rc<ConnInfo>) -> Fut + 'static,
    Fut: Future<Output = http::Response<B>> + 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    let worker = Rc::new(ServeContext { limits, capacity, service, rejected });
    let mut listeners = Listeners { worker, open: Vec::new(), loops: JoinSet::new(), stopping: false };
    for ready in register(endpoints).map_err(|(_, source)| source)? {
        listeners.start(ready);
    }
    let (mut draining, mut cutting) = (shutdown.clone(), shutdown);
    let (mut cut, mut may_change, mut cut_all) = (Cut::default(), true, false);
    while !(listeners.stopping && listeners.loops.is_empty()) {
        tokio::select! {
            biased;
            () = draining.draining(), if !listeners.stopping => listeners.stop(),
            () = cutting.cutting(), if !cut_all => {
                cut_all = true;
                listeners.open.iter().for_each(|one| one.trigger.cut());
            }
            Some(ended) = listeners.loops.join_next() => cut += listeners.ended(ended),
            change = changes.recv(), if may_change => match change {
                Some(change) => listeners.change(change),
                None => may_change = false,
            },
        }
    }
    Ok(cut)
}

/// A listener that is served, or that drains.
struct Open {
    name: Arc<str>,
    /// Gone once the accept loop has closed it.
    socket: Weak<tokio::net::TcpListener>,
    /// Stops this listener only.
    trigger: Trigger,
    shared: Shared,
    /// Ends when the socket is closed. `None` once it has been asked to stop.
    closed: Option<oneshot::Receiver<()>>,
    /// Gone once the loop has ended.
    alive: Weak<()>,
}

/// An endpoint whose socket the runtime watches.
struct Ready {
    listener: ListenerState,
    shared: Shared,
    socket: tokio::net::TcpListener,
}

fn register(endpoints: Vec<Endpoint>) -> Result<Vec<Ready>, (Arc<str>, io::Error)> {
    endpoints
        .into_iter()
        .map(|Endpoint { name, socket, tls, redirect, proxy, shared }| {
            let registered =
                socket.set_nonblocking(true).and_then(|()| tokio::net::TcpListener::from_std(socket));
            match registered {
                Ok(socket) => {
                    let in_flight = Rc::new(Cell::new(0));
                    let flood_log = RefCell::new(LimitLog::default());
                    let listener = ListenerState { name, tls, redirect, proxy, in_flight, flood_log };
                    Ok(Ready { listener, shared, socket })
                }
                Err(source) => Err((name, source)),
            }
        })
        .collect()
}

struct Listeners<F> {
    worker: Rc<ServeContext<F>>,
    open: Vec<Open>,
    loops: JoinSet<Cut>,
    /// All endpoints are to end, and no further one comes.
    stopping: bool,
}

impl<F, Fut, B> Listeners<F>
where
    F: Fn(http::Request<Incoming>, &Rc<ConnInfo>) -> Fut + 'static,
    Fut: Future<Output = http::Response<B>> + 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    fn start(&mut self, Ready { listener, shared, socket }: Ready) {
        let (trigger, shutdown) = shutdown::channel();
        let (closing, closed) = oneshot::channel();
        let (socket, alive) = (Rc::new(socket), Rc::new(()));
        self.open.push(Open {
            name: Arc::clone(&listener.name),
            socket: Rc::downgrade(&socket),
            trigger,
            shared: shared.clone(),
            closed: Some(closed),
            alive: Rc::downgrade(&alive),
        });
        let task =
            accept::serve(Rc::new(listener), shared, socket, closing, Rc::clone(&self.worker), shutdown);
        self.loops.spawn_local(async move {
            let cut = task.await;
            drop(alive);
            cut
        });
    }

    fn change(&mut self, change: EndpointChange) {
        // The sender may be gone; then nobody wants the answer.
        match change {
            EndpointChange::Add(endpoint, done) => drop(done.send(self.add(vec![endpoint]))),
            EndpointChange::Replace(endpoints, done) => {
                let names: Vec<_> = endpoints.iter().map(|one| Arc::clone(&one.name)).collect();
                let before = self.open.len();
                let added = self.add(endpoints);
                if added.is_ok() {
                    drop(self.drain_first(before, |name| names.contains(name)));
                }
                drop(done.send(added));
            }
            EndpointChange::Remove(name, done) => {
                let closed = self.drain_first(self.open.len(), |other| *other == name);
                if closed.is_empty() {
                    drop(done.send(Err(ChangeError::Unknown(name))));
                    return;
                }
                tokio::task::spawn_local(async move {
                    for one in closed {
                        // The loop also ends, as an error, if it panicked: the socket is closed then as well.
                        let _ = one.await;
                    }
                    drop(done.send(Ok(())));
                });
            }
            EndpointChange::Sockets(answer) => drop(answer.send(self.duplicates())),
        }
    }

    fn add(&mut self, endpoints: Vec<Endpoint>) -> Result<(), ChangeError> {
        if self.stopping {
            return Err(ChangeError::Stopping);
        }
        let ready = register(endpoints).map_err(|(name, source)| ChangeError::Socket { name, source })?;
        for one in ready {
            self.start(one);
        }
        Ok(())
    }

    /// Drains those among the first `count` listeners that `wanted` names and that don't drain yet; their sockets are
    /// closed when what is returned ends.
    fn drain_first(
        &mut self,
        count: usize,
        wanted: impl Fn(&Arc<str>) -> bool,
    ) -> Vec<oneshot::Receiver<()>> {
        let timeout = self.worker.limits.shutdown_timeout;
        let mut closed = Vec::new();
        for one in self.open.iter_mut().take(count).filter(|one| wanted(&one.name)) {
            let Some(closing) = one.closed.take() else { continue };
            closed.push(closing);
            one.trigger.drain();
            let trigger = one.trigger.clone();
            tokio::task::spawn_local(async move {
                tokio::time::sleep(timeout).await;
                trigger.cut();
            });
        }
        closed
    }

    fn stop(&mut self) {
        self.stopping = true;
        self.drain_first(self.open.len(), |_| true);
    }

    fn duplicates(&self) -> io::Result<Vec<Duplicate>> {
        let accepting = self.open.iter().filter(|one| one.closed.is_some());
        accepting
            .filter_map(|one| one.socket.upgrade().map(|socket| (socket, one.shared.clone())))
            .map(|(socket, shared)| {
                // On the thread that would close the socket: at no moment is it closed as if no other process had it.
                shared.set(true);
                let socket = socket.as_fd().try_clone_to_owned()?.into();
                Ok(Duplicate { socket, shared })
            })
            .collect()
    }

    fn ended(&mut self, ended: Result<Cut, JoinError>) -> Cut {
        self.open.retain(|one| one.alive.strong_count() > 0);
        ended.unwrap_or_else(|error| {
            // Only a defect in a neighbouring file leads here; the other listeners continue.
            tracing::error!(%error, "an accept loop ended by a panic");
            Cut::default()
        })
    }
}
