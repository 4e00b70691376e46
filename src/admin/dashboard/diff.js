// What differs between two lists of lines: the shortest edit, by Myers' algorithm.

import { h } from "./dom.js";

/** The most edits that are looked for. Texts that differ more are shown as replaced: the page must not stand still. */
const MOST_EDITS = 1500;
/** Equal lines around a difference that are shown. */
const CONTEXT = 3;
/** The most lines of a difference that are drawn. */
const MOST_ROWS = 3000;

/** Lines with `" "`, `"-"` (only in `before`) or `"+"` (only in `after`) in front: `[sign, line]`. */
export function diff(before, after) {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) {
    start += 1;
  }
  let end = 0;
  const most = Math.min(before.length, after.length) - start;
  while (end < most && before.at(-1 - end) === after.at(-1 - end)) {
    end += 1;
  }
  const same = (line) => [" ", line];
  return [
    ...before.slice(0, start).map(same),
    ...edits(before.slice(start, before.length - end), after.slice(start, after.length - end)),
    ...before.slice(before.length - end).map(same),
  ];
}

function edits(before, after) {
  const [n, m] = [before.length, after.length];
  // `reach[k]`: how far into `before` one gets on the diagonal k with so many edits; a copy for each number of edits.
  const rounds = [];
  let reach = new Map([[1, 0]]);
  for (let d = 0; d <= Math.min(n + m, MOST_EDITS); d++) {
    rounds.push(reach);
    const next = new Map();
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && (reach.get(k - 1) ?? -1) < (reach.get(k + 1) ?? -1));
      let x = down ? (reach.get(k + 1) ?? 0) : (reach.get(k - 1) ?? 0) + 1;
      while (x < n && x - k < m && before[x] === after[x - k]) {
        x += 1;
      }
      next.set(k, x);
      if (x >= n && x - k >= m) {
        return walk(before, after, rounds);
      }
    }
    reach = next;
  }
  return [...before.map((line) => ["-", line]), ...after.map((line) => ["+", line])];
}

/** From the end back to the start, along the way that was found. */
function walk(before, after, rounds) {
  const lines = [];
  let [x, y] = [before.length, after.length];
  for (let d = rounds.length - 1; d >= 0; d--) {
    const [reach, k] = [rounds[d], x - y];
    const down = k === -d || (k !== d && (reach.get(k - 1) ?? -1) < (reach.get(k + 1) ?? -1));
    const fromX = d === 0 ? 0 : (reach.get(down ? k + 1 : k - 1) ?? 0);
    const fromY = d === 0 ? 0 : fromX - (down ? k + 1 : k - 1);
    while (x > fromX && y > fromY) {
      [x, y] = [x - 1, y - 1];
      lines.push([" ", before[x]]);
    }
    if (d > 0) {
      lines.push(down ? ["+", after[fromY]] : ["-", before[fromX]]);
    }
    [x, y] = [fromX, fromY];
  }
  return lines.reverse();
}

/** A difference as rows, with what is equal left out but for a few lines around. */
export function diffRows(lines, label) {
  if (lines.every(([sign]) => sign === " ")) {
    return h("p", { class: "hint" }, "Nothing differs.");
  }
  const near = new Uint8Array(lines.length);
  lines.forEach(([sign], at) => {
    if (sign !== " ") {
      near.fill(1, Math.max(0, at - CONTEXT), at + CONTEXT + 1);
    }
  });
  const rows = [];
  let left = 0;
  const gap = () => {
    if (left > 0) {
      rows.push(h("li", { class: "gap" }, `${left} equal ${left === 1 ? "line" : "lines"}`));
      left = 0;
    }
  };
  for (let at = 0; at < lines.length && rows.length < MOST_ROWS; at++) {
    if (near[at] === 0) {
      left += 1;
      continue;
    }
    gap();
    rows.push(row(lines[at]));
  }
  gap();
  const cut = rows.length >= MOST_ROWS && h("p", { class: "hint" }, `The first ${MOST_ROWS} lines of the difference.`);
  return [h("ol", { class: "diff", tabindex: 0, "aria-label": label }, rows), cut];
}

function row([sign, line]) {
  const [tone, word] = { "-": ["gone", "removed: "], "+": ["new", "added: "] }[sign] ?? ["", ""];
  return h("li", { class: tone },
    h("span", { class: "sign", "aria-hidden": "true" }, sign), h("span", { class: "unseen" }, word), line);
}
