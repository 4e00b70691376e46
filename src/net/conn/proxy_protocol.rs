//! The PROXY protocol (haproxy's `proxy-protocol.txt`, §2.1 and §2.2): a proxy that forwards a connection's bytes names
//! the client of the connection.
//!
//! A listener speaks one version or none; with guessing, any client could choose. The header comes first, before TLS,
//! within a time limit, and only from a trusted address: every other connection is closed unread, even if it begins
//! with a request. Bytes that are no header, or a header for a protocol other than TCP, end the connection; `LOCAL` and
//! `UNKNOWN` (a proxy's own health checks) leave the addresses as they are. The additional values (TLV) of version 2
//! are not used; a header with more than [`MAX_BINARY`] bytes after its fixed part is refused.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

/// Longest line of version 1, with its end.
const MAX_TEXT: usize = 107;

/// Most bytes of addresses and additional values.
pub const MAX_BINARY: usize = 4096;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The version that a listener expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyVersion {
    /// Version 1.
    Text,
    /// Version 2.
    Binary,
}

/// What a listener expects of each connection.
#[derive(Clone)]
pub struct ProxyProtocol {
    /// The version.
    pub version: ProxyVersion,
    /// How long the header may take.
    pub timeout: Duration,
    /// The addresses that are trusted to name the client. The function is called once for each connection, on the
    /// workers' threads, and must not block.
    pub trusted: Arc<dyn Fn(IpAddr) -> bool + Send + Sync>,
}

impl fmt::Debug for ProxyProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyProtocol")
            .field("version", &self.version)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Source and destination, as a proxy gives them.
pub(super) type Addresses = (SocketAddr, SocketAddr);

impl ProxyProtocol {
    /// Reads the header, and no byte more. `None`: the addresses are the connection's own.
    ///
    /// # Errors
    /// When the connection is to be closed.
    pub(super) async fn read(
        &self,
        stream: &mut (impl AsyncRead + Unpin),
        peer: IpAddr,
    ) -> io::Result<Option<Addresses>> {
        if !(self.trusted)(peer) {
            return Err(invalid("the peer is no trusted proxy"));
        }
        let header = async {
            match self.version {
                ProxyVersion::Text => read_text(stream).await,
                ProxyVersion::Binary => read_binary(stream).await,
            }
        };
        timeout(self.timeout, header).await.unwrap_or_else(|_| Err(invalid("no header in time")))
    }
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// Byte by byte: the bytes after the header are not part of it.
async fn read_text(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Addresses>> {
    let mut line = Vec::with_capacity(MAX_TEXT);
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await?);
        let so_far = line.len().min(6);
        if line.len() > MAX_TEXT || line[..so_far] != b"PROXY "[..so_far] {
            return Err(invalid("no header of version 1"));
        }
    }
    text(&line).ok_or_else(|| invalid("a malformed header of version 1"))
}

fn text(line: &[u8]) -> Option<Option<Addresses>> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
    let mut words = line.split(' ');
    if words.next()? != "PROXY" {
        return None;
    }
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(None);
    }
    let mut address = || -> Option<IpAddr> { words.next()?.parse().ok() };
    let (source, destination) = (address()?, address()?);
    let right = match family {
        "TCP4" => source.is_ipv4() && destination.is_ipv4(),
        "TCP6" => source.is_ipv6() && destination.is_ipv6(),
        _ => false,
    };
    let mut port = || {
        let text = words.next()?;
        // `parse` would take a plus sign.
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u16>().ok()).flatten()
    };
    let (from, to) = (port()?, port()?);
    (right && words.next().is_none()).then(|| Some(canonical((source, from), (destination, to))))
}

async fn read_binary(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Addresses>> {
    let mut fixed = [0; 16];
    stream.read_exact(&mut fixed).await?;
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if fixed[..12] != *SIGNATURE || length > MAX_BINARY {
        return Err(invalid("no header of version 2"));
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    binary(fixed[12], fixed[13], &rest).ok_or_else(|| invalid("a malformed header of version 2"))
}

fn binary(command: u8, family: u8, rest: &[u8]) -> Option<Option<Addresses>> {
    const LOCAL: u8 = 0x20;
    const PROXY: u8 = 0x21;
    const UNSPECIFIED: u8 = 0x00;
    const TCP_OVER_IPV4: u8 = 0x11;
    const TCP_OVER_IPV6: u8 = 0x21;
    let port = |at: usize| Some(u16::from_be_bytes(rest.get(at..at + 2)?.try_into().ok()?));
    match (command, family) {
        (LOCAL, _) | (PROXY, UNSPECIFIED) => Some(None),
        (PROXY, TCP_OVER_IPV4) => {
            let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(rest.get(at..at + 4)?).ok()?));
            Some(Some(canonical((address(0)?.into(), port(8)?), (address(4)?.into(), port(10)?))))
        }
        (PROXY, TCP_OVER_IPV6) => {
            let address =
                |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(rest.get(at..at + 16)?).ok()?));
            Some(Some(canonical((address(0)?.into(), port(32)?), (address(16)?.into(), port(34)?))))
        }
        _ => None,
    }
}

fn canonical(source: (IpAddr, u16), destination: (IpAddr, u16)) -> Addresses {
    let address = |(ip, port): (IpAddr, u16)| SocketAddr::new(ip.to_canonical(), port);
    (address(source), address(destination))
}

#[cfg(any(test, fuzzing))]
pub mod fuzzing;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(version: ProxyVersion, bytes: &[u8]) -> (Result<Option<String>, String>, usize) {
        let proxy = ProxyProtocol { version, timeout: Duration::from_secs(5), trusted: Arc::new(|_| true) };
        let mut rest = bytes;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let outcome = runtime.block_on(proxy.read(&mut rest, Ipv4Addr::LOCALHOST.into()));
        let shown = outcome.map(|it| it.map(|(from, to)| format!("{from} {to}")));
        (shown.map_err(|error| error.to_string()), rest.len())
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    #[test]
    fn version_1() {
        for (line, expected) in [
            ("PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\r\n", Some(Some("192.0.2.1:4711 192.0.2.2:443"))),
            ("PROXY TCP6 2001:db8::1 ::1 1 2\r\n", Some(Some("[2001:db8::1]:1 [::1]:2"))),
            ("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", Some(Some("192.0.2.1:1 [::1]:2"))),
            ("PROXY UNKNOWN\r\n", Some(None)),
            ("PROXY UNKNOWN ffff::1 x y z\r\n", Some(None)),
            ("PROXY TCP4 2001:db8::1 ::1 1 2\r\n", None),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 +1 443\r\n", None),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n", None),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", None),
            ("PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n", None),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", None),
            ("PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n", None),
            ("proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n", None),
            ("GET / HTTP/1.1\r\n", None),
        ] {
            let (outcome, left) = read(ProxyVersion::Text, format!("{line}GET /").as_bytes());
            match expected {
                Some(expected) => {
                    assert_eq!((outcome, left), (Ok(expected.map(str::to_owned)), 5), "{line:?}")
                }
                None => assert!(outcome.is_err(), "{line:?}"),
            }
        }
        assert!(
            read(ProxyVersion::Text, format!("PROXY UNKNOWN {}\r\n", "x".repeat(100)).as_bytes()).0.is_err()
        );
    }

    #[test]
    fn version_2() {
        let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x67, 1, 0xbb];
        let v6 = [&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..], &[0; 15], &[1, 0, 1, 0, 2]]
            .concat();
        let with_values = [&v4[..], &[3, 0, 4, 1, 2, 3, 4]].concat();
        for (bytes, expected) in [
            (v2(0x21, 0x11, &v4), Some(Some("192.0.2.1:4711 192.0.2.2:443"))),
            (v2(0x21, 0x11, &with_values), Some(Some("192.0.2.1:4711 192.0.2.2:443"))),
            (v2(0x21, 0x21, &v6), Some(Some("[2001:db8::1]:1 [::1]:2"))),
            (v2(0x20, 0x11, &v4), Some(None)),
            (v2(0x20, 0, &[]), Some(None)),
            (v2(0x21, 0, &[]), Some(None)),
            (v2(0x21, 0x11, &v4[..11]), None),
            (v2(0x21, 0x21, &v4), None),
            (v2(0x21, 0x12, &v4), None),
            (v2(0x21, 0x31, &[0; 216]), None),
            (v2(0x22, 0x11, &v4), None),
            (v2(0x11, 0x11, &v4), None),
            (v2(0x21, 0x11, &[0; MAX_BINARY + 1]), None),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\r\n".to_vec(), None),
        ] {
            let (outcome, left) = read(ProxyVersion::Binary, &[&bytes[..], b"GET /"].concat());
            match expected {
                Some(expected) => {
                    assert_eq!((outcome, left), (Ok(expected.map(str::to_owned)), 5), "{bytes:?}")
                }
                None => assert!(outcome.is_err(), "{bytes:?}"),
            }
        }
        assert!(read(ProxyVersion::Binary, &v2(0x21, 0x11, &v4)[..20]).0.is_err(), "cut");
    }
}
