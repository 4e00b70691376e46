//! Calls between native services, for comparison: in one process, and over connections of the system.
//!
//! Both sides of a connection are on this thread, so that the time is that of both, and nothing waits for another
//! thread to be woken: the least that such a call can cost.

use super::Failure;
use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::{http1, http2};
use hyper::rt::{Read, Write};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use tower_service::Service;

type Nothing = Empty<Bytes>;

type Boxed = Pin<Box<dyn Future<Output = Result<Response<()>, Infallible>>>>;

/// Layers that box their futures, as middleware in programs does, around a service.
pub(super) struct Stack(
    Box<dyn Service<Request<()>, Response = Response<()>, Error = Infallible, Future = Boxed>>,
);

impl Stack {
    /// Sends a request through.
    pub async fn ask(&mut self) -> Result<(), Failure> {
        let request = std::hint::black_box(Request::new(()));
        std::hint::black_box(self.0.call(request).await.map_err(Failure::wrong)?);
        Ok(())
    }
}

impl Service<Request<()>> for Stack {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Boxed;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<()>) -> Boxed {
        let answer = self.0.call(request);
        // A layer that does nothing to the response still receives it.
        Box::pin(async move { Ok(std::hint::black_box(answer.await?)) })
    }
}

struct Answers;

impl Service<Request<()>> for Answers {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Boxed;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Boxed {
        let answer: Ready<_> = ready(Ok(Response::new(())));
        Box::pin(answer)
    }
}

/// A service behind `depth` layers that do nothing.
pub(super) fn layers(depth: usize) -> Stack {
    (0..depth).fold(Stack(Box::new(Answers)), |inner, _| Stack(Box::new(inner)))
}

/// A function that can't be inlined, of a request.
pub(super) fn function() -> Box<dyn Fn(Request<()>) -> Response<()>> {
    Box::new(|request| {
        drop(std::hint::black_box(request));
        Response::new(())
    })
}

/// A kept connection to a server.
pub(super) enum Connection {
    Http1(http1::SendRequest<Nothing>),
    Http2(http2::SendRequest<Nothing>),
}

impl Connection {
    /// Asks with these fields, and reads the answer, which must be 200, to its end.
    pub async fn ask(&mut self, fields: &[(&str, &str)]) -> Result<Bytes, Failure> {
        let target = match self {
            Self::Http1(_) => "/",
            Self::Http2(_) => "http://localhost/",
        };
        let request = Request::get(target).header(header::HOST, "localhost");
        let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(Empty::new()).map_err(Failure::wrong)?;
        let response = match self {
            Self::Http1(sender) => sender.send_request(request).await,
            Self::Http2(sender) => sender.send_request(request).await,
        };
        let (head, body) = response.map_err(Failure::wrong)?.into_parts();
        let body = body.collect().await.map_err(Failure::wrong)?.to_bytes();
        match head.status {
            http::StatusCode::OK => Ok(body),
            status => {
                let text = String::from_utf8_lossy(&body);
                Err(Failure::wrong(format!("the callee answered {status} {text}")))
            }
        }
    }

    /// HTTP/1.1 over a stream.
    async fn http1(stream: impl Read + Write + Unpin + 'static) -> Result<Self, Failure> {
        let (sender, connection) = http1::handshake(stream).await.map_err(Failure::system)?;
        tokio::task::spawn_local(async move { drop(connection.await) });
        Ok(Self::Http1(sender))
    }

    /// HTTP/2 over a stream, without an upgrade.
    async fn http2(stream: impl Read + Write + Unpin + Send + 'static) -> Result<Self, Failure> {
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), stream).await.map_err(Failure::system)?;
        tokio::task::spawn_local(async move { drop(connection.await) });
        Ok(Self::Http2(sender))
    }
}

/// A connection of HTTP/1.1 to the server at `address`.
pub(super) async fn connect(address: SocketAddr) -> Result<Connection, Failure> {
    let stream = tokio::net::TcpStream::connect(address).await.map_err(Failure::system)?;
    stream.set_nodelay(true).map_err(Failure::system)?;
    Connection::http1(TokioIo::new(stream)).await
}

/// A loopback connection of HTTP/1.1.
pub(super) async fn loopback() -> Result<Connection, Failure> {
    let (server, client) = over_tcp().await?;
    serve(server, false);
    Connection::http1(client).await
}

/// A loopback connection of HTTP/2.
pub(super) async fn loopback_http2() -> Result<Connection, Failure> {
    let (server, client) = over_tcp().await?;
    serve(server, true);
    Connection::http2(client).await
}

/// HTTP/1.1 over a pair of Unix sockets.
pub(super) async fn unix_socket() -> Result<Connection, Failure> {
    let (server, client) = tokio::net::UnixStream::pair().map_err(Failure::system)?;
    serve(TokioIo::new(server), false);
    Connection::http1(TokioIo::new(client)).await
}

type Tcp = TokioIo<tokio::net::TcpStream>;

/// Both ends of a loopback connection.
async fn over_tcp() -> Result<(Tcp, Tcp), Failure> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.map_err(Failure::system)?;
    let address = listener.local_addr().map_err(Failure::system)?;
    let client = tokio::net::TcpStream::connect(address).await.map_err(Failure::system)?;
    let (server, _) = listener.accept().await.map_err(Failure::system)?;
    for end in [&server, &client] {
        end.set_nodelay(true).map_err(Failure::system)?;
    }
    Ok((TokioIo::new(server), TokioIo::new(client)))
}

/// Answers all requests with 200, until the client closes.
fn serve(stream: impl Read + Write + Unpin + 'static, http2: bool) {
    let answer = hyper::service::service_fn(|_| ready(Ok::<_, Infallible>(Response::new(Nothing::new()))));
    tokio::task::spawn_local(async move {
        match http2 {
            true => {
                drop(hyper::server::conn::http2::Builder::new(Local).serve_connection(stream, answer).await)
            }
            false => drop(hyper::server::conn::http1::Builder::new().serve_connection(stream, answer).await),
        }
    });
}

/// Runs a connection's streams on this thread.
#[derive(Clone)]
struct Local;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, stream: F) {
        tokio::task::spawn_local(stream);
    }
}
