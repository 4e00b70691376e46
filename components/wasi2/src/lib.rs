//! What guests of the gateway's tests ask WASI 0.2 for, as its libc would, and how
//! they tell what they got: each [`look`] is a short text.

pub mod bindings;

use bindings::wasi::cli::{environment, exit, stderr, stdin, stdout, terminal_stdout};
use bindings::wasi::clocks::{monotonic_clock, wall_clock};
use bindings::wasi::filesystem::preopens;
use bindings::wasi::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};
use bindings::wasi::io::streams::StreamError;
use bindings::wasi::random::random;
use bindings::wasi::sockets::instance_network::instance_network;
use bindings::wasi::sockets::ip_name_lookup;
use bindings::wasi::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use bindings::wasi::sockets::tcp_create_socket::create_tcp_socket;
use bindings::wasi::sockets::udp_create_socket::create_udp_socket;

/// Does one thing and tells what came of it.
///
/// | what | what it does |
/// | --- | --- |
/// | `env` | tells the environment as `A=1;B=2` |
/// | `arguments` | tells the arguments, joined by `;` |
/// | `directories` | tells the paths of the directories, joined by `;` |
/// | `stdin` | reads from standard input |
/// | `print=TEXT` | prints a line to standard output and one to standard error |
/// | `terminal` | whether standard output is a terminal |
/// | `read=FILE` | the content of a file of the first directory |
/// | `write=FILE` | writes `written` into it |
/// | `connect=PORT` | connects a TCP socket to 127.0.0.1, or names the error |
/// | `datagram=PORT` | sends a UDP datagram to 127.0.0.1, or names the error |
/// | `listen` | listens on a TCP socket |
/// | `lookup` | looks a name up |
/// | `wall` | nanoseconds of the wall clock modulo a millisecond |
/// | `monotonic` | the same of the monotonic one |
/// | `sleep=MS` | holds the store for so long |
/// | `random` | whether two random numbers differ |
/// | `exit` | ends |
pub fn look(what: &str) -> String {
    let (what, argument) = what.split_once('=').unwrap_or((what, ""));
    match what {
        "env" => {
            let pairs: Vec<_> =
                environment::get_environment().iter().map(|(k, v)| format!("{k}={v}")).collect();
            pairs.join(";")
        }
        "arguments" => environment::get_arguments().join(";"),
        "directories" => {
            let names: Vec<_> = preopens::get_directories().into_iter().map(|(_, name)| name).collect();
            names.join(";")
        }
        "stdin" => match stdin::get_stdin().blocking_read(16) {
            Ok(bytes) => format!("{} bytes", bytes.len()),
            Err(StreamError::Closed) => "closed".to_owned(),
            Err(StreamError::LastOperationFailed(_)) => "failed".to_owned(),
        },
        "print" => print(argument),
        "terminal" => terminal_stdout::get_terminal_stdout().is_some().to_string(),
        "read" => read(argument).unwrap_or_else(str::to_owned),
        "write" => write(argument).unwrap_or_else(str::to_owned),
        "connect" => tell(connect(argument.parse().unwrap_or(0))),
        "datagram" => tell(datagram(argument.parse().unwrap_or(0))),
        "listen" => tell(listen()),
        "lookup" => match ip_name_lookup::resolve_addresses(&instance_network(), "localhost") {
            Ok(addresses) => {
                addresses.subscribe().block();
                tell(addresses.resolve_next_address().map(drop))
            }
            Err(error) => error.name().to_owned(),
        },
        "wall" => (wall_clock::now().nanoseconds % 1_000_000).to_string(),
        "monotonic" => (monotonic_clock::now() % 1_000_000).to_string(),
        "sleep" => {
            let milliseconds: u64 = argument.parse().unwrap_or(0);
            monotonic_clock::subscribe_duration(milliseconds * 1_000_000).block();
            "slept".to_owned()
        }
        "random" => (random::get_random_u64() != random::get_random_u64()).to_string(),
        "exit" => {
            exit::exit(Err(()));
            "went on".to_owned()
        }
        other => format!("`{other}` is unknown"),
    }
}

fn tell(result: Result<(), ErrorCode>) -> String {
    result.map_or_else(|error| error.name().to_owned(), |()| "ok".to_owned())
}

fn print(text: &str) -> String {
    let out = stdout::get_stdout().blocking_write_and_flush(format!("stdout {text}\n").as_bytes());
    let err = stderr::get_stderr().blocking_write_and_flush(format!("stderr {text}\n").as_bytes());
    if out.is_ok() && err.is_ok() { "printed".to_owned() } else { "failed".to_owned() }
}

fn first_directory() -> Result<Descriptor, &'static str> {
    preopens::get_directories().into_iter().next().map(|(directory, _)| directory).ok_or("none")
}

fn read(path: &str) -> Result<String, &'static str> {
    let directory = first_directory()?;
    let (follow, flags) = (PathFlags::SYMLINK_FOLLOW, DescriptorFlags::READ);
    let file = directory.open_at(follow, path, OpenFlags::empty(), flags).map_err(|error| error.name())?;
    let (bytes, _) = file.read(4096, 0).map_err(|error| error.name())?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

fn write(path: &str) -> Result<String, &'static str> {
    let directory = first_directory()?;
    let (open, flags) = (OpenFlags::CREATE, DescriptorFlags::WRITE);
    let file =
        directory.open_at(PathFlags::SYMLINK_FOLLOW, path, open, flags).map_err(|error| error.name())?;
    file.write(b"written", 0).map(|count| format!("{count} bytes")).map_err(|error| error.name())
}

fn local(port: u16) -> IpSocketAddress {
    IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (127, 0, 0, 1) })
}

fn connect(port: u16) -> Result<(), ErrorCode> {
    let socket = create_tcp_socket(IpAddressFamily::Ipv4)?;
    socket.start_connect(&instance_network(), local(port))?;
    loop {
        socket.subscribe().block();
        match socket.finish_connect() {
            Err(ErrorCode::WouldBlock) => {}
            other => return other.map(drop),
        }
    }
}

fn datagram(port: u16) -> Result<(), ErrorCode> {
    use bindings::wasi::sockets::udp::OutgoingDatagram;
    let socket = create_udp_socket(IpAddressFamily::Ipv4)?;
    let any = IpSocketAddress::Ipv4(Ipv4SocketAddress { port: 0, address: (0, 0, 0, 0) });
    socket.start_bind(&instance_network(), any)?;
    socket.finish_bind()?;
    let (_, outgoing) = socket.stream(None)?;
    outgoing.subscribe().block();
    outgoing.check_send()?;
    let data = OutgoingDatagram { data: b"datagram".to_vec(), remote_address: Some(local(port)) };
    outgoing.send(&[data]).map(drop)
}

fn listen() -> Result<(), ErrorCode> {
    let socket = create_tcp_socket(IpAddressFamily::Ipv4)?;
    let any = IpSocketAddress::Ipv4(Ipv4SocketAddress { port: 0, address: (0, 0, 0, 0) });
    socket.start_bind(&instance_network(), any)?;
    socket.subscribe().block();
    socket.finish_bind()?;
    socket.start_listen()?;
    socket.subscribe().block();
    socket.finish_listen()
}
