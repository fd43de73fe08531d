"""The OpenAPI document that clients are generated from."""

from typing import Any

from openapi_spec_validator import validate

from subscription.main import create_app


def test_the_document_is_valid_and_says_every_problem(settings: Any, resources: Any) -> None:
    document = create_app(settings, resources=resources).openapi()
    validate(document)
    operations = {
        operation["operationId"]: operation for path in document["paths"].values() for operation in path.values()
    }
    assert set(operations) == {
        "createPackage", "listPackages", "getPackage", "editPackage", "archivePackage", "restorePackage",
        "subscribeUsers", "listPackageVersions", "getPackageVersion", "subscribe", "listSubscriptions",
        "getSubscription", "upgradeSubscription", "cancelSubscription", "getEntitlements",
    }  # fmt: skip
    for operation in operations.values():
        assert operation["tags"][0] in ("packages", "subscriptions", "entitlements")
        assert operation["summary"]
        assert {"401", "422", "503"} <= set(operation["responses"])
    codes = {
        code
        for status in operations["editPackage"]["responses"].values()
        for code in status.get("content", {}).get("application/problem+json", {}).get("examples", {})
    }
    assert {"package-archived", "package-name-taken", "precondition-failed", "precondition-required"} <= codes
    assert {"unknown-genre", "dependency-unavailable", "package-not-found", "forbidden"} <= codes
    for name in ("getPackage", "listPackages", "getEntitlements", "listSubscriptions"):
        assert "If-None-Match" in {parameter["name"] for parameter in operations[name]["parameters"]}
        assert "304" in operations[name]["responses"]
    for name in ("createPackage", "subscribe", "subscribeUsers"):
        assert "Idempotency-Key" in {parameter["name"] for parameter in operations[name]["parameters"]}
    update = document["components"]["schemas"]["PackageUpdate"]["properties"]
    assert update["name"].get("type") == "string"
    assert update["genreIds"].get("type") == "array"
