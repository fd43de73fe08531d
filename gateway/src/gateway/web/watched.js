// What one has watched.

import { call, download, page } from "./api.js";
import { h } from "./dom.js";
import { choice, field, form } from "./forms.js";
import { day, t } from "./i18n.js";
import { tell } from "./notices.js";
import { actionButton, genreLabels, nothing, pager, row, table, when } from "./parts.js";
import { again, go, here, link } from "./router.js";

const SORTS = ["-watchedAt", "watchedAt", "-createdAt", "title"];

function entryRow({ movie, watchedAt }) {
  const remove = actionButton(
    t("watched.unmark"),
    async () => {
      await call("DELETE", `/v1/watched/${movie.id}`);
      again();
      tell(t("watched.unmarked", { title: movie.title }));
    },
    { "aria-label": t("watched.unmark-this", { title: movie.title }) },
  );
  const released = movie.releaseDate ? h("small", {}, " ", day(movie.releaseDate)) : "";
  return row([movie.title, released], when(watchedAt), genreLabels(movie.genres), remove);
}

export async function watched() {
  const { query } = here();
  const title = query.get("title") ?? "";
  const sort = query.get("sort") ?? "";
  const found = await page("/v1/watched", { title, sort, pageNumber: query.get("page") ?? 1, pageSize: 20 });
  const search = form({
    role: "search",
    class: "search",
    label: t("search"),
    fields: [
      field({ name: "title", label: t("filter.title"), type: "search", value: title }),
      choice({ name: "sort", label: t("sort"), value: sort, options: SORTS.map((name) => [name === SORTS[0] ? "" : name, t(`sort.${name}`)]) }),
    ],
    buttons: [actionButton(t("download"), () => download("/v1/watched", { title, sort }, "watched.csv"))],
    submit: (values) => go("watched", { title: values.get("title"), sort: values.get("sort") }),
  });
  const columns = [t("movie"), t("watched.when"), t("genres"), t("action")];
  return {
    title: t("watched.title"),
    lead: t("watched.count", { count: found.total }),
    body: [
      search,
      found.data.length
        ? table(t("watched.title"), columns, found.data.map(entryRow))
        : nothing(t("watched.none"), t("watched.none-text"), h("a", { class: "button primary", href: link("movies") }, t("movies.title"))),
      pager(found),
    ],
  };
}
