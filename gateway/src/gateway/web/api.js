// The public API of this origin, and nothing else.

import * as session from "./session.js";

/** An answer that is no success: a problem document (RFC 9457), or null when there was no answer at all. */
export class ProblemError extends Error {
  constructor(problem, retryAfter = null) {
    super(problem?.detail ?? "no answer");
    this.problem = problem;
    this.code = problem?.code ?? "no-answer";
    this.retryAfter = retryAfter;
  }
}

/** The session has ended; the person has to log in again. */
export class LoggedOutError extends Error {}

function randomKey() {
  // `crypto.randomUUID` is missing outside https and localhost.
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function problemOf(answer) {
  let problem;
  try {
    problem = await answer.json();
  } catch {
    problem = { title: answer.statusText, status: answer.status, detail: `${answer.status}`, code: "no-problem" };
  }
  return new ProblemError(problem, answer.headers.get("Retry-After"));
}

async function send(method, path, { body, headers, token }) {
  const given = { ...headers };
  if (body !== undefined) given["Content-Type"] = "application/json";
  if (token) given.Authorization = `Bearer ${token}`;
  try {
    return await fetch(path, { method, headers: given, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new ProblemError(null);
  }
}

async function currentToken(options) {
  try {
    return await session.accessToken(options);
  } catch (error) {
    if (error instanceof session.RefusedRefresh) throw await problemOf(error.answer);
    throw new ProblemError(null);
  }
}

/** Send a request that needs no session. Throws `ProblemError`. */
export async function ask(method, path, body) {
  const answer = await send(method, path, { body, headers: {} });
  if (!answer.ok) throw await problemOf(answer);
  return answer.status === 204 ? null : await answer.json();
}

/** Send a request as the person who is logged in; the answer as it came. Throws `ProblemError`, `LoggedOutError`. */
export async function request(method, path, { body, headers = {} } = {}) {
  // The same key when the request is sent a second time: the server then does not do it twice.
  const all = method === "POST" ? { "Idempotency-Key": randomKey(), ...headers } : headers;
  let token = await currentToken();
  if (token === null) throw new LoggedOutError();
  let answer = await send(method, path, { body, headers: all, token });
  if (answer.status === 401) {
    token = await currentToken({ renew: true });
    if (token === null) throw new LoggedOutError();
    answer = await send(method, path, { body, headers: all, token });
    if (answer.status === 401) {
      session.end();
      throw new LoggedOutError();
    }
  }
  if (!answer.ok) throw await problemOf(answer);
  return answer;
}

/** The JSON of an answer; null for one without content. */
export async function call(method, path, body, headers) {
  const answer = await request(method, path, { body, headers });
  return answer.status === 204 ? null : await answer.json();
}

export function get(path, query) {
  return call("GET", withQuery(path, query));
}

/** A page of a list and how many items the whole list has. */
export async function page(path, query) {
  const answer = await request("GET", withQuery(path, query));
  return { ...(await answer.json()), total: Number(answer.headers.get("X-Total-Count")) };
}

/** Every item of a list. */
export async function everything(path, query = {}) {
  const items = [];
  for (let pageNumber = 1; ; pageNumber += 1) {
    const { data, pagination } = await get(path, { ...query, pageNumber, pageSize: 100 });
    items.push(...data);
    if (pagination.lastPage) return items;
  }
}

/** `path` with those parameters that have a value. */
export function withQuery(path, query = {}) {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    const text = Array.isArray(value) ? value.join(",") : value;
    if (text !== undefined && text !== null && text !== "") given.append(name, text);
  }
  return given.size ? `${path}?${given}` : path;
}

/** Let the browser save what `path` answers as CSV. */
export async function download(path, query, name) {
  const answer = await request("GET", withQuery(path, query), { headers: { Accept: "text/csv" } });
  const address = URL.createObjectURL(await answer.blob());
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  // Some browsers begin to read it only after this turn.
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
