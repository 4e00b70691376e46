//! What the macros expand to. No part of the public interface.

use crate::bindings::judging::exports::linkspan::config::check;
use crate::bindings::wasi::config::store;
use crate::bindings::wasi::http::types;
use crate::body;
use crate::config::{Config, Finding, FromConfig};
use crate::error::{Error, internal};
use crate::outstanding;
use crate::request::Request;
use crate::response::Response;
use std::sync::OnceLock;

/// Begin a request: what former answers of this instance have finished with is
/// given back first, so that it can't pile up.
pub fn enter(request: types::Request) -> Request {
    outstanding::reclaim();
    Request::from_raw(request)
}

/// Begin a request in the async form: from here on, tasks write the bodies that are made here.
pub fn enter_async(request: types::Request) -> Request {
    body::spawns();
    enter(request)
}

/// End a request.
///
/// # Errors
/// The function's own, or that the response could not be built.
pub fn leave(response: Result<Response, Error>) -> Result<types::Response, Error> {
    response?.into_raw()
}

/// A stage's typed configuration, read at the first request of an instance.
pub struct Options<T>(OnceLock<Result<T, String>>);

impl<T: FromConfig> Options<T> {
    #[allow(clippy::new_without_default, reason = "made by the macros alone")]
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// The configuration.
    ///
    /// # Errors
    /// `internal-error` that names every bad key, on each request.
    pub fn get(&self) -> Result<&T, Error> {
        let options = self.0.get_or_init(|| Config::read(entries()?));
        options.as_ref().map_err(|reason| internal(format!("configuration: {reason}")))
    }
}

/// What is wrong with a stage's configuration.
///
/// # Errors
/// All of it.
pub fn judge<T: FromConfig>() -> Result<(), Vec<check::Finding>> {
    let whole = |message| vec![check::Finding { key: None, message }];
    let findings = match Config::judge::<T>(entries().map_err(whole)?) {
        Ok(options) => {
            let findings = options.findings();
            if findings.is_empty() {
                return Ok(());
            }
            findings
        }
        Err(findings) if findings.is_empty() => {
            return Err(whole("the configuration could not be read".into()));
        }
        Err(findings) => findings,
    };
    let finding = |finding: Finding| check::Finding { key: Some(finding.key), message: finding.reason };
    Err(findings.into_iter().map(finding).collect())
}

/// The configuration as the host has it.
fn entries() -> Result<Vec<(String, String)>, String> {
    store::get_all().map_err(|error| match error {
        store::Error::Upstream(reason) | store::Error::Io(reason) => reason,
    })
}
