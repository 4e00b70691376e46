//! A body with its trailers.

use crate::bindings::wasi::http::types;
use crate::bindings::{wit_future, wit_stream};
use crate::error::{Error, internal};
use crate::outstanding;
use crate::value::Value;
use std::borrow::Cow;
use std::cell::Cell;
use wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamResult, StreamWriter};

/// The trailers of a body that is still to come.
pub type Trailers = FutureReader<Result<Option<types::Trailers>, Error>>;

/// Where the sender of a body learns how it was received.
type Received = FutureReader<Result<(), Error>>;

/// What can write a body: its bytes, then its trailers, which must be written
/// (`Ok(None)` if there are none) for the body to be complete.
pub struct BodyWriter {
    /// Drop it to end the bytes.
    pub contents: StreamWriter<u8>,
    /// Must be written, after the bytes.
    pub trailers: FutureWriter<Result<Option<types::Trailers>, Error>>,
}

/// A body with its trailers: none, some bytes, or a stream that is passed on
/// as it is, without its bytes ever entering the component.
pub struct Body(Content);

enum Content {
    Empty,
    Bytes(Cow<'static, [u8]>),
    Streams(Option<StreamReader<u8>>, Trailers),
}

impl Body {
    /// The most bytes that [`Body::bytes`] takes.
    ///
    /// A body from a sync function is read from the instance's memory in one
    /// piece; this is well below what any host reads at once.
    pub const MAX_BYTES: usize = 16 * 1024;

    /// No body.
    pub const fn empty() -> Self {
        Self(Content::Empty)
    }

    /// A small body. In the sync form, bytes beyond [`Body::MAX_BYTES`] make
    /// the request or response fail: stream what is larger, in the async form.
    pub fn bytes(bytes: impl Into<Cow<'static, [u8]>>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return Self::empty();
        }
        Self(Content::Bytes(bytes))
    }

    /// A body from its streams.
    pub fn from_streams(contents: Option<StreamReader<u8>>, trailers: Trailers) -> Self {
        Self(Content::Streams(contents, trailers))
    }

    /// A body that is written while it is read; async form.
    pub fn channel() -> (BodyWriter, Self) {
        let (contents, reader) = wit_stream::new();
        // The default is written should the writer be dropped: whoever reads
        // the body learns that it was cut short.
        let (trailers, trailers_reader) = wit_future::new(|| Err(Error::HttpResponseIncomplete));
        let writer = BodyWriter { contents, trailers };
        (writer, Self::from_streams(Some(reader), trailers_reader))
    }

    /// The streams of a body that came with a request or a response; `None`
    /// for a body that was made here.
    pub fn into_streams(self) -> Option<(Option<StreamReader<u8>>, Trailers)> {
        match self.0 {
            Content::Streams(contents, trailers) => Some((contents, trailers)),
            Content::Empty | Content::Bytes(_) => None,
        }
    }

    /// All of its bytes, of which there may be `limit`; async form.
    ///
    /// # Errors
    /// `HTTP-response-body-size` for more bytes, and what its sender says if it did not
    /// come to its end.
    pub async fn into_bytes(self, limit: usize) -> Result<Vec<u8>, Error> {
        let (contents, trailers) = match self.0 {
            Content::Empty => return Ok(Vec::new()),
            Content::Bytes(bytes) => return Ok(bytes.into_owned()),
            Content::Streams(contents, trailers) => (contents, trailers),
        };
        let mut bytes = Vec::new();
        if let Some(mut contents) = contents {
            let mut chunk = Vec::with_capacity(Self::MAX_BYTES);
            loop {
                let result;
                (result, chunk) = contents.read(chunk).await;
                if bytes.len() + chunk.len() > limit {
                    return Err(Error::HttpResponseBodySize(Some(limit as u64)));
                }
                bytes.append(&mut chunk);
                if result == StreamResult::Dropped {
                    break;
                }
            }
        }
        trailers.await.map(|_| bytes)
    }

    /// Its length, where it is known: what `content-length` should say.
    pub fn len(&self) -> Option<usize> {
        match &self.0 {
            Content::Empty => Some(0),
            Content::Bytes(bytes) => Some(bytes.len()),
            Content::Streams(..) => None,
        }
    }

    /// Whether it is known to be empty.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// Open the body for a sync function: see `outstanding`.
    fn open(self) -> Result<Opened, Error> {
        let contents = match self.0 {
            Content::Streams(contents, trailers) => return Ok(Opened::streams(contents, trailers)),
            Content::Empty => None,
            Content::Bytes(bytes) if bytes.len() > Self::MAX_BYTES => {
                return Err(internal("a body of this size needs the async form"));
            }
            Content::Bytes(bytes) => Some(outstanding::stream(bytes)?),
        };
        let (resolve, trailers) = outstanding::no_trailers();
        Ok(Opened { contents, trailers, resolve: Some(resolve) })
    }

    /// Open the body for an async function, whose task can go on writing.
    fn open_spawned(self) -> Result<Opened, Error> {
        let Content::Bytes(bytes) = self.0 else {
            return self.open();
        };
        let (mut writer, reader) = wit_stream::new();
        let (resolve, trailers) = outstanding::no_trailers();
        wit_bindgen::spawn_local(async move {
            writer.write_all(bytes.into_owned()).await;
        });
        Ok(Opened { contents: Some(reader), trailers, resolve: Some(resolve) })
    }
}

/// The text of a whole body, as a configuration has it: at most [`Body::MAX_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyText(String);

impl BodyText {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for BodyText {
    fn parse(text: &str) -> Result<Self, String> {
        if text.len() > Body::MAX_BYTES {
            return Err(format!("is longer than {} bytes", Body::MAX_BYTES));
        }
        Ok(Self(text.into()))
    }
}

/// A body ready to be given to `request.new` or `response.new`.
pub(crate) struct Opened {
    pub(crate) contents: Option<StreamReader<u8>>,
    pub(crate) trailers: Trailers,
    /// To be resolved once the trailers have been handed on.
    pub(crate) resolve: Option<outstanding::Resolve>,
}

impl Opened {
    fn streams(contents: Option<StreamReader<u8>>, trailers: Trailers) -> Self {
        Self { contents, trailers, resolve: None }
    }
}

thread_local! {
    /// Whether tasks write bodies, as in the async form. Where nothing sets it, the compiler
    /// knows that, and what would be spawned is left out.
    static SPAWNS: Cell<bool> = const { Cell::new(false) };
}

/// Bodies are written by tasks from now on; async form.
pub(crate) fn spawns() {
    SPAWNS.set(true);
}

/// Open the body of a request or response that is handed on.
pub(crate) fn open(body: Body) -> Result<Opened, Error> {
    if SPAWNS.get() { body.open_spawned() } else { body.open() }
}

/// Take the streams of a resource with `consume-body`, and report its receipt.
pub(crate) fn consume<T>(
    resource: T,
    consume_body: fn(T, Received) -> (StreamReader<u8>, Trailers),
) -> Result<Body, Error> {
    let (resolve, received) = outstanding::received();
    let (contents, trailers) = consume_body(resource, received);
    resolve.resolve()?;
    Ok(Body::from_streams(Some(contents), trailers))
}
