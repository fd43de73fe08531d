// Forms: every field has its label, its hint and the place where the server's refusal is written.

import { LoggedOutError, ProblemError } from "./api.js";
import { freshId, h, whileBusy } from "./dom.js";
import { t } from "./i18n.js";
import { complain } from "./notices.js";
import { explanation, refusals } from "./problems.js";

/** A labelled control. `control` is made when none is given; other options become its attributes. */
export function field({ name, label, hint, control, ...attributes }) {
  const id = freshId(name);
  const input = control ?? h("input", { type: "text", ...attributes });
  input.id = id;
  input.name = name;
  const notes = [];
  if (hint) notes.push(h("p", { class: "hint", id: `${id}-hint` }, hint));
  notes.push(h("p", { class: "refusal", id: `${id}-refusal`, hidden: true }));
  input.setAttribute("aria-describedby", notes.map((note) => note.id).join(" "));
  return h("div", { class: "field", "data-field": name }, h("label", { for: id }, label), input, notes);
}

/** A choice: `options` are `[value, text]`. */
export function choice({ name, label, options, value }) {
  const control = h("select", {}, options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)));
  return field({ name, label, control });
}

/** A box to tick, the label behind it. */
export function tick({ name, label, value, checked, hint, onchange }) {
  const id = freshId(name);
  const input = h("input", { type: "checkbox", id, name, value: value ?? "true", checked, onchange });
  if (hint) input.setAttribute("aria-describedby", `${id}-hint`);
  return h("div", { class: "tick" }, input, h("label", { for: id }, label), hint && h("p", { class: "hint", id: `${id}-hint` }, hint));
}

/** A group of boxes; `options` are `[value, text]`. */
export function ticks({ name, legend, options, chosen }) {
  const refusal = h("p", { class: "refusal", id: freshId(name), hidden: true });
  return h(
    "fieldset",
    { class: "ticks", "data-field": name, "aria-describedby": refusal.id },
    h("legend", {}, legend),
    h("div", { class: "chips" }, options.map(([value, label]) => tick({ name, label, value, checked: chosen.has(String(value)) }))),
    refusal,
  );
}

function refuse(form, name, message) {
  const place = form.querySelector(`[data-field="${CSS.escape(name)}"]`);
  if (!place) return null;
  const line = place.querySelector(".refusal");
  line.replaceChildren(message);
  line.hidden = false;
  const control = place.querySelector("input, select, textarea");
  control.setAttribute("aria-invalid", "true");
  return control;
}

function forget(form) {
  form.querySelector(".verdict")?.replaceChildren();
  for (const line of form.querySelectorAll(".refusal")) line.hidden = true;
  for (const control of form.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
}

function showProblem(form, error) {
  const unplaced = [];
  let first = null;
  for (const { name, message } of refusals(error)) {
    const control = refuse(form, name, message);
    first ??= control;
    if (!control) unplaced.push(h("li", {}, h("code", {}, name), " ", message));
  }
  const verdict = form.querySelector(".verdict");
  // "See 'errors'" is for programs; people see them beside the fields.
  const summary = error.code === "invalid-request" && !unplaced.length ? t("form.refused") : explanation(error);
  verdict.replaceChildren(h("p", {}, summary), unplaced.length ? h("ul", {}, unplaced) : "");
  (first ?? verdict).focus();
}

function missing(form) {
  const empty = [...form.querySelectorAll("[required]")].filter((control) => control.value.trim() === "");
  for (const control of empty) refuse(form, control.name, t("form.required"));
  empty[0]?.focus();
  return empty.length > 0;
}

/**
 * A form. `submit(values, form)` gets a FormData and may throw a `ProblemError`, which is written where it belongs.
 * `buttons` come after the one that sends it.
 */
export function form({ fields, label, submit, buttons = [], ...attributes }) {
  const send = h("button", { type: "submit", class: "primary" }, label);
  async function onsubmit(event) {
    event.preventDefault();
    forget(element);
    if (missing(element)) return;
    await whileBusy(send, async () => {
      try {
        await submit(new FormData(element, event.submitter), element);
      } catch (error) {
        if (error instanceof ProblemError) showProblem(element, error);
        else if (error instanceof LoggedOutError) complain(error);
        else throw error;
      }
    });
  }
  // The browser's own messages speak its language, not the one chosen here.
  const element = h(
    "form",
    { novalidate: true, onsubmit, ...attributes },
    h("div", { class: "verdict", role: "alert", tabindex: "-1" }),
    fields,
    h("div", { class: "buttons" }, send, buttons),
  );
  return element;
}
