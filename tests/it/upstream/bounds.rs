//! Bounds on connections that are kept and shared, and on the life of what was replaced.

use super::support::{Origin, Speaks, configuration, gateway};
use crate::harness::body;
use crate::harness::{Client, Protocol, get, in_time, request, run, soon};
use crate::swap::support::Served;
use futures::future::join_all;
use http::Method;
use http_body_util::BodyExt as _;

/// No more connections are kept than the bound says, and none for longer.
#[test]
fn idle_connections_are_bounded() {
    let origin = Origin::start();
    let served = gateway(&[origin.url()], "limits = { keep-alive = 2, keep-alive-timeout = \"1h\" }");
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http2).await;
        let (feeders, uploads): (Vec<_>, Vec<_>) = (0..5).map(|_| body::channel()).unzip();
        let held =
            uploads.into_iter().map(|upload| client.start(request(Method::POST, "/echo", &[], upload)));
        let held = in_time(join_all(held)).await;
        assert_eq!((origin.connections(), origin.open()), (5, 5));
        drop(feeders);
        for response in held {
            in_time(response.unwrap().into_body().collect()).await.unwrap();
        }
        soon("two are kept", || origin.open() == 2).await;
        let before = origin.connections();
        client.get("/", &[]).await.ok();
        assert_eq!(origin.connections(), before, "one that was kept does");
    });
    drop(served);
    let served = gateway(&[origin.url()], "limits = { keep-alive = 0 }");
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
        let before = origin.connections();
        for _ in 0..3 {
            client.get("/", &[]).await.ok();
        }
        assert_eq!(origin.connections() - before, 3);
        soon("none is kept", || origin.open() == 0).await;
    });
}

#[test]
fn idle_connections_end() {
    for (speaks, keys) in [(Speaks::Http1, ""), (Speaks::Http2, "protocol = \"h2\"")] {
        let origin = Origin::speaking(speaks);
        let served =
            gateway(&[origin.url()], &format!("limits = {{ keep-alive-timeout = \"200ms\" }}\n{keys}"));
        run(async {
            let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
            client.get("/", &[]).await.ok();
            soon("the connection ends", || origin.open() == 0).await;
            client.get("/", &[]).await.ok();
            assert_eq!(origin.connections(), 2);
        });
    }
}

/// With HTTP/2, a connection has as many requests as the bound says, and then there is another one.
#[test]
fn streams_are_bounded() {
    let origin = Origin::speaking(Speaks::Http2);
    let served =
        gateway(&[origin.url()], "protocol = \"h2\"\nlimits = { streams = 2, connections = 3, pending = 0 }");
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http2).await;
        let mut held = Vec::new();
        for number in 0..6 {
            held.push(in_time(client.start(get("/first-and-never", &[]))).await.unwrap());
            assert_eq!(origin.connections(), number / 2 + 1);
        }
        client.get("/", &[]).await.problem(503, "upstream-busy");
        held.clear();
        let labels = format!("linkspan_upstream=\"backend\",server=\"{}\"", origin.url());
        let start = std::time::Instant::now();
        while served.of_upstream("requests_active", &labels).await > 0.0 {
            assert!(start.elapsed() < crate::harness::SOON, "requests do not end");
        }
        client.get("/", &[]).await.ok();
        assert_eq!(origin.connections(), 3);
    });
}

/// A request of a replaced configuration is cut when its time is over, at an upstream, too.
#[test]
fn what_was_replaced_is_cut() {
    let origin = Origin::start();
    let with = |keys: &str| configuration(&[origin.url()], keys, "");
    let served = Served::start("retire-timeout = \"300ms\"", &with(""));
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http2).await;
        let mut held = in_time(client.start(get("/first-and-never", &[]))).await.unwrap().into_body();
        in_time(held.frame()).await.unwrap().unwrap();
        let waiting = client.start(get("/never", &[]));
        let waiting = tokio::task::spawn_local(waiting);
        soon("it arrives", || origin.requests() == 2).await;
        served.swap(&with("balance = \"least-requests\"")).await;
        assert!(in_time(held.frame()).await.is_none_or(|frame| frame.is_err()));
        let answer = in_time(waiting).await.unwrap().unwrap();
        crate::harness::Answer::read(answer).await.problem(504, "deadline");
        soon("its connections end", || origin.open() == 0).await;
        // It is brought up to date several times a second.
        let start = std::time::Instant::now();
        while served.metric("linkspan_retirement_streams_cut_total").await != 2.0 {
            assert!(start.elapsed() < crate::harness::SOON, "both are counted");
        }
    });
}

/// A pipeline that ends in an upstream can be called by name, and mirrored to.
#[test]
fn other_pipelines_lead_there() {
    let (origin, shadow) = (Origin::start(), Origin::start());
    let text = format!(
        "[upstreams.backend]\nservers = [{:?}]\n\n[upstreams.shadow]\nservers = [{:?}]\n\n\
         [pipelines.main]\nservice = {{ component = \"ab-router\", grant = {{ random = true }}, \
         next = {{ a = \"a\", b = \"b\" }} }}\n\n\
         [pipelines.a]\nupstream = \"backend\"\nlimits = {{ request-body = \"1KiB\" }}\n\n\
         [pipelines.b]\nstages = [{{ component = \"pass-through-sync\" }}]\nupstream = \"backend\"\n\n\
         [pipelines.shadow]\nupstream = \"shadow\"\n\n\
         [[routes]]\npipeline = \"main\"\nmirror = \"shadow\"\n",
        origin.url(),
        shadow.url(),
    );
    let served = Served::start("", &text);
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http2).await;
        for variant in ["a", "b"] {
            let fields = [("x-variant", variant)];
            let ask = request(Method::POST, "/digest", &fields, body::whole("called"));
            assert!(client.ask(ask).await.ok().text().starts_with("6 "), "{variant}");
        }
        let long = request(Method::POST, "/digest", &[("x-variant", "a")], body::whole(vec![b'x'; 2000]));
        client.ask(long).await.problem(413, "payload-too-large");
        soon("copies arrive", || shadow.requests() >= 2).await;
    });
}
