//! The meaning of a path.

use http::Method;

use super::errands::Errand;
use super::page::{self, Asset};

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint<'p> {
    Health,
    Ready,
    /// A file of the dashboard.
    Page(&'static Asset),
    Metrics,
    Config,
    /// The configuration of the generation with this number.
    ConfigOf(u64),
    Generations,
    Version,
    Overview,
    Traces,
    /// The trace with this id.
    Trace(&'p str),
    /// The trace of the watch with this id.
    Watched(&'p str),
    Watch,
    Errand(Errand),
}

impl<'p> Endpoint<'p> {
    pub(super) fn find(path: &'p str) -> Option<Self> {
        Some(match path {
            "/healthz" => Self::Health,
            "/readyz" => Self::Ready,
            "/metrics" => Self::Metrics,
            "/config" => Self::Config,
            "/generations" => Self::Generations,
            "/version" => Self::Version,
            "/overview" => Self::Overview,
            "/traces" => Self::Traces,
            "/-/traces" => Self::Watch,
            "/-/reload" => Self::Errand(Errand::Reload),
            "/-/rollback" => Self::Errand(Errand::Rollback),
            _ => return Self::within(path),
        })
    }

    /// One of many.
    fn within(path: &'p str) -> Option<Self> {
        if let Some(id) = path.strip_prefix("/traces/next/") {
            return Some(Self::Watched(id));
        }
        if let Some(id) = path.strip_prefix("/traces/") {
            return Some(Self::Trace(id));
        }
        if let Some(rest) = path.strip_prefix("/generations/") {
            return Some(Self::ConfigOf(rest.strip_suffix("/config")?.parse().ok()?));
        }
        page::find(path).map(Self::Page)
    }

    /// Whether it is answered without a token: health, and the page, which asks for the token.
    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::Health | Self::Ready | Self::Page(_))
    }

    /// Its methods, as `Allow` lists them.
    pub(super) fn methods(self) -> &'static str {
        if self.changes() { "POST" } else { "GET, HEAD" }
    }

    pub(super) fn allows(self, method: &Method) -> bool {
        match self.changes() {
            true => method == Method::POST,
            false => matches!(*method, Method::GET | Method::HEAD),
        }
    }

    fn changes(self) -> bool {
        matches!(self, Self::Errand(_) | Self::Watch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_a_name_in_them() {
        for (path, endpoint) in [
            ("/traces/next/0af7", Some(Endpoint::Watched("0af7"))),
            ("/traces/0af7", Some(Endpoint::Trace("0af7"))),
            ("/generations/7/config", Some(Endpoint::ConfigOf(7))),
            ("/generations/x/config", None),
            ("/generations/7", None),
            ("/generations//config", None),
            ("/trace", None),
        ] {
            assert_eq!(Endpoint::find(path), endpoint, "{path}");
        }
    }
}
