// From what the page should show to what it shows. Views say each second how all of it should be; only what differs is
// changed, so that focus, selections, scrolled places and what is read aloud stay.
//
// Whatever comes from the gateway becomes text nodes and attribute values, never markup: names of stages, paths and
// errors are written by strangers.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path"]);

/** What each node was last made of. */
const made = new WeakMap();

/**
 * An element that should be there. `key` tells it from its siblings; `on…` are handlers, `style` is a table of
 * properties (by the CSSOM: the content security policy has no inline styles), everything else is an attribute.
 */
export function h(tag, props, ...children) {
  const { key, ...rest } = props ?? {};
  return { tag, key, props: rest, children: flat(children) };
}

/** Makes the children of `parent` what `wanted` says. */
export function render(parent, ...wanted) {
  children(parent, flat(wanted));
}

function flat(nodes) {
  return nodes.flat(Infinity).filter((node) => node !== null && node !== undefined && node !== false);
}

function children(parent, wanted) {
  const keys = new Set(wanted.map((want) => want.key).filter((key) => key !== undefined));
  const keyed = new Map();
  for (const node of [...parent.childNodes]) {
    const key = made.get(node)?.key;
    if (key !== undefined && keys.has(key)) {
      keyed.set(key, node);
    } else if (key !== undefined) {
      // Before anything is moved: what stays then rarely moves, and what moves loses the focus.
      node.remove();
    }
  }
  let at = parent.firstChild;
  for (const want of wanted) {
    let node = want.key === undefined ? at : (keyed.get(want.key) ?? null);
    if (node === null || !fits(node, want)) {
      node = create(want);
    }
    if (node === at) {
      at = at.nextSibling;
    } else {
      parent.insertBefore(node, at);
    }
    update(node, want);
  }
  while (at !== null) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function fits(node, want) {
  if (typeof want !== "object") {
    return node.nodeType === Node.TEXT_NODE;
  }
  const was = made.get(node);
  return was !== undefined && was.tag === want.tag && was.key === want.key;
}

function create(want) {
  if (typeof want !== "object") {
    return document.createTextNode(String(want));
  }
  const node = SVG_TAGS.has(want.tag) ? document.createElementNS(SVG, want.tag) : document.createElement(want.tag);
  made.set(node, { tag: want.tag, key: want.key, props: {}, children: [] });
  return node;
}

function update(node, want) {
  if (typeof want !== "object") {
    const text = String(want);
    if (node.data !== text) {
      node.data = text;
    }
    return;
  }
  const was = made.get(node).props;
  for (const name of Object.keys(was)) {
    if (!(name in want.props)) {
      property(node, name, undefined, was[name]);
    }
  }
  for (const [name, value] of Object.entries(want.props)) {
    if (name === "style" || was[name] !== value) {
      property(node, name, value, was[name]);
    }
  }
  children(node, want.children);
  // After its children: a select has the value only once it has the option.
  const { value } = want.props;
  if (value !== undefined && value !== was.value && value !== node.value) {
    node.value = value;
  }
  made.set(node, want);
}

function property(node, name, value, was) {
  if (name.startsWith("on")) {
    node[name.toLowerCase()] = value ?? null;
  } else if (name === "style") {
    style(node, value ?? {}, was ?? {});
  } else if (name === "value") {
    // See `update`.
  } else if (name === "checked" || name === "disabled" || name === "open") {
    node[name] = value === true;
  } else if (name === "href" && !String(value).startsWith("#")) {
    throw new Error("a link leads to a place of this page");
  } else if (value === undefined || value === null || value === false) {
    node.removeAttribute(name);
  } else {
    node.setAttribute(name, value === true ? "" : String(value));
  }
}

function style(node, wanted, was) {
  for (const name of Object.keys(was)) {
    if (!(name in wanted)) {
      node.style.removeProperty(name);
    }
  }
  for (const [name, value] of Object.entries(wanted)) {
    if (was[name] !== value) {
      node.style.setProperty(name, String(value));
    }
  }
}
