// Small helpers to build elements. Text is always set as text, so nothing that a person typed is ever read as HTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.setAttribute("class", value);
    else if (name === "value") element.value = value;
    else if (name === "checked" || name === "disabled" || name === "selected") element[name] = true;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An HTML element: `h("a", { href: "#/", onclick: f }, "text", child)`. */
export function h(name, properties, ...children) {
  return fill(document.createElement(name), properties, children);
}

/** An SVG element. */
export function s(name, properties, ...children) {
  return fill(document.createElementNS(SVG, name), properties, children);
}

let made = 0;

/** An id that no other element has. */
export function freshId(prefix) {
  made += 1;
  return `${prefix}-${made}`;
}

/** Run `action` and keep the button from being pressed a second time meanwhile. */
export async function whileBusy(button, action) {
  if (button.getAttribute("aria-disabled") === "true") return;
  // Not `disabled`: that would take the focus away from whoever uses the keyboard.
  button.setAttribute("aria-disabled", "true");
  try {
    await action();
  } finally {
    button.removeAttribute("aria-disabled");
  }
}
