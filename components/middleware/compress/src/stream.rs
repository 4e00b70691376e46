//! A body on its way through an encoder.

use crate::encoder::Encoder;
use linkspan_sdk::{Body, BodyWriter, StreamReader, StreamResult, at_once, spawn_local};
use std::cell::Cell;
use std::pin::pin;

/// What is read at once.
const PIECE: usize = 16 * 1024;

thread_local! {
    /// The bodies that this instance compresses.
    static AT_WORK: Cell<u32> = const { Cell::new(0) };
}

/// One of the bodies that may be compressed at once.
pub struct Permit(());

impl Permit {
    /// `None` if `most` have one.
    pub fn take(most: u32) -> Option<Self> {
        let at_work = AT_WORK.get();
        (at_work < most).then(|| {
            AT_WORK.set(at_work + 1);
            Self(())
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        AT_WORK.set(AT_WORK.get() - 1);
    }
}

/// The body, compressed while it is read.
pub fn compressed(body: Body, encoder: Encoder, permit: Permit) -> Body {
    let Some((contents, trailers)) = body.into_streams() else { return Body::empty() };
    let (mut writer, compressed) = Body::channel();
    spawn_local(async move {
        let _permit = permit;
        let mut encoder = Some(encoder);
        if let Some(contents) = contents
            && !pump(contents, &mut encoder, &mut writer).await
        {
            // Nobody reads it any more.
            return;
        }
        // Only now is it known whether that was all.
        let mut trailers = pin!(trailers.into_future());
        let end = match at_once(trailers.as_mut()).await {
            Some(end) => end,
            None => {
                let held = encoder.as_mut().map(Encoder::flush).unwrap_or_default();
                if !send(&mut writer, held).await {
                    return;
                }
                trailers.await
            }
        };
        if end.is_ok() {
            let last = encoder.take().map(Encoder::finish).unwrap_or_default();
            if !send(&mut writer, last).await {
                return;
            }
        }
        drop(writer.contents);
        // Whoever wants no trailers has dropped their end.
        let _ = writer.trailers.write(end).await;
    });
    compressed
}

/// Compresses what comes to its end. Returns whether somebody still reads it.
async fn pump(
    mut contents: StreamReader<u8>,
    encoder: &mut Option<Encoder>,
    writer: &mut BodyWriter,
) -> bool {
    let Some(encoder) = encoder else { return true };
    let mut piece = Vec::with_capacity(PIECE);
    loop {
        let result;
        (result, piece) = {
            let mut read = pin!(contents.read(piece));
            match at_once(read.as_mut()).await {
                Some(read) => read,
                None => {
                    // The input pauses: the client gets all that was written so far.
                    if !send(writer, encoder.flush()).await {
                        return false;
                    }
                    read.await
                }
            }
        };
        if !send(writer, encoder.write(&piece)).await {
            return false;
        }
        piece.clear();
        if result == StreamResult::Dropped {
            return true;
        }
    }
}

/// Writes bytes. Returns whether somebody reads them.
async fn send(writer: &mut BodyWriter, bytes: Vec<u8>) -> bool {
    bytes.is_empty() || writer.contents.write_all(bytes).await.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_have_a_permit_as_may() {
        let held = [Permit::take(2), Permit::take(2)];
        assert!(held.iter().all(Option::is_some) && Permit::take(2).is_none());
        drop(held);
        assert!(Permit::take(1).is_some());
    }
}
