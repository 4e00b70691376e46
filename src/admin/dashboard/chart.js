// A line over the last two minutes.

import { h } from "./dom.js";
import { HISTORY } from "./store.js";

const WIDTH = 240;
const HEIGHT = 48;

/** `points` are `{ at, … }` in the order of time, `value` takes a number of one, or `null`; `format` writes it. */
export function chart(label, points, value, format) {
  const known = points.filter((point) => Number.isFinite(value(point)));
  if (known.length < 2) {
    return h("div", { class: "chart" }, h("p", { class: "hint" }, `${label}: not enough is known yet.`));
  }
  const most = Math.max(...known.map(value));
  const now = points.at(-1).at;
  const x = ({ at }) => (WIDTH * (1 - (now - at) / HISTORY)).toFixed(1);
  const y = (point) => (HEIGHT - 2 - (most > 0 ? (value(point) / most) * (HEIGHT - 6) : 0)).toFixed(1);
  let line = "";
  let pen = "M";
  for (const point of points) {
    if (Number.isFinite(value(point))) {
      line += `${pen}${x(point)} ${y(point)}`;
      pen = "L";
    } else {
      pen = "M";
    }
  }
  const last = format(value(known.at(-1)));
  const told = `${label} in the last two minutes: at most ${format(most)}, ${last} now`;
  return h("figure", { class: "chart" },
    h("figcaption", null, h("span", null, label), h("span", { class: "hint" }, `at most ${format(most)}`)),
    h("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": told },
      h("path", { class: "floor", d: `M0 ${HEIGHT - 1}H${WIDTH}` }), h("path", { class: "line", d: line })));
}
