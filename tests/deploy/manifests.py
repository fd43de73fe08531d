"""Reading Kubernetes objects: pods, what they are given, and who may talk to whom."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]
NAME, COMPONENT = "app.kubernetes.io/name", "app.kubernetes.io/component"
OURS = ("api", "worker", "gateway", "migrate")


def of_kind(documents: Iterable[Document], *kinds: str) -> list[Document]:
    """The objects of some kinds."""
    return [each for each in documents if each["kind"] in kinds]


def workloads(documents: Iterable[Document], *components: str) -> dict[str, Document]:
    """What makes pods, by name; of some components only, if they are given."""
    found = of_kind(documents, "Deployment", "StatefulSet", "Job")
    return {
        each["metadata"]["name"]: each
        for each in found
        if not components or each["metadata"]["labels"][COMPONENT] in components
    }


def pod(workload: Document) -> Document:
    """The pod of a workload."""
    spec: Document = workload["spec"]["template"]["spec"]
    return spec


def container(workload: Document) -> Document:
    """The only container of a workload's pod."""
    (only,) = pod(workload)["containers"]
    return dict(only)


def labels(workload: Document) -> dict[str, str]:
    """The labels of a workload's pods."""
    found: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return found


def data(documents: Iterable[Document], kind: str, name: str) -> dict[str, str] | None:
    """Decoded keys and values of a ConfigMap or Secret; None when there is no such object."""
    for each in of_kind(documents, kind):
        if each["metadata"]["name"] == name:
            values: dict[str, str] = each.get("data", {})
            if kind == "Secret":
                return {key: base64.b64decode(value).decode() for key, value in values.items()}
            return values
    return None


def environment(documents: list[Document], workload: Document) -> dict[str, str | None]:
    """Names and values that a container is started with; a value is None when its Secret is made elsewhere."""
    found: dict[str, str | None] = {}
    for source in container(workload).get("envFrom", []):
        kind, reference = ("ConfigMap", "configMapRef") if "configMapRef" in source else ("Secret", "secretRef")
        values = data(documents, kind, source[reference]["name"])
        assert values is not None, f"{source} does not exist"
        found |= values
    for entry in container(workload).get("env", []):
        if "value" in entry:
            found[entry["name"]] = entry["value"]
        else:
            reference = entry["valueFrom"]["secretKeyRef"]
            values = data(documents, "Secret", reference["name"])
            assert values is None or reference["key"] in values, f"no key {reference}"
            found[entry["name"]] = None if values is None else values[reference["key"]]
    return found


def selects(selector: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    """Whether a label selector selects something with these labels."""
    for key, value in selector.get("matchLabels", {}).items():
        if wanted.get(key) != value:
            return False
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In"
        if wanted.get(expression["key"]) not in expression["values"]:
            return False
    return True


@dataclass(frozen=True)
class Arrow:
    """A connection that may be opened. `to` and `source` are names of workloads, or what lies outside."""

    source: str
    to: str
    port: int


class Network:
    """What the NetworkPolicies of an overlay let through: deny unless both ends have a policy that allows."""

    def __init__(self, documents: list[Document]) -> None:
        self._policies = [each["spec"] for each in of_kind(documents, "NetworkPolicy")]
        self._pods = {name: labels(each) for name, each in workloads(documents).items()}

    def _rules(self, name: str, direction: str) -> Iterator[Document]:
        key = direction.lower()
        for policy in self._policies:
            if direction in policy["policyTypes"] and selects(policy["podSelector"], self._pods[name]):
                yield from policy.get(key, [])

    def denied_by_default(self, name: str) -> bool:
        """Whether a pod is selected for both directions, so that only what is allowed goes through."""
        return all(
            any(
                direction in policy["policyTypes"] and selects(policy["podSelector"], self._pods[name])
                for policy in self._policies
            )
            for direction in ("Ingress", "Egress")
        )

    def _ends(self, rule: Document, key: str) -> set[str]:
        if key not in rule:
            return {"anybody"}
        found = set()
        for peer in rule[key]:
            if "ipBlock" in peer:
                found.add(peer["ipBlock"]["cidr"])
            elif "namespaceSelector" in peer:
                found.add(peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"])
            else:
                found |= {name for name, these in self._pods.items() if selects(peer["podSelector"], these)}
        return found

    def _one_sided(self, direction: str, key: str) -> set[Arrow]:
        found = set()
        for name in self._pods:
            for rule in self._rules(name, direction):
                for other in self._ends(rule, key):
                    for port in rule["ports"]:
                        ends = (name, other) if direction == "Egress" else (other, name)
                        found.add(Arrow(*ends, port["port"]))
        return found

    def arrows(self) -> set[Arrow]:
        """Every connection that is allowed: between pods if both ends allow it, from and to the outside if one does."""
        leaving, entering = self._one_sided("Egress", "to"), self._one_sided("Ingress", "from")
        inside = set(self._pods)
        return (
            (leaving & entering)
            | {each for each in leaving if each.to not in inside}
            | {each for each in entering if each.source not in inside}
        )

    def half_open(self) -> set[Arrow]:
        """Connections between pods that one end allows and the other does not: a mistake in either."""
        inside = set(self._pods)
        both = self._one_sided("Egress", "to") ^ self._one_sided("Ingress", "from")
        return {each for each in both if each.source in inside and each.to in inside}
