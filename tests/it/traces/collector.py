"""A receiver of spans, which decodes them with OpenTelemetry's own messages and judges each trace.

It takes OTLP over HTTP. `GET /judge` answers with JSON for what came since it was last asked: by pipeline, how many traces were whole
(a span for the request, one for each of five stages, one for the attempt at the upstream), and what was wrong with others.
"""
import collections
import http.server
import json
import threading

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

STAGES = 5
# Of OpenTelemetry's semantic conventions for HTTP, those that are required here.
OF_SERVER = {"http.request.method", "url.path", "url.scheme", "server.address", "http.response.status_code"}
OF_CLIENT = {"http.request.method", "url.full", "server.address", "server.port", "http.response.status_code"}

traces = collections.defaultdict(dict)
services = set()
lock = threading.Lock()


def take(message):
    request = ExportTraceServiceRequest.FromString(message)
    with lock:
        for resource in request.resource_spans:
            services.update(a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
            for scope in resource.scope_spans:
                for span in scope.spans:
                    known = traces[span.trace_id]
                    assert span.span_id not in known, "a span came twice"
                    known[span.span_id] = span


def attributes(span):
    return {a.key: getattr(a.value, a.value.WhichOneof("value") or "string_value") for a in span.attributes}


def wrong(spans):
    """Why these are not the spans of one request through the stages; nothing if they are."""
    roots = [s for s in spans.values() if not s.parent_span_id]
    if len(roots) != 1 or roots[0].kind != Span.SPAN_KIND_SERVER:
        return f"{len(roots)} roots"
    above, attempts, stages = roots[0], [], []
    for span in spans.values():
        if span is above:
            continue
        parent = spans.get(span.parent_span_id)
        if parent is None:
            return f"{span.name} has no parent"
        if span.start_time_unix_nano < parent.start_time_unix_nano or span.end_time_unix_nano > parent.end_time_unix_nano:
            return f"{span.name} is not within {parent.name}"
        (attempts if span.kind == Span.SPAN_KIND_CLIENT else stages).append(span)
    missing = OF_SERVER - attributes(above).keys()
    if missing:
        return f"the request lacks {sorted(missing)}"
    if len(attempts) != 1:
        return f"{len(attempts)} attempts"
    missing = OF_CLIENT - attributes(attempts[0]).keys()
    if missing:
        return f"the attempt lacks {sorted(missing)}"
    stages.sort(key=lambda s: int(s.name.split(":")[0]))
    if [int(s.name.split(":")[0]) for s in stages] != list(range(STAGES)):
        return f"stages {[s.name for s in stages]}"
    for span in stages + attempts:
        if span.parent_span_id != above.span_id:
            return f"{span.name} hangs below {spans[span.parent_span_id].name}, not {above.name}"
        above = span
    for span in stages:
        found = attributes(span)
        own = found.get("linkspan.stage.own_time")
        if own is None or not 0 <= own * 1e9 <= span.end_time_unix_nano - span.start_time_unix_nano:
            return f"the own time of {span.name} is {own}"
    return None


def judge():
    with lock:
        found = collections.defaultdict(lambda: {"whole": 0, "wrong": []})
        for spans in traces.values():
            path = next((attributes(s).get("url.path") for s in spans.values() if not s.parent_span_id), "none")
            why = wrong(spans)
            of = found[path.strip("/").split("/")[0]]
            if why is None:
                of["whole"] += 1
            elif len(of["wrong"]) < 5:
                of["wrong"].append(why)
        traces.clear()
        return {"services": sorted(services), "pipelines": found}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, body, kind):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        take(self.rfile.read(int(self.headers["content-length"])))
        self.answer(b"", "application/x-protobuf")

    def do_GET(self):
        self.answer(json.dumps(judge()).encode(), "application/json")


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
