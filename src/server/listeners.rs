//! The listeners of `serve`: those of the first configuration, and what reloads change about them.

use super::Error;
use super::desk::TakenOver;
use crate::config::{Diagnostics, Fixed};
use crate::gateway::Live;
use crate::gateway::control::Prepare;
use crate::net::{
    Duplicate, Endpoint, EndpointChange, Listening, ProxyProtocol, ProxyVersion, Sources, TlsSource, Trigger,
    activation, changes, handover,
};
use crate::plan::policy::{self, ProxyPlan};
use crate::plan::{Listener, Plan};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// A listener of the plan: its address, and its number among listeners with the same address (port 0 can occur more
/// than once).
type Key = (SocketAddr, usize);

/// A listener that serves.
struct Open {
    name: Arc<str>,
    tls: bool,
    redirect: Option<u16>,
    proxy: Option<ProxyPlan>,
}

/// All workers' listeners.
pub(super) struct Front {
    live: Arc<Live>,
    workers: usize,
    senders: Vec<mpsc::Sender<EndpointChange>>,
    receivers: Vec<Option<mpsc::Receiver<EndpointChange>>>,
    sources: Sources,
    /// The settings that a reload can't change.
    fixed: Fixed,
    open: HashMap<Key, Open>,
}

impl Front {
    /// Asks an earlier process, and the program that started this one, for sockets.
    pub(super) fn new(plan: &Plan, live: Arc<Live>) -> Result<Self, Error> {
        let refused = |error| Error::system(format!("cannot take over listening sockets: {error}"));
        let received = match &plan.gateway.handover {
            Some(path) => handover::receive(path).map_err(refused)?,
            None => None,
        };
        let inherited = activation::inherited().map_err(refused)?;
        let workers = plan.workers.get();
        let (senders, receivers) = (0..workers).map(|_| changes()).unzip();
        let receivers: Vec<mpsc::Receiver<EndpointChange>> = receivers;
        Ok(Self {
            live,
            workers,
            senders,
            receivers: receivers.into_iter().map(Some).collect(),
            sources: Sources { received, inherited },
            fixed: plan.fixed.clone(),
            open: HashMap::new(),
        })
    }

    /// The queue of the worker with this number; each queue is taken once.
    pub(super) fn changes(&mut self, worker: usize) -> mpsc::Receiver<EndpointChange> {
        self.receivers.get_mut(worker).and_then(Option::take).unwrap_or_else(|| changes().1)
    }

    /// Binds everything before anything is served, so that an address in use is an error at the start. One list for
    /// each worker.
    pub(super) fn listen(&mut self, plan: &Plan) -> Result<Vec<Vec<Endpoint>>, Error> {
        let mut endpoints: Vec<Vec<Endpoint>> = (0..self.workers).map(|_| Vec::new()).collect();
        for (key, listener) in keyed(&plan.listeners) {
            let listening = self.sources.listen(listener.address, self.workers).map_err(Error::system)?;
            for (worker, more) in endpoints.iter_mut().zip(self.endpoints(key, listener, listening)) {
                worker.extend(more);
            }
        }
        self.sources.inherited.keep();
        for (name, address) in self.sources.inherited.left() {
            tracing::warn!(name, %address, "an inherited listening socket is not used");
        }
        Ok(endpoints)
    }

    fn endpoints(&mut self, key: Key, listener: &Listener, listening: Listening) -> Vec<Vec<Endpoint>> {
        let tls = listener.tls.is_some();
        let scheme = if tls { "https" } else { "http" };
        let Listening { address, sockets, shared } = listening;
        tracing::info!(%address, scheme, workers = self.workers, "listening");
        let name: Arc<str> = address.to_string().into();
        let redirect = listener.redirect;
        self.open.insert(key, Open { name: Arc::clone(&name), tls, redirect, proxy: listener.proxy });
        let source = tls.then(|| self.tls_source(listener.address)).flatten();
        let proxy = listener.proxy.map(|plan| self.proxy_protocol(plan));
        let endpoint = |socket| Endpoint {
            name: Arc::clone(&name),
            socket,
            tls: source.clone(),
            redirect,
            proxy: proxy.clone(),
            shared: shared.clone(),
        };
        sockets.into_iter().map(|sockets| sockets.into_iter().map(endpoint).collect()).collect()
    }

    /// The proxies that the live generation trusts.
    fn proxy_protocol(&self, plan: ProxyPlan) -> ProxyProtocol {
        let live = Arc::clone(&self.live);
        let version = match plan.version {
            policy::ProxyVersion::Binary => ProxyVersion::Binary,
            policy::ProxyVersion::Text => ProxyVersion::Text,
        };
        let trusted = Arc::new(move |address| live.load().plan.http.trusts(address));
        ProxyProtocol { version, timeout: plan.timeout, trusted }
    }

    /// The TLS settings of the live generation at each handshake; the last known ones for connections that were
    /// accepted just before a listener was removed.
    fn tls_source(&self, address: SocketAddr) -> Option<TlsSource> {
        let live = Arc::clone(&self.live);
        let first = live.load().tls(&address)?;
        Some(TlsSource::new(move || live.load().tls(&address).unwrap_or_else(|| Arc::clone(&first))))
    }

    /// Tells the process that is taken over, if there is one, that this one serves, and offers the sockets to the next
    /// process.
    pub(super) fn take_over_and_offer(
        &mut self,
        plan: &Plan,
        trigger: &Trigger,
        taken_over: TakenOver,
    ) -> Result<Option<handover::Offer>, Error> {
        if let Some(received) = self.sources.received.take() {
            let unused: Vec<_> = received.left().collect();
            if !unused.is_empty() {
                tracing::warn!(?unused, "listening sockets of the earlier process are not used any more");
            }
            match received.serving() {
                Ok(()) => tracing::info!("took over from an earlier process"),
                // This process serves already, and the other one will notice in time.
                Err(error) => tracing::warn!(%error, "the earlier process did not confirm the takeover"),
            }
        }
        let Some(path) = &plan.gateway.handover else { return Ok(None) };
        let (senders, trigger) = (self.senders.clone(), trigger.clone());
        let sockets = move || all_sockets(&senders);
        let offer = handover::offer(path, sockets, move || {
            taken_over.set();
            trigger.drain();
        });
        offer.map(Some).map_err(|error| Error::system(format!("cannot offer the sockets: {error}")))
    }

    /// What a reload does with the listeners.
    pub(super) fn into_prepare(mut self) -> Prepare {
        Box::new(move |plan, diagnostics| self.prepare(plan, diagnostics))
    }

    fn prepare(&mut self, plan: &Plan, diagnostics: &mut Diagnostics) -> Option<Box<dyn FnOnce() + Send>> {
        let changed = self.fixed.changed(&plan.fixed);
        if !changed.is_empty() {
            tracing::warn!(?changed, "these changes need a restart; the old values stay in effect");
        }
        let wanted: HashMap<Key, &Listener> = keyed(&plan.listeners).collect();
        let mut new = Vec::new();
        for (key, listener) in &wanted {
            let is_same = |open: &Open| {
                let as_it_was = (open.tls, open.redirect, open.proxy);
                as_it_was == (listener.tls.is_some(), listener.redirect, listener.proxy)
            };
            let same = self.open.get(key).is_some_and(is_same);
            if same {
                continue;
            }
            match self.sources.listen(listener.address, self.workers) {
                Ok(listening) => new.push((*key, (*listener).clone(), listening)),
                Err(error) => {
                    diagnostics
                        .error(listener.span, format!("cannot listen on {}", listener.address))
                        .label(error.to_string())
                        .help("choose another address, or stop what uses it");
                }
            }
        }
        if diagnostics.has_errors() {
            self.sources.inherited.give_back();
            return None;
        }
        self.sources.inherited.keep();
        let gone: Vec<Key> = self.open.keys().filter(|key| !wanted.contains_key(key)).copied().collect();
        let removed: Vec<_> = gone.iter().filter_map(|key| self.open.remove(key)).collect();
        let added: Vec<Vec<Vec<Endpoint>>> = new
            .into_iter()
            .map(|(key, listener, listening)| self.endpoints(key, &listener, listening))
            .collect();
        let senders = self.senders.clone();
        Some(Box::new(move || change(&senders, added, &removed)))
    }
}

fn keyed(listeners: &[Listener]) -> impl Iterator<Item = (Key, &Listener)> {
    listeners.iter().enumerate().map(|(at, listener)| {
        let earlier = listeners[..at].iter().filter(|other| other.address == listener.address).count();
        ((listener.address, earlier), listener)
    })
}

/// Tells the workers, and waits until they are done. A change that a worker can't make is logged: the generation is
/// live already.
fn change(senders: &[mpsc::Sender<EndpointChange>], added: Vec<Vec<Vec<Endpoint>>>, removed: &[Open]) {
    let mut answers = Vec::new();
    for listener in added {
        for (sender, endpoints) in senders.iter().zip(listener) {
            let (done, answer) = oneshot::channel();
            // Replaces earlier listeners of the name, if there are any.
            if sender.blocking_send(EndpointChange::Replace(endpoints, done)).is_ok() {
                answers.push(answer);
            }
        }
    }
    for open in removed {
        tracing::info!(address = &*open.name, "stopped listening");
        for sender in senders {
            let (done, answer) = oneshot::channel();
            if sender.blocking_send(EndpointChange::Remove(Arc::clone(&open.name), done)).is_ok() {
                answers.push(answer);
            }
        }
    }
    for answer in answers {
        if let Ok(Err(error)) = answer.blocking_recv() {
            tracing::error!(%error, "a worker could not change its listeners");
        }
    }
}

/// Duplicates of the sockets of all workers.
fn all_sockets(senders: &[mpsc::Sender<EndpointChange>]) -> io::Result<Vec<Duplicate>> {
    let gone = || io::Error::other("a worker is gone");
    let mut sockets = Vec::new();
    for sender in senders {
        let (done, answer) = oneshot::channel();
        sender.blocking_send(EndpointChange::Sockets(done)).map_err(|_| gone())?;
        sockets.extend(answer.blocking_recv().map_err(|_| gone())??);
    }
    Ok(sockets)
}
