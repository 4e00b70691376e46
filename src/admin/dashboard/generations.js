// The view of generations: what serves, what was refused and why, what differs; reload and rollback.

import { badge, section, terms } from "./parts.js";
import { change, look } from "./client.js";
import { clock, count, duration } from "./format.js";
import { confirm } from "./confirm.js";
import { diff, diffRows } from "./diff.js";
import { h } from "./dom.js";

/** The two generations that are compared; `null` until somebody chooses. */
let chosen = null;
/** The comparison: `{ from, to, lines }`, `{ from, to, failure }`, or without either meanwhile. */
let compared = null;

export function wanted() {
  return [];
}

export function view(store, _, app) {
  const { generations: it } = store;
  const title = h("h2", { tabindex: -1 }, "Generations");
  if (it === null) {
    return [title, h("p", null, "Asking…")];
  }
  return [
    h("div", { class: "title" }, title, buttons(store, app)),
    !store.mayChange && h("p", { class: "hint" }, "The token of this tab is for looking only: it changes nothing."),
    terms([
      ["Live generation", count(it.live.generation)],
      ["Since", clock(it.live.built)],
      ["Segments made", count(it.live.compiled)],
      ["Taken over", count(it.live.reused)],
      ["Rollbacks possible", count(remembered(it))],
      ["Under way", it["under-way"] ? `${it["under-way"].trigger}, for ${it["under-way"].seconds} s` : null],
    ], "figures tiles"),
    it.retiring.length > 0 && section("Retiring", h("ul", null, it.retiring.map(retiring))),
    section("Differences", comparison(store, app)),
    section("Reloads", reloads(it.reloads)),
  ];
}

function retiring(old) {
  const text = `Generation ${old.generation} still has requests, for ${duration(old.seconds)} `;
  return h("li", { key: old.generation }, text, old.cut && badge("cut", "warn"));
}

/** How many configurations can be gone back to: `history` is their number, or the list of them. */
function remembered(it) {
  return Array.isArray(it.history) ? it.history.length : it.history;
}

function buttons(store, app) {
  const { live } = store.generations;
  const reload = () => confirm({
    title: "Reload the configuration?",
    text: "The gateway reads its files again. If they are valid, they become a new generation; else nothing changes.",
    action: "Reload",
    run: () => act("/-/reload", app),
  });
  const rollback = () => confirm({
    title: `Roll back from generation ${live.generation}?`,
    text: "The configuration before the live one serves again. The files stay as they are, and are loaded again when " +
      "they change or at the next reload.",
    action: "Roll back",
    run: () => act("/-/rollback", app),
  });
  const button = (text, onclick, possible) =>
    h("button", { type: "button", onclick, disabled: !store.mayChange || !possible }, text);
  return h("p", { class: "buttons" },
    button("Reload…", reload, true), button("Roll back…", rollback, remembered(store.generations) > 0));
}

async function act(path, app) {
  try {
    const { text, generation, unchanged } = await change(path);
    return unchanged ? `Generation ${generation} stays: ${text}` : text;
  } finally {
    app.wake();
  }
}

/** Numbers of the generations whose configurations the gateway may still have, the newest first. */
function numbers(it) {
  const listed = Array.isArray(it.history) ? it.history.map((old) => old.generation ?? old) : [];
  const reloaded = it.reloads.filter((reload) => reload.result === "swapped").map((reload) => reload.generation);
  const live = it.live.generation;
  const before = Array.from({ length: remembered(it) }, (_, at) => live - 1 - at);
  const all = new Set([live, ...before, ...listed, ...it.retiring.map((old) => old.generation), ...reloaded]);
  return [...all].filter((number) => number >= 1).sort((a, b) => b - a);
}

function comparison(store, app) {
  const known = numbers(store.generations);
  const live = store.generations.live.generation;
  if (known.length < 2) {
    return h("p", { class: "hint" }, "There has been one generation only.");
  }
  const [from, to] = chosen ?? [known.find((number) => number !== live), live];
  const select = (label, value, choose) => h("label", null, `${label} `,
    h("select", { value: String(value), onchange: (event) => pick(choose(Number(event.target.value)), app) },
      known.map((number) => h("option", { key: number, value: String(number) },
        `${number}${number === live ? " (live)" : ""}`))));
  return [
    h("div", { class: "tools" },
      select("From generation", from, (number) => [number, to]),
      select("to", to, (number) => [from, number]),
      h("button", { type: "button", onclick: () => compare(from, to, app) }, "Compare")),
    result(from, to),
  ];
}

function pick(both, app) {
  chosen = both;
  compare(...both, app);
}

function compare(from, to, app) {
  compared = { from, to };
  const done = (more) => {
    if (compared.from === from && compared.to === to) {
      compared = { from, to, ...more };
      app.draw();
    }
  };
  app.draw();
  const text = async (number) => JSON.stringify(await look(`/generations/${number}/config`), null, 2).split("\n");
  Promise.all([text(from), text(to)]).then(([before, after]) => done({ lines: diff(before, after) }),
    (failure) => done({ failure }));
}

function result(from, to) {
  if (compared === null || compared.from !== from || compared.to !== to) {
    return null;
  }
  const { lines, failure } = compared;
  if (failure !== undefined) {
    const gone = failure.status === 404 ? "The gateway no longer has one of the two configurations." : failure.message;
    return h("p", { role: "status" }, gone);
  }
  return lines === undefined ? h("p", { role: "status" }, "Asking…")
    : diffRows(lines, `Differences from generation ${from} to ${to}`);
}

const TONES = { swapped: "good", refused: "bad", "no-history": "warn" };

function reloads(records) {
  if (records.length === 0) {
    return h("p", { class: "hint" }, "None since the start.");
  }
  return h("ol", { class: "reloads" }, records.map((it, at) => ({ it, at })).reverse().map(({ it, at }) =>
    h("li", { key: `${it.at} ${at}` },
      h("p", null, h("span", { class: "when" }, clock(it.at)), " ", badge(it.result, TONES[it.result]), " ",
        `by ${it.trigger}, ${duration(it.milliseconds / 1000)}, generation ${it.generation} `,
        it.result === "swapped" && `(${count(it.details.compiled)} made, ${count(it.details.reused)} taken over)`),
      it.result === "refused" && h("ul", { class: "findings" }, it.details.map(finding)))));
}

function finding(it) {
  const place = it.start?.line ?? it.line;
  return h("li", null,
    h("code", null, place === undefined ? it.file : `${it.file}:${place}`), ` ${it.severity}: ${it.message}`,
    it.label && `: ${it.label}`, it.help && h("span", { class: "hint" }, ` ${it.help}`));
}
