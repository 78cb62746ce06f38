"""Runs every controller of this room until cancelled."""

from __future__ import annotations

import asyncio
import contextlib

from ome.apimachinery.errors import StatusError
from ome.kube import Client, KubeError
from ome.standalone.workloads.autoscaler import PERIOD, Autoscaler, Usage
from ome.standalone.workloads.deployments import Deployments
from ome.standalone.workloads.garbage import Garbage
from ome.standalone.workloads.jobs import Jobs
from ome.standalone.workloads.namespaces import Namespaces
from ome.standalone.workloads.replicasets import ReplicaSets
from ome.standalone.workloads.scheduler import Scheduler
from ome.standalone.workloads.services import Services
from ome.standalone.workloads.shared import Shared


async def run(
    client: Client,
    *,
    ready: asyncio.Event | None = None,
    usage: Usage | None = None,
    autoscale_seconds: float = PERIOD,
) -> None:
    """``ready`` is set once all caches have been read and the controllers work; ``usage`` says
    what pods use (see :mod:`ome.standalone.workloads.autoscaler`)."""
    shared = Shared(client)
    controllers = (
        Scheduler(shared).controller,
        ReplicaSets(shared).controller,
        Deployments(shared).controller,
        Services(shared).controller,
        Jobs(shared).controller,
        Namespaces(shared).controller,
    )
    garbage = Garbage(shared)
    autoscaler = Autoscaler(shared, usage, period=autoscale_seconds)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(shared.informers.run(), name="workloads informers")
            await shared.informers.synced()
            for controller in controllers:
                tasks.create_task(controller.run(), name=controller.name)
            tasks.create_task(garbage.run(), name="garbage")
            tasks.create_task(autoscaler.run(), name="autoscaler")
            if ready is not None:
                ready.set()
    finally:
        with contextlib.suppress(StatusError, KubeError, TimeoutError):
            await shared.events.close()
