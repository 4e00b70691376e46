// The view of routes: which requests take which pipeline, and the sides of a split beside each other.

import { h } from "./dom.js";
import { counted, percent } from "./format.js";
import { figureRows, leftOut, pages, table } from "./parts.js";
import { link } from "./place.js";
import { PAGE } from "./store.js";

/** The most sides of splits that are asked about: the comparison of a page of routes. */
const MOST_SIDES = 50;

let page = 0;

function shown(store) {
  return (store.overview?.routes ?? []).slice(page * PAGE, (page + 1) * PAGE);
}

/** Names of the pipelines that share a route with another one. */
function sides(store) {
  const names = shown(store).filter((route) => route.targets.length > 1)
    .flatMap((route) => route.targets.map((target) => target.pipeline));
  return new Set([...new Set(names)].slice(0, MOST_SIDES));
}

export function wanted(store) {
  const names = sides(store);
  return store.names.flatMap((name, place) => (names.has(name) ? [place] : []));
}

export function view(store, _, app) {
  const routes = shown(store);
  const total = store.overview.routes.length;
  const go = (to) => {
    page = to;
    app.draw();
    app.wake();
  };
  return [
    h("div", { class: "title" }, h("h2", { tabindex: -1 }, "Routes")),
    h("p", { class: "hint" }, counted(total, "route"), leftOut(store, "routes", "route")),
    pages(page, PAGE, total, go),
    h("ul", { class: "cards" }, routes.map((route, at) => card(store, route, page * PAGE + at))),
    total === 0 && h("p", null, "There are no routes."),
  ];
}

function card(store, route, at) {
  const hosts = route.hosts ?? [];
  const methods = route.methods ?? [];
  const split = route.targets.length > 1;
  return h("li", { key: at, class: "card" },
    h("h3", { class: "route" },
      h("span", null, methods.length === 0 ? "any method" : methods.join(", ")), " ",
      h("span", null, hosts.length === 0 ? "" : hosts.join(", "), h("code", null, route.path ?? "any path"))),
    h("ul", { class: "shares" }, route.targets.map((target) => h("li", null,
      h("a", { href: link("pipelines", target.pipeline) }, target.pipeline),
      split && [
        h("span", { class: "track", "aria-hidden": "true" },
          h("span", { class: "bar", style: { "--from": 0, "--share": target.share } })),
        h("span", { class: "value" }, percent(target.share)),
      ]))),
    split && compared(store, route));
}

/** The sides of a split: a column for each, a row for each figure. */
function compared(store, route) {
  const columns = route.targets.map((target) => target.pipeline);
  const figures = columns.map((name) => figureRows(store, name));
  const rows = figures[0].map(([name], row) => {
    const cells = figures.map((column) => column[row][1]);
    return { key: name, cells: [name, ...cells] };
  });
  return table(`Beside each other: ${columns.join(", ")}`, ["Figure", ...columns], rows);
}
