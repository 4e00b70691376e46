//! `linkspan serve`: build everything, bind everything, then serve until a signal.

use super::Failed;
use super::check::{Ready, prepare};
use crate::engine::Worker;
use crate::gateway::build::segments;
use crate::gateway::{Generation, Live};
use crate::host::Limiters;
use crate::http::service::Service;
use crate::net::{Capacity, Cut, Endpoint, NetLimits, Shutdown, Signals, bind, serve_worker, shutdown};
use crate::plan::GatewayLimits;
use std::io::IsTerminal as _;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// Runs the command.
pub(super) fn run(file: &Path, log_format: LogFormat) -> Result<(), Failed> {
    start_log(log_format);
    let limiters = Limiters::default();
    let Ready { generation, tls, warnings } = prepare(file, &limiters).map_err(Failed::wrong)?;
    eprint!("{warnings}");
    let plan = generation.plan.clone();
    let workers = plan.workers.get();
    let (trigger, stop) = shutdown::channel();
    // Before anything is announced: who sees the address may send a signal.
    let signals = take_signals(trigger)?;

    // Everything is bound before anything is served, so that a taken address is
    // an error at the start.
    let mut endpoints: Vec<Vec<Endpoint>> = (0..workers).map(|_| Vec::new()).collect();
    for (listener, tls) in plan.listeners.iter().zip(tls) {
        let sockets = bind(listener.address, workers).map_err(Failed::system)?;
        let address = local_address(&sockets, listener.address);
        let scheme = if tls.is_some() { "https" } else { "http" };
        tracing::info!(%address, scheme, workers, "listening");
        let name: Arc<str> = address.to_string().into();
        for (worker, socket) in endpoints.iter_mut().zip(sockets) {
            worker.push(Endpoint { name: Arc::clone(&name), socket, tls: tls.clone() });
        }
    }
    announce(&generation);

    let live = Arc::new(Live::new(generation));
    let limits = net_limits(&plan.limits);
    let capacity = Capacity::new(&limits);
    let threads: Vec<_> = endpoints
        .into_iter()
        .enumerate()
        .map(|(number, endpoints)| {
            let (live, limits) = (Arc::clone(&live), limits.clone());
            let (capacity, stop) = (capacity.clone(), stop.clone());
            start_worker(number, endpoints, limits, capacity, live, stop)
        })
        .collect::<Result<_, _>>()?;
    signals.wait_for_first()?;
    let mut cut = Cut::default();
    for thread in threads {
        match thread.join() {
            Ok(result) => cut += result.map_err(|error| Failed::system(format!("a worker stopped: {error}")))?,
            Err(_) => return Err(Failed::system("a worker panicked; this is a defect of linkspan")),
        }
    }
    match cut.requests {
        0 => {
            tracing::info!("stopped");
            Ok(())
        }
        requests => Err(Failed::cut(format!("stopped; {requests} requests did not finish in time and were cut off"))),
    }
}

fn start_log(format: LogFormat) {
    // `LINKSPAN_LOG=debug` or `LINKSPAN_LOG=linkspan::stage=trace`, as tracing's
    // filters are written.
    let filter = EnvFilter::try_from_env("LINKSPAN_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

fn announce(generation: &Generation) {
    for pipeline in &generation.plan.pipelines {
        // `→` within a store, `⇒` from one into another.
        let segments: Vec<_> = segments(pipeline)
            .iter()
            .map(|stages| {
                let names: Vec<_> = stages.iter().map(|stage| &*stage.id.component).collect();
                names.join(" → ")
            })
            .collect();
        tracing::info!(pipeline = %pipeline.name, stages = %segments.join(" ⇒ "), "ready");
    }
}

fn local_address(sockets: &[TcpListener], asked: SocketAddr) -> SocketAddr {
    sockets.first().and_then(|socket| socket.local_addr().ok()).unwrap_or(asked)
}

fn net_limits(limits: &GatewayLimits) -> NetLimits {
    NetLimits {
        connections: limits.connections,
        handshakes: limits.handshakes,
        handshake_timeout: limits.handshake_timeout,
        header_read_timeout: limits.header_read_timeout,
        idle_timeout: limits.idle_timeout,
        header_size: limits.header_size,
        header_count: limits.header_count,
        streams: u32::try_from(limits.streams).unwrap_or(u32::MAX),
        shutdown_timeout: limits.shutdown_timeout,
    }
}

fn start_worker(
    number: usize,
    endpoints: Vec<Endpoint>,
    limits: NetLimits,
    capacity: Capacity,
    live: Arc<Live>,
    stop: Shutdown,
) -> Result<JoinHandle<std::io::Result<Cut>>, Failed> {
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async move {
            let service = Service::new(live, Worker::start());
            let serve = move |request, conn: &Rc<_>| Rc::clone(&service).serve(request, Rc::clone(conn));
            serve_worker(endpoints, limits, capacity, serve, stop).await
        })
    };
    std::thread::Builder::new()
        .name(format!("linkspan-{number}"))
        .spawn(work)
        .map_err(|error| Failed::system(format!("cannot start a worker: {error}")))
}

/// The thread that waits for signals, and how far it is.
struct SignalThread {
    progress: Receiver<()>,
    thread: JoinHandle<std::io::Result<()>>,
}

/// Takes over SIGINT and SIGTERM: the first one starts the stop, a second one cuts it
/// short.
fn take_signals(trigger: shutdown::Trigger) -> Result<SignalThread, Failed> {
    let (report, progress) = std::sync::mpsc::channel();
    let wait = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut signals = Signals::install()?;
            let _ = report.send(());
            let name = signals.next().await;
            tracing::info!(signal = name, "stopping: requests may finish; a second signal stops at once");
            trigger.drain();
            let _ = report.send(());
            let name = signals.next().await;
            tracing::warn!(signal = name, "stopping at once");
            trigger.cut();
            Ok::<_, std::io::Error>(())
        })
    };
    let thread = std::thread::Builder::new().name("linkspan-signals".to_owned()).spawn(wait).map_err(signal_error)?;
    SignalThread { progress, thread }.advance()
}

impl SignalThread {
    /// Waits until the stop has begun.
    fn wait_for_first(self) -> Result<(), Failed> {
        self.advance().map(drop)
    }

    fn advance(self) -> Result<Self, Failed> {
        if self.progress.recv().is_ok() {
            return Ok(self);
        }
        // The thread ended without a word, so that it must have failed.
        match self.thread.join() {
            Ok(Err(error)) => Err(signal_error(error)),
            _ => Err(Failed::system("cannot wait for signals")),
        }
    }
}

fn signal_error(error: std::io::Error) -> Failed {
    Failed::system(format!("cannot wait for signals: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_plan_and_net_agree() {
        let (plan, net) = (net_limits(&GatewayLimits::default()), NetLimits::default());
        assert_eq!(format!("{plan:?}"), format!("{net:?}"));
    }
}
