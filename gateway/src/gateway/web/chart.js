// A bar chart as SVG. Its numbers are in a table beside it, so for a screen reader it is one picture with a summary.

import { freshId, s } from "./dom.js";
import { number } from "./i18n.js";

const WIDTH = 640;
const LABEL = 170;
const VALUE = 44;
const ROW = 34;

/** Horizontal bars for `[{ name, films }]`. */
export function bars(themes, summary) {
  const most = Math.max(...themes.map((theme) => theme.films));
  const id = freshId("chart");
  const height = themes.length * ROW;
  return s(
    "svg",
    { class: "chart", viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-labelledby": id },
    s("title", { id }, summary),
    themes.map((theme, index) => {
      const y = index * ROW;
      const length = Math.max(4, ((WIDTH - LABEL - VALUE) * theme.films) / most);
      return s(
        "g",
        {},
        s("text", { class: "name", x: LABEL - 12, y: y + ROW / 2, "text-anchor": "end", "dominant-baseline": "central" }, theme.name),
        s("rect", { class: "track", x: LABEL, y: y + 6, width: WIDTH - LABEL - VALUE, height: ROW - 12, rx: 5 }),
        s("rect", { class: index === 0 ? "bar first" : "bar", x: LABEL, y: y + 6, width: length, height: ROW - 12, rx: 5 }),
        s("text", { class: "value", x: LABEL + length + 10, y: y + ROW / 2, "dominant-baseline": "central" }, number(theme.films)),
      );
    }),
  );
}
