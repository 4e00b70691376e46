//! Real servers behind the gateway: nginx, where it is installed.

use super::support::gateway;
use crate::harness::{Client, Folder, MS, PROTOCOLS, Protocol, SOON, body, in_time, request, run, scaled};
use http::Method;
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// Where nginx is; without it, says so, and the test is none.
fn nginx() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = folders.map(|folder| folder.join("nginx")).find(|file| file.is_file());
    if found.is_none() {
        eprintln!("SKIPPED: there is no nginx (Debian: apt-get install nginx-light)");
    }
    found
}

/// A running nginx. Dropped, it is killed.
struct Nginx {
    binary: PathBuf,
    address: SocketAddr,
    folder: Folder,
    child: Child,
}

impl Nginx {
    /// One that says its name and its connection in each answer, serves files of its folder and takes them.
    fn start(binary: &Path, name: &str) -> Self {
        let address = super::support::nowhere();
        let folder = Folder::new();
        for sub in ["files", "temporary"] {
            std::fs::create_dir(folder.path().join(sub)).unwrap();
        }
        let at = folder.path().display();
        folder.write(
            "nginx.conf",
            format!(
                "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;\n\
                 events {{ worker_connections 512; }}\n\
                 http {{ access_log off; client_max_body_size 0; client_body_temp_path {at}/temporary;\n\
                 server {{ listen {address}; root {at}/files; keepalive_requests 100000;\n\
                 add_header x-server {name} always; add_header x-connection $connection always;\n\
                 add_header x-protocol $server_protocol always;\n\
                 location /files/ {{ alias {at}/files/; dav_methods PUT; }}\n\
                 location / {{ return 200 \"$request_method $host\"; }} }} }}\n"
            ),
        );
        let child = Self::spawn(binary, folder.path());
        let nginx = Self { binary: binary.to_owned(), address, folder, child };
        nginx.answers();
        nginx
    }

    fn spawn(binary: &Path, folder: &Path) -> Child {
        let mut command = Command::new(binary);
        command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf"));
        command.arg("-e").arg(folder.join("error.log"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn answers(&self) {
        let start = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            let log = std::fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default();
            assert!(start.elapsed() < SOON, "nginx does not start: {log}");
            std::thread::sleep(10 * MS);
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn again(&mut self) {
        self.child = Self::spawn(&self.binary, self.folder.path());
        self.answers();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("files").join(name)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Asks so often, and says how often which server answered, over which of its connections.
async fn ask(client: &mut Client, times: usize) -> BTreeMap<(String, String), usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..times {
        let answer = client.get("/", &[("host", "localhost")]).await.ok();
        assert_eq!(answer.text(), "GET localhost");
        assert_eq!(answer.header("x-protocol"), Some("HTTP/1.1"));
        let field = |name| answer.header(name).unwrap().to_owned();
        *counts.entry((field("x-server"), field("x-connection"))).or_default() += 1;
    }
    counts
}

/// HTTP/2 to the client and kept HTTP/1.1 connections to both servers, in turns; one is killed, and no request fails;
/// it comes back, and has its share again.
#[test]
fn a_killed_server_is_ejected_and_comes_back() {
    let Some(binary) = nginx() else { return };
    let (first, mut second) = (Nginx::start(&binary, "first"), Nginx::start(&binary, "second"));
    let keys = "ejection = { failures = 2, time = \"1s\" }";
    let served = gateway(&[first.url(), second.url()], keys);
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http2).await;
        let counts = ask(&mut client, 200).await;
        assert_eq!(counts.values().collect::<Vec<_>>(), [&100, &100], "one connection each: {counts:?}");
        assert!(counts.keys().any(|(server, _)| server == "second"), "{counts:?}");

        second.kill();
        let counts = ask(&mut client, 50).await;
        assert!(counts.keys().all(|(server, _)| server == "first"), "{counts:?}");
        served.gateway.line(|line| line["message"] == "a server failed and is ejected");
        let labels = format!("linkspan_upstream=\"backend\",server=\"{}\"", first.url());
        assert_eq!(served.of_upstream("connections_total", &labels).await, 1.0);

        second.again();
        let start = Instant::now();
        while !ask(&mut client, 2).await.keys().any(|(server, _)| server == "second") {
            assert!(start.elapsed() < SOON, "it does not come back");
        }
        served.gateway.line(|line| line["message"] == "an ejected server gets requests again");
        let counts = ask(&mut client, 100).await;
        let seconds: usize =
            counts.iter().filter(|((server, _), _)| server == "second").map(|(_, n)| n).sum();
        assert_eq!(seconds, 50, "{counts:?}");
    });
}

/// A large file goes through in both directions without the gateway growing by it.
#[test]
fn a_large_body_goes_through() {
    let Some(binary) = nginx() else { return };
    let nginx = Nginx::start(&binary, "large");
    let size: u64 = scaled(64 << 20, 1 << 30);
    let served = crate::swap::support::Served::start(
        "",
        &(super::support::configuration(&[nginx.url()], "", "")
            + "[pipelines.main.limits]\nrequest-body = \"2GiB\"\n"),
    );
    let before = served.gateway.resident();
    run(async {
        for protocol in PROTOCOLS {
            let mut client = Client::connect(&served.gateway, protocol).await;
            let (_, upload) = body::stream(size);
            let put = request(Method::PUT, "/files/large", &[("content-length", &size.to_string())], upload);
            let response = long(client.send(put)).await.unwrap();
            assert!(response.status().is_success(), "{response:?}");
            drop(response);
            assert_eq!(std::fs::metadata(nginx.file("large")).unwrap().len(), size);
            let response =
                in_time(client.send(request(Method::GET, "/files/large", &[], body::empty()))).await;
            let mut download = response.unwrap().into_body();
            let (mut hash, mut got) = (Sha256::new(), 0);
            while let Some(frame) = in_time(download.frame()).await {
                let data = frame.unwrap().into_data().unwrap();
                got += data.len() as u64;
                hash.update(&data);
            }
            assert_eq!(got, size);
            assert_eq!(<[u8; 32]>::from(hash.finalize()), body::digest(size), "{protocol:?}");
            std::fs::remove_file(nginx.file("large")).unwrap();
        }
    });
    let grown = served.gateway.resident().saturating_sub(before);
    assert!(grown < 48 << 20, "grew by {grown}");
}

/// An upload of a GiB takes its time on a busy machine.
async fn long<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(20 * SOON, future).await.expect("not in time")
}

/// A file that is cut while it is sent does not look whole.
#[test]
fn a_server_that_dies_in_a_response_cuts_it() {
    let Some(binary) = nginx() else { return };
    let mut nginx = Nginx::start(&binary, "dying");
    let mut file = File::create(nginx.file("file")).unwrap();
    file.write_all(&vec![b'x'; 64 << 20]).unwrap();
    drop(file);
    let served = gateway(&[nginx.url()], "");
    run(async {
        for protocol in PROTOCOLS {
            let mut client = Client::connect(&served.gateway, protocol).await;
            let get = request(Method::GET, "/files/file", &[], body::empty());
            let mut download = in_time(client.send(get)).await.unwrap().into_body();
            in_time(download.frame()).await.unwrap().unwrap();
            nginx.kill();
            let cut = loop {
                match in_time(download.frame()).await {
                    Some(Ok(_)) => {}
                    Some(Err(_)) => break true,
                    None => break false,
                }
            };
            assert!(cut, "{protocol:?}");
            nginx.again();
        }
    });
}
