// The mission's requests in TypeScript: compiling this shows that the types made of the API's document say what
// a client needs. `make client-typescript` makes schema.ts and compiles.

import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Movie = components["schemas"]["CatalogMovieRead"];
type Report = components["schemas"]["ReportRead"];

const anybody = createClient<paths>({ baseUrl: "http://localhost:8080" });

async function loggedIn(email: string, password: string) {
  const { data, error } = await anybody.POST("/v1/auth/login", { body: { email, password } });
  if (error) throw new Error(`${error.code}: ${error.detail}`);
  return createClient<paths>({
    baseUrl: "http://localhost:8080",
    headers: { Authorization: `Bearer ${data.accessToken}` },
  });
}

export async function mission(email: string, password: string, packageId: string): Promise<Report | undefined> {
  await anybody.POST("/v1/users", { body: { email, password, name: "Ana" } });
  const me = await loggedIn(email, password);
  await me.POST("/v1/subscriptions", { body: { packageId } });
  const { data: page } = await me.GET("/v1/movies", { params: { query: { genreIds: [28, 35], pageSize: 5 } } });
  const movie: Movie | undefined = page?.data[0];
  if (movie) {
    await me.PUT("/v1/watched/{movieId}", { params: { path: { movieId: movie.id } } });
    await me.DELETE("/v1/watched/{movieId}", { params: { path: { movieId: movie.id } } });
  }
  // @ts-expect-error: a parameter that the API does not have
  await me.GET("/v1/movies", { params: { query: { genre: 28 } } });
  const { data: report } = await me.GET("/v1/reports/me");
  return report;
}
