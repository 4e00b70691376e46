// From counters that only grow to rates, shares and quantiles. Pure functions of answers of `/overview`.

/** Seconds over which rates are taken: short enough to follow, long enough for a quantile of few requests. */
export const WINDOW = 10;

/** A mean of fewer observed requests than this says little: then that since the start is shown. */
const ENOUGH = 5;

/** `samples` with one more, `{ at, of }`, without those that can no longer be compared with it. */
export function added(samples, sample) {
  const last = samples.at(-1);
  if (last !== undefined && sample.at <= last.at) {
    return samples;
  }
  const from = sample.at - WINDOW - 0.5;
  return [...samples.filter((old) => old.at >= from && comparable(old.of, sample.of)), sample];
}

/** Whether a pipeline is the same chain, and its counters have not begun anew. */
function comparable(older, newer) {
  const names = (it) => (it.stages ?? []).map((stage) => `${stage.name} ${stage.digest}`).join("\n");
  return older.requests <= newer.requests && names(older) === names(newer);
}

/** The oldest and the newest of a list of samples; `null` before there are two. */
function ends(samples) {
  return samples.length < 2 ? null : [samples[0], samples.at(-1)];
}

/** What a pipeline did of late. Each number is NaN while it is not known. */
export function figures(samples, buckets) {
  const two = ends(samples);
  if (two === null) {
    return { rate: NaN, errorRate: NaN, errors: NaN, refused: NaN, p50: null, p99: null };
  }
  const [older, newer] = two;
  const seconds = newer.at - older.at;
  const grown = (name) => newer.of[name] - older.of[name];
  const requests = grown("requests");
  const counts = minus(newer.of.durations, older.of.durations);
  return {
    rate: requests / seconds,
    errorRate: grown("errors") / seconds,
    // Without requests, there is no share of them.
    errors: grown("errors") / requests,
    refused: grown("refused") / requests,
    p50: quantile(counts, buckets, 0.5),
    p99: quantile(counts, buckets, 0.99),
  };
}

/** How often a counter at `name` of a sampled thing went up in a second. */
export function growth(samples, name) {
  const two = ends(samples);
  return two === null ? NaN : (two[1].of[name] - two[0].of[name]) / (two[1].at - two[0].at);
}

function minus(newer, older) {
  return newer.map((count, at) => count - (older?.[at] ?? 0));
}

/**
 * The quantile of a histogram whose counts are of one bucket each: `{ seconds, beyond }`, where `beyond` says that it
 * is above the last bound. Within a bucket, requests count as spread evenly, as Prometheus does it.
 */
export function quantile(counts, bounds, share) {
  const total = sum(counts);
  if (total <= 0) {
    return null;
  }
  let before = 0;
  for (let at = 0; at < bounds.length; at++) {
    const through = before + counts[at];
    if (through >= share * total && counts[at] > 0) {
      const low = at === 0 ? 0 : bounds[at - 1];
      return { seconds: low + ((bounds[at] - low) * (share * total - before)) / counts[at], beyond: false };
    }
    before = through;
  }
  return { seconds: bounds.at(-1), beyond: true };
}

/**
 * The own time of the stage at `index`: its mean, of how many observed requests, whether of late or since the start;
 * `null` if no request was observed there.
 */
export function ownTime(samples, index) {
  const now = samples.at(-1)?.of.stages[index]?.observed;
  if (!now || now.requests === 0) {
    return null;
  }
  const before = samples[0].of.stages[index]?.observed ?? { requests: 0, "own-sum": 0 };
  const requests = now.requests - before.requests;
  if (samples.length > 1 && requests >= ENOUGH) {
    return { mean: (now["own-sum"] - before["own-sum"]) / requests, requests, late: true };
  }
  return { mean: now["own-sum"] / now.requests, requests: now.requests, late: false };
}

/** The sum of a list, or of the values of a table. */
export function sum(numbers) {
  return Object.values(numbers ?? {}).reduce((all, one) => all + one, 0);
}

/** All traps of a pipeline. */
export function traps(pipeline) {
  return sum(pipeline.traps);
}
