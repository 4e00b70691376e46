//! A response on its way back.

#[cfg(feature = "in-place")]
use crate::bindings::in_place::linkspan::gateway::headers;
use crate::bindings::wasi::http::types::{self, Fields};
use crate::body::{self, Body, Opened};
use crate::error::{Error, internal};
use crate::header::{self, HeaderEdits};
use crate::request::first_text;
use std::cell::OnceCell;

/// A response. One that is only read is passed back as the very resource that
/// the next stage returned.
pub struct Response {
    head: Head,
    edits: HeaderEdits,
    /// The body once it was taken or replaced; untouched before.
    body: Option<Body>,
    /// What becomes of it when it is returned, once it was touched: as with a request.
    build: Option<Build>,
}

type Build = fn(Response) -> Result<types::Response, Error>;

enum Head {
    /// As the next stage returned it.
    Incoming { response: types::Response, fields: OnceCell<Fields> },
    /// Copied, because the body was taken, with the fields that came; or made
    /// here, without.
    Own(u16, Option<Fields>),
}

impl Response {
    pub(crate) fn from_raw(response: types::Response) -> Self {
        let fields = OnceCell::new();
        Self { head: Head::Incoming { response, fields }, edits: HeaderEdits::new(), body: None, build: None }
    }

    /// A response made here, without fields and body. `status` is from 100 to
    /// 599; the host refuses any other when the response is returned.
    pub fn new(status: u16) -> Self {
        Self {
            head: Head::Own(status, None),
            edits: HeaderEdits::new(),
            body: None,
            build: Some(Self::rebuilt),
        }
    }

    /// With a header field.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.headers_mut().set(name, value);
        self
    }

    /// With a body, and the `content-length` of one whose length is known.
    #[must_use]
    pub fn with_body(mut self, body: Body) -> Self {
        if let Some(len) = body.len() {
            self.headers_mut().set("content-length", len.to_string());
        }
        self.set_body(body);
        self
    }

    /// The status.
    pub fn status(&self) -> u16 {
        match &self.head {
            Head::Incoming { response, .. } => response.get_status_code(),
            Head::Own(status, _) => *status,
        }
    }

    /// Change the status.
    ///
    /// # Errors
    /// `internal-error` if it is not from 100 to 599.
    pub fn set_status(&mut self, status: u16) -> Result<(), Error> {
        match &mut self.head {
            Head::Incoming { response, .. } => {
                response.set_status_code(status).map_err(|()| internal("the host refused a status"))
            }
            Head::Own(own, _) => {
                *own = status;
                Ok(())
            }
        }
    }

    /// The fields that came; none with a response made here.
    fn fields(&self) -> Option<&Fields> {
        match &self.head {
            Head::Incoming { response, fields } => Some(fields.get_or_init(|| response.get_headers())),
            Head::Own(_, fields) => fields.as_ref(),
        }
    }

    /// All values of a field as it came, before any edit.
    pub fn header_values(&self, name: &str) -> Vec<Vec<u8>> {
        #[cfg(feature = "in-place")]
        if let Head::Incoming { response, .. } = &self.head {
            return headers::response_values(response, name);
        }
        self.fields().map_or_else(Vec::new, |fields| fields.get(name))
    }

    /// The first value of a field as it came, before any edit; `None` also if
    /// it is not text.
    pub fn header(&self, name: &str) -> Option<String> {
        first_text(self.header_values(name))
    }

    /// Whether a field came.
    pub fn has_header(&self, name: &str) -> bool {
        self.fields().is_some_and(|fields| fields.has(name))
    }

    /// All fields as they came, before any edit. Every one crosses into the
    /// component: prefer [`Response::header`].
    pub fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.fields().map_or_else(Vec::new, Fields::copy_all)
    }

    /// The edits to be made to the fields when the response is returned.
    pub fn headers_mut(&mut self) -> &mut HeaderEdits {
        #[cfg(feature = "in-place")]
        self.build.get_or_insert(Self::edited);
        #[cfg(not(feature = "in-place"))]
        self.build.get_or_insert(Self::rebuilt);
        &mut self.edits
    }

    /// Take the body, to read or transform it; the response has none then.
    ///
    /// # Errors
    /// `internal-error` if too many writes of this instance are unread.
    pub fn take_body(&mut self) -> Result<Body, Error> {
        self.build = Some(Self::rebuilt);
        if let Some(body) = self.body.replace(Body::empty()) {
            return Ok(body);
        }
        let Head::Incoming { response, fields } = &mut self.head else {
            return Ok(Body::empty());
        };
        let fields = fields.take().unwrap_or_else(|| response.get_headers());
        let own = Head::Own(response.get_status_code(), Some(fields));
        match std::mem::replace(&mut self.head, own) {
            Head::Incoming { response, .. } => body::consume(response, types::Response::consume_body),
            Head::Own(..) => Ok(Body::empty()),
        }
    }

    /// Give it another body. Its `content-length` is the caller's to edit.
    pub fn set_body(&mut self, body: Body) {
        self.build = Some(Self::rebuilt);
        self.body = Some(body);
    }

    /// The response to be returned: the one that came, if nothing was changed.
    pub(crate) fn into_raw(self) -> Result<types::Response, Error> {
        match (self.build, self.head) {
            (None, Head::Incoming { response, .. }) => Ok(response),
            (None, Head::Own(..)) => unreachable!("who makes a head says how it is built"),
            (Some(build), head) => build(Self { head, ..self }),
        }
    }

    /// The one that came, its fields edited.
    #[cfg(feature = "in-place")]
    fn edited(self) -> Result<types::Response, Error> {
        let Head::Incoming { response, fields } = self.head else {
            unreachable!("what has another head is built")
        };
        drop(fields);
        if !self.edits.is_empty() {
            crate::in_place::edit(self.edits, |edits| headers::edit_response(&response, edits))?;
        }
        Ok(response)
    }

    /// One with another head or body.
    fn rebuilt(self) -> Result<types::Response, Error> {
        let Self { head, edits, body, .. } = self;
        match head {
            Head::Incoming { response, fields } => {
                if edits.is_empty() && body.is_none() {
                    return Ok(response);
                }
                let status = response.get_status_code();
                let fields = fields.into_inner().unwrap_or_else(|| response.get_headers());
                let fields = header::edited(fields, edits)?;
                let body = match body {
                    Some(body) => body,
                    None => body::consume(response, types::Response::consume_body)?,
                };
                build(status, fields, body::open(body)?)
            }
            Head::Own(status, fields) => {
                let fields = match fields {
                    Some(fields) => header::edited(fields, edits)?,
                    None => edits.into_fields()?,
                };
                build(status, fields, body::open(body.unwrap_or(Body::empty()))?)
            }
        }
    }
}

fn build(status: u16, fields: Fields, body: Opened) -> Result<types::Response, Error> {
    let (response, _sent) = types::Response::new(fields, body.contents, body.trailers);
    if let Some(resolve) = body.resolve {
        resolve.resolve()?;
    }
    // `response.new` makes a 200.
    if status != 200 {
        let set = response.set_status_code(status);
        set.map_err(|()| internal("the host refused a status"))?;
    }
    Ok(response)
}
