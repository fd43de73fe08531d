// For administrators: everybody's report, and all of them as CSV.

import { download, get, page } from "./api.js";
import { h } from "./dom.js";
import { field, form } from "./forms.js";
import { genreName, number, t } from "./i18n.js";
import { actionButton, nothing, pager, row, table } from "./parts.js";
import { go, here } from "./router.js";

export async function adminReports() {
  const { query } = here();
  const minFilms = query.get("minFilms") ?? "";
  const found = await page("/v1/reports/users", { minFilms, pageNumber: query.get("page") ?? 1, pageSize: 20 });
  // Reports name people by id only; whoever has an account still gets a name here.
  const ids = found.data.map((report) => report.userId);
  const people = ids.length ? (await get("/v1/users", { ids, pageSize: 100 })).data : [];
  const byId = new Map(people.map((user) => [user.id, user]));
  const reportRow = ({ userId, totalFilmsWatched, mostWatchedTheme, lastFilmWatched }) => {
    const user = byId.get(userId);
    const theme = mostWatchedTheme ? `${genreName(mostWatchedTheme.themeName)} (${number(mostWatchedTheme.totalFilmsWatched)})` : "–";
    return row(user ? user.name : h("code", {}, userId), user?.email ?? "–", number(totalFilmsWatched), theme, lastFilmWatched?.movieName ?? "–");
  };
  const search = form({
    role: "search",
    class: "search",
    label: t("search"),
    fields: [field({ name: "minFilms", label: t("reports.min"), type: "number", min: 0, value: minFilms })],
    buttons: [actionButton(t("download"), () => download("/v1/reports/users", { minFilms }, "reports.csv"))],
    submit: async (values) => {
      await get("/v1/reports/users", { minFilms: values.get("minFilms"), pageSize: 1 });
      go("admin/reports", { minFilms: values.get("minFilms") });
    },
  });
  const columns = [t("name"), t("email"), t("report.total"), t("report.theme"), t("report.last")];
  return {
    title: t("admin.reports"),
    lead: t("reports.count", { count: found.total }),
    body: [search, found.data.length ? table(t("admin.reports"), columns, found.data.map(reportRow)) : nothing(t("reports.none"), t("reports.none-text")), pager(found)],
  };
}
