//! A gateway within this thread, which records the traces of its requests.

use http::{Request, Response};
use http_body_util::BodyExt as _;
use linkspan::gateway::inputs::{Inputs, Shapes, load_components};
use linkspan::gateway::{Generation, Live, Workshop, build};
use linkspan::http::answer::AnswerBody;
use linkspan::http::record::Recorder;
use linkspan::http::service::Service;
use linkspan::http::way::EmbeddedCall;
use linkspan::net::{ConnInfo, Protocol};
use linkspan::telemetry::Metrics;
use linkspan::telemetry::trace::{SpanQueue, Tracer};
use std::cell::OnceCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

/// What the configuration `text` describes.
pub fn generation(text: &str) -> Generation {
    let plan = linkspan::plan::parse(Path::new("inside.toml"), text, &|_| None);
    let (plan, _) = plan.unwrap_or_else(|found| panic!("{found}"));
    let mut found = plan.diagnostics();
    let components = load_components(&plan, &Shapes::default(), &mut found);
    build(&Inputs::bare(plan, components), &Workshop::default()).unwrap_or_else(|found| panic!("{found}"))
}

/// The gateway.
pub struct Inside {
    service: Rc<Service>,
    conn: Rc<ConnInfo>,
}

impl Inside {
    /// Serves `generation` to a client at `peer`; its traces go into `queue`.
    pub fn serve(generation: Generation, peer: &str, metrics: &Arc<Metrics>, queue: &Arc<SpanQueue>) -> Self {
        let worker = linkspan::engine::Worker::start(0, Arc::clone(metrics));
        let tracer = Tracer::new(Some(Arc::clone(queue)), Arc::clone(metrics.traces()));
        let recorder = Recorder::new(0, Arc::clone(metrics), None).with_tracer(tracer);
        let conn = Rc::new(ConnInfo {
            listener: "here".into(),
            peer: peer.parse().unwrap(),
            local: "127.0.0.1:1".parse().unwrap(),
            protocol: Protocol::Http1,
            tls: None,
            redirect: None,
            peer_value: OnceCell::new(),
        });
        Self { service: Service::new(Arc::new(Live::new(generation)), worker, recorder), conn }
    }

    /// Sends a request with these fields, and `body`.
    pub async fn ask(
        &self,
        request: http::request::Builder,
        fields: &[(&str, &str)],
        body: &'static str,
    ) -> Response<AnswerBody> {
        let body = http_body_util::Full::from(body).map_err(|never| match never {}).boxed_unsync();
        let with =
            |request: http::request::Builder, (name, value): &(&str, &str)| request.header(*name, *value);
        let request: Request<_> = fields.iter().fold(request, with).body(body).unwrap();
        Rc::clone(&self.service).enter(request, &self.conn, EmbeddedCall::default()).await
    }
}
