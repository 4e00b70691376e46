use super::{find, offers};
use crate::component::Interface;
use crate::host::{Offer, Reach};
use crate::plan::Grant;
use std::path::Path;

#[test]
fn later_patch_versions_are_on_offer_and_other_tracks_are_not() {
    let find = |name: &str| find(&Interface::parse(name).expect("an interface"));
    assert!(find("wasi:http/types@0.3.0").is_some());
    assert!(find("wasi:http/types@0.3.4").is_some());
    assert_eq!(find("wasi:http/types@0.2.0").map(|offer| offer.track), Some("0.2"));
    assert!(find("wasi:http/types@0.3.0-rc-2026-03-15").is_none());
    assert!(find("wasi:http/handler@0.2.0").is_none());
    assert!(find("wasi:clocks/timezone@0.3.0").is_none());
}

#[test]
fn no_interface_is_offered_twice() {
    let key = |offer: &Offer| (offer.interface, offer.track);
    for (at, offer) in offers().enumerate() {
        assert!(offers().take(at).all(|other| key(other) != key(offer)), "{offer:?}");
    }
}

/// The table of `docs/stage-interface.md` is that of the offers: `BLESS=1` writes it, else it must be the same.
#[test]
fn the_page_has_what_is_on_offer() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/stage-interface.md");
    let page = std::fs::read_to_string(&path).expect("the page");
    let head = "| `wasi:http/handler`, under a name | 0.3.x | `next` | a pipeline |\n";
    let (before, rest) = page.split_once(head).expect("the table");
    let after = &rest[rest.find("\n\n").expect("the table's end") + 1..];
    let written = format!("{before}{head}{}{after}", rows());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, written).expect("the page");
    } else {
        assert_eq!(written, page, "run it with BLESS=1");
    }
}

/// A row for each run of interfaces of one package and version that need the same.
fn rows() -> String {
    let shape = |offer: &Offer| (package(offer), offer.track, offer.grant, offer.reach);
    let all: Vec<&Offer> = offers().collect();
    let row = |run: &[&Offer]| {
        let (package, track, grant, reach) = shape(run[0]);
        let names: Vec<&str> = run.iter().map(|offer| &offer.interface[package.len() + 1..]).collect();
        let patches = if track.contains("rc") || track.contains("draft") { "" } else { ".x" };
        let needs = match grant {
            None => String::new(),
            Some(Grant::Egress) => " `egress` or [`calls`](calls.md)".to_owned(),
            Some(grant) => format!(" `{}`", grant.key()),
        };
        let whose = match reach {
            Reach::Shared => "shared",
            Reach::Stage => "the stage's",
        };
        format!("| `{package}/{}` | {track}{patches} |{needs} | {whose} |\n", names.join("`, `"))
    };
    all.chunk_by(|one, other| shape(one) == shape(other)).map(row).collect()
}

fn package(offer: &Offer) -> &'static str {
    offer.interface.split_once('/').expect("an interface").0
}
