// Messages to the person. The region is live: a screen reader reads what is put into it.

import { LoggedOutError, ProblemError } from "./api.js";
import { h } from "./dom.js";
import { t } from "./i18n.js";
import { explanation } from "./problems.js";
import { here, moveTo } from "./router.js";

const region = document.getElementById("notices");

function show(kind, content) {
  const close = h("button", { type: "button", class: "close", "aria-label": t("notice.close"), onclick: clear }, "×");
  region.replaceChildren(h("div", { class: `notice ${kind}` }, h("p", {}, content), close));
}

export function clear() {
  region.replaceChildren();
}

/** Say that something has been done. */
export function tell(text) {
  show("good", text);
}

/** Say what is to be known, neither good nor bad. */
export function inform(text) {
  show("plain", text);
}

/** Say what went wrong; an ended session leads to the log-in. Errors of our own go on to the console. */
export function complain(error) {
  if (error instanceof LoggedOutError) {
    const { path } = here();
    moveTo("login", path === "login" ? {} : { next: path });
    inform(t("login.ended"));
  } else if (error instanceof ProblemError) {
    show("bad", explanation(error));
  } else {
    show("bad", t("error.page"));
    throw error;
  }
}

/** Do something that may fail, and say so when it does. Whether it went well. */
export async function attempt(action) {
  try {
    await action();
    return true;
  } catch (error) {
    complain(error);
    return false;
  }
}
