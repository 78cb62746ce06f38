"""A fake node: it takes every pod that is scheduled to it and pretends to run it.

What becomes of a pod is decided by ``behaviour`` (a function of the pod) at the moment it is seen::

    kubelet.behaviour = lambda pod: crashing(exit_code=3, message="no such file")

Pods whose behaviour is :func:`held` stay as they are until the behaviour changes and
:meth:`FakeKubelet.look_again` is called.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ome.apimachinery.errors import Conflict, NotFound
from ome.apimachinery.objects import Key, is_deleting, key_of, metadata
from ome.apimachinery.resources import NODES, PODS
from ome.kube import Client, Controller, Informer

Object = dict[str, Any]
Behaviour = Callable[[Object], Object | None]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _condition(type_: str, status: str, **more: str) -> Object:
    return {"type": type_, "status": status, "lastTransitionTime": _now(), **more}


def running(pod: Object) -> Object:
    """All containers run and are ready."""
    return {
        "phase": "Running",
        "podIP": "127.0.0.1",
        "conditions": [
            _condition("PodScheduled", "True"),
            _condition("Ready", "True"),
            _condition("ContainersReady", "True"),
        ],
        "containerStatuses": [
            _status(container, {"running": {"startedAt": _now()}}, ready=True)
            for container in pod["spec"]["containers"]
        ],
    }


def starting(pod: Object) -> Object:
    """Containers run, but are not ready."""
    status = running(pod)
    status["conditions"] = [_condition("PodScheduled", "True"), _condition("Ready", "False")]
    for entry in status["containerStatuses"]:
        entry["ready"] = False
    return status


def waiting(reason: str, message: str) -> Behaviour:
    """The containers can't be started."""

    def status(pod: Object) -> Object:
        return {
            "phase": "Pending",
            "conditions": [_condition("PodScheduled", "True"), _condition("Ready", "False")],
            "containerStatuses": [
                _status(container, {"waiting": {"reason": reason, "message": message}})
                for container in pod["spec"]["containers"]
            ],
        }

    return status


def crashing(exit_code: int, message: str) -> Behaviour:
    """The containers end again and again."""

    def status(pod: Object) -> Object:
        ended = {
            "exitCode": exit_code,
            "reason": "Error",
            "message": message,
            "startedAt": _now(),
            "finishedAt": _now(),
        }
        wait = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
        return {
            "phase": "Running",
            "conditions": [_condition("PodScheduled", "True"), _condition("Ready", "False")],
            "containerStatuses": [
                {**_status(container, wait), "restartCount": 3, "lastState": {"terminated": ended}}
                for container in pod["spec"]["containers"]
            ],
        }

    return status


def ended(exit_code: int, message: str) -> Behaviour:
    """The containers have ended for good, as those of a Job's pod do."""

    def status(pod: Object) -> Object:
        over = {
            "exitCode": exit_code,
            "reason": "Error" if exit_code else "Completed",
            "message": message,
            "startedAt": _now(),
            "finishedAt": _now(),
        }
        return {
            "phase": "Failed" if exit_code else "Succeeded",
            "conditions": [_condition("PodScheduled", "True"), _condition("Ready", "False")],
            "containerStatuses": [
                _status(container, {"terminated": over}) for container in pod["spec"]["containers"]
            ],
        }

    return status


def ended_before(exit_code: int, message: str) -> Behaviour:
    """The first init container has failed for good, so the others never began."""

    def status(pod: Object) -> Object:
        found = ended(exit_code, message)({"spec": {"containers": pod["spec"]["initContainers"]}})
        waits = {"waiting": {"reason": "PodInitializing"}}
        return {
            **(found or {}),
            "initContainerStatuses": (found or {})["containerStatuses"],
            "containerStatuses": [_status(c, waits) for c in pod["spec"]["containers"]],
        }

    return status


def held(_pod: Object) -> None:
    """Nothing happens yet."""
    return


def _status(container: Object, state: Object, *, ready: bool = False) -> Object:
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": ready,
        "restartCount": 0,
        "state": state,
        "lastState": {},
    }


class FakeKubelet:
    """Use ``run`` as a task; ``labels`` are the node's, for example of models that it has."""

    def __init__(self, client: Client, name: str = "node-a") -> None:
        self.name = name
        self.behaviour: Behaviour = running
        self._client = client
        self._pods = Informer(client, PODS)
        self._controller = Controller("kubelet", self._reconcile, workers=4)
        self._pods.add_handler(lambda _e, old, new: self._controller.enqueue((new or old).key))

    async def register(self, labels: dict[str, str] | None = None) -> None:
        """Creates the Node object with plenty of everything."""
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": self.name,
                "labels": {"kubernetes.io/hostname": self.name, **(labels or {})},
            },
        }
        created = await self._client.create(NODES, node)
        resources = {"cpu": "1000", "memory": "1000Gi", "pods": "10000", "nvidia.com/gpu": "1000"}
        created["status"] = {
            "capacity": resources,
            "allocatable": resources,
            "conditions": [_condition("Ready", "True")],
        }
        await self._client.update(NODES, created, subresource="status")

    async def label(self, labels: dict[str, str | None]) -> None:
        await self._client.patch(NODES, self.name, {"metadata": {"labels": labels}})

    def look_again(self) -> None:
        for key in self._pods.keys():  # noqa: SIM118 - a method of informers
            self._controller.enqueue(key)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pods.run())
            await self._pods.synced()
            tasks.create_task(self._controller.run())

    async def _reconcile(self, key: Key) -> None:
        pod = self._pods.get(*key)
        if pod is None or (pod.get("spec") or {}).get("nodeName") != self.name:
            return
        try:
            if is_deleting(pod):
                uid = metadata(pod)["uid"]
                await self._client.delete(
                    PODS, key.name, key.namespace, uid=uid, grace_period_seconds=0
                )
                return
            status = self.behaviour(pod)
            if status is None or _essence(status) == _essence(pod.get("status") or {}):
                return
            await self._client.update(PODS, {**pod, "status": status}, subresource="status")
        except (NotFound, Conflict):
            return
        assert key_of(pod) == key


def _essence(status: Object) -> Object:
    return {
        "phase": status.get("phase"),
        "ready": [(c["type"], c["status"]) for c in status.get("conditions") or ()],
        "states": [
            (s["name"], s.get("ready"), sorted(s.get("state") or {}), s.get("restartCount"))
            for s in status.get("containerStatuses") or ()
        ],
    }
