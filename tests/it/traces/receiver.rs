//! A receiver of spans, over HTTP and sockets as they are.

use crate::harness::eventually;
use crate::upstream::support::{Raw, read_head};
use linkspan::telemetry::trace::otlp::{AnyValue, ExportRequest, KeyValue, Kind, Span};
use prost::Message as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

/// The answer of a receiver that takes everything.
pub const TAKEN: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";

/// What came, in the order in which it came.
#[derive(Default)]
pub struct Received {
    pub heads: Vec<String>,
    pub spans: Vec<Span>,
    /// Attributes of the gateway, of the last message.
    pub resource: Vec<KeyValue>,
}

/// A receiver that decodes what comes.
pub struct Receiver {
    raw: Raw,
    pub received: Arc<Mutex<Received>>,
}

impl Receiver {
    /// One that takes everything.
    pub fn start() -> Self {
        Self::answering(|_, stream| drop(stream.write_all(TAKEN)))
    }

    /// One that answers otherwise; the number counts messages from 0.
    pub fn answering(answer: impl Fn(usize, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let received = Arc::<Mutex<Received>>::default();
        let sink = Arc::clone(&received);
        let raw = Raw::start(move |mut stream, number| {
            let Some(head) = read_head(&mut stream) else { return };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            if stream.read_exact(&mut body).is_err() {
                return;
            }
            let message = ExportRequest::decode(&body[..]).unwrap();
            let mut received = sink.lock().unwrap();
            received.heads.push(head);
            for spans in message.resource_spans {
                received.resource = spans.resource.unwrap().attributes;
                for scope in spans.scope_spans {
                    assert_eq!(scope.scope.unwrap().name, "linkspan");
                    received.spans.extend(scope.spans);
                }
            }
            drop(received);
            answer(number, &mut stream);
        });
        Self { raw, received }
    }

    pub fn url(&self) -> String {
        self.raw.url()
    }

    /// Messages that came.
    pub fn messages(&self) -> usize {
        self.received.lock().unwrap().heads.len()
    }

    /// The spans that came, once there are as many.
    pub fn spans(&self, number: usize) -> Vec<Span> {
        eventually("spans arrive", || self.received.lock().unwrap().spans.len() >= number);
        self.received.lock().unwrap().spans.clone()
    }
}

/// An attribute as text.
pub fn attribute(attributes: &[KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    Some(match found.value.as_ref()? {
        AnyValue { value: Some(Kind::Text(text)) } => text.clone(),
        AnyValue { value: Some(Kind::Number(number)) } => number.to_string(),
        other => format!("{other:?}"),
    })
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
