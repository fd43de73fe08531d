// For administrators: the packages, their versions, and edits that can be looked at before they are made.

import { call, everything, page, request } from "./api.js";
import { h } from "./dom.js";
import { choice, field, form, tick, ticks } from "./forms.js";
import { list, named, number, t } from "./i18n.js";
import { tell } from "./notices.js";
import { actionButton, confirmed, genreLabels, nothing, pager, row, table, when } from "./parts.js";
import { again, go, here, link } from "./router.js";

async function archive(pack) {
  if (!(await confirmed(t("admin.archive-question", { name: pack.name }), t("admin.archive-text"), t("admin.archive")))) return;
  const { headers } = await request("GET", `/v1/packages/${pack.id}`);
  await call("DELETE", `/v1/packages/${pack.id}`, undefined, { "If-Match": headers.get("ETag") });
  again();
  tell(t("admin.archived", { name: pack.name }));
}

async function restore(pack) {
  await call("POST", `/v1/packages/${pack.id}/restore`);
  again();
  tell(t("admin.restored", { name: pack.name }));
}

function packageRow(pack) {
  const isActive = pack.status === "active";
  return row(
    h("a", { href: link(`admin/packages/${pack.id}`) }, pack.name),
    genreLabels(pack.genres),
    number(pack.version),
    t(`status.${pack.status}`),
    when(pack.updatedAt),
    isActive
      ? actionButton(t("admin.archive"), () => archive(pack), { "aria-label": t("admin.archive-this", { name: pack.name }) })
      : actionButton(t("admin.restore"), () => restore(pack), { "aria-label": t("admin.restore-this", { name: pack.name }) }),
  );
}

export async function adminPackages() {
  const { query } = here();
  const [name, status] = [query.get("name") ?? "", query.get("status") ?? ""];
  const found = await page("/v1/packages", { name, status, sort: "-updatedAt", pageNumber: query.get("page") ?? 1, pageSize: 20 });
  const search = form({
    role: "search",
    class: "search",
    label: t("search"),
    fields: [
      field({ name: "name", label: t("name"), type: "search", value: name }),
      choice({ name: "status", label: t("status"), value: status, options: ["", "active", "archived"].map((value) => [value, t(value ? `status.${value}` : "status.any")]) }),
    ],
    buttons: [h("a", { class: "button", href: link("admin/packages/new") }, t("admin.new-package"))],
    submit: (values) => go("admin/packages", { name: values.get("name"), status: values.get("status") }),
  });
  const columns = [t("name"), t("genres"), t("version"), t("status"), t("changed"), t("action")];
  return {
    title: t("admin.packages"),
    lead: t("admin.packages-count", { count: found.total }),
    body: [
      search,
      found.data.length
        ? table(t("admin.packages"), columns, found.data.map(packageRow))
        : nothing(t("packages.none"), t("packages.none-admin"), h("a", { class: "button primary", href: link("admin/packages/new") }, t("admin.new-package"))),
      pager(found),
    ],
  };
}

function genreOptions(genres, held) {
  // A genre that TMDB no longer lists can be kept in sight, but no new version may take it.
  const offered = genres.filter((genre) => genre.status === "active" || held.has(String(genre.id)));
  return named(offered).map((genre) => [genre.id, genre.status === "active" ? genre.name : t("admin.retired", { name: genre.name })]);
}

function packageFields(genres, pack) {
  const held = new Set((pack?.genres ?? []).map((genre) => String(genre.id)));
  const description = h("textarea", { rows: 3, maxlength: 2000 }, pack?.description ?? "");
  return [
    field({ name: "name", label: t("name"), required: true, maxlength: 100, value: pack?.name ?? "" }),
    field({ name: "description", label: t("description"), control: description }),
    ticks({ name: "genreIds", legend: t("genres"), options: genreOptions(genres, held), chosen: held }),
  ];
}

function written(values) {
  return {
    name: values.get("name"),
    description: values.get("description") || null,
    genreIds: values.getAll("genreIds").map(Number),
  };
}

export async function newPackage() {
  const genres = await everything("/v1/genres");
  const element = form({
    class: "card wide",
    label: t("admin.create"),
    fields: packageFields(genres),
    buttons: [h("a", { class: "button", href: link("admin/packages") }, t("cancel"))],
    submit: async (values) => {
      const pack = await call("POST", "/v1/packages", written(values));
      go(`admin/packages/${pack.id}`);
      tell(t("admin.created", { name: pack.name }));
    },
  });
  return { title: t("admin.new-package"), body: element };
}

/** What of the form differs from the package: only that is sent. */
function changes(values, pack) {
  const asked = written(values);
  const changed = {};
  if (asked.name !== pack.name) changed.name = asked.name;
  if (asked.description !== pack.description) changed.description = asked.description;
  const [before, after] = [pack.genres.map((genre) => genre.id), asked.genreIds].map((ids) => [...ids].sort().join());
  if (before !== after) changed.genreIds = asked.genreIds;
  if (values.get("applyToSubscribers")) changed.applyToSubscribers = true;
  return changed;
}

function previewOf(result, pack) {
  const names = (genres) => (genres.length ? list(named(genres).map((genre) => genre.name)) : t("none"));
  const entry = (label, value) => [h("dt", {}, label), h("dd", {}, value)];
  return [
    h("h2", {}, t("preview.title")),
    h("p", {}, result.version === pack.version ? t("preview.no-version") : t("preview.version", { version: result.version })),
    h(
      "dl",
      { class: "facts-list" },
      entry(t("preview.added"), names(result.genresAdded)),
      entry(t("preview.removed"), names(result.genresRemoved)),
      entry(t("preview.moved"), number(result.subscribersMoved)),
      entry(t("preview.kept"), number(result.subscribersKept)),
    ),
  ];
}

function versionsTable(versions) {
  const columns = [t("version"), t("name"), t("genres"), t("admin.made")];
  return table(t("admin.versions"), columns, versions.map((version) => row(number(version.version), version.name, genreLabels(version.genres), when(version.createdAt))));
}

function editForm(pack, etag, genres, preview) {
  const path = `/v1/packages/${pack.id}`;
  const dry = h("button", { type: "submit", value: "dry-run", name: "intent" }, t("preview.show"));
  const element = form({
    class: "card wide",
    label: t("admin.save"),
    buttons: [dry, h("a", { class: "button", href: link("admin/packages") }, t("cancel"))],
    fields: [
      packageFields(genres, pack),
      tick({ name: "applyToSubscribers", label: t("admin.apply"), hint: t("admin.apply-hint") }),
    ],
    submit: async (values) => {
      const changed = changes(values, pack);
      if (values.get("intent") === "dry-run") {
        const result = await call("PATCH", `${path}?dryRun=true`, changed, { "If-Match": etag });
        preview.replaceChildren(...previewOf(result, pack));
        return;
      }
      const saved = await call("PATCH", path, changed, { "If-Match": etag });
      again();
      tell(saved.version === pack.version ? t("admin.unchanged") : t("admin.saved", { name: saved.name, version: saved.version }));
    },
  });
  // What was previewed is no longer what the form says.
  element.addEventListener("input", () => preview.replaceChildren());
  return element;
}

export async function editPackage(id) {
  const [answer, genres, versions] = await Promise.all([request("GET", `/v1/packages/${id}`), everything("/v1/genres"), everything(`/v1/packages/${id}/versions`)]);
  const pack = await answer.json();
  const preview = h("section", { class: "preview", "aria-live": "polite", "aria-label": t("preview.title") });
  const isActive = pack.status === "active";
  const restoring = h("div", { class: "card" }, h("p", {}, t("admin.is-archived")), actionButton(t("admin.restore"), () => restore(pack)));
  return {
    title: pack.name,
    lead: t("admin.edit-lead", { version: pack.version }),
    body: [
      isActive ? editForm(pack, answer.headers.get("ETag"), genres, preview) : restoring,
      preview,
      h("h2", {}, t("admin.versions")),
      versionsTable(versions),
    ],
  };
}
