"""The view of the webhooks: decoded once, never stale, robust against single odd objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.fakes.objects import model, runtime, service

from ome.admission import OmeAdmission
from ome.admission.views import LOOKED_AT, CachedView
from ome.api import resources as o
from ome.apimachinery.jsonvalues import copy_json
from ome.apimachinery.objects import Key, key_of
from ome.apimachinery.resources import CONFIG_MAPS

Object = dict[str, Any]


class Event:
    def __init__(self, key: Key) -> None:
        self.key = key


class Cache:
    """Like an informer: fresh dicts, and handlers that hear of every change."""

    def __init__(self) -> None:
        self.objects: dict[Key, Object] = {}
        self.has_synced = False
        self.reads = 0
        self._handlers: list[Callable[[Any, Any, Any], None]] = []

    def put(self, obj: Object) -> None:
        known = key_of(obj) in self.objects
        self.objects[key_of(obj)] = obj
        event = Event(key_of(obj))
        for handler in self._handlers:
            handler("MODIFIED" if known else "ADDED", event if known else None, event)

    def remove(self, obj: Object) -> None:
        del self.objects[key_of(obj)]
        for handler in self._handlers:
            handler("DELETED", Event(key_of(obj)), None)

    def get(self, namespace: str, name: str) -> Object | None:
        self.reads += 1
        found = self.objects.get(Key(namespace, name))
        return None if found is None else copy_json(found)

    def keys(self, namespace: str = "") -> list[Key]:
        return [key for key in self.objects if not namespace or key.namespace == namespace]

    def add_handler(self, fn: Callable[[Any, Any, Any], None]) -> None:
        self._handlers.append(fn)


def made() -> tuple[CachedView, dict[Any, Cache]]:
    caches = {resource: Cache() for resource in (*LOOKED_AT, CONFIG_MAPS)}
    return CachedView(caches), caches


def warnings(view: CachedView) -> list[str]:
    review = OmeAdmission().review("CREATE", o.INFERENCE_SERVICES, service(), None, view)
    assert not review.errors
    return review.warnings


def test_an_object_is_read_once_until_it_changes() -> None:
    view, caches = made()
    cache = caches[o.CLUSTER_SERVING_RUNTIMES]
    caches[o.CLUSTER_BASE_MODELS].put(model())
    cache.put(runtime("one"))
    assert warnings(view) == ["Runtime one will be auto-selected for model tiny"]
    assert warnings(view) == ["Runtime one will be auto-selected for model tiny"]
    assert cache.reads == 1
    cache.put(runtime("one", priority=9))
    cache.put(runtime("two", priority=20))
    assert warnings(view) == ["Runtime two will be auto-selected for model tiny"]
    cache.remove(runtime("two"))
    assert warnings(view) == ["Runtime one will be auto-selected for model tiny"]
    assert cache.reads == 3


def test_runtimes_of_other_namespaces_are_not_looked_at() -> None:
    view, caches = made()
    caches[o.CLUSTER_BASE_MODELS].put(model())
    for namespace in ("default", "other"):
        local = {**runtime(f"of-{namespace}"), "kind": "ServingRuntime"}
        local["metadata"]["namespace"] = namespace
        caches[o.SERVING_RUNTIMES].put(local)
    assert warnings(view) == ["Runtime of-default will be auto-selected for model tiny"]


def test_one_odd_runtime_harms_nobody_but_itself() -> None:
    view, caches = made()
    caches[o.CLUSTER_BASE_MODELS].put(model())
    caches[o.CLUSTER_SERVING_RUNTIMES].put(runtime("odd", priority="very"))
    caches[o.CLUSTER_SERVING_RUNTIMES].put(runtime("good"))
    assert warnings(view) == ["Runtime good will be auto-selected for model tiny"]


def test_it_says_what_has_not_been_read_yet() -> None:
    view, caches = made()
    for cache in caches.values():
        cache.has_synced = True
    caches[o.BASE_MODELS].has_synced = False
    assert list(view.waiting_for()) == ["basemodels.ome.io"]
