"""Services that have no replica while nobody asks: waking them for a request, and letting them go.

A component with ``minReplicas: 0`` may be at zero. The first request for such a service is held
while a replica is asked for, through ``/scale`` of its Deployment: the one field that belongs to
whoever scales. It goes on as soon as a replica takes requests, or is answered with an error that
says why after ``wake_seconds``. Without a request for ``idle_seconds`` the component goes back to
zero; a service that has a canary stays up. Between one and its maximum a HorizontalPodAutoscaler
decides, which leaves zero alone.

Nothing is remembered on disk. A gateway that starts counts from its start, so at worst a service
stays up one idle time longer. Requests that don't come through the gateway count for nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from ome.api.constants import L_COMPONENT, L_INFERENCE_SERVICE
from ome.apimachinery.errors import NotFound, StatusError
from ome.apimachinery.objects import Key, labels_of, metadata
from ome.apimachinery.resources import DEPLOYMENTS
from ome.kube import Client, KubeError
from ome.standalone.gateway.errors import ApiError, busy
from ome.standalone.gateway.routes import Endpoint, RouteTable, Service

log = logging.getLogger(__name__)

MANAGER = "ome-gateway"
IDLE_SECONDS = 600.0
WAKE_SECONDS = 300.0
MAX_HELD = 256
"""Requests that wait for one service."""
_LOOK_SECONDS = 5.0
_CANARY = "-canary"


@dataclass(slots=True)
class _State:
    """What is known of one service that may be at zero."""

    last_used: float
    users: int = 0
    held: int = 0
    asleep: bool = False
    """Its Deployments have been seen at zero, and nothing has woken them since."""
    waking: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Zero:
    """Told of every request (:meth:`using`), asked where there is no replica (:meth:`wake`)."""

    client: Client
    table: RouteTable
    clock: Callable[[], float]
    idle_seconds: float = IDLE_SECONDS
    wake_seconds: float = WAKE_SECONDS
    look_seconds: float = _LOOK_SECONDS
    _states: dict[Key, _State] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def changed(self) -> None:
        """Replicas have come or gone."""
        self._changed.set()
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def using(self, service: Service) -> AsyncIterator[None]:
        """Keeps the service up for as long as a request runs."""
        if not service.from_zero:
            yield
            return
        state = self._state(service.key)
        state.users += 1
        try:
            yield
        finally:
            state.users -= 1
            state.last_used = self.clock()

    async def wake(self, service: Service, gone: set[Endpoint] | None = None) -> None:
        """Returns when the service has a replica. Raises ApiError where it gets none in time.

        Those in ``gone`` could not be reached and don't count; they are taken out of it when they
        are no longer listed, so that one that comes back under its old address does."""
        state = self._state(service.key)
        if state.held >= MAX_HELD:
            raise busy(f"{state.held} requests wait for service '{service.id}' to start")
        patience = self.wake_seconds if service.wake_seconds is None else service.wake_seconds
        state.held += 1
        try:
            async with asyncio.timeout(patience):
                await self._until_there(service.key, state, set() if gone is None else gone)
        except TimeoutError:
            raise self._too_late(service, patience) from None
        finally:
            state.held -= 1

    async def _until_there(self, key: Key, state: _State, gone: set[Endpoint]) -> None:
        while True:
            service = self.table.services.get(key)
            if service is None:
                raise ApiError(404, "model_not_found", f"Service '{key}' has been deleted.")
            there = set(self.table.endpoints(service))
            gone &= there
            if there - gone:
                return
            if state.waking is None or state.waking.done():
                # For everybody who waits, and again while it stays at zero.
                state.waking = asyncio.create_task(self._ask(service, state))
            changed = self._changed
            waiting = asyncio.create_task(changed.wait())
            try:
                await asyncio.wait({waiting}, timeout=self.look_seconds)
            finally:
                waiting.cancel()

    async def _ask(self, service: Service, state: _State) -> None:
        try:
            for name, replicas in await self._deployments(service):
                if replicas == 0:
                    await self._scale(service, name, 1)
            state.asleep = False
        except (StatusError, KubeError, TimeoutError) as error:
            log.warning("%s: can't be woken yet: %s", service.id, error)

    def _too_late(self, service: Service, patience: float) -> ApiError:
        current = self.table.services.get(service.key, service)
        why = (current.why or "nothing is known of it yet").rstrip(".")
        where = "" if service.namespace == "default" else f" -n {service.namespace}"
        return ApiError(
            504,
            "scale_from_zero_timeout",
            f"Service '{service.id}' was scaled to zero, and after {patience:g} s no replica of it "
            f"takes requests: {why}. 'ome describe isvc {service.name}{where}' shows more; try "
            f"again, or give it longer with the annotation ome.io/scale-from-zero-timeout.",
            headers={"Retry-After": "10"},
        )

    def _state(self, key: Key) -> _State:
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = _State(self.clock())
        return state

    # -- back to zero --------------------------------------------------------------------------

    async def run(self) -> None:
        """Lets go of what nobody has asked for. Until cancelled."""
        while True:
            await asyncio.sleep(self.look_seconds)
            for key in [key for key in self._states if key not in self.table.services]:
                del self._states[key]
            for service in self.table.listed():
                if service.from_zero and self._is_idle(service, self._state(service.key)):
                    await self._let_go(service, self._state(service.key))

    def _is_idle(self, service: Service, state: _State) -> bool:
        patience = self.idle_seconds if service.idle_seconds is None else service.idle_seconds
        if state.asleep and self.table.endpoints(service):
            state.asleep, state.last_used = False, self.clock()  # woken by somebody else
        quiet = self.clock() - state.last_used >= patience
        return quiet and not (state.users or state.held or state.asleep or service.canary)

    async def _let_go(self, service: Service, state: _State) -> None:
        try:
            for name, replicas in await self._deployments(service):
                if replicas and not (state.users or state.held):
                    await self._scale(service, name, 0)
        except (StatusError, KubeError, TimeoutError) as error:
            log.warning("%s: can't be scaled to zero yet: %s", service.id, error)
            return
        # A request that came meanwhile finds no replica and wakes the service again.
        state.asleep = not (state.users or state.held)

    async def _deployments(self, service: Service) -> list[tuple[str, int]]:
        """(name, replicas) of the components that may be at zero, canaries left out."""
        found = await self.client.list(
            DEPLOYMENTS,
            service.namespace,
            label_selector=f"{L_INFERENCE_SERVICE}={service.name}",
        )
        return [
            (metadata(obj)["name"], _replicas(obj))
            for obj in found.items
            if labels_of(obj).get(L_COMPONENT) in service.from_zero
            and not metadata(obj)["name"].endswith(_CANARY)
        ]

    async def _scale(self, service: Service, name: str, replicas: int) -> None:
        log.info("%s: scaling %s to %d", service.id, name, replicas)
        try:
            await self.client.patch(
                DEPLOYMENTS,
                name,
                {"spec": {"replicas": replicas}},
                namespace=service.namespace,
                subresource="scale",
                field_manager=MANAGER,
            )
        except NotFound:
            return


def _replicas(deployment: Mapping[str, Any]) -> int:
    count = (deployment.get("spec") or {}).get("replicas")
    return 1 if count is None else int(count)
