"""An installation of the implementation before this one, as it stands on a cluster.

What it made of the corpus' samples is recorded; here the recordings become live objects, written as
that manager wrote them: by POST and PUT under its field manager, so that ``managedFields`` are what
a real installation has. Deployments and LeaderWorkerSets get their pods from the real controllers.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.cluster import takeover_kinds as kinds
from tests.cluster.wire import MERGE_PATCH, Answer, Api, established
from tests.corpus import corpus

from ome.api import constants as c
from ome.api import external as x
from ome.api import names
from ome.api import resources as o
from ome.api.crds import all_crds
from ome.apimachinery import resources as core
from ome.apimachinery.objects import Object, Resource

OLD = "manager"
"""The field manager of the old binary."""
USER = "kubectl-create"
SHAPE = "BM.GPU.H100.8"
"""Of machine: one of the recorded services runs on no other."""
LEASE = "ome-controller-manager-leader-lock"
KINDS: tuple[Resource, ...] = (
    core.DEPLOYMENTS,
    core.SERVICES,
    core.CONFIG_MAPS,
    core.SERVICE_ACCOUNTS,
    core.ROLES,
    core.ROLE_BINDINGS,
    core.HORIZONTAL_POD_AUTOSCALERS,
    core.POD_DISRUPTION_BUDGETS,
    core.INGRESSES,
    x.LEADER_WORKER_SETS,
    x.KNATIVE_SERVICES,
    x.RAY_CLUSTERS,
    x.SCALED_OBJECTS,
)
_BY_KIND = {(kind.api_version, kind.kind): kind for kind in KINDS}
TEMPLATES = {
    "Deployment": ("template",),
    "LeaderWorkerSet": ("leaderWorkerTemplate",),
    "RayCluster": (),
}
AT_ONCE = 16

Name = tuple[str, str, str]
"""Kind, namespace, name."""


@dataclass(frozen=True)
class Seen:
    """The children and pods of all services at one moment."""

    children: dict[Name, Object]
    pods: dict[tuple[str, str], Object]

    def uids(self) -> dict[Name, str]:
        return {name: obj["metadata"]["uid"] for name, obj in self.children.items()}

    def specs(self) -> dict[Name, str]:
        """Of workloads. Their generation says less: for Deployments an annotation counts, too."""
        return {
            name: json.dumps(obj["spec"], sort_keys=True)
            for name, obj in self.children.items()
            if template(obj) is not None
        }

    def templates(self) -> dict[Name, str]:
        found = {name: template(obj) for name, obj in self.children.items()}
        return {name: text for name, text in found.items() if text is not None}

    def running(self) -> dict[tuple[str, str], tuple[str, int, bool]]:
        """Pods: uid, restarts, and whether it is on its way out."""
        return {
            name: (
                pod["metadata"]["uid"],
                sum(s["restartCount"] for s in pod["status"].get("containerStatuses") or ()),
                "deletionTimestamp" in pod["metadata"],
            )
            for name, pod in self.pods.items()
        }


def template(obj: Object) -> str | None:
    """What pods are made of, byte for byte; None for what makes no pods."""
    if obj["kind"] == "Service" and obj["apiVersion"].startswith("serving.knative.dev/"):
        path: tuple[str, ...] = ("template",)
    elif obj["kind"] in TEMPLATES:
        path = TEMPLATES[obj["kind"]]
    else:
        return None
    found = obj["spec"]
    for key in path:
        found = found[key]
    return json.dumps(found, sort_keys=True)


def managers(obj: Object) -> set[tuple[str, str]]:
    """Who wrote the object itself, and how; what is below a subresource does not count."""
    return {
        (entry["manager"], entry["operation"])
        for entry in obj["metadata"].get("managedFields") or ()
        if not entry.get("subresource")
    }


@dataclass
class Old:
    """Everything of the old installation but its workloads and its rights."""

    connect: Callable[[], AbstractAsyncContextManager[Api]]
    nodes: list[str]
    services: list[Object] = field(default_factory=list)

    def load(self) -> None:
        """The corpus, and services of the kinds that it lacks."""
        asyncio.run(self._load())

    def hold_lease(self, seconds: int) -> None:
        """The old manager renews it for the last time."""
        asyncio.run(self._hold_lease(seconds))

    def seen(self) -> Seen:
        return asyncio.run(self._seen())

    def touch(self, patch: Object, only: Iterable[Object] | None = None) -> None:
        """Changes every service, as somebody who edits it."""
        asyncio.run(self._touch(patch, list(self.services if only is None else only)))

    def live(self) -> dict[tuple[str, str], Object]:
        return asyncio.run(self._live())

    def take_up(self) -> None:
        """What the controller of Knative would do with a change: nobody else is here to do it."""
        asyncio.run(self._take_up())

    # -- inside -------------------------------------------------------------------------------

    async def _load(self) -> None:
        async with self.connect() as api:
            await established(api, all_crds())
            recordings = [(r.service, r.children) for r in corpus.recordings().values()]
            everything = [*recordings, *kinds.everything()]
            spaces = sorted({s["metadata"]["namespace"] for s, _ in everything} | {"ome"})
            await _all(_make(api, core.NAMESPACES, _namespace(name), USER) for name in spaces)
            models = {m["metadata"]["name"]: m for m in corpus.models().values()}
            for recording in corpus.recordings().values():
                model = _described(recording)
                models.setdefault(model["metadata"]["name"], model)
            own, *runtimes = kinds.shared()
            models[own["metadata"]["name"]] = own
            await _all(_model(api, model) for model in models.values())
            runtimes += corpus.runtimes().values()
            await _all(_make(api, o.by_kind(r["kind"]), r, USER) for r in runtimes)
            await _all(self._report(api, node, models) for node in self.nodes)
            await _all(self._service(api, service, made) for service, made in everything)

    async def _report(self, api: Api, node: str, models: Iterable[str]) -> None:
        """What the old agent left: the label of each model, and its entry."""
        ready = {names.model_label("", model): "Ready" for model in models}
        ready["node.kubernetes.io/instance-type"] = SHAPE
        path = f"{core.NODES.path()}/{node}"
        labels = {"metadata": {"labels": ready}}
        _ok(await api.call("PATCH", path, labels, media=MERGE_PATCH, fieldManager="model-agent"))
        entries = {
            names.model_config_map_key("", model): json.dumps({"name": model, "status": "Ready"})
            for model in models
        }
        report = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": node, "namespace": "ome", "labels": {c.L_MODEL_STATUS: "true"}},
            "data": entries,
        }
        await _make(api, core.CONFIG_MAPS, report, "model-agent")

    async def _service(self, api: Api, service: Object, children: list[Object]) -> None:
        given = copy.deepcopy(service)
        given["metadata"].pop("uid", None)
        made = await _make(api, o.INFERENCE_SERVICES, given, USER)
        self.services.append(made)
        path = _path(o.INFERENCE_SERVICES, made)
        made["metadata"]["finalizers"] = [c.FINALIZER_INFERENCE_SERVICE]
        made = _ok(await api.call("PUT", path, made, fieldManager=OLD)).body
        for child in children:
            await _child(api, made, child)
        made["status"] = _status(made)
        _ok(await api.call("PUT", f"{path}/status", made, fieldManager=OLD))

    async def _hold_lease(self, seconds: int) -> None:
        async with self.connect() as api:
            await _make(api, core.LEASES, _lease(seconds), OLD)

    async def _seen(self) -> Seen:
        async with self.connect() as api:
            children: dict[Name, Object] = {}
            for resource in KINDS:
                # Ingresses of before carry no label.
                query = {} if resource == core.INGRESSES else {"labelSelector": _OURS}
                listing = await api.call("GET", resource.path(), **query)
                for item in _ok(listing).body["items"]:
                    item.update(apiVersion=resource.api_version, kind=resource.kind)
                    meta = item["metadata"]
                    children[(_kind(resource), meta["namespace"], meta["name"])] = item
            listing = await api.call("GET", core.PODS.path(), labelSelector=_OURS)
            pods = {
                (pod["metadata"]["namespace"], pod["metadata"]["name"]): pod
                for pod in _ok(listing).body["items"]
            }
        return Seen(children, pods)

    async def _touch(self, patch: Object, services: list[Object]) -> None:
        async with self.connect() as api:

            async def one(service: Object) -> None:
                path = _path(o.INFERENCE_SERVICES, service)
                _ok(await api.call("PATCH", path, patch, media=MERGE_PATCH, fieldManager=USER))

            await _all(one(service) for service in services)

    async def _take_up(self) -> None:
        async with self.connect() as api:
            listing = _ok(await api.call("GET", x.KNATIVE_SERVICES.path(), labelSelector=_OURS))
            for obj in listing.body["items"]:
                seen = {"status": {"observedGeneration": obj["metadata"]["generation"]}}
                path = f"{_path(x.KNATIVE_SERVICES, obj)}/status"
                _ok(await api.call("PATCH", path, seen, media=MERGE_PATCH, fieldManager="knative"))

    async def _live(self) -> dict[tuple[str, str], Object]:
        async with self.connect() as api:
            listing = _ok(await api.call("GET", o.INFERENCE_SERVICES.path()))
        return {
            (item["metadata"]["namespace"], item["metadata"]["name"]): item
            for item in listing.body["items"]
        }


_OURS = c.L_INFERENCE_SERVICE


def _kind(resource: Resource) -> str:
    return "Knative Service" if resource == x.KNATIVE_SERVICES else resource.kind


def _path(resource: Resource, obj: Object) -> str:
    meta = obj["metadata"]
    return f"{resource.path(meta.get('namespace', ''))}/{meta['name']}"


def _ok(answer: Answer) -> Answer:
    assert answer.ok, answer
    return answer


async def _all(work: Iterable[Awaitable[Any]]) -> None:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(item: Awaitable[Any]) -> None:
        async with room:
            await item

    await asyncio.gather(*(one(item) for item in work))


async def _make(api: Api, resource: Resource | None, obj: Object, manager: str) -> Object:
    assert resource is not None, obj["kind"]
    path = resource.path(obj["metadata"].get("namespace", ""))
    answer = await api.call("POST", path, obj, fieldManager=manager)
    if answer.status == 409:
        return _ok(await api.call("GET", _path(resource, obj))).body  # type: ignore[no-any-return]
    assert answer.ok, f"{obj['kind']} {obj['metadata']['name']}: {answer}"
    return answer.body  # type: ignore[no-any-return]


def _described(recording: corpus.Recording) -> Object:
    """A model that the corpus lacks, with what the service's runtime asks for."""
    model = copy.deepcopy(corpus.model_of(recording))
    named = (recording.service["spec"].get("runtime") or {}).get("name")
    runtime = corpus.runtimes().get(named) or {"spec": {}}
    for entry in (runtime["spec"].get("supportedModelFormats") or ())[:1]:
        for key in ("modelArchitecture", "quantization"):
            if entry.get(key):
                model["spec"].setdefault(key, entry[key])
    return model


async def _model(api: Api, model: Object) -> None:
    resource = o.by_kind(model["kind"])
    assert resource is not None
    made = await _make(api, resource, model, USER)
    made["metadata"]["finalizers"] = [c.FINALIZER_CLUSTER_BASE_MODEL]
    _ok(await api.call("PUT", _path(resource, made), made, fieldManager=OLD))


async def _child(api: Api, service: Object, child: Object) -> None:
    """POST, and a PUT of the whole, as the old manager's reconciles are."""
    given = copy.deepcopy(child)
    for reference in given["metadata"].get("ownerReferences") or ():
        reference["uid"] = service["metadata"]["uid"]
    annotations = given["metadata"].setdefault("annotations", {})
    annotations["from.the.past/first"] = "yes"
    resource = _BY_KIND[(given["apiVersion"], given["kind"])]
    status = given.pop("status", None)
    await _make(api, resource, given, OLD)
    path = _path(resource, given)
    if resource in (core.SERVICES, core.ROLES, core.SERVICE_ACCOUNTS, core.DEPLOYMENTS):

        async def again() -> Answer:
            live = _ok(await api.call("GET", path)).body
            del live["metadata"]["annotations"]["from.the.past/first"]
            return await api.call("PUT", path, live, fieldManager=OLD)

        await _while_conflicts(again)
    if status is not None:
        answer = await api.call("PATCH", f"{path}/status", {"status": status}, media=MERGE_PATCH)
        _ok(answer)


async def _while_conflicts(write: Callable[[], Awaitable[Answer]]) -> None:
    """Controllers write to a new object at the same time."""
    while (answer := await write()).status == 409:
        await asyncio.sleep(0.05)
    _ok(answer)


def _namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _lease(seconds: int) -> Object:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": LEASE, "namespace": "ome"},
        "spec": {
            "holderIdentity": "ome-controller-manager-5d8f7c9b4-x2x7p_0b0f8a52",
            "leaseDurationSeconds": seconds,
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": 3,
        },
    }


def _status(service: Object) -> Object:
    """As it was known to be wrong: a child's generation, a model that is for ever pending, the
    reason of what goes wrong overwritten, conditions of components that nobody has."""
    spec, then = service["spec"], "2026-05-06T07:08:09Z"
    conditions = [
        {"type": "IngressReady", "status": "True", "lastTransitionTime": then},
        {"type": "PredictorReady", "status": "Unknown", "lastTransitionTime": then},
        {"type": "Ready", "status": "False", "reason": "Initializing", "lastTransitionTime": then},
    ]
    for name in c.COMPONENTS:
        if spec.get(name) is not None:
            conditions.append(
                {
                    "type": f"{name.capitalize()}Ready",
                    "status": "False",
                    "reason": "Initializing",
                    "message": f"{name} component initializing",
                    "lastTransitionTime": then,
                }
            )
    return {
        "observedGeneration": 41,
        "conditions": sorted(conditions, key=lambda entry: entry["type"]),
        "components": {"engine": {"latestCreatedRevision": "1"}},
        "url": "http://wrong.example",
        "modelStatus": {
            "transitionStatus": "InProgress",
            "modelRevisionStates": {"activeModelState": "", "targetModelState": "Pending"},
        },
    }
