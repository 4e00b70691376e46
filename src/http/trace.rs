//! W3C Trace Context: a valid `traceparent` is passed on; an invalid one is removed or replaced. `tracestate` is passed
//! on with the `traceparent` that it came with, or not at all.

use http::HeaderMap;

use crate::telemetry::trace::{TRACEPARENT, TRACESTATE, TraceContext};

/// The context that came with a request; fields that are not valid are removed.
pub fn came(headers: &mut HeaderMap) -> Option<TraceContext> {
    let context = TraceContext::of(headers);
    if context.is_none() {
        headers.remove(TRACEPARENT);
        headers.remove(TRACESTATE);
    }
    context
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn what_is_valid_stays_and_the_rest_is_removed() {
        const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        for (parents, valid) in
            [(&[GOOD][..], true), (&["nonsense"], false), (&[GOOD, GOOD], false), (&[], false)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(TRACESTATE, HeaderValue::from_static("NOT=valid"));
            for parent in parents {
                headers.append(TRACEPARENT, HeaderValue::from_static(parent));
            }
            assert_eq!(came(&mut headers).is_some(), valid, "{parents:?}");
            // Stages see the `tracestate` as it came.
            assert_eq!((headers.contains_key(TRACEPARENT), headers.contains_key(TRACESTATE)), (valid, valid));
        }
    }
}
