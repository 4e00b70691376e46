// A form that asks for the trace of the next request that matches, and waits for it.

import { h } from "./dom.js";
import { change, look } from "./client.js";

/** Seconds that a request has to come and to be over. */
const TIME = 60;
/** The time between two questions whether it is. */
const AGAIN_MS = 500;

const FIELDS = [["method", "Method", "any"], ["host", "Host", "any"], ["path", "Path begins with", "/"]];

/** What is waited for: `{ state }`, with one word; or why that ended: `{ failure }`. `null` before. */
let waiting = null;

/** `done` is called with the trace. */
export function watchForm(store, app, done) {
  if (!store.mayChange) {
    return null;
  }
  const submit = (event) => {
    event.preventDefault();
    wait(wanted(new FormData(event.target)), app, done);
  };
  const stop = () => {
    waiting = null;
    app.draw();
  };
  const waits = waiting?.state !== undefined;
  return h("form", { class: "tools watch", "aria-label": "Trace the next request", onsubmit: submit },
    FIELDS.map(([name, label, hint]) => h("label", null, `${label} `,
      h("input", {
        name, type: "text", placeholder: hint, autocomplete: "off", spellcheck: "false", disabled: waits,
      }))),
    h("span", { class: "buttons" },
      h("button", { type: "submit", disabled: waits }, "Trace the next request"),
      waits && h("button", { type: "button", onclick: stop }, "Stop waiting")),
    h("p", { class: waiting?.failure ? "error" : "hint", role: "status" }, told()));
}

/** What is given, as the gateway takes it. */
function wanted(form) {
  const given = FIELDS.map(([name]) => [name, String(form.get(name) ?? "").trim()]).filter(([, text]) => text !== "");
  return Object.fromEntries(given.map(([name, text]) => [name, name === "method" ? text.toUpperCase() : text]));
}

function told() {
  if (waiting === null) {
    return "Each stage that it meets is looked at, whatever the sample says. Secrets and bodies are not shown.";
  }
  const { failure, state } = waiting;
  if (failure !== undefined) {
    return failure;
  }
  return {
    preparing: "The gateway makes ready to look at the stages…",
    armed: `Waiting for a request that matches, for ${TIME} seconds at most…`,
    taken: "A request is under way…",
  }[state];
}

async function wait(match, app, done) {
  const mine = { state: "preparing" };
  waiting = mine;
  app.draw();
  try {
    const { watch } = await change("/-/traces", { match, timeout: TIME });
    while (waiting === mine) {
      const answer = await look(`/traces/next/${encodeURIComponent(watch)}`);
      if (answer.state === undefined) {
        if (waiting === mine) {
          waiting = null;
          done(answer);
        }
        return;
      }
      if (mine.state !== answer.state) {
        mine.state = answer.state;
        app.draw();
      }
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  } catch (failure) {
    if (waiting === mine) {
      const late = failure.status === 404;
      const why = late ? "No request that matches came to its end in time." : `That failed: ${failure.message}.`;
      waiting = { failure: why };
      app.draw();
    }
  }
}
