// The details of one stage: what it is, why it has its form, what it may do, what it did.

import { badge, section, terms } from "./parts.js";
import { h } from "./dom.js";
import { count, duration, NONE, number } from "./format.js";
import { link } from "./place.js";
import { ownTime } from "./rates.js";

export function stageDetail(pipeline, samples, index) {
  const it = pipeline.stages[index];
  const close = h("a", { class: "close", href: link("pipelines", pipeline.name) }, "Close");
  if (it === undefined) {
    return h("section", { class: "part detail" }, h("p", null, `There is no stage ${index}.`), close);
  }
  const segment = pipeline.segments.find((segment) => segment.stages.includes(index));
  return h("section", { class: "part detail", "aria-label": `Stage ${it.name}` },
    h("div", { class: "title" }, h("h3", { tabindex: -1 }, it.name), close),
    terms([
      ["Component", it.component],
      ["Digest", h("code", { class: "long" }, it.digest)],
      ["Lift", it.lift],
      ["Form", form(segment)],
      ["Link", segment?.link ?? null],
      ["Condition", it.when ? `when; it did not apply to ${count(it["not-applied"])} requests` : null],
      ["On failure", it["on-failure"]],
      ["Breaker", breaker(it.breaker), it.breaker?.open ? "bad" : undefined],
      ["Bypassed", count(it.bypassed), it.bypassed > 0 ? "warn" : undefined],
      ["Refused", count(it.refused)],
      ["Granted", list(it.grants, "nothing")],
      ["Imports", list(it.imports, "nothing")],
    ]),
    observed(it.observed, ownTime(samples, index)));
}

function form(segment) {
  if (!segment) {
    return null;
  }
  return segment.reason === null ? segment.form : `${segment.form}: ${segment.reason}`;
}

function breaker(it) {
  if (it === null || it === undefined) {
    return null;
  }
  return [it.open ? badge("open", "bad") : badge("closed", "good"), ` opened ${count(it.opened)} times`];
}

function list(names, none) {
  return names.length === 0 ? none : h("ul", { class: "names" }, names.map((name) =>
    h("li", null, h("code", null, name))));
}

function observed(it, own) {
  if (!it || it.requests === 0) {
    return h("p", { class: "hint" }, "No sampled request came to this stage.");
  }
  const mean = (sum, of) => (of > 0 ? duration(sum / of) : NONE);
  const each = (sum, of) => (of > 0 ? number(sum / of) : NONE);
  return section("Sampled requests since the start, means of times and calls",
    terms([
      ["Requests", count(it.requests)],
      ["Own time", mean(it["own-sum"], it.requests)],
      ["Of late", own?.late ? duration(own.mean) : null],
      ["Busy", mean(it["busy-sum"], it["busy-requests"])],
      ["Host calls", each(it["host-calls"], it["busy-requests"])],
      ["Own requests", each(it["outgoing-requests"], it["busy-requests"])],
      ["Queued", mean(it["queued-sum"], it.requests)],
      ["Answered itself", count(it.answered)],
      ["Failed", count(it.failed), it.failed > 0 ? "bad" : undefined],
      ["Broke off", count(it["broke-off"]), it["broke-off"] > 0 ? "warn" : undefined],
    ], "figures"));
}
