//! Types of HTTP, whose resources must be the same for all stages of a store, and edits of them in place.

use crate::host::state::InstanceState;
use crate::host::{headers, kept};
use wasmtime_wasi_http::{WasiHttp, p2, p3};

offers! {
    shared "wasi:http/types" "0.3" (|linker| {
        p3::bindings::http::types::add_to_linker::<_, WasiHttp>(linker, InstanceState::http)?;
        kept::types::add_to_linker(linker)
    });
    // It does nothing that `wasi:http/types` doesn't, to the same resources.
    shared "linkspan:gateway/headers" "0.1" (|linker| headers::add_to_linker(linker));
    shared "wasi:http/types" "0.2" (|linker| {
        use p2::bindings::http::types;
        let options = types::LinkOptions::default();
        types::add_to_linker::<_, WasiHttp>(linker, &options, InstanceState::http)?;
        kept::heads::add_0_2(linker)
    });
}
