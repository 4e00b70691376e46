//! Problem details (RFC 9457).

use crate::body::Body;
use crate::json;
use crate::response::Response;

impl Response {
    /// A response that tells what went wrong, as `application/problem+json`:
    /// its status, and a title that is the same for each such problem.
    pub fn problem(status: u16, title: &str) -> Self {
        let fields = [("status", status.to_string()), ("title", json::string(title))];
        let body = json::object(fields) + "\n";
        Self::new(status)
            .with_header("content-type", "application/problem+json")
            .with_body(Body::bytes(body.into_bytes()))
    }
}
