// Places of this page: what stands behind the `#`, so that a view has an address and the browser's way back works.

/** The address of a view and what it shows of it. */
export function link(...parts) {
  return `#/${parts.map((part) => encodeURIComponent(part)).join("/")}`;
}

/** The parts of the current address. */
export function parts() {
  const text = location.hash.replace(/^#\/?/, "");
  return text.split("/").filter((part) => part !== "").map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      // Somebody wrote it by hand.
      return part;
    }
  });
}
