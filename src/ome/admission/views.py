"""The other objects that webhooks look at: a read-only view over caches that follow the API.

An object is decoded when it is first looked at and kept until it changes, and so is what selection
needs of a runtime, because every review of a service looks at all runtimes. Nobody may change what
the view gives.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from ome.admission.shapes import MISSHAPEN
from ome.api import constants as c
from ome.api import resources as o
from ome.api.config import InferenceServiceConfig
from ome.apimachinery.objects import Key, Object, Resource
from ome.apimachinery.resources import CONFIG_MAPS
from ome.selection import Runtime

log = logging.getLogger("ome.admission.views")

LOOKED_AT: Final = (
    o.SERVING_RUNTIMES,
    o.CLUSTER_SERVING_RUNTIMES,
    o.BASE_MODELS,
    o.CLUSTER_BASE_MODELS,
    o.FINE_TUNED_WEIGHTS,
    o.ACCELERATOR_CLASSES,
)
"""The kinds that need a cache, besides the operator's ConfigMap ``inferenceservice-config``."""


class Cache(Protocol):
    """What is needed of an :class:`ome.kube.Informer`."""

    @property
    def has_synced(self) -> bool: ...

    def get(self, namespace: str, name: str) -> Object | None: ...

    def keys(self, namespace: str = "") -> list[Key]: ...

    def add_handler(self, fn: Callable[[Any, Any, Any], None]) -> None: ...


class CachedView:
    """A :class:`ome.admission.View` over one cache per kind.

    A kind that has no cache is an error of ours: KeyError.
    """

    def __init__(self, caches: Mapping[Resource, Cache]) -> None:
        self._kinds = {
            (resource.group, resource.plural): _Kind(cache) for resource, cache in caches.items()
        }
        self._caches = dict(caches)
        self._config = InferenceServiceConfig()
        if (config_maps := caches.get(CONFIG_MAPS)) is not None:
            config_maps.add_handler(self._configure)

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return self._kinds[resource.group, resource.plural].get(Key(namespace, name))

    def list(self, resource: Resource, namespace: str = "") -> list[Object]:
        return self._kinds[resource.group, resource.plural].list(namespace)

    def runtimes(self, namespace: str) -> Sequence[Runtime]:
        """Those of the namespace and of the cluster, ready for selection."""
        local = self._kinds[o.GROUP, o.SERVING_RUNTIMES.plural].compiled(namespace)
        cluster = self._kinds[o.GROUP, o.CLUSTER_SERVING_RUNTIMES.plural].compiled("")
        return [*local, *cluster]

    def configuration(self) -> InferenceServiceConfig:
        """The operator's; where it can't be read, or is gone, what was good last."""
        return self._config

    def _configure(self, _event: str, _old: Any, new: Any) -> None:
        if new is not None and new.key.name == c.INFERENCE_SERVICE_CONFIG:
            data = new.object().get("data")
            self._config, _ = InferenceServiceConfig.from_config_map(data, self._config)

    def waiting_for(self) -> Iterable[str]:
        """The kinds that have not been read yet."""
        return [str(resource) for resource, cache in self._caches.items() if not cache.has_synced]


class _Kind:
    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._decoded: dict[Key, Object] = {}
        self._compiled: dict[Key, Runtime | None] = {}
        cache.add_handler(self._forget)

    def get(self, key: Key) -> Object | None:
        found = self._decoded.get(key)
        if found is None:
            found = self._cache.get(key.namespace, key.name)
            if found is not None:
                self._decoded[key] = found
        return found

    def list(self, namespace: str) -> list[Object]:
        found = (self.get(key) for key in self._cache.keys(namespace))
        return [obj for obj in found if obj is not None]

    def compiled(self, namespace: str) -> Sequence[Runtime]:
        """Of a kind of runtimes. One that can't be read harms nobody but itself."""
        found = []
        for key in self._cache.keys(namespace):
            if key not in self._compiled:
                self._compiled[key] = self._compile(key)
            runtime = self._compiled[key]
            if runtime is not None:
                found.append(runtime)
        return found

    def _compile(self, key: Key) -> Runtime | None:
        obj = self.get(key)
        try:
            return None if obj is None else Runtime.of(obj)
        except MISSHAPEN as error:
            log.warning("runtime %s can't be read and is left out: %s", key, error)
            return None

    def _forget(self, _event: str, old: Any, new: Any) -> None:
        key = (new if new is not None else old).key
        self._decoded.pop(key, None)
        self._compiled.pop(key, None)
