// Packages to subscribe to, and one's own subscriptions.

import { call, everything, page } from "./api.js";
import { h } from "./dom.js";
import { field, form } from "./forms.js";
import { day, t } from "./i18n.js";
import { tell } from "./notices.js";
import { actionButton, exchange, genreLabels, nothing, pager } from "./parts.js";
import { go, here, link } from "./router.js";
import { me } from "./session.js";

function standing(pack, subscription) {
  if (!subscription) return pack.status === "archived" ? h("p", { class: "badge" }, t("package.archived")) : null;
  const since = t("package.subscribed", { version: subscription.packageVersion, day: day(subscription.createdAt) });
  return h("p", { class: "badge good" }, since);
}

function missing(pack, subscription) {
  const held = new Set(subscription.genres.map((genre) => genre.id));
  return pack.genres.filter((genre) => !held.has(genre.id)).map((genre) => genre.name);
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
          { "data-key": "upgrade", title: gained.length ? t("package.gains", { genres: gained.join(", ") }) : null },
        ),
      );
    }
    buttons.push(
      actionButton(
        t("package.unsubscribe"),
        async () => {
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
    h("h2", {}, pack.name),
    standing(pack, subscription) ?? "",
    pack.description ? h("p", {}, pack.description) : "",
    genreLabels(subscription ? subscription.genres : pack.genres),
    h("div", { class: "buttons" }, buttons),
  );
  return element;
}

export async function packages() {
  const { query } = here();
  const name = query.get("name") ?? "";
  // An administrator is shown everybody's subscriptions unless told whose.
  const whose = me.role === "admin" ? { userId: me.id } : {};
  const [offered, subscriptions] = await Promise.all([
    page("/v1/packages", { name, status: name ? null : "active", pageNumber: query.get("page") ?? 1, pageSize: 12 }),
    everything("/v1/subscriptions", { status: "active", ...whose }),
  ]);
  const mine = new Map(subscriptions.map((subscription) => [subscription.package.id, subscription]));
  const shown = new Set(offered.data.map((pack) => pack.id));
  const archived = offered.pagination.firstPage && !name ? await heldOnly(subscriptions, shown) : [];
  const search = form({
    role: "search",
    class: "search",
    label: t("search"),
    fields: [field({ name: "name", label: t("package.search"), type: "search", value: name })],
    submit: (values) => go("packages", { name: values.get("name") }),
  });
  const list = [...offered.data, ...archived];
  return {
    title: t("packages.title"),
    lead: t("packages.lead"),
    body: [
      search,
      list.length
        ? h("ul", { class: "cards" }, list.map((pack) => card(pack, mine.get(pack.id))))
        : nothing(t("packages.none"), me.role === "admin" ? t("packages.none-admin") : t("packages.none-user"),
            me.role === "admin" ? h("a", { class: "button primary", href: link("admin/packages/new") }, t("admin.new-package")) : null),
      pager(offered),
    ],
  };
}

/** Archived packages that the person still holds: they are in no list of what is on offer. */
async function heldOnly(subscriptions, shown) {
  if (subscriptions.every((subscription) => shown.has(subscription.package.id))) return [];
  const held = new Set(subscriptions.map((subscription) => subscription.package.id));
  return (await everything("/v1/packages", { status: "archived" })).filter((pack) => held.has(pack.id));
}
