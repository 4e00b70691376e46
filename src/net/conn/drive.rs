//! A connection's run: hyper beside the connection's timeouts and the stop.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::activity::{Overdue, Watchdog};
use crate::net::shutdown::{Draining, Shutdown};

/// How a connection ended, for the log.
#[derive(Debug)]
pub(super) enum Ended {
    /// Ended as the protocol provides, or by the client.
    Closed,
    /// Ended by an error of the client, of the transport, or of a response's body.
    Error(hyper::Error),
    Overdue(#[expect(dead_code, reason = "only its Debug form is used")] Overdue),
}

/// How far a stop is for one connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    None,
    /// Answers say that they are the last; there may be one more request.
    Begun,
    /// hyper closes the connection as soon as it can.
    Told,
}

/// Runs hyper's connection together with its timeouts and the stop. `last_request` is as [`super::LAST_REQUEST`].
/// `farewell` is the time that an idle connection gets after it was asked to end, in a protocol that can ask.
pub(super) async fn drive<C, G>(
    conn: C,
    graceful_shutdown: G,
    last_request: Duration,
    farewell: Option<Duration>,
    mut watchdog: Watchdog,
    shutdown: Shutdown,
) -> Ended
where
    C: Future<Output = hyper::Result<()>>,
    G: Fn(Pin<&mut C>),
{
    let mut conn = pin!(conn);
    let activity = Arc::clone(watchdog.activity());
    let mut over = pin!(sleep(last_request));
    let mut draining = Draining::new(shutdown);
    let mut stop = Stop::None;
    let overdue = loop {
        tokio::select! {
            // hyper goes first: what hyper has just done decides whether the connection is overdue.
            biased;
            ended = conn.as_mut() => return ended.map_or_else(Ended::Error, |()| Ended::Closed),
            overdue = std::future::poll_fn(|cx| watchdog.poll_overdue(cx)) => break overdue,
            () = std::future::poll_fn(|cx| draining.poll(cx)), if stop == Stop::None => {
                stop = Stop::Begun;
                activity.stop();
                if activity.may_be_told_to_go() {
                    stop = Stop::Told;
                    graceful_shutdown(conn.as_mut());
                } else {
                    over.as_mut().reset(Instant::now() + last_request);
                }
            }
            () = std::future::poll_fn(|_| activity.poll_worn_out()), if stop == Stop::None => {
                // Requests in progress are still served; the last response of HTTP/1.1 has announced the end.
                stop = Stop::Told;
                graceful_shutdown(conn.as_mut());
            }
            () = over.as_mut(), if stop == Stop::Begun => {
                stop = Stop::Told;
                if activity.is_silent() {
                    return Ended::Closed;
                }
                graceful_shutdown(conn.as_mut());
            }
        }
    };
    if let (Overdue::Idle, Some(grace)) = (overdue, farewell) {
        // A request that the client sent before it saw GOAWAY is still served.
        graceful_shutdown(conn.as_mut());
        tokio::select! {
            ended = conn.as_mut() => return ended.map_or_else(Ended::Error, |()| Ended::Closed),
            () = sleep(grace) => {}
        }
    }
    Ended::Overdue(overdue)
}
