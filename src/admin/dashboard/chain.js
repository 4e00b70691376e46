// A pipeline as the chain that it is: segments with their stages in order, and the end; and whose time it was.

import { badge } from "./parts.js";
import { h } from "./dom.js";
import { counted, duration, percent } from "./format.js";
import { link } from "./place.js";
import { ownTime } from "./rates.js";

/** Hues of stages, by their place: neighbours differ. The number alone never tells a stage; its name does. */
const HUES = 6;

/** The chain. `selected`: the index of the stage whose details are shown. */
export function chain(pipeline, samples, selected) {
  const segments = pipeline.segments.map((segment, at) => {
    const head = `${segment.form} form, ${segment.link}`;
    return h("li", { class: `segment ${segment.form === "direct" ? "direct" : "component"}` },
      h("p", { class: "segment-head" }, h("span", { class: "unseen" }, `Segment ${at + 1}: `), head),
      h("ol", { class: "stages" },
        segment.stages.map((index) => stage(pipeline, samples, index, index === selected))));
  });
  return h("ol", { class: "chain", "aria-label": `Chain of ${pipeline.name}` },
    segments, pipeline.end.kind === "component" ? null : end(pipeline.end));
}

function stage(pipeline, samples, index, selected) {
  const it = pipeline.stages[index];
  const own = ownTime(samples, index);
  const service = pipeline.end.kind === "component" && index === pipeline.stages.length - 1;
  return h("li", { class: `stage hue-${index % HUES}` },
    h("a", { href: link("pipelines", pipeline.name, index), "aria-current": selected ? "true" : false },
      h("span", { class: "name" }, it.name),
      h("span", { class: "own" }, own === null ? "not sampled" : duration(own.mean))),
    service && badge("service"),
    it.when && badge("when"),
    it.breaker?.open && badge("breaker open", "bad"),
    it.bypassed > 0 && badge("bypassed", "warn"));
}

function end(it) {
  const kind = it.kind === "upstream" ? "upstream" : "native service";
  const name = it.kind === "upstream" ? h("a", { href: link("upstreams") }, it.name) : it.name;
  return h("li", { class: "end" }, h("p", { class: "segment-head" }, kind), h("p", { class: "name" }, name));
}

/** The own times of all stages, `null` for those that were not observed. */
function owns(pipeline, samples) {
  return pipeline.stages.map((stage, index) => ({ stage, index, own: ownTime(samples, index) }));
}

/** The own times of a chain in one line, for a list. */
export function strip(pipeline, samples) {
  const known = owns(pipeline, samples).filter(({ own }) => own !== null);
  if (known.length === 0) {
    return h("p", { class: "hint" }, "No request was sampled here: the stages' own times are not known.");
  }
  const total = known.reduce((all, { own }) => all + own.mean, 0);
  const told = known.map(({ stage, own }) => `${stage.name} ${duration(own.mean)}`).join(", ");
  return h("div", { class: "strip", role: "img", "aria-label": `Own time of each stage: ${told}` },
    known.map(({ index, own }) => h("span", {
      class: `piece hue-${index % HUES}`, style: { "--share": total > 0 ? own.mean / total : 0 },
    })));
}

/**
 * The flame: a row for each stage, from the first to the last. A row begins where the own times of the stages before
 * end, and reaches to the end of the chain: dark is the stage's own time, light is what comes after it.
 */
export function flame(pipeline, samples, traces) {
  const rows = owns(pipeline, samples);
  const total = rows.reduce((all, { own }) => all + (own?.mean ?? 0), 0);
  if (!rows.some(({ own }) => own !== null)) {
    return h("p", { class: "hint" }, unsampled(traces));
  }
  let before = 0;
  const drawn = rows.map(({ stage, index, own }) => {
    const [start, share] = total > 0 ? [before / total, (own?.mean ?? 0) / total] : [0, 0];
    before += own?.mean ?? 0;
    return h("li", { class: `flame-row hue-${index % HUES}` },
      h("span", { class: "name" }, stage.name),
      h("span", { class: "track", "aria-hidden": "true" },
        h("span", { class: "rest", style: { "--from": start, "--share": 1 - start } }),
        h("span", { class: "bar", style: { "--from": start, "--share": share } })),
      h("span", { class: "value" }, own === null ? "not sampled" : `${duration(own.mean)} · ${percent(share)}`));
  });
  const late = rows.filter(({ own }) => own?.late);
  const seen = Math.max(...rows.map(({ own }) => own?.requests ?? 0));
  const note = late.length > 0
    ? `Means of ${counted(seen, "sampled request")} of the last ten seconds.`
    : `Means of ${counted(seen, "sampled request")} since the start: of late there were too few.`;
  const mixed = late.length > 0 && late.length < rows.filter(({ own }) => own !== null).length;
  return [
    h("ol", { class: "flame", "aria-label": "Own time of each stage" }, drawn),
    h("p", { class: "hint" }, `Together ${duration(total)}. ${note}`,
      mixed && " Stages with too few of them show the mean since the start."),
  ];
}

/** Why nothing was sampled, and what to do. */
function unsampled(traces) {
  if (!traces.stages) {
    return "Stages are not observed: telemetry.stages is off.";
  }
  return traces.sample > 0
    ? `No request of this pipeline was sampled yet; telemetry.sample is ${percent(traces.sample)}.`
    : "No request is sampled: telemetry.sample is 0.";
}
