//! The body of a stage on its way out of the store: what the stage writes, and its reader outside.
//!
//! As wasmtime-wasi-http has it: one piece waits for the reader, and the next write waits with it. A reader may take that
//! second piece whenever it comes, so it is copied at once; the stage learns that it was taken when it next asks.

use super::abi::Code;
use super::receipt::Teller;
use crate::host::OUTGOING_CHUNK;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, FieldMap};

#[derive(Default)]
struct Shared {
    /// The piece that waits for the reader, and the one behind it.
    first: Option<Bytes>,
    second: Option<Bytes>,
    error: Option<Code>,
    /// There are no more pieces.
    ended: bool,
    behind: Option<Result<Option<FieldMap>, Code>>,
    /// There are no more trailers.
    closed: bool,
    /// Nobody reads it.
    unread: bool,
    reader: Option<Waker>,
}

/// Between who writes and who reads.
struct Between {
    shared: Mutex<Shared>,
    /// Wakes who writes.
    writer: Waker,
}

type Link = Arc<Between>;

/// The error of a body that has not the length that its head announces, which has so many bytes.
pub type WrongLength = fn(Option<u64>) -> ErrorCode;

fn locked(link: &Link) -> MutexGuard<'_, Shared> {
    link.shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// What a stage writes into.
pub struct Pieces {
    link: Link,
    /// The length that the head announces, and the error of another one.
    length: Option<(u64, WrongLength)>,
    sent: u64,
    /// Bytes of the second piece.
    waits: Option<u32>,
    /// Who is told of a wrong length.
    teller: Option<Teller>,
    over: bool,
}

/// What came of a write.
pub enum Written {
    Taken(u32),
    Waits,
    Dropped,
}

/// Where the trailers go.
pub struct Behind(Link);

/// The body as it is read.
pub struct Flow {
    link: Link,
    length: Option<u64>,
    pieces: bool,
    trailers: bool,
}

/// A body whose head announces `length`, of which another one is an error, and which has pieces or not. Who writes
/// tells `teller` of an error, if there is one. `writer` is woken when a piece that waits was taken, or nobody reads any more.
pub fn flow(
    length: Option<u64>,
    error: WrongLength,
    has_pieces: bool,
    teller: Option<Teller>,
    writer: Waker,
) -> (Flow, Option<Pieces>, Behind) {
    let link = Link::new(Between { shared: Mutex::default(), writer });
    let pieces = has_pieces.then(|| Pieces {
        link: Arc::clone(&link),
        length: length.map(|length| (length, error)),
        sent: 0,
        waits: None,
        teller,
        over: false,
    });
    let behind = Behind(Arc::clone(&link));
    (Flow { link, length, pieces: has_pieces, trailers: true }, pieces, behind)
}

impl Pieces {
    /// Takes of `bytes` what goes at once.
    pub fn write(&mut self, bytes: &[u8]) -> Written {
        let bytes = &bytes[..bytes.len().min(OUTGOING_CHUNK)];
        let sent = self.sent.saturating_add(bytes.len() as u64);
        if self.length.is_some_and(|(length, _)| sent > length) {
            self.fail(sent);
            return Written::Dropped;
        }
        let mut shared = locked(&self.link);
        if shared.unread {
            self.over = true;
            return Written::Dropped;
        }
        let count = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let bytes = Bytes::copy_from_slice(bytes);
        if shared.first.is_some() {
            shared.second = Some(bytes);
            self.waits = Some(count);
            return Written::Waits;
        }
        shared.first = Some(bytes);
        shared.wake();
        self.sent = sent;
        Written::Taken(count)
    }

    /// What came of the write that waited, if that is known. With `cancel` it ends in any case: it is taken back if it still
    /// waits.
    pub fn look(&mut self, cancel: bool) -> Option<Written> {
        let count = self.waits?;
        let mut shared = locked(&self.link);
        let written = if shared.second.is_none() {
            self.sent = self.sent.saturating_add(u64::from(count));
            Written::Taken(count)
        } else if shared.unread {
            self.over = true;
            Written::Dropped
        } else if cancel {
            Written::Waits
        } else {
            return None;
        };
        shared.second = None;
        self.waits = None;
        Some(written)
    }

    /// Whether a write waits for the reader.
    pub fn has_waiting(&self) -> bool {
        self.waits.is_some()
    }

    fn fail(&mut self, sent: u64) {
        let Some((_, error)) = self.length.take() else { return };
        if let Some(teller) = self.teller.take() {
            teller.tell(Err(error(Some(sent)).into()));
        }
        let mut shared = locked(&self.link);
        shared.second = None;
        if shared.first.is_none() {
            shared.error = Some(error(Some(sent)).into());
        }
        shared.ended = true;
        shared.wake();
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        match self.length {
            Some((length, _)) if !self.over && length != self.sent => self.fail(self.sent),
            _ => {}
        }
        let mut shared = locked(&self.link);
        shared.ended = true;
        shared.wake();
    }
}

impl Behind {
    pub fn put(self, behind: Result<Option<FieldMap>, Code>) {
        locked(&self.0).behind = Some(behind);
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        let mut shared = locked(&self.0);
        shared.closed = true;
        shared.wake();
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        locked(&self.link).unread = true;
        self.link.writer.wake_by_ref();
    }
}

impl Body for Flow {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let mut shared = locked(&this.link);
        if this.pieces {
            if let Some(piece) = shared.first.take() {
                shared.first = shared.second.take();
                if shared.first.is_some() {
                    this.link.writer.wake_by_ref();
                }
                let length = this.length.map(|length| length.saturating_sub(piece.len() as u64));
                this.length = length;
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if let Some(error) = shared.error.take() {
                return Poll::Ready(Some(Err(ErrorCode::from(error).into())));
            }
            if !shared.ended {
                shared.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            this.pieces = false;
        }
        if !this.trailers {
            return Poll::Ready(None);
        }
        let behind = match shared.behind.take() {
            None if !shared.closed => {
                shared.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            behind => behind,
        };
        this.trailers = false;
        Poll::Ready(match behind {
            None | Some(Ok(None)) => None,
            Some(Ok(Some(trailers))) => Some(Ok(Frame::trailers(trailers.into()))),
            Some(Err(code)) => Some(Err(ErrorCode::from(code).into())),
        })
    }

    fn is_end_stream(&self) -> bool {
        if self.trailers {
            return false;
        }
        let shared = locked(&self.link);
        !self.pieces || (shared.first.is_none() && shared.ended && self.length.is_none_or(|left| left == 0))
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
