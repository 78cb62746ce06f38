"""Kubernetes' own fields, where a component, leader or worker carries them: families.

One case for each field and place; all of a family share one value per field, and the family has
one for every field that Kubernetes' definition has, so that none is lost on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.contract.cases import REFUSED, Case, case
from tests.contract.effects_components import SITES, Site
from tests.contract.world import Seen

TERM = {"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "Exists"}]}]}

POD: dict[str, Any] = {
    "activeDeadlineSeconds": 900,
    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": TERM}},
    "automountServiceAccountToken": False,
    "containers": [{"name": "side", "image": "side:1"}],
    "dnsConfig": {"nameservers": ["10.0.0.10"]},
    "dnsPolicy": "Default",
    "enableServiceLinks": False,
    "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["registry"]}],
    "hostIPC": True,
    "hostNetwork": True,
    "hostPID": True,
    "hostUsers": False,
    "hostname": "engine-host",
    "imagePullSecrets": [{"name": "registry"}],
    "initContainers": [{"name": "first", "image": "first:1"}],
    "nodeName": "gpu-node-1",
    "nodeSelector": {"pool": "gpu"},
    "os": {"name": "linux"},
    "overhead": {"cpu": "10m"},
    "preemptionPolicy": "Never",
    "priority": 7,
    "priorityClassName": "high",
    "readinessGates": [{"conditionType": "example.com/ready"}],
    "resourceClaims": [{"name": "gpu", "resourceClaimName": "claim"}],
    "restartPolicy": "OnFailure",
    "runtimeClassName": "nvidia",
    "schedulerName": "volcano",
    "schedulingGates": [{"name": "example.com/gate"}],
    "securityContext": {"runAsUser": 1000},
    "serviceAccount": "legacy-account",
    "serviceAccountName": "reader",
    "setHostnameAsFQDN": True,
    "shareProcessNamespace": True,
    "subdomain": "engines",
    "terminationGracePeriodSeconds": 77,
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
    ],
    "volumes": [{"name": "scratch", "emptyDir": {}}],
}
"""A value for each field of the contract's PodSpec, without ephemeralContainers."""
EPHEMERAL = [{"name": "debug", "image": "debug:1"}]

CONTAINER: dict[str, Any] = {
    "args": ["--flag"],
    "command": ["serve"],
    "env": [{"name": "COLOUR", "value": "blue"}],
    "envFrom": [{"configMapRef": {"name": "settings"}}],
    "image": "own-image:2",
    "imagePullPolicy": "Always",
    "lifecycle": {"preStop": {"exec": {"command": ["sleep", "5"]}}},
    "livenessProbe": {"httpGet": {"path": "/live", "port": 8080}},
    "name": "ome-container",
    "ports": [{"name": "extra", "containerPort": 9999, "protocol": "TCP"}],
    "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}},
    "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}],
    "resources": {"limits": {"cpu": "3"}},
    "restartPolicy": "Always",
    "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}],
    "securityContext": {"privileged": True},
    "startupProbe": {"httpGet": {"path": "/start", "port": 8080}},
    "stdin": True,
    "stdinOnce": True,
    "terminationMessagePath": "/dev/own-log",
    "terminationMessagePolicy": "FallbackToLogsOnError",
    "tty": True,
    "volumeDevices": [{"name": "disk", "devicePath": "/dev/disk"}],
    "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
    "workingDir": "/srv",
}
"""A value for every field of Kubernetes' Container."""


def contains(found: Any, wanted: Any) -> bool:
    """Whether everything that is wanted is in what was found; lists in any order, with others."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(
            key in found and contains(found[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(found, list) and all(
            any(contains(item, part) for item in found) for part in wanted
        )
    return bool(found == wanted)


def has(where: Callable[[Seen], dict[str, Any]], name: str, value: Any) -> Callable[[Seen], bool]:
    return lambda seen: contains(where(seen).get(name), value)


def cases() -> Iterator[Case]:
    for site in SITES:
        yield from _pods(site, site.path, "", {})
        yield from _runner(site, f"{site.path}.runner", "", {})
        if site.component == "router":
            continue
        image = {"image": "worker:1", "name": "ome-container"}
        group = {f"{site.path}.leader": {}, f"{site.path}.worker": {"size": 1}}
        own = {f"{site.path}.leader": {}, f"{site.path}.worker": {"size": 1, "runner": image}}
        yield from _pods(site, f"{site.path}.leader", "leader", group)
        yield from _pods(site, f"{site.path}.worker", "worker", own)
        yield from _runner(site, f"{site.path}.leader.runner", "leader", group)
        yield from _runner(site, f"{site.path}.worker.runner", "worker", own)


def _pods(site: Site, path: str, role: str, also: dict[str, Any]) -> Iterator[Case]:
    def pod(seen: Seen) -> dict[str, Any]:
        return seen.pod(site.component, role)

    for name, value in POD.items():
        yield from case(
            site.kinds, f"{path}.{name}", value, has(pod, name, value),
            base=site.base(), expected=True, also=also,
        )  # fmt: skip
    for kind in site.kinds.split():
        refused = f"{path}.ephemeralContainers"
        yield from case(
            kind, refused, EPHEMERAL, lambda s, refused=refused: refused in s.refusals,
            base=site.base(), expected=True, also=also, state=REFUSED,
            why="Kubernetes takes them in no template; kubectl debug adds them to a running pod",
        )  # fmt: skip


def _runner(site: Site, path: str, role: str, also: dict[str, Any]) -> Iterator[Case]:
    """All fields of the container at once: each has to arrive."""

    def missing(seen: Seen) -> list[str]:
        main = seen.main(site.component, role)
        return [name for name, value in CONTAINER.items() if not contains(main.get(name), value)]

    yield from case(
        site.kinds, f"{path}.(Container)", CONTAINER, missing,
        base=site.base(), expected=[], also=also,
    )  # fmt: skip
