// A bar chart. Its numbers are in a table beside it, so for a screen reader it is one picture with a summary.

import { h } from "./dom.js";
import { number } from "./i18n.js";

function bar({ name, films }, most) {
  const filled = h("span", { class: "bar" });
  filled.style.setProperty("--share", films / most);
  return [h("span", { class: "name" }, name), h("span", { class: "track" }, filled), h("span", { class: "value" }, number(films))];
}

/** Horizontal bars for `[{ name, films }]`, the first being the one that leads. Text, so that it grows as text does. */
export function bars(themes, summary) {
  const most = Math.max(...themes.map((theme) => theme.films));
  return h("div", { class: "chart", role: "img", "aria-label": summary }, themes.map((theme) => bar(theme, most)));
}
