//! A gateway with an admin listener whose configuration is rewritten.

use crate::harness::{Client, Folder, Gateway, MS, Protocol, SOON, dist, identity, request};
use http::Method;
use serde_json::Value;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A gateway, and where it is asked for reloads.
pub struct Served {
    pub gateway: Gateway,
    pub admin: SocketAddr,
    /// Keys of `[gateway]` and tables of every configuration.
    head: String,
}

impl Served {
    /// Serves `rest`, which is all but the listeners and the components, with further keys of `[gateway]`.
    pub fn start(gateway: &str, rest: &str) -> Self {
        Self::start_in(Folder::new(), &head(gateway), rest)
    }

    /// The same with all that comes before the components.
    pub fn start_in(folder: Folder, head: &str, rest: &str) -> Self {
        let identity = identity();
        folder.write("cert.pem", &identity.certificate);
        folder.write("key.pem", &identity.key);
        let file = folder.write("linkspan.toml", whole(head, rest));
        Self::serve(folder, &file, head)
    }

    /// Serves a file that is there.
    pub fn serve(folder: Folder, file: &Path, head: &str) -> Self {
        let gateway = Gateway::serve(folder, file, [("LINKSPAN_LOG", "info")]);
        let line = gateway.line(|line| line["message"] == "admin listening");
        let admin = line["address"].as_str().unwrap().parse().unwrap();
        Self { gateway, admin, head: head.to_owned() }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.gateway.folder().join(name)
    }

    /// Rewrites the configuration.
    pub fn write(&self, rest: &str) {
        self.write_whole(&whole(&self.head, rest));
    }

    /// Puts a text in the configuration's place, at once.
    pub fn write_whole(&self, text: &str) {
        std::fs::write(self.file("next.toml"), text).unwrap();
        std::fs::rename(self.file("next.toml"), self.file("linkspan.toml")).unwrap();
    }

    pub fn head(&self) -> &str {
        &self.head
    }

    /// Asks the admin listener.
    pub async fn ask(&self, method: Method, path: &str) -> (u16, Value) {
        let mut client = Client::open(self.admin, Protocol::Http1).await;
        let answer = client.ask(request(method, path, &[], crate::harness::body::empty())).await;
        (answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    pub async fn reload(&self) -> (u16, Value) {
        self.ask(Method::POST, "/-/reload").await
    }

    /// Rewrites the configuration, and has it live.
    pub async fn swap(&self, rest: &str) {
        self.write(rest);
        let (status, answer) = self.reload().await;
        assert_eq!((status, &answer["unchanged"]), (200, &false.into()), "{answer:#}");
    }

    /// How many replaced generations have requests.
    pub async fn retiring(&self) -> usize {
        self.ask(Method::GET, "/generations").await.1["retiring"].as_array().unwrap().len()
    }

    /// Waits until none has.
    pub async fn nothing_retires(&self) {
        let start = Instant::now();
        while self.retiring().await > 0 {
            assert!(start.elapsed() < SOON, "a generation does not end");
            tokio::time::sleep(10 * MS).await;
        }
    }

    /// A metric without labels.
    pub async fn metric(&self, name: &str) -> f64 {
        let mut client = Client::open(self.admin, Protocol::Http1).await;
        let answer = client.get("/metrics", &[]).await.ok();
        let value = answer.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
    }
}

/// Two listeners and the admin listener; files are looked at when that is asked for.
pub fn head(gateway: &str) -> String {
    let watch = if gateway.contains("watch") { "" } else { "watch = \"0s\"\n" };
    format!(
        "[gateway]\nworkers = 1\n{watch}{gateway}\n[admin]\naddress = \"127.0.0.1:0\"\n\n[[listeners]]\n\
         address = \"127.0.0.1:0\"\n\n[[listeners]]\naddress = \"127.0.0.1:0\"\n\
         tls = {{ certificate = \"cert.pem\", key = \"key.pem\" }}\n\n"
    )
}

/// A configuration with the components that `rest` uses and does not describe.
pub fn whole(head: &str, rest: &str) -> String {
    let mut text = head.to_owned();
    for component in [
        "ab-router",
        "caller",
        "echo",
        "fault-service",
        "hello",
        "pass-through-async",
        "pass-through-sync",
        "probe-middleware",
        "rate-limit",
        "security-headers",
    ] {
        let used = rest.contains(&format!("component = \"{component}\""));
        if used && !rest.contains(&format!("[components.{component}]")) {
            writeln!(text, "[components.{component}]\npath = {:?}\n", dist(component)).unwrap();
        }
    }
    text + rest
}

/// A stage that adds `x-probe-NAME: VALUE` to each response.
pub fn stamp(name: &str, value: impl std::fmt::Display) -> String {
    format!(
        "{{ component = \"probe-middleware\", grant = {{ env = {{}} }}, config = {{ name = \"{name}\", value = \
         \"{value}\" }} }}"
    )
}

/// A pipeline of stages and a service, written as TOML.
pub fn pipeline(name: &str, stages: &str, service: &str) -> String {
    format!("[pipelines.{name}]\nstages = [{stages}]\nservice = {{ {service} }}\n\n")
}
