// The view of traces: those that the gateway keeps, and one of them.

import { badge, pages, section, terms } from "./parts.js";
import { h } from "./dom.js";
import { clock, count, counted, duration, percent } from "./format.js";
import { look } from "./client.js";
import { link } from "./place.js";
import { watchForm } from "./watch.js";
import { waterfall } from "./waterfall.js";

const KINDS = [["", "All"], ["recent", "Recent"], ["slow", "Slow"], ["failed", "Failed"]];

const PAGE = 100;

let kind = "";
let page = 0;
/** The trace that is shown, once it is there: `{ id, trace }`, `{ id, failure }`, or `{ id }` meanwhile. */
let shown = null;

export function view(store, [id], app) {
  return id === undefined ? list(store, app) : one(id, app);
}

/** No pipeline is needed for this view. */
export function wanted() {
  return [];
}

function list(store, app) {
  const all = store.traces?.traces ?? [];
  const found = kind === "" ? all : all.filter((trace) => trace["kept-as"] === kind);
  page = Math.min(page, Math.max(0, Math.ceil(found.length / PAGE) - 1));
  const choose = (value) => () => {
    [kind, page] = [value, 0];
    app.draw();
  };
  const go = (to) => {
    page = to;
    app.draw();
  };
  const buttons = KINDS.map(([value, text]) =>
    h("button", { type: "button", "aria-pressed": String(value === kind), onclick: choose(value) }, text));
  const { sample, limited } = store.overview.traces;
  const told = `${percent(sample)} of requests are sampled` +
    (limited > 0 ? `; ${count(limited)} more were over the limit of a second.` : ".");
  const none = store.traces === null ? "Asking…" : "No such trace is kept.";
  return [
    h("div", { class: "title" }, h("h2", { tabindex: -1 }, "Traces")),
    h("p", { class: "hint" }, told, " The slowest and those that failed are kept longer than others."),
    watchForm(store, app, (trace) => {
      shown = { id: trace.id, trace };
      location.hash = link("traces", trace.id);
    }),
    h("div", { class: "tools" }, h("div", { class: "choices", role: "group", "aria-label": "Which traces" }, buttons),
      h("p", { class: "hint", role: "status" }, counted(found.length, "trace"))),
    traceList(found.slice(page * PAGE, (page + 1) * PAGE), none),
    pages(page, PAGE, found.length, go),
  ];
}

/** Traces as links, each with a bar of its duration beside the longest of them. */
export function traceList(traces, none) {
  if (traces.length === 0) {
    return h("p", { class: "hint" }, none);
  }
  const longest = Math.max(...traces.map((trace) => trace.duration));
  return h("ol", { class: "traces" }, traces.map((trace) => h("li", { key: `${trace.id} ${trace.start}` },
    h("a", { href: link("traces", trace.id) },
      h("span", { class: "name" }, trace.name ?? trace.id),
      h("span", { class: "when" }, clock(trace.start)),
      h("span", { class: "badges" }, status(trace)),
      h("span", { class: "track", "aria-hidden": "true" },
        h("span", { class: "bar", style: { "--from": 0, "--share": longest > 0 ? trace.duration / longest : 0 } })),
      h("span", { class: "value" }, duration(trace.duration)),
      trace.error !== null && h("span", { class: "error" }, trace.error)))));
}

function status({ status, error }) {
  const tone = error !== null || status === null || status >= 500 ? "bad" : status >= 400 ? "warn" : "good";
  return badge(status === null ? "no status" : String(status), tone);
}

function one(id, app) {
  if (shown?.id !== id) {
    shown = { id };
    const done = (more) => {
      // Another one may have been chosen meanwhile.
      if (shown.id === id) {
        shown = { id, ...more };
        app.draw();
      }
    };
    look(`/traces/${encodeURIComponent(id)}`).then((trace) => done({ trace }), (failure) => done({ failure }));
  }
  const back = h("p", { class: "back" }, h("a", { href: link("traces") }, "All traces"));
  const { trace, failure } = shown;
  if (trace === undefined) {
    const gone = failure?.status === 404 ? "This trace is no longer kept." : failure?.message;
    return [back, h("h2", { tabindex: -1 }, "Trace"), h("p", null, gone ?? "Asking…"),
      failure !== undefined && h("button", { type: "button", onclick: () => retry(app) }, "Try again")];
  }
  const pipeline = trace.pipeline === null ? null
    : h("a", { href: link("pipelines", trace.pipeline) }, trace.pipeline);
  return [
    back,
    h("div", { class: "title" }, h("h2", { tabindex: -1 }, trace.name ?? "Trace"), h("span", { class: "badges" },
      status(trace))),
    terms([
      ["At", clock(trace.start)],
      ["Duration", duration(trace.duration)],
      ["Pipeline", pipeline],
      ["Spans", count(trace.spans.length)],
      ["Trace", h("code", { class: "long" }, trace.id)],
    ], "figures tiles"),
    trace.error !== null && h("p", { class: "error" }, trace.error),
    section("Waterfall", waterfall(trace, app)),
  ];
}

function retry(app) {
  shown = null;
  app.draw();
}
