// What a problem document says, for the person who met it.

import { h } from "./dom.js";
import { language, t } from "./i18n.js";
import { details, messages } from "./problems-pt-br.js";

function translated(message) {
  for (const [pattern, text] of messages) {
    const match = pattern.exec(message);
    if (match) return text.replace("{0}", match[1]);
  }
  return null;
}

/** The element for a sentence of the server; one that we cannot translate is marked as English. */
function sentence(english, portuguese) {
  if (language === "en") return h("span", {}, english);
  return portuguese ? h("span", {}, portuguese) : h("span", { lang: "en" }, english);
}

/** What went wrong and what to do next. */
export function explanation(error) {
  const { problem } = error;
  if (!problem) return [h("span", {}, t("error.no-answer"))];
  const parts = [sentence(problem.detail, details[problem.code])];
  if (error.retryAfter) parts.push(" ", h("span", {}, t("error.wait", { count: Number(error.retryAfter) })));
  if (problem.status >= 500 && problem.requestId) {
    parts.push(" ", h("small", {}, t("error.request-id"), " ", h("code", {}, problem.requestId)));
  }
  return parts;
}

/** The refused fields: `[{ name, message }]`, the name being the first part of the pointer. */
export function refusals(error) {
  return (error.problem?.errors ?? []).map(({ pointer, message }) => ({
    name: pointer.replace(/^\//, "").split("/")[0],
    message: sentence(message, translated(message)),
  }));
}
