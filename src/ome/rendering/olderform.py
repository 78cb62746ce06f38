"""Runtimes without ``engineConfig``: the older form, whose pod fields stand beside the formats.

Such a runtime means one engine: its container called ``ome-container``, else the first, serves;
the others run beside it. ``workers`` are the other pods of an engine that spans several nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ome.api import constants as c
from ome.api.runtime import POD_FIELDS
from ome.apimachinery.jsonvalues import copy_json
from ome.apimachinery.objects import Object

FIELDS: Final = (*POD_FIELDS, "labels", "annotations")


def engine_config(spec: Mapping[str, Any]) -> Object:
    """What the runtime's ``engineConfig`` would be; empty where it names no container."""
    if not spec.get("containers"):
        return {}
    part = _part(spec)
    workers = spec.get("workers")
    if workers:
        part["leader"] = {}
        part["worker"] = _part(workers)
        if workers.get("size") is not None:
            part["worker"]["size"] = workers["size"]
    return part


def _part(fields: Mapping[str, Any]) -> Object:
    part: Object = {name: copy_json(fields[name]) for name in FIELDS if fields.get(name)}
    containers = part.pop("containers", None)
    if containers:
        names = [container.get("name") for container in containers]
        main = names.index(c.MAIN_CONTAINER) if c.MAIN_CONTAINER in names else 0
        part["runner"] = containers.pop(main)
        if containers:
            part["containers"] = containers
    return part
