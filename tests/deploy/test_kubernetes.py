"""What the manifests promise of every pod: schema, rights, probes, limits, settings and secrets."""

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from tests.deploy import manifests, services
from tests.deploy.conftest import ROOT, program
from tests.deploy.manifests import COMPONENT, NAME, OURS, Document, container, pod, workloads

from chassis.process import DRAIN_SECONDS

# The oldest release that the manifests are meant for, and the newest that is known here.
VERSIONS = ["1.32", "1.37"]
PROCESSES = [f"{name}-{kind}" for name in services.SETTINGS if name != "gateway" for kind in ("api", "worker")]
MIGRATIONS = [name.replace("-api", "-migrate") for name in PROCESSES if name.endswith("-api")]
# The kubelet needs a moment to notice; a process ends within 25 s of SIGTERM.
END_SECONDS = 25


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_follows_the_schema(overlay: list[Document], version: str) -> None:
    for each in overlay:
        kubernetes_validate.validate(each, version, strict=True)


def test_every_process_is_there_and_each_name_once(overlay: list[Document]) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in overlay]
    assert len(names) == len(set(names))
    assert set(workloads(overlay, *OURS)) == {"gateway", *PROCESSES, *MIGRATIONS}
    assert {each["metadata"]["namespace"] for each in overlay if each["kind"] != "Namespace"} == {"movie-package-suite"}


def test_servers_run_in_the_local_overlay_only(render: Callable[[str], list[Document]]) -> None:
    assert set(workloads(render("local"), "server")) == {"mysql", "mongo", "rabbitmq", "mailpit", "tmdb-simulator"}
    assert not workloads(render("production"), "server")
    assert not manifests.of_kind(render("production"), "Secret")


def test_no_pod_has_rights(overlay: list[Document]) -> None:
    (namespace,) = manifests.of_kind(overlay, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for name, workload in workloads(overlay).items():
        spec, security = pod(workload), container(workload)["securityContext"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] > 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["automountServiceAccountToken"] is False, name
        assert security["allowPrivilegeEscalation"] is False, name
        assert security["capabilities"] == {"drop": ["ALL"]}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        assert not [volume for volume in spec["volumes"] if "hostPath" in volume], name


def test_our_processes_write_nowhere_but_to_tmp(overlay: list[Document]) -> None:
    dockerfile = (ROOT / "deploy/compose/Dockerfile").read_text()
    user = re.search(r"^USER (\d+):\d+$", dockerfile, re.MULTILINE)
    assert user
    for name, workload in workloads(overlay, *OURS).items():
        assert container(workload)["securityContext"]["readOnlyRootFilesystem"] is True, name
        assert [each["mountPath"] for each in container(workload)["volumeMounts"]] == ["/tmp"], name  # noqa: S108
        assert pod(workload)["securityContext"]["runAsUser"] == int(user[1]), name


def test_every_container_is_bounded(overlay: list[Document]) -> None:
    for name, workload in workloads(overlay).items():
        resources = container(workload)["resources"]
        assert set(resources["requests"]) == set(resources["limits"]) == {"cpu", "memory"}, name


def test_images_have_a_version(overlay: list[Document]) -> None:
    for name, workload in workloads(overlay).items():
        assert re.search(r":(dev|v?[0-9]+\.[0-9]+\.[0-9]+(-management)?)$", container(workload)["image"]), name
        assert container(workload)["imagePullPolicy"] == "IfNotPresent", name


def test_every_process_is_probed_where_it_answers(overlay: list[Document]) -> None:
    for name, workload in workloads(overlay, "api", "worker", "gateway").items():
        ports = {each["name"] for each in container(workload)["ports"]}
        wanted = "http" if name.endswith("-api") else "ops"
        assert wanted in ports, name
        for probe, path in (("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
            assert container(workload)[probe]["httpGet"] == {"path": path, "port": wanted}, name
        # Readiness itself gives up after 3 s.
        assert container(workload)["readinessProbe"]["timeoutSeconds"] > 3, name
    for name, workload in workloads(overlay, "server").items():
        assert "readinessProbe" in container(workload), name


def test_a_rolling_update_never_has_fewer_replicas_and_lets_requests_end(overlay: list[Document]) -> None:
    for name, workload in workloads(overlay, "api", "worker", "gateway").items():
        assert workload["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}, name
        notice = container(workload)["lifecycle"]["preStop"]["sleep"]["seconds"]
        # DNS answers live 5 s in a cluster, and the gateway looks names up again after its own interval.
        assert notice >= 5 + services.default_of("resolve_seconds"), name
        assert pod(workload)["terminationGracePeriodSeconds"] >= notice + END_SECONDS, name
    assert DRAIN_SECONDS < END_SECONDS


def test_replicas_belong_to_the_autoscaler_and_survive_a_drained_node(overlay: list[Document]) -> None:
    processes = workloads(overlay, "api", "worker", "gateway")
    scaled = {
        each["spec"]["scaleTargetRef"]["name"]: each for each in manifests.of_kind(overlay, "HorizontalPodAutoscaler")
    }
    assert set(scaled) == set(processes)
    for name, workload in processes.items():
        assert "replicas" not in workload["spec"], "an apply would undo what the autoscaler decided"
        (metric,) = scaled[name]["spec"]["metrics"]
        assert metric["resource"]["name"] == "cpu"
    budgets = manifests.of_kind(overlay, "PodDisruptionBudget")
    for name, workload in processes.items():
        these = [each for each in budgets if manifests.selects(each["spec"]["selector"], manifests.labels(workload))]
        assert [each["metadata"]["name"] for each in these] == [name]
        assert these[0]["spec"]["maxUnavailable"] == 1


def test_production_has_more_than_one_replica_of_everything(render: Callable[[str], list[Document]]) -> None:
    for each in manifests.of_kind(render("production"), "HorizontalPodAutoscaler"):
        assert each["spec"]["minReplicas"] >= 2, each["metadata"]["name"]


def test_replicas_are_spread_over_zones_and_nodes(overlay: list[Document]) -> None:
    for name, workload in workloads(overlay, "api", "worker", "gateway").items():
        spread = pod(workload)["topologySpreadConstraints"]
        assert [each["topologyKey"] for each in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        for each in spread:
            assert manifests.selects(each["labelSelector"], manifests.labels(workload)), name
            assert set(each["matchLabelKeys"]) == {NAME, COMPONENT, "pod-template-hash"}, name
            assert not set(each["matchLabelKeys"]) & set(each["labelSelector"]["matchLabels"]), "refused by the API"


def test_selectors_find_their_own_pods_only(overlay: list[Document]) -> None:
    everything = workloads(overlay)
    for name, workload in everything.items():
        if workload["kind"] == "Job":
            continue
        selector = workload["spec"]["selector"]
        assert [other for other, each in everything.items() if manifests.selects(selector, manifests.labels(each))] == [
            name
        ]


def test_services_lead_to_a_port_that_is_open(overlay: list[Document]) -> None:
    everything = workloads(overlay)
    for service in manifests.of_kind(overlay, "Service"):
        selector = {"matchLabels": service["spec"]["selector"]}
        (target,) = [each for each in everything.values() if manifests.selects(selector, manifests.labels(each))]
        opened = {each["name"]: each["containerPort"] for each in container(target)["ports"]}
        for port in service["spec"]["ports"]:
            wanted = port.get("targetPort", port["port"])
            assert port["port"] == opened.get(wanted, wanted)
            assert port["port"] in opened.values(), service["metadata"]["name"]


@pytest.mark.parametrize("name", ["gateway", *PROCESSES, *MIGRATIONS])
def test_a_process_gets_settings_that_it_knows_and_can_use(
    name: str, render: Callable[[str], list[Document]], monkeypatch: pytest.MonkeyPatch
) -> None:
    local = render("local")
    workload = workloads(local)[name]
    service = manifests.labels(workload)[NAME]
    given = manifests.environment(local, workload)
    assert set(given) <= services.accepted_names(services.SETTINGS[service])
    settings = services.load(service, given, monkeypatch)
    opened = {each["name"]: each["containerPort"] for each in container(workload).get("ports", [])}
    assert opened.items() <= {"http": settings.port, "ops": settings.ops_port}.items()
    assert settings.host == "0.0.0.0"
    # Kubernetes would add GATEWAY_PORT=tcp://… and the like.
    assert pod(workload)["enableServiceLinks"] is False


def test_production_asks_for_the_same_settings_and_its_secrets_are_documented(
    render: Callable[[str], list[Document]],
) -> None:
    local, production = render("local"), render("production")
    readme = (ROOT / "deploy/kubernetes/README.md").read_text()
    asked_for: dict[str, set[str]] = {}
    for name, workload in workloads(production).items():
        assert set(manifests.environment(production, workload)) == set(
            manifests.environment(local, workloads(local)[name])
        )
        for entry in container(workload)["env"]:
            reference = entry["valueFrom"]["secretKeyRef"]
            asked_for.setdefault(reference["name"], set()).add(reference["key"])
    documented = {
        line.split("`")[1]: set(re.findall(r"`([A-Z_]+)`", line))
        for line in readme.splitlines()
        if line.startswith("| `") and "-secrets`" in line
    }
    assert documented == asked_for


def test_peers_are_called_by_service_names_and_ports(overlay: list[Document]) -> None:
    opened = {
        (each["metadata"]["name"], port["port"])
        for each in manifests.of_kind(overlay, "Service")
        for port in each["spec"]["ports"]
    }
    seen = 0
    for workload in workloads(overlay, *OURS).values():
        for name, value in manifests.environment(overlay, workload).items():
            if name.endswith("_URLS"):
                peer = re.fullmatch(r"http://([a-z-]+):(\d+)(?:/.*)?", str(value))
                assert peer
                assert (peer[1], int(peer[2])) in opened
                seen += 1
            if name.endswith("_TRUSTED_PROXIES"):
                assert all(ipaddress.ip_network(part).is_private for part in str(value).split(",") if part)
    assert seen > 10


def test_a_changed_setting_rolls_the_pods(overlay: list[Document]) -> None:
    for each in manifests.of_kind(overlay, "ConfigMap"):
        assert re.search(r"-[a-z0-9]{10}$", each["metadata"]["name"]), "a hash of its content belongs to the name"


def test_prometheus_finds_every_process_under_the_name_of_the_alerts(
    render: Callable[[str], list[Document]], tmp_path: Path
) -> None:
    content = yaml.safe_load((ROOT / "deploy/kubernetes/prometheus.yml").read_text())
    keep, name, gateway, _ = content["scrape_configs"][0]["relabel_configs"]
    found = set()
    for workload in workloads(render("production"), "api", "worker", "gateway").values():
        given = manifests.labels(workload)
        for port in container(workload)["ports"]:
            if re.fullmatch(keep["regex"], f"{given[COMPONENT]}{keep['separator']}{port['name']}"):
                job = f"{given[NAME]}{name['separator']}{given[COMPONENT]}"
                found.add(gateway["replacement"] if job == gateway["regex"] else job)
    here = yaml.safe_load((ROOT / "deploy/observability/prometheus.yml").read_text())
    assert found == {each["job_name"] for each in here["scrape_configs"]}
    # Debian builds its promtool without Kubernetes, so it is shown the rest.
    (job,) = content["scrape_configs"]
    assert job.pop("kubernetes_sd_configs")
    content["rule_files"] = [str(ROOT / "deploy/kubernetes" / path) for path in content["rule_files"]]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(content))
    promtool = str(ROOT / "deploy/observability/promtool.py")
    program("python", promtool, "check", "config", str(tmp_path / "prometheus.yml"))


def test_no_secret_is_in_the_repository(render: Callable[[str], list[Document]], secret_values: dict[str, str]) -> None:
    for name in ("local", "production"):
        for each in render(name):
            if each["kind"] != "Secret":
                assert not [value for value in secret_values.values() if value in str(each)], each["metadata"]["name"]
    ignored = (ROOT / "deploy/kubernetes/overlays/local/.gitignore").read_text().split()
    assert ignored == ["secrets/"]
