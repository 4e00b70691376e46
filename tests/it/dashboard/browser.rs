//! The page in a browser: Debian's Chromium, driven by Playwright, where both are. The cases are in `browser.py`.

use super::{READ_TOKEN, TOKEN, guarded_head, hello};
use crate::harness::{Folder, dist, python, repository};
use crate::swap::support::{self, Served, pipeline};
use std::path::PathBuf;
use std::process::Command;

const MODULES: &str = "playwright axe_playwright_python";
const PACKAGES: [&str; 2] = ["playwright==1.65.2", "axe-playwright-python==0.1.8"];

/// Where Chromium is; without it, says so, and the test is none.
fn chromium() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("LINKSPAN_TEST_CHROMIUM") {
        return Some(path.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = || std::env::split_paths(&path);
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = names.iter().flat_map(|name| places().map(move |folder| folder.join(name)));
    let found = found.into_iter().find(|file| file.is_file());
    if found.is_none() {
        eprintln!(
            "SKIPPED: there is no Chromium (Debian: apt-get install chromium, or set LINKSPAN_TEST_CHROMIUM)"
        );
    }
    found
}

/// Runs the cases of a class of `browser.py` against this gateway.
fn cases(class: &str, number: usize, start: impl FnOnce() -> Served) {
    let Some(chromium) = chromium() else { return };
    let Some(python) = python(MODULES, &PACKAGES, "from PyPI, which can't be reached") else { return };
    let served = start();
    let output = Command::new(python)
        .current_dir(repository().join("tests/it/dashboard"))
        .args(["-m", "unittest", "-v", &format!("browser.{class}")])
        .env("CHROMIUM", chromium)
        .env("ADMIN", format!("http://{}", served.admin))
        .env("PLAIN", format!("http://{}", served.gateway.plain))
        .env("CONFIGURATION", served.file("linkspan.toml"))
        .env("TOKEN", TOKEN)
        .env("READ_TOKEN", READ_TOKEN)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(told.contains(&format!("Ran {number} test")) && !told.contains("skipped"), "{told}");
}

/// A stage and a service that do what a request asks them for, and two pipelines that share a route.
fn faulty() -> Served {
    let stages = "{ component = \"pass-through-sync\" }, { component = \"fault-middleware\", link = \"dynamic\", \
                  grant = { clocks = true }, config = { field = \"x-middleware\" } }";
    let service = "component = \"fault-service\", grant = { clocks = true }";
    let rest = format!(
        "[telemetry]\nsample = 1\nstages = true\n\n[components.fault-middleware]\npath = {:?}\n\n{}{}\
         [[routes]]\npath = \"/main\"\npipeline = \"main\"\n\n\
         [[routes]]\npath = \"/split\"\n\
         split = [{{ pipeline = \"main\", weight = 3 }}, {{ pipeline = \"next\", weight = 1 }}]\n",
        dist("fault-middleware"),
        pipeline("main", stages, service),
        pipeline("next", "", "component = \"hello\", config = { greeting = \"before\" }"),
    );
    Served::start("", &rest)
}

#[test]
fn the_page_shows_what_the_gateway_does() {
    cases("Open", 9, faulty);
}

#[test]
fn the_page_asks_for_a_token() {
    cases("Guarded", 2, || Served::start_in(Folder::new(), &guarded_head(), &hello()));
}

/// With answers that are made up: strangers' markup, thousands of pipelines, and every state that a view can show.
#[test]
fn the_page_shows_anything() {
    cases("Invented", 5, || Served::start_in(Folder::new(), &support::head(""), &hello()));
}
