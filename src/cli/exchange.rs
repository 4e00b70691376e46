//! One exchange of HTTP/1.1, on a connection of its own.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// Sends `request` on `stream`, and returns what `read` makes of the response; `failed` says how there was none.
///
/// # Errors
/// Those of `read` and `failed`.
pub(super) async fn exchange<T, E>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
    failed: fn(hyper::Error) -> E,
    read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, E>,
) -> Result<T, E> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let mut exchange =
        std::pin::pin!(async move { read(sender.send_request(request).await.map_err(failed)?).await });
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        // Its end says nothing yet: the answer may have arrived with it.
        _ = connection => exchange.await,
    }
}
