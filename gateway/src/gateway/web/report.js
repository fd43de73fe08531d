// One's report: how many films, which themes, the last one.

import { everything, get, page } from "./api.js";
import { bars } from "./chart.js";
import { h } from "./dom.js";
import { field, form } from "./forms.js";
import { genreName, number, t } from "./i18n.js";
import { nothing, row, table } from "./parts.js";
import { go, here, link } from "./router.js";

/** Films per theme. Each count is the server's own for a filter by that genre, so it is right for any history. */
async function themes(period) {
  const genres = await everything("/v1/genres");
  const counts = await Promise.all(genres.map((genre) => page("/v1/watched", { ...period, genreIds: genre.id, pageSize: 1 })));
  return genres
    .map((genre, index) => ({ name: genre.name, films: counts[index].total }))
    .filter((theme) => theme.films > 0)
    .sort((a, b) => b.films - a.films || a.name.localeCompare(b.name));
}

/** The report's own most watched theme first: among equals the server has decided. In the names of this language. */
function ranked(films, favourite) {
  const sorted = [...films].sort((a, b) => (b.name === favourite) - (a.name === favourite));
  return sorted.map((theme) => ({ ...theme, name: genreName(theme.name) }));
}

function figure(label, value, note) {
  return h("div", { class: "card figure" }, h("dt", {}, label), h("dd", {}, h("strong", {}, value), note ? h("span", {}, note) : null));
}

/** The local day's begin as a moment; `days` later. */
function begin(text, days = 0) {
  if (!text) return null;
  const [year, month, date] = text.split("-").map(Number);
  return new Date(year, month - 1, date + days).toISOString();
}

export async function report() {
  const { query } = here();
  const period = { from: begin(query.get("from")), to: begin(query.get("to"), 1) };
  const [summary, counted] = await Promise.all([get("/v1/reports/me", period), themes(period)]);
  const { totalFilmsWatched, mostWatchedTheme, lastFilmWatched } = summary;
  const films = ranked(counted, mostWatchedTheme?.themeName);
  const choose = form({
    class: "search",
    label: t("report.show"),
    fields: [
      field({ name: "from", label: t("report.from"), type: "date", value: query.get("from") ?? "" }),
      field({ name: "to", label: t("report.to"), type: "date", value: query.get("to") ?? "" }),
    ],
    submit: async (values) => {
      const [from, to] = [values.get("from"), values.get("to")];
      // Asked here already, so that a refused value is shown beside its field.
      await get("/v1/reports/me", { from: begin(from), to: begin(to, 1) });
      go("report", { from, to });
    },
  });
  const figures = h(
    "dl",
    { class: "figures" },
    figure(t("report.total"), number(totalFilmsWatched)),
    figure(t("report.theme"), mostWatchedTheme ? genreName(mostWatchedTheme.themeName) : "–", mostWatchedTheme && t("films", { count: mostWatchedTheme.totalFilmsWatched })),
    figure(t("report.last"), lastFilmWatched?.movieName ?? "–"),
  );
  const chart = films.length
    ? h(
        "figure",
        { class: "card" },
        h("figcaption", {}, h("h2", { id: "themes" }, t("report.themes")), h("p", { class: "small" }, t("report.themes-note"))),
        bars(films, t("report.themes-summary", { theme: films[0].name, count: films[0].films })),
        h(
          "details",
          {},
          h("summary", {}, t("report.as-table")),
          table(t("report.themes"), [t("report.theme-name"), t("report.films")], films.map((theme) => row(theme.name, number(theme.films)))),
        ),
      )
    : nothing(t("watched.none"), t("watched.none-text"), h("a", { class: "button primary", href: link("movies") }, t("movies.title")));
  return { title: t("report.title"), body: [choose, figures, chart] };
}
