//! Refuses requests whose body is too large (413) or of another type (415). See [`Keys`].
//!
//! A body whose `Content-Length` says that it fits passes untouched, since the host holds it to that; one that says more is
//! refused at once. A body without the field is counted while it passes. Beyond the bound it breaks off: the next stage learns
//! that it is not complete, and the client gets 413 if the response has not begun. Until then, at most [`Keys::max`] bytes
//! have reached the next stage.

use linkspan_sdk::{
    AsyncNext, Body, BodyWriter, Error, MediaRange, Request, Response, Size, StreamReader, StreamResult,
    Trailers, at_once, configuration, middleware, spawn_local,
};
use std::cell::Cell;
use std::rc::Rc;

/// What is read at once.
const PIECE: usize = 16 * 1024;

configuration! {
    /// Refuses requests whose body is too large (413) or of another type (415).
    struct Keys {
        /// The most bytes that a body may have: `"1MiB"`.
        required max: Size,
        /// The media types that a body may have, by its `Content-Type`; any, if it is missing.
        list types: MediaRange,
    }
}

/// What the fields of a request say of the length of its body; `None` if they do not say it.
fn announced(values: &[Vec<u8>]) -> Option<u64> {
    let [value] = values else { return None };
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // One that has no room in a number is too large in any case.
    Some(std::str::from_utf8(value).ok()?.parse().unwrap_or(u64::MAX))
}

/// Whether a body of this type may pass.
fn is_allowed(types: Option<&[MediaRange]>, values: &[Vec<u8>]) -> bool {
    let Some(types) = types else { return true };
    let [value] = values else { return false };
    std::str::from_utf8(value).is_ok_and(|value| types.iter().any(|range| range.matches(value)))
}

fn too_large() -> Response {
    Response::problem(413, "The request's body is too large")
}

fn other_type() -> Response {
    Response::problem(415, "The request's body is of a type that is not supported")
}

async fn handle(keys: &'static Keys, mut request: Request, next: AsyncNext) -> Result<Response, Error> {
    let max = keys.max.bytes();
    let is_allowed =
        |request: &Request| is_allowed(keys.types.as_deref(), &request.header_values("content-type"));
    match announced(&request.header_values("content-length")) {
        Some(length) if length > max => return Ok(too_large()),
        Some(length) if length > 0 && !is_allowed(&request) => return Ok(other_type()),
        Some(_) => return next.call(request).await,
        None => {}
    }
    let is_allowed = is_allowed(&request);
    let body = request.take_body()?;
    let Some((Some(contents), trailers)) = body.into_streams() else { return next.call(request).await };
    let mut first = Box::pin(read(contents, Vec::with_capacity(PIECE)));
    let seen = at_once(first.as_mut()).await;
    match &seen {
        // Most requests without a length have no body, and say so at once.
        Some(Piece { bytes, is_last: true, .. }) if bytes.is_empty() => {
            request.set_body(Body::from_streams(None, trailers));
            return next.call(request).await;
        }
        _ if !is_allowed => return Ok(other_type()),
        Some(Piece { bytes, .. }) if bytes.len() as u64 > max => return Ok(too_large()),
        _ => {}
    }
    let (writer, counted) = Body::channel();
    request.set_body(counted);
    let exceeded = Rc::new(Cell::new(false));
    let tell = Rc::clone(&exceeded);
    spawn_local(async move {
        let piece = match seen {
            Some(piece) => piece,
            None => first.await,
        };
        if count(piece, trailers, writer, max).await {
            tell.set(true);
        }
    });
    let response = next.call(request).await;
    // What the next stage made of a part is no answer to the whole.
    if exceeded.get() { Ok(too_large()) } else { response }
}
middleware!(async handle, Keys);

/// Bytes of a body, and the rest of it.
struct Piece {
    bytes: Vec<u8>,
    is_last: bool,
    rest: StreamReader<u8>,
}

async fn read(mut contents: StreamReader<u8>, room: Vec<u8>) -> Piece {
    let (result, bytes) = contents.read(room).await;
    Piece { bytes, is_last: result == StreamResult::Dropped, rest: contents }
}

/// Passes a body on that begins with this piece, as long as it is not longer than `max`. Returns whether it is.
async fn count(mut piece: Piece, trailers: Trailers, mut writer: BodyWriter, max: u64) -> bool {
    let mut left = max;
    loop {
        let Piece { bytes, is_last, rest } = piece;
        let Some(less) = left.checked_sub(bytes.len() as u64) else {
            drop(rest);
            // Said before the contents end, and so before anybody can take them for complete.
            let over = Error::HttpRequestBodySize(Some(max));
            let told = writer.trailers.write(Err(over));
            drop(writer.contents);
            // Whoever has left needs no reason.
            let _ = told.await;
            return true;
        };
        left = less;
        let room = match writer.contents.write_all(bytes).await {
            unread if unread.is_empty() => unread,
            // Nobody reads it any more.
            _ => return false,
        };
        if is_last {
            break;
        }
        piece = read(rest, with_room(room)).await;
    }
    drop(writer.contents);
    let _ = writer.trailers.write(trailers.await).await;
    false
}

/// The memory of a piece that was written, for the next one.
fn with_room(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.clear();
    bytes.reserve(PIECE);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_sdk::{Config, Value};

    fn values(values: &[&str]) -> Vec<Vec<u8>> {
        values.iter().map(|value| value.as_bytes().to_vec()).collect()
    }

    #[test]
    fn lengths_are_read_as_the_standard_writes_them() {
        for (fields, length) in [
            (&["0"][..], Some(0)),
            (&["1048576"], Some(1 << 20)),
            (&["007"], Some(7)),
            (&["18446744073709551616"], Some(u64::MAX)),
            (&["99999999999999999999999999999999"], Some(u64::MAX)),
            // What is no number is counted.
            (&[], None),
            (&[""], None),
            (&["-1"], None),
            (&["+1"], None),
            (&["0x10"], None),
            (&["1e3"], None),
            (&["1 "], None),
            (&["1, 1"], None),
            (&["1", "1"], None),
        ] {
            assert_eq!(announced(&values(fields)), length, "{fields:?}");
        }
    }

    #[test]
    fn types_are_those_of_the_list() {
        let types = ["application/json", "text/*"].map(|range| MediaRange::parse(range).expect("a range"));
        for (fields, allowed) in [
            (&["application/json; charset=utf-8"][..], true),
            (&["text/csv"], true),
            (&["application/xml"], false),
            (&["application/json, text/html"], false),
            (&["application/json", "application/json"], false),
            (&[], false),
        ] {
            assert_eq!(is_allowed(Some(&types), &values(fields)), allowed, "{fields:?}");
            assert!(is_allowed(None, &values(fields)));
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (entries, start) in [
            (&[][..], "`max` is missing"),
            (&[("max", "1000000")], "`max` is not a size"),
            (&[("max", "1MB")], "`max` is not a size"),
            (&[("max", "1MiB"), ("types", "json")], "`types` is not a media type"),
        ] {
            let entries = entries.iter().map(|(key, value)| (key.to_string(), value.to_string()));
            let error = Config::read::<Keys>(entries).err().unwrap_or_default();
            assert!(error.starts_with(start), "{error}");
        }
    }
}
