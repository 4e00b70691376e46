//! The functions of `wasi:http/types` that make messages, set their parts and open their bodies.

use super::abi::Bytes;
use super::call::{Call, HostFunction, calling, host_function, place};
use super::handles::Resource;
use super::message::{Body, Message, Options, Request, Response};
use super::pipes::{Consumer, Kind, PipeId, Producer, Side, Writer};
use super::receipt::receipt as make_receipt;
use super::signature::{receipt, trailers};
use super::source::Source;
use super::state::State;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, StatusCode};
use wasm_encoder::ValType::I32;
use wasmtime::{Result, bail};
use wasmtime_wasi_http::FieldMap;

macro_rules! consumed {
    ($message:literal) => {
        concat!(
            "(this: own<wasi:http/types#",
            $message,
            ">, res: ",
            receipt!(),
            ") -> tuple<stream<u8>,",
            trailers!(),
            ">",
        )
    };
}

pub const FUNCTIONS: &[HostFunction] = &[
    host_function!(
        "wasi:http/types#[static]request.new",
        concat!(
            "(headers: own<wasi:http/types#fields>, contents: option<stream<u8>>, trailers: ", trailers!(),
            ", options: option<own<wasi:http/types#request-options>>) -> tuple<own<wasi:http/types#request>,",
            receipt!(), ">",
        ),
        [I32, I32, I32, I32, I32, I32, I32] -> [], false, new_request
    ),
    host_function!(
        "wasi:http/types#[static]response.new",
        concat!(
            "(headers: own<wasi:http/types#fields>, contents: option<stream<u8>>, trailers: ", trailers!(),
            ") -> tuple<own<wasi:http/types#response>,", receipt!(), ">",
        ),
        [I32, I32, I32, I32, I32] -> [], false, new_response
    ),
    host_function!(
        "wasi:http/types#[static]request.consume-body", consumed!("request"),
        [I32, I32, I32] -> [], false, consume::<Request>
    ),
    host_function!(
        "wasi:http/types#[static]response.consume-body", consumed!("response"),
        [I32, I32, I32] -> [], false, consume::<Response>
    ),
    host_function!(
        "wasi:http/types#[method]request.set-method",
        "(self: borrow<wasi:http/types#request>, \
         method: variant{get,head,post,put,delete,connect,options,trace,patch,other(string)}) -> result<_>",
        [I32, I32, I32, I32] -> [I32], false, set_method
    ),
    host_function!(
        "wasi:http/types#[method]request.set-path-with-query",
        "(self: borrow<wasi:http/types#request>, path-with-query: option<string>) -> result<_>",
        [I32, I32, I32, I32] -> [I32], false, set_path_with_query
    ),
    host_function!(
        "wasi:http/types#[method]request.set-scheme",
        "(self: borrow<wasi:http/types#request>, scheme: option<variant{HTTP,HTTPS,other(string)}>) -> result<_>",
        [I32, I32, I32, I32, I32] -> [I32], false, set_scheme
    ),
    host_function!(
        "wasi:http/types#[method]request.set-authority",
        "(self: borrow<wasi:http/types#request>, authority: option<string>) -> result<_>",
        [I32, I32, I32, I32] -> [I32], false, set_authority
    ),
];

/// An option's discriminant.
/// The flag of an option.
pub fn is_some(case: i32) -> Result<bool> {
    match case {
        0 => Ok(false),
        1 => Ok(true),
        _ => bail!("unexpected discriminant"),
    }
}

/// The parts of a message that a stage makes: its fields, its body, and the future that tells what becomes of that.
fn parts(
    state: &mut State,
    stage: usize,
    (headers, is_there, contents, trailers): (i32, i32, i32, i32),
) -> Result<(Box<FieldMap>, Option<PipeId>, PipeId)> {
    let headers = state.stages[stage].handles.take::<FieldMap>(place(headers))?;
    let contents = match is_some(is_there)? {
        true => Some(state.take_reader(stage, place(contents), Kind::Bytes)?),
        false => None,
    };
    Ok((headers, contents, state.take_reader(stage, place(trailers), Kind::Trailers)?))
}

/// The body of such parts, and the future. One that is the host's, and that nobody has begun to read, stays the host's.
fn body(state: &mut State, contents: Option<PipeId>, trailers: PipeId) -> Result<(Body, PipeId)> {
    let source = match contents {
        Some(contents) => state.pipes.unwrap(contents)?,
        None => None,
    };
    let (teller, told) = make_receipt();
    let body = match source {
        Some(source) => {
            state.pipes.drop_reader(trailers)?;
            Body::Host(source.into_body(), Some(teller))
        }
        None => Body::Stage { contents, trailers, teller },
    };
    Ok((body, state.pipes.make(Kind::Receipt, Writer::Host(Producer::Receipt(told)))?))
}

#[expect(clippy::too_many_arguments, reason = "as the canonical ABI passes them")]
fn new_request(
    mut call: Call<'_>,
    stage: i32,
    headers: i32,
    is_there: i32,
    contents: i32,
    trailers: i32,
    has_options: i32,
    options: i32,
    at: i32,
) -> Result<()> {
    let (index, mut bytes, state) = calling(&mut call, stage)?;
    let (mut headers, contents, trailers) = parts(state, index, (headers, is_there, contents, trailers))?;
    let options = match is_some(has_options)? {
        true => Some(state.stages[index].handles.take::<Options>(place(options))?.into_arc()),
        false => None,
    };
    let (body, told) = body(state, contents, trailers)?;
    headers.set_immutable();
    let request = Request {
        method: Method::GET,
        scheme: None,
        authority: None,
        path_with_query: None,
        headers: *headers,
        options,
        body,
    };
    give(&mut bytes, state, index, (request, told), at)
}

fn new_response(
    mut call: Call<'_>,
    stage: i32,
    headers: i32,
    is_there: i32,
    contents: i32,
    trailers: i32,
    at: i32,
) -> Result<()> {
    let (index, mut bytes, state) = calling(&mut call, stage)?;
    let (mut headers, contents, trailers) = parts(state, index, (headers, is_there, contents, trailers))?;
    let (body, told) = body(state, contents, trailers)?;
    headers.set_immutable();
    let response = Response { status: StatusCode::OK, headers: *headers, body };
    give(&mut bytes, state, index, (response, told), at)
}

/// Gives a stage a message that it made, and the future that tells what becomes of its body.
fn give<M: Resource>(
    bytes: &mut Bytes<'_>,
    state: &mut State,
    stage: usize,
    (message, told): (M, PipeId),
    at: i32,
) -> Result<()> {
    let message = state.push(stage, Box::new(message))?;
    let told = state.push_end(stage, told, Side::Read)?;
    put_pair(bytes, at, message, told)
}

fn put_pair(bytes: &mut Bytes<'_>, at: i32, first: u32, second: u32) -> Result<()> {
    let at = bytes.place(place(at), 8, 4)?;
    bytes.put_word(at, first)?;
    bytes.put_word(at + 4, second)
}

/// Opens a message's body for a stage, which tells with `told` how it receives it.
fn consume<M: Resource + Message>(
    mut call: Call<'_>,
    stage: i32,
    message: i32,
    told: i32,
    at: i32,
) -> Result<()> {
    let (stage, mut bytes, state) = calling(&mut call, stage)?;
    let message = state.stages[stage].handles.take::<M>(place(message))?;
    let told = state.take_reader(stage, place(told), Kind::Receipt)?;
    let (contents, trailers, teller) = match message.into_body() {
        Body::Stage { contents: Some(contents), trailers, teller } => (contents, trailers, Some(teller)),
        Body::Stage { contents: None, trailers, teller } => {
            let contents = state.pipes.make(Kind::Bytes, Writer::Host(Producer::Empty))?;
            (contents, trailers, Some(teller))
        }
        Body::Host(body, teller) => {
            let (source, trailers) = Source::new(body);
            let contents = state.pipes.make(Kind::Bytes, Writer::Host(Producer::Source(source)))?;
            let trailers = state.pipes.make(Kind::Trailers, Writer::Host(Producer::Trailers(trailers)))?;
            (contents, trailers, teller)
        }
    };
    state.pipes.consume(told, Consumer::Teller(teller.filter(|teller| teller.is_heard())))?;
    let contents = state.push_end(stage, contents, Side::Read)?;
    let trailers = state.push_end(stage, trailers, Side::Read)?;
    put_pair(&mut bytes, at, contents, trailers)
}

/// 0 if it is set, 1 if there is no such thing.
fn set<T>(
    state: &mut State,
    stage: usize,
    request: i32,
    value: std::result::Result<T, ()>,
    set: impl FnOnce(&mut Request, T),
) -> Result<i32> {
    let request = state.stages[stage].handles.get::<Request>(place(request))?;
    Ok(match value {
        Ok(value) => {
            set(request, value);
            0
        }
        Err(()) => 1,
    })
}

fn set_method(
    mut call: Call<'_>,
    stage: i32,
    request: i32,
    case: i32,
    other: i32,
    length: i32,
) -> Result<i32> {
    static METHODS: [Method; 9] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::CONNECT,
        Method::OPTIONS,
        Method::TRACE,
        Method::PATCH,
    ];
    let (index, bytes, state) = calling(&mut call, stage)?;
    let method = match usize::try_from(case).ok().and_then(|case| METHODS.get(case)) {
        Some(method) => Ok(method.clone()),
        None if case == 9 => {
            let name = bytes.string((other, length), state.call_bytes())?;
            state.keep(name.len())?;
            name.parse().map_err(|_| ())
        }
        None => bail!("unexpected discriminant"),
    };
    set(state, index, request, method, |request, method| request.method = method)
}

/// The text of an option, which is to be kept.
fn text(bytes: &Bytes<'_>, state: &mut State, is_there: i32, place: (i32, i32)) -> Result<Option<String>> {
    if !is_some(is_there)? {
        return Ok(None);
    }
    let text = bytes.string(place, state.call_bytes())?;
    state.keep(text.len())?;
    Ok(Some(text))
}

fn set_path_with_query(
    mut call: Call<'_>,
    stage: i32,
    request: i32,
    is_there: i32,
    path: i32,
    length: i32,
) -> Result<i32> {
    let (index, bytes, state) = calling(&mut call, stage)?;
    let path = text(&bytes, state, is_there, (path, length))?;
    let path = path.map(|path| parse_path(&path).ok_or(())).transpose();
    set(state, index, request, path, |request, path| request.path_with_query = path)
}

/// As wasmtime-wasi-http has it.
fn parse_path(path: &str) -> Option<PathAndQuery> {
    if !(path.is_empty() || path.starts_with(['/', '?'])) {
        return None;
    }
    let uri = http::uri::Builder::new().path_and_query(path).build().ok()?;
    uri.path_and_query().cloned()
}

fn set_scheme(
    mut call: Call<'_>,
    stage: i32,
    request: i32,
    is_there: i32,
    case: i32,
    other: i32,
    length: i32,
) -> Result<i32> {
    let (index, bytes, state) = calling(&mut call, stage)?;
    let scheme = match (is_some(is_there)?, case) {
        (false, _) => Ok(None),
        (true, 0) => Ok(Some(Scheme::HTTP)),
        (true, 1) => Ok(Some(Scheme::HTTPS)),
        (true, 2) => {
            let scheme = bytes.string((other, length), state.call_bytes())?;
            scheme.parse().map(Some).map_err(|_| ())
        }
        _ => bail!("unexpected discriminant"),
    };
    set(state, index, request, scheme, |request, scheme| request.scheme = scheme)
}

fn set_authority(
    mut call: Call<'_>,
    stage: i32,
    request: i32,
    is_there: i32,
    authority: i32,
    length: i32,
) -> Result<i32> {
    let (index, bytes, state) = calling(&mut call, stage)?;
    let authority = text(&bytes, state, is_there, (authority, length))?;
    let authority = authority.map(|authority| parse_authority(authority).ok_or(())).transpose();
    set(state, index, request, authority, |request, authority| request.authority = authority)
}

/// As wasmtime-wasi-http has it: a port that is begun is one.
fn parse_authority(authority: String) -> Option<Authority> {
    let port = authority.rfind(']').map_or(authority.as_str(), |end| &authority[end..]).contains(':');
    let authority = Authority::try_from(authority).ok()?;
    (!port || authority.port_u16().is_some()).then_some(authority)
}
