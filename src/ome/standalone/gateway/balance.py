"""Picks the replica for a request: the fewest requests in flight, failed ones last.

Ties go round in turn. A replica that could not be reached is preferred by nobody for
``COOL_SECONDS``; it is still tried when there is no other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ome.standalone.gateway.routes import Endpoint

COOL_SECONDS = 2.0


@dataclass(slots=True)
class Balancer:
    clock: Callable[[], float]
    _in_flight: dict[Endpoint, int] = field(default_factory=dict)
    _failed_at: dict[Endpoint, float] = field(default_factory=dict)
    _last_used: dict[Endpoint, int] = field(default_factory=dict)
    _turn: int = 0

    def pick(self, endpoints: Collection[Endpoint], tried: Collection[Endpoint]) -> Endpoint | None:
        """The best of ``endpoints`` that is not in ``tried``."""
        left = [e for e in endpoints if e not in tried]
        if not left:
            return None
        return min(left, key=self._cost)

    def _cost(self, endpoint: Endpoint) -> tuple[bool, int, int]:
        return (
            self._cooling(endpoint),
            self._in_flight.get(endpoint, 0),
            self._last_used.get(endpoint, 0),
        )

    def _cooling(self, endpoint: Endpoint) -> bool:
        failed_at = self._failed_at.get(endpoint)
        return failed_at is not None and self.clock() - failed_at < COOL_SECONDS

    @contextmanager
    def using(self, endpoint: Endpoint) -> Iterator[None]:
        """Counts a request against the replica for as long as it runs."""
        self._turn += 1
        self._last_used[endpoint] = self._turn
        self._in_flight[endpoint] = self._in_flight.get(endpoint, 0) + 1
        try:
            yield
        finally:
            left = self._in_flight[endpoint] - 1
            if left:
                self._in_flight[endpoint] = left
            else:
                del self._in_flight[endpoint]

    def failed(self, endpoint: Endpoint) -> None:
        self._failed_at[endpoint] = self.clock()

    def forget_all_but(self, known: Collection[Endpoint]) -> None:
        """Drops what is remembered about replicas that are gone."""
        for memory in (self._failed_at, self._last_used):
            for endpoint in [e for e in memory if e not in known]:
                del memory[endpoint]

    def in_flight(self) -> dict[Endpoint, int]:
        return dict(self._in_flight)
