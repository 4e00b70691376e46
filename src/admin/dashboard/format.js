// Numbers as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const three = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const clocks = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** What stands where nothing is known. */
export const NONE = "–";

export function count(number) {
  return Number.isFinite(number) ? whole.format(number) : NONE;
}

/** A number that need not be whole. */
export function number(it) {
  return Number.isFinite(it) ? significant(it) : NONE;
}

/** `one pipeline`, `3 pipelines`. */
export function counted(number, noun, plural = `${noun}s`) {
  return `${count(number)} ${number === 1 ? noun : plural}`;
}

export function rate(perSecond) {
  return Number.isFinite(perSecond) ? `${significant(perSecond)}/s` : NONE;
}

export function percent(share) {
  return Number.isFinite(share) ? `${significant(share * 100)} %` : NONE;
}

/** A length of time, in seconds. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) {
    return NONE;
  }
  const size = Math.abs(seconds);
  if (size === 0) {
    return "0 s";
  }
  for (const [unit, factor] of [["ns", 1e9], ["µs", 1e6], ["ms", 1e3]]) {
    // Half a step below 1,000, so that 999.9 µs are 1 ms.
    if (size * factor < 999.5) {
      return `${significant(seconds * factor)} ${unit}`;
    }
  }
  return size < 120 ? `${significant(seconds)} s` : long(size);
}

function long(seconds) {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) {
    return `${minutes} min`;
  }
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function bytes(number) {
  if (!Number.isFinite(number)) {
    return NONE;
  }
  let [size, unit] = [number, "B"];
  for (const next of ["KiB", "MiB", "GiB", "TiB"]) {
    if (size < 1000) {
      break;
    }
    [size, unit] = [size / 1024, next];
  }
  return `${significant(size)} ${unit}`;
}

/** The time of day, in the reader's zone, of a unix time in seconds. */
export function clock(unix) {
  return Number.isFinite(unix) ? clocks.format(new Date(unix * 1000)) : NONE;
}

function significant(number) {
  return Math.abs(number) >= 1000 ? whole.format(number) : three.format(number);
}
