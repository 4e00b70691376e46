//! The compile cache.

use super::number;
use super::stamped;
use super::support::Served;
use crate::harness::{Client, Folder, Line, Protocol, run};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Files of a folder, and which file of the file system each is.
fn entries(folder: &Path) -> BTreeMap<PathBuf, u64> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.path(), entry.metadata().unwrap().ino())).collect()
}

fn start(cache: &Path) -> Served {
    Served::start(&format!("compile-cache = {:?}\n", cache.join("code")), &stamped(1))
}

fn serves(served: Served) {
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http2).await;
        assert_eq!(number(&client.get("/", &[]).await), 1);
    });
    served.gateway.stop();
}

#[test]
fn compiled_code_is_kept_and_what_was_changed_is_compiled_again() {
    let cache = Folder::new();
    let folder = cache.path().join("code");
    let changed =
        |line: &Line| line["message"].as_str().is_some_and(|text| text.contains("compile cache was changed"));
    serves(start(cache.path()));
    let first = entries(&folder);
    assert!(!first.is_empty());
    // Each is written under another name first, so that a second write is another file.
    serves(start(cache.path()));
    assert_eq!(entries(&folder), first, "nothing is compiled again");
    for path in first.keys() {
        let mut code = std::fs::read(path).unwrap();
        let middle = code.len() / 2;
        code[middle] ^= 1;
        std::fs::write(path, code).unwrap();
    }
    let served = start(cache.path());
    assert_eq!(served.gateway.count(changed), first.len());
    serves(served);
    let served = start(cache.path());
    assert_eq!(served.gateway.count(changed), 0, "it was repaired");
    serves(served);
}

#[test]
fn a_cache_that_others_can_write_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let cache = Folder::new();
    let folder = cache.path().join("code");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let text =
        super::support::whole(&super::support::head(&format!("compile-cache = {folder:?}\n")), &stamped(1));
    let identity = crate::harness::identity();
    cache.write("cert.pem", &identity.certificate);
    cache.write("key.pem", &identity.key);
    let file = cache.write("linkspan.toml", text);
    let output = crate::harness::binary(&["serve", file.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("can be written by others"), "{output:?}");
}
