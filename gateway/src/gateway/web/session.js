// Who is logged in here, and the pair of tokens that proves it.
//
// The access token is kept in memory only. The refresh token is in sessionStorage: a reload does not log out, another
// tab or a restart of the browser does, and nothing stays on the disk of a borrowed computer as with localStorage. A
// script that could read it could use a token in memory just as well; against such scripts there is the page's
// Content-Security-Policy. Its single use is the server's safeguard: a copy that is used ends the session.

const KEPT = "refresh-token";
// A token this close to its end may end on its way.
const MARGIN_MS = 30_000;
// The server takes two uses of one refresh token within 2 s for a race of tabs; the winner has told us by then.
const CONFLICT_MS = 3_000;
// A copy of this tab answers in a few milliseconds, if there is one.
const ANSWER_MS = 100;

let access = null;
let expiresAt = 0;
let underWay = null;
let hasAsked = false;
const spentHere = new Set();
const listeners = new Set();

/** The account of who is logged in (`GET /v1/users/me`), or null. */
export let me = null;

// A duplicated tab begins with a copy of the same refresh token, which works once. So copies share what they have:
// one that has just been opened asks first, and whoever refreshes tells the others.
const tabs = new BroadcastChannel("session");
tabs.addEventListener("message", ({ data }) => {
  const mine = sessionStorage.getItem(KEPT);
  if (data.asked !== undefined) {
    if (access === null || (data.asked !== mine && !spentHere.has(data.asked))) return;
    const pair = { accessToken: access, refreshToken: mine, expiresIn: (expiresAt - Date.now()) / 1000 };
    tabs.postMessage({ was: data.asked, pair });
  } else if (mine !== null && data.was === mine) {
    if (data.pair === null) end();
    else accept(data.pair);
    for (const listener of listeners) listener();
  }
});

function accept(pair) {
  const before = sessionStorage.getItem(KEPT);
  if (before !== null && before !== pair.refreshToken) spentHere.add(before);
  access = pair.accessToken;
  expiresAt = Date.now() + pair.expiresIn * 1000;
  sessionStorage.setItem(KEPT, pair.refreshToken);
}

/** Take a pair of tokens from a log-in. */
export function begin(pair) {
  accept(pair);
}

export function identify(user) {
  me = user;
}

/** Forget everything about the session. */
export function end() {
  access = null;
  me = null;
  spentHere.clear();
  sessionStorage.removeItem(KEPT);
}

/** Tell copies of this tab that their session has ended with this one. */
export function endEverywhere() {
  tabs.postMessage({ was: sessionStorage.getItem(KEPT), pair: null });
  end();
}

/** Call `listener` when a copy of this tab has refreshed or ended the session that both have. */
export function listen(listener) {
  listeners.add(listener);
}

/** Whether there is a session that may be continued. */
export function exists() {
  return sessionStorage.getItem(KEPT) !== null;
}

/** An access token that will live a little longer, refreshed when needed; null when there is no session. */
export async function accessToken({ renew = false } = {}) {
  if (access !== null && !renew && Date.now() < expiresAt - MARGIN_MS) return access;
  if (!exists()) return null;
  // One refresh at a time: in this tab by the promise, among its copies by the lock.
  underWay ??= alone(refresh).finally(() => {
    underWay = null;
  });
  await underWay;
  return access;
}

function alone(action) {
  const before = sessionStorage.getItem(KEPT);
  const unlessDone = () => (sessionStorage.getItem(KEPT) === before ? action(before) : undefined);
  // Browsers have locks on https and localhost only; elsewhere the server's answer to a race is enough.
  return navigator.locks ? navigator.locks.request("refresh", unlessDone) : unlessDone();
}

async function refresh(token) {
  access = null;
  if (!hasAsked) {
    hasAsked = true;
    tabs.postMessage({ asked: token });
    if (await heard(ANSWER_MS)) return;
  }
  const answer = await fetch("/v1/auth/refresh", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ refreshToken: token }),
  });
  if (answer.ok) {
    const pair = await answer.json();
    accept(pair);
    tabs.postMessage({ was: token, pair });
  } else if (answer.status === 409) {
    if (!(await heard(CONFLICT_MS))) end();
  } else if (answer.status === 401) {
    end();
  } else {
    // The server is away or busy; the session is as good as before.
    throw new RefusedRefresh(answer);
  }
}

/** A refresh that failed for a reason that may pass. */
export class RefusedRefresh extends Error {
  constructor(answer) {
    super("the session could not be continued");
    this.answer = answer;
  }
}

/** Whether a copy of this tab has given us an access token, now or within `milliseconds`. */
function heard(milliseconds) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      listeners.delete(done);
      resolve(access !== null);
    };
    const timer = setTimeout(done, milliseconds);
    listeners.add(done);
    if (access !== null) done();
  });
}
