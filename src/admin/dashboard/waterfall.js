// A trace as a waterfall: a row for each span, in the order of the tree, with its place in time; one of them may be
// open, with all that was recorded of it.

import { badge, terms } from "./parts.js";
import { diff, diffRows } from "./diff.js";
import { h } from "./dom.js";
import { bytes, duration } from "./format.js";

/** The span that is open, by trace and id. */
let open = null;

export function waterfall(trace, app) {
  const rows = tree(trace.spans);
  const total = Math.max(trace.duration, ...trace.spans.map((span) => span.start + span.duration));
  return [
    h("p", { class: "scale", "aria-hidden": "true" }, h("span", null, "0"), h("span", null, duration(total))),
    h("ol", { class: "waterfall", "aria-label": "Spans" }, rows.map(({ span, depth, children }) =>
      row(span, depth, total, { trace, children, app }))),
  ];
}

/** All spans with their depth and their children: parents before children, siblings by their start. */
function tree(spans) {
  const known = new Set(spans.map((span) => span.id));
  const below = new Map();
  for (const span of [...spans].sort((a, b) => a.start - b.start)) {
    // A parent that is not here is the client's span, or one that was left out.
    const parent = known.has(span.parent) && span.parent !== span.id ? span.parent : null;
    below.set(parent, [...(below.get(parent) ?? []), span]);
  }
  const rows = [];
  const stack = (below.get(null) ?? []).map((span) => ({ span, depth: 0 })).reverse();
  while (stack.length > 0) {
    const { span, depth } = stack.pop();
    const children = below.get(span.id) ?? [];
    rows.push({ span, depth, children });
    stack.push(...children.map((child) => ({ span: child, depth: depth + 1 })).reverse());
  }
  return rows;
}

function row(span, depth, total, { trace, children, app }) {
  const is = open?.trace === trace.id && open.span === span.id;
  const toggle = () => {
    open = is ? null : { trace: trace.id, span: span.id };
    app.draw();
  };
  const own = span.attributes["linkspan.stage.own_time"];
  const share = (seconds) => (total > 0 ? seconds / total : 0);
  const place = { "--from": share(span.start), "--share": share(span.duration) };
  return h("li", { key: span.id, class: `span ${span.kind} ${span.error === null ? "" : "failed"}` },
    h("button", {
      type: "button", "aria-expanded": String(is), onclick: toggle, style: { "--depth": Math.min(depth, 12) },
    },
      h("span", { class: "name" }, span.name, span.error !== null && [" ", badge("failed", "bad")]),
      h("span", { class: "track", "aria-hidden": "true" }, h("span", { class: "bar", style: place })),
      h("span", { class: "value" }, duration(span.duration),
        typeof own === "number" && h("span", { class: "own" }, ` own ${duration(own)}`))),
    is && detail(span, children));
}

function detail(span, children) {
  const attributes = Object.entries(span.attributes).map(([name, value]) => [name, shown(name, value)]);
  return h("div", { class: "span-detail" },
    span.error !== null && h("p", { class: "error" }, span.error),
    terms([["Kind", span.kind], ["Begins", duration(span.start)], ["Takes", duration(span.duration)]], "figures"),
    attributes.length > 0 && [h("h4", null, "Attributes"), terms(attributes)],
    span.events.length > 0 && [h("h4", null, "Events"), h("ol", { class: "events" }, span.events.map(event))],
    span.heads && heads(span, children.map((child) => child.heads).find((it) => it) ?? null));
}

function shown(name, value) {
  if (typeof value === "number" && name.endsWith("_time")) {
    return duration(value);
  }
  if (typeof value === "number" && name.endsWith(".size")) {
    return bytes(value);
  }
  return typeof value === "string" ? value : JSON.stringify(value);
}

function event(it) {
  const more = Object.entries(it.attributes).map(([name, value]) => `${name}: ${shown(name, value)}`);
  return h("li", null,
    h("span", { class: "when" }, duration(it.at)), " ", h("strong", null, it.name), " ", more.join(", "));
}

/**
 * Heads of a stage. What it received and what the next stage received differ by what the stage did to the request; what
 * the next stage answered and what it answered itself, by what it did to the response.
 */
function heads({ heads: own, kind }, next) {
  const who = kind === "server" ? "gateway" : "stage";
  const request = (it) => [`${it.method} ${it.target}`, ...fields(it.request)];
  const response = (it) => [String(it.status ?? "no status"), ...fields(it.response ?? [])];
  if (next === null) {
    return [
      h("h4", null, "Request"), lines(request(own), "Request"),
      own.response && [h("h4", null, "Response"), lines(response(own), "Response")],
    ];
  }
  return [
    h("h4", null, `Request: what the ${who} changed`), difference(request(own), request(next), "Request"),
    own.response && next.response && [h("h4", null, `Response: what the ${who} changed`),
      difference(response(next), response(own), "Response")],
    own.response && !next.response && [h("h4", null, `Response: made by the ${who}`), lines(response(own), "Response")],
  ];
}

/** Fields by their names, whose order means nothing; that of fields with one name stays (RFC 9110 §5.3). */
function fields(pairs) {
  const ordered = [...pairs].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return ordered.map(([name, value]) => `${name}: ${value}`);
}

function difference(before, after, label) {
  const found = diff(before, after);
  return found.every(([sign]) => sign === " ")
    ? [h("p", { class: "hint" }, "Nothing."), lines(before, label)]
    : diffRows(found, `${label}, differences`);
}

function lines(all, label) {
  return h("ol", { class: "diff", tabindex: 0, "aria-label": label }, all.map((line) => h("li", null, line)));
}
