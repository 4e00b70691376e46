// The view of pipelines: a list of chains with a filter, or one of them with everything that is known of it.

import { chain, flame, strip } from "./chain.js";
import { chart } from "./chart.js";
import { h } from "./dom.js";
import { bytes, count, counted, duration, percent, rate } from "./format.js";
import { figureRows, pages, section, terms, warnings } from "./parts.js";
import { link } from "./place.js";
import { sum } from "./rates.js";
import { stageDetail } from "./stage.js";
import { PAGE } from "./store.js";
import { traceList } from "./traces.js";

/** Traces in the view of one pipeline; the view of traces has the others. */
const MOST_TRACES = 20;

/** What is typed into the filter, and the page of what it leaves. */
let filter = "";
let page = 0;

/** Places of all pipelines whose names contain the filter. */
function matches(store) {
  if (filter === "") {
    return Array.from({ length: store.overview?.total ?? PAGE }, (_, place) => place);
  }
  const wanted = filter.toLowerCase();
  return store.names.flatMap((name, place) => (name.toLowerCase().includes(wanted) ? [place] : []));
}

/** The pipelines of the configuration's order that this view shows. */
export function wanted(store, name) {
  if (name === undefined) {
    return matches(store).slice(page * PAGE, (page + 1) * PAGE);
  }
  const place = store.names.indexOf(name);
  return place < 0 ? [] : [place];
}

export function view(store, [name, index], app) {
  return name === undefined ? list(store, app) : one(store, name, index);
}

function list(store, app) {
  const found = matches(store);
  page = Math.min(page, Math.max(0, Math.ceil(found.length / PAGE) - 1));
  const names = wanted(store).map((place) => store.names[place]).filter((name) => name !== undefined);
  const again = () => {
    app.draw();
    app.wake();
  };
  const search = (event) => {
    [filter, page] = [event.target.value.trim(), 0];
    again();
  };
  const go = (to) => {
    page = to;
    again();
    scrollTo(0, 0);
  };
  const shown = found.length === 0 ? "none" : `${count(page * PAGE + 1)} to ${count(page * PAGE + names.length)}`;
  const of = filter === "" ? counted(found.length, "pipeline") : `${counted(found.length, "match", "matches")}`;
  return [
    h("div", { class: "title" }, h("h2", { tabindex: -1 }, "Pipelines")),
    gateway(store, names),
    h("div", { class: "tools" },
      h("label", null, "Filter by name ",
        h("input", { type: "search", value: filter, oninput: search, autocomplete: "off", spellcheck: "false" })),
      h("p", { class: "hint", role: "status" }, found.length > PAGE ? `${shown} of ${of}` : of),
      pages(page, PAGE, found.length, go)),
    found.length === 0 && h("p", null, filter === "" ? "There are no pipelines." : "No name contains that."),
    h("ul", { class: "cards" }, names.map((name) => card(store, name))),
    pages(page, PAGE, found.length, go),
  ];
}

/** The gateway as a whole, and what the pipelines of these names have together. */
function gateway(store, names) {
  const { overview } = store;
  const known = names.map((name) => store.pipeline(name)).filter((it) => it !== undefined);
  const here = known.length < overview.total ? ", of those below" : "";
  return terms([
    ["Connections", count(overview.connections)],
    ["Memory", bytes(overview.memory ?? NaN)],
    [`Instances${here}`, count(sum(known.map((it) => it.instances.warm)))],
    [`Active requests${here}`, count(sum(known.map((it) => it.active)))],
    ["Share sampled", percent(overview.traces.sample)],
    ["Sampled so far", count(overview.traces.sampled)],
    ["Running for", duration(overview.now - overview.started)],
  ], "figures tiles");
}

function card(store, name) {
  const pipeline = store.pipeline(name);
  const title = h("a", { href: link("pipelines", name) }, name);
  if (pipeline === undefined) {
    return h("li", { key: name, class: "card" }, h("h3", null, title), h("p", { class: "hint" }, "Asking…"));
  }
  const samples = store.samples(name);
  return h("li", { key: name, class: "card" },
    h("div", { class: "title" }, h("h3", null, title), h("span", { class: "badges" }, warnings(pipeline))),
    terms(figureRows(store, name), "figures"),
    chain(pipeline, samples),
    strip(pipeline, samples));
}

function one(store, name, index) {
  const pipeline = store.pipeline(name);
  const back = h("a", { href: link("pipelines") }, "All pipelines");
  const title = h("h2", { tabindex: -1 }, name);
  if (pipeline === undefined) {
    const unknown = store.names.length > 0 && !store.names.includes(name);
    const text = unknown ? "The live generation has no pipeline of this name." : "Asking…";
    return [h("p", { class: "back" }, back), h("div", { class: "title" }, title), h("p", null, text)];
  }
  const samples = store.samples(name);
  const selected = index === undefined ? undefined : Number(index);
  return [
    h("p", { class: "back" }, back),
    h("div", { class: "title" }, title, h("span", { class: "badges" }, warnings(pipeline))),
    terms(figureRows(store, name), "figures tiles"),
    h("div", { class: "charts" },
      chart("Requests", store.course(name), (point) => point.rate, rate),
      chart("p99", store.course(name), (point) => point.p99, duration)),
    section("Chain", chain(pipeline, samples, selected), reasons(pipeline)),
    selected === undefined ? null : stageDetail(pipeline, samples, selected),
    section("Own time of each stage", flame(pipeline, samples, store.overview.traces)),
    section("Traps and failures, since the start", failures(pipeline)),
    section("Recent traces", traces(store, name)),
  ];
}

function traces(store, name) {
  const found = (store.traces?.traces ?? []).filter((trace) => trace.pipeline === name);
  const none = store.traces === null ? "Asking…" : "No trace of this pipeline is kept.";
  return traceList(found.slice(0, MOST_TRACES), none);
}

/** Why segments have the slower form. */
function reasons(pipeline) {
  const told = pipeline.segments.flatMap((segment, at) =>
    (segment.reason === null ? [] : [`Segment ${at + 1} has the ${segment.form} form: ${segment.reason}.`]));
  return told.length === 0 ? null : h("ul", { class: "hint" }, told.map((text) => h("li", null, text)));
}

function failures(pipeline) {
  const words = (table) => Object.entries(table).map(([name, number]) =>
    [name.replaceAll("-", " "), count(number), number > 0 ? "bad" : "none"]);
  return [
    h("h4", null, "Traps, by kind"), terms(words(pipeline.traps), "figures"),
    h("h4", null, "Requests that ended otherwise"), terms(words(pipeline.events), "figures"),
    h("h4", null, "Answers"),
    terms([
      ["Requests", count(pipeline.requests)],
      ["5xx", count(pipeline.errors), pipeline.errors > 0 ? "bad" : "none"],
      ["4xx", count(pipeline.refused)],
      ["Instances made", count(pipeline.instances.made)],
    ], "figures"),
  ];
}
