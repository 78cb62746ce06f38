"""Small controllers that play the projects whose real ones don't run on the bed.

They fill the status as those projects do, no more: Knative Serving (revisions, the Service that it
wants for itself, traffic), KubeRay, an ingress controller and a Gateway API controller. They act in
one namespace, by the same queues as our own controllers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from ome.api import external as x
from ome.apimachinery import resources as r
from ome.apimachinery.errors import Conflict, NotFound
from ome.apimachinery.objects import (
    Key,
    Object,
    Resource,
    annotations_of,
    controller_of,
    is_deleting,
    metadata,
    owner_reference,
    uid_of,
)
from ome.kube import Client, Controller, Informer, Result

NOW = "2026-01-01T00:00:00Z"
TEMPLATE = "test/template"
"""On a Knative Service: the template of its newest revision, as the fake controller notes it."""
LOOK_AGAIN = 0.3


def condition(kind: str, status: str = "True", reason: str = "", message: str = "") -> Object:
    found = {"type": kind, "status": status, "lastTransitionTime": NOW}
    return {**found, **({"reason": reason, "message": message} if reason else {})}


class Players:
    """Use :func:`playing`."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.client, self.namespace = client, namespace
        self.templates: dict[str, list[Object]] = {}
        """By Knative Service: the templates of its revisions, oldest first."""

    async def run(self) -> None:
        parts: dict[Resource, Callable[[Object], Awaitable[float | None]]] = {
            x.KNATIVE_SERVICES: self._knative,
            x.RAY_CLUSTERS: self._ray,
            r.INGRESSES: self._ingress,
            x.HTTP_ROUTES: self._route,
        }
        async with asyncio.TaskGroup() as tasks:
            for resource, play in parts.items():
                informer = Informer(self.client, resource, self.namespace)
                controller = Controller(f"fake {resource}", self._acting(informer, play), workers=1)
                informer.add_handler(lambda _e, old, new, q=controller: q.enqueue((new or old).key))
                tasks.create_task(informer.run())
                tasks.create_task(controller.run())

    def _acting(
        self, informer: Informer, play: Callable[[Object], Awaitable[float | None]]
    ) -> Callable[[Key], Awaitable[Result | None]]:
        async def act(key: Key) -> Result | None:
            live = informer.get(key.namespace, key.name)
            if live is None or is_deleting(live):
                return None
            try:
                again = await play(live)
            except (NotFound, Conflict):
                again = LOOK_AGAIN
            return Result(again) if again is not None else None

        return act

    async def _write(self, resource: Resource, live: Object, status: Object) -> None:
        if (live.get("status") or {}) != status:
            await self.client.update(resource, {**live, "status": status}, subresource="status")

    # -- Knative Serving ----------------------------------------------------------------------

    async def _knative(self, live: Object) -> float | None:
        """A revision for each template; it is up at once. The route waits for the Service's name,
        as Knative does where somebody else has it."""
        name = metadata(live)["name"]
        revisions = self.templates.setdefault(uid_of(live), [])
        template = live["spec"]["template"]
        if not revisions or revisions[-1] != template:
            revisions.append(template)
        newest = f"{name}-{len(revisions):05}"
        routed = await self._placeholder(live)
        status: Object = {
            "observedGeneration": metadata(live)["generation"],
            "latestCreatedRevisionName": newest,
            "latestReadyRevisionName": newest,
        }
        if routed:
            conditions = [condition(k) for k in ("ConfigurationsReady", "Ready", "RoutesReady")]
            status["url"] = f"http://{name}.{self.namespace}.example.com"
            status["traffic"] = [
                {
                    **entry,
                    "revisionName": entry.get("revisionName", newest),
                }
                for entry in live["spec"].get("traffic") or ()
            ]
        else:
            text = f"There is an existing placeholder Service {name!r} that we do not own."
            conditions = [
                condition("ConfigurationsReady"),
                condition("Ready", "False", "NotOwned", text),
                condition("RoutesReady", "False", "NotOwned", text),
            ]
        await self._write(x.KNATIVE_SERVICES, live, {**status, "conditions": conditions})
        return None if routed else LOOK_AGAIN

    async def _placeholder(self, live: Object) -> bool:
        name = metadata(live)["name"]
        try:
            found = await self.client.get(r.SERVICES, name, self.namespace)
        except NotFound:
            meta = {"name": name, "ownerReferences": [owner_reference(live)]}
            spec = {"type": "ExternalName", "externalName": "gateway.example.com"}
            await self.client.create(
                r.SERVICES,
                {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec},
                namespace=self.namespace,
            )
            return True
        return (controller_of(found) or {}).get("uid") == uid_of(live)

    # -- the others ---------------------------------------------------------------------------

    async def _ray(self, live: Object) -> None:
        await self._write(
            x.RAY_CLUSTERS,
            live,
            {"state": "ready", "observedGeneration": metadata(live)["generation"]},
        )

    async def _ingress(self, live: Object) -> None:
        status = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
        await self._write(r.INGRESSES, live, status)

    async def _route(self, live: Object) -> None:
        parents = [
            {
                "parentRef": parent,
                "controllerName": "example.com/gateway",
                "conditions": [
                    {
                        **condition(kind),
                        "reason": kind,
                        "message": "",
                        "observedGeneration": metadata(live)["generation"],
                    }
                    for kind in ("Accepted", "ResolvedRefs")
                ],
            }
            for parent in live["spec"].get("parentRefs") or ()
        ]
        await self._write(x.HTTP_ROUTES, live, {"parents": parents})


@contextlib.asynccontextmanager
async def playing(client: Client, namespace: str) -> AsyncIterator[Players]:
    players = Players(client, namespace)
    task = asyncio.create_task(players.run())
    try:
        yield players
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def images(template: Any) -> set[str]:
    """Of all containers in a pod template, or in whatever holds several of them."""
    if isinstance(template, dict):
        found = {c["image"] for c in template.get("containers") or () if "image" in c}
        return found.union(*(images(v) for v in template.values()))
    if isinstance(template, list):
        return set().union(*(images(item) for item in template))
    return set()


__all__ = ["Players", "annotations_of", "images", "playing"]
