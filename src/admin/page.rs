//! The dashboard: a page that asks the admin listener as any other client does, and draws the answers.
//!
//! Its files are in `dashboard/` and in the binary as they are: no build step, and nothing from elsewhere. They hold no
//! secret, so everybody who reaches the listener gets them; what the page asks then needs the token. Whatever it shows
//! may have been written by a stranger (paths, errors, names), so the policy allows its own scripts and styles alone,
//! none in the text of the page, no frames and no other server: markup that got into the page could do nothing.

use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use sha2::{Digest as _, Sha256};

/// What a browser may do for the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of the page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asset {
    path: &'static str,
    content_type: &'static str,
    content: &'static str,
    /// From the content's digest: a browser asks whether its copy is the one of the binary that runs now.
    tag: HeaderValue,
}

/// Paths, types and contents of files in `dashboard/`.
macro_rules! files {
    ($($path:literal: $content_type:ident $file:literal,)*) => {
        [$(($path, $content_type, include_str!(concat!("dashboard/", $file)))),*]
    };
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const FILES: [(&str, &str, &str); 26] = files! {
    "/": HTML "index.html",
    "/dashboard/dashboard.css": CSS "dashboard.css",
    "/dashboard/icon.svg": SVG "icon.svg",
    "/dashboard/chain.js": SCRIPT "chain.js",
    "/dashboard/chart.js": SCRIPT "chart.js",
    "/dashboard/client.js": SCRIPT "client.js",
    "/dashboard/confirm.js": SCRIPT "confirm.js",
    "/dashboard/diff.js": SCRIPT "diff.js",
    "/dashboard/dom.js": SCRIPT "dom.js",
    "/dashboard/format.js": SCRIPT "format.js",
    "/dashboard/generations.js": SCRIPT "generations.js",
    "/dashboard/main.js": SCRIPT "main.js",
    "/dashboard/parts.js": SCRIPT "parts.js",
    "/dashboard/pipelines.js": SCRIPT "pipelines.js",
    "/dashboard/place.js": SCRIPT "place.js",
    "/dashboard/poll.js": SCRIPT "poll.js",
    "/dashboard/rates.js": SCRIPT "rates.js",
    "/dashboard/routes.js": SCRIPT "routes.js",
    "/dashboard/stage.js": SCRIPT "stage.js",
    "/dashboard/store.js": SCRIPT "store.js",
    "/dashboard/theme.js": SCRIPT "theme.js",
    "/dashboard/token.js": SCRIPT "token.js",
    "/dashboard/traces.js": SCRIPT "traces.js",
    "/dashboard/upstreams.js": SCRIPT "upstreams.js",
    "/dashboard/watch.js": SCRIPT "watch.js",
    "/dashboard/waterfall.js": SCRIPT "waterfall.js",
};

static ASSETS: LazyLock<Vec<Asset>> =
    LazyLock::new(|| FILES.iter().map(|(path, kind, content)| Asset::new(path, kind, content)).collect());

/// The file of the page at a path.
pub(super) fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

impl Asset {
    fn new(path: &'static str, content_type: &'static str, content: &'static str) -> Self {
        let digest = Sha256::digest(content.as_bytes());
        let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let tag = HeaderValue::try_from(format!("\"{hex}\"")).expect("hexadecimal digits in quotes");
        Self { path, content_type, content, tag }
    }

    /// The answer to a request with these fields: the file, or that the browser has it (RFC 9110 §13.1.2).
    pub(super) fn answer(&'static self, request: &HeaderMap) -> Response<Full<Bytes>> {
        let known = is_known(request, &self.tag);
        let mut response = Response::new(if known { Full::default() } else { Full::from(self.content) });
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        headers.insert(ETAG, self.tag.clone());
        // Kept, but asked about each time.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        response
    }
}

/// Whether a client says that it has the file with this tag.
fn is_known(request: &HeaderMap, tag: &HeaderValue) -> bool {
    let values = request.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    // The comparison is weak: a proxy that compresses may have marked the tag.
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known).as_bytes() == tag.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Names and texts of all files in the folder.
    fn folder() -> Vec<(String, String)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin/dashboard");
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        entries.map(|path| (name(&path), fs::read_to_string(&path).unwrap())).collect()
    }

    #[test]
    fn every_file_is_served() {
        let served: BTreeSet<_> = ASSETS.iter().map(|asset| asset.path.to_owned()).collect();
        let there = folder().into_iter().map(|(name, _)| match name.as_str() {
            "index.html" => "/".to_owned(),
            _ => format!("/dashboard/{name}"),
        });
        assert_eq!(served, there.collect());
        assert_eq!(find("/dashboard/index.html"), None);
        assert_eq!(find("/dashboard/../page.rs"), None);
    }

    /// The policy would stop most of these in the browser; here they have a line.
    #[test]
    fn the_files_keep_their_rules() {
        for (name, text) in folder() {
            assert!(text.lines().count() <= 600, "{name} is longer than 600 lines");
            for (at, line) in text.lines().enumerate() {
                assert!(line.chars().count() <= 120, "{name}:{}: longer than 120 columns", at + 1);
                let markup = [
                    "innerHTML",
                    "outerHTML",
                    "insertAdjacentHTML",
                    "document.write",
                    "eval(",
                    "new Function",
                ];
                for word in markup {
                    assert!(!line.contains(word), "{name}:{}: {word}", at + 1);
                }
                let elsewhere = ["https://", "//cdn", "style=", "onclick=\"", "javascript:"];
                for word in elsewhere {
                    assert!(!line.contains(word), "{name}:{}: {word}", at + 1);
                }
                // The name of a vocabulary, which nobody asks for.
                let addresses = line.replace("http://www.w3.org/2000/svg", "");
                assert!(!addresses.contains("http://"), "{name}:{}: an address", at + 1);
            }
        }
    }

    #[test]
    fn modules_import_modules_that_are_served() {
        for (name, text) in folder() {
            for line in text.lines().filter(|line| line.starts_with("import ")) {
                let from = line.split("from \"./").nth(1).and_then(|rest| rest.split('"').next());
                let from = from.unwrap_or_else(|| panic!("{name}: {line}"));
                assert!(find(&format!("/dashboard/{from}")).is_some(), "{name}: {line}");
            }
        }
    }

    #[test]
    fn a_browser_that_has_a_file_is_told_so() {
        let asset = find("/").unwrap();
        let tag = asset.tag.to_str().unwrap();
        for (value, status) in [
            (tag.to_owned(), 304),
            (format!("\"other\", W/{tag}"), 304),
            ("*".to_owned(), 304),
            ("\"other\"".to_owned(), 200),
            (tag.trim_matches('"').to_owned(), 200),
        ] {
            let request = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::try_from(&value).unwrap())]);
            let response = asset.answer(&request);
            assert_eq!(
                (response.status().as_u16(), &response.headers()[ETAG]),
                (status, &asset.tag),
                "{value}"
            );
        }
        let tags: BTreeSet<_> = ASSETS.iter().map(|asset| asset.tag.as_bytes()).collect();
        assert_eq!(tags.len(), ASSETS.len(), "each file has its own");
    }
}
