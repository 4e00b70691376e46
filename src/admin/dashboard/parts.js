// What several views show: badges, figures of a pipeline, lists of terms.

import { h } from "./dom.js";
import { count, counted, duration, NONE, percent, rate } from "./format.js";
import { figures, sum, traps } from "./rates.js";

/** A short word about something. `tone`: `good`, `bad`, `warn` or none. */
export function badge(text, tone = "") {
  return h("span", { class: `badge ${tone}` }, text);
}

/** Terms and what they are, without those that are `null`. */
export function terms(rows, name = "terms") {
  const known = rows.filter(([, value]) => value !== null && value !== undefined);
  return h("dl", { class: name }, known.map(([term, value, tone]) =>
    h("div", { class: tone ?? false }, h("dt", null, term), h("dd", null, value))));
}

/** A quantile, as `quantile` gives it. */
export function latency(quantile) {
  return quantile === null ? NONE : `${quantile.beyond ? "over " : ""}${duration(quantile.seconds)}`;
}

/** The figures of a pipeline as terms: `[name, text, tone]`. */
export function figureRows(store, name) {
  const samples = store.samples(name);
  const pipeline = samples.at(-1)?.of;
  const it = figures(samples, store.overview.buckets);
  const trapped = pipeline === undefined ? NaN : traps(pipeline);
  return [
    ["Requests", rate(it.rate)],
    ["Errors", errors(it), it.errorRate > 0 ? "bad" : undefined],
    ["Refused", percent(it.refused)],
    ["p50", latency(it.p50)],
    ["p99", latency(it.p99)],
    ["Active", count(pipeline?.active)],
    ["Instances", count(pipeline?.instances.warm)],
    ["Traps", count(trapped), trapped > 0 ? "bad" : undefined],
  ];
}

/** The share of errors; 0 % rather than nothing while there are no requests. */
function errors(it) {
  return it.rate === 0 ? "0 %" : percent(it.errors);
}

/** What is out of order in a pipeline, as badges. */
export function warnings(pipeline) {
  const open = pipeline.stages.filter((stage) => stage.breaker?.open).length;
  const trapped = traps(pipeline);
  const bypassed = sum(pipeline.stages.map((stage) => stage.bypassed));
  return [
    trapped > 0 && badge(`${count(trapped)} ${trapped === 1 ? "trap" : "traps"}`, "bad"),
    open > 0 && badge(open === 1 ? "breaker open" : `${open} breakers open`, "bad"),
    bypassed > 0 && badge(`${count(bypassed)} bypassed`, "warn"),
  ];
}

/** A part of a view under a heading of its own. */
export function section(title, ...content) {
  return h("section", { class: "part" }, h("h3", null, title), content);
}

/** How many `what` the answer has left out, if it has. */
export function leftOut(store, what, noun) {
  const number = store.overview["left-out"]?.[what] ?? 0;
  return number > 0 && `; ${counted(number, noun)} more ${number === 1 ? "is" : "are"} not shown`;
}

/** A table that may be wider than the screen, which then scrolls by itself, also by the keyboard. */
export function table(caption, heads, rows) {
  const head = h("tr", null, heads.map((text) => h("th", { scope: "col" }, text)));
  return h("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": caption },
    h("table", null,
      h("caption", { class: "unseen" }, caption),
      h("thead", null, head),
      h("tbody", null, rows.map(({ key, cells }) =>
        h("tr", { key }, cells.map((cell, at) =>
          at === 0 ? h("th", { scope: "row" }, cell) : h("td", null, cell)))))));
}

/** Pages of a list of `total`; `go` is called with the number of another one, from 0. */
export function pages(page, size, total, go) {
  if (total <= size) {
    return null;
  }
  const last = Math.ceil(total / size) - 1;
  const button = (text, to) =>
    h("button", { type: "button", disabled: to < 0 || to > last, onclick: () => go(to) }, text);
  return h("div", { class: "pages", role: "group", "aria-label": "Pages" },
    button("Previous", page - 1), h("span", null, `Page ${count(page + 1)} of ${count(last + 1)}`),
    button("Next", page + 1));
}
