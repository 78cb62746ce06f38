"""Small edits of a pod that is being built: each adds what is missing and never replaces.

All of them may run again on their own result without changing it. They change their argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ome.apimachinery.objects import Object


def named(items: Iterable[Mapping[str, Any]] | None, *names: str) -> Any:
    """The first item with one of these names, tried in this order; None if there is none."""
    found = list(items or ())
    for name in names:
        for item in found:
            if item.get("name") == name:
                return item
    return None


def add_env(container: Object, wanted: Iterable[Mapping[str, Any]]) -> None:
    """A variable that the container already has keeps its value."""
    have = list(container.get("env") or ())
    taken = {item.get("name") for item in have}
    new = [dict(item) for item in wanted if item.get("name") not in taken]
    if new:
        container["env"] = [*have, *new]


def add_mount(container: Object, mount: Object) -> None:
    """Unless something is mounted there already: two mounts of one path are refused."""
    have = container.get("volumeMounts") or []
    if all(_path(item) != _path(mount) for item in have):
        container["volumeMounts"] = [*have, mount]


def add_volume(pod: Object, volume: Object) -> None:
    """Unless the pod has a volume of that name."""
    spec = pod["spec"]
    if named(spec.get("volumes"), volume["name"]) is None:
        spec["volumes"] = [*(spec.get("volumes") or ()), volume]


def _path(mount: Mapping[str, Any]) -> str:
    path = str(mount.get("mountPath") or "")
    return path.rstrip("/") or path
