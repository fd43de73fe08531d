"""docker-compose.yml as Docker Compose reads it; deploy/local/tests compares it with the local stack."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from tests.deploy import services
from tests.deploy.conftest import BIN, ROOT, Document

# A variable of the OpenTelemetry SDK, which reads it itself.
OF_LIBRARIES = {"OTEL_EXPORTER_OTLP_ENDPOINT"}
PROCESSES = [
    "gateway",
    *(f"{name}-{kind}" for name in services.SETTINGS if name != "gateway" for kind in ("api", "worker", "migrate")),
]


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_gets_settings_that_it_knows_and_can_use(
    name: str, compose: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, kind = name.partition("-")[::2]
    given = compose["services"][name]["environment"]
    assert set(given) - OF_LIBRARIES <= services.accepted_names(services.SETTINGS[service])
    settings = services.load(service, given, monkeypatch)
    assert settings.host == "0.0.0.0"
    if kind != "migrate":
        probed = settings.port if kind == "api" else settings.ops_port
        assert compose["services"][name]["healthcheck"]["test"] == ["CMD", "healthcheck", str(probed)]


def _read_by_compose(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    argv = [BIN / "docker-compose", "--env-file", "/dev/null", "--project-directory", ROOT, *arguments]
    return subprocess.run(
        argv, env={"PATH": os.defpath, **environment}, cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_a_secret_that_is_missing_is_named_before_anything_starts(secret_values: dict[str, str]) -> None:
    assert _read_by_compose("config", "--quiet", **secret_values).returncode == 0
    missing = "IDENTITY_PASSWORD_PEPPER"
    refused = _read_by_compose("config", "--quiet", **{**secret_values, missing: ""})
    assert refused.returncode != 0
    assert missing in refused.stderr


def test_no_secret_is_built_into_an_image(compose: Document, secret_values: dict[str, str]) -> None:
    for name, service in compose["services"].items():
        assert not [value for value in secret_values.values() if value in str(service.get("build", {}))], name
        assert set(service.get("build", {}).get("args", {})) <= {"DISTRIBUTION", "MODULE"}, name


def test_several_gateways_are_published_on_a_range_of_ports(secret_values: dict[str, str]) -> None:
    ranges = {"STACK_PORTS_GATEWAY": "8080-8082", "STACK_PORTS_GATEWAY_OPS": "9080-9082"}
    for given, wanted in (
        ({}, [("", "8080"), ("127.0.0.1", "9080")]),
        (ranges, [("", "8080-8082"), ("127.0.0.1", "9080-9082")]),
    ):
        read = _read_by_compose("config", "--format", "json", **secret_values, **given)
        ports = json.loads(read.stdout)["services"]["gateway"]["ports"]
        assert [(port.get("host_ip", ""), port["published"]) for port in ports] == wanted


def test_what_is_scaled_has_no_fixed_name_or_port(compose: Document) -> None:
    for name in PROCESSES:
        service = compose["services"][name]
        assert "container_name" not in service, name
        assert name == "gateway" or "ports" not in service, name


def test_data_outlives_containers_in_named_volumes(compose: Document) -> None:
    kept = {
        name: [each["source"] for each in compose["services"][name]["volumes"] if each["type"] == "volume"]
        for name in ("mysql", "mongo", "rabbitmq")
    }
    assert kept == {name: [name] for name in kept}
    assert set(kept) <= set(compose["volumes"])


def test_every_process_but_one_shots_comes_to_ready(compose: Document) -> None:
    # `up --wait` waits for the health of what has a check, and for the end of one-shot services.
    for name, service in compose["services"].items():
        if not name.endswith("-migrate"):
            assert service["healthcheck"]["test"], name
        waited_for = {condition["condition"] for condition in service.get("depends_on", {}).values()}
        assert waited_for <= {"service_healthy", "service_completed_successfully"}, name


def test_programs_of_ours_have_an_init_and_time_to_drain(compose: Document) -> None:
    for name in PROCESSES:
        assert compose["services"][name]["init"] is True, name
        assert compose["services"][name]["stop_grace_period"] == "30s", name


def test_what_watches_the_suite_finds_every_process(secret_values: dict[str, str]) -> None:
    read = _read_by_compose("--profile", "observability", "config", "--format", "json", **secret_values)
    assert read.returncode == 0, read.stderr
    whole = json.loads(read.stdout)["services"]
    added = {name for name, service in whole.items() if service.get("profiles") == ["observability"]}
    assert added == {"prometheus", "grafana", "jaeger"}
    for name in added:
        assert all(port["host_ip"] == "127.0.0.1" for port in whole[name]["ports"]), name
        for volume in whole[name].get("volumes", []):
            assert volume["type"] == "volume" or Path(volume["source"]).exists(), volume
    scraped = {
        (job["job_name"], target, config["port"])
        for job in yaml.safe_load((ROOT / "deploy/observability/prometheus.yml").read_text())["scrape_configs"]
        for config in job["dns_sd_configs"]
        for target in config["names"]
    }
    probed = {
        (name, name, int(whole[name]["healthcheck"]["test"][-1])) for name in PROCESSES if not name.endswith("-migrate")
    }
    assert scraped == probed
