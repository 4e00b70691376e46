// Asks before something is changed, then shows what became of it.

import { h, render } from "./dom.js";

const dialog = document.getElementById("confirm");
const [title, text, result, no, yes] =
  ["title", "text", "result", "no", "yes"].map((name) => document.getElementById(`confirm-${name}`));

/** What a refusal means. After other failures, the gateway may have done it all the same. */
const WORDS = { 401: "Not allowed.", 403: "Not allowed.", 422: "Refused: nothing was changed." };

/** `run` does it, and returns what to say; its failure is said, too. */
export function confirm({ title: heading, text: explained, action, run }) {
  title.textContent = heading;
  text.textContent = explained;
  yes.textContent = action;
  no.textContent = "Cancel";
  yes.hidden = false;
  yes.disabled = false;
  render(result);
  no.onclick = () => dialog.close();
  yes.onclick = async () => {
    yes.disabled = true;
    no.textContent = "Close";
    render(result, h("p", null, "Under way…"));
    try {
      tell("Done.", "good", await run());
    } catch (failure) {
      tell(WORDS[failure.status] ?? "That did not succeed.", "bad", failure.text ?? failure.message);
    }
    yes.hidden = true;
    no.focus();
  };
  dialog.showModal();
  // Nothing is changed by a key that was meant for something else.
  no.focus();
}

function tell(word, tone, said) {
  render(result, h("p", { class: `outcome ${tone}` }, word), h("pre", { tabindex: 0, "aria-label": "Result" }, said));
}
