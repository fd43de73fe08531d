// The movies that one's packages allow.

import { call, everything, get, page } from "./api.js";
import { h } from "./dom.js";
import { choice, field, form, tick, ticks } from "./forms.js";
import { day, named, number, t } from "./i18n.js";
import { actionButton, exchange, genreLabels, nothing, pager } from "./parts.js";
import { again, go, here, link } from "./router.js";

const SORTS = ["-popularity", "-voteAverage", "-releaseDate", "releaseDate", "title"];
const FILTERS = ["title", "genresMode", "releasedFrom", "releasedTo", "minRating", "language", "sort"];
const POSTERS = "posters";
// Colours of covers: night blues, plums, reds, earth; no greens, which look sickly beside them.
const HUES = [212, 338, 258, 18, 232, 300, 352, 196, 8, 278];

function wantsPosters() {
  return localStorage.getItem(POSTERS) === "yes";
}

/** A cover made of the title; TMDB's poster over it when the person has asked for posters and one can be had. */
function cover(movie) {
  const element = h("div", { class: "cover", "aria-hidden": "true" }, h("span", {}, movie.title), h("small", {}, movie.releaseDate?.slice(0, 4) ?? ""));
  element.style.setProperty("--hue", HUES[movie.id % HUES.length]);
  element.style.setProperty("--turn", `${(movie.id * 37) % 360}deg`);
  // The longest word has to fit, too.
  const longest = Math.max(...movie.title.split(/[\s-]+/).map((word) => word.length));
  element.style.setProperty("--fit", Math.min(14, 138 / longest));
  if (wantsPosters() && movie.posterUrl) {
    const image = h("img", { alt: "", loading: "lazy", decoding: "async", src: movie.posterUrl, referrerpolicy: "no-referrer" });
    // Offline, or gone at TMDB: the cover below stays.
    image.addEventListener("error", () => image.remove());
    element.append(image);
  }
  return element;
}

/** The button that marks a movie as watched, or takes that back. */
export function watchedButton(movie, isWatched) {
  const button = actionButton(
    [h("span", { class: "check", "aria-hidden": "true" }, "✓"), isWatched ? t("movie.watched") : t("movie.mark")],
    async () => {
      await call(isWatched ? "DELETE" : "PUT", `/v1/watched/${movie.id}`);
      exchange(button, watchedButton(movie, !isWatched));
    },
    { class: "mark", "aria-pressed": String(isWatched), "aria-label": t("movie.mark-this", { title: movie.title }) },
  );
  return button;
}

function card(movie, isWatched) {
  return h(
    "li",
    { class: "movie" },
    cover(movie),
    h(
      "div",
      { class: "about" },
      h("h2", {}, movie.title),
      h(
        "p",
        { class: "facts" },
        movie.releaseDate ? h("span", {}, day(movie.releaseDate)) : null,
        movie.voteCount
          ? h("span", { class: "rating" }, h("span", { "aria-hidden": "true" }, "★ "), h("span", { class: "unseen" }, t("movie.rating")), number(movie.voteAverage, { minimumFractionDigits: 1, maximumFractionDigits: 1 }))
          : null,
      ),
      movie.originalTitle !== movie.title ? h("p", { class: "small", lang: movie.originalLanguage }, movie.originalTitle) : null,
      genreLabels(movie.genres),
      movie.overview ? h("details", {}, h("summary", {}, t("movie.about"), h("span", { class: "unseen" }, ` ${movie.title}`)), h("p", {}, movie.overview)) : null,
      watchedButton(movie, isWatched),
    ),
  );
}

function isFiltered(query) {
  return [...query.keys()].some((name) => name !== "page" && name !== "sort");
}

function filters(query, entitled) {
  const chosen = new Set(query.getAll("genreIds"));
  const value = (name) => query.get(name) ?? "";
  const element = form({
    role: "search",
    label: t("filter.apply"),
    buttons: [h("a", { class: "button", href: link("movies") }, t("filter.reset"))],
    fields: [
      ticks({ name: "genreIds", legend: t("genres"), options: named(entitled).map((genre) => [genre.id, genre.name]), chosen }),
      h(
        "div",
        { class: "fields" },
        field({ name: "title", label: t("filter.title"), type: "search", value: value("title") }),
        choice({ name: "genresMode", label: t("filter.mode"), value: value("genresMode"), options: [["", t("filter.any")], ["all", t("filter.all")]] }),
        field({ name: "releasedFrom", label: t("filter.from"), type: "date", value: value("releasedFrom") }),
        field({ name: "releasedTo", label: t("filter.to"), type: "date", value: value("releasedTo") }),
        field({ name: "minRating", label: t("filter.rating"), type: "number", min: 0, max: 10, step: 0.1, value: value("minRating") }),
        field({ name: "language", label: t("filter.language"), maxlength: 2, size: 4, placeholder: "en", value: value("language") }),
        choice({ name: "sort", label: t("sort"), value: value("sort"), options: SORTS.map((sort) => [sort === SORTS[0] ? "" : sort, t(`sort.${sort}`)]) }),
      ),
    ],
    submit: async (values) => {
      const asked = Object.fromEntries(FILTERS.map((name) => [name, values.get(name)]));
      asked.genreIds = values.getAll("genreIds");
      // Asked here already, so that a refused value is shown beside its field.
      await get("/v1/movies", { ...asked, pageSize: 1 });
      go("movies", asked);
    },
  });
  return h("details", { class: "filters card", open: isFiltered(query) || matchMedia("(min-width: 60rem)").matches }, h("summary", {}, t("filter.title-all")), element);
}

function posterSwitch() {
  const onchange = ({ target }) => {
    localStorage.setItem(POSTERS, target.checked ? "yes" : "no");
    again();
  };
  return tick({ name: "posters", label: t("posters.label"), hint: t("posters.hint"), checked: wantsPosters(), onchange });
}

export async function movies() {
  const { query } = here();
  const { genres: entitled } = await get("/v1/entitlements/me");
  if (!entitled.length) {
    return {
      title: t("movies.title"),
      body: nothing(t("movies.no-package"), t("movies.no-package-text"), h("a", { class: "button primary", href: link("packages") }, t("packages.title"))),
    };
  }
  const asked = Object.fromEntries(FILTERS.map((name) => [name, query.get(name)]));
  const found = await page("/v1/movies", { ...asked, genreIds: query.getAll("genreIds"), pageNumber: query.get("page") ?? 1, pageSize: 24 });
  const seen = found.data.length ? await everything("/v1/watched", { movieIds: found.data.map((movie) => movie.id) }) : [];
  const watched = new Set(seen.map((entry) => entry.movie.id));
  return {
    title: t("movies.title"),
    lead: t(isFiltered(query) ? "movies.fitting" : "movies.count", { count: found.total }),
    body: h(
      "div",
      { class: "browse" },
      filters(query, entitled),
      h(
        "div",
        {},
        found.data.length
          ? h("ul", { class: "movies" }, found.data.map((movie) => card(movie, watched.has(movie.id))))
          : nothing(t("movies.none"), t("movies.none-text")),
        pager(found),
        posterSwitch(),
      ),
    ),
  };
}
