//! Pipelines that end in servers elsewhere.

#[path = "upstream/balance.rs"]
mod balance;
#[path = "upstream/bounds.rs"]
mod bounds;
#[path = "upstream/failures.rs"]
mod failures;
#[path = "upstream/nginx.rs"]
mod nginx;
#[path = "upstream/support.rs"]
pub mod support;

use crate::harness::{Client, ENCRYPTED, PROTOCOLS, Protocol, body, get, in_time, request, run, soon};
use crate::swap::support::Served;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING};
use http::{Method, Version};
use http_body_util::BodyExt as _;
use support::{Origin, STAGES, Speaks, configuration, gateway};

/// Heads come through with what is theirs, and without what belongs to a connection, whatever is in front.
#[test]
fn heads_come_through() {
    let origin = Origin::start();
    for stages in STAGES {
        let served = Served::start("", &configuration(&[origin.url()], "", stages));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&served.gateway, protocol).await;
                // Over TLS, it must be the host that the handshake named.
                let fields = [("host", "localhost"), ("x-one", "1"), ("x-one", "2"), ("cookie", "a=b")];
                let answer = client.get("/fields?x=%20y", &fields).await.ok();
                assert_eq!(answer.text(), "fields");
                let kept: Vec<_> = answer.headers.get_all("x-kept").iter().collect();
                assert_eq!(kept, ["1", "2"]);
                assert!(!answer.headers.contains_key("x-own"), "{answer:?}");
                assert!(!answer.headers.contains_key("keep-alive"), "{answer:?}");
                let seen = origin.last();
                assert_eq!((seen.method, seen.version), (Method::GET, Version::HTTP_11));
                assert_eq!(seen.uri.to_string(), "/fields?x=%20y");
                assert_eq!(seen.headers[HOST], "localhost");
                assert_eq!(seen.headers.get_all("x-one").iter().collect::<Vec<_>>(), ["1", "2"]);
                assert_eq!(seen.headers["cookie"], "a=b");
                assert_eq!(
                    (&seen.headers[TE], &seen.headers[CONNECTION]),
                    (&"trailers".parse().unwrap(), &"te".parse().unwrap())
                );
                assert!(
                    !seen.headers.contains_key(TRANSFER_ENCODING)
                        && !seen.headers.contains_key(CONTENT_LENGTH)
                );
            }
        });
        served.gateway.stop();
    }
}

/// Bodies stream in both directions at once, whatever is in front, and come out as they went in.
#[test]
fn bodies_stream_both_ways() {
    let origin = Origin::start();
    for stages in STAGES {
        let served = Served::start("", &configuration(&[origin.url()], "", stages));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&served.gateway, protocol).await;
                let (feeder, upload) = body::channel();
                let response =
                    in_time(client.send(request(Method::POST, "/echo", &[], upload))).await.unwrap();
                let mut download = response.into_body();
                for piece in ["one", "two", "three"] {
                    feeder.send(http_body::Frame::data(piece.into())).await.unwrap();
                    let frame = in_time(download.frame()).await.unwrap().unwrap();
                    assert_eq!(frame.into_data().unwrap(), piece);
                }
                drop(feeder);
                let rest = in_time(download.collect()).await.unwrap();
                assert!(rest.to_bytes().is_empty(), "{stages} {protocol:?}");

                const SIZE: u64 = 5_000_001;
                let (_, upload) = body::stream(SIZE);
                let answer = client.ask(request(Method::PUT, "/echo", &[], upload)).await.ok();
                assert_eq!(body::digest_of(&answer.body), body::digest(SIZE));
                assert_eq!(answer.body.len() as u64, SIZE);
                let answer = client.get("/stream?3000000", &[]).await.ok();
                assert_eq!(answer.header("content-length"), Some("3000000"));
                assert_eq!(body::digest_of(&answer.body), body::digest(3_000_000));
            }
        });
        served.gateway.stop();
    }
}

/// Trailers go both ways.
#[test]
fn trailers_go_both_ways() {
    for speaks in [Speaks::Http1, Speaks::Http2] {
        let origin = Origin::speaking(speaks.clone());
        let protocol = if matches!(speaks, Speaks::Http2) { "protocol = \"h2\"" } else { "" };
        for stages in STAGES {
            let served = Served::start("", &configuration(&[origin.url()], protocol, stages));
            run(async {
                for protocol in PROTOCOLS {
                    let mut client = Client::connect(&served.gateway, protocol).await;
                    let answer = client.get("/trailers", &[("te", "trailers")]).await.ok();
                    assert_eq!(answer.trailers.expect("trailers")["x-sum"], "5", "{stages}");
                    let upload = body::with_trailers("body", &[("x-sum", "4")]);
                    let fields = [("te", "trailers"), ("trailer", "x-sum")];
                    let answer = client.ask(request(Method::POST, "/echo", &fields, upload)).await.ok();
                    assert_eq!(answer.text(), "body");
                    assert_eq!(answer.trailers.expect("trailers")["x-sum"], "4", "{stages}");
                }
            });
        }
    }
}

/// Responses without a body have none, and keep what their head says of one.
#[test]
fn what_has_no_body_has_none() {
    for (speaks, keys) in [(Speaks::Http1, ""), (Speaks::Http2, "protocol = \"h2\"")] {
        let origin = Origin::speaking(speaks);
        for stages in STAGES {
            let served = Served::start("", &configuration(&[origin.url()], keys, stages));
            run(async {
                for protocol in PROTOCOLS {
                    let mut client = Client::connect(&served.gateway, protocol).await;
                    let answer = client.ask(request(Method::HEAD, "/", &[], body::empty())).await.ok();
                    assert_eq!(answer.header("content-length"), Some("1000"), "{stages} {protocol:?}");
                    assert!(answer.body.is_empty());
                    for status in [204, 304] {
                        let answer = client.get(&format!("/{status}"), &[]).await;
                        assert_eq!((answer.status.as_u16(), answer.body.len()), (status, 0));
                        assert!(answer.cut.is_none());
                    }
                    let answer = client.ask(request(Method::POST, "/digest", &[], body::empty())).await.ok();
                    assert!(answer.text().starts_with("0 "));
                }
            });
        }
    }
}

/// Kept connections serve one request after the other; HTTP/2 serves many at once on one.
#[test]
fn connections_are_kept() {
    for (speaks, keys) in [(Speaks::Http1, ""), (Speaks::Http2, "protocol = \"h2\"")] {
        let origin = Origin::speaking(speaks);
        let served = gateway(&[origin.url()], keys);
        run(async {
            let mut client = Client::connect(&served.gateway, Protocol::Http2).await;
            for _ in 0..50 {
                client.get("/", &[]).await.ok();
                client.ask(request(Method::POST, "/digest", &[], body::whole("x"))).await.ok();
            }
            assert_eq!((origin.connections(), origin.requests()), (1, 100));
            if keys.is_empty() {
                return;
            }
            let all = (0..50).map(|_| client.start(get("/first-and-never", &[])));
            let all = in_time(futures::future::join_all(all)).await;
            assert!(all.iter().all(|response| response.as_ref().is_ok_and(|it| it.status() == 200)));
            assert_eq!(origin.connections(), 1);
        });
        let labels = format!("linkspan_upstream=\"backend\",server=\"{}\"", origin.url());
        run(async {
            assert_eq!(served.of_upstream("connections_total", &labels).await, 1.0);
            assert!(served.of_upstream("requests_total", &labels).await >= 100.0);
            assert_eq!(served.of_upstream("server_up", &labels).await, 1.0);
        });
    }
}

/// The `Host` that servers get.
#[test]
fn the_host_is_what_the_policy_says() {
    for (speaks, protocol) in [(Speaks::Http1, "http1"), (Speaks::Http2, "h2")] {
        let origin = Origin::speaking(speaks);
        let own = origin.address.to_string();
        for (policy, expected) in
            [("preserve", "a.example"), ("upstream", own.as_str()), ("api.internal:81", "api.internal:81")]
        {
            let keys = format!("protocol = \"{protocol}\"\nhost = \"{policy}\"");
            let served = gateway(&[origin.url()], &keys);
            run(async {
                let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
                client.get("/", &[("host", "a.example")]).await.ok();
            });
            let seen = origin.last();
            let host = seen.headers.get(HOST).map(|host| host.to_str().unwrap());
            let host = host.or(seen.uri.authority().map(http::uri::Authority::as_str));
            assert_eq!(host, Some(expected), "{protocol}");
        }
    }
}

/// A server that answers before it has the whole request is heard, and its connection is used again only when the
/// request has gone out.
#[test]
fn an_early_answer_comes_through() {
    let origin = Origin::start();
    let served = gateway(&[origin.url()], "");
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http2).await;
        let (feeder, upload) = body::channel();
        feeder.send(http_body::Frame::data("begin".into())).await.unwrap();
        let answer = client.ask(request(Method::POST, "/early", &[], upload)).await.ok();
        assert_eq!(answer.text(), "early");
        drop(feeder);
        for _ in 0..3 {
            client.get("/", &[]).await.ok();
        }
    });
}

/// A server that does not read holds up the client; a client that does not read holds up the server.
#[test]
fn slow_sides_hold_up_the_fast_ones() {
    let origin = Origin::start();
    let text = configuration(&[origin.url()], "", "") + "[pipelines.main.limits]\nrequest-body = \"2GiB\"\n";
    let served = Served::start("", &text);
    run(async {
        for protocol in PROTOCOLS {
            let mut client = Client::connect(&served.gateway, protocol).await;
            const SIZE: u64 = 1 << 30;
            let (taken, upload) = body::stream(SIZE);
            let fields = [("content-length", "1073741824")];
            let sent = client.send(request(Method::POST, "/never", &fields, upload));
            let before = served.gateway.resident();
            // Nothing says when a sender has come to a stop but that it does not go on.
            let stopped = async {
                let mut last = (0, std::time::Instant::now());
                soon("the upload stops", || {
                    let now = taken.load(std::sync::atomic::Ordering::Relaxed);
                    if now != last.0 {
                        last = (now, std::time::Instant::now());
                    }
                    now > 0 && last.1.elapsed() > 300 * crate::harness::MS
                })
                .await;
            };
            tokio::select! { _ = sent => panic!("no answer was meant to come"), () = stopped => {} }
            let taken = taken.load(std::sync::atomic::Ordering::Relaxed);
            assert!(taken < 64 << 20, "{taken} bytes were taken that nobody read");
            let grown = served.gateway.resident().saturating_sub(before);
            assert!(grown < 32 << 20, "grew by {grown}");
        }
    });
}

/// TLS with roots of our own, for HTTP/1.1 and HTTP/2 as the server chooses; a certificate of ours where it asks.
#[test]
fn tls_is_agreed_on() {
    for (alpn, version, clients) in [
        (&["h2", "http/1.1"][..], Version::HTTP_2, false),
        (&["http/1.1"], Version::HTTP_11, true),
        (&[], Version::HTTP_11, false),
    ] {
        let origin = Origin::speaking(support::tls(alpn, clients));
        let server = format!("https://localhost:{}", origin.address.port());
        let own = if clients { ", certificate = \"cert.pem\", key = \"key.pem\"" } else { "" };
        let keys = format!("host = \"upstream\"\ntls = {{ roots = \"cert.pem\"{own} }}");
        let served = gateway(&[server], &keys);
        run(async {
            for protocol in ENCRYPTED {
                let mut client = Client::connect(&served.gateway, protocol).await;
                let answer =
                    client.ask(request(Method::PUT, "/echo", &[], body::whole("over TLS"))).await.ok();
                assert_eq!(answer.text(), "over TLS");
                assert_eq!(origin.last().version, version);
                let answer = client.get("/trailers", &[("te", "trailers")]).await.ok();
                assert!(
                    answer.trailers.is_some_and(|it| it.contains_key("x-sum")) || version == Version::HTTP_11
                );
            }
            assert_eq!(origin.connections(), 1);
        });
    }
}

/// An unchanged upstream keeps its connections when the configuration changes; a changed one gets new ones, and the old
/// ones end when their last request has.
#[test]
fn a_reload_keeps_what_is_unchanged() {
    let origin = Origin::start();
    let with = |stages: &str, keys: &str| configuration(&[origin.url()], keys, stages);
    let served = Served::start("", &with("", ""));
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http2).await;
        client.get("/", &[]).await.ok();
        served.swap(&with("{ component = \"pass-through-sync\" }", "")).await;
        client.get("/", &[]).await.ok();
        assert_eq!(origin.connections(), 1);

        let mut held = in_time(client.start(get("/first-and-never", &[]))).await.unwrap().into_body();
        in_time(held.frame()).await.unwrap().unwrap();
        served.swap(&with("", "balance = \"least-requests\"")).await;
        client.get("/", &[]).await.ok();
        assert_eq!(origin.connections(), 2);
        assert_eq!(origin.open(), 2, "the old one has a request");
        drop(held);
        soon("the old one ends", || origin.open() == 1).await;
        served.nothing_retires().await;
    });
}

/// An upgrade is refused before a server hears of it; an offer of HTTP/2 is not taken for one.
#[test]
fn upgrades_are_refused() {
    let origin = Origin::start();
    for stages in STAGES {
        let served = Served::start("", &configuration(&[origin.url()], "", stages));
        let before = origin.requests();
        run(async {
            let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
            let fields = [("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")];
            client.get("/", &fields).await.problem(501, "upgrade-not-supported");
            assert_eq!(origin.requests(), before);
            client.get("/", &[("connection", "upgrade"), ("upgrade", "h2c")]).await.ok();
            assert!(!origin.last().headers.contains_key("upgrade"));
        });
    }
}
