// For administrators: the accounts, their roles, and closing them.

import { call, page } from "./api.js";
import { h } from "./dom.js";
import { choice, field, form } from "./forms.js";
import { day, t } from "./i18n.js";
import { tell } from "./notices.js";
import { actionButton, confirmed, exchange, nothing, pager, row, table } from "./parts.js";
import { go, here } from "./router.js";
import { me } from "./session.js";

const ROLES = ["user", "admin"];
const SORTS = ["createdAt", "-createdAt", "email", "name"];

function userRow(user) {
  const change = async (body, text) => {
    const saved = await call("PATCH", `/v1/users/${user.id}`, body);
    exchange(element, userRow(saved));
    tell(text);
  };
  const isAdmin = user.role === "admin";
  const isActive = user.status === "active";
  const name = { name: user.name };
  const role = actionButton(
    isAdmin ? t("users.make-user") : t("users.make-admin"),
    async () => {
      if (isAdmin || (await confirmed(t("users.admin-question", name), t("users.admin-text"), t("users.make-admin")))) {
        await change({ role: isAdmin ? "user" : "admin" }, t(isAdmin ? "users.is-user" : "users.is-admin", name));
      }
    },
    { "data-key": "role", "aria-label": t(isAdmin ? "users.make-user-this" : "users.make-admin-this", name) },
  );
  const status = actionButton(
    isActive ? t("users.disable") : t("users.enable"),
    async () => {
      if (!isActive || (await confirmed(t("users.disable-question", name), t("users.disable-text"), t("users.disable")))) {
        await change({ status: isActive ? "disabled" : "active" }, t(isActive ? "users.disabled" : "users.enabled", name));
      }
    },
    { "data-key": "status", "aria-label": t(isActive ? "users.disable-this" : "users.enable-this", name) },
  );
  const element = row(
    [user.name, user.id === me.id ? h("small", {}, ` ${t("users.you")}`) : ""],
    user.email,
    t(`role.${user.role}`),
    h("span", { class: isActive ? "badge good" : "badge bad" }, t(`account.${user.status}`)),
    h("time", { datetime: user.createdAt }, day(user.createdAt)),
    h("div", { class: "buttons" }, role, status),
  );
  return element;
}

export async function adminUsers() {
  const { query } = here();
  const asked = Object.fromEntries(["q", "role", "status", "sort"].map((name) => [name, query.get(name) ?? ""]));
  const found = await page("/v1/users", { ...asked, pageNumber: query.get("page") ?? 1, pageSize: 20 });
  const any = (key, values) => [["", t("any")], ...values.map((value) => [value, t(`${key}.${value}`)])];
  const search = form({
    role: "search",
    class: "search",
    label: t("search"),
    fields: [
      field({ name: "q", label: t("users.search"), type: "search", value: asked.q }),
      choice({ name: "role", label: t("users.role"), value: asked.role, options: any("role", ROLES) }),
      choice({ name: "status", label: t("status"), value: asked.status, options: any("account", ["active", "disabled"]) }),
      choice({ name: "sort", label: t("sort"), value: asked.sort, options: SORTS.map((sort, index) => [index ? sort : "", t(`sort.${sort}`)]) }),
    ],
    submit: (values) => go("admin/users", Object.fromEntries(values)),
  });
  const columns = [t("name"), t("email"), t("users.role"), t("status"), t("users.since"), t("action")];
  return {
    title: t("admin.users"),
    lead: t("users.count", { count: found.total }),
    body: [search, found.data.length ? table(t("admin.users"), columns, found.data.map(userRow)) : nothing(t("users.none"), t("users.none-text")), pager(found)],
  };
}
