//! Paths: one normal form, or none.

use super::support::Expect::{Answered, Refused, Sees};
use super::support::{Case, Strict};

#[rustfmt::skip]
pub const PATHS: &[Case] = &[
    ("plain", "GET /a/b?c=d HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/a/b?c=d")])),
    ("the root of an absolute form", "GET http{s}://localhost HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/")])),
    ("dots", "GET /a/./b/../c HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/a/c")])),
    ("dots at the end", "GET /a/b/.. HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/a/")])),
    ("dots, encoded", "GET /a/%2e%2e/b HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/b")])),
    ("dots, half encoded", "GET /a/.%2E/%2e/b HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/b")])),
    ("dots, encoded twice, are no dots", "GET /a/%252e%252e/b HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/a/%252e%252e/b")])),
    ("dots in a query are no dots", "GET /a?/../b HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/a?/../b")])),
    ("three dots are a name", "GET /.../a HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/.../a")])),
    ("above the root", "GET /../a HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("above the root, later", "GET /a/../../b HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("above the root, encoded", "GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("above the root, absolute form", "GET http{s}://localhost/../a HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("dots with parameters", "GET /a/..;/b HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("dots with parameters, encoded", "GET /a/%2e%2e;x=1/b HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("several slashes", "GET //a///b// HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/a/b/")])),
    ("slashes that look like a host", "GET //evil.example/a HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/evil.example/a"), ("authority", "localhost")])),
    ("slashes before dots", "GET /a//../b HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/b")])),
    ("a slash, encoded", "GET /a%2fb HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("a slash, encoded in capitals", "GET /a%2Fb HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("a slash, encoded twice, is no slash", "GET /a%252fb HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/a%252fb")])),
    ("a slash, encoded in a query", "GET /a?b=%2f HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/a?b=%2f")])),
    ("dots and a slash, encoded", "GET /a/..%2fb HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("a backslash", "GET /a\\b HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("dots and a backslash", "GET /a\\..\\b HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("a backslash, encoded", "GET /a%5cb HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("NUL", "GET /a\0b HTTP/1.1\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("NUL, encoded", "GET /a%00b HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("NUL before an ending", "GET /a.php%00.png HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("a control character", "GET /a\x01b HTTP/1.1\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("DEL", "GET /a\x7fb HTTP/1.1\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("a line end, encoded", "GET /a%0d%0aX:y HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("a tab, encoded", "GET /a%09b HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("a space, encoded", "GET /a%20b HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/a%20b")])),
    ("beyond ASCII", "GET /\u{e9} HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/%C3%A9")])),
    ("beyond ASCII in a query", "GET /?\u{e9} HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/?%C3%A9")])),
    ("beyond ASCII, encoded", "GET /%c3%a9/%e9 HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/%C3%A9/%E9")])),
    ("an overlong slash", "GET /a%c0%afb HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("overlong dots", "GET /%c0%ae%c0%ae/a HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("an overlong slash of three bytes", "GET /%e0%80%af HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("an overlong slash of four bytes", "GET /%f0%80%80%af HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("an overlong backslash", "GET /%c1%9c HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("a percent sign alone", "GET /% HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("half an encoding", "GET /%4 HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("no encoding", "GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("an encoding of another time", "GET /%u002e%u002e/ HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("letters, encoded", "GET /%61%62%7e HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/ab~")])),
    ("characters that no path may have", "GET /{a}|\"^ HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/%7Ba%7D%7C%22%5E")])),
    ("characters that no target may have", "GET /<b> HTTP/1.1\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("a back quote", "GET /` HTTP/1.1\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("a question mark, encoded", "GET /a%3fb HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/a%3Fb")])),
    ("a fragment", "GET /a#b HTTP/1.1\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("a fragment in a query", "GET /a?b#c HTTP/1.1\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("a fragment, encoded", "GET /a%23b HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/a%23b")])),
    ("parameters", "GET /a;v=1/b HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/a;v=1/b")])),
];

/// What routes lead to the service of `/echo`, in every spelling of the path.
#[rustfmt::skip]
const ROUTED: &[Case] = &[
    ("as it is", "GET /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi", super::support::Expect::Echoes("hi")),
    ("slashes", "GET //echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi", super::support::Expect::Echoes("hi")),
    ("encoded", "GET /%65cho HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi", super::support::Expect::Echoes("hi")),
    ("dots", "GET /x/../echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi", super::support::Expect::Echoes("hi")),
    ("dots, encoded", "GET /x/%2e%2e/./echo/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi", super::support::Expect::Echoes("hi")),
    ("away again", "GET /echo/../x HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/x")])),
    ("in capitals it is another path", "GET /ECHO HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/ECHO")])),
];

#[test]
fn paths() {
    let strict = Strict::start("");
    // The scheme of an absolute form is the listener's; one case each.
    let cases: Vec<Case> = PATHS.iter().filter(|case| !case.1.contains("{s}")).copied().collect();
    strict.run(&cases);
    strict.gateway.stop();
}

#[test]
fn absolute_forms() {
    use super::support::Raw;
    use crate::harness::Protocol;
    let strict = Strict::start("");
    for (name, bytes, expect) in PATHS.iter().filter(|case| case.1.contains("{s}")) {
        for (protocol, s) in [(Protocol::Http1, ""), (Protocol::Http1Tls, "s")] {
            let mut client = Raw::connect(&strict.gateway, protocol);
            client.send(
                bytes.replace("{s}", s).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes(),
            );
            let [answer] = &client.answers()[..] else { panic!("{name}") };
            match expect {
                Sees(wanted) => super::support::sees(&answer.json().unwrap(), wanted, protocol).unwrap(),
                _ => assert_eq!(answer.status, 400, "{name}"),
            }
        }
    }
    strict.gateway.stop();
}

#[test]
fn routes_follow_the_normal_form() {
    let strict = Strict::start("");
    strict.run(ROUTED);
    strict.gateway.stop();
}

#[test]
fn slashes_by_policy() {
    let strict = Strict::start("encoded-slash = \"keep\"\nmerge-slashes = false");
    strict.run(&[
        ("kept", "GET /a%2fb//c HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/a%2Fb//c")])),
        (
            "a segment like others",
            "GET /a/%2f/../b HTTP/1.1\r\nHost: localhost\r\n\r\n",
            Sees(&[("path", "/a/b")]),
        ),
        ("no separator", "GET /echo%2fx HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/echo%2Fx")])),
        ("an empty segment", "GET /a//../b HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/a/b")])),
        ("another path", "GET //echo HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "//echo")])),
    ]);
    strict.gateway.stop();
    let strict = Strict::start("encoded-slash = \"decode\"");
    strict.run(&[
        ("decoded", "GET /a%2Fb%2f%2fc HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("path", "/a/b/c")])),
        (
            "before dots",
            "GET /a/b%2f..%2f..%2fc HTTP/1.1\r\nHost: localhost\r\n\r\n",
            Sees(&[("path", "/c")]),
        ),
        ("above the root", "GET /a%2f..%2f..%2fc HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
        (
            "a separator",
            "GET /%2fecho HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi",
            super::support::Expect::Echoes("hi"),
        ),
    ]);
    strict.gateway.stop();
}
