"""The NetworkPolicies let through the arrows of docs/architecture.md and nothing else."""

from collections.abc import Callable

from tests.deploy import manifests
from tests.deploy.manifests import Arrow, Document, Network

PORTS = {"identity": 8101, "subscription": 8102, "catalog": 8103, "watch": 8104}
SERVERS = {"mysql": 3306, "mongo": 27017, "rabbitmq": 5672, "mailpit": 1025, "tmdb-simulator": 8105}
# The ports of servers outside the cluster: the broker with and without TLS, mail with it.
ELSEWHERE = {
    "mysql": {3306},
    "mongo": {27017},
    "rabbitmq": {5671, 5672},
    "mailpit": {465, 587},
    "tmdb-simulator": {443},
}
# Who opens a connection to whom.
CALLS = {
    "gateway": ["identity-api", "subscription-api", "catalog-api", "watch-api", "rabbitmq"],
    "identity-api": ["mysql"],
    "identity-worker": ["mysql", "rabbitmq", "mailpit"],
    "identity-migrate": ["mysql"],
    "subscription-api": ["mysql", "identity-api", "catalog-api"],
    "subscription-worker": ["mysql", "rabbitmq"],
    "subscription-migrate": ["mysql"],
    "catalog-api": ["mongo", "identity-api", "subscription-api", "tmdb-simulator"],
    "catalog-worker": ["mongo", "rabbitmq", "subscription-api", "tmdb-simulator"],
    "catalog-migrate": ["mongo"],
    "watch-api": ["mongo", "identity-api", "catalog-api"],
    "watch-worker": ["mongo", "rabbitmq"],
    "watch-migrate": ["mongo"],
    # A replica set of one, which finds itself by name.
    "mongo": ["mongo"],
}
MONITORED = [f"{name}-{kind}" for name in PORTS for kind in ("api", "worker")] + ["gateway"]


def _port(name: str) -> int:
    return SERVERS[name] if name in SERVERS else PORTS[name.removesuffix("-api")]


def _operations(name: str) -> int:
    if name == "gateway":
        return 9080
    service, _, kind = name.partition("-")
    return PORTS[service] + (1000 if kind == "worker" else 0)


def test_nothing_is_allowed_unless_it_is_said(overlay: list[Document]) -> None:
    network = Network(overlay)
    assert all(network.denied_by_default(name) for name in manifests.workloads(overlay))


def test_the_arrows_between_pods_are_those_of_the_architecture(render: Callable[[str], list[Document]]) -> None:
    local = render("local")
    network, pods = Network(local), set(manifests.workloads(local))
    inside = {each for each in network.arrows() if {each.source, each.to} <= pods}
    assert inside == {Arrow(source, to, _port(to)) for source, targets in CALLS.items() for to in targets}
    assert not network.half_open()


def test_the_arrows_from_and_to_the_outside(render: Callable[[str], list[Document]]) -> None:
    local = render("local")
    pods = set(manifests.workloads(local))
    outside = {each for each in Network(local).arrows() if not {each.source, each.to} <= pods}
    names = {Arrow(name, "kube-system", 53) for name in pods}
    scraped = {each for each in outside if each.source == "monitoring"}
    traces = {Arrow(name, "monitoring", port) for name in MONITORED for port in (4317, 4318)}
    assert outside - scraped == names | traces | {Arrow("anybody", "gateway", 8080)}
    assert {Arrow("monitoring", name, _operations(name)) for name in MONITORED} <= scraped
    assert {each.to for each in scraped} == set(MONITORED)


def test_production_reaches_servers_outside_the_cluster(render: Callable[[str], list[Document]]) -> None:
    production = render("production")
    arrows = Network(production).arrows()
    for name in manifests.workloads(production):
        found = {(each.to, each.port) for each in arrows if each.source == name and "/" in each.to}
        wanted = [target for target in CALLS[name] if target in ELSEWHERE]
        assert {port for _, port in found} == {port for target in wanted for port in ELSEWHERE[target]}, name
    assert {each.source for each in arrows if each.to == "gateway"} == {"ingress-nginx", "monitoring"}
