// Log in, register, recover the password.

import { LoggedOutError, ask, call, get } from "./api.js";
import { h } from "./dom.js";
import { field, form } from "./forms.js";
import { t } from "./i18n.js";
import { inform, tell } from "./notices.js";
import { go, here, link } from "./router.js";
import * as session from "./session.js";

const NEW_PASSWORD = { type: "password", autocomplete: "new-password", required: true, maxlength: 128 };

function beside(content) {
  return h(
    "div",
    { class: "welcome" },
    h("section", { class: "card" }, content),
    h(
      "section",
      { class: "pitch", "aria-label": t("brand") },
      h("p", { class: "display", "aria-hidden": true }, t("pitch.title")),
      h("p", {}, t("pitch.text")),
      h("p", { class: "small" }, h("a", { href: "/docs" }, t("pitch.api"))),
    ),
  );
}

async function enter(email, password) {
  session.begin(await ask("POST", "/v1/auth/login", { email, password }));
  session.identify(await get("/v1/users/me"));
}

/** Log in. `next` in the address is where the person wanted to go. */
export function logIn() {
  const next = here().query.get("next");
  const element = form({
    label: t("login.submit"),
    fields: [
      field({ name: "email", label: t("email"), type: "email", autocomplete: "username", required: true }),
      field({ name: "password", label: t("password"), type: "password", autocomplete: "current-password", required: true }),
    ],
    submit: async (values) => {
      await enter(values.get("email"), values.get("password"));
      // Only a view of ours: an address from elsewhere must not decide where somebody is led.
      go(next && /^[a-z/-]+$/.test(next) ? next : "movies");
    },
  });
  return {
    title: t("login.title"),
    body: beside([
      element,
      h("p", { class: "small" }, h("a", { href: link("forgot") }, t("login.forgot"))),
      h("p", { class: "small" }, t("login.new"), " ", h("a", { href: link("register") }, t("register.title"))),
    ]),
  };
}

export function register() {
  const element = form({
    label: t("register.submit"),
    fields: [
      field({ name: "name", label: t("name"), autocomplete: "name", required: true, maxlength: 100 }),
      field({ name: "email", label: t("email"), type: "email", autocomplete: "username", required: true }),
      field({ name: "password", label: t("password"), hint: t("password.hint"), ...NEW_PASSWORD }),
    ],
    submit: async (values) => {
      const person = Object.fromEntries(values);
      await ask("POST", "/v1/users", person);
      await enter(person.email, person.password);
      go("packages");
      tell(t("register.done", { name: person.name }));
    },
  });
  return {
    title: t("register.title"),
    body: beside([element, h("p", { class: "small" }, t("register.known"), " ", h("a", { href: link("login") }, t("login.title")))]),
  };
}

export function forgot() {
  const element = form({
    label: t("forgot.submit"),
    fields: [field({ name: "email", label: t("email"), hint: t("forgot.hint"), type: "email", autocomplete: "username", required: true })],
    submit: async (values, sent) => {
      await ask("POST", "/v1/auth/password/forgot", { email: values.get("email") });
      const answer = h("p", { tabindex: "-1" }, t("forgot.done"));
      sent.replaceWith(answer);
      answer.focus();
    },
  });
  return {
    title: t("forgot.title"),
    body: beside([element, h("p", { class: "small" }, h("a", { href: link("login") }, t("forgot.back")))]),
  };
}

// The mail's link is `/reset-password#token=…`. The token is taken out of the address at once, so that it is neither
// shown nor kept in the browser's history.
let resetToken = null;

/** If the page was opened by the link of the mail, go on at the view for it. */
export function followMailedLink() {
  const match = /^#token=(.+)$/.exec(location.hash);
  if (location.pathname === "/reset-password") history.replaceState(null, "", match ? "/#/reset" : "/#/forgot");
  if (match) resetToken = decodeURIComponent(match[1]);
}

export function reset() {
  if (resetToken === null) return { title: t("reset.title"), body: beside(h("p", {}, t("reset.no-link"), " ", h("a", { href: link("forgot") }, t("forgot.title")))) };
  const element = form({
    label: t("reset.submit"),
    fields: [field({ name: "newPassword", label: t("reset.password"), hint: t("password.hint"), ...NEW_PASSWORD })],
    submit: async (values) => {
      await ask("POST", "/v1/auth/password/reset", { token: resetToken, newPassword: values.get("newPassword") });
      resetToken = null;
      session.end();
      go("login");
      tell(t("reset.done"));
    },
  });
  return { title: t("reset.title"), body: beside([element, h("p", { class: "small" }, h("a", { href: link("forgot") }, t("reset.again")))]) };
}

/** End the session on the server and here. */
export async function logOut() {
  try {
    await call("POST", "/v1/auth/logout");
  } catch (error) {
    // It had ended already; that is what was wanted.
    if (!(error instanceof LoggedOutError)) throw error;
  } finally {
    // Whatever the server said: who wants to leave is not shown anything any more.
    session.endEverywhere();
    go("login");
  }
  inform(t("logout.done"));
}
