//! The listener's thread: sockets, connections and their bounds.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, timeout};

use super::answer::{Answers, ERRAND_TIMEOUT};
use super::connections::{Connections, Place};
use super::errands::Errands;
use super::guard::Guard;
use super::{AdminConfig, Control};
use crate::telemetry::Metrics;

/// The most connections at once; a further one takes the place of a slow one.
pub const MAX_CONNECTIONS: usize = 64;
/// The longest time for a request's head to arrive.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest head of a request, and with it the largest token.
const MAX_HEAD: usize = 16 * 1024;
/// The longest life of a connection: one request, and some time to read its response.
const CONNECTION_TIMEOUT: Duration = ERRAND_TIMEOUT.saturating_add(Duration::from_secs(30));
/// How long requests in progress may take at a stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long `accept` pauses when there are no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// A running admin listener. Dropped, it stops, without anyone waiting for that.
#[derive(Debug)]
pub struct AdminHandle {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl AdminHandle {
    /// The address, with the actual port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening, gives requests in progress up to 2 s, and returns when the address is free again. A reload in
    /// progress continues.
    pub fn stop(mut self) {
        self.stop.send_replace(true);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the admin listener panicked; this is a defect of linkspan");
        }
    }
}

/// Binds the address, then serves it on a thread of its own.
///
/// # Errors
/// If the address can't be bound, is not a loopback address and there is no token, or no thread can be started. Nothing
/// is served then.
pub fn start(
    config: AdminConfig,
    control: Arc<dyn Control>,
    metrics: Arc<Metrics>,
) -> io::Result<AdminHandle> {
    if config.token.is_none() && !config.address.ip().to_canonical().is_loopback() {
        let message = "an admin listener that others can reach needs a token";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let socket = TcpListener::bind(config.address)?;
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    // On this thread, so that a failure is an error of the start.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let socket = {
        let _context = runtime.enter();
        tokio::net::TcpListener::from_std(socket)?
    };
    let errands = Errands::start(Arc::clone(&control))?;
    let guard = Guard::new(config.token.as_deref(), config.read_token.as_deref());
    let answers = Answers { control, metrics, guard, errands };
    let (stop, stopped) = watch::channel(false);
    let work = move || LocalSet::new().block_on(&runtime, serve(socket, Rc::new(answers), stopped));
    let thread = std::thread::Builder::new().name("linkspan-admin".to_owned()).spawn(work)?;
    tracing::info!(%address, token = config.token.is_some(), "admin listener");
    Ok(AdminHandle { address, stop, thread: Some(thread) })
}

async fn serve(socket: tokio::net::TcpListener, answers: Rc<Answers>, mut stopped: watch::Receiver<bool>) {
    let mut open = Connections::new(MAX_CONNECTIONS);
    let mut connections = JoinSet::new();
    loop {
        // A dropped handle counts as a stop.
        let stop = async { _ = stopped.wait_for(|stopped| *stopped).await };
        let accepted = tokio::select! {
            () = stop => break,
            accepted = socket.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((tcp, peer)) => {
                let (answers, stopped, place) = (Rc::clone(&answers), stopped.clone(), Place::default());
                open.make_room();
                let connection = connection((tcp, peer), answers, place.clone(), stopped);
                // However the connection ended, there is nothing better to do.
                let task =
                    connections.spawn_local(async { _ = timeout(CONNECTION_TIMEOUT, connection).await });
                open.add(place, task);
                // A head that has already arrived is read before another connection is accepted.
                tokio::task::yield_now().await;
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "the admin listener cannot accept");
                sleep(PAUSE).await;
            }
        }
    }
    drop(socket);
    let _ = timeout(STOP_TIMEOUT, async { while connections.join_next().await.is_some() {} }).await;
}

/// A connection that ended before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// One request and its answer.
async fn connection(
    (tcp, peer): (TcpStream, SocketAddr),
    answers: Rc<Answers>,
    place: Place,
    mut stopped: watch::Receiver<bool>,
) {
    let answer = move |request: http::Request<Incoming>| {
        let (answers, place) = (Rc::clone(&answers), place.clone());
        async move { Ok::<_, std::convert::Infallible>(answers.answer(request, peer, &place).await) }
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(tcp), service_fn(answer));
    let mut connection = std::pin::pin!(connection);
    let stop = async { _ = stopped.wait_for(|stopped| *stopped).await };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an admin connection ended");
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::time::Instant;

    use super::super::answer::tests::{Stub, outcome};
    use super::*;

    fn config(address: &str, token: Option<&str>) -> AdminConfig {
        AdminConfig { address: address.parse().unwrap(), token: token.map(str::to_owned), read_token: None }
    }

    fn send(address: SocketAddr, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// Serves the connection to its end.
    fn read(mut stream: TcpStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    fn get(address: SocketAddr, path: &str) -> String {
        read(send(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n")))
    }

    #[test]
    fn over_a_socket() {
        let (stub, end) = Stub::new();
        let admin = start(config("127.0.0.1:0", None), stub, Metrics::new()).unwrap();
        let address = admin.local_addr();
        let metrics = get(address, "/metrics");
        assert!(
            metrics.starts_with("HTTP/1.1 200 OK\r\n") && metrics.contains("\nlinkspan_generation 0\n"),
            "{metrics}"
        );
        assert!(metrics.contains("connection: close\r\n"), "{metrics}");
        let head = read(send(address, &format!("HEAD /config HTTP/1.1\r\nHost: {address}\r\n\r\n")));
        assert!(head.ends_with("\r\n\r\n") && !head.contains("content-length: 0"), "{head}");
        // An old load balancer's probe.
        assert!(read(send(address, "GET /healthz HTTP/1.0\r\n\r\n")).contains(" 200 OK\r\n"));
        let rebound = read(send(address, "GET /config HTTP/1.1\r\nHost: evil.example\r\n\r\n"));
        assert!(rebound.starts_with("HTTP/1.1 403 "), "{rebound}");

        // Other requests are answered while a reload takes its time.
        let post = format!("POST /-/reload HTTP/1.1\r\nHost: {address}\r\nContent-Length: 2\r\n\r\n{{}}");
        let reload = send(address, &post);
        assert!(get(address, "/version").contains("1.2.3"));
        end.send(Some(outcome(true))).unwrap();
        assert!(read(reload).contains("\"generation\": 7"));

        let taken = start(config(&address.to_string(), None), Stub::new().0, Metrics::new()).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        // A silent client delays a stop only within a bound.
        let silent = send(address, "GET /he");
        let begin = Instant::now();
        admin.stop();
        assert!(begin.elapsed() < STOP_TIMEOUT + Duration::from_secs(1));
        drop(silent);
        assert!(TcpStream::connect(address).is_err());
    }

    #[test]
    fn health_is_answered_while_all_places_are_taken() {
        let (stub, end) = Stub::new();
        let admin = start(config("127.0.0.1:0", None), stub, Metrics::new()).unwrap();
        let address = admin.local_addr();
        let begin = Instant::now();
        let post = format!("POST /-/reload HTTP/1.1\r\nHost: {address}\r\n\r\n");
        let reload = send(address, &post);
        // Without a head, with half of one, and with a body that does not come.
        let slow = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nContent-Length: 9\r\n\r\n");
        for request in ["", "GET /he", &slow] {
            let taken: Vec<_> = (0..2 * MAX_CONNECTIONS).map(|_| send(address, request)).collect();
            for path in ["/healthz", "/readyz", "/metrics", "/generations"] {
                assert!(get(address, path).contains(" 200 OK"), "{request:?}");
            }
            drop(taken);
        }
        assert!(begin.elapsed() < HEADER_READ_TIMEOUT, "{:?}", begin.elapsed());
        // A connection that waits for a reload keeps its place.
        end.send(Some(outcome(true))).unwrap();
        assert!(read(reload).contains("\"generation\": 7"));
    }

    #[test]
    fn a_silent_client_is_cut() {
        let admin = start(config("127.0.0.1:0", None), Stub::new().0, Metrics::new()).unwrap();
        assert_eq!(read(send(admin.local_addr(), "GET /he")), "");
    }

    #[test]
    fn a_token_is_needed_where_others_can_reach() {
        let refused = start(config("0.0.0.0:0", None), Stub::new().0, Metrics::new()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        let admin =
            start(config("0.0.0.0:0", Some("0123456789abcdef")), Stub::new().0, Metrics::new()).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], admin.local_addr().port()));
        assert!(get(address, "/config").starts_with("HTTP/1.1 401 "));
        assert!(get(address, "/readyz").starts_with("HTTP/1.1 200 "));
        let debug = format!("{:?}", config("0.0.0.0:0", Some("0123456789abcdef")));
        assert!(debug.contains("<secret>") && !debug.contains("0123"), "{debug}");
    }
}
