//! The components that linkspan brings.

mod asked;
mod body_limit;
mod compress;
mod passwords;
mod remote;
mod rules;
mod tokens;
mod vectors;

use crate::harness::{Client, Folder, Gateway, PROTOCOLS, binary, dist, identity, run};
use linkspan::component::Component;
use std::fmt::Write as _;

/// A gateway without a component file but that of the service, whose stages are linked in this way.
fn serve(link: &str) -> Gateway {
    let identity = identity();
    let folder = Folder::new();
    folder.write("cert.pem", &identity.certificate);
    folder.write("key.pem", &identity.key);
    let mut text = String::from(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\n\
         tls = { certificate = \"cert.pem\", key = \"key.pem\" }\n",
    );
    let _ = write!(
        text,
        "[components.hello]\npath = {:?}\n[pipelines.edge]\nlink = \"{link}\"\nstages = [\n\
         {{ component = \"std:request-id\", grant = {{ random = true }} }},\n\
         {{ component = \"std:security-headers@1\" }},\n\
         {{ component = \"std:cors\", config = {{ origins = [\"https://a.example\"] }} }},\n\
         {{ component = \"std:key-auth\", config = {{ keys = {{ alice = \"the-key\" }} }} }},\n\
         {{ component = \"std:rate-limit\", config = {{ rate = \"2/h\" }} }},\n\
         {{ component = \"std:security-headers\" }}]\n\
         service = {{ component = \"hello\" }}\n[[routes]]\npipeline = \"edge\"\n",
        dist("hello")
    );
    let file = folder.write("linkspan.toml", text);
    Gateway::serve(folder, &file, [("LINKSPAN_LOG", "info")])
}

#[test]
fn an_edge_needs_no_component_files() {
    for link in ["static", "dynamic"] {
        let gateway = serve(link);
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                assert_eq!(client.get("/", &[]).await.status, 401, "{link}");
                let fields = [("x-api-key", "the-key"), ("origin", "https://a.example")];
                let answer = client.get("/", &fields).await;
                assert_eq!(answer.status, 200, "{link}: {answer:?}");
                for name in ["x-request-id", "x-content-type-options", "access-control-allow-origin"] {
                    assert!(answer.headers.contains_key(name), "{link}: {name} is not in {answer:?}");
                }
            }
            let mut client = Client::connect(&gateway, PROTOCOLS[0]).await;
            assert_eq!(client.get("/", &[("x-api-key", "the-key")]).await.status, 429, "{link}");
        });
        gateway.stop();
    }
}

fn standard(arguments: &[&str], code: i32) -> String {
    let output = binary(&[&["std"], arguments].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8(if code == 0 { output.stdout } else { output.stderr }).unwrap()
}

#[test]
fn they_are_listed_shown_and_exported() {
    let list = standard(&["list"], 0);
    assert!(list.lines().count() >= 12 && list.contains("std:rate-limit "), "{list}");
    for line in list.lines() {
        let name = line.split(' ').next().unwrap();
        let shown = standard(&["show", name], 0);
        assert!(
            shown.starts_with(&format!("{name}@1\n")) && shown.contains("\nexample\n  { component"),
            "{shown}"
        );
    }
    assert!(standard(&["show", "request-id"], 0).contains("grants     grant = { random = true }"));
    assert!(standard(&["show", "other"], 1).contains("`linkspan std list`"));
    assert!(standard(&["show", "std:cors@7"], 1).contains("version 1"));

    // The very components that are built here, for other hosts as they are.
    let folder = Folder::new();
    let file = folder.path().join("out.wasm");
    for (more, built) in [(&[][..], "cors"), (&["--in-place"], "cors-in-place")] {
        standard(&[&["export", "cors", "-o", file.to_str().unwrap()], more].concat(), 0);
        assert_eq!(std::fs::read(&file).unwrap(), std::fs::read(dist(built)).unwrap());
    }
    let nowhere = folder.path().join("none/out.wasm");
    assert!(standard(&["export", "cors", "-o", nowhere.to_str().unwrap()], 3).contains("cannot write"));
}

/// What leaves linkspan must not need it.
#[test]
fn a_portable_composition_has_the_portable_ones() {
    let folder = Folder::new();
    let text = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[components.hello]\npath = {:?}\n\
         [pipelines.edge]\nstages = [{{ component = \"std:security-headers\" }}]\n\
         service = {{ component = \"hello\" }}\n[[routes]]\npipeline = \"edge\"\n",
        dist("hello")
    );
    let (file, out) = (folder.write("linkspan.toml", text), folder.path().join("out.wasm"));
    for (more, own) in [(&["--portable"][..], false), (&[], true)] {
        let arguments =
            ["compose", file.to_str().unwrap(), "--pipeline", "edge", "-o", out.to_str().unwrap()];
        let output = binary(&[&arguments, more].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let component = Component::load(&out).unwrap();
        let imports: Vec<_> = component.shape.imports.iter().map(|import| import.name.as_str()).collect();
        assert_eq!(imports.iter().any(|name| name.contains("linkspan:")), own, "{imports:?}");
    }
}
