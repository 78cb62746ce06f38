"""Leader election on a Lease, with the rules that client-go follows, so that both can compete.

* A lease belongs to its holder until it has not *changed* for as long as the holder says in it, and
  for ``lease_duration`` seconds at least, **on our own clock**, counted from when we saw its last
  change. What the timestamps in it say is not looked at, so clocks need not agree.
* The holder renews every ``retry_period``. If it could not for ``renew_deadline`` it stops leading
  on its own account: before anybody else may start, since that is shorter than the duration.
* Every write carries the version that was read: of two that try at once one fails.
* On shutdown the lease is released (holder empty, one second), so that the next one starts at once.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from ome.apimachinery.errors import AlreadyExists, Conflict, NotFound, StatusError
from ome.apimachinery.objects import Object
from ome.apimachinery.resources import LEASES
from ome.kube.client import Client
from ome.kube.errors import KubeError, LeadershipLost

log = logging.getLogger("ome.kube.lease")

Lead = Callable[[], Awaitable[None]]
RELEASE_SECONDS = 2.0
"""So long a shutdown waits for the API to take the release; without it the lease runs out."""


class LeaderElector:
    """``on_new_leader`` hears the identity of every new holder, also our own."""

    def __init__(
        self,
        client: Client,
        name: str,
        namespace: str,
        identity: str,
        *,
        lease_duration: float = 15.0,
        renew_deadline: float = 10.0,
        retry_period: float = 2.0,
        on_new_leader: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not retry_period < renew_deadline < lease_duration:
            raise ValueError("retry_period < renew_deadline < lease_duration is needed")
        if not identity:
            raise ValueError("a leader needs an identity")
        self.identity = identity
        self._client = client
        self._name = name
        self._namespace = namespace
        self._duration = lease_duration
        self._deadline = renew_deadline
        self._period = retry_period
        self._on_new_leader = on_new_leader
        self._clock = clock
        self._lease: Object | None = None
        self._seen_at = 0.0
        self._told = ""
        self._leading = False

    @property
    def is_leader(self) -> bool:
        return self._leading

    @property
    def leader(self) -> str:
        """The holder as last seen; empty where there is none."""
        return str(self._spec().get("holderIdentity") or "")

    async def run(self, lead: Lead) -> None:
        """Waits for leadership, then runs ``lead`` for as long as it lasts.

        Returns when ``lead`` does. Raises LeadershipLost, after ``lead`` has been cancelled and has
        ended, when the lease could not be kept; the caller decides whether to run again. Releases
        the lease at every end.
        """
        await self._acquire()
        log.info("%s leads (%s/%s)", self.identity, self._namespace, self._name)
        self._leading = True
        work = asyncio.ensure_future(lead())
        keep = asyncio.ensure_future(self._keep())
        patience = RELEASE_SECONDS
        try:
            await asyncio.wait({work, keep}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                self._leading = False
                patience = self._period  # what could not be renewed can hardly be released
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
                keep.result()
            else:
                work.result()
        finally:
            self._leading = False
            for task in (keep, work):
                task.cancel()
            await asyncio.gather(work, keep, return_exceptions=True)
            await self._release(patience)

    async def _acquire(self) -> None:
        while not await self._attempt():  # noqa: ASYNC110 - nothing here could set an Event
            await asyncio.sleep(self._period * (1 + 0.2 * random.random()))

    async def _keep(self) -> None:
        """Renews until that fails for too long."""
        renewed = self._clock()
        while True:
            await asyncio.sleep(self._period)
            left = renewed + self._deadline - self._clock()
            begin = self._clock()
            try:
                async with asyncio.timeout(max(left, 0.05)):
                    done = await self._attempt()
            except TimeoutError:
                done = False
            if done:
                renewed = begin
            elif self.leader not in ("", self.identity):
                raise LeadershipLost(f"{self.leader} holds {self._name} now")
            elif self._clock() - renewed >= self._deadline:
                raise LeadershipLost(
                    f"{self._name} could not be renewed for {self._deadline:.0f} s"
                )

    async def _attempt(self) -> bool:
        """Takes or renews the lease once. True if it is ours now."""
        try:
            return await self._take()
        except NotFound:
            self._lease = None  # somebody deleted it: the next attempt makes a new one
            return False
        except (Conflict, AlreadyExists):
            await self._look()
            return False
        except (StatusError, KubeError) as error:
            log.warning("%s/%s: %s", self._namespace, self._name, error)
            return False

    async def _take(self) -> bool:
        if not self._leading or self._lease is None:
            try:
                self._observe(await self._client.get(LEASES, self._name, self._namespace))
            except NotFound:
                lease = {
                    "apiVersion": LEASES.api_version,
                    "kind": LEASES.kind,
                    "metadata": {"name": self._name, "namespace": self._namespace},
                    "spec": self._record({}),
                }
                self._observe(await self._client.create(LEASES, lease))
                return True
        held = self.leader not in ("", self.identity)
        if held and self._clock() < self._seen_at + self._holders_duration():
            return False
        assert self._lease is not None
        wanted = {**self._lease, "spec": {**self._spec(), **self._record(self._spec())}}
        self._observe(await self._client.update(LEASES, wanted))
        return True

    def _holders_duration(self) -> float:
        """A holder of another program, or with other settings, may count on more time than we."""
        said = self._spec().get("leaseDurationSeconds")
        return max(self._duration, float(said)) if isinstance(said, int) else self._duration

    async def _look(self) -> None:
        try:
            self._observe(await self._client.get(LEASES, self._name, self._namespace))
        except (StatusError, KubeError) as error:
            log.debug("%s/%s: %s", self._namespace, self._name, error)

    def _record(self, old: Object) -> Object:
        now = _micro_time()
        mine = old.get("holderIdentity") == self.identity
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": int(self._duration) or 1,
            "acquireTime": old.get("acquireTime") or now if mine else now,
            "renewTime": now,
            "leaseTransitions": int(old.get("leaseTransitions") or 0)
            + (0 if mine or not old else 1),
        }

    def _observe(self, lease: Object) -> None:
        if self._lease is None or lease.get("spec") != self._lease.get("spec"):
            self._seen_at = self._clock()
        self._lease = lease
        if self.leader != self._told:
            self._told = self.leader
            if self._told and self._on_new_leader is not None:
                self._on_new_leader(self._told)

    async def _release(self, patience: float) -> None:
        if self.leader != self.identity or self._lease is None:
            return
        now = _micro_time()
        spec = {
            **self._spec(),
            "holderIdentity": "",
            "leaseDurationSeconds": 1,
            "renewTime": now,
            "acquireTime": now,
        }
        try:
            async with asyncio.timeout(patience):
                self._observe(await self._client.update(LEASES, {**self._lease, "spec": spec}))
        except (StatusError, KubeError, TimeoutError) as error:
            log.info("%s was not released, it runs out by itself: %s", self._name, error)

    def _spec(self) -> Object:
        return (self._lease or {}).get("spec") or {}


def _micro_time() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
