// The whole mission in TypeScript, with the types made of the API's document. `make client-typescript` makes schema.ts
// and compiles this; `tests/e2e/test_typescript_client.py` does so with the document of a running suite, and runs it.

import createClient, { type Client, type Middleware } from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Movie = components["schemas"]["CatalogMovieRead"];
type Problem = components["schemas"]["Problem"];
type Api = Client<paths>;

declare const process: { env: Record<string, string | undefined> };

const baseUrl = process.env.STACK_GATEWAY_URL ?? "http://localhost:8080";
const anybody: Api = createClient<paths>({ baseUrl });
const [ACTION, WESTERN] = [28, 37];

function check(condition: unknown, what: string): asserts condition {
  if (!condition) throw new Error(what);
}

/** What was asked for, or the problem as an error: `code` is for programs, `detail` for people. */
function expected<T>({ data, error }: { data?: T; error?: Problem }): T {
  if (error) throw new Error(`${error.code}: ${error.detail}`);
  check(data !== undefined, "an answer without content");
  return data;
}

async function loggedIn(email: string, password: string): Promise<Api> {
  const { accessToken } = expected(await anybody.POST("/v1/auth/login", { body: { email, password } }));
  const withToken: Middleware = {
    onRequest({ request }) {
      request.headers.set("Authorization", `Bearer ${accessToken}`);
      return request;
    },
  };
  const api = createClient<paths>({ baseUrl });
  api.use(withToken);
  return api;
}

/** A package of westerns that is edited once, on the ground of its ETag. */
async function newPackage(admin: Api, name: string) {
  const made = expected(await admin.POST("/v1/packages", { body: { name, genreIds: [WESTERN] } }));
  const params = { path: { packageId: made.id } };
  const { response } = await admin.GET("/v1/packages/{packageId}", { params });
  const etag = response.headers.get("ETag") ?? "";
  const edit = { body: { genreIds: [WESTERN, ACTION] }, params: { ...params, header: { "If-Match": etag } } };
  const edited = expected(await admin.PATCH("/v1/packages/{packageId}", edit));
  check("status" in edited && edited.version === 2, "a second version");
  const stale = await admin.PATCH("/v1/packages/{packageId}", { ...edit, body: { name: `${name} too late` } });
  check(stale.error?.code === "precondition-failed", "the old ETag is refused");
  return edited;
}

export async function mission(adminEmail: string, adminPassword: string): Promise<void> {
  const unique = crypto.randomUUID();
  const admin = await loggedIn(adminEmail, adminPassword);
  const { id: packageId } = await newPackage(admin, `TypeScript ${unique}`);

  const [email, password] = [`ts.${unique}@example.com`, `a bicycle ${unique}`];
  expected(await anybody.POST("/v1/users", { body: { email, password, name: "Ana" } }));
  const me = await loggedIn(email, password);
  const nothing = expected(await me.GET("/v1/movies"));
  check(nothing.data.length === 0, "without a subscription no movie");
  const subscription = expected(await me.POST("/v1/subscriptions", { body: { packageId } }));
  check(subscription.genres.length === 2, "both genres");

  const query = { genreIds: [WESTERN], sort: "-voteAverage" as const, pageSize: 5 };
  const page = expected(await me.GET("/v1/movies", { params: { query } }));
  const movie: Movie | undefined = page.data[0];
  check(movie && page.pagination.firstPage, "a western");
  const params = { path: { movieId: movie.id } };
  expected(await me.PUT("/v1/watched/{movieId}", { params }));
  const report = expected(await me.GET("/v1/reports/me"));
  check(report.totalFilmsWatched === 1 && report.lastFilmWatched?.movieId === movie.id, "one film in the report");
  const { response } = await me.DELETE("/v1/watched/{movieId}", { params });
  check(response.status === 204, "unmarked");

  // @ts-expect-error: a parameter that the API does not have; the server refuses it, too.
  const typo = await me.GET("/v1/movies", { params: { query: { genre: WESTERN } } });
  check(typo.error?.errors?.[0]?.message.includes("genreIds"), "the nearest parameter is named");
}

if (process.env.ADMIN_EMAIL && process.env.ADMIN_PASSWORD) {
  await mission(process.env.ADMIN_EMAIL, process.env.ADMIN_PASSWORD);
}
