//! Where a message begins and ends, over HTTP/1.1.

use super::support::Expect::{Broken, Echoes, Refused, Sees};
use super::support::{Case, Raw, Strict};
use crate::harness::Protocol;

/// A length and a coding, alone and together, in all their disguises.
#[rustfmt::skip]
const LENGTHS: &[Case] = &[
    ("CL.TE", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", Refused(400)),
    ("TE.CL", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n", Refused(400)),
    ("CL.0 with TE", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("CL and TE that agree", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("CL and TE in a GET", "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("TE.TE: twice chunked", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("TE.TE: chunked and x", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n", Refused(400)),
    ("TE.TE: x and chunked", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("TE: identity", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n", Refused(400)),
    ("TE: gzip, chunked", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("TE: chunked, gzip", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", Refused(400)),
    ("TE: chunked, chunked", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("TE: a comma before", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("TE: a comma behind", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", Refused(400)),
    ("TE: with a parameter", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", Refused(400)),
    ("TE: xchunked", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("TE: chunkedx", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n", Refused(400)),
    ("TE: chunk", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunk\r\n\r\n0\r\n\r\n", Refused(400)),
    ("TE: empty", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding:\r\n\r\n", Refused(400)),
    ("TE: quoted", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", Refused(400)),
    ("TE: single quotes", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: 'chunked'\r\n\r\n0\r\n\r\n", Refused(400)),
    ("TE: a vertical tab before", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("TE: a form feed behind", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\x0c\r\n\r\n0\r\n\r\n", Refused(400)),
    ("TE: NUL behind", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n", Refused(400)),
    ("TE: a space before the colon", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("TE: a tab before the colon", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("TE: a space before the name", "POST / HTTP/1.1\r\nHost: localhost\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("TE: folded", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("TE: folded with a tab", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: x\r\n\tchunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("TE: behind a bare line feed", "POST / HTTP/1.1\r\nHost: localhost\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("TE: behind a bare carriage return", "POST / HTTP/1.1\r\nHost: localhost\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("TE: a name with NUL", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding\0: chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("TE: in HTTP/1.0", "POST / HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("TE: a name with an underscore is another field, which goes", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer_Encoding: chunked\r\nContent-Length: 0\r\n\r\n", Sees(&[("!transfer_encoding", ""), ("!transfer-encoding", "")])),
    ("CL.CL: equal", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", Refused(400)),
    ("CL.CL: different", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy", Refused(400)),
    ("CL.CL: in a list", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1, 1\r\n\r\nx", Refused(400)),
    ("CL.CL: three", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", Refused(400)),
    ("CL: a sign", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: +1\r\n\r\nx", Refused(400)),
    ("CL: negative", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", Refused(400)),
    ("CL: negative zero", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -0\r\n\r\n", Refused(400)),
    ("CL: hexadecimal", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0x1\r\n\r\nx", Refused(400)),
    ("CL: a float", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1.0\r\n\r\nx", Refused(400)),
    ("CL: an exponent", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1e0\r\n\r\nx", Refused(400)),
    ("CL: an underscore", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1_0\r\n\r\n0123456789", Refused(400)),
    ("CL: a space within", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1 0\r\n\r\nx", Refused(400)),
    ("CL: empty", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length:\r\n\r\n", Refused(400)),
    ("CL: only space", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length:  \t \r\n\r\n", Refused(400)),
    ("CL: beyond 64 bits", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 18446744073709551616\r\n\r\n", Refused(400)),
    ("CL: wraps to one", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 18446744073709551617\r\n\r\nx", Refused(400)),
    ("CL: arabic digits", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: \u{661}\r\n\r\nx", Refused(400)),
    ("CL: quoted", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: \"1\"\r\n\r\nx", Refused(400)),
    ("CL: a space before the colon", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length : 1\r\n\r\nx", Refused(400)),
    ("CL: folded", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length:\r\n 1\r\n\r\nx", Refused(400)),
    ("CL: a name with an underscore goes", "POST / HTTP/1.1\r\nHost: localhost\r\nContent_Length: 5\r\n\r\n", Sees(&[("!content_length", "")])),
    ("CL: zeros before are digits", "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0005\r\n\r\nhello", Echoes("hello")),
    ("CL: space around is no part of it", "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length:\t 5 \t\r\n\r\nhello", Echoes("hello")),
    ("CL: a request in a body is a body", "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 23\r\n\r\nGET /smug HTTP/1.1\r\n\r\n.", Echoes("GET /smug HTTP/1.1\r\n\r\n.")),
    ("GET with a body", "GET /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello", Echoes("hello")),
    ("HEAD may have a body, too", "GET /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Echoes("hello")),
];

/// Chunks, at a service that sends back what it gets: a bad one is seen to be bad.
#[rustfmt::skip]
const CHUNKS: &[Case] = &[
    ("one", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Echoes("hello")),
    ("several", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n00003\r\nllo\r\n0\r\n\r\n", Echoes("hello")),
    ("upper and lower case", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\n\r\n", Echoes("01234567890123456789a")),
    ("line ends within", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n", Echoes("0\r\n\r\n\r\n")),
    ("a short extension", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5;name=\"value\"\r\nhello\r\n0;end\r\n\r\n", Echoes("hello")),
    ("trailers", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", Echoes("hello")),
    ("a size without digits", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n", Broken),
    ("a size in words", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nfive\r\nhello\r\n0\r\n\r\n", Broken),
    ("0x", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", Broken),
    ("a sign", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n", Broken),
    ("negative", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n", Broken),
    ("a space before the size", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n", Broken),
    ("a space behind the size", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n", Broken),
    ("a tab behind the size", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\t;x\r\nhello\r\n0\r\n\r\n", Broken),
    ("17 digits", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000005\r\nhello\r\n0\r\n\r\n", Broken),
    ("beyond 64 bits", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n", Broken),
    ("a bare line feed behind the size", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", Broken),
    ("a bare carriage return behind the size", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\rhello\r\n0\r\n\r\n", Broken),
    ("a bare line feed behind the data", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n", Broken),
    ("nothing behind the data", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n", Broken),
    ("two bytes in place of a line end", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n", Broken),
    ("longer than its size", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n", Broken),
    ("TERM.EXT: a line feed in an extension", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5;\nx\r\nhello\r\n0\r\n\r\n", Broken),
    ("EXT.TERM: a carriage return in an extension", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5;a\rb\r\nhello\r\n0\r\n\r\n", Broken),
    ("NUL in an extension", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5;a\0\r\nhello\r\n0\r\n\r\n", Broken),
    ("an extension of the last chunk that hides a request", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0;\nGET /smug HTTP/1.1\r\nHost: a\r\n\r\n", Broken),
    ("ends by a bare line feed", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\n", Broken),
    ("the last size behind a bare line feed", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\n\r\n", Broken),
    ("a folded trailer", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n z\r\n\r\n", Broken),
    ("a trailer without a name", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n: y\r\n\r\n", Broken),
    ("a trailer with a space before the colon", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX : y\r\n\r\n", Broken),
    ("a request line in place of trailers", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nGET /smug HTTP/1.1\r\n\r\n", Broken),
    ("NUL in a trailer", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: \0\r\n\r\n", Broken),
];

/// The lines of a head.
#[rustfmt::skip]
const LINES: &[Case] = &[
    ("bare line feeds", "GET / HTTP/1.1\nHost: localhost\n\n", Refused(400)),
    ("a bare line feed behind the request line", "GET / HTTP/1.1\nHost: localhost\r\n\r\n", Refused(400)),
    ("a bare line feed behind a field", "GET / HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n", Refused(400)),
    ("a bare line feed at the end", "GET / HTTP/1.1\r\nHost: localhost\r\n\n", Refused(400)),
    ("a bare carriage return behind a field", "GET / HTTP/1.1\r\nHost: localhost\rX: y\r\n\r\n", Refused(400)),
    ("two carriage returns", "GET / HTTP/1.1\r\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("a carriage return at the end", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\rX", Refused(400)),
    ("one empty line before", "\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/")])),
    ("two empty lines before", "\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("a line feed before", "\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("a space before", " GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("NUL before", "\0GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("two spaces behind the method", "GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("a tab behind the method", "GET\t/ HTTP/1.1\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("two spaces before the version", "GET /  HTTP/1.1\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("a tab before the version", "GET /\tHTTP/1.1\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("a space behind the version", "GET / HTTP/1.1 \r\nHost: localhost\r\n\r\n", Refused(400)),
    ("a space in the target", "GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("a second request in the target", "GET / HTTP/1.1 HTTP/1.1\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("no version", "GET /\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("HTTP/0.9", "GET / HTTP/0.9\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("HTTP/1.2", "GET / HTTP/1.2\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("HTTP/2.0", "GET / HTTP/2.0\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("HTTP/1.10", "GET / HTTP/1.10\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("HTTP/01.1", "GET / HTTP/01.1\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("a version in lower case", "GET / http/1.1\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("ICAP", "GET / ICAP/1.0\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Refused(400)),
    ("a TLS hello", "\x16\x03\x01\x02\0\x01\0\x01\u{fc}", Refused(400)),
    ("a method that is no token", "GE(T / HTTP/1.1\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("no method", " / HTTP/1.1\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("a method of one's own", "X-!#$ / HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("method", "X-!#$")])),
    ("a method in lower case is another one", "get / HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("method", "get")])),
    ("a folded field", "GET / HTTP/1.1\r\nHost: localhost\r\nX: y\r\n z\r\n\r\n", Refused(400)),
    ("a field folded by a tab", "GET / HTTP/1.1\r\nHost: localhost\r\nX: y\r\n\tz\r\n\r\n", Refused(400)),
    ("a folded request line", "GET / HTTP/1.1\r\n Host: localhost\r\n\r\n", Refused(400)),
    ("a line of spaces", "GET / HTTP/1.1\r\nHost: localhost\r\n  \r\n\r\n", Refused(400)),
    ("a space before a colon", "GET / HTTP/1.1\r\nHost: localhost\r\nX : y\r\n\r\n", Refused(400)),
    ("no colon", "GET / HTTP/1.1\r\nHost: localhost\r\nX\r\n\r\n", Refused(400)),
    ("no name", "GET / HTTP/1.1\r\nHost: localhost\r\n: y\r\n\r\n", Refused(400)),
    ("a name with a space", "GET / HTTP/1.1\r\nHost: localhost\r\nX Y: z\r\n\r\n", Refused(400)),
    ("a name with a slash", "GET / HTTP/1.1\r\nHost: localhost\r\nX/Y: z\r\n\r\n", Refused(400)),
    ("a name beyond ASCII", "GET / HTTP/1.1\r\nHost: localhost\r\nX\u{e9}: z\r\n\r\n", Refused(400)),
    ("NUL in a value", "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n", Refused(400)),
    ("a control character in a value", "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\x08b\r\n\r\n", Refused(400)),
    ("DEL in a value", "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\x7fb\r\n\r\n", Refused(400)),
    ("an empty value", "GET / HTTP/1.1\r\nHost: localhost\r\nX:\r\n\r\n", Sees(&[("x", "")])),
    ("space around a value", "GET / HTTP/1.1\r\nHost: localhost\r\nX: \t y z \t\r\n\r\n", Sees(&[("x", "y z")])),
    ("a value beyond ASCII", "GET / HTTP/1.1\r\nHost: localhost\r\nX: \u{e9}\r\n\r\n", Sees(&[("x", "\u{e9}")])),
];

#[test]
fn lengths_and_codings() {
    let strict = Strict::start("");
    strict.run(LENGTHS);
    strict.gateway.stop();
}

#[test]
fn chunks() {
    let strict = Strict::start("");
    strict.run(CHUNKS);
    strict.gateway.stop();
}

#[test]
fn lines_of_heads() {
    let strict = Strict::start("");
    strict.run(LINES);
    strict.gateway.stop();
}

/// A service that waits for the body before it answers: the client hears that its request was malformed.
#[test]
fn a_malformed_body_is_a_bad_request() {
    let strict = Strict::start("");
    for (name, bytes, _) in CHUNKS.iter().filter(|(_, _, expect)| matches!(expect, Broken)) {
        let mut client = Raw::connect(&strict.gateway, Protocol::Http1);
        client
            .send(bytes.replace("/echo HTTP/1.1\r\n", "/read HTTP/1.1\r\nX-Fault: read-body\r\n").as_bytes());
        let answers = client.answers();
        let [answer] = &answers[..] else { panic!("{name}: {answers:?}") };
        assert_eq!((answer.status, answer.whole), (400, true), "{name}: {answer:?}");
        assert_eq!(answer.json().unwrap()["type"], "urn:linkspan:problem:bad-request", "{name}");
    }
    strict.gateway.stop();
}

/// Requests that were sent before a bad one get their answers, and the bad one its own.
#[test]
fn answers_before_a_bad_request_are_given() {
    let strict = Strict::start("");
    let good = "GET /good HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for protocol in [Protocol::Http1, Protocol::Http1Tls] {
        let mut client = Raw::connect(&strict.gateway, protocol);
        client.send(format!("{good}{good}GET /bad HTTP/1.1\nHost: localhost\r\n\r\n{good}").as_bytes());
        let statuses: Vec<_> = client.answers().iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200, 200, 400]);
    }
    strict.gateway.stop();
}

/// However a head comes in, its bad end is seen before the whole is.
#[test]
fn a_bad_head_in_pieces() {
    let strict = Strict::start("");
    let (_, bytes, _) = LENGTHS[0];
    for at in [1, 10, 40, 60, bytes.len() - 7] {
        let mut client = Raw::connect(&strict.gateway, Protocol::Http1);
        client.send(&bytes.as_bytes()[..at]);
        std::thread::sleep(crate::harness::MS * 20);
        client.send(&bytes.as_bytes()[at..]);
        let statuses: Vec<_> = client.answers().iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [400], "cut at {at}");
    }
    strict.gateway.stop();
}

/// A service can't set what would end a field: the client gets an answer without any of it.
#[test]
fn services_are_held_to_the_same() {
    let strict = Strict::start("");
    for protocol in [Protocol::Http1, Protocol::Http1Tls] {
        for kind in ["line-end", "nul", "name", "forbidden"] {
            let mut client = Raw::connect(&strict.gateway, protocol);
            let fields = format!("X-Fault: bad-field\r\nX-Kind: {kind}\r\nConnection: close");
            client.send(format!("GET /read HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n").as_bytes());
            let answers = client.answers();
            let [answer] = &answers[..] else { panic!("{kind}: {answers:?}") };
            assert_eq!(
                answer.json().unwrap()["type"],
                "urn:linkspan:problem:guest-error",
                "{kind}: {answer:?}"
            );
            assert!(
                !answer.head.contains("x-bad") && !answer.head.contains("injected"),
                "{kind}: {answer:?}"
            );
        }
    }
    strict.gateway.stop();
}

/// The bound on chunk extensions, by default and by configuration.
#[test]
fn chunk_extensions_have_a_bound() {
    for (tables, most) in [("", 256), ("\n[limits]\nchunk-extensions = \"1KiB\"\n", 1024)] {
        let strict = Strict::with("", "", tables);
        for (length, whole) in [(most, true), (most + 1, false), (40_000, false)] {
            let mut client = Raw::connect(&strict.gateway, Protocol::Http1);
            let head = "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
            client.send(format!("{head}5;{}\r\nhello\r\n0\r\n\r\n", "e".repeat(length)).as_bytes());
            let answers = client.answers();
            let good = answers.first().is_some_and(|answer| answer.status == 200 && answer.whole);
            assert_eq!(good, whole, "{length} of {most}: {answers:?}");
        }
        strict.gateway.stop();
    }
}
