// Parts that several views are made of.

import { h, whileBusy } from "./dom.js";
import { genreName, moment, number, t } from "./i18n.js";
import { attempt } from "./notices.js";
import { here, link } from "./router.js";

/** A button whose action may fail; the person is told when it does. */
export function actionButton(label, action, attributes = {}) {
  const button = h("button", { type: "button", ...attributes, onclick: () => whileBusy(button, () => attempt(() => action(button))) }, label);
  return button;
}

/** Genres as a list of small labels. */
export function genreLabels(genres) {
  return h("ul", { class: "genres", "aria-label": t("genres") }, genres.map((genre) => h("li", {}, genreName(genre.name))));
}

/** What stands where a list would be. */
export function nothing(title, text, ...more) {
  return h("div", { class: "nothing" }, h("h2", {}, title), h("p", {}, text), more);
}

/** Links to the neighbouring pages of a list; the page's number is in the address. */
export function pager({ pagination, total }) {
  if (pagination.totalPages < 2) return null;
  const { path, query } = here();
  const to = (page) => {
    const next = new URLSearchParams(query);
    next.set("page", page);
    return `${link(path)}?${next}`;
  };
  const { pageNumber, totalPages } = pagination;
  const step = (page, text, rel) =>
    page >= 1 && page <= totalPages ? h("a", { href: to(page), rel }, text) : h("span", { class: "off" }, text);
  return h(
    "nav",
    { class: "pager", "aria-label": t("pager.label") },
    step(pageNumber - 1, t("pager.previous"), "prev"),
    h("span", {}, t("pager.place", { page: pageNumber, pages: totalPages, total: number(total) })),
    step(pageNumber + 1, t("pager.next"), "next"),
  );
}

/** A moment in a table, on one line. */
export function when(value) {
  return h("time", { datetime: value }, moment(value));
}

/** Say beside each cell what it is: on small screens a row is a card, without the columns' heads above it. */
function label(tableRow, columns) {
  [...tableRow.cells].forEach((cell, index) => cell.setAttribute("data-label", columns[index]));
}

/**
 * A table with a caption for those who do not see where it stands. Its parts have their roles explicitly: on small
 * screens they are laid out as cards, and some browsers take what is not laid out as a table for no table.
 */
export function table(caption, columns, rows) {
  for (const tableRow of rows) label(tableRow, columns);
  return h(
    "div",
    { class: "scroll", role: "region", "aria-label": caption, tabindex: "0" },
    h(
      "table",
      { role: "table" },
      h("caption", { class: "unseen" }, caption),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, columns.map((column) => h("th", { scope: "col", role: "columnheader" }, column)))),
      h("tbody", { role: "rowgroup" }, rows),
    ),
  );
}

/** A row of a table; its first cell names it. */
export function row(first, ...cells) {
  return h("tr", { role: "row" }, h("th", { scope: "row", role: "rowheader" }, first), cells.map((cell) => h("td", { role: "cell" }, cell)));
}

/** Put `fresh` where `old` is; the keyboard's focus stays where it was, as far as that still exists. */
export function exchange(old, fresh) {
  const focused = old.contains(document.activeElement);
  const key = document.activeElement?.dataset.key;
  if (old.matches("tr")) label(fresh, [...old.cells].map((cell) => cell.dataset.label));
  old.replaceWith(fresh);
  if (!focused) return;
  const control = fresh.matches("button") ? fresh : (fresh.querySelector(`[data-key="${key}"]`) ?? fresh.querySelector("button, a"));
  control?.focus();
}

/** Ask before something that cannot simply be taken back. Resolves to whether the person agreed. */
export function confirmed(question, consequence, agree) {
  return new Promise((resolve) => {
    const title = h("h2", { id: "question" }, question);
    const dialog = h(
      "dialog",
      { "aria-labelledby": "question" },
      h(
        "form",
        { method: "dialog" },
        title,
        h("p", {}, consequence),
        h(
          "div",
          { class: "buttons" },
          h("button", { class: "primary danger", value: "yes" }, agree),
          h("button", { value: "no", autofocus: true }, t("cancel")),
        ),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
