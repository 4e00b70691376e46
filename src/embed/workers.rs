//! The threads on which embedded pipelines run, and the way to them.
//!
//! Each thread has its own event loop, instances and bounded queue of calls. Nobody waits for room in the queue. A call
//! goes to the worker with the fewest calls. The threads end when no handle is left and their calls are done.

use super::body::{Body, bridge};
use crate::http::service::Service;
use crate::http::way::EmbeddedCall;
use crate::net::{ConnInfo, Protocol, TlsInfo};
use crate::server::worker::Start;
use http::{Method, Request, Response, StatusCode};
use std::cell::OnceCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use wasmtime_wasi_http::WasiBody;

/// A request on its way to a worker.
pub(super) struct Call {
    request: Request<WasiBody>,
    entry: EmbeddedCall,
    reply: oneshot::Sender<Response<Body>>,
    busy: Option<Busy>,
}

impl Call {
    pub fn new(
        request: Request<WasiBody>,
        entry: EmbeddedCall,
        reply: oneshot::Sender<Response<Body>>,
    ) -> Self {
        Self { request, entry, reply, busy: None }
    }
}

/// One of a worker's calls.
struct Busy(Arc<AtomicUsize>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Lane {
    calls: mpsc::Sender<Call>,
    /// Calls of the worker, to the ends of their responses.
    busy: Arc<AtomicUsize>,
}

/// All workers.
pub(super) struct Workers {
    lanes: Vec<Lane>,
    /// The worker that is asked first next time.
    turn: AtomicUsize,
}

impl Workers {
    /// Starts `number` threads, each with a queue of this length.
    pub fn start(number: usize, queue: usize, start: &Start) -> std::io::Result<Self> {
        let lanes = (0..number).map(|number| lane(number, queue, start)).collect::<Result<_, _>>()?;
        Ok(Self { lanes, turn: AtomicUsize::new(0) })
    }

    /// Gives a call to a worker with room, or returns it.
    pub fn send(&self, mut call: Call) -> Result<(), Box<Call>> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let number = self.lanes.len();
        let mut lanes: Vec<&Lane> = (0..number).map(|at| &self.lanes[(first + at) % number]).collect();
        lanes.sort_by_key(|lane| lane.busy.load(Ordering::Relaxed));
        for lane in lanes {
            lane.busy.fetch_add(1, Ordering::Relaxed);
            call.busy = Some(Busy(Arc::clone(&lane.busy)));
            match lane.calls.try_send(call) {
                Ok(()) => return Ok(()),
                Err(mpsc::error::TrySendError::Full(back) | mpsc::error::TrySendError::Closed(back)) => {
                    call = back;
                }
            }
        }
        Err(Box::new(call))
    }
}

fn lane(number: usize, queue: usize, start: &Start) -> std::io::Result<Lane> {
    let (sender, calls) = mpsc::channel(queue);
    // Ends when no handle is left.
    let _thread = start.thread(number, |service| async move { serve(calls, &service).await })?;
    Ok(Lane { calls: sender, busy: Arc::default() })
}

async fn serve(mut calls: mpsc::Receiver<Call>, service: &Rc<Service>) {
    let (plain, tls) = (connection(false), connection(true));
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            call = calls.recv() => match call {
                Some(call) => {
                    let secure = call.request.uri().scheme() == Some(&http::uri::Scheme::HTTPS);
                    let conn = if secure { &tls } else { &plain };
                    tasks.spawn_local(answer(call, Rc::clone(service), Rc::clone(conn)));
                }
                None => break,
            },
            Some(_) = tasks.join_next() => {}
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// Serves a call to the end of its response's body, or until nobody wants it.
async fn answer(call: Call, service: Rc<Service>, conn: Rc<ConnInfo>) {
    let Call { request, entry, mut reply, busy } = call;
    let asks_for_head = request.method() == Method::HEAD;
    let response = tokio::select! {
        response = service.enter(request, &conn, entry) => response,
        () = reply.closed() => return,
    };
    let (parts, body) = response.into_parts();
    if asks_for_head || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        // Such a response has no body, although it may state the length of one (RFC 9110 §6.4.1).
        drop(reply.send(Response::from_parts(parts, Body::empty())));
        return;
    }
    let (body, pump) = bridge(body);
    if reply.send(Response::from_parts(parts, body)).is_ok() {
        pump.await;
    }
    drop(busy);
}

/// In place of a connection, which does not exist.
fn connection(secure: bool) -> Rc<ConnInfo> {
    let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    Rc::new(ConnInfo {
        listener: "embedded".into(),
        peer: nowhere,
        local: nowhere,
        protocol: Protocol::Http1,
        tls: secure.then_some(TlsInfo { server_name: None, version: None, alpn: None, client: None }),
        redirect: None,
        peer_value: OnceCell::new(),
    })
}
