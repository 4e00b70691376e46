// What is known of the gateway, and which pipelines have to be asked about for what is on the screen.

import { added, figures, WINDOW } from "./rates.js";
import { counted } from "./format.js";

/** Pipelines of a page; one page is what one request asks for. */
export const PAGE = 100;
/** Seconds of which the course of a pipeline's figures is kept. */
export const HISTORY = 120;
/** The most requests for pipelines of a filter in one round; the others have their turn in the next. */
const MOST_SPANS = 8;
/** Pipelines between two wanted ones that are cheaper to take along than to leave out. */
const GAP = 20;
/** What "since this page was opened" keeps. */
const MOST_EVENTS = 30;

export class Store {
  /** The last answer of `/overview`, without its pipelines. */
  overview = null;
  /** The last answers of `/generations`, `/traces` and `/version`. */
  generations = null;
  traces = null;
  version = null;
  /** Names of all pipelines of the live generation, in their order. */
  names = [];
  /** Since when there is no answer, and why; `null` while there is one. */
  trouble = null;
  /** What changed, the newest first. */
  events = [];
  /** Samples by the name of a pipeline, and by that of an upstream and its server. */
  #pipelines = new Map();
  #servers = new Map();
  /** The course of figures, by the name of a pipeline. */
  #courses = new Map();
  #turn = 0;
  #event = 0;

  /** The samples of a pipeline, the newest last; empty if it has not been asked about. */
  samples(name) {
    return this.#pipelines.get(name) ?? [];
  }

  /** How a pipeline's figures were of late: `{ at, rate, p99 }`, the newest last. */
  course(name) {
    return this.#courses.get(name) ?? [];
  }

  /** The newest state of a pipeline. */
  pipeline(name) {
    return this.samples(name).at(-1)?.of;
  }

  serverSamples(upstream, server) {
    return this.#servers.get(`${upstream} ${server}`) ?? [];
  }

  /** Whether the token may change something; yes, as long as nothing says otherwise. */
  get mayChange() {
    return this.version?.right !== "read-token";
  }

  takeOverview(answer) {
    const was = this.overview;
    const { pipelines, ...overview } = answer;
    if (was !== null && was.started !== overview.started) {
      this.#pipelines.clear();
      this.#servers.clear();
      this.#courses.clear();
      this.tell(overview.now, "The gateway was started again.");
    } else if (was !== null && was.generation !== overview.generation) {
      this.tell(overview.now, `Generation ${overview.generation} serves, in place of ${was.generation}.`);
    }
    if (was !== null && was.ready !== overview.ready) {
      this.tell(overview.now, overview.ready ? "The gateway is ready." : "The gateway is not ready: it drains.");
    }
    this.overview = overview;
    pipelines.forEach((pipeline, at) => {
      this.#takePipeline(overview.now, pipeline);
      this.names[overview.from + at] = pipeline.name;
    });
    for (const upstream of overview.upstreams) {
      for (const server of upstream.servers) {
        const key = `${upstream.name} ${server.server}`;
        const samples = added(this.#servers.get(key) ?? [], { at: overview.now, of: server });
        this.#servers.set(key, samples);
        this.#tellServer(overview.now, upstream.name, samples);
      }
    }
    this.#forget(overview.now);
  }

  #takePipeline(now, pipeline) {
    const samples = added(this.samples(pipeline.name), { at: now, of: pipeline });
    const before = this.samples(pipeline.name).at(-1)?.of;
    this.#pipelines.set(pipeline.name, samples);
    const { rate, p99 } = figures(samples, this.overview.buckets);
    const course = this.course(pipeline.name).filter(({ at }) => at > now - HISTORY && at < now);
    this.#courses.set(pipeline.name, [...course, { at: now, rate, p99: p99?.seconds ?? NaN }]);
    // Of the same chain only: another one begins with counters of its own.
    if (before === undefined || samples.length < 2) {
      return;
    }
    for (const [kind, number] of Object.entries(pipeline.traps)) {
      const more = number - (before.traps[kind] ?? 0);
      if (more > 0) {
        const what = kind === "trap" ? counted(more, "trap") : `${counted(more, "trap")} of the kind ${kind}`;
        this.tell(now, `${pipeline.name}: ${what}.`, "bad");
      }
    }
    pipeline.stages.forEach((stage, at) => {
      const open = stage.breaker?.open ?? false;
      if (open !== (before.stages[at].breaker?.open ?? false)) {
        const what = open ? "is open" : "is closed again";
        this.tell(now, `${pipeline.name}: the breaker of ${stage.name} ${what}.`, open ? "bad" : "good");
      }
    });
  }

  #tellServer(now, upstream, samples) {
    const [before, server] = samples.slice(-2).map((sample) => sample.of);
    if (server !== undefined && before.up !== server.up) {
      const what = server.up ? "is up again" : "is out";
      this.tell(now, `${upstream}: ${server.server} ${what}.`, server.up ? "good" : "bad");
    }
  }

  /** Leaves out what was not asked about for a while. */
  #forget(now) {
    for (const [name, course] of this.#courses) {
      if (now - course.at(-1).at > HISTORY) {
        this.#courses.delete(name);
      }
    }
    for (const table of [this.#pipelines, this.#servers]) {
      for (const [key, samples] of table) {
        if (now - samples.at(-1).at > 3 * WINDOW) {
          table.delete(key);
        }
      }
    }
  }

  takeGenerations(answer) {
    const last = (it) => it?.reloads?.at(-1) ?? null;
    const [was, is] = [last(this.generations), last(answer)];
    if (this.generations !== null && is?.result === "refused" && is.at !== was?.at) {
      this.tell(is.at, "A configuration was refused; see Generations.", "bad");
    }
    this.generations = answer;
    this.names = (answer.live?.pipelines ?? []).map((pipeline) => pipeline.name);
  }

  tell(at, text, tone = "") {
    this.#event += 1;
    this.events = [{ key: this.#event, at, text, tone }, ...this.events].slice(0, MOST_EVENTS);
  }

  /**
   * The questions that cover the pipelines at `places` of the configuration's order, `{ from, count }`. Scattered
   * places take more than one; beyond a bound, they take turns.
   */
  questions(places) {
    // Few pipelines are all asked about: no trap is missed in another view.
    if (places.length === 0 || (this.overview?.total ?? PAGE) <= PAGE) {
      return [{ from: 0, count: PAGE }];
    }
    const spans = [];
    for (const place of [...places].sort((a, b) => a - b)) {
      const last = spans.at(-1);
      if (last !== undefined && place < last.from + last.count + GAP && place - last.from < PAGE) {
        last.count = Math.max(last.count, place - last.from + 1);
      } else {
        spans.push({ from: place, count: 1 });
      }
    }
    if (spans.length <= MOST_SPANS) {
      return spans;
    }
    const first = this.#turn % spans.length;
    this.#turn = first + MOST_SPANS;
    return [...spans, ...spans].slice(first, first + MOST_SPANS);
  }
}
