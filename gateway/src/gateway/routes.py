"""The route table: everything that can be reached from outside, and by whom. What is not here is a 404.

Read again on SIGHUP, so it holds data only. The services check roles and ownership once more themselves.
"""

from collections.abc import Iterator, Mapping

from gateway.routing import LOCAL, Access, RateClass, Route

PUBLIC, USER, ADMIN = Access.PUBLIC, Access.USER, Access.ADMIN

# Answers that take a password hash, touch many rows or stream a table may begin later than others.
_TIMEOUTS: Mapping[tuple[str, str], float] = {
    ("POST", "/v1/users"): 15.0,
    ("POST", "/v1/auth/login"): 15.0,
    ("POST", "/v1/auth/password/reset"): 15.0,
    ("PUT", "/v1/users/me/password"): 15.0,
    ("PATCH", "/v1/packages/{id}"): 30.0,
    ("POST", "/v1/packages/{id}/subscriptions"): 30.0,
    ("GET", "/v1/watched"): 30.0,
    ("GET", "/v1/reports/users"): 30.0,
}

# Besides GET and HEAD: what can be done twice and still answers the same.
_REPLAYABLE = frozenset(
    {
        ("PUT", "/v1/watched/{movieId}"),
        ("DELETE", "/v1/watched/{movieId}"),
        ("DELETE", "/v1/subscriptions/{id}"),
    }
)

_CREDENTIALS = frozenset(
    {
        ("POST", "/v1/users"),
        ("POST", "/v1/auth/login"),
        ("POST", "/v1/auth/password/forgot"),
        ("POST", "/v1/auth/password/reset"),
    }
)

_TABLE: Mapping[str, Mapping[str, Mapping[str, Access]]] = {
    "identity": {
        "/.well-known/jwks.json": {"GET": PUBLIC},
        "/v1/users": {"POST": PUBLIC, "GET": ADMIN},
        "/v1/users/me": {"GET": USER, "PATCH": USER, "DELETE": USER},
        "/v1/users/me/export": {"GET": USER},
        "/v1/users/me/password": {"PUT": USER},
        "/v1/users/{id}": {"GET": USER, "PATCH": USER, "DELETE": USER},
        "/v1/auth/login": {"POST": PUBLIC},
        "/v1/auth/refresh": {"POST": PUBLIC},
        "/v1/auth/logout": {"POST": USER},
        "/v1/auth/sessions": {"GET": USER, "DELETE": USER},
        "/v1/auth/sessions/{id}": {"DELETE": USER},
        "/v1/auth/password/forgot": {"POST": PUBLIC},
        "/v1/auth/password/reset": {"POST": PUBLIC},
    },
    "subscription": {
        "/v1/packages": {"POST": ADMIN, "GET": USER},
        "/v1/packages/{id}": {"GET": USER, "PATCH": ADMIN, "DELETE": ADMIN},
        "/v1/packages/{id}/restore": {"POST": ADMIN},
        "/v1/packages/{id}/versions": {"GET": USER},
        "/v1/packages/{id}/versions/{n}": {"GET": USER},
        "/v1/packages/{id}/subscriptions": {"POST": ADMIN},
        "/v1/subscriptions": {"POST": USER, "GET": USER},
        "/v1/subscriptions/{id}": {"GET": USER, "DELETE": USER},
        "/v1/subscriptions/{id}/upgrade": {"POST": USER},
        "/v1/entitlements/me": {"GET": USER},
    },
    "catalog": {
        "/v1/genres": {"GET": USER},
        "/v1/genres/{id}": {"GET": USER},
        "/v1/sync": {"GET": ADMIN, "POST": ADMIN},
        "/v1/movies": {"GET": USER},
        "/v1/movies/{id}": {"GET": USER},
    },
    "watch": {
        "/v1/watched": {"GET": USER},
        "/v1/watched/{movieId}": {"PUT": USER, "DELETE": USER, "GET": USER},
        "/v1/reports/me": {"GET": USER},
        "/v1/reports/users": {"GET": ADMIN},
        "/v1/reports/users/{userId}": {"GET": USER},
    },
    LOCAL: {
        "/": {"GET": PUBLIC},
        "/reset-password": {"GET": PUBLIC},
        "/web/{asset}": {"GET": PUBLIC},
        "/docs": {"GET": PUBLIC},
        "/docs/problems": {"GET": PUBLIC},
        "/docs/{asset}": {"GET": PUBLIC},
        "/openapi.json": {"GET": PUBLIC},
        "/livez": {"GET": PUBLIC},
        "/readyz": {"GET": PUBLIC},
    },
}


def _routes() -> Iterator[Route]:
    for upstream, paths in _TABLE.items():
        for template, methods in paths.items():
            for method, access in methods.items():
                key = (method, template)
                yield Route(
                    method,
                    template,
                    upstream,
                    access,
                    timeout=_TIMEOUTS.get(key, 10.0),
                    replayable=method == "GET" or key in _REPLAYABLE,
                    rate_class=RateClass.CREDENTIALS if key in _CREDENTIALS else RateClass.GENERAL,
                )


ROUTES = tuple(_routes())
