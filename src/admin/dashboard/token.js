// Asks for the token, when the gateway wants one.

import { forgetToken, hasToken, setToken } from "./client.js";

const dialog = document.getElementById("token");
const form = dialog.querySelector("form");
const reason = document.getElementById("token-reason");

/** What a header can carry; everything else `fetch` refuses, without an answer of the gateway. */
const POSSIBLE = /^[\x21-\x7e]+$/;

/** Resolves when a token was given. The gateway says whether it is the right one. */
export function askForToken() {
  const first = !hasToken();
  reason.textContent = first ? "The gateway shows nothing without a token." : "The gateway did not take this token.";
  forgetToken();
  return new Promise((resolve) => {
    let isGiven = false;
    // There is nothing to see without it, so the dialog stays. Browsers close it at a second Escape, whatever `cancel`
    // says.
    dialog.oncancel = (event) => event.preventDefault();
    dialog.onclose = () => isGiven || dialog.showModal();
    form.onsubmit = (event) => {
      event.preventDefault();
      const given = form.elements.token.value.trim();
      if (!POSSIBLE.test(given)) {
        reason.textContent = "A token has visible ASCII characters only.";
        return;
      }
      setToken(given);
      isGiven = true;
      form.reset();
      dialog.close();
      resolve();
    };
    if (!dialog.open) {
      dialog.showModal();
    }
  });
}
