// The two languages. Which one: what the person has chosen here, else the browser's list (its Accept-Language).

import { en } from "./en.js";
import { genres } from "./genres-pt-br.js";
import { pt } from "./pt-br.js";

const KEPT = "language";
export const LANGUAGES = { en: { name: "English", texts: en }, "pt-BR": { name: "Português", texts: pt } };

function preferred() {
  const kept = localStorage.getItem(KEPT);
  if (kept in LANGUAGES) return kept;
  for (const offered of navigator.languages ?? [navigator.language]) {
    if (/^pt\b/i.test(offered)) return "pt-BR";
    if (/^en\b/i.test(offered)) return "en";
  }
  return "en";
}

export let language = preferred();

export function chooseLanguage(name) {
  language = name;
  localStorage.setItem(KEPT, name);
}

/** Whether there is a text for `key`. */
export function has(key) {
  return key in LANGUAGES[language].texts;
}

/** The text for `key`. `{name}` is replaced from `values`; with `values.count` the key's plural form is taken. */
export function t(key, values = {}) {
  const { texts } = LANGUAGES[language];
  const plural = "count" in values ? `${key}.${new Intl.PluralRules(language).select(values.count)}` : key;
  const text = texts[plural] ?? texts[`${key}.other`] ?? texts[key];
  if (text === undefined) throw new Error(`no text for '${key}'`);
  return text.replace(/\{(\w+)\}/g, (_, name) => (typeof values[name] === "number" ? number(values[name]) : values[name]));
}

/** A genre's name as people here call it. */
export function genreName(name) {
  return language === "pt-BR" && Object.hasOwn(genres, name) ? genres[name] : name;
}

/** Genres as `[{ id, name }]` with the names of this language, in their order. */
export function named(found) {
  const own = found.map((genre) => ({ ...genre, name: genreName(genre.name) }));
  return own.sort((a, b) => a.name.localeCompare(b.name, language));
}

export function number(value, options) {
  return new Intl.NumberFormat(language, options).format(value);
}

/** A day (`2026-01-31`, which has no time zone) or a moment. */
export function day(value) {
  const options = { dateStyle: "medium", ...(value.length === 10 ? { timeZone: "UTC" } : {}) };
  return new Intl.DateTimeFormat(language, options).format(new Date(value));
}

export function moment(value) {
  return new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(new Date(value));
}

export function list(values) {
  return new Intl.ListFormat(language, { type: "conjunction" }).format(values);
}
