from __future__ import annotations

from ome.apimachinery import resources as r
from ome.apimachinery.objects import Key, Object, Resource
from ome.controllers.lag import PATIENCE_SECONDS, Lag

SERVICE = Key("default", "s")
CHILD = Key("default", "c")


class World:
    def __init__(self) -> None:
        self.cached: dict[Key, str] = {}
        self.now = 100.0
        self.lag = Lag(self.seen, lambda: self.now)

    def seen(self, _: Resource, key: Key) -> str | None:
        return self.cached.get(key)

    def wrote(self, version: str) -> None:
        answer: Object = {
            "metadata": {"name": "c", "namespace": "default", "resourceVersion": version}
        }
        self.lag.wrote(SERVICE, r.DEPLOYMENTS, answer)


def test_a_write_is_awaited_until_the_cache_shows_it_or_something_later() -> None:
    world = World()
    assert not world.lag.behind(SERVICE)
    world.wrote("9")
    assert world.lag.behind(SERVICE)
    world.cached[CHILD] = "8"
    assert world.lag.behind(SERVICE)
    assert world.lag.awaited(SERVICE) == {(r.DEPLOYMENTS, "c")}
    world.cached[CHILD] = "10"
    assert not world.lag.behind(SERVICE)
    assert world.lag.awaited(SERVICE) == frozenset()


def test_a_write_that_never_shows_is_not_awaited_for_ever() -> None:
    world = World()
    world.wrote("9")
    world.now += PATIENCE_SECONDS
    assert not world.lag.behind(SERVICE)


def test_the_last_of_several_writes_counts() -> None:
    world = World()
    world.wrote("9")
    world.wrote("12")
    world.cached[CHILD] = "9"
    assert world.lag.behind(SERVICE)
    world.cached[CHILD] = "12"
    assert not world.lag.behind(SERVICE)


def test_versions_without_an_order_hold_nothing_up() -> None:
    world = World()
    world.wrote("abc")
    world.cached[CHILD] = "xyz"
    assert not world.lag.behind(SERVICE)
