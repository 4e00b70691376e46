//! What a guest of WASI 0.2 can make the host keep for it, and never gives back.
//!
//! | `x-kind` | what is kept |
//! | --- | --- |
//! | `fields`, `append`, `copies` | fields of 240 KB: from a list, value by value, cloned and edited |
//! | `requests` | requests with such fields |
//! | `bodies` | requests of which 64 KiB of a body are written, and which are never sent |
//! | `trailers` | the same, with trailers of 240 KB instead |
//! | `pollables` | clocks that nobody waits for |

use linkspan_wasi2::bindings::wasi::clocks::monotonic_clock::subscribe_duration;
use linkspan_wasi2::bindings::wasi::http::types::{Fields, OutgoingBody, OutgoingRequest};
use std::mem::forget;

/// Have `count` of `kind` kept, one after the other.
pub fn hoard(kind: &str, count: u64) {
    let value = vec![b'v'; 60_000];
    let large = || {
        let list = ["x-a", "x-b", "x-c", "x-d"].map(|name| (name.to_owned(), value.clone()));
        Fields::from_list(&list).expect("fields within their bound")
    };
    let first = large();
    for _ in 0..count {
        match kind {
            "fields" => forget(large()),
            "append" => {
                let fields = Fields::new();
                for _ in 0..4 {
                    fields.append("x-kept", &value).expect("fields within their bound");
                }
                forget(fields);
            }
            "copies" => {
                let copy = first.clone();
                copy.append("x-own", b"1").expect("a field more");
                forget(copy);
            }
            "requests" => forget(OutgoingRequest::new(large())),
            "bodies" => {
                let request = OutgoingRequest::new(Fields::new());
                let body = request.body().expect("its only body");
                let stream = body.write().expect("its only stream");
                let _ = stream.write(&value);
                forget((request, body, stream));
            }
            "trailers" => {
                let request = OutgoingRequest::new(Fields::new());
                let body = request.body().expect("its only body");
                let _ = OutgoingBody::finish(body, Some(large()));
                forget(request);
            }
            "pollables" => forget(subscribe_duration(3_600_000_000_000)),
            _ => return,
        }
    }
}
