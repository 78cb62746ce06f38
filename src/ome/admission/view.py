"""What admission may look at besides the object itself: a read-only view of the other objects."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol

from ome.api import constants as c
from ome.apimachinery.objects import Object, Resource
from ome.apimachinery.resources import CONFIG_MAPS
from ome.selection import Runtime


class View(Protocol):
    def get(self, resource: Resource, namespace: str, name: str) -> Object | None: ...

    def list(self, resource: Resource, namespace: str = "") -> list[Object]: ...


class CompiledView(Protocol):
    """A view that has the runtimes ready for selection, because it is asked again and again."""

    def runtimes(self, namespace: str) -> Sequence[Runtime]:
        """Those of the namespace and of the cluster."""
        ...


def config_section(view: View, namespace: str, name: str) -> dict[str, Any]:
    """One section of the operator's configuration; empty where it is absent or can't be read.

    A typo in the configuration must not refuse people's objects; the operator reports it.
    """
    config_map = view.get(CONFIG_MAPS, namespace, c.INFERENCE_SERVICE_CONFIG) or {}
    try:
        section = json.loads((config_map.get("data") or {}).get(name) or "{}")
    except ValueError:
        return {}
    return section if isinstance(section, dict) else {}
