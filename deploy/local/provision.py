"""Steps inside database servers and broker that need their client libraries; run with the suite's interpreter.

`provision.py replica-set URL` makes a fresh `mongod --replSet` a replica set of one.
`provision.py prepare` and `provision.py drop` make and drop the suite's databases, accounts and virtual host on
servers that somebody else runs; what to make stands in the variable PROVISION, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

_WAIT_SECONDS = 30.0


def make_replica_set(url: str) -> None:
    """Make the server at `url` a replica set of one and wait until it takes writes."""
    from pymongo import MongoClient  # noqa: PLC0415 - each step needs one client library only
    from pymongo.errors import OperationFailure  # noqa: PLC0415

    already_initialised, not_yet_initialised = 23, 94
    client: MongoClient[dict[str, Any]] = MongoClient(url, directConnection=True)
    member = {"_id": 0, "host": urlsplit(url).netloc.rpartition("@")[2]}
    try:
        client.admin.command("replSetGetStatus")
    except OperationFailure as error:
        if error.code != not_yet_initialised:
            raise
        try:
            client.admin.command("replSetInitiate", {"_id": "rs0", "members": [member]})
        except OperationFailure as initiated:
            if initiated.code != already_initialised:
                raise
    deadline = time.monotonic() + _WAIT_SECONDS
    while not client.admin.command("hello").get("isWritablePrimary"):
        if time.monotonic() > deadline:
            sys.exit("provision: the replica set has no primary")
        time.sleep(0.1)
    client.close()


def mysql(wanted: Mapping[str, Any], *, make: bool) -> None:
    """Make databases and accounts, or drop them; what is to be `fresh` is dropped before it is made."""
    import pymysql  # type: ignore[import-untyped]  # noqa: PLC0415

    parts = urlsplit(wanted["url"])
    connection = pymysql.connect(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 3306,
        user=unquote(parts.username or "root"),
        password=unquote(parts.password or ""),
        autocommit=True,
    )
    with connection, connection.cursor() as cursor:
        for name, password in wanted["accounts"].items():
            if wanted["fresh"] or not make:
                cursor.execute(f"DROP DATABASE IF EXISTS `{name}`")
                cursor.execute("DROP USER IF EXISTS %s@'%%'", (name,))
            if make:
                cursor.execute(f"CREATE DATABASE IF NOT EXISTS `{name}`")
                cursor.execute("CREATE USER IF NOT EXISTS %s@'%%' IDENTIFIED BY %s", (name, password))
                cursor.execute(f"GRANT ALL ON `{name}`.* TO %s@'%%'", (name,))


def mongo(wanted: Mapping[str, Any]) -> None:
    """Drop the databases; MongoDB makes one when it is first written to."""
    from pymongo import MongoClient  # noqa: PLC0415

    client: MongoClient[dict[str, Any]] = MongoClient(wanted["url"])
    for name in wanted["databases"]:
        client.drop_database(name)
    client.close()


def broker(wanted: Mapping[str, Any], *, make: bool) -> None:
    """Make virtual host and account, or drop them; what is to be `fresh` is dropped before it is made."""
    user, vhost = quote(wanted["user"], safe=""), quote(wanted["vhost"], safe="")
    if wanted["fresh"] or not make:
        for path in (f"/api/vhosts/{vhost}", f"/api/users/{user}"):
            _call(wanted["url"], "DELETE", path)
    if not make:
        return
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    _call(wanted["url"], "PUT", f"/api/vhosts/{vhost}", {})
    _call(wanted["url"], "PUT", f"/api/users/{user}", {"password": wanted["password"], "tags": ""})
    _call(wanted["url"], "PUT", f"/api/permissions/{vhost}/{user}", everything)
    admin = quote(unquote(urlsplit(wanted["url"]).username or ""), safe="")
    _call(wanted["url"], "PUT", f"/api/permissions/{vhost}/{admin}", everything)


def _call(url: str, method: str, path: str, body: Mapping[str, Any] | None = None) -> None:
    parts = urlsplit(url)
    credentials = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    target = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, "", ""))
    request = urllib.request.Request(  # noqa: S310 - the URL comes from whoever runs the server
        target,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "content-type": "application/json",
            "authorization": f"Basic {b64encode(credentials.encode()).decode()}",
        },
    )
    try:
        urllib.request.urlopen(request, timeout=_WAIT_SECONDS).close()  # noqa: S310
    except urllib.error.HTTPError as error:
        if method != "DELETE" or error.code != 404:
            raise


def main(arguments: list[str]) -> None:
    """Run one step."""
    step = arguments[0]
    if step == "replica-set":
        make_replica_set(arguments[1])
        return
    wanted = json.loads(os.environ["PROVISION"])
    make = step == "prepare"
    if "mysql" in wanted:
        mysql(wanted["mysql"], make=make)
    if "mongo" in wanted:
        mongo(wanted["mongo"])
    if "broker" in wanted:
        broker(wanted["broker"], make=make)


if __name__ == "__main__":
    main(sys.argv[1:])
