//! What a guest can make the host keep for it, and never gives back.
//!
//! | `x-kind` | what is kept, `x-count` times (8,000) |
//! | --- | --- |
//! | `fields` | fields of four values of 60 KB, from a list |
//! | `append` | the same, value by value |
//! | `copies` | such fields, cloned and then edited, so that they share nothing |
//! | `requests`, `responses` | those that have such fields |
//! | `paths` | requests with a path of 60 KB |
//! | `errors` | error codes with a text of 512 KiB, for a reader who never reads |
//! | `futures`, `streams` | those that nobody reads or writes |
//! | `tasks` | calls of the host that take an hour |

use linkspan_sdk::bindings::wasi::http::types::{Request, Response};
use linkspan_sdk::bindings::{wit_future, wit_stream};
use linkspan_sdk::{Error, Fields, FutureReader, clock, internal, spawn_local};
use std::mem::forget;
use std::time::Duration;

const VALUE: usize = 60_000;
const TEXT: usize = 512 << 10;

/// Have `count` of `kind` kept, one after the other.
pub async fn hoard(kind: &str, count: usize) -> Result<(), Error> {
    let value = vec![b'v'; VALUE];
    let large = large(&value)?;
    for at in 0..count {
        match kind {
            "fields" => forget(self::large(&value)?),
            "append" => {
                let fields = Fields::new();
                for _ in 0..4 {
                    fields.append("x-kept", &value).map_err(refused)?;
                }
                forget(fields);
            }
            "copies" => {
                let copy = large.clone();
                copy.append("x-own", b"1").map_err(refused)?;
                forget(copy);
            }
            "requests" => forget(Request::new(self::large(&value)?, None, no_trailers(), None)),
            "responses" => forget(Response::new(self::large(&value)?, None, no_trailers())),
            "paths" => {
                let (request, sent) = Request::new(Fields::new(), None, no_trailers(), None);
                let path = format!("/{}", "p".repeat(VALUE));
                request.set_path_with_query(Some(&path)).map_err(|()| internal("a path was refused"))?;
                forget((request, sent));
            }
            "errors" => error().await,
            "futures" => forget(wit_future::new::<Result<(), Error>>(|| Ok(()))),
            "streams" => forget(wit_stream::new::<u8>()),
            "tasks" => {
                spawn_local(clock::sleep(Duration::from_secs(3_600)));
                if at % 100 == 99 {
                    // Those that were spawned begin.
                    clock::sleep(Duration::from_nanos(1)).await;
                }
            }
            _ => return Err(internal("there is no such kind")),
        }
    }
    Ok(())
}

fn refused(error: impl core::fmt::Debug) -> Error {
    internal(format!("refused: {error:?}"))
}

/// Fields of four values.
fn large(value: &[u8]) -> Result<Fields, Error> {
    let list = ["x-a", "x-b", "x-c", "x-d"].map(|name| (name.to_owned(), value.to_vec()));
    Fields::from_list(&list).map_err(refused)
}

fn no_trailers() -> FutureReader<Result<Option<Fields>, Error>> {
    let (writer, reader) = wit_future::new(|| Ok(None));
    forget(writer);
    reader
}

/// Say that a body failed, and never ask what became of it.
async fn error() {
    let (response, result) = Response::new(Fields::new(), None, no_trailers());
    let (writer, received) = wit_future::new(|| Ok(()));
    let (contents, trailers) = Response::consume_body(response, received);
    forget((contents, trailers, result));
    let _ = writer.write(Err(internal("e".repeat(TEXT)))).await;
}
