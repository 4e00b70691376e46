//! The functions of `wasi:http/types` that can grow host memory: wasmtime-wasi-http's, with counting.
//!
//! They replace wasmtime-wasi-http's functions in the linker. The other functions can only make an entry of the store's
//! table, whose number is bounded, or move something that was counted when it arrived.

use super::heads;
use crate::host::state::InstanceState;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::oneshot;
use wasmtime::component::{Access, FutureConsumer, FutureReader, Linker, Resource, Source, StreamReader};
use wasmtime::{AsContextMut as _, StoreContextMut};
use wasmtime_wasi_http::p3::bindings::http::types::{
    ErrorCode, FieldSizePayload, HostRequestWithStore, HostResponseWithStore, RequestOptions,
};
use wasmtime_wasi_http::p3::{Request, Response};
use wasmtime_wasi_http::{FieldMap, WasiHttp};

type Store<'a> = StoreContextMut<'a, InstanceState>;
type Fields = Resource<FieldMap>;
type Trailers = FutureReader<Result<Option<Fields>, ErrorCode>>;
type Received = FutureReader<Result<(), ErrorCode>>;

/// The most of an error's text that is kept for a reader: no more than what its future counts.
const MAX_ERROR_TEXT: usize = 2 << 10;

/// Puts these functions in front of those that `linker` has.
pub(in crate::host) fn add_to_linker(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    heads::add_0_3(linker)?;
    linker.allow_shadowing(true);
    add_bodies(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn add_bodies(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:http/types@0.3.0")?;
    types.func_wrap(
        "[static]request.new",
        |mut store: Store<'_>,
         (headers, contents, trailers, options): (
            Fields,
            Option<StreamReader<u8>>,
            Trailers,
            Option<Resource<RequestOptions>>,
        )| {
            let (request, sent): (Resource<Request>, Received) =
                <WasiHttp as HostRequestWithStore<InstanceState>>::new(
                    http(&mut store),
                    headers,
                    contents,
                    trailers,
                    options,
                )?;
            store.data_mut().guest_made.insert(request.rep());
            Ok(((request, sent),))
        },
    )?;
    types.func_wrap(
        "[static]response.new",
        |mut store: Store<'_>,
         (headers, contents, trailers): (Fields, Option<StreamReader<u8>>, Trailers)| {
            let (response, sent): (Resource<Response>, Received) =
                <WasiHttp as HostResponseWithStore<InstanceState>>::new(
                    http(&mut store),
                    headers,
                    contents,
                    trailers,
                )?;
            store.data_mut().guest_made.insert(response.rep());
            Ok(((response, sent),))
        },
    )?;
    types.func_wrap(
        "[static]request.consume-body",
        |mut store: Store<'_>, (request, received): (Resource<Request>, Received)| {
            let received = within_bounds(&mut store, request.rep(), received)?;
            Ok((<WasiHttp as HostRequestWithStore<InstanceState>>::consume_body(
                http(&mut store),
                request,
                received,
            )?,))
        },
    )?;
    types.func_wrap(
        "[static]response.consume-body",
        |mut store: Store<'_>, (response, received): (Resource<Response>, Received)| {
            let received = within_bounds(&mut store, response.rep(), received)?;
            Ok((<WasiHttp as HostResponseWithStore<InstanceState>>::consume_body(
                http(&mut store),
                response,
                received,
            )?,))
        },
    )
}

fn http<'a>(store: &'a mut Store<'_>) -> Access<'a, InstanceState, WasiHttp> {
    Access::<InstanceState, WasiHttp>::new(store.as_context_mut(), InstanceState::http)
}

/// A guest's report of how it received the body of the message at `rep`, as it may be kept: the host keeps it until the
/// guest that made the message asks, which may be never. The maker of a message from outside of the store never asks.
///
/// A text may be as long as a guest may pass in one call. Texts may stay whole as long as a quarter of the bound
/// suffices for them; others are cut to [`MAX_ERROR_TEXT`] on their way, which takes one more future.
fn within_bounds(store: &mut Store<'_>, rep: u32, received: Received) -> wasmtime::Result<Received> {
    if !store.data_mut().guest_made.remove(rep) || has_room_for_text(store) {
        return Ok(received);
    }
    let (tell, told) = oneshot::channel();
    received.pipe(store.as_context_mut(), ShortText(Some(tell)))?;
    // A guest that says nothing has received it.
    FutureReader::new(store.as_context_mut(), async { wasmtime::error::Ok(told.await.unwrap_or(Ok(()))) })
}

/// Whether one more text may be kept whole, which is then counted.
fn has_room_for_text(store: &mut Store<'_>) -> bool {
    let most = store.data().account.texts(store.hostcall_fuel());
    if store.data().account.texts >= most {
        // Each future that may hold a text has three entries: itself, and its two ends.
        let entries = store.concurrent_resource_table().map_or(0, |table| table.iter_mut().count());
        store.data_mut().account.texts = entries / 3;
    }
    let texts = &mut store.data_mut().account.texts;
    *texts += 1;
    *texts <= most
}

/// Takes a guest's report, and passes it on with its text cut.
struct ShortText(Option<oneshot::Sender<Result<(), ErrorCode>>>);

impl<D: 'static> FutureConsumer<D> for ShortText {
    type Item = Result<(), ErrorCode>;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        mut store: StoreContextMut<'_, D>,
        mut source: Source<'_, Self::Item>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<()>> {
        let mut said = None;
        source.read(&mut store, &mut said)?;
        if let (Some(tell), Some(mut said)) = (self.0.take(), said) {
            if let Err(code) = &mut said {
                shorten(code);
            }
            // The reader is gone.
            let _ = tell.send(said);
        }
        Poll::Ready(Ok(()))
    }
}

/// Cuts the text in `code`, if it has one.
fn shorten(code: &mut ErrorCode) {
    let text = match code {
        ErrorCode::DnsError(payload) => &mut payload.rcode,
        ErrorCode::TlsAlertReceived(payload) => &mut payload.alert_message,
        ErrorCode::HttpRequestHeaderSize(Some(FieldSizePayload { field_name, .. }))
        | ErrorCode::HttpRequestTrailerSize(FieldSizePayload { field_name, .. })
        | ErrorCode::HttpResponseHeaderSize(FieldSizePayload { field_name, .. })
        | ErrorCode::HttpResponseTrailerSize(FieldSizePayload { field_name, .. }) => field_name,
        ErrorCode::HttpResponseTransferCoding(coding) | ErrorCode::HttpResponseContentCoding(coding) => {
            coding
        }
        ErrorCode::InternalError(message) => message,
        _ => return,
    };
    if let Some(text) = text {
        cut(text);
    }
}

/// Leaves as much of an error's text as is kept for a reader.
pub fn cut(text: &mut String) {
    if text.len() > MAX_ERROR_TEXT {
        text.truncate(text.floor_char_boundary(MAX_ERROR_TEXT));
        text.shrink_to_fit();
    }
}
