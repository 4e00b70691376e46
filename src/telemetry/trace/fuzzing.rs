//! Trace Context from anybody, and answers of receivers.

use super::context::{TRACEPARENT, TRACESTATE, TraceContext};
use super::encode::refused;
use http::{HeaderMap, HeaderValue};

/// Lines: the first is a `traceparent`, the others are each a `tracestate`. What is read of them is what is read of what
/// is passed on.
pub fn run(data: &[u8]) {
    let _ = refused(data);
    let mut headers = HeaderMap::new();
    for (at, line) in data.split(|byte| *byte == b'\n').enumerate().take(1000) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(if at == 0 { TRACEPARENT } else { TRACESTATE }, value);
        }
    }
    let Some(context) = TraceContext::of(&headers) else { return };
    let mut passed = HeaderMap::new();
    passed.insert(TRACEPARENT, context.traceparent());
    if let Some(state) = &context.state {
        let text = state.to_str().expect("visible ASCII");
        assert!(!text.is_empty() && text.len() <= 512 && text.split(',').count() <= 32, "{text}");
        passed.insert(TRACESTATE, state.clone());
    }
    assert_eq!(TraceContext::of(&passed).as_ref(), Some(&context));
}
