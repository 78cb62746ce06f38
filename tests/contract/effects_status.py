"""What OME writes into the status of services and models.

Each case is an event: before it the field is not there (or says something else), after it OME has
written it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

from tests.contract.cases import Case, case, written
from tests.contract.effects_components import put
from tests.contract.effects_service import accelerated
from tests.contract.world import EARLIER, NOW, Seen, World
from tests.unit.rendering.modes import live

from ome.api import external as x
from ome.api.constants import A_INPUT_HASH
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object
from ome.controllers.models import Models
from ome.controllers.modelstate import ModelState
from ome.rendering.statusinput import Answer

KIND = "InferenceService"
MODELS = "BaseModel ClusterBaseModel"
COMPONENT = "status.components{}"
LOADED = "status.modelStatus"
UP: Object = {
    "observedGeneration": 9,
    "replicas": 1,
    "updatedReplicas": 1,
    "availableReplicas": 1,
    "readyReplicas": 1,
    "conditions": [{"type": "Available", "status": "True"}],
}


def cases() -> Iterator[Case]:
    yield from _service()
    yield from _conditions()
    yield from _components()
    yield from _accelerator()
    yield from _model_status()
    yield from _models()


# --- what happens to a service --------------------------------------------------------------------


def nothing_yet() -> World:
    """The service was written, and nothing has been applied."""
    return World()


def broken() -> World:
    """The model that the service names does not exist."""
    world = World()
    world.model["metadata"]["name"] = "another"
    return world


def mended(world: World) -> None:
    world.model["metadata"]["name"] = "tiny"


def comes_up(world: World) -> None:
    """The Deployment is there, and its pods are available."""
    rendered = world.seen().decision.rendered
    assert rendered is not None
    world.observed = live(rendered, status={r.DEPLOYMENTS: UP})
    deployment = world.observed.of(r.DEPLOYMENTS)["chat-engine"]
    deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "3"
    world.pods = {"engine": [pod()]}


def pod(**status: Any) -> Object:
    return {
        "metadata": {
            "name": "chat-engine-abc-1",
            "creationTimestamp": EARLIER,
            "ownerReferences": [{"kind": "ReplicaSet", "name": "chat-engine-abc"}],
        },
        "status": status or {"conditions": [{"type": "Ready", "status": "True"}]},
    }


def crashes(world: World) -> None:
    comes_up(world)
    deployment = world.observed.of(r.DEPLOYMENTS)["chat-engine"]
    deployment["status"] = {**UP, "availableReplicas": 0, "readyReplicas": 0, "conditions": []}
    ended = {"exitCode": 137, "finishedAt": EARLIER, "message": "out of memory"}
    container = {
        "name": "ome-container",
        "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": ended},
    }
    world.pods = {"engine": [pod(containerStatuses=[container])]}


def status(*path: Any) -> Callable[[Seen], Any]:
    """A value in the status that OME writes now."""

    def look(seen: Seen) -> Any:
        found: Any = seen.status
        for key in path:
            found = found[key]
        return found

    return look


def condition(type_: str, name: str) -> Callable[[Seen], Any]:
    def look(seen: Seen) -> Any:
        return next(e for e in seen.status["conditions"] if e["type"] == type_)[name]

    return look


def _service() -> Iterator[Case]:
    def edited(world: World) -> None:
        world.service["metadata"]["generation"] = 7

    for path in ("status.(Status)", "status.observedGeneration"):
        yield from written(KIND, path, 7, status("observedGeneration"), edited)
    inside = "http://chat.default.svc.cluster.local:8080"
    yield from written(KIND, "status.url", inside, status("url"), mended, base=broken)
    yield from written(
        KIND, "status.address", {"url": inside}, status("address"), mended, base=broken
    )

    def answers(world: World) -> None:
        comes_up(world)
        deployment = world.observed.of(r.DEPLOYMENTS)["chat-engine"]
        made_of = deployment["metadata"]["annotations"][A_INPUT_HASH]
        world.answer = Answer(f"generation 1, engine {made_of}", True, "answered")

    yield from written(
        KIND, "status.annotations", True,
        lambda s: bool(s.status["annotations"].get("ome.io/answered")), answers,
    )  # fmt: skip


def _conditions() -> Iterator[Case]:
    path = "status.conditions[]"
    for name, expected in (("status", "True"), ("reason", "Available"),
                           ("message", "1 of 1 engine replicas are available")):  # fmt: skip
        yield from written(
            KIND, f"{path}.{name}", expected, condition("EngineReady", name), comes_up,
            base=nothing_yet,
        )  # fmt: skip
    yield from written(
        KIND, f"{path}.type", "EngineReady", condition("EngineReady", "type"), mended, base=broken
    )

    def edited(world: World) -> None:
        world.service["metadata"]["generation"] = 7

    yield from written(
        KIND, f"{path}.observedGeneration", 7, condition("Ready", "observedGeneration"), edited
    )

    def since_yesterday(world: World) -> None:
        entry = {"type": "Ready", "status": "Unknown", "lastTransitionTime": EARLIER}
        world.service["status"] = {"conditions": [entry]}

    yield from written(
        KIND, f"{path}.lastTransitionTime", EARLIER, condition("Ready", "lastTransitionTime"),
        since_yesterday,
    )  # fmt: skip

    def somebody_elses(world: World) -> None:
        entry = {"type": "Own", "status": "False", "severity": "Info", "lastTransitionTime": NOW}
        world.service["status"] = {"conditions": [entry]}

    yield from written(
        KIND, f"{path}.severity", "Info", condition("Own", "severity"), somebody_elses
    )


# --- components -----------------------------------------------------------------------------------


def serverless() -> World:
    world = World()
    world.service["metadata"]["annotations"] = {"ome.io/deploymentMode": "Serverless"}
    return world


def rolls_out(world: World) -> None:
    """Knative has moved all traffic from the first revision to the second."""
    world.service["status"] = {
        "components": {"engine": {"latestRolledoutRevision": "chat-engine-00001"}}
    }
    rendered = world.seen().decision.rendered
    assert rendered is not None
    given = {
        "latestReadyRevisionName": "chat-engine-00002",
        "latestCreatedRevisionName": "chat-engine-00002",
        "traffic": [{"revisionName": "chat-engine-00002", "percent": 100}],
        "url": "http://chat-engine.example.com",
        "address": {"url": "http://chat-engine.default.svc.cluster.local"},
    }
    world.observed = live(rendered, status={x.KNATIVE_SERVICES: given})


def _components() -> Iterator[Case]:
    def engine(name: str) -> Callable[[Seen], Any]:
        return status("components", "engine", name)

    for name, expected in (("latestReadyRevision", "3"), ("latestCreatedRevision", "3")):
        yield from written(
            KIND, f"{COMPONENT}.{name}", expected, engine(name), comes_up, base=nothing_yet
        )
    address = "http://chat-engine.default.svc.cluster.local"
    for name in ("url", "restURL"):
        yield from written(
            KIND, f"{COMPONENT}.{name}", address, engine(name), comes_up, base=nothing_yet
        )
    yield from written(
        KIND, f"{COMPONENT}.replicas", 1, engine("replicas"), comes_up, base=nothing_yet
    )
    for name, expected_ in (
        ("latestRolledoutRevision", "chat-engine-00002"),
        ("previousRolledoutRevision", "chat-engine-00001"),
        ("traffic", [{"revisionName": "chat-engine-00002", "percent": 100}]),
        ("address", {"url": address}),
    ):
        yield from written(
            KIND, f"{COMPONENT}.{name}", expected_, engine(name), rolls_out, base=serverless
        )


def _accelerator() -> Iterator[Case]:
    def asked(world: World) -> None:
        put(world.service, "spec.acceleratorSelector.acceleratorClass", "h100")

    path = "selectedAccelerator"
    fits = "needs at least 1.3 GiB, has 80 GiB; its cache is not known"
    for name, expected in (
        ("acceleratorClass", "h100"),
        ("reason", "named by spec.acceleratorSelector.acceleratorClass; " + fits),
        ("nodeSelector", {"gpu": "h100"}),
        ("resourceRequests", {"nvidia.com/gpu": "1"}),
    ):
        yield from written(
            KIND, f"{COMPONENT}.{path}.{name}", expected,
            status("components", "engine", path, name), asked, base=accelerated,
        )  # fmt: skip


# --- the older summary ----------------------------------------------------------------------------


def _model_status() -> Iterator[Case]:
    def loaded(*path: str) -> Callable[[Seen], Any]:
        return status("modelStatus", *path)

    yield from written(
        KIND, f"{LOADED}.transitionStatus", "UpToDate", loaded("transitionStatus"), comes_up,
        base=nothing_yet,
    )  # fmt: skip
    for name in ("activeModelState", "targetModelState"):
        yield from written(
            KIND, f"{LOADED}.modelRevisionStates.{name}", "Loaded",
            loaded("modelRevisionStates", name), comes_up, base=nothing_yet,
        )  # fmt: skip
    yield from written(
        KIND, f"{LOADED}.modelCopies.totalCopies", 1, loaded("modelCopies", "totalCopies"),
        comes_up, base=nothing_yet,
    )  # fmt: skip
    yield from written(
        KIND, f"{LOADED}.modelCopies.failedCopies", 1, loaded("modelCopies", "failedCopies"),
        crashes, base=nothing_yet,
    )  # fmt: skip
    for name, expected in (
        ("location", "chat-engine-abc-1"),
        ("reason", "ModelLoadFailed"),
        ("message", "out of memory"),
        ("modelRevisionName", "chat-engine-abc"),
        ("time", EARLIER),
        ("exitCode", 137),
    ):
        yield from written(
            KIND, f"{LOADED}.lastFailureInfo.{name}", expected, loaded("lastFailureInfo", name),
            crashes, base=nothing_yet,
        )  # fmt: skip


# --- models ---------------------------------------------------------------------------------------


def model_status(seen: Seen) -> Object:
    """The status that the controller of models writes."""
    controller = Models(seen.world.kind, None, None, None)  # type: ignore[arg-type]
    return controller._status(seen.world.model, seen.world.state or ModelState())


def _models() -> Iterator[Case]:
    def at(*path: Any) -> Callable[[Seen], Any]:
        def look(seen: Seen) -> Any:
            found: Any = model_status(seen)
            for key in path:
                found = found[key]
            return found

        return look

    progress = {
        "phase": "downloading",
        "completedBytes": 25,
        "totalBytes": 100,
        "speedBytesPerSec": 25,
        "lastUpdated": EARLIER,
    }

    def reported(**state: Any) -> Callable[[World], None]:
        def change(world: World) -> None:
            world.state = ModelState(**copy.deepcopy(state))

        return change

    ready, failed = reported(ready=("n1",)), reported(failed={"n2": "no space left"})
    arriving = reported(pending={"n1": progress})
    for name, expected, change in (
        ("state", "Ready", ready),
        ("nodesReady", ["n1"], ready),
        ("nodesFailed", ["n2"], failed),
        ("nodesPending", ["n1"], arriving),
        ("message", "on 1 node", ready),
    ):
        yield from written(MODELS, f"status.{name}", expected, at(name), change)
    for name, expected_ in (
        ("phase", "downloading"),
        ("percent", 25),
        ("completedBytes", 25),
        ("totalBytes", 100),
        ("bytesPerSecond", 25),
        ("remainingSeconds", 3),
        ("lastUpdated", EARLIER),
        ("node", "n1"),
    ):
        yield from written(
            MODELS, f"status.progress.{name}", expected_, at("progress", name), arriving
        )

    def edited(world: World) -> None:
        world.model["metadata"]["generation"] = 7

    yield from written(MODELS, "status.observedGeneration", 7, at("observedGeneration"), edited)
    for name, value in (("status", "True"), ("reason", "OnNode"), ("message", "on 1 node")):
        yield from written(
            MODELS, f"status.conditions[].{name}", value, at("conditions", 0, name), ready
        )

    def since_yesterday(world: World) -> None:
        entry = {"type": "Ready", "status": "False", "lastTransitionTime": EARLIER}
        world.model["status"] = {"conditions": [entry]}

    def somebody_elses(world: World) -> None:
        entry = {"type": "Own", "status": "True", "severity": "Info", "observedGeneration": 4}
        world.model["status"] = {"conditions": [{**entry, "lastTransitionTime": NOW}]}

    yield from written(
        MODELS, "status.conditions[].lastTransitionTime", EARLIER,
        at("conditions", 0, "lastTransitionTime"), since_yesterday,
    )  # fmt: skip
    for name, value in (("type", "Own"), ("severity", "Info"), ("observedGeneration", 4)):
        yield from written(
            MODELS, f"status.conditions[].{name}", value, at("conditions", 0, name),
            somebody_elses,
        )  # fmt: skip
    yield from case(
        MODELS, "status.lifecycle", "Deprecated",
        lambda s: (model_status(s)["lifecycle"], "is deprecated" in s.notes),
        expected=("Deprecated", True),
    )  # fmt: skip
