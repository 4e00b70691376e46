//! A gateway within this thread, which records the traces of its requests.

use http::{Request, Response};
use http_body_util::BodyExt as _;
use linkspan::gateway::inputs::{Inputs, Shapes, load_components};
use linkspan::gateway::{Generation, Live, Workshop, build, observed};
use linkspan::http::answer::AnswerBody;
use linkspan::http::record::Recorder;
use linkspan::http::service::Service;
use linkspan::http::way::EmbeddedCall;
use linkspan::net::{ConnInfo, Protocol};
use linkspan::plan::PipelineIndex;
use linkspan::telemetry::Metrics;
use linkspan::telemetry::trace::{SpanQueue, Tracer};
use std::cell::OnceCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

/// What the configuration `text` describes, with what it was built from.
pub fn built(text: &str) -> (Generation, Inputs, Workshop) {
    let plan = linkspan::plan::parse(Path::new("inside.toml"), text, &|_| None);
    let (plan, _) = plan.unwrap_or_else(|found| panic!("{found}"));
    let mut found = plan.diagnostics();
    let components = load_components(&plan, &Shapes::default(), &mut found);
    let (inputs, workshop) = (Inputs::bare(plan, components), Workshop::default());
    let generation = build(&inputs, &workshop).unwrap_or_else(|found| panic!("{found}"));
    (generation, inputs, workshop)
}

/// The same, where observed requests have the ways that they want.
pub fn generation(text: &str) -> Generation {
    let (generation, inputs, workshop) = built(text);
    observed::want(&generation, (0..generation.plan.pipelines.len()).map(PipelineIndex));
    observed::make(&inputs, &generation, &workshop);
    generation
}

/// The gateway.
pub struct Inside {
    service: Rc<Service>,
    conn: Rc<ConnInfo>,
    pub live: Arc<Live>,
    pub tracer: Arc<Tracer>,
}

impl Inside {
    /// Serves `generation` to a client at `peer`; its traces go into `queue`.
    pub fn serve(generation: Generation, peer: &str, metrics: &Arc<Metrics>, queue: &Arc<SpanQueue>) -> Self {
        let worker = linkspan::engine::Worker::start(0, Arc::clone(metrics));
        let tracer = Tracer::new(Some(Arc::clone(queue)), Arc::clone(metrics.traces()));
        let recorder = Recorder::new(0, Arc::clone(metrics), None).with_tracer(Arc::clone(&tracer));
        let conn = Rc::new(ConnInfo {
            listener: "here".into(),
            peer: peer.parse().unwrap(),
            local: "127.0.0.1:1".parse().unwrap(),
            protocol: Protocol::Http1,
            tls: None,
            redirect: None,
            peer_value: OnceCell::new(),
        });
        let live = Arc::new(Live::new(generation));
        Self { service: Service::new(Arc::clone(&live), worker, recorder), conn, live, tracer }
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
