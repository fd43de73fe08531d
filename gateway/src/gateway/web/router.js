// Addresses of the views: `#/name/rest?query`. They can be bookmarked, and the browser's "back" works.

/** Where we are: `{ path: "admin/packages", segments: [...], query: URLSearchParams }`. */
export function here() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  return { path, segments: path.split("/"), query: new URLSearchParams(query ?? "") };
}

/** The address of a view. */
export function link(path, query = {}) {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value].flat()) if (one !== undefined && one !== null && one !== "") given.append(name, one);
  }
  return given.size ? `#/${path}?${given}` : `#/${path}`;
}

/** Go to a view; going to where we are shows it again. The view is asked for before this returns. */
export function go(path, query) {
  const address = link(path, query);
  if (location.hash !== address) history.pushState(null, "", address);
  again();
}

/** Go to a view that takes the place of this one in the browser's history. */
export function moveTo(path, query) {
  history.replaceState(null, "", link(path, query));
  again();
}

/** Show the view that we are at anew. */
export function again() {
  dispatchEvent(new HashChangeEvent("hashchange"));
}
