// For administrators: how the catalog keeps up with TMDB.

import { call, get } from "./api.js";
import { h } from "./dom.js";
import { moment, number, t } from "./i18n.js";
import { attempt, tell } from "./notices.js";
import { actionButton } from "./parts.js";

const POLL_MS = 1500;

function when(value) {
  return value ? h("time", { datetime: value }, moment(value)) : t("never");
}

function routine(title, state) {
  const entry = (label, value) => [h("dt", {}, label), h("dd", {}, value)];
  const changes = Object.entries(state.lastChanges ?? {}).filter(([, count]) => count > 0);
  const changed = changes.map(([name, count]) => `${number(count)} ${t(`sync.${name}`)}`);
  return h(
    "section",
    { class: "card" },
    h("h2", {}, title),
    h("p", { class: state.lastError ? "badge bad" : "badge good" }, state.status === "running" ? t("sync.running") : t(state.lastError ? "sync.failing" : "sync.idle")),
    h(
      "dl",
      { class: "facts-list" },
      entry(t("sync.last"), when(state.lastSyncedAt)),
      entry(t("sync.next"), when(state.nextSyncAt)),
      entry(t("sync.changes"), changed.length ? changed.join(" · ") : t("none")),
      entry(t("sync.failures"), number(state.totalFailures)),
      state.lastError ? entry(t("sync.error"), [when(state.lastError.at), " – ", h("span", { lang: "en" }, state.lastError.message)]) : [],
    ),
  );
}

function states(sync) {
  return [routine(t("sync.genres"), sync.genres), routine(t("sync.movies", { count: sync.moviesHeld }), sync.movies)];
}

function isBusy(sync) {
  return sync.requestedAt !== null || sync.genres.status === "running" || sync.movies.status === "running";
}

export async function adminSync() {
  const cards = h("div", { class: "cards", "aria-live": "polite" }, states(await get("/v1/sync")));
  // Looks again until the run is over or the person has gone to another view.
  async function follow() {
    let sync;
    do {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      if (!cards.isConnected) return;
      sync = await get("/v1/sync");
    } while (isBusy(sync));
    cards.replaceChildren(...states(sync));
    tell(t("sync.done"));
  }
  const start = actionButton(
    t("sync.start"),
    async () => {
      await call("POST", "/v1/sync");
      tell(t("sync.started"));
      void attempt(follow);
    },
    { class: "primary" },
  );
  return { title: t("admin.sync"), lead: t("sync.lead"), body: [h("div", { class: "buttons" }, start), cards] };
}
