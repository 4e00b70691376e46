//! A request on its way to the next stage.

#[cfg(feature = "in-place")]
use crate::bindings::in_place::linkspan::gateway::headers;
use crate::bindings::wasi::http::types::{self, Fields, Method, RequestOptions, Scheme};
use crate::body::{self, Body};
use crate::error::{Error, internal};
use crate::header::{self, HeaderEdits};
use std::cell::OnceCell;
use std::time::Duration;

/// A request. What is not asked for stays with the host: a request that is only
/// read is passed on as the very resource that came in.
pub struct Request {
    head: Head,
    edits: HeaderEdits,
    /// The body once it was taken or replaced; untouched before.
    body: Option<Body>,
    /// What becomes of it when it is handed on, once it was touched. Known by its address
    /// alone: a component whose stage touches none has no code for it, and none that
    /// makes futures, so that its lift can be rewritten.
    build: Option<Build>,
}

type Build = fn(Request) -> Result<types::Request, Error>;

enum Head {
    /// As it came. The fields are kept once they were read, for the next read.
    Incoming { request: types::Request, fields: OnceCell<Fields> },
    /// Copied, because the body was taken, with the fields that came; or made
    /// here, without.
    Own(OwnHead, Option<Fields>),
}

struct OwnHead {
    method: Method,
    path: Option<String>,
    scheme: Option<Scheme>,
    authority: Option<String>,
    options: Option<RequestOptions>,
}

impl OwnHead {
    fn copy(request: &types::Request) -> Self {
        Self {
            method: request.get_method(),
            path: request.get_path_with_query(),
            scheme: request.get_scheme(),
            authority: request.get_authority(),
            options: request.get_options(),
        }
    }

    /// A request of this head; only what differs from `request.new`'s own
    /// defaults (GET, and nothing else) is set.
    fn build(self, fields: Fields, body: Body) -> Result<types::Request, Error> {
        let body = body::open(body)?;
        let (request, _sent) = types::Request::new(fields, body.contents, body.trailers, self.options);
        if let Some(resolve) = body.resolve {
            resolve.resolve()?;
        }
        let mut set = Ok(());
        if !matches!(self.method, Method::Get) {
            set = set.and(request.set_method(&self.method));
        }
        if let Some(path) = &self.path {
            set = set.and(request.set_path_with_query(Some(path)));
        }
        if let Some(scheme) = &self.scheme {
            set = set.and(request.set_scheme(Some(scheme)));
        }
        if let Some(authority) = &self.authority {
            set = set.and(request.set_authority(Some(authority)));
        }
        set.map_err(|()| internal("the host refused a request's method, path or authority"))?;
        Ok(request)
    }
}

impl Request {
    pub(crate) fn from_raw(request: types::Request) -> Self {
        let fields = OnceCell::new();
        Self { head: Head::Incoming { request, fields }, edits: HeaderEdits::new(), body: None, build: None }
    }

    /// A request made here, without fields and body.
    pub fn new(method: Method, path_with_query: impl Into<String>) -> Self {
        let head = OwnHead {
            method,
            path: Some(path_with_query.into()),
            scheme: None,
            authority: None,
            options: None,
        };
        Self {
            head: Head::Own(head, None),
            edits: HeaderEdits::new(),
            body: None,
            build: Some(Self::rebuilt),
        }
    }

    /// The method.
    pub fn method(&self) -> Method {
        match &self.head {
            Head::Incoming { request, .. } => request.get_method(),
            Head::Own(head, _) => head.method.clone(),
        }
    }

    /// The path with its query, as the client sent them.
    pub fn path_with_query(&self) -> Option<String> {
        match &self.head {
            Head::Incoming { request, .. } => request.get_path_with_query(),
            Head::Own(head, _) => head.path.clone(),
        }
    }

    /// The scheme that the client used.
    pub fn scheme(&self) -> Option<Scheme> {
        match &self.head {
            Head::Incoming { request, .. } => request.get_scheme(),
            Head::Own(head, _) => head.scheme.clone(),
        }
    }

    /// The authority, what HTTP/1 sends as `Host`.
    pub fn authority(&self) -> Option<String> {
        match &self.head {
            Head::Incoming { request, .. } => request.get_authority(),
            Head::Own(head, _) => head.authority.clone(),
        }
    }

    /// Change the method.
    ///
    /// # Errors
    /// `internal-error` if the host refuses it.
    pub fn set_method(&mut self, method: Method) -> Result<(), Error> {
        match &mut self.head {
            Head::Incoming { request, .. } => {
                request.set_method(&method).map_err(|()| internal("the host refused a method"))
            }
            Head::Own(head, _) => {
                head.method = method;
                Ok(())
            }
        }
    }

    /// Change the path with its query.
    ///
    /// # Errors
    /// `internal-error` if the host refuses it.
    pub fn set_path_with_query(&mut self, path: impl Into<String>) -> Result<(), Error> {
        let path = path.into();
        match &mut self.head {
            Head::Incoming { request, .. } => {
                request.set_path_with_query(Some(&path)).map_err(|()| internal("the host refused a path"))
            }
            Head::Own(head, _) => {
                head.path = Some(path);
                Ok(())
            }
        }
    }

    /// Change the scheme and the authority, of a request made here or of one
    /// to be sent elsewhere.
    ///
    /// # Errors
    /// `internal-error` if the host refuses them.
    pub fn set_origin(&mut self, scheme: Scheme, authority: &str) -> Result<(), Error> {
        match &mut self.head {
            Head::Incoming { request, .. } => request
                .set_scheme(Some(&scheme))
                .and(request.set_authority(Some(authority)))
                .map_err(|()| internal("the host refused an origin")),
            Head::Own(head, _) => {
                head.scheme = Some(scheme);
                head.authority = Some(authority.into());
                Ok(())
            }
        }
    }

    /// Wait no longer than `timeout` for the head of the response, where the request is sent
    /// or calls a pipeline; the gateway has bounds of its own.
    ///
    /// # Errors
    /// `internal-error` if the host refuses it, or if too many writes of this instance are
    /// unread.
    pub fn set_timeout(&mut self, timeout: Duration) -> Result<(), Error> {
        let nanoseconds = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        let options = RequestOptions::new();
        let set = options.set_first_byte_timeout(Some(nanoseconds));
        set.map_err(|_| internal("the host refused a timeout"))?;
        if matches!(self.head, Head::Incoming { .. }) {
            // A request that came has the options that it came with.
            self.body = Some(self.take_body()?);
        }
        if let Head::Own(head, _) = &mut self.head {
            head.options = Some(options);
        }
        Ok(())
    }

    /// The fields that came; none with a request made here.
    fn fields(&self) -> Option<&Fields> {
        match &self.head {
            Head::Incoming { request, fields } => Some(fields.get_or_init(|| request.get_headers())),
            Head::Own(_, fields) => fields.as_ref(),
        }
    }

    /// All values of a field as it came, before any edit.
    pub fn header_values(&self, name: &str) -> Vec<Vec<u8>> {
        #[cfg(feature = "in-place")]
        if let Head::Incoming { request, .. } = &self.head {
            return headers::request_values(request, name);
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
    /// component: prefer [`Request::header`].
    pub fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.fields().map_or_else(Vec::new, Fields::copy_all)
    }

    /// The edits to be made to the fields when the request is sent on.
    pub fn headers_mut(&mut self) -> &mut HeaderEdits {
        #[cfg(feature = "in-place")]
        self.build.get_or_insert(Self::edited);
        #[cfg(not(feature = "in-place"))]
        self.build.get_or_insert(Self::rebuilt);
        &mut self.edits
    }

    /// Take the body, to read or transform it; the request has none then.
    ///
    /// # Errors
    /// `internal-error` if too many writes of this instance are unread.
    pub fn take_body(&mut self) -> Result<Body, Error> {
        self.build = Some(Self::rebuilt);
        if let Some(body) = self.body.replace(Body::empty()) {
            return Ok(body);
        }
        let Head::Incoming { request, fields } = &mut self.head else {
            return Ok(Body::empty());
        };
        let fields = fields.take().unwrap_or_else(|| request.get_headers());
        let own = Head::Own(OwnHead::copy(request), Some(fields));
        match std::mem::replace(&mut self.head, own) {
            Head::Incoming { request, .. } => body::consume(request, types::Request::consume_body),
            Head::Own(..) => Ok(Body::empty()),
        }
    }

    /// The body alone, where the head is of no further use.
    ///
    /// # Errors
    /// `internal-error` if too many writes of this instance are unread.
    pub fn into_body(self) -> Result<Body, Error> {
        if let Some(body) = self.body {
            return Ok(body);
        }
        match self.head {
            Head::Incoming { request, fields } => {
                drop(fields);
                body::consume(request, types::Request::consume_body)
            }
            Head::Own(..) => Ok(Body::empty()),
        }
    }

    /// Give it another body. Its `content-length` is the caller's to edit.
    pub fn set_body(&mut self, body: Body) {
        self.build = Some(Self::rebuilt);
        self.body = Some(body);
    }

    /// The request to be handed on: the one that came, if nothing was changed.
    pub(crate) fn into_raw(self) -> Result<types::Request, Error> {
        match (self.build, self.head) {
            (None, Head::Incoming { request, .. }) => Ok(request),
            (None, Head::Own(..)) => unreachable!("who makes a head says how it is built"),
            (Some(build), head) => build(Self { head, ..self }),
        }
    }

    /// The one that came, its fields edited.
    #[cfg(feature = "in-place")]
    fn edited(self) -> Result<types::Request, Error> {
        let Head::Incoming { request, fields } = self.head else {
            unreachable!("what has another head is built")
        };
        drop(fields);
        if !self.edits.is_empty() {
            crate::in_place::edit(self.edits, |edits| headers::edit_request(&request, edits))?;
        }
        Ok(request)
    }

    /// One with another head or body.
    fn rebuilt(self) -> Result<types::Request, Error> {
        let Self { head, edits, body, .. } = self;
        match head {
            Head::Incoming { request, fields } => {
                if edits.is_empty() && body.is_none() {
                    return Ok(request);
                }
                let fields = fields.into_inner().unwrap_or_else(|| request.get_headers());
                // The copy is edited before the body is consumed: a refused
                // edit is the next stage's to answer, not a lost body.
                let edited = header::edited(fields, edits)?;
                let head = OwnHead::copy(&request);
                let body = match body {
                    Some(body) => body,
                    None => body::consume(request, types::Request::consume_body)?,
                };
                head.build(edited, body)
            }
            Head::Own(head, fields) => {
                let fields = match fields {
                    Some(fields) => header::edited(fields, edits)?,
                    None => edits.into_fields()?,
                };
                head.build(fields, body.unwrap_or(Body::empty()))
            }
        }
    }
}

/// The first of a field's values, if it is text.
pub(crate) fn first_text(values: Vec<Vec<u8>>) -> Option<String> {
    String::from_utf8(values.into_iter().next()?).ok()
}
