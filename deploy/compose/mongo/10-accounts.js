// Run once by the image, on an empty data folder: an account for each service that uses MongoDB, in its database.
// dbAdmin: the migrations make indexes and schema validators.
for (const service of ["catalog", "watch"]) {
  db.getSiblingDB(service).createUser({
    user: service,
    pwd: process.env[`${service.toUpperCase()}_DATABASE_PASSWORD`],
    roles: [
      { role: "readWrite", db: service },
      { role: "dbAdmin", db: service },
    ],
  });
}
