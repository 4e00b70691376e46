//! Fields: the host, what belongs to a connection, and what tells of the client.

use super::support::Expect::{Answered, Refused, Sees};
use super::support::{Case, Raw, Strict, sees};
use crate::harness::{Client, Protocol, body, request, run};
use http::{HeaderName, Method};

#[rustfmt::skip]
const HOSTS: &[Case] = &[
    ("plain", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", Sees(&[("authority", "localhost"), ("!host", "")])),
    ("upper case, a final dot", "GET / HTTP/1.1\r\nHost: LocalHost.\r\n\r\n", Sees(&[("authority", "localhost")])),
    ("a port", "GET / HTTP/1.1\r\nHost: localhost:8443\r\n\r\n", Sees(&[("authority", "localhost:8443")])),
    ("an empty port", "GET / HTTP/1.1\r\nHost: localhost:\r\n\r\n", Sees(&[("authority", "localhost")])),
    ("missing", "GET / HTTP/1.1\r\n\r\n", Answered(400)),
    ("missing in HTTP/1.0", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", Answered(400)),
    ("empty", "GET / HTTP/1.1\r\nHost:\r\n\r\n", Answered(400)),
    ("twice the same", "GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("twice different", "GET / HTTP/1.1\r\nHost: localhost\r\nHost: other\r\n\r\n", Answered(400)),
    ("twice, one folded", "GET / HTTP/1.1\r\nHost: localhost\r\n Host: other\r\n\r\n", Refused(400)),
    ("twice, one with a space", "GET / HTTP/1.1\r\nHost: localhost\r\nHost : other\r\n\r\n", Refused(400)),
    ("twice, one in an underscore", "GET / HTTP/1.1\r\nHost: localhost\r\nX_Forwarded_Host: other\r\n\r\n", Sees(&[("authority", "localhost"), ("x-forwarded-host", "localhost"), ("!x_forwarded_host", "")])),
    ("a list", "GET / HTTP/1.1\r\nHost: localhost, other\r\n\r\n", Answered(400)),
    ("a space within", "GET / HTTP/1.1\r\nHost: local host\r\n\r\n", Answered(400)),
    ("user info", "GET / HTTP/1.1\r\nHost: me@localhost\r\n\r\n", Answered(400)),
    ("user info that looks like a host", "GET / HTTP/1.1\r\nHost: localhost:80@other\r\n\r\n", Answered(400)),
    ("a path", "GET / HTTP/1.1\r\nHost: localhost/x\r\n\r\n", Answered(400)),
    ("a query", "GET / HTTP/1.1\r\nHost: localhost?x\r\n\r\n", Answered(400)),
    ("a fragment", "GET / HTTP/1.1\r\nHost: localhost#x\r\n\r\n", Answered(400)),
    ("a scheme", "GET / HTTP/1.1\r\nHost: http://localhost\r\n\r\n", Answered(400)),
    ("a backslash", "GET / HTTP/1.1\r\nHost: localhost\\other\r\n\r\n", Answered(400)),
    ("an encoding", "GET / HTTP/1.1\r\nHost: local%68ost\r\n\r\n", Answered(400)),
    ("beyond ASCII", "GET / HTTP/1.1\r\nHost: localh\u{f6}st\r\n\r\n", Answered(400)),
    ("NUL", "GET / HTTP/1.1\r\nHost: localhost\0other\r\n\r\n", Refused(400)),
    ("only a port", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n", Answered(400)),
    ("a port in words", "GET / HTTP/1.1\r\nHost: localhost:http\r\n\r\n", Answered(400)),
    ("a port with a sign", "GET / HTTP/1.1\r\nHost: localhost:+80\r\n\r\n", Answered(400)),
    ("a port beyond 16 bits", "GET / HTTP/1.1\r\nHost: localhost:65616\r\n\r\n", Answered(400)),
    ("two ports", "GET / HTTP/1.1\r\nHost: localhost:80:80\r\n\r\n", Answered(400)),
    ("an empty label", "GET / HTTP/1.1\r\nHost: localhost..\r\n\r\n", Answered(400)),
    ("brackets with no address", "GET / HTTP/1.1\r\nHost: [localhost]\r\n\r\n", Answered(400)),
    ("a scoped address", "GET / HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n", Answered(400)),
    ("quotes", "GET / HTTP/1.1\r\nHost: \"localhost\"\r\n\r\n", Answered(400)),
    ("the absolute form of another host", "GET http://other/ HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("the absolute form with user info", "GET http://me@localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("the absolute form of another port", "GET http://localhost:8080/ HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("the absolute form without a host", "GET http:///x HTTP/1.1\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("the absolute form of a file", "GET file:///etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", Refused(400)),
    ("the absolute form of another scheme", "GET ftp://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("the authority form", "GET localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("the asterisk", "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("the asterisk with GET", "GET * HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
    ("CONNECT", "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n", Answered(501)),
    ("a target without a slash", "GET x HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(400)),
];

#[rustfmt::skip]
const HOP_BY_HOP: &[Case] = &[
    ("h2c", "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n", Sees(&[("!upgrade", ""), ("!http2-settings", ""), ("!connection", "")])),
    ("h2c without Connection", "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\n\r\n", Sees(&[("!upgrade", "")])),
    ("named ones", "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: X-Foo, x-bar\r\nX-Foo: 1\r\nX-Bar: 2\r\nX-Baz: 3\r\n\r\n", Sees(&[("!x-foo", ""), ("!x-bar", ""), ("x-baz", "3")])),
    ("the rest", "GET / HTTP/1.1\r\nHost: localhost\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nProxy-Authorization: Basic QQ==\r\nProxy-Authenticate: Basic\r\n\r\n", Sees(&[("!keep-alive", ""), ("!proxy-connection", ""), ("!te", ""), ("!proxy-authorization", ""), ("!proxy-authenticate", "")])),
    ("what the gateway adds stays", "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: X-Forwarded-For, X-Real-IP, X-Forwarded-Proto, Host\r\n\r\n", Sees(&[("x-forwarded-for", "127.0.0.1"), ("x-real-ip", "127.0.0.1"), ("x-forwarded-proto", "{scheme}"), ("authority", "localhost")])),
    ("Expect is answered here", "GET / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\r\n", Sees(&[("!expect", "")])),
];

/// From a client that nobody trusts.
#[rustfmt::skip]
const FORGED: &[Case] = &[
    ("X-Forwarded-*", "GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: gopher\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /x\r\n\r\n", Sees(&[("x-forwarded-for", "127.0.0.1"), ("x-forwarded-proto", "{scheme}"), ("x-forwarded-host", "localhost"), ("!x-forwarded-prefix", "")])),
    ("X-Forwarded-For twice", "GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7\r\n\r\n", Sees(&[("x-forwarded-for", "127.0.0.1")])),
    ("Forwarded", "GET / HTTP/1.1\r\nHost: localhost\r\nForwarded: for=6.6.6.6;host=evil\r\n\r\n", Sees(&[("!forwarded", "")])),
    ("addresses under other names", "GET / HTTP/1.1\r\nHost: localhost\r\nX-Real-IP: 6.6.6.6\r\nTrue-Client-IP: 6.6.6.6\r\nX-Client-IP: 6.6.6.6\r\nCF-Connecting-IP: 6.6.6.6\r\n\r\n", Sees(&[("x-real-ip", "127.0.0.1"), ("!true-client-ip", ""), ("!x-client-ip", ""), ("!cf-connecting-ip", "")])),
    ("another target", "GET /a HTTP/1.1\r\nHost: localhost\r\nX-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\n\r\n", Sees(&[("path", "/a"), ("!x-original-url", ""), ("!x-rewrite-url", "")])),
    ("underscores of any name", "GET / HTTP/1.1\r\nHost: localhost\r\nX_Consumer: root\r\nX-Some_Field: 1\r\nX-Consumer: me\r\n\r\n", Sees(&[("!x_consumer", ""), ("!x-some_field", ""), ("x-consumer", "me")])),
    ("underscores", "GET / HTTP/1.1\r\nHost: localhost\r\nX_Forwarded_For: 6.6.6.6\r\nX-Real_IP: 6.6.6.6\r\n\r\n", Sees(&[("!x_forwarded_for", ""), ("!x-real_ip", "")])),
    ("a trace that is none", "GET / HTTP/1.1\r\nHost: localhost\r\ntraceparent: 00-0-0-0\r\ntracestate: a=b\r\n\r\n", Sees(&[("!traceparent", ""), ("!tracestate", "")])),
    ("a trace", "GET / HTTP/1.1\r\nHost: localhost\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\ntracestate: a=b\r\n\r\n", Sees(&[("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), ("tracestate", "a=b")])),
    ("a state without a trace", "GET / HTTP/1.1\r\nHost: localhost\r\ntracestate: a=b\r\n\r\n", Sees(&[("!tracestate", "")])),
    ("a request id is the client's own matter", "GET / HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: mine\r\n\r\n", Sees(&[("x-request-id", "mine"), ("!via", "")])),
];

/// From a proxy that is trusted.
#[rustfmt::skip]
const TRUSTED: &[Case] = &[
    ("a list goes on", "GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 6.6.6.6, 198.51.100.1\r\n\r\n", Sees(&[("x-forwarded-for", "6.6.6.6, 198.51.100.1, 127.0.0.1"), ("x-real-ip", "198.51.100.1")])),
    ("what it says of the target stays", "GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\nX-Forwarded-Port: 8443\r\n\r\n", Sees(&[("x-forwarded-proto", "https"), ("x-forwarded-host", "shop.example"), ("x-forwarded-port", "8443")])),
    ("what it says wrongly does not", "GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Proto: https, http\r\nX-Forwarded-Host: a b\r\nX-Forwarded-Port: 99999\r\n\r\n", Sees(&[("x-forwarded-proto", "{scheme}"), ("x-forwarded-host", "localhost")])),
    ("the other form is its client's", "GET / HTTP/1.1\r\nHost: localhost\r\nForwarded: for=6.6.6.6\r\n\r\n", Sees(&[("!forwarded", ""), ("x-forwarded-for", "127.0.0.1")])),
    ("an id of its own", "GET / HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: abc-123\r\nVia: 1.0 fred\r\n\r\n", Sees(&[("x-request-id", "abc-123"), ("via", "1.0 fred, 1.1 edge")])),
];

#[test]
fn hosts() {
    let strict = Strict::start("");
    strict.run(HOSTS);
    strict.gateway.stop();
}

#[test]
fn connections_fields_end_here() {
    let strict = Strict::start("");
    strict.run(HOP_BY_HOP);
    strict.gateway.stop();
}

#[test]
fn what_clients_claim_is_not_believed() {
    let strict = Strict::start("");
    strict.run(FORGED);
    let lines = strict.lines(FORGED.len() * 4);
    assert!(lines.iter().all(|line| line["client"] == "127.0.0.1"), "{lines:?}");
    strict.gateway.stop();
}

/// Who has servers that need them keeps them, but for those that would frame the message or tell of the client.
#[test]
fn underscores_can_be_kept() {
    let strict = Strict::start("underscores = \"keep\"");
    strict.run(&[(
        "kept",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX_Consumer: root\r\nX_Forwarded_For: 6.6.6.6\r\nContent_Length: 5\r\n\r\n",
        Sees(&[("x_consumer", "root"), ("!x_forwarded_for", ""), ("!content_length", "")]),
    )]);
    run(async {
        let mut client = Client::connect(&strict.gateway, Protocol::Http2).await;
        let body = body::with_trailers("hi", &[("x_sum", "7"), ("content_length", "1")]);
        let answer = client.ask(request(Method::POST, "/echo", &[], body)).await.ok();
        let left: Vec<_> = answer.trailers.as_ref().unwrap().keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["x_sum"]);
    });
    strict.gateway.stop();
}

#[test]
fn what_trusted_proxies_say_is_believed() {
    let policy = "trusted-proxies = [\"127.0.0.0/8\"]\nvia = \"edge\"\nrequest-id = \"accept\"\ntraceparent = \"make\"";
    let strict = Strict::start(policy);
    strict.run(TRUSTED);
    let clients = |address: &str| strict.lines(1).iter().filter(|line| line["client"] == address).count();
    assert_eq!(clients("198.51.100.1"), 2, "of both listeners");
    let mut client = Raw::connect(&strict.gateway, Protocol::Http1);
    client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: a b\r\nConnection: close\r\n\r\n");
    let [answer] = &client.answers()[..] else { panic!("one answer") };
    assert_eq!(answer.field("via"), Some("1.1 edge"));
    let saw = answer.json().unwrap();
    sees(&saw, &[("via", "1.1 edge"), ("x-forwarded-for", "127.0.0.1")], Protocol::Http1).unwrap();
    let field = |name: &str| {
        let pairs = saw["headers"].as_array().unwrap().iter();
        pairs.clone().find(|pair| pair[0] == name).unwrap()[1].as_str().unwrap().to_owned()
    };
    assert!(field("x-request-id").len() == 16 && field("traceparent").starts_with("00-"), "{saw}");
    strict.gateway.stop();
}

#[test]
fn the_other_form_is_that_of_rfc_7239() {
    let strict = Strict::start("trusted-proxies = [\"127.0.0.1\"]\nforwarded = \"forwarded\"");
    strict.run(&[
        (
            "made",
            "GET / HTTP/1.1\r\nHost: localhost:81\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n",
            Sees(&[
                ("forwarded", "for=127.0.0.1;host=\"localhost:81\";proto={scheme}"),
                ("!x-forwarded-for", ""),
                ("x-real-ip", "127.0.0.1"),
            ]),
        ),
        (
            "goes on",
            "GET / HTTP/1.1\r\nHost: localhost\r\nForwarded: for=\"[2001:db8::1]:47\"\r\n\r\n",
            Sees(&[
                ("forwarded", "for=\"[2001:db8::1]:47\", for=127.0.0.1;host=\"localhost\";proto={scheme}"),
                ("x-real-ip", "2001:db8::1"),
            ]),
        ),
    ]);
    strict.gateway.stop();
    let strict = Strict::start("forwarded = \"none\"");
    strict.run(&[(
        "none",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n\r\n",
        Sees(&[("!forwarded", ""), ("!x-forwarded-for", ""), ("!x-real-ip", "")]),
    )]);
    strict.gateway.stop();
}

/// Trailers that would have decided something, had they been fields. They are those of HTTP/2: HTTP/1.1 has none that
/// its response did not announce.
#[test]
fn trailers_decide_nothing() {
    let strict = Strict::start("");
    let mut trailers: Vec<_> = [
        "authorization",
        "content-length",
        "host",
        "cookie",
        "set-cookie",
        "x-forwarded-for",
        "forwarded",
        "x-real-ip",
        "x_forwarded_for",
        "content_length",
        "x_consumer",
        "some_field",
        "content-type",
        "proxy-authorization",
        "x-request-id",
        "trailer",
        "x-consumer",
        "cache-control",
        "traceparent",
    ]
    .map(|name| (name, "1"))
    .to_vec();
    trailers.push(("x-sum", "7"));
    run(async {
        let mut client = Client::connect(&strict.gateway, Protocol::Http2).await;
        let body = body::with_trailers("hi", &trailers);
        let answer = client.ask(request(Method::POST, "/echo", &[], body)).await.ok();
        let left: Vec<_> = answer.trailers.as_ref().unwrap().keys().map(HeaderName::as_str).collect();
        assert_eq!((answer.text(), left), ("hi", vec!["x-sum"]));
    });
    strict.gateway.stop();
}
