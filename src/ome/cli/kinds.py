"""Which kind a word means: ``isvc``, ``inferenceservices.ome.io``, ``models``.

The kinds that OME works with are known here, so that most commands need no discovery; any other
word is looked up in what the API server serves.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from ome.api import resources as ours
from ome.apimachinery import resources as core
from ome.apimachinery.objects import Resource
from ome.cli.api import Api
from ome.cli.errors import CliError

_SHORT: dict[str, Resource] = {
    "isvc": ours.INFERENCE_SERVICES,
    "srt": ours.SERVING_RUNTIMES,
    "csrt": ours.CLUSTER_SERVING_RUNTIMES,
    "bm": ours.BASE_MODELS,
    "cbm": ours.CLUSTER_BASE_MODELS,
    "ftw": ours.FINE_TUNED_WEIGHTS,
    "bmj": ours.BENCHMARK_JOBS,
    "service": ours.INFERENCE_SERVICES,
    "ns": core.NAMESPACES,
    "no": core.NODES,
    "po": core.PODS,
    "svc": core.SERVICES,
    "cm": core.CONFIG_MAPS,
    "ep": core.ENDPOINTS,
    "ev": core.EVENTS,
    "sa": core.SERVICE_ACCOUNTS,
    "pvc": core.PERSISTENT_VOLUME_CLAIMS,
    "pv": core.PERSISTENT_VOLUMES,
    "deploy": core.DEPLOYMENTS,
    "rs": core.REPLICA_SETS,
    "sts": core.STATEFUL_SETS,
    "ds": core.DAEMON_SETS,
    "hpa": core.HORIZONTAL_POD_AUTOSCALERS,
    "pdb": core.POD_DISRUPTION_BUDGETS,
    "crd": core.CUSTOM_RESOURCE_DEFINITIONS,
}

# One word for both scopes of a kind.
GROUPS: dict[str, tuple[Resource, ...]] = {
    "models": (ours.CLUSTER_BASE_MODELS, ours.BASE_MODELS),
    "model": (ours.CLUSTER_BASE_MODELS, ours.BASE_MODELS),
    "runtimes": (ours.CLUSTER_SERVING_RUNTIMES, ours.SERVING_RUNTIMES),
    "runtime": (ours.CLUSTER_SERVING_RUNTIMES, ours.SERVING_RUNTIMES),
    "services": (ours.INFERENCE_SERVICES,),
}

CORE: tuple[Resource, ...] = tuple(v for v in vars(core).values() if isinstance(v, Resource))
KNOWN: tuple[Resource, ...] = (*ours.ALL, *CORE)


def resource_for(word: str, api: Api | None = None) -> Resource:
    """The resource that a word on the command line means."""
    found = _match(word.lower(), KNOWN)
    if found is None and api is not None:
        found = _match(word.lower(), served(api))
    if found is None:
        raise _unknown(f"there is no kind '{word}'", word, [r.plural for r in KNOWN])
    return found


def resources_for(word: str, api: Api | None = None) -> tuple[Resource, ...]:
    """Like :func:`resource_for`, with ``models`` and ``runtimes`` for both scopes."""
    return GROUPS.get(word.lower()) or (resource_for(word, api),)


def resource_of(kind: str, api_version: str, api: Api | None = None) -> Resource:
    """The resource of an object's ``kind`` and ``apiVersion``."""
    for resource in KNOWN:
        if resource.kind == kind and resource.api_version == api_version:
            return resource
    if api is not None:
        for resource in served(api):
            if resource.kind == kind and resource.api_version == api_version:
                return resource
    same_kind = [r.api_version for r in KNOWN if r.kind == kind]
    if same_kind:
        raise CliError(
            f"there is no kind {kind} in {api_version or 'an empty apiVersion'}",
            remedy=f"Write apiVersion: {same_kind[0]}",
        )
    raise _unknown(f"there is no kind {kind} in {api_version}", kind, [r.kind for r in KNOWN])


def _match(word: str, resources: Iterable[Resource]) -> Resource | None:
    if word in _SHORT:
        return _SHORT[word]
    plain, _, group = word.partition(".")
    for resource in resources:
        if plain in (resource.plural, resource.kind.lower()):
            served_by = resource.group
            if not group or served_by == group or group == f"{resource.version}.{served_by}":
                return resource
    return None


def served(api: Api) -> list[Resource]:
    """Everything that the API server serves, preferred versions only."""
    versions = [("", "v1")]
    for group in api.read("/apis").get("groups") or ():
        preferred = group.get("preferredVersion") or group["versions"][0]
        versions.append((group["name"], preferred["version"]))
    found = []
    for group, version in versions:
        root = f"/apis/{group}/{version}" if group else f"/api/{version}"
        for entry in api.read(root).get("resources") or ():
            if "/" not in entry["name"]:
                found.append(
                    Resource(group, version, entry["name"], entry["kind"], entry["namespaced"])
                )
    return found


def _unknown(message: str, word: str, known: list[str]) -> CliError:
    lowered = {k.lower(): k for k in known}
    close = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.6)
    if close:
        return CliError(message, remedy=f"Did you mean {lowered[close[0]]}?")
    ours_ = ", ".join(r.kind for r in ours.ALL)
    return CliError(message, remedy=f"OME's kinds are {ours_}")
