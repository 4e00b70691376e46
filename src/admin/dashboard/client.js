// The admin listener, asked. The token travels in a header, never in an address, which logs and histories keep.

/**
 * Where the token is kept: in this tab alone, which forgets it when it is closed. `localStorage` would hand it to every
 * later tab, for ever, and a cookie would be sent by itself, also for a request that another site's page has made.
 */
const KEY = "linkspan-admin-token";

/** The longest that an answer may take; a reload has two minutes at the gateway. */
const LOOK_MS = 15_000;
const CHANGE_MS = 130_000;

/** A request without the answer that was hoped for. */
export class Failure extends Error {
  /** `status` 0: there was no answer. `text` is what a refused reload says. */
  constructor(status, message, text) {
    super(message);
    this.status = status;
    this.text = text;
  }
}

export function setToken(token) {
  sessionStorage.setItem(KEY, token);
}

export function forgetToken() {
  sessionStorage.removeItem(KEY);
}

export function hasToken() {
  return sessionStorage.getItem(KEY) !== null;
}

/** The JSON at a path; a `Failure` otherwise. */
export function look(path) {
  return ask("GET", path, LOOK_MS);
}

/** Changes something, with `said` as JSON, and returns what the gateway says of it. */
export function change(path, said) {
  return ask("POST", path, CHANGE_MS, said);
}

async function ask(method, path, milliseconds, said) {
  const token = sessionStorage.getItem(KEY);
  let response;
  let body;
  try {
    response = await fetch(path, {
      method,
      headers: token === null ? {} : { authorization: `Bearer ${token}` },
      body: said === undefined ? null : JSON.stringify(said),
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      signal: AbortSignal.timeout(milliseconds),
    });
    body = await response.text();
  } catch (error) {
    const late = error.name === "TimeoutError";
    throw new Failure(0, late ? `no answer within ${milliseconds / 1000} s` : "the gateway can't be reached");
  }
  const json = parsed(body);
  if (!response.ok) {
    const said = json?.detail ?? json?.title ?? response.statusText;
    // It stands within sentences.
    throw new Failure(response.status, `${response.status}: ${String(said).replace(/\.$/, "")}`, json?.text);
  }
  if (json === undefined) {
    throw new Failure(response.status, `the answer of ${path} is no JSON`);
  }
  return json;
}

function parsed(body) {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
