"""Answers of an admin listener that are made up, in the form of the real ones (docs/configuration.md)."""

import json
import math
import re
import time

BUCKETS = [10 ** (exponent / 4) for exponent in range(-24, 9)]

# What a stranger would like to be taken for a part of the page.
HOSTILE = [
    "<img src=x onerror=\"window.owned=1\">",
    "\"><script>window.owned=1</script>",
    "javascript:window.owned=1",
    "<svg/onload=window.owned=1>",
    "</textarea></select></title><iframe src=/config>",
    "{{constructor.constructor('window.owned=1')()}}",
]

IMPORTS = ["wasi:http/types@0.3.0", "wasi:http/handler@0.3.0", "wasi:clocks/monotonic-clock@0.3.0"]


def spread(total, middle):
    """So many requests around a duration, in the buckets, and none beyond."""
    weights = [math.exp(-(math.log10(bound / middle) / 0.25) ** 2) for bound in BUCKETS]
    counts = [int(total * weight / sum(weights)) for weight in weights]
    counts[weights.index(max(weights))] += total - sum(counts)
    return counts + [0]


class Pretended:
    """A gateway that is not there."""

    def __init__(self, pipelines=("edge", "edge-next", "catalogue"), hostile=False):
        self.names = list(pipelines)
        self.began = time.time()
        self.generation = 3
        self.evil = HOSTILE if hostile else None
        self.asked = []

    def text(self, at, plain):
        return plain if self.evil is None else self.evil[at % len(self.evil)]

    def stage(self, index, component, middle, requests, **more):
        name = f"{index}:{component}"
        observed = {
            "requests": requests, "own": spread(requests, middle), "own-sum": requests * middle, "queued-sum": 0.001,
            "busy-sum": requests * middle * 0.8, "busy-requests": requests,
            "host-calls": requests * 5, "outgoing-requests": requests // 2, "answered": requests // 40, "failed": 0,
            "broke-off": 0,
        }
        return {
            "index": index, "name": self.text(index, name), "component": self.text(index + 1, component),
            "digest": "sha256:" + "0f" * 32, "lift": "rewritten", "when": index == 1, "on-failure": "fail",
            "breaker": None, "grants": [self.text(2, "random")], "imports": [self.text(3, it) for it in IMPORTS],
            "not-applied": 12, "bypassed": 0, "refused": 3, "observed": observed, **more,
        }

    def pipeline(self, place):
        age = time.time() - self.began + 60
        busy = 40 / (1 + place % 7)
        requests = int(age * busy)
        late = int(age * busy * 0.1)
        stages = [
            self.stage(0, "request-id", 8e-6, late),
            self.stage(1, "security-headers", 3e-6, late),
            self.stage(2, "key-auth", 45e-6, late),
            self.stage(3, "rate-limit", 20e-6, late, breaker={"open": place % 3 == 1, "opened": 2},
                       **{"on-failure": "bypass", "bypassed": 7 if place % 3 == 1 else 0}),
        ]
        end = {"kind": "upstream", "name": self.text(4, "backend")}
        segments = [
            {"stages": [0, 1, 2], "form": "direct", "reason": None, "link": "static"},
            {"stages": [3], "form": "component", "link": "dynamic",
             "reason": self.text(5, "the component imports wasi:filesystem, which has no direct form")},
        ]
        if place % 3 == 2:
            end = {"kind": "component", "name": self.text(4, "hello")}
            stages = stages[:1] + [self.stage(1, "hello", 160e-6, 0, observed=None, when=False)]
            segments = [{"stages": [0, 1], "form": "direct", "reason": None, "link": "static"}]
        return {
            "name": self.names[place], "requests": requests, "errors": requests // 200 if place % 3 == 1 else 0,
            "refused": requests // 20, "active": place % 5, "durations": spread(requests, 0.002), "duration-sum": 1.0,
            "traps": {"trap": 2 if place % 3 == 1 else 0, "cpu": 0, "memory": 0, "host-memory": 0, "form": 0},
            "events": {"deadlines": 1, "no-capacity": 0, "guest-errors": 0, "invalid-responses": 0, "cut-short": 0,
                       "abandoned": 4},
            "instances": {"warm": 4, "made": 9}, "end": end, "segments": segments, "stages": stages,
        }

    def overview(self, first, count):
        self.asked.append((first, count))
        now = time.time()
        requests = int((now - self.began) * 20)
        server = {"failing": False, "ejected": False, "up": True, "requests": requests, "failures": 2}
        return {
            "now": now, "version": "0.1.0", "generation": self.generation, "built": self.began - 100,
            "started": self.began - 100_000, "ready": True, "memory": 91_234_304, "connections": 12,
            "traces": {"sample": 0.05, "stages": True, "sampled": 812, "limited": 3},
            "buckets": BUCKETS, "stage-buckets": BUCKETS, "total": len(self.names), "from": first,
            "pipelines": [self.pipeline(place) for place in range(len(self.names))[first:first + min(count, 500)]],
            "routes": [
                {"path": self.text(0, "/api/*"), "hosts": [self.text(1, "api.example")], "methods": ["GET", "POST"],
                 "targets": [{"pipeline": self.names[0], "share": 0.9}, {"pipeline": self.names[1], "share": 0.1}]},
                {"path": "/catalogue", "hosts": [], "methods": [],
                 "targets": [{"pipeline": self.names[2], "share": 1}]},
            ],
            "left-out": {"routes": 7, "upstreams": 1},
            "upstreams": [{"name": self.text(2, "backend"), "servers": [
                {"server": self.text(3, "http://10.0.0.1:8081"), **server},
                {"server": "http://10.0.0.2:8081", **server, "up": False, "failing": True},
                {"server": "http://10.0.0.3:8081", **server, "up": False, "ejected": True},
            ]}],
        }

    def summary(self, at):
        failed = at % 4 == 3
        return {
            "id": f"{at:032x}", "name": self.text(at, f"GET /api/{at}"), "start": self.began - at, "spans": 6,
            "duration": 0.0123 / (1 + at % 5), "status": None if failed else (200, 200, 429)[at % 3],
            "pipeline": self.names[0], "error": self.text(at + 1, "stage `3:rate-limit` failed: trap: unreachable")
            if failed else None, "kept-as": "failed" if failed else "slow" if at % 5 == 0 else "recent",
        }

    def trace(self, at):
        def span(number, parent, name, start, length, **more):
            return {"id": f"{number:016x}", "parent": parent and f"{parent:016x}", "kind": "internal",
                    "name": self.text(number, name), "start": start, "duration": length, "error": None,
                    "attributes": {}, "events": [], "heads": None, **more}

        def stage(name, own, outcome="passed-on"):
            return {"linkspan.stage": self.text(0, name), "linkspan.stage.own_time": own,
                    "linkspan.stage.outcome": outcome, "http.request.body.size": 2048}

        def head(request, response):
            return {"method": "GET", "target": self.text(3, "/api/7"), "request": request, "response": response,
                    "status": 200}

        agent = [["host", "api.example"], ["user-agent", self.text(0, "curl/8")]]
        # In another order, which means nothing.
        known = [["x-request-id", "7f3a"], *reversed(agent)]
        answer = [["content-type", "text/plain"]]
        log = {"at": 0.002, "name": "log", "attributes": {"message": self.text(2, "a line of the log")}}
        spans = [
            span(1, None, "GET /api/*", 0, 0.0123, kind="server", attributes={"url.path": self.text(1, "/api/7")},
                 heads=head([*agent, ["connection", "close"]], answer)),
            span(2, 1, "0:request-id", 0.0001, 0.0119, attributes=stage("0:request-id", 8e-6),
                 heads=head(agent, [*answer, ["x-request-id", "7f3a"]])),
            span(3, 2, "2:key-auth", 0.0009, 0.0108, attributes=stage("2:key-auth", 0.00045), events=[log],
                 heads=head(known, answer)),
            span(4, 3, "3:rate-limit", 0.0016, 0.0094, attributes=stage("3:rate-limit", 0.0009)),
            span(5, 4, "GET", 0.0025, 0.003, kind="client", error=self.text(4, "connect-timeout")),
            span(6, 4, "GET", 0.006, 0.0048, kind="client", attributes={"http.request.resend_count": 1}),
        ]
        return {**self.summary(at), "spans": spans, "forced": True}

    def generations(self):
        def reload(number, trigger, result, details):
            return {"trigger": trigger, "at": int(self.began) - 500 + number, "milliseconds": 84, "generation": number,
                    "result": result, "details": details}

        finding = {"severity": "error", "message": self.text(0, "unknown key `rout`"), "file": "/etc/linkspan.toml",
                   "line": 7, "column": 1, "label": self.text(1, "not a key of the file"), "help": "`routes`"}
        return {
            "live": {"generation": self.generation, "identity": "f" * 64, "built": self.began - 100, "compiled": 1,
                     "reused": 4, "upstreams": [],
                     "pipelines": [{"name": name, "segments": [], "upstream": None} for name in self.names]},
            "retiring": [{"generation": 2, "seconds": 14, "cut": False}], "history": 2, "under-way": None,
            "reloads": [reload(2, "watch", "swapped", {"compiled": 2, "reused": 3}),
                        reload(2, "signal", "refused", [finding]),
                        reload(3, "admin", "swapped", {"compiled": 1, "reused": 4})],
        }

    def configuration(self, number):
        stages = [{"component": self.text(at, f"stage-{at}"), "config": {"rate": 10 * at}} for at in range(9)]
        stages[4]["config"]["rate"] = 100 * number
        return {"pipelines": {"edge": {"stages": stages}}, "routes": [{"path": "/api", "pipeline": "edge"}]}

    def answer(self, path, query):
        """The answer to a GET: its status and its JSON."""
        if path == "/version":
            return 200, {"name": "linkspan", "version": "0.1.0", "right": "none"}
        if path == "/overview":
            return 200, self.overview(int(query.get("from", 0)), int(query.get("count", 100)))
        if path == "/traces":
            return 200, {"kept": 41, "traces": [self.summary(at) for at in range(41)]}
        if path == "/generations":
            return 200, self.generations()
        if found := re.fullmatch("/traces/([0-9a-f]{32})", path):
            return 200, self.trace(int(found[1], 16))
        if found := re.fullmatch("/generations/([0-9]+)/config", path):
            return 200, self.configuration(int(found[1]))
        return 404, {"type": "urn:linkspan:problem:not-found", "title": "Not found", "status": 404, "detail": "No."}

    def body(self, path, query):
        status, answer = self.answer(path, query)
        return status, json.dumps(answer)
