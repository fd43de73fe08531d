"""What other services of the suite ask, to heal their copy of all entitlements."""

from typing import Annotated

import orjson
from fastapi import Depends, Query, Response

from chassis.app import service_router
from chassis.auth import internal_caller
from chassis.fields import Id, QueryInt
from subscription.api.dependencies import CurrentResources
from subscription.domain.entitlements import BUCKETS, entitlements_data

router = service_router(
    prefix="/internal/v1/entitlements", dependencies=[Depends(internal_caller)], include_in_schema=False
)


def _json(document: object) -> Response:
    return Response(
        orjson.dumps(document), headers={"content-type": "application/json", "cache-control": "private, no-store"}
    )


@router.get("/digest")
async def get_digest(resources: CurrentResources) -> Response:
    found = await resources.entitlements.digest()
    buckets = [{"bucket": one.bucket, "count": one.count, "sumRevision": one.sum_revision} for one in found]
    return _json({"buckets": buckets})


@router.get("")
async def get_snapshot(
    resources: CurrentResources,
    bucket: Annotated[QueryInt, Query(ge=0, lt=BUCKETS)],
    after: Annotated[Id | None, Query()] = None,
    limit: Annotated[QueryInt, Query(ge=1, le=500)] = 500,
) -> Response:
    found = await resources.entitlements.snapshot(bucket, after, limit)
    return _json({"entitlements": [entitlements_data(entitlements) for entitlements in found]})
