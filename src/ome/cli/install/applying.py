"""Puts an installation on a cluster and takes it off again.

Applying is server-side apply under one field manager and may be repeated: nothing changes where
nothing has to. The configuration ConfigMaps are people's as well: a key that somebody else has
changed stays as it is, and that is said. What a setting has turned off is removed.

Taking off removes what was installed, webhooks first (their operator is about to go). CRDs, the
namespace and everything people made stay, unless asked for by name.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ome.admission.certificates import SECRET_NAME
from ome.api import constants as c
from ome.api import resources as o
from ome.apimachinery import resources as r
from ome.apimachinery.errors import Conflict, Forbidden, NotFound, StatusError
from ome.apimachinery.objects import Object, Resource, condition, metadata
from ome.cli.errors import CliError, from_status
from ome.cli.install.parts import AGENT_DAEMON_SET, OPERATOR, Part, crds, namespace, parts
from ome.cli.install.settings import Values, tree
from ome.kube import Client

MANAGER = "ome-install"
Say = Callable[[str], None]
_KINDS: Mapping[tuple[str, str], Resource] = {
    (kind.api_version, kind.kind): kind
    for kind in (
        r.NAMESPACES,
        r.CUSTOM_RESOURCE_DEFINITIONS,
        r.SERVICE_ACCOUNTS,
        r.CLUSTER_ROLES,
        r.CLUSTER_ROLE_BINDINGS,
        r.ROLES,
        r.ROLE_BINDINGS,
        r.CONFIG_MAPS,
        r.SERVICES,
        r.DEPLOYMENTS,
        r.DAEMON_SETS,
        r.POD_DISRUPTION_BUDGETS,
        r.NETWORK_POLICIES,
        r.MUTATING_WEBHOOKS,
        r.VALIDATING_WEBHOOKS,
        Resource("monitoring.coreos.com", "v1", "servicemonitors", "ServiceMonitor"),
    )
}
_WEBHOOKS = (r.MUTATING_WEBHOOKS, r.VALIDATING_WEBHOOKS)


def resource_of(obj: Object) -> Resource:
    return _KINDS[obj["apiVersion"], obj["kind"]]


def title(obj: Object) -> str:
    where = metadata(obj).get("namespace")
    return f"{obj['kind']} {where + '/' if where else ''}{metadata(obj)['name']}"


def chosen(name: str, changes: Mapping[str, Any]) -> tuple[list[Object], list[Object]]:
    """What is to be there, in order, and what is not."""
    values = tree(changes)

    def holds(part: Part) -> bool:
        return all(_at(values, path) for path in part.when)

    every = parts(Values(name, changes))
    wanted = [namespace(name), *crds(), *(part.object for part in every if holds(part))]
    return wanted, [part.object for part in every if not holds(part)]


def _at(values: Mapping[str, Any], path: str) -> Any:
    found: Any = values
    for step in path.split("."):
        found = found[step]
    return found


async def install(client: Client, name: str, changes: Mapping[str, Any], say: Say) -> None:
    """Raises CliError at the first object that is refused."""
    wanted, unwanted = chosen(name, changes)
    await _no_other(client, name)
    for obj in wanted:
        await _apply(client, obj, say)
        if obj["kind"] == r.CUSTOM_RESOURCE_DEFINITIONS.kind:
            await _established(client, metadata(obj)["name"])
    for obj in unwanted:
        if await _delete(client, obj):
            say(f"removed {title(obj)}: it is switched off")


async def _no_other(client: Client, name: str) -> None:
    """Rights and webhooks are there once in a cluster, so an installation can be there once."""
    try:
        found = await client.get(r.CLUSTER_ROLE_BINDINGS, "ome-manager-rolebinding")
    except NotFound:
        return
    for subject in found.get("subjects") or ():
        if subject.get("namespace") not in (None, name):
            raise CliError(
                f"OME is installed in namespace {subject['namespace']} of this cluster",
                remedy=f"Give --namespace {subject['namespace']}, or uninstall it there first",
            )


async def _apply(client: Client, obj: Object, say: Say) -> None:
    resource = resource_of(obj)
    force = resource != r.CONFIG_MAPS
    before = await _version(client, resource, obj)
    try:
        after = await client.apply(resource, obj, field_manager=MANAGER, force=force)
    except Conflict as conflict:
        fields = ", ".join(cause.path for cause in conflict.causes)
        say(f"left {title(obj)} as somebody else has changed it ({fields})")
        return
    except NotFound as error:
        raise CliError(
            f"the cluster has no kind {obj['kind']}",
            where=title(obj),
            remedy="Install what brings it, or switch the setting off",
        ) from error
    except StatusError as error:
        raise from_status(error, "can't be applied", title(obj)) from error
    same = metadata(after).get("resourceVersion") == before
    say(f"unchanged: {title(obj)}" if same else f"applied {title(obj)}")


async def _version(client: Client, resource: Resource, obj: Object) -> str:
    """Which version of the object is there; empty where none is."""
    meta = metadata(obj)
    try:
        found = await client.get(resource, meta["name"], meta.get("namespace", ""))
    except StatusError:
        return ""  # what is wrong comes out when it is applied
    return str(metadata(found).get("resourceVersion") or "")


async def _established(client: Client, name: str) -> None:
    async def look() -> bool:
        crd = await client.get(r.CUSTOM_RESOURCE_DEFINITIONS, name)
        return (condition(crd, "Established") or {}).get("status") == "True"

    await _until(f"CRD {name} is established", look, 30.0)


async def ready(client: Client, name: str, changes: Mapping[str, Any], seconds: float) -> None:
    """Waits until every replica and every agent runs this version. Raises CliError."""
    workloads = [(r.DEPLOYMENTS, OPERATOR)]
    if tree(changes)["agent"]["enabled"]:
        workloads.append((r.DAEMON_SETS, AGENT_DAEMON_SET))
    for resource, workload in workloads:

        async def look(resource: Resource = resource, workload: str = workload) -> bool:
            return _rolled_out(await client.get(resource, workload, name))

        await _until(f"{resource.kind} {name}/{workload} is ready", look, seconds)


def _rolled_out(workload: Object) -> bool:
    status = workload.get("status") or {}
    if status.get("observedGeneration") != metadata(workload).get("generation"):
        return False
    if workload["kind"] == r.DAEMON_SETS.kind:
        count = status.get("desiredNumberScheduled", 0)
        return bool(
            count == status.get("numberAvailable", 0) == status.get("updatedNumberScheduled", 0)
        )
    count = workload["spec"]["replicas"]
    return bool(count == status.get("availableReplicas", 0) == status.get("updatedReplicas", 0))


async def uninstall(
    client: Client, name: str, say: Say, *, delete_crds: bool = False, seconds: float = 300.0
) -> None:
    """``delete_crds`` deletes all services, models and runtimes of the cluster, and the CRDs."""
    if delete_crds:
        await _delete_crds(client, say, seconds)
    everything = [part.object for part in parts(Values(name))]
    everything.sort(key=lambda obj: resource_of(obj) not in _WEBHOOKS)
    for obj in everything:
        try:
            if await _delete(client, obj):
                say(f"deleted {title(obj)}")
        except Forbidden as error:
            raise from_status(error, "can't be deleted", title(obj)) from error
    for resource, left in ((r.LEASES, c.LEADER_LEASE), (r.SECRETS, SECRET_NAME)):
        await _gone_if_there(client, resource, left, name)
    if not delete_crds:
        say("kept: CRDs, models, runtimes, services and their pods, the namespace")


async def _delete_crds(client: Client, say: Say, seconds: float) -> None:
    """While the operator still runs, so that it can let go of what it holds."""
    for resource in o.ALL:
        name = f"{resource.plural}.{resource.group}"
        await _gone_if_there(client, r.CUSTOM_RESOURCE_DEFINITIONS, name)

        async def gone(name: str = name) -> bool:
            try:
                await client.get(r.CUSTOM_RESOURCE_DEFINITIONS, name)
            except NotFound:
                return True
            return False

        await _until(f"all {resource.plural} are gone", gone, seconds)
        say(f"deleted CRD {name} and all {resource.plural}")


async def _delete(client: Client, obj: Object) -> bool:
    resource = resource_of(obj)
    meta = metadata(obj)
    return await _gone_if_there(client, resource, meta["name"], meta.get("namespace", ""))


async def _gone_if_there(
    client: Client, resource: Resource, name: str, namespace_: str = ""
) -> bool:
    try:
        await client.delete(resource, name, namespace_)
    except NotFound:
        return False
    return True


async def _until(what: str, look: Callable[[], Awaitable[bool]], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not await look():
        if time.monotonic() > deadline:
            raise CliError(
                f"waited {seconds:.0f} s, and it is not yet true that {what}",
                remedy="'kubectl -n NAMESPACE describe' says more",
            )
        await asyncio.sleep(0.25)
