//! Stores: counters that pipelines and gateways share, and what happens when the server behind them is away.

mod many;
mod redis;

use crate::chain_test;
use crate::harness::{
    Answer, Client, Gateway, MS, Pipeline, Protocol, SOON, Setup, binary, eventually, get, in_time, run, soon,
};
use redis::{Redis, installed};
use rustix::process::Signal;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A limit that does not fill again while a test runs.
const SLOW: &str = "rate = \"3/h\"";

/// A stage that counts in the store `shared`.
fn limited(pipeline: Pipeline, config: &str) -> Pipeline {
    let keys = format!(
        "grant = {{ stores = [\"shared\"] }}\nconfig = {{ {config}, store = \"shared\", key-header = \"x-key\" }}"
    );
    pipeline.stage_with("rate-limit-in-place", &keys)
}

fn main(config: &str) -> Pipeline {
    limited(Pipeline::new("main", "empty"), config)
}

async fn ask(gateway: &Gateway) -> Answer {
    Client::connect(gateway, Protocol::Http1).await.get("/", &[]).await
}

/// The status, and the rest of the burst.
async fn outcome(gateway: &Gateway) -> (u16, Option<String>) {
    let answer = ask(gateway).await;
    let state = answer.header("ratelimit").and_then(|state| state.split(';').nth(1)).map(str::to_owned);
    (answer.status.as_u16(), state)
}

fn left(number: u32) -> (u16, Option<String>) {
    (200, Some(format!("r={number}")))
}

fn none() -> (u16, Option<String>) {
    (429, Some("r=0".to_owned()))
}

/// Three requests through two gateways or pipelines in turn, and one too many through each.
async fn share(one: &Gateway, other: &Gateway) {
    assert_eq!(outcome(one).await, left(2));
    assert_eq!(outcome(other).await, left(1));
    assert_eq!(outcome(one).await, left(0));
    assert_eq!(outcome(other).await, none());
    assert_eq!(outcome(one).await, none());
}

chain_test! {
    /// Two gateways have one limit, whatever stands in front of the stage, and however it is linked.
    fn gateways_share_a_limit(chain) {
        let Some(binary) = installed() else { return };
        let redis = Redis::start(binary, &[]);
        let setup = Setup::of([limited(chain.pipeline("empty"), SLOW)]).more(&redis.store("timeout = \"20s\""));
        let (one, other) = (Gateway::start(&setup), Gateway::start(&setup));
        run(share(&one, &other));
        one.stop();
        other.stop();
    }
}

/// Both forms of a segment ask the store, and the portable build does as the one in place.
#[test]
fn forms_and_builds_are_alike() {
    let Some(binary) = installed() else { return };
    for form in ["auto", "component"] {
        for build in ["rate-limit", "rate-limit-in-place"] {
            let redis = Redis::start(binary.clone(), &[]);
            let stage = format!(
                "grant = {{ stores = [\"shared\"] }}\nconfig = {{ {SLOW}, store = \"shared\", bucket = \"b\" }}"
            );
            let pipeline = Pipeline::new("main", "empty").form(form).stage_with(build, &stage);
            let gateway = Gateway::start(&Setup::of([pipeline]).more(&redis.store("timeout = \"20s\"")));
            run(share(&gateway, &gateway));
            let keys = redis.says("KEYS *").unwrap();
            assert!(keys.contains("linkspan:b|"), "{form} {build}: {keys}");
            gateway.stop();
        }
    }
}

chain_test! {
    /// A store in memory is shared by the pipelines of a gateway that name the same bucket, and by no others.
    fn pipelines_share_a_store_in_memory(chain) {
        let pipeline = |name: &str, bucket: &str| {
            let config = format!("{SLOW}, bucket = \"{bucket}\"");
            limited(chain.named(name, "empty"), &config).route(&format!("path = \"/{name}\""))
        };
        let pipelines = [pipeline("one", "a"), pipeline("two", "a"), pipeline("three", "b")];
        let gateway = Gateway::start(&Setup::of(pipelines).more("[stores.shared]\nkind = \"memory\"\n"));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http1).await;
            let mut statuses = Vec::new();
            for path in ["/one", "/two", "/one", "/two", "/one", "/three"] {
                statuses.push(client.get(path, &[]).await.status.as_u16());
            }
            assert_eq!(statuses, [200, 200, 200, 429, 429, 200]);
        });
        gateway.stop();
    }
}

/// `entries`: with all keys of a store in memory in use, a further one is refused.
#[test]
fn entries_in_memory() {
    let setup = Setup::of([main(SLOW)]).more("[stores.shared]\nkind = \"memory\"\nentries = 1\n");
    let gateway = Gateway::start(&setup);
    run(async {
        let mut client = Client::connect(&gateway, Protocol::Http1).await;
        let mut refused = 0;
        // One for each of the 16 shards at most.
        for key in 0..100 {
            let answer = client.get("/", &[("x-key", &key.to_string())]).await;
            refused += usize::from(answer.status == 429);
        }
        assert!((84..100).contains(&refused), "{refused}");
    });
    gateway.stop();
}

/// What each choice does while the server is away from the start on, and that it is used when it comes.
#[test]
fn a_server_that_is_away_at_the_start() {
    let Some(binary) = installed() else { return };
    let address = crate::harness::free();
    let store = format!(
        "[stores.shared]\nkind = \"redis\"\nurl = \"redis://{address}\"\nretry-interval = \"10ms\"\n"
    );
    let start = |choice: &str| {
        let setup = Setup::of([main(&format!("{SLOW}, bucket = \"b\", on-store-failure = \"{choice}\""))]);
        Gateway::start(&setup.more(&store))
    };
    let gateways = ["local", "open", "closed"].map(start);
    let [local, open, closed] = &gateways;
    run(async {
        for rest in [left(2), left(1), left(0), none()] {
            assert_eq!(outcome(local).await, rest);
        }
        for _ in 0..5 {
            assert_eq!(outcome(open).await, (200, None));
        }
        let answer = ask(closed).await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, Some("1")));
    });
    local.line(|line| line["message"] == "the store is away" && line["store"] == "shared");
    let _redis = Redis::at(address, binary, &[]);
    run(async {
        // Each of them finds the server within its longest pause.
        let start = Instant::now();
        while outcome(closed).await.0 == 503 {
            assert!(start.elapsed() < SOON);
            tokio::time::sleep(10 * MS).await;
        }
        while outcome(open).await.1.is_none() || outcome(open).await.0 == 200 {
            assert!(start.elapsed() < SOON);
            tokio::time::sleep(10 * MS).await;
        }
    });
    closed.line(|line| line["message"] == "the store is there again");
    gateways.into_iter().for_each(Gateway::stop);
}

/// A server that is paused, killed, replaced or loses its scripts: no request waits for longer than `timeout`, and all
/// is well when the server is.
#[test]
fn a_server_that_goes_and_comes() {
    let Some(binary) = installed() else { return };
    let mut redis = Redis::start(binary, &[]);
    let config = "rate = \"1000000/s\", burst = 1000000, on-store-failure = \"closed\"";
    let bounds = "timeout = \"500ms\"\nconnect-timeout = \"500ms\"\nretry-interval = \"20ms\"\nretry-interval-max = \"50ms\"";
    let gateway = Gateway::start(&Setup::of([main(config)]).more(&redis.store(bounds)));
    let statuses = |number: usize| {
        run(async {
            let mut found = Vec::new();
            for _ in 0..number {
                let began = Instant::now();
                found.push(ask(&gateway).await.status.as_u16());
                assert!(began.elapsed() < Duration::from_secs(20), "a request hangs");
            }
            found
        })
    };
    let is_back = || eventually("the store is there again", || statuses(1) == [200]);
    is_back();
    redis.signal(Signal::STOP);
    assert_eq!(statuses(20), [503; 20]);
    redis.signal(Signal::CONT);
    is_back();
    redis.kill();
    assert_eq!(statuses(20), [503; 20]);
    redis.replace();
    is_back();
    redis.says("SCRIPT FLUSH").unwrap();
    assert_eq!(statuses(3), [200; 3]);
    // A replica that does not write: the connection is made anew, to whoever is there by then.
    redis.says("REPLICAOF 127.0.0.1 1").unwrap();
    assert_eq!(statuses(3), [503; 3]);
    redis.says("REPLICAOF NO ONE").unwrap();
    is_back();
    // What is no state of a key counts as none, and a key of another type is refused, without an end of the connection.
    redis.says("FLUSHALL").unwrap();
    redis.says("LPUSH linkspan:main/0:rate-limit-in-place| x").unwrap();
    assert_eq!(statuses(2), [503; 2]);
    redis.says("FLUSHALL").unwrap();
    redis.says("SET linkspan:main/0:rate-limit-in-place| x").unwrap();
    assert_eq!(statuses(2), [200; 2]);
    gateway.stop();
}

/// While the server is known to be away, a request does not wait for it.
#[test]
fn nobody_waits_for_a_server_that_is_known_to_be_away() {
    let Some(binary) = installed() else { return };
    let redis = Redis::start(binary, &[]);
    let bounds = "timeout = \"1s\"\nconnect-timeout = \"60s\"";
    let config = "rate = \"1000000/s\", on-store-failure = \"open\"";
    let gateway = Gateway::start(&Setup::of([main(config)]).more(&redis.store(bounds)));
    run(async {
        assert_eq!(ask(&gateway).await.status, 200);
        redis.signal(Signal::STOP);
        // Once; the connection counts as broken from then on.
        let began = Instant::now();
        assert_eq!(outcome(&gateway).await, (200, None));
        assert!(began.elapsed() >= Duration::from_millis(900));
        let began = Instant::now();
        for _ in 0..20 {
            assert_eq!(outcome(&gateway).await, (200, None));
        }
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    });
    redis.signal(Signal::CONT);
    gateway.stop();
}

/// `queue`: beyond it, a request does not wait.
#[test]
fn the_queue_of_a_store() {
    let Some(binary) = installed() else { return };
    let redis = Redis::start(binary, &[]);
    let bounds = "timeout = \"20s\"\nqueue = 1\nbatch = 1\nin-flight = 1";
    let config = "rate = \"1000000/s\", on-store-failure = \"closed\"";
    let gateway = Gateway::start(&Setup::of([main(config)]).more(&redis.store(bounds)));
    run(async {
        assert_eq!(ask(&gateway).await.status, 200);
        redis.signal(Signal::STOP);
        let client = || Client::connect(&gateway, Protocol::Http1);
        // One is under way, one waits.
        let mut held = Vec::new();
        let mut refused = 0;
        for _ in 0..5 {
            let mut client = client().await;
            let task = tokio::task::spawn_local(async move { client.get("/", &[]).await.status.as_u16() });
            tokio::time::sleep(300 * MS).await;
            if task.is_finished() {
                assert_eq!(task.await.unwrap(), 503);
                refused += 1;
            } else {
                held.push(task);
            }
        }
        assert_eq!((held.len(), refused), (2, 3));
        redis.signal(Signal::CONT);
        for task in held {
            assert_eq!(in_time(task).await.unwrap(), 200);
        }
    });
    gateway.stop();
}

/// A password, a user, a database, a prefix, and TLS.
#[test]
fn logins_and_tls() {
    let Some(binary) = installed() else { return };
    let redis = Redis::start(
        binary.clone(),
        &["--requirepass", "secret", "--user", "edge", "on", ">pass", "~*", "+@all"],
    );
    let base = format!(
        "[stores.shared]\nkind = \"redis\"\nurl = \"redis://{}/3\"\nprefix = \"p:\"\n",
        redis.address
    );
    let start = |keys: &str| {
        let setup = Setup::of([main(&format!("{SLOW}, on-store-failure = \"closed\""))]);
        Gateway::start(&setup.more(&format!("{base}{keys}\n")).env("PASSWORD", "secret"))
    };
    for (keys, status) in [
        ("password = { env = \"PASSWORD\" }", 200),
        ("username = \"edge\"\npassword = \"pass\"", 200),
        ("password = \"wrong\"", 503),
        ("", 503),
    ] {
        let gateway = start(keys);
        run(async {
            let answer = ask(&gateway).await;
            assert_eq!(answer.status.as_u16(), status, "{keys}");
        });
        let told = |line: &crate::harness::Line| line.to_string().contains("secret");
        assert_eq!(gateway.count(told), 0);
        gateway.stop();
    }
    let redis = Redis::encrypted(binary);
    let port = redis.address.port();
    for (roots, status) in [("roots = \"cert.pem\"", 200), ("", 503)] {
        let store =
            format!("[stores.shared]\nkind = \"redis\"\nurl = \"rediss://localhost:{port}\"\n{roots}\n");
        let setup = Setup::of([main(&format!("{SLOW}, on-store-failure = \"closed\""))]).more(&store);
        let gateway = Gateway::start(&setup);
        run(async { assert_eq!(ask(&gateway).await.status.as_u16(), status, "{roots}") });
        gateway.stop();
    }
}

/// What is counted of a store.
#[test]
fn metrics_of_a_store() {
    let Some(binary) = installed() else { return };
    let mut redis = Redis::start(binary, &[]);
    let admin = crate::harness::free();
    let setup = Setup::of([main("rate = \"1000000/s\"")]).more(&redis.store("timeout = \"20s\""));
    let gateway = Gateway::start(&setup.more(&format!("[admin]\naddress = \"{admin}\"\n")));
    run(async {
        for _ in 0..3 {
            assert_eq!(ask(&gateway).await.status, 200);
        }
        has(admin, "linkspan_store_operations_total{linkspan_store=\"shared\",outcome=\"done\"} 3").await;
        has(admin, "linkspan_store_commands_total{linkspan_store=\"shared\"} 3").await;
        has(admin, "linkspan_store_connections_open{linkspan_store=\"shared\"} 1").await;
        has(admin, "linkspan_store_wait_seconds_count{linkspan_store=\"shared\"} 3").await;
        redis.kill();
        has(admin, "linkspan_store_connections_open{linkspan_store=\"shared\"} 0").await;
        gateway.line(|line| line["message"] == "the store is away");
        assert_eq!(ask(&gateway).await.status, 200);
        has(admin, "linkspan_store_operations_total{linkspan_store=\"shared\",outcome=\"away\"} 1").await;
    });
    gateway.stop();
}

async fn has(admin: SocketAddr, line: &str) {
    let start = Instant::now();
    loop {
        let answer = Client::open(admin, Protocol::Http1).await.get("/metrics", &[]).await.ok();
        if answer.text().lines().any(|found| found == line) {
            return;
        }
        assert!(start.elapsed() < SOON, "no {line} in {}", answer.text());
        tokio::time::sleep(20 * MS).await;
    }
}

/// A reload that changes something else keeps what a store in memory counted, and the connection with a server; a store
/// that is gone has no connection.
#[test]
fn stores_over_a_reload() {
    let Some(binary) = installed() else { return };
    let redis = Redis::start(binary, &[]);
    let memory = Pipeline::new("memory", "empty").route("path = \"/memory\"").stage_with(
        "rate-limit-in-place",
        &format!("grant = {{ stores = [\"own\"] }}\nconfig = {{ {SLOW}, store = \"own\" }}"),
    );
    let own = "[stores.own]\nkind = \"memory\"\n";
    let shared = redis.store("timeout = \"20s\"");
    let setup = Setup::of([main(SLOW), memory.clone()]).more(own).more(&shared);
    let gateway = Gateway::start(&setup);
    run(async {
        let mut client = Client::connect(&gateway, Protocol::Http1).await;
        for path in ["/", "/memory", "/", "/memory"] {
            client.get(path, &[]).await.ok();
        }
        let file = gateway.folder().join("linkspan.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("[http]", "") + "\n[http]\nvia = \"edge\"\n").unwrap();
        soon("a reload", || gateway.count(|line| line["message"] == "a new generation is live") == 1).await;
        client.get("/memory", &[]).await.ok();
        assert_eq!(client.get("/memory", &[]).await.status, 429);
        client.get("/", &[]).await.ok();
        assert_eq!(client.get("/", &[]).await.status, 429);
    });
    // One made by the gateway, and one that asks.
    assert_eq!(redis.clients(), 2);
    gateway.stop();
}

/// A store that no generation has any more has no connection.
#[test]
fn stores_that_are_gone() {
    let Some(binary) = installed() else { return };
    let redis = Redis::start(binary, &[]);
    let setup = Setup::of([main(SLOW)]).more(&redis.store("timeout = \"20s\""));
    let gateway = Gateway::start(&setup);
    run(async { ask(&gateway).await.ok() });
    assert_eq!(redis.clients(), 2);
    let file = gateway.folder().join("linkspan.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    // Another store under the same name, and the same counts, which the server keeps.
    std::fs::write(&file, text.replace("timeout = \"20s\"", "timeout = \"21s\"")).unwrap();
    gateway.line(|line| line["message"] == "a new generation is live");
    run(async { assert_eq!(outcome(&gateway).await, left(1)) });
    eventually("the earlier connection ended", || redis.clients() == 2);
    gateway.stop();
}

/// A stage whose store is not granted is refused before it serves.
#[test]
fn a_store_without_a_grant() {
    let pipeline = Pipeline::new("main", "empty")
        .stage_with("rate-limit-in-place", &format!("config = {{ {SLOW}, store = \"shared\" }}"));
    let folder = crate::harness::Folder::new();
    let file = Setup::of([pipeline]).more("[stores.shared]\nkind = \"memory\"\n").write(&folder);
    let output = binary(&["check", file.to_str().unwrap()]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("`store` is not a store that the stage is granted"), "{text}");
}

/// One request more than a limit allows, through any number of connections at once: commands hold many requests.
#[test]
fn requests_at_once_go_together() {
    let Some(binary) = installed() else { return };
    let redis = Redis::start(binary, &[]);
    let config = "rate = \"100/h\", on-store-failure = \"closed\"";
    let bounds = "timeout = \"20s\"\nin-flight = 1";
    let admin = crate::harness::free();
    let setup = Setup::of([main(config)]).more(&redis.store(bounds));
    let gateway = Gateway::start(&setup.more(&format!("[admin]\naddress = \"{admin}\"\n")));
    run(async {
        ask(&gateway).await.ok();
        redis.signal(Signal::STOP);
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let mut client = Client::connect(&gateway, Protocol::Http1).await;
            tasks.spawn_local(async move { client.try_ask(get("/", &[])).await.unwrap().status.as_u16() });
        }
        tokio::time::sleep(1000 * MS).await;
        redis.signal(Signal::CONT);
        while let Some(status) = in_time(tasks.join_next()).await {
            assert_eq!(status.unwrap(), 200);
        }
        // The first; one of those after it; and all others in one.
        has(admin, "linkspan_store_commands_total{linkspan_store=\"shared\"} 3").await;
        has(admin, "linkspan_store_operations_total{linkspan_store=\"shared\",outcome=\"done\"} 51").await;
    });
    gateway.stop();
}
