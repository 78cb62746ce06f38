"""What admission may look at besides the object itself: a read-only view of the other objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from ome.api import constants as c
from ome.api.config import InferenceServiceConfig
from ome.apimachinery.objects import Object, Resource
from ome.apimachinery.resources import CONFIG_MAPS
from ome.selection import Runtime


class View(Protocol):
    def get(self, resource: Resource, namespace: str, name: str) -> Object | None: ...

    def list(self, resource: Resource, namespace: str = "") -> list[Object]: ...


@runtime_checkable
class CompiledView(Protocol):
    """A view that has the runtimes ready for selection, because it is asked again and again."""

    def runtimes(self, namespace: str) -> Sequence[Runtime]:
        """Those of the namespace and of the cluster."""
        ...


@runtime_checkable
class ConfiguredView(Protocol):
    """A view that follows the operator's configuration and remembers what was last good."""

    def configuration(self) -> InferenceServiceConfig: ...


def configuration(view: View, namespace: str) -> InferenceServiceConfig:
    """The operator's configuration; what of it can't be read is as the view knew it last, or the
    default. A typo in it must not refuse people's objects; the operator reports it."""
    if isinstance(view, ConfiguredView):
        return view.configuration()
    config_map = view.get(CONFIG_MAPS, namespace, c.INFERENCE_SERVICE_CONFIG) or {}
    return InferenceServiceConfig.from_config_map(config_map.get("data"))[0]
