//! Active checks: a request to each server at intervals, on one thread for all upstreams.
//!
//! Each check has a connection of its own, like a client's first request. Checks of an upstream end when nobody uses
//! the upstream any more.

use super::body::{Payload, Slot};
use super::connect::{OpenGuard, connect, start};
use super::error::ErrorKind;
use super::fields::{Length, UnsentHead};
use super::link::Link;
use super::timer::Progress;
use super::{Core, Upstream};
use crate::plan::HealthCheck;
use crate::telemetry::UpstreamMetrics;
use bytes::Bytes;
use http::header::USER_AGENT;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Version};
use http_body_util::Empty;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock, Weak};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, timeout};

/// The most upstreams that wait for the thread, which takes them at once: enough for some configurations.
const QUEUE: usize = 4096;

impl Upstream {
    /// Starts the checks of the servers, if the configuration has checks and they have not begun. The checks end when
    /// nobody has the upstream any more.
    pub fn start(self: &Arc<Self>) {
        if self.core.plan.health.is_some() && !self.started.swap(true, Ordering::Relaxed) {
            begin(self);
        }
    }
}

/// Begins to check the servers of `upstream`.
fn begin(upstream: &Arc<Upstream>) {
    static CHECKER: LazyLock<mpsc::Sender<Weak<Upstream>>> = LazyLock::new(|| {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new().name("linkspan-checks".to_owned());
        if let Err(error) = thread.spawn(|| run(receiver)) {
            tracing::error!(%error, "cannot start the thread that checks servers");
        }
        sender
    });
    if CHECKER.try_send(Arc::downgrade(upstream)).is_err() {
        tracing::error!(upstream = upstream.name(), "the servers are not checked");
    }
}

fn run(mut upstreams: mpsc::Receiver<Weak<Upstream>>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the thread that checks servers has no event loop");
            return;
        }
    };
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        while let Some(upstream) = upstreams.recv().await {
            let servers = upstream.upgrade().map_or(0, |upstream| upstream.core.servers.len());
            for server in 0..servers {
                tokio::task::spawn_local(watch(Weak::clone(&upstream), server));
            }
        }
    });
}

/// Checks one server for as long as anybody has the upstream.
async fn watch(upstream: Weak<Upstream>, server: usize) {
    let Some(interval) = upstream.upgrade().and_then(|it| Some(it.core.plan.health.as_ref()?.interval))
    else {
        return;
    };
    let mut interval = tokio::time::interval(interval);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let Some(upstream) = upstream.upgrade() else { return };
        let core = Arc::clone(&upstream.core);
        drop(upstream);
        let Some(health) = &core.plan.health else { return };
        let answer = timeout(health.timeout, ask(&core, server, health)).await;
        let result = answer.unwrap_or_else(|_| Err("no answer within `health.timeout`".to_owned()));
        core.servers[server].checked(&core.plan.name, result, health.healthy, health.unhealthy);
    }
}

/// One check: nothing, or why the server failed it.
async fn ask(core: &Core, server: usize, health: &HealthCheck) -> Result<(), String> {
    let state = &core.servers[server];
    let told = |kind: ErrorKind| match kind {
        ErrorKind::Unreachable(why) => why,
        _ => "no connection within `limits.connect-timeout`".to_owned(),
    };
    let connected = connect(core, state).await.map_err(told)?;
    // Metrics count connections of requests, not those of checks.
    let guard = OpenGuard::new(&Rc::default(), &Arc::new(UpstreamMetrics::default()));
    let link = start::<Empty<Bytes>>(connected, guard).await.map_err(told)?;
    let link = Asked(link);
    let version = match &link.0 {
        Link::Http1(_) => Version::HTTP_11,
        Link::Http2(_) => Version::HTTP_2,
    };
    let path = PathAndQuery::try_from(health.path.as_str()).map_err(|error| error.to_string())?;
    let agent = HeaderValue::from_static(concat!("linkspan/", env!("CARGO_PKG_VERSION")));
    let headers = HeaderMap::from_iter([(USER_AGENT, agent)]);
    let head = UnsentHead { method: Method::GET, authority: None, path, headers };
    let body = Slot::new(Empty::new(), Length::None, Rc::<Progress>::default()).upload();
    let request = head
        .request(&state.server, &core.plan.host, version, Length::None, body)
        .map_err(|_| "the path or host is not valid".to_owned())?;
    let status = link.send(request).await?.as_u16();
    match health.status {
        Some(wanted) if wanted == status => Ok(()),
        None if (200..300).contains(&status) => Ok(()),
        _ => Err(format!("status {status}")),
    }
}

/// A connection that ends with its check.
struct Asked<B: Payload>(Link<B>);

impl<B: Payload> Asked<B> {
    async fn send(
        mut self,
        request: http::Request<super::body::Upload<B>>,
    ) -> Result<http::StatusCode, String> {
        let sent = match &mut self.0 {
            Link::Http1(link) => link.sender.try_send_request(request).await,
            Link::Http2(link) => link.sender.clone().try_send_request(request).await,
        };
        sent.map(|response| response.status()).map_err(|error| super::error::chain(error.error()))
    }
}

impl<B: Payload> Drop for Asked<B> {
    fn drop(&mut self) {
        if let Link::Http1(link) = &self.0 {
            link.task.abort();
        }
    }
}
