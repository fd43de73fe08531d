// Packages to subscribe to, and one's own subscriptions.

import { call, everything, get, page } from "./api.js";
import { h } from "./dom.js";
import { field, form } from "./forms.js";
import { day, list, named, t } from "./i18n.js";
import { tell } from "./notices.js";
import { actionButton, confirmed, exchange, genreLabels, nothing, pager } from "./parts.js";
import { go, here, link } from "./router.js";
import { me } from "./session.js";

const MOST_SHOWN = 24;

function standing(pack, subscription) {
  if (!subscription) return pack.status === "archived" ? h("p", { class: "badge" }, t("package.archived")) : null;
  const since = t("package.subscribed", { version: subscription.packageVersion, day: day(subscription.createdAt) });
  return h("p", { class: "badge good" }, since);
}

function missing(pack, subscription) {
  const held = new Set(subscription.genres.map((genre) => genre.id));
  return named(pack.genres.filter((genre) => !held.has(genre.id))).map((genre) => genre.name);
}

function card(pack, subscription) {
  const element = h("li", { class: "card package" });
  const show = (latest) => exchange(element, card(pack, latest));
  const buttons = [];
  if (subscription) {
    if (subscription.packageVersion < pack.version && pack.status === "active") {
      const gained = missing(pack, subscription);
      buttons.push(
        actionButton(
          t("package.upgrade", { version: pack.version }),
          async () => {
            show(await call("POST", `/v1/subscriptions/${subscription.id}/upgrade`));
            tell(t("package.upgraded", { name: pack.name, version: pack.version }));
          },
          { "data-key": "upgrade", title: gained.length ? t("package.gains", { genres: list(gained) }) : null },
        ),
      );
    }
    buttons.push(
      actionButton(
        t("package.unsubscribe"),
        async () => {
          // Subscribing again gives the newest version, and of what is no longer on offer none at all.
          const isLost = pack.status === "archived" || subscription.packageVersion < pack.version;
          const question = t("package.unsubscribe-question", { name: pack.name });
          if (isLost && !(await confirmed(question, t("package.unsubscribe-text"), t("package.unsubscribe")))) return;
          await call("DELETE", `/v1/subscriptions/${subscription.id}`);
          show(null);
          tell(t("package.unsubscribed", { name: pack.name }));
        },
        { "data-key": "subscription", "aria-label": t("package.unsubscribe-from", { name: pack.name }) },
      ),
    );
  } else if (pack.status === "active") {
    buttons.push(
      actionButton(
        t("package.subscribe"),
        async () => {
          show(await call("POST", "/v1/subscriptions", { packageId: pack.id }));
          tell(t("package.welcome", { name: pack.name }));
        },
        { class: "primary", "data-key": "subscription", "aria-label": t("package.subscribe-to", { name: pack.name }) },
      ),
    );
  }
  element.append(
    h("h3", {}, pack.name),
    standing(pack, subscription) ?? "",
    pack.description ? h("p", {}, pack.description) : "",
    genreLabels(subscription ? subscription.genres : pack.genres),
    h("div", { class: "buttons" }, buttons),
  );
  return element;
}

/** The newest of one's own: archived ones, too, which are in no list of what is on offer. */
async function held(subscriptions) {
  const newest = subscriptions.slice(0, MOST_SHOWN);
  return Promise.all(newest.map((subscription) => get(`/v1/packages/${subscription.package.id}`)));
}

function cards(packs, subscriptions) {
  return h("ul", { class: "cards" }, packs.map((pack) => card(pack, subscriptions.get(pack.id))));
}

export async function packages() {
  const { query } = here();
  const name = query.get("name") ?? "";
  // An administrator is shown everybody's subscriptions unless told whose.
  const whose = me.role === "admin" ? { userId: me.id } : {};
  const [found, subscriptions] = await Promise.all([
    page("/v1/packages", { name, status: name ? null : "active", pageNumber: query.get("page") ?? 1, pageSize: 12 }),
    everything("/v1/subscriptions", { status: "active", ...whose }),
  ]);
  const mine = new Map(subscriptions.map((subscription) => [subscription.package.id, subscription]));
  // A search looks through everything; without one, what is one's own comes first and is not shown twice.
  const own = !name && found.pagination.firstPage ? await held(subscriptions) : [];
  const others = name ? found.data : found.data.filter((pack) => !mine.has(pack.id));
  const search = form({
    role: "search",
    class: "search",
    label: t("search"),
    fields: [field({ name: "name", label: t("package.search"), type: "search", value: name })],
    submit: (values) => go("packages", { name: values.get("name") }),
  });
  const isAdmin = me.role === "admin";
  const create = isAdmin ? h("a", { class: "button primary", href: link("admin/packages/new") }, t("admin.new-package")) : null;
  return {
    title: t("packages.title"),
    lead: t("packages.lead"),
    body: [
      search,
      own.length ? h("section", { class: "shelf" }, h("h2", {}, t("packages.yours")), cards(own, mine)) : null,
      own.length && others.length ? h("h2", {}, t("packages.others")) : null,
      others.length ? cards(others, mine) : null,
      own.length || others.length ? null : nothing(t("packages.none"), t(isAdmin ? "packages.none-admin" : "packages.none-user"), create),
      pager(found),
    ],
  };
}
