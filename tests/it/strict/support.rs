//! A gateway that tells what its service saw, and clients that send exactly the bytes they are given.

use crate::harness::{Folder, Gateway, Protocol, SOON, client_tls, dist, eventually, identity};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::TcpStream;

/// What a client should get for its bytes.
#[derive(Clone, Copy, Debug)]
pub enum Expect {
    /// This status and nothing more: the connection ends, and no service hears of it.
    Refused(u16),
    /// This status from the gateway, and the connection goes on.
    Answered(u16),
    /// 200, the connection goes on, and the service saw these: `method`, `path`, `scheme`, `authority`, or a field by
    /// its name; one behind `!` is not there.
    Sees(&'static [(&'static str, &'static str)]),
    /// 200 with this body, and the connection goes on.
    Echoes(&'static str),
    /// An answer that is no complete 200, or none; the connection ends.
    Broken,
}

/// A name, the bytes, and what they should get.
pub type Case = (&'static str, &'static str, Expect);

/// A gateway with its access log.
pub struct Strict {
    pub gateway: Gateway,
    log: std::path::PathBuf,
}

impl Strict {
    /// Serves the probe everywhere but below `/echo`, with `http` as the lines of `[http]`.
    pub fn start(http: &str) -> Self {
        Self::with(http, "", "")
    }

    /// Also with further keys of the plain listener, and further tables.
    pub fn with(http: &str, listener: &str, tables: &str) -> Self {
        let folder = Folder::new();
        let made = identity();
        folder.write("cert.pem", &made.certificate);
        folder.write("key.pem", &made.key);
        let log = folder.path().join("access.log");
        let mut toml = format!(
            "[gateway]\nworkers = 1\n\n[http]\n{http}\n\n[access-log]\npath = \"access.log\"\n\n[[listeners]]\naddress = \
             \"127.0.0.1:0\"\n{listener}\n\n[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificate = \"cert.pem\", key \
             = \"key.pem\" }}\n\n[components]\n"
        );
        for component in ["probe", "echo", "fault-service"] {
            writeln!(toml, "{component}.path = {:?}", dist(component)).unwrap();
        }
        for (name, service, grant) in
            [("main", "probe", "env = {}"), ("echo", "echo", ""), ("read", "fault-service", "clocks = true")]
        {
            let path = if name == "main" { "/".to_owned() } else { format!("/{name}") };
            let config = if name == "main" { "config = { route = \"none\" }" } else { "" };
            write!(
                toml,
                "\n[pipelines.{name}.service]\ncomponent = \"{service}\"\ngrant = {{ {grant} }}\n{config}\n\n[[routes]]\npipeline = \
                 \"{name}\"\npath = \"{path}\"\n"
            )
            .unwrap();
        }
        toml.push_str(tables);
        let file = folder.write("linkspan.toml", toml);
        let gateway = Gateway::serve(folder, &file, [("LINKSPAN_LOG", "info")]);
        Self { gateway, log }
    }

    /// The access log's lines, once there are at least `count`.
    pub fn lines(&self, count: usize) -> Vec<Value> {
        let read = || -> Vec<Value> {
            let text = std::fs::read_to_string(&self.log).unwrap_or_default();
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
        };
        eventually("the access log has its lines", || read().len() >= count);
        read()
    }

    /// Runs the cases over HTTP/1.1, with TLS and without. Behind each its connection gets another request: it tells
    /// whether the gateway is still in step with its client, and must be seen by nobody where the case was refused.
    pub fn run(&self, cases: &[Case]) {
        let mut wrong = String::new();
        let mut reached = 0;
        for (number, (name, bytes, expect)) in cases.iter().enumerate() {
            for &protocol in protocols(bytes) {
                let last = format!("/last-{number}-{protocol:?}");
                let follows = format!("GET {last} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
                let mut stream = Raw::connect(&self.gateway, protocol);
                stream.send(format!("{bytes}{follows}").as_bytes());
                let answers = stream.answers();
                if let Err(error) = judge(&answers, expect, &last, protocol) {
                    writeln!(wrong, "{name} ({protocol:?}): {error}\n  sent {bytes:?}\n  got {answers:?}")
                        .unwrap();
                }
                reached += usize::from(!matches!(expect, Expect::Refused(_) | Expect::Broken));
            }
        }
        assert!(wrong.is_empty(), "{wrong}");
        let is_last = |line: &&Value| line["path"].as_str().is_some_and(|path| path.starts_with("/last-"));
        eventually("all that was served is logged", || {
            self.lines(0).iter().filter(is_last).count() >= reached
        });
        let lines = self.lines(0);
        for (number, (name, bytes, expect)) in cases.iter().enumerate() {
            let of = format!("/last-{number}-");
            let seen =
                lines.iter().filter(|line| line["path"].as_str().is_some_and(|path| path.starts_with(&of)));
            let refused = matches!(expect, Expect::Refused(_) | Expect::Broken);
            assert_eq!(
                seen.count(),
                if refused { 0 } else { protocols(bytes).len() },
                "{name}: what followed reached the service"
            );
        }
    }
}

/// What a case is for: the scheme of an absolute form has to be the listener's.
fn protocols(bytes: &str) -> &'static [Protocol] {
    const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http1Tls];
    if bytes.contains(" http://") { &BOTH[..1] } else { &BOTH }
}

fn judge(answers: &[Response], expect: &Expect, last: &str, protocol: Protocol) -> Result<(), String> {
    let (first, rest) = answers.split_first().map_or((None, answers), |(first, rest)| (Some(first), rest));
    let status = first.map_or(0, |first| first.status);
    let whole = first.is_some_and(|first| first.whole);
    match expect {
        Expect::Refused(wanted) => {
            let closes = first.and_then(|first| first.field("connection")) == Some("close");
            (status == *wanted && whole && closes && rest.is_empty())
                .then_some(())
                .ok_or_else(|| format!("not {wanted}, closed, and nothing behind it"))
        }
        Expect::Broken => ((status != 200 || !whole) && rest.is_empty())
            .then_some(())
            .ok_or_else(|| "not broken off".to_owned()),
        Expect::Answered(wanted) if status == *wanted && whole => follows(rest, last),
        Expect::Answered(wanted) => Err(format!("not {wanted}")),
        Expect::Echoes(wanted) => {
            let first = first.filter(|first| first.status == 200 && first.whole).ok_or("not 200")?;
            if first.body != wanted.as_bytes() {
                return Err("another body".to_owned());
            }
            follows(rest, last)
        }
        Expect::Sees(wanted) => {
            let first = first.filter(|first| first.status == 200 && first.whole).ok_or("not 200")?;
            sees(&first.json()?, wanted, protocol)?;
            follows(rest, last)
        }
    }
}

fn follows(rest: &[Response], last: &str) -> Result<(), String> {
    let [one] = rest else { return Err(format!("{} answers behind it instead of one", rest.len())) };
    (one.status == 200 && one.json()?["path"] == last).then_some(()).ok_or_else(|| "out of step".to_owned())
}

/// Whether what the probe saw is as `wanted`.
pub fn sees(saw: &Value, wanted: &[(&str, &str)], protocol: Protocol) -> Result<(), String> {
    for (name, value) in wanted {
        let (absent, name) = name.strip_prefix('!').map_or((false, *name), |name| (true, name));
        let found = match name {
            "method" | "path" | "scheme" | "authority" => saw[name].as_str().map(str::to_owned),
            _ => fields(saw, name),
        };
        let value = value.replace("{scheme}", if protocol == Protocol::Http1 { "http" } else { "https" });
        let right = if absent { found.is_none() } else { found.as_deref() == Some(value.as_str()) };
        if !right {
            return Err(format!("`{name}` is {found:?}"));
        }
    }
    Ok(())
}

/// The values of a field that the probe saw.
fn fields(saw: &Value, name: &str) -> Option<String> {
    let pairs = saw["headers"].as_array()?.iter();
    let values: Vec<_> = pairs.filter(|pair| pair[0] == name).filter_map(|pair| pair[1].as_str()).collect();
    (!values.is_empty()).then(|| values.join(" + "))
}

/// A response of HTTP/1.1.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    /// It did not break off.
    pub whole: bool,
}

impl Response {
    pub fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.into_iter().find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value))
    }

    pub fn json(&self) -> Result<Value, String> {
        serde_json::from_slice(&self.body).map_err(|error| error.to_string())
    }

    /// The one at the start of `bytes`, and how long it is.
    pub fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let end = find(bytes, b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let mut response = Self { status, head, body: Vec::new(), whole: true };
        let mut at = end;
        if response.field("transfer-encoding").is_some() {
            loop {
                let Some(line) = find(&bytes[at..], b"\r\n") else { break response.whole = false };
                let size =
                    usize::from_str_radix(std::str::from_utf8(&bytes[at..at + line]).ok()?, 16).ok()?;
                at += line + 2;
                let Some(data) = bytes.get(at..at + size + 2) else { break response.whole = false };
                at += size + 2;
                response.body.extend_from_slice(&data[..size]);
                if size == 0 {
                    break;
                }
            }
        } else if let Some(length) =
            response.field("content-length").and_then(|text| text.parse::<usize>().ok())
        {
            let data = &bytes[at..bytes.len().min(at + length)];
            response.body.extend_from_slice(data);
            response.whole = data.len() == length;
            at += data.len();
        }
        Some((response, at))
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// A connection that has no idea of HTTP.
pub enum Raw {
    Plain(TcpStream),
    Tls(Box<rustls::StreamOwned<rustls::ClientConnection, TcpStream>>),
}

impl Raw {
    pub fn connect(gateway: &Gateway, protocol: Protocol) -> Self {
        let alpn: &[u8] = if protocol == Protocol::Http2 { b"h2" } else { b"http/1.1" };
        let tcp = TcpStream::connect(protocol.address(gateway)).unwrap();
        tcp.set_read_timeout(Some(SOON)).unwrap();
        tcp.set_nodelay(true).unwrap();
        if protocol == Protocol::Http1 {
            return Self::Plain(tcp);
        }
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let session = rustls::ClientConnection::new(client_tls(alpn), name).unwrap();
        Self::Tls(Box::new(rustls::StreamOwned::new(session, tcp)))
    }

    /// What the gateway does not take any more is its own matter.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = match self {
            Self::Plain(tcp) => tcp.write_all(bytes),
            Self::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
        };
    }

    pub fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(bytes),
            Self::Tls(tls) => tls.read(bytes),
        }
    }

    /// All that comes until the gateway closes.
    pub fn read_all(&mut self) -> Vec<u8> {
        let (mut all, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            match self.read(&mut piece) {
                Ok(0) => return all,
                Ok(count) => all.extend_from_slice(&piece[..count]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    panic!("the connection stays open after {:?}", String::from_utf8_lossy(&all))
                }
                // A reset, after all that was written.
                Err(_) => return all,
            }
        }
    }

    /// The final responses that come until the gateway closes.
    pub fn answers(&mut self) -> Vec<Response> {
        let bytes = self.read_all();
        let (mut answers, mut at) = (Vec::new(), 0);
        while let Some((response, length)) = Response::parse(&bytes[at..]) {
            at += length;
            if response.status >= 200 {
                answers.push(response);
            }
        }
        answers
    }
}
