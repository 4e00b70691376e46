//! A middleware that reaches outside through WASI 0.3, as its configuration says,
//! and tells in the response what came of it.
//!
//! | key | meaning |
//! | --- | --- |
//! | `name` | the fields are `x-<name>-file`, `-write`, `-connect` and `-lookup` |
//! | `port` | connects a TCP socket to this port of 127.0.0.1 |
//! | `host` | looks its addresses up |
//!
//! It reads `file` of the first directory, and creates `new` there. An error is
//! told as its code.

use linkspan_sdk::bindings::wasi::filesystem::preopens;
use linkspan_sdk::bindings::wasi::filesystem::types::{
    Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags,
};
use linkspan_sdk::bindings::wasi::sockets::ip_name_lookup::resolve_addresses;
use linkspan_sdk::bindings::wasi::sockets::types::{
    ErrorCode as SocketError, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket,
};
use linkspan_sdk::{AsyncNext, Config, Error, FromConfig, HeaderName, Request, Response, middleware};

struct Options {
    name: HeaderName,
    port: u16,
    host: String,
}

impl FromConfig for Options {
    fn from_config(config: &mut Config) -> Option<Self> {
        let name = config.required("name");
        let port = config.required("port");
        let host = config.required("host");
        Some(Self { name: name?, port: port?, host: host? })
    }
}

async fn handle(options: &'static Options, request: Request, next: AsyncNext) -> Result<Response, Error> {
    let read = match first_directory() {
        Some(directory) => read(&directory).await.unwrap_or_else(|error| format!("{error:?}")),
        None => "no directory".to_owned(),
    };
    let written = match first_directory() {
        Some(directory) => {
            create(&directory).await.map_or_else(|error| format!("{error:?}"), |()| "ok".into())
        }
        None => "no directory".to_owned(),
    };
    let connected = connect(options.port).await.map_or_else(|error| format!("{error:?}"), |()| "ok".into());
    let looked_up = resolve_addresses(options.host.clone()).await;
    let looked_up = looked_up.map_or_else(|error| format!("{error:?}"), |_| "ok".into());
    let mut response = next.call(request).await?;
    for (what, seen) in [("file", read), ("write", written), ("connect", connected), ("lookup", looked_up)] {
        response.headers_mut().set(format!("x-{}-{what}", options.name.as_str()), seen);
    }
    Ok(response)
}
middleware!(async handle, Options);

fn first_directory() -> Option<Descriptor> {
    preopens::get_directories().into_iter().next().map(|(directory, _)| directory)
}

async fn read(directory: &Descriptor) -> Result<String, ErrorCode> {
    let (open, flags) = (OpenFlags::empty(), DescriptorFlags::READ);
    let file = directory.open_at(PathFlags::SYMLINK_FOLLOW, "file".into(), open, flags).await?;
    let (stream, done) = file.read_via_stream(0);
    let bytes = stream.collect().await;
    done.await?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

async fn create(directory: &Descriptor) -> Result<(), ErrorCode> {
    let (open, flags) = (OpenFlags::CREATE, DescriptorFlags::WRITE);
    directory.open_at(PathFlags::empty(), "new".into(), open, flags).await.map(drop)
}

async fn connect(port: u16) -> Result<(), SocketError> {
    let socket = TcpSocket::create(IpAddressFamily::Ipv4)?;
    let address = Ipv4SocketAddress { port, address: (127, 0, 0, 1) };
    socket.connect(IpSocketAddress::Ipv4(address)).await
}
