// The page's frame: which view is shown, the navigation around it, the language.

import { followMailedLink, forgot, logIn, logOut, register, reset } from "./account.js";
import { editPackage, newPackage, adminPackages } from "./admin-packages.js";
import { adminReports } from "./admin-reports.js";
import { adminSync } from "./admin-sync.js";
import { adminUsers } from "./admin-users.js";
import { LoggedOutError, ProblemError, get } from "./api.js";
import { h } from "./dom.js";
import { LANGUAGES, chooseLanguage, language, t } from "./i18n.js";
import { movies } from "./movies.js";
import { attempt, clear, complain } from "./notices.js";
import { packages } from "./packages.js";
import { actionButton } from "./parts.js";
import { explanation } from "./problems.js";
import { report } from "./report.js";
import { again, here, link, moveTo } from "./router.js";
import * as session from "./session.js";
import { watched } from "./watched.js";

const FOR_ANYONE = { login: logIn, register, forgot, reset };
const FOR_USERS = { movies, packages, watched, report };
const FOR_ADMINS = {
  "admin/packages": adminPackages,
  "admin/packages/new": newPackage,
  "admin/users": adminUsers,
  "admin/sync": adminSync,
  "admin/reports": adminReports,
};
const PACKAGE = /^admin\/packages\/([0-9a-f-]{36})$/;

const main = document.getElementById("main");
// Only the newest call of `show` may put something on the page.
let shows = 0;
let shownHash = null;

/** The view at `path`, or null when there is none for this person. */
function viewAt(path) {
  if (Object.hasOwn(FOR_ANYONE, path)) return FOR_ANYONE[path];
  if (Object.hasOwn(FOR_USERS, path)) return FOR_USERS[path];
  if (session.me?.role !== "admin") return null;
  if (Object.hasOwn(FOR_ADMINS, path)) return FOR_ADMINS[path];
  const match = PACKAGE.exec(path);
  return match ? () => editPackage(match[1]) : null;
}

function navigationLink(path, text) {
  const at = here().path;
  const isCurrent = at === path || (path === "admin/packages" && at.startsWith("admin/packages/"));
  return h("li", {}, h("a", { href: link(path), "aria-current": isCurrent ? "page" : null }, text));
}

function navigation() {
  if (!session.me) return null;
  const own = Object.keys(FOR_USERS).map((path) => navigationLink(path, t(`nav.${path}`)));
  const admin = ["packages", "users", "sync", "reports"].map((name) => navigationLink(`admin/${name}`, t(`nav.admin-${name}`)));
  return [
    h("nav", { "aria-label": t("nav.label") }, h("ul", {}, own)),
    session.me.role === "admin" ? h("nav", { class: "admin", "aria-label": t("nav.admin-label") }, h("ul", {}, admin)) : null,
  ];
}

function languageSwitch() {
  const control = h(
    "select",
    { id: "language", onchange: () => { chooseLanguage(control.value); clear(); void show({ focus: "language" }); } },
    // Each language in its own words: who cannot read the page must still find theirs.
    Object.entries(LANGUAGES).map(([name, { name: text }]) => h("option", { value: name, lang: name, selected: name === language }, text)),
  );
  return h("div", { class: "language" }, h("label", { class: "unseen", for: "language" }, t("language")), control);
}

function frame() {
  document.documentElement.lang = language;
  document.getElementById("skip").textContent = t("skip");
  const who = session.me
    ? h("div", { class: "who" }, h("span", { class: "me" }, session.me.name), actionButton(t("logout"), logOut))
    : h("div", { class: "who" }, here().path === "login" ? h("a", { href: link("register") }, t("register.title")) : h("a", { href: link("login") }, t("login.title")));
  document.getElementById("top").replaceChildren(
    h("div", { class: "bar" }, h("a", { class: "brand", href: "#/" }, h("img", { src: "/web/icon.svg", alt: "", width: 28, height: 28 }), t("brand")), languageSwitch(), who),
    ...[navigation() ?? []].flat().filter(Boolean),
  );
  document.getElementById("bottom").replaceChildren(
    h("p", { lang: "en" }, "This product uses TMDB and the TMDB APIs but is not endorsed, certified, or otherwise approved by TMDB."),
    h("p", {}, t("footer.logo"), " ", h("a", { href: "https://www.themoviedb.org/", rel: "noreferrer" }, "themoviedb.org")),
    h("p", {}, h("a", { href: "/docs" }, t("footer.docs")), " · ", h("a", { href: "/docs/problems" }, t("footer.problems"))),
  );
}

/** Put a view on the page: its heading, and what it says. */
function put({ title, lead, body }, focus) {
  const heading = h("h1", { tabindex: "-1" }, title);
  main.replaceChildren(h("div", { class: "heading" }, heading, lead ? h("p", { class: "lead" }, lead) : ""), ...[body].flat(Infinity).filter(Boolean));
  document.title = `${title} – ${t("brand")}`;
  if (focus === "heading") {
    // A new view is read from its heading, as a newly loaded page is.
    heading.focus({ preventScroll: true });
    scrollTo(0, 0);
  } else if (focus) {
    document.getElementById(focus)?.focus();
  }
}

function failure(error) {
  if (!(error instanceof ProblemError)) throw error;
  return {
    title: t("error.title"),
    body: h("div", { class: "nothing", role: "alert" }, h("p", {}, explanation(error)), h("button", { type: "button", onclick: again }, t("error.again"))),
  };
}

async function made(path) {
  const view = viewAt(path);
  if (view === null) return { title: t("missing.title"), body: h("p", {}, t("missing.text"), " ", h("a", { href: "#/" }, t("missing.home"))) };
  try {
    return await view();
  } catch (error) {
    if (error instanceof LoggedOutError) throw error;
    return failure(error);
  }
}

async function show({ focus } = {}) {
  shows += 1;
  const mine = shows;
  const { path } = here();
  if (!session.me && !Object.hasOwn(FOR_ANYONE, path)) return moveTo("login", { next: path });
  frame();
  main.setAttribute("aria-busy", "true");
  try {
    const view = await made(path);
    if (mine === shows) put(view, focus);
  } catch (error) {
    if (mine === shows) complain(error);
  } finally {
    if (mine === shows) main.removeAttribute("aria-busy");
  }
}

function routed() {
  if (here().path === "") {
    moveTo(session.me ? "movies" : "login");
    return;
  }
  // Being led on from the bare address is no change of view: the first Tab still belongs to the skip link.
  const isElsewhere = shownHash !== null && location.hash !== shownHash;
  // Messages belong to the view on which they came; actions tell theirs after they have moved on.
  if (isElsewhere) clear();
  shownHash = location.hash;
  void show({ focus: isElsewhere ? "heading" : undefined });
}

async function start() {
  followMailedLink();
  frame();
  if (session.exists()) {
    await attempt(async () => {
      try {
        session.identify(await get("/v1/users/me"));
      } catch (error) {
        // Nobody needs to be told that last week's session has ended.
        if (!(error instanceof LoggedOutError)) throw error;
      }
    });
  }
  addEventListener("hashchange", routed);
  session.listen(() => {
    if (!session.exists()) again();
  });
  document.getElementById("skip").addEventListener("click", (event) => {
    // The address is the view's; the skip link must not change it.
    event.preventDefault();
    main.focus();
  });
  routed();
}

await start();
