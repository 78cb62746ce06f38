"""What ``ome up`` puts into its API at each start: CRDs, the catalog, configuration, the gateway.

Silent where nothing has changed: each object carries a hash of what it was made from, and a second
start writes nothing. What users have changed in the configuration is kept, except for the two
sections that have to be as they are on one machine.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from ome._version import __version__
from ome.api.constants import A_HOST_PROCESS, BENCHMARK_JOB_CONFIG, INFERENCE_SERVICE_CONFIG
from ome.api.resources import by_kind
from ome.apimachinery.errors import AlreadyExists, NotFound
from ome.apimachinery.objects import Object, Resource, annotations_of
from ome.apimachinery.resources import (
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    NAMESPACES,
    PODS,
)
from ome.cli.prepare import Bundle
from ome.kube import Client

log = logging.getLogger(__name__)

NAMESPACE = "ome"
GATEWAY = "gateway"
INSTALLED = "ome-installed"
A_HASH = "ome.io/content-hash"
MANAGER = "ome-up"


@dataclass(frozen=True, slots=True)
class Gateway:
    """The gateway's pod, and the port on which it will answer."""

    port: int
    pod: Object


async def ensure_namespace(client: Client) -> None:
    """For all that follows. An empty store has it; somebody may have deleted it since."""
    await _created(client, NAMESPACES, {"metadata": {"name": NAMESPACE}})


async def install(client: Client, bundle: Bundle) -> None:
    """CRDs first, until they are served; then the catalog. Nothing where it is all there."""
    marker = await _found(client, CONFIG_MAPS, INSTALLED, NAMESPACE)
    if ((marker or {}).get("data") or {}).get("stamp") == bundle.stamp:
        return
    for raw in bundle.crds:
        await _ensure(client, CUSTOM_RESOURCE_DEFINITIONS, msgspec.json.decode(raw))
    for raw in bundle.catalog:
        obj: Object = msgspec.json.decode(raw)
        resource = by_kind(obj["kind"])
        assert resource is not None, obj["kind"]
        await _ensure(client, resource, obj)
    installed: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": INSTALLED, "namespace": NAMESPACE},
        "data": {"stamp": bundle.stamp, "version": __version__},
    }
    await client.apply(CONFIG_MAPS, installed, field_manager=MANAGER)


async def configure(client: Client, gateway: str) -> None:
    """The configuration that makes this home: addresses at the gateway, Ready by an answer."""
    ours = {
        "ingress": {
            "disableIngressCreation": True,
            "urlScheme": "http",
            "ingressDomain": gateway,
            "pathTemplate": "/services/{{ .Namespace }}/{{ .Name }}",
        },
        "readiness": {"probe": "completion"},
        "scaling": {"fromZero": True},
    }
    await _configure(client, INFERENCE_SERVICE_CONFIG, ours)


async def configure_benchmarks(client: Client, command: Sequence[str], python: str) -> None:
    """Benchmarks run as processes: ``command`` is a Python, ``python`` the one with genai-bench.

    They ask for little: what they measure must still fit on this machine."""
    pod = {
        "image": "ome.io/host-process/genai-bench",
        "hostProcess": True,
        "command": list(command),
        "python": python,
        "cpuRequest": "10m",
        "cpuLimit": "",
        "memoryRequest": "64Mi",
        "memoryLimit": "",
    }
    await _configure(client, BENCHMARK_JOB_CONFIG, {"benchmarkjob": {"podConfig": pod}})


async def _configure(client: Client, name: str, ours: Mapping[str, Any]) -> None:
    live = await _found(client, CONFIG_MAPS, name, NAMESPACE)
    data: dict[str, str] = dict((live or {}).get("data") or {})
    # Nothing here acts on ScaledObjects, so no service should wait for one.
    nobody = {"kedaConfig": json.dumps({"enableKeda": False})}
    wanted = nobody | data | {name: json.dumps(section) for name, section in ours.items()}
    if live is not None and data == wanted:
        return
    obj: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "data": wanted,
    }
    await client.apply(CONFIG_MAPS, obj, field_manager=MANAGER)


def gateway_pod(node: str, argv: Sequence[str], environment: Mapping[str, str]) -> Object:
    """The gateway as a pod of this node, started again whenever it ends."""
    container: Object = {
        "name": GATEWAY,
        "image": "ome.io/host-process/gateway",
        "command": list(argv),
        "env": [{"name": k, "value": v} for k, v in sorted(environment.items())],
    }
    pod: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": GATEWAY,
            "namespace": NAMESPACE,
            "labels": {"app.kubernetes.io/part-of": "ome", "app.kubernetes.io/name": GATEWAY},
            "annotations": {A_HOST_PROCESS: "true"},
        },
        "spec": {
            "nodeName": node,
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 25,
            "containers": [container],
        },
    }
    pod["metadata"]["annotations"][A_HASH] = digest(pod)
    return pod


async def ensure_gateway(client: Client, pod: Object) -> None:
    """Leaves a gateway that was started the same way alone; replaces any other."""
    live = await live_gateway(client)
    if live is not None:
        if annotations_of(live).get(A_HASH) == annotations_of(pod)[A_HASH]:
            return
        log.info("replacing the gateway: it was started in another way")
        await client.delete(PODS, GATEWAY, NAMESPACE, uid=live["metadata"]["uid"])
        while live is not None:
            await asyncio.sleep(0.05)
            live = await live_gateway(client)
    await client.create(PODS, pod, field_manager=MANAGER)


async def live_gateway(client: Client) -> Object | None:
    """The gateway's pod that an earlier start left, if any."""
    return await _found(client, PODS, GATEWAY, NAMESPACE)


async def gateway_problem(client: Client) -> str:
    """Why the gateway has ended or can't run, in its own words; empty where it may yet answer."""
    live = await live_gateway(client) or {}
    for entry in (live.get("status") or {}).get("containerStatuses") or ():
        for state in (entry.get("state") or {}, entry.get("lastState") or {}):
            if ended := state.get("terminated"):
                said = str(ended.get("message") or f"exit status {ended.get('exitCode')}")
                return said.strip().splitlines()[-1].removeprefix("error: gateway: ")
    return ""


async def _ensure(client: Client, resource: Resource, obj: Object) -> None:
    """Creates the object, or updates it where its hash says that it has changed."""
    stamp = digest(obj)
    meta: dict[str, Any] = obj["metadata"]
    wanted = {
        **obj,
        "metadata": {**meta, "annotations": {**(meta.get("annotations") or {}), A_HASH: stamp}},
    }
    live = await _found(client, resource, meta["name"])
    if live is None:
        await _created(client, resource, wanted)
    elif annotations_of(live).get(A_HASH) != stamp:
        await client.apply(resource, wanted, field_manager=MANAGER)


async def _found(
    client: Client, resource: Resource, name: str, namespace: str = ""
) -> Object | None:
    try:
        return await client.get(resource, name, namespace)
    except NotFound:
        return None


async def _created(client: Client, resource: Resource, obj: Object) -> None:
    full = {"apiVersion": resource.api_version, "kind": resource.kind, **obj}
    try:
        await client.create(resource, full, field_manager=MANAGER)
    except AlreadyExists:
        log.debug("%s %s is there already", resource.kind, obj["metadata"]["name"])


def digest(obj: Object) -> str:
    """Changes with what the object says."""
    text = json.dumps(obj, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
