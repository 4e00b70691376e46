// The page: which view is shown, what the gateway is asked for it, and what is drawn when the answer is there.

import * as generations from "./generations.js";
import * as pipelines from "./pipelines.js";
import * as routes from "./routes.js";
import * as traces from "./traces.js";
import * as upstreams from "./upstreams.js";
import { badge } from "./parts.js";
import { Failure, look } from "./client.js";
import { clock, duration } from "./format.js";
import { h, render } from "./dom.js";
import { link, parts } from "./place.js";
import { Poll } from "./poll.js";
import { Store } from "./store.js";
import { askForToken } from "./token.js";
import { followTheme } from "./theme.js";

/** Views in the order of the navigation; a view draws itself and may name the pipelines that it wants. */
const VIEWS = [
  ["pipelines", "Pipelines", pipelines],
  ["routes", "Routes", routes],
  ["upstreams", "Upstreams", upstreams],
  ["traces", "Traces", traces],
  ["generations", "Generations", generations],
];

/** Rounds between two questions for traces, and for generations. Those of many pipelines are a long answer. */
const TRACES_EVERY = 2;
const GENERATIONS_EVERY = 3;
const MANY_PIPELINES = 1000;
const GENERATIONS_OF_MANY_EVERY = 30;

const store = new Store();
const places = Object.fromEntries(
  ["views", "status", "trouble", "main", "happened"].map((id) => [id, document.getElementById(id)]));
const app = { draw, wake: () => poll.now() };
const poll = new Poll(round, failed);
let rounds = 0;
let wantsGenerations = true;

function current() {
  const [name, ...rest] = parts();
  const found = VIEWS.find(([key]) => key === name) ?? VIEWS[0];
  return { name: found[0], title: found[1], view: found[2], rest };
}

/** One round of questions, one after the other. */
async function round() {
  if (store.version === null) {
    store.version = await look("/version");
  }
  const { view, name, rest } = current();
  const [generation, started] = [store.overview?.generation, store.overview?.started];
  for (const { from, count } of store.questions(view.wanted(store, ...rest))) {
    store.takeOverview(await look(`/overview?from=${from}&count=${count}`));
  }
  wantsGenerations ||= store.overview.generation !== generation || store.overview.started !== started;
  const every = store.overview.total > MANY_PIPELINES ? GENERATIONS_OF_MANY_EVERY : GENERATIONS_EVERY;
  if (wantsGenerations || rounds % every === 0) {
    store.takeGenerations(await look("/generations"));
    wantsGenerations = false;
  }
  const showsTraces = name === "traces" || (name === "pipelines" && rest.length > 0);
  if (showsTraces && (store.traces === null || rounds % TRACES_EVERY === 0)) {
    store.traces = await look("/traces");
  }
  rounds += 1;
  if (store.trouble !== null) {
    store.tell(store.overview.now, "The gateway answers again.", "good");
    store.trouble = null;
    // It may be another process, with other tokens.
    store.version = null;
  }
  draw();
}

async function failed(failure, pause) {
  if (!(failure instanceof Failure)) {
    // A defect of this page, for the browser's console; the next round may go well.
    reportError(failure);
    return;
  }
  if (failure.status === 401) {
    await askForToken();
    store.version = null;
    store.trouble = null;
    poll.now();
    return;
  }
  if (store.trouble === null) {
    const since = Date.now() / 1000;
    store.trouble = { since, text: failure.message };
    store.tell(since, `Disconnected: ${failure.message}.`, "bad");
  }
  store.trouble = { ...store.trouble, text: failure.message, pause };
  draw();
}

function draw() {
  const { name, title, view, rest } = current();
  document.title = [rest[0], title, "linkspan"].filter((part) => part).join(" – ");
  render(places.views, h("ul", null, VIEWS.map(([key, text]) =>
    h("li", null, h("a", { href: link(key), "aria-current": key === name ? "page" : false }, text)))));
  render(places.status, status());
  render(places.trouble, trouble());
  render(places.happened, store.events.length === 0 ? h("p", { class: "hint" }, "Nothing yet.")
    : h("ol", null, store.events.map(({ key, at, text, tone }) =>
      h("li", { key, class: tone }, h("span", { class: "when" }, clock(at)), " ", text))));
  places.main.classList.toggle("stale", store.trouble !== null);
  render(places.main, store.overview === null ? h("p", null, "Asking the gateway…") : view.view(store, rest, app));
}

function status() {
  const { overview, trouble } = store;
  if (overview === null) {
    return null;
  }
  return [
    trouble !== null ? badge("disconnected", "bad")
      : overview.ready ? badge("ready", "good") : badge("not ready", "bad"),
    h("span", null, `generation ${overview.generation}`),
    h("span", null, `linkspan ${overview.version}`),
  ];
}

/** Says since when nothing is known. Without numbers that change each second, which would be read aloud. */
function trouble() {
  if (store.trouble === null) {
    return null;
  }
  const { since, text, pause } = store.trouble;
  return h("div", { class: "trouble" },
    h("p", null, h("strong", null, `Disconnected since ${clock(since)}`), `: ${text}. What is shown is from before.`),
    h("p", { class: "hint", "aria-live": "off" }, `Tried again every ${duration(pause / 1000)}.`),
    h("button", { type: "button", onclick: () => poll.now() }, "Try now"));
}

addEventListener("hashchange", () => {
  draw();
  poll.now();
  // As after loading another page: what is read aloud, and where Tab goes on, is what was asked for.
  const detail = places.main.querySelector(".detail h3");
  (detail ?? places.main.querySelector("h2"))?.focus({ preventScroll: true });
  if (detail === null) {
    scrollTo(0, 0);
  } else {
    detail.scrollIntoView({ block: "center" });
  }
});

// Its address would be that of another view.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  places.main.focus();
});

followTheme();
draw();
poll.run();
