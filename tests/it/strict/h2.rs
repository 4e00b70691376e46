//! Requests over HTTP/2 that no client library would send, frame by frame.

use super::support::{Expect as Expected, Raw, Strict, sees};
use crate::harness::{Gateway, Protocol};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// What a request should get.
#[derive(Clone, Copy, Debug)]
enum Expect {
    /// This status, and the connection goes on.
    Status(u16),
    /// 200, and the service saw this.
    Sees(&'static [(&'static str, &'static str)]),
    /// Its stream is reset, no service hears of it, and the connection goes on.
    Reset,
    /// The connection ends, and no service hears of it.
    Gone,
}

use Expect::{Gone, Reset, Sees, Status};

type Fields = &'static [(&'static str, &'static str)];

/// A name, the fields of the head, the body and what to expect.
type Case = (&'static str, Fields, Option<&'static str>, Expect);

pub(super) const M: (&str, &str) = (":method", "GET");
pub(super) const P: (&str, &str) = (":path", "/");
pub(super) const S: (&str, &str) = (":scheme", "https");
pub(super) const A: (&str, &str) = (":authority", "localhost");

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("good", &[M, P, S, A, ("x", "y")], None, Sees(&[("path", "/"), ("authority", "localhost"), ("scheme", "https"), ("x", "y")])),
    (":method twice", &[M, M, P, S, A], None, Reset),
    (":path twice", &[M, P, (":path", "/other"), S, A], None, Reset),
    (":scheme twice", &[M, P, S, S, A], None, Reset),
    (":authority twice", &[M, P, S, A, (":authority", "other")], None, Reset),
    ("a pseudo field behind a field", &[M, P, S, ("x", "y"), A], None, Reset),
    ("an unknown pseudo field", &[M, P, S, A, (":foo", "bar")], None, Gone),
    ("a response's pseudo field", &[M, P, S, A, (":status", "200")], None, Reset),
    ("no :method", &[P, S, A], None, Reset),
    ("no :path", &[M, S, A], None, Reset),
    ("no :scheme", &[M, P, A], None, Reset),
    ("an empty :path", &[M, (":path", ""), S, A], None, Reset),
    ("an empty :method", &[(":method", ""), P, S, A], None, Gone),
    ("an empty :scheme", &[M, P, (":scheme", ""), A], None, Status(400)),
    ("a :method that is no token", &[(":method", "GE T"), P, S, A], None, Gone),
    ("a :method with a line end", &[(":method", "GET / HTTP/1.1\r\nX: y"), P, S, A], None, Gone),
    ("a :path with a space", &[M, (":path", "/a b"), S, A], None, Reset),
    ("a :path with a line end", &[M, (":path", "/ HTTP/1.1\r\nX: y"), S, A], None, Reset),
    ("a :path with NUL", &[M, (":path", "/a\0"), S, A], None, Reset),
    ("a :path without a slash", &[M, (":path", "x"), S, A], None, Reset),
    ("a :path that is a URI", &[M, (":path", "https://localhost/x"), S, A], None, Reset),
    ("OPTIONS *", &[(":method", "OPTIONS"), (":path", "*"), S, A], None, Status(400)),
    ("GET *", &[M, (":path", "*"), S, A], None, Status(400)),
    ("dots", &[M, (":path", "/a/../b"), S, A], None, Sees(&[("path", "/b")])),
    ("dots, encoded", &[M, (":path", "/a/%2e%2e/b"), S, A], None, Sees(&[("path", "/b")])),
    ("slashes", &[M, (":path", "//a"), S, A], None, Sees(&[("path", "/a")])),
    ("above the root", &[M, (":path", "/../b"), S, A], None, Status(400)),
    ("a slash, encoded", &[M, (":path", "/a%2fb"), S, A], None, Status(400)),
    ("NUL, encoded", &[M, (":path", "/%00"), S, A], None, Status(400)),
    ("a backslash", &[M, (":path", "/a\\b"), S, A], None, Status(400)),
    (":scheme of the other kind", &[M, P, (":scheme", "http"), A], None, Status(421)),
    (":scheme file", &[M, (":path", "/etc/passwd"), (":scheme", "file"), A], None, Status(400)),
    (":scheme that is none", &[M, P, (":scheme", "ht tp"), A], None, Reset),
    ("only host", &[M, P, S, ("host", "localhost")], None, Sees(&[("authority", "localhost"), ("!host", "")])),
    ("host and :authority that agree", &[M, P, S, A, ("host", "LOCALHOST:443")], None, Sees(&[("authority", "localhost")])),
    ("host and :authority that do not", &[M, P, S, A, ("host", "other")], None, Status(400)),
    ("host twice", &[M, P, S, A, ("host", "localhost"), ("host", "localhost")], None, Status(400)),
    ("no host at all", &[M, P, S], None, Status(400)),
    ("an empty :authority", &[M, P, S, (":authority", "")], None, Reset),
    ("user info", &[M, P, S, (":authority", "me@localhost")], None, Status(400)),
    ("a path in :authority", &[M, P, S, (":authority", "localhost/x")], None, Reset),
    ("a space in :authority", &[M, P, S, (":authority", "local host")], None, Reset),
    ("another host than the handshake's", &[M, P, S, (":authority", "other")], None, Status(421)),
    ("another host than the handshake's, in host", &[M, P, S, ("host", "other")], None, Status(421)),
    ("an address that the handshake did not name", &[M, P, S, (":authority", "127.0.0.1")], None, Status(421)),
    ("another port is the same host", &[M, P, S, (":authority", "localhost:8443")], None, Sees(&[("authority", "localhost:8443")])),
    ("CONNECT", &[(":method", "CONNECT"), (":authority", "localhost:443")], None, Status(501)),
    ("CONNECT with a path", &[(":method", "CONNECT"), P, S, A], None, Reset),
    ("a name in capitals", &[M, P, S, A, ("X-Upper", "y")], None, Gone),
    ("a name with a space", &[M, P, S, A, ("x y", "z")], None, Gone),
    ("a name with a colon", &[M, P, S, A, ("x:y", "z")], None, Gone),
    ("a name with a line end", &[M, P, S, A, ("x\r\ny", "z")], None, Gone),
    ("a name with NUL", &[M, P, S, A, ("x\0", "z")], None, Gone),
    ("an empty name", &[M, P, S, A, ("", "z")], None, Gone),
    ("a value with a line end", &[M, P, S, A, ("x", "y\r\nz: a")], None, Gone),
    ("a value with a line feed", &[M, P, S, A, ("x", "y\nz")], None, Gone),
    ("a value with a carriage return", &[M, P, S, A, ("x", "y\rz")], None, Gone),
    ("a value with NUL", &[M, P, S, A, ("x", "y\0z")], None, Gone),
    ("a value with space before", &[M, P, S, A, ("x", " y")], None, Status(400)),
    ("a value with a tab behind", &[M, P, S, A, ("x", "y\t")], None, Status(400)),
    ("connection", &[M, P, S, A, ("connection", "close")], None, Reset),
    ("keep-alive", &[M, P, S, A, ("keep-alive", "timeout=5")], None, Reset),
    ("proxy-connection", &[M, P, S, A, ("proxy-connection", "close")], None, Reset),
    ("upgrade", &[M, P, S, A, ("upgrade", "h2c")], None, Reset),
    ("H2.TE", &[(":method", "POST"), P, S, A, ("transfer-encoding", "chunked")], Some("0\r\n\r\nGET /smug HTTP/1.1\r\n\r\n"), Reset),
    ("te: trailers", &[M, P, S, A, ("te", "trailers")], None, Sees(&[("!te", "")])),
    ("te: gzip", &[M, P, S, A, ("te", "gzip")], None, Reset),
    ("te: trailers, gzip", &[M, P, S, A, ("te", "trailers, gzip")], None, Reset),
    ("H2.CL: shorter than its length", &[(":method", "POST"), (":path", "/echo"), S, A, ("content-length", "6")], Some("hello"), Reset),
    ("H2.CL: longer than its length", &[(":method", "POST"), (":path", "/echo"), S, A, ("content-length", "4")], Some("hello"), Reset),
    ("H2.CL: no body, but a length", &[M, P, S, A, ("content-length", "5")], None, Reset),
    ("H2.CL: a body of no length", &[(":method", "POST"), (":path", "/echo"), S, A, ("content-length", "0")], Some("hello"), Reset),
    ("H2.CL: a body of no length, for a service that reads none", &[(":method", "POST"), P, S, A, ("content-length", "0")], Some("hello"), Reset),
    ("H2.CL: empty", &[(":method", "POST"), P, S, A, ("content-length", "")], None, Status(400)),
    ("H2.CL: empty, and a body", &[(":method", "POST"), P, S, A, ("content-length", "")], Some("hello"), Reset),
    ("H2.CL: twice", &[(":method", "POST"), P, S, A, ("content-length", "5"), ("content-length", "5")], Some("hello"), Status(400)),
    ("H2.CL: a list", &[(":method", "POST"), P, S, A, ("content-length", "5, 5")], Some("hello"), Reset),
    ("H2.CL: a sign", &[(":method", "POST"), P, S, A, ("content-length", "+5")], Some("hello"), Reset),
    ("H2.CL: right", &[(":method", "POST"), P, S, A, ("content-length", "5")], Some("hello"), Sees(&[("content-length", "5")])),
    ("cookies are one field", &[M, P, S, A, ("cookie", "a=1"), ("cookie", "b=2")], None, Sees(&[("cookie", "a=1; b=2")])),
    ("underscores", &[M, P, S, A, ("x_consumer", "root"), ("x-a_b", "1"), ("x-consumer", "me")], None, Sees(&[("!x_consumer", ""), ("!x-a_b", ""), ("x-consumer", "me")])),
    ("claims", &[M, P, S, A, ("x-forwarded-for", "6.6.6.6"), ("x_forwarded_for", "6.6.6.6")], None, Sees(&[("x-forwarded-for", "127.0.0.1"), ("!x_forwarded_for", "")])),
];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Literal fields that nobody remembers (RFC 7541 §6.2.2), without Huffman's code.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// What came of a stream.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) status: Option<u16>,
    body: Vec<u8>,
    ended: bool,
    reset: Option<u32>,
    pub(super) gone: bool,
}

pub(super) struct Connection {
    raw: Raw,
    buffer: Vec<u8>,
}

impl Connection {
    pub(super) fn open(gateway: &Gateway) -> Self {
        let mut raw = Raw::connect(gateway, Protocol::Http2);
        raw.send(&[&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[])].concat());
        Self { raw, buffer: Vec::new() }
    }

    pub(super) fn ask(&mut self, stream: u32, fields: &[(&str, &str)], body: Option<&str>) -> Outcome {
        let end = if body.is_none() { END_STREAM } else { 0 };
        let mut bytes = frame(HEADERS, END_HEADERS | end, stream, &block(fields));
        if let Some(body) = body {
            bytes.extend(frame(DATA, END_STREAM, stream, body.as_bytes()));
        }
        self.raw.send(&bytes);
        let mut outcome = Outcome::default();
        while !(outcome.ended || outcome.reset.is_some() || outcome.gone) {
            self.take(stream, &mut outcome);
        }
        outcome
    }

    /// Notes what one frame says of the stream.
    fn take(&mut self, stream: u32, outcome: &mut Outcome) {
        let Some((kind, flags, of, payload)) = self.frame() else {
            outcome.gone = true;
            return;
        };
        match kind {
            GOAWAY => outcome.gone |= payload[4..8] != [0; 4],
            _ if of != stream => {}
            HEADERS => outcome.status = outcome.status.or(Some(status(&payload))),
            DATA => outcome.body.extend_from_slice(&payload),
            RST_STREAM => outcome.reset = Some(u32::from_be_bytes(payload[..4].try_into().unwrap())),
            _ => {}
        }
        outcome.ended |= of == stream && matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0;
    }

    fn frame(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        loop {
            if self.buffer.len() >= 9 {
                let length = u32::from_be_bytes([0, self.buffer[0], self.buffer[1], self.buffer[2]]) as usize;
                if self.buffer.len() >= 9 + length {
                    let rest = self.buffer.split_off(9 + length);
                    let whole = std::mem::replace(&mut self.buffer, rest);
                    let stream = u32::from_be_bytes(whole[5..9].try_into().unwrap());
                    return Some((whole[3], whole[4], stream, whole[9..].to_vec()));
                }
            }
            let mut piece = [0; 4096];
            match self.raw.read(&mut piece) {
                Ok(count) if count > 0 => self.buffer.extend_from_slice(&piece[..count]),
                _ => return None,
            }
        }
    }
}

/// `:status` at the start of a block of a new connection: indexed, or a literal of an indexed name whose digits are in
/// Huffman's code (RFC 7541 §6.1, §6.2.1, appendix B).
fn status(block: &[u8]) -> u16 {
    let at = block.iter().position(|byte| byte & 0xe0 != 0x20).unwrap();
    match block[at..] {
        [index @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(index - 0x88)],
        [0x48 | 0x08 | 0x18, length, ref rest @ ..] if length & 0x80 == 0 => {
            std::str::from_utf8(&rest[..usize::from(length)]).unwrap().parse().unwrap()
        }
        [0x48 | 0x08 | 0x18, length, ref rest @ ..] => {
            let bits: String =
                rest[..usize::from(length & 0x7f)].iter().map(|byte| format!("{byte:08b}")).collect();
            let (mut number, mut at) = (0, 0);
            for _ in 0..3 {
                let five = u16::from_str_radix(&bits[at..at + 5], 2).unwrap();
                let (digit, length) = if five < 3 {
                    (five, 5)
                } else {
                    (u16::from_str_radix(&bits[at..at + 6], 2).unwrap() - 0x16, 6)
                };
                (number, at) = (number * 10 + digit, at + length);
            }
            number
        }
        _ => panic!("{block:x?}"),
    }
}

#[test]
fn requests_frame_by_frame() {
    let strict = Strict::start("");
    let mut wrong = String::new();
    let mut answered = 0;
    for (name, fields, body, expect) in CASES {
        let mut connection = Connection::open(&strict.gateway);
        let outcome = connection.ask(1, fields, *body);
        let right = match expect {
            Status(status) => outcome.status == Some(*status),
            Sees(wanted) => {
                let saw = serde_json::from_slice(&outcome.body).unwrap_or_default();
                outcome.status == Some(200) && sees(&saw, wanted, Protocol::Http2).is_ok()
            }
            Reset => outcome.reset.is_some() && !outcome.gone && outcome.status != Some(200),
            Gone => outcome.gone && outcome.status.is_none(),
        };
        if !right {
            let body = String::from_utf8_lossy(&outcome.body);
            wrong.push_str(&format!("{name}: {expect:?} and not {outcome:?} {body}\n"));
        }
        if !outcome.gone {
            let next = connection.ask(3, &[M, (":path", "/next"), S, A], None);
            assert_eq!(next.status, Some(200), "{name}: the connection does not go on");
            answered += 1;
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    let lines = strict.lines(answered);
    assert!(lines.iter().all(|line| line["path"] != "/smug"), "{lines:?}");
    strict.gateway.stop();
}

/// Who trusts its clients' handshakes less may take any host.
#[test]
fn the_handshakes_name_can_be_passed_over() {
    let strict = Strict::start("sni = \"ignore\"");
    let mut connection = Connection::open(&strict.gateway);
    let outcome = connection.ask(1, &[M, P, S, (":authority", "other")], None);
    assert_eq!(outcome.status, Some(200), "{outcome:?}");
    drop(connection);
    strict.gateway.stop();
}

/// The table of paths once more: what has no normal form over HTTP/1.1 has none here, and the others have the same.
#[test]
fn paths_are_those_of_http_1() {
    let strict = Strict::start("");
    let mut wrong = String::new();
    for (name, bytes, expect) in super::paths::PATHS {
        let target = bytes
            .strip_prefix("GET ")
            .and_then(|rest| rest.strip_suffix(" HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        // What is behind `#` is dropped here; an absolute form there is none.
        let Some(target) = target.filter(|target| !target.contains('#') && target.starts_with('/')) else {
            continue;
        };
        let mut connection = Connection::open(&strict.gateway);
        let outcome = connection.ask(1, &[M, (":path", target), S, A], None);
        let right = match expect {
            Expected::Sees(wanted) => {
                let saw = serde_json::from_slice(&outcome.body).unwrap_or_default();
                outcome.status == Some(200) && sees(&saw, wanted, Protocol::Http2).is_ok()
            }
            Expected::Answered(status) => outcome.status == Some(*status),
            _ => outcome.status == Some(400) || outcome.reset.is_some() || outcome.gone,
        };
        if !right {
            wrong.push_str(&format!("{name}: {target}: {expect:?} and not {outcome:?}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    strict.gateway.stop();
}
