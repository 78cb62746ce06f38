"""A view for admission over a fixed list of objects."""

from __future__ import annotations

from typing import Any

from ome.apimachinery.objects import Resource

Object = dict[str, Any]


class FixedView:
    """``objects`` may be changed at any time."""

    def __init__(self, *objects: Object) -> None:
        self.objects = list(objects)

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        found = (i for i in self.list(resource, namespace) if i["metadata"]["name"] == name)
        return next(found, None)

    def list(self, resource: Resource, namespace: str = "") -> list[Object]:
        return [
            item
            for item in self.objects
            if item["kind"] == resource.kind
            and (not namespace or item["metadata"].get("namespace", "") == namespace)
        ]
