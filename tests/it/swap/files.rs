//! Files that change: listeners, certificates, components, links that are swapped.

use super::number;
use super::stamped;
use super::support::{Served, head, pipeline, whole};
use crate::harness::{Client, Folder, Line, Protocol, SOON, free, identity, run, soon};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::time::Duration;

fn refused(line: &Line) -> bool {
    line["message"].as_str().is_some_and(|text| text.contains("the configuration was refused"))
}

fn live(line: &Line) -> bool {
    line["message"] == "a new generation is live" && line["trigger"] == "file"
}

#[test]
fn listeners_come_and_go() {
    let served = Served::start("", &stamped(1));
    let address = free();
    run(async {
        let more = format!("{}[[listeners]]\naddress = \"{address}\"\n\n", stamped(2));
        served.swap(&more).await;
        let mut client = Client::open(address, Protocol::Http1).await;
        assert_eq!(number(&client.get("/", &[]).await), 2);
        // The others are where they were.
        let mut old = Client::connect(&served.gateway, Protocol::Http2).await;
        assert_eq!(number(&old.get("/", &[]).await), 2);
        served.swap(&stamped(3)).await;
        assert!(TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err(), "nobody listens");
        assert_eq!(number(&old.get("/", &[]).await), 3);
    });
}

#[test]
fn an_address_that_is_taken_is_refused_with_its_place() {
    let served = Served::start("", &stamped(1));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    run(async {
        served.write(&format!("{}[[listeners]]\naddress = \"{address}\"\n\n", stamped(2)));
        let (status, answer) = served.reload().await;
        assert_eq!(status, 422, "{answer}");
        assert!(answer["report"]["details"][0]["line"].is_u64(), "{answer}");
        let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
        assert_eq!(number(&client.get("/", &[]).await), 1);
    });
}

/// Whether the server at `address` shows `certificate`.
async fn shows(address: SocketAddr, certificate: &rustls::pki_types::CertificateDer<'static>) -> bool {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let connected = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp);
    tokio::time::timeout(SOON, connected).await.unwrap().is_ok()
}

#[test]
fn a_certificate_is_replaced_and_a_wrong_one_is_not() {
    let served = Served::start("", &stamped(1));
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    run(async {
        let mut old = Client::connect(&served.gateway, Protocol::Http2).await;
        // A certificate without its key, as between two copies.
        std::fs::write(served.file("cert.pem"), made.cert.pem()).unwrap();
        let (status, answer) = served.reload().await;
        assert_eq!(status, 422);
        assert!(answer["report"]["details"][0]["line"].is_u64(), "{answer}");
        assert!(!shows(served.gateway.tls, made.cert.der()).await);
        std::fs::write(served.file("key.pem"), made.signing_key.serialize_pem()).unwrap();
        assert_eq!(served.reload().await.0, 200);
        assert!(shows(served.gateway.tls, made.cert.der()).await);
        // Connections go on.
        assert_eq!(number(&old.get("/", &[]).await), 1);
    });
}

#[test]
fn swapped_links_are_noticed() {
    // As Kubernetes mounts a ConfigMap: the file is a link to a link that is replaced as a whole.
    let folder = Folder::new();
    let identity = identity();
    let head = head("watch = \"50ms\"\n");
    let put = |version: &str, number: u64| {
        let inside = folder.path().join(version);
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(inside.join("cert.pem"), &identity.certificate).unwrap();
        std::fs::write(inside.join("key.pem"), &identity.key).unwrap();
        std::fs::write(inside.join("linkspan.toml"), whole(&head, &stamped(number))).unwrap();
        symlink(version, folder.path().join("..next")).unwrap();
        std::fs::rename(folder.path().join("..next"), folder.path().join("..data")).unwrap();
    };
    put("..1", 1);
    for name in ["linkspan.toml", "cert.pem", "key.pem"] {
        symlink(format!("..data/{name}"), folder.path().join(name)).unwrap();
    }
    put("..2", 2);
    let file = folder.path().join("linkspan.toml");
    let path = folder.path().to_owned();
    let served = Served::serve(folder, &file, &head);
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
        assert_eq!(number(&client.get("/", &[]).await), 2);
        symlink("..1", path.join("..next")).unwrap();
        std::fs::rename(path.join("..next"), path.join("..data")).unwrap();
        soon("it is noticed", || served.gateway.count(live) == 1).await;
        assert_eq!(number(&client.get("/", &[]).await), 1);
    });
}

#[test]
fn a_broken_component_is_refused_and_the_old_one_serves() {
    let folder = Folder::new();
    let good = std::fs::read(crate::harness::dist("hello")).unwrap();
    let component = folder.write("hello.wasm", &good);
    let rest = format!(
        "[components.hello]\npath = \"hello.wasm\"\n\n{}[[routes]]\npipeline = \"main\"\n",
        pipeline("main", "", "component = \"hello\""),
    );
    let served = Served::start_in(folder, &head("watch = \"50ms\"\n"), &rest);
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http2).await;
        client.get("/", &[]).await.ok();
        // Half of it, then something else.
        for (round, bytes) in [&good[..good.len() / 2], b"not a component"].into_iter().enumerate() {
            std::fs::write(&component, bytes).unwrap();
            soon("it is refused", || served.gateway.count(refused) > round).await;
            client.get("/", &[]).await.ok();
        }
        // Another one, which is sound: with a custom section.
        std::fs::write(&component, [&good[..], &[0, 2, 1, b'v']].concat()).unwrap();
        soon("it is taken", || served.gateway.count(live) == 1).await;
        client.get("/", &[]).await.ok();
    });
    served.gateway.stop();
}

/// The configuration names a component before that is there.
#[test]
fn what_a_refused_configuration_lacks_is_noticed_when_it_comes() {
    let served = Served::start("watch = \"50ms\"\n", &stamped(1));
    let component = served.file("late.wasm");
    served.write(&format!("[components.late]\npath = \"late.wasm\"\n\n{}", stamped(2)));
    run(async {
        soon("it is refused", || served.gateway.count(refused) == 1).await;
        std::fs::copy(crate::harness::dist("hello"), &component).unwrap();
        soon("it is taken", || served.gateway.count(live) == 1).await;
        let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
        assert_eq!(number(&client.get("/", &[]).await), 2);
    });
}

fn pipe(path: &std::path::Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let _ = std::fs::remove_file(path);
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

/// Opening a pipe waits until somebody writes to it, and nobody does.
#[test]
fn a_pipe_in_place_of_a_file_is_refused() {
    let served = Served::start("watch = \"50ms\"\n", &stamped(1));
    run(async {
        for name in ["cert.pem", "linkspan.toml"] {
            let refusals = served.gateway.count(refused);
            pipe(&served.file(name));
            soon("the watch notices it", || served.gateway.count(refused) > refusals).await;
            let (status, answer) = served.reload().await;
            assert_eq!(status, 422, "{answer}");
            assert!(answer["text"].as_str().unwrap().contains("a pipe, not a file"), "{answer}");
        }
        let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
        assert_eq!(number(&client.get("/", &[]).await), 1);
    });
    let folder = Folder::new();
    let file = folder.path().join("linkspan.toml");
    pipe(&file);
    for command in ["check", "serve"] {
        let output = crate::harness::binary(&[command, file.to_str().unwrap()]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("a pipe, not a file"), "{output:?}");
    }
}
