// The view of upstreams: servers elsewhere, and which of them are well.

import { badge, leftOut, table } from "./parts.js";
import { h } from "./dom.js";
import { count, counted, rate } from "./format.js";
import { growth } from "./rates.js";

export function wanted() {
  return [];
}

export function view(store) {
  const { upstreams } = store.overview;
  return [
    h("div", { class: "title" }, h("h2", { tabindex: -1 }, "Upstreams")),
    h("p", { class: "hint" }, counted(upstreams.length, "upstream"), leftOut(store, "upstreams", "upstream")),
    upstreams.length === 0 && h("p", null, "No pipeline ends in an upstream."),
    h("ul", { class: "cards" }, upstreams.map((upstream) => card(store, upstream))),
  ];
}

function card(store, upstream) {
  const up = upstream.servers.filter((server) => server.up).length;
  const tone = up === 0 ? "bad" : up < upstream.servers.length ? "warn" : "good";
  const rows = upstream.servers.map((server) => {
    const samples = store.serverSamples(upstream.name, server.server);
    return {
      key: server.server,
      cells: [h("code", null, server.server), state(server), rate(growth(samples, "requests")),
        rate(growth(samples, "failures")), count(server.requests), count(server.failures)],
    };
  });
  const heads = ["Server", "State", "Requests", "Failures", "Requests in all", "Failures in all"];
  return h("li", { key: upstream.name, class: "card" },
    h("div", { class: "title" }, h("h3", null, upstream.name), h("span", { class: "badges" },
      badge(`${count(up)} of ${count(upstream.servers.length)} up`, tone))),
    table(`Servers of ${upstream.name}`, heads, rows));
}

function state(server) {
  return h("span", { class: "badges" },
    server.up ? badge("up", "good") : badge("out", "bad"),
    server.failing && badge("fails its checks", "bad"),
    server.ejected && badge("ejected", "warn"));
}
